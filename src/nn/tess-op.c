#include "tess-graph.h"

/* What every backend asks about an op. */

gboolean
tess_op_is_conv (TessOpKind kind)
{
  switch (kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
  case TESS_OP_CONV_BWD_DATA:
  case TESS_OP_CONV_BWD_WEIGHTS:
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA:
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS:
    return TRUE;
  default:
    return FALSE;
  }
}

/**
 * tess_op_extent:
 * @op: not SGD or ADAM, which run over whole arenas
 *
 * Returns: (transfer none): the tensor whose elements the op's loop runs over.
 */
const TessTensor *
tess_op_extent (const TessGraph *graph, const TessOp *op)
{
  switch (op->kind) {
  case TESS_OP_CONV_TRANSPOSE:
  case TESS_OP_CONCAT:
  case TESS_OP_LABEL_RESIZE:
  case TESS_OP_RESIZE:
  case TESS_OP_WINDOW:
  case TESS_OP_AVG_POOL_BWD:
  case TESS_OP_GLOBAL_POOL_BWD:
  case TESS_OP_GRAD_NORM:
    return tess_graph_tensor (graph, op->out[0]);
  case TESS_OP_CONV_BWD_WEIGHTS:
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS:
    return tess_graph_tensor (graph, op->in[1]);
  default:
    return tess_graph_tensor (graph, op->in[0]);
  }
}

/**
 * tess_graph_idle_grads:
 *
 * A parameter no loss reaches (a bias before a norm, a head left out) has a gradient of zero; another program may have
 * left its own there.
 *
 * Returns: (transfer full): TessId of the GRAD tensors that no op writes
 */
GArray *
tess_graph_idle_grads (const TessGraph *graph)
{
  g_autofree gboolean *written = g_new0 (gboolean, graph->tensors->len + 1);
  GArray *idle = g_array_new (FALSE, FALSE, sizeof (TessId));

  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; k < op->n_out; k++)
      if (op->out[k] != TESS_NONE)
        written[op->out[k]] = TRUE;
  }
  for (TessId id = 0; id < graph->tensors->len; id++)
    if (tess_graph_tensor (graph, id)->role == TESS_ROLE_GRAD && !written[id])
      g_array_append_val (idle, id);
  return idle;
}
