#include "tess-patch-grid.h"

#include <float.h>
#include <math.h>
#include <inttypes.h>

/* A volume's axis is never longer (formats refuse it); keeps every product below in range. */
#define MAX_DIM G_MAXINT32
#define MAX_PATCHES (G_GUINT64_CONSTANT (1) << 40)

static gboolean
check_shape (const gint64 dim[3], const gint64 size[3], GError **error)
{
  for (guint a = 0; a < 3; a++) {
    if (dim[a] < 1 || dim[a] > MAX_DIM) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                   _ ("a volume of %" PRId64 " voxels along %c cannot be cut into patches"), dim[a], "xyz"[a]);
      return FALSE;
    }
    if (size[a] < 1 || size[a] > MAX_DIM) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("patch size %" PRId64 " along %c: give at least 1 voxel"),
                   size[a], "xyz"[a]);
      return FALSE;
    }
  }
  return TRUE;
}

/* n starts along axis a are allocated; FALSE when that cannot be. */
static gboolean
set_axis (TessPatchGrid *grid, guint a, guint64 n, GError **error)
{
  guint64 patches = n;
  gboolean fits = TRUE;

  for (guint b = 0; b < a; b++)
    fits = fits && g_uint64_checked_mul (&patches, patches, grid->n[b]) && patches <= MAX_PATCHES;
  grid->n[a] = (guint)n;
  grid->start[a] = fits ? g_try_new (gint64, n) : NULL;
  if (grid->start[a])
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("this grid has too many patches (%" PRIu64 " along %c); take a larger stride"), n, "xyz"[a]);
  return FALSE;
}

static TessPatchGrid *
grid_new (const gint64 dim[3], const gint64 size[3])
{
  TessPatchGrid *grid = g_new0 (TessPatchGrid, 1);

  for (guint a = 0; a < 3; a++) {
    grid->dim[a] = dim[a];
    grid->size[a] = size[a];
  }
  return grid;
}

/* Padding is split evenly; the odd voxel goes behind. */
static gint64
padded_start (gint64 dim, gint64 size)
{
  return -((size - dim) / 2);
}

/* All arrays are (x, y, z), voxels. Errors: USAGE (size below 1, stride outside 1..size), BAD_SHAPE, NO_MEMORY. */
TessPatchGrid *
tess_patch_grid_new (const gint64 dim[3], const gint64 size[3], const gint64 stride[3], GError **error)
{
  g_autoptr (TessPatchGrid) grid = NULL;

  if (!check_shape (dim, size, error))
    return NULL;
  for (guint a = 0; a < 3; a++)
    if (stride[a] < 1 || stride[a] > size[a]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                   stride[a] < 1 ? _ ("stride %" PRId64 " along %c with patch size %" PRId64 ": give at least 1 voxel")
                                 : _ ("stride %" PRId64 " along %c is larger than the patch size "
                                      "%" PRId64 " and would leave voxels out; make it at most the size"),
                   stride[a], "xyz"[a], size[a]);
      return NULL;
    }
  grid = grid_new (dim, size);
  for (guint a = 0; a < 3; a++) {
    gint64 last = dim[a] - size[a];
    guint64 n = last <= 0 ? 1 : (guint64)((last + stride[a] - 1) / stride[a]) + 1;

    if (!set_axis (grid, a, n, error))
      return NULL;
    for (guint64 i = 0; i < n; i++)
      grid->start[a][i] = last < 0 ? padded_start (dim[a], size[a]) : MIN ((gint64)i * stride[a], last);
  }
  return g_steal_pointer (&grid);
}

/* The tiling of nnU-Net's sliding window (compute_steps_for_sliding_window): step is the largest distance of two
 * tiles as a share of their size, (0,1]. Errors as above. */
TessPatchGrid *
tess_patch_grid_new_spread (const gint64 dim[3], const gint64 size[3], double step, GError **error)
{
  g_autoptr (TessPatchGrid) grid = NULL;

  if (!check_shape (dim, size, error))
    return NULL;
  if (!(step > 0.0 && step <= 1.0)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("tile step %g: give a share of the patch size above 0 and at most 1"), step);
    return NULL;
  }
  grid = grid_new (dim, size);
  for (guint a = 0; a < 3; a++) {
    gint64 last = dim[a] - size[a];
    double wanted = last <= 0 ? 1.0 : ceil ((double)last / (step * (double)size[a])) + 1.0;
    /* A step below one voxel cannot give more tiles than there are places for one. */
    guint64 n = (guint64)MIN (wanted, (double)MAX (last, 0) + 1.0);

    if (!set_axis (grid, a, n, error))
      return NULL;
    for (guint64 i = 0; i < n; i++)
      grid->start[a][i] = last < 0 ? padded_start (dim[a], size[a])
                          : n == 1 ? 0
                                   : (gint64)rint ((double)last / (double)(n - 1) * (double)i);
  }
  return g_steal_pointer (&grid);
}

void
tess_patch_grid_free (TessPatchGrid *grid)
{
  if (!grid)
    return;
  for (guint a = 0; a < 3; a++)
    g_free (grid->start[a]);
  g_free (grid);
}

guint64
tess_patch_grid_n (const TessPatchGrid *grid)
{
  return (guint64)grid->n[0] * grid->n[1] * grid->n[2];
}

TessBox
tess_patch_grid_box (const TessPatchGrid *grid, guint64 i)
{
  guint64 at[3] = {i % grid->n[0], i / grid->n[0] % grid->n[1], i / grid->n[0] / grid->n[1]};
  TessBox box;

  for (guint a = 0; a < 3; a++) {
    box.lo[a] = grid->start[a][at[a]];
    box.hi[a] = box.lo[a] + grid->size[a];
  }
  return box;
}

/* The boxes are all combinations of the axes' intervals, so what they cover together is the product of what the
 * intervals of each axis cover; those are counted by walking over the starts. */
double
tess_patch_grid_coverage (const TessPatchGrid *grid)
{
  double share = 1.0;

  for (guint a = 0; a < 3; a++) {
    gint64 covered = 0, end = 0;

    for (guint i = 0; i < grid->n[a]; i++) {
      gint64 lo = MAX (grid->start[a][i], end), hi = MIN (grid->start[a][i] + grid->size[a], grid->dim[a]);

      if (hi > lo) {
        covered += hi - lo;
        end = hi;
      }
    }
    share *= (double)covered / (double)grid->dim[a];
  }
  return share;
}

/* A new array, x fastest; NULL when there is no memory for it. nnU-Net weights tiles so (sigma scale 1/8); here the
 * Gaussian is evaluated, not filtered on a grid, and never reaches 0. */
float *
tess_patch_weights_gaussian (const gint64 size[3])
{
  double *axis[3] = {NULL, NULL, NULL};
  float *weights = NULL;
  guint64 n;

  if (size[0] < 1 || size[1] < 1 || size[2] < 1 || size[0] > MAX_DIM || size[1] > MAX_DIM || size[2] > MAX_DIM ||
      !g_uint64_checked_mul (&n, (guint64)size[0] * (guint64)size[1], (guint64)size[2]) ||
      n > G_MAXSIZE / sizeof (float) || !(weights = g_try_new (float, n)))
    return NULL;
  for (guint a = 0; a < 3; a++) {
    double centre = 0.5 * (double)(size[a] - 1), sigma = (double)size[a] / 8.0, largest = 0.0;

    axis[a] = g_new (double, size[a]);
    for (gint64 i = 0; i < size[a]; i++) {
      double d = ((double)i - centre) / sigma;

      axis[a][i] = exp (-0.5 * d * d);
      largest = MAX (largest, axis[a][i]);
    }
    for (gint64 i = 0; i < size[a]; i++)
      axis[a][i] /= largest;
  }
  for (gint64 z = 0, i = 0; z < size[2]; z++)
    for (gint64 y = 0; y < size[1]; y++)
      for (gint64 x = 0; x < size[0]; x++)
        weights[i++] = MAX ((float)(axis[2][z] * axis[1][y] * axis[0][x]), FLT_MIN);
  for (guint a = 0; a < 3; a++)
    g_free (axis[a]);
  return weights;
}
