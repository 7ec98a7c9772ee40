#include "train-fixture.h"

#include "tess-loader.h"

#include <glib/gstdio.h>
#include <string.h>

static TrainFixture fixture;
static TessDataset *dataset;

#define N_CASES 8u
static const guint train[] = {0, 1, 2, 4, 5, 7}, val[] = {3, 6};

static TessPlan *
make_plan (gint64 pool, gint64 patches)
{
  TessPlan *plan = tess_plan_dup (fixture.plan);

  plan->training.batch_size = 3;
  plan->training.iterations_per_epoch = 5;
  plan->training.validation_iterations = 2;
  plan->training.pool_cases = pool;
  plan->training.pool_patches = patches;
  return plan;
}

static TessSchedule *
make_schedule (const TessPlan *plan)
{
  return tess_schedule_new (plan, train, G_N_ELEMENTS (train), val, G_N_ELEMENTS (val));
}

static TessLoader *
make_loader (const TessPlan *plan, TessCaseCache *cache, guint n_workers, gint64 n_epochs, TessBatchPosition start)
{
  TessLoaderOptions options = {.plan = plan,
                               .schedule = make_schedule (plan),
                               .cache = cache,
                               .n_cases = N_CASES,
                               .n_workers = n_workers,
                               .cases_ahead = 2,
                               .n_epochs = n_epochs,
                               .validation_iterations = plan->training.validation_iterations,
                               .start = start};
  g_autoptr (GError) error = NULL;
  TessLoader *loader = tess_loader_new (&options, &error);

  g_assert_no_error (error);
  return loader;
}

/* What the batch must hold, drawn here and now. */
static void
check_batch (const TessBatch *batch, const TessPlan *plan, TessSchedule *schedule, TessCaseCache *cache)
{
  gsize n = 16 * 16 * 16;
  g_autofree float *image = g_new (float, n);
  g_autofree guint8 *label = g_new (guint8, n);

  g_assert_cmpuint (batch->image_bytes, ==, 3 * n * sizeof (float));
  g_assert_cmpuint (batch->label_bytes, ==, 3 * n);
  for (gsize i = 0; i < 3; i++) {
    TessSamplePosition position = {batch->position.validation, batch->position.epoch,
                                   batch->position.iteration * 3 + (gint64)i};
    TessPatchOut out = {{{0, 0, 0}, {16, 16, 16}}, image, label};
    g_autoptr (TessCase) c = NULL;
    g_autoptr (GError) error = NULL;
    TessScheduledSample sample;

    tess_schedule_get (schedule, &position, &sample);
    c = tess_case_cache_get (cache, sample.case_index, &error);
    g_assert_no_error (error);
    g_assert_true (tess_sampler_draw (plan, c, &sample.key, &out, &error));
    g_assert_cmpmem (batch->image + i * n, n * sizeof (float), image, n * sizeof (float));
    g_assert_cmpmem (batch->label + i * n, n, label, n);
  }
}

static void
expect (TessLoader *loader, const TessPlan *plan, TessSchedule *schedule, TessCaseCache *cache, gboolean validation,
        gint64 epoch, gint64 iteration)
{
  g_autoptr (GError) error = NULL;
  const TessBatch *batch = tess_loader_next (loader, &error);

  g_assert_no_error (error);
  g_assert_cmpint (batch->position.validation, ==, validation);
  g_assert_cmpint (batch->position.epoch, ==, epoch);
  g_assert_cmpint (batch->position.iteration, ==, iteration);
  check_batch (batch, plan, schedule, cache);
  tess_loader_release (loader);
}

/* Every batch, in order, bit for bit what the sampler gives for its keys, however many threads draw. */
static void
test_order (void)
{
  for (guint n_workers = 1; n_workers <= 3; n_workers += 2)
    for (gint64 pool = 0; pool <= 3; pool += 3) {
      g_autoptr (TessPlan) plan = make_plan (pool, 4);
      g_autoptr (TessSchedule) schedule = make_schedule (plan);
      g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1 << 30);
      g_autoptr (TessLoader) loader = make_loader (plan, cache, n_workers, 3, (TessBatchPosition){FALSE, 0, 0});

      for (gint64 epoch = 0; epoch < 3; epoch++) {
        for (gint64 i = 0; i < 5; i++)
          expect (loader, plan, schedule, cache, FALSE, epoch, i);
        for (gint64 i = 0; i < 2; i++)
          expect (loader, plan, schedule, cache, TRUE, epoch, i);
      }
    }
}

/* Without waiting: the same batches once they are there, and none after the last. */
static void
test_try (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 4);
  g_autoptr (TessSchedule) schedule = make_schedule (plan);
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1 << 30);
  g_autoptr (TessLoader) loader = make_loader (plan, cache, 2, 1, (TessBatchPosition){FALSE, 0, 0});

  for (gint64 i = 0; i < 7; i++) {
    const TessBatch *batch;

    while (!(batch = tess_loader_try_next (loader)))
      g_usleep (1000);
    g_assert_cmpint (batch->position.validation, ==, i >= 5);
    g_assert_cmpint (batch->position.iteration, ==, i % 5);
    check_batch (batch, plan, schedule, cache);
    tess_loader_release (loader);
  }
  for (guint i = 0; i < 20; i++) {
    g_assert_null (tess_loader_try_next (loader));
    g_usleep (1000);
  }
}

/* Started or moved to any place it goes on as the whole stream does. */
static void
test_seek (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 4);
  g_autoptr (TessSchedule) schedule = make_schedule (plan);
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1 << 30);
  g_autoptr (TessLoader) loader = make_loader (plan, cache, 2, 0, (TessBatchPosition){FALSE, 4, 3});
  g_autoptr (TessLoader) late = make_loader (plan, cache, 1, 0, (TessBatchPosition){FALSE, 2, 5});

  expect (loader, plan, schedule, cache, FALSE, 4, 3);
  tess_loader_seek (loader, &(TessBatchPosition){TRUE, 4, 0});
  expect (loader, plan, schedule, cache, TRUE, 4, 0);
  expect (loader, plan, schedule, cache, TRUE, 4, 1);
  expect (loader, plan, schedule, cache, FALSE, 5, 0);
  for (gint64 i = 0; i < 20; i++) {
    tess_loader_seek (loader, &(TessBatchPosition){FALSE, i, i % 5});
    if (i % 3 == 0)
      expect (loader, plan, schedule, cache, FALSE, i, i % 5);
  }
  expect (late, plan, schedule, cache, TRUE, 2, 0); /* one past the last training batch */
}

/* A rotating pool decodes a case when it enters, not every time it is drawn, and does not hold them all. */
static void
test_pool (void)
{
  g_autoptr (TessPlan) plan = make_plan (2, 30);
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1); /* keeps nothing by itself */
  g_autoptr (TessLoader) loader = make_loader (plan, cache, 2, 0, (TessBatchPosition){FALSE, 0, 0});
  guint64 one, n_samples = 0;

  {
    g_autoptr (TessCase) c = tess_case_cache_get (cache, 0, NULL);

    one = c->bytes;
  }
  for (gint64 epoch = 0; epoch < 20; epoch++)
    for (gint64 i = 0; i < 7; i++) {
      const TessBatch *batch = tess_loader_next (loader, NULL);

      g_assert_nonnull (batch);
      n_samples += 3;
      tess_loader_release (loader);
    }
  /* Training samples: 300, a new case every 30; validation: 6 samples an epoch of one case. A few more were drawn
   * ahead. */
  g_assert_cmpuint (tess_case_cache_loads (cache), <=, 3 + 12 + 2 * 22);
  g_assert_cmpuint (tess_case_cache_loads (cache), <, n_samples / 4);
  /* pool of 2, 2 ahead, and what the workers have in hand */
  g_assert_cmpuint (tess_case_cache_peak (cache), <=, (2 + 2 + 3) * one * 5 / 4);
}

/* A file that has gone: the batches before it come, then its sentence, each time it is asked for, until a seek. */
static void
test_vanished (void)
{
  g_autoptr (TessPlan) plan = make_plan (0, 4);
  g_autoptr (TessSchedule) schedule = make_schedule (plan);
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1 << 30);
  const TessCaseFiles *files = tess_dataset_case (dataset, 5);
  g_autofree char *away = g_strconcat (files->label_path, ".away", NULL);
  gint64 good = 0;

  for (gboolean there = TRUE; there; good += there) {
    for (gint64 i = 0; i < 3; i++) {
      TessSamplePosition position = {FALSE, good / 5, good % 5 * 3 + i};
      TessScheduledSample sample;

      tess_schedule_get (schedule, &position, &sample);
      there = there && sample.case_index != 5;
    }
  }
  g_assert_cmpint (g_rename (files->label_path, away), ==, 0);
  {
    g_autoptr (TessLoader) loader = make_loader (plan, cache, 2, 0, (TessBatchPosition){FALSE, 0, 0});
    g_autoptr (GError) error = NULL;

    for (gint64 i = 0; i < good; i++) {
      g_assert_nonnull (tess_loader_next (loader, &error));
      g_assert_no_error (error);
      tess_loader_release (loader);
    }
    for (guint i = 0; i < 2; i++) {
      g_assert_null (tess_loader_try_next (loader));
      g_assert_null (tess_loader_next (loader, &error));
      g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
      g_assert_true (g_str_has_prefix (error->message, files->label_path));
      g_clear_error (&error);
    }
    g_assert_cmpint (good, >, 0);
    tess_loader_seek (loader, &(TessBatchPosition){FALSE, 0, 0}); /* what failed was dropped with the rest */
    g_assert_nonnull (tess_loader_next (loader, &error));
    tess_loader_release (loader);
  }
  g_assert_cmpint (g_rename (away, files->label_path), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int code;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, N_CASES);
  dataset = tess_dataset_open (fixture.dataset, NULL, &error);
  g_assert_no_error (error);
  g_test_add_func ("/train/loader/order", test_order);
  g_test_add_func ("/train/loader/try", test_try);
  g_test_add_func ("/train/loader/seek", test_seek);
  g_test_add_func ("/train/loader/pool", test_pool);
  g_test_add_func ("/train/loader/vanished", test_vanished);
  code = g_test_run ();
  tess_dataset_unref (dataset);
  train_fixture_clear (&fixture);
  return code;
}
