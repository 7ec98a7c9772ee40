#include "tess-cpu-private.h"

/* Steps of the ops of networks beside nnU-Net's: which tensor is which. */

/* The tensors on the x and on the y side, and whether the op goes backward. */
static gboolean
sides (const TessOp *op, TessId *x, TessId *y)
{
  switch (op->kind) {
  case TESS_OP_ACT_BWD:
  case TESS_OP_MUL_BWD:
    *x = op->in[0];
    *y = op->in[2];
    return TRUE;
  case TESS_OP_MAX_POOL_BWD:
    *x = op->in[0];
    *y = op->in[1];
    return TRUE;
  case TESS_OP_GLOBAL_POOL_BWD:
  case TESS_OP_RESIZE_BWD:
    *x = op->out[0];
    *y = op->in[0];
    return TRUE;
  default:
    *x = op->in[0];
    *y = op->out[0];
    return FALSE;
  }
}

gboolean
tess_cpu_extra_prepare (TessProgram *p, TessCpuStep *step)
{
  const TessTensor *a, *b;
  TessId x, y;
  gint64 n_x, n_y;

  if ((step->op->kind < TESS_OP_ACT || step->op->kind > TESS_OP_WINDOW) && step->op->kind != TESS_OP_DROPOUT &&
      step->op->kind != TESS_OP_NOISE)
    return FALSE;
  sides (step->op, &x, &y);
  a = tess_graph_tensor (p->graph, x);
  b = tess_graph_tensor (p->graph, y);
  n_x = a->dim[1] * a->dim[2] * a->dim[3];
  n_y = b->dim[1] * b->dim[2] * b->dim[3];
  step->n = (gsize)a->dim[0];
  step->voxels = (gsize)MAX (n_x, n_y);
  step->channels = (gsize)a->dim[4];
  step->bf16 = a->dtype == TESS_DTYPE_BF16;
  step->scratch_bytes = tess_cpu_extra_scratch (step->n, step->voxels, step->channels);
  return TRUE;
}

void
tess_cpu_extra_run (TessProgram *p, const TessCpuStep *step, const TessStepArgs *args)
{
  const TessOp *op = step->op;
  TessCpuExtra a = {
      .n_threads = p->device->n_threads,
      .kind = op->kind,
      .bf16 = step->bf16,
      .n = step->n,
      .voxels = step->voxels,
      .channels = step->channels,
      .kernel = op->attr.conv.kernel,
      .x = step->in[0],
      .scratch = step->scratch,
  };
  TessId x, y;
  gboolean backward = sides (op, &x, &y);

  memcpy (a.from, tess_graph_tensor (p->graph, x)->dim + 1, sizeof a.from);
  memcpy (a.to, tess_graph_tensor (p->graph, y)->dim + 1, sizeof a.to);
  a.element = tess_dtype_size (tess_graph_tensor (p->graph, x)->dtype);
  if (op->kind == TESS_OP_ACT || op->kind == TESS_OP_ACT_BWD)
    a.act = op->attr.act.kind;
  else if (op->kind == TESS_OP_RESIZE || op->kind == TESS_OP_RESIZE_BWD)
    a.linear = op->attr.resize.linear;
  else if (op->kind == TESS_OP_WINDOW)
    memcpy (a.start, op->attr.window.start, sizeof a.start);
  if (op->kind == TESS_OP_DROPOUT || op->kind == TESS_OP_NOISE) {
    a.amount = op->attr.chance.amount;
    a.stream = op->attr.chance.stream;
    a.seed = args->seed;
    a.turn = args->step;
    a.first = args->communicator != NULL ? (gint64)args->communicator->rank * (gint64)step->n : 0;
  }
  if (op->kind == TESS_OP_MUL || op->kind == TESS_OP_MUL_BWD) {
    const TessTensor *b = tess_graph_tensor (p->graph, op->in[1]);

    a.b_voxels = (gsize)(b->dim[1] * b->dim[2] * b->dim[3]);
    a.b_channels = (gsize)b->dim[4];
  }
  a.b = step->in[1];
  if (backward) {
    a.dy = step->in[op->n_in - 1];
    a.dx = step->out[0];
    a.db = step->out[1];
  } else {
    a.y = step->out[0];
  }
  p->device->kernels->extra (&a);
}
