/* MeshNets saved by PyTorch as models, against PyTorch on a real scan (tests/reference/meshnet.py). */
#include "infer-fixture.h"

#include "tess-cpu-backend.h"
#include "tess-format.h"
#include "tess-json.h"
#include "tess-planner.h"
#include "tess-torch-file.h"

#include <math.h>
#include <string.h>

/* NULL: not here. */
static char *
data_path (const char *name)
{
  const char *shared = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *path = shared ? g_build_filename (shared, "models", name, NULL) : NULL;

  return path && g_file_test (path, G_FILE_TEST_EXISTS) ? g_steal_pointer (&path) : NULL;
}

static JsonObject *
reference (JsonNode **root)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "meshnet.json", NULL);
  g_autoptr (GError) error = NULL;

  *root = tess_json_load (path, &error);
  g_assert_no_error (error);
  return json_node_get_object (*root);
}

static TessModel *
load_model (const char *path, JsonObject *o)
{
  JsonArray *array = json_object_get_array_member (o, "dilation");
  gint64 dilation[TESS_MAX_DILATIONS];
  guint n = json_array_get_length (array);
  g_autoptr (GError) error = NULL;
  TessModel *model;

  for (guint i = 0; i < n; i++)
    dilation[i] = json_array_get_int_element (array, i);
  model = n == 9 ? tess_model_load (path, &error) : tess_model_load_dilated (path, dilation, n, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (model->plan->network.n_layers, ==, n);
  return model;
}

/* The part [lo, hi) of every axis as a volume of its own. */
static TessVolume *
load_part (gint64 lo, gint64 hi)
{
  g_autofree char *path = data_path ("t1_crop.nii.gz");
  gint64 n = hi - lo, dim[3] = {n, n, n};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) whole = tess_volume_load (path, NULL, &error);
  TessVolume *part;
  const gint64 *size;

  g_assert_no_error (error);
  size = tess_volume_dim (whole);
  part = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (whole), &error);
  g_assert_no_error (error);
  for (gint64 z = 0; z < n; z++)
    for (gint64 y = 0; y < n; y++)
      memcpy ((guint8 *)tess_volume_data (part) + (z * n + y) * n,
              (const guint8 *)tess_volume_data (whole) + ((lo + z) * size[1] + lo + y) * size[0] + lo, (gsize)n);
  tess_volume_set_watermark (part, tess_volume_n_slices (part));
  return part;
}

static void
check_counts (TessPredictor *predictor, TessVolume *part, JsonArray *wanted)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) labels = tess_predictor_run (predictor, &part, 1, NULL, &error);
  gint64 count[3] = {0}, n = tess_volume_n_voxels (part);

  g_assert_no_error (error);
  for (gint64 i = 0; i < n; i++) {
    guint8 label = ((const guint8 *)tess_volume_data (labels))[i];

    g_assert_cmpuint (label, <, 3);
    count[label]++;
  }
  for (guint c = 0; c < 3; c++) /* but for near ties */
    g_assert_cmpint (ABS (count[c] - json_array_get_int_element (wanted, c)), <=, 2 + n / 100000);
}

static void
check_samples (TessModel *model, TessVolume *part, JsonArray *samples)
{
  TessNetworkSpec spec;
  TessProgramSpec program;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = NULL;
  const TessNetwork *network;
  gsize n = (gsize)tess_volume_n_voxels (part), side = (gsize)tess_volume_dim (part)[0];
  g_autofree float *image = g_new (float, n), *logits = g_new (float, 3 * n);
  TessStepArgs args = {0};
  double worst = 0, largest = 0, bottom = 255, top = 0;

  tess_plan_network_spec (model->plan, &spec);
  tess_plan_program_spec (model->plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE, &program);
  session = tess_session_new (tess_cpu_backend (), 0, 2, &spec, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_true (tess_model_copy_params (model, session, FALSE, &error));
  network = tess_session_network (session, 0);
  for (gsize i = 0; i < n; i++) {
    bottom = MIN (bottom, ((const guint8 *)tess_volume_data (part))[i]);
    top = MAX (top, ((const guint8 *)tess_volume_data (part))[i]);
  }
  for (gsize i = 0; i < n; i++)
    image[i] = (float)((((const guint8 *)tess_volume_data (part))[i] - bottom) / (top - bottom));
  g_assert_true (tess_session_write (session, 0, network->image, image, n * sizeof (float), &error));
  g_assert_true (tess_session_run (session, 0, &args, &error));
  g_assert_true (tess_session_read (session, 0, network->logits[0], logits, 3 * n * sizeof (float), &error));
  g_assert_no_error (error);
  for (guint i = 0; i < json_array_get_length (samples); i++) {
    JsonObject *o = json_array_get_object_element (samples, i);
    JsonArray *at = json_object_get_array_member (o, "xyz"), *wanted = json_object_get_array_member (o, "logits");
    gsize x = (gsize)json_array_get_int_element (at, 0), y = (gsize)json_array_get_int_element (at, 1);
    gsize z = (gsize)json_array_get_int_element (at, 2);

    for (guint c = 0; c < 3; c++) {
      double w = json_array_get_double_element (wanted, c);

      worst = MAX (worst, fabs ((double)logits[((z * side + y) * side + x) * 3 + c] - w));
      largest = MAX (largest, fabs (w));
    }
  }
  g_test_message ("largest difference %.3g of %.3g", worst, largest);
  g_assert_cmpfloat (largest, >, 1);
  g_assert_cmpfloat (worst / largest, <, 1e-4);
}

static void
test_model (gconstpointer data)
{
  const char *name = data;
  g_autofree char *path = data_path (name);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (TessModel) model = NULL;
  g_autoptr (TessVolume) part = NULL;
  g_autoptr (TessPredictor) predictor = NULL;
  g_autoptr (GError) error = NULL;
  JsonObject *o;
  JsonArray *crop;

  if (!path) {
    g_test_skip ("the shared test data is not here");
    return;
  }
  o = json_object_get_object_member (reference (&root), name);
  crop = json_object_get_array_member (o, "crop");
  model = load_model (path, o);
  part = load_part (json_array_get_int_element (crop, 0), json_array_get_int_element (crop, 1));
  for (guint a = 0; a < 3; a++)
    model->plan->patch[a] = tess_volume_dim (part)[a];
  check_samples (model, part, json_object_get_array_member (o, "samples"));
  predictor = tess_predictor_new (model, tess_cpu_backend (), 0, 2, TESS_DTYPE_F32, &error);
  g_assert_no_error (error);
  check_counts (predictor, part, json_object_get_array_member (o, "counts"));
}

/* A state dict of a MeshNet in small, with n_layers dilated convolutions of three channels and one damage. */
static void
write_state (const char *path, guint n_layers, const char *left_out, const char *misshapen)
{
  static const char *const vectors[] = {"0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"};
  g_autoptr (TessTorchWriter) writer = tess_torch_writer_new ();
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GError) error = NULL;
  float values[243];

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    values[i] = 0.5f;
  for (guint l = 0; l <= n_layers; l++)
    for (guint v = 0; v < (l < n_layers ? 6u : 2u); v++) {
      const char *last = v ? "bias" : "weight";
      char *name = g_strdup_printf ("model.%u.%s", l, l == n_layers ? last : v ? vectors[v - 1] : "0.weight");
      gint64 k = l < n_layers ? 3 : 1, dim[5] = {3, l == 0 ? 1 : 3, k, k, k};

      g_ptr_array_add (names, name);
      if (g_strcmp0 (name, left_out) == 0)
        continue;
      if (g_strcmp0 (name, misshapen) == 0)
        dim[0] = 2;
      tess_torch_writer_add (writer, name, v ? 1 : 5, dim, values);
    }
  g_assert_true (tess_torch_writer_save (writer, path, &error));
  g_assert_no_error (error);
}

static void
expect (const char *path, const gint64 *dilation, guint n, int code, const char *words)
{
  g_autoptr (GError) error = NULL;
  TessModel *model = tess_model_load_dilated (path, dilation, n, &error);

  g_assert_null (model);
  g_assert_error (error, TESS_ERROR, code);
  g_assert_nonnull (strstr (error->message, words));
}

/* What is missing or does not fit is named; a model goes out as .safetensors and comes back the same. */
static void
test_damage (void)
{
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "m.pth", NULL);
  g_autofree char *other = g_build_filename (folder, "m.safetensors", NULL);
  const gint64 dilation[2] = {1, 3}, wide[2] = {1, 65};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessModel) model = NULL, again = NULL;

  write_state (path, 2, NULL, NULL);
  expect (path, NULL, 0, TESS_ERROR_FORMAT, "--dilation");
  expect (path, dilation, 1, TESS_ERROR_FORMAT, "--dilation");
  expect (path, wide, 2, TESS_ERROR_FORMAT, "dilations");
  write_state (path, 2, "model.1.1.running_var", NULL);
  expect (path, dilation, 2, TESS_ERROR_MISMATCH, "layer 1's running_var");
  write_state (path, 2, NULL, "model.1.0.weight");
  expect (path, dilation, 2, TESS_ERROR_MISMATCH, "layer 1's weight");
  write_state (path, 2, "model.2.weight", NULL);
  expect (path, dilation, 2, TESS_ERROR_MISMATCH, "layer 2's weight");
  write_state (path, 33, NULL, NULL);
  expect (path, dilation, 2, TESS_ERROR_UNSUPPORTED, "MeshNet of 33 layers");

  write_state (path, 2, NULL, NULL);
  model = tess_model_load_dilated (path, dilation, 2, &error);
  g_assert_no_error (error);
  g_assert_true (tess_model_export (model, other, &error));
  g_assert_no_error (error);
  again = tess_model_load (other, &error);
  g_assert_no_error (error);
  g_assert_cmpint (again->plan->network.dilation[1], ==, 3);
  g_assert_cmpint (again->plan->channels[0].norm, ==, TESS_NORM_MINMAX);
  fixture_remove (folder);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/infer/meshnet/five-channels", "meshnet.pth", test_model);
  g_test_add_data_func ("/infer/meshnet/fifteen-channels", "model.pth", test_model);
  g_test_add_func ("/infer/meshnet/damage", test_damage);
  return g_test_run ();
}
