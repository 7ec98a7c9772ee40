#include "host-cuda.h"

#include <map>
#include <stdlib.h>
#include <vector>

#define TESS_CUDA_HOST 1
#include "tess-cuda-band.cu"
#include "tess-cuda-direct.cu"
#include "tess-cuda-grid.cu"
#include "tess-cuda-loss.cu"
#include "tess-cuda-norm.cu"
#include "tess-cuda-optimiser.cu"
#include "tess-cuda-pointwise.cu"
#include "tess-cuda-sample.cu"

typedef std::vector<std::function<void ()>> Work;

HostCuda host_cuda = {(size_t)1 << 32, 9, false, false, 0, 0, 0, 0, 0, 0};

static std::map<void *, size_t> blocks;
static Work *capturing;

/* The fault a test asked for, as the driver would report it. */
static bool
fails (void)
{
  return ++host_cuda.n_calls == host_cuda.fails_at;
}

/* Queued work is copied, as a launch copies its arguments. */
cudaError_t
tess_cuda_host_queue (std::function<void ()> work, cudaStream_t)
{
  if (fails ())
    return cudaErrorLaunchFailure;
  if (capturing != nullptr)
    capturing->push_back (work);
  else
    work ();
  return cudaSuccess;
}

long
host_cuda_split (long i, long n, long *quotient)
{
  int64_t q, rest = split (i, n, &q);

  *quotient = q;
  return rest;
}

bool
tess_cuda_host_backwards (void)
{
  return host_cuda.backwards;
}

cudaError_t
cudaGetDeviceCount (int *n)
{
  *n = 1;
  return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion (int *version)
{
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int)
{
  memset (properties, 0, sizeof *properties);
  strcpy (properties->name, "Host");
  properties->major = host_cuda.major;
  return fails () ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t
cudaSetDevice (int)
{
  return cudaSuccess;
}

cudaError_t
cudaGetLastError (void)
{
  return cudaSuccess;
}

const char *
cudaGetErrorString (cudaError_t)
{
  return "as the test asked";
}

cudaError_t
cudaMemGetInfo (size_t *left, size_t *total)
{
  *total = host_cuda.memory;
  *left = host_cuda.memory - host_cuda.taken;
  return fails () ? cudaErrorUnknown : cudaSuccess;
}

/* Full of NaNs, whichever of our types it is read as. */
cudaError_t
cudaMalloc (void **data, size_t bytes)
{
  if (fails () || bytes > host_cuda.memory - host_cuda.taken)
    return cudaErrorMemoryAllocation;
  *data = aligned_alloc (256, (bytes + 255) / 256 * 256);
  if (*data == nullptr)
    return cudaErrorMemoryAllocation;
  memset (*data, 0xff, bytes);
  blocks[*data] = bytes;
  host_cuda.taken += bytes;
  if (host_cuda.taken > host_cuda.peak)
    host_cuda.peak = host_cuda.taken;
  return cudaSuccess;
}

cudaError_t
cudaFree (void *data)
{
  if (data == nullptr)
    return cudaSuccess;
  if (blocks.count (data) == 0)
    abort ();
  host_cuda.taken -= blocks[data];
  blocks.erase (data);
  free (data);
  return cudaSuccess;
}

cudaError_t
cudaMallocHost (void **data, size_t bytes)
{
  if (fails ())
    return cudaErrorMemoryAllocation;
  *data = calloc (1, bytes);
  return *data != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t
cudaFreeHost (void *data)
{
  free (data);
  return cudaSuccess;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t n, enum cudaMemcpyKind, cudaStream_t stream)
{
  return tess_cuda_host_queue ([=] { memcpy (to, from, n); }, stream);
}

cudaError_t
cudaMemsetAsync (void *to, int value, size_t n, cudaStream_t stream)
{
  return tess_cuda_host_queue ([=] { memset (to, value, n); }, stream);
}

cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned)
{
  *stream = (cudaStream_t)&blocks;
  return fails () ? cudaErrorUnknown : cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t)
{
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t)
{
  return fails () ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t, enum cudaStreamCaptureMode)
{
  if (fails () || host_cuda.refuses_capture)
    return cudaErrorStreamCaptureUnsupported;
  capturing = new Work;
  return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t, cudaGraph_t *graph)
{
  *graph = (cudaGraph_t)capturing;
  capturing = nullptr;
  return fails () ? cudaErrorStreamCaptureInvalidated : cudaSuccess;
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
  if (fails ())
    return cudaErrorUnknown;
  *exec = (cudaGraphExec_t) new Work (*(Work *)graph);
  host_cuda.n_captured++;
  return cudaSuccess;
}

cudaError_t
cudaGraphDestroy (cudaGraph_t graph)
{
  delete (Work *)graph;
  return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy (cudaGraphExec_t exec)
{
  delete (Work *)exec;
  return cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t)
{
  if (fails ())
    return cudaErrorLaunchFailure;
  for (auto &work : *(Work *)exec)
    work ();
  host_cuda.n_replayed++;
  return cudaSuccess;
}

/* Only cuDNN's plans are timed, and there are none here. */
cudaError_t
cudaEventCreate (cudaEvent_t *)
{
  return cudaErrorNotSupported;
}

cudaError_t
cudaEventRecord (cudaEvent_t, cudaStream_t)
{
  return cudaErrorNotSupported;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t)
{
  return cudaErrorNotSupported;
}

cudaError_t
cudaEventElapsedTime (float *, cudaEvent_t, cudaEvent_t)
{
  return cudaErrorNotSupported;
}

cudaError_t
cudaEventDestroy (cudaEvent_t)
{
  return cudaSuccess;
}
