#pragma once

#include "tess-hands.h"

G_BEGIN_DECLS

/* The one table of commands and keys: accelerators, shortcuts window, command palette and tooltips are made from it. */
void       tess_shortcuts_install    (GtkApplication *application); /* sets the accelerators of app, win and window */
GtkWidget *tess_shortcuts_window_new (TessHands hands);
/* Command @i of the table, FALSE behind the last: its translated title, the detailed action and its first key as people
 * read it ("Ctrl+O", NULL when it has none; free it). Actions of "view" are in the canvas's group. */
gboolean   tess_shortcuts_nth        (guint i, const char **title, const char **action, char **key);
/* "Open a scan (Ctrl+O)": @text with the first accelerator of @action. */
char      *tess_shortcuts_tooltip    (const char *text, const char *action);

G_END_DECLS
