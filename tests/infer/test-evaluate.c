/* Evaluation of files and folders. */
#include "infer-fixture.h"

#include "tess-evaluate.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <math.h>

/* 10 x 9 x 8 voxels of 2 x 2 x 2 mm; a block of each label. */
static TessVolume *
block (gint64 nx, gint64 lo1, gint64 hi1, gint64 lo2, gint64 hi2, double offset)
{
  const gint64 dim[3] = {nx, 9, 8};
  TessAffine affine = tess_affine_scale (2, 2, 2);
  TessVolume *v;
  guint8 *p;

  affine.m[1][3] = offset;
  v = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  p = tess_volume_data_mut (v);
  memset (p, 0, tess_volume_n_bytes (v));
  for (gint64 i = 0; i < tess_volume_n_voxels (v); i++)
    p[i] = i % nx >= lo1 && i % nx < hi1 ? 1 : i % nx >= lo2 && i % nx < hi2 ? 2 : 0;
  tess_volume_set_intent (v, TESS_INTENT_LABEL);
  tess_volume_set_watermark (v, tess_volume_n_slices (v));
  return v;
}

static char *
save (TessVolume *volume, const char *folder, const char *name)
{
  char *path = g_build_filename (folder, name, NULL);
  GError *error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  tess_volume_unref (volume);
  return path;
}

static void
save_free (TessVolume *volume, const char *folder, const char *name)
{
  g_free (save (volume, folder, name));
}

static JsonObject *
member (JsonObject *o, const char *name)
{
  g_assert_true (json_object_has_member (o, name));
  return json_object_get_object_member (o, name);
}

static void
expect_number (JsonObject *o, const char *name, double expected)
{
  g_assert_true (json_object_has_member (o, name));
  if (isnan (expected))
    g_assert_true (JSON_NODE_HOLDS_NULL (json_object_get_member (o, name)));
  else
    g_assert_cmpfloat_with_epsilon (json_object_get_double_member (o, name), expected, 1e-6);
}

static void
test_files (void)
{
  char *folder = fixture_folder ();
  g_autofree char *r = save (block (10, 1, 4, 6, 8, 0), folder, "r.nii.gz");
  g_autofree char *p = save (block (10, 2, 5, 6, 7, 0), folder, "p.nii");
  g_autoptr (JsonNode) result = NULL;
  JsonObject *root, *one;
  GError *error = NULL;

  result = tess_evaluate (r, p, NULL, &error);
  g_assert_no_error (error);
  root = json_node_get_object (result);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (root, "cases")), ==, 1);
  one = json_array_get_object_element (json_object_get_array_member (root, "cases"), 0);
  g_assert_cmpstr (json_object_get_string_member (one, "case"), ==, "r");
  one = member (one, "labels");
  g_assert_cmpuint (json_object_get_size (one), ==, 2);
  one = member (one, "1");
  expect_number (one, "dice", 2.0 / 3.0);
  expect_number (one, "iou", 0.5);
  expect_number (one, "volume_reference_mm3", 3 * 72 * 8);
  expect_number (one, "tp", 144);
  expect_number (one, "fp", 72);
  expect_number (one, "fn", 72);
  g_assert_true (json_object_has_member (one, "volume_prediction_mm3"));
  g_assert_false (JSON_NODE_HOLDS_NULL (json_object_get_member (one, "hd95_mm")));
  expect_number (member (member (root, "mean"), "2"), "dice", 2.0 / 3.0);
  expect_number (member (root, "foreground_mean"), "dice", 2.0 / 3.0);
  fixture_remove (folder);
}

static void
test_folders (void)
{
  char *folder = fixture_folder ();
  g_autofree char *r = g_build_filename (folder, "r", NULL);
  g_autofree char *p = g_build_filename (folder, "p", NULL);
  g_autofree char *noise = g_build_filename (folder, "r", "notes.txt", NULL);
  g_autoptr (JsonNode) result = NULL;
  g_autoptr (TessProgress) progress = tess_progress_new ();
  JsonObject *root, *labels, *unpaired;
  JsonArray *cases;
  GError *error = NULL;

  g_mkdir (r, 0700);
  g_mkdir (p, 0700);
  g_assert_true (g_file_set_contents (noise, "x", 1, NULL));
  save_free (block (10, 1, 4, 6, 8, 0), r, "b.nii.gz"); /* both labels */
  save_free (block (10, 1, 4, 6, 8, 0), p, "b.nii");
  save_free (block (10, 1, 4, 0, 0, 0), r, "a.nii.gz"); /* label 2 in neither */
  save_free (block (10, 1, 2, 0, 0, 0), p, "a.nii.gz");
  save_free (block (10, 1, 4, 6, 8, 0), r, "c.nii.gz"); /* label 2 only in the reference */
  save_free (block (10, 1, 4, 0, 0, 0), p, "c.nii.gz");
  save_free (block (10, 1, 4, 0, 0, 0), r, "lone.nii.gz");
  save_free (block (10, 1, 4, 0, 0, 0), p, "extra.nii.gz");

  result = tess_evaluate (r, p, progress, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (tess_progress_get (progress), ==, 1.0);
  root = json_node_get_object (result);
  cases = json_object_get_array_member (root, "cases");
  g_assert_cmpuint (json_array_get_length (cases), ==, 3);
  g_assert_cmpstr (json_object_get_string_member (json_array_get_object_element (cases, 0), "case"), ==, "a");
  labels = member (json_array_get_object_element (cases, 0), "labels");
  expect_number (member (labels, "1"), "dice", 0.5);
  expect_number (member (labels, "2"), "dice", NAN);
  expect_number (member (labels, "2"), "iou", NAN);
  expect_number (member (labels, "2"), "hd95_mm", NAN);
  labels = member (json_array_get_object_element (cases, 2), "labels");
  expect_number (member (labels, "2"), "dice", 0.0);
  expect_number (member (labels, "2"), "hd95_mm", NAN);
  expect_number (member (member (root, "mean"), "1"), "dice", (0.5 + 1.0 + 1.0) / 3.0);
  expect_number (member (member (root, "mean"), "2"), "dice", 0.5);
  expect_number (member (member (root, "mean"), "2"), "hd95_mm", 0.0);
  expect_number (member (member (root, "mean"), "2"), "volume_reference_mm3", 2 * 72 * 8); /* without case a */
  expect_number (member (root, "excluded"), "1", 0);
  expect_number (member (root, "excluded"), "2", 1);
  expect_number (member (root, "foreground_mean"), "dice", (2.5 / 3.0 + 0.5) / 2.0);
  unpaired = member (root, "unpaired");
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (unpaired, "reference")), ==, 1);
  g_assert_cmpstr (json_array_get_string_element (json_object_get_array_member (unpaired, "reference"), 0), ==,
                   "lone.nii.gz");
  g_assert_cmpstr (json_array_get_string_element (json_object_get_array_member (unpaired, "prediction"), 0), ==,
                   "extra.nii.gz");
  fixture_remove (folder);
}

static void
expect_failure (const char *r, const char *p, int code, const char *part)
{
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_evaluate (r, p, NULL, &error));
  g_assert_error (error, TESS_ERROR, code);
  if (!strstr (error->message, part) || strchr (error->message, '\n'))
    g_error ("\"%s\" does not say \"%s\"", error->message, part);
}

static void
test_errors (void)
{
  char *folder = fixture_folder ();
  g_autofree char *one = g_build_filename (folder, "one", NULL);
  g_autofree char *two = g_build_filename (folder, "two", NULL);
  g_autofree char *r = save (block (10, 1, 4, 6, 8, 0), folder, "r.nii.gz");
  g_autofree char *wide = save (block (11, 1, 4, 6, 8, 0), folder, "wide.nii.gz");
  g_autofree char *moved = save (block (10, 1, 4, 6, 8, 3.5), folder, "moved.nii.gz");
  g_autofree char *absent = g_build_filename (folder, "absent.nii.gz", NULL);
  g_autofree char *fraction = NULL;
  TessVolume *scan =
      fixture_scan ((gint64[]){10, 9, 8}, 1, &(TessAffine){{{2, 0, 0, 0}, {0, 2, 0, 0}, {0, 0, 2, 0}}}, 1);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;

  fraction = save (scan, folder, "fraction.nii.gz"); /* half-integer values */
  expect_failure (r, wide, TESS_ERROR_MISMATCH,
                  "wide.nii.gz: reference and prediction lie on different grids (10 x 9 x 8 and 11 x 9 x 8");
  expect_failure (
      r, moved, TESS_ERROR_MISMATCH,
      "moved.nii.gz: reference and prediction lie on different grids (their corners are up to 3.5 mm apart");
  expect_failure (r, fraction, TESS_ERROR_MISMATCH, "fraction.nii.gz");
  expect_failure (r, absent, TESS_ERROR_IO, "absent.nii.gz");
  expect_failure (r, folder, TESS_ERROR_USAGE, "two files or two folders");

  g_mkdir (one, 0700);
  g_mkdir (two, 0700);
  save_free (block (10, 1, 4, 0, 0, 0), one, "a.nii.gz");
  save_free (block (10, 1, 4, 0, 0, 0), two, "b.nii.gz");
  expect_failure (one, two, TESS_ERROR_MISMATCH, "same name");
  save_free (block (10, 1, 4, 0, 0, 0), two, "b.nii");
  expect_failure (one, two, TESS_ERROR_MISMATCH, "b.nii");

  tess_progress_cancel (progress);
  g_assert_null (tess_evaluate (r, r, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  fixture_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/infer/evaluate/files", test_files);
  g_test_add_func ("/infer/evaluate/folders", test_folders);
  g_test_add_func ("/infer/evaluate/errors", test_errors);
  return g_test_run ();
}
