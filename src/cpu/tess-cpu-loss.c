#include "tess-cpu-vector.h"

#include <math.h>

/* Soft Dice + cross-entropy on logits (nnU-Net's DC_and_CE_loss), forward and backward.
 *
 * Voxels are taken 64 at a time and turned to class-major, so that every step is a plain loop over 64 floats. */

void TESS_KERNEL (loss_forward) (const TessCpuLoss *a);
void TESS_KERNEL (loss_backward) (const TessCpuLoss *a);

#define CHUNK 64
#define LANES 16

/* One thread's space: {classes, CHUNK} probabilities and {classes, LANES} running sums. */
typedef struct {
  float *p;
  float *both, *predicted; /* {classes, LANES} */
  gint32 truth[CHUNK];     /* class, -1 beyond the end */
  gint32 best[CHUNK];
  float sum[CHUNK];      /* of exponentials, 1 beyond the end */
  float at_truth[CHUNK]; /* logit of the true class minus the largest */
} Chunk;

static float *
thread_space (const TessCpuLoss *a, gsize thread, Chunk *c)
{
  gsize size = (gsize)a->n_classes * (CHUNK + 2 * LANES);

  c->p = (float *)a->scratch + thread * size;
  c->both = c->p + (gsize)a->n_classes * CHUNK;
  c->predicted = c->both + (gsize)a->n_classes * LANES;
  return (float *)a->scratch + (gsize)a->n_threads * size;
}

/* exp for x <= 0, relative error below 2e-7: 2^n e^r with |r| <= ln 2 / 2 and the Taylor polynomial of degree 7;
 * below -87 (where float32 leaves its normal range) it is exp (-87), 1e-38. */
ALWAYS_INLINE float
exp_negative (float x)
{
  float clamped = x < -87.0f ? -87.0f : x;
  float shifted = clamped * 1.44269504088896341f + 12582912.0f; /* 1.5 * 2^23: rounds to an integer in the low bits */
  float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  float e = 1.98412698e-4f, scale;
  gint32 bits;

  e = e * r + 1.38888889e-3f;
  e = e * r + 8.33333333e-3f;
  e = e * r + 4.16666667e-2f;
  e = e * r + 1.66666667e-1f;
  e = e * r + 0.5f;
  e = e * r + 1.0f;
  e = e * r + 1.0f;
  memcpy (&bits, &shifted, 4);
  bits = (bits << 23) + 0x3f800000; /* n + 127 in the exponent; the upper bits of shifted fall off */
  memcpy (&scale, &bits, 4);
  return e * scale;
}

/* Softmax of voxels [first, first + n) into c->p, zero beyond n. */
ALWAYS_INLINE void
load_chunk (const TessCpuLoss *a, gsize first, gsize n, Chunk *c)
{
  guint k_n = a->n_classes;
  const float *z = a->logits + first * k_n;
  float largest[CHUNK];

  for (guint k = 0; k < k_n; k++) {
    float *p = c->p + k * CHUNK;

    if (n == CHUNK)
      for (gsize j = 0; j < CHUNK; j++)
        p[j] = z[j * k_n + k];
    else
      for (gsize j = 0; j < CHUNK; j++)
        p[j] = j < n ? z[j * k_n + k] : 0.0f;
  }
  for (gsize j = 0; j < CHUNK; j++) {
    guint label = j < n ? a->labels[first + j] : 0;

    c->truth[j] = j >= n ? -1 : label < k_n ? (gint32)label : 0;
  }
  for (gsize j = 0; j < CHUNK; j++) {
    largest[j] = c->p[j];
    c->best[j] = 0;
    c->sum[j] = 0.0f;
    c->at_truth[j] = 0.0f;
  }
  for (guint k = 1; k < k_n; k++)
    for (gsize j = 0; j < CHUNK; j++) {
      float v = c->p[k * CHUNK + j];

      c->best[j] = v > largest[j] ? (gint32)k : c->best[j];
      largest[j] = v > largest[j] ? v : largest[j];
    }
  for (guint k = 0; k < k_n; k++)
    for (gsize j = 0; j < CHUNK; j++) {
      float d = c->p[k * CHUNK + j] - largest[j], e = exp_negative (d);

      c->at_truth[j] += c->truth[j] == (gint32)k ? d : 0.0f;
      c->p[k * CHUNK + j] = e;
      c->sum[j] += e;
    }
  for (gsize j = n; j < CHUNK; j++)
    c->sum[j] = 1.0f;
  for (guint k = 0; k < k_n; k++)
    for (gsize j = 0; j < CHUNK; j++)
      c->p[k * CHUNK + j] = c->truth[j] < 0 ? 0.0f : c->p[k * CHUNK + j] / c->sum[j];
}

/* Cross-entropy of the chunk: sum of log (sum) - at_truth. The logarithm of a product of sums, each in [1, 256], taken
 * 64 at a time, stays inside double's range and needs one call. */
ALWAYS_INLINE double
chunk_ce (const Chunk *c)
{
  double product[8], below[8], total = 0, all = 1;

  for (gsize l = 0; l < 8; l++) {
    product[l] = 1;
    below[l] = 0;
  }
  for (gsize j = 0; j < CHUNK; j += 8)
    for (gsize l = 0; l < 8; l++) {
      product[l] *= (double)c->sum[j + l];
      below[l] += (double)c->at_truth[j + l];
    }
  for (gsize l = 0; l < 8; l++) {
    all *= product[l];
    total += below[l];
  }
  return log (all) - total;
}

/* Per block: [0] cross-entropy; then per class both, predicted, truth (voxels), tp, fp, fn. */
#define PART_SIZE(k_n) (1 + 6 * (gsize)(k_n))

ALWAYS_INLINE void
add_chunk (const TessCpuLoss *a, const Chunk *c, double *part)
{
  guint k_n = a->n_classes;

  part[0] += chunk_ce (c);
  for (guint k = 0; k < k_n; k++) {
    const float *p = c->p + k * CHUNK;
    float *both = c->both + k * LANES, *predicted = c->predicted + k * LANES;
    gint32 truth = 0, tp = 0, claimed = 0;

    for (gsize j = 0; j < CHUNK; j += LANES)
      for (gsize l = 0; l < LANES; l++) {
        predicted[l] += p[j + l];
        both[l] += c->truth[j + l] == (gint32)k ? p[j + l] : 0.0f;
      }
    for (gsize j = 0; j < CHUNK; j++) {
      gint32 is = c->truth[j] == (gint32)k, says = (c->best[j] == (gint32)k) & (c->truth[j] >= 0);

      truth += is;
      claimed += says;
      tp += is & says;
    }
    part[1 + 2 * k_n + k] += truth;
    part[1 + 3 * k_n + k] += tp;
    part[1 + 4 * k_n + k] += claimed - tp;
    part[1 + 5 * k_n + k] += truth - tp;
  }
}

static void
sum_block (const TessCpuLoss *a, Chunk *c, gsize first, gsize n, double *part)
{
  guint k_n = a->n_classes;

  memset (part, 0, PART_SIZE (k_n) * sizeof *part);
  memset (c->both, 0, 2 * (gsize)k_n * LANES * sizeof *c->both);
  for (gsize i = 0; i < n; i += CHUNK) {
    load_chunk (a, first + i, MIN (CHUNK, n - i), c);
    add_chunk (a, c, part);
  }
  for (guint k = 0; k < k_n; k++)
    for (gsize l = 0; l < LANES; l++) {
      part[1 + k] += (double)c->both[k * LANES + l];
      part[1 + k_n + k] += (double)c->predicted[k * LANES + l];
    }
}

/* Adds the blocks in order: sums {groups, 3, classes} and the metrics. */
static void
finish (const TessCpuLoss *a, const double *parts, gsize n_blocks)
{
  guint k_n = a->n_classes;
  gsize n_groups = a->batch_dice ? 1 : a->n, size = PART_SIZE (k_n);
  double ce = 0, dice = 0, smooth = (double)a->smooth;

  memset (a->sums, 0, n_groups * 3 * k_n * sizeof *a->sums);
  memset (a->metrics, 0, (gsize)TESS_METRICS_SIZE (k_n) * sizeof *a->metrics);
  for (gsize i = 0; i < a->n * n_blocks; i++) {
    const double *part = parts + i * size;
    double *sums = a->sums + (a->batch_dice ? 0 : i / n_blocks) * 3 * k_n;

    ce += part[0];
    for (gsize j = 0; j < 3 * (gsize)k_n; j++)
      sums[j] += part[1 + j];
    for (guint k = 0; k < k_n; k++)
      for (guint m = 0; m < 3; m++)
        a->metrics[3 + 3 * k + m] += part[1 + (3 + m) * k_n + k];
  }
  for (gsize g = 0; g < n_groups; g++)
    for (guint k = 1; k < k_n; k++) {
      const double *sums = a->sums + g * 3 * k_n;

      dice -= (2 * sums[k] + smooth) / MAX (sums[k_n + k] + sums[2 * k_n + k] + smooth, 1e-8);
    }
  a->metrics[1] = ce / (double)(a->n * a->voxels);
  a->metrics[2] = dice / ((double)n_groups * (k_n - 1));
  a->metrics[0] = a->metrics[1] + a->metrics[2];
}

void
TESS_KERNEL (loss_forward) (const TessCpuLoss *a)
{
  gsize n_blocks = (a->voxels + TESS_CPU_LOSS_BLOCK - 1) / TESS_CPU_LOSS_BLOCK;
  Chunk first;
  double *parts = (double *)(gpointer)thread_space (a, 0, &first);

  /* One item a thread: its share of the blocks, with its own space. */
#pragma omp parallel for schedule(static, 1) num_threads(a->n_threads) if (a->n * a->voxels > SMALL / 8)
  for (guint t = 0; t < a->n_threads; t++) {
    gsize total = a->n * n_blocks, begin = total * t / a->n_threads, end = total * (t + 1) / a->n_threads;
    Chunk c;

    thread_space (a, t, &c);
    for (gsize i = begin; i < end; i++) {
      gsize at = i % n_blocks * TESS_CPU_LOSS_BLOCK;

      sum_block (a, &c, i / n_blocks * a->voxels + at, MIN (TESS_CPU_LOSS_BLOCK, a->voxels - at),
                 parts + i * PART_SIZE (a->n_classes));
    }
  }
  finish (a, parts, n_blocks);
}

/* For every group and class: dL/dp = slope - (truth ? step : 0), from the sums of the forward pass. */
static void
dice_slopes (const TessCpuLoss *a, float *table)
{
  guint k_n = a->n_classes;
  gsize n_groups = a->batch_dice ? 1 : a->n;
  double smooth = (double)a->smooth, share = 1.0 / ((double)n_groups * (k_n - 1));

  for (gsize g = 0; g < n_groups; g++)
    for (guint k = 0; k < k_n; k++) {
      const double *sums = a->sums + g * 3 * k_n;
      double below = sums[k_n + k] + sums[2 * k_n + k] + smooth, above = 2 * sums[k] + smooth;
      gboolean floored = !(below > 1e-8);

      table[(g * k_n + k) * 2] = k == 0 || floored ? 0.0f : (float)(share * above / (below * below));
      table[(g * k_n + k) * 2 + 1] = k == 0 ? 0.0f : (float)(share * 2 / (floored ? 1e-8 : below));
    }
}

ALWAYS_INLINE void
chunk_gradient (const TessCpuLoss *a, const Chunk *c, gsize first, gsize n, const float *table, gboolean bf16)
{
  guint k_n = a->n_classes;
  float weight = (float)a->weight, ce_weight = (float)(a->weight / (double)(a->n * a->voxels));
  float mean[CHUNK], gradient[CHUNK];

  memset (mean, 0, sizeof mean);
  for (guint k = 1; k < k_n; k++)
    for (gsize j = 0; j < CHUNK; j++)
      mean[j] += c->p[k * CHUNK + j] * (table[2 * k] - (c->truth[j] == (gint32)k ? table[2 * k + 1] : 0.0f));
  for (guint k = 0; k < k_n; k++) {
    for (gsize j = 0; j < CHUNK; j++) {
      float p = c->p[k * CHUNK + j], is = c->truth[j] == (gint32)k ? 1.0f : 0.0f;

      gradient[j] = ce_weight * (p - is) + weight * p * (table[2 * k] - is * table[2 * k + 1] - mean[j]);
    }
    for (gsize j = 0; j < n; j++)
      s_put (a->dlogits, (first + j) * k_n + k, gradient[j], bf16);
  }
}

void
TESS_KERNEL (loss_backward) (const TessCpuLoss *a)
{
  gsize n_blocks = (a->voxels + TESS_CPU_LOSS_BLOCK - 1) / TESS_CPU_LOSS_BLOCK;
  Chunk space;
  float *table = thread_space (a, 0, &space);

  dice_slopes (a, table);
#pragma omp parallel for schedule(static, 1) num_threads(a->n_threads) if (a->n * a->voxels > SMALL / 8)
  for (guint t = 0; t < a->n_threads; t++) {
    gsize total = a->n * n_blocks, begin = total * t / a->n_threads, end = total * (t + 1) / a->n_threads;
    Chunk c;

    thread_space (a, t, &c);
    for (gsize i = begin; i < end; i++) {
      gsize at = i % n_blocks * TESS_CPU_LOSS_BLOCK, n = MIN (TESS_CPU_LOSS_BLOCK, a->voxels - at);
      const float *slopes = table + (a->batch_dice ? 0 : i / n_blocks) * 2 * a->n_classes;

      for (gsize j = 0; j < n; j += CHUNK) {
        gsize first = i / n_blocks * a->voxels + at + j, m = MIN (CHUNK, n - j);

        load_chunk (a, first, m, &c);
        if (a->bf16_out)
          chunk_gradient (a, &c, first, m, slopes, TRUE);
        else
          chunk_gradient (a, &c, first, m, slopes, FALSE);
      }
    }
  }
}
