#include "tess-graph-private.h"

#include <inttypes.h>
#include <math.h>

#include "tess-philox.h"

/* Larger kernels, strides or paddings than this are mistakes, and the bound keeps index arithmetic far from overflow.
 */
#define MAX_CONV_ATTR 64
#define MAX_DIM (G_GINT64_CONSTANT (1) << 31)

static void
clear_tensor (gpointer data)
{
  TessTensor *tensor = data;

  g_free (tensor->name);
}

/**
 * tess_graph_new:
 * @act_dtype: F32 or BF16: how activations and their gradients are stored
 *
 * Returns: (transfer full): an empty graph; free with tess_graph_unref().
 */
TessGraph *
tess_graph_new (TessDType act_dtype)
{
  TessGraph *graph;

  g_return_val_if_fail (act_dtype == TESS_DTYPE_F32 || act_dtype == TESS_DTYPE_BF16, NULL);

  graph = g_new0 (TessGraph, 1);
  g_atomic_ref_count_init (&graph->ref_count);
  graph->tensors = g_array_new (FALSE, TRUE, sizeof (TessTensor));
  g_array_set_clear_func (graph->tensors, clear_tensor);
  graph->ops = g_array_new (FALSE, TRUE, sizeof (TessOp));
  graph->tables = g_ptr_array_new_with_free_func (g_free);
  graph->stages = g_array_new (FALSE, FALSE, sizeof (guint));
  graph->act_dtype = act_dtype;
  return graph;
}

TessGraph *
tess_graph_ref (TessGraph *graph)
{
  g_atomic_ref_count_inc (&graph->ref_count);
  return graph;
}

void
tess_graph_unref (TessGraph *graph)
{
  if (graph == NULL || !g_atomic_ref_count_dec (&graph->ref_count))
    return;
  g_array_unref (graph->tensors);
  g_array_unref (graph->ops);
  g_ptr_array_unref (graph->tables);
  g_array_unref (graph->stages);
  g_free (graph);
}

/**
 * tess_op_name:
 *
 * Returns: (transfer none): a short lower-case name for messages, "conv-bwd-data".
 */
const char *
tess_op_name (TessOpKind kind)
{
  static const char *const names[TESS_N_OPS] = {
      [TESS_OP_CONV] = "conv",
      [TESS_OP_CONV_TRANSPOSE] = "conv-transpose",
      [TESS_OP_NORM_ACT] = "norm-act",
      [TESS_OP_LEAKY_RELU] = "leaky-relu",
      [TESS_OP_ADD] = "add",
      [TESS_OP_CONCAT] = "concat",
      [TESS_OP_LABEL_RESIZE] = "label-resize",
      [TESS_OP_LOSS] = "loss",
      [TESS_OP_CONV_BWD_DATA] = "conv-bwd-data",
      [TESS_OP_CONV_BWD_WEIGHTS] = "conv-bwd-weights",
      [TESS_OP_CONV_TRANSPOSE_BWD_DATA] = "conv-transpose-bwd-data",
      [TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS] = "conv-transpose-bwd-weights",
      [TESS_OP_NORM_ACT_BWD] = "norm-act-bwd",
      [TESS_OP_LEAKY_RELU_BWD] = "leaky-relu-bwd",
      [TESS_OP_CONCAT_BWD] = "concat-bwd",
      [TESS_OP_LOSS_BWD] = "loss-bwd",
      [TESS_OP_GRAD_NORM] = "grad-norm",
      [TESS_OP_SGD] = "sgd",
      [TESS_OP_ADD_ACT] = "add-act",
      [TESS_OP_AVG_POOL] = "avg-pool",
      [TESS_OP_AVG_POOL_BWD] = "avg-pool-bwd",
      [TESS_OP_ADAM] = "adam",
      [TESS_OP_ACT] = "act",
      [TESS_OP_ACT_BWD] = "act-bwd",
      [TESS_OP_MUL] = "mul",
      [TESS_OP_MUL_BWD] = "mul-bwd",
      [TESS_OP_MAX_POOL] = "max-pool",
      [TESS_OP_MAX_POOL_BWD] = "max-pool-bwd",
      [TESS_OP_GLOBAL_POOL] = "global-pool",
      [TESS_OP_GLOBAL_POOL_BWD] = "global-pool-bwd",
      [TESS_OP_RESIZE] = "resize",
      [TESS_OP_RESIZE_BWD] = "resize-bwd",
      [TESS_OP_WINDOW] = "window",
      [TESS_OP_NORM_APPLY] = "norm-apply",
      [TESS_OP_DROPOUT] = "dropout",
      [TESS_OP_NOISE] = "noise",
  };

  return (guint)kind < TESS_N_OPS ? names[kind] : "unknown";
}

TessId
tess_graph_find (const TessGraph *graph, const char *name)
{
  for (TessId id = 0; id < graph->tensors->len; id++)
    if (g_strcmp0 (tess_graph_tensor (graph, id)->name, name) == 0)
      return id;
  return TESS_NONE;
}

gint64
tess_tensor_n_elements (const TessTensor *tensor)
{
  gint64 n = 1;

  for (guint i = 0; i < tensor->n_dims; i++)
    n *= tensor->dim[i];
  return n;
}

/**
 * tess_graph_add_tensor:
 * @name: copied
 * @dim: @n_dims extents, slowest first; activations N, D, H, W, C
 *
 * Returns: the tensor's id, or TESS_NONE when a dimension is not positive or the bytes cannot be counted.
 */
TessId
tess_graph_add_tensor (TessGraph *graph, const char *name, TessRole role, TessDType dtype, guint n_dims,
                       const gint64 *dim)
{
  TessTensor tensor = {.role = role, .dtype = dtype, .n_dims = n_dims, .grad = TESS_NONE};
  gsize bytes = tess_dtype_size (dtype);

  g_return_val_if_fail (!graph->placed && n_dims >= 1 && n_dims <= TESS_MAX_DIMS, TESS_NONE);

  for (guint i = 0; i < n_dims; i++) {
    if (dim[i] < 1 || dim[i] > MAX_DIM || !g_size_checked_mul (&bytes, bytes, (gsize)dim[i]) || bytes > G_MAXINT64)
      return TESS_NONE;
    tensor.dim[i] = dim[i];
  }
  tensor.bytes = bytes;
  tensor.name = g_strdup (name);
  g_array_append_val (graph->tensors, tensor);
  return graph->tensors->len - 1;
}

/**
 * tess_graph_param:
 * @init_fan: > 0: Kaiming normal with this fan-in; 0: zeros; -1: ones
 *
 * Returns: a float32 parameter, or TESS_NONE when its dimensions make no sense.
 */
TessId
tess_graph_param (TessGraph *graph, const char *name, guint n_dims, const gint64 *dim, double init_fan)
{
  TessId id = tess_graph_add_tensor (graph, name, TESS_ROLE_PARAM, TESS_DTYPE_F32, n_dims, dim);

  if (id != TESS_NONE)
    tess_graph_tensor (graph, id)->init_fan = init_fan;
  return id;
}

static TessId G_GNUC_PRINTF (4, 5)
    misfit (const TessGraph *graph, TessOpKind kind, GError **error, const char *format, ...)
{
  g_autofree char *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("op %u (%s): %s"), graph->ops->len, tess_op_name (kind),
               text);
  return TESS_NONE;
}

static gboolean
known (const TessGraph *graph, TessId id)
{
  return id < graph->tensors->len && !graph->placed;
}

/* Forward ops come before the backward ones. */
static gboolean
growing (const TessGraph *graph, TessId id)
{
  return known (graph, id) && graph->ops->len == graph->n_forward;
}

/* Appends a forward op whose first output is a new tensor of this shape. */
static TessId
append (TessGraph *graph, TessOp *op, TessDType dtype, guint n_dims, const gint64 *dim, GError **error)
{
  g_autofree char *name = g_strdup_printf ("%s.%u", tess_op_name (op->kind), graph->ops->len);
  TessId id = tess_graph_add_tensor (graph, name, TESS_ROLE_ACT, dtype, n_dims, dim);

  if (id == TESS_NONE)
    return misfit (graph, op->kind, error, "%s", _ ("the result has no voxels or is too large to count"));
  op->n_out = MAX (op->n_out, 1);
  op->out[0] = id;
  g_array_append_val (graph->ops, *op);
  graph->n_forward = graph->ops->len;
  return id;
}

static TessOp
new_op (TessOpKind kind, guint n_in)
{
  TessOp op = {.kind = kind, .n_in = n_in, .n_out = 1};

  for (guint i = 0; i < G_N_ELEMENTS (op.in); i++)
    op.in[i] = TESS_NONE;
  for (guint i = 0; i < G_N_ELEMENTS (op.out); i++)
    op.out[i] = TESS_NONE;
  return op;
}

/* The axes of the weights are the kernel's, or those without one along which it is 1. */
static gboolean
is_kernel_of (const TessTensor *w, const TessConvAttr *attr)
{
  guint missing = 5 - w->n_dims, w_axis = 2;

  for (guint a = 0; a < 3; a++) {
    if (w_axis < w->n_dims && w->dim[w_axis] == attr->kernel[a])
      w_axis++;
    else if (missing-- == 0 || attr->kernel[a] != 1)
      return FALSE;
  }
  return w_axis == w->n_dims;
}

/* Voxels from a kernel's first to its last. */
static int
conv_reach (const TessConvAttr *attr, guint a)
{
  return (attr->kernel[a] - 1) * (attr->gap[a] + 1) + 1;
}

TessOp
tess_graph_new_op (TessOpKind kind, guint n_in)
{
  return new_op (kind, n_in);
}

gboolean
tess_graph_growing (const TessGraph *graph, TessId id)
{
  return growing (graph, id);
}

TessId
tess_graph_misfit (const TessGraph *graph, TessOpKind kind, const char *text, GError **error)
{
  return misfit (graph, kind, error, "%s", text);
}

TessId
tess_graph_append_op (TessGraph *graph, TessOp *op, TessDType dtype, guint n_dims, const gint64 *dim, GError **error)
{
  return append (graph, op, dtype, n_dims, dim, error);
}

/* What both kinds of convolution share. in_axis: the weight's axis of input channels (1 plain, 0 transposed). */
static gboolean
check_conv (const TessGraph *graph, TessOpKind kind, TessId x_id, TessId w_id, TessId b_id, const TessConvAttr *attr,
            guint in_axis, GError **error)
{
  const TessTensor *x = tess_graph_tensor (graph, x_id), *w = tess_graph_tensor (graph, w_id);

  if (x->n_dims != 5 || w->n_dims < 4) {
    misfit (graph, kind, error, "%s", _ ("the input must have five axes, the weights five or (slices) four"));
    return FALSE;
  }
  if (x->role == TESS_ROLE_PARAM || (x->dtype != TESS_DTYPE_F32 && x->dtype != graph->act_dtype)) {
    misfit (graph, kind, error, _ ("a parameter or %s cannot be the input"), tess_dtype_name (x->dtype));
    return FALSE;
  }
  if (w->role != TESS_ROLE_PARAM || w->dim[in_axis] != x->dim[4]) {
    misfit (graph, kind, error, _ ("the weights take %" PRId64 " channels, the input has %" PRId64), w->dim[in_axis],
            x->dim[4]);
    return FALSE;
  }
  if (b_id != TESS_NONE) {
    const TessTensor *b = tess_graph_tensor (graph, b_id);

    if (b->role != TESS_ROLE_PARAM || b->n_dims != 1 || b->dim[0] != w->dim[1 - in_axis]) {
      misfit (graph, kind, error, "%s", _ ("the bias does not have one value for each output channel"));
      return FALSE;
    }
  }
  for (guint a = 0; a < 3; a++)
    if (attr->kernel[a] < 1 || attr->kernel[a] > MAX_CONV_ATTR || attr->stride[a] < 1 ||
        attr->stride[a] > MAX_CONV_ATTR || attr->gap[a] < 0 || attr->gap[a] > MAX_CONV_ATTR || attr->pad[a] < 0 ||
        attr->pad[a] >= conv_reach (attr, a) || !is_kernel_of (w, attr)) {
      misfit (graph, kind, error, _ ("kernel %d, stride %d and padding %d along axis %u do not fit the weights"),
              attr->kernel[a], attr->stride[a], attr->pad[a], a);
      return FALSE;
    }
  return TRUE;
}

static TessOp
conv_op (TessOpKind kind, TessId x, TessId w, TessId b, const TessConvAttr *attr)
{
  TessOp op = new_op (kind, 3);

  op.in[0] = x;
  op.in[1] = w;
  op.in[2] = b;
  op.attr.conv = *attr;
  return op;
}

/**
 * tess_graph_conv:
 * @x: {N, D, H, W, in}
 * @w: parameter {out, in, kD, kH, kW}, or {out, in, ...} without one axis along which the kernel is 1
 * @b: parameter {out} or TESS_NONE
 * @out_dtype: F32 (logits) or the graph's act_dtype
 *
 * Cross-correlation with symmetric zero padding; each axis gives floor ((in + 2 pad - reach) / stride) + 1, where
 * reach = (kernel - 1) (gap + 1) + 1.
 *
 * Returns: {N, D', H', W', out}, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_conv (TessGraph *graph, TessId x, TessId w, TessId b, const TessConvAttr *attr, TessDType out_dtype,
                 GError **error)
{
  TessOp op;
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, x) && known (graph, w) && (b == TESS_NONE || known (graph, b)), TESS_NONE);
  g_return_val_if_fail (out_dtype == TESS_DTYPE_F32 || out_dtype == graph->act_dtype, TESS_NONE);

  if (!check_conv (graph, TESS_OP_CONV, x, w, b, attr, 1, error))
    return TESS_NONE;
  dim[0] = tess_graph_tensor (graph, x)->dim[0];
  for (guint a = 0; a < 3; a++) {
    gint64 room = tess_graph_tensor (graph, x)->dim[1 + a] + 2 * attr->pad[a] - conv_reach (attr, a);

    if (room < 0)
      return misfit (graph, TESS_OP_CONV, error, _ ("a kernel of %d does not fit %" PRId64 " voxels along axis %u"),
                     conv_reach (attr, a), tess_graph_tensor (graph, x)->dim[1 + a], a);
    dim[1 + a] = room / attr->stride[a] + 1;
  }
  dim[4] = tess_graph_tensor (graph, w)->dim[0];
  op = conv_op (TESS_OP_CONV, x, w, b, attr);
  return append (graph, &op, out_dtype, 5, dim, error);
}

/**
 * tess_graph_conv_transpose:
 * @x: {N, D, H, W, in}
 * @w: parameter {in, out, kD, kH, kW}
 * @b: parameter {out} or TESS_NONE
 *
 * The gradient of a convolution used as a forward op; each axis gives (in - 1) stride - 2 pad + reach.
 *
 * Returns: {N, D', H', W', out} in the graph's act_dtype, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_conv_transpose (TessGraph *graph, TessId x, TessId w, TessId b, const TessConvAttr *attr, GError **error)
{
  TessOp op;
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, x) && known (graph, w) && (b == TESS_NONE || known (graph, b)), TESS_NONE);

  if (!check_conv (graph, TESS_OP_CONV_TRANSPOSE, x, w, b, attr, 0, error))
    return TESS_NONE;
  dim[0] = tess_graph_tensor (graph, x)->dim[0];
  for (guint a = 0; a < 3; a++)
    dim[1 + a] =
        (tess_graph_tensor (graph, x)->dim[1 + a] - 1) * attr->stride[a] - 2 * attr->pad[a] + conv_reach (attr, a);
  dim[4] = tess_graph_tensor (graph, w)->dim[1];
  op = conv_op (TESS_OP_CONV_TRANSPOSE, x, w, b, attr);
  return append (graph, &op, graph->act_dtype, 5, dim, error);
}

static gboolean
is_activation (const TessGraph *graph, TessId id)
{
  const TessTensor *t = tess_graph_tensor (graph, id);

  return t->n_dims == 5 && t->dtype == graph->act_dtype && t->role != TESS_ROLE_PARAM;
}

/**
 * tess_graph_norm_act:
 * @x: {N, D, H, W, C}
 * @gamma: parameter {C}
 * @beta: parameter {C}
 *
 * Instance normalisation (Ulyanov et al., "Instance Normalization", 2016): each channel of each sample to mean 0 and
 * variance 1 (biased variance, eps inside the root or added to it), times gamma plus beta; then leaky ReLU with attr's
 * slope. The op's second output, stats f32 {N, C, 2}, holds mean and 1 / sqrt (variance + eps).
 *
 * Returns: the shape of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_norm_act (TessGraph *graph, TessId x, TessId gamma, TessId beta, const TessNormAttr *attr, GError **error)
{
  TessOp op = new_op (TESS_OP_NORM_ACT, 3);
  gint64 dim[5], stats_dim[3];
  TessId stats;

  g_return_val_if_fail (growing (graph, x) && known (graph, gamma) && known (graph, beta), TESS_NONE);

  if (!is_activation (graph, x))
    return misfit (graph, op.kind, error, "%s", _ ("the input must have five axes and the graph's element type"));
  memcpy (dim, tess_graph_tensor (graph, x)->dim, sizeof dim);
  for (guint i = 0; i < 2; i++) {
    const TessTensor *p = tess_graph_tensor (graph, i == 0 ? gamma : beta);

    if (p->role != TESS_ROLE_PARAM || p->n_dims != 1 || p->dim[0] != dim[4])
      return misfit (graph, op.kind, error, "%s", _ ("scale and shift need one value for each channel"));
  }
  stats_dim[0] = dim[0];
  stats_dim[1] = dim[4];
  stats_dim[2] = 2;
  {
    g_autofree char *name = g_strdup_printf ("%s.%u.stats", tess_op_name (op.kind), graph->ops->len);

    stats = tess_graph_add_tensor (graph, name, TESS_ROLE_ACT, TESS_DTYPE_F32, 3, stats_dim);
  }
  op.in[0] = x;
  op.in[1] = gamma;
  op.in[2] = beta;
  op.n_out = 2;
  op.out[1] = stats;
  op.attr.norm = *attr;
  return append (graph, &op, graph->act_dtype, 5, dim, error);
}

/**
 * tess_graph_leaky_relu:
 *
 * y = x where x > 0, slope x elsewhere. Returns: the shape of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_leaky_relu (TessGraph *graph, TessId x, float slope, GError **error)
{
  TessOp op = new_op (TESS_OP_LEAKY_RELU, 1);
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, x), TESS_NONE);

  if (!is_activation (graph, x))
    return misfit (graph, op.kind, error, "%s", _ ("the input must have five axes and the graph's element type"));
  memcpy (dim, tess_graph_tensor (graph, x)->dim, sizeof dim);
  op.in[0] = x;
  op.attr.norm.slope = slope;
  return append (graph, &op, graph->act_dtype, 5, dim, error);
}

/* ADD and CONCAT: the first n_equal axes must agree. */
static TessId
join (TessGraph *graph, TessOpKind kind, TessId a, TessId b, guint n_equal, GError **error)
{
  TessOp op = new_op (kind, 2);
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, a) && known (graph, b), TESS_NONE);

  if (!is_activation (graph, a) || !is_activation (graph, b))
    return misfit (graph, kind, error, "%s", _ ("the inputs must have five axes and the graph's element type"));
  memcpy (dim, tess_graph_tensor (graph, a)->dim, sizeof dim);
  for (guint i = 0; i < n_equal; i++)
    if (dim[i] != tess_graph_tensor (graph, b)->dim[i])
      return misfit (graph, kind, error, _ ("axis %u is %" PRId64 " in one input and %" PRId64 " in the other"), i,
                     dim[i], tess_graph_tensor (graph, b)->dim[i]);
  if (n_equal == 4)
    dim[4] += tess_graph_tensor (graph, b)->dim[4];
  op.in[0] = a;
  op.in[1] = b;
  return append (graph, &op, graph->act_dtype, 5, dim, error);
}

/* Element-wise sum of two tensors of one shape. */
TessId
tess_graph_add (TessGraph *graph, TessId a, TessId b, GError **error)
{
  return join (graph, TESS_OP_ADD, a, b, 5, error);
}

/* Channels of @a, then channels of @b. */
TessId
tess_graph_concat (TessGraph *graph, TessId a, TessId b, GError **error)
{
  return join (graph, TESS_OP_CONCAT, a, b, 4, error);
}

/**
 * tess_graph_add_act:
 * @slope: of the leaky ReLU, 0 or more
 *
 * The end of a residual block (He et al. 2016): leaky ReLU of the sum of two tensors of one shape. Only the result is
 * kept for the backward pass: it lies on the same side of zero as the sum.
 */
TessId
tess_graph_add_act (TessGraph *graph, TessId a, TessId b, float slope, GError **error)
{
  TessId y;

  g_return_val_if_fail (slope >= 0, TESS_NONE);

  y = join (graph, TESS_OP_ADD_ACT, a, b, 5, error);
  if (y != TESS_NONE)
    tess_graph_op (graph, graph->ops->len - 1)->attr.norm.slope = slope;
  return y;
}

/**
 * tess_graph_avg_pool:
 * @x: {N, D, H, W, C}
 * @attr: no padding
 *
 * Mean over each window (torch.nn.AvgPool3d); each axis gives floor ((in - kernel) / stride) + 1. Voxels beyond the
 * last window count in none.
 *
 * Returns: {N, D', H', W', C}, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_avg_pool (TessGraph *graph, TessId x, const TessConvAttr *attr, GError **error)
{
  TessOp op = new_op (TESS_OP_AVG_POOL, 1);
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, x), TESS_NONE);

  if (!is_activation (graph, x))
    return misfit (graph, op.kind, error, "%s", _ ("the input must have five axes and the graph's element type"));
  memcpy (dim, tess_graph_tensor (graph, x)->dim, sizeof dim);
  for (guint a = 0; a < 3; a++) {
    if (attr->kernel[a] < 1 || attr->kernel[a] > MAX_CONV_ATTR || attr->stride[a] < 1 ||
        attr->stride[a] > MAX_CONV_ATTR || attr->pad[a] != 0 || dim[1 + a] < attr->kernel[a])
      return misfit (graph, op.kind, error,
                     _ ("a window of %d with a stride of %d does not fit %" PRId64 " voxels along axis %u"),
                     attr->kernel[a], attr->stride[a], dim[1 + a], a);
    dim[1 + a] = (dim[1 + a] - attr->kernel[a]) / attr->stride[a] + 1;
  }
  op.in[0] = x;
  op.attr.conv = *attr;
  return append (graph, &op, graph->act_dtype, 5, dim, error);
}

/**
 * tess_graph_label_resize:
 * @labels: uint8 {N, D, H, W, 1}
 * @dhw: wanted D, H, W
 *
 * Nearest-exact as torch.nn.functional.interpolate has it: source index floor ((i + 0.5) in / out).
 */
TessId
tess_graph_label_resize (TessGraph *graph, TessId labels, const gint64 dhw[3], GError **error)
{
  TessOp op = new_op (TESS_OP_LABEL_RESIZE, 1);
  const TessTensor *t;
  gint64 dim[5];

  g_return_val_if_fail (growing (graph, labels), TESS_NONE);

  t = tess_graph_tensor (graph, labels);
  if (t->n_dims != 5 || t->dtype != TESS_DTYPE_U8 || t->dim[4] != 1)
    return misfit (graph, op.kind, error, "%s", _ ("labels must be uint8 with one channel"));
  dim[0] = t->dim[0];
  memcpy (dim + 1, dhw, 3 * sizeof *dim);
  dim[4] = 1;
  op.in[0] = labels;
  return append (graph, &op, TESS_DTYPE_U8, 5, dim, error);
}

/**
 * tess_graph_loss:
 * @logits: float32 {N, D, H, W, classes}
 * @labels: uint8 {N, D, H, W, 1}
 * @attr: which loss; regions are copied
 *
 * The activation is inside: softmax, or with regions one sigmoid a channel. p: probabilities, g: 1 where true, sums
 * over the voxels of a sample (of the batch with batch_dice) that are not ignored:
 *
 * - cross-entropy: mean of -log p[truth]; with regions the mean over voxels and channels of the binary one, but with an
 *   ignore label its sum over channels divided by the voxels that count (so nnU-Net has it);
 * - focal term (Lin et al. 2017): the same with (1 - p of what is true)^gamma before each logarithm;
 * - overlap: - mean over classes and samples of (2 TP + smooth) / max (2 TP + 2 alpha FP + 2 beta FN + smooth, 1e-8)
 *   with TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g (Tversky index, Salehi et al. 2017); soft Dice is
 *   alpha = beta = 0.5 (nnU-Net's MemoryEfficientSoftDice; with smooth 1 and regions the average Dice of the second
 *   place of the Medical Segmentation Decathlon 2018).
 *
 * Returns: metrics, float64 {TESS_METRICS_SIZE}, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_loss (TessGraph *graph, TessId logits, TessId labels, const TessLossAttr *attr, GError **error)
{
  TessOp op = new_op (TESS_OP_LOSS, 2);
  const TessTensor *z, *l;
  gint64 dim = TESS_METRICS_SIZE ((gint64)attr->n_classes);

  g_return_val_if_fail (growing (graph, logits) && known (graph, labels), TESS_NONE);

  z = tess_graph_tensor (graph, logits);
  l = tess_graph_tensor (graph, labels);
  if (z->n_dims != 5 || z->dtype != TESS_DTYPE_F32 || attr->n_classes < (attr->regions != NULL ? 1 : 2) ||
      attr->n_classes > (attr->regions != NULL ? TESS_MAX_REGIONS : 256) || z->dim[4] != attr->n_classes)
    return misfit (graph, op.kind, error, "%s",
                   attr->regions != NULL
                       ? _ ("the logits must be float32 with one channel for each of 1 to 64 regions")
                       : _ ("the logits must be float32 with one channel for each of at least two classes"));
  if (l->n_dims != 5 || l->dtype != TESS_DTYPE_U8 || l->dim[4] != 1 || memcmp (z->dim, l->dim, 4 * sizeof *z->dim) != 0)
    return misfit (graph, op.kind, error, "%s", _ ("the labels do not lie on the voxels of the logits"));
  op.in[0] = logits;
  op.in[1] = labels;
  op.attr.loss = *attr;
  if (attr->regions != NULL) {
    op.attr.loss.regions = g_memdup2 (attr->regions, 256 * sizeof *attr->regions);
    g_ptr_array_add (graph->tables, (gpointer)op.attr.loss.regions);
  }
  return append (graph, &op, TESS_DTYPE_F64, 1, &dim, error);
}

/**
 * tess_graph_mark_output:
 *
 * The caller will read this result (an activation, a gradient of one, stats, metrics, a norm) after a run, so its
 * memory is never shared. Results that are outputs already, and tensors the caller owns anyway, stay as they are.
 */
void
tess_graph_mark_output (TessGraph *graph, TessId id)
{
  g_return_if_fail (known (graph, id));

  if (tess_graph_tensor (graph, id)->role == TESS_ROLE_ACT)
    tess_graph_tensor (graph, id)->role = TESS_ROLE_OUTPUT;
}

/* 53 bits in (0,1]: the logarithm of it is finite. */
static double
unit_open (guint32 high, guint32 low)
{
  return ((double)((((guint64)high << 32) | low) >> 11) + 1.0) * 0x1p-53;
}

/**
 * tess_graph_init_params:
 * @graph: placed
 * @slope: of the leaky ReLU, the "a" of Kaiming's gain
 * @param_arena: host memory of arena_bytes[TESS_ARENA_PARAM]; padding between parameters is left alone
 *
 * Kaiming normal (He et al. 2015), fan-in, as torch.nn.init.kaiming_normal_: standard deviation
 * sqrt (2 / (1 + a^2) / fan). Each draw is addressed by (seed, ordinal of the parameter, index), so the numbers depend
 * neither on the program's batch and patch nor on threads. Two normals a Philox block (Box and Muller 1958).
 */
void
tess_graph_init_params (const TessGraph *graph, guint64 seed, double slope, void *param_arena)
{
  guint ordinal = 0;

  g_return_if_fail (graph->placed);

  for (TessId id = 0; id < graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (graph, id);
    float *values;
    gsize n;
    double scale;

    if (t->role != TESS_ROLE_PARAM)
      continue;
    values = (float *)(gpointer)((guint8 *)param_arena + t->offset);
    n = (gsize)tess_tensor_n_elements (t);
    scale = t->init_fan > 0 ? sqrt (2.0 / (1.0 + slope * slope) / t->init_fan) : 0.0;
    for (gsize i = 0; i < n; i += 2) {
      gsize pair = i / 2;
      TessPhilox4 r =
          tess_philox (seed, 0x696e6974u /* "init" */, (guint32)((guint64)pair >> 32), ordinal, (guint32)pair);
      double radius = sqrt (-2.0 * log (unit_open (r.v[0], r.v[1])));
      double angle = 2.0 * G_PI * unit_open (r.v[2], r.v[3]);
      double constant = t->init_fan < 0 ? 1.0 : 0.0;

      values[i] = (float)(constant + scale * radius * cos (angle));
      if (i + 1 < n)
        values[i + 1] = (float)(constant + scale * radius * sin (angle));
    }
    ordinal++;
  }
}
