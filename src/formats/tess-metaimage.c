#include "tess-metaimage.h"
#include "tess-metaimage-header.h"
#include "tess-voxels.h"

#include <inttypes.h>
#include <string.h>

#define MAX_HEADER ((gsize)1 << 20) /* a usual one has 400 bytes; with all DICOM tags of a slice some 10,000 */

/* Where the voxels are: a part of a file. */
typedef struct {
  char *path;
  guint64 offset, n_bytes;
  TessPacking packing;
} DataPart;

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
read_header (TessMetaImageHeader *header, const char *path, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, MAX_HEADER, TESS_PACKING_NONE, error);
  g_autofree guint8 *text = NULL;
  gsize size;
  gssize got;

  if (!stream)
    return FALSE;
  size = (gsize)tess_stream_file_size (stream);
  text = g_malloc (size + 1);
  got = tess_stream_read (stream, text, size, error);
  return got >= 0 && tess_metaimage_header_parse (header, path, text, (gsize)got, error);
}

/* A file of that name in another mix of capitals; NULL unless there is exactly one of any mix. */
static char *
find_in_other_case (const char *path)
{
  g_autofree char *folder = g_path_get_dirname (path), *base = g_path_get_basename (path), *found = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir)))
    if (g_ascii_strcasecmp (name, base) == 0) {
      if (found)
        return NULL;
      found = g_build_filename (folder, name, NULL);
    }
  return found && g_file_test (found, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer (&found) : NULL;
}

/* Whether it can be a file's name, and be shown. */
static gboolean
is_sane_name (const char *name)
{
  for (const char *c = name; *c; c++)
    if (g_ascii_iscntrl (*c))
      return FALSE;
  return name[0] != '\0' && strlen (name) <= 4000;
}

static gboolean
leads_outside (const char *name)
{
  g_auto (GStrv) parts = g_strsplit (name, "/", -1);

  return name[0] == '/' || (g_ascii_isalpha (name[0]) && name[1] == ':') ||
         g_strv_contains ((const char *const *)parts, "..");
}

/* The file named by ElementDataFile. A header from somewhere else must not make us read what it likes: only names that
 * stay in the header's folder are followed. */
static char *
find_data_file (const char *path, const char *value, GPtrArray *warnings, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (path), *name = g_strdup (value), *display = NULL, *beside = NULL,
                  *file = g_build_filename (folder, value, NULL), *other = NULL;

  if (!is_sane_name (value)) {
    fail (error, TESS_ERROR_FORMAT, path, _ ("%s in its header makes no sense; correct the header"), "ElementDataFile");
    return NULL;
  }
  if (g_file_test (file, G_FILE_TEST_IS_REGULAR) && !leads_outside (value))
    return g_steal_pointer (&file);
  display = g_filename_display_name (value);
  g_strdelimit (name, "\\", '/'); /* written on Windows */
  if (strchr (value, '%') || g_ascii_strncasecmp (value, "LIST", 4) == 0) {
    fail (
        error, TESS_ERROR_UNSUPPORTED, path,
        _ ("its voxels are in a list of image files (ElementDataFile = %s), which is not read; join them into one .mha "
           "or .nii.gz first, for example with 3D Slicer or SimpleITK"),
        display);
    return NULL;
  }
  g_free (file);
  if (!leads_outside (name)) {
    file = g_build_filename (folder, name, NULL);
    if (g_file_test (file, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&file);
    other = find_in_other_case (file);
    if (other) {
      g_autofree char *found = g_filename_display_basename (other);

      g_ptr_array_add (warnings,
                       g_strdup_printf (_ ("The header calls its data file %s; %s was read."), display, found));
      return g_steal_pointer (&other);
    }
    fail (error, TESS_ERROR_IO, path, _ ("the file with its voxels, %s, is missing; put it beside the header"),
          display);
    return NULL;
  }
  beside = g_path_get_basename (name);
  file = g_build_filename (folder, beside, NULL);
  if (g_file_test (file, G_FILE_TEST_IS_REGULAR)) {
    g_ptr_array_add (warnings,
                     g_strdup_printf (_ ("The header calls its data file %s, outside of its folder; the file of "
                                         "that name beside the header was read."),
                                      display));
    return g_steal_pointer (&file);
  }
  fail (error, TESS_ERROR_FORMAT, path,
        _ ("its header names a file outside of its folder (%s), which is not opened; put that file beside the header"),
        display);
  return NULL;
}

/* gzip instead of zlib in what is compressed: MetaIO reads it, so it exists. */
static TessPacking
packing_at (const char *path, guint64 offset)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, offset, 2, TESS_PACKING_NONE, NULL);
  guint8 magic[2] = {0};

  return stream && tess_stream_read (stream, magic, 2, NULL) == 2 && magic[0] == 0x1f && magic[1] == 0x8b
             ? TESS_PACKING_GZIP
             : TESS_PACKING_ZLIB;
}

/* n_bytes: of the voxels, unpacked. */
static gboolean
locate (const TessMetaImageHeader *header, const char *path, guint64 n_bytes, DataPart *part, GPtrArray *warnings,
        GError **error)
{
  gboolean local = g_ascii_strcasecmp (header->data_file, "LOCAL") == 0;
  guint64 stored = header->compressed ? (guint64)header->compressed_size : n_bytes, file_size;
  g_autoptr (TessStream) file = NULL;

  part->path = local ? g_strdup (path) : find_data_file (path, header->data_file, warnings, error);
  if (!part->path)
    return FALSE;
  file = tess_stream_open_part (part->path, 0, G_MAXUINT64, TESS_PACKING_NONE, error);
  if (!file)
    return FALSE;
  file_size = tess_stream_file_size (file);
  part->n_bytes = G_MAXUINT64;
  if (header->header_size < 0) {
    if (stored == 0)
      return fail (
          error, TESS_ERROR_FORMAT, path,
          _ ("its header does not say where the compressed voxels begin (HeaderSize = -1); write the number of "
             "bytes before them there"));
    if (stored > file_size)
      return fail (error, TESS_ERROR_FORMAT, part->path,
                   _ ("the file is shorter than its header says; it is incomplete, copy it again"));
    part->offset = file_size - stored;
  } else {
    part->offset = header->header_size > 0 ? (guint64)header->header_size : local ? header->length : 0;
  }
  if (!local && !header->compressed && (part->offset > file_size || file_size - part->offset < n_bytes)) {
    g_autofree char *name = g_filename_display_basename (part->path);

    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("the file with its voxels, %s, is shorter than the header says; it is incomplete, copy it again"),
                 name);
  }
  part->packing = header->compressed ? packing_at (part->path, part->offset) : TESS_PACKING_NONE;
  if (!header->compressed && part->offset <= file_size && file_size - part->offset > n_bytes)
    g_ptr_array_add (warnings, g_strdup_printf (_ ("The voxels are followed by %" PRIu64
                                                   " bytes more than the header says; these are not read."),
                                                file_size - part->offset - n_bytes));
  return TRUE;
}

/* MetaIO defines fields for a scale of the values, but nothing that reads through ITK applies them. */
static void
warn_of_scale (const TessMetaImageHeader *header, GPtrArray *warnings)
{
  const char *slope = tess_metaimage_header_get (header, "ElementToIntensityFunctionSlope");
  const char *offset = tess_metaimage_header_get (header, "ElementToIntensityFunctionOffset");

  if ((slope && g_ascii_strtod (slope, NULL) != 1) || (offset && g_ascii_strtod (offset, NULL) != 0))
    g_ptr_array_add (warnings,
                     g_strdup (_ ("The header gives a scale of the values (ElementToIntensityFunction), which "
                                  "is not applied, as in ITK.")));
}

/* The header without who the patient is, for files that are written from this volume. */
static GBytes *
source_header (const TessMetaImageHeader *header)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < header->fields->len; i++) {
    const TessMetaImageField *field = g_ptr_array_index (header->fields, i);

    if (!tess_metaimage_key_is_private (field->key))
      g_string_append_printf (text, "%s = %s\n", field->key, field->value);
  }
  return g_string_free_to_bytes (text);
}

static TessVolume *
load_voxels (const TessMetaImageHeader *header, const char *path, const TessVoxelListener *listener, GError **error)
{
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (TessStream) stream = NULL;
  g_autoptr (GBytes) source = NULL;
  g_autofree char *data_path = NULL;
  TessVoxelCoding coding = {.stored_size = tess_dtype_size (header->dtype), .swapped = header->swapped};
  guint64 n_bytes = coding.stored_size;
  gint64 dim[3], n_channels = 0;
  TessAffine affine;
  DataPart part = {0};
  gboolean overflow = !tess_metaimage_header_shape (header, dim, &n_channels), done;

  for (int k = 0; k < 3; k++)
    overflow |= __builtin_mul_overflow (n_bytes, (guint64)dim[k], &n_bytes);
  if (overflow || __builtin_mul_overflow (n_bytes, (guint64)n_channels, &n_bytes)) {
    fail (error, TESS_ERROR_FORMAT, path, _ ("%s in its header makes no sense; correct the header"), "DimSize");
    return NULL;
  }
  if (!tess_metaimage_header_affine (header, path, &affine, warnings, error))
    return NULL;
  warn_of_scale (header, warnings);
  done = locate (header, path, n_bytes, &part, warnings, error);
  data_path = part.path;
  if (!done)
    return NULL;
  stream = tess_stream_open_part (part.path, part.offset, part.n_bytes, part.packing, error);
  if (!stream || !tess_voxels_fit (stream, 0, dim, n_channels, coding.stored_size, error))
    return NULL;
  volume = tess_volume_new (header->dtype, dim, n_channels, &affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (path);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  source = source_header (header);
  if (g_bytes_get_size (source) < MAX_HEADER / 2) /* what is written must be readable */
    tess_volume_set_source_header (volume, tess_format_metaimage.id, source);
  for (guint i = 0; i < warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (warnings, i));
  if (!(header->n_interleaved > 1
            ? tess_voxels_read_interleaved (volume, stream, &coding, header->n_interleaved, listener, error)
            : tess_voxels_read (volume, stream, &coding, listener, error)))
    return NULL;
  tess_progress_set (listener->progress, 1.0);
  return g_steal_pointer (&volume);
}

/**
 * metaimage_load:
 *
 * .mha and .mhd: voxels in the file itself or one beside it, plain or compressed, either byte order. What ITK reads is
 * read as ITK reads it, except that a compressed stream is followed to its own end, whatever CompressedDataSize says.
 * Axes beyond the third and the numbers of a voxel become channels (of time points and components, time is faster).
 */
static TessVolume *
metaimage_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  TessMetaImageHeader header = {0};
  TessVolume *volume = NULL;

  g_return_val_if_fail (entry == NULL, NULL);
  if (read_header (&header, path, error))
    volume = load_voxels (&header, path, &listener, error);
  tess_metaimage_header_clear (&header);
  return volume;
}

const TessFormat tess_format_metaimage = {
    .id = "metaimage",
    .name = "MetaImage",
    .endings = ".mha .mhd",
    .load = metaimage_load,
    .save = tess_metaimage_save,
};
