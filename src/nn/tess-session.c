#include "tess-session.h"

#include "tess-format.h"

typedef struct {
  TessNetwork *network;
  TessProgramKind kind;
  TessProgram *program;
  TessRequirements needs;
  TessBuffer *io;
} Program;

struct _TessSession {
  const TessBackendIface *backend;
  TessDevice *device;
  TessNetworkSpec spec;
  GPtrArray *programs; /* Program */
  TessGraph *params;   /* of the smallest possible program: names, shapes and offsets of the parameters */
  GArray *param_ids;
  TessBuffer *shared[TESS_N_ARENAS]; /* PARAM, GRAD, MOMENTUM, ACT */
  guint64 param_version;
  const TessCommunicator *communicator; /* NULL: alone */
  gboolean bound;
};

static void
free_program (const TessBackendIface *backend, Program *p)
{
  if (p->program != NULL)
    backend->program_free (p->program);
  if (p->io != NULL)
    backend->buffer_free (p->io);
  tess_network_free (p->network);
  g_free (p);
}

void
tess_session_free (TessSession *session)
{
  if (session == NULL)
    return;
  /* Programs first: they may still point into the buffers, and all of them belong to the device. */
  for (guint i = 0; session->programs != NULL && i < session->programs->len; i++)
    free_program (session->backend, g_ptr_array_index (session->programs, i));
  g_clear_pointer (&session->programs, g_ptr_array_unref);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    if (session->shared[a] != NULL)
      session->backend->buffer_free (session->shared[a]);
  if (session->device != NULL)
    session->backend->close (session->device);
  tess_graph_unref (session->params);
  g_clear_pointer (&session->param_ids, g_array_unref);
  g_free (session);
}

/* An inference graph of the smallest patch, for its parameters only. */
static gboolean
list_params (TessSession *session, GError **error)
{
  TessProgramSpec smallest = {.kind = TESS_PROGRAM_INFER, .batch = 1, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (TessNetwork) network = NULL;

  tess_network_smallest (&session->spec, smallest.dhw);
  network = tess_network_build (&session->spec, &smallest, error);
  if (network == NULL)
    return FALSE;
  session->params = tess_graph_ref (network->graph);
  session->param_ids = g_array_new (FALSE, FALSE, sizeof (TessId));
  for (TessId id = 0; id < session->params->tensors->len; id++)
    if (tess_graph_tensor (session->params, id)->role == TESS_ROLE_PARAM)
      g_array_append_val (session->param_ids, id);
  return TRUE;
}

/**
 * tess_session_new:
 * @n_threads: of a CPU; 0 = all cores
 *
 * Opens the device. The session belongs to one thread at a time.
 *
 * Returns: (transfer full): NULL with BAD_SHAPE (a network that cannot be) or the backend's reason.
 */
TessSession *
tess_session_new (const TessBackendIface *backend, guint device_index, guint n_threads, const TessNetworkSpec *spec,
                  GError **error)
{
  g_autoptr (TessSession) session = g_new0 (TessSession, 1);

  session->backend = backend;
  session->spec = *spec;
  session->programs = g_ptr_array_new ();
  session->param_version = 1;
  if (!list_params (session, error))
    return NULL;
  session->device = backend->open (device_index, n_threads, error);
  if (session->device == NULL)
    return NULL;
  return g_steal_pointer (&session);
}

/**
 * tess_session_add_program:
 *
 * Builds and prepares a program; nothing is allocated for its arenas. Not after tess_session_bind().
 *
 * Returns: its index from 0, or -1 with the reason.
 */
int
tess_session_add_program (TessSession *session, const TessProgramSpec *program, GError **error)
{
  Program *p;

  g_return_val_if_fail (!session->bound, -1);

  p = g_new0 (Program, 1);
  p->kind = program->kind;
  p->network = tess_network_build (&session->spec, program, error);
  if (p->network != NULL)
    p->program = session->backend->prepare (session->device, p->network->graph, &p->needs, error);
  if (p->program == NULL) {
    free_program (session->backend, p);
    return -1;
  }
  g_ptr_array_add (session->programs, p);
  return (int)session->programs->len - 1;
}

/* The largest any program asks of an arena they share. */
static gsize
shared_bytes (TessSession *session, guint arena)
{
  gsize bytes = 0;

  for (guint i = 0; i < session->programs->len; i++)
    bytes = MAX (bytes, ((Program *)g_ptr_array_index (session->programs, i))->needs.arena[arena]);
  return bytes;
}

/**
 * tess_session_bytes:
 *
 * Returns: what tess_session_bind() will take: shared arenas once, inputs, outputs and workspace of every program.
 */
guint64
tess_session_bytes (TessSession *session)
{
  guint64 bytes = 0;

  for (guint a = 0; a < TESS_N_ARENAS; a++)
    if (a != TESS_ARENA_IO)
      bytes += shared_bytes (session, a);
  for (guint i = 0; i < session->programs->len; i++) {
    const Program *p = g_ptr_array_index (session->programs, i);

    bytes += p->needs.arena[TESS_ARENA_IO] + p->needs.workspace;
  }
  return bytes;
}

static gboolean
take (TessSession *session, gsize bytes, TessBuffer **buffer, GError **error)
{
  if (bytes == 0 || *buffer != NULL)
    return TRUE;
  *buffer = session->backend->buffer_new (session->device, bytes, error);
  return *buffer != NULL;
}

gboolean
tess_session_set_communicator (TessSession *session, const TessCommunicator *communicator, GError **error)
{
  gboolean alone = tess_communicator_size (communicator) == 1;

  if (!alone && (session->backend->flags & TESS_BACKEND_REDUCES) == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("the %s backend cannot train over several processes; use --backend cpu, or start one process"),
                 session->backend->id);
    return FALSE;
  }
  session->communicator = alone ? NULL : communicator;
  return alone || session->backend->join == NULL || session->backend->join (session->device, communicator, error);
}

/**
 * tess_session_bind:
 * @limit_bytes: refuse to take more; 0 = no limit
 *
 * Takes the memory and binds every program to it. Parameters, gradients and momentum are zero afterwards.
 *
 * Returns: FALSE with NO_MEMORY carrying what is needed and what is allowed, or the backend's reason.
 */
gboolean
tess_session_bind (TessSession *session, guint64 limit_bytes, GError **error)
{
  guint64 needed = tess_session_bytes (session);

  g_return_val_if_fail (!session->bound, FALSE);

  if (limit_bytes > 0 && needed > limit_bytes) {
    g_autofree char *want = tess_format_bytes (needed), *have = tess_format_bytes (limit_bytes);

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("the network needs %s, %s are allowed; choose a smaller patch or batch"), want, have);
    return FALSE;
  }
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    if (a != TESS_ARENA_IO && !take (session, shared_bytes (session, a), &session->shared[a], error))
      return FALSE;
  for (guint i = 0; i < session->programs->len; i++) {
    Program *p = g_ptr_array_index (session->programs, i);
    TessBuffer *arenas[TESS_N_ARENAS];

    if (!take (session, p->needs.arena[TESS_ARENA_IO], &p->io, error))
      return FALSE;
    for (guint a = 0; a < TESS_N_ARENAS; a++)
      arenas[a] = p->needs.arena[a] > 0 ? (a == TESS_ARENA_IO ? p->io : session->shared[a]) : NULL;
    if (!session->backend->bind (p->program, arenas, error))
      return FALSE;
  }
  session->bound = TRUE;
  return TRUE;
}

static Program *
get_program (TessSession *session, int program)
{
  g_return_val_if_fail (program >= 0 && (guint)program < session->programs->len, NULL);

  return g_ptr_array_index (session->programs, (guint)program);
}

/* Named ends and shapes of a program; lives as long as the session. */
const TessNetwork *
tess_session_network (TessSession *session, int program)
{
  Program *p = get_program (session, program);

  return p != NULL ? p->network : NULL;
}

const TessBackendIface *
tess_session_backend (TessSession *session)
{
  return session->backend;
}

TessDevice *
tess_session_device (TessSession *session)
{
  return session->device;
}

/* The buffer a tensor of a program's graph stands in, and where in it, in bytes. */
TessBuffer *
tess_session_tensor (TessSession *session, int program, TessId tensor, gsize *offset)
{
  Program *p = get_program (session, program);
  const TessTensor *t;

  g_return_val_if_fail (p != NULL && tensor < p->network->graph->tensors->len && session->bound, NULL);

  t = tess_graph_tensor (p->network->graph, tensor);
  *offset = t->offset;
  return t->arena == TESS_ARENA_IO ? p->io : session->shared[t->arena];
}

/* ... checked to be whole. */
static TessBuffer *
locate (TessSession *session, int program, TessId id, gsize n, gsize *offset, GError **error)
{
  TessBuffer *buffer = tess_session_tensor (session, program, id, offset);
  const TessTensor *t;

  g_return_val_if_fail (buffer != NULL, NULL);

  t = tess_graph_tensor (get_program (session, program)->network->graph, id);
  if (n == t->bytes)
    return buffer;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("%s holds %zu bytes, not %zu"), t->name, t->bytes, n);
  return NULL;
}

/**
 * tess_session_write:
 * @tensor: of the program's graph: its image or labels
 * @n: the tensor's bytes
 */
gboolean
tess_session_write (TessSession *session, int program, TessId tensor, const void *data, gsize n, GError **error)
{
  gsize offset;
  TessBuffer *buffer = locate (session, program, tensor, n, &offset, error);

  return buffer != NULL && session->backend->upload (buffer, offset, data, n, error);
}

/**
 * tess_session_read:
 * @tensor: of the program's graph: logits, metrics, gradient norm, or a gradient of a parameter
 * @n: the tensor's bytes
 */
gboolean
tess_session_read (TessSession *session, int program, TessId tensor, void *data, gsize n, GError **error)
{
  gsize offset;
  TessBuffer *buffer = locate (session, program, tensor, n, &offset, error);

  return buffer != NULL && session->backend->download (buffer, offset, data, n, error);
}

/**
 * tess_session_run:
 * @args: param_version and communicator are filled in
 *
 * Runs a program to its end. A training program changes the parameters, and all programs see it.
 */
gboolean
tess_session_run (TessSession *session, int program, TessStepArgs *args, GError **error)
{
  Program *p = get_program (session, program);

  g_return_val_if_fail (p != NULL && session->bound, FALSE);

  args->param_version = session->param_version;
  args->communicator = session->communicator;
  /* Also after a failure half way: some parameters may have changed. */
  if (p->kind == TESS_PROGRAM_TRAIN)
    session->param_version++;
  return session->backend->run (p->program, args, error);
}

/* Parameters of the network, in the order of the state dict; available from the start. */
guint
tess_session_n_params (TessSession *session)
{
  return session->param_ids->len;
}

const TessTensor *
tess_session_param (TessSession *session, guint i)
{
  g_return_val_if_fail (i < session->param_ids->len, NULL);

  return tess_graph_tensor (session->params, g_array_index (session->param_ids, TessId, i));
}

/**
 * tess_session_init_params:
 *
 * Kaiming normal weights, scales 1, all else 0, from @seed alone; the momentum becomes zero.
 */
gboolean
tess_session_init_params (TessSession *session, guint64 seed, GError **error)
{
  gsize n = session->params->arena_bytes[TESS_ARENA_PARAM];
  g_autofree guint8 *host = g_try_malloc0 (n);
  TessBuffer *momentum = session->shared[TESS_ARENA_MOMENTUM];

  g_return_val_if_fail (session->bound, FALSE);

  if (host == NULL) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("no memory for the network's parameters"));
    return FALSE;
  }
  for (gsize at = 0; momentum != NULL && at < shared_bytes (session, TESS_ARENA_MOMENTUM); at += n)
    if (!session->backend->upload (momentum, at, host, n, error))
      return FALSE;
  tess_graph_init_params (session->params, seed, session->spec.leaky_slope, host);
  session->param_version++;
  return session->backend->upload (session->shared[TESS_ARENA_PARAM], 0, host, n, error);
}

gboolean
tess_session_has_variance (TessSession *session)
{
  return shared_bytes (session, TESS_ARENA_MOMENTUM) > session->params->arena_bytes[TESS_ARENA_PARAM];
}

/* The buffer that holds a state and where in it the first parameter's stands. */
static TessBuffer *
state_buffer (TessSession *session, TessState state, gsize *offset, GError **error)
{
  TessBuffer *buffer = session->shared[state == TESS_STATE_PARAM ? TESS_ARENA_PARAM : TESS_ARENA_MOMENTUM];

  g_return_val_if_fail (session->bound, NULL);

  *offset = state == TESS_STATE_VARIANCE ? session->params->arena_bytes[TESS_ARENA_PARAM] : 0;
  if (state == TESS_STATE_VARIANCE && !tess_session_has_variance (session))
    buffer = NULL;
  if (buffer == NULL)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("without a training program there is no momentum"));
  return buffer;
}

/**
 * tess_session_get_params:
 * @state: the parameters, or the optimiser's numbers for them
 * @data: one array for each parameter, in order, of tess_tensor_n_elements() floats in PyTorch's layout
 */
gboolean
tess_session_get_params (TessSession *session, TessState state, float *const *data, GError **error)
{
  gsize offset;
  TessBuffer *buffer = state_buffer (session, state, &offset, error);

  for (guint i = 0; buffer != NULL && i < session->param_ids->len; i++) {
    const TessTensor *t = tess_session_param (session, i);

    if (!session->backend->download (buffer, offset + t->offset, data[i], t->bytes, error))
      return FALSE;
  }
  return buffer != NULL;
}

/* The inverse of tess_session_get_params(). */
gboolean
tess_session_set_params (TessSession *session, TessState state, const float *const *data, GError **error)
{
  gsize offset;
  TessBuffer *buffer = state_buffer (session, state, &offset, error);

  session->param_version++;
  for (guint i = 0; buffer != NULL && i < session->param_ids->len; i++) {
    const TessTensor *t = tess_session_param (session, i);

    if (!session->backend->upload (buffer, offset + t->offset, data[i], t->bytes, error))
      return FALSE;
  }
  return buffer != NULL;
}
