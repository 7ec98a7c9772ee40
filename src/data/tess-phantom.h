#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

/* Synthetic labelled CT-like scans of a torso: something to learn from where no data are at hand. */
#define TESS_PHANTOM_N_LABELS 4u /* background, organ, vessel, gland */

typedef struct {
  guint   n_cases, n_test; /* labelled training scans; held-out ones with their labels in imagesTs and labelsTs */
  gint64  size[3];         /* voxels; every scan differs a little from it */
  guint64 seed;
} TessPhantomOptions;

extern const char *const tess_phantom_label_names[TESS_PHANTOM_N_LABELS];

/* Scan `index` of a seed: int16 in Hounsfield units and uint8 labels on one slightly oblique grid; new references. */
gboolean tess_phantom_make  (guint64 seed, guint32 index, const gint64 size[3], TessVolume **image, TessVolume **label, GError **error);
/* A dataset in nnU-Net's raw layout; directory must be empty or not exist yet. */
gboolean tess_phantom_write (const char *directory, const TessPhantomOptions *options, TessProgress *progress, GError **error);

G_END_DECLS
