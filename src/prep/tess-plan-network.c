#include "tess-planner.h"

#include <string.h>

G_STATIC_ASSERT (TESS_MAX_DILATIONS == TESS_NETWORK_MAX_LAYERS);
G_STATIC_ASSERT (TESS_MAX_STAGES == TESS_NETWORK_MAX_STAGES);
G_STATIC_ASSERT ((int)TESS_PLAN_PLAIN_UNET == (int)TESS_NETWORK_PLAIN_UNET);
G_STATIC_ASSERT ((int)TESS_PLAN_RESIDUAL_UNET == (int)TESS_NETWORK_RESIDUAL_UNET);
G_STATIC_ASSERT ((int)TESS_PLAN_MESHNET == (int)TESS_NETWORK_MESHNET);
G_STATIC_ASSERT ((int)TESS_PLAN_INGRADIENT == (int)TESS_NETWORK_INGRADIENT);
G_STATIC_ASSERT ((int)TESS_PLAN_SE_RESIDUAL == (int)TESS_NETWORK_SE_RESIDUAL);
G_STATIC_ASSERT ((int)TESS_PLAN_CASED == (int)TESS_NETWORK_CASED);
G_STATIC_ASSERT (TESS_PLAN_MAX_REGIONS == TESS_MAX_REGIONS);

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
      .n_classes = tess_plan_n_outputs (plan),
      .leaky_slope = plan->network.leaky_slope,
      .norm_eps = plan->network.norm_eps,
      .n_layers = plan->network.n_layers,
      .single_head = !plan->network.deep_supervision,
      .se_ratio = plan->network.se_ratio,
      .attention_gate = plan->network.attention_gate,
      .dropout = plan->network.dropout,
      .noise = plan->network.noise,
  };
  memcpy (spec->dilation, plan->network.dilation, sizeof spec->dilation);
  for (guint s = 0; s < plan->network.n_stages; s++) {
    spec->features[s] = plan->network.features[s];
    spec->convs_encoder[s] = plan->network.convs_encoder[s];
    spec->convs_decoder[s] = plan->network.convs_decoder[s];
    for (guint a = 0; a < 3; a++) {
      spec->kernel_decoder[s][a] = plan->network.kernel_decoder[s][2 - a];
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
  static const TessLossKind losses[] = {
      [TESS_PLAN_LOSS_DICE_CE] = TESS_LOSS_DICE_CE, [TESS_PLAN_LOSS_DICE_BCE] = TESS_LOSS_DICE_CE,
      [TESS_PLAN_LOSS_DICE] = TESS_LOSS_DICE,       [TESS_PLAN_LOSS_TVERSKY] = TESS_LOSS_TVERSKY,
      [TESS_PLAN_LOSS_FOCAL] = TESS_LOSS_FOCAL,
  };
  static const TessOptimiser optimisers[] = {
      [TESS_PLAN_OPTIMISER_SGD] = TESS_OPTIMISER_SGD,
      [TESS_PLAN_OPTIMISER_ADAM] = TESS_OPTIMISER_ADAM,
      [TESS_PLAN_OPTIMISER_ADAMW] = TESS_OPTIMISER_ADAMW,
  };

  *spec = (TessProgramSpec){
      .kind = kind,
      .batch = batch,
      .dhw = {plan->patch[2], plan->patch[1], plan->patch[0]},
      .act_dtype = act_dtype,
      .deep_supervision = all_heads && plan->network.deep_supervision,
      .dice_smooth = (float)plan->training.dice_smooth,
      .batch_dice = plan->training.batch_dice,
      .loss = losses[plan->training.loss],
      .dice_background = plan->training.dice_background,
      .has_regions = tess_plan_is_sigmoid (plan),
      .ignore = (guint)plan->ignore_label,
      .alpha = (float)plan->training.tversky_alpha,
      .beta = (float)plan->training.tversky_beta,
      .gamma = (float)plan->training.focal_gamma,
      .optimiser = optimisers[plan->training.optimiser],
  };
  for (guint i = 0; spec->has_regions && i < tess_plan_n_outputs (plan); i++)
    for (guint v = 0; v < 256; v++)
      if (tess_plan_output_holds (plan, i, v))
        spec->regions[v] |= (guint64)1 << i;
}
