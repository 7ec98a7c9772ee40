#include "tess-geometry.h"

#include <math.h>

TessAffine
tess_affine_identity (void)
{
  return tess_affine_scale (1.0, 1.0, 1.0);
}

TessAffine
tess_affine_scale (double sx, double sy, double sz)
{
  return (TessAffine){{{sx, 0, 0, 0}, {0, sy, 0, 0}, {0, 0, sz, 0}}};
}

TessAffine
tess_affine_translate (double tx, double ty, double tz)
{
  return (TessAffine){{{1, 0, 0, tx}, {0, 1, 0, ty}, {0, 0, 1, tz}}};
}

/* First @b, then @a. */
TessAffine
tess_affine_compose (const TessAffine *a, const TessAffine *b)
{
  TessAffine c;

  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++) {
      double sum = k == 3 ? a->m[r][3] : 0.0;

      for (int i = 0; i < 3; i++)
        sum += a->m[r][i] * b->m[i][k];
      c.m[r][k] = sum;
    }
  return c;
}

double
tess_affine_determinant (const TessAffine *a)
{
  const double (*m)[4] = a->m;

  return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
         m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

/* Length of one voxel along each index axis, mm. */
void
tess_affine_spacing (const TessAffine *a, double spacing[3])
{
  for (int k = 0; k < 3; k++)
    spacing[k] = hypot (hypot (a->m[0][k], a->m[1][k]), a->m[2][k]);
}

/* Finite, and its axes span space: the determinant is compared with the product of the spacings, so that small voxels
 * are no reason to be called singular. */
gboolean
tess_affine_is_valid (const TessAffine *a)
{
  double s[3], volume, determinant = tess_affine_determinant (a);

  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      if (!isfinite (a->m[r][k]))
        return FALSE;
  tess_affine_spacing (a, s);
  volume = s[0] * s[1] * s[2];
  return isfinite (volume) && volume > 0.0 && isfinite (determinant) && fabs (determinant) > 1e-10 * volume;
}

gboolean
tess_affine_invert (const TessAffine *a, TessAffine *inverse)
{
  TessAffine in = *a, out; /* a copy: the two may be the same */
  double d;

  if (!tess_affine_is_valid (&in))
    return FALSE;
  d = 1.0 / tess_affine_determinant (&in);
  if (!isfinite (d))
    return FALSE;
  for (int r = 0; r < 3; r++) {
    int r1 = (r + 1) % 3, r2 = (r + 2) % 3;

    for (int k = 0; k < 3; k++) {
      int k1 = (k + 1) % 3, k2 = (k + 2) % 3;

      out.m[r][k] = (in.m[k1][r1] * in.m[k2][r2] - in.m[k1][r2] * in.m[k2][r1]) * d;
    }
    out.m[r][3] = 0.0;
  }
  for (int r = 0; r < 3; r++)
    for (int i = 0; i < 3; i++)
      out.m[r][3] -= out.m[r][i] * in.m[i][3];
  *inverse = out;
  return TRUE;
}

void
tess_affine_apply (const TessAffine *a, const double p[3], double out[3])
{
  double x = p[0], y = p[1], z = p[2];

  for (int r = 0; r < 3; r++)
    out[r] = a->m[r][0] * x + a->m[r][1] * y + a->m[r][2] * z + a->m[r][3];
}

/* No element differs by more than @tolerance. */
gboolean
tess_affine_equal (const TessAffine *a, const TessAffine *b, double tolerance)
{
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      if (!(fabs (a->m[r][k] - b->m[r][k]) <= tolerance))
        return FALSE;
  return TRUE;
}

/* The orthogonal matrix nearest to the affine's directions (columns of length one), by Newton's iteration for the
 * polar decomposition (Higham, SIAM J. Sci. Stat. Comput. 7, 1986): the mean of a matrix and its inverse transpose. */
static void
nearest_rotation (const TessAffine *a, double r[3][3])
{
  TessAffine x = *a;
  double s[3];

  tess_affine_spacing (a, s);
  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < 3; k++)
      x.m[i][k] = s[k] > 0.0 ? a->m[i][k] / s[k] : 0.0;
    x.m[i][3] = 0.0;
  }
  for (int step = 0; step < 60; step++) {
    TessAffine inverse;
    double change = 0.0;

    if (!tess_affine_invert (&x, &inverse))
      break;
    for (int i = 0; i < 3; i++)
      for (int k = 0; k < 3; k++)
        change = MAX (change, fabs (x.m[i][k] - inverse.m[k][i]));
    for (int i = 0; i < 3; i++)
      for (int k = 0; k < 3; k++)
        x.m[i][k] = 0.5 * (x.m[i][k] + inverse.m[k][i]);
    if (change < 1e-14)
      break;
  }
  for (int i = 0; i < 3; i++)
    for (int k = 0; k < 3; k++)
      r[i][k] = x.m[i][k];
}

/**
 * tess_affine_orientation:
 * @codes: three letters and a NUL: the direction in which each index axis increases; '?' for an axis without one
 *
 * As nibabel's aff2axcodes: the axis with the clearest direction chooses first, and no direction is given twice.
 */
void
tess_affine_orientation (const TessAffine *a, char codes[4])
{
  static const char letters[3][2] = {{'L', 'R'}, {'P', 'A'}, {'I', 'S'}};
  double r[3][3], best[3];
  gboolean done[3] = {FALSE, FALSE, FALSE}, taken[3] = {FALSE, FALSE, FALSE};

  nearest_rotation (a, r);
  for (int k = 0; k < 3; k++)
    best[k] = MAX (MAX (fabs (r[0][k]), fabs (r[1][k])), fabs (r[2][k]));
  for (int turn = 0; turn < 3; turn++) {
    int axis = -1, world = -1;

    for (int k = 0; k < 3; k++)
      if (!done[k] && (axis < 0 || best[k] > best[axis]))
        axis = k;
    done[axis] = TRUE;
    for (int i = 0; i < 3; i++)
      if (!taken[i] && fabs (r[i][axis]) > 1e-8 && (world < 0 || fabs (r[i][axis]) > fabs (r[world][axis])))
        world = i;
    if (world >= 0)
      taken[world] = TRUE;
    codes[axis] = world < 0 ? '?' : letters[world][r[world][axis] > 0.0];
  }
  codes[3] = '\0';
}

/**
 * tess_grid_respace:
 * @spacing: mm, each > 0
 *
 * round (dim * old / new) voxels an axis (half to even, as Python's round), each of exactly @spacing. The outer corner
 * of voxel (0,0,0), index -0.5, stays where it is; the far corner moves by at most half a new voxel. An axis thinner
 * than half a new voxel gets one voxel with its centre on the middle of the axis: at the corner, the centre could
 * lie outside the scan.
 */
TessGrid
tess_grid_respace (const TessGrid *grid, const double spacing[3])
{
  TessGrid out = *grid;
  double old[3];

  tess_affine_spacing (&grid->affine, old);
  for (int k = 0; k < 3; k++) {
    double factor = spacing[k] / old[k], n = rint ((double)grid->dim[k] / factor);
    double first =
        n < 1.0 ? 0.5 * (double)(grid->dim[k] - 1) : 0.5 * factor - 0.5; /* centre of the first voxel, old index */

    out.dim[k] = (gint64)CLAMP (n, 1.0, 0x1p40);
    for (int r = 0; r < 3; r++) {
      out.affine.m[r][k] = grid->affine.m[r][k] * factor;
      out.affine.m[r][3] += first * grid->affine.m[r][k];
    }
  }
  return out;
}

/* Largest distance between corresponding outer corners, mm; NaN when one of them is not finite. */
double
tess_grid_corner_offset (const TessGrid *a, const TessGrid *b)
{
  double largest = 0.0;

  for (int corner = 0; corner < 8; corner++) {
    double pa[3], pb[3], distance;

    for (int k = 0; k < 3; k++) {
      pa[k] = (corner >> k & 1) ? (double)a->dim[k] - 0.5 : -0.5;
      pb[k] = (corner >> k & 1) ? (double)b->dim[k] - 0.5 : -0.5;
    }
    tess_affine_apply (&a->affine, pa, pa);
    tess_affine_apply (&b->affine, pb, pb);
    distance = hypot (hypot (pa[0] - pb[0], pa[1] - pb[1]), pa[2] - pb[2]);
    if (!(distance <= largest))
      largest = distance;
    if (isnan (largest))
      break;
  }
  return largest;
}

gboolean
tess_grid_equal (const TessGrid *a, const TessGrid *b, double tolerance_mm)
{
  for (int k = 0; k < 3; k++)
    if (a->dim[k] != b->dim[k])
      return FALSE;
  return tess_grid_corner_offset (a, b) <= tolerance_mm;
}

/* FALSE when @to's affine is singular. */
gboolean
tess_grid_mapping (const TessGrid *from, const TessGrid *to, TessAffine *mapping)
{
  TessAffine inverse;

  if (!tess_affine_invert (&to->affine, &inverse))
    return FALSE;
  *mapping = tess_affine_compose (&inverse, &from->affine);
  return TRUE;
}

/* 0 when empty; the largest integer when it would not fit. */
gint64
tess_box_n_voxels (const TessBox *box)
{
  gint64 n = 1;

  for (int k = 0; k < 3; k++) {
    gint64 size;

    if (box->hi[k] <= box->lo[k])
      return 0;
    if (__builtin_sub_overflow (box->hi[k], box->lo[k], &size) || __builtin_mul_overflow (n, size, &n)) {
      n = G_MAXINT64;
      for (int rest = k + 1; rest < 3; rest++)
        if (box->hi[rest] <= box->lo[rest])
          return 0;
      return n;
    }
  }
  return n;
}

gboolean
tess_box_intersect (const TessBox *a, const TessBox *b, TessBox *out)
{
  TessBox both;
  gboolean any = TRUE;

  for (int k = 0; k < 3; k++) {
    both.lo[k] = MAX (a->lo[k], b->lo[k]);
    both.hi[k] = MIN (a->hi[k], b->hi[k]);
    if (both.hi[k] <= both.lo[k])
      any = FALSE;
  }
  *out = both;
  return any;
}
