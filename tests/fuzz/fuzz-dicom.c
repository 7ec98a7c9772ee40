/* Any bytes in the place of what the helper says of a DICOM file: it has read hostile bytes and may be their tool.
 * Voxels are then read from a file of 4 kB. (What the helper itself does with hostile files is
 * tests/codec/test-hostile.c.) */
#include "tess-dicom-private.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static char *path;
  const TessDicomListener listener = {NULL, NULL, NULL};
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GPtrArray) all = NULL;
  TessDicomStudy study = {0};
  JsonObject *object;

  if (!path) {
    static char voxels[4096];

    if (!mkdtemp (folder))
      abort ();
    path = g_build_filename (folder, "scan.dcm", NULL);
    if (!g_file_set_contents (path, voxels, sizeof voxels, NULL))
      abort ();
  }
  root = tess_json_parse ((const char *)data, (gssize)size, "fuzz", NULL);
  if (!root || !tess_json_root (root, "fuzz", &object, NULL))
    return 0;
  study.files = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_dicom_file_free);
  study.frames = g_ptr_array_new_with_free_func (g_free);
  if (tess_dicom_parse (path, object, study.files, study.frames)) {
    all = tess_dicom_series_find (&study);
    for (guint i = 0; i < all->len; i++) {
      TessDicomSeries *series = g_ptr_array_index (all, i);
      const TessDicomFrame *first = g_ptr_array_index (series->frames, 0);
      g_autoptr (TessVolume) volume = NULL;

      if (!series->refusal && first->file->plain) /* others would start the helper */
        volume = series->is_segmentation ? tess_dicom_segmentation (series, &listener, NULL)
                                         : tess_dicom_series_load (series, &listener, NULL);
    }
  }
  g_ptr_array_unref (study.frames);
  g_ptr_array_unref (study.files);
  return 0;
}
