#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* Axes that are not at right angles: a gantry tilt, for one. */
gboolean tess_affine_is_sheared (const TessAffine *a);
/* The orthogonal grid around a sheared one, with its slices where they are and rows in their direction. */
gboolean tess_grid_upright      (const TessGrid *grid, TessGrid *upright, GError **error);
/* The volume on that grid; itself (a reference) when its axes are at right angles. */
TessVolume *tess_volume_upright (TessVolume *volume, TessProgress *progress, GError **error);

G_END_DECLS
