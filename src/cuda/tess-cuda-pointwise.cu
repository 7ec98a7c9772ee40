#include "tess-cuda-item.h"

#include "tess-chance.h"

/* Ops that take every element by itself. */

namespace
{

struct Cast {
  const float *x;
  Bf16 *y;

  ITEM void operator() (int64_t i) const
  {
    put (y, i, x[i]);
  }
};

template <class T> struct Leaky {
  const T *x;
  T *y;
  float slope;

  ITEM void operator() (int64_t i) const
  {
    put (y, i, leaky (get (x, i), slope));
  }
};

template <class T> struct LeakyBackward {
  const T *x, *dy;
  T *dx;
  float slope;

  ITEM void operator() (int64_t i) const
  {
    put (dx, i, get (dy, i) * (get (x, i) > 0.0f ? 1.0f : slope));
  }
};

template <class T> struct Add {
  const T *a, *b;
  T *y;
  float slope;

  ITEM void operator() (int64_t i) const
  {
    put (y, i, leaky (get (a, i) + get (b, i), slope));
  }
};

template <class T> struct Concat {
  const T *a, *b;
  T *y;
  int64_t ca, cb;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, ca + cb, &row);

    y[i] = c < ca ? a[row * ca + c] : b[row * cb + c - ca];
  }
};

template <class T> struct Split {
  const T *y;
  T *a, *b;
  int64_t ca, cb;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, ca + cb, &row);

    if (c < ca && a != nullptr)
      a[row * ca + c] = y[i];
    if (c >= ca && b != nullptr)
      b[row * cb + c - ca] = y[i];
  }
};

/* The values of TessActKind. */
enum { ACT_LEAKY_RELU, ACT_PRELU, ACT_GELU, ACT_SIGMOID, ACT_ELU };

ITEM inline float
act_value (int kind, float x, float alpha)
{
  switch (kind) {
  case ACT_GELU:
    return 0.5f * x * (1.0f + erff (x * 0.70710678f));
  case ACT_SIGMOID:
    return 1.0f / (1.0f + expf (-x));
  case ACT_ELU:
    return x > 0.0f ? x : expm1f (x);
  default:
    return x > 0.0f ? x : alpha * x;
  }
}

ITEM inline float
act_slope (int kind, float x, float alpha)
{
  float s;

  switch (kind) {
  case ACT_GELU:
    return 0.5f * (1.0f + erff (x * 0.70710678f)) + x * 0.39894228f * expf (-0.5f * x * x);
  case ACT_SIGMOID:
    s = 1.0f / (1.0f + expf (-x));
    return s * (1.0f - s);
  case ACT_ELU:
    return x > 0.0f ? 1.0f : expf (x);
  default:
    return x > 0.0f ? 1.0f : alpha;
  }
}

/* Forward where dy is NULL. */
template <class T> struct Act {
  int kind;
  const T *x, *dy;
  const float *alpha;
  T *out;
  int64_t channels;

  ITEM void operator() (int64_t i) const
  {
    int64_t row;
    float slope = alpha != nullptr ? alpha[split (i, channels, &row)] : 0.0f, v = get (x, i);

    put (out, i, dy != nullptr ? get (dy, i) * act_slope (kind, v, slope) : act_value (kind, v, slope));
  }
};

template <class T> struct ActAlpha {
  const T *x, *dy;
  int64_t channels;

  ITEM void operator() (int64_t, int64_t row, int64_t c, float *part) const
  {
    int64_t i = row * channels + c;
    float v = get (x, i);

    if (v <= 0.0f)
      part[0] += get (dy, i) * v;
  }
};

/* The only group's column sums as floats. */
struct TakeFloats {
  Sums<1> sums;
  float *out;

  ITEM void operator() (int64_t c) const
  {
    out[c] = (float)sums.total (0, c, 0);
  }
};

template <class T>
cudaError_t
act_backward (const TessCudaAct *a, cudaStream_t stream)
{
  cudaError_t status = cudaSuccess;

  if (a->dx != nullptr) {
    Act<T> item = {a->kind, (const T *)a->x, (const T *)a->dy, a->alpha, (T *)a->dx, a->channels};

    status = launch (item, a->rows * a->channels, stream);
  }
  if (a->dalpha != nullptr && status == cudaSuccess) {
    ActAlpha<T> value = {(const T *)a->x, (const T *)a->dy, a->channels};
    TakeFloats take;

    take.out = a->dalpha;
    status = sum_rows (value, 1, a->rows, a->channels, a->scratch, stream, &take.sums);
    if (status == cudaSuccess)
      status = launch (take, a->channels, stream);
  }
  return status;
}

/* The factor's element for row (over samples and voxels) and channel. */
ITEM inline int64_t
factor_at (const TessCudaMul &m, int64_t row, int64_t c)
{
  if (m.b_voxels == m.voxels)
    return m.b_channels == 1 ? row : row * m.channels + c;
  return over (row, m.voxels) * m.channels + c;
}

template <class T> struct Mul {
  TessCudaMul m;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, m.channels, &row);

    put ((T *)m.y, i, get ((const T *)m.a, i) * get ((const T *)m.b, factor_at (m, row, c)));
  }
};

template <class T> struct MulBackward {
  TessCudaMul m;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, m.channels, &row);
    float dy = get ((const T *)m.dy, i);

    if (m.da != nullptr)
      put ((T *)m.da, i, dy * get ((const T *)m.b, factor_at (m, row, c)));
    if (m.db != nullptr && m.b_voxels == m.voxels && m.b_channels == m.channels)
      put ((T *)m.db, i, dy * get ((const T *)m.a, i));
  }
};

/* One factor a voxel: the gradient is a sum over its channels. */
template <class T> struct MulVoxel {
  TessCudaMul m;

  ITEM void operator() (int64_t row) const
  {
    float sum = 0;

    for (int64_t i = row * m.channels; i < (row + 1) * m.channels; i++)
      sum += get ((const T *)m.dy, i) * get ((const T *)m.a, i);
    put ((T *)m.db, row, sum);
  }
};

template <class T> struct MulChannel {
  TessCudaMul m;

  ITEM void operator() (int64_t n, int64_t row, int64_t c, float *part) const
  {
    int64_t i = (n * m.voxels + row) * m.channels + c;

    part[0] += get ((const T *)m.dy, i) * get ((const T *)m.a, i);
  }
};

template <class T> struct TakeChannels {
  Sums<1> sums;
  T *out;
  double factor;

  ITEM void operator() (int64_t i) const
  {
    int64_t n, c = split (i, sums.columns, &n);

    put (out, i, (float)(sums.total (n, c, 0) * factor));
  }
};

template <class T>
cudaError_t
mul_backward (const TessCudaMul *m, cudaStream_t stream)
{
  MulBackward<T> item = {*m};
  bool channel = m->b_voxels != m->voxels, voxel = !channel && m->b_channels != m->channels;
  cudaError_t status = launch (item, m->n * m->voxels * m->channels, stream);

  if (status != cudaSuccess || m->db == nullptr)
    return status;
  if (voxel)
    return launch (MulVoxel<T>{*m}, m->n * m->voxels, stream);
  if (channel) {
    TakeChannels<T> take;

    take.out = (T *)m->db;
    take.factor = 1;
    status = sum_rows (MulChannel<T>{*m}, m->n, m->voxels, m->channels, m->scratch, stream, &take.sums);
    return status != cudaSuccess ? status : launch (take, m->n * m->channels, stream);
  }
  return status;
}

template <class T> struct Dropout {
  TessCudaChance d;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, d.channels, &row);
    float factor = tess_chance_factor (d.args->seed, d.args->step, over (row, d.voxels) + d.args->rank * d.n, d.stream,
                                       c, d.amount);

    put ((T *)d.y, i, get ((const T *)d.x, i) * factor);
  }
};

/* Two elements of a sample at once, as they are drawn. */
template <class T> struct Noise {
  TessCudaChance d;

  ITEM void operator() (int64_t i) const
  {
    int64_t all = d.voxels * d.channels, sample, pair = split (i, (all + 1) / 2, &sample);
    float normals[2];

    tess_chance_normals (d.args->seed, d.args->step, sample + d.args->rank * d.n, d.stream, pair, normals);
    for (int64_t k = 2 * pair; k < all && k < 2 * pair + 2; k++)
      put ((T *)d.y, sample * all + k, get ((const T *)d.x, sample * all + k) + d.amount * normals[k - 2 * pair]);
  }
};

template <class T>
cudaError_t
chance (const TessCudaChance *d, cudaStream_t stream)
{
  int64_t all = d->voxels * d->channels;

  return d->noise ? launch (Noise<T>{*d}, d->n * ((all + 1) / 2), stream) : launch (Dropout<T>{*d}, d->n * all, stream);
}

template <class T> struct ColumnValue {
  const T *x;
  int64_t channels;

  ITEM void operator() (int64_t, int64_t row, int64_t c, float *part) const
  {
    part[0] += get (x, row * channels + c);
  }
};

template <class T> struct AddBias {
  T *y;
  const float *bias;
  int64_t channels;

  ITEM void operator() (int64_t i) const
  {
    int64_t row, c = split (i, channels, &row);

    put (y, i, get (y, i) + bias[c]);
  }
};

template <class T>
cudaError_t
column_sums (int64_t rows, int64_t channels, const T *x, float *sums, void *scratch, cudaStream_t stream)
{
  TakeFloats take;
  cudaError_t status;

  take.out = sums;
  status = sum_rows (ColumnValue<T>{x, channels}, 1, rows, channels, scratch, stream, &take.sums);
  return status != cudaSuccess ? status : launch (take, channels, stream);
}

} // namespace

extern "C" size_t
tess_cuda_sums_scratch (int64_t groups, int64_t rows, int64_t columns, int values)
{
  return sum_plan (groups, rows, columns).doubles * (size_t)values * sizeof (double);
}

extern "C" cudaError_t
tess_cuda_cast (int64_t n, const float *x, void *y, cudaStream_t stream)
{
  return launch (Cast{x, (Bf16 *)y}, n, stream);
}

extern "C" cudaError_t
tess_cuda_leaky (int bf16, int64_t n, const void *x, float slope, void *y, cudaStream_t stream)
{
  if (bf16)
    return launch (Leaky<Bf16>{(const Bf16 *)x, (Bf16 *)y, slope}, n, stream);
  return launch (Leaky<float>{(const float *)x, (float *)y, slope}, n, stream);
}

extern "C" cudaError_t
tess_cuda_leaky_backward (int bf16, int64_t n, const void *x, const void *dy, float slope, void *dx,
                          cudaStream_t stream)
{
  if (bf16)
    return launch (LeakyBackward<Bf16>{(const Bf16 *)x, (const Bf16 *)dy, (Bf16 *)dx, slope}, n, stream);
  return launch (LeakyBackward<float>{(const float *)x, (const float *)dy, (float *)dx, slope}, n, stream);
}

extern "C" cudaError_t
tess_cuda_add (int bf16, int64_t n, const void *a, const void *b, float slope, void *y, cudaStream_t stream)
{
  if (bf16)
    return launch (Add<Bf16>{(const Bf16 *)a, (const Bf16 *)b, (Bf16 *)y, slope}, n, stream);
  return launch (Add<float>{(const float *)a, (const float *)b, (float *)y, slope}, n, stream);
}

extern "C" cudaError_t
tess_cuda_concat (int bf16, int64_t rows, int64_t ca, int64_t cb, const void *a, const void *b, void *y,
                  cudaStream_t stream)
{
  if (bf16)
    return launch (Concat<Bf16>{(const Bf16 *)a, (const Bf16 *)b, (Bf16 *)y, ca, cb}, rows * (ca + cb), stream);
  return launch (Concat<float>{(const float *)a, (const float *)b, (float *)y, ca, cb}, rows * (ca + cb), stream);
}

extern "C" cudaError_t
tess_cuda_split (int bf16, int64_t rows, int64_t ca, int64_t cb, const void *y, void *a, void *b, cudaStream_t stream)
{
  if (bf16)
    return launch (Split<Bf16>{(const Bf16 *)y, (Bf16 *)a, (Bf16 *)b, ca, cb}, rows * (ca + cb), stream);
  return launch (Split<float>{(const float *)y, (float *)a, (float *)b, ca, cb}, rows * (ca + cb), stream);
}

extern "C" cudaError_t
tess_cuda_act (const TessCudaAct *a, cudaStream_t stream)
{
  int64_t n = a->rows * a->channels;

  if (a->bf16)
    return launch (Act<Bf16>{a->kind, (const Bf16 *)a->x, nullptr, a->alpha, (Bf16 *)a->y, a->channels}, n, stream);
  return launch (Act<float>{a->kind, (const float *)a->x, nullptr, a->alpha, (float *)a->y, a->channels}, n, stream);
}

extern "C" cudaError_t
tess_cuda_act_backward (const TessCudaAct *a, cudaStream_t stream)
{
  return a->bf16 ? act_backward<Bf16> (a, stream) : act_backward<float> (a, stream);
}

extern "C" cudaError_t
tess_cuda_mul (const TessCudaMul *a, cudaStream_t stream)
{
  int64_t n = a->n * a->voxels * a->channels;

  return a->bf16 ? launch (Mul<Bf16>{*a}, n, stream) : launch (Mul<float>{*a}, n, stream);
}

extern "C" cudaError_t
tess_cuda_mul_backward (const TessCudaMul *a, cudaStream_t stream)
{
  return a->bf16 ? mul_backward<Bf16> (a, stream) : mul_backward<float> (a, stream);
}

extern "C" cudaError_t
tess_cuda_chance (const TessCudaChance *a, cudaStream_t stream)
{
  return a->bf16 ? chance<Bf16> (a, stream) : chance<float> (a, stream);
}

extern "C" cudaError_t
tess_cuda_add_bias (int bf16, int64_t rows, int64_t channels, const float *bias, void *y, cudaStream_t stream)
{
  if (bf16)
    return launch (AddBias<Bf16>{(Bf16 *)y, bias, channels}, rows * channels, stream);
  return launch (AddBias<float>{(float *)y, bias, channels}, rows * channels, stream);
}

extern "C" cudaError_t
tess_cuda_column_sums (int bf16, int64_t rows, int64_t channels, const void *x, float *sums, void *scratch,
                       cudaStream_t stream)
{
  if (bf16)
    return column_sums (rows, channels, (const Bf16 *)x, sums, scratch, stream);
  return column_sums (rows, channels, (const float *)x, sums, scratch, stream);
}
