#include "tess-cuda-conv.h"

/**
 * tess_cuda_conv_describe:
 * @op: one of the six convolution ops
 * @exact: float32 is not to be cut to TF32
 *
 * A transposed convolution goes from its coarse x to its fine y: its forward pass is a convolution's gradient of the
 * data, and its own gradient of the data a convolution. Weights are {coarse channels, fine channels, ...} for both.
 * Everything is multiplied in the graph's act_dtype; what a forward pass writes may be float32 (logits).
 */
void
tess_cuda_conv_describe (const TessGraph *graph, const TessOp *op, gboolean exact, TessCudaConvOp *out)
{
  gboolean transposed = op->kind == TESS_OP_CONV_TRANSPOSE || op->kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA ||
                        op->kind == TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS;
  gboolean forward = op->kind == TESS_OP_CONV || op->kind == TESS_OP_CONV_TRANSPOSE;
  gboolean data = op->kind == TESS_OP_CONV_BWD_DATA || op->kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA;
  TessId x = data ? op->out[0] : op->in[0], y = forward ? op->out[0] : data ? op->in[0] : op->in[1];
  const TessTensor *fine, *coarse;
  TessCudnnConv *s = &out->shape;

  *out = (TessCudaConvOp){
      .fine = transposed ? y : x,
      .coarse = transposed ? x : y,
      .weights = forward || data ? op->in[1] : op->out[0],
      .bias = forward ? op->in[2]
              : data  ? TESS_NONE
                      : op->out[1],
      .casts = !data && tess_graph_tensor (graph, x)->dtype != graph->act_dtype,
  };
  fine = tess_graph_tensor (graph, out->fine);
  coarse = tess_graph_tensor (graph, out->coarse);
  s->pass = !forward && !data ? TESS_CUDNN_WEIGHTS : forward == transposed ? TESS_CUDNN_DATA : TESS_CUDNN_FORWARD;
  s->n = fine->dim[0];
  s->fine_channels = fine->dim[4];
  s->coarse_channels = coarse->dim[4];
  for (guint a = 0; a < 3; a++) {
    s->fine[a] = fine->dim[1 + a];
    s->coarse[a] = coarse->dim[1 + a];
    s->kernel[a] = op->attr.conv.kernel[a];
    s->stride[a] = op->attr.conv.stride[a];
    s->pad[a] = op->attr.conv.pad[a];
    s->gap[a] = op->attr.conv.gap[a];
  }
  s->fine_type = s->coarse_type = s->weight_type = graph->act_dtype;
  if (s->pass == TESS_CUDNN_FORWARD)
    s->coarse_type = forward ? coarse->dtype : graph->act_dtype;
  else if (s->pass == TESS_CUDNN_DATA)
    s->fine_type = forward ? fine->dtype : graph->act_dtype;
  s->exact = exact && graph->act_dtype == TESS_DTYPE_F32;
}

/* bfloat16 with a float32 result, as logits are: of cuDNN 9.19 no engine of any card from sm_80 to sm_120 does that. */
gboolean
tess_cuda_conv_is_own (const TessCudnnConv *conv)
{
  return conv->fine_type != conv->coarse_type;
}
