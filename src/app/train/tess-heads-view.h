#pragma once

#include "tess-heads-data.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Every deep-supervision head of the fixed validation sample, one row a head, each at its own resolution; all pictures
 * show the same slice. Wheel, Page Up and Down: slices; a click or Enter enlarges a picture, Escape returns. Signals:
 *   "scrub" (int)  Alt + wheel: so many kept epochs back or forth */
#define TESS_TYPE_HEADS_VIEW (tess_heads_view_get_type ())
G_DECLARE_FINAL_TYPE (TessHeadsView, tess_heads_view, TESS, HEADS_VIEW, GtkWidget)

GtkWidget *tess_heads_view_new (void);
/* names, colours: of every class; copied. Shows the first classes' probabilities. */
void tess_heads_view_set_classes (TessHeadsView *self, guint n, char *const *names, const guint8 (*rgb)[3]);
void tess_heads_view_set_class_shown (TessHeadsView *self, guint klass, gboolean shown);
gboolean tess_heads_view_get_class_shown (TessHeadsView *self, guint klass);
/* now: the newest, or NULL; then: an earlier epoch to stand beside it, or NULL. */
void tess_heads_view_set_data (TessHeadsView *self, TessHeadsData *now, TessHeadsData *then);
/* Which heads the loss looks at: [n], finest first; the others never learn. */
void tess_heads_view_set_weights (TessHeadsView *self, guint n, const double *weights);
void tess_heads_view_set_plane (TessHeadsView *self, TessHeadsPlane plane);
void tess_heads_view_set_mirrored (TessHeadsView *self, gboolean mirrored);
void tess_heads_view_set_message (TessHeadsView *self, const char *message); /* shown while there are no heads */

G_END_DECLS
