#pragma once

/* Private to the writer of ONNX files. */

#include "tess-onnx.h"

G_BEGIN_DECLS

/* A parameter as an initialiser of the graph. */
typedef struct {
  TessId id;
  guint  n_dims;
  gint64 dim[TESS_MAX_DIMS];
} TessOnnxWeight;

typedef struct {
  const TessNetwork *network;
  const TessGraph *graph;
  guint       flat;      /* the axis (1, 2, 3: D, H, W) that networks of slices lack, or 0 */
  GByteArray *nodes;     /* fields of GraphProto */
  GByteArray *constants; /* the same: initialisers that are no parameters */
  GArray     *weights;   /* TessOnnxWeight */
  gboolean    fixed;     /* an op asks for the patch's size */
} TessOnnx;

/* The node or nodes of every forward op; FALSE: UNSUPPORTED naming the op. */
gboolean tess_onnx_add_op (TessOnnx *onnx, guint i, GError **error);
char    *tess_onnx_value  (const TessOnnx *onnx, TessId id); /* its name in the file */
/* n values over D, H, W without the axis that slices lack. Returns how many. */
guint    tess_onnx_axes   (const TessOnnx *onnx, const gint64 dhw[3], gint64 *out);

G_END_DECLS
