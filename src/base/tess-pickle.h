#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Python's pickles, protocols 0 to 5, read as data: a tree of values, nothing is ever called or imported. */
typedef enum {
  TESS_PICKLE_NONE,
  TESS_PICKLE_BOOL,
  TESS_PICKLE_INT,
  TESS_PICKLE_LONG,  /* an integer of more than 64 bits: its bytes, little-endian two's complement */
  TESS_PICKLE_FLOAT,
  TESS_PICKLE_STRING,
  TESS_PICKLE_BYTES, /* bytes, bytearray, and Python 2's str */
  TESS_PICKLE_LIST,
  TESS_PICKLE_TUPLE,
  TESS_PICKLE_SET,   /* and frozenset */
  TESS_PICKLE_DICT,  /* and OrderedDict */
  TESS_PICKLE_GLOBAL, /* a name, "module.name" */
  TESS_PICKLE_OBJECT, /* what calling a global would have made: its name, arguments, state and contents */
  TESS_PICKLE_PERSISTENT, /* a thing kept outside, by its id */
} TessPickleKind;

typedef struct _TessPickle TessPickle; /* owns all values */
typedef struct _TessPickleValue TessPickleValue;

/* What is taken besides plain data. */
typedef struct {
  const char *const *globals; /* "module.name" each, NULL-terminated; any other is refused by its name */
  /* Whether an object kept outside is known; NULL: none is. */
  gboolean (*persistent) (const TessPickleValue *id, gpointer user_data, GError **error);
  gpointer user_data;
} TessPickleRules;

/* Names that make plain data of older protocols; understood here, but taken only when the rules list them. */
#define TESS_PICKLE_PLAIN_GLOBALS                                                                                      \
  "collections.OrderedDict", "_codecs.encode", "__builtin__.bytes", "builtins.bytes", "__builtin__.bytearray",         \
      "builtins.bytearray", "__builtin__.set", "builtins.set", "__builtin__.frozenset", "builtins.frozenset"

TessPickle            *tess_pickle_parse (GBytes *bytes, const char *path, const TessPickleRules *rules, GError **error);
TessPickle            *tess_pickle_load  (const char *path, gsize most, const TessPickleRules *rules, GError **error);
void                   tess_pickle_free  (TessPickle *pickle);
const TessPickleValue *tess_pickle_root  (TessPickle *pickle);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessPickle, tess_pickle_free)

TessPickleKind tess_pickle_kind (const TessPickleValue *value);
/* These accept any value and NULL: another kind gives FALSE or NULL or 0. */
gboolean       tess_pickle_bool   (const TessPickleValue *value, gboolean *out);
gboolean       tess_pickle_int    (const TessPickleValue *value, gint64 *out);  /* bool too */
gboolean       tess_pickle_number (const TessPickleValue *value, double *out);  /* int, float, bool */
const guint8  *tess_pickle_bytes  (const TessPickleValue *value, gsize *n);     /* also of a string (UTF-8) and a long */
gboolean       tess_pickle_is_text (const TessPickleValue *value, const char *text);
gsize          tess_pickle_n      (const TessPickleValue *value);               /* elements; pairs of a dict */
/* Element of a list, tuple or set; of an object: what was appended to it. */
const TessPickleValue *tess_pickle_nth    (const TessPickleValue *value, gsize i);
gboolean               tess_pickle_pair   (const TessPickleValue *value, gsize i, const TessPickleValue **key,
                                           const TessPickleValue **content);
const TessPickleValue *tess_pickle_lookup (const TessPickleValue *dict, const char *key); /* NULL when absent */
const char            *tess_pickle_global (const TessPickleValue *value); /* of a global or an object: "module.name" */
const TessPickleValue *tess_pickle_args   (const TessPickleValue *value); /* of an object: a tuple; persistent: the id */
const TessPickleValue *tess_pickle_state  (const TessPickleValue *value); /* of an object; NULL when none was set */

G_END_DECLS
