#include "tess-cuda-library.h"

#include <dlfcn.h>
#include <glob.h>

/* Beside CUDA; in the packages PyTorch brings, with ~, $VIRTUAL_ENV and $CONDA_PREFIX in front. */
static const char *const folders_of_cuda[] = {"/usr/local/cuda/lib64", "/usr/local/cuda/targets/*-linux/lib"};
static const char *const folders_of_packages[] = {"lib/python3*/site-packages/nvidia",
                                                  "lib64/python3*/site-packages/nvidia"};

static void *
open_matching (const char *pattern, char **path)
{
  void *library = NULL;
  glob_t found = {0};

  if (glob (pattern, 0, NULL, &found) == 0)
    for (gsize i = 0; library == NULL && i < found.gl_pathc; i++) {
      library = dlopen (found.gl_pathv[i], RTLD_NOW | RTLD_LOCAL);
      if (library != NULL)
        *path = g_strdup (found.gl_pathv[i]);
    }
  globfree (&found);
  return library;
}

static void *
open_package (const TessCudaLibrary *what, char **path)
{
  g_autofree char *local = g_build_filename (g_get_home_dir (), ".local", NULL);
  const char *folders[] = {g_getenv ("VIRTUAL_ENV"), g_getenv ("CONDA_PREFIX"), local};
  void *library = NULL;

  for (gsize f = 0; f < G_N_ELEMENTS (folders); f++)
    for (gsize i = 0; library == NULL && folders[f] != NULL && i < G_N_ELEMENTS (folders_of_packages); i++) {
      g_autofree char *pattern =
          g_build_filename (folders[f], folders_of_packages[i], what->package, "lib", what->file, NULL);

      library = open_matching (pattern, path);
    }
  return library;
}

/**
 * tess_cuda_library_open:
 * @path: (out): new string, or %NULL
 * @why: (out): new string, or %NULL
 *
 * What the variable names (the library or its folder) alone, where it is set; else the system's way, then the usual
 * places.
 *
 * Returns: what dlsym() takes, or %NULL
 */
void *
tess_cuda_library_open (const TessCudaLibrary *what, char **path, char **why)
{
  const char *told = g_getenv (what->variable);
  void *library;

  *path = *why = NULL;
  if (told != NULL && *told != '\0') {
    *path = g_file_test (told, G_FILE_TEST_IS_DIR) ? g_build_filename (told, what->file, NULL) : g_strdup (told);
    library = dlopen (*path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
      *why = g_strdup (dlerror ());
    return library;
  }
  library = dlopen (what->file, RTLD_NOW | RTLD_LOCAL);
  if (library != NULL)
    *path = g_strdup (what->file);
  for (gsize i = 0; library == NULL && i < G_N_ELEMENTS (folders_of_cuda); i++) {
    g_autofree char *pattern = g_build_filename (folders_of_cuda[i], what->file, NULL);

    library = open_matching (pattern, path);
  }
  return library != NULL ? library : open_package (what, path);
}
