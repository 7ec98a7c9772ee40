#include "tess-voxels.h"
#include "tess-voxels-ahead.h"

#include <inttypes.h>
#include <string.h>

#define PIECE ((gsize)1 << 20) /* a multiple of every voxel size; between two pieces a cancel is noticed */

void
tess_voxels_swap (guint8 *data, gsize n_bytes, gsize size)
{
  if (size == 2) {
    for (gsize i = 0; i + 2 <= n_bytes; i += 2) {
      guint16 v;

      memcpy (&v, data + i, 2);
      v = GUINT16_SWAP_LE_BE (v);
      memcpy (data + i, &v, 2);
    }
  } else if (size == 4) {
    for (gsize i = 0; i + 4 <= n_bytes; i += 4) {
      guint32 v;

      memcpy (&v, data + i, 4);
      v = GUINT32_SWAP_LE_BE (v);
      memcpy (data + i, &v, 4);
    }
  } else if (size == 8) {
    for (gsize i = 0; i + 8 <= n_bytes; i += 8) {
      guint64 v;

      memcpy (&v, data + i, 8);
      v = GUINT64_SWAP_LE_BE (v);
      memcpy (data + i, &v, 8);
    }
  } else if (size == 16) {
    for (gsize i = 0; i + 16 <= n_bytes; i += 16)
      for (gsize k = 0; k < 8; k++) {
        guint8 t = data[i + k];

        data[i + k] = data[i + 15 - k];
        data[i + 15 - k] = t;
      }
  }
}

/**
 * tess_voxels_read:
 * @stream: stands on the first voxel
 *
 * Fills the volume, channel by channel, and reads on to the end of what is packed, so that its checksum has been
 * compared.
 *
 * Plain files are read, too, not mapped: a mapped file that somebody cuts or that a network drive loses ends the
 * program (SIGBUS) whenever it is looked at, hours after it was opened. Reading 315 MB that the kernel has in memory
 * takes some 0.3 s, with the first slices after 10 ms.
 */
gboolean
tess_voxels_read (TessVolume *volume, TessStream *stream, const TessVoxelCoding *coding,
                  const TessVoxelListener *listener, GError **error)
{
  TessProgress *progress = listener->progress;
  gsize stored_size = coding->stored_size;
  gsize size = tess_dtype_size (tess_volume_dtype (volume));
  gsize left = tess_volume_n_bytes (volume) / size * stored_size; /* bytes in the file */
  g_autofree guint8 *scratch = coding->convert ? g_malloc (PIECE) : NULL;
  const gint64 *dim = tess_volume_dim (volume);
  gsize slice = (gsize)(dim[0] * dim[1]) * size;
  guint8 *begin = tess_volume_data_mut (volume), *out = begin, rest[4096];
  g_autoptr (TessStreamAhead) others = scratch ? NULL : tess_stream_read_ahead (stream, out, left);
  g_autoptr (TessVoxelsAhead) ahead = others ? NULL : tess_voxels_ahead_new (volume); /* they take all cores */
  gssize got;

  if (listener->live)
    tess_volume_set_watermark (volume, 0);

  while (left > 0) {
    gsize piece = MIN (left, PIECE);
    guint8 *in = scratch ? scratch : out;

    if (!tess_progress_check (progress, error) || !tess_stream_read_exact (stream, in, piece, error))
      return FALSE;
    if (coding->swapped)
      tess_voxels_swap (in, piece, stored_size);
    if (scratch)
      coding->convert (in, piece / stored_size, out);
    out += piece / stored_size * size;
    left -= piece;
    tess_voxels_ahead_reached (ahead, (gsize)(out - begin));
    if (listener->live && (gsize)(out - begin) >= slice) {
      tess_volume_set_watermark (volume, (gint64)((gsize)(out - begin) / slice));
      listener->live (volume, listener->user_data);
    }
    tess_progress_set (progress, (double)tess_stream_file_read (stream) / (double)tess_stream_file_size (stream));
  }
  if (coding->more || !tess_stream_is_packed (stream))
    return TRUE;
  do {
    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_stream_read (stream, rest, sizeof rest, error);
  } while (got > 0);
  return got == 0;
}

/**
 * tess_voxels_fit:
 * @offset: bytes of the stream before the voxels
 *
 * Whether a file of this size can hold them: before memory is taken for what a header promises.
 */
gboolean
tess_voxels_fit (TessStream *stream, guint64 offset, const gint64 dim[3], gint64 n_channels, gsize stored_size,
                 GError **error)
{
  guint64 need = stored_size, most = tess_stream_max_size (stream);
  gboolean overflow = FALSE;

  for (int k = 0; k < 3; k++)
    overflow |= __builtin_mul_overflow (need, (guint64)dim[k], &need);
  overflow |= __builtin_mul_overflow (need, (guint64)n_channels, &need) || __builtin_add_overflow (need, offset, &need);
  if (overflow || need > most) {
    g_autofree char *name = g_filename_display_name (tess_stream_peek_path (stream));

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its header promises %" PRId64 " x %" PRId64 " x %" PRId64
                    " voxels, more than a file of this size can hold; it is incomplete or damaged, copy it again"),
                 name, dim[0], dim[1], dim[2]);
    return FALSE;
  }
  return TRUE;
}

/* Most formats have no half floats: widen them, which loses nothing. */
static void
widen_halfs (const guint16 *in, gsize n, gboolean brain, float *out)
{
  for (gsize i = 0; i < n; i++)
    out[i] = brain ? tess_bf16_to_float (in[i]) : tess_f16_to_float (in[i]);
}

/**
 * tess_voxels_write:
 *
 * All voxels, x fastest, channel by channel, in native byte order; float16 and bfloat16 as float32.
 */
gboolean
tess_voxels_write (TessVolume *volume, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  TessDType dtype = tess_volume_dtype (volume);
  gboolean half = dtype == TESS_DTYPE_F16 || dtype == TESS_DTYPE_BF16;
  g_autofree float *wide = half ? g_malloc (2 * PIECE) : NULL;
  const guint8 *data = tess_volume_data (volume);
  gsize n = tess_volume_n_bytes (volume);

  for (gsize done = 0; done < n;) {
    gsize piece = MIN (PIECE, n - done);

    if (!tess_progress_check (progress, error))
      return FALSE;
    if (half)
      widen_halfs ((const guint16 *)(const void *)(data + done), piece / 2, dtype == TESS_DTYPE_BF16, wide);
    if (!tess_atomic_file_write (file, half ? (const void *)wide : data + done, half ? 2 * piece : piece, error))
      return FALSE;
    done += piece;
    tess_progress_set (progress, (double)done / (double)n);
  }
  return TRUE;
}
