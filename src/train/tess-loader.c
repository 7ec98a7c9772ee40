#include "tess-loader.h"

#include "tess-parallel.h"
#include "tess-plan-memory.h"
#include "tess-thread.h"

#include <inttypes.h>
#include <sys/resource.h>

#define MAX_WORKERS 12u
#define LOADER_NICE 10

typedef struct {
  TessBatch batch;
  gint64 number;                           /* in the stream; -1: empty */
  gint64 undrawn;                          /* samples */
  TessBuffer *image_memory, *label_memory; /* NULL: the program's own memory */
} Slot;

/* A place in the stream of samples. */
typedef struct {
  TessBatchPosition position;
  gint64 place;  /* in the batch */
  gint64 number; /* of the batch, counted since the last seek */
  gboolean end;
} Cursor;

struct _TessLoader {
  TessPlan *plan;
  TessCaseCache *cache;
  TessResidents *residents;
  const TessBackendIface *backend;
  TessDevice *device;
  gint64 batch, whole, first; /* samples: of ours, of all ranks', where ours begin in it */
  gint64 train_iterations, val_iterations, n_epochs;
  gsize voxels; /* of a patch */
  guint n_channels;

  TessMutex mutex; /* guards everything below */
  TessCond work, ready, idle;
  TessSchedule *schedule;
  Slot *slots;
  guint depth;
  Cursor claim, ahead;        /* next sample to draw; next sample whose case is decoded ahead */
  gint64 lead, max_lead;      /* samples between the two */
  gint64 delivered, released; /* batches */
  guint active;               /* workers with a sample in hand */
  guint64 generation;         /* of seeks */
  gboolean quit, hold;
  GError *error;

  TessCase **held; /* decoded ahead, by index into the dataset */
  guint *uses;     /* samples between claim and ahead that want it */
  guint n_held, max_held;

  TessThread *workers[MAX_WORKERS], *decoder;
  guint n_workers;
};

static void
cursor_next_batch (const TessLoader *loader, Cursor *cursor)
{
  TessBatchPosition *p = &cursor->position;

  cursor->place = 0;
  cursor->number++;
  p->iteration++;
  if (!p->validation && p->iteration >= loader->train_iterations) {
    p->iteration = 0;
    p->validation = TRUE;
  }
  if (p->validation && p->iteration >= loader->val_iterations) {
    p->iteration = 0;
    p->validation = FALSE;
    p->epoch++;
  }
  cursor->end = loader->n_epochs > 0 && p->epoch >= loader->n_epochs;
}

static void
cursor_next_sample (const TessLoader *loader, Cursor *cursor)
{
  if (++cursor->place >= loader->batch)
    cursor_next_batch (loader, cursor);
}

/* Position may be one past the last training iteration (a run stopped before it validated). */
static void
cursor_set (const TessLoader *loader, Cursor *cursor, const TessBatchPosition *position)
{
  *cursor = (Cursor){.position = *position, .number = -1};
  cursor->position.iteration--;
  cursor_next_batch (loader, cursor);
}

static void
cursor_sample (TessLoader *loader, const Cursor *cursor, TessScheduledSample *sample)
{
  const TessBatchPosition *p = &cursor->position;
  TessSamplePosition position = {p->validation, p->epoch, p->iteration * loader->whole + loader->first + cursor->place};

  tess_schedule_get (loader->schedule, &position, sample);
}

static void
drop_use (TessLoader *loader, guint case_index)
{
  if (--loader->uses[case_index] == 0 && loader->held[case_index]) {
    g_clear_pointer (&loader->held[case_index], tess_case_unref);
    loader->n_held--;
  }
}

/* With the mutex held: the next sample and, when it is decoded already, its case. */
static Slot *
claim_sample (TessLoader *loader, TessScheduledSample *sample, gint64 *place, TessCase **c)
{
  Slot *slot = &loader->slots[loader->claim.number % loader->depth];

  *place = loader->claim.place;
  if (*place == 0) {
    slot->number = loader->claim.number;
    slot->undrawn = loader->batch;
    slot->batch.position = loader->claim.position;
  }
  cursor_sample (loader, &loader->claim, sample);
  *c = loader->held[sample->case_index] ? tess_case_ref (loader->held[sample->case_index]) : NULL;
  cursor_next_sample (loader, &loader->claim);
  if (loader->lead > 0) {
    loader->lead--;
    drop_use (loader, sample->case_index);
  } else {
    loader->ahead = loader->claim;
  }
  tess_cond_broadcast (&loader->work); /* the decoder may go on */
  return slot;
}

static gboolean
draw_sample (TessLoader *loader, const TessScheduledSample *sample, TessCase *c, Slot *slot, gint64 place,
             GError **error)
{
  const gint64 *patch = loader->plan->patch;
  gsize offset = (gsize)place * loader->voxels;
  TessPatchOut out = {
      .region = {{0, 0, 0}, {patch[0], patch[1], patch[2]}},
      .image = slot->batch.image + offset * loader->n_channels,
      .label = slot->batch.label + offset,
  };

  return tess_sampler_draw (loader->plan, c, &sample->key, &out, error);
}

/* Leaves a sample to the device. FALSE: it is to be drawn here. */
static gboolean
leave_sample (TessLoader *loader, const TessScheduledSample *sample, TessCase *c, Slot *slot, gint64 place)
{
  if (!loader->residents || !tess_residents_want (loader->residents, sample->case_index, c))
    return FALSE;
  slot->batch.samples[place] = (TessBatchSample){tess_case_ref (c), sample->case_index, sample->key};
  return TRUE;
}

/* What was left to the device is drawn, or nobody will ask for it. */
static void
clear_samples (TessLoader *loader, Slot *slot)
{
  for (guint i = 0; slot->batch.samples && i < slot->batch.n_samples; i++)
    if (slot->batch.samples[i].c) {
      tess_residents_drop (loader->residents, slot->batch.samples[i].case_index);
      g_clear_pointer (&slot->batch.samples[i].c, tess_case_unref);
    }
}

static void
worker_thread (gpointer data)
{
  TessLoader *loader = data;

  tess_parallel_set_threads (1);
  tess_mutex_lock (&loader->mutex);
  while (!loader->quit) {
    TessScheduledSample sample;
    gint64 place;
    TessCase *c;
    Slot *slot;
    GError *error = NULL;
    gboolean ok;

    if (loader->hold || loader->error || loader->claim.end ||
        loader->claim.number >= loader->released + (gint64)loader->depth) {
      tess_cond_wait (&loader->work, &loader->mutex);
      continue;
    }
    slot = claim_sample (loader, &sample, &place, &c);
    loader->active++;
    tess_mutex_unlock (&loader->mutex);

    if (!c)
      c = tess_case_cache_get (loader->cache, sample.case_index, &error);
    ok = c && (leave_sample (loader, &sample, c, slot, place) || draw_sample (loader, &sample, c, slot, place, &error));
    g_clear_pointer (&c, tess_case_unref);

    tess_mutex_lock (&loader->mutex);
    if (ok)
      slot->undrawn--;
    else if (!loader->error)
      loader->error = error;
    else
      g_error_free (error);
    if (!ok || slot->undrawn == 0)
      tess_cond_broadcast (&loader->ready);
    if (--loader->active == 0)
      tess_cond_broadcast (&loader->idle);
  }
  tess_mutex_unlock (&loader->mutex);
}

/* Walks ahead of the workers and decodes the cases they will want, so that they find them. What cannot be read is left
 * to the worker that needs it: its batch is where the failure belongs. */
static void
decoder_thread (gpointer data)
{
  TessLoader *loader = data;

  tess_parallel_set_threads (1);
  tess_mutex_lock (&loader->mutex);
  while (!loader->quit) {
    TessScheduledSample sample;
    guint64 generation = loader->generation;
    gint64 number = loader->ahead.number, place = loader->ahead.place;
    TessCase *c;

    if (loader->hold || loader->error || loader->ahead.end || loader->lead >= loader->max_lead) {
      tess_cond_wait (&loader->work, &loader->mutex);
      continue;
    }
    cursor_sample (loader, &loader->ahead, &sample);
    if (!loader->held[sample.case_index]) {
      if (loader->n_held >= loader->max_held) {
        tess_cond_wait (&loader->work, &loader->mutex);
        continue;
      }
      tess_mutex_unlock (&loader->mutex);
      c = tess_case_cache_get (loader->cache, sample.case_index, NULL);
      tess_mutex_lock (&loader->mutex);
      if (generation != loader->generation || number != loader->ahead.number || place != loader->ahead.place) {
        g_clear_pointer (&c, tess_case_unref); /* the workers were faster; the cache may still have it */
        continue;
      }
      loader->held[sample.case_index] = c;
      loader->n_held += c != NULL;
    }
    loader->uses[sample.case_index]++;
    loader->lead++;
    cursor_next_sample (loader, &loader->ahead);
  }
  tess_mutex_unlock (&loader->mutex);
}

static guint
choose_workers (guint n_workers, guint n_threads)
{
  guint cores = tess_parallel_n_cores ();

  if (n_workers == 0) {
    /* On the processor the trainer needs the cores itself; drawing costs a small share of a step. */
    n_workers = MAX ((n_threads > 0 ? MIN (n_threads, cores) : cores) / 4, 1);
  }
  return CLAMP (n_workers, 1, MAX_WORKERS);
}

/* Zeroed; memory: of the backend's, else it is the program's own. */
static void *
take_memory (TessLoader *loader, gsize bytes, TessBuffer **memory)
{
  const TessBackendIface *backend = loader->backend;
  void *host;

  *memory = backend && backend->upload_begin && backend->buffer_new_near
                ? backend->buffer_new_near (loader->device, bytes, NULL)
                : NULL;
  host = *memory ? backend->buffer_host (*memory) : NULL;
  if (*memory && !host) {
    backend->buffer_free (*memory);
    *memory = NULL;
  }
  return host ? host : g_try_malloc0 (bytes);
}

static void
free_memory (TessLoader *loader, void *data, TessBuffer *memory)
{
  if (memory)
    loader->backend->buffer_free (memory);
  else
    g_free (data);
}

static gboolean
take_buffers (TessLoader *loader, GError **error)
{
  gsize label_bytes, samples = (gsize)loader->batch, image_bytes;
  const gint64 *patch = loader->plan->patch;

  if (!g_size_checked_mul (&loader->voxels, (gsize)patch[0], (gsize)patch[1]) ||
      !g_size_checked_mul (&loader->voxels, loader->voxels, (gsize)patch[2]) ||
      !g_size_checked_mul (&label_bytes, loader->voxels, samples) ||
      !g_size_checked_mul (&image_bytes, label_bytes, sizeof (float) * loader->n_channels)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("the batch of patches is too large to be counted"));
    return FALSE;
  }
  tess_plan_batches_bytes (loader->plan, &loader->depth);
  loader->slots = g_new0 (Slot, loader->depth);
  for (guint i = 0; i < loader->depth; i++) {
    Slot *slot = &loader->slots[i];

    slot->number = -1;
    slot->batch.image_bytes = image_bytes;
    slot->batch.label_bytes = label_bytes;
    slot->batch.n_samples = (guint)samples;
    slot->batch.samples = g_new0 (TessBatchSample, samples);
    slot->batch.image = take_memory (loader, image_bytes, &slot->image_memory);
    slot->batch.label = take_memory (loader, label_bytes, &slot->label_memory);
    if (!slot->batch.image || !slot->batch.label) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                   _ ("no memory for %u batches of %" PRId64 " patches; use a smaller batch or patch"), loader->depth,
                   loader->batch);
      return FALSE;
    }
  }
  return TRUE;
}

/**
 * tess_loader_new:
 *
 * Starts the threads: workers that draw samples (each on one core, its case from those decoded ahead), and a decoder
 * that decodes the cases of coming samples. They run at a nice value of 10.
 *
 * Returns: (transfer full): the loader, or %NULL with NO_MEMORY or BAD_SHAPE.
 */
TessLoader *
tess_loader_new (const TessLoaderOptions *options, GError **error)
{
  TessLoader *loader = g_new0 (TessLoader, 1);
  const TessPlan *plan = options->plan;
  guint pool = tess_schedule_pool (options->schedule), ahead = MAX (options->cases_ahead, 1);
  int nice = CLAMP (LOADER_NICE - getpriority (PRIO_PROCESS, 0), 0, LOADER_NICE); /* threads inherit it */

  tess_mutex_init (&loader->mutex);
  tess_cond_init (&loader->work);
  tess_cond_init (&loader->ready);
  tess_cond_init (&loader->idle);
  loader->plan = tess_plan_dup (plan);
  loader->schedule = options->schedule;
  loader->cache = options->cache;
  loader->residents = options->residents;
  loader->backend = options->backend;
  loader->device = options->device;
  loader->whole = plan->training.batch_size;
  loader->batch = loader->plan->training.batch_size = loader->whole / MAX (options->n_ranks, 1);
  loader->first = options->rank * loader->batch;
  loader->train_iterations = plan->training.iterations_per_epoch;
  loader->val_iterations = options->validation_iterations;
  loader->n_epochs = options->n_epochs;
  loader->n_channels = plan->n_channels;
  loader->held = g_new0 (TessCase *, options->n_cases);
  loader->uses = g_new0 (guint, options->n_cases);
  loader->max_held = pool + ahead;
  if (!take_buffers (loader, error)) {
    tess_loader_free (loader);
    return NULL;
  }
  loader->max_lead = 2 * loader->batch * loader->depth;
  if (plan->training.pool_cases > 0) /* far enough to hold the whole window and to see who enters next */
    loader->max_lead += 2 * (gint64)pool + ahead * plan->training.pool_patches;
  cursor_set (loader, &loader->claim, &options->start);
  loader->ahead = loader->claim;

  loader->n_workers = choose_workers (options->n_workers, options->n_threads);
  for (guint i = 0; i < loader->n_workers; i++)
    loader->workers[i] = tess_thread_new ("loader", nice, worker_thread, loader);
  loader->decoder = tess_thread_new ("decoder", nice, decoder_thread, loader);
  return loader;
}

void
tess_loader_free (TessLoader *loader)
{
  if (!loader)
    return;
  tess_mutex_lock (&loader->mutex);
  loader->quit = TRUE;
  tess_cond_broadcast (&loader->work);
  tess_mutex_unlock (&loader->mutex);
  for (guint i = 0; i < loader->n_workers; i++)
    tess_thread_join (loader->workers[i]);
  if (loader->decoder)
    tess_thread_join (loader->decoder);

  for (guint i = 0; loader->n_held > 0; i++)
    if (loader->held[i]) {
      tess_case_unref (loader->held[i]);
      loader->n_held--;
    }
  for (guint i = 0; loader->slots && i < loader->depth; i++) {
    clear_samples (loader, &loader->slots[i]);
    g_free (loader->slots[i].batch.samples);
    free_memory (loader, loader->slots[i].batch.image, loader->slots[i].image_memory);
    free_memory (loader, loader->slots[i].batch.label, loader->slots[i].label_memory);
  }
  g_free (loader->slots);
  g_free (loader->held);
  g_free (loader->uses);
  g_clear_error (&loader->error);
  tess_schedule_free (loader->schedule);
  tess_plan_unref (loader->plan);
  tess_cond_clear (&loader->work);
  tess_cond_clear (&loader->ready);
  tess_cond_clear (&loader->idle);
  tess_mutex_clear (&loader->mutex);
  g_free (loader);
}

const TessBatch *
tess_loader_next (TessLoader *loader, GError **error)
{
  const TessBatch *batch = NULL;
  Slot *slot;

  tess_mutex_lock (&loader->mutex);
  g_assert (loader->delivered == loader->released);
  slot = &loader->slots[loader->delivered % loader->depth];
  while (!(slot->number == loader->delivered && slot->undrawn == 0)) {
    /* Samples of this batch may still be in work when another one failed. */
    if (loader->error && loader->active == 0)
      break;
    tess_cond_wait (loader->error ? &loader->idle : &loader->ready, &loader->mutex);
  }
  if (slot->number == loader->delivered && slot->undrawn == 0) {
    loader->delivered++;
    batch = &slot->batch;
  } else {
    g_propagate_error (error, g_error_copy (loader->error));
  }
  tess_mutex_unlock (&loader->mutex);
  return batch;
}

const TessBatch *
tess_loader_try_next (TessLoader *loader)
{
  const TessBatch *batch = NULL;
  Slot *slot;

  tess_mutex_lock (&loader->mutex);
  g_assert (loader->delivered == loader->released);
  slot = &loader->slots[loader->delivered % loader->depth];
  if (slot->number == loader->delivered && slot->undrawn == 0) {
    loader->delivered++;
    batch = &slot->batch;
  }
  tess_mutex_unlock (&loader->mutex);
  return batch;
}

void
tess_loader_release (TessLoader *loader)
{
  tess_mutex_lock (&loader->mutex);
  clear_samples (loader, &loader->slots[loader->released % loader->depth]);
  loader->released++;
  tess_cond_broadcast (&loader->work);
  tess_mutex_unlock (&loader->mutex);
}

void
tess_loader_seek (TessLoader *loader, const TessBatchPosition *position)
{
  tess_mutex_lock (&loader->mutex);
  loader->hold = TRUE;
  while (loader->active > 0)
    tess_cond_wait (&loader->idle, &loader->mutex);
  while (loader->lead > 0) { /* give back what was decoded ahead */
    TessScheduledSample sample;

    cursor_sample (loader, &loader->claim, &sample);
    drop_use (loader, sample.case_index);
    cursor_next_sample (loader, &loader->claim);
    loader->lead--;
  }
  for (guint i = 0; i < loader->depth; i++) {
    clear_samples (loader, &loader->slots[i]);
    loader->slots[i].number = -1;
  }
  loader->delivered = loader->released = 0;
  loader->generation++;
  g_clear_error (&loader->error); /* of a batch that nobody will ask for */
  cursor_set (loader, &loader->claim, position);
  loader->ahead = loader->claim;
  loader->hold = FALSE;
  tess_cond_broadcast (&loader->work);
  tess_mutex_unlock (&loader->mutex);
}

guint64
tess_loader_bytes (const TessLoader *loader)
{
  return loader->depth * (guint64)(loader->slots[0].batch.image_bytes + loader->slots[0].batch.label_bytes);
}

guint
tess_loader_workers (const TessLoader *loader)
{
  return loader->n_workers;
}
