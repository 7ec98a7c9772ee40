#include "train-fixture.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static TrainFixture fixture;

static void
append (TessRunFolder *run, gint64 epoch)
{
  double dice[4] = {0.5, NAN, 0.25, 0.75};
  TessEpochRecord record = {.epoch = epoch,
                            .iteration = 6 * epoch,
                            .train_loss = -0.125 * (double)epoch,
                            .val_loss = 1.0 / 3.0,
                            .n_labels = 4,
                            .dice = dice,
                            .learning_rate = 0.01,
                            .seconds = 1.5,
                            .loader_share = 0.02};
  g_autoptr (GError) error = NULL;

  tess_run_folder_append (run, &record, &error);
  g_assert_no_error (error);
}

static GArray *
cut (TessRunFolder *run, const TessPlan *plan, gint64 epochs)
{
  g_autoptr (GError) error = NULL;
  GArray *history = NULL;

  tess_run_folder_cut_back (run, plan, epochs, &history, &error);
  g_assert_no_error (error);
  return history;
}

static char *
read_log (TessRunFolder *run)
{
  g_autofree char *path = tess_run_folder_file (run, "log.csv");
  char *text = NULL;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  return text;
}

static void
touch (TessRunFolder *run, const char *name)
{
  g_autofree char *path = tess_run_folder_file (run, name);

  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
}

static gboolean
exists (TessRunFolder *run, const char *name)
{
  g_autofree char *path = tess_run_folder_file (run, name);

  return g_file_test (path, G_FILE_TEST_EXISTS);
}

static void
test_log (void)
{
  static const char header[] =
      "epoch,iteration,loss,val_loss,dice_organ,\"dice_a, \"\"b\"\"\",dice_gland,mean_dice,rate,seconds,loader_share\n";
  static const char row1[] = "1,6,-0.125,0.333333333,,0.25,0.75,0.5,0.01,1.5,0.02\n";
  g_autofree char *path = train_fixture_path (&fixture, "log run"), *file = NULL, *text = NULL, *expected = NULL;
  g_autoptr (TessRunFolder) run = tess_run_folder_new (path);
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan);
  TessEpochRecord *r;
  GArray *history;

  g_free (plan->labels[2].name);
  plan->labels[2].name = g_strdup ("a, \"b\"");
  g_array_unref (cut (run, plan, 0));
  for (gint64 e = 1; e <= 4; e++)
    append (run, e);
  touch (run, "snapshots/e0002.safetensors");
  touch (run, "snapshots/e0003.safetensors");
  touch (run, "snapshots/.e0003.safetensors.aB3xYz"); /* a killed training's */
  touch (run, "cases/.case.abcdef");
  touch (run, ".latest.safetensors.ABCDEF");
  touch (run, ".mine.ABCDEF"); /* not ours */
  touch (run, "snapshots/note.txt");

  history = cut (run, plan, 2);
  g_assert_cmpuint (history->len, ==, 2);
  r = &g_array_index (history, TessEpochRecord, 1);
  g_assert_cmpint (r->epoch, ==, 2);
  g_assert_cmpint (r->iteration, ==, 12);
  g_assert_cmpfloat (r->train_loss, ==, -0.25);
  g_assert_true (isnan (r->dice[1]));
  g_assert_cmpfloat (r->dice[3], ==, 0.75);
  g_assert_cmpfloat (r->dice[0], ==, 0.5);
  g_assert_cmpfloat (r->loader_share, ==, 0.02);
  g_array_unref (history);
  text = read_log (run);
  g_assert_true (g_str_has_prefix (text, header));
  g_assert_true (g_str_has_prefix (text + strlen (header), row1));
  g_assert_null (strstr (text, "\n3,"));
  g_assert_true (exists (run, "snapshots/e0002.safetensors") && !exists (run, "snapshots/e0003.safetensors"));
  g_assert_false (exists (run, "snapshots/.e0003.safetensors.aB3xYz") || exists (run, "cases/.case.abcdef") ||
                  exists (run, ".latest.safetensors.ABCDEF"));
  g_assert_true (exists (run, ".mine.ABCDEF") && exists (run, "snapshots/note.txt"));

  /* A line cut short by a crash goes, whatever it says. */
  file = tess_run_folder_file (run, "log.csv");
  expected = g_strconcat (text, "3,18,-0.37", NULL);
  g_assert_true (g_file_set_contents (file, expected, -1, NULL));
  g_array_unref (cut (run, plan, 4));
  g_free (expected);
  expected = read_log (run);
  g_assert_cmpstr (expected, ==, text);
}

static void
test_lock (void)
{
  g_autofree char *path = train_fixture_path (&fixture, "locked");
  g_autoptr (TessRunFolder) a = tess_run_folder_new (path), b = tess_run_folder_new (path);
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_run_folder_lock (a, NULL));
  g_assert_true (tess_run_folder_lock (a, NULL));
  g_assert_false (tess_run_folder_lock (b, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_pointer (&a, tess_run_folder_free);
  g_assert_true (tess_run_folder_lock (b, NULL));
}

static void
test_thin (void)
{
  const gint64 all[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  guint64 bytes[10];
  gboolean gone[10];
  g_autofree gint64 *epochs = g_new (gint64, 300);
  g_autofree guint64 *sizes = g_new (guint64, 300);
  g_autofree gboolean *dropped = g_new (gboolean, 300);
  gint64 last = 0, largest = 0, smallest = G_MAXINT64;
  guint left = 0;

  for (guint i = 0; i < 10; i++)
    bytes[i] = 10;
  tess_thin_snapshots (10, all, bytes, 10, 1, gone); /* few enough */
  for (guint i = 0; i < 10; i++)
    g_assert_false (gone[i]);
  tess_thin_snapshots (10, all, bytes, 4, 100, gone); /* small enough */
  for (guint i = 0; i < 10; i++)
    g_assert_false (gone[i]);
  tess_thin_snapshots (10, all, bytes, 4, 70, gone);
  for (guint i = 0; i < 10; i++)
    left += !gone[i];
  g_assert_cmpuint (left, ==, 7);
  g_assert_false (gone[0] || gone[9]);
  tess_thin_snapshots (10, all, bytes, 0, 0, gone); /* first and newest stay whatever is asked */
  for (guint i = 0; i < 10; i++)
    g_assert_cmpint (gone[i], ==, i > 0 && i < 9);

  for (guint i = 0; i < 300; i++) {
    epochs[i] = i + 1;
    sizes[i] = 10;
  }
  tess_thin_snapshots (300, epochs, sizes, 50, 1000, dropped);
  left = 0;
  for (guint i = 0; i < 300; i++)
    if (!dropped[i]) {
      if (last > 0) {
        largest = MAX (largest, epochs[i] - last);
        smallest = MIN (smallest, epochs[i] - last);
      }
      last = epochs[i];
      left++;
    }
  g_assert_cmpuint (left, ==, 100);
  g_assert_cmpint (largest, <=, 4 * smallest);
  g_assert_cmpint (largest, <=, 4);
}

static void
test_dataset (void)
{
  g_autofree char *path = train_fixture_path (&fixture, "dataset run"),
                  *other_dir = train_fixture_path (&fixture, "other");
  g_autoptr (TessRunFolder) run = tess_run_folder_new (path);
  g_autoptr (TessDataset) dataset = NULL, other = NULL;
  g_auto (TessRunDataset) a = {0};
  g_auto (TessRunDataset) b = {0};
  g_auto (TessRunDataset) c = {0};
  TessPhantomOptions options = {.n_cases = 3, .size = {24, 24, 24}, .seed = 1};
  g_autoptr (GError) error = NULL;

  dataset = tess_dataset_open (fixture.dataset, NULL, &error);
  g_assert_no_error (error);
  a.identity = tess_dataset_identity (dataset);
  a.fold = 1;
  a.minutes = 2.5;
  g_assert_true (tess_split_fold (dataset, 1, &a.split, &error));
  g_assert_true (tess_run_folder_lock (run, &error) && tess_run_folder_save_dataset (run, dataset, &a, &error));
  g_assert_true (tess_run_folder_load_dataset (run, dataset, &b, &error));
  g_assert_no_error (error);
  g_assert_cmpstr (a.identity, ==, b.identity);
  g_assert_cmpint (b.fold, ==, 1);
  g_assert_cmpfloat (b.val_fraction, ==, 0.0);
  g_assert_cmpfloat (b.minutes, ==, 2.5);
  g_assert_cmpmem (a.split.train, a.split.n_train * sizeof (guint), b.split.train, b.split.n_train * sizeof (guint));
  g_assert_cmpmem (a.split.val, a.split.n_val * sizeof (guint), b.split.val, b.split.n_val * sizeof (guint));

  g_assert_true (tess_phantom_write (other_dir, &options, NULL, &error));
  other = tess_dataset_open (other_dir, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (tess_run_folder_load_dataset (run, other, &c, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
}

int
main (int argc, char **argv)
{
  int code;

  g_test_init (&argc, &argv, NULL);
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/train/run-folder/log", test_log);
  g_test_add_func ("/train/run-folder/lock", test_lock);
  g_test_add_func ("/train/run-folder/thin", test_thin);
  g_test_add_func ("/train/run-folder/dataset", test_dataset);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
