#include "tess-stream-index.h"
#include "tess-deflate.h"
#include "tess-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <isa-l/crc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The file, all numbers little-endian: the magic with a version, the key (u64 offset, u64 bytes, i64 mtime, sample),
 * u64 number of points; of each point u64 bit, u64 out, u32 length of its window and the window as a zlib stream; the
 * CRC-32 of all that. Another version is another magic. */

#define MAGIC "TESSGZI\1"
#define N_HEADER ((gsize)(8 + 8 + 8 + 8 + 32 + 8))
#define N_POINT ((gsize)20)
#define MOST_BYTES (TESS_STREAM_INDEX_BUDGET / 4) /* of one index */
#define SAMPLE ((gsize)4096)                      /* bytes looked at, at the start, in the middle and at the end */
#define ENDING ".points"

struct _TessStreamIndex {
  GArray *points;
  GByteArray *blob; /* where the windows are */
};

/* --- whose it is -------------------------------------------------------------------------------------------------- */

/* FALSE when the file cannot be asked; then there is no index of it. */
gboolean
tess_stream_key_init (TessStreamKey *key, const char *path, int fd, guint64 offset, guint64 n_bytes)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  const guint64 places[3] = {0, n_bytes / 2, n_bytes - MIN (n_bytes, SAMPLE)};
  gsize n_sum = sizeof key->sample;
  guint8 bytes[SAMPLE];
  struct stat info;

  if (fstat (fd, &info) != 0)
    return FALSE;
  for (guint i = 0; i < 3; i++) {
    gssize got = pread (fd, bytes, (gsize)MIN (n_bytes, SAMPLE), (off_t)(offset + places[i]));

    if (got < 0)
      return FALSE;
    g_checksum_update (sum, bytes, got);
  }
  key->path = g_canonicalize_filename (path, NULL);
  key->offset = offset;
  key->n_bytes = n_bytes;
  key->mtime = (gint64)info.st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + info.st_mtim.tv_nsec;
  g_checksum_get_digest (sum, key->sample, &n_sum);
  return TRUE;
}

void
tess_stream_key_clear (TessStreamKey *key)
{
  g_clear_pointer (&key->path, g_free);
}

static char *
index_folder (void)
{
  return g_build_filename (g_get_user_cache_dir (), "tessera", "gzip", NULL);
}

char *
tess_stream_key_file (const TessStreamKey *key)
{
  g_autofree char *folder = index_folder (), *what = g_strdup_printf ("%s\n%" PRIu64, key->path, key->offset);
  g_autofree char *sum = g_compute_checksum_for_string (G_CHECKSUM_SHA256, what, -1);
  g_autofree char *name = g_strconcat (sum, ENDING, NULL);

  return g_build_filename (folder, name, NULL);
}

/* --- points ------------------------------------------------------------------------------------------------------- */

TessStreamIndex *
tess_stream_index_new (void)
{
  TessStreamIndex *index = g_new0 (TessStreamIndex, 1);

  index->points = g_array_new (FALSE, FALSE, sizeof (TessStreamPoint));
  index->blob = g_byte_array_new ();
  return index;
}

void
tess_stream_index_free (TessStreamIndex *index)
{
  if (!index)
    return;
  g_array_unref (index->points);
  g_byte_array_unref (index->blob);
  g_free (index);
}

/* @window: the TESS_STREAM_WINDOW bytes of contents before @out. What would make the index too large is left out. */
void
tess_stream_index_add (TessStreamIndex *index, guint64 bit, guint64 out, const guint8 *window)
{
  gsize room = tess_zlib_bound (TESS_STREAM_WINDOW);
  g_autofree guint8 *packed = g_malloc (room);
  TessStreamPoint point = {.bit = bit, .out = out, .window = index->blob->len};

  point.n_window = tess_zlib_pack (window, TESS_STREAM_WINDOW, packed, room);
  if (point.n_window == 0 || index->blob->len + room + N_POINT * (index->points->len + 1) + N_HEADER > MOST_BYTES)
    return;
  g_byte_array_append (index->blob, packed, (guint)point.n_window);
  g_array_append_val (index->points, point);
}

guint
tess_stream_index_n (const TessStreamIndex *index)
{
  return index->points->len;
}

const TessStreamPoint *
tess_stream_index_point (const TessStreamIndex *index, guint i)
{
  return &g_array_index (index->points, TessStreamPoint, i);
}

gboolean
tess_stream_index_window (const TessStreamIndex *index, guint i, guint8 *window)
{
  const TessStreamPoint *point = tess_stream_index_point (index, i);

  return tess_zlib_unpack (index->blob->data + point->window, point->n_window, window, TESS_STREAM_WINDOW);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
put_number (GByteArray *bytes, guint64 value, guint n)
{
  guint8 raw[8];

  for (guint i = 0; i < n; i++)
    raw[i] = (guint8)(value >> 8 * i);
  g_byte_array_append (bytes, raw, n);
}

static void
put_header (GByteArray *bytes, const TessStreamKey *key)
{
  g_byte_array_append (bytes, (const guint8 *)MAGIC, 8);
  put_number (bytes, key->offset, 8);
  put_number (bytes, key->n_bytes, 8);
  put_number (bytes, (guint64)key->mtime, 8);
  g_byte_array_append (bytes, key->sample, sizeof key->sample);
}

static gboolean
write_all (int fd, const guint8 *data, gsize n)
{
  while (n > 0) {
    gssize written = write (fd, data, n);

    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return FALSE;
    data += written;
    n -= (gsize)written;
  }
  return TRUE;
}

typedef struct {
  char *path;
  gint64 used;
  guint64 n_bytes;
} Kept;

static void
kept_free (gpointer data)
{
  Kept *kept = data;

  g_free (kept->path);
  g_free (kept);
}

static gint
compare_used (gconstpointer a, gconstpointer b)
{
  const Kept *x = *(const Kept *const *)a, *y = *(const Kept *const *)b;

  return (x->used > y->used) - (x->used < y->used);
}

/* Removes what has not been used for longest until the folder is within its budget. */
static void
evict (const char *folder)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (kept_free);
  guint64 total = 0;
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);
    struct stat info;
    Kept *kept;

    if (!strstr (name, ENDING) || lstat (path, &info) != 0 || !S_ISREG (info.st_mode))
      continue;
    kept = g_new (Kept, 1);
    *kept = (Kept){g_steal_pointer (&path),
                   (gint64)info.st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + info.st_mtim.tv_nsec,
                   (guint64)info.st_size};
    total += kept->n_bytes;
    g_ptr_array_add (files, kept);
  }
  g_ptr_array_sort (files, compare_used);
  for (guint i = 0; i < files->len && total > TESS_STREAM_INDEX_BUDGET; i++) {
    const Kept *kept = g_ptr_array_index (files, i);

    if (g_unlink (kept->path) == 0)
      total -= kept->n_bytes;
  }
}

/**
 * tess_stream_index_save:
 *
 * Writes beside the target and renames, without waiting for the disk: a file that a power cut tears has a wrong
 * checksum and is ignored. FALSE where it cannot be written, which harms nobody.
 */
gboolean
tess_stream_index_save (const TessStreamIndex *index, const TessStreamKey *key)
{
  g_autofree char *path = tess_stream_key_file (key), *folder = g_path_get_dirname (path);
  g_autofree char *temporary = g_strconcat (path, ".XXXXXX", NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gboolean written;
  int fd;

  put_header (bytes, key);
  put_number (bytes, index->points->len, 8);
  for (guint i = 0; i < index->points->len; i++) {
    const TessStreamPoint *point = tess_stream_index_point (index, i);

    put_number (bytes, point->bit, 8);
    put_number (bytes, point->out, 8);
    put_number (bytes, point->n_window, 4);
    g_byte_array_append (bytes, index->blob->data + point->window, (guint)point->n_window);
  }
  put_number (bytes, crc32_gzip_refl (0, bytes->data, bytes->len), 4);
  if (g_mkdir_with_parents (folder, 0700) != 0)
    return FALSE;
  fd = g_mkstemp_full (temporary, O_WRONLY | O_CLOEXEC, 0600);
  if (fd < 0)
    return FALSE;
  written = write_all (fd, bytes->data, bytes->len);
  written = close (fd) == 0 && written;
  if (!written || g_rename (temporary, path) != 0) {
    g_unlink (temporary);
    return FALSE;
  }
  evict (folder);
  return TRUE;
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static guint64
get_number (const guint8 *bytes, guint n)
{
  guint64 value = 0;

  for (guint i = 0; i < n; i++)
    value |= (guint64)bytes[i] << 8 * i;
  return value;
}

/* NULL when it cannot be read or is longer than any that we write. */
static GByteArray *
read_file (const char *path)
{
  g_autoptr (TessStream) stream = tess_stream_open_part (path, 0, G_MAXUINT64, TESS_PACKING_NONE, NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gsize n;

  if (!stream || tess_stream_file_size (stream) > MOST_BYTES)
    return NULL;
  n = (gsize)tess_stream_file_size (stream);
  g_byte_array_set_size (bytes, (guint)n);
  return n >= N_HEADER + 4 && tess_stream_read_exact (stream, bytes->data, n, NULL) ? g_steal_pointer (&bytes) : NULL;
}

/* Points go forward, in the file and in the contents, and their windows lie within the file. */
static gboolean
parse_points (TessStreamIndex *index, guint64 n_bytes)
{
  const guint8 *bytes = index->blob->data;
  gsize at = N_HEADER, end = index->blob->len - 4;
  guint64 n = get_number (bytes + N_HEADER - 8, 8);
  TessStreamPoint last = {0};

  for (guint64 i = 0; i < n; i++) {
    TessStreamPoint point;

    if (end - at < N_POINT)
      return FALSE;
    point.bit = get_number (bytes + at, 8);
    point.out = get_number (bytes + at + 8, 8);
    point.n_window = (gsize)get_number (bytes + at + 16, 4);
    at += N_POINT;
    point.window = at;
    if (point.n_window > end - at || point.bit <= last.bit || point.bit / 8 >= n_bytes || point.out > G_MAXINT64 ||
        point.out < last.out + TESS_STREAM_MIN_PIECE)
      return FALSE;
    at += point.n_window;
    g_array_append_val (index->points, point);
    last = point;
  }
  return at == end;
}

TessStreamIndex *
tess_stream_index_load (const TessStreamKey *key)
{
  g_autofree char *path = tess_stream_key_file (key);
  g_autoptr (TessStreamIndex) index = NULL;
  g_autoptr (GByteArray) bytes = read_file (path), header = g_byte_array_new ();

  if (!bytes)
    return NULL;
  put_header (header, key);
  if (memcmp (bytes->data, header->data, header->len) != 0 ||
      get_number (bytes->data + bytes->len - 4, 4) != crc32_gzip_refl (0, bytes->data, bytes->len - 4))
    return NULL;
  index = g_new0 (TessStreamIndex, 1);
  index->points = g_array_new (FALSE, FALSE, sizeof (TessStreamPoint));
  index->blob = g_steal_pointer (&bytes);
  if (!parse_points (index, key->n_bytes))
    return NULL;
  utimensat (AT_FDCWD, path, NULL, 0); /* used just now */
  return g_steal_pointer (&index);
}
