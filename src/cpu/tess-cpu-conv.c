#include "tess-cpu-private.h"

#include <inttypes.h>

/* Convolutions on oneDNN 2.6: activations as they lie in the arena (ndhwc), weights in the form the primitive asks for
 * (tag `any`), packed from or unpacked to PyTorch's layout by a reorder. */

typedef enum { FORWARD, BACKWARD_DATA, BACKWARD_WEIGHTS } Pass;

typedef struct {
  const TessDnnl *dnnl;
  dnnl_engine_t engine;
  Pass pass;                    /* for oneDNN */
  gboolean transposed, flipped; /* a deconvolution; weights' channel axes the other way round in memory */
  dnnl_memory_desc_t x, w, y, w_plain, b;
  dnnl_dims_t stride, pad, gap;
  dnnl_primitive_desc_t hint, main, reorder;
  dnnl_primitive_attr_t attr;
} Making;

static Pass
pass_of (TessOpKind kind)
{
  if (kind == TESS_OP_CONV || kind == TESS_OP_CONV_TRANSPOSE)
    return FORWARD;
  if (kind == TESS_OP_CONV_BWD_DATA || kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA)
    return BACKWARD_DATA;
  return BACKWARD_WEIGHTS;
}

static dnnl_data_type_t
type_of (TessDType dtype)
{
  return dtype == TESS_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

/* A kernel of one voxel at every voxel is one matrix for both directions, so all its passes but the weights' gradient
 * are forward convolutions. It must be so: oneDNN 2.6.3's bfloat16 1x1 backward-data (jit_bf16_1x1, ndhwc) gives wrong
 * results when the output channels are odd, and a network's head with three classes is just that. */
static gboolean
is_pointwise (const TessConvAttr *attr)
{
  for (int i = 0; i < 3; i++)
    if (attr->kernel[i] != 1 || attr->stride[i] != 1 || attr->pad[i] != 0)
      return FALSE;
  return TRUE;
}

static gboolean
describe_activation (Making *m, dnnl_memory_desc_t *md, const TessTensor *t, dnnl_data_type_t type, GError **error)
{
  const dnnl_dims_t dims = {t->dim[0], t->dim[4], t->dim[1], t->dim[2], t->dim[3]};

  if (tess_tensor_n_elements (t) > G_MAXINT32) { /* oneDNN counts its work in int and divides by what has overflowed */
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("a layer of %" PRId64 " x %" PRId64 " x %" PRId64 " voxels and %" PRId64
                    " channels is too large; take a smaller patch or batch"),
                 t->dim[3], t->dim[2], t->dim[1], t->dim[4]);
    return FALSE;
  }
  return tess_dnnl_check (m->dnnl->memory_desc_init_by_tag (md, 5, dims, type, dnnl_ndhwc), "describe an activation",
                          error);
}

/* oneDNN's logical weights are {out, in, ...} for all kinds; PyTorch stores those of a transposed convolution as
 * {in, out, ...}, which is the same with other strides. */
static gboolean
describe_weights (Making *m, const TessOp *op, const TessTensor *w, dnnl_data_type_t type, dnnl_data_type_t plain,
                  GError **error)
{
  const int *k = op->attr.conv.kernel; /* weights of slices have four axes */
  gint64 first = w->dim[0], second = w->dim[1], plane = (gint64)k[1] * k[2], kernel = k[0] * plane;
  const dnnl_dims_t dims = {m->flipped ? second : first, m->flipped ? first : second, k[0], k[1], k[2]};
  const dnnl_dims_t strides = {m->flipped ? kernel : second * kernel, m->flipped ? second * kernel : kernel, plane,
                               k[2], 1};

  return tess_dnnl_check (m->dnnl->memory_desc_init_by_tag (&m->w, 5, dims, type, dnnl_format_tag_any),
                          "describe weights", error) &&
         tess_dnnl_check (m->dnnl->memory_desc_init_by_strides (&m->w_plain, 5, dims, plain, strides),
                          "describe weights", error);
}

static dnnl_status_t
init_desc (const Making *m, Pass pass, gboolean is_hint, dnnl_convolution_desc_t *desc)
{
  const TessDnnl *d = m->dnnl;
  dnnl_memory_desc_t w = m->w, y = m->y;

  /* dnnl_deconvolution_desc_t is the same struct. */
  if (is_hint) {
    w.data_type = m->x.data_type;
    y.data_type = m->x.data_type;
  }
  if (pass == FORWARD)
    return (m->transposed ? d->dilated_deconvolution_forward_desc_init : d->dilated_convolution_forward_desc_init) (
        desc, dnnl_forward_training, m->transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct, &m->x, &w,
        m->b.ndims > 0 ? &m->b : NULL, &y, m->stride, m->gap, m->pad, m->pad);
  if (pass == BACKWARD_DATA)
    return (m->transposed ? d->dilated_deconvolution_backward_data_desc_init
                          : d->dilated_convolution_backward_data_desc_init) (
        desc, m->transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct, &m->x, &w, &y, m->stride, m->gap,
        m->pad, m->pad);
  return (m->transposed ? d->dilated_deconvolution_backward_weights_desc_init
                        : d->dilated_convolution_backward_weights_desc_init) (
      desc, m->transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct, &m->x, &w, NULL, &y, m->stride, m->gap,
      m->pad, m->pad);
}

static gboolean
create_descs (Making *m, const TessOp *op, GError **error)
{
  const TessDnnl *d = m->dnnl;
  dnnl_convolution_desc_t desc;
  dnnl_status_t status;
  const char *name = NULL;

  if (m->pass != FORWARD) {
    if (!tess_dnnl_check (init_desc (m, FORWARD, TRUE, &desc), tess_op_name (op->kind), error) ||
        !tess_dnnl_check (d->primitive_desc_create (&m->hint, &desc, NULL, m->engine, NULL), tess_op_name (op->kind),
                          error))
      return FALSE;
  }
  if (!tess_dnnl_check (init_desc (m, m->pass, FALSE, &desc), tess_op_name (op->kind), error))
    return FALSE;
  status = d->primitive_desc_create (&m->main, &desc, m->attr, m->engine, m->hint);
  if (status == dnnl_unimplemented && m->x.data_type == dnnl_bf16) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("op %s: this processor has no bfloat16 arithmetic; use --precision f32"), tess_op_name (op->kind));
    return FALSE;
  }
  if (!tess_dnnl_check (status, tess_op_name (op->kind), error))
    return FALSE;
  d->primitive_desc_query (m->main, dnnl_query_impl_info_str, 0, &name);
  if (name == NULL || g_str_has_prefix (name, "ref") || g_str_has_suffix (name, ":ref")) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        _ ("op %s: oneDNN has only its slow reference code for this shape on this processor; use other feature "
           "counts, or --precision f32"),
        tess_op_name (op->kind));
    return FALSE;
  }
  return TRUE;
}

/* Below AVX-512 oneDNN has no direct code for this gradient where channels are innermost, but a matrix product of
 * patches it copies out first, or code that takes one tap at a time: 13 to 120 GFLOP/s on two cores that reach 160 in
 * the other passes. */
static gboolean
is_for_ours (const Making *m, const TessConvAttr *attr, const TessTensor *x, const TessTensor *y)
{
  const char *name = "";

  m->dnnl->primitive_desc_query (m->main, dnnl_query_impl_info_str, 0, &name);
  if (m->pass != BACKWARD_WEIGHTS || m->x.data_type != dnnl_f32 || is_pointwise (attr) ||
      strstr (name, "avx512") != NULL)
    return FALSE;
  if (y->dim[4] % 16 != 0 || x->dim[4] * attr->kernel[2] < 16) /* too little for a tile: the first layer */
    return FALSE;
  for (guint i = 0; i < 3; i++)
    if (attr->gap[i] != 0 || attr->pad[i] >= attr->kernel[i])
      return FALSE;
  return TRUE;
}

/* Takes the place of the primitives where it can. A transposed convolution is one from its result to its input. */
static gboolean
take_ours (const Making *m, TessCpuConv *conv, TessDevice *device, const TessGraph *graph, const TessOp *op)
{
  const TessConvAttr *attr = &op->attr.conv;
  const TessTensor *x = tess_graph_tensor (graph, op->in[m->transposed ? 1 : 0]);
  const TessTensor *y = tess_graph_tensor (graph, op->in[m->transposed ? 0 : 1]);

  if (!is_for_ours (m, attr, x, y))
    return FALSE;
  conv->is_ours = TRUE;
  conv->transposed = m->transposed;
  conv->ours = (TessCpuConvWeights){.n_threads = device->n_threads,
                                    .n = (gsize)x->dim[0],
                                    .x_channels = (gsize)x->dim[4],
                                    .y_channels = (gsize)y->dim[4],
                                    .from = {x->dim[1], x->dim[2], x->dim[3]},
                                    .to = {y->dim[1], y->dim[2], y->dim[3]},
                                    .kernel = attr->kernel,
                                    .stride = attr->stride,
                                    .pad = attr->pad};
  conv->scratch_bytes = tess_cpu_conv_weights_scratch (&conv->ours);
  return TRUE;
}

static gboolean
create_memory (Making *m, dnnl_memory_t *memory, const dnnl_memory_desc_t *md, GError **error)
{
  return tess_dnnl_check (m->dnnl->memory_create (memory, md, m->engine, DNNL_MEMORY_NONE), "make a memory object",
                          error);
}

static gboolean
create_primitives (Making *m, TessCpuConv *conv, GError **error)
{
  const TessDnnl *d = m->dnnl;
  Pass pass = m->pass;
  const dnnl_memory_desc_t *w, *scratchpad;

  w = d->primitive_desc_query_md (m->main,
                                  pass == BACKWARD_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md, 0);
  scratchpad = d->primitive_desc_query_md (m->main, dnnl_query_scratchpad_md, 0);
  conv->scratch_bytes = d->memory_desc_get_size (scratchpad);
  if (!tess_dnnl_check (d->primitive_create (&conv->main, m->main), "make a convolution", error) ||
      !create_memory (m, &conv->x, &m->x, error) || !create_memory (m, &conv->w, w, error) ||
      !create_memory (m, &conv->y, &m->y, error) || !create_memory (m, &conv->scratchpad, scratchpad, error) ||
      (m->b.ndims > 0 && !create_memory (m, &conv->b, &m->b, error)))
    return FALSE;
  if (!d->memory_desc_equal (w, &m->w_plain)) {
    const dnnl_memory_desc_t *from = pass == BACKWARD_WEIGHTS ? w : &m->w_plain;
    const dnnl_memory_desc_t *to = pass == BACKWARD_WEIGHTS ? &m->w_plain : w;

    conv->packed_bytes = d->memory_desc_get_size (w);
    if (!tess_dnnl_check (d->reorder_primitive_desc_create (&m->reorder, from, m->engine, to, m->engine, NULL),
                          "pack weights", error) ||
        !tess_dnnl_check (d->primitive_create (&conv->reorder, m->reorder), "pack weights", error) ||
        !create_memory (m, &conv->w_plain, &m->w_plain, error))
      return FALSE;
    conv->reorder_args[0] = (dnnl_exec_arg_t){DNNL_ARG_FROM, pass == BACKWARD_WEIGHTS ? conv->w : conv->w_plain};
    conv->reorder_args[1] = (dnnl_exec_arg_t){DNNL_ARG_TO, pass == BACKWARD_WEIGHTS ? conv->w_plain : conv->w};
  }
  return TRUE;
}

static void
set_args (TessCpuConv *conv, Pass pass)
{
  dnnl_exec_arg_t *a = conv->main_args;

  a[0] = (dnnl_exec_arg_t){pass == BACKWARD_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, conv->x};
  a[1] = (dnnl_exec_arg_t){pass == BACKWARD_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, conv->w};
  a[2] = (dnnl_exec_arg_t){pass == FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, conv->y};
  a[3] = (dnnl_exec_arg_t){DNNL_ARG_SCRATCHPAD, conv->scratchpad};
  conv->n_main_args = 4;
  if (conv->b != NULL)
    a[conv->n_main_args++] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, conv->b};
}

static gboolean
describe (Making *m, TessCpuConv *conv, const TessGraph *graph, const TessOp *op, GError **error)
{
  Pass pass = pass_of (op->kind);
  const TessTensor *x = tess_graph_tensor (graph, pass == BACKWARD_DATA ? op->out[0] : op->in[0]);
  const TessTensor *w = tess_graph_tensor (graph, pass == BACKWARD_WEIGHTS ? op->out[0] : op->in[1]);
  const TessTensor *y = tess_graph_tensor (graph, pass == FORWARD         ? op->out[0]
                                                  : pass == BACKWARD_DATA ? op->in[0]
                                                                          : op->in[1]);
  dnnl_data_type_t type = type_of (graph->act_dtype);

  m->pass = pass;
  m->flipped = m->transposed;
  if (is_pointwise (&op->attr.conv)) {
    m->transposed = FALSE;
    if (pass == BACKWARD_DATA) {
      const TessTensor *swap = x;

      x = y;
      y = swap;
      m->pass = FORWARD;
      m->flipped = !m->flipped;
      conv->swapped = TRUE;
    }
  }
  for (int i = 0; i < 3; i++) {
    m->stride[i] = op->attr.conv.stride[i];
    m->pad[i] = op->attr.conv.pad[i];
    m->gap[i] = op->attr.conv.gap[i];
  }
  if (pass != BACKWARD_DATA && type != type_of (x->dtype))
    conv->cast_bytes = (gsize)tess_tensor_n_elements (x) * tess_dtype_size (graph->act_dtype);
  /* A bias makes oneDNN's transposed convolution many times slower: it is added afterwards, to a float32 result so that
   * a bfloat16 one is rounded only once. */
  conv->adds_bias = pass == FORWARD && m->transposed && op->in[2] != TESS_NONE;
  if (conv->adds_bias && y->dtype != TESS_DTYPE_F32)
    conv->wide_bytes = (gsize)tess_tensor_n_elements (y) * sizeof (float);
  if (!describe_activation (m, &m->x, x, type, error) ||
      !describe_activation (m, &m->y, y, conv->adds_bias ? dnnl_f32 : type_of (y->dtype), error) ||
      !describe_weights (m, op, w, pass == BACKWARD_WEIGHTS ? dnnl_f32 : type, type_of (w->dtype), error))
    return FALSE;
  if (pass == FORWARD && op->in[2] != TESS_NONE && !conv->adds_bias) {
    const dnnl_dims_t dims = {y->dim[4]};

    return tess_dnnl_check (m->dnnl->memory_desc_init_by_tag (&m->b, 1, dims, dnnl_f32, dnnl_a), "describe a bias",
                            error);
  }
  return TRUE;
}

/**
 * tess_cpu_conv_init:
 * @conv: zeroed
 * @op: one of the six convolution ops; its tensors are NDHWC, its weights as PyTorch stores them
 *
 * Makes the primitives for the device's number of threads. On failure (UNSUPPORTED where oneDNN has no code but its
 * reference implementation) @conv holds what was made so far; clear it either way.
 */
gboolean
tess_cpu_conv_init (TessCpuConv *conv, TessDevice *device, const TessGraph *graph, const TessOp *op, GError **error)
{
  const TessDnnl *d = device->dnnl;
  Making m = {.dnnl = d, .engine = device->engine};
  gboolean ok;

  m.transposed = op->kind == TESS_OP_CONV_TRANSPOSE || op->kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA ||
                 op->kind == TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS;
  conv->writes_weights = pass_of (op->kind) == BACKWARD_WEIGHTS;
  ok = tess_dnnl_check (d->primitive_attr_create (&m.attr), "make attributes", error) &&
       tess_dnnl_check (d->primitive_attr_set_scratchpad_mode (m.attr, dnnl_scratchpad_mode_user), "make attributes",
                        error) &&
       describe (&m, conv, graph, op, error) && create_descs (&m, op, error) &&
       (take_ours (&m, conv, device, graph, op) || create_primitives (&m, conv, error));
  if (ok && !conv->is_ours)
    set_args (conv, m.pass);
  if (m.hint != NULL)
    d->primitive_desc_destroy (m.hint);
  if (m.main != NULL)
    d->primitive_desc_destroy (m.main);
  if (m.reorder != NULL)
    d->primitive_desc_destroy (m.reorder);
  if (m.attr != NULL)
    d->primitive_attr_destroy (m.attr);
  return ok;
}

void
tess_cpu_conv_clear (TessCpuConv *conv, TessDevice *device)
{
  const TessDnnl *d = device->dnnl;
  dnnl_memory_t memories[] = {conv->x, conv->w, conv->y, conv->w_plain, conv->scratchpad, conv->b};

  if (conv->main != NULL)
    d->primitive_destroy (conv->main);
  if (conv->reorder != NULL)
    d->primitive_destroy (conv->reorder);
  for (gsize i = 0; i < G_N_ELEMENTS (memories); i++)
    if (memories[i] != NULL)
      d->memory_destroy (memories[i]);
  memset (conv, 0, sizeof *conv);
}

/**
 * tess_cpu_conv_bind:
 * @x: the op's input, or the gradient in its place
 * @w_plain: the parameter, or its gradient
 * @packed: room for packed_bytes
 * @scratch: room for scratch_bytes
 */
gboolean
tess_cpu_conv_bind (TessCpuConv *conv, TessDevice *device, void *x, void *w_plain, void *b, void *y, void *packed,
                    void *scratch, GError **error)
{
  struct {
    dnnl_memory_t memory;
    void *data;
  } pairs[] = {
      {conv->x, conv->swapped ? y : x}, {conv->w, conv->reorder != NULL ? packed : w_plain},
      {conv->y, conv->swapped ? x : y}, {conv->w_plain, w_plain},
      {conv->scratchpad, scratch},      {conv->b, b},
  };

  if (conv->is_ours) {
    conv->ours.x = conv->transposed ? y : x;
    conv->ours.dy = conv->transposed ? x : y;
    conv->ours.dw = w_plain;
    conv->ours.scratch = scratch;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++)
    if (pairs[i].memory != NULL &&
        !tess_dnnl_check (device->dnnl->memory_set_data_handle (pairs[i].memory, pairs[i].data), "bind memory", error))
      return FALSE;
  return TRUE;
}
