#include "tess-atomic-file.h"
#include "tess-nifti-header.h"
#include "tess-voxels.h"

#include <math.h>
#include <string.h>

/* A whole number stays one: with a rounded scaling, whole values would become others. */
static gboolean
fits_float (double value)
{
  return isfinite ((float)value) && (value != rint (value) || (double)(float)value == value);
}

/* NIfTI-1 counts axes in 16 bits and keeps geometry and scaling as float32. */
static gboolean
needs_nifti2 (const nifti_2_header *h, TessVolume *volume)
{
  TessAffine rounded = *tess_volume_affine (volume);

  for (int i = 1; i < 8; i++)
    if (h->dim[i] > G_MAXINT16)
      return TRUE;
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      rounded.m[r][k] = (float)rounded.m[r][k];
  return (float)h->scl_slope == 0.0f || !fits_float (h->scl_slope) || !fits_float (h->scl_inter) ||
         !tess_affine_is_valid (&rounded);
}

/* Intents that give the components of a voxel a meaning: those say nothing of another number of channels. */
static gboolean
intent_is_of_components (int code)
{
  switch (code) {
  case NIFTI_INTENT_GENMATRIX:
  case NIFTI_INTENT_SYMMATRIX:
  case NIFTI_INTENT_DISPVECT:
  case NIFTI_INTENT_VECTOR:
  case NIFTI_INTENT_POINTSET:
  case NIFTI_INTENT_TRIANGLE:
  case NIFTI_INTENT_QUATERNION:
  case NIFTI_INTENT_TIME_SERIES:
  case NIFTI_INTENT_RGB_VECTOR:
  case NIFTI_INTENT_RGBA_VECTOR:
    return TRUE;
  default:
    return FALSE;
  }
}

static void
set_intent (nifti_2_header *h, TessVolume *volume, gboolean same_channels)
{
  gboolean label = tess_volume_intent (volume) == TESS_INTENT_LABEL,
           was_label = h->intent_code == TESS_NIFTI_INTENT_LABEL;

  if (label == was_label && (same_channels || !intent_is_of_components (h->intent_code)))
    return;
  if (label)
    h->cal_min = h->cal_max = 0.0; /* the scan's grey window */
  if (label || !was_label) {
    h->intent_p1 = h->intent_p2 = h->intent_p3 = 0.0;
    memset (h->intent_name, 0, sizeof h->intent_name);
  }
  h->intent_code = label ? TESS_NIFTI_INTENT_LABEL : 0;
}

/* How many numbers a voxel has in the file: as many as in the one the volume came from, where its channels are still
 * those colours or complex numbers; else 1, the channels are an axis. */
static gint64
interleaved (const TessNiftiHeader *source, TessVolume *volume, gboolean same_channels)
{
  TessNiftiType type;

  return same_channels && tess_volume_intent (volume) == TESS_INTENT_IMAGE &&
                 tess_nifti_header_type (source, "", &type, NULL) && type.n_interleaved > 1 &&
                 type.dtype == tess_volume_dtype (volume) &&
                 (type.dtype != TESS_DTYPE_U8 || /* colours have no scaling */
                  (tess_volume_slope (volume) == 1.0 && tess_volume_intercept (volume) == 0.0))
             ? type.n_interleaved
             : 1;
}

/* The header to write: the one the volume came with where it is a NIfTI file's, else a new one. Returns the numbers of
 * a voxel. */
static gint64
prepare_header (TessNiftiHeader *header, TessVolume *volume, TessDType dtype)
{
  GBytes *source = tess_volume_peek_source_header (volume, "nifti");
  const gint64 *dim = tess_volume_dim (volume);
  gint64 channels = tess_volume_n_channels (volume), old_dim[3] = {0}, old_channels = 0, n_interleaved = 1;
  nifti_2_header *h = &header->h;
  gboolean same_grid = FALSE, was_plain;
  TessAffine old;

  if (source && tess_nifti_header_from_bytes (header, source) &&
      tess_nifti_header_dims (header, "", old_dim, &old_channels, NULL)) {
    same_grid = memcmp (old_dim, dim, sizeof old_dim) == 0 && tess_nifti_header_affine (header, &old, NULL) &&
                tess_affine_equal (&old, tess_volume_affine (volume), 0.0);
    n_interleaved = interleaved (header, volume, old_channels == channels);
  } else {
    memset (header, 0, sizeof *header);
    h->xyzt_units = NIFTI_UNITS_MM;
    for (int i = 0; i < 8; i++)
      h->pixdim[i] = 1.0;
  }
  was_plain = old_channels == 0 || tess_nifti_is_plain (h->datatype);
  if (old_channels != channels || (n_interleaved == 1 && !was_plain)) { /* else axes 4 and 5 are kept, too */
    h->dim[0] = channels > 1 ? 4 : 3;
    for (int i = 4; i < 8; i++)
      h->dim[i] = i == 4 ? channels : 1;
  }
  if (!same_grid) {
    h->dim[0] = MAX (h->dim[0], 3);
    for (int i = 1; i <= 3; i++)
      h->dim[i] = dim[i - 1];
    tess_nifti_header_set_affine (header, tess_volume_affine (volume));
    h->slice_start = h->slice_end = 0; /* they count slices of the old grid */
    h->slice_code = 0;
    h->slice_duration = 0.0;
  }
  set_intent (h, volume, old_channels == channels);
  if (n_interleaved == 1) {
    h->datatype = (gint16)tess_nifti_datatype (dtype);
    h->bitpix = (gint16)(8 * tess_dtype_size (dtype));
  }
  h->scl_slope = tess_volume_slope (volume);
  h->scl_inter = tess_volume_intercept (volume);
  if (tess_volume_intent (volume) == TESS_INTENT_LABEL && tess_volume_peek_labels (volume))
    tess_nifti_labels_put (header, tess_volume_peek_labels (volume));
  if (header->version != 2 || !same_grid) /* a NIfTI-2 file's numbers may have more digits than NIfTI-1 keeps */
    header->version = needs_nifti2 (h, volume) ? 2 : 1;
  return n_interleaved;
}

static gboolean
ends_in_gz (const char *path)
{
  gsize n = strlen (path);

  return n > 3 && g_ascii_strcasecmp (path + n - 3, ".gz") == 0;
}

static gboolean
write_voxels (TessVolume *volume, TessAtomicFile *file, gint64 n_interleaved, TessProgress *progress, GError **error)
{
  return n_interleaved == 1 ? tess_voxels_write (volume, file, progress, error)
                            : tess_voxels_write_interleaved (volume, file, n_interleaved, progress, error);
}

static gboolean
save_pair (TessVolume *volume, GByteArray *bytes, gint64 n_interleaved, const char *path, TessProgress *progress,
           GError **error)
{
  gsize n = strlen (path), ending = ends_in_gz (path) ? 7 : 4;
  gboolean capital = g_ascii_isupper (path[n - ending + 1]);
  const char *gz = path + n - ending + 4; /* "" or ".gz", as it was written */
  g_autofree char *header_path = g_strdup_printf ("%.*s%s%s", (int)(n - ending), path, capital ? ".HDR" : ".hdr", gz);
  g_autofree char *image_path = g_strdup_printf ("%.*s%s%s", (int)(n - ending), path, capital ? ".IMG" : ".img", gz);
  g_autoptr (TessAtomicFile) header_file = tess_atomic_file_new (header_path, ending == 7, error);
  g_autoptr (TessAtomicFile) image_file = header_file ? tess_atomic_file_new (image_path, ending == 7, error) : NULL;

  return image_file && tess_atomic_file_write (header_file, bytes->data, bytes->len, error) &&
         write_voxels (volume, image_file, n_interleaved, progress, error) &&
         tess_atomic_file_commit (image_file, error) && tess_atomic_file_commit (header_file, error);
}

/**
 * tess_nifti_save:
 *
 * Writes .nii, .nii.gz, or both halves of a pair when one is named; NIfTI-1 unless an axis
 * is longer or a number larger than that can say, or the volume has the header of a NIfTI-2 file. Broken scalings are
 * rounded to float32 in NIfTI-1.
 * Type, scaling and channels are kept (float16 becomes float32); colours and complex numbers stay what they were in
 * the file the volume comes from, else channels are the fourth axis. A volume read from a NIfTI file keeps its
 * description, units, codes and extensions; on the same grid both of its positions in space, bit for bit.
 * The table of a label volume goes into an extension (tess_nifti_labels_put()).
 */
gboolean
tess_nifti_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  TessDType dtype = tess_volume_dtype (volume);
  gboolean pair = tess_nifti_is_pair (path), done;
  g_autoptr (GByteArray) bytes = NULL;
  TessNiftiHeader header;
  gint64 n_interleaved;

  if (dtype == TESS_DTYPE_F16 || dtype == TESS_DTYPE_BF16)
    dtype = TESS_DTYPE_F32;
  n_interleaved = prepare_header (&header, volume, dtype);
  header.single = !pair;
  header.h.vox_offset = pair ? 0
                             : (header.version == 1 ? TESS_NIFTI1_SIZE : TESS_NIFTI2_SIZE) + 4 +
                                   (header.extensions ? (gint64)header.extensions->len : 0);
  bytes = tess_nifti_header_serialise (&header);
  tess_nifti_header_clear (&header);
  if (pair) {
    done = save_pair (volume, bytes, n_interleaved, path, progress, error);
  } else {
    g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, ends_in_gz (path), error);

    done = file && tess_atomic_file_write (file, bytes->data, bytes->len, error) &&
           write_voxels (volume, file, n_interleaved, progress, error) && tess_atomic_file_commit (file, error);
  }
  if (done)
    tess_progress_set (progress, 1.0);
  return done;
}
