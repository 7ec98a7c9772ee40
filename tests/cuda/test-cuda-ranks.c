/* Processes that train together with the CUDA backend, over the runtime that only looks like CUDA's and a library that
 * only looks like NCCL: this program starts itself under mpirun. */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "host-cuda.h"
#include "ranks-run.h"
#include "tess-cpu-backend.h"
#include "tess-cuda-private.h"
#include "tess-nccl.h"

#define TOLERANCE 1e-5
#define SHORT_STEPS 4 /* two of them captured */
#define FEW_STEPS 2

static const char *program;

/* ---- as a rank ---- */

static int
fail (const TessCommunicator *c, const GError *error)
{
  g_printerr ("rank %u: %s\n", c->rank, error->message);
  return 3;
}

static void
run (const TessCommunicator *c, guint which, guint n_steps, RanksRun *out)
{
  g_autoptr (GError) error = NULL;

  ranks_run (&tess_cuda_iface, c->local_rank % tess_cuda_n_devices (NULL), c, which, n_steps, out, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

/* Every rank got the first one's numbers. */
static void
assert_same_everywhere (const TessCommunicator *c, const RanksRun *run)
{
  RanksRun first = {.n_steps = run->n_steps, .params = g_array_copy (run->params)};
  g_autoptr (GError) error = NULL;

  memcpy (first.loss, run->loss, sizeof first.loss);
  memcpy (first.norm, run->norm, sizeof first.norm);
  memcpy (first.metrics, run->metrics, sizeof first.metrics);
  g_assert_true (c->broadcast (c, 0, first.loss, sizeof first.loss, &error));
  g_assert_true (c->broadcast (c, 0, first.norm, sizeof first.norm, &error));
  g_assert_true (c->broadcast (c, 0, first.metrics, sizeof first.metrics, &error));
  g_assert_true (c->broadcast (c, 0, first.params->data, first.params->len * sizeof (float), &error));
  g_assert_true (ranks_run_same_bits (run, &first));
  ranks_run_clear (&first);
}

/* One process with the whole batch: of this backend, or of the processor's, which is quicker (but draws another noise
 * in the last bits). */
static int
be_equal (const TessCommunicator *c)
{
  for (guint i = 0; i < ranks_run_n (); i += c->size / 2 * 3 - 2) { /* all, or with 4 ranks every fourth */
    guint n_steps = i == 0 && c->size == 2 ? RANKS_STEPS : FEW_STEPS;
    const TessBackendIface *alone = i > 8 ? &tess_cuda_iface : tess_cpu_backend ();
    g_autoptr (GError) error = NULL;
    RanksRun whole, part;

    ranks_run (alone, 0, NULL, i, n_steps, &whole, &error);
    g_assert_no_error (error);
    run (c, i, n_steps, &part);
    if (c->rank == 0)
      g_printerr ("%s: error %.3g\n", ranks_run_name (i), ranks_run_error (&part, &whole));
    g_assert_cmpfloat (ranks_run_error (&part, &whole), <=, TOLERANCE);
    assert_same_everywhere (c, &part);
    ranks_run_clear (&whole);
    ranks_run_clear (&part);
  }
  return 0;
}

/* Op by op, captured, with each of the streams as late as it may be: the same bits. */
static int
be_captured (const TessCommunicator *c)
{
  for (guint i = 1; i < ranks_run_n (); i += 9) {
    RanksRun eager, other;

    g_setenv ("TESSERA_CUDA_GRAPH", "0", TRUE);
    run (c, i, SHORT_STEPS, &eager);
    g_unsetenv ("TESSERA_CUDA_GRAPH");
    for (int late = 0; late < 3; late++) {
      host_cuda.late = late;
      host_cuda.n_captured = host_cuda.n_replayed = 0;
      run (c, i, SHORT_STEPS, &other);
      g_assert_cmpuint (host_cuda.n_captured, ==, 1);
      g_assert_cmpuint (host_cuda.n_replayed, ==, SHORT_STEPS - 2);
      g_assert_true (ranks_run_same_bits (&other, &eager));
      ranks_run_clear (&other);
      g_setenv ("TESSERA_CUDA_GRAPH", "0", TRUE);
      run (c, i, SHORT_STEPS, &other);
      g_unsetenv ("TESSERA_CUDA_GRAPH");
      g_assert_true (ranks_run_same_bits (&other, &eager));
      ranks_run_clear (&other);
    }
    host_cuda.late = 0;
    ranks_run_clear (&eager);
  }
  return 0;
}

/* Through the processor's memory: nothing is captured. */
static int
be_without (const TessCommunicator *c)
{
  for (guint i = 0; i < ranks_run_n (); i += 4) {
    g_autoptr (GError) error = NULL;
    RanksRun whole, part;

    ranks_run (tess_cpu_backend (), 0, NULL, i, SHORT_STEPS, &whole, &error);
    g_assert_no_error (error);
    host_cuda.n_captured = 0;
    host_cuda.late = (int)i % 3;
    run (c, i, SHORT_STEPS, &part);
    g_assert_cmpuint (host_cuda.n_captured, ==, 0);
    g_assert_cmpfloat (ranks_run_error (&part, &whole), <=, TOLERANCE);
    assert_same_everywhere (c, &part);
    ranks_run_clear (&whole);
    ranks_run_clear (&part);
  }
  return 0;
}

/* A rank that fails says so and ends the others. */
static int
be_once (const TessCommunicator *c, guint n_steps)
{
  g_autoptr (GError) error = NULL;
  RanksRun part;
  gboolean ok = ranks_run (&tess_cuda_iface, c->local_rank % tess_cuda_n_devices (NULL), c, 0, n_steps, &part, &error);

  g_assert_true (ok == (error == NULL));
  ranks_run_clear (&part);
  if (ok)
    return 0;
  g_assert_null (strchr (error->message, '\n'));
  fail (c, error);
  c->end_all (c, 3);
  return 3;
}

static int
be_rank (const char *mode)
{
  g_autoptr (GError) error = NULL;
  const TessCommunicator *c;
  int code;

  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  c = tess_communicator_open (&error);
  g_assert_no_error (error);
  if (strcmp (mode, "equal") == 0)
    code = be_equal (c);
  else if (strcmp (mode, "captured") == 0)
    code = be_captured (c);
  else if (strcmp (mode, "without") == 0)
    code = be_without (c);
  else
    code = be_once (c, strcmp (mode, "once") == 0 ? 1 : SHORT_STEPS);
  c->close (c);
  return code;
}

/* ---- as a test ---- */

static const char *
missing (void)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");

  if (g_getenv ("TESSERA_TEST_MPI_PLUGIN") == NULL)
    return "the MPI plugin is not built";
  return mpirun != NULL ? NULL : "mpirun is not installed";
}

/* environment: "NAME=VALUE ..." of the ranks. said: what they said. Quietly, as OpenMPI 4.1's mpirun now and then
 * crashes over its own advice when ranks abort. */
static int
start (guint n_ranks, const char *mode, const char *environment, char **said)
{
  g_autofree char *line =
      g_strdup_printf ("timeout 300 env %s mpirun --quiet --allow-run-as-root --oversubscribe -np %u %s "
                       "--rank %s",
                       environment, n_ranks, program, mode);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autofree char *out = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, said, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s: %d\n%s%s", line, status, out, *said);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), !=, 124); /* timed out */
  return WEXITSTATUS (status);
}

typedef struct {
  const char *mode;
  guint n_ranks;
  const char *environment;
} Start;

static const Start starts[] = {
    {"equal", 2, "HOST_CUDA_CARDS=2"},
    {"equal", 4, "HOST_CUDA_CARDS=4"},
    {"captured", 2, "HOST_CUDA_CARDS=2"},
    {"without", 2, "TESSERA_NCCL=none"}, /* and both on one card */
};

static void
test_start (gconstpointer data)
{
  const Start *s = data;
  g_autofree char *said = NULL;

  if (missing () != NULL)
    g_test_skip (missing ());
  else
    g_assert_cmpint (start (s->n_ranks, s->mode, s->environment, &said), ==, 0);
}

/* What cannot work is refused before anything is trained, by one sentence. */
static void
test_refused (void)
{
  const char *const cases[][2] = {
      {"HOST_CUDA_CARDS=1", "processes 0 and 1 would share one card"},
      {"HOST_CUDA_CARDS=2 TESSERA_NCCL=/nonexistent", "/nonexistent"},
      {"HOST_CUDA_CARDS=2 HOST_NCCL_OLD=1", "is an NCCL older than 2."},
  };

  if (missing () != NULL) {
    g_test_skip (missing ());
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *said = NULL;

    g_assert_cmpint (start (2, "once", cases[i][0], &said), ==, 3);
    g_assert_nonnull (strstr (said, cases[i][1]));
  }
}

/* Each call to NCCL fails once, on either rank: a sentence, and all end. The first that is only captured ends the
 * count: that step is then made op by op. */
static void
test_faults (void)
{
  if (missing () != NULL) {
    g_test_skip (missing ());
    return;
  }
  for (guint rank = 0; rank < 2; rank++) {
    guint n_failed = 0;

    for (guint at = 1; at < 100; at++) {
      g_autofree char *said = NULL, *environment = NULL;
      int status;

      environment = g_strdup_printf ("HOST_CUDA_CARDS=2 HOST_NCCL_RANK=%u HOST_NCCL_FAILS=%u", rank, at);
      status = start (2, "once", environment, &said);
      if (status == 0)
        break;
      g_assert_cmpint (status, ==, 3);
      g_assert_nonnull (strstr (said, "NCCL: "));
      g_assert_nonnull (strstr (said, "as the test asked"));
      n_failed++;
    }
    g_test_message ("rank %u: %u calls failed", rank, n_failed);
    g_assert_cmpuint (n_failed, >, 8);
    g_assert_cmpuint (n_failed, <, 98);
  }
}

/* A sum fails that a captured graph makes: the program goes, and NCCL, which would wait for the graph, is left alone.
 */
static void
test_graph (void)
{
  g_autofree char *said = NULL;

  if (missing () != NULL) {
    g_test_skip (missing ());
    return;
  }
  g_assert_cmpint (start (2, "steps", "HOST_CUDA_CARDS=2 HOST_NCCL_RANK=1 HOST_NCCL_FAILS=graph", &said), ==, 3);
  g_assert_nonnull (strstr (said, "rank 1: NCCL: adding up gradients: as the test asked"));
  g_assert_null (strstr (said, "taken down"));
}

/* NCCL itself, where it is installed: all that is called of it is there, and it makes an id without a GPU. */
static void
test_nccl (void)
{
  g_autofree char *told = g_strdup (g_getenv ("TESSERA_NCCL"));
  const TessNcclId none = {{0}};
  g_autoptr (GError) error = NULL;
  const TessNccl *nccl;
  TessNcclId id = none;
  int version = 0;

  g_unsetenv ("TESSERA_NCCL");
  nccl = tess_nccl_load (&error);
  if (told != NULL)
    g_setenv ("TESSERA_NCCL", told, TRUE);
  if (nccl == NULL) {
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_test_skip (error->message);
    return;
  }
  g_assert_cmpint (nccl->GetVersion (&version), ==, TESS_NCCL_SUCCESS);
  g_assert_cmpint (nccl->GetUniqueId (&id), ==, TESS_NCCL_SUCCESS);
  g_assert_true (memcmp (&id, &none, sizeof id) != 0);
  g_assert_cmpstr (nccl->GetErrorString (TESS_NCCL_SUCCESS), ==, "no error");
  g_test_message ("NCCL %d", version);
}

int
main (int argc, char **argv)
{
  program = argv[0];
  if (argc == 3 && strcmp (argv[1], "--rank") == 0)
    return be_rank (argv[2]);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (starts); i++) {
    g_autofree char *path = g_strdup_printf ("/cuda/ranks/%s-%u", starts[i].mode, starts[i].n_ranks);

    g_test_add_data_func (path, &starts[i], test_start);
  }
  g_test_add_func ("/cuda/ranks/nccl", test_nccl);
  g_test_add_func ("/cuda/ranks/refused", test_refused);
  g_test_add_func ("/cuda/ranks/faults", test_faults);
  g_test_add_func ("/cuda/ranks/graph", test_graph);
  return g_test_run ();
}
