#include "hdf5-fixture.h"

#include "tess-deflate.h"

JsonNode *
hdf5_fixture_reference (void)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "hdf5.json", NULL), &error);

  g_assert_no_error (error);
  return node;
}

guint8 *
hdf5_fixture_file (JsonObject *file, gsize *n)
{
  gsize n_packed;
  g_autofree guchar *packed = g_base64_decode (json_object_get_string_member (file, "file"), &n_packed);
  guint8 *bytes;

  *n = (gsize)json_object_get_int_member (file, "n");
  bytes = g_malloc (*n);
  g_assert_true (tess_zlib_unpack (packed, n_packed, bytes, *n));
  return bytes;
}

char *
hdf5_fixture_put (const char *folder, JsonObject *file)
{
  char *path = g_build_filename (folder, json_object_get_string_member (file, "name"), NULL);
  gsize n;
  g_autofree guint8 *bytes = hdf5_fixture_file (file, &n);

  g_assert_true (g_file_set_contents (path, (const char *)bytes, (gssize)n, NULL));
  return path;
}

gboolean
hdf5_fixture_have_codec (void)
{
  const char *codec = g_getenv ("TESSERA_CODEC");

  if (TESS_HAVE_HDF5 && codec && g_file_test (codec, G_FILE_TEST_IS_EXECUTABLE))
    return TRUE;
  g_print ("1..0 # SKIP built without HDF5\n");
  return FALSE;
}
