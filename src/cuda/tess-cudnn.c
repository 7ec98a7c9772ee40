#include "tess-cudnn.h"

#include "tess-cuda-library.h"
#include "tess-library.h"

#define LIBRARY "libcudnn.so.9"
/* The first that makes plans for a described device (DEVICEPROP). */
#define OLDEST 90800

static gboolean
check_version (gconstpointer table, const char *path, GError **error)
{
  gsize version = ((const TessCudnn *)table)->GetVersion ();

  if (version >= OLDEST && version < 100000)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: is cuDNN %zu.%zu, but 9.%d or later of 9 is needed"),
               path, version / 10000, version / 100 % 100, OLDEST / 100 % 100);
  return FALSE;
}

static void *
open_library (char **path, GError **error)
{
  static const TessCudaLibrary what = {LIBRARY, "cudnn", "TESSERA_CUDNN"};
  g_autofree char *why = NULL;
  void *library = tess_cuda_library_open (&what, path, &why);

  if (library == NULL && *path != NULL)
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        _ ("%s: cannot be loaded (%s); set TESSERA_CUDNN to the folder of libcudnn.so.9, or use --backend cpu"), *path,
        why);
  else if (library == NULL)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: not found; install cuDNN 9 for CUDA 13, or set TESSERA_CUDNN to its folder (PyTorch has one: "
                    "site-packages/nvidia/cudnn/lib), or use --backend cpu"),
                 LIBRARY);
  return library;
}

/**
 * tess_cudnn_load:
 *
 * Opens cuDNN on the first call of the process; it then stays loaded.
 *
 * Returns: (transfer none): the functions, or NULL with UNSUPPORTED saying what is missing. Any thread.
 */
const TessCudnn *
tess_cudnn_load (GError **error)
{
#define TESS_CUDNN_FUNCTION(name) {"cudnn" #name, offsetof (TessCudnn, name)},
  static const TessLibraryFunction functions[] = {TESS_CUDNN_FUNCTIONS (TESS_CUDNN_FUNCTION)};
  static TessCudnn table;
  static TessLibrary library = {
      .open = open_library,
      .remedy = N_ ("install cuDNN 9"),
      .functions = functions,
      .n_functions = G_N_ELEMENTS (functions),
      .table = &table,
      .check = check_version,
      .mutex = TESS_MUTEX_INIT,
  };

  return tess_library_load (&library, error);
}

/* TRUE for success; else cuDNN's own sentence, which names the condition that failed. */
gboolean
tess_cudnn_check (const TessCudnn *cudnn, cudnnStatus_t status, const char *doing, GError **error)
{
  char why[256] = "";
  TessError code = TESS_ERROR_DEVICE_LOST;

  if (status == CUDNN_STATUS_SUCCESS)
    return TRUE;
  cudnn->GetLastErrorString (why, sizeof why);
  g_strdelimit (why, "\n", ' ');
  if (CUDNN_STATUS_CATEGORY (status) == CUDNN_STATUS_NOT_SUPPORTED)
    code = TESS_ERROR_UNSUPPORTED;
  else if (status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ||
           status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
    code = TESS_ERROR_NO_MEMORY;
  g_set_error (error, TESS_ERROR, (gint)code, _ ("cuDNN: %s: %s (%s)"), doing, cudnn->GetErrorString (status),
               g_strstrip (why));
  return FALSE;
}
