#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* What the readers had to say of the files on the canvas, above it: one sentence, how many there are, all of them behind
 * Details, and a cross. Quiet: nothing is wrong with the program or with what the user did. */
#define TESS_TYPE_NOTES_BAR (tess_notes_bar_get_type ())
G_DECLARE_FINAL_TYPE (TessNotesBar, tess_notes_bar, TESS, NOTES_BAR, GtkWidget)

/* Those that were put away once with the cross do not come back while they stay the same. */
void tess_notes_bar_set_notes (TessNotesBar *self, const char *const *notes);

G_END_DECLS
