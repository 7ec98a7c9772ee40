/* Geometry, statistics, percentiles, half floats, labels, volumes. Expected values: tests/reference/image_core.py. */
#include "tess-json.h"
#include "tess-parallel.h"
#include "tess-statistics.h"

#include <math.h>

static JsonObject *reference;

static void
doubles (JsonObject *o, const char *name, double *values, guint n)
{
  g_autoptr (GError) error = NULL;

  tess_json_doubles (o, "image_core.json", name, values, n, &error);
  g_assert_no_error (error);
}

static JsonArray *
list (const char *name)
{
  static JsonNode *root; /* kept: every test looks into it */
  JsonArray *array;

  if (!root) {
    g_autoptr (GError) error = NULL;

    root = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "image_core.json", NULL), &error);
    g_assert_no_error (error);
    reference = json_node_get_object (root);
  }
  array = json_object_get_array_member (reference, name);
  g_assert_cmpuint (json_array_get_length (array), >, 0);
  return array;
}

static TessAffine
affine_of (JsonObject *o, const char *name)
{
  TessAffine a;

  doubles (o, name, &a.m[0][0], 12);
  return a;
}

static void
test_affines (void)
{
  JsonArray *array = list ("affines");

  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonObject *o = json_array_get_object_element (array, i);
    TessAffine a = affine_of (o, "affine"), expected = affine_of (o, "inverse"), inverse, one,
               identity = tess_affine_identity ();
    double spacing[3], zooms[3], p[3] = {3, -4, 5}, q[3];
    char codes[4];

    g_assert_true (tess_affine_is_valid (&a) && tess_affine_invert (&a, &inverse));
    for (int k = 0; k < 12; k++) {
      double e = (&expected.m[0][0])[k];

      g_assert_cmpfloat_with_epsilon ((&inverse.m[0][0])[k], e, 1e-9 * (1 + fabs (e)));
    }
    one = tess_affine_compose (&a, &inverse);
    g_assert_true (tess_affine_equal (&one, &identity, 1e-9));
    tess_affine_orientation (&a, codes);
    g_assert_cmpstr (codes, ==, json_object_get_string_member (o, "codes"));
    tess_affine_spacing (&a, spacing);
    doubles (o, "zooms", zooms, 3);
    for (int k = 0; k < 3; k++)
      g_assert_cmpfloat_with_epsilon (spacing[k], zooms[k], 1e-12 * zooms[k]);
    g_assert_cmpfloat_with_epsilon (tess_affine_determinant (&a), json_object_get_double_member (o, "determinant"),
                                    1e-9);
    tess_affine_apply (&a, p, q);
    tess_affine_apply (&inverse, q, q); /* in place */
    for (int k = 0; k < 3; k++)
      g_assert_cmpfloat_with_epsilon (q[k], p[k], 1e-9);
  }
}

static void
test_affine_edges (void)
{
  TessAffine scale = tess_affine_scale (2, 3, 4), move = tess_affine_translate (1, 2, 3);
  TessAffine both = tess_affine_compose (&move, &scale), singular = tess_affine_scale (1, 0, 1), flat = scale,
             bad = scale;
  TessAffine inverse = scale, tiny = tess_affine_scale (1e-6, 1e-6, 1e-6);
  double p[3] = {1, 1, 1};
  char codes[4];

  tess_affine_apply (&both, p, p);
  g_assert_true (p[0] == 3 && p[1] == 5 && p[2] == 7); /* scaled first, then moved */
  for (int r = 0; r < 3; r++)
    flat.m[r][2] = flat.m[r][0] + flat.m[r][1];
  bad.m[1][3] = NAN;
  g_assert_false (tess_affine_is_valid (&singular) || tess_affine_is_valid (&flat) || tess_affine_is_valid (&bad));
  g_assert_false (tess_affine_invert (&flat, &inverse));
  g_assert_true (tess_affine_equal (&inverse, &scale, 0)); /* untouched */
  g_assert_false (tess_affine_equal (&bad, &bad, 1));
  g_assert_true (tess_affine_is_valid (&tiny) && tess_affine_invert (&tiny, &tiny)); /* small is not singular */
  g_assert_cmpfloat_with_epsilon (tiny.m[1][1], 1e6, 1e-6);
  tess_affine_orientation (&singular, codes);
  g_assert_cmpstr (codes, ==, "R?S");
}

static void
test_grids (void)
{
  JsonArray *array = list ("respace");
  TessGrid a = {.dim = {10, 11, 12}, .affine = tess_affine_scale (1, 2, 3)}, b = a, c = a;
  TessAffine mapping;
  double p[3] = {4, 5, 6};

  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonObject *o = json_array_get_object_element (array, i);
    double dim[3], old[3], new[3], expected[3], spacing[3], corner[3] = {-0.5, -0.5, -0.5},
                                                            middle[3] = {-0.5, -0.5, -0.5}, before[3], after[3];
    TessGrid grid, out;
    TessAffine turn = {{{0, -1, 0, 10}, {0.6, 0, 0.8, 20}, {-0.8, 0, 0.6, 30}}}, scale;

    doubles (o, "dim", dim, 3);
    doubles (o, "old", old, 3);
    doubles (o, "new", new, 3);
    doubles (o, "expected", expected, 3);
    scale = tess_affine_scale (old[0], old[1], old[2]);
    grid.affine = tess_affine_compose (&turn, &scale);
    for (int k = 0; k < 3; k++)
      grid.dim[k] = (gint64)dim[k];
    out = tess_grid_respace (&grid, new);
    tess_affine_spacing (&out.affine, spacing);
    for (int k = 0; k < 3; k++)
      if (dim[k] * old[k] <= 0.5 * new[k]) { /* thinner than half a voxel: the middles coincide instead */
        middle[k] = 0.5 * (dim[k] - 1);
        corner[k] = 0;
      }
    tess_affine_apply (&grid.affine, middle, before);
    tess_affine_apply (&out.affine, corner, after);
    for (int k = 0; k < 3; k++) {
      g_assert_cmpint (out.dim[k], ==, (gint64)expected[k]);
      g_assert_cmpfloat_with_epsilon (spacing[k], new[k], 1e-12);
      g_assert_cmpfloat_with_epsilon (after[k], before[k], 1e-12);
    }
  }
  b.affine.m[2][3] = 0.01;
  g_assert_true (tess_grid_equal (&a, &b, 0.011) && !tess_grid_equal (&a, &b, 0.009));
  g_assert_cmpfloat_with_epsilon (tess_grid_corner_offset (&a, &b), 0.01, 1e-12);
  b.affine.m[0][0] = NAN;
  g_assert_false (tess_grid_equal (&a, &b, 1e9));
  c.dim[1]++;
  g_assert_false (tess_grid_equal (&a, &c, 100));
  g_assert_cmpfloat_with_epsilon (tess_grid_corner_offset (&a, &c), 2.0, 1e-12);
  c.affine = tess_affine_translate (1, 1, 1);
  g_assert_true (tess_grid_mapping (&a, &c, &mapping));
  tess_affine_apply (&mapping, p, p);
  g_assert_true (p[0] == 3 && p[1] == 9 && p[2] == 17);
  g_assert_false (tess_grid_mapping (&a, &b, &mapping));
}

static void
test_boxes (void)
{
  TessBox a = {{-2, 0, 3}, {5, 4, 9}}, b = {{1, -3, 8}, {9, 2, 20}}, out;
  TessBox far = {{5, 0, 0}, {6, 1, 1}}, huge = {{G_MININT64, 0, 0}, {G_MAXINT64, 9, 9}};

  g_assert_cmpint (tess_box_n_voxels (&a), ==, 7 * 4 * 6);
  g_assert_true (tess_box_intersect (&a, &b, &out));
  g_assert_true (out.lo[0] == 1 && out.lo[1] == 0 && out.lo[2] == 8 && out.hi[0] == 5 && out.hi[1] == 2 &&
                 out.hi[2] == 9);
  g_assert_false (tess_box_intersect (&a, &far, &out));
  g_assert_cmpint (tess_box_n_voxels (&out), ==, 0);
  g_assert_cmpint (tess_box_n_voxels (&huge), ==, G_MAXINT64);
  huge.hi[2] = 0;
  g_assert_cmpint (tess_box_n_voxels (&huge), ==, 0);
}

static void
test_percentile (void)
{
  JsonArray *array = list ("percentiles");
  float odd[4] = {1, NAN, 3, NAN};

  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonObject *o = json_array_get_object_element (array, i);
    guint n = json_array_get_length (json_object_get_array_member (o, "values"));
    g_autofree double *values = g_new (double, n);
    g_autofree float *work = g_new (float, n);
    double q[7], expected[7];

    doubles (o, "values", values, n);
    doubles (o, "q", q, 7);
    doubles (o, "expected", expected, 7);
    for (int k = 0; k < 7; k++) {
      for (guint v = 0; v < n; v++)
        work[v] = (float)values[v];
      g_assert_cmpfloat_with_epsilon (tess_percentile (work, n, q[k]), expected[k], 1e-9);
    }
  }
  g_assert_cmpfloat (tess_percentile (odd, 4, 50), ==, 2);
  g_assert_true (isnan (tess_percentile (odd, 0, 50)));
}

static void
test_halfs (void)
{
  JsonArray *array = list ("halfs"), *values = list ("half_values");

  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonArray *row = json_array_get_array_element (array, i);
    guint32 bits = (guint32)json_array_get_int_element (row, 0);
    float f;

    memcpy (&f, &bits, 4);
    g_assert_cmphex (tess_float_to_f16 (f), ==, (guint)json_array_get_int_element (row, 1));
    g_assert_cmphex (tess_float_to_bf16 (f), ==, (guint)json_array_get_int_element (row, 2));
  }
  for (guint i = 0; i < json_array_get_length (values); i++) {
    double expected = json_node_get_double (json_array_get_element (values, i));

    g_assert_cmpfloat (tess_f16_to_float ((guint16)(i * 37)), ==, expected);
    g_assert_cmpfloat (tess_f16_to_float ((guint16)(0x8000u | (i * 37))), ==, -expected);
  }
  g_assert_true (isnan (tess_f16_to_float (tess_float_to_f16 (NAN))) &&
                 isnan (tess_bf16_to_float (tess_float_to_bf16 (NAN))));
  g_assert_true (isinf (tess_f16_to_float (0x7c00)) && tess_bf16_to_float (0x3f80) == 1.0f);
}

static void
store (TessVolume *volume, gsize i, JsonNode *node)
{
  void *data = tess_volume_data_mut (volume);

  switch (tess_volume_dtype (volume)) {
#define CASE(code, type)                                                                                               \
  case code:                                                                                                           \
    ((type *)data)[i] = (type)json_node_get_int (node);                                                                \
    break;
    CASE (TESS_DTYPE_U8, guint8)
    CASE (TESS_DTYPE_I8, gint8)
    CASE (TESS_DTYPE_U16, guint16)
    CASE (TESS_DTYPE_I16, gint16)
    CASE (TESS_DTYPE_U32, guint32)
    CASE (TESS_DTYPE_I32, gint32)
    CASE (TESS_DTYPE_U64, guint64)
    CASE (TESS_DTYPE_I64, gint64)
  case TESS_DTYPE_F32:
    ((float *)data)[i] = (float)json_node_get_double (node);
    break;
  default:
    ((double *)data)[i] = json_node_get_double (node);
  }
}

static void
test_statistics (void)
{
  JsonArray *array = list ("statistics");
  const gint64 dim[3] = {5, 4, 3};
  TessAffine affine = tess_affine_identity ();

  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonObject *o = json_array_get_object_element (array, i);
    JsonArray *values = json_object_get_array_member (o, "values");
    g_autoptr (TessVolume) volume = NULL;
    g_autoptr (GError) error = NULL;
    TessStatistics s;
    TessDType dtype;
    float row[3];

    g_assert_true (tess_dtype_from_name (json_object_get_string_member (o, "dtype"), &dtype));
    volume = tess_volume_new (dtype, dim, 1, &affine, &error);
    g_assert_no_error (error);
    for (gsize k = 0; k < 60; k++)
      store (volume, k, json_array_get_element (values, (guint)k));
    tess_volume_set_scaling (volume, json_object_get_double_member (o, "slope"),
                             json_object_get_double_member (o, "intercept"));
    g_assert_true (tess_volume_statistics (volume, -1, NULL, &s, &error));
    g_assert_cmpint (s.n_finite, ==, 60);
#define CLOSE(field)                                                                                                   \
  {                                                                                                                    \
    double e = json_object_get_double_member (o, #field);                                                              \
    g_assert_cmpfloat_with_epsilon (s.field, e, 1e-12 * fabs (e));                                                     \
  }
    CLOSE (min)
    CLOSE (max)
    CLOSE (mean)
    CLOSE (std)
    tess_volume_row_f32 (volume, 1, 2, 1, 0, 3, row);
    for (int k = 0; k < 3; k++) {
      double stored = json_node_get_double (json_array_get_element (values, (guint)(1 + k + 5 * (2 + 4 * 1))));
      double real = tess_volume_slope (volume) * stored + tess_volume_intercept (volume);

      g_assert_cmpfloat_with_epsilon (tess_volume_value (volume, 1 + k, 2, 1, 0), real, 1e-12 * fabs (real));
      g_assert_cmpfloat_with_epsilon (row[k], real, 1e-6 * fabs (real) + 1e-6);
    }
  }
}

static void
test_statistics_blocks (void)
{
  const gint64 dim[3] = {61, 67, 53};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_F32, dim, 2, &affine, NULL);
  float *data = tess_volume_data_mut (volume);
  gint64 n = tess_volume_n_voxels (volume);
  TessStatistics first = {0}, s;
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;

  for (gint64 i = 0; i < 2 * n; i++)
    data[i] = (i < n ? 1e6f : 0.0f) + (float)(i % 11);
  data[5] = NAN;
  data[n + 7] = INFINITY;
  for (guint threads = 1; threads <= 4; threads++) {
    tess_parallel_set_threads (threads);
    g_assert_true (tess_volume_statistics (volume, -1, NULL, &s, NULL));
    if (threads == 1)
      first = s;
    g_assert_cmpmem (&s, sizeof s, &first, sizeof first);
  }
  tess_parallel_set_threads (0);
  g_assert_cmpint (s.n_not_finite, ==, 2);
  g_assert_cmpfloat_with_epsilon (s.mean, 500005.0, 10.0);
  g_assert_cmpfloat_with_epsilon (s.std, 500000.0, 1.0); /* half of the voxels 10^6 above the other half */
  g_assert_true (s.min == 0 && s.max == 1e6 + 10);
  g_assert_true (tess_volume_statistics (volume, 0, NULL, &s, NULL));
  g_assert_cmpint (s.n_finite, ==, n - 1);
  g_assert_cmpfloat_with_epsilon (s.std, sqrt (10.0), 1e-3); /* of 0..10: a mean of 10^6 does not drown it */
  g_assert_cmpfloat_with_epsilon (s.mean, 1e6 + 5, 1e-3);
  tess_progress_cancel (progress);
  g_assert_false (tess_volume_statistics (volume, -1, progress, &s, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  for (gint64 i = 0; i < 2 * n; i++)
    data[i] = NAN;
  g_assert_true (tess_volume_statistics (volume, 1, NULL, &s, NULL));
  g_assert_true (isnan (s.min) && isnan (s.mean) && s.n_finite == 0 && s.n_not_finite == n);
}

static void
test_label_counts (void)
{
  const gint64 dim[3] = {300, 300, 1};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) many = tess_volume_new (TESS_DTYPE_I32, dim, 1, &affine, NULL);
  g_autoptr (GArray) values = NULL, counts = NULL;
  g_autoptr (GError) error = NULL;
  float *data = tess_volume_data_mut (volume);
  gint32 labels[3];

  data[0] = data[89999] = 9;
  data[17] = -3;
  data[500] = 4;
  g_assert_true (tess_volume_label_counts (volume, &values, &counts, &error));
  g_assert_cmpuint (values->len, ==, 4);
  {
    const gint64 v[4] = {-3, 0, 4, 9}, c[4] = {1, 89996, 1, 2};

    g_assert_cmpmem (values->data, 32, v, 32);
    g_assert_cmpmem (counts->data, 32, c, 32);
  }
  data[1] = 2.4f;
  data[2] = NAN;
  tess_volume_row_i32 (volume, 0, 0, 0, 0, 3, labels);
  g_assert_true (labels[0] == 9 && labels[1] == 2 && labels[2] == 0);
  g_clear_pointer (&values, g_array_unref);
  g_clear_pointer (&counts, g_array_unref);
  g_assert_false (tess_volume_label_counts (volume, &values, &counts, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  for (int i = 0; i < 90000; i++)
    ((gint32 *)tess_volume_data_mut (many))[i] = i;
  g_assert_false (tess_volume_label_counts (many, &values, &counts, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
}

static void
test_label_table (void)
{
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  const guint8 red[4] = {255, 0, 0, 255};

  tess_label_table_add (table, 5, "five", NULL);
  tess_label_table_add (table, -1, "minus", red);
  tess_label_table_add (table, 0, "background", NULL);
  tess_label_table_add (table, 2, "two", NULL);
  tess_label_table_add (table, 5, "cinq", NULL);
  g_assert_cmpuint (tess_label_table_n (table), ==, 4);
  for (guint i = 1; i < 4; i++)
    g_assert_cmpint (tess_label_table_peek (table, i - 1)->value, <, tess_label_table_peek (table, i)->value);
  g_assert_cmpstr (tess_label_table_find (table, 5)->name, ==, "cinq");
  g_assert_cmpmem (tess_label_table_find (table, -1)->rgba, 4, red, 4);
  g_assert_cmpint (tess_label_table_find (table, 0)->rgba[3], ==, 0);
  g_assert_cmpint (memcmp (tess_label_table_find (table, 5)->rgba, tess_label_table_find (table, 2)->rgba, 4), !=, 0);
  g_assert_null (tess_label_table_find (table, 3));

  g_assert_cmpuint (tess_label_table_n_regions (table), ==, 0);
  tess_label_table_add_region (table, "whole", (gint64[]){2, 5}, 2);
  tess_label_table_add_region (table, "two", (gint64[]){2, 7}, 2); /* named as a label is */
  tess_label_table_add_region (table, "whole", (gint64[]){2, 5, 6}, 3);
  g_assert_cmpuint (tess_label_table_n_regions (table), ==, 2);
  g_assert_cmpuint (tess_label_table_n (table), ==, 4);
  g_assert_cmpstr (tess_label_table_peek_region (table, 0)->name, ==, "whole");
  g_assert_cmpuint (tess_label_table_peek_region (table, 0)->n_values, ==, 3);
  g_assert_cmpint (tess_label_table_find_region (table, "whole")->values[2], ==, 6);
  g_assert_null (tess_label_table_find_region (table, "five"));
}

/* Sanitizers map terabytes and end the program where malloc would return NULL. */
static gboolean
has_plain_malloc (void)
{
  g_autofree char *pages = NULL;

  return g_file_get_contents ("/proc/self/statm", &pages, NULL, NULL) && g_ascii_strtoull (pages, NULL, 10) < 1 << 24;
}

static void
test_volume (void)
{
  const gint64 dim[3] = {3, 4, 5}, zero[3] = {3, 0, 5}, big[3] = {G_MAXINT32, G_MAXINT32, G_MAXINT32};
  const gint64 larger[3] = {1 << 21, 1 << 21, 1 << 10};
  TessAffine affine = tess_affine_identity (), flat = tess_affine_scale (1, 0, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_I16, dim, 3, &affine, &error), channel = NULL;
  g_autoptr (GBytes) header = g_bytes_new ("abc", 3);
  gint16 *data = tess_volume_data_mut (volume);

  for (int i = 0; i < 180; i++)
    data[i] = (gint16)i;
  g_assert_cmpfloat (tess_volume_value (volume, 2, 3, 4, 2), ==, 179);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 2, 3, 1), ==, 1 + 3 * (2 + 4 * (3 + 5)));
  g_assert_cmpint (tess_volume_watermark (volume), ==, 15);
  tess_volume_set_watermark (volume, 7);
  tess_volume_add_warning (volume, "one");
  tess_volume_add_warning (volume, "two");
  tess_volume_set_source_header (volume, "nifti", header);
  tess_volume_set_scaling (volume, 2, 1);
  channel = tess_volume_new_channel (volume, 1);
  g_assert_cmpint (tess_volume_watermark (channel), ==, 2);
  g_assert_cmpfloat (tess_volume_value (channel, 0, 0, 0, 0), ==, 121);
  g_assert_true (tess_volume_data (channel) == (const void *)(data + 60)); /* shared, not copied */
  g_assert_cmpstr (tess_volume_warnings (channel)[1], ==, "two");
  g_assert_null (tess_volume_warnings (channel)[2]);
  g_assert_true (tess_volume_peek_source_header (channel, "nifti") == header);
  g_assert_null (tess_volume_peek_source_header (channel, "nrrd"));
  g_clear_pointer (&volume, tess_volume_unref);
  g_assert_cmpfloat (tess_volume_value (channel, 0, 0, 0, 0), ==, 121); /* keeps the voxels alive */

  g_assert_null (tess_volume_new (TESS_DTYPE_U8, zero, 1, &affine, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_null (tess_volume_new (TESS_DTYPE_U8, big, 1, &affine, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_null (tess_volume_new (TESS_DTYPE_U8, dim, 1, &flat, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  if (has_plain_malloc ()) {
    g_assert_null (tess_volume_new (TESS_DTYPE_F64, larger, 1, &affine, &error)); /* 36 petabytes */
    g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image/affines", test_affines);
  g_test_add_func ("/image/affine-edges", test_affine_edges);
  g_test_add_func ("/image/grids", test_grids);
  g_test_add_func ("/image/boxes", test_boxes);
  g_test_add_func ("/image/percentile", test_percentile);
  g_test_add_func ("/image/halfs", test_halfs);
  g_test_add_func ("/image/statistics", test_statistics);
  g_test_add_func ("/image/statistics-blocks", test_statistics_blocks);
  g_test_add_func ("/image/label-counts", test_label_counts);
  g_test_add_func ("/image/label-table", test_label_table);
  g_test_add_func ("/image/volume", test_volume);
  return g_test_run ();
}
