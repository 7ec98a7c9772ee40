#pragma once

/* What DROPOUT and NOISE draw: addressed by (seed, step, sample, op, element), so that a step draws the same numbers in
 * its forward and its backward pass, when a result is made again, when a run goes on after a break, and on every
 * backend. Plain C: device code includes this file, too. */

#include "tess-philox.h"

#include <math.h>

/* Of a channel of a sample: 0 with probability `rate`, else what keeps the mean (Srivastava et al. 2014; whole channels
 * as in Tompson et al. 2015, PyTorch's Dropout3d). */
TESS_HD static inline float
tess_chance_factor (uint64_t seed, int64_t step, int64_t sample, uint32_t op, int64_t channel, float rate)
{
  TessPhilox4 r = tess_philox (seed, (uint32_t) step, (uint32_t) sample, 0x64726f00u + op, (uint32_t) channel);

  return tess_philox_unit (r.v[0]) < rate ? 0.0f : 1.0f / (1.0f - rate);
}

/* Standard normals of elements 2 pair and 2 pair + 1 of a sample (Box and Muller 1958). */
TESS_HD static inline void
tess_chance_normals (uint64_t seed, int64_t step, int64_t sample, uint32_t op, int64_t pair, float normals[2])
{
  TessPhilox4 r = tess_philox (seed, (uint32_t) step, (uint32_t) sample,
                               0x6e6f6900u + op + ((uint32_t) ((uint64_t) pair >> 32) << 8), (uint32_t) pair);
  float radius = sqrtf (-2.0f * logf (((float) (r.v[0] >> 8) + 0.5f) * 0x1p-24f));
  float angle = 6.2831853f * tess_philox_unit (r.v[1]);

  normals[0] = radius * cosf (angle);
  normals[1] = radius * sinf (angle);
}
