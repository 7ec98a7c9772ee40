#include "tess-format.h"
#include "tess-planner-private.h"

#include <string.h>

/* What is decided for the networks beside nnU-Net's U-Nets: the constants they were published with, the patch and depth
 * that fit, the width, and a sentence for the person who asked for one. */

#define MIN_EDGE 4 /* voxels of the coarsest map */
#define INGRADIENT_STAGES 5
#define INGRADIENT_FEATURES 320
#define SE_DEPTH 4
#define SE_FEATURES 64
#define CASED_MARGIN 60
#define CASED_UNIT 8

static const gint64 meshnet_dilation[] = {1, 2, 4, 8, 16, 8, 4, 2, 1};

/* Patch and depth: the deepest of at most `deepest` halvings whose coarsest map keeps MIN_EDGE voxels, at least one. */
static guint
halvings (const gint64 wanted[3], guint deepest, gboolean exact)
{
  guint n = 0;

  for (guint k = 1; k <= deepest; k++) {
    gint64 unit = G_GINT64_CONSTANT (1) << k;
    gboolean good = TRUE;

    for (guint a = 0; a < 3; a++)
      good = good && (k == 1 || wanted[a] >= unit * MIN_EDGE) && (!exact || wanted[a] % unit == 0);
    if (!good)
      break;
    n = k;
  }
  return n;
}

static void
set_patch (TessPlan *plan, const gint64 wanted[3], gint64 least, gint64 unit)
{
  for (guint a = 0; a < 3; a++)
    plan->patch[a] = least + MAX (wanted[a] - least + unit - 1, 0) / unit * unit;
}

static gboolean
is_patch (const TessPlan *plan, const gint64 wanted[3])
{
  return memcmp (plan->patch, wanted, sizeof plan->patch) == 0;
}

/* ---- each network ---- */

static gboolean
meshnet_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  set_patch (plan, wanted, 1, 1);
  return TRUE;
}

static void
meshnet_width (TessPlan *plan, gint64 base)
{
  plan->network.features[0] = base;
}

static void
meshnet_choose (TessPlan *plan)
{
  plan->network.n_stages = 1;
  plan->network.leaky_slope = 0.0;
  plan->network.n_layers = G_N_ELEMENTS (meshnet_dilation);
  memcpy (plan->network.dilation, meshnet_dilation, sizeof meshnet_dilation);
}

static void
meshnet_explain (TessPlan *plan)
{
  tess_plan_add_reason (plan,
                        _ ("MeshNet: %u convolutions at full resolution with the published dilations and a ReLU "
                           "after each, without a norm"),
                        plan->network.n_layers);
}

static gboolean
ingradient_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  guint n = halvings (wanted, INGRADIENT_STAGES - 1, exact);
  gint64 unit = G_GINT64_CONSTANT (1) << n;

  if (n == 0)
    return FALSE;
  plan->network.n_stages = n + 1;
  for (guint s = 1; s < TESS_MAX_STAGES; s++)
    for (guint a = 0; a < 3; a++)
      plan->network.stride[s][a] = s <= n ? 2 : 1;
  set_patch (plan, wanted, unit, unit);
  return TRUE;
}

static void
ingradient_width (TessPlan *plan, gint64 base)
{
  for (guint s = 0; s < TESS_MAX_STAGES; s++)
    plan->network.features[s] = s < plan->network.n_stages ? MIN (base << s, INGRADIENT_FEATURES) : 0;
}

static void
ingradient_choose (TessPlan *plan)
{
  plan->network.deep_supervision = TRUE;
  plan->network.dropout = 0.5;
}

static void
ingradient_explain (TessPlan *plan)
{
  tess_plan_add_reason (plan,
                        _ ("ingradient's U-Net: every axis halved alike, %u times; heads at every scale, their "
                           "logits made as large as the patch"),
                        plan->network.n_stages - 1);
}

static gboolean
se_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  guint depth = halvings (wanted, SE_DEPTH, FALSE);
  gint64 least = G_GINT64_CONSTANT (1) << depth;

  plan->network.n_stages = depth + 1;
  set_patch (plan, wanted, least, 1);
  return !exact || is_patch (plan, wanted);
}

static void
se_width (TessPlan *plan, gint64 base)
{
  plan->network.features[0] = MIN (base, SE_FEATURES);
}

static void
se_choose (TessPlan *plan)
{
  plan->network.leaky_slope = 0.3;
  plan->network.norm_eps = 1e-3;
  plan->network.se_ratio = 16;
  plan->network.attention_gate = TRUE;
  plan->network.noise = 0.1;
}

static void
se_explain (TessPlan *plan)
{
  tess_plan_add_reason (plan,
                        _ ("residual U-Net of depth %u with squeeze and excitation and gates on its skips, as the "
                           "AMC team had it in 2018; any patch fits"),
                        plan->network.n_stages - 1);
}

static gboolean
cased_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  plan->network.n_stages = 4;
  set_patch (plan, wanted, CASED_MARGIN + CASED_UNIT, CASED_UNIT);
  return !exact || is_patch (plan, wanted);
}

static void
cased_width (TessPlan *plan, gint64 base)
{
}

static void
cased_choose (TessPlan *plan)
{
}

static void
cased_explain (TessPlan *plan)
{
  const gint64 middle[3] = {plan->patch[0] - CASED_MARGIN, plan->patch[1] - CASED_MARGIN,
                            plan->patch[2] - CASED_MARGIN};
  g_autofree char *text = tess_format_dims (middle, 3);

  tess_plan_add_reason (plan,
                        _ ("CASED's network: convolutions without padding, so that the middle %s voxels of a patch "
                           "get a result; 32 channels, doubled three times"),
                        text);
}

static const struct {
  void (*choose) (TessPlan *plan);
  gboolean (*topology) (TessPlan *plan, const gint64 wanted[3], gboolean exact);
  void (*width) (TessPlan *plan, gint64 base);
  void (*explain) (TessPlan *plan);
} networks[TESS_PLAN_N_ARCHITECTURES] = {
    [TESS_PLAN_MESHNET] = {meshnet_choose, meshnet_topology, meshnet_width, meshnet_explain},
    [TESS_PLAN_INGRADIENT] = {ingradient_choose, ingradient_topology, ingradient_width, ingradient_explain},
    [TESS_PLAN_SE_RESIDUAL] = {se_choose, se_topology, se_width, se_explain},
    [TESS_PLAN_CASED] = {cased_choose, cased_topology, cased_width, cased_explain},
};

/* ---- what the planner calls ---- */

gboolean
tess_planner_is_unet (const TessPlan *plan)
{
  return networks[plan->network.architecture].choose == NULL;
}

/* Also forgets the topology that plans begin with. */
void
tess_planner_choose (TessPlan *plan, TessPlanArchitecture architecture)
{
  plan->network.architecture = architecture;
  if (tess_planner_is_unet (plan))
    return;
  memset (plan->network.features, 0, sizeof plan->network.features);
  memset (plan->network.convs_encoder, 0, sizeof plan->network.convs_encoder);
  memset (plan->network.convs_decoder, 0, sizeof plan->network.convs_decoder);
  for (guint s = 0; s < TESS_MAX_STAGES; s++)
    for (guint a = 0; a < 3; a++)
      plan->network.kernel[s][a] = plan->network.stride[s][a] = 1;
  plan->network.deep_supervision = FALSE;
  networks[architecture].choose (plan);
}

gboolean
tess_planner_network_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  return networks[plan->network.architecture].topology (plan, wanted, exact);
}

void
tess_planner_network_width (TessPlan *plan, gint64 base)
{
  networks[plan->network.architecture].width (plan, base);
}

void
tess_planner_network_explain (TessPlan *plan)
{
  networks[plan->network.architecture].explain (plan);
}
