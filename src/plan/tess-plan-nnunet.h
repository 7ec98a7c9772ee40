#pragma once

#include "tess-plan.h"

G_BEGIN_DECLS

/* A plan from nnU-Net v2's: one configuration ("3d_fullres") of plans.json, with dataset.json for channels and labels.
 * What is not the same there and here stands in the plan's reasons; what would give another result is refused by its
 * name. axes[i]: which axis of the scan (0 = z, 1 = y, 2 = x) nnU-Net's axis i is; it turns scans before it trains. */
TessPlan *tess_plan_from_nnunet (JsonObject *plans, const char *configuration, JsonObject *dataset, const char *origin,
                                 guint axes[3], GError **error);

G_END_DECLS
