#include "tess-safetensors.h"

#include <glib/gstdio.h>

static char *folder;

static char *
put (const char *name, const void *bytes, gsize n)
{
  char *path = g_build_filename (folder, name, NULL);

  /* Without the fsync of g_file_set_contents: there are hundreds. */
  g_assert_true (g_file_set_contents_full (path, bytes, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  return path;
}

/* A file of this header text, of a given header length (or its own), and n_data bytes 0, 1, 2... */
static char *
put_header (const char *header, gint64 length, gsize n_data)
{
  g_autoptr (GByteArray) bytes = g_byte_array_new ();
  guint64 n = length >= 0 ? (guint64)length : strlen (header);

  g_byte_array_append (bytes, (const guint8 *)&n, sizeof n);
  g_byte_array_append (bytes, (const guint8 *)header, (guint)strlen (header));
  for (gsize i = 0; i < n_data; i++) {
    guint8 byte = (guint8)i;

    g_byte_array_append (bytes, &byte, 1);
  }
  return put ("made.safetensors", bytes->data, bytes->len);
}

static void
test_round_trip (void)
{
  g_autofree char *path = g_build_filename (folder, "round.safetensors", NULL);
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autoptr (TessSafetensors) file = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *contents = NULL;
  const float matrix[6] = {0, 1, -2, 3.5f, 1e30f, -0.0f};
  const guint8 bytes[5] = {1, 2, 3, 4, 255};
  const double scalar = 2.5;
  const gint64 two_three[2] = {2, 3}, five[1] = {5}, none[3] = {4, 0, 2};
  const TessSafetensor *t;
  guint64 length;
  gsize n;

  tess_safetensors_writer_metadata (writer, "plan", "{\"a\": \"b\\c\"}\n\t");
  tess_safetensors_writer_metadata (writer, "leer", "");
  tess_safetensors_writer_metadata (writer, "label", "간 \xe2\x80\x94 \xf0\x9f\xa7\xa0");
  tess_safetensors_writer_add (writer, "z.first", TESS_DTYPE_U8, 1, five, bytes);
  tess_safetensors_writer_add (writer, "a \"quoted\" name", TESS_DTYPE_F32, 2, two_three, matrix);
  tess_safetensors_writer_add (writer, "scalar", TESS_DTYPE_F64, 0, NULL, &scalar);
  tess_safetensors_writer_add (writer, "empty", TESS_DTYPE_BF16, 3, none, NULL);
  g_assert_true (tess_safetensors_writer_save (writer, path, &error));
  g_assert_no_error (error);

  file = tess_safetensors_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (tess_safetensors_path (file), ==, path);
  g_assert_cmpstr (tess_safetensors_metadata (file, "plan"), ==, "{\"a\": \"b\\c\"}\n\t");
  g_assert_cmpstr (tess_safetensors_metadata (file, "leer"), ==, "");
  g_assert_cmpstr (tess_safetensors_metadata (file, "label"), ==, "간 \xe2\x80\x94 \xf0\x9f\xa7\xa0");
  g_assert_null (tess_safetensors_metadata (file, "other"));
  g_assert_cmpuint (tess_safetensors_n (file), ==, 4);
  g_assert_cmpstr (tess_safetensors_nth (file, 0)->name, ==, "z.first");
  t = tess_safetensors_find (file, "a \"quoted\" name");
  g_assert_cmpint (t->dtype, ==, TESS_DTYPE_F32);
  g_assert_cmpuint (t->n_dims, ==, 2);
  g_assert_cmpint (t->dim[0], ==, 2);
  g_assert_cmpint (t->dim[1], ==, 3);
  g_assert_cmpmem (t->data, t->bytes, matrix, sizeof matrix);
  t = tess_safetensors_find (file, "scalar");
  g_assert_cmpuint (t->n_dims, ==, 0);
  g_assert_cmpmem (t->data, t->bytes, &scalar, sizeof scalar);
  t = tess_safetensors_find (file, "empty");
  g_assert_cmpuint (t->bytes, ==, 0);
  g_assert_cmpint (t->dim[0], ==, 4);
  g_assert_null (tess_safetensors_find (file, "__metadata__"));

  /* The tensor bytes begin at a multiple of 8. */
  g_assert_true (g_file_get_contents (path, &contents, &n, NULL));
  memcpy (&length, contents, 8);
  g_assert_cmpuint (length % 8, ==, 0);
  g_assert_cmpuint (n, ==, 8 + length + 5 + 24 + 8);
  g_unlink (path);
}

/* A file written by Python (tests/reference/unet_trajectory.py, its own writer and JSON). */
static void
test_foreign (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "unet_trajectory.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);
  const TessSafetensor *t;
  double first;

  g_assert_no_error (error);
  g_assert_true (g_str_has_prefix (tess_safetensors_metadata (file, "made_by"), "unet_trajectory.py, PyTorch"));
  t = tess_safetensors_find (file, "losses");
  g_assert_cmpuint (t->bytes, ==, 80);
  memcpy (&first, t->data, 8);
  g_assert_cmpfloat_with_epsilon (first, 1.5122686686278375, 1e-15);
  t = tess_safetensors_find (file, "image");
  g_assert_cmpuint (t->n_dims, ==, 5);
  g_assert_cmpint (t->dim[4], ==, 2);
}

typedef struct {
  const char *header;
  gint64 length; /* -1: the true one */
  gsize n_data;
  const char *words; /* of the message; NULL: must load */
} Hostile;

#define T(shape, from, to) "{\"dtype\":\"F32\",\"shape\":" shape ",\"data_offsets\":[" from "," to "]}"

static const Hostile hostile[] = {
    {"{}", -1, 0, NULL},
    {"{ \"a\" : " T ("[2]", "0", "8") " }   ", -1, 8, NULL},
    {"{\"a\":" T ("[1]", "4", "8") ",\"b\":" T ("[1]", "0", "4") "}", -1, 8, NULL},
    {"{\"a\":{\"data_offsets\":[0,0],\"shape\":[0,9223372036854775807],\"dtype\":\"U8\"}}", -1, 0, NULL},
    {"{\"__metadata__\":{\"k\":\"\\u00e9\\ud83e\\udde0\\n\"}}", -1, 0, NULL},
    {"{\"__metadata__\":{}}", -1, 0, NULL},
    /* length of the header */
    {"{}", 3, 0, "not a safetensors"},
    {"{}", 1, 0, "not a safetensors"},
    {"{}", G_MAXINT64, 0, "not a safetensors"},
    {"{}", 100000001, 0, "not a safetensors"},
    {"", -1, 0, "not a safetensors"},
    {" {}", -1, 0, "not a safetensors"},
    {"{\"\xff\":1}", -1, 0, "not a safetensors"},
    /* grammar */
    {"{", 2, 1, "not a safetensors"},
    {"{\"a", -1, 0, "string is not closed"},
    {"{\"a\\", -1, 0, "escape"},
    {"{\"a\":", -1, 0, "'{' expected"},
    {"{\"a\":1}", -1, 0, "'{' expected"},
    {"{\"a\":{}}", -1, 0, "'\"' expected"},
    {"{\"a\":[[[[[[[[[[", -1, 0, "'{' expected"},
    {"{\"a\":{\"shape\":[[[[[[[[", -1, 0, "whole number"},
    {"{\"a\":{\"shape\":{\"b\":{", -1, 0, "'[' expected"},
    {"{} {}", -1, 0, "follows"},
    {"{}x", -1, 0, "follows"},
    {"{,}", -1, 0, "'\"' expected"},
    {"{\"a\":" T ("[1]", "0", "4") ",}", -1, 4, "'\"' expected"},
    {"{\"a\":" T ("[1]", "0", "4") " \"b\":" T ("[1]", "4", "8") "}", -1, 8, "not closed"},
    {"{\"a\x01\":" T ("[1]", "0", "4") "}", -1, 4, "control character"},
    {"{\"a\\u0000\":" T ("[1]", "0", "4") "}", -1, 4, "escape"},
    {"{\"a\\ud800\":" T ("[1]", "0", "4") "}", -1, 4, "escape"},
    {"{\"a\\ud800\\u0041\":" T ("[1]", "0", "4") "}", -1, 4, "escape"},
    {"{\"a\\q\":" T ("[1]", "0", "4") "}", -1, 4, "escape"},
    {"{\"__metadata__\":{\"k\":1}}", -1, 0, "'\"' expected"},
    {"{\"__metadata__\":{\"k\":\"1\",\"k\":\"2\"}}", -1, 0, "key occurs twice"},
    {"{\"__metadata__\":{},\"__metadata__\":{}}", -1, 0, "metadata occur twice"},
    /* fields */
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", -1, 4, "lacks"},
    {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", -1, 4, "lacks"},
    {"{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", -1, 4, "repeated"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", -1, 4, "unknown"},
    {"{\"a\":{\"dtype\":\"float32\",\"shape\":[1],\"data_offsets\":[0,4]}}", -1, 4, "type float32"},
    {"{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[4],\"data_offsets\":[0,4]}}", -1, 4, "type F8_E4M3"},
    {"{\"a\":{\"dtype\":\"\",\"shape\":[4],\"data_offsets\":[0,4]}}", -1, 4, "type"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", -1, 4, "two offsets"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", -1, 4, "too long"},
    {"{\"a\":" T ("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "0", "4") "}", -1, 4,
     "too long"},
    /* numbers */
    {"{\"a\":" T ("[-1]", "0", "4") "}", -1, 4, "whole number"},
    {"{\"a\":" T ("[1.0]", "0", "4") "}", -1, 4, "whole number"},
    {"{\"a\":" T ("[1e0]", "0", "4") "}", -1, 4, "whole number"},
    {"{\"a\":" T ("[01]", "0", "4") "}", -1, 4, "whole number"},
    {"{\"a\":" T ("[9223372036854775808]", "0", "4") "}", -1, 4, "too large"},
    {"{\"a\":" T ("[99999999999999999999999]", "0", "4") "}", -1, 4, "too large"},
    /* places */
    {"{\"a\":" T ("[2]", "0", "4") "}", -1, 4, "does not fit"},
    {"{\"a\":" T ("[1]", "0", "8") "}", -1, 8, "does not fit"},
    {"{\"a\":" T ("[1]", "4", "0") "}", -1, 8, "does not fit"},
    {"{\"a\":" T ("[2]", "0", "8") "}", -1, 7, "does not fit"},
    {"{\"a\":" T ("[1]", "9223372036854775803", "9223372036854775807") "}", -1, 8, "does not fit"},
    {"{\"a\":" T ("[4611686018427387904]", "0", "0") "}", -1, 0, "does not fit"},
    {"{\"a\":" T ("[4294967296,4294967296]", "0", "0") "}", -1, 0, "does not fit"},
    {"{\"a\":" T ("[1]", "0", "4") ",\"b\":" T ("[1]", "0", "4") "}", -1, 4, "overlaps"},
    {"{\"a\":" T ("[2]", "0", "8") ",\"b\":" T ("[2]", "4", "12") "}", -1, 12, "overlaps"},
    {"{\"a\":" T ("[1]", "0", "4") ",\"b\":" T ("[1]", "8", "12") "}", -1, 12, "gap"},
    {"{\"a\":" T ("[1]", "4", "8") "}", -1, 8, "gap"},
    {"{\"a\":" T ("[1]", "0", "4") "}", -1, 12, "tensors take 4 bytes"},
    {"{\"a\":" T ("[1]", "0", "4") ",\"a\":" T ("[1]", "4", "8") "}", -1, 8, "twice"},
    {"{\"\\u0061\":" T ("[1]", "0", "4") ",\"a\":" T ("[1]", "4", "8") "}", -1, 8, "twice"},
};

static void
test_hostile (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (hostile); i++) {
    const Hostile *h = &hostile[i];
    g_autofree char *path = put_header (h->header, h->length, h->n_data);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);

    g_unlink (path);
    if (h->words == NULL) {
      g_assert_no_error (error);
      g_assert_nonnull (file);
      continue;
    }
    if (file != NULL)
      g_error ("loaded: %s", h->header);
    g_assert_true (error->domain == TESS_ERROR);
    g_assert_true (g_str_has_prefix (error->message, path));
    if (strstr (error->message, h->words) == NULL)
      g_error ("%s: \"%s\" does not say \"%s\"", h->header, error->message, h->words);
  }
}

/* Every prefix of a good file, and every file with one byte changed, is refused or read without harm. */
static void
test_damaged (void)
{
  g_autofree char *good = put_header (
      "{\"__metadata__\":{\"k\":\"v\"},\"a\":" T ("[2]", "0", "8") ",\"b\":" T ("[1]", "8", "12") "}", -1, 12);
  g_autofree char *contents = NULL;
  gsize n;

  g_assert_true (g_file_get_contents (good, &contents, &n, NULL));
  for (gsize i = 0; i < n; i++) {
    g_autofree char *path = put ("cut.safetensors", contents, i);
    g_autoptr (TessSafetensors) file = tess_safetensors_open (path, NULL);

    g_assert_null (file);
  }
  for (gsize i = 0; i < n * 3; i++) {
    char before = contents[i / 3];
    g_autofree char *path = NULL;
    g_autoptr (TessSafetensors) file = NULL;
    guint sum = 0;

    contents[i / 3] = (char)(before ^ (i % 3 == 0 ? 0x01 : i % 3 == 1 ? 0x10 : 0x80));
    path = put ("cut.safetensors", contents, n);
    contents[i / 3] = before;
    file = tess_safetensors_open (path, NULL);
    for (guint t = 0; file != NULL && t < tess_safetensors_n (file); t++)
      for (gsize b = 0; b < tess_safetensors_nth (file, t)->bytes; b++)
        sum += ((const guint8 *)tess_safetensors_nth (file, t)->data)[b];
    g_assert_cmpuint (sum, <=, 12 * 255);
  }
  g_unlink (good);
}

static void
test_missing (void)
{
  g_autofree char *absent = g_build_filename (folder, "absent.safetensors", NULL);
  g_autofree char *nowhere = g_build_filename (folder, "no", "such", "folder.safetensors", NULL);
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_safetensors_open (absent, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_assert_null (tess_safetensors_open (folder, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  g_assert_false (tess_safetensors_writer_save (writer, nowhere, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  {
    g_autofree char *empty = put ("empty.safetensors", "", 0);

    g_assert_null (tess_safetensors_open (empty, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  }
}

static void
remove_folder (void)
{
  const char *names[] = {"cut.safetensors", "empty.safetensors", "made.safetensors"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (folder, names[i], NULL);

    g_unlink (path);
  }
  g_assert_cmpint (g_rmdir (folder), ==, 0);
  g_free (folder);
}

int
main (int argc, char *argv[])
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tessera-XXXXXX", NULL);
  g_test_add_func ("/nn/safetensors/round-trip", test_round_trip);
  g_test_add_func ("/nn/safetensors/foreign", test_foreign);
  g_test_add_func ("/nn/safetensors/hostile", test_hostile);
  g_test_add_func ("/nn/safetensors/damaged", test_damaged);
  g_test_add_func ("/nn/safetensors/missing", test_missing);
  status = g_test_run ();
  remove_folder ();
  return status;
}
