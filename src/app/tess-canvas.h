#pragma once

#include "tess-study.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The pictures: one GtkGLArea for all panes, overlays by render's Cairo functions in snapshot, hands as window.md's
 * table says. Its accessible description holds position, value and label.
 * Signal "pointer-moved" (world x, y, z as doubles, inside as boolean). Properties: study, status (the line of text for
 * the status bar), gl-error, hands ("radiology", "research" or "slicer": which drag does what), swap-window-drag (the
 * level is to the side, the width up and down). Its commands are the action group below, inserted on the canvas as
 * "view"; whoever has menus inserts it too, so that "view.grid" works there. */
#define TESS_TYPE_CANVAS (tess_canvas_get_type ())
G_DECLARE_FINAL_TYPE (TessCanvas, tess_canvas, TESS, CANVAS, GtkWidget)

GtkWidget  *tess_canvas_new          (void);
void        tess_canvas_set_study    (TessCanvas *self, TessStudy *study);
TessStudy  *tess_canvas_get_study    (TessCanvas *self);
void        tess_canvas_reset_view   (TessCanvas *self);
void        tess_canvas_set_fill     (TessCanvas *self, int plane); /* -1: all three */
const char *tess_canvas_get_status   (TessCanvas *self);
const char *tess_canvas_get_gl_error (TessCanvas *self); /* sentence, NULL when GL works */
GActionGroup *tess_canvas_get_actions (TessCanvas *self); /* (transfer none); see tess-canvas-actions.c */
/* What the canvas shows now, with overlays, at device resolution, as PNG (atomic). */
gboolean    tess_canvas_save_picture (TessCanvas *self, const char *path, GError **error);
/* The same; the file is written on a worker. */
void        tess_canvas_save_picture_async  (TessCanvas *self, const char *path, GAsyncReadyCallback callback, gpointer user_data);
gboolean    tess_canvas_save_picture_finish (TessCanvas *self, GAsyncResult *result, GError **error);

G_END_DECLS
