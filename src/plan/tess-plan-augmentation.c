#include "tess-plan-private.h"

#include <string.h>

static const char *const names[] = {"full", "spatial", "none"};

gboolean
tess_plan_augmentation_from_name (const char *name, TessPlanAugmentation *augmentation)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    if (strcmp (name, names[i]) == 0) {
      *augmentation = (TessPlanAugmentation)i;
      return TRUE;
    }
  return FALSE;
}

/**
 * tess_plan_restrict_augmentation:
 *
 * Sets the probabilities of what is left out to 0; what remains keeps its numbers. Without mirroring in training the
 * network does not know mirrored scans, so that predicting over mirrored tiles leaves those axes alone, too.
 */
void
tess_plan_restrict_augmentation (TessPlan *plan, TessPlanAugmentation augmentation)
{
  if (augmentation == TESS_PLAN_AUGMENTATION_FULL)
    return;
  plan->augmentation.noise_probability = plan->augmentation.blur_probability = 0.0;
  plan->augmentation.brightness_probability = plan->augmentation.contrast_probability = 0.0;
  plan->augmentation.low_resolution_probability = 0.0;
  plan->augmentation.gamma_inverted_probability = plan->augmentation.gamma_probability = 0.0;
  if (augmentation == TESS_PLAN_AUGMENTATION_SPATIAL) {
    tess_plan_add_reason (plan, _ ("augmentation by rotation, scale and mirroring only: as asked for"));
    return;
  }
  tess_plan_add_reason (plan, _ ("no augmentation: as asked for"));
  plan->augmentation.rotation_probability = plan->augmentation.scale_probability = 0.0;
  memset (plan->augmentation.mirror_probability, 0, sizeof plan->augmentation.mirror_probability);
}

gboolean
tess_plan_validate_augmentation (const TessPlan *plan, const char *origin, GError **error)
{
  const struct {
    const char *name;
    double lower, upper;
  } ranges[] = {{"scale", plan->augmentation.scale_lower, plan->augmentation.scale_upper},
                {"blur", plan->augmentation.blur_lower, plan->augmentation.blur_upper},
                {"brightness", plan->augmentation.brightness_lower, plan->augmentation.brightness_upper},
                {"contrast", plan->augmentation.contrast_lower, plan->augmentation.contrast_upper},
                {"gamma", plan->augmentation.gamma_lower, plan->augmentation.gamma_upper}};

  for (guint i = 0; i < G_N_ELEMENTS (ranges); i++)
    if (ranges[i].lower > ranges[i].upper) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"augmentation.%s_lower\" %g is above \"augmentation.%s_upper\" %g; swap them"), origin,
                   ranges[i].name, ranges[i].lower, ranges[i].name, ranges[i].upper);
      return FALSE;
    }
  return TRUE;
}
