/* The operations of protocol 0 whose argument is a line of text. */

#include "tess-pickle-private.h"
#include "tess-pickle-reader.h"

#include <string.h>

/* A line without a zero byte inside, as a string of its own. */
static char *
take_string (TessPickleReader *r)
{
  const char *line = NULL;
  gsize n = 0;

  if (!tess_pickle_take_line (r, &line, &n))
    return NULL;
  if (n > 1000 || memchr (line, '\0', n)) {
    tess_pickle_damaged (r);
    return NULL;
  }
  return g_strndup (line, n);
}

/* INT (with the booleans "00" and "01") and LONG (with an L behind it). */
static gboolean
push_int_line (TessPickleReader *r, gboolean with_l)
{
  g_autofree char *line = take_string (r);
  g_autoptr (GError) wrong = NULL;
  TessPickleValue *value;
  gint64 integer;

  if (!line)
    return FALSE;
  if (!with_l && (strcmp (line, "00") == 0 || strcmp (line, "01") == 0)) {
    value = tess_pickle_new_value (r, TESS_PICKLE_BOOL);
    if (value)
      value->boolean = line[1] == '1';
    return tess_pickle_push (r, value);
  }
  if (with_l && g_str_has_suffix (line, "L"))
    line[strlen (line) - 1] = '\0';
  if (g_ascii_string_to_signed (line, 10, G_MININT64, G_MAXINT64, &integer, &wrong))
    return tess_pickle_push_int (r, integer);
  if (g_error_matches (wrong, G_NUMBER_PARSER_ERROR, G_NUMBER_PARSER_ERROR_OUT_OF_BOUNDS))
    return tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                             _ ("%s: its pickle holds a whole number of more than 64 bits as text; save it again by "
                                "protocol 2 or later"));
  return tess_pickle_damaged (r);
}

static gboolean
push_float_line (TessPickleReader *r)
{
  g_autofree char *line = take_string (r);
  TessPickleValue *value;
  char *end;
  double real;

  if (!line)
    return FALSE;
  real = g_ascii_strtod (line, &end);
  if (end == line || *end)
    return tess_pickle_damaged (r);
  value = tess_pickle_new_value (r, TESS_PICKLE_FLOAT);
  if (value)
    value->real = real;
  return tess_pickle_push (r, value);
}

/* Up to `most` digits of base 8 or 16; returns how many. */
static gsize
digits (const char *text, gsize n, gsize most, guint base, guint32 *value)
{
  gsize k = 0;

  *value = 0;
  for (; k < n && k < most; k++) {
    int digit = g_ascii_xdigit_value (text[k]);

    if (digit < 0 || (guint)digit >= base)
      break;
    *value = *value * base + (guint32)digit;
  }
  return k;
}

/* What stands after a backslash in Python's 'text'. Returns the characters used, 0 when it is none we know. */
static gsize
unescape (const char *text, gsize n, guint8 *out)
{
  static const char names[] = "\\'\"abfnrtv", bytes[] = "\\'\"\a\b\f\n\r\t\v";
  const char *found = n && *text ? strchr (names, *text) : NULL;
  guint32 value;
  gsize used;

  if (found) {
    *out = (guint8)bytes[found - names];
    return 1;
  }
  if (n >= 3 && *text == 'x' && digits (text + 1, 2, 2, 16, &value) == 2) {
    *out = (guint8)value;
    return 3;
  }
  used = digits (text, n, 3, 8, &value);
  *out = (guint8)value;
  return used;
}

/* STRING: Python 2's str in quotes. */
static gboolean
push_string_line (TessPickleReader *r)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  const char *line = NULL;
  gsize n = 0;

  if (!tess_pickle_take_line (r, &line, &n))
    return FALSE;
  if (n < 2 || (line[0] != '\'' && line[0] != '"') || line[n - 1] != line[0])
    return tess_pickle_damaged (r);
  for (gsize i = 1; i < n - 1;) {
    guint8 byte = (guint8)line[i++];

    if (byte == '\\') {
      gsize used = unescape (line + i, n - 1 - i, &byte);

      if (used == 0)
        return tess_pickle_damaged (r);
      i += used;
    }
    g_byte_array_append (out, &byte, 1);
  }
  return tess_pickle_push_own (r, TESS_PICKLE_BYTES, g_steal_pointer (&out));
}

/* UNICODE: Latin-1 with \uXXXX and \UXXXXXXXX. */
static gboolean
push_unicode_line (TessPickleReader *r)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  const char *line = NULL;
  gsize n = 0;

  if (!tess_pickle_take_line (r, &line, &n))
    return FALSE;
  for (gsize i = 0; i < n;) {
    guint32 letter = (guint8)line[i++];
    gsize most = i < n && line[i] == 'u' ? 4 : i < n && line[i] == 'U' ? 8 : 0;
    char bytes[6];

    if (letter == '\\' && most > 0) {
      if (digits (line + i + 1, n - i - 1, most, 16, &letter) != most)
        return tess_pickle_damaged (r);
      i += most + 1;
    }
    if (!g_unichar_validate (letter))
      return tess_pickle_damaged (r);
    g_byte_array_append (out, (const guint8 *)bytes, (guint)g_unichar_to_utf8 (letter, bytes));
  }
  return tess_pickle_push_own (r, TESS_PICKLE_STRING, g_steal_pointer (&out));
}

static gboolean
with_memo_line (TessPickleReader *r, gboolean (*act) (TessPickleReader *, guint64))
{
  g_autofree char *line = take_string (r);
  guint64 number;

  if (!line)
    return FALSE;
  return g_ascii_string_to_unsigned (line, 10, 0, G_MAXUINT32, &number, NULL) ? act (r, number)
                                                                              : tess_pickle_damaged (r);
}

gboolean
tess_pickle_step_text (TessPickleReader *r, guint8 opcode)
{
  switch (opcode) {
  case 'I': /* INT */
  case 'L': /* LONG */
    return push_int_line (r, opcode == 'L');
  case 'F': /* FLOAT */
    return push_float_line (r);
  case 'S': /* STRING */
    return push_string_line (r);
  case 'V': /* UNICODE */
    return push_unicode_line (r);
  case 'p': /* PUT */
    return with_memo_line (r, tess_pickle_remember);
  case 'g': /* GET */
    return with_memo_line (r, tess_pickle_recall);
  default:
    g_return_val_if_reached (FALSE);
  }
}
