#pragma once

#include "tess-available-memory.h"
#include "tess-dataset.h"
#include "tess-planner.h"
#include "tess-backend.h"

G_BEGIN_DECLS

/* Reads every case of the dataset once (fingerprint) and decides a plan. CT normalisation where the channel is
 * named "CT", none where "noNorm", else z-score. */
TessPlan *tess_auto_plan (const TessDataset *dataset, const TessPlannerLimits *limits, TessProgress *progress, GError **error);
/* Half of the machine's available memory for the program, a quarter for decoded cases. */
void      tess_auto_limits (const TessBackendIface *backend, guint device, TessPlannerLimits *limits);

G_END_DECLS
