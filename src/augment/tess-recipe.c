#include "tess-recipe.h"

/* The numbers of one transform of one channel; index 0: whether the sample has it at all. */
static TessPhilox4
draw (const TessSampleKey *key, TessDrawPurpose purpose, guint index)
{
  return tess_philox (key->seed, key->epoch, key->sample, (uint32_t)purpose, index);
}

static gboolean
happens (const TessSampleKey *key, TessDrawPurpose purpose, double probability)
{
  return tess_philox_unit (draw (key, purpose, 0).v[0]) < probability;
}

/* Of one channel: below 1 as often as above it, where the range has both (batchgenerators' BGContrast). */
static float
factor (const TessSampleKey *key, TessDrawPurpose purpose, guint channel, double lower, double upper)
{
  TessPhilox4 r = draw (key, purpose, 1 + channel);

  if (lower < 1.0 && (upper <= 1.0 || tess_philox_unit (r.v[1]) < 0.5f))
    return (float)tess_philox_range (r.v[2], lower, MIN (upper, 1.0));
  return (float)tess_philox_range (r.v[2], MAX (lower, 1.0), upper);
}

static void
blur_axis (TessIntensityChannel *to, int a, double sigma)
{
  int radius = MIN ((int)floor ((6.0 * sigma + 0.5) / 2.0), TESS_BLUR_MAX_RADIUS);
  double weight[TESS_BLUR_MAX_RADIUS + 1], sum = 0.0;

  to->blur_radius[a] = radius;
  for (int t = 0; t <= radius; t++) {
    weight[t] = t == 0 ? 1.0 : exp (-0.5 * (double)(t * t) / (sigma * sigma));
    sum += t == 0 ? weight[t] : 2.0 * weight[t];
  }
  for (int t = 0; t <= radius; t++)
    to->blur[a][t] = (float)(weight[t] / sum);
}

/**
 * tess_intensity_blur:
 * @size: of the patch, x, y, z; along a single voxel there is nothing to blur
 * @sigma: voxels, up to 3
 *
 * batchgeneratorsv2's kernel: as many taps as the odd number next to 6 sigma + 1/2.
 */
void
tess_intensity_blur (TessIntensityChannel *channel, const gint64 size[3], const double sigma[3])
{
  for (int a = 0; a < 3; a++)
    if (size[a] > 1)
      blur_axis (channel, a, sigma[a]);
}

/**
 * tess_intensity_thin:
 * @scale: share of the voxels along an axis, above 0 up to 1
 */
void
tess_intensity_thin (TessIntensityChannel *channel, const gint64 size[3], const double scale[3])
{
  for (int a = 0; a < 3; a++)
    channel->coarse[a] = MAX ((gint64)rint ((double)size[a] * scale[a]), 1);
}

static void
blur (const TessPlan *plan, const TessSampleKey *key, guint channel, TessIntensityChannel *to)
{
  TessPhilox4 r = draw (key, TESS_DRAW_BLUR, 1 + channel);
  double sigma[3];

  for (int a = 0; a < 3; a++)
    sigma[a] = tess_philox_range (r.v[a], plan->augmentation.blur_lower, plan->augmentation.blur_upper);
  if (tess_philox_unit (r.v[3]) < plan->augmentation.blur_channel_probability)
    tess_intensity_blur (to, plan->patch, sigma);
}

static void
low_resolution (const TessPlan *plan, const TessSampleKey *key, guint channel, TessIntensityChannel *to)
{
  TessPhilox4 r = draw (key, TESS_DRAW_LOW_RESOLUTION, 1 + channel);
  double scale[3];

  for (int a = 0; a < 3; a++)
    scale[a] = tess_philox_range (r.v[1], plan->augmentation.low_resolution_lower[a], 1.0);
  if (tess_philox_unit (r.v[0]) < plan->augmentation.low_resolution_channel_probability)
    tess_intensity_thin (to, plan->patch, scale);
}

static void
of_channel (const TessPlan *plan, const TessSampleKey *key, guint channel, const gboolean happening[], float noise,
            TessIntensityChannel *to)
{
  *to = (TessIntensityChannel){.noise = noise, .brightness = 1.0f, .contrast = 1.0f};
  if (happening[TESS_DRAW_BLUR])
    blur (plan, key, channel, to);
  if (happening[TESS_DRAW_BRIGHTNESS])
    to->brightness = factor (key, TESS_DRAW_BRIGHTNESS, channel, plan->augmentation.brightness_lower,
                             plan->augmentation.brightness_upper);
  if (happening[TESS_DRAW_CONTRAST])
    to->contrast =
        factor (key, TESS_DRAW_CONTRAST, channel, plan->augmentation.contrast_lower, plan->augmentation.contrast_upper);
  if (happening[TESS_DRAW_LOW_RESOLUTION])
    low_resolution (plan, key, channel, to);
  if (happening[TESS_DRAW_GAMMA_INVERTED])
    to->gamma_inverted =
        factor (key, TESS_DRAW_GAMMA_INVERTED, channel, plan->augmentation.gamma_lower, plan->augmentation.gamma_upper);
  if (happening[TESS_DRAW_GAMMA])
    to->gamma = factor (key, TESS_DRAW_GAMMA, channel, plan->augmentation.gamma_lower, plan->augmentation.gamma_upper);
}

/**
 * tess_recipe_intensity:
 *
 * nnU-Net's order and independence: each transform happens to a sample or not; noise then has one deviation for all
 * channels, the others draw anew for each channel (blur and low resolution also whether it happens to it). All of it is
 * a pure function of (seed, epoch, sample).
 */
void
tess_recipe_intensity (const TessPlan *plan, const TessSampleKey *key, TessIntensity *intensity)
{
  gboolean happening[] = {
      [TESS_DRAW_NOISE_LEVEL] = happens (key, TESS_DRAW_NOISE_LEVEL, plan->augmentation.noise_probability),
      [TESS_DRAW_BLUR] = happens (key, TESS_DRAW_BLUR, plan->augmentation.blur_probability),
      [TESS_DRAW_BRIGHTNESS] = happens (key, TESS_DRAW_BRIGHTNESS, plan->augmentation.brightness_probability),
      [TESS_DRAW_CONTRAST] = happens (key, TESS_DRAW_CONTRAST, plan->augmentation.contrast_probability),
      [TESS_DRAW_LOW_RESOLUTION] =
          happens (key, TESS_DRAW_LOW_RESOLUTION, plan->augmentation.low_resolution_probability),
      [TESS_DRAW_GAMMA_INVERTED] =
          happens (key, TESS_DRAW_GAMMA_INVERTED, plan->augmentation.gamma_inverted_probability),
      [TESS_DRAW_GAMMA] = happens (key, TESS_DRAW_GAMMA, plan->augmentation.gamma_probability)};
  float noise = 0.0f;

  *intensity = (TessIntensity){.noise_key = {key->seed, key->epoch, key->sample, (uint32_t)TESS_DRAW_NOISE}};
  if (!key->augment)
    return;
  if (happening[TESS_DRAW_NOISE_LEVEL])
    noise = (float)tess_philox_range (draw (key, TESS_DRAW_NOISE_LEVEL, 0).v[1], 0.0, plan->augmentation.noise_upper);
  for (guint i = 0; i < G_N_ELEMENTS (happening); i++)
    intensity->any |= happening[i];
  for (guint c = 0; intensity->any && c < plan->n_channels; c++)
    of_channel (plan, key, c, happening, noise, &intensity->channel[c]);
}
