/* DICOM segmentations: a bit picture per slice and segment becomes label values. Source: DICOM PS3.3 C.8.20. */
#include "tess-dicom-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_SEGMENTS 65535

typedef struct {
  gint64 number, layer;
  GPtrArray *frames;
} Segment;

static void
segment_free (gpointer data)
{
  g_ptr_array_unref (((Segment *)data)->frames);
  g_free (data);
}

/* CIELab in 16 bits a number (PS3.3 C.10.7.1.1) to sRGB. */
static gboolean
colour_of (JsonObject *segment, guint8 rgba[4])
{
  static const double white[3] = {0.9642, 1.0, 0.8249}; /* D50 */
  static const double to_rgb[3][3] = {{3.1338561, -1.6168667, -0.4906146},
                                      {-0.9787684, 1.9161415, 0.0334540},
                                      {0.0719453, -0.2289914, 1.4052427}}; /* adapted to D65 (Bradford) */
  gint64 lab[3];
  double f[3], xyz[3];

  if (!json_object_has_member (segment, "lab") || !tess_json_ints (segment, "", "lab", 0, 65535, lab, 3, NULL))
    return FALSE;
  f[1] = ((double)lab[0] * 100 / 65535 + 16) / 116;
  f[0] = f[1] + ((double)lab[1] / 257 - 128) / 500;
  f[2] = f[1] - ((double)lab[2] / 257 - 128) / 200;
  for (int k = 0; k < 3; k++)
    xyz[k] = white[k] * (f[k] > 6.0 / 29 ? f[k] * f[k] * f[k] : 3 * 36.0 / 841 * (f[k] - 4.0 / 29));
  for (int k = 0; k < 3; k++) {
    double v = to_rgb[k][0] * xyz[0] + to_rgb[k][1] * xyz[1] + to_rgb[k][2] * xyz[2];

    v = v <= 0.0031308 ? 12.92 * v : 1.055 * pow (v, 1 / 2.4) - 0.055;
    rgba[k] = (guint8)(CLAMP (v, 0, 1) * 255 + 0.5);
  }
  rgba[3] = 255;
  return TRUE;
}

static TessLabelTable *
read_labels (const TessDicomFile *file)
{
  TessLabelTable *table = tess_label_table_new ();

  for (guint i = 0; i < json_array_get_length (file->segments); i++) {
    JsonNode *node = json_array_get_element (file->segments, i);
    JsonObject *segment = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
    const char *name = NULL;
    gint64 number = 0;
    guint8 rgba[4];
    gboolean coloured;

    if (!segment || !tess_json_int (segment, "", "number", 1, MAX_SEGMENTS, &number, NULL) ||
        tess_label_table_find (table, number))
      continue;
    tess_json_string_opt (segment, "", "name", &name, NULL);
    coloured = colour_of (segment, rgba);
    tess_label_table_add (table, number, name && *name ? name : _ ("unnamed"), coloured ? rgba : NULL);
  }
  return table;
}

static GPtrArray *
find_segments (TessDicomSeries *series)
{
  GPtrArray *segments = g_ptr_array_new_with_free_func (segment_free);
  g_autoptr (GHashTable) by_number = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = g_ptr_array_index (series->frames, i);
    gint64 number = MAX (frame->segment, 1);
    Segment *segment = g_hash_table_lookup (by_number, GINT_TO_POINTER ((int)number));

    if (!segment) {
      segment = g_new0 (Segment, 1);
      segment->number = number;
      segment->frames = g_ptr_array_new ();
      g_hash_table_insert (by_number, GINT_TO_POINTER ((int)number), segment);
      g_ptr_array_add (segments, segment);
    }
    g_ptr_array_add (segment->frames, frame);
  }
  return segments;
}

static int
by_segment_number (gconstpointer a, gconstpointer b)
{
  const Segment *s = *(const Segment *const *)a, *t = *(const Segment *const *)b;

  return (s->number > t->number) - (s->number < t->number);
}

static inline gboolean
bit (const guint8 *bits, gsize i)
{
  return bits[i / 8] >> (i % 8) & 1;
}

/* The first layer in which no voxel of the segment is taken; takes them. */
static gint64
choose_layer (TessDicomSeries *series, const Segment *segment, const guint8 *bits, GPtrArray *layers)
{
  gsize plane = (gsize)series->dim[0] * (gsize)series->dim[1];
  guint8 *taken = NULL;
  guint layer;

  for (layer = 0; layer < layers->len && !taken; layer++) {
    guint8 *candidate = g_ptr_array_index (layers, layer);
    gboolean overlaps = FALSE;

    for (guint i = 0; i < segment->frames->len && !overlaps; i++) {
      const TessDicomFrame *frame = g_ptr_array_index (segment->frames, i);
      gsize in = (gsize)frame->index * plane, out = (gsize)frame->z * plane;

      for (gsize k = 0; k < plane && !overlaps; k++)
        overlaps = bit (bits, in + k) && bit (candidate, out + k);
    }
    if (!overlaps)
      taken = candidate;
  }
  if (!taken) {
    taken = g_malloc0 ((plane * (gsize)series->dim[2] + 7) / 8);
    g_ptr_array_add (layers, taken);
    layer = layers->len;
  }
  for (guint i = 0; i < segment->frames->len; i++) {
    const TessDicomFrame *frame = g_ptr_array_index (segment->frames, i);
    gsize in = (gsize)frame->index * plane, out = (gsize)frame->z * plane;

    for (gsize k = 0; k < plane; k++)
      if (bit (bits, in + k))
        taken[(out + k) / 8] |= (guint8)(1u << ((out + k) % 8));
  }
  return layer - 1;
}

static void
paint (TessDicomSeries *series, const Segment *segment, const guint8 *bits, TessVolume *volume)
{
  gsize plane = (gsize)series->dim[0] * (gsize)series->dim[1];
  gsize first = (gsize)segment->layer * plane * (gsize)series->dim[2];
  void *data = tess_volume_data_mut (volume);

  for (guint i = 0; i < segment->frames->len; i++) {
    const TessDicomFrame *frame = g_ptr_array_index (segment->frames, i);
    gsize in = (gsize)frame->index * plane, out = first + (gsize)frame->z * plane;

    for (gsize k = 0; k < plane; k++)
      if (bit (bits, in + k)) {
        if (tess_volume_dtype (volume) == TESS_DTYPE_U8)
          ((guint8 *)data)[out + k] = (guint8)segment->number;
        else
          ((guint16 *)data)[out + k] = (guint16)segment->number;
      }
  }
}

static void
finish (TessDicomSeries *series, TessVolume *volume, gboolean labels)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  g_autoptr (TessLabelTable) table = read_labels (file);

  if (labels)
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_volume_set_labels (volume, table);
  for (guint i = 0; i < series->warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (series->warnings, i));
}

static TessVolume *
new_volume (TessDicomSeries *series, TessDType dtype, gint64 n_channels, const char *path, GError **error)
{
  gint64 n =
      series->dim[0] * series->dim[1] * series->dim[2] * n_channels; /* 16-bit sides, few channels: no overflow */
  TessVolume *volume;

  if (!tess_dicom_fits (path, (guint64)n * tess_dtype_size (dtype), error))
    return NULL;
  volume = tess_volume_new (dtype, series->dim, n_channels, &series->affine, error);
  if (!volume)
    g_prefix_error (error, "%s: ", path);
  return volume;
}

/* Probabilities: a channel a segment, 0 to 1. */
static TessVolume *
load_fractions (TessDicomSeries *series, GPtrArray *segments, const guint8 *pixels, GError **error)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  gsize plane = (gsize)series->dim[0] * (gsize)series->dim[1];
  TessVolume *volume = new_volume (series, TESS_DTYPE_U8, segments->len, file->path, error);

  if (!volume)
    return NULL;
  tess_volume_set_scaling (volume, 1.0 / (double)file->fraction_most, 0);
  for (guint s = 0; s < segments->len; s++) {
    Segment *segment = g_ptr_array_index (segments, s);

    for (guint i = 0; i < segment->frames->len; i++) {
      const TessDicomFrame *frame = g_ptr_array_index (segment->frames, i);

      memcpy ((guint8 *)tess_volume_data_mut (volume) + ((gsize)s * (gsize)series->dim[2] + (gsize)frame->z) * plane,
              pixels + (gsize)frame->index * plane, plane);
    }
  }
  finish (series, volume, FALSE);
  return volume;
}

/**
 * tess_dicom_segmentation:
 *
 * Label values are segment numbers. Segments that overlap go to further channels, each as low as it fits.
 */
TessVolume *
tess_dicom_segmentation (TessDicomSeries *series, const TessDicomListener *listener, GError **error)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  g_autoptr (GPtrArray) segments = find_segments (series), layers = g_ptr_array_new_with_free_func (g_free);
  g_autofree guint8 *bits = NULL;
  TessVolume *volume;
  Segment *last;

  if (!tess_dicom_fits (file->path, (guint64)(series->dim[0] * series->dim[1] * series->dim[2]), error))
    return NULL;
  bits = tess_dicom_file_pixels (file, listener->progress, error);
  if (!bits)
    return NULL;
  g_ptr_array_sort (segments, by_segment_number);
  if (file->allocated == 8 && file->fractional)
    return load_fractions (series, segments, bits, error);
  last = g_ptr_array_index (segments, segments->len - 1);
  for (guint s = 0; s < segments->len; s++) {
    Segment *segment = g_ptr_array_index (segments, s);

    if (!tess_progress_check (listener->progress, error))
      return NULL;
    segment->layer = choose_layer (series, segment, bits, layers);
    tess_progress_set (listener->progress, 0.5 + 0.5 * s / segments->len);
  }
  volume = new_volume (series, last->number > 255 ? TESS_DTYPE_U16 : TESS_DTYPE_U8, layers->len, file->path, error);
  if (!volume)
    return NULL;
  for (guint s = 0; s < segments->len; s++)
    paint (series, g_ptr_array_index (segments, s), bits, volume);
  finish (series, volume, TRUE);
  if (layers->len > 1) {
    g_autofree char *text =
        g_strdup_printf (_ ("Segments overlap; they are spread over %u channels, each without overlap."), layers->len);

    tess_volume_add_warning (volume, text);
  }
  return volume;
}
