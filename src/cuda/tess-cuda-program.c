#include "tess-cuda-private.h"

#include <math.h>

#define ALIGN(bytes) (((bytes) + 255) & ~(gsize)255)
/* Runs done op by op before the whole is captured as one CUDA graph: libraries set themselves up in the first. */
#define N_EAGER 2
/* What another thread does to the device meanwhile, such as opening a library, can spoil a capture. */
#define N_CAPTURES 3

/* ------------------------------------------------------------------------------------------------ preparing */

static gboolean
prepare_step (TessProgram *p, TessCudaStep *step, GError **error)
{
  p->trains |= step->op->kind == TESS_OP_SGD || step->op->kind == TESS_OP_ADAM;
  if (tess_op_is_conv (step->op->kind))
    return tess_cuda_conv_prepare (p, step, error);
  return tess_cuda_step_prepare (p, step, error);
}

/* nn placed every tensor, yet kernels write through these numbers, so they are looked at once more. */
static gboolean
check_places (const TessGraph *graph, GError **error)
{
  for (TessId id = 0; id < graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (graph, id);

    if (t->arena < TESS_N_ARENAS && t->offset % 16 == 0 && t->offset <= graph->arena_bytes[t->arena] &&
        t->bytes <= graph->arena_bytes[t->arena] - t->offset)
      continue;
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: tensor %u lies outside its arena"), id);
    return FALSE;
  }
  return TRUE;
}

/* Workspace: what changes from run to run, what all steps share, packed weights, what each step keeps. */
static gboolean
lay_out (TessProgram *p, GError **error)
{
  gsize total = ALIGN (sizeof (TessCudaArgs));
  gboolean ok = TRUE;

  for (guint i = 0; i < p->n_steps; i++)
    p->scratch_bytes = MAX (p->scratch_bytes, p->steps[i].scratch_bytes);
  ok = p->scratch_bytes < G_MAXSIZE / 2;
  total += ok ? ALIGN (p->scratch_bytes) : 0;
  for (guint i = 0; ok && i < p->packs->len; i++) {
    TessCudaPack *pack = &g_array_index (p->packs, TessCudaPack, i);
    gsize bytes = (gsize)tess_tensor_n_elements (tess_graph_tensor (p->graph, pack->param)) *
                  tess_dtype_size (p->graph->act_dtype);

    pack->offset = total;
    ok = g_size_checked_add (&total, total, ALIGN (bytes));
  }
  for (guint i = 0; ok && i < p->n_steps; i++) {
    p->steps[i].keep_offset = total;
    ok = p->steps[i].keep_bytes < G_MAXSIZE / 2 && g_size_checked_add (&total, total, ALIGN (p->steps[i].keep_bytes));
  }
  if (!ok) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("the working memory is too large to count; take a smaller patch or batch"));
    return FALSE;
  }
  p->workspace_bytes = total;
  return TRUE;
}

/**
 * tess_cuda_prepare:
 * @device: may be %NULL, then the program can say what it needs (with our own convolutions) but not run
 * @graph: placed (tess_graph_place()); a reference is kept
 * @requirements: (out): bytes of the arenas and of the workspace
 *
 * Makes cuDNN's plans. What this backend does not compute is refused with UNSUPPORTED before anything is taken.
 *
 * Returns: (transfer full): free with tess_cuda_program_free()
 */
TessProgram *
tess_cuda_prepare (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error)
{
  TessProgram *p;
  gboolean ok = TRUE;

  if (!graph->placed) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: the graph's tensors have no places yet"));
    return NULL;
  }
  if (device != NULL && graph->act_dtype == TESS_DTYPE_BF16 && !device->bf16) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("CUDA: this card has no bfloat16 arithmetic; use --precision f32"));
    return NULL;
  }
  if (!check_places (graph, error) || (device != NULL && !tess_cuda_enter (device, error)))
    return NULL;
  p = g_new0 (TessProgram, 1);
  p->device = device;
  p->graph = tess_graph_ref (graph);
  p->packs = g_array_new (FALSE, FALSE, sizeof (TessCudaPack));
  p->idle_grads = tess_graph_idle_grads (graph);
  p->captures_left = tess_cuda_option ("TESSERA_CUDA_GRAPH", TRUE) ? N_CAPTURES : 0;
  p->n_steps = graph->ops->len;
  p->steps = g_new0 (TessCudaStep, MAX (p->n_steps, 1));
  for (guint i = 0; i < p->n_steps; i++)
    p->steps[i].op = tess_graph_op (graph, i);
  for (guint i = 0; ok && i < p->n_steps; i++)
    ok = prepare_step (p, &p->steps[i], error);
  if (!ok || !lay_out (p, error)) {
    tess_cuda_program_free (p);
    return NULL;
  }
  memcpy (requirements->arena, graph->arena_bytes, sizeof requirements->arena);
  requirements->workspace = p->workspace_bytes;
  return p;
}

void
tess_cuda_program_free (TessProgram *p)
{
  if (p == NULL || (p->device != NULL && tess_cuda_ranks_broken (p->device))) /* its memory is still read */
    return;
  if (p->device != NULL && tess_cuda_enter (p->device, NULL)) {
    if (p->captured != NULL)
      (void)cudaGraphExecDestroy (p->captured);
    (void)cudaFree (p->workspace);
    (void)cudaFreeHost (p->host_args);
    (void)cudaGetLastError ();
  }
  tess_cuda_results_free (p);
  for (guint i = 0; i < p->n_steps; i++)
    tess_cuda_conv_free (p, p->steps[i].conv);
  g_array_unref (p->packs);
  g_array_unref (p->idle_grads);
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

static gboolean
bind_step (TessProgram *p, TessCudaStep *step, GError **error)
{
  for (guint k = 0; k < G_N_ELEMENTS (step->in); k++)
    step->in[k] = k < step->op->n_in ? address (p, step->op->in[k]) : NULL;
  for (guint k = 0; k < G_N_ELEMENTS (step->out); k++)
    step->out[k] = k < step->op->n_out ? address (p, step->op->out[k]) : NULL;
  step->scratch = p->workspace + ALIGN (sizeof (TessCudaArgs));
  step->keep = p->workspace + step->keep_offset;
  return step->conv != NULL ? tess_cuda_conv_bind (p, step, error) : tess_cuda_step_bind (p, step, error);
}

/**
 * tess_cuda_bind:
 * @arenas: at least as large as prepare asked for; they outlive the program
 *
 * Takes the workspace, if the card has room for it, and fixes every address. Where several plans of cuDNN's may compute
 * a convolution they are timed here. May be called again with other arenas.
 */
gboolean
tess_cuda_bind (TessProgram *p, TessBuffer *const arenas[TESS_N_ARENAS], GError **error)
{
  gboolean ok = TRUE;

  g_return_val_if_fail (p->device != NULL, FALSE);

  p->bound = p->packed = FALSE;
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    gsize have = arenas[a] ? arenas[a]->bytes : 0;

    if (have < p->graph->arena_bytes[a]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                   _ ("CUDA: arena %u has %zu bytes and the program needs %zu"), a, have, p->graph->arena_bytes[a]);
      return FALSE;
    }
    p->arena[a] = arenas[a] ? arenas[a]->data : NULL;
  }
  if (!tess_cuda_enter (p->device, error) || !tess_cuda_ranks_bind (p, error))
    return FALSE;
  if (p->workspace == NULL && !tess_cuda_allocate (p->workspace_bytes, &p->workspace, error))
    return FALSE;
  if (p->host_args == NULL &&
      !tess_cuda_check (cudaMallocHost ((void **)&p->host_args, sizeof *p->host_args), _ ("taking memory"), error))
    return FALSE;
  if (!tess_cuda_results_bind (p, arenas[TESS_ARENA_IO], error))
    return FALSE;
  p->args = (TessCudaArgs *)(gpointer)p->workspace;
  for (guint i = 0; ok && i < p->n_steps; i++)
    ok = bind_step (p, &p->steps[i], error);
  if (p->device->cache != NULL)
    tess_cudnn_cache_save (p->device->cache);
  if (p->captured != NULL)
    (void)cudaGraphExecDestroy (p->captured);
  p->captured = NULL;
  p->n_eager = 0;
  p->bound = ok;
  return ok;
}

/* ------------------------------------------------------------------------------------------------ running */

static void
set_args (TessProgram *p, const TessStepArgs *args)
{
  TessCudaArgs *a = p->host_args;

  *a = (TessCudaArgs){
      .rate = args->learning_rate,
      .momentum = args->momentum,
      .weight_decay = args->weight_decay,
      .clip_norm = args->clip_norm,
      .beta1 = args->beta1,
      .beta2 = args->beta2,
      .epsilon = args->epsilon,
      .rank = args->communicator != NULL ? args->communicator->rank : 0,
      .seed = args->seed,
      .step = args->step,
      .correct1 = 1 - pow (args->beta1, (double)args->step),
      .correct2 = 1 - pow (args->beta2, (double)args->step),
  };
  G_STATIC_ASSERT (G_N_ELEMENTS (a->head_weight) == TESS_MAX_HEADS);
  memcpy (a->head_weight, args->head_weight, sizeof a->head_weight);
}

/* Everything a run does, queued on the stream; also what a graph is captured from. */
static gboolean
queue_all (TessProgram *p, GError **error)
{
  gboolean ok = !p->trains || tess_cuda_pack_all (p, error);

  for (guint i = 0; ok && i < p->idle_grads->len; i++) {
    const TessTensor *t = tess_graph_tensor (p->graph, g_array_index (p->idle_grads, TessId, i));

    ok = tess_cuda_check (cudaMemsetAsync (p->arena[t->arena] + t->offset, 0, t->bytes, p->device->stream),
                          _ ("clearing device memory"), error);
  }
  p->n_begun = 0;
  for (guint i = 0; ok && i < p->n_steps; i++)
    ok = (p->steps[i].conv != NULL ? tess_cuda_conv_run (p, &p->steps[i], error)
                                   : tess_cuda_step_run (p, &p->steps[i], error)) &&
         tess_cuda_ranks_after_step (p, i, error);
  return ok && tess_cuda_results_queue (p, error);
}

/* What cannot be captured, in a few attempts, stays as it is, op by op: that is slower and otherwise the same. */
static void
capture (TessProgram *p)
{
  cudaStream_t stream = p->device->stream;
  g_autoptr (GError) why = NULL;
  cudaGraph_t graph = NULL;
  gboolean ok = tess_cuda_check (cudaStreamBeginCapture (stream, cudaStreamCaptureModeThreadLocal),
                                 _ ("capturing a program"), &why);

  if (ok) {
    ok = queue_all (p, &why);
    ok = tess_cuda_check (cudaStreamEndCapture (stream, &graph), _ ("capturing a program"), ok ? &why : NULL) && ok &&
         tess_cuda_check (cudaGraphInstantiate (&p->captured, graph, 0), _ ("capturing a program"), &why);
  }
  if (graph != NULL)
    (void)cudaGraphDestroy (graph);
  if (ok)
    return;
  (void)cudaGetLastError ();
  p->captured = NULL;
  p->n_eager = 0;
  p->captures_left--;
  if (p->captures_left > 0)
    g_debug ("CUDA: a capture failed, and will be tried again: %s", why != NULL ? why->message : "");
  else
    g_debug ("CUDA: a program runs op by op: %s", why != NULL ? why->message : "");
}

/**
 * tess_cuda_run:
 *
 * Queues everything on the device's stream and waits for the end: op by op in the first runs, then as one CUDA graph
 * (not with TESSERA_CUDA_GRAPH=0). What @args holds reaches the kernels through device memory, so that one graph serves
 * every step.
 */
gboolean
tess_cuda_run (TessProgram *p, const TessStepArgs *args, GError **error)
{
  TessDevice *device = p->device;
  gboolean ok;

  g_return_val_if_fail (p->bound && device, FALSE);

  if (!tess_cuda_enter (device, error))
    return FALSE;
  tess_cuda_results_forget (p->io);
  set_args (p, args);
  ok =
      tess_cuda_check (cudaMemcpyAsync (p->args, p->host_args, sizeof *p->args, cudaMemcpyHostToDevice, device->stream),
                       _ ("copying to the device"), error);
  if (ok && !p->trains && (!p->packed || p->packed_version != args->param_version)) {
    ok = p->packed = tess_cuda_pack_all (p, error);
    p->packed_version = args->param_version;
  }
  if (ok && p->captured == NULL && p->captures_left > 0 && p->n_eager >= N_EAGER)
    capture (p);
  if (ok && p->captured != NULL)
    ok = tess_cuda_check (cudaGraphLaunch (p->captured, device->stream), _ ("running a program"), error);
  else if (ok)
    ok = queue_all (p, error);
  p->n_eager += p->captured == NULL;
  if (!ok)
    tess_cuda_ranks_break (device);
  /* Also after a failure, but not for other processes: what is queued reads the program's memory. */
  ok = tess_cuda_wait (device, ok ? error : NULL) && ok;
  if (ok && p->io != NULL)
    p->io->fresh = p;
  return ok;
}
