#pragma once

#include "tess-error.h"
#include "tess-thread.h"

G_BEGIN_DECLS

/* A function of a library, and where its pointer stands in the table. */
typedef struct {
  const char *name;
  gsize       offset; /* bytes */
} TessLibraryFunction;

/* A library that is opened when it is first needed, and called through a table of function pointers. A static variable
 * of the file that wraps it. */
typedef struct {
  const char *file; /* "libdnnl.so.2", found as the loader finds it; or NULL and a way of one's own: */
  void *(*open) (char **path, GError **error); /* what dlsym() takes; path: a new string, as sentences call it */
  const char *remedy; /* "install ...", for translation: how sentences about it end */
  const TessLibraryFunction *functions;
  guint n_functions;
  void *table;
  gboolean (*check) (gconstpointer table, const char *path, GError **error); /* its version; NULL: any will do */
  TessMutex mutex;  /* TESS_MUTEX_INIT */
  gboolean  loaded; /* under mutex */
} TessLibrary;

gconstpointer tess_library_load (TessLibrary *library, GError **error);

G_END_DECLS
