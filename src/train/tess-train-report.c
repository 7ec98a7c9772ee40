#include "tess-train-check.h"

#include "tess-json.h"

#include <math.h>

#define NOTIFY_MICROSECONDS 50000     /* at most 20 times a second */
#define PROGRESS_MICROSECONDS 1000000 /* progress.json at most once a second */
#define PROGRESS_SHARE 0.01           /* and at most this share of the time */
#define KEEP_SNAPSHOTS 50u
#define SNAPSHOT_BYTES G_GUINT64_CONSTANT (1000000000)

static const char *
state_name (TessTrainState state)
{
  switch (state) {
  case TESS_TRAIN_IDLE:
    return "idle";
  case TESS_TRAIN_PREPARING:
    return "preparing";
  case TESS_TRAIN_RUNNING:
    return "running";
  case TESS_TRAIN_PAUSED:
    return "paused";
  case TESS_TRAIN_STOPPED:
    return "stopped";
  case TESS_TRAIN_DONE:
    return "done";
  case TESS_TRAIN_FAILED:
    return "failed";
  }
  return "";
}

double
tess_training_elapsed (TessTraining *t)
{
  if (t->started == 0)
    return t->elapsed_before;
  return t->elapsed_before + (double)(g_get_monotonic_time () - t->started - t->paused) / 1e6;
}

void
tess_training_note (TessTraining *t, const char *format, ...)
{
  va_list args;
  char *note;

  va_start (args, format);
  note = g_strdup_vprintf (format, args);
  va_end (args);
  tess_mutex_lock (&t->trainer->mutex);
  g_queue_push_tail (&t->trainer->notes, note);
  tess_mutex_unlock (&t->trainer->mutex);
}

static double
estimate_remaining (TessTraining *t)
{
  gint64 per_epoch = t->plan->training.iterations_per_epoch, left;

  if (t->state.minutes > 0.0)
    return MAX (t->state.minutes * 60.0 - t->state.elapsed, 0.0);
  left = t->state.n_epochs * per_epoch - t->state.epoch * per_epoch - t->state.iteration;
  if (t->step_seconds <= 0.0)
    return NAN;
  return MAX ((double)left * t->step_seconds + (double)(t->state.n_epochs - t->state.epoch) * t->val_seconds, 0.0);
}

/* Numbers that are not defined are left out by tess_json_to_text (null). */
static JsonNode *
progress_json (TessTraining *t, const TessTrainStatus *s)
{
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *o = json_object_new ();

  json_node_take_object (node, o);
  json_object_set_string_member (o, "state", state_name (s->state));
  json_object_set_int_member (o, "epoch", s->epoch);
  json_object_set_int_member (o, "epochs", s->n_epochs);
  json_object_set_int_member (o, "iteration", s->iteration);
  json_object_set_int_member (o, "iterations", s->n_iterations);
  json_object_set_int_member (o, "total_iterations", s->total_iterations);
  json_object_set_double_member (o, "minutes", t->state.minutes);
  json_object_set_double_member (o, "elapsed", s->elapsed);
  json_object_set_double_member (o, "remaining", s->remaining);
  json_object_set_double_member (o, "loss", s->train_loss);
  json_object_set_double_member (o, "val_loss", s->val_loss);
  json_object_set_double_member (o, "mean_dice", s->dice[0]);
  json_object_set_double_member (o, "best_dice", s->best_dice);
  json_object_set_double_member (o, "rate", s->learning_rate);
  json_object_set_double_member (o, "loader_share", s->loader_share);
  if (t->newest_snapshot)
    json_object_set_string_member (o, "snapshot", t->newest_snapshot);
  else
    json_object_set_null_member (o, "snapshot");
  return node;
}

static void
fill_status (TessTraining *t, TessTrainState state)
{
  TessTrainer *trainer = t->trainer;
  TessTrainStatus *s = &trainer->status;
  guint64 memory = t->session ? tess_session_bytes (t->session) : 0,
          cache = t->cache ? tess_case_cache_bytes (t->cache) : 0;

  memory += t->loader ? tess_loader_bytes (t->loader) : 0;
  tess_mutex_lock (&trainer->mutex);
  s->state = state;
  if (t->plan) {
    gboolean between = t->state.n_epochs > 0 && t->state.epoch >= t->state.n_epochs;

    s->epoch = t->state.epoch + (between ? 0 : 1);
    s->n_epochs = t->state.n_epochs;
    s->iteration = between ? t->plan->training.iterations_per_epoch : t->state.iteration;
    s->n_iterations = t->plan->training.iterations_per_epoch;
    s->total_iterations = t->state.total;
    s->elapsed = t->state.elapsed;
    s->remaining = estimate_remaining (t);
    s->n_labels = tess_plan_n_scores (t->plan);
    s->best_dice = t->state.best;
    s->learning_rate = t->args.learning_rate;
    s->iterations_per_second = t->step_seconds > 0.0 ? 1.0 / t->step_seconds : 0.0;
    if (t->state.epoch_steps > 0.0)
      s->loader_share = t->state.epoch_waiting / t->state.epoch_steps;
    s->memory_bytes = memory;
    s->cache_bytes = cache;
  }
  tess_mutex_unlock (&trainer->mutex);
}

/**
 * tess_training_publish:
 *
 * Brings the status up to date; tells the listener and writes progress.json when it is time to, or when the state has
 * changed. progress.json is a courtesy to who watches: that it cannot be written stops nothing (the next checkpoint
 * will say so).
 */
void
tess_training_publish (TessTraining *t, TessTrainState state)
{
  TessTrainer *trainer = t->trainer;
  gboolean changed = trainer->status.state != state; /* only this thread writes it */
  gint64 now;

  t->state.elapsed = tess_training_elapsed (t);
  fill_status (t, state);
  now = g_get_monotonic_time ();
  if (trainer->notify && (changed || now - t->last_notify >= NOTIFY_MICROSECONDS)) {
    t->last_notify = now;
    trainer->notify (trainer->notify_data);
  }
  if (t->started != 0 && tess_training_is_first (t) && (changed || now >= t->next_progress)) {
    gint64 cost;

    tess_run_folder_save_progress (t->run, progress_json (t, &trainer->status), NULL);
    cost = g_get_monotonic_time () - now;
    t->next_progress = now + MAX (PROGRESS_MICROSECONDS, (gint64)((double)cost / PROGRESS_SHARE));
  }
}

void
tess_training_add_epoch (TessTraining *t, const TessEpochRecord *record)
{
  TessTrainer *trainer = t->trainer;
  TessEpochRecord copy = *record;

  copy.dice = g_memdup2 (record->dice, record->n_labels * sizeof (double));
  tess_mutex_lock (&trainer->mutex);
  g_array_append_val (trainer->history, copy);
  memcpy (trainer->status.dice, record->dice, record->n_labels * sizeof (double));
  trainer->status.val_loss = record->val_loss;
  tess_mutex_unlock (&trainer->mutex);
  t->next_progress = 0;
}

/**
 * tess_training_snapshot:
 * @to_file: at the end of an epoch; state.epoch counts it already
 *
 * Looks at the fixed validation patch and publishes what is seen.
 */
gboolean
tess_training_snapshot (TessTraining *t, gboolean to_file, GError **error)
{
  gint64 start = g_get_monotonic_time (), epoch = t->state.epoch + (to_file || t->state.total == 0 ? 0 : 1);
  TessSnapshot *snapshot;

  if (t->options->no_live_view || !tess_training_is_first (t))
    return TRUE;
  snapshot = tess_live_view_take (t->view, epoch, t->state.total, error);
  if (!snapshot)
    return FALSE;
  tess_training_check_heads (t);
  if (to_file) {
    g_autofree char *path = tess_run_folder_snapshot (t->run, epoch);
    g_autoptr (GError) local = NULL;

    if (tess_snapshot_save (snapshot, path, &local)) {
      tess_run_folder_thin_snapshots (t->run, KEEP_SNAPSHOTS, SNAPSHOT_BYTES);
      g_free (t->newest_snapshot);
      t->newest_snapshot = tess_run_folder_newest_snapshot (t->run);
    } else { /* a picture less is no reason to stop; the checkpoint that follows is */
      tess_training_note (t, "%s", local->message);
    }
  }
  tess_snapshot_slot_publish (&t->trainer->slot, snapshot);
  t->view_cost += (double)(g_get_monotonic_time () - start) / 1e6;
  return TRUE;
}

static char *
provenance (TessTraining *t)
{
  g_autoptr (JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *o = json_object_new ();
  const TessRunDataset *d = &t->run_dataset;

  json_node_take_object (node, o);
  json_object_set_string_member (o, "program", "tessera " TESS_VERSION);
  json_object_set_string_member (o, "dataset", t->dataset->name);
  json_object_set_string_member (o, "dataset_identity", d->identity);
  if (d->val_fraction > 0.0)
    json_object_set_double_member (o, "val_fraction", d->val_fraction);
  else if (d->fold < 0)
    json_object_set_string_member (o, "fold", "all");
  else
    json_object_set_int_member (o, "fold", d->fold);
  json_object_set_int_member (o, "cases_trained", d->split.n_train);
  json_object_set_int_member (o, "epoch", t->state.epoch);
  json_object_set_int_member (o, "iteration", t->state.total);
  if (isfinite (t->state.ema))
    json_object_set_double_member (o, "validation_dice", t->state.ema);
  return tess_json_to_text (node, FALSE);
}

gboolean
tess_training_save (TessTraining *t, const char *name, GError **error)
{
  g_autofree char *path = tess_run_folder_file (t->run, name), *origin = provenance (t), *state = NULL;

  t->state.elapsed = t->elapsed_saved = tess_training_elapsed (t);
  if (!tess_training_is_first (t))
    return TRUE;
  state = tess_train_checkpoint_to_text (&t->state);
  return tess_model_save (path, t->plan, t->session, origin, state, error);
}
