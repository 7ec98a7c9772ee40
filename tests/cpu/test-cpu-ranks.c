#include "tess-cpu-backend.h"
#include "tess-session.h"
#include "tess-thread.h"

#include <math.h>

/* Several ranks, each with its part of a batch, against one with the whole batch. The ranks are threads here: what is
 * summed and when is the backend's part, whatever carries it. */

#define N_BATCH 4
#define N_STEPS 20
#define MAX_RANKS 4
#define TOLERANCE 1e-5
#define VOXELS (12 * 16 * 8)
#define BUCKET 512 /* bytes: several, of networks as small as these */
#define MAX_SUMS 64

static const TessNetworkSpec network_spec = {
    .n_stages = 2,
    .n_channels = 1,
    .n_classes = 3,
    .features = {4, 6},
    .kernel = {{3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}},
    .convs_encoder = {1, 1},
    .convs_decoder = {1},
    .leaky_slope = 0.01,
    .norm_eps = 1e-5,
};

/* What is dropped and added belongs to a sample of the batch, whichever rank has it. (Behind a norm a dropped channel
 * would be at the ReLU's kink, where the last bit of a sum decides.) */
static const TessNetworkSpec dropout_spec = {.architecture = TESS_NETWORK_MESHNET,
                                             .n_channels = 1,
                                             .n_classes = 3,
                                             .features = {6},
                                             .leaky_slope = 0.01,
                                             .n_layers = 3,
                                             .dilation = {1, 2, 1},
                                             .dropout = 0.2};

static const TessNetworkSpec noise_spec = {.architecture = TESS_NETWORK_SE_RESIDUAL,
                                           .n_stages = 2,
                                           .n_channels = 1,
                                           .n_classes = 3,
                                           .features = {4},
                                           .leaky_slope = 0.3,
                                           .norm_eps = 1e-3,
                                           .se_ratio = 2,
                                           .noise = 0.1};

typedef struct {
  TessMutex mutex;
  TessCond changed;
  guint size, arrived, generation;
  void *values[MAX_RANKS];
} Meeting;

/* A sum takes the values as they are when it begins. */
typedef struct {
  float *values, *taken;
  gsize n;
} Sum;

typedef struct {
  TessCommunicator c;
  Meeting *meeting;
  Sum sums[MAX_SUMS];
  guint n_sums, n_advanced;           /* under way; of ops that ran meanwhile */
  guint n_sums_seen, n_advanced_seen; /* in the last step */
} ThreadRank;

static void
add_up (Meeting *m, gsize n, gboolean wide)
{
  for (gsize i = 0; i < n; i++) {
    double sum = 0;

    for (guint r = 0; r < m->size; r++)
      sum += wide ? ((double *)m->values[r])[i] : (double)((float *)m->values[r])[i];
    for (guint r = 0; r < m->size; r++)
      if (wide)
        ((double *)m->values[r])[i] = sum;
      else
        ((float *)m->values[r])[i] = (float)sum;
  }
}

static gboolean
meet (const TessCommunicator *c, void *values, gsize n, gboolean wide)
{
  Meeting *m = ((const ThreadRank *)c)->meeting;
  guint generation;

  tess_mutex_lock (&m->mutex);
  generation = m->generation;
  m->values[c->rank] = values;
  if (++m->arrived == m->size) {
    add_up (m, n, wide);
    m->arrived = 0;
    m->generation++;
    tess_cond_broadcast (&m->changed);
  }
  while (generation == m->generation)
    tess_cond_wait (&m->changed, &m->mutex);
  tess_mutex_unlock (&m->mutex);
  return TRUE;
}

static gboolean
thread_begin_f32 (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  ThreadRank *rank = (ThreadRank *)c;

  g_assert_cmpuint (rank->n_sums, <, MAX_SUMS);
  rank->sums[rank->n_sums++] = (Sum){values, g_memdup2 (values, n * sizeof *values), n};
  return TRUE;
}

static gboolean
thread_advance (const TessCommunicator *c, GError **error)
{
  ThreadRank *rank = (ThreadRank *)c;

  rank->n_advanced += rank->n_sums > 0;
  return TRUE;
}

static gboolean
thread_finish (const TessCommunicator *c, GError **error)
{
  ThreadRank *rank = (ThreadRank *)c;

  for (guint i = 0; i < rank->n_sums; i++) {
    Sum *sum = &rank->sums[i];

    meet (c, sum->taken, sum->n, FALSE);
    memcpy (sum->values, sum->taken, sum->n * sizeof (float));
    g_free (sum->taken);
  }
  rank->n_sums_seen = rank->n_sums;
  rank->n_advanced_seen = rank->n_advanced;
  rank->n_sums = rank->n_advanced = 0;
  return TRUE;
}

static gboolean
thread_sum_f64 (const TessCommunicator *c, double *values, gsize n, GError **error)
{
  return meet (c, values, n, TRUE);
}

/* One rank's training, and what came of it. */
typedef struct {
  ThreadRank rank;
  const TessNetworkSpec *spec;
  const TessProgramSpec *program;
  double loss[N_STEPS], norm[N_STEPS], metrics[TESS_METRICS_SIZE (3)];
  GPtrArray *params; /* float arrays */
} Training;

static float
random_number (guint32 *state)
{
  *state = *state * 1664525u + 1013904223u;
  return (float)(*state >> 8) * 0x1p-23f - 1.0f;
}

/* The samples differ in how much they hold of what, so that a mean of means is not the mean. */
static void
write_samples (TessSession *session, guint first, guint n)
{
  const TessNetwork *network = tess_session_network (session, 0);
  g_autofree float *image = g_new (float, (gsize)n *VOXELS);
  g_autofree guint8 *labels = g_new (guint8, (gsize)n * VOXELS);
  g_autoptr (GError) error = NULL;

  for (guint s = 0; s < n; s++) {
    guint32 state = 77 + first + s;

    for (gsize i = 0; i < VOXELS; i++) {
      float draw = random_number (&state);
      guint label = i % (7 + 11 * (first + s)) == 0 ? 1 : i % 5 == 0 ? 2 : 0;

      if (draw > 0.8f - 0.3f * (float)(first + s))
        label = 3; /* ignored, or background */
      labels[s * VOXELS + i] = (guint8)label;
      image[s * VOXELS + i] = 0.5f * random_number (&state) + 0.7f * (float)(label % 3);
    }
  }
  g_assert_true (tess_session_write (session, 0, network->image, image, (gsize)n * VOXELS * sizeof *image, &error));
  g_assert_true (tess_session_write (session, 0, network->labels, labels, (gsize)n * VOXELS, &error));
}

static void
read_params (Training *t, TessSession *session)
{
  guint n = tess_session_n_params (session);
  g_autoptr (GError) error = NULL;

  t->params = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < n; i++)
    g_ptr_array_add (t->params, g_malloc (tess_session_param (session, i)->bytes));
  g_assert_true (tess_session_get_params (session, TESS_STATE_PARAM, (float *const *)t->params->pdata, &error));
}

static void
train (gpointer data)
{
  Training *t = data;
  TessProgramSpec program = *t->program;
  guint size = t->rank.c.size, share = N_BATCH / size;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = tess_session_new (tess_cpu_backend (), 0, 1, t->spec, &error);
  TessStepArgs args = {.learning_rate = 0.01,
                       .momentum = 0.9,
                       .weight_decay = 3e-5,
                       .clip_norm = 1, /* below the first norms */
                       .head_weight = {0.75},
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .epsilon = 1e-3,
                       .seed = 9};
  const TessNetwork *network;

  g_assert_no_error (error);
  program.batch = share;
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_set_communicator (session, &t->rank.c, &error));
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_true (tess_session_init_params (session, 3, &error));
  network = tess_session_network (session, 0);
  write_samples (session, t->rank.c.rank * share, share);
  for (guint i = 0; i < N_STEPS; i++) {
    args.step = i + 1;
    g_assert_true (tess_session_run (session, 0, &args, &error));
    g_assert_true (tess_session_read (session, 0, network->metrics[0], t->metrics, sizeof t->metrics, &error));
    g_assert_true (tess_session_read (session, 0, network->grad_norm, &t->norm[i], sizeof (double), &error));
    t->loss[i] = t->metrics[0];
  }
  read_params (t, session);
}

static void
train_all (const TessNetworkSpec *spec, const TessProgramSpec *program, guint size, Training *trainings)
{
  Meeting meeting = {.size = size};
  TessThread *threads[MAX_RANKS];

  tess_mutex_init (&meeting.mutex);
  tess_cond_init (&meeting.changed);
  for (guint r = 0; r < size; r++) {
    trainings[r] = (Training){.spec = spec, .program = program};
    trainings[r].rank.meeting = &meeting;
    trainings[r].rank.c = (TessCommunicator){.abi = TESS_COMMUNICATOR_ABI,
                                             .rank = r,
                                             .size = size,
                                             .n_local = size,
                                             .bucket_bytes = BUCKET,
                                             .sum_f64 = thread_sum_f64,
                                             .begin_f32 = thread_begin_f32,
                                             .advance = thread_advance,
                                             .finish = thread_finish};
    threads[r] = tess_thread_new ("rank", 0, train, &trainings[r]);
  }
  for (guint r = 0; r < size; r++)
    tess_thread_join (threads[r]);
  tess_cond_clear (&meeting.changed);
  tess_mutex_clear (&meeting.mutex);
}

static void
assert_near (double a, double b)
{
  if (!(fabs (a - b) <= TOLERANCE * fabs (b)))
    g_error ("%.10g is not near %.10g", a, b);
}

static void
assert_params (const Training *a, const Training *b, double tolerance)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = tess_session_new (tess_cpu_backend (), 0, 1, a->spec, &error);
  double difference = 0, scale = 0;

  for (guint i = 0; i < a->params->len; i++) {
    const float *x = g_ptr_array_index (a->params, i), *y = g_ptr_array_index (b->params, i);
    gsize n = tess_session_param (session, i)->bytes / sizeof (float);

    for (gsize j = 0; j < n; j++) {
      difference = MAX (difference, (double)fabsf (x[j] - y[j]));
      scale = MAX (scale, (double)fabsf (y[j]));
    }
  }
  g_test_message ("parameters differ by %.3g", difference / scale);
  g_assert_cmpfloat (difference, <=, tolerance * scale);
}

typedef struct {
  const char *name;
  TessLossKind loss;
  gboolean batch_dice, regions;
  guint ignore;
  TessOptimiser optimiser;
  const TessNetworkSpec *spec; /* NULL: the U-Net */
} Case;

static const Case cases[] = {
    {"dice-ce", TESS_LOSS_DICE_CE, FALSE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"dice-ce-of-batch", TESS_LOSS_DICE_CE, TRUE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"ignore", TESS_LOSS_DICE_CE, FALSE, FALSE, 3, TESS_OPTIMISER_SGD},
    {"ignore-of-batch", TESS_LOSS_DICE_CE, TRUE, FALSE, 3, TESS_OPTIMISER_ADAM},
    {"regions", TESS_LOSS_DICE_CE, FALSE, TRUE, 0, TESS_OPTIMISER_SGD},
    {"regions-ignore-of-batch", TESS_LOSS_DICE_CE, TRUE, TRUE, 3, TESS_OPTIMISER_SGD},
    {"dice-of-batch", TESS_LOSS_DICE, TRUE, FALSE, 0, TESS_OPTIMISER_ADAMW},
    {"tversky-of-batch", TESS_LOSS_TVERSKY, TRUE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"focal", TESS_LOSS_FOCAL, FALSE, FALSE, 3, TESS_OPTIMISER_SGD},
    {"dropout", TESS_LOSS_DICE_CE, TRUE, FALSE, 0, TESS_OPTIMISER_SGD, &dropout_spec},
    {"noise", TESS_LOSS_DICE_CE, FALSE, FALSE, 0, TESS_OPTIMISER_SGD, &noise_spec},
};

static void
test_case (gconstpointer data)
{
  const Case *c = data;
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .dhw = {12, 16, 8},
                             .act_dtype = TESS_DTYPE_F32,
                             .dice_smooth = 1e-5f,
                             .batch_dice = c->batch_dice,
                             .loss = c->loss,
                             .has_regions = c->regions,
                             .ignore = c->ignore,
                             .alpha = 0.3f,
                             .beta = 0.7f,
                             .gamma = 2,
                             .regions = {0, 1, 3, 4},
                             .optimiser = c->optimiser};
  const TessNetworkSpec *spec = c->spec ? c->spec : &network_spec;
  Training whole;

  train_all (spec, &program, 1, &whole);
  g_assert_cmpfloat (whole.loss[N_STEPS - 1], <, whole.loss[0]);
  for (guint size = 2; size <= MAX_RANKS; size *= 2) {
    Training parts[MAX_RANKS];

    train_all (spec, &program, size, parts);
    for (guint i = 0; i < N_STEPS; i++) {
      assert_near (parts[0].loss[i], whole.loss[i]);
      assert_near (parts[0].norm[i], whole.norm[i]);
    }
    assert_params (&parts[0], &whole, TOLERANCE);
    /* Sums begin while most of the backward pass is still to come. */
    g_assert_cmpuint (parts[0].rank.n_sums_seen, >=, 3);
    g_assert_cmpuint (parts[0].rank.n_advanced_seen, >=, 6);
    for (guint r = 0; r < size; r++) { /* ranks see the same, to the last bit */
      g_assert_cmpmem (parts[r].loss, sizeof parts[r].loss, parts[0].loss, sizeof parts[0].loss);
      g_assert_cmpmem (parts[r].metrics, sizeof parts[r].metrics, parts[0].metrics, sizeof parts[0].metrics);
      assert_params (&parts[r], &parts[0], 0);
    }
    for (guint r = 0; r < size; r++)
      g_ptr_array_unref (parts[r].params);
  }
  g_ptr_array_unref (whole.params);
}

/* A backend that has not learnt it refuses; one rank is nothing to learn. */
static void
test_refused (void)
{
  TessBackendIface other = *tess_cpu_backend ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = NULL;
  const TessCommunicator two = {.abi = TESS_COMMUNICATOR_ABI, .size = 2};

  other.flags &= ~(guint32)TESS_BACKEND_REDUCES;
  session = tess_session_new (&other, 0, 1, &network_spec, &error);
  g_assert_no_error (error);
  g_assert_true (tess_session_set_communicator (session, tess_communicator_alone (), &error));
  g_assert_false (tess_session_set_communicator (session, &two, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "several processes"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strconcat ("/cpu/ranks/", cases[i].name, NULL);

    g_test_add_data_func (path, &cases[i], test_case);
  }
  g_test_add_func ("/cpu/ranks/refused", test_refused);
  return g_test_run ();
}
