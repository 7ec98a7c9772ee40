#pragma once

#include "tess-graph.h"

G_BEGIN_DECLS

/* For the builders of ops. */
TessOp   tess_graph_new_op    (TessOpKind kind, guint n_in); /* n_out 1 */
gboolean tess_graph_growing   (const TessGraph *graph, TessId id); /* a tensor, and no backward op yet */
TessId   tess_graph_misfit    (const TessGraph *graph, TessOpKind kind, const char *text, GError **error); /* TESS_NONE */
/* Appends a forward op whose first output is a new tensor of this shape. */
TessId   tess_graph_append_op (TessGraph *graph, TessOp *op, TessDType dtype, guint n_dims, const gint64 *dim, GError **error);

G_END_DECLS
