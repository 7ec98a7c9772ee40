#pragma once

#include "tess-trainer.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* One training run as the window shows it: a trainer of this process, or a run folder that somebody else writes (also
 * on another machine through a shared folder). Main thread only. Signals:
 *   "status"     numbers changed (at most 4 a second)
 *   "rows"       a line of log.csv came (an epoch ended), or tess_run_model_get_trouble() says something else
 *   "snapshot"   newer heads are there
 *   "kept"       the list of kept snapshots, the plan or the axes changed
 *   "ended"      with the GError of a failure, or NULL; of a watched run also when its training goes on again later */
#define TESS_TYPE_RUN_MODEL (tess_run_model_get_type ())
G_DECLARE_FINAL_TYPE (TessRunModel, tess_run_model, TESS, RUN_MODEL, GObject)

/* What a person would say of the run. */
typedef enum {
  TESS_RUN_OPENING, /* a watched folder before the first look */
  TESS_RUN_PREPARING,
  TESS_RUN_RUNNING,
  TESS_RUN_PAUSED,
  TESS_RUN_STOPPED, /* with a checkpoint */
  TESS_RUN_DONE,
  TESS_RUN_FAILED,
  TESS_RUN_QUIET, /* its file says running, but nobody has written for a while and nobody holds the lock */
} TessRunPhase;

TessRunModel *tess_run_model_new_train (const TessTrainOptions *options, GError **error); /* not started */
TessRunModel *tess_run_model_new_watch (const char *run_dir, GError **error);
gboolean tess_run_model_is_ours (TessRunModel *self); /* can be paused and stopped from here */
const char *tess_run_model_get_run_dir (TessRunModel *self);
gboolean tess_run_model_start (TessRunModel *self, GError **error);
void tess_run_model_pause (TessRunModel *self);
void tess_run_model_resume (TessRunModel *self);
void tess_run_model_stop (TessRunModel *self);
void tess_run_model_get_status (TessRunModel *self, TessTrainStatus *status);
TessRunPhase tess_run_model_get_phase (TessRunModel *self);
gboolean tess_run_model_is_alive (TessRunModel *self);    /* preparing, running or paused, by whomever */
gboolean tess_run_model_is_stopping (TessRunModel *self); /* stop was asked for and has not happened yet */
gboolean tess_run_model_can_resume (TessRunModel *self);  /* a checkpoint is there, nobody is at work, more to do */
gboolean tess_run_model_has_model (TessRunModel *self);   /* best.safetensors is there */
char *tess_run_model_dup_model (TessRunModel *self);      /* path of best.safetensors */
const char *tess_run_model_get_dataset_dir (TessRunModel *self); /* NULL while unknown; may not exist here */
const TessPlan *tess_run_model_get_plan (TessRunModel *self);    /* NULL while unknown */
const char *tess_run_model_get_codes (TessRunModel *self);       /* axes of the shown patch, "LPS"; "" while unknown */
const char *tess_run_model_get_trouble (TessRunModel *self); /* what of the folder cannot be read, one sentence; NULL */
char *tess_run_model_next_note (TessRunModel *self);         /* something the user should know, one sentence, or NULL */
/* Log: one row an epoch; columns by log.csv's header names. NaN where there is nothing. */
guint tess_run_model_n_rows (TessRunModel *self);
double tess_run_model_value (TessRunModel *self, guint row, const char *column);
const TessEpochRecord *tess_run_model_row (TessRunModel *self, guint row); /* lent until the next signal */
GPtrArray *tess_run_model_label_names (TessRunModel *self);                /* (transfer none) char*, index = class */
/* Snapshots: the newest live one, and those kept in the run folder (ascending epochs) for the scrub line. */
TessSnapshot *tess_run_model_dup_newest (TessRunModel *self);
guint tess_run_model_n_kept (TessRunModel *self);
gint64 tess_run_model_kept_epoch (TessRunModel *self, guint i);
void tess_run_model_load_kept_async (TessRunModel *self, guint i, GAsyncReadyCallback callback, gpointer user_data);
TessSnapshot *tess_run_model_load_kept_finish (TessRunModel *self, GAsyncResult *result, GError **error);

G_END_DECLS
