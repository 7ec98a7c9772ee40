#include "tess-presets.h"

#include <glib/gi18n-lib.h>
#include <math.h>

typedef struct {
  const char *name;
  double a, b; /* CT: width and level in HU; else lower and upper end as shares of the robust range */
} Preset;

/* Widths and levels as radiology departments commonly set them. */
static const Preset ct[TESS_N_PRESETS] = {
    {N_ ("Soft tissue"), 400, 40}, {N_ ("Lung"), 1500, -600},  {N_ ("Bone"), 1800, 400},
    {N_ ("Brain"), 80, 40},        {N_ ("Stroke"), 40, 40},    {N_ ("Liver"), 150, 30},
    {N_ ("Mediastinum"), 350, 50}, {N_ ("Vessels"), 600, 200}, {N_ ("Full range"), 4000, 1000},
};

static const Preset other[TESS_N_PRESETS] = {
    {N_ ("Whole range"), 0.00, 1.00},     {N_ ("Brighter"), 0.00, 0.75}, {N_ ("Bright"), 0.00, 0.50},
    {N_ ("Dark structures"), 0.00, 0.25}, {N_ ("Middle"), 0.25, 0.75},   {N_ ("Upper half"), 0.50, 1.00},
    {N_ ("Upper quarter"), 0.75, 1.00},   {N_ ("Wide"), -0.25, 1.25},    {N_ ("Very wide"), -0.50, 1.50},
};

const char *
tess_preset_name (gboolean hounsfield, guint i)
{
  return i < TESS_N_PRESETS ? _ ((hounsfield ? ct : other)[i].name) : NULL;
}

void
tess_preset_window (gboolean hounsfield, guint i, double auto_lower, double auto_upper, double *lower, double *upper)
{
  const Preset *preset = &(hounsfield ? ct : other)[MIN (i, TESS_N_PRESETS - 1)];

  if (hounsfield) {
    *lower = preset->b - 0.5 * preset->a;
    *upper = preset->b + 0.5 * preset->a;
  } else {
    *lower = auto_lower + preset->a * (auto_upper - auto_lower);
    *upper = auto_lower + preset->b * (auto_upper - auto_lower);
  }
}

/* The preset that @layer's window is now, or -1. */
int
tess_preset_find (TessStudy *study, TessLayer *layer)
{
  double lower, upper, a, b;

  tess_study_get_auto_window (study, layer, &lower, &upper);
  for (guint i = 0; i < TESS_N_PRESETS; i++) {
    tess_preset_window (tess_study_is_hounsfield (study, layer), i, lower, upper, &a, &b);
    if (fabs (layer->lower - a) <= 1e-6 * (b - a) && fabs (layer->upper - b) <= 1e-6 * (b - a))
      return (int)i;
  }
  return -1;
}

void
tess_preset_apply (TessStudy *study, TessLayer *layer, guint i)
{
  double lower, upper;

  if (!layer || layer->lut == TESS_LUT_LABELS || i >= TESS_N_PRESETS)
    return;
  tess_study_get_auto_window (study, layer, &lower, &upper);
  tess_preset_window (tess_study_is_hounsfield (study, layer), i, lower, upper, &lower, &upper);
  tess_study_set_window (study, layer, lower, upper);
}
