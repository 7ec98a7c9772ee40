/* Against nibabel: real files (tests/reference/nifti_info.py) and header fields (nifti_header.py). */
#include "nifti-fixture.h"
#include "tess-format-registry.h"
#include "tess-json.h"
#include "tess-statistics.h"

#include <math.h>
#include <string.h>

static JsonArray *
load_list (const char *name, JsonNode **keep)
{
  g_autoptr (GError) error = NULL;

  *keep = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", name, NULL), &error);
  g_assert_no_error (error);
  return json_node_get_array (*keep);
}

static void
doubles (JsonObject *o, const char *name, double *values, guint n)
{
  g_autoptr (GError) error = NULL;

  tess_json_doubles (o, "reference", name, values, n, &error);
  g_assert_no_error (error);
}

static void
close_to (JsonObject *o, const char *name, double value, double scale)
{
  double expected = json_node_get_double (json_object_get_member (o, name));

  if (!(fabs (value - expected) <= 1e-5 * MAX (fabs (expected), scale)))
    g_error ("%s: %s is %.9g, nibabel says %.9g", json_object_get_string_member (o, "file"), name, value, expected);
}

static void
compare (JsonObject *o, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *rows = json_object_get_array_member (o, "affine");
  const TessAffine *affine = tess_volume_affine (volume);
  TessStatistics s;
  char codes[4];

  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
  for (guint r = 0; r < 3; r++)
    for (guint k = 0; k < 4; k++)
      g_assert_cmpfloat_with_epsilon (
          affine->m[r][k], json_node_get_double (json_array_get_element (json_array_get_array_element (rows, r), k)),
          1e-5);
  tess_affine_orientation (affine, codes);
  g_assert_cmpstr (codes, ==, json_object_get_string_member (o, "orientation"));
  g_assert_cmpint (tess_volume_intent (volume) == TESS_INTENT_LABEL, ==, json_object_get_boolean_member (o, "label"));
  g_assert_true (tess_volume_statistics (volume, -1, NULL, &s, NULL));
  g_assert_cmpint (s.n_not_finite, ==, json_object_get_int_member (o, "not_finite"));
  close_to (o, "min", s.min, 0);
  close_to (o, "max", s.max, 0);
  close_to (o, "mean", s.mean, 1e-3 * s.std);
  close_to (o, "std", s.std, 0);
}

static void
test_real_files (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *list = load_list ("nifti_info.json", &keep);
  guint n_compared = 0, n_refused = 0;

  if (!root || !g_file_test (root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *file = json_object_get_string_member (o, "file");
    g_autofree char *path = g_build_filename (root, file, NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

    if (json_object_has_member (o, "fails")) {
      gboolean unsupported = g_str_equal (json_object_get_string_member (o, "fails"), "unsupported");

      g_assert_error (error, TESS_ERROR, unsupported ? TESS_ERROR_UNSUPPORTED : TESS_ERROR_FORMAT);
      g_assert_null (strchr (error->message, '\n'));
      g_assert_true (g_str_has_prefix (error->message, path));
      n_refused++;
      continue;
    }
    if (error)
      g_error ("%s", error->message);
    compare (o, volume);
    if (strstr (file, "orient48/")) { /* there a file's name is its orientation */
      g_autofree char *stem = tess_volume_stem (path);

      g_assert_cmpstr (stem, ==, json_object_get_string_member (o, "orientation"));
    }
    n_compared++;
  }
  g_test_message ("%u files equal to nibabel, %u refused", n_compared, n_refused);
  g_assert_cmpuint (n_compared, >, 60);
  g_assert_cmpuint (n_refused, ==, 1);
}

static void
test_header_fields (void)
{
  g_autofree char *folder = nifti_fixture_folder (), *path = g_build_filename (folder, "header.nii", NULL);
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *list = load_list ("nifti_header.json", &keep);

  for (guint i = 0; i < json_array_get_length (list); i++)
    for (int version = 1; version <= 2; version++) {
      JsonObject *o = json_array_get_object_element (list, i);
      JsonArray *rows = json_object_get_array_member (o, "affine");
      NiftiFixture f = nifti_fixture (2, 8, 1, 1, 1);
      double dim[8], zeros[600] = {0};
      g_autoptr (GByteArray) bytes = NULL;
      g_autoptr (TessVolume) volume = NULL;
      g_autoptr (GError) error = NULL;

      doubles (o, "dim", dim, 8);
      for (int k = 0; k < 8; k++)
        f.dim[k] = (gint64)dim[k];
      doubles (o, "pixdim", f.pixdim, 8);
      doubles (o, "quatern", f.quatern, 3);
      doubles (o, "qoffset", f.qoffset, 3);
      doubles (o, "srow", f.srow, 12);
      f.qform_code = (int)json_object_get_int_member (o, "qform_code");
      f.sform_code = (int)json_object_get_int_member (o, "sform_code");
      f.version = version;
      f.big_endian = i % 2;
      bytes = nifti_fixture_header (&f);
      nifti_fixture_append (&f, bytes, zeros, 600);
      nifti_fixture_put (path, bytes, FALSE);
      volume = tess_volume_load (path, NULL, &error);
      g_assert_no_error (error);
      for (guint r = 0; r < 3; r++)
        for (guint k = 0; k < 4; k++) {
          double expected = json_node_get_double (json_array_get_element (json_array_get_array_element (rows, r), k));

          if (!(fabs (tess_volume_affine (volume)->m[r][k] - expected) <= 1e-5))
            g_error ("header %u: [%u][%u] is %.9g, nibabel says %.9g", i, r, k, tess_volume_affine (volume)->m[r][k],
                     expected);
        }
    }
  remove_tree (folder);
}

/* Every real file, written and read again: voxels and geometry are the same. */
static void
test_round_trip (void)
{
  static const char *const names[] = {"nifti/dtype/5D_small.nii",          "nifti/dtype/example_nifti2.nii.gz",
                                      "nifti/dtype/with_extension.nii.gz", "nifti/affine/shear.nii.gz",
                                      "nifti/ct/example_seg.nii.gz",       "nifti/dtype/air.img.gz",
                                      "nifti/dtype/minimal.nii.gz",        "nifti/dtype/big.nii.gz"};
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *folder = NULL;

  if (!root || !g_file_test (root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  folder = nifti_fixture_folder ();
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    for (int gzip = 0; gzip < 2; gzip++) {
      g_autofree char *path = g_build_filename (root, names[i], NULL),
                      *out = g_build_filename (folder, gzip ? "o.nii.gz" : "o.hdr", NULL);
      g_autoptr (GError) error = NULL;
      g_autoptr (TessVolume) a = tess_volume_load (path, NULL, &error), b = NULL;

      g_assert_no_error (error);
      g_assert_true (tess_volume_save (a, out, NULL, &error));
      b = tess_volume_load (out, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (tess_affine_equal (tess_volume_affine (a), tess_volume_affine (b), 0));
      g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), tess_volume_data (b), tess_volume_n_bytes (b));
      g_assert_cmpint (tess_volume_n_channels (a), ==, tess_volume_n_channels (b));
      g_assert_cmpfloat (tess_volume_slope (a), ==, tess_volume_slope (b));
    }
  remove_tree (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/formats/nifti/real-files", test_real_files);
  g_test_add_func ("/formats/nifti/header-fields", test_header_fields);
  g_test_add_func ("/formats/nifti/round-trip", test_round_trip);
  return g_test_run ();
}
