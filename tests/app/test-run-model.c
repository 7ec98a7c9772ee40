/* The model of a run, driven without a window: what Train shows is what the trainer and the run folder say. */
#include "train-fixture.h"

#include "tess-heads-data.h"
#include "tess-run-alarms.h"
#include "tess-run-model.h"
#include "tess-run-poll.h"
#include "tess-train-work.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <sys/file.h>
#include <fcntl.h>
#include <unistd.h>

static TrainFixture fixture;

typedef struct {
  guint status, rows, snapshots, kept, ended;
  GError *error;
} Seen;

static void
count_cb (guint *n)
{
  (*n)++;
}

static void
ended_cb (Seen *seen, const GError *error)
{
  seen->ended++;
  seen->error = error ? g_error_copy (error) : NULL;
}

static void
listen (TessRunModel *model, Seen *seen)
{
  *seen = (Seen){0};
  g_signal_connect_swapped (model, "status", G_CALLBACK (count_cb), &seen->status);
  g_signal_connect_swapped (model, "rows", G_CALLBACK (count_cb), &seen->rows);
  g_signal_connect_swapped (model, "snapshot", G_CALLBACK (count_cb), &seen->snapshots);
  g_signal_connect_swapped (model, "kept", G_CALLBACK (count_cb), &seen->kept);
  g_signal_connect_swapped (model, "ended", G_CALLBACK (ended_cb), seen);
}

static void
wait_ended (TessRunModel *model, Seen *seen)
{
  while (seen->ended == 0)
    g_main_context_iteration (NULL, TRUE);
}

/* Until looks at the folder have brought in so many kept snapshots. */
static void
wait_kept (TessRunModel *model, guint n)
{
  while (tess_run_model_n_kept (model) < n)
    g_main_context_iteration (NULL, TRUE);
}

static TessRunModel *
train_to_end (const TessTrainOptions *options, Seen *seen)
{
  g_autoptr (GError) error = NULL;
  TessRunModel *model = tess_run_model_new_train (options, &error);

  g_assert_no_error (error);
  listen (model, seen);
  g_assert_true (tess_run_model_start (model, &error));
  g_assert_true (tess_run_model_is_alive (model));
  wait_ended (model, seen);
  g_assert_no_error (seen->error);
  return model;
}

static void
loaded_cb (GObject *object, GAsyncResult *result, gpointer data)
{
  g_autoptr (GError) error = NULL;

  *(TessSnapshot **)data = tess_run_model_load_kept_finish (TESS_RUN_MODEL (object), result, &error);
  g_assert_no_error (error);
}

static void
test_ours (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "ours");
  TessTrainOptions options = train_fixture_options (&fixture, dir);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (TessSnapshot) newest = NULL, kept = NULL;
  TessTrainStatus status;
  Seen seen;

  model = train_to_end (&options, &seen);
  tess_run_model_get_status (model, &status);
  g_assert_cmpint (status.state, ==, TESS_TRAIN_DONE);
  g_assert_cmpint (tess_run_model_get_phase (model), ==, TESS_RUN_DONE);
  g_assert_false (tess_run_model_is_alive (model));
  g_assert_cmpuint (tess_run_model_n_rows (model), ==, 3);
  g_assert_cmpfloat (tess_run_model_value (model, 2, "epoch"), ==, 3.0);
  g_assert_cmpfloat (tess_run_model_value (model, 2, "iteration"), ==, 18.0);
  g_assert_true (isfinite (tess_run_model_value (model, 0, "loss")));
  g_assert_true (isnan (tess_run_model_value (model, 3, "loss")));
  g_assert_true (isnan (tess_run_model_value (model, 0, "dice_nobody")));
  g_assert_cmpuint (tess_run_model_label_names (model)->len, ==, TESS_PHANTOM_N_LABELS);
  g_assert_cmpuint (seen.rows, >=, 1);
  g_assert_cmpuint (seen.snapshots, >=, 1);
  g_assert_cmpuint (seen.ended, ==, 1);
  g_assert_cmpuint (strlen (tess_run_model_get_codes (model)), ==, 3);

  newest = tess_run_model_dup_newest (model);
  g_assert_cmpint (newest->epoch, ==, 3);
  wait_kept (model, 3);
  g_assert_cmpint (tess_run_model_kept_epoch (model, 0), ==, 1);
  tess_run_model_load_kept_async (model, 0, loaded_cb, &kept);
  while (!kept)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (kept->epoch, ==, 1);
  g_assert_true (tess_run_model_has_model (model));
  g_assert_false (tess_run_model_can_resume (model)); /* nothing is left to do */
}

/* The same folder watched says the same as the model that wrote it. */
static void
test_watch_finished (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "watched");
  TessTrainOptions options = train_fixture_options (&fixture, dir);
  g_autoptr (TessRunModel) ours = NULL, watch = NULL;
  g_autoptr (TessSnapshot) a = NULL, b = NULL;
  g_autoptr (GError) error = NULL;
  Seen seen;

  ours = train_to_end (&options, &seen);
  watch = tess_run_model_new_watch (dir, &error);
  g_assert_no_error (error);
  g_assert_false (tess_run_model_is_ours (watch));
  g_assert_cmpint (tess_run_model_get_phase (watch), ==, TESS_RUN_OPENING);
  wait_kept (watch, 3);
  g_assert_cmpint (tess_run_model_get_phase (watch), ==, TESS_RUN_DONE);
  g_assert_cmpuint (tess_run_model_n_rows (watch), ==, 3);
  for (guint row = 0; row < 3; row++) {
    static const char *const columns[] = {"epoch", "iteration", "loss", "val_loss", "mean_dice", "dice_organ", "rate"};

    for (guint c = 0; c < G_N_ELEMENTS (columns); c++) {
      double x = tess_run_model_value (ours, row, columns[c]), y = tess_run_model_value (watch, row, columns[c]);

      g_assert_true (isnan (x) ? isnan (y) : fabs (x - y) <= 1e-8 * (1.0 + fabs (x))); /* nine digits in the log */
    }
  }
  a = tess_run_model_dup_newest (ours);
  b = tess_run_model_dup_newest (watch);
  g_assert_cmpint (a->epoch, ==, b->epoch);
  g_assert_cmpmem (a->heads[0].probabilities, 16 * 16 * 16 * TESS_PHANTOM_N_LABELS, b->heads[0].probabilities,
                   16 * 16 * 16 * TESS_PHANTOM_N_LABELS);
  g_assert_cmpstr (tess_run_model_get_dataset_dir (watch), ==, fixture.dataset);
  g_assert_cmpstr (tess_run_model_get_codes (watch), ==, tess_run_model_get_codes (ours));
}

/* Pause holds it, stop ends it with a checkpoint, and another model goes on from there to the same number of epochs. */
static void
test_stop_and_resume (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "stopped");
  TessTrainOptions options = train_fixture_options (&fixture, dir);
  g_autoptr (TessRunModel) model = NULL, again = NULL;
  g_autoptr (GError) error = NULL;
  TessTrainStatus status;
  Seen seen;

  options.epochs = 400;
  model = tess_run_model_new_train (&options, &error);
  g_assert_no_error (error);
  listen (model, &seen);
  tess_run_model_start (model, &error);
  while (tess_run_model_n_rows (model) < 1)
    g_main_context_iteration (NULL, TRUE);
  tess_run_model_pause (model);
  while (tess_run_model_get_phase (model) != TESS_RUN_PAUSED)
    g_main_context_iteration (NULL, TRUE);
  g_assert_true (tess_run_model_is_alive (model));
  tess_run_model_resume (model);
  while (tess_run_model_get_phase (model) != TESS_RUN_RUNNING)
    g_main_context_iteration (NULL, TRUE);
  tess_run_model_stop (model);
  g_assert_true (tess_run_model_is_stopping (model));
  wait_ended (model, &seen);
  g_assert_no_error (seen.error);
  g_assert_cmpint (tess_run_model_get_phase (model), ==, TESS_RUN_STOPPED);
  while (!tess_run_model_can_resume (model))
    g_main_context_iteration (NULL, TRUE);

  options.resume = TRUE;
  options.fold = TESS_FOLD_DEFAULT;
  options.plan = NULL;
  options.epochs = (gint64)tess_run_model_n_rows (model) + 1;
  again = train_to_end (&options, &seen);
  tess_run_model_get_status (again, &status);
  g_assert_cmpint (status.state, ==, TESS_TRAIN_DONE);
  g_assert_cmpuint (tess_run_model_n_rows (again), ==, options.epochs);
}

/* A training that cannot go on says why, once. */
static void
test_failure (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "fails"), *data = train_fixture_path (&fixture, "nothing");
  TessTrainOptions options = train_fixture_options (&fixture, dir);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GError) error = NULL;
  Seen seen;

  g_mkdir (data, 0700);
  options.dataset_dir = data;
  model = tess_run_model_new_train (&options, &error);
  g_assert_no_error (error);
  listen (model, &seen);
  tess_run_model_start (model, &error);
  wait_ended (model, &seen);
  g_assert_nonnull (seen.error);
  g_assert_nonnull (strstr (seen.error->message, "nothing"));
  g_assert_cmpint (tess_run_model_get_phase (model), ==, TESS_RUN_FAILED);
  g_clear_error (&seen.error);
  g_assert_null (tess_run_model_new_watch (data, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
}

static void
write_file (const char *dir, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (dir, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

#define HEAD "epoch,iteration,loss,val_loss,dice_organ,dice_vessel,dice_gland,mean_dice,rate,seconds,loader_share\n"

/* A folder somebody else writes: its numbers, lines that are not whole yet, and the end of it. */
static void
test_watch_growing (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "growing"), *lock = g_build_filename (dir, "lock", NULL);
  g_autofree char *plan = g_build_filename (dir, "plan.json", NULL);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GError) error = NULL;
  TessTrainStatus s;
  Seen seen;

  g_mkdir (dir, 0700);
  tess_plan_save (fixture.plan, plan, &error);
  write_file (dir, "progress.json",
              "{\"state\":\"running\",\"epoch\":2,\"epochs\":9,\"iteration\":3,\"iterations\":6,"
              "\"total_iterations\":9,\"elapsed\":4.5,\"remaining\":null,\"loss\":0.25}");
  write_file (dir, "log.csv", HEAD "1,6,0.5,0.4,0.1,,0.3,0.2,0.01,2.5,0.0\n2,12,0.4,0.3,0.2,0,0.3,0.25,0.009,2.5,0.0");
  write_file (dir, "lock", "");
  model = tess_run_model_new_watch (dir, &error);
  g_assert_no_error (error);
  listen (model, &seen);
  while (seen.status == 0)
    g_main_context_iteration (NULL, TRUE);
  tess_run_model_get_status (model, &s);
  g_assert_cmpint (s.epoch, ==, 2);
  g_assert_cmpint (s.n_epochs, ==, 9);
  g_assert_true (isnan (s.remaining));
  g_assert_cmpfloat (s.train_loss, ==, 0.25);
  g_assert_cmpint (tess_run_model_get_phase (model), ==, TESS_RUN_RUNNING);
  g_assert_true (tess_run_model_is_alive (model));
  g_assert_cmpuint (tess_run_model_n_rows (model), ==, 1); /* the second line has no end */
  g_assert_true (isnan (tess_run_model_value (model, 0, "dice_vessel")));
  g_assert_cmpfloat (tess_run_model_value (model, 0, "dice_gland"), ==, 0.3);

  write_file (dir, "log.csv",
              HEAD "1,6,0.5,0.4,0.1,,0.3,0.2,0.01,2.5,0.0\n2,12,0.4,0.3,0.2,0,0.3,0.25,0.009,2.5,0.0\n");
  write_file (dir, "progress.json",
              "{\"state\":\"stopped\",\"epoch\":3,\"epochs\":9,\"total_iterations\":12,\"elapsed\":6.0}");
  wait_ended (model, &seen);
  g_assert_cmpuint (tess_run_model_n_rows (model), ==, 2);
  g_assert_cmpint (tess_run_model_get_phase (model), ==, TESS_RUN_STOPPED);
  g_assert_false (tess_run_model_can_resume (model)); /* no checkpoint */
}

/* The lock is seen from outside only while somebody holds it. */
static void
test_lock (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "locked"), *lock = g_build_filename (dir, "lock", NULL);
  g_autoptr (TessRunPoll) poll = NULL;
  int fd;

  g_mkdir (dir, 0700);
  write_file (dir, "lock", "");
  poll = tess_run_poll_new (dir);
  fd = open (lock, O_RDWR | O_CLOEXEC);
  for (int held = 1; held >= 0; held--) {
    g_autoptr (TessRunNews) news = NULL;

    g_assert_cmpint (flock (fd, held ? LOCK_EX : LOCK_UN), ==, 0);
    news = tess_run_poll_look (poll, TESS_RUN_LOOK_ALL | TESS_RUN_LOOK_LOCK, NULL);
    g_assert_cmpint (news->locked, ==, held);
  }
  close (fd);
}

/* One class that is never found, a loader that is too slow, a loss that is lost: each once, where it began. */
static void
test_alarms (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "alarms"), *plan = g_build_filename (dir, "plan.json", NULL);
  g_autoptr (GString) log = g_string_new (HEAD);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GArray) alarms = NULL;
  g_autoptr (GError) error = NULL;
  const TessRunAlarm *a;
  Seen seen;

  g_mkdir (dir, 0700);
  tess_plan_save (fixture.plan, plan, &error);
  for (int i = 1; i <= 10; i++)
    g_string_append_printf (log, "%d,%d,%s,0.4,0.5,%s,%s,%s,0.01,2.5,%s\n", i, 6 * i, i < 9 ? "0.5" : "",
                            i == 2   ? "0.1"
                            : i == 5 ? ""
                                     : "0",
                            i < 6    ? "0.6"
                            : i == 8 ? "" /* four zeros and an epoch that says nothing: too early to tell */
                                     : "0",
                            i == 4 ? "0.9" : "0.5", i > 6 ? "0.4" : "0.01");
  write_file (dir, "log.csv", log->str);
  model = tess_run_model_new_watch (dir, &error);
  g_assert_no_error (error);
  listen (model, &seen);
  while (tess_run_model_n_rows (model) < 10)
    g_main_context_iteration (NULL, TRUE);
  g_assert_cmpint (tess_run_best_epoch (model), ==, 4);
  alarms = tess_run_alarms (model);
  g_assert_cmpuint (alarms->len, ==, 3);
  a = &g_array_index (alarms, TessRunAlarm, 0);
  g_assert_cmpint (a->kind, ==, TESS_ALARM_NEVER_FOUND);
  g_assert_cmpint (a->epoch, ==, 3);
  g_assert_nonnull (strstr (a->sentence, "vessel"));
  a = &g_array_index (alarms, TessRunAlarm, 1);
  g_assert_cmpint (a->kind, ==, TESS_ALARM_LOADER);
  g_assert_cmpint (a->epoch, ==, 7);
  a = &g_array_index (alarms, TessRunAlarm, 2);
  g_assert_cmpint (a->kind, ==, TESS_ALARM_NOT_A_NUMBER);
  g_assert_cmpint (a->epoch, ==, 9);
}

/* Of many epochs, more go by before a class counts as not found. */
static void
test_alarm_patience (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "patience"), *plan = g_build_filename (dir, "plan.json", NULL);
  g_autoptr (GString) log = g_string_new (HEAD);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GError) error = NULL;

  g_mkdir (dir, 0700);
  tess_plan_save (fixture.plan, plan, &error);
  write_file (dir, "progress.json", "{\"state\":\"running\",\"epoch\":11,\"epochs\":240}");
  for (int i = 1; i <= 11; i++)
    g_string_append_printf (log, "%d,%d,0.5,0.4,0.5,0,0.6,0.4,0.01,2.5,0.01\n", i, 6 * i);
  write_file (dir, "log.csv", log->str);
  model = tess_run_model_new_watch (dir, &error);
  g_assert_no_error (error);
  for (guint n = 11; n <= 12; n++) {
    g_autoptr (GArray) alarms = NULL;

    while (tess_run_model_n_rows (model) < n)
      g_main_context_iteration (NULL, TRUE);
    alarms = tess_run_alarms (model);
    g_assert_cmpuint (alarms->len, ==, n == 12);
    g_string_append (log, "12,72,0.5,0.4,0.5,0,0.6,0.4,0.01,2.5,0.01\n");
    write_file (dir, "log.csv", log->str);
  }
}

/* What of a run folder cannot be read is said, and no more once it can; the rest is shown. */
static void
test_damaged (void)
{
  g_autofree char *dir = train_fixture_path (&fixture, "damaged"), *plan = g_build_filename (dir, "plan.json", NULL);
  g_autofree char *snapshots = g_build_filename (dir, "snapshots", NULL);
  g_autoptr (TessRunModel) model = NULL;
  g_autoptr (GError) error = NULL;
  Seen seen;
  const struct {
    const char *folder, *file, *text, *named;
  } steps[] = {
      {dir, "plan.json", NULL, "progress.json"}, /* NULL: the plan of the fixture */
      {dir, "progress.json", "{\"state\":\"stopped\",\"epoch\":2,\"epochs\":9}", "log.csv: 1 line "},
      {dir, "log.csv", HEAD "1,6,0.5,0.4,0.1,,0.3,0.2,0.01,2.5,0.0\n", "e0001.safetensors"},
  };

  g_mkdir (dir, 0700);
  g_mkdir (snapshots, 0700);
  write_file (dir, "plan.json", "{\"labels\": [");
  write_file (dir, "progress.json", "state");
  write_file (dir, "log.csv", HEAD "1,6,0.5,0.4,0.1,,0.3,0.2,0.01,2.5,0.0\n2,oops\n");
  write_file (snapshots, "e0001.safetensors", "cut off");
  model = tess_run_model_new_watch (dir, &error);
  g_assert_no_error (error);
  listen (model, &seen);
  while (!tess_run_model_get_trouble (model))
    g_main_context_iteration (NULL, TRUE);
  g_assert_nonnull (strstr (tess_run_model_get_trouble (model), "plan.json"));
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    guint rows = seen.rows;

    if (steps[i].text)
      write_file (steps[i].folder, steps[i].file, steps[i].text);
    else
      tess_plan_save (fixture.plan, plan, &error);
    while (!strstr (tess_run_model_get_trouble (model), steps[i].named))
      g_main_context_iteration (NULL, TRUE);
    g_assert_cmpuint (seen.rows, >, rows); /* so that it is shown */
  }
  g_assert_cmpuint (tess_run_model_n_rows (model), ==, 1);
  g_assert_null (tess_run_model_dup_newest (model));
}

/* A run never lands among other files, nor in another run. */
static void
test_new_run_dir (void)
{
  g_autofree char *base = train_fixture_path (&fixture, "place"), *inside = NULL, *run = NULL, *beside = NULL;
  g_autofree char *missing = g_build_filename (base, "missing", NULL), *free_one = NULL, *empty = NULL;

  free_one = tess_train_new_run_dir (missing, "liver");
  g_assert_cmpstr (free_one, ==, missing);
  g_mkdir (base, 0700);
  empty = tess_train_new_run_dir (base, "liver");
  g_assert_cmpstr (empty, ==, base);
  run = g_build_filename (base, "run", NULL);
  g_mkdir (run, 0700);
  inside = tess_train_new_run_dir (base, "liver and/or spleen");
  g_assert_true (g_str_has_prefix (inside, base));
  g_assert_nonnull (strstr (inside, "/place/liver-and-or-spleen-20"));
  write_file (run, "plan.json", "{}");
  beside = tess_train_new_run_dir (run, "liver and/or spleen");
  g_assert_cmpstr (beside, ==, inside);
  g_mkdir (inside, 0700);
  g_free (beside);
  beside = tess_train_new_run_dir (run, "liver and/or spleen");
  g_assert_true (g_str_has_prefix (beside, inside) && g_str_has_suffix (beside, "-2"));
}

/* ---- pictures of heads ---- */

/* 4 x 2 x 2 (x, y, z); truth 1 in the half x < 2; the head of half the size says 1 at x = 0 with p = 200. */
static TessSnapshot *
small_snapshot (void)
{
  const gint64 dhw[3] = {2, 2, 4}, heads[2][3] = {{2, 2, 4}, {1, 1, 2}};
  g_autoptr (GError) error = NULL;
  TessSnapshot *s = tess_snapshot_new ("case", 1, 2, 2, dhw, heads, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < 16; i++) {
    s->image[i] = tess_float_to_f16 ((float)(i % 4));
    s->truth[i] = i % 4 < 2;
    s->heads[0].probabilities[i] = i == 3 ? 40 : 255;
    s->heads[0].probabilities[16 + i] = i == 3 ? 215 : 0;
  }
  for (guint i = 0; i < 2; i++) {
    s->heads[1].probabilities[i] = i ? 200 : 55;
    s->heads[1].probabilities[2 + i] = i ? 55 : 200;
  }
  return s;
}

static void
test_heads (void)
{
  const double spacing[3] = {1.0, 2.0, 3.0};
  const guint8 colours[2][3] = {{0, 0, 0}, {255, 0, 0}};
  g_autoptr (TessSnapshot) snapshot = small_snapshot ();
  g_autoptr (TessHeadsData) plain = tess_heads_data_new (snapshot, "", spacing);
  g_autoptr (TessHeadsData) turned = tess_heads_data_new (snapshot, "RPS", spacing);
  g_autoptr (TessHeadsData) swapped = tess_heads_data_new (snapshot, "SAL", spacing);
  const guint8 *coarse = plain->levels[1].prediction;
  guint32 pixels[8];

  /* A coarse head beside the labels on its own grid: voxel 0 stands for x 0..1. */
  g_assert_cmpint (plain->levels[1].dim[0], ==, 2);
  g_assert_cmpint (coarse[0], ==, 1);
  g_assert_cmpint (coarse[1], ==, 0);
  g_assert_cmpint (plain->levels[1].truth[0], ==, 1);
  g_assert_cmpint (plain->levels[1].truth[1], ==, 0);
  g_assert_cmpfloat (plain->levels[1].dice[1], ==, 1.0);
  g_assert_cmpfloat (plain->levels[0].dice[1], ==, 0.0);
  /* x runs to the right: it is turned round, so that pictures are radiological. */
  g_assert_false (plain->oriented);
  g_assert_true (turned->oriented);
  g_assert_cmpint (turned->levels[1].truth[0], ==, 0);
  g_assert_cmpint (turned->levels[1].truth[1], ==, 1);
  /* Index x runs upwards, y to the front, z to the left. */
  g_assert_cmpint (swapped->dim[0], ==, 2);
  g_assert_cmpint (swapped->dim[2], ==, 4);
  g_assert_cmpfloat (swapped->spacing[2], ==, 1.0);
  g_assert_cmpint (swapped->levels[0].truth[0], ==, 1);
  g_assert_cmpint (swapped->levels[0].truth[15], ==, 0);
  /* Blocks of equal pixels, without anything between. */
  tess_heads_paint (plain, 1, TESS_HEADS_PROBABILITY, 1, TESS_HEADS_AXIAL, 0, FALSE, colours, 4, 2, pixels);
  for (guint i = 0; i < 8; i++)
    g_assert_cmphex (pixels[i], ==, i % 4 < 2 ? 0xffc80000u : 0xff370000u);
  tess_heads_paint (plain, 1, TESS_HEADS_PROBABILITY, 1, TESS_HEADS_AXIAL, 0, TRUE, colours, 4, 2, pixels);
  g_assert_cmphex (pixels[0], ==, 0xff370000u);
  g_assert_cmpfloat (tess_heads_aspect (plain, TESS_HEADS_CORONAL), ==, 1.5);
}

/* The voxel under the pointer is the one that was painted there: every class has its number as colour. */
static void
test_heads_voxel (void)
{
  const double spacing[3] = {1.0, 1.0, 1.0};
  g_autoptr (TessSnapshot) snapshot = small_snapshot ();
  g_autoptr (TessHeadsData) data = NULL;
  guint8 colours[17][3] = {{0}};

  for (guint i = 0; i < 16; i++) {
    snapshot->truth[i] = (guint8)(i + 1);
    snapshot->image[i] = tess_float_to_f16 (0.0f);
    colours[i + 1][0] = (guint8)(i + 1) * 10;
  }
  data = tess_heads_data_new (snapshot, "RPS", spacing);
  for (int plane = 0; plane < 3; plane++)
    for (int mirrored = 0; mirrored < 2; mirrored++) {
      gint64 columns, rows, at[3];
      guint32 pixels[64];

      tess_heads_extent (data, 0, (TessHeadsPlane)plane, &columns, &rows);
      tess_heads_paint (data, 0, TESS_HEADS_TRUTH, 0, (TessHeadsPlane)plane, 1, mirrored, (const guint8 (*)[3])colours,
                        2 * (int)columns, 2 * (int)rows, pixels);
      for (gint64 y = 0; y < 2 * rows; y++)
        for (gint64 x = 0; x < 2 * columns; x++) {
          gsize i = tess_heads_voxel (data, 0, (TessHeadsPlane)plane, 1, mirrored,
                                      ((double)x + 0.5) / (2.0 * (double)columns),
                                      ((double)y + 0.5) / (2.0 * (double)rows), at);
          guint truth = data->levels[0].truth[i];

          g_assert_cmpint ((int)(pixels[y * 2 * columns + x] >> 16 & 0xff), ==, (int)(truth * 10 * 0.62 + 0.5));
          g_assert_cmpint ((gint64)i, ==, at[0] + 4 * at[1] + 8 * at[2]);
        }
    }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/app/run-model/ours", test_ours);
  g_test_add_func ("/app/run-model/watch-finished", test_watch_finished);
  g_test_add_func ("/app/run-model/stop-and-resume", test_stop_and_resume);
  g_test_add_func ("/app/run-model/failure", test_failure);
  g_test_add_func ("/app/run-model/watch-growing", test_watch_growing);
  g_test_add_func ("/app/run-model/lock", test_lock);
  g_test_add_func ("/app/run-model/alarms", test_alarms);
  g_test_add_func ("/app/run-model/alarm-patience", test_alarm_patience);
  g_test_add_func ("/app/run-model/damaged", test_damaged);
  g_test_add_func ("/app/run-model/new-run-dir", test_new_run_dir);
  g_test_add_func ("/app/run-model/heads", test_heads);
  g_test_add_func ("/app/run-model/heads-voxel", test_heads_voxel);
  result = g_test_run ();
  train_fixture_clear (&fixture);
  return result;
}
