#include "tess-metaimage-header.h"

#include <math.h>
#include <string.h>

/* The names of the fields and which of several synonyms counts are MetaIO's, the library behind ITK's reader. */

static const struct {
  const char *name;
  TessDType dtype;
} types[] = {
    {"MET_UCHAR", TESS_DTYPE_U8},       {"MET_CHAR", TESS_DTYPE_I8},       {"MET_USHORT", TESS_DTYPE_U16},
    {"MET_SHORT", TESS_DTYPE_I16},      {"MET_UINT", TESS_DTYPE_U32},      {"MET_INT", TESS_DTYPE_I32},
    {"MET_ULONG_LONG", TESS_DTYPE_U64}, {"MET_LONG_LONG", TESS_DTYPE_I64}, {"MET_FLOAT", TESS_DTYPE_F32},
    {"MET_DOUBLE", TESS_DTYPE_F64},     {"MET_ULONG", TESS_DTYPE_U32}, /* four bytes, whatever a machine's long is */
    {"MET_LONG", TESS_DTYPE_I32},
};

const char *
tess_metaimage_type (TessDType dtype)
{
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].dtype == dtype)
      return types[i].name;
  return NULL;
}

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

static void
field_free (TessMetaImageField *field)
{
  g_free (field->key);
  g_free (field->value);
  g_free (field);
}

void
tess_metaimage_header_clear (TessMetaImageHeader *header)
{
  g_clear_pointer (&header->fields, g_ptr_array_unref);
}

/* Names are compared without regard to case; MetaIO writes them as it does, people do not always. */
const char *
tess_metaimage_header_get (const TessMetaImageHeader *header, const char *key)
{
  for (guint i = header->fields->len; i-- > 0;) {
    const TessMetaImageField *field = g_ptr_array_index (header->fields, i);

    if (g_ascii_strcasecmp (field->key, key) == 0)
      return field->value;
  }
  return NULL;
}

/* ITK writes a DICOM series' tags into the header ("0010|0010 = NAME"): group 0010 is the patient. */
gboolean
tess_metaimage_key_is_private (const char *key)
{
  return g_ascii_strncasecmp (key, "0010|", 5) == 0 || g_ascii_strncasecmp (key, "0010,", 5) == 0 ||
         g_ascii_strncasecmp (key, "(0010", 5) == 0 || g_ascii_strncasecmp (key, "Patient", 7) == 0;
}

/* Cuts the text into fields up to the line of ElementDataFile, the last one. */
static gboolean
split_fields (TessMetaImageHeader *header, const char *path, const guint8 *data, gsize n, GError **error)
{
  const char *text = (const char *)data;

  for (gsize at = 0; at < n;) {
    const char *end = memchr (text + at, '\n', n - at);
    gsize length = end ? (gsize)(end - (text + at)) : n - at;
    g_autofree char *line = g_strndup (text + at, length);
    TessMetaImageField *field;
    gsize cut;

    if (strlen (line) != length)
      break; /* a zero byte: this is no text */
    at += end ? length + 1 : length;
    g_strstrip (line);
    if (line[0] == '\0' || line[0] == '#')
      continue;
    cut = strcspn (line, "=:");
    if (line[cut] == '\0' || cut == 0)
      break;
    field = g_new0 (TessMetaImageField, 1);
    field->key = g_strchomp (g_strndup (line, cut));
    field->value = g_strstrip (g_strdup (line + cut + 1));
    g_ptr_array_add (header->fields, field);
    if (g_ascii_strcasecmp (field->key, "ElementDataFile") == 0) {
      header->length = at;
      header->data_file = field->value;
      return TRUE;
    }
  }
  if (tess_metaimage_header_get (header, "NDims") || tess_metaimage_header_get (header, "DimSize"))
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header ends without naming the voxels (ElementDataFile); it is incomplete or damaged, copy it "
                    "again"));
  return fail (error, TESS_ERROR_FORMAT, path, _ ("this is not a MetaImage file; give one, or correct the ending"));
}

/* n numbers with blanks between them; more may follow. */
static gboolean
parse_numbers (const char *text, double *values, gint n)
{
  for (gint i = 0; i < n; i++) {
    char *end;

    values[i] = g_ascii_strtod (text, &end);
    if (end == text || (*end != '\0' && !g_ascii_isspace (*end)))
      return FALSE;
    text = end;
  }
  return TRUE;
}

static gboolean
bad_field (const char *path, const char *key, GError **error)
{
  return fail (error, TESS_ERROR_FORMAT, path, _ ("%s in its header makes no sense; correct the header"), key);
}

/* A whole number in [low, high]; `fallback` when the field is not there. */
static gboolean
get_integer (const TessMetaImageHeader *header, const char *path, const char *key, gint64 low, gint64 high,
             gint64 fallback, gint64 *value, GError **error)
{
  const char *text = tess_metaimage_header_get (header, key);
  double number;

  *value = fallback;
  if (!text)
    return TRUE;
  if (!parse_numbers (text, &number, 1) || !(number >= (double)low && number <= (double)high) ||
      number != rint (number))
    return bad_field (path, key, error);
  *value = (gint64)number;
  return TRUE;
}

/* MetaIO's rule: the first letter. */
static gboolean
get_flag (const TessMetaImageHeader *header, const char *key, gboolean fallback)
{
  const char *text = tess_metaimage_header_get (header, key);

  return text ? strchr ("Tt1", text[0]) && text[0] : fallback;
}

static gboolean
get_type (TessMetaImageHeader *header, const char *path, GError **error)
{
  const char *text = tess_metaimage_header_get (header, "ElementType");
  g_autofree char *type = g_strdup (text ? text : "");

  if (g_str_has_suffix (type, "_ARRAY")) /* an old way to write ElementNumberOfChannels > 1 */
    type[strlen (type) - strlen ("_ARRAY")] = '\0';
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (g_ascii_strcasecmp (types[i].name, type) == 0) {
      header->dtype = types[i].dtype;
      return TRUE;
    }
  return bad_field (path, "ElementType", error);
}

static gboolean
get_dims (TessMetaImageHeader *header, const char *path, GError **error)
{
  const char *text = tess_metaimage_header_get (header, "DimSize");
  double dims[TESS_METAIMAGE_MAX_DIMS];
  gint64 n_dims;

  if (!tess_metaimage_header_get (header, "NDims") || !text)
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header does not say how many voxels there are (NDims, DimSize); it is incomplete, copy it "
                    "again"));
  if (!get_integer (header, path, "NDims", 1, TESS_METAIMAGE_MAX_DIMS, 0, &n_dims, error))
    return FALSE;
  header->n_dims = (gint)n_dims;
  if (!parse_numbers (text, dims, header->n_dims))
    return bad_field (path, "DimSize", error);
  for (gint i = 0; i < header->n_dims; i++) {
    if (!(dims[i] >= 1 && dims[i] < 0x1p53) || dims[i] != rint (dims[i]))
      return bad_field (path, "DimSize", error);
    header->dim[i] = (gint64)dims[i];
  }
  return get_integer (header, path, "ElementNumberOfChannels", 1, G_MAXINT32, 1, &header->n_interleaved, error);
}

/**
 * tess_metaimage_header_parse:
 * @header: (out): to be cleared, also on failure
 * @path: for messages
 * @data: the file's first bytes
 *
 * Errors: FORMAT, UNSUPPORTED (voxels as text, objects that are no images).
 */
gboolean
tess_metaimage_header_parse (TessMetaImageHeader *header, const char *path, const guint8 *data, gsize n, GError **error)
{
  const char *object;
  gboolean msb;

  memset (header, 0, sizeof *header);
  header->fields = g_ptr_array_new_with_free_func ((GDestroyNotify)field_free);
  if (!split_fields (header, path, data, n, error))
    return FALSE;
  object = tess_metaimage_header_get (header, "ObjectType");
  if (object && g_ascii_strcasecmp (object, "Image") != 0)
    return fail (error, TESS_ERROR_UNSUPPORTED, path,
                 _ ("its header says that it holds no image (ObjectType); give a file with an image"));
  if (!get_flag (header, "BinaryData", TRUE))
    return fail (error, TESS_ERROR_UNSUPPORTED, path,
                 _ ("its voxels are written as text (BinaryData = False); save it with binary data first"));
  if (!get_dims (header, path, error) || !get_type (header, path, error) ||
      !get_integer (header, path, "CompressedDataSize", 0, G_MAXINT64 / 2, 0, &header->compressed_size, error) ||
      !get_integer (header, path, "HeaderSize", -1, G_MAXINT64 / 2, 0, &header->header_size, error))
    return FALSE;
  header->compressed = get_flag (header, "CompressedData", FALSE);
  msb = get_flag (header, "BinaryDataByteOrderMSB", get_flag (header, "ElementByteOrderMSB", FALSE));
  header->swapped = msb != (G_BYTE_ORDER == G_BIG_ENDIAN) && tess_dtype_size (header->dtype) > 1;
  return TRUE;
}

gboolean
tess_metaimage_header_shape (const TessMetaImageHeader *header, gint64 dim[3], gint64 *n_channels)
{
  *n_channels = header->n_interleaved;
  for (gint i = 0; i < 3; i++)
    dim[i] = i < header->n_dims ? header->dim[i] : 1;
  for (gint i = 3; i < header->n_dims; i++)
    if (__builtin_mul_overflow (*n_channels, header->dim[i], n_channels))
      return FALSE;
  return TRUE;
}

/* The first of the NULL-terminated names that is there. */
static gboolean
get_numbers (const TessMetaImageHeader *header, const char *path, const char *const *keys, double *values, gint n,
             gboolean *found, GError **error)
{
  *found = FALSE;
  for (; *keys; keys++) {
    const char *text = tess_metaimage_header_get (header, *keys);

    if (!text)
      continue;
    if (!parse_numbers (text, values, n))
      return bad_field (path, *keys, error);
    *found = TRUE;
    break;
  }
  return TRUE;
}

/**
 * tess_metaimage_header_affine:
 *
 * Voxel -> world. MetaImage's own world is LPS, as ITK's; its matrix lists the direction of one axis after the other.
 * Axes a file of fewer than three dimensions lacks stand upright, 1 mm apart.
 */
gboolean
tess_metaimage_header_affine (const TessMetaImageHeader *header, const char *path, TessAffine *affine,
                              GPtrArray *warnings, GError **error)
{
  static const char *const matrix_keys[] = {"TransformMatrix", "Rotation", "Orientation", NULL};
  static const char *const offset_keys[] = {"Origin", "Offset", "Position", NULL};
  static const char *const spacing_keys[] = {"ElementSpacing", "ElementSize", NULL};
  static const double flip[3] = {-1, -1, 1};
  double matrix[TESS_METAIMAGE_MAX_DIMS * TESS_METAIMAGE_MAX_DIMS], offset[TESS_METAIMAGE_MAX_DIMS] = {0};
  double spacing[TESS_METAIMAGE_MAX_DIMS];
  gboolean has_matrix, has_offset, has_spacing, repaired = FALSE;
  gint n = header->n_dims;

  for (gint i = 0; i < n; i++)
    spacing[i] = 1;
  if (!get_numbers (header, path, matrix_keys, matrix, n * n, &has_matrix, error) ||
      !get_numbers (header, path, offset_keys, offset, n, &has_offset, error) ||
      !get_numbers (header, path, spacing_keys, spacing, n, &has_spacing, error))
    return FALSE;
  for (gint k = 0; k < 3; k++) {
    double size = k < n ? spacing[k] : 1;

    if (!isfinite (size) || size == 0) {
      size = 1;
      repaired = TRUE;
    }
    for (gint r = 0; r < 3; r++) {
      double direction = k < n && r < n && has_matrix ? matrix[k * n + r] : k == r ? 1 : 0;

      affine->m[r][k] = flip[r] * direction * size + 0.0; /* no negative zeros */
    }
    affine->m[k][3] = flip[k] * (k < n ? offset[k] : 0) + 0.0;
  }
  if (repaired && warnings)
    g_ptr_array_add (warnings, g_strdup (_ ("The header gives an impossible voxel size; 1 mm is used in its place.")));
  if (!tess_affine_is_valid (affine))
    return fail (error, TESS_ERROR_FORMAT, path,
                 _ ("its header gives no usable directions of the axes (TransformMatrix); correct the header"));
  return TRUE;
}
