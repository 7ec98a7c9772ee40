/* The helper's list of datasets, checked. */
#include "tess-hdf5-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELPER_MEMORY ((guint64)512 << 20)
#define MOST_LENGTH ((gint64)1 << 48) /* of an axis */

void
tess_hdf5_dataset_free (TessHdf5Dataset *dataset)
{
  g_clear_pointer (&dataset->attributes, json_object_unref);
  g_free (dataset->name);
  g_free (dataset);
}

void
tess_hdf5_file_free (TessHdf5File *file)
{
  if (file->fd >= 0)
    close (file->fd);
  tess_codec_free (file->codec);
  g_clear_pointer (&file->attributes, json_object_unref);
  g_ptr_array_unref (file->datasets);
  g_free (file->path);
  g_free (file);
}

/* The helper's texts have a character for each byte. */
char *
tess_hdf5_text (const char *latin)
{
  g_autofree char *bytes = g_convert (latin, -1, "ISO-8859-1", "UTF-8", NULL, NULL, NULL);

  return bytes ? g_utf8_make_valid (bytes, -1) : g_strdup (latin);
}

static gboolean
parse_type (TessHdf5Dataset *dataset, JsonObject *o, const char *origin, GError **error)
{
  static const TessDType whole[2][4] = {{TESS_DTYPE_U8, TESS_DTYPE_U16, TESS_DTYPE_U32, TESS_DTYPE_U64},
                                        {TESS_DTYPE_I8, TESS_DTYPE_I16, TESS_DTYPE_I32, TESS_DTYPE_I64}};
  static const TessDType real[4] = {TESS_N_DTYPES, TESS_DTYPE_F16, TESS_DTYPE_F32, TESS_DTYPE_F64};
  TessNpyHeader *header = &dataset->header;
  gboolean is_signed = FALSE, big = FALSE;
  const char *type;
  gint64 size = 0;
  guint k;

  if (!tess_json_string (o, origin, "type", &type, error))
    return FALSE;
  g_strlcpy (header->descr, type, sizeof header->descr);
  dataset->is_link = strcmp (type, "external link") == 0;
  dataset->is_damaged = strcmp (type, "damaged") == 0;
  if (strcmp (type, "integer") != 0 && strcmp (type, "float") != 0)
    return TRUE;
  if (!tess_json_int (o, origin, "size", 1, 8, &size, error) ||
      !tess_json_bool (o, origin, "signed", &is_signed, error) || !tess_json_bool (o, origin, "big", &big, error))
    return FALSE;
  k = size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3;
  header->dtype = *type == 'f' ? real[k] : whole[is_signed][k];
  header->swapped = size > 1 && big != (G_BYTE_ORDER == G_BIG_ENDIAN);
  header->numeric = header->dtype != TESS_N_DTYPES && (gsize)size == tess_dtype_size (header->dtype);
  return TRUE;
}

static gboolean
parse_lengths (JsonObject *o, const char *origin, const char *name, gint64 least, gint64 *lengths, guint *n,
               GError **error)
{
  JsonArray *array;

  if (!tess_json_array (o, origin, name, &array, error))
    return FALSE;
  *n = MIN (json_array_get_length (array), TESS_NPY_MAX_AXES);
  return tess_json_ints (o, origin, name, least, MOST_LENGTH, lengths, *n, error);
}

static gboolean
parse_filters (TessHdf5Dataset *dataset, JsonObject *o, const char *origin, GError **error)
{
  JsonArray *array;

  if (!tess_json_array (o, origin, "filters", &array, error))
    return FALSE;
  dataset->too_many_filters = json_array_get_length (array) > TESS_HDF5_MOST_FILTERS;
  dataset->n_filters = MIN (json_array_get_length (array), TESS_HDF5_MOST_FILTERS);
  for (guint i = 0; i < dataset->n_filters; i++) {
    JsonNode *node = json_array_get_element (array, i);
    TessHdf5Filter *filter = &dataset->filters[i];
    JsonObject *one = NULL;
    const char *name = NULL;
    g_autofree char *text = NULL;
    gint64 value = 0;

    if (!tess_json_root (node, origin, &one, error) ||
        !tess_json_int (one, origin, "id", G_MININT32, G_MAXINT32, &filter->id, error) ||
        !tess_json_int (one, origin, "value", 0, G_MAXUINT32, &value, error) ||
        !tess_json_string (one, origin, "name", &name, error))
      return FALSE;
    text = tess_hdf5_text (name);
    g_strlcpy (filter->name, text, sizeof filter->name);
    if (!g_utf8_validate (filter->name, -1, NULL)) /* cut within a character */
      filter->name[0] = '\0';
    for (char *c = filter->name; *c; c++)
      if (g_ascii_iscntrl (*c))
        *c = ' ';
    filter->size = (gsize)value;
  }
  return TRUE;
}

static gboolean
parse_layout (TessHdf5Dataset *dataset, JsonObject *o, const char *origin, GError **error)
{
  static const char *const names[] = {"contiguous", "compact", "chunked", "external", "virtual", NULL};
  const char *name;
  guint n;

  if (!tess_json_string (o, origin, "layout", &name, error))
    return FALSE;
  dataset->layout = TESS_HDF5_UNKNOWN;
  for (guint i = 0; names[i]; i++)
    if (strcmp (names[i], name) == 0)
      dataset->layout = (TessHdf5Layout)i;
  return dataset->layout != TESS_HDF5_CHUNKED ||
         (parse_lengths (o, origin, "chunk", 1, dataset->chunk, &n, error) && n == dataset->header.n_axes &&
          parse_filters (dataset, o, origin, error));
}

static void
parse_values (TessHdf5Dataset *dataset, JsonObject *o, const char *origin)
{
  JsonArray *array = NULL;
  gint64 fill[8] = {0};
  gsize size = dataset->header.numeric ? tess_dtype_size (dataset->header.dtype) : 0;

  if (tess_json_array_opt (o, origin, "values", &array, NULL) && array &&
      json_array_get_length (array) <= TESS_HDF5_MOST_VALUES &&
      tess_json_doubles (o, origin, "values", dataset->values, json_array_get_length (array), NULL))
    dataset->n_values = json_array_get_length (array);
  if (size > 0 && tess_json_ints (o, origin, "fill", 0, 255, fill, (guint)size, NULL))
    for (gsize i = 0; i < size; i++)
      dataset->fill[i] = (guint8)fill[i];
}

static gboolean
parse_dataset (TessHdf5Dataset *dataset, JsonObject *o, const char *origin, GError **error)
{
  const char *name;
  gint64 object = 0;
  JsonObject *attributes = NULL;

  if (!tess_json_string (o, origin, "name", &name, error))
    return FALSE;
  dataset->name = tess_hdf5_text (name);
  if (!parse_type (dataset, o, origin, error))
    return FALSE;
  if (!json_object_has_member (o, "shape")) /* nothing more is known of it */
    return TRUE;
  if (!parse_lengths (o, origin, "shape", 0, dataset->header.shape, &dataset->header.n_axes, error) ||
      !tess_json_int (o, origin, "at", 0, G_MAXINT64, &object, error) ||
      !tess_json_object (o, origin, "attributes", &attributes, error) || !parse_layout (dataset, o, origin, error))
    return FALSE;
  dataset->object = (guint64)object;
  dataset->attributes = json_object_ref (attributes);
  parse_values (dataset, o, origin);
  return TRUE;
}

/* FALSE: the helper says what cannot be. */
gboolean
tess_hdf5_parse (TessHdf5File *file, JsonObject *answer, GError **error)
{
  JsonArray *list;
  JsonObject *attributes = NULL;
  g_autoptr (GError) nonsense = NULL;
  gboolean good = tess_json_array (answer, file->path, "datasets", &list, &nonsense) &&
                  tess_json_bool (answer, file->path, "more", &file->more, &nonsense) &&
                  tess_json_object_opt (answer, file->path, "attributes", &attributes, &nonsense);

  if (good && attributes)
    file->attributes = json_object_ref (attributes);
  for (guint i = 0; good && i < json_array_get_length (list); i++) {
    TessHdf5Dataset *dataset = g_new0 (TessHdf5Dataset, 1);
    JsonObject *o = NULL;

    g_ptr_array_add (file->datasets, dataset);
    good = tess_json_root (json_array_get_element (list, i), file->path, &o, &nonsense) &&
           parse_dataset (dataset, o, file->path, &nonsense);
  }
  if (!good) {
    g_autofree char *name = g_filename_display_name (file->path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: the HDF5 file is damaged; copy it again from its source"), name);
  }
  return good;
}

static gboolean
open_it (TessHdf5File *file, GError **error)
{
  struct stat st;

  file->fd = open (file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (file->fd < 0 || fstat (file->fd, &st) != 0) {
    tess_error_set_errno (error, file->path, errno, _ ("open"));
    return FALSE;
  }
  if (!S_ISREG (st.st_mode)) {
    g_autofree char *name = g_filename_display_name (file->path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: this is not a file; give a file of a scan"), name);
    return FALSE;
  }
  file->size = (guint64)st.st_size;
  return TRUE;
}

/**
 * tess_hdf5_file_open:
 *
 * Errors: IO, FORMAT (damaged, no HDF5 file), UNSUPPORTED (no helper), NO_MEMORY, CANCELLED.
 */
TessHdf5File *
tess_hdf5_file_open (const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessHdf5File) file = g_new0 (TessHdf5File, 1);
  g_autoptr (JsonObject) answer = NULL;

  file->path = g_strdup (path);
  file->fd = -1;
  file->datasets = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_hdf5_dataset_free);
  if (!open_it (file, error))
    return NULL;
  file->codec = tess_codec_new (&(TessCodecLimits){.seconds = 20, .memory = HELPER_MEMORY});
  answer = tess_codec_ask (file->codec, "hdf5-scan", &(TessCodecJob){.path = path, .fd = file->fd}, progress, error);
  if (!answer || !tess_hdf5_parse (file, answer, error))
    return NULL;
  return g_steal_pointer (&file);
}
