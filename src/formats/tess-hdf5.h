#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

extern const TessFormat tess_format_hdf5;

G_END_DECLS
