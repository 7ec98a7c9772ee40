#include "picture.h"

#include <string.h>

#define STORE(type)                                                                                                    \
  for (gsize i = 0; i < n; i++)                                                                                        \
    ((type *)data)[i] = (type)stored[i];                                                                               \
  break

static void
store (TessDType dtype, void *data, const double *stored, gsize n)
{
  switch (dtype) {
  case TESS_DTYPE_U8:
    STORE (guint8);
  case TESS_DTYPE_I8:
    STORE (gint8);
  case TESS_DTYPE_U16:
    STORE (guint16);
  case TESS_DTYPE_I16:
    STORE (gint16);
  case TESS_DTYPE_U32:
    STORE (guint32);
  case TESS_DTYPE_I32:
    STORE (gint32);
  case TESS_DTYPE_U64:
    STORE (guint64);
  case TESS_DTYPE_I64:
    STORE (gint64);
  case TESS_DTYPE_F32:
    STORE (float);
  case TESS_DTYPE_F64:
    STORE (double);
  default:
    g_assert_not_reached ();
  }
}

static void
add_layer (TessScene *scene, const OracleLayer *from, int channels)
{
  TessAffine affine;
  gint64 dim[3] = {from->dim[0], from->dim[1], from->dim[2]};
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  TessLayer *layer;
  gsize n = (gsize)(dim[0] * dim[1] * dim[2]);

  memcpy (affine.m, from->m, sizeof affine.m);
  volume = tess_volume_new (from->dtype, dim, channels, &affine, NULL);
  g_assert_nonnull (volume);
  store (from->dtype, (char *)tess_volume_data_mut (volume) + (gsize)(channels - 1) * n * tess_dtype_size (from->dtype),
         from->stored, n);
  tess_volume_set_scaling (volume, from->slope, from->intercept);
  if (from->lut == ORACLE_LABELS) {
    for (int k = 0; k < from->n_labels; k++)
      tess_label_table_add (table, from->labels[k], "label", from->colours[k]);
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
    tess_volume_set_labels (volume, table);
  }
  layer = tess_scene_add (scene, volume, "layer");
  tess_layer_set_channel (layer, channels - 1);
  layer->visible = !from->hidden_layer;
  layer->linear = !from->nearest;
  layer->opacity = from->opacity;
  layer->lower = from->lower;
  layer->upper = from->upper;
  layer->lut = from->lut == ORACLE_HOT ? TESS_LUT_HOT : from->lut == ORACLE_LABELS ? TESS_LUT_LABELS : TESS_LUT_GREY;
  layer->fill = !from->no_fill;
  layer->outline = !from->no_outline;
  for (int k = 0; k < from->n_labels; k++)
    if (from->hidden[k])
      tess_layer_set_hidden (layer, from->labels[k], TRUE);
}

TessScene *
picture_scene (const OracleScene *oracle, int channels)
{
  TessScene *scene = tess_scene_new ();

  for (int i = 0; i < oracle->n_layers; i++)
    add_layer (scene, &oracle->layers[i], channels);
  tess_scene_reset (scene);
  memcpy (scene->cursor, oracle->cursor, sizeof scene->cursor);
  scene->neurological = oracle->neurological;
  scene->sagittal_nose_right = oracle->nose_right;
  return scene;
}

guint8 *
picture_draw (const TessScene *scene, const TessPane *panes, guint n_panes, int width, int height, gboolean volumes)
{
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *rgba = g_malloc ((gsize)width * (gsize)height * 4);
  TessOffscreen *offscreen;
  gboolean drawn;

  if (volumes)
    g_setenv ("TESSERA_GL_VOLUMES", "1", TRUE);
  else
    g_unsetenv ("TESSERA_GL_VOLUMES");
  offscreen = tess_offscreen_new (width, height, &error);
  if (!offscreen) {
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_test_skip (error->message);
    return NULL;
  }
  drawn = tess_offscreen_draw (offscreen, scene, panes, n_panes, rgba, &error);
  tess_offscreen_free (offscreen);
  g_assert_no_error (error);
  g_assert_true (drawn);
  return g_steal_pointer (&rgba);
}
