/* Metrics against scipy.ndimage and numpy (tests/reference/metrics.py). */
#include "tess-json.h"
#include "tess-metrics.h"
#include "tess-parallel.h"

#include <math.h>

static JsonObject *
reference_file (JsonNode **root)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "metrics.json", NULL);
  GError *error = NULL;

  *root = tess_json_load (path, &error);
  g_assert_no_error (error);
  return json_node_get_object (*root);
}

/* [value, count, ...] -> n values of 16 bits. */
static void
unroll (JsonArray *runs, gint64 n, guint16 *out)
{
  gint64 k = 0;

  for (guint i = 0; i + 1 < json_array_get_length (runs); i += 2)
    for (gint64 c = json_array_get_int_element (runs, i + 1); c > 0; c--) {
      g_assert_cmpint (k, <, n);
      out[k++] = (guint16)json_array_get_int_element (runs, i);
    }
  g_assert_cmpint (k, ==, n);
}

static void
int_array (JsonObject *o, const char *name, gint64 *out, guint n)
{
  JsonArray *a = json_object_get_array_member (o, name);

  g_assert_cmpuint (json_array_get_length (a), ==, n);
  for (guint i = 0; i < n; i++)
    out[i] = json_array_get_int_element (a, i);
}

static TessVolume *
volume_of (JsonObject *c, const char *name, const TessAffine *affine)
{
  gint64 dim[3];
  GError *error = NULL;
  TessVolume *v;

  int_array (c, "dim", dim, 3);
  v = tess_volume_new (TESS_DTYPE_U16, dim, 1, affine, &error);
  g_assert_no_error (error);
  unroll (json_object_get_array_member (c, name), dim[0] * dim[1] * dim[2], tess_volume_data_mut (v));
  tess_volume_set_watermark (v, tess_volume_n_slices (v));
  return v;
}

static void
check (JsonObject *expected, const char *name, double value, const char *what)
{
  JsonNode *node = json_object_get_member (expected, name);

  if (JSON_NODE_HOLDS_NULL (node)) {
    if (!isnan (value))
      g_error ("%s: %s is %.9g, not undefined", what, name, value);
  } else if (!(fabs (value - json_node_get_double (node)) <= 1e-6 * MAX (1.0, fabs (json_node_get_double (node)))))
    g_error ("%s: %s is %.9g, scipy says %.9g", what, name, value, json_node_get_double (node));
}

static void
test_against_scipy (void)
{
  g_autoptr (JsonNode) root = NULL;
  JsonArray *cases = json_object_get_array_member (reference_file (&root), "cases");

  g_assert_cmpuint (json_array_get_length (cases), >=, 6);
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *c = json_array_get_object_element (cases, i);
    JsonObject *labels = json_object_get_object_member (c, "labels");
    JsonArray *m = json_object_get_array_member (c, "affine");
    g_autoptr (GList) names = json_object_get_members (labels);
    g_autoptr (TessVolume) r = NULL;
    g_autoptr (TessVolume) p = NULL;
    TessAffine affine;

    for (guint k = 0; k < 12; k++)
      affine.m[k / 4][k % 4] = json_array_get_double_element (m, k);
    r = volume_of (c, "reference", &affine);
    p = volume_of (c, "prediction", &affine);
    for (GList *l = names; l; l = l->next) {
      JsonObject *e = json_object_get_object_member (labels, l->data);
      g_autofree char *what =
          g_strdup_printf ("%s, label %s", json_object_get_string_member (c, "name"), (char *)l->data);
      TessLabelMetrics got;
      GError *error = NULL;

      tess_metrics_compute (r, p, g_ascii_strtoll (l->data, NULL, 10), TRUE, &got, &error);
      g_assert_no_error (error);
      g_assert_cmpint (got.tp, ==, json_object_get_int_member (e, "tp"));
      g_assert_cmpint (got.fp, ==, json_object_get_int_member (e, "fp"));
      g_assert_cmpint (got.fn, ==, json_object_get_int_member (e, "fn"));
      check (e, "dice", got.dice, what);
      check (e, "iou", got.iou, what);
      check (e, "hd95", got.hd95, what);
      check (e, "volume_reference", got.volume_reference, what);
      check (e, "volume_prediction", got.volume_prediction, what);
      tess_metrics_compute (r, p, g_ascii_strtoll (l->data, NULL, 10), FALSE, &got, &error);
      g_assert_no_error (error);
      g_assert_true (isnan (got.hd95));
      check (e, "dice", got.dice, what);
    }
  }
}

static void
test_transform (void)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *t = json_object_get_object_member (reference_file (&root), "transform");
  JsonArray *spacing_array = json_object_get_array_member (t, "spacing");
  JsonArray *expected = json_object_get_array_member (t, "distance");
  gint64 dim[3], n;
  double spacing[3];
  g_autofree guint16 *wide = NULL;
  g_autofree guint8 *mask = NULL;
  g_autofree float *one = NULL;
  g_autofree float *many = NULL;

  int_array (t, "dim", dim, 3);
  n = dim[0] * dim[1] * dim[2];
  for (guint a = 0; a < 3; a++)
    spacing[a] = json_array_get_double_element (spacing_array, a);
  wide = g_new (guint16, (gsize)n);
  mask = g_new (guint8, (gsize)n);
  one = g_new (float, (gsize)n);
  many = g_new (float, (gsize)n);
  unroll (json_object_get_array_member (t, "mask"), n, wide);
  for (gint64 i = 0; i < n; i++)
    mask[i] = wide[i] ? 200 : 0;

  tess_parallel_set_threads (1);
  tess_distance_transform (mask, dim, spacing, one);
  tess_parallel_set_threads (4);
  tess_distance_transform (mask, dim, spacing, many);
  tess_parallel_set_threads (0);
  g_assert_cmpmem (one, (gsize)n * 4, many, (gsize)n * 4);
  for (gint64 i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon (one[i], json_array_get_double_element (expected, (guint)i), 2e-6);
}

static void
test_transform_empty (void)
{
  const gint64 dim[3] = {5, 4, 3};
  const double spacing[3] = {1, 1, 1};
  guint8 mask[60] = {0};
  float out[60];

  tess_distance_transform (mask, dim, spacing, out);
  for (int i = 0; i < 60; i++)
    g_assert_true (isinf (out[i]) && out[i] > 0);
  mask[59] = 1;
  tess_distance_transform (mask, dim, spacing, out);
  g_assert_cmpfloat_with_epsilon (out[0], sqrtf (16 + 9 + 4), 1e-6f);
}

static TessVolume *
empty_volume (gint64 nx, gint64 channels, double spacing, double offset)
{
  const gint64 dim[3] = {nx, 6, 5};
  TessAffine affine = tess_affine_scale (spacing, spacing, spacing);
  TessVolume *v;

  affine.m[0][3] = offset;
  v = tess_volume_new (TESS_DTYPE_U8, dim, channels, &affine, NULL);
  g_assert_nonnull (v);
  memset (tess_volume_data_mut (v), 1, tess_volume_n_bytes (v));
  tess_volume_set_watermark (v, tess_volume_n_slices (v));
  return v;
}

static void
expect_mismatch (TessVolume *other, const char *part)
{
  g_autoptr (TessVolume) r = empty_volume (7, 1, 1.0, 0.0);
  g_autoptr (TessVolume) p = other;
  g_autoptr (GError) error = NULL;
  TessLabelMetrics got;

  g_assert_false (tess_metrics_compute (r, p, 1, TRUE, &got, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  if (!strstr (error->message, part))
    g_error ("\"%s\" does not say \"%s\"", error->message, part);
}

static void
test_mismatch (void)
{
  g_autoptr (TessVolume) r = empty_volume (7, 1, 1.0, 0.0);
  g_autoptr (TessVolume) p = empty_volume (7, 1, 1.0, 0.002); /* rounding of a header */
  TessLabelMetrics got;

  expect_mismatch (empty_volume (8, 1, 1.0, 0.0), "8 x 6 x 5");
  expect_mismatch (empty_volume (7, 1, 1.0, 2.5), "2.5 mm");
  expect_mismatch (empty_volume (7, 2, 1.0, 0.0), "prediction 2");
  g_assert_true (tess_metrics_compute (r, p, 1, TRUE, &got, NULL));
  g_assert_cmpfloat (got.dice, ==, 1.0);
  g_assert_cmpfloat (got.hd95, ==, 0.0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image/metrics/scipy", test_against_scipy);
  g_test_add_func ("/image/metrics/transform", test_transform);
  g_test_add_func ("/image/metrics/transform-empty", test_transform_empty);
  g_test_add_func ("/image/metrics/mismatch", test_mismatch);
  return g_test_run ();
}
