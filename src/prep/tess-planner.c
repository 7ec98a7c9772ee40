#include "tess-planner-private.h"
#include "tess-format.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Below this a patch loses more than a narrower network does. */
#define COMFORTABLE_EDGE 32
#define SMALLEST_EDGE 8
#define COMFORTABLE_WIDTH 8
#define SMALLEST_WIDTH 4
#define CASES_BESIDE_POOL 3 /* the loader decodes two ahead, and one is validated */
/* Operations of one training step that still take about a second (a few seconds on a small processor). */
#define CPU_STEP_FLOPS 300e9
#define ACCELERATOR_STEP_FLOPS 24e12
/* More than the estimate of the bytes is ever above them. */
#define LARGEST_ERROR 2.0
/* Voxels of the largest patch worth trying (nnU-Net starts from the same). */
#define LARGEST_PATCH (256.0 * 256.0 * 256.0)
#define LARGEST_FLAT_PATCH (2048.0 * 2048.0)

typedef struct {
  TessPlan *plan;
  TessFingerprint *fingerprint;
  const TessPlannerLimits *limits;
  TessDType act_dtype;
  double median[3];
  gint64 wanted[3];      /* voxels before they are rounded up to what the strides need */
  gint64 first_patch[3]; /* before anything had to shrink */
  gint64 width;
  double bytes, flops, max_flops;
  gboolean fixed_patch, fixed_batch, exact; /* exact: bytes are */
} Planner;

/* What the machine itself says, unless even the estimate is far off. One that cannot train the plan at all leaves the
 * estimate as it is. */
static void
ask_machine (Planner *p)
{
  const TessPlannerLimits *l = p->limits;
  const TessTrainMachine machine = {l->backend, l->device, l->n_threads, p->act_dtype};
  g_autoptr (GError) error = NULL;
  guint64 bytes = 0;

  if (p->exact || l->backend == NULL || !(l->backend->flags & TESS_BACKEND_TRAINS) ||
      p->bytes > LARGEST_ERROR * (double)l->memory_bytes)
    return;
  bytes = tess_plan_memory (p->plan, &machine, 0, NULL, &error);
  if (bytes > 0)
    p->bytes = (double)bytes;
  else if (g_error_matches (error, TESS_ERROR, TESS_ERROR_NO_MEMORY)) /* a layer beyond what can be computed */
    p->bytes = MAX (p->bytes, LARGEST_ERROR * (double)l->memory_bytes);
  p->exact = bytes > 0;
}

/* The machine is asked, which takes part of a second, only about what may be the answer. */
static gboolean
measure (Planner *p, GError **error)
{
  tess_planner_set_width (p->plan, p->width);
  p->exact = FALSE;
  if (!tess_planner_measure (p->plan, p->act_dtype, &p->bytes, &p->flops, error))
    return FALSE;
  if (p->flops <= p->max_flops)
    ask_machine (p);
  return TRUE;
}

static gboolean
fits (const Planner *p)
{
  return p->bytes <= (double)p->limits->memory_bytes;
}

static void
decide_spacing (Planner *p)
{
  TessPlan *plan = p->plan;
  double median[3];

  tess_fingerprint_median_spacing (p->fingerprint, median);
  tess_fingerprint_target_spacing (p->fingerprint, plan->spacing);
  tess_fingerprint_median_shape (p->fingerprint, plan->spacing, p->median);
  if (plan->spacing[0] == median[0] && plan->spacing[1] == median[1] && plan->spacing[2] == median[2])
    tess_plan_add_reason (plan, _ ("spacing %.4g x %.4g x %.4g mm: the median of %u cases"), plan->spacing[0],
                          plan->spacing[1], plan->spacing[2], tess_fingerprint_n_cases (p->fingerprint));
  else
    tess_plan_add_reason (plan,
                          _ ("spacing %.4g x %.4g x %.4g mm: the median of %u cases, but the 10th percentile along "
                             "the axis with far thicker slices (median %.4g x %.4g x %.4g mm)"),
                          plan->spacing[0], plan->spacing[1], plan->spacing[2],
                          tess_fingerprint_n_cases (p->fingerprint), median[0], median[1], median[2]);
}

static void
decide_intensities (Planner *p)
{
  for (guint i = 0; i < p->plan->n_channels; i++) {
    TessPlanChannel *c = &p->plan->channels[i];
    gboolean known = tess_fingerprint_intensity (p->fingerprint, i, &c->mean, &c->std, &c->lower, &c->upper);

    if (c->norm == TESS_NORM_CT && (!known || c->std <= 0.0)) {
      c->norm = TESS_NORM_ZSCORE;
      tess_plan_add_reason (p->plan,
                            _ ("normalisation of %s, z-score of every case: CT windows are learned from the "
                               "foreground, and this dataset has none that varies"),
                            c->name);
    } else if (c->norm == TESS_NORM_CT)
      tess_plan_add_reason (p->plan,
                            _ ("normalisation of %s, clip to %.5g ... %.5g, then (v - %.5g) / %.5g: percentiles 0.5 "
                               "and 99.5, mean and standard deviation of the foreground of all cases"),
                            c->name, c->lower, c->upper, c->mean, c->std);
    else if (c->norm == TESS_NORM_ZSCORE)
      tess_plan_add_reason (p->plan, _ ("normalisation of %s, z-score of every case: its values have no fixed unit"),
                            c->name);
    else
      tess_plan_add_reason (p->plan, _ ("normalisation of %s, none: the dataset asks for it"), c->name);
  }
}

/* Of a network that is no U-Net; what is next would fit. */
static gboolean
misfit (Planner *p, GError **error)
{
  const gint64 *wanted = p->wanted;

  tess_planner_topology (p->plan, wanted, FALSE);
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
               _ ("a patch of %" PRId64 " x %" PRId64 " x %" PRId64 " voxels does not fit the network %s; %" PRId64
                  " x %" PRId64 " x %" PRId64 " would"),
               wanted[0], wanted[1], wanted[2], tess_plan_architecture_name (p->plan->network.architecture),
               p->plan->patch[0], p->plan->patch[1], p->plan->patch[2]);
  return FALSE;
}

/* A cube in millimetres of LARGEST_PATCH voxels (or, of flat scans, a square of LARGEST_FLAT_PATCH), no larger than the
 * median scan. */
static gboolean
first_patch (Planner *p, GError **error)
{
  TessPlan *plan = p->plan;
  double product = 1.0, dimensions = 0.0, edge, mean;
  gint64 *wanted = p->wanted;

  for (guint a = 0; a < 3; a++)
    if (rint (p->median[a]) > 1.0) {
      product *= plan->spacing[a];
      dimensions += 1.0;
    }
  mean = pow (product, 1.0 / MAX (dimensions, 1.0));
  edge = pow (dimensions > 2.0 ? LARGEST_PATCH : LARGEST_FLAT_PATCH, 1.0 / MAX (dimensions, 2.0));
  for (guint a = 0; a < 3; a++)
    wanted[a] = p->fixed_patch
                    ? p->limits->patch[a]
                    : (gint64)CLAMP (rint (edge * mean / plan->spacing[a]), 1.0, MIN (rint (p->median[a]), 2048.0));
  if (!tess_planner_topology (plan, wanted, p->fixed_patch)) {
    if (!tess_planner_is_unet (plan))
      return misfit (p, error);
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("a patch of %" PRId64 " x %" PRId64 " x %" PRId64
                    " voxels cannot be halved along any axis; use an even number"),
                 wanted[0], wanted[1], wanted[2]);
    return FALSE;
  }
  for (guint a = 0; a < 3; a++)
    p->first_patch[a] = plan->patch[a];
  return TRUE;
}

static gboolean fit (Planner *p, GError **error);

/* What would be planned if patch and batch were not asked for. */
static gboolean
fit_freely (const Planner *p, gint64 patch[3], gint64 *batch)
{
  Planner q = *p;
  TessPlannerLimits limits = *p->limits;
  gboolean fitted;

  memset (limits.patch, 0, sizeof limits.patch);
  limits.batch = 0;
  q.limits = &limits;
  q.fixed_patch = q.fixed_batch = FALSE;
  q.plan = tess_plan_dup (p->plan);
  fitted = fit (&q, NULL);
  memcpy (patch, q.plan->patch, sizeof q.plan->patch);
  *batch = q.plan->training.batch_size;
  tess_plan_unref (q.plan);
  return fitted;
}

static gboolean
no_memory (const Planner *p, GError **error)
{
  gint64 other[3], batch;
  g_autofree char *need = tess_format_bytes ((guint64)p->bytes);
  g_autofree char *have = tess_format_bytes (p->limits->memory_bytes);
  g_autofree char *patch = tess_format_dims (p->plan->patch, 3);

  if ((p->fixed_patch || p->fixed_batch) && fit_freely (p, other, &batch)) {
    g_autofree char *fitting = tess_format_dims (other, 3);

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("training needs %s for the smallest plan tried (patch %s, batch %" PRId64 ", width %" PRId64
                    ") and may take %s; take a patch of %s and a batch of %" PRId64 ", which fit"),
                 need, patch, p->plan->training.batch_size, p->width, have, fitting, batch);
    return FALSE;
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("training needs %s for the smallest plan tried (patch %s, batch %" PRId64 ", width %" PRId64
                  ") and may take %s; free memory or allow more"),
               need, patch, p->plan->training.batch_size, p->width, have);
  return FALSE;
}

/* Patch, width and batch shrink, in this order, until the training program's bytes fit. */
static gboolean
fit (Planner *p, GError **error)
{
  TessPlan *plan = p->plan;

  p->width = p->limits->accelerator ? 32 : 16;
  plan->training.batch_size = p->fixed_batch ? p->limits->batch : 2;
  p->max_flops = p->limits->accelerator ? ACCELERATOR_STEP_FLOPS : CPU_STEP_FLOPS;
  tess_planner_choose (plan, p->limits->architecture);
  if (!first_patch (p, error) || !measure (p, error))
    return FALSE;
  while (!p->fixed_patch && (!fits (p) || p->flops > p->max_flops) &&
         tess_planner_shrink (plan, p->wanted, p->median, COMFORTABLE_EDGE))
    if (!measure (p, error))
      return FALSE;
  ask_machine (p);
  while (!fits (p)) {
    if (p->width > COMFORTABLE_WIDTH)
      p->width /= 2;
    else if (!p->fixed_batch && plan->training.batch_size > 1)
      plan->training.batch_size = 1;
    else if (!p->fixed_patch && tess_planner_shrink (plan, p->wanted, p->median, SMALLEST_EDGE))
      ;
    else if (p->width > SMALLEST_WIDTH)
      p->width /= 2;
    else
      return no_memory (p, error);
    if (!measure (p, error))
      return FALSE;
    ask_machine (p);
  }
  return TRUE;
}

static void
explain_patch (Planner *p)
{
  TessPlan *plan = p->plan;
  gint64 median[3] = {(gint64)rint (p->median[0]), (gint64)rint (p->median[1]), (gint64)rint (p->median[2])};
  gint64 divisor[3] = {1, 1, 1}, bottom[3];
  gboolean covers = plan->patch[0] >= median[0] && plan->patch[1] >= median[1] && plan->patch[2] >= median[2];
  g_autofree char *patch = tess_format_dims (plan->patch, 3), *shape = tess_format_dims (median, 3);
  g_autofree char *first = tess_format_dims (p->first_patch, 3), *divisors = NULL, *edge = NULL;

  for (guint s = 1; s < plan->network.n_stages; s++)
    for (guint a = 0; a < 3; a++)
      divisor[a] *= plan->network.stride[s][a];
  for (guint a = 0; a < 3; a++)
    bottom[a] = plan->patch[a] / divisor[a];
  divisors = tess_format_dims (divisor, 3);
  edge = tess_format_dims (bottom, 3);
  if (p->fixed_patch)
    tess_plan_add_reason (plan, _ ("patch %s: as asked for"), patch);
  else if (!tess_planner_is_unet (plan))
    tess_plan_add_reason (plan,
                          _ ("patch %s: the median scan is %s voxels; as large as fits in the memory and in a training "
                             "step of at most %.3g TFLOP, in a size that fits the network"),
                          patch, shape, p->max_flops * 1e-12);
  else if (plan->patch[0] == p->first_patch[0] && plan->patch[1] == p->first_patch[1] &&
           plan->patch[2] == p->first_patch[2])
    tess_plan_add_reason (plan,
                          covers ? _ ("patch %s: covers the median scan of %s voxels, rounded up to multiples of %s")
                                 : _ ("patch %s: of the median scan of %s voxels as much as a large patch holds, in "
                                      "multiples of %s"),
                          patch, shape, divisors);
  else
    tess_plan_add_reason (plan,
                          _ ("patch %s: the median scan is %s voxels; shrunk from %s until a training step of "
                             "at most %.3g TFLOP fits in the memory, in multiples of %s"),
                          patch, shape, first, p->max_flops * 1e-12, divisors);
  if (!tess_planner_is_unet (plan)) {
    tess_planner_network_explain (plan);
    return;
  }
  tess_plan_add_reason (plan,
                        _ ("%u stages: halved %u times until an edge would fall below 4 voxels (%s at the bottom); "
                           "axes far coarser than the others wait"),
                        plan->network.n_stages, plan->network.n_stages - 1, edge);
  if (plan->network.architecture == TESS_PLAN_RESIDUAL_UNET)
    tess_plan_add_reason (plan,
                          _ ("residual encoder of 1, 3, 4, 6, 6 ... blocks and one convolution a stage behind it, as "
                             "nnU-Net's residual presets have it"));
}

static void
explain_program (Planner *p)
{
  TessPlan *plan = p->plan;
  g_autofree char *bytes = tess_format_bytes ((guint64)p->bytes);
  g_autofree char *limit = tess_format_bytes (p->limits->memory_bytes);
  gint64 usual = p->limits->accelerator ? 32 : 16;

  if (!tess_planner_is_unet (plan) && plan->network.features[0] > 0)
    tess_plan_add_reason (plan, _ ("%" PRId64 " channels at full resolution: what the memory holds, at most %" PRId64),
                          plan->network.features[0], usual);
  else if (!tess_planner_is_unet (plan))
    ; /* its width is its own */
  else if (p->width == usual)
    tess_plan_add_reason (plan, _ ("%" PRId64 " channels at full resolution: doubled every stage up to 320; %s"),
                          p->width,
                          p->limits->accelerator ? _ ("nnU-Net's width") : _ ("half nnU-Net's, for a processor"));
  else
    tess_plan_add_reason (
        plan, _ ("%" PRId64 " channels at full resolution: narrowed from %" PRId64 " because the memory is small"),
        p->width, usual);
  if (p->fixed_batch)
    tess_plan_add_reason (plan, _ ("batch %" PRId64 ": as asked for"), plan->training.batch_size);
  else if (plan->training.batch_size == 1)
    tess_plan_add_reason (plan, _ ("batch 1: two patches do not fit in the memory"));
  else
    tess_plan_add_reason (plan, _ ("batch 2: nnU-Net's; memory goes into the patch first"));
  tess_plan_add_reason (plan,
                        p->exact ? _ ("memory %s of %s: the exact bytes of a training on this machine")
                                 : _ ("memory %s of %s: the exact bytes of the training program, 40 %% for workspace "
                                      "and a second copy of the weights"),
                        bytes, limit);
  tess_plan_add_reason (plan,
                        p->flops < 1e12 ? _ ("a training step of %.3g GFLOP: convolutions forward and backward")
                                        : _ ("a training step of %.3g TFLOP: convolutions forward and backward"),
                        p->flops * (p->flops < 1e12 ? 1e-9 : 1e-12));
}

static void
decide_schedule (Planner *p)
{
  TessPlan *plan = p->plan;
  gboolean fast = p->limits->accelerator;

  plan->training.iterations_per_epoch = fast ? 250 : 50;
  plan->training.validation_iterations = fast ? 50 : 5;
  plan->training.epochs = p->limits->epochs > 0 ? p->limits->epochs : fast ? 1000 : 100;
  tess_plan_add_reason (plan,
                        fast ? _ ("%d iterations an epoch and %d of validation: nnU-Net's")
                             : _ ("%d iterations an epoch and %d of validation: short epochs, so that a "
                                  "processor shows progress every minute or so"),
                        (int)plan->training.iterations_per_epoch, (int)plan->training.validation_iterations);
  if (p->limits->epochs > 0)
    tess_plan_add_reason (plan, _ ("%" PRId64 " epochs: as asked for"), plan->training.epochs);
  else
    tess_plan_add_reason (plan,
                          fast ? _ ("%d epochs: nnU-Net's")
                               : _ ("%d epochs: what a processor does in hours; "
                                    "more is better"),
                          (int)plan->training.epochs);
}

/* Flat or thick-slice patches turn in their plane only, and lose resolution only there (nnU-Net does so where an edge
 * is under a third of another); one voxel cannot be mirrored. */
static void
decide_augmentation (Planner *p)
{
  TessPlan *plan = p->plan;
  guint flat = 0;
  gint64 longest = 0;

  for (guint a = 0; a < 3; a++) {
    if (plan->patch[a] < plan->patch[flat])
      flat = a;
    longest = MAX (longest, plan->patch[a]);
    if (plan->patch[a] == 1)
      plan->augmentation.mirror_probability[a] = 0.0;
  }
  if (plan->patch[flat] * 3 >= longest)
    return;
  plan->augmentation.low_resolution_lower[flat] = 1.0;
  for (guint a = 0; a < 3; a++)
    if (a != flat)
      plan->augmentation.rotation_degrees[a] = 0.0;
  tess_plan_add_reason (plan, _ ("rotation about %c only: the patch is flat along it"), "xyz"[flat]);
}

static gboolean
decide_cache (Planner *p, GError **error)
{
  TessPlan *plan = p->plan;
  guint64 largest, total = tess_fingerprint_cached_bytes (p->fingerprint, plan->n_labels - 1, &largest);
  guint n = tess_fingerprint_n_cases (p->fingerprint);
  guint64 budget = MIN (p->limits->cache_bytes, (guint64)1 << 60);
  gint64 fit_cases = (gint64)MIN (budget / MAX (largest, 1), n);
  double patch = (double)(plan->patch[0] * plan->patch[1] * plan->patch[2]);
  double scan = p->median[0] * p->median[1] * p->median[2];
  g_autofree char *all = tess_format_bytes (total), *have = tess_format_bytes (budget);
  g_autofree char *one = tess_format_bytes (largest);

  plan->training.cache_bytes = (gint64)budget;
  if (total <= budget) {
    plan->training.pool_cases = 0;
    tess_plan_add_reason (plan, _ ("all %u cases stay decoded: %s of %s"), n, all, have);
    return TRUE;
  }
  if (fit_cases < 1) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
        _ ("the largest case takes %s decoded and the cache may hold %s; allow at least %" PRIu64 " bytes for it"), one,
        have, 2 * largest);
    return FALSE;
  }
  plan->training.pool_cases = MAX (fit_cases - CASES_BESIDE_POOL, MIN (fit_cases, 2));
  plan->training.pool_patches = (gint64)CLAMP (2.0 * scan / patch, 16.0, 64.0);
  if (fit_cases == 1)
    tess_plan_add_reason (plan,
                          _ ("warning, a pool of 1 case: %s decoded do not fit in %s; a batch comes from one case, "
                             "allow more for the cache"),
                          all, have);
  else
    tess_plan_add_reason (plan,
                          _ ("a rotating pool of %d cases: all take %s decoded, the cache may hold %s (largest case "
                             "%s), and up to %d more are decoded at a time"),
                          (int)plan->training.pool_cases, all, have, one, CASES_BESIDE_POOL);
  tess_plan_add_reason (plan, _ ("%d patches of a case before it leaves the pool: enough to be worth decoding it"),
                        (int)plan->training.pool_patches);
  return TRUE;
}

/* What nnU-Net's experiment planner decides, simplified: see the header. draft: channels and labels, everything else is
 * set. Errors: NO_MEMORY with the numbers, USAGE for a patch that cannot be, MISMATCH without cases. */
gboolean
tess_planner_decide (TessPlan *draft, TessFingerprint *fingerprint, const TessPlannerLimits *limits, GError **error)
{
  Planner p = {.plan = draft, .fingerprint = fingerprint, .limits = limits};

  if (tess_fingerprint_n_cases (fingerprint) == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("there are no cases to plan for"));
    return FALSE;
  }
  p.act_dtype = limits->bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
  p.fixed_patch = limits->patch[0] > 0;
  p.fixed_batch = limits->batch > 0;
  decide_spacing (&p);
  decide_intensities (&p);
  if (!fit (&p, error))
    return FALSE;
  explain_patch (&p);
  explain_program (&p);
  decide_schedule (&p);
  decide_augmentation (&p);
  tess_plan_restrict_augmentation (draft, limits->augmentation);
  return decide_cache (&p, error) && tess_plan_validate (draft, NULL, error);
}
