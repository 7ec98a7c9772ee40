#include "tess-dnnl.h"

#include "tess-library.h"

static gboolean
check_version (gconstpointer table, const char *path, GError **error)
{
  const dnnl_version_t *version = ((const TessDnnl *)table)->version ();

  /* The structs of version 2 are passed by address: another major version would read them wrongly. */
  if (version->major == DNNL_VERSION_MAJOR && version->minor >= DNNL_VERSION_MINOR)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s: is version %d.%d, but %d.%d is needed; install the package libdnnl2"), path, version->major,
               version->minor, DNNL_VERSION_MAJOR, DNNL_VERSION_MINOR);
  return FALSE;
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
#define TESS_DNNL_FUNCTION(name) {"dnnl_" #name, offsetof (TessDnnl, name)},
  static const TessLibraryFunction functions[] = {TESS_DNNL_FUNCTIONS (TESS_DNNL_FUNCTION)};
  static TessDnnl table;
  static TessLibrary library = {
      .file = "libdnnl.so.2",
      .remedy = N_ ("install the package libdnnl2 (oneDNN 2.6)"),
      .functions = functions,
      .n_functions = G_N_ELEMENTS (functions),
      .table = &table,
      .check = check_version,
      .mutex = TESS_MUTEX_INIT,
  };

  return tess_library_load (&library, error);
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
