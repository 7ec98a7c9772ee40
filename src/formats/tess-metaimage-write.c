#include "tess-format.h"
#include "tess-metaimage-header.h"
#include "tess-voxels.h"

#include <math.h>
#include <string.h>

#define SIZE_DIGITS 20 /* of the number that is known only when the voxels are written */

/* Fields the writer says itself, or that need not be true of the new file. All others are taken over. */
static const char *const own_fields[] = {
    "ObjectType",
    "NDims",
    "BinaryData",
    "BinaryDataByteOrderMSB",
    "ElementByteOrderMSB",
    "CompressedData",
    "CompressedDataSize",
    "CompressionLevel",
    "DimSize",
    "HeaderSize",
    "ElementNumberOfChannels",
    "ElementType",
    "ElementMin",
    "ElementMax",
    "ElementDataFile",
    NULL,
};
/* These describe the grid: taken over as they are written where the grid is the same. */
static const char *const grid_fields[] = {
    "TransformMatrix",       "Rotation",       "Orientation", "Origin", "Position", "Offset", "CenterOfRotation",
    "AnatomicalOrientation", "ElementSpacing", "ElementSize", NULL,
};

static gboolean
is_one_of (const char *const *names, const char *key)
{
  for (; *names; names++)
    if (g_ascii_strcasecmp (*names, key) == 0)
      return TRUE;
  return FALSE;
}

static void
append_number (GString *text, double value)
{
  g_autofree char *digits = tess_format_exact (value);

  g_string_append_c (text, ' ');
  g_string_append (text, digits);
}

/* MetaIO's letters say where an axis comes from, ours where it goes to. */
static char
opposite (char letter)
{
  static const char letters[] = "RLAPSI";
  const char *at = strchr (letters, letter);

  return at ? letters[(at - letters) ^ 1] : '?';
}

static void
append_geometry (GString *text, TessVolume *volume, gint n_dims)
{
  const TessAffine *a = tess_volume_affine (volume);
  static const double flip[3] = {-1, -1, 1};
  double spacing[3];
  char codes[4];

  tess_affine_spacing (a, spacing);
  g_string_append (text, "TransformMatrix =");
  for (gint k = 0; k < n_dims; k++)
    for (gint r = 0; r < n_dims; r++)
      append_number (text, k < 3 && r < 3 ? flip[r] * a->m[r][k] / spacing[k] + 0.0 : k == r);
  g_string_append (text, "\nOffset =");
  for (gint k = 0; k < n_dims; k++)
    append_number (text, k < 3 ? flip[k] * a->m[k][3] + 0.0 : 0);
  g_string_append (text, "\nCenterOfRotation =");
  for (gint k = 0; k < n_dims; k++)
    g_string_append (text, " 0");
  tess_affine_orientation (a, codes);
  g_string_append_printf (text, "\nAnatomicalOrientation = %c%c%c\nElementSpacing =", opposite (codes[0]),
                          opposite (codes[1]), opposite (codes[2]));
  for (gint k = 0; k < n_dims; k++)
    append_number (text, k < 3 ? spacing[k] : 1);
  g_string_append_c (text, '\n');
}

typedef struct {
  TessMetaImageHeader source;
  gboolean has_source, same_grid; /* same_grid: its geometry fields are true of the volume */
  gint n_dims;
  gint64 dim[TESS_METAIMAGE_MAX_DIMS], n_interleaved;
  TessDType dtype;
  gboolean compress;
} Layout;

/* How to write it: as it came where it was a MetaImage, else three axes and a fourth for channels, compressed. */
static void
plan_layout (Layout *layout, TessVolume *volume)
{
  GBytes *bytes = tess_volume_peek_source_header (volume, "metaimage");
  const gint64 *dim = tess_volume_dim (volume);
  gint64 channels = tess_volume_n_channels (volume), old_dim[3], old_channels;
  const TessMetaImageHeader *source = &layout->source;
  TessAffine old;

  memset (layout, 0, sizeof *layout);
  layout->dtype = tess_voxels_plain_dtype (volume);
  layout->compress = TRUE;
  layout->n_interleaved = 1;
  layout->n_dims = channels > 1 ? 4 : 3;
  memcpy (layout->dim, dim, 3 * sizeof *dim);
  layout->dim[3] = channels;
  if (!bytes)
    return;
  layout->has_source =
      tess_metaimage_header_parse (&layout->source, "", g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), NULL);
  if (!layout->has_source)
    return;
  layout->compress = source->compressed || tess_volume_intent (volume) == TESS_INTENT_LABEL;
  if (!tess_metaimage_header_shape (source, old_dim, &old_channels) ||
      (source->n_dims > 3 && old_channels != channels) || memcmp (old_dim, dim, sizeof old_dim) != 0 ||
      !tess_metaimage_header_affine (source, "", &old, NULL, NULL) ||
      !tess_affine_equal (&old, tess_volume_affine (volume), 0.0))
    return;
  layout->same_grid = TRUE;
  layout->n_dims = source->n_dims;
  memcpy (layout->dim, source->dim, sizeof layout->dim);
  layout->n_interleaved = source->n_dims > 3 ? source->n_interleaved : channels;
}

/* @size_at: (out): where in the text CompressedDataSize is to be put; 0 when it is not in it. */
static GString *
header_text (const Layout *layout, TessVolume *volume, const char *data_file, guint64 compressed_size, gsize *size_at)
{
  GString *text = g_string_new (NULL);

  *size_at = 0;
  g_string_append_printf (text, "ObjectType = Image\nNDims = %d\nBinaryData = True\nBinaryDataByteOrderMSB = %s\n",
                          layout->n_dims, G_BYTE_ORDER == G_BIG_ENDIAN ? "True" : "False");
  g_string_append_printf (text, "CompressedData = %s\n", layout->compress ? "True" : "False");
  if (layout->compress && compressed_size > 0) {
    g_string_append_printf (text, "CompressedDataSize = %" G_GUINT64_FORMAT "\n", compressed_size);
  } else if (layout->compress) {
    g_string_append (text, "CompressedDataSize = ");
    *size_at = text->len;
    g_string_append_printf (text, "%*s\n", SIZE_DIGITS, "");
  }
  if (!layout->same_grid)
    append_geometry (text, volume, layout->n_dims);
  for (guint i = 0; layout->has_source && i < layout->source.fields->len; i++) {
    const TessMetaImageField *field = g_ptr_array_index (layout->source.fields, i);

    if (!is_one_of (own_fields, field->key) && (layout->same_grid || !is_one_of (grid_fields, field->key)))
      g_string_append_printf (text, "%s = %s\n", field->key, field->value);
  }
  g_string_append (text, "DimSize =");
  for (gint k = 0; k < layout->n_dims; k++)
    g_string_append_printf (text, " %" G_GINT64_FORMAT, layout->dim[k]);
  if (layout->n_interleaved > 1)
    g_string_append_printf (text, "\nElementNumberOfChannels = %" G_GINT64_FORMAT, layout->n_interleaved);
  g_string_append_printf (text, "\nElementType = %s\nElementDataFile = %s\n", tess_metaimage_type (layout->dtype),
                          data_file);
  return text;
}

static gboolean
write_voxels (const Layout *layout, TessVolume *volume, TessAtomicFile *file, guint64 *n_packed, TessProgress *progress,
              GError **error)
{
  if (!layout->compress)
    return tess_voxels_write_as (volume, file, layout->dtype, FALSE, layout->n_interleaved, progress, error);
  return tess_atomic_file_pack (file, TESS_PACKING_ZLIB, error) &&
         tess_voxels_write_as (volume, file, layout->dtype, FALSE, layout->n_interleaved, progress, error) &&
         tess_atomic_file_unpack (file, n_packed, error);
}

static gboolean
save_one_file (const Layout *layout, TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);
  g_autoptr (GString) text = NULL;
  g_autofree char *size = NULL;
  guint64 n_packed = 0;
  gsize size_at;

  if (!file)
    return FALSE;
  text = header_text (layout, volume, "LOCAL", 0, &size_at);
  if (!tess_atomic_file_write (file, text->str, text->len, error) ||
      !write_voxels (layout, volume, file, &n_packed, progress, error))
    return FALSE;
  size = g_strdup_printf ("%*" G_GUINT64_FORMAT, SIZE_DIGITS, n_packed);
  return (!size_at || tess_atomic_file_patch (file, size_at, size, SIZE_DIGITS, error)) &&
         tess_atomic_file_commit (file, error);
}

static gboolean
save_two_files (const Layout *layout, TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  g_autofree char *data_path =
      g_strdup_printf ("%.*s%s", (int)(strlen (path) - 4), path, layout->compress ? ".zraw" : ".raw");
  g_autofree char *data_name = g_path_get_basename (data_path);
  g_autoptr (TessAtomicFile) header_file = NULL, data_file = NULL;
  g_autoptr (GString) text = NULL;
  guint64 n_packed = 0;
  gsize size_at;

  if (strpbrk (data_name, "\n\r%") || g_ascii_isspace (data_name[0])) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: its header cannot hold a file name with %% or line breaks; choose another name, or the ending "
                    ".mha"),
                 name);
    return FALSE;
  }
  if (!g_file_test (path, G_FILE_TEST_EXISTS) && g_file_test (data_path, G_FILE_TEST_EXISTS)) {
    g_autofree char *name = g_filename_display_name (path), *data = g_filename_display_basename (data_path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("%s: its voxels would replace %s, which belongs to something else; choose another name, or the "
                    "ending .mha"),
                 name, data);
    return FALSE;
  }
  header_file = tess_atomic_file_new (path, FALSE, error);
  data_file = header_file ? tess_atomic_file_new (data_path, FALSE, error) : NULL;
  if (!data_file || !write_voxels (layout, volume, data_file, &n_packed, progress, error))
    return FALSE;
  text = header_text (layout, volume, data_name, n_packed, &size_at);
  return tess_atomic_file_write (header_file, text->str, text->len, error) &&
         tess_atomic_file_commit (data_file, error) && tess_atomic_file_commit (header_file, error);
}

/**
 * tess_metaimage_save:
 *
 * Writes .mha, or .mhd and beside it the voxels (.raw, compressed .zraw). MetaImage has no scaling that readers apply,
 * so real values are written (tess_voxels_plain_dtype()). A volume read from a MetaImage keeps its other fields, its
 * layout of channels and whether it is compressed; on the same grid its geometry, letter for letter. Who the patient is
 * is left out.
 */
gboolean
tess_metaimage_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  gboolean two = g_ascii_strcasecmp (path + strlen (path) - 4, ".mhd") == 0, done;
  Layout layout;

  plan_layout (&layout, volume);
  done = two ? save_two_files (&layout, volume, path, progress, error)
             : save_one_file (&layout, volume, path, progress, error);
  if (layout.has_source || layout.source.fields)
    tess_metaimage_header_clear (&layout.source);
  if (done)
    tess_progress_set (progress, 1.0);
  return done;
}
