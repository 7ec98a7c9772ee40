/* Arrays as NumPy wrote them (tests/reference/numpy_files.py), real ones, our own, and damaged ones. */
#include "numpy-fixture.h"

#include "tess-zip.h"

#include <string.h>

static char *folder;

static void
assert_equal (TessVolume *volume, JsonObject *o, const char *name)
{
  JsonArray *dims = json_object_get_array_member (o, "dims");
  gsize n;
  g_autofree guchar *bits = g_base64_decode (json_object_get_string_member (o, "bits"), &n);

  for (guint k = 0; k < 3; k++)
    if (tess_volume_dim (volume)[k] != json_array_get_int_element (dims, k))
      g_error ("%s: axis %u has %" G_GINT64_FORMAT " voxels", name, k, tess_volume_dim (volume)[k]);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
  g_assert_cmpuint (tess_volume_n_bytes (volume), ==, n);
  if (memcmp (tess_volume_data (volume), bits, n) != 0)
    g_error ("%s: its voxels are not NumPy's", name);
}

/* Every type, byte order, memory order, version and shape. */
static void
test_arrays (void)
{
  g_autoptr (JsonNode) root = numpy_fixture_reference ("numpy_files.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "arrays");

  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *name = json_object_get_string_member (o, "name");
    g_autofree char *path = numpy_fixture_put_base64 (folder, "array.npy", json_object_get_string_member (o, "file"));
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

    if (error)
      g_error ("%s: %s", name, error->message);
    assert_equal (volume, o, name);
    g_assert_true (numpy_fixture_warned (volume, "1 mm"));
    g_assert_true (numpy_fixture_warned (volume, "read as ("));
  }
  g_assert_cmpuint (json_array_get_length (list), >=, 65);
}

static void
test_archives (void)
{
  g_autoptr (JsonNode) root = numpy_fixture_reference ("numpy_files.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "archives");

  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    JsonObject *arrays = json_object_get_object_member (o, "arrays");
    g_autofree char *path = numpy_fixture_put_base64 (folder, "two.npz", json_object_get_string_member (o, "file"));
    g_autofree char *no_such = g_strconcat (path, "::nothing", NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) entries = tess_volume_entries (path, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (entries->len, ==, 2);
    numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, "image, labels");
    numpy_fixture_assert_refused (no_such, path, TESS_ERROR_FORMAT, "no nothing");
    for (guint k = 0; k < 2; k++) {
      TessVolumeEntry *entry = g_ptr_array_index (entries, k);
      g_autofree char *location = g_strconcat (path, "::", entry->id, NULL);
      g_autoptr (TessVolume) volume = tess_volume_load (location, NULL, &error);

      g_assert_no_error (error);
      assert_equal (volume, json_object_get_object_member (arrays, entry->id), entry->id);
      g_assert_cmpint (entry->dtype, ==, tess_volume_dtype (volume));
      g_assert_cmpmem (entry->dim, sizeof entry->dim, tess_volume_dim (volume), sizeof entry->dim);
      g_assert_cmpint (tess_volume_intent (volume), ==, k == 1 ? TESS_INTENT_LABEL : TESS_INTENT_IMAGE);
    }
  }
}

static void
test_real_files (void)
{
  const char *shared = g_getenv ("TESSERA_SHARED_DATA");
  g_autoptr (JsonNode) root = numpy_fixture_reference ("numpy_real.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "arrays");

  if (!shared || !g_file_test (shared, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    JsonArray *shape = json_object_get_array_member (o, "shape");
    g_autofree char *path = g_build_filename (shared, json_object_get_string_member (o, "file"), NULL), *sum = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

    g_assert_no_error (error);
    g_assert_cmpint (tess_volume_dim (volume)[0], ==, json_array_get_int_element (shape, 1));
    g_assert_cmpint (tess_volume_dim (volume)[1], ==, json_array_get_int_element (shape, 0));
    g_assert_cmpint (tess_volume_dim (volume)[2], ==, 1);
    g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
    sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, tess_volume_data (volume), tess_volume_n_bytes (volume));
    g_assert_cmpstr (sum, ==, json_object_get_string_member (o, "sha256"));
  }
}

/* A volume with an oblique, sheared, mirrored affine. */
static TessVolume *
volume_of (TessDType dtype, gint64 n_channels)
{
  static const TessAffine affine = {{{-0.7, 0.1, 0.03, 12.5}, {0.2, 0.9, -0.3, -40.25}, {0.05, 0.1, 2.5, 7.125}}};
  const gint64 dim[3] = {5, 4, 3};
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (dtype, dim, n_channels, &affine, &error);
  guint8 *data = tess_volume_data_mut (volume);

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    data[i] = (guint8)(i * 37 % 120);
  return volume;
}

static void
test_round_trip (void)
{
  static const char *const names[] = {"own.npy", "own.npz"};

  for (guint f = 0; f < 2; f++)
    for (TessDType dtype = 0; dtype < TESS_N_DTYPES; dtype++)
      for (gint64 channels = 1; channels <= 2; channels++) {
        g_autofree char *path = g_build_filename (folder, names[f], NULL);
        g_autoptr (TessVolume) volume = volume_of (dtype, channels), again = NULL;
        g_autoptr (GError) error = NULL;
        gsize n = tess_volume_n_bytes (volume) / tess_dtype_size (dtype);

        g_assert_true (tess_volume_save (volume, path, NULL, &error));
        g_assert_no_error (error);
        again = tess_volume_load (path, NULL, &error);
        g_assert_no_error (error);
        g_assert_null (tess_volume_warnings (again)[0]);
        g_assert_cmpint (tess_volume_dtype (again), ==, dtype == TESS_DTYPE_BF16 ? TESS_DTYPE_F32 : dtype);
        g_assert_cmpint (tess_volume_n_channels (again), ==, channels);
        g_assert_true (tess_affine_equal (tess_volume_affine (volume), tess_volume_affine (again), 0.0));
        for (gsize i = 0; i < n; i++) {
          double was, is;

          tess_volume_values_f64 (volume, i, 1, &was);
          tess_volume_values_f64 (again, i, 1, &is);
          g_assert_true (was == is);
        }
      }
}

/* Real values are written where a volume has a slope; a label volume keeps being one in an archive. */
static void
test_scaling_and_labels (void)
{
  g_autofree char *path = g_build_filename (folder, "scaled.npz", NULL);
  g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_I16, 1), again = NULL, labels = volume_of (TESS_DTYPE_U8, 1);
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) entries = NULL;

  tess_volume_set_scaling (volume, 0.5, -3);
  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  again = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_dtype (again), ==, TESS_DTYPE_F32);
  g_assert_cmpfloat (tess_volume_value (again, 2, 1, 1, 0), ==, tess_volume_value (volume, 2, 1, 1, 0));
  g_clear_pointer (&again, tess_volume_unref);
  tess_volume_set_intent (labels, TESS_INTENT_LABEL);
  g_assert_true (tess_volume_save (labels, path, NULL, &error));
  again = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_intent (again), ==, TESS_INTENT_LABEL);
  entries = tess_volume_entries (path, &error);
  g_assert_cmpuint (entries->len, ==, 1);
  g_assert_cmpstr (((TessVolumeEntry *)g_ptr_array_index (entries, 0))->id, ==, "seg");
}

/* An array file with any header over n bytes. */
static char *
put_npy (const char *header, guint version, gsize n)
{
  g_autoptr (GByteArray) out = g_byte_array_new ();
  gsize length = strlen (header);
  guint8 start[12] = {0x93, 'N', 'U', 'M', 'P', 'Y', (guint8)version, 0, (guint8)length, (guint8)(length >> 8)};

  g_byte_array_append (out, start, version == 1 ? 10 : 12);
  g_byte_array_append (out, (const guint8 *)header, (guint)length);
  g_byte_array_set_size (out, (guint)(out->len + n));
  memset (out->data + out->len - n, 1, n);
  return numpy_fixture_put (folder, "made.npy", out->data, out->len);
}

static void
test_headers (void)
{
  static const char *const good[] = {
      "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 4), }          \n",
      "{\"shape\":(2,3,4),\"fortran_order\":False,\"descr\":\"<f4\"}",
      "{ 'descr' : '=f4' , 'fortran_order' : True , 'shape' : ( 2L , 3L , 4L , ) , }\n",
  };
  static const struct {
    const char *header;
    int code;
    const char *says;
  } bad[] = {
      {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_UNSUPPORTED, "Python objects"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_UNSUPPORTED, "<c8"},
      {"{'descr': '<U4', 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_UNSUPPORTED, "<U4"},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_UNSUPPORTED, "<f16"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_UNSUPPORTED, "structured"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (24,), }", TESS_ERROR_UNSUPPORTED, "fewer than two"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", TESS_ERROR_UNSUPPORTED, "fewer than two"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 0, 4), }", TESS_ERROR_UNSUPPORTED, "empty"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2, 2, 2, 2, 2), }", TESS_ERROR_UNSUPPORTED, "five axes"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3, 5), }", TESS_ERROR_FORMAT, "more than a file"},
      {"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3, 5), }", TESS_ERROR_FORMAT, "more than a file"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3000000000, 3000000000, 3000000000), }", TESS_ERROR_FORMAT,
       NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999, 2), }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, 3), }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (24), }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': [2, 3], }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), 'more': 1}", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 3), }", TESS_ERROR_FORMAT, NULL},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } + {}", TESS_ERROR_FORMAT, NULL},
      {"dict (descr='<f4', fortran_order=False, shape=(2, 3))", TESS_ERROR_FORMAT, NULL},
      {"", TESS_ERROR_FORMAT, NULL},
  };
  g_autofree char *later = NULL, *text = NULL;

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    for (guint version = 1; version <= 3; version++) {
      g_autofree char *path = put_npy (good[i], version, 96);
      g_autoptr (GError) error = NULL;
      g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

      g_assert_no_error (error);
      g_assert_cmpint (tess_volume_dim (volume)[2], ==, 2);
    }
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autofree char *path = put_npy (bad[i].header, 1, 96);

    numpy_fixture_assert_refused (path, path, bad[i].code, bad[i].says);
  }
  later = put_npy (good[0], 4, 96);
  numpy_fixture_assert_refused (later, later, TESS_ERROR_UNSUPPORTED, "later version");
  text = numpy_fixture_put (folder, "text.npy", "just words and more words\n", 26);
  numpy_fixture_assert_refused (text, text, TESS_ERROR_FORMAT, "no NumPy array");
}

static void
test_truncated (void)
{
  static const char *const names[] = {"own.npy", "own.npz"};

  for (guint f = 0; f < 2; f++) {
    g_autofree char *path = g_build_filename (folder, names[f], NULL), *data = NULL;
    g_autofree char *cut_name = g_strconcat ("cut-", names[f], NULL);
    g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_I16, 2);
    gsize n, whole;

    g_assert_true (tess_volume_save (volume, path, NULL, NULL));
    g_assert_true (g_file_get_contents (path, &data, &n, NULL));
    whole = f == 0 ? 128 + 240 : n; /* the affine behind an array may be missing */
    for (gsize cut = 0; cut < whole; cut++) {
      g_autofree char *shorter = numpy_fixture_put (folder, cut_name, data, cut);

      numpy_fixture_assert_refused (shorter, shorter, TESS_ERROR_FORMAT, NULL);
    }
  }
}

/* Any one changed byte gives a volume of this size or one sentence. */
static void
test_mutated (void)
{
  static const char *const names[] = {"own.npy", "own.npz"};

  for (guint f = 0; f < 2; f++) {
    g_autofree char *path = g_build_filename (folder, names[f], NULL), *data = NULL;
    g_autoptr (TessVolume) volume = volume_of (TESS_DTYPE_I16, 2);
    gsize n;

    g_assert_true (tess_volume_save (volume, path, NULL, NULL));
    g_assert_true (g_file_get_contents (path, &data, &n, NULL));
    for (gsize at = 0; at < n; at++) {
      g_autofree char *changed = NULL;
      g_autoptr (GError) error = NULL;
      g_autoptr (TessVolume) read = NULL;

      data[at] = (char)(data[at] ^ 0x15);
      changed = numpy_fixture_put (folder, f ? "changed.npz" : "changed.npy", data, n);
      data[at] = (char)(data[at] ^ 0x15);
      read = tess_volume_load (changed, NULL, &error);
      g_assert_true ((read != NULL) != (error != NULL));
      if (read)
        g_assert_cmpuint (tess_volume_n_bytes (read), <=, 480);
      else
        g_assert_null (strchr (error->message, '\n'));
    }
  }
}

/* An archive of one member by libzip's rules whose numbers are few packed bytes. */
static void
test_bomb (void)
{
  g_autofree char *path = g_build_filename (folder, "bomb.npz", NULL);
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, NULL);
  static const char header[] =
      "\x93NUMPY\x01\0\x76\0{'descr': '|u1', 'fortran_order': False, 'shape': (4000, 4000, 4000), }";
  char text[128];
  TessAtomicFile *file = tess_zip_writer_begin (writer, "data.npy", TRUE, NULL);

  memset (text, ' ', sizeof text);
  memcpy (text, header, sizeof header - 1);
  text[127] = '\n';
  g_assert_true (tess_atomic_file_write (file, text, sizeof text, NULL));
  for (int i = 0; i < 100; i++) {
    static const guint8 zeros[10000];

    g_assert_true (tess_atomic_file_write (file, zeros, sizeof zeros, NULL));
  }
  g_assert_true (tess_zip_writer_end (writer, NULL) && tess_zip_writer_commit (writer, NULL));
  numpy_fixture_assert_refused (path, path, TESS_ERROR_FORMAT, "more than a file");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = numpy_fixture_folder ();
  g_test_add_func ("/formats/numpy/arrays", test_arrays);
  g_test_add_func ("/formats/numpy/archives", test_archives);
  g_test_add_func ("/formats/numpy/real-files", test_real_files);
  g_test_add_func ("/formats/numpy/round-trip", test_round_trip);
  g_test_add_func ("/formats/numpy/scaling-and-labels", test_scaling_and_labels);
  g_test_add_func ("/formats/numpy/headers", test_headers);
  g_test_add_func ("/formats/numpy/truncated", test_truncated);
  g_test_add_func ("/formats/numpy/mutated", test_mutated);
  g_test_add_func ("/formats/numpy/bomb", test_bomb);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
