#pragma once

/* Private to the pickle reader: the state of its stack machine. */

#include "tess-pickle.h"

G_BEGIN_DECLS

typedef struct {
  TessPickle *pickle;
  const char *path;
  const TessPickleRules *rules;
  const guint8 *data;
  gsize n, at;
  GPtrArray *stack;
  GArray *marks;    /* of guint: heights of the stack */
  GHashTable *memo; /* number -> value */
  gboolean stopped;
  GError **error;
} TessPickleReader;

/* All FALSE (or NULL) with *error set on failure. */
gboolean tess_pickle_step           (TessPickleReader *r); /* one operation */
gboolean tess_pickle_step_text      (TessPickleReader *r, guint8 opcode); /* those whose argument is a line of text */
gboolean tess_pickle_step_object    (TessPickleReader *r, guint8 opcode); /* names, calls, things kept outside */
gboolean tess_pickle_fail           (TessPickleReader *r, TessError code, const char *format); /* one %s */
gboolean tess_pickle_damaged        (TessPickleReader *r);
gboolean tess_pickle_refuse_global  (TessPickleReader *r, const char *global);
gboolean tess_pickle_refuse_opcode  (TessPickleReader *r, const char *opcode);
gboolean tess_pickle_extend         (TessPickleReader *r, TessPickleValue *list, gpointer *values, gsize n);
gboolean tess_pickle_deepen         (TessPickleReader *r, TessPickleValue *outer, const TessPickleValue *inner);
gboolean tess_pickle_push           (TessPickleReader *r, TessPickleValue *value); /* NULL: fails */
gboolean tess_pickle_push_int       (TessPickleReader *r, gint64 integer);
gboolean tess_pickle_push_bytes     (TessPickleReader *r, TessPickleKind kind, const guint8 *data, gsize n);
gboolean tess_pickle_push_own       (TessPickleReader *r, TessPickleKind kind, GByteArray *bytes); /* takes bytes */
gboolean tess_pickle_remember       (TessPickleReader *r, guint64 number);
gboolean tess_pickle_recall         (TessPickleReader *r, guint64 number);
TessPickleValue *tess_pickle_pop    (TessPickleReader *r); /* nothing below the last mark */
TessPickleValue *tess_pickle_new_value (TessPickleReader *r, TessPickleKind kind);
gboolean tess_pickle_take_line      (TessPickleReader *r, const char **line, gsize *n); /* without its newline */

G_END_DECLS
