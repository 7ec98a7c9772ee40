#include "tess-voxels.h"

#include <math.h>
#include <string.h>

/* Between files that keep the numbers of a voxel side by side, or real values only, and volumes, which keep one
 * channel after the other, in the type they came in. */

#define PIECE ((gsize)4 << 20)
#define CHUNK ((gsize)1 << 14) /* numbers converted at a time: small enough for a core's cache */

#define COPY_LOOP(type)                                                                                                \
  for (gsize i = 0; i < n; i++)                                                                                        \
    memcpy (out + i * out_step * sizeof (type), in + i * in_step * sizeof (type), sizeof (type));

void
tess_voxels_copy (const guint8 *in, gsize in_step, guint8 *out, gsize out_step, gsize n, gsize size)
{
  switch (size) {
  case 1:
    COPY_LOOP (guint8)
    break;
  case 2:
    COPY_LOOP (guint16)
    break;
  case 4:
    COPY_LOOP (guint32)
    break;
  default:
    COPY_LOOP (guint64)
    break;
  }
}

/**
 * tess_voxels_read_interleaved:
 * @stream: stands on the first voxel
 * @coding: without convert
 *
 * Fills the volume from a file whose fastest axis counts channels, and reads on to the end of what is packed. While it
 * is read, slices of the first channel can be looked at.
 */
gboolean
tess_voxels_read_interleaved (TessVolume *volume, TessStream *stream, const TessVoxelCoding *coding,
                              gint64 n_interleaved, const TessVoxelListener *listener, GError **error)
{
  const gint64 *dim = tess_volume_dim (volume);
  gsize size = coding->stored_size, inner = (gsize)n_interleaved, voxel = inner * size;
  gsize n_voxels = (gsize)tess_volume_n_voxels (volume), slice = (gsize)(dim[0] * dim[1]);
  gsize outer = (gsize)tess_volume_n_channels (volume) / inner, total = n_voxels * outer, done = 0;
  gsize most = MAX (PIECE / voxel, 1);
  g_autofree guint8 *piece = g_try_malloc (MIN (most, total) * voxel);
  guint8 *data = tess_volume_data_mut (volume), rest[4096];
  gssize got = 0;

  g_return_val_if_fail (
      !coding->convert && n_interleaved > 0 && outer * inner == (gsize)tess_volume_n_channels (volume), FALSE);
  if (!piece) {
    g_autofree char *name = g_filename_display_name (tess_stream_peek_path (stream));

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("%s: there is not enough memory to read it; close other programs"), name);
    return FALSE;
  }
  if (listener->live)
    tess_volume_set_watermark (volume, 0);
  while (done < total) {
    gsize o = done / n_voxels, v = done % n_voxels, n = MIN (MIN (most, total - done), n_voxels - v);

    if (!tess_progress_check (listener->progress, error) || !tess_stream_read_exact (stream, piece, n * voxel, error))
      return FALSE;
    if (coding->swapped)
      tess_voxels_swap (piece, n * voxel, size);
    for (gsize c = 0; c < inner; c++)
      tess_voxels_copy (piece + c * size, inner, data + ((o + outer * c) * n_voxels + v) * size, 1, n, size);
    done += n;
    if (listener->live && done < total && done >= slice) {
      tess_volume_set_watermark (volume, (gint64)(MIN (done, n_voxels * outer) / slice));
      listener->live (volume, listener->user_data);
    }
    tess_progress_set (listener->progress,
                       (double)tess_stream_file_read (stream) / (double)tess_stream_file_size (stream));
  }
  if (!coding->more && tess_stream_is_packed (stream))
    do {
      if (!tess_progress_check (listener->progress, error))
        return FALSE;
      got = tess_stream_read (stream, rest, sizeof rest, error);
    } while (got > 0);
  if (got < 0)
    return FALSE;
  if (listener->live) {
    tess_volume_set_watermark (volume, tess_volume_n_slices (volume));
    listener->live (volume, listener->user_data);
  }
  return TRUE;
}

/* Smallest and one past the largest number of an integer type. */
static void
integer_limits (TessDType dtype, double *low, double *end)
{
  gboolean is_signed =
      dtype == TESS_DTYPE_I8 || dtype == TESS_DTYPE_I16 || dtype == TESS_DTYPE_I32 || dtype == TESS_DTYPE_I64;
  int bits = 8 * (int)tess_dtype_size (dtype);

  *low = is_signed ? -ldexp (1.0, bits - 1) : 0.0;
  *end = ldexp (1.0, is_signed ? bits - 1 : bits);
}

static gboolean
is_plain (const TessVolume *volume)
{
  return tess_volume_slope (volume) == 1.0 && tess_volume_intercept (volume) == 0.0;
}

/**
 * tess_voxels_hold_as:
 * @dtype: an integer type, float32 or float64
 *
 * Whether every real value is a number of that type; for float32 and float64, whether none becomes infinite by being
 * rounded. Looks at all voxels unless the types alone tell.
 */
gboolean
tess_voxels_hold_as (TessVolume *volume, TessDType dtype)
{
  gsize n = tess_volume_n_bytes (volume) / tess_dtype_size (tess_volume_dtype (volume));
  g_autofree double *values = NULL;
  double low = 0, end = 0;
  gboolean integer = tess_dtype_is_integer (dtype);

  if (is_plain (volume) && (tess_volume_dtype (volume) == dtype || dtype == TESS_DTYPE_F64))
    return TRUE;
  if (integer)
    integer_limits (dtype, &low, &end);
  values = g_new (double, CHUNK);
  for (gsize done = 0; done < n; done += CHUNK) {
    gsize m = MIN (CHUNK, n - done);
    gboolean all = TRUE;

    tess_volume_values_f64 (volume, done, m, values);
    if (integer)
      for (gsize i = 0; i < m; i++)
        all &= values[i] >= low && values[i] < end && values[i] == rint (values[i]);
    else if (dtype == TESS_DTYPE_F32)
      for (gsize i = 0; i < m; i++)
        all &= !isfinite (values[i]) || isfinite ((float)values[i]);
    if (!all)
      return FALSE;
  }
  return TRUE;
}

/**
 * tess_voxels_plain_dtype:
 *
 * The type in which a format without slope and intercept holds a volume's real values: its own when there is nothing
 * to apply (float32 for half floats); a whole-number type, or float64 for large ones, where they are whole numbers;
 * else float32, or float64 where the stored numbers have more digits than that.
 */
TessDType
tess_voxels_plain_dtype (TessVolume *volume)
{
  static const TessDType candidates[] = {TESS_DTYPE_U8, TESS_DTYPE_I16, TESS_DTYPE_U16, TESS_DTYPE_I32, TESS_DTYPE_U32};
  TessDType dtype = tess_volume_dtype (volume);
  double slope = tess_volume_slope (volume), intercept = tess_volume_intercept (volume);
  gboolean half = dtype == TESS_DTYPE_F16 || dtype == TESS_DTYPE_BF16;
  TessDType real = half || dtype == TESS_DTYPE_F32 || tess_dtype_size (dtype) <= 2 ? TESS_DTYPE_F32 : TESS_DTYPE_F64;

  if (is_plain (volume))
    return half ? TESS_DTYPE_F32 : dtype;
  if (tess_dtype_is_integer (dtype) && slope == rint (slope) && intercept == rint (intercept)) {
    for (guint i = 0; i < G_N_ELEMENTS (candidates); i++)
      if (tess_voxels_hold_as (volume, candidates[i]))
        return candidates[i];
    return TESS_DTYPE_F64; /* float32 would change whole numbers */
  }
  return real == TESS_DTYPE_F32 && !tess_voxels_hold_as (volume, TESS_DTYPE_F32) ? TESS_DTYPE_F64 : real;
}

#define STORE_LOOP(type)                                                                                               \
  for (gsize i = 0; i < n; i++) {                                                                                      \
    type value = (type)values[i];                                                                                      \
                                                                                                                       \
    memcpy (out + i * step * sizeof (type), &value, sizeof value);                                                     \
  }
static void
store (const double *values, gsize n, TessDType dtype, guint8 *out, gsize step)
{
  switch (dtype) {
  case TESS_DTYPE_U8:
    STORE_LOOP (guint8)
    break;
  case TESS_DTYPE_I8:
    STORE_LOOP (gint8)
    break;
  case TESS_DTYPE_U16:
    STORE_LOOP (guint16)
    break;
  case TESS_DTYPE_I16:
    STORE_LOOP (gint16)
    break;
  case TESS_DTYPE_U32:
    STORE_LOOP (guint32)
    break;
  case TESS_DTYPE_I32:
    STORE_LOOP (gint32)
    break;
  case TESS_DTYPE_U64:
    STORE_LOOP (guint64)
    break;
  case TESS_DTYPE_I64:
    STORE_LOOP (gint64)
    break;
  case TESS_DTYPE_F32:
    STORE_LOOP (float)
    break;
  case TESS_DTYPE_F64:
    STORE_LOOP (double)
    break;
  case TESS_DTYPE_F16:
  case TESS_DTYPE_BF16:
  case TESS_N_DTYPES:
    g_assert_not_reached ();
  }
}

/* @same: the stored numbers as they are. */
static gboolean
write_numbers (TessVolume *volume, TessAtomicFile *file, TessDType dtype, gboolean same, gboolean swapped,
               gint64 n_interleaved, TessProgress *progress, GError **error)
{
  gsize size = tess_dtype_size (dtype), inner = (gsize)n_interleaved, voxel = inner * size;
  gsize n_voxels = (gsize)tess_volume_n_voxels (volume), outer = (gsize)tess_volume_n_channels (volume) / inner;
  gsize total = n_voxels * outer, most = MIN (MAX (PIECE / voxel, 1), total);
  const guint8 *data = tess_volume_data (volume);
  g_autofree double *values = NULL;
  g_autofree guint8 *piece = NULL;

  values = g_new (double, CHUNK);
  piece = g_malloc (most * voxel);
  for (gsize done = 0; done < total;) {
    gsize o = done / n_voxels, v = done % n_voxels, n = MIN (MIN (most, total - done), n_voxels - v);

    if (!tess_progress_check (progress, error))
      return FALSE;
    for (gsize c = 0; c < inner; c++) {
      gsize first = (o + outer * c) * n_voxels + v;

      if (same)
        tess_voxels_copy (data + first * size, 1, piece + c * size, inner, n, size);
      else
        for (gsize i = 0; i < n; i += CHUNK) {
          gsize m = MIN (CHUNK, n - i);

          tess_volume_values_f64 (volume, first + i, m, values);
          store (values, m, dtype, piece + i * voxel + c * size, inner);
        }
    }
    if (swapped)
      tess_voxels_swap (piece, n * voxel, size);
    if (!tess_atomic_file_write (file, piece, n * voxel, error))
      return FALSE;
    done += n;
    tess_progress_set (progress, (double)done / (double)total);
  }
  return TRUE;
}

/**
 * tess_voxels_write_as:
 * @dtype: one that holds the real values (tess_voxels_hold_as()); not a half float
 * @swapped: in the other byte order
 * @n_interleaved: numbers side by side in the file; 1 for channel after channel
 *
 * Writes all voxels, x (or the interleaved numbers) fastest.
 */
gboolean
tess_voxels_write_as (TessVolume *volume, TessAtomicFile *file, TessDType dtype, gboolean swapped, gint64 n_interleaved,
                      TessProgress *progress, GError **error)
{
  gboolean same = is_plain (volume) && dtype == tess_volume_dtype (volume);

  if (same && n_interleaved == 1 && !swapped)
    return tess_voxels_write (volume, file, progress, error);
  return write_numbers (volume, file, dtype, same, swapped, n_interleaved, progress, error);
}

/* The stored numbers, unscaled, in native byte order; not of half floats. */
gboolean
tess_voxels_write_interleaved (TessVolume *volume, TessAtomicFile *file, gint64 n_interleaved, TessProgress *progress,
                               GError **error)
{
  return write_numbers (volume, file, tess_volume_dtype (volume), TRUE, FALSE, n_interleaved, progress, error);
}
