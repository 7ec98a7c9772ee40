#pragma once

#include "tess-backend.h"
#include "tess-case.h"
#include "tess-normalise.h"
#include "tess-patch-grid.h"
#include "tess-plan.h"

G_BEGIN_DECLS

/* Which patch of a case. Everything random is a pure function of (seed, epoch, sample). */
typedef struct {
  gboolean random;     /* TRUE: place drawn at random. FALSE: at `origin` */
  gboolean foreground; /* random place: centred on a voxel of a random foreground class (any place when there is none) */
  gboolean augment;    /* rotation, scaling, mirroring as the plan says */
  guint    mirrored;   /* bits of axes (x 1, y 2, z 4) flipped besides, about the patch's centre */
  gint64   origin[3];  /* lowest voxel of the patch in the case's target grid; may be negative */
  guint64  seed;
  guint32  epoch, sample;
} TessSampleKey;

/* What to compute and where to put it. region: part of the patch in its own voxels (x,y,z), so that a preview asks
 * for three planes; its voxel (x,y,z), channel c goes to image[((z*H + y)*W + x)*C + c] with D,H,W = region size. */
typedef struct {
  TessBox region;
  float  *image; /* {D,H,W,C} */
  guint8 *label; /* {D,H,W}, NULL when not wanted */
} TessPatchOut;

/* The grid patches live in: the case's axes at the plan's spacing. */
TessGrid tess_sampler_target_grid (const TessPlan *plan, const TessCase *c);
/* Patch voxel (x,y,z) -> native voxel index of the case. */
gboolean tess_sampler_mapping (const TessPlan *plan, const TessCase *c, const TessSampleKey *key, TessAffine *mapping, GError **error);
/* One interpolation from native voxels: normalise, then trilinear; labels by linear one-hot, argmax (ties: the lower
 * value). Outside the scan the image is 0 and the label background. Bit-identical for a given key on any thread.
 * TessDeviceCase draws the same on a device. */
gboolean tess_sampler_draw (const TessPlan *plan, const TessCase *c, const TessSampleKey *key, TessPatchOut *out, GError **error);

G_END_DECLS
