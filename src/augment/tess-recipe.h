#pragma once

#include "tess-intensity.h"
#include "tess-sampler.h"

G_BEGIN_DECLS

/* What a random number decides: the `transform` of its Philox address. Values are part of reproducibility: append only.
 * From TESS_DRAW_NOISE on a block of 16, one a channel. */
typedef enum {
  TESS_DRAW_PLACE = 1,
  TESS_DRAW_FOREGROUND = 2,
  TESS_DRAW_ROTATION = 3,
  TESS_DRAW_SCALE = 4,
  TESS_DRAW_MIRROR = 5,
  TESS_DRAW_NOISE_LEVEL = 6,
  TESS_DRAW_BLUR = 7,
  TESS_DRAW_BRIGHTNESS = 8,
  TESS_DRAW_CONTRAST = 9,
  TESS_DRAW_LOW_RESOLUTION = 10,
  TESS_DRAW_GAMMA_INVERTED = 11,
  TESS_DRAW_GAMMA = 12,
  TESS_DRAW_NOISE = 32,
} TessDrawPurpose;

/* What the plan and the key make of a patch's values; nothing (any = 0) without key->augment. */
void tess_recipe_intensity (const TessPlan *plan, const TessSampleKey *key, TessIntensity *intensity);

/* Parts of it, from the numbers a person would give. */
void tess_intensity_blur (TessIntensityChannel *channel, const gint64 size[3], const double sigma[3]);
void tess_intensity_thin (TessIntensityChannel *channel, const gint64 size[3], const double scale[3]);

/* image {D,H,W,C} of a whole patch, size (x,y,z), in place; NO_MEMORY for a second copy of a channel or two. */
gboolean tess_intensity_apply (const TessIntensity *intensity, float *image, const gint64 size[3], guint n_channels,
                               GError **error);

G_END_DECLS
