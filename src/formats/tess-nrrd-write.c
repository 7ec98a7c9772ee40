#include "tess-format.h"
#include "tess-nrrd.h"
#include "tess-nrrd-header.h"
#include "tess-voxels.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define MAX_LABELS 65535

/* What is to be written. */
typedef struct {
  TessVolume *volume;
  const char *path;
  TessDType dtype;
  TessLabelTable *labels; /* NULL: none are written */
  gboolean has_source, same_space, same_shape;
  TessNrrdHeader source;     /* of the file the volume came from */
  gint64 n_leading;          /* channels before x */
  TessNrrdEncoding encoding; /* raw or gzip */
} Output;

static void
output_clear (Output *o)
{
  tess_nrrd_header_clear (&o->source);
  g_clear_pointer (&o->labels, tess_label_table_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Output, output_clear)

/* --- numbers ------------------------------------------------------------------------------------------------------ */

static void
append_number (GString *text, double value)
{
  g_autofree char *digits = tess_format_exact (value);

  g_string_append (text, digits);
}

static void
append_vector (GString *text, const double v[3])
{
  for (int i = 0; i < 3; i++) {
    g_string_append_c (text, i == 0 ? '(' : ',');
    append_number (text, v[i] + 0.0);
  }
  g_string_append_c (text, ')');
}

static const char *
type_name (TessDType dtype)
{
  static const char *const names[TESS_N_DTYPES] = {
      [TESS_DTYPE_U8] = "unsigned char",
      [TESS_DTYPE_I8] = "signed char",
      [TESS_DTYPE_U16] = "unsigned short",
      [TESS_DTYPE_I16] = "short",
      [TESS_DTYPE_U32] = "unsigned int",
      [TESS_DTYPE_I32] = "int",
      [TESS_DTYPE_U64] = "unsigned long long",
      [TESS_DTYPE_I64] = "long long",
      [TESS_DTYPE_F32] = "float",
      [TESS_DTYPE_F64] = "double",
  };

  return names[dtype];
}

/* --- labels ------------------------------------------------------------------------------------------------------- */

/* Every value above 0 that occurs gets a label, those of the volume's own table included. */
static gboolean
complete_labels (Output *o, GError **error)
{
  TessLabelTable *given = tess_volume_peek_labels (o->volume), *table = tess_label_table_new ();
  gsize n = (gsize)tess_volume_n_voxels (o->volume), row = 4096;
  g_autofree double *values = g_new (double, row);
  double last = 0.0;

  o->labels = table;
  for (guint i = 0; given && i < tess_label_table_n (given); i++) {
    const TessLabel *label = tess_label_table_peek (given, i);

    tess_label_table_add (table, label->value, label->name, label->rgba);
  }
  for (gsize first = 0; first < n; first += row) {
    gsize m = MIN (row, n - first);

    tess_volume_values_f64 (o->volume, first, m, values);
    for (gsize i = 0; i < m; i++) {
      g_autofree char *name = NULL;

      if (values[i] == last || !(values[i] > 0.0))
        continue;
      last = values[i];
      if (tess_label_table_find (table, (gint64)last))
        continue;
      if (tess_label_table_n (table) > MAX_LABELS) {
        g_autofree char *file = g_filename_display_name (o->path);

        g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                     _ ("%s: it would hold more than %d labels, so these are none; write the volume as .nrrd"), file,
                     MAX_LABELS);
        return FALSE;
      }
      name = g_strdup_printf ("Segment_%" PRId64, (gint64)last);
      tess_label_table_add (table, (gint64)last, name, NULL);
    }
  }
  return TRUE;
}

/* A Slicer segmentation holds whole numbers, of a type Slicer shows. */
static gboolean
prepare_segmentation (Output *o, GError **error)
{
  static const TessDType types[] = {TESS_DTYPE_U8, TESS_DTYPE_U16, TESS_DTYPE_I16, TESS_DTYPE_I32, TESS_DTYPE_U32};
  TessDType own = tess_volume_dtype (o->volume);
  g_autofree char *name = g_filename_display_name (o->path);
  gboolean found = tess_dtype_is_integer (own) && tess_dtype_size (own) <= 4 && own != TESS_DTYPE_I8 &&
                   tess_volume_slope (o->volume) == 1.0 && tess_volume_intercept (o->volume) == 0.0;

  if (tess_volume_n_channels (o->volume) > 1) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: a segmentation of several channels cannot be written; write it as .nrrd"), name);
    return FALSE;
  }
  o->dtype = own;
  for (guint i = 0; !found && i < G_N_ELEMENTS (types); i++)
    if (tess_voxels_hold_as (o->volume, types[i])) {
      o->dtype = types[i];
      found = TRUE;
    }
  if (!found) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: the values are not whole numbers, so these are no labels; write the volume as .nrrd"), name);
    return FALSE;
  }
  return complete_labels (o, error);
}

/* --- the header --------------------------------------------------------------------------------------------------- */

/* What may be taken over from the file the volume came from. */
static void
look_at_source (Output *o)
{
  GBytes *bytes = tess_volume_peek_source_header (o->volume, "nrrd");
  const gint64 *dim = tess_volume_dim (o->volume);
  TessAffine affine;
  gsize n = 0;
  const char *text = bytes ? g_bytes_get_data (bytes, &n) : NULL;

  o->n_leading = 1;
  o->encoding = TESS_NRRD_GZIP;
  if (!text || !tess_nrrd_header_parse (&o->source, text, n, o->path, NULL))
    return;
  o->has_source = TRUE;
  o->same_space = o->source.anatomical;
  o->same_shape =
      memcmp (o->source.dim, dim, sizeof o->source.dim) == 0 &&
      o->source.n_channels == tess_volume_n_channels (o->volume) && tess_nrrd_affine (&o->source, &affine, NULL) &&
      tess_affine_equal (&affine, tess_volume_affine (o->volume), 0.0) && tess_nrrd_layout (&o->source, &o->n_leading);
  if (!o->same_shape)
    o->n_leading = 1;
  if (o->source.encoding == TESS_NRRD_RAW)
    o->encoding = TESS_NRRD_RAW;
}

/* Fields that say where the voxels are in space and how they are stored; those of a file of another shape are wrong. */
static gboolean
is_of_shape (const char *name)
{
  static const char *const names[] = {
      "type",         "dimension",   "encoding", "endian", "sizes", "spacings", "thicknesses",     "axis mins",
      "axis maxs",    "centers",     "labels",   "units",  "kinds", "space",    "space dimension", "space directions",
      "space origin", "space units", NULL,
  };

  return g_strv_contains (names, name);
}

/* Fields that were about the numbers of the old file. */
static gboolean
is_stale (const char *name)
{
  static const char *const names[] = {"data file", "line skip", "byte skip", "number",  "block size",
                                      "min",       "max",       "old min",   "old max", NULL};

  return g_strv_contains (names, name);
}

static void
append_geometry (GString *text, const Output *o)
{
  const TessAffine *affine = tess_volume_affine (o->volume);
  const gint64 *dim = tess_volume_dim (o->volume);
  gint64 channels = tess_volume_n_channels (o->volume);
  const double lps[3] = {-1.0, -1.0, 1.0};
  const double *sign = o->same_space ? o->source.to_ras : lps;
  double v[3];

  g_string_append_printf (text, "type: %s\ndimension: %d\n", type_name (o->dtype), channels > 1 ? 4 : 3);
  g_string_append_printf (text, "space: %s-%s-%s\n", sign[0] > 0 ? "right" : "left",
                          sign[1] > 0 ? "anterior" : "posterior", sign[2] > 0 ? "superior" : "inferior");
  g_string_append_printf (text, "sizes: %" PRId64 " %" PRId64 " %" PRId64, dim[0], dim[1], dim[2]);
  if (channels > 1)
    g_string_append_printf (text, " %" PRId64, channels);
  g_string_append (text, "\nspace directions:");
  for (int k = 0; k < 3; k++) {
    for (int r = 0; r < 3; r++)
      v[r] = sign[r] * affine->m[r][k];
    g_string_append_c (text, ' ');
    append_vector (text, v);
  }
  g_string_append (text,
                   channels > 1 ? " none\nkinds: domain domain domain list\n" : "\nkinds: domain domain domain\n");
  if (tess_dtype_size (o->dtype) > 1)
    g_string_append (text, G_BYTE_ORDER == G_LITTLE_ENDIAN ? "endian: little\n" : "endian: big\n");
  g_string_append_printf (text, "encoding: %s\n", o->encoding == TESS_NRRD_RAW ? "raw" : "gzip");
  for (int r = 0; r < 3; r++)
    v[r] = sign[r] * affine->m[r][3];
  g_string_append (text, "space origin: ");
  append_vector (text, v);
  g_string_append_c (text, '\n');
}

/* The fields of the source: all where the shape is the same, else those that do not depend on it. */
static void
append_source_fields (GString *text, const Output *o)
{
  gboolean endian = FALSE;

  for (guint i = 0; i < o->source.lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (o->source.lines, i);
    const char *value = line->value;

    if (line->kind != TESS_NRRD_FIELD || is_stale (line->name) || (!o->same_shape && is_of_shape (line->name)) ||
        (!o->same_shape && !o->same_space && strcmp (line->name, "measurement frame") == 0))
      continue;
    if (strcmp (line->name, "type") == 0 && o->dtype != o->source.dtype)
      value = type_name (o->dtype);
    else if (strcmp (line->name, "endian") == 0)
      value = G_BYTE_ORDER == G_LITTLE_ENDIAN ? "little" : "big";
    else if (strcmp (line->name, "encoding") == 0)
      value = o->encoding == TESS_NRRD_RAW ? "raw" : "gzip";
    endian |= strcmp (line->name, "endian") == 0;
    g_string_append_printf (text, "%s: %s\n", line->name, value);
  }
  if (o->same_shape && !endian && tess_dtype_size (o->dtype) > 1)
    g_string_append (text, G_BYTE_ORDER == G_LITTLE_ENDIAN ? "endian: little\n" : "endian: big\n");
}

static void
append_pairs (GString *text, const Output *o)
{
  static const char *const own[][2] = {{"Segmentation_ContainedRepresentationNames", "Binary labelmap|"},
                                       {"Segmentation_MasterRepresentation", "Binary labelmap"},
                                       {"Segmentation_ReferenceImageExtentOffset", "0 0 0"}};
  gboolean segmentation = FALSE;

  for (guint i = 0; o->has_source && i < o->source.lines->len; i++) {
    const TessNrrdLine *line = g_ptr_array_index (o->source.lines, i);
    guint number;

    if (line->kind != TESS_NRRD_PAIR || tess_nrrd_key_segment (line->name, &number, NULL))
      continue;
    segmentation |= g_str_has_prefix (line->name, "Segmentation_");
    g_string_append_printf (text, "%s:=%s\n", line->name, line->value);
  }
  if (!o->labels)
    return;
  tess_nrrd_write_segments (text, o->labels, o->has_source ? &o->source : NULL, tess_volume_dim (o->volume));
  for (guint i = 0; !segmentation && i < G_N_ELEMENTS (own); i++)
    g_string_append_printf (text, "%s:=%s\n", own[i][0], own[i][1]);
}

/* @data_file: (nullable): its name, for a detached header */
static GString *
make_header (const Output *o, const char *data_file)
{
  GString *text = g_string_new (NULL);

  g_string_printf (text,
                   "NRRD000%d\n"
                   "# Complete NRRD file format specification at:\n"
                   "# http://teem.sourceforge.net/nrrd/format.html\n",
                   o->has_source ? CLAMP (o->source.version, 4, 5) : 4);
  if (!o->same_shape)
    append_geometry (text, o);
  if (o->has_source)
    append_source_fields (text, o);
  if (data_file)
    g_string_append_printf (text, "data file: %s\n", data_file);
  append_pairs (text, o);
  g_string_append_c (text, '\n');
  return text;
}

/* --- the files ---------------------------------------------------------------------------------------------------- */

static gboolean
write_voxels (const Output *o, TessAtomicFile *file, TessProgress *progress, GError **error)
{
  gboolean gzip = o->encoding == TESS_NRRD_GZIP;

  return (!gzip || tess_atomic_file_pack (file, TESS_PACKING_GZIP, error)) &&
         tess_voxels_write_as (o->volume, file, o->dtype, FALSE, o->n_leading, progress, error) &&
         (!gzip || tess_atomic_file_unpack (file, NULL, error));
}

static gboolean
save_detached (const Output *o, TessProgress *progress, GError **error)
{
  gsize n = strlen (o->path) - 5;
  g_autofree char *data_path =
      g_strdup_printf ("%.*s.raw%s", (int)n, o->path, o->encoding == TESS_NRRD_GZIP ? ".gz" : "");
  g_autofree char *data_name = g_path_get_basename (data_path);
  g_autoptr (TessAtomicFile) header_file = tess_atomic_file_new (o->path, FALSE, error);
  g_autoptr (TessAtomicFile) data_file = header_file ? tess_atomic_file_new (data_path, FALSE, error) : NULL;
  GString *text = make_header (o, data_name);
  gboolean done = data_file && tess_atomic_file_write (header_file, text->str, text->len, error) &&
                  write_voxels (o, data_file, progress, error) && tess_atomic_file_commit (data_file, error) &&
                  tess_atomic_file_commit (header_file, error);

  g_string_free (text, TRUE);
  return done;
}

static gboolean
save_attached (const Output *o, TessProgress *progress, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (o->path, FALSE, error);
  GString *text = make_header (o, NULL);
  gboolean done = file && tess_atomic_file_write (file, text->str, text->len, error) &&
                  write_voxels (o, file, progress, error) && tess_atomic_file_commit (file, error);

  g_string_free (text, TRUE);
  return done;
}

/**
 * tess_nrrd_save:
 *
 * Writes .nrrd, .nhdr with a .raw or .raw.gz beside it, or .seg.nrrd, which Slicer opens as a segmentation. Real
 * values: the format has no slope. A volume read from an NRRD file keeps its fields and pairs, on the same grid its
 * geometry letter by letter; new ones are in left-posterior-superior with channels as the slowest axis, packed with
 * gzip.
 */
gboolean
tess_nrrd_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  gsize n = strlen (path);
  gboolean label = tess_volume_intent (volume) == TESS_INTENT_LABEL, done;
  TessLabelTable *labels = tess_volume_peek_labels (volume);
  g_auto (Output) o = {.volume = volume, .path = path};

  look_at_source (&o);
  if (tess_nrrd_is_segmentation (path)) {
    if (!prepare_segmentation (&o, error))
      return FALSE;
  } else {
    o.dtype = tess_voxels_plain_dtype (volume);
    if (label && labels && tess_volume_n_channels (volume) == 1)
      o.labels = tess_label_table_ref (labels);
  }
  done = n > 5 && g_ascii_strcasecmp (path + n - 5, ".nhdr") == 0 ? save_detached (&o, progress, error)
                                                                  : save_attached (&o, progress, error);
  if (done)
    tess_progress_set (progress, 1.0);
  return done;
}
