#include "tess-cuda-private.h"

/* The contract's error code for a CUDA status. What leaves the context unusable is DEVICE_LOST: every later call on
 * the device fails too, and only a new process gets it back. */
static TessError
error_code (cudaError_t status)
{
  switch (status) {
  case cudaErrorMemoryAllocation:
    return TESS_ERROR_NO_MEMORY;
  case cudaErrorInsufficientDriver:
  case cudaErrorNoDevice:
  case cudaErrorInvalidDevice:
  case cudaErrorNoKernelImageForDevice:
  case cudaErrorUnsupportedPtxVersion:
  case cudaErrorNotSupported:
  case cudaErrorSystemDriverMismatch:
  case cudaErrorCompatNotSupportedOnDevice:
  case cudaErrorStubLibrary:
    return TESS_ERROR_UNSUPPORTED;
  default:
    return TESS_ERROR_DEVICE_LOST;
  }
}

gboolean
tess_cuda_check (cudaError_t status, const char *doing, GError **error)
{
  if (status == cudaSuccess)
    return TRUE;
  (void)cudaGetLastError (); /* it is reported here, and must not be found again by the next launch */
  g_set_error (error, TESS_ERROR, (gint)error_code (status), _ ("CUDA: %s: %s"), doing, cudaGetErrorString (status));
  return FALSE;
}

gboolean
tess_cuda_enter (TessDevice *device, GError **error)
{
  if (tess_cuda_ranks_broken (device)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_DEVICE_LOST,
                 _ ("CUDA: this process cannot add up with the others any more; start all of them again"));
    return FALSE;
  }
  return tess_cuda_check (cudaSetDevice (device->index), _ ("choosing the device"), error);
}

/* With $TESSERA_CUDNN "none" our own kernels compute convolutions: many times slower, and for comparing the two. */
static gboolean
without_cudnn (void)
{
  return g_strcmp0 (g_getenv ("TESSERA_CUDNN"), "none") == 0;
}

/**
 * tess_cuda_n_devices:
 * @error: why there is none
 *
 * Returns: the number of NVIDIA GPUs this process may use, or 0 with @error set
 */
guint
tess_cuda_n_devices (GError **error)
{
  int n = 0, driver = 0;
  cudaError_t status = cudaGetDeviceCount (&n);

  /* Without cuDNN there is nothing to compute on, and "auto" has to know. */
  if (status == cudaSuccess && n > 0)
    return without_cudnn () || tess_cudnn_load (error) != NULL ? (guint)n : 0;
  (void)cudaGetLastError ();
  /* 0 is the runtime's way of saying that there is no driver library at all; its sentence for that case speaks of a
   * driver that is too old. */
  if (cudaDriverGetVersion (&driver) == cudaSuccess && driver == 0)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("no NVIDIA driver is installed here; without one use --backend cpu"));
  else if (status == cudaErrorInsufficientDriver)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("the NVIDIA driver speaks CUDA %d.%d and %d.%d is needed; update the driver, or use --backend cpu"),
                 driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
  else if (status == cudaErrorNoDevice || status == cudaSuccess)
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("the NVIDIA driver finds no GPU that this program may use; without one use --backend cpu"));
  else
    tess_cuda_check (status, _ ("looking for GPUs"), error);
  return 0;
}

static gboolean
check_index (guint index, GError **error)
{
  guint n = tess_cuda_n_devices (error);

  if (n == 0)
    return FALSE;
  if (index >= n) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("CUDA: there is no device %u here; the last is %u"),
                 index, n - 1);
    return FALSE;
  }
  return TRUE;
}

/**
 * tess_cuda_device_info:
 * @index: 0 .. tess_cuda_n_devices() - 1
 * @info: (out): name, bytes of memory, "sm_XX"
 *
 * Free memory is only known inside a context, so this creates the device's primary context when it has none.
 * bf16 from compute capability 8.0 on, the first with bf16 matrix units (CUDA C++ Programming Guide, "Compute
 * Capabilities").
 */
gboolean
tess_cuda_device_info (guint index, TessDeviceInfo *info, GError **error)
{
  struct cudaDeviceProp properties;
  size_t free_bytes = 0, total_bytes = 0;

  if (!check_index (index, error) ||
      !tess_cuda_check (cudaGetDeviceProperties (&properties, (int)index), _ ("asking what the device is"), error) ||
      !tess_cuda_check (cudaSetDevice ((int)index), _ ("choosing the device"), error) ||
      !tess_cuda_check (cudaMemGetInfo (&free_bytes, &total_bytes), _ ("asking for the device's memory"), error))
    return FALSE;
  *info = (TessDeviceInfo){.memory_total = total_bytes, .memory_free = free_bytes, .bf16 = properties.major >= 8};
  G_STATIC_ASSERT (sizeof info->card == sizeof properties.uuid.bytes);
  memcpy (info->card, properties.uuid.bytes, sizeof info->card);
  g_strlcpy (info->name, properties.name, sizeof info->name);
  g_snprintf (info->detail, sizeof info->detail, "sm_%d%d", properties.major, properties.minor);
  return TRUE;
}

static gboolean
open_cudnn (TessDevice *device, const struct cudaDeviceProp *properties, GError **error)
{
  g_autofree char *kind = NULL;
  const TessCudnn *cudnn;

  if (without_cudnn ())
    return TRUE;
  device->cudnn = cudnn = tess_cudnn_load (error);
  if (cudnn == NULL || !tess_cudnn_check (cudnn, cudnn->Create (&device->handle), _ ("opening the device"), error) ||
      !tess_cudnn_check (cudnn, cudnn->SetStream (device->handle, device->stream), _ ("opening the device"), error))
    return FALSE;
  device->card = tess_cudnn_device_new (cudnn, device->index, error);
  kind = g_strdup_printf ("%s sm_%d%d of %d, %zu bytes", properties->name, properties->major, properties->minor,
                          properties->multiProcessorCount, properties->totalGlobalMem);
  device->cache = tess_cudnn_cache_new (cudnn, kind);
  return device->card != NULL;
}

/**
 * tess_cuda_open:
 * @index: the device
 * @n_threads: not used here
 *
 * Returns: (transfer full): the device with a stream of its own and cuDNN on it; free with tess_cuda_close()
 */
TessDevice *
tess_cuda_open (guint index, guint n_threads, GError **error)
{
  struct cudaDeviceProp properties;

  if (!check_index (index, error) || !tess_cuda_check (cudaSetDevice ((int)index), _ ("choosing the device"), error) ||
      !tess_cuda_check (cudaGetDeviceProperties (&properties, (int)index), _ ("asking what the device is"), error))
    return NULL;
  TessDevice *device = g_new0 (TessDevice, 1);
  device->index = (int)index;
  device->bf16 = properties.major >= 8;
  memcpy (device->id, properties.uuid.bytes, sizeof device->id);
  if (!tess_cuda_check (cudaStreamCreateWithFlags (&device->stream, cudaStreamNonBlocking), _ ("opening the device"),
                        error) ||
      !open_cudnn (device, &properties, error)) {
    tess_cuda_close (device);
    return NULL;
  }
  return device;
}

void
tess_cuda_close (TessDevice *device)
{
  if (!device)
    return;
  if (tess_cuda_enter (device, NULL)) {
    tess_cuda_leave (device);
    tess_cuda_uploads_free (device);
    if (device->card != NULL)
      device->cudnn->BackendDestroyDescriptor (device->card);
    if (device->handle != NULL)
      device->cudnn->Destroy (device->handle);
    if (device->stream != NULL)
      (void)cudaStreamDestroy (device->stream);
  }
  (void)cudaGetLastError ();
  tess_cudnn_cache_free (device->cache);
  g_free (device);
}

gboolean
tess_cuda_option (const char *name, gboolean without)
{
  const char *value = g_getenv (name);

  return value != NULL && (strcmp (value, "0") == 0 || strcmp (value, "1") == 0) ? value[0] == '1' : without;
}

static void
no_room (gsize bytes, gsize free_bytes, gsize total_bytes, GError **error)
{
  g_autofree char *wanted = g_format_size (bytes);
  g_autofree char *left = g_format_size (free_bytes);
  g_autofree char *total = g_format_size (total_bytes);

  g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
               _ ("CUDA: %s do not fit into the device's memory (%s free of %s); use a smaller patch or batch, or "
                  "--backend cpu"),
               wanted, left, total);
}

/* Uninitialised memory of the current device, 256-byte aligned. */
gboolean
tess_cuda_allocate (gsize bytes, char **data, GError **error)
{
  size_t free_bytes = 0, total_bytes = 0;
  void *memory = NULL;
  cudaError_t status;

  if (!tess_cuda_check (cudaMemGetInfo (&free_bytes, &total_bytes), _ ("asking for the device's memory"), error))
    return FALSE;
  if (bytes > free_bytes) {
    no_room (bytes, free_bytes, total_bytes, error);
    return FALSE;
  }
  status = cudaMalloc (&memory, bytes);
  if (status == cudaErrorMemoryAllocation) { /* in pieces, or somebody was faster */
    (void)cudaGetLastError ();
    no_room (bytes, free_bytes, total_bytes, error);
    return FALSE;
  }
  *data = memory;
  return tess_cuda_check (status, _ ("taking device memory"), error);
}

/**
 * tess_cuda_buffer_new:
 * @bytes: may be 0
 *
 * Returns: (transfer full): zeroed device memory; free it before closing its device
 */
TessBuffer *
tess_cuda_buffer_new (TessDevice *device, gsize bytes, GError **error)
{
  char *data = NULL;

  if (!tess_cuda_enter (device, error))
    return NULL;
  if (bytes > 0) {
    if (!tess_cuda_allocate (bytes, &data, error))
      return NULL;
    if (!tess_cuda_check (cudaMemsetAsync (data, 0, bytes, device->stream), _ ("clearing device memory"), error) ||
        !tess_cuda_check (cudaStreamSynchronize (device->stream), _ ("clearing device memory"), error)) {
      (void)cudaFree (data);
      return NULL;
    }
  }
  TessBuffer *buffer = g_new0 (TessBuffer, 1);
  buffer->device = device;
  buffer->data = data;
  buffer->bytes = bytes;
  return buffer;
}

void
tess_cuda_buffer_free (TessBuffer *buffer)
{
  if (!buffer)
    return;
  if (buffer->data && tess_cuda_enter (buffer->device, NULL))
    (void)(buffer->near ? cudaFreeHost (buffer->data) : cudaFree (buffer->data));
  (void)cudaGetLastError ();
  g_free (buffer);
}

/* Device memory the host reaches only by upload and download. */
void *
tess_cuda_buffer_host (TessBuffer *buffer)
{
  return buffer->near ? buffer->data : NULL;
}

gboolean
tess_cuda_inside (const TessBuffer *buffer, gsize offset, gsize n, const char *doing, GError **error)
{
  if (offset <= buffer->bytes && n <= buffer->bytes - offset)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
               _ ("CUDA: %s: %zu bytes at %zu pass the end of a buffer of "
                  "%zu bytes"),
               doing, n, offset, buffer->bytes);
  return FALSE;
}

static gboolean
copy (TessBuffer *buffer, gsize offset, void *target, const void *source, gsize n, gboolean up, GError **error)
{
  TessDevice *device = buffer->device;
  const char *doing = up ? _ ("copying to the device") : _ ("copying from the device");

  if (!tess_cuda_inside (buffer, offset, n, doing, error))
    return FALSE;
  if (n == 0)
    return TRUE;
  char *place = (char *)buffer->data + offset;
  return tess_cuda_enter (device, error) &&
         tess_cuda_check (cudaMemcpyAsync (up ? place : target, up ? source : place, n,
                                           buffer->near ? cudaMemcpyDefault
                                           : up         ? cudaMemcpyHostToDevice
                                                        : cudaMemcpyDeviceToHost,
                                           device->stream),
                          doing, error) &&
         tess_cuda_check (cudaStreamSynchronize (device->stream), doing, error);
}

/* Both copies are finished when they return. */
gboolean
tess_cuda_upload (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error)
{
  tess_cuda_results_forget (buffer);
  return copy (buffer, offset, NULL, source, n, TRUE, error);
}

gboolean
tess_cuda_download (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error)
{
  return tess_cuda_results_get (buffer, offset, target, n) || copy (buffer, offset, target, NULL, n, FALSE, error);
}
