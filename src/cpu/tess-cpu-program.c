#include "tess-cpu-private.h"

#include <math.h>
#include <time.h>

/* ------------------------------------------------------------------------------------------------ preparing */

/* Prediction runs on the same weights again and again; they stay packed. A training step changes all of them, and
 * validation beside it is not worth a second copy. */
static gboolean
predicts (const TessGraph *graph)
{
  for (guint i = 0; i < graph->ops->len; i++)
    if (tess_graph_op (graph, i)->kind == TESS_OP_LOSS)
      return FALSE;
  return TRUE;
}

static gboolean
prepare_step (TessProgram *p, TessCpuStep *step, GError **error)
{
  const TessOp *op = step->op;

  if (op->kind != TESS_OP_SGD && op->kind != TESS_OP_ADAM) {
    const TessTensor *t = tess_op_extent (p->graph, op);

    step->n = (gsize)t->dim[0];
    step->voxels = t->n_dims == 5 ? (gsize)(t->dim[1] * t->dim[2] * t->dim[3]) : 1;
    step->channels = t->n_dims == 5 ? (gsize)t->dim[4] : 1;
    step->bf16 = t->dtype == TESS_DTYPE_BF16;
  }
  if (tess_op_is_conv (op->kind))
    return tess_cpu_conv_step_prepare (p, step, error);
  switch (op->kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_ACT_BWD:
  case TESS_OP_NORM_APPLY:
    step->scratch_bytes = tess_cpu_norm_scratch (step->n, step->voxels, step->channels);
    return TRUE;
  case TESS_OP_LOSS:
    step->keep_bytes = tess_cpu_loss_sums (step->n, op->attr.loss.n_classes) * sizeof (double);
    step->scratch_bytes = tess_cpu_loss_scratch (p->device->n_threads, step->n, step->voxels, op->attr.loss.n_classes);
    return TRUE;
  case TESS_OP_LOSS_BWD:
    step->scratch_bytes = tess_cpu_loss_scratch (p->device->n_threads, step->n, step->voxels, op->attr.loss.n_classes);
    return tess_graph_find_loss (p->graph, step->op, &step->forward, error);
  case TESS_OP_GRAD_NORM:
    step->scratch_bytes = tess_cpu_squares_scratch (p->graph->arena_bytes[TESS_ARENA_GRAD] / sizeof (float));
    return TRUE;
  case TESS_OP_LEAKY_RELU:
  case TESS_OP_LEAKY_RELU_BWD:
  case TESS_OP_ADD:
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
  case TESS_OP_LABEL_RESIZE:
  case TESS_OP_SGD:
  case TESS_OP_ADD_ACT:
  case TESS_OP_AVG_POOL:
  case TESS_OP_AVG_POOL_BWD:
  case TESS_OP_ADAM:
    return TRUE;
  default:
    if (tess_cpu_extra_prepare (p, step))
      return TRUE;
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("op %s: not known to the CPU backend"),
                 tess_op_name (op->kind));
    return FALSE;
  }
}

/* What a step works in lies among the activations; what it keeps from run to run is the workspace. */
static gboolean
lay_out (TessProgram *p, GError **error)
{
  g_autofree gsize *bytes = g_new (gsize, p->n_steps + 1), *offset = g_new (gsize, p->n_steps + 1);
  gsize total = 0;

  for (guint i = 0; i < p->n_steps; i++) {
    p->steps[i].keep_offset = total;
    if (p->steps[i].keep_bytes >= G_MAXSIZE / 2 ||
        !g_size_checked_add (&total, total, TESS_CPU_ALIGN (p->steps[i].keep_bytes))) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                   _ ("the working memory is too large to count; take a smaller patch or batch"));
      return FALSE;
    }
    bytes[i] = p->steps[i].scratch_bytes;
  }
  p->workspace_bytes = total;
  if (!tess_graph_place_scratch (p->graph, bytes, offset, error))
    return FALSE;
  for (guint i = 0; i < p->n_steps; i++)
    p->steps[i].scratch_offset = offset[i];
  return TRUE;
}

/**
 * tess_cpu_program_prepare:
 * @graph: placed; a reference is kept, and its activations are placed anew beside what the steps work in
 *
 * Makes every primitive. Nothing the size of an activation is allocated before tess_cpu_program_bind().
 */
TessProgram *
tess_cpu_program_prepare (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error)
{
  TessProgram *p;
  gboolean ok = TRUE;
  int threads;

  g_return_val_if_fail (graph->placed, NULL);

  p = g_new0 (TessProgram, 1);
  p->device = device;
  p->graph = tess_graph_ref (graph);
  p->n_steps = graph->ops->len;
  p->predicts = predicts (graph);
  p->steps = g_new0 (TessCpuStep, MAX (p->n_steps, 1));
  for (guint i = 0; i < p->n_steps; i++)
    p->steps[i].op = tess_graph_op (graph, i);
  threads = tess_cpu_threads_enter (device);
  for (guint i = 0; ok && i < p->n_steps; i++)
    ok = prepare_step (p, &p->steps[i], error);
  tess_cpu_threads_leave (threads);
  if (!ok || !lay_out (p, error)) {
    tess_cpu_program_free (p);
    return NULL;
  }
  p->idle_grads = tess_graph_idle_grads (graph);
  memcpy (requirements->arena, graph->arena_bytes, sizeof requirements->arena);
  requirements->workspace = p->workspace_bytes;
  return p;
}

void
tess_cpu_program_free (TessProgram *p)
{
  if (p == NULL)
    return;
  for (guint i = 0; i < p->n_steps; i++)
    if (p->steps[i].conv != NULL) {
      tess_cpu_conv_clear (p->steps[i].conv, p->device);
      g_free (p->steps[i].conv);
    }
  tess_cpu_buffer_clear (&p->workspace);
  g_clear_pointer (&p->idle_grads, g_array_unref);
  g_clear_pointer (&p->buckets, g_array_unref);
  g_free (p->steps);
  tess_graph_unref (p->graph);
  g_free (p);
}

/* ------------------------------------------------------------------------------------------------ binding */

static void *
address (const TessProgram *p, TessId id)
{
  const TessTensor *t;

  if (id == TESS_NONE)
    return NULL;
  t = tess_graph_tensor (p->graph, id);
  return p->arena[t->arena] + t->offset;
}

/**
 * tess_cpu_program_bind:
 *
 * Takes the workspace and fixes every address. May be called again with other arenas.
 */
gboolean
tess_cpu_program_bind (TessProgram *p, TessBuffer *const arenas[TESS_N_ARENAS], GError **error)
{
  int threads;
  gboolean ok = TRUE;

  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    gsize there = arenas[a] != NULL ? arenas[a]->bytes : 0;

    if (there < p->graph->arena_bytes[a]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("arena %u has %zu bytes, the program needs %zu"), a,
                   there, p->graph->arena_bytes[a]);
      return FALSE;
    }
    p->arena[a] = arenas[a] != NULL ? arenas[a]->data : NULL;
  }
  p->bound = p->packed = FALSE;
  if (p->workspace.data == NULL && !tess_cpu_buffer_alloc (&p->workspace, p->workspace_bytes, error))
    return FALSE;
  threads = tess_cpu_threads_enter (p->device);
  for (guint i = 0; ok && i < p->n_steps; i++) {
    TessCpuStep *step = &p->steps[i];

    for (guint k = 0; k < G_N_ELEMENTS (step->in); k++)
      step->in[k] = k < step->op->n_in ? address (p, step->op->in[k]) : NULL;
    for (guint k = 0; k < G_N_ELEMENTS (step->out); k++)
      step->out[k] = k < step->op->n_out ? address (p, step->op->out[k]) : NULL;
    step->scratch = step->scratch_bytes > 0 ? p->arena[TESS_ARENA_ACT] + step->scratch_offset : NULL;
    step->keep = p->workspace.data + step->keep_offset;
    if (step->conv != NULL)
      ok = tess_cpu_conv_step_bind (p, step, error);
  }
  tess_cpu_threads_leave (threads);
  p->bound = ok;
  return ok;
}

/* ------------------------------------------------------------------------------------------------ running */

static void
run_norm (TessProgram *p, const TessCpuStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_NORM_ACT_BWD;
  TessCpuNorm a = {
      .n_threads = p->device->n_threads,
      .bf16 = step->bf16,
      .n = step->n,
      .voxels = step->voxels,
      .channels = step->channels,
      .x = step->in[0],
      .gamma = step->in[1],
      .beta = step->in[2],
      .stats = step->op->kind == TESS_OP_NORM_ACT ? step->out[1] : step->in[3],
      .known = step->op->kind == TESS_OP_NORM_APPLY,
      .eps = step->op->attr.norm.eps,
      .slope = step->op->attr.norm.slope,
      .eps_on_std = step->op->attr.norm.eps_on_std,
      .scratch = step->scratch,
  };

  if (backward) {
    a.dy = step->in[4];
    a.dx = step->out[0];
    a.dgamma = step->out[1];
    a.dbeta = step->out[2];
    p->device->kernels->norm_backward (&a);
  } else {
    a.y = step->out[0];
    p->device->kernels->norm_forward (&a);
  }
}

static void
run_concat (TessProgram *p, const TessCpuStep *step)
{
  const TessCpuKernels *k = p->device->kernels;
  gboolean backward = step->op->kind == TESS_OP_CONCAT_BWD;
  TessId whole = backward ? step->op->in[0] : step->op->out[0];
  const TessId *parts = backward ? step->op->out : step->op->in;
  gsize size = tess_dtype_size (tess_graph_tensor (p->graph, whole)->dtype);
  gsize both = step->channels * size, a_bytes, rows = step->n * step->voxels;

  if (parts[0] != TESS_NONE)
    a_bytes = (gsize)tess_graph_tensor (p->graph, parts[0])->dim[4] * size;
  else
    a_bytes = both - (gsize)tess_graph_tensor (p->graph, parts[1])->dim[4] * size;
  if (backward)
    k->split (p->device->n_threads, rows, a_bytes, both - a_bytes, step->in[0], step->out[0], step->out[1]);
  else
    k->concat (p->device->n_threads, rows, a_bytes, both - a_bytes, step->in[0], step->in[1], step->out[0]);
}

static gboolean
run_loss (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args, GError **error)
{
  gboolean backward = step->op->kind == TESS_OP_LOSS_BWD;
  const TessLossAttr *attr = &step->op->attr.loss;
  TessCpuLoss a = {
      .n_threads = p->device->n_threads,
      .n = step->n,
      .voxels = step->voxels,
      .n_classes = attr->n_classes,
      .batch_dice = attr->batch_dice,
      .smooth = attr->smooth,
      .voxels_count = attr->kind == TESS_LOSS_DICE_CE || attr->kind == TESS_LOSS_FOCAL,
      .overlap_counts = attr->kind != TESS_LOSS_FOCAL,
      .first = attr->background || attr->regions != NULL ? 0 : 1,
      .ignore = attr->ignore > 0 ? attr->ignore : 256,
      .alpha = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->alpha : 0.5,
      .beta = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->beta : 0.5,
      .gamma = attr->kind == TESS_LOSS_FOCAL ? (double)attr->gamma : 0.0,
      .regions = attr->regions,
      .weight = attr->head < TESS_MAX_HEADS ? args->head_weight[attr->head] : 0.0,
      .n_ranks = tess_communicator_size (args->communicator),
      .logits = step->in[0],
      .labels = step->in[1],
      .scratch = step->scratch,
  };

  if (backward) {
    a.sums = (double *)(gpointer)p->steps[step->forward].keep;
    a.dlogits = step->out[0];
    a.bf16_out = tess_graph_tensor (p->graph, step->op->out[0])->dtype == TESS_DTYPE_BF16;
    p->device->kernels->loss_backward (&a);
  } else {
    a.sums = (double *)(gpointer)step->keep;
    a.metrics = step->out[0];
    p->device->kernels->loss_forward (&a);
    if (a.n_ranks > 1 && !tess_cpu_reduce_loss (&a, args->communicator, error))
      return FALSE;
    p->device->kernels->loss_finish (&a);
  }
  return TRUE;
}

static gboolean
run_grad_norm (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args, GError **error)
{
  gsize n = p->graph->arena_bytes[TESS_ARENA_GRAD] / sizeof (float);
  float *grad = (float *)(gpointer)p->arena[TESS_ARENA_GRAD];

  if (args->communicator != NULL && !args->communicator->finish (args->communicator, error))
    return FALSE;
  *(double *)step->out[0] =
      sqrt (p->device->kernels->sum_squares (p->device->n_threads, n, grad, (double *)(gpointer)step->scratch));
  return TRUE;
}

static void
run_label_resize (TessProgram *p, const TessCpuStep *step)
{
  const TessTensor *from = tess_graph_tensor (p->graph, step->op->in[0]);
  const TessTensor *to = tess_graph_tensor (p->graph, step->op->out[0]);

  p->device->kernels->label_resize (p->device->n_threads, step->n, &from->dim[1], &to->dim[1], step->in[0],
                                    step->out[0]);
}

static void
run_sgd (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args)
{
  double norm = *(const double *)step->in[0];
  TessCpuSgd a = {
      .n_threads = p->device->n_threads,
      .n = p->graph->arena_bytes[TESS_ARENA_PARAM] / sizeof (float),
      .param = (float *)(gpointer)p->arena[TESS_ARENA_PARAM],
      .momentum = (float *)(gpointer)p->arena[TESS_ARENA_MOMENTUM],
      .grad = (const float *)(gconstpointer)p->arena[TESS_ARENA_GRAD],
      .rate = args->learning_rate,
      .momentum_factor = args->momentum,
      .weight_decay = args->weight_decay,
      .clip = args->clip_norm > 0 ? MIN (1.0, args->clip_norm / (norm + 1e-6)) : 1.0,
  };

  p->device->kernels->sgd (&a);
  p->packed = FALSE;
}

static void
run_avg_pool (TessProgram *p, const TessCpuStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_AVG_POOL_BWD;
  const TessTensor *in = tess_graph_tensor (p->graph, step->op->in[0]);
  const TessTensor *out = tess_graph_tensor (p->graph, step->op->out[0]);
  TessCpuAvgPool a = {
      .n_threads = p->device->n_threads,
      .bf16 = step->bf16,
      .n = step->n,
      .channels = step->channels,
      .kernel = step->op->attr.conv.kernel,
      .stride = step->op->attr.conv.stride,
      .source = step->in[0],
      .target = step->out[0],
  };

  memcpy (a.fine, &(backward ? out : in)->dim[1], sizeof a.fine);
  memcpy (a.coarse, &(backward ? in : out)->dim[1], sizeof a.coarse);
  if (backward)
    p->device->kernels->avg_pool_backward (&a);
  else
    p->device->kernels->avg_pool (&a);
}

static void
run_adam (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args)
{
  double norm = *(const double *)step->in[0];
  gsize n = p->graph->arena_bytes[TESS_ARENA_PARAM] / sizeof (float);
  TessCpuAdam a = {
      .n_threads = p->device->n_threads,
      .n = n,
      .param = (float *)(gpointer)p->arena[TESS_ARENA_PARAM],
      .mean = (float *)(gpointer)p->arena[TESS_ARENA_MOMENTUM],
      .variance = (float *)(gpointer)p->arena[TESS_ARENA_MOMENTUM] + n,
      .grad = (const float *)(gconstpointer)p->arena[TESS_ARENA_GRAD],
      .rate = args->learning_rate,
      .beta1 = args->beta1,
      .beta2 = args->beta2,
      .epsilon = args->epsilon,
      .weight_decay = args->weight_decay,
      .clip = args->clip_norm > 0 ? MIN (1.0, args->clip_norm / (norm + 1e-6)) : 1.0,
      .decoupled = step->op->attr.optimiser.decoupled,
      .step = args->step,
  };

  p->device->kernels->adam (&a);
  p->packed = FALSE;
}

static gboolean
run_step (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args, GError **error)
{
  const TessCpuKernels *k = p->device->kernels;
  guint threads = p->device->n_threads;
  gsize n = step->n * step->voxels * step->channels;
  float slope = step->op->attr.norm.slope;

  if (step->conv != NULL)
    return tess_cpu_conv_step_run (p, step, error);
  switch (step->op->kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_ACT_BWD:
  case TESS_OP_NORM_APPLY:
    run_norm (p, step);
    break;
  case TESS_OP_LEAKY_RELU:
    k->leaky (threads, step->bf16, n, step->in[0], slope, step->out[0]);
    break;
  case TESS_OP_LEAKY_RELU_BWD:
    k->leaky_backward (threads, step->bf16, n, step->in[0], step->in[1], slope, step->out[0]);
    break;
  case TESS_OP_ADD:
    k->add (threads, step->bf16, n, step->in[0], step->in[1], step->out[0]);
    break;
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
    run_concat (p, step);
    break;
  case TESS_OP_LABEL_RESIZE:
    run_label_resize (p, step);
    break;
  case TESS_OP_LOSS:
  case TESS_OP_LOSS_BWD:
    return run_loss (p, step, args, error);
  case TESS_OP_GRAD_NORM:
    return run_grad_norm (p, step, args, error);
  case TESS_OP_SGD:
    run_sgd (p, step, args);
    break;
  case TESS_OP_ADD_ACT:
    k->add_leaky (threads, step->bf16, n, step->in[0], step->in[1], slope, step->out[0]);
    break;
  case TESS_OP_AVG_POOL:
  case TESS_OP_AVG_POOL_BWD:
    run_avg_pool (p, step);
    break;
  case TESS_OP_ADAM:
    run_adam (p, step, args);
    break;
  default: /* what else there is was refused by prepare */
    tess_cpu_extra_run (p, step, args);
    break;
  }
  return TRUE;
}

static double
now (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static gboolean
pack_weights (TessProgram *p, GError **error)
{
  for (guint i = 0; i < p->n_steps; i++) {
    const TessCpuConv *conv = p->steps[i].conv;
    double before;

    if (conv == NULL || !conv->keeps_weights || conv->reorder == NULL)
      continue;
    before = now ();
    if (!tess_dnnl_check (p->device->dnnl->primitive_execute (conv->reorder, p->device->stream, 2, conv->reorder_args),
                          "pack weights", error))
      return FALSE;
    p->seconds[p->steps[i].op->kind] += now () - before;
  }
  return TRUE;
}

/**
 * tess_cpu_program_run:
 *
 * One pass over the ops on the calling thread and the device's number of OpenMP threads; returns when all is done.
 */
gboolean
tess_cpu_program_run (TessProgram *p, const TessStepArgs *args, GError **error)
{
  int threads;
  gboolean ok = TRUE;

  g_return_val_if_fail (p->bound, FALSE);

  threads = tess_cpu_threads_enter (p->device);
  if (!p->packed || p->packed_version != args->param_version) {
    ok = pack_weights (p, error);
    p->packed = ok;
    p->packed_version = args->param_version;
  }
  for (guint i = 0; i < p->idle_grads->len; i++) {
    const TessTensor *t = tess_graph_tensor (p->graph, g_array_index (p->idle_grads, TessId, i));

    memset (p->arena[t->arena] + t->offset, 0, t->bytes);
  }
  p->n_begun = 0;
  for (guint i = 0; ok && i < p->n_steps; i++) {
    double before = now ();

    ok = run_step (p, &p->steps[i], args, error);
    if (ok && args->communicator != NULL)
      ok = tess_cpu_begin_sums (p, i, args->communicator, error);
    p->seconds[p->steps[i].op->kind] += now () - before;
  }
  p->device->dnnl->stream_wait (p->device->stream);
  tess_cpu_threads_leave (threads);
  return ok;
}

void
tess_cpu_program_profile (TessProgram *program, double seconds[TESS_N_OPS])
{
  memcpy (seconds, program->seconds, sizeof program->seconds);
  memset (program->seconds, 0, sizeof program->seconds);
}
