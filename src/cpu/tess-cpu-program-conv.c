#include "tess-cpu-private.h"

/* Steps of the convolutions: where in the scratch what lies, and what runs before and after the primitive. */

/* A convolution's scratch: x as bf16; y as float32; the weights (or their gradient) as oneDNN likes them, unless they
 * are kept from run to run; what oneDNN and the bias' gradient need. */
static guint8 *
conv_wide (const TessCpuStep *step)
{
  return step->scratch + TESS_CPU_ALIGN (step->conv->cast_bytes);
}

static guint8 *
conv_packed (const TessCpuStep *step)
{
  return step->conv->keeps_weights ? step->keep : conv_wide (step) + TESS_CPU_ALIGN (step->conv->wide_bytes);
}

static guint8 *
conv_scratch (const TessCpuStep *step)
{
  const TessCpuConv *conv = step->conv;

  return conv_wide (step) + TESS_CPU_ALIGN (conv->wide_bytes) +
         (conv->keeps_weights ? 0 : TESS_CPU_ALIGN (conv->packed_bytes));
}

gboolean
tess_cpu_conv_step_prepare (TessProgram *p, TessCpuStep *step, GError **error)
{
  const TessOp *op = step->op;
  TessCpuConv *conv = step->conv = g_new0 (TessCpuConv, 1);

  if (!tess_cpu_conv_init (conv, p->device, p->graph, op, error))
    return FALSE;
  conv->keeps_weights = !conv->writes_weights && p->predicts;
  step->keep_bytes = conv->keeps_weights ? conv->packed_bytes : 0;
  step->scratch_bytes = conv->scratch_bytes;
  if (conv->writes_weights && op->out[1] != TESS_NONE)
    step->scratch_bytes = MAX (step->scratch_bytes, tess_cpu_columns_scratch (step->n * step->voxels, step->channels));
  step->scratch_bytes += TESS_CPU_ALIGN (conv->cast_bytes) + TESS_CPU_ALIGN (conv->wide_bytes);
  if (!conv->keeps_weights)
    step->scratch_bytes += TESS_CPU_ALIGN (conv->packed_bytes);
  return TRUE;
}

gboolean
tess_cpu_conv_step_bind (TessProgram *p, TessCpuStep *step, GError **error)
{
  TessCpuConv *conv = step->conv;
  void *x, *w, *b = NULL, *y;

  switch (step->op->kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
    x = step->in[0];
    w = step->in[1];
    b = step->in[2];
    y = step->out[0];
    break;
  case TESS_OP_CONV_BWD_DATA:
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA:
    x = step->out[0];
    w = step->in[1];
    y = step->in[0];
    break;
  default:
    x = step->in[0];
    w = step->out[0];
    y = step->in[1];
  }
  return tess_cpu_conv_bind (conv, p->device, conv->cast_bytes > 0 ? step->scratch : x, w, b,
                             conv->wide_bytes > 0 ? conv_wide (step) : y, conv_packed (step), conv_scratch (step),
                             error);
}

gboolean
tess_cpu_conv_step_run (TessProgram *p, const TessCpuStep *step, GError **error)
{
  const TessCpuConv *conv = step->conv;
  const TessCpuKernels *k = p->device->kernels;
  const TessDnnl *d = p->device->dnnl;
  guint threads = p->device->n_threads;

  if (conv->cast_bytes > 0)
    k->to_bf16 (threads, conv->cast_bytes / 2, step->in[0], step->scratch);
  if (!conv->writes_weights && !conv->keeps_weights && conv->reorder != NULL &&
      !tess_dnnl_check (d->primitive_execute (conv->reorder, p->device->stream, 2, conv->reorder_args), "pack weights",
                        error))
    return FALSE;
  if (conv->is_ours)
    k->conv_weights (&conv->ours);
  else if (!tess_dnnl_check (d->primitive_execute (conv->main, p->device->stream, conv->n_main_args, conv->main_args),
                             tess_op_name (step->op->kind), error))
    return FALSE;
  if (conv->writes_weights) {
    if (conv->reorder != NULL &&
        !tess_dnnl_check (d->primitive_execute (conv->reorder, p->device->stream, 2, conv->reorder_args),
                          tess_op_name (step->op->kind), error))
      return FALSE;
    if (step->out[1] != NULL)
      k->column_sums (threads, step->bf16, step->n * step->voxels, step->channels, step->in[1], step->out[1],
                      conv_scratch (step));
  } else if (conv->adds_bias) {
    k->add_bias (threads, step->bf16, step->n * step->voxels, step->channels, step->in[2],
                 conv->wide_bytes > 0 ? (const float *)(gconstpointer)conv_wide (step) : step->out[0], step->out[0]);
  }
  return TRUE;
}
