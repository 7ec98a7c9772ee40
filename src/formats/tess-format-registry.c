#include "tess-format-registry.h"
#include "tess-nifti.h"

#include <errno.h>
#include <string.h>

static const TessFormat *const formats[] = {
    &tess_format_nifti,
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

const TessFormat *
tess_format_for_path (const char *path, GError **error)
{
  g_autoptr (GString) readable = NULL;
  g_autofree char *name = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (formats[i]->matches (path))
      return formats[i];
  readable = g_string_new (NULL);
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    g_string_append_printf (readable, "%s%s (%s)", i ? ", " : "", formats[i]->name, formats[i]->endings);
  name = g_filename_display_name (path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: no file format with this ending is known; use %s"),
               name, readable->str);
  return NULL;
}

/**
 * tess_volume_load_live:
 * @live: called on this thread with the volume once its geometry is known and slices of it are readable, and again
 *   whenever there are more; it may keep a reference. NULL for none
 *
 * Errors: as tess_volume_load().
 */
TessVolume *
tess_volume_load_live (const char *path, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                       GError **error)
{
  const TessFormat *format;

  if (!g_file_test (path, G_FILE_TEST_EXISTS) && errno == ENOENT && !g_str_has_suffix (path, ".img") &&
      !g_str_has_suffix (path, ".hdr")) {
    tess_error_set_errno (error, path, ENOENT, _ ("open"));
    return NULL;
  }
  if (g_file_test (path, G_FILE_TEST_IS_DIR)) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: this is a folder; give a file inside it"), name);
    return NULL;
  }
  format = tess_format_for_path (path, error);
  return format ? format->load (path, progress, live, user_data, error) : NULL;
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
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (formats[i]->matches (path))
      return formats[i]->stem (path);
  return g_path_get_basename (path);
}

char *
tess_volume_main_file (const char *path)
{
  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    if (formats[i]->matches (path) && formats[i]->main_file)
      return formats[i]->main_file (path);
  return g_strdup (path);
}

gboolean
tess_volume_is_companion (const char *path)
{
  g_autofree char *main_file = tess_volume_main_file (path);

  return strcmp (main_file, path) != 0;
}
