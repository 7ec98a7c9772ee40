#pragma once

/* Private to the readers and writers of model files. */

#include "tess-model.h"

G_BEGIN_DECLS

#define TESS_MODEL_KEY_PLAN "tessera.plan"

char        *tess_model_format_shape  (guint n_dims, const gint64 *dim); /* "{3, 4}" */
TessNetwork *tess_model_build_network (TessModel *model, GError **error);
gboolean     tess_model_is_torch      (const char *path); /* by its name or its first bytes */
gboolean     tess_model_load_torch    (TessModel *model, GError **error); /* model->path is set */

G_END_DECLS
