#include "tess-graph.h"

#include <stdlib.h>

#define ALIGNMENT 256

static gboolean
align_up (gsize *n)
{
  if (!g_size_checked_add (n, *n, ALIGNMENT - 1))
    return FALSE;
  *n -= *n % ALIGNMENT;
  return TRUE;
}

typedef struct {
  guint index;
  gsize bytes, offset; /* bytes: rounded up */
  guint first, last;
} Block;

static int
larger_first (const void *a, const void *b)
{
  const Block *x = a, *y = b;

  if (x->bytes != y->bytes)
    return x->bytes > y->bytes ? -1 : 1;
  /* Stable and independent of qsort: earlier declared first. */
  return x->index < y->index ? -1 : x->index > y->index;
}

/* Lowest offset at which the block meets none of the placed ones living at the same time. placed: by offset. */
static gsize
first_gap (const Block *block, const GPtrArray *placed)
{
  gsize at = 0;

  for (guint i = 0; i < placed->len; i++) {
    const Block *p = g_ptr_array_index (placed, i);

    if (p->last < block->first || block->last < p->first)
      continue;
    if (p->offset >= at && p->offset - at >= block->bytes)
      break;
    at = MAX (at, p->offset + p->bytes);
  }
  return at;
}

/**
 * tess_memory_pack:
 * @n: number of blocks
 * @bytes: their sizes
 * @first: first step each is live, inclusive
 * @last: last step each is live, inclusive; not before @first
 * @offset: (out): where each goes, a multiple of 256
 *
 * Greedy by size, first fit: blocks are placed from the largest to the smallest, each in the lowest gap left by the
 * blocks that live at the same time (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference",
 * 2020). For a U-Net this comes within a few per cent of the largest sum of live bytes.
 *
 * Returns: bytes of the whole region; G_MAXSIZE when a size cannot be counted.
 */
gsize
tess_memory_pack (guint n, const gsize *bytes, const guint *first, const guint *last, gsize *offset)
{
  g_autofree Block *blocks = g_new0 (Block, MAX (n, 1));
  g_autoptr (GPtrArray) placed = g_ptr_array_sized_new (n);
  gsize total = 0, sum = 0;

  for (guint i = 0; i < n; i++) {
    blocks[i] = (Block){.index = i, .bytes = bytes[i], .first = first[i], .last = last[i]};
    /* Were all blocks laid one after the other the sum would have to be countable: then no offset overflows. */
    if (!align_up (&blocks[i].bytes) || !g_size_checked_add (&sum, sum, blocks[i].bytes))
      return G_MAXSIZE;
  }
  qsort (blocks, n, sizeof *blocks, larger_first);

  for (guint i = 0; i < n; i++) {
    Block *block = &blocks[i];
    guint at = placed->len;

    if (block->bytes > 0)
      block->offset = first_gap (block, placed);
    offset[block->index] = block->offset;
    total = MAX (total, block->offset + block->bytes);
    while (at > 0 && ((Block *)g_ptr_array_index (placed, at - 1))->offset > block->offset)
      at--;
    if (block->bytes > 0)
      g_ptr_array_insert (placed, (gint)at, block);
  }
  return total;
}

static TessArena
arena_of (TessRole role)
{
  switch (role) {
  case TESS_ROLE_PARAM:
    return TESS_ARENA_PARAM;
  case TESS_ROLE_GRAD:
    return TESS_ARENA_GRAD;
  case TESS_ROLE_MOMENTUM:
    return TESS_ARENA_MOMENTUM;
  case TESS_ROLE_ACT:
    return TESS_ARENA_ACT;
  case TESS_ROLE_INPUT:
  case TESS_ROLE_LABEL:
  case TESS_ROLE_OUTPUT:
    break;
  }
  return TESS_ARENA_IO;
}

static void
touch (TessGraph *graph, TessId id, guint op)
{
  TessTensor *t;

  if (id == TESS_NONE)
    return;
  t = tess_graph_tensor (graph, id);
  t->first = MIN (t->first, op);
  t->last = MAX (t->last, op);
}

/* First and last op to touch each activation; all other tensors live as long as the program. */
static void
find_lifetimes (TessGraph *graph)
{
  guint end = MAX (graph->ops->len, 1) - 1;

  for (TessId id = 0; id < graph->tensors->len; id++) {
    TessTensor *t = tess_graph_tensor (graph, id);

    t->arena = arena_of (t->role);
    t->first = t->arena == TESS_ARENA_ACT ? G_MAXUINT : 0;
    t->last = t->arena == TESS_ARENA_ACT ? 0 : end;
  }
  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; k < op->n_in; k++)
      touch (graph, op->in[k], i);
    for (guint k = 0; k < op->n_out; k++)
      touch (graph, op->out[k], i);
  }
  for (TessId id = 0; id < graph->tensors->len; id++) {
    TessTensor *t = tess_graph_tensor (graph, id);

    if (t->first > t->last) { /* touched by no op */
      t->first = 0;
      t->last = end;
    }
  }
}

static gboolean
place_activations (TessGraph *graph)
{
  guint n = graph->tensors->len, n_act = 0;
  g_autofree gsize *bytes = g_new (gsize, n + 1), *offset = g_new (gsize, n + 1);
  g_autofree guint *first = g_new (guint, n + 1), *last = g_new (guint, n + 1);
  g_autofree TessId *ids = g_new (TessId, n + 1);

  for (TessId id = 0; id < n; id++) {
    const TessTensor *t = tess_graph_tensor (graph, id);

    if (t->arena != TESS_ARENA_ACT)
      continue;
    bytes[n_act] = t->bytes;
    first[n_act] = t->first;
    last[n_act] = t->last;
    ids[n_act++] = id;
  }
  graph->arena_bytes[TESS_ARENA_ACT] = tess_memory_pack (n_act, bytes, first, last, offset);
  for (guint i = 0; i < n_act; i++)
    tess_graph_tensor (graph, ids[i])->offset = offset[i];
  return graph->arena_bytes[TESS_ARENA_ACT] != G_MAXSIZE;
}

/**
 * tess_graph_place:
 *
 * Decides where every tensor lives. Afterwards nothing may be added to the graph. Activations share memory by their
 * lifetime over forward and backward; an op's inputs and outputs never overlap.
 *
 * Returns: FALSE with NO_MEMORY when the bytes cannot be counted.
 */
gboolean
tess_graph_place (TessGraph *graph, GError **error)
{
  gsize *total = graph->arena_bytes;

  g_return_val_if_fail (!graph->placed, FALSE);

  find_lifetimes (graph);
  memset (total, 0, sizeof graph->arena_bytes);
  for (TessId id = 0; id < graph->tensors->len; id++) {
    TessTensor *t = tess_graph_tensor (graph, id);

    if (t->arena == TESS_ARENA_ACT)
      continue;
    t->offset = total[t->arena];
    if (!g_size_checked_add (&total[t->arena], total[t->arena], t->bytes) || !align_up (&total[t->arena]))
      goto too_large;
  }
  if (!place_activations (graph))
    goto too_large;
  graph->placed = TRUE;
  return TRUE;

too_large:
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("the network needs more memory than can be addressed; choose a smaller patch or batch"));
  return FALSE;
}
