#include "tess-numpy-private.h"

#include "tess-zip.h"

#include <string.h>

#define MOST_ARRAYS 1000

/* An array of the archive that can be a volume, or a part of one. */
typedef struct {
  char *id;
  guint member;
  TessNpyHeader header;
  TessNumpyPart part;
} Array;

typedef struct {
  TessZip *zip;
  GPtrArray *arrays; /* of Array */
  gint64 channel_axis;
  TessNumpyGeometry geometry;
  TessNumpyProperties *properties;
  GPtrArray *warnings;
} Archive;

static void
array_free (gpointer array)
{
  g_free (((Array *)array)->id);
  g_free (array);
}

static void
archive_free (Archive *archive)
{
  g_clear_pointer (&archive->zip, tess_zip_unref);
  g_clear_pointer (&archive->properties, tess_numpy_properties_free);
  g_ptr_array_unref (archive->arrays);
  g_ptr_array_unref (archive->warnings);
  g_free (archive);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Archive, archive_free)

/* affine, spacing and channel_axis say how to read the others. TRUE when it is one of them. */
static gboolean
take_description (Archive *archive, const char *id, const TessNpyHeader *header, TessStream *stream)
{
  TessNumpyGeometry geometry = {0};
  double values[16];

  if (strcmp (id, "affine") == 0 && tess_npy_header_is (header, 2, 4)) {
    if (tess_numpy_read_doubles (header, stream, values, 16, NULL) &&
        tess_numpy_geometry_from_affine (values, &geometry))
      archive->geometry = geometry;
    return TRUE;
  }
  if (strcmp (id, "spacing") == 0 && tess_npy_header_is (header, 1, 3)) {
    if (tess_numpy_read_doubles (header, stream, values, 3, NULL) && !archive->geometry.known &&
        tess_numpy_geometry_from_spacing (values, &geometry))
      archive->geometry = geometry;
    return TRUE;
  }
  if (strcmp (id, "channel_axis") == 0 && tess_npy_header_is (header, 0, 0)) {
    if (tess_numpy_read_doubles (header, stream, values, 1, NULL) && (values[0] == 0 || values[0] == 3))
      archive->channel_axis = (gint64)values[0];
    return TRUE;
  }
  return FALSE;
}

static Array *
add_array (Archive *archive, const char *id, guint member, const TessNpyHeader *header, TessNumpyPart part)
{
  Array *array = g_new0 (Array, 1);

  array->id = g_strdup (id);
  array->member = member;
  array->header = *header;
  array->part = part;
  g_ptr_array_add (archive->arrays, array);
  return array;
}

/* Looks at the header of one member. One that is no array is passed over, as NumPy hands it out as bytes. */
static gboolean
look_at_member (Archive *archive, const char *path, guint member, GError **error)
{
  const char *name = tess_zip_peek_name (archive->zip, member);
  g_autofree char *id = NULL, *origin = NULL;
  g_autoptr (TessStream) stream = NULL;
  TessNpyHeader header;
  guint last;

  if (!g_str_has_suffix (name, ".npy") || strlen (name) == 4 || !tess_zip_find (archive->zip, name, &last) ||
      last != member)
    return TRUE;
  id = g_strndup (name, strlen (name) - 4);
  origin = g_strconcat (path, "::", id, NULL);
  stream = tess_zip_open_member (archive->zip, member, error);
  if (!stream || !tess_npy_header_read (&header, stream, origin, error))
    return FALSE;
  if (!header.numeric || !take_description (archive, id, &header, stream))
    add_array (archive, id, member, &header, TESS_NUMPY_WHOLE);
  return TRUE;
}

/* nnU-Net 1: the last channel of `data` is its segmentation. */
static void
part_labels (Archive *archive)
{
  Array *array = archive->arrays->len == 1 ? g_ptr_array_index (archive->arrays, 0) : NULL;
  TessNumpyLayout layout;
  gint64 first;

  if (!array || strcmp (array->id, "data") != 0 || !tess_numpy_properties_last_is_labels (archive->properties) ||
      !tess_numpy_layout (&array->header, archive->channel_axis, "", &layout, NULL) ||
      !tess_numpy_layout_part (&layout, &array->header, TESS_NUMPY_LAST_CHANNEL, &first))
    return;
  array->part = TESS_NUMPY_BUT_LAST_CHANNEL;
  add_array (archive, "seg", array->member, &array->header, TESS_NUMPY_LAST_CHANNEL);
}

static Archive *
archive_open (const char *path, GError **error)
{
  g_autoptr (Archive) archive = g_new0 (Archive, 1);

  archive->arrays = g_ptr_array_new_with_free_func (array_free);
  archive->warnings = g_ptr_array_new_with_free_func (g_free);
  archive->channel_axis = TESS_NUMPY_CHANNEL_AXIS_UNKNOWN;
  archive->zip = tess_zip_open (path, error);
  if (!archive->zip)
    return NULL;
  if (tess_zip_n (archive->zip) > MOST_ARRAYS) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this archive has more than %d members; check that it is the right file"), name, MOST_ARRAYS);
    return NULL;
  }
  for (guint i = 0; i < tess_zip_n (archive->zip); i++)
    if (!look_at_member (archive, path, i, error))
      return NULL;
  archive->properties =
      tess_numpy_properties_find (path, tess_format_stem_length (&tess_format_npz, path), archive->warnings);
  if (archive->properties && archive->channel_axis == TESS_NUMPY_CHANNEL_AXIS_UNKNOWN)
    archive->channel_axis = TESS_NUMPY_CHANNEL_AXIS_FIRST;
  if (archive->properties)
    part_labels (archive);
  return g_steal_pointer (&archive);
}

/* What can be shown of the archive. */
static GPtrArray *
list_entries (Archive *archive)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_entry_free);

  for (guint i = 0; i < archive->arrays->len; i++) {
    Array *array = g_ptr_array_index (archive->arrays, i);
    TessNumpyLayout layout;
    TessVolumeEntry *entry;
    gint64 first;

    if (!tess_numpy_layout (&array->header, archive->channel_axis, "", &layout, NULL) ||
        !tess_numpy_layout_part (&layout, &array->header, array->part, &first))
      continue;
    entry = g_new0 (TessVolumeEntry, 1);
    entry->id = g_strdup (array->id);
    if (array->part != TESS_NUMPY_WHOLE)
      entry->description = g_strdup (array->part == TESS_NUMPY_LAST_CHANNEL ? _ ("labels: the last channel of data")
                                                                            : _ ("image: all channels but the last"));
    entry->dtype = array->header.dtype;
    entry->n_channels = layout.n_channels;
    memcpy (entry->dim, layout.dim, sizeof entry->dim);
    g_ptr_array_add (entries, entry);
  }
  return entries;
}

static GPtrArray *
npz_entries (const char *path, GError **error)
{
  g_autoptr (Archive) archive = archive_open (path, error);

  return archive ? list_entries (archive) : NULL;
}

static Array *
find_array (Archive *archive, const char *path, const char *id, GError **error)
{
  g_autoptr (GPtrArray) entries = list_entries (archive);
  TessVolumeEntry *entry;

  /* One that cannot be a volume: reading it says why. So does the only one. */
  for (guint i = 0; i < archive->arrays->len; i++) {
    Array *array = g_ptr_array_index (archive->arrays, i);

    if (id ? strcmp (array->id, id) == 0 : archive->arrays->len == 1)
      return array;
  }
  entry = tess_volume_entry_find (entries, path, id, error);
  for (guint i = 0; entry && i < archive->arrays->len; i++) {
    Array *array = g_ptr_array_index (archive->arrays, i);

    if (strcmp (array->id, entry->id) == 0)
      return array;
  }
  return NULL;
}

/**
 * npz_load:
 *
 * One array of an archive, stored or deflated. Arrays called `affine` (4 x 4: indices of the array's axes of space ->
 * world mm RAS+), `spacing` (mm along these axes) and `channel_axis` say how to read it; else a partner NAME.pkl does
 * (nnU-Net 1 and 2, ingradient).
 */
static TessVolume *
npz_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
          GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  g_autoptr (Archive) archive = archive_open (path, error);
  Array *array = archive ? find_array (archive, path, entry, error) : NULL;
  g_autofree char *origin = array ? g_strconcat (path, "::", array->id, NULL) : NULL;
  g_autoptr (TessStream) stream = array ? tess_zip_open_member (archive->zip, array->member, error) : NULL;
  TessNumpySource source;
  TessNpyHeader header;

  if (!stream || !tess_npy_header_read (&header, stream, origin, error))
    return NULL;
  source = (TessNumpySource){
      .header = &header,
      .stream = stream,
      .origin = origin,
      .name = array->id,
      .channel_axis = archive->channel_axis,
      .part = array->part,
      .geometry = archive->geometry,
      .properties = archive->properties,
      .warnings = archive->warnings,
  };
  return tess_numpy_load_array (&source, &listener, error);
}

/**
 * tess_numpy_unpaired:
 *
 * Returns: (element-type utf8): a sentence for every NAME.npz of @folder without NAME.pkl and every NAME.pkl without
 * NAME.npz, by name; empty when all are paired or nothing is. Errors: IO.
 */
GPtrArray *
tess_numpy_unpaired (const char *folder, GError **error)
{
  g_autoptr (GPtrArray) sentences = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GHashTable) endings = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL); /* stem -> 1, 2, 3 */
  g_autoptr (GError) reason = NULL;
  g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
  g_autoptr (GList) stems = NULL;
  const char *name;

  if (!dir) {
    g_autofree char *display = g_filename_display_name (folder);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: cannot list this folder (%s); check the name"), display,
                 reason->message);
    return NULL;
  }
  while ((name = g_dir_read_name (dir))) {
    int ending = g_str_has_suffix (name, ".npz") ? 1 : g_str_has_suffix (name, ".pkl") ? 2 : 0;
    g_autofree char *stem = ending ? g_strndup (name, strlen (name) - 4) : NULL;

    if (ending) {
      gpointer seen = g_hash_table_lookup (endings, stem);

      g_hash_table_insert (endings, g_steal_pointer (&stem), GINT_TO_POINTER (GPOINTER_TO_INT (seen) | ending));
    }
  }
  stems = g_list_sort (g_hash_table_get_keys (endings), (GCompareFunc)strcmp);
  for (GList *stem = stems; stem; stem = stem->next) {
    int seen = GPOINTER_TO_INT (g_hash_table_lookup (endings, stem->data));
    g_autofree char *display = g_filename_display_name (stem->data);

    if (seen == 1)
      g_ptr_array_add (sentences, g_strdup_printf (_ ("%s.npz has no %s.pkl beside it: the size of its voxels is not "
                                                      "known."),
                                                   display, display));
    else if (seen == 2)
      g_ptr_array_add (sentences,
                       g_strdup_printf (_ ("%s.pkl has no %s.npz beside it: it is not used."), display, display));
  }
  return g_steal_pointer (&sentences);
}

const TessFormat tess_format_npz = {
    .id = "npz",
    .name = "NumPy archive",
    .endings = ".npz",
    .entries = npz_entries,
    .load = npz_load,
    .save = tess_npz_save,
};
