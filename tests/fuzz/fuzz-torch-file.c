/* Any bytes, read as a file of PyTorch: as they are and, since an archive's checksums stop most changes, as the pickle
 * of an archive whose storages are there. Every tensor is read. */
#include "tess-torch-file.h"
#include "tess-zip.h"

#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static char *path, *archive;

static void
put (TessZipWriter *zip, const char *name, const void *data, gsize n)
{
  TessAtomicFile *file = tess_zip_writer_begin (zip, name, FALSE, NULL);

  if (!file || (n > 0 && !tess_atomic_file_write (file, data, n, NULL)) || !tess_zip_writer_end (zip, NULL))
    abort ();
}

static void
wrap (const uint8_t *data, size_t size)
{
  g_autoptr (TessZipWriter) zip = tess_zip_writer_new (archive, NULL);
  static const guint8 storage[64] = {1, 2, 3};

  if (!zip)
    abort ();
  put (zip, "a/data.pkl", data, size);
  put (zip, "a/byteorder", size % 2 ? "big" : "little", size % 2 ? 3 : 6);
  put (zip, "a/data/0", storage, sizeof storage);
  put (zip, "a/data/1", storage, 12);
  if (!tess_zip_writer_commit (zip, NULL))
    abort ();
}

static void
read_all (const char *from)
{
  g_autoptr (TessTorchFile) file = tess_torch_file_open (from, NULL);

  for (guint i = 0; file && i < tess_torch_file_n (file); i++) {
    const TessTorchTensor *t = tess_torch_file_nth (file, i);
    g_autofree float *out = NULL;
    volatile float sum = 0;

    if (tess_torch_file_find (file, t->name) != t || t->n > 1 << 24)
      abort ();
    out = g_new (float, t->n + 1);
    if (!tess_torch_file_read_f32 (file, t, out, t->n, NULL))
      continue;
    for (gsize k = 0; k < t->n; k++)
      sum += out[k];
  }
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char memory[] = "/dev/shm/tess-fuzz-XXXXXX", disk[] = "/tmp/tess-fuzz-XXXXXX";

  if (!path) {
    const char *folder = mkdtemp (memory); /* what is written safely (fsync) is slow on a disk */

    if (!folder)
      folder = mkdtemp (disk);
    if (!folder)
      abort ();
    path = g_build_filename (folder, "in.pth", NULL);
    archive = g_build_filename (folder, "made.pth", NULL);
  }
  if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  read_all (path);
  wrap (data, size);
  read_all (archive);
  return 0;
}
