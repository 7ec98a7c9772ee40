/* Kinds of pictures of which there is no real file: colours, inverted ones, frames in an order of their own; against
 * what pydicom reads (tests/reference/dicom_pictures.py, which also made the files). */
#include "dicom-fixture.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

static void
compare (JsonObject *o, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *values = json_object_get_array_member (o, "values");
  JsonArray *words = json_object_get_array_member (o, "warnings");
  g_autofree char *warnings = g_strjoinv ("\n", (char **)tess_volume_warnings (volume));
  guint n = json_array_get_length (values);
  g_autofree double *found = g_new (double, n);

  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpint (tess_volume_n_voxels (volume) * tess_volume_n_channels (volume), ==, n);
  tess_volume_values_f64 (volume, 0, n, found);
  for (guint i = 0; i < n; i++)
    if (!(fabs (found[i] - json_array_get_double_element (values, i)) <=
          json_object_get_double_member (o, "tolerance") + 1e-9))
      g_error ("number %u is %g, not %g", i, found[i], json_array_get_double_element (values, i));
  for (guint i = 0; i < json_array_get_length (words); i++)
    if (!strstr (warnings, json_array_get_string_element (words, i)))
      g_error ("no warning says \"%s\" but: %s", json_array_get_string_element (words, i), warnings);
}

static void
test_pictures (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) keep =
      tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "dicom_pictures.json", NULL), &error);
  g_autofree char *folder = dicom_temp_dir (), *path = g_build_filename (folder, "picture.dcm", NULL);
  JsonArray *cases;

  g_assert_no_error (error);
  cases = json_object_get_array_member (json_node_get_object (keep), "cases");
  g_assert_cmpuint (json_array_get_length (cases), >=, 9);
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *o = json_array_get_object_element (cases, i);
    gsize n;
    g_autofree guchar *bytes = g_base64_decode (json_object_get_string_member (o, "file"), &n);
    g_autoptr (TessVolume) volume = NULL;

    g_test_message ("%s", json_object_get_string_member (o, "name"));
    g_assert_true (g_file_set_contents (path, (const char *)bytes, (gssize)n, NULL));
    volume = tess_volume_load (path, NULL, &error);
    g_assert_no_error (error);
    compare (o, volume);
  }
  dicom_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  g_test_add_func ("/dicom-pictures", test_pictures);
  return g_test_run ();
}
