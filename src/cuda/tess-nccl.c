#include "tess-nccl.h"

#include <dlfcn.h>
#include <string.h>

#include "tess-cuda-library.h"
#include "tess-thread.h"

#define LIBRARY "libnccl.so.2"
/* The first whose operations may be captured in a CUDA graph. */
#define OLDEST 20900

static gboolean
resolve (void *library, const char *path, TessNccl *table, GError **error)
{
  int version = 0;

#define RESOLVE(name, type, arguments)                                                                                 \
  {                                                                                                                    \
    void *symbol = dlsym (library, "nccl" #name);                                                                      \
    if (symbol == NULL) {                                                                                              \
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has no function %s; install NCCL 2"), path,      \
                   "nccl" #name);                                                                                      \
      return FALSE;                                                                                                    \
    }                                                                                                                  \
    memcpy (&table->name, &symbol, sizeof symbol);                                                                     \
  }
  TESS_NCCL_FUNCTIONS (RESOLVE)
#undef RESOLVE
  if (!tess_nccl_check (table, table->GetVersion (&version), _ ("asking for its version"), error))
    return FALSE;
  if (version >= OLDEST)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: is an NCCL older than 2.%d; install a newer one"),
               path, OLDEST / 100 % 100);
  return FALSE;
}

static void *
open_library (char **path, GError **error)
{
  static const TessCudaLibrary what = {LIBRARY, "nccl", "TESSERA_NCCL"};
  g_autofree char *why = NULL;
  void *library = tess_cuda_library_open (&what, path, &why);

  if (library == NULL && *path != NULL)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: cannot be loaded (%s); set TESSERA_NCCL to the folder of libnccl.so.2, or to none: gradients "
                    "are then added up by the processor, which is slower"),
                 *path, why);
  else if (library == NULL)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: not found; install NCCL 2, or set TESSERA_NCCL to its folder (PyTorch has one: "
                    "site-packages/nvidia/nccl/lib), or to none: gradients are then added up by the processor, which "
                    "is slower"),
                 LIBRARY);
  return library;
}

/**
 * tess_nccl_load:
 *
 * Opens NCCL on the first call of the process; it then stays loaded.
 *
 * Returns: (transfer none): the functions, or NULL with UNSUPPORTED saying what is missing. Any thread.
 */
const TessNccl *
tess_nccl_load (GError **error)
{
  static TessMutex mutex = TESS_MUTEX_INIT;
  static TessNccl table;
  static gboolean loaded;
  const TessNccl *result = NULL;

  tess_mutex_lock (&mutex);
  if (!loaded) {
    g_autofree char *path = NULL;
    void *library = open_library (&path, error);

    loaded = library != NULL && resolve (library, path, &table, error);
    if (library != NULL && !loaded)
      dlclose (library);
  }
  if (loaded)
    result = &table;
  tess_mutex_unlock (&mutex);
  return result;
}

gboolean
tess_nccl_check (const TessNccl *nccl, TessNcclStatus status, const char *doing, GError **error)
{
  if (status == TESS_NCCL_SUCCESS)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST,
               _ ("NCCL: %s: %s; TESSERA_NCCL=none trains without NCCL, more slowly"), doing,
               nccl->GetErrorString (status));
  return FALSE;
}
