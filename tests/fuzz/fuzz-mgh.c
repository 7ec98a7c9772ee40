/* Any bytes, read as an MGH file and, when they are one, written and read again: the same voxels. */
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *in, *out;
  g_autoptr (TessVolume) volume = NULL, again = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  if (!in) {
    if (!mkdtemp (folder))
      abort ();
    in = g_build_filename (folder, "in.mgh", NULL);
    out = g_build_filename (folder, "out.mgz", NULL);
  }
  g_unlink (in);
  if (!g_file_set_contents_full (in, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  volume = tess_volume_load (in, NULL, &error);
  if ((volume == NULL) != (error != NULL))
    abort ();
  if (!volume || tess_volume_n_bytes (volume) > 1 << 20)
    return 0;
  n = tess_volume_n_bytes (volume);
  if (!tess_volume_save (volume, out, NULL, &error)) {
    if (!g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED)) /* sizes so small that float32 loses them */
      abort ();
    return 0;
  }
  again = tess_volume_load (out, NULL, NULL);
  if (!again || tess_volume_n_bytes (again) != n || tess_volume_dtype (again) != tess_volume_dtype (volume) ||
      memcmp (tess_volume_data (again), tess_volume_data (volume), n) != 0)
    abort ();
  return 0;
}
