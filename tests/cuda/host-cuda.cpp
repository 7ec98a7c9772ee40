#include "host-cuda.h"

#include <deque>
#include <map>
#include <stdlib.h>
#include <vector>

#define TESS_CUDA_HOST 1
#include "tess-cuda-direct.cu"
#include "tess-cuda-grid.cu"
#include "tess-cuda-loss.cu"
#include "tess-cuda-norm.cu"
#include "tess-cuda-optimiser.cu"
#include "tess-cuda-pointwise.cu"

typedef std::vector<std::function<void ()>> Work;

/* Work waits where its stream is to be late, or for an event of a stream that is. */
struct HostEvent {
  long recorded, reached;    /* so many times */
  struct HostStream *stream; /* that it was last recorded on */
};

struct HostStream {
  struct Item {
    std::function<void ()> work;
    HostEvent *wait; /* for this first, as it was recorded by then; NULL: for nothing */
    long recorded;
  };
  bool late;
  std::deque<Item> items;
};

HostCuda host_cuda = {(size_t)1 << 32, 9, false, false, HOST_NONE_LATE, 0, 0, 0, 0, 0, 0};

static std::map<void *, size_t> blocks;
static Work *capturing;

/* The fault a test asked for, as the driver would report it. */
static bool
fails (void)
{
  return ++host_cuda.n_calls == host_cuda.fails_at;
}

/* Runs what a stream may run by itself; to the end where somebody waits for it, and then what it waits for, too. */
static void
advance (HostStream *stream, bool to_the_end)
{
  while (!stream->items.empty ()) {
    HostStream::Item item = stream->items.front ();

    if (item.wait != nullptr && item.wait->reached < item.recorded) {
      if (!to_the_end)
        return;
      advance (item.wait->stream, true);
    }
    stream->items.pop_front ();
    item.work ();
  }
}

static void
put (HostStream *stream, std::function<void ()> work, HostEvent *wait)
{
  if (stream == nullptr) {
    work ();
    return;
  }
  stream->items.push_back ({work, wait, wait != nullptr ? wait->recorded : 0});
  if (!stream->late)
    advance (stream, false);
}

/* Queued work is copied, as a launch copies its arguments. */
cudaError_t
tess_cuda_host_queue (std::function<void ()> work, cudaStream_t stream)
{
  if (fails ())
    return cudaErrorLaunchFailure;
  if (capturing != nullptr)
    capturing->push_back (work);
  else
    put ((HostStream *)stream, work, nullptr);
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

/* A device's first stream computes; the others copy. */
cudaError_t
cudaStreamCreateWithFlags (cudaStream_t *stream, unsigned)
{
  if (fails ())
    return cudaErrorUnknown;
  bool computes = host_cuda.n_streams++ == 0;
  *stream = (cudaStream_t) new HostStream{host_cuda.late == (computes ? HOST_COMPUTE_LATE : HOST_COPIES_LATE), {}};
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  advance ((HostStream *)stream, true);
  delete (HostStream *)stream;
  host_cuda.n_streams--;
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  advance ((HostStream *)stream, true);
  return fails () ? cudaErrorLaunchFailure : cudaSuccess;
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned)
{
  if (fails ())
    return cudaErrorUnknown;
  put ((HostStream *)stream, [] {}, (HostEvent *)event);
  return cudaSuccess;
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
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t stream)
{
  if (fails ())
    return cudaErrorLaunchFailure;
  put ((HostStream *)stream,
       [=] {
         for (auto &work : *(Work *)exec)
           work ();
       },
       nullptr);
  host_cuda.n_replayed++;
  return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned)
{
  if (fails ())
    return cudaErrorUnknown;
  *event = (cudaEvent_t) new HostEvent{0, 0, nullptr}; /* one never recorded holds nobody up */
  return cudaSuccess;
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  return cudaEventCreateWithFlags (event, 0);
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  HostEvent *e = (HostEvent *)event;

  if (fails ())
    return cudaErrorUnknown;
  e->recorded++;
  e->stream = (HostStream *)stream;
  put (
      e->stream, [=] { e->reached++; }, nullptr);
  return cudaSuccess;
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  HostEvent *e = (HostEvent *)event;

  if (e->reached < e->recorded)
    advance (e->stream, true);
  return fails () ? cudaErrorLaunchFailure : cudaSuccess;
}

/* All plans take as long. */
cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t, cudaEvent_t)
{
  *milliseconds = 1;
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  delete (HostEvent *)event;
  return cudaSuccess;
}
