#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

/* The oneDNN backend, linked in; oneDNN itself is loaded when a device is first opened. */
const TessBackendIface *tess_cpu_backend (void);

G_END_DECLS
