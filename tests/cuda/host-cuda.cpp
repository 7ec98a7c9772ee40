#include "host-cuda.h"

#include <deque>
#include <iterator>
#include <map>
#include <set>
#include <stdlib.h>
#include <vector>

#define TESS_CUDA_HOST 1
#include "tess-cuda-band.cu"
#include "tess-cuda-direct.cu"
#include "tess-cuda-grid.cu"
#include "tess-cuda-intensity.cu"
#include "tess-cuda-loss.cu"
#include "tess-cuda-norm.cu"
#include "tess-cuda-optimiser.cu"
#include "tess-cuda-pointwise.cu"
#include "tess-cuda-sample.cu"

struct Stream;

/* How often it was recorded, and up to which of them the work before it is done. */
struct Event {
  long recorded = 0, done = 0, covers = 0;
  Stream *stream = nullptr;
  bool captured = false;
};

/* Work; or with an event: recording it, or waiting until it was done for the turn-th time. */
struct Item {
  std::function<void ()> work;
  Event *records = nullptr, *awaits = nullptr;
  long turn = 0;
};

struct Stream {
  HostStream interface; /* first */
  bool late = false, captures = false;
  std::deque<Item> queue;
  long n_captured = 0, n_joined = 0; /* items while captured; those the first stream has waited for */
};

/* In the order it was queued, with its stream. */
typedef std::vector<std::pair<Stream *, Item>> Work;

HostCuda host_cuda = {(size_t)1 << 32, 9, false, false, 0, 0, 0, 0, 0, 0, 0};

static std::map<void *, size_t> blocks;
static std::map<char *, size_t> near_blocks; /* page-locked */
static std::set<Stream *> streams;
static unsigned n_graphs;
static bool downloads; /* since a program was waited for */
static Work *capturing;
static Stream *capturing_on;
static bool spoilt;                         /* the capture */
static thread_local cudaError_t last_error; /* until it is asked for, whatever comes between and succeeds */

static cudaError_t
status_of (cudaError_t status)
{
  if (status != cudaSuccess)
    last_error = status;
  return status;
}

/* What may wait for the device is refused while one captures, and the capture is lost. */
static bool
spoils_capture (void)
{
  spoilt |= capturing != nullptr;
  return capturing != nullptr;
}

/* The fault a test asked for, as the driver would report it. */
static bool
fails (void)
{
  return ++host_cuda.n_calls == host_cuda.fails_at;
}

/* The fault that the program was started with, on rank HOST_NCCL_RANK. HOST_CUDA_FAILS=query: the stream after a
 * graph's launch; copy: the first copy then; download: the first copy to the host that no program makes; bf16: the
 * cards have none. */
static bool
told_to_fail (const char *what)
{
  const char *told = getenv ("HOST_CUDA_FAILS"), *rank = getenv ("HOST_NCCL_RANK");
  const char *mine = getenv ("OMPI_COMM_WORLD_RANK");

  return told != nullptr && rank != nullptr && mine != nullptr && strcmp (told, what) == 0 && strcmp (rank, mine) == 0;
}

/* Does what is queued, after what it waits for, until the queue is empty or, with an event, that one is done. */
static void
work_off (Stream *stream, const Event *event, long turn)
{
  while (!stream->queue.empty () && (event == nullptr || event->done < turn)) {
    Item item = stream->queue.front ();

    stream->queue.pop_front ();
    if (item.awaits != nullptr && item.awaits->done < item.turn)
      work_off (item.awaits->stream, item.awaits, item.turn);
    if (item.work)
      item.work ();
    if (item.records != nullptr)
      item.records->done = item.turn;
  }
}

static void
work_off_all (void)
{
  for (Stream *stream : streams)
    work_off (stream, nullptr, 0);
}

/* An event's turns are counted as its work is queued, again each time a graph is launched. */
static void
put_item (Stream *stream, Item item)
{
  if (item.records != nullptr) {
    item.turn = ++item.records->recorded;
    item.records->stream = stream;
  }
  if (item.awaits != nullptr)
    item.turn = item.awaits->recorded;
  stream->queue.push_back (item);
  if (!stream->late)
    work_off (stream, nullptr, 0);
}

/* NULL: the stream nobody made. */
static cudaError_t
queue_item (Stream *stream, Item item)
{
  static Stream always;

  if (fails ())
    return status_of (cudaErrorLaunchFailure);
  if (stream == nullptr)
    stream = &always;
  if (stream->captures) {
    capturing->push_back ({stream, item});
    stream->n_captured++;
  } else
    put_item (stream, item);
  return cudaSuccess;
}

/* Queued work is copied, as a launch copies its arguments. */
cudaError_t
tess_cuda_host_queue (std::function<void ()> work, cudaStream_t stream)
{
  Item item;

  item.work = work;
  return queue_item ((Stream *)stream, item);
}

static bool
queue_foreign (void *stream, void (*work) (const void *), const void *data, size_t n)
{
  std::vector<char> copy ((const char *)data, (const char *)data + n);

  return tess_cuda_host_queue ([=] { work (copy.data ()); }, (cudaStream_t)stream) == cudaSuccess;
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
  const char *told = getenv ("HOST_CUDA_CARDS");

  *n = told != nullptr ? atoi (told) : 1;
  return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion (int *version)
{
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties (struct cudaDeviceProp *properties, int index)
{
  memset (properties, 0, sizeof *properties);
  properties->uuid.bytes[0] = (char)(1 + index);
  strcpy (properties->name, "Host");
  properties->major = told_to_fail ("bf16") ? 7 : host_cuda.major;
  return status_of (fails () ? cudaErrorUnknown : cudaSuccess);
}

cudaError_t
cudaSetDevice (int)
{
  return cudaSuccess;
}

cudaError_t
cudaGetLastError (void)
{
  cudaError_t status = last_error;

  last_error = cudaSuccess;
  return status;
}

const char *
cudaGetErrorString (cudaError_t)
{
  return "as the test asked";
}

cudaError_t
cudaMemGetInfo (size_t *left, size_t *total)
{
  const char *told = getenv ("HOST_CUDA_MEMORY");

  if (told != nullptr)
    host_cuda.memory = (size_t)atol (told);
  *total = host_cuda.memory;
  *left = host_cuda.memory - host_cuda.taken;
  return status_of (fails () ? cudaErrorUnknown : cudaSuccess);
}

/* Full of NaNs, whichever of our types it is read as. */
cudaError_t
cudaMalloc (void **data, size_t bytes)
{
  if (spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  if (fails () || bytes > host_cuda.memory - host_cuda.taken)
    return status_of (cudaErrorMemoryAllocation);
  *data = aligned_alloc (256, (bytes + 255) / 256 * 256);
  if (*data == nullptr)
    return status_of (cudaErrorMemoryAllocation);
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
  if (spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  if (blocks.count (data) == 0)
    abort ();
  work_off_all ();
  host_cuda.taken -= blocks[data];
  blocks.erase (data);
  free (data);
  return cudaSuccess;
}

cudaError_t
cudaMallocHost (void **data, size_t bytes)
{
  if (spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  if (fails ())
    return status_of (cudaErrorMemoryAllocation);
  *data = calloc (1, bytes);
  if (*data == nullptr)
    return status_of (cudaErrorMemoryAllocation);
  near_blocks[(char *)*data] = bytes;
  return cudaSuccess;
}

cudaError_t
cudaFreeHost (void *data)
{
  if (data == nullptr)
    return cudaSuccess;
  if (spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  work_off_all (); /* what is under way may read it */
  near_blocks.erase ((char *)data);
  free (data);
  return cudaSuccess;
}

/* Page-locked, all of it. */
static bool
is_near (const void *data, size_t n)
{
  auto next = near_blocks.upper_bound ((char *)data);

  return next != near_blocks.begin () && (char *)data + n <= std::prev (next)->first + std::prev (next)->second;
}

cudaError_t
cudaMemcpyAsync (void *to, const void *from, size_t n, enum cudaMemcpyKind kind, cudaStream_t stream)
{
  const void *host = kind == cudaMemcpyDeviceToHost ? to : from;

  downloads |= kind == cudaMemcpyDeviceToHost;
  /* Other memory of the host's is copied through the driver's own, which may wait. */
  if (stream != nullptr && ((Stream *)stream)->captures && kind != cudaMemcpyDeviceToDevice && !is_near (host, n) &&
      spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
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
  Stream *made;

  if (fails ())
    return status_of (cudaErrorUnknown);
  made = new Stream;
  made->interface.queue = queue_foreign;
  made->interface.n_graphs = &n_graphs;
  made->late = (host_cuda.late & (streams.empty () ? 1 : 2)) != 0;
  streams.insert (made);
  *stream = (cudaStream_t)made;
  return cudaSuccess;
}

cudaError_t
cudaStreamDestroy (cudaStream_t stream)
{
  work_off_all ();
  streams.erase ((Stream *)stream);
  delete (Stream *)stream;
  return cudaSuccess;
}

cudaError_t
cudaStreamSynchronize (cudaStream_t stream)
{
  if (stream != nullptr && ((Stream *)stream)->captures && spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  if (stream != nullptr)
    work_off ((Stream *)stream, nullptr, 0);
  return status_of (fails () || (downloads && told_to_fail ("download")) ||
                            (host_cuda.n_replayed > 0 && told_to_fail ("copy"))
                        ? cudaErrorLaunchFailure
                        : cudaSuccess);
}

/* Not ready the first time, which is no error that the next launch would find. */
cudaError_t
cudaStreamQuery (cudaStream_t stream)
{
  static bool asked;

  if (((Stream *)stream)->captures && spoils_capture ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  asked = !asked;
  if (asked)
    return cudaErrorNotReady;
  downloads = false;
  if (host_cuda.n_replayed > 0 && told_to_fail ("query"))
    return status_of (cudaErrorLaunchFailure);
  work_off ((Stream *)stream, nullptr, 0);
  return status_of (fails () ? cudaErrorLaunchFailure : cudaSuccess);
}

cudaError_t
cudaStreamWaitEvent (cudaStream_t stream, cudaEvent_t event, unsigned)
{
  Stream *s = (Stream *)stream;
  Event *e = (Event *)event;
  Item item;

  if (s->captures && !e->captured)
    return status_of (cudaErrorStreamCaptureIsolation);
  s->captures |= e->captured;
  if (s == capturing_on && e->stream != nullptr)
    e->stream->n_joined = e->covers;
  item.awaits = e;
  return queue_item (s, item);
}

cudaError_t
cudaStreamBeginCapture (cudaStream_t stream, enum cudaStreamCaptureMode)
{
  if (fails ())
    return status_of (cudaErrorStreamCaptureUnsupported);
  if (host_cuda.refuses_captures > 0) {
    host_cuda.refuses_captures--;
    return status_of (cudaErrorStreamCaptureUnsupported);
  }
  capturing = new Work;
  spoilt = false;
  capturing_on = (Stream *)stream;
  capturing_on->captures = true;
  return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture (cudaStream_t, cudaGraph_t *graph)
{
  bool joined = true;

  *graph = (cudaGraph_t)capturing;
  for (Stream *s : streams) {
    joined &= s == capturing_on || s->n_captured == s->n_joined;
    s->captures = false;
    s->n_captured = s->n_joined = 0;
  }
  capturing = nullptr;
  capturing_on = nullptr;
  if (!joined)
    return status_of (cudaErrorStreamCaptureUnjoined);
  return status_of (fails () || spoilt ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
}

cudaError_t
cudaGraphInstantiate (cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long)
{
  if (fails ())
    return status_of (cudaErrorUnknown);
  *exec = (cudaGraphExec_t) new Work (*(Work *)graph);
  host_cuda.n_captured++;
  n_graphs++;
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
  n_graphs--;
  return cudaSuccess;
}

cudaError_t
cudaGraphLaunch (cudaGraphExec_t exec, cudaStream_t)
{
  if (fails ())
    return status_of (cudaErrorLaunchFailure);
  for (auto &one : *(Work *)exec)
    put_item (one.first, one.second);
  host_cuda.n_replayed++;
  return cudaSuccess;
}

cudaError_t
cudaEventCreateWithFlags (cudaEvent_t *event, unsigned)
{
  if (fails ())
    return status_of (cudaErrorUnknown);
  *event = (cudaEvent_t) new Event;
  return cudaSuccess;
}

cudaError_t
cudaEventRecord (cudaEvent_t event, cudaStream_t stream)
{
  Stream *s = (Stream *)stream;
  Event *e = (Event *)event;
  Item item;

  e->captured = s->captures;
  e->stream = s;
  e->covers = s->n_captured + 1;
  item.records = e;
  return queue_item (s, item);
}

cudaError_t
cudaEventCreate (cudaEvent_t *event)
{
  return cudaEventCreateWithFlags (event, 0);
}

cudaError_t
cudaEventSynchronize (cudaEvent_t event)
{
  Event *e = (Event *)event;

  if (e->captured && spoils_capture ())
    return status_of (cudaErrorCapturedEvent);
  if (e->stream != nullptr)
    work_off (e->stream, e, e->recorded);
  return status_of (fails () || (host_cuda.n_replayed > 0 && told_to_fail ("copy")) ? cudaErrorLaunchFailure
                                                                                    : cudaSuccess);
}

/* All of cuDNN's plans take as long. */
cudaError_t
cudaEventElapsedTime (float *milliseconds, cudaEvent_t, cudaEvent_t)
{
  *milliseconds = 1;
  return cudaSuccess;
}

cudaError_t
cudaEventDestroy (cudaEvent_t event)
{
  work_off_all ();
  delete (Event *)event;
  return cudaSuccess;
}
