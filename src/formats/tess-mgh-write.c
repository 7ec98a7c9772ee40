#include "tess-mgh-header.h"
#include "tess-voxels.h"

#include <math.h>
#include <string.h>

static gboolean
refuse (const char *path, const char *what, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);

  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, "%s: %s", name, what);
  return FALSE;
}

/* Float32 would change a whole number, and all are whole: labels, counts, identities. */
static gboolean
whole_but_rounded (TessVolume *volume)
{
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume)), chunk = 4096;
  g_autofree double *values = g_new (double, chunk);
  gboolean rounded = FALSE;

  for (gsize done = 0; done < n; done += chunk) {
    gsize m = MIN (chunk, n - done);

    tess_volume_values_f64 (volume, done, m, values);
    for (gsize i = 0; i < m; i++) {
      if (isfinite (values[i]) && values[i] != rint (values[i]))
        return FALSE;
      rounded |= isfinite (values[i]) && (double)(float)values[i] != values[i];
    }
  }
  return rounded;
}

/* The type to write: MGH has uint8, int16, int32, float32 and, readable by new FreeSurfers only, uint16. The last is
 * used where the volume came as that. Real numbers are rounded to float32, as every program that writes MGH does; whole
 * numbers, which may be labels, are never. */
static gboolean
choose_type (TessVolume *volume, gint32 source_type, const char *path, TessDType *dtype, GError **error)
{
  TessDType plain = tess_voxels_plain_dtype (volume);

  if (plain == TESS_DTYPE_F64 && !tess_voxels_hold_as (volume, TESS_DTYPE_F32))
    return refuse (path,
                   _ ("its values are larger than MGH's numbers (float32) can be; choose another ending, such as "
                      ".nii.gz"),
                   error);
  if (plain == TESS_DTYPE_F64 && whole_but_rounded (volume))
    plain = TESS_DTYPE_I64; /* as such it is refused where 32 bits are too few */
  switch (plain) {
  case TESS_DTYPE_U8:
  case TESS_DTYPE_I16:
  case TESS_DTYPE_I32:
  case TESS_DTYPE_F32:
    *dtype = plain;
    return TRUE;
  case TESS_DTYPE_I8:
    *dtype = TESS_DTYPE_I16;
    return TRUE;
  case TESS_DTYPE_U16:
    *dtype = source_type == tess_mgh_type (TESS_DTYPE_U16)  ? TESS_DTYPE_U16
             : tess_voxels_hold_as (volume, TESS_DTYPE_I16) ? TESS_DTYPE_I16
                                                            : TESS_DTYPE_I32;
    return TRUE;
  case TESS_DTYPE_F64:
    *dtype = TESS_DTYPE_F32;
    return TRUE;
  default:
    *dtype = TESS_DTYPE_I32;
    return tess_voxels_hold_as (volume, TESS_DTYPE_I32) ||
           refuse (path,
                   _ ("its values are larger than MGH's whole numbers (32 bits) can be; choose another ending, such as "
                      ".nii.gz"),
                   error);
  }
}

/* The bytes before the voxels and, from an MGH source, those after them. */
static gboolean
prepare (TessVolume *volume, const char *path, guint8 bytes[TESS_MGH_SIZE], TessDType *dtype, const guint8 **footer,
         gsize *footer_size, GError **error)
{
  GBytes *source = tess_volume_peek_source_header (volume, "mgh");
  const gint64 *dim = tess_volume_dim (volume);
  gint64 n_frames = tess_volume_n_channels (volume);
  TessMghHeader header, old = {.type = -1};
  gboolean same_grid = FALSE;
  gsize n = 0;
  const guint8 *kept = source ? g_bytes_get_data (source, &n) : NULL;

  memset (bytes, 0, TESS_MGH_SIZE);
  *footer = NULL;
  *footer_size = 0;
  if (n >= TESS_MGH_SIZE) {
    TessAffine affine;

    memcpy (bytes, kept, TESS_MGH_SIZE);
    tess_mgh_header_parse (&old, bytes);
    affine = tess_mgh_header_affine (&old);
    same_grid = old.good_ras && memcmp (old.dim, dim, sizeof old.dim) == 0 &&
                tess_affine_equal (&affine, tess_volume_affine (volume), 0.0);
    *footer = kept + TESS_MGH_SIZE;
    *footer_size = n - TESS_MGH_SIZE;
  }
  if (!choose_type (volume, old.type, path, dtype, error))
    return FALSE;
  if (dim[0] > G_MAXINT32 || dim[1] > G_MAXINT32 || dim[2] > G_MAXINT32 || n_frames > G_MAXINT32)
    return refuse (path,
                   _ ("an MGH file cannot have so many voxels along an axis; choose another ending, such as .nii.gz"),
                   error);
  header = old;
  memcpy (header.dim, dim, sizeof header.dim);
  header.n_frames = n_frames;
  header.type = tess_mgh_type (*dtype);
  if (!same_grid) {
    TessAffine rounded;

    tess_mgh_header_set_affine (&header, tess_volume_affine (volume));
    rounded = tess_mgh_header_affine (&header);
    if (!tess_affine_is_valid (&rounded))
      return refuse (
          path,
          _ ("its voxel sizes are beyond what MGH's numbers (float32) can be; choose another ending, such as "
             ".nii.gz"),
          error);
  }
  tess_mgh_header_put (&header, bytes);
  return TRUE;
}

/**
 * tess_mgh_save:
 *
 * Writes .mgh or, gzip, .mgz. MGH has no scaling, so real values are written. Geometry is rounded to float32. A volume
 * read from an MGH file keeps what stood after its voxels (scan parameters, tags).
 */
gboolean
tess_mgh_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  gboolean gzip = g_ascii_strcasecmp (path + strlen (path) - 4, ".mgh") != 0;
  g_autoptr (TessAtomicFile) file = NULL;
  const guint8 *footer;
  gsize footer_size;
  guint8 bytes[TESS_MGH_SIZE];
  TessDType dtype;

  if (!prepare (volume, path, bytes, &dtype, &footer, &footer_size, error))
    return FALSE;
  file = tess_atomic_file_new (path, gzip, error);
  if (!file || !tess_atomic_file_write (file, bytes, sizeof bytes, error) ||
      !tess_voxels_write_as (volume, file, dtype, G_BYTE_ORDER == G_LITTLE_ENDIAN, 1, progress, error) ||
      (footer_size > 0 && !tess_atomic_file_write (file, footer, footer_size, error)) ||
      !tess_atomic_file_commit (file, error))
    return FALSE;
  tess_progress_set (progress, 1.0);
  return TRUE;
}
