#pragma once

#include "tess-geometry.h"

G_BEGIN_DECLS

/* Boxes of one size that cover a volume of any shape. Where an axis is shorter than the patch the box reaches
 * outside on both sides (padding (size-dim)/2 before, the rest after). Boxes are in voxels of the volume. */
typedef struct {
  gint64  dim[3], size[3];
  guint   n[3];      /* starts an axis */
  gint64 *start[3];  /* ascending; may be negative (padding) */
} TessPatchGrid;

/* Starts 0, stride, 2 stride, ... and a last one clamped to dim-size. Any size >= 1; stride 1..size (a larger stride
 * would leave voxels uncovered: USAGE). */
TessPatchGrid *tess_patch_grid_new        (const gint64 dim[3], const gint64 size[3], const gint64 stride[3], GError **error);
/* nnU-Net's: ceil ((dim-size) / (step*size)) + 1 starts an axis, evenly spread, rounded half to even. */
TessPatchGrid *tess_patch_grid_new_spread (const gint64 dim[3], const gint64 size[3], double step, GError **error);
void           tess_patch_grid_free       (TessPatchGrid *grid);
guint64        tess_patch_grid_n          (const TessPatchGrid *grid);
TessBox        tess_patch_grid_box        (const TessPatchGrid *grid, guint64 i); /* x fastest, z slowest */
/* Share of the volume's voxels that lie in at least one box, counted, not assumed. */
double         tess_patch_grid_coverage   (const TessPatchGrid *grid);

/* Weight of every voxel of a patch: separable Gaussian with sigma = size/8 an axis centred at (size-1)/2, largest
 * value 1, smallest clamped above 0. size[0]*size[1]*size[2] values, x fastest. */
float *tess_patch_weights_gaussian (const gint64 size[3]);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessPatchGrid, tess_patch_grid_free)

G_END_DECLS
