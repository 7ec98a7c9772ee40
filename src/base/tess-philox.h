#pragma once

/* Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * Plain C without GLib, so that device code includes the same file.
 *
 * A draw is addressed, never sequential: key = seed, counter = {index, transform, sample, epoch}.
 * The same address gives the same numbers on every thread, machine and backend. */

#include <stdint.h>

#ifdef __CUDACC__
#define TESS_HD __host__ __device__
#else
#define TESS_HD
#endif

typedef struct {
  uint32_t v[4];
} TessPhilox4;

TESS_HD static inline TessPhilox4
tess_philox (uint64_t seed, uint32_t epoch, uint32_t sample, uint32_t transform, uint32_t index)
{
  uint32_t k0 = (uint32_t) seed, k1 = (uint32_t) (seed >> 32);
  uint32_t c0 = index, c1 = transform, c2 = sample, c3 = epoch;

  for (int round = 0; round < 10; round++) {
    uint64_t p0 = (uint64_t) 0xD2511F53u * c0;
    uint64_t p1 = (uint64_t) 0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t) (p1 >> 32) ^ c1 ^ k0;
    uint32_t n2 = (uint32_t) (p0 >> 32) ^ c3 ^ k1;

    c1 = (uint32_t) p1;
    c3 = (uint32_t) p0;
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  TessPhilox4 out = { { c0, c1, c2, c3 } };
  return out;
}

/* [0,1) with 24 bits. */
TESS_HD static inline float
tess_philox_unit (uint32_t bits)
{
  return (float) (bits >> 8) * 0x1p-24f;
}

/* [lo,hi). */
TESS_HD static inline double
tess_philox_range (uint32_t bits, double lo, double hi)
{
  return lo + (hi - lo) * ((double) bits * 0x1p-32);
}

/* Uniform integer in [0,n), n > 0, by multiplication (bias below n / 2^32). */
TESS_HD static inline uint32_t
tess_philox_below (uint32_t bits, uint32_t n)
{
  return (uint32_t) (((uint64_t) bits * n) >> 32);
}
