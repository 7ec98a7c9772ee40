#pragma once

#include "tess-live-view.h"
#include "tess-loader.h"
#include "tess-model.h"
#include "tess-thread.h"
#include "tess-train-state.h"
#include "tess-trainer.h"

#include <stdatomic.h>

G_BEGIN_DECLS

typedef enum {
  TESS_COMMAND_RUN,
  TESS_COMMAND_PAUSE,
  TESS_COMMAND_STOP,
} TessTrainCommand;

struct _TessTrainer {
  TessTrainOptions options; /* strings and plan owned */
  TessRunFolder *run;
  TessThread *thread;
  TessProgress *progress; /* of preparing */
  void (*notify) (gpointer);
  gpointer notify_data;

  _Atomic int command; /* TessTrainCommand; changed with control held */
  TessMutex control;
  TessCond changed;

  TessMutex mutex; /* guards what follows, for as long as a copy takes */
  TessTrainStatus status;
  GArray *history; /* TessEpochRecord */
  guint n_resumed;
  GQueue notes;
  GError *error;
  gboolean together; /* the error is every rank's */

  TessSnapshotSlot slot;
};

/* What only the training thread knows. */
typedef struct {
  TessTrainer *trainer;
  const TessTrainOptions *options;
  TessRunFolder *run;

  TessDataset *dataset;
  TessRunDataset run_dataset;
  TessPlan *plan;
  TessPlan *share; /* the plan with this rank's part of the batch */
  const TessCommunicator *ranks; /* at least tess_communicator_alone () */
  gboolean together; /* what fails now fails alike on every rank */
  guint n_sharing;   /* ranks that share the memory of what this one computes on, itself too */
  TessModel *checkpoint; /* to resume from, else NULL */
  TessTrainCheckpoint state;

  TessSession *session;
  int train, evaluate, infer; /* programs */
  TessStepArgs args;
  guint n_heads, n_classes; /* classes: channels of the logits */
  guint n_scores;           /* the mean and every foreground class or region */
  double *metrics;      /* of one head */
  gint64 *counts;       /* [n_classes][3]: tp, fp, fn */

  TessCaseCache *cache;
  guint64 case_bytes; /* of one case, decoded */
  TessResidents *residents; /* NULL: the host draws everything */
  TessBuffer *augment_scratch; /* what the device augments a patch in */
  TessLoader *loader;
  const TessBatch *ahead; /* the batch after the one that is fed; NULL: not lent yet */
  gboolean ahead_whole;   /* all that the host drew of it is on its way to the device; else some of it may be */
  TessLiveView *view;

  gint64 started, paused;          /* monotonic microseconds; paused: length of pauses since */
  double elapsed_before;           /* seconds of earlier sessions */
  double elapsed_saved;            /* what the last checkpoint says of all sessions */
  double view_cost;                /* seconds spent on snapshots in this session */
  double step_seconds;             /* smoothed; 0 unknown */
  double val_seconds;              /* of the last validation */
  gint64 last_notify, next_progress; /* monotonic microseconds */
  gint64 epoch_mark;               /* when this part of the epoch began, on the training clock, microseconds */
  char *newest_snapshot;           /* relative to the run */
  gboolean classes_checked, heads_noted;
} TessTraining;

/* tess-train-prepare.c: everything before the first iteration. Nothing is written before all could be checked. */
gboolean tess_training_prepare (TessTraining *t, GError **error);
void     tess_training_clear   (TessTraining *t);

/* tess-train-ranks.c: where processes that train together meet. */
gboolean tess_training_is_first (const TessTraining *t); /* the one that writes */
gboolean tess_training_agree (TessTraining *t, GError *local, GError **error); /* tess_communicator_agree() */
gboolean tess_training_first_says (TessTraining *t, gboolean *answer, GError **error); /* rank 0's becomes everyone's */
gboolean tess_training_count_sharing (TessTraining *t, GError **error); /* n_sharing */
gboolean tess_training_share_plan (TessTraining *t, GError **error); /* rank 0's becomes everyone's */
gboolean tess_training_share_batch (TessTraining *t, GError **error); /* makes t->share */

/* What is done next, the same on every rank. */
typedef struct {
  double stop, budget_used; /* above 0: yes; any rank may be told to stop, the clock is rank 0's */
  double learning_rate;     /* of rank 0's clock */
} TessTurn;

gboolean tess_training_turn (TessTraining *t, TessTurn *turn, GError **error); /* in: this rank's; out: of all */

/* tess-train-loop.c: until done, or stopped (stopped TRUE, with a checkpoint). */
gboolean tess_training_loop    (TessTraining *t, gboolean *stopped, GError **error);

/* tess-train-feed.c: a batch into a program's inputs. */
gboolean tess_training_feed (TessTraining *t, int program, double *waited, GError **error); /* waited: seconds */
void     tess_training_look_ahead (TessTraining *t); /* begins with the next batch, which the step to come does not wait for */
void     tess_training_drop_ahead (TessTraining *t); /* before the loader goes elsewhere or ends */

/* tess-train-report.c: what others see of it. */
double   tess_training_elapsed (TessTraining *t); /* seconds, pauses not counted */
void     tess_training_publish (TessTraining *t, TessTrainState state); /* status, notify, progress.json */
void     tess_training_note    (TessTraining *t, const char *format, ...) G_GNUC_PRINTF (2, 3);
void     tess_training_add_epoch (TessTraining *t, const TessEpochRecord *record); /* to the history and the status */
gboolean tess_training_snapshot (TessTraining *t, gboolean to_file, GError **error);
gboolean tess_training_save    (TessTraining *t, const char *name, GError **error);

G_END_DECLS
