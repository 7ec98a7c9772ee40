#pragma once

#include "tess-metrics.h"

G_BEGIN_DECLS

/* Two label maps of one scan against each other; plain data, made on a worker. */
typedef struct {
  GArray *rows;           /* TessLabelMetrics of every label above 0 that occurs, ascending */
  double dice, iou, hd95; /* means over the labels where they are defined; NaN where none is */
  double volume_reference, volume_prediction; /* mm^3, all labels together */
} TessComparison;

TessComparison *tess_comparison_new (const TessVolume *reference, const TessVolume *prediction, TessProgress *progress,
                                     GError **error);
void tess_comparison_free (TessComparison *comparison);

/* Of a row or of the whole: (prediction - reference) / reference in percent, NaN where the reference is empty. */
double tess_volume_difference (double reference, double prediction);

/* What a voxel of a difference volume says. */
typedef enum {
  TESS_DIFFERENCE_NONE,       /* background in both */
  TESS_DIFFERENCE_AGREE,      /* the same label in both: true positive */
  TESS_DIFFERENCE_PREDICTION, /* label in the prediction alone: false positive */
  TESS_DIFFERENCE_REFERENCE,  /* label in the reference alone: false negative */
  TESS_DIFFERENCE_OTHER,      /* another label in each; only where all labels are compared */
  TESS_N_DIFFERENCES
} TessDifference;

const char   *tess_difference_name   (TessDifference kind); /* translated */
const guint8 *tess_difference_colour (TessDifference kind); /* [4] */

/* A uint8 label volume on the two's grid, with names and colours; label 0: all labels at once. */
TessVolume *tess_difference_new (const TessVolume *reference, const TessVolume *prediction, gint64 label,
                                 TessProgress *progress, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessComparison, tess_comparison_free)

G_END_DECLS
