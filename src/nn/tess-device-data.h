#pragma once

#include "tess-dtype.h"
#include "tess-intensity.h"

G_BEGIN_DECLS

/* What backends do with device memory outside programs (TessBackendIface): sums of logits that slide over a scan, and
 * patches drawn from native voxels. Products and sums are each rounded to their type, none are fused, and every voxel's
 * are added in the order of the calls: all backends have the same bits. Grids are x, y, z here, as volumes are; arrays
 * are in C order. */
typedef struct _TessBuffer TessBuffer;

/* Sums of weighted logits in a band of slices of the grid that tiles lie in: slice z stands in slot z % n_slots. */
typedef struct {
  gint64      dim[3]; /* of that grid */
  gint64      n_slots, channels;
  TessBuffer *sum;    /* f32 {slots, y, x, channels}; after band_mean the mean */
  TessBuffer *weight; /* f32 {slots, y, x} */
} TessBand;

/* The logits of a tile, which may reach beyond the grid; what does is left out. */
typedef struct {
  gint64      lo[3], hi[3];
  TessBuffer *logits;  /* f32 {z, y, x, channels} */
  gsize       offset;  /* in it, bytes */
  TessBuffer *weights; /* f32 {z, y, x}; NULL: 1 everywhere */
  guint       mirrored; /* bit a: the logits, not the weights, run backward along axis a (x 0, y 1, z 2) */
} TessBandTile;

/* Where an index of a scan lies along one axis of the band's grid: lo + f of the way to hi. */
typedef struct {
  gint32 lo, hi;
  float  f;
} TessBandPosition;

/* Labels of slices z0 .. z1 - 1 of a scan whose axes are the band's; what they are interpolated from holds means. */
typedef struct {
  gint64      dim[3];      /* of the scan */
  gint64      z0, z1;
  TessBuffer *position[3]; /* TessBandPosition of every index along x, y, z; NULL: the scan's grid is the band's */
  gboolean    paints;      /* channels above 0 paint their label, later over earlier; else the lowest of the largest wins */
  guint8      paint[256];
  TessBuffer *labels;      /* u8 {z1 - z0, y, x} */
} TessBandLabels;

#define TESS_SAMPLE_MAX_CHANNELS 16

/* One channel of a scan as it was stored, and what becomes of a voxel: slope v + intercept as float, 0 where that is not
 * finite, else (clamp (v, lower, upper) - shift) scale. */
typedef struct {
  TessBuffer *voxels; /* dtype {z, y, x} */
  TessDType   dtype;
  double      slope, intercept;
  float       lower, upper, shift, scale;
} TessSampleChannel;

G_STATIC_ASSERT (TESS_SAMPLE_MAX_CHANNELS == TESS_INTENSITY_MAX_CHANNELS);

/* A patch: voxel (x, y, z) of it is what lies at map (x, y, z) in the scan, linear between voxels; of labels the one
 * whose indicator is largest there, the lowest of equals. Beyond the scan the image is 0 and the label 0. */
typedef struct {
  gint64            dim[3]; /* of the scan */
  double            map[3][4];
  guint             n_channels;
  TessSampleChannel channel[TESS_SAMPLE_MAX_CHANNELS];
  TessBuffer       *labels; /* u8 {z, y, x}; NULL where no label is wanted */
  gint64            size[3]; /* of the patch */
  TessBuffer       *image, *label; /* f32 {z, y, x, channels}; u8 {z, y, x} or NULL; ... */
  gsize             image_offset, label_offset; /* in them, bytes */
  const TessIntensity *intensity; /* what is done to the image then; NULL: nothing */
  TessBuffer       *scratch; /* tess_intensity_scratch() bytes where something is; not kept from call to call */
} TessSample;

G_END_DECLS
