/* Against pynrrd, SimpleITK and slicerio: real files (tests/reference/nrrd_info.py), and small ones they have written
 * (nrrd_files.py). Voxels are compared by their SHA-256. */
#include "../remove-tree.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

static JsonArray *
load_list (const char *name, JsonNode **keep)
{
  g_autoptr (GError) error = NULL;

  *keep = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", name, NULL), &error);
  g_assert_no_error (error);
  return json_node_get_array (*keep);
}

static void
compare_labels (TessVolume *volume, JsonArray *labels)
{
  TessLabelTable *table = tess_volume_peek_labels (volume);
  guint n = json_array_get_length (labels), named = 0;

  g_assert_cmpint (tess_volume_intent (volume) == TESS_INTENT_LABEL, ==, n > 0);
  if (n == 0)
    return;
  for (guint i = 0; i < n; i++) {
    JsonObject *o = json_array_get_object_element (labels, i);
    JsonArray *colour = json_object_get_array_member (o, "colour");
    const TessLabel *label = tess_label_table_find (table, json_object_get_int_member (o, "value"));

    g_assert_nonnull (label);
    g_assert_cmpstr (label->name, ==, json_object_get_string_member (o, "name"));
    for (guint k = 0; k < 3; k++)
      g_assert_cmpint (label->rgba[k], ==, json_array_get_int_element (colour, k));
    g_assert_cmpint (label->rgba[3], ==, 255);
  }
  for (guint i = 0; i < tess_label_table_n (table); i++)
    named += tess_label_table_peek (table, i)->value > 0;
  g_assert_cmpuint (named, ==, n);
}

static void
compare (JsonObject *o, const char *name, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *rows = json_object_get_array_member (o, "affine");
  g_autofree char *sum =
      g_compute_checksum_for_data (G_CHECKSUM_SHA256, tess_volume_data (volume), tess_volume_n_bytes (volume));

  for (guint k = 0; k < 3; k++)
    if (tess_volume_dim (volume)[k] != json_array_get_int_element (dims, k))
      g_error ("%s: dim[%u] is %d", name, k, (int)tess_volume_dim (volume)[k]);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
  for (guint r = 0; r < 3; r++)
    for (guint k = 0; k < 4; k++) {
      double expected = json_node_get_double (json_array_get_element (json_array_get_array_element (rows, r), k));

      if (!(fabs (tess_volume_affine (volume)->m[r][k] - expected) <= 1e-5))
        g_error ("%s: [%u][%u] is %.9g, not %.9g", name, r, k, tess_volume_affine (volume)->m[r][k], expected);
    }
  if (strcmp (sum, json_object_get_string_member (o, "sha256")) != 0)
    g_error ("%s: the voxels differ", name);
  if (json_object_has_member (o, "labels"))
    compare_labels (volume, json_object_get_array_member (o, "labels"));
}

static gboolean
same_voxels (TessVolume *a, TessVolume *b)
{
  return tess_volume_dtype (a) == tess_volume_dtype (b) && tess_volume_n_bytes (a) == tess_volume_n_bytes (b) &&
         tess_volume_n_channels (a) == tess_volume_n_channels (b) &&
         memcmp (tess_volume_data (a), tess_volume_data (b), tess_volume_n_bytes (a)) == 0 &&
         memcmp (tess_volume_dim (a), tess_volume_dim (b), 3 * sizeof (gint64)) == 0;
}

/* Written as NRRD it is the same, with its affine bit for bit; as NIfTI and back within float32. */
static void
round_trip (const char *name, TessVolume *volume)
{
  static const char *const outs[] = {"o.nrrd", "o.nhdr", "o.nii.gz", "p.nrrd"};
  TessVolume *last = tess_volume_ref (volume);

  for (guint i = 0; i < G_N_ELEMENTS (outs); i++) {
    g_autofree char *path = g_build_filename (folder, outs[i], NULL);
    g_autoptr (GError) error = NULL;
    TessVolume *from = i == 3 ? last : volume, *again;
    double scale = i < 2 ? 0.0 : 1e-3;

    if (!tess_volume_save (from, path, NULL, &error))
      g_error ("%s: %s", name, error->message);
    again = tess_volume_load (path, NULL, &error);
    if (!again)
      g_error ("%s: %s", name, error->message);
    if (!same_voxels (volume, again))
      g_error ("%s: other voxels in %s", name, outs[i]);
    g_assert_true (tess_affine_equal (tess_volume_affine (volume), tess_volume_affine (again), scale));
    if (i < 2) {
      g_assert_cmpint (tess_volume_intent (volume), ==, tess_volume_intent (again));
      g_assert_cmpstrv (tess_volume_warnings (volume), tess_volume_warnings (again));
    }
    tess_volume_unref (last);
    last = again;
  }
  tess_volume_unref (last);
}

static void
test_real_files (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *list = load_list ("nrrd_info.json", &keep);
  guint n_compared = 0, n_refused = 0;

  if (!root || !g_file_test (root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *file = json_object_get_string_member (o, "file");
    g_autofree char *path = g_build_filename (root, file, NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

    if (json_object_has_member (o, "fails")) {
      g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
      g_assert_true (g_str_has_prefix (error->message, path));
      g_assert_nonnull (strchr (error->message, ';'));
      n_refused++;
      continue;
    }
    if (error)
      g_error ("%s", error->message);
    compare (o, file, volume);
    g_assert_cmpuint (g_strv_length ((char **)tess_volume_warnings (volume)), ==, 0);
    round_trip (file, volume);
    n_compared++;
  }
  g_test_message ("%u files equal to pynrrd and SimpleITK, %u refused", n_compared, n_refused);
  g_assert_cmpuint (n_compared, >=, 19);
  g_assert_cmpuint (n_refused, ==, 1);
}

static void
test_written_files (void)
{
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *list = load_list ("nrrd_files.json", &keep);

  g_assert_cmpuint (json_array_get_length (list), >, 70);
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    JsonArray *files = json_object_get_array_member (o, "files");
    const char *name = json_object_get_string_member (o, "name");
    const char *entry = json_object_has_member (o, "entry") ? json_object_get_string_member (o, "entry") : "";
    g_autofree char *location = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = NULL;

    for (guint k = 0; k < json_array_get_length (files); k++) {
      JsonArray *pair = json_array_get_array_element (files, k);
      g_autofree char *path = g_build_filename (folder, json_array_get_string_element (pair, 0), NULL);
      gsize n;
      g_autofree guchar *bytes = g_base64_decode (json_array_get_string_element (pair, 1), &n);

      g_assert_true (g_file_set_contents (path, (char *)bytes, (gssize)n, NULL));
      if (k == 0)
        location = *entry ? g_strconcat (path, "::", entry, NULL) : g_strdup (path);
    }
    volume = tess_volume_load (location, NULL, &error);
    if (!volume)
      g_error ("%s: %s", name, error->message);
    compare (o, name, volume);
    g_assert_cmpuint (g_strv_length ((char **)tess_volume_warnings (volume)), ==,
                      json_object_has_member (o, "warned") ? 1 : 0);
    if (G_BYTE_ORDER == G_LITTLE_ENDIAN)
      round_trip (name, volume);
  }
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-nrrd-XXXXXX", NULL);
  g_test_add_func ("/formats/nrrd/real-files", test_real_files);
  g_test_add_func ("/formats/nrrd/written-files", test_written_files);
  status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}
