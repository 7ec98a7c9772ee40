/* Any changes to the points of a good index, with a key and a checksum that fit: the file reads as ever. Two bytes say
 * where, the third what; the first of all how much is cut off. */
#include "tess-atomic-file.h"
#include "tess-parallel.h"
#include "tess-stream-index.h"

#include <fcntl.h>
#include <isa-l/crc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define N ((gsize)9 << 20)
#define N_KEY ((gsize)64) /* bytes of the index before the number of its points */

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static guint8 *contents, *result;
static char *path, *file, *good; /* good: an index */
static gsize n_good;

/* Reads the file; FALSE when it does not come as it is. */
static gboolean
reads (void)
{
  g_autoptr (TessStream) stream = tess_stream_open (path, NULL);
  g_autoptr (TessStreamAhead) ahead = NULL;
  guint8 after;

  if (!stream)
    return FALSE;
  ahead = tess_stream_read_ahead (stream, result, N);
  return tess_stream_read_exact (stream, result, N, NULL) && tess_stream_read (stream, &after, 1, NULL) == 0 &&
         memcmp (result, contents, N) == 0;
}

static void
start (void)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  g_autoptr (TessAtomicFile) gzip = NULL;
  TessStreamKey known;
  struct stat info;
  guint32 seed = 1;
  int fd;

  if (!mkdtemp (folder))
    abort ();
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  tess_parallel_set_threads (2);
  contents = g_malloc (N);
  result = g_malloc (N);
  for (gsize i = 0; i < N; i++) {
    seed = seed * 1664525u + 1013904223u;
    contents[i] = (guint8)(seed >> 24 & 0x3f);
  }
  path = g_build_filename (folder, "in.gz", NULL);
  gzip = tess_atomic_file_new (path, TRUE, NULL);
  if (!gzip || !tess_atomic_file_write (gzip, contents, N, NULL) || !tess_atomic_file_commit (gzip, NULL))
    abort ();
  fd = open (path, O_RDONLY);
  if (fd < 0 || fstat (fd, &info) != 0 || !tess_stream_key_init (&known, path, fd, 0, (guint64)info.st_size))
    abort ();
  close (fd);
  file = tess_stream_key_file (&known);
  tess_stream_key_clear (&known);
  if (!reads () || !g_file_get_contents (file, &good, &n_good, NULL) || n_good < N_KEY + 300)
    abort ();
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree guint8 *bytes = NULL;
  gsize n;
  guint32 crc;

  if (!path)
    start ();
  bytes = g_memdup2 (good, n_good);
  n = n_good - (size > 0 ? data[0] : 0);
  for (gsize i = 1; i + 3 <= size; i += 3) {
    gsize at = N_KEY + (gsize)data[i] + 256 * (gsize)data[i + 1];

    if (at < n - 4)
      bytes[at] ^= data[i + 2];
  }
  crc = crc32_gzip_refl (0, bytes, n - 4);
  for (guint i = 0; i < 4; i++)
    bytes[n - 4 + i] = (guint8)(crc >> 8 * i);
  if (!g_file_set_contents_full (file, (const char *)bytes, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL) ||
      !reads ())
    abort ();
  return 0;
}
