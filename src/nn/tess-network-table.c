#include "tess-network-table.h"

/* Along one axis, the voxels of the image a result depends on: index i sees [first, last]. Both repeat: what is
 * `period` indices further on sees `span` voxels further on, for every tensor of one network the same span. */
typedef struct {
  gint64 period;
  gint64 *first, *last;
} Field;

typedef struct {
  const TessGraph *graph;
  GPtrArray *rows;
  Field *fields[3]; /* by tensor; period 0: not known (labels, statistics) */
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

/* Result index i reads the indices [from, to] of x. */
static void
window (const TessOp *op, guint axis, gint64 i, gint64 *from, gint64 *to)
{
  const TessConvAttr *c = &op->attr.conv;

  *from = *to = i;
  if (op->kind == TESS_OP_CONV || op->kind == TESS_OP_AVG_POOL) {
    *from = i * c->stride[axis] - c->pad[axis];
    *to = *from + (c->kernel[axis] - 1) * (c->gap[axis] + 1);
  } else if (op->kind == TESS_OP_CONV_TRANSPOSE) { /* networks have kernel = stride, no pad: j = i / stride */
    *from = *to = i / c->stride[axis];
  }
}

static void
add_field (Table *t, const TessOp *op, guint axis)
{
  const TessConvAttr *c = &op->attr.conv;
  Field *x = &t->fields[axis][op->in[0]], *y = &t->fields[axis][op->out[0]];
  gboolean joins = op->kind == TESS_OP_CONCAT || op->kind == TESS_OP_ADD_ACT || op->kind == TESS_OP_ADD;
  gint64 period = x->period;

  if (op->kind == TESS_OP_CONV || op->kind == TESS_OP_AVG_POOL)
    period /= c->stride[axis];
  else if (op->kind == TESS_OP_CONV_TRANSPOSE)
    period *= c->stride[axis];
  field_new (y, period);
  for (gint64 i = 0; i < period; i++) {
    gint64 from, to;

    window (op, axis, i, &from, &to);
    y->first[i] = G_MAXINT64;
    y->last[i] = G_MININT64;
    for (gint64 j = from; j <= to; j++)
      field_at (t, axis, op->in[0], j, &y->first[i], &y->last[i]);
    if (joins)
      field_at (t, axis, op->in[1], i, &y->first[i], &y->last[i]);
  }
}

static void
find_fields (Table *t, const TessNetworkSpec *spec, TessId image)
{
  tess_network_divisor (spec, t->span);
  for (guint axis = 0; axis < 3; axis++) {
    t->fields[axis] = g_new0 (Field, t->graph->tensors->len);
    field_new (&t->fields[axis][image], t->span[axis]);
    for (gint64 i = 0; i < t->span[axis]; i++)
      t->fields[axis][image].first[i] = t->fields[axis][image].last[i] = i;
    for (guint i = 0; i < t->graph->n_forward; i++)
      add_field (t, tess_graph_op (t->graph, i), axis);
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
  const char *name = conv ? tess_graph_tensor (t->graph, op->in[1])->name : y->name;
  TessNetworkRow *row = g_new0 (TessNetworkRow, 1);

  row->name =
      g_str_has_suffix (name, ".weight") ? g_strndup (name, strlen (name) - strlen (".weight")) : g_strdup (name);
  row->kind = op->kind;
  row->activation = op->kind == TESS_OP_ADD_ACT;
  memcpy (row->dim, y->dim, sizeof row->dim);
  for (guint a = 0; a < 3; a++) {
    const Field *field = &t->fields[a][op->out[0]];

    row->kernel[a] = op->kind == TESS_OP_ADD_ACT ? 1 : op->attr.conv.kernel[a];
    row->stride[a] = op->kind == TESS_OP_ADD_ACT ? 1 : op->attr.conv.stride[a];
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

/* A norm belongs to the convolution before it. */
static void
add_norm (Table *t, const TessOp *op)
{
  TessNetworkRow *row = g_ptr_array_index (t->rows, t->rows->len - 1);

  row->norm = TRUE;
  row->activation = op->attr.norm.slope != 1.0f;
  row->n_parameters += n_elements (t->graph, op->in[1]) + n_elements (t->graph, op->in[2]);
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
  find_fields (&t, spec, network->image);
  for (guint i = 0; i < t.graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (t.graph, i);

    if (op->kind == TESS_OP_NORM_ACT)
      add_norm (&t, op);
    else if (op->kind != TESS_OP_CONCAT)
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
