#include "tess-cudnn.h"

#include <dlfcn.h>
#include <glob.h>

#include "tess-thread.h"

#define LIBRARY "libcudnn.so.9"
/* The first that makes plans for a described device (DEVICEPROP). */
#define OLDEST 90800

/* Where cuDNN lies: beside CUDA, and in the packages PyTorch brings. ~ and $VIRTUAL_ENV are put in front. */
static const char *const patterns[] = {
    "/usr/local/cuda/lib64/" LIBRARY,
    "/usr/local/cuda/targets/*-linux/lib/" LIBRARY,
};
static const char *const wheels[] = {
    "lib/python3*/site-packages/nvidia/cudnn/lib/" LIBRARY,
    "lib64/python3*/site-packages/nvidia/cudnn/lib/" LIBRARY,
};

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
open_matching (const char *folder, const char *pattern, char **path)
{
  g_autofree char *full = folder != NULL ? g_build_filename (folder, pattern, NULL) : g_strdup (pattern);
  void *library = NULL;
  glob_t found = {0};

  if (glob (full, 0, NULL, &found) == 0)
    for (gsize i = 0; library == NULL && i < found.gl_pathc; i++) {
      library = dlopen (found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
      if (library != NULL)
        *path = g_strdup (found.gl_pathv[i]);
    }
  globfree (&found);
  return library;
}

/* $TESSERA_CUDNN (the library or its folder) alone, where it is set; else the system's way, then the usual places. */
static void *
open_library (char **path, GError **error)
{
  const char *told = g_getenv ("TESSERA_CUDNN");
  g_autofree char *local = g_build_filename (g_get_home_dir (), ".local", NULL);
  const char *folders[] = {g_getenv ("VIRTUAL_ENV"), g_getenv ("CONDA_PREFIX"), local};
  void *library = NULL;

  if (told != NULL && *told != '\0') {
    *path = g_file_test (told, G_FILE_TEST_IS_DIR) ? g_build_filename (told, LIBRARY, NULL) : g_strdup (told);
    library = dlopen (*path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
      g_set_error (
          error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
          _ ("%s: cannot be loaded (%s); set TESSERA_CUDNN to the folder of libcudnn.so.9, or use --backend cpu"),
          *path, dlerror ());
    return library;
  }
  library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);
  if (library != NULL)
    *path = g_strdup (LIBRARY);
  for (gsize i = 0; library == NULL && i < G_N_ELEMENTS (patterns); i++)
    library = open_matching (NULL, patterns[i], path);
  for (gsize f = 0; f < G_N_ELEMENTS (folders); f++)
    for (gsize i = 0; library == NULL && folders[f] != NULL && i < G_N_ELEMENTS (wheels); i++)
      library = open_matching (folders[f], wheels[i], path);
  if (library == NULL)
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
