#include "ref-ops.h"

#include <math.h>

/* The ops of the reference on double arrays. Index names: n sample; z y x voxel; i input channel; o output channel. */

typedef struct {
  gint64 n, d[3], c;
} Shape;

static Shape
shape_of (const TessGraph *graph, TessId id)
{
  const TessTensor *t = tess_graph_tensor (graph, id);

  return (Shape){t->dim[0], {t->dim[1], t->dim[2], t->dim[3]}, t->dim[4]};
}

static gint64
voxels (const Shape *s)
{
  return s->d[0] * s->d[1] * s->d[2];
}

static gint64
at (const Shape *s, gint64 n, const gint64 p[3], gint64 c)
{
  return (((n * s->d[0] + p[0]) * s->d[1] + p[1]) * s->d[2] + p[2]) * s->c + c;
}

static void
zero (double *values, const TessTensor *t)
{
  memset (values, 0, (gsize)tess_tensor_n_elements (t) * sizeof *values);
}

/* What happens at one pairing of a fine voxel p (the convolution's input side) and a coarse voxel q (its output
 * side) through kernel element k, for one input channel i and output channel o. All six convolution ops are this
 * walk with different sources and targets. */
typedef void (*Tap) (const double *a, const double *b, double *target, gint64 fine, gint64 coarse, gint64 weight);

static inline void
tap_forward (const double *x, const double *w, double *y, gint64 fine, gint64 coarse, gint64 weight)
{
  y[coarse] += x[fine] * w[weight];
}

static inline void
tap_data (const double *dy, const double *w, double *dx, gint64 fine, gint64 coarse, gint64 weight)
{
  dx[fine] += dy[coarse] * w[weight];
}

static inline void
tap_weights (const double *x, const double *dy, double *dw, gint64 fine, gint64 coarse, gint64 weight)
{
  dw[weight] += x[fine] * dy[coarse];
}

/* The same with the transposed convolution's x on the coarse side and y on the fine side. */
static inline void
tap_weights_transposed (const double *x, const double *dy, double *dw, gint64 fine, gint64 coarse, gint64 weight)
{
  dw[weight] += x[coarse] * dy[fine];
}

/* Weight layout {coarse channels, fine channels, kD, kH, kW}: that is {out, in, ...} for a convolution and
 * {in, out, ...} for a transposed one. */
static inline __attribute__ ((always_inline)) void
walk (const Shape *fine, const Shape *coarse, const TessConvAttr *attr, Tap tap, const double *a, const double *b,
      double *target)
{
  gint64 q[3], p[3], k[3];
  gint64 kernel = (gint64)attr->kernel[0] * attr->kernel[1] * attr->kernel[2];

  for (gint64 n = 0; n < coarse->n; n++)
    for (q[0] = 0; q[0] < coarse->d[0]; q[0]++)
      for (q[1] = 0; q[1] < coarse->d[1]; q[1]++)
        for (q[2] = 0; q[2] < coarse->d[2]; q[2]++)
          for (gint64 e = 0; e < kernel; e++) {
            gboolean inside = TRUE;

            k[0] = e / (attr->kernel[1] * attr->kernel[2]);
            k[1] = e / attr->kernel[2] % attr->kernel[1];
            k[2] = e % attr->kernel[2];
            for (int axis = 0; axis < 3; axis++) {
              p[axis] = q[axis] * attr->stride[axis] + k[axis] * (attr->gap[axis] + 1) - attr->pad[axis];
              inside = inside && p[axis] >= 0 && p[axis] < fine->d[axis];
            }
            if (!inside)
              continue;
            gint64 f = at (fine, n, p, 0), c = at (coarse, n, q, 0);

            for (gint64 o = 0; o < coarse->c; o++)
              for (gint64 i = 0; i < fine->c; i++)
                tap (a, b, target, f + i, c + o, (o * fine->c + i) * kernel + e);
          }
}

static void
run_conv (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape x = shape_of (g, op->in[0]), y = shape_of (g, op->out[0]);
  double *out = v[op->out[0]];

  for (gint64 i = 0; i < y.n * voxels (&y) * y.c; i++)
    out[i] = op->in[2] == TESS_NONE ? 0.0 : v[op->in[2]][i % y.c];
  if (op->kind == TESS_OP_CONV)
    walk (&x, &y, &op->attr.conv, tap_forward, v[op->in[0]], v[op->in[1]], out);
  else
    walk (&y, &x, &op->attr.conv, tap_data, v[op->in[0]], v[op->in[1]], out);
}

static void
run_conv_data (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape dy = shape_of (g, op->in[0]), dx = shape_of (g, op->out[0]);

  zero (v[op->out[0]], tess_graph_tensor (g, op->out[0]));
  if (op->kind == TESS_OP_CONV_BWD_DATA)
    walk (&dx, &dy, &op->attr.conv, tap_data, v[op->in[0]], v[op->in[1]], v[op->out[0]]);
  else
    walk (&dy, &dx, &op->attr.conv, tap_forward, v[op->in[0]], v[op->in[1]], v[op->out[0]]);
}

static void
run_conv_weights (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape x = shape_of (g, op->in[0]), dy = shape_of (g, op->in[1]);
  const double *d = v[op->in[1]];

  zero (v[op->out[0]], tess_graph_tensor (g, op->out[0]));
  if (op->kind == TESS_OP_CONV_BWD_WEIGHTS)
    walk (&x, &dy, &op->attr.conv, tap_weights, v[op->in[0]], d, v[op->out[0]]);
  else
    walk (&dy, &x, &op->attr.conv, tap_weights_transposed, v[op->in[0]], d, v[op->out[0]]);
  if (op->out[1] == TESS_NONE)
    return;
  zero (v[op->out[1]], tess_graph_tensor (g, op->out[1]));
  for (gint64 i = 0; i < dy.n * voxels (&dy) * dy.c; i++)
    v[op->out[1]][i % dy.c] += d[i];
}

static void
note_side (guint64 *kinks, double z)
{
  *kinks = (*kinks ^ (z > 0 ? 1u : 2u)) * G_GUINT64_CONSTANT (0x100000001b3);
}

static void
find_stats (const TessNormAttr *attr, const double *x, gint64 n_voxels, gint64 stride, double stats[2])
{
  double mean = 0, variance = 0;

  for (gint64 i = 0; i < n_voxels; i++)
    mean += x[i * stride] / (double)n_voxels;
  for (gint64 i = 0; i < n_voxels; i++)
    variance += (x[i * stride] - mean) * (x[i * stride] - mean) / (double)n_voxels;
  stats[0] = mean;
  stats[1] = attr->eps_on_std ? 1.0 / (sqrt (variance) + (double)attr->eps) : 1.0 / sqrt (variance + (double)attr->eps);
}

/* NORM_ACT, and NORM_APPLY, which is given the stats. */
static void
run_norm_act (const TessGraph *g, const TessOp *op, double *const *v, guint64 *kinks)
{
  Shape s = shape_of (g, op->in[0]);
  gint64 n_voxels = voxels (&s);
  const double *gamma = v[op->in[1]], *beta = v[op->in[2]];
  double *all_stats = op->kind == TESS_OP_NORM_ACT ? v[op->out[1]] : v[op->in[3]];

  for (gint64 n = 0; n < s.n; n++)
    for (gint64 c = 0; c < s.c; c++) {
      const double *x = v[op->in[0]] + n * n_voxels * s.c + c;
      double *y = v[op->out[0]] + n * n_voxels * s.c + c, *stats = all_stats + (n * s.c + c) * 2;

      if (op->kind == TESS_OP_NORM_ACT)
        find_stats (&op->attr.norm, x, n_voxels, s.c, stats);
      for (gint64 i = 0; i < n_voxels; i++) {
        double z = gamma[c] * (x[i * s.c] - stats[0]) * stats[1] + beta[c];

        y[i * s.c] = z > 0 ? z : (double)op->attr.norm.slope * z;
        if (op->attr.norm.slope != 1.0f)
          note_side (kinks, z);
      }
    }
}

static void
run_norm_act_bwd (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape s = shape_of (g, op->in[0]);
  gint64 n_voxels = voxels (&s);
  const double *gamma = v[op->in[1]], *beta = v[op->in[2]];
  double *dgamma = v[op->out[1]], *dbeta = v[op->out[2]];

  for (gint64 c = 0; c < s.c; c++) {
    dgamma[c] = dbeta[c] = 0;
    for (gint64 n = 0; n < s.n; n++) {
      gint64 first = n * n_voxels * s.c + c;
      const double *x = v[op->in[0]] + first, *dy = v[op->in[4]] + first, *stats = v[op->in[3]] + (n * s.c + c) * 2;
      double sum = 0, sum_u = 0, part = op->attr.norm.eps_on_std ? (double)op->attr.norm.eps * stats[1] : 0;

      /* Twice over the voxels: sums of dz and dz u first, then dx from their means. */
      for (int pass = 0; pass < 2; pass++)
        for (gint64 i = 0; i < n_voxels; i++) {
          double u = (x[i * s.c] - stats[0]) * stats[1];
          double dz = dy[i * s.c] * (gamma[c] * u + beta[c] > 0 ? 1.0 : (double)op->attr.norm.slope);

          if (pass == 0) {
            sum += dz;
            sum_u += dz * u;
          } else if (op->out[0] != TESS_NONE) {
            v[op->out[0]][first + i * s.c] =
                gamma[c] * stats[1] *
                (dz - sum / (double)n_voxels - u * sum_u / (double)n_voxels / (part < 1 ? 1 - part : 1));
          }
        }
      dbeta[c] += sum;
      dgamma[c] += sum_u;
    }
  }
}

static void
run_elementwise (const TessGraph *g, const TessOp *op, double *const *v, guint64 *kinks)
{
  gint64 n = tess_tensor_n_elements (tess_graph_tensor (g, op->out[0]));
  double *out = v[op->out[0]];
  const double *a = v[op->in[0]], *b = op->n_in > 1 ? v[op->in[1]] : NULL;
  double slope = (double)op->attr.norm.slope;

  for (gint64 i = 0; i < n; i++)
    switch (op->kind) {
    case TESS_OP_LEAKY_RELU:
      out[i] = a[i] > 0 ? a[i] : slope * a[i];
      note_side (kinks, a[i]);
      break;
    case TESS_OP_LEAKY_RELU_BWD:
      out[i] = b[i] * (a[i] > 0 ? 1.0 : slope);
      break;
    case TESS_OP_ADD_ACT:
      out[i] = a[i] + b[i] > 0 ? a[i] + b[i] : slope * (a[i] + b[i]);
      note_side (kinks, a[i] + b[i]);
      break;
    default:
      out[i] = a[i] + b[i];
    }
}

/* Every voxel p of the window of coarse voxel q: forward adds its share to q, backward q's share to it. */
static void
run_avg_pool (const TessGraph *g, const TessOp *op, double *const *v)
{
  gboolean forward = op->kind == TESS_OP_AVG_POOL;
  Shape fine = shape_of (g, forward ? op->in[0] : op->out[0]), coarse = shape_of (g, forward ? op->out[0] : op->in[0]);
  const int *kernel = op->attr.conv.kernel, *stride = op->attr.conv.stride;
  gint64 volume = (gint64)kernel[0] * kernel[1] * kernel[2], q[3], p[3];

  zero (v[op->out[0]], tess_graph_tensor (g, op->out[0]));
  for (gint64 i = 0; i < coarse.n * voxels (&coarse); i++)
    for (gint64 e = 0; e < volume; e++) {
      q[0] = i / (coarse.d[1] * coarse.d[2]) % coarse.d[0];
      q[1] = i / coarse.d[2] % coarse.d[1];
      q[2] = i % coarse.d[2];
      p[0] = q[0] * stride[0] + e / (kernel[1] * kernel[2]);
      p[1] = q[1] * stride[1] + e / kernel[2] % kernel[1];
      p[2] = q[2] * stride[2] + e % kernel[2];
      for (gint64 c = 0; c < fine.c; c++) {
        gint64 f = at (&fine, i / voxels (&coarse), p, c), o = i * fine.c + c;

        if (forward)
          v[op->out[0]][o] += v[op->in[0]][f] / (double)volume;
        else
          v[op->out[0]][f] += v[op->in[0]][o] / (double)volume;
      }
    }
}

/* One joined side and two parts; forward copies parts to whole, backward the whole to its parts. */
static void
run_concat (const TessGraph *g, const TessOp *op, double *const *v)
{
  gboolean forward = op->kind == TESS_OP_CONCAT;
  const TessId *parts = forward ? op->in : op->out;
  TessId joined = forward ? op->out[0] : op->in[0];
  Shape s = shape_of (g, joined);
  gint64 before = 0;

  for (int part = 0; part < 2; part++) {
    gint64 channels;

    if (parts[part] == TESS_NONE) {
      /* The left-out one has what the other leaves. */
      channels = s.c - shape_of (g, parts[1 - part]).c;
    } else {
      channels = shape_of (g, parts[part]).c;
      for (gint64 i = 0; i < s.n * voxels (&s); i++)
        for (gint64 c = 0; c < channels; c++) {
          double *one = &v[parts[part]][i * channels + c], *all = &v[joined][i * s.c + before + c];

          if (forward)
            *all = *one;
          else
            *one = *all;
        }
    }
    before += channels;
  }
}

static void
run_label_resize (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape in = shape_of (g, op->in[0]), out = shape_of (g, op->out[0]);
  gint64 p[3], q[3];

  for (gint64 n = 0; n < out.n; n++)
    for (q[0] = 0; q[0] < out.d[0]; q[0]++)
      for (q[1] = 0; q[1] < out.d[1]; q[1]++)
        for (q[2] = 0; q[2] < out.d[2]; q[2]++) {
          for (int a = 0; a < 3; a++)
            p[a] = (2 * q[a] + 1) * in.d[a] / (2 * out.d[a]);
          v[op->out[0]][at (&out, n, q, 0)] = v[op->in[0]][at (&in, n, p, 0)];
        }
}

typedef struct {
  const TessLossAttr *attr;
  gint64 n_voxels, n_samples, n_groups; /* groups: samples, or 1 with batch_dice */
  guint n_classes, first;               /* first: class of the overlap */
  gint64 n_counted;                     /* voxels that are not ignored */
  double divisor;                       /* of the voxel term */
  double alpha, beta, gamma;
  double *p;                        /* softmax or sigmoids, as the logits */
  double *both, *predicted, *truth; /* per group and class */
} Loss;

static gboolean
is_ignored (const Loss *loss, const double *labels, gint64 i)
{
  return loss->attr->ignore > 0 && (guint)labels[i] == loss->attr->ignore;
}

/* Whether voxel i is of class c. */
static gboolean
is_member (const Loss *loss, const double *labels, gint64 i, guint c)
{
  guint label = (guint)labels[i];

  if (loss->attr->regions != NULL)
    return (loss->attr->regions[label] >> c & 1) != 0;
  return c == (label < loss->n_classes ? label : 0);
}

static void
activate (const Loss *loss, const double *z, double *p)
{
  double largest = -HUGE_VAL, sum = 0;

  for (guint c = 0; c < loss->n_classes && loss->attr->regions != NULL; c++)
    p[c] = 1 / (1 + exp (-z[c]));
  if (loss->attr->regions != NULL)
    return;
  for (guint c = 0; c < loss->n_classes; c++)
    largest = MAX (largest, z[c]);
  for (guint c = 0; c < loss->n_classes; c++)
    sum += p[c] = exp (z[c] - largest);
  for (guint c = 0; c < loss->n_classes; c++)
    p[c] /= sum;
}

static void
loss_prepare (Loss *loss, const TessGraph *g, const TessOp *op, double *const *v)
{
  const TessLossAttr *attr = loss->attr = &op->attr.loss;
  Shape s = shape_of (g, op->in[0]);
  const double *labels = v[op->in[1]];
  guint n_classes = loss->n_classes = attr->n_classes;
  gsize n_sums;

  loss->n_voxels = voxels (&s);
  loss->n_samples = s.n;
  loss->n_groups = attr->batch_dice ? 1 : s.n;
  loss->first = attr->regions != NULL || attr->background ? 0 : 1;
  loss->alpha = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->alpha : 0.5;
  loss->beta = attr->kind == TESS_LOSS_TVERSKY ? (double)attr->beta : 0.5;
  loss->gamma = attr->kind == TESS_LOSS_FOCAL ? (double)attr->gamma : 0;
  loss->n_counted = 0;
  n_sums = (gsize)loss->n_groups * n_classes;
  loss->p = g_new0 (double, (gsize)(s.n * loss->n_voxels) * n_classes);
  loss->both = g_new0 (double, n_sums);
  loss->predicted = g_new0 (double, n_sums);
  loss->truth = g_new0 (double, n_sums);
  for (gint64 i = 0; i < s.n * loss->n_voxels; i++) {
    gint64 group = attr->batch_dice ? 0 : i / loss->n_voxels;

    activate (loss, v[op->in[0]] + i * n_classes, loss->p + i * n_classes);
    if (is_ignored (loss, labels, i))
      continue;
    loss->n_counted++;
    for (guint c = 0; c < n_classes; c++) {
      double p = loss->p[i * n_classes + c], truth = is_member (loss, labels, i, c) ? 1.0 : 0.0;

      loss->both[group * n_classes + c] += p * truth;
      loss->predicted[group * n_classes + c] += p;
      loss->truth[group * n_classes + c] += truth;
    }
  }
  loss->divisor = (double)loss->n_counted * (attr->regions != NULL && attr->ignore == 0 ? n_classes : 1);
}

static void
loss_clear (Loss *loss)
{
  g_free (loss->p);
  g_free (loss->both);
  g_free (loss->predicted);
  g_free (loss->truth);
}

/* Probabilities of what is true: one a voxel, or one a channel (c). */
static double
true_probability (const Loss *loss, const double *labels, gint64 i, guint c)
{
  const double *p = loss->p + i * loss->n_classes;

  if (loss->attr->regions != NULL)
    return is_member (loss, labels, i, c) ? p[c] : 1 - p[c];
  for (guint k = 0; k < loss->n_classes; k++)
    if (is_member (loss, labels, i, k))
      return p[k];
  g_assert_not_reached ();
}

static double
voxel_term (const Loss *loss, const double *labels)
{
  double sum = 0;

  if (loss->n_counted == 0 || (loss->attr->kind != TESS_LOSS_DICE_CE && loss->attr->kind != TESS_LOSS_FOCAL))
    return 0;
  for (gint64 i = 0; i < loss->n_samples * loss->n_voxels; i++)
    for (guint c = 0; c < (loss->attr->regions != NULL ? loss->n_classes : 1) && !is_ignored (loss, labels, i); c++) {
      double pt = true_probability (loss, labels, i, c);

      sum -= pow (1 - pt, loss->gamma) * log (pt);
    }
  return sum / loss->divisor;
}

/* Tversky index of a group and class as N / S. */
static void
overlap_of (const Loss *loss, gint64 k, double *n, double *s)
{
  double tp = loss->both[k], fp = loss->predicted[k] - tp, fn = loss->truth[k] - tp;

  *n = 2 * tp + (double)loss->attr->smooth;
  *s = 2 * tp + 2 * loss->alpha * fp + 2 * loss->beta * fn + (double)loss->attr->smooth;
}

static void
count_hits (const Loss *loss, const double *z, const double *labels, gint64 i, double *metrics)
{
  guint best = 0;

  for (guint c = 1; c < loss->n_classes; c++)
    if (z[c] > z[best])
      best = c;
  for (guint c = 0; c < loss->n_classes && !is_ignored (loss, labels, i); c++) {
    gboolean is = is_member (loss, labels, i, c), says = loss->attr->regions != NULL ? z[c] > 0 : c == best;

    metrics[3 + 3 * c] += is && says;
    metrics[3 + 3 * c + 1] += !is && says;
    metrics[3 + 3 * c + 2] += is && !says;
  }
}

static void
run_loss (const TessGraph *g, const TessOp *op, double *const *v)
{
  Loss loss;
  guint n_classes = op->attr.loss.n_classes;
  double *metrics = v[op->out[0]], dice = 0, n, s;

  loss_prepare (&loss, g, op, v);
  zero (metrics, tess_graph_tensor (g, op->out[0]));
  for (gint64 i = 0; i < loss.n_samples * loss.n_voxels; i++)
    count_hits (&loss, v[op->in[0]] + i * n_classes, v[op->in[1]], i, metrics);
  for (gint64 group = 0; group < loss.n_groups && op->attr.loss.kind != TESS_LOSS_FOCAL; group++)
    for (guint c = loss.first; c < n_classes; c++) {
      overlap_of (&loss, group * n_classes + c, &n, &s);
      dice -= n / MAX (s, 1e-8);
    }
  metrics[1] = voxel_term (&loss, v[op->in[1]]);
  metrics[2] = dice / ((double)loss.n_groups * (n_classes - loss.first));
  metrics[0] = metrics[1] + metrics[2];
  loss_clear (&loss);
}

/* d loss / d p of every class of voxel i, both terms. */
static void
loss_slopes (const Loss *loss, const double *labels, gint64 i, double *dp)
{
  const TessLossAttr *attr = loss->attr;
  gint64 group = attr->batch_dice ? 0 : i / loss->n_voxels;

  for (guint c = 0; c < loss->n_classes; c++) {
    gboolean is = is_member (loss, labels, i, c);
    double n, s;

    dp[c] = 0;
    if (attr->kind != TESS_LOSS_FOCAL && c >= loss->first) {
      overlap_of (loss, group * loss->n_classes + c, &n, &s);
      if (s > 1e-8)
        dp[c] = is ? -2 / s + 2 * (1 - loss->beta) * n / (s * s) : 2 * loss->alpha * n / (s * s);
      else
        dp[c] = is ? -2 / 1e-8 : 0;
      dp[c] /= (double)loss->n_groups * (loss->n_classes - loss->first);
    }
    if ((attr->kind == TESS_LOSS_DICE_CE || attr->kind == TESS_LOSS_FOCAL) && (is || attr->regions != NULL)) {
      double pt = true_probability (loss, labels, i, c), q = 1 - pt;
      double slope = loss->gamma > 0 ? loss->gamma * pow (q, loss->gamma - 1) * log (pt) : 0;

      slope -= pow (q, loss->gamma) / pt;
      dp[c] += (is ? 1 : -1) * slope / loss->divisor;
    }
  }
}

static void
run_loss_bwd (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  Loss loss;
  guint n_classes = op->attr.loss.n_classes;
  double weight = args->head_weight[op->attr.loss.head];

  loss_prepare (&loss, g, op, v);
  for (gint64 i = 0; i < loss.n_samples * loss.n_voxels; i++) {
    const double *p = loss.p + i * n_classes;
    double *dz = v[op->out[0]] + i * n_classes, dp[256] = {0}, mean = 0;

    if (!is_ignored (&loss, v[op->in[1]], i))
      loss_slopes (&loss, v[op->in[1]], i, dp);
    for (guint c = 0; c < n_classes; c++)
      mean += p[c] * dp[c];
    for (guint c = 0; c < n_classes; c++)
      dz[c] = weight * p[c] * (op->attr.loss.regions != NULL ? dp[c] * (1 - p[c]) : dp[c] - mean);
  }
  loss_clear (&loss);
}

static void
run_grad_norm (const TessGraph *g, const TessOp *op, double *const *v)
{
  double sum = 0;

  for (TessId id = 0; id < g->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (g, id);

    if (t->role == TESS_ROLE_GRAD)
      for (gint64 i = 0; i < tess_tensor_n_elements (t); i++)
        sum += v[id][i] * v[id][i];
  }
  v[op->out[0]][0] = sqrt (sum);
}

/* The GRAD, MOMENTUM and PARAM tensors of one ordinal belong together. */
static void
run_sgd (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  double norm = v[op->in[0]][0], clip = 1;
  TessId next_momentum = 0;

  if (args->clip_norm > 0)
    clip = MIN (1.0, args->clip_norm / (norm + 1e-6));
  for (TessId id = 0; id < g->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (g, id);
    double *p = v[id], *m;
    const double *gradient;

    if (t->role != TESS_ROLE_PARAM)
      continue;
    while (tess_graph_tensor (g, next_momentum)->role != TESS_ROLE_MOMENTUM)
      next_momentum++;
    m = v[next_momentum++];
    gradient = v[t->grad];
    for (gint64 i = 0; i < tess_tensor_n_elements (t); i++) {
      double d = clip * gradient[i] + args->weight_decay * p[i];

      m[i] = args->momentum * m[i] + d;
      p[i] -= args->learning_rate * (d + args->momentum * m[i]);
    }
  }
}

/* The first moments of all parameters come before the second ones. */
static void
run_adam (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  double norm = v[op->in[0]][0], clip = 1, step = (double)args->step;
  double correct1 = 1 - pow (args->beta1, step), correct2 = 1 - pow (args->beta2, step);
  TessId next[2] = {0, 0};
  guint n_params = 0, seen = 0;

  if (args->clip_norm > 0)
    clip = MIN (1.0, args->clip_norm / (norm + 1e-6));
  for (TessId id = 0; id < g->tensors->len; id++)
    n_params += tess_graph_tensor (g, id)->role == TESS_ROLE_PARAM;
  for (next[1] = 0; seen < n_params || tess_graph_tensor (g, next[1])->role != TESS_ROLE_MOMENTUM; next[1]++)
    seen += tess_graph_tensor (g, next[1])->role == TESS_ROLE_MOMENTUM;
  for (TessId id = 0; id < g->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (g, id);
    double *p = v[id], *moment[2];

    if (t->role != TESS_ROLE_PARAM)
      continue;
    for (int k = 0; k < 2; k++) {
      while (tess_graph_tensor (g, next[k])->role != TESS_ROLE_MOMENTUM)
        next[k]++;
      moment[k] = v[next[k]++];
    }
    for (gint64 i = 0; i < tess_tensor_n_elements (t); i++) {
      double d = clip * v[t->grad][i];

      if (op->attr.optimiser.decoupled)
        p[i] -= args->learning_rate * args->weight_decay * p[i];
      else
        d += args->weight_decay * p[i];
      moment[0][i] = args->beta1 * moment[0][i] + (1 - args->beta1) * d;
      moment[1][i] = args->beta2 * moment[1][i] + (1 - args->beta2) * d * d;
      p[i] -= args->learning_rate * (moment[0][i] / correct1) / (sqrt (moment[1][i] / correct2) + args->epsilon);
    }
  }
}

gboolean
ref_op_run (const TessGraph *graph, const TessOp *op, double *const *values, const TessStepArgs *args, guint64 *kinks,
            GError **error)
{
  switch (op->kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
    run_conv (graph, op, values);
    return TRUE;
  case TESS_OP_CONV_BWD_DATA:
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA:
    run_conv_data (graph, op, values);
    return TRUE;
  case TESS_OP_CONV_BWD_WEIGHTS:
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS:
    run_conv_weights (graph, op, values);
    return TRUE;
  case TESS_OP_NORM_ACT:
  case TESS_OP_NORM_APPLY:
    run_norm_act (graph, op, values, kinks);
    return TRUE;
  case TESS_OP_NORM_ACT_BWD:
    run_norm_act_bwd (graph, op, values);
    return TRUE;
  case TESS_OP_LEAKY_RELU:
  case TESS_OP_LEAKY_RELU_BWD:
  case TESS_OP_ADD:
  case TESS_OP_ADD_ACT:
    run_elementwise (graph, op, values, kinks);
    return TRUE;
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
    run_concat (graph, op, values);
    return TRUE;
  case TESS_OP_LABEL_RESIZE:
    run_label_resize (graph, op, values);
    return TRUE;
  case TESS_OP_LOSS:
    run_loss (graph, op, values);
    return TRUE;
  case TESS_OP_LOSS_BWD:
    run_loss_bwd (graph, op, values, args);
    return TRUE;
  case TESS_OP_GRAD_NORM:
    run_grad_norm (graph, op, values);
    return TRUE;
  case TESS_OP_SGD:
    run_sgd (graph, op, values, args);
    return TRUE;
  case TESS_OP_AVG_POOL:
  case TESS_OP_AVG_POOL_BWD:
    run_avg_pool (graph, op, values);
    return TRUE;
  case TESS_OP_ADAM:
    run_adam (graph, op, values, args);
    return TRUE;
  default:
    if (ref_extra_run (graph, op, values, args, kinks))
      return TRUE;
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, "the reference has no op %d", (int)op->kind);
  return FALSE;
}
