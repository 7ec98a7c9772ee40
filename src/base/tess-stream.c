#include "tess-stream.h"
#include "tess-parallel.h"
#include "tess-stream-private.h"

#include <errno.h>
#include <fcntl.h>
#include <isa-l/crc.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_SIZE ((gsize)1 << 20)
#define MAX_PIECE ((gsize)1 << 30)        /* ISA-L and read(2) count in 32 bits */
#define WORTH_A_THREAD ((guint64)8 << 20) /* packed bytes still to come */
#define MAX_RATIO 1032                    /* deflate's best: 258 bytes from two bits */

static char *
display (const TessStream *stream)
{
  return g_filename_display_name (stream->path);
}

static gssize
fail_format (TessStream *stream, GError **error, const char *format)
{
  g_autofree char *name = display (stream);

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, format, name);
#pragma GCC diagnostic pop
  return -1;
}

/* At most n bytes of the file, none beyond the part that is read; at its end at_end is set. -1 on failure. */
static gssize
fetch (TessStream *stream, guint8 *out, gsize n, GError **error)
{
  gssize got;

  n = (gsize)MIN (MIN (n, MAX_PIECE), stream->file_size - stream->file_read);
  if (stream->fetch) {
    got = n > 0 ? stream->fetch (stream->source, out, n, error) : 0;
    if (got < 0)
      return -1;
    stream->file_read += (guint64)got;
    if (got == 0)
      stream->at_end = TRUE;
    return got;
  }
  do
    got = n > 0 ? read (stream->fd, out, n) : 0;
  while (got < 0 && errno == EINTR);
  if (got < 0) {
    tess_error_set_errno (error, stream->path, errno, _ ("read"));
    return -1;
  }
  stream->file_read += (guint64)got;
  if (got == 0)
    stream->at_end = TRUE;
  return got;
}

/* Whoever inflates a large file does not wait for its bytes. */
static gboolean
use_fetcher (TessStream *stream)
{
  if (!stream->fetcher && stream->inflate && stream->fd >= 0 &&
      stream->file_size - stream->file_read >= WORTH_A_THREAD && tess_parallel_n_cores () > 1) {
    stream->fetcher = tess_stream_fetcher_new (stream->fd, BUFFER_SIZE);
    g_free (g_steal_pointer (&stream->buffer));
  }
  return stream->fetcher != NULL;
}

/* As fetch (), into a buffer of the fetcher's. */
static gssize
fetch_ahead (TessStream *stream, GError **error)
{
  gssize got = tess_stream_fetcher_next (stream->fetcher, &stream->buffer);

  if (got < 0) {
    tess_error_set_errno (error, stream->path, errno, _ ("read"));
    return -1;
  }
  got = (gssize)MIN ((guint64)got, stream->file_size - stream->file_read); /* not beyond the part */
  stream->file_read += (guint64)got;
  if (got == 0)
    stream->at_end = TRUE;
  return got;
}

gboolean
tess_stream_fill (TessStream *stream, GError **error)
{
  gssize n = use_fetcher (stream) ? fetch_ahead (stream, error) : fetch (stream, stream->buffer, BUFFER_SIZE, error);

  if (n < 0)
    return FALSE;
  stream->begin = 0;
  stream->end = (gsize)n;
  return TRUE;
}

gboolean
tess_stream_rewind (TessStream *stream, guint64 byte, GError **error)
{
  if (stream->fetcher) {
    g_clear_pointer (&stream->fetcher, tess_stream_fetcher_free);
    stream->buffer = g_malloc (BUFFER_SIZE);
  }
  if (lseek (stream->fd, (off_t)(stream->offset + byte), SEEK_SET) < 0) {
    tess_error_set_errno (error, stream->path, errno, _ ("read"));
    return FALSE;
  }
  stream->begin = stream->end = 0;
  stream->file_read = byte;
  stream->at_end = FALSE;
  return TRUE;
}

/* Reads the first bytes and, of packed ones, makes ready to inflate. */
static gboolean
start (TessStream *stream, TessPacking packing, GError **error)
{
  stream->buffer = g_malloc (BUFFER_SIZE);
  if (!tess_stream_fill (stream, error))
    return FALSE;
  if (packing == TESS_PACKING_AUTO)
    packing = stream->end >= 2 && stream->buffer[0] == 0x1f && stream->buffer[1] == 0x8b ? TESS_PACKING_GZIP
                                                                                         : TESS_PACKING_NONE;
  stream->packing = packing;
  if (packing != TESS_PACKING_NONE) {
    stream->inflate = g_new (struct inflate_state, 1);
    isal_inflate_init (stream->inflate);
    /* Header parsed; checksum and, for gzip, length compared. */
    stream->inflate->crc_flag = packing == TESS_PACKING_GZIP   ? ISAL_GZIP
                                : packing == TESS_PACKING_ZLIB ? ISAL_ZLIB
                                                               : ISAL_DEFLATE;
  }
  return TRUE;
}

/**
 * tess_stream_open_part:
 * @offset: bytes before the part
 * @n_bytes: length of the part in the file, packed; G_MAXUINT64 for all that follows. More than there is: to the end
 * @packing: TESS_PACKING_AUTO decides between plain and gzip by the first two bytes
 *
 * Opens a part of a regular file for reading from its start to its end. ZLIB and DEFLATE end with their first stream;
 * a zlib stream's checksum is compared.
 *
 * Errors: IO, FORMAT when the file is shorter than @offset.
 */
TessStream *
tess_stream_open_part (const char *path, guint64 offset, guint64 n_bytes, TessPacking packing, GError **error)
{
  g_autoptr (TessStream) stream = g_new0 (TessStream, 1);
  struct stat info;

  stream->path = g_strdup (path);
  stream->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not make us wait */
  if (stream->fd < 0) {
    tess_error_set_errno (error, path, errno, _ ("open"));
    return NULL;
  }
  if (fstat (stream->fd, &info) != 0) {
    tess_error_set_errno (error, path, errno, _ ("open"));
    return NULL;
  }
  if (!S_ISREG (info.st_mode)) {
    g_autofree char *name = display (stream);

    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 S_ISDIR (info.st_mode) ? _ ("%s: this is a folder; give a file inside it")
                                        : _ ("%s: this is not a regular file; give a file on a disk"),
                 name);
    return NULL;
  }
  if (offset > (guint64)info.st_size) {
    fail_format (stream, error, _ ("%s: the file ends too early; it is incomplete, copy it again"));
    return NULL;
  }
  if (offset > 0 && lseek (stream->fd, (off_t)offset, SEEK_SET) < 0) {
    tess_error_set_errno (error, path, errno, _ ("read"));
    return NULL;
  }
  posix_fadvise (stream->fd, (off_t)offset, 0, POSIX_FADV_SEQUENTIAL);
  stream->offset = offset;
  stream->file_size = MIN (n_bytes, (guint64)info.st_size - offset);
  return start (stream, packing, error) ? g_steal_pointer (&stream) : NULL;
}

/**
 * tess_stream_new_source:
 * @path: for messages
 * @bytes: gives the packed bytes in order; called on the reading thread
 * @source_free: for @source, may be NULL; called when this fails, too
 * @n_bytes: what @bytes can give at most
 *
 * A stream over bytes that are not a stretch of a file.
 */
TessStream *
tess_stream_new_source (const char *path, TessStreamFetch bytes, gpointer source, GDestroyNotify source_free,
                        guint64 n_bytes, TessPacking packing, GError **error)
{
  g_autoptr (TessStream) stream = g_new0 (TessStream, 1);

  stream->path = g_strdup (path);
  stream->fd = -1;
  stream->fetch = bytes;
  stream->source = source;
  stream->source_free = source_free;
  stream->file_size = n_bytes;
  return start (stream, packing, error) ? g_steal_pointer (&stream) : NULL;
}

/**
 * tess_stream_expect:
 * @n_bytes: length of the contents, unpacked
 * @crc32: of the contents, as in gzip and zip
 *
 * What another place of the file says about the contents: compared when the last byte is read. Before the first read.
 */
void
tess_stream_expect (TessStream *stream, guint64 n_bytes, guint32 crc32)
{
  g_return_if_fail (stream->produced == 0);
  stream->expecting = TRUE;
  stream->expected = n_bytes;
  stream->expected_crc = crc32;
}

/**
 * tess_stream_open:
 *
 * Opens a whole regular file for reading from its start to its end. Whether it is gzip is decided by its first two
 * bytes, not by its name.
 */
TessStream *
tess_stream_open (const char *path, GError **error)
{
  return tess_stream_open_part (path, 0, G_MAXUINT64, TESS_PACKING_AUTO, error);
}

void
tess_stream_free (TessStream *stream)
{
  if (!stream)
    return;
  g_warn_if_fail (!stream->ahead);
  tess_stream_recorder_end (stream, FALSE);
  if (stream->fetcher)
    tess_stream_fetcher_free (stream->fetcher);
  else
    g_free (stream->buffer);
  if (stream->fd >= 0)
    close (stream->fd);
  if (stream->source_free)
    stream->source_free (stream->source);
  g_free (stream->inflate);
  g_free (stream->path);
  g_free (stream);
}

gboolean
tess_stream_is_packed (TessStream *stream)
{
  return stream->packing != TESS_PACKING_NONE;
}

static gssize
read_plain (TessStream *stream, guint8 *out, gsize n, GError **error)
{
  gsize done = 0;

  while (done < n) {
    gsize have = stream->end - stream->begin;

    if (have > 0) {
      gsize piece = MIN (have, n - done);

      memcpy (out + done, stream->buffer + stream->begin, piece);
      stream->begin += piece;
      done += piece;
    } else if (stream->at_end) {
      break;
    } else if (n - done >= BUFFER_SIZE) { /* large reads go straight to the caller */
      gssize got = fetch (stream, out + done, n - done, error);

      if (got < 0)
        return -1;
      done += (gsize)got;
    } else if (!tess_stream_fill (stream, error)) {
      return -1;
    }
  }
  return (gssize)done;
}

/* Another one: no index is made of several. */
static void
begin_member (TessStream *stream)
{
  isal_inflate_reset (stream->inflate);
  stream->inflate->crc_flag = ISAL_GZIP;
  stream->several = TRUE;
  tess_stream_recorder_end (stream, FALSE);
}

/* Between two members: looks for another. What follows the last member without gzip's magic number is ignored,
 * as gzip and zlib do (some tapes and tools pad with zeros). */
static gboolean
next_member (TessStream *stream, GError **error)
{
  guint8 first;

  if (stream->begin == stream->end && !stream->at_end && !tess_stream_fill (stream, error))
    return FALSE;
  if (stream->begin == stream->end) {
    stream->finished = TRUE;
    return TRUE;
  }
  first = stream->buffer[stream->begin];
  if (first == 0x1f) {
    if (stream->end - stream->begin == 1) { /* the second magic byte lies in the next piece */
      stream->begin = stream->end;
      if (!tess_stream_fill (stream, error))
        return FALSE;
      if (stream->begin == stream->end) {
        fail_format (stream, error, _ ("%s: the compressed data end too early; the file is incomplete, copy it again"));
        return FALSE;
      }
      if (stream->buffer[0] != 0x8b) {
        stream->finished = TRUE;
        return TRUE;
      }
      begin_member (stream);
      stream->inflate->next_in = &first; /* hand over the byte that was dropped from the buffer */
      stream->inflate->avail_in = 1;
      stream->inflate->avail_out = 0;
      isal_inflate (stream->inflate);
      return TRUE;
    }
    if (stream->buffer[stream->begin + 1] == 0x8b) {
      begin_member (stream);
      return TRUE;
    }
  }
  stream->finished = TRUE;
  return TRUE;
}

/* One call of ISA-L's, at most n bytes. *stuck: it neither took bytes nor gave any. -1 on failure. */
static gssize
inflate_step (TessStream *stream, guint8 *out, gsize n, gboolean *stuck, GError **error)
{
  struct inflate_state *state = stream->inflate;
  guint32 room = (guint32)MIN (n, MAX_PIECE);
  gsize feed = stream->end - stream->begin;
  gboolean held = stream->ahead != NULL;
  gssize got;
  int result;

  if (stream->ahead || stream->recorder)
    tess_stream_hold_back (stream, &feed, &room);
  state->next_in = stream->buffer + stream->begin;
  state->avail_in = (guint32)feed;
  state->next_out = out;
  state->avail_out = room;
  result = isal_inflate (state);
  feed -= state->avail_in;
  stream->begin += feed;
  got = (gssize)(room - state->avail_out);
  stream->position += (guint64)got;
  if (result == ISAL_INCORRECT_CHECKSUM)
    return fail_format (stream, error,
                        _ ("%s: the checksum of the compressed data is wrong; the file is damaged, copy it again"));
  if (result < 0)
    return fail_format (stream, error, _ ("%s: the compressed data are damaged; copy the file again"));
  *stuck = feed == 0 && got == 0;
  if ((stream->ahead || stream->recorder) && tess_stream_stepped (stream, feed, (gsize)got, *stuck))
    return 0;
  *stuck = *stuck && !held; /* else there is more, or others have it */
  return got;
}

gssize
tess_stream_inflate (TessStream *stream, guint8 *out, gsize n, GError **error)
{
  gsize done = 0;
  int idle = 0;

  while (done < n && !stream->finished) {
    gboolean stuck = FALSE, others = tess_stream_is_taking (stream);
    gssize got;

    if (!others && stream->begin == stream->end && !stream->at_end && !tess_stream_fill (stream, error))
      return -1;
    got = others ? tess_stream_take (stream, out + done, n - done, error)
                 : inflate_step (stream, out + done, n - done, &stuck, error);
    if (got < 0)
      return -1;
    done += (gsize)got;
    if (stream->inflate->block_state == ISAL_BLOCK_FINISH) {
      if (stream->packing != TESS_PACKING_GZIP)
        stream->finished = TRUE;
      else if (!next_member (stream, error))
        return -1;
    } else if (stuck) {
      if (stream->at_end)
        return fail_format (stream, error,
                            _ ("%s: the compressed data end too early; the file is incomplete, copy it again"));
      if (++idle > 8) /* never seen; but bytes from outside must not make us loop */
        return fail_format (stream, error, _ ("%s: the compressed data are damaged; copy the file again"));
    } else {
      idle = 0;
    }
  }
  if (stream->finished)
    tess_stream_recorder_end (stream, TRUE);
  return (gssize)done;
}

/* Compares what came with what was announced. @asked: at fewer bytes than these the contents are at their end. */
static gssize
check_expected (TessStream *stream, const guint8 *data, gsize asked, gsize got, GError **error)
{
  if (got > stream->expected - stream->produced)
    return fail_format (stream, error,
                        _ ("%s: it holds more than its directory says; the file is damaged, copy it again"));
  if (got < asked && got < stream->expected - stream->produced)
    return fail_format (stream, error,
                        _ ("%s: the compressed data end too early; the file is incomplete, copy it again"));
  for (gsize at = 0; at < got; at += MIN (got - at, MAX_PIECE))
    stream->crc = crc32_gzip_refl (stream->crc, data + at, MIN (got - at, MAX_PIECE));
  stream->produced += got;
  if (stream->produced == stream->expected && stream->crc != stream->expected_crc)
    return fail_format (stream, error,
                        _ ("%s: the checksum of its contents is wrong; the file is damaged, copy it again"));
  return (gssize)got;
}

/**
 * tess_stream_read:
 *
 * Returns: the number of bytes put into @buffer, less than @n only at the end of the contents; -1 on failure.
 * A gzip member's checksum is compared when a read passes its last byte: who wants it checked reads until 0.
 */
gssize
tess_stream_read (TessStream *stream, void *buffer, gsize n, GError **error)
{
  gssize got;

  g_return_val_if_fail (n <= G_MAXSSIZE, -1);
  got = tess_stream_is_packed (stream) ? tess_stream_inflate (stream, buffer, n, error)
                                       : read_plain (stream, buffer, n, error);
  return got >= 0 && stream->expecting ? check_expected (stream, buffer, n, (gsize)got, error) : got;
}

gboolean
tess_stream_read_exact (TessStream *stream, void *buffer, gsize n, GError **error)
{
  gssize got = tess_stream_read (stream, buffer, n, error);

  if (got < 0)
    return FALSE;
  if ((gsize)got < n) {
    fail_format (stream, error, _ ("%s: the file ends too early; it is incomplete, copy it again"));
    return FALSE;
  }
  return TRUE;
}

/* A packed part is read to be skipped, which takes its time: @progress is asked for a cancel, never set. */
gboolean
tess_stream_skip (TessStream *stream, guint64 n, TessProgress *progress, GError **error)
{
  g_autofree guint8 *scratch = NULL;

  if (n == 0)
    return TRUE;
  scratch = g_malloc ((gsize)MIN (n, (guint64)65536));
  while (n > 0) {
    gsize piece = (gsize)MIN (n, (guint64)65536);

    if (!tess_progress_check (progress, error) || !tess_stream_read_exact (stream, scratch, piece, error))
      return FALSE;
    n -= piece;
  }
  return TRUE;
}

guint64
tess_stream_file_size (TessStream *stream)
{
  return stream->file_size;
}

guint64
tess_stream_file_read (TessStream *stream)
{
  return tess_stream_is_taking (stream) ? tess_stream_taken (stream)
                                        : stream->file_read - (stream->end - stream->begin);
}

guint64
tess_stream_max_size (TessStream *stream)
{
  guint64 most = !tess_stream_is_packed (stream)               ? stream->file_size
                 : stream->file_size > G_MAXUINT64 / MAX_RATIO ? G_MAXUINT64
                                                               : stream->file_size * MAX_RATIO;

  return stream->expecting ? MIN (most, stream->expected) : most;
}

const char *
tess_stream_peek_path (TessStream *stream)
{
  return stream->path;
}
