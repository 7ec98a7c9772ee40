#include "tess-format.h"
#include "tess-nifti-header.h"

#include <math.h>

/* Where a NIfTI file is in space. The rules are nibabel's: sform before qform before plain voxel sizes; a bad voxel
 * size counts as 1 mm, a bad code as 0. */

static void
warn (GPtrArray *warnings, const char *sentence)
{
  if (warnings)
    g_ptr_array_add (warnings, g_strdup (sentence));
}

static gboolean
code_is_set (gint32 code)
{
  return code >= NIFTI_XFORM_SCANNER_ANAT && code <= 5; /* 5: "template, other" of newer definitions */
}

/* |pixdim|, with 1 for 0 and for what is no number. */
static void
voxel_sizes (const nifti_2_header *h, double size[3], gboolean *repaired)
{
  for (int k = 0; k < 3; k++) {
    double s = fabs (h->pixdim[k + 1]);

    if (!isfinite (s) || s == 0.0) {
      s = 1.0;
      if (k < h->dim[0])
        *repaired = TRUE;
    }
    size[k] = s;
  }
}

static TessAffine
sform (const nifti_2_header *h)
{
  TessAffine a;

  for (int k = 0; k < 4; k++) {
    a.m[0][k] = h->srow_x[k];
    a.m[1][k] = h->srow_y[k];
    a.m[2][k] = h->srow_z[k];
  }
  return a;
}

/* Rotation of a quaternion whose first part is what the other three leave of length one. libnifti rounds a small
 * first part to 0, which shifts voxels by up to 6e-4 of their distance from the origin; here it is kept. */
static TessAffine
qform (const nifti_2_header *h, const double size[3])
{
  double b = h->quatern_b, c = h->quatern_c, d = h->quatern_d;
  double a2 = 1.0 - (b * b + c * c + d * d), a = a2 > 0.0 ? sqrt (a2) : 0.0;
  double s = 2.0 / (a * a + b * b + c * c + d * d);
  double qfac = h->pixdim[0] == -1.0 ? -1.0 : 1.0;
  double r[3][3] = {
      {1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)},
      {s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)},
      {s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)},
  };
  double offset[3] = {h->qoffset_x, h->qoffset_y, h->qoffset_z};
  TessAffine m;

  for (int i = 0; i < 3; i++) {
    for (int k = 0; k < 3; k++)
      m.m[i][k] = r[i][k] * size[k] * (k == 2 ? qfac : 1.0);
    m.m[i][3] = offset[i];
  }
  return m;
}

/* Neither form: voxel sizes only, the middle of the grid at the origin, x running to the left. */
static TessAffine
plain_affine (const nifti_2_header *h, const double size[3])
{
  TessAffine a = tess_affine_identity ();

  for (int k = 0; k < 3; k++) {
    double n = k < h->dim[0] ? (double)h->dim[k + 1] : 1.0;
    double step = (k < h->dim[0] ? size[k] : 1.0) * (k == 0 ? -1.0 : 1.0);

    a.m[k][k] = step;
    a.m[k][3] = -(n - 1.0) / 2.0 * step;
  }
  return a;
}

static gboolean
is_orthogonal (const TessAffine *a, double tolerance)
{
  double s[3];

  tess_affine_spacing (a, s);
  for (int i = 0; i < 3; i++) {
    int k = (i + 1) % 3;
    double dot = a->m[0][i] * a->m[0][k] + a->m[1][i] * a->m[1][k] + a->m[2][i] * a->m[2][k];

    if (!(fabs (dot) <= tolerance * s[i] * s[k]))
      return FALSE;
  }
  return TRUE;
}

/* Less than a fiftieth of a voxel is rounding: a quaternion in float32 cannot say it better. */
static void
warn_about_forms (const TessNiftiHeader *header, const TessAffine *s, const TessAffine *q, GPtrArray *warnings)
{
  const nifti_2_header *h = &header->h;
  TessGrid a = {.affine = *s}, b = {.affine = *q};
  g_autofree char *text = NULL;
  double spacing[3], offset;

  for (int k = 0; k < 3; k++)
    a.dim[k] = b.dim[k] = k < h->dim[0] ? h->dim[k + 1] : 1;
  tess_affine_spacing (s, spacing);
  offset = tess_grid_corner_offset (&a, &b);
  if (!warnings || offset <= 0.02 * MIN (MIN (spacing[0], spacing[1]), spacing[2]))
    return;
  text = tess_format_number (offset, 3);
  g_ptr_array_add (warnings,
                   g_strdup_printf (_ ("The two positions in the header (qform, sform) differ by up to %s mm; "
                                       "the sform is used."),
                                    text));
}

/**
 * tess_nifti_header_affine:
 *
 * Index -> world, mm RAS+. FALSE when nothing in the header gives a usable one.
 */
gboolean
tess_nifti_header_affine (const TessNiftiHeader *header, TessAffine *affine, GPtrArray *warnings)
{
  const nifti_2_header *h = &header->h;
  gboolean repaired = FALSE;
  double size[3];
  TessAffine q;

  voxel_sizes (h, size, &repaired);
  q = qform (h, size);
  if (code_is_set (h->sform_code)) {
    *affine = sform (h);
    if (tess_affine_is_valid (affine)) {
      if (code_is_set (h->qform_code) && tess_affine_is_valid (&q))
        warn_about_forms (header, affine, &q, warnings);
      if (!is_orthogonal (affine, 1e-3))
        warn (warnings, _ ("The axes are not at right angles (a tilted gantry, or an affine registration)."));
      return TRUE;
    }
    warn (warnings, _ ("The file's sform does not span space; it is not used."));
  }
  if (repaired)
    warn (warnings, _ ("A voxel size is missing in the header; 1 mm is used."));
  if (code_is_set (h->qform_code)) {
    *affine = q;
    if (tess_affine_is_valid (affine))
      return TRUE;
    warn (warnings, _ ("The file's qform is not usable."));
  }
  *affine = plain_affine (h, size);
  warn (warnings, _ ("The file does not say how the scan lies in the patient; left and right may be exchanged."));
  return tess_affine_is_valid (affine);
}

/* Puts @affine into sform and qform, keeping the codes where they are set. A qform cannot hold a shear: its code is
 * then 0. */
void
tess_nifti_header_set_affine (TessNiftiHeader *header, const TessAffine *affine)
{
  nifti_2_header *h = &header->h;
  double spacing[3], size[3], qfac;
  nifti_dmat44 m = {.m = {{0}, {0}, {0}, {0, 0, 0, 1}}};
  gint32 code = code_is_set (h->sform_code)   ? h->sform_code
                : code_is_set (h->qform_code) ? h->qform_code
                                              : NIFTI_XFORM_SCANNER_ANAT;

  for (int k = 0; k < 4; k++) {
    h->srow_x[k] = affine->m[0][k];
    h->srow_y[k] = affine->m[1][k];
    h->srow_z[k] = affine->m[2][k];
    for (int r = 0; r < 3; r++)
      m.m[r][k] = affine->m[r][k];
  }
  h->sform_code = code;
  tess_affine_spacing (affine, spacing);
  nifti_dmat44_to_quatern (m, &h->quatern_b, &h->quatern_c, &h->quatern_d, &h->qoffset_x, &h->qoffset_y, &h->qoffset_z,
                           &size[0], &size[1], &size[2], &qfac);
  h->pixdim[0] = qfac;
  for (int k = 0; k < 3; k++)
    h->pixdim[k + 1] = spacing[k];
  h->qform_code = !is_orthogonal (affine, 1e-5) ? NIFTI_XFORM_UNKNOWN
                  : code_is_set (h->qform_code) ? h->qform_code
                                                : code;
}
