#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Axis order everywhere in image, formats, plan, prep, data, augment and infer: (x, y, z), x fastest in memory.
 * World: millimetres, RAS+ (x to the patient's right, y anterior, z superior).
 * Index space: voxel centres at integers; a grid of n voxels spans [-0.5, n-0.5]. */

/* p' = m[:, 0:3] p + m[:, 3]. */
typedef struct {
  double m[3][4];
} TessAffine;

/* Half-open box of voxels: lo <= i < hi. May reach outside a grid. */
typedef struct {
  gint64 lo[3], hi[3];
} TessBox;

typedef struct {
  gint64     dim[3];
  TessAffine affine; /* index -> world mm RAS+ */
} TessGrid;

TessAffine tess_affine_identity    (void);
TessAffine tess_affine_scale       (double sx, double sy, double sz);
TessAffine tess_affine_translate   (double tx, double ty, double tz);
TessAffine tess_affine_compose     (const TessAffine *a, const TessAffine *b); /* p -> a (b (p)) */
gboolean   tess_affine_invert      (const TessAffine *a, TessAffine *inverse); /* FALSE when singular */
void       tess_affine_apply       (const TessAffine *a, const double p[3], double out[3]);
double     tess_affine_determinant (const TessAffine *a);
void       tess_affine_spacing     (const TessAffine *a, double spacing[3]); /* column norms, mm */
gboolean   tess_affine_is_valid    (const TessAffine *a);                    /* finite and invertible */
gboolean   tess_affine_equal       (const TessAffine *a, const TessAffine *b, double tolerance);
/* Nearest anatomical direction of each index axis, e.g. "RAS", "LPI"; as nibabel's aff2axcodes. */
void       tess_affine_orientation (const TessAffine *a, char codes[4]);

/* The grid that covers the same field of view at another spacing: round (dim*old/new) voxels an axis, at least 1,
 * and the same outer corner (voxel edges, not centres, coincide); an axis thinner than half a new voxel: one voxel
 * around its middle. */
TessGrid   tess_grid_respace       (const TessGrid *grid, const double spacing[3]);
gboolean   tess_grid_equal         (const TessGrid *a, const TessGrid *b, double tolerance_mm); /* dims and all 8 corners */
double     tess_grid_corner_offset (const TessGrid *a, const TessGrid *b); /* largest distance of corresponding corners, mm */
/* Index of `from` -> index of `to`. */
gboolean   tess_grid_mapping       (const TessGrid *from, const TessGrid *to, TessAffine *mapping);

gint64   tess_box_n_voxels  (const TessBox *box); /* 0 when empty */
gboolean tess_box_intersect (const TessBox *a, const TessBox *b, TessBox *out); /* FALSE when empty */

G_END_DECLS
