#include "tess-nifti.h"
#include "tess-nifti-header.h"

#include <math.h>
#include <string.h>

/* Analyze 7.5, from which NIfTI-1 came: sizes, type and voxel sizes stand at the same places, the rest means something
 * else. Read as SPM and nibabel (Spm2AnalyzeImage) do: x runs to the left, the origin is SPM's or the middle of the
 * grid, the scaling SPM's or that of the calibrated range. */

#define AT_GLMAX 140
#define AT_GLMIN 144
#define AT_ORIGIN 253

static gint32
int_at (const guint8 *raw, gsize at, gsize size, gboolean swapped)
{
  if (size == 2) {
    guint16 v;

    memcpy (&v, raw + at, 2);
    return (gint16)(swapped ? GUINT16_SWAP_LE_BE (v) : v);
  } else {
    guint32 v;

    memcpy (&v, raw + at, 4);
    return (gint32)(swapped ? GUINT32_SWAP_LE_BE (v) : v);
  }
}

static float
float_at (const guint8 *raw, gsize at, gboolean swapped)
{
  guint32 bits = (guint32)int_at (raw, at, 4, swapped);
  float value;

  memcpy (&value, &bits, 4);
  return value;
}

/* SPM counts its origin from 1; {0, 0, 0} or far outside is none. */
static void
set_position (nifti_2_header *h, const guint8 *raw, gboolean swapped)
{
  double *rows[3] = {h->srow_x, h->srow_y, h->srow_z}, origin[3];
  gboolean any = FALSE, inside = TRUE;

  for (int k = 0; k < 3; k++) {
    gint64 n = k < h->dim[0] ? h->dim[k + 1] : 1;
    gint32 o = int_at (raw, AT_ORIGIN + 2 * (gsize)k, 2, swapped);

    any |= o != 0;
    inside &= o > -n && o < 2 * n;
    origin[k] = o - 1;
  }
  for (int k = 0; k < 3; k++) {
    double n = k < h->dim[0] ? (double)h->dim[k + 1] : 1.0, size = fabs (h->pixdim[k + 1]);
    double step = (isfinite (size) && size > 0.0 ? size : 1.0) * (k == 0 ? -1.0 : 1.0);

    rows[k][k] = step;
    rows[k][3] = -(any && inside ? origin[k] : (n - 1.0) / 2.0) * step;
  }
  h->sform_code = NIFTI_XFORM_ALIGNED_ANAT;
}

static void
set_scaling (nifti_2_header *h, const guint8 *raw, gboolean swapped)
{
  double stored = (double)int_at (raw, AT_GLMAX, 4, swapped) - (double)int_at (raw, AT_GLMIN, 4, swapped);
  double real = h->cal_max - h->cal_min;

  h->scl_slope = float_at (raw, 112, swapped);
  h->scl_inter = float_at (raw, 116, swapped);
  if (isfinite (h->scl_slope) && h->scl_slope != 0.0) {
    if (!isfinite (h->scl_inter))
      h->scl_inter = 0.0;
    return;
  }
  h->scl_slope = stored != 0.0 && isfinite (real) ? real / stored : 0.0;
  h->scl_inter = h->cal_min - h->scl_slope * int_at (raw, AT_GLMIN, 4, swapped);
}

void
tess_nifti_read_analyze (TessNiftiHeader *header, const guint8 *raw, const char *path, GPtrArray *warnings)
{
  gboolean swapped = header->swapped;
  nifti_2_header *h = &header->h;
  float offset = float_at (raw, 108, swapped);
  g_autofree char *half = tess_nifti_pair_half (path, FALSE), *mat = NULL;

  memset (h, 0, sizeof *h);
  header->analyze = TRUE;
  header->single = FALSE;
  h->sizeof_hdr = TESS_NIFTI2_SIZE;
  for (gsize i = 0; i < 8; i++) {
    h->dim[i] = int_at (raw, 40 + 2 * i, 2, swapped);
    h->pixdim[i] = float_at (raw, 76 + 4 * i, swapped);
  }
  h->pixdim[0] = 1.0;
  h->datatype = (gint16)int_at (raw, 70, 2, swapped);
  h->bitpix = (gint16)int_at (raw, 72, 2, swapped);
  h->vox_offset = isfinite (offset) && fabsf (offset) < 0x1p62f ? (gint64)offset : -1;
  h->cal_max = float_at (raw, 124, swapped);
  h->cal_min = float_at (raw, 128, swapped);
  memcpy (h->descrip, raw + 148, sizeof h->descrip);
  memcpy (h->aux_file, raw + 228, sizeof h->aux_file);
  h->xyzt_units = NIFTI_UNITS_MM;
  if (h->dim[0] >= 1 && h->dim[0] <= 7)
    set_position (h, raw, swapped);
  set_scaling (h, raw, swapped);
  if (!warnings)
    return;
  g_ptr_array_add (warnings, g_strdup (_ ("An Analyze 7.5 file does not say how the scan lies in the patient; x is "
                                          "taken to run to the patient's left as in SPM, and may run to the right.")));
  mat = g_strdup_printf ("%.*s.mat", (int)tess_format_stem_length (&tess_format_nifti, half), half);
  if (g_file_test (mat, G_FILE_TEST_EXISTS))
    g_ptr_array_add (warnings, g_strdup (_ ("The position in the .mat file beside it (of SPM) is not read.")));
}
