#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tess-cpu-backend.h"
#include "tess-session.h"

/* What training over several processes costs besides computing: the sum of all gradients over 1, 2 and 4 ranks of this
 * machine (weak scaling: every rank holds as many numbers), the agreement before a step, and a training step of a 3D
 * U-Net with 1 sample a rank and one thread each: without the others, with one sum after the backward pass, and with
 * sums in buckets meanwhile. Median of several, as rank 0 sees it; each number of ranks is a run of mpirun's. */

#define N_TIMES 9
#define MB 1000000

static const gsize sizes[] = {1 * MB, 16 * MB, 120 * MB}; /* bytes; the last: nnU-Net's usual 30 million parameters */

static int
compare (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return x < y ? -1 : x > y;
}

/* n floats, or 0: an agreement. */
static gboolean
once (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  gboolean together;

  return n > 0 ? c->sum_f32 (c, values, n, error) : tess_communicator_agree (c, NULL, &together, error);
}

static gboolean
measure (const TessCommunicator *c, gsize n, double *seconds, GError **error)
{
  g_autofree float *values = g_new0 (float, n + 1);
  double times[N_TIMES];

  for (int i = -1; i < N_TIMES; i++) { /* the first warms up */
    gint64 before;

    if (!c->barrier (c, error))
      return FALSE;
    before = g_get_monotonic_time ();
    if (!once (c, values, n, error))
      return FALSE;
    if (i >= 0)
      times[i] = (double)(g_get_monotonic_time () - before) * 1e-6;
  }
  qsort (times, N_TIMES, sizeof *times, compare);
  *seconds = times[N_TIMES / 2];
  return TRUE;
}

static const TessNetworkSpec spec = {
    .n_stages = 4,
    .n_channels = 1,
    .n_classes = 3,
    .features = {32, 64, 128, 256},
    .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}},
    .convs_encoder = {2, 2, 2, 2},
    .convs_decoder = {2, 2, 2},
    .leaky_slope = 0.01,
    .norm_eps = 1e-5,
};
#define EDGE 16

/* The ways a step is made; every rank takes them in turn. The session's buckets are those of its first run. */
static const char *const ways[] = {"without the others", "sums at its end", "sums meanwhile"};
#define N_WAYS 3

static TessSession *
open_session (const TessCommunicator *c, GError **error)
{
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .batch = 1,
                             .dhw = {EDGE, EDGE, EDGE},
                             .act_dtype = TESS_DTYPE_F32,
                             .deep_supervision = TRUE,
                             .dice_smooth = 1e-5f};
  g_autoptr (TessSession) session = tess_session_new (tess_cpu_backend (), 0, 1, &spec, error);
  g_autofree float *image = g_new (float, EDGE *EDGE *EDGE);
  g_autofree guint8 *labels = g_new (guint8, EDGE * EDGE * EDGE);
  const TessNetwork *network;

  for (guint i = 0; i < EDGE * EDGE * EDGE; i++) {
    labels[i] = (guint8)(i / 7 % 3);
    image[i] = (float)(i % 11) * 0.1f + (float)labels[i];
  }
  if (session == NULL || tess_session_add_program (session, &program, error) < 0 ||
      !tess_session_set_communicator (session, c, error) || !tess_session_bind (session, 0, error) ||
      !tess_session_init_params (session, 1, error))
    return NULL;
  network = tess_session_network (session, 0);
  if (!tess_session_write (session, 0, network->image, image, EDGE * EDGE * EDGE * sizeof *image, error) ||
      !tess_session_write (session, 0, network->labels, labels, EDGE * EDGE * EDGE, error))
    return NULL;
  return g_steal_pointer (&session);
}

static gboolean
step (const TessCommunicator *c, TessSession *session, double *seconds, GError **error)
{
  TessStepArgs args = {.learning_rate = 1e-4, .momentum = 0.9, .clip_norm = 12, .head_weight = {0.6, 0.3, 0.1}};
  gint64 before;

  if (!c->barrier (c, error))
    return FALSE;
  before = g_get_monotonic_time ();
  if (!tess_session_run (session, 0, &args, error))
    return FALSE;
  *seconds = (double)(g_get_monotonic_time () - before) * 1e-6;
  return TRUE;
}

static gboolean
measure_steps (const TessCommunicator *c, GError **error)
{
  TessCommunicator whole = *c;
  const TessCommunicator *communicators[N_WAYS] = {NULL, &whole, c};
  TessSession *sessions[N_WAYS] = {NULL};
  double times[N_WAYS][N_TIMES];
  guint n_ways = c->size > 1 ? N_WAYS : 1;
  gboolean ok = TRUE;

  whole.bucket_bytes = G_MAXSIZE; /* all of them make one */
  for (guint w = 0; ok && w < n_ways; w++)
    ok = (sessions[w] = open_session (communicators[w], error)) != NULL;
  for (int i = -1; ok && i < N_TIMES; i++) /* in turn, so that all see the same load */
    for (guint w = 0; ok && w < n_ways; w++)
      ok = step (c, sessions[w], &times[w][MAX (i, 0)], error);
  for (guint w = 0; w < n_ways; w++)
    tess_session_free (sessions[w]);
  for (guint w = 0; ok && w < n_ways && c->rank == 0; w++) {
    qsort (times[w], N_TIMES, sizeof *times[w], compare);
    printf ("{\"bench\": \"communicator\", \"case\": \"step of %u, %s\", \"unit\": \"s\", \"ours\": %.6f}\n", c->size,
            ways[w], times[w][N_TIMES / 2]);
  }
  return ok;
}

static int
be_rank (void)
{
  g_autoptr (GError) error = NULL;
  const TessCommunicator *c = tess_communicator_open (&error);
  gboolean ok = c != NULL;
  double seconds;

  for (guint i = 0; ok && i <= G_N_ELEMENTS (sizes); i++) {
    gsize bytes = i < G_N_ELEMENTS (sizes) ? sizes[i] : 0;

    ok = measure (c, bytes / sizeof (float), &seconds, &error);
    if (!ok || c->rank > 0)
      continue;
    if (bytes > 0)
      printf ("{\"bench\": \"communicator\", \"case\": \"sum %zu MB over %u\", \"unit\": \"s\", \"ours\": %.6f}\n",
              bytes / MB, c->size, seconds);
    else
      printf ("{\"bench\": \"communicator\", \"case\": \"agree over %u\", \"unit\": \"s\", \"ours\": %.6f}\n", c->size,
              seconds);
  }
  ok = ok && measure_steps (c, &error);
  if (!ok)
    g_printerr ("bench-communicator: %s\n", error->message);
  else
    c->close (c);
  return ok ? 0 : 1;
}

int
main (int argc, char **argv)
{
  g_autofree char *mpirun = g_find_program_in_path ("mpirun");
  int code = 0;

  if (argc > 1)
    return be_rank ();
  if (mpirun == NULL)
    g_printerr ("bench-communicator: mpirun is not installed: one rank only\n");
  for (guint n = 1; n <= (mpirun != NULL ? 4u : 1u) && code == 0; n *= 2) {
    g_autofree char *line =
        n == 1 ? g_strdup_printf ("%s rank", argv[0])
               : g_strdup_printf ("%s --allow-run-as-root --oversubscribe -np %u %s rank", mpirun, n, argv[0]);
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) words = NULL;
    int status = 0;

    fflush (stdout);
    if (!g_shell_parse_argv (line, NULL, &words, &error) ||
        !g_spawn_sync (NULL, words, NULL, G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_CHILD_INHERITS_STDIN, NULL, NULL,
                       NULL, NULL, &status, &error)) {
      g_printerr ("bench-communicator: %s\n", error->message);
      return 1;
    }
    code = WIFEXITED (status) ? WEXITSTATUS (status) : 1;
  }
  return code;
}
