#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

/* The oneDNN backend, linked in; oneDNN itself is loaded when a device is first opened. */
const TessBackendIface *tess_cpu_backend (void);

/* Seconds spent in each kind of op (packing of weights included) since the last call. For benchmarks. */
void tess_cpu_program_profile (TessProgram *program, double seconds[TESS_N_OPS]);

G_END_DECLS
