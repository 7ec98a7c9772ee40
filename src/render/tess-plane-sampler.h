#pragma once

#include "tess-pane.h"

G_BEGIN_DECLS

/* Samples one layer at every pixel of a pane on the processor: exact trilinear (or nearest) in the layer's own grid.
 * values: width*height floats, NaN outside the volume; rows top to bottom. */
void tess_plane_sample_values (const TessLayer *layer, const TessPaneMap *map, int width, int height, float *values);
/* The same less `zero`, which keeps the digits of values far from 0. */
void tess_plane_sample_relative (const TessLayer *layer, const TessPaneMap *map, int width, int height, double zero,
                                 float *values);
/* Label layers: nearest voxel; -1 outside, else value + 0 clamped to int32. */
void tess_plane_sample_labels (const TessLayer *layer, const TessPaneMap *map, int width, int height, gint32 *values);
/* Place of a label in the table of 65536 colours: its own, or shared where it is larger. */
#define TESS_PLANE_SLOT(label) ((label) < 65536 ? (label) : 1 + (label) % 65535)
#define TESS_PLANE_EDGE (1 << 24)
/* Turns labels into slots, with TESS_PLANE_EDGE where the pixel to the left, right, above or below is another label. */
void tess_plane_mark_edges (gint32 *labels, int width, int height);

G_END_DECLS
