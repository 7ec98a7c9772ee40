#pragma once

#include "tess-pane.h"

G_BEGIN_DECLS

/* Draws panes into the current framebuffer of the current GL context (core 3.3 or newer). Knows no toolkit. */
typedef struct _TessRenderer TessRenderer;

TessRenderer *tess_renderer_new  (GError **error); /* with a current context; UNSUPPORTED names what is missing */
void          tess_renderer_free (TessRenderer *renderer); /* with the same context current */
/* width, height: of the framebuffer. from_top: its first row is the picture's top (to be read), not its bottom (to be shown
 * by GL). */
gboolean      tess_renderer_draw (TessRenderer *renderer, const TessScene *scene, const TessPane *panes, guint n_panes,
                                  int width, int height, gboolean from_top, GError **error);
/* Compiles what one image needs ahead of time, so that the first picture comes sooner. */
void          tess_renderer_warm_up (TessRenderer *renderer);
gboolean      tess_renderer_is_software (TessRenderer *renderer);

/* A context of its own without any window system (EGL surfaceless), for pictures and tests. */
typedef struct _TessOffscreen TessOffscreen;

TessOffscreen *tess_offscreen_new   (int width, int height, GError **error);
void           tess_offscreen_free  (TessOffscreen *offscreen);
/* RGBA, rows top to bottom, width*height*4 bytes. */
gboolean       tess_offscreen_draw  (TessOffscreen *offscreen, const TessScene *scene, const TessPane *panes, guint n_panes,
                                     guint8 *rgba, GError **error);

G_END_DECLS
