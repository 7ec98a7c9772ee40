#pragma once

#include "tess-snapshot.h"

G_BEGIN_DECLS

/* A snapshot made ready to be shown: every head with image, truth and argmax on its own grid, in display axes. Plain
 * memory, atomically ref-counted, immutable; made by a worker. Volumes {slices, rows, columns}: see tess_heads_slice.
 */
typedef struct {
  gint64 dim[3];                      /* display axes: x to the right of axial pictures, y down, z slices upwards */
  guint8 *image, *truth, *prediction; /* [z][y][x] */
  guint8 *const *p;                   /* [n_classes], each [z][y][x]: round (255 p) */
  double dice[TESS_MAX_LABELS];       /* of every class of this patch; NaN: in neither; [0] mean of those that are */
} TessHeadsLevel;

typedef struct {
  gatomicrefcount refs;
  gint64 epoch, iteration;
  char *case_id;
  guint n_classes, n_levels;
  gint64 dim[3];     /* of the finest grid, display axes */
  double spacing[3]; /* mm along the display axes */
  gboolean oriented; /* display axes are left-posterior-superior; else they are the scan's own */
  TessHeadsLevel levels[TESS_MAX_HEADS];
} TessHeadsData;

typedef enum {
  TESS_HEADS_AXIAL,
  TESS_HEADS_CORONAL,
  TESS_HEADS_SAGITTAL,
} TessHeadsPlane;

typedef enum {
  TESS_HEADS_IMAGE,
  TESS_HEADS_TRUTH,
  TESS_HEADS_PREDICTION,
  TESS_HEADS_ERROR,
  TESS_HEADS_PROBABILITY,
} TessHeadsColumn;

/* codes: directions of the patch's index axes ("LPS") or ""; spacing: mm along index axes x, y, z. */
TessHeadsData *tess_heads_data_new (const TessSnapshot *snapshot, const char *codes, const double spacing[3]);
TessHeadsData *tess_heads_data_ref (TessHeadsData *data);
void tess_heads_data_unref (TessHeadsData *data);

/* "found", "wrong", "missed": RGB of TP, FP, FN. */
extern const guint8 tess_heads_error_colours[3][3];

gint64 tess_heads_n_slices (const TessHeadsData *data, TessHeadsPlane plane); /* of the finest grid */
/* Voxels across and down a picture of a level, and its height over its width in mm. */
void tess_heads_extent (const TessHeadsData *data, guint level, TessHeadsPlane plane, gint64 *columns, gint64 *rows);
double tess_heads_aspect (const TessHeadsData *data, TessHeadsPlane plane);
/* Index of the voxel of a level at a share [0, 1) across and down a picture, and its indices along the display axes. */
gsize tess_heads_voxel (const TessHeadsData *data, guint level, TessHeadsPlane plane, gint64 slice, gboolean mirrored,
                        double across, double down, gint64 at[3]);
/* The level's own slice that contains slice `slice` of the finest grid. */
gint64 tess_heads_slice (const TessHeadsData *data, guint level, TessHeadsPlane plane, gint64 slice);
/* Paints one picture, nearest voxel, into width x height pixels 0xAARRGGBB (native endian). colours: [n_classes] RGB.
 * mirrored: axial and coronal pictures as neurologists see them. */
void tess_heads_paint (const TessHeadsData *data, guint level, TessHeadsColumn column, guint klass,
                       TessHeadsPlane plane, gint64 slice, gboolean mirrored, const guint8 (*colours)[3], int width,
                       int height, guint32 *pixels);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessHeadsData, tess_heads_data_unref)

G_END_DECLS
