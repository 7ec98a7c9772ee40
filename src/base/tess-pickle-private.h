#pragma once

/* Private to the pickle reader. */

#include "tess-pickle.h"

G_BEGIN_DECLS

struct _TessPickleValue {
  guint8 kind;
  guint16 depth; /* of what it holds, as far as it held it when it was put elsewhere */
  union {
    gboolean boolean;
    gint64 integer;
    double real;
    struct {
      const guint8 *data;
      guint8 *mine;
      gsize n;
    } bytes;
    struct {
      TessPickleValue **items; /* a dict's: key, content, key, ... */
      gsize n, room;
    } list;
    struct {
      TessPickleValue *global, *args, *state, *contents;
    } object;
  };
};

G_END_DECLS
