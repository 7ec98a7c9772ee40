#include "data-run.h"
#include "op-run.h"
#include "parity.h"
#include "tess-cpu-backend.h"
#include "train-run.h"
#include "trajectory.h"

/* The plugin on a GPU; without one everything here skips with the plugin's reason. cuDNN computes the convolutions
 * (whose bias is added to a result already rounded to bfloat16, hence the wider bound there: test-cuda-cudnn.c), and
 * once more our own kernels. */

#define BF16_TOLERANCE 5e-2

/* What works otherwise than it should, only slower, is told to who debugs: steps that are not captured, convolutions
 * that cuDNN has no plan for. Here it is a failure. */
static guint n_by_op, n_own;
static GLogFunc usual_log;

static void
count_log (const char *domain, GLogLevelFlags level, const char *message, gpointer data)
{
  n_by_op += strstr (message, "a program runs op by op") != NULL;
  n_own += strstr (message, "a convolution is left to our own kernel") != NULL;
  usual_log (domain, level, message, data);
}

/* The backend, or NULL with the test skipped for the reason it gives. */
static const TessBackendIface *
gpu (void)
{
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cuda;

  if (g_getenv ("TESSERA_TEST_CUDA_PLUGIN") == NULL) {
    g_test_skip ("built without the CUDA plugin (no nvcc, or -Dcuda=disabled)");
    return NULL;
  }
  cuda = tess_backend_find ("cuda", &error);
  g_assert_no_error (error);
  if (cuda->n_devices (&error) > 0)
    return cuda;
  g_test_skip (error->message);
  return NULL;
}

static void
test_f32 (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();

  if (cuda != NULL)
    op_run_case (cuda, GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
}

static void
test_bf16 (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();

  if (cuda != NULL)
    op_run_case (cuda, GPOINTER_TO_UINT (data), TESS_DTYPE_BF16, BF16_TOLERANCE);
}

static void
test_own (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  g_autofree char *told = g_strdup (g_getenv ("TESSERA_CUDNN"));

  if (cuda == NULL)
    return;
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  op_run_case (cuda, GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
  if (told != NULL)
    g_setenv ("TESSERA_CUDNN", told, TRUE);
  else
    g_unsetenv ("TESSERA_CUDNN");
}

static void
test_tf32 (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();

  if (cuda == NULL)
    return;
  g_setenv ("TESSERA_CUDA_TF32", "1", TRUE);
  op_run_case (cuda, GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-5);
  g_unsetenv ("TESSERA_CUDA_TF32");
}

/* PyTorch in float64. */
static void
test_parity (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();

  if (cuda == NULL)
    return;
  parity_check (GPOINTER_TO_UINT (data), cuda);
}

static void
test_trajectory (void)
{
  const TessBackendIface *cuda = gpu ();
  g_autoptr (GError) error = NULL;
  Trajectory t;

  if (cuda == NULL)
    return;
  if (!trajectory_run (cuda, 0, 0, TESS_DTYPE_F32, &t, &error)) {
    g_assert_no_error (error);
    return;
  }
  g_assert_cmpfloat (t.loss_error, <, 1e-4);
  g_assert_cmpfloat (t.norm_error, <, 1e-4);
}

/* Twenty steps beside the CPU backend. */
static void
test_train (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  guint net = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  TrainRun ours, theirs;

  if (cuda == NULL)
    return;
  train_run (tess_cpu_backend (), net, TESS_DTYPE_F32, TRAIN_STEPS, &theirs, &error);
  g_assert_no_error (error);
  n_by_op = n_own = 0;
  if (!train_run (cuda, net, TESS_DTYPE_F32, TRAIN_STEPS, &ours, &error)) {
    g_assert_no_error (error);
    return;
  }
  g_assert_cmpuint (n_own, ==, 0);
  g_test_message ("loss %.6f to %.6f; largest relative error %.3g; logits' NMSE %.3g", ours.loss[0],
                  ours.loss[TRAIN_STEPS - 1], train_run_loss_error (&ours, &theirs),
                  train_run_logits_error (&ours, &theirs));
  g_assert_cmpfloat (train_run_loss_error (&ours, &theirs), <, 1e-3);
  g_assert_cmpfloat (train_run_logits_error (&ours, &theirs), <, 1e-4);
  train_run_clear (&ours);
  train_run_clear (&theirs);
}

/* Op by op and as one graph: the same bits, with the same plans. */
static void
test_graph (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  TrainRun eager, captured;

  if (cuda == NULL)
    return;
  g_setenv ("TESSERA_CUDA_TUNE", "0", TRUE);
  for (guint bf16 = 0; bf16 < 2; bf16++) {
    TessDType dtype = bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
    g_autoptr (GError) error = NULL;

    g_setenv ("TESSERA_CUDA_GRAPH", "0", TRUE);
    train_run (cuda, GPOINTER_TO_UINT (data), dtype, TRAIN_STEPS, &eager, &error);
    g_unsetenv ("TESSERA_CUDA_GRAPH");
    if (bf16 && g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED)) {
      train_run_clear (&eager);
      break; /* a card before sm_80 */
    }
    g_assert_no_error (error);
    if (error != NULL)
      break;
    n_by_op = n_own = 0;
    if (!train_run (cuda, GPOINTER_TO_UINT (data), dtype, TRAIN_STEPS, &captured, &error)) {
      g_assert_no_error (error);
      break;
    }
    g_assert_true (train_run_same_bits (&captured, &eager));
    g_assert_cmpuint (n_by_op, ==, 0);
    g_assert_cmpuint (n_own, ==, 0);
    train_run_clear (&eager);
    train_run_clear (&captured);
  }
  g_unsetenv ("TESSERA_CUDA_TUNE");
}

/* Sums of tiles and their labels, of float32 arithmetic that is not fused: the processor's labels. */
static void
test_band (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) ours = NULL;
  g_autoptr (TessVolume) theirs = NULL;
  gboolean near;

  if (cuda == NULL)
    return;
  theirs = band_run (tess_cpu_backend (), GPOINTER_TO_UINT (data), &near, &error);
  g_assert_no_error (error);
  ours = band_run (cuda, GPOINTER_TO_UINT (data), &near, &error);
  g_assert_no_error (error);
  if (ours == NULL)
    return;
  g_assert_cmpmem (tess_volume_data (ours), tess_volume_n_bytes (ours), tess_volume_data (theirs),
                   tess_volume_n_bytes (theirs));
}

static void
test_sums (void)
{
  const TessBackendIface *cuda = gpu ();
  g_autoptr (GError) error = NULL;
  g_autoptr (GBytes) ours = NULL;
  g_autoptr (GBytes) theirs = NULL;

  if (cuda == NULL)
    return;
  theirs = band_sums (tess_cpu_backend (), &error);
  g_assert_no_error (error);
  ours = band_sums (cuda, &error);
  g_assert_no_error (error);
  if (ours == NULL)
    return;
  g_assert_true (g_bytes_equal (ours, theirs));
}

/* The same with the sums in memory of the host's that the card reaches. */
static void
test_band_near (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) ours = NULL;
  g_autoptr (TessVolume) theirs = NULL;
  TessBackendIface far;
  gboolean near;

  if (cuda == NULL)
    return;
  far = *cuda;
  far.buffer_new = cuda->buffer_new_near;
  theirs = band_run (tess_cpu_backend (), GPOINTER_TO_UINT (data), &near, &error);
  g_assert_no_error (error);
  ours = band_run (&far, GPOINTER_TO_UINT (data), &near, &error);
  g_assert_no_error (error);
  if (ours == NULL)
    return;
  g_assert_cmpmem (tess_volume_data (ours), tess_volume_n_bytes (ours), tess_volume_data (theirs),
                   tess_volume_n_bytes (theirs));
}

/* Patches within 1e-4 of the processor's, with its labels but where two of them are as near as makes no difference. */
static void
test_sample (gconstpointer data)
{
  const TessBackendIface *cuda = gpu ();
  g_autoptr (GError) error = NULL;
  SampleRun run;

  if (cuda == NULL)
    return;
  if (!sample_run (cuda, GPOINTER_TO_UINT (data), &run, &error)) {
    g_assert_no_error (error);
    return;
  }
  g_test_message ("%zu voxels, largest difference %.3g, %zu labels differ, %s bits", run.n_voxels, run.largest,
                  run.n_labels_differ, run.same_bits ? "the same" : "other");
  g_assert_cmpfloat (run.largest, <=, 1e-4);
  g_assert_cmpuint (run.n_labels_differ, <=, run.n_voxels / 1000);
}

/* Copies beside what runs: a buffer keeps what it holds until the end, and the memory copied from is free then. */
static void
test_ahead (void)
{
  const TessBackendIface *cuda = gpu ();
  const gsize n = 1 << 24;
  g_autoptr (GError) error = NULL;
  g_autofree guint8 *got = g_malloc (n), *wanted = g_malloc0 (n);
  TessBuffer *memory, *buffer;
  TessDevice *device;
  guint8 *host;

  if (cuda == NULL)
    return;
  device = cuda->open (0, 0, &error);
  g_assert_no_error (error);
  if (device == NULL)
    return;
  memory = cuda->buffer_new_near (device, 2 * n, &error);
  g_assert_no_error (error);
  buffer = cuda->buffer_new (device, n, &error);
  g_assert_no_error (error);
  host = cuda->buffer_host (memory);
  for (guint k = 0; k < 10; k++) {
    guint8 *half = host + (k % 2) * n;

    memset (half, (int)k + 1, n);
    g_assert_true (cuda->upload_begin (buffer, 0, half, n / 2, &error));
    g_assert_true (cuda->upload_begin (buffer, n / 2, half + n / 2, n / 2, &error));
    g_assert_true (cuda->download (buffer, 0, got, n, &error));
    g_assert_cmpmem (got, n, wanted, n);
    g_assert_true (cuda->upload_end (device, &error));
    memset (half, 255, n);
    memset (wanted, (int)k + 1, n);
    if (k % 3 == 2)
      continue; /* the next begins with this one hardly in place */
    g_assert_true (cuda->download (buffer, 0, got, n, &error));
    g_assert_cmpmem (got, n, wanted, n);
  }
  g_assert_no_error (error);
  cuda->buffer_free (buffer);
  cuda->buffer_free (memory);
  cuda->close (device);
}

static void
add_each (const char *name, guint n, const char *(*nth) (guint), GTestDataFunc func)
{
  for (guint i = 0; i < n; i++) {
    g_autofree char *path = g_strdup_printf ("/cuda/gpu/%s/%s", name, nth (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), func);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  usual_log = g_log_set_default_handler (count_log, NULL);
  g_test_set_nonfatal_assertions (); /* a card may be there for minutes: one failure is not to hide the others */
  add_each ("band", band_run_n (), band_run_name, test_band);
  add_each ("band-near", band_run_n (), band_run_name, test_band_near);
  g_test_add_func ("/cuda/gpu/sums", test_sums);
  add_each ("sample", sample_run_n (), sample_run_name, test_sample);
  add_each ("ops/f32", op_table_n (), op_table_name, test_f32);
  add_each ("ops/bf16", op_table_n (), op_table_name, test_bf16);
  add_each ("ops/own", op_table_n (), op_table_name, test_own);
  add_each ("ops/tf32", op_table_n (), op_table_name, test_tf32);
  add_each ("parity", parity_n (), parity_name, test_parity);
  add_each ("train", train_run_n (), train_run_name, test_train);
  add_each ("graph", train_run_n (), train_run_name, test_graph);
  g_test_add_func ("/cuda/gpu/trajectory", test_trajectory);
  g_test_add_func ("/cuda/gpu/ahead", test_ahead);
  return g_test_run ();
}
