#pragma once

#include "tess-train-setup.h"

#include "tess-case-list.h"
#include <adwaita.h>

G_BEGIN_DECLS

struct _TessTrainSetup {
  GtkWidget parent_instance;

  GtkWidget *content;
  GtkLabel *title, *subtitle;
  GtkSpinButton *length, *batch, *iterations, *rate, *patch[3];
  GtkDropDown *unit;
  AdwComboRow *fold, *device, *augmentation; /* augmentation: in the order of TessPlanAugmentation */
  AdwActionRow *run_row, *planning_row, *trouble_row, *again_row;
  AdwPreferencesGroup *news_group, *plan_group, *cases_group;
  GtkFlowBox *labels;
  GtkSpinner *spinner;
  GtkProgressBar *planning;
  GtkBox *patch_slot;
  GtkWidget *patch_reset, *batch_reset, *iterations_reset, *rate_reset;
  TessCaseList *cases;
  GPtrArray *plan_rows; /* GtkWidget in plan_group */

  GPtrArray *devices;
  TessDatasetLook *look;
  TessPlan *plan, *chosen; /* as worked out; with the iterations chosen */
  gboolean plan_fits_device;
  char *run_dir;
  double minutes; /* proposed; 0: the plan's epochs */
  int edge;       /* of the patch, proposed; 0: the planner's */
  gboolean filling;
  TessJob *job; /* of planning; NULL when none is at work */
  GtkFileChooserNative *chooser;
};

/* tess-train-plan-rows.c */
void tess_train_setup_show_plan (TessTrainSetup *self);
void tess_train_setup_hide_plan (TessTrainSetup *self);
void tess_train_setup_show_labels (TessTrainSetup *self);
void tess_train_setup_update (TessTrainSetup *self); /* resets, sensitivity */
gboolean tess_train_setup_rate_changed (TessTrainSetup *self);

G_END_DECLS
