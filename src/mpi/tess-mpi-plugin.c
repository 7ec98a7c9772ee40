#include <mpi.h>

#include "tess-communicator.h"

/* The communicator over MPI. Failures come back as errors; a process that dies takes the others with it, which is what
 * mpirun does. */

#define PIECE ((gsize)1 << 28) /* MPI counts in int */
#define BUCKET_BYTES ((gsize)4 << 20)

/* Of the sums under way; the memory stays from step to step. */
static GArray *requests; /* MPI_Request */

static gboolean
check (int status, const char *what, GError **error)
{
  char text[MPI_MAX_ERROR_STRING] = "";
  int n;

  if (status == MPI_SUCCESS)
    return TRUE;
  MPI_Error_string (status, text, &n);
  g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("MPI: %s: %s"), what, text);
  return FALSE;
}

static gboolean
sum (void *values, gsize n, gsize size, MPI_Datatype type, GError **error)
{
  for (gsize at = 0; at < n; at += PIECE)
    if (!check (MPI_Allreduce (MPI_IN_PLACE, (guint8 *)values + at * size, (int)MIN (PIECE, n - at), type, MPI_SUM,
                               MPI_COMM_WORLD),
                "MPI_Allreduce", error))
      return FALSE;
  return TRUE;
}

static gboolean
sum_f32 (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  return sum (values, n, sizeof *values, MPI_FLOAT, error);
}

static gboolean
sum_f64 (const TessCommunicator *c, double *values, gsize n, GError **error)
{
  return sum (values, n, sizeof *values, MPI_DOUBLE, error);
}

static gboolean
begin_f32 (const TessCommunicator *c, float *values, gsize n, GError **error)
{
  for (gsize at = 0; at < n; at += PIECE) {
    MPI_Request request;

    if (!check (MPI_Iallreduce (MPI_IN_PLACE, values + at, (int)MIN (PIECE, n - at), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD,
                                &request),
                "MPI_Iallreduce", error))
      return FALSE;
    g_array_append_val (requests, request);
  }
  return TRUE;
}

/* MPI works on its requests only while one of its functions runs. */
static gboolean
advance (const TessCommunicator *c, GError **error)
{
  int done;

  return requests->len == 0 ||
         check (MPI_Testall ((int)requests->len, (MPI_Request *)(gpointer)requests->data, &done, MPI_STATUSES_IGNORE),
                "MPI_Testall", error);
}

static gboolean
finish (const TessCommunicator *c, GError **error)
{
  gboolean ok = check (MPI_Waitall ((int)requests->len, (MPI_Request *)(gpointer)requests->data, MPI_STATUSES_IGNORE),
                       "MPI_Waitall", error);

  g_array_set_size (requests, 0);
  return ok;
}

static gboolean
broadcast (const TessCommunicator *c, guint root, void *bytes, gsize n, GError **error)
{
  for (gsize at = 0; at < n; at += PIECE)
    if (!check (MPI_Bcast ((guint8 *)bytes + at, (int)MIN (PIECE, n - at), MPI_BYTE, (int)root, MPI_COMM_WORLD),
                "MPI_Bcast", error))
      return FALSE;
  return TRUE;
}

static gboolean
barrier (const TessCommunicator *c, GError **error)
{
  return check (MPI_Barrier (MPI_COMM_WORLD), "MPI_Barrier", error);
}

static void
end_all (const TessCommunicator *c, int status)
{
  MPI_Abort (MPI_COMM_WORLD, status);
}

static void
leave (const TessCommunicator *c)
{
  int done = 0;

  MPI_Finalized (&done);
  if (!done)
    MPI_Finalize ();
}

/* Who is on this machine. */
static gboolean
count_local (TessCommunicator *c, GError **error)
{
  MPI_Comm machine;
  int n = 1, rank = 0;

  if (!check (MPI_Comm_split_type (MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &machine),
              "MPI_Comm_split_type", error))
    return FALSE;
  MPI_Comm_size (machine, &n);
  MPI_Comm_rank (machine, &rank);
  MPI_Comm_free (&machine);
  c->n_local = (guint)n;
  c->local_rank = (guint)rank;
  return TRUE;
}

/* $TESSERA_BUCKET_BYTES of rank 0, for measuring. */
static gboolean
share_bucket_bytes (TessCommunicator *c, GError **error)
{
  const char *told = g_getenv ("TESSERA_BUCKET_BYTES");
  guint64 bytes = BUCKET_BYTES;

  if (told != NULL && !g_ascii_string_to_unsigned (told, 10, 1, G_MAXUINT32, &bytes, NULL))
    bytes = BUCKET_BYTES;
  if (!broadcast (c, 0, &bytes, sizeof bytes, error))
    return FALSE;
  c->bucket_bytes = (gsize)bytes;
  return TRUE;
}

__attribute__ ((visibility ("default"))) const TessCommunicator *tess_communicator_open_plugin (guint32 host_abi,
                                                                                                GError **error);

/* The main thread starts and ends it, the training thread uses it in between: one at a time. */
const TessCommunicator *
tess_communicator_open_plugin (guint32 host_abi, GError **error)
{
  static TessCommunicator c = {
      .abi = TESS_COMMUNICATOR_ABI,
      .sum_f32 = sum_f32,
      .sum_f64 = sum_f64,
      .begin_f32 = begin_f32,
      .advance = advance,
      .finish = finish,
      .broadcast = broadcast,
      .barrier = barrier,
      .end_all = end_all,
      .close = leave,
  };
  int level = MPI_THREAD_SINGLE, rank = 0, size = 1;

  if (host_abi != TESS_COMMUNICATOR_ABI)
    return NULL;
  if (c.size > 0)
    return &c;
  if (!check (MPI_Init_thread (NULL, NULL, MPI_THREAD_SERIALIZED, &level), "MPI_Init_thread", error))
    return NULL;
  if (level < MPI_THREAD_SERIALIZED) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("this MPI serves only the thread that started it; install an OpenMPI with threads"));
    MPI_Finalize ();
    return NULL;
  }
  MPI_Comm_set_errhandler (MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  MPI_Comm_rank (MPI_COMM_WORLD, &rank);
  MPI_Comm_size (MPI_COMM_WORLD, &size);
  if (!count_local (&c, error) || !share_bucket_bytes (&c, error))
    return NULL;
  requests = g_array_new (FALSE, FALSE, sizeof (MPI_Request));
  c.rank = (guint)rank;
  c.size = (guint)size;
  return &c;
}
