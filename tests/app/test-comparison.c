/* Two label maps against each other: expected values from numpy (tests/reference/app_comparison.py). */
#include "tess-comparison.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

static JsonObject *
expected (void)
{
  static JsonNode *root;
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "app_comparison.json", NULL);
  GError *error = NULL;

  if (!root)
    root = tess_json_load (path, &error);
  g_assert_no_error (error);
  return json_node_get_object (root);
}

static TessVolume *
volume_new (const char *name)
{
  JsonArray *values = json_object_get_array_member (expected (), name);
  gint64 dim[3];
  double spacing[3];
  TessAffine affine;
  TessVolume *volume;
  guint8 *voxels;

  g_assert_true (tess_json_ints (expected (), "test", "dim", 1, 100, dim, 3, NULL));
  g_assert_true (tess_json_doubles (expected (), "test", "spacing", spacing, 3, NULL));
  affine = tess_affine_scale (spacing[0], spacing[1], spacing[2]);
  volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  voxels = tess_volume_data_mut (volume);
  for (guint i = 0; i < json_array_get_length (values); i++)
    voxels[i] = (guint8)json_array_get_int_element (values, i);
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  return volume;
}

static void
test_numbers (void)
{
  g_autoptr (TessVolume) reference = volume_new ("reference");
  g_autoptr (TessVolume) prediction = volume_new ("prediction");
  JsonArray *labels = json_object_get_array_member (expected (), "labels");
  GError *error = NULL;
  g_autoptr (TessComparison) c = tess_comparison_new (reference, prediction, NULL, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (c->rows->len, ==, json_array_get_length (labels));
  for (guint i = 0; i < c->rows->len; i++)
    g_assert_cmpint (g_array_index (c->rows, TessLabelMetrics, i).label, ==, json_array_get_int_element (labels, i));
  g_assert_cmpfloat_with_epsilon (c->dice, json_object_get_double_member (expected (), "dice"), 1e-12);
  g_assert_cmpfloat_with_epsilon (c->iou, json_object_get_double_member (expected (), "iou"), 1e-12);
  g_assert_cmpfloat_with_epsilon (c->volume_reference, json_object_get_double_member (expected (), "volume_reference"),
                                  1e-9);
  g_assert_cmpfloat_with_epsilon (c->volume_prediction,
                                  json_object_get_double_member (expected (), "volume_prediction"), 1e-9);
  /* 5 and 7 are in one alone: no distance, and the mean goes over the other two */
  g_assert_true (isnan (g_array_index (c->rows, TessLabelMetrics, 2).hd95));
  g_assert_cmpfloat_with_epsilon (
      c->hd95,
      (g_array_index (c->rows, TessLabelMetrics, 0).hd95 + g_array_index (c->rows, TessLabelMetrics, 1).hd95) / 2.0,
      1e-12);
}

static void
test_difference (void)
{
  g_autoptr (TessVolume) reference = volume_new ("reference");
  g_autoptr (TessVolume) prediction = volume_new ("prediction");
  JsonObject *wanted = json_object_get_object_member (expected (), "difference");
  g_autoptr (GList) keys = json_object_get_members (wanted);

  g_assert_nonnull (keys);
  for (GList *l = keys; l; l = l->next) {
    JsonArray *values = json_object_get_array_member (wanted, l->data);
    GError *error = NULL;
    g_autoptr (TessVolume) d =
        tess_difference_new (reference, prediction, g_ascii_strtoll (l->data, NULL, 10), NULL, &error);
    const guint8 *voxels;

    g_assert_no_error (error);
    g_assert_cmpint (tess_volume_intent (d), ==, TESS_INTENT_LABEL);
    g_assert_cmpint (tess_volume_n_voxels (d), ==, json_array_get_length (values));
    g_assert_true (tess_affine_equal (tess_volume_affine (d), tess_volume_affine (reference), 0.0));
    voxels = tess_volume_data (d);
    for (guint i = 0; i < json_array_get_length (values); i++)
      g_assert_cmpint (voxels[i], ==, json_array_get_int_element (values, i));
    for (guint kind = TESS_DIFFERENCE_AGREE; kind < TESS_N_DIFFERENCES; kind++)
      g_assert_cmpstr (tess_label_table_find (tess_volume_peek_labels (d), kind)->name, ==,
                       tess_difference_name (kind));
  }
}

static void
test_refused (void)
{
  g_autoptr (TessVolume) reference = volume_new ("reference");
  g_autoptr (TessVolume) prediction = volume_new ("prediction");
  g_autoptr (TessProgress) progress = tess_progress_new ();
  TessAffine moved = *tess_volume_affine (reference);
  g_autoptr (TessVolume) other = NULL;
  GError *error = NULL;

  moved.m[2][3] += 4.0;
  other = tess_volume_new (TESS_DTYPE_U8, tess_volume_dim (reference), 1, &moved, NULL);
  g_assert_null (tess_comparison_new (reference, other, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "different grids"));
  g_clear_error (&error);
  g_assert_null (tess_difference_new (reference, other, 0, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);

  tess_progress_cancel (progress);
  g_assert_null (tess_comparison_new (reference, prediction, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_null (tess_difference_new (reference, prediction, 0, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
}

static void
test_volume_difference (void)
{
  g_assert_cmpfloat_with_epsilon (tess_volume_difference (200.0, 150.0), -25.0, 1e-12);
  g_assert_cmpfloat_with_epsilon (tess_volume_difference (200.0, 200.0), 0.0, 1e-12);
  g_assert_true (isnan (tess_volume_difference (0.0, 150.0)));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/comparison/numbers", test_numbers);
  g_test_add_func ("/app/comparison/difference", test_difference);
  g_test_add_func ("/app/comparison/refused", test_refused);
  g_test_add_func ("/app/comparison/volume-difference", test_volume_difference);
  return g_test_run ();
}
