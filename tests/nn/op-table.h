#pragma once

#include "ref.h"

G_BEGIN_DECLS

/* One table of cases for all backends. A case is a small placed graph (forward, loss, backward, and in most cases
 * GRAD_NORM and SGD) whose intermediate results and their gradients are marked as outputs.
 *
 * A backend's test:
 *   for i in op_table_n ():
 *     ref_graph = op_table_build (i, dtype); arenas = ref_arenas_new (ref_graph);
 *     op_table_fill (i, ref_graph, arenas); op_table_args (i, &args); ref_run (ref_graph, arenas, &args);
 *     graph = op_table_build (i, dtype); prepare, bind, upload the bytes op_table_fill gives, run, download;
 *     op_table_compare (ref_graph, arenas, graph, downloaded, tolerance, &worst)
 * with dtype F32 and tolerance 1e-10, or BF16 and 1e-4. Build the reference's graph in the backend's dtype, so that
 * both round at the same places (a leaky ReLU's input that changes its sign by rounding changes a gradient by 100 %).
 * Tensor ids are the same for both dtypes. op_table_fill is bit-equal for the same case and dtype. */
guint       op_table_n     (void);
const char *op_table_name  (guint i); /* "conv-1x3x3-s1x2x2-c3-b2": usable in a test path */
TessGraph  *op_table_build (guint i, TessDType act_dtype, GError **error);
/* INPUT, LABEL, PARAM and MOMENTUM get their values, everything else is left alone. */
void        op_table_fill  (guint i, const TessGraph *graph, guint8 *const arenas[TESS_N_ARENAS]);
void        op_table_args  (guint i, TessStepArgs *args); /* param_version is 1 */

/* Compares every OUTPUT, GRAD, PARAM and MOMENTUM tensor by id. FALSE with a sentence naming the first tensor over
 * tolerance. Hard counts (tp, fp, fn in metrics) must agree to within 2 voxels. worst: largest NMSE seen (or NULL). */
gboolean    op_table_compare (const TessGraph *ref_graph, guint8 *const ref_arenas[TESS_N_ARENAS],
                              const TessGraph *graph, guint8 *const arenas[TESS_N_ARENAS],
                              double tolerance, double *worst, GError **error);

/* A case by what it holds: for a backend that runs only some ops. */
gboolean    op_table_uses  (const TessGraph *graph, TessOpKind kind);

G_END_DECLS
