/* The model of Results, alone: choice, comparison, what is seen, late results, folders. */
#include "results-fixture.h"
#include "tess-case-picture.h"
#include "tess-results.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static gboolean
is_settled (gpointer data)
{
  return tess_results_get_state (data) != TESS_RESULTS_WORKING;
}

static TessLayer *
add (TessStudy *study, TessVolume *volume, const char *name)
{
  TessLayer *layer = tess_study_add_layer (study, volume, name);

  tess_volume_unref (volume);
  g_assert_nonnull (layer);
  return layer;
}

static TessLayer *
find_difference (TessResults *results, TessStudy *study)
{
  GPtrArray *layers = tess_study_get_scene (study)->layers;

  for (guint i = 0; i < layers->len; i++)
    if (tess_results_is_difference (results, layers->pdata[i]))
      return layers->pdata[i];
  return NULL;
}

static void
test_choice (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  TessLayer *reference, *prediction, *third;

  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_NO_LABELS);
  add (study, fixture_scan (), "scan");
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_NO_LABELS);
  reference = add (study, fixture_labels (4, 4), "reference");
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_ONE_LAYER);
  prediction = add (study, fixture_labels (2, 4), "prediction");
  g_assert_true (tess_results_get_prediction (results) == prediction);
  g_assert_true (tess_results_get_reference (results) == reference);

  tess_results_set_prediction (results, prediction);
  third = add (study, fixture_labels (3, 3), "another prediction");
  tess_results_set_prediction (results, third);
  g_assert_true (tess_results_get_reference (results) == reference);
  tess_study_remove_layer (study, third);
  tess_results_set_prediction (results, prediction);

  /* the same layer is never both */
  tess_results_set_prediction (results, reference);
  g_assert_true (tess_results_get_prediction (results) == reference);
  g_assert_true (tess_results_get_reference (results) == prediction);
  tess_results_set_reference (results, reference);
  g_assert_true (tess_results_get_prediction (results) == prediction);

  /* what was chosen stays when another comes, and is guessed anew when it goes */
  third = add (study, fixture_labels (1, 1), "third");
  g_assert_true (tess_results_get_prediction (results) == prediction);
  tess_study_remove_layer (study, prediction);
  g_assert_true (tess_results_get_prediction (results) == third);
  g_assert_true (tess_results_get_reference (results) == reference);
  tess_study_close (study);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_NO_LABELS);
  g_assert_null (tess_results_get_prediction (results));
}

static void
test_compare (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  const TessComparison *c;
  guint64 generation;

  add (study, fixture_scan (), "scan");
  add (study, fixture_labels (4, 4), "reference");
  add (study, fixture_labels (2, 4), "prediction");
  g_assert_null (tess_results_peek_comparison (results)); /* nobody looks yet */
  tess_results_set_visible (results, TRUE);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_WORKING);
  fixture_wait (is_settled, results);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_DONE);
  c = tess_results_peek_comparison (results);
  g_assert_cmpuint (c->rows->len, ==, 2);
  g_assert_cmpfloat_with_epsilon (c->dice, (2.0 / 3.0 + 1.0) / 2.0, 1e-12);

  /* the other way round is another comparison */
  generation = tess_results_get_generation (results);
  tess_results_set_prediction (results, tess_results_get_reference (results));
  g_assert_null (tess_results_peek_comparison (results));
  fixture_wait (is_settled, results);
  g_assert_cmpuint (tess_results_get_generation (results), !=, generation);
  c = tess_results_peek_comparison (results);
  g_assert_cmpint (g_array_index (c->rows, TessLabelMetrics, 0).fp, ==, 32);
}

static void
test_display (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  TessLayer *reference, *prediction, *difference, *hidden;

  add (study, fixture_scan (), "scan");
  hidden = add (study, fixture_labels (1, 0), "hidden");
  hidden->visible = FALSE;
  reference = add (study, fixture_labels (4, 4), "reference");
  prediction = add (study, fixture_labels (2, 4), "prediction");
  tess_results_set_visible (results, TRUE);
  fixture_wait (is_settled, results);
  g_assert_true (prediction->visible && !reference->visible);
  tess_results_set_display (results, TESS_SHOW_REFERENCE);
  g_assert_true (!prediction->visible && reference->visible);
  tess_results_set_display (results, TESS_SHOW_DIFFERENCE);
  difference = find_difference (results, study);
  g_assert_nonnull (difference);
  g_assert_true (!prediction->visible && !reference->visible && difference->visible);
  g_assert_true (tess_study_top_labels (study) == prediction); /* what is saved stays the user's */
  {
    g_autoptr (GPtrArray) list = tess_results_list_layers (results);

    g_assert_cmpuint (list->len, ==, 3);
    g_assert_false (g_ptr_array_find (list, difference, NULL));
  }

  /* as it was when Results is left */
  tess_results_set_visible (results, FALSE);
  g_assert_null (find_difference (results, study));
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 4);
  g_assert_true (prediction->visible && reference->visible && !hidden->visible);
  tess_results_set_visible (results, TRUE);
  g_assert_nonnull (find_difference (results, study)); /* and again */
}

typedef struct {
  TessResults *results;
  TessStudy *study;
  guint64 before;
} Wait;

static gboolean
has_other_difference (gpointer data)
{
  Wait *w = data;
  TessLayer *layer = find_difference (w->results, w->study);

  return layer && layer->voxels_serial != w->before;
}

static void
test_one_label (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  Wait wait = {results, study, 0};
  const guint8 *voxels;
  gint64 n, found[TESS_N_DIFFERENCES] = {0};

  add (study, fixture_scan (), "scan");
  add (study, fixture_labels (4, 4), "reference");
  add (study, fixture_labels (2, 3), "prediction");
  tess_results_set_visible (results, TRUE);
  fixture_wait (is_settled, results);
  tess_results_set_display (results, TESS_SHOW_DIFFERENCE);
  wait.before = find_difference (results, study)->voxels_serial;
  tess_results_set_label (results, 1);
  fixture_wait (has_other_difference, &wait);
  n = tess_volume_n_voxels (find_difference (results, study)->volume);
  voxels = tess_volume_data (find_difference (results, study)->volume);
  for (gint64 i = 0; i < n; i++)
    found[voxels[i]]++;
  g_assert_cmpint (found[TESS_DIFFERENCE_AGREE], ==, 32);
  g_assert_cmpint (found[TESS_DIFFERENCE_REFERENCE], ==, 32); /* label 2's are not counted */
  g_assert_cmpint (found[TESS_DIFFERENCE_PREDICTION] + found[TESS_DIFFERENCE_OTHER], ==, 0);
}

/* Of two boxes compared first nothing may be seen once they are gone. */
static void
only_one_label_cb (TessResults *results, guint *n_done)
{
  g_assert_cmpint (tess_results_get_state (results), !=, TESS_RESULTS_CANCELLED);
  if (tess_results_get_state (results) != TESS_RESULTS_DONE)
    return;
  g_assert_cmpuint (tess_results_peek_comparison (results)->rows->len, ==, 1);
  (*n_done)++;
}

/* What is computed for layers that are gone is dropped. */
static void
test_late (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  guint n_done = 0;

  add (study, fixture_scan (), "scan");
  add (study, fixture_labels (4, 4), "reference");
  add (study, fixture_labels (2, 4), "prediction");
  tess_results_set_visible (results, TRUE);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_WORKING);
  tess_study_close (study);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_NO_LABELS);
  g_signal_connect (results, "changed", G_CALLBACK (only_one_label_cb), &n_done);
  add (study, fixture_scan (), "another");
  add (study, fixture_labels (4, 0), "reference");
  add (study, fixture_labels (4, 0), "prediction");
  fixture_wait (is_settled, results);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  g_assert_cmpuint (n_done, >, 0);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_DONE);
  g_assert_cmpuint (tess_results_peek_comparison (results)->rows->len, ==, 1);
  g_assert_cmpfloat (tess_results_peek_comparison (results)->dice, ==, 1.0);
}

static void
test_other_grid (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  TessAffine affine = tess_affine_identity ();
  TessVolume *other = tess_volume_new (TESS_DTYPE_U8, (const gint64[3]){5, 5, 5}, 1, &affine, NULL);

  tess_volume_set_intent (other, TESS_INTENT_LABEL);
  add (study, fixture_scan (), "scan");
  add (study, fixture_labels (4, 4), "reference");
  add (study, other, "prediction");
  tess_results_set_visible (results, TRUE);
  fixture_wait (is_settled, results);
  g_assert_cmpint (tess_results_get_state (results), ==, TESS_RESULTS_FAILED);
  g_assert_nonnull (strstr (tess_results_get_sentence (results), "different grids"));
  g_assert_true (g_str_has_prefix (tess_results_get_sentence (results), "Reference"));
  g_assert_false (tess_results_can_retry (results));
  g_assert_null (tess_results_peek_comparison (results));
  tess_results_set_display (results, TESS_SHOW_DIFFERENCE);
  g_assert_null (find_difference (results, study));
}

static gboolean
has_evaluation (gpointer data)
{
  return tess_results_peek_evaluation (data) != NULL;
}

static gboolean
is_open (gpointer data)
{
  return tess_results_get_state (data) == TESS_RESULTS_DONE;
}

static void
count_job_cb (TessResults *results, TessJob *job, guint *n)
{
  g_assert_true (TESS_IS_JOB (job));
  (*n)++;
}

static void
keep_cb (TessResults *results, const char *text, char **kept)
{
  g_free (*kept);
  *kept = g_strdup (text);
}

static void
keep_failure_cb (TessResults *results, const char *text, TessResultsRemedy remedy, char **kept)
{
  g_free (*kept);
  *kept = g_strdup_printf ("%d %s", (int)remedy, text);
}

static gboolean
is_kept (gpointer data)
{
  return *(char **)data != NULL;
}

static gboolean
is_evaluated (gpointer data)
{
  return !tess_results_is_evaluating (data);
}

static void
test_folders (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  g_autoptr (TessEvaluationCase) half = NULL;
  g_autoptr (TessEvaluationCase) good = NULL;
  g_autofree char *csv = NULL, *nowhere = NULL, *saved = NULL, *failed = NULL, *text = NULL;
  guint8 rgba[4];
  ResultsFixture f;
  guint n_jobs = 0;

  results_fixture_init (&f);
  g_signal_connect (results, "job", G_CALLBACK (count_job_cb), &n_jobs);
  g_signal_connect (results, "saved", G_CALLBACK (keep_cb), &saved);
  g_signal_connect (results, "failed", G_CALLBACK (keep_failure_cb), &failed);
  tess_results_set_visible (results, TRUE);
  tess_results_evaluate (results, f.reference, f.prediction);
  g_assert_true (tess_results_is_evaluating (results));
  fixture_wait (has_evaluation, results);
  g_assert_false (tess_results_is_evaluating (results));
  g_assert_cmpuint (n_jobs, ==, 2); /* the second opens the worst case, because nothing is open */

  /* a case without a scan: its labels are the study */
  half = g_list_model_get_item (G_LIST_MODEL (tess_results_peek_evaluation (results)->cases), 0);
  fixture_wait (is_open, results);
  g_assert_true (tess_results_get_case (results) == half);
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 2);
  g_assert_cmpfloat_with_epsilon (tess_results_peek_comparison (results)->dice, (2.0 / 3.0 + 1.0) / 2.0, 1e-12);
  g_assert_cmpstr (tess_results_label_name (results, 2, rgba), ==, "right");

  /* one with its scan */
  good = g_list_model_get_item (G_LIST_MODEL (tess_results_peek_evaluation (results)->cases), 1);
  tess_results_open_case (results, good);
  g_assert_true (tess_results_get_case (results) == good);
  tess_results_compare (results);
  while (!tess_study_get_path (study))
    g_main_context_iteration (NULL, TRUE);
  fixture_wait (is_open, results);
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 3);
  g_assert_cmpfloat (tess_results_peek_comparison (results)->dice, ==, 1.0);

  csv = g_build_filename (f.folder, "out.csv", NULL);
  tess_results_export_csv (results, csv);
  fixture_wait (is_kept, &saved);
  g_assert_cmpstr (saved, ==, csv);
  g_assert_true (g_file_get_contents (csv, &text, NULL, NULL));
  g_assert_true (g_str_has_prefix (text, "case,label,name,dice"));
  nowhere = g_build_filename (f.folder, "no such folder", "out.csv", NULL);
  tess_results_export_csv (results, nowhere);
  fixture_wait (is_kept, &failed);
  g_assert_nonnull (strstr (failed, nowhere));
  g_assert_cmpint (failed[0], ==, '0' + TESS_REMEDY_EXPORT_ALL);

  /* another evaluation leaves alone what is open by now */
  n_jobs = 0;
  tess_results_evaluate (results, f.reference, f.prediction);
  fixture_wait (is_evaluated, results);
  g_assert_cmpuint (n_jobs, ==, 1);
  results_fixture_clear (&f);
}

static void
take_job_cb (TessResults *results, TessJob *job, TessJob **kept)
{
  g_set_object (kept, job);
}

static gboolean
is_finished (gpointer data)
{
  return tess_job_is_finished (data);
}

static void
test_reference (void)
{
  g_autoptr (TessJob) job = NULL;
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  g_autofree char *path = NULL, *failed = NULL;
  TessLayer *prediction;
  ResultsFixture f;

  results_fixture_init (&f);
  path = g_build_filename (f.reference, "good.nii.gz", NULL);
  tess_results_set_visible (results, TRUE);
  add (study, fixture_scan (), "scan");
  prediction = add (study, fixture_labels (2, 4), "prediction");
  tess_results_open_reference (results, path);
  fixture_wait (is_open, results);
  g_assert_true (tess_results_get_prediction (results) == prediction);
  g_assert_cmpstr (tess_results_get_reference (results)->name, ==, "good");

  /* a reference that is read when its scan is gone belongs to nothing */
  g_signal_connect (results, "job", G_CALLBACK (take_job_cb), &job);
  tess_results_open_reference (results, path);
  tess_study_close (study);
  add (study, fixture_scan (), "another");
  fixture_wait (is_finished, job);
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 1);
  g_signal_connect (results, "failed", G_CALLBACK (keep_failure_cb), &failed);
  g_remove (path);
  tess_results_open_reference (results, path);
  fixture_wait (is_kept, &failed);
  g_assert_nonnull (strstr (failed, "good.nii.gz"));
  g_assert_cmpint (failed[0], ==, '0' + TESS_REMEDY_REFERENCE);
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 1);
  results_fixture_clear (&f);
}

/* The table of the open comparison has the numbers of the comparison, and the folder evaluation's columns. */
static void
test_export (void)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessResults) results = tess_results_new (study);
  g_autofree char *csv = NULL, *saved = NULL, *text = NULL;
  g_auto (GStrv) lines = NULL;
  ResultsFixture f;

  results_fixture_init (&f);
  g_signal_connect (results, "saved", G_CALLBACK (keep_cb), &saved);
  csv = g_build_filename (f.folder, "one.csv", NULL);
  tess_results_export_comparison (results, csv); /* nothing is compared: nothing is written */
  g_assert_false (g_file_test (csv, G_FILE_TEST_EXISTS));
  tess_results_set_visible (results, TRUE);
  add (study, fixture_scan (), "a, b");
  add (study, fixture_labels (4, 4), "reference");
  add (study, fixture_labels (2, 0), "prediction");
  fixture_wait (is_open, results);
  tess_results_export_comparison (results, csv);
  fixture_wait (is_kept, &saved);
  g_assert_true (g_file_get_contents (csv, &text, NULL, NULL));
  lines = g_strsplit (text, "\r\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 4); /* the last is empty */
  g_assert_cmpstr (lines[0], ==,
                   "case,label,name,dice,iou,hd95_mm,volume_reference_mm3,volume_prediction_mm3,"
                   "volume_difference_percent,tp,fp,fn");
  g_assert_true (g_str_has_prefix (lines[1], "\"a, b\",1,"));
  g_assert_true (g_str_has_suffix (lines[1], ",0.66666667,0.5,2,128,64,-50,32,0,32"));
  g_assert_true (g_str_has_suffix (lines[2], ",0,0,,128,0,-100,0,0,64")); /* no distance to nothing */
  results_fixture_clear (&f);
}

static void
test_find_reference (void)
{
  g_autofree char *scan = NULL, *label = NULL, *found = NULL, *lonely = NULL, *elsewhere = NULL;
  ResultsFixture f;

  results_fixture_init (&f);
  scan = g_build_filename (f.images, "good_0000.nii.gz", NULL);
  label = g_build_filename (f.reference, "good.nii.gz", NULL);
  found = tess_results_find_reference (scan);
  g_assert_cmpstr (found, ==, label);
  lonely = g_build_filename (f.images, "unknown_0000.nii.gz", NULL);
  g_assert_null (tess_results_find_reference (lonely));
  elsewhere = g_build_filename (f.prediction, "good.nii.gz", NULL);
  g_assert_null (tess_results_find_reference (elsewhere));
  results_fixture_clear (&f);
}

/* The picture of a case shows the slice that differs, three parts agreeing and one missed. */
static void
test_case_picture (void)
{
  g_autoptr (TessEvaluation) evaluation = NULL;
  g_autoptr (TessEvaluationCase) half = NULL;
  g_autofree guint8 *pixels = NULL;
  guint n_missed = 0, n_agree = 0, n_other = 0;
  GError *error = NULL;
  ResultsFixture f;

  results_fixture_init (&f);
  evaluation = tess_evaluation_new (f.reference, f.prediction, NULL, &error);
  g_assert_no_error (error);
  half = g_list_model_get_item (G_LIST_MODEL (evaluation->cases), 0);
  g_assert_cmpstr (tess_evaluation_case_get_name (half), ==, "half, way");
  pixels = tess_case_picture_draw (half, 96, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 96 * 96; i++) {
    guint32 p = ((guint32 *)(void *)pixels)[i];
    guint8 r = (guint8)(p >> 16), g = (guint8)(p >> 8), b = (guint8)p;

    if ((p & 0xffffff) == 0)
      continue;
    if (g > r && g > b)
      n_agree++;
    else if (b > r && r > g)
      n_missed++;
    else
      n_other++;
  }
  g_assert_cmpuint (n_other, ==, 0);
  g_assert_cmpuint (n_missed, >, 200);
  g_assert_cmpfloat_with_epsilon ((double)n_agree / n_missed, 3.0, 0.2);
  g_remove (tess_evaluation_case_get_prediction (half));
  g_assert_null (tess_case_picture_draw (half, 96, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_clear_error (&error);
  results_fixture_clear (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/results/choice", test_choice);
  g_test_add_func ("/app/results/compare", test_compare);
  g_test_add_func ("/app/results/display", test_display);
  g_test_add_func ("/app/results/one-label", test_one_label);
  g_test_add_func ("/app/results/late", test_late);
  g_test_add_func ("/app/results/other-grid", test_other_grid);
  g_test_add_func ("/app/results/folders", test_folders);
  g_test_add_func ("/app/results/reference", test_reference);
  g_test_add_func ("/app/results/export", test_export);
  g_test_add_func ("/app/results/find-reference", test_find_reference);
  g_test_add_func ("/app/results/case-picture", test_case_picture);
  return g_test_run ();
}
