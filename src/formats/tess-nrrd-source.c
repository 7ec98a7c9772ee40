#include "tess-nrrd-source.h"

#include <bzlib.h>
#include <errno.h>
#include <string.h>

#define MAX_TOKEN 64 /* letters of a number in a text */

struct _TessNrrdSource {
  TessStream *stream;
  TessNrrdEncoding encoding;
  TessDType dtype;
  bz_stream bzip2;
  gboolean bzip2_open, finished; /* finished: the last bzip2 stream is complete */
  guint8 buffer[65536];
  gsize begin, end; /* unread part of buffer */
};

/**
 * tess_nrrd_source_new:
 * @stream: (transfer full): stands on the first byte; already inflated where the encoding is gzip
 */
TessNrrdSource *
tess_nrrd_source_new (TessStream *stream, TessNrrdEncoding encoding, TessDType dtype)
{
  TessNrrdSource *source = g_new0 (TessNrrdSource, 1);

  source->stream = stream;
  source->encoding = encoding;
  source->dtype = dtype;
  return source;
}

void
tess_nrrd_source_free (TessNrrdSource *source)
{
  if (!source)
    return;
  if (source->bzip2_open)
    BZ2_bzDecompressEnd (&source->bzip2);
  tess_stream_free (source->stream);
  g_free (source);
}

TessStream *
tess_nrrd_source_peek_stream (TessNrrdSource *source)
{
  return source->stream;
}

static gssize
fail (TessNrrdSource *source, GError **error, const char *format)
{
  g_autofree char *name = g_filename_display_name (tess_stream_peek_path (source->stream));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, format, name);
#pragma GCC diagnostic pop
  return -1;
}

/* At least one byte into the empty buffer; 0 at the end, -1 on failure. */
static gssize
fill (TessNrrdSource *source, GError **error)
{
  gssize got = tess_stream_read (source->stream, source->buffer, sizeof source->buffer, error);

  source->begin = 0;
  source->end = (gsize)MAX (got, 0);
  return got;
}

/* --- bzip2 -------------------------------------------------------------------------------------------------------- */

/* Any number of bzip2 streams, one after the other, as bzip2 itself reads them. */
static gssize
read_bzip2 (TessNrrdSource *source, guint8 *out, gsize n, GError **error)
{
  gsize done = 0;

  while (done < n && !source->finished) {
    bz_stream *z = &source->bzip2;
    gsize room = MIN (n - done, (gsize)1 << 30), had;
    int result;

    if (source->begin == source->end) {
      gssize got = fill (source, error);

      if (got < 0)
        return -1;
      if (got == 0 && !source->bzip2_open && done + source->end > 0) {
        source->finished = TRUE;
        break;
      }
      if (got == 0)
        return fail (source, error, _ ("%s: the compressed data end too early; the file is incomplete, copy it again"));
    }
    if (!source->bzip2_open) {
      memset (z, 0, sizeof *z);
      if (BZ2_bzDecompressInit (z, 0, 0) != BZ_OK)
        return fail (source, error, _ ("%s: there is not enough memory to read it; close other programs"));
      source->bzip2_open = TRUE;
    }
    had = source->end - source->begin;
    z->next_in = (char *)source->buffer + source->begin;
    z->avail_in = (unsigned)had;
    z->next_out = (char *)out + done;
    z->avail_out = (unsigned)room;
    result = BZ2_bzDecompress (z);
    source->begin = source->end - z->avail_in;
    done += room - z->avail_out;
    if (result == BZ_STREAM_END) {
      BZ2_bzDecompressEnd (z);
      source->bzip2_open = FALSE;
      if (source->begin == source->end) {
        gssize got = fill (source, error);

        if (got < 0)
          return -1;
        source->finished = got == 0;
      }
      if (!source->finished && source->buffer[source->begin] != 'B')
        source->finished = TRUE; /* no other stream: padding */
    } else if (result != BZ_OK) {
      return fail (source, error, _ ("%s: the compressed data are damaged; copy the file again"));
    }
  }
  return (gssize)done;
}

/* --- text --------------------------------------------------------------------------------------------------------- */

static int
next_byte (TessNrrdSource *source, GError **error)
{
  if (source->begin == source->end) {
    gssize got = fill (source, error);

    if (got <= 0)
      return got < 0 ? -2 : -1;
  }
  return source->buffer[source->begin++];
}

static gboolean
is_separator (int c)
{
  return g_ascii_isspace ((char)c) || c == ',';
}

/* A number as text into one of the file's type. FALSE when it is none, or does not fit. */
static gboolean
store_number (TessDType dtype, const char *token, guint8 *out)
{
#define STORE(type, lo, hi, value)                                                                                     \
  {                                                                                                                    \
    type number = (type)(value);                                                                                       \
                                                                                                                       \
    memcpy (out, &number, sizeof number);                                                                              \
    return !*end && (value) >= (lo) && (value) <= (hi);                                                                \
  }
  char *end;
  double real;
  gint64 integer;

  if (dtype == TESS_DTYPE_F32 || dtype == TESS_DTYPE_F64) {
    real = g_ascii_strtod (token, &end);
    if (dtype == TESS_DTYPE_F32) {
      float single = (float)real;

      memcpy (out, &single, sizeof single);
    } else {
      memcpy (out, &real, sizeof real);
    }
    return end != token && !*end;
  }
  if (dtype == TESS_DTYPE_U64) {
    guint64 large;

    errno = 0;
    large = g_ascii_strtoull (token, &end, 10);
    memcpy (out, &large, sizeof large);
    return end != token && !*end && token[0] != '-' && errno != ERANGE;
  }
  errno = 0;
  integer = g_ascii_strtoll (token, &end, 10);
  if (end == token || errno == ERANGE)
    return FALSE;
  switch (dtype) {
  case TESS_DTYPE_U8:
    STORE (guint8, 0, G_MAXUINT8, integer)
  case TESS_DTYPE_I8:
    STORE (gint8, G_MININT8, G_MAXINT8, integer)
  case TESS_DTYPE_U16:
    STORE (guint16, 0, G_MAXUINT16, integer)
  case TESS_DTYPE_I16:
    STORE (gint16, G_MININT16, G_MAXINT16, integer)
  case TESS_DTYPE_U32:
    STORE (guint32, 0, G_MAXUINT32, integer)
  case TESS_DTYPE_I32:
    STORE (gint32, G_MININT32, G_MAXINT32, integer)
  default:
    STORE (gint64, G_MININT64, G_MAXINT64, integer)
  }
#undef STORE
}

static gssize
read_text (TessNrrdSource *source, guint8 *out, gsize n, GError **error)
{
  gsize size = tess_dtype_size (source->dtype), done = 0;

  while (done + size <= n) {
    char token[MAX_TOKEN + 1];
    guint length = 0;
    int c;

    do
      c = next_byte (source, error);
    while (c >= 0 && is_separator (c));
    for (; c >= 0 && !is_separator (c) && length < MAX_TOKEN; c = next_byte (source, error))
      token[length++] = (char)c;
    token[length] = '\0';
    if (c == -2)
      return -1;
    if (length == 0)
      break;
    if (!store_number (source->dtype, token, out + done)) {
      g_autofree char *name = g_filename_display_name (tess_stream_peek_path (source->stream));
      g_autofree char *shown = g_utf8_make_valid (token, -1);

      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"%s\" among its values is no %s; the file is damaged, copy or export it again"), name,
                   shown, tess_dtype_name (source->dtype));
      return -1;
    }
    done += size;
  }
  return (gssize)done;
}

static gssize
read_hex (TessNrrdSource *source, guint8 *out, gsize n, GError **error)
{
  for (gsize done = 0; done < n; done++) {
    int digits[2];

    for (int k = 0; k < 2; k++) {
      int c;

      do
        c = next_byte (source, error);
      while (c >= 0 && g_ascii_isspace ((char)c));
      if (c == -2)
        return -1;
      if (c < 0)
        return (gssize)done;
      digits[k] = g_ascii_xdigit_value ((char)c);
      if (digits[k] < 0)
        return fail (source, error,
                     _ ("%s: its values are not the hexadecimal digits its header promises; the file is damaged, copy "
                        "or export it again"));
    }
    out[done] = (guint8)(digits[0] << 4 | digits[1]);
  }
  return (gssize)n;
}

gssize
tess_nrrd_source_read (TessNrrdSource *source, guint8 *out, gsize n, GError **error)
{
  switch (source->encoding) {
  case TESS_NRRD_TEXT:
    return read_text (source, out, n, error);
  case TESS_NRRD_HEX:
    return read_hex (source, out, n, error);
  case TESS_NRRD_BZIP2:
    return read_bzip2 (source, out, n, error);
  case TESS_NRRD_RAW:
  case TESS_NRRD_GZIP:
    break;
  }
  return tess_stream_read (source->stream, out, n, error);
}
