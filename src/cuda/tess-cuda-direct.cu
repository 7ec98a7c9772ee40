#include "tess-cuda-item.h"

/* Convolutions by plain sums, for what cuDNN has no plan for, and what stands around its own: weights packed and
 * unpacked. Many times slower than cuDNN's where channels are many. */

namespace
{

/* Fine voxel under kernel element e of coarse voxel q; false: it lies outside. */
ITEM inline bool
fine_of (const TessCudaDirect &c, const int64_t q[3], int64_t e, int64_t p[3])
{
  int64_t k[3];

  k[2] = split (e, c.kernel[2], &e);
  k[1] = split (e, c.kernel[1], &k[0]);
  for (int a = 0; a < 3; a++) {
    p[a] = q[a] * c.stride[a] + k[a] * (c.gap[a] + 1) - c.pad[a];
    if (p[a] < 0 || p[a] >= c.fine[a])
      return false;
  }
  return true;
}

/* The other way round: the coarse voxel of which fine voxel p lies under element e; false: there is none. */
ITEM inline bool
coarse_of (const TessCudaDirect &c, const int64_t p[3], int64_t e, int64_t q[3])
{
  int64_t k[3], t;

  k[2] = split (e, c.kernel[2], &e);
  k[1] = split (e, c.kernel[1], &k[0]);
  for (int a = 0; a < 3; a++) {
    t = p[a] + c.pad[a] - k[a] * (c.gap[a] + 1);
    if (t < 0 || split (t, c.stride[a], &q[a]) != 0 || q[a] >= c.coarse[a])
      return false;
  }
  return true;
}

ITEM inline int64_t
kernel_of (const TessCudaDirect &c)
{
  return (int64_t)c.kernel[0] * c.kernel[1] * c.kernel[2];
}

template <class T, class O> struct DirectForward {
  TessCudaDirect c;

  ITEM void operator() (int64_t i) const
  {
    Place at = place_of (i, c.coarse, c.coarse_channels);
    const T *x = (const T *)c.a, *w = (const T *)c.b + at.c * kernel_of (c) * c.fine_channels;
    float sum = c.bias != nullptr ? c.bias[at.c] : 0.0f;
    int64_t p[3];

    for (int64_t e = 0; e < kernel_of (c); e++)
      if (fine_of (c, at.p, e, p)) {
        int64_t from = index_of (at.n, p[0], p[1], p[2], c.fine, c.fine_channels);

        for (int64_t f = 0; f < c.fine_channels; f++)
          sum += get (x, from + f) * get (w, e * c.fine_channels + f);
      }
    put ((O *)c.out, i, sum);
  }
};

template <class T, class O> struct DirectData {
  TessCudaDirect c;

  ITEM void operator() (int64_t i) const
  {
    Place at = place_of (i, c.fine, c.fine_channels);
    const T *y = (const T *)c.a, *w = (const T *)c.b + at.c;
    int64_t row = kernel_of (c) * c.fine_channels, q[3];
    float sum = c.bias != nullptr ? c.bias[at.c] : 0.0f;

    for (int64_t e = 0; e < kernel_of (c); e++)
      if (coarse_of (c, at.p, e, q)) {
        int64_t from = index_of (at.n, q[0], q[1], q[2], c.coarse, c.coarse_channels);

        for (int64_t o = 0; o < c.coarse_channels; o++)
          sum += get (y, from + o) * get (w, o * row + e * c.fine_channels);
      }
    put ((O *)c.out, i, sum);
  }
};

/* Rows: coarse voxels of all samples; columns: packed weights. */
template <class T> struct DirectWeights {
  TessCudaDirect c;

  ITEM void operator() (int64_t, int64_t row, int64_t column, float *part) const
  {
    int64_t q[3], p[3], n, e, o, voxel = row, f = split (column, c.fine_channels, &e);

    e = split (e, kernel_of (c), &o);
    q[2] = split (voxel, c.coarse[2], &voxel);
    q[1] = split (voxel, c.coarse[1], &voxel);
    q[0] = split (voxel, c.coarse[0], &n);
    if (fine_of (c, q, e, p))
      part[0] += get ((const T *)c.a, index_of (n, p[0], p[1], p[2], c.fine, c.fine_channels) + f) *
                 get ((const T *)c.b, row * c.coarse_channels + o);
  }
};

struct TakeWeights {
  Sums<1> sums;
  float *out;

  ITEM void operator() (int64_t i) const
  {
    out[i] = (float)sums.total (0, i, 0);
  }
};

int64_t
rows_of (const TessCudaDirect *c)
{
  return c->n * c->coarse[0] * c->coarse[1] * c->coarse[2];
}

int64_t
weights_of (const TessCudaDirect *c)
{
  return c->coarse_channels * kernel_of (*c) * c->fine_channels;
}

template <class T> struct Pack {
  const float *plain;
  T *packed;
  int64_t fine, kernel;

  ITEM void operator() (int64_t i) const
  {
    int64_t o, e, f = split (i, fine, &e);

    e = split (e, kernel, &o);
    put (packed, i, plain[(o * fine + f) * kernel + e]);
  }
};

/* One item an element of the plain weights. */
template <class T> struct Unpack {
  const T *packed;
  float *plain;
  int64_t fine, kernel;

  ITEM void operator() (int64_t i) const
  {
    int64_t o, f, e = split (i, kernel, &f);

    f = split (f, fine, &o);
    plain[i] = get (packed, (o * kernel + e) * fine + f);
  }
};

} // namespace

extern "C" size_t
tess_cuda_direct_scratch (const TessCudaDirect *c)
{
  return tess_cuda_sums_scratch (1, rows_of (c), weights_of (c), 1);
}

extern "C" cudaError_t
tess_cuda_direct_forward (const TessCudaDirect *c, cudaStream_t stream)
{
  int64_t n = rows_of (c) * c->coarse_channels;

  if (!c->bf16)
    return launch (DirectForward<float, float>{*c}, n, stream);
  return c->wide ? launch (DirectForward<Bf16, float>{*c}, n, stream)
                 : launch (DirectForward<Bf16, Bf16>{*c}, n, stream);
}

extern "C" cudaError_t
tess_cuda_direct_data (const TessCudaDirect *c, cudaStream_t stream)
{
  int64_t n = c->n * c->fine[0] * c->fine[1] * c->fine[2] * c->fine_channels;

  if (!c->bf16)
    return launch (DirectData<float, float>{*c}, n, stream);
  return c->wide ? launch (DirectData<Bf16, float>{*c}, n, stream) : launch (DirectData<Bf16, Bf16>{*c}, n, stream);
}

extern "C" cudaError_t
tess_cuda_direct_weights (const TessCudaDirect *c, cudaStream_t stream)
{
  TakeWeights take;
  cudaError_t status;

  take.out = (float *)c->out;
  status = c->bf16
               ? sum_rows (DirectWeights<Bf16>{*c}, 1, rows_of (c), weights_of (c), c->scratch, stream, &take.sums)
               : sum_rows (DirectWeights<float>{*c}, 1, rows_of (c), weights_of (c), c->scratch, stream, &take.sums);
  return status != cudaSuccess ? status : launch (take, weights_of (c), stream);
}

extern "C" cudaError_t
tess_cuda_pack (int bf16, int64_t coarse, int64_t fine, int64_t kernel, const float *plain, void *packed,
                cudaStream_t stream)
{
  if (bf16)
    return launch (Pack<Bf16>{plain, (Bf16 *)packed, fine, kernel}, coarse * fine * kernel, stream);
  return launch (Pack<float>{plain, (float *)packed, fine, kernel}, coarse * fine * kernel, stream);
}

extern "C" cudaError_t
tess_cuda_unpack (int bf16, int64_t coarse, int64_t fine, int64_t kernel, const void *packed, float *plain,
                  cudaStream_t stream)
{
  if (bf16)
    return launch (Unpack<Bf16>{(const Bf16 *)packed, plain, fine, kernel}, coarse * fine * kernel, stream);
  return launch (Unpack<float>{(const float *)packed, plain, fine, kernel}, coarse * fine * kernel, stream);
}
