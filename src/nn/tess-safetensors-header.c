#include "tess-safetensors-header.h"

#include <inttypes.h>
#include <stdlib.h>

#define MAX_DIMS 32

typedef struct {
  const char *path;
  const char *start, *p, *end; /* of the JSON text, valid UTF-8 without zero bytes */
  const guint8 *data;          /* tensor bytes */
  gsize n_data;
  TessSafetensorsHeader *header;
  GError **error;
} Parser;

static void
clear_tensor (gpointer pointer)
{
  TessSafetensor *tensor = pointer;

  g_free ((char *)tensor->name);
  g_free ((gint64 *)tensor->dim);
}

void
tess_safetensors_header_free (TessSafetensorsHeader *header)
{
  if (header == NULL)
    return;
  g_hash_table_unref (header->by_name);
  g_hash_table_unref (header->metadata);
  g_array_unref (header->tensors);
  g_free (header);
}

static gboolean
broken (Parser *q, const char *what)
{
  g_set_error (q->error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: damaged safetensors header at byte %zu: %s; get the file again"), q->path,
               (gsize)(q->p - q->start) + 8, what);
  return FALSE;
}

static gboolean G_GNUC_PRINTF (3, 4) bad_tensor (Parser *q, const char *name, const char *format, ...)
{
  g_autofree char *shown = g_utf8_substring (name, 0, MIN (g_utf8_strlen (name, -1), 80));
  g_autofree char *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (q->error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: damaged: tensor \"%s\" %s; get the file again"),
               q->path, shown, what);
  return FALSE;
}

static char
peek (Parser *q)
{
  while (q->p < q->end && (*q->p == ' ' || *q->p == '\t' || *q->p == '\n' || *q->p == '\r'))
    q->p++;
  return q->p < q->end ? *q->p : '\0';
}

static gboolean
expect (Parser *q, char c)
{
  char what[] = "'?' expected";

  if (peek (q) == c) {
    q->p++;
    return TRUE;
  }
  what[1] = c;
  return broken (q, what);
}

/* After a member or element: FALSE at the closing bracket, TRUE after a comma; *ok is cleared on anything else. */
static gboolean
more (Parser *q, char closing, gboolean *ok)
{
  char c = peek (q);

  if (c == ',' || c == closing) {
    q->p++;
    return c == ',';
  }
  *ok = broken (q, _ ("a list or object is not closed"));
  return FALSE;
}

static gboolean
hex4 (Parser *q, gunichar *value)
{
  *value = 0;
  if (q->end - q->p < 4)
    return FALSE;
  for (int i = 0; i < 4; i++, q->p++) {
    if (!g_ascii_isxdigit (*q->p))
      return FALSE;
    *value = *value * 16 + (gunichar)g_ascii_xdigit_value (*q->p);
  }
  return TRUE;
}

/* After "\u": one code point, from a pair of surrogates where needed; never zero. */
static gboolean
unicode_escape (Parser *q, GString *text)
{
  gunichar c, low;

  if (!hex4 (q, &c))
    return FALSE;
  if (c >= 0xd800 && c < 0xdc00) {
    if (q->end - q->p < 2 || q->p[0] != '\\' || q->p[1] != 'u')
      return FALSE;
    q->p += 2;
    if (!hex4 (q, &low) || low < 0xdc00 || low > 0xdfff)
      return FALSE;
    c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
  } else if (c == 0 || (c >= 0xdc00 && c <= 0xdfff)) {
    return FALSE;
  }
  g_string_append_unichar (text, c);
  return TRUE;
}

static gboolean
escape (Parser *q, GString *text)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *found;

  if (q->p == q->end)
    return FALSE;
  if (*q->p == 'u') {
    q->p++;
    return unicode_escape (q, text);
  }
  found = strchr (from, *q->p);
  if (found == NULL)
    return FALSE;
  g_string_append_c (text, to[found - from]);
  q->p++;
  return TRUE;
}

/* Returns: (transfer full): NULL with the error set. */
static char *
read_string (Parser *q)
{
  g_autoptr (GString) text = NULL;

  if (!expect (q, '"'))
    return NULL;
  text = g_string_new (NULL);
  while (q->p < q->end && *q->p != '"') {
    if ((guchar)*q->p < 0x20) {
      broken (q, _ ("a control character in a string"));
      return NULL;
    }
    if (*q->p != '\\') {
      g_string_append_c (text, *q->p++);
      continue;
    }
    q->p++;
    if (!escape (q, text)) {
      broken (q, _ ("a wrong escape in a string"));
      return NULL;
    }
  }
  if (q->p == q->end) {
    broken (q, _ ("a string is not closed"));
    return NULL;
  }
  q->p++;
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* A whole number, 0 to 2^63 - 1, as JSON writes it. */
static gboolean
read_size (Parser *q, gint64 *value)
{
  gint64 v = 0;
  const char *first;

  peek (q);
  first = q->p;
  for (; q->p < q->end && g_ascii_isdigit (*q->p); q->p++) {
    gint64 digit = *q->p - '0';

    if (v > (G_MAXINT64 - digit) / 10)
      return broken (q, _ ("a number is too large"));
    v = v * 10 + digit;
  }
  if (q->p == first || (q->p - first > 1 && *first == '0') ||
      (q->p < q->end && (*q->p == '.' || *q->p == 'e' || *q->p == 'E')))
    return broken (q, _ ("a whole number expected"));
  *value = v;
  return TRUE;
}

static gboolean
read_sizes (Parser *q, gint64 *values, guint max, guint *n)
{
  gboolean ok = TRUE;

  *n = 0;
  if (!expect (q, '['))
    return FALSE;
  if (peek (q) == ']') {
    q->p++;
    return TRUE;
  }
  do {
    if (*n == max)
      return broken (q, _ ("a list is too long"));
    if (!read_size (q, &values[(*n)++]))
      return FALSE;
  } while (more (q, ']', &ok));
  return ok;
}

static gboolean
read_metadata (Parser *q)
{
  gboolean ok = TRUE;

  if (!expect (q, '{'))
    return FALSE;
  if (peek (q) == '}') {
    q->p++;
    return TRUE;
  }
  do {
    g_autofree char *key = read_string (q), *value = NULL;

    if (key == NULL || !expect (q, ':'))
      return FALSE;
    value = read_string (q);
    if (value == NULL)
      return FALSE;
    if (g_hash_table_contains (q->header->metadata, key))
      return broken (q, _ ("a metadata key occurs twice"));
    g_hash_table_insert (q->header->metadata, g_steal_pointer (&key), g_steal_pointer (&value));
  } while (more (q, '}', &ok));
  return ok;
}

typedef struct {
  gboolean has_dtype, has_shape, has_offsets;
  TessDType dtype;
  gint64 dim[MAX_DIMS], offset[2];
  guint n_dims;
} Entry;

static gboolean
read_dtype (Parser *q, const char *name, TessDType *dtype)
{
  g_autofree char *text = read_string (q);

  if (text == NULL)
    return FALSE;
  /* The lower-case names are NumPy's; this format has capitals only. */
  if (!g_ascii_isupper (text[0]) || !tess_dtype_from_name (text, dtype)) {
    g_set_error (q->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: tensor \"%.80s\" has elements of type %.20s, which this program does not read; convert it "
                    "to F32"),
                 q->path, name, text);
    return FALSE;
  }
  return TRUE;
}

static gboolean
read_field (Parser *q, const char *name, Entry *entry)
{
  g_autofree char *field = read_string (q);
  guint n;

  if (field == NULL || !expect (q, ':'))
    return FALSE;
  if (strcmp (field, "dtype") == 0 && !entry->has_dtype) {
    entry->has_dtype = TRUE;
    return read_dtype (q, name, &entry->dtype);
  }
  if (strcmp (field, "shape") == 0 && !entry->has_shape) {
    entry->has_shape = TRUE;
    return read_sizes (q, entry->dim, MAX_DIMS, &entry->n_dims);
  }
  if (strcmp (field, "data_offsets") == 0 && !entry->has_offsets) {
    entry->has_offsets = TRUE;
    if (!read_sizes (q, entry->offset, 2, &n))
      return FALSE;
    return n == 2 || bad_tensor (q, name, "%s", _ ("needs two offsets"));
  }
  return bad_tensor (q, name, "%s", _ ("has an unknown or repeated field"));
}

static gboolean
keep_tensor (Parser *q, char *name, const Entry *entry)
{
  TessSafetensor tensor = {.dtype = entry->dtype, .n_dims = entry->n_dims};
  gsize bytes = tess_dtype_size (entry->dtype);
  gboolean countable = TRUE;

  for (guint i = 0; i < entry->n_dims && countable; i++)
    countable = g_size_checked_mul (&bytes, bytes, (gsize)entry->dim[i]);
  if (!countable || entry->offset[0] > entry->offset[1] || (guint64)entry->offset[1] > q->n_data ||
      (guint64)(entry->offset[1] - entry->offset[0]) != bytes)
    return bad_tensor (q, name, _ ("of bytes %" PRId64 " to %" PRId64 " does not fit its shape or the file"),
                       entry->offset[0], entry->offset[1]);
  if (g_hash_table_contains (q->header->by_name, name))
    return bad_tensor (q, name, "%s", _ ("occurs twice"));

  tensor.name = g_strdup (name);
  tensor.dim = g_memdup2 (entry->dim, MAX (entry->n_dims, 1) * sizeof *entry->dim);
  tensor.data = q->data + entry->offset[0];
  tensor.bytes = bytes;
  g_hash_table_insert (q->header->by_name, (char *)tensor.name, GUINT_TO_POINTER (q->header->tensors->len));
  g_array_append_val (q->header->tensors, tensor);
  return TRUE;
}

static gboolean
read_tensor (Parser *q, char *name)
{
  Entry entry = {0};
  gboolean ok = TRUE;

  if (!expect (q, '{'))
    return FALSE;
  do {
    if (!read_field (q, name, &entry))
      return FALSE;
  } while (more (q, '}', &ok));
  if (!ok)
    return FALSE;
  if (!entry.has_dtype || !entry.has_shape || !entry.has_offsets)
    return bad_tensor (q, name, "%s", _ ("lacks its type, shape or place"));
  return keep_tensor (q, name, &entry);
}

static gboolean
read_header (Parser *q)
{
  gboolean ok = TRUE, seen_metadata = FALSE;

  if (!expect (q, '{'))
    return FALSE;
  if (peek (q) == '}') {
    q->p++;
  } else {
    do {
      g_autofree char *name = read_string (q);

      if (name == NULL || !expect (q, ':'))
        return FALSE;
      if (strcmp (name, "__metadata__") == 0) {
        if (seen_metadata)
          return broken (q, _ ("the metadata occur twice"));
        seen_metadata = TRUE;
        ok = read_metadata (q);
      } else {
        ok = read_tensor (q, name);
      }
    } while (ok && more (q, '}', &ok));
  }
  if (ok && peek (q) != '\0')
    return broken (q, _ ("something follows the last bracket"));
  return ok;
}

static int
by_place (const void *a, const void *b)
{
  const TessSafetensor *x = *(const TessSafetensor *const *)a, *y = *(const TessSafetensor *const *)b;

  if (x->data != y->data)
    return (const guint8 *)x->data < (const guint8 *)y->data ? -1 : 1;
  return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

/* Neither holes nor overlaps: the tensors fill the data exactly, as the format demands. */
static gboolean
check_places (Parser *q)
{
  guint n = q->header->tensors->len;
  g_autofree const TessSafetensor **sorted = g_new (const TessSafetensor *, MAX (n, 1));
  gsize at = 0;

  for (guint i = 0; i < n; i++)
    sorted[i] = &g_array_index (q->header->tensors, TessSafetensor, i);
  qsort (sorted, n, sizeof *sorted, by_place);
  for (guint i = 0; i < n; i++) {
    if ((gsize)((const guint8 *)sorted[i]->data - q->data) != at)
      return bad_tensor (q, sorted[i]->name, "%s", _ ("overlaps another or leaves a gap before it"));
    at += sorted[i]->bytes;
  }
  if (at != q->n_data) {
    g_set_error (q->error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: damaged: its tensors take %zu bytes, the file has %zu"
                    "; get the file again"),
                 q->path, at, q->n_data);
    return FALSE;
  }
  return TRUE;
}

TessSafetensorsHeader *
tess_safetensors_header_read (const char *path, const guint8 *bytes, gsize n, GError **error)
{
  g_autoptr (TessSafetensorsHeader) header = NULL;
  Parser q = {.path = path, .error = error};
  guint64 length = 0;

  if (n >= 8)
    memcpy (&length, bytes, 8);
  if (n < 8 || length > TESS_SAFETENSORS_MAX_HEADER || length > n - 8 || length < 2 || bytes[8] != '{' ||
      !g_utf8_validate_len ((const char *)bytes + 8, length, NULL)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: not a safetensors file, or cut off; choose another file or get it again"), path);
    return NULL;
  }

  header = g_new0 (TessSafetensorsHeader, 1);
  header->tensors = g_array_new (FALSE, TRUE, sizeof (TessSafetensor));
  g_array_set_clear_func (header->tensors, clear_tensor);
  header->by_name = g_hash_table_new (g_str_hash, g_str_equal);
  header->metadata = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  q.header = header;
  q.start = q.p = (const char *)bytes + 8;
  q.end = q.start + length;
  q.data = bytes + 8 + length;
  q.n_data = n - 8 - (gsize)length;
  if (!read_header (&q) || !check_places (&q))
    return NULL;
  return g_steal_pointer (&header);
}
