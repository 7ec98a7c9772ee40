#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

extern const TessFormat tess_format_mgh;

G_END_DECLS
