#include "tess-network-table.h"
#include "tess-planner-private.h"

#include <math.h>

#define MIN_EDGE 4 /* voxels of the coarsest map */
#define MAX_FEATURES 320
/* Scratch and what the libraries take besides the arenas; the packed weights come on top. oneDNN on a processor was
 * seen to take 4 to 54 %, weights included, most beside the smallest patches. */
#define MEMORY_MARGIN 1.4

/* Which axes the next stage halves: those that stay at least MIN_EDGE, within a factor 2 of the finest of them; one
 * axis alone only while it is long. */
static gboolean
next_pooling (const gint64 size[3], const double spacing[3], gboolean exact, gboolean pool[3])
{
  double finest = INFINITY;
  guint n = 0, only = 0;

  for (guint a = 0; a < 3; a++) {
    pool[a] = size[a] >= 2 * MIN_EDGE && (!exact || size[a] % 2 == 0);
    if (pool[a])
      finest = MIN (finest, spacing[a]);
  }
  for (guint a = 0; a < 3; a++) {
    pool[a] = pool[a] && spacing[a] / finest < 2.0;
    if (pool[a]) {
      n++;
      only = a;
    }
  }
  return n > 1 || (n == 1 && size[only] >= 3 * MIN_EDGE);
}

/* Once an axis is within a factor 2 of the finest its kernel is 3 and stays so; an axis of one voxel has nothing to
 * look at. */
static void
grow_kernel (const gint64 wanted[3], const double spacing[3], gint64 kernel[3])
{
  double finest = INFINITY;

  for (guint a = 0; a < 3; a++)
    if (wanted[a] > 1)
      finest = MIN (finest, spacing[a]);
  for (guint a = 0; a < 3; a++)
    if (wanted[a] > 1 && spacing[a] / finest < 2.0)
      kernel[a] = 3;
}

/* Too small for the rule: a network has at least two stages, so the longest sides are halved once. */
static gboolean
halve_once (TessPlan *plan, gint64 size[3], gint64 divisor[3], gboolean exact)
{
  gboolean any = FALSE, flat = size[0] == 1 && size[1] == 1 && size[2] == 1;

  for (guint a = 0; a < 3; a++) {
    gboolean halved = exact ? size[a] % 2 == 0 : size[a] > 1 || (flat && a < 2);

    plan->network.stride[1][a] = halved ? 2 : 1;
    if (!halved)
      continue;
    any = TRUE;
    divisor[a] = 2;
    if (!exact)
      size[a] = MAX (size[a], 2 * MIN_EDGE);
  }
  return any;
}

/* The rule of nnU-Net's get_pool_and_conv_props (network_topology.py). */
static gboolean
unet_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  double spacing[3] = {plan->spacing[0], plan->spacing[1], plan->spacing[2]};
  gint64 size[3] = {wanted[0], wanted[1], wanted[2]}, full[3] = {wanted[0], wanted[1], wanted[2]};
  gint64 divisor[3] = {1, 1, 1}, kernel[3] = {1, 1, 1};
  guint n = 1;
  gboolean pool[3];

  for (guint a = 0; a < 3; a++)
    plan->network.stride[0][a] = 1;
  while (n < TESS_MAX_STAGES && next_pooling (size, spacing, exact, pool)) {
    grow_kernel (wanted, spacing, kernel);
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[n - 1][a] = kernel[a];
      plan->network.stride[n][a] = pool[a] ? 2 : 1;
      if (!pool[a])
        continue;
      spacing[a] *= 2.0;
      size[a] = (size[a] + 1) / 2;
      divisor[a] *= 2;
    }
    n++;
  }
  if (n == 1) {
    if (!halve_once (plan, full, divisor, exact))
      return FALSE;
    grow_kernel (full, spacing, kernel);
    for (guint a = 0; a < 3; a++)
      plan->network.kernel[0][a] = kernel[a];
    n = 2;
  }
  for (guint a = 0; a < 3; a++) {
    plan->network.kernel[n - 1][a] = full[a] > 1 ? 3 : 1;
    plan->patch[a] = (full[a] + divisor[a] - 1) / divisor[a] * divisor[a];
  }
  plan->network.n_stages = n;
  return TRUE;
}

gboolean
tess_planner_topology (TessPlan *plan, const gint64 wanted[3], gboolean exact)
{
  return tess_planner_is_unet (plan) ? unet_topology (plan, wanted, exact)
                                     : tess_planner_network_topology (plan, wanted, exact);
}

void
tess_planner_set_width (TessPlan *plan, gint64 base)
{
  static const gint64 blocks[TESS_MAX_STAGES] = {1, 3, 4, 6, 6, 6, 6, 6}; /* nnU-Net's ResEncUNetPlanner */
  gboolean residual = plan->network.architecture == TESS_PLAN_RESIDUAL_UNET;

  if (!tess_planner_is_unet (plan)) {
    tess_planner_network_width (plan, base);
    return;
  }
  for (guint s = 0; s < TESS_MAX_STAGES; s++) {
    gboolean used = s < plan->network.n_stages;

    plan->network.features[s] = used ? MIN (base << s, MAX_FEATURES) : 0;
    plan->network.convs_encoder[s] = !used ? 0 : residual ? blocks[s] : 2;
    plan->network.convs_decoder[s] = s + 1 < plan->network.n_stages ? (residual ? 1 : 2) : 0;
  }
}

static gint64
n_voxels (const gint64 patch[3])
{
  return patch[0] * patch[1] * patch[2];
}

static gboolean
shrink_axis (TessPlan *plan, gint64 wanted[3], guint axis, gint64 floor)
{
  g_autoptr (TessPlan) trial = tess_plan_dup (plan);

  for (gint64 size = MIN (wanted[axis], plan->patch[axis]) - 1; size >= floor; size--) {
    gint64 less[3] = {wanted[0], wanted[1], wanted[2]};

    less[axis] = size;
    if (!tess_planner_topology (trial, less, FALSE) || trial->patch[axis] >= plan->patch[axis] ||
        n_voxels (trial->patch) >= n_voxels (plan->patch))
      continue;
    wanted[axis] = size;
    return tess_planner_topology (plan, wanted, FALSE);
  }
  return FALSE;
}

gboolean
tess_planner_shrink (TessPlan *plan, gint64 wanted[3], const double median[3], gint64 floor)
{
  gboolean tried[3] = {FALSE, FALSE, FALSE};

  for (guint turn = 0; turn < 3; turn++) {
    guint best = 3;

    for (guint a = 0; a < 3; a++)
      if (!tried[a] && (best == 3 || (double)plan->patch[a] / median[a] > (double)plan->patch[best] / median[best]))
        best = a;
    tried[best] = TRUE;
    if (plan->patch[best] > floor && shrink_axis (plan, wanted, best, floor))
      return TRUE;
  }
  return FALSE;
}

gboolean
tess_planner_measure (const TessPlan *plan, TessDType act_dtype, double *bytes, double *flops, GError **error)
{
  g_autoptr (TessNetwork) network = NULL;
  TessNetworkSpec spec;
  TessProgramSpec program;

  tess_plan_network_spec (plan, &spec);
  tess_plan_program_spec (plan, TESS_PROGRAM_TRAIN, plan->training.batch_size, act_dtype, TRUE, &program);
  network = tess_network_build (&spec, &program, error);
  if (!network)
    return FALSE;
  *bytes = 0.0;
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    *bytes += (double)network->graph->arena_bytes[a];
  *bytes = *bytes * MEMORY_MARGIN + (double)network->graph->arena_bytes[TESS_ARENA_PARAM];
  *flops = tess_graph_flops (network->graph);
  return TRUE;
}
