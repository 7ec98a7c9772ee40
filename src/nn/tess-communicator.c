#include "tess-communicator.h"

#include <string.h>
#include <unistd.h>

#include "tess-plugin.h"

static gboolean
alone_sum_f32 (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  return TRUE;
}

static gboolean
alone_sum_f64 (const TessCommunicator *c, double *values, gsize n, GError **error)
{
  return TRUE;
}

static gboolean
alone_broadcast (const TessCommunicator *c, guint root, void *bytes, gsize n, GError **error)
{
  return TRUE;
}

static gboolean
alone_go_on (const TessCommunicator *c, GError **error)
{
  return TRUE;
}

static void
alone_end_all (const TessCommunicator *c, int status)
{
  _exit (status);
}

static void
alone_close (const TessCommunicator *c)
{
}

const TessCommunicator *
tess_communicator_alone (void)
{
  static const TessCommunicator alone = {
      .abi = TESS_COMMUNICATOR_ABI,
      .size = 1,
      .n_local = 1,
      .sum_f32 = alone_sum_f32,
      .sum_f64 = alone_sum_f64,
      .begin_f32 = alone_sum_f32,
      .advance = alone_go_on,
      .finish = alone_go_on,
      .broadcast = alone_broadcast,
      .barrier = alone_go_on,
      .end_all = alone_end_all,
      .close = alone_close,
  };

  return &alone;
}

/**
 * tess_communicator_open:
 *
 * OpenMPI's mpirun tells the processes it starts how many they are (OMPI_COMM_WORLD_SIZE); nothing else opens the
 * plugin.
 *
 * Returns: (transfer none): to be closed at the end of the program; %NULL with UNSUPPORTED (no plugin) or IO.
 */
const TessCommunicator *
tess_communicator_open (GError **error)
{
  const char *text = g_getenv ("OMPI_COMM_WORLD_SIZE");
  g_autofree char *path = NULL;
  g_autoptr (GError) reason = NULL;
  const TessCommunicator *c;
  TessCommunicatorOpen open;
  gpointer symbol;
  gint64 size;

  if (text == NULL || !g_ascii_string_to_signed (text, 10, 2, G_MAXINT32, &size, NULL))
    return tess_communicator_alone ();
  if (!tess_plugin_open ("mpi", TESS_COMMUNICATOR_OPEN_SYMBOL, &symbol, &path, error))
    return NULL;
  memcpy (&open, &symbol, sizeof open);
  c = open (TESS_COMMUNICATOR_ABI, &reason);
  if (c != NULL && c->abi == TESS_COMMUNICATOR_ABI)
    return c;
  if (reason != NULL)
    g_propagate_error (error, g_steal_pointer (&reason));
  else
    tess_plugin_mismatch (path, TESS_COMMUNICATOR_ABI, error);
  return NULL;
}

/**
 * tess_communicator_agree:
 *
 * Costs one sum of a few numbers while nobody fails.
 */
gboolean
tess_communicator_agree (const TessCommunicator *c, GError *local, gboolean *together, GError **error)
{
  g_autoptr (GError) mine = local;
  g_autofree double *failed = g_new0 (double, c->size);
  struct {
    gint32 code;
    char message[1020];
  } what = {0};
  guint first = 0;

  *together = FALSE;
  failed[c->rank] = mine != NULL;
  if (!c->sum_f64 (c, failed, c->size, error))
    return FALSE;
  while (first < c->size && failed[first] == 0)
    first++;
  *together = first == c->size || c->size == 1;
  if (first == c->size)
    return TRUE;
  if (c->size == 1) {
    g_propagate_error (error, g_steal_pointer (&mine));
    return FALSE;
  }
  if (first == c->rank) {
    what.code = mine->domain == TESS_ERROR ? mine->code : TESS_ERROR_IO;
    g_strlcpy (what.message, mine->message, sizeof what.message);
  }
  if (!c->broadcast (c, first, &what, sizeof what, error))
    return FALSE;
  *together = TRUE;
  if (first == 0)
    g_set_error_literal (error, TESS_ERROR, what.code, what.message);
  else
    g_set_error (error, TESS_ERROR, what.code, _ ("process %u of %u: %s"), first, c->size, what.message);
  return FALSE;
}

double *
tess_communicator_gather (const TessCommunicator *c, const double *numbers, gsize n, GError **error)
{
  g_autofree double *all = g_new0 (double, c->size *n);

  memcpy (all + c->rank * n, numbers, n * sizeof *all);
  return c->sum_f64 (c, all, c->size * n, error) ? g_steal_pointer (&all) : NULL;
}

GBytes *
tess_communicator_share (const TessCommunicator *c, GBytes *bytes, GError **error)
{
  guint64 n = bytes != NULL ? g_bytes_get_size (bytes) : 0;
  g_autofree guint8 *copy = NULL;

  if (!c->broadcast (c, 0, &n, sizeof n, error))
    return NULL;
  copy = g_try_malloc (n + 1);
  if (copy == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("no memory for what process 0 sends"));
    return NULL;
  }
  if (bytes != NULL && n > 0)
    memcpy (copy, g_bytes_get_data (bytes, NULL), n);
  if (!c->broadcast (c, 0, copy, n, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&copy), n);
}
