#include "tess-cuda-kernels.h"

namespace
{

constexpr unsigned block_threads = 256;

/* Blocks for n items of work at one a thread, bounded: the loops stride over the grid. */
unsigned
blocks_for (size_t n)
{
  size_t blocks = (n + block_threads - 1) / block_threads;
  return (unsigned)(blocks < 4096 ? blocks : 4096);
}

/* NaN fails the comparison and goes through the product, so it stays NaN. */
__device__ inline float
leaky (float x, float slope)
{
  return x > 0.0f ? x : slope * x;
}

/* y = leaky(x), four values a load; the arenas align every tensor to 256 bytes, so only the end is ragged. */
__global__ void
leaky_relu_f32 (const float *__restrict__ x, float *__restrict__ y, size_t n, float slope)
{
  const size_t first = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
  const size_t step = (size_t)gridDim.x * blockDim.x;
  const size_t quads = n / 4;

  for (size_t i = first; i < quads; i += step) {
    float4 v = reinterpret_cast<const float4 *> (x)[i];
    v.x = leaky (v.x, slope);
    v.y = leaky (v.y, slope);
    v.z = leaky (v.z, slope);
    v.w = leaky (v.w, slope);
    reinterpret_cast<float4 *> (y)[i] = v;
  }
  for (size_t i = 4 * quads + first; i < n; i += step)
    y[i] = leaky (x[i], slope);
}

} // namespace

extern "C" cudaError_t
tess_cuda_leaky_relu_f32 (const float *x, float *y, size_t n, float slope, cudaStream_t stream)
{
  if (n == 0)
    return cudaSuccess;
  leaky_relu_f32<<<blocks_for ((n + 3) / 4), block_threads, 0, stream>>> (x, y, n, slope);
  return cudaGetLastError ();
}
