#include "tess-cuda-item.h"

/* The band of sums that tiles of logits are added to, and labels out of it (tess-device-data.h). Every voxel's sum is
 * one item's, and nothing is fused, so that the bits are those of the processor. */

namespace
{

/* First voxel of a row of the grid, counted in voxels of the ring. */
ITEM inline int64_t
row_of (const TessCudaBand &b, int64_t y, int64_t z)
{
  return ((z - over (z, b.n_slots) * b.n_slots) * b.dim[1] + y) * b.dim[0];
}

/* An element of the part of the tile that lies in the grid. */
struct BandAdd {
  TessCudaBand b;
  TessCudaBandTile t;

  ITEM void operator() (int64_t i) const
  {
    int64_t c = split (i, b.channels, &i), p[3], from, to;
    float w, *weight;

    p[0] = t.lo[0] + split (i, t.n[0], &i);
    p[1] = t.lo[1] + split (i, t.n[1], &i);
    p[2] = t.lo[2] + i;
    to = row_of (b, p[1], p[2]) + p[0];
    for (int a = 0; a < 3; a++)
      p[a] -= t.origin[a];
    w = t.weights != NULL ? t.weights[(p[2] * t.size[1] + p[1]) * t.size[0] + p[0]] : 1.0f;
    for (int a = 0; a < 3; a++)
      p[a] = t.mirrored >> a & 1 ? t.size[a] - 1 - p[a] : p[a];
    from = (p[2] * t.size[1] + p[1]) * t.size[0] + p[0];
    weight = b.weight + to;
    if (c == 0)
      *weight = plus (*weight, w);
    from = from * b.channels + c;
    to = to * b.channels + c;
    b.sum[to] = plus (b.sum[to], times (w, t.logits[from]));
  }
};

struct BandMean {
  TessCudaBand b;
  int64_t z0;

  ITEM void operator() (int64_t i) const
  {
    int64_t c = split (i, b.channels, &i), x = split (i, b.dim[0], &i), y = split (i, b.dim[1], &i);
    int64_t at = row_of (b, y, z0 + i) + x;
    float scale = b.weight[at] > 0.0f ? 1.0f / b.weight[at] : 0.0f;

    at = at * b.channels + c;
    b.sum[at] = times (b.sum[at], scale);
  }
};

/* Trilinear, in the processor's order: y, z, x. */
struct Mean {
  const float *p[8]; /* x fastest, then y, then z */
  float f[3];

  ITEM float get (int64_t c) const
  {
    float low = between (between (p[0][c], p[2][c], f[1]), between (p[4][c], p[6][c], f[1]), f[2]);
    float high = between (between (p[1][c], p[3][c], f[1]), between (p[5][c], p[7][c], f[1]), f[2]);

    return between (low, high, f[0]);
  }
};

struct PlainMean {
  const float *p;

  ITEM float get (int64_t c) const
  {
    return p[c];
  }
};

template <class M>
ITEM inline uint8_t
label_of (const TessCudaBandLabels &l, int64_t channels, const M &mean)
{
  uint8_t label = 0;
  float largest = mean.get (0);

  if (l.paints) {
    for (int64_t c = 0; c < channels; c++)
      label = mean.get (c) > 0.0f ? l.paint[c] : label;
    return label;
  }
  for (int64_t c = 1; c < channels; c++) {
    float value = mean.get (c);

    if (value > largest) {
      largest = value;
      label = (uint8_t)c;
    }
  }
  return label;
}

struct BandLabels {
  TessCudaBand b;
  TessCudaBandLabels l;

  ITEM void operator() (int64_t i) const
  {
    int64_t at = i, x = split (i, l.dim[0], &i), y = split (i, l.dim[1], &i), z = l.z0 + i;

    if (l.position[0] == NULL) {
      l.labels[at] = label_of (l, b.channels, PlainMean{b.sum + (row_of (b, y, z) + x) * b.channels});
      return;
    }
    const TessCudaPosition px = l.position[0][x], py = l.position[1][y], pz = l.position[2][z];
    const int64_t rows[4] = {row_of (b, py.lo, pz.lo), row_of (b, py.hi, pz.lo), row_of (b, py.lo, pz.hi),
                             row_of (b, py.hi, pz.hi)};
    Mean mean = {{}, {px.f, py.f, pz.f}};

    for (int k = 0; k < 8; k++)
      mean.p[k] = b.sum + (rows[k >> 1] + (k & 1 ? px.hi : px.lo)) * b.channels;
    l.labels[at] = label_of (l, b.channels, mean);
  }
};

} // namespace

extern "C" cudaError_t
tess_cuda_band_sum (const TessCudaBand *b, const TessCudaBandTile *t, cudaStream_t stream)
{
  return launch (BandAdd{*b, *t}, t->n[0] * t->n[1] * t->n[2] * b->channels, stream);
}

extern "C" cudaError_t
tess_cuda_band_divide (const TessCudaBand *b, int64_t z0, int64_t z1, cudaStream_t stream)
{
  return launch (BandMean{*b, z0}, (z1 - z0) * b->dim[1] * b->dim[0] * b->channels, stream);
}

extern "C" cudaError_t
tess_cuda_band_label (const TessCudaBand *b, const TessCudaBandLabels *l, cudaStream_t stream)
{
  return launch (BandLabels{*b, *l}, l->n * l->dim[1] * l->dim[0], stream);
}
