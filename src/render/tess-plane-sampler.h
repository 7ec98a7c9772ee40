#pragma once

#include "tess-pane.h"

G_BEGIN_DECLS

/* Samples one layer at every pixel of a pane on the processor: exact trilinear (or nearest) in the layer's own grid.
 * values: width*height floats, NaN outside the volume; rows top to bottom. */
void tess_plane_sample_values (const TessLayer *layer, const TessPaneMap *map, int width, int height, float *values);
/* Label layers: nearest voxel; -1 outside, else value + 0 clamped to int32. */
void tess_plane_sample_labels (const TessLayer *layer, const TessPaneMap *map, int width, int height, gint32 *values);

G_END_DECLS
