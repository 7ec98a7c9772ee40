#include "tess-normalise.h"

#include <float.h>

/* As nnU-Net's normalisation schemes: z-score takes mean and population std of the whole case (the denominator kept
 * from 0), CT clips to the dataset's foreground percentiles first and uses its mean and std, none keeps the values.
 * statistics may be NULL unless the scheme is z-score or min-max. */
void
tess_normaliser_init (TessNormaliser *n, const TessPlanChannel *channel, const TessStatistics *statistics)
{
  double shift = 0.0, std = 1.0;

  *n = (TessNormaliser){.lower = -FLT_MAX, .upper = FLT_MAX};
  switch (channel->norm) {
  case TESS_NORM_ZSCORE:
    g_return_if_fail (statistics != NULL);
    shift = statistics->mean;
    std = statistics->std;
    break;
  case TESS_NORM_CT:
    n->lower = (float)channel->lower;
    n->upper = (float)channel->upper;
    shift = channel->mean;
    std = channel->std;
    break;
  case TESS_NORM_MINMAX:
    g_return_if_fail (statistics != NULL);
    shift = statistics->min;
    std = statistics->max - statistics->min;
    break;
  case TESS_NORM_NONE:
    break;
  }
  n->shift = (float)shift;
  n->scale = (float)(1.0 / MAX (std, 1e-8));
}
