/* Any bytes, read as a zip archive: every member to its end. */
#include "tess-zip.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *path;
  g_autoptr (TessZip) zip = NULL;

  if (!path) {
    if (!mkdtemp (folder))
      abort ();
    path = g_build_filename (folder, "in.zip", NULL);
  }
  if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  zip = tess_zip_open (path, NULL);
  for (guint i = 0; zip && i < MIN (tess_zip_n (zip), 64); i++) {
    g_autoptr (GBytes) bytes = tess_zip_load_member (zip, i, 1 << 24, NULL);
    guint found;

    if (bytes && g_bytes_get_size (bytes) != tess_zip_size (zip, i))
      abort ();
    if (!tess_zip_find (zip, tess_zip_peek_name (zip, i), &found) || found < i)
      abort ();
  }
  return 0;
}
