#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* The name the user chose with the ending the file will have. When that is another name, the file chooser did not ask
 * about a file of it: this asks, and calls @go_on with the whole path unless the user says no. At once when nothing is
 * there. A file that @keep (nullable) names is never replaced: that is said in the bar. Main thread. */
typedef void (*TessReplaceFunc) (TessWindow *window, const char *path, gboolean yes, gpointer data);
void tess_replace_ask (TessWindow *window, const char *chosen, const char *ending, const char *keep,
                       TessReplaceFunc go_on, gpointer data);

G_END_DECLS
