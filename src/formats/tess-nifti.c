#include "tess-nifti.h"
#include "tess-nifti-header.h"
#include "tess-voxels.h"

#include <string.h>

static gsize
stem_length (const char *path)
{
  return tess_format_stem_length (&tess_format_nifti, path);
}

gboolean
tess_nifti_is_pair (const char *path)
{
  gsize n = stem_length (path);

  return n && (g_ascii_strncasecmp (path + n, ".hdr", 4) == 0 || g_ascii_strncasecmp (path + n, ".img", 4) == 0);
}

/**
 * tess_nifti_pair_half:
 * @path: either half
 *
 * Name of the header (or the image): compressed as @path is, unless only the other is there. Capitals are kept.
 */
char *
tess_nifti_pair_half (const char *path, gboolean image)
{
  gsize n = stem_length (path);
  gboolean capital = g_ascii_isupper (path[n + 1]), gzip = strlen (path + n) > 4;
  const char *ending = image ? (capital ? ".IMG" : ".img") : (capital ? ".HDR" : ".hdr");
  const char *packed = capital ? ".GZ" : ".gz";
  g_autofree char *plain = g_strdup_printf ("%.*s%s", (int)n, path, ending);
  g_autofree char *compressed = g_strconcat (plain, packed, NULL);

  if (gzip)
    return g_file_test (compressed, G_FILE_TEST_EXISTS) || !g_file_test (plain, G_FILE_TEST_EXISTS)
               ? g_steal_pointer (&compressed)
               : g_steal_pointer (&plain);
  return g_file_test (plain, G_FILE_TEST_EXISTS) || !g_file_test (compressed, G_FILE_TEST_EXISTS)
             ? g_steal_pointer (&plain)
             : g_steal_pointer (&compressed);
}

/* The header stands for the voxels of a pair, too. */
static char *
nifti_main_file (const char *path)
{
  return tess_nifti_is_pair (path) && g_ascii_strncasecmp (path + stem_length (path), ".img", 4) == 0
             ? tess_nifti_pair_half (path, FALSE)
             : g_strdup (path);
}

/* IEEE 754 binary128, native byte order. */
static void
quads_to_doubles (const guint8 *in, gsize n, guint8 *out)
{
  for (gsize i = 0; i < n; i++) {
    __float128 quad;
    double value;

    memcpy (&quad, in + 16 * i, 16);
    value = (double)quad;
    memcpy (out + 8 * i, &value, 8);
  }
}

static void
add_warnings (TessVolume *volume, const TessNiftiHeader *header, gsize stored_size, GPtrArray *warnings)
{
  int units = XYZT_TO_SPACE (header->h.xyzt_units);

  for (guint i = 0; i < warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (warnings, i));
  if (units == NIFTI_UNITS_METER || units == NIFTI_UNITS_MICRON)
    tess_volume_add_warning (volume,
                             units == NIFTI_UNITS_METER
                                 ? _ ("The header gives lengths in metres; they are read as millimetres.")
                                 : _ ("The header gives lengths in micrometres; they are read as millimetres."));
  if (stored_size == 16)
    tess_volume_add_warning (volume, _ ("Stored as float128, read as float64."));
}

/* @stream stands on the first voxel of the file that holds them. */
static TessVolume *
load_voxels (const TessNiftiHeader *header, TessStream *stream, guint64 offset, GPtrArray *warnings,
             const TessVoxelListener *listener, GError **error)
{
  const char *path = tess_stream_peek_path (stream);
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (TessLabelTable) labels = NULL;
  g_autoptr (GBytes) source = NULL;
  gint64 dim[3], n_channels;
  TessNiftiType type;
  TessAffine affine;
  TessVoxelCoding coding;
  double slope, intercept;

  if (!tess_nifti_header_dims (header, path, dim, &n_channels, error) ||
      !tess_nifti_header_type (header, path, &type, error) ||
      !tess_voxels_fit (stream, offset, dim, n_channels, type.stored_size, error))
    return NULL;
  tess_nifti_header_explain_channels (header, warnings);
  if (!tess_nifti_header_affine (header, &affine, warnings)) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its header gives no usable voxel size; correct the header"), name);
    return NULL;
  }
  tess_nifti_header_scaling (header, &slope, &intercept, warnings);
  volume = tess_volume_new (type.dtype, dim, n_channels, &affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  tess_volume_set_scaling (volume, slope, intercept);
  labels = tess_nifti_labels_find (header);
  if (header->h.intent_code == TESS_NIFTI_INTENT_LABEL || labels)
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_volume_set_labels (volume, labels);
  source = tess_nifti_header_to_bytes (header);
  tess_volume_set_source_header (volume, tess_format_nifti.id, source);
  add_warnings (volume, header, type.stored_size, warnings);
  coding = (TessVoxelCoding){.stored_size = type.stored_size,
                             .swapped = header->swapped,
                             .convert = type.stored_size == 16 ? quads_to_doubles : NULL};
  if (!(type.n_interleaved == 1
            ? tess_voxels_read (volume, stream, &coding, listener, error)
            : tess_voxels_read_interleaved (volume, stream, &coding, type.n_interleaved, listener, error)))
    return NULL;
  tess_progress_set (listener->progress, 1.0);
  return g_steal_pointer (&volume);
}

/**
 * nifti_load:
 *
 * NIfTI-1 and -2, .nii or .hdr + .img (either may be named), gzip or not, both byte orders. Voxels keep their type;
 * axes 4 and 5, colours and the parts of complex numbers become channels; the affine is chosen as nibabel does
 * (tess_nifti_header_affine()).
 */
static TessVolume *
nifti_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
            GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  gboolean pair = tess_nifti_is_pair (path);
  g_autofree char *header_path = pair ? tess_nifti_pair_half (path, FALSE) : g_strdup (path);
  g_autoptr (TessStream) stream = tess_stream_open (header_path, error);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  TessNiftiHeader header = {0};
  TessVolume *volume = NULL;

  g_return_val_if_fail (entry == NULL, NULL);
  if (!stream)
    return NULL;
  if (!tess_nifti_header_read (&header, stream, warnings, progress, error)) {
    /* said already */
  } else if (header.single == pair) {
    g_autofree char *name = g_filename_display_name (header_path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 pair ? _ ("%s: its header says that the voxels are in the same file; rename it to .nii")
                      : _ ("%s: its header says that the voxels are in an .img file; rename it to .hdr and put the "
                           ".img beside it"),
                 name);
  } else if (pair) {
    g_autofree char *image_path = tess_nifti_pair_half (path, TRUE);
    g_autoptr (TessStream) image = tess_stream_open (image_path, error);
    guint64 offset = (guint64)header.h.vox_offset;

    if (image && offset <= tess_stream_max_size (image) ? tess_stream_skip (image, offset, progress, error) : FALSE)
      volume = load_voxels (&header, image, offset, warnings, &listener, error);
    else if (image && error && !*error) {
      g_autofree char *name = g_filename_display_name (image_path);

      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: the file ends too early; it is incomplete, copy it again"), name);
    }
  } else {
    volume = load_voxels (&header, stream, (guint64)header.h.vox_offset, warnings, &listener, error);
  }
  tess_nifti_header_clear (&header);
  return volume;
}

const TessFormat tess_format_nifti = {
    .id = "nifti",
    .name = "NIfTI",
    .endings = ".nii .nii.gz .hdr .hdr.gz .img .img.gz",
    .load = nifti_load,
    .save = tess_nifti_save,
    .main_file = nifti_main_file,
};
