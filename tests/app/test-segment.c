/* Does a model fit the open scan: said before anything is computed. */
#include "results-fixture.h"
#include "tess-plan.h"
#include "tess-format-registry.h"
#include "tess-safetensors.h"
#include "tess-segment-private.h"

#include <glib/gstdio.h>
#include <string.h>

static char *
model_new (guint n_channels)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autofree char *text = NULL;
  char *path = NULL;
  GError *error = NULL;
  int fd = g_file_open_tmp ("tessera-XXXXXX.safetensors", &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  g_close (fd, NULL);
  g_free (plan->dataset_name);
  plan->dataset_name = g_strdup ("torso");
  for (guint c = 0; c < n_channels; c++)
    tess_plan_add_channel (plan, c ? "PET" : "CT", TESS_NORM_ZSCORE);
  tess_plan_add_label (plan, "background", 0);
  tess_plan_add_label (plan, "organ", 1);
  tess_plan_add_label (plan, "vessel", 2);
  plan->network.n_stages = 2;
  for (guint s = 0; s < TESS_MAX_STAGES; s++) {
    plan->network.features[s] = s < 2 ? 4 : 0;
    plan->network.convs_encoder[s] = s < 2;
    plan->network.convs_decoder[s] = s < 1;
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[s][a] = s < 2 ? 3 : 0;
      plan->network.stride[s][a] = s == 0 ? 1 : s == 1 ? 2 : 0;
    }
  }
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = 1.0;
    plan->patch[a] = 8;
  }
  tess_plan_validate (plan, "test", &error);
  g_assert_no_error (error);
  text = tess_plan_to_text (plan);
  tess_safetensors_writer_metadata (writer, "tessera.plan", text);
  tess_safetensors_writer_save (writer, path, &error);
  g_assert_no_error (error);
  return path;
}

static void
test_describe (void)
{
  g_autofree char *path = model_new (1), *text = NULL;
  GError *error = NULL;

  text = tess_segment_check_model (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (text, "torso"));
  g_assert_nonnull (strstr (text, "CT"));
  g_assert_nonnull (strstr (text, "organ, vessel"));
  g_assert_null (strstr (text, "background"));
  g_remove (path);
}

static void
test_channels (void)
{
  g_autofree char *one = model_new (1), *two = model_new (2);
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessVolume) scan = fixture_scan ();
  GError *error = NULL;

  g_assert_true (tess_segment_model_fits (two, study, &error)); /* nothing is open */
  g_assert_no_error (error);
  tess_study_add_layer (study, scan, "scan");
  g_assert_true (tess_segment_model_fits (one, study, &error));
  g_assert_no_error (error);
  g_assert_false (tess_segment_model_fits (two, study, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "2 channels (CT, PET)"));
  g_assert_nonnull (strstr (error->message, "has 1"));
  g_clear_error (&error);
  g_remove (one);
  g_remove (two);
}

static void
test_not_a_scan (void)
{
  g_autofree char *one = model_new (1);
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessVolume) labels = fixture_labels (4, 4);
  GError *error = NULL;

  tess_study_add_layer (study, labels, "labels");
  g_assert_false (tess_segment_model_fits (one, study, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "labels: is a label map"));
  g_clear_error (&error);
  g_remove (one);
}

static void
test_no_model (void)
{
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autofree char *path = model_new (1);
  GError *error = NULL;

  tess_safetensors_writer_metadata (writer, "format", "pt");
  g_assert_true (tess_safetensors_writer_save (writer, path, NULL));
  g_assert_false (tess_segment_model_fits (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_clear_error (&error);
  g_assert_true (g_file_set_contents (path, "not a model", -1, NULL));
  g_assert_false (tess_segment_model_fits (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_clear_error (&error);
  g_remove (path);
  g_assert_false (tess_segment_model_fits (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
}

/* What other programs trained: as a file, and as the folder of its folds. */
static void
test_other_programs (void)
{
  g_autofree char *checkpoint = g_test_build_filename (G_TEST_DIST, "reference", "torch_checkpoint.pth", NULL);
  g_autofree char *old = g_test_build_filename (G_TEST_DIST, "reference", "nnunet_v1_3d.model", NULL);
  g_autofree char *kinds = g_test_build_filename (G_TEST_DIST, "reference", "torch_kinds.pth", NULL);
  g_autofree char *folder = g_dir_make_tmp ("tessera-folds-XXXXXX", NULL), *text = NULL, *text1 = NULL, *text2 = NULL;
  g_autofree char *fold = g_build_filename (folder, "fold_2", NULL), *bytes = NULL;
  g_autofree char *file = g_build_filename (fold, "checkpoint_final.pth", NULL);
  GError *error = NULL;
  gsize n;

  text = tess_segment_check_model (checkpoint, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (text, "CT, MR"));
  text1 = tess_segment_check_model (old, NULL, &error);
  g_assert_no_error (error);
  g_assert_nonnull (strstr (text1, "Task777_Made"));
  g_assert_false (tess_segment_model_fits (kinds, NULL, &error));
  g_assert_nonnull (strstr (error->message, "no plans"));
  g_clear_error (&error);

  g_assert_false (tess_segment_model_fits (folder, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "this folder holds no model"));
  g_clear_error (&error);
  g_assert_cmpint (g_mkdir (fold, 0700), ==, 0);
  g_assert_true (g_file_get_contents (checkpoint, &bytes, &n, NULL));
  g_assert_true (g_file_set_contents (file, bytes, (gssize)n, NULL));
  text2 = tess_segment_check_model (folder, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (text2, ==, text);
  g_remove (file);
  g_rmdir (fold);
  g_rmdir (folder);
}

static void
opened_cb (GObject *study, GAsyncResult *result, gpointer data)
{
  GError *error = NULL;

  tess_study_open_finish (TESS_STUDY (study), result, &error);
  g_assert_no_error (error);
  *(gboolean *)data = TRUE;
}

static gboolean
is_true (gpointer data)
{
  return *(gboolean *)data;
}

/* A channel a file, as nnU-Net keeps them: the others are found beside the first, or the one missing is named. */
static void
test_channel_files (void)
{
  g_autofree char *folder = g_dir_make_tmp ("tessera-channels-XXXXXX", NULL), *two = model_new (2), *name = NULL;
  g_autofree char *first = g_build_filename (folder, "a_0000.nii.gz", NULL);
  g_autofree char *second = g_build_filename (folder, "a_0001.nii.gz", NULL);
  g_autoptr (TessVolume) scan = fixture_scan ();
  g_autoptr (TessStudy) study = tess_study_new ();
  g_auto (GStrv) more = NULL;
  gboolean opened = FALSE;
  GError *error = NULL;

  g_assert_true (tess_volume_save (scan, first, NULL, &error));
  tess_study_open_async (study, first, NULL, TESS_OPEN_SCAN, NULL, opened_cb, &opened);
  fixture_wait (is_true, &opened);
  g_assert_false (tess_segment_look (two, study, &name, &more, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "a_0001.nii.gz is not beside the scan"));
  g_clear_error (&error);

  g_assert_true (tess_volume_save (scan, second, NULL, &error));
  g_assert_true (tess_segment_look (two, study, &name, &more, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (name, ==, "torso");
  g_assert_cmpuint (g_strv_length (more), ==, 1);
  g_assert_cmpstr (more[0], ==, second);
  g_remove (first);
  g_remove (second);
  g_rmdir (folder);
  g_remove (two);
}

/* A series over time is no scan of one channel. */
static void
test_series (void)
{
  g_autofree char *one = model_new (1);
  const gint64 dim[3] = {4, 4, 4};
  TessAffine affine = tess_affine_scale (1.0, 1.0, 1.0);
  g_autoptr (TessVolume) series = tess_volume_new (TESS_DTYPE_I16, dim, 5, &affine, NULL);
  g_autoptr (TessStudy) study = tess_study_new ();
  GError *error = NULL;

  tess_study_add_layer (study, series, "series");
  g_assert_false (tess_segment_model_fits (one, study, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "needs one channel (CT), but the scan has 5"));
  g_clear_error (&error);
  g_remove (one);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/segment/describe", test_describe);
  g_test_add_func ("/app/segment/channels", test_channels);
  g_test_add_func ("/app/segment/not-a-scan", test_not_a_scan);
  g_test_add_func ("/app/segment/no-model", test_no_model);
  g_test_add_func ("/app/segment/other-programs", test_other_programs);
  g_test_add_func ("/app/segment/channel-files", test_channel_files);
  g_test_add_func ("/app/segment/series", test_series);
  return g_test_run ();
}
