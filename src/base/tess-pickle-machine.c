/* The operations of a pickle that need no text and call nothing. */

#include "tess-pickle-private.h"
#include "tess-pickle-reader.h"

#include <string.h>

#define MAX_STACK ((guint)1 << 23)
#define MAX_MARKS 1000
#define MAX_MEMO ((guint)1 << 22)

gboolean
tess_pickle_push (TessPickleReader *r, TessPickleValue *value)
{
  if (!value)
    return FALSE;
  if (r->stack->len >= MAX_STACK)
    return tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                             _ ("%s: its pickle holds too many values; check that it is the right file"));
  g_ptr_array_add (r->stack, value);
  return TRUE;
}

/* Height of the stack that the last mark protects. */
static guint
floor_of (TessPickleReader *r)
{
  return r->marks->len ? g_array_index (r->marks, guint, r->marks->len - 1) : 0;
}

TessPickleValue *
tess_pickle_pop (TessPickleReader *r)
{
  if (r->stack->len > floor_of (r))
    return g_ptr_array_steal_index (r->stack, r->stack->len - 1);
  tess_pickle_damaged (r);
  return NULL;
}

static TessPickleValue *
peek (TessPickleReader *r)
{
  if (r->stack->len > floor_of (r))
    return g_ptr_array_index (r->stack, r->stack->len - 1);
  tess_pickle_damaged (r);
  return NULL;
}

static gboolean
take (TessPickleReader *r, gsize n, const guint8 **data)
{
  if (n > r->n - r->at)
    return tess_pickle_fail (r, TESS_ERROR_FORMAT,
                             _ ("%s: its pickle ends too early; the file is incomplete, copy it again"));
  *data = r->data + r->at;
  r->at += n;
  return TRUE;
}

static gboolean
take_unsigned (TessPickleReader *r, gsize n, guint64 *value)
{
  const guint8 *data = NULL;

  if (!take (r, n, &data))
    return FALSE;
  *value = 0;
  for (gsize i = 0; i < n; i++)
    *value |= (guint64)data[i] << (8 * i);
  return TRUE;
}

gboolean
tess_pickle_take_line (TessPickleReader *r, const char **line, gsize *n)
{
  const guint8 *begin = r->data + r->at, *end = r->n > r->at ? memchr (begin, '\n', r->n - r->at) : NULL;

  if (!end)
    return take (r, r->n - r->at + 1, &begin); /* says that it ends too early */
  *line = (const char *)begin;
  *n = (gsize)(end - begin);
  r->at += *n + 1;
  return TRUE;
}

gboolean
tess_pickle_push_int (TessPickleReader *r, gint64 integer)
{
  TessPickleValue *value = tess_pickle_new_value (r, TESS_PICKLE_INT);

  if (value)
    value->integer = integer;
  return tess_pickle_push (r, value);
}

/* UTF-8 in which, other than GLib has it, zeros may stand. */
static gboolean
is_text (const guint8 *data, gsize n)
{
  while (n > 0) {
    const guint8 *zero = memchr (data, '\0', n);
    gsize part = zero ? (gsize)(zero - data) : n;

    if (!g_utf8_validate_len ((const char *)data, part, NULL))
      return FALSE;
    part += zero != NULL;
    data += part;
    n -= part;
  }
  return TRUE;
}

gboolean
tess_pickle_push_bytes (TessPickleReader *r, TessPickleKind kind, const guint8 *data, gsize n)
{
  TessPickleValue *value;

  if (kind == TESS_PICKLE_STRING && !is_text (data, n))
    return tess_pickle_damaged (r);
  value = tess_pickle_new_value (r, kind);
  if (value) {
    value->bytes.data = data;
    value->bytes.n = n;
  }
  return tess_pickle_push (r, value);
}

gboolean
tess_pickle_push_own (TessPickleReader *r, TessPickleKind kind, GByteArray *bytes)
{
  gsize n = bytes->len;
  guint8 *data = g_byte_array_free (bytes, FALSE);
  TessPickleValue *value = tess_pickle_new_value (r, kind);

  if (!value) {
    g_free (data);
    return FALSE;
  }
  value->bytes.mine = data;
  value->bytes.data = n ? data : (const guint8 *)"";
  value->bytes.n = n;
  return tess_pickle_push (r, value);
}

/* Bytes whose length stands before them in n_length bytes. */
static gboolean
push_counted (TessPickleReader *r, TessPickleKind kind, gsize n_length)
{
  const guint8 *data = NULL;
  guint64 n = 0;

  return take_unsigned (r, n_length, &n) && take (r, (gsize)n, &data) &&
         tess_pickle_push_bytes (r, kind, data, (gsize)n);
}

/* LONG1 and LONG4. */
static gboolean
push_long (TessPickleReader *r, gsize n_length)
{
  const guint8 *data = NULL;
  guint64 n = 0, bits = 0;

  if (!take_unsigned (r, n_length, &n) || !take (r, (gsize)n, &data))
    return FALSE;
  if (n > 8)
    return tess_pickle_push_bytes (r, TESS_PICKLE_LONG, data, (gsize)n);
  for (guint i = 0; i < n; i++)
    bits |= (guint64)data[i] << (8 * i);
  if (n > 0 && n < 8 && data[n - 1] & 0x80)
    bits |= G_MAXUINT64 << (8 * n);
  return tess_pickle_push_int (r, (gint64)bits);
}

static gboolean
push_float (TessPickleReader *r)
{
  TessPickleValue *value;
  const guint8 *data = NULL;
  guint64 bits = 0;

  if (!take (r, 8, &data))
    return FALSE;
  for (guint i = 0; i < 8; i++) /* big-endian, alone among them */
    bits = bits << 8 | data[i];
  value = tess_pickle_new_value (r, TESS_PICKLE_FLOAT);
  if (value)
    memcpy (&value->real, &bits, 8);
  return tess_pickle_push (r, value);
}

static gboolean
push_bool (TessPickleReader *r, gboolean boolean)
{
  TessPickleValue *value = tess_pickle_new_value (r, TESS_PICKLE_BOOL);

  if (value)
    value->boolean = boolean;
  return tess_pickle_push (r, value);
}

gboolean
tess_pickle_remember (TessPickleReader *r, guint64 number)
{
  TessPickleValue *value = peek (r);

  if (!value)
    return FALSE;
  if (g_hash_table_size (r->memo) >= MAX_MEMO)
    return tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                             _ ("%s: its pickle holds too many values; check that it is the right file"));
  g_hash_table_insert (r->memo, GSIZE_TO_POINTER ((gsize)number), value);
  return TRUE;
}

gboolean
tess_pickle_recall (TessPickleReader *r, guint64 number)
{
  TessPickleValue *value = g_hash_table_lookup (r->memo, GSIZE_TO_POINTER ((gsize)number));

  return value ? tess_pickle_push (r, value) : tess_pickle_damaged (r);
}

static gboolean
push_mark (TessPickleReader *r)
{
  if (r->marks->len >= MAX_MARKS)
    return tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                             _ ("%s: its pickle is nested too deeply; check that it is the "
                                "right file"));
  g_array_append_val (r->marks, r->stack->len);
  return TRUE;
}

/* Takes off what lies above the last mark, and the mark: *begin is where it stood. It is there until the stack grows.
 */
static gboolean
pop_mark (TessPickleReader *r, guint *begin)
{
  if (r->marks->len == 0)
    return tess_pickle_damaged (r);
  *begin = floor_of (r);
  g_array_set_size (r->marks, r->marks->len - 1);
  return TRUE;
}

/* A new container of everything above `begin`. */
static gboolean
gather (TessPickleReader *r, TessPickleKind kind, guint begin)
{
  TessPickleValue *value = tess_pickle_new_value (r, kind);

  if (kind == TESS_PICKLE_DICT && (r->stack->len - begin) % 2)
    return tess_pickle_damaged (r);
  if (!value || !tess_pickle_extend (r, value, r->stack->pdata + begin, r->stack->len - begin))
    return FALSE;
  g_ptr_array_set_size (r->stack, (gint)begin);
  return tess_pickle_push (r, value);
}

static gboolean
gather_marked (TessPickleReader *r, TessPickleKind kind)
{
  guint begin = 0;

  return pop_mark (r, &begin) && gather (r, kind, begin);
}

static gboolean
gather_tuple (TessPickleReader *r, guint n)
{
  return r->stack->len - floor_of (r) >= n ? gather (r, TESS_PICKLE_TUPLE, r->stack->len - n) : tess_pickle_damaged (r);
}

/* Puts everything above `begin` into the container right below. */
static gboolean
put_into (TessPickleReader *r, TessPickleKind kind, guint begin)
{
  TessPickleValue *into;

  if (begin <= floor_of (r) || (kind == TESS_PICKLE_DICT && (r->stack->len - begin) % 2))
    return tess_pickle_damaged (r);
  into = g_ptr_array_index (r->stack, begin - 1);
  if (into->kind == TESS_PICKLE_OBJECT) {
    TessPickleValue *object = into;

    if (!object->object.contents)
      object->object.contents = tess_pickle_new_value (r, kind);
    into = object->object.contents;
    if (!into)
      return FALSE;
  }
  if (into->kind != kind)
    return tess_pickle_damaged (r);
  if (!tess_pickle_extend (r, into, r->stack->pdata + begin, r->stack->len - begin))
    return FALSE;
  g_ptr_array_set_size (r->stack, (gint)begin);
  return TRUE;
}

static gboolean
put_marked_into (TessPickleReader *r, TessPickleKind kind)
{
  guint begin = 0;

  return pop_mark (r, &begin) && put_into (r, kind, begin);
}

static gboolean
put_top_into (TessPickleReader *r, TessPickleKind kind, guint n)
{
  return r->stack->len - floor_of (r) > n ? put_into (r, kind, r->stack->len - n) : tess_pickle_damaged (r);
}

static gboolean
drop_marked (TessPickleReader *r)
{
  guint begin = 0;

  if (!pop_mark (r, &begin))
    return FALSE;
  g_ptr_array_set_size (r->stack, (gint)begin);
  return TRUE;
}

/* POP takes off a mark where that is on top. */
static gboolean
drop (TessPickleReader *r)
{
  return r->marks->len && floor_of (r) == r->stack->len ? drop_marked (r) : tess_pickle_pop (r) != NULL;
}

/* The operation's argument is a number of n bytes, which `act` takes. */
static gboolean
with_number (TessPickleReader *r, gsize n, gboolean (*act) (TessPickleReader *, guint64))
{
  guint64 number = 0;

  return take_unsigned (r, n, &number) && act (r, number);
}

static gboolean
check_protocol (TessPickleReader *r, guint64 protocol)
{
  return protocol <= 5 || tess_pickle_fail (r, TESS_ERROR_UNSUPPORTED,
                                            _ ("%s: its pickle is of a protocol after 5; save it again by protocol 5"));
}

static gboolean
check_frame (TessPickleReader *r, guint64 length)
{
  return length <= r->n - r->at ||
         tess_pickle_fail (r, TESS_ERROR_FORMAT,
                           _ ("%s: its pickle ends too early; the file is incomplete, copy it again"));
}

static gboolean
push_uint (TessPickleReader *r, guint64 number)
{
  return tess_pickle_push_int (r, (gint64)number);
}

static gboolean
push_int32 (TessPickleReader *r, guint64 number)
{
  return tess_pickle_push_int (r, (gint32)(guint32)number);
}

static gboolean
stop (TessPickleReader *r)
{
  r->stopped = TRUE;
  return peek (r) != NULL;
}

static gboolean
step_container (TessPickleReader *r, guint8 opcode)
{
  switch (opcode) {
  case '(': /* MARK */
    return push_mark (r);
  case ']': /* EMPTY_LIST */
    return tess_pickle_push (r, tess_pickle_new_value (r, TESS_PICKLE_LIST));
  case ')': /* EMPTY_TUPLE */
    return gather_tuple (r, 0);
  case '}': /* EMPTY_DICT */
    return tess_pickle_push (r, tess_pickle_new_value (r, TESS_PICKLE_DICT));
  case 0x8f: /* EMPTY_SET */
    return tess_pickle_push (r, tess_pickle_new_value (r, TESS_PICKLE_SET));
  case 'l': /* LIST */
    return gather_marked (r, TESS_PICKLE_LIST);
  case 't': /* TUPLE */
    return gather_marked (r, TESS_PICKLE_TUPLE);
  case 'd': /* DICT */
    return gather_marked (r, TESS_PICKLE_DICT);
  case 0x91: /* FROZENSET */
    return gather_marked (r, TESS_PICKLE_SET);
  case 0x85: /* TUPLE1 */
  case 0x86:
  case 0x87:
    return gather_tuple (r, opcode - 0x84u);
  case 'a': /* APPEND */
    return put_top_into (r, TESS_PICKLE_LIST, 1);
  case 'e': /* APPENDS */
    return put_marked_into (r, TESS_PICKLE_LIST);
  case 's': /* SETITEM */
    return put_top_into (r, TESS_PICKLE_DICT, 2);
  case 'u': /* SETITEMS */
    return put_marked_into (r, TESS_PICKLE_DICT);
  case 0x90: /* ADDITEMS */
    return put_marked_into (r, TESS_PICKLE_SET);
  case '0': /* POP */
    return drop (r);
  case '1': /* POP_MARK */
    return drop_marked (r);
  case '2': /* DUP */
    return tess_pickle_push (r, peek (r));
  case 'h': /* BINGET */
    return with_number (r, 1, tess_pickle_recall);
  case 'j': /* LONG_BINGET */
    return with_number (r, 4, tess_pickle_recall);
  case 'q': /* BINPUT */
    return with_number (r, 1, tess_pickle_remember);
  case 'r': /* LONG_BINPUT */
    return with_number (r, 4, tess_pickle_remember);
  case 0x94: /* MEMOIZE */
    return tess_pickle_remember (r, g_hash_table_size (r->memo));
  default:
    return tess_pickle_step_object (r, opcode);
  }
}

/* One operation: reads it and its argument, and does it to the stack. The operations are those of Python's
 * Lib/pickletools.py. */
gboolean
tess_pickle_step (TessPickleReader *r)
{
  const guint8 *opcode = NULL;

  if (!take (r, 1, &opcode))
    return FALSE;
  switch (*opcode) {
  case 0x80: /* PROTO */
    return with_number (r, 1, check_protocol);
  case 0x95: /* FRAME */
    return with_number (r, 8, check_frame);
  case '.': /* STOP */
    return stop (r);
  case 'N': /* NONE */
    return tess_pickle_push (r, tess_pickle_new_value (r, TESS_PICKLE_NONE));
  case 0x88: /* NEWTRUE */
  case 0x89: /* NEWFALSE */
    return push_bool (r, *opcode == 0x88);
  case 'J': /* BININT */
    return with_number (r, 4, push_int32);
  case 'K': /* BININT1 */
    return with_number (r, 1, push_uint);
  case 'M': /* BININT2 */
    return with_number (r, 2, push_uint);
  case 0x8a: /* LONG1 */
    return push_long (r, 1);
  case 0x8b: /* LONG4 */
    return push_long (r, 4);
  case 'G': /* BINFLOAT */
    return push_float (r);
  case 'U': /* SHORT_BINSTRING */
  case 'C': /* SHORT_BINBYTES */
    return push_counted (r, TESS_PICKLE_BYTES, 1);
  case 'T': /* BINSTRING */
  case 'B': /* BINBYTES */
    return push_counted (r, TESS_PICKLE_BYTES, 4);
  case 0x8e: /* BINBYTES8 */
  case 0x96: /* BYTEARRAY8 */
    return push_counted (r, TESS_PICKLE_BYTES, 8);
  case 0x8c: /* SHORT_BINUNICODE */
    return push_counted (r, TESS_PICKLE_STRING, 1);
  case 'X': /* BINUNICODE */
    return push_counted (r, TESS_PICKLE_STRING, 4);
  case 0x8d: /* BINUNICODE8 */
    return push_counted (r, TESS_PICKLE_STRING, 8);
  case 'F':
  case 'I':
  case 'L':
  case 'S':
  case 'V':
  case 'g':
  case 'p':
    return tess_pickle_step_text (r, *opcode);
  default:
    return step_container (r, *opcode);
  }
}
