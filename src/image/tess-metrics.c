#include "tess-metrics.h"

#include "tess-parallel.h"
#include "tess-statistics.h"
#include "tess-thread.h"

#include <inttypes.h>
#include <math.h>

enum {
  IN_REFERENCE = 1,
  IN_PREDICTION = 2,
};

/* Lines of the y and z passes are handled this many at a time, so that a cache line fetched for one is used by all. */
#define LINES 16

typedef struct {
  float *out; /* squared mm */
  const guint8 *mask;
  guint8 bits;
  const gint64 *dim;
  double spacing;
  int axis; /* 1 or 2 */
} Transform;

/* One row along x: two sweeps give the exact distance to the nearest marked voxel of the row. */
static void
row_pass (gsize begin, gsize end, gpointer user_data)
{
  const Transform *t = user_data;
  gint64 n = t->dim[0];

  for (gsize row = begin; row < end; row++) {
    const guint8 *mask = t->mask + (gint64)row * n;
    float *out = t->out + (gint64)row * n;
    gint64 last = -1;

    for (gint64 x = 0; x < n; x++) {
      double d = t->spacing;

      if (mask[x] & t->bits)
        last = x;
      d *= (double)(x - last);
      out[x] = last < 0 ? INFINITY : (float)(d * d);
    }
    for (gint64 x = n - 1; x >= 0 && last >= 0; x--) {
      double d = t->spacing;

      if (mask[x] & t->bits)
        last = x;
      if (last >= x) {
        d *= (double)(last - x);
        out[x] = MIN (out[x], (float)(d * d));
      }
    }
  }
}

/* min over q of f[q] + w (p - q)^2 for every p: the lower envelope of parabolas. vertex and bound: n and n + 1 places
 * of scratch. f and out may not overlap; both have stride 1. */
static void
lower_envelope (const double *f, gint64 n, double w, gint64 *vertex, double *bound, double *out)
{
  gint64 k = -1;

  for (gint64 q = 0; q < n; q++) {
    double s = -INFINITY;

    if (!(f[q] < INFINITY))
      continue;
    while (k >= 0) {
      gint64 v = vertex[k];

      /* where the parabola of q falls below that of v */
      s = ((f[q] - f[v]) / w + (double)(q - v) * (double)(q + v)) / (2.0 * (double)(q - v));
      if (s > bound[k])
        break;
      k--;
      s = -INFINITY;
    }
    k++;
    vertex[k] = q;
    bound[k] = s;
    bound[k + 1] = INFINITY;
  }
  if (k < 0) {
    for (gint64 p = 0; p < n; p++)
      out[p] = INFINITY;
    return;
  }
  k = 0;
  for (gint64 p = 0; p < n; p++) {
    double d;

    while (bound[k + 1] < (double)p)
      k++;
    d = (double)(p - vertex[k]);
    out[p] = f[vertex[k]] + w * d * d;
  }
}

/* Work item: LINES neighbouring lines along the axis, all starting in one row of x. */
static void
line_pass (gsize begin, gsize end, gpointer user_data)
{
  const Transform *t = user_data;
  gint64 nx = t->dim[0], n = t->dim[t->axis];
  gint64 stride = t->axis == 1 ? nx : nx * t->dim[1];
  gint64 outer_stride = t->axis == 1 ? nx * t->dim[1] : nx;
  gint64 n_strips = (nx + LINES - 1) / LINES;
  g_autofree double *f = g_new (double, LINES *(gsize)n);
  g_autofree double *g = g_new (double, LINES *(gsize)n);
  g_autofree gint64 *vertex = g_new (gint64, (gsize)n);
  g_autofree double *bound = g_new (double, (gsize)n + 1);

  for (gsize item = begin; item < end; item++) {
    gint64 x0 = (gint64)item % n_strips * LINES, outer = (gint64)item / n_strips;
    gint64 width = MIN (LINES, nx - x0);
    float *base = t->out + outer * outer_stride + x0;

    for (gint64 p = 0; p < n; p++)
      for (gint64 x = 0; x < width; x++)
        f[x * n + p] = base[p * stride + x];
    for (gint64 x = 0; x < width; x++)
      lower_envelope (f + x * n, n, t->spacing * t->spacing, vertex, bound, g + x * n);
    for (gint64 p = 0; p < n; p++)
      for (gint64 x = 0; x < width; x++)
        base[p * stride + x] = (float)g[x * n + p];
  }
}

static void
root_pass (gsize begin, gsize end, gpointer user_data)
{
  float *out = ((const Transform *)user_data)->out;

  for (gsize i = begin; i < end; i++)
    out[i] = sqrtf (out[i]);
}

static void
transform_bits (const guint8 *mask, guint8 bits, const gint64 dim[3], const double spacing[3], float *out)
{
  Transform t = {.out = out, .mask = mask, .bits = bits, .dim = dim, .spacing = spacing[0]};
  gsize strips = ((gsize)dim[0] + LINES - 1) / LINES;

  tess_parallel_for ((gsize)(dim[1] * dim[2]), 64, row_pass, &t);
  t.axis = 1;
  t.spacing = spacing[1];
  if (dim[1] > 1)
    tess_parallel_for (strips * (gsize)dim[2], 4, line_pass, &t);
  t.axis = 2;
  t.spacing = spacing[2];
  if (dim[2] > 1)
    tess_parallel_for (strips * (gsize)dim[1], 4, line_pass, &t);
  tess_parallel_for ((gsize)(dim[0] * dim[1] * dim[2]), 65536, root_pass, &t);
}

/**
 * tess_distance_transform:
 * @mask: dim[0]*dim[1]*dim[2] bytes, x fastest; non-zero = a voxel to measure to
 * @dim: voxels an axis (x, y, z), each at least 1
 * @spacing: mm between voxel centres an axis
 * @out: as many floats: mm from each voxel's centre to that of the nearest marked voxel; infinity when there is none
 *
 * Exact Euclidean distance transform: one pass an axis, each the lower envelope of parabolas (Felzenszwalb and
 * Huttenlocher, "Distance transforms of sampled functions", Theory of Computing 8, 2012), in time linear in the number
 * of voxels, parallel over lines. Squared distances pass between the axes as float32: a relative error of about 1e-7.
 */
void
tess_distance_transform (const guint8 *mask, const gint64 dim[3], const double spacing[3], float *out)
{
  transform_bits (mask, 0xff, dim, spacing, out);
}

typedef struct {
  const TessVolume *reference, *prediction;
  gint64 label;
  gint64 dim[3];
  TessMutex mutex; /* guards what follows, into which each thread adds its share once */
  gint64 tp, fp, fn;
  TessBox box; /* around the label in either volume */

  /* second pass, inside the box */
  gint64 n[3];
  guint8 *mask, *surface;
} Comparison;

static void
count_pass (gsize begin, gsize end, gpointer user_data)
{
  Comparison *c = user_data;
  g_autofree gint32 *r = g_new (gint32, (gsize)c->dim[0]);
  g_autofree gint32 *p = g_new (gint32, (gsize)c->dim[0]);
  gint64 tp = 0, fp = 0, fn = 0;
  TessBox box = {{G_MAXINT64, G_MAXINT64, G_MAXINT64}, {0, 0, 0}};

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % c->dim[1], z = (gint64)row / c->dim[1];
    gint64 lo = -1, hi = -1;

    tess_volume_row_i32 (c->reference, 0, y, z, 0, c->dim[0], r);
    tess_volume_row_i32 (c->prediction, 0, y, z, 0, c->dim[0], p);
    for (gint64 x = 0; x < c->dim[0]; x++) {
      gboolean in_r = r[x] == c->label, in_p = p[x] == c->label;

      tp += in_r && in_p;
      fp += !in_r && in_p;
      fn += in_r && !in_p;
      if (in_r || in_p) {
        lo = lo < 0 ? x : lo;
        hi = x + 1;
      }
    }
    if (lo >= 0) {
      box.lo[0] = MIN (box.lo[0], lo);
      box.hi[0] = MAX (box.hi[0], hi);
      box.lo[1] = MIN (box.lo[1], y);
      box.hi[1] = MAX (box.hi[1], y + 1);
      box.lo[2] = MIN (box.lo[2], z);
      box.hi[2] = MAX (box.hi[2], z + 1);
    }
  }
  tess_mutex_lock (&c->mutex);
  c->tp += tp;
  c->fp += fp;
  c->fn += fn;
  for (int a = 0; a < 3; a++) {
    c->box.lo[a] = MIN (c->box.lo[a], box.lo[a]);
    c->box.hi[a] = MAX (c->box.hi[a], box.hi[a]);
  }
  tess_mutex_unlock (&c->mutex);
}

static void
mask_pass (gsize begin, gsize end, gpointer user_data)
{
  const Comparison *c = user_data;
  g_autofree gint32 *r = g_new (gint32, (gsize)c->n[0]);
  g_autofree gint32 *p = g_new (gint32, (gsize)c->n[0]);

  for (gsize row = begin; row < end; row++) {
    gint64 y = c->box.lo[1] + (gint64)row % c->n[1], z = c->box.lo[2] + (gint64)row / c->n[1];
    guint8 *mask = c->mask + (gint64)row * c->n[0];

    tess_volume_row_i32 (c->reference, c->box.lo[0], y, z, 0, c->n[0], r);
    tess_volume_row_i32 (c->prediction, c->box.lo[0], y, z, 0, c->n[0], p);
    for (gint64 x = 0; x < c->n[0]; x++)
      mask[x] = (guint8)((r[x] == c->label ? IN_REFERENCE : 0) | (p[x] == c->label ? IN_PREDICTION : 0));
  }
}

/* A voxel of a mask is on its surface when one of its six neighbours is not in the mask. The box is around both masks,
 * so what lies outside it is in neither, whether the volume goes on there or not. */
static void
surface_pass (gsize begin, gsize end, gpointer user_data)
{
  const Comparison *c = user_data;
  gint64 sy = c->n[0], sz = c->n[0] * c->n[1];

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % c->n[1], z = (gint64)row / c->n[1];

    for (gint64 x = 0; x < c->n[0]; x++) {
      gint64 i = (gint64)row * c->n[0] + x;
      guint8 inside = c->mask[i];

      if (x == 0 || y == 0 || z == 0 || x == c->n[0] - 1 || y == c->n[1] - 1 || z == c->n[2] - 1)
        inside = 0;
      else
        inside = inside & c->mask[i - 1] & c->mask[i + 1] & c->mask[i - sy] & c->mask[i + sy] & c->mask[i - sz] &
                 c->mask[i + sz];
      c->surface[i] = c->mask[i] & (guint8)~inside;
    }
  }
}

/* 95th percentile of both directed sets of surface distances, pooled. */
static gboolean
pooled_distance (Comparison *c, const double spacing[3], double *hd95, GError **error)
{
  gsize n_voxels, n = 0, n_surface = 0;
  g_autofree guint8 *mask = NULL;
  g_autofree guint8 *surface = NULL;
  g_autofree float *distance = NULL;
  g_autofree float *pooled = NULL;
  static const guint8 pairs[2][2] = {{IN_REFERENCE, IN_PREDICTION}, {IN_PREDICTION, IN_REFERENCE}};

  for (int a = 0; a < 3; a++) {
    c->n[a] = c->box.hi[a] - c->box.lo[a];
  }
  n_voxels = (gsize)(c->n[0] * c->n[1] * c->n[2]); /* no more than the volumes have */
  mask = g_try_malloc (n_voxels);
  surface = g_try_malloc (n_voxels);
  distance = g_try_malloc_n (n_voxels, sizeof (float));
  if (mask && surface && distance) {
    c->mask = mask;
    c->surface = surface;
    tess_parallel_for ((gsize)(c->n[1] * c->n[2]), 64, mask_pass, c);
    tess_parallel_for ((gsize)(c->n[1] * c->n[2]), 64, surface_pass, c);
    for (gsize i = 0; i < n_voxels; i++)
      n_surface += (surface[i] & 1u) + (surface[i] >> 1);
    pooled = g_try_malloc_n (n_surface, sizeof (float));
  }
  if (!pooled) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("surface distances of label %" PRId64 " need %zu"
                    " MB of memory; close other programs or leave distances out"),
                 c->label, n_voxels / 1000000 * 6 + 1);
    return FALSE;
  }
  for (int direction = 0; direction < 2; direction++) {
    transform_bits (surface, pairs[direction][0], c->n, spacing, distance);
    for (gsize i = 0; i < n_voxels; i++)
      if (surface[i] & pairs[direction][1])
        pooled[n++] = distance[i];
  }
  *hd95 = tess_percentile (pooled, n, 95.0);
  return TRUE;
}

static gboolean
check_pair (const TessVolume *reference, const TessVolume *prediction, GError **error)
{
  TessGrid a = tess_volume_grid (reference), b = tess_volume_grid (prediction);
  double spacing[3], tolerance, extent = 0.0;

  if (tess_volume_n_channels (reference) != 1 || tess_volume_n_channels (prediction) != 1) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("a label map has one channel, but the reference has %" PRId64 " and the prediction %" PRId64),
                 tess_volume_n_channels (reference), tess_volume_n_channels (prediction));
    return FALSE;
  }
  for (int i = 0; i < 3; i++)
    if (a.dim[i] != b.dim[i]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("reference and prediction lie on different grids (%" PRId64 " x %" PRId64 " x %" PRId64
                      " and %" PRId64 " x %" PRId64 " x %" PRId64 " voxels); compare segmentations of the same scan"),
                   a.dim[0], a.dim[1], a.dim[2], b.dim[0], b.dim[1], b.dim[2]);
      return FALSE;
    }
  /* Headers keep single precision, and quaternions less; the same is forgiven between a scan and its label map. */
  tess_affine_spacing (&a.affine, spacing);
  for (int i = 0; i < 3; i++)
    extent = MAX (extent, spacing[i] * (double)a.dim[i]);
  tolerance = MAX (1e-3, MAX (0.01 * MIN (spacing[0], MIN (spacing[1], spacing[2])), 1e-5 * extent));
  if (!tess_grid_equal (&a, &b, tolerance)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("reference and prediction lie on different grids (their corners are up to %.4g mm apart); "
                    "compare segmentations of the same scan"),
                 tess_grid_corner_offset (&a, &b));
    return FALSE;
  }
  return TRUE;
}

/**
 * tess_metrics_compute:
 * @reference: label map, one channel
 * @prediction: label map on the same grid (a hundredth of a voxel is forgiven)
 * @label: the value to compare
 * @distances: whether to compute hd95 (else NaN)
 * @out: the result
 *
 * Overlap, volumes and surface distance of one label. Volumes in mm^3 through the determinant of the reference's
 * affine. hd95: 95th percentile (linear interpolation, as numpy.percentile) of the distances from every surface voxel
 * of either mask to the nearest surface voxel of the other, both directions pooled into one set, in mm between voxel
 * centres. Surface: mask voxels with a 6-neighbour outside the mask or outside the volume. Distances along the index
 * axes are the lengths of the affine's columns and the axes are taken as orthogonal: exact for every rotated grid, an
 * approximation for a sheared one (gantry tilt), where published tools make the same choice.
 *
 * Returns: FALSE with MISMATCH (grids, channels) or NO_MEMORY.
 */
gboolean
tess_metrics_compute (const TessVolume *reference, const TessVolume *prediction, gint64 label, gboolean distances,
                      TessLabelMetrics *out, GError **error)
{
  Comparison c = {.reference = reference,
                  .prediction = prediction,
                  .label = label,
                  .box = {{G_MAXINT64, G_MAXINT64, G_MAXINT64}, {0, 0, 0}}};
  double voxel, spacing[3];
  gint64 n_reference, n_prediction;

  if (!check_pair (reference, prediction, error))
    return FALSE;
  for (int a = 0; a < 3; a++)
    c.dim[a] = tess_volume_dim (reference)[a];
  tess_mutex_init (&c.mutex);
  tess_parallel_for ((gsize)(c.dim[1] * c.dim[2]), 64, count_pass, &c);
  tess_mutex_clear (&c.mutex);

  n_reference = c.tp + c.fn;
  n_prediction = c.tp + c.fp;
  voxel = fabs (tess_affine_determinant (tess_volume_affine (reference)));
  *out = (TessLabelMetrics){.label = label,
                            .tp = c.tp,
                            .fp = c.fp,
                            .fn = c.fn,
                            .dice = NAN,
                            .iou = NAN,
                            .hd95 = NAN,
                            .volume_reference = voxel * (double)n_reference,
                            .volume_prediction = voxel * (double)n_prediction};
  if (n_reference + n_prediction > 0) {
    out->dice = 2.0 * (double)c.tp / (double)(n_reference + n_prediction);
    out->iou = (double)c.tp / (double)(c.tp + c.fp + c.fn);
  }
  if (!distances || n_reference == 0 || n_prediction == 0)
    return TRUE;
  tess_affine_spacing (tess_volume_affine (reference), spacing);
  return pooled_distance (&c, spacing, &out->hd95, error);
}
