#include "tess-cpu-private.h"
#include "tess-gradient-buckets.h"

/* One sum over the ranks: the metrics, the voxels that count and, with a Dice of the whole batch, its sums. */
gboolean
tess_cpu_reduce_loss (const TessCpuLoss *a, const TessCommunicator *communicator, GError **error)
{
  gsize n_metrics = TESS_METRICS_SIZE (a->n_classes), n_sums = a->batch_dice ? 3 * (gsize)a->n_classes : 0;
  gsize counted = a->n * 3 * a->n_classes;
  g_autofree double *all = g_new (double, n_metrics + n_sums + 1);

  memcpy (all, a->metrics, n_metrics * sizeof *all);
  memcpy (all + n_metrics, a->sums, n_sums * sizeof *all);
  all[n_metrics + n_sums] = a->sums[counted];
  if (!communicator->sum_f64 (communicator, all, n_metrics + n_sums + 1, error))
    return FALSE;
  memcpy (a->metrics, all, n_metrics * sizeof *all);
  memcpy (a->sums, all + n_metrics, n_sums * sizeof *all);
  a->sums[counted] = all[n_metrics + n_sums];
  return TRUE;
}

/* Gradients travel while the backward pass computes those before them. */
gboolean
tess_cpu_begin_sums (TessProgram *p, guint i, const TessCommunicator *communicator, GError **error)
{
  if (p->buckets == NULL)
    p->buckets = tess_gradient_buckets (p->graph, communicator->bucket_bytes);
  for (; p->n_begun < p->buckets->len; p->n_begun++) {
    const TessGradientBucket *bucket = &g_array_index (p->buckets, TessGradientBucket, p->n_begun);

    if (!tess_gradient_bucket_is_whole (bucket, i))
      break;
    if (!communicator->begin_f32 (communicator, (float *)(gpointer)(p->arena[TESS_ARENA_GRAD] + bucket->offset),
                                  bucket->n, error))
      return FALSE;
  }
  return communicator->advance (communicator, error);
}
