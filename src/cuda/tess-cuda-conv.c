#include "tess-cuda-private.h"

/* Convolutions of a program: by a plan of cuDNN's, else by our own kernel (tess-cuda-direct.cu). */

#define ALIGN(bytes) (((bytes) + 255) & ~(gsize)255)
#define N_CANDIDATES 5
#define N_TIMED 3

static gsize
elements (gint64 n, const gint64 grid[3], gint64 channels)
{
  return (gsize)(n * grid[0] * grid[1] * grid[2] * channels);
}

static gint64
kernel_of (const TessCudnnConv *s)
{
  return (gint64)s->kernel[0] * s->kernel[1] * s->kernel[2];
}

static TessCudaDirect
direct_of (const TessCudnnConv *s)
{
  TessCudaDirect d = {
      .bf16 = s->weight_type == TESS_DTYPE_BF16,
      .wide = (s->pass == TESS_CUDNN_FORWARD ? s->coarse_type : s->fine_type) == TESS_DTYPE_F32,
      .n = s->n,
      .fine_channels = s->fine_channels,
      .coarse_channels = s->coarse_channels,
  };

  for (guint a = 0; a < 3; a++) {
    d.fine[a] = s->fine[a];
    d.coarse[a] = s->coarse[a];
    d.kernel[a] = s->kernel[a];
    d.stride[a] = s->stride[a];
    d.pad[a] = s->pad[a];
    d.gap[a] = s->gap[a];
  }
  return d;
}

/* ------------------------------------------------------------------------------------------------ preparing */

static guint
pack_of (TessProgram *p, const TessCudaConvOp *op)
{
  const TessCudnnConv *s = &op->shape;
  TessCudaPack pack = {op->weights, s->coarse_channels, s->fine_channels, kernel_of (s), 0};

  for (guint i = 0; i < p->packs->len; i++)
    if (g_array_index (p->packs, TessCudaPack, i).param == op->weights)
      return i;
  g_array_append_val (p->packs, pack);
  return p->packs->len - 1;
}

static gboolean
find_plans (TessProgram *p, TessCudaConv *conv, GError **error)
{
  TessDevice *device = p->device;
  /* Where nothing is timed the first plan is taken, and only its workspace. */
  gboolean times = tess_cuda_option ("TESSERA_CUDA_TUNE", !conv->op.shape.exact);
  TessCudnnChoice choice;
  GError *why = NULL;

  if (device == NULL || device->cudnn == NULL || tess_cuda_conv_is_own (&conv->op.shape))
    return TRUE;
  conv->most = times ? N_CANDIDATES : 1;
  if (device->cache != NULL && tess_cudnn_cache_find (device->cache, &conv->op.shape, conv->most, &choice))
    conv->plans = tess_cudnn_plan_chosen (device->cudnn, device->card, &conv->op.shape, TESS_CUDA_WORKSPACE, &choice);
  if (conv->plans != NULL) {
    conv->most = 0;
    return TRUE;
  }
  conv->plans = tess_cudnn_plans (device->cudnn, device->card, &conv->op.shape, TESS_CUDA_WORKSPACE, conv->most, &why);
  if (conv->plans == NULL && !g_error_matches (why, TESS_ERROR, TESS_ERROR_UNSUPPORTED)) {
    g_propagate_error (error, why);
    return FALSE;
  }
  if (conv->plans != NULL && conv->plans->len == 0)
    g_clear_pointer (&conv->plans, g_array_unref);
  if (conv->plans == NULL)
    g_debug ("CUDA: a convolution is left to our own kernel: %s", why != NULL ? why->message : "cuDNN has no plan");
  g_clear_error (&why);
  return TRUE;
}

/* Working memory of all plans that may be chosen, or of our own kernel; then that of the bias' gradient. */
static gsize
work_bytes (const TessCudaConv *conv)
{
  const TessCudnnConv *s = &conv->op.shape;
  const TessCudaDirect direct = direct_of (s);
  gsize bytes = 0;

  for (guint i = 0; conv->plans != NULL && i < conv->plans->len; i++)
    bytes = MAX (bytes, g_array_index (conv->plans, TessCudnnPlan, i).workspace);
  if (s->pass != TESS_CUDNN_WEIGHTS)
    return bytes;
  if (conv->plans == NULL)
    bytes = tess_cuda_direct_scratch (&direct);
  if (conv->op.bias != TESS_NONE) { /* dy is on one of the two sides */
    gsize fine = tess_cuda_sums_scratch (1, (gint64)elements (s->n, s->fine, 1), s->fine_channels, 1);
    gsize coarse = tess_cuda_sums_scratch (1, (gint64)elements (s->n, s->coarse, 1), s->coarse_channels, 1);

    bytes = MAX (bytes, MAX (fine, coarse));
  }
  return bytes;
}

gboolean
tess_cuda_conv_prepare (TessProgram *p, TessCudaStep *step, GError **error)
{
  TessCudaConv *conv = step->conv = g_new0 (TessCudaConv, 1);
  const TessCudnnConv *s = &conv->op.shape;
  gboolean exact = !tess_cuda_option ("TESSERA_CUDA_TF32", FALSE);

  tess_cuda_conv_describe (p->graph, step->op, exact, &conv->op);
  if (!find_plans (p, conv, error))
    return FALSE;
  if (conv->op.casts)
    conv->cast_bytes = (gsize)tess_tensor_n_elements (tess_graph_tensor (p->graph, step->op->in[0])) * 2;
  if (s->pass == TESS_CUDNN_WEIGHTS) /* our own kernel sums to float32 */
    conv->packed_bytes = (gsize)(s->coarse_channels * s->fine_channels * kernel_of (s)) *
                         (conv->plans != NULL ? tess_dtype_size (s->weight_type) : sizeof (float));
  else
    conv->pack = pack_of (p, &conv->op);
  conv->work_bytes = work_bytes (conv);
  step->scratch_bytes = ALIGN (conv->cast_bytes) + ALIGN (conv->packed_bytes) + ALIGN (conv->work_bytes);
  return TRUE;
}

void
tess_cuda_conv_free (TessProgram *p, TessCudaConv *conv)
{
  if (conv == NULL)
    return;
  if (conv->bound != NULL)
    p->device->cudnn->BackendDestroyDescriptor (conv->bound);
  for (guint i = 0; conv->plans != NULL && i < conv->plans->len; i++)
    tess_cudnn_plan_clear (p->device->cudnn, &g_array_index (conv->plans, TessCudnnPlan, i));
  g_clear_pointer (&conv->plans, g_array_unref);
  g_free (conv);
}

/* ------------------------------------------------------------------------------------------------ running */

gboolean
tess_cuda_pack_all (TessProgram *p, GError **error)
{
  for (guint i = 0; i < p->packs->len; i++) {
    const TessCudaPack *pack = &g_array_index (p->packs, TessCudaPack, i);
    const TessTensor *t = tess_graph_tensor (p->graph, pack->param);
    const float *plain = (const float *)(gconstpointer)(p->arena[t->arena] + t->offset);

    if (!tess_cuda_check (tess_cuda_pack (p->graph->act_dtype == TESS_DTYPE_BF16, pack->coarse, pack->fine,
                                          pack->kernel, plain, p->workspace + pack->offset, p->device->stream),
                          _ ("packing weights"), error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
convolve (TessProgram *p, const TessCudaStep *step, GError **error)
{
  const TessCudaConv *conv = step->conv;
  TessCudnnPass pass = conv->op.shape.pass;
  TessCudaDirect d;
  cudaError_t status;

  if (conv->plans != NULL)
    return tess_cudnn_run (p->device->cudnn, p->device->handle,
                           &g_array_index (conv->plans, TessCudnnPlan, conv->chosen), conv->bound, error);
  d = direct_of (&conv->op.shape);
  d.a = pass == TESS_CUDNN_DATA ? conv->coarse : conv->fine;
  d.b = pass == TESS_CUDNN_WEIGHTS ? conv->coarse : conv->weights;
  d.out = pass == TESS_CUDNN_FORWARD ? conv->coarse : pass == TESS_CUDNN_DATA ? conv->fine : conv->weights;
  d.bias = pass != TESS_CUDNN_WEIGHTS ? step->in[2] : NULL;
  d.scratch = conv->work;
  status = pass == TESS_CUDNN_FORWARD ? tess_cuda_direct_forward (&d, p->device->stream)
           : pass == TESS_CUDNN_DATA  ? tess_cuda_direct_data (&d, p->device->stream)
                                      : tess_cuda_direct_weights (&d, p->device->stream);
  return tess_cuda_check (status, tess_op_name (step->op->kind), error);
}

/* Forward: adds the bias to cuDNN's result (our own kernel has it). Weights' gradient: into PyTorch's layout, and the
 * bias' one. */
static cudaError_t
finish (TessProgram *p, const TessCudaStep *step)
{
  const TessCudaConv *conv = step->conv;
  const TessCudnnConv *s = &conv->op.shape;
  gboolean bf16 = p->graph->act_dtype == TESS_DTYPE_BF16, weights = s->pass == TESS_CUDNN_WEIGHTS;
  cudaStream_t stream = p->device->stream;
  cudaError_t status = cudaSuccess;
  const TessTensor *y;

  if (weights)
    status = tess_cuda_unpack (bf16 && conv->plans != NULL, s->coarse_channels, s->fine_channels, kernel_of (s),
                               conv->weights, step->out[0], stream);
  if (status != cudaSuccess || conv->op.bias == TESS_NONE || (!weights && conv->plans == NULL))
    return status;
  y = tess_graph_tensor (p->graph, weights ? step->op->in[1] : step->op->out[0]);
  bf16 = y->dtype == TESS_DTYPE_BF16;
  if (weights)
    return tess_cuda_column_sums (bf16, tess_tensor_n_elements (y) / y->dim[4], y->dim[4], step->in[1], step->out[1],
                                  conv->work, stream);
  return tess_cuda_add_bias (bf16, tess_tensor_n_elements (y) / y->dim[4], y->dim[4], step->in[2], step->out[0],
                             stream);
}

gboolean
tess_cuda_conv_run (TessProgram *p, const TessCudaStep *step, GError **error)
{
  const TessCudaConv *conv = step->conv;

  if (conv->cast_bytes > 0 &&
      !tess_cuda_check (tess_cuda_cast ((gint64)(conv->cast_bytes / 2), step->in[0], step->scratch, p->device->stream),
                        tess_op_name (step->op->kind), error))
    return FALSE;
  return convolve (p, step, error) && tess_cuda_check (finish (p, step), tess_op_name (step->op->kind), error);
}

/* ------------------------------------------------------------------------------------------------ binding */

static gboolean
bind_plan (TessProgram *p, TessCudaConv *conv, guint i, GError **error)
{
  const TessCudnn *cudnn = p->device->cudnn;

  if (conv->bound != NULL)
    cudnn->BackendDestroyDescriptor (conv->bound);
  conv->chosen = i;
  conv->bound = tess_cudnn_pack_new (cudnn, conv->fine, conv->weights, conv->coarse, conv->work, error);
  return conv->bound != NULL;
}

/* Milliseconds of the chosen plan, the best of a few; a plan that fails takes for ever. */
static float
time_plan (TessProgram *p, const TessCudaStep *step, cudaEvent_t begin, cudaEvent_t end)
{
  float best = G_MAXFLOAT;

  for (guint i = 0; i <= N_TIMED; i++) {
    float elapsed = G_MAXFLOAT;

    if (cudaEventRecord (begin, p->device->stream) != cudaSuccess || !convolve (p, step, NULL) ||
        cudaEventRecord (end, p->device->stream) != cudaSuccess || cudaEventSynchronize (end) != cudaSuccess ||
        cudaEventElapsedTime (&elapsed, begin, end) != cudaSuccess) {
      (void)cudaGetLastError ();
      return G_MAXFLOAT;
    }
    if (i > 0)
      best = MIN (best, elapsed);
  }
  return best;
}

/* For the next run. A choice among plans none of which could be timed is none. */
static void
keep_choice (TessProgram *p, TessCudaConv *conv, gboolean timed)
{
  const TessDevice *device = p->device;
  TessCudnnChoice choice;

  if (device->cache != NULL && conv->most > 0 && (timed || conv->plans->len == 1) &&
      tess_cudnn_plan_choice (device->cudnn, &g_array_index (conv->plans, TessCudnnPlan, conv->chosen), &choice))
    tess_cudnn_cache_keep (device->cache, &conv->op.shape, conv->most, &choice);
  conv->most = 0;
}

/* The fastest of the plans, on whatever the tensors hold now. Which one it is may differ from run to run, and their
 * sums differ in the last bits: float32, which promises the same bits again, keeps cuDNN's first. */
static gboolean
choose_plan (TessProgram *p, const TessCudaStep *step, GError **error)
{
  TessCudaConv *conv = step->conv;
  cudaEvent_t begin = NULL, end = NULL;
  float least = G_MAXFLOAT;
  guint best = 0;
  gboolean ok = TRUE;

  if (conv->plans->len > 1 && cudaEventCreate (&begin) == cudaSuccess && cudaEventCreate (&end) == cudaSuccess)
    for (guint i = 0; ok && i < conv->plans->len; i++) {
      float t;

      ok = bind_plan (p, conv, i, error);
      t = ok ? time_plan (p, step, begin, end) : G_MAXFLOAT;
      if (t < least) {
        least = t;
        best = i;
      }
    }
  (void)cudaGetLastError (); /* of an event that could not be made: then nothing is timed */
  if (begin != NULL)
    cudaEventDestroy (begin);
  if (end != NULL)
    cudaEventDestroy (end);
  if (!ok || !bind_plan (p, conv, best, error))
    return FALSE;
  keep_choice (p, conv, least < G_MAXFLOAT);
  return TRUE;
}

gboolean
tess_cuda_conv_bind (TessProgram *p, TessCudaStep *step, GError **error)
{
  TessCudaConv *conv = step->conv;
  const TessCudaConvOp *op = &conv->op;
  const TessTensor *fine = tess_graph_tensor (p->graph, op->fine), *coarse = tess_graph_tensor (p->graph, op->coarse);
  char *cast = step->scratch, *packed = cast + ALIGN (conv->cast_bytes);

  conv->fine = op->casts && op->fine == step->op->in[0] ? cast : p->arena[fine->arena] + fine->offset;
  conv->coarse = op->casts && op->coarse == step->op->in[0] ? cast : p->arena[coarse->arena] + coarse->offset;
  conv->weights = op->shape.pass == TESS_CUDNN_WEIGHTS
                      ? packed
                      : p->workspace + g_array_index (p->packs, TessCudaPack, conv->pack).offset;
  conv->work = packed + ALIGN (conv->packed_bytes);
  return conv->plans == NULL || choose_plan (p, step, error);
}
