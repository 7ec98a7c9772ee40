#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "conv-floor.h"
#include "tess-cpu-backend.h"

/* The convolutions of a training step as bare oneDNN primitives: one JSON line a kind of layer and pass, with the
 * seconds of one such op (the best of `runs`) and how many there are, then the sums over all ops. It is a measure for
 * other numbers and has no peer. */

static const char *
dtype_name (TessDType dtype)
{
  return dtype == TESS_DTYPE_BF16 ? "bf16" : "f32";
}

static void
print_layer (const char *name, const char *precision, const FloorLayer *l, guint n_runs)
{
  gboolean transposed = l->kind == TESS_OP_CONV_TRANSPOSE || l->kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA ||
                        l->kind == TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS;
  const int *k = l->attr.kernel, *s = l->attr.stride;
  double flops = 2.0 * (double)(l->x[0] * l->x[4] * l->y[4]) * k[0] * k[1] * k[2];
  const gint64 *dhw = transposed ? l->x : l->y; /* where the kernel is put */

  flops *= (double)(dhw[1] * dhw[2] * dhw[3]);
  printf ("{\"bench\": \"conv-floor\", \"case\": \"%s, %s, %sconvolution %dx%dx%d / %dx%dx%d of %" PRId64 " to %" PRId64
          " channels from %" PRId64 "x%" PRId64 "x%" PRId64 ", %s\", \"unit\": \"s\", \"ours\": %.6f, \"ops\": %u, "
          "\"gflops\": %.1f, \"implementation\": \"%s\", \"runs\": %u}\n",
          name, precision, transposed ? "transposed " : "", k[0], k[1], k[2], s[0], s[1], s[2], l->x[4], l->y[4],
          l->x[1], l->x[2], l->x[3], floor_pass_name (l->pass), l->seconds, l->n_ops, flops / l->seconds * 1e-9,
          l->implementation, n_runs);
}

static void
print_sum (const char *name, const char *precision, const char *what, double seconds, guint n_runs)
{
  printf ("{\"bench\": \"conv-floor\", \"case\": \"%s, %s, all %s\", \"unit\": \"s\", \"ours\": %.5f, \"runs\": %u}\n",
          name, precision, what, seconds, n_runs);
}

static gboolean
measure (const BenchCase *c, TessDType dtype, GError **error)
{
  const char *precision = dtype_name (dtype);
  ConvFloor floor;
  gboolean ok = conv_floor_open (&floor, c, dtype, error) && conv_floor_run (&floor, error);

  for (guint n = ok ? bench_n_runs (floor.total) : 0; ok && floor.n_runs < n;)
    ok = conv_floor_run (&floor, error);
  for (guint i = 0; ok && i < floor.layers->len; i++)
    print_layer (c->name, precision, &g_array_index (floor.layers, FloorLayer, i), floor.n_runs);
  for (FloorPass pass = 0; ok && pass < N_FLOOR_PASSES; pass++)
    print_sum (c->name, precision, floor_pass_name (pass), floor.seconds[pass], floor.n_runs);
  if (ok)
    print_sum (c->name, precision, "convolutions", floor.total, floor.n_runs);
  fflush (stdout);
  conv_floor_clear (&floor);
  return ok;
}

int
main (void)
{
  g_autoptr (GError) error = NULL;
  TessDeviceInfo info;
  gboolean ok = tess_cpu_backend ()->device_info (0, &info, &error);

  for (guint i = 0; ok && i < N_BENCH_CASES; i++)
    ok = measure (&bench_cases[i], TESS_DTYPE_F32, &error) &&
         (!info.bf16 || measure (&bench_cases[i], TESS_DTYPE_BF16, &error));
  if (!ok)
    fprintf (stderr, "bench-conv-floor: %s\n", error->message);
  return ok ? 0 : 1;
}
