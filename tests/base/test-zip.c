/* Archives against Python's zipfile (tests/reference), our own, and damaged ones. */
#include "../remove-tree.h"
#include "tess-json.h"
#include "tess-zip.h"

#include <glib/gstdio.h>
#include <string.h>

static char *folder;

static char *
put (const char *name, const void *data, gsize n)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600,
                            &error); /* no waiting for the disk */
  g_assert_no_error (error);
  return path;
}

/* A little of everything, in parts: text that packs well and noise that does not. */
static GBytes *
contents (gsize n, gboolean noise)
{
  guint8 *data = g_malloc (n);
  guint32 seed = 1;

  for (gsize i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    data[i] = noise ? (guint8)(seed >> 24) : (guint8)(i / 1000);
  }
  return g_bytes_new_take (data, n);
}

static char *
make (const char *name, gboolean deflate)
{
  g_autoptr (GError) error = NULL;
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, &error);

  g_assert_no_error (error);
  for (int i = 0; i < 3; i++) {
    g_autoptr (GBytes) bytes = contents (i == 0 ? 0 : 3000000, i == 2);
    g_autofree char *member = g_strdup_printf ("folder/m%d.bin", i);
    TessAtomicFile *file = tess_zip_writer_begin (writer, member, deflate, &error);
    const guint8 *data;
    gsize n;

    g_assert_no_error (error);
    data = g_bytes_get_data (bytes, &n);
    for (gsize at = 0; at < n; at += 700001)
      g_assert_true (tess_atomic_file_write (file, data + at, MIN (700001, n - at), NULL));
    g_assert_true (tess_zip_writer_end (writer, &error));
  }
  g_assert_true (tess_zip_writer_commit (writer, &error));
  g_assert_no_error (error);
  return path;
}

static void
test_round_trip (void)
{
  for (int deflate = 0; deflate < 2; deflate++) {
    g_autofree char *path = make ("own.zip", deflate);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessZip) zip = tess_zip_open (path, &error);
    guint found;

    g_assert_no_error (error);
    g_assert_cmpuint (tess_zip_n (zip), ==, 3);
    for (guint i = 0; i < 3; i++) {
      g_autoptr (GBytes) expected = contents (i == 0 ? 0 : 3000000, i == 2);
      g_autoptr (GBytes) got = tess_zip_load_member (zip, i, 4000000, &error);

      g_assert_no_error (error);
      g_assert_true (g_bytes_equal (got, expected));
    }
    g_assert_true (tess_zip_find (zip, "folder/m2.bin", &found) && found == 2);
    g_assert_false (tess_zip_find (zip, "m2.bin", &found));
    g_assert_null (tess_zip_load_member (zip, 1, 2999999, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_remove (path);
  }
}

/* More members than the old directory's 16 bits count. */
static void
test_many (void)
{
  g_autofree char *path = g_build_filename (folder, "many.zip", NULL);
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessZip) zip = NULL;
  guint member;

  for (int i = 0; i < 70000; i++) {
    g_autofree char *name = g_strdup_printf ("%d", i);
    TessAtomicFile *file = tess_zip_writer_begin (writer, name, FALSE, &error);

    g_assert_true (i % 1000 || tess_atomic_file_write (file, name, strlen (name), NULL));
    g_assert_true (tess_zip_writer_end (writer, NULL));
  }
  g_assert_true (tess_zip_writer_commit (writer, &error));
  zip = tess_zip_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_zip_n (zip), ==, 70000);
  g_assert_true (tess_zip_find (zip, "69000", &member));
  {
    g_autoptr (GBytes) bytes = tess_zip_load_member (zip, member, 100, &error);
    gsize n;

    g_assert_no_error (error);
    g_assert_cmpmem (g_bytes_get_data (bytes, &n), 5, "69000", 5);
  }
}

static void
check_member (TessZip *zip, JsonObject *o)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) bytes = NULL;
  g_autofree char *sum = NULL;
  guint member;

  g_assert_true (tess_zip_find (zip, json_object_get_string_member (o, "name"), &member));
  g_assert_cmpint ((gint64)tess_zip_size (zip, member), ==, json_object_get_int_member (o, "size"));
  bytes = tess_zip_load_member (zip, member, 1 << 24, &error);
  g_assert_no_error (error);
  sum = g_compute_checksum_for_bytes (G_CHECKSUM_SHA256, bytes);
  g_assert_cmpstr (sum, ==, json_object_get_string_member (o, "sha256"));
}

static void
test_real_files (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) keep =
      tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "numpy_real.json", NULL), &error);
  JsonArray *archives = json_object_get_array_member (json_node_get_object (keep), "archives");

  if (!root || !g_file_test (root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  for (guint i = 0; i < json_array_get_length (archives); i++) {
    JsonObject *o = json_array_get_object_element (archives, i);
    JsonArray *members = json_object_get_array_member (o, "members");
    g_autofree char *path = g_build_filename (root, json_object_get_string_member (o, "file"), NULL);
    g_autoptr (TessZip) zip = tess_zip_open (path, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (tess_zip_n (zip), ==, json_array_get_length (members));
    for (guint k = 0; k < json_array_get_length (members); k++)
      check_member (zip, json_array_get_object_element (members, k));
  }
}

/* Reads everything; says what is wrong with it. */
static GError *
read_all (const char *path)
{
  GError *error = NULL;
  g_autoptr (TessZip) zip = tess_zip_open (path, &error);

  for (guint i = 0; zip && i < tess_zip_n (zip) && !error; i++)
    g_bytes_unref (tess_zip_load_member (zip, i, 1 << 24, &error) ?: g_bytes_new (NULL, 0));
  return error;
}

static void
assert_refused (const char *path, int code)
{
  g_autoptr (GError) error = read_all (path);

  if (!error)
    g_error ("%s was not refused", path);
  g_assert_cmpstr (g_quark_to_string (error->domain), ==, "tess-error-quark");
  if (code >= 0)
    g_assert_cmpint (error->code, ==, code);
  g_assert_true (g_str_has_prefix (error->message, folder));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

static void
test_truncated (void)
{
  for (int deflate = 0; deflate < 2; deflate++) {
    g_autofree char *path = make ("whole.zip", deflate), *data = NULL;
    gsize n;

    g_assert_true (g_file_get_contents (path, &data, &n, NULL));
    for (gsize cut = 0; cut < n; cut += cut < n - 600 ? n / 40 : 7) {
      g_autofree char *shorter = put ("cut.zip", data, cut);

      assert_refused (shorter, TESS_ERROR_FORMAT);
    }
  }
}

/* The last entry of the directory, whose fields are to lie. */
static guint8 *
last_entry (char *data, gsize n)
{
  for (gsize i = n - 22; i > 0; i--)
    if (memcmp (data + i, "PK\1\2", 4) == 0)
      return (guint8 *)data + i;
  g_assert_not_reached ();
}

static void
test_lies (void)
{
  static const struct {
    guint at;
    guint8 value;
    int code;
  } lies[] = {
      {16, 0x5a, TESS_ERROR_FORMAT},    /* checksum */
      {27, 0x7f, TESS_ERROR_FORMAT},    /* 2 GB unpacked, of 3 MB of noise: possible, but not there */
      {23, 0x7f, TESS_ERROR_FORMAT},    /* packed length */
      {10, 99, TESS_ERROR_UNSUPPORTED}, /* method */
      {8, 1, TESS_ERROR_UNSUPPORTED},   /* encrypted */
      {45, 0x7f, TESS_ERROR_FORMAT},    /* where it is */
  };

  for (guint i = 0; i < G_N_ELEMENTS (lies); i++) {
    g_autofree char *path = make ("true.zip", TRUE), *data = NULL, *other = NULL;
    guint8 *entry;
    gsize n;

    g_assert_true (g_file_get_contents (path, &data, &n, NULL));
    entry = last_entry (data, n);
    entry[lies[i].at] ^= lies[i].value;
    other = put ("lies.zip", data, n);
    g_test_message ("byte %u of the directory's entry", lies[i].at);
    if (lies[i].at == 27) { /* larger than the caller takes: said before anything is unpacked */
      g_autoptr (GError) error = read_all (other);

      g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    } else {
      assert_refused (other, lies[i].code);
    }
  }
}

/* 4 GB promised by 100 packed bytes. */
static void
test_bomb (void)
{
  g_autofree char *path = make ("true.zip", TRUE), *data = NULL, *other = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessZip) zip = NULL;
  guint8 *entry;
  gsize n;

  g_assert_true (g_file_get_contents (path, &data, &n, NULL));
  entry = last_entry (data, n);
  memcpy (entry + 20, "\x64\0\0\0\xfe\xff\xff\xff", 8);
  other = put ("bomb.zip", data, n);
  zip = tess_zip_open (other, &error);
  g_assert_no_error (error);
  g_assert_null (tess_zip_open_member (zip, 2, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
}

static void
test_not_zip (void)
{
  g_autofree char *text = put ("text.zip", "just words\n", 11), *empty = put ("empty.zip", "", 0);
  g_autofree char *missing = g_build_filename (folder, "missing.zip", NULL);
  g_autofree char *odd = put ("odd.zip", "PK\5\6\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\x7f\0\0\0\0\0\0", 22);

  assert_refused (text, TESS_ERROR_FORMAT);
  assert_refused (empty, TESS_ERROR_FORMAT);
  assert_refused (odd, TESS_ERROR_FORMAT);
  assert_refused (missing, TESS_ERROR_IO);
  assert_refused (folder, TESS_ERROR_IO);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-zip-XXXXXX", NULL);
  g_test_add_func ("/base/zip/round-trip", test_round_trip);
  g_test_add_func ("/base/zip/many", test_many);
  g_test_add_func ("/base/zip/real-files", test_real_files);
  g_test_add_func ("/base/zip/truncated", test_truncated);
  g_test_add_func ("/base/zip/lies", test_lies);
  g_test_add_func ("/base/zip/bomb", test_bomb);
  g_test_add_func ("/base/zip/not-zip", test_not_zip);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
