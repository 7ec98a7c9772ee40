#pragma once

/* Arithmetic that has the same bits on the processor and on a device: every result is rounded by itself, nothing is
 * fused, and functions whose last bits differ from library to library (logarithm, power, sine) are polynomials of ours.
 * Plain C: device code includes this file, too. Files of the processor's that include it are built with
 * -ffp-contract=off or for processors that fuse nothing. */

#include "tess-philox.h"

#include <math.h>
#include <string.h>

#ifdef __CUDA_ARCH__
#define tess_times_f(a, b) __fmul_rn (a, b)
#define tess_plus_f(a, b) __fadd_rn (a, b)
#define tess_times_d(a, b) __dmul_rn (a, b)
#define tess_plus_d(a, b) __dadd_rn (a, b)
#else
#define tess_times_f(a, b) ((float) (a) * (float) (b))
#define tess_plus_f(a, b) ((float) (a) + (float) (b))
#define tess_times_d(a, b) ((double) (a) * (double) (b))
#define tess_plus_d(a, b) ((double) (a) + (double) (b))
#endif

/* f of the way from low to high. */
TESS_HD static inline float
tess_between_f (float low, float high, float f)
{
  return tess_plus_f (low, tess_times_f (f, tess_plus_f (high, -low)));
}

/* a x + b */
TESS_HD static inline float
tess_step_f (float a, float x, float b)
{
  return tess_plus_f (tess_times_f (a, x), b);
}

/* log2 (x) of a normal x > 0, within 3e-7 of it or of 1: x = 2^e m with m from sqrt (1/2) to sqrt (2), and of that the
 * series of the inverse hyperbolic tangent of s = (m - 1) / (m + 1). */
TESS_HD static inline float
tess_log2_f (float x)
{
  const uint32_t low = 0x3f3504f3u; /* sqrt (1/2) */
  uint32_t bits, above;
  float m, s, s2, sum;

  memcpy (&bits, &x, sizeof bits);
  above = bits - low;
  bits = (above & 0x007fffffu) + low;
  memcpy (&m, &bits, sizeof m);
  s = tess_plus_f (m, -1.0f) / tess_plus_f (m, 1.0f);
  s2 = tess_times_f (s, s);
  sum = tess_step_f (s2, 0.32059890f, 0.41219858f);
  sum = tess_step_f (s2, sum, 0.57707802f);
  sum = tess_step_f (s2, sum, 0.96179669f);
  sum = tess_step_f (s2, sum, 2.88539008f);
  return tess_step_f (s, sum, (float) ((int32_t) above >> 23));
}

/* 2^x within 3e-7 of it, for x from -126 to 127: of the part between -1/2 and 1/2 the Taylor series. */
TESS_HD static inline float
tess_exp2_f (float x)
{
  const float whole_numbers = 12582912.0f; /* 1.5 2^23: has no bits behind the point */
  float n = tess_plus_f (tess_plus_f (x, whole_numbers), -whole_numbers), f = tess_plus_f (x, -n);
  float sum = tess_step_f (f, 1.5403530e-4f, 1.3333558e-3f);
  uint32_t bits;

  sum = tess_step_f (f, sum, 9.6181291e-3f);
  sum = tess_step_f (f, sum, 5.5504109e-2f);
  sum = tess_step_f (f, sum, 2.4022651e-1f);
  sum = tess_step_f (f, sum, 6.9314718e-1f);
  sum = tess_step_f (f, sum, 1.0f);
  memcpy (&bits, &sum, sizeof bits);
  bits += (uint32_t) (int32_t) n << 23;
  memcpy (&sum, &bits, sizeof sum);
  return sum;
}

/* x^exponent for x from 0 to 1 and exponent > 0, within 3e-7; 2^-126 where it, or x, is less. */
TESS_HD static inline float
tess_power_f (float x, float exponent)
{
  const float least = 1.17549435e-38f; /* 2^-126 */
  float y = tess_times_f (exponent, tess_log2_f (x > least ? x : least));

  return tess_exp2_f (y > -126.0f ? y : -126.0f);
}

/* Cosine and sine of 2 pi t, t from 0 to 1, within 2e-7: Taylor series between -pi/4 and pi/4, turned by quarters. */
TESS_HD static inline void
tess_turn_f (float t, float *cosine, float *sine)
{
  float quarters = tess_times_f (t, 4.0f);
  int q = (int) tess_plus_f (quarters, 0.5f);
  float a = tess_times_f (tess_plus_f (quarters, -(float) q), 1.57079633f), a2 = tess_times_f (a, a);
  float s = tess_step_f (a2, 2.7557319e-6f, -1.9841270e-4f), c = tess_step_f (a2, 2.4801587e-5f, -1.3888889e-3f);
  float turned;

  s = tess_step_f (a2, s, 8.3333333e-3f);
  s = tess_step_f (a2, s, -1.6666667e-1f);
  s = tess_times_f (a, tess_step_f (a2, s, 1.0f));
  c = tess_step_f (a2, c, 4.1666667e-2f);
  c = tess_step_f (a2, c, -0.5f);
  c = tess_step_f (a2, c, 1.0f);
  turned = q & 1 ? s : c;
  s = q & 1 ? c : s;
  *cosine = (q + 1) & 2 ? -turned : turned;
  *sine = q & 2 ? -s : s;
}

/* Four standard normals (Box and Muller 1958). */
TESS_HD static inline void
tess_normals_f (TessPhilox4 r, float normals[4])
{
  for (int i = 0; i < 4; i += 2) {
    /* -2 ln u = -2 ln 2 log2 u of a u in the middle of one of 2^24 parts of (0, 1) */
    float u = tess_times_f (tess_plus_f ((float) (r.v[i] >> 8), 0.5f), 0x1p-24f);
    float radius = sqrtf (tess_times_f (-1.38629436f, tess_log2_f (u))), cosine, sine;

    tess_turn_f (tess_philox_unit (r.v[i + 1]), &cosine, &sine);
    normals[i] = tess_times_f (radius, cosine);
    normals[i + 1] = tess_times_f (radius, sine);
  }
}
