/* Chunks of HDF5 datasets: packed in any way that is known, of any bytes. */
#include "tess-hdf5-private.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

/* n filters, each a byte of kind and one of element size; the mask; the size of the chunk; what is packed. */
int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const gint64 ids[4] = {TESS_HDF5_DEFLATE, TESS_HDF5_SHUFFLE, TESS_HDF5_FLETCHER32, TESS_HDF5_LZF};
  TessHdf5Dataset dataset = {0};
  guint8 *scratch, *out, *in;
  gsize n, n_out;

  if (size < 20)
    return 0;
  dataset.n_filters = data[0] % (TESS_HDF5_MOST_FILTERS + 1);
  for (guint i = 0; i < dataset.n_filters; i++) {
    dataset.filters[i].id = ids[data[1 + i] & 3];
    dataset.filters[i].size = data[9 + i] % 20;
  }
  n_out = (gsize)data[18] * 16 + data[19] + 1;
  n = size - 20;
  in = g_memdup2 (data + 20, n); /* so that reading past its end is seen */
  scratch = g_malloc (n_out + TESS_HDF5_SLACK);
  out = g_malloc (n_out + TESS_HDF5_SLACK);
  if (tess_hdf5_can_unpack (&dataset))
    tess_hdf5_unpack (&dataset, data[17], in, n, scratch, out, n_out);
  g_free (in);
  g_free (scratch);
  g_free (out);
  return 0;
}
