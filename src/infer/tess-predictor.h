#pragma once

#include "tess-model.h"
#include "tess-sampler.h"

G_BEGIN_DECLS

/* Sliding-window inference with a model on a device. One thread at a time. */
typedef struct _TessPredictor TessPredictor;

TessPredictor *tess_predictor_new  (TessModel *model, const TessBackendIface *backend, guint device, guint n_threads,
                                    TessDType act_dtype, GError **error);
void           tess_predictor_free (TessPredictor *predictor);
/* Every tile is also segmented mirrored, along each set of those axes (bits: x 1, y 2, z 4) that training mirrored, and
 * the logits are averaged: up to 8 times the work. 0, as at first: not at all. Returns the axes it will be. */
guint          tess_predictor_set_mirror (TessPredictor *predictor, guint axes);
/* images: the scan's channels in plan order (MISMATCH before any work when the count differs). Result: uint8 labels
 * with the plan's label table on exactly the input's grid. Memory is bounded by a band of tile rows, not the scan. */
TessVolume    *tess_predictor_run  (TessPredictor *predictor, TessVolume *const *images, guint n_images,
                                    TessProgress *progress, GError **error);
/* Of the last scan: bytes of the sums of logits that the device had no room for, so that they lay in the host's memory,
 * which is slower; 0: none. */
guint64        tess_predictor_near_bytes (const TessPredictor *predictor);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessPredictor, tess_predictor_free)

G_END_DECLS
