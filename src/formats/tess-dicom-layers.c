/* Regions of label volumes, whatever they come from: each gets its value; where they overlap they go to further
 * channels. */
#include "tess-dicom-private.h"

#include <string.h>

/* Words of a slice's mask. */
gsize
tess_dicom_mask_words (const TessDicomSeries *series)
{
  return ((gsize)series->dim[0] * (gsize)series->dim[1] + 63) / 64;
}

gboolean
tess_dicom_layers_fit (const TessDicomSeries *series, const char *path, TessDType dtype, gint64 n_channels,
                       GError **error)
{
  gint64 n;

  if (!__builtin_mul_overflow (series->dim[0] * series->dim[1], series->dim[2], &n) &&
      !__builtin_mul_overflow (n, n_channels * (gint64)tess_dtype_size (dtype), &n))
    return tess_dicom_fits (path, (guint64)n, error);
  return tess_dicom_fits (path, G_MAXUINT64, error);
}

TessVolume *
tess_dicom_layers_volume (TessDicomSeries *series, const char *path, TessDType dtype, gint64 n_channels, GError **error)
{
  TessVolume *volume;

  if (!tess_dicom_layers_fit (series, path, dtype, n_channels, error))
    return NULL;
  volume = tess_volume_new (dtype, series->dim, n_channels, &series->affine, error);
  if (!volume)
    g_prefix_error (error, "%s: ", path);
  return volume;
}

typedef struct {
  TessDicomSeries *series;
  TessDicomMask mask;
  gpointer user_data;
  gsize words;      /* of a slice */
  guint64 *scratch; /* one slice */
  GPtrArray *taken; /* a layer: bits of all its slices */
} Layers;

/* The first layer in which no voxel of the segment is taken, the number of layers when there is none. */
static guint
find_layer (Layers *l, const TessDicomSegment *segment)
{
  g_autofree gboolean *overlaps = g_new0 (gboolean, MAX (l->taken->len, 1));

  for (guint i = 0; i < segment->n_planes; i++) {
    gsize z = (gsize)l->mask (segment, i, l->scratch, l->user_data);

    for (guint k = 0; k < l->taken->len; k++) {
      const guint64 *taken = (const guint64 *)g_ptr_array_index (l->taken, k) + z * l->words;

      for (gsize w = 0; w < l->words && !overlaps[k]; w++)
        overlaps[k] = (taken[w] & l->scratch[w]) != 0;
    }
  }
  for (guint k = 0; k < l->taken->len; k++)
    if (!overlaps[k])
      return k;
  return l->taken->len;
}

static void
take (Layers *l, const TessDicomSegment *segment)
{
  guint64 *taken = g_ptr_array_index (l->taken, segment->layer);

  for (guint i = 0; i < segment->n_planes; i++) {
    gsize z = (gsize)l->mask (segment, i, l->scratch, l->user_data);

    for (gsize w = 0; w < l->words; w++)
      taken[z * l->words + w] |= l->scratch[w];
  }
}

static void
paint (Layers *l, const TessDicomSegment *segment, TessVolume *volume)
{
  gsize plane = (gsize)l->series->dim[0] * (gsize)l->series->dim[1];
  gsize first = (gsize)segment->layer * plane * (gsize)l->series->dim[2];
  void *data = tess_volume_data_mut (volume);

  for (guint i = 0; i < segment->n_planes; i++) {
    gsize z = (gsize)l->mask (segment, i, l->scratch, l->user_data);

    for (gsize w = 0; w < l->words; w++)
      for (guint64 bits = l->scratch[w]; bits; bits &= bits - 1) {
        gsize at = first + z * plane + w * 64 + (gsize)__builtin_ctzll (bits);

        if (tess_volume_dtype (volume) == TESS_DTYPE_U8)
          ((guint8 *)data)[at] = (guint8)segment->number;
        else
          ((guint16 *)data)[at] = (guint16)segment->number;
      }
  }
}

/**
 * tess_dicom_layers_paint:
 * @segments: of TessDicomSegment, their numbers 1 to 65535; their layers are set
 * @mask: which voxels of a slice belong to a segment; called several times
 *
 * A label volume on the series' grid. Segments that overlap go to further channels, each as low as it fits, in the
 * order given; a warning says so.
 */
TessVolume *
tess_dicom_layers_paint (TessDicomSeries *series, GArray *segments, TessDicomMask mask, gpointer user_data,
                         const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (GPtrArray) taken = g_ptr_array_new_with_free_func (g_free);
  gsize words = tess_dicom_mask_words (series);
  g_autofree guint64 *scratch = g_new0 (guint64, words);
  Layers l = {series, mask, user_data, words, scratch, taken};
  TessDType dtype = TESS_DTYPE_U8;
  TessVolume *volume;

  for (guint s = 0; s < segments->len; s++)
    if (g_array_index (segments, TessDicomSegment, s).number > 255)
      dtype = TESS_DTYPE_U16;
  for (guint s = 0; s < segments->len; s++) {
    TessDicomSegment *segment = &g_array_index (segments, TessDicomSegment, s);

    if (!tess_progress_check (progress, error))
      return NULL;
    segment->layer = find_layer (&l, segment);
    if (segment->layer == taken->len) {
      if (!tess_dicom_layers_fit (series, path, dtype, (gint64)taken->len + 1, error))
        return NULL;
      g_ptr_array_add (taken, g_malloc0_n (words * (gsize)series->dim[2], sizeof (guint64)));
    }
    take (&l, segment);
    tess_progress_set (progress, 0.5 + 0.4 * s / segments->len);
  }
  volume = tess_dicom_layers_volume (series, path, dtype, MAX (taken->len, 1), error);
  if (!volume)
    return NULL;
  for (guint s = 0; s < segments->len; s++)
    paint (&l, &g_array_index (segments, TessDicomSegment, s), volume);
  if (taken->len > 1) {
    g_autofree char *text =
        g_strdup_printf (_ ("Segments overlap; they are spread over %u channels, each without overlap."), taken->len);

    tess_volume_add_warning (volume, text);
  }
  return volume;
}
