#include "tess-onnx-private.h"
#include "tess-protobuf.h"

#include <math.h>
#include <string.h>

/* One op of the graph as the ONNX operators that do the same. Activations are {N, C, D, H, W} there, {N, C, H, W} in
 * networks of slices. Source: github.com/onnx/onnx, docs/Operators.md and onnx/onnx.proto (numbers of fields). */

enum { GRAPH_NODE = 1, GRAPH_INITIALIZER = 5 };
enum { NODE_INPUT = 1, NODE_OUTPUT, NODE_NAME, NODE_OP_TYPE, NODE_ATTRIBUTE };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_F, ATTRIBUTE_I, ATTRIBUTE_S, ATTRIBUTE_INTS = 8, ATTRIBUTE_TYPE = 20 };
enum { TYPE_FLOAT = 1, TYPE_INT, TYPE_STRING, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_DATA_TYPE, TENSOR_NAME = 8, TENSOR_RAW_DATA };
enum { DATA_FLOAT = 1, DATA_INT64 = 7 };

guint
tess_onnx_axes (const TessOnnx *onnx, const gint64 dhw[3], gint64 *out)
{
  guint n = 0;

  for (guint a = 0; a < 3; a++)
    if (onnx->flat != a + 1)
      out[n++] = dhw[a];
  return n;
}

static guint
int_axes (const TessOnnx *onnx, const int dhw[3], gint64 *out)
{
  const gint64 wide[3] = {dhw[0], dhw[1], dhw[2]};

  return tess_onnx_axes (onnx, wide, out);
}

char *
tess_onnx_value (const TessOnnx *onnx, TessId id)
{
  const TessTensor *t = tess_graph_tensor (onnx->graph, id);

  if (id == onnx->network->image)
    return g_strdup ("image");
  if (id == onnx->network->logits[0])
    return g_strdup ("logits");
  return t->role == TESS_ROLE_PARAM ? g_strdup (t->name) : g_strdup_printf ("v%u", id);
}

/* ---- attributes ---- */

static GByteArray *
attribute (const char *name, int type)
{
  GByteArray *out = g_byte_array_new ();

  tess_protobuf_text (out, ATTRIBUTE_NAME, name);
  tess_protobuf_int (out, ATTRIBUTE_TYPE, type);
  return out;
}

static void
put_ints (GByteArray *node, const char *name, const gint64 *values, guint n)
{
  GByteArray *out = attribute (name, TYPE_INTS);

  for (guint i = 0; i < n; i++)
    tess_protobuf_int (out, ATTRIBUTE_INTS, values[i]);
  tess_protobuf_message (node, NODE_ATTRIBUTE, out);
}

static void
put_int (GByteArray *node, const char *name, gint64 value)
{
  GByteArray *out = attribute (name, TYPE_INT);

  tess_protobuf_int (out, ATTRIBUTE_I, value);
  tess_protobuf_message (node, NODE_ATTRIBUTE, out);
}

static void
put_float (GByteArray *node, const char *name, float value)
{
  GByteArray *out = attribute (name, TYPE_FLOAT);

  tess_protobuf_float (out, ATTRIBUTE_F, value);
  tess_protobuf_message (node, NODE_ATTRIBUTE, out);
}

static void
put_text (GByteArray *node, const char *name, const char *text)
{
  GByteArray *out = attribute (name, TYPE_STRING);

  tess_protobuf_text (out, ATTRIBUTE_S, text);
  tess_protobuf_message (node, NODE_ATTRIBUTE, out);
}

/* ---- nodes and initialisers ---- */

/* inputs: of at most three names, NULL-terminated; "": left out. Attributes are appended before node_end(). */
static GByteArray *
node_begin (const char *op_type, const char *output, const char *const *inputs)
{
  GByteArray *node = g_byte_array_new ();
  g_autofree char *name = g_strdup_printf ("%s_%s", op_type, output);

  for (guint i = 0; inputs[i] != NULL; i++)
    tess_protobuf_text (node, NODE_INPUT, inputs[i]);
  tess_protobuf_text (node, NODE_OUTPUT, output);
  tess_protobuf_text (node, NODE_NAME, name);
  tess_protobuf_text (node, NODE_OP_TYPE, op_type);
  return node;
}

static void
node_end (TessOnnx *onnx, GByteArray *node)
{
  tess_protobuf_message (onnx->nodes, GRAPH_NODE, node);
}

static void
plain_node (TessOnnx *onnx, const char *op_type, const char *output, const char *a, const char *b)
{
  node_end (onnx, node_begin (op_type, output, (const char *const[]){a, b, NULL}));
}

/* A vector (n_dims 1) or, with n_dims 0, a single number; little-endian, as the machine has it. */
static void
constant (TessOnnx *onnx, const char *name, int type, const void *data, gsize size, guint n, guint n_dims)
{
  GByteArray *out = g_byte_array_new ();

  G_STATIC_ASSERT (G_BYTE_ORDER == G_LITTLE_ENDIAN);
  if (n_dims > 0)
    tess_protobuf_int (out, TENSOR_DIMS, n);
  tess_protobuf_int (out, TENSOR_DATA_TYPE, type);
  tess_protobuf_text (out, TENSOR_NAME, name);
  tess_protobuf_bytes (out, TENSOR_RAW_DATA, data, size * n);
  tess_protobuf_message (onnx->constants, GRAPH_INITIALIZER, out);
}

static char *
number (TessOnnx *onnx, const char *of, const char *what, float value)
{
  char *name = g_strdup_printf ("%s.%s", of, what);

  constant (onnx, name, DATA_FLOAT, &value, sizeof value, 1, 0);
  return name;
}

static char *
integers (TessOnnx *onnx, const char *of, const char *what, const gint64 *values, guint n)
{
  char *name = g_strdup_printf ("%s.%s", of, what);

  constant (onnx, name, DATA_INT64, values, sizeof *values, n, 1);
  return name;
}

/* A parameter as it is, or one value a channel against activations. */
static char *
weight (TessOnnx *onnx, TessId id, gboolean per_channel)
{
  const TessTensor *t = tess_graph_tensor (onnx->graph, id);
  TessOnnxWeight w = {.id = id, .n_dims = t->n_dims};

  memcpy (w.dim, t->dim, sizeof w.dim);
  if (per_channel) {
    w.n_dims = onnx->flat > 0 ? 3 : 4;
    for (guint i = 1; i < w.n_dims; i++)
      w.dim[i] = 1;
  }
  g_array_append_val (onnx->weights, w);
  return tess_onnx_value (onnx, id);
}

/* Leaky ReLU of a value; slope 1 must not come here. */
static void
leaky (TessOnnx *onnx, const char *from, const char *to, float slope)
{
  GByteArray *node = node_begin (slope > 0.0f ? "LeakyRelu" : "Relu", to, (const char *const[]){from, NULL});

  if (slope > 0.0f)
    put_float (node, "alpha", slope);
  node_end (onnx, node);
}

/* ---- ops ---- */

static void
put_windows (TessOnnx *onnx, GByteArray *node, const TessConvAttr *attr, gboolean padded)
{
  gint64 values[6];
  guint n = int_axes (onnx, attr->kernel, values);

  put_ints (node, "kernel_shape", values, n);
  n = int_axes (onnx, attr->stride, values);
  put_ints (node, "strides", values, n);
  if (!padded)
    return;
  n = int_axes (onnx, attr->pad, values);
  memcpy (values + n, values, n * sizeof *values);
  put_ints (node, "pads", values, 2 * n);
  n = int_axes (onnx, attr->gap, values);
  for (guint i = 0; i < n; i++)
    values[i]++;
  put_ints (node, "dilations", values, n);
}

static void
add_conv (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  gboolean up = op->kind == TESS_OP_CONV_TRANSPOSE;
  g_autofree char *w = weight (onnx, op->in[1], FALSE);
  g_autofree char *b = op->in[2] != TESS_NONE ? weight (onnx, op->in[2], FALSE) : NULL;
  GByteArray *node = node_begin (up ? "ConvTranspose" : "Conv", y, (const char *const[]){x, w, b, NULL});

  put_windows (onnx, node, &op->attr.conv, TRUE);
  node_end (onnx, node);
}

static void
mean_over_voxels (TessOnnx *onnx, const char *from, const char *to)
{
  static const gint64 axes[3] = {2, 3, 4};
  GByteArray *node = node_begin ("ReduceMean", to, (const char *const[]){from, NULL});

  put_ints (node, "axes", axes, onnx->flat > 0 ? 2 : 3);
  put_int (node, "keepdims", 1);
  node_end (onnx, node);
}

/* (x - mean) / (std + eps) * gamma + beta in single steps: InstanceNormalization has eps below the root. */
static void
norm_on_std (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  static const char *const steps[] = {"mean", "apart", "square", "variance", "std", "below", "ratio", "scaled"};
  g_autofree char *gamma = weight (onnx, op->in[1], TRUE), *beta = weight (onnx, op->in[2], TRUE);
  g_autofree char *eps = number (onnx, y, "eps", op->attr.norm.eps);
  char *v[G_N_ELEMENTS (steps)];

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    v[i] = g_strdup_printf ("%s.%s", y, steps[i]);
  mean_over_voxels (onnx, x, v[0]);
  plain_node (onnx, "Sub", v[1], x, v[0]);
  plain_node (onnx, "Mul", v[2], v[1], v[1]);
  mean_over_voxels (onnx, v[2], v[3]);
  plain_node (onnx, "Sqrt", v[4], v[3], NULL);
  plain_node (onnx, "Add", v[5], v[4], eps);
  plain_node (onnx, "Div", v[6], v[1], v[5]);
  plain_node (onnx, "Mul", v[7], v[6], gamma);
  plain_node (onnx, "Add", y, v[7], beta);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    g_free (v[i]);
}

static void
add_norm (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  float slope = op->attr.norm.slope;
  g_autofree char *normed = slope != 1.0f ? g_strdup_printf ("%s.norm", y) : g_strdup (y);

  if (op->attr.norm.eps_on_std) {
    norm_on_std (onnx, op, x, normed);
  } else {
    g_autofree char *gamma = weight (onnx, op->in[1], FALSE), *beta = weight (onnx, op->in[2], FALSE);
    GByteArray *node = node_begin ("InstanceNormalization", normed, (const char *const[]){x, gamma, beta, NULL});

    put_float (node, "epsilon", op->attr.norm.eps);
    node_end (onnx, node);
  }
  if (slope != 1.0f)
    leaky (onnx, normed, y, slope);
}

/* x Phi (x) by the error function, which is an operator of its own only since opset 20. */
static void
add_gelu (TessOnnx *onnx, const char *x, const char *y)
{
  g_autofree char *root = number (onnx, y, "root", (float)M_SQRT2), *one = number (onnx, y, "one", 1.0f);
  g_autofree char *half = number (onnx, y, "half", 0.5f), *a = g_strdup_printf ("%s.a", y);
  g_autofree char *b = g_strdup_printf ("%s.b", y), *c = g_strdup_printf ("%s.c", y), *d = g_strdup_printf ("%s.d", y);

  plain_node (onnx, "Div", a, x, root);
  plain_node (onnx, "Erf", b, a, NULL);
  plain_node (onnx, "Add", c, b, one);
  plain_node (onnx, "Mul", d, c, x);
  plain_node (onnx, "Mul", y, d, half);
}

static gboolean
add_act (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  g_autofree char *alpha = NULL;

  switch (op->attr.act.kind) {
  case TESS_ACT_PRELU:
    alpha = weight (onnx, op->in[1], TRUE);
    plain_node (onnx, "PRelu", y, x, alpha);
    return TRUE;
  case TESS_ACT_GELU:
    add_gelu (onnx, x, y);
    return TRUE;
  case TESS_ACT_SIGMOID:
    plain_node (onnx, "Sigmoid", y, x, NULL);
    return TRUE;
  case TESS_ACT_ELU: /* its alpha is 1 unless said otherwise */
    plain_node (onnx, "Elu", y, x, NULL);
    return TRUE;
  case TESS_ACT_LEAKY_RELU:
    break;
  }
  return FALSE;
}

static void
add_concat (TessOnnx *onnx, const char *a, const char *b, const char *y)
{
  GByteArray *node = node_begin ("Concat", y, (const char *const[]){a, b, NULL});

  put_int (node, "axis", 1);
  node_end (onnx, node);
}

static void
add_pool (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  GByteArray *node =
      node_begin (op->kind == TESS_OP_MAX_POOL ? "MaxPool" : "AveragePool", y, (const char *const[]){x, NULL});

  put_windows (onnx, node, &op->attr.conv, FALSE);
  node_end (onnx, node);
}

/* By factors and not by sizes, which would fix the batch. The result's size is the floor of input times factor, which
 * some take in float and some in double. */
static float
factor (gint64 in, gint64 out)
{
  float f = (float)out / (float)in;

  while (floorf ((float)in * f) < (float)out || floor ((double)in * (double)f) < (double)out)
    f = nextafterf (f, INFINITY);
  return f;
}

static void
resize_linear (TessOnnx *onnx, const gint64 *from, const gint64 *to, guint n, const char *x, const char *y)
{
  g_autofree char *scales = g_strdup_printf ("%s.scales", y);
  float values[5] = {1.0f, 1.0f};
  GByteArray *node;

  for (guint a = 0; a < n; a++)
    values[2 + a] = factor (from[a], to[a]);
  constant (onnx, scales, DATA_FLOAT, values, sizeof *values, 2 + n, 1);
  node = node_begin ("Resize", y, (const char *const[]){x, "", scales, NULL});
  put_text (node, "mode", "linear");
  put_text (node, "coordinate_transformation_mode", "half_pixel");
  node_end (onnx, node);
}

/* Axis after axis by the numbers of the voxels: a factor in float would take the wrong one now and then. */
static void
resize_nearest (TessOnnx *onnx, const gint64 *from, const gint64 *to, guint n, const char *x, const char *y)
{
  g_autofree char *last = g_strdup (x);

  for (guint a = 0; a < n; a++) {
    g_autofree gint64 *index = g_new (gint64, to[a]);
    g_autofree char *what = g_strdup_printf ("index%u", a), *name = NULL;
    char *next = a + 1 < n ? g_strdup_printf ("%s.axis%u", y, a) : g_strdup (y);
    GByteArray *node;

    for (gint64 i = 0; i < to[a]; i++)
      index[i] = i * from[a] / to[a];
    name = integers (onnx, y, what, index, (guint)to[a]);
    node = node_begin ("Gather", next, (const char *const[]){last, name, NULL});
    put_int (node, "axis", 2 + a);
    node_end (onnx, node);
    g_free (last);
    last = next;
  }
}

static void
add_resize (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  gint64 from[3], to[3];
  guint n = tess_onnx_axes (onnx, tess_graph_tensor (onnx->graph, op->in[0])->dim + 1, from);

  tess_onnx_axes (onnx, tess_graph_tensor (onnx->graph, op->out[0])->dim + 1, to);
  if (op->attr.resize.linear)
    resize_linear (onnx, from, to, n, x, y);
  else
    resize_nearest (onnx, from, to, n, x, y);
}

/* What there is is cut out, and zeros are put around it. */
static void
add_window (TessOnnx *onnx, const TessOp *op, const char *x, const char *y)
{
  static const gint64 axes[3] = {2, 3, 4};
  const gint64 *have = tess_graph_tensor (onnx->graph, op->in[0])->dim + 1;
  const gint64 *want = tess_graph_tensor (onnx->graph, op->out[0])->dim + 1;
  gint64 begin[3], end[3], before[3], after[3], pads[10] = {0};
  gboolean pad = FALSE;
  guint n;

  for (guint a = 0; a < 3; a++) {
    gint64 start = op->attr.window.start[a];

    begin[a] = MAX (start, 0);
    end[a] = MIN (start + want[a], have[a]);
    before[a] = MAX (-start, 0);
    after[a] = MAX (start + want[a] - have[a], 0);
    pad = pad || before[a] > 0 || after[a] > 0;
  }
  n = tess_onnx_axes (onnx, begin, begin);
  tess_onnx_axes (onnx, end, end);
  tess_onnx_axes (onnx, before, pads + 2);
  tess_onnx_axes (onnx, after, pads + 4 + n);
  {
    g_autofree char *cut = pad ? g_strdup_printf ("%s.cut", y) : g_strdup (y);
    g_autofree char *starts = integers (onnx, y, "starts", begin, n), *ends = integers (onnx, y, "ends", end, n);
    g_autofree char *over = integers (onnx, y, "axes", axes, n);
    g_autofree char *around = pad ? integers (onnx, y, "pads", pads, 2 * (2 + n)) : NULL;

    node_end (onnx, node_begin ("Slice", cut, (const char *const[]){x, starts, ends, over, NULL}));
    if (pad)
      plain_node (onnx, "Pad", y, cut, around);
  }
}

static gboolean
refuse (const TessOp *op, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("the network's op \"%s\" cannot be written as ONNX; keep the model as .safetensors or .pth"),
               tess_op_name (op->kind));
  return FALSE;
}

gboolean
tess_onnx_add_op (TessOnnx *onnx, guint i, GError **error)
{
  const TessOp *op = tess_graph_op (onnx->graph, i);
  g_autofree char *x = tess_onnx_value (onnx, op->in[0]), *y = tess_onnx_value (onnx, op->out[0]);
  gboolean two =
      op->kind == TESS_OP_ADD || op->kind == TESS_OP_ADD_ACT || op->kind == TESS_OP_MUL || op->kind == TESS_OP_CONCAT;
  g_autofree char *b = two ? tess_onnx_value (onnx, op->in[1]) : NULL, *sum = NULL;

  switch ((int)op->kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
    add_conv (onnx, op, x, y);
    return TRUE;
  case TESS_OP_NORM_ACT:
    add_norm (onnx, op, x, y);
    return TRUE;
  case TESS_OP_LEAKY_RELU:
    leaky (onnx, x, y, op->attr.norm.slope);
    return TRUE;
  case TESS_OP_ADD:
  case TESS_OP_MUL:
    plain_node (onnx, op->kind == TESS_OP_ADD ? "Add" : "Mul", y, x, b);
    return TRUE;
  case TESS_OP_ADD_ACT:
    sum = g_strdup_printf ("%s.sum", y);
    plain_node (onnx, "Add", sum, x, b);
    leaky (onnx, sum, y, op->attr.norm.slope);
    return TRUE;
  case TESS_OP_CONCAT:
    add_concat (onnx, x, b, y);
    return TRUE;
  case TESS_OP_AVG_POOL:
  case TESS_OP_MAX_POOL:
    add_pool (onnx, op, x, y);
    return TRUE;
  case TESS_OP_GLOBAL_POOL:
    plain_node (onnx, "GlobalAveragePool", y, x, NULL);
    return TRUE;
  case TESS_OP_ACT:
    return add_act (onnx, op, x, y) || refuse (op, error);
  case TESS_OP_RESIZE:
    onnx->fixed = TRUE;
    add_resize (onnx, op, x, y);
    return TRUE;
  case TESS_OP_WINDOW:
    onnx->fixed = TRUE;
    add_window (onnx, op, x, y);
    return TRUE;
  default:
    return refuse (op, error);
  }
}
