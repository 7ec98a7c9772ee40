#include "tess-findings-csv.h"
#include "tess-atomic-file.h"
#include "tess-format-registry.h"
#include "tess-format.h"

#include <math.h>
#include <string.h>

#define MAX_RECORD ((gsize)64 << 10) /* bytes of a line, or of several where a quoted text goes over them */
#define MAX_COLUMNS 256
#define MAX_FINDINGS 4000000
#define MAX_SHOWN 40 /* characters of a wrong value, in a message */

/* --- text to fields ----------------------------------------------------------------------------------------------- */

typedef struct {
  TessStream *stream;
  const char *name; /* for messages */
  guint8 buffer[16 << 10];
  gsize at, n;
  guint line, first_line; /* where it is; where the record began; from 1 */
  char separator;
  GString *text;     /* the record's fields, each with a NUL behind it */
  GArray *starts;    /* of fields in text, gsize */
  GPtrArray *fields; /* of the record, valid UTF-8 without blanks around it */
} Reader;

static void
reader_clear (Reader *reader)
{
  g_clear_pointer (&reader->stream, tess_stream_free);
  g_string_free (reader->text, TRUE);
  g_array_unref (reader->starts);
  g_ptr_array_unref (reader->fields);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Reader, reader_clear)

/* Fills the buffer when it is used up; FALSE on failure. n is 0 at the end of the file. */
static gboolean
refill (Reader *reader, GError **error)
{
  gssize n;

  if (reader->at < reader->n)
    return TRUE;
  n = tess_stream_read (reader->stream, reader->buffer, sizeof reader->buffer, error);
  reader->at = 0;
  reader->n = n > 0 ? (gsize)n : 0;
  return n >= 0;
}

/* The next byte, -1 at the end of the file, -2 on failure. A line break of any system is one '\n'. */
static int
next_byte (Reader *reader, GError **error)
{
  int byte;

  if (!refill (reader, error))
    return -2;
  if (reader->n == 0)
    return -1;
  byte = reader->buffer[reader->at++];
  if (byte == '\0') {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: line %u is no text in UTF-8; save the table as CSV (UTF-8)"), reader->name, reader->line);
    return -2;
  }
  if (byte == '\r') {
    if (!refill (reader, error))
      return -2;
    if (reader->n > 0 && reader->buffer[reader->at] == '\n')
      reader->at++;
    byte = '\n';
  }
  reader->line += byte == '\n';
  return byte;
}

static gboolean
is_blank (const Reader *reader, int byte)
{
  return (byte == ' ' || byte == '\t') && byte != reader->separator;
}

/* What follows a quoted text's opening mark, with its closing one. Returns the byte after it and blanks. */
static int
read_quoted (Reader *reader, GError **error)
{
  guint line = reader->line;

  for (;;) {
    int byte = next_byte (reader, error);

    if (byte == -1) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: line %u: a text in quotation marks does not end; close it"), reader->name, line);
      return -2;
    }
    if (byte == -2)
      return -2;
    if (byte == '"') {
      byte = next_byte (reader, error);
      if (byte != '"') {
        while (is_blank (reader, byte))
          byte = next_byte (reader, error);
        if (byte == -1 || byte == -2 || byte == '\n' || byte == reader->separator)
          return byte;
        g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                     _ ("%s: line %u: text follows a closing quotation mark; double the marks "
                        "inside a text"),
                     reader->name, line);
        return -2;
      }
    }
    if (reader->text->len < MAX_RECORD) /* a longer one is refused when the field ends */
      g_string_append_c (reader->text, (char)byte);
    else
      return '\n';
  }
}

/* One field onto the text; returns the byte that ended it: a separator, '\n', -1, or -2 on failure. */
static int
read_field (Reader *reader, GError **error)
{
  gsize start = reader->text->len;
  int byte = next_byte (reader, error);

  g_array_append_val (reader->starts, start);
  while (is_blank (reader, byte))
    byte = next_byte (reader, error);
  if (byte == '"') {
    byte = read_quoted (reader, error);
  } else {
    while (byte >= 0 && byte != '\n' && byte != reader->separator && reader->text->len <= MAX_RECORD) {
      g_string_append_c (reader->text, (char)byte);
      byte = next_byte (reader, error);
    }
    while (reader->text->len > start && is_blank (reader, reader->text->str[reader->text->len - 1]))
      g_string_truncate (reader->text, reader->text->len - 1);
  }
  g_string_append_c (reader->text, '\0');
  if (byte != -2 && (reader->text->len > MAX_RECORD || reader->starts->len > MAX_COLUMNS)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: line %u is too long for a table of findings; give another file"), reader->name,
                 reader->first_line);
    return -2;
  }
  return byte;
}

/* The next line that is not blank: 1, 0 at the end of the file, -1 on failure. Separators alone are blank, too. */
static int
read_record (Reader *reader, GError **error)
{
  for (;;) {
    gboolean blank = TRUE;
    int byte;

    g_string_truncate (reader->text, 0);
    g_array_set_size (reader->starts, 0);
    g_ptr_array_set_size (reader->fields, 0);
    reader->first_line = reader->line;
    do
      byte = read_field (reader, error);
    while (byte == reader->separator);
    if (byte == -2)
      return -1;
    for (guint i = 0; i < reader->starts->len; i++) {
      char *field = g_utf8_make_valid (reader->text->str + g_array_index (reader->starts, gsize, i), -1);

      g_ptr_array_add (reader->fields, field);
      blank = blank && !*field;
    }
    if (!blank)
      return 1;
    if (byte == -1)
      return 0;
  }
}

/* Goes past a byte order mark, blank lines and the line "sep=;" that Excel writes; the first line then says what
 * stands between fields: semicolons, tabs or commas. */
static gboolean
find_separator (Reader *reader, GError **error)
{
  gboolean quoted = FALSE;
  const char *text;
  gsize n;

  if (!refill (reader, error))
    return FALSE;
  if (reader->n >= 3 && memcmp (reader->buffer, "\xef\xbb\xbf", 3) == 0)
    reader->at = 3;
  while (reader->at < reader->n && strchr ("\r\n", reader->buffer[reader->at]) && reader->buffer[reader->at]) {
    if (next_byte (reader, error) == -2)
      return FALSE;
  }
  text = (const char *)reader->buffer + reader->at;
  n = reader->n - reader->at;
  if (n >= 6 && g_ascii_strncasecmp (text, "sep=", 4) == 0 && strchr (";,\t|", text[4]) && text[4] &&
      strchr ("\r\n", text[5]) && text[5]) {
    reader->separator = text[4];
    reader->at += 5;
    return next_byte (reader, error) == '\n';
  }
  reader->separator = ',';
  for (gsize i = 0; i < n && (quoted || (text[i] != '\n' && text[i] != '\r')); i++) {
    quoted ^= text[i] == '"';
    if (!quoted && (text[i] == ';' || (text[i] == '\t' && reader->separator == ',')))
      reader->separator = text[i];
  }
  return TRUE;
}

/* --- fields to findings ------------------------------------------------------------------------------------------- */

typedef enum {
  COLUMN_X,
  COLUMN_Y,
  COLUMN_Z,
  COLUMN_DIAMETER,
  COLUMN_SCAN,
  N_KNOWN,
  COLUMN_TEXT = N_KNOWN,
  COLUMN_IGNORED, /* without a name */
} Column;

/* LUNA16's names first; SeriesInstanceUID is DICOM's. */
static const char *const known_names[N_KNOWN][2] = {
    [COLUMN_X] = {"coordX"},
    [COLUMN_Y] = {"coordY"},
    [COLUMN_Z] = {"coordZ"},
    [COLUMN_DIAMETER] = {"diameter_mm", "diameter"},
    [COLUMN_SCAN] = {"seriesuid", "SeriesInstanceUID"},
};

typedef struct {
  Column roles[MAX_COLUMNS];
  char *names[MAX_COLUMNS];
  guint n;
} Columns;

static void
columns_clear (Columns *columns)
{
  for (guint i = 0; i < columns->n; i++)
    g_free (columns->names[i]);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Columns, columns_clear)

static Column
column_of_name (const char *name)
{
  if (!*name)
    return COLUMN_IGNORED;
  for (guint role = 0; role < N_KNOWN; role++)
    for (guint i = 0; i < 2; i++)
      if (known_names[role][i] && g_ascii_strcasecmp (name, known_names[role][i]) == 0)
        return (Column)role;
  return COLUMN_TEXT;
}

/* What the columns hold, by the names in the first line. */
static gboolean
read_columns (Reader *reader, Columns *columns, GError **error)
{
  gboolean known[N_KNOWN] = {FALSE};
  int got = read_record (reader, error);

  if (got < 0)
    return FALSE;
  for (guint i = 0; got > 0 && i < reader->fields->len; i++) {
    const char *name = g_ptr_array_index (reader->fields, i);
    Column role = column_of_name (name);

    if (role < N_KNOWN && known[role]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: line %u names two columns %s; rename one of them"),
                   reader->name, reader->first_line, known_names[role][0]);
      return FALSE;
    }
    if (role < N_KNOWN)
      known[role] = TRUE;
    columns->roles[columns->n] = role;
    columns->names[columns->n++] = g_strdup (name);
  }
  for (guint role = COLUMN_X; role <= COLUMN_Z; role++)
    if (!known[role]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: line %u names no column %s; a table of findings begins with the names "
                      "seriesuid, coordX, coordY, coordZ and diameter_mm"),
                   reader->name, reader->first_line, known_names[role][0]);
      return FALSE;
    }
  return TRUE;
}

/* Decimal commas only where commas do not stand between fields. */
static gboolean
parse_number (const Reader *reader, const char *text, double *value)
{
  g_autofree char *copy = NULL;
  char *comma, *end;

  if (!*text || strspn (text, "0123456789+-.,eE") != strlen (text))
    return FALSE;
  copy = g_strdup (text);
  comma = strchr (copy, ',');
  if (comma && (reader->separator == ',' || strchr (copy, '.') || strchr (comma + 1, ',')))
    return FALSE;
  if (comma)
    *comma = '.';
  *value = g_ascii_strtod (copy, &end);
  return !*end && isfinite (*value);
}

static gboolean
read_number (const Reader *reader, const Columns *columns, guint i, double *value, GError **error)
{
  const char *text = g_ptr_array_index (reader->fields, i);
  g_autofree char *shown = NULL;

  if (columns->roles[i] == COLUMN_DIAMETER && !*text)
    return TRUE; /* not known */
  if (parse_number (reader, text, value))
    return TRUE;
  shown = g_utf8_strlen (text, -1) > MAX_SHOWN ? g_utf8_substring (text, 0, MAX_SHOWN) : g_strdup (text);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: line %u: \"%s\" in column %s is not a number; correct it"),
               reader->name, reader->first_line, g_strdelimit (shown, "\n", ' '), columns->names[i]);
  return FALSE;
}

/* A line's finding. LUNA16's tables have a diameter of -1 where it is not known. */
static gboolean
read_finding (const Reader *reader, const Columns *columns, const char **texts, TessFindings *findings, GError **error)
{
  double number[COLUMN_DIAMETER + 1] = {[COLUMN_DIAMETER] = NAN};
  const char *scan = "";
  guint n = reader->fields->len, n_texts = 0;

  while (n > columns->n && !*(const char *)g_ptr_array_index (reader->fields, n - 1))
    n--; /* Excel ends lines with separators */
  if (n != columns->n) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: line %u has %u fields, but the first line names %u columns; correct it"), reader->name,
                 reader->first_line, n, columns->n);
    return FALSE;
  }
  for (guint i = 0; i < n; i++) {
    const char *text = g_ptr_array_index (reader->fields, i);
    Column role = columns->roles[i];

    if (role <= COLUMN_DIAMETER && !read_number (reader, columns, i, &number[role], error))
      return FALSE;
    if (role == COLUMN_SCAN)
      scan = text;
    else if (role == COLUMN_TEXT)
      texts[n_texts++] = text;
  }
  if (!(number[COLUMN_DIAMETER] > 0.0))
    number[COLUMN_DIAMETER] = NAN;
  tess_findings_add (findings, scan, (double[3]){0.0 - number[COLUMN_X], 0.0 - number[COLUMN_Y], number[COLUMN_Z]},
                     number[COLUMN_DIAMETER], texts);
  return TRUE;
}

/**
 * tess_findings_csv_load:
 *
 * Columns in any order, named in any case; coordX, coordY and coordZ must be there (mm, LPS as ITK and DICOM have them;
 * turned into RAS), seriesuid and diameter_mm may be missing, others are kept as texts. Between fields stand commas,
 * semicolons (then numbers may have decimal commas, as Excel writes them in many countries) or tabs; texts may be in
 * quotation marks (RFC 4180), also over several lines. A file packed by gzip is unpacked.
 *
 * Errors: IO, FORMAT with the number of the line.
 */
TessFindings *
tess_findings_csv_load (const char *path, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autoptr (TessFindings) findings = NULL;
  g_auto (Columns) columns = {.n = 0};
  g_auto (Reader) reader = {.name = name,
                            .line = 1,
                            .text = g_string_new (NULL),
                            .starts = g_array_new (FALSE, FALSE, sizeof (gsize)),
                            .fields = g_ptr_array_new_with_free_func (g_free)};
  const char *texts[MAX_COLUMNS + 1] = {NULL};
  guint n_texts = 0;
  int got;

  reader.stream = tess_stream_open (path, error);
  if (!reader.stream || !find_separator (&reader, error) || !read_columns (&reader, &columns, error))
    return NULL;
  for (guint i = 0; i < columns.n; i++)
    if (columns.roles[i] == COLUMN_TEXT)
      texts[n_texts++] = columns.names[i];
  findings = tess_findings_new (texts);
  while ((got = read_record (&reader, error)) > 0) {
    if (tess_findings_n (findings) == MAX_FINDINGS) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                   _ ("%s: it holds more than %d findings; split it into several files"), name, MAX_FINDINGS);
      return NULL;
    }
    if (!read_finding (&reader, &columns, texts, findings, error))
      return NULL;
  }
  return got < 0 ? NULL : g_steal_pointer (&findings);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
append_text (GString *line, const char *text)
{
  gboolean quote = strpbrk (text, ",;\t\"\r\n") || *text == ' ' || (*text && text[strlen (text) - 1] == ' ');

  if (quote)
    g_string_append_c (line, '"');
  for (; *text; text++) {
    if (*text == '"')
      g_string_append_c (line, '"');
    g_string_append_c (line, *text);
  }
  if (quote)
    g_string_append_c (line, '"');
}

static void
append_finding (GString *line, const TessFinding *finding)
{
  append_text (line, finding->scan);
  for (int k = 0; k < 3; k++) {
    g_autofree char *number = tess_format_exact (k < 2 ? 0.0 - finding->world[k] : finding->world[k]);

    g_string_append_printf (line, ",%s", number);
  }
  if (isfinite (finding->diameter)) {
    g_autofree char *number = tess_format_exact (finding->diameter);

    g_string_append_printf (line, ",%s", number);
  } else {
    g_string_append (line, ",-1");
  }
  for (const char **text = finding->texts; *text; text++) {
    g_string_append_c (line, ',');
    append_text (line, *text);
  }
  g_string_append_c (line, '\n');
}

/**
 * tess_findings_csv_save:
 *
 * LUNA16's columns, then the list's own; whole or not at all. Numbers read back as the same. A diameter that is not
 * known is -1, as in LUNA16's own tables.
 */
gboolean
tess_findings_csv_save (TessFindings *findings, const char *path, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);
  GString *line;
  gboolean done;

  if (!file)
    return FALSE;
  line = g_string_new ("seriesuid,coordX,coordY,coordZ,diameter_mm");
  for (const char *const *column = tess_findings_columns (findings); *column; column++) {
    g_string_append_c (line, ',');
    append_text (line, *column);
  }
  g_string_append_c (line, '\n');
  done = tess_atomic_file_write (file, line->str, line->len, error);
  for (guint i = 0; done && i < tess_findings_n (findings); i++) {
    g_string_truncate (line, 0);
    append_finding (line, tess_findings_peek (findings, i));
    done = tess_atomic_file_write (file, line->str, line->len, error);
  }
  g_string_free (line, TRUE);
  return done && tess_atomic_file_commit (file, error);
}

TessFindings *
tess_findings_of_scan (TessFindings *findings, TessVolume *volume, const char *location)
{
  const char *cut = g_file_test (location, G_FILE_TEST_EXISTS) ? NULL : strstr (location, "::");
  g_autofree char *path = cut ? g_strndup (location, (gsize)(cut - location)) : g_strdup (location);
  g_autofree char *stem = tess_volume_stem (path);
  const char *names[] = {stem, tess_volume_peek_series_uid (volume), NULL}; /* the second may be NULL and end it */

  return tess_findings_select (findings, names);
}
