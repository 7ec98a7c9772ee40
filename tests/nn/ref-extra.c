#include <math.h>

#include "ref-ops.h"
#include "tess-philox.h"

/* The reference's ops of networks beside nnU-Net's. Naive loops in double, as in ref-ops.c. */

typedef struct {
  gint64 n, d[3], c, voxels;
} Shape;

static Shape
shape_of (const TessGraph *graph, TessId id)
{
  const TessTensor *t = tess_graph_tensor (graph, id);

  return (Shape){t->dim[0], {t->dim[1], t->dim[2], t->dim[3]}, t->dim[4], t->dim[1] * t->dim[2] * t->dim[3]};
}

static gint64
at (const Shape *s, gint64 n, const gint64 p[3], gint64 c)
{
  return (((n * s->d[0] + p[0]) * s->d[1] + p[1]) * s->d[2] + p[2]) * s->c + c;
}

static gint64
size_of (const Shape *s)
{
  return s->n * s->voxels * s->c;
}

/* Element i of a tensor as sample, voxel, channel. */
static void
locate (const Shape *s, gint64 i, gint64 *n, gint64 p[3], gint64 *c)
{
  *c = i % s->c;
  p[2] = i / s->c % s->d[2];
  p[1] = i / s->c / s->d[2] % s->d[1];
  p[0] = i / s->c / s->d[2] / s->d[1] % s->d[0];
  *n = i / s->c / s->voxels;
}

static void
note (guint64 *kinks, guint64 what)
{
  *kinks = (*kinks ^ what) * G_GUINT64_CONSTANT (0x100000001b3);
}

static double
act (TessActKind kind, double x, double alpha)
{
  switch (kind) {
  case TESS_ACT_GELU:
    return 0.5 * x * (1 + erf (x / sqrt (2.0)));
  case TESS_ACT_SIGMOID:
    return 1 / (1 + exp (-x));
  case TESS_ACT_ELU:
    return x > 0 ? x : exp (x) - 1;
  default:
    return x > 0 ? x : alpha * x;
  }
}

static double
act_slope (TessActKind kind, double x, double alpha)
{
  double s;

  switch (kind) {
  case TESS_ACT_GELU:
    return 0.5 * (1 + erf (x / sqrt (2.0))) + x * exp (-x * x / 2) / sqrt (2 * G_PI);
  case TESS_ACT_SIGMOID:
    s = 1 / (1 + exp (-x));
    return s * (1 - s);
  case TESS_ACT_ELU:
    return x > 0 ? 1 : exp (x);
  default:
    return x > 0 ? 1 : alpha;
  }
}

static void
run_act (const TessGraph *g, const TessOp *op, double *const *v, guint64 *kinks)
{
  Shape s = shape_of (g, op->in[0]);
  gboolean backward = op->kind == TESS_OP_ACT_BWD;
  const double *x = v[op->in[0]], *alpha = op->in[1] != TESS_NONE ? v[op->in[1]] : NULL;
  double *dalpha = backward && op->out[1] != TESS_NONE ? v[op->out[1]] : NULL;

  for (gint64 c = 0; dalpha != NULL && c < s.c; c++)
    dalpha[c] = 0;
  for (gint64 i = 0; i < size_of (&s); i++) {
    double a = alpha != NULL ? alpha[i % s.c] : 0;

    if (op->attr.act.kind == TESS_ACT_PRELU || op->attr.act.kind == TESS_ACT_ELU)
      note (kinks, x[i] > 0 ? 1 : 2);
    if (!backward)
      v[op->out[0]][i] = act (op->attr.act.kind, x[i], a);
    else if (op->out[0] != TESS_NONE)
      v[op->out[0]][i] = v[op->in[2]][i] * act_slope (op->attr.act.kind, x[i], a);
    if (dalpha != NULL && x[i] <= 0)
      dalpha[i % s.c] += v[op->in[2]][i] * x[i];
  }
}

/* The factor's element for element i of the product. */
static gint64
factor_at (const Shape *a, const Shape *b, gint64 i)
{
  if (b->voxels == a->voxels)
    return b->c == a->c ? i : i / a->c;
  return i / a->c / a->voxels * a->c + i % a->c;
}

static void
run_mul (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape a = shape_of (g, op->in[0]), b = shape_of (g, op->in[1]);
  const double *x = v[op->in[0]], *y = v[op->in[1]];

  for (gint64 i = 0; op->kind == TESS_OP_MUL_BWD && op->out[1] != TESS_NONE && i < size_of (&b); i++)
    v[op->out[1]][i] = 0;
  for (gint64 i = 0; i < size_of (&a); i++) {
    gint64 k = factor_at (&a, &b, i);

    if (op->kind == TESS_OP_MUL) {
      v[op->out[0]][i] = x[i] * y[k];
      continue;
    }
    if (op->out[0] != TESS_NONE)
      v[op->out[0]][i] = v[op->in[2]][i] * y[k];
    if (op->out[1] != TESS_NONE)
      v[op->out[1]][k] += v[op->in[2]][i] * x[i];
  }
}

static void
run_max_pool (const TessGraph *g, const TessOp *op, double *const *v, guint64 *kinks)
{
  gboolean backward = op->kind == TESS_OP_MAX_POOL_BWD;
  Shape s = shape_of (g, op->in[0]), t = shape_of (g, backward ? op->in[1] : op->out[0]);
  const int *k = op->attr.conv.kernel;
  const double *x = v[op->in[0]];

  for (gint64 i = 0; backward && i < size_of (&s); i++)
    v[op->out[0]][i] = 0;
  for (gint64 i = 0; i < size_of (&t); i++) {
    gint64 n, p[3], c, best = -1;

    locate (&t, i, &n, p, &c);
    for (int e = 0; e < k[0] * k[1] * k[2]; e++) {
      gint64 q[3] = {p[0] * k[0] + e / (k[1] * k[2]), p[1] * k[1] + e / k[2] % k[1], p[2] * k[2] + e % k[2]};
      gint64 j = at (&s, n, q, c);

      if (best < 0 || x[j] > x[best])
        best = j;
    }
    note (kinks, (guint64)best);
    if (backward)
      v[op->out[0]][best] = v[op->in[1]][i];
    else
      v[op->out[0]][i] = x[best];
  }
}

static void
run_global_pool (const TessGraph *g, const TessOp *op, double *const *v)
{
  gboolean backward = op->kind == TESS_OP_GLOBAL_POOL_BWD;
  Shape s = shape_of (g, backward ? op->out[0] : op->in[0]);
  double *out = v[op->out[0]];

  for (gint64 i = 0; !backward && i < s.n * s.c; i++)
    out[i] = 0;
  for (gint64 i = 0; i < size_of (&s); i++) {
    gint64 k = i / s.c / s.voxels * s.c + i % s.c;

    if (backward)
      out[i] = v[op->in[0]][k] / (double)s.voxels;
    else
      out[k] += v[op->in[0]][i] / (double)s.voxels;
  }
}

/* The two source voxels of fine voxel o along one axis, and the share of the second. */
static double
source (gint64 o, gint64 in, gint64 out, gboolean linear, gint64 at_two[2])
{
  double position = ((double)o + 0.5) * (double)in / (double)out - 0.5;

  if (!linear) {
    at_two[0] = at_two[1] = o * in / out;
    return 0;
  }
  position = position < 0 ? 0 : position;
  at_two[0] = MIN ((gint64)position, in - 1);
  at_two[1] = MIN (at_two[0] + 1, in - 1);
  return position - (double)at_two[0];
}

static void
run_resize (const TessGraph *g, const TessOp *op, double *const *v)
{
  gboolean backward = op->kind == TESS_OP_RESIZE_BWD;
  Shape s = shape_of (g, backward ? op->out[0] : op->in[0]), t = shape_of (g, backward ? op->in[0] : op->out[0]);
  double *out = v[op->out[0]];
  const double *in = v[op->in[0]];

  for (gint64 i = 0; i < size_of (backward ? &s : &t); i++)
    out[i] = 0;
  for (gint64 i = 0; i < size_of (&t); i++) {
    gint64 n, p[3], c, two[3][2];
    double share[3];

    locate (&t, i, &n, p, &c);
    for (int a = 0; a < 3; a++)
      share[a] = source (p[a], s.d[a], t.d[a], op->attr.resize.linear, two[a]);
    for (int e = 0; e < 8; e++) {
      int bit[3] = {e >> 2, e >> 1 & 1, e & 1};
      gint64 q[3] = {two[0][bit[0]], two[1][bit[1]], two[2][bit[2]]}, j = at (&s, n, q, c);
      double weight = 1;

      for (int a = 0; a < 3; a++)
        weight *= bit[a] ? share[a] : 1 - share[a];
      if (backward)
        out[j] += weight * in[i];
      else
        out[i] += weight * in[j];
    }
  }
}

static void
run_window (const TessGraph *g, const TessOp *op, double *const *v)
{
  Shape s = shape_of (g, op->in[0]), t = shape_of (g, op->out[0]);

  for (gint64 i = 0; i < size_of (&t); i++) {
    gint64 n, p[3], c;
    gboolean inside = TRUE;

    locate (&t, i, &n, p, &c);
    for (int a = 0; a < 3; a++) {
      p[a] += op->attr.window.start[a];
      inside = inside && p[a] >= 0 && p[a] < s.d[a];
    }
    v[op->out[0]][i] = inside ? v[op->in[0]][at (&s, n, p, c)] : 0;
  }
}

static void
run_dropout (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  Shape s = shape_of (g, op->in[0]);
  double rate = (double)op->attr.chance.amount;

  for (gint64 i = 0; i < size_of (&s); i++) {
    gint64 n, p[3], c;
    TessPhilox4 r;

    locate (&s, i, &n, p, &c);
    r = tess_philox (args->seed, (guint32)args->step, (guint32)n, 0x64726f00u + op->attr.chance.stream, (guint32)c);
    v[op->out[0]][i] = (double)(r.v[0] >> 8) / 16777216 < rate ? 0 : v[op->in[0]][i] / (1 - rate);
  }
}

static void
run_noise (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args)
{
  Shape s = shape_of (g, op->in[0]);
  gint64 sample = s.d[0] * s.d[1] * s.d[2] * s.c;

  for (gint64 i = 0; i < size_of (&s); i++) {
    TessPhilox4 r = tess_philox (args->seed, (guint32)args->step, (guint32)(i / sample),
                                 0x6e6f6900u + op->attr.chance.stream, (guint32)(i % sample / 2));
    double radius = sqrt (-2 * log (((r.v[0] >> 8) + 0.5) / 16777216)), angle = G_PI * (r.v[1] >> 8) / 8388608;

    v[op->out[0]][i] =
        v[op->in[0]][i] + (double)op->attr.chance.amount * radius * (i % sample % 2 ? sin (angle) : cos (angle));
  }
}

gboolean
ref_extra_run (const TessGraph *g, const TessOp *op, double *const *v, const TessStepArgs *args, guint64 *kinks)
{
  switch (op->kind) {
  case TESS_OP_ACT:
  case TESS_OP_ACT_BWD:
    run_act (g, op, v, kinks);
    return TRUE;
  case TESS_OP_MUL:
  case TESS_OP_MUL_BWD:
    run_mul (g, op, v);
    return TRUE;
  case TESS_OP_MAX_POOL:
  case TESS_OP_MAX_POOL_BWD:
    run_max_pool (g, op, v, kinks);
    return TRUE;
  case TESS_OP_GLOBAL_POOL:
  case TESS_OP_GLOBAL_POOL_BWD:
    run_global_pool (g, op, v);
    return TRUE;
  case TESS_OP_RESIZE:
  case TESS_OP_RESIZE_BWD:
    run_resize (g, op, v);
    return TRUE;
  case TESS_OP_WINDOW:
    run_window (g, op, v);
    return TRUE;
  case TESS_OP_DROPOUT:
    run_dropout (g, op, v, args);
    return TRUE;
  case TESS_OP_NOISE:
    run_noise (g, op, v, args);
    return TRUE;
  default:
    return FALSE;
  }
}
