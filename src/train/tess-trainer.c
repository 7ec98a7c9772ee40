#include "tess-trainer-private.h"

#include "tess-parallel.h"

#include <math.h>

#define TRAINER_NICE 10

static void
options_copy (TessTrainOptions *to, const TessTrainOptions *from)
{
  *to = *from;
  to->dataset_dir = g_strdup (from->dataset_dir);
  to->run_dir = g_strdup (from->run_dir);
  to->loss = g_strdup (from->loss);
  to->plan = from->plan ? tess_plan_dup (from->plan) : NULL;
}

static gboolean
usage (GError **error, const char *message)
{
  g_set_error_literal (error, TESS_ERROR, TESS_ERROR_USAGE, message);
  return FALSE;
}

static gboolean
check_options (const TessTrainOptions *o, TessRunFolder *run, GError **error)
{
  int loss;

  if (o->epochs > 0 && o->minutes > 0.0)
    return usage (error, _ ("training ends after epochs or after minutes, not both; give one of them"));
  if (o->loss && !tess_plan_loss_from_name (o->loss, &loss))
    return usage (error, _ ("the loss must be dice-ce, dice-bce, dice, tversky or focal"));
  if (o->epochs < 0 || !isfinite (o->minutes) || o->minutes < 0.0)
    return usage (error, _ ("the length of a training must be positive"));
  if (!isfinite (o->val_fraction) || o->val_fraction < 0.0 || o->val_fraction >= 1.0)
    return usage (error, _ ("the share of validation cases must be above 0 and below 1"));
  if (o->val_fraction > 0.0 && o->fold != TESS_FOLD_DEFAULT)
    return usage (error, _ ("validation cases are a fold or a share of all, not both; give one of them"));
  if (o->fold < TESS_FOLD_DEFAULT)
    return usage (error, _ ("the fold must be 0, 1, 2, ... or all"));
  if (!g_file_test (o->dataset_dir, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: is not a folder; give the folder of a dataset"),
                 o->dataset_dir);
    return FALSE;
  }
  if (!o->resume && tess_run_folder_has_run (run)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: there is a run in this folder; go on with it by --resume, or choose another folder"),
                 o->run_dir);
    return FALSE;
  }
  return tess_run_folder_check_free (run, error) && tess_run_folder_check_writable (run, error);
}

/**
 * tess_trainer_new:
 * @options: copied
 *
 * Checks what needs no reading of the dataset. Nothing is written.
 *
 * Returns: (transfer full): the trainer, idle, or %NULL with USAGE, IO or MISMATCH.
 */
TessTrainer *
tess_trainer_new (const TessTrainOptions *options, GError **error)
{
  g_autoptr (TessRunFolder) run = tess_run_folder_new (options->run_dir);
  TessTrainer *trainer;

  if (!check_options (options, run, error))
    return NULL;
  trainer = g_new0 (TessTrainer, 1);
  options_copy (&trainer->options, options);
  trainer->run = g_steal_pointer (&run);
  trainer->progress = tess_progress_new ();
  atomic_init (&trainer->command, TESS_COMMAND_RUN);
  tess_mutex_init (&trainer->control);
  tess_cond_init (&trainer->changed);
  tess_mutex_init (&trainer->mutex);
  g_queue_init (&trainer->notes);
  trainer->history = g_array_new (FALSE, FALSE, sizeof (TessEpochRecord));
  g_array_set_clear_func (trainer->history, (GDestroyNotify)tess_epoch_record_clear);
  trainer->status = (TessTrainStatus){
      .state = TESS_TRAIN_IDLE, .remaining = NAN, .train_loss = NAN, .val_loss = NAN, .best_dice = NAN};
  for (guint i = 0; i < TESS_MAX_LABELS; i++)
    trainer->status.dice[i] = NAN;
  tess_snapshot_slot_init (&trainer->slot);
  return trainer;
}

void
tess_trainer_free (TessTrainer *trainer)
{
  if (!trainer)
    return;
  tess_trainer_stop (trainer);
  tess_thread_join (trainer->thread);
  tess_snapshot_slot_clear (&trainer->slot);
  g_array_unref (trainer->history);
  g_queue_clear_full (&trainer->notes, g_free);
  g_clear_error (&trainer->error);
  tess_mutex_clear (&trainer->mutex);
  tess_cond_clear (&trainer->changed);
  tess_mutex_clear (&trainer->control);
  tess_progress_unref (trainer->progress);
  tess_run_folder_free (trainer->run);
  g_free ((char *)trainer->options.dataset_dir);
  g_free ((char *)trainer->options.run_dir);
  g_free ((char *)trainer->options.loss);
  if (trainer->options.plan)
    tess_plan_unref (trainer->options.plan);
  g_free (trainer);
}

static void
end_training (TessTraining *t, TessTrainState state, GError *error)
{
  TessTrainer *trainer = t->trainer;

  if (error) {
    tess_mutex_lock (&trainer->mutex);
    trainer->error = error;
    trainer->together = t->together || t->ranks->size == 1;
    tess_mutex_unlock (&trainer->mutex);
  }
  tess_training_publish (t, state);
  /* The others may wait for this rank, in MPI or in a kernel, and taking anything down could wait for them: all stays
   * as it is for the little time until tess_trainer_failed_together()'s caller ends every process. */
  if (error != NULL && t->ranks->size > 1 && !t->together)
    return;
  /* What all have failed at may be the loss of one rank's device, which then cannot come to where they part. */
  if (t->ranks->size > 1 && g_error_matches (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST)) {
    tess_training_drop_ahead (t);
    t->session = NULL;
  }
  tess_training_clear (t);
}

static void
preparing_cb (TessProgress *progress, double fraction, gpointer data)
{
  TessTraining *t = data;

  tess_mutex_lock (&t->trainer->mutex);
  t->trainer->status.preparing = fraction;
  tess_mutex_unlock (&t->trainer->mutex);
}

static void
trainer_thread (gpointer data)
{
  TessTrainer *trainer = data;
  TessTraining t = {.trainer = trainer, .options = &trainer->options, .run = trainer->run};
  gboolean stopped = FALSE, prepared, ok;
  GError *error = NULL;

  tess_parallel_set_threads (trainer->options.n_threads);
  t.ranks = trainer->options.communicator ? trainer->options.communicator : tess_communicator_alone ();
  tess_train_checkpoint_init (&t.state);
  tess_progress_set_notify (trainer->progress, preparing_cb, &t);
  prepared = tess_training_prepare (&t, &error);
  tess_progress_set_notify (trainer->progress, NULL, NULL);
  ok = prepared && tess_training_loop (&t, &stopped, &error);
  if (!ok && (atomic_load (&trainer->command) == TESS_COMMAND_STOP || t.together) &&
      g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED)) { /* stopped while it was preparing */
    g_clear_error (&error);
    ok = stopped = TRUE;
  }
  end_training (&t, !ok ? TESS_TRAIN_FAILED : stopped ? TESS_TRAIN_STOPPED : TESS_TRAIN_DONE, error);
}

gboolean
tess_trainer_start (TessTrainer *trainer, GError **error)
{
  g_return_val_if_fail (trainer->thread == NULL, FALSE);
  tess_mutex_lock (&trainer->mutex);
  trainer->status.state = TESS_TRAIN_PREPARING;
  tess_mutex_unlock (&trainer->mutex);
  trainer->thread = tess_thread_new ("trainer", TRAINER_NICE, trainer_thread, trainer);
  return TRUE;
}

/* A stop is final: neither pause nor resume undoes it. */
static void
set_command (TessTrainer *trainer, TessTrainCommand command)
{
  tess_mutex_lock (&trainer->control);
  if (atomic_load (&trainer->command) != TESS_COMMAND_STOP)
    atomic_store (&trainer->command, command);
  tess_cond_broadcast (&trainer->changed);
  tess_mutex_unlock (&trainer->control);
}

void
tess_trainer_pause (TessTrainer *trainer)
{
  set_command (trainer, TESS_COMMAND_PAUSE);
}

void
tess_trainer_resume (TessTrainer *trainer)
{
  set_command (trainer, TESS_COMMAND_RUN);
}

void
tess_trainer_stop (TessTrainer *trainer)
{
  set_command (trainer, TESS_COMMAND_STOP);
  tess_progress_cancel (trainer->progress);
}

gboolean
tess_trainer_wait (TessTrainer *trainer, GError **error)
{
  tess_thread_join (trainer->thread);
  trainer->thread = NULL;
  if (trainer->error) {
    g_propagate_error (error, g_error_copy (trainer->error));
    return FALSE;
  }
  return TRUE;
}

gboolean
tess_trainer_failed_together (TessTrainer *trainer)
{
  gboolean together;

  tess_mutex_lock (&trainer->mutex);
  together = trainer->together;
  tess_mutex_unlock (&trainer->mutex);
  return together;
}

void
tess_trainer_status (TessTrainer *trainer, TessTrainStatus *status)
{
  tess_mutex_lock (&trainer->mutex);
  *status = trainer->status;
  tess_mutex_unlock (&trainer->mutex);
}

TessSnapshot *
tess_trainer_newest_snapshot (TessTrainer *trainer)
{
  return tess_snapshot_slot_newest (&trainer->slot);
}

gboolean
tess_trainer_epoch (TessTrainer *trainer, guint i, TessEpochRecord *record)
{
  gboolean there;

  tess_mutex_lock (&trainer->mutex);
  there = i < trainer->history->len;
  if (there) {
    *record = g_array_index (trainer->history, TessEpochRecord, i);
    record->dice = g_memdup2 (record->dice, record->n_labels * sizeof (double));
  }
  tess_mutex_unlock (&trainer->mutex);
  return there;
}

guint
tess_trainer_n_resumed_epochs (TessTrainer *trainer)
{
  guint n;

  tess_mutex_lock (&trainer->mutex);
  n = trainer->n_resumed;
  tess_mutex_unlock (&trainer->mutex);
  return n;
}

char *
tess_trainer_next_note (TessTrainer *trainer)
{
  char *note;

  tess_mutex_lock (&trainer->mutex);
  note = g_queue_pop_head (&trainer->notes);
  tess_mutex_unlock (&trainer->mutex);
  return note;
}

void
tess_trainer_set_notify (TessTrainer *trainer, void (*func) (gpointer), gpointer data)
{
  trainer->notify = func;
  trainer->notify_data = data;
}
