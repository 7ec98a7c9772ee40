#pragma once

#include "tess-plan.h"
#include "tess-safetensors.h"
#include "tess-session.h"

G_BEGIN_DECLS

/* One .safetensors file: parameters under PyTorch's names, metadata "tessera.plan" (JSON), "tessera.provenance"
 * (JSON: program version, dataset identity, fold, epoch, iteration). A checkpoint is the same file with momentum
 * ("optimiser.momentum/NAME") and "tessera.state" (JSON) besides. */
typedef struct {
  char            *path;
  TessPlan        *plan;
  TessSafetensors *file;    /* NULL: another program's model, whose tensors are ... */
  GHashTable      *tensors; /* ... these: name -> TessSafetensor, float32 */
} TessModel;

/* Plan validated; every parameter present with its shape. Checkpoints of nnU-Net v2 (.pth) and v1 (.model) too, if their
 * plans can be kept; how its predictions may differ is the plan's reasons. A folder: the model that a training left. */
TessModel *tess_model_load (const char *path, GError **error);
/* The same for a MeshNet's state dict (.pth) with the dilations of its layers, which it does not hold. */
TessModel *tess_model_load_dilated (const char *path, const gint64 *dilation, guint n, GError **error);
/* What it does and asks for, without its weights. */
TessPlan  *tess_model_load_plan (const char *path, GError **error);
gboolean   tess_model_is_file_name (const char *path); /* .safetensors, .pth, .pt or .model */
gboolean   tess_model_is_named  (const char *path); /* such a file, or a folder with one in it; looks at names only */
char      *tess_model_in_folder (const char *folder, guint *n_folds); /* the file, or NULL */
/* The parameters alone as .pth (a state dict under nnU-Net's names) or with the plan as .safetensors; the network with
 * both as .onnx. Atomic. */
gboolean   tess_model_export (TessModel *model, const char *path, GError **error);
void       tess_model_free (TessModel *model);
/* The parameters and, with momentum, the optimiser's state besides (checkpoints only). */
gboolean   tess_model_copy_params (TessModel *model, TessSession *session, gboolean momentum, GError **error);
/* state_json NULL: no optimiser state. Atomic. */
gboolean   tess_model_save (const char *path, const TessPlan *plan, TessSession *session, const char *provenance_json,
                            const char *state_json, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessModel, tess_model_free)

G_END_DECLS
