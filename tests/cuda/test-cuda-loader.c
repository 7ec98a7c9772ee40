#include "host-cuda.h"
#include "tess-cuda-private.h"
#include "tess-loader.h"
#include "train-fixture.h"

#include <string.h>

/* Cases in the card's memory while a training draws from them, the plugin's own sources on the processor (host-cuda.h):
 * patches and losses are the same bits wherever they are drawn. */

#define N_CASES 8u
#define N_VOXELS (16 * 16 * 16)

static TrainFixture fixture;
static TessDataset *dataset;
static const guint train[] = {0, 1, 2, 4, 5, 7}, val[] = {3, 6};

/* ---- the loader ---- */

typedef struct {
  TessPlan *plan;
  TessCaseCache *cache;
  TessDevice *device;
  TessResidents *residents;
  TessLoader *loader;
  TessBuffer *image, *label, *scratch;
  guint n_card, n_host;
} Feed;

static void
feed_init (Feed *f, gint64 pool, guint64 budget)
{
  g_autoptr (GError) error = NULL;
  TessLoaderOptions options = {.n_cases = N_CASES, .n_workers = 2, .cases_ahead = 2, .validation_iterations = 2};

  *f = (Feed){.plan = tess_plan_dup (fixture.plan)};
  f->plan->training.batch_size = 3;
  f->plan->training.iterations_per_epoch = 12;
  f->plan->training.validation_iterations = 2;
  f->plan->training.pool_cases = pool;
  f->plan->training.pool_patches = 12;
  f->cache = tess_case_cache_new (dataset, NULL, 1 << 30);
  f->device = tess_cuda_iface.open (0, 0, &error);
  f->residents = tess_residents_new (&tess_cuda_iface, f->device, N_CASES, budget, N_VOXELS * (sizeof (float) + 1));
  f->image = tess_cuda_iface.buffer_new (f->device, N_VOXELS * sizeof (float), &error);
  f->label = tess_cuda_iface.buffer_new (f->device, N_VOXELS, &error);
  f->scratch = tess_cuda_iface.buffer_new (f->device, tess_intensity_scratch (N_VOXELS), &error);
  options.plan = f->plan;
  options.schedule = tess_schedule_new (f->plan, train, G_N_ELEMENTS (train), val, G_N_ELEMENTS (val));
  options.cache = f->cache;
  options.residents = f->residents;
  f->loader = tess_loader_new (&options, &error);
  g_assert_no_error (error);
}

static void
feed_clear (Feed *f)
{
  tess_loader_free (f->loader);
  tess_residents_free (f->residents);
  tess_cuda_iface.buffer_free (f->image);
  tess_cuda_iface.buffer_free (f->label);
  tess_cuda_iface.buffer_free (f->scratch);
  tess_cuda_iface.close (f->device);
  tess_case_cache_free (f->cache);
  tess_plan_unref (f->plan);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

/* A sample of a batch is what the sampler gives, whoever draws it. */
static void
check_sample (Feed *f, const TessBatch *batch, guint i, TessSchedule *schedule)
{
  TessSamplePosition position = {batch->position.validation, batch->position.epoch, batch->position.iteration * 3 + i};
  const TessBatchSample *s = &batch->samples[i];
  g_autofree float *image = g_new (float, N_VOXELS), *theirs = g_new (float, N_VOXELS);
  g_autofree guint8 *label = g_new (guint8, N_VOXELS), *their_label = g_new (guint8, N_VOXELS);
  TessPatchOut out = {{{0, 0, 0}, {16, 16, 16}}, image, label};
  TessDevicePatch on_card = {.image = f->image, .label = f->label, .scratch = f->scratch};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessCase) c = NULL;
  TessScheduledSample sample;

  tess_schedule_get (schedule, &position, &sample);
  c = tess_case_cache_get (f->cache, sample.case_index, &error);
  g_assert_true (tess_sampler_draw (f->plan, c, &sample.key, &out, &error));
  if (s->c) {
    const TessDeviceCase *resident = tess_residents_get (f->residents, s->case_index, s->c, &error);

    g_assert_no_error (error);
    g_assert_nonnull (resident);
    g_assert_true (tess_device_case_draw (resident, f->plan, s->c, &s->key, &on_card, &error));
    g_assert_true (tess_cuda_iface.download (f->image, 0, theirs, N_VOXELS * sizeof (float), &error));
    g_assert_true (tess_cuda_iface.download (f->label, 0, their_label, N_VOXELS, &error));
    f->n_card++;
  } else {
    memcpy (theirs, batch->image + i * N_VOXELS, N_VOXELS * sizeof (float));
    memcpy (their_label, batch->label + i * N_VOXELS, N_VOXELS);
    f->n_host++;
  }
  g_assert_cmpmem (image, N_VOXELS * sizeof (float), theirs, N_VOXELS * sizeof (float));
  g_assert_cmpmem (label, N_VOXELS, their_label, N_VOXELS);
}

static void
run_epochs (Feed *f, gint64 n_epochs, guint64 budget)
{
  g_autoptr (TessSchedule) schedule = tess_schedule_new (f->plan, train, G_N_ELEMENTS (train), val, G_N_ELEMENTS (val));
  gsize beside = host_cuda.taken;

  for (gint64 i = 0; i < n_epochs * 14; i++) {
    g_autoptr (GError) error = NULL;
    const TessBatch *batch = tess_loader_next (f->loader, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (batch->n_samples, ==, 3);
    for (guint k = 0; k < 3; k++)
      check_sample (f, batch, k, schedule);
    tess_loader_release (f->loader);
    g_assert_cmpuint (host_cuda.taken - beside, <=, budget);
  }
}

/* Of all cases, and of the smallest and the largest. */
typedef struct {
  guint64 all, least, most;
} CaseBytes;

static CaseBytes
case_bytes (void)
{
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 1 << 30);
  CaseBytes b = {.least = G_MAXUINT64};

  for (guint i = 0; i < N_CASES; i++) {
    g_autoptr (TessCase) c = tess_case_cache_get (cache, i, NULL);
    guint64 bytes = tess_device_case_bytes (c);

    b.all += bytes;
    b.least = MIN (b.least, bytes);
    b.most = MAX (b.most, bytes);
  }
  return b;
}

static void
test_all (void)
{
  guint64 budget = case_bytes ().all;
  gsize beside;
  Feed f;

  feed_init (&f, 0, budget);
  beside = host_cuda.taken;
  run_epochs (&f, 3, budget);
  g_test_message ("%u patches drawn by the card, %u by the host", f.n_card, f.n_host);
  g_assert_cmpuint (f.n_host, ==, 0);
  g_assert_cmpuint (host_cuda.taken - beside, ==, budget); /* every case was wanted, and none was copied twice */
  feed_clear (&f);
}

static void
test_none (void)
{
  guint64 budget = case_bytes ().least - 1;
  Feed f;

  feed_init (&f, 0, budget);
  run_epochs (&f, 2, budget);
  g_assert_cmpuint (f.n_card, ==, 0);
  feed_clear (&f);
}

/* A pool that rotates through a card too small for all: most patches are drawn there, and more than the cases that
 * were there first. */
static void
test_pool (void)
{
  guint64 budget = 3 * case_bytes ().most;
  Feed f;

  feed_init (&f, 2, budget);
  run_epochs (&f, 8, budget);
  g_test_message ("%u patches drawn by the card, %u by the host", f.n_card, f.n_host);
  g_assert_cmpuint (f.n_host, >, 0);
  g_assert_cmpuint (f.n_card, >, f.n_host);
  feed_clear (&f);
}

/* What was left to the card and then not asked for keeps nothing there. */
static void
test_seek (void)
{
  guint64 budget = case_bytes ().most;
  g_autoptr (GError) error = NULL;
  Feed f;

  feed_init (&f, 0, budget);
  for (gint64 i = 0; i < 20; i++) {
    tess_loader_seek (f.loader, &(TessBatchPosition){FALSE, i, i % 12});
    if (i % 3 == 0) {
      g_assert_nonnull (tess_loader_next (f.loader, &error));
      tess_loader_release (f.loader);
    }
  }
  g_clear_pointer (&f.loader, tess_loader_free);
  for (guint i = 0; i < N_CASES; i++) { /* the only place is free for each in turn */
    g_autoptr (TessCase) c = tess_case_cache_get (f.cache, i, &error);
    guint n = 0;

    while (!tess_residents_want (f.residents, i, c))
      g_assert_cmpuint (++n, <, 10);
    g_assert_nonnull (tess_residents_get (f.residents, i, c, &error));
    tess_residents_drop (f.residents, i);
  }
  feed_clear (&f);
}

/* ---- a training ---- */

static guint n_drawn, n_begun;
static TessBackendIface counting;

static gboolean
count_begin (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  n_begun++;
  return tess_cuda_iface.upload_begin (buffer, offset, source, n, error);
}

static gboolean
refuse_begin (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  n_begun++;
  if (n_begun % 3 != 0)
    return tess_cuda_iface.upload_begin (buffer, offset, source, n, error);
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, "as the test asked");
  return FALSE;
}

static gboolean
count_sample (TessDevice *device, const TessSample *sample, GError **error)
{
  n_drawn++;
  return tess_cuda_iface.sample (device, sample, error);
}

/* A card that promises more than it has. */
static gboolean
boast (guint index, TessDeviceInfo *info, GError **error)
{
  if (!tess_cuda_iface.device_info (index, info, error))
    return FALSE;
  info->memory_free = info->memory_total = (guint64)1 << 40;
  return TRUE;
}

static gboolean bound;

static gboolean
note_bind (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error)
{
  bound = TRUE;
  return tess_cuda_iface.bind (program, arenas, error);
}

/* Once the network has its memory there is room for two cases. */
static gboolean
modest (guint index, TessDeviceInfo *info, GError **error)
{
  if (!tess_cuda_iface.device_info (index, info, error))
    return FALSE;
  if (bound)
    info->memory_free = (2 * case_bytes ().most + tess_intensity_scratch (N_VOXELS) + 3) / 3 * 4;
  return TRUE;
}

/* Losses of an epoch, in training and validation. */
static GArray *
train_once (const char *name)
{
  g_autofree char *run = train_fixture_path (&fixture, name);
  TessTrainOptions options = train_fixture_options (&fixture, run);
  g_autoptr (GError) error = NULL;
  TessTrainer *trainer;
  GArray *losses = g_array_new (FALSE, FALSE, sizeof (double));
  TessEpochRecord record;

  options.backend = &counting;
  options.epochs = 1;
  n_drawn = n_begun = 0;
  bound = FALSE;
  trainer = tess_trainer_new (&options, &error);
  g_assert_no_error (error);
  g_assert_true (tess_trainer_start (trainer, &error));
  tess_trainer_wait (trainer, &error);
  g_assert_no_error (error);
  for (guint i = 0; tess_trainer_epoch (trainer, i, &record); i++) {
    g_array_append_val (losses, record.train_loss);
    g_array_append_val (losses, record.val_loss);
    tess_epoch_record_clear (&record);
  }
  tess_trainer_free (trainer);
  g_assert_cmpuint (losses->len, ==, 2);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
  return losses;
}

/* Drawn by the card, by the host, and by whoever has room: the same losses to the bit. */
static void
test_training (void)
{
  gsize whole = host_cuda.memory, peak;
  g_autoptr (GArray) on_card = NULL;
  g_autoptr (GArray) on_host = NULL;
  guint n_all;

  counting = tess_cuda_iface;
  counting.sample = count_sample;
  counting.upload_begin = NULL; /* what it takes of the memory depends on when the loader is ready */
  on_card = train_once ("card");
  n_all = n_drawn;
  g_assert_cmpuint (n_all, >=, (6 + 3) * (guint)fixture.plan->training.batch_size);

  counting.flags &= ~(guint32)TESS_BACKEND_SAMPLES;
  host_cuda.peak = 0;
  on_host = train_once ("host");
  peak = host_cuda.peak;
  g_assert_cmpuint (n_drawn, ==, 0);
  g_assert_cmpmem (on_host->data, 2 * sizeof (double), on_card->data, 2 * sizeof (double));

  counting.flags = tess_cuda_iface.flags;
  counting.device_info = boast;
  for (guint n_fit = 0; n_fit < 3; n_fit += 2) {
    g_autofree char *name = g_strdup_printf ("fit-%u", n_fit);
    g_autoptr (GArray) losses = NULL;

    host_cuda.memory = peak + (n_fit > 0 ? n_fit * case_bytes ().most + tess_intensity_scratch (N_VOXELS) : 0) + 100;
    losses = train_once (name);
    host_cuda.memory = whole;
    g_test_message ("room for %u cases: %u of %u patches drawn by the card", n_fit, n_drawn, n_all);
    g_assert_cmpuint (n_drawn, <, n_all);
    g_assert_true ((n_drawn > 0) == (n_fit > 0));
    g_assert_cmpmem (losses->data, 2 * sizeof (double), on_card->data, 2 * sizeof (double));
  }
}

/* Batches on their way to the card while it computes: as many bits the same, whichever stream is late, when copying
 * them fails, and where the card draws some of them. */
static void
test_ahead (void)
{
  g_autoptr (GArray) plain = NULL;

  counting = tess_cuda_iface;
  counting.upload_begin = NULL;
  plain = train_once ("plain");
  for (guint i = 1; i < 6; i++) {
    counting = tess_cuda_iface;
    counting.upload_begin = i == 4 ? refuse_begin : count_begin;
    if (i == 5) {
      counting.device_info = modest;
      counting.bind = note_bind;
      counting.sample = count_sample;
    } else
      counting.flags &= ~(guint32)TESS_BACKEND_SAMPLES;
    host_cuda.late = i < 4 ? (int)i : 3;
    for (guint k = 0; k == 0 || (n_begun == 0 && k < 5); k++) { /* the loader may be late, too */
      g_autofree char *name = g_strdup_printf ("ahead-%u-%u", i, k);
      g_autoptr (GArray) losses = train_once (name);

      g_assert_cmpmem (losses->data, 2 * sizeof (double), plain->data, 2 * sizeof (double));
    }
    g_test_message ("late %d: %u copies were begun ahead, %u patches drawn by the card", host_cuda.late, n_begun,
                    n_drawn);
    g_assert_cmpuint (n_begun, >, 0);
    g_assert_true ((n_drawn > 0) == (i == 5));
  }
  host_cuda.late = 0;
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int code;

  g_test_init (&argc, &argv, NULL);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  train_fixture_init (&fixture, N_CASES);
  dataset = tess_dataset_open (fixture.dataset, NULL, &error);
  g_assert_no_error (error);
  g_test_add_func ("/cuda/loader/all", test_all);
  g_test_add_func ("/cuda/loader/none", test_none);
  g_test_add_func ("/cuda/loader/pool", test_pool);
  g_test_add_func ("/cuda/loader/seek", test_seek);
  g_test_add_func ("/cuda/loader/training", test_training);
  g_test_add_func ("/cuda/loader/ahead", test_ahead);
  code = g_test_run ();
  tess_dataset_unref (dataset);
  train_fixture_clear (&fixture);
  return code;
}
