#include "tess-run-model-private.h"

#include <math.h>
#include <string.h>

#define RING_MS 250 /* between two "status" of a training of ours: numbers that can be read; painting is not free */
#define LOOK_MS 700 /* between two looks at a folder that is being written */
#define LOOK_IDLE_MS 2500 /* ... at one that is not */
#define DOUBT_SECONDS 5   /* without news, the lock is asked */
#define QUIET_SECONDS 60  /* without news and without a lock, nobody is at work any more */
#define OLD_SECONDS 180   /* a progress.json that old when first seen: clocks do not differ by that */

enum { STATUS, ROWS, SNAPSHOT, KEPT, ENDED, N_SIGNALS };

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessRunModel, tess_run_model, G_TYPE_OBJECT)

static void look (TessRunModel *self);
static void schedule_look (TessRunModel *self);
static void take_from_trainer (TessRunModel *self);

/* ---- the bell ---- */

static void
bell_unref (gpointer data)
{
  Bell *bell = data;

  if (g_atomic_ref_count_dec (&bell->refs))
    g_free (bell);
}

static gboolean
ring_cb (gpointer data)
{
  Bell *bell = data;

  atomic_store (&bell->pending, FALSE);
  if (bell->model && bell->model->trainer)
    take_from_trainer (bell->model);
  return G_SOURCE_REMOVE;
}

/* On the trainer's thread. */
static void
notify_cb (gpointer data)
{
  Bell *bell = data;

  if (atomic_exchange (&bell->pending, TRUE))
    return;
  g_atomic_ref_count_inc (&bell->refs);
  g_timeout_add_full (G_PRIORITY_DEFAULT, RING_MS, ring_cb, bell, bell_unref);
}

/* ---- a training of ours ---- */

static gboolean
is_over (TessTrainState state)
{
  return state == TESS_TRAIN_STOPPED || state == TESS_TRAIN_DONE || state == TESS_TRAIN_FAILED;
}

static void
wait_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  GError *error = NULL;

  if (tess_trainer_wait (task_data, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
waited_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessRunModel *self = TESS_RUN_MODEL (object);
  g_autoptr (GError) error = NULL;

  self->failed = !g_task_propagate_boolean (G_TASK (result), &error);
  self->ended = TRUE;
  self->stopping = FALSE;
  take_from_trainer (self); /* whatever came last */
  g_clear_pointer (&self->trainer, tess_trainer_free);
  self->end_due = TRUE;
  self->end_error = g_steal_pointer (&error);
  look (self); /* the last snapshot, the checkpoint; then it says that it has ended */
}

static void
tell_end (TessRunModel *self)
{
  g_autoptr (GError) error = g_steal_pointer (&self->end_error);

  self->end_due = FALSE;
  g_signal_emit (self, signals[ENDED], 0, error);
}

static void
set_names (TessRunModel *self, const TessPlan *plan)
{
  g_ptr_array_set_size (self->label_names, 0);
  for (guint i = 0; i < tess_plan_n_scores (plan); i++)
    g_ptr_array_add (self->label_names, g_strdup (tess_plan_score_name (plan, i)));
}

static void
take_plan (TessRunModel *self, TessPlan *plan)
{
  g_clear_pointer (&self->plan, tess_plan_unref);
  self->plan = tess_plan_ref (plan);
  set_names (self, plan);
}

static gboolean
take_epochs (TessRunModel *self)
{
  guint before = self->rows->len;
  TessEpochRecord record;

  while (tess_trainer_epoch (self->trainer, self->rows->len, &record))
    g_array_append_val (self->rows, record);
  return self->rows->len != before;
}

static void
take_from_trainer (TessRunModel *self)
{
  g_autoptr (TessSnapshot) newest = tess_trainer_newest_snapshot (self->trainer);
  gboolean fresh = newest && newest != self->newest, more;

  tess_trainer_status (self->trainer, &self->status);
  more = self->status.state != TESS_TRAIN_PREPARING && take_epochs (self);
  if (fresh) {
    g_clear_pointer (&self->newest, tess_snapshot_unref);
    self->newest = g_steal_pointer (&newest);
  }
  if (more || !self->plan || (fresh && !self->axes_known))
    look (self);
  if (is_over (self->status.state) && !self->ending) {
    g_autoptr (GTask) task = g_task_new (self, NULL, waited_cb, NULL);

    self->ending = TRUE;
    g_task_set_task_data (task, self->trainer, NULL);
    g_task_run_in_thread (task, wait_thread);
  }
  g_signal_emit (self, signals[STATUS], 0);
  if (more)
    g_signal_emit (self, signals[ROWS], 0);
  if (fresh && self->axes_known) /* else when the look is done: pictures do not turn round under people's eyes */
    g_signal_emit (self, signals[SNAPSHOT], 0);
  if (self->status.state == TESS_TRAIN_PREPARING) /* it tells nobody how far it is */
    notify_cb (self->bell);
}

/* ---- looking at the folder ---- */

typedef struct {
  TessRunLook what;
  char *case_id;
} Look;

static void
look_free (gpointer data)
{
  Look *request = data;

  g_free (request->case_id);
  g_free (request);
}

static gboolean
same_epochs (const GArray *a, const GArray *b)
{
  return a->len == b->len && memcmp (a->data, b->data, a->len * sizeof (gint64)) == 0;
}

static gboolean
take_folder (TessRunModel *self, TessRunNews *news)
{
  gboolean changed =
      !same_epochs (self->kept, news->kept) || memcmp (self->codes, news->codes, sizeof self->codes) != 0;

  g_array_unref (self->kept);
  self->kept = g_steal_pointer (&news->kept);
  memcpy (self->codes, news->codes, sizeof self->codes);
  if (news->plan && !self->plan) {
    take_plan (self, news->plan);
    changed = TRUE;
  }
  if (news->dataset_dir && !self->dataset_dir)
    self->dataset_dir = g_steal_pointer (&news->dataset_dir);
  if (self->has_checkpoint != news->has_checkpoint || self->has_best != news->has_best)
    changed = TRUE;
  self->has_checkpoint = news->has_checkpoint;
  self->has_best = news->has_best;
  return changed;
}

/* Dice a class are in the log only. */
static void
complete_status (TessRunModel *self)
{
  const TessEpochRecord *last;

  if (self->rows->len == 0)
    return;
  last = &g_array_index (self->rows, TessEpochRecord, self->rows->len - 1);
  self->status.n_labels = last->n_labels;
  memcpy (self->status.dice, last->dice, last->n_labels * sizeof (double));
}

/* What somebody else's run has new to tell. */
static void
take_watched (TessRunModel *self, TessRunNews *news, gboolean *rows, gboolean *snapshot)
{
  self->status = news->status;
  self->locked = news->locked;
  self->age = news->age;
  if (news->changed) {
    self->written = self->looked; /* the first look sees everything for the first time */
    self->last_change = g_get_monotonic_time ();
  }
  *rows = news->rows != NULL || g_strcmp0 (self->trouble, news->trouble) != 0;
  g_free (self->trouble);
  g_clear_error (&self->end_error);
  self->trouble = g_steal_pointer (&news->trouble);
  if (news->rows) {
    g_array_unref (self->rows);
    self->rows = g_steal_pointer (&news->rows);
  }
  complete_status (self);
  *snapshot = news->newest != NULL;
  if (news->newest) {
    g_clear_pointer (&self->newest, tess_snapshot_unref);
    self->newest = g_steal_pointer (&news->newest);
  }
  if (!news->has_status && self->has_checkpoint)
    self->status.state = TESS_TRAIN_STOPPED;
}

static gboolean
is_alive_phase (TessRunPhase phase)
{
  return phase == TESS_RUN_PREPARING || phase == TESS_RUN_RUNNING || phase == TESS_RUN_PAUSED;
}

static void
looked_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  TessRunModel *self = TESS_RUN_MODEL (object);
  g_autoptr (TessRunNews) news = g_task_propagate_pointer (G_TASK (result), NULL);
  TessRunPhase before = self->announced, now;
  gboolean asked = ((const Look *)g_task_get_task_data (G_TASK (result)))->case_id != NULL;
  gboolean kept, rows = FALSE, snapshot = FALSE, alive = is_alive_phase (before), first = !self->looked;

  self->looking = FALSE;
  kept = take_folder (self, news);
  if (!self->ours)
    take_watched (self, news, &rows, &snapshot);
  else
    snapshot = asked && !self->axes_known;
  self->axes_known |= asked || snapshot;
  self->looked = TRUE;
  now = self->announced = tess_run_model_get_phase (self);
  if (kept)
    g_signal_emit (self, signals[KEPT], 0);
  if (rows)
    g_signal_emit (self, signals[ROWS], 0);
  if (snapshot)
    g_signal_emit (self, signals[SNAPSHOT], 0);
  if (!self->ours && (news->changed || before != now || first))
    g_signal_emit (self, signals[STATUS], 0);
  if (!self->ours && !first && alive && !tess_run_model_is_alive (self))
    g_signal_emit (self, signals[ENDED], 0, NULL);
  if (self->look_again) {
    self->look_again = FALSE;
    look (self);
  } else if (!self->ours) {
    schedule_look (self);
  } else if (self->end_due) {
    tell_end (self);
  }
}

static void
look_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  TessRunModel *self = source;
  const Look *request = task_data;

  g_task_return_pointer (task, tess_run_poll_look (self->poll, request->what, request->case_id),
                         (GDestroyNotify)tess_run_news_free);
}

/* One look at a time: the poll belongs to the worker meanwhile. */
static void
look (TessRunModel *self)
{
  g_autoptr (GTask) task = NULL;
  TessRunLook what = self->ours ? TESS_RUN_LOOK_KEPT_ONLY : TESS_RUN_LOOK_ALL;
  Look *request;

  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->looking) {
    self->look_again = TRUE;
    return;
  }
  if (!self->ours && !is_over (self->status.state) &&
      g_get_monotonic_time () - self->last_change >= DOUBT_SECONDS * G_USEC_PER_SEC)
    what |= TESS_RUN_LOOK_LOCK;
  self->looking = TRUE;
  task = g_task_new (self, NULL, looked_cb, NULL);
  request = g_new0 (Look, 1);
  request->what = what;
  request->case_id = g_strdup (self->newest ? self->newest->case_id : NULL);
  g_task_set_task_data (task, request, look_free);
  g_task_run_in_thread (task, look_thread);
}

static gboolean
look_cb (gpointer data)
{
  TessRunModel *self = data;

  self->timer = 0;
  look (self);
  return G_SOURCE_REMOVE;
}

static void
schedule_look (TessRunModel *self)
{
  if (self->timer == 0)
    self->timer = g_timeout_add (tess_run_model_is_alive (self) ? LOOK_MS : LOOK_IDLE_MS, look_cb, self);
}

/* ---- object ---- */

static void
tess_run_model_dispose (GObject *object)
{
  TessRunModel *self = TESS_RUN_MODEL (object);

  g_clear_handle_id (&self->timer, g_source_remove);
  if (self->bell)
    self->bell->model = NULL;
  /* Waits for a training that is still at work: whoever can wait stops it first. */
  g_clear_pointer (&self->trainer, tess_trainer_free);
  G_OBJECT_CLASS (tess_run_model_parent_class)->dispose (object);
}

static void
tess_run_model_finalize (GObject *object)
{
  TessRunModel *self = TESS_RUN_MODEL (object);

  g_clear_pointer (&self->bell, bell_unref);
  tess_run_poll_free (self->poll);
  g_free (self->run_dir);
  g_free (self->dataset_dir);
  g_free (self->trouble);
  g_clear_pointer (&self->plan, tess_plan_unref);
  g_ptr_array_unref (self->label_names);
  g_array_unref (self->rows);
  g_array_unref (self->kept);
  tess_snapshot_unref (self->newest);
  G_OBJECT_CLASS (tess_run_model_parent_class)->finalize (object);
}

static void
tess_run_model_class_init (TessRunModelClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  static const char *const names[] = {"status", "rows", "snapshot", "kept"};

  object_class->dispose = tess_run_model_dispose;
  object_class->finalize = tess_run_model_finalize;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    signals[i] = g_signal_new (names[i], TESS_TYPE_RUN_MODEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 0);
  signals[ENDED] =
      g_signal_new ("ended", TESS_TYPE_RUN_MODEL, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE, 1, G_TYPE_ERROR);
}

static void
tess_run_model_init (TessRunModel *self)
{
  self->status = (TessTrainStatus){.remaining = NAN, .train_loss = NAN, .val_loss = NAN, .best_dice = NAN};
  for (guint i = 0; i < TESS_MAX_LABELS; i++)
    self->status.dice[i] = NAN;
  self->label_names = g_ptr_array_new_with_free_func (g_free);
  self->rows = g_array_new (FALSE, FALSE, sizeof (TessEpochRecord));
  g_array_set_clear_func (self->rows, (GDestroyNotify)tess_epoch_record_clear);
  self->kept = g_array_new (FALSE, FALSE, sizeof (gint64));
}

/**
 * tess_run_model_new_train:
 *
 * A training in this process, idle until tess_run_model_start(). Errors are the trainer's (USAGE, IO, MISMATCH).
 */
TessRunModel *
tess_run_model_new_train (const TessTrainOptions *options, GError **error)
{
  TessTrainer *trainer = tess_trainer_new (options, error);
  TessRunModel *self;

  if (!trainer)
    return NULL;
  self = g_object_new (TESS_TYPE_RUN_MODEL, NULL);
  self->ours = TRUE;
  self->trainer = trainer;
  self->run_dir = g_strdup (options->run_dir);
  self->dataset_dir = g_strdup (options->dataset_dir);
  self->poll = tess_run_poll_new (self->run_dir);
  if (options->plan)
    take_plan (self, options->plan);
  self->bell = g_new0 (Bell, 1);
  g_atomic_ref_count_init (&self->bell->refs);
  self->bell->model = self;
  tess_trainer_set_notify (trainer, notify_cb, self->bell);
  return self;
}

/**
 * tess_run_model_new_watch:
 *
 * A run folder as it is and as it changes; the first look is on its way when this returns. Nothing is written to it.
 */
TessRunModel *
tess_run_model_new_watch (const char *run_dir, GError **error)
{
  TessRunModel *self;

  if (!tess_run_poll_check (run_dir, error))
    return NULL;
  self = g_object_new (TESS_TYPE_RUN_MODEL, NULL);
  self->run_dir = g_strdup (run_dir);
  self->poll = tess_run_poll_new (run_dir);
  self->last_change = g_get_monotonic_time ();
  look (self);
  return self;
}

gboolean
tess_run_model_is_ours (TessRunModel *self)
{
  return self->ours;
}

const char *
tess_run_model_get_run_dir (TessRunModel *self)
{
  return self->run_dir;
}

gboolean
tess_run_model_start (TessRunModel *self, GError **error)
{
  g_return_val_if_fail (self->trainer && !self->started, FALSE);
  if (!tess_trainer_start (self->trainer, error))
    return FALSE;
  self->started = TRUE;
  tess_trainer_status (self->trainer, &self->status);
  notify_cb (self->bell); /* the trainer is silent while it prepares */
  return TRUE;
}

void
tess_run_model_pause (TessRunModel *self)
{
  if (self->trainer)
    tess_trainer_pause (self->trainer);
}

void
tess_run_model_resume (TessRunModel *self)
{
  if (self->trainer)
    tess_trainer_resume (self->trainer);
}

void
tess_run_model_stop (TessRunModel *self)
{
  if (!self->trainer || !self->started || self->ended)
    return;
  self->stopping = TRUE;
  tess_trainer_stop (self->trainer);
  g_signal_emit (self, signals[STATUS], 0);
}

void
tess_run_model_get_status (TessRunModel *self, TessTrainStatus *status)
{
  *status = self->status;
}

/* Somebody else's: the file is believed while it changes or while its lock is held; a lock alone proves nothing, it may
 * be of another machine, so that without one we wait for news first. */
static gboolean
is_quiet (TessRunModel *self)
{
  gint64 silence = (g_get_monotonic_time () - self->last_change) / G_USEC_PER_SEC;

  if (self->locked || self->status.state == TESS_TRAIN_PAUSED)
    return FALSE;
  return silence >= QUIET_SECONDS || (!self->written && self->age > OLD_SECONDS && silence >= DOUBT_SECONDS);
}

TessRunPhase
tess_run_model_get_phase (TessRunModel *self)
{
  if (!self->ours && !self->looked)
    return TESS_RUN_OPENING;
  switch (self->status.state) {
  case TESS_TRAIN_IDLE:
    return self->ours ? TESS_RUN_PREPARING : is_quiet (self) ? TESS_RUN_QUIET : TESS_RUN_PREPARING;
  case TESS_TRAIN_PREPARING:
    return TESS_RUN_PREPARING;
  case TESS_TRAIN_RUNNING:
    return !self->ours && is_quiet (self) ? TESS_RUN_QUIET : TESS_RUN_RUNNING;
  case TESS_TRAIN_PAUSED:
    return TESS_RUN_PAUSED;
  case TESS_TRAIN_STOPPED:
    return TESS_RUN_STOPPED;
  case TESS_TRAIN_DONE:
    return TESS_RUN_DONE;
  case TESS_TRAIN_FAILED:
    return TESS_RUN_FAILED;
  }
  return TESS_RUN_FAILED;
}

gboolean
tess_run_model_is_alive (TessRunModel *self)
{
  if (self->ours)
    return self->started && !self->ended;
  return is_alive_phase (tess_run_model_get_phase (self));
}

gboolean
tess_run_model_is_stopping (TessRunModel *self)
{
  return self->stopping;
}

gboolean
tess_run_model_can_resume (TessRunModel *self)
{
  TessRunPhase phase = tess_run_model_get_phase (self);

  return self->has_checkpoint && !self->locked && !tess_run_model_is_alive (self) &&
         (phase == TESS_RUN_STOPPED || phase == TESS_RUN_FAILED || phase == TESS_RUN_QUIET);
}
