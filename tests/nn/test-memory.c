#include "op-table.h"
#include "tess-network.h"
#include "tess-philox.h"

static gboolean
meet (gsize a0, gsize a1, gsize b0, gsize b1)
{
  return a0 < b1 && b0 < a1;
}

static void
random_blocks (guint round, guint n, gsize *bytes, guint *first, guint *last)
{
  for (guint i = 0; i < n; i++) {
    TessPhilox4 r = tess_philox (5, round, i, 0, 0);

    bytes[i] = tess_philox_below (r.v[0], 16) == 0 ? 0 : tess_philox_below (r.v[1], 100000);
    first[i] = tess_philox_below (r.v[2], 60);
    last[i] = first[i] + tess_philox_below (r.v[3], round % 2 == 0 ? 10 : 60);
  }
}

/* Blocks alive at one time never overlap, offsets are multiples of 256, the total is the highest end, and never less
 * than the largest sum of live blocks. */
static void
test_random (void)
{
  enum { N = 80 };
  gsize bytes[N], offset[N];
  guint first[N], last[N];

  for (guint round = 0; round < 200; round++) {
    gsize total, end = 0, most = 0;

    random_blocks (round, N, bytes, first, last);
    total = tess_memory_pack (N, bytes, first, last, offset);
    for (guint i = 0; i < N; i++) {
      g_assert_cmpuint (offset[i] % 256, ==, 0);
      end = MAX (end, offset[i] + bytes[i]);
      for (guint j = 0; j < i; j++)
        if (first[i] <= last[j] && first[j] <= last[i])
          g_assert_false (meet (offset[i], offset[i] + bytes[i], offset[j], offset[j] + bytes[j]));
    }
    for (guint step = 0; step < 120; step++) {
      gsize live = 0;

      for (guint i = 0; i < N; i++)
        if (first[i] <= step && step <= last[i])
          live += (bytes[i] + 255) / 256 * 256;
      most = MAX (most, live);
    }
    g_assert_cmpuint (total, >=, end);
    g_assert_cmpuint (total, <, end + 256);
    g_assert_cmpuint (total, >=, most);
  }
}

static void
test_extremes (void)
{
  const gsize huge[2] = {G_MAXSIZE / 2, G_MAXSIZE / 2}, none[1] = {0}, most[1] = {G_MAXSIZE};
  const guint first[2] = {0, 0}, last[2] = {1, 1};
  gsize offset[2];

  g_assert_cmpuint (tess_memory_pack (0, NULL, NULL, NULL, NULL), ==, 0);
  g_assert_cmpuint (tess_memory_pack (1, none, first, last, offset), ==, 0);
  g_assert_cmpuint (tess_memory_pack (1, most, first, last, offset), ==, G_MAXSIZE);
  g_assert_cmpuint (tess_memory_pack (2, huge, first, last, offset), ==, G_MAXSIZE);
}

/* One after the other in time: one place for all. */
static void
test_shared (void)
{
  const gsize bytes[3] = {1000, 300, 512};
  const guint first[3] = {0, 1, 2}, last[3] = {0, 1, 2};
  gsize offset[3];

  g_assert_cmpuint (tess_memory_pack (3, bytes, first, last, offset), ==, 1024);
  for (guint i = 0; i < 3; i++)
    g_assert_cmpuint (offset[i], ==, 0);
}

/* Whether op i needs (reads or writes) the tensor. */
static gboolean
needs (const TessOp *op, TessId id)
{
  for (guint k = 0; k < op->n_in; k++)
    if (op->in[k] == id)
      return TRUE;
  for (guint k = 0; k < op->n_out; k++)
    if (op->out[k] == id)
      return TRUE;
  return FALSE;
}

/* Whether op i, the last to read x and the first to write y, may do so in place. Said here once more. */
static gboolean
in_place (const TessGraph *graph, TessId x, TessId y, guint i)
{
  const TessOp *op = tess_graph_op (graph, i);
  gboolean first = op->in[0] == x, last = op->n_in > 1 && op->in[op->n_in - 1] == x;

  if (op->out[0] != y)
    return FALSE;
  switch (op->kind) {
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_APPLY:
  case TESS_OP_LEAKY_RELU:
    return first;
  case TESS_OP_ADD:
  case TESS_OP_ADD_ACT:
    return first && !last;
  case TESS_OP_LEAKY_RELU_BWD:
  case TESS_OP_NORM_ACT_BWD:
    return last;
  default:
    return FALSE;
  }
}

static void
check_graph (const TessGraph *graph)
{
  guint n = graph->tensors->len;
  g_autofree guint *first = g_new (guint, n), *last = g_new0 (guint, n);

  /* Lifetimes found again here, without trusting tensor.first and .last. */
  for (TessId id = 0; id < n; id++) {
    first[id] = G_MAXUINT;
    for (guint i = 0; i < graph->ops->len; i++)
      if (needs (tess_graph_op (graph, i), id)) {
        first[id] = MIN (first[id], i);
        last[id] = i;
      }
  }
  for (TessId a = 0; a < n; a++) {
    const TessTensor *x = tess_graph_tensor (graph, a);

    g_assert_cmpuint (x->offset % 256, ==, 0);
    g_assert_cmpuint (x->offset + x->bytes, <=, graph->arena_bytes[x->arena]);
    g_assert_true ((x->role == TESS_ROLE_OUTPUT) <= (x->arena == TESS_ARENA_IO));
    for (TessId b = 0; b < a; b++) {
      const TessTensor *y = tess_graph_tensor (graph, b);
      gboolean together = x->arena != TESS_ARENA_ACT || (first[a] <= last[b] && first[b] <= last[a]);

      if (x->arena == y->arena && x->offset == y->offset && x->bytes == y->bytes &&
          ((last[a] == first[b] && in_place (graph, a, b, last[a])) ||
           (last[b] == first[a] && in_place (graph, b, a, last[b]))))
        continue;
      if (x->arena == y->arena && together)
        g_assert_false (meet (x->offset, x->offset + x->bytes, y->offset, y->offset + y->bytes));
    }
  }
}

static void
test_graphs (void)
{
  for (guint i = 0; i < op_table_n (); i++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessGraph) graph = op_table_build (i, TESS_DTYPE_BF16, &error);

    g_assert_no_error (error);
    check_graph (graph);
  }
}

/* A real network: how near the plan comes to the largest sum of live bytes, which no plan can undercut. */
static void
test_unet (void)
{
  TessNetworkSpec spec = {
      .n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .convs_encoder = {2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5,
  };
  TessProgramSpec program = {
      .batch = 2, .dhw = {128, 128, 128}, .act_dtype = TESS_DTYPE_BF16, .deep_supervision = TRUE};
  const TessProgramKind kinds[2] = {TESS_PROGRAM_INFER, TESS_PROGRAM_TRAIN};

  for (guint s = 0; s < 6; s++)
    for (guint a = 0; a < 3; a++) {
      spec.kernel[s][a] = 3;
      spec.stride[s][a] = s == 0 ? 1 : 2;
    }
  for (guint k = 0; k < 2; k++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessNetwork) network = NULL;
    gsize most = 0;

    program.kind = kinds[k];
    network = tess_network_build (&spec, &program, &error);
    g_assert_no_error (error);
    check_graph (network->graph);
    for (guint i = 0; i < network->graph->ops->len; i++) {
      gsize live = 0;

      for (TessId id = 0; id < network->graph->tensors->len; id++) {
        const TessTensor *t = tess_graph_tensor (network->graph, id);

        if (t->arena == TESS_ARENA_ACT && t->first <= i && i <= t->last)
          live += (t->bytes + 255) / 256 * 256;
      }
      most = MAX (most, live);
    }
    g_test_message ("%s: %.1f MB of activations, lower bound %.1f MB", k == 0 ? "inference" : "training",
                    (double)network->graph->arena_bytes[TESS_ARENA_ACT] / 1e6, (double)most / 1e6);
    g_assert_cmpuint (network->graph->arena_bytes[TESS_ARENA_ACT], <=, most + most / 10);
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/memory/random", test_random);
  g_test_add_func ("/nn/memory/extremes", test_extremes);
  g_test_add_func ("/nn/memory/shared", test_shared);
  g_test_add_func ("/nn/memory/graphs", test_graphs);
  g_test_add_func ("/nn/memory/unet", test_unet);
  return g_test_run ();
}
