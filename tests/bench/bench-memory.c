#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench-backend.h"
#include "conv-floor.h"
#include "tess-cpu-backend.h"
#include "tess-session.h"

/* Memory of a training step in float32: the largest resident set over steps less the resident set before the network
 * was built, the library that computes being there already; beside PyTorch's (bench_memory_peer.py). The goal is at
 * most 0.6 of it. `planned` is what the session said before it took anything, `measured_over_planned` how far off that
 * is: at most 5 %. Each measurement is a process of its own. */

#define N_STEPS 3

static gboolean
take_steps (const BenchCase *c, guint recompute, guint64 *planned, double *seconds, GError **error)
{
  TessProgramSpec program = bench_train_program (c, TESS_DTYPE_F32);
  g_autoptr (TessSession) session = tess_session_new (tess_cpu_backend (), 0, 0, &c->network, error);
  TessStepArgs args = {.learning_rate = 0.001,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 12,
                       .head_weight = {1, 0.5, 0.25, 0.125, 0.0625}};

  program.recompute = recompute;
  if (session == NULL || tess_session_add_program (session, &program, error) < 0)
    return FALSE;
  *planned = tess_session_bytes (session);
  if (!tess_session_bind (session, 0, error) || !tess_session_init_params (session, 1, error) ||
      !bench_write_batch (session, error))
    return FALSE;
  *seconds = G_MAXDOUBLE;
  for (guint i = 0; i < N_STEPS; i++) {
    gint64 before = g_get_monotonic_time ();

    if (!tess_session_run (session, 0, &args, error))
      return FALSE;
    *seconds = MIN (*seconds, (double)(g_get_monotonic_time () - before) * 1e-6);
  }
  return TRUE;
}

/* Every stage that spares memory, or none. */
static gboolean
measure (const BenchCase *c, gboolean recompute, GError **error)
{
  BenchCase small = *c;
  guint64 planned;
  double seconds;
  gint64 before, taken;

  /* What any use of the library takes, for the peer as for us: its code, its threads. */
  small.network.n_stages = 2;
  small.network.features[0] = small.network.features[1] = 16;
  small.dhw[0] = small.dhw[1] = small.dhw[2] = 8;
  if (!take_steps (&small, 0, &planned, &seconds, error))
    return FALSE;
  bench_forget_peak ();
  before = bench_resident ("VmRSS:");
  if (!take_steps (c, recompute ? G_MAXUINT : 0, &planned, &seconds, error))
    return FALSE;
  taken = bench_resident ("VmHWM:") - before;
  printf ("{\"bench\": \"memory\", \"case\": \"%s, training step, f32%s\", \"unit\": \"bytes\", \"ours\": %" PRId64
          ", \"planned\": %" PRIu64 ", \"measured_over_planned\": %.4f, \"seconds\": %.4f}\n",
          c->name, recompute ? ", every stage recomputed" : "", taken, planned, (double)taken / (double)planned,
          seconds);
  fflush (stdout);
  return TRUE;
}

static gboolean
measure_apart (const BenchCase *c, gboolean recompute)
{
  pid_t child = fork ();
  int status = 1;

  if (child == 0) {
    GError *error = NULL;

    if (!measure (c, recompute, &error))
      fprintf (stderr, "bench-memory: %s\n", error->message);
    _exit (error == NULL ? 0 : 1);
  }
  return child > 0 && waitpid (child, &status, 0) == child && WIFEXITED (status) && WEXITSTATUS (status) == 0;
}

int
main (void)
{
  gboolean ok = TRUE;

  for (guint i = 0; ok && i < N_BENCH_CASES; i++)
    ok = measure_apart (&bench_cases[i], FALSE) && measure_apart (&bench_cases[i], TRUE);
  return ok ? 0 : 1;
}
