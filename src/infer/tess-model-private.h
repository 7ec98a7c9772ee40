#pragma once

/* Private to the readers and writers of model files. */

#include "tess-model.h"
#include "tess-torch-file.h"

G_BEGIN_DECLS

#define TESS_MODEL_KEY_PLAN "tessera.plan"

char        *tess_model_format_shape  (guint n_dims, const gint64 *dim); /* "{3, 4}" */
TessNetwork *tess_model_build_network (TessModel *model, GError **error);
gboolean     tess_model_is_torch      (const char *path); /* by its name or its first bytes */
/* model->path is set; dilation: of a MeshNet, n_dilation 0 = not given. weights FALSE: they are checked, not read */
gboolean     tess_model_load_torch    (TessModel *model, const gint64 *dilation, guint n_dilation, gboolean weights,
                                       GError **error);
gboolean     tess_model_is_meshnet    (TessTorchFile *file);
gboolean     tess_model_load_meshnet  (TessModel *model, TessTorchFile *file, const gint64 *dilation, guint n_dilation,
                                       GError **error);
const TessSafetensor *tess_model_find (TessModel *model, const char *name); /* one of its network's: always there */
gboolean     tess_model_export_onnx   (TessModel *model, const TessNetwork *network, const char *path, GError **error);
JsonNode    *tess_model_json_of_pickle (const TessPickleValue *value); /* NULL: there is too much of it */
gboolean     tess_model_is_nnunet1     (TessTorchFile *file);
TessPlan    *tess_model_read_nnunet1_plan (TessTorchFile *file, guint axes[3], GError **error); /* from FILE.pkl */
/* The name version 1 has for one of the network's parameters, and whether its network has no such bias: then it is zero. */
char        *tess_model_nnunet1_name   (const TessPlan *plan, const char *name);
gboolean     tess_model_nnunet1_lacks  (TessTorchFile *file, const char *name);
gboolean     tess_model_locate        (TessModel *model, const char *path, guint *n_folds, GError **error);
void         tess_model_take_tensor   (TessModel *model, const char *name, guint n_dims, const gint64 *dim, float *data);

G_END_DECLS
