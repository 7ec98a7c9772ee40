#include "tess-scene.h"

#include <math.h>

static TessVolume *
make_volume (TessDType dtype, gint64 nx, gint64 ny, gint64 nz, gint64 n_channels, const TessAffine *affine)
{
  TessAffine identity = tess_affine_identity ();
  const gint64 dim[3] = {nx, ny, nz};
  TessVolume *volume = tess_volume_new (dtype, dim, n_channels, affine ? affine : &identity, NULL);

  g_assert_nonnull (volume);
  return volume;
}

/* 0 to 999: the 0.5th and 99.5th percentile are 4.995 and 994.005 (numpy.percentile). */
static void
test_window (void)
{
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_I16, 10, 10, 10, 1, NULL);
  g_autoptr (TessVolume) flat = make_volume (TESS_DTYPE_U8, 4, 4, 4, 1, NULL);
  g_autoptr (TessVolume) holes = make_volume (TESS_DTYPE_F32, 10, 10, 10, 1, NULL);
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessLayer *layer;

  for (int i = 0; i < 1000; i++) {
    ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)(i * 7 % 1000);
    ((float *)tess_volume_data_mut (holes))[i] = i % 2 ? NAN : i % 4 ? INFINITY : 3.5f;
  }
  tess_volume_set_scaling (volume, 2.0, -1000.0);
  layer = tess_scene_add (scene, volume, "ramp");
  g_assert_cmpfloat_with_epsilon (layer->lower, 2.0 * 4.995 - 1000.0, 1e-3);
  g_assert_cmpfloat_with_epsilon (layer->upper, 2.0 * 994.005 - 1000.0, 1e-3);
  layer = tess_scene_add (scene, flat, "flat"); /* still a window with a width */
  g_assert_cmpfloat (layer->lower, ==, 0.0);
  g_assert_cmpfloat (layer->upper, >, layer->lower);
  layer = tess_scene_add (scene, holes, "not numbers");
  g_assert_cmpfloat (layer->lower, ==, 3.5);
  g_assert_cmpfloat (layer->upper, >, layer->lower);
  g_assert_true (isfinite (layer->upper));
}

static void
test_layers (void)
{
  g_autoptr (TessScene) scene = tess_scene_new ();
  g_autoptr (TessVolume) labels = make_volume (TESS_DTYPE_U8, 4, 4, 4, 1, NULL);
  g_autoptr (TessVolume) image = make_volume (TESS_DTYPE_U8, 4, 4, 4, 3, NULL);
  TessLayer *first, *second, *extra;
  guint64 serial;
  guint at = 99;

  g_assert_null (tess_scene_main (scene));
  tess_scene_reset (scene); /* nothing to look at, nothing happens */
  tess_volume_set_intent (labels, TESS_INTENT_LABEL);
  first = tess_scene_add (scene, labels, "labels");
  g_assert_cmpint (first->lut, ==, TESS_LUT_LABELS);
  g_assert_false (first->linear);
  g_assert_true (tess_scene_main (scene) == first);
  second = tess_scene_add (scene, image, "image");
  g_assert_true (tess_scene_main (scene) == second); /* an image decides where there is one */
  g_assert_cmpuint (first->voxels_serial, !=, second->voxels_serial);

  serial = second->voxels_serial;
  tess_layer_set_channel (second, 0); /* the same: nothing to upload */
  g_assert_cmpuint (second->voxels_serial, ==, serial);
  tess_layer_set_channel (second, 7);
  g_assert_cmpint (second->channel, ==, 2);
  g_assert_cmpuint (second->voxels_serial, !=, serial);
  tess_layer_set_channel (second, -3);
  g_assert_cmpint (second->channel, ==, 0);

  serial = first->labels_serial;
  tess_layer_set_hidden (first, 3, TRUE);
  g_assert_true (g_hash_table_contains (first->hidden, GINT_TO_POINTER (3)));
  g_assert_cmpuint (first->labels_serial, !=, serial);
  tess_layer_set_hidden (first, 3, FALSE);
  g_assert_cmpuint (g_hash_table_size (first->hidden), ==, 0);

  g_assert_true (tess_scene_steal (scene, first, &at) == first);
  g_assert_cmpuint (at, ==, 0);
  g_assert_null (tess_scene_steal (scene, first, NULL));
  g_assert_true (tess_scene_insert (scene, first, 100)); /* back, on top */
  g_assert_true (g_ptr_array_index (scene->layers, 1) == first);
  while (scene->layers->len < TESS_MAX_LAYERS)
    g_assert_nonnull (tess_scene_add (scene, image, "more"));
  g_assert_null (tess_scene_add (scene, image, "too many"));
  extra = tess_layer_new (image, "too many");
  g_assert_false (tess_scene_insert (scene, extra, 0));
  tess_layer_free (extra);
  tess_scene_remove (scene, second);
  g_assert_cmpuint (scene->layers->len, ==, TESS_MAX_LAYERS - 1);
}

static void
test_labels (void)
{
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_I16, 5, 5, 5, 1, NULL);
  g_autoptr (TessVolume) broken = make_volume (TESS_DTYPE_F32, 5, 5, 5, 1, NULL);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  g_autoptr (TessScene) scene = tess_scene_new ();
  g_autoptr (GError) error = NULL;
  const guint8 red[4] = {200, 10, 20, 255};
  TessLayer *layer;

  for (int i = 0; i < 125; i++)
    ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)(i < 10 ? 7 : i < 20 ? 2 : i < 25 ? -4 : 0);
  tess_label_table_add (table, 2, "liver", red);
  tess_label_table_add (table, 9, "not there", NULL);
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_volume_set_labels (volume, table);
  layer = tess_scene_add (scene, volume, "labels");
  g_assert_true (tess_layer_complete_labels (layer, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (tess_label_table_n (layer->labels), ==, 3);
  g_assert_cmpstr (tess_label_table_find (layer->labels, 2)->name, ==, "liver");
  g_assert_cmpmem (tess_label_table_find (layer->labels, 2)->rgba, 4, red, 4);
  g_assert_cmpstr (tess_label_table_find (layer->labels, 7)->name, ==, "label 7");
  g_assert_null (tess_label_table_find (layer->labels, -4));
  g_assert_cmpuint (tess_label_table_n (table), ==, 2); /* the volume's own table stays as it was */

  ((float *)tess_volume_data_mut (broken))[3] = 1.5f;
  tess_volume_set_intent (broken, TESS_INTENT_LABEL);
  layer = tess_scene_add (scene, broken, "no labels");
  g_assert_false (tess_layer_complete_labels (layer, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
}

/* Stored from left to right or from right to left: the same basis, and the cursor on the same slices. */
static void
test_reset (void)
{
  const TessAffine ras = {{{1, 0, 0, -10}, {0, 2, 0, 5}, {0, 0, 3, 7}}};
  const TessAffine lpi = {{{-1, 0, 0, -7}, {0, -2, 0, 11}, {0, 0, -3, 22}}}; /* the same corner voxels, 4 x 4 x 6 */
  const TessAffine sar = {{{0, 0, 1, -10}, {0, 2, 0, 5}, {3, 0, 0, 7}}};     /* 6 x 4 x 4 */
  const struct {
    const TessAffine *affine;
    gint64 dim[3];
  } order[] = {{&ras, {4, 4, 6}}, {&lpi, {4, 4, 6}}, {&sar, {6, 4, 4}}};
  const double expected[3] = {-8.0, 9.0, 16.0}; /* the upper of the two in the middle */

  for (guint i = 0; i < G_N_ELEMENTS (order); i++) {
    g_autoptr (TessScene) scene = tess_scene_new ();
    g_autoptr (TessVolume) volume =
        make_volume (TESS_DTYPE_U8, order[i].dim[0], order[i].dim[1], order[i].dim[2], 1, order[i].affine);

    tess_scene_add (scene, volume, "scan");
    for (int a = 0; a < 3; a++) {
      g_assert_cmpfloat_with_epsilon (scene->cursor[a], expected[a], 1e-12);
      for (int b = 0; b < 3; b++)
        g_assert_cmpfloat_with_epsilon (scene->basis[a][b], a == b ? 1.0 : 0.0, 1e-12);
    }
  }
}

/* Tilted by 20 degrees about the left-right axis and mirrored: the basis is the scan's own, orthonormal and
 * right-handed. */
static void
test_basis_of_oblique (void)
{
  double c = cos (G_PI / 9.0), s = sin (G_PI / 9.0);
  const TessAffine tilted = {{{-0.7, 0, 0, 1}, {0, 1.5 * c, -4.0 * s, 2}, {0, 1.5 * s, 4.0 * c, 3}}};
  const double expected[3][3] = {{1, 0, 0}, {0, c, s}, {0, -s, c}};
  g_autoptr (TessScene) scene = tess_scene_new ();
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_U8, 5, 5, 5, 1, &tilted);

  tess_scene_add (scene, volume, "scan");
  for (int a = 0; a < 3; a++)
    for (int b = 0; b < 3; b++)
      g_assert_cmpfloat_with_epsilon (scene->basis[a][b], expected[a][b], 1e-12);
}

static void
test_value_at (void)
{
  const TessAffine affine = {{{-2, 0, 0, 10}, {0, 3, 0, 0}, {0, 0, 1, 0}}};
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_I16, 6, 3, 3, 2, &affine);
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessLayer *layer;

  for (int i = 0; i < 108; i++)
    ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)i;
  tess_volume_set_scaling (volume, 0.5, 100.0);
  layer = tess_scene_add (scene, volume, "scan");
  g_assert_cmpfloat (tess_layer_value_at (layer, (double[]){10, 0, 0}), ==, 100.0);
  g_assert_cmpfloat (tess_layer_value_at (layer, (double[]){6.1, 3.2, 1.9}), ==, 100.0 + 0.5 * (2 + 6 + 36));
  g_assert_cmpfloat (tess_layer_value_at (layer, (double[]){9, 0, 0}), ==, 100.0); /* midway: the one further right */
  g_assert_cmpfloat (tess_layer_value_at (layer, (double[]){10, 1.5, 0}), ==, 103.0); /* the one further anterior */
  g_assert_true (isnan (tess_layer_value_at (layer, (double[]){11.1, 0, 0})));
  g_assert_true (isnan (tess_layer_value_at (layer, (double[]){10, 0, 2.6})));
  g_assert_true (isnan (tess_layer_value_at (layer, (double[]){NAN, 0, 0})));
  tess_layer_set_channel (layer, 1);
  g_assert_cmpfloat (tess_layer_value_at (layer, (double[]){10, 0, 0}), ==, 127.0);
}

static void
test_luts (void)
{
  guint8 rgba[256][4];
  static const int hot[][4] = {
      {0, 0, 0, 0}, {85, 255, 0, 0}, {170, 255, 255, 0}, {255, 255, 255, 255}, {128, 255, 129, 0}};

  tess_lut_colours (TESS_LUT_GREY, rgba);
  for (int i = 0; i < 256; i++)
    for (int c = 0; c < 3; c++)
      g_assert_cmpint (rgba[i][c], ==, i);
  tess_lut_colours (TESS_LUT_HOT, rgba);
  for (guint i = 0; i < G_N_ELEMENTS (hot); i++)
    for (int c = 0; c < 3; c++)
      g_assert_cmpint (rgba[hot[i][0]][c], ==, hot[i][c + 1]);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/render/scene/window", test_window);
  g_test_add_func ("/render/scene/layers", test_layers);
  g_test_add_func ("/render/scene/labels", test_labels);
  g_test_add_func ("/render/scene/reset", test_reset);
  g_test_add_func ("/render/scene/basis-of-oblique", test_basis_of_oblique);
  g_test_add_func ("/render/scene/value-at", test_value_at);
  g_test_add_func ("/render/scene/luts", test_luts);
  return g_test_run ();
}
