#include "op-run.h"

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
  if (run->device != NULL)
    run->iface->close (run->device);
}

/* FALSE with the reason; without a program it is the backend that does not take the graph. */
static gboolean
run_prepare (Run *run, TessGraph *graph, GError **error)
{
  run->device = run->iface->open (0, 0, error);
  if (run->device == NULL)
    return FALSE;
  run->program = run->iface->prepare (run->device, graph, &run->needs, error);
  if (run->program == NULL)
    return FALSE;
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    g_assert_cmpuint (run->needs.arena[a], ==, graph->arena_bytes[a]);
    if (run->needs.arena[a] > 0) {
      run->buffers[a] = run->iface->buffer_new (run->device, run->needs.arena[a], error);
      if (run->buffers[a] == NULL)
        return FALSE;
    }
  }
  return run->iface->bind (run->program, run->buffers, error);
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

void
op_run_case (const TessBackendIface *iface, guint i, TessDType dtype, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessGraph) ref_graph = op_table_build (i, dtype, &error);
  g_autoptr (TessGraph) graph = op_table_build (i, dtype, &error);
  Run run = {.iface = iface};
  guint8 **ref, **ours;
  TessStepArgs args = {0};
  double worst = 0;

  g_assert_no_error (error);
  if (!run_prepare (&run, graph, &error)) {
    if (dtype == TESS_DTYPE_BF16 && run.device != NULL && run.program == NULL &&
        g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED))
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
  if (iface->run (run.program, &args, &error)) {
    copy (&run, ours, FALSE);
    op_table_compare (ref_graph, ref, graph, ours, tolerance, &worst, &error);
    g_test_message ("%s: largest NMSE %.3g", op_table_name (i), worst);
  }
  g_assert_no_error (error);
  ref_arenas_free (ref);
  ref_arenas_free (ours);
  run_clear (&run);
}

void
op_run_graph (const TessBackendIface *iface, TessGraph *graph, guint n_threads, guint8 *const *arenas,
              const TessStepArgs *args)
{
  g_autoptr (GError) error = NULL;
  TessDevice *device = iface->open (0, n_threads, &error);
  TessBuffer *buffers[TESS_N_ARENAS] = {NULL};
  TessRequirements needs;
  TessProgram *program = iface->prepare (device, graph, &needs, &error);

  g_assert_no_error (error);
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    if (a == TESS_ARENA_ACT && needs.arena[a] > 0)
      buffers[a] = iface->buffer_new (device, needs.arena[a], &error);
    else if (needs.arena[a] > 0)
      buffers[a] = tess_backend_upload_new (iface, device, arenas[a], needs.arena[a], &error);
    g_assert_no_error (error);
  }
  iface->bind (program, buffers, &error);
  g_assert_no_error (error);
  iface->run (program, args, &error);
  g_assert_no_error (error);
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    if (a != TESS_ARENA_ACT && buffers[a] != NULL)
      iface->download (buffers[a], 0, arenas[a], needs.arena[a], &error);
    g_assert_no_error (error);
    g_clear_pointer (&buffers[a], iface->buffer_free);
  }
  iface->program_free (program);
  iface->close (device);
}
