#include "op-table.h"
#include "tess-cpu-backend.h"

/* Every case of the shared op table on the CPU backend against the naive reference. */

typedef struct {
  const TessBackendIface *iface;
  TessDevice *device;
  TessProgram *program;
  TessBuffer *buffers[TESS_N_ARENAS];
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

  *run = (Run){.iface = tess_cpu_backend ()};
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
  TessStepArgs args = {0};
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
  return g_test_run ();
}
