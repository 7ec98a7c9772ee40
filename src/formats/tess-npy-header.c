#include "tess-npy-header.h"

#include <string.h>

#define MAX_HEADER 65536

/* A stretch of text that is read from its front. */
typedef struct {
  const char *at, *end;
} Text;

static void
skip_blanks (Text *text)
{
  while (text->at < text->end && (*text->at == ' ' || *text->at == '\n' || *text->at == '\t' || *text->at == '\r'))
    text->at++;
}

static gboolean
take (Text *text, char letter)
{
  skip_blanks (text);
  if (text->at == text->end || *text->at != letter)
    return FALSE;
  text->at++;
  return TRUE;
}

static gboolean
take_word (Text *text, const char *word)
{
  gsize n = strlen (word);

  skip_blanks (text);
  if ((gsize)(text->end - text->at) < n || memcmp (text->at, word, n) != 0)
    return FALSE;
  text->at += n;
  return TRUE;
}

/* 'text' or "text", without escapes: no name or type has any. */
static gboolean
take_quoted (Text *text, char *out, gsize room)
{
  const char *end;
  char quote;

  skip_blanks (text);
  if (text->at == text->end || (*text->at != '\'' && *text->at != '"'))
    return FALSE;
  quote = *text->at++;
  end = memchr (text->at, quote, (gsize)(text->end - text->at));
  if (!end || (gsize)(end - text->at) >= room || memchr (text->at, '\\', (gsize)(end - text->at)) ||
      memchr (text->at, '\0', (gsize)(end - text->at)))
    return FALSE;
  memcpy (out, text->at, (gsize)(end - text->at));
  out[end - text->at] = '\0';
  text->at = end + 1;
  return TRUE;
}

/* Not below zero; with the L of Python 2. */
static gboolean
take_length (Text *text, gint64 *value)
{
  const char *begin;

  skip_blanks (text);
  begin = text->at;
  *value = 0;
  for (; text->at < text->end && g_ascii_isdigit (*text->at); text->at++)
    if (__builtin_mul_overflow (*value, 10, value) || __builtin_add_overflow (*value, *text->at - '0', value))
      return FALSE;
  if (text->at == begin)
    return FALSE;
  if (text->at < text->end && *text->at == 'L')
    text->at++;
  return TRUE;
}

static gboolean
take_shape (Text *text, TessNpyHeader *header)
{
  gboolean comma = TRUE;

  header->n_axes = 0;
  if (!take (text, '('))
    return FALSE;
  while (!take (text, ')')) {
    if (!comma || header->n_axes == TESS_NPY_MAX_AXES || !take_length (text, &header->shape[header->n_axes]))
      return FALSE;
    header->n_axes++;
    comma = take (text, ',');
  }
  return header->n_axes != 1 || comma; /* (3) is a number, (3,) a tuple */
}

static void
set_type (TessNpyHeader *header)
{
  static const struct {
    const char *name;
    TessDType dtype;
  } types[] = {
      {"b1", TESS_DTYPE_U8},  {"u1", TESS_DTYPE_U8},  {"i1", TESS_DTYPE_I8},  {"u2", TESS_DTYPE_U16},
      {"i2", TESS_DTYPE_I16}, {"u4", TESS_DTYPE_U32}, {"i4", TESS_DTYPE_I32}, {"u8", TESS_DTYPE_U64},
      {"i8", TESS_DTYPE_I64}, {"f2", TESS_DTYPE_F16}, {"f4", TESS_DTYPE_F32}, {"f8", TESS_DTYPE_F64},
  };
  const char *name = header->descr;
  char order = '=';

  if (*name && strchr ("<>=|", *name))
    order = *name++;
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (strcmp (name, types[i].name) == 0) {
      header->numeric = TRUE;
      header->dtype = types[i].dtype;
      header->swapped = order == (G_BYTE_ORDER == G_LITTLE_ENDIAN ? '>' : '<') && tess_dtype_size (types[i].dtype) > 1;
    }
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } with its three keys in any order. Where the type is none
 * of ours, reading ends there: what follows is not needed. */
static gboolean
parse (TessNpyHeader *header, Text text)
{
  gboolean seen[3] = {FALSE, FALSE, FALSE}, comma = TRUE;
  char key[16];

  if (!take (&text, '{'))
    return FALSE;
  while (!take (&text, '}')) {
    gboolean *was, good;

    if (!comma || !take_quoted (&text, key, sizeof key) || !take (&text, ':'))
      return FALSE;
    if (strcmp (key, "descr") == 0) {
      was = &seen[0];
      skip_blanks (&text);
      if (text.at < text.end && (*text.at == '[' || *text.at == '(')) {
        g_strlcpy (header->descr, "structured", sizeof header->descr);
        return TRUE;
      }
      good = take_quoted (&text, header->descr, sizeof header->descr);
      if (good)
        set_type (header);
    } else if (strcmp (key, "fortran_order") == 0) {
      was = &seen[1];
      header->fortran = take_word (&text, "True");
      good = header->fortran || take_word (&text, "False");
    } else {
      was = &seen[2];
      good = strcmp (key, "shape") == 0 && take_shape (&text, header);
    }
    if (!good || *was)
      return FALSE;
    *was = TRUE;
    comma = take (&text, ',');
  }
  skip_blanks (&text);
  return text.at == text.end && seen[0] && seen[1] && seen[2];
}

static gboolean
fail (const char *origin, TessError code, const char *format, GError **error)
{
  g_autofree char *name = g_filename_display_name (origin);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

/**
 * tess_npy_header_read:
 *
 * Versions 1 to 3 of NumPy's format (numpy.lib.format). The header is a Python literal; it is read as exactly that
 * dictionary and nothing else.
 *
 * Errors: FORMAT, UNSUPPORTED (a later version).
 */
gboolean
tess_npy_header_read (TessNpyHeader *header, TessStream *stream, const char *origin, GError **error)
{
  g_autofree char *text = NULL;
  guint8 start[12];
  guint32 n;

  memset (header, 0, sizeof *header);
  if (!tess_stream_read_exact (stream, start, 10, error))
    return FALSE;
  if (memcmp (start, "\x93NUMPY", 6) != 0)
    return fail (origin, TESS_ERROR_FORMAT, _ ("%s: this is no NumPy array; give an .npy file, or copy it again"),
                 error);
  if (start[6] < 1 || start[6] > 3)
    return fail (origin, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this array is of a later version of NumPy's format; save it again by an older NumPy"), error);
  n = start[8] | (guint32)start[9] << 8;
  header->size = 10;
  if (start[6] > 1) {
    if (!tess_stream_read_exact (stream, start + 10, 2, error))
      return FALSE;
    n |= (guint32)start[10] << 16 | (guint32)start[11] << 24;
    header->size = 12;
  }
  if (n <= MAX_HEADER) {
    text = g_malloc (n + 1);
    if (!tess_stream_read_exact (stream, text, n, error))
      return FALSE;
  }
  header->size += n;
  if (!text || !parse (header, (Text){text, text + n}))
    return fail (origin, TESS_ERROR_FORMAT, _ ("%s: the header of this array is damaged; copy the file again"), error);
  return TRUE;
}

/* As NumPy writes it: version 1, padded so that the numbers start at a multiple of 64 bytes. */
GByteArray *
tess_npy_header_serialise (TessDType dtype, const gint64 *shape, guint n_axes)
{
  static const char *const types[TESS_N_DTYPES] = {
      [TESS_DTYPE_U8] = "u1",  [TESS_DTYPE_I8] = "i1",  [TESS_DTYPE_U16] = "u2", [TESS_DTYPE_I16] = "i2",
      [TESS_DTYPE_U32] = "u4", [TESS_DTYPE_I32] = "i4", [TESS_DTYPE_U64] = "u8", [TESS_DTYPE_I64] = "i8",
      [TESS_DTYPE_F16] = "f2", [TESS_DTYPE_F32] = "f4", [TESS_DTYPE_F64] = "f8",
  };
  g_autoptr (GString) text = g_string_new (NULL);
  GByteArray *out = g_byte_array_new ();
  guint8 start[10] = "\x93NUMPY\x01";

  g_return_val_if_fail (types[dtype], out);
  g_string_append_printf (text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                          tess_dtype_size (dtype) == 1      ? '|'
                          : G_BYTE_ORDER == G_LITTLE_ENDIAN ? '<'
                                                            : '>',
                          types[dtype]);
  for (guint i = 0; i < n_axes; i++)
    g_string_append_printf (text, "%s%" G_GINT64_FORMAT "%s", i ? ", " : "", shape[i], n_axes == 1 ? "," : "");
  g_string_append (text, "), }");
  while ((sizeof start + text->len + 1) % 64)
    g_string_append_c (text, ' ');
  g_string_append_c (text, '\n');
  start[8] = (guint8)text->len;
  start[9] = (guint8)(text->len >> 8);
  g_byte_array_append (out, start, sizeof start);
  g_byte_array_append (out, (const guint8 *)text->str, (guint)text->len);
  return out;
}

gboolean
tess_npy_header_is (const TessNpyHeader *header, guint n_axes, gint64 length)
{
  gboolean same = header->numeric && header->n_axes == n_axes;

  for (guint i = 0; same && i < n_axes; i++)
    same = header->shape[i] == length;
  return same;
}
