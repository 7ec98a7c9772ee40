/* Any bytes as the points of an index, with a key and a checksum that fit: the file reads as ever. */
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

static guint8 *contents, *result, key[N_KEY];
static char *path, *file;

/* Reads the file; FALSE when it does not come as it is. */
static gboolean
reads (void)
{
  g_autoptr (TessStream) stream = tess_stream_open (path, NULL);
  g_autoptr (TessStreamAhead) ahead = stream ? tess_stream_read_ahead (stream, result, N) : NULL;
  guint8 after;

  return stream && tess_stream_read_exact (stream, result, N, NULL) &&
         tess_stream_read (stream, &after, 1, NULL) == 0 && memcmp (result, contents, N) == 0;
}

static void
start (void)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  g_autoptr (TessAtomicFile) gzip = NULL;
  g_autofree char *index = NULL;
  TessStreamKey known;
  gsize n;
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
  if (!reads () || !g_file_get_contents (file, &index, &n, NULL) || n < N_KEY)
    abort ();
  memcpy (key, index, N_KEY);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  g_autofree guint8 *bytes = g_malloc (N_KEY + size + 4);
  guint32 crc;

  if (!path)
    start ();
  memcpy (bytes, key, N_KEY);
  memcpy (bytes + N_KEY, data, size);
  crc = crc32_gzip_refl (0, bytes, N_KEY + size);
  for (guint i = 0; i < 4; i++)
    bytes[N_KEY + size + i] = (guint8)(crc >> 8 * i);
  if (!g_file_set_contents_full (file, (const char *)bytes, (gssize)(N_KEY + size + 4), G_FILE_SET_CONTENTS_NONE, 0600,
                                 NULL) ||
      !reads ())
    abort ();
  return 0;
}
