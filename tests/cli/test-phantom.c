#include "../remove-tree.h"
#include "tess-dataset.h"

#include <glib/gstdio.h>
#include <string.h>

/* Runs tessera-cli with the words of `line` and then `dir`; returns its exit code. */
static int
run (const char *line, const char *dir, char **out, char **err)
{
  g_auto (GStrv) words = g_strsplit (line, " ", -1);
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  GError *error = NULL;
  int status = 0;

  g_ptr_array_add (argv, (char *)g_getenv ("TESSERA_TEST_CLI"));
  for (guint i = 0; words[i]; i++)
    g_ptr_array_add (argv, words[i]);
  if (dir) {
    g_ptr_array_add (argv, (char *)"--out");
    g_ptr_array_add (argv, (char *)dir);
  }
  g_ptr_array_add (argv, NULL);
  g_spawn_sync (NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, out, err, &status, &error);
  g_assert_no_error (error);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static void
assert_same_file (const char *a, const char *b, const char *name)
{
  g_autofree char *path_a = g_build_filename (a, name, NULL), *path_b = g_build_filename (b, name, NULL);
  g_autofree char *bytes_a = NULL, *bytes_b = NULL;
  gsize n_a, n_b;

  g_assert_true (g_file_get_contents (path_a, &bytes_a, &n_a, NULL));
  g_assert_true (g_file_get_contents (path_b, &bytes_b, &n_b, NULL));
  g_assert_cmpmem (bytes_a, n_a, bytes_b, n_b);
}

static void
test_make (void)
{
  g_autofree char *tmp = g_dir_make_tmp ("tessera-cli-phantom-XXXXXX", NULL);
  g_autofree char *a = g_build_filename (tmp, "a", NULL), *b = g_build_filename (tmp, "b", NULL);
  g_autofree char *out = NULL, *err = NULL, *json = NULL, *again = NULL;
  g_autoptr (TessDataset) dataset = NULL;
  g_autoptr (JsonNode) node = NULL;
  GError *error = NULL;

  g_assert_cmpint (run ("phantom --cases 3 --test 2 --size 24,28,20 --seed 4", a, &out, &err), ==, 0);
  g_assert_cmpstr (err, ==, "");
  g_assert_nonnull (strstr (out, "3 labelled scans"));
  dataset = tess_dataset_open (a, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (dataset->cases->len, ==, 3);

  /* The same scans on another number of threads. */
  g_assert_cmpint (run ("phantom --cases 3 --test 2 --size 24,28,20 --seed 4 --threads 1 --json", b, &json, NULL), ==,
                   0);
  node = tess_json_parse (json, -1, "output", &error);
  g_assert_no_error (error);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (node), "cases"), ==, 3);
  g_assert_cmpint (json_object_get_int_member (json_node_get_object (node), "test"), ==, 2);
  assert_same_file (a, b, "imagesTr/phantom_003_0000.nii.gz");
  assert_same_file (a, b, "labelsTr/phantom_001.nii.gz");
  assert_same_file (a, b, "imagesTs/phantom_005_0000.nii.gz");
  assert_same_file (a, b, "labelsTs/phantom_005.nii.gz");

  /* Nothing is written over. */
  g_assert_cmpint (run ("phantom --cases 1", a, NULL, &again), ==, 1);
  g_assert_true (g_str_has_prefix (again, "tessera-cli: "));
  g_assert_nonnull (strstr (again, "is not an empty folder"));
  remove_tree (tmp);
}

static void
test_usage (void)
{
  static const char *const lines[] = {
      "phantom",
      "phantom --cases 3",
      "phantom --out x",
      "phantom --out x --cases 0",
      "phantom --out x --cases -4",
      "phantom --out x --cases 10000000",
      "phantom --out x --cases 3 --test -1",
      "phantom --out x --cases 3 --size 64,64",
      "phantom --out x --cases 3 --size 2",
      "phantom --out x --cases 3 --size 100000",
      "phantom --out x --cases 3 --size big",
      "phantom --out x --cases 3 extra",
      "phantom --out x --cases many",
      "phantom --out x --cases 3 --colour red",
  };

  for (guint i = 0; i < G_N_ELEMENTS (lines); i++) {
    g_autofree char *out = NULL, *err = NULL;

    g_assert_cmpint (run (lines[i], NULL, &out, &err), ==, 2);
    g_assert_cmpstr (out, ==, "");
    g_assert_true (g_str_has_prefix (err, "tessera-cli: "));
  }
  g_assert_false (g_file_test ("x", G_FILE_TEST_EXISTS));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cli/phantom/make", test_make);
  g_test_add_func ("/cli/phantom/usage", test_usage);
  return g_test_run ();
}
