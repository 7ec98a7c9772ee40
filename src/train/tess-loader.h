#pragma once

#include "tess-case-cache.h"
#include "tess-residents.h"
#include "tess-schedule.h"

G_BEGIN_DECLS

/* Draws the batches of a run ahead of the trainer, on threads of its own, and hands them out in order: the training
 * batches of epoch 0, its validation batches, the training batches of epoch 1, ... All memory of batches is taken
 * once. */
typedef struct _TessLoader TessLoader;

typedef struct {
  gboolean validation;
  gint64   epoch, iteration; /* from 0; iteration within its kind */
} TessBatchPosition;

/* c NULL: drawn. Else the patch is still to be drawn, from a case that a device has or can have. */
typedef struct {
  TessCase     *c;
  guint         case_index;
  TessSampleKey key;
} TessBatchSample;

typedef struct {
  TessBatchPosition position;
  guint   n_samples;
  TessBatchSample *samples;
  float  *image; /* {N, D, H, W, C} */
  guint8 *label; /* {N, D, H, W} */
  gsize   image_bytes, label_bytes;
} TessBatch;

/* Takes the schedule; borrows the cache. n_cases: of the dataset. n_workers: 0 = chosen from n_threads, what the
 * trainer computes with. cases_ahead: decoded beyond a rotating pool, so that a case that enters it is there; at least
 * 1. n_ranks > 1: only the share of rank in every batch, the rank-th of as many equal parts. n_epochs: where the stream
 * ends, 0 = never. validation_iterations: of the plan, or 0.
 * residents: borrowed; cases it takes are left to be drawn by whoever gets the batch. NULL: everything is drawn.
 * backend, device: borrowed; batches stand in memory that the device copies from beside what it does, where it can. NULL:
 * in any. */
typedef struct {
  const TessPlan *plan;
  TessSchedule   *schedule;
  TessCaseCache  *cache;
  TessResidents  *residents;
  const TessBackendIface *backend;
  TessDevice     *device;
  guint           n_cases, n_workers, n_threads, cases_ahead, rank, n_ranks;
  gint64          n_epochs, validation_iterations;
  TessBatchPosition start;
} TessLoaderOptions;

TessLoader      *tess_loader_new     (const TessLoaderOptions *options, GError **error);
void             tess_loader_free    (TessLoader *loader);
/* The next batch, lent until it is released; waits for it. NULL with an error when a case cannot be read (batches
 * before it are still delivered). One consumer. */
const TessBatch *tess_loader_next    (TessLoader *loader, GError **error);
/* The same where it need not wait, else NULL: there is none yet, or there will be none. */
const TessBatch *tess_loader_try_next (TessLoader *loader);
void             tess_loader_release (TessLoader *loader);
/* Drops what was drawn ahead and goes on from there. No batch may be lent. */
void             tess_loader_seek    (TessLoader *loader, const TessBatchPosition *position);
guint64          tess_loader_bytes   (const TessLoader *loader); /* of the batch buffers: tess_plan_batches_bytes */
guint            tess_loader_workers (const TessLoader *loader);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLoader, tess_loader_free)

G_END_DECLS
