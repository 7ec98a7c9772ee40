#pragma once

/* Private to the formats. A volume's memory is taken from the kernel page by page as it is first written, and the kernel
 * clears every page: a thread that runs a little ahead of the reader does that on another core. */

#include "tess-volume.h"

G_BEGIN_DECLS

typedef struct _TessVoxelsAhead TessVoxelsAhead;

TessVoxelsAhead *tess_voxels_ahead_new     (TessVolume *volume); /* NULL when it is not worth while */
void             tess_voxels_ahead_reached (TessVoxelsAhead *ahead, gsize n_bytes); /* so many are written */
void             tess_voxels_ahead_free    (TessVoxelsAhead *ahead);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessVoxelsAhead, tess_voxels_ahead_free)

G_END_DECLS
