#pragma once

#include "tess-chart.h"
#include "tess-heads-view.h"
#include "tess-run-view.h"

G_BEGIN_DECLS

struct _TessRunView {
  GtkWidget parent_instance;

  TessRunModel *model;
  char *plane; /* "axial", "coronal", "sagittal" */

  GtkWidget *content;
  GtkLabel *state, *numbers, *place;
  GtkWidget *pause_button, *continue_button, *stop_button, *resume_button, *use_button, *live_button;
  GtkProgressBar *progress;
  GtkBox *alarms, *chips, *legend, *loss_slot, *dice_slot, *rate_slot;
  GtkScale *scrub;
  GtkWidget *heads_slot;
  TessHeadsView *heads;
  TessChart *loss, *dice, *rate, *speed;

  TessHeadsData *newest, *earlier;
  guint generation;               /* of the model: late results of another one are dropped */
  gboolean building, build_again; /* the newest heads, by a worker */
  char built_codes[4];
  gboolean built_plan;
  gint64 wanted; /* kept epoch that is to be shown, -1: live */
  gboolean fetching;
  gboolean updating_scrub;
  gboolean heads_stale; /* newer ones came while nobody looked */
  guint n_classes;
};

/* tess-run-heads.c: from snapshots to pictures, and the scrub line. */
void tess_run_view_classes_changed (TessRunView *self); /* names and colours are known now */
void tess_run_view_build_newest (TessRunView *self);
void tess_run_view_kept_changed (TessRunView *self);
void tess_run_view_show_epoch (TessRunView *self, gint64 epoch); /* -1: live */
void tess_run_view_scrub_cb (TessRunView *self);
void tess_run_view_step_cb (TessRunView *self, int steps);
void tess_run_view_clear_heads (TessRunView *self);

/* tess-run-curves.c */
void tess_run_view_update_curves (TessRunView *self);
void tess_run_view_class_colours (TessRunView *self, guint8 (*rgb)[3]); /* [256] */

G_END_DECLS
