#pragma once

#include "tess-session.h"

G_BEGIN_DECLS

/* The backend of $TESSERA_BENCH_BACKEND, else that of id; what it cannot do here ends the program with 77 and one
 * sentence, which run.py passes on. */
const TessBackendIface *bench_backend (const char *id, TessDeviceInfo *info);
/* A whole number of the environment, to try a benchmark on something small. */
gint64 bench_number (const char *name, gint64 without);
/* Noise for the image of the first program, which has one channel, and labels of all its classes. */
gboolean bench_write_batch (TessSession *session, GError **error);
/* VmRSS: or VmHWM:, the largest so far; bytes. */
gint64 bench_resident (const char *name);
/* Forgets the largest resident set, where the system allows it. */
void   bench_forget_peak (void);

G_END_DECLS
