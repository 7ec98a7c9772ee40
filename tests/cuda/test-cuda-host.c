#include "host-cuda.h"
#include "op-run.h"
#include "parity.h"
#include "tess-cpu-backend.h"
#include "tess-cuda-private.h"
#include "train-run.h"
#include "trajectory.h"

#define GRAPH_STEPS 4

/* The plugin's own sources on the processor (host-cuda.h): kernels' items one after the other, convolutions by our own
 * kernels. Device memory starts as NaN, so that what nobody wrote shows. */

static void
test_f32 (gconstpointer data)
{
  op_run_case (&tess_cuda_iface, GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

static void
test_bf16 (gconstpointer data)
{
  op_run_case (&tess_cuda_iface, GPOINTER_TO_UINT (data), TESS_DTYPE_BF16, 1e-4);
}

/* PyTorch in float64 and these kernels in float32. */
static void
test_parity (gconstpointer data)
{
  parity_check (GPOINTER_TO_UINT (data), &tess_cuda_iface);
}

static void
test_trajectory (void)
{
  g_autoptr (GError) error = NULL;
  Trajectory t;

  trajectory_run (&tess_cuda_iface, 0, 0, TESS_DTYPE_F32, &t, &error);
  g_assert_no_error (error);
  g_test_message ("largest relative error of loss %.3g, of norm %.3g; NMSE of logits %.3g, of the change %.3g",
                  t.loss_error, t.norm_error, t.logits_nmse, t.param_nmse);
  g_assert_cmpfloat (t.loss_error, <, 1e-4);
  g_assert_cmpfloat (t.norm_error, <, 1e-4);
  g_assert_cmpfloat (t.logits_nmse, <, 1e-10);
  g_assert_cmpfloat (t.param_nmse, <, 1e-8);
}

/* Twenty steps beside the CPU backend. */
static void
test_train (gconstpointer data)
{
  guint net = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  TrainRun ours, theirs;

  train_run (tess_cpu_backend (), net, TESS_DTYPE_F32, TRAIN_STEPS, &theirs, &error);
  g_assert_no_error (error);
  train_run (&tess_cuda_iface, net, TESS_DTYPE_F32, TRAIN_STEPS, &ours, &error);
  g_assert_no_error (error);
  g_test_message ("loss %.6f to %.6f, on the CPU backend %.6f to %.6f; largest relative error %.3g; logits' NMSE %.3g",
                  ours.loss[0], ours.loss[TRAIN_STEPS - 1], theirs.loss[0], theirs.loss[TRAIN_STEPS - 1],
                  train_run_loss_error (&ours, &theirs), train_run_logits_error (&ours, &theirs));
  g_assert_cmpfloat (ours.loss[TRAIN_STEPS - 1], <, ours.loss[0]);
  g_assert_cmpfloat (train_run_loss_error (&ours, &theirs), <, 1e-3);
  g_assert_cmpfloat (train_run_logits_error (&ours, &theirs), <, 1e-4);
  train_run_clear (&ours);
  train_run_clear (&theirs);
}

/* Op by op, as a captured graph, with the items of every kernel from last to first, and where nothing can be captured:
 * the same bits. That the graph serves every step shows that no step's rate is inside it. */
static void
test_graph (gconstpointer data)
{
  guint net = GPOINTER_TO_UINT (data);

  for (guint bf16 = 0; bf16 < (net < 2 ? 2 : 1); bf16++) {
    TessDType dtype = bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
    g_autoptr (GError) error = NULL;
    TrainRun eager, captured, backwards, refused;

    g_setenv ("TESSERA_CUDA_GRAPH", "0", TRUE);
    host_cuda.n_captured = host_cuda.n_replayed = 0;
    train_run (&tess_cuda_iface, net, dtype, GRAPH_STEPS, &eager, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (host_cuda.n_captured, ==, 0);
    g_unsetenv ("TESSERA_CUDA_GRAPH");

    train_run (&tess_cuda_iface, net, dtype, GRAPH_STEPS, &captured, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (host_cuda.n_captured, ==, 1); /* inference ran but twice */
    g_assert_cmpuint (host_cuda.n_replayed, ==, GRAPH_STEPS - 2);

    host_cuda.backwards = TRUE;
    train_run (&tess_cuda_iface, net, dtype, GRAPH_STEPS, &backwards, &error);
    host_cuda.backwards = FALSE;
    g_assert_no_error (error);

    host_cuda.refuses_captures = 1000;
    train_run (&tess_cuda_iface, net, dtype, GRAPH_STEPS, &refused, &error);
    host_cuda.refuses_captures = 0;
    g_assert_no_error (error);

    g_assert_true (train_run_same_bits (&captured, &eager));
    g_assert_true (train_run_same_bits (&backwards, &eager));
    g_assert_true (train_run_same_bits (&refused, &eager));
    train_run_clear (&eager);
    train_run_clear (&captured);
    train_run_clear (&backwards);
    train_run_clear (&refused);
  }
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

/* A capture that is spoilt is tried again, two steps later, three times in all. */
static void
test_capture_again (void)
{
  for (guint n_refused = 0; n_refused < 5; n_refused++) {
    g_autoptr (GError) error = NULL;
    TrainRun run;

    host_cuda.n_captured = host_cuda.n_replayed = 0;
    host_cuda.refuses_captures = n_refused;
    train_run (&tess_cuda_iface, 0, TESS_DTYPE_F32, 12, &run, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (host_cuda.n_captured, ==, n_refused < 3);
    g_assert_cmpuint (host_cuda.n_replayed, ==, n_refused < 3 ? 12 - 2 * (n_refused + 1) : 0);
    g_assert_cmpuint (host_cuda.refuses_captures, ==, n_refused < 3 ? 0 : n_refused - 3);
    host_cuda.refuses_captures = 0;
    train_run_clear (&run);
  }
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

/* A card too small, at every point where memory is taken: a sentence, nothing left behind, and the next run works. */
static void
test_memory (void)
{
  gsize whole = host_cuda.memory;
  TrainRun run;
  guint n_refused = 0;

  for (gsize memory = 1000; n_refused < 100; memory = memory * 5 / 4) {
    g_autoptr (GError) error = NULL;
    gboolean ok;

    host_cuda.memory = memory;
    ok = train_run (&tess_cuda_iface, 0, TESS_DTYPE_F32, 3, &run, &error);
    train_run_clear (&run);
    g_assert_cmpuint (host_cuda.taken, ==, 0);
    if (ok)
      break;
    g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
    g_assert_null (strchr (error->message, '\n'));
    n_refused++;
  }
  g_test_message ("refused %u times", n_refused);
  g_assert_cmpuint (n_refused, >, 10);
  g_assert_cmpuint (n_refused, <, 100);
  host_cuda.memory = whole;
}

/* Whichever call the driver fails: an error (or, of a capture, op by op), and no memory left behind. */
static void
test_faults (void)
{
  glong n_calls;
  guint n_failed = 0, n_went_on = 0;
  TrainRun run;
  g_autoptr (GError) first = NULL;

  host_cuda.n_calls = 0;
  g_assert_true (train_run (&tess_cuda_iface, 0, TESS_DTYPE_F32, 4, &run, &first));
  train_run_clear (&run);
  n_calls = host_cuda.n_calls;
  for (glong at = 1; at <= n_calls; at++) {
    g_autoptr (GError) error = NULL;
    gboolean ok;

    host_cuda.n_calls = 0;
    host_cuda.fails_at = at;
    ok = train_run (&tess_cuda_iface, 0, TESS_DTYPE_F32, 4, &run, &error);
    host_cuda.fails_at = 0;
    g_assert_true (ok == (error == NULL));
    if (!ok)
      g_assert_null (strchr (error->message, '\n'));
    n_failed += !ok;
    n_went_on += ok;
    train_run_clear (&run);
    g_assert_cmpuint (host_cuda.taken, ==, 0);
  }
  g_test_message ("of %ld calls %u failures were reported and %u were of a capture", n_calls, n_failed, n_went_on);
  g_assert_cmpuint (n_failed, >, 300);
  g_assert_cmpuint (n_went_on, <, 100);
}

/* What a driver refuses while a stream is captured is refused here, too, and the capture is lost. */
static void
test_capture_rules (void)
{
  TessDevice *device = tess_cuda_open (0, 1, NULL);
  void *memory = NULL, *fixed = NULL, *more = NULL;
  char loose[16] = {0};

  g_assert_nonnull (device);
  g_assert_cmpint (cudaMalloc (&memory, 16), ==, cudaSuccess);
  g_assert_cmpint (cudaMallocHost (&fixed, 16), ==, cudaSuccess);
  for (guint i = 0; i < 7; i++) {
    cudaError_t wanted = i > 0 ? cudaErrorStreamCaptureInvalidated : cudaSuccess, status;
    cudaGraph_t graph = NULL;

    g_assert_cmpint (cudaStreamBeginCapture (device->stream, cudaStreamCaptureModeThreadLocal), ==, cudaSuccess);
    status = i == 0   ? cudaMemcpyAsync (memory, fixed, 16, cudaMemcpyHostToDevice, device->stream)
             : i == 1 ? cudaMemcpyAsync (memory, loose, 16, cudaMemcpyHostToDevice, device->stream)
             : i == 2 ? cudaMemcpyAsync (fixed, memory, 17, cudaMemcpyDeviceToHost, device->stream)
             : i == 3 ? cudaMalloc (&more, 16)
             : i == 4 ? cudaFree (memory)
             : i == 5 ? cudaFreeHost (fixed)
                      : cudaStreamSynchronize (device->stream);
    g_assert_cmpint (status, ==, i > 0 ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
    g_assert_cmpint (cudaStreamEndCapture (device->stream, &graph), ==, wanted);
    g_assert_cmpint (cudaGetLastError (), ==, wanted);
    g_assert_cmpint (cudaGetLastError (), ==, cudaSuccess);
    cudaGraphDestroy (graph);
  }
  cudaFree (memory);
  cudaFreeHost (fixed);
  tess_cuda_close (device);
}

/* Indices on both sides of 32 bits. */
static void
test_indices (void)
{
  const long numbers[] = {0,        1,       2, 3, 7, 1000, G_MAXINT32, G_MAXUINT32 - 1L, G_MAXUINT32, G_MAXUINT32 + 1L,
                          1L << 33, 1L << 40};

  for (guint i = 0; i < G_N_ELEMENTS (numbers); i++)
    for (guint k = 1; k < G_N_ELEMENTS (numbers); k++)
      for (long add = 0; add < 3; add++) {
        long quotient, rest = host_cuda_split (numbers[i] + add, numbers[k], &quotient);

        g_assert_cmpint (quotient, ==, (numbers[i] + add) / numbers[k]);
        g_assert_cmpint (rest, ==, (numbers[i] + add) % numbers[k]);
      }
}

/* A GPU but no cuDNN: no device, in one sentence, for everything that needs one. */
static void
test_no_cudnn (void)
{
  g_autoptr (GError) error = NULL;

  g_setenv ("TESSERA_CUDNN", "/nonexistent/cudnn", TRUE);
  g_assert_cmpuint (tess_cuda_iface.n_devices (&error), ==, 0);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "/nonexistent/cudnn"));
  g_assert_nonnull (strstr (error->message, "--backend cpu"));
  g_assert_null (strchr (error->message, '\n'));
  g_clear_error (&error);
  g_assert_null (tess_cuda_iface.open (0, 0, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
}

/* Turing has no bfloat16 units: it says so and computes in float32. */
static void
test_old_card (void)
{
  g_autoptr (GError) error = NULL;
  TessDeviceInfo info;
  TrainRun run;

  host_cuda.major = 7;
  g_assert_true (tess_cuda_iface.device_info (0, &info, &error));
  g_assert_false (info.bf16);
  g_assert_false (train_run (&tess_cuda_iface, 0, TESS_DTYPE_BF16, 1, &run, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "--precision f32"));
  train_run_clear (&run);
  g_clear_error (&error);
  g_assert_true (train_run (&tess_cuda_iface, 0, TESS_DTYPE_F32, 1, &run, &error));
  train_run_clear (&run);
  host_cuda.major = 9;
}

static void
add_each (const char *name, guint n, const char *(*nth) (guint), GTestDataFunc func)
{
  for (guint i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("/cuda/host/%s/%s", name, nth (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), func);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  add_each ("ops/f32", op_table_n (), op_table_name, test_f32);
  add_each ("ops/bf16", op_table_n (), op_table_name, test_bf16);
  add_each ("parity", parity_n (), parity_name, test_parity);
  add_each ("train", train_run_n (), train_run_name, test_train);
  add_each ("graph", train_run_n (), train_run_name, test_graph);
  g_test_add_func ("/cuda/host/trajectory", test_trajectory);
  g_test_add_func ("/cuda/host/capture-rules", test_capture_rules);
  g_test_add_func ("/cuda/host/capture-again", test_capture_again);
  g_test_add_func ("/cuda/host/indices", test_indices);
  g_test_add_func ("/cuda/host/no-cudnn", test_no_cudnn);
  g_test_add_func ("/cuda/host/old-card", test_old_card);
  g_test_add_func ("/cuda/host/memory", test_memory);
  g_test_add_func ("/cuda/host/faults", test_faults);
  return g_test_run ();
}
