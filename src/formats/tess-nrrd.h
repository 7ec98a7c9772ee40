#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

extern const TessFormat tess_format_nrrd;

/* Whether a file of this name is a Slicer segmentation: labels, whatever else is known of them. */
gboolean tess_nrrd_is_segmentation (const char *path);

G_END_DECLS
