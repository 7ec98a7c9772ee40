#pragma once

/* What our kernels are made of. A kernel is a struct whose operator() does one item of work, so that the device runs
 * the items on its threads (launch() below) and a test on the processor runs the same code in a loop
 * (TESS_CUDA_HOST, tests/cuda). No item waits for another, none shares memory and nothing is added atomically: results
 * depend neither on the card nor on the order of items. */

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "tess-cuda-kernels.h"
#include "tess-exact.h"

#ifdef TESS_CUDA_HOST
#include <functional>
#define ITEM
/* Runs the work now, or notes it down while the stream is being captured. */
cudaError_t tess_cuda_host_queue (std::function<void ()> work, cudaStream_t stream);
/* Whether items run last to first: nothing may depend on their order. */
bool tess_cuda_host_backwards (void);
#else
#define ITEM __host__ __device__
#endif

namespace
{

struct Bf16 {
  uint16_t bits;
};

ITEM inline float
get (const float *p, int64_t i)
{
  return p[i];
}

ITEM inline float
get (const Bf16 *p, int64_t i)
{
  uint32_t bits = (uint32_t)p[i].bits << 16;
  float value;

  memcpy (&value, &bits, sizeof value);
  return value;
}

ITEM inline void
put (float *p, int64_t i, float value)
{
  p[i] = value;
}

/* To the nearest, ties to even; NaN stays NaN. */
ITEM inline void
put (Bf16 *p, int64_t i, float value)
{
  uint32_t bits;

  memcpy (&bits, &value, sizeof bits);
  p[i].bits = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u
                                                            : (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

/* a / b for a >= 0, b > 0; a division of 64 bits costs the device many times one of 32. */
ITEM inline int64_t
over (int64_t a, int64_t b)
{
  return ((a | b) >> 32) == 0 ? (int64_t)((uint32_t)a / (uint32_t)b) : a / b;
}

/* i = quotient * n + what is returned. */
ITEM inline int64_t
split (int64_t i, int64_t n, int64_t *quotient)
{
  *quotient = over (i, n);
  return i - *quotient * n;
}

ITEM inline int64_t
least (int64_t a, int64_t b)
{
  return a < b ? a : b;
}

ITEM inline int64_t
most (int64_t a, int64_t b)
{
  return a > b ? a : b;
}

/* Arithmetic that the compiler may not fuse, each result rounded: where the processor's bits are wanted. */
ITEM inline float
times (float a, float b)
{
  return tess_times_f (a, b);
}

ITEM inline float
plus (float a, float b)
{
  return tess_plus_f (a, b);
}

ITEM inline float
minus (float a, float b)
{
  return plus (a, -b);
}

/* f of the way from low to high. */
ITEM inline float
between (float low, float high, float f)
{
  return tess_between_f (low, high, f);
}

ITEM inline double
times (double a, double b)
{
  return tess_times_d (a, b);
}

ITEM inline double
plus (double a, double b)
{
  return tess_plus_d (a, b);
}

/* NaN fails the comparison and goes through the product, so it stays NaN. */
ITEM inline float
leaky (float x, float slope)
{
  return x > 0.0f ? x : slope * x;
}

/* An element of {n, grid, channels} as voxel and channel. */
struct Place {
  int64_t n, p[3], c;
};

ITEM inline Place
place_of (int64_t i, const int64_t grid[3], int64_t channels)
{
  Place at;

  at.c = split (i, channels, &i);
  at.p[2] = split (i, grid[2], &i);
  at.p[1] = split (i, grid[1], &i);
  at.p[0] = split (i, grid[0], &at.n);
  return at;
}

ITEM inline int64_t
index_of (int64_t n, int64_t d, int64_t h, int64_t w, const int64_t grid[3], int64_t channels)
{
  return (((n * grid[0] + d) * grid[1] + h) * grid[2] + w) * channels;
}

#ifdef TESS_CUDA_HOST
template <class F>
cudaError_t
launch (const F &item, int64_t n, cudaStream_t stream)
{
  if (n <= 0)
    return cudaSuccess;
  (void)tess_cuda_host_queue (
      [item, n] {
        const bool backwards = tess_cuda_host_backwards ();

        for (int64_t i = 0; i < n; i++)
          item (backwards ? n - 1 - i : i);
      },
      stream);
  return cudaGetLastError (); /* also of a call before that nobody asked about, as on the device */
}
#else
constexpr int block_threads = 256;

template <class F>
__global__ void __launch_bounds__ (block_threads)
each_item (const F item, int64_t n)
{
  const int64_t step = (int64_t)gridDim.x * block_threads;

  for (int64_t i = (int64_t)blockIdx.x * block_threads + threadIdx.x; i < n; i += step)
    item (i);
}

template <class F>
cudaError_t
launch (const F &item, int64_t n, cudaStream_t stream)
{
  int64_t blocks = least ((n + block_threads - 1) / block_threads, 1 << 20);

  if (n <= 0)
    return cudaSuccess;
  each_item<<<(unsigned)blocks, block_threads, 0, stream>>> (item, n);
  return cudaGetLastError ();
}
#endif

/* ---- sums over the rows of {groups, rows, columns} --------------------------------------------------------------
 *
 * In three steps, each in an order that the shape alone gives: `blocks` items a column take every blocks'th row, `fewer`
 * items take every fewer'th of those, and whoever needs a column's sum adds the rest. Neighbouring items read
 * neighbouring addresses. Sixteen values are added in float32, all else in float64. */

template <int V>
struct Sums {
  const double *p; /* {groups, blocks, columns, V} */
  int64_t blocks, columns;

  ITEM double
  total (int64_t group, int64_t column, int v) const
  {
    double sum = 0;

    for (int64_t b = 0; b < blocks; b++)
      sum += p[((group * blocks + b) * columns + column) * V + v];
    return sum;
  }
};

/* value (group, row, column, part) adds what a row gives to the V numbers of part. */
template <int V, class F>
struct SumRows {
  F value;
  int64_t rows, columns, blocks;
  double *out;

  ITEM void
  operator() (int64_t i) const
  {
    int64_t group, block, column = split (i, columns, &block);
    double total[V] = {};
    float part[V] = {};
    int held = 0;

    block = split (block, blocks, &group);
    for (int64_t row = block; row < rows; row += blocks) {
      value (group, row, column, part);
      if (++held < 16)
        continue;
      for (int v = 0; v < V; v++) {
        total[v] += (double)part[v];
        part[v] = 0;
      }
      held = 0;
    }
    for (int v = 0; v < V; v++)
      out[i * V + v] = total[v] + (double)part[v];
  }
};

template <int V>
struct FoldSums {
  const double *in;
  int64_t blocks, columns, fewer;
  double *out;

  ITEM void
  operator() (int64_t i) const
  {
    int64_t group, block, column = split (i, columns, &block);
    double total[V] = {};

    block = split (block, fewer, &group);
    for (int64_t b = block; b < blocks; b += fewer)
      for (int v = 0; v < V; v++)
        total[v] += in[((group * blocks + b) * columns + column) * V + v];
    for (int v = 0; v < V; v++)
      out[i * V + v] = total[v];
  }
};

/* totals {groups, columns, V} */
template <int V>
struct TakeTotals {
  Sums<V> sums;
  double *totals;

  ITEM void
  operator() (int64_t i) const
  {
    int64_t rest, group, v = split (i, V, &rest), column = split (rest, sums.columns, &group);

    totals[i] = sums.total (group, column, (int)v);
  }
};

struct SumPlan {
  int64_t blocks, fewer;
  size_t doubles; /* of one value */
};

inline SumPlan
sum_plan (int64_t groups, int64_t rows, int64_t columns)
{
  SumPlan plan;

  plan.blocks = most (1, least (262144 / most (1, groups * columns), (rows + 31) / 32));
  plan.fewer = 1;
  while (plan.fewer * plan.fewer < plan.blocks)
    plan.fewer++;
  plan.doubles = (size_t)((plan.blocks + plan.fewer) * groups * columns);
  return plan;
}

template <int V, class F>
cudaError_t
sum_rows (const F &value, int64_t groups, int64_t rows, int64_t columns, void *scratch, cudaStream_t stream,
          Sums<V> *sums)
{
  SumPlan plan = sum_plan (groups, rows, columns);
  double *first = (double *)scratch, *second = first + plan.blocks * groups * columns * V;
  SumRows<V, F> one = {value, rows, columns, plan.blocks, first};
  FoldSums<V> two = {first, plan.blocks, columns, plan.fewer, second};
  cudaError_t status = launch (one, groups * plan.blocks * columns, stream);

  *sums = Sums<V>{second, plan.fewer, columns};
  return status != cudaSuccess ? status : launch (two, groups * plan.fewer * columns, stream);
}

} // namespace
