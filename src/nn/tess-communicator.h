#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Processes that train one network together, each with its share of every batch. All ranks make the same calls in the
 * same order; one thread of each at a time. The numbers a sum leaves are the same bits on every rank. */
#define TESS_COMMUNICATOR_ABI 2u

typedef struct _TessCommunicator TessCommunicator;

struct _TessCommunicator {
  guint32 abi;           /* TESS_COMMUNICATOR_ABI */
  guint   rank, size;
  guint   n_local;       /* ranks on this machine */
  guint   local_rank;    /* which of them this is */
  gsize   bucket_bytes;  /* of gradients that are summed at a time, the same on every rank */
  /* In place; IO when another rank cannot be reached. */
  gboolean (*sum_f32)   (const TessCommunicator *c, float *values, gsize n, GError **error);
  gboolean (*sum_f64)   (const TessCommunicator *c, double *values, gsize n, GError **error);
  /* A sum that goes on while this rank computes; its values are left alone until `finish`. `advance`, called now and
   * then, lets the sums that were begun go on; `finish` returns when all of them are done. */
  gboolean (*begin_f32) (const TessCommunicator *c, float *values, gsize n, GError **error);
  gboolean (*advance)   (const TessCommunicator *c, GError **error);
  gboolean (*finish)    (const TessCommunicator *c, GError **error);
  gboolean (*broadcast) (const TessCommunicator *c, guint root, void *bytes, gsize n, GError **error);
  gboolean (*barrier)   (const TessCommunicator *c, GError **error);
  void     (*end_all)   (const TessCommunicator *c, int status); /* ends every rank at once; does not return */
  void     (*close)     (const TessCommunicator *c);             /* waits for the others */
};

/* A plugin exports this; starts the communication, once. NULL with an error; with none: for an ABI it does not speak. */
typedef const TessCommunicator *(*TessCommunicatorOpen) (guint32 host_abi, GError **error);
#define TESS_COMMUNICATOR_OPEN_SYMBOL "tess_communicator_open_plugin"

const TessCommunicator *tess_communicator_alone (void); /* one rank; does nothing */
/* Of this process: under mpirun with more than one process that of the mpi plugin, else tess_communicator_alone(). */
const TessCommunicator *tess_communicator_open  (GError **error);
/* A point where all ranks go on, or none does. local: this rank's failure (taken), or NULL. FALSE on every rank with the
 * failure of the first rank that has one, and together TRUE; or together FALSE when the ranks cannot even ask. */
gboolean tess_communicator_agree         (const TessCommunicator *c, GError *local, gboolean *together, GError **error);
/* n numbers of every rank on every rank, in the order of the ranks; numbers: this rank's. */
double  *tess_communicator_gather        (const TessCommunicator *c, const double *numbers, gsize n, GError **error);
/* Rank 0's bytes on every rank, as a new GBytes; bytes: rank 0's, else NULL. */
GBytes  *tess_communicator_share         (const TessCommunicator *c, GBytes *bytes, GError **error);

static inline gboolean
tess_communicator_is_first (const TessCommunicator *c)
{
  return c == NULL || c->rank == 0;
}
static inline guint
tess_communicator_size (const TessCommunicator *c)
{
  return c == NULL ? 1 : c->size;
}

G_END_DECLS
