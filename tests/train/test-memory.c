/* What a training takes is known before it is taken, and what does not fit is answered with what would. */
#include "train-fixture.h"

#include "tess-cpu-backend.h"
#include "tess-format.h"
#include "tess-model.h"

#include <string.h>

static TrainFixture fixture;

static TessTrainMachine
machine (guint n_threads)
{
  return (TessTrainMachine){.backend = tess_cpu_backend (), .n_threads = n_threads, .act_dtype = TESS_DTYPE_F32};
}

static guint64
bytes_of (const TessPlan *plan, guint recompute, guint *n_stages)
{
  TessTrainMachine m = machine (1);
  g_autoptr (GError) error = NULL;
  guint64 bytes = tess_plan_memory (plan, &m, recompute, n_stages, &error);

  g_assert_no_error (error);
  return bytes;
}

static char *
refusal (const TessPlan *plan, TessRecompute wish, guint64 limit)
{
  TessTrainMachine m = machine (1);
  g_autoptr (GError) error = NULL;
  g_autofree char *have = tess_format_bytes (limit);
  guint64 bytes;
  guint recompute;

  g_assert_false (tess_train_memory_choose (&m, plan, wish, limit, &recompute, &bytes, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, have));
  g_assert_nonnull (strstr (error->message, "; "));
  g_assert_null (strchr (error->message, '\n'));
  return g_strdup (error->message);
}

/* Both sides of both edges: what fits as it is, what fits with stages computed twice. */
static void
test_edges (void)
{
  TessTrainMachine m = machine (1);
  g_autoptr (GError) error = NULL;
  g_autofree char *off = NULL, *automatic = NULL, *twice = NULL;
  guint n_stages, recompute;
  guint64 kept = bytes_of (fixture.plan, 0, &n_stages), least, bytes;

  g_assert_cmpuint (n_stages, >=, 2);
  least = bytes_of (fixture.plan, n_stages, NULL);
  g_assert_cmpuint (least, <, kept);

  for (TessRecompute wish = TESS_RECOMPUTE_AUTO; wish <= TESS_RECOMPUTE_OFF; wish++) {
    g_assert_true (tess_train_memory_choose (&m, fixture.plan, wish, kept, &recompute, &bytes, &error));
    g_assert_cmpuint (recompute, ==, wish == TESS_RECOMPUTE_ON ? n_stages : 0);
    g_assert_cmpuint (bytes, ==, wish == TESS_RECOMPUTE_ON ? least : kept);
  }
  g_assert_true (tess_train_memory_choose (&m, fixture.plan, TESS_RECOMPUTE_AUTO, 0, &recompute, &bytes, &error));
  g_assert_cmpuint (recompute, ==, 0); /* no limit is known */

  off = refusal (fixture.plan, TESS_RECOMPUTE_OFF, kept - 1);
  g_assert_nonnull (strstr (off, "--recompute auto"));
  g_assert_true (
      tess_train_memory_choose (&m, fixture.plan, TESS_RECOMPUTE_AUTO, kept - 1, &recompute, &bytes, &error));
  g_assert_cmpuint (recompute, >=, 1);
  g_assert_cmpuint (bytes, <, kept);
  g_assert_cmpuint (bytes, ==, bytes_of (fixture.plan, recompute, NULL));
  g_assert_cmpuint (bytes_of (fixture.plan, recompute - 1, NULL), >, kept - 1);

  g_assert_true (tess_train_memory_choose (&m, fixture.plan, TESS_RECOMPUTE_AUTO, least, &recompute, &bytes, &error));
  g_assert_cmpuint (bytes, ==, least);
  twice = refusal (fixture.plan, TESS_RECOMPUTE_AUTO, least - 1);
  g_assert_null (strstr (twice, "--recompute"));
  automatic = refusal (fixture.plan, TESS_RECOMPUTE_OFF, least - 1);
  g_assert_null (strstr (automatic, "--recompute"));
}

/* The largest batch and the largest patch, each on both sides of its edge. */
static void
test_advice (void)
{
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan), smaller = tess_plan_dup (fixture.plan);
  g_autofree char *at = NULL, *below = NULL, *patch = NULL, *none = NULL;
  guint64 limit;

  plan->training.batch_size = 5;
  smaller->training.batch_size = 3;
  limit = bytes_of (smaller, 0, NULL);
  at = refusal (plan, TESS_RECOMPUTE_OFF, limit);
  g_assert_nonnull (strstr (at, "take a batch of 3"));
  below = refusal (plan, TESS_RECOMPUTE_OFF, limit - 1);
  g_assert_nonnull (strstr (below, "take a batch of 2"));

  plan->training.batch_size = smaller->training.batch_size = 1;
  plan->patch[0] = 48;
  smaller->patch[0] = 32;
  limit = bytes_of (smaller, 0, NULL);
  patch = refusal (plan, TESS_RECOMPUTE_OFF, limit);
  g_assert_nonnull (strstr (patch, "take a patch of 32 x 16 x 16"));
  g_assert_null (strstr (patch, "take a batch"));

  none = refusal (plan, TESS_RECOMPUTE_AUTO, 20000);
  g_assert_nonnull (strstr (none, "not even the smallest patch"));
}

static void
train (const char *run, const TessTrainOptions *change, guint64 *memory)
{
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessTrainer) trainer = NULL;
  TessTrainStatus status;

  options.epochs = 1;
  options.n_threads = change->n_threads;
  options.recompute = change->recompute;
  options.memory_bytes = change->memory_bytes;
  trainer = tess_trainer_new (&options, &error);
  g_assert_no_error (error);
  tess_trainer_start (trainer, &error);
  tess_trainer_wait (trainer, &error);
  g_assert_no_error (error);
  tess_trainer_status (trainer, &status);
  *memory = status.memory_bytes;
}

static void
assert_same_model (const char *a, const char *b)
{
  g_autofree char *path_a = g_build_filename (a, "latest.safetensors", NULL),
                  *path_b = g_build_filename (b, "latest.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) x = tess_safetensors_open (path_a, &error), y = NULL;

  g_assert_no_error (error);
  y = tess_safetensors_open (path_b, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_safetensors_n (x), >, 10);
  for (guint i = 0; i < tess_safetensors_n (x); i++) {
    const TessSafetensor *p = tess_safetensors_nth (x, i), *q = tess_safetensors_find (y, p->name);

    g_assert_nonnull (q);
    g_assert_cmpmem (p->data, p->bytes, q->data, q->bytes);
  }
}

/* A run that has to compute stages twice ends with the same bits, and takes what was planned. */
static void
test_same_run (void)
{
  guint64 memory;

  for (guint n_threads = 1; n_threads <= 2; n_threads++) {
    g_autofree char *plain_name = g_strdup_printf ("plain-%u", n_threads), *plain = NULL, *twice = NULL, *every = NULL;
    g_autofree char *twice_name = g_strdup_printf ("twice-%u", n_threads),
                    *every_name = g_strdup_printf ("every-%u", n_threads);
    TessTrainMachine m = machine (n_threads);
    guint64 here = tess_plan_memory (fixture.plan, &m, 0, NULL, NULL);

    plain = train_fixture_path (&fixture, plain_name);
    twice = train_fixture_path (&fixture, twice_name);
    every = train_fixture_path (&fixture, every_name);
    train (plain, &(TessTrainOptions){.n_threads = n_threads, .memory_bytes = here}, &memory);
    g_assert_cmpuint (memory, ==, here);
    train (twice, &(TessTrainOptions){.n_threads = n_threads, .memory_bytes = here - 1}, &memory);
    g_assert_cmpuint (memory, <, here);
    assert_same_model (plain, twice);
    train (every, &(TessTrainOptions){.n_threads = n_threads, .recompute = TESS_RECOMPUTE_ON}, &memory);
    g_assert_cmpuint (memory, <, here);
    assert_same_model (plain, every);
  }
}

/* Too little: nothing is written. */
static void
test_refused (void)
{
  g_autofree char *run = train_fixture_path (&fixture, "refused");
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessTrainer) trainer = NULL;

  options.recompute = TESS_RECOMPUTE_OFF;
  options.memory_bytes = bytes_of (fixture.plan, 0, NULL) - 1;
  trainer = tess_trainer_new (&options, &error);
  g_assert_no_error (error);
  tess_trainer_start (trainer, &error);
  g_assert_false (tess_trainer_wait (trainer, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "--recompute auto"));
  g_assert_false (g_file_test (run, G_FILE_TEST_EXISTS));
}

int
main (int argc, char *argv[])
{
  int code;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, 3);
  for (guint s = 0; s < 3; s++) /* with one convolution a stage there is little to make again */
    fixture.plan->network.convs_encoder[s] = 2;
  g_test_add_func ("/train/memory/edges", test_edges);
  g_test_add_func ("/train/memory/advice", test_advice);
  g_test_add_func ("/train/memory/same-run", test_same_run);
  g_test_add_func ("/train/memory/refused", test_refused);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
