#pragma once

#include "tess-dataset.h"
#include "tess-run-folder.h"
#include "tess-snapshot.h"
#include "tess-train-memory.h"

G_BEGIN_DECLS

#define TESS_FOLD_DEFAULT (-2) /* the run's own when resuming, else 0 */

typedef struct {
  const char *dataset_dir, *run_dir;
  TessPlan   *plan;         /* NULL: the run's own when resuming, else tess_auto_plan */
  int         fold;         /* -1 = all, or TESS_FOLD_DEFAULT */
  double      val_fraction; /* > 0: instead of a fold */
  gint64      epochs;       /* > 0: this many; the schedule follows the epoch */
  double      minutes;      /* > 0: stop then; the schedule follows the clock. Neither: the run's own, else the plan's epochs */
  gboolean    resume;       /* go on from latest.safetensors; a run folder with a run in it is refused otherwise */
  const TessBackendIface *backend;
  guint       device;
  guint       n_threads;    /* 0 = all cores */
  TessDType   act_dtype;
  gint64      seed;         /* < 0: the plan's */
  guint64     cache_bytes;  /* > 0: instead of the plan's budget of decoded cases */
  const char *loss;         /* instead of the plan's: "dice-ce", ...; NULL */
  TessRecompute recompute;
  guint64     memory_bytes; /* > 0: what the training may take (not the decoded cases), instead of what is there */
  /* Several processes train together: the plan's batch is shared among them, rank 0 alone writes. NULL: alone. */
  const TessCommunicator *communicator;
  gboolean    no_live_view; /* no snapshots of any kind: what they cost can be measured so */
} TessTrainOptions;

typedef enum {
  TESS_TRAIN_IDLE,
  TESS_TRAIN_PREPARING,
  TESS_TRAIN_RUNNING,
  TESS_TRAIN_PAUSED,
  TESS_TRAIN_STOPPED, /* by tess_trainer_stop, with a checkpoint */
  TESS_TRAIN_DONE,
  TESS_TRAIN_FAILED,
} TessTrainState;

typedef struct {
  TessTrainState state;
  gint64  epoch, n_epochs;              /* epoch: the one in work, from 1; n_epochs 0 when a time budget rules */
  gint64  iteration, n_iterations;      /* done in this epoch */
  gint64  total_iterations;             /* done over the whole run */
  double  elapsed, remaining;           /* seconds of training; remaining NaN while unknown */
  double  train_loss, val_loss;         /* of the last iteration / last validation; NaN before */
  guint   n_labels;
  double  dice[TESS_MAX_LABELS];        /* validation pseudo Dice of every class of the last epoch; NaN = undefined; [0] mean of foreground */
  double  best_dice;                    /* largest running mean (0.9 old + 0.1 new) of dice[0] */
  double  learning_rate, iterations_per_second;
  double  loader_share;                 /* of the step time spent waiting for data, in this epoch */
  guint64 memory_bytes;                 /* device arenas and batches drawn ahead */
  guint64 cache_bytes;
  double  preparing;                    /* [0,1] while PREPARING */
  gboolean validating;
} TessTrainStatus;

/* Training on a thread of its own. The functions below are safe from any other thread and never wait for it. */
typedef struct _TessTrainer TessTrainer;

TessTrainer *tess_trainer_new    (const TessTrainOptions *options, GError **error); /* checks everything that can be checked early; writes nothing */
gboolean     tess_trainer_start  (TessTrainer *trainer, GError **error);
void         tess_trainer_pause  (TessTrainer *trainer); /* within one iteration */
void         tess_trainer_resume (TessTrainer *trainer);
void         tess_trainer_stop   (TessTrainer *trainer); /* within one iteration, writes latest.safetensors (if there was one) */
gboolean     tess_trainer_wait   (TessTrainer *trainer, GError **error); /* until it ends; TRUE for DONE and STOPPED */
void         tess_trainer_status (TessTrainer *trainer, TessTrainStatus *status);
TessSnapshot *tess_trainer_newest_snapshot (TessTrainer *trainer); /* new reference or NULL */
/* Epochs done so far, those before a resume too. FALSE when there is no epoch i (from 0) yet; the record is a copy to clear. */
gboolean     tess_trainer_epoch  (TessTrainer *trainer, guint i, TessEpochRecord *record);
guint        tess_trainer_n_resumed_epochs (TessTrainer *trainer); /* of these, taken over from the log */
char        *tess_trainer_next_note (TessTrainer *trainer); /* something the user should know, one sentence (new string), or NULL */
void         tess_trainer_set_notify (TessTrainer *trainer, void (*func) (gpointer), gpointer data); /* from its thread, at most 20 times a second and at its end; before start */
/* After a failure: every rank has failed with the same error. FALSE: this one alone, and the others wait for it; nothing
 * of it was taken down, so end all of them now (TessCommunicator.end_all). */
gboolean     tess_trainer_failed_together (TessTrainer *trainer);
void         tess_trainer_free   (TessTrainer *trainer); /* stops and waits */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessTrainer, tess_trainer_free)

G_END_DECLS
