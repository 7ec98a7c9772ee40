#pragma once

#include "tess-backend.h"
#include "tess-network.h"

G_BEGIN_DECLS

/* A network on a device: parameters, gradients and momentum once, any number of programs over them (training step,
 * validation, batch-1 snapshot, inference tile), activations shared because only one program runs at a time. */
typedef struct _TessSession TessSession;

/* One number a parameter: itself, the optimiser's momentum (Adam: first moment), Adam's second moment. */
typedef enum {
  TESS_STATE_PARAM,
  TESS_STATE_MOMENTUM,
  TESS_STATE_VARIANCE,
} TessState;

TessSession *tess_session_new  (const TessBackendIface *backend, guint device_index, guint n_threads,
                                const TessNetworkSpec *spec, GError **error);
void         tess_session_free (TessSession *session);
/* All programs are added first; bytes are then known, and taken by tess_session_bind (NO_MEMORY with both numbers
 * when limit_bytes > 0 would be passed). Returns the program's index, or -1. */
int          tess_session_add_program (TessSession *session, const TessProgramSpec *program, GError **error);
guint64      tess_session_bytes       (TessSession *session);
/* Ranks that train together, each with programs for its share of a batch; borrowed. All call it, before the memory is
 * bound; UNSUPPORTED where the backend cannot. */
gboolean     tess_session_set_communicator (TessSession *session, const TessCommunicator *communicator, GError **error);
gboolean     tess_session_bind        (TessSession *session, guint64 limit_bytes, GError **error);

const TessNetwork *tess_session_network (TessSession *session, int program);
/* For what is kept on the device beside programs; lent. */
const TessBackendIface *tess_session_backend (TessSession *session);
TessDevice *tess_session_device (TessSession *session);
TessBuffer *tess_session_tensor (TessSession *session, int program, TessId tensor, gsize *offset); /* once bound: where it stands */
gboolean tess_session_write (TessSession *session, int program, TessId tensor, const void *data, gsize n, GError **error); /* whole tensor */
gboolean tess_session_read  (TessSession *session, int program, TessId tensor, void *data, gsize n, GError **error);
gboolean tess_session_run   (TessSession *session, int program, TessStepArgs *args, GError **error); /* fills param_version */

/* Parameters and momentum by name, float32, PyTorch layout. */
gboolean tess_session_init_params (TessSession *session, guint64 seed, GError **error);
guint    tess_session_n_params    (TessSession *session);
const TessTensor *tess_session_param (TessSession *session, guint i);
gboolean tess_session_get_params (TessSession *session, TessState state, float *const *data, GError **error); /* one array a parameter */
gboolean tess_session_set_params (TessSession *session, TessState state, const float *const *data, GError **error);
gboolean tess_session_has_variance (TessSession *session); /* the optimiser keeps second moments, too (Adam) */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSession, tess_session_free)

G_END_DECLS
