/* Any bytes, read as a NIfTI file and as a pair's two and, when they are one, written and read again. */
#include "tess-format-registry.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char folder[] = "/tmp/tess-fuzz-XXXXXX";

static char *
put (const char *name, const uint8_t *data, size_t size)
{
  char *path = g_build_filename (folder, name, NULL);

  if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  return path;
}

static void
read_and_write (const char *in)
{
  g_autofree char *out = g_build_filename (folder, "out.nii.gz", NULL);
  g_autoptr (TessVolume) volume = tess_volume_load (in, NULL, NULL), again = NULL;

  if (!volume || tess_volume_n_bytes (volume) > 1 << 20)
    return;
  if (!tess_volume_save (volume, out, NULL, NULL))
    abort ();
  again = tess_volume_load (out, NULL, NULL);
  if (!again || tess_volume_n_bytes (again) != tess_volume_n_bytes (volume) ||
      memcmp (tess_volume_data (again), tess_volume_data (volume), tess_volume_n_bytes (volume)) != 0)
    abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static gboolean made;
  g_autofree char *single = NULL, *header = NULL, *image = NULL;
  size_t head = size < 348 ? size : 348;

  if (!made && !mkdtemp (folder))
    abort ();
  made = TRUE;
  single = put ("in.nii", data, size);
  read_and_write (single);
  header = put ("pair.hdr", data, head); /* NIfTI's or Analyze's */
  image = put ("pair.img", data + head, size - head);
  read_and_write (header);
  return 0;
}
