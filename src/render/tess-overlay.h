#pragma once

#include "tess-pane.h"
#include <cairo.h>

G_BEGIN_DECLS

/* What is drawn over the pictures. The patch grid comes as its starts an axis, in voxels of the main layer (x, y, z),
 * because cutting is prep's business and not the renderer's. */
typedef struct {
  gboolean      text, crosshair;
  double        scale;         /* device pixels per logical pixel */
  gboolean      findings;      /* the scene's */
  gboolean      grid;
  gint64        patch[3];
  guint         n_starts[3];
  const gint64 *starts[3];
  GHashTable   *texts;         /* tess_overlay_texts_new(): drawn ones, kept for the next time; or NULL */
} TessOverlay;

/* Texts, edge letters, crosshair, scale bar, findings and patch grid of every pane, in device pixels; the same function for the
 * window and for pictures. */
void        tess_overlay_draw  (const TessOverlay *overlay, cairo_t *cr, const TessScene *scene, const TessPane *panes, guint n_panes);
GHashTable *tess_overlay_texts_new (void);
const char *tess_plane_name    (TessPlane plane);               /* translated */
void        tess_plane_colour  (TessPlane plane, double rgb[3]);
char       *tess_format_position (const double world[3]);       /* "R 3.0  A 12.0  S 8.5 mm" */

G_END_DECLS
