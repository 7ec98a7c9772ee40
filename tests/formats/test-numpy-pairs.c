/* Cases of nnU-Net and ingradient: arrays and the .pkl beside them, with geometry from SimpleITK
 * (tests/reference/numpy_pairs.py). */
#include "numpy-fixture.h"
#include "tess-numpy-private.h"
#include "tess-zip.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

/* Numbers as Python and NumPy (1 and 2) pickle them. */
static void
test_numbers (void)
{
  static const char *const files[] = {"numpy_pairs_1.json", "numpy_pairs_2.json"};
  const TessPickleRules rules = {.globals = tess_numpy_globals};

  for (guint f = 0; f < G_N_ELEMENTS (files); f++) {
    g_autoptr (JsonNode) root = numpy_fixture_reference (files[f]);
    JsonArray *list = json_object_get_array_member (json_node_get_object (root), "numbers");

    for (guint i = 0; i < json_array_get_length (list); i++) {
      JsonObject *o = json_array_get_object_element (list, i);
      const char *name = json_object_get_string_member (o, "name");
      JsonArray *expected = json_object_get_array_member (o, "values");
      guint n = json_array_get_length (expected);
      gsize n_bytes;
      guchar *data = g_base64_decode (json_object_get_string_member (o, "file"), &n_bytes);
      g_autoptr (GBytes) bytes = g_bytes_new_take (data, n_bytes);
      g_autoptr (GError) error = NULL;
      g_autoptr (TessPickle) pickle = tess_pickle_parse (bytes, "x.pkl", &rules, &error);
      double values[20];

      if (error)
        g_error ("%s: %s", name, error->message);
      if (!tess_numpy_value_doubles (tess_pickle_root (pickle), values, n))
        g_error ("%s: these numbers were not understood", name);
      for (guint k = 0; k < n; k++)
        if (values[k] != json_array_get_double_element (expected, k))
          g_error ("%s: number %u is %g", name, k, values[k]);
      g_assert_false (tess_numpy_value_doubles (tess_pickle_root (pickle), values, n + 1));
      g_assert_false (tess_numpy_value_doubles (tess_pickle_root (pickle), values, n - 1));
    }
    g_assert_cmpuint (json_array_get_length (list), >=, 84);
  }
}

/* An archive of float32 arrays of that shape, whose numbers count on. */
static char *
put_arrays (const char *name, JsonArray *keys, JsonArray *shape, guint n_channels)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (TessZipWriter) writer = tess_zip_writer_new (path, NULL);

  for (guint i = 0; i < json_array_get_length (keys); i++) {
    const char *key = json_array_get_string_element (keys, i);
    gboolean label = strcmp (key, "seg") == 0 || strcmp (key, "y") == 0;
    gint64 dims[4] = {label ? 1 : n_channels, json_array_get_int_element (shape, 0),
                      json_array_get_int_element (shape, 1), json_array_get_int_element (shape, 2)};
    TessDType dtype = label ? TESS_DTYPE_I8 : TESS_DTYPE_F32;
    g_autoptr (GByteArray) header = tess_npy_header_serialise (dtype, dims, 4);
    gsize n = (gsize)(dims[0] * dims[1] * dims[2] * dims[3]);
    g_autofree char *member = g_strconcat (key, ".npy", NULL);
    TessAtomicFile *file = tess_zip_writer_begin (writer, member, i == 0, NULL);

    g_assert_true (tess_atomic_file_write (file, header->data, header->len, NULL));
    for (gsize k = 0; k < n; k++) {
      float value = (float)k;
      gint8 count = (gint8)(k % 3);

      g_assert_true (tess_atomic_file_write (file, label ? (void *)&count : (void *)&value, label ? 1 : 4, NULL));
    }
    g_assert_true (tess_zip_writer_end (writer, NULL));
  }
  g_assert_true (tess_zip_writer_commit (writer, NULL));
  return path;
}

static void
assert_affine (TessVolume *volume, JsonObject *o)
{
  JsonArray *rows = json_object_get_array_member (o, "affine");

  for (guint r = 0; r < 3; r++)
    for (guint k = 0; k < 4; k++) {
      double expected = json_node_get_double (json_array_get_element (json_array_get_array_element (rows, r), k));

      if (!(fabs (tess_volume_affine (volume)->m[r][k] - expected) < 1e-6))
        g_error ("%s: affine [%u][%u] is %.9g, SimpleITK says %.9g", json_object_get_string_member (o, "name"), r, k,
                 tess_volume_affine (volume)->m[r][k], expected);
    }
}

static TessVolume *
load_entry (const char *path, const char *entry)
{
  g_autofree char *location = g_strconcat (path, "::", entry, NULL);
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (location, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

/* nnU-Net 1: image and labels are one array. */
static void
check_parted (const char *path, JsonObject *o)
{
  g_autoptr (TessVolume) image = load_entry (path, "data"), labels = load_entry (path, "seg");
  gsize n = (gsize)tess_volume_n_voxels (image);
  double first;

  assert_affine (image, o);
  assert_affine (labels, o);
  g_assert_cmpint (tess_volume_n_channels (image), ==, 2);
  g_assert_cmpint (tess_volume_n_channels (labels), ==, 1);
  g_assert_cmpint (tess_volume_intent (labels), ==, TESS_INTENT_LABEL);
  tess_volume_values_f64 (image, n, 1, &first);
  g_assert_cmpfloat (first, ==, (double)n);
  tess_volume_values_f64 (labels, 0, 1, &first);
  g_assert_cmpfloat (first, ==, 2.0 * (double)n);
}

static void
check_separate (const char *path, JsonObject *o, JsonArray *keys)
{
  g_autoptr (TessVolume) image = load_entry (path, json_array_get_string_element (keys, 0));
  g_autoptr (TessVolume) labels = load_entry (path, json_array_get_string_element (keys, 1));

  assert_affine (image, o);
  assert_affine (labels, o);
  g_assert_null (tess_volume_warnings (image)[0]);
  g_assert_cmpint (tess_volume_n_channels (image), ==, 3);
  g_assert_cmpint (tess_volume_intent (image), ==, TESS_INTENT_IMAGE);
  g_assert_cmpint (tess_volume_intent (labels), ==, TESS_INTENT_LABEL);
}

static void
test_cases (void)
{
  g_autoptr (JsonNode) root = numpy_fixture_reference ("numpy_pairs_2.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (root), "cases");
  g_autofree char *identifier = g_path_get_basename (folder), *above = g_path_get_dirname (folder);

  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    JsonArray *keys = json_object_get_array_member (o, "keys");
    gboolean parted = json_array_get_length (keys) == 1;
    g_autofree char *path = put_arrays ("case.npz", keys, json_object_get_array_member (o, "shape"), 3);
    g_autofree char *pkl = numpy_fixture_put_base64 (folder, "case.pkl", json_object_get_string_member (o, "pkl"));
    g_autofree char *plans = g_build_filename (above, "tessTestPlans.json", NULL);

    if (!json_object_get_null_member (o, "plans")) {
      g_autofree char *text = tess_json_to_text (json_object_get_member (o, "plans"), FALSE);
      g_auto (GStrv) parts = g_strsplit (text, "IDENTIFIER", -1);
      g_autofree char *named = g_strjoinv (identifier, parts);

      g_assert_true (g_file_set_contents (plans, named, -1, NULL));
    }
    if (parted)
      check_parted (path, o);
    else
      check_separate (path, o, keys);
    g_remove (plans);
    g_remove (pkl);
  }
  g_assert_cmpuint (json_array_get_length (list), >=, 10);
}

/* A partner that would run something is named, not run, and the array stays readable. */
static void
test_hostile_partner (void)
{
  static const char hostile[] = "cos\nsystem\n(S'touch owned'\ntR.";
  g_autoptr (JsonNode) root = numpy_fixture_reference ("numpy_pairs_2.json");
  JsonObject *o =
      json_array_get_object_element (json_object_get_array_member (json_node_get_object (root), "cases"), 0);
  g_autofree char *path =
      put_arrays ("bad.npz", json_object_get_array_member (o, "keys"), json_object_get_array_member (o, "shape"), 1);
  g_autofree char *pkl = numpy_fixture_put (folder, "bad.pkl", hostile, sizeof hostile - 1), *words = NULL;
  g_autoptr (TessVolume) volume = load_entry (path, "x"), other = NULL, alone = NULL;

  g_assert_true (numpy_fixture_warned (volume, "os.system"));
  g_assert_true (numpy_fixture_warned (volume, "1 mm"));
  words = numpy_fixture_put (folder, "bad.pkl", "N.", 2);
  other = load_entry (path, "x");
  g_assert_true (numpy_fixture_warned (other, "no usable size"));
  g_remove (pkl);
  alone = load_entry (path, "x");
  g_assert_true (numpy_fixture_warned (alone, "1 mm"));
  g_remove (path);
}

static void
test_unpaired (void)
{
  static const char *const names[] = {"a.npz", "a.pkl", "b.npz", "c.pkl", "d.npy", "e.txt"};
  g_autofree char *sub = g_build_filename (folder, "cases", NULL), *missing = g_build_filename (folder, "none", NULL);
  g_autoptr (GPtrArray) sentences = NULL;
  g_autoptr (GError) error = NULL;

  g_mkdir (sub, 0700);
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    g_free (numpy_fixture_put (sub, names[i], "", 0));
  sentences = tess_numpy_unpaired (sub, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (sentences->len, ==, 2);
  g_assert_true (g_str_has_prefix (g_ptr_array_index (sentences, 0), "b.npz has no b.pkl"));
  g_assert_true (g_str_has_prefix (g_ptr_array_index (sentences, 1), "c.pkl has no c.npz"));
  g_assert_null (tess_numpy_unpaired (missing, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

int
main (int argc, char **argv)
{
  int result;
  char *top;

  g_test_init (&argc, &argv, NULL);
  top = numpy_fixture_folder (); /* nnU-Net's plans lie above the folder of cases */
  folder = g_build_filename (top, "3d_fullres", NULL);
  g_mkdir (folder, 0700);
  g_test_add_func ("/formats/numpy-pairs/numbers", test_numbers);
  g_test_add_func ("/formats/numpy-pairs/cases", test_cases);
  g_test_add_func ("/formats/numpy-pairs/hostile-partner", test_hostile_partner);
  g_test_add_func ("/formats/numpy-pairs/unpaired", test_unpaired);
  result = g_test_run ();
  remove_tree (top);
  g_free (folder);
  g_free (top);
  return result;
}
