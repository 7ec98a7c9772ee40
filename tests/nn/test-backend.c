#include <glib/gstdio.h>

#include "ref-backend.h"

/* The registry tries a plugin once a process, so every case runs in one of its own. */

static void
in_subprocess (const char *plugin_mode, const char *plugin_folder)
{
  g_setenv ("TESSERA_TEST_PLUGIN", plugin_mode, TRUE);
  g_setenv ("TESSERA_BACKEND_DIR", plugin_folder, TRUE);
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_DEFAULT);
  g_test_trap_assert_passed ();
}

static char *
built_folder (void)
{
  return g_test_build_filename (G_TEST_BUILT, "nn", NULL);
}

/* auto: cuda when it loads, trains and has a device. */
static void
test_good (void)
{
  g_autofree char *folder = built_folder (), *why = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ()) {
    in_subprocess ("good", folder);
    return;
  }
  tess_backend_register (ref_backend ());
  g_assert_cmpstr (tess_backend_choose ("auto", &why, &error)->id, ==, "cuda");
  g_assert_no_error (error);
  g_assert_cmpstr (why, ==, "cuda (Test Card)");
  g_clear_pointer (&why, g_free);
  g_assert_cmpstr (tess_backend_choose ("cpu", &why, &error)->id, ==, "cpu");
  g_assert_cmpstr (why, ==, "cpu (Reference, double)");
  g_assert_true (tess_backend_choose ("cuda", NULL, &error) == tess_backend_find ("cuda", NULL));
}

/* Each of these ends with the CPU, and one line that says why. */
static void
fall_back (const char *plugin_mode, const char *words)
{
  g_autofree char *folder = built_folder (), *why = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ()) {
    in_subprocess (plugin_mode, folder);
    return;
  }
  tess_backend_register (ref_backend ());
  for (int again = 0; again < 2; again++) {
    g_clear_pointer (&why, g_free);
    g_assert_cmpstr (tess_backend_choose (again ? NULL : "auto", &why, &error)->id, ==, "cpu");
    g_assert_no_error (error);
    g_assert_true (g_str_has_prefix (why, "cpu (Reference, double); not cuda: "));
    if (strstr (why, words) == NULL || strchr (why, '\n') != NULL)
      g_error ("\"%s\" does not say \"%s\" in one line", why, words);
  }
  if (strcmp (plugin_mode, "infers") == 0) { /* good enough when asked for by name */
    g_assert_nonnull (tess_backend_choose ("cuda", NULL, &error));
    return;
  }
  g_assert_null (tess_backend_choose ("cuda", NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

static void
test_no_device (void)
{
  fall_back ("no-device", "no card is fitted");
}

static void
test_infers (void)
{
  fall_back ("infers", "has not been tried on a GPU");
}

static void
test_old (void)
{
  fall_back ("old", "libtessera-cuda.so was made for another version");
}

static void
test_refuses (void)
{
  fall_back ("refuses", "libtessera-cuda.so was made for another version");
}

static void
test_other_id (void)
{
  fall_back ("other-id", "libtessera-cuda.so was made for another version");
}

/* A file that is no library. */
static void
test_broken (void)
{
  g_autofree char *why = NULL;
  g_autoptr (GError) error = NULL;

  if (!g_test_subprocess ()) {
    g_autofree char *folder = g_dir_make_tmp ("tessera-XXXXXX", NULL);
    g_autofree char *path = g_build_filename (folder, "libtessera-cuda.so", NULL);

    g_assert_true (g_file_set_contents (path, "not a library", -1, NULL));
    in_subprocess ("good", folder);
    g_unlink (path);
    g_rmdir (folder);
    return;
  }
  tess_backend_register (ref_backend ());
  g_assert_cmpstr (tess_backend_choose ("auto", &why, &error)->id, ==, "cpu");
  g_assert_nonnull (strstr (why, "cannot be loaded"));
}

static void
test_unknown (void)
{
  g_autoptr (GError) error = NULL;
  const char *const *ids;

  if (!g_test_subprocess ()) {
    in_subprocess ("good", "");
    return;
  }
  g_assert_cmpuint (tess_backends_known (&ids), ==, 2);
  g_assert_cmpstr (ids[0], ==, "cpu");
  g_assert_cmpstr (ids[1], ==, "cuda");
  g_assert_null (tess_backend_choose ("tpu", NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
  g_clear_error (&error);
  g_assert_null (tess_backend_choose ("cpu", NULL, &error)); /* nobody registered it */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

static TessBuffer *
refuse_new (TessDevice *device, gsize bytes, GError **error)
{
  g_set_error_literal (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, "full");
  return NULL;
}

static gboolean
refuse_upload (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  g_set_error_literal (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST, "gone");
  return FALSE;
}

/* A buffer with what it is to hold; none is left over where that cannot be copied. */
static void
test_upload_new (void)
{
  const guint8 data[] = {3, 1, 4, 1, 5};
  TessBackendIface backend = *ref_backend ();
  g_autoptr (GError) error = NULL;
  TessDevice *device = backend.open (0, 1, &error);
  guint n = ref_backend_live ();
  TessBuffer *buffer = tess_backend_upload_new (&backend, device, data, sizeof data, &error);

  g_assert_no_error (error);
  g_assert_cmpmem (backend.buffer_host (buffer), sizeof data, data, sizeof data);
  backend.buffer_free (buffer);
  backend.upload = refuse_upload;
  g_assert_null (tess_backend_upload_new (&backend, device, data, sizeof data, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST);
  g_clear_error (&error);
  backend.buffer_new = refuse_new;
  g_assert_null (tess_backend_upload_new (&backend, device, data, sizeof data, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_cmpuint (ref_backend_live (), ==, n);
  backend.close (device);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/backend/good", test_good);
  g_test_add_func ("/nn/backend/no-device", test_no_device);
  g_test_add_func ("/nn/backend/infers", test_infers);
  g_test_add_func ("/nn/backend/old", test_old);
  g_test_add_func ("/nn/backend/refuses", test_refuses);
  g_test_add_func ("/nn/backend/other-id", test_other_id);
  g_test_add_func ("/nn/backend/broken", test_broken);
  g_test_add_func ("/nn/backend/unknown", test_unknown);
  g_test_add_func ("/nn/backend/upload-new", test_upload_new);
  return g_test_run ();
}
