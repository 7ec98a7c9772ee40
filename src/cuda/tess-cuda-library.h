#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* A library of NVIDIA's that is opened at run time. */
typedef struct {
  const char *file;     /* "libcudnn.so.9" */
  const char *package;  /* its folder in the packages PyTorch brings: "cudnn" */
  const char *variable; /* the environment variable that may hold the library or its folder */
} TessCudaLibrary;

/* NULL: path is where the variable said it is and why what the loader says, or path is NULL: it is nowhere. */
void *tess_cuda_library_open (const TessCudaLibrary *library, char **path, char **why);

G_END_DECLS
