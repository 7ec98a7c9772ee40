#include "tess-nccl.h"

#include "tess-cuda-library.h"
#include "tess-library.h"

#define LIBRARY "libnccl.so.2"
/* The first whose operations may be captured in a CUDA graph. */
#define OLDEST 20900

static gboolean
check_version (gconstpointer table, const char *path, GError **error)
{
  const TessNccl *nccl = table;
  int version = 0;

  if (!tess_nccl_check (nccl, nccl->GetVersion (&version), _ ("asking for its version"), error))
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
#define TESS_NCCL_FUNCTION(name, type, arguments) {"nccl" #name, offsetof (TessNccl, name)},
  static const TessLibraryFunction functions[] = {TESS_NCCL_FUNCTIONS (TESS_NCCL_FUNCTION)};
  static TessNccl table;
  static TessLibrary library = {
      .open = open_library,
      .remedy = N_ ("install NCCL 2"),
      .functions = functions,
      .n_functions = G_N_ELEMENTS (functions),
      .table = &table,
      .check = check_version,
      .mutex = TESS_MUTEX_INIT,
  };

  return tess_library_load (&library, error);
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
