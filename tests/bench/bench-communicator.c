#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tess-communicator.h"

/* What training over several processes costs besides computing: the sum of all gradients over 1, 2 and 4 ranks of this
 * machine (weak scaling: every rank holds as many numbers), and the agreement before a step. Median of several, as rank
 * 0 sees it; each number of ranks is a run of mpirun's. */

#define N_TIMES 9
#define MB 1000000

static const gsize sizes[] = {1 * MB, 16 * MB, 120 * MB}; /* bytes; the last: nnU-Net's usual 30 million parameters */

static int
compare (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

/* n floats, or 0: an agreement. */
static gboolean
once (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  gboolean together;

  return n > 0 ? c->sum_f32 (c, values, n, error) : tess_communicator_agree (c, NULL, &together, error);
}

static gboolean
measure (const TessCommunicator *c, gsize n, double *seconds, GError **error)
{
  g_autofree float *values = g_new0 (float, n + 1);
  double times[N_TIMES];

  for (int i = -1; i < N_TIMES; i++) { /* the first warms up */
    gint64 before;

    if (!c->barrier (c, error))
      return FALSE;
    before = g_get_monotonic_time ();
    if (!once (c, values, n, error))
      return FALSE;
    if (i >= 0)
      times[i] = (double)(g_get_monotonic_time () - before) * 1e-6;
  }
  qsort (times, N_TIMES, sizeof *times, compare);
  *seconds = times[N_TIMES / 2];
  return TRUE;
}

static int
be_rank (void)
{
  g_autoptr (GError) error = NULL;
  const TessCommunicator *c = tess_communicator_open (&error);
  gboolean ok = c != NULL;
  double seconds;

  for (guint i = 0; ok && i <= G_N_ELEMENTS (sizes); i++) {
    gsize bytes = i < G_N_ELEMENTS (sizes) ? sizes[i] : 0;

    ok = measure (c, bytes / sizeof (float), &seconds, &error);
    if (!ok || c->rank > 0)
      continue;
    if (bytes > 0)
      printf ("{\"bench\": \"communicator\", \"case\": \"sum %zu MB over %u\", \"unit\": \"s\", \"ours\": %.6f}\n",
              bytes / MB, c->size, seconds);
    else
      printf ("{\"bench\": \"communicator\", \"case\": \"agree over %u\", \"unit\": \"s\", \"ours\": %.6f}\n", c->size,
              seconds);
  }
  if (!ok)
    g_printerr ("bench-communicator: %s\n", error->message);
  else
    c->close (c);
  return ok ? 0 : 1;
}

int
main (int argc, char **argv)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");
  int code = 0;

  if (argc > 1)
    return be_rank ();
  if (mpirun == NULL)
    g_printerr ("bench-communicator: mpirun is not installed: one rank only\n");
  for (guint n = 1; n <= (mpirun != NULL ? 4u : 1u) && code == 0; n *= 2) {
    g_autofree char *line =
        n == 1 ? g_strdup_printf ("%s rank", argv[0])
               : g_strdup_printf ("%s --allow-run-as-root --oversubscribe -np %u %s rank", mpirun, n, argv[0]);
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) words = NULL;
    int status = 0;

    fflush (stdout);
    if (!g_shell_parse_argv (line, NULL, &words, &error) ||
        !g_spawn_sync (NULL, words, NULL, G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL,
                       NULL, NULL, &status, &error)) {
      g_printerr ("bench-communicator: %s\n", error->message);
      return 1;
    }
    code = WIFEXITED (status) ? WEXITSTATUS (status) : 1;
  }
  return code;
}
