#pragma once

#include "tess-cudnn.h"
#include "tess-graph.h"

G_BEGIN_DECLS

/* A plan may not want more working memory than this, in bytes. */
#define TESS_CUDA_WORKSPACE ((gsize)1 << 30)

/* One of the six convolution ops as one pass from a fine grid to a coarse one, and which tensors take part. */
typedef struct {
  TessCudnnConv shape;
  TessId   fine, coarse, weights; /* fine, coarse: the op's x and y, or gradients in their place */
  TessId   bias;                  /* of a forward op added to the result, of a weights' gradient the bias' gradient */
  gboolean casts;                 /* the op's x is float32 and multiplied as bf16 */
} TessCudaConvOp;

void     tess_cuda_conv_describe (const TessGraph *graph, const TessOp *op, gboolean exact, TessCudaConvOp *out);

/* Computed by our own kernel without asking cuDNN: it has no plan for it on any card. */
gboolean tess_cuda_conv_is_own   (const TessCudnnConv *conv);

G_END_DECLS
