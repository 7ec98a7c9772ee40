#include "tess-cpu-vector.h"

#include <math.h>

/* The losses on logits (tess_graph_loss()), forward and backward: cross-entropy or focal term, Dice or Tversky term;
 * softmax, or one sigmoid a channel for regions.
 *
 * Voxels are taken 64 at a time and turned to class-major, so that every step is a plain loop over 64 floats. */

void TESS_KERNEL (loss_forward) (const TessCpuLoss *a);
void TESS_KERNEL (loss_finish) (const TessCpuLoss *a);
void TESS_KERNEL (loss_backward) (const TessCpuLoss *a);

#define CHUNK 64
#define LANES 16

/* One thread's space: {classes, CHUNK} probabilities and {classes, LANES} running sums. */
typedef struct {
  float *p;
  float *both, *predicted; /* {classes, LANES} */
  gint32 truth[CHUNK];     /* class (regions: 0), -1 beyond the end and where the label is ignored */
  guint64 member[CHUNK];   /* regions: bit of every channel */
  gint32 best[CHUNK];
  float sum[CHUNK];      /* of exponentials, 1 beyond the end */
  float at_truth[CHUNK]; /* logit of the true class minus the largest */
  double ce;             /* regions: the sum of the voxel term */
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

/* -(1 - pt)^gamma log pt, Lin et al. 2017; pt: probability of what is true. */
ALWAYS_INLINE double
focal_loss (double gamma, double one_minus_pt, double log_pt)
{
  return -pow (one_minus_pt, gamma) * log_pt;
}

/* What its gradient is of that of the cross-entropy. */
ALWAYS_INLINE double
focal_factor (double gamma, double one_minus_pt, double log_pt)
{
  double q = MAX (one_minus_pt, 1e-30);

  return pow (q, gamma) - gamma * pow (q, gamma - 1) * (1 - q) * log_pt;
}

/* Logits of voxels [first, first + n) into c->p, class-major; 0 beyond n. */
ALWAYS_INLINE void
load_logits (const TessCpuLoss *a, gsize first, gsize n, Chunk *c)
{
  guint k_n = a->n_classes;
  const float *z = a->logits + first * k_n;

  for (guint k = 0; k < k_n; k++) {
    float *p = c->p + k * CHUNK;

    if (n == CHUNK)
      for (gsize j = 0; j < CHUNK; j++)
        p[j] = z[j * k_n + k];
    else
      for (gsize j = 0; j < CHUNK; j++)
        p[j] = j < n ? z[j * k_n + k] : 0.0f;
  }
}

/* Softmax of voxels [first, first + n) into c->p, zero beyond n and where the label is ignored. */
ALWAYS_INLINE void
load_softmax (const TessCpuLoss *a, gsize first, gsize n, Chunk *c)
{
  guint k_n = a->n_classes;
  float largest[CHUNK];

  load_logits (a, first, n, c);
  for (gsize j = 0; j < CHUNK; j++) {
    guint label = j < n ? a->labels[first + j] : a->ignore;

    c->truth[j] = j >= n || label == a->ignore ? -1 : label < k_n ? (gint32)label : 0;
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
  for (gsize j = 0; j < CHUNK; j++)
    c->sum[j] = c->truth[j] < 0 ? 1.0f : c->sum[j];
  for (guint k = 0; k < k_n; k++)
    for (gsize j = 0; j < CHUNK; j++)
      c->p[k * CHUNK + j] = c->truth[j] < 0 ? 0.0f : c->p[k * CHUNK + j] / c->sum[j];
}

/* Sigmoids of voxels [first, first + n) into c->p, zero beyond n and where the label is ignored, and the binary
 * cross-entropy max (z, 0) - z t + log (1 + e^-|z|); the logarithms of a channel as one of their product. */
ALWAYS_INLINE void
load_sigmoid (const TessCpuLoss *a, gsize first, gsize n, Chunk *c)
{
  load_logits (a, first, n, c);
  for (gsize j = 0; j < CHUNK; j++) {
    guint label = j < n ? a->labels[first + j] : a->ignore;

    c->truth[j] = j >= n || label == a->ignore ? -1 : 0;
    c->member[j] = c->truth[j] < 0 ? 0 : a->regions[label];
  }
  c->ce = 0;
  for (guint k = 0; k < a->n_classes; k++) {
    float *p = c->p + k * CHUNK;
    double product[8] = {1, 1, 1, 1, 1, 1, 1, 1}, all = 1, above = 0;

    for (gsize j = 0; j < CHUNK; j++) {
      float z = p[j], e = exp_negative (-fabsf (z));
      gboolean is = c->member[j] >> k & 1, counts = c->truth[j] >= 0;

      product[j % 8] *= counts ? 1.0 + (double)e : 1.0;
      above += counts ? (double)(z > 0.0f ? z : 0.0f) - (is ? (double)z : 0.0) : 0.0;
      p[j] = counts ? (z > 0.0f ? 1.0f : e) / (1.0f + e) : 0.0f;
    }
    for (gsize l = 0; l < 8; l++)
      all *= product[l];
    c->ce += log (all) + above;
  }
}

/* Whether voxel j is of class or region k. */
ALWAYS_INLINE gint32
is_true (const Chunk *c, guint k, gsize j, gboolean sigmoid)
{
  return sigmoid ? (gint32)(c->member[j] >> k & 1) : c->truth[j] == (gint32)k;
}

/* 1 - pt and log pt of voxel j (softmax), or of its channel k. */
static void
focal_parts (const TessCpuLoss *a, const Chunk *c, guint k, gsize j, double *q, double *log_pt)
{
  *q = 0;
  if (a->regions) {
    double p = (double)c->p[k * CHUNK + j], pt = is_true (c, k, j, TRUE) ? p : 1 - p;

    *q = 1 - pt;
    *log_pt = log (MAX (pt, 1e-38));
    return;
  }
  for (guint i = 0; i < a->n_classes; i++)
    if (c->truth[j] != (gint32)i)
      *q += (double)c->p[i * CHUNK + j];
  *log_pt = *q < 0.5 ? log1p (-*q) : (double)c->at_truth[j] - log ((double)c->sum[j]);
}

static double
chunk_focal (const TessCpuLoss *a, const Chunk *c)
{
  double sum = 0, q, log_pt;

  for (guint k = 0; k < (a->regions ? a->n_classes : 1); k++)
    for (gsize j = 0; j < CHUNK; j++)
      if (c->truth[j] >= 0) {
        focal_parts (a, c, k, j, &q, &log_pt);
        sum += focal_loss (a->gamma, q, log_pt);
      }
  return sum;
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

/* Per block: [0] voxel term, [1] voxels that count; then per class both, predicted, truth (voxels), tp, fp, fn. */
#define PART_SIZE(k_n) (2 + 6 * (gsize)(k_n))

ALWAYS_INLINE void
add_chunk (const TessCpuLoss *a, const Chunk *c, double *part, gboolean sigmoid)
{
  guint k_n = a->n_classes;
  gint32 counted = 0;

  if (a->voxels_count)
    part[0] += a->gamma > 0 ? chunk_focal (a, c) : sigmoid ? c->ce : chunk_ce (c);
  for (gsize j = 0; j < CHUNK; j++)
    counted += c->truth[j] >= 0;
  part[1] += counted;
  for (guint k = 0; k < k_n; k++) {
    const float *p = c->p + k * CHUNK;
    float *both = c->both + k * LANES, *predicted = c->predicted + k * LANES;
    gint32 truth = 0, tp = 0, claimed = 0;

    for (gsize j = 0; j < CHUNK; j += LANES)
      for (gsize l = 0; l < LANES; l++) {
        predicted[l] += p[j + l];
        both[l] += is_true (c, k, j + l, sigmoid) ? p[j + l] : 0.0f;
      }
    for (gsize j = 0; j < CHUNK; j++) {
      gint32 is = is_true (c, k, j, sigmoid);
      gint32 says = sigmoid ? p[j] > 0.5f : (c->best[j] == (gint32)k) & (c->truth[j] >= 0);

      truth += is;
      claimed += says;
      tp += is & says;
    }
    part[2 + 2 * k_n + k] += truth;
    part[2 + 3 * k_n + k] += tp;
    part[2 + 4 * k_n + k] += claimed - tp;
    part[2 + 5 * k_n + k] += truth - tp;
  }
}

static void
sum_block (const TessCpuLoss *a, Chunk *c, gsize first, gsize n, double *part)
{
  guint k_n = a->n_classes;

  memset (part, 0, PART_SIZE (k_n) * sizeof *part);
  memset (c->both, 0, 2 * (gsize)k_n * LANES * sizeof *c->both);
  for (gsize i = 0; i < n; i += CHUNK) {
    if (a->regions) {
      load_sigmoid (a, first + i, MIN (CHUNK, n - i), c);
      add_chunk (a, c, part, TRUE);
    } else {
      load_softmax (a, first + i, MIN (CHUNK, n - i), c);
      add_chunk (a, c, part, FALSE);
    }
  }
  for (guint k = 0; k < k_n; k++)
    for (gsize l = 0; l < LANES; l++) {
      part[2 + k] += (double)c->both[k * LANES + l];
      part[2 + k_n + k] += (double)c->predicted[k * LANES + l];
    }
}

/* 2 TP + smooth over 2 TP + 2 alpha FP + 2 beta FN + smooth, before it is kept from 0. */
static void
overlap (const TessCpuLoss *a, const double *sums, guint k, double *above, double *below)
{
  guint k_n = a->n_classes;
  double smooth = (double)a->smooth;

  *above = 2 * sums[k] + smooth;
  *below =
      2 * (1 - a->alpha - a->beta) * sums[k] + 2 * a->alpha * sums[k_n + k] + 2 * a->beta * sums[2 * k_n + k] + smooth;
}

/* What the voxel term is divided by; nnU-Net's binary cross-entropy under a mask takes the voxels alone. */
static double
divisor (const TessCpuLoss *a, double n_counted)
{
  return n_counted * (a->regions && a->ignore > 255 ? a->n_classes : 1);
}

/* Samples of all ranks that have a Dice of their own, or the one group of the whole batch. */
static double
n_groups_of_all (const TessCpuLoss *a)
{
  return a->batch_dice ? 1.0 : (double)(a->n * MAX (a->n_ranks, 1));
}

static double
overlap_sum (const TessCpuLoss *a)
{
  gsize n_groups = a->batch_dice ? 1 : a->n;
  double dice = 0;

  for (gsize g = 0; g < n_groups && a->overlap_counts; g++)
    for (guint k = a->first; k < a->n_classes; k++) {
      double above, below;

      overlap (a, a->sums + g * 3 * a->n_classes, k, &above, &below);
      dice -= above / MAX (below, 1e-8);
    }
  return dice;
}

/* Adds the blocks in order: sums {groups, 3, classes}, after them the voxels that count; metrics: [1] the voxel term's
 * sum, [2] the overlap's where every sample has its own, and the counts. */
static void
gather (const TessCpuLoss *a, const double *parts, gsize n_blocks)
{
  guint k_n = a->n_classes;
  gsize n_groups = a->batch_dice ? 1 : a->n, size = PART_SIZE (k_n);
  double ce = 0, n_counted = 0;

  memset (a->sums, 0, n_groups * 3 * k_n * sizeof *a->sums);
  memset (a->metrics, 0, (gsize)TESS_METRICS_SIZE (k_n) * sizeof *a->metrics);
  for (gsize i = 0; i < a->n * n_blocks; i++) {
    const double *part = parts + i * size;
    double *sums = a->sums + (a->batch_dice ? 0 : i / n_blocks) * 3 * k_n;

    ce += part[0];
    n_counted += part[1];
    for (gsize j = 0; j < 3 * (gsize)k_n; j++)
      sums[j] += part[2 + j];
    for (guint k = 0; k < k_n; k++)
      for (guint m = 0; m < 3; m++)
        a->metrics[3 + 3 * k + m] += part[2 + (3 + m) * k_n + k];
  }
  a->sums[a->n * 3 * k_n] = n_counted;
  a->metrics[1] = ce;
  a->metrics[2] = a->batch_dice ? 0 : overlap_sum (a);
}

void
TESS_KERNEL (loss_finish) (const TessCpuLoss *a)
{
  double n_counted = a->sums[a->n * 3 * a->n_classes], dice = a->batch_dice ? overlap_sum (a) : a->metrics[2];

  a->metrics[1] = n_counted > 0 ? a->metrics[1] / divisor (a, n_counted) : 0;
  a->metrics[2] = dice / (n_groups_of_all (a) * (a->n_classes - a->first));
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
  gather (a, parts, n_blocks);
}

/* For every group and class: dL/dp = slope - (truth ? step : 0), from the sums of the forward pass. */
static void
dice_slopes (const TessCpuLoss *a, float *table)
{
  guint k_n = a->n_classes;
  gsize n_groups = a->batch_dice ? 1 : a->n;
  double share = 1.0 / (n_groups_of_all (a) * (k_n - a->first));

  for (gsize g = 0; g < n_groups; g++)
    for (guint k = 0; k < k_n; k++) {
      double above, below, step;
      gboolean floored, none = k < a->first || !a->overlap_counts;

      overlap (a, a->sums + g * 3 * k_n, k, &above, &below);
      floored = !(below > 1e-8);
      step = floored ? 2 / 1e-8 : 2 / below - 2 * (1 - a->alpha - a->beta) * above / (below * below);
      table[(g * k_n + k) * 2] = none || floored ? 0.0f : (float)(share * 2 * a->alpha * above / (below * below));
      table[(g * k_n + k) * 2 + 1] = none ? 0.0f : (float)(share * step);
    }
}

/* The focal term's gradient as a factor on the cross-entropy's; 0 where a voxel does not count. */
static void
chunk_focus (const TessCpuLoss *a, const Chunk *c, guint k, float *focus)
{
  for (gsize j = 0; j < CHUNK; j++) {
    double q, log_pt;

    focus[j] = 0.0f;
    if (c->truth[j] < 0)
      continue;
    focal_parts (a, c, k, j, &q, &log_pt);
    focus[j] = (float)focal_factor (a->gamma, q, log_pt);
  }
}

ALWAYS_INLINE void
chunk_gradient (const TessCpuLoss *a, const Chunk *c, gsize first, gsize n, const float *table, gboolean bf16,
                gboolean sigmoid)
{
  guint k_n = a->n_classes;
  double n_counted = a->sums[a->n * 3 * k_n];
  float weight = (float)a->weight;
  float ce_weight = a->voxels_count && n_counted > 0 ? (float)(a->weight / divisor (a, n_counted)) : 0.0f;
  float mean[CHUNK], gradient[CHUNK], focus[CHUNK];

  memset (mean, 0, sizeof mean);
  for (gsize j = 0; j < CHUNK; j++)
    focus[j] = 1.0f;
  for (guint k = a->first; k < k_n && !sigmoid; k++)
    for (gsize j = 0; j < CHUNK; j++)
      mean[j] += c->p[k * CHUNK + j] * (table[2 * k] - (is_true (c, k, j, sigmoid) ? table[2 * k + 1] : 0.0f));
  for (guint k = 0; k < k_n; k++) {
    if (a->gamma > 0 && (sigmoid || k == 0))
      chunk_focus (a, c, k, focus);
    for (gsize j = 0; j < CHUNK; j++) {
      float p = c->p[k * CHUNK + j], is = is_true (c, k, j, sigmoid) ? 1.0f : 0.0f;
      float slope = table[2 * k] - is * table[2 * k + 1];

      gradient[j] = ce_weight * focus[j] * (p - is) + weight * p * (sigmoid ? slope * (1.0f - p) : slope - mean[j]);
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

        if (a->regions)
          load_sigmoid (a, first, m, &c);
        else
          load_softmax (a, first, m, &c);
        /* Constants, so that each becomes a loop of its own. */
        if (a->regions && a->bf16_out)
          chunk_gradient (a, &c, first, m, slopes, TRUE, TRUE);
        else if (a->regions)
          chunk_gradient (a, &c, first, m, slopes, FALSE, TRUE);
        else if (a->bf16_out)
          chunk_gradient (a, &c, first, m, slopes, TRUE, FALSE);
        else
          chunk_gradient (a, &c, first, m, slopes, FALSE, FALSE);
      }
    }
  }
}
