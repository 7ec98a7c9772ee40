/* TessStream and TessAtomicFile; zlib (through GIO) is the independent other side of gzip. */
#include "../remove-tree.h"
#include "tess-atomic-file.h"
#include "tess-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <signal.h>
#include <unistd.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

/* Bytes that compress a little. */
static GBytes *
make_bytes (gsize n, guint32 seed)
{
  guint8 *data = g_malloc (n);

  for (gsize i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = (guint8)((seed >> 24) & 0x1f);
  }
  return g_bytes_new_take (data, n);
}

static GByteArray *
run_converter (GConverter *converter, const guint8 *data, gsize n)
{
  GByteArray *out = g_byte_array_new ();
  g_autofree guint8 *piece = g_malloc (1 << 16);
  gsize used = 0;
  GConverterResult result;

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

static void
put (const char *path, const void *data, gsize n)
{
  g_autoptr (GError) error = NULL;

  g_file_set_contents (path, data, (gssize)n, &error);
  g_assert_no_error (error);
}

/* Reads everything in pieces of `step`; NULL on failure. */
static GByteArray *
slurp (const char *path, gsize step, GError **error)
{
  g_autoptr (TessStream) stream = tess_stream_open (path, error);
  g_autoptr (GByteArray) all = g_byte_array_new ();
  g_autofree guint8 *piece = g_malloc (step);
  gssize got;

  if (!stream)
    return NULL;
  do {
    got = tess_stream_read (stream, piece, step, error);
    if (got > 0)
      g_byte_array_append (all, piece, (guint)got);
  } while (got > 0);
  if (got < 0)
    return NULL;
  g_assert_cmpuint (tess_stream_file_read (stream), <=, tess_stream_file_size (stream));
  return g_steal_pointer (&all);
}

static void
assert_same (GByteArray *got, const guint8 *data, gsize n)
{
  g_assert_nonnull (got);
  g_assert_cmpmem (got->data, got->len, data, n);
}

static void
test_plain (void)
{
  g_autofree char *path = in_folder ("plain");
  g_autoptr (GBytes) bytes = make_bytes (3 << 20, 1);
  static const gsize steps[] = {1000, 1 << 16, (1 << 20) + 7, 4 << 20};
  guint8 piece[100];
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessStream) stream = NULL;
  g_autoptr (TessProgress) cancelled = tess_progress_new ();

  put (path, data, n);
  for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
    g_autoptr (GByteArray) got = slurp (path, steps[i], &error);

    g_assert_no_error (error);
    assert_same (got, data, n);
  }
  stream = tess_stream_open (path, &error);
  g_assert_false (tess_stream_is_packed (stream));
  g_assert_cmpuint (tess_stream_max_size (stream), ==, n);
  g_assert_true (tess_stream_skip (stream, 2 << 20, NULL, &error) &&
                 tess_stream_read_exact (stream, piece, 100, &error));
  g_assert_cmpmem (piece, 100, data + (2 << 20), 100);
  tess_progress_cancel (cancelled);
  g_assert_false (tess_stream_skip (stream, 1, cancelled, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_false (tess_stream_skip (stream, 1 << 20, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
}

static void
test_gzip (void)
{
  g_autofree char *path = in_folder ("packed");
  g_autoptr (GBytes) bytes = make_bytes ((2 << 20) + 333, 2);
  static const gsize steps[] = {997, 1 << 16, 8 << 20};
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);

  for (int level = 0; level <= 9; level += 3) {
    g_autoptr (GByteArray) packed = zlib_gzip (data, n, level);

    put (path, packed->data, packed->len);
    for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (GByteArray) got = slurp (path, steps[i], &error);

      g_assert_no_error (error);
      assert_same (got, data, n);
    }
  }
}

/* So large that another thread reads the packed bytes: whole, two members, a part, cut, damaged, given up. */
static void
test_gzip_large (void)
{
  g_autofree char *path = in_folder ("large"), *twice = in_folder ("twice"), *cut = in_folder ("cut");
  g_autoptr (GBytes) bytes = make_bytes (14 << 20, 5);
  g_autoptr (GByteArray) packed = NULL, both = g_byte_array_new (), got = NULL;
  g_autofree guint8 *piece = g_malloc (2 << 20);
  g_autoptr (TessStream) left = NULL, part = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;
  const guint8 *data = g_bytes_get_data (bytes, &n);

  packed = zlib_gzip (data, n, 0);
  g_byte_array_append (both, packed->data, packed->len);
  g_byte_array_append (both, packed->data, packed->len);
  put (path, packed->data, packed->len);
  put (twice, both->data, both->len);
  put (cut, packed->data, packed->len - (3 << 20));
  for (gsize step = 4097; step < 64 << 20; step *= 33) {
    g_autoptr (GByteArray) one = slurp (path, step, &error), two = slurp (twice, step, &error);

    g_assert_no_error (error);
    assert_same (one, data, n);
    g_assert_cmpuint (two->len, ==, 2 * n);
    g_assert_cmpmem (two->data, n, data, n);
    g_assert_cmpmem (two->data + n, n, data, n);
    g_assert_null (slurp (cut, step, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_clear_error (&error);
  }
  part = tess_stream_open_part (twice, packed->len, packed->len - (1 << 20), TESS_PACKING_GZIP, &error);
  g_assert_no_error (error);
  for (gsize at = 0; at < 12 << 20; at += 2 << 20) {
    g_assert_true (tess_stream_read_exact (part, piece, 2 << 20, &error));
    g_assert_cmpmem (piece, 2 << 20, data + at, 2 << 20);
  }
  g_assert_false (tess_stream_read_exact (part, piece, 2 << 20, &error)); /* what follows the part is not its own */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_cmpuint (tess_stream_file_read (part), ==, tess_stream_file_size (part));
  g_clear_error (&error);
  g_assert_cmpint (tess_stream_read (part, piece, 1, &error), ==, -1); /* nor later */
  g_clear_error (&error);
  left = tess_stream_open (path, &error);
  g_assert_true (tess_stream_read_exact (left, piece, 2 << 20, &error)); /* freed half-way */
  packed->data[packed->len - 20] ^= 1;
  put (path, packed->data, packed->len);
  g_assert_null (slurp (path, 1 << 20, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
}

/* Members end at every place relative to the read buffer of 1 MiB, and within each other. */
/* A part of a file, packed in each way GIO can make. */
static void
test_part (void)
{
  static const struct {
    GZlibCompressorFormat format;
    TessPacking packing;
  } packings[] = {{G_ZLIB_COMPRESSOR_FORMAT_ZLIB, TESS_PACKING_ZLIB},
                  {G_ZLIB_COMPRESSOR_FORMAT_RAW, TESS_PACKING_DEFLATE},
                  {G_ZLIB_COMPRESSOR_FORMAT_GZIP, TESS_PACKING_GZIP}};
  const gsize n = 3000000;
  g_autofree guint8 *data = g_malloc (n), *out = g_malloc (n + 1);

  for (gsize i = 0; i < n; i++)
    data[i] = (guint8)((i * i) >> 7);
  for (guint i = 0; i <= G_N_ELEMENTS (packings); i++) {
    gboolean plain = i == G_N_ELEMENTS (packings);
    TessPacking packing = plain ? TESS_PACKING_NONE : packings[i].packing;
    g_autoptr (GByteArray) file = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    g_autofree char *path = in_folder ("part");
    gsize length = n;

    g_byte_array_append (file, (const guint8 *)"header!", 7);
    if (plain) {
      g_byte_array_append (file, data, n);
    } else {
      g_autoptr (GZlibCompressor) compressor = g_zlib_compressor_new (packings[i].format, 6);
      g_autoptr (GByteArray) packed = run_converter (G_CONVERTER (compressor), data, n);

      g_byte_array_append (file, packed->data, packed->len);
      length = file->len - 7;
    }
    g_byte_array_append (file, (const guint8 *)"\x1f\x8b trailer", 10);
    put (path, file->data, file->len);
    {
      g_autoptr (TessStream) stream = tess_stream_open_part (path, 7, length, packing, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (tess_stream_file_size (stream), ==, length);
      g_assert_cmpint (tess_stream_read (stream, out, n + 1, &error), ==, (gssize)n);
      g_assert_no_error (error);
      g_assert_cmpmem (out, n, data, n);
    }
    if (!plain) { /* cut short */
      g_autoptr (TessStream) stream = tess_stream_open_part (path, 7, length - 5, packing, &error);

      g_assert_no_error (error);
      if (tess_stream_read (stream, out, n, &error) == (gssize)n)
        g_assert_cmpint (tess_stream_read (stream, out, 1, &error), ==, -1);
      g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
      g_clear_error (&error);
    }
    g_assert_null (tess_stream_open_part (path, file->len + 1, 1, packing, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_unlink (path);
  }
}

static void
test_members (void)
{
  g_autofree char *path = in_folder ("members");
  g_autoptr (GByteArray) file = g_byte_array_new (), plain = g_byte_array_new ();
  guint32 seed = 9;

  for (int i = 0; i < 300; i++) {
    gsize n = (gsize)(i * 37 % 4000);
    g_autoptr (GBytes) bytes = make_bytes (n, seed++);
    const guint8 *data = n ? g_bytes_get_data (bytes, NULL) : (const guint8 *)"";
    g_autoptr (GByteArray) packed = zlib_gzip (data, n, i % 10);

    g_byte_array_append (plain, data, (guint)n);
    g_byte_array_append (file, packed->data, packed->len);
  }
  g_byte_array_append (file, (const guint8 *)"\0\0\0\0\0\0\0", 7); /* padding */
  put (path, file->data, file->len);
  for (gsize step = 1; step < 100000; step = step * 9 + 1) {
    g_autoptr (GError) error = NULL;
    g_autoptr (GByteArray) got = slurp (path, step, &error);

    g_assert_no_error (error);
    assert_same (got, plain->data, plain->len);
  }
}

static void
test_member_at_buffer_end (void)
{
  g_autofree char *path = in_folder ("edge");
  guint8 tail[] = "second member";
  g_autoptr (GByteArray) second = zlib_gzip (tail, sizeof tail, 6);
  gsize n = (1 << 20) - 1000;
  g_autoptr (GBytes) bytes = make_bytes (n, 4);
  g_autoptr (GByteArray) first = zlib_gzip (g_bytes_get_data (bytes, NULL), n, 0);

  for (int offset = -30; offset <= 12; offset++) {
    /* The first member ends `offset` bytes behind the end of the first buffer; the name in its header pads it. */
    gsize pad = (gsize)((1 << 20) + offset) - first->len;
    g_autofree guint8 *name = g_malloc0 (pad);
    g_autoptr (GByteArray) file = g_byte_array_new (), got = NULL;
    g_autoptr (GError) error = NULL;

    memset (name, 'n', pad - 1);
    g_byte_array_append (file, first->data, 10);
    file->data[3] |= 8; /* FNAME */
    g_byte_array_append (file, name, (guint)pad);
    g_byte_array_append (file, first->data + 10, first->len - 10);
    g_assert_cmpuint (file->len, ==, (1 << 20) + offset);
    g_byte_array_append (file, second->data, second->len);
    put (path, file->data, file->len);
    got = slurp (path, 50000, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (got->len, ==, n + sizeof tail);
    g_assert_cmpmem (got->data + n, sizeof tail, tail, sizeof tail);
  }
}

static void
test_damage (void)
{
  g_autofree char *path = in_folder ("damaged");
  g_autoptr (GBytes) bytes = make_bytes (20000, 3);
  const guint8 *data = g_bytes_get_data (bytes, NULL);
  g_autoptr (GByteArray) packed = zlib_gzip (data, 20000, 6);

  for (guint n = 2; n < packed->len; n += n < 40 || n > packed->len - 20 ? 1 : 397) {
    g_autoptr (GError) error = NULL;

    put (path, packed->data, n);
    g_assert_null (slurp (path, 4096, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_nonnull (strstr (error->message, "incomplete"));
  }
  for (guint at = packed->len - 8; at < packed->len; at++) { /* checksum and length */
    g_autoptr (GError) error = NULL;

    packed->data[at] ^= 0x10;
    put (path, packed->data, packed->len);
    packed->data[at] ^= 0x10;
    g_assert_null (slurp (path, 4096, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
    g_assert_nonnull (strstr (error->message, "checksum"));
  }
  for (guint at = 10; at < packed->len; at += 61) { /* every flipped bit is noticed */
    g_autoptr (GError) error = NULL;

    packed->data[at] ^= 0x04;
    put (path, packed->data, packed->len);
    packed->data[at] ^= 0x04;
    g_assert_null (slurp (path, 4096, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  }
}

static void
test_open_errors (void)
{
  g_autofree char *missing = in_folder ("missing"), *fifo = in_folder ("fifo");
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_stream_open (missing, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, missing));
  g_clear_error (&error);
  g_assert_null (tess_stream_open (folder, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "folder"));
  g_clear_error (&error);
  g_assert_cmpint (mkfifo (fifo, 0600), ==, 0);
  g_assert_null (tess_stream_open (fifo, &error)); /* and does not wait */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

static guint
n_files (void)
{
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir))
    n++;
  return n;
}

static void
test_atomic (void)
{
  g_autofree char *path = in_folder ("target"), *link = in_folder ("link"), *text = NULL;
  g_autoptr (GError) error = NULL;
  mode_t mask = umask (027);
  struct stat info;
  guint before;

  g_assert_true (tess_file_set_contents (path, "old", 3, &error));
  g_assert_cmpint (stat (path, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0640); /* what the umask leaves of 0666 */
  g_assert_cmpint (chmod (path, 0604), ==, 0);
  umask (mask);
  before = n_files ();
  {
    g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, &error);

    g_assert_no_error (error);
    g_assert_true (tess_atomic_file_write (file, "half", 4, &error));
    g_assert_cmpuint (n_files (), ==, before + 1);
  }
  g_assert_cmpuint (n_files (), ==, before); /* not committed: nothing happened */
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL) && g_str_equal (text, "old"));
  g_assert_cmpint (symlink (path, link), ==, 0);
  g_assert_true (tess_file_set_contents (link, "new", 3, &error));
  g_assert_true (g_file_test (link, G_FILE_TEST_IS_SYMLINK)); /* the link stays a link */
  g_clear_pointer (&text, g_free);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL) && g_str_equal (text, "new"));
  g_assert_cmpint (stat (path, &info), ==, 0);
  g_assert_cmpint (info.st_mode & 0777, ==, 0604); /* a replaced file keeps its permissions */
}

static void
test_atomic_large (void)
{
  static const gsize steps[] = {1, 4093, 1 << 20, 5 << 20};
  g_autofree char *path = in_folder ("large");
  g_autoptr (GBytes) bytes = make_bytes (3 << 20, 8);
  const guint8 *data = g_bytes_get_data (bytes, NULL);

  for (guint gzip = 0; gzip < 2; gzip++)
    for (guint i = 0; i < G_N_ELEMENTS (steps); i++) {
      gsize n = steps[i] == 1 ? 5000 : 3 << 20;
      g_autoptr (GError) error = NULL;
      g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, gzip == 1, &error);
      g_autoptr (GByteArray) back = NULL;
      g_autofree char *raw = NULL;
      gsize size;

      for (gsize at = 0; at < n; at += steps[i])
        g_assert_true (tess_atomic_file_write (file, data + at, MIN (steps[i], n - at), &error));
      g_assert_true (tess_atomic_file_commit (file, &error));
      g_assert_true (g_file_get_contents (path, &raw, &size, NULL));
      if (gzip) {
        g_autoptr (GZlibDecompressor) d = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);

        g_assert_cmpuint (size, <, n);
        back = run_converter (G_CONVERTER (d), (const guint8 *)raw, size);
        assert_same (back, data, n);
      } else {
        g_assert_cmpmem (raw, size, data, n);
      }
    }
}

/* A packed stream amid plain bytes, its size put before it afterwards. */
static void
test_atomic_packed_part (void)
{
  static const TessPacking packings[] = {TESS_PACKING_GZIP, TESS_PACKING_ZLIB, TESS_PACKING_DEFLATE};
  static const GZlibCompressorFormat formats[] = {G_ZLIB_COMPRESSOR_FORMAT_GZIP, G_ZLIB_COMPRESSOR_FORMAT_ZLIB,
                                                  G_ZLIB_COMPRESSOR_FORMAT_RAW};
  g_autofree char *path = in_folder ("part.bin");
  gsize n = 3000000;
  g_autoptr (GBytes) bytes = make_bytes (n, 5);
  const guint8 *data = g_bytes_get_data (bytes, NULL);

  for (guint i = 0; i < G_N_ELEMENTS (packings); i++) {
    g_autoptr (TessAtomicFile) file = tess_atomic_file_new (path, FALSE, NULL);
    g_autoptr (GZlibDecompressor) inflate = g_zlib_decompressor_new (formats[i]);
    g_autoptr (GByteArray) unpacked = NULL;
    g_autofree char *content = NULL, *wanted = NULL;
    guint64 n_packed = 0;
    gsize length;

    g_assert_true (tess_atomic_file_write (file, "size 00000000 begin", 19, NULL));
    g_assert_cmpuint (tess_atomic_file_tell (file), ==, 19);
    g_assert_true (tess_atomic_file_pack (file, packings[i], NULL));
    for (gsize done = 0; done < n; done += 100000)
      g_assert_true (tess_atomic_file_write (file, data + done, 100000, NULL));
    g_assert_true (tess_atomic_file_unpack (file, &n_packed, NULL));
    g_assert_cmpuint (tess_atomic_file_tell (file), ==, 19 + n_packed);
    g_assert_true (tess_atomic_file_write (file, " end", 4, NULL));
    wanted = g_strdup_printf ("size %08u begin", (guint)n_packed);
    g_assert_true (tess_atomic_file_patch (file, 5, wanted + 5, 8, NULL));
    g_assert_true (tess_atomic_file_patch (file, 20 + n_packed, "END", 3, NULL));
    g_assert_true (tess_atomic_file_commit (file, NULL));
    g_assert_true (g_file_get_contents (path, &content, &length, NULL));
    g_assert_cmpuint (length, ==, 23 + n_packed);
    g_assert_cmpmem (content, 19, wanted, 19);
    g_assert_cmpmem (content + 19 + n_packed, 4, " END", 4);
    unpacked = run_converter (G_CONVERTER (inflate), (guint8 *)content + 19, n_packed);
    g_assert_cmpmem (unpacked->data, unpacked->len, data, n);
  }
  g_unlink (path);
}

static void
test_atomic_errors (void)
{
  g_autofree char *nowhere = in_folder ("no/such/folder/file"), *path = in_folder ("kept"), *text = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessAtomicFile) file = NULL;
  g_autoptr (GBytes) bytes = make_bytes (4 << 20, 5);
  struct rlimit limit, small;
  guint before;

  g_assert_false (tess_file_set_contents (nowhere, "x", 1, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, nowhere));
  g_clear_error (&error);
  g_assert_false (tess_file_set_contents (folder, "x", 1, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_assert_false (tess_file_set_contents ("/dev/null", "x", 1, &error)); /* never replaced */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);

  /* The system refuses to write on (as on a full disk): the old file stays, the temporary goes. */
  g_assert_true (tess_file_set_contents (path, "old", 3, &error));
  before = n_files ();
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  signal (SIGXFSZ, SIG_IGN);
  small = limit;
  small.rlim_cur = 1 << 20;
  file = tess_atomic_file_new (path, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  g_assert_false (tess_atomic_file_write (file, g_bytes_get_data (bytes, NULL), 4 << 20, &error));
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_true (g_str_has_prefix (error->message, path) && strchr (error->message, ';'));
  g_clear_pointer (&file, tess_atomic_file_free);
  g_assert_cmpuint (n_files (), ==, before);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL) && g_str_equal (text, "old"));
}

static void
test_append (void)
{
  g_autofree char *path = in_folder ("log"), *text = NULL, *nowhere = in_folder ("no/log");
  g_autoptr (GError) error = NULL;
  struct rlimit limit, small;

  g_assert_true (tess_file_append_line (path, "one", &error) && tess_file_append_line (path, "two\n", &error));
  signal (SIGXFSZ, SIG_IGN);
  g_assert_cmpint (getrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  small = limit;
  small.rlim_cur = 10;
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &small), ==, 0);
  g_assert_false (tess_file_append_line (path, "three", &error)); /* two of its bytes fit */
  g_assert_cmpint (setrlimit (RLIMIT_FSIZE, &limit), ==, 0);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "one\ntwo\n");
  g_assert_false (tess_file_append_line (nowhere, "x", &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

static void
test_directory (void)
{
  g_autofree char *path = in_folder ("a/b/c"), *file = in_folder ("file"), *under = in_folder ("file/x");
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_make_directory (path, &error) && tess_make_directory (path, &error));
  g_assert_true (g_file_test (path, G_FILE_TEST_IS_DIR));
  put (file, "", 0);
  g_assert_false (tess_make_directory (under, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-files-XXXXXX", NULL);
  g_test_add_func ("/base/stream/plain", test_plain);
  g_test_add_func ("/base/stream/gzip", test_gzip);
  g_test_add_func ("/base/stream/gzip-large", test_gzip_large);
  g_test_add_func ("/base/stream/part", test_part);
  g_test_add_func ("/base/stream/members", test_members);
  g_test_add_func ("/base/stream/member-at-buffer-end", test_member_at_buffer_end);
  g_test_add_func ("/base/stream/damage", test_damage);
  g_test_add_func ("/base/stream/open-errors", test_open_errors);
  g_test_add_func ("/base/atomic/replace", test_atomic);
  g_test_add_func ("/base/atomic/large", test_atomic_large);
  g_test_add_func ("/base/atomic/packed-part", test_atomic_packed_part);
  g_test_add_func ("/base/atomic/errors", test_atomic_errors);
  g_test_add_func ("/base/append-line", test_append);
  g_test_add_func ("/base/make-directory", test_directory);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
