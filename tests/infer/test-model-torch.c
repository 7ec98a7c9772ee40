/* Checkpoints of nnU-Net v2 as models, against PyTorch (tests/reference/torch_file.py), and models for PyTorch. */
#include "infer-fixture.h"

#include "parity.h"
#include "tess-cpu-backend.h"
#include "tess-planner.h"
#include "tess-torch-file.h"
#include "tess-zip.h"

#include <math.h>
#include <string.h>

static char *
reference (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "reference", name, NULL);
}

static TessModel *
load (const char *name)
{
  g_autofree char *path = reference (name);
  g_autoptr (GError) error = NULL;
  TessModel *model = tess_model_load (path, &error);

  g_assert_no_error (error);
  return model;
}

static void
test_logits (void)
{
  g_autoptr (TessModel) model = load ("torch_checkpoint.pth");

  fixture_compare_logits (model, "torch_logits.safetensors", "image", "checkpoint");
}

/* nnU-Net had turned the scan's axes; on the scan as it is, the network is the same. */
static void
test_transposed (void)
{
  g_autoptr (TessModel) model = load ("torch_transposed.pth");

  fixture_compare_logits (model, "torch_logits.safetensors", "image", "transposed");
}

static void
test_plan (void)
{
  static const char *const files[] = {"torch_checkpoint.pth", "torch_transposed.pth"};
  const gint64 patch[3] = {24, 16, 8};
  const double spacing[3] = {1.25, 0.75, 2.5};

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autoptr (TessModel) model = load (files[i]);
    const TessPlan *plan = model->plan;

    g_assert_cmpmem (plan->patch, sizeof patch, patch, sizeof patch);
    g_assert_cmpmem (plan->spacing, sizeof spacing, spacing, sizeof spacing);
    g_assert_cmpstr (plan->dataset_name, ==, "Dataset777_Made");
    g_assert_cmpuint (plan->n_channels, ==, 2);
    g_assert_cmpint (plan->channels[0].norm, ==, TESS_NORM_CT);
    g_assert_cmpfloat (plan->channels[0].upper, ==, 310.5);
    g_assert_cmpint (plan->channels[1].norm, ==, TESS_NORM_ZSCORE);
    g_assert_cmpstr (plan->channels[1].name, ==, "MR");
    g_assert_cmpuint (plan->n_labels, ==, 3);
    g_assert_cmpstr (plan->labels[2].name, ==, "tumour");
    g_assert_cmpint (plan->training.batch_size, ==, 3);
    g_assert_cmpfloat (plan->augmentation.mirror_probability[1], ==, 0.5);
    g_assert_cmpuint (plan->reasons->len, ==, 3); /* splines, border, mirroring */
  }
}

/* Residual networks of nnU-Net, 3D and of slices that lie across x: what tests/nn/parity.c has of them in PyTorch. The
 * first sample alone, and its voxels stand in the same order whichever axis has one voxel. */
static void
test_residual (void)
{
  static const char *const names[] = {"residual_3d", "residual_2d"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *checkpoint = g_strdup_printf ("nets_%s.pth", names[i]);
    g_autofree char *numbers = g_strdup_printf ("nets_%s.safetensors", names[i]), *path = reference (numbers);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessModel) model = load (checkpoint);
    g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);
    const TessSafetensor *wanted = tess_safetensors_find (file, "logits.0");
    g_autoptr (TessSession) session = fixture_session (model);
    const TessNetwork *network = tess_session_network (session, 0);
    gsize bytes = tess_graph_tensor (network->graph, network->logits[0])->bytes;
    g_autofree float *image = NULL, *logits = g_malloc (bytes);
    const gint64 dhw[3] = {i ? 1 : 4, i ? 16 : 12, i ? 24 : 16};
    double worst = 0, largest = 0;
    TessStepArgs args = {0};

    g_assert_cmpint (model->plan->network.architecture, ==, TESS_PLAN_RESIDUAL_UNET);
    g_assert_cmpuint (model->plan->network.slice_axis, ==, i); /* x */
    g_assert_cmpint (model->plan->network.stem_features, ==, i ? 6 : 0);
    g_assert_cmpint (model->plan->patch[0], ==, i ? 1 : 16);
    g_assert_cmpfloat (model->plan->augmentation.mirror_probability[0], ==, i ? 0.0 : 0.5);
    g_assert_cmpfloat (model->plan->augmentation.mirror_probability[2], ==, 0.5);
    g_assert_cmpuint (wanted->bytes, ==, 2 * bytes);
    image = parity_image (dhw);
    g_assert_true (tess_session_write (session, 0, network->image, image,
                                       tess_graph_tensor (network->graph, network->image)->bytes, &error));
    g_assert_true (tess_session_run (session, 0, &args, &error));
    g_assert_true (tess_session_read (session, 0, network->logits[0], logits, bytes, &error));
    g_assert_no_error (error);
    for (gsize k = 0; k < bytes / sizeof (float); k++) {
      float want;

      memcpy (&want, (const char *)wanted->data + k * sizeof want, sizeof want);
      worst = MAX (worst, fabs ((double)logits[k] - (double)want));
      largest = MAX (largest, fabs ((double)want));
    }
    g_test_message ("%s: largest difference %.3g of %.3g", names[i], worst, largest);
    g_assert_cmpfloat (worst / largest, <, 1e-4);
  }
}

/* A copy of the checkpoint with one text of its pickle turned into another of the same length, everywhere. */
static char *
changed (const char *folder, const char *from, const char *to)
{
  g_autofree char *source = reference ("torch_checkpoint.pth");
  char *path = g_build_filename (folder, "changed.pth", NULL);
  g_autoptr (TessZip) zip = tess_zip_open (source, NULL);
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, NULL);
  guint n_changed = 0;

  g_assert_cmpuint (strlen (from), ==, strlen (to));
  for (guint i = 0; i < tess_zip_n (zip); i++) {
    const char *name = tess_zip_peek_name (zip, i);
    g_autoptr (GBytes) bytes = tess_zip_load_member (zip, i, 1 << 20, NULL);
    gsize n;
    g_autofree char *data = g_bytes_unref_to_data (g_steal_pointer (&bytes), &n);

    for (gsize k = 0; g_str_has_suffix (name, "/data.pkl") && k + strlen (from) <= n; k++)
      if (memcmp (data + k, from, strlen (from)) == 0) {
        memcpy (data + k, to, strlen (to));
        n_changed++;
      }
    g_assert_true (
        tess_atomic_file_write (tess_zip_writer_begin (writer, name, i % 2, NULL), data, n, NULL)); /* half packed */
    g_assert_true (tess_zip_writer_end (writer, NULL));
  }
  g_assert_true (tess_zip_writer_commit (writer, NULL));
  g_assert_cmpuint (n_changed, >, 0);
  return path;
}

static void
test_refused (void)
{
  static const struct {
    const char *from, *to;
    TessError code;
    const char *words[4];
  } cases[] = {
      {"decoder.transpconvs.1.weight",
       "decoder.transpconvs.1.weighx",
       TESS_ERROR_MISMATCH,
       {"missing: decoder.transpconvs.1.weight", "not of this network: decoder.transpconvs.1.weighx"}},
      {"encoder.stages.1.0.convs.1.norm.bias",
       "encoder.stages.1.0.convs.7.norm.bias",
       TESS_ERROR_MISMATCH,
       {"encoder.stages.1.0.convs.1.norm.bias", "convs.7.norm.bias"}},
      {"tumour",
       "ignore",
       TESS_ERROR_MISMATCH,
       {"of another shape: decoder.seg_layers.0.weight {3, 6, 1, 1, 1} instead of {2, 6, 1, 1, 1}",
        "decoder.seg_layers.1.bias {3} instead of {2}"}},
      {"PlainConvUNet", "PlainConvXNet", TESS_ERROR_UNSUPPORTED, {"PlainConvXNet"}},
      {"init_args", "init_argx", TESS_ERROR_FORMAT, {"no plans"}},
      {"dataset_json", "dataset_jsox", TESS_ERROR_FORMAT, {"dataset_json"}},
      {"SimpleITKIO", "SimpleITKXX", TESS_ERROR_UNSUPPORTED, {"SimpleITKXX"}},
  };
  char *folder = fixture_folder ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = NULL;
    g_autoptr (TessModel) model = NULL;
    g_autoptr (GError) error = NULL;

    path = changed (folder, cases[i].from, cases[i].to);
    model = tess_model_load (path, &error);
    g_assert_null (model);
    g_assert_error (error, TESS_ERROR, (int)cases[i].code);
    g_assert_true (g_str_has_prefix (error->message, path));
    for (guint k = 0; cases[i].words[k]; k++)
      if (!strstr (error->message, cases[i].words[k]))
        g_error ("\"%s\" does not say \"%s\"", error->message, cases[i].words[k]);
  }
  fixture_remove (folder);
}

static void
test_no_model (void)
{
  const gint64 dim[1] = {2};
  const float data[2] = {1, 2};
  char *folder = fixture_folder ();
  g_autofree char *old = g_build_filename (folder, "model_final_checkpoint.model", NULL);
  g_autoptr (TessTorchWriter) writer = tess_torch_writer_new ();
  g_autofree char *kinds = reference ("torch_kinds.pth"), *legacy = reference ("torch_legacy.pth");
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_model_load (kinds, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "no plans"));
  g_clear_error (&error);
  g_assert_null (tess_model_load (legacy, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  /* nnU-Net v1's names, in a file whose ending says nothing. */
  tess_torch_writer_add (writer, "conv_blocks_context.0.blocks.0.conv.bias", 1, dim, data);
  g_assert_true (tess_torch_writer_save (writer, old, &error));
  g_assert_null (tess_model_load (old, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "nnU-Net v1"));
  g_assert_nonnull (strstr (error->message, "model_final_checkpoint.model.pkl"));
  fixture_remove (folder);
}

/* Plans that hold themselves, or one value over and over, take no more memory than they may. */
static void
test_endless (void)
{
  static const char *const plans[] = {"(dp0\nVx\ng0\ns", "(lp0\ng0\na", NULL};
  const char *weights = "(Va\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI2\ntQ"
                        "I0\n(I2\nt(I1\ntI00\nNtRd";
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "endless.pth", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (plans); i++) {
    g_autoptr (GString) pickle = g_string_new (NULL);
    g_autoptr (TessZipWriter) zip = tess_zip_writer_new (path, NULL);
    g_autoptr (TessModel) model = NULL;
    g_autoptr (GError) error = NULL;

    g_string_append_printf (pickle, "(Vnetwork_weights\n%sVinit_args\n(Vplans\n", weights);
    if (plans[i]) {
      g_string_append (pickle, plans[i]);
    } else { /* ten times ten times ... one number: 10^30 */
      g_string_append (pickle, "(I1\nlp0\n");
      for (guint k = 0; k < 30; k++)
        g_string_append_printf (pickle, "0(g%u\ng%u\ng%u\ng%u\ng%u\ng%u\ng%u\ng%u\ng%u\ng%u\nlp%u\n", k, k, k, k, k, k,
                                k, k, k, k, k + 1);
    }
    g_string_append (pickle, "dd.");
    g_assert_true (tess_atomic_file_write (tess_zip_writer_begin (zip, "a/data.pkl", FALSE, NULL), pickle->str,
                                           pickle->len, NULL));
    g_assert_true (tess_zip_writer_end (zip, NULL));
    g_assert_true (tess_atomic_file_write (tess_zip_writer_begin (zip, "a/data/0", FALSE, NULL), "12345678", 8, NULL));
    g_assert_true (tess_zip_writer_end (zip, NULL) && tess_zip_writer_commit (zip, NULL));
    model = tess_model_load (path, &error);
    g_assert_null (model);
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_nonnull (strstr (error->message, "hold no \"plans\""));
  }
  fixture_remove (folder);
}

/* To PyTorch: all of its names in its order (292 for 108 tensors of six stages), and the same numbers. */
static void
test_export (gconstpointer data)
{
  char *folder = fixture_folder ();
  g_autofree char *path = g_build_filename (folder, "out.pth", NULL);
  g_autofree char *own = g_build_filename (folder, "own.safetensors", NULL);
  g_autofree char *wrong = g_build_filename (folder, "out.tflite", NULL);
  g_autofree char *source = reference (data);
  g_autoptr (TessModel) model = load (data);
  g_autoptr (TessModel) again = NULL;
  g_autoptr (TessTorchFile) before = NULL, after = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_model_export (model, own, &error));
  g_assert_no_error (error);
  again = tess_model_load (own, &error);
  g_assert_no_error (error);
  if (g_str_equal (data, "torch_checkpoint.pth"))
    fixture_compare_logits (again, "torch_logits.safetensors", "image", "checkpoint");
  g_assert_true (tess_model_export (again, path, &error));
  g_assert_no_error (error);

  before = tess_torch_file_open (source, &error);
  after = tess_torch_file_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_torch_file_n (after), ==, tess_torch_file_n (before));
  for (guint i = 0; i < tess_torch_file_n (after); i++) {
    const TessTorchTensor *a = tess_torch_file_nth (after, i), *b = tess_torch_file_nth (before, i);
    g_autofree float *x = g_new (float, a->n), *y = g_new (float, b->n);

    g_assert_cmpstr (a->name, ==, b->name);
    g_assert_cmpuint (a->n_dims, ==, b->n_dims);
    g_assert_cmpmem (a->dim, sizeof a->dim, b->dim, sizeof b->dim);
    g_assert_true (tess_torch_file_read_f32 (after, a, x, a->n, &error));
    g_assert_true (tess_torch_file_read_f32 (before, b, y, b->n, &error));
    g_assert_cmpmem (x, a->n * sizeof (float), y, b->n * sizeof (float));
  }
  g_assert_false (tess_model_export (again, wrong, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  fixture_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/model-torch/logits", test_logits);
  g_test_add_func ("/model-torch/transposed", test_transposed);
  g_test_add_func ("/model-torch/plan", test_plan);
  g_test_add_func ("/model-torch/refused", test_refused);
  g_test_add_func ("/model-torch/no-model", test_no_model);
  g_test_add_func ("/model-torch/endless", test_endless);
  g_test_add_func ("/model-torch/residual", test_residual);
  g_test_add_data_func ("/model-torch/export/plain", "torch_checkpoint.pth", test_export);
  g_test_add_data_func ("/model-torch/export/residual", "nets_residual_3d.pth", test_export);
  g_test_add_data_func ("/model-torch/export/slices", "nets_residual_2d.pth", test_export);
  return g_test_run ();
}
