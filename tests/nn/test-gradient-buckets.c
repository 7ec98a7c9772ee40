#include "tess-gradient-buckets.h"
#include "tess-network.h"

static const TessNetworkSpec spec = {
    .n_stages = 3,
    .n_channels = 1,
    .n_classes = 3,
    .features = {4, 6, 8},
    .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}},
    .convs_encoder = {2, 1, 2},
    .convs_decoder = {1, 2},
    .leaky_slope = 0.01,
    .norm_eps = 1e-5,
};

static TessNetwork *
build (TessProgramKind kind)
{
  TessProgramSpec program = {
      .kind = kind, .batch = 1, .dhw = {8, 8, 8}, .act_dtype = TESS_DTYPE_F32, .dice_smooth = 1e-5f};
  g_autoptr (GError) error = NULL;
  TessNetwork *network = tess_network_build (&spec, &program, &error);

  g_assert_no_error (error);
  return network;
}

/* The bucket a tensor lies in; it lies in one alone. */
static const TessGradientBucket *
bucket_of (GArray *buckets, const TessTensor *t)
{
  const TessGradientBucket *found = NULL;

  for (guint i = 0; i < buckets->len; i++) {
    const TessGradientBucket *b = &g_array_index (buckets, TessGradientBucket, i);

    if (t->offset < b->offset || t->offset >= b->offset + b->n * sizeof (float))
      continue;
    g_assert_null (found);
    g_assert_cmpuint (t->offset + t->bytes, <=, b->offset + b->n * sizeof (float));
    found = b;
  }
  return found;
}

/* Every gradient is in one bucket, which is whole only after the op that writes it; no byte is in none. */
static void
check (const TessGraph *graph, GArray *buckets)
{
  gsize n = 0;

  for (guint i = 0; i < buckets->len; i++) {
    const TessGradientBucket *b = &g_array_index (buckets, TessGradientBucket, i);

    n += b->n;
    g_assert_cmpuint (b->n, >, 0);
    if (i > 0)
      g_assert_true (b[-1].after + 1 <= b->after + 1);
  }
  g_assert_cmpuint (n * sizeof (float), ==, graph->arena_bytes[TESS_ARENA_GRAD]);
  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; k < op->n_out; k++) {
      const TessTensor *t = op->out[k] != TESS_NONE ? tess_graph_tensor (graph, op->out[k]) : NULL;

      if (t == NULL || t->role != TESS_ROLE_GRAD)
        continue;
      g_assert_true (tess_gradient_bucket_is_whole (bucket_of (buckets, t), i + 1000));
      if (i > 0)
        g_assert_false (tess_gradient_bucket_is_whole (bucket_of (buckets, t), i - 1));
    }
  }
}

static void
test_sizes (void)
{
  g_autoptr (TessNetwork) network = build (TESS_PROGRAM_TRAIN);
  const gsize sizes[] = {1, 256, 2048, 10000, 1 << 30};
  guint before = G_MAXUINT;

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++) {
    g_autoptr (GArray) buckets = tess_gradient_buckets (network->graph, sizes[i]);

    check (network->graph, buckets);
    g_assert_cmpuint (buckets->len, <=, before);
    before = buckets->len;
  }
  g_assert_cmpuint (before, ==, 1);
}

/* Most of the numbers can leave while much of the backward pass is still to come. */
static void
test_early (void)
{
  g_autoptr (TessNetwork) network = build (TESS_PROGRAM_TRAIN);
  g_autoptr (GArray) buckets = tess_gradient_buckets (network->graph, 2048);
  guint n_ops = network->graph->ops->len, middle = (network->graph->n_forward + n_ops) / 2;
  gsize early = 0, all = network->graph->arena_bytes[TESS_ARENA_GRAD] / sizeof (float);

  for (guint i = 0; i < buckets->len; i++)
    if (tess_gradient_bucket_is_whole (&g_array_index (buckets, TessGradientBucket, i), middle))
      early += g_array_index (buckets, TessGradientBucket, i).n;
  g_test_message ("%u buckets; %zu of %zu numbers by half of the backward pass", buckets->len, early, all);
  g_assert_cmpuint (early, >, all / 4);
}

/* Without a step there is nothing to sum. */
static void
test_none (void)
{
  g_autoptr (TessNetwork) network = build (TESS_PROGRAM_EVALUATE);
  g_autoptr (GArray) buckets = tess_gradient_buckets (network->graph, 1);

  g_assert_cmpuint (buckets->len, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/gradient-buckets/sizes", test_sizes);
  g_test_add_func ("/nn/gradient-buckets/early", test_early);
  g_test_add_func ("/nn/gradient-buckets/none", test_none);
  return g_test_run ();
}
