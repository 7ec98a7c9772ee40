#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

typedef struct {
  double min, max, mean, std; /* of the finite real values; std is the population's */
  gint64 n_finite, n_not_finite;
} TessStatistics;

/* channel -1 = all channels together. */
gboolean tess_volume_statistics (const TessVolume *volume, gint64 channel, TessProgress *progress, TessStatistics *out, GError **error);
/* The same of all channels while the volume is being loaded: a thread counts what lies below its watermark. One thread
 * begins a run, advances and finishes it. */
typedef struct _TessStatisticsRun TessStatisticsRun;

TessStatisticsRun *tess_statistics_follow      (TessVolume *volume);
void               tess_statistics_run_advance (TessStatisticsRun *run);
gboolean           tess_statistics_run_finish  (TessStatisticsRun *run, const TessVolume *volume, TessProgress *progress,
                                                TessStatistics *out, GError **error);
void               tess_statistics_run_free    (TessStatisticsRun *run);
/* The distinct values of a label volume in ascending order with their voxel counts; fails with MISMATCH when a value
 * is not a whole number or there are more than 65536 of them. */
gboolean tess_volume_label_counts (const TessVolume *volume, GArray **values /* gint64 */, GArray **counts /* gint64 */, GError **error);
/* Linear-interpolated percentile q in [0,100] of values[n], which is reordered. */
double   tess_percentile (float *values, gsize n, double q);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessStatisticsRun, tess_statistics_run_free)

G_END_DECLS
