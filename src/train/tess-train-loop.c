#include "tess-train-check.h"

#include <inttypes.h>
#include <math.h>

#define VIEW_SHARE 0.005   /* of the time, for snapshots between epochs; showing them takes as much again */
#define FIRST_SHARE 0.02   /* in the first epoch: there is nothing else to look at yet */
#define EMA_KEEP 0.9       /* nnU-Net's running mean of the Dice */
#define STEP_SMOOTHING 0.1 /* of the shown speed */

typedef enum {
  END_WHOLE,   /* as planned */
  END_BUDGET,  /* the time is used */
  END_STOPPED, /* by command */
  END_FAILED,
} End;

static double
clock_seconds (gint64 since)
{
  return (double)(g_get_monotonic_time () - since) / 1e6;
}

static gint64
training_clock (TessTraining *t)
{
  return g_get_monotonic_time () - t->paused;
}

/* Waits while paused. FALSE: stop. */
static gboolean
may_go_on (TessTraining *t)
{
  TessTrainer *trainer = t->trainer;
  gint64 start;

  if (atomic_load (&trainer->command) == TESS_COMMAND_PAUSE) {
    start = g_get_monotonic_time ();
    tess_training_publish (t, TESS_TRAIN_PAUSED);
    tess_mutex_lock (&trainer->control);
    while (atomic_load (&trainer->command) == TESS_COMMAND_PAUSE)
      tess_cond_wait (&trainer->changed, &trainer->control);
    tess_mutex_unlock (&trainer->control);
    t->paused += g_get_monotonic_time () - start;
    if (atomic_load (&trainer->command) != TESS_COMMAND_STOP)
      tess_training_publish (t, TESS_TRAIN_RUNNING);
  }
  return atomic_load (&trainer->command) != TESS_COMMAND_STOP;
}

static gboolean
budget_used (TessTraining *t)
{
  return t->state.minutes > 0.0 && tess_training_elapsed (t) >= 60.0 * t->state.minutes;
}

/* The rate follows the epoch (set at its start, as nnU-Net does) or the used part of the time budget. */
static double
current_rate (TessTraining *t)
{
  double progress;

  if (t->state.minutes > 0.0)
    progress = tess_training_elapsed (t) / (60.0 * t->state.minutes);
  else
    progress = (double)t->state.epoch / (double)t->state.n_epochs;
  return tess_schedule_learning_rate (t->plan, progress);
}

/* What to do next, for all ranks. */
static gboolean
control_point (TessTraining *t, TessTurn *turn, GError **error)
{
  *turn = (TessTurn){.stop = may_go_on (t) ? 0.0 : 1.0};
  turn->budget_used = budget_used (t) ? 1.0 : 0.0;
  turn->learning_rate = current_rate (t);
  return tess_training_turn (t, turn, error);
}

/* This rank's part of the next batch into a program's inputs; no rank goes on where another has no batch. waited:
 * seconds. */
static gboolean
feed (TessTraining *t, int program, double *waited, GError **error)
{
  GError *local = NULL;

  tess_training_feed (t, program, waited, &local);
  if (!tess_training_agree (t, local, error))
    return FALSE;
  tess_training_look_ahead (t);
  return TRUE;
}

/* The weighted loss over the heads; the hard counts of the finest head are added to counts unless NULL. */
static gboolean
read_loss (TessTraining *t, int program, gint64 *counts, double *loss, GError **error)
{
  const TessNetwork *network = tess_session_network (t->session, program);
  gsize bytes = TESS_METRICS_SIZE (t->n_classes) * sizeof (double);

  *loss = 0.0;
  for (guint h = 0; h < t->n_heads; h++) {
    if (t->args.head_weight[h] == 0.0)
      continue;
    if (!tess_session_read (t->session, program, network->metrics[h], t->metrics, bytes, error))
      return FALSE;
    *loss += t->args.head_weight[h] * t->metrics[0];
    for (guint i = 0; h == 0 && counts && i < 3 * t->n_classes; i++)
      counts[i] += (gint64)t->metrics[3 + i];
  }
  return TRUE;
}

static gboolean
not_finite (TessTraining *t, const char *what, GError **error)
{
  t->together = TRUE; /* the number is the same everywhere */
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s: %s is not a finite number in epoch %" PRId64 ", iteration %" PRId64
                  "; the last checkpoint is kept: lower the plan's learning_rate and train again"),
               t->options->run_dir, what, t->state.epoch + 1, t->state.iteration + 1);
  return FALSE;
}

static gboolean
train_step (TessTraining *t, gboolean *loader_failed, GError **error)
{
  const TessNetwork *network = tess_session_network (t->session, t->train);
  gint64 start = g_get_monotonic_time ();
  double waited, loss, norm = 0.0, seconds;

  t->args.step = t->state.total + 1;
  *loader_failed = TRUE;
  if (!feed (t, t->train, &waited, error))
    return FALSE;
  *loader_failed = FALSE;
  if (!tess_session_run (t->session, t->train, &t->args, error) || !read_loss (t, t->train, NULL, &loss, error) ||
      (network->grad_norm != TESS_NONE &&
       !tess_session_read (t->session, t->train, network->grad_norm, &norm, sizeof norm, error)))
    return FALSE;
  if (!isfinite (loss))
    return not_finite (t, _ ("the loss"), error);
  if (!isfinite (norm))
    return not_finite (t, _ ("the gradient"), error);

  seconds = clock_seconds (start);
  t->step_seconds += (t->step_seconds > 0.0 ? STEP_SMOOTHING : 1.0) * (seconds - t->step_seconds);
  t->state.iteration++;
  t->state.total++;
  t->state.loss_sum += loss;
  t->state.last_rate = t->args.learning_rate;
  t->state.epoch_steps += seconds;
  t->state.epoch_waiting += waited;
  tess_mutex_lock (&t->trainer->mutex);
  t->trainer->status.train_loss = loss;
  tess_mutex_unlock (&t->trainer->mutex);
  return TRUE;
}

static End
train_epoch (TessTraining *t, gboolean *loader_failed, GError **error)
{
  double share = t->state.epoch == 0 ? FIRST_SHARE : VIEW_SHARE;
  TessTurn turn;

  while (t->state.iteration < t->plan->training.iterations_per_epoch) {
    if (!control_point (t, &turn, error))
      return END_FAILED;
    if (turn.stop > 0.0)
      return END_STOPPED;
    if (t->state.iteration > 0 && turn.budget_used > 0.0) /* an epoch has at least one */
      return END_BUDGET;
    t->args.learning_rate = turn.learning_rate;
    if (!train_step (t, loader_failed, error))
      return END_FAILED;
    if (t->view &&
        t->view_cost + tess_live_view_cost (t->view) <= share * (tess_training_elapsed (t) - t->elapsed_before) &&
        !tess_training_snapshot (t, FALSE, error))
      return END_FAILED;
    tess_training_publish (t, TESS_TRAIN_RUNNING);
  }
  return END_WHOLE;
}

static void
set_validating (TessTraining *t, gboolean validating)
{
  tess_mutex_lock (&t->trainer->mutex);
  t->trainer->status.validating = validating;
  tess_mutex_unlock (&t->trainer->mutex);
}

/* Pseudo Dice as nnU-Net's: counts of all validation patches together, not a mean over patches. */
static void
pseudo_dice (TessTraining *t, double *dice)
{
  double sum = 0.0;
  guint n = 0, offset = t->n_scores - t->n_classes; /* sigmoids have no background */

  for (guint c = 1; c < t->n_scores; c++) {
    const gint64 *k = t->counts + 3 * (c - offset);
    double below = (double)(2 * k[0] + k[1] + k[2]);

    dice[c] = below > 0.0 ? 2.0 * (double)k[0] / below : NAN;
    if (below > 0.0) {
      sum += dice[c];
      n++;
    }
  }
  dice[0] = n > 0 ? sum / n : NAN;
}

static End
validate (TessTraining *t, double *val_loss, double *dice, gboolean *loader_failed, GError **error)
{
  gint64 n = t->run_dataset.split.n_val > 0 ? t->plan->training.validation_iterations : 0;
  gint64 start = training_clock (t);
  double sum = 0.0, loss, waited;
  TessTurn turn;

  memset (t->counts, 0, sizeof (gint64) * 3 * t->n_classes);
  for (gint64 i = 0; i < n; i++) {
    if (!control_point (t, &turn, error))
      return END_FAILED;
    if (turn.stop > 0.0)
      return END_STOPPED;
    *loader_failed = TRUE;
    if (!feed (t, t->evaluate, &waited, error))
      return END_FAILED;
    *loader_failed = FALSE;
    if (!tess_session_run (t->session, t->evaluate, &t->args, error) ||
        !read_loss (t, t->evaluate, t->counts, &loss, error))
      return END_FAILED;
    if (!isfinite (loss)) {
      not_finite (t, _ ("the validation loss"), error);
      return END_FAILED;
    }
    sum += loss;
    tess_training_publish (t, TESS_TRAIN_RUNNING);
  }
  *val_loss = n > 0 ? sum / (double)n : NAN;
  pseudo_dice (t, dice);
  t->val_seconds = (double)(training_clock (t) - start) / 1e6;
  return END_WHOLE;
}

/* The running mean decides what is best, as in nnU-Net; its first value is the first Dice. */
static gboolean
is_best (TessTraining *t, double dice)
{
  g_autofree char *best = tess_run_folder_file (t->run, "best.safetensors");

  if (isfinite (dice))
    t->state.ema = isfinite (t->state.ema) ? EMA_KEEP * t->state.ema + (1.0 - EMA_KEEP) * dice : dice;
  if (isfinite (t->state.ema) && !(t->state.ema <= t->state.best)) {
    t->state.best = t->state.ema;
    t->state.best_epoch = t->state.epoch;
    return TRUE;
  }
  return !g_file_test (best, G_FILE_TEST_EXISTS);
}

/* A whole epoch goes to the files: snapshot, log, best, and last the checkpoint that makes it final. What was written
 * before a checkpoint that never came is cut back on resume. */
static gboolean
write_epoch (TessTraining *t, const TessEpochRecord *record, gboolean best, GError **error)
{
  return tess_training_snapshot (t, TRUE, error) &&
         (!tess_training_is_first (t) || tess_run_folder_append (t->run, record, error)) &&
         (!best || tess_training_save (t, "best.safetensors", error)) &&
         tess_training_save (t, "latest.safetensors", error);
}

static gboolean
close_epoch (TessTraining *t, double val_loss, double *dice, GError **error)
{
  TessTrainCheckpoint *s = &t->state;
  TessEpochRecord record = {
      .epoch = s->epoch + 1,
      .iteration = s->total,
      .train_loss = s->iteration > 0 ? s->loss_sum / (double)s->iteration : NAN,
      .val_loss = val_loss,
      .n_labels = t->n_scores,
      .dice = dice,
      .learning_rate = s->last_rate,
      .seconds = s->epoch_seconds + (double)(training_clock (t) - t->epoch_mark) / 1e6,
      .loader_share = s->epoch_steps > 0.0 ? s->epoch_waiting / s->epoch_steps : 0.0,
  };
  GError *local = NULL;
  gboolean best;

  s->epoch++;
  s->iteration = 0;
  s->loss_sum = s->epoch_seconds = s->epoch_steps = s->epoch_waiting = 0.0;
  best = is_best (t, dice[0]);
  write_epoch (t, &record, best, &local);
  if (!tess_training_agree (t, local, error))
    return FALSE;
  tess_training_add_epoch (t, &record);
  tess_training_check_classes (t);
  tess_training_publish (t, TESS_TRAIN_RUNNING);
  return TRUE;
}

static End
run_epoch (TessTraining *t, double *dice, gboolean *loader_failed, GError **error)
{
  double val_loss;
  End end, validated;

  t->epoch_mark = training_clock (t);
  end = train_epoch (t, loader_failed, error);
  if (end == END_BUDGET) {
    tess_training_drop_ahead (t);
    tess_loader_seek (t->loader, &(TessBatchPosition){TRUE, t->state.epoch, 0});
  }
  if (end == END_WHOLE || end == END_BUDGET) {
    set_validating (t, TRUE);
    validated = validate (t, &val_loss, dice, loader_failed, error);
    set_validating (t, FALSE);
    if (validated != END_WHOLE)
      end = validated;
  }
  if (end == END_STOPPED || end == END_FAILED)
    t->state.epoch_seconds += (double)(training_clock (t) - t->epoch_mark) / 1e6;
  else if (!close_epoch (t, val_loss, dice, error))
    return END_FAILED;
  return end;
}

/* By the time that the checkpoint knows, so that a resume finds the same. */
static gboolean
is_finished (TessTraining *t, gboolean *finished, GError **error)
{
  *finished = t->state.n_epochs > 0 ? t->state.epoch >= t->state.n_epochs : t->elapsed_saved >= 60.0 * t->state.minutes;
  return tess_training_first_says (t, finished, error);
}

/**
 * tess_training_loop:
 * @stopped: set when a command ended it
 *
 * Epochs until the last one or until the time budget is used: the time of training, validation and checkpoints counts,
 * the time of preparing and of pauses does not. A budget that ends within an epoch closes it early, with validation
 * and checkpoint. A stop, or a case that cannot be read any more, leaves a checkpoint of the iteration reached; what
 * else fails leaves the one before.
 */
gboolean
tess_training_loop (TessTraining *t, gboolean *stopped, GError **error)
{
  g_autofree double *dice = g_new0 (double, t->n_scores);
  gboolean loader_failed = FALSE, finished;
  End end = END_WHOLE;

  t->started = g_get_monotonic_time ();
  tess_training_publish (t, TESS_TRAIN_RUNNING);
  if (!is_finished (t, &finished, error))
    return FALSE;
  if (finished)
    tess_training_note (t, _ ("%s: this run has reached its end already; ask for more epochs or minutes to train on"),
                        t->options->run_dir);
  if (!tess_training_snapshot (t, FALSE, error))
    return FALSE;
  while ((end == END_WHOLE || end == END_BUDGET) && !finished) {
    end = run_epoch (t, dice, &loader_failed, error);
    if (end != END_FAILED && !is_finished (t, &finished, error))
      return FALSE;
  }
  *stopped = end == END_STOPPED;
  if (end == END_STOPPED) /* before the first iteration there is nothing to go on with */
    return t->state.total == 0 || tess_training_save (t, "latest.safetensors", error);
  if (end == END_FAILED && loader_failed && t->state.total > 0)
    tess_training_save (t, "latest.safetensors", NULL);
  return end != END_FAILED;
}
