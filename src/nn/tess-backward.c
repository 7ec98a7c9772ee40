#include "tess-remake.h"

/* Reverse walk over the forward ops. grad[t] is the sum so far of the gradients that reached tensor t.
 *
 * Order matters for memory: of a convolution the weights' gradient comes first, because it is the last reader of the
 * input x; then dx can take x's place. What is not kept of the forward pass is made again just before it is read. */
typedef struct {
  TessGraph *graph;
  TessId *grad;
  gboolean *wanted; /* depends on a parameter */
  TessRemake remake;
  GError **error;
} Backward;

static TessOp
new_op (TessOpKind kind, guint n_in, guint n_out)
{
  TessOp op = {.kind = kind, .n_in = n_in, .n_out = n_out};

  for (guint i = 0; i < G_N_ELEMENTS (op.in); i++)
    op.in[i] = TESS_NONE;
  for (guint i = 0; i < G_N_ELEMENTS (op.out); i++)
    op.out[i] = TESS_NONE;
  return op;
}

/* A fresh tensor for (a share of) the gradient of an activation: same shape, the graph's element type. */
static TessId
grad_like (Backward *b, TessId id)
{
  const TessTensor *t = tess_graph_tensor (b->graph, id);
  g_autofree char *name = g_strdup_printf ("%s.grad@%u", t->name, b->graph->ops->len);
  gint64 dim[TESS_MAX_DIMS];

  memcpy (dim, t->dim, sizeof dim);
  return tess_graph_add_tensor (b->graph, name, TESS_ROLE_ACT, b->graph->act_dtype, t->n_dims, dim);
}

/* One consumer's share has arrived; several are added pairwise into fresh tensors, because a share may serve as
 * another tensor's gradient too (both sides of an ADD receive the same one). */
static void
arrive (Backward *b, TessId id, TessId share)
{
  TessOp op;

  if (id == TESS_NONE || share == TESS_NONE)
    return;
  if (b->grad[id] == TESS_NONE) {
    b->grad[id] = share;
    return;
  }
  op = new_op (TESS_OP_ADD, 2, 1);
  op.in[0] = b->grad[id];
  op.in[1] = share;
  op.out[0] = grad_like (b, id);
  g_array_append_val (b->graph->ops, op);
  b->grad[id] = op.out[0];
}

/* The GRAD tensor of a parameter, to be written by exactly one op. */
static gboolean
param_grad (Backward *b, TessId id, TessId *grad)
{
  *grad = TESS_NONE;
  if (id == TESS_NONE)
    return TRUE;
  if (b->grad[id] != TESS_NONE) {
    g_set_error (b->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("parameter %s is used by two ops; shared weights cannot be trained"),
                 tess_graph_tensor (b->graph, id)->name);
    return FALSE;
  }
  *grad = b->grad[id] = tess_graph_tensor (b->graph, id)->grad;
  return TRUE;
}

static gboolean
back_conv (Backward *b, const TessOp *f, TessId dy)
{
  gboolean transposed = f->kind == TESS_OP_CONV_TRANSPOSE;
  TessOp weights = new_op (transposed ? TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS : TESS_OP_CONV_BWD_WEIGHTS, 2, 2);
  TessOp data = new_op (transposed ? TESS_OP_CONV_TRANSPOSE_BWD_DATA : TESS_OP_CONV_BWD_DATA, 2, 1);

  weights.in[0] = tess_remake_get (&b->remake, f->in[0]);
  weights.in[1] = dy;
  weights.attr.conv = f->attr.conv;
  if (!param_grad (b, f->in[1], &weights.out[0]) || !param_grad (b, f->in[2], &weights.out[1]))
    return FALSE;
  g_array_append_val (b->graph->ops, weights);

  if (!b->wanted[f->in[0]])
    return TRUE;
  data.in[0] = dy;
  data.in[1] = f->in[1];
  data.attr.conv = f->attr.conv;
  data.out[0] = grad_like (b, f->in[0]);
  g_array_append_val (b->graph->ops, data);
  arrive (b, f->in[0], data.out[0]);
  return TRUE;
}

static gboolean
back_norm_act (Backward *b, const TessOp *f, TessId dy)
{
  TessOp op = new_op (TESS_OP_NORM_ACT_BWD, 5, 3);

  op.in[0] = tess_remake_get (&b->remake, f->in[0]);
  op.in[1] = f->in[1];
  op.in[2] = f->in[2];
  op.in[3] = f->out[1];
  op.in[4] = dy;
  op.attr.norm = f->attr.norm;
  if (!param_grad (b, f->in[1], &op.out[1]) || !param_grad (b, f->in[2], &op.out[2]))
    return FALSE;
  if (b->wanted[f->in[0]])
    op.out[0] = grad_like (b, f->in[0]);
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
  return TRUE;
}

static void
back_leaky_relu (Backward *b, const TessOp *f, TessId dy)
{
  TessOp op = new_op (TESS_OP_LEAKY_RELU_BWD, 2, 1);

  if (!b->wanted[f->in[0]])
    return;
  op.in[0] = tess_remake_get (&b->remake, f->in[0]);
  op.in[1] = dy;
  op.out[0] = grad_like (b, f->in[0]);
  op.attr.norm = f->attr.norm;
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
}

/* Both sides receive the same share. */
static void
back_add_act (Backward *b, const TessOp *f, TessId dy)
{
  TessOp op = new_op (TESS_OP_LEAKY_RELU_BWD, 2, 1);

  if (!b->wanted[f->out[0]])
    return;
  op.in[0] = tess_remake_get (&b->remake, f->out[0]);
  op.in[1] = dy;
  op.out[0] = grad_like (b, f->out[0]);
  op.attr.norm = f->attr.norm;
  g_array_append_val (b->graph->ops, op);
  for (guint i = 0; i < 2; i++)
    if (b->wanted[f->in[i]])
      arrive (b, f->in[i], op.out[0]);
}

static void
back_avg_pool (Backward *b, const TessOp *f, TessId dy)
{
  TessOp op = new_op (TESS_OP_AVG_POOL_BWD, 1, 1);

  if (!b->wanted[f->in[0]])
    return;
  op.in[0] = dy;
  op.out[0] = grad_like (b, f->in[0]);
  op.attr.conv = f->attr.conv;
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
}

static void
back_concat (Backward *b, const TessOp *f, TessId dy)
{
  TessOp op = new_op (TESS_OP_CONCAT_BWD, 1, 2);

  op.in[0] = dy;
  for (guint i = 0; i < 2; i++)
    if (b->wanted[f->in[i]])
      op.out[i] = grad_like (b, f->in[i]);
  if (op.out[0] == TESS_NONE && op.out[1] == TESS_NONE)
    return;
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
  arrive (b, f->in[1], op.out[1]);
}

static void
back_loss (Backward *b, const TessOp *f)
{
  TessOp op = new_op (TESS_OP_LOSS_BWD, 3, 1);

  if (!b->wanted[f->in[0]])
    return;
  op.in[0] = tess_remake_get (&b->remake, f->in[0]);
  op.in[1] = f->in[1];
  op.in[2] = f->out[0];
  op.out[0] = grad_like (b, f->in[0]);
  op.attr.loss = f->attr.loss;
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
}

/* ACT, MUL, MAX_POOL: the backward op reads the inputs again. n_in: those in->in[] it copies before dy. */
static gboolean
back_inputs (Backward *b, const TessOp *f, TessOpKind kind, guint n_in, TessId dy)
{
  TessOp op = new_op (kind, n_in + 1, f->kind == TESS_OP_MAX_POOL ? 1 : 2);

  for (guint i = 0; i < n_in; i++)
    op.in[i] = tess_remake_get (&b->remake, f->in[i]);
  op.in[n_in] = dy;
  op.attr = f->attr;
  if (f->kind == TESS_OP_ACT && !param_grad (b, f->in[1], &op.out[1]))
    return FALSE;
  if (b->wanted[f->in[0]])
    op.out[0] = grad_like (b, f->in[0]);
  if (f->kind == TESS_OP_MUL && b->wanted[f->in[1]])
    op.out[1] = grad_like (b, f->in[1]);
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
  if (f->kind == TESS_OP_MUL)
    arrive (b, f->in[1], op.out[1]);
  return TRUE;
}

/* GLOBAL_POOL, RESIZE, WINDOW, DROPOUT: linear ops of one input. */
static void
back_linear (Backward *b, const TessOp *f, TessOpKind kind, TessId dy)
{
  TessOp op = new_op (kind, 1, 1);

  if (!b->wanted[f->in[0]])
    return;
  op.in[0] = dy;
  op.out[0] = grad_like (b, f->in[0]);
  op.attr = f->attr;
  for (guint a = 0; kind == TESS_OP_WINDOW && a < 3; a++)
    op.attr.window.start[a] = -f->attr.window.start[a];
  g_array_append_val (b->graph->ops, op);
  arrive (b, f->in[0], op.out[0]);
}

static gboolean
back_op (Backward *b, const TessOp *f)
{
  TessId dy = b->grad[f->out[0]];

  if (f->kind == TESS_OP_LOSS) {
    back_loss (b, f);
    return TRUE;
  }
  if (dy == TESS_NONE) /* no loss depends on it */
    return TRUE;
  switch (f->kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
    return back_conv (b, f, dy);
  case TESS_OP_NORM_ACT:
    return back_norm_act (b, f, dy);
  case TESS_OP_LEAKY_RELU:
    back_leaky_relu (b, f, dy);
    return TRUE;
  case TESS_OP_ADD:
    for (guint i = 0; i < 2; i++)
      if (b->wanted[f->in[i]])
        arrive (b, f->in[i], dy);
    return TRUE;
  case TESS_OP_CONCAT:
    back_concat (b, f, dy);
    return TRUE;
  case TESS_OP_ADD_ACT:
    back_add_act (b, f, dy);
    return TRUE;
  case TESS_OP_AVG_POOL:
    back_avg_pool (b, f, dy);
    return TRUE;
  case TESS_OP_ACT:
    return back_inputs (b, f, TESS_OP_ACT_BWD, 2, dy);
  case TESS_OP_MUL:
    return back_inputs (b, f, TESS_OP_MUL_BWD, 2, dy);
  case TESS_OP_MAX_POOL:
    return back_inputs (b, f, TESS_OP_MAX_POOL_BWD, 1, dy);
  case TESS_OP_GLOBAL_POOL:
    back_linear (b, f, TESS_OP_GLOBAL_POOL_BWD, dy);
    return TRUE;
  case TESS_OP_RESIZE:
    back_linear (b, f, TESS_OP_RESIZE_BWD, dy);
    return TRUE;
  case TESS_OP_WINDOW:
  case TESS_OP_DROPOUT:
    back_linear (b, f, f->kind, dy);
    return TRUE;
  case TESS_OP_NOISE:
    if (b->wanted[f->in[0]])
      arrive (b, f->in[0], dy);
    return TRUE;
  default:
    g_set_error (b->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("op %s has no gradient"), tess_op_name (f->kind));
    return FALSE;
  }
}

/* A tensor wants a gradient when a parameter can change it. */
static gboolean *
find_wanted (const TessGraph *graph)
{
  gboolean *wanted = g_new0 (gboolean, graph->tensors->len + 1);

  for (TessId id = 0; id < graph->tensors->len; id++)
    wanted[id] = tess_graph_tensor (graph, id)->role == TESS_ROLE_PARAM;
  for (guint i = 0; i < graph->n_forward; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    for (guint k = 0; k < op->n_in; k++)
      if (op->in[k] != TESS_NONE && wanted[op->in[k]])
        wanted[op->out[0]] = TRUE;
  }
  return wanted;
}

/* A GRAD or MOMENTUM tensor for every parameter, in the same order, so that the arenas have the same offsets. */
static void
mirror_params (TessGraph *graph, TessRole role, const char *suffix)
{
  guint n = graph->tensors->len;

  for (TessId id = 0; id < n; id++) {
    TessTensor t = *tess_graph_tensor (graph, id);
    g_autofree char *name = NULL;
    TessId mirror;

    if (t.role != TESS_ROLE_PARAM)
      continue;
    name = g_strconcat (t.name, suffix, NULL);
    mirror = tess_graph_add_tensor (graph, name, role, TESS_DTYPE_F32, t.n_dims, t.dim);
    if (role == TESS_ROLE_GRAD)
      tess_graph_tensor (graph, id)->grad = mirror;
  }
}

/* Whether op i is the first of a stage. */
static gboolean
begins_stage (const TessGraph *graph, guint i)
{
  for (guint s = 0; s < graph->stages->len; s++)
    if (g_array_index (graph->stages, guint, s) == i)
      return TRUE;
  return FALSE;
}

static gboolean
walk_back (Backward *b, guint n_tensors)
{
  TessGraph *graph = b->graph;

  for (guint i = graph->n_forward; i-- > 0;) {
    TessOp f = *tess_graph_op (graph, i); /* the array may move while ops are appended */

    if (!back_op (b, &f))
      return FALSE;
    if (begins_stage (graph, i))
      tess_remake_forget (&b->remake);
  }
  for (TessId id = 0; id < n_tensors; id++)
    if (tess_graph_tensor (graph, id)->role != TESS_ROLE_PARAM)
      tess_graph_tensor (graph, id)->grad = b->grad[id];
  return TRUE;
}

static gboolean
append_backward (TessGraph *graph, int n_stages, GError **error)
{
  Backward b = {.graph = graph, .error = error};
  g_autofree TessId *grad = NULL;
  g_autofree gboolean *wanted = NULL;
  guint n_tensors;
  gboolean ok;

  g_return_val_if_fail (!graph->placed && graph->ops->len == graph->n_forward, FALSE);

  mirror_params (graph, TESS_ROLE_GRAD, ".grad");
  n_tensors = graph->tensors->len;
  b.wanted = wanted = find_wanted (graph);
  b.grad = grad = g_new (TessId, n_tensors + 1);
  for (TessId id = 0; id < n_tensors; id++)
    grad[id] = TESS_NONE;
  tess_remake_init (&b.remake, graph, n_stages);
  ok = walk_back (&b, n_tensors);
  tess_remake_clear (&b.remake);
  return ok;
}

/**
 * tess_graph_append_backward:
 *
 * Appends the ops that compute the gradient of sum over heads of head_weight[head] loss[head] for every parameter, in
 * reverse order of the forward ops. Inputs get no gradient. Afterwards tensor.grad names the gradient of every
 * parameter, and of every activation a loss depends on. Every result of the forward pass is kept until it is read.
 *
 * Returns: FALSE with UNSUPPORTED when a parameter is used twice or an op has no gradient.
 */
gboolean
tess_graph_append_backward (TessGraph *graph, GError **error)
{
  return append_backward (graph, -1, error);
}

/**
 * tess_graph_append_backward_sparing:
 * @n_stages: of the forward pass made again, those that spare most first; 0: what costs next to nothing alone
 *
 * As tess_graph_append_backward(), with the same numbers to the last bit in less memory: results of norms and
 * activations and concatenations are not kept but made again, and so is all of @n_stages stages but what other stages
 * read of them. More than tess_graph_n_stages() is as much.
 */
gboolean
tess_graph_append_backward_sparing (TessGraph *graph, guint n_stages, GError **error)
{
  return append_backward (graph, (int)MIN (n_stages, G_MAXINT32), error);
}

/**
 * tess_graph_append_optimiser:
 *
 * Appends GRAD_NORM and SGD or ADAM over the whole arenas, after tess_graph_append_backward(). Both work on
 * c g with c = min (1, clip_norm / (norm + 1e-6)), or 1 when clip_norm <= 0 (torch.nn.utils.clip_grad_norm_).
 * SGD is torch.optim.SGD with Nesterov momentum and weight decay on every parameter:
 * g = c g + weight_decay p; v = momentum v + g; p = p - rate (g + momentum v).
 * ADAM is torch.optim.Adam (Kingma and Ba 2015): g = c g + weight_decay p; m = beta1 m + (1 - beta1) g;
 * v = beta2 v + (1 - beta2) g^2; p = p - rate / (1 - beta1^step) m / (sqrt (v / (1 - beta2^step)) + epsilon).
 * AdamW (Loshchilov and Hutter 2019): p = p - rate weight_decay p instead of the decay in g.
 *
 * Returns: FALSE with UNSUPPORTED when the graph has no backward pass.
 */
gboolean
tess_graph_append_optimiser (TessGraph *graph, TessOptimiser optimiser, GError **error)
{
  gboolean adam = optimiser != TESS_OPTIMISER_SGD;
  TessOp norm = new_op (TESS_OP_GRAD_NORM, 0, 1), step = new_op (adam ? TESS_OP_ADAM : TESS_OP_SGD, 1, 0);
  const gint64 one = 1;

  g_return_val_if_fail (!graph->placed, FALSE);

  if (graph->ops->len == graph->n_forward) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("the graph has no gradients to optimise with"));
    return FALSE;
  }
  mirror_params (graph, TESS_ROLE_MOMENTUM, ".momentum");
  if (adam) {
    mirror_params (graph, TESS_ROLE_MOMENTUM, ".variance");
    step.attr.optimiser.decoupled = optimiser == TESS_OPTIMISER_ADAMW;
  }
  norm.out[0] = step.in[0] = tess_graph_add_tensor (graph, "grad-norm", TESS_ROLE_ACT, TESS_DTYPE_F64, 1, &one);
  g_array_append_val (graph->ops, norm);
  g_array_append_val (graph->ops, step);
  return TRUE;
}

/* FALSE: BAD_SHAPE. */
gboolean
tess_graph_find_loss (const TessGraph *graph, const TessOp *backward, guint *index, GError **error)
{
  for (guint i = 0; i < graph->ops->len && tess_graph_op (graph, i) != backward; i++) {
    const TessOp *op = tess_graph_op (graph, i);

    if (op->kind == TESS_OP_LOSS && op->out[0] == backward->in[2]) {
      *index = i;
      return TRUE;
    }
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("op %s: its forward op does not come before it"),
               tess_op_name (backward->kind));
  return FALSE;
}
