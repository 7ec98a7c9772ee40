#pragma once

#include "oracle.h"
#include "tess-renderer.h"

G_BEGIN_DECLS

/* The same scene for the renderer. Volumes are made from the oracle's numbers; channel 1 of two is shown where
 * `channels` says 2, channel 0 being something else. */
TessScene *picture_scene (const OracleScene *oracle, int channels);
/* Draws off-screen; NULL where this machine cannot (says why and skips the test). volumes: voxels as 3-D textures. */
guint8    *picture_draw  (const TessScene *scene, const TessPane *panes, guint n_panes, int width, int height, gboolean volumes);

G_END_DECLS
