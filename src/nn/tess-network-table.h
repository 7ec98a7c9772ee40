#pragma once

#include "tess-network.h"

G_BEGIN_DECLS

/* A row of a network's table: one convolution, pool or sum with the norm and the activation behind it. Axis arrays are
 * D, H, W. */
typedef struct {
  char      *name; /* PyTorch's, as "encoder.stages.0.0.convs.0.conv" */
  TessOpKind kind; /* a convolution, a pool, a sum, a product or RESIZE */
  gboolean   norm, activation;
  gint64     dim[5];      /* of the result {N, D, H, W, C} */
  gint64     kernel[3], stride[3];
  gint64     field[3];    /* receptive field: voxels of the image, largest over the result's voxels; the whole patch of a global pool */
  gint64     n_parameters; /* with the norm's, and a bias that the norm makes idle */
  double     flops;       /* of the convolution; 2 a multiply-add */
  gsize      bytes;       /* of all results of the row */
} TessNetworkRow;

/* Forward pass of program->kind INFER; rows in the order they run. */
GPtrArray *tess_network_table (const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error);

/* Floating-point operations of op i, and of one run of the whole program (convolutions; a multiply-add is 2). */
double tess_graph_op_flops (const TessGraph *graph, guint i);
double tess_graph_flops    (const TessGraph *graph);

G_END_DECLS
