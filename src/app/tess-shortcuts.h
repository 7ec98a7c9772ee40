#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The one table of keys and gestures: accelerators, shortcuts window and tooltips are made from it. */
void       tess_shortcuts_install    (GtkApplication *application); /* sets the accelerators of app.* and win.* */
GtkWidget *tess_shortcuts_window_new (void);
/* The first accelerator of an action as people read it ("Ctrl+O"), or NULL. */
char      *tess_shortcuts_label      (const char *action);

G_END_DECLS
