#include "tess-nifti.h"
#include "tess-nifti-header.h"

#include <inttypes.h>
#include <string.h>

#define PIECE ((gsize)4 << 20) /* a multiple of every voxel size; between two pieces a cancel is noticed */

static const char *const endings[] = {".nii.gz", ".nii", ".hdr.gz", ".img.gz", ".hdr", ".img"};

/* Length of the name without its NIfTI ending, or 0 when it has none. */
static gsize
stem_length (const char *path)
{
  gsize n = strlen (path);

  for (guint i = 0; i < G_N_ELEMENTS (endings); i++) {
    gsize k = strlen (endings[i]);

    if (n > k && path[n - k - 1] != '/' && g_ascii_strcasecmp (path + n - k, endings[i]) == 0)
      return n - k;
  }
  return 0;
}

static gboolean
nifti_matches (const char *path)
{
  return stem_length (path) > 0;
}

static char *
nifti_stem (const char *path)
{
  g_autofree char *base = g_path_get_basename (path);
  gsize n = stem_length (base);

  return n ? g_strndup (base, n) : g_strdup (base);
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

static void
swap_bytes (guint8 *data, gsize n_bytes, gsize size)
{
  if (size == 2) {
    for (gsize i = 0; i + 2 <= n_bytes; i += 2) {
      guint16 v;

      memcpy (&v, data + i, 2);
      v = GUINT16_SWAP_LE_BE (v);
      memcpy (data + i, &v, 2);
    }
  } else if (size == 4) {
    for (gsize i = 0; i + 4 <= n_bytes; i += 4) {
      guint32 v;

      memcpy (&v, data + i, 4);
      v = GUINT32_SWAP_LE_BE (v);
      memcpy (data + i, &v, 4);
    }
  } else if (size == 8) {
    for (gsize i = 0; i + 8 <= n_bytes; i += 8) {
      guint64 v;

      memcpy (&v, data + i, 8);
      v = GUINT64_SWAP_LE_BE (v);
      memcpy (data + i, &v, 8);
    }
  } else if (size == 16) {
    for (gsize i = 0; i + 16 <= n_bytes; i += 16)
      for (gsize k = 0; k < 8; k++) {
        guint8 t = data[i + k];

        data[i + k] = data[i + 15 - k];
        data[i + 15 - k] = t;
      }
  }
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

/* Who wants to know how far it is. */
typedef struct {
  TessProgress *progress;
  TessVolumeLive live;
  gpointer user_data;
} Listener;

/* Fills the volume from the stream, which stands on the first voxel, and reads on to the end of the file, so that a
 * compressed file's checksum has been compared. */
static gboolean
read_voxels (TessVolume *volume, TessStream *stream, gsize stored_size, gboolean swapped, const Listener *listener,
             GError **error)
{
  TessProgress *progress = listener->progress;
  gsize size = tess_dtype_size (tess_volume_dtype (volume));
  gsize left = tess_volume_n_bytes (volume) / size * stored_size; /* bytes in the file */
  g_autofree guint8 *scratch = stored_size == size ? NULL : g_malloc (PIECE);
  const gint64 *dim = tess_volume_dim (volume);
  gsize slice = (gsize)(dim[0] * dim[1]) * size;
  guint8 *begin = tess_volume_data_mut (volume), *out = begin, rest[4096];
  gssize got;

  if (listener->live)
    tess_volume_set_watermark (volume, 0);

  while (left > 0) {
    gsize piece = MIN (left, PIECE);
    guint8 *in = scratch ? scratch : out;

    if (!tess_progress_check (progress, error) || !tess_stream_read_exact (stream, in, piece, error))
      return FALSE;
    if (swapped)
      swap_bytes (in, piece, stored_size);
    if (scratch)
      quads_to_doubles (in, piece / 16, out);
    out += piece / stored_size * size;
    left -= piece;
    if (listener->live && (gsize)(out - begin) >= slice) {
      tess_volume_set_watermark (volume, (gint64)((gsize)(out - begin) / slice));
      listener->live (volume, listener->user_data);
    }
    tess_progress_set (progress, (double)tess_stream_file_read (stream) / (double)tess_stream_file_size (stream));
  }
  if (!tess_stream_is_gzip (stream))
    return TRUE;
  do {
    if (!tess_progress_check (progress, error))
      return FALSE;
    got = tess_stream_read (stream, rest, sizeof rest, error);
  } while (got > 0);
  return got == 0;
}

static gboolean
fits_file (TessStream *stream, guint64 offset, const gint64 dim[3], gint64 n_channels, gsize stored_size,
           GError **error)
{
  guint64 need = stored_size, most = tess_stream_max_size (stream);
  gboolean overflow = FALSE;

  for (int k = 0; k < 3; k++)
    overflow |= __builtin_mul_overflow (need, (guint64)dim[k], &need);
  overflow |= __builtin_mul_overflow (need, (guint64)n_channels, &need) || __builtin_add_overflow (need, offset, &need);
  if (overflow || need > most) {
    g_autofree char *name = g_filename_display_name (tess_stream_peek_path (stream));

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its header promises %" PRId64 " x %" PRId64 " x %" PRId64
                    " voxels, more than a file of this size can hold; it is incomplete or damaged, copy it again"),
                 name, dim[0], dim[1], dim[2]);
    return FALSE;
  }
  return TRUE;
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
             const Listener *listener, GError **error)
{
  const char *path = tess_stream_peek_path (stream);
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GBytes) source = NULL;
  gint64 dim[3], n_channels;
  gsize stored_size;
  TessDType dtype;
  TessAffine affine;
  double slope, intercept;

  if (!tess_nifti_header_dims (header, path, dim, &n_channels, error) ||
      !tess_nifti_header_dtype (header, path, &dtype, &stored_size, error) ||
      !fits_file (stream, offset, dim, n_channels, stored_size, error))
    return NULL;
  if (!tess_nifti_header_affine (header, &affine, warnings)) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: its header gives no usable voxel size; correct the header"), name);
    return NULL;
  }
  tess_nifti_header_scaling (header, &slope, &intercept, warnings);
  volume = tess_volume_new (dtype, dim, n_channels, &affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  tess_volume_set_scaling (volume, slope, intercept);
  if (header->h.intent_code == TESS_NIFTI_INTENT_LABEL)
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  source = tess_nifti_header_to_bytes (header);
  tess_volume_set_source_header (volume, tess_format_nifti.id, source);
  add_warnings (volume, header, stored_size, warnings);
  if (!read_voxels (volume, stream, stored_size, header->swapped, listener, error))
    return NULL;
  tess_progress_set (listener->progress, 1.0);
  return g_steal_pointer (&volume);
}

/**
 * nifti_load:
 *
 * NIfTI-1 and -2, .nii or .hdr + .img (either may be named), gzip or not, both byte orders. Voxels keep their type;
 * axes 4 to 7 become channels; the affine is chosen as nibabel does (tess_nifti_header_affine()).
 */
static TessVolume *
nifti_load (const char *path, TessProgress *progress, TessVolumeLive live, gpointer user_data, GError **error)
{
  const Listener listener = {progress, live, user_data};
  gboolean pair = tess_nifti_is_pair (path);
  g_autofree char *header_path = pair ? tess_nifti_pair_half (path, FALSE) : g_strdup (path);
  g_autoptr (TessStream) stream = tess_stream_open (header_path, error);
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  TessNiftiHeader header = {0};
  TessVolume *volume = NULL;

  if (!stream)
    return NULL;
  if (!tess_nifti_header_read (&header, stream, warnings, error)) {
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

    if (image && offset <= tess_stream_max_size (image) ? tess_stream_skip (image, offset, error) : FALSE)
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
    .endings = ".nii .nii.gz .hdr .img",
    .matches = nifti_matches,
    .load = nifti_load,
    .save = tess_nifti_save,
    .stem = nifti_stem,
    .main_file = nifti_main_file,
};
