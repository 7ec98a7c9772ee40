#include "tess-plan-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define AT(member) G_STRUCT_OFFSET (TessPlan, member)
#define INT(group, name, member, n, lo, hi, required)                                                                  \
  {                                                                                                                    \
    group, name, TESS_PLAN_FIELD_INT, AT (member), n, lo, hi, 0.0, 0.0, required                                       \
  }
#define DOUBLE(group, name, member, n, lo, hi, required)                                                               \
  {                                                                                                                    \
    group, name, TESS_PLAN_FIELD_DOUBLE, AT (member), n, 0, 0, lo, hi, required                                        \
  }
#define BOOL(group, name, member)                                                                                      \
  {                                                                                                                    \
    group, name, TESS_PLAN_FIELD_BOOL, AT (member), 1, 0, 1, 0.0, 0.0, FALSE                                           \
  }

#define CHOICE(group, name, member, names)                                                                             \
  {                                                                                                                    \
    group, name, TESS_PLAN_FIELD_CHOICE, AT (member), 1, 0, 0, 0.0, 0.0, FALSE, names                                  \
  }

static const char *const loss_names[] = {"dice-ce", "dice-bce", "dice", "tversky", "focal", NULL};
static const char *const optimiser_names[] = {"sgd", "adam", "adamw", NULL};

/* The ranges keep out what can only be a mistake or an attack on memory; they are wider than what is sensible. */
const TessPlanField tess_plan_fields[] = {
    DOUBLE ("", "spacing_mm", spacing, 3, 1e-6, 1e6, TRUE),
    INT ("", "patch", patch, 3, 1, TESS_PLAN_MAX_PATCH, TRUE),
    INT ("", "ignore_label", ignore_label, 1, 0, TESS_MAX_LABELS - 1, FALSE),

    DOUBLE ("network", "leaky_slope", network.leaky_slope, 1, 0.0, 1.0, FALSE),
    DOUBLE ("network", "norm_eps", network.norm_eps, 1, 1e-12, 1.0, FALSE),
    BOOL ("network", "deep_supervision", network.deep_supervision),

    INT ("training", "seed", training.seed, 1, 0, G_MAXINT64, FALSE),
    INT ("training", "batch_size", training.batch_size, 1, 1, 4096, FALSE),
    INT ("training", "epochs", training.epochs, 1, 1, 1000000, FALSE),
    INT ("training", "iterations_per_epoch", training.iterations_per_epoch, 1, 1, 1000000, FALSE),
    INT ("training", "validation_iterations", training.validation_iterations, 1, 1, 1000000, FALSE),
    DOUBLE ("training", "learning_rate", training.learning_rate, 1, 0.0, 100.0, FALSE),
    DOUBLE ("training", "momentum", training.momentum, 1, 0.0, 0.999999, FALSE),
    DOUBLE ("training", "weight_decay", training.weight_decay, 1, 0.0, 1.0, FALSE),
    DOUBLE ("training", "poly_exponent", training.poly_exponent, 1, 0.0, 10.0, FALSE),
    DOUBLE ("training", "clip_norm", training.clip_norm, 1, 1e-9, 1e9, FALSE),
    DOUBLE ("training", "oversample_foreground", training.oversample_foreground, 1, 0.0, 1.0, FALSE),
    BOOL ("training", "batch_dice", training.batch_dice),
    DOUBLE ("training", "dice_smooth", training.dice_smooth, 1, 0.0, 1000.0, FALSE),
    BOOL ("training", "dice_background", training.dice_background),
    CHOICE ("training", "loss", training.loss, loss_names),
    DOUBLE ("training", "tversky_alpha", training.tversky_alpha, 1, 0.0, 1.0, FALSE),
    DOUBLE ("training", "tversky_beta", training.tversky_beta, 1, 0.0, 1.0, FALSE),
    DOUBLE ("training", "focal_gamma", training.focal_gamma, 1, 0.0, 10.0, FALSE),
    CHOICE ("training", "optimiser", training.optimiser, optimiser_names),
    DOUBLE ("training", "beta1", training.beta1, 1, 0.0, 0.999999, FALSE),
    DOUBLE ("training", "beta2", training.beta2, 1, 0.0, 0.999999, FALSE),
    DOUBLE ("training", "epsilon", training.epsilon, 1, 1e-16, 1.0, FALSE),
    INT ("training", "cache_bytes", training.cache_bytes, 1, 0, G_GINT64_CONSTANT (1) << 60, FALSE),
    INT ("training", "pool_cases", training.pool_cases, 1, 0, 1000000, FALSE),
    INT ("training", "pool_patches", training.pool_patches, 1, 1, 1000000, FALSE),

    DOUBLE ("augmentation", "rotation_probability", augmentation.rotation_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "rotation_degrees", augmentation.rotation_degrees, 3, 0.0, 180.0, FALSE),
    DOUBLE ("augmentation", "scale_probability", augmentation.scale_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "scale_lower", augmentation.scale_lower, 1, 0.1, 10.0, FALSE),
    DOUBLE ("augmentation", "scale_upper", augmentation.scale_upper, 1, 0.1, 10.0, FALSE),
    DOUBLE ("augmentation", "mirror_probability", augmentation.mirror_probability, 3, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "noise_probability", augmentation.noise_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "noise_upper", augmentation.noise_upper, 1, 0.0, 100.0, FALSE),
    DOUBLE ("augmentation", "blur_probability", augmentation.blur_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "blur_channel_probability", augmentation.blur_channel_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "blur_lower", augmentation.blur_lower, 1, 0.0, 3.0, FALSE),
    DOUBLE ("augmentation", "blur_upper", augmentation.blur_upper, 1, 0.0, 3.0, FALSE),
    DOUBLE ("augmentation", "brightness_probability", augmentation.brightness_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "brightness_lower", augmentation.brightness_lower, 1, 0.0, 10.0, FALSE),
    DOUBLE ("augmentation", "brightness_upper", augmentation.brightness_upper, 1, 0.0, 10.0, FALSE),
    DOUBLE ("augmentation", "contrast_probability", augmentation.contrast_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "contrast_lower", augmentation.contrast_lower, 1, 0.0, 10.0, FALSE),
    DOUBLE ("augmentation", "contrast_upper", augmentation.contrast_upper, 1, 0.0, 10.0, FALSE),
    DOUBLE ("augmentation", "low_resolution_probability", augmentation.low_resolution_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "low_resolution_channel_probability", augmentation.low_resolution_channel_probability, 1,
            0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "low_resolution_lower", augmentation.low_resolution_lower, 3, 0.01, 1.0, FALSE),
    DOUBLE ("augmentation", "gamma_inverted_probability", augmentation.gamma_inverted_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "gamma_probability", augmentation.gamma_probability, 1, 0.0, 1.0, FALSE),
    DOUBLE ("augmentation", "gamma_lower", augmentation.gamma_lower, 1, 0.1, 10.0, FALSE),
    DOUBLE ("augmentation", "gamma_upper", augmentation.gamma_upper, 1, 0.1, 10.0, FALSE),

    DOUBLE ("inference", "step", inference.step, 1, 0.05, 1.0, FALSE),
    BOOL ("inference", "gaussian", inference.gaussian),
};
const guint tess_plan_n_fields = G_N_ELEMENTS (tess_plan_fields);

const char *
tess_norm_scheme_name (TessNormScheme scheme)
{
  switch (scheme) {
  case TESS_NORM_ZSCORE:
    return "zscore";
  case TESS_NORM_CT:
    return "ct";
  case TESS_NORM_NONE:
    return "none";
  case TESS_NORM_MINMAX:
    return "minmax";
  }
  return NULL;
}

gboolean
tess_norm_scheme_from_name (const char *name, TessNormScheme *scheme)
{
  for (int i = TESS_NORM_ZSCORE; i <= TESS_NORM_MINMAX; i++)
    if (strcmp (name, tess_norm_scheme_name ((TessNormScheme)i)) == 0) {
      *scheme = (TessNormScheme)i;
      return TRUE;
    }
  return FALSE;
}

/* FALSE when there is no loss of this name. */
gboolean
tess_plan_loss_from_name (const char *name, int *loss)
{
  for (int i = 0; loss_names[i]; i++)
    if (strcmp (name, loss_names[i]) == 0) {
      *loss = i;
      return TRUE;
    }
  return FALSE;
}

/* A plan with nnU-Net's numbers (Isensee et al., Nature Methods 2021; nnU-Net v2): six stages of 32 to 320 channels,
 * patch 128^3, SGD with Nesterov momentum 0.99 and a polynomial rate, its augmentation, half-overlapping
 * Gaussian tiles. It has no channels and no labels yet, so it does not validate. Returns a new reference. */
TessPlan *
tess_plan_new (void)
{
  TessPlan *plan = g_new0 (TessPlan, 1);

  g_atomic_ref_count_init (&plan->ref_count);
  plan->dataset_name = g_strdup ("");
  plan->reasons = g_ptr_array_new_with_free_func (g_free);
  plan->network.n_stages = 6;
  for (guint s = 0; s < plan->network.n_stages; s++) {
    plan->network.features[s] = MIN (G_GINT64_CONSTANT (32) << s, 320);
    plan->network.convs_encoder[s] = 2;
    if (s + 1 < plan->network.n_stages)
      plan->network.convs_decoder[s] = 2;
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[s][a] = 3;
      plan->network.stride[s][a] = s == 0 ? 1 : 2;
    }
  }
  plan->network.leaky_slope = 0.01;
  plan->network.norm_eps = 1e-5;
  plan->network.deep_supervision = TRUE;

  plan->training.seed = 12345;
  plan->training.batch_size = 2;
  plan->training.epochs = 1000;
  plan->training.iterations_per_epoch = 250;
  plan->training.validation_iterations = 50;
  plan->training.learning_rate = 0.01;
  plan->training.momentum = 0.99;
  plan->training.weight_decay = 3e-5;
  plan->training.poly_exponent = 0.9;
  plan->training.clip_norm = 12.0;
  plan->training.oversample_foreground = 0.33;
  plan->training.dice_smooth = 1e-5;
  plan->training.tversky_alpha = 0.3;
  plan->training.tversky_beta = 0.7;
  plan->training.focal_gamma = 2.0;
  plan->training.beta1 = 0.9;
  plan->training.beta2 = 0.999;
  plan->training.epsilon = 1e-8;
  plan->training.cache_bytes = G_GINT64_CONSTANT (1) << 30;
  plan->training.pool_patches = 32;

  plan->augmentation.rotation_probability = 0.2;
  plan->augmentation.scale_probability = 0.2;
  plan->augmentation.scale_lower = 0.7;
  plan->augmentation.scale_upper = 1.4;
  plan->augmentation.noise_probability = 0.1;
  plan->augmentation.noise_upper = 0.1;
  plan->augmentation.blur_probability = 0.2;
  plan->augmentation.blur_channel_probability = 0.5;
  plan->augmentation.blur_lower = 0.5;
  plan->augmentation.blur_upper = 1.0;
  plan->augmentation.brightness_probability = plan->augmentation.contrast_probability = 0.15;
  plan->augmentation.brightness_lower = plan->augmentation.contrast_lower = 0.75;
  plan->augmentation.brightness_upper = plan->augmentation.contrast_upper = 1.25;
  plan->augmentation.low_resolution_probability = 0.25;
  plan->augmentation.low_resolution_channel_probability = 0.5;
  plan->augmentation.gamma_inverted_probability = 0.1;
  plan->augmentation.gamma_probability = 0.3;
  plan->augmentation.gamma_lower = 0.7;
  plan->augmentation.gamma_upper = 1.5;
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = 1.0;
    plan->patch[a] = 128;
    plan->augmentation.rotation_degrees[a] = 30.0;
    plan->augmentation.mirror_probability[a] = 0.5;
    plan->augmentation.low_resolution_lower[a] = 0.5;
  }
  plan->inference.step = 0.5;
  plan->inference.gaussian = TRUE;
  return plan;
}

TessPlan *
tess_plan_ref (TessPlan *plan)
{
  g_atomic_ref_count_inc (&plan->ref_count);
  return plan;
}

void
tess_plan_unref (TessPlan *plan)
{
  if (!plan || !g_atomic_ref_count_dec (&plan->ref_count))
    return;
  g_free (plan->dataset_name);
  for (guint c = 0; c < plan->n_channels; c++)
    g_free (plan->channels[c].name);
  for (guint l = 0; l < plan->n_labels; l++)
    g_free (plan->labels[l].name);
  g_free (plan->labels);
  tess_plan_regions_free (plan->regions, plan->n_regions);
  g_ptr_array_unref (plan->reasons);
  g_free (plan);
}

/* An independent copy with one reference. */
TessPlan *
tess_plan_dup (const TessPlan *plan)
{
  TessPlan *copy = g_new (TessPlan, 1);

  *copy = *plan;
  g_atomic_ref_count_init (&copy->ref_count);
  copy->dataset_name = g_strdup (plan->dataset_name);
  for (guint c = 0; c < plan->n_channels; c++)
    copy->channels[c].name = g_strdup (plan->channels[c].name);
  copy->labels = g_new0 (TessPlanLabel, plan->n_labels);
  for (guint l = 0; l < plan->n_labels; l++)
    copy->labels[l] = (TessPlanLabel){g_strdup (plan->labels[l].name), plan->labels[l].value};
  copy->regions = tess_plan_regions_dup (plan->regions, plan->n_regions);
  copy->reasons = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < plan->reasons->len; i++)
    g_ptr_array_add (copy->reasons, g_strdup (g_ptr_array_index (plan->reasons, i)));
  return copy;
}

/* Appends an image channel; at most TESS_MAX_CHANNELS. The intensities stay 0 until somebody measures them. */
void
tess_plan_add_channel (TessPlan *plan, const char *name, TessNormScheme norm)
{
  g_return_if_fail (plan->n_channels < TESS_MAX_CHANNELS);
  plan->channels[plan->n_channels++] = (TessPlanChannel){.name = g_strdup (name), .norm = norm};
}

/* Appends a class; at most TESS_MAX_LABELS. */
void
tess_plan_add_label (TessPlan *plan, const char *name, gint64 value)
{
  g_return_if_fail (plan->n_labels < TESS_MAX_LABELS);
  plan->labels = g_renew (TessPlanLabel, plan->labels, plan->n_labels + 1);
  plan->labels[plan->n_labels++] = (TessPlanLabel){.name = g_strdup (name), .value = value};
}

void
tess_plan_add_reason (TessPlan *plan, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (plan->reasons, g_strdup_vprintf (format, args));
  va_end (args);
}

static gboolean
validate_field (const TessPlan *plan, const TessPlanField *field, const char *origin, GError **error)
{
  const void *at = (const char *)plan + field->offset;
  const char *dot = *field->group ? "." : "";

  if (field->kind == TESS_PLAN_FIELD_BOOL || field->kind == TESS_PLAN_FIELD_CHOICE)
    return TRUE;
  for (guint i = 0; i < field->n; i++) {
    if (field->kind == TESS_PLAN_FIELD_INT) {
      gint64 value = ((const gint64 *)at)[i];

      if (value >= field->ilo && value <= field->ihi)
        continue;
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"%s%s%s\" is %" PRId64 "; a whole number from %" PRId64 " to %" PRId64 " belongs there"),
                   origin, field->group, dot, field->name, value, field->ilo, field->ihi);
    } else {
      double value = ((const double *)at)[i];

      if (value >= field->lo && value <= field->hi) /* false for NaN */
        continue;
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"%s%s%s\" is %g; a number from %g to %g belongs there"), origin, field->group, dot,
                   field->name, value, field->lo, field->hi);
    }
    return FALSE;
  }
  return TRUE;
}

/* Names come from files, are shown on terminals and head the columns of a log. */
static gboolean
is_plain_text (const char *text)
{
  for (const char *p = text; *p; p++)
    if (g_ascii_iscntrl (*p))
      return FALSE;
  return TRUE;
}

static gboolean
validate_name (const char *name, const char *what, guint i, const char *origin, GError **error)
{
  if (name && *name && strlen (name) <= TESS_PLAN_MAX_NAME && is_plain_text (name))
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"%s[%u].name\" is empty, longer than %d bytes or has control characters; give it a short, "
                  "plain name"),
               origin, what, i, TESS_PLAN_MAX_NAME);
  return FALSE;
}

static gboolean
validate_channels (const TessPlan *plan, const char *origin, GError **error)
{
  if (plan->n_channels < 1 || plan->n_channels > TESS_MAX_CHANNELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"channels\" has %u entries; give 1 to %d"), origin,
                 plan->n_channels, TESS_MAX_CHANNELS);
    return FALSE;
  }
  for (guint i = 0; i < plan->n_channels; i++) {
    const TessPlanChannel *c = &plan->channels[i];

    if (!validate_name (c->name, "channels", i, origin, error))
      return FALSE;
    if (!tess_norm_scheme_name (c->norm) || !isfinite (c->lower) || !isfinite (c->upper) || !isfinite (c->mean) ||
        !isfinite (c->std) || c->lower > c->upper || c->std < 0.0) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"channels[%u]\" has intensities that cannot be (lower %g, upper %g, mean %g, std %g); "
                      "plan the dataset again"),
                   origin, i, c->lower, c->upper, c->mean, c->std);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
validate_labels (const TessPlan *plan, const char *origin, GError **error)
{
  if (plan->n_labels < 2 || plan->n_labels > TESS_MAX_LABELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"labels\" has %u entries; give 2 to %d, the background first"), origin, plan->n_labels,
                 TESS_MAX_LABELS);
    return FALSE;
  }
  for (guint i = 0; i < plan->n_labels; i++) {
    if (!validate_name (plan->labels[i].name, "labels", i, origin, error))
      return FALSE;
    if (plan->labels[i].value != (gint64)i) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"labels[%u].value\" is %" PRId64
                      "; labels are numbered 0, 1, 2 ... without a gap, so %u belongs there"),
                   origin, i, plan->labels[i].value, i);
      return FALSE;
    }
  }
  return TRUE;
}

static gboolean
validate_region_names (const TessPlan *plan, const char *origin, GError **error)
{
  for (guint i = 0; i < plan->n_regions; i++)
    if (!validate_name (plan->regions[i].name, "regions", i, origin, error))
      return FALSE;
  return TRUE;
}

/* Checks every number against its range and what must agree: labels 0..n-1, a patch that the strides divide, ranges
 * that are one. origin: the file the plan is from, for the message (NULL = "plan"). Errors: FORMAT. */
gboolean
tess_plan_validate (const TessPlan *plan, const char *origin, GError **error)
{
  if (!origin)
    origin = "plan";
  for (guint i = 0; i < tess_plan_n_fields; i++)
    if (!validate_field (plan, &tess_plan_fields[i], origin, error))
      return FALSE;
  if (!validate_channels (plan, origin, error) || !validate_labels (plan, origin, error) ||
      !validate_region_names (plan, origin, error) || !tess_plan_validate_regions (plan, origin, error) ||
      !tess_plan_validate_network (plan, origin, error) || !tess_plan_validate_augmentation (plan, origin, error))
    return FALSE;
  return TRUE;
}

guint
tess_plan_n_heads (const TessPlan *plan)
{
  return plan->network.deep_supervision ? MAX (plan->network.n_stages, 2) - 1 : 1;
}

/* weights: tess_plan_n_heads values. As nnU-Net: halved from head to head, the coarsest left out of the loss. */
void
tess_plan_head_weights (const TessPlan *plan, double *weights)
{
  guint n = tess_plan_n_heads (plan);
  double sum = 0.0;

  for (guint i = 0; i < n; i++) {
    weights[i] = i > 0 && i + 1 == n ? 0.0 : ldexp (1.0, -(int)i);
    sum += weights[i];
  }
  for (guint i = 0; i < n; i++)
    weights[i] /= sum;
}
