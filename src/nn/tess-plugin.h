#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Opens libtessera-ID.so, looked for in the folders of $TESSERA_BACKEND_DIR (separated by colons), then in the installed
 * one, and finds its entry. What was opened stays: vendor libraries keep threads and exit handlers. path: new string.
 * FALSE with UNSUPPORTED. */
gboolean tess_plugin_open     (const char *id, const char *symbol, gpointer *entry, char **path, GError **error);
/* The error of a plugin whose interface is not the wanted one. */
void     tess_plugin_mismatch (const char *path, guint32 wanted, GError **error);

G_END_DECLS
