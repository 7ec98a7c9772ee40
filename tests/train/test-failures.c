/* What goes wrong outside: broken and missing files, disks that are full or cannot be written, the wrong run folder.
 * Each ends with exit code 1 and one line, and leaves what was there before. */
#include "train-fixture.h"

#include "tess-model.h"

#include <errno.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

static TrainFixture fixture;
static const char *cli;
static char *no_mounts; /* why there is no file system of our own */

/* Runs `train` quietly; NULL-terminated further arguments. Checks what a failure looks like and returns its line. */
static char *
run_train (gboolean expect_failure, const char *dataset, const char *run, ...)
{
  g_autoptr (GPtrArray) argv = g_ptr_array_new ();
  char *out = NULL, *said = NULL;
  const char *arg;
  int status;
  va_list more;

  for (const char *const *p = (const char *const[]){cli, "train", "--quiet", "--backend", "cpu", "--precision", "f32",
                                                    "--threads", "1", "--dataset", dataset, "--run", run, NULL};
       *p; p++)
    g_ptr_array_add (argv, (gpointer)*p);
  va_start (more, run);
  while ((arg = va_arg (more, const char *)))
    g_ptr_array_add (argv, (gpointer)arg);
  va_end (more);
  g_ptr_array_add (argv, NULL);
  status = train_run_program ((char **)argv->pdata, &out, &said);
  g_test_message ("%s", said);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, expect_failure ? 1 : 0);
  if (expect_failure) {
    g_assert_cmpstr (out, ==, "");
    g_assert_true (g_str_has_prefix (said, "tessera-cli: "));
    g_assert_true (strchr (said, '\n') == said + strlen (said) - 1);
    g_assert_nonnull (strstr (said, "; ")); /* ... and what to do */
  } else {
    g_assert_cmpstr (said, ==, "");
  }
  g_assert_cmpuint (train_count_hidden (run), ==, 0);
  g_free (out);
  return said;
}

static char *
case_path (const char *dataset, const char *folder, const char *name)
{
  return g_build_filename (dataset, folder, name, NULL);
}

/* A dataset of its own, to be damaged. */
static char *
new_dataset (const char *name)
{
  TessPhantomOptions options = {.n_cases = 5, .size = {32, 28, 24}, .seed = 7};
  char *path = train_fixture_path (&fixture, name);
  g_autoptr (GError) error = NULL;

  tess_phantom_write (path, &options, NULL, &error);
  g_assert_no_error (error);
  return path;
}

/* With a plan of its own (found while training) and without (found while planning). named: part of the line. */
static void
expect_failure_both_ways (const char *dataset, const char *named)
{
  for (guint planned = 0; planned < 2; planned++) {
    g_autofree char *name = g_strdup_printf ("%s.run%u", dataset, planned), *base = g_path_get_basename (name);
    g_autofree char *run = train_fixture_path (&fixture, base), *said = NULL;

    said = run_train (TRUE, dataset, run, "--epochs", "2", planned ? "--plan" : NULL, fixture.plan_path, NULL);
    g_assert_nonnull (strstr (said, named));
  }
}

static void
test_truncated (void)
{
  g_autofree char *dataset = new_dataset ("truncated"), *text = NULL;
  g_autofree char *image = case_path (dataset, "imagesTr", "phantom_002_0000.nii.gz");
  gsize n;

  g_assert_true (g_file_get_contents (image, &text, &n, NULL));
  g_assert_true (g_file_set_contents (image, text, (gssize)(n / 2), NULL));
  expect_failure_both_ways (dataset, "phantom_002_0000.nii.gz");
}

static void
test_not_an_image (void)
{
  g_autofree char *dataset = new_dataset ("text");
  g_autofree char *image = case_path (dataset, "imagesTr", "phantom_003_0000.nii.gz");
  g_autofree char *wrong = case_path (dataset, "imagesTr", "phantom_003_0000.nii");
  g_autofree char *json = g_build_filename (dataset, "dataset.json", NULL); /* it would name the ending .nii.gz */

  g_assert_true (g_unlink (image) == 0 && g_unlink (json) == 0);
  g_assert_true (g_file_set_contents (wrong, "A note to myself, not a scan.\n", -1, NULL));
  expect_failure_both_ways (dataset, "phantom_003_0000.nii:");
}

static void
test_other_grid (void)
{
  g_autofree char *dataset = new_dataset ("grids"), *text = NULL;
  g_autofree char *from = case_path (dataset, "labelsTr", "phantom_001.nii.gz");
  g_autofree char *to = case_path (dataset, "labelsTr", "phantom_004.nii.gz");
  gsize n;

  g_assert_true (g_file_get_contents (from, &text, &n, NULL));
  g_assert_true (g_file_set_contents (to, text, (gssize)n, NULL));
  expect_failure_both_ways (dataset, "phantom_004");
}

static void
test_missing_label (void)
{
  g_autofree char *dataset = new_dataset ("missing");
  g_autofree char *label = case_path (dataset, "labelsTr", "phantom_005.nii.gz");

  g_assert_cmpint (g_unlink (label), ==, 0);
  expect_failure_both_ways (dataset, "phantom_005");
}

static void
test_other_dataset (void)
{
  g_autofree char *other = new_dataset ("other"), *run = train_fixture_path (&fixture, "mine"), *said = NULL,
                  *again = NULL;
  g_autofree char *label = case_path (other, "labelsTr", "phantom_005.nii.gz");
  g_autofree char *image = case_path (other, "imagesTr", "phantom_005_0000.nii.gz");

  g_assert_true (g_unlink (label) == 0 && g_unlink (image) == 0); /* four cases: another dataset */
  g_free (run_train (FALSE, fixture.dataset, run, "--epochs", "1", "--plan", fixture.plan_path, NULL));
  said = run_train (TRUE, other, run, "--resume", NULL);
  g_assert_nonnull (strstr (said, "another dataset"));
  again = run_train (TRUE, fixture.dataset, run, NULL); /* a run is there */
  g_assert_nonnull (strstr (again, "--resume"));
}

/* ---- disks ---- */

/* A mount namespace of our own (and, without root, a user namespace): its mounts end with the test, however it ends. */
static void
enter_namespace (void)
{
  guint uid = geteuid (), gid = getegid ();
  g_autofree char *uid_map = g_strdup_printf ("0 %u 1", uid), *gid_map = g_strdup_printf ("0 %u 1", gid);

  if (unshare (uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) != 0 ||
      mount ("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
    no_mounts = g_strdup_printf ("this system lets us mount nothing (%s)", g_strerror (errno));
    return;
  }
  if (uid != 0) {
    FILE *file = fopen ("/proc/self/setgroups", "w");

    if (file) {
      fputs ("deny", file);
      fclose (file);
    }
    g_file_set_contents_full ("/proc/self/uid_map", uid_map, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
    g_file_set_contents_full ("/proc/self/gid_map", gid_map, -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL);
  }
}

/* A small file system in memory; FALSE: the test has been skipped. */
static gboolean
mount_small (const char *path, const char *size)
{
  g_autofree char *options = g_strdup_printf ("size=%s", size);

  if (!no_mounts && g_mkdir_with_parents (path, 0700) == 0 && mount ("tmpfs", path, "tmpfs", 0, options) == 0)
    return TRUE;
  g_test_skip (no_mounts ? no_mounts : "a small file system cannot be mounted here");
  return FALSE;
}

/* Leaves about `left` bytes free. */
static void
fill (const char *folder, gsize left)
{
  g_autofree char *path = g_build_filename (folder, "filler", NULL), *zeros = NULL;
  struct statvfs info;
  gsize n;

  g_assert_cmpint (statvfs (folder, &info), ==, 0);
  n = (gsize)info.f_bavail * info.f_bsize;
  n = n > left ? n - left : 0;
  zeros = g_malloc0 (n);
  g_assert_true (g_file_set_contents_full (path, zeros, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
}

static void
check_untouched (const char *latest, const char *before, gsize n)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessModel) model = tess_model_load (latest, &error);
  g_autofree char *after = NULL;
  gsize m;

  g_assert_no_error (error);
  g_assert_nonnull (tess_safetensors_metadata (model->file, "tessera.state"));
  g_assert_true (g_file_get_contents (latest, &after, &m, NULL));
  g_assert_cmpmem (before, n, after, m);
}

static void
test_full_disk (void)
{
  g_autofree char *disk = train_fixture_path (&fixture, "small disk"), *run = g_build_filename (disk, "run", NULL);
  g_autofree char *latest = g_build_filename (run, "latest.safetensors", NULL),
                  *fresh = g_build_filename (disk, "fresh", NULL);
  g_autofree char *filler = g_build_filename (disk, "filler", NULL), *before = NULL, *said = NULL, *said2 = NULL,
                  *log = NULL;
  gsize n;

  if (!mount_small (disk, "2m"))
    return;
  g_free (run_train (FALSE, fixture.dataset, run, "--epochs", "1", "--plan", fixture.plan_path, NULL));
  g_assert_true (g_file_get_contents (latest, &before, &n, NULL));
  fill (disk, n / 2); /* room for the log, not for a checkpoint */
  said = run_train (TRUE, fixture.dataset, run, "--epochs", "3", "--resume", NULL);
  g_assert_nonnull (strstr (said, "safetensors"));
  check_untouched (latest, before, n);
  said2 = run_train (TRUE, fixture.dataset, fresh, "--epochs", "1", "--plan", fixture.plan_path, NULL);

  g_assert_cmpint (g_unlink (filler), ==, 0); /* with room again it goes on where it was */
  g_free (run_train (FALSE, fixture.dataset, run, "--epochs", "3", "--resume", NULL));
  g_assert_cmpint (umount2 (disk, MNT_DETACH), ==, 0);
}

static void
test_no_permission (void)
{
  g_autofree char *disk = train_fixture_path (&fixture, "read-only disk"), *run = g_build_filename (disk, "run", NULL);
  g_autofree char *latest = g_build_filename (run, "latest.safetensors", NULL),
                  *fresh = g_build_filename (disk, "fresh", NULL);
  g_autofree char *before = NULL, *said = NULL, *said2 = NULL;
  gsize n;

  if (!mount_small (disk, "4m"))
    return;
  g_free (run_train (FALSE, fixture.dataset, run, "--epochs", "1", "--plan", fixture.plan_path, NULL));
  g_assert_true (g_file_get_contents (latest, &before, &n, NULL));
  if (mount ("tmpfs", disk, "tmpfs", MS_REMOUNT | MS_RDONLY, NULL) != 0) {
    g_test_skip ("a file system cannot be made read-only here");
    umount2 (disk, MNT_DETACH);
    return;
  }
  said = run_train (TRUE, fixture.dataset, run, "--epochs", "3", "--resume", NULL);
  g_assert_nonnull (strstr (said, "write"));
  check_untouched (latest, before, n);
  said2 = run_train (TRUE, fixture.dataset, fresh, "--epochs", "1", "--plan", fixture.plan_path, NULL);
  g_assert_nonnull (strstr (said2, fresh));
  g_assert_false (g_file_test (fresh, G_FILE_TEST_EXISTS));
  g_assert_cmpint (umount2 (disk, MNT_DETACH), ==, 0);
}

/* ---- a file that goes while training ---- */

/* Cases are decoded again and again (nothing stays in memory), and then the labels are gone: training ends with one
 * sentence and a checkpoint, and goes on when they are back. */
static void
test_vanished (void)
{
  g_autofree char *dataset = new_dataset ("vanishing"), *run = train_fixture_path (&fixture, "vanishing run");
  g_autofree char *labels = g_build_filename (dataset, "labelsTr", NULL),
                  *away = g_build_filename (dataset, "away", NULL);
  TessTrainOptions options = train_fixture_options (&fixture, run);
  TessTrainStatus status;
  gint64 before;

  options.dataset_dir = dataset;
  options.cache_bytes = 1;
  options.epochs = 400;
  options.n_threads = 1;
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessTrainer) trainer = tess_trainer_new (&options, &error);

    g_assert_true (tess_trainer_start (trainer, &error));
    do {
      g_usleep (1000);
      tess_trainer_status (trainer, &status);
      g_assert_cmpint (status.state, !=, TESS_TRAIN_FAILED);
    } while (status.total_iterations < 15);
    g_assert_cmpint (g_rename (labels, away), ==, 0);
    g_assert_false (tess_trainer_wait (trainer, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
    g_assert_true (g_str_has_prefix (error->message, labels));
    tess_trainer_status (trainer, &status);
    g_assert_cmpint (status.state, ==, TESS_TRAIN_FAILED);
  }
  g_assert_cmpuint (train_count_hidden (run), ==, 0);
  before = status.total_iterations;
  g_assert_cmpint (g_rename (away, labels), ==, 0);
  options.resume = TRUE;
  options.epochs = before / fixture.plan->training.iterations_per_epoch + 1;
  {
    g_autoptr (GError) error = NULL;
    g_autoptr (TessTrainer) trainer = tess_trainer_new (&options, &error);

    g_assert_true (tess_trainer_start (trainer, &error) && tess_trainer_wait (trainer, &error));
    g_assert_no_error (error);
    tess_trainer_status (trainer, &status);
    g_assert_cmpint (status.total_iterations, ==, options.epochs * fixture.plan->training.iterations_per_epoch);
    g_assert_cmpint (status.total_iterations, >=, before);
  }
}

int
main (int argc, char **argv)
{
  int code;

  g_test_init (&argc, &argv, NULL);
  cli = g_getenv ("TESSERA_TEST_CLI");
  if (!cli) {
    g_printerr ("TESSERA_TEST_CLI names no program\n");
    return 1;
  }
  enter_namespace ();
  train_fixture_init (&fixture, 5);
  g_test_add_func ("/train/failures/truncated", test_truncated);
  g_test_add_func ("/train/failures/not-an-image", test_not_an_image);
  g_test_add_func ("/train/failures/other-grid", test_other_grid);
  g_test_add_func ("/train/failures/missing-label", test_missing_label);
  g_test_add_func ("/train/failures/other-dataset", test_other_dataset);
  g_test_add_func ("/train/failures/full-disk", test_full_disk);
  g_test_add_func ("/train/failures/no-permission", test_no_permission);
  g_test_add_func ("/train/failures/vanished", test_vanished);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  g_free (no_mounts);
  return code;
}
