#include "tess-plugin.h"

#include <gmodule.h>

/* First existing file of the folders; NULL when there is none. */
static char *
find_file (const char *id)
{
  const char *wanted = g_getenv ("TESSERA_BACKEND_DIR");
  g_auto (GStrv) folders = g_strsplit (wanted != NULL ? wanted : "", G_SEARCHPATH_SEPARATOR_S, -1);
  g_autofree char *file = g_strdup_printf ("libtessera-%s.so", id);
  g_autoptr (GPtrArray) all = g_ptr_array_new ();

  for (guint i = 0; folders[i] != NULL; i++)
    if (folders[i][0] != '\0')
      g_ptr_array_add (all, folders[i]);
#ifdef TESS_PLUGIN_DIR
  g_ptr_array_add (all, (gpointer)TESS_PLUGIN_DIR);
#endif
  for (guint i = 0; i < all->len; i++) {
    g_autofree char *path = g_build_filename (g_ptr_array_index (all, i), file, NULL);

    if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&path);
  }
  return NULL;
}

gboolean
tess_plugin_open (const char *id, const char *symbol, gpointer *entry, char **path, GError **error)
{
  g_autofree char *file = find_file (id);
  GModule *module;

  *entry = NULL;
  *path = NULL;
  if (file == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("the %s plugin is not installed"), id);
    return FALSE;
  }
  module = g_module_open (file, G_MODULE_BIND_LAZY | G_MODULE_BIND_LOCAL);
  if (module == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("the %s plugin cannot be loaded: %s"), id,
                 g_module_error ());
    return FALSE;
  }
  if (!g_module_symbol (module, symbol, entry) || *entry == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s is not a plugin of this program"), file);
    g_module_close (module);
    return FALSE;
  }
  g_module_make_resident (module);
  *path = g_steal_pointer (&file);
  return TRUE;
}

void
tess_plugin_mismatch (const char *path, guint32 wanted, GError **error)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s was made for another version of this program (interface %u wanted); install the matching one"),
               path, wanted);
}
