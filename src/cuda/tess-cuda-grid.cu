#include "tess-cuda-item.h"

/* Ops between grids. Backward every voxel collects what is its own, so that none is written twice. */

namespace
{

/* ---- means over windows */

template <class T> struct AvgPool {
  TessCudaGrid g;
  const T *x;
  T *y;

  ITEM void operator() (int64_t i) const
  {
    Place q = place_of (i, g.coarse, g.channels);
    float sum = 0;

    for (int d = 0; d < g.kernel[0]; d++)
      for (int h = 0; h < g.kernel[1]; h++)
        for (int w = 0; w < g.kernel[2]; w++)
          sum += get (x, q.c + index_of (q.n, q.p[0] * g.stride[0] + d, q.p[1] * g.stride[1] + h,
                                         q.p[2] * g.stride[2] + w, g.fine, g.channels));
    put (y, i, sum / (float)(g.kernel[0] * g.kernel[1] * g.kernel[2]));
  }
};

/* The windows [*from, *to] that hold fine voxel p along an axis. */
ITEM inline void
windows_of (const TessCudaGrid &g, int axis, int64_t p, int64_t *from, int64_t *to)
{
  int64_t late = p - g.kernel[axis] + 1;

  *from = late > 0 ? over (late + g.stride[axis] - 1, g.stride[axis]) : 0;
  *to = least (over (p, g.stride[axis]), g.coarse[axis] - 1);
}

template <class T> struct AvgPoolBackward {
  TessCudaGrid g;
  const T *dy;
  T *dx;

  ITEM void operator() (int64_t i) const
  {
    Place p = place_of (i, g.fine, g.channels);
    int64_t from[3], to[3];
    float sum = 0;

    for (int a = 0; a < 3; a++)
      windows_of (g, a, p.p[a], &from[a], &to[a]);
    for (int64_t d = from[0]; d <= to[0]; d++)
      for (int64_t h = from[1]; h <= to[1]; h++)
        for (int64_t w = from[2]; w <= to[2]; w++)
          sum += get (dy, p.c + index_of (p.n, d, h, w, g.coarse, g.channels));
    put (dx, i, sum / (float)(g.kernel[0] * g.kernel[1] * g.kernel[2]));
  }
};

/* ---- the largest of a window; windows do not overlap */

/* Index in x of the largest element of the window of coarse voxel (d, h, w), the first of equals. */
template <class T>
ITEM inline int64_t
window_best (const TessCudaGrid &g, const T *x, int64_t n, int64_t d, int64_t h, int64_t w, int64_t c)
{
  int64_t best = -1;
  float largest = 0;

  for (int z = 0; z < g.kernel[0]; z++)
    for (int y = 0; y < g.kernel[1]; y++)
      for (int v = 0; v < g.kernel[2]; v++) {
        int64_t i = c + index_of (n, d * g.kernel[0] + z, h * g.kernel[1] + y, w * g.kernel[2] + v, g.fine, g.channels);
        float value = get (x, i);

        if (best < 0 || value > largest) {
          largest = value;
          best = i;
        }
      }
  return best;
}

template <class T> struct MaxPool {
  TessCudaGrid g;
  const T *x;
  T *y;

  ITEM void operator() (int64_t i) const
  {
    Place q = place_of (i, g.coarse, g.channels);

    y[i] = x[window_best (g, x, q.n, q.p[0], q.p[1], q.p[2], q.c)];
  }
};

template <class T> struct MaxPoolBackward {
  TessCudaGrid g;
  const T *x, *dy;
  T *dx;

  ITEM void operator() (int64_t i) const
  {
    Place p = place_of (i, g.fine, g.channels);
    int64_t q[3];
    bool inside = true;

    for (int a = 0; a < 3; a++) {
      q[a] = over (p.p[a], g.kernel[a]);
      inside = inside && q[a] < g.coarse[a];
    }
    if (inside && window_best (g, x, p.n, q[0], q[1], q[2], p.c) == i)
      dx[i] = dy[p.c + index_of (p.n, q[0], q[1], q[2], g.coarse, g.channels)];
    else
      put (dx, i, 0.0f);
  }
};

/* ---- means over all voxels */

template <class T> struct SampleValue {
  const T *x;
  int64_t voxels, channels;

  ITEM void operator() (int64_t n, int64_t row, int64_t c, float *part) const
  {
    part[0] += get (x, (n * voxels + row) * channels + c);
  }
};

template <class T> struct TakeMeans {
  Sums<1> sums;
  T *out;
  double voxels;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, c = split (i, sums.columns, &n);

    put (out, i, (float)(sums.total (n, c, 0) / voxels));
  }
};

template <class T> struct SpreadMeans {
  const T *dy;
  T *dx;
  int64_t voxels, channels;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, channels, &row);

    put (dx, i, get (dy, over (row, voxels) * channels + c) / (float)voxels);
  }
};

int64_t
voxels_of (const int64_t grid[3])
{
  return grid[0] * grid[1] * grid[2];
}

template <class T>
cudaError_t
global_pool (const TessCudaGrid *g, const T *x, T *y, void *scratch, cudaStream_t stream)
{
  int64_t voxels = voxels_of (g->fine);
  SampleValue<T> value = {x, voxels, g->channels};
  TakeMeans<T> take;
  cudaError_t status;

  take.out = y;
  take.voxels = (double)voxels;
  status = sum_rows (value, g->n, voxels, g->channels, scratch, stream, &take.sums);
  return status != cudaSuccess ? status : launch (take, g->n * g->channels, stream);
}

/* ---- resizing */

/* Along an axis: the first of the two coarse voxels that fine voxel o lies between, and the share of the second. The
 * place is ((o + 0.5) coarse / fine - 0.5), exactly, in whole numbers. */
ITEM inline int64_t
source (int64_t o, int64_t coarse, int64_t fine, int linear, float *share)
{
  int64_t place, low, rest;

  *share = 0.0f;
  if (!linear)
    return over (o * coarse, fine);
  place = most ((2 * o + 1) * coarse - fine, 0);
  rest = split (place, 2 * fine, &low);
  *share = (float)rest / (float)(2 * fine);
  return low;
}

template <class T> struct Resize {
  TessCudaGrid g;
  const T *x;
  T *y;

  ITEM void operator() (int64_t i) const
  {
    Place o = place_of (i, g.fine, g.channels);
    int64_t low[3], high[3];
    float share[3], sum = 0;

    for (int a = 0; a < 3; a++) {
      low[a] = source (o.p[a], g.coarse[a], g.fine[a], g.linear, &share[a]);
      high[a] = least (low[a] + 1, g.coarse[a] - 1);
    }
    for (int e = 0; e < 8; e++) {
      int64_t d = (e & 4) != 0 ? high[0] : low[0], h = (e & 2) != 0 ? high[1] : low[1];
      int64_t w = (e & 1) != 0 ? high[2] : low[2];
      float weight = ((e & 4) != 0 ? share[0] : 1 - share[0]) * ((e & 2) != 0 ? share[1] : 1 - share[1]) *
                     ((e & 1) != 0 ? share[2] : 1 - share[2]);

      if (weight > 0)
        sum += weight * get (x, o.c + index_of (o.n, d, h, w, g.coarse, g.channels));
    }
    put (y, i, sum);
  }
};

/* Fine voxel o's weight on coarse voxel i. */
ITEM inline float
pull (int64_t o, int64_t i, int64_t coarse, int64_t fine, int linear)
{
  float share;
  int64_t low = source (o, coarse, fine, linear, &share), high = least (low + 1, coarse - 1);

  return (low == i ? 1 - share : 0) + (linear && high == i ? share : 0);
}

template <class T> struct ResizeBackward {
  TessCudaGrid g;
  const T *dy;
  T *dx;

  ITEM void operator() (int64_t i) const
  {
    Place q = place_of (i, g.coarse, g.channels);
    int64_t from[3], to[3];
    float sum = 0;

    /* Wider than the fine voxels that read this one; the others' weight is 0. */
    for (int a = 0; a < 3; a++) {
      from[a] = most (over (most (q.p[a] - 1, 0) * g.fine[a], g.coarse[a]) - 1, 0);
      to[a] = least (over ((q.p[a] + 2) * g.fine[a], g.coarse[a]) + 1, g.fine[a]);
    }
    for (int64_t d = from[0]; d < to[0]; d++) {
      float wd = pull (d, q.p[0], g.coarse[0], g.fine[0], g.linear);

      for (int64_t h = from[1]; wd > 0 && h < to[1]; h++) {
        float wh = wd * pull (h, q.p[1], g.coarse[1], g.fine[1], g.linear);

        for (int64_t w = from[2]; wh > 0 && w < to[2]; w++)
          sum += wh * pull (w, q.p[2], g.coarse[2], g.fine[2], g.linear) *
                 get (dy, q.c + index_of (q.n, d, h, w, g.fine, g.channels));
      }
    }
    put (dx, i, sum);
  }
};

/* ---- cutting and padding; labels */

/* V: what is as large as an element; its values do not matter. */
template <class V> struct Window {
  int64_t channels, from[3], to[3], start[3];
  const V *x;
  V *y;

  ITEM void operator() (int64_t i) const
  {
    Place o = place_of (i, to, channels);
    bool inside = true;

    for (int a = 0; a < 3; a++) {
      o.p[a] += start[a];
      inside = inside && o.p[a] >= 0 && o.p[a] < from[a];
    }
    y[i] = inside ? x[o.c + index_of (o.n, o.p[0], o.p[1], o.p[2], from, channels)] : (V)0;
  }
};

template <class V>
cudaError_t
window (int64_t n, int64_t channels, const int64_t from[3], const int64_t to[3], const int64_t start[3], const V *x,
        V *y, cudaStream_t stream)
{
  Window<V> item;

  item.channels = channels;
  item.x = x;
  item.y = y;
  memcpy (item.from, from, sizeof item.from);
  memcpy (item.to, to, sizeof item.to);
  memcpy (item.start, start, sizeof item.start);
  return launch (item, n * voxels_of (to) * channels, stream);
}

struct LabelResize {
  int64_t from[3], to[3];
  const uint8_t *x;
  uint8_t *y;

  ITEM void operator() (int64_t i) const
  {
    Place o = place_of (i, to, 1);
    int64_t p[3];

    for (int a = 0; a < 3; a++)
      p[a] = over ((2 * o.p[a] + 1) * from[a], 2 * to[a]);
    y[i] = x[index_of (o.n, p[0], p[1], p[2], from, 1)];
  }
};

int64_t
n_fine (const TessCudaGrid *g)
{
  return g->n * voxels_of (g->fine) * g->channels;
}

int64_t
n_coarse (const TessCudaGrid *g)
{
  return g->n * voxels_of (g->coarse) * g->channels;
}

} // namespace

extern "C" cudaError_t
tess_cuda_avg_pool (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream)
{
  if (g->bf16)
    return launch (AvgPool<Bf16>{*g, (const Bf16 *)x, (Bf16 *)y}, n_coarse (g), stream);
  return launch (AvgPool<float>{*g, (const float *)x, (float *)y}, n_coarse (g), stream);
}

extern "C" cudaError_t
tess_cuda_avg_pool_backward (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream)
{
  if (g->bf16)
    return launch (AvgPoolBackward<Bf16>{*g, (const Bf16 *)dy, (Bf16 *)dx}, n_fine (g), stream);
  return launch (AvgPoolBackward<float>{*g, (const float *)dy, (float *)dx}, n_fine (g), stream);
}

extern "C" cudaError_t
tess_cuda_max_pool (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream)
{
  if (g->bf16)
    return launch (MaxPool<Bf16>{*g, (const Bf16 *)x, (Bf16 *)y}, n_coarse (g), stream);
  return launch (MaxPool<float>{*g, (const float *)x, (float *)y}, n_coarse (g), stream);
}

extern "C" cudaError_t
tess_cuda_max_pool_backward (const TessCudaGrid *g, const void *x, const void *dy, void *dx, cudaStream_t stream)
{
  if (g->bf16)
    return launch (MaxPoolBackward<Bf16>{*g, (const Bf16 *)x, (const Bf16 *)dy, (Bf16 *)dx}, n_fine (g), stream);
  return launch (MaxPoolBackward<float>{*g, (const float *)x, (const float *)dy, (float *)dx}, n_fine (g), stream);
}

extern "C" cudaError_t
tess_cuda_global_pool (const TessCudaGrid *g, const void *x, void *y, void *scratch, cudaStream_t stream)
{
  return g->bf16 ? global_pool (g, (const Bf16 *)x, (Bf16 *)y, scratch, stream)
                 : global_pool (g, (const float *)x, (float *)y, scratch, stream);
}

extern "C" cudaError_t
tess_cuda_global_pool_backward (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream)
{
  int64_t voxels = voxels_of (g->fine);

  if (g->bf16)
    return launch (SpreadMeans<Bf16>{(const Bf16 *)dy, (Bf16 *)dx, voxels, g->channels}, n_fine (g), stream);
  return launch (SpreadMeans<float>{(const float *)dy, (float *)dx, voxels, g->channels}, n_fine (g), stream);
}

extern "C" cudaError_t
tess_cuda_resize (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream)
{
  if (g->bf16)
    return launch (Resize<Bf16>{*g, (const Bf16 *)x, (Bf16 *)y}, n_fine (g), stream);
  return launch (Resize<float>{*g, (const float *)x, (float *)y}, n_fine (g), stream);
}

extern "C" cudaError_t
tess_cuda_resize_backward (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream)
{
  if (g->bf16)
    return launch (ResizeBackward<Bf16>{*g, (const Bf16 *)dy, (Bf16 *)dx}, n_coarse (g), stream);
  return launch (ResizeBackward<float>{*g, (const float *)dy, (float *)dx}, n_coarse (g), stream);
}

extern "C" cudaError_t
tess_cuda_window (int size, int64_t n, int64_t channels, const int64_t from[3], const int64_t to[3],
                  const int64_t start[3], const void *x, void *y, cudaStream_t stream)
{
  if (size == 1)
    return window (n, channels, from, to, start, (const uint8_t *)x, (uint8_t *)y, stream);
  if (size == 2)
    return window (n, channels, from, to, start, (const uint16_t *)x, (uint16_t *)y, stream);
  return window (n, channels, from, to, start, (const uint32_t *)x, (uint32_t *)y, stream);
}

extern "C" cudaError_t
tess_cuda_label_resize (int64_t n, const int64_t from[3], const int64_t to[3], const uint8_t *x, uint8_t *y,
                        cudaStream_t stream)
{
  LabelResize item;

  item.x = x;
  item.y = y;
  memcpy (item.from, from, sizeof item.from);
  memcpy (item.to, to, sizeof item.to);
  return launch (item, n * voxels_of (to), stream);
}
