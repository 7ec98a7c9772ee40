#include "cards.h"
#include "tess-cuda-conv.h"
#include "tess-network.h"

#include <string.h>

/* Every convolution op of every architecture has a cuDNN plan on every card the plugin holds code for, or is one of the
 * shapes that our own kernels take. Needs cuDNN, but no GPU: plans are made for described cards. */

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 batch, dhw[3];
} Net;

#define CUBE(k)                                                                                                        \
  {                                                                                                                    \
    k, k, k                                                                                                            \
  }

static const Net nets[] = {
    {"plain-3d",
     {.n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .kernel = {{1, 3, 3}, CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3)},
      .stride = {CUBE (1), {1, 2, 2}, CUBE (2), CUBE (2), CUBE (2), CUBE (2)},
      .convs_encoder = {2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5},
     2,
     {64, 128, 128}},
    {"residual-3d",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .n_stages = 6,
      .n_channels = 4,
      .n_classes = 5,
      .features = {32, 64, 128, 256, 320, 320},
      .kernel = {CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3)},
      .stride = {CUBE (1), CUBE (2), CUBE (2), CUBE (2), CUBE (2), {1, 2, 2}},
      .convs_encoder = {1, 3, 4, 6, 6, 6},
      .convs_decoder = {1, 1, 1, 1, 1},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5},
     2,
     {96, 128, 128}},
    {"plain-2d",
     {.slice_axis = 1,
      .n_stages = 7,
      .n_channels = 1,
      .n_classes = 2,
      .features = {32, 64, 128, 256, 512, 512, 512},
      .kernel = {{1, 3, 3}, {1, 3, 3}, {1, 3, 3}, {1, 3, 3}, {1, 3, 3}, {1, 3, 3}, {1, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {1, 2, 2}, {1, 2, 2}, {1, 2, 2}, {1, 2, 2}, {1, 2, 2}},
      .convs_encoder = {2, 2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5},
     12,
     {1, 512, 512}},
    {"residual-2d",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .slice_axis = 3,
      .n_stages = 5,
      .n_channels = 2,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 512},
      .kernel = {{3, 3, 1}, {3, 3, 1}, {3, 3, 1}, {3, 3, 1}, {3, 3, 1}},
      .stride = {{1, 1, 1}, {2, 2, 1}, {2, 2, 1}, {2, 2, 1}, {2, 2, 1}},
      .convs_encoder = {1, 3, 4, 6, 6},
      .convs_decoder = {1, 1, 1, 1},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5},
     12,
     {256, 256, 1}},
    {"meshnet",
     {.architecture = TESS_NETWORK_MESHNET,
      .n_channels = 1,
      .n_classes = 3,
      .features = {21},
      .n_layers = 9,
      .dilation = {1, 1, 2, 4, 8, 16, 8, 4, 1}},
     1,
     {64, 64, 64}},
    {"ingradient",
     {.architecture = TESS_NETWORK_INGRADIENT,
      .n_stages = 5,
      .n_channels = 2,
      .n_classes = 3,
      .features = {30, 60, 120, 240, 480},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5},
     2,
     {64, 96, 96}},
    {"se-residual",
     {.architecture = TESS_NETWORK_SE_RESIDUAL,
      .n_stages = 5,
      .n_channels = 2,
      .n_classes = 3,
      .features = {16},
      .leaky_slope = 0.3,
      .norm_eps = 1e-3,
      .se_ratio = 16,
      .attention_gate = TRUE},
     1,
     {97, 113, 96}},
    {"cased", {.architecture = TESS_NETWORK_CASED, .n_channels = 1, .n_classes = 2}, 1, {68, 76, 68}},
};

typedef enum { BF16, TF32, F32, N_MODES } Mode;
static const char *const mode_names[N_MODES] = {"bf16", "tf32", "f32"};

typedef struct {
  const TessCudnn *cudnn;
  cudnnBackendDescriptor_t card;
  GHashTable *seen; /* shapes: those of one network repeat */
  guint n_ops, n_own, n_missing, n_compiled;
  gsize workspace;
} Survey;

static char *
describe (const TessCudnnConv *c)
{
  static const char *const passes[] = {"forward", "data", "weights"};

  return g_strdup_printf ("%s %ld x %ldx%ldx%ld to %ldx%ldx%ld, %ld to %ld channels, kernel %dx%dx%d stride %dx%dx%d "
                          "padding %dx%dx%d gap %dx%dx%d, %s%s",
                          passes[c->pass], c->n, c->fine[0], c->fine[1], c->fine[2], c->coarse[0], c->coarse[1],
                          c->coarse[2], c->fine_channels, c->coarse_channels, c->kernel[0], c->kernel[1], c->kernel[2],
                          c->stride[0], c->stride[1], c->stride[2], c->pad[0], c->pad[1], c->pad[2], c->gap[0],
                          c->gap[1], c->gap[2], tess_dtype_name (c->weight_type), c->exact ? " exactly" : "");
}

/* One plan is enough: the first that fits is what runs where nothing is timed. */
static void
survey_op (Survey *s, const TessCudnnConv *conv)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = describe (conv);
  GArray *plans;

  s->n_ops++;
  if (tess_cuda_conv_is_own (conv)) {
    s->n_own++;
    return;
  }
  if (!g_hash_table_add (s->seen, g_strdup (text)))
    return;
  plans = tess_cudnn_plans (s->cudnn, s->card, conv, TESS_CUDA_WORKSPACE, 1, &error);
  if (plans == NULL || plans->len == 0) {
    g_test_message ("no plan: %s%s%s", text, error != NULL ? ": " : "", error != NULL ? error->message : "");
    s->n_missing++;
  }
  for (guint i = 0; plans != NULL && i < plans->len; i++) {
    TessCudnnPlan *plan = &g_array_index (plans, TessCudnnPlan, i);

    g_assert_nonnull (plan->plan);
    g_assert_cmpuint (plan->workspace, <=, TESS_CUDA_WORKSPACE);
    g_assert_false (conv->exact && plan->tensor_core);
    s->n_compiled += plan->compiled;
    s->workspace = MAX (s->workspace, plan->workspace);
    tess_cudnn_plan_clear (s->cudnn, plan);
  }
  g_clear_pointer (&plans, g_array_unref);
}

static void
survey_net (Survey *s, const Net *net, Mode mode)
{
  const TessProgramSpec training = {.kind = TESS_PROGRAM_TRAIN,
                                    .batch = net->batch,
                                    .dhw = {net->dhw[0], net->dhw[1], net->dhw[2]},
                                    .act_dtype = mode == BF16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32,
                                    .deep_supervision = TRUE,
                                    .dice_smooth = 1e-5f};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = tess_network_build (&net->spec, &training, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < network->graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (network->graph, i);
    TessCudaConvOp conv;

    if (!tess_op_is_conv (op->kind))
      continue;
    tess_cuda_conv_describe (network->graph, op, mode == F32, &conv);
    survey_op (s, &conv.shape);
  }
}

static void
test_card (gconstpointer data)
{
  const Card *card = data;
  g_autoptr (GError) error = NULL;
  g_autofree char *json = card_json (card);
  Survey s = {.cudnn = tess_cudnn_load (&error)};

  if (s.cudnn == NULL) {
    g_test_skip (error->message);
    return;
  }
  s.card = tess_cudnn_device_from_json (s.cudnn, json, &error);
  g_assert_no_error (error);
  /* Cards before sm_80 have neither bfloat16 nor TF32. */
  for (guint n = 0; n < G_N_ELEMENTS (nets); n++)
    for (Mode mode = card->sm < 800 ? F32 : BF16; mode < N_MODES; mode++) {
      s.seen = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
      s.n_ops = s.n_own = s.n_missing = s.n_compiled = 0;
      s.workspace = 0;
      survey_net (&s, &nets[n], mode);
      g_test_message (
          "sm_%u cuDNN %zu %s %s: %u convolutions of %u shapes, %u by our own kernel, %u without a plan, %u "
          "compiled at run time; workspace up to %.0f MiB",
          card->sm / 10, s.cudnn->GetVersion (), nets[n].name, mode_names[mode], s.n_ops, g_hash_table_size (s.seen),
          s.n_own, s.n_missing, s.n_compiled, (double)s.workspace / 1048576);
      g_assert_cmpuint (s.n_ops, >, 20);
      g_assert_cmpuint (s.n_missing, ==, 0);
      g_hash_table_unref (s.seen);
    }
  s.cudnn->BackendDestroyDescriptor (s.card);
}

#define ALL_ENGINES (-2)
static const TessCudnn *real;
static gint64 said_to_compile; /* an engine */

static cudnnStatus_t
get_attribute (cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, gint64 n,
               gint64 *n_given, void *values)
{
  cudnnStatus_t status = real->BackendGetAttribute (d, name, type, n, n_given, values);
  gint64 engine = -1, one = 0;

  if (name != CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE || status != CUDNN_STATUS_SUCCESS)
    return status;
  real->BackendGetAttribute (d, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &one, &engine);
  if (said_to_compile == ALL_ENGINES || said_to_compile == engine) {
    *(cudnnBackendBehaviorNote_t *)values = CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
    *n_given = 1;
  }
  return status;
}

/* An engine that has to be compiled is taken where there is no other. */
static void
test_compiled (void)
{
  static const gint64 first = -1;
  g_autoptr (GError) error = NULL;
  g_autofree char *json = card_json (&cards[4]);
  TessCudnnConv conv = {.pass = TESS_CUDNN_FORWARD,
                        .n = 2,
                        .fine = CUBE (64),
                        .coarse = CUBE (64),
                        .fine_channels = 32,
                        .coarse_channels = 32,
                        .kernel = CUBE (3),
                        .stride = CUBE (1),
                        .pad = CUBE (1),
                        .fine_type = TESS_DTYPE_BF16,
                        .coarse_type = TESS_DTYPE_BF16,
                        .weight_type = TESS_DTYPE_BF16};
  cudnnBackendDescriptor_t card;
  gint64 engine = first;
  TessCudnn cudnn;

  real = tess_cudnn_load (&error);
  if (real == NULL) {
    g_test_skip (error->message);
    return;
  }
  cudnn = *real;
  cudnn.BackendGetAttribute = get_attribute;
  card = tess_cudnn_device_from_json (&cudnn, json, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3; i++) {
    GArray *plans;

    said_to_compile = i == 0 ? first : i == 1 ? engine : ALL_ENGINES;
    plans = tess_cudnn_plans (&cudnn, card, &conv, TESS_CUDA_WORKSPACE, i == 2 ? 5 : 1, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (plans->len, ==, 1);
    TessCudnnPlan *plan = &g_array_index (plans, TessCudnnPlan, 0);
    g_assert_cmpint (plan->compiled, ==, i == 2);
    if (i == 0)
      engine = plan->engine;
    g_assert_true ((plan->engine == engine) == (i != 1));
    tess_cudnn_plan_clear (&cudnn, plan);
    g_array_unref (plans);
  }
  cudnn.BackendDestroyDescriptor (card);
}

/* What cannot be: a sentence, or no plans; never a crash. */
static void
test_impossible (void)
{
  g_autoptr (GError) error = NULL;
  const TessCudnn *cudnn = tess_cudnn_load (&error);
  TessCudnnConv conv = {.pass = TESS_CUDNN_FORWARD,
                        .n = 1,
                        .fine = CUBE (8),
                        .coarse = CUBE (3), /* 8 would be right */
                        .fine_channels = 8,
                        .coarse_channels = 8,
                        .kernel = CUBE (3),
                        .stride = CUBE (1),
                        .pad = CUBE (1),
                        .fine_type = TESS_DTYPE_F32,
                        .coarse_type = TESS_DTYPE_F32,
                        .weight_type = TESS_DTYPE_F32};
  cudnnBackendDescriptor_t card;

  if (cudnn == NULL) {
    g_test_skip (error->message);
    return;
  }
  g_assert_null (tess_cudnn_device_from_json (cudnn, "{\"deviceVer\": ", &error));
  g_assert_nonnull (error);
  g_assert_null (strchr (error->message, '\n'));
  g_clear_error (&error);
  g_autofree char *json = card_json (&cards[0]);
  card = tess_cudnn_device_from_json (cudnn, json, &error);
  g_assert_no_error (error);
  g_assert_null (tess_cudnn_plans (cudnn, card, &conv, TESS_CUDA_WORKSPACE, 1, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  conv.coarse[0] = conv.coarse[1] = conv.coarse[2] = 8;
  GArray *plans = tess_cudnn_plans (cudnn, card, &conv, TESS_CUDA_WORKSPACE, 3, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (plans->len, ==, 3);
  for (guint i = 0; i < plans->len; i++)
    tess_cudnn_plan_clear (cudnn, &g_array_index (plans, TessCudnnPlan, i));
  g_array_unref (plans);
  cudnn->BackendDestroyDescriptor (card);
}

/* Where the user says cuDNN lies and it does not: one sentence with the place. In a process of its own. */
static void
test_elsewhere (void)
{
  if (g_test_subprocess ()) {
    g_autoptr (GError) error = NULL;

    g_setenv ("TESSERA_CUDNN", "/nonexistent/cudnn", TRUE);
    g_assert_null (tess_cudnn_load (&error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_assert_null (strchr (error->message, '\n'));
    g_printerr ("%s\n", error->message);
    return;
  }
  g_test_trap_subprocess (NULL, 0, 0);
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("*/nonexistent/cudnn*TESSERA_CUDNN*");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda/plans/elsewhere", test_elsewhere);
  g_test_add_func ("/cuda/plans/impossible", test_impossible);
  for (guint c = 0; c < G_N_ELEMENTS (cards); c++) {
    g_autofree char *path = g_strdup_printf ("/cuda/plans/sm_%u", cards[c].sm / 10);

    g_test_add_data_func (path, &cards[c], test_card);
  }
  g_test_add_func ("/cuda/plans/compiled", test_compiled);
  return g_test_run ();
}
