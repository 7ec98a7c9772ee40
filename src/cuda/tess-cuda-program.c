#include "tess-cuda-private.h"
#include "tess-cuda-kernels.h"

/* A place in an arena. */
typedef struct {
  TessArena arena;
  gsize offset; /* bytes */
} Place;

/* One leaky ReLU: all that a program is made of so far. */
typedef struct {
  Place x, y;
  gsize n; /* elements */
  float slope;
} Launch;

struct _TessProgram {
  TessDevice *device; /* outlives the program */
  gsize arena_bytes[TESS_N_ARENAS];
  char *arena[TESS_N_ARENAS]; /* device addresses, set by bind */
  gboolean bound;
  GArray *launches; /* Launch */
};

/* A float32 tensor inside its arena, aligned for loads of four. nn placed it, yet a kernel writes through these
 * numbers, so they are looked at once more. */
static gboolean
place_of (const TessGraph *graph, TessId id, Place *place, gsize *n, GError **error)
{
  const TessTensor *tensor = tess_graph_tensor (graph, id);

  if (tensor->dtype != TESS_DTYPE_F32) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("CUDA: %s works on float32 only here; use --precision f32 or --backend cpu"),
                 tess_op_name (TESS_OP_LEAKY_RELU));
    return FALSE;
  }
  gsize bytes = tensor->bytes, size = graph->arena_bytes[tensor->arena];
  if (tensor->offset > size || bytes > size - tensor->offset || tensor->offset % 16 != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: tensor %u lies outside its arena"), id);
    return FALSE;
  }
  *place = (Place){tensor->arena, tensor->offset};
  *n = bytes / sizeof (float);
  return TRUE;
}

static gboolean
add_leaky_relu (TessProgram *program, const TessGraph *graph, const TessOp *op, GError **error)
{
  Launch launch = {.slope = op->attr.norm.slope};
  gsize n_y;

  if (!place_of (graph, op->in[0], &launch.x, &launch.n, error) ||
      !place_of (graph, op->out[0], &launch.y, &n_y, error))
    return FALSE;
  if (launch.n != n_y) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: %s: input and output differ in size"),
                 tess_op_name (op->kind));
    return FALSE;
  }
  g_array_append_val (program->launches, launch);
  return TRUE;
}

/**
 * tess_cuda_prepare:
 * @device: may be %NULL, then the program can say what it needs but not run
 * @graph: placed (tess_graph_place())
 * @requirements: (out): bytes of the arenas; the workspace is 0
 *
 * Turns the graph into launches. One op kind runs so far, leaky ReLU in float32; any other is refused with
 * UNSUPPORTED and its name, before anything is taken. Nothing of @graph is kept.
 *
 * Returns: (transfer full): free with tess_cuda_program_free()
 */
TessProgram *
tess_cuda_prepare (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error)
{
  if (!graph->placed) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("CUDA: the graph's tensors have no places yet"));
    return NULL;
  }
  TessProgram *program = g_new0 (TessProgram, 1);
  program->device = device;
  program->launches = g_array_new (FALSE, FALSE, sizeof (Launch));
  for (guint i = 0; i < graph->ops->len; i++) {
    const TessOp *op = tess_graph_op (graph, i);
    gboolean ok = FALSE;

    if (op->kind == TESS_OP_LEAKY_RELU)
      ok = add_leaky_relu (program, graph, op, error);
    else
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                   _ ("CUDA: this backend does not compute \"%s\"; use --backend cpu"), tess_op_name (op->kind));
    if (!ok) {
      tess_cuda_program_free (program);
      return NULL;
    }
  }
  *requirements = (TessRequirements){.workspace = 0};
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    requirements->arena[a] = program->arena_bytes[a] = graph->arena_bytes[a];
  return program;
}

/**
 * tess_cuda_bind:
 * @arenas: at least as large as prepare asked for; they outlive the program
 */
gboolean
tess_cuda_bind (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error)
{
  for (guint a = 0; a < TESS_N_ARENAS; a++) {
    gsize have = arenas[a] ? arenas[a]->bytes : 0;

    if (have < program->arena_bytes[a]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                   _ ("CUDA: arena %u has %zu bytes and the program needs %zu"), a, have, program->arena_bytes[a]);
      return FALSE;
    }
    program->arena[a] = arenas[a] ? arenas[a]->data : NULL;
  }
  program->bound = TRUE;
  return TRUE;
}

/**
 * tess_cuda_run:
 * @args: not used by what runs so far
 *
 * Launches everything in order on the device's stream and waits for the end.
 */
gboolean
tess_cuda_run (TessProgram *program, const TessStepArgs *args, GError **error)
{
  TessDevice *device = program->device;

  g_return_val_if_fail (program->bound && device, FALSE);

  if (!tess_cuda_enter (device, error))
    return FALSE;
  for (guint i = 0; i < program->launches->len; i++) {
    const Launch *launch = &g_array_index (program->launches, Launch, i);
    const void *x = program->arena[launch->x.arena] + launch->x.offset;
    void *y = program->arena[launch->y.arena] + launch->y.offset;

    if (!tess_cuda_check (tess_cuda_leaky_relu_f32 (x, y, launch->n, launch->slope, device->stream),
                          tess_op_name (TESS_OP_LEAKY_RELU), error))
      return FALSE;
  }
  return tess_cuda_check (cudaStreamSynchronize (device->stream), _ ("running a program"), error);
}

void
tess_cuda_program_free (TessProgram *program)
{
  if (!program)
    return;
  g_array_unref (program->launches);
  g_free (program);
}
