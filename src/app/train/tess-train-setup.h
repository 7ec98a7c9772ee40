#pragma once

#include "tess-job.h"
#include "tess-train-work.h"
#include "tess-trainer.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Between choosing a dataset and training on it: cases, labels, the plan with its reasons, where and how long.
 * Actions: setup.start, setup.close, setup.plan, setup.cancel-plan, setup.choose-run, setup.reset-*. Signals: "start",
 * "close", "job" (TessJob: planning, to be shown). */
#define TESS_TYPE_TRAIN_SETUP (tess_train_setup_get_type ())
G_DECLARE_FINAL_TYPE (TessTrainSetup, tess_train_setup, TESS, TRAIN_SETUP, GtkWidget)

GtkWidget *tess_train_setup_new (void);
const char *tess_train_setup_get_name (TessTrainSetup *self);                 /* of the dataset; "" without one */
void tess_train_setup_set_devices (TessTrainSetup *self, GPtrArray *devices); /* TessTrainDevice; before a dataset */
/* Takes the look and starts planning. minutes > 0: proposed instead of the plan's epochs;
 * edge > 0: of the patch, in voxels, instead of the planner's. */
void tess_train_setup_set_dataset (TessTrainSetup *self, TessDatasetLook *look, double minutes, int edge);
void tess_train_setup_cancel (TessTrainSetup *self);
/* What to train, lent until something changes; the plan is a new reference inside the options' life. */
void tess_train_setup_get_options (TessTrainSetup *self, TessTrainOptions *options);
void tess_train_setup_renew_run_dir (TessTrainSetup *self); /* another folder than the one just used */

G_END_DECLS
