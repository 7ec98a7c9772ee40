#pragma once

#include "tess-backend.h"
#include <cuda_runtime_api.h>

G_BEGIN_DECLS

/* One open device. Everything of a device runs on one stream, in order; the contract has one thread a device. */
struct _TessDevice {
  int          index;
  cudaStream_t stream;
};

struct _TessBuffer {
  TessDevice *device; /* outlives its buffers */
  void       *data;   /* device address; NULL when bytes is 0 */
  gsize       bytes;
};

/* FALSE with a GError that says what was being done and CUDA's own sentence. */
gboolean tess_cuda_check (cudaError_t status, const char *doing, GError **error);
/* The runtime's current device is per thread, and the caller's thread may change between calls. */
gboolean tess_cuda_enter (TessDevice *device, GError **error);

guint       tess_cuda_n_devices   (GError **error);
gboolean    tess_cuda_device_info (guint index, TessDeviceInfo *info, GError **error);
TessDevice *tess_cuda_open        (guint index, guint n_threads, GError **error);
void        tess_cuda_close       (TessDevice *device);

TessBuffer *tess_cuda_buffer_new  (TessDevice *device, gsize bytes, GError **error);
void        tess_cuda_buffer_free (TessBuffer *buffer);
void       *tess_cuda_buffer_host (TessBuffer *buffer);
gboolean    tess_cuda_upload      (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error);
gboolean    tess_cuda_download    (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error);

TessProgram *tess_cuda_prepare      (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error);
gboolean     tess_cuda_bind         (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error);
gboolean     tess_cuda_run          (TessProgram *program, const TessStepArgs *args, GError **error);
void         tess_cuda_program_free (TessProgram *program);

G_END_DECLS
