#pragma once

#include "tess-dtype.h"

G_BEGIN_DECLS

/* What a canvas must show, computed anew from the definition, in double precision and one pixel at a time. Shares no code
 * with src/render or src/image: geometry, sampling, colours and composition are written here a second time. */

#define ORACLE_MAX_LABELS 8

typedef enum { ORACLE_GREY, ORACLE_HOT, ORACLE_LABELS } OracleLut;

/* A volume with its looks. stored: x fastest; real value = slope * stored + intercept; m: voxel -> world mm RAS+. */
typedef struct {
  TessDType dtype;
  int       dim[3];
  double    m[3][4], slope, intercept;
  double   *stored;
  gboolean  hidden_layer, nearest;
  double    opacity, lower, upper;
  OracleLut lut;
  gboolean  no_fill, no_outline;
  int       n_labels, labels[ORACLE_MAX_LABELS]; /* values with a colour */
  guint8    colours[ORACLE_MAX_LABELS][4];
  gboolean  hidden[ORACLE_MAX_LABELS];
} OracleLayer;

/* plane: 0 axial, 1 sagittal, 2 coronal. The first layer that is not labels decides the view's axes. */
typedef struct {
  int         n_layers;
  OracleLayer layers[4];
  double      cursor[3];                        /* world mm */
  gboolean    neurological, nose_right;
} OracleScene;

typedef struct {
  int    plane, x, y, width, height;
  double zoom, pan[2];
} OraclePane;

/* colour: of pixel (i,j) of the pane, 0 to 255 and not rounded. Returns how far (in voxels) the pixel, or one beside it
 * where outlines look there, lies from the nearest place where a label, a nearest voxel or a volume ends. */
double oracle_pixel (const OracleScene *scene, const OraclePane *pane, int i, int j, double colour[3]);

G_END_DECLS
