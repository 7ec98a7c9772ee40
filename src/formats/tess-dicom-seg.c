/* DICOM segmentations: a bit picture per slice and segment becomes label values. Source: DICOM PS3.3 C.8.20. */
#include "tess-dicom-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_SEGMENTS 65535

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

static int
by_segment_number (gconstpointer a, gconstpointer b)
{
  const TessDicomSegment *s = a, *t = b;

  return (s->number > t->number) - (s->number < t->number);
}

static void
free_frames (gpointer data)
{
  g_ptr_array_unref (((TessDicomSegment *)data)->data);
}

/* By number; data: GPtrArray of the segment's frames. */
static GArray *
find_segments (TessDicomSeries *series)
{
  GArray *segments = g_array_new (FALSE, TRUE, sizeof (TessDicomSegment));
  g_autoptr (GHashTable) by_number = g_hash_table_new (NULL, NULL);

  g_array_set_clear_func (segments, free_frames);
  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = g_ptr_array_index (series->frames, i);
    gint64 number = MAX (frame->segment, 1);
    GPtrArray *frames = g_hash_table_lookup (by_number, GINT_TO_POINTER ((int)number));

    if (!frames) {
      frames = g_ptr_array_new ();
      g_hash_table_insert (by_number, GINT_TO_POINTER ((int)number), frames);
      g_array_append_val (segments, ((TessDicomSegment){.number = number, .data = frames}));
    }
    g_ptr_array_add (frames, frame);
  }
  for (guint s = 0; s < segments->len; s++) {
    TessDicomSegment *segment = &g_array_index (segments, TessDicomSegment, s);

    segment->n_planes = ((GPtrArray *)segment->data)->len;
  }
  g_array_sort (segments, by_segment_number);
  return segments;
}

typedef struct {
  TessDicomSeries *series;
  const guint8 *bits; /* of all frames, one after another, the lowest bit of a byte first */
} Bits;

/* Of TessDicomMask. */
static gint64
frame_mask (const TessDicomSegment *segment, guint i, guint64 *mask, gpointer user_data)
{
  const Bits *b = user_data;
  const TessDicomFrame *frame = g_ptr_array_index ((GPtrArray *)segment->data, i);
  gsize plane = (gsize)b->series->dim[0] * (gsize)b->series->dim[1], first = (gsize)frame->index * plane;

  memset (mask, 0, tess_dicom_mask_words (b->series) * sizeof *mask);
  for (gsize k = 0; k < plane;) {
    gsize at = first + k;

    if (at % 8 == 0 && k % 8 == 0 && k + 8 <= plane) {
      mask[k / 64] |= (guint64)b->bits[at / 8] << (k % 64);
      k += 8;
    } else {
      mask[k / 64] |= (guint64)(b->bits[at / 8] >> (at % 8) & 1) << (k % 64);
      k++;
    }
  }
  return frame->z;
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

/* Probabilities: a channel a segment, 0 to 1. */
static TessVolume *
load_fractions (TessDicomSeries *series, GArray *segments, const guint8 *pixels, GError **error)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  gsize plane = (gsize)series->dim[0] * (gsize)series->dim[1];
  TessVolume *volume = tess_dicom_layers_volume (series, file->path, TESS_DTYPE_U8, segments->len, error);

  if (!volume)
    return NULL;
  tess_volume_set_scaling (volume, 1.0 / (double)file->fraction_most, 0);
  for (guint s = 0; s < segments->len; s++) {
    GPtrArray *frames = g_array_index (segments, TessDicomSegment, s).data;

    for (guint i = 0; i < frames->len; i++) {
      const TessDicomFrame *frame = g_ptr_array_index (frames, i);

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
 * Label values are segment numbers. Segments that overlap go to further channels (tess_dicom_layers_paint()).
 */
TessVolume *
tess_dicom_segmentation (TessDicomSeries *series, const TessDicomListener *listener, GError **error)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  g_autoptr (GArray) segments = NULL;
  g_autofree guint8 *bits = NULL;
  TessVolume *volume;

  if (!tess_dicom_layers_fit (series, file->path, TESS_DTYPE_U8, 1, error))
    return NULL;
  bits = tess_dicom_file_pixels (file, listener->progress, error);
  if (!bits)
    return NULL;
  segments = find_segments (series);
  if (file->allocated == 8 && file->fractional)
    return load_fractions (series, segments, bits, error);
  volume = tess_dicom_layers_paint (series, segments, frame_mask, &(Bits){series, bits}, file->path, listener->progress,
                                    error);
  if (volume)
    finish (series, volume, TRUE);
  return volume;
}
