#include "host-cuda.h"
#include "tess-cuda-private.h"
#include "tess-session.h"

#include <string.h>

/* Copies beside what runs, over the runtime that only looks like CUDA's, whose streams do what is queued at once or not
 * before somebody waits: whatever the order, a step reads its own batch, and the same bits come out as with plain
 * uploads. */

#define N_STEPS 5u
#define MOST 4096u

static const TessNetworkSpec spec = {.n_stages = 2,
                                     .n_channels = 1,
                                     .n_classes = 2,
                                     .features = {2, 3},
                                     .kernel = {{1, 3, 3}, {3, 3, 3}},
                                     .stride = {{1, 1, 1}, {1, 2, 2}},
                                     .convs_encoder = {1, 1},
                                     .convs_decoder = {1},
                                     .leaky_slope = 0.01,
                                     .norm_eps = 1e-5};

/* ------------------------------------------------------------------------------------------------ steps */

/* Page-locked memory of one batch. */
typedef struct {
  TessBuffer *memory[2];
  float *image;
  guint8 *labels;
} Batch;

typedef struct {
  TessSession *session;
  const TessNetwork *network;
  gsize image_bytes, label_bytes;
  TessBuffer *image, *labels;
  gsize image_offset, labels_offset;
  Batch batch[2];
} Steps;

static gboolean
steps_open (Steps *s, GError **error)
{
  const TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                                   .batch = 2,
                                   .dhw = {2, 8, 8},
                                   .act_dtype = TESS_DTYPE_F32,
                                   .deep_supervision = TRUE,
                                   .dice_smooth = 1e-5f};

  *s = (Steps){.session = tess_session_new (&tess_cuda_iface, 0, 1, &spec, error)};
  if (s->session == NULL || tess_session_add_program (s->session, &program, error) < 0 ||
      !tess_session_bind (s->session, 0, error) || !tess_session_init_params (s->session, 5, error))
    return FALSE;
  s->network = tess_session_network (s->session, 0);
  s->image_bytes = tess_graph_tensor (s->network->graph, s->network->image)->bytes;
  s->label_bytes = tess_graph_tensor (s->network->graph, s->network->labels)->bytes;
  s->image = tess_session_tensor (s->session, 0, s->network->image, &s->image_offset);
  s->labels = tess_session_tensor (s->session, 0, s->network->labels, &s->labels_offset);
  for (guint i = 0; i < 2; i++) {
    Batch *b = &s->batch[i];

    for (guint k = 0; k < 2; k++) {
      b->memory[k] =
          tess_cuda_buffer_new_near (tess_session_device (s->session), k == 0 ? s->image_bytes : s->label_bytes, error);
      if (b->memory[k] == NULL)
        return FALSE;
    }
    b->image = tess_cuda_iface.buffer_host (b->memory[0]);
    b->labels = tess_cuda_iface.buffer_host (b->memory[1]);
    g_assert_true (b->image != NULL && b->labels != NULL);
  }
  return TRUE;
}

static void
steps_close (Steps *s)
{
  if (s->session != NULL) /* what was begun last */
    tess_cuda_iface.upload_end (tess_session_device (s->session), NULL);
  for (guint i = 0; i < 4; i++)
    if (s->batch[i / 2].memory[i % 2] != NULL)
      tess_cuda_iface.buffer_free (s->batch[i / 2].memory[i % 2]);
  tess_session_free (s->session);
}

static void
fill (const Steps *s, Batch *b, guint k)
{
  for (gsize i = 0; i < s->label_bytes; i++) {
    b->labels[i] = (guint8)((i / 3 + k) % 2);
    b->image[i] = (float)((i * 7919 + k * 104729) % 101) / 50.0f - 1.0f + (float)b->labels[i];
  }
}

static gboolean
begin (const Steps *s, const Batch *b, GError **error)
{
  return tess_cuda_iface.upload_begin (s->image, s->image_offset, b->image, s->image_bytes, error) &&
         tess_cuda_iface.upload_begin (s->labels, s->labels_offset, b->labels, s->label_bytes, error);
}

static gboolean
plain (const Steps *s, const Batch *b, GError **error)
{
  return tess_session_write (s->session, 0, s->network->image, b->image, s->image_bytes, error) &&
         tess_session_write (s->session, 0, s->network->labels, b->labels, s->label_bytes, error);
}

/* Loss and gradient norm of every step. ahead: the next batch is begun before a step, and what it was read from is
 * written over as soon as it is said to be free. */
static gboolean
take_steps (gboolean ahead, double *results, GError **error)
{
  Steps s;
  gboolean ok = steps_open (&s, error);

  if (ok)
    fill (&s, &s.batch[0], 0);
  for (guint k = 0; ok && k < N_STEPS; k++) {
    TessStepArgs args = {
        .learning_rate = 0.05, .momentum = 0.9, .clip_norm = 12, .head_weight = {1}, .step = k + 1, .seed = 3};
    Batch *now = &s.batch[k % 2], *next = &s.batch[(k + 1) % 2];
    double metrics[TESS_METRICS_SIZE (2)];

    ok = ahead && k > 0 ? tess_cuda_iface.upload_end (tess_session_device (s.session), error) : plain (&s, now, error);
    fill (&s, now, 99);
    fill (&s, next, k + 1);
    ok = ok && (!ahead || begin (&s, next, error)) && tess_session_run (s.session, 0, &args, error) &&
         tess_session_read (s.session, 0, s.network->metrics[0], metrics, sizeof metrics, error) &&
         tess_session_read (s.session, 0, s.network->grad_norm, &results[2 * k + 1], sizeof (double), error);
    results[2 * k] = ok ? metrics[0] : 0;
  }
  steps_close (&s);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
  return ok;
}

static void
test_steps (void)
{
  g_autoptr (GError) error = NULL;
  double theirs[2 * N_STEPS], ours[2 * N_STEPS];

  g_assert_true (take_steps (FALSE, theirs, &error));
  for (guint k = 1; k < N_STEPS; k++)
    g_assert_cmpfloat (theirs[2 * k], !=, theirs[2 * k - 2]); /* the batches differ */
  for (int late = 0; late < 4; late++) {
    host_cuda.late = late;
    g_assert_true (take_steps (TRUE, ours, &error));
    g_assert_no_error (error);
    g_assert_cmpmem (ours, sizeof ours, theirs, sizeof theirs);
  }
  host_cuda.late = 0;
}

/* Every call fails once: the failure is told, or was of a capture; nothing is left behind and the next run is right. */
static void
test_faults (void)
{
  double theirs[2 * N_STEPS], ours[2 * N_STEPS];
  g_autoptr (GError) error = NULL;
  guint n_failed = 0;
  glong n_calls;

  g_assert_true (take_steps (FALSE, theirs, &error));
  host_cuda.n_calls = 0;
  g_assert_true (take_steps (TRUE, ours, &error));
  n_calls = host_cuda.n_calls;
  for (glong at = 1; at <= n_calls; at++) {
    g_autoptr (GError) why = NULL;
    gboolean ok;

    host_cuda.late = (int)(at % 4);
    host_cuda.n_calls = 0;
    host_cuda.fails_at = at;
    ok = take_steps (TRUE, ours, &why);
    host_cuda.fails_at = 0;
    g_assert_true (ok == (why == NULL));
    n_failed += !ok;
    if (ok)
      g_assert_cmpmem (ours, sizeof ours, theirs, sizeof theirs);
  }
  host_cuda.late = 0;
  g_test_message ("of %ld calls %u failures were reported", n_calls, n_failed);
  g_assert_cmpuint (n_failed, >, 50);
}

/* After a step its small results are there without a call; once the inputs have changed the device is asked, and says
 * the same. */
static void
test_results (void)
{
  g_autoptr (GError) error = NULL;
  TessStepArgs args = {.learning_rate = 0.05, .momentum = 0.9, .clip_norm = 12, .head_weight = {1}, .step = 1};
  double ours[TESS_METRICS_SIZE (2)], theirs[TESS_METRICS_SIZE (2)], last = 0;
  glong n_calls;
  Steps s;

  g_assert_true (steps_open (&s, &error));
  for (guint k = 0; k < 4; k++) { /* op by op, and captured */
    fill (&s, &s.batch[0], k);
    g_assert_true (plain (&s, &s.batch[0], &error));
    g_assert_true (tess_session_run (s.session, 0, &args, &error));
    n_calls = host_cuda.n_calls;
    g_assert_true (tess_session_read (s.session, 0, s.network->metrics[0], ours, sizeof ours, &error));
    g_assert_true (tess_session_read (s.session, 0, s.network->grad_norm, &theirs[0], sizeof (double), &error));
    g_assert_cmpint (host_cuda.n_calls, ==, n_calls);
    g_assert_cmpfloat (theirs[0], >, 0);
    g_assert_cmpfloat (ours[0], !=, last);
    last = ours[0];
    if (k % 2 == 0) {
      g_assert_true (plain (&s, &s.batch[0], &error));
    } else {
      g_assert_true (begin (&s, &s.batch[0], &error));
      g_assert_true (tess_cuda_iface.upload_end (tess_session_device (s.session), &error));
    }
    n_calls = host_cuda.n_calls;
    g_assert_true (tess_session_read (s.session, 0, s.network->metrics[0], theirs, sizeof theirs, &error));
    g_assert_cmpint (host_cuda.n_calls, >, n_calls);
    g_assert_cmpmem (ours, sizeof ours, theirs, sizeof theirs);
  }
  /* A run that fails leaves nothing to read. */
  host_cuda.n_calls = 0;
  host_cuda.fails_at = 3;
  g_assert_false (tess_session_run (s.session, 0, &args, &error));
  host_cuda.fails_at = 0;
  n_calls = host_cuda.n_calls;
  g_clear_error (&error);
  g_assert_true (tess_session_read (s.session, 0, s.network->metrics[0], ours, sizeof ours, &error));
  g_assert_cmpint (host_cuda.n_calls, >, n_calls);
  g_assert_no_error (error);
  steps_close (&s);
}

/* ------------------------------------------------------------------------------------------------ buffers */

typedef struct {
  TessDevice *device;
  TessBuffer *one, *two, *memory;
  guint8 *host, got[MOST];
} Buffers;

static void
buffers_open (Buffers *b, int late)
{
  g_autoptr (GError) error = NULL;

  host_cuda.late = late;
  b->device = tess_cuda_iface.open (0, 0, &error);
  b->one = tess_cuda_iface.buffer_new (b->device, MOST, &error);
  b->two = tess_cuda_iface.buffer_new (b->device, MOST, &error);
  b->memory = tess_cuda_iface.buffer_new_near (b->device, 4 * MOST, &error);
  g_assert_no_error (error);
  b->host = tess_cuda_iface.buffer_host (b->memory);
}

static void
buffers_close (Buffers *b)
{
  tess_cuda_iface.buffer_free (b->one);
  tess_cuda_iface.buffer_free (b->two);
  tess_cuda_iface.buffer_free (b->memory);
  tess_cuda_iface.close (b->device);
  host_cuda.late = 0;
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

static void
assert_holds (Buffers *b, TessBuffer *buffer, gsize offset, gsize n, guint8 value)
{
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_cuda_iface.download (buffer, offset, b->got, n, &error));
  for (gsize i = 0; i < n; i++)
    g_assert_cmpuint (b->got[i], ==, value);
}

/* A buffer keeps what it holds until the end; then pieces lie where they belong, also when the next begin at once. */
static void
test_places (void)
{
  for (int late = 0; late < 4; late++) {
    g_autoptr (GError) error = NULL;
    Buffers b;

    buffers_open (&b, late);
    memset (b.host, 1, 2 * MOST);
    memset (b.host + 2 * MOST, 2, 2 * MOST);
    g_assert_true (tess_cuda_iface.upload_end (b.device, &error)); /* of nothing */
    g_assert_true (tess_cuda_iface.upload_begin (b.one, 100, b.host, 50, &error));
    g_assert_true (tess_cuda_iface.upload_begin (b.one, 0, b.host, 0, &error));
    g_assert_true (tess_cuda_iface.upload_begin (b.two, 0, b.host, MOST, &error));
    assert_holds (&b, b.one, 0, MOST, 0);
    assert_holds (&b, b.two, 0, MOST, 0);
    g_assert_true (tess_cuda_iface.upload_end (b.device, &error));
    /* Other sizes, so that one block grows; the first pieces may not be in place yet. */
    g_assert_true (tess_cuda_iface.upload_begin (b.two, 10, b.host + 2 * MOST, 1000, &error));
    g_assert_true (tess_cuda_iface.upload_begin (b.one, 3000, b.host + 2 * MOST, 20, &error));
    g_assert_true (tess_cuda_iface.upload_begin (b.one, 4000, b.host + 2 * MOST, 96, &error));
    assert_holds (&b, b.one, 0, 100, 0);
    assert_holds (&b, b.one, 100, 50, 1);
    assert_holds (&b, b.one, 150, MOST - 150, 0);
    assert_holds (&b, b.two, 0, MOST, 1);
    g_assert_true (tess_cuda_iface.upload_end (b.device, &error));
    assert_holds (&b, b.two, 0, 10, 1);
    assert_holds (&b, b.two, 10, 1000, 2);
    assert_holds (&b, b.two, 1010, MOST - 1010, 1);
    assert_holds (&b, b.one, 150, 2850, 0);
    assert_holds (&b, b.one, 3000, 20, 2);
    assert_holds (&b, b.one, 4000, 96, 2);
    g_assert_no_error (error);
    buffers_close (&b);
  }
}

/* Closed with a copy under way, of what outlives it. */
static void
test_close (void)
{
  static const guint8 source[MOST];

  for (int late = 0; late < 4; late++) {
    g_autoptr (GError) error = NULL;
    Buffers b;

    buffers_open (&b, late);
    g_assert_true (tess_cuda_iface.upload_begin (b.one, 0, source, MOST, &error));
    buffers_close (&b);
  }
}

static void
test_bounds (void)
{
  static const gsize wrong[][2] = {{0, MOST + 1}, {MOST, 1}, {MOST + 1, 0}, {1, MOST}, {8, G_MAXSIZE}, {G_MAXSIZE, 8}};
  Buffers b;

  buffers_open (&b, 0);
  for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
    g_autoptr (GError) error = NULL;

    g_assert_false (tess_cuda_iface.upload_begin (b.one, wrong[i][0], b.host, wrong[i][1], &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  }
  buffers_close (&b);
}

/* A card that is full: a sentence, and what was begun before is put in place. */
static void
test_memory (void)
{
  gsize whole = host_cuda.memory;
  g_autoptr (GError) error = NULL;
  Buffers b;

  buffers_open (&b, 0);
  memset (b.host, 7, MOST);
  host_cuda.memory = host_cuda.taken + 200;
  g_assert_true (tess_cuda_iface.upload_begin (b.one, 0, b.host, 100, &error));
  g_assert_false (tess_cuda_iface.upload_begin (b.two, 0, b.host, MOST, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_clear_error (&error);
  g_assert_true (tess_cuda_iface.upload_end (b.device, &error));
  assert_holds (&b, b.one, 0, 100, 7);
  assert_holds (&b, b.two, 0, MOST, 0);
  g_assert_true (tess_cuda_iface.upload (b.two, 0, b.host, MOST, &error));
  assert_holds (&b, b.two, 0, MOST, 7);
  host_cuda.memory = whole;
  buffers_close (&b);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  g_test_add_func ("/cuda/upload/steps", test_steps);
  g_test_add_func ("/cuda/upload/faults", test_faults);
  g_test_add_func ("/cuda/upload/results", test_results);
  g_test_add_func ("/cuda/upload/places", test_places);
  g_test_add_func ("/cuda/upload/close", test_close);
  g_test_add_func ("/cuda/upload/bounds", test_bounds);
  g_test_add_func ("/cuda/upload/memory", test_memory);
  return g_test_run ();
}
