/* HDF5: the datasets of a file as volumes. libhdf5 itself is in the helper only (src/codec). */
#include "tess-hdf5.h"
#include "tess-hdf5-private.h"

#include <inttypes.h>
#include <string.h>

static gboolean
layout_of (TessHdf5File *file, TessHdf5Dataset *dataset, const char *origin, TessNumpyLayout *layout, GError **error)
{
  return tess_numpy_layout (&dataset->header, tess_hdf5_channel_axis (file, dataset), origin, layout, error);
}

static void
append_lengths (GString *text, const gint64 *lengths, guint n)
{
  for (guint i = 0; i < n; i++)
    g_string_append_printf (text, "%s%" PRId64, i ? ", " : "", lengths[i]);
}

/* "(20, 512, 512) uint16, in chunks of (1, 64, 64), shuffle, deflate" */
static char *
describe (TessHdf5Dataset *dataset)
{
  g_autoptr (GString) text = g_string_new ("("), chunk = g_string_new ("");

  append_lengths (text, dataset->header.shape, dataset->header.n_axes);
  g_string_append_printf (text, ") %s", tess_dtype_name (dataset->header.dtype));
  if (dataset->layout != TESS_HDF5_CHUNKED)
    return g_string_free (g_steal_pointer (&text), FALSE);
  append_lengths (chunk, dataset->chunk, dataset->header.n_axes);
  g_string_append_printf (text, _ (", in chunks of (%s)"), chunk->str);
  for (guint i = 0; i < dataset->n_filters; i++)
    g_string_append_printf (text, ", %s", dataset->filters[i].name);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

/* Those that can be pictures: numbers of two to five axes, two of space longer than 1. */
static GPtrArray *
list_entries (TessHdf5File *file)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_entry_free);

  for (guint i = 0; i < file->datasets->len; i++) {
    TessHdf5Dataset *dataset = g_ptr_array_index (file->datasets, i);
    TessNumpyLayout layout;
    TessVolumeEntry *entry;

    if (tess_hdf5_says_of_others (dataset) || !layout_of (file, dataset, "", &layout, NULL) || layout.dim[0] < 2 ||
        layout.dim[1] < 2)
      continue;
    entry = g_new0 (TessVolumeEntry, 1);
    entry->id = g_strdup (dataset->name);
    entry->description = describe (dataset);
    entry->dtype = dataset->header.dtype;
    entry->n_channels = layout.n_channels;
    memcpy (entry->dim, layout.dim, sizeof entry->dim);
    g_ptr_array_add (entries, entry);
  }
  return entries;
}

static GPtrArray *
hdf5_entries (const char *path, GError **error)
{
  g_autoptr (TessHdf5File) file = tess_hdf5_file_open (path, NULL, error);

  return file ? list_entries (file) : NULL;
}

/* id: full, or without the first "/"; NULL for the only picture. */
static TessHdf5Dataset *
find_dataset (TessHdf5File *file, const char *id, GError **error)
{
  g_autoptr (GPtrArray) entries = list_entries (file);
  TessVolumeEntry *entry;

  for (guint i = 0; i < file->datasets->len; i++) {
    TessHdf5Dataset *dataset = g_ptr_array_index (file->datasets, i);

    /* One that cannot be a volume: reading it says why. So does the only one. */
    if (id ? strcmp (dataset->name + (*id != '/'), id) == 0 : file->datasets->len == 1)
      return dataset;
  }
  entry = tess_volume_entry_find (entries, file->path, id, error);
  for (guint i = 0; entry && i < file->datasets->len; i++) {
    TessHdf5Dataset *dataset = g_ptr_array_index (file->datasets, i);

    if (strcmp (dataset->name, entry->id) == 0)
      return dataset;
  }
  return NULL;
}

static gboolean
refuse (const char *origin, const char *format, GError **error)
{
  g_autofree char *name = g_filename_display_name (origin);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, format, name);
#pragma GCC diagnostic pop
  return FALSE;
}

static gboolean
refuse_filter (const char *origin, const TessHdf5Dataset *dataset, GError **error)
{
  g_autofree char *name = g_filename_display_name (origin);
  const TessHdf5Filter *which = &dataset->filters[0];

  for (guint i = 0; i < dataset->n_filters; i++) {
    gint64 id = dataset->filters[i].id;

    if (id != TESS_HDF5_DEFLATE && id != TESS_HDF5_SHUFFLE && id != TESS_HDF5_FLETCHER32 && id != TESS_HDF5_LZF)
      which = &dataset->filters[i];
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s: its voxels are packed by the filter %s (%" PRId64
                  ") in a way that is not known here; pack it again, "
                  "for example by h5repack -f GZIP=4"),
               name, *which->name ? which->name : "?", which->id);
  return FALSE;
}

/* What is known of it but not read. */
static gboolean
check_readable (TessHdf5Dataset *dataset, const char *origin, GError **error)
{
  if (dataset->is_link)
    return refuse (origin, _ ("%s: this is a link into another file, which is not followed; give that file"), error);
  if (dataset->is_damaged)
    return refuse (
        origin,
        _ ("%s: this dataset is damaged, or of a version of HDF5 that is not known here; copy the file again, or "
           "convert it by h5repack"),
        error);
  if (dataset->layout == TESS_HDF5_EXTERNAL)
    return refuse (origin,
                   _ ("%s: its voxels are kept in other files (external storage), which are not read; copy it into one "
                      "file, for example by h5repack"),
                   error);
  if (dataset->layout == TESS_HDF5_VIRTUAL)
    return refuse (
        origin,
        _ ("%s: its voxels are those of other datasets (a virtual dataset), which are not put together; give "
           "these"),
        error);
  if (dataset->layout == TESS_HDF5_UNKNOWN)
    return refuse (origin, _ ("%s: its voxels lie in a way that is not known here; copy it by h5repack"), error);
  return tess_hdf5_can_unpack (dataset) || refuse_filter (origin, dataset, error);
}

/**
 * hdf5_load:
 *
 * One dataset: whole numbers of up to 64 bits, real ones of 16, 32 or 64, of either byte order; contiguous, compact or
 * in chunks, packed by deflate or LZF, shuffled, with Fletcher's checksum. Axes as in NumPy's arrays
 * (tess_numpy_layout()). tess-hdf5-geometry.c says what else is looked at.
 *
 * Errors: as tess_volume_load().
 */
static TessVolume *
hdf5_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
           GError **error)
{
  const TessVoxelListener listener = {progress, live, user_data};
  g_autoptr (TessHdf5File) file = tess_hdf5_file_open (path, progress, error);
  TessHdf5Dataset *dataset = file ? find_dataset (file, entry, error) : NULL;
  g_autofree char *origin = dataset ? g_strconcat (path, "::", dataset->name, NULL) : NULL;
  g_autoptr (GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (TessVolume) volume = NULL;
  TessNumpyGeometry geometry;
  TessNumpyLayout layout;

  if (!dataset || ((dataset->is_link || dataset->is_damaged) && !check_readable (dataset, origin, error)) ||
      !layout_of (file, dataset, origin, &layout, error) || !check_readable (dataset, origin, error) ||
      !tess_hdf5_check_size (file, dataset, &layout, error))
    return NULL;
  tess_hdf5_geometry (file, dataset, &geometry);
  tess_numpy_warn (&dataset->header, &layout, &geometry, warnings);
  volume = tess_volume_new (dataset->header.dtype, layout.dim, layout.n_channels, &geometry.affine, error);
  if (!volume) {
    g_autofree char *name = g_filename_display_name (origin);

    g_prefix_error (error, "%s: ", name);
    return NULL;
  }
  tess_hdf5_apply (dataset, volume);
  for (guint i = 0; i < warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (warnings, i));
  if (!tess_hdf5_read (file, dataset, &layout, volume, &listener, error))
    return NULL;
  tess_progress_set (progress, 1.0);
  return g_steal_pointer (&volume);
}

const TessFormat tess_format_hdf5 = {
    .id = "hdf5",
    .name = "HDF5",
    .endings = ".h5 .hdf5",
    .entries = hdf5_entries,
    .load = hdf5_load,
    .save = tess_hdf5_save,
};
