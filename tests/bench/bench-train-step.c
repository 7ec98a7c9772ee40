#include <stdio.h>
#include <stdlib.h>

#include "bench-backend.h"
#include "conv-floor.h"
#include "tess-cpu-backend.h"
#include "tess-session.h"

/* The whole training step of a session (forward, the loss of every head, backward, clipping, SGD), the best of 10 after
 * two (where a step takes over 5 s, of the first 3 or 2: `runs`), beside two peers: the convolutions of the same graph
 * as bare oneDNN primitives, once after each step so that both see the same load, and PyTorch's step
 * (bench_train_step_peer.py). `ratio` is peer / ours as everywhere; beside the first peer it is below 1, and
 * `times_floor` is its inverse: how many times the time of its convolutions alone the step takes. The goal is 1.35. */

#define N_WARM 2

static gboolean
time_steps (TessSession *session, ConvFloor *floor, double *best, guint *n_runs, GError **error)
{
  TessStepArgs args = {.learning_rate = 0.001,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 12,
                       .head_weight = {1, 0.5, 0.25, 0.125, 0.0625}};
  guint n_warm = N_WARM;

  *best = G_MAXDOUBLE;
  *n_runs = 1;
  for (guint i = 0; i < n_warm + *n_runs; i++) {
    gint64 before = g_get_monotonic_time ();
    double seconds;

    if (!tess_session_run (session, 0, &args, error))
      return FALSE;
    seconds = (double)(g_get_monotonic_time () - before) * 1e-6;
    if (i == 0) {
      *n_runs = bench_n_runs (seconds);
      n_warm = *n_runs < bench_n_runs (0) ? 0 : N_WARM; /* a slow step has none to spare */
    }
    if (i < n_warm)
      continue;
    *best = MIN (*best, seconds);
    if (!conv_floor_run (floor, error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
step_seconds (const BenchCase *c, TessDType dtype, ConvFloor *floor, double *best, guint *n_runs, GError **error)
{
  TessProgramSpec program = bench_train_program (c, dtype);
  g_autoptr (TessSession) session = tess_session_new (tess_cpu_backend (), 0, 0, &c->network, error);

  return session != NULL && tess_session_add_program (session, &program, error) >= 0 &&
         tess_session_bind (session, 0, error) && tess_session_init_params (session, 1, error) &&
         bench_write_batch (session, error) && time_steps (session, floor, best, n_runs, error);
}

static gboolean
measure (const BenchCase *c, TessDType dtype, double *best, GError **error)
{
  const char *precision = dtype == TESS_DTYPE_BF16 ? "bf16" : "f32";
  ConvFloor floor = {NULL};
  double seconds;
  guint n_runs;
  gboolean ok = conv_floor_open (&floor, c, dtype, error) && step_seconds (c, dtype, &floor, &seconds, &n_runs, error);

  if (ok) {
    printf (
        "{\"bench\": \"train-step\", \"case\": \"%s, training step, %s, beside its convolutions alone\", "
        "\"unit\": \"s\", \"ours\": %.5f, \"peer\": \"conv-floor: oneDNN's bare primitives\", \"peer_value\": %.5f, "
        "\"ratio\": %.4f, \"times_floor\": %.4f, \"runs\": %u, \"peer_runs\": %u}\n",
        c->name, precision, seconds, floor.total, floor.total / seconds, seconds / floor.total, n_runs, floor.n_runs);
    fflush (stdout);
    *best = MIN (*best, seconds);
  }
  conv_floor_clear (&floor);
  return ok;
}

int
main (void)
{
  g_autoptr (GError) error = NULL;
  TessDeviceInfo info;
  gboolean ok = tess_cpu_backend ()->device_info (0, &info, &error);

  for (guint i = 0; ok && i < N_BENCH_CASES; i++) {
    double best = G_MAXDOUBLE;

    ok = measure (&bench_cases[i], TESS_DTYPE_F32, &best, &error) &&
         (!info.bf16 || measure (&bench_cases[i], TESS_DTYPE_BF16, &best, &error));
    if (ok)
      printf ("{\"bench\": \"train-step\", \"case\": \"%s, training step, best precision\", \"unit\": \"s\", "
              "\"ours\": %.5f}\n",
              bench_cases[i].name, best);
  }
  if (!ok)
    fprintf (stderr, "bench-train-step: %s\n", error->message);
  return ok ? 0 : 1;
}
