#include "tess-planner.h"

#include <string.h>

G_STATIC_ASSERT (TESS_MAX_DILATIONS == TESS_NETWORK_MAX_LAYERS);
G_STATIC_ASSERT (TESS_MAX_STAGES == TESS_NETWORK_MAX_STAGES);

/* plan: validated, or at least with n_stages set. The arrays over axes turn round: (x, y, z) -> (D, H, W). */
void
tess_plan_network_spec (const TessPlan *plan, TessNetworkSpec *spec)
{
  *spec = (TessNetworkSpec){
      .n_stages = plan->network.n_stages,
      .n_channels = plan->n_channels,
      .n_classes = plan->n_labels,
      .leaky_slope = plan->network.leaky_slope,
      .norm_eps = plan->network.norm_eps,
  };
  if (plan->network.n_layers > 0) {
    spec->kind = TESS_NETWORK_MESHNET;
    spec->n_layers = plan->network.n_layers;
    memcpy (spec->dilation, plan->network.dilation, sizeof spec->dilation);
    spec->features[0] = plan->network.features[0];
    return;
  }
  for (guint s = 0; s < plan->network.n_stages; s++) {
    spec->features[s] = plan->network.features[s];
    spec->convs_encoder[s] = plan->network.convs_encoder[s];
    spec->convs_decoder[s] = plan->network.convs_decoder[s];
    for (guint a = 0; a < 3; a++) {
      spec->kernel[s][a] = plan->network.kernel[s][2 - a];
      spec->stride[s][a] = plan->network.stride[s][2 - a];
    }
  }
}

/* all_heads FALSE: only the finest head is computed (prediction); TRUE: what the plan trains. */
void
tess_plan_program_spec (const TessPlan *plan, TessProgramKind kind, gint64 batch, TessDType act_dtype,
                        gboolean all_heads, TessProgramSpec *spec)
{
  *spec = (TessProgramSpec){
      .kind = kind,
      .batch = batch,
      .dhw = {plan->patch[2], plan->patch[1], plan->patch[0]},
      .act_dtype = act_dtype,
      .deep_supervision = all_heads && plan->network.deep_supervision,
      .dice_smooth = (float)plan->training.dice_smooth,
      .batch_dice = plan->training.batch_dice,
  };
}

/* Multiplications and additions of one op (2 a multiply-add); only convolutions count, the rest is small beside them.
 * Every one of the three convolution passes does the same number: the output (for a transposed one, the input)
 * elements times the weights that belong to one of its channels. */
double
tess_graph_op_flops (const TessGraph *graph, guint i)
{
  const TessOp *op = tess_graph_op (graph, i);
  const TessTensor *voxels, *w;

  switch (op->kind) {
  case TESS_OP_CONV: /* x, w -> y */
    voxels = tess_graph_tensor (graph, op->out[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_BWD_DATA: /* dy, w -> dx */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_BWD_WEIGHTS: /* x, dy -> dw */
    voxels = tess_graph_tensor (graph, op->in[1]);
    w = tess_graph_tensor (graph, op->out[0]);
    break;
  case TESS_OP_CONV_TRANSPOSE: /* x, w -> y */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA: /* dy, w -> dx */
    voxels = tess_graph_tensor (graph, op->out[0]);
    w = tess_graph_tensor (graph, op->in[1]);
    break;
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS: /* x, dy -> dw */
    voxels = tess_graph_tensor (graph, op->in[0]);
    w = tess_graph_tensor (graph, op->out[0]);
    break;
  default:
    return 0.0;
  }
  /* dim[0] of w is the channel count of what is counted in either layout: {out, in, ...} and {in, out, ...}. */
  return 2.0 * (double)tess_tensor_n_elements (voxels) * (double)tess_tensor_n_elements (w) / (double)w->dim[0];
}

double
tess_graph_flops (const TessGraph *graph)
{
  double sum = 0.0;

  for (guint i = 0; i < graph->ops->len; i++)
    sum += tess_graph_op_flops (graph, i);
  return sum;
}
