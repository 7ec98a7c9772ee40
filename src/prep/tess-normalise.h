#pragma once

#include "tess-plan.h"
#include "tess-statistics.h"
#include <math.h>

G_BEGIN_DECLS

/* v -> (clamp (v, lower, upper) - shift) * scale; what is not finite becomes 0. */
typedef struct {
  float lower, upper, shift, scale;
} TessNormaliser;

/* statistics: of this case and channel (used by z-score). */
void tess_normaliser_init (TessNormaliser *n, const TessPlanChannel *channel, const TessStatistics *statistics);

static inline float
tess_normaliser_apply (const TessNormaliser *n, float v)
{
  if (!isfinite (v))
    return 0.0f;
  v = v < n->lower ? n->lower : v > n->upper ? n->upper : v;
  return (v - n->shift) * n->scale;
}

G_END_DECLS
