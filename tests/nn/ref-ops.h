#pragma once

#include "ref.h"

/* One op on double arrays (values of its inputs and outputs are there; other entries may be NULL). GRAD_NORM and SGD
 * need the values of all GRAD, and PARAM and MOMENTUM, tensors. */
gboolean ref_op_run (const TessGraph *graph, const TessOp *op, double *const *values, const TessStepArgs *args,
                     guint64 *kinks, GError **error);

/* The ops from TESS_OP_ACT on; FALSE: not one of them. */
gboolean ref_extra_run (const TessGraph *graph, const TessOp *op, double *const *values, const TessStepArgs *args,
                        guint64 *kinks);
