#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The command palette: every command that can be used now, found by typing a part of its name. A popover of the window
 * whose actions it names. */
#define TESS_TYPE_PALETTE (tess_palette_get_type ())
G_DECLARE_FINAL_TYPE (TessPalette, tess_palette, TESS, PALETTE, GtkPopover)

/* @view: the canvas's actions, known here as "view". Made over @parent, shown with tess_palette_open (). */
GtkWidget *tess_palette_new  (GtkWidget *parent, GActionGroup *view);
void       tess_palette_open (TessPalette *self);

G_END_DECLS
