#include "tess-phantom.h"

#include "fixture.h"

#include "tess-case.h"
#include "tess-parallel.h"

#include <math.h>
#include <string.h>

static void
test_same (void)
{
  const gint64 size[3] = {32, 32, 24};
  TessVolume *image[4], *label[4];

  for (guint i = 0; i < 4; i++) {
    tess_parallel_set_threads (i == 1 ? 3 : 1);
    g_assert_true (tess_phantom_make (i == 3 ? 6 : 5, i == 2 ? 1 : 0, size, &image[i], &label[i], NULL));
  }
  tess_parallel_set_threads (0);
  g_assert_cmpmem (tess_volume_data (image[0]), tess_volume_n_bytes (image[0]), tess_volume_data (image[1]),
                   tess_volume_n_bytes (image[1]));
  g_assert_cmpmem (tess_volume_data (label[0]), tess_volume_n_bytes (label[0]), tess_volume_data (label[1]),
                   tess_volume_n_bytes (label[1]));
  for (guint i = 2; i < 4; i++) /* another scan, another seed */
    g_assert_true (tess_volume_n_bytes (image[0]) != tess_volume_n_bytes (image[i]) ||
                   memcmp (tess_volume_data (image[0]), tess_volume_data (image[i]), tess_volume_n_bytes (image[0])));
  for (guint i = 0; i < 4; i++) {
    tess_volume_unref (image[i]);
    tess_volume_unref (label[i]);
  }
}

/* Every structure in every scan, none of them to be had by one threshold. */
static void
test_contents (void)
{
  const gint64 size[3] = {64, 64, 48};

  for (guint32 k = 0; k < 6; k++) {
    g_autoptr (TessVolume) image = NULL, label = NULL;
    const gint16 *v;
    const guint8 *l;
    char codes[4];

    g_assert_true (tess_phantom_make (0, k, size, &image, &label, NULL));
    v = tess_volume_data (image);
    l = tess_volume_data (label);
    tess_affine_orientation (tess_volume_affine (image), codes);
    g_assert_cmpstr (codes, ==, "RAS");
    g_assert_true (tess_affine_is_valid (tess_volume_affine (image)));
    g_assert_cmpfloat (fabs (tess_volume_affine (image)->m[0][1]), >, 0.0);
    g_assert_cmpint (tess_volume_intent (label), ==, TESS_INTENT_LABEL);
    for (int a = 0; a < 3; a++)
      g_assert_cmpint (llabs (tess_volume_dim (image)[a] - size[a]), <=, size[a] / 10);
    for (guint8 wanted = 1; wanted < TESS_PHANTOM_N_LABELS; wanted++) {
      double sum = 0.0, squares = 0.0, mean, std;
      gint64 n = 0, near = 0;

      for (gint64 i = 0; i < tess_volume_n_voxels (image); i++)
        if (l[i] == wanted) {
          n++;
          sum += v[i];
          squares += (double)v[i] * v[i];
        }
      mean = sum / (double)n;
      std = sqrt (squares / (double)n - mean * mean);
      for (gint64 i = 0; i < tess_volume_n_voxels (image); i++)
        near += l[i] != wanted && fabs (v[i] - mean) < 2.0 * std;
      g_test_message ("scan %u label %d: %d voxels, %.0f +- %.0f HU, %d others as bright", k, wanted, (int)n, mean, std,
                      (int)near);
      g_assert_cmpint (n, >, 400);
      g_assert_cmpint (n, <, tess_volume_n_voxels (image) / 5);
      g_assert_true (mean > 60.0 && mean < 250.0);
      g_assert_cmpint (near, >, n / 2);
    }
  }
}

static void
test_write (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *out = g_build_filename (root, "new", "phantoms", NULL);
  g_autofree char *held_out = g_build_filename (out, "imagesTs", "phantom_004_0000.nii.gz", NULL);
  g_autofree char *held_out_label = g_build_filename (out, "labelsTs", "phantom_004.nii.gz", NULL);
  const TessPhantomOptions options = {.n_cases = 3, .n_test = 1, .size = {24, 24, 20}, .seed = 9};
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (TessDataset) dataset = NULL;
  g_autoptr (TessVolume) image = NULL, label = NULL;
  GError *error = NULL;

  g_assert_true (tess_phantom_write (out, &options, progress, &error));
  g_assert_no_error (error);
  g_assert_cmpfloat (tess_progress_get (progress), ==, 1.0);
  dataset = tess_dataset_open (out, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (dataset->has_json);
  g_assert_cmpuint (dataset->cases->len, ==, 3);
  g_assert_cmpuint (dataset->n_labels, ==, TESS_PHANTOM_N_LABELS);
  g_assert_cmpstr (dataset->channel_names[0], ==, "CT");
  for (guint i = 0; i < 3; i++) {
    g_autoptr (TessCase) c = tess_case_load (dataset, i, NULL, NULL, &error);

    g_assert_no_error (error);
    g_assert_cmpint (tess_volume_dtype (c->images[0]), ==, TESS_DTYPE_I16);
    for (guint l = 1; l < c->n_labels; l++)
      g_assert_cmpuint (c->class_count[l], >, 10);
  }
  image = tess_volume_load (held_out, NULL, &error);
  g_assert_no_error (error);
  label = tess_load_label (held_out_label, image, TESS_PHANTOM_N_LABELS, &error);
  g_assert_no_error (error);

  g_assert_false (tess_phantom_write (out, &options, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "is not an empty folder"));
  g_clear_error (&error);
  g_assert_false (tess_phantom_write (held_out, &options, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  tess_progress_cancel (progress);
  remove_tree (out);
  g_assert_false (tess_phantom_write (out, &options, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  remove_root (root);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/phantom/same", test_same);
  g_test_add_func ("/data/phantom/contents", test_contents);
  g_test_add_func ("/data/phantom/write", test_write);
  return g_test_run ();
}
