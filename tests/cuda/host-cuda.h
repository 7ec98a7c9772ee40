#pragma once

#include <stdbool.h>
#include <stddef.h>

/* A CUDA runtime that is not one: device memory is host memory, a kernel is a loop over its items, a captured graph a
 * list of work. With it the plugin's own sources run on the processor, so that everything but the launches themselves,
 * cuDNN and the driver is tested where there is no GPU. */
#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
  size_t   memory;          /* bytes the card has */
  int      major;           /* of its compute capability */
  bool     backwards;       /* kernels take their last item first */
  unsigned refuses_captures; /* so many more are refused */
  int      late;            /* streams that do nothing before they must: 1: a device's first, 2: its others; 0: none */
  long     fails_at;        /* the call of this number fails, counted from 1; 0: none */
  long     n_calls;         /* so far, of calls that can fail */
  size_t   taken;           /* bytes held now */
  size_t   peak;            /* the most there were; a test may set it back */
  unsigned n_captured, n_replayed;
} HostCuda;

extern HostCuda host_cuda;

/* What a cudaStream_t points to, for a library that has work of its own to queue; data is copied. */
typedef struct {
  bool (*queue) (void *stream, void (*work) (const void *data), const void *data, size_t n);
  const unsigned *n_graphs; /* captured ones that could still be launched */
} HostStream;

/* The kernels' division of indices: what is left over, and the quotient. */
long host_cuda_split (long i, long n, long *quotient);

#ifdef __cplusplus
}
#endif
