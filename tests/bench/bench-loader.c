/* Data for training, on this processor or on $TESSERA_BENCH_BACKEND; JSON lines.
 *
 * Augmented patches a second, out of a scan that is decoded (and, on a device, lies there): place, rotation, scale,
 * mirroring and all changes of values with nnU-Net's numbers. $BENCH_AUGMENTED_PATCH: edge (128).
 *
 * A dataset of three times the cache's budget: which share of a training step is spent waiting for data. Its peer is
 * the limit of a tenth of the step, so ratio > 1 is within it. $BENCH_PATCH: edge of the patch (48); the scans are
 * larger. */
#include "bench-backend.h"
#include "train-fixture.h"

#include "tess-auto-plan.h"
#include "tess-case.h"
#include "tess-device-case.h"
#include "tess-intensity.h"

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

/* ---- augmented patches ---- */

#define SCAN_EDGE 256
#define SECONDS 8.0

static TessCase *
make_scan (void)
{
  static const gint64 dim[3] = {SCAN_EDGE, SCAN_EDGE, SCAN_EDGE};
  TessAffine affine = tess_affine_scale (1, 1, 1);
  TessVolume *image = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);
  TessVolume *label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  gint16 *values = tess_volume_data_mut (image);
  guint8 *labels = tess_volume_data_mut (label);
  guint32 noise = 1;
  GError *error = NULL;
  TessCase *c;

  for (gint64 z = 0, i = 0; z < SCAN_EDGE; z++)
    for (gint64 y = 0; y < SCAN_EDGE; y++)
      for (gint64 x = 0; x < SCAN_EDGE; x++, i++) {
        noise = noise * 1664525u + 1013904223u;
        labels[i] = (guint8)((x / 40 + y / 50 + z / 60) % 3);
        values[i] = (gint16)(200 * labels[i] + (gint)(noise >> 25));
      }
  c = tess_case_new ("scan", &image, 1, label, 3, &error);
  check (c != NULL, error);
  tess_volume_unref (image);
  tess_volume_unref (label);
  return c;
}

typedef struct {
  const TessBackendIface *backend;
  TessDevice *device;
  TessDeviceCase *resident;
  TessDevicePatch there;
  TessPatchOut here;
} Drawing;

static void
drawing_init (Drawing *d, const TessBackendIface *backend, const TessPlan *plan, const TessCase *c)
{
  gsize n = (gsize)(plan->patch[0] * plan->patch[1] * plan->patch[2]);
  GError *error = NULL;

  *d = (Drawing){.backend = backend};
  d->here = (TessPatchOut){
      {{0, 0, 0}, {plan->patch[0], plan->patch[1], plan->patch[2]}}, g_new (float, n), g_new (guint8, n)};
  if ((backend->flags & TESS_BACKEND_SAMPLES) == 0)
    return;
  d->device = backend->open (0, 0, &error);
  check (d->device && (d->resident = tess_device_case_new (backend, d->device, c, &error)) &&
             (d->there.image = backend->buffer_new (d->device, n * sizeof (float), &error)) &&
             (d->there.label = backend->buffer_new (d->device, n, &error)) &&
             (d->there.scratch = backend->buffer_new (d->device, tess_intensity_scratch ((gint64)n), &error)),
         error);
}

static void
drawing_clear (Drawing *d)
{
  g_free (d->here.image);
  g_free (d->here.label);
  if (!d->device)
    return;
  d->backend->buffer_free (d->there.image);
  d->backend->buffer_free (d->there.label);
  d->backend->buffer_free (d->there.scratch);
  tess_device_case_free (d->resident);
  d->backend->close (d->device);
}

static void
draw (Drawing *d, const TessPlan *plan, const TessCase *c, guint32 sample)
{
  TessSampleKey key = {.random = TRUE, .foreground = sample % 3 == 0, .augment = TRUE, .seed = 1, .sample = sample};
  GError *error = NULL;

  check (d->resident ? tess_device_case_draw (d->resident, plan, c, &key, &d->there, &error)
                     : tess_sampler_draw (plan, c, &key, &d->here, &error),
         error);
}

/* All that was asked for is done. */
static void
wait_for (Drawing *d)
{
  GError *error = NULL;

  check (!d->device || d->backend->download (d->there.label, 0, d->here.label, 1, &error), error);
}

static void
measure_patches (const TessBackendIface *backend)
{
  gint64 edge = bench_number ("BENCH_AUGMENTED_PATCH", 128), start, taken = 0;
  g_autoptr (TessPlan) plan = tess_plan_new ();
  g_autoptr (TessCase) c = make_scan ();
  guint32 n = 0;
  Drawing d;

  tess_plan_add_channel (plan, "scan", TESS_NORM_ZSCORE);
  for (guint l = 0; l < 3; l++)
    tess_plan_add_label (plan, l ? "structure" : "background", l);
  for (int a = 0; a < 3; a++) {
    plan->spacing[a] = 1.0;
    plan->patch[a] = edge;
  }
  drawing_init (&d, backend, plan, c);
  for (guint32 i = 0; i < 4; i++)
    draw (&d, plan, c, i);
  wait_for (&d);
  start = g_get_monotonic_time ();
  while ((double)taken < SECONDS * 1e6) {
    for (guint i = 0; i < 8; i++)
      draw (&d, plan, c, 4 + n++);
    wait_for (&d);
    taken = g_get_monotonic_time () - start;
  }
  printf ("{\"bench\": \"loader\", \"case\": \"augmented patches, %" PRId64
          "^3\", \"unit\": \"patches/s\", \"ours\": %.4g}\n",
          edge, (double)n / ((double)taken / 1e6));
  fflush (stdout);
  drawing_clear (&d);
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

  measure_patches (backend);
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
