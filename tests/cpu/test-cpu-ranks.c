#include "ranks-run.h"
#include "tess-cpu-backend.h"
#include "tess-session.h"
#include "tess-thread.h"

/* Several ranks, each with its part of a batch, against one with the whole batch. The ranks are threads here: what is
 * summed and when is the backend's part, whatever carries it. */

#define MAX_RANKS 4
#define TOLERANCE 1e-5
#define BUCKET 512 /* bytes: several, of networks as small as these */
#define MAX_SUMS 64

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

typedef struct {
  ThreadRank rank;
  guint which;
  RanksRun run;
} Training;

static void
train (gpointer data)
{
  Training *t = data;
  g_autoptr (GError) error = NULL;

  ranks_run (tess_cpu_backend (), 0, &t->rank.c, t->which, RANKS_STEPS, &t->run, &error);
  g_assert_no_error (error);
}

static void
train_all (guint which, guint size, Training *trainings)
{
  Meeting meeting = {.size = size};
  TessThread *threads[MAX_RANKS];

  tess_mutex_init (&meeting.mutex);
  tess_cond_init (&meeting.changed);
  for (guint r = 0; r < size; r++) {
    trainings[r] = (Training){.which = which};
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
test_case (gconstpointer data)
{
  guint which = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  RanksRun whole;

  ranks_run (tess_cpu_backend (), 0, NULL, which, RANKS_STEPS, &whole, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (whole.loss[RANKS_STEPS - 1], <, whole.loss[0]);
  for (guint size = 2; size <= MAX_RANKS; size *= 2) {
    Training parts[MAX_RANKS];

    train_all (which, size, parts);
    g_test_message ("%u ranks: error %.3g", size, ranks_run_error (&parts[0].run, &whole));
    g_assert_cmpfloat (ranks_run_error (&parts[0].run, &whole), <=, TOLERANCE);
    /* Sums begin while most of the backward pass is still to come. */
    g_assert_cmpuint (parts[0].rank.n_sums_seen, >=, 3);
    g_assert_cmpuint (parts[0].rank.n_advanced_seen, >=, 6);
    for (guint r = 1; r < size; r++)
      g_assert_true (ranks_run_same_bits (&parts[r].run, &parts[0].run));
    for (guint r = 0; r < size; r++)
      ranks_run_clear (&parts[r].run);
  }
  ranks_run_clear (&whole);
}

/* A backend that has not learnt it refuses; one rank is nothing to learn. */
static void
test_refused (void)
{
  TessBackendIface other = *tess_cpu_backend ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = NULL;
  const TessNetworkSpec spec = {.architecture = TESS_NETWORK_MESHNET,
                                .n_channels = 1,
                                .n_classes = 2,
                                .features = {2},
                                .n_layers = 2,
                                .dilation = {1, 1}};
  const TessCommunicator two = {.abi = TESS_COMMUNICATOR_ABI, .size = 2};

  other.flags &= ~(guint32)TESS_BACKEND_REDUCES;
  session = tess_session_new (&other, 0, 1, &spec, &error);
  g_assert_no_error (error);
  g_assert_true (tess_session_set_communicator (session, tess_communicator_alone (), &error));
  g_assert_false (tess_session_set_communicator (session, &two, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "several processes"));
}

static guint n_joined;

static gboolean
join_once (TessDevice *device, const TessCommunicator *c, GError **error)
{
  g_assert_nonnull (device);
  g_assert_cmpuint (c->size, ==, 2);
  if (n_joined++ == 0)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_IO, "no more");
  return FALSE;
}

/* A backend that connects its devices is asked to, and its failure comes through; not for one rank. */
static void
test_join (void)
{
  TessBackendIface other = *tess_cpu_backend ();
  const TessNetworkSpec spec = {.architecture = TESS_NETWORK_MESHNET,
                                .n_channels = 1,
                                .n_classes = 2,
                                .features = {2},
                                .n_layers = 2,
                                .dilation = {1, 1}};
  const TessCommunicator two = {.abi = TESS_COMMUNICATOR_ABI, .size = 2};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = NULL;

  other.join = join_once;
  session = tess_session_new (&other, 0, 1, &spec, &error);
  g_assert_no_error (error);
  g_assert_true (tess_session_set_communicator (session, tess_communicator_alone (), &error));
  g_assert_cmpuint (n_joined, ==, 0);
  g_assert_true (tess_session_set_communicator (session, &two, &error));
  g_assert_false (tess_session_set_communicator (session, &two, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_cmpuint (n_joined, ==, 2);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < ranks_run_n (); i++) {
    g_autofree char *path = g_strconcat ("/cpu/ranks/", ranks_run_name (i), NULL);

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
  }
  g_test_add_func ("/cpu/ranks/refused", test_refused);
  g_test_add_func ("/cpu/ranks/join", test_join);
  return g_test_run ();
}
