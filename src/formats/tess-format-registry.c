#include "tess-format-registry.h"
#include "tess-dicom.h"
#include "tess-format.h"
#include "tess-hdf5.h"
#include "tess-metaimage.h"
#include "tess-mgh.h"
#include "tess-nifti.h"
#include "tess-numpy.h"
#include "tess-nrrd.h"

#include <errno.h>
#include <string.h>

static const TessFormat *const formats[] = {
    &tess_format_nifti,
    &tess_format_dicom,
    &tess_format_metaimage,
    &tess_format_mgh,
    &tess_format_nrrd,
    &tess_format_npy,
    &tess_format_npz,
    &tess_format_hdf5,
};

guint
tess_formats_n (void)
{
  return G_N_ELEMENTS (formats);
}

const TessFormat *
tess_formats_nth (guint i)
{
  g_return_val_if_fail (i < G_N_ELEMENTS (formats), NULL);
  return formats[i];
}

gsize
tess_format_stem_length (const TessFormat *format, const char *path)
{
  g_auto (GStrv) endings = g_strsplit (format->endings, " ", -1);
  gsize n = strlen (path), longest = 0;

  for (char **ending = endings; *ending; ending++) {
    gsize k = strlen (*ending);

    if (k > longest && n > k && path[n - k - 1] != '/' && g_ascii_strcasecmp (path + n - k, *ending) == 0)
      longest = k;
  }
  return longest ? n - longest : 0;
}

static const TessFormat *
find_by_ending (const char *path)
{
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (tess_format_stem_length (formats[i], path) > 0)
      return formats[i];
  return NULL;
}

/* A folder is a volume only to a format that claims it, whatever its name ends with. */
static const TessFormat *
find_format (const char *path)
{
  gboolean folder = g_file_test (path, G_FILE_TEST_IS_DIR);
  const TessFormat *format = folder ? NULL : find_by_ending (path);

  for (guint i = 0; i < G_N_ELEMENTS (formats) && !format; i++)
    if (formats[i]->claims && formats[i]->claims (path))
      format = formats[i];
  return format;
}

/* Cuts a location PATH::ENTRY in two; a file of that very name is a path. Returns the path, sets *entry or NULL. */
static char *
split_location (const char *location, const char **entry)
{
  const char *cut = strstr (location, "::");

  *entry = NULL;
  if (!cut || cut == location || cut[2] == '\0' || g_file_test (location, G_FILE_TEST_EXISTS))
    return g_strdup (location);
  *entry = cut + 2;
  return g_strndup (location, (gsize)(cut - location));
}

const TessFormat *
tess_format_for_path (const char *location, GError **error)
{
  const char *entry;
  g_autofree char *path = split_location (location, &entry);
  const TessFormat *format = find_format (path);
  g_autoptr (GString) readable = NULL;
  g_autofree char *name = NULL;

  if (format)
    return format;
  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    name = g_filename_display_name (path);
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: this is a folder; give a file inside it"), name);
    return NULL;
  }
  readable = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    g_string_append_printf (readable, "%s%s (%s)", i ? ", " : "", formats[i]->name, formats[i]->endings);
  name = g_filename_display_name (path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: no file format with this ending is known; use %s"),
               name, readable->str);
  return NULL;
}

void
tess_volume_entry_free (TessVolumeEntry *entry)
{
  g_free (entry->id);
  g_free (entry->description);
  g_free (entry->preview);
  g_free (entry);
}

/* What to type, and what it is. */
static void
append_entry (GString *all, const TessVolumeEntry *entry)
{
  g_autofree char *dims = tess_format_dims (entry->dim, 3);

  g_string_append_printf (all, "%s%s", all->len ? ", " : "", entry->id);
  if (entry->description)
    g_string_append_printf (all, " (%s, %s)", entry->description, dims);
}

TessVolumeEntry *
tess_volume_entry_find (GPtrArray *entries, const char *path, const char *entry, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autoptr (GString) all = g_string_new (NULL);

  if (entries->len == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: there is no volume in this file"), name);
    return NULL;
  }
  if (!entry && entries->len == 1)
    return g_ptr_array_index (entries, 0);
  for (guint i = 0; i < entries->len; i++) {
    TessVolumeEntry *e = g_ptr_array_index (entries, i);

    if (entry && strcmp (e->id, entry) == 0)
      return e;
    if (i < 8)
      append_entry (all, e);
    else if (i == 8)
      g_string_append (all, ", …");
  }
  if (entry)
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: there is no %s in this file; it holds %s"), name, entry,
                 all->str);
  else if (g_file_test (path, G_FILE_TEST_IS_DIR))
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: this folder holds %u volumes (%s); give one as %s::%s (tessera-cli info --list lists them)"),
                 name, entries->len, all->str, name, ((TessVolumeEntry *)g_ptr_array_index (entries, 0))->id);
  else
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: this file holds %u volumes (%s); give one as %s::%s"),
                 name, entries->len, all->str, name, ((TessVolumeEntry *)g_ptr_array_index (entries, 0))->id);
  return NULL;
}

char *
tess_volume_location_file (const char *location)
{
  const char *entry;

  return split_location (location, &entry);
}

GPtrArray *
tess_volume_entries (const char *path, GError **error)
{
  return tess_volume_scan (path, NULL, error);
}

/**
 * tess_volume_scan:
 *
 * Errors: as tess_volume_load(), of what has to be read to know what there is.
 */
GPtrArray *
tess_volume_scan (const char *path, TessProgress *progress, GError **error)
{
  const TessFormat *format = tess_format_for_path (path, error);

  if (!format)
    return NULL;
  if (format->scan)
    return format->scan (path, progress, error);
  return format->entries ? format->entries (path, error)
                         : g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_entry_free);
}

/**
 * tess_volume_load_live:
 * @live: called on this thread with the volume once its geometry is known and slices of it are readable, and again
 *   whenever there are more; it may keep a reference. NULL for none
 *
 * Errors: as tess_volume_load().
 */
TessVolume *
tess_volume_load_live (const char *location, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                       GError **error)
{
  const char *entry;
  g_autofree char *path = split_location (location, &entry);
  const TessFormat *format;

  if (!g_file_test (path, G_FILE_TEST_EXISTS) && errno == ENOENT && !g_str_has_suffix (path, ".img") &&
      !g_str_has_suffix (path, ".hdr")) {
    tess_error_set_errno (error, path, ENOENT, _ ("open"));
    return NULL;
  }
  format = tess_format_for_path (path, error);
  if (!format)
    return NULL;
  if (entry && !format->entries) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: a %s file holds one volume; leave ::%s away"), name,
                 format->name, entry);
    return NULL;
  }
  return format->load (path, entry, progress, live, user_data, error);
}

/**
 * tess_volume_load:
 *
 * Errors: IO (missing, a folder, no permission), UNSUPPORTED, FORMAT (damaged or incomplete: never half a volume),
 * NO_MEMORY, CANCELLED.
 */
TessVolume *
tess_volume_load (const char *path, TessProgress *progress, GError **error)
{
  return tess_volume_load_live (path, progress, NULL, NULL, error);
}

/* The file is written whole or not at all; one that was there stays until the new one is complete. */
gboolean
tess_volume_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error)
{
  const TessFormat *format = tess_format_for_path (path, error);

  if (!format)
    return FALSE;
  if (!format->save) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: %s files can be read but not written; choose another ending"), name, format->name);
    return FALSE;
  }
  return format->save (volume, path, progress, error);
}

char *
tess_volume_stem (const char *path)
{
  g_autofree char *base = g_path_get_basename (path);
  const TessFormat *format = find_by_ending (base);

  return format ? g_strndup (base, tess_format_stem_length (format, base)) : g_steal_pointer (&base);
}

char *
tess_volume_main_file (const char *path)
{
  const TessFormat *format = find_by_ending (path);

  return format && format->main_file ? format->main_file (path) : g_strdup (path);
}

gboolean
tess_volume_is_companion (const char *path)
{
  g_autofree char *main_file = tess_volume_main_file (path);

  return strcmp (main_file, path) != 0;
}
