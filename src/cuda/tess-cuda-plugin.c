#include "tess-cuda-private.h"

/* No TESS_BACKEND_TRAINS although it computes every op: no line of it has run on a GPU yet, so "auto" must not choose
 * it. Who asks for it by name gets it. */
const TessBackendIface tess_cuda_iface = {
    .abi = TESS_BACKEND_ABI,
    .flags = TESS_BACKEND_REDUCES | TESS_BACKEND_SAMPLES,
    .id = "cuda",
    .name = "NVIDIA CUDA",
    .n_devices = tess_cuda_n_devices,
    .device_info = tess_cuda_device_info,
    .open = tess_cuda_open,
    .close = tess_cuda_close,
    .join = tess_cuda_join,
    .buffer_new = tess_cuda_buffer_new,
    .buffer_free = tess_cuda_buffer_free,
    .buffer_host = tess_cuda_buffer_host,
    .upload = tess_cuda_upload,
    .download = tess_cuda_download,
    .prepare = tess_cuda_prepare,
    .bind = tess_cuda_bind,
    .run = tess_cuda_run,
    .program_free = tess_cuda_program_free,
    .buffer_new_near = tess_cuda_buffer_new_near,
    .band_clear = tess_cuda_band_clear,
    .band_add = tess_cuda_band_add,
    .band_mean = tess_cuda_band_mean,
    .band_labels = tess_cuda_band_labels,
    .sample = tess_cuda_sample,
    .upload_begin = tess_cuda_upload_begin,
    .upload_end = tess_cuda_upload_end,
};

__attribute__ ((visibility ("default"))) const TessBackendIface *tess_backend_query (guint32 host_abi);

/**
 * tess_backend_query:
 * @host_abi: the TESS_BACKEND_ABI the program was built with
 *
 * The plugin's only exported symbol (TessBackendQuery). The struct it returns is constant and lives as long as the
 * plugin is loaded.
 *
 * Returns: the CUDA backend, or %NULL for a program with another layout of the contract
 */
const TessBackendIface *
tess_backend_query (guint32 host_abi)
{
  return host_abi == TESS_BACKEND_ABI ? &tess_cuda_iface : NULL;
}
