#include "tess-cli.h"

#include "tess-format.h"
#include "tess-parallel.h"
#include "tess-trainer.h"

#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define POLL_MICROSECONDS 50000
#define DRAW_MICROSECONDS 200000
#define NOT_GIVEN (-HUGE_VAL)

typedef struct {
  TessCli *cli;
  TessTrainer *trainer;
  TessPlan *plan; /* of the run, for the names of its labels; NULL until it is there */
  const char *run_dir;
  gboolean terminal, drawn;
  gint64 last_drawn;
  guint epochs_shown;
} Display;

static gboolean
parse_fold (const char *text, int *fold, GError **error)
{
  gint64 value;

  *fold = TESS_FOLD_DEFAULT;
  if (!text)
    return TRUE;
  if (strcmp (text, "all") == 0) {
    *fold = -1;
    return TRUE;
  }
  if (!g_ascii_string_to_signed (text, 10, 0, 9999, &value, NULL)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--fold %s: give 0, 1, 2, ... or all"), text);
    return FALSE;
  }
  *fold = (int)value;
  return TRUE;
}

static void
erase_line (Display *d)
{
  if (d->drawn)
    fprintf (stderr, "\r\033[K");
  d->drawn = FALSE;
}

static char *
number (double value)
{
  return isfinite (value) ? g_strdup_printf ("%.4f", value) : g_strdup ("-");
}

static void
draw_line (Display *d, const TessTrainStatus *s)
{
  gint64 now = g_get_monotonic_time ();
  g_autofree char *loss = number (s->train_loss), *dice = number (s->dice[0]), *left = NULL, *of = NULL, *line = NULL;

  if (!d->terminal || now - d->last_drawn < DRAW_MICROSECONDS)
    return;
  d->last_drawn = now;
  d->drawn = TRUE;
  if (s->state == TESS_TRAIN_PREPARING) {
    line = g_strdup_printf (_ ("preparing %3.0f %%"), s->preparing * 100.0);
  } else {
    left = isfinite (s->remaining) ? tess_format_duration (s->remaining) : g_strdup ("-");
    of = s->n_epochs > 0 ? g_strdup_printf ("/%" PRId64, s->n_epochs) : g_strdup ("");
    line = g_strdup_printf (
        _ ("epoch %" PRId64 "%s  %s %" PRId64 "/%" PRId64 "  %.2f it/s  loss %s  Dice %s  left %s  loader %.0f %%"),
        s->epoch, of, s->validating ? _ ("validating") : _ ("step"), s->iteration, s->n_iterations,
        s->iterations_per_second, loss, dice, left, s->loader_share * 100.0);
  }
  fprintf (stderr, "\r%s\033[K", line);
  fflush (stderr);
}

/* "0.7100 (liver 0.8100, tumour 0.6100)" */
static char *
dice_text (Display *d, const double *dice, guint n_labels)
{
  g_autofree char *mean = number (dice[0]);
  GString *text = g_string_new (mean);

  for (guint i = 1; i < n_labels && i <= 8 && n_labels > 2; i++) {
    g_autofree char *one = number (dice[i]);
    const char *name = d->plan && i < tess_plan_n_scores (d->plan) ? tess_plan_score_name (d->plan, i) : "";

    g_string_append_printf (text, "%s%s%s%s", i > 1 ? ", " : " (", name, *name ? " " : "", one);
  }
  if (n_labels > 2)
    g_string_append (text, n_labels > 9 ? ", ...)" : ")");
  return g_string_free (text, FALSE);
}

static void
show_epoch (Display *d, const TessEpochRecord *r, const TessTrainStatus *s)
{
  g_autofree char *loss = number (r->train_loss), *val = number (r->val_loss),
                  *dice = dice_text (d, r->dice, r->n_labels);

  erase_line (d);
  if (s->n_epochs > 0)
    fprintf (stderr, _ ("epoch %" PRId64 "/%" PRId64), r->epoch, s->n_epochs);
  else
    fprintf (stderr, _ ("epoch %" PRId64), r->epoch);
  fprintf (stderr, _ (": loss %s, validation %s, Dice %s, rate %.3g, %.1f s, loader %.0f %%\n"), loss, val, dice,
           r->learning_rate, r->seconds, r->loader_share * 100.0);
}

static void
load_names (Display *d)
{
  g_autofree char *file = g_build_filename (d->run_dir, "plan.json", NULL);

  if (!d->plan)
    d->plan = tess_plan_load (file, NULL);
}

/* Notes and whole epochs that have come since. */
static void
show_news (Display *d, const TessTrainStatus *s)
{
  TessEpochRecord record;
  char *note;

  while ((note = tess_trainer_next_note (d->trainer))) {
    erase_line (d);
    tess_cli_note (d->cli, "%s", note);
    g_free (note);
  }
  if (s->state == TESS_TRAIN_PREPARING)
    return;
  d->epochs_shown = MAX (d->epochs_shown, tess_trainer_n_resumed_epochs (d->trainer));
  while (tess_trainer_epoch (d->trainer, d->epochs_shown, &record)) {
    load_names (d);
    if (!d->cli->quiet)
      show_epoch (d, &record, s);
    tess_epoch_record_clear (&record);
    d->epochs_shown++;
  }
}

static gboolean
is_over (TessTrainState state)
{
  return state == TESS_TRAIN_STOPPED || state == TESS_TRAIN_DONE || state == TESS_TRAIN_FAILED;
}

/* Until the training has ended; Ctrl-C stops it, with a checkpoint. */
static void
watch (Display *d, TessTrainStatus *s)
{
  TessProgress *signals = tess_cli_progress (d->cli, ""); /* installs what Ctrl-C does */
  gboolean stopping = FALSE;

  do {
    if (tess_cli_interrupted () && !stopping) {
      stopping = TRUE;
      erase_line (d);
      tess_cli_note (d->cli, _ ("stopping after this iteration (once more: at once, without a checkpoint)"));
      tess_trainer_stop (d->trainer);
    }
    tess_trainer_status (d->trainer, s);
    show_news (d, s);
    if (is_over (s->state))
      break;
    draw_line (d, s);
    g_usleep (POLL_MICROSECONDS);
  } while (TRUE);
  erase_line (d);
  tess_cli_progress_end (signals);
}

/* Share of the training steps spent waiting for data, over the epochs of this session. */
static double
mean_loader_share (TessTrainer *trainer)
{
  double weighted = 0.0, seconds = 0.0;
  TessEpochRecord r;

  for (guint i = tess_trainer_n_resumed_epochs (trainer); tess_trainer_epoch (trainer, i, &r); i++) {
    weighted += r.loader_share * r.seconds;
    seconds += r.seconds;
    tess_epoch_record_clear (&r);
  }
  return seconds > 0.0 ? weighted / seconds : 0.0;
}

static void
print_json (Display *d, const TessTrainStatus *s, const char *best)
{
  JsonNode *root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *o = json_object_new (), *dice = json_object_new ();
  g_autofree char *latest = g_build_filename (d->run_dir, "latest.safetensors", NULL);

  json_node_take_object (root, o);
  json_object_set_string_member (o, "run", d->run_dir);
  json_object_set_string_member (o, "state", s->state == TESS_TRAIN_DONE ? "done" : "stopped");
  json_object_set_string_member (o, "model", best);
  json_object_set_string_member (o, "latest", latest);
  json_object_set_int_member (o, "epochs", d->epochs_shown);
  json_object_set_int_member (o, "iterations", s->total_iterations);
  json_object_set_double_member (o, "seconds", s->elapsed);
  json_object_set_double_member (o, "loss", s->train_loss);
  json_object_set_double_member (o, "val_loss", s->val_loss);
  json_object_set_double_member (o, "mean_dice", s->dice[0]);
  json_object_set_double_member (o, "best_dice", s->best_dice);
  for (guint i = 1; i < s->n_labels && d->plan; i++)
    json_object_set_double_member (dice, tess_plan_score_name (d->plan, i), s->dice[i]);
  json_object_set_object_member (o, "dice", dice);
  json_object_set_double_member (o, "loader_share", mean_loader_share (d->trainer));
  json_object_set_int_member (o, "memory_bytes", (gint64)s->memory_bytes);
  json_object_set_int_member (o, "cache_bytes", (gint64)s->cache_bytes);
  tess_cli_print_json (root);
}

/* One rank says what all have met; what only this one has met ends the others, which wait for it. */
static int
fail (const TessCommunicator *ranks, gboolean together, GError *error)
{
  int code;

  if (together && !tess_communicator_is_first (ranks)) {
    code = g_error_matches (error, TESS_ERROR, TESS_ERROR_USAGE) ? 2 : 1;
    g_error_free (error);
    return code;
  }
  code = tess_cli_fail (error);
  if (!together)
    ranks->end_all (ranks, code);
  return code;
}

static int
finish (Display *d, const TessCommunicator *ranks, const TessTrainStatus *s)
{
  g_autofree char *best = g_build_filename (d->run_dir, "best.safetensors", NULL);
  GError *error = NULL;

  if (!tess_trainer_wait (d->trainer, &error))
    return fail (ranks, tess_trainer_failed_together (d->trainer), error);
  if (!tess_communicator_is_first (ranks))
    return s->state == TESS_TRAIN_STOPPED ? 1 : 0;
  if (s->state == TESS_TRAIN_STOPPED) {
    if (s->total_iterations > 0)
      fprintf (stderr,
               _ ("tessera-cli: %s: interrupted in epoch %" PRId64 " after %" PRId64
                  " iterations; go on by giving --resume\n"),
               d->run_dir, s->epoch, s->total_iterations);
    else
      fprintf (stderr, _ ("tessera-cli: %s: interrupted before training began; start it again\n"), d->run_dir);
    return 1;
  }
  load_names (d);
  if (d->cli->json) {
    print_json (d, s, best);
  } else {
    g_autofree char *time = tess_format_duration (s->elapsed), *dice = dice_text (d, s->dice, s->n_labels);

    printf (_ ("trained %u epochs, %" PRId64 " iterations, in %s; Dice of the last validation %s\n%s\n"),
            d->epochs_shown, s->total_iterations, time, dice, best);
  }
  return 0;
}

/* What was given must be positive; what was not becomes 0. */
static gboolean
check_numbers (TessTrainOptions *o, GError **error)
{
  const char *wrong = NULL;

  if (o->epochs != G_MININT64 && o->epochs <= 0)
    wrong = _ ("--epochs: give a whole number above 0");
  else if (o->minutes != NOT_GIVEN && !(o->minutes > 0.0 && isfinite (o->minutes)))
    wrong = _ ("--minutes: give a number above 0");
  else if (o->val_fraction != NOT_GIVEN && !(o->val_fraction > 0.0 && o->val_fraction < 1.0))
    wrong = _ ("--val-fraction: give a number above 0 and below 1");
  if (wrong) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_USAGE, wrong);
    return FALSE;
  }
  o->epochs = MAX (o->epochs, 0);
  o->minutes = MAX (o->minutes, 0.0);
  o->val_fraction = MAX (o->val_fraction, 0.0);
  return TRUE;
}

/* Threads that were not asked for: of a rank that mpirun has not bound to cores of its own, its part of all. */
static guint
own_threads (const TessCommunicator *ranks, guint n_threads)
{
  guint cores = tess_parallel_n_cores ();

  if (n_threads > 0 || ranks->n_local == 1 || (long)cores < sysconf (_SC_NPROCESSORS_ONLN))
    return n_threads;
  return MAX (cores / ranks->n_local, 1);
}

/* What auto has chosen may differ where the processes' machines do: bf16 is used if all have it. */
static gboolean
share_choice (TessCli *cli, TessTrainOptions *o, gboolean *together, GError **error)
{
  const TessCommunicator *ranks = o->communicator;
  double n[2] = {strcmp (o->backend->id, "cpu") != 0, o->act_dtype == TESS_DTYPE_BF16};

  *together = FALSE;
  if (!ranks->sum_f64 (ranks, n, G_N_ELEMENTS (n), error))
    return FALSE;
  *together = TRUE;
  if (n[0] > 0 && n[0] < ranks->size) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_MISMATCH,
        _ ("%.0f of %u processes have found a GPU; start only those, or give --backend cpu (--backend cuda says "
           "why the others have none)"),
        n[0], ranks->size);
    return FALSE;
  }
  if (n[1] > 0 && n[1] < ranks->size) {
    o->act_dtype = TESS_DTYPE_F32;
    tess_cli_note (cli, _ ("not every process has fast bf16: all compute in f32"));
  }
  return TRUE;
}

static int
train (TessCli *cli, TessTrainOptions *options)
{
  const TessCommunicator *ranks = options->communicator;
  g_autoptr (TessTrainer) trainer = NULL;
  Display display = {.cli = cli, .run_dir = options->run_dir, .terminal = !cli->quiet && isatty (STDERR_FILENO)};
  TessTrainStatus status;
  GError *error = NULL, *local = NULL;
  gboolean together;
  int code;

  tess_cli_backend (cli, &options->backend, &options->device, &options->n_threads, &options->act_dtype, &local);
  if (!tess_communicator_agree (ranks, local, &together, &error) || !share_choice (cli, options, &together, &error))
    return fail (ranks, together, error);
  options->n_threads = own_threads (ranks, options->n_threads);
  options->seed = cli->seed;
  local = NULL;
  display.trainer = trainer = tess_trainer_new (options, &local);
  if (!tess_communicator_agree (ranks, local, &together, &error))
    return fail (ranks, together, error);
  if (!tess_trainer_start (trainer, &error))
    return fail (ranks, FALSE, error);
  watch (&display, &status);
  code = finish (&display, ranks, &status);
  if (display.plan)
    tess_plan_unref (display.plan);
  return code;
}

/* Alone, or with the other processes that mpirun has started. Rank 0 alone speaks. */
static int
train_ranks (TessCli *cli, TessTrainOptions *options)
{
  GError *error = NULL;
  const TessCommunicator *ranks = tess_communicator_open (&error);
  int code;

  if (!ranks)
    return tess_cli_fail (error);
  options->communicator = ranks;
  cli->local_rank = ranks->local_rank;
  if (!tess_communicator_is_first (ranks))
    cli->quiet = TRUE;
  if (ranks->size > 1)
    tess_cli_interrupt_on (SIGUSR1); /* mpirun passes it on, and waits */
  code = train (cli, options);
  ranks->close (ranks);
  return code;
}

int
tess_cmd_train (TessCli *cli, int argc, char **argv)
{
  g_autofree char *dataset = NULL, *run = NULL, *plan_path = NULL, *fold = NULL, *cache = NULL, *loss = NULL;
  g_autofree char *recompute = NULL, *memory = NULL;
  TessTrainOptions options = {.epochs = G_MININT64, .minutes = NOT_GIVEN, .val_fraction = NOT_GIVEN};
  g_autoptr (TessPlan) plan = NULL;
  gboolean resume = FALSE;
  GError *error = NULL;
  int code;
  const GOptionEntry entries[] = {
      {"dataset", 0, 0, G_OPTION_ARG_FILENAME, &dataset, N_ ("the dataset, in nnU-Net's raw layout"), "DIR"},
      {"run", 0, 0, G_OPTION_ARG_FILENAME, &run, N_ ("where the run is kept"), "DIR"},
      {"plan", 0, 0, G_OPTION_ARG_FILENAME, &plan_path, N_ ("a plan made by `plan`; else one is made"), "PLAN"},
      {"fold", 0, 0, G_OPTION_ARG_STRING, &fold,
       N_ ("which fifth validates (0 if not given), or all: train on everything"), "K|all"},
      {"val-fraction", 0, 0, G_OPTION_ARG_DOUBLE, &options.val_fraction,
       N_ ("validate on this share of the cases instead"), "F"},
      {"epochs", 0, 0, G_OPTION_ARG_INT64, &options.epochs, N_ ("train this many epochs (the plan's if not given)"),
       "N"},
      {"minutes", 0, 0, G_OPTION_ARG_DOUBLE, &options.minutes, N_ ("train for this time instead"), "M"},
      {"cache", 0, 0, G_OPTION_ARG_STRING, &cache, N_ ("memory for decoded cases, as in 2G, instead of the plan's"),
       "BYTES"},
      {"loss", 0, 0, G_OPTION_ARG_STRING, &loss,
       N_ ("dice-ce, dice-bce, dice, tversky or focal, instead of the plan's"), "NAME"},
      {"recompute", 0, 0, G_OPTION_ARG_STRING, &recompute,
       N_ ("auto, on or off: compute stages of the network twice to spare memory; the numbers stay the same"), "WHEN"},
      {"memory", 0, 0, G_OPTION_ARG_STRING, &memory, N_ ("memory training may take, as in 8G, instead of what is free"),
       "BYTES"},
      {"resume", 0, 0, G_OPTION_ARG_NONE, &resume, N_ ("go on from the run's last checkpoint"), NULL},
      {NULL},
  };

  if (!tess_cli_parse (cli, &argc, &argv, entries, "--dataset DIR --run DIR",
                       _ ("Trains a network on a dataset. Ctrl-C stops it with a checkpoint.\n"
                          "Under mpirun (OpenMPI) its processes share every batch; `kill -USR1` of mpirun stops them."),
                       0, 0, &code))
    return code;
  if (!dataset || !run) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("train: %s is missing"),
                 !dataset ? "--dataset DIR" : "--run DIR");
    return tess_cli_fail (error);
  }
  if (!check_numbers (&options, &error) || !parse_fold (fold, &options.fold, &error) ||
      (cache && !tess_cli_bytes (cache, "--cache", &options.cache_bytes, &error)) ||
      (memory && !tess_cli_bytes (memory, "--memory", &options.memory_bytes, &error)))
    return tess_cli_fail (error);
  if (recompute && !tess_recompute_from_name (recompute, &options.recompute)) {
    g_set_error (&error, TESS_ERROR, TESS_ERROR_USAGE, _ ("--recompute %s: give auto, on or off"), recompute);
    return tess_cli_fail (error);
  }
  if (plan_path && !(plan = tess_plan_load (plan_path, &error)))
    return tess_cli_fail (error);
  options.dataset_dir = dataset;
  options.run_dir = run;
  options.plan = plan;
  options.resume = resume;
  options.loss = loss;
  return train_ranks (cli, &options);
}
