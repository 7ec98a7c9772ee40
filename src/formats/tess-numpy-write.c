#include "tess-numpy-private.h"

#include "tess-zip.h"

/* Type of the array: a volume's own, but real values where it has a slope, and float32 for bfloat16. */
static TessDType
array_dtype (TessVolume *volume)
{
  gboolean plain = tess_volume_slope (volume) == 1.0 && tess_volume_intercept (volume) == 0.0;

  return plain && tess_volume_dtype (volume) == TESS_DTYPE_F16 ? TESS_DTYPE_F16 : tess_voxels_plain_dtype (volume);
}

static gboolean
write_array (TessAtomicFile *file, TessDType dtype, const gint64 *shape, guint n_axes, const void *data, gsize n,
             GError **error)
{
  g_autoptr (GByteArray) header = tess_npy_header_serialise (dtype, shape, n_axes);

  return tess_atomic_file_write (file, header->data, header->len, error) &&
         (n == 0 || tess_atomic_file_write (file, data, n, error));
}

/* float16 is written as it lies, a piece at a time. */
static gboolean
write_halfs (TessVolume *volume, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  const guint8 *data = tess_volume_data (volume);
  gsize n = tess_volume_n_bytes (volume), piece = (gsize)4 << 20;

  for (gsize done = 0; done < n; done += MIN (piece, n - done)) {
    if (!tess_progress_check (progress, error) ||
        !tess_atomic_file_write (file, data + done, MIN (piece, n - done), error))
      return FALSE;
    tess_progress_set (progress, (double)done / (double)n);
  }
  return TRUE;
}

/* (channel, z, y, x) in C order is how a volume lies in memory; without the first axis when there is one channel. */
static gboolean
write_voxels (TessVolume *volume, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  const gint64 *dim = tess_volume_dim (volume);
  gint64 shape[4] = {tess_volume_n_channels (volume), dim[2], dim[1], dim[0]};
  gboolean one = shape[0] == 1;
  TessDType dtype = array_dtype (volume);

  if (!write_array (file, dtype, shape + one, 4 - one, NULL, 0, error))
    return FALSE;
  return dtype == TESS_DTYPE_F16 ? write_halfs (volume, file, progress, error)
                                 : tess_voxels_write_as (volume, file, dtype, FALSE, 1, progress, error);
}

/* Over the array's own axes z, y, x: what numpy's affine @ (i, j, k, 1) expects. */
static gboolean
write_affine (TessVolume *volume, TessAtomicFile *file, GError **error)
{
  const TessAffine *affine = tess_volume_affine (volume);
  const gint64 shape[2] = {4, 4};
  double m[16] = {[15] = 1};

  for (int r = 0; r < 3; r++) {
    for (int k = 0; k < 3; k++)
      m[4 * r + k] = affine->m[r][2 - k];
    m[4 * r + 3] = affine->m[r][3];
  }
  return write_array (file, TESS_DTYPE_F64, shape, 2, m, sizeof m, error);
}

/**
 * tess_npy_save:
 *
 * The array, and behind it, as by a second numpy.save on the same file, its affine: numpy.load gives the first.
 */
gboolean
tess_npy_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);

  if (!file || !write_voxels (volume, file, progress, error) || !write_affine (volume, file, error) ||
      !tess_atomic_file_commit (file, error))
    return FALSE;
  tess_progress_set (progress, 1.0);
  return TRUE;
}

static gboolean
add_small (TessZipWriter *writer, const char *name, TessDType dtype, guint n_axes, gint64 length, const void *data,
           GError **error)
{
  TessAtomicFile *file = tess_zip_writer_begin (writer, name, FALSE, error);

  return file && write_array (file, dtype, &length, n_axes, data, (gsize)length * tess_dtype_size (dtype), error) &&
         tess_zip_writer_end (writer, error);
}

/**
 * tess_npz_save:
 *
 * Arrays `data` (a label volume's: `seg`), deflated; `affine` and `spacing` over its axes of space in their order;
 * `channel_axis` where there are several channels. All are plain arrays: numpy.load needs no pickle for them.
 */
gboolean
tess_npz_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, error);
  gboolean label = tess_volume_intent (volume) == TESS_INTENT_LABEL;
  double spacing[3], reversed[3];
  gint64 channel_axis = 0;
  TessAtomicFile *file;

  tess_affine_spacing (tess_volume_affine (volume), spacing);
  for (int k = 0; k < 3; k++)
    reversed[k] = spacing[2 - k];
  file = writer ? tess_zip_writer_begin (writer, label ? "seg.npy" : "data.npy", TRUE, error) : NULL;
  if (!file || !write_voxels (volume, file, progress, error) || !tess_zip_writer_end (writer, error))
    return FALSE;
  file = tess_zip_writer_begin (writer, "affine.npy", FALSE, error);
  if (!file || !write_affine (volume, file, error) || !tess_zip_writer_end (writer, error) ||
      !add_small (writer, "spacing.npy", TESS_DTYPE_F64, 1, 3, reversed, error))
    return FALSE;
  if (tess_volume_n_channels (volume) > 1 &&
      !add_small (writer, "channel_axis.npy", TESS_DTYPE_I64, 0, 1, &channel_axis, error))
    return FALSE;
  if (!tess_zip_writer_commit (writer, error))
    return FALSE;
  tess_progress_set (progress, 1.0);
  return TRUE;
}
