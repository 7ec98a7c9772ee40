/* What HDF5 does to a chunk before it is written, undone. */
#include "tess-hdf5-private.h"

#include "tess-deflate.h"

#include <string.h>
#if TESS_HAVE_HDF5
#include <liblzf/lzf.h>
#endif

static gboolean
is_compressor (gint64 id)
{
  return id == TESS_HDF5_DEFLATE || id == TESS_HDF5_LZF;
}

gboolean
tess_hdf5_can_unpack (const TessHdf5Dataset *dataset)
{
  guint n_compressors = 0;

  for (guint i = 0; i < dataset->n_filters; i++) {
    const TessHdf5Filter *filter = &dataset->filters[i];

    if (!is_compressor (filter->id) && filter->id != TESS_HDF5_SHUFFLE && filter->id != TESS_HDF5_FLETCHER32)
      return FALSE;
    n_compressors += is_compressor (filter->id);
  }
  return n_compressors <= 1 && !dataset->too_many_filters;
}

/* Bytes 0 of all numbers, bytes 1, ...; what is left over at the end as it is. */
void
tess_hdf5_shuffle (const guint8 *in, gsize n, gsize size, guint8 *out)
{
  gsize count = n / size;

  for (gsize b = 0; b < size; b++)
    for (gsize i = 0; i < count; i++)
      out[b * count + i] = in[i * size + b];
  memcpy (out + count * size, in + count * size, n - count * size);
}

static void
unshuffle (const guint8 *in, gsize n, gsize size, guint8 *out)
{
  gsize count = n / size;

  for (gsize b = 0; b < size; b++)
    for (gsize i = 0; i < count; i++)
      out[i * size + b] = in[b * count + i];
  memcpy (out + count * size, in + count * size, n - count * size);
}

/* Fletcher's sums of 16-bit words, high byte first, as the HDF5 file format has them. */
static guint32
fletcher32 (const guint8 *bytes, gsize n)
{
  guint32 a = 0, b = 0;
  gsize words = n / 2;

  for (gsize i = 0; i < words;) {
    for (gsize end = MIN (words, i + 360); i < end; i++) { /* as many as do not overflow */
      a += (guint32)(bytes[2 * i] << 8 | bytes[2 * i + 1]);
      b += a;
    }
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  if (n % 2) {
    a += (guint32)bytes[n - 1] << 8;
    b += a;
    a = (a & 0xffff) + (a >> 16);
    b = (b & 0xffff) + (b >> 16);
  }
  a = (a & 0xffff) + (a >> 16);
  b = (b & 0xffff) + (b >> 16);
  return b << 16 | a;
}

/* HDF5 before 1.6.3 wrote the bytes of each half the other way round on some machines. */
static gboolean
check_fletcher32 (const guint8 *bytes, gsize n)
{
  guint32 sum = fletcher32 (bytes, n), stored;

  memcpy (&stored, bytes + n, sizeof stored);
  stored = GUINT32_FROM_LE (stored);
  return stored == sum || stored == ((sum & 0x00ff00ff) << 8 | (sum >> 8 & 0x00ff00ff));
}

static gboolean
unpack_lzf (const guint8 *in, gsize n, guint8 *out, gsize n_out)
{
#if TESS_HAVE_HDF5
  return n < G_MAXUINT32 && n_out < G_MAXUINT32 && lzf_decompress (in, (guint)n, out, (guint)n_out) == n_out;
#else
  return FALSE;
#endif
}

/**
 * tess_hdf5_unpack:
 * @mask: bit i: filter i was left out of this chunk
 *
 * Fills out[0, n_out). FALSE when a checksum is wrong, packed data are damaged, or give another size.
 */
gboolean
tess_hdf5_unpack (const TessHdf5Dataset *dataset, guint32 mask, const guint8 *in, gsize n_in, guint8 *scratch,
                  guint8 *out, gsize n_out)
{
  const guint8 *at = in;
  gsize n = n_in;

  for (guint i = dataset->n_filters; i-- > 0;) {
    const TessHdf5Filter *filter = &dataset->filters[i];
    guint8 *to = at == out ? scratch : out;
    gsize target = n_out;

    if (mask >> i & 1)
      continue;
    for (guint k = 0; k < i; k++)
      target += dataset->filters[k].id == TESS_HDF5_FLETCHER32 && !(mask >> k & 1) ? 4 : 0;
    switch (filter->id) {
    case TESS_HDF5_FLETCHER32:
      if (n < 4 || !check_fletcher32 (at, n - 4))
        return FALSE;
      n -= 4;
      break;
    case TESS_HDF5_SHUFFLE:
      if (n != target || filter->size < 1)
        return FALSE;
      if (filter->size > 1) {
        unshuffle (at, n, filter->size, to);
        at = to;
      }
      break;
    default:
      if (!(filter->id == TESS_HDF5_DEFLATE ? tess_zlib_unpack (at, n, to, target) : unpack_lzf (at, n, to, target)))
        return FALSE;
      at = to;
      n = target;
    }
  }
  if (n != n_out)
    return FALSE;
  if (at != out)
    memcpy (out, at, n_out);
  return TRUE;
}
