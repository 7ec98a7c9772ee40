/* Any bytes, read as an NRRD file, as a header with its data beside it, and, when they are one, written and read again.
 */
#include "tess-format-registry.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char *folder, *path, *detached, *out, *segmentation;

static void
prepare (void)
{
  static char name[] = "/tmp/tess-fuzz-XXXXXX";
  g_autofree char *raw = NULL;

  folder = mkdtemp (name);
  if (!folder)
    abort ();
  path = g_build_filename (folder, "in.nrrd", NULL);
  detached = g_build_filename (folder, "in.nhdr", NULL);
  raw = g_build_filename (folder, "a.raw", NULL);
  out = g_build_filename (folder, "out.nrrd", NULL);
  segmentation = g_build_filename (folder, "out.seg.nrrd", NULL);
  if (!g_file_set_contents (raw, "0123456789abcdef", 16, NULL))
    abort ();
}

static void
read_and_write (const char *location)
{
  g_autoptr (TessVolume) volume = tess_volume_load (location, NULL, NULL), again = NULL;

  if (!volume || tess_volume_n_bytes (volume) > 1 << 20)
    return;
  if (!tess_volume_save (volume, out, NULL, NULL))
    abort ();
  again = tess_volume_load (out, NULL, NULL);
  if (!again || tess_volume_n_bytes (again) != tess_volume_n_bytes (volume) ||
      memcmp (tess_volume_data (again), tess_volume_data (volume), tess_volume_n_bytes (volume)) != 0 ||
      !tess_affine_equal (tess_volume_affine (again), tess_volume_affine (volume), 0.0))
    abort ();
  tess_volume_save (volume, segmentation, NULL, NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autoptr (GPtrArray) entries = NULL;

  if (!path)
    prepare ();
  unlink (path); /* else what was longer before would stay */
  unlink (detached);
  for (int i = 0; i < 2; i++)
    if (!g_file_set_contents_full (i ? detached : path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE,
                                   0600, NULL))
      abort ();
  read_and_write (path);
  read_and_write (detached);
  entries = tess_volume_entries (path, NULL);
  if (entries && entries->len > 1) {
    const TessVolumeEntry *last = g_ptr_array_index (entries, entries->len - 1);
    g_autofree char *location = g_strconcat (path, "::", last->id, NULL);

    read_and_write (location);
  }
  return 0;
}
