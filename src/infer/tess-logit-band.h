#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* Weighted sums of logits in a band of slices that slides along z over the target grid, and their way into labels on
 * the scan's own grid. Holds patch depth + 1 slices at most, whatever the scan's length. */
typedef struct _TessLogitBand TessLogitBand;

/* target: the grid tiles lie in; output: one-channel uint8 volume on the scan's grid, whose index axes are the
 * target's; depth: slices of a tile. */
TessLogitBand *tess_logit_band_new   (const TessGrid *target, TessVolume *output, guint n_classes, gint64 depth, GError **error);
void           tess_logit_band_free  (TessLogitBand *band);
/* Every channel is a region of its own, found where its logit is above 0; in order each paints its label, later ones over
 * earlier ones. Without this the channel with the largest logit is the label. labels: one a channel, copied. */
void           tess_logit_band_set_regions (TessLogitBand *band, const guint8 *labels);
/* Slices below z_end get tiles from now on: makes room for them. What is finished must have been said before. */
void           tess_logit_band_open  (TessLogitBand *band, gint64 z_end);
/* logits {D,H,W,classes} of a tile at box (which may reach outside); weights {D,H,W} or NULL = 1. */
void           tess_logit_band_add   (TessLogitBand *band, const TessBox *box, const float *logits, const float *weights);
/* No later tile touches slices below z: labels are written as far as they are known now. */
void           tess_logit_band_finish (TessLogitBand *band, gint64 z);
gsize          tess_logit_band_bytes (const TessLogitBand *band);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLogitBand, tess_logit_band_free)

G_END_DECLS
