/* Processes that train together on GPUs: this program starts itself under mpirun. Two on one card add up through the
 * processor's memory; with several cards NCCL does. */
#include <string.h>
#include <sys/wait.h>

#include "ranks-run.h"

#define N_STEPS 6
#define TOLERANCE 1e-3 /* cuDNN computes another batch by another plan */

static const char *program;

/* ---- as a rank ---- */

static void
run (const TessBackendIface *cuda, const TessCommunicator *c, guint which, RanksRun *out)
{
  g_autoptr (GError) error = NULL;

  ranks_run (cuda, c->local_rank % cuda->n_devices (NULL), c, which, N_STEPS, out, &error);
  g_assert_no_error (error);
}

static int
be_rank (void)
{
  g_autoptr (GError) error = NULL;
  const TessCommunicator *c = tess_communicator_open (&error);
  const TessBackendIface *cuda;

  g_assert_no_error (error);
  cuda = tess_backend_find ("cuda", &error);
  g_assert_no_error (error);
  for (guint i = 0; i < ranks_run_n (); i++) {
    RanksRun whole, captured, eager;

    ranks_run (cuda, c->local_rank % cuda->n_devices (NULL), NULL, i, N_STEPS, &whole, &error);
    g_assert_no_error (error);
    run (cuda, c, i, &captured);
    g_setenv ("TESSERA_CUDA_GRAPH", "0", TRUE);
    run (cuda, c, i, &eager);
    g_unsetenv ("TESSERA_CUDA_GRAPH");
    if (c->rank == 0)
      g_printerr ("%s: error %.3g\n", ranks_run_name (i), ranks_run_error (&captured, &whole));
    g_assert_cmpfloat (ranks_run_error (&captured, &whole), <=, TOLERANCE);
    g_assert_true (ranks_run_same_bits (&captured, &eager));
    ranks_run_clear (&whole);
    ranks_run_clear (&captured);
    ranks_run_clear (&eager);
  }
  c->close (c);
  return 0;
}

/* ---- as a test ---- */

static guint
n_cards (void)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cuda;
  guint n;

  if (mpirun == NULL || g_getenv ("TESSERA_TEST_MPI_PLUGIN") == NULL) {
    g_test_skip ("no MPI plugin or no mpirun");
    return 0;
  }
  cuda = tess_backend_find ("cuda", &error);
  g_assert_no_error (error);
  n = cuda->n_devices (&error);
  if (n == 0)
    g_test_skip (error->message);
  return n;
}

static void
start (guint n_ranks, const char *environment)
{
  g_autofree char *line = g_strdup_printf ("timeout 200 env %s mpirun --allow-run-as-root --oversubscribe -np %u %s "
                                           "--rank",
                                           environment, n_ranks, program);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autofree char *out = NULL, *said = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &said, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s: %d\n%s%s", line, status, out, said);
  g_assert_cmpint (status, ==, 0);
}

static void
test_one_card (void)
{
  if (n_cards () > 0)
    start (2, "TESSERA_NCCL=none");
}

static void
test_nccl (void)
{
  guint n = n_cards ();

  if (n == 1)
    g_test_skip ("one GPU: NCCL needs one for each process");
  else if (n > 1)
    start (n >= 4 ? 4 : 2, "TESSERA_NCCL=");
}

int
main (int argc, char **argv)
{
  program = argv[0];
  if (argc == 2 && strcmp (argv[1], "--rank") == 0)
    return be_rank ();
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cuda/gpu-ranks/one-card", test_one_card);
  g_test_add_func ("/cuda/gpu-ranks/nccl", test_nccl);
  return g_test_run ();
}
