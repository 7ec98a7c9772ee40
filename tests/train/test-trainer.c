#include "train-fixture.h"

#include "tess-model.h"
#include "tess-sampler.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static TrainFixture fixture;

static TessTrainer *
start (const TessTrainOptions *options)
{
  g_autoptr (GError) error = NULL;
  TessTrainer *trainer = tess_trainer_new (options, &error);

  g_assert_no_error (error);
  g_assert_true (tess_trainer_start (trainer, &error));
  return trainer;
}

static TessTrainStatus
wait_done (TessTrainer *trainer)
{
  g_autoptr (GError) error = NULL;
  TessTrainStatus status;

  tess_trainer_wait (trainer, &error);
  g_assert_no_error (error);
  tess_trainer_status (trainer, &status);
  return status;
}

static void
wait_for (TessTrainer *trainer, gboolean (*condition) (const TessTrainStatus *, gint64), gint64 value,
          TessTrainStatus *status)
{
  do {
    g_usleep (1000);
    tess_trainer_status (trainer, status);
    g_assert_cmpint (status->state, !=, TESS_TRAIN_FAILED);
  } while (!condition (status, value));
}

static gboolean
reached (const TessTrainStatus *s, gint64 total)
{
  return s->total_iterations >= total;
}

static gboolean
in_state (const TessTrainStatus *s, gint64 state)
{
  return (gint64)s->state == state;
}

static gboolean
file_exists (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

/* The whole contract of a run folder, and what others see of the training. */
static void
test_run (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "run"), *log = g_build_filename (run, "log.csv", NULL),
                  *text = NULL;
  g_autofree char *progress = g_build_filename (run, "progress.json", NULL), *latest = NULL;
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (TessTrainer) trainer = start (&options);
  g_autoptr (TessSnapshot) snapshot = NULL;
  g_autoptr (TessModel) model = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (GError) error = NULL;
  TessTrainStatus status = wait_done (trainer);
  TessEpochRecord record;
  const char *name;
  JsonObject *o;
  guint lines = 0;

  g_assert_cmpint (status.state, ==, TESS_TRAIN_DONE);
  g_assert_cmpint (status.total_iterations, ==, 18);
  g_assert_cmpint (status.n_epochs, ==, 3);
  g_assert_true (isfinite (status.train_loss) && isfinite (status.val_loss) && status.memory_bytes > 0 &&
                 status.cache_bytes > 0);
  for (guint i = 0; i < 3; i++) {
    g_assert_true (tess_trainer_epoch (trainer, i, &record));
    g_assert_cmpint (record.epoch, ==, i + 1);
    g_assert_cmpint (record.iteration, ==, 6 * (i + 1));
    tess_epoch_record_clear (&record);
  }
  g_assert_false (tess_trainer_epoch (trainer, 3, &record));

  for (const char *const *p = (const char *const[]){"plan.json", "dataset.json", "cases", "log.csv", "progress.json",
                                                    "best.safetensors", "latest.safetensors",
                                                    "snapshots/e0001.safetensors", "snapshots/e0003.safetensors", NULL};
       *p; p++)
    g_assert_true (file_exists (run, *p));
  g_assert_cmpuint (train_count_hidden (run), ==, 0);
  g_assert_true (g_file_get_contents (log, &text, NULL, NULL));
  for (const char *p = text; *p; p++)
    lines += *p == '\n';
  g_assert_cmpuint (lines, ==, 4);
  g_assert_true (g_str_has_prefix (
      text, "epoch,iteration,loss,val_loss,dice_organ,dice_vessel,dice_gland,mean_dice,rate,seconds,loader_share\n"));

  node = tess_json_load (progress, &error);
  g_assert_no_error (error);
  o = json_node_get_object (node);
  g_assert_cmpstr (json_object_get_string_member (o, "state"), ==, "done");
  g_assert_true (tess_json_string (o, "", "snapshot", &name, &error));
  g_assert_cmpstr (name, ==, "snapshots/e0003.safetensors");

  snapshot = tess_trainer_newest_snapshot (trainer);
  g_assert_nonnull (snapshot);
  g_assert_cmpint (snapshot->epoch, ==, 3);
  g_assert_cmpint (snapshot->iteration, ==, 18);
  g_assert_cmpuint (snapshot->n_heads, ==, 2);
  {
    g_autofree char *path = g_build_filename (run, name, NULL);
    g_autoptr (TessSnapshot) saved = tess_snapshot_load (path, &error);
    gsize n = 16 * 16 * 16;
    guint foreground = 0;

    g_assert_no_error (error);
    g_assert_cmpmem (saved->heads[0].probabilities, 4 * n, snapshot->heads[0].probabilities, 4 * n);
    g_assert_cmpmem (saved->image, 2 * n, snapshot->image, 2 * n);
    for (gsize i = 0; i < n; i++) {
      guint sum = 0;

      for (guint c = 0; c < 4; c++)
        sum += saved->heads[0].probabilities[c * n + i];
      g_assert_cmpuint (sum, >=, 253);
      g_assert_cmpuint (sum, <=, 257);
      foreground += saved->truth[i] > 0;
    }
    g_assert_cmpuint (foreground, >, 0);
  }
  latest = g_build_filename (run, "latest.safetensors", NULL);
  model = tess_model_load (latest, &error);
  g_assert_no_error (error);
  g_assert_nonnull (tess_safetensors_metadata (model->file, "tessera.state"));
}

/* A pause, a stop: at most the iteration in work is finished. Then the run goes on and has what an uninterrupted one
 * has (bits: test-resume.c). */
static void
test_control (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "control");
  TessTrainOptions options = train_fixture_options (&fixture, run);
  TessTrainStatus status;
  gint64 seen;

  options.epochs = 400;
  for (guint round = 0; round < 2; round++) {
    g_autoptr (TessTrainer) trainer = start (&options);

    wait_for (trainer, reached, 20 + 30 * round, &status);
    for (guint i = 0; i < 3; i++) {
      tess_trainer_pause (trainer);
      tess_trainer_status (trainer, &status);
      seen = status.total_iterations;
      wait_for (trainer, in_state, TESS_TRAIN_PAUSED, &status);
      g_assert_cmpint (status.total_iterations - seen, <=, 1);
      seen = status.total_iterations;
      g_usleep (20000);
      tess_trainer_status (trainer, &status);
      g_assert_cmpint (status.total_iterations, ==, seen);
      g_assert_cmpint (status.state, ==, TESS_TRAIN_PAUSED);
      tess_trainer_resume (trainer);
      wait_for (trainer, reached, seen + 2, &status);
    }
    if (round == 0) { /* a stop while paused */
      tess_trainer_pause (trainer);
      wait_for (trainer, in_state, TESS_TRAIN_PAUSED, &status);
    }
    tess_trainer_stop (trainer);
    tess_trainer_status (trainer, &status);
    seen = status.total_iterations;
    status = wait_done (trainer);
    g_assert_cmpint (status.state, ==, TESS_TRAIN_STOPPED);
    g_assert_cmpint (status.total_iterations - seen, <=, 1);
    g_assert_cmpint (status.total_iterations, >, 20 + 30 * round);
    g_assert_cmpuint (train_count_hidden (run), ==, 0);
    options.resume = TRUE;
  }
}

/* Stopped before its first iteration: no checkpoint, so that it can simply be started again. */
static void
test_stopped_early (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "early");
  TessTrainOptions options = train_fixture_options (&fixture, run);

  for (guint round = 0; round < 2; round++) {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessTrainer) trainer = tess_trainer_new (&options, &error);
    TessTrainStatus status;

    g_assert_no_error (error);
    tess_trainer_pause (trainer);
    g_assert_true (tess_trainer_start (trainer, &error));
    wait_for (trainer, in_state, TESS_TRAIN_PAUSED, &status);
    g_assert_cmpint (status.total_iterations, ==, 0);
    tess_trainer_stop (trainer);
    status = wait_done (trainer);
    g_assert_cmpint (status.state, ==, TESS_TRAIN_STOPPED);
    g_assert_false (file_exists (run, "latest.safetensors"));
  }
}

/* The clock ends it, whatever the epoch; a resume whose budget is used does nothing, and says so. */
static void
test_minutes (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "minutes"), *before = NULL, *after = NULL;
  g_autofree char *latest = g_build_filename (run, "latest.safetensors", NULL);
  TessTrainOptions options = train_fixture_options (&fixture, run);
  gsize n, m;

  options.minutes = 0.02;
  for (guint round = 0; round < 2; round++) {
    g_autoptr (TessTrainer) trainer = start (&options);
    TessTrainStatus status = wait_done (trainer);
    g_autofree char *note = tess_trainer_next_note (trainer);

    g_assert_true (round == 0 ? note == NULL : note && strstr (note, "has reached its end"));
    g_assert_cmpint (status.state, ==, TESS_TRAIN_DONE);
    g_assert_cmpfloat (status.elapsed, >=, 1.2);
    g_assert_cmpint (status.n_epochs, ==, 0);
    if (round == 0)
      g_assert_true (g_file_get_contents (latest, &before, &n, NULL));
    options.resume = TRUE;
    options.minutes = round == 0 ? 0.0 : options.minutes; /* the run's own */
  }
  g_assert_true (g_file_get_contents (latest, &after, &m, NULL));
  g_assert_cmpmem (before, n, after, m);
}

static void
expect_refused (const TessTrainOptions *options, int code)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessTrainer) trainer = tess_trainer_new (options, &error);

  if (trainer) {
    g_assert_true (tess_trainer_start (trainer, &error));
    g_assert_false (tess_trainer_wait (trainer, &error));
  }
  g_assert_error (error, TESS_ERROR, code);
  g_assert_null (strchr (error->message, '\n'));
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *)a, *(const char *const *)b);
}

/* Everything in a folder, to see that nothing was touched. */
static char *
listing (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func (g_free);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    GStatBuf info;

    g_assert_cmpint (g_stat (path, &info), ==, 0);
    g_ptr_array_add (lines, g_strdup_printf ("%s %ld %ld.%09ld", name, (long)info.st_size, (long)info.st_mtim.tv_sec,
                                             info.st_mtim.tv_nsec));
  }
  g_ptr_array_sort (lines, compare_strings);
  g_ptr_array_add (lines, NULL);
  return g_strjoinv ("\n", (char **)lines->pdata);
}

static void
test_refusals (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "refuse"), *other = train_fixture_path (&fixture, "other data");
  g_autofree char *missing = train_fixture_path (&fixture, "no such data"), *before = NULL, *after = NULL;
  TessPhantomOptions phantom = {.n_cases = 4, .size = {24, 24, 24}, .seed = 2};
  TessTrainOptions options = train_fixture_options (&fixture, run), o;
  g_autoptr (TessPlan) changed = tess_plan_dup (fixture.plan);

  g_assert_true (tess_phantom_write (other, &phantom, NULL, NULL));
  options.epochs = 1;
  {
    g_autoptr (TessTrainer) trainer = start (&options);

    wait_done (trainer);
  }
  before = listing (run);
  expect_refused (&options, TESS_ERROR_MISMATCH); /* a run is there */
  options.resume = TRUE;
  o = options;
  o.dataset_dir = other;
  expect_refused (&o, TESS_ERROR_MISMATCH);
  o = options;
  o.fold = 2;
  expect_refused (&o, TESS_ERROR_MISMATCH);
  o = options;
  o.val_fraction = 0.3;
  expect_refused (&o, TESS_ERROR_MISMATCH);
  o = options;
  o.seed = 99;
  expect_refused (&o, TESS_ERROR_MISMATCH);
  changed->training.learning_rate *= 2;
  o = options;
  o.plan = changed;
  expect_refused (&o, TESS_ERROR_MISMATCH);
  o = options;
  o.dataset_dir = missing;
  expect_refused (&o, TESS_ERROR_IO);
  o = options;
  o.minutes = 1.0;
  expect_refused (&o, TESS_ERROR_USAGE);
  after = listing (run);
  g_assert_cmpstr (before, ==, after);

  o = options;
  o.run_dir = missing;
  o.resume = FALSE;
  o.dataset_dir = other;
  changed->n_labels--;
  o.plan = changed;
  expect_refused (&o, TESS_ERROR_MISMATCH); /* another number of labels */
  changed->n_labels++;
  g_assert_false (g_file_test (missing, G_FILE_TEST_EXISTS));
}

/* A dataset given as the run folder, by mistake: its description stays. */
static void
test_dataset_as_run (void)
{
  g_autofree char *json = g_build_filename (fixture.dataset, "dataset.json", NULL), *before = NULL, *after = NULL;
  TessTrainOptions options = train_fixture_options (&fixture, fixture.dataset);
  gsize n, m;

  g_assert_true (g_file_get_contents (json, &before, &n, NULL));
  for (options.resume = FALSE; options.resume <= TRUE; options.resume++)
    expect_refused (&options, TESS_ERROR_MISMATCH);
  g_assert_true (g_file_get_contents (json, &after, &m, NULL));
  g_assert_cmpmem (before, n, after, m);
  g_assert_false (file_exists (fixture.dataset, "plan.json"));
}

/* A rate that makes the weights explode: one sentence, and no checkpoint of numbers that are none. */
static void
test_not_finite (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "explodes"),
                  *latest = g_build_filename (run, "latest.safetensors", NULL);
  g_autofree char *before = NULL, *after = NULL;
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan);
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (TessTrainer) trainer = NULL;
  g_autoptr (GError) error = NULL;

  plan->training.learning_rate = 100.0;
  plan->training.clip_norm = 1e9;
  plan->training.iterations_per_epoch = 100;
  plan->training.weight_decay = 1.0;
  options.plan = plan;
  trainer = start (&options);
  g_assert_false (tess_trainer_wait (trainer, &error));
  g_assert_true (g_str_has_prefix (error->message, run));
  g_assert_nonnull (strstr (error->message, "finite"));
  g_assert_false (g_file_test (latest, G_FILE_TEST_EXISTS));
}

/* The first promise: what trains is what predicts. A training patch without augmentation and the predictor's tile at
 * the same place are the same bytes, though one is drawn from the dataset's case and the other from a bare scan. */
static void
test_patch_is_tile (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessDataset) dataset = tess_dataset_open (fixture.dataset, NULL, &error);
  g_autoptr (TessCase) c = tess_case_load (dataset, 1, NULL, NULL, &error), scan = NULL;
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan);
  gsize n = 16 * 16 * 16;
  g_autofree float *patch = g_new (float, n), *tile = g_new (float, n);
  TessVolume *image = NULL;
  TessGrid grid, native;
  TessAffine to_target;

  g_assert_no_error (error);
  for (guint a = 0; a < 3; a++)
    plan->spacing[a] = 8.0 + a;
  plan->channels[0].norm = TESS_NORM_ZSCORE;
  g_assert_true (tess_load_images (tess_dataset_case (dataset, 1)->image_paths, 1, NULL, &image, &error));
  scan = tess_case_new ("scan", &image, 1, NULL, plan->n_labels, &error);
  g_assert_no_error (error);
  grid = tess_sampler_target_grid (plan, c);
  native = tess_volume_grid (image);
  g_assert_true (tess_grid_mapping (&native, &grid, &to_target));
  for (guint32 sample = 0; sample < 20; sample++) {
    TessSampleKey key = {.random = TRUE, .foreground = sample % 2, .seed = 5, .epoch = 3, .sample = sample};
    TessSampleKey place = {.seed = 77, .sample = 1};
    TessPatchOut out = {{{0, 0, 0}, {16, 16, 16}}, patch, NULL};
    TessAffine mapping;
    double corner[3] = {0, 0, 0};

    g_assert_true (tess_sampler_mapping (plan, c, &key, &mapping, &error));
    tess_affine_apply (&mapping, corner, corner);
    tess_affine_apply (&to_target, corner, corner);
    for (guint a = 0; a < 3; a++) {
      place.origin[a] = (gint64)rint (corner[a]);
      g_assert_cmpfloat_with_epsilon (corner[a], (double)place.origin[a], 1e-6);
    }
    g_assert_true (tess_sampler_draw (plan, c, &key, &out, &error));
    out.image = tile;
    g_assert_true (tess_sampler_draw (plan, scan, &place, &out, &error));
    g_assert_cmpmem (patch, n * sizeof (float), tile, n * sizeof (float));
  }
  tess_volume_unref (image);
}

/* A network that cannot learn one scan by heart learns nothing. */
static void
test_overfit (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "overfit"), *data = train_fixture_path (&fixture, "one case");
  TessPhantomOptions phantom = {.n_cases = 1, .size = {32, 28, 24}, .seed = 7};
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan);
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (TessTrainer) trainer = NULL;
  TessTrainStatus status;

  g_assert_true (tess_phantom_write (data, &phantom, NULL, NULL));
  for (guint s = 0; s < 3; s++)
    plan->network.features[s] = 8 << MIN (s, 1);
  for (guint a = 0; a < 3; a++) {
    plan->patch[a] = 24;
    plan->augmentation.mirror_probability[a] = 0.0;
  }
  plan->augmentation.rotation_probability = plan->augmentation.scale_probability = 0.0;
  plan->training.learning_rate = 0.1;
  plan->training.momentum = 0.9;
  plan->training.iterations_per_epoch = 100;
  plan->training.epochs = 2;
  options.plan = plan;
  options.n_threads = 1;
  options.dataset_dir = data;
  options.fold = -1;
  trainer = start (&options);
  status = wait_done (trainer);
  g_test_message ("Dice %.3f: %.3f %.3f %.3f, %.1f s", status.dice[0], status.dice[1], status.dice[2], status.dice[3],
                  status.elapsed);
  g_assert_cmpfloat (status.dice[0], >, 0.9);
}

int
main (int argc, char **argv)
{
  int code;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/train/trainer/run", test_run);
  g_test_add_func ("/train/trainer/control", test_control);
  g_test_add_func ("/train/trainer/stopped-early", test_stopped_early);
  g_test_add_func ("/train/trainer/minutes", test_minutes);
  g_test_add_func ("/train/trainer/refusals", test_refusals);
  g_test_add_func ("/train/trainer/dataset-as-run", test_dataset_as_run);
  g_test_add_func ("/train/trainer/not-finite", test_not_finite);
  g_test_add_func ("/train/trainer/patch-is-tile", test_patch_is_tile);
  g_test_add_func ("/train/trainer/overfit", test_overfit);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
