#include "tess-cpu-vector.h"

#include <math.h>

/* Loops that touch each element once, sums over columns and over everything, and the optimiser. */

void TESS_KERNEL (leaky) (guint n_threads, gboolean bf16, gsize n, const void *x, float slope, void *y);
void TESS_KERNEL (leaky_backward) (guint n_threads, gboolean bf16, gsize n, const void *x, const void *dy, float slope,
                                   void *dx);
void TESS_KERNEL (add) (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, void *y);
void TESS_KERNEL (add_leaky) (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, float slope,
                              void *y);
void TESS_KERNEL (to_bf16) (guint n_threads, gsize n, const float *x, void *y);
void TESS_KERNEL (concat) (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *a, const void *b,
                           void *y);
void TESS_KERNEL (split) (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *y, void *a, void *b);
void TESS_KERNEL (add_bias) (guint n_threads, gboolean bf16, gsize rows, gsize channels, const float *bias,
                             const float *x, void *y);
void TESS_KERNEL (column_sums) (guint n_threads, gboolean bf16, gsize rows, gsize channels, const void *x, float *sums,
                                void *scratch);
void TESS_KERNEL (label_resize) (guint n_threads, gsize n, const gint64 from[3], const gint64 to[3], const guint8 *x,
                                 guint8 *y);
double TESS_KERNEL (sum_squares) (guint n_threads, gsize n, const float *x, double *scratch);
void TESS_KERNEL (sgd) (const TessCpuSgd *a);
void TESS_KERNEL (adam) (const TessCpuAdam *a);

#define BLOCK 4096

typedef enum { LEAKY, LEAKY_BACKWARD, ADD, ADD_LEAKY } Pointwise;

ALWAYS_INLINE void
pointwise_block (Pointwise what, gsize begin, gsize end, const void *a, const void *b, float slope, void *y,
                 gboolean bf16)
{
  gsize i = begin;

  for (; i + VL <= end; i += VL) {
    VFloat p = v_get (a, i, bf16);

    switch (what) {
    case LEAKY:
      v_put (y, i, v_select (p > 0.0f, p, p * slope), bf16);
      break;
    case LEAKY_BACKWARD: {
      VFloat q = v_get (b, i, bf16);

      v_put (y, i, v_select (p > 0.0f, q, q * slope), bf16);
      break;
    }
    case ADD:
      v_put (y, i, p + v_get (b, i, bf16), bf16);
      break;
    case ADD_LEAKY:
      p += v_get (b, i, bf16);
      v_put (y, i, v_select (p > 0.0f, p, p * slope), bf16);
      break;
    }
  }
  for (; i < end; i++) {
    float p = s_get (a, i, bf16);

    switch (what) {
    case LEAKY:
      s_put (y, i, p > 0 ? p : p * slope, bf16);
      break;
    case LEAKY_BACKWARD:
      s_put (y, i, s_get (b, i, bf16) * (p > 0 ? 1.0f : slope), bf16);
      break;
    case ADD:
      s_put (y, i, p + s_get (b, i, bf16), bf16);
      break;
    case ADD_LEAKY:
      p += s_get (b, i, bf16);
      s_put (y, i, p > 0 ? p : p * slope, bf16);
      break;
    }
  }
}

ALWAYS_INLINE void
pointwise (Pointwise what, guint n_threads, gsize n, const void *a, const void *b, float slope, void *y, gboolean bf16)
{
  gsize n_blocks = (n + BLOCK - 1) / BLOCK;

#pragma omp parallel for schedule(static) num_threads(n_threads) if (n > SMALL)
  for (gsize i = 0; i < n_blocks; i++)
    pointwise_block (what, i * BLOCK, MIN (n, (i + 1) * BLOCK), a, b, slope, y, bf16);
}

void
TESS_KERNEL (leaky) (guint n_threads, gboolean bf16, gsize n, const void *x, float slope, void *y)
{
  if (bf16)
    pointwise (LEAKY, n_threads, n, x, NULL, slope, y, TRUE);
  else
    pointwise (LEAKY, n_threads, n, x, NULL, slope, y, FALSE);
}

void
TESS_KERNEL (leaky_backward) (guint n_threads, gboolean bf16, gsize n, const void *x, const void *dy, float slope,
                              void *dx)
{
  if (bf16)
    pointwise (LEAKY_BACKWARD, n_threads, n, x, dy, slope, dx, TRUE);
  else
    pointwise (LEAKY_BACKWARD, n_threads, n, x, dy, slope, dx, FALSE);
}

void
TESS_KERNEL (add) (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, void *y)
{
  if (bf16)
    pointwise (ADD, n_threads, n, a, b, 0, y, TRUE);
  else
    pointwise (ADD, n_threads, n, a, b, 0, y, FALSE);
}

void
TESS_KERNEL (add_leaky) (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, float slope, void *y)
{
  if (bf16)
    pointwise (ADD_LEAKY, n_threads, n, a, b, slope, y, TRUE);
  else
    pointwise (ADD_LEAKY, n_threads, n, a, b, slope, y, FALSE);
}

void
TESS_KERNEL (to_bf16) (guint n_threads, gsize n, const float *x, void *y)
{
  gsize n_blocks = (n + BLOCK - 1) / BLOCK;

#pragma omp parallel for schedule(static) num_threads(n_threads) if (n > SMALL)
  for (gsize b = 0; b < n_blocks; b++) {
    gsize i = b * BLOCK, end = MIN (n, i + BLOCK);

    for (; i + VL <= end; i += VL)
      v_put (y, i, v_load (x + i), TRUE);
    for (; i < end; i++)
      s_put (y, i, x[i], TRUE);
  }
}

/* Rows of 16-byte multiples are copied here, because a call of memcpy a voxel costs more than the copy. */
typedef guint32 Copy16 __attribute__ ((vector_size (16), aligned (1), may_alias));

ALWAYS_INLINE void
copy_row (guint8 *to, const guint8 *from, gsize bytes)
{
  if (bytes % 16 != 0) {
    memcpy (to, from, bytes);
    return;
  }
  for (gsize i = 0; i < bytes; i += 16)
    *(Copy16 *)(gpointer)(to + i) = *(const Copy16 *)(gconstpointer)(from + i);
}

void
TESS_KERNEL (concat) (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *a, const void *b, void *y)
{
#pragma omp parallel for schedule(static) num_threads(n_threads) if (rows * (a_bytes + b_bytes) > 4 * SMALL)
  for (gsize r = 0; r < rows; r++) {
    guint8 *to = (guint8 *)y + r * (a_bytes + b_bytes);

    copy_row (to, (const guint8 *)a + r * a_bytes, a_bytes);
    copy_row (to + a_bytes, (const guint8 *)b + r * b_bytes, b_bytes);
  }
}

void
TESS_KERNEL (split) (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *y, void *a, void *b)
{
#pragma omp parallel for schedule(static) num_threads(n_threads) if (rows * (a_bytes + b_bytes) > 4 * SMALL)
  for (gsize r = 0; r < rows; r++) {
    const guint8 *from = (const guint8 *)y + r * (a_bytes + b_bytes);

    if (a != NULL)
      copy_row ((guint8 *)a + r * a_bytes, from, a_bytes);
    if (b != NULL)
      copy_row ((guint8 *)b + r * b_bytes, from + a_bytes, b_bytes);
  }
}

ALWAYS_INLINE void
bias_rows (gsize rows, gsize channels, const float *bias, const float *x, void *y, gboolean bf16)
{
  for (gsize r = 0; r < rows; r++) {
    gsize c = 0, at = r * channels;

    for (; c + VL <= channels; c += VL)
      v_put (y, at + c, v_load (x + at + c) + v_load (bias + c), bf16);
    for (; c < channels; c++)
      s_put (y, at + c, x[at + c] + bias[c], bf16);
  }
}

void
TESS_KERNEL (add_bias) (guint n_threads, gboolean bf16, gsize rows, gsize channels, const float *bias, const float *x,
                        void *y)
{
  gsize per_block = MAX (1, BLOCK / channels), n_blocks = (rows + per_block - 1) / per_block;

#pragma omp parallel for schedule(static) num_threads(n_threads) if (rows * channels > SMALL)
  for (gsize b = 0; b < n_blocks; b++) {
    gsize first = b * per_block, n = MIN (per_block, rows - first);

    if (bf16)
      bias_rows (n, channels, bias, x + first * channels, s_at_mut (y, first * channels, TRUE), TRUE);
    else
      bias_rows (n, channels, bias, x + first * channels, s_at_mut (y, first * channels, FALSE), FALSE);
  }
}

ALWAYS_INLINE void
column_block (const void *x, gsize rows, gsize period, float *sums, gboolean bf16)
{
  for (gsize v = 0; v < period; v += VL) {
    VFloat s0 = {0}, s1 = {0};
    gsize r = 0;

    for (; r + 2 <= rows; r += 2) {
      s0 += v_get (x, r * period + v, bf16);
      s1 += v_get (x, (r + 1) * period + v, bf16);
    }
    if (r < rows)
      s0 += v_get (x, r * period + v, bf16);
    v_store (sums + v, s0 + s1);
  }
}

void
TESS_KERNEL (column_sums) (guint n_threads, gboolean bf16, gsize rows, gsize channels, const void *x, float *sums,
                           void *scratch)
{
  TessCpuWalk w = tess_cpu_walk (rows, channels);
  double *total = scratch;
  float *parts = (float *)(gpointer)(total + channels);
  gsize p = w.period;

#pragma omp parallel for schedule(static) num_threads(n_threads) if (rows * channels > SMALL)
  for (gsize b = 0; b < w.n_blocks; b++) {
    gsize n = MIN (w.per_block, w.n_periods - b * w.per_block);

    if (bf16)
      column_block (s_at (x, b * w.per_block * p, TRUE), n, p, parts + b * p, TRUE);
    else
      column_block (s_at (x, b * w.per_block * p, FALSE), n, p, parts + b * p, FALSE);
  }
  memset (total, 0, channels * sizeof *total);
  for (gsize b = 0; b < w.n_blocks; b++)
    for (gsize f = 0; f < w.fold; f++)
      for (gsize c = 0; c < channels; c++)
        total[c] += (double)parts[b * p + f * channels + c];
  for (gsize i = w.n_periods * p; i < rows * channels; i++)
    total[i % channels] += (double)s_get (x, i, bf16);
  for (gsize c = 0; c < channels; c++)
    sums[c] = (float)total[c];
}

void
TESS_KERNEL (label_resize) (guint n_threads, gsize n, const gint64 from[3], const gint64 to[3], const guint8 *x,
                            guint8 *y)
{
  gsize planes = n * (gsize)to[0];

#pragma omp parallel for schedule(static) num_threads(n_threads) if (planes * (gsize)(to[1] * to[2]) > SMALL)
  for (gsize plane = 0; plane < planes; plane++) {
    gint64 sample = (gint64)plane / to[0], d = (2 * ((gint64)plane % to[0]) + 1) * from[0] / (2 * to[0]);

    for (gint64 h = 0; h < to[1]; h++) {
      const guint8 *row = x + ((sample * from[0] + d) * from[1] + (2 * h + 1) * from[1] / (2 * to[1])) * from[2];
      guint8 *out = y + ((gint64)plane * to[1] + h) * to[2];

      for (gint64 w = 0; w < to[2]; w++)
        out[w] = row[(2 * w + 1) * from[2] / (2 * to[2])];
    }
  }
}

/* Squares are summed in double within a block (eight lanes) and over the blocks: exact enough at any size. */
double
TESS_KERNEL (sum_squares) (guint n_threads, gsize n, const float *x, double *scratch)
{
  gsize n_blocks = (n + BLOCK - 1) / BLOCK;
  double sum = 0;

#pragma omp parallel for schedule(static) num_threads(n_threads) if (n > SMALL)
  for (gsize b = 0; b < n_blocks; b++) {
    double lanes[8] = {0};
    gsize i = b * BLOCK, end = MIN (n, i + BLOCK);

    for (; i + 8 <= end; i += 8)
      for (gsize l = 0; l < 8; l++)
        lanes[l] += (double)x[i + l] * (double)x[i + l];
    for (; i < end; i++)
      lanes[0] += (double)x[i] * (double)x[i];
    scratch[b] = ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
  }
  for (gsize b = 0; b < n_blocks; b++)
    sum += scratch[b];
  return sum;
}

/* d = clip g + decay p; m = momentum m + d; p -= rate (d + momentum m): torch.optim.SGD with nesterov=True. */
void
TESS_KERNEL (sgd) (const TessCpuSgd *a)
{
  gsize n_blocks = (a->n + BLOCK - 1) / BLOCK;
  float rate = (float)a->rate, factor = (float)a->momentum_factor, decay = (float)a->weight_decay;
  float clip = (float)a->clip;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n > SMALL)
  for (gsize b = 0; b < n_blocks; b++) {
    gsize first = b * BLOCK, n = MIN (a->n - first, (gsize)BLOCK);
    float *restrict p = a->param + first, *restrict m = a->momentum + first;
    const float *restrict g = a->grad + first;

    for (gsize i = 0; i < n; i++) {
      float d = clip * g[i] + decay * p[i];

      m[i] = factor * m[i] + d;
      p[i] -= rate * (d + factor * m[i]);
    }
  }
}

/* torch.optim.Adam, and AdamW where the decay is decoupled. */
void
TESS_KERNEL (adam) (const TessCpuAdam *a)
{
  gsize n_blocks = (a->n + BLOCK - 1) / BLOCK;
  double step = (double)a->step;
  float rate = (float)(a->rate / (1 - pow (a->beta1, step))), root = (float)(1 / sqrt (1 - pow (a->beta2, step)));
  float new1 = (float)(1 - a->beta1), beta2 = (float)a->beta2, new2 = (float)(1 - a->beta2);
  float decay = a->decoupled ? 0.0f : (float)a->weight_decay;
  float keep = a->decoupled ? (float)(1 - a->rate * a->weight_decay) : 1.0f;
  float clip = (float)a->clip, epsilon = (float)a->epsilon;

#pragma omp parallel for schedule(static) num_threads(a->n_threads) if (a->n > SMALL)
  for (gsize b = 0; b < n_blocks; b++) {
    gsize first = b * BLOCK, n = MIN (a->n - first, (gsize)BLOCK);
    float *restrict p = a->param + first, *restrict m = a->mean + first, *restrict v = a->variance + first;
    const float *restrict g = a->grad + first;

    for (gsize i = 0; i < n; i++) {
      float d = clip * g[i] + decay * p[i];

      m[i] += new1 * (d - m[i]);
      v[i] = beta2 * v[i] + new2 * d * d;
      p[i] = keep * p[i] - rate * m[i] / (sqrtf (v[i]) * root + epsilon);
    }
  }
}
