/* Any bytes, read as an array or an archive of arrays; when they are one, written and read again. */
#include "tess-format-registry.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static void
read_and_write (const char *in, const char *entry, const char *out)
{
  g_autofree char *location = entry ? g_strconcat (in, "::", entry, NULL) : g_strdup (in);
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
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *array, *archive, *array_out, *archive_out;
  g_autoptr (GPtrArray) entries = NULL;
  gboolean zip = size > 2 && data[0] == 'P' && data[1] == 'K';
  const char *in;

  if (!array) {
    if (!mkdtemp (folder))
      abort ();
    array = g_build_filename (folder, "in.npy", NULL);
    archive = g_build_filename (folder, "in.npz", NULL);
    array_out = g_build_filename (folder, "out.npy", NULL);
    archive_out = g_build_filename (folder, "out.npz", NULL);
  }
  in = zip ? archive : array;
  if (!g_file_set_contents_full (in, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  entries = tess_volume_entries (in, NULL);
  read_and_write (in, NULL, zip ? archive_out : array_out);
  for (guint i = 0; entries && i < MIN (entries->len, 8); i++)
    read_and_write (in, ((TessVolumeEntry *)g_ptr_array_index (entries, i))->id, archive_out);
  return 0;
}
