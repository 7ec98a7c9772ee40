#include "tess-chance.h"
#include "tess-cpu-vector.h"

#include <math.h>

/* Ops of networks beside nnU-Net's. Work is cut by rows of the result or blocks of voxels, and sums are added in block
 * order, so that nothing depends on the number of threads. */

#define BLOCK TESS_CPU_EXTRA_BLOCK

void TESS_KERNEL (extra) (const TessCpuExtra *a);

ALWAYS_INLINE float
act_value (TessActKind kind, float x, float alpha)
{
  switch (kind) {
  case TESS_ACT_GELU:
    return 0.5f * x * (1.0f + erff (x * 0.70710678f));
  case TESS_ACT_SIGMOID:
    return 1.0f / (1.0f + expf (-x));
  case TESS_ACT_ELU:
    return x > 0 ? x : expm1f (x);
  default:
    return x > 0 ? x : alpha * x;
  }
}

ALWAYS_INLINE float
act_slope (TessActKind kind, float x, float alpha)
{
  float s;

  switch (kind) {
  case TESS_ACT_GELU:
    return 0.5f * (1.0f + erff (x * 0.70710678f)) + x * 0.39894228f * expf (-0.5f * x * x);
  case TESS_ACT_SIGMOID:
    s = 1.0f / (1.0f + expf (-x));
    return s * (1.0f - s);
  case TESS_ACT_ELU:
    return x > 0 ? 1.0f : expf (x);
  default:
    return x > 0 ? 1.0f : alpha;
  }
}

/* partial {n_blocks, C} of one sample, or of the batch as one, into sums {C}. */
static void
add_blocks (const double *partial, gsize n_blocks, gsize channels, double *sums)
{
  memset (sums, 0, channels * sizeof *sums);
  for (gsize b = 0; b < n_blocks; b++)
    for (gsize c = 0; c < channels; c++)
      sums[c] += partial[b * channels + c];
}

ALWAYS_INLINE void
run_act (const TessCpuExtra *a, gboolean backward, gboolean bf16)
{
  gsize rows = a->n * a->voxels, n_blocks = (rows + BLOCK - 1) / BLOCK, c_n = a->channels;
  const float *alpha = a->b;
  double *partial = a->scratch;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (rows * c_n > SMALL)
  for (gsize block = 0; block < n_blocks; block++) {
    double *sums = partial + block * c_n;
    gsize end = MIN (rows, (block + 1) * BLOCK);

    if (a->db != NULL)
      memset (sums, 0, c_n * sizeof *sums);
    for (gsize r = block * BLOCK; r < end; r++)
      for (gsize c = 0; c < c_n; c++) {
        gsize i = r * c_n + c;
        float x = s_get (a->x, i, bf16), slope = alpha != NULL ? alpha[c] : 0.0f;

        if (!backward) {
          s_put (a->y, i, act_value (a->act, x, slope), bf16);
          continue;
        }
        if (a->dx != NULL)
          s_put (a->dx, i, s_get (a->dy, i, bf16) * act_slope (a->act, x, slope), bf16);
        if (a->db != NULL && x <= 0)
          sums[c] += (double)s_get (a->dy, i, bf16) * (double)x;
      }
  }
  if (a->db != NULL) {
    double *sums = partial + n_blocks * c_n;

    add_blocks (partial, n_blocks, c_n, sums);
    for (gsize c = 0; c < c_n; c++)
      ((float *)a->db)[c] = (float)sums[c];
  }
}

/* b_voxels: voxels of the factor (1 or all); b_channels: its channels (1 or all). */
ALWAYS_INLINE gsize
factor_at (const TessCpuExtra *a, gsize n, gsize v, gsize c)
{
  if (a->b_voxels == a->voxels)
    return a->b_channels == 1 ? n * a->voxels + v : (n * a->voxels + v) * a->channels + c;
  return n * a->channels + c;
}

ALWAYS_INLINE void
run_mul (const TessCpuExtra *a, gboolean backward, gboolean bf16)
{
  gsize blocks = (a->voxels + BLOCK - 1) / BLOCK, c_n = a->channels, n_items = a->n * blocks;
  gboolean pooled = a->b_voxels != a->voxels;
  double *partial = a->scratch;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize item = 0; item < n_items; item++) {
    gsize n = item / blocks, first = item % blocks * BLOCK, end = MIN (a->voxels, first + BLOCK);
    double *sums = partial + item * c_n;

    if (backward && pooled)
      memset (sums, 0, c_n * sizeof *sums);
    for (gsize v = first; v < end; v++) {
      double sum = 0;

      for (gsize c = 0; c < c_n; c++) {
        gsize i = (n * a->voxels + v) * c_n + c;
        float x = s_get (a->x, i, bf16), y = s_get (a->b, factor_at (a, n, v, c), bf16), dy;

        if (!backward) {
          s_put (a->y, i, x * y, bf16);
          continue;
        }
        dy = s_get (a->dy, i, bf16);
        if (a->dx != NULL)
          s_put (a->dx, i, dy * y, bf16);
        if (pooled)
          sums[c] += (double)dy * (double)x;
        else if (a->b_channels == 1)
          sum += (double)dy * (double)x;
        else if (a->db != NULL)
          s_put (a->db, i, dy * x, bf16);
      }
      if (backward && !pooled && a->b_channels == 1 && a->db != NULL)
        s_put (a->db, n * a->voxels + v, (float)sum, bf16);
    }
  }
  for (gsize n = 0; backward && pooled && a->db != NULL && n < a->n; n++) {
    double *sums = partial + n_items * c_n;

    add_blocks (partial + n * blocks * c_n, blocks, c_n, sums);
    for (gsize c = 0; c < c_n; c++)
      s_put (a->db, n * c_n + c, (float)sums[c], bf16);
  }
}

/* One window of one channel: its largest element, the first of equals. */
ALWAYS_INLINE gsize
window_best (const TessCpuExtra *a, gsize first, gsize c, gboolean bf16)
{
  gsize best = first + c;
  float most = s_get (a->x, best, bf16);

  for (int z = 0; z < a->kernel[0]; z++)
    for (int y = 0; y < a->kernel[1]; y++)
      for (int x = 0; x < a->kernel[2]; x++) {
        gsize i = first + (gsize)((z * a->from[1] + y) * a->from[2] + x) * a->channels + c;
        float v = s_get (a->x, i, bf16);

        if (v > most) {
          most = v;
          best = i;
        }
      }
  return best;
}

ALWAYS_INLINE void
run_max_pool (const TessCpuExtra *a, gboolean backward, gboolean bf16)
{
  gsize rows = a->n * (gsize)(a->to[0] * a->to[1]), c_n = a->channels;

  if (backward)
    memset (a->dx, 0, a->n * (gsize)(a->from[0] * a->from[1] * a->from[2]) * c_n * (bf16 ? 2 : 4));
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize r = 0; r < rows; r++) {
    gint64 h = (gint64)r % a->to[1], d = (gint64)r / a->to[1] % a->to[0], n = (gint64)r / a->to[1] / a->to[0];

    for (gint64 w = 0; w < a->to[2]; w++) {
      gsize first = (gsize)(((n * a->from[0] + d * a->kernel[0]) * a->from[1] + h * a->kernel[1]) * a->from[2] +
                            w * a->kernel[2]) *
                    c_n;
      gsize out = (r * (gsize)a->to[2] + (gsize)w) * c_n;

      for (gsize c = 0; c < c_n; c++) {
        gsize best = window_best (a, first, c, bf16);

        if (backward)
          s_put (a->dx, best, s_get (a->dy, out + c, bf16), bf16);
        else
          s_put (a->y, out + c, s_get (a->x, best, bf16), bf16);
      }
    }
  }
}

ALWAYS_INLINE void
run_global_pool (const TessCpuExtra *a, gboolean backward, gboolean bf16)
{
  gsize blocks = (a->voxels + BLOCK - 1) / BLOCK, c_n = a->channels, n_items = a->n * blocks;
  double *partial = a->scratch, *sums = partial + n_items * c_n;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize item = 0; item < n_items; item++) {
    gsize n = item / blocks, first = item % blocks * BLOCK, end = MIN (a->voxels, first + BLOCK);
    double *mine = partial + item * c_n;

    if (!backward)
      memset (mine, 0, c_n * sizeof *mine);
    for (gsize v = first; v < end; v++)
      for (gsize c = 0; c < c_n; c++) {
        gsize i = (n * a->voxels + v) * c_n + c;

        if (backward)
          s_put (a->dx, i, s_get (a->dy, n * c_n + c, bf16) / (float)a->voxels, bf16);
        else
          mine[c] += (double)s_get (a->x, i, bf16);
      }
  }
  for (gsize n = 0; !backward && n < a->n; n++) {
    add_blocks (partial + n * blocks * c_n, blocks, c_n, sums);
    for (gsize c = 0; c < c_n; c++)
      s_put (a->y, n * c_n + c, (float)(sums[c] / (double)a->voxels), bf16);
  }
}

/* The first of the two coarse voxels that fine voxel o is between, and the share of the second. */
ALWAYS_INLINE gint64
source (gint64 o, gint64 coarse, gint64 fine, gboolean linear, float *share)
{
  double position = ((double)o + 0.5) * (double)coarse / (double)fine - 0.5;
  gint64 low;

  *share = 0.0f;
  if (!linear)
    return o * coarse / fine;
  position = position < 0 ? 0 : position;
  low = MIN ((gint64)position, coarse - 1);
  *share = (float)(position - (double)low);
  return low;
}

ALWAYS_INLINE void
run_resize (const TessCpuExtra *a, gboolean bf16)
{
  gsize rows = a->n * (gsize)(a->to[0] * a->to[1]), c_n = a->channels;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize r = 0; r < rows; r++) {
    gint64 h = (gint64)r % a->to[1], d = (gint64)r / a->to[1] % a->to[0], n = (gint64)r / a->to[1] / a->to[0];
    float s0, s1, s2;
    gint64 d0 = source (d, a->from[0], a->to[0], a->linear, &s0), d1 = MIN (d0 + 1, a->from[0] - 1);
    gint64 h0 = source (h, a->from[1], a->to[1], a->linear, &s1), h1 = MIN (h0 + 1, a->from[1] - 1);
    const gint64 row[4] = {(n * a->from[0] + d0) * a->from[1] + h0, (n * a->from[0] + d0) * a->from[1] + h1,
                           (n * a->from[0] + d1) * a->from[1] + h0, (n * a->from[0] + d1) * a->from[1] + h1};
    const float weight[4] = {(1 - s0) * (1 - s1), (1 - s0) * s1, s0 * (1 - s1), s0 * s1};

    for (gint64 w = 0; w < a->to[2]; w++) {
      gint64 w0 = source (w, a->from[2], a->to[2], a->linear, &s2), w1 = MIN (w0 + 1, a->from[2] - 1);

      for (gsize c = 0; c < c_n; c++) {
        float sum = 0;

        for (int k = 0; k < 4; k++)
          sum += weight[k] * ((1 - s2) * s_get (a->x, (gsize)(row[k] * a->from[2] + w0) * c_n + c, bf16) +
                              s2 * s_get (a->x, (gsize)(row[k] * a->from[2] + w1) * c_n + c, bf16));
        s_put (a->y, (r * (gsize)a->to[2] + (gsize)w) * c_n + c, sum, bf16);
      }
    }
  }
}

/* Fine voxel o's weight on coarse voxel i. */
ALWAYS_INLINE float
pull (gint64 o, gint64 i, gint64 coarse, gint64 fine, gboolean linear)
{
  float share;
  gint64 low = source (o, coarse, fine, linear, &share), high = linear ? MIN (low + 1, coarse - 1) : low;

  return (low == i ? 1 - share : 0) + (high == i ? share : 0);
}

/* Fine voxels that may read coarse voxel i: [lo, hi). */
ALWAYS_INLINE void
readers (gint64 i, gint64 coarse, gint64 fine, gint64 *lo, gint64 *hi)
{
  *lo = CLAMP ((i - 1) * fine / coarse - 1, 0, fine);
  *hi = CLAMP ((i + 2) * fine / coarse + 1, 0, fine);
}

/* from: the coarse grid (dx); to: the fine one (dy). Each coarse voxel collects. */
ALWAYS_INLINE void
run_resize_backward (const TessCpuExtra *a, gboolean bf16)
{
  gsize cells = a->n * (gsize)(a->from[0] * a->from[1] * a->from[2]), c_n = a->channels;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize cell = 0; cell < cells; cell++) {
    gint64 p[3] = {(gint64)cell / a->from[2] / a->from[1] % a->from[0], (gint64)cell / a->from[2] % a->from[1],
                   (gint64)cell % a->from[2]};
    gint64 n = (gint64)cell / a->from[2] / a->from[1] / a->from[0], lo[3], hi[3];

    for (int k = 0; k < 3; k++)
      readers (p[k], a->from[k], a->to[k], &lo[k], &hi[k]);
    for (gsize c = 0; c < c_n; c++) {
      float sum = 0;

      for (gint64 d = lo[0]; d < hi[0]; d++) {
        float wd = pull (d, p[0], a->from[0], a->to[0], a->linear);

        for (gint64 h = lo[1]; wd > 0 && h < hi[1]; h++) {
          float wh = wd * pull (h, p[1], a->from[1], a->to[1], a->linear);
          gint64 row = ((n * a->to[0] + d) * a->to[1] + h) * a->to[2];

          for (gint64 w = lo[2]; wh > 0 && w < hi[2]; w++)
            sum +=
                wh * pull (w, p[2], a->from[2], a->to[2], a->linear) * s_get (a->dy, (gsize)(row + w) * c_n + c, bf16);
        }
      }
      s_put (a->dx, cell * c_n + c, sum, bf16);
    }
  }
}

/* Bytes: any element type. */
static void
run_window (const TessCpuExtra *a)
{
  gsize rows = a->n * (gsize)(a->to[0] * a->to[1]), voxel = a->channels * a->element;
  gint64 lo = CLAMP (-a->start[2], 0, a->to[2]), hi = CLAMP (a->from[2] - a->start[2], lo, a->to[2]);

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * a->channels > SMALL)
  for (gsize r = 0; r < rows; r++) {
    gint64 h = (gint64)r % a->to[1] + a->start[1], d = (gint64)r / a->to[1] % a->to[0] + a->start[0];
    gint64 n = (gint64)r / a->to[1] / a->to[0];
    guint8 *out = (guint8 *)a->y + r * (gsize)a->to[2] * voxel;

    memset (out, 0, (gsize)a->to[2] * voxel);
    if (d >= 0 && d < a->from[0] && h >= 0 && h < a->from[1])
      memcpy (out + (gsize)lo * voxel,
              (const guint8 *)a->x +
                  (gsize)(((n * a->from[0] + d) * a->from[1] + h) * a->from[2] + lo + a->start[2]) * voxel,
              (gsize)(hi - lo) * voxel);
  }
}

ALWAYS_INLINE void
run_dropout (const TessCpuExtra *a, gboolean bf16)
{
  float *factors = a->scratch;
  gsize c_n = a->channels;

  for (gsize i = 0; i < a->n * c_n; i++)
    factors[i] =
        tess_chance_factor (a->seed, a->turn, a->first + (gint64)(i / c_n), a->stream, (gint64)(i % c_n), a->amount);
#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * a->voxels * c_n > SMALL)
  for (gsize cell = 0; cell < a->n * a->voxels; cell++) {
    const float *factor = factors + cell / a->voxels * c_n;

    for (gsize c = 0; c < c_n; c++)
      s_put (a->y, cell * c_n + c, s_get (a->x, cell * c_n + c, bf16) * factor[c], bf16);
  }
}

ALWAYS_INLINE void
run_noise (const TessCpuExtra *a, gboolean bf16)
{
  gsize n = a->voxels * a->channels, pairs = (n + 1) / 2;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n * n > SMALL)
  for (gsize i = 0; i < a->n * pairs; i++) {
    gsize sample = i / pairs, pair = i % pairs, first = sample * n + 2 * pair;
    float normals[2];

    tess_chance_normals (a->seed, a->turn, a->first + (gint64)sample, a->stream, (gint64)pair, normals);
    for (gsize k = 0; k < 2 && 2 * pair + k < n; k++)
      s_put (a->y, first + k, s_get (a->x, first + k, bf16) + a->amount * normals[k], bf16);
  }
}

ALWAYS_INLINE void
run_floats (const TessCpuExtra *a, gboolean bf16)
{
  switch (a->kind) {
  case TESS_OP_ACT:
  case TESS_OP_ACT_BWD:
    run_act (a, a->kind == TESS_OP_ACT_BWD, bf16);
    break;
  case TESS_OP_MUL:
  case TESS_OP_MUL_BWD:
    run_mul (a, a->kind == TESS_OP_MUL_BWD, bf16);
    break;
  case TESS_OP_MAX_POOL:
  case TESS_OP_MAX_POOL_BWD:
    run_max_pool (a, a->kind == TESS_OP_MAX_POOL_BWD, bf16);
    break;
  case TESS_OP_GLOBAL_POOL:
  case TESS_OP_GLOBAL_POOL_BWD:
    run_global_pool (a, a->kind == TESS_OP_GLOBAL_POOL_BWD, bf16);
    break;
  case TESS_OP_RESIZE:
    run_resize (a, bf16);
    break;
  case TESS_OP_DROPOUT:
    run_dropout (a, bf16);
    break;
  case TESS_OP_NOISE:
    run_noise (a, bf16);
    break;
  default:
    run_resize_backward (a, bf16);
  }
}

void
TESS_KERNEL (extra) (const TessCpuExtra *a)
{
  if (a->kind == TESS_OP_WINDOW)
    run_window (a);
  else if (a->bf16)
    run_floats (a, TRUE);
  else
    run_floats (a, FALSE);
}
