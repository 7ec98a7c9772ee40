#include "tess-graph-private.h"

#include <inttypes.h>

/* Builders of the ops that networks beside nnU-Net's need. Every one takes activations {N, D, H, W, C}. */

static gboolean
check_input (TessGraph *graph, TessOpKind kind, TessId x, GError **error)
{
  const TessTensor *t = tess_graph_tensor (graph, x);

  if (t->n_dims == 5 && t->dtype == graph->act_dtype && t->role != TESS_ROLE_PARAM)
    return TRUE;
  tess_graph_misfit (graph, kind, _ ("the input must have five axes and the graph's element type"), error);
  return FALSE;
}

/* An op of one input whose result has this shape. */
static TessId
append_one (TessGraph *graph, TessOp *op, TessId x, const gint64 dim[5], GError **error)
{
  op->in[0] = x;
  return tess_graph_append_op (graph, op, tess_graph_tensor (graph, x)->dtype, 5, dim, error);
}

/**
 * tess_graph_act:
 * @slope: of TESS_ACT_LEAKY_RELU; the rest ignore it
 * @alpha: of TESS_ACT_PRELU: parameter {C}, the slope below zero of each channel; else TESS_NONE
 *
 * A function of every element. GELU is the exact one, x Phi (x); ELU has alpha 1.
 *
 * Returns: the shape of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_act (TessGraph *graph, TessId x, TessActKind kind, float slope, TessId alpha, GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_ACT, 2);
  gint64 dim[5];

  if (kind == TESS_ACT_LEAKY_RELU)
    return tess_graph_leaky_relu (graph, x, slope, error);
  g_return_val_if_fail (tess_graph_growing (graph, x) && (kind == TESS_ACT_PRELU) == (alpha != TESS_NONE), TESS_NONE);
  if (!check_input (graph, op.kind, x, error))
    return TESS_NONE;
  memcpy (dim, tess_graph_tensor (graph, x)->dim, sizeof dim);
  if (alpha != TESS_NONE) {
    const TessTensor *p = tess_graph_tensor (graph, alpha);

    if (p->role != TESS_ROLE_PARAM || p->n_dims != 1 || p->dim[0] != dim[4])
      return tess_graph_misfit (graph, op.kind, _ ("the slopes need one value for each channel"), error);
  }
  op.in[1] = alpha;
  op.attr.act.kind = kind;
  return append_one (graph, &op, x, dim, error);
}

/**
 * tess_graph_mul:
 * @b: the shape of @a, or one value a channel {N, 1, 1, 1, C}, or one a voxel {N, D, H, W, 1}
 *
 * Returns: a b in the shape of @a, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_mul (TessGraph *graph, TessId a, TessId b, GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_MUL, 2);
  const TessTensor *s, *t;
  gboolean voxels = TRUE, single = TRUE;
  gint64 dim[5];

  g_return_val_if_fail (tess_graph_growing (graph, a) && tess_graph_growing (graph, b), TESS_NONE);
  if (!check_input (graph, op.kind, a, error) || !check_input (graph, op.kind, b, error))
    return TESS_NONE;
  s = tess_graph_tensor (graph, a);
  t = tess_graph_tensor (graph, b);
  for (guint i = 1; i < 4; i++) {
    voxels = voxels && t->dim[i] == s->dim[i];
    single = single && t->dim[i] == 1;
  }
  if (s->dim[0] != t->dim[0] ||
      !((voxels && (t->dim[4] == s->dim[4] || t->dim[4] == 1)) || (single && t->dim[4] == s->dim[4])))
    return tess_graph_misfit (graph, op.kind,
                              _ ("the factor has neither the other's shape nor one value a channel or voxel"), error);
  memcpy (dim, s->dim, sizeof dim);
  op.in[1] = b;
  return append_one (graph, &op, a, dim, error);
}

/**
 * tess_graph_max_pool:
 * @kernel: D, H, W; also the stride, so that windows do not overlap; what does not fill a window is left out
 *
 * Returns: {N, D / kD, H / kH, W / kW, C}, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_max_pool (TessGraph *graph, TessId x, const int kernel[3], GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_MAX_POOL, 1);
  gint64 dim[5];

  g_return_val_if_fail (tess_graph_growing (graph, x), TESS_NONE);
  if (!check_input (graph, op.kind, x, error))
    return TESS_NONE;
  memcpy (dim, tess_graph_tensor (graph, x)->dim, sizeof dim);
  for (guint a = 0; a < 3; a++) {
    if (kernel[a] < 1 || kernel[a] > dim[1 + a])
      return tess_graph_misfit (graph, op.kind, _ ("the window is larger than the input"), error);
    dim[1 + a] /= kernel[a];
    op.attr.conv.kernel[a] = op.attr.conv.stride[a] = kernel[a];
  }
  return append_one (graph, &op, x, dim, error);
}

/* The mean over all voxels of every channel: {N, 1, 1, 1, C}, or TESS_NONE with BAD_SHAPE. */
TessId
tess_graph_global_pool (TessGraph *graph, TessId x, GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_GLOBAL_POOL, 1);
  gint64 dim[5] = {0, 1, 1, 1, 0};

  g_return_val_if_fail (tess_graph_growing (graph, x), TESS_NONE);
  if (!check_input (graph, op.kind, x, error))
    return TESS_NONE;
  dim[0] = tess_graph_tensor (graph, x)->dim[0];
  dim[4] = tess_graph_tensor (graph, x)->dim[4];
  return append_one (graph, &op, x, dim, error);
}

/**
 * tess_graph_resize:
 * @x: activations, or float32 logits
 * @dhw: wanted D, H, W
 * @linear: trilinear, else nearest; as torch.nn.functional.interpolate has them with align_corners False
 *
 * Returns: {N, D', H', W', C} in the element type of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_resize (TessGraph *graph, TessId x, const gint64 dhw[3], gboolean linear, GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_RESIZE, 1);
  const TessTensor *t;
  gint64 dim[5];

  g_return_val_if_fail (tess_graph_growing (graph, x), TESS_NONE);
  t = tess_graph_tensor (graph, x);
  if (t->n_dims != 5 || (t->dtype != graph->act_dtype && t->dtype != TESS_DTYPE_F32))
    return tess_graph_misfit (graph, op.kind, _ ("the input must have five axes and the graph's element type"), error);
  memcpy (dim, t->dim, sizeof dim);
  memcpy (dim + 1, dhw, 3 * sizeof *dhw);
  op.attr.resize.linear = linear;
  return append_one (graph, &op, x, dim, error);
}

/**
 * tess_graph_window:
 * @x: activations, or uint8 labels
 * @start: where in @x the result begins, D, H, W; may be negative
 * @dhw: wanted D, H, W
 *
 * Cuts and pads: voxel p of the result is voxel p + start of @x, or zero where @x has none.
 *
 * Returns: {N, D', H', W', C}, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_window (TessGraph *graph, TessId x, const gint64 start[3], const gint64 dhw[3], GError **error)
{
  TessOp op = tess_graph_new_op (TESS_OP_WINDOW, 1);
  const TessTensor *t;
  gint64 dim[5];

  g_return_val_if_fail (tess_graph_growing (graph, x), TESS_NONE);
  t = tess_graph_tensor (graph, x);
  if (t->n_dims != 5 || (t->dtype != graph->act_dtype && t->dtype != TESS_DTYPE_U8))
    return tess_graph_misfit (graph, op.kind, _ ("the input must have five axes and the graph's element type"), error);
  memcpy (dim, t->dim, sizeof dim);
  for (guint a = 0; a < 3; a++) {
    if (start[a] >= dim[1 + a] || dhw[a] < 1 || start[a] <= -dhw[a])
      return tess_graph_misfit (graph, op.kind, _ ("the window lies beside the input"), error);
    dim[1 + a] = dhw[a];
    op.attr.window.start[a] = start[a];
  }
  return append_one (graph, &op, x, dim, error);
}

/**
 * tess_graph_begin_stage:
 *
 * Says that the forward ops added from here on belong together: what tess_graph_append_backward_sparing() makes again
 * it makes again stage by stage.
 */
void
tess_graph_begin_stage (TessGraph *graph)
{
  g_return_if_fail (!graph->placed && graph->ops->len == graph->n_forward);

  g_array_append_val (graph->stages, graph->ops->len);
}

static TessId
append_chance (TessGraph *graph, TessOpKind kind, TessId x, float amount, GError **error)
{
  TessOp op = tess_graph_new_op (kind, 1);
  const TessTensor *t;
  gint64 dim[5];

  g_return_val_if_fail (tess_graph_growing (graph, x), TESS_NONE);
  t = tess_graph_tensor (graph, x);
  if (t->n_dims != 5 || (t->dtype != graph->act_dtype && t->dtype != TESS_DTYPE_F32))
    return tess_graph_misfit (graph, kind, _ ("the input must have five axes and the graph's element type"), error);
  for (guint i = 0; i < graph->ops->len; i++)
    op.attr.chance.stream +=
        tess_graph_op (graph, i)->kind == TESS_OP_DROPOUT || tess_graph_op (graph, i)->kind == TESS_OP_NOISE;
  if (op.attr.chance.stream >= 256)
    return tess_graph_misfit (graph, kind, _ ("there are 256 random ops already"), error);
  op.attr.chance.amount = amount;
  memcpy (dim, t->dim, sizeof dim);
  return append_one (graph, &op, x, dim, error);
}

/**
 * tess_graph_dropout:
 * @rate: probability, at least 0 and below 1
 *
 * Every channel of every sample is zero with this probability, else times 1 / (1 - rate). For programs that train.
 *
 * Returns: the shape of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_dropout (TessGraph *graph, TessId x, float rate, GError **error)
{
  g_return_val_if_fail (rate >= 0 && rate < 1, TESS_NONE);
  return append_chance (graph, TESS_OP_DROPOUT, x, rate, error);
}

/**
 * tess_graph_noise:
 * @deviation: standard deviation of what is added to every element; the mean is 0
 *
 * For programs that train. @x may also be the image.
 *
 * Returns: the shape of @x, or TESS_NONE with BAD_SHAPE.
 */
TessId
tess_graph_noise (TessGraph *graph, TessId x, float deviation, GError **error)
{
  g_return_val_if_fail (deviation >= 0, TESS_NONE);
  return append_chance (graph, TESS_OP_NOISE, x, deviation, error);
}
