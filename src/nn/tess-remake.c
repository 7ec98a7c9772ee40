#include "tess-remake.h"

#include <stdlib.h>

/* Two kinds of results are not kept.
 *
 * Those that cost next to nothing, always: an activation or a norm whose op reads its input in the backward pass
 * anyway, with the norm's mean and spread kept; and both halves of a concatenation side by side, of which one lives
 * elsewhere. Half of what a U-Net would keep is of this kind.
 *
 * And, as far as asked for, all of a stage but what others read of it: the backward pass then does the stage's forward
 * pass again (Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016). The same ops on the same numbers
 * give the same bits. */

typedef struct {
  guint stage;
  gint64 spared; /* bytes */
} Gain;

static gboolean
is_cheap (TessOpKind kind)
{
  return kind == TESS_OP_NORM_ACT || kind == TESS_OP_LEAKY_RELU || kind == TESS_OP_ACT || kind == TESS_OP_CONCAT;
}

static gboolean
may_drop (const TessGraph *graph, TessId id)
{
  const TessTensor *t = tess_graph_tensor (graph, id);

  return t->role == TESS_ROLE_ACT && t->dtype != TESS_DTYPE_U8; /* labels are small */
}

/* Ops of stage s: [first, end). */
static void
stage_ops (const TessGraph *graph, guint s, guint *first, guint *end)
{
  *first = g_array_index (graph->stages, guint, s);
  *end = s + 1 < graph->stages->len ? g_array_index (graph->stages, guint, s + 1) : graph->n_forward;
}

/* Whether an op outside [first, end) reads the tensor. */
static gboolean
read_outside (const TessGraph *graph, TessId id, guint first, guint end)
{
  for (guint i = 0; i < graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; (i < first || i >= end) && k < op->n_in; k++)
      if (op->in[k] == id)
        return TRUE;
  }
  return FALSE;
}

/* Bytes spared by making stage s again, less those that have to be kept for it. The last stage is the first one that
 * the backward pass comes to: nothing is gained there. */
static gint64
spared_by (const TessGraph *graph, guint s)
{
  gint64 spared = 0;
  guint first, end;

  stage_ops (graph, s, &first, &end);
  for (guint i = first; i < end && s + 1 < graph->stages->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);
    gint64 bytes = (gint64)tess_graph_tensor (graph, op->out[0])->bytes;

    if (!may_drop (graph, op->out[0]))
      continue;
    if (!read_outside (graph, op->out[0], first, end))
      spared += is_cheap (op->kind) ? 0 : bytes;
    else if (is_cheap (op->kind))
      spared -= bytes;
  }
  return spared;
}

static int
most_first (const void *a, const void *b)
{
  const Gain *x = a, *y = b;

  if (x->spared != y->spared)
    return x->spared > y->spared ? -1 : 1;
  return x->stage < y->stage ? -1 : x->stage > y->stage;
}

/* Stages worth making again, those that spare most first. */
static GArray *
rank_stages (const TessGraph *graph)
{
  GArray *gains = g_array_new (FALSE, FALSE, sizeof (Gain));

  for (guint s = 0; s < graph->stages->len; s++) {
    Gain gain = {s, spared_by (graph, s)};

    if (gain.spared > 0)
      g_array_append_val (gains, gain);
  }
  g_array_sort (gains, most_first);
  return gains;
}

/**
 * tess_graph_n_stages:
 *
 * Returns: how many stages of the forward pass can be made again so that it spares memory; at most this many are of
 * use to tess_graph_append_backward_sparing().
 */
guint
tess_graph_n_stages (const TessGraph *graph)
{
  g_autoptr (GArray) gains = rank_stages (graph);

  return gains->len;
}

/* Stays kept of the stage: what others read. */
static void
drop_stage (TessRemake *r, guint s)
{
  guint first, end;

  stage_ops (r->graph, s, &first, &end);
  for (guint i = first; i < end; i++) {
    TessId id = tess_graph_op (r->graph, i)->out[0];

    r->dropped[id] = may_drop (r->graph, id) && !read_outside (r->graph, id, first, end);
  }
}

void
tess_remake_init (TessRemake *r, TessGraph *graph, int n_stages)
{
  g_autoptr (GArray) gains = rank_stages (graph);

  *r = (TessRemake){.graph = graph, .n_tensors = graph->tensors->len};
  r->dropped = g_new0 (gboolean, r->n_tensors + 1);
  r->maker = g_new (guint, r->n_tensors + 1);
  r->again = g_new (TessId, r->n_tensors + 1);
  for (TessId id = 0; id < r->n_tensors; id++)
    r->maker[id] = TESS_NONE;
  tess_remake_forget (r);
  for (guint i = 0; i < graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    r->maker[op->out[0]] = i;
    r->dropped[op->out[0]] = n_stages >= 0 && is_cheap (op->kind) && may_drop (graph, op->out[0]);
  }
  for (guint k = 0; k < gains->len && (int)k < n_stages; k++)
    drop_stage (r, g_array_index (gains, Gain, k).stage);
}

void
tess_remake_clear (TessRemake *r)
{
  g_free (r->dropped);
  g_free (r->maker);
  g_free (r->again);
}

void
tess_remake_forget (TessRemake *r)
{
  for (TessId id = 0; id < r->n_tensors; id++)
    r->again[id] = TESS_NONE;
}

/* The op that makes a tensor, on what is kept or made again; a norm knows its mean and spread by now. */
static TessOp
same_op (TessRemake *r, TessId id)
{
  TessOp op = *tess_graph_op (r->graph, r->maker[id]);

  for (guint k = 0; k < op.n_in; k++)
    op.in[k] = tess_remake_get (r, op.in[k]);
  if (op.kind == TESS_OP_NORM_ACT) {
    op.kind = TESS_OP_NORM_APPLY;
    op.in[op.n_in++] = op.out[1];
    op.n_out = 1;
    op.out[1] = TESS_NONE;
  }
  return op;
}

TessId
tess_remake_get (TessRemake *r, TessId id)
{
  g_autofree char *name = NULL;
  gint64 dim[TESS_MAX_DIMS];
  const TessTensor *t;
  TessOp op;

  if (id == TESS_NONE || id >= r->n_tensors || !r->dropped[id])
    return id;
  if (r->again[id] != TESS_NONE)
    return r->again[id];
  op = same_op (r, id);
  t = tess_graph_tensor (r->graph, id);
  name = g_strdup_printf ("%s.again@%u", t->name, r->graph->ops->len);
  memcpy (dim, t->dim, sizeof dim);
  op.out[0] = tess_graph_add_tensor (r->graph, name, TESS_ROLE_ACT, t->dtype, t->n_dims, dim);
  g_array_append_val (r->graph->ops, op);
  return r->again[id] = op.out[0];
}
