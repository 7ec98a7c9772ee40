#pragma once

/* Private to the canvas's own files. */

#include "tess-canvas.h"
#include "tess-hands.h"
#include "tess-overlay.h"
#include "tess-renderer.h"

G_BEGIN_DECLS

/* Zoom relative to the fitted view, and pan in mm along the screen's axes. */
typedef struct {
  double factor, pan[2];
} TessPaneView;

/* What is drawn over a pane is kept in two parts: lines move with the point, texts change with the slice. */
typedef enum {
  TESS_PART_LINES,
  TESS_PART_TEXTS,
  TESS_N_PARTS
} TessOverlayPart;

/* All that a part depends on; equal keys, equal pictures. Zeroed before it is filled. */
typedef struct {
  TessPane pane;
  double cursor[3], basis[3][3], lower, upper;
  gint64 slice, n_slices;
  guint64 grid;
  const void *layer;
  const TessFindings *findings; /* only compared */
  gboolean neurological, nose_right, text, crosshair;
  int scale;
} TessOverlayKey;

struct _TessCanvas {
  GtkWidget parent_instance;
  TessStudy *study;
  GSignalGroup *study_signals;
  GSimpleActionGroup *actions;
  GtkWidget *area, *message;
  TessRenderer *renderer;
  char *gl_error, *draw_error, *status; /* draw_error: what drawing the layers of now failed with */
  guint draw_error_idle, warm_up_idle;
  GskRenderNode *picture; /* where GTK paints with Cairo; made anew when picture_old */
  gboolean picture_old;
  guint framebuffer, colour;
  int framebuffer_size[2];

  int fill; /* a plane, or -1 */
  TessPaneView views[TESS_N_PLANES];
  gboolean show_crosshair, show_text;
  GskRenderNode *nodes[TESS_N_PLANES][TESS_N_PARTS];
  TessOverlayKey keys[TESS_N_PLANES][TESS_N_PARTS];
  GHashTable *texts; /* of the overlay, drawn */
  double seen[TESS_N_PLANES][2]; /* the cursor in each plane when it was last brought into view */
  guint status_tick, describe_timer;
  FILE *frame_log;
  gboolean painted;
  gulong after_paint;

  /* Hands. */
  TessHands hands;
  gboolean swap_window_drag;
  GtkGesture *drag;
  int n_press; /* of the click that goes on: 2 in a double click */
  gboolean pointer_inside, space_held;
  double pointer[2];       /* logical pixels */
  int plane;               /* of the pane that was used last */
  TessDrag mode;
  gboolean moved;          /* by three pixels or more since the button went down */
  double start[2];         /* logical pixels */
  double start_window[2];
  TessPaneView start_view;
  double wheel;            /* parts of a notch not used yet */
};

/* The panes in device pixels as they are now; returns their number. */
guint    tess_canvas_panes         (TessCanvas *self, TessPane panes[TESS_N_PLANES]);
gboolean tess_canvas_pane_at       (TessCanvas *self, double x, double y, TessPane *pane); /* logical pixels */
gboolean tess_canvas_world_at      (TessCanvas *self, double x, double y, double world[3]);
void     tess_canvas_overlay       (TessCanvas *self, TessOverlay *overlay);
void     tess_canvas_redraw        (TessCanvas *self); /* pictures and overlays, at the next frame */
void     tess_canvas_redraw_overlay (TessCanvas *self);
void     tess_canvas_queue_status  (TessCanvas *self);
void     tess_canvas_zoom_at       (TessCanvas *self, const TessPane *pane, double factor, double x, double y);
void     tess_canvas_emit_pointer  (TessCanvas *self);
gboolean tess_canvas_cancel_drag   (TessCanvas *self);
void     tess_canvas_init_gl       (TessCanvas *self);
void     tess_canvas_retry_gl      (TessCanvas *self);
void     tess_canvas_snapshot_picture (TessCanvas *self, GtkSnapshot *snapshot);
void     tess_canvas_clear_gl      (TessCanvas *self);
void     tess_canvas_init_hands    (TessCanvas *self);
void     tess_canvas_init_actions  (TessCanvas *self);
void     tess_canvas_bind_keys     (GtkWidgetClass *klass);
void     tess_canvas_sync_actions  (TessCanvas *self);

G_END_DECLS
