/* A folder against a folder: order, names, pictures beside, CSV. */
#include "results-fixture.h"
#include "tess-evaluation.h"

#include <math.h>
#include <string.h>

static TessEvaluationCase *
nth (const TessEvaluation *evaluation, guint i)
{
  g_autoptr (TessEvaluationCase) c = g_list_model_get_item (G_LIST_MODEL (evaluation->cases), i);

  return c; /* the list keeps it */
}

static void
test_order (void)
{
  ResultsFixture f;
  GError *error = NULL;
  g_autoptr (TessEvaluation) evaluation = NULL;
  const TessLabelMetrics *m;
  guint n;

  results_fixture_init (&f);
  evaluation = tess_evaluation_new (f.reference, f.prediction, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (g_list_model_get_n_items (G_LIST_MODEL (evaluation->cases)), ==, 3);
  g_assert_cmpuint (evaluation->n_lone_reference, ==, 1);
  g_assert_cmpuint (evaluation->n_lone_prediction, ==, 1);

  /* worst first, what is undefined last */
  g_assert_cmpstr (tess_evaluation_case_get_name (nth (evaluation, 0)), ==, "half, way");
  g_assert_cmpstr (tess_evaluation_case_get_name (nth (evaluation, 1)), ==, "good");
  g_assert_cmpstr (tess_evaluation_case_get_name (nth (evaluation, 2)), ==, "empty");
  g_assert_cmpfloat_with_epsilon (tess_evaluation_case_get_dice (nth (evaluation, 0)), (2.0 / 3.0 + 1.0) / 2.0, 1e-12);
  g_assert_cmpfloat_with_epsilon (tess_evaluation_case_get_difference (nth (evaluation, 0)), -25.0, 1e-9);
  g_assert_cmpfloat (tess_evaluation_case_get_hd95 (nth (evaluation, 0)), >, 0.0);
  g_assert_cmpfloat_with_epsilon (tess_evaluation_case_get_dice (nth (evaluation, 1)), 1.0, 1e-12);
  g_assert_true (isnan (tess_evaluation_case_get_dice (nth (evaluation, 2))));
  g_assert_true (isnan (tess_evaluation_case_get_hd95 (nth (evaluation, 2))));

  /* names from the data set beside, the scan where there is one */
  g_assert_cmpuint (evaluation->labels->len, ==, 2);
  g_assert_cmpstr (g_array_index (evaluation->labels, TessEvaluationLabel, 0).name, ==, "left");
  g_assert_cmpstr (g_array_index (evaluation->labels, TessEvaluationLabel, 1).name, ==, "right");
  g_assert_cmpuint (g_array_index (evaluation->labels, TessEvaluationLabel, 1).n_absent, ==, 1);
  g_assert_true (g_str_has_suffix (tess_evaluation_case_get_image (nth (evaluation, 1)), "imagesTr/good_0000.nii.gz"));
  g_assert_null (tess_evaluation_case_get_image (nth (evaluation, 0)));

  m = tess_evaluation_case_peek (nth (evaluation, 0), &n);
  g_assert_cmpuint (n, ==, 2);
  g_assert_cmpint (m[0].tp, ==, 2 * 16);
  g_assert_cmpint (m[0].fn, ==, 2 * 16);
  g_assert_cmpfloat_with_epsilon (m[0].volume_reference, 4 * 16 * 2.0, 1e-9);
  results_fixture_clear (&f);
}

/* Every line read back by a reader of our own that knows RFC 4180's quotes. */
static char **
split_line (const char *line)
{
  GPtrArray *fields = g_ptr_array_new ();
  g_autoptr (GString) field = g_string_new (NULL);
  gboolean quoted = FALSE;

  for (const char *p = line;; p++) {
    if (quoted && p[0] == '"' && p[1] == '"') {
      g_string_append_c (field, *++p);
    } else if (*p == '"') {
      quoted = !quoted;
    } else if (!*p || (*p == ',' && !quoted)) {
      g_ptr_array_add (fields, g_strdup (field->str));
      g_string_truncate (field, 0);
      if (!*p)
        break;
    } else {
      g_string_append_c (field, *p);
    }
  }
  g_ptr_array_add (fields, NULL);
  return (char **)g_ptr_array_free (fields, FALSE);
}

static void
test_csv (void)
{
  ResultsFixture f;
  g_autoptr (TessEvaluation) evaluation = NULL;
  g_autofree char *csv = NULL;
  g_auto (GStrv) lines = NULL;
  g_auto (GStrv) first = NULL;
  g_auto (GStrv) empty = NULL;

  results_fixture_init (&f);
  evaluation = tess_evaluation_new (f.reference, f.prediction, NULL, NULL);
  csv = tess_evaluation_to_csv (evaluation);
  lines = g_strsplit (csv, "\r\n", -1);
  g_assert_cmpuint (g_strv_length (lines), ==, 1 + 3 * 2 + 1); /* header, cases x labels, the end */
  first = split_line (lines[1]);
  g_assert_cmpuint (g_strv_length (first), ==, 12);
  g_assert_cmpstr (first[0], ==, "half, way");
  g_assert_cmpstr (first[1], ==, "1");
  g_assert_cmpstr (first[2], ==, "left");
  g_assert_cmpfloat_with_epsilon (g_ascii_strtod (first[3], NULL), 2.0 / 3.0, 1e-7);
  g_assert_cmpfloat_with_epsilon (g_ascii_strtod (first[4], NULL), 0.5, 1e-7);
  g_assert_cmpfloat_with_epsilon (g_ascii_strtod (first[6], NULL), 128.0, 1e-6);
  g_assert_cmpfloat_with_epsilon (g_ascii_strtod (first[8], NULL), -50.0, 1e-6);
  g_assert_cmpstr (first[9], ==, "32");
  empty = split_line (lines[5]);
  g_assert_cmpstr (empty[0], ==, "empty");
  g_assert_cmpstr (empty[3], ==, ""); /* undefined, not nought */
  g_assert_cmpstr (empty[5], ==, "");
  results_fixture_clear (&f);
}

static void
test_failure (void)
{
  ResultsFixture f;
  GError *error = NULL;

  results_fixture_init (&f);
  g_assert_null (tess_evaluation_new (f.reference, f.images, NULL, &error)); /* good_0000 is not good */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  results_fixture_clear (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/evaluation/order", test_order);
  g_test_add_func ("/app/evaluation/csv", test_csv);
  g_test_add_func ("/app/evaluation/failure", test_failure);
  return g_test_run ();
}
