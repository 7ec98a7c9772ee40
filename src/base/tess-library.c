#include "tess-library.h"

#include <dlfcn.h>
#include <string.h>

static void *
open_by_name (const TessLibrary *library, char **path, GError **error)
{
  void *handle = dlopen (library->file, RTLD_NOW | RTLD_LOCAL);

  *path = g_strdup (library->file);
  if (handle == NULL)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: cannot be loaded (%s); %s"), library->file,
                 dlerror (), _ (library->remedy));
  return handle;
}

static gboolean
fill_table (const TessLibrary *library, void *handle, const char *path, GError **error)
{
  for (guint i = 0; i < library->n_functions; i++) {
    const TessLibraryFunction *f = &library->functions[i];
    void *symbol = dlsym (handle, f->name);

    if (symbol == NULL) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has no function %s; %s"), path, f->name,
                   _ (library->remedy));
      return FALSE;
    }
    memcpy ((char *)library->table + f->offset, &symbol, sizeof symbol);
  }
  return TRUE;
}

/**
 * tess_library_load:
 *
 * Opens the library and fills its table on the first call that succeeds; it then stays loaded. After a failure it is
 * closed, and the next call tries again. Any thread.
 *
 * Returns: (transfer none): the table, or %NULL with UNSUPPORTED naming the library and what to do
 */
gconstpointer
tess_library_load (TessLibrary *library, GError **error)
{
  gconstpointer table = NULL;

  tess_mutex_lock (&library->mutex);
  if (!library->loaded) {
    g_autofree char *path = NULL;
    void *handle = library->open != NULL ? library->open (&path, error) : open_by_name (library, &path, error);

    library->loaded = handle != NULL && fill_table (library, handle, path, error) &&
                      (library->check == NULL || library->check (library->table, path, error));
    if (handle != NULL && !library->loaded)
      dlclose (handle);
  }
  if (library->loaded)
    table = library->table;
  tess_mutex_unlock (&library->mutex);
  return table;
}
