#include "tess-cuda-item.h"

/* A patch out of native voxels (tess-device-data.h): as the sampler on the processor (augment), normalise each voxel,
 * then interpolate; labels by the interpolated indicator of each. Nothing is fused, so that the bits are the same. */

namespace
{

ITEM inline float
half_value (uint16_t h)
{
  uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, mantissa = h & 0x3ffu, bits;
  float value;

  if (exponent == 0) {
    value = times ((float)mantissa, 1.0f / 16777216.0f);
    return sign ? -value : value;
  }
  bits = sign | (exponent == 0x1fu ? 0x7f800000u : (exponent + 112u) << 23) | (mantissa << 13);
  memcpy (&value, &bits, sizeof value);
  return value;
}

/* The real value, rounded to float once. */
template <class T>
ITEM inline float
scaled (const TessCudaSampleChannel &c, T stored)
{
  return c.slope == 1.0 && c.intercept == 0.0 ? (float)stored
                                              : (float)plus (times (c.slope, (double)stored), c.intercept);
}

ITEM inline float
real_value (const TessCudaSampleChannel &c, int64_t i)
{
  switch (c.kind) {
  case TESS_CUDA_U8:
    return scaled (c, ((const uint8_t *)c.voxels)[i]);
  case TESS_CUDA_I8:
    return scaled (c, ((const int8_t *)c.voxels)[i]);
  case TESS_CUDA_U16:
    return scaled (c, ((const uint16_t *)c.voxels)[i]);
  case TESS_CUDA_I16:
    return scaled (c, ((const int16_t *)c.voxels)[i]);
  case TESS_CUDA_U32:
    return scaled (c, ((const uint32_t *)c.voxels)[i]);
  case TESS_CUDA_I32:
    return scaled (c, ((const int32_t *)c.voxels)[i]);
  case TESS_CUDA_U64:
    return scaled (c, ((const uint64_t *)c.voxels)[i]);
  case TESS_CUDA_I64:
    return scaled (c, ((const int64_t *)c.voxels)[i]);
  case TESS_CUDA_F32:
    return scaled (c, ((const float *)c.voxels)[i]);
  case TESS_CUDA_F64:
    return scaled (c, ((const double *)c.voxels)[i]);
  case TESS_CUDA_F16:
    return scaled (c, half_value (((const uint16_t *)c.voxels)[i]));
  default:
    return scaled (c, get ((const Bf16 *)c.voxels, i));
  }
}

/* + 0 turns -0 into 0, as on the processor. */
ITEM inline float
normal_value (const TessCudaSampleChannel &c, int64_t i)
{
  float v = real_value (c, i);

  if (!(fabsf (v) <= 3.402823466e+38f))
    return 0.0f;
  v = v < c.lower ? c.lower : v > c.upper ? c.upper : v;
  return plus (times (minus (v, c.shift), c.scale), 0.0f);
}

/* The eight voxels around a place: where they are (-1: outside, where the image is 0 and the label background), x
 * fastest, and how far between them it is. */
struct Cell {
  int64_t at[8];
  float f[3];
};

ITEM inline Cell
cell_of (const TessCudaSample &s, int64_t x, int64_t y, int64_t z)
{
  int64_t low[3], stride[3] = {1, s.dim[0], s.dim[0] * s.dim[1]};
  Cell cell;

  for (int a = 0; a < 3; a++) {
    const double *m = s.map[a];
    double base = plus (plus (times (m[1], (double)y), times (m[2], (double)z)), m[3]);
    double p = plus (times (m[0], (double)x), base), top = (double)s.dim[a];

    /* Beyond -1 and dim everything is outside, as at -1 and dim themselves. */
    p = p < -1.0 ? -1.0 : p;
    p = p > top ? top : p;
    low[a] = (int64_t)plus (p, 1.0) - 1;
    cell.f[a] = (float)plus (p, -(double)low[a]);
  }
  for (int k = 0; k < 8; k++) {
    cell.at[k] = 0;
    for (int a = 0; a < 3; a++) {
      int64_t i = low[a] + (k >> a & 1);

      if (i < 0 || i >= s.dim[a])
        cell.at[k] = -1;
      else if (cell.at[k] >= 0)
        cell.at[k] += i * stride[a];
    }
  }
  return cell;
}

ITEM inline float
interpolate (const TessCudaSampleChannel &c, const Cell &cell)
{
  float v[8];

  for (int k = 0; k < 8; k++)
    v[k] = cell.at[k] < 0 ? 0.0f : normal_value (c, cell.at[k]);
  for (int k = 0; k < 4; k++)
    v[k] = between (v[2 * k], v[2 * k + 1], cell.f[0]);
  return between (between (v[0], v[1], cell.f[1]), between (v[2], v[3], cell.f[1]), cell.f[2]);
}

/* The label whose indicator, interpolated linearly, is largest; the lower one of equals. */
ITEM inline uint8_t
vote (const uint8_t *labels, const Cell &cell)
{
  double weight[8], largest = -1.0;
  uint8_t label[8], winner = 0;
  bool same = true;

  for (int k = 0; k < 8; k++) {
    double w[3];

    label[k] = cell.at[k] < 0 ? 0 : labels[cell.at[k]];
    same = same && label[k] == label[0];
    for (int a = 0; a < 3; a++)
      w[a] = k >> a & 1 ? (double)cell.f[a] : plus (1.0, -(double)cell.f[a]);
    weight[k] = times (times (w[0], w[1]), w[2]);
  }
  if (same)
    return label[0];
  for (int k = 0; k < 8; k++) {
    double sum = 0.0;

    for (int j = 0; j < 8; j++)
      if (label[j] == label[k])
        sum = plus (sum, weight[j]);
    if (sum > largest || (sum == largest && label[k] < winner)) {
      largest = sum;
      winner = label[k];
    }
  }
  return winner;
}

/* A voxel of the patch. */
struct Sample {
  TessCudaSample s;

  ITEM void operator() (int64_t i) const
  {
    int64_t z, x = split (i, s.size[0], &z), y = split (z, s.size[1], &z);
    Cell cell = cell_of (s, x, y, z);

    for (int c = 0; c < s.n_channels; c++)
      s.image[i * s.n_channels + c] = interpolate (s.channel[c], cell);
    if (s.label != NULL)
      s.label[i] = vote (s.labels, cell);
  }
};

} // namespace

extern "C" cudaError_t
tess_cuda_sample_patch (const TessCudaSample *s, cudaStream_t stream)
{
  return launch (Sample{*s}, s->size[0] * s->size[1] * s->size[2], stream);
}
