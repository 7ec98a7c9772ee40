#include "tess-atomic-file.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <isa-l/igzip_lib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE ((gsize)1 << 20)
#define GZIP_LEVEL 2

struct _TessAtomicFile {
  char *path;   /* as the caller named it: for messages */
  char *target; /* with links resolved */
  char *temporary;
  int fd;
  gboolean failed;
  guint8 *buffer; /* plain: not yet written; gzip: the compressor's output */
  gsize used;
  gboolean summing;
  guint32 crc;
  guint64 n_summed;
  guint64 n_written, pack_start; /* bytes handed to the system; where the packed stream began */
  struct isal_zstream *deflate;
  guint8 *level_buffer;
};

static gboolean
fail (TessAtomicFile *file, int saved_errno, GError **error)
{
  file->failed = TRUE;
  tess_error_set_errno (error, file->path, saved_errno, _ ("write"));
  return FALSE;
}

static gboolean
write_all (TessAtomicFile *file, const guint8 *data, gsize n)
{
  file->n_written += n;
  while (n > 0) {
    gssize written = write (file->fd, data, MIN (n, (gsize)1 << 30));

    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return FALSE;
    data += written;
    n -= (gsize)written;
  }
  return TRUE;
}

/* Opens a new file beside the target. Its mode is what the umask leaves of 0666 (mkstemp would make it 0600). */
static gboolean
open_temporary (TessAtomicFile *file, GError **error)
{
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
  g_autofree char *folder = g_path_get_dirname (file->target);
  g_autofree char *base = g_path_get_basename (file->target);

  for (int attempt = 0; attempt < 100; attempt++) {
    char suffix[7] = {0};

    for (int i = 0; i < 6; i++)
      suffix[i] = letters[g_random_int_range (0, sizeof letters - 1)];
    g_free (file->temporary);
    /* a name may have 255 bytes */
    file->temporary =
        g_strdup_printf ("%s%s.%.240s.%s", folder, g_str_has_suffix (folder, "/") ? "" : "/", base, suffix);
    file->fd = open (file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd >= 0)
      return TRUE;
    if (errno != EEXIST)
      break;
  }
  tess_error_set_errno (error, file->path, errno, _ ("write"));
  g_clear_pointer (&file->temporary, g_free);
  return FALSE;
}

/* What is already there under the name: a link is followed, anything but a file is refused. */
static gboolean
look_at_target (TessAtomicFile *file, mode_t *mode, GError **error)
{
  struct stat info;
  char *resolved;

  *mode = 0;
  resolved = realpath (file->path, NULL);
  file->target = g_strdup (resolved ? resolved : file->path);
  free (resolved);
  if (stat (file->target, &info) != 0) {
    if (errno == ENOENT && !g_str_has_suffix (file->target, "/"))
      return TRUE;
    tess_error_set_errno (error, file->path, errno, _ ("write"));
    return FALSE;
  }
  if (S_ISDIR (info.st_mode)) {
    tess_error_set_errno (error, file->path, EISDIR, _ ("write"));
    return FALSE;
  }
  if (!S_ISREG (info.st_mode)) {
    g_autofree char *name = g_filename_display_name (file->path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: this is a device, not a file; choose another name"), name);
    return FALSE;
  }
  if (access (file->target, W_OK) != 0) { /* a rename would replace what the user has protected */
    tess_error_set_errno (error, file->path, errno, _ ("write"));
    return FALSE;
  }
  *mode = info.st_mode & 0777;
  return TRUE;
}

static void
start_packing (TessAtomicFile *file, guint16 container)
{
  file->deflate = g_new (struct isal_zstream, 1);
  file->level_buffer = g_malloc (ISAL_DEF_LVL2_DEFAULT);
  isal_deflate_init (file->deflate);
  file->deflate->gzip_flag = container;
  file->deflate->level = GZIP_LEVEL;
  file->deflate->level_buf = file->level_buffer;
  file->deflate->level_buf_size = ISAL_DEF_LVL2_DEFAULT;
  file->deflate->flush = NO_FLUSH;
}

/**
 * tess_atomic_file_new:
 * @path: what the file is called after tess_atomic_file_commit(); a link is followed
 * @gzip: compress on the way
 *
 * Nothing is seen under @path before the commit, and a file that is there stays untouched until then. A new file
 * gets the permissions the umask leaves, a replaced one keeps its own.
 */
TessAtomicFile *
tess_atomic_file_new (const char *path, gboolean gzip, GError **error)
{
  g_autoptr (TessAtomicFile) file = g_new0 (TessAtomicFile, 1);
  mode_t mode;

  file->fd = -1;
  file->path = g_strdup (path);
  if (!look_at_target (file, &mode, error) || !open_temporary (file, error))
    return NULL;
  if (mode && fchmod (file->fd, mode) != 0) {
    /* Somebody else's file in a folder we may write: ours then has our permissions. */
  }
  file->buffer = g_malloc (BUFFER_SIZE);
  if (gzip)
    start_packing (file, IGZIP_GZIP);
  return g_steal_pointer (&file);
}

static gboolean
deflate_piece (TessAtomicFile *file, const guint8 *data, guint32 n, gboolean last, GError **error)
{
  struct isal_zstream *z = file->deflate;
  union {
    const guint8 *in;
    guint8 *next;
  } cast = {.in = data}; /* ISA-L only reads it */

  z->next_in = cast.next;
  z->avail_in = n;
  z->end_of_stream = last ? 1 : 0;
  do {
    z->next_out = file->buffer;
    z->avail_out = BUFFER_SIZE;
    if (isal_deflate (z) != COMP_OK)
      return fail (file, EINVAL, error);
    if (!write_all (file, file->buffer, BUFFER_SIZE - z->avail_out))
      return fail (file, errno, error);
  } while (z->avail_out == 0 || z->avail_in > 0);
  return TRUE;
}

static gboolean
flush_plain (TessAtomicFile *file, GError **error)
{
  if (file->used > 0 && !write_all (file, file->buffer, file->used))
    return fail (file, errno, error);
  file->used = 0;
  return TRUE;
}

gboolean
tess_atomic_file_write (TessAtomicFile *file, const void *data, gsize n, GError **error)
{
  const guint8 *bytes = data;

  g_return_val_if_fail (!file->failed && file->fd >= 0, FALSE);
  if (file->summing) {
    for (gsize at = 0; at < n; at += MIN (n - at, (gsize)1 << 30))
      file->crc = crc32_gzip_refl (file->crc, bytes + at, MIN (n - at, (gsize)1 << 30));
    file->n_summed += n;
  }
  if (file->deflate) {
    while (n > 0) {
      gsize piece = MIN (n, (gsize)1 << 30);

      if (!deflate_piece (file, bytes, (guint32)piece, FALSE, error))
        return FALSE;
      bytes += piece;
      n -= piece;
    }
    return TRUE;
  }
  if (n >= BUFFER_SIZE - file->used && !flush_plain (file, error))
    return FALSE;
  if (n >= BUFFER_SIZE) {
    if (!write_all (file, bytes, n))
      return fail (file, errno, error);
    return TRUE;
  }
  if (n > 0)
    memcpy (file->buffer + file->used, bytes, n);
  file->used += n;
  return TRUE;
}

/**
 * tess_atomic_file_pack:
 * @packing: GZIP, ZLIB or DEFLATE
 *
 * What is written from here to tess_atomic_file_unpack() is one packed stream with its container's checksum.
 */
gboolean
tess_atomic_file_pack (TessAtomicFile *file, TessPacking packing, GError **error)
{
  g_return_val_if_fail (!file->failed && file->fd >= 0 && !file->deflate, FALSE);
  g_return_val_if_fail (packing >= TESS_PACKING_GZIP, FALSE);
  if (!flush_plain (file, error))
    return FALSE;
  file->pack_start = file->n_written;
  start_packing (file, packing == TESS_PACKING_GZIP   ? IGZIP_GZIP
                       : packing == TESS_PACKING_ZLIB ? IGZIP_ZLIB
                                                      : IGZIP_DEFLATE);
  return TRUE;
}

/* Ends the packed stream. @n_packed: its bytes in the file; may be NULL. */
gboolean
tess_atomic_file_unpack (TessAtomicFile *file, guint64 *n_packed, GError **error)
{
  g_return_val_if_fail (!file->failed && file->fd >= 0 && file->deflate, FALSE);
  if (!deflate_piece (file, NULL, 0, TRUE, error))
    return FALSE;
  g_clear_pointer (&file->deflate, g_free);
  g_clear_pointer (&file->level_buffer, g_free);
  if (n_packed)
    *n_packed = file->n_written - file->pack_start;
  return TRUE;
}

/* From here on what is written is counted and summed, before it is packed. */
void
tess_atomic_file_start_sum (TessAtomicFile *file)
{
  file->summing = TRUE;
  file->crc = 0;
  file->n_summed = 0;
}

/* CRC-32 (gzip's and zip's) of what was written since. @n_bytes: how much that was; may be NULL. */
guint32
tess_atomic_file_stop_sum (TessAtomicFile *file, guint64 *n_bytes)
{
  file->summing = FALSE;
  if (n_bytes)
    *n_bytes = file->n_summed;
  return file->crc;
}

guint64
tess_atomic_file_tell (TessAtomicFile *file)
{
  return file->n_written + file->used;
}

gboolean
tess_atomic_file_patch (TessAtomicFile *file, guint64 offset, const void *data, gsize n, GError **error)
{
  const guint8 *bytes = data;

  g_return_val_if_fail (!file->failed && file->fd >= 0 && !file->deflate, FALSE);
  g_return_val_if_fail (n <= tess_atomic_file_tell (file) && offset <= tess_atomic_file_tell (file) - n, FALSE);
  if (!flush_plain (file, error))
    return FALSE;
  while (n > 0) {
    gssize written = pwrite (file->fd, bytes, n, (off_t)offset);

    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return fail (file, errno, error);
    bytes += written;
    offset += (guint64)written;
    n -= (gsize)written;
  }
  return TRUE;
}

/* The new name is on the disk only when the folder is. Some file systems and folders cannot be synced: not an error. */
static gboolean
sync_folder (TessAtomicFile *file, GError **error)
{
  g_autofree char *folder = g_path_get_dirname (file->target);
  int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  int saved = 0;

  if (fd < 0)
    return TRUE;
  if (fsync (fd) != 0 && errno != EINVAL && errno != EROFS && errno != EBADF && errno != ENOTSUP)
    saved = errno;
  close (fd);
  return saved ? fail (file, saved, error) : TRUE;
}

/* Finishes the file and gives it its name. On failure the old file is still there. Free @file in either case. */
gboolean
tess_atomic_file_commit (TessAtomicFile *file, GError **error)
{
  int fd = file->fd;

  g_return_val_if_fail (!file->failed && file->fd >= 0, FALSE);
  if (file->deflate ? !deflate_piece (file, NULL, 0, TRUE, error) : !flush_plain (file, error))
    return FALSE;
  if (fsync (fd) != 0 && errno != EINVAL && errno != ENOTSUP)
    return fail (file, errno, error);
  file->fd = -1;
  if (close (fd) != 0 && errno != EINTR)
    return fail (file, errno, error);
  if (rename (file->temporary, file->target) != 0)
    return fail (file, errno, error);
  g_clear_pointer (&file->temporary, g_free);
  return sync_folder (file, error);
}

void
tess_atomic_file_free (TessAtomicFile *file)
{
  if (!file)
    return;
  if (file->fd >= 0)
    close (file->fd);
  if (file->temporary)
    unlink (file->temporary);
  g_free (file->level_buffer);
  g_free (file->deflate);
  g_free (file->buffer);
  g_free (file->temporary);
  g_free (file->target);
  g_free (file->path);
  g_free (file);
}

gboolean
tess_file_set_contents (const char *path, const void *data, gsize n, GError **error)
{
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, error);

  return file && tess_atomic_file_write (file, data, n, error) && tess_atomic_file_commit (file, error);
}

/**
 * tess_file_append_line:
 * @line: one line; its newline is added when it has none
 *
 * Appends by one write(2) and syncs. When the system takes only a part (disk full), the file is cut back: a reader
 * finds whole lines.
 */
gboolean
tess_file_append_line (const char *path, const char *line, GError **error)
{
  g_autofree char *text = g_str_has_suffix (line, "\n") ? g_strdup (line) : g_strconcat (line, "\n", NULL);
  gsize n = strlen (text);
  struct stat info;
  gssize written;
  int fd, saved = 0;

  fd = open (path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || fstat (fd, &info) != 0) {
    saved = errno;
    if (fd >= 0)
      close (fd);
    tess_error_set_errno (error, path, saved, _ ("write"));
    return FALSE;
  }
  do
    written = write (fd, text, n);
  while (written < 0 && errno == EINTR);
  if (written < 0)
    saved = errno;
  else if ((gsize)written < n) {
    saved = ENOSPC;
    if (ftruncate (fd, info.st_size) != 0)
      saved = errno;
  } else if (fsync (fd) != 0 && errno != EINVAL && errno != ENOTSUP)
    saved = errno;
  if (close (fd) != 0 && errno != EINTR && !saved)
    saved = errno;
  if (saved) {
    tess_error_set_errno (error, path, saved, _ ("write"));
    return FALSE;
  }
  return TRUE;
}

/* Makes the folder and those above it; one that is there already is fine. */
gboolean
tess_make_directory (const char *path, GError **error)
{
  if (g_mkdir_with_parents (path, 0777) != 0) {
    tess_error_set_errno (error, path, errno, _ ("create the folder"));
    return FALSE;
  }
  return TRUE;
}
