/* Voxels of files: read where they stand uncompressed, else unpacked by the helper. */
#include "tess-codec-client.h"
#include "tess-dicom-private.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

/* Bytes of n frames, from the first on; single bits are packed across frames. */
gsize
tess_dicom_frames_bytes (const TessDicomFile *file, gint64 n)
{
  gint64 bits = file->rows * file->columns * file->samples * file->allocated * n; /* checked when the file was read */

  return (gsize)((bits + 7) / 8);
}

gsize
tess_dicom_file_bytes (const TessDicomFile *file)
{
  return tess_dicom_frames_bytes (file, file->n_frames);
}

/* Before anything is allocated for it: are all its voxels there? */
gboolean
tess_dicom_file_check (const TessDicomFile *file, GError **error)
{
  g_autofree char *name = NULL;

  if (!file->plain || file->length >= tess_dicom_file_bytes (file))
    return TRUE;
  name = g_filename_display_name (file->path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: the file ends too early; it is incomplete, copy it again"),
               name);
  return FALSE;
}

/* Part of a plain file's voxels, from byte `at` of them. */
gboolean
tess_dicom_pixels_read (const TessDicomFile *file, int fd, guint64 at, void *out, gsize n, GError **error)
{
  for (gsize done = 0; done < n;) {
    gssize got = pread (fd, (guint8 *)out + done, n - done, (off_t)(file->offset + at + done));

    if (got < 0 && errno == EINTR)
      continue;
    if (got < 0) {
      tess_error_set_errno (error, file->path, errno, _ ("read"));
      return FALSE;
    }
    if (got == 0) {
      g_autofree char *name = g_filename_display_name (file->path);

      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: the file ends too early; it is incomplete, copy it again"), name);
      return FALSE;
    }
    done += (gsize)got;
  }
  return TRUE;
}

int
tess_dicom_file_open (const TessDicomFile *file, GError **error)
{
  int fd = open (file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

  if (fd < 0)
    tess_error_set_errno (error, file->path, errno, _ ("open"));
  return fd;
}

/* A helper whose memory suits files of at most n bytes, as they are or unpacked. Damaged files claim more than they
 * have: what a helper may not take it need not clear first. */
TessCodec *
tess_dicom_codec_new (guint64 n)
{
  return tess_codec_new (&(TessCodecLimits){.seconds = 20, .memory = ((guint64)384 << 20) + 4 * n});
}

gboolean
tess_dicom_fits (const char *path, guint64 n, GError **error)
{
  guint64 machine = (guint64)sysconf (_SC_PHYS_PAGES) * (guint64)sysconf (_SC_PAGESIZE);
  g_autofree char *name = NULL;

  if (n <= machine / 2)
    return TRUE;
  name = g_filename_display_name (path);
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("%s: its voxels take %.1f GB, which does not fit into this machine's memory; use another machine"),
               name, (double)n / 1e9);
  return FALSE;
}

static gboolean
keep_problem (guint i, JsonObject *answer, const GError *problem, gpointer user_data)
{
  GError **kept = user_data;

  if (problem && !*kept)
    *kept = g_error_copy (problem);
  return !problem;
}

guint8 *
tess_dicom_file_unpack (const TessDicomFile *file, gsize n, TessProgress *progress, GError **error)
{
  g_autoptr (TessCodec) codec = tess_dicom_codec_new (MAX (n, file->size));
  const guint8 *memory = tess_codec_memory (codec, n, error);
  GError *problem = NULL;

  if (!memory)
    return NULL;
  if (!tess_codec_decode (codec, &(TessCodecJob){file->path, 0, n}, 1, keep_problem, &problem, progress, &problem) ||
      problem) {
    g_propagate_error (error, problem);
    return NULL;
  }
  return g_memdup2 (memory, n);
}

guint8 *
tess_dicom_file_pixels (const TessDicomFile *file, TessProgress *progress, GError **error)
{
  gsize n = tess_dicom_file_bytes (file);
  g_autofree guint8 *pixels = NULL;

  if (!tess_dicom_file_check (file, error) || !tess_dicom_fits (file->path, n, error))
    return NULL;
  if (file->plain) {
    int fd = tess_dicom_file_open (file, error);
    gboolean done;

    if (fd < 0)
      return NULL;
    pixels = g_malloc (n); /* no more than the file holds */
    done = tess_dicom_pixels_read (file, fd, 0, pixels, n, error);
    close (fd);
    return done ? g_steal_pointer (&pixels) : NULL;
  }
  return tess_dicom_file_unpack (file, n, progress, error);
}
