#include "../random-number.h"
#include "specs.h"
#include "tess-cpu-backend.h"
#include "tess-session.h"
#include "trajectory.h"

#include <math.h>

/* Whole networks on the CPU backend, through the session. */

/* Large enough that every kernel works on several threads; 20 channels make vectors that do not divide. */
static const TessNetworkSpec spec = {
    .n_stages = 3,
    .n_channels = 1,
    .n_classes = 3,
    .features = {16, 20, 32},
    .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}, {1, 2, 2}},
    .convs_encoder = {2, 1, 1},
    .convs_decoder = {1, 2},
    SPEC_UNET,
};

static TessProgramSpec
program_spec (TessProgramKind kind, gint64 batch, TessDType dtype, gboolean deep)
{
  return (TessProgramSpec){.kind = kind,
                           .batch = batch,
                           .dhw = {10, 28, 24},
                           .act_dtype = dtype,
                           .deep_supervision = deep,
                           .dice_smooth = 1e-5f,
                           .batch_dice = TRUE};
}

static TessSession *
session_new (guint n_threads)
{
  g_autoptr (GError) error = NULL;
  TessSession *session = tess_session_new (tess_cpu_backend (), 0, n_threads, &spec, &error);

  g_assert_no_error (error);
  return session;
}

static int
add (TessSession *session, TessProgramKind kind, gint64 batch, TessDType dtype, gboolean deep)
{
  g_autoptr (GError) error = NULL;
  TessProgramSpec p = program_spec (kind, batch, dtype, deep);
  int index = tess_session_add_program (session, &p, &error);

  g_assert_no_error (error);
  return index;
}

static void
bind_session (TessSession *session)
{
  g_autoptr (GError) error = NULL;

  tess_session_bind (session, 0, &error);
  g_assert_no_error (error);
  tess_session_init_params (session, 7, &error);
  g_assert_no_error (error);
}

/* A bright box in noise, the same for every sample but for the noise. */
static void
write_input (TessSession *session, int program)
{
  g_autoptr (GError) error = NULL;
  const TessNetwork *network = tess_session_network (session, program);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);
  gsize n = (gsize)tess_tensor_n_elements (image);
  g_autofree float *x = g_new (float, n);
  g_autofree guint8 *labels = g_new0 (guint8, n);
  guint32 state = 1;

  for (gsize i = 0; i < n; i++) {
    gsize w = i % 24, h = i / 24 % 28, d = i / (24 * 28) % 10;

    labels[i] = d > 2 && d < 7 && h > 8 && h < 20 && w > 6 && w < 18 ? 1 + (h > 13) : 0;
    x[i] = random_number (&state) + (float)labels[i];
  }
  tess_session_write (session, program, network->image, x, n * sizeof *x, &error);
  g_assert_no_error (error);
  if (network->labels != TESS_NONE)
    tess_session_write (session, program, network->labels, labels, n, &error);
  g_assert_no_error (error);
}

static void
run (TessSession *session, int program)
{
  g_autoptr (GError) error = NULL;
  TessStepArgs args = {
      .learning_rate = 0.01, .momentum = 0.99, .weight_decay = 3e-5, .clip_norm = 12, .head_weight = {1.0, 0.5}};

  tess_session_run (session, program, &args, &error);
  g_assert_no_error (error);
}

static void *
fetch (TessSession *session, int program, TessId id, gsize *n)
{
  g_autoptr (GError) error = NULL;
  void *data;

  *n = tess_graph_tensor (tess_session_network (session, program)->graph, id)->bytes;
  data = g_malloc (*n);
  tess_session_read (session, program, id, data, *n, &error);
  g_assert_no_error (error);
  return data;
}

static float *
read_logits (TessSession *session, int program, gsize *n)
{
  return fetch (session, program, tess_session_network (session, program)->logits[0], n);
}

static double
read_loss (TessSession *session, int program)
{
  gsize n;
  g_autofree double *metrics = fetch (session, program, tess_session_network (session, program)->metrics[0], &n);

  return metrics[0];
}

/* All parameters or their momentum, one after the other. */
static float *
read_params (TessSession *session, gboolean momentum, gsize *n)
{
  g_autoptr (GError) error = NULL;
  guint n_params = tess_session_n_params (session);
  g_autofree float **data = g_new (float *, n_params);
  float *all;

  *n = 0;
  for (guint i = 0; i < n_params; i++)
    *n += (gsize)tess_tensor_n_elements (tess_session_param (session, i));
  all = g_new (float, *n);
  *n = 0;
  for (guint i = 0; i < n_params; i++) {
    data[i] = all + *n;
    *n += (gsize)tess_tensor_n_elements (tess_session_param (session, i));
  }
  tess_session_get_params (session, momentum, data, &error);
  g_assert_no_error (error);
  *n *= sizeof (float);
  return all;
}

static double
nmse (const float *a, const float *b, gsize n)
{
  double difference = 0, scale = 0;

  for (gsize i = 0; i < n; i++) {
    difference += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    scale += (double)a[i] * (double)a[i];
  }
  return difference / scale;
}

/* One step from the same start, many times: the same bits, whatever the order in which the threads finish. */
static void
test_repeat (gconstpointer data)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = session_new (GPOINTER_TO_UINT (data));
  int train = add (session, TESS_PROGRAM_TRAIN, 2, TESS_DTYPE_F32, TRUE);
  g_autofree float *first = NULL, *first_logits = NULL;

  bind_session (session);
  write_input (session, train);
  for (guint k = 0; k < 20; k++) {
    gsize n, n_logits;
    g_autofree float *logits = NULL, *params = NULL;

    tess_session_init_params (session, 7, &error);
    g_assert_no_error (error);
    run (session, train);
    params = read_params (session, FALSE, &n);
    logits = read_logits (session, train, &n_logits);
    if (k == 0) {
      first = g_steal_pointer (&params);
      first_logits = g_steal_pointer (&logits);
      continue;
    }
    g_assert_cmpmem (first, n, params, n);
    g_assert_cmpmem (first_logits, n_logits, logits, n_logits);
  }
}

static void
test_programs_agree (void)
{
  g_autoptr (TessSession) session = session_new (2);
  int train = add (session, TESS_PROGRAM_TRAIN, 2, TESS_DTYPE_F32, TRUE);
  int infer = add (session, TESS_PROGRAM_INFER, 2, TESS_DTYPE_F32, FALSE);
  int one = add (session, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE);
  int evaluate = add (session, TESS_PROGRAM_EVALUATE, 2, TESS_DTYPE_F32, FALSE);
  g_autofree float *before = NULL, *trained = NULL, *after = NULL, *single = NULL, *evaluated = NULL;
  gsize n, n_one;

  bind_session (session);
  write_input (session, train);
  write_input (session, infer);
  write_input (session, one);
  write_input (session, evaluate);
  run (session, infer);
  before = read_logits (session, infer, &n);
  run (session, train);
  trained = read_logits (session, train, &n);
  g_assert_cmpmem (before, n, trained, n);
  /* The step has changed the parameters: the others must notice. */
  run (session, infer);
  after = read_logits (session, infer, &n);
  g_assert_cmpfloat (nmse (before, after, n / sizeof (float)), >, 1e-6);
  run (session, evaluate);
  evaluated = read_logits (session, evaluate, &n);
  g_assert_cmpmem (after, n, evaluated, n);
  run (session, one);
  single = read_logits (session, one, &n_one);
  g_assert_cmpuint (2 * n_one, ==, n);
  g_assert_cmpfloat (nmse (after, single, n_one / sizeof (float)), <, 1e-10);
}

/* With head 1 left out its parameters get a gradient of zero, though the other program's gradient lies there still:
 * the momentum of its weights then only decays. */
static void
test_idle_gradient (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = session_new (2);
  int deep = add (session, TESS_PROGRAM_TRAIN, 1, TESS_DTYPE_F32, TRUE);
  int shallow = add (session, TESS_PROGRAM_TRAIN, 1, TESS_DTYPE_F32, FALSE);
  TessStepArgs args = {.learning_rate = 0, .momentum = 0.5, .head_weight = {1.0, 0.5}};
  gsize n, at = 0;
  g_autofree float *before = NULL, *after = NULL;
  gboolean found = FALSE;

  bind_session (session);
  write_input (session, deep);
  write_input (session, shallow);
  tess_session_run (session, deep, &args, &error);
  g_assert_no_error (error);
  before = read_params (session, TRUE, &n);
  tess_session_run (session, shallow, &args, &error);
  g_assert_no_error (error);
  after = read_params (session, TRUE, &n);
  for (guint i = 0; i < tess_session_n_params (session); i++) {
    const TessTensor *t = tess_session_param (session, i);
    gsize size = (gsize)tess_tensor_n_elements (t);

    if (g_str_equal (t->name, "decoder.seg_layers.0.weight")) {
      found = TRUE;
      for (gsize j = 0; j < size; j++) {
        g_assert_cmpfloat (before[at + j], !=, 0.0f);
        g_assert_cmpfloat (after[at + j], ==, 0.5f * before[at + j]);
      }
    }
    at += size;
  }
  g_assert_true (found);
}

static void
test_learns (gconstpointer data)
{
  TessDType dtype = GPOINTER_TO_UINT (data);
  g_autoptr (TessSession) session = session_new (0);
  g_autoptr (GError) error = NULL;
  TessProgramSpec p = program_spec (TESS_PROGRAM_TRAIN, 2, dtype, TRUE);
  int train = tess_session_add_program (session, &p, &error);
  double first = 0, last = 0;

  if (train < 0 && dtype == TESS_DTYPE_BF16 && g_error_matches (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED)) {
    g_test_skip (error->message);
    return;
  }
  g_assert_no_error (error);
  bind_session (session);
  write_input (session, train);
  for (guint k = 0; k < 25; k++) {
    run (session, train);
    last = read_loss (session, train);
    if (k == 0)
      first = last;
  }
  g_test_message ("loss %.4f, after 25 steps %.4f", first, last);
  g_assert_cmpfloat (last, <, first - 0.5);
}

static void
test_limit (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = session_new (1);

  add (session, TESS_PROGRAM_TRAIN, 2, TESS_DTYPE_F32, TRUE);
  g_assert_cmpuint (tess_session_bytes (session), >, 1 << 20);
  g_assert_false (tess_session_bind (session, 1 << 20, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "smaller patch"));
}

static void
test_out_of_memory (void)
{
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cpu = tess_cpu_backend ();
  TessDevice *device = cpu->open (0, 1, &error);
  TessDeviceInfo info;

  g_assert_no_error (error);
  cpu->device_info (0, &info, &error);
  g_assert_no_error (error);
  g_assert_null (cpu->buffer_new (device, G_MAXSIZE, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_clear_error (&error);
  g_assert_null (cpu->buffer_new (device, info.memory_total + (1 << 20), &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "smaller patch"));
  cpu->close (device);
}

/* oneDNN 2.6 divides by zero when a tensor's voxels overflow its counters: a plan may come from a hostile file. */
static void
test_too_large (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = session_new (1);
  TessProgramSpec huge = {
      .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {4096, 4096, 4096}, .act_dtype = TESS_DTYPE_F32};

  g_assert_cmpint (tess_session_add_program (session, &huge, &error), ==, -1);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_assert_nonnull (strstr (error->message, "smaller patch"));
}

static void
test_device (void)
{
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cpu = tess_cpu_backend ();
  TessDeviceInfo info;

  g_assert_cmpuint (cpu->n_devices (&error), ==, 1);
  g_assert_true (cpu->device_info (0, &info, &error));
  g_assert_no_error (error);
  g_test_message ("%s (%s), %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT " bytes free, bf16 %s", info.name, info.detail,
                  info.memory_free, info.memory_total, info.bf16 ? "yes" : "no");
  g_assert_cmpuint (info.memory_free, <=, info.memory_total);
  g_assert_cmpuint (info.memory_free, >, 0);
  g_assert_false (cpu->device_info (1, &info, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
  g_clear_error (&error);
  g_assert_null (cpu->open (1, 1, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
}

/* Ten steps of PyTorch, repeated. */
static void
test_trajectory (void)
{
  g_autoptr (GError) error = NULL;
  Trajectory t;

  trajectory_run (tess_cpu_backend (), 0, 0, TESS_DTYPE_F32, &t, &error);
  g_assert_no_error (error);
  g_test_message ("largest relative error of loss %.3g, of norm %.3g; NMSE of logits %.3g, of the parameters' change "
                  "%.3g",
                  t.loss_error, t.norm_error, t.logits_nmse, t.param_nmse);
  g_assert_cmpfloat (t.loss_error, <, 1e-4);
  g_assert_cmpfloat (t.norm_error, <, 1e-3);
  g_assert_cmpfloat (t.logits_nmse, <, 1e-10);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cpu/device", test_device);
  g_test_add_func ("/cpu/trajectory/f32", test_trajectory);
  g_test_add_data_func ("/cpu/repeat/1-thread", GUINT_TO_POINTER (1), test_repeat);
  g_test_add_data_func ("/cpu/repeat/2-threads", GUINT_TO_POINTER (2), test_repeat);
  g_test_add_data_func ("/cpu/repeat/4-threads", GUINT_TO_POINTER (4), test_repeat);
  g_test_add_func ("/cpu/session/programs-agree", test_programs_agree);
  g_test_add_func ("/cpu/session/idle-gradient", test_idle_gradient);
  g_test_add_data_func ("/cpu/session/learns-f32", GUINT_TO_POINTER (TESS_DTYPE_F32), test_learns);
  g_test_add_data_func ("/cpu/session/learns-bf16", GUINT_TO_POINTER (TESS_DTYPE_BF16), test_learns);
  g_test_add_func ("/cpu/session/limit", test_limit);
  g_test_add_func ("/cpu/session/out-of-memory", test_out_of_memory);
  g_test_add_func ("/cpu/session/too-large", test_too_large);
  return g_test_run ();
}
