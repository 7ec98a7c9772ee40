#include "tess-cuda-private.h"

/* A program's small outputs (losses, counts, the gradient's norm) are copied to page-locked memory as a run's last act,
 * so that reading them afterwards asks nothing of the device. */

#define SMALL 4096 /* bytes of an output */

typedef struct {
  gsize offset, bytes; /* in the inputs and outputs */
  gsize at;            /* in the copy */
} Result;

/* io: NULL where the program has neither inputs nor outputs. */
gboolean
tess_cuda_results_bind (TessProgram *p, TessBuffer *io, GError **error)
{
  gsize total = 0;

  tess_cuda_results_free (p);
  p->io = io;
  p->results = g_array_new (FALSE, FALSE, sizeof (Result));
  for (TessId id = 0; id < p->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (p->graph, id);
    const Result result = {t->offset, t->bytes, total};

    if (t->role != TESS_ROLE_OUTPUT || t->arena != TESS_ARENA_IO || t->bytes == 0 || t->bytes > SMALL)
      continue;
    g_array_append_val (p->results, result);
    total += (t->bytes + 15) / 16 * 16;
  }
  return total == 0 || tess_cuda_check (cudaMallocHost ((void **)&p->host_results, total), _ ("taking memory"), error);
}

void
tess_cuda_results_free (TessProgram *p)
{
  tess_cuda_results_forget (p->io);
  p->io = NULL;
  if (p->host_results != NULL)
    (void)cudaFreeHost (p->host_results);
  p->host_results = NULL;
  g_clear_pointer (&p->results, g_array_unref);
}

/* Before what stands in the buffer may change. */
void
tess_cuda_results_forget (TessBuffer *buffer)
{
  if (buffer != NULL)
    buffer->fresh = NULL;
}

/* After the last op, on the device's stream. */
gboolean
tess_cuda_results_queue (TessProgram *p, GError **error)
{
  for (guint i = 0; i < p->results->len; i++) {
    const Result *r = &g_array_index (p->results, Result, i);

    if (!tess_cuda_check (cudaMemcpyAsync (p->host_results + r->at, p->arena[TESS_ARENA_IO] + r->offset, r->bytes,
                                           cudaMemcpyDeviceToHost, p->device->stream),
                          _ ("copying from the device"), error))
      return FALSE;
  }
  return TRUE;
}

/* FALSE: it is to be asked of the device. */
gboolean
tess_cuda_results_get (const TessBuffer *buffer, gsize offset, void *target, gsize n)
{
  const TessProgram *p = buffer->fresh;

  for (guint i = 0; p != NULL && i < p->results->len; i++) {
    const Result *r = &g_array_index (p->results, Result, i);

    if (r->offset != offset || r->bytes != n)
      continue;
    memcpy (target, p->host_results + r->at, n);
    return TRUE;
  }
  return FALSE;
}
