/* The contract of nn/tess-communicator.h as the MPI plugin keeps it: this program starts itself under mpirun. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tess-communicator.h"

#define N_RANKS 3u
#define N_NUMBERS 100003 /* several messages */

static const char *program;

static const char *
missing (void)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");

  if (!g_getenv ("TESSERA_TEST_MPI_PLUGIN"))
    return "the MPI plugin is not built";
  return mpirun ? NULL : "mpirun is not installed";
}

/* ---- as a rank ---- */

static void
check_sums (const TessCommunicator *c)
{
  g_autofree float *f = g_new (float, N_NUMBERS);
  g_autofree double *d = g_new (double, N_NUMBERS);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < N_NUMBERS; i++) {
    f[i] = (float)(c->rank + i);
    d[i] = (double)c->rank * 0.5 + i;
  }
  g_assert_true (c->sum_f32 (c, f, N_NUMBERS, &error));
  g_assert_true (c->sum_f64 (c, d, N_NUMBERS, &error));
  g_assert_true (c->sum_f32 (c, f, 0, &error));
  for (guint i = 0; i < N_NUMBERS; i++) {
    g_assert_cmpfloat (f[i], ==, (float)(3 + 3 * i));
    g_assert_cmpfloat (d[i], ==, 1.5 + 3.0 * i);
  }
}

/* Several sums at a time, of several pieces of one array; what lies between them stays. */
static void
check_sums_under_way (const TessCommunicator *c)
{
  const gsize begin[] = {70000, 30000, 10, 0}, n[] = {30000, 39999, 20000, 1};
  g_autofree float *f = g_new (float, N_NUMBERS);
  g_autoptr (GError) error = NULL;

  g_assert_true (c->advance (c, &error) && c->finish (c, &error)); /* none */
  for (guint round = 0; round < 3; round++) {
    for (guint i = 0; i < N_NUMBERS; i++)
      f[i] = (float)(c->rank + i + round);
    for (guint i = 0; i < G_N_ELEMENTS (n); i++)
      g_assert_true (c->begin_f32 (c, f + begin[i], n[i], &error) && c->advance (c, &error));
    g_assert_true (c->finish (c, &error));
    for (guint i = 0; i < N_NUMBERS; i++) {
      gboolean summed = FALSE;

      for (guint k = 0; k < G_N_ELEMENTS (n); k++)
        summed |= i >= begin[k] && i < begin[k] + n[k];
      g_assert_cmpfloat (f[i], ==, summed ? (float)(3 + 3 * (i + round)) : (float)(c->rank + i + round));
    }
  }
}

/* The same bits on every rank and every time, of numbers whose sum depends on its order; under way or not. */
static void
check_bits (const TessCommunicator *c)
{
  g_autofree float *first = g_new (float, N_NUMBERS), *again = g_new (float, N_NUMBERS);
  g_autofree double *bits = g_new (double, N_NUMBERS);
  g_autoptr (GError) error = NULL;

  for (guint round = 0; round < 3; round++) {
    float *f = round == 0 ? first : again;

    for (guint i = 0; i < N_NUMBERS; i++)
      f[i] = ldexpf (1.0f + (float)(i * 7919 % 1000) / 1000.0f, (int)((i + 5 * c->rank) % 13));
    g_assert_true (c->begin_f32 (c, f, N_NUMBERS, &error) && c->finish (c, &error));
    for (guint i = 0; i < N_NUMBERS; i++)
      bits[i] = (double)f[i];
    g_assert_true (c->broadcast (c, 0, bits, N_NUMBERS * sizeof *bits, &error));
    for (guint i = 0; i < N_NUMBERS; i++)
      g_assert_cmpfloat ((double)f[i], ==, bits[i]);
    g_assert_cmpmem (f, N_NUMBERS * sizeof *f, first, N_NUMBERS * sizeof *f);
  }
}

static void
check_bytes (const TessCommunicator *c)
{
  g_autoptr (GBytes) own = g_bytes_new_static ("of the first", 12), empty = g_bytes_new (NULL, 0);
  g_autoptr (GBytes) got = NULL, nothing = NULL;
  const double numbers[2] = {c->rank, -1.5};
  g_autofree double *all = NULL;
  g_autoptr (GError) error = NULL;
  char text[8] = "";

  if (c->rank == 2)
    g_strlcpy (text, "second", sizeof text);
  g_assert_true (c->broadcast (c, 2, text, sizeof text, &error));
  g_assert_cmpstr (text, ==, "second");
  got = tess_communicator_share (c, c->rank == 0 ? own : NULL, &error);
  g_assert_true (g_bytes_equal (got, own));
  nothing = tess_communicator_share (c, c->rank == 0 ? empty : NULL, &error);
  g_assert_cmpuint (g_bytes_get_size (nothing), ==, 0);
  all = tess_communicator_gather (c, numbers, G_N_ELEMENTS (numbers), &error);
  for (guint i = 0; i < 2 * c->size; i++)
    g_assert_cmpfloat (all[i], ==, i % 2 == 0 ? (double)(i / 2) : -1.5);
  g_assert_true (c->barrier (c, &error));
}

/* failing: bits of the ranks that do. */
static void
check_agreement (const TessCommunicator *c, guint failing, const char *expected)
{
  g_autofree char *much = g_strnfill (3000, 'x');
  g_autoptr (GError) error = NULL;
  GError *local = NULL;
  gboolean together, ok;

  if (failing >> c->rank & 1)
    g_set_error (&local, TESS_ERROR, TESS_ERROR_NO_MEMORY, "%u has no more%s", c->rank, much);
  ok = tess_communicator_agree (c, local, &together, &error);
  g_assert_cmpint (ok, ==, failing == 0);
  g_assert_true (together);
  if (failing == 0)
    return;
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_true (g_str_has_prefix (error->message, expected));
}

static int
be_rank (const char *mode)
{
  g_autoptr (GError) error = NULL;
  const TessCommunicator *c;

  g_setenv ("TESSERA_BUCKET_BYTES", g_strcmp0 (g_getenv ("OMPI_COMM_WORLD_RANK"), "0") == 0 ? "12345" : "999", TRUE);
  c = tess_communicator_open (&error);
  g_assert_no_error (error);
  g_assert_cmpuint (c->size, ==, N_RANKS);
  g_assert_cmpuint (c->n_local, ==, N_RANKS);
  g_assert_cmpuint (c->local_rank, ==, c->rank);
  g_assert_cmpuint (c->bucket_bytes, ==, 12345); /* rank 0's */
  g_assert_true (tess_communicator_open (NULL) == c);
  if (strcmp (mode, "end") == 0) {
    if (c->rank == 1)
      c->end_all (c, 7);
    c->barrier (c, NULL); /* never comes back */
    return 0;
  }
  check_sums (c);
  check_sums_under_way (c);
  check_bits (c);
  check_bytes (c);
  check_agreement (c, 0, NULL);
  check_agreement (c, 1, "0 has no more");
  check_agreement (c, 2, "process 1 of 3: 1 has no more");
  check_agreement (c, 6, "process 1 of 3: 1 has no more");
  check_agreement (c, 7, "0 has no more");
  c->close (c);
  return 0;
}

/* ---- as a test ---- */

static int
start (const char *mode)
{
  g_autofree char *line = g_strdup_printf ("timeout 60 mpirun --allow-run-as-root --oversubscribe -np %u %s --rank %s",
                                           N_RANKS, program, mode);
  g_auto (GStrv) argv = g_strsplit (line, " ", -1);
  g_autofree char *out = NULL, *said = NULL;
  g_autoptr (GError) error = NULL;
  int status;

  g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &said, &status, &error);
  g_assert_no_error (error);
  g_test_message ("%s: %d\n%s%s", line, status, out, said);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), !=, 124); /* timed out */
  return WEXITSTATUS (status);
}

static void
test_contract (void)
{
  if (missing ())
    g_test_skip (missing ());
  else
    g_assert_cmpint (start ("contract"), ==, 0);
}

static void
test_end (void)
{
  if (missing ())
    g_test_skip (missing ());
  else
    g_assert_cmpint (start ("end"), ==, 7);
}

static void
test_alone (void)
{
  const TessCommunicator *c = tess_communicator_open (NULL);
  g_autoptr (GBytes) own = g_bytes_new_static ("x", 1), got = tess_communicator_share (c, own, NULL);
  g_autoptr (GError) error = NULL;
  gboolean together;
  float value = 2;

  g_assert_true (c == tess_communicator_alone ());
  g_assert_cmpuint (c->size, ==, 1);
  g_assert_true (c->sum_f32 (c, &value, 1, NULL));
  g_assert_true (c->begin_f32 (c, &value, 1, NULL) && c->advance (c, NULL) && c->finish (c, NULL));
  g_assert_cmpfloat (value, ==, 2);
  g_assert_true (g_bytes_equal (got, own));
  g_assert_true (tess_communicator_agree (c, NULL, &together, &error) && together);
  g_assert_false (tess_communicator_agree (c, g_error_new (TESS_ERROR, TESS_ERROR_USAGE, "wrong"), &together, &error));
  g_assert_true (together);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
  g_assert_cmpstr (error->message, ==, "wrong");
  c->close (c);
}

int
main (int argc, char **argv)
{
  program = argv[0];
  if (argc == 3 && strcmp (argv[1], "--rank") == 0)
    return be_rank (argv[2]);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mpi/communicator/alone", test_alone);
  g_test_add_func ("/mpi/communicator/contract", test_contract);
  g_test_add_func ("/mpi/communicator/end", test_end);
  return g_test_run ();
}
