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
run_norm_act (const TessGraph *g, const TessOp *op, double *const *v, guint64 *kinks)
{
  Shape s = shape_of (g, op->in[0]);
  gint64 n_voxels = voxels (&s);
  const double *gamma = v[op->in[1]], *beta = v[op->in[2]];

  for (gint64 n = 0; n < s.n; n++)
    for (gint64 c = 0; c < s.c; c++) {
      const double *x = v[op->in[0]] + n * n_voxels * s.c + c;
      double *y = v[op->out[0]] + n * n_voxels * s.c + c, *stats = v[op->out[1]] + (n * s.c + c) * 2;
      double mean = 0, variance = 0;

      for (gint64 i = 0; i < n_voxels; i++)
        mean += x[i * s.c] / (double)n_voxels;
      for (gint64 i = 0; i < n_voxels; i++)
        variance += (x[i * s.c] - mean) * (x[i * s.c] - mean) / (double)n_voxels;
      stats[0] = mean;
      stats[1] = op->attr.norm.eps_on_std ? 1.0 / (sqrt (variance) + (double)op->attr.norm.eps)
                                          : 1.0 / sqrt (variance + (double)op->attr.norm.eps);
      for (gint64 i = 0; i < n_voxels; i++) {
        double z = gamma[c] * (x[i * s.c] - mean) * stats[1] + beta[c];

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
    default:
      out[i] = a[i] + b[i];
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
  gint64 n_voxels, n_samples, n_groups; /* groups: samples, or 1 with batch_dice */
  guint n_classes;
  double *p;                        /* softmax, as the logits */
  double *both, *predicted, *truth; /* per group and class */
} Loss;

static guint
label_at (const Loss *loss, const double *labels, gint64 i)
{
  guint label = (guint)labels[i];

  return label < loss->n_classes ? label : 0;
}

static void
loss_prepare (Loss *loss, const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape s = shape_of (g, op->in[0]);
  const double *z = v[op->in[0]];
  guint n_classes = op->attr.loss.n_classes;
  gsize n_sums;

  loss->n_voxels = voxels (&s);
  loss->n_samples = s.n;
  loss->n_groups = op->attr.loss.batch_dice ? 1 : s.n;
  loss->n_classes = n_classes;
  n_sums = (gsize)loss->n_groups * n_classes;
  loss->p = g_new0 (double, (gsize)(s.n * loss->n_voxels) * n_classes);
  loss->both = g_new0 (double, n_sums);
  loss->predicted = g_new0 (double, n_sums);
  loss->truth = g_new0 (double, n_sums);
  for (gint64 i = 0; i < s.n * loss->n_voxels; i++) {
    gint64 group = op->attr.loss.batch_dice ? 0 : i / loss->n_voxels;
    double largest = -HUGE_VAL, sum = 0;

    for (guint c = 0; c < n_classes; c++)
      largest = MAX (largest, z[i * n_classes + c]);
    for (guint c = 0; c < n_classes; c++)
      sum += loss->p[i * n_classes + c] = exp (z[i * n_classes + c] - largest);
    for (guint c = 0; c < n_classes; c++) {
      double p = loss->p[i * n_classes + c] /= sum;
      double truth = label_at (loss, v[op->in[1]], i) == c ? 1.0 : 0.0;

      loss->both[group * n_classes + c] += p * truth;
      loss->predicted[group * n_classes + c] += p;
      loss->truth[group * n_classes + c] += truth;
    }
  }
}

static void
loss_clear (Loss *loss)
{
  g_free (loss->p);
  g_free (loss->both);
  g_free (loss->predicted);
  g_free (loss->truth);
}

static void
run_dice_ce (const TessGraph *g, const TessOp *op, double *const *v)
{
  Loss loss;
  guint n_classes = op->attr.loss.n_classes;
  double *metrics = v[op->out[0]], ce = 0, dice = 0, smooth = (double)op->attr.loss.smooth;

  loss_prepare (&loss, g, op, v);
  zero (metrics, tess_graph_tensor (g, op->out[0]));
  for (gint64 i = 0; i < loss.n_samples * loss.n_voxels; i++) {
    const double *z = v[op->in[0]] + i * n_classes;
    guint truth = label_at (&loss, v[op->in[1]], i), best = 0;
    double sum = 0;

    for (guint c = 1; c < n_classes; c++)
      if (z[c] > z[best])
        best = c;
    for (guint c = 0; c < n_classes; c++)
      sum += exp (z[c] - z[best]);
    ce += log (sum) - (z[truth] - z[best]);
    metrics[3 + 3 * truth + (best == truth ? 0 : 2)] += 1;
    if (best != truth)
      metrics[3 + 3 * best + 1] += 1;
  }
  for (gint64 group = 0; group < loss.n_groups; group++)
    for (guint c = 1; c < n_classes; c++) {
      gint64 k = group * n_classes + c;

      dice -= (2 * loss.both[k] + smooth) / MAX (loss.predicted[k] + loss.truth[k] + smooth, 1e-8);
    }
  metrics[1] = ce / (double)(loss.n_samples * loss.n_voxels);
  metrics[2] = dice / ((double)loss.n_groups * (n_classes - 1));
  metrics[0] = metrics[1] + metrics[2];
  loss_clear (&loss);
}

static void
run_dice_ce_bwd (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  Loss loss;
  guint n_classes = op->attr.loss.n_classes;
  double smooth = (double)op->attr.loss.smooth, weight = args->head_weight[op->attr.loss.head];

  loss_prepare (&loss, g, op, v);
  for (gint64 i = 0; i < loss.n_samples * loss.n_voxels; i++) {
    gint64 group = op->attr.loss.batch_dice ? 0 : i / loss.n_voxels;
    const double *p = loss.p + i * n_classes;
    guint truth = label_at (&loss, v[op->in[1]], i);
    double dp[256], mean = 0;

    for (guint c = 0; c < n_classes; c++) {
      gint64 k = group * n_classes + c;
      double below = loss.predicted[k] + loss.truth[k] + smooth, above = 2 * loss.both[k] + smooth;

      dp[c] = 0;
      if (c > 0) {
        if (below > 1e-8)
          dp[c] = (above / (below * below) - (c == truth ? 2 / below : 0));
        else
          dp[c] = c == truth ? -2 / 1e-8 : 0;
        dp[c] /= (double)loss.n_groups * (n_classes - 1);
      }
      mean += p[c] * dp[c];
    }
    for (guint c = 0; c < n_classes; c++) {
      double ce = (p[c] - (c == truth ? 1 : 0)) / (double)(loss.n_samples * loss.n_voxels);

      v[op->out[0]][i * n_classes + c] = weight * (ce + p[c] * (dp[c] - mean));
    }
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
    run_norm_act (graph, op, values, kinks);
    return TRUE;
  case TESS_OP_NORM_ACT_BWD:
    run_norm_act_bwd (graph, op, values);
    return TRUE;
  case TESS_OP_LEAKY_RELU:
  case TESS_OP_LEAKY_RELU_BWD:
  case TESS_OP_ADD:
    run_elementwise (graph, op, values, kinks);
    return TRUE;
  case TESS_OP_CONCAT:
  case TESS_OP_CONCAT_BWD:
    run_concat (graph, op, values);
    return TRUE;
  case TESS_OP_LABEL_RESIZE:
    run_label_resize (graph, op, values);
    return TRUE;
  case TESS_OP_DICE_CE:
    run_dice_ce (graph, op, values);
    return TRUE;
  case TESS_OP_DICE_CE_BWD:
    run_dice_ce_bwd (graph, op, values, args);
    return TRUE;
  case TESS_OP_GRAD_NORM:
    run_grad_norm (graph, op, values);
    return TRUE;
  case TESS_OP_SGD:
    run_sgd (graph, op, values, args);
    return TRUE;
  default:
    if (ref_extra_run (graph, op, values, kinks))
      return TRUE;
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, "the reference has no op %d", (int)op->kind);
  return FALSE;
}
