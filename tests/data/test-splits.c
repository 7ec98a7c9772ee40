#include "tess-splits.h"

#include "tess-atomic-file.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* A dataset of n cases "case_0000", ... without files. */
static TessDataset *
make_dataset (const char *directory, guint n)
{
  TessDataset *dataset = g_new0 (TessDataset, 1);

  g_atomic_ref_count_init (&dataset->ref_count);
  dataset->directory = g_strdup (directory);
  dataset->cases = g_ptr_array_new ();
  for (guint i = 0; i < n; i++) {
    TessCaseFiles *files = g_new0 (TessCaseFiles, 1);

    files->id = g_strdup_printf ("case_%04u", i);
    g_ptr_array_add (dataset->cases, files);
  }
  return dataset;
}

static void
free_dataset (TessDataset *dataset)
{
  for (guint i = 0; i < dataset->cases->len; i++) {
    TessCaseFiles *files = g_ptr_array_index (dataset->cases, i);

    g_free (files->id);
    g_free (files);
  }
  tess_dataset_unref (dataset);
}

/* Both ascending, together every case once. */
static void
check_partition (const TessSplit *split, guint n)
{
  guint t = 0, v = 0;

  g_assert_cmpuint (split->n_train + split->n_val, ==, n);
  for (guint i = 0; i < n; i++) {
    gboolean in_train = t < split->n_train && split->train[t] == i, in_val = v < split->n_val && split->val[v] == i;

    g_assert_true (in_train != in_val);
    t += in_train;
    v += in_val;
  }
}

static void
test_kfold (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "kfold.json", NULL);
  GError *error = NULL;
  g_autoptr (JsonNode) root = tess_json_load (path, &error);
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  g_assert_no_error (error);
  g_assert_cmpuint (json_object_get_size (json_node_get_object (root)), ==, 9);
  json_object_iter_init (&iter, json_node_get_object (root));
  while (json_object_iter_next (&iter, &key, &node)) {
    guint n = (guint)g_ascii_strtoull (key, NULL, 10);
    JsonArray *folds = json_node_get_array (node);
    TessDataset *dataset = make_dataset ("/nowhere", n);
    TessSplit split;

    for (guint f = 0; f < json_array_get_length (folds); f++) {
      JsonArray *expected = json_array_get_array_element (folds, f);

      g_assert_true (tess_split_fold (dataset, (int)f, &split, &error));
      g_assert_no_error (error);
      check_partition (&split, n);
      g_assert_cmpuint (split.n_val, ==, json_array_get_length (expected));
      for (guint i = 0; i < split.n_val; i++)
        g_assert_cmpint (split.val[i], ==, json_array_get_int_element (expected, i));
      tess_split_clear (&split);
    }
    g_assert_false (tess_split_fold (dataset, (int)json_array_get_length (folds), &split, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
    g_clear_error (&error);
    free_dataset (dataset);
  }
}

static void
test_all_and_one (void)
{
  TessDataset *one = make_dataset ("/nowhere", 1), *six = make_dataset ("/nowhere", 6);
  TessSplit split;
  GError *error = NULL;

  g_assert_true (tess_split_fold (six, -1, &split, &error));
  g_assert_cmpuint (split.n_train, ==, 6);
  g_assert_cmpmem (split.train, 6 * sizeof (guint), split.val, split.n_val * sizeof (guint));
  tess_split_clear (&split);
  g_assert_true (tess_split_fold (one, -1, &split, &error));
  tess_split_clear (&split);
  g_assert_false (tess_split_fold (one, 0, &split, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  g_assert_false (tess_split_fold (six, -2, &split, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
  g_clear_error (&error);
  free_dataset (one);
  free_dataset (six);
}

static void
check_file_error (TessDataset *dataset, const char *path, const char *text, int fold, int code, const char *says)
{
  TessSplit split;
  GError *error = NULL;

  g_assert_true (g_file_set_contents (path, text, -1, NULL));
  g_assert_false (tess_split_fold (dataset, fold, &split, &error));
  g_assert_error (error, TESS_ERROR, code);
  g_assert_nonnull (strstr (error->message, says));
  g_clear_error (&error);
}

static void
test_file (void)
{
  g_autofree char *dir = g_dir_make_tmp ("tessera-splits-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "splits_final.json", NULL);
  TessDataset *dataset = make_dataset (dir, 6);
  TessSplit split;
  GError *error = NULL;

  g_assert_true (
      g_file_set_contents (path,
                           "[{\"train\": [\"case_0005\", \"case_0001\", \"case_0001\"], \"val\": [\"case_0002\"]},\n"
                           "\t {\"train\": [\"case_0000\"],\n \"val\": [\"case_0003\", \"case_0004\"]}]",
                           -1, NULL));
  g_assert_true (tess_split_fold (dataset, 0, &split, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (split.n_train, ==, 2);
  g_assert_cmpuint (split.train[0], ==, 1);
  g_assert_cmpuint (split.train[1], ==, 5);
  g_assert_cmpuint (split.n_val, ==, 1);
  g_assert_cmpuint (split.val[0], ==, 2);
  tess_split_clear (&split);
  g_assert_true (tess_split_fold (dataset, 1, &split, &error));
  g_assert_cmpuint (split.val[1], ==, 4);
  tess_split_clear (&split);

  check_file_error (dataset, path, "[{\"train\": [\"case_0000\"], \"val\": [\"case_0001\"]}]", 1, TESS_ERROR_USAGE,
                    "no fold 1");
  check_file_error (dataset, path, "[{\"train\": [\"case_0000\"], \"val\": [\"other\"]}]", 0, TESS_ERROR_MISMATCH,
                    "\"other\"");
  check_file_error (dataset, path, "[{\"train\": [], \"val\": [\"case_0001\"]}]", 0, TESS_ERROR_FORMAT, "train");
  check_file_error (dataset, path, "[{\"train\": [\"case_0000\"]}]", 0, TESS_ERROR_FORMAT, "val");
  check_file_error (dataset, path, "[[1]]", 0, TESS_ERROR_FORMAT, "fold 0");
  check_file_error (dataset, path, "[{\"train\": [3], \"val\": [[1]]}]", 0, TESS_ERROR_MISMATCH, "names the case");
  check_file_error (dataset, path, "{}", 0, TESS_ERROR_FORMAT, "list of folds");
  check_file_error (dataset, path, "[", 0, TESS_ERROR_FORMAT, path);
  g_unlink (path);
  g_rmdir (dir);
  free_dataset (dataset);
}

static void
test_fraction (void)
{
  static const double bad[] = {0.0, 1.0, -0.5, 2.0, NAN};
  TessDataset *dataset = make_dataset ("/nowhere", 50), *two = make_dataset ("/nowhere", 2);
  TessSplit a, b;
  GError *error = NULL;
  guint counts[50] = {0};

  g_assert_true (tess_split_fraction (dataset, 0.2, 1, &a, &error));
  check_partition (&a, 50);
  g_assert_cmpuint (a.n_val, ==, 10);
  g_assert_true (tess_split_fraction (dataset, 0.2, 1, &b, &error));
  g_assert_cmpmem (a.val, 40, b.val, 40);
  tess_split_clear (&b);
  g_assert_true (tess_split_fraction (dataset, 0.2, 2, &b, &error));
  g_assert_true (memcmp (a.val, b.val, 40) != 0);
  tess_split_clear (&a);
  tess_split_clear (&b);
  for (guint64 seed = 0; seed < 2000; seed++) {
    g_assert_true (tess_split_fraction (dataset, 0.2, seed, &a, &error));
    for (guint i = 0; i < a.n_val; i++)
      counts[a.val[i]]++;
    tess_split_clear (&a);
  }
  for (guint i = 0; i < 50; i++) /* 400 expected, standard deviation 18 */
    g_assert_true (counts[i] > 310 && counts[i] < 490);
  /* At least one case on either side. */
  g_assert_true (tess_split_fraction (two, 0.01, 0, &a, &error));
  g_assert_cmpuint (a.n_val, ==, 1);
  tess_split_clear (&a);
  g_assert_true (tess_split_fraction (two, 0.99, 0, &a, &error));
  g_assert_cmpuint (a.n_train, ==, 1);
  tess_split_clear (&a);
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_assert_false (tess_split_fraction (dataset, bad[i], 0, &a, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
    g_clear_error (&error);
  }
  free_dataset (dataset);
  free_dataset (two);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/splits/kfold", test_kfold);
  g_test_add_func ("/data/splits/all-and-one", test_all_and_one);
  g_test_add_func ("/data/splits/file", test_file);
  g_test_add_func ("/data/splits/fraction", test_fraction);
  return g_test_run ();
}
