#include "tess-mgh.h"
#include "tess-mgh-header.h"
#include "tess-voxels.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_FOOTER ((gsize)16 << 20)

static gboolean G_GNUC_PRINTF (4, 5) fail (GError **error, TessError code, const char *path, const char *format, ...)
{
  g_autofree char *name = g_filename_display_name (path), *what = NULL;
  va_list args;

  va_start (args, format);
  what = g_strdup_vprintf (format, args);
  va_end (args);
  g_set_error (error, TESS_ERROR, (int)code, "%s: %s", name, what);
  return FALSE;
}

static gboolean
check_header (const TessMghHeader *header, const char *path, TessDType *dtype, GError **error)
{
  static const char *const others[] = {[2] = "MRI_LONG", [5] = "MRI_BITMAP", [6] = "MRI_TENSOR", [7] = "MRI_RGB"};

  for (int k = 0; k < 3; k++)
    if (header->type < 0 || header->dim[k] < 1)
      return fail (error, TESS_ERROR_FORMAT, path,
                   _ ("this is not an MGH file, or its header is damaged; give one, or copy it again"));
  if (header->n_frames < 1)
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header says that it holds no volume (%" PRId64 " frames); it is damaged, copy it again"),
                 header->n_frames);
  if (tess_mgh_dtype (header->type, dtype))
    return TRUE;
  if (header->type < (gint32)G_N_ELEMENTS (others) && others[header->type])
    return fail (error, TESS_ERROR_UNSUPPORTED, path,
                 _ ("its voxels are of a type that is not read (%s); convert it to float first, for example with "
                    "FreeSurfer's mri_convert -odt float"),
                 others[header->type]);
  return fail (error, TESS_ERROR_FORMAT, path,
               _ ("its header names an unknown type of voxels (%d); the file is damaged, copy it again"), header->type);
}

/* A zero or unreadable voxel size counts as 1 mm. */
static gboolean
get_affine (TessMghHeader *header, const char *path, TessAffine *affine, GPtrArray *warnings, GError **error)
{
  gboolean repaired = FALSE;

  for (int k = 0; k < 3; k++)
    if (!isfinite (header->spacing[k]) || header->spacing[k] == 0) {
      header->spacing[k] = 1;
      repaired = TRUE;
    }
  if (repaired)
    g_ptr_array_add (warnings, g_strdup (_ ("The header gives an impossible voxel size; 1 mm is used in its place.")));
  if (!header->good_ras)
    g_ptr_array_add (warnings,
                     g_strdup (_ ("The header does not say where the scan is in space; coronal slices of 1 mm are "
                                  "assumed, as FreeSurfer does.")));
  *affine = tess_mgh_header_affine (header);
  if (!tess_affine_is_valid (affine))
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header gives no usable directions of the axes; correct the header"));
  return TRUE;
}

/* What follows the voxels: scan parameters and tags (command lines, transforms). Kept as it is for the writer, and
 * reading to the end compares the checksum. */
static gboolean
keep_header (TessVolume *volume, TessStream *stream, const guint8 header[TESS_MGH_SIZE], TessProgress *progress,
             GError **error)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  g_autoptr (GBytes) source = NULL;
  gboolean too_long = FALSE;
  guint8 piece[4096];
  gssize got;

  g_byte_array_append (bytes, header, TESS_MGH_SIZE);
  while ((got = tess_stream_read (stream, piece, sizeof piece, error)) > 0) {
    too_long |= bytes->len > MAX_FOOTER;
    if (!tess_progress_check (progress, error))
      return FALSE;
    if (too_long && !tess_stream_is_packed (stream))
      break;
    if (!too_long)
      g_byte_array_append (bytes, piece, (guint)got);
  }
  if (got < 0)
    return FALSE;
  if (too_long) /* no footer: nothing FreeSurfer writes */
    g_byte_array_set_size (bytes, TESS_MGH_SIZE);
  source = g_byte_array_free_to_bytes (g_steal_pointer (&bytes));
  tess_volume_set_source_header (volume, tess_format_mgh.id, source);
  return TRUE;
}

/**
 * mgh_load:
 *
 * .mgh and .mgz, all that FreeSurfer writes of scans and label maps; frames become channels. Geometry as nibabel's and
 * FreeSurfer's vox2ras.
 */
static TessVolume *
mgh_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
          GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  g_autoptr (TessStream) stream = tess_stream_open (path, error);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessVolume) volume = NULL;
  guint8 bytes[TESS_MGH_SIZE];
  TessMghHeader header;
  TessAffine affine;
  TessDType dtype;

  g_return_val_if_fail (entry == NULL, NULL);
  if (!stream || !tess_stream_read_exact (stream, bytes, sizeof bytes, error))
    return NULL;
  tess_mgh_header_parse (&header, bytes);
  if (!check_header (&header, path, &dtype, error) ||
      !tess_voxels_fit (stream, TESS_MGH_SIZE, header.dim, header.n_frames, tess_dtype_size (dtype), error) ||
      !get_affine (&header, path, &affine, warnings, error))
    return NULL;
  volume = tess_volume_new (dtype, header.dim, header.n_frames, &affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  for (guint i = 0; i < warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (warnings, i));
  if (!tess_voxels_read (volume, stream,
                         &(TessVoxelCoding){.stored_size = tess_dtype_size (dtype),
                                            .swapped = G_BYTE_ORDER == G_LITTLE_ENDIAN,
                                            .more = TRUE},
                         &listener, error) ||
      !keep_header (volume, stream, bytes, progress, error))
    return NULL;
  tess_progress_set (progress, 1.0);
  return g_steal_pointer (&volume);
}

const TessFormat tess_format_mgh = {
    .id = "mgh",
    .name = "MGH",
    .endings = ".mgz .mgh .mgh.gz",
    .load = mgh_load,
    .save = tess_mgh_save,
};
