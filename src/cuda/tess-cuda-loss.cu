#include "tess-cuda-item.h"

/* The losses on logits (tess_graph_loss()), forward and backward: cross-entropy or focal term, Dice or Tversky term;
 * softmax, or one sigmoid a channel for regions. */

namespace
{

/* What the forward pass keeps of every voxel until its sums are taken. */
struct Voxels {
  float *top, *sum, *term; /* softmax: largest logit, sum of exponentials; the voxel term */
  int32_t *best;           /* softmax: class of the largest logit; -1: the voxel does not count */
};

ITEM inline bool
is_ignored (const TessCudaLoss &a, int64_t voxel)
{
  return a.labels[voxel] == a.ignore;
}

/* The class of a voxel; a label beyond the classes is background. */
ITEM inline int
class_of (const TessCudaLoss &a, int64_t voxel)
{
  int label = a.labels[voxel];

  return label < a.n_classes ? label : 0;
}

ITEM inline bool
is_member (const TessCudaLoss &a, int64_t voxel, int k)
{
  if (a.regions != nullptr)
    return (a.regions[a.labels[voxel]] >> k & 1) != 0;
  return class_of (a, voxel) == k;
}

ITEM inline float
sigmoid (float z)
{
  float e = expf (-fabsf (z));

  return (z > 0.0f ? 1.0f : e) / (1.0f + e);
}

/* log (sigmoid (s)) */
ITEM inline float
log_sigmoid (float s)
{
  return (s < 0.0f ? s : 0.0f) - log1pf (expf (-fabsf (s)));
}

/* -(1 - pt)^gamma log pt, Lin et al. 2017; q = 1 - pt, pt: probability of what is true. */
ITEM inline float
voxel_loss (float gamma, float q, float log_pt)
{
  return gamma > 0.0f ? -powf (q, gamma) * log_pt : -log_pt;
}

/* What its gradient is of that of the cross-entropy. */
ITEM inline float
voxel_focus (float gamma, float q, float log_pt)
{
  float least_q = q < 1e-30f ? 1e-30f : q;

  if (!(gamma > 0.0f))
    return 1.0f;
  return powf (least_q, gamma) - gamma * powf (least_q, gamma - 1.0f) * (1.0f - least_q) * log_pt;
}

/* The softmax of one voxel: p of class k is exp (z[k] - top) / sum. */
struct Softmax {
  float top, sum;
  int best;
  float q, log_pt; /* of the true class */
};

ITEM inline Softmax
softmax_of (const float *z, int n_classes, int truth)
{
  Softmax s = {z[0], 0, 0, 0, 0};
  float others = 0;

  for (int k = 1; k < n_classes; k++)
    if (z[k] > s.top) {
      s.top = z[k];
      s.best = k;
    }
  for (int k = 0; k < n_classes; k++) {
    float e = expf (z[k] - s.top);

    s.sum += e;
    others += k != truth ? e : 0.0f;
  }
  s.q = others / s.sum;
  s.log_pt = s.q < 0.5f ? log1pf (-s.q) : z[truth] - s.top - logf (s.sum);
  return s;
}

struct LossVoxel {
  TessCudaLoss a;
  Voxels v;

  ITEM void operator() (int64_t i) const
  {
    const float *z = a.logits + i * a.n_classes;
    float gamma = (float)a.gamma, term = 0;

    if (is_ignored (a, i)) {
      v.best[i] = -1;
      v.term[i] = 0;
      return;
    }
    if (a.regions != nullptr) {
      for (int k = 0; k < a.n_classes; k++) {
        float s = is_member (a, i, k) ? z[k] : -z[k];

        term += voxel_loss (gamma, sigmoid (-s), log_sigmoid (s));
      }
      v.best[i] = 0;
    } else {
      Softmax s = softmax_of (z, a.n_classes, class_of (a, i));

      v.top[i] = s.top;
      v.sum[i] = s.sum;
      v.best[i] = s.best;
      term = voxel_loss (gamma, s.q, s.log_pt);
    }
    v.term[i] = term;
  }
};

/* Of a class: both, predicted, truth (in voxels), tp, fp, fn. Of the column after the last: voxel term, voxels. */
struct LossSums {
  TessCudaLoss a;
  Voxels v;

  ITEM void operator() (int64_t n, int64_t row, int64_t column, float *part) const
  {
    int64_t i = n * a.voxels + row;
    int k = (int)column;
    float z, p;
    bool is, says;

    if (v.best[i] < 0)
      return;
    if (k == a.n_classes) {
      part[0] += v.term[i];
      part[1] += 1.0f;
      return;
    }
    z = a.logits[i * a.n_classes + k];
    p = a.regions != nullptr ? sigmoid (z) : expf (z - v.top[i]) / v.sum[i];
    is = is_member (a, i, k);
    says = a.regions != nullptr ? z > 0.0f : v.best[i] == k;
    part[0] += is ? p : 0.0f;
    part[1] += p;
    part[2] += is ? 1.0f : 0.0f;
    part[3] += is && says ? 1.0f : 0.0f;
    part[4] += !is && says ? 1.0f : 0.0f;
    part[5] += is && !says ? 1.0f : 0.0f;
  }
};

/* 2 TP + smooth over 2 TP + 2 alpha FP + 2 beta FN + smooth, before it is kept from 0. sums: {3, classes}. */
ITEM inline void
overlap_of (const TessCudaLoss &a, const double *sums, int k, double *above, double *below)
{
  double tp = sums[k], fp = sums[a.n_classes + k] - tp, fn = sums[2 * a.n_classes + k] - tp;

  *above = 2 * tp + a.smooth;
  *below = 2 * tp + 2 * a.alpha * fp + 2 * a.beta * fn + a.smooth;
}

/* What the voxel term is divided by; nnU-Net's binary cross-entropy under a mask takes the voxels alone. */
ITEM inline double
divisor_of (const TessCudaLoss &a, double n_counted)
{
  return n_counted * (a.regions != nullptr && a.ignore > 255 ? a.n_classes : 1);
}

/* Samples of all ranks that have an overlap of their own, or the one group of the whole batch. */
ITEM inline double
n_groups_of_all (const TessCudaLoss &a)
{
  return a.batch_dice ? 1.0 : (double)(a.n * a.n_ranks);
}

ITEM inline double
overlap_sum (const TessCudaLoss &a, const double *sums)
{
  double overlap = 0, above, below;

  for (int k = a.first; k < a.n_classes; k++) {
    overlap_of (a, sums, k, &above, &below);
    overlap -= above / (below > 1e-8 ? below : 1e-8);
  }
  return overlap;
}

/* totals {N, classes + 1, 6} into sums {groups, 3, classes}, and what other ranks have their part of into shared: the
 * voxel term and overlap of each sample, summed; counts as in metrics; voxels that count; sums of the whole batch. */
struct LossGather {
  TessCudaLoss a;
  const double *totals;

  ITEM void operator() (int64_t) const
  {
    int64_t n_groups = a.batch_dice ? 1 : a.n, size = 3 * a.n_classes;

    for (int64_t j = 0; j < n_groups * size; j++)
      a.sums[j] = 0;
    for (int64_t j = 0; j < 3 + 2 * size; j++)
      a.shared[j] = 0;
    for (int64_t n = 0; n < a.n; n++) {
      const double *t = totals + n * (a.n_classes + 1) * 6;
      double *sums = a.sums + (a.batch_dice ? 0 : n) * size;

      for (int k = 0; k < a.n_classes; k++)
        for (int m = 0; m < 3; m++) {
          sums[m * a.n_classes + k] += t[6 * k + m];
          a.shared[3 + 3 * k + m] += t[6 * k + 3 + m];
        }
      a.shared[0] += t[6 * a.n_classes];
      a.shared[2] += t[6 * a.n_classes + 1];
    }
    for (int64_t g = 0; g < n_groups && a.overlap_counts && !a.batch_dice; g++)
      a.shared[1] += overlap_sum (a, a.sums + g * size);
    for (int64_t j = 0; j < size && a.batch_dice; j++)
      a.shared[3 + size + j] = a.sums[j];
  }
};

/* Of all ranks: sums of the batch, after all samples' the voxels that count; and metrics. */
struct LossFinish {
  TessCudaLoss a;

  ITEM void operator() (int64_t) const
  {
    int64_t size = 3 * a.n_classes;
    double n_counted = a.shared[2], overlap = a.shared[1];

    for (int64_t j = 0; j < size && a.batch_dice; j++)
      a.sums[j] = a.shared[3 + size + j];
    if (a.batch_dice && a.overlap_counts)
      overlap = overlap_sum (a, a.sums);
    a.sums[a.n * size] = n_counted;
    for (int64_t j = 0; j < size; j++)
      a.metrics[3 + j] = a.shared[3 + j];
    a.metrics[1] = a.voxels_count && n_counted > 0 ? a.shared[0] / divisor_of (a, n_counted) : 0;
    a.metrics[2] = overlap / (n_groups_of_all (a) * (a.n_classes - a.first));
    a.metrics[0] = a.metrics[1] + a.metrics[2];
  }
};

/* table {groups, classes, 2}: d overlap term / d p = first - (true ? second : 0). */
struct LossTable {
  TessCudaLoss a;
  float *table;

  ITEM void operator() (int64_t i) const
  {
    int64_t g, k = split (i, a.n_classes, &g);
    double above, below, share = 1.0 / (n_groups_of_all (a) * (a.n_classes - a.first)), slope, step;

    overlap_of (a, a.sums + g * 3 * a.n_classes, (int)k, &above, &below);
    slope = below > 1e-8 ? 2 * a.alpha * above / (below * below) : 0;
    step = below > 1e-8 ? 2 / below - 2 * (1 - a.alpha - a.beta) * above / (below * below) : 2 / 1e-8;
    if (k < a.first || !a.overlap_counts)
      slope = step = 0;
    table[2 * i] = (float)(share * slope);
    table[2 * i + 1] = (float)(share * step);
  }
};

template <class T> struct LossGradient {
  TessCudaLoss a;
  const float *table;

  /* Gradient of channel k: voxel term's share (times p - t), overlap's share (of p). */
  ITEM void operator() (int64_t i) const
  {
    const float *z = a.logits + i * a.n_classes;
    const float *slopes = table + (a.batch_dice ? 0 : over (i, a.voxels)) * 2 * a.n_classes;
    T *dz = (T *)a.dlogits + i * a.n_classes;
    double n_counted = a.sums[a.n * 3 * a.n_classes];
    float weight = (float)a.args->head_weight[a.head], gamma = (float)a.gamma;
    float voxel = a.voxels_count && n_counted > 0 ? weight / (float)divisor_of (a, n_counted) : 0.0f;

    if (is_ignored (a, i)) {
      for (int k = 0; k < a.n_classes; k++)
        put (dz, k, 0.0f);
    } else if (a.regions != nullptr) {
      for (int k = 0; k < a.n_classes; k++) {
        float is = is_member (a, i, k) ? 1.0f : 0.0f, s = is > 0.0f ? z[k] : -z[k], p = sigmoid (z[k]);
        float slope = slopes[2 * k] - is * slopes[2 * k + 1];
        float focus = voxel_focus (gamma, sigmoid (-s), log_sigmoid (s));

        put (dz, k, voxel * focus * (p - is) + weight * p * slope * (1.0f - p));
      }
    } else {
      int truth = class_of (a, i);
      Softmax s = softmax_of (z, a.n_classes, truth);
      float focus = voxel_focus (gamma, s.q, s.log_pt), mean = 0;

      for (int k = 0; k < a.n_classes; k++)
        mean += expf (z[k] - s.top) / s.sum * (slopes[2 * k] - (k == truth ? slopes[2 * k + 1] : 0.0f));
      for (int k = 0; k < a.n_classes; k++) {
        float p = expf (z[k] - s.top) / s.sum, is = k == truth ? 1.0f : 0.0f;

        put (dz, k, voxel * focus * (p - is) + weight * p * (slopes[2 * k] - is * slopes[2 * k + 1] - mean));
      }
    }
  }
};

int64_t
n_sums (int64_t n, int n_classes)
{
  return n * (n_classes + 1) * 6;
}

} // namespace

extern "C" size_t
tess_cuda_loss_sums (int64_t n, int n_classes)
{
  return (size_t)(3 * n * n_classes + 1);
}

extern "C" size_t
tess_cuda_loss_shared (int n_classes)
{
  return (size_t)(3 + 6 * n_classes);
}

/* Forward: sums in steps, totals, then the voxels'; backward: the table. */
extern "C" size_t
tess_cuda_loss_scratch (int64_t n, int64_t voxels, int n_classes)
{
  size_t forward = (6 * sum_plan (n, voxels, n_classes + 1).doubles + (size_t)n_sums (n, n_classes)) * sizeof (double) +
                   (size_t)(n * voxels) * sizeof (float) * 4;
  size_t backward = (size_t)n * (size_t)n_classes * 2 * sizeof (float);

  return forward > backward ? forward : backward;
}

extern "C" cudaError_t
tess_cuda_loss (const TessCudaLoss *a, cudaStream_t stream)
{
  double *totals = (double *)a->scratch + 6 * sum_plan (a->n, a->voxels, a->n_classes + 1).doubles;
  int64_t n = a->n * a->voxels;
  Voxels v;
  Sums<6> sums;
  cudaError_t status;

  v.top = (float *)(totals + n_sums (a->n, a->n_classes));
  v.sum = v.top + n;
  v.term = v.sum + n;
  v.best = (int32_t *)(v.term + n);
  status = launch (LossVoxel{*a, v}, n, stream);
  if (status == cudaSuccess)
    status = sum_rows (LossSums{*a, v}, a->n, a->voxels, a->n_classes + 1, a->scratch, stream, &sums);
  if (status == cudaSuccess)
    status = launch (TakeTotals<6>{sums, totals}, n_sums (a->n, a->n_classes), stream);
  return status != cudaSuccess ? status : launch (LossGather{*a, totals}, 1, stream);
}

extern "C" cudaError_t
tess_cuda_loss_finish (const TessCudaLoss *a, cudaStream_t stream)
{
  return launch (LossFinish{*a}, 1, stream);
}

extern "C" cudaError_t
tess_cuda_loss_backward (const TessCudaLoss *a, cudaStream_t stream)
{
  float *table = (float *)a->scratch;
  int64_t n = a->n * a->voxels, n_groups = a->batch_dice ? 1 : a->n;
  cudaError_t status = launch (LossTable{*a, table}, n_groups * a->n_classes, stream);

  if (status != cudaSuccess)
    return status;
  if (a->bf16_out)
    return launch (LossGradient<Bf16>{*a, table}, n, stream);
  return launch (LossGradient<float>{*a, table}, n, stream);
}
