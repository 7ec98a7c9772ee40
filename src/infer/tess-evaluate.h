#pragma once

#include "tess-json.h"
#include "tess-metrics.h"
#include "tess-plan.h"

G_BEGIN_DECLS

/* reference and prediction: two files or two folders (paired by stem; unpaired files are reported in "unpaired").
 * Result: {"cases": [{"case", "labels": {"1": {dice, iou, hd95_mm, volume_reference_mm3, volume_prediction_mm3, tp, fp, fn}}}],
 * "mean": {"1": {...}}, "excluded": {"1": n absent in both}, "foreground_mean": {...}}; undefined values null. */
JsonNode *tess_evaluate (const char *reference, const char *prediction, TessProgress *progress, GError **error);
/* The same of what a plan trains: its regions, by name, and without what it ignores. */
JsonNode *tess_evaluate_for_plan (const char *reference, const char *prediction, const TessPlan *plan, TessProgress *progress,
                                  GError **error);

G_END_DECLS
