#include "tess-scene.h"
#include "tess-statistics.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>

static atomic_uint_fast64_t last_serial; /* layers are also made on workers */

static guint64
next_serial (void)
{
  return atomic_fetch_add_explicit (&last_serial, 1, memory_order_relaxed) + 1;
}

void
tess_layer_free (TessLayer *layer)
{
  if (!layer)
    return;
  tess_volume_unref (layer->volume);
  tess_label_table_unref (layer->labels);
  g_hash_table_unref (layer->hidden);
  g_free (layer->name);
  g_free (layer);
}

static void
layer_free (gpointer data)
{
  tess_layer_free (data);
}

TessScene *
tess_scene_new (void)
{
  TessScene *scene = g_new0 (TessScene, 1);

  scene->layers = g_ptr_array_new_with_free_func (layer_free);
  for (int a = 0; a < 3; a++)
    scene->basis[a][a] = 1.0;
  return scene;
}

void
tess_scene_free (TessScene *scene)
{
  if (!scene)
    return;
  g_ptr_array_unref (scene->layers);
  tess_findings_unref (scene->findings);
  g_free (scene);
}

void
tess_scene_set_findings (TessScene *scene, TessFindings *findings)
{
  TessFindings *old = scene->findings;

  scene->findings = findings ? tess_findings_ref (findings) : NULL;
  tess_findings_unref (old);
}

/**
 * tess_layer_new:
 *
 * A layer that shows @volume; takes a reference. Images get a window from their own values, label volumes colours from
 * their table. Looks at up to about 200000 voxels, so make it on a worker where that would be felt.
 */
TessLayer *
tess_layer_new (TessVolume *volume, const char *name)
{
  TessLayer *layer = g_new0 (TessLayer, 1);

  layer->volume = tess_volume_ref (volume);
  layer->name = g_strdup (name);
  layer->visible = TRUE;
  layer->linear = TRUE;
  layer->opacity = 1.0;
  layer->hidden = g_hash_table_new (NULL, NULL);
  layer->voxels_serial = next_serial ();
  layer->labels_serial = next_serial ();
  if (tess_volume_intent (volume) == TESS_INTENT_LABEL) {
    TessLabelTable *labels = tess_volume_peek_labels (volume);

    layer->lut = TESS_LUT_LABELS;
    layer->labels = labels ? tess_label_table_ref (labels) : tess_label_table_new ();
    layer->linear = FALSE;
    layer->opacity = 0.45;
    layer->fill = layer->outline = TRUE;
  } else {
    layer->labels = tess_label_table_new ();
    tess_layer_auto_window (layer);
  }
  return layer;
}

/**
 * tess_scene_insert:
 * @layer: (transfer full): taken unless FALSE is returned
 * @position: from the bottom; at most the number of layers
 *
 * The first layer decides the view (tess_scene_reset()). FALSE when there are TESS_MAX_LAYERS.
 */
gboolean
tess_scene_insert (TessScene *scene, TessLayer *layer, guint position)
{
  if (scene->layers->len >= TESS_MAX_LAYERS)
    return FALSE;
  g_ptr_array_insert (scene->layers, (gint)MIN (position, scene->layers->len), layer);
  if (scene->layers->len == 1)
    tess_scene_reset (scene);
  return TRUE;
}

/**
 * tess_scene_add:
 *
 * Puts @volume on top (tess_layer_new()). Returns: (transfer none): the layer, or NULL when there are TESS_MAX_LAYERS.
 */
TessLayer *
tess_scene_add (TessScene *scene, TessVolume *volume, const char *name)
{
  TessLayer *layer;

  if (scene->layers->len >= TESS_MAX_LAYERS)
    return NULL;
  layer = tess_layer_new (volume, name);
  tess_scene_insert (scene, layer, scene->layers->len);
  return layer;
}

/* Takes a layer out without freeing it; @position (may be NULL) is where it was. */
TessLayer *
tess_scene_steal (TessScene *scene, TessLayer *layer, guint *position)
{
  guint at;

  if (!g_ptr_array_find (scene->layers, layer, &at))
    return NULL;
  if (position)
    *position = at;
  return g_ptr_array_steal_index (scene->layers, at);
}

void
tess_scene_remove (TessScene *scene, TessLayer *layer)
{
  g_ptr_array_remove (scene->layers, layer);
}

TessLayer *
tess_scene_main (const TessScene *scene)
{
  for (guint i = 0; i < scene->layers->len; i++) {
    TessLayer *layer = g_ptr_array_index (scene->layers, i);

    if (layer->lut != TESS_LUT_LABELS)
      return layer;
  }
  return scene->layers->len ? g_ptr_array_index (scene->layers, 0) : NULL;
}

static double
dot (const double a[3], const double b[3])
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/**
 * tess_scene_reset:
 *
 * The view's axes are the main layer's own: its first two index axes orthonormalised and their normal, so that the
 * slices of an oblique or tilted acquisition are seen as they were acquired, each named after the nearest anatomical
 * direction. The cursor goes to the middle, onto a slice's centre: of an even number of slices the one further right,
 * anterior or superior, so that the same scan stored in another order looks the same.
 */
void
tess_scene_reset (TessScene *scene)
{
  TessLayer *layer = tess_scene_main (scene);
  const TessAffine *affine;
  const gint64 *dim;
  double e[3][3], half[3], middle[3];
  char codes[4];

  if (!layer)
    return;
  affine = tess_volume_affine (layer->volume);
  dim = tess_volume_dim (layer->volume);
  for (int k = 0; k < 3; k++) {
    double length;

    for (int a = 0; a < 3; a++)
      e[k][a] = affine->m[a][k];
    for (int j = 0; j < k; j++) {
      double along = dot (e[k], e[j]);

      for (int a = 0; a < 3; a++)
        e[k][a] -= along * e[j][a];
    }
    length = sqrt (dot (e[k], e[k]));
    for (int a = 0; a < 3; a++)
      e[k][a] /= length;
  }
  tess_layer_rounding (layer, half);
  for (int k = 0; k < 3; k++)
    middle[k] = CLAMP (floor ((double)(dim[k] - 1) / 2.0 + half[k]), 0.0, (double)(dim[k] - 1));
  tess_affine_orientation (affine, codes);
  for (int k = 0; k < 3; k++) {
    static const char positive[] = "RAS", negative[] = "LPI";

    for (int a = 0; a < 3; a++)
      if (codes[k] == positive[a] || codes[k] == negative[a])
        for (int i = 0; i < 3; i++)
          scene->basis[a][i] = codes[k] == positive[a] ? e[k][i] : -e[k][i];
  }
  tess_affine_apply (affine, middle, scene->cursor);
}

gint64
tess_layer_readable (const TessLayer *layer)
{
  gint64 n = tess_volume_dim (layer->volume)[2];

  return CLAMP (tess_volume_watermark (layer->volume) - layer->channel * n, 0, n);
}

/* 0.5th and 99.5th percentile over at most about 200000 voxels, of those that have been read. */
void
tess_layer_auto_window (TessLayer *layer)
{
  const gint64 *dim = tess_volume_dim (layer->volume);
  gint64 n = dim[0] * dim[1] * tess_layer_readable (layer);
  gint64 step = MAX (n / 200000, 1);
  g_autofree float *values = g_new (float, n / step + 1);
  gsize count = 0;

  for (gint64 i = 0; i < n; i += step) {
    double v =
        tess_volume_value (layer->volume, i % dim[0], i / dim[0] % dim[1], i / (dim[0] * dim[1]), layer->channel);

    if (isfinite (v))
      values[count++] = (float)v;
  }
  layer->lower = count ? tess_percentile (values, count, 0.5) : 0.0;
  layer->upper = count ? tess_percentile (values, count, 99.5) : 1.0;
  if (!(layer->upper > layer->lower)) { /* a flat image, or nearly one */
    layer->lower = count ? tess_percentile (values, count, 0.0) : 0.0;
    layer->upper = count ? tess_percentile (values, count, 100.0) : 1.0;
    if (!(layer->upper > layer->lower))
      layer->upper = layer->lower + 1.0;
  }
}

/**
 * tess_layer_complete_labels:
 *
 * Looks at every voxel of a label layer and adds "label N" in the next distinct colour for each value above 0 that the
 * table does not name. MISMATCH when the volume holds something that is no label.
 */
gboolean
tess_layer_complete_labels (TessLayer *layer, GError **error)
{
  g_autoptr (GArray) values = NULL, counts = NULL;
  TessLabelTable *table;

  if (!tess_volume_label_counts (layer->volume, &values, &counts, error))
    return FALSE;
  table = tess_label_table_new (); /* a shared table is not changed: this one is new */
  for (guint i = 0; i < tess_label_table_n (layer->labels); i++) {
    const TessLabel *label = tess_label_table_peek (layer->labels, i);

    tess_label_table_add (table, label->value, label->name, label->rgba);
  }
  for (guint i = 0; i < values->len; i++) {
    gint64 value = g_array_index (values, gint64, i);

    if (value > 0 && !tess_label_table_find (table, value)) {
      g_autofree char *name = g_strdup_printf (_ ("label %" PRId64), value);

      tess_label_table_add (table, value, name, NULL);
    }
  }
  tess_layer_set_labels (layer, table);
  tess_label_table_unref (table);
  return TRUE;
}

/* Other names and colours; takes a reference. */
void
tess_layer_set_labels (TessLayer *layer, TessLabelTable *labels)
{
  tess_label_table_ref (labels);
  tess_label_table_unref (layer->labels);
  layer->labels = labels;
  layer->labels_serial = next_serial ();
}

/* Which channel, or point in time, of a volume that has several is shown. */
void
tess_layer_set_channel (TessLayer *layer, gint64 channel)
{
  channel = CLAMP (channel, 0, tess_volume_n_channels (layer->volume) - 1);
  if (channel == layer->channel)
    return;
  layer->channel = channel;
  layer->voxels_serial = next_serial ();
}

void
tess_layer_set_hidden (TessLayer *layer, gint32 value, gboolean hidden)
{
  if (hidden)
    g_hash_table_add (layer->hidden, GINT_TO_POINTER (value));
  else
    g_hash_table_remove (layer->hidden, GINT_TO_POINTER (value));
  layer->labels_serial = next_serial ();
}

/* Further than rounding noise of a float coordinate, less than anybody sees; in voxels. */
#define TIE 1e-3

void
tess_layer_rounding (const TessLayer *layer, double half[3])
{
  char codes[4];

  tess_affine_orientation (tess_volume_affine (layer->volume), codes);
  for (int k = 0; k < 3; k++)
    half[k] = 0.5 + (codes[k] == 'R' || codes[k] == 'A' || codes[k] == 'S' ? TIE : -TIE);
}

double
tess_layer_value_at (const TessLayer *layer, const double world[3])
{
  TessAffine inverse;
  double p[3], half[3];
  gint64 i[3];

  if (!tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return NAN;
  tess_affine_apply (&inverse, world, p);
  tess_layer_rounding (layer, half);
  for (int a = 0; a < 3; a++) {
    gint64 n = a == 2 ? tess_layer_readable (layer) : tess_volume_dim (layer->volume)[a];

    if (!(p[a] >= -half[a] && p[a] < (double)n - half[a]))
      return NAN;
    i[a] = CLAMP ((gint64)floor (p[a] + half[a]), 0, n - 1);
  }
  return tess_volume_value (layer->volume, i[0], i[1], i[2], layer->channel);
}

/* Grey: black to white. Hot: black, red, yellow, white in equal thirds. Labels have a table of their own. */
void
tess_lut_colours (TessLut lut, guint8 rgba[256][4])
{
  for (int i = 0; i < 256; i++) {
    if (lut == TESS_LUT_HOT) {
      rgba[i][0] = (guint8)MIN (3 * i, 255);
      rgba[i][1] = (guint8)CLAMP (3 * i - 255, 0, 255);
      rgba[i][2] = (guint8)CLAMP (3 * i - 510, 0, 255);
    } else {
      rgba[i][0] = rgba[i][1] = rgba[i][2] = (guint8)i;
    }
    rgba[i][3] = 255;
  }
}
