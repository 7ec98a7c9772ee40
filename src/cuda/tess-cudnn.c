#include "tess-cudnn.h"

#include <dlfcn.h>

#include "tess-cuda-library.h"
#include "tess-thread.h"

#define LIBRARY "libcudnn.so.9"
/* The first that makes plans for a described device (DEVICEPROP). */
#define OLDEST 90800

static gboolean
resolve (void *library, const char *path, TessCudnn *table, GError **error)
{
#define TESS_CUDNN_RESOLVE(name)                                                                                       \
  {                                                                                                                    \
    void *symbol = dlsym (library, "cudnn" #name);                                                                     \
    if (symbol == NULL) {                                                                                              \
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has no function %s; install cuDNN 9"), path,     \
                   "cudnn" #name);                                                                                     \
      return FALSE;                                                                                                    \
    }                                                                                                                  \
    memcpy (&table->name, &symbol, sizeof symbol);                                                                     \
  }
  TESS_CUDNN_FUNCTIONS (TESS_CUDNN_RESOLVE)
#undef TESS_CUDNN_RESOLVE
  if (table->GetVersion () >= OLDEST && table->GetVersion () < 100000)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: is cuDNN %zu.%zu, but 9.%d or later of 9 is needed"),
               path, table->GetVersion () / 10000, table->GetVersion () / 100 % 100, OLDEST / 100 % 100);
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
  static TessMutex mutex = TESS_MUTEX_INIT;
  static TessCudnn table;
  static gboolean loaded;
  const TessCudnn *result = NULL;

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
