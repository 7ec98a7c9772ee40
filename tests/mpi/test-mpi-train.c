/* tessera-cli train under mpirun, as a user starts it: the numbers of one process, and how it ends. */
#include "train-fixture.h"

#include "tess-model.h"

#include <glib/gstdio.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#define N_STEPS 20
#define TOLERANCE 1e-5
#define HANGS "124" /* the status of timeout(1) when it had to end a command */

static TrainFixture fixture;
static const char *cli;

/* What makes these tests impossible here, or NULL. */
static const char *
missing (void)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");

  if (!g_getenv ("TESSERA_TEST_MPI_PLUGIN"))
    return "the MPI plugin is not built";
  return mpirun ? NULL : "mpirun is not installed";
}

/* Runs `timeout 100 [mpirun -np N] sh -c SCRIPT`, where $CLI is the program; its exit status. said: both streams of
 * all. */
static int G_GNUC_PRINTF (3, 4) run (guint n_ranks, char **said, const char *format, ...)
{
  g_autofree char *script = NULL, *ranks = g_strdup_printf ("%u", n_ranks), *out = NULL, *err = NULL;
  g_autofree char *timeout = g_find_program_in_path ("timeout");
  const char *alone[] = {timeout, "100", "sh", "-c", NULL, NULL};
  const char *together[] = {timeout, "100", "mpirun", "--allow-run-as-root", "--oversubscribe", "-np", ranks, "sh",
                            "-c",    NULL,  NULL};
  const char **argv = n_ranks > 1 ? together : alone;
  va_list args;
  int status;

  va_start (args, format);
  script = g_strdup_vprintf (format, args);
  va_end (args);
  for (guint i = 0;; i++)
    if (!argv[i]) {
      argv[i] = script;
      break;
    }
  status = train_run_program ((char **)argv, &out, &err);
  g_test_message ("%u: %s\n%s%s", n_ranks, script, out, err);
  *said = g_strconcat (out, err, NULL);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), !=, atoi (HANGS));
  return WEXITSTATUS (status);
}

static guint
count (const char *text, const char *what)
{
  guint n = 0;

  for (const char *p = text; (p = strstr (p, what)); p++)
    n++;
  return n;
}

/* A plan of one step an epoch, so that the log has every step's loss; name: of its file in the fixture. */
static char *
save_plan (const char *name, gboolean batch_dice, gint64 epochs, gint64 iterations)
{
  char *path = train_fixture_path (&fixture, name);
  g_autoptr (TessPlan) plan = tess_plan_dup (fixture.plan);
  g_autoptr (GError) error = NULL;

  plan->training.batch_size = 4;
  plan->training.epochs = epochs;
  plan->training.iterations_per_epoch = iterations;
  plan->training.validation_iterations = 1;
  plan->training.batch_dice = batch_dice;
  plan->training.learning_rate = 0.001;
  g_assert_true (tess_plan_save (plan, path, &error));
  return path;
}

/* Columns 2 and 3 of a run's log.csv: losses of training and validation. */
static void
read_losses (const char *folder, double losses[2 * N_STEPS])
{
  g_autofree char *path = g_build_filename (folder, "log.csv", NULL), *text = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (GStrv) lines = NULL;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  lines = g_strsplit (text, "\n", -1);
  g_assert_cmpuint (g_strv_length (lines), >=, N_STEPS + 1);
  for (guint i = 0; i < N_STEPS; i++) {
    g_auto (GStrv) fields = g_strsplit (lines[i + 1], ",", -1);

    g_assert_cmpuint (g_strv_length (fields), >=, 4);
    losses[2 * i] = g_ascii_strtod (fields[2], NULL);
    losses[2 * i + 1] = g_ascii_strtod (fields[3], NULL);
    g_assert_true (isfinite (losses[2 * i]) && losses[2 * i] != 0);
  }
}

/* Largest difference of any parameter or momentum of two runs, by the largest of its tensor. */
static double
compare_models (const char *folder_a, const char *folder_b)
{
  g_autofree char *path_a = g_build_filename (folder_a, "latest.safetensors", NULL);
  g_autofree char *path_b = g_build_filename (folder_b, "latest.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) a = tess_safetensors_open (path_a, &error), b = NULL;
  double worst = 0;

  g_assert_no_error (error);
  b = tess_safetensors_open (path_b, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_safetensors_n (a), >, 10);
  g_assert_cmpuint (tess_safetensors_n (a), ==, tess_safetensors_n (b));
  for (guint i = 0; i < tess_safetensors_n (a); i++) {
    const TessSafetensor *x = tess_safetensors_nth (a, i), *y = tess_safetensors_find (b, x->name);
    double difference = 0, scale = 0;

    g_assert_nonnull (y);
    g_assert_cmpuint (x->bytes, ==, y->bytes);
    for (gsize at = 0; at + sizeof (float) <= x->bytes; at += sizeof (float)) {
      float p, q;

      memcpy (&p, (const guint8 *)x->data + at, sizeof p);
      memcpy (&q, (const guint8 *)y->data + at, sizeof q);
      difference = MAX (difference, (double)fabsf (p - q));
      scale = MAX (scale, (double)fabsf (q));
    }
    worst = MAX (worst, scale > 0 ? difference / scale : difference);
  }
  return worst;
}

static char *
train (const char *name, const char *plan, guint n_ranks)
{
  char *folder = train_fixture_path (&fixture, name);
  g_autofree char *said = NULL;

  g_assert_cmpint (run (n_ranks, &said,
                        "exec \"%s\" train --dataset %s --run %s --plan %s --backend cpu --precision f32 --threads 1 "
                        "--val-fraction 0.4",
                        cli, fixture.dataset, folder, plan),
                   ==, 0);
  g_assert_cmpuint (count (said, "trained 20 epochs, 20 iterations"), ==, 1); /* by one of them */
  g_assert_cmpuint (count (said, "epoch 7/20: "), ==, 1);
  return folder;
}

static void
test_equal (gconstpointer data)
{
  gboolean batch_dice = GPOINTER_TO_UINT (data);
  g_autofree char *plan = save_plan ("equal.json", batch_dice, N_STEPS, 1);
  g_autofree char *one = NULL;
  double expected[2 * N_STEPS];

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  one = train (batch_dice ? "one-batch" : "one", plan, 1);
  read_losses (one, expected);
  for (guint n = 2; n <= 4; n *= 2) {
    g_autofree char *name = g_strdup_printf ("ranks-%u-%u", n, batch_dice), *many = train (name, plan, n);
    double losses[2 * N_STEPS], worst = 0, params;

    read_losses (many, losses);
    for (guint i = 0; i < 2 * N_STEPS; i++)
      worst = MAX (worst, fabs (losses[i] - expected[i]) / fabs (expected[i]));
    params = compare_models (many, one);
    g_test_message ("%u ranks: losses differ by %.3g, parameters and momentum by %.3g", n, worst, params);
    g_assert_cmpfloat (worst, <=, TOLERANCE);
    g_assert_cmpfloat (params, <=, TOLERANCE);
    g_assert_cmpuint (train_count_hidden (many), ==, 0);
  }
}

static void
test_indivisible (void)
{
  g_autofree char *plan = save_plan ("three.json", FALSE, 1, 1), *folder = train_fixture_path (&fixture, "three");
  g_autofree char *said = NULL;

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  g_assert_cmpint (run (3, &said, "exec \"%s\" train --dataset %s --run %s --plan %s --backend cpu --threads 1", cli,
                        fixture.dataset, folder, plan),
                   ==, 1);
  g_assert_cmpuint (count (said, "tessera-cli: "), ==, 1);
  g_assert_cmpuint (count (said, "a batch of 4 cannot be shared evenly by 3 processes; "), ==, 1);
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));
}

/* A rank that is killed takes the others with it. */
static void
test_dies (void)
{
  g_autofree char *plan = save_plan ("dies.json", FALSE, 100000, 50), *folder = train_fixture_path (&fixture, "dies");
  g_autofree char *said = NULL;

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  g_assert_cmpint (
      run (2, &said,
           "set -- \"%s\" train --dataset %s --run %s --plan %s --backend cpu --threads 1 --quiet; "
           "if [ $OMPI_COMM_WORLD_RANK = 1 ]; then "
           "\"$@\" & until [ -s %s/progress.json ]; do sleep 0.1; done; kill -KILL $!; wait $!; else exec \"$@\"; fi",
           cli, fixture.dataset, folder, plan, folder),
      !=, 0);
  g_assert_cmpuint (count (said, "trained"), ==, 0);
}

/* What one rank alone cannot do ends all of them, with its reason once. */
static void
test_fails_alone (void)
{
  g_autofree char *plan = save_plan ("alone.json", FALSE, 100000, 50), *folder = train_fixture_path (&fixture, "alone");
  g_autofree char *said = NULL, *said2 = NULL;

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  g_assert_cmpint (run (2, &said,
                        "d=%s; if [ $OMPI_COMM_WORLD_RANK = 1 ]; then d=/nonexistent/data; fi; "
                        "exec \"%s\" train --dataset $d --run %s --plan %s --backend cpu --threads 1 --quiet",
                        fixture.dataset, cli, folder, plan),
                   ==, 1);
  g_assert_cmpuint (count (said, "tessera-cli: "), ==, 1);
  g_assert_cmpuint (count (said, "tessera-cli: process 1 of 2: /nonexistent/data: is not a folder; "), ==, 1);
  g_assert_false (g_file_test (folder, G_FILE_TEST_EXISTS));

  /* when it draws its part of a batch: its copy of the scans is spoilt behind the headers */
  g_assert_cmpint (
      run (2, &said2,
           "d=%s; if [ $OMPI_COMM_WORLD_RANK = 1 ]; then mkdir $d-broken; cp -a $d $d-broken/; d=$d-broken/data; "
           "for f in $d/imagesTr/*; do dd if=/dev/zero of=$f bs=1 seek=3000 count=99 conv=notrunc 2>/dev/null; "
           "done; fi; "
           "exec \"%s\" train --dataset $d --run %s --plan %s --backend cpu --threads 1 --quiet",
           fixture.dataset, cli, folder, plan),
      ==, 1);
  g_assert_cmpuint (count (said2, "tessera-cli: "), ==, 1);
  g_assert_cmpuint (count (said2, "tessera-cli: process 1 of 2: "), ==, 1);
  g_assert_nonnull (strstr (said2, "-broken/data/imagesTr/"));
}

static gboolean
has_epoch (const char *folder)
{
  g_autofree char *latest = g_build_filename (folder, "latest.safetensors", NULL);

  return g_file_test (latest, G_FILE_TEST_EXISTS);
}

/* The wait status of a process, which is killed when it does not end in time. */
static int
wait_until (GPid pid, gint64 until)
{
  int status;

  while (waitpid (pid, &status, WNOHANG) == 0) {
    if (g_get_monotonic_time () > until)
      kill (pid, SIGKILL);
    g_usleep (20000);
  }
  return status;
}

/* SIGUSR1 to mpirun stops all, with a checkpoint; all go on from it. */
static void
test_stop (void)
{
  g_autofree char *plan = save_plan ("stop.json", TRUE, 100000, 2), *folder = train_fixture_path (&fixture, "stop");
  g_autofree char *said = NULL;
  g_autofree char *line =
      g_strdup_printf ("mpirun --allow-run-as-root --oversubscribe -np 2 %s train --dataset %s --run %s --plan "
                       "%s --backend cpu --threads 1 --quiet",
                       cli, fixture.dataset, folder, plan);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autoptr (GError) error = NULL;
  gint64 until = g_get_monotonic_time () + 90 * G_USEC_PER_SEC;
  int status;
  GPid pid;

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  g_spawn_async (NULL, argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &pid, &error);
  g_assert_no_error (error);
  while (!has_epoch (folder) && g_get_monotonic_time () < until)
    g_usleep (20000);
  kill (pid, SIGUSR1);
  status = wait_until (pid, until);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 1);
  g_assert_true (has_epoch (folder));
  g_assert_cmpuint (train_count_hidden (folder), ==, 0);
  g_assert_cmpint (run (2, &said,
                        "exec \"%s\" train --dataset %s --run %s --resume --minutes 0.02 --backend cpu --threads 1",
                        cli, fixture.dataset, folder),
                   ==, 0);
  g_assert_cmpuint (count (said, "trained "), ==, 1);
}

/* A time budget ends all at the same iteration. */
static void
test_minutes (void)
{
  g_autofree char *plan = save_plan ("minutes.json", FALSE, 1, 3), *folder = train_fixture_path (&fixture, "minutes");
  g_autofree char *said = NULL;

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  g_assert_cmpint (run (2, &said,
                        "exec \"%s\" train --dataset %s --run %s --plan %s --backend cpu --threads 1 --minutes 0.02",
                        cli, fixture.dataset, folder, plan),
                   ==, 0);
  g_assert_cmpuint (count (said, "trained "), ==, 1);
}

/* The loader says what it opens: MPI only where there is more than one process. */
static void
test_not_loaded (void)
{
  g_autofree char *plan = save_plan ("loaded.json", FALSE, 1, 1);

  if (missing ()) {
    g_test_skip (missing ());
    return;
  }
  for (guint n = 1; n <= 2; n++) {
    g_autofree char *name = g_strdup_printf ("loaded-%u", n), *folder = train_fixture_path (&fixture, name);
    g_autofree char *text = NULL;

    g_assert_cmpint (run (n, &text,
                          "LD_DEBUG=files exec \"%s\" train --dataset %s --run %s --plan %s --backend cpu --threads 1",
                          cli, fixture.dataset, folder, plan),
                     ==, 0);
    g_assert_cmpuint (count (text, "libdnnl"), >, 0);
    if (n == 1)
      g_assert_cmpuint (count (text, "libmpi") + count (text, "libtessera-mpi"), ==, 0);
    else
      g_assert_cmpuint (count (text, "libtessera-mpi"), >, 0);
  }
}

/* Without the plugin mpirun's processes say what is missing; without mpirun nobody asks. */
static void
test_no_plugin (void)
{
  g_autofree char *plan = save_plan ("plugin.json", FALSE, 1, 1), *folder = train_fixture_path (&fixture, "plugin");
  g_autofree char *said = NULL, *said2 = NULL;

  g_assert_cmpint (
      run (1, &said,
           "OMPI_COMM_WORLD_SIZE=2 TESSERA_BACKEND_DIR=/nonexistent exec \"%s\" train --dataset %s --run %s "
           "--plan %s --backend cpu --threads 1",
           cli, fixture.dataset, folder, plan),
      ==, 1);
  g_assert_nonnull (strstr (said, "tessera-cli: the mpi plugin is not installed"));
  g_assert_cmpint (
      run (1, &said2,
           "OMPI_COMM_WORLD_SIZE=1 TESSERA_BACKEND_DIR=/nonexistent exec \"%s\" train --dataset %s --run %s "
           "--plan %s --backend cpu --threads 1",
           cli, fixture.dataset, folder, plan),
      ==, 0);
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
  train_fixture_init (&fixture, 5);
  g_test_add_data_func ("/mpi/train/equal", GUINT_TO_POINTER (FALSE), test_equal);
  g_test_add_data_func ("/mpi/train/equal-batch-dice", GUINT_TO_POINTER (TRUE), test_equal);
  g_test_add_func ("/mpi/train/indivisible", test_indivisible);
  g_test_add_func ("/mpi/train/dies", test_dies);
  g_test_add_func ("/mpi/train/fails-alone", test_fails_alone);
  g_test_add_func ("/mpi/train/stop", test_stop);
  g_test_add_func ("/mpi/train/minutes", test_minutes);
  g_test_add_func ("/mpi/train/not-loaded", test_not_loaded);
  g_test_add_func ("/mpi/train/no-plugin", test_no_plugin);
  code = g_test_run ();
  train_fixture_clear (&fixture);
  return code;
}
