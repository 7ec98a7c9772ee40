#include <mpi.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host-cuda.h"
#include "tess-nccl.h"

/* A library that looks like NCCL to the plugin and adds up with MPI, in host memory, when its turn comes on the stream
 * of the runtime that only looks like CUDA's. HOST_NCCL_FAILS=N: on rank HOST_NCCL_RANK its call number N, counted from
 * 1, fails; with "graph" that which asks how it goes, once a graph was captured. Where NCCL would wait for ever it
 * aborts (taken down before its graphs) or waits as well (for ranks that do not come). HOST_NCCL_LEAVES=BYTES: of the
 * card's memory, for all others. */

struct _TessNcclComm {
  MPI_Comm comm, end;
  const unsigned *n_graphs; /* NULL: nothing was added up yet */
};

typedef struct {
  void *values;
  int n;
  MPI_Datatype type;
  MPI_Comm comm;
} Sum;

static long n_calls;

/* What this rank is told to fail at, or NULL. */
static const char *
told (void)
{
  const char *rank = getenv ("HOST_NCCL_RANK"), *mine = getenv ("OMPI_COMM_WORLD_RANK");

  return rank != NULL && mine != NULL && strcmp (rank, mine) == 0 ? getenv ("HOST_NCCL_FAILS") : NULL;
}

static bool
fails (void)
{
  const char *at = told ();

  return at != NULL && ++n_calls == atol (at);
}

static TessNcclStatus
result (bool failed)
{
  return failed ? (TessNcclStatus)2 : TESS_NCCL_SUCCESS;
}

#define EXPORT __attribute__ ((visibility ("default")))

EXPORT TessNcclStatus ncclGetVersion (int *version);
EXPORT const char *ncclGetErrorString (TessNcclStatus status);
EXPORT TessNcclStatus ncclGetUniqueId (TessNcclId *id);
EXPORT TessNcclStatus ncclCommInitRank (TessNcclComm **comm, int n_ranks, TessNcclId id, int rank);
EXPORT TessNcclStatus ncclCommGetAsyncError (TessNcclComm *comm, TessNcclStatus *status);
EXPORT TessNcclStatus ncclCommDestroy (TessNcclComm *comm);
EXPORT TessNcclStatus ncclAllReduce (const void *from, void *to, size_t n, TessNcclType type, TessNcclOp op,
                                     TessNcclComm *comm, cudaStream_t stream);

TessNcclStatus
ncclGetVersion (int *version)
{
  *version = getenv ("HOST_NCCL_OLD") != NULL ? 20804 : 22304;
  return result (fails ());
}

const char *
ncclGetErrorString (TessNcclStatus status)
{
  return status == TESS_NCCL_SUCCESS ? "no error" : "as the test asked";
}

TessNcclStatus
ncclGetUniqueId (TessNcclId *id)
{
  snprintf (id->bytes, sizeof id->bytes, "the first rank's");
  return result (fails ());
}

/* Fails only after the others have come, as NCCL does when a rank that came has gone. */
TessNcclStatus
ncclCommInitRank (TessNcclComm **comm, int n_ranks, TessNcclId id, int rank)
{
  TessNcclComm *made = calloc (1, sizeof *made);
  int size = 0, mine = -1;

  MPI_Comm_dup (MPI_COMM_WORLD, &made->comm);
  MPI_Comm_dup (MPI_COMM_WORLD, &made->end);
  MPI_Comm_size (made->comm, &size);
  MPI_Comm_rank (made->comm, &mine);
  *comm = made;
  if (getenv ("HOST_NCCL_LEAVES") != NULL)
    setenv ("HOST_CUDA_MEMORY", getenv ("HOST_NCCL_LEAVES"), 1);
  if (size != n_ranks || mine != rank || strcmp (id.bytes, "the first rank's") != 0)
    return (TessNcclStatus)4;
  return result (fails ());
}

TessNcclStatus
ncclCommGetAsyncError (TessNcclComm *comm, TessNcclStatus *status)
{
  const char *at = told ();

  *status =
      result (fails () || (at != NULL && strcmp (at, "graph") == 0 && comm->n_graphs != NULL && *comm->n_graphs > 0));
  return result (fails ());
}

TessNcclStatus
ncclCommDestroy (TessNcclComm *comm)
{
  if (comm->n_graphs != NULL && *comm->n_graphs > 0) {
    fprintf (stderr, "NCCL was taken down before %u captured graphs\n", *comm->n_graphs);
    abort ();
  }
  MPI_Barrier (comm->end);
  MPI_Comm_free (&comm->end);
  MPI_Comm_free (&comm->comm);
  free (comm);
  return result (fails ());
}

static void
add_up (const void *data)
{
  const Sum *sum = data;

  MPI_Allreduce (MPI_IN_PLACE, sum->values, sum->n, sum->type, MPI_SUM, sum->comm);
}

TessNcclStatus
ncclAllReduce (const void *from, void *to, size_t n, TessNcclType type, TessNcclOp op, TessNcclComm *comm,
               cudaStream_t stream)
{
  HostStream *host = (HostStream *)(void *)stream;
  Sum sum = {to, (int)n, type == TESS_NCCL_F64 ? MPI_DOUBLE : MPI_FLOAT, comm->comm};

  if (from != to || op != TESS_NCCL_SUM || (type != TESS_NCCL_F32 && type != TESS_NCCL_F64))
    return (TessNcclStatus)4;
  comm->n_graphs = host->n_graphs;
  if (fails ())
    return result (true);
  return result (!host->queue (host, add_up, &sum, sizeof sum));
}
