/* A dataset of three times the cache's budget: which share of a training step is spent waiting for data, on this
 * processor or on $TESSERA_BENCH_BACKEND. One JSON line; its peer is the limit of a tenth of the step, so ratio > 1 is
 * within it. $BENCH_PATCH: edge of the patch (48); the scans are larger. */
#include "bench-backend.h"
#include "train-fixture.h"

#include "tess-auto-plan.h"
#include "tess-case.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LIMIT 0.1

static void
check (gboolean ok, GError *error)
{
  if (ok)
    return;
  fprintf (stderr, "bench-loader: %s\n", error->message);
  exit (1);
}

/* Bytes of all cases, decoded. */
static guint64
decoded_bytes (const TessDataset *dataset)
{
  guint64 bytes = 0;

  for (guint i = 0; i < dataset->cases->len; i++) {
    GError *error = NULL;
    g_autoptr (TessCase) c = tess_case_load (dataset, i, NULL, NULL, &error);

    check (c != NULL, error);
    bytes += c->bytes;
  }
  return bytes;
}

static TessPlan *
make_plan (const TessDataset *dataset, const TessBackendIface *backend, gint64 edge, guint64 cache_bytes)
{
  TessPlannerLimits limits;
  GError *error = NULL;
  TessPlan *plan;

  tess_auto_limits (backend, 0, &limits);
  limits.cache_bytes = cache_bytes;
  limits.patch[0] = limits.patch[1] = limits.patch[2] = edge;
  plan = tess_auto_plan (dataset, &limits, NULL, &error);
  check (plan != NULL, error);
  plan->training.iterations_per_epoch = 20;
  plan->training.validation_iterations = 2;
  plan->training.epochs = 2;
  return plan;
}

/* Over both epochs: the second begins with what the first has decoded, the first with nothing. */
static double
train (const char *data, const char *run, TessPlan *plan, const TessBackendIface *backend, TessDType dtype,
       guint64 cache_bytes)
{
  TessTrainOptions options = {
      .dataset_dir = data,
      .run_dir = run,
      .plan = plan,
      .fold = TESS_FOLD_DEFAULT,
      .backend = backend,
      .act_dtype = dtype,
      .seed = -1,
      .cache_bytes = cache_bytes,
  };
  GError *error = NULL;
  g_autoptr (TessTrainer) trainer = tess_trainer_new (&options, &error);
  double waited = 0.0, seconds = 0.0;
  TessEpochRecord r;

  check (trainer && tess_trainer_start (trainer, &error) && tess_trainer_wait (trainer, &error), error);
  for (guint i = 0; tess_trainer_epoch (trainer, i, &r); i++) {
    waited += r.loader_share * r.seconds;
    seconds += r.seconds;
    tess_epoch_record_clear (&r);
  }
  return waited / seconds;
}

int
main (void)
{
  TessDeviceInfo info;
  const TessBackendIface *backend = bench_backend ("cpu", &info);
  gint64 edge = bench_number ("BENCH_PATCH", 48);
  const TessPhantomOptions phantom = {
      .n_cases = 12, .size = {MAX (edge, 112), MAX (edge, 112), MAX (edge, 96)}, .seed = 3};
  GError *error = NULL;
  g_autofree char *root = g_dir_make_tmp ("tessera-bench-XXXXXX", &error);
  g_autofree char *data = g_build_filename (root, "data", NULL), *run = g_build_filename (root, "run", NULL);
  g_autoptr (TessDataset) dataset = NULL;
  g_autoptr (TessPlan) plan = NULL;
  guint64 bytes;
  double share;

  check (tess_phantom_write (data, &phantom, NULL, &error) && (dataset = tess_dataset_open (data, NULL, &error)),
         error);
  bytes = decoded_bytes (dataset);
  plan = make_plan (dataset, backend, edge, bytes / 3);
  share = train (data, run, plan, backend,
                 g_strcmp0 (backend->id, "cpu") != 0 && info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32, bytes / 3);
  printf ("{\"bench\": \"loader\", \"case\": \"dataset of %.2f times the cache, patch %" PRId64
          "^3\", \"unit\": \"share of the step\", "
          "\"ours\": %.3g, \"peer\": \"limit\", \"peer_value\": %g, \"ratio\": %.4g}\n",
          (double)bytes / (double)(bytes / 3), edge, share, LIMIT, LIMIT / MAX (share, 1e-6));
  remove_tree (root);
  return 0;
}
