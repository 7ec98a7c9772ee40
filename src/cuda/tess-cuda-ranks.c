#include "tess-cuda-private.h"
#include "tess-gradient-buckets.h"
#include "tess-nccl.h"

/* Sums over the processes that train together. NCCL adds them up on a stream of its own, so that the gradients that are
 * whole travel while the backward pass computes the others; events order it with the device's stream, also inside a
 * captured graph. With $TESSERA_NCCL "none" the sums go through the processor's memory and the communicator (MPI):
 * slower, op by op, and where several processes have one card. */

#define CARD_SIZE (TESS_CARD_ID_SIZE + 1) /* of what gather_cards() tells of a rank */
#define POLL_MICROSECONDS 20

struct _TessCudaRanks {
  const TessCommunicator *c;
  const TessNccl *nccl; /* NULL: through the processor's memory */
  TessNcclComm *comm;
  cudaStream_t stream;
  cudaEvent_t forked, joined;
  char *staging; /* page-locked */
  gsize staging_bytes;
  gboolean broken; /* see tess_cuda_ranks_break() */
};

/* All ranks, after their captured graphs are gone: NCCL waits for both. Not of a device that was given up. */
void
tess_cuda_leave (TessDevice *device)
{
  TessCudaRanks *r = device->ranks;

  if (r == NULL)
    return;
  if (r->comm != NULL)
    (void)r->nccl->CommDestroy (r->comm);
  if (r->forked != NULL)
    (void)cudaEventDestroy (r->forked);
  if (r->joined != NULL)
    (void)cudaEventDestroy (r->joined);
  if (r->stream != NULL)
    (void)cudaStreamDestroy (r->stream);
  (void)cudaFreeHost (r->staging);
  g_free (r);
  device->ranks = NULL;
}

guint
tess_cuda_n_ranks (const TessDevice *device)
{
  return device->ranks != NULL ? device->ranks->c->size : 1;
}

/* What a rank does on its own; id: NCCL's, of the first rank. */
static gboolean
open_ranks (TessDevice *device, const TessCommunicator *c, TessNcclId *id, GError **error)
{
  TessCudaRanks *r = device->ranks = g_new0 (TessCudaRanks, 1);

  r->c = c;
  if (!tess_cuda_enter (device, error))
    return FALSE;
  if (g_strcmp0 (g_getenv ("TESSERA_NCCL"), "none") == 0)
    return TRUE;
  r->nccl = tess_nccl_load (error);
  return r->nccl != NULL &&
         tess_cuda_check (cudaStreamCreateWithFlags (&r->stream, cudaStreamNonBlocking), _ ("opening the device"),
                          error) &&
         tess_cuda_check (cudaEventCreateWithFlags (&r->forked, cudaEventDisableTiming), _ ("opening the device"),
                          error) &&
         tess_cuda_check (cudaEventCreateWithFlags (&r->joined, cudaEventDisableTiming), _ ("opening the device"),
                          error) &&
         (c->rank > 0 || tess_nccl_check (r->nccl, r->nccl->GetUniqueId (id), _ ("starting"), error));
}

/* Every rank's card, and whether it has NCCL; the same on every rank. */
static double *
gather_cards (TessDevice *device, const TessCommunicator *c, GError **error)
{
  double mine[CARD_SIZE];

  for (guint i = 0; i < TESS_CARD_ID_SIZE; i++)
    mine[i] = (double)device->id[i];
  mine[TESS_CARD_ID_SIZE] = device->ranks->nccl != NULL;
  return tess_communicator_gather (c, mine, CARD_SIZE, error);
}

/* NCCL's own sentence for two ranks on one card is of no help. */
static gboolean
check_cards (const TessCommunicator *c, const double *cards, GError **error)
{
  for (guint i = 1; i < c->size; i++) {
    const double *card = cards + i * CARD_SIZE;
    gboolean has_nccl = card[TESS_CARD_ID_SIZE] > 0;

    if (has_nccl != (cards[TESS_CARD_ID_SIZE] > 0)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("TESSERA_NCCL is none for process %u alone; set it for all of them or for none"),
                   has_nccl ? 0 : i);
      return FALSE;
    }
    for (guint k = 0; k < i && has_nccl; k++)
      if (memcmp (card, cards + k * CARD_SIZE, TESS_CARD_ID_SIZE * sizeof *card) == 0) {
        g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                     _ ("CUDA: processes %u and %u would share one card, and NCCL takes one process a card; leave "
                        "--device out and start as many as there are cards (tessera-cli devices), or set "
                        "TESSERA_NCCL=none, which is slower"),
                     k, i);
        return FALSE;
      }
  }
  return TRUE;
}

static gboolean
connect (TessDevice *device, const TessCommunicator *c, GBytes *id_bytes, GError **error)
{
  TessCudaRanks *r = device->ranks;
  TessNcclId id;

  if (g_bytes_get_size (id_bytes) != sizeof id) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("NCCL: the processes are of different versions of this program; start the same one everywhere"));
    return FALSE;
  }
  memcpy (&id, g_bytes_get_data (id_bytes, NULL), sizeof id);
  return tess_cuda_enter (device, error) &&
         tess_nccl_check (r->nccl, r->nccl->CommInitRank (&r->comm, (int)c->size, id, (int)c->rank),
                          _ ("connecting the cards"), error);
}

/**
 * tess_cuda_join:
 *
 * All ranks call it, each with its own card, before their programs are bound. They connect, or all fail with the reason
 * of the first that has one.
 */
gboolean
tess_cuda_join (TessDevice *device, const TessCommunicator *c, GError **error)
{
  g_autofree double *cards = NULL;
  g_autoptr (GBytes) own = NULL, id_bytes = NULL;
  GError *local = NULL;
  TessNcclId id = {{0}};
  gboolean together;

  g_return_val_if_fail (device->ranks == NULL, FALSE);

  open_ranks (device, c, &id, &local);
  if (!tess_communicator_agree (c, local, &together, error))
    return FALSE;
  cards = gather_cards (device, c, error);
  if (cards == NULL || !check_cards (c, cards, error))
    return FALSE;
  if (device->ranks->nccl == NULL)
    return TRUE;
  own = g_bytes_new (&id, sizeof id);
  id_bytes = tess_communicator_share (c, c->rank == 0 ? own : NULL, error);
  if (id_bytes == NULL)
    return FALSE;
  local = NULL;
  connect (device, c, id_bytes, &local);
  if (tess_communicator_agree (c, local, &together, error))
    return TRUE;
  tess_cuda_ranks_break (device);
  return FALSE;
}

/* ------------------------------------------------------------------------------------------------ binding */

static gboolean
has_sums (const TessProgram *p)
{
  for (guint i = 0; i < p->n_steps; i++)
    if (p->steps[i].op->kind == TESS_OP_LOSS || p->steps[i].op->kind == TESS_OP_GRAD_NORM)
      return TRUE;
  return FALSE;
}

/* The largest sum of the program, in bytes. */
static gsize
largest_sum (const TessProgram *p)
{
  gsize bytes = 0;

  for (guint i = 0; i < p->buckets->len; i++)
    bytes = MAX (bytes, g_array_index (p->buckets, TessGradientBucket, i).n * sizeof (float));
  for (guint i = 0; i < p->n_steps; i++)
    if (p->steps[i].op->kind == TESS_OP_LOSS)
      bytes = MAX (bytes, p->steps[i].keep_bytes);
  return bytes;
}

/* Cuts the gradients; what goes through the processor's memory cannot be captured. */
gboolean
tess_cuda_ranks_bind (TessProgram *p, GError **error)
{
  TessCudaRanks *r = p->device->ranks;
  gsize bytes;

  g_clear_pointer (&p->buckets, g_array_unref);
  if (r == NULL || !has_sums (p))
    return TRUE;
  p->buckets = tess_gradient_buckets (p->graph, r->c->bucket_bytes);
  if (r->nccl != NULL)
    return TRUE;
  p->captures_left = 0;
  bytes = largest_sum (p);
  if (bytes <= r->staging_bytes)
    return TRUE;
  (void)cudaFreeHost (r->staging);
  r->staging = NULL;
  r->staging_bytes = 0;
  if (!tess_cuda_check (cudaMallocHost ((void **)&r->staging, bytes), _ ("taking memory"), error))
    return FALSE;
  r->staging_bytes = bytes;
  return TRUE;
}

/* ------------------------------------------------------------------------------------------------ running */

static gboolean
sum_on_host (TessDevice *device, void *values, gsize n, gboolean wide, GError **error)
{
  TessCudaRanks *r = device->ranks;
  gsize bytes = n * (wide ? sizeof (double) : sizeof (float));

  g_return_val_if_fail (bytes <= r->staging_bytes, FALSE);

  return tess_cuda_check (cudaMemcpyAsync (r->staging, values, bytes, cudaMemcpyDeviceToHost, device->stream),
                          _ ("copying from the device"), error) &&
         tess_cuda_check (cudaStreamSynchronize (device->stream), _ ("copying from the device"), error) &&
         (wide ? r->c->sum_f64 (r->c, (double *)(gpointer)r->staging, n, error)
               : r->c->sum_f32 (r->c, (float *)(gpointer)r->staging, n, error)) &&
         tess_cuda_check (cudaMemcpyAsync (values, r->staging, bytes, cudaMemcpyHostToDevice, device->stream),
                          _ ("copying to the device"), error);
}

/* What the stream has made by now is summed beside what comes after. */
static gboolean
begin_sum (TessDevice *device, void *values, gsize n, gboolean wide, GError **error)
{
  TessCudaRanks *r = device->ranks;

  if (r->nccl == NULL)
    return sum_on_host (device, values, n, wide, error);
  return tess_cuda_check (cudaEventRecord (r->forked, device->stream), _ ("adding up gradients"), error) &&
         tess_cuda_check (cudaStreamWaitEvent (r->stream, r->forked, 0), _ ("adding up gradients"), error) &&
         tess_nccl_check (r->nccl,
                          r->nccl->AllReduce (values, values, n, wide ? TESS_NCCL_F64 : TESS_NCCL_F32, TESS_NCCL_SUM,
                                              r->comm, r->stream),
                          _ ("adding up gradients"), error);
}

/* What comes now on the stream finds the sums made. */
static gboolean
finish_sums (TessDevice *device, GError **error)
{
  TessCudaRanks *r = device->ranks;

  return r->nccl == NULL ||
         (tess_cuda_check (cudaEventRecord (r->joined, r->stream), _ ("adding up gradients"), error) &&
          tess_cuda_check (cudaStreamWaitEvent (device->stream, r->joined, 0), _ ("adding up gradients"), error));
}

/* In place over all ranks. */
gboolean
tess_cuda_ranks_sum_f64 (TessDevice *device, double *values, gsize n, GError **error)
{
  return begin_sum (device, values, n, TRUE, error) && finish_sums (device, error);
}

/* After step i: begins the sums of the gradients that are whole; before the norm: waits for all. */
gboolean
tess_cuda_ranks_after_step (TessProgram *p, guint i, GError **error)
{
  if (p->buckets == NULL || p->n_begun == p->buckets->len)
    return TRUE;
  for (; p->n_begun < p->buckets->len; p->n_begun++) {
    const TessGradientBucket *bucket = &g_array_index (p->buckets, TessGradientBucket, p->n_begun);

    if (!tess_gradient_bucket_is_whole (bucket, i))
      return TRUE;
    if (!begin_sum (p->device, p->arena[TESS_ARENA_GRAD] + bucket->offset, bucket->n, FALSE, error))
      return FALSE;
  }
  return finish_sums (p->device, error);
}

/* Until the stream is done; at once on a device that was given up. A rank that is gone leaves NCCL's kernels waiting
 * for ever: NCCL is asked meanwhile. */
gboolean
tess_cuda_wait (TessDevice *device, GError **error)
{
  TessCudaRanks *r = device->ranks;
  TessNcclStatus status = TESS_NCCL_SUCCESS;
  cudaError_t done;

  if (!tess_cuda_enter (device, error))
    return FALSE;
  if (r == NULL || r->comm == NULL)
    return tess_cuda_check (cudaStreamSynchronize (device->stream), _ ("running a program"), error);
  while ((done = cudaStreamQuery (device->stream)) == cudaErrorNotReady) {
    if (!tess_nccl_check (r->nccl, r->nccl->CommGetAsyncError (r->comm, &status), _ ("adding up gradients"), error) ||
        (status != TESS_NCCL_IN_PROGRESS && !tess_nccl_check (r->nccl, status, _ ("adding up gradients"), error)))
      break;
    g_usleep (POLL_MICROSECONDS);
  }
  if (done != cudaErrorNotReady && tess_cuda_check (done, _ ("running a program"), error))
    return TRUE;
  tess_cuda_ranks_break (device);
  return FALSE;
}

/* After a failure kernels of NCCL's may wait for ever for ranks that do not come, and NCCL's own end, freeing memory
 * and waiting for the stream would all wait for those kernels. So nothing is taken down: tess_cuda_enter() refuses the
 * device from now on, what it holds goes when the process ends, and whoever is told of the failure ends the other
 * ranks. */
void
tess_cuda_ranks_break (TessDevice *device)
{
  if (device->ranks != NULL)
    device->ranks->broken = device->ranks->nccl != NULL;
}

gboolean
tess_cuda_ranks_broken (const TessDevice *device)
{
  return device->ranks != NULL && device->ranks->broken;
}
