#include "tess-trainer-private.h"

#include "tess-auto-plan.h"
#include "tess-format.h"
#include "tess-parallel.h"
#include "tess-train-check.h"

#include <math.h>

#define CASES_AHEAD 2                /* decoded ahead of the rotating pool, where the budget allows */
#define POOL_SLACK (CASES_AHEAD + 1) /* besides the pool: these and one of the validation; the planner's rule, too */

static char *
canonical_dir (const char *path)
{
  g_autofree char *full = g_canonicalize_filename (path, NULL);

  return g_filename_display_name (full);
}

/* A run folder with plan and dataset in it, whether it came to a checkpoint or not. */
static gboolean
is_begun (TessTraining *t)
{
  g_autofree char *plan = tess_run_folder_file (t->run, "plan.json");
  g_autofree char *dataset = tess_run_folder_file (t->run, "dataset.json");

  return g_file_test (plan, G_FILE_TEST_EXISTS) && g_file_test (dataset, G_FILE_TEST_EXISTS);
}

static gboolean
other_run (TessTraining *t, GError **error, const char *what)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("%s: %s; leave the option out, or choose another run folder"),
               t->options->run_dir, what);
  return FALSE;
}

/* The plan as text without what may differ between two sessions of one run: how long it goes on, and which part of
 * the dataset stays decoded. */
static char *
plan_essence (const TessPlan *plan, const TessPlan *like)
{
  g_autoptr (TessPlan) copy = tess_plan_dup (plan);

  copy->training.epochs = like->training.epochs;
  copy->training.cache_bytes = like->training.cache_bytes;
  copy->training.pool_cases = like->training.pool_cases;
  copy->training.pool_patches = like->training.pool_patches;
  copy->training.seed = like->training.seed;
  g_ptr_array_set_size (copy->reasons, 0);
  return tess_plan_to_text (copy);
}

static gboolean
same_plan (const TessPlan *a, const TessPlan *b)
{
  g_autofree char *x = plan_essence (a, b), *y = plan_essence (b, b);

  return strcmp (x, y) == 0;
}

static gboolean
check_same_run (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;
  int loss;

  if (o->val_fraction > 0.0 && o->val_fraction != t->run_dataset.val_fraction)
    return other_run (t, error, _ ("holds a run with another share of validation cases"));
  if (o->fold != TESS_FOLD_DEFAULT && (t->run_dataset.val_fraction > 0.0 || o->fold != t->run_dataset.fold))
    return other_run (t, error, _ ("holds a run of another fold"));
  if (o->seed >= 0 && o->seed != t->plan->training.seed)
    return other_run (t, error, _ ("holds a run with another seed"));
  if (o->loss && tess_plan_loss_from_name (o->loss, &loss) && loss != t->plan->training.loss)
    return other_run (t, error, _ ("holds a run with another loss"));
  if (o->plan && !same_plan (o->plan, t->plan))
    return other_run (t, error, _ ("holds a run with another plan"));
  return TRUE;
}

static gboolean
load_checkpoint (TessTraining *t, GError **error)
{
  g_autofree char *latest = tess_run_folder_file (t->run, "latest.safetensors");
  const char *text;

  if (!g_file_test (latest, G_FILE_TEST_EXISTS)) {
    tess_training_note (t, _ ("%s: there is no checkpoint yet, so this run begins again"), t->options->run_dir);
    return TRUE;
  }
  t->checkpoint = tess_model_load (latest, error);
  if (!t->checkpoint)
    return FALSE;
  text = tess_safetensors_metadata (t->checkpoint->file, "tessera.state");
  if (!text) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: is a model without the state of its training; it can predict, but not be trained further"),
                 latest);
    return FALSE;
  }
  if (!same_plan (t->checkpoint->plan, t->plan)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: plan.json is not the plan its checkpoint was trained with; put the old one back, or choose "
                    "another run folder"),
                 t->options->run_dir);
    return FALSE;
  }
  return tess_train_checkpoint_from_text (&t->state, text, latest, error);
}

static gboolean
open_old_run (TessTraining *t, GError **error)
{
  g_autofree char *file = tess_run_folder_file (t->run, "plan.json");

  return tess_run_folder_load_dataset (t->run, t->dataset, &t->run_dataset, error) &&
         (t->plan = tess_plan_load (file, error)) && check_same_run (t, error) && load_checkpoint (t, error);
}

/* What the ranks of a machine share, each may take a part of. */
static void
set_limits (TessTraining *t, TessPlannerLimits *limits)
{
  const TessTrainOptions *o = t->options;

  tess_auto_limits (o->backend, o->device, limits);
  limits->bf16 = o->act_dtype == TESS_DTYPE_BF16;
  limits->n_threads = o->n_threads;
  limits->cache_bytes = o->cache_bytes > 0 ? o->cache_bytes : limits->cache_bytes / t->ranks->n_local;
  limits->memory_bytes = o->memory_bytes > 0 ? o->memory_bytes : limits->memory_bytes / t->n_sharing;
}

/* The plan of a new run; rank 0. */
static gboolean
make_plan (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;

  if (o->plan) {
    t->plan = tess_plan_dup (o->plan);
  } else {
    gint64 size = t->ranks->size;
    TessPlannerLimits limits;

    set_limits (t, &limits);
    t->plan = tess_auto_plan (t->dataset, &limits, t->trainer->progress, error);
    if (!t->plan)
      return FALSE;
    t->plan->training.batch_size = (t->plan->training.batch_size + size - 1) / size * size;
  }
  if (o->loss)
    tess_plan_loss_from_name (o->loss, &t->plan->training.loss);
  if (o->seed >= 0)
    t->plan->training.seed = o->seed;
  if (o->epochs > 0)
    t->plan->training.epochs = o->epochs;
  return TRUE;
}

static gboolean
split_new_run (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;
  TessRunDataset *d = &t->run_dataset;

  d->identity = tess_dataset_identity (t->dataset);
  d->directory = canonical_dir (o->dataset_dir);
  d->fold = o->fold == TESS_FOLD_DEFAULT ? 0 : o->fold;
  d->val_fraction = o->val_fraction;
  d->minutes = o->minutes;
  if (d->val_fraction > 0.0)
    return tess_split_fraction (t->dataset, d->val_fraction, (guint64)t->plan->training.seed, &d->split, error);
  return tess_split_fold (t->dataset, d->fold, &d->split, error);
}

static gboolean
check_fit (TessTraining *t, GError **error)
{
  const TessDataset *d = t->dataset;

  if (t->plan->n_channels != d->n_channels) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has %u image channels, but the plan is for %u; plan this dataset"), d->directory,
                 d->n_channels, t->plan->n_channels);
    return FALSE;
  }
  if (t->plan->n_labels != d->n_labels) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has %u labels, but the plan is for %u; plan this dataset"), d->directory, d->n_labels,
                 t->plan->n_labels);
    return FALSE;
  }
  if (t->plan->ignore_label != d->ignore_label) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: its label to ignore is not the plan's; plan this dataset"), d->directory);
    return FALSE;
  }
  if (t->run_dataset.split.n_train == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("%s: no case is left to train on; add cases"),
                 d->directory);
    return FALSE;
  }
  return TRUE;
}

static guint
real_threads (guint n_threads)
{
  return n_threads > 0 ? n_threads : tess_parallel_n_cores ();
}

/* What was asked for now, else what the run was started with, else the plan's epochs. */
static void
choose_length (TessTraining *t)
{
  const TessTrainOptions *o = t->options;

  if (o->minutes > 0.0) {
    t->state.minutes = o->minutes;
    t->state.n_epochs = 0;
  } else if (o->epochs > 0) {
    t->state.minutes = 0.0;
    t->state.n_epochs = o->epochs;
  } else if (!t->checkpoint) {
    t->state.minutes = t->run_dataset.minutes;
    t->state.n_epochs = t->state.minutes > 0.0 ? 0 : t->plan->training.epochs;
  }
}

/* Notes it when the machine side differs from the session before: the numbers then differ in their last bits. */
static void
compare_machine (TessTraining *t)
{
  const TessTrainOptions *o = t->options;
  const char *precision = o->act_dtype == TESS_DTYPE_BF16 ? "bf16" : "f32";
  guint n_threads = real_threads (o->n_threads);

  if (t->checkpoint && (strcmp (t->state.precision, precision) != 0 || strcmp (t->state.backend, o->backend->id) != 0 ||
                        t->state.n_threads != n_threads))
    tess_training_note (
        t,
        _ ("%s: was trained with %s, %s, %u threads and goes on with %s, %s, %u; its numbers will differ in "
           "their last digits from a run that was never interrupted"),
        o->run_dir, t->state.backend, t->state.precision, t->state.n_threads, o->backend->id, precision, n_threads);
  g_strlcpy (t->state.precision, precision, sizeof t->state.precision);
  g_strlcpy (t->state.backend, o->backend->id, sizeof t->state.backend);
  t->state.n_threads = n_threads;
}

/* As many stages made again as it takes to fit; the user hears of it. */
static gboolean
choose_recompute (TessTraining *t, guint *recompute, GError **error)
{
  const TessTrainOptions *o = t->options;
  const TessTrainMachine machine = {o->backend, o->device, o->n_threads, o->act_dtype};
  guint64 limit = o->memory_bytes, bytes;

  if (limit == 0)
    limit = tess_plan_memory_there (&machine) / t->n_sharing;
  if (!tess_train_memory_choose (&machine, t->share, o->recompute, limit, recompute, &bytes, error))
    return FALSE;
  if (*recompute > 0) {
    g_autofree char *size = tess_format_bytes (bytes);

    tess_training_note (
        t,
        g_dngettext (GETTEXT_PACKAGE, "%s: %u stage of the network is computed twice, so that training takes %s",
                     "%s: %u stages of the network are computed twice, so that training takes %s", *recompute),
        o->run_dir, *recompute, size);
  }
  return TRUE;
}

static gboolean
open_session (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;
  TessNetworkSpec spec;

  tess_plan_network_spec (t->plan, &spec);
  t->session = tess_session_new (o->backend, o->device, o->n_threads, &spec, error);
  return t->session != NULL;
}

/* The ranks' cards connect; all are there. */
static gboolean
join_ranks (TessTraining *t, GError **error)
{
  GError *local = NULL;

  tess_session_set_communicator (t->session, t->ranks, &local);
  return tess_training_agree (t, local, error);
}

/* After the ranks have joined: what connects their cards takes memory, too. */
static gboolean
bind_session (TessTraining *t, GError **error)
{
  guint recompute;

  if (!choose_recompute (t, &recompute, error) ||
      !tess_plan_add_programs (t->session, t->share, t->options->act_dtype, recompute, error) ||
      !tess_session_bind (t->session, 0, error))
    return FALSE;
  t->train = TESS_TRAIN_PROGRAM_TRAIN;
  t->evaluate = TESS_TRAIN_PROGRAM_EVALUATE;
  t->infer = TESS_TRAIN_PROGRAM_INFER;
  t->n_heads = tess_session_network (t->session, t->train)->n_heads;
  t->n_classes = tess_plan_n_outputs (t->plan);
  t->n_scores = tess_plan_n_scores (t->plan);
  t->metrics = g_new (double, TESS_METRICS_SIZE (t->n_classes));
  t->counts = g_new0 (gint64, 3 * t->n_classes);
  t->args = (TessStepArgs){.seed = (guint64)t->plan->training.seed,
                           .momentum = t->plan->training.momentum,
                           .weight_decay = t->plan->training.weight_decay,
                           .clip_norm = t->plan->training.clip_norm,
                           .beta1 = t->plan->training.beta1,
                           .beta2 = t->plan->training.beta2,
                           .epsilon = t->plan->training.epsilon};
  tess_plan_head_weights (t->plan, t->args.head_weight);
  if (!t->checkpoint)
    return tess_session_init_params (t->session, (guint64)t->plan->training.seed, error);
  return tess_model_copy_params (t->checkpoint, t->session, FALSE, error) &&
         tess_model_copy_params (t->checkpoint, t->session, TRUE, error);
}

/* A budget given on the command line for a plan made with another one: a rotating pool of as many cases as fit, judged
 * by the first one, unless all do. */
static void
fit_pool (TessTraining *t, const TessCase *c)
{
  const TessTrainOptions *o = t->options;
  guint64 bytes = MAX (c->bytes, 1), budget = o->cache_bytes;
  gint64 n_train = t->run_dataset.split.n_train, fit;

  if (budget == 0)
    return;
  t->plan->training.cache_bytes = (gint64)MIN (budget, (guint64)1 << 60);
  if (!o->plan)
    return; /* tess_auto_plan has known it */
  fit = (gint64)MIN (budget / bytes, G_MAXINT32);
  t->plan->training.pool_cases =
      fit >= (gint64)t->dataset->cases->len ? 0 : CLAMP (MAX (fit - POOL_SLACK, MIN (fit, 2)), 1, n_train);
}

static guint64
cache_budget (TessTraining *t)
{
  return t->options->cache_bytes > 0 ? t->options->cache_bytes : (guint64)t->plan->training.cache_bytes;
}

/* Statistics of the cases are kept in the run folder, which rank 0 alone writes. */
static void
open_cache (TessTraining *t)
{
  g_autofree char *cases = tess_run_folder_file (t->run, "cases");

  t->cache = tess_case_cache_new (t->dataset, tess_training_is_first (t) ? cases : NULL, cache_budget (t));
}

/* Takes the run folder and takes over its log. */
static gboolean
enter_folder (TessTraining *t, GError **error)
{
  GArray *history = NULL;

  if (!tess_run_folder_lock (t->run, error))
    return FALSE;
  if (!t->checkpoint && tess_run_folder_has_run (t->run) && !t->options->resume) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: another training began here meanwhile; choose another folder"), t->options->run_dir);
    return FALSE;
  }
  if (!tess_run_folder_cut_back (t->run, t->plan, t->state.epoch, &history, error))
    return FALSE;
  tess_mutex_lock (&t->trainer->mutex);
  g_array_unref (t->trainer->history);
  t->trainer->history = history;
  t->trainer->n_resumed = history->len;
  if (history->len > 0) {
    const TessEpochRecord *last = &g_array_index (history, TessEpochRecord, history->len - 1);

    memcpy (t->trainer->status.dice, last->dice, last->n_labels * sizeof (double));
    t->trainer->status.val_loss = last->val_loss;
  }
  tess_mutex_unlock (&t->trainer->mutex);
  return TRUE;
}

/* What rank 0 alone does. */
static gboolean
open_files (TessTraining *t, gboolean begun, GError **error)
{
  g_autofree char *plan = tess_run_folder_file (t->run, "plan.json");
  const TessSplit *split = &t->run_dataset.split;
  g_autoptr (TessCase) shown = NULL;

  if (!enter_folder (t, error))
    return FALSE;
  open_cache (t);
  shown = tess_case_cache_get (t->cache, split->n_val > 0 ? split->val[0] : split->train[0], error);
  if (!shown)
    return FALSE;
  if (!begun) /* the order of the cases belongs to the run */
    fit_pool (t, shown);
  t->case_bytes = shown->bytes;
  /* plan.json comes last: where it is, the run can be resumed. */
  if (!begun && (!tess_run_folder_save_dataset (t->run, t->dataset, &t->run_dataset, error) ||
                 !tess_plan_save (t->plan, plan, error)))
    return FALSE;
  t->newest_snapshot = tess_run_folder_newest_snapshot (t->run);
  t->view = tess_live_view_new (t->session, t->infer, t->plan, shown, error);
  return t->view != NULL;
}

/* Where cases may lie in the device's memory, and what patches of them are augmented in. NULL: no room for either. */
static TessResidents *
open_residents (TessTraining *t)
{
  const TessBackendIface *backend = t->options->backend;
  TessDevice *device = tess_session_device (t->session);
  guint64 room = tess_device_case_room (backend, t->options->device) / t->n_sharing;
  gint64 voxels = t->plan->patch[0] * t->plan->patch[1] * t->plan->patch[2];
  guint64 scratch = tess_intensity_scratch (voxels);

  if (room <= scratch || !(t->augment_scratch = backend->buffer_new (device, scratch, NULL)))
    return NULL;
  return tess_residents_new (backend, device, t->dataset->cases->len, room - scratch,
                             (guint64)voxels * (t->plan->n_channels * sizeof (float) + 1));
}

static gboolean
open_loader (TessTraining *t, GError **error)
{
  const TessSplit *split = &t->run_dataset.split;
  guint cores = tess_parallel_n_cores ();
  gint64 fit = (gint64)MIN (cache_budget (t) / MAX (t->case_bytes, 1), G_MAXINT32);
  TessLoaderOptions options = {
      .plan = t->plan,
      .schedule = tess_schedule_new (t->plan, split->train, split->n_train, split->val, split->n_val),
      .cache = t->cache,
      .backend = t->options->backend,
      .device = tess_session_device (t->session),
      .n_cases = t->dataset->cases->len,
      .cases_ahead = (guint)CLAMP (fit - t->plan->training.pool_cases - 1, 1, CASES_AHEAD),
      .n_threads = t->options->n_threads,
      .rank = t->ranks->rank,
      .n_ranks = t->ranks->size,
      .n_epochs = t->state.n_epochs,
      .validation_iterations = split->n_val > 0 ? t->plan->training.validation_iterations : 0,
      .start = {FALSE, t->state.epoch, t->state.iteration},
  };

  if (t->options->n_threads > 0)
    cores = MIN (cores, t->options->n_threads);     /* of a rank: its part of the machine */
  if (strcmp (t->options->backend->id, "cpu") != 0) /* the processor has nothing else to do */
    options.n_workers = MAX (cores, 3) - 2;
  t->residents = options.residents = open_residents (t);
  t->loader = tess_loader_new (&options, error);
  return t->loader != NULL;
}

/* The dataset, and of a run that goes on everything, of a new one the plan. */
static gboolean
open_run (TessTraining *t, gboolean begun, GError **error)
{
  t->dataset = tess_dataset_open (t->options->dataset_dir, t->trainer->progress, error);
  if (!t->dataset)
    return FALSE;
  if (begun)
    return open_old_run (t, error);
  return !tess_training_is_first (t) || make_plan (t, error);
}

static gboolean
open_engine (TessTraining *t, gboolean begun, GError **error)
{
  return (begun || split_new_run (t, error)) && check_fit (t, error) &&
         tess_plan_validate (t->plan, t->options->run_dir, error) && tess_training_share_batch (t, error) &&
         open_session (t, error);
}

static gboolean
start_engine (TessTraining *t, GError **error)
{
  if (!bind_session (t, error))
    return FALSE;
  choose_length (t);
  compare_machine (t);
  return tess_progress_check (t->trainer->progress, error);
}

/**
 * tess_training_prepare:
 *
 * Opens the dataset, finds or makes the plan, compares with the run that is resumed, takes the device's memory, and
 * only then locks and writes the run folder. Ranks do each part together: none writes before all have read.
 */
gboolean
tess_training_prepare (TessTraining *t, GError **error)
{
  const TessTrainOptions *o = t->options;
  gboolean begun = o->resume && is_begun (t);
  GError *local = NULL;

  if (!tess_training_first_says (t, &begun, error) || !tess_training_count_sharing (t, error))
    return FALSE;
  if (o->resume && !begun)
    tess_training_note (t, _ ("%s: there is no run to go on with yet, so it begins"), o->run_dir);
  open_run (t, begun, &local);
  if (!tess_training_agree (t, local, error) || !tess_training_share_plan (t, error))
    return FALSE;
  local = NULL;
  open_engine (t, begun, &local);
  if (!tess_training_agree (t, local, error) || !join_ranks (t, error))
    return FALSE;
  local = NULL;
  start_engine (t, &local);
  if (!tess_training_agree (t, local, error))
    return FALSE;
  local = NULL;
  if (tess_training_is_first (t))
    open_files (t, begun, &local);
  if (!tess_training_agree (t, local, error) || !tess_training_share_plan (t, error) ||
      !t->ranks->broadcast (t->ranks, 0, &t->case_bytes, sizeof t->case_bytes, error))
    return FALSE;
  if (!tess_training_is_first (t))
    open_cache (t);
  tess_training_check_plan (t);
  g_clear_pointer (&t->checkpoint, tess_model_free); /* it maps the file that will be replaced */
  t->elapsed_before = t->elapsed_saved = t->state.elapsed;
  local = NULL;
  open_loader (t, &local);
  return tess_training_agree (t, local, error);
}

void
tess_training_clear (TessTraining *t)
{
  tess_training_drop_ahead (t);
  g_clear_pointer (&t->loader, tess_loader_free);
  g_clear_pointer (&t->residents, tess_residents_free);
  if (t->augment_scratch)
    t->options->backend->buffer_free (t->augment_scratch);
  g_clear_pointer (&t->view, tess_live_view_free);
  g_clear_pointer (&t->cache, tess_case_cache_free);
  g_clear_pointer (&t->session, tess_session_free);
  g_clear_pointer (&t->checkpoint, tess_model_free);
  g_clear_pointer (&t->plan, tess_plan_unref);
  g_clear_pointer (&t->share, tess_plan_unref);
  tess_run_dataset_clear (&t->run_dataset);
  g_clear_pointer (&t->dataset, tess_dataset_unref);
  g_free (t->metrics);
  g_free (t->counts);
  g_free (t->newest_snapshot);
}
