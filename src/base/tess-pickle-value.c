#include "tess-pickle-private.h"

#include <string.h>

TessPickleKind
tess_pickle_kind (const TessPickleValue *value)
{
  return (TessPickleKind)value->kind;
}

gboolean
tess_pickle_bool (const TessPickleValue *value, gboolean *out)
{
  if (!value || value->kind != TESS_PICKLE_BOOL)
    return FALSE;
  *out = value->boolean;
  return TRUE;
}

gboolean
tess_pickle_int (const TessPickleValue *value, gint64 *out)
{
  if (!value || (value->kind != TESS_PICKLE_INT && value->kind != TESS_PICKLE_BOOL))
    return FALSE;
  *out = value->kind == TESS_PICKLE_BOOL ? value->boolean : value->integer;
  return TRUE;
}

gboolean
tess_pickle_number (const TessPickleValue *value, double *out)
{
  gint64 integer;

  if (value && value->kind == TESS_PICKLE_FLOAT) {
    *out = value->real;
    return TRUE;
  }
  if (!tess_pickle_int (value, &integer))
    return FALSE;
  *out = (double)integer;
  return TRUE;
}

const guint8 *
tess_pickle_bytes (const TessPickleValue *value, gsize *n)
{
  if (!value ||
      (value->kind != TESS_PICKLE_STRING && value->kind != TESS_PICKLE_BYTES && value->kind != TESS_PICKLE_LONG))
    return NULL;
  *n = value->bytes.n;
  return value->bytes.data;
}

gboolean
tess_pickle_is_text (const TessPickleValue *value, const char *text)
{
  gsize n;
  const guint8 *data = tess_pickle_bytes (value, &n);

  return data && value->kind != TESS_PICKLE_LONG && n == strlen (text) && memcmp (data, text, n) == 0;
}

/* The value whose items count as this one's. */
static const TessPickleValue *
container (const TessPickleValue *value)
{
  if (value && value->kind == TESS_PICKLE_OBJECT)
    value = value->object.contents;
  return value && (value->kind == TESS_PICKLE_LIST || value->kind == TESS_PICKLE_TUPLE ||
                   value->kind == TESS_PICKLE_SET || value->kind == TESS_PICKLE_DICT)
             ? value
             : NULL;
}

gsize
tess_pickle_n (const TessPickleValue *value)
{
  const TessPickleValue *list = container (value);

  return !list ? 0 : list->kind == TESS_PICKLE_DICT ? list->list.n / 2 : list->list.n;
}

const TessPickleValue *
tess_pickle_nth (const TessPickleValue *value, gsize i)
{
  const TessPickleValue *list = container (value);

  return list && list->kind != TESS_PICKLE_DICT && i < list->list.n ? list->list.items[i] : NULL;
}

gboolean
tess_pickle_pair (const TessPickleValue *value, gsize i, const TessPickleValue **key, const TessPickleValue **content)
{
  const TessPickleValue *list = container (value);

  if (!list || list->kind != TESS_PICKLE_DICT || i >= list->list.n / 2)
    return FALSE;
  *key = list->list.items[2 * i];
  *content = list->list.items[2 * i + 1];
  return TRUE;
}

/* Where a key was set twice, the last counts. */
const TessPickleValue *
tess_pickle_lookup (const TessPickleValue *dict, const char *text)
{
  const TessPickleValue *key, *content;

  for (gsize i = tess_pickle_n (dict); i-- > 0;)
    if (tess_pickle_pair (dict, i, &key, &content) && tess_pickle_is_text (key, text))
      return content;
  return NULL;
}

const char *
tess_pickle_global (const TessPickleValue *value)
{
  if (value && value->kind == TESS_PICKLE_OBJECT)
    value = value->object.global;
  return value && value->kind == TESS_PICKLE_GLOBAL ? (const char *)value->bytes.data : NULL;
}

const TessPickleValue *
tess_pickle_args (const TessPickleValue *value)
{
  return value && (value->kind == TESS_PICKLE_OBJECT || value->kind == TESS_PICKLE_PERSISTENT) ? value->object.args
                                                                                               : NULL;
}

const TessPickleValue *
tess_pickle_state (const TessPickleValue *value)
{
  return value && value->kind == TESS_PICKLE_OBJECT ? value->object.state : NULL;
}
