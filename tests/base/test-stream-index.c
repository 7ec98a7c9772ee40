/* Large gzip files read a second time, with an index of the first; zlib (through GIO) makes them. What comes has to be
 * what was packed, whatever the index says. */
#include "../remove-tree.h"
#include "tess-atomic-file.h"
#include "tess-deflate.h"
#include "tess-parallel.h"
#include "tess-stream-index.h"
#include "tess-thread.h"

#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <isa-l/crc.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *folder;

#define ANY (-1)

typedef enum { NOISE, SMOOTH, MIXED } Kind;

/* NOISE: five bits a byte. SMOOTH: like a scan, 16-bit numbers. MIXED: all eight bits (which zlib stores), zeros and
 * noise by turns. */
static guint8 *
make_bytes (gsize n, Kind kind, guint32 seed)
{
  guint8 *data = g_malloc (n);

  for (gsize i = 0; i < n; i++) {
    gsize turn = i / 300000 % 3;

    seed = seed * 1664525u + 1013904223u;
    if (kind == NOISE)
      data[i] = (guint8)(seed >> 24 & 0x1f);
    else if (kind == SMOOTH)
      data[i] = i & 1 ? 3 : (guint8)(i / 1024 + (seed >> 30));
    else
      data[i] = turn == 0 ? (guint8)(seed >> 24) : turn == 1 ? 0 : (guint8)(seed >> 28);
  }
  return data;
}

static GByteArray *
run_converter (GConverter *converter, const guint8 *data, gsize n)
{
  GByteArray *out = g_byte_array_new ();
  g_autofree guint8 *piece = g_malloc (1 << 16);
  GConverterResult result;
  gsize used = 0;

  do {
    gsize in = 0, got = 0;
    g_autoptr (GError) error = NULL;

    result = g_converter_convert (converter, data + used, n - used, piece, 1 << 16, G_CONVERTER_INPUT_AT_END, &in, &got,
                                  &error);
    g_assert_no_error (error);
    used += in;
    g_byte_array_append (out, piece, (guint)got);
  } while (result != G_CONVERTER_FINISHED);
  return out;
}

static GByteArray *
zlib_gzip (const guint8 *data, gsize n, int level)
{
  g_autoptr (GZlibCompressor) c = g_zlib_compressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP, level);

  return run_converter (G_CONVERTER (c), data, n);
}

static char *
put (const char *name, const void *data, gsize n)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, data, (gssize)n, &error);
  g_assert_no_error (error);
  return path;
}

/* Of what is in the file now. */
static void
key_of (const char *path, TessStreamKey *key)
{
  int fd = open (path, O_RDONLY);
  struct stat info;

  g_assert_cmpint (fstat (fd, &info), ==, 0);
  g_assert_true (tess_stream_key_init (key, path, fd, 0, (guint64)info.st_size));
  close (fd);
}

static char *
index_file (const char *path)
{
  TessStreamKey key;
  char *file;

  key_of (path, &key);
  file = tess_stream_key_file (&key);
  tess_stream_key_clear (&key);
  return file;
}

static gboolean
has_index (const char *path)
{
  g_autofree char *file = index_file (path);

  return g_file_test (file, G_FILE_TEST_EXISTS);
}

static void
forget_index (const char *path)
{
  g_autofree char *file = index_file (path);

  g_unlink (file);
}

typedef struct {
  gsize head, promised, step; /* read before, announced, at a time */
  gboolean elsewhere;         /* what was announced is read to another place after all */
} Way;

static const Way PLAIN = {352, G_MAXSIZE, 1 << 20, FALSE};

/* All that is in the file, at most n bytes; NULL on failure. *helped: whether others inflated, too. */
static GByteArray *
slurp (const char *path, gsize n, Way way, gboolean *helped, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open (path, error);
  g_autofree guint8 *buffer = g_malloc0 (n + 1), *other = g_malloc (way.step);
  g_autoptr (TessStreamAhead) ahead = NULL;
  GByteArray *all;
  gsize at;
  gssize got;

  g_assert_nonnull (stream);
  *helped = FALSE;
  got = tess_stream_read (stream, buffer, MIN (way.head, n), error);
  if (got < 0)
    return NULL;
  at = (gsize)got;
  ahead = tess_stream_read_ahead (stream, buffer + at, MIN (way.promised, n - at));
  *helped = ahead != NULL;
  do {
    gsize most = MIN (way.step, n + 1 - at);

    got = tess_stream_read (stream, way.elsewhere ? other : buffer + at, most, error);
    if (got > 0 && way.elsewhere)
      memcpy (buffer + at, other, (gsize)got);
    at += (gsize)MAX (got, 0);
    g_assert_cmpuint (tess_stream_file_read (stream), <=, tess_stream_file_size (stream));
  } while (got > 0 && at <= n);
  g_clear_pointer (&ahead, tess_stream_ahead_free);
  if (got < 0)
    return NULL;
  all = g_byte_array_new ();
  g_byte_array_append (all, buffer, (guint)at);
  return all;
}

static void
assert_read (const char *path, const guint8 *data, gsize n, Way way, int wants_help)
{
  g_autoptr (GError) error = NULL;
  gboolean helped;
  g_autoptr (GByteArray) got = slurp (path, n, way, &helped, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (got->len, ==, n);
  g_assert_true (memcmp (got->data, data, n) == 0);
  g_assert_true (wants_help == ANY || helped == wants_help);
}

static guint32
trailer_crc (const GByteArray *packed)
{
  const guint8 *p = packed->data + packed->len - 8;

  return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

static void
test_combine (void)
{
  static const gsize sizes[] = {0, 1, 7, 255, 256, 40000, 65537};
  g_autofree guint8 *data = make_bytes (200000, MIXED, 1);

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    for (guint j = 0; j < G_N_ELEMENTS (sizes); j++) {
      g_autoptr (GByteArray) a = zlib_gzip (data, sizes[i], 1), b = zlib_gzip (data + sizes[i], sizes[j], 1);
      g_autoptr (GByteArray) both = zlib_gzip (data, sizes[i] + sizes[j], 1);

      g_assert_cmphex (tess_crc32_combine (trailer_crc (a), trailer_crc (b), sizes[j]), ==, trailer_crc (both));
    }
}

/* Stored, dynamic and mixed blocks; headers, ends and pieces of every length; read where they were announced or not. */
static void
test_equal (void)
{
  static const struct {
    int level;
    Kind kind;
    gsize n;
  } files[] = {{0, NOISE, (14 << 20) + 5},
               {1, NOISE, (17 << 20) + 4097},
               {6, NOISE, 14 << 20},
               {9, MIXED, 16 << 20},
               {6, SMOOTH, (39 << 20) + 1}};
  static const Way ways[] = {{352, G_MAXSIZE, 1 << 20, FALSE},
                             {0, G_MAXSIZE, 64 << 20, FALSE},
                             {5 << 20, G_MAXSIZE, 777777, FALSE},
                             {348, 13 << 20, 3 << 20, FALSE},
                             {1, (8 << 20) + 500000, 70001, TRUE}};

  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    gsize n = files[i].n;
    g_autofree guint8 *data = make_bytes (n, files[i].kind, i + 3);
    g_autoptr (GByteArray) packed = zlib_gzip (data, n, files[i].level);
    g_autofree char *path = put ("equal", packed->data, packed->len);

    g_assert_cmpuint (packed->len, >, 4 << 20);
    assert_read (path, data, n, PLAIN, FALSE);
    g_assert_true (has_index (path));
    for (guint k = 0; k < G_N_ELEMENTS (ways); k++)
      assert_read (path, data, n, ways[k], k < 2 ? TRUE : ANY); /* there may be too few points */
    g_assert_true (has_index (path));                           /* it was right: who finds it wrong removes it */
    forget_index (path);
  }
}

/* What our own writer makes, and a part of a file. */
static void
test_own_writer (void)
{
  gsize n = 24 << 20;
  g_autofree guint8 *data = make_bytes (n, SMOOTH, 8), *out = g_malloc (n);
  g_autofree char *path = g_build_filename (folder, "own", NULL), *part = NULL, *text = NULL;
  g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, TRUE, NULL);
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  gsize length;

  g_assert_true (tess_atomic_file_write (file, data, n, NULL) && tess_atomic_file_commit (file, NULL));
  assert_read (path, data, n, PLAIN, FALSE);
  g_assert_true (has_index (path));
  assert_read (path, data, n, PLAIN, TRUE);
  g_assert_true (has_index (path));

  g_assert_true (g_file_get_contents (path, &text, &length, NULL));
  g_byte_array_append (bytes, (const guint8 *)"NRRD0004\n\n", 10);
  g_byte_array_append (bytes, (const guint8 *)text, (guint)length);
  part = put ("part", bytes->data, bytes->len);
  for (int turn = 0; turn < 2; turn++) {
    g_autoptr (TessStream) stream = tess_stream_open_part (part, 10, G_MAXUINT64, TESS_PACKING_GZIP, NULL);
    g_autoptr (TessStreamAhead) ahead = tess_stream_read_ahead (stream, out, n);
    g_autoptr (GError) error = NULL;

    g_assert_cmpint (ahead != NULL, ==, turn);
    tess_stream_read_exact (stream, out, n, &error);
    g_assert_no_error (error);
    g_assert_true (memcmp (out, data, n) == 0);
    g_assert_cmpint (tess_stream_read (stream, out, 1, NULL), ==, 0);
    g_clear_pointer (&ahead, tess_stream_ahead_free);
  }
}

typedef struct {
  GByteArray *bytes;
  guint64 held;
  guint n_held;
} Bits;

static void
put_bits (Bits *bits, guint value, guint n)
{
  bits->held |= (guint64)value << bits->n_held;
  for (bits->n_held += n; bits->n_held >= 8; bits->n_held -= 8, bits->held >>= 8)
    g_byte_array_append (bits->bytes, &(guint8){(guint8)bits->held}, 1);
}

/* Literals below 144 in blocks of the fixed code (RFC 1951, 3.2.6), which zlib's levels seldom make, of so many bytes;
 * zlib is asked whether that is right. */
static void
test_fixed (void)
{
  static const gsize block_sizes[] = {40, 20000, 100 << 20};
  gsize n = 12 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 6);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 1);

  for (guint i = 0; i < G_N_ELEMENTS (block_sizes); i++) {
    Bits bits = {.bytes = g_byte_array_new ()};
    g_autoptr (GByteArray) file = bits.bytes, again = NULL;
    g_autoptr (GZlibDecompressor) zlib = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
    g_autofree char *path = NULL;
    gboolean indexed;

    g_byte_array_append (file, packed->data, 10);
    for (gsize at = 0; at < n; at += MIN (block_sizes[i], n - at)) {
      gsize end = at + MIN (block_sizes[i], n - at);

      put_bits (&bits, end == n ? 3 : 2, 3);
      for (gsize k = at; k < end; k++) {
        guint code = 0x30 + data[k], turned = 0;

        for (guint b = 0; b < 8; b++)
          turned |= (code >> b & 1) << (7 - b);
        put_bits (&bits, turned, 8);
      }
      put_bits (&bits, 0, 7);
    }
    put_bits (&bits, 0, 7);
    g_byte_array_append (file, packed->data + packed->len - 8, 8);
    again = run_converter (G_CONVERTER (zlib), file->data, file->len);
    g_assert_cmpmem (again->data, again->len, data, n);
    path = put ("fixed", file->data, file->len);
    assert_read (path, data, n, PLAIN, FALSE);
    indexed = has_index (path); /* only when it met the boundary by chance */
    if (indexed) {
      g_autoptr (GError) error = NULL;
      gboolean helped;
      g_autoptr (GByteArray) got = slurp (path, n, PLAIN, &helped, &error);

      g_assert_no_error (error);
      g_assert_cmpmem (got->data, got->len, data, n);
      g_assert_true (has_index (path));
    }
    forget_index (path);
  }
}

/* Small files and those of several members have no index; threads are asked only where there may be some. */
static void
test_none (void)
{
  gsize n = 14 << 20;
  g_autofree guint8 *data = make_bytes (2 * n, NOISE, 2);
  g_autoptr (GByteArray) tiny = zlib_gzip (data, 10000, 6), one = zlib_gzip (data, n, 0);
  g_autoptr (GByteArray) two = zlib_gzip (data + n, n, 0), both = g_byte_array_new ();
  g_autofree char *small = put ("tiny", tiny->data, tiny->len), *members = NULL, *single = NULL;

  assert_read (small, data, 10000, PLAIN, FALSE);
  g_assert_false (has_index (small));
  g_byte_array_append (both, one->data, one->len);
  g_byte_array_append (both, two->data, two->len);
  members = put ("members", both->data, both->len);
  for (int turn = 0; turn < 2; turn++) {
    assert_read (members, data, 2 * n, PLAIN, FALSE);
    g_assert_false (has_index (members));
  }
  g_byte_array_set_size (both, one->len);
  g_byte_array_append (both, (const guint8 *)"\0\0\0\0\0\0\0", 7); /* padding is no member */
  single = put ("padded", both->data, both->len);
  assert_read (single, data, n, PLAIN, FALSE);
  assert_read (single, data, n, PLAIN, TRUE);
  tess_parallel_set_threads (1);
  assert_read (single, data, n, PLAIN, FALSE);
  tess_parallel_set_threads (2);
  g_assert_true (has_index (single));
}

static void
set_number (guint8 *at, guint64 value)
{
  for (guint i = 0; i < 8; i++)
    at[i] = (guint8)(value >> 8 * i);
}

/* Offsets in the file of an index: the number of points and the first point. */
#define AT_N 64
#define AT_FIRST 72

/* Every byte that counts is changed, with a wrong checksum and with a right one. */
static void
test_damaged_index (void)
{
  gsize n = 16 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 4);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 1);
  g_autofree char *path = put ("damaged-index", packed->data, packed->len), *file = index_file (path), *good = NULL;
  gsize length;

  assert_read (path, data, n, PLAIN, FALSE);
  g_assert_true (g_file_get_contents (file, &good, &length, NULL));
  for (guint i = 0; i < 44; i++) {
    g_autofree guint8 *bad = g_memdup2 (good, length + 1);
    gsize m = length, at = i < 14 ? AT_N + 2 * i : i < 24 ? i * length / 24 : 0;
    guint32 crc;
    g_autoptr (GError) error = NULL;
    gboolean helped;
    g_autoptr (GByteArray) got = NULL;

    if (i < 24)
      bad[at] ^= 1 << i % 8;
    else if (i < 28)
      m = length * (i - 24) / 4;
    else if (i < 31)
      set_number (bad + AT_N, i == 28 ? 0 : i == 29 ? G_MAXUINT64 : 1);
    else if (i < 34)
      set_number (bad + AT_FIRST, i == 31 ? 0 : i == 32 ? G_MAXUINT64 : 8 * (guint64)packed->len - 1);
    else if (i < 37)
      set_number (bad + AT_FIRST + 8, i == 34 ? G_MAXINT64 : i == 35 ? G_MAXUINT64 : 5 << 20);
    else if (i < 40)
      memset (bad + AT_FIRST + 16, i == 37 ? 0 : 0xff, i == 38 ? 2 : 4); /* length of a window */
    else
      memset (bad + length / 2, (int)i, 200);
    if (i % 3 > 0 && m >= 4) {
      crc = crc32_gzip_refl (0, bad, m - 4);
      for (guint k = 0; k < 4; k++)
        bad[m - 4 + k] = (guint8)(crc >> 8 * k);
    }
    g_assert_true (g_file_set_contents (file, (const char *)bad, (gssize)m, NULL));
    got = slurp (path, n, PLAIN, &helped, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (got->len, ==, n);
    g_assert_true (memcmp (got->data, data, n) == 0);
  }
}

/* Right in all but the bytes before one of the points. */
static void
test_wrong_window (void)
{
  gsize n = 15 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 16), *window = g_malloc (TESS_STREAM_WINDOW);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 6);
  g_autofree char *path = put ("window", packed->data, packed->len);
  g_autoptr (TessStreamIndex) good = NULL;
  TessStreamKey key;

  key_of (path, &key);
  assert_read (path, data, n, PLAIN, FALSE);
  good = tess_stream_index_load (&key);
  g_assert_cmpuint (tess_stream_index_n (good), ==, 3);
  for (guint wrong = 0; wrong < 3; wrong++) {
    g_autoptr (TessStreamIndex) bad = tess_stream_index_new ();

    for (guint i = 0; i < 3; i++) {
      const TessStreamPoint *point = tess_stream_index_point (good, i);

      g_assert_true (tess_stream_index_window (good, i, window));
      g_assert_cmpmem (window, TESS_STREAM_WINDOW, data + point->out - TESS_STREAM_WINDOW, TESS_STREAM_WINDOW);
      for (gsize k = 0; k < TESS_STREAM_WINDOW && i == wrong; k++)
        window[k] ^= 1;
      tess_stream_index_add (bad, point->bit, point->out, window);
    }
    g_assert_true (tess_stream_index_save (bad, &key));
    assert_read (path, data, n, PLAIN, TRUE);
    g_assert_false (has_index (path));
  }
  tess_stream_key_clear (&key);
}

/* Saves what the index of `from` says as that of `to`. */
static void
lend_index (const char *from, const char *to)
{
  TessStreamKey key, other;
  g_autoptr (TessStreamIndex) index = NULL;

  key_of (from, &key);
  index = tess_stream_index_load (&key);
  g_assert_nonnull (index);
  key_of (to, &other);
  g_assert_true (tess_stream_index_save (index, &other));
  tess_stream_key_clear (&key);
  tess_stream_key_clear (&other);
}

/* Another file under the same name: one that its key tells from the old one, and one that it does not. */
static void
test_changed (void)
{
  gsize n = 14 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 12), *other = g_memdup2 (data, n);

  for (gsize i = 3 << 20; i < n; i += 10000)
    other[i] ^= 1;
  for (int level = 0; level <= 1; level++) {
    g_autoptr (GByteArray) packed = zlib_gzip (data, n, level), changed = zlib_gzip (other, n, level);
    g_autofree char *path = put ("changed", packed->data, packed->len), *second = NULL;

    assert_read (path, data, n, PLAIN, FALSE);
    g_assert_true (has_index (path));
    second = put ("changed", changed->data, changed->len);
    assert_read (path, other, n, PLAIN, FALSE); /* not the index's: a new one is made */
    assert_read (path, other, n, PLAIN, TRUE);
    g_clear_pointer (&second, g_free);

    second = put ("changed-2", packed->data, packed->len);
    lend_index (path, second);
    assert_read (second, data, n, PLAIN, TRUE);
    g_assert_false (has_index (second)); /* found wrong on the way */
    forget_index (path);
  }
}

/* With an index of the whole file or without: the same sentence, the same bytes before it. */
static void
test_damaged_file (void)
{
  gsize n = 15 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 13);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 6);
  g_autofree char *whole = put ("whole", packed->data, packed->len);

  assert_read (whole, data, n, PLAIN, FALSE);
  for (guint i = 0; i < 26; i++) {
    g_autofree guint8 *bad = g_memdup2 (packed->data, packed->len);
    gsize m = i < 16 ? packed->len : packed->len - (i < 20 ? i - 15 : packed->len / 10 * (i - 19));
    g_autoptr (GError) without = NULL, with = NULL;
    g_autofree char *path = NULL;
    gboolean helped;

    if (i < 8)
      bad[packed->len - 8 + i] ^= 0x10; /* checksum and length */
    else if (i < 16)
      bad[packed->len / 8 * (i - 8) + 100000] ^= 1 << i % 8;
    path = put ("damaged", bad, m);
    g_assert_null (slurp (path, n, PLAIN, &helped, &without));
    g_assert_error (without, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_false (helped || has_index (path)); /* none is made of what is damaged */
    lend_index (whole, path);
    g_assert_null (slurp (path, n, PLAIN, &helped, &with));
    g_assert_error (with, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_cmpstr (with->message, ==, without->message);
    g_assert_true (helped || m < packed->len);
    forget_index (path);
  }
}

/* Given up at every stage; the buffer is gone right after. */
static void
test_given_up (void)
{
  gsize n = 24 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 14);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 0);
  g_autofree char *path = put ("given-up", packed->data, packed->len);

  assert_read (path, data, n, PLAIN, FALSE);
  for (gsize read = 0; read <= n; read += 3 << 20) {
    g_autoptr (TessStream) stream = tess_stream_open (path, NULL);
    guint8 *buffer = g_malloc (n);
    TessStreamAhead *ahead = tess_stream_read_ahead (stream, buffer, n);

    g_assert_nonnull (ahead);
    g_assert_true (tess_stream_read_exact (stream, buffer, read, NULL));
    g_assert_true (memcmp (buffer, data, read) == 0);
    tess_stream_ahead_free (ahead);
    g_free (buffer);
  }
  g_assert_true (has_index (path));
}

/* The folder keeps what was used last. */
static void
test_budget (void)
{
  gsize n = 14 << 20;
  g_autofree guint8 *data = make_bytes (n, NOISE, 15);
  g_autoptr (GByteArray) packed = zlib_gzip (data, n, 0);
  g_autofree char *path = put ("budget", packed->data, packed->len), *file = index_file (path);
  g_autofree char *dir = g_path_get_dirname (file), *old = g_build_filename (dir, "old.points", NULL);
  g_autofree char *torn = g_build_filename (dir, "torn.points.AbCdEf", NULL),
                  *mine = g_build_filename (dir, "mine", NULL);
  struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
  struct stat info;

  g_assert_cmpint (g_mkdir_with_parents (dir, 0700), ==, 0);
  g_assert_true (g_file_set_contents (old, "", 0, NULL) && g_file_set_contents (torn, "", 0, NULL) &&
                 g_file_set_contents (mine, "", 0, NULL));
  g_assert_cmpint (truncate (old, (off_t)TESS_STREAM_INDEX_BUDGET), ==, 0); /* a hole: takes no space */
  g_assert_cmpint (truncate (mine, (off_t)TESS_STREAM_INDEX_BUDGET), ==, 0);
  g_assert_cmpint (utimensat (AT_FDCWD, old, long_ago, 0), ==, 0);
  long_ago[1].tv_sec = 500;
  g_assert_cmpint (utimensat (AT_FDCWD, torn, long_ago, 0), ==, 0);
  assert_read (path, data, n, PLAIN, FALSE);
  g_assert_true (has_index (path));
  g_assert_false (g_file_test (old, G_FILE_TEST_EXISTS) || g_file_test (torn, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (mine, G_FILE_TEST_EXISTS)); /* none of ours */
  g_assert_cmpint (stat (file, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0600);
  g_assert_cmpint (utimensat (AT_FDCWD, file, long_ago, 0), ==, 0);
  assert_read (path, data, n, PLAIN, TRUE);
  g_assert_cmpint (stat (file, &info), ==, 0);
  g_assert_cmpint (info.st_mtim.tv_sec, >, 1000); /* used just now */
  g_unlink (mine);
  forget_index (path);

  g_assert_cmpint (g_rmdir (dir), ==, 0);
  g_assert_true (g_file_set_contents (dir, "", 0, NULL)); /* no folder to be had: reading goes on */
  assert_read (path, data, n, PLAIN, FALSE);
  assert_read (path, data, n, PLAIN, FALSE);
  g_unlink (dir);
}

int
main (int argc, char **argv)
{
  g_autofree char *cache = NULL;
  int result;

  folder = g_dir_make_tmp ("tess-index-XXXXXX", NULL);
  cache = g_build_filename (folder, "cache", NULL);
  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  tess_parallel_set_threads (2);
  g_test_add_func ("/base/stream-index/combine", test_combine);
  g_test_add_func ("/base/stream-index/budget", test_budget); /* first: it wants the folder for itself */
  g_test_add_func ("/base/stream-index/equal", test_equal);
  g_test_add_func ("/base/stream-index/own-writer", test_own_writer);
  g_test_add_func ("/base/stream-index/fixed", test_fixed);
  g_test_add_func ("/base/stream-index/none", test_none);
  g_test_add_func ("/base/stream-index/damaged-index", test_damaged_index);
  g_test_add_func ("/base/stream-index/wrong-window", test_wrong_window);
  g_test_add_func ("/base/stream-index/changed", test_changed);
  g_test_add_func ("/base/stream-index/damaged-file", test_damaged_file);
  g_test_add_func ("/base/stream-index/given-up", test_given_up);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
