#include "tess-fingerprint.h"
#include "tess-json.h"
#include "tess-normalise.h"

#include <math.h>

static JsonObject *
reference (JsonNode **root)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "prep.json", NULL);
  g_autoptr (GError) error = NULL;
  JsonObject *o = NULL;

  *root = tess_json_load (path, &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (*root, path, &o, &error));
  return o;
}

static void
numbers (JsonObject *o, const char *name, double *values, guint n)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_json_doubles (o, "prep.json", name, values, n, &error));
}

static TessVolume *
volume_new (TessDType dtype, JsonObject *o)
{
  double spacing[3];
  gint64 dim[3];
  TessAffine affine;
  g_autoptr (GError) error = NULL;
  TessVolume *volume;

  numbers (o, "spacing", spacing, 3);
  g_assert_true (tess_json_ints (o, "prep.json", "dim", 1, 1000, dim, 3, NULL));
  affine = tess_affine_scale (spacing[0], spacing[1], spacing[2]);
  volume = tess_volume_new (dtype, dim, 1, &affine, &error);
  g_assert_no_error (error);
  return volume;
}

/* Its number of foreground voxels. */
static guint64
add_case (TessFingerprint *f, JsonObject *o)
{
  JsonArray *images = json_object_get_array_member (o, "images"), *labels = json_object_get_array_member (o, "label");
  guint64 foreground = 0;
  TessVolume *channel[2] = {NULL, NULL};
  g_autoptr (TessVolume) label = volume_new (TESS_DTYPE_U8, o);
  guint n = json_array_get_length (labels);
  g_autoptr (GError) error = NULL;

  for (guint c = 0; c < 2; c++) {
    JsonArray *values = json_array_get_array_element (images, c);

    channel[c] = volume_new (TESS_DTYPE_F32, o);
    for (guint i = 0; i < n; i++)
      ((float *)tess_volume_data_mut (channel[c]))[i] =
          json_array_get_null_element (values, i) ? NAN : (float)json_array_get_double_element (values, i);
  }
  for (guint i = 0; i < n; i++)
    foreground += (((guint8 *)tess_volume_data_mut (label))[i] = (guint8)json_array_get_int_element (labels, i)) > 0;
  g_assert_true (tess_fingerprint_add (f, channel, label, &error));
  tess_volume_unref (channel[0]);
  tess_volume_unref (channel[1]);
  return foreground;
}

static void
assert_close (const double *got, const double *expected, guint n, double tolerance)
{
  for (guint i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon (got[i], expected[i], tolerance * MAX (1.0, fabs (expected[i])));
}

static void
test_numpy (void)
{
  JsonNode *root;
  JsonObject *o = reference (&root);
  JsonArray *cases = json_object_get_array_member (o, "cases"),
            *intensity = json_object_get_array_member (o, "intensity");
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (2);
  double got[4], expected[4], spacing[3];
  guint64 bytes = 0, foreground = 0, largest;

  for (guint i = 0; i < json_array_get_length (cases); i++)
    foreground += add_case (f, json_array_get_object_element (cases, i));
  g_assert_cmpuint (tess_fingerprint_n_cases (f), ==, 4);
  numbers (o, "median_spacing", expected, 3);
  tess_fingerprint_median_spacing (f, spacing);
  assert_close (spacing, expected, 3, 1e-12);
  numbers (o, "median_shape", expected, 3);
  tess_fingerprint_median_shape (f, spacing, got);
  assert_close (got, expected, 3, 1e-15);
  numbers (o, "max_shape", expected, 3);
  tess_fingerprint_max_shape (f, spacing, got);
  assert_close (got, expected, 3, 1e-15);
  for (guint c = 0; c < 2; c++) {
    for (guint k = 0; k < 4; k++)
      expected[k] = json_array_get_double_element (json_array_get_array_element (intensity, c), k);
    g_assert_true (tess_fingerprint_intensity (f, c, &got[0], &got[1], &got[2], &got[3]));
    assert_close (got, expected, 4, 1e-5);
  }
  g_assert_false (tess_fingerprint_intensity (f, 2, &got[0], &got[1], &got[2], &got[3]));
  bytes = (120 + 105 + 96 + 90) * (4 + 4 + 1);
  g_assert_cmpuint (tess_fingerprint_bytes (f), ==, bytes);
  g_assert_cmpuint (tess_fingerprint_largest_case (f), ==, 120 * 9);
  /* beside it, 8 bytes for every foreground voxel of these small cases */
  g_assert_cmpuint (tess_fingerprint_cached_bytes (f, 2, &largest), ==, bytes + 8 * foreground);
  g_assert_cmpuint (largest, >, 120 * 9);
  json_node_unref (root);
}

static void
test_target_spacing (void)
{
  JsonNode *root;
  JsonObject *o = reference (&root);
  JsonArray *thick = json_object_get_array_member (o, "thick");
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  double got[3], expected[3];

  for (guint i = 0; i < json_array_get_length (thick); i++) {
    TessVolume *image = volume_new (TESS_DTYPE_U8, json_array_get_object_element (thick, i));

    g_assert_true (tess_fingerprint_add (f, &image, NULL, NULL));
    tess_volume_unref (image);
  }
  numbers (o, "thick_target", expected, 3);
  tess_fingerprint_target_spacing (f, got);
  assert_close (got, expected, 3, 1e-12);
  g_assert_cmpfloat (got[2], <, 5.0); /* not the median */
  json_node_unref (root);
}

/* More foreground than is kept: the sample is spread evenly, so its mean of a ramp is the ramp's. */
static void
test_subsample (void)
{
  const gint64 dim[3] = {100, 100, 50};
  TessAffine affine = tess_affine_identity ();
  TessVolume *image = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  double mean, std, lo, hi;

  for (guint i = 0; i < 500000; i++) {
    ((float *)tess_volume_data_mut (image))[i] = (float)i;
    ((guint8 *)tess_volume_data_mut (label))[i] = 1;
  }
  g_assert_true (tess_fingerprint_add (f, &image, label, NULL));
  g_assert_true (tess_fingerprint_intensity (f, 0, &mean, &std, &lo, &hi));
  g_assert_cmpfloat_with_epsilon (mean, 250000.0, 5.0);
  g_assert_cmpfloat_with_epsilon (std, 500000.0 / sqrt (12.0), 5.0);
  g_assert_cmpfloat_with_epsilon (lo, 2500.0, 10.0);
  g_assert_cmpfloat_with_epsilon (hi, 497500.0, 10.0);
  tess_volume_unref (image);
}

static void
test_mismatch (void)
{
  const gint64 a[3] = {3, 3, 3}, b[3] = {3, 3, 4};
  TessAffine affine = tess_affine_identity ();
  TessVolume *image = tess_volume_new (TESS_DTYPE_U8, a, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, b, 1, &affine, NULL);
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  g_autoptr (GError) error = NULL;

  g_assert_false (tess_fingerprint_add (f, &image, label, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_cmpuint (tess_fingerprint_n_cases (f), ==, 0);
  tess_volume_unref (image);
}

static void
test_normalise (void)
{
  JsonNode *root;
  JsonObject *o = reference (&root), *norm = json_object_get_object_member (o, "normalised");
  JsonArray *intensity = json_array_get_array_element (json_object_get_array_member (o, "intensity"), 0);
  double v[7], z[7], ct[7];
  TessStatistics s = {.mean = json_array_get_double_element (intensity, 0),
                      .std = json_array_get_double_element (intensity, 1)};
  TessPlanChannel channel = {.name = NULL,
                             .norm = TESS_NORM_CT,
                             .mean = s.mean,
                             .std = s.std,
                             .lower = json_array_get_double_element (intensity, 2),
                             .upper = json_array_get_double_element (intensity, 3)};
  TessNormaliser n;

  numbers (norm, "values", v, 7);
  numbers (norm, "zscore", z, 7);
  numbers (norm, "ct", ct, 7);
  tess_normaliser_init (&n, &channel, NULL);
  for (guint i = 0; i < 7; i++)
    g_assert_cmpfloat_with_epsilon (tess_normaliser_apply (&n, (float)v[i]), ct[i], 1e-5);
  channel.norm = TESS_NORM_ZSCORE;
  tess_normaliser_init (&n, &channel, &s);
  for (guint i = 0; i < 7; i++)
    g_assert_cmpfloat_with_epsilon (tess_normaliser_apply (&n, (float)v[i]), z[i], 1e-5);
  s = (TessStatistics){.mean = 3.0, .std = 0.0}; /* a constant image */
  tess_normaliser_init (&n, &channel, &s);
  g_assert_cmpfloat (tess_normaliser_apply (&n, 3.0f), ==, 0.0f);
  s = (TessStatistics){.min = -10.0, .max = 30.0};
  channel.norm = TESS_NORM_MINMAX;
  tess_normaliser_init (&n, &channel, &s);
  g_assert_cmpfloat_with_epsilon (tess_normaliser_apply (&n, -10.0f), 0.0, 1e-6);
  g_assert_cmpfloat_with_epsilon (tess_normaliser_apply (&n, 20.0f), 0.75, 1e-6);
  g_assert_cmpfloat_with_epsilon (tess_normaliser_apply (&n, 30.0f), 1.0, 1e-6);
  channel.norm = TESS_NORM_NONE;
  tess_normaliser_init (&n, &channel, NULL);
  g_assert_cmpfloat (tess_normaliser_apply (&n, -1234.5f), ==, -1234.5f);
  g_assert_cmpfloat (tess_normaliser_apply (&n, NAN), ==, 0.0f);
  g_assert_cmpfloat (tess_normaliser_apply (&n, INFINITY), ==, 0.0f);
  json_node_unref (root);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fingerprint/numpy", test_numpy);
  g_test_add_func ("/fingerprint/target-spacing", test_target_spacing);
  g_test_add_func ("/fingerprint/subsample", test_subsample);
  g_test_add_func ("/fingerprint/mismatch", test_mismatch);
  g_test_add_func ("/normalise/numpy", test_normalise);
  return g_test_run ();
}
