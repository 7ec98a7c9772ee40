#pragma once

#include "tess-sampler.h"

#include <string.h>

#define N_LABELS 4u

/* The scan of tests/reference/sampler.py. */
static inline gint16
channel_value (guint channel, gint64 x, gint64 y, gint64 z)
{
  if (channel == 0)
    return (gint16)((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * z * z) % 251 - 60);
  return (gint16)((x * x + 2 * y * z + 11 * z) % 97);
}

static inline guint8
label_value (gint64 x, gint64 y, gint64 z)
{
  return (guint8)((x / 5 + y / 4 + z / 3) % 4);
}

static inline TessCase *
make_case (const gint64 dim[3], const double spacing[3], guint n_channels)
{
  TessAffine affine = tess_affine_scale (spacing[0], spacing[1], spacing[2]);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  TessVolume *images[2] = {NULL, NULL};
  guint8 *labels = tess_volume_data_mut (label);
  GError *error = NULL;
  TessCase *c;

  for (guint i = 0; i < n_channels; i++)
    images[i] = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);
  for (gint64 z = 0, at = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++)
      for (gint64 x = 0; x < dim[0]; x++, at++) {
        labels[at] = label_value (x, y, z);
        for (guint i = 0; i < n_channels; i++)
          ((gint16 *)tess_volume_data_mut (images[i]))[at] = channel_value (i, x, y, z);
      }
  c = tess_case_new ("case", images, n_channels, label, N_LABELS, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < n_channels; i++)
    tess_volume_unref (images[i]);
  return c;
}

/* Channel 0 by z-score, channel 1 as CT with the numbers of sampler.py; no augmentation. */
static inline TessPlan *
make_plan (const double spacing[3], const gint64 patch[3], guint n_channels)
{
  TessPlan *plan = tess_plan_new ();

  tess_plan_add_channel (plan, "a", TESS_NORM_ZSCORE);
  if (n_channels > 1) {
    tess_plan_add_channel (plan, "b", TESS_NORM_CT);
    plan->channels[1].lower = 10.0;
    plan->channels[1].upper = 80.0;
    plan->channels[1].mean = 40.0;
    plan->channels[1].std = 16.0;
  }
  for (guint l = 0; l < N_LABELS; l++)
    tess_plan_add_label (plan, l ? "structure" : "background", l);
  for (int a = 0; a < 3; a++) {
    plan->spacing[a] = spacing[a];
    plan->patch[a] = patch[a];
  }
  tess_plan_restrict_augmentation (plan, TESS_PLAN_AUGMENTATION_NONE);
  return plan;
}

typedef struct {
  TessPatchOut out;
  gsize n; /* voxels */
  guint n_channels;
} Patch;

static inline void
patch_alloc (Patch *p, const TessPlan *plan, const TessBox *region)
{
  p->out.region = region ? *region : (TessBox){{0, 0, 0}, {plan->patch[0], plan->patch[1], plan->patch[2]}};
  p->n = (gsize)tess_box_n_voxels (&p->out.region);
  p->n_channels = plan->n_channels;
  p->out.image = g_new (float, p->n * p->n_channels);
  p->out.label = g_new (guint8, p->n);
  memset (p->out.image, 0x77, p->n * p->n_channels * sizeof (float));
  memset (p->out.label, 0x77, p->n);
}

static inline void
patch_draw (Patch *p, const TessPlan *plan, const TessCase *c, const TessSampleKey *key, const TessBox *region)
{
  GError *error = NULL;

  patch_alloc (p, plan, region);
  tess_sampler_draw (plan, c, key, &p->out, &error);
  g_assert_no_error (error);
}

static inline void
patch_clear (Patch *p)
{
  g_clear_pointer (&p->out.image, g_free);
  g_clear_pointer (&p->out.label, g_free);
}
