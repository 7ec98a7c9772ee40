#include "tess-cpu-vector.h"

#include <math.h>

/* Instance normalisation + affine + leaky ReLU, forward and backward (Ulyanov et al. 2016).
 *
 * Each pass over memory is one loop over (sample, block) items. Moments are taken of x minus the channel's first voxel,
 * about the block's own mean while it lies in the first-level cache, and joined over the blocks in double (Chan,
 * Golub, LeVeque 1979), so that a large mean costs no precision. */

void TESS_KERNEL (norm_forward) (const TessCpuNorm *a);
void TESS_KERNEL (norm_backward) (const TessCpuNorm *a);

/* One sample's part of the scratch. Lanes: elements of a period. */
typedef struct {
  float *first, *second;                                /* {n_blocks, period}: mean and M2, or sum of dz and of dz u */
  double *sum, *sum2;                                   /* {period} */
  float *mean, *rstd, *gamma, *beta, *offset, *slope_u; /* {period}: what the last pass needs, repeated over lanes */
} Space;

static Space
space_of (const TessCpuNorm *a, const TessCpuWalk *w, gsize sample)
{
  gsize p = w->period, blocks = w->n_blocks * p;
  float *base = (float *)a->scratch + sample * (2 * blocks + 10 * p);
  Space s = {.first = base, .second = base + blocks};

  base += 2 * blocks;
  s.sum = (double *)(gpointer)base;
  s.sum2 = s.sum + p;
  base += 4 * p;
  s.mean = base;
  s.rstd = base + p;
  s.gamma = base + 2 * p;
  s.beta = base + 3 * p;
  s.offset = base + 4 * p;
  s.slope_u = base + 5 * p;
  return s;
}

static gsize
rows_of (const TessCpuWalk *w, gsize block)
{
  return MIN (w->per_block, w->n_periods - block * w->per_block);
}

ALWAYS_INLINE void
block_moments (const void *x, gsize rows, gsize period, const float *shifts, float *mean_out, float *m2_out,
               gboolean bf16)
{
  float inverse = 1.0f / (float)rows;

  for (gsize v = 0; v < period; v += VL) {
    VFloat shift = v_load (shifts + v), s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0}, mean, d;
    gsize r = 0;

    for (; r + 4 <= rows; r += 4) {
      s0 += v_get (x, r * period + v, bf16) - shift;
      s1 += v_get (x, (r + 1) * period + v, bf16) - shift;
      s2 += v_get (x, (r + 2) * period + v, bf16) - shift;
      s3 += v_get (x, (r + 3) * period + v, bf16) - shift;
    }
    for (; r < rows; r++)
      s0 += v_get (x, r * period + v, bf16) - shift;
    mean = ((s0 + s1) + (s2 + s3)) * inverse;
    s0 = s1 = s2 = s3 = (VFloat){0};
    for (r = 0; r + 4 <= rows; r += 4) {
      d = v_get (x, r * period + v, bf16) - shift - mean;
      s0 += d * d;
      d = v_get (x, (r + 1) * period + v, bf16) - shift - mean;
      s1 += d * d;
      d = v_get (x, (r + 2) * period + v, bf16) - shift - mean;
      s2 += d * d;
      d = v_get (x, (r + 3) * period + v, bf16) - shift - mean;
      s3 += d * d;
    }
    for (; r < rows; r++) {
      d = v_get (x, r * period + v, bf16) - shift - mean;
      s0 += d * d;
    }
    v_store (mean_out + v, mean);
    v_store (m2_out + v, (s0 + s1) + (s2 + s3));
  }
}

/* Lane sums of count * first over the blocks, in block order, folded to channels into sum[0..channels). */
static void
fold (double *sum, gsize period, gsize channels)
{
  for (gsize i = channels; i < period; i++)
    sum[i % channels] += sum[i];
}

ALWAYS_INLINE void
join_moments (const TessCpuNorm *a, const TessCpuWalk *w, const Space *s, gsize sample, gboolean bf16)
{
  gsize p = w->period, c_n = a->channels, tail_first = (sample * a->voxels + w->n_periods * w->fold) * c_n;
  double n = (double)a->voxels;

  memset (s->sum, 0, p * sizeof *s->sum);
  memset (s->sum2, 0, p * sizeof *s->sum2);
  for (gsize b = 0; b < w->n_blocks; b++) {
    double count = (double)rows_of (w, b);

    for (gsize i = 0; i < p; i++)
      s->sum[i] += count * (double)s->first[b * p + i];
  }
  fold (s->sum, p, c_n);
  for (gsize i = 0; i < w->tail * c_n; i++)
    s->sum[i % c_n] += (double)s_get (a->x, tail_first + i, bf16) - (double)s->offset[i % c_n];
  for (gsize c = 0; c < c_n; c++)
    s->sum[c] /= n;
  for (gsize i = c_n; i < p; i++)
    s->sum[i] = s->sum[i % c_n];
  for (gsize b = 0; b < w->n_blocks; b++) {
    double count = (double)rows_of (w, b);

    for (gsize i = 0; i < p; i++) {
      double d = (double)s->first[b * p + i] - s->sum[i];

      s->sum2[i] += (double)s->second[b * p + i] + count * d * d;
    }
  }
  fold (s->sum2, p, c_n);
  for (gsize i = 0; i < w->tail * c_n; i++) {
    double d = (double)s_get (a->x, tail_first + i, bf16) - (double)s->offset[i % c_n] - s->sum[i % c_n];

    s->sum2[i % c_n] += d * d;
  }
  for (gsize c = 0; c < c_n; c++) {
    float *stats = a->stats + (sample * c_n + c) * 2;

    stats[0] = (float)(s->sum[c] + (double)s->offset[c]);
    stats[1] = a->eps_on_std ? (float)(1.0 / (sqrt (s->sum2[c] / n) + (double)a->eps))
                             : (float)(1.0 / sqrt (s->sum2[c] / n + (double)a->eps));
  }
}

/* What the last pass needs, from the stats. */
static void
fill_tables (const TessCpuNorm *a, const Space *s, gsize period, gsize sample)
{
  for (gsize i = 0; i < period; i++) {
    const float *stats = a->stats + (sample * a->channels + i % a->channels) * 2;

    s->mean[i] = stats[0];
    s->rstd[i] = stats[1];
    s->gamma[i] = a->gamma[i % a->channels] * stats[1];
    s->beta[i] = a->beta[i % a->channels];
  }
}

ALWAYS_INLINE void
block_apply (const void *x, void *y, gsize n, gsize period, const Space *s, float slope, gboolean bf16)
{
  for (gsize r = 0; r < n; r += period)
    for (gsize v = 0; v < period; v += VL) {
      VFloat z = (v_get (x, r + v, bf16) - v_load (s->mean + v)) * v_load (s->gamma + v) + v_load (s->beta + v);

      v_put (y, r + v, v_select (z > 0.0f, z, z * slope), bf16);
    }
}

ALWAYS_INLINE void
tail_apply (const TessCpuNorm *a, const TessCpuWalk *w, gsize sample, gboolean bf16)
{
  gsize first = (sample * a->voxels + w->n_periods * w->fold) * a->channels;
  Space s = space_of (a, w, sample);

  for (gsize i = 0; i < w->tail * a->channels; i++) {
    gsize c = i % a->channels;
    float z = (s_get (a->x, first + i, bf16) - s.mean[c]) * s.gamma[c] + s.beta[c];

    s_put (a->y, first + i, z > 0 ? z : z * a->slope, bf16);
  }
}

/* What is short runs on the calling thread: every barrier less is one wait less for a thread the system has put to
 * sleep. */
ALWAYS_INLINE void
forward (const TessCpuNorm *a, gboolean bf16)
{
  TessCpuWalk w = tess_cpu_walk (a->voxels, a->channels);
  gsize sample_size = a->voxels * a->channels, n_items = a->n * w.n_blocks, p = w.period;

  for (gsize sample = 0; sample < a->n && !a->known; sample++) {
    Space s = space_of (a, &w, sample);

    for (gsize i = 0; i < p; i++)
      s.offset[i] = s_get (a->x, sample * sample_size + i % a->channels, bf16);
  }
  if (!a->known) {
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * sample_size > SMALL)
    for (gsize i = 0; i < n_items; i++) {
      gsize sample = i / w.n_blocks, b = i % w.n_blocks;
      Space s = space_of (a, &w, sample);

      block_moments (s_at (a->x, sample * sample_size + b * w.per_block * p, bf16), rows_of (&w, b), p, s.offset,
                     s.first + b * p, s.second + b * p, bf16);
    }
  }
  for (gsize sample = 0; sample < a->n; sample++) {
    Space s = space_of (a, &w, sample);

    if (!a->known)
      join_moments (a, &w, &s, sample, bf16);
    fill_tables (a, &s, p, sample);
    tail_apply (a, &w, sample, bf16);
  }
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * sample_size > SMALL)
  for (gsize i = 0; i < n_items; i++) {
    gsize sample = i / w.n_blocks, b = i % w.n_blocks, at = sample * sample_size + b * w.per_block * p;
    Space s = space_of (a, &w, sample);

    block_apply (s_at (a->x, at, bf16), s_at_mut (a->y, at, bf16), rows_of (&w, b) * p, p, &s, a->slope, bf16);
  }
}

/* u = (x - mean) rstd; z = gamma u + beta, as the forward pass had it; dz = dy or slope dy. */
ALWAYS_INLINE VFloat
v_dz (const Space *s, gsize v, VFloat x, VFloat dy, float slope, VFloat *u)
{
  VFloat d = x - v_load (s->mean + v);
  VFloat z = d * v_load (s->gamma + v) + v_load (s->beta + v);

  *u = d * v_load (s->rstd + v);
  return v_select (z > 0.0f, dy, dy * slope);
}

ALWAYS_INLINE float
s_dz (const Space *s, gsize c, float x, float dy, float slope, float *u)
{
  float d = x - s->mean[c];

  *u = d * s->rstd[c];
  return d * s->gamma[c] + s->beta[c] > 0 ? dy : dy * slope;
}

ALWAYS_INLINE void
block_sums (const void *x, const void *dy, gsize rows, gsize period, const Space *s, gsize block, float slope,
            gboolean bf16)
{
  for (gsize v = 0; v < period; v += VL) {
    VFloat s0 = {0}, s1 = {0}, t0 = {0}, t1 = {0}, u, dz;
    gsize r = 0;

    for (; r + 2 <= rows; r += 2) {
      gsize i = r * period + v, j = i + period;

      dz = v_dz (s, v, v_get (x, i, bf16), v_get (dy, i, bf16), slope, &u);
      s0 += dz;
      t0 += dz * u;
      dz = v_dz (s, v, v_get (x, j, bf16), v_get (dy, j, bf16), slope, &u);
      s1 += dz;
      t1 += dz * u;
    }
    if (r < rows) {
      dz = v_dz (s, v, v_get (x, r * period + v, bf16), v_get (dy, r * period + v, bf16), slope, &u);
      s0 += dz;
      t0 += dz * u;
    }
    v_store (s->first + block * period + v, s0 + s1);
    v_store (s->second + block * period + v, t0 + t1);
  }
}

/* With eps inside the root u's derivative by the spread is -u; with eps beside it (std + eps) / std as much. A channel
 * of one value has u = 0 everywhere. */
static double
slope_factor (const TessCpuNorm *a, double rstd)
{
  double part = (double)a->eps * rstd; /* eps / (std + eps) */

  return a->eps_on_std && part < 1.0 ? 1.0 / (1.0 - part) : 1.0;
}

/* Sums over the sample into sum and sum2 [0..channels), and their share of every dx over the lanes. */
ALWAYS_INLINE void
join_sums (const TessCpuNorm *a, const TessCpuWalk *w, const Space *s, gsize sample, gboolean bf16)
{
  gsize p = w->period, c_n = a->channels, tail_first = (sample * a->voxels + w->n_periods * w->fold) * c_n;
  double n = (double)a->voxels;

  memset (s->sum, 0, p * sizeof *s->sum);
  memset (s->sum2, 0, p * sizeof *s->sum2);
  for (gsize b = 0; b < w->n_blocks; b++)
    for (gsize i = 0; i < p; i++) {
      s->sum[i] += (double)s->first[b * p + i];
      s->sum2[i] += (double)s->second[b * p + i];
    }
  fold (s->sum, p, c_n);
  fold (s->sum2, p, c_n);
  for (gsize i = 0; i < w->tail * c_n; i++) {
    float u,
        dz = s_dz (s, i % c_n, s_get (a->x, tail_first + i, bf16), s_get (a->dy, tail_first + i, bf16), a->slope, &u);

    s->sum[i % c_n] += (double)dz;
    s->sum2[i % c_n] += (double)dz * (double)u;
  }
  for (gsize i = 0; i < p; i++) {
    s->offset[i] = (float)(s->sum[i % c_n] / n);
    s->slope_u[i] = (float)(s->sum2[i % c_n] / n * slope_factor (a, (double)s->rstd[i]));
  }
}

/* dx = gamma rstd (dz - mean (dz) - u mean (dz u)) */
ALWAYS_INLINE void
block_dx (const void *x, const void *dy, void *dx, gsize n, gsize period, const Space *s, float slope, gboolean bf16)
{
  for (gsize r = 0; r < n; r += period)
    for (gsize v = 0; v < period; v += VL) {
      VFloat u, dz = v_dz (s, v, v_get (x, r + v, bf16), v_get (dy, r + v, bf16), slope, &u);

      dz = v_load (s->gamma + v) * (dz - v_load (s->offset + v) - u * v_load (s->slope_u + v));
      v_put (dx, r + v, dz, bf16);
    }
}

ALWAYS_INLINE void
tail_dx (const TessCpuNorm *a, const TessCpuWalk *w, gsize sample, gboolean bf16)
{
  gsize first = (sample * a->voxels + w->n_periods * w->fold) * a->channels;
  Space s = space_of (a, w, sample);

  for (gsize i = 0; i < w->tail * a->channels; i++) {
    gsize c = i % a->channels;
    float u, dz = s_dz (&s, c, s_get (a->x, first + i, bf16), s_get (a->dy, first + i, bf16), a->slope, &u);

    s_put (a->dx, first + i, s.gamma[c] * (dz - s.offset[c] - u * s.slope_u[c]), bf16);
  }
}

ALWAYS_INLINE void
backward (const TessCpuNorm *a, gboolean bf16)
{
  TessCpuWalk w = tess_cpu_walk (a->voxels, a->channels);
  gsize sample_size = a->voxels * a->channels, n_items = a->n * w.n_blocks, p = w.period;

  for (gsize sample = 0; sample < a->n; sample++) {
    Space s = space_of (a, &w, sample);

    fill_tables (a, &s, p, sample);
  }
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * sample_size > SMALL)
  for (gsize i = 0; i < n_items; i++) {
    gsize sample = i / w.n_blocks, b = i % w.n_blocks, at = sample * sample_size + b * w.per_block * p;
    Space s = space_of (a, &w, sample);

    block_sums (s_at (a->x, at, bf16), s_at (a->dy, at, bf16), rows_of (&w, b), p, &s, b, a->slope, bf16);
  }
  for (gsize sample = 0; sample < a->n; sample++) {
    Space s = space_of (a, &w, sample);

    join_sums (a, &w, &s, sample, bf16);
    if (a->dx != NULL)
      tail_dx (a, &w, sample, bf16);
  }
  if (a->dx != NULL) {
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * sample_size > SMALL)
    for (gsize i = 0; i < n_items; i++) {
      gsize sample = i / w.n_blocks, b = i % w.n_blocks, at = sample * sample_size + b * w.per_block * p;
      Space s = space_of (a, &w, sample);

      block_dx (s_at (a->x, at, bf16), s_at (a->dy, at, bf16), s_at_mut (a->dx, at, bf16), rows_of (&w, b) * p, p, &s,
                a->slope, bf16);
    }
  }
  for (gsize c = 0; c < a->channels; c++) {
    double dgamma = 0, dbeta = 0;

    for (gsize sample = 0; sample < a->n; sample++) {
      Space s = space_of (a, &w, sample);

      dbeta += s.sum[c];
      dgamma += s.sum2[c];
    }
    a->dgamma[c] = (float)dgamma;
    a->dbeta[c] = (float)dbeta;
  }
}

void
TESS_KERNEL (norm_forward) (const TessCpuNorm *a)
{
  if (a->bf16)
    forward (a, TRUE);
  else
    forward (a, FALSE);
}

void
TESS_KERNEL (norm_backward) (const TessCpuNorm *a)
{
  if (a->bf16)
    backward (a, TRUE);
  else
    backward (a, FALSE);
}
