#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* Agreement of one label between a reference and a prediction on the same grid. Values that are undefined
 * (label absent in both; distances when absent in one) are NaN. */
typedef struct {
  gint64 label;
  gint64 tp, fp, fn;      /* voxels */
  double dice, iou;       /* NaN when absent in both, 0 when absent in one */
  double hd95;            /* mm, 95th percentile of the pooled two-way surface distances */
  double volume_reference, volume_prediction; /* mm^3 */
} TessLabelMetrics;

gboolean tess_metrics_compute (const TessVolume *reference, const TessVolume *prediction, gint64 label,
                               gboolean distances, TessLabelMetrics *out, GError **error);
/* Euclidean distance (mm) of every voxel of the grid to the nearest voxel with mask != 0; infinity when there is none.
 * mask and out: dim[0]*dim[1]*dim[2], x fastest. Exact (Felzenszwalb & Huttenlocher 2012), anisotropic spacing. */
void     tess_distance_transform (const guint8 *mask, const gint64 dim[3], const double spacing[3], float *out);

G_END_DECLS
