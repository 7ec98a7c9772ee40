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
  TessSafetensors *file;
} TessModel;

TessModel *tess_model_load (const char *path, GError **error); /* plan validated; every parameter present with its shape */
void       tess_model_free (TessModel *model);
/* The parameters and, with momentum, the optimiser's state besides (checkpoints only). */
gboolean   tess_model_copy_params (TessModel *model, TessSession *session, gboolean momentum, GError **error);
/* state_json NULL: no optimiser state. Atomic. */
gboolean   tess_model_save (const char *path, const TessPlan *plan, TessSession *session, const char *provenance_json,
                            const char *state_json, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessModel, tess_model_free)

G_END_DECLS
