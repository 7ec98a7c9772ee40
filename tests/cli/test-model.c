/* Models of PyTorch and nnU-Net given to `tessera-cli predict` and `tessera-cli convert`, run as programs. */
#include "cli-run.h"

#include "infer-fixture.h"

static char *
checkpoint (void)
{
  return g_test_build_filename (G_TEST_DIST, "reference", "torch_checkpoint.pth", NULL);
}

static void
save_scan (CliRun *run)
{
  const double spacing[3] = {1.3, 0.8, 2.4}, none[3] = {0, 0, 0};
  const gint64 dim[3] = {31, 22, 11};
  TessAffine affine = fixture_affine (spacing, none, none);
  g_autoptr (TessVolume) scan = fixture_scan (dim, 2, &affine, 5);

  cli_save (run, scan, "scan.nii.gz");
}

/* A checkpoint of nnU-Net segments as its copies do: as a model of ours, and that one's weights in their old names. */
static void
test_predict (void)
{
  g_autofree char *model = checkpoint ();
  g_autoptr (TessVolume) first = NULL, second = NULL;
  g_autoptr (JsonNode) root = NULL;
  CliRun run;

  cli_open (&run);
  save_scan (&run);
  cli_run (&run, "predict --backend cpu --precision f32 --model %s --input scan.nii.gz --output first.nii.gz", model);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.err, "cubic splines"));
  g_assert_nonnull (strstr (run.err, "mirrored"));

  cli_run (&run, "convert %s own.safetensors --json", model);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_cmpint (json_object_get_int_member (cli_json (&run, &root), "parameters"), ==, 6838);
  cli_run (&run, "predict --backend cpu --precision f32 --model own.safetensors --input scan.nii.gz --output "
                 "second.nii.gz");
  g_assert_cmpint (run.code, ==, 0);
  first = cli_load (&run, "first.nii.gz");
  second = cli_load (&run, "second.nii.gz");
  g_assert_cmpmem (tess_volume_data (first), tess_volume_n_bytes (first), tess_volume_data (second),
                   tess_volume_n_bytes (second));
  cli_close (&run);
}

/* Texts stand in protocol buffers as they are; a property is its key (field 1), then its value (field 2). What
 * onnxruntime makes of such files is in tests/cpu/test-cpu-onnx.c. */
static void
check_metadata (CliRun *run)
{
  static const char *const properties[][2] = {
      {"axes", "N,C,z,y,x"},           {"patch", "8,16,24"},
      {"spacing_mm", "2.5,0.75,1.25"}, {"classes", "{\"0\":\"background\",\"1\":\"organ\",\"2\":\"tumour\"}"},
      {"activation", "softmax"},
  };
  g_autofree char *path = g_build_filename (run->folder, "out.onnx", NULL), *bytes = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  g_assert_true (g_file_get_contents (path, &bytes, &n, &error));
  g_assert_cmpuint (n, >, 6838 / 2 * sizeof (float));
  for (guint i = 0; i < G_N_ELEMENTS (properties); i++) {
    const char *key = properties[i][0], *value = properties[i][1];
    g_autofree char *wanted = g_strdup_printf ("\x0a%c%s\x12%c%s", (int)strlen (key), key, (int)strlen (value), value);

    if (!memmem (bytes, n, wanted, strlen (wanted)))
      g_error ("out.onnx does not say %s %s", key, value);
  }
  g_assert_nonnull (memmem (bytes, n, "normalisation", strlen ("normalisation")));
  g_assert_nonnull (memmem (bytes, n, "tessera.plan", strlen ("tessera.plan")));
}

static void
test_export (void)
{
  g_autofree char *model = checkpoint ();
  CliRun run;

  cli_open (&run);
  cli_run (&run, "convert %s out.pth", model);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "out.pth: a network of 6838 parameters"));
  /* Weights alone are no model. */
  save_scan (&run);
  cli_run (&run, "predict --model out.pth --input scan.nii.gz --output out.nii.gz");
  cli_failed (&run, 1, "out.pth: holds weights but no plans");
  cli_run (&run, "convert out.pth out.pth");
  cli_failed (&run, 2, "is also the input");
  cli_run (&run, "convert %s out.onnx", model);
  g_assert_cmpint (run.code, ==, 0);
  check_metadata (&run);
  cli_run (&run, "convert %s nowhere/out.onnx", model);
  cli_failed (&run, 1, "nowhere/out.onnx");
  cli_run (&run, "convert %s out.tflite", model);
  cli_failed (&run, 1, "out.tflite: a model is written as .safetensors");
  cli_run (&run, "convert missing.pth out.safetensors");
  cli_failed (&run, 1, "missing.pth");
  cli_run (&run, "convert %s nowhere/out.pth", model);
  cli_failed (&run, 1, "nowhere/out.pth");
  cli_close (&run);
}

/* The folder that nnU-Net leaves: the network of all cases or else the first fold's, and one fold instead of the mean
 * is said. */
static void
test_folder (void)
{
  g_autofree char *model = checkpoint ();
  CliRun run;

  cli_open (&run);
  save_scan (&run);
  for (guint i = 1; i < 3; i++) {
    g_autofree char *fold = g_strdup_printf ("%s/trained/fold_%u", run.folder, i);
    g_autofree char *file = g_build_filename (fold, "checkpoint_final.pth", NULL), *bytes = NULL;
    gsize n;

    g_assert_cmpint (g_mkdir_with_parents (fold, 0700), ==, 0);
    g_assert_true (g_file_get_contents (model, &bytes, &n, NULL));
    g_assert_true (g_file_set_contents (file, bytes, (gssize)n, NULL));
  }
  cli_run (&run, "predict --backend cpu --model trained --input scan.nii.gz --output out.nii.gz");
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.err, "all 2 folds; here fold_1 alone"));
  cli_run (&run, "convert trained out.onnx");
  g_assert_cmpint (run.code, ==, 0);
  cli_run (&run, "predict --model . --input scan.nii.gz --output out.nii.gz");
  cli_failed (&run, 1, ".: this folder holds no model");
  cli_close (&run);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/model/predict", test_predict);
  g_test_add_func ("/cli/model/export", test_export);
  g_test_add_func ("/cli/model/folder", test_folder);
  return g_test_run ();
}
