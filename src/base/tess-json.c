#include "tess-json.h"
#include "tess-atomic-file.h"
#include "tess-stream.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_SIZE ((gsize)64 << 20)
#define MAX_DEPTH 100

static void set_error (GError **error, const char *origin, const char *format, ...) G_GNUC_PRINTF (3, 4);

static void
set_error (GError **error, const char *origin, const char *format, ...)
{
  g_autofree char *name = g_filename_display_name (origin), *text = NULL;
  va_list args;

  va_start (args, format);
  text = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, "%s: %s", name, text);
}

/* Deepest nesting of brackets outside strings. The parser recurses, so this is looked at before it runs. It also takes
 * comments and texts in single quotes, in which a bracket or quote would not be what it is here: what cannot stand
 * outside a string in JSON is refused. *stray: the first such character, or 0. */
static guint
nesting (const char *text, gsize n, char *stray)
{
  guint depth = 0, deepest = 0;
  gboolean in_string = FALSE;

  *stray = '\0';
  for (gsize i = 0; i < n && !*stray; i++) {
    char c = text[i];

    if (in_string) {
      if (c == '\\')
        i++;
      else if (c == '"')
        in_string = FALSE;
    } else if (c == '"')
      in_string = TRUE;
    else if (c == '[' || c == '{') {
      depth++;
      deepest = MAX (deepest, depth);
    } else if (c == ']' || c == '}')
      depth -= depth > 0;
    else if (!g_ascii_isalnum (c) && !strchr (" \t\r\n,:+-.", c))
      *stray = c;
  }
  return deepest;
}

/**
 * tess_json_parse:
 * @text: @n bytes, or NUL-terminated when @n is -1; at most 64 MB, UTF-8, nested at most 100 deep
 * @origin: the file it came from, for messages
 */
JsonNode *
tess_json_parse (const char *text, gssize n, const char *origin, GError **error)
{
  g_autoptr (JsonParser) parser = NULL;
  g_autoptr (GError) reason = NULL;
  gsize size = n < 0 ? strlen (text) : (gsize)n;
  guint deepest;
  JsonNode *root;
  char stray;

  if (size >= 3 && memcmp (text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
    text += 3;
    size -= 3;
  }
  if (size > MAX_SIZE) {
    set_error (error, origin, _ ("larger than the 64 MB a JSON file may have here; give a smaller one"));
    return NULL;
  }
  if (!g_utf8_validate_len (text, size, NULL)) {
    set_error (error, origin, _ ("not JSON: it is not UTF-8 text; give a JSON file"));
    return NULL;
  }
  deepest = nesting (text, size, &stray);
  if (stray) {
    set_error (error, origin, _ ("not JSON (unexpected character '%c'); correct it or make it again"),
               g_ascii_isprint (stray) ? stray : '?');
    return NULL;
  }
  if (deepest > MAX_DEPTH) {
    set_error (error, origin, _ ("not usable JSON: nested more than %d deep; give a flatter file"), MAX_DEPTH);
    return NULL;
  }
  parser = json_parser_new_immutable ();
  if (!json_parser_load_from_data (parser, text, (gssize)size, &reason)) {
    g_strdelimit (reason->message, "\r\n", ' ');
    set_error (error, origin, _ ("not JSON (%s); correct it or make it again"), reason->message);
    return NULL;
  }
  root = json_parser_get_root (parser);
  if (!root) {
    set_error (error, origin, _ ("not JSON: it is empty; make it again"));
    return NULL;
  }
  return json_node_ref (root);
}

JsonNode *
tess_json_load (const char *path, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open (path, error);
  g_autofree char *text = NULL;
  guint64 size;
  gssize got;

  if (!stream)
    return NULL;
  size = tess_stream_file_size (stream);
  if (tess_stream_is_packed (stream)) {
    set_error (error, path, _ ("not JSON: it is compressed; unpack it first"));
    return NULL;
  }
  if (size > MAX_SIZE) {
    set_error (error, path, _ ("larger than the 64 MB a JSON file may have here; give a smaller one"));
    return NULL;
  }
  text = g_malloc ((gsize)size + 1);
  got = tess_stream_read (stream, text, (gsize)size, error);
  if (got < 0)
    return NULL;
  text[got] = '\0';
  return tess_json_parse (text, got, path, error);
}

gboolean
tess_json_root (JsonNode *root, const char *origin, JsonObject **object, GError **error)
{
  if (!JSON_NODE_HOLDS_OBJECT (root)) {
    set_error (error, origin, _ ("the JSON text is not an object {...}; give the right file"));
    return FALSE;
  }
  *object = json_node_get_object (root);
  return TRUE;
}

static JsonNode *
member (JsonObject *o, const char *origin, const char *name, GError **error)
{
  JsonNode *node = json_object_get_member (o, name);

  if (!node)
    set_error (error, origin, _ ("\"%s\" is missing; add it or make the file again"), name);
  return node;
}

static gboolean
wrong (const char *origin, const char *name, const char *wanted, GError **error)
{
  set_error (error, origin, _ ("\"%s\" is not %s; correct it"), name, wanted);
  return FALSE;
}

static gboolean
node_double (JsonNode *node, double *value)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;

  if (type != G_TYPE_INT64 && type != G_TYPE_DOUBLE)
    return FALSE;
  *value = json_node_get_double (node);
  return isfinite (*value);
}

/* A whole number written as 3.0 counts. */
static gboolean
node_int (JsonNode *node, gint64 lo, gint64 hi, gint64 *value)
{
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;
  gint64 v;

  if (type == G_TYPE_INT64) {
    v = json_node_get_int (node);
  } else if (type == G_TYPE_DOUBLE) {
    double d = json_node_get_double (node);

    if (!(fabs (d) <= 0x1p53) || d != floor (d))
      return FALSE;
    v = (gint64)d;
  } else {
    return FALSE;
  }
  if (v < lo || v > hi)
    return FALSE;
  *value = v;
  return TRUE;
}

static char *
range_text (gint64 lo, gint64 hi)
{
  if (lo == G_MININT64 && hi == G_MAXINT64)
    return g_strdup (_ ("a whole number"));
  if (hi == G_MAXINT64)
    return g_strdup_printf (_ ("a whole number of at least %" PRId64), lo);
  return g_strdup_printf (_ ("a whole number from %" PRId64 " to %" PRId64), lo, hi);
}

gboolean
tess_json_string (JsonObject *o, const char *origin, const char *name, const char **value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);

  if (!node)
    return FALSE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING)
    return wrong (origin, name, _ ("a text"), error);
  *value = json_node_get_string (node);
  return TRUE;
}

gboolean
tess_json_int (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);

  if (!node)
    return FALSE;
  if (!node_int (node, lo, hi, value)) {
    g_autofree char *wanted = range_text (lo, hi);

    return wrong (origin, name, wanted, error);
  }
  return TRUE;
}

gboolean
tess_json_double (JsonObject *o, const char *origin, const char *name, double *value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);
  double v;

  if (!node)
    return FALSE;
  if (!node_double (node, &v))
    return wrong (origin, name, _ ("a number"), error);
  *value = v;
  return TRUE;
}

gboolean
tess_json_bool (JsonObject *o, const char *origin, const char *name, gboolean *value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);

  if (!node)
    return FALSE;
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
    return wrong (origin, name, _ ("true or false"), error);
  *value = json_node_get_boolean (node);
  return TRUE;
}

gboolean
tess_json_object (JsonObject *o, const char *origin, const char *name, JsonObject **value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);

  if (!node)
    return FALSE;
  if (!JSON_NODE_HOLDS_OBJECT (node))
    return wrong (origin, name, _ ("an object {...}"), error);
  *value = json_node_get_object (node);
  return TRUE;
}

gboolean
tess_json_array (JsonObject *o, const char *origin, const char *name, JsonArray **value, GError **error)
{
  JsonNode *node = member (o, origin, name, error);

  if (!node)
    return FALSE;
  if (!JSON_NODE_HOLDS_ARRAY (node))
    return wrong (origin, name, _ ("a list [...]"), error);
  *value = json_node_get_array (node);
  return TRUE;
}

gboolean
tess_json_doubles (JsonObject *o, const char *origin, const char *name, double *values, guint n, GError **error)
{
  JsonArray *array;

  if (!tess_json_array (o, origin, name, &array, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (json_array_get_length (array) != n || !node_double (json_array_get_element (array, i), &values[i])) {
      g_autofree char *wanted = g_strdup_printf (_ ("a list of %u numbers"), n);

      return wrong (origin, name, wanted, error);
    }
  return TRUE;
}

gboolean
tess_json_ints (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *values, guint n,
                GError **error)
{
  JsonArray *array;

  if (!tess_json_array (o, origin, name, &array, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (json_array_get_length (array) != n || !node_int (json_array_get_element (array, i), lo, hi, &values[i])) {
      g_autofree char *each = range_text (lo, hi);
      g_autofree char *wanted = g_strdup_printf (_ ("a list of %u numbers, each %s"), n, each);

      return wrong (origin, name, wanted, error);
    }
  return TRUE;
}

static gboolean
absent (JsonObject *o, const char *name)
{
  JsonNode *node = json_object_get_member (o, name);

  return !node || JSON_NODE_HOLDS_NULL (node);
}

gboolean
tess_json_string_opt (JsonObject *o, const char *origin, const char *name, const char **value, GError **error)
{
  return absent (o, name) || tess_json_string (o, origin, name, value, error);
}

gboolean
tess_json_int_opt (JsonObject *o, const char *origin, const char *name, gint64 lo, gint64 hi, gint64 *value,
                   GError **error)
{
  return absent (o, name) || tess_json_int (o, origin, name, lo, hi, value, error);
}

gboolean
tess_json_double_opt (JsonObject *o, const char *origin, const char *name, double *value, GError **error)
{
  return absent (o, name) || tess_json_double (o, origin, name, value, error);
}

gboolean
tess_json_bool_opt (JsonObject *o, const char *origin, const char *name, gboolean *value, GError **error)
{
  return absent (o, name) || tess_json_bool (o, origin, name, value, error);
}

gboolean
tess_json_object_opt (JsonObject *o, const char *origin, const char *name, JsonObject **value, GError **error)
{
  return absent (o, name) || tess_json_object (o, origin, name, value, error);
}

gboolean
tess_json_array_opt (JsonObject *o, const char *origin, const char *name, JsonArray **value, GError **error)
{
  return absent (o, name) || tess_json_array (o, origin, name, value, error);
}

static void
append_string (GString *out, const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text ? text : "", -1);

  g_string_append_c (out, '"');
  for (const char *p = valid; *p; p++) {
    if (*p == '"' || *p == '\\')
      g_string_append_printf (out, "\\%c", *p);
    else if (*p == '\n')
      g_string_append (out, "\\n");
    else if (*p == '\t')
      g_string_append (out, "\\t");
    else if ((guchar)*p < 0x20 || *p == 0x7f)
      g_string_append_printf (out, "\\u%04x", (guchar)*p);
    else
      g_string_append_c (out, *p);
  }
  g_string_append_c (out, '"');
}

/* The shortest of 15 to 17 digits that reads back as the same double; a point keeps it a double when read again. */
static void
append_double (GString *out, double value)
{
  char buffer[G_ASCII_DTOSTR_BUF_SIZE];

  if (!isfinite (value)) {
    g_string_append (out, "null");
    return;
  }
  for (int digits = 15; digits <= 17; digits++) {
    char format[8];

    g_snprintf (format, sizeof format, "%%.%dg", digits);
    g_ascii_formatd (buffer, sizeof buffer, format, value);
    if (g_ascii_strtod (buffer, NULL) == value)
      break;
  }
  g_string_append (out, buffer);
  if (!strpbrk (buffer, ".e"))
    g_string_append (out, ".0");
}

static void
append_value (GString *out, JsonNode *node)
{
  switch (json_node_get_value_type (node)) {
  case G_TYPE_STRING:
    append_string (out, json_node_get_string (node));
    break;
  case G_TYPE_BOOLEAN:
    g_string_append (out, json_node_get_boolean (node) ? "true" : "false");
    break;
  case G_TYPE_INT64:
    g_string_append_printf (out, "%" PRId64, json_node_get_int (node));
    break;
  case G_TYPE_DOUBLE:
    append_double (out, json_node_get_double (node));
    break;
  default:
    g_string_append (out, "null");
  }
}

static void
append_break (GString *out, int indent)
{
  if (indent >= 0)
    g_string_append_printf (out, "\n%*s", indent * 2, "");
}

/* indent -1: everything in one line. */
static void
append_node (GString *out, JsonNode *node, int indent)
{
  if (JSON_NODE_HOLDS_OBJECT (node)) {
    JsonObjectIter iter;
    const char *name;
    JsonNode *value;
    gboolean any = FALSE;

    g_string_append_c (out, '{');
    json_object_iter_init_ordered (&iter, json_node_get_object (node));
    while (json_object_iter_next_ordered (&iter, &name, &value)) {
      if (any)
        g_string_append_c (out, ',');
      append_break (out, indent < 0 ? -1 : indent + 1);
      append_string (out, name);
      g_string_append (out, indent < 0 ? ":" : ": ");
      append_node (out, value, indent < 0 ? -1 : indent + 1);
      any = TRUE;
    }
    if (any)
      append_break (out, indent);
    g_string_append_c (out, '}');
  } else if (JSON_NODE_HOLDS_ARRAY (node)) {
    JsonArray *array = json_node_get_array (node);
    guint n = json_array_get_length (array);
    gboolean nested = FALSE;

    for (guint i = 0; i < n && !nested; i++)
      nested = !JSON_NODE_HOLDS_VALUE (json_array_get_element (array, i));
    nested = nested && indent >= 0; /* a list of plain values stays in one line */
    g_string_append_c (out, '[');
    for (guint i = 0; i < n; i++) {
      if (i)
        g_string_append (out, nested || indent < 0 ? "," : ", ");
      if (nested)
        append_break (out, indent + 1);
      append_node (out, json_array_get_element (array, i), indent < 0 ? -1 : indent + 1);
    }
    if (nested)
      append_break (out, indent);
    g_string_append_c (out, ']');
  } else if (JSON_NODE_HOLDS_VALUE (node)) {
    append_value (out, node);
  } else {
    g_string_append (out, "null");
  }
}

char *
tess_json_to_text (JsonNode *root, gboolean pretty)
{
  GString *out = g_string_new (NULL);

  append_node (out, root, pretty ? 0 : -1);
  return g_string_free (out, FALSE);
}

gboolean
tess_json_save (const char *path, JsonNode *root, GError **error)
{
  g_autofree char *text = tess_json_to_text (root, TRUE), *line = g_strconcat (text, "\n", NULL);

  return tess_file_set_contents (path, line, strlen (line), error);
}
