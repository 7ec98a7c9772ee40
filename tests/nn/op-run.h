#pragma once

#include "op-table.h"

/* One case of the shared op table on a backend's first device against the reference. Skips the test where the backend
 * does not support the type. */
void op_run_case (const TessBackendIface *iface, guint i, TessDType dtype, double tolerance);
