#pragma once

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes from this process, for good, what a reader of untrusted bytes needs not: opening files, sockets, other programs,
 * other processes, more memory than the limit set before. What it has open stays usable. FALSE: this kernel cannot. */
bool tess_codec_sandbox_enter (void);
/* The limits the kernel keeps by itself: no file grows, no core is dumped, processor seconds. */
void tess_codec_sandbox_limits (unsigned cpu_seconds);

#ifdef __cplusplus
}
#endif
