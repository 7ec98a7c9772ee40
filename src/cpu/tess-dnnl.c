#include "tess-dnnl.h"

#include <dlfcn.h>

#include "tess-thread.h"

#define LIBRARY "libdnnl.so.2"

static gboolean
resolve (void *library, TessDnnl *table, GError **error)
{
#define TESS_DNNL_RESOLVE(name)                                                                                        \
  {                                                                                                                    \
    void *symbol = dlsym (library, "dnnl_" #name);                                                                     \
    if (symbol == NULL) {                                                                                              \
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has no function %s; install oneDNN 2.6"),        \
                   LIBRARY, "dnnl_" #name);                                                                            \
      return FALSE;                                                                                                    \
    }                                                                                                                  \
    memcpy (&table->name, &symbol, sizeof symbol);                                                                     \
  }
  TESS_DNNL_FUNCTIONS (TESS_DNNL_RESOLVE)
#undef TESS_DNNL_RESOLVE
  return TRUE;
}

/**
 * tess_dnnl_load:
 *
 * Opens oneDNN on the first call of the process; it then stays loaded, because its worker threads do.
 *
 * Returns: (transfer none): the functions, or NULL with UNSUPPORTED naming the library. Any thread.
 */
const TessDnnl *
tess_dnnl_load (GError **error)
{
  static TessMutex mutex = TESS_MUTEX_INIT;
  static TessDnnl table;
  static gboolean loaded;
  const TessDnnl *result = NULL;

  tess_mutex_lock (&mutex);
  if (!loaded) {
    void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);

    if (library == NULL)
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                   _ ("%s: cannot be loaded (%s); install the package libdnnl2"), LIBRARY, dlerror ());
    else if (resolve (library, &table, error)) {
      const dnnl_version_t *version = table.version ();

      /* The structs of version 2 are passed by address: another major version would read them wrongly. */
      if (version->major == DNNL_VERSION_MAJOR && version->minor >= DNNL_VERSION_MINOR)
        loaded = TRUE;
      else
        g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                     _ ("%s: is version %d.%d, but %d.%d is needed; install the package libdnnl2"), LIBRARY,
                     version->major, version->minor, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR);
    }
    if (library != NULL && !loaded)
      dlclose (library);
  }
  if (loaded)
    result = &table;
  tess_mutex_unlock (&mutex);
  return result;
}

gboolean
tess_dnnl_check (dnnl_status_t status, const char *doing, GError **error)
{
  switch (status) {
  case dnnl_success:
    return TRUE;
  case dnnl_out_of_memory:
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("oneDNN had no memory left to %s; take a smaller patch or batch"), doing);
    return FALSE;
  case dnnl_unimplemented:
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("oneDNN has no code on this processor to %s"), doing);
    return FALSE;
  default:
    g_set_error (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST, _ ("oneDNN failed to %s (status %d)"), doing, (int)status);
    return FALSE;
  }
}
