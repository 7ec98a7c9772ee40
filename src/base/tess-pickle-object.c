/* The operations of a pickle that name things of Python and would call them. Here they are only written down. */

#include "tess-pickle-private.h"
#include "tess-pickle-reader.h"

#include <string.h>

static gboolean
push_global (TessPickleReader *r, const char *module, gsize n_module, const char *name, gsize n_name)
{
  g_autoptr (GByteArray) global = g_byte_array_new ();
  gboolean known = FALSE;

  if (memchr (module, '\0', n_module) || memchr (name, '\0', n_name))
    return tess_pickle_damaged (r);
  g_byte_array_append (global, (const guint8 *)module, (guint)n_module);
  g_byte_array_append (global, (const guint8 *)".", 1);
  g_byte_array_append (global, (const guint8 *)name, (guint)n_name);
  g_byte_array_append (global, (const guint8 *)"", 1);
  for (guint i = 0; r->rules->globals && r->rules->globals[i] && !known; i++)
    known = strcmp (r->rules->globals[i], (const char *)global->data) == 0;
  return known ? tess_pickle_push_own (r, TESS_PICKLE_GLOBAL, g_steal_pointer (&global))
               : tess_pickle_refuse_global (r, (const char *)global->data);
}

/* GLOBAL and, with its arguments above the last mark, INST. */
static gboolean
push_global_lines (TessPickleReader *r)
{
  const char *module = NULL, *name = NULL;
  gsize n_module = 0, n_name = 0;

  if (!tess_pickle_take_line (r, &module, &n_module) || !tess_pickle_take_line (r, &name, &n_name))
    return FALSE;
  if (n_module > 1000 || n_name > 1000)
    return tess_pickle_damaged (r);
  return push_global (r, module, n_module, name, n_name);
}

static gboolean
push_stack_global (TessPickleReader *r)
{
  TessPickleValue *name = tess_pickle_pop (r), *module = name ? tess_pickle_pop (r) : NULL;

  if (!module)
    return FALSE;
  if (name->kind != TESS_PICKLE_STRING || module->kind != TESS_PICKLE_STRING || name->bytes.n > 1000 ||
      module->bytes.n > 1000)
    return tess_pickle_damaged (r);
  return push_global (r, (const char *)module->bytes.data, module->bytes.n, (const char *)name->bytes.data,
                      name->bytes.n);
}

/* Text whose letters are bytes: how Python 3 writes bytes for Python 2. */
static gboolean
push_latin1 (TessPickleReader *r, const TessPickleValue *text)
{
  g_autoptr (GByteArray) out = g_byte_array_sized_new ((guint)MIN (text->bytes.n, G_MAXINT));
  const char *at = (const char *)text->bytes.data, *end = at + text->bytes.n;

  if (text->bytes.n > G_MAXINT)
    return tess_pickle_damaged (r);
  for (; at < end; at = g_utf8_next_char (at)) {
    gunichar letter = g_utf8_get_char (at);
    guint8 byte = (guint8)letter;

    if (letter > 0xff)
      return tess_pickle_damaged (r);
    g_byte_array_append (out, &byte, 1);
  }
  return tess_pickle_push_own (r, TESS_PICKLE_BYTES, g_steal_pointer (&out));
}

/* A dict of the pairs of a list: how OrderedDict was written once. */
static gboolean
push_dict_of_pairs (TessPickleReader *r, const TessPickleValue *list)
{
  TessPickleValue *dict = tess_pickle_new_value (r, TESS_PICKLE_DICT);

  for (gsize i = 0; dict && list && i < list->list.n; i++) {
    TessPickleValue *pair = list->list.items[i];

    if ((pair->kind != TESS_PICKLE_LIST && pair->kind != TESS_PICKLE_TUPLE) || pair->list.n != 2)
      return tess_pickle_damaged (r);
    if (!tess_pickle_extend (r, dict, (gpointer *)pair->list.items, 2))
      return FALSE;
  }
  return tess_pickle_push (r, dict);
}

/* Calls whose result is plain data (TESS_PICKLE_PLAIN_GLOBALS). Sets *done when it was one. */
static gboolean
push_plain (TessPickleReader *r, const char *global, const TessPickleValue *args, gboolean *done)
{
  const char *dot = strrchr (global, '.');
  const TessPickleValue *first = args->list.n > 0 ? args->list.items[0] : NULL;
  gboolean builtin = g_str_has_prefix (global, "builtins.") || g_str_has_prefix (global, "__builtin__.");
  gboolean list = first && first->kind == TESS_PICKLE_LIST, text = first && first->kind == TESS_PICKLE_STRING;

  *done = TRUE;
  if (strcmp (global, "collections.OrderedDict") == 0 && (!first || list))
    return push_dict_of_pairs (r, first);
  if (strcmp (global, "_codecs.encode") == 0 && text && args->list.n == 2 &&
      (tess_pickle_is_text (args->list.items[1], "latin1") || tess_pickle_is_text (args->list.items[1], "latin-1")))
    return push_latin1 (r, first);
  if (builtin && g_str_has_prefix (dot, ".byte")) {
    if (!first)
      return tess_pickle_push_bytes (r, TESS_PICKLE_BYTES, (const guint8 *)"", 0);
    if (first->kind == TESS_PICKLE_BYTES && args->list.n == 1)
      return tess_pickle_push_bytes (r, TESS_PICKLE_BYTES, first->bytes.data, first->bytes.n);
    if (text && args->list.n == 2)
      return push_latin1 (r, first);
  }
  if (builtin && g_str_has_suffix (dot, "set") && (!first || list)) {
    TessPickleValue *set = tess_pickle_new_value (r, TESS_PICKLE_SET);

    if (set && first && !tess_pickle_extend (r, set, (gpointer *)first->list.items, first->list.n))
      return FALSE;
    return tess_pickle_push (r, set);
  }
  *done = FALSE;
  return TRUE;
}

/* REDUCE and NEWOBJ: the arguments on top, what is called below. */
static gboolean
push_object (TessPickleReader *r)
{
  TessPickleValue *args = tess_pickle_pop (r), *global = args ? tess_pickle_pop (r) : NULL, *object;
  gboolean done;

  if (!global)
    return FALSE;
  if (global->kind != TESS_PICKLE_GLOBAL || args->kind != TESS_PICKLE_TUPLE)
    return tess_pickle_damaged (r);
  if (!push_plain (r, (const char *)global->bytes.data, args, &done))
    return FALSE;
  if (done)
    return TRUE;
  object = tess_pickle_new_value (r, TESS_PICKLE_OBJECT);
  if (!object)
    return FALSE;
  object->object.global = global;
  object->object.args = args;
  return tess_pickle_deepen (r, object, args) && tess_pickle_push (r, object);
}

/* NEWOBJ_EX: arguments by name are none of ours. */
static gboolean
push_object_ex (TessPickleReader *r)
{
  TessPickleValue *named = tess_pickle_pop (r);

  if (!named)
    return FALSE;
  return named->kind == TESS_PICKLE_DICT && named->list.n == 0 ? push_object (r)
                                                               : tess_pickle_refuse_opcode (r, "NEWOBJ_EX");
}

/* BUILD: gives an object its state. What an OrderedDict has besides its contents (PyTorch's _metadata) is left out. */
static gboolean
set_state (TessPickleReader *r)
{
  TessPickleValue *state = tess_pickle_pop (r), *object = state ? tess_pickle_pop (r) : NULL;

  if (!object)
    return FALSE;
  if (object->kind == TESS_PICKLE_OBJECT) {
    object->object.state = state;
    if (!tess_pickle_deepen (r, object, state))
      return FALSE;
  } else if (object->kind != TESS_PICKLE_DICT) {
    return tess_pickle_damaged (r);
  }
  return tess_pickle_push (r, object);
}

static gboolean
push_persistent (TessPickleReader *r, const char *opcode)
{
  TessPickleValue *id = tess_pickle_pop (r), *value;

  if (!id)
    return FALSE;
  if (!r->rules->persistent)
    return tess_pickle_refuse_opcode (r, opcode);
  if (!r->rules->persistent (id, r->rules->user_data, r->error))
    return FALSE;
  value = tess_pickle_new_value (r, TESS_PICKLE_PERSISTENT);
  if (!value)
    return FALSE;
  value->object.args = id;
  return tess_pickle_deepen (r, value, id) && tess_pickle_push (r, value);
}

static gboolean
push_persistent_line (TessPickleReader *r)
{
  const char *line = NULL;
  gsize n = 0;

  return tess_pickle_take_line (r, &line, &n) &&
         tess_pickle_push_bytes (r, TESS_PICKLE_STRING, (const guint8 *)line, n) && push_persistent (r, "PERSID");
}

/* Refused: INST names its class, which is the better thing to say where that is not known. */
static gboolean
refuse_inst (TessPickleReader *r)
{
  return push_global_lines (r) && tess_pickle_refuse_opcode (r, "INST");
}

gboolean
tess_pickle_step_object (TessPickleReader *r, guint8 opcode)
{
  switch (opcode) {
  case 'c': /* GLOBAL */
    return push_global_lines (r);
  case 0x93: /* STACK_GLOBAL */
    return push_stack_global (r);
  case 'R':  /* REDUCE */
  case 0x81: /* NEWOBJ */
    return push_object (r);
  case 0x92: /* NEWOBJ_EX */
    return push_object_ex (r);
  case 'b': /* BUILD */
    return set_state (r);
  case 'P': /* PERSID */
    return push_persistent_line (r);
  case 'Q': /* BINPERSID */
    return push_persistent (r, "BINPERSID");
  case 'i':
    return refuse_inst (r);
  case 'o':
    return tess_pickle_refuse_opcode (r, "OBJ");
  case 0x82:
    return tess_pickle_refuse_opcode (r, "EXT1");
  case 0x83:
    return tess_pickle_refuse_opcode (r, "EXT2");
  case 0x84:
    return tess_pickle_refuse_opcode (r, "EXT4");
  case 0x97:
    return tess_pickle_refuse_opcode (r, "NEXT_BUFFER");
  case 0x98:
    return tess_pickle_refuse_opcode (r, "READONLY_BUFFER");
  default:
    return tess_pickle_damaged (r);
  }
}
