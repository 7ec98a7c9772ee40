#include "tess-cuda-item.h"

/* Instance normalisation + affine + leaky ReLU, forward and backward (Ulyanov et al. 2016).
 *
 * Moments by Welford's recurrence (1962) over every blocks'th voxel, joined two by two in double (Chan, Golub, LeVeque
 * 1979), so that a large mean costs no precision and x is read once for both. */

namespace
{

/* count, mean and sum of squares about it, of one channel's voxels of one block */
struct Moments {
  double n, mean, m2;

  ITEM void join (const double *other)
  {
    double d = other[1] - mean, both = n + other[0], share;

    if (other[0] == 0)
      return;
    share = other[0] / both;
    mean += d * share;
    m2 += other[2] + d * d * n * share;
    n = both;
  }
};

/* out {N, blocks, C, 3} */
template <class T> struct BlockMoments {
  const T *x;
  int64_t voxels, channels, blocks;
  double *out;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, block, c = split (i, channels, &block), count = 0;
    float mean = 0, m2 = 0;

    block = split (block, blocks, &n);
    for (int64_t v = block; v < voxels; v += blocks) {
      float value = get (x, (n * voxels + v) * channels + c), d = value - mean;

      mean += d / (float)++count;
      m2 += d * (value - mean);
    }
    out[3 * i] = (double)count;
    out[3 * i + 1] = (double)mean;
    out[3 * i + 2] = (double)m2;
  }
};

/* Every fewer'th block, from `block` on. */
ITEM inline Moments
joined (const double *in, int64_t n, int64_t c, int64_t channels, int64_t blocks, int64_t block, int64_t fewer)
{
  Moments m = {0, 0, 0};

  for (int64_t b = block; b < blocks; b += fewer)
    m.join (in + 3 * ((n * blocks + b) * channels + c));
  return m;
}

struct FoldMoments {
  const double *in;
  int64_t channels, blocks, fewer;
  double *out;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, block, c = split (i, channels, &block);
    Moments m;

    block = split (block, fewer, &n);
    m = joined (in, n, c, channels, blocks, block, fewer);
    out[3 * i] = m.n;
    out[3 * i + 1] = m.mean;
    out[3 * i + 2] = m.m2;
  }
};

struct TakeMoments {
  const double *in;
  int64_t channels, blocks;
  float eps, *stats;
  int eps_on_std;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, c = split (i, channels, &n);
    Moments m = joined (in, n, c, channels, blocks, 0, 1);
    double variance = m.m2 / m.n;

    stats[2 * i] = (float)m.mean;
    stats[2 * i + 1] =
        (float)(eps_on_std ? 1.0 / (sqrt (variance) + (double)eps) : 1.0 / sqrt (variance + (double)eps));
  }
};

/* The place of element i among the statistics, and the norm's result there before the ReLU. Forward and backward ask
 * it alike, so that they agree about the side of zero. */
struct Normed {
  int64_t sc; /* sample and channel */
  float d, z;
};

template <class T>
ITEM inline Normed
normed (const TessCudaNorm &a, int64_t n, int64_t c, int64_t i)
{
  Normed r;

  r.sc = n * a.channels + c;
  r.d = get ((const T *)a.x, i) - a.stats[2 * r.sc];
  r.z = r.d * (a.gamma[c] * a.stats[2 * r.sc + 1]) + a.beta[c];
  return r;
}

template <class T> struct NormApply {
  TessCudaNorm a;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, a.channels, &row);

    put ((T *)a.y, i, leaky (normed<T> (a, over (row, a.voxels), c, i).z, a.slope));
  }
};

/* Sums of dz and of dz u: u = (x - mean) rstd, dz = dy or slope dy. */
template <class T> struct NormSlopes {
  TessCudaNorm a;

  ITEM void operator() (int64_t n, int64_t row, int64_t c, float *part) const
  {
    int64_t i = (n * a.voxels + row) * a.channels + c;
    Normed r = normed<T> (a, n, c, i);
    float dz = get ((const T *)a.dy, i) * (r.z > 0.0f ? 1.0f : a.slope);

    part[0] += dz;
    part[1] += dz * (r.d * a.stats[2 * r.sc + 1]);
  }
};

/* means {N, C, 2} of dz and of dz u, the second times what the norm's own slope adds: with eps inside the root u's
 * derivative by the spread is -u; with eps beside it (std + eps) / std as much. totals {N, C, 2} as they are. */
struct TakeSlopes {
  Sums<2> sums;
  TessCudaNorm a;
  float *means;
  double *totals;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, c = split (i, a.channels, &n);
    double part = (double)a.eps * (double)a.stats[2 * i + 1]; /* eps / (std + eps) */
    double factor = a.eps_on_std && part < 1.0 ? 1.0 / (1.0 - part) : 1.0;

    totals[2 * i] = sums.total (n, c, 0);
    totals[2 * i + 1] = sums.total (n, c, 1);
    means[2 * i] = (float)(totals[2 * i] / (double)a.voxels);
    means[2 * i + 1] = (float)(totals[2 * i + 1] / (double)a.voxels * factor);
  }
};

struct TakeAffine {
  const double *totals;
  int64_t n, channels;
  float *dgamma, *dbeta;

  ITEM void operator() (int64_t c) const
  {
    double sum = 0, sum_u = 0;

    for (int64_t s = 0; s < n; s++) {
      sum += totals[2 * (s * channels + c)];
      sum_u += totals[2 * (s * channels + c) + 1];
    }
    dbeta[c] = (float)sum;
    dgamma[c] = (float)sum_u;
  }
};

/* dx = gamma rstd (dz - mean (dz) - u mean (dz u)) */
template <class T> struct NormBackward {
  TessCudaNorm a;
  const float *means;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, a.channels, &row);
    Normed r = normed<T> (a, over (row, a.voxels), c, i);
    float dz = get ((const T *)a.dy, i) * (r.z > 0.0f ? 1.0f : a.slope), rstd = a.stats[2 * r.sc + 1];

    put ((T *)a.dx, i, a.gamma[c] * rstd * (dz - means[2 * r.sc] - r.d * rstd * means[2 * r.sc + 1]));
  }
};

/* Scratch: sums in steps; then totals {N, C, 2} in double, means {N, C, 2} in float. */
double *
totals_of (const TessCudaNorm *a)
{
  return (double *)a->scratch + 3 * sum_plan (a->n, a->voxels, a->channels).doubles;
}

template <class T>
cudaError_t
norm (const TessCudaNorm *a, cudaStream_t stream)
{
  SumPlan plan = sum_plan (a->n, a->voxels, a->channels);
  double *first = (double *)a->scratch, *second = first + 3 * plan.blocks * a->n * a->channels;
  BlockMoments<T> one = {(const T *)a->x, a->voxels, a->channels, plan.blocks, first};
  FoldMoments two = {first, a->channels, plan.blocks, plan.fewer, second};
  TakeMoments three = {second, a->channels, plan.fewer, a->eps, a->stats, a->eps_on_std};
  cudaError_t status = launch (one, a->n * plan.blocks * a->channels, stream);

  if (status == cudaSuccess)
    status = launch (two, a->n * plan.fewer * a->channels, stream);
  if (status == cudaSuccess)
    status = launch (three, a->n * a->channels, stream);
  return status != cudaSuccess ? status : launch (NormApply<T>{*a}, a->n * a->voxels * a->channels, stream);
}

template <class T>
cudaError_t
norm_backward (const TessCudaNorm *a, cudaStream_t stream)
{
  TakeSlopes take;
  TakeAffine affine = {totals_of (a), a->n, a->channels, a->dgamma, a->dbeta};
  NormBackward<T> apply = {*a, nullptr};
  cudaError_t status;

  take.a = *a;
  take.totals = totals_of (a);
  apply.means = take.means = (float *)(take.totals + 2 * a->n * a->channels);
  status = sum_rows (NormSlopes<T>{*a}, a->n, a->voxels, a->channels, a->scratch, stream, &take.sums);
  if (status == cudaSuccess)
    status = launch (take, a->n * a->channels, stream);
  if (status == cudaSuccess)
    status = launch (affine, a->channels, stream);
  if (status == cudaSuccess && a->dx != nullptr)
    status = launch (apply, a->n * a->voxels * a->channels, stream);
  return status;
}

} // namespace

extern "C" size_t
tess_cuda_norm_scratch (int64_t n, int64_t voxels, int64_t channels)
{
  return sum_plan (n, voxels, channels).doubles * 3 * sizeof (double) +
         (size_t)(n * channels) * 2 * (sizeof (double) + sizeof (float));
}

extern "C" cudaError_t
tess_cuda_norm (const TessCudaNorm *a, cudaStream_t stream)
{
  return a->bf16 ? norm<Bf16> (a, stream) : norm<float> (a, stream);
}

extern "C" cudaError_t
tess_cuda_norm_apply (const TessCudaNorm *a, cudaStream_t stream)
{
  int64_t n = a->n * a->voxels * a->channels;

  return a->bf16 ? launch (NormApply<Bf16>{*a}, n, stream) : launch (NormApply<float>{*a}, n, stream);
}

extern "C" cudaError_t
tess_cuda_norm_backward (const TessCudaNorm *a, cudaStream_t stream)
{
  return a->bf16 ? norm_backward<Bf16> (a, stream) : norm_backward<float> (a, stream);
}
