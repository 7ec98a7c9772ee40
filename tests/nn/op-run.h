#pragma once

#include "op-table.h"

/* One case of the shared op table on a backend's first device against the reference. Skips the test where the backend
 * does not support the type. */
void op_run_case (const TessBackendIface *iface, guint i, TessDType dtype, double tolerance);
/* A placed graph over arenas of the host's (ref_arenas_new), once. Of the activations, whose arena the backend may make
 * larger, nothing is copied. */
void op_run_graph (const TessBackendIface *iface, TessGraph *graph, guint n_threads, guint8 *const *arenas,
                   const TessStepArgs *args);
