#pragma once

/* What augmentation does to the values of a patch, on every backend to the same bits. Plain C: device code includes this
 * file, too.
 *
 * The transforms, their order and their numbers are nnU-Net's (batchgeneratorsv2: GaussianNoise, GaussianBlur,
 * MultiplicativeBrightness, Contrast, SimulateLowResolution, Gamma inverted, Gamma). Each works on one channel of the
 * whole patch. Grids are x, y, z here, x fastest in memory. */

#include "tess-exact.h"

#define TESS_INTENSITY_MAX_CHANNELS 16
#define TESS_BLUR_MAX_RADIUS 9

/* Of one channel, in the order in which it happens. */
typedef struct {
  float   noise;          /* standard deviation of the normal noise that is added; 0: none */
  int     blur_radius[3]; /* taps on either side; all 0: no blur */
  float   blur[3][TESS_BLUR_MAX_RADIUS + 1]; /* tap[0] in the middle; they add up to 1 over both sides */
  float   brightness;     /* factor; 1: none */
  float   contrast;       /* factor of the distance to the mean, kept between least and largest; 1: none */
  int64_t coarse[3];      /* voxels the patch is thinned out to, then interpolated back; [0] = 0: not */
  float   gamma_inverted, gamma; /* exponents, mean and deviation are kept; 0: none */
} TessIntensityChannel;

/* Where a sample's noise is drawn. */
typedef struct {
  uint64_t seed;
  uint32_t epoch, sample, transform; /* transform: of channel 0; the other channels' follow */
} TessNoiseKey;

typedef struct {
  int          any; /* 0: nothing happens at all */
  TessNoiseKey noise_key;
  TessIntensityChannel channel[TESS_INTENSITY_MAX_CHANNELS];
} TessIntensity;

/* ---- noise: four voxels at a time, in the order of memory */

TESS_HD static inline void
tess_intensity_noise (const TessNoiseKey *key, int channel, int64_t four, float normals[4])
{
  TessPhilox4 r = tess_philox (key->seed, key->epoch, key->sample, key->transform + (uint32_t) channel, (uint32_t) four);

  tess_normals_f (r, normals);
}

/* ---- blur: beyond the border the patch is mirrored about its outermost voxels */

TESS_HD static inline int64_t
tess_mirrored_index (int64_t i, int64_t n)
{
  while (n > 1 && (i < 0 || i >= n))
    i = i < 0 ? -i : 2 * (n - 1) - i;
  return n > 1 ? i : 0;
}

/* ---- low resolution: voxel i of `fine` lies f of the way from source lo to source hi, which are voxels of the same
 * grid, those that stay when it is thinned out to `coarse`. Integers, so that nothing is rounded but f. */

typedef struct {
  int64_t lo, hi;
  float   f;
} TessCoarseCell;

TESS_HD static inline TessCoarseCell
tess_coarse_cell (int64_t i, int64_t fine, int64_t coarse)
{
  int64_t place = (2 * i + 1) * coarse - fine, j, k; /* in halves of a fine-th of a coarse voxel */
  TessCoarseCell cell;

  if (place < 0)
    place = 0;
  j = place / (2 * fine);
  k = j + 1 < coarse ? j + 1 : coarse - 1;
  cell.f = (float) (place - j * 2 * fine) / (float) (2 * fine);
  cell.lo = (2 * j + 1) * fine / (2 * coarse);
  cell.hi = (2 * k + 1) * fine / (2 * coarse);
  return cell;
}

/* ---- statistics of a channel, for contrast and gamma. Voxel i belongs to lane i % LANES, whose numbers are added in
 * order; of the lanes each FOLDS'th are added in order, and of those all. */

#define TESS_INTENSITY_LANES 8192
#define TESS_INTENSITY_FOLDS 64

typedef struct {
  double sum, squares;
  float  least, largest;
} TessIntensitySums;

TESS_HD static inline TessIntensitySums
tess_intensity_sums_none (void)
{
  TessIntensitySums s = { 0.0, 0.0, 3.402823466e+38f, -3.402823466e+38f };

  return s;
}

TESS_HD static inline void
tess_intensity_sums_join (TessIntensitySums *a, const TessIntensitySums *b)
{
  a->sum = tess_plus_d (a->sum, b->sum);
  a->squares = tess_plus_d (a->squares, b->squares);
  a->least = b->least < a->least ? b->least : a->least;
  a->largest = b->largest > a->largest ? b->largest : a->largest;
}

/* What the transforms take of them; std: with n - 1. */
typedef struct {
  float mean, std, least, largest;
} TessIntensityStats;

TESS_HD static inline TessIntensityStats
tess_intensity_stats (const TessIntensitySums *s, int64_t n)
{
  double mean = s->sum / (double) n, squares = tess_plus_d (s->squares, -tess_times_d (s->sum, mean));
  TessIntensityStats stats = { (float) mean, 0.0f, s->least, s->largest };

  if (n > 1 && squares > 0.0)
    stats.std = (float) sqrt (squares / (double) (n - 1));
  return stats;
}

TESS_HD static inline float
tess_intensity_contrast (float x, float factor, const TessIntensityStats *s)
{
  float y = tess_step_f (tess_plus_f (x, -s->mean), factor, s->mean);

  return y < s->least ? s->least : y > s->largest ? s->largest : y;
}

/* ---- gamma: a curve between least and largest; then the mean and the deviation that there were. sign -1: of the
 * inverted values, and what comes out is inverted, too; else 1. */

TESS_HD static inline float
tess_intensity_gamma (float x, float exponent, float sign, const TessIntensityStats *s)
{
  float least = sign < 0.0f ? -s->largest : s->least, range = tess_plus_f (s->largest, -s->least);
  float part = tess_plus_f (tess_times_f (x, sign), -least) / (range > 1e-7f ? range : 1e-7f);

  return tess_step_f (tess_power_f (part < 1.0f ? part : 1.0f, exponent), range, least);
}

TESS_HD static inline float
tess_intensity_restore (float x, float sign, const TessIntensityStats *before, const TessIntensityStats *now)
{
  float scale = before->std / (now->std > 1e-7f ? now->std : 1e-7f);
  float y = tess_step_f (tess_plus_f (x, -now->mean), scale, tess_times_f (sign, before->mean));

  return tess_times_f (sign, y);
}

/* ---- what a device needs besides the patch: two copies of a channel, the lanes, the folds, the statistics before and
 * after. In this order; bytes. */
TESS_HD static inline uint64_t
tess_intensity_scratch (int64_t voxels)
{
  return (uint64_t) (voxels + voxels % 2) * 2 * sizeof (float) +
         (TESS_INTENSITY_LANES + TESS_INTENSITY_FOLDS) * sizeof (TessIntensitySums) + 2 * sizeof (TessIntensityStats);
}
