#pragma once

#include "tess-sampler.h"

G_BEGIN_DECLS

/* Whether plan and case fit each other; MISMATCH. */
gboolean tess_sampler_check (const TessPlan *plan, const TessCase *c, gboolean wants_label, GError **error);
/* tess-sampler-voxels.c: fills `out` through `mapping` (patch voxel -> native voxel), both already checked. copy: where
 * the mapping takes voxels onto voxels, copy instead of interpolating; the result has the same bits. */
gboolean tess_sampler_voxels (const TessPlan *plan, const TessCase *c, const TessAffine *mapping, gboolean copy,
                              TessPatchOut *out, GError **error);

G_END_DECLS
