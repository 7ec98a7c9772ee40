#include "numpy-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

char *
numpy_fixture_folder (void)
{
  g_autoptr (GError) error = NULL;
  char *folder = g_dir_make_tmp ("tess-numpy-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

char *
numpy_fixture_put (const char *folder, const char *name, const void *data, gsize n)
{
  char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600,
                            &error); /* no waiting for the disk */
  g_assert_no_error (error);
  return path;
}

char *
numpy_fixture_put_base64 (const char *folder, const char *name, const char *base64)
{
  gsize n;
  g_autofree guchar *data = g_base64_decode (base64, &n);

  return numpy_fixture_put (folder, name, data, n);
}

JsonNode *
numpy_fixture_reference (const char *name)
{
  g_autoptr (GError) error = NULL;
  JsonNode *root = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", name, NULL), &error);

  g_assert_no_error (error);
  return root;
}

void
numpy_fixture_assert_refused (const char *location, const char *path, int code, const char *says)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_load (location, NULL, &error);

  g_assert_null (volume);
  if (!g_error_matches (error, TESS_ERROR, code) || (says && !strstr (error->message, says)))
    g_error ("%s: %s (expected %d, %s)", location, error ? error->message : "no error", code, says ? says : "");
  g_assert_true (g_str_has_prefix (error->message, path));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

gboolean
numpy_fixture_warned (TessVolume *volume, const char *part)
{
  for (const char *const *w = tess_volume_warnings (volume); *w; w++)
    if (strstr (*w, part))
      return TRUE;
  return FALSE;
}
