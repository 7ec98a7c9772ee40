#pragma once

#include "tess-patch-grid.h"
#include "tess-volume.h"

G_BEGIN_DECLS

/* Patches cut out of a volume and put back: weighted mean in float64, or for labels the weighted vote. A voxel whose
 * patches all agree gets exactly that value, for every dtype. One channel. */
typedef struct _TessReconstruction TessReconstruction;

/* Cuts box out of channel c in the volume's dtype; outside the volume the nearest voxel's value. */
void                tess_patch_cut (const TessVolume *volume, gint64 channel, const TessBox *box, void *patch);

/* weights: size of a patch, or NULL = 1. vote: labels. grid and weights are borrowed and must live as long. */
TessReconstruction *tess_reconstruction_new    (TessDType dtype, const TessPatchGrid *grid, const float *weights, gboolean vote, GError **error);
void                tess_reconstruction_add    (TessReconstruction *r, guint64 i, const void *patch); /* what lies outside is dropped */
/* Into target (dim voxels of dtype, x fastest); a voxel no patch was added for becomes 0. NO_MEMORY when the votes of
 * an earlier tess_reconstruction_add did not fit. */
gboolean            tess_reconstruction_finish (TessReconstruction *r, void *target, GError **error);
void                tess_reconstruction_free   (TessReconstruction *r);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessReconstruction, tess_reconstruction_free)

G_END_DECLS
