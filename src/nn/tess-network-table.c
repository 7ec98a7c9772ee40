#include "tess-network-table.h"

/* Along one axis, the voxels of the image a result depends on: index i sees [first, last]. Both repeat: what is
 * `period` indices further on sees `span` voxels further on, for every tensor of one network the same span. */
typedef struct {
  gint64 period;
  gint64 *first, *last;
} Field;

typedef struct {
  const TessGraph *graph;
  TessId image;
  GPtrArray *rows;
  Field *fields[3]; /* by tensor; period 0: not known (labels, statistics) or all of the patch */
  gint64 span[3];
} Table;

static void
row_free (gpointer data)
{
  TessNetworkRow *row = data;

  g_free (row->name);
  g_free (row);
}

/* ---- receptive fields ---- */

static void
field_new (Field *field, gint64 period)
{
  field->period = period;
  field->first = g_new (gint64, period);
  field->last = g_new (gint64, period);
}

static void
field_at (const Table *t, guint axis, TessId id, gint64 i, gint64 *first, gint64 *last)
{
  const Field *field = &t->fields[axis][id];
  gint64 turns = i >= 0 ? i / field->period : -((field->period - 1 - i) / field->period);
  gint64 phase = i - turns * field->period;

  *first = MIN (*first, field->first[phase] + turns * t->span[axis]);
  *last = MAX (*last, field->last[phase] + turns * t->span[axis]);
}

static gboolean
is_windowed (const TessOp *op)
{
  return op->kind == TESS_OP_CONV || op->kind == TESS_OP_AVG_POOL || op->kind == TESS_OP_MAX_POOL;
}

static gint64
divided_down (gint64 a, gint64 b)
{
  return a >= 0 ? a / b : -((b - 1 - a) / b);
}

/* Result index i reads the indices [from, to] of x. ratio: voxels of the result in one of x; of a resize. */
static void
window (const TessOp *op, guint axis, gint64 i, gint64 ratio, gint64 *from, gint64 *to)
{
  const TessConvAttr *c = &op->attr.conv;

  *from = *to = i;
  if (is_windowed (op)) {
    *from = i * c->stride[axis] - c->pad[axis];
    *to = *from + (c->kernel[axis] - 1) * (c->gap[axis] + 1);
  } else if (op->kind == TESS_OP_CONV_TRANSPOSE) { /* i = j stride - pad + k */
    *to = divided_down (i + c->pad[axis], c->stride[axis]);
    *from = divided_down (i + c->pad[axis] - c->kernel[axis] + c->stride[axis], c->stride[axis]);
  } else if (op->kind == TESS_OP_WINDOW) {
    *from = *to = i + op->attr.window.start[axis];
  } else if (op->kind == TESS_OP_RESIZE && ratio > 1) {
    *from = op->attr.resize.linear ? divided_down (2 * i + 1 - ratio, 2 * ratio) : i / ratio;
    *to = *from + (op->attr.resize.linear ? 1 : 0);
  }
}

/* Voxels of the image in one of a tensor, by the strides on the way to it: of a result from that of x. 0: it has seen
 * the whole patch. */
static gint64
coarseness (const Table *t, const TessOp *op, guint axis, gint64 x)
{
  gint64 in = tess_graph_tensor (t->graph, op->in[0])->dim[1 + axis];
  gint64 out = tess_graph_tensor (t->graph, op->out[0])->dim[1 + axis];

  if (op->kind == TESS_OP_GLOBAL_POOL)
    return 0;
  if (is_windowed (op))
    return x * op->attr.conv.stride[axis];
  if (op->kind == TESS_OP_CONV_TRANSPOSE)
    return x / op->attr.conv.stride[axis];
  return op->kind == TESS_OP_RESIZE ? x / MAX ((out + in / 2) / in, 1) : x;
}

static void
add_field (Table *t, const TessOp *op, guint axis, const gint64 *coarse)
{
  gboolean joins =
      op->kind == TESS_OP_CONCAT || op->kind == TESS_OP_ADD_ACT || op->kind == TESS_OP_ADD || op->kind == TESS_OP_MUL;
  Field *y = &t->fields[axis][op->out[0]];
  gint64 period;

  if (coarse[op->out[0]] == 0)
    return;
  period = t->span[axis] / coarse[op->out[0]];
  field_new (y, period);
  for (gint64 i = 0; i < period; i++) {
    gint64 from, to;

    window (op, axis, i, coarse[op->in[0]] / coarse[op->out[0]], &from, &to);
    y->first[i] = G_MAXINT64;
    y->last[i] = G_MININT64;
    for (gint64 j = from; j <= to; j++)
      field_at (t, axis, op->in[0], j, &y->first[i], &y->last[i]);
    if (joins && coarse[op->in[1]] == coarse[op->out[0]])
      field_at (t, axis, op->in[1], i, &y->first[i], &y->last[i]);
  }
}

static void
find_fields (Table *t, TessId image)
{
  g_autofree gint64 *coarse = g_new (gint64, t->graph->tensors->len);

  for (guint axis = 0; axis < 3; axis++) {
    memset (coarse, 0, t->graph->tensors->len * sizeof *coarse);
    coarse[image] = t->span[axis] = 1;
    for (guint i = 0; i < t->graph->n_forward; i++) {
      const TessOp *op = tess_graph_op (t->graph, i);

      coarse[op->out[0]] = coarseness (t, op, axis, coarse[op->in[0]]);
      t->span[axis] = MAX (t->span[axis], coarse[op->out[0]]); /* strides multiply: the coarsest has all of them */
    }
    t->fields[axis] = g_new0 (Field, t->graph->tensors->len);
    field_new (&t->fields[axis][image], t->span[axis]);
    for (gint64 i = 0; i < t->span[axis]; i++)
      t->fields[axis][image].first[i] = t->fields[axis][image].last[i] = i;
    for (guint i = 0; i < t->graph->n_forward; i++)
      add_field (t, tess_graph_op (t->graph, i), axis, coarse);
  }
}

static void
free_fields (Table *t)
{
  for (guint axis = 0; axis < 3; axis++) {
    for (TessId id = 0; id < t->graph->tensors->len; id++) {
      g_free (t->fields[axis][id].first);
      g_free (t->fields[axis][id].last);
    }
    g_free (t->fields[axis]);
  }
}

/* ---- rows ---- */

static gint64
n_elements (const TessGraph *graph, TessId id)
{
  return id == TESS_NONE ? 0 : tess_tensor_n_elements (tess_graph_tensor (graph, id));
}

static void
add_row (Table *t, guint i)
{
  const TessOp *op = tess_graph_op (t->graph, i);
  const TessTensor *y = tess_graph_tensor (t->graph, op->out[0]);
  gboolean conv = op->kind == TESS_OP_CONV || op->kind == TESS_OP_CONV_TRANSPOSE;
  const char *own = y->name ? y->name : tess_op_name (op->kind);
  const char *name = conv ? tess_graph_tensor (t->graph, op->in[1])->name : own;
  TessNetworkRow *row = g_new0 (TessNetworkRow, 1);

  row->name =
      g_str_has_suffix (name, ".weight") ? g_strndup (name, strlen (name) - strlen (".weight")) : g_strdup (name);
  row->kind = op->kind;
  row->activation = op->kind == TESS_OP_ADD_ACT;
  memcpy (row->dim, y->dim, sizeof row->dim);
  for (guint a = 0; a < 3; a++) {
    const Field *field = &t->fields[a][op->out[0]];

    row->kernel[a] = conv || is_windowed (op) ? op->attr.conv.kernel[a] : 1;
    row->stride[a] = conv || is_windowed (op) ? op->attr.conv.stride[a] : 1;
    row->field[a] = field->period > 0 ? 0 : tess_graph_tensor (t->graph, t->image)->dim[1 + a];
    for (gint64 k = 0; k < field->period; k++)
      row->field[a] = MAX (row->field[a], field->last[k] - field->first[k] + 1);
  }
  if (conv) {
    /* By name: a bias before a norm is a parameter, but no input of the op. */
    g_autofree char *bias = g_strconcat (row->name, ".bias", NULL);

    row->n_parameters = n_elements (t->graph, op->in[1]) + n_elements (t->graph, tess_graph_find (t->graph, bias));
  }
  row->flops = tess_graph_op_flops (t->graph, i);
  row->bytes = y->bytes;
  g_ptr_array_add (t->rows, row);
}

/* A norm and an activation belong to the convolution or sum before them. */
static void
add_to_last (Table *t, const TessOp *op)
{
  TessNetworkRow *row = g_ptr_array_index (t->rows, t->rows->len - 1);

  if (op->kind == TESS_OP_NORM_ACT) {
    row->norm = TRUE;
    row->activation = op->attr.norm.slope != 1.0f;
    row->n_parameters += n_elements (t->graph, op->in[2]);
  } else {
    row->activation = TRUE;
  }
  if (op->kind != TESS_OP_LEAKY_RELU)
    row->n_parameters += n_elements (t->graph, op->in[1]);
  row->bytes += tess_graph_tensor (t->graph, op->out[0])->bytes;
}

/**
 * tess_network_table:
 * @program: of kind INFER; with deep_supervision every head has its row
 *
 * What a network does, op by op: for the person who plans it. The receptive field is that of the convolutions; a norm
 * sees the whole patch.
 *
 * Returns: (transfer full) (element-type TessNetworkRow): or NULL as tess_network_build().
 */
GPtrArray *
tess_network_table (const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error)
{
  g_autoptr (TessNetwork) network = NULL;
  Table t = {0};

  g_return_val_if_fail (program->kind == TESS_PROGRAM_INFER, NULL);

  network = tess_network_build (spec, program, error);
  if (network == NULL)
    return NULL;
  t.graph = network->graph;
  t.rows = g_ptr_array_new_with_free_func (row_free);
  t.image = network->image;
  find_fields (&t, network->image);
  for (guint i = 0; i < t.graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (t.graph, i);

    if (t.rows->len > 0 && (op->kind == TESS_OP_NORM_ACT || op->kind == TESS_OP_LEAKY_RELU || op->kind == TESS_OP_ACT))
      add_to_last (&t, op);
    else if (op->kind != TESS_OP_CONCAT && op->kind != TESS_OP_WINDOW)
      add_row (&t, i);
  }
  free_fields (&t);
  return t.rows;
}

/* ---- work ---- */

/* Multiplications and additions of one op (2 a multiply-add); only convolutions count, the rest is small beside them.
 * Every one of the three convolution passes does the same number: the output (for a transposed one, the input)
 * elements times the weights that belong to one of its channels. */
double
tess_graph_op_flops (const TessGraph *graph, guint i)
{
  const TessOp *op = tess_graph_op (graph, i);
  const TessTensor *voxels, *w;

  switch (op->kind) {
  case TESS_OP_CONV: /* x, w -> y */
    voxels = tess_graph_tensor (graph, op->out[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_BWD_DATA: /* dy, w -> dx */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_BWD_WEIGHTS: /* x, dy -> dw */
    voxels = tess_graph_tensor (graph, op->in[1]);
    w = tess_graph_tensor (graph, op->out[0]);
    break;
  case TESS_OP_CONV_TRANSPOSE: /* x, w -> y */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA: /* dy, w -> dx */
    voxels = tess_graph_tensor (graph, op->out[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS: /* x, dy -> dw */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->out[0]);
    break;
  default:
    return 0.0;
  }
  /* dim[0] of w is the channel count of what is counted in either layout: {out, in, ...} and {in, out, ...}. */
  return 2.0 * (double)tess_tensor_n_elements (voxels) * (double)tess_tensor_n_elements (w) / (double)w->dim[0];
}

double
tess_graph_flops (const TessGraph *graph)
{
  double sum = 0.0;

  for (guint i = 0; i < graph->ops->len; i++)
    sum += tess_graph_op_flops (graph, i);
  return sum;
}
