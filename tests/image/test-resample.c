/* Sheared volumes made upright, against SciPy (tests/reference/resample.py). */
#include "tess-json.h"
#include "tess-resample.h"

#include <math.h>
#include <string.h>

static TessVolume *
volume_of (JsonObject *o)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *affine = json_object_get_array_member (o, "affine");
  JsonArray *values = json_object_get_array_member (o, "values");
  gint64 dim[3];
  TessAffine a;
  TessDType dtype;
  TessVolume *volume;

  for (guint k = 0; k < 3; k++)
    dim[k] = json_array_get_int_element (dims, k);
  for (guint k = 0; k < 12; k++)
    a.m[k / 4][k % 4] = json_array_get_double_element (affine, k);
  g_assert_true (tess_dtype_from_name (json_object_get_string_member (o, "dtype"), &dtype));
  volume = tess_volume_new (dtype, dim, 1, &a, NULL);
  for (guint i = 0; i < json_array_get_length (values); i++) {
    double v = json_array_get_double_element (values, i);

    if (dtype == TESS_DTYPE_U8)
      ((guint8 *)tess_volume_data_mut (volume))[i] = (guint8)v;
    else if (dtype == TESS_DTYPE_I16)
      ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)v;
    else
      ((float *)tess_volume_data_mut (volume))[i] = (float)v;
  }
  if (json_object_get_boolean_member (o, "labels"))
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  return volume;
}

static void
compare (JsonObject *o)
{
  JsonObject *grid = json_object_get_object_member (o, "upright");
  JsonArray *dims = json_object_get_array_member (grid, "dims"),
            *affine = json_object_get_array_member (grid, "affine");
  JsonArray *expected = json_object_get_array_member (o, "expected");
  g_autoptr (TessVolume) volume = volume_of (o), upright = NULL;
  g_autoptr (GError) error = NULL;
  gboolean labels = json_object_get_boolean_member (o, "labels");
  double tolerance = labels ? 0 : tess_volume_dtype (volume) == TESS_DTYPE_F32 ? 1e-5 : 0.5 + 1e-5;
  g_autofree double *values = NULL;

  g_assert_true (tess_affine_is_sheared (tess_volume_affine (volume)));
  upright = tess_volume_upright (volume, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (tess_affine_is_sheared (tess_volume_affine (upright)));
  g_assert_cmpint (tess_volume_dtype (upright), ==, tess_volume_dtype (volume));
  g_assert_cmpint (tess_volume_intent (upright), ==, tess_volume_intent (volume));
  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (upright)[k], ==, json_array_get_int_element (dims, k));
  for (guint k = 0; k < 12; k++)
    g_assert_cmpfloat_with_epsilon (tess_volume_affine (upright)->m[k / 4][k % 4],
                                    json_array_get_double_element (affine, k), 1e-9);
  values = g_new (double, json_array_get_length (expected));
  tess_volume_values_f64 (upright, 0, json_array_get_length (expected), values);
  for (guint i = 0; i < json_array_get_length (expected); i++)
    if (!(fabs (values[i] - json_array_get_double_element (expected, i)) <= tolerance))
      g_error ("%s %d: voxel %u: %g, not %g", json_object_get_string_member (o, "dtype"), labels, i, values[i],
               json_array_get_double_element (expected, i));
}

static void
test_scipy (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) keep =
      tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "resample.json", NULL), &error);
  JsonArray *cases;

  g_assert_no_error (error);
  cases = json_object_get_array_member (json_node_get_object (keep), "cases");
  for (guint i = 0; i < json_array_get_length (cases); i++)
    compare (json_array_get_object_element (cases, i));
  g_assert_cmpuint (json_array_get_length (cases), >=, 5);
}

/* Two channels with a scaling: a constant stays one in every voxel, what is outside included. */
static void
test_scaling (void)
{
  const gint64 dim[3] = {6, 5, 4};
  const TessAffine tilted = {{{1, 0, 0, 3}, {0, 1, 0.5, 4}, {0, 0, 2, 5}}};
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 2, &tilted, NULL), upright = NULL;
  gsize n;

  memset (tess_volume_data_mut (volume), 20, 120);
  memset ((guint8 *)tess_volume_data_mut (volume) + 120, 30, 120);
  tess_volume_set_scaling (volume, -0.5, 3);
  tess_volume_add_warning (volume, "A sentence.");
  upright = tess_volume_upright (volume, NULL, NULL);
  g_assert_cmpint (tess_volume_dim (upright)[1], ==, 7); /* 1.5 voxels more */
  g_assert_cmpstr (tess_volume_warnings (upright)[0], ==, "A sentence.");
  n = (gsize)tess_volume_n_voxels (upright);
  for (gsize i = 0; i < 2 * n; i++)
    g_assert_cmpint (((const guint8 *)tess_volume_data (upright))[i], ==, i < n ? 20 : 30);
  g_assert_cmpfloat (tess_volume_value (upright, 0, 0, 0, 1), ==, -12);
}

static void
test_limits (void)
{
  const gint64 dim[3] = {40, 4, 40};
  const TessAffine straight = {{{0, 2, 0, 0}, {-1, 0, 0, 0}, {0, 0, 3, 0}}};
  const TessAffine lying = {{{1, 0, 500, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}}; /* 500 voxels aside a slice */
  const TessAffine tilted = {{{1, 0, 0, 0}, {0, 1, 0.1, 0}, {0, 0, 2, 0}}};
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &straight, NULL), same = NULL;
  g_autoptr (TessVolume) askew = tess_volume_new (TESS_DTYPE_U8, dim, 1, &lying, NULL);
  g_autoptr (TessVolume) usual = tess_volume_new (TESS_DTYPE_U8, dim, 1, &tilted, NULL);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;

  same = tess_volume_upright (volume, NULL, &error);
  g_assert_true (same == volume);
  g_assert_null (tess_volume_upright (askew, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  tess_progress_cancel (progress);
  g_assert_null (tess_volume_upright (usual, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/resample/scipy", test_scipy);
  g_test_add_func ("/resample/scaling", test_scaling);
  g_test_add_func ("/resample/limits", test_limits);
  return g_test_run ();
}
