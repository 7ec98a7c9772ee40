/* Any bytes, read as a safetensors file: every tensor to its last byte. */
#include "tess-safetensors.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *path;
  g_autoptr (TessSafetensors) file = NULL;

  if (!path) {
    if (!mkdtemp (folder))
      abort ();
    path = g_build_filename (folder, "in.safetensors", NULL);
  }
  if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  file = tess_safetensors_open (path, NULL);
  if (!file)
    return 0;
  tess_safetensors_metadata (file, "format");
  for (guint i = 0; i < tess_safetensors_n (file); i++) {
    const TessSafetensor *t = tess_safetensors_nth (file, i);
    volatile guint8 sum = 0;
    gsize n = tess_dtype_size (t->dtype);

    for (guint a = 0; a < t->n_dims; a++)
      n *= (gsize)t->dim[a];
    if (n != t->bytes || tess_safetensors_find (file, t->name) != t)
      abort ();
    for (gsize k = 0; k < t->bytes; k++)
      sum = (guint8)(sum + ((const guint8 *)t->data)[k]);
  }
  return 0;
}
