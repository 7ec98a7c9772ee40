#pragma once

#include "tess-findings.h"
#include "tess-volume.h"

G_BEGIN_DECLS

#define TESS_MAX_LAYERS 8

typedef enum {
  TESS_PLANE_AXIAL,
  TESS_PLANE_SAGITTAL,
  TESS_PLANE_CORONAL,
  TESS_N_PLANES
} TessPlane;

typedef enum {
  TESS_LUT_GREY,
  TESS_LUT_HOT,
  TESS_LUT_LABELS,
  TESS_N_LUTS
} TessLut;

/* One volume as it is shown. Everything here is a uniform or a small texture: changing it uploads no voxels. */
typedef struct {
  TessVolume     *volume;
  gint64          channel;
  char           *name;
  gboolean        visible;
  double          opacity;             /* [0,1]; of the fill for label layers */
  double          lower, upper;        /* window in real values */
  TessLut         lut;                 /* TESS_LUT_LABELS: nearest voxel, one colour a value, never blended */
  gboolean        linear;              /* trilinear; else nearest */
  gboolean        fill, outline;       /* label layers */
  TessLabelTable *labels;              /* label layers: names and colours */
  GHashTable     *hidden;              /* label layers: set of hidden values (GINT_TO_POINTER) */
  guint64         voxels_serial;       /* changes when other voxels are to be shown */
  guint64         labels_serial;       /* changes when colours or visibility change */
} TessLayer;

/* What is on the canvas: layers bottom to top and the point all panes look at. */
typedef struct {
  GPtrArray *layers;        /* TessLayer */
  double     cursor[3];     /* world mm RAS+ */
  double     basis[3][3];   /* rows: unit vectors of the view's right-left, posterior-anterior, inferior-superior axes */
  gboolean   neurological;  /* patient's left on the left of the screen */
  gboolean   sagittal_nose_right;
  TessFindings *findings;   /* of the scan, drawn as circles; NULL when none */
} TessScene;

TessScene *tess_scene_new         (void);
void       tess_scene_free        (TessScene *scene);
TessLayer *tess_scene_add         (TessScene *scene, TessVolume *volume, const char *name); /* window from robust percentiles */
void       tess_scene_remove      (TessScene *scene, TessLayer *layer);
/* The layer alone: made on any thread (it looks at many voxels), put into a scene by insert, which takes it. */
TessLayer *tess_layer_new         (TessVolume *volume, const char *name);
void       tess_layer_free        (TessLayer *layer);
gboolean   tess_scene_insert      (TessScene *scene, TessLayer *layer, guint position); /* FALSE when full: still the caller's */
TessLayer *tess_scene_steal       (TessScene *scene, TessLayer *layer, guint *position); /* (transfer full) */
TessLayer *tess_scene_main        (const TessScene *scene); /* first image layer, else first layer, else NULL */
void       tess_scene_set_findings (TessScene *scene, TessFindings *findings); /* takes a reference; NULL: none */
void       tess_scene_reset       (TessScene *scene); /* basis from the main layer, cursor in its middle */
/* Label layers: gives every value that occurs a name and a colour where its table has none. */
gboolean   tess_layer_complete_labels (TessLayer *layer, GError **error);
void       tess_layer_auto_window (TessLayer *layer); /* 0.5 and 99.5 percentile of the finite values */
void       tess_layer_set_channel (TessLayer *layer, gint64 channel); /* clamped */
void       tess_layer_set_labels  (TessLayer *layer, TessLabelTable *labels);
void       tess_layer_set_hidden  (TessLayer *layer, gint32 value, gboolean hidden);
/* Slices of the channel shown that have been read: all of them, but for a volume that is still being loaded. */
gint64     tess_layer_readable    (const TessLayer *layer);
/* Nearest voxel of an index coordinate p: floor (p + half). A point midway between two voxels belongs to the one further
 * right, anterior or superior, in whatever order the file stores them. */
void       tess_layer_rounding    (const TessLayer *layer, double half[3]);
/* Value under a world point as drawn (NaN outside). */
double     tess_layer_value_at    (const TessLayer *layer, const double world[3]);
void       tess_lut_colours       (TessLut lut, guint8 rgba[256][4]);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessScene, tess_scene_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLayer, tess_layer_free)

G_END_DECLS
