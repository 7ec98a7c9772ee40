#include "op-table.h"
#include "tess-cpu-backend.h"
#include "tess-cpu-kernels.h"

#include <math.h>

/* Every case of the shared op table on the CPU backend against the naive reference. */

typedef struct {
  const TessBackendIface *iface;
  TessDevice  *device;
  TessProgram *program;
  TessBuffer  *buffers[TESS_N_ARENAS];
  TessRequirements needs;
} Run;

static void
run_clear (Run *run)
{
  if (run->program != NULL)
    run->iface->program_free (run->program);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    run->iface->buffer_free (run->buffers[a]);
  run->iface->close (run->device);
}

static void
run_open (Run *run, guint n_threads)
{
  g_autoptr (GError) error = NULL;

  *run = (Run){ .iface = tess_cpu_backend () };
  run->device = run->iface->open (0, n_threads, &error);
  g_assert_no_error (error);
}

/* FALSE where the backend says UNSUPPORTED. */
static gboolean
run_prepare (Run *run, TessGraph *graph, GError **error)
{
  GError *bind_error = NULL;

  run->program = run->iface->prepare (run->device, graph, &run->needs, error);
  if (run->program == NULL)
    return FALSE;
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    g_assert_cmpuint (run->needs.arena[a], ==, graph->arena_bytes[a]);
    if (run->needs.arena[a] > 0)
      run->buffers[a] = run->iface->buffer_new (run->device, run->needs.arena[a], &bind_error);
    g_assert_no_error (bind_error);
  }
  run->iface->bind (run->program, run->buffers, &bind_error);
  g_assert_no_error (bind_error);
  return TRUE;
}

static void
copy (Run *run, guint8 *const arenas[TESS_N_ARENAS], gboolean up)
{
  g_autoptr (GError) error = NULL;

  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    if (run->needs.arena[a] == 0)
      continue;
    if (up)
      run->iface->upload (run->buffers[a], 0, arenas[a], run->needs.arena[a], &error);
    else
      run->iface->download (run->buffers[a], 0, arenas[a], run->needs.arena[a], &error);
    g_assert_no_error (error);
  }
}

static void
check_case (guint i, TessDType dtype, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessGraph) ref_graph = op_table_build (i, dtype, &error);
  g_autoptr (TessGraph) graph = op_table_build (i, dtype, &error);
  guint8 **ref, **ours;
  TessStepArgs args = { 0 };
  double worst = 0;
  Run run;

  g_assert_no_error (error);
  run_open (&run, 0);
  if (!run_prepare (&run, graph, &error)) {
    if (dtype == TESS_DTYPE_BF16 && g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED))
      g_test_skip (error->message);
    else
      g_assert_no_error (error);
    run_clear (&run);
    return;
  }
  op_table_args (i, &args);
  ref = ref_arenas_new (ref_graph);
  op_table_fill (i, ref_graph, ref);
  ours = ref_arenas_new (graph);
  op_table_fill (i, graph, ours);
  ref_run (ref_graph, ref, &args, &error);
  g_assert_no_error (error);
  copy (&run, ours, TRUE);
  run.iface->run (run.program, &args, &error);
  g_assert_no_error (error);
  copy (&run, ours, FALSE);
  op_table_compare (ref_graph, ref, graph, ours, tolerance, &worst, &error);
  g_test_message ("%s: largest NMSE %.3g", op_table_name (i), worst);
  g_assert_no_error (error);
  ref_arenas_free (ref);
  ref_arenas_free (ours);
  run_clear (&run);
}

static void
test_f32 (gconstpointer data)
{
  check_case (GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
}

static void
test_bf16 (gconstpointer data)
{
  check_case (GPOINTER_TO_UINT (data), TESS_DTYPE_BF16, 1e-4);
}

/* The same step again and again gives the same bits, whatever the order in which threads finish; and the parameters'
 * change of one run must not leak into the next. */
static void
test_repeat (gconstpointer data)
{
  guint n_threads = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;

  for (guint i = 0; i < op_table_n (); i++) {
    g_autoptr (TessGraph) graph = op_table_build (i, TESS_DTYPE_F32, &error);
    guint8 **start, **first, **again;
    TessStepArgs args = { 0 };
    Run run;

    g_assert_no_error (error);
    if (!g_str_has_prefix (op_table_name (i), "unet"))
      continue;
    run_open (&run, n_threads);
    run_prepare (&run, graph, &error);
    g_assert_no_error (error);
    op_table_args (i, &args);
    start = ref_arenas_new (graph);
    first = ref_arenas_new (graph);
    again = ref_arenas_new (graph);
    op_table_fill (i, graph, start);
    for (guint k = 0; k < 20; k++) {
      copy (&run, start, TRUE);
      run.iface->run (run.program, &args, &error);
      g_assert_no_error (error);
      copy (&run, k == 0 ? first : again, FALSE);
      for (guint a = 0; k > 0 && a < TESS_N_ARENAS; a++)
        if (a != TESS_ARENA_ACT)
          g_assert_cmpmem (first[a], graph->arena_bytes[a], again[a], graph->arena_bytes[a]);
    }
    ref_arenas_free (start);
    ref_arenas_free (first);
    ref_arenas_free (again);
    run_clear (&run);
  }
}

/* What a single-pass or shifted variance would lose: mean 1e4, deviation 1, in float32. */
static void
test_large_mean (void)
{
  enum { N = 2, VOXELS = 9 * 10 * 11, C = 5 };
  g_autofree float *x = g_new (float, N * VOXELS * C), *y = g_new (float, N * VOXELS * C);
  float gamma[C], beta[C], stats[N * C * 2];
  g_autofree guint8 *scratch = g_malloc (tess_cpu_norm_scratch (N, VOXELS, C));
  TessCpuNorm a = { .n_threads = 2, .n = N, .voxels = VOXELS, .channels = C, .x = x, .y = y, .gamma = gamma,
                    .beta = beta, .stats = stats, .eps = 1e-5f, .slope = 1.0f, .scratch = scratch };
  guint32 state = 1;

  for (gsize i = 0; i < N * VOXELS * C; i++) {
    state = state * 1664525u + 1013904223u;
    x[i] = 1e4f + (float) (state >> 8) * 0x1p-23f;
  }
  for (gsize c = 0; c < C; c++) {
    gamma[c] = 1;
    beta[c] = 0;
  }
  tess_cpu_kernels ()->norm_forward (&a);
  for (gsize n = 0; n < N; n++)
    for (gsize c = 0; c < C; c++) {
      double mean = 0, variance = 0;
      const float *values = x + n * VOXELS * C + c;

      for (gsize i = 0; i < VOXELS; i++)
        mean += (double) values[i * C] / VOXELS;
      for (gsize i = 0; i < VOXELS; i++)
        variance += ((double) values[i * C] - mean) * ((double) values[i * C] - mean) / VOXELS;
      g_assert_cmpfloat (fabs ((double) stats[(n * C + c) * 2] - mean), <, 1e-3);
      g_assert_cmpfloat (fabs ((double) stats[(n * C + c) * 2 + 1] * sqrt (variance + 1e-5) - 1), <, 1e-5);
    }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < op_table_n (); i++) {
    g_autofree char *f32 = g_strdup_printf ("/cpu/ops/f32/%s", op_table_name (i));
    g_autofree char *bf16 = g_strdup_printf ("/cpu/ops/bf16/%s", op_table_name (i));

    g_test_add_data_func (f32, GUINT_TO_POINTER (i), test_f32);
    g_test_add_data_func (bf16, GUINT_TO_POINTER (i), test_bf16);
  }
  g_test_add_data_func ("/cpu/repeat/1-thread", GUINT_TO_POINTER (1), test_repeat);
  g_test_add_data_func ("/cpu/repeat/2-threads", GUINT_TO_POINTER (2), test_repeat);
  g_test_add_data_func ("/cpu/repeat/4-threads", GUINT_TO_POINTER (4), test_repeat);
  g_test_add_func ("/cpu/norm/large-mean", test_large_mean);
  return g_test_run ();
}
