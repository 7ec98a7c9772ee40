#pragma once

#include "tess-backend.h"
#include "tess-volume.h"

G_BEGIN_DECLS

/* Weighted sums of logits in a band of slices that slides along z over the target grid, and their way into labels on
 * the scan's own grid, in a device's memory or, where that is too small, in the host's. Holds patch depth + 1 slices at
 * most, whatever the scan's length. */
typedef struct _TessLogitBand TessLogitBand;

/* target: the grid tiles lie in; output: one-channel uint8 volume on the scan's grid, whose index axes are the
 * target's; tile: its size x, y, z; weights {D,H,W} of a tile, NULL = 1; room: bytes of the
 * device's memory that the sums may take, else they lie near it. The device outlives the band. */
TessLogitBand *tess_logit_band_new   (const TessBackendIface *backend, TessDevice *device, const TessGrid *target, TessVolume *output,
                                      guint n_classes, const gint64 tile[3], const float *weights, guint64 room, GError **error);
void           tess_logit_band_free  (TessLogitBand *band);
/* Every channel is a region of its own, found where its logit is above 0; in order each paints its label, later ones over
 * earlier ones. Without this the channel with the largest logit is the label. labels: one a channel, copied. */
void           tess_logit_band_set_regions (TessLogitBand *band, const guint8 *labels);
/* Slices below z_end get tiles from now on: makes room for them. What is finished must have been said before. */
gboolean       tess_logit_band_open  (TessLogitBand *band, gint64 z_end, GError **error);
/* logits {D,H,W,classes} of a tile at box (which may reach outside), at offset bytes in a buffer of the device; along
 * axes whose bits (x 1, y 2, z 4) are in mirrored they run backward. */
gboolean       tess_logit_band_add   (TessLogitBand *band, const TessBox *box, TessBuffer *logits, gsize offset, guint mirrored, GError **error);
/* No later tile touches slices below z: labels are written as far as they are known now. */
gboolean       tess_logit_band_finish (TessLogitBand *band, gint64 z, GError **error);
gsize          tess_logit_band_bytes (const TessLogitBand *band);
gboolean       tess_logit_band_is_near (const TessLogitBand *band); /* the device had no room for it */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLogitBand, tess_logit_band_free)

G_END_DECLS
