#include "nifti-fixture.h"

#include <gio/gio.h>
#include <glib/gstdio.h>
#include <string.h>

NiftiFixture
nifti_fixture (int datatype, int bits, gint64 nx, gint64 ny, gint64 nz)
{
  return (NiftiFixture){
      .version = 1,
      .datatype = datatype,
      .bits = bits,
      .dim = {3, nx, ny, nz, 1, 1, 1, 1},
      .pixdim = {1, 2, 3, 4, 1, 1, 1, 1},
      .slope = 1,
      .srow = {2, 0, 0, -10, 0, 3, 0, -20, 0, 0, 4, -30},
      .sform_code = 1,
      .units = 2,
  };
}

static void
put_int (GByteArray *out, gsize at, gint64 value, gsize size, gboolean big)
{
  for (gsize i = 0; i < size; i++)
    out->data[at + (big ? size - 1 - i : i)] = (guint8)((guint64)value >> (8 * i));
}

static void
put_real (GByteArray *out, gsize at, double value, gsize size, gboolean big)
{
  if (size == 4) {
    float f = (float)value;
    guint32 u;

    memcpy (&u, &f, 4);
    put_int (out, at, u, 4, big);
  } else {
    guint64 u;

    memcpy (&u, &value, 8);
    put_int (out, at, (gint64)u, 8, big);
  }
}

static void
fill_1 (GByteArray *h, const NiftiFixture *f, gint64 offset)
{
  gboolean b = f->big_endian;

  put_int (h, 0, 348, 4, b);
  for (gsize i = 0; i < 8; i++) {
    put_int (h, 40 + 2 * i, f->dim[i], 2, b);
    put_real (h, 76 + 4 * i, f->pixdim[i], 4, b);
  }
  put_int (h, 68, f->intent, 2, b);
  put_int (h, 70, f->datatype, 2, b);
  put_int (h, 72, f->bits, 2, b);
  put_real (h, 108, (double)offset, 4, b);
  put_real (h, 112, f->slope, 4, b);
  put_real (h, 116, f->intercept, 4, b);
  h->data[123] = (guint8)f->units;
  if (f->description)
    strncpy ((char *)h->data + 148, f->description, 79);
  put_int (h, 252, f->qform_code, 2, b);
  put_int (h, 254, f->sform_code, 2, b);
  for (gsize i = 0; i < 3; i++) {
    put_real (h, 256 + 4 * i, f->quatern[i], 4, b);
    put_real (h, 268 + 4 * i, f->qoffset[i], 4, b);
  }
  for (gsize i = 0; i < 12; i++)
    put_real (h, 280 + 4 * i, f->srow[i], 4, b);
  memcpy (h->data + 344, f->pair ? "ni1" : "n+1", 4);
}

static void
fill_2 (GByteArray *h, const NiftiFixture *f, gint64 offset)
{
  gboolean b = f->big_endian;

  put_int (h, 0, 540, 4, b);
  memcpy (h->data + 4, f->pair ? "ni2\0\r\n\032\n" : "n+2\0\r\n\032\n", 8);
  put_int (h, 12, f->datatype, 2, b);
  put_int (h, 14, f->bits, 2, b);
  for (gsize i = 0; i < 8; i++) {
    put_int (h, 16 + 8 * i, f->dim[i], 8, b);
    put_real (h, 104 + 8 * i, f->pixdim[i], 8, b);
  }
  put_int (h, 168, offset, 8, b);
  put_real (h, 176, f->slope, 8, b);
  put_real (h, 184, f->intercept, 8, b);
  if (f->description)
    strncpy ((char *)h->data + 240, f->description, 79);
  put_int (h, 344, f->qform_code, 4, b);
  put_int (h, 348, f->sform_code, 4, b);
  for (gsize i = 0; i < 3; i++) {
    put_real (h, 352 + 8 * i, f->quatern[i], 8, b);
    put_real (h, 376 + 8 * i, f->qoffset[i], 8, b);
  }
  for (gsize i = 0; i < 12; i++)
    put_real (h, 400 + 8 * i, f->srow[i], 8, b);
  put_int (h, 500, f->units, 4, b);
  put_int (h, 504, f->intent, 4, b);
}

GByteArray *
nifti_fixture_header (const NiftiFixture *f)
{
  gsize n = f->version == 1 ? 348 : 540, content = f->extension ? g_bytes_get_size (f->extension) : 0;
  gsize extension = f->extension ? (content + 8 + 15) / 16 * 16 : 0;
  GByteArray *h = g_byte_array_new ();

  g_byte_array_set_size (h, (guint)(n + 4 + extension));
  memset (h->data, 0, h->len);
  (f->version == 1 ? fill_1 : fill_2) (h, f, f->pair ? 0 : (gint64)h->len);
  if (f->extension) {
    h->data[n] = 1;
    put_int (h, n + 4, (gint64)extension, 4, f->big_endian);
    put_int (h, n + 8, 6, 4, f->big_endian);
    memcpy (h->data + n + 12, g_bytes_get_data (f->extension, NULL), content);
  }
  return h;
}

void
nifti_fixture_append (const NiftiFixture *f, GByteArray *bytes, const double *values, gsize n)
{
  gsize size = (gsize)f->bits / 8, at = bytes->len;

  g_byte_array_set_size (bytes, (guint)(at + n * size));
  for (gsize i = 0; i < n; i++, at += size) {
    if (f->datatype == 16 || f->datatype == 64) {
      put_real (bytes, at, values[i], size, f->big_endian);
    } else if (f->datatype == 1536) {
      __float128 quad = (__float128)values[i];
      guint8 raw[16];

      memcpy (raw, &quad, 16);
      for (gsize k = 0; k < 16; k++)
        bytes->data[at + k] = raw[f->big_endian == (G_BYTE_ORDER == G_LITTLE_ENDIAN) ? 15 - k : k];
    } else if (values[i] >= 0x1p63) {
      put_int (bytes, at, (gint64)(guint64)values[i], size, f->big_endian);
    } else {
      put_int (bytes, at, (gint64)values[i], size, f->big_endian);
    }
  }
}

GByteArray *
nifti_fixture_gzip (GByteArray *bytes)
{
  g_autoptr (GZlibCompressor) c = g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP, 6);
  GByteArray *out = g_byte_array_new ();
  guint8 piece[4096];
  gsize used = 0, in, got;
  GConverterResult result;

  do {
    g_autoptr (GError) error = NULL;

    result = g_converter_convert (G_CONVERTER (c), bytes->data + used, bytes->len - used, piece, sizeof piece,
                                  G_CONVERTER_INPUT_AT_END, &in, &got, &error);
    g_assert_no_error (error);
    used += in;
    g_byte_array_append (out, piece, (guint)got);
  } while (result != G_CONVERTER_FINISHED);
  return out;
}

void
nifti_fixture_put (const char *path, GByteArray *bytes, gboolean gzip)
{
  g_autoptr (GByteArray) packed = gzip ? nifti_fixture_gzip (bytes) : g_byte_array_ref (bytes);
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (path, (const char *)packed->data, (gssize)packed->len, G_FILE_SET_CONTENTS_NONE, 0600,
                            &error);
  g_assert_no_error (error);
}

char *
nifti_fixture_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("tess-nifti-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}
