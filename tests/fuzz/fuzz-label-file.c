/* Any bytes, read as a label table of each kind and, when they are one, written and read again. */
#include "tess-label-file.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static const char *const names[] = {"a.label", "a.txt", "a.ctbl", "a.json"};
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static gboolean made;

  if (!made && !mkdtemp (folder))
    abort ();
  made = TRUE;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (folder, names[i], NULL);
    g_autoptr (TessLabelTable) table = NULL, again = NULL;

    unlink (path); /* else what was longer before would stay */
    if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
      abort ();
    table = tess_label_file_load (path, NULL);
    if (!table)
      continue;
    unlink (path);
    if (!tess_label_file_save (table, path, NULL))
      abort ();
    again = tess_label_file_load (path, NULL);
    if (!again || tess_label_table_n (again) < tess_label_table_n (table))
      abort ();
  }
  return 0;
}
