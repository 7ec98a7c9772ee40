#include "tess-cuda-item.h"

/* What augmentation does to the values of a patch that lies on the device (tess-intensity.h), to the processor's bits. */

namespace
{

/* A channel of the patch, or a copy of one. */
struct Plane {
  float *p;
  int64_t step;

  ITEM float &operator[] (int64_t i) const { return p[i * step]; }
};

struct AddNoise {
  TessNoiseKey key;
  int channel;
  float level;
  int64_t n;
  Plane x;

  ITEM void operator() (int64_t four) const
  {
    float normals[4];

    tess_intensity_noise (&key, channel, four, normals);
    for (int64_t i = 0; i < 4 && 4 * four + i < n; i++)
      x[4 * four + i] = tess_step_f (normals[i], level, x[4 * four + i]);
  }
};

/* Along one axis; voxels of it lie `stride` apart. */
struct Blur {
  Plane from, to;
  int64_t stride, size;
  int radius;
  float tap[TESS_BLUR_MAX_RADIUS + 1];

  ITEM void operator() (int64_t i) const
  {
    int64_t rest, at = split (over (i, stride), size, &rest), base = i - at * stride;
    float sum = tess_times_f (tap[radius], from[base + tess_mirrored_index (at - radius, size) * stride]);

    for (int t = 1 - radius; t <= radius; t++)
      sum = tess_step_f (tap[t < 0 ? -t : t], from[base + tess_mirrored_index (at + t, size) * stride], sum);
    to[i] = sum;
  }
};

struct Copy {
  Plane from, to;

  ITEM void operator() (int64_t i) const { to[i] = from[i]; }
};

struct Multiply {
  Plane x;
  float factor;

  ITEM void operator() (int64_t i) const { x[i] = tess_times_f (x[i], factor); }
};

struct Coarsen {
  Plane from, to;
  int64_t size[3], coarse[3];

  ITEM void operator() (int64_t i) const
  {
    int64_t z, xi = split (i, size[0], &z), yi = split (z, size[1], &z);
    TessCoarseCell cx = tess_coarse_cell (xi, size[0], coarse[0]), cy = tess_coarse_cell (yi, size[1], coarse[1]);
    TessCoarseCell cz = tess_coarse_cell (z, size[2], coarse[2]);
    float v[4];

    for (int k = 0; k < 4; k++) {
      int64_t row = ((k & 2 ? cz.hi : cz.lo) * size[1] + (k & 1 ? cy.hi : cy.lo)) * size[0];

      v[k] = between (from[row + cx.lo], from[row + cx.hi], cx.f);
    }
    to[i] = between (between (v[0], v[1], cy.f), between (v[2], v[3], cy.f), cz.f);
  }
};

struct SumLane {
  Plane x;
  int64_t n;
  TessIntensitySums *lanes;

  ITEM void operator() (int64_t lane) const
  {
    TessIntensitySums s = tess_intensity_sums_none ();

    for (int64_t i = lane; i < n; i += TESS_INTENSITY_LANES) {
      float v = x[i];
      TessIntensitySums one = {(double)v, tess_times_d (v, v), v, v};

      tess_intensity_sums_join (&s, &one);
    }
    lanes[lane] = s;
  }
};

struct FoldLanes {
  const TessIntensitySums *lanes;
  TessIntensitySums *folds;

  ITEM void operator() (int64_t fold) const
  {
    TessIntensitySums s = tess_intensity_sums_none ();

    for (int64_t l = fold; l < TESS_INTENSITY_LANES; l += TESS_INTENSITY_FOLDS)
      tess_intensity_sums_join (&s, &lanes[l]);
    folds[fold] = s;
  }
};

struct TakeStats {
  const TessIntensitySums *folds;
  int64_t n;
  TessIntensityStats *stats;

  ITEM void operator() (int64_t) const
  {
    TessIntensitySums s = tess_intensity_sums_none ();

    for (int f = 0; f < TESS_INTENSITY_FOLDS; f++)
      tess_intensity_sums_join (&s, &folds[f]);
    *stats = tess_intensity_stats (&s, n);
  }
};

struct Contrast {
  Plane x;
  float factor;
  const TessIntensityStats *stats;

  ITEM void operator() (int64_t i) const { x[i] = tess_intensity_contrast (x[i], factor, stats); }
};

struct Bend {
  Plane x;
  float exponent, sign;
  const TessIntensityStats *stats;

  ITEM void operator() (int64_t i) const { x[i] = tess_intensity_gamma (x[i], exponent, sign, stats); }
};

struct Restore {
  Plane x;
  float sign;
  const TessIntensityStats *before, *now;

  ITEM void operator() (int64_t i) const { x[i] = tess_intensity_restore (x[i], sign, before, now); }
};

/* One channel on its way; the first failing launch ends it. */
struct ChannelWork {
  int64_t size[3], n;
  Plane x, room[2];
  TessIntensitySums *lanes, *folds;
  TessIntensityStats *before, *now;
  cudaStream_t stream;
  cudaError_t status;

  template <class F> void go (const F &item, int64_t items)
  {
    if (status == cudaSuccess)
      status = launch (item, items, stream);
  }

  /* From x through the rooms, and back into it along the last axis there is. */
  void blur (const TessIntensityChannel *c)
  {
    int n_axes = (c->blur_radius[0] > 0) + (c->blur_radius[1] > 0) + (c->blur_radius[2] > 0), done = 0;
    int64_t stride = 1;
    Plane from = x;

    if (n_axes == 1) {
      go (Copy{x, room[0]}, n);
      from = room[0];
    }
    for (int a = 0; a < 3; stride *= size[a++]) {
      Blur b = {from, done + 1 < n_axes ? room[done & 1] : x, stride, size[a], c->blur_radius[a], {}};

      if (b.radius == 0)
        continue;
      memcpy (b.tap, c->blur[a], sizeof b.tap);
      go (b, n);
      from = b.to;
      done++;
    }
  }

  void coarsen (const TessIntensityChannel *c)
  {
    Coarsen k = {room[0], x, {size[0], size[1], size[2]}, {c->coarse[0], c->coarse[1], c->coarse[2]}};

    go (Copy{x, room[0]}, n);
    go (k, n);
  }

  void take (TessIntensityStats *stats)
  {
    go (SumLane{x, n, lanes}, TESS_INTENSITY_LANES);
    go (FoldLanes{lanes, folds}, TESS_INTENSITY_FOLDS);
    go (TakeStats{folds, n, stats}, 1);
  }

  void bend (float exponent, float sign)
  {
    take (before);
    go (Bend{x, exponent, sign, before}, n);
    take (now);
    go (Restore{x, sign, before, now}, n);
  }

  void all (const TessIntensity *a, int channel)
  {
    const TessIntensityChannel *c = &a->channel[channel];

    if (c->noise > 0.0f)
      go (AddNoise{a->noise_key, channel, c->noise, n, x}, (n + 3) / 4);
    blur (c);
    if (c->brightness != 1.0f)
      go (Multiply{x, c->brightness}, n);
    if (c->contrast != 1.0f) {
      take (before);
      go (Contrast{x, c->contrast, before}, n);
    }
    if (c->coarse[0] > 0)
      coarsen (c);
    if (c->gamma_inverted > 0.0f)
      bend (c->gamma_inverted, -1.0f);
    if (c->gamma > 0.0f)
      bend (c->gamma, 1.0f);
  }
};

} // namespace

extern "C" cudaError_t
tess_cuda_intensity (const TessIntensity *a, const int64_t size[3], int n_channels, float *image, void *scratch,
                     cudaStream_t stream)
{
  ChannelWork w = {};

  memcpy (w.size, size, sizeof w.size);
  w.n = size[0] * size[1] * size[2];
  w.stream = stream;
  w.status = cudaSuccess;
  w.room[0] = Plane{(float *)scratch, 1};
  w.room[1] = Plane{w.room[0].p + w.n, 1};
  w.lanes = (TessIntensitySums *)(void *)(w.room[0].p + 2 * (w.n + w.n % 2));
  w.folds = w.lanes + TESS_INTENSITY_LANES;
  w.before = (TessIntensityStats *)(void *)(w.folds + TESS_INTENSITY_FOLDS);
  w.now = w.before + 1;
  for (int c = 0; c < n_channels; c++) {
    w.x = Plane{image + c, n_channels};
    w.all (a, c);
  }
  return w.status;
}
