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

/**
 * tess_op_in_place:
 *
 * Which of an op's inputs its result may lie on: element i of the result depends on element i of that input, and on
 * nothing else of it once the sums over all of it are taken.
 *
 * Returns: the input's index, or -1.
 */
int
tess_op_in_place (TessOpKind kind)
{
  switch (kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_APPLY:
  case TESS_OP_LEAKY_RELU:
  case TESS_OP_ADD:
  case TESS_OP_ADD_ACT:
    return 0;
  case TESS_OP_LEAKY_RELU_BWD:
    return 1;
  case TESS_OP_NORM_ACT_BWD:
    return 4;
  default:
    return -1;
  }
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

/* Tensors that lie on another one: under[id] is where. What lies on a tensor is alive for as long as anything of the
 * pile is. */
static TessId *
find_piles (TessGraph *graph)
{
  TessId *under = g_new (TessId, graph->tensors->len + 1);

  for (TessId id = 0; id < graph->tensors->len; id++)
    under[id] = id;
  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);
    int k = tess_op_in_place (op->kind);
    TessId from = k >= 0 ? op->in[k] : TESS_NONE, to = op->out[0];
    const TessTensor *x, *y;
    guint n_reads = 0;

    if (from == TESS_NONE || to == TESS_NONE)
      continue;
    x = tess_graph_tensor (graph, from);
    y = tess_graph_tensor (graph, to);
    for (guint j = 0; j < op->n_in; j++)
      n_reads += op->in[j] == from;
    if (x->arena == TESS_ARENA_ACT && y->arena == TESS_ARENA_ACT && x->bytes == y->bytes && x->dtype == y->dtype &&
        x->last == i && y->first == i && n_reads == 1)
      under[to] = under[from];
  }
  return under;
}

/* scratch, scratch_offset: for every op; NULL: none. */
static gboolean
place_activations (TessGraph *graph, const gsize *scratch, gsize *scratch_offset)
{
  guint n = graph->tensors->len, n_ops = graph->ops->len, n_blocks = 0;
  g_autofree gsize *bytes = g_new (gsize, n + n_ops + 1), *offset = g_new (gsize, n + n_ops + 1);
  g_autofree guint *first = g_new (guint, n + n_ops + 1), *last = g_new (guint, n + n_ops + 1);
  g_autofree guint *block = g_new (guint, n + 1);
  g_autofree TessId *under = find_piles (graph);

  for (TessId id = 0; id < n; id++) {
    const TessTensor *t = tess_graph_tensor (graph, id);

    if (t->arena != TESS_ARENA_ACT || under[id] != id)
      continue;
    bytes[n_blocks] = t->bytes;
    first[n_blocks] = t->first;
    last[n_blocks] = t->last;
    block[id] = n_blocks++;
  }
  for (TessId id = 0; id < n; id++)
    if (under[id] != id)
      last[block[under[id]]] = MAX (last[block[under[id]]], tess_graph_tensor (graph, id)->last);
  for (guint i = 0; scratch != NULL && i < n_ops; i++) {
    bytes[n_blocks + i] = scratch[i];
    first[n_blocks + i] = last[n_blocks + i] = i;
  }
  graph->arena_bytes[TESS_ARENA_ACT] =
      tess_memory_pack (n_blocks + (scratch != NULL ? n_ops : 0), bytes, first, last, offset);
  for (TessId id = 0; id < n; id++)
    if (tess_graph_tensor (graph, id)->arena == TESS_ARENA_ACT)
      tess_graph_tensor (graph, id)->offset = offset[block[under[id]]];
  for (guint i = 0; scratch != NULL && i < n_ops; i++)
    scratch_offset[i] = offset[n_blocks + i];
  return graph->arena_bytes[TESS_ARENA_ACT] != G_MAXSIZE;
}

static void
set_too_large (GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("the network needs more memory than can be addressed; choose a smaller patch or batch"));
}

/**
 * tess_graph_place:
 *
 * Decides where every tensor lives. Afterwards nothing may be added to the graph. Activations share memory by their
 * lifetime over forward and backward; an op's inputs and outputs overlap only where it works in place.
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
  if (!place_activations (graph, NULL, NULL))
    goto too_large;
  graph->placed = TRUE;
  return TRUE;

too_large:
  set_too_large (error);
  return FALSE;
}

/**
 * tess_graph_place_scratch:
 * @graph: placed; nothing has been bound to it
 * @bytes: for every op: what it needs to work in while it runs, 0: nothing
 * @offset: (out caller-allocates): for every op: where in the ACT arena that is, a multiple of 256
 *
 * Places the activations anew, so that what an op works in lies where no activation alive at that time is. For
 * backends, in prepare: only they know what their ops need.
 *
 * Returns: FALSE with NO_MEMORY when the bytes cannot be counted.
 */
gboolean
tess_graph_place_scratch (TessGraph *graph, const gsize *bytes, gsize *offset, GError **error)
{
  g_return_val_if_fail (graph->placed, FALSE);

  if (place_activations (graph, bytes, offset))
    return TRUE;
  set_too_large (error);
  return FALSE;
}
