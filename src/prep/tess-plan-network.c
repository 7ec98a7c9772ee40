#include "tess-planner.h"

G_STATIC_ASSERT (TESS_MAX_STAGES == TESS_NETWORK_MAX_STAGES);
G_STATIC_ASSERT ((int)TESS_PLAN_PLAIN_UNET == (int)TESS_NETWORK_PLAIN_UNET);
G_STATIC_ASSERT ((int)TESS_PLAN_RESIDUAL_UNET == (int)TESS_NETWORK_RESIDUAL_UNET);

/* plan: validated, or at least with n_stages set. The arrays over axes turn round: (x, y, z) -> (D, H, W). */
void
tess_plan_network_spec (const TessPlan *plan, TessNetworkSpec *spec)
{
  *spec = (TessNetworkSpec){
      .architecture = (TessNetworkArchitecture)plan->network.architecture,
      .slice_axis = plan->network.slice_axis > 0 ? 4 - plan->network.slice_axis : 0,
      .stem_features = plan->network.stem_features,
      .n_stages = plan->network.n_stages,
      .n_channels = plan->n_channels,
      .n_classes = plan->n_labels,
      .leaky_slope = plan->network.leaky_slope,
      .norm_eps = plan->network.norm_eps,
  };
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
