#include "tess-cpu-private.h"

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
