/* Any bytes, read as a MetaImage with a data file beside it and, when they are one, written and read again. */
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
put (const char *path, const void *data, size_t size)
{
  g_unlink (path);
  if (!g_file_set_contents_full (path, data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *in, *raw, *out;
  g_autoptr (TessVolume) volume = NULL, again = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  if (!in) {
    if (!mkdtemp (folder))
      abort ();
    in = g_build_filename (folder, "in.mhd", NULL);
    raw = g_build_filename (folder, "a", NULL);
    out = g_build_filename (folder, "out.mha", NULL);
    put (raw, "0123456789abcdefghijklmnopqrstuvwxyz", 36);
  }
  put (in, data, size);
  volume = tess_volume_load (in, NULL, &error);
  if ((volume == NULL) != (error != NULL))
    abort ();
  if (!volume || tess_volume_n_bytes (volume) > 1 << 20)
    return 0;
  n = tess_volume_n_bytes (volume);
  if (!tess_volume_save (volume, out, NULL, NULL))
    abort ();
  again = tess_volume_load (out, NULL, NULL);
  if (!again || tess_volume_n_bytes (again) != n || tess_volume_dtype (again) != tess_volume_dtype (volume) ||
      memcmp (tess_volume_data (again), tess_volume_data (volume), n) != 0 ||
      !tess_affine_equal (tess_volume_affine (again), tess_volume_affine (volume), 0.0))
    abort ();
  return 0;
}
