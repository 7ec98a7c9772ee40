#include "tess-pickle-private.h"
#include "tess-pickle-reader.h"

#include "tess-stream.h"

#include <inttypes.h>
#include <string.h>

#define CHUNK 512 /* values made at once */

/* An unpacked pickle makes up to 40 bytes of every one of its own: these bound it. */
#define MAX_VALUES ((gsize)1 << 22)
#define MAX_ITEMS ((gsize)1 << 24)
#define MAX_DEPTH 100

struct _TessPickle {
  GBytes *bytes;
  GPtrArray *chunks;
  gsize n_values, n_items;
  TessPickleValue *root;
};

gboolean
tess_pickle_fail (TessPickleReader *r, TessError code, const char *format)
{
  g_autofree char *name = g_filename_display_name (r->path);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (r->error, TESS_ERROR, (int)code, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

gboolean
tess_pickle_damaged (TessPickleReader *r)
{
  g_autofree char *name = g_filename_display_name (r->path);

  g_set_error (r->error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: its pickle is damaged at byte %" PRIu64 "; copy the file again"), name, (guint64)r->at);
  return FALSE;
}

/* A name from the file, fit for a message. */
static char *
presentable (const char *text)
{
  g_autofree char *valid = g_utf8_make_valid (text, -1);
  GString *out = g_string_new (NULL);
  guint n = 0;

  for (const char *c = valid; *c && n < 80; c = g_utf8_next_char (c), n++)
    g_string_append_unichar (out, g_unichar_isprint (g_utf8_get_char (c)) ? g_utf8_get_char (c) : 0xfffd);
  if (n == 80)
    g_string_append (out, "…");
  return g_string_free (out, FALSE);
}

gboolean
tess_pickle_refuse_global (TessPickleReader *r, const char *global)
{
  g_autofree char *name = g_filename_display_name (r->path), *what = presentable (global);

  g_set_error (
      r->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
      _ ("%s: its pickle asks Python for %s, which is no plain data and is never run here; save the data again "
         "as plain arrays, numbers and text"),
      name, what);
  return FALSE;
}

gboolean
tess_pickle_refuse_opcode (TessPickleReader *r, const char *opcode)
{
  g_autofree char *name = g_filename_display_name (r->path);

  g_set_error (r->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s: its pickle uses the operation %s, which is not for plain data; save the data again as plain "
                  "arrays, numbers and text"),
               name, opcode);
  return FALSE;
}

static gboolean
too_large (TessPickleReader *r)
{
  return tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                           _ ("%s: its pickle holds too many values; check that it is the right file"));
}

TessPickleValue *
tess_pickle_new_value (TessPickleReader *r, TessPickleKind kind)
{
  TessPickle *pickle = r->pickle;
  TessPickleValue *value;

  if (pickle->n_values >= MAX_VALUES) {
    too_large (r);
    return NULL;
  }
  if (pickle->n_values % CHUNK == 0)
    g_ptr_array_add (pickle->chunks, g_new0 (TessPickleValue, CHUNK));
  value = (TessPickleValue *)g_ptr_array_index (pickle->chunks, pickle->n_values / CHUNK) + pickle->n_values % CHUNK;
  pickle->n_values++;
  value->kind = (guint8)kind;
  return value;
}

/* Puts n values into a list, tuple, set or dict. */
gboolean
tess_pickle_extend (TessPickleReader *r, TessPickleValue *list, gpointer *values, gsize n)
{
  if (n > MAX_ITEMS - r->pickle->n_items)
    return too_large (r);
  r->pickle->n_items += n;
  if (n > list->list.room - list->list.n) {
    list->list.room = MAX (list->list.n + n, 2 * list->list.room);
    list->list.items = g_renew (TessPickleValue *, list->list.items, list->list.room);
  }
  for (gsize i = 0; i < n; i++) {
    list->list.items[list->list.n++] = values[i];
    if (!tess_pickle_deepen (r, list, values[i]))
      return FALSE;
  }
  return TRUE;
}

gboolean
tess_pickle_deepen (TessPickleReader *r, TessPickleValue *outer, const TessPickleValue *inner)
{
  outer->depth = MAX (outer->depth, (guint16)(inner->depth + 1));
  return outer->depth <= MAX_DEPTH || tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                                                        _ ("%s: its pickle is nested too deeply; check that it is the "
                                                           "right file"));
}

void
tess_pickle_free (TessPickle *pickle)
{
  if (!pickle)
    return;
  for (gsize i = 0; i < pickle->n_values; i++) {
    TessPickleValue *value = (TessPickleValue *)g_ptr_array_index (pickle->chunks, i / CHUNK) + i % CHUNK;

    switch (value->kind) {
    case TESS_PICKLE_LIST:
    case TESS_PICKLE_TUPLE:
    case TESS_PICKLE_SET:
    case TESS_PICKLE_DICT:
      g_free (value->list.items);
      break;
    case TESS_PICKLE_LONG:
    case TESS_PICKLE_STRING:
    case TESS_PICKLE_BYTES:
    case TESS_PICKLE_GLOBAL:
      g_free (value->bytes.mine);
      break;
    default:
      break;
    }
  }
  g_ptr_array_unref (pickle->chunks);
  g_bytes_unref (pickle->bytes);
  g_free (pickle);
}

const TessPickleValue *
tess_pickle_root (TessPickle *pickle)
{
  return pickle->root;
}

/**
 * tess_pickle_parse:
 * @bytes: starts with the pickle; what follows its end is ignored
 * @path: for messages
 *
 * Runs the pickle's little stack machine over data: containers are built, names are looked up in @rules and kept as
 * names, calls are kept as (name, arguments, state). Values may be shared, and a container may hold itself; values hold
 * no copy of strings and bytes, they point into @bytes.
 *
 * Errors: FORMAT (damaged), UNSUPPORTED (a name, an operation or a size that is not taken).
 */
TessPickle *
tess_pickle_parse (GBytes *bytes, const char *path, const TessPickleRules *rules, GError **error)
{
  g_autoptr (TessPickle) pickle = g_new0 (TessPickle, 1);
  g_autoptr (GPtrArray) stack = g_ptr_array_new ();
  g_autoptr (GArray) marks = g_array_new (FALSE, FALSE, sizeof (guint));
  g_autoptr (GHashTable) memo = g_hash_table_new (NULL, NULL);
  g_autoptr (GError) own = NULL;
  TessPickleReader r = {.pickle = pickle, .path = path, .rules = rules, .stack = stack, .marks = marks, .memo = memo};

  pickle->bytes = g_bytes_ref (bytes);
  pickle->chunks = g_ptr_array_new_with_free_func (g_free);
  r.data = g_bytes_get_data (bytes, &r.n);
  r.error = &own;
  while (!r.stopped && tess_pickle_step (&r))
    ;
  if (!r.stopped && !own) /* refused without a word by the caller's function */
    tess_pickle_damaged (&r);
  if (own) {
    g_propagate_error (error, g_steal_pointer (&own));
    return NULL;
  }
  pickle->root = g_ptr_array_index (stack, stack->len - 1);
  return g_steal_pointer (&pickle);
}

/* @most: bytes of a file that are read; a larger one is refused. */
TessPickle *
tess_pickle_load (const char *path, gsize most, const TessPickleRules *rules, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, G_MAXUINT64, TESS_PACKING_NONE, error);
  g_autoptr (GBytes) bytes = NULL;
  g_autofree guint8 *data = NULL;
  gsize n;

  if (!stream)
    return NULL;
  if (tess_stream_file_size (stream) > most) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this file is larger than expected here; check that it is the right file"), name);
    return NULL;
  }
  n = (gsize)tess_stream_file_size (stream);
  data = g_malloc (MAX (n, 1));
  if (!tess_stream_read_exact (stream, data, n, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&data), n);
  return tess_pickle_parse (bytes, path, rules, error);
}
