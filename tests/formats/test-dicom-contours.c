/* Structure sets against masks of scikit-image (tests/reference/dicom_contours.py, which also made the files). */
#include "dicom-fixture.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <string.h>

static JsonArray *cases;

/* The files of a case, in a new folder. */
static char *
write_files (JsonObject *o)
{
  char *folder = dicom_temp_dir ();
  JsonObject *files = json_object_get_object_member (o, "files");
  g_autoptr (GList) names = json_object_get_members (files);

  for (GList *name = names; name; name = name->next) {
    g_autofree char *path = g_build_filename (folder, name->data, NULL), *parent = g_path_get_dirname (path);
    gsize n;
    g_autofree guchar *bytes = g_base64_decode (json_object_get_string_member (files, name->data), &n);

    g_mkdir_with_parents (parent, 0700);
    g_assert_true (g_file_set_contents (path, (const char *)bytes, (gssize)n, NULL));
  }
  return folder;
}

static TessVolume *
load (const char *folder, const char *inside)
{
  g_autofree char *path = g_strconcat (folder, inside, NULL);
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

static gint64
label_at (TessVolume *volume, gsize i)
{
  return tess_volume_dtype (volume) == TESS_DTYPE_U8 ? ((const guint8 *)tess_volume_data (volume))[i]
                                                     : ((const guint16 *)tess_volume_data (volume))[i];
}

/* Where any channel has the value. */
static void
compare_region (JsonObject *region, TessVolume *volume)
{
  gint64 value = json_object_get_int_member (region, "value");
  gsize n = (gsize)tess_volume_n_voxels (volume), count = 0;
  const TessLabel *label = tess_label_table_find (tess_volume_peek_labels (volume), value);
  JsonArray *colour = json_object_get_array_member (region, "colour");
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA1);
  g_autofree guint8 *mask = g_new0 (guint8, n);

  for (gsize c = 0; c < (gsize)tess_volume_n_channels (volume); c++)
    for (gsize i = 0; i < n; i++)
      if (label_at (volume, c * n + i) == value)
        mask[i] = 1;
  for (gsize i = 0; i < n; i++)
    count += mask[i];
  g_assert_nonnull (label);
  g_assert_cmpstr (label->name, ==, json_object_get_string_member (region, "name"));
  for (guint k = 0; k < json_array_get_length (colour); k++)
    g_assert_cmpint (label->rgba[k], ==, json_array_get_int_element (colour, k));
  g_assert_cmpuint (count, ==, (guint64)json_object_get_int_member (region, "count"));
  g_checksum_update (sum, mask, (gssize)n);
  if (json_object_has_member (region, "sha1"))
    g_assert_cmpstr (g_checksum_get_string (sum), ==, json_object_get_string_member (region, "sha1"));
}

static void
compare (JsonObject *o, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *regions = json_object_get_array_member (o, "regions");
  JsonArray *words = json_object_get_array_member (o, "warnings");
  g_autofree char *warnings = g_strjoinv ("\n", (char **)tess_volume_warnings (volume));

  g_assert_cmpint (tess_volume_intent (volume), ==, TESS_INTENT_LABEL);
  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpuint (tess_label_table_n (tess_volume_peek_labels (volume)), ==, json_array_get_length (regions));
  for (guint i = 0; i < json_array_get_length (regions); i++)
    compare_region (json_array_get_object_element (regions, i), volume);
  for (guint i = 0; i < json_array_get_length (words); i++)
    if (!strstr (warnings, json_array_get_string_element (words, i)))
      g_error ("no warning says \"%s\" but: %s", json_array_get_string_element (words, i), warnings);
  g_assert_null (strstr (warnings, "ecret"));
  g_assert_null (strstr (warnings, "SECRET"));
}

static void
test_masks (void)
{
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *o = json_array_get_object_element (cases, i);
    g_autofree char *folder = write_files (o);
    g_autoptr (TessVolume) by_file = NULL;

    g_test_message ("%s", json_object_get_string_member (o, "name"));
    by_file = load (folder, "/contours/rt.dcm");
    compare (o, by_file);
    dicom_remove (folder);
  }
}

/* A folder with the scan and its contours opens as the scan, says so, and the contours can be named; they have its
 * grid. */
static void
test_beside (void)
{
  JsonObject *o = json_array_get_object_element (cases, 1);
  g_autofree char *folder = write_files (o), *warnings = NULL;
  g_autoptr (TessVolume) scan = load (folder, ""), labels = load (folder, "::1.2.3.500");
  g_autoptr (GPtrArray) entries = tess_volume_entries (folder, NULL);

  compare (o, labels);
  warnings = g_strjoinv ("\n", (char **)tess_volume_warnings (scan));
  g_assert_nonnull (strstr (warnings, "Labels lie beside the scan (RTSTRUCT, Plan A)"));
  g_assert_nonnull (strstr (warnings, "::1.2.3.500"));
  g_assert_cmpint (tess_volume_intent (scan), ==, TESS_INTENT_IMAGE);
  g_assert_true (tess_affine_equal (tess_volume_affine (scan), tess_volume_affine (labels), 0));
  g_assert_cmpuint (entries->len, ==, 2);
  dicom_remove (folder);
}

/* Bytes of a contour changed: numbers that are none, a point without z, one nowhere near a body, another axis. */
static void
test_damage (void)
{
  static const struct {
    const char *from, *to, *says;
  } changes[] = {
      {"\\-7.0000\\-10.0000\\", "\\-7.x000\\-10.0000\\", "1 contour is damaged"},
      {"\\-7.0000\\-10.0000\\", "\\-7.0000_-10.0000\\", "1 contour is damaged"},
      {"\\-7.0000\\-10.0000\\", "\\-7.0000\\-99.0000\\", "axial planes"},
      {"\\-7.0000\\-10.0000\\", "\\-7.0000\\1.0e+12 \\", "cannot be read"},
      {"CLOSED_PLANAR", "OPEN_PLANAR  ", "1 point or open line"},
  };
  JsonObject *o = json_array_get_object_element (cases, json_array_get_length (cases) - 1);

  for (guint i = 0; i < G_N_ELEMENTS (changes); i++) {
    g_autofree char *folder = write_files (o), *path = g_build_filename (folder, "contours", "rt.dcm", NULL);
    g_autofree char *bytes = NULL, *said = NULL;
    g_autoptr (TessVolume) volume = NULL;
    g_autoptr (GError) error = NULL;
    gsize n;
    char *at;

    g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
    at = memmem (bytes, n, changes[i].from, strlen (changes[i].from));
    g_assert_nonnull (at);
    memcpy (at, changes[i].to, strlen (changes[i].from));
    g_assert_true (g_file_set_contents (path, bytes, (gssize)n, NULL));
    volume = tess_volume_load (path, NULL, &error);
    said = volume ? g_strjoinv ("\n", (char **)tess_volume_warnings (volume)) : g_strdup (error->message);
    if (!strstr (said, changes[i].says))
      g_error ("%s: said \"%s\"", changes[i].says, said);
    if (error)
      g_assert_true (g_str_has_prefix (error->message, path) && !strchr (error->message, '\n'));
    dicom_remove (folder);
  }
}

int
main (int argc, char **argv)
{
  g_autoptr (JsonNode) keep = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *path = NULL;

  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  path = g_test_build_filename (G_TEST_DIST, "reference", "dicom_contours.json", NULL);
  keep = tess_json_load (path, &error);
  g_assert_no_error (error);
  cases = json_object_get_array_member (json_node_get_object (keep), "cases");
  g_test_add_func ("/dicom-contours/masks", test_masks);
  g_test_add_func ("/dicom-contours/beside", test_beside);
  g_test_add_func ("/dicom-contours/damage", test_damage);
  return g_test_run ();
}
