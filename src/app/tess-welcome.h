#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* What View shows before a scan is open: a sentence, Open, and what was open lately. */
#define TESS_TYPE_WELCOME (tess_welcome_get_type ())
G_DECLARE_FINAL_TYPE (TessWelcome, tess_welcome, TESS, WELCOME, GtkWidget)

/* Files and folders that Tessera opened lately, newest first: at most n paths, NULL-terminated. */
char **tess_recent_paths (guint n);
void   tess_recent_add   (const char *path);

G_END_DECLS
