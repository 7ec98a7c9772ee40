#pragma once

#include "tess-scene.h"

G_BEGIN_DECLS

/* One slice on the canvas, in device pixels from the canvas's top left corner. */
typedef struct {
  TessPlane plane;
  int    x, y, width, height;
  double zoom;      /* device pixels per mm */
  double pan[2];    /* world mm of the pane's centre relative to the fitted centre, along u and v */
} TessPane;

/* World point of the centre of pixel (i,j): origin + i u + j v; i to the right, j down. */
typedef struct {
  double origin[3], u[3], v[3], normal[3];
} TessPaneMap;

void   tess_pane_axes       (const TessScene *scene, TessPlane plane, double right[3], double down[3], double normal[3]);
void   tess_pane_fit        (TessPane *pane, const TessScene *scene); /* zoom so that the main layer fills the pane */
void   tess_pane_map        (const TessPane *pane, const TessScene *scene, TessPaneMap *map);
void   tess_pane_to_world   (const TessPane *pane, const TessScene *scene, double px, double py, double world[3]); /* canvas pixels */
void   tess_pane_from_world (const TessPane *pane, const TessScene *scene, const double world[3], double *px, double *py);
double tess_pane_step       (const TessScene *scene, TessPlane plane); /* mm between slices of the main layer */
/* Slice number of the cursor in the main layer along this plane's normal, from 1 to *n. */
gint64 tess_pane_slice      (const TessScene *scene, TessPlane plane, gint64 *n);
void   tess_pane_scroll     (TessScene *scene, TessPlane plane, gint64 steps); /* moves the cursor, kept inside the main layer */
/* Letters at the left, right, top and bottom edge, e.g. "R", "L", "A", "P". */
void   tess_pane_letters    (const TessScene *scene, TessPlane plane, const char *letters[4]);
/* Lays out the panes of a canvas: fill < 0 all three (axial | sagittal over coronal), else one. Returns the number. */
guint  tess_pane_layout     (int width, int height, int fill, TessPane panes[TESS_N_PLANES]);

G_END_DECLS
