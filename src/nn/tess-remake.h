#pragma once

#include "tess-graph.h"

G_BEGIN_DECLS

/* Private to the construction of the backward pass: results of the forward pass that are not kept for it but made again
 * when one of its ops reads them. */
typedef struct {
  TessGraph *graph;
  guint     n_tensors; /* of the forward pass */
  gboolean *dropped;   /* per tensor */
  guint    *maker;     /* op that makes it; TESS_NONE */
  TessId   *again;     /* its copy since tess_remake_forget; TESS_NONE */
} TessRemake;

void   tess_remake_init   (TessRemake *remake, TessGraph *graph, int n_stages); /* < 0: everything is kept */
void   tess_remake_clear  (TessRemake *remake);
TessId tess_remake_get    (TessRemake *remake, TessId id); /* id itself where it is kept; may append ops */
void   tess_remake_forget (TessRemake *remake);            /* copies made so far live no longer than their readers so far */

G_END_DECLS
