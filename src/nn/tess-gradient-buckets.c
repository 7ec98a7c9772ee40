#include "tess-gradient-buckets.h"

/* Index of the op that writes each tensor, plus 1; 0: none does. */
static guint *
find_writers (const TessGraph *graph)
{
  guint *writer = g_new0 (guint, graph->tensors->len + 1);

  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; k < op->n_out; k++)
      if (op->out[k] != TESS_NONE)
        writer[op->out[k]] = i + 1;
  }
  return writer;
}

static gboolean
has_grad_norm (const TessGraph *graph)
{
  for (guint i = 0; i < graph->ops->len; i++)
    if (tess_graph_op (graph, i)->kind == TESS_OP_GRAD_NORM)
      return TRUE;
  return FALSE;
}

static int
compare (gconstpointer a, gconstpointer b)
{
  const TessGradientBucket *x = a, *y = b;
  guint i = x->after + 1, j = y->after + 1; /* before any op: 0 */

  if (i != j)
    return i < j ? -1 : 1;
  return x->offset < y->offset ? 1 : -1;
}

/**
 * tess_gradient_buckets:
 * @graph: placed
 * @bytes: a bucket takes gradients until it has as many
 *
 * Cuts the GRAD arena into parts that can be summed over ranks while the backward pass goes on (the buckets of
 * PyTorch's DistributedDataParallel; Li et al. 2020). They are taken from the arena's end to its start, because what
 * was declared last is reached first by the backward pass. Every rank with the same graph has the same buckets in the
 * same order.
 *
 * Returns: (transfer full) (element-type TessGradientBucket): that cover the arena
 */
GArray *
tess_gradient_buckets (const TessGraph *graph, gsize bytes)
{
  GArray *buckets = g_array_new (FALSE, FALSE, sizeof (TessGradientBucket));
  gsize end = graph->arena_bytes[TESS_ARENA_GRAD];
  g_autofree guint *writer = NULL;
  guint after = 0;

  g_return_val_if_fail (graph->placed, buckets);

  if (!has_grad_norm (graph))
    return buckets;
  writer = find_writers (graph);
  for (TessId id = graph->tensors->len; id-- > 0 && end > 0;) {
    const TessTensor *t = tess_graph_tensor (graph, id);
    TessGradientBucket bucket;

    if (t->role != TESS_ROLE_GRAD)
      continue;
    after = MAX (after, writer[id]);
    if (t->offset > 0 && end - t->offset < bytes)
      continue;
    bucket = (TessGradientBucket){after - 1, t->offset, (end - t->offset) / sizeof (float)};
    g_array_append_val (buckets, bucket);
    end = t->offset;
    after = 0;
  }
  g_array_sort (buckets, compare);
  return buckets;
}
