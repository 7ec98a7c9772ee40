#include "volume-check.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

JsonNode *
check_reference (const char *name)
{
  g_autoptr (GError) error = NULL;
  JsonNode *node = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", name, NULL), &error);

  g_assert_no_error (error);
  return node;
}

char *
check_digest (TessVolume *volume)
{
  g_assert_cmpint (G_BYTE_ORDER, ==, G_LITTLE_ENDIAN);
  return g_compute_checksum_for_data (G_CHECKSUM_SHA256, tess_volume_data (volume), tess_volume_n_bytes (volume));
}

void
check_affine (const TessAffine *affine, JsonObject *expected, double tolerance, const char *what)
{
  JsonArray *rows = json_object_get_array_member (expected, "affine");

  for (guint r = 0; r < 3; r++)
    for (guint k = 0; k < 4; k++) {
      double wanted = json_array_get_double_element (json_array_get_array_element (rows, r), k);

      if (!(fabs (affine->m[r][k] - wanted) <= tolerance))
        g_error ("%s: affine [%u][%u] is %.12g, the reference says %.12g", what, r, k, affine->m[r][k], wanted);
    }
}

void
check_volume (TessVolume *volume, JsonObject *expected, const char *what)
{
  JsonArray *dims = json_object_get_array_member (expected, "dims");
  g_autofree char *digest = check_digest (volume);
  char codes[4];

  g_test_message ("%s", what);
  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (expected, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (expected, "dtype"));
  check_affine (tess_volume_affine (volume), expected, 1e-5, what);
  tess_affine_orientation (tess_volume_affine (volume), codes);
  g_assert_cmpstr (codes, ==, json_object_get_string_member (expected, "orientation"));
  g_assert_cmpstr (digest, ==, json_object_get_string_member (expected, "sha256"));
  g_assert_cmpfloat (tess_volume_slope (volume), ==, 1);
  g_assert_cmpfloat (tess_volume_intercept (volume), ==, 0);
}

void
check_same (TessVolume *a, TessVolume *b, double tolerance, const char *what)
{
  const gint64 *dim = tess_volume_dim (a);
  gsize n = (gsize)(tess_volume_n_voxels (a) * tess_volume_n_channels (a));
  g_autofree double *x = g_new (double, n), *y = g_new (double, n);
  TessGrid ga = tess_volume_grid (a), gb = tess_volume_grid (b);

  g_test_message ("%s", what);
  g_assert_cmpmem (dim, 3 * sizeof *dim, tess_volume_dim (b), 3 * sizeof *dim);
  g_assert_cmpint (tess_volume_n_channels (a), ==, tess_volume_n_channels (b));
  g_assert_cmpfloat (tess_grid_corner_offset (&ga, &gb), <=, tolerance);
  tess_volume_values_f64 (a, 0, n, x);
  tess_volume_values_f64 (b, 0, n, y);
  for (gsize i = 0; i < n; i++)
    if (!(x[i] == y[i] || (isnan (x[i]) && isnan (y[i]))))
      g_error ("%s: number %" G_GSIZE_FORMAT " is %.17g, then %.17g", what, i, x[i], y[i]);
}

void
check_refused (const char *path, TessError code)
{
  g_autofree char *log = g_strconcat (path, ".stderr", NULL);
  g_autoptr (GError) error = NULL;
  int file = open (log, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup (STDERR_FILENO);
  TessVolume *volume;

  g_assert_cmpint (file, >=, 0);
  dup2 (file, STDERR_FILENO);
  volume = tess_volume_load (path, NULL, &error);
  dup2 (saved, STDERR_FILENO);
  close (saved);
  g_assert_cmpint (lseek (file, 0, SEEK_END), ==, 0);
  close (file);
  g_unlink (log);
  g_assert_null (volume);
  if (!g_error_matches (error, TESS_ERROR, (int)code))
    g_error ("%s: %s", path, error ? error->message : "no error");
  g_test_message ("%s", error->message);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_nonnull (strchr (error->message, ';'));
}

const char *
check_shared_data (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");

  if (root && g_file_test (root, G_FILE_TEST_IS_DIR))
    return root;
  g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
  return NULL;
}
