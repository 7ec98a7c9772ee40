/* `tessera-cli patches`, run as a program. */
#include "cli-run.h"
#include "tess-philox.h"

static TessVolume *
volume_new (TessDType dtype, const gint64 dim[3], gint64 channels)
{
  TessAffine affine = tess_affine_scale (0.9, 1.0, 2.5);
  GError *error = NULL;
  TessVolume *volume = tess_volume_new (dtype, dim, channels, &affine, &error);

  g_assert_no_error (error);
  return volume;
}

static void
fill (TessVolume *volume)
{
  guint8 *data = tess_volume_data_mut (volume);

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    data[i] = (guint8)tess_philox (5, 0, 0, 0, (guint32)i).v[0];
}

static void
assert_same (TessVolume *a, TessVolume *b)
{
  g_assert_cmpint (tess_volume_dtype (a), ==, tess_volume_dtype (b));
  g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), tess_volume_data (b), tess_volume_n_bytes (b));
  g_assert_true (tess_affine_equal (tess_volume_affine (a), tess_volume_affine (b), 1e-5));
}

/* Every type NIfTI holds, three channels, a shape that neither size nor stride divides and one axis to pad. */
static void
test_identical (void)
{
  static const TessDType dtypes[] = {TESS_DTYPE_U8,  TESS_DTYPE_I8,  TESS_DTYPE_U16, TESS_DTYPE_I16, TESS_DTYPE_U32,
                                     TESS_DTYPE_I32, TESS_DTYPE_U64, TESS_DTYPE_I64, TESS_DTYPE_F32, TESS_DTYPE_F64};
  const gint64 dim[3] = {17, 11, 3};
  CliRun run;

  cli_open (&run);
  for (guint i = 0; i < G_N_ELEMENTS (dtypes); i++)
    for (guint gaussian = 0; gaussian < 2; gaussian++) {
      g_autoptr (TessVolume) in = volume_new (dtypes[i], dim, 3), out = NULL;
      JsonNode *root;
      JsonObject *o;
      gint64 count[3], patches;
      double coverage;
      gboolean identical;

      fill (in);
      cli_save (&run, in, "in.nii.gz");
      cli_run (&run, "patches in.nii.gz --size 6,5,8 --stride 4,5,3 --reconstruct out.nii.gz --json%s",
               gaussian ? " --gaussian" : "");
      g_assert_cmpint (run.code, ==, 0);
      o = cli_json (&run, &root);
      g_assert_true (tess_json_ints (o, "", "count", 0, 100, count, 3, NULL));
      g_assert_true (tess_json_int (o, "", "patches", 0, 1000, &patches, NULL));
      g_assert_true (tess_json_double (o, "", "coverage", &coverage, NULL));
      g_assert_true (tess_json_bool (o, "", "bit_identical", &identical, NULL));
      g_assert_cmpint (count[0], ==, 4); /* 0 4 8 11 */
      g_assert_cmpint (count[1], ==, 3); /* 0 5 6 */
      g_assert_cmpint (count[2], ==, 1);
      g_assert_cmpint (patches, ==, 12);
      g_assert_cmpfloat (coverage, ==, 1.0);
      g_assert_true (identical);
      json_node_unref (root);
      out = cli_load (&run, "out.nii.gz");
      assert_same (in, out);
    }
  cli_close (&run);
}

/* NumPy's weighted mean and vote (tests/reference/patches.py), through files and the command. */
static void
check_case (CliRun *run, JsonObject *o)
{
  gint64 dim[3], size[3], stride[3], n;
  gboolean gaussian;
  g_autoptr (TessVolume) image = NULL, labels = NULL, mean = NULL, vote = NULL;
  g_autofree double *values = NULL, *expected = NULL;
  g_autofree gint64 *label_values = NULL, *label_expected = NULL;
  g_autofree char *grid = NULL;

  g_assert_true (tess_json_ints (o, "", "dim", 1, 100, dim, 3, NULL));
  g_assert_true (tess_json_ints (o, "", "size", 1, 100, size, 3, NULL));
  g_assert_true (tess_json_ints (o, "", "stride", 1, 100, stride, 3, NULL));
  g_assert_true (tess_json_bool (o, "", "gaussian", &gaussian, NULL));
  n = dim[0] * dim[1] * dim[2];
  values = g_new (double, n);
  expected = g_new (double, n);
  label_values = g_new (gint64, n);
  label_expected = g_new (gint64, n);
  g_assert_true (tess_json_doubles (o, "", "image", values, (guint)n, NULL));
  g_assert_true (tess_json_doubles (o, "", "mean", expected, (guint)n, NULL));
  g_assert_true (tess_json_ints (o, "", "labels", 0, 99, label_values, (guint)n, NULL));
  g_assert_true (tess_json_ints (o, "", "vote", 0, G_MAXINT, label_expected, (guint)n, NULL));
  image = volume_new (TESS_DTYPE_F32, dim, 1);
  labels = volume_new (TESS_DTYPE_U8, dim, 1);
  for (gint64 i = 0; i < n; i++) {
    ((float *)tess_volume_data_mut (image))[i] = (float)values[i];
    ((guint8 *)tess_volume_data_mut (labels))[i] = (guint8)label_values[i];
  }
  cli_save (run, image, "image.nii.gz");
  cli_save (run, labels, "labels.nii.gz");
  grid = g_strdup_printf ("--size %d,%d,%d --stride %d,%d,%d --add-index%s", (int)size[0], (int)size[1], (int)size[2],
                          (int)stride[0], (int)stride[1], (int)stride[2], gaussian ? " --gaussian" : "");
  cli_run (run, "patches image.nii.gz %s --reconstruct mean.nii.gz", grid);
  g_assert_cmpint (run->code, ==, 0);
  cli_run (run, "patches labels.nii.gz %s --labels --reconstruct vote.nii.gz", grid);
  g_assert_cmpint (run->code, ==, 0);
  mean = cli_load (run, "mean.nii.gz");
  vote = cli_load (run, "vote.nii.gz");
  g_assert_cmpint (tess_volume_dtype (mean), ==, TESS_DTYPE_F64);
  g_assert_cmpint (tess_volume_dtype (vote), ==, TESS_DTYPE_I32);
  for (gint64 i = 0; i < n; i++) {
    double got = ((const double *)tess_volume_data (mean))[i];

    g_assert_cmpfloat_with_epsilon (got, expected[i], 1e-6 * MAX (fabs (expected[i]), 1.0));
    g_assert_cmpint (((const gint32 *)tess_volume_data (vote))[i], ==, label_expected[i]);
  }
}

static void
test_add_index (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "patches.json", NULL);
  GError *error = NULL;
  g_autoptr (JsonNode) root = tess_json_load (path, &error);
  JsonObject *o;
  JsonArray *cases;
  CliRun run;

  g_assert_no_error (error);
  g_assert_true (tess_json_root (root, path, &o, &error));
  g_assert_true (tess_json_array (o, path, "cases", &cases, &error));
  cli_open (&run);
  for (guint i = 0; i < json_array_get_length (cases); i++)
    check_case (&run, json_array_get_object_element (cases, i));
  cli_close (&run);
}

/* A file with a slope keeps its stored voxels and slope; with the index, real values count. */
static void
test_scaled (void)
{
  const gint64 dim[3] = {5, 4, 3};
  g_autoptr (TessVolume) in = volume_new (TESS_DTYPE_I16, dim, 1), out = NULL, raised = NULL;
  CliRun run;

  fill (in);
  tess_volume_set_scaling (in, 0.5, -1024.0);
  cli_open (&run);
  cli_save (&run, in, "in.nii");
  cli_run (&run, "patches in.nii --size 2 --stride 1 --reconstruct out.nii");
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "bit-identical"));
  out = cli_load (&run, "out.nii");
  assert_same (in, out);
  g_assert_cmpfloat (tess_volume_slope (out), ==, 0.5);
  g_assert_cmpfloat (tess_volume_intercept (out), ==, -1024.0);
  cli_run (&run, "patches in.nii --size 5,4,3 --add-index --reconstruct out.nii"); /* one patch, number 0 */
  raised = cli_load (&run, "out.nii");
  g_assert_cmpfloat (tess_volume_value (raised, 3, 2, 1, 0), ==, tess_volume_value (in, 3, 2, 1, 0));
  cli_close (&run);
}

static void
test_refused (void)
{
  const gint64 dim[3] = {5, 4, 3};
  g_autoptr (TessVolume) in = volume_new (TESS_DTYPE_U8, dim, 1);
  CliRun run;

  fill (in);
  cli_open (&run);
  cli_save (&run, in, "in.nii");
  cli_run (&run, "patches in.nii --size 4 --stride 5");
  cli_failed (&run, 2, "larger than the patch size");
  cli_run (&run, "patches missing.nii --size 4,4,4 --stride 4,4,5"); /* before anything is read */
  cli_failed (&run, 2, "along z");
  cli_run (&run, "patches in.nii --size 0");
  cli_failed (&run, 2, "--size 0");
  cli_run (&run, "patches in.nii --size 4 --stride -1");
  cli_failed (&run, 2, "--stride -1");
  cli_run (&run, "patches in.nii --size 4,4");
  cli_failed (&run, 2, "--size 4,4");
  cli_run (&run, "patches in.nii");
  cli_failed (&run, 2, "--size");
  cli_run (&run, "patches in.nii --size 4 --add-index");
  cli_failed (&run, 2, "--reconstruct");
  cli_run (&run, "patches in.nii --size 4 --reconstruct out.xyz");
  cli_failed (&run, 1, "out.xyz");
  cli_run (&run, "patches missing.nii --size 4");
  cli_failed (&run, 1, "missing.nii");
  cli_run (&run, "patches in.nii --size 4 --reconstruct no/such/folder/out.nii");
  cli_failed (&run, 1, "no/such/folder");
  cli_close (&run);
}

static void
test_real (void)
{
  g_autofree char *path =
      g_build_filename (g_getenv ("TESSERA_SHARED_DATA"), "nifti", "ct", "example_ct_sm.nii.gz", NULL);
  CliRun run;
  g_autoptr (TessVolume) out = NULL, in = NULL;

  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_test_skip ("the shared test data is not here");
    return;
  }
  cli_open (&run);
  cli_run (&run, "patches %s --size 40 --stride 17,33,20 --reconstruct out.nii.gz", path);
  g_assert_cmpint (run.code, ==, 0);
  g_assert_nonnull (strstr (run.out, "6 x 3 x 1 = 18"));
  g_assert_nonnull (strstr (run.out, "100 %"));
  g_assert_nonnull (strstr (run.out, "z 5 before, 5 after"));
  in = tess_volume_load (path, NULL, NULL);
  out = cli_load (&run, "out.nii.gz");
  assert_same (in, out);
  cli_close (&run);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/patches/identical", test_identical);
  g_test_add_func ("/cli/patches/add-index", test_add_index);
  g_test_add_func ("/cli/patches/scaled", test_scaled);
  g_test_add_func ("/cli/patches/refused", test_refused);
  g_test_add_func ("/cli/patches/real", test_real);
  return g_test_run ();
}
