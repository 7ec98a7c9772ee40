#include "tess-nrrd-header.h"

#include <string.h>

/* The format: "Definition of NRRD File Format", teem.sourceforge.net/nrrd/format.html. */

#define MAX_HEADER ((gsize)4 << 20)

static const struct {
  const char *name, *other; /* other spelling; both without regard to case */
} fields[] = {
    {"type"},
    {"dimension"},
    {"encoding"},
    {"endian"},
    {"data file", "datafile"},
    {"line skip", "lineskip"},
    {"byte skip", "byteskip"},
    {"sizes"},
    {"spacings"},
    {"thicknesses"},
    {"axis mins", "axismins"},
    {"axis maxs", "axismaxs"},
    {"centers", "centerings"},
    {"labels"},
    {"units"},
    {"kinds"},
    {"space"},
    {"space dimension"},
    {"space units"},
    {"space origin"},
    {"space directions"},
    {"measurement frame"},
    {"content"},
    {"number"},
    {"sample units", "sampleunits"},
    {"block size", "blocksize"},
    {"min"},
    {"max"},
    {"old min", "oldmin"},
    {"old max", "oldmax"},
};

void
tess_nrrd_line_free (TessNrrdLine *line)
{
  g_free (line->name);
  g_free (line->value);
  g_free (line);
}

void
tess_nrrd_header_clear (TessNrrdHeader *header)
{
  g_clear_pointer (&header->lines, g_ptr_array_unref);
  for (guint i = 0; i < TESS_NRRD_MAX_AXES; i++)
    g_clear_pointer (&header->axis[i].kind, g_free);
  g_clear_pointer (&header->data_file, g_free);
}

const char *
tess_nrrd_header_field (const TessNrrdHeader *header, const char *name)
{
  for (guint i = 0; i < header->lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (header->lines, i);

    if (line->kind == TESS_NRRD_FIELD && strcmp (line->name, name) == 0)
      return line->value;
  }
  return NULL;
}

/* "FILE: its header ...; ..." */
gboolean
tess_nrrd_fail (GError **error, const char *path, TessError code, const char *format, ...)
{
  g_autofree char *name = g_filename_display_name (path), *text = NULL, *valid = NULL;
  va_list arguments;

  va_start (arguments, format);
  text = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  valid = g_utf8_make_valid (text, -1);
  g_set_error (error, TESS_ERROR, (int)code, "%s: %s", name, valid);
  return FALSE;
}

/* --- the lines ---------------------------------------------------------------------------------------------------- */

static const char *
known_field (const char *name, gsize n)
{
  for (guint i = 0; i < G_N_ELEMENTS (fields); i++)
    if ((strlen (fields[i].name) == n && g_ascii_strncasecmp (name, fields[i].name, n) == 0) ||
        (fields[i].other && strlen (fields[i].other) == n && g_ascii_strncasecmp (name, fields[i].other, n) == 0))
      return fields[i].name;
  return NULL;
}

/* A pair is "key:=value", where the key may hold a colon; a field is "name: value". */
static TessNrrdLine *
parse_line (const char *text)
{
  const char *colon = strchr (text, ':'), *pair = strstr (text, ":=");
  const char *field = colon && colon[1] != '=' ? known_field (text, (gsize)(colon - text)) : NULL;
  TessNrrdLine *line;

  if (!colon || colon == text || (!field && pair == text))
    return NULL;
  line = g_new0 (TessNrrdLine, 1);
  if (!field && pair) {
    line->kind = TESS_NRRD_PAIR;
    line->name = g_strndup (text, (gsize)(pair - text));
    line->value = g_strdup (pair + 2);
  } else {
    line->kind = TESS_NRRD_FIELD;
    line->name = field ? g_strdup (field) : g_strndup (text, (gsize)(colon - text));
    line->value = g_strstrip (g_strdup (colon + 1));
  }
  return line;
}

/* All lines up to the empty one or the end. `next`: first byte after the line; FALSE when there is none. */
static gboolean
next_line (const char *text, gsize n, gsize *at, char **line)
{
  const char *end = memchr (text + *at, '\n', n - *at);
  gsize length;

  if (*at >= n)
    return FALSE;
  length = end ? (gsize)(end - text) - *at : n - *at;
  *line = g_strndup (text + *at, length);
  *at += length + (end ? 1 : 0);
  length = strlen (*line); /* a NUL ends it, too */
  if (length > 0 && (*line)[length - 1] == '\r')
    (*line)[length - 1] = '\0';
  return TRUE;
}

static gboolean
parse_lines (TessNrrdHeader *header, const char *text, gsize n, const char *path, GError **error)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal); /* names belong to the lines */
  gsize at = 0;
  guint number = 1;
  char *next = NULL;

  if (n < 9 || strncmp (text, "NRRD000", 7) != 0 || text[7] < '1' || text[7] > '9' ||
      (text[8] != '\n' && text[8] != '\r'))
    return tess_nrrd_fail (
        error, path, TESS_ERROR_FORMAT,
        _ ("this is not an NRRD file (it does not start with NRRD000); give one, or correct its ending"));
  header->version = text[7] - '0';
  header->lines = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_nrrd_line_free);
  next_line (text, n, &at, &next);
  g_free (next);
  while (next_line (text, n, &at, &next)) {
    g_autofree char *content = next;
    TessNrrdLine *line;

    number++;
    if (content[0] == '\0')
      break;
    if (content[0] == '#')
      continue;
    line = parse_line (content);
    if (!line)
      return tess_nrrd_fail (
          error, path, TESS_ERROR_FORMAT,
          _ ("line %u of its header is neither a field nor a pair of key and value; the file is damaged, copy "
             "or export it again"),
          number);
    g_ptr_array_add (header->lines, line);
    if (line->kind == TESS_NRRD_FIELD && !g_hash_table_add (seen, line->name))
      return tess_nrrd_fail (error, path, TESS_ERROR_FORMAT,
                             _ ("its header gives the field \"%s\" twice; correct the header with a text editor"),
                             line->name);
  }
  header->length = at;
  return TRUE;
}

/**
 * tess_nrrd_header_parse:
 * @text: starts with the file's first byte; more than the header may follow
 *
 * Errors: FORMAT, UNSUPPORTED.
 */
gboolean
tess_nrrd_header_parse (TessNrrdHeader *header, const char *text, gsize n, const char *path, GError **error)
{
  memset (header, 0, sizeof *header);
  return parse_lines (header, text, n, path, error) && tess_nrrd_parse_fields (header, path, error);
}

/* Offset after the empty line that ends a header; 0 when there is none in the text from @first on. */
static gsize
header_end (const char *text, gsize first, gsize n)
{
  for (gsize i = MAX (first, 1); i < n; i++)
    if (text[i] == '\n' && (text[i - 1] == '\n' || (i > 1 && text[i - 1] == '\r' && text[i - 2] == '\n')))
      return i + 1;
  return 0;
}

/* Only the header of another file may end without an empty line. */
static gboolean
names_data_file (const char *text, gsize n)
{
  gsize at = 0;
  char *next = NULL;
  gboolean found = FALSE;

  while (!found && next_line (text, n, &at, &next)) {
    found = g_ascii_strncasecmp (next, "data file:", 10) == 0 || g_ascii_strncasecmp (next, "datafile:", 9) == 0;
    g_free (next);
  }
  return found;
}

gboolean
tess_nrrd_header_read (TessNrrdHeader *header, const char *path, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, MAX_HEADER, TESS_PACKING_NONE, error);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gsize end = 0;

  memset (header, 0, sizeof *header);
  if (!stream)
    return FALSE;
  while (end == 0) {
    gsize had = bytes->len;
    gssize got;

    g_byte_array_set_size (bytes, (guint)(had + 16384));
    got = tess_stream_read (stream, bytes->data + had, 16384, error);
    if (got < 0)
      return FALSE;
    g_byte_array_set_size (bytes, (guint)(had + (gsize)got));
    if (had == 0 && (bytes->len < 7 || memcmp (bytes->data, "NRRD000", 7) != 0))
      break; /* said below */
    end = header_end ((const char *)bytes->data, had, bytes->len);
    if (got < 16384)
      break;
    if (bytes->len >= MAX_HEADER && end == 0)
      return tess_nrrd_fail (error, path, TESS_ERROR_FORMAT,
                             _ ("its header does not end; the file is damaged, copy it again"));
  }
  if (end == 0 && bytes->len >= 7 && memcmp (bytes->data, "NRRD000", 7) == 0 &&
      !names_data_file ((const char *)bytes->data, bytes->len))
    return tess_nrrd_fail (error, path, TESS_ERROR_FORMAT,
                           _ ("the file ends within its header; it is incomplete, copy it again"));
  return tess_nrrd_header_parse (header, (const char *)bytes->data, end ? end : bytes->len, path, error);
}

GBytes *
tess_nrrd_header_to_bytes (const TessNrrdHeader *header)
{
  GString *text = g_string_new (NULL);
  gsize n;

  g_string_printf (text, "NRRD000%d\n", header->version);
  for (guint i = 0; i < header->lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (header->lines, i);

    g_string_append_printf (text, "%s%s%s\n", line->name, line->kind == TESS_NRRD_PAIR ? ":=" : ": ", line->value);
  }
  g_string_append_c (text, '\n');
  n = text->len;
  return g_bytes_new_take (g_string_free (text, FALSE), n);
}
