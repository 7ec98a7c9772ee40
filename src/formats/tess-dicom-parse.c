/* From what the helper says of a file to its pictures. The helper read hostile bytes: nothing it says is taken on
 * trust. */
#include "tess-dicom-private.h"

#include <math.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_SIDE 65535

void
tess_dicom_file_free (TessDicomFile *file)
{
  if (!file)
    return;
  g_free (file->path);
  g_free (file->series);
  g_free (file->modality);
  g_free (file->description);
  g_free (file->class_uid);
  g_free (file->photometric);
  g_free (file->image_type);
  g_free (file->frame_of_reference);
  g_clear_pointer (&file->structures, tess_dicom_structures_free);
  g_clear_pointer (&file->segments, json_array_unref);
  g_free (file);
}

static char *
dup_text (JsonObject *o, const char *name)
{
  const char *text = "";

  tess_json_string_opt (o, "", name, &text, NULL);
  return g_strdup (text);
}

static gint64
integer (JsonObject *o, const char *name, gint64 lo, gint64 hi, gint64 otherwise)
{
  gint64 value = otherwise;

  return tess_json_int_opt (o, "", name, lo, hi, &value, NULL) ? value : otherwise;
}

static double
number (JsonObject *o, const char *name, double otherwise)
{
  double value = otherwise;

  return tess_json_double_opt (o, "", name, &value, NULL) ? value : otherwise;
}

static gboolean
list (JsonObject *o, const char *name, double *values, guint n)
{
  return json_object_has_member (o, name) && tess_json_doubles (o, "", name, values, n, NULL);
}

static double
element_number (JsonArray *array, guint i)
{
  JsonNode *node = json_array_get_element (array, i);
  GType type = JSON_NODE_HOLDS_VALUE (node) ? json_node_get_value_type (node) : G_TYPE_INVALID;

  return type == G_TYPE_INT64 || type == G_TYPE_DOUBLE ? json_node_get_double (node) : 0;
}

/* What a data set or a functional group says of place and values; what it does not say stays. */
static void
read_place (JsonObject *o, TessDicomFrame *frame)
{
  double v[6], length[2];

  if (list (o, "position", v, 3)) {
    memcpy (frame->position, v, sizeof frame->position);
    frame->has_position = TRUE;
  }
  if (list (o, "orientation", v, 6)) {
    length[0] = sqrt (v[0] * v[0] + v[1] * v[1] + v[2] * v[2]);
    length[1] = sqrt (v[3] * v[3] + v[4] * v[4] + v[5] * v[5]);
    if (length[0] > 0.5 && length[1] > 0.5 && fabs (v[0] * v[3] + v[1] * v[4] + v[2] * v[5]) < 0.1) {
      for (int k = 0; k < 6; k++)
        /* directions rounded in the file count as they stand there (PS3.3 C.7.6.2.1.1), as for other readers */
        frame->orientation[k] = fabs (length[k / 3] - 1) < 1e-3 ? v[k] : v[k] / length[k / 3];
      frame->has_orientation = TRUE;
    }
  }
  if (list (o, "spacing", v, 2) && v[0] > 0 && v[1] > 0) {
    memcpy (frame->spacing, v, sizeof frame->spacing);
    frame->has_spacing = TRUE;
  }
  frame->thickness = fabs (number (o, "thickness", frame->thickness));
  frame->between = fabs (number (o, "between", frame->between));
  frame->slope = number (o, "slope", frame->slope);
  frame->intercept = number (o, "intercept", frame->intercept);
  frame->segment = integer (o, "segment", 0, 65535, frame->segment);
  frame->key[0] = number (o, "temporal", frame->key[0]);
}

/* The type of a number in memory; FALSE for kinds that are not read. */
static gboolean
choose_dtype (TessDicomFile *file, JsonObject *o)
{
  static const TessDType integers[3][2] = {
      {TESS_DTYPE_U8, TESS_DTYPE_I8}, {TESS_DTYPE_U16, TESS_DTYPE_I16}, {TESS_DTYPE_U32, TESS_DTYPE_I32}};
  const char *kind = "";

  tess_json_string_opt (o, "", "kind", &kind, NULL);
  if (strcmp (kind, "float") == 0 || strcmp (kind, "double") == 0) {
    file->allocated = file->stored = *kind == 'f' ? 32 : 64;
    file->high = file->stored - 1;
    file->dtype = *kind == 'f' ? TESS_DTYPE_F32 : TESS_DTYPE_F64;
    return file->samples == 1;
  }
  if (strcmp (file->photometric, "PALETTE COLOR") == 0) {
    if (file->samples != 1 || (file->allocated != 8 && file->allocated != 16))
      return FALSE;
    file->samples = 3;
    file->plain = FALSE;
    file->planar = 0;
    file->is_signed = 0;
    file->allocated = file->stored = integer (o, "palette-bits", 8, 16, 16) == 8 ? 8 : 16;
    file->high = file->stored - 1;
  }
  if (file->allocated == 1 && file->samples == 1) {
    file->dtype = TESS_DTYPE_U8;
    return TRUE;
  }
  if (file->allocated != 8 && file->allocated != 16 && file->allocated != 32)
    return FALSE;
  file->dtype = integers[file->allocated == 8 ? 0 : file->allocated == 16 ? 1 : 2][file->is_signed];
  /* colours other than red, green and blue side by side are turned into that by the helper */
  if (file->samples == 3 && strcmp (file->photometric, "RGB") != 0)
    file->plain = FALSE;
  return file->samples == 1 || file->samples == 3;
}

/* What every file says; FALSE when it is gone. */
static gboolean
read_texts (TessDicomFile *file, JsonObject *o, const char *charset)
{
  g_autofree char *latin = dup_text (o, "description");
  struct stat st;

  file->description = tess_dicom_recode (latin, charset);
  g_strdelimit (file->description, "\r\n\t", ' ');
  file->series = dup_text (o, "series");
  file->modality = dup_text (o, "modality");
  file->class_uid = dup_text (o, "class");
  file->photometric = dup_text (o, "photometric");
  file->image_type = dup_text (o, "image-type");
  file->frame_of_reference = dup_text (o, "frame-of-reference");
  file->series_number = number (o, "series-number", 0);
  if (stat (file->path, &st) != 0)
    return FALSE;
  file->size = (guint64)st.st_size; /* seen with our own eyes: all else is measured by it */
  return TRUE;
}

static gboolean
read_pictures (TessDicomFile *file, JsonObject *o)
{
  gint64 bits, offset;
  g_autofree char *segmentation = dup_text (o, "segmentation");
  JsonArray *segments = NULL;

  file->rows = integer (o, "rows", 1, MAX_SIDE, 0);
  file->columns = integer (o, "columns", 1, MAX_SIDE, 0);
  file->n_frames = json_object_has_member (o, "frames") ? integer (o, "frames", 1, 1000000, 0) : 1;
  file->samples = integer (o, "samples", 1, 3, 1);
  file->planar = integer (o, "planar", 0, 1, 0);
  file->allocated = integer (o, "allocated", 1, 64, 0);
  file->stored = integer (o, "stored", 1, file->allocated, file->allocated);
  file->high = integer (o, "high", file->stored - 1, file->allocated - 1, file->stored - 1);
  file->is_signed = integer (o, "signed", 0, 1, 0);
  file->fraction_most = integer (o, "fraction-most", 1, 65535, 255);
  file->fractional = strcmp (segmentation, "FRACTIONAL") == 0;
  file->plain = FALSE;
  tess_json_bool_opt (o, "", "plain", &file->plain, NULL);
  offset = integer (o, "offset", 0, (gint64)file->size, 0);
  file->offset = (guint64)offset;
  file->length = (guint64)integer (o, "length", 0, (gint64)file->size - offset, 0);
  if (tess_json_array_opt (o, "", "segments", &segments, NULL) && segments)
    file->segments = json_array_ref (segments);
  if (json_object_has_member (o, "mosaic") && file->n_frames == 1)
    file->mosaic_n = integer (o, "mosaic", 1, 4096, 0);
  if (!file->rows || !file->columns || !file->n_frames || !choose_dtype (file, o))
    return FALSE;
  /* no packing needs less than a byte a frame and 8 kB a byte */
  return !__builtin_mul_overflow (file->rows * file->columns * file->samples, file->n_frames, &bits) &&
         !__builtin_mul_overflow (bits, file->allocated, &bits) && (guint64)file->n_frames <= file->size &&
         (guint64)bits / 65536 <= file->size;
}

/* Frames that are placed together: by offsets from the first (dose grids), or one step apart. */
static void
place_in_stack (TessDicomFrame *frame, JsonArray *offsets, double step)
{
  const double *o = frame->orientation;
  const double normal[3] = {o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]};
  double along = step * (double)frame->index;

  if (offsets && frame->index < (gint64)json_array_get_length (offsets))
    along = element_number (offsets, (guint)frame->index) - element_number (offsets, 0);
  if (!isfinite (along))
    return;
  for (int k = 0; k < 3; k++)
    frame->position[k] += along * normal[k];
}

/* Siemens: the picture's position is that of its corner; tiles lie around its middle as the slice does (nibabel's
 * account of it, nicom/dicomwrappers). */
static void
place_tile (TessDicomFrame *frame, JsonObject *o)
{
  const TessDicomFile *file = frame->file;
  gint64 side = (gint64)ceil (sqrt ((double)file->mosaic_n));
  const double *d = frame->orientation;
  double normal[3] = {d[1] * d[5] - d[2] * d[4], d[2] * d[3] - d[0] * d[5], d[0] * d[4] - d[1] * d[3]}, said[3];
  double columns = (double)(file->columns - file->columns / side) / 2,
         rows = (double)(file->rows - file->rows / side) / 2;

  if (list (o, "mosaic-normal", said, 3) && said[0] * normal[0] + said[1] * normal[1] + said[2] * normal[2] < 0)
    for (int k = 0; k < 3; k++)
      normal[k] = -normal[k];
  for (int k = 0; k < 3; k++)
    frame->position[k] += d[k] * columns * frame->spacing[1] + d[3 + k] * rows * frame->spacing[0] +
                          normal[k] * frame->between * (double)frame->index;
}

static void
read_index (JsonObject *o, TessDicomFrame *frame)
{
  JsonArray *index = NULL;

  if (!tess_json_array_opt (o, "", "index", &index, NULL) || !index)
    return;
  for (guint i = 0; i < json_array_get_length (index) && i + 4 < TESS_DICOM_N_KEYS - 1; i++)
    frame->key[4 + i] = element_number (index, i);
}

static JsonObject *
member (JsonObject *o, const char *name)
{
  JsonObject *inner = NULL;

  return tess_json_object_opt (o, "", name, &inner, NULL) ? inner : NULL;
}

static void
add_frames (const TessDicomFile *file, JsonObject *o, GPtrArray *frames)
{
  JsonObject *shared = member (o, "shared"), *detector = member (o, "detector");
  JsonArray *each = NULL, *offsets = NULL;
  TessDicomFrame common = {.file = file, .slope = 1};
  gint64 n = file->mosaic_n > 1 ? file->mosaic_n : file->n_frames;
  gboolean stacked;
  double imager[2];

  read_place (o, &common);
  common.key[1] = number (o, "echo", 0);
  common.key[2] = number (o, "acquisition", 0);
  common.key[3] = number (o, "trigger", 0);
  common.key[TESS_DICOM_N_KEYS - 1] = number (o, "instance", 0);
  if (detector)
    read_place (detector, &common);
  if (shared)
    read_place (shared, &common);
  if (!common.has_spacing && list (o, "imager-spacing", imager, 2) && imager[0] > 0 && imager[1] > 0) {
    memcpy (common.spacing, imager, sizeof imager);
    common.has_spacing = TRUE;
  }
  common.slope = number (o, "dose-scaling", common.slope);
  if (common.slope == 0)
    common.slope = 1;
  tess_json_array_opt (o, "", "each", &each, NULL);
  tess_json_array_opt (o, "", "offsets", &offsets, NULL);
  if (offsets && json_array_get_length (offsets) != (guint)n)
    offsets = NULL;
  stacked = n > 1 && common.has_position && common.has_orientation && file->mosaic_n < 2;
  for (gint64 i = 0; i < n; i++) {
    TessDicomFrame *frame = g_memdup2 (&common, sizeof common);
    JsonNode *node = each && i < (gint64)json_array_get_length (each) ? json_array_get_element (each, (guint)i) : NULL;

    frame->index = i;
    if (n > 1)
      frame->key[TESS_DICOM_N_KEYS - 1] += (double)i * 1e-6;
    if (node && JSON_NODE_HOLDS_OBJECT (node)) {
      JsonObject *own = json_node_get_object (node);

      read_place (own, frame);
      read_index (own, frame);
      if (frame->slope == 0)
        frame->slope = 1;
      stacked = stacked && !json_object_has_member (own, "position");
    }
    if (n > 1 && n == file->mosaic_n && frame->has_position && frame->has_orientation && frame->has_spacing) {
      if (frame->between <= 0) {
        frame->between = frame->thickness > 0 ? frame->thickness : 1;
        frame->guessed_step = TRUE;
      }
      place_tile (frame, o);
    } else if (stacked) {
      double step = frame->between > 0 ? frame->between : frame->thickness > 0 ? frame->thickness : 1;

      frame->guessed_step = frame->between <= 0 && !offsets;
      place_in_stack (frame, offsets, step);
    }
    g_ptr_array_add (frames, frame);
  }
}

gboolean
tess_dicom_parse (const char *path, JsonObject *answer, GPtrArray *files, GPtrArray *frames)
{
  TessDicomFile *file = g_new0 (TessDicomFile, 1);

  g_autofree char *charset = dup_text (answer, "charset");
  gboolean contours = json_object_has_member (answer, "structures");

  if (!*charset)
    g_clear_pointer (&charset, g_free);
  file->path = g_strdup (path);
  if (!read_texts (file, answer, charset) ||
      !(contours ? tess_dicom_structures_read (file, answer, charset) : read_pictures (file, answer))) {
    tess_dicom_file_free (file);
    return FALSE;
  }
  g_ptr_array_add (files, file);
  add_frames (file, answer, frames);
  return TRUE;
}
