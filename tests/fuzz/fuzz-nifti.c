/* Any bytes, read as a NIfTI file and, when they are one, written and read again. */
#include "tess-format-registry.h"

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

  if (!in) {
    if (!mkdtemp (folder))
      abort ();
    in = g_build_filename (folder, "in.nii", NULL);
    out = g_build_filename (folder, "out.nii.gz", NULL);
  }
  if (!g_file_set_contents_full (in, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  volume = tess_volume_load (in, NULL, NULL);
  if (!volume || tess_volume_n_bytes (volume) > 1 << 20)
    return 0;
  if (!tess_volume_save (volume, out, NULL, NULL))
    abort ();
  again = tess_volume_load (out, NULL, NULL);
  if (!again || tess_volume_n_bytes (again) != tess_volume_n_bytes (volume) ||
      memcmp (tess_volume_data (again), tess_volume_data (volume), tess_volume_n_bytes (volume)) != 0)
    abort ();
  return 0;
}
