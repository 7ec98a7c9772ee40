#pragma once

#include "tess-label-file.h"

G_BEGIN_DECLS

/* Tables in JSON, for tess-label-file.c. */
TessLabelTable *tess_label_json_load (const char *path, GError **error);
gboolean        tess_label_json_save (TessLabelTable *labels, const char *path, GError **error);

G_END_DECLS
