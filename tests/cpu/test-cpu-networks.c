#include "hashed.h"
#include "session-read.h"
#include "specs.h"
#include "tess-cpu-backend.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

/* Networks beside nnU-Net's on the CPU backend against PyTorch (tests/reference/networks.py): logits, gradients,
 * parameters after ten steps, how many numbers they learn, and what they refuse. */

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 batch, dhw[3];
  gboolean deep;
} Case;

static const Case cases[] = {
    {"ingradient",
     {SPEC_INGRADIENT, .n_stages = 4, .n_channels = 2, .n_classes = 3, .features = {4, 6, 8, 10}},
     2,
     {8, 16, 24},
     TRUE},
    {"ingradient-plain",
     {SPEC_INGRADIENT, .n_stages = 3, .n_channels = 1, .n_classes = 2, .features = {4, 6, 8}, .single_head = TRUE},
     1,
     {8, 4, 12},
     TRUE},
    {"se-residual-3-gated",
     {SPEC_SE_RESIDUAL, .n_stages = 4, .n_channels = 2, .n_classes = 3, .features = {8}, .se_ratio = 4,
      .attention_gate = TRUE},
     1,
     {13, 17, 14},
     FALSE},
    {"se-residual-4",
     {SPEC_SE_RESIDUAL, .n_stages = 5, .n_channels = 1, .n_classes = 2, .features = {4}, .se_ratio = 16},
     2,
     {25, 33, 27},
     FALSE},
    {"cased", {.architecture = TESS_NETWORK_CASED, .n_channels = 1, .n_classes = 2}, 1, {68, 76, 68}, FALSE},
    {"meshnet",
     {.architecture = TESS_NETWORK_MESHNET,
      .n_layers = 6,
      .n_channels = 2,
      .n_classes = 3,
      .features = {7},
      .dilation = {1, 2, 4, 8, 2, 1}},
     2,
     {10, 12, 9},
     FALSE},
};

#define N_STEPS 10

static const struct {
  const char *name;
  TessOptimiser optimiser;
  TessStepArgs args;
} ways[] = {
    {"sgd",
     TESS_OPTIMISER_SGD,
     {.momentum = 0.9, .weight_decay = 3e-5, .clip_norm = 12, .head_weight = {0.5, 0.3, 0.2}}},
    {"adam",
     TESS_OPTIMISER_ADAM,
     {.weight_decay = 3e-5,
      .clip_norm = 12,
      .head_weight = {0.5, 0.3, 0.2},
      .beta1 = 0.9,
      .beta2 = 0.999,
      .epsilon = 1e-8}},
};

static gsize
elements (const TessTensor *t)
{
  return (gsize)tess_tensor_n_elements (t);
}

static void
fill_param (const TessTensor *t, float *values)
{
  double scale = 0.1, shift = 0;

  if (t->n_dims == 5) {
    scale = sqrt (3.0 / (double)(t->dim[1] * t->dim[2] * t->dim[3] * t->dim[4]));
  } else if (strstr (t->name, "norm")) {
    scale = 0.2;
    shift = g_str_has_suffix (t->name, ".weight") ? 1 : 0;
  }
  for (gsize i = 0; i < elements (t); i++)
    values[i] = (float)(hashed_uniform (t->name, (guint32)i) * scale + shift);
}

static void
check_values (const char *what, JsonObject *wanted, const float *values, gsize n, double tolerance)
{
  JsonArray *samples = json_object_get_array_member (wanted, "samples");
  double largest = json_object_get_double_member (wanted, "largest"), sum = 0, most = 0;

  for (gsize i = 0; i < n; i++) {
    sum += (double)values[i] * (double)values[i];
    most = MAX (most, fabs ((double)values[i]));
  }
  for (guint k = 0; k < json_array_get_length (samples); k++) {
    double miss = fabs ((double)values[k * 7919 % n] - json_array_get_double_element (samples, k));

    if (!(miss <= tolerance * largest + 1e-9))
      g_error ("%s: sample %u is off by %g of %g", what, k, miss, largest);
  }
  g_assert_cmpfloat (fabs (most - largest), <=, tolerance * largest + 1e-9);
  if (json_object_has_member (wanted, "norm"))
    g_assert_cmpfloat (fabs (sqrt (sum) - json_object_get_double_member (wanted, "norm")), <=,
                       tolerance * json_object_get_double_member (wanted, "norm") + 1e-9);
}

static TessSession *
session_new (const Case *c, TessOptimiser optimiser)
{
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .optimiser = optimiser,
                             .batch = c->batch,
                             .dhw = {c->dhw[0], c->dhw[1], c->dhw[2]},
                             .act_dtype = TESS_DTYPE_F32,
                             .deep_supervision = c->deep,
                             .dice_smooth = 1e-5f};
  g_autoptr (GError) error = NULL;
  TessSession *session = tess_session_new (tess_cpu_backend (), 0, 2, &c->spec, &error);

  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_no_error (error);
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_no_error (error);
  return session;
}

static void
write_ends (TessSession *session, const Case *c)
{
  const TessNetwork *network = tess_session_network (session, 0);
  gsize n = elements (tess_graph_tensor (network->graph, network->labels)), n_image = n * c->spec.n_channels;
  g_autofree float *image = g_new (float, n_image);
  g_autofree guint8 *labels = g_new (guint8, n);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < n_image; i++)
    image[i] = (float)hashed_uniform ("image", (guint32)i);
  for (gsize i = 0; i < n; i++)
    labels[i] = (guint8)(hashed_number ("labels", (guint32)i) % c->spec.n_classes);
  g_assert_true (tess_session_write (session, 0, network->image, image, n_image * sizeof *image, &error));
  g_assert_true (tess_session_write (session, 0, network->labels, labels, n, &error));
}

static TessSession *
start (const Case *c, TessOptimiser optimiser)
{
  TessSession *session = session_new (c, optimiser);
  g_autoptr (GPtrArray) values = session_params_new (session);
  g_autoptr (GError) error = NULL;

  write_ends (session, c);
  for (guint i = 0; i < values->len; i++)
    fill_param (tess_session_param (session, i), values->pdata[i]);
  g_assert_true (tess_session_set_params (session, TESS_STATE_PARAM, (const float *const *)values->pdata, &error));
  g_assert_no_error (error);
  return session;
}

static void
check_params (TessSession *session, TessState state, JsonObject *wanted)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) values = session_params (session, state, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (json_object_get_size (wanted), ==, values->len);
  for (guint i = 0; i < values->len; i++) {
    const TessTensor *t = tess_session_param (session, i);

    g_assert_true (json_object_has_member (wanted, t->name));
    check_values (t->name, json_object_get_object_member (wanted, t->name), values->pdata[i], elements (t), 1e-3);
  }
}

static JsonNode *
load_expected (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "networks.json", NULL);
  g_autoptr (GError) error = NULL;
  JsonNode *root = tess_json_load (path, &error);

  g_assert_no_error (error);
  return root;
}

/* With rate, decay and old momentum zero the step leaves the weights alone and the gradient as the momentum. */
static void
test_parity (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (JsonNode) root = load_expected ();
  JsonObject *wanted = json_object_get_object_member (json_node_get_object (root), c->name);
  JsonArray *heads = json_object_get_array_member (wanted, "logits");
  g_autoptr (TessSession) session = start (c, TESS_OPTIMISER_SGD);
  const TessNetwork *network = tess_session_network (session, 0);
  TessStepArgs args = {.head_weight = {0.5, 0.3, 0.2}};
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_session_run (session, 0, &args, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (network->n_heads, ==, json_array_get_length (heads));
  for (guint h = 0; h < network->n_heads; h++) {
    gsize size = elements (tess_graph_tensor (network->graph, network->logits[h]));
    g_autofree float *logits = g_new (float, size);
    JsonObject *o = json_array_get_object_element (heads, h);

    g_assert_cmpint (json_object_get_int_member (o, "n"), ==, size);
    g_assert_true (tess_session_read (session, 0, network->logits[h], logits, size * sizeof *logits, &error));
    check_values ("logits", o, logits, size, 1e-4);
  }
  check_params (session, TESS_STATE_MOMENTUM, json_object_get_object_member (wanted, "gradients"));
}

static void
test_steps (gconstpointer data)
{
  const Case *c = data;
  g_autoptr (JsonNode) root = load_expected ();
  JsonObject *case_wanted = json_object_get_object_member (json_node_get_object (root), c->name);

  for (guint way = 0; way < G_N_ELEMENTS (ways); way++) {
    JsonObject *wanted = json_object_get_object_member (case_wanted, ways[way].name);
    JsonArray *losses = json_object_get_array_member (wanted, "losses");
    g_autoptr (TessSession) session = start (c, ways[way].optimiser);
    TessStepArgs args = ways[way].args;
    g_autoptr (GError) error = NULL;

    args.learning_rate = json_object_get_double_member (wanted, "rate");
    g_assert_cmpuint (json_array_get_length (losses), ==, N_STEPS);
    for (args.step = 1; args.step <= N_STEPS; args.step++) {
      double loss = 0;

      g_assert_true (tess_session_run (session, 0, &args, &error));
      g_assert_true (session_loss (session, 0, &args, &loss, &error));
      g_assert_no_error (error);
      g_assert_cmpfloat (fabs (loss - json_array_get_double_element (losses, (guint)args.step - 1)), <=, 1e-4);
    }
    check_params (session, TESS_STATE_PARAM, json_object_get_object_member (wanted, "params"));
  }
}

static gint64
count (TessNetworkArchitecture architecture, guint n_stages, guint channels, guint classes)
{
  const TessNetworkSpec spec = {.architecture = architecture,
                                .n_stages = n_stages,
                                .n_channels = channels,
                                .n_classes = classes,
                                .features = {32, 64, 128, 256, 320},
                                .leaky_slope = 0.3,
                                .norm_eps = 1e-3,
                                .se_ratio = 16};

  return tess_network_n_parameters (&spec);
}

/* The published numbers; of CASED and ingradient by counting their own code's. */
static void
test_count (void)
{
  g_assert_cmpint (count (TESS_NETWORK_SE_RESIDUAL, 4, 1, 1), ==, 7828329);
  g_assert_cmpint (count (TESS_NETWORK_SE_RESIDUAL, 4, 1, 2), ==, 7828362);
  g_assert_cmpint (count (TESS_NETWORK_SE_RESIDUAL, 4, 4, 3), ==, 7830987);
  g_assert_cmpint (count (TESS_NETWORK_SE_RESIDUAL, 5, 1, 1), ==, 31926937);
  g_assert_cmpint (count (TESS_NETWORK_INGRADIENT, 5, 4, 5), ==, 16614996);
  g_assert_cmpint (count (TESS_NETWORK_CASED, 0, 1, 2), ==, 5220418);
}

static void
refuse (TessNetworkSpec spec, gint64 side, const char *words)
{
  const TessProgramSpec program = {
      .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {side, side, side}, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = tess_network_build (&spec, &program, &error);

  g_assert_null (network);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say %s", error->message, words);
}

/* 68 gives 8, 76 gives 16; nothing between, nothing below. */
static void
test_sizes (void)
{
  const TessNetworkSpec cased = {.architecture = TESS_NETWORK_CASED, .n_channels = 1, .n_classes = 2};
  TessNetworkSpec se = cases[3].spec, ingradient = cases[0].spec;
  const gint64 sides[2] = {68, 76};

  for (guint i = 0; i < 2; i++) {
    const TessProgramSpec program = {
        .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {68, 68, sides[i]}, .act_dtype = TESS_DTYPE_F32};
    g_autoptr (GError) error = NULL;
    g_autoptr (TessNetwork) network = tess_network_build (&cased, &program, &error);

    g_assert_no_error (error);
    g_assert_cmpint (tess_graph_tensor (network->graph, network->logits[0])->dim[3], ==, sides[i] - 60);
  }
  refuse (cased, 60, "68 x 68 x 68");
  refuse (cased, 72, "68 x 68 x 68");
  refuse (se, 15, "16 x 16 x 16");
  refuse (ingradient, 12, "8 x 8 x 8");
  se.se_ratio = -1;
  refuse (se, 16, "squeeze ratio");
  ingradient.n_stages = 1;
  refuse (ingradient, 16, "2 to 8 stages");
  ingradient.n_stages = 4;
  ingradient.n_classes = 0;
  refuse (ingradient, 16, "1 to 256 classes");
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strdup_printf ("/cpu/networks/%s/gradients", cases[i].name);

    g_autofree char *steps = g_strdup_printf ("/cpu/networks/%s/ten-steps", cases[i].name);

    g_test_add_data_func (path, &cases[i], test_parity);
    g_test_add_data_func (steps, &cases[i], test_steps);
  }
  g_test_add_func ("/cpu/networks/count", test_count);
  g_test_add_func ("/cpu/networks/sizes", test_sizes);
  return g_test_run ();
}
