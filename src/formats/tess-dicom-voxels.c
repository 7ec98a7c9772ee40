/* One picture's numbers into its place in the volume. */
#include "tess-dicom-private.h"

#include <string.h>

/* The bits that are stored, as the file's type; unused ones may hold anything (old files: overlays). */
#define DEFINE_CLEAN(NAME, U)                                                                                          \
  static void NAME (U *values, gsize n, int shift, int bits, gboolean is_signed, gboolean inverted)                    \
  {                                                                                                                    \
    const U mask = bits >= (int)sizeof (U) * 8 ? (U) ~(U)0 : (U)(((U)1 << bits) - 1);                                  \
    const U sign = is_signed ? (U)((U)1 << (bits - 1)) : 0;                                                            \
    const U flip = inverted ? (is_signed ? (U) ~(U)0 : mask) : 0; /* -1 - v, or most - v */                            \
                                                                                                                       \
    _Pragma ("omp simd") for (gsize i = 0; i < n; i++)                                                                 \
    {                                                                                                                  \
      U v = (U)(values[i] >> shift) & mask;                                                                            \
                                                                                                                       \
      values[i] = (U)((U)((v ^ sign) - sign) ^ flip);                                                                  \
    }                                                                                                                  \
  }
DEFINE_CLEAN (clean_8, guint8)
DEFINE_CLEAN (clean_16, guint16)
DEFINE_CLEAN (clean_32, guint32)

static void
clean (const TessDicomFile *file, void *row, gsize n, gboolean inverted)
{
  int shift = file->plain ? (int)(file->high + 1 - file->stored) : 0, bits = (int)file->stored;

  if (!tess_dtype_is_integer (file->dtype) || (shift == 0 && bits == file->allocated && !inverted))
    return;
  if (file->allocated == 8)
    clean_8 (row, n, shift, bits, file->is_signed != 0, inverted);
  else if (file->allocated == 16)
    clean_16 (row, n, shift, bits, file->is_signed != 0, inverted);
  else
    clean_32 (row, n, shift, bits, file->is_signed != 0, inverted);
}

#define SCALE(T)                                                                                                       \
  for (gsize i = 0; i < n; i++) {                                                                                      \
    T v;                                                                                                               \
    memcpy (&v, in + i * sizeof v, sizeof v);                                                                          \
    out[i] = (float)((double)v * slope + intercept);                                                                   \
  }

static void
scale (TessDType dtype, const guint8 *in, gsize n, double slope, double intercept, float *out)
{
  switch (dtype) {
  case TESS_DTYPE_U8:
    SCALE (guint8)
    break;
  case TESS_DTYPE_I8:
    SCALE (gint8)
    break;
  case TESS_DTYPE_U16:
    SCALE (guint16)
    break;
  case TESS_DTYPE_I16:
    SCALE (gint16)
    break;
  case TESS_DTYPE_U32:
    SCALE (guint32)
    break;
  case TESS_DTYPE_I32:
    SCALE (gint32)
    break;
  case TESS_DTYPE_F32:
    SCALE (float)
    break;
  default:
    SCALE (double)
    break;
  }
}

/* n numbers of `size` bytes, `stride` bytes apart. */
static void
gather (const guint8 *in, gsize stride, gsize size, gsize n, guint8 *out)
{
  if (stride == size) {
    memcpy (out, in, n * size);
    return;
  }
  for (gsize i = 0; i < n; i++)
    memcpy (out + i * size, in + i * stride, size);
}

/* Where the slice of a frame's first sample begins. */
static guint8 *
slice_of (TessDicomSeries *series, const TessDicomFrame *frame, gint64 sample, TessVolume *volume)
{
  gsize slice = (gsize)(frame->channel0 + sample) * (gsize)series->dim[2] + (gsize)frame->z;

  return (guint8 *)tess_volume_data_mut (volume) +
         slice * (gsize)series->dim[0] * (gsize)series->dim[1] * tess_dtype_size (series->dtype);
}

/* Where a frame's pixels may be read to as they are, for tess_dicom_finish_frame(); NULL where they must be rearranged.
 */
guint8 *
tess_dicom_frame_target (TessDicomSeries *series, const TessDicomFrame *frame, TessVolume *volume)
{
  gboolean whole = series->dim[0] == frame->file->columns && frame->file->samples == 1 && !series->scaled;

  return whole ? slice_of (series, frame, 0, volume) : NULL;
}

void
tess_dicom_finish_frame (TessDicomSeries *series, const TessDicomFrame *frame, TessVolume *volume)
{
  clean (frame->file, slice_of (series, frame, 0, volume), (gsize)series->dim[0] * (gsize)series->dim[1],
         series->inverted);
}

/**
 * tess_dicom_place_frame:
 * @pixels: the whole picture, in the file's type and native byte order; of a mosaic all its tiles
 * @scratch: a row of the volume in the file's type
 *
 * Writes the frame's slice (for colours, three slices in three channels).
 */
void
tess_dicom_place_frame (TessDicomSeries *series, const TessDicomFrame *frame, const guint8 *pixels, guint8 *scratch,
                        TessVolume *volume)
{
  const TessDicomFile *file = frame->file;
  gsize width = (gsize)series->dim[0], height = (gsize)series->dim[1], size = (gsize)file->allocated / 8;
  gsize columns = (gsize)file->columns, plane = columns * (gsize)file->rows, n_tiles = columns / width;
  gboolean planar = file->plain && file->planar && file->samples == 3;
  gsize tile = file->mosaic_n > 1 ? (gsize)frame->index : 0;
  gsize x0 = tile % n_tiles * width, y0 = tile / n_tiles * height;

  for (gsize c = 0; c < (gsize)file->samples; c++) {
    guint8 *out = slice_of (series, frame, (gint64)c, volume);

    if (tess_dicom_frame_target (series, frame, volume)) { /* the usual slice, in one go */
      memcpy (out, pixels, plane * size);
      tess_dicom_finish_frame (series, frame, volume);
      continue;
    }
    for (gsize y = 0; y < height; y++) {
      gsize first = (y0 + y) * columns + x0;
      const guint8 *in =
          planar ? pixels + (c * plane + first) * size : pixels + (first * (gsize)file->samples + c) * size;
      guint8 *row = series->scaled ? scratch : out + y * width * size;

      gather (in, planar ? size : size * (gsize)file->samples, size, width, row);
      clean (file, row, width, series->inverted);
      if (series->scaled)
        scale (file->dtype, row, width, frame->slope, frame->intercept, (float *)(void *)out + y * width);
    }
  }
}
