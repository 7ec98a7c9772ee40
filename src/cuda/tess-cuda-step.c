#include "tess-cuda-private.h"

/* The ops beside the convolutions: which tensor is which, and the launch. */

static const TessTensor *
tensor (const TessProgram *p, TessId id)
{
  return tess_graph_tensor (p->graph, id);
}

static gint64
grid_voxels (const TessTensor *t)
{
  return t->n_dims == 5 ? t->dim[1] * t->dim[2] * t->dim[3] : 1;
}

/* ------------------------------------------------------------------------------------------------ preparing */

/* Bytes a LOSS keeps: its sums for the backward pass, what ranks share of them, then the table of regions. */
static gsize
loss_sums_bytes (const TessCudaStep *step)
{
  int n_classes = (int)step->op->attr.loss.n_classes;

  return (tess_cuda_loss_sums (step->n, n_classes) + tess_cuda_loss_shared (n_classes)) * sizeof (double);
}

gboolean
tess_cuda_step_prepare (TessProgram *p, TessCudaStep *step, GError **error)
{
  const TessOp *op = step->op;

  if (op->kind != TESS_OP_SGD && op->kind != TESS_OP_ADAM) {
    const TessTensor *t = tess_op_extent (p->graph, op);

    step->n = t->dim[0];
    step->voxels = grid_voxels (t);
    step->channels = t->n_dims == 5 ? t->dim[4] : 1;
    step->bf16 = t->dtype == TESS_DTYPE_BF16;
  }
  switch (op->kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_ACT_BWD:
    step->scratch_bytes = tess_cuda_norm_scratch (step->n, step->voxels, step->channels);
    return TRUE;
  case TESS_OP_ACT_BWD:
    step->scratch_bytes = tess_cuda_sums_scratch (1, step->n * step->voxels, step->channels, 1);
    return TRUE;
  case TESS_OP_MUL_BWD:
  case TESS_OP_GLOBAL_POOL:
    step->scratch_bytes = tess_cuda_sums_scratch (step->n, step->voxels, step->channels, 1);
    return TRUE;
  case TESS_OP_LOSS:
    step->keep_bytes = loss_sums_bytes (step) + (op->attr.loss.regions != NULL ? 256 * sizeof (guint64) : 0);
    step->scratch_bytes = tess_cuda_loss_scratch (step->n, step->voxels, (int)op->attr.loss.n_classes);
    return TRUE;
  case TESS_OP_LOSS_BWD:
    step->scratch_bytes = tess_cuda_loss_scratch (step->n, step->voxels, (int)op->attr.loss.n_classes);
    return tess_graph_find_loss (p->graph, step->op, &step->forward, error);
  case TESS_OP_GRAD_NORM:
    step->scratch_bytes =
        tess_cuda_grad_norm_scratch ((gint64)(p->graph->arena_bytes[TESS_ARENA_GRAD] / sizeof (float)));
    return TRUE;
  case TESS_OP_LEAKY_RELU:
  case TESS_OP_LEAKY_RELU_BWD:
  case TESS_OP_ADD:
  case TESS_OP_ADD_ACT:
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
  case TESS_OP_LABEL_RESIZE:
  case TESS_OP_SGD:
  case TESS_OP_ADAM:
  case TESS_OP_AVG_POOL:
  case TESS_OP_AVG_POOL_BWD:
  case TESS_OP_ACT:
  case TESS_OP_MUL:
  case TESS_OP_MAX_POOL:
  case TESS_OP_MAX_POOL_BWD:
  case TESS_OP_GLOBAL_POOL_BWD:
  case TESS_OP_RESIZE:
  case TESS_OP_RESIZE_BWD:
  case TESS_OP_WINDOW:
  case TESS_OP_NORM_APPLY:
  case TESS_OP_DROPOUT:
  case TESS_OP_NOISE:
    return TRUE;
  default:
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("CUDA: this backend does not compute \"%s\"; use --backend cpu"), tess_op_name (op->kind));
    return FALSE;
  }
}

/* The table of regions goes to the device once. */
gboolean
tess_cuda_step_bind (TessProgram *p, TessCudaStep *step, GError **error)
{
  if (step->op->kind != TESS_OP_LOSS || step->op->attr.loss.regions == NULL)
    return TRUE;
  return tess_cuda_check (cudaMemcpyAsync (step->keep + loss_sums_bytes (step), step->op->attr.loss.regions,
                                           256 * sizeof (guint64), cudaMemcpyHostToDevice, p->device->stream),
                          _ ("copying to the device"), error) &&
         tess_cuda_check (cudaStreamSynchronize (p->device->stream), _ ("copying to the device"), error);
}

/* ------------------------------------------------------------------------------------------------ running */

static cudaError_t
run_norm (TessProgram *p, const TessCudaStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_NORM_ACT_BWD, again = step->op->kind == TESS_OP_NORM_APPLY;
  TessCudaNorm a = {
      .bf16 = step->bf16,
      .eps_on_std = step->op->attr.norm.eps_on_std,
      .n = step->n,
      .voxels = step->voxels,
      .channels = step->channels,
      .x = step->in[0],
      .gamma = step->in[1],
      .beta = step->in[2],
      .stats = backward || again ? step->in[3] : step->out[1],
      .eps = step->op->attr.norm.eps,
      .slope = step->op->attr.norm.slope,
      .scratch = step->scratch,
  };

  if (backward) {
    a.dy = step->in[4];
    a.dx = step->out[0];
    a.dgamma = step->out[1];
    a.dbeta = step->out[2];
    return tess_cuda_norm_backward (&a, p->device->stream);
  }
  a.y = step->out[0];
  return again ? tess_cuda_norm_apply (&a, p->device->stream) : tess_cuda_norm (&a, p->device->stream);
}

static cudaError_t
run_concat (TessProgram *p, const TessCudaStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_CONCAT_BWD;
  const TessId *parts = backward ? step->op->out : step->op->in;
  gint64 ca = parts[0] != TESS_NONE ? tensor (p, parts[0])->dim[4] : step->channels - tensor (p, parts[1])->dim[4];
  gint64 cb = step->channels - ca, rows = step->n * step->voxels;

  if (backward)
    return tess_cuda_split (step->bf16, rows, ca, cb, step->in[0], step->out[0], step->out[1], p->device->stream);
  return tess_cuda_concat (step->bf16, rows, ca, cb, step->in[0], step->in[1], step->out[0], p->device->stream);
}

static gboolean
run_loss (TessProgram *p, const TessCudaStep *step, GError **error)
{
  gboolean backward = step->op->kind == TESS_OP_LOSS_BWD;
  const TessCudaStep *forward = backward ? &p->steps[step->forward] : step;
  const TessLossAttr *attr = &step->op->attr.loss;
  TessCudaLoss a = {
      .n = step->n,
      .voxels = step->voxels,
      .n_classes = (int)attr->n_classes,
      .first = attr->background || attr->regions != NULL ? 0 : 1,
      .batch_dice = attr->batch_dice,
      .voxels_count = attr->kind == TESS_LOSS_DICE_CE || attr->kind == TESS_LOSS_FOCAL,
      .overlap_counts = attr->kind != TESS_LOSS_FOCAL,
      .ignore = attr->ignore > 0 ? (int)attr->ignore : 256,
      .head = (int)attr->head,
      .n_ranks = (int)tess_cuda_n_ranks (p->device),
      .smooth = (double)attr->smooth,
      .alpha = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->alpha : 0.5,
      .beta = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->beta : 0.5,
      .gamma = attr->kind == TESS_LOSS_FOCAL ? (double)attr->gamma : 0.0,
      .regions =
          attr->regions != NULL ? (const guint64 *)(gconstpointer)(forward->keep + loss_sums_bytes (forward)) : NULL,
      .args = p->args,
      .logits = step->in[0],
      .labels = step->in[1],
      .sums = (double *)(gpointer)forward->keep,
      .shared = (double *)(gpointer)forward->keep + tess_cuda_loss_sums (step->n, (int)attr->n_classes),
      .scratch = step->scratch,
  };

  if (backward) {
    a.dlogits = step->out[0];
    a.bf16_out = tensor (p, step->op->out[0])->dtype == TESS_DTYPE_BF16;
    return tess_cuda_check (tess_cuda_loss_backward (&a, p->device->stream), tess_op_name (step->op->kind), error);
  }
  a.metrics = step->out[0];
  return tess_cuda_check (tess_cuda_loss (&a, p->device->stream), tess_op_name (step->op->kind), error) &&
         (a.n_ranks == 1 ||
          tess_cuda_ranks_sum_f64 (p->device, a.shared, tess_cuda_loss_shared (a.n_classes), error)) &&
         tess_cuda_check (tess_cuda_loss_finish (&a, p->device->stream), tess_op_name (step->op->kind), error);
}

static cudaError_t
run_optimiser (TessProgram *p, const TessCudaStep *step)
{
  gint64 n = (gint64)(p->graph->arena_bytes[TESS_ARENA_PARAM] / sizeof (float));
  float *momentum = (float *)(gpointer)p->arena[TESS_ARENA_MOMENTUM];
  TessCudaOptimiser a = {
      .n = n,
      .param = (float *)(gpointer)p->arena[TESS_ARENA_PARAM],
      .momentum = momentum,
      .variance = momentum + n,
      .grad = (const float *)(gconstpointer)p->arena[TESS_ARENA_GRAD],
      .norm = step->in[0],
      .args = p->args,
  };

  if (step->op->kind == TESS_OP_SGD)
    return tess_cuda_sgd (&a, p->device->stream);
  a.decoupled = step->op->attr.optimiser.decoupled;
  return tess_cuda_adam (&a, p->device->stream);
}

static cudaError_t
run_act (TessProgram *p, const TessCudaStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_ACT_BWD;
  TessCudaAct a = {
      .bf16 = step->bf16,
      .kind = (int)step->op->attr.act.kind,
      .rows = step->n * step->voxels,
      .channels = step->channels,
      .x = step->in[0],
      .alpha = step->in[1],
      .scratch = step->scratch,
  };

  if (backward) {
    a.dy = step->in[2];
    a.dx = step->out[0];
    a.dalpha = step->out[1];
    return tess_cuda_act_backward (&a, p->device->stream);
  }
  a.y = step->out[0];
  return tess_cuda_act (&a, p->device->stream);
}

static cudaError_t
run_mul (TessProgram *p, const TessCudaStep *step)
{
  gboolean backward = step->op->kind == TESS_OP_MUL_BWD;
  const TessTensor *b = tensor (p, step->op->in[1]);
  TessCudaMul a = {
      .bf16 = step->bf16,
      .n = step->n,
      .voxels = step->voxels,
      .channels = step->channels,
      .b_voxels = grid_voxels (b),
      .b_channels = b->dim[4],
      .a = step->in[0],
      .b = step->in[1],
      .scratch = step->scratch,
  };

  if (backward) {
    a.dy = step->in[2];
    a.da = step->out[0];
    a.db = step->out[1];
    return tess_cuda_mul_backward (&a, p->device->stream);
  }
  a.y = step->out[0];
  return tess_cuda_mul (&a, p->device->stream);
}

static cudaError_t
run_chance (TessProgram *p, const TessCudaStep *step)
{
  TessCudaChance a = {
      .bf16 = step->bf16,
      .noise = step->op->kind == TESS_OP_NOISE,
      .n = step->n,
      .voxels = step->voxels,
      .channels = step->channels,
      .amount = step->op->attr.chance.amount,
      .stream = step->op->attr.chance.stream,
      .args = p->args,
      .x = step->in[0],
      .y = step->out[0],
  };

  return tess_cuda_chance (&a, p->device->stream);
}

/* The tensors on the fine and on the coarse side of a pool or a resize. */
static TessCudaGrid
grid_of (TessProgram *p, const TessCudaStep *step)
{
  const TessOp *op = step->op;
  gboolean resizes = op->kind == TESS_OP_RESIZE || op->kind == TESS_OP_RESIZE_BWD;
  gboolean in_fine = op->kind == TESS_OP_AVG_POOL || op->kind == TESS_OP_MAX_POOL || op->kind == TESS_OP_GLOBAL_POOL ||
                     op->kind == TESS_OP_RESIZE_BWD;
  const TessTensor *in = tensor (p, op->in[0]), *out = tensor (p, op->out[0]);
  const TessTensor *fine = in_fine ? in : out, *coarse = in_fine ? out : in;
  TessCudaGrid g = {.bf16 = step->bf16, .n = step->n, .channels = step->channels};

  if (op->kind == TESS_OP_MAX_POOL_BWD) {
    fine = in;
    coarse = tensor (p, op->in[1]);
  }
  g.linear = resizes && op->attr.resize.linear;
  for (guint i = 0; i < 3; i++) {
    g.fine[i] = fine->dim[1 + i];
    g.coarse[i] = coarse->dim[1 + i];
    g.kernel[i] = resizes ? 0 : op->attr.conv.kernel[i];
    g.stride[i] = resizes ? 0 : op->attr.conv.stride[i];
  }
  return g;
}

static cudaError_t
run_grid (TessProgram *p, const TessCudaStep *step)
{
  const TessCudaGrid g = grid_of (p, step);
  cudaStream_t stream = p->device->stream;

  switch (step->op->kind) {
  case TESS_OP_AVG_POOL:
    return tess_cuda_avg_pool (&g, step->in[0], step->out[0], stream);
  case TESS_OP_AVG_POOL_BWD:
    return tess_cuda_avg_pool_backward (&g, step->in[0], step->out[0], stream);
  case TESS_OP_MAX_POOL:
    return tess_cuda_max_pool (&g, step->in[0], step->out[0], stream);
  case TESS_OP_MAX_POOL_BWD:
    return step->out[0] == NULL ? cudaSuccess
                                : tess_cuda_max_pool_backward (&g, step->in[0], step->in[1], step->out[0], stream);
  case TESS_OP_GLOBAL_POOL:
    return tess_cuda_global_pool (&g, step->in[0], step->out[0], step->scratch, stream);
  case TESS_OP_GLOBAL_POOL_BWD:
    return tess_cuda_global_pool_backward (&g, step->in[0], step->out[0], stream);
  case TESS_OP_RESIZE:
    return tess_cuda_resize (&g, step->in[0], step->out[0], stream);
  default:
    return tess_cuda_resize_backward (&g, step->in[0], step->out[0], stream);
  }
}

static cudaError_t
run_labels (TessProgram *p, const TessCudaStep *step)
{
  const TessTensor *from = tensor (p, step->op->in[0]), *to = tensor (p, step->op->out[0]);
  const gint64 *start = step->op->attr.window.start;
  gint64 in[3], out[3], offset[3];

  for (guint a = 0; a < 3; a++) {
    in[a] = from->dim[1 + a];
    out[a] = to->dim[1 + a];
    offset[a] = start[a];
  }
  if (step->op->kind == TESS_OP_LABEL_RESIZE)
    return tess_cuda_label_resize (step->n, in, out, step->in[0], step->out[0], p->device->stream);
  return tess_cuda_window ((int)tess_dtype_size (from->dtype), step->n, step->channels, in, out, offset, step->in[0],
                           step->out[0], p->device->stream);
}

static cudaError_t
launch (TessProgram *p, const TessCudaStep *step)
{
  gint64 n = step->n * step->voxels * step->channels;
  cudaStream_t stream = p->device->stream;
  float slope = step->op->attr.norm.slope;

  switch (step->op->kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_ACT_BWD:
  case TESS_OP_NORM_APPLY:
    return run_norm (p, step);
  case TESS_OP_LEAKY_RELU:
    return tess_cuda_leaky (step->bf16, n, step->in[0], slope, step->out[0], stream);
  case TESS_OP_LEAKY_RELU_BWD:
    return tess_cuda_leaky_backward (step->bf16, n, step->in[0], step->in[1], slope, step->out[0], stream);
  case TESS_OP_ADD:
  case TESS_OP_ADD_ACT:
    return tess_cuda_add (step->bf16, n, step->in[0], step->in[1], step->op->kind == TESS_OP_ADD ? 1.0f : slope,
                          step->out[0], stream);
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
    return run_concat (p, step);
  case TESS_OP_GRAD_NORM:
    return tess_cuda_grad_norm ((gint64)(p->graph->arena_bytes[TESS_ARENA_GRAD] / sizeof (float)),
                                (const float *)(gconstpointer)p->arena[TESS_ARENA_GRAD], step->out[0], step->scratch,
                                stream);
  case TESS_OP_SGD:
  case TESS_OP_ADAM:
    return run_optimiser (p, step);
  case TESS_OP_ACT:
  case TESS_OP_ACT_BWD:
    return run_act (p, step);
  case TESS_OP_MUL:
  case TESS_OP_MUL_BWD:
    return run_mul (p, step);
  case TESS_OP_LABEL_RESIZE:
  case TESS_OP_WINDOW:
    return run_labels (p, step);
  case TESS_OP_DROPOUT:
  case TESS_OP_NOISE:
    return run_chance (p, step);
  default: /* what else there is was refused by prepare */
    return run_grid (p, step);
  }
}

gboolean
tess_cuda_step_run (TessProgram *p, const TessCudaStep *step, GError **error)
{
  if (step->op->kind == TESS_OP_LOSS || step->op->kind == TESS_OP_LOSS_BWD)
    return run_loss (p, step, error);
  return tess_cuda_check (launch (p, step), tess_op_name (step->op->kind), error);
}
