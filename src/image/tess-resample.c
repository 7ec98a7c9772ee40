#include "tess-resample.h"
#include "tess-parallel.h"

#include <math.h>
#include <string.h>

#define SHEARED 1.745e-3 /* cosine of an angle between axes: 0.1 degree off */
#define AT_ONCE 16       /* slices between two looks at progress and cancel */

static double
dot (const double a[3], const double b[3])
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void
column (const TessAffine *a, int k, double out[3])
{
  for (int r = 0; r < 3; r++)
    out[r] = a->m[r][k];
}

gboolean
tess_affine_is_sheared (const TessAffine *a)
{
  for (int k = 0; k < 3; k++) {
    double u[3], v[3];

    column (a, k, u);
    column (a, (k + 1) % 3, v);
    if (fabs (dot (u, v)) > SHEARED * sqrt (dot (u, u) * dot (v, v)))
      return TRUE;
  }
  return FALSE;
}

/* Directions of the upright grid's axes, as long as its voxels: of x, of y at right angles to it, and the slices'
 * normal with their distance (Gram and Schmidt). */
static void
upright_axes (const TessAffine *a, double axes[3][3])
{
  for (int k = 0; k < 3; k++) {
    column (a, k, axes[k]);
    for (int j = 0; j < k; j++) {
      double share = dot (axes[k], axes[j]) / dot (axes[j], axes[j]);

      for (int r = 0; r < 3; r++)
        axes[k][r] -= share * axes[j][r];
    }
  }
}

/**
 * tess_grid_upright:
 *
 * The smallest grid at right angles that holds every voxel centre of @grid. Its slices (z) are those of @grid; within a
 * slice its voxels are @grid's moved by a constant, so that nothing is interpolated across slices.
 *
 * Errors: BAD_SHAPE for axes so askew that it would be more than 16 times as large.
 */
gboolean
tess_grid_upright (const TessGrid *grid, TessGrid *upright, GError **error)
{
  double axes[3][3], lo[3] = {0, 0, 0}, hi[3] = {0, 0, 0}, origin[3], n = 1, n_old = 1;

  upright_axes (&grid->affine, axes);
  column (&grid->affine, 3, origin);
  for (int corner = 0; corner < 8; corner++)
    for (int k = 0; k < 3; k++) {
      double at = 0;

      for (int j = 0; j < 3; j++) {
        double side[3];

        column (&grid->affine, j, side);
        at += (corner >> j & 1 ? (double)(grid->dim[j] - 1) : 0) * dot (side, axes[k]) / dot (axes[k], axes[k]);
      }
      lo[k] = MIN (lo[k], at);
      hi[k] = MAX (hi[k], at);
    }
  *upright = *grid;
  for (int k = 0; k < 3; k++) {
    lo[k] = floor (lo[k] + 1e-6);
    n_old *= (double)grid->dim[k];
    n *= ceil (hi[k] - 1e-6) - lo[k] + 1;
  }
  if (!(n <= 16 * n_old + 4096)) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                         _ ("its axes are too far from right angles to be made upright; check its geometry"));
    return FALSE;
  }
  for (int k = 0; k < 3; k++) {
    upright->dim[k] = (gint64)(ceil (hi[k] - 1e-6) - lo[k]) + 1;
    for (int r = 0; r < 3; r++) {
      upright->affine.m[r][k] = axes[k][r];
      origin[r] += lo[k] * axes[k][r];
    }
  }
  for (int r = 0; r < 3; r++)
    upright->affine.m[r][3] = origin[r];
  return TRUE;
}

typedef struct {
  TessVolume *in, *out;
  TessAffine map;  /* voxel of out -> voxel of in; z stays */
  gint64 first;    /* slice, over z and channels */
  double *outside; /* value where in has none, by channel */
} Job;

/* Of four labels with these weights the one with the largest sum; the lower of equals. Background (0) has what is
 * outside. */
static double
vote (const double label[4], const double weight[4])
{
  double winner = 0, largest = -1;

  for (int k = 0; k < 4; k++) {
    double sum = 0;

    for (int j = 0; j < 4; j++)
      sum += label[j] == label[k] ? weight[j] : 0;
    /* equal but for rounding is equal */
    if (sum > largest + 1e-9 || (sum > largest - 1e-9 && label[k] < winner)) {
      largest = MAX (sum, largest);
      winner = label[k];
    }
  }
  return winner;
}

/* Stored as the volume stores; integers rounded to the nearest (halves away from 0). */
static void
store (TessVolume *volume, gsize first, const double *values, gsize n)
{
  double slope = tess_volume_slope (volume), intercept = tess_volume_intercept (volume);
  void *data = tess_volume_data_mut (volume);

#define STORE(type, rounded)                                                                                           \
  for (gsize i = 0; i < n; i++)                                                                                        \
    ((type *)data)[first + i] = (type)rounded ((values[i] - intercept) / slope);                                       \
  break;
  switch (tess_volume_dtype (volume)) {
  case TESS_DTYPE_U8:
    STORE (guint8, round)
  case TESS_DTYPE_I8:
    STORE (gint8, round)
  case TESS_DTYPE_U16:
    STORE (guint16, round)
  case TESS_DTYPE_I16:
    STORE (gint16, round)
  case TESS_DTYPE_U32:
    STORE (guint32, round)
  case TESS_DTYPE_I32:
    STORE (gint32, round)
  case TESS_DTYPE_U64:
    STORE (guint64, round)
  case TESS_DTYPE_I64:
    STORE (gint64, round)
  case TESS_DTYPE_F32:
    STORE (float, )
  default:
    STORE (double, )
  }
}

/* Voxel and share of the next along one axis; FALSE outside of [0, n - 1], but for rounding. */
static gboolean
locate (double p, gint64 n, gint64 *i, double *f)
{
  if (fabs (p - rint (p)) < 1e-6)
    p = rint (p);
  if (!(p >= 0 && p <= (double)(n - 1)))
    return FALSE;
  *i = MIN ((gint64)p, MAX (n - 2, 0));
  *f = p - (double)*i;
  return TRUE;
}

/* A row of the result from two rows of the source's same slice. rows: room for both. */
static void
resample_row (const Job *job, gint64 y, gint64 z, gint64 channel, double *rows, double *out)
{
  const gint64 *dim = tess_volume_dim (job->in), width = tess_volume_dim (job->out)[0];
  gboolean labels = tess_volume_intent (job->in) == TESS_INTENT_LABEL;
  double start[3], fx, fy = 0;
  gint64 i, j = 0;
  gboolean inside;

  tess_affine_apply (&job->map, (double[3]){0, (double)y, (double)z}, start);
  inside = locate (start[1], dim[1], &j, &fy);
  for (int k = 0; k < 2 && inside; k++) {
    gint64 row = ((channel * dim[2] + z) * dim[1]) + MIN (j + k, dim[1] - 1);

    tess_volume_values_f64 (job->in, (gsize)(row * dim[0]), (gsize)dim[0], rows + k * dim[0]);
  }
  for (gint64 x = 0; x < width; x++) {
    if (!inside || !locate (start[0] + (double)x, dim[0], &i, &fx)) {
      out[x] = job->outside[channel];
      continue;
    }

    gint64 next = MIN (i + 1, dim[0] - 1);
    const double v[4] = {rows[i], rows[next], rows[dim[0] + i], rows[dim[0] + next]};
    const double w[4] = {(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy};
    double sum = 0;

    for (int k = 0; k < 4; k++) /* what has no weight may be no number */
      sum += w[k] > 0 ? w[k] * v[k] : 0;
    out[x] = labels ? vote (v, w) : sum;
  }
}

static void
resample_slices (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const gint64 *dim = tess_volume_dim (job->out);
  g_autofree double *rows = g_new (double, 2 * tess_volume_dim (job->in)[0]), *out = g_new (double, dim[0]);

  for (gint64 s = job->first + (gint64)begin; s < job->first + (gint64)end; s++)
    for (gint64 y = 0; y < dim[1]; y++) {
      resample_row (job, y, s % dim[2], s / dim[2], rows, out);
      store (job->out, (gsize)((s * dim[1] + y) * dim[0]), out, (gsize)dim[0]);
    }
}

/* The smallest number of each channel. */
static double *
smallest (TessVolume *volume)
{
  gint64 n_channels = tess_volume_n_channels (volume), n = tess_volume_n_voxels (volume);
  double *least = g_new (double, n_channels), block[4096];

  for (gint64 c = 0; c < n_channels; c++) {
    least[c] = INFINITY;
    for (gint64 first = 0; first < n; first += (gint64)G_N_ELEMENTS (block)) {
      gint64 count = MIN ((gint64)G_N_ELEMENTS (block), n - first);

      tess_volume_values_f64 (volume, (gsize)(c * n + first), (gsize)count, block);
      for (gint64 i = 0; i < count; i++)
        if (isfinite (block[i]) && block[i] < least[c])
          least[c] = block[i];
    }
    if (!isfinite (least[c]))
      least[c] = 0;
  }
  return least;
}

static TessVolume *
new_like (TessVolume *volume, const TessGrid *grid, GError **error)
{
  TessDType dtype = tess_volume_dtype (volume);
  TessVolume *out;

  if (!tess_dtype_is_integer (dtype) && dtype != TESS_DTYPE_F64)
    dtype = TESS_DTYPE_F32;
  out = tess_volume_new (dtype, grid->dim, tess_volume_n_channels (volume), &grid->affine, error);
  if (!out)
    return NULL;
  tess_volume_set_scaling (out, tess_volume_slope (volume), tess_volume_intercept (volume));
  tess_volume_set_intent (out, tess_volume_intent (volume));
  if (tess_volume_peek_labels (volume))
    tess_volume_set_labels (out, tess_volume_peek_labels (volume));
  for (const char *const *w = tess_volume_warnings (volume); *w; w++)
    tess_volume_add_warning (out, *w);
  return out;
}

/**
 * tess_volume_upright:
 *
 * A sheared volume (gantry tilt) on tess_grid_upright(), by linear interpolation within slices, of real values;
 * integers are rounded, 16-bit floats become float32. Labels (by the volume's intent): of each label's indicator, the
 * largest; of equals the lower. Voxels whose place is outside of the scan get the smallest value of their channel,
 * labels 0.
 *
 * Errors: BAD_SHAPE, NO_MEMORY, CANCELLED.
 */
TessVolume *
tess_volume_upright (TessVolume *volume, TessProgress *progress, GError **error)
{
  const TessGrid grid = tess_volume_grid (volume);
  gboolean labels = tess_volume_intent (volume) == TESS_INTENT_LABEL;
  gint64 n_slices;
  g_autofree double *outside = NULL;
  g_autoptr (TessVolume) out = NULL;
  TessGrid upright;
  Job job = {.in = volume};

  if (!tess_affine_is_sheared (&grid.affine))
    return tess_volume_ref (volume);
  if (!tess_grid_upright (&grid, &upright, error))
    return NULL;
  if (!tess_grid_mapping (&upright, &grid, &job.map)) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                         _ ("its axes are too far from right angles to be made upright; check its geometry"));
    return NULL;
  }
  out = new_like (volume, &upright, error);
  if (!out)
    return NULL;
  outside = labels ? g_new0 (double, tess_volume_n_channels (volume)) : smallest (volume);
  job.out = out;
  job.outside = outside;
  n_slices = tess_volume_n_slices (out);
  for (job.first = 0; job.first < n_slices; job.first += AT_ONCE) {
    if (!tess_progress_check (progress, error))
      return NULL;
    tess_parallel_for ((gsize)MIN (AT_ONCE, n_slices - job.first), 1, resample_slices, &job);
    tess_progress_set (progress, (double)(job.first + AT_ONCE) / (double)n_slices);
  }
  return g_steal_pointer (&out);
}
