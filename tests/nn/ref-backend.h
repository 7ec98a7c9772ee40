#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

/* The reference behind the backend contract, with id "cpu": for tests of what lies above a backend. Slow. Counts
 * what is taken and not given back. */
const TessBackendIface *ref_backend (void);

guint ref_backend_live (void); /* devices, buffers and programs now alive */

G_END_DECLS
