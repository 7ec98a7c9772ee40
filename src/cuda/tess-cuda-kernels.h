#pragma once

/* Launchers of our own kernels, callable from C. Plain C types only: nvcc and the C compiler read the same file and
 * neither needs the other's headers. Each returns the error of its launch; the work is queued on `stream`. */

#include <cuda_runtime_api.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

cudaError_t tess_cuda_leaky_relu_f32 (const float *x, float *y, size_t n, float slope, cudaStream_t stream);

#ifdef __cplusplus
}
#endif
