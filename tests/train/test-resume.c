/* A training on the processor in f32 that is killed anywhere, any number of times, and resumed, ends with the same bits
 * as one that never was: parameters, momentum, log (but for its times), snapshots. Through the command line, with
 * kill -9, with Ctrl-C (a checkpoint within an epoch) and with 1, 2 and 4 threads. */
#include "train-fixture.h"

#include "tess-safetensors.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_INTERRUPTIONS 3

static TrainFixture fixture;
static const char *cli;
static char *adam_path;

typedef struct {
  GPid pid;
  int errors; /* the reading end of its standard error */
} Process;

static Process
spawn (const char *run, guint n_threads, const char *plan)
{
  g_autofree char *threads = g_strdup_printf ("%u", n_threads);
  const char *argv[] = {cli,         "train", "--dataset", fixture.dataset, "--run",       run,
                        "--plan",    plan,    "--backend", "cpu",           "--precision", "f32",
                        "--threads", threads, "--quiet",   "--resume",      NULL};
  g_autoptr (GError) error = NULL;
  Process process;

  g_spawn_async_with_pipes (NULL, (char **)argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL, NULL,
                            NULL, &process.pid, NULL, NULL, &process.errors, &error);
  g_assert_no_error (error);
  return process;
}

/* Reads what it says and waits for its end: the wait status. */
static int
finish (Process *process, char **said)
{
  GString *text = g_string_new (NULL);
  char buffer[4096];
  int status;
  gssize n;

  while ((n = read (process->errors, buffer, sizeof buffer)) > 0)
    g_string_append_len (text, buffer, n);
  close (process->errors);
  g_assert_cmpint (waitpid (process->pid, &status, 0), ==, process->pid);
  g_spawn_close_pid (process->pid);
  *said = g_string_free (text, FALSE);
  return status;
}

static void
compare_tensors (const char *a, const char *b, const char *name, gboolean state)
{
  g_autofree char *path_a = g_build_filename (a, name, NULL), *path_b = g_build_filename (b, name, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) x = tess_safetensors_open (path_a, &error), y = tess_safetensors_open (path_b, &error);
  gboolean momentum = FALSE;

  g_assert_no_error (error);
  g_assert_cmpuint (tess_safetensors_n (x), ==, tess_safetensors_n (y));
  for (guint i = 0; i < tess_safetensors_n (x); i++) {
    const TessSafetensor *t = tess_safetensors_nth (x, i), *u = tess_safetensors_find (y, t->name);

    g_assert_nonnull (u);
    g_assert_cmpmem (t->data, t->bytes, u->data, u->bytes);
    momentum |= g_str_has_prefix (t->name, "optimiser.momentum/");
  }
  g_assert_true (momentum == state);
}

/* Adam's second moments are in the checkpoint. */
static gboolean
has_variance (const char *run)
{
  g_autofree char *path = g_build_filename (run, "latest.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < tess_safetensors_n (file); i++)
    if (g_str_has_prefix (tess_safetensors_nth (file, i)->name, "optimiser.variance/"))
      return TRUE;
  return FALSE;
}

/* All but the last two columns: seconds and loader_share. */
static char *
log_without_times (const char *run)
{
  g_autofree char *path = g_build_filename (run, "log.csv", NULL), *text = NULL;
  g_auto (GStrv) lines = NULL;
  GString *out = g_string_new (NULL);

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  lines = g_strsplit (text, "\n", -1);
  for (char **line = lines; *line; line++) {
    for (guint i = 0; i < 2; i++) {
      char *comma = strrchr (*line, ',');

      if (comma)
        *comma = '\0';
    }
    g_string_append_printf (out, "%s\n", *line);
  }
  return g_string_free (out, FALSE);
}

static void
test_killed (gconstpointer data)
{
  guint n_threads = GPOINTER_TO_UINT (data) % 16, n_killed = 0, n_stopped = 0;
  gboolean adam = GPOINTER_TO_UINT (data) > 16;
  const char *plan = adam ? adam_path : fixture.plan_path;
  g_autofree char *name = g_strdup_printf ("whole-%u-%d", n_threads, adam),
                  *name2 = g_strdup_printf ("killed-%u-%d", n_threads, adam);
  g_autofree char *whole = train_fixture_path (&fixture, name), *killed = train_fixture_path (&fixture, name2);
  g_autofree char *log_a = NULL, *log_b = NULL;
  gint64 started = g_get_monotonic_time (), length;
  gboolean finished = FALSE;

  {
    Process process = spawn (whole, n_threads, plan);
    g_autofree char *said = NULL;
    int status = finish (&process, &said);

    g_assert_cmpstr (said, ==, "");
    g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
  }
  length = g_get_monotonic_time () - started;
  for (guint i = 0; i < 40 && !finished; i++) {
    Process process = spawn (killed, n_threads, plan);
    gboolean enough = n_killed + n_stopped >= N_INTERRUPTIONS && n_killed > 0 && n_stopped > 0;
    g_autofree char *said = NULL;
    int status;

    if (!enough) {
      g_usleep ((gulong)g_test_rand_int_range (0, (gint32)MAX (length * 2 / 3, 2)));
      kill (process.pid, i % 2 == 0 ? SIGKILL : SIGINT);
    }
    status = finish (&process, &said);
    if (enough) {
      g_assert_cmpstr (said, ==, "");
      g_assert_true (WIFEXITED (status) && WEXITSTATUS (status) == 0);
      finished = TRUE;
    } else if (WIFEXITED (status) && WEXITSTATUS (status) == 0) { /* it was faster: again from the beginning */
      remove_tree (killed);
    } else if (WIFEXITED (status)) {
      g_assert_cmpint (WEXITSTATUS (status), ==, 1);
      g_assert_true (g_str_has_prefix (said, "tessera-cli: "));
      g_assert_true (strchr (said, '\n') == said + strlen (said) - 1); /* one line */
      n_stopped++;
    } else {
      n_killed++; /* a SIGINT before the handler is there kills, too */
    }
  }
  g_assert_true (finished);
  g_test_message ("%u threads: killed %u times, stopped %u times", n_threads, n_killed, n_stopped);

  compare_tensors (whole, killed, "latest.safetensors", TRUE);
  g_assert_true (has_variance (whole) == adam);
  compare_tensors (whole, killed, "best.safetensors", TRUE);
  for (gint64 e = 1; e <= fixture.plan->training.epochs; e++) {
    g_autofree char *snapshot = g_strdup_printf ("snapshots/e%04d.safetensors", (int)e);

    compare_tensors (whole, killed, snapshot, FALSE);
  }
  log_a = log_without_times (whole);
  log_b = log_without_times (killed);
  g_assert_cmpstr (log_a, ==, log_b);
  g_assert_cmpuint (train_count_hidden (killed), ==, 0);
}

int
main (int argc, char **argv)
{
  g_autoptr (GError) error = NULL;
  int code;

  g_test_init (&argc, &argv, NULL);
  cli = g_getenv ("TESSERA_TEST_CLI");
  if (!cli) {
    g_printerr ("TESSERA_TEST_CLI names no program\n");
    return 1;
  }
  train_fixture_init (&fixture, 5);
  fixture.plan->training.iterations_per_epoch = 6;
  fixture.plan->training.epochs = 3;
  fixture.plan->training.pool_cases = 2;
  fixture.plan->training.pool_patches = 6;
  tess_plan_save (fixture.plan, fixture.plan_path, &error);
  g_assert_no_error (error);
  adam_path = train_fixture_path (&fixture, "adam.json");
  fixture.plan->training.optimiser = TESS_PLAN_OPTIMISER_ADAMW;
  tess_plan_save (fixture.plan, adam_path, &error);
  g_assert_no_error (error);
  fixture.plan->training.optimiser = TESS_PLAN_OPTIMISER_SGD;
  g_test_add_data_func ("/train/resume/adamw", GUINT_TO_POINTER (16 + 1), test_killed);
  g_test_add_data_func ("/train/resume/1-thread", GUINT_TO_POINTER (1), test_killed);
  g_test_add_data_func ("/train/resume/2-threads", GUINT_TO_POINTER (2), test_killed);
  g_test_add_data_func ("/train/resume/4-threads", GUINT_TO_POINTER (4), test_killed);
  code = g_test_run ();
  g_free (adam_path);
  train_fixture_clear (&fixture);
  return code;
}
