#include "specs.h"
#include "tess-session.h"

#include <math.h>

#include "ref-backend.h"
#include "session-read.h"
#include "tess-format.h"
#include "tess-philox.h"

static const TessNetworkSpec spec = {
    .n_stages = 2,
    .n_channels = 1,
    .n_classes = 2,
    .features = {3, 4},
    .kernel = {{3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}},
    .convs_encoder = {1, 1},
    .convs_decoder = {1},
    SPEC_UNET,
};

static const TessProgramSpec training = {.kind = TESS_PROGRAM_TRAIN,
                                         .batch = 2,
                                         .dhw = {4, 6, 4},
                                         .act_dtype = TESS_DTYPE_F32,
                                         .deep_supervision = TRUE,
                                         .dice_smooth = 1e-5f,
                                         .batch_dice = TRUE};

enum { TRAIN, EVALUATE, INFER };

/* Three programs over one set of parameters. */
static TessSession *
open_session (const TessBackendIface *backend)
{
  g_autoptr (GError) error = NULL;
  TessSession *session = tess_session_new (backend, 0, 1, &spec, &error);
  TessProgramSpec program = training;

  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, TRAIN);
  program.kind = TESS_PROGRAM_EVALUATE;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, EVALUATE);
  program.kind = TESS_PROGRAM_INFER;
  program.batch = 1;
  program.dhw[1] = 4;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, INFER);
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_no_error (error);
  g_assert_true (tess_session_init_params (session, 3, &error));
  g_assert_no_error (error);
  return session;
}

/* Bright voxels are class 1. */
static void
write_batch (TessSession *session, int program)
{
  const TessNetwork *network = tess_session_network (session, program);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);
  gsize n = (gsize)tess_tensor_n_elements (image);
  g_autofree float *x = g_new (float, n);
  g_autofree guint8 *y = g_new (guint8, n);
  g_autoptr (GError) error = NULL;

  for (gsize i = 0; i < n; i++) {
    x[i] = (float)tess_philox_range (tess_philox (1, 0, 0, 0, (guint32)i).v[0], -1, 1);
    y[i] = x[i] > 0.3f;
  }
  g_assert_true (tess_session_write (session, program, network->image, x, n * sizeof *x, &error));
  if (network->labels != TESS_NONE)
    g_assert_true (tess_session_write (session, program, network->labels, y, n, &error));
  g_assert_no_error (error);
}

static double
run (TessSession *session, int program)
{
  const TessNetwork *network = tess_session_network (session, program);
  TessStepArgs args = {
      .learning_rate = 0.05, .momentum = 0.9, .weight_decay = 3e-5, .clip_norm = 12, .head_weight = {1}};
  double metrics[TESS_METRICS_SIZE (2)] = {0};
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_session_run (session, program, &args, &error));
  if (network->metrics[0] != TESS_NONE)
    g_assert_true (tess_session_read (session, program, network->metrics[0], metrics, sizeof metrics, &error));
  g_assert_no_error (error);
  return metrics[0];
}

/* The loss falls, and the other programs see the trained parameters. */
static void
test_train (void)
{
  {
    g_autoptr (TessSession) session = open_session (ref_backend ());
    double first, last = 0, before;

    write_batch (session, TRAIN);
    write_batch (session, EVALUATE);
    write_batch (session, INFER);
    before = run (session, EVALUATE);
    first = run (session, TRAIN);
    g_assert_cmpfloat (before, ==, first);
    for (int i = 0; i < 30; i++)
      last = run (session, TRAIN);
    g_test_message ("loss %.4f, after 30 steps %.4f", first, last);
    g_assert_cmpfloat (last, <, first - 0.3);
    g_assert_cmpfloat (run (session, EVALUATE), <, last);
    run (session, INFER);
  }
  g_assert_cmpuint (ref_backend_live (), ==, 0);
}

static void
copy_params (TessSession *from, TessSession *to, TessState state)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (GPtrArray) data = session_params (from, state, &error);

  g_assert_no_error (error);
  g_assert_true (tess_session_set_params (to, state, (const float *const *)data->pdata, &error));
  g_assert_no_error (error);
}

/* Parameters and momentum carried to another session: the next steps are equal bit for bit. */
static void
test_resume (void)
{
  {
    g_autoptr (TessSession) a = open_session (ref_backend ()), b = open_session (ref_backend ());

    write_batch (a, TRAIN);
    write_batch (b, TRAIN);
    for (int i = 0; i < 3; i++)
      run (a, TRAIN);
    copy_params (a, b, TESS_STATE_PARAM);
    copy_params (a, b, TESS_STATE_MOMENTUM);
    for (int i = 0; i < 3; i++)
      g_assert_cmpfloat (run (a, TRAIN), ==, run (b, TRAIN));

    /* Without the momentum they part. */
    copy_params (a, b, TESS_STATE_PARAM);
    g_assert_true (tess_session_init_params (b, 4, NULL));
    copy_params (a, b, TESS_STATE_PARAM);
    g_assert_cmpfloat (run (a, TRAIN), ==, run (b, TRAIN));
    g_assert_cmpfloat (run (a, TRAIN), !=, run (b, TRAIN));
  }
  g_assert_cmpuint (ref_backend_live (), ==, 0);
}

static guint64 seen_version;

static gboolean
run_noting (TessProgram *program, const TessStepArgs *args, GError **error)
{
  seen_version = args->param_version;
  return TRUE;
}

static void
note_version (TessSession *session, int program)
{
  TessStepArgs args = {0};

  g_assert_true (tess_session_run (session, program, &args, NULL));
  g_assert_cmpuint (args.param_version, ==, seen_version);
}

/* A new version after a training step, after set and after init; none after the rest. */
static void
test_version (void)
{
  TessBackendIface noting = *ref_backend ();
  guint64 v;

  noting.run = run_noting;
  {
    g_autoptr (TessSession) session = open_session (&noting);

    note_version (session, EVALUATE);
    v = seen_version;
    g_assert_cmpuint (v, !=, 0);
    note_version (session, INFER);
    g_assert_cmpuint (seen_version, ==, v);
    note_version (session, TRAIN);
    g_assert_cmpuint (seen_version, ==, v);
    note_version (session, TRAIN);
    g_assert_cmpuint (seen_version, >, v);
    v = seen_version;
    note_version (session, INFER);
    g_assert_cmpuint (seen_version, >, v);
    v = seen_version;
    copy_params (session, session, TESS_STATE_PARAM);
    note_version (session, INFER);
    g_assert_cmpuint (seen_version, >, v);
    v = seen_version;
    g_assert_true (tess_session_init_params (session, 9, NULL));
    note_version (session, INFER);
    g_assert_cmpuint (seen_version, >, v);
  }
}

/* Parameters once, the largest activations once, inputs and outputs each; a limit below is refused with both numbers.
 */
static void
test_limit (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = tess_session_new (ref_backend (), 0, 1, &spec, &error);
  g_autofree char *want = NULL;
  TessProgramSpec program = training;
  guint64 needed, one;
  const gsize *bytes;

  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  bytes = tess_session_network (session, 0)->graph->arena_bytes;
  one = 1000 + bytes[TESS_ARENA_PARAM] * 3 + bytes[TESS_ARENA_ACT] + bytes[TESS_ARENA_IO];
  g_assert_cmpuint (tess_session_bytes (session), ==, one);
  program.kind = TESS_PROGRAM_INFER;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 1);
  needed = tess_session_bytes (session);
  g_assert_cmpuint (needed, ==, one + 1000 + tess_session_network (session, 1)->graph->arena_bytes[TESS_ARENA_IO]);

  g_assert_false (tess_session_bind (session, 5000, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  want = tess_format_bytes (needed);
  g_assert_nonnull (strstr (error->message, want));
  g_assert_nonnull (strstr (error->message, "5.0 kB"));
  g_clear_error (&error);
  g_assert_true (tess_session_bind (session, needed, &error));
}

static void
test_refused (void)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = tess_session_new (ref_backend (), 0, 1, &spec, &error);
  TessNetworkSpec wrong = spec;
  TessProgramSpec program = training;
  const TessNetwork *network;
  float values[4] = {0}, *array = values;

  program.dhw[0] = 5;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, -1);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  program = training;
  program.kind = TESS_PROGRAM_INFER;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_bind (session, 0, &error));
  network = tess_session_network (session, 0);
  g_assert_false (tess_session_write (session, 0, network->image, values, sizeof values, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_false (tess_session_get_params (session, TRUE, &array, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&error);

  wrong.n_stages = 1;
  g_assert_null (tess_session_new (ref_backend (), 0, 1, &wrong, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/session/train", test_train);
  g_test_add_func ("/nn/session/resume", test_resume);
  g_test_add_func ("/nn/session/version", test_version);
  g_test_add_func ("/nn/session/limit", test_limit);
  g_test_add_func ("/nn/session/refused", test_refused);
  return g_test_run ();
}
