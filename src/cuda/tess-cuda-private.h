#pragma once

#include "tess-backend.h"
#include "tess-cuda-conv.h"
#include "tess-cuda-kernels.h"
#include "tess-cudnn-cache.h"

#include <cuda_runtime_api.h>

G_BEGIN_DECLS

typedef struct _TessCudaRanks TessCudaRanks; /* tess-cuda-ranks.c */
typedef struct _TessCudaUploads TessCudaUploads; /* tess-cuda-upload.c */

/* One open device. Everything of a device runs on one stream, in order; the contract has one thread a device. */
struct _TessDevice {
  int          index;
  gboolean     bf16; /* it has bfloat16 matrix units */
  cudaStream_t stream;
  const TessCudnn *cudnn; /* NULL: $TESSERA_CUDNN is "none", and convolutions are computed by our own kernels */
  cudnnHandle_t    handle;
  cudnnBackendDescriptor_t card; /* what cuDNN's plans are made for */
  TessCudnnCache *cache;         /* of chosen plans; NULL without cuDNN */
  guint8       id[TESS_CARD_ID_SIZE]; /* TessDeviceInfo.card */
  TessCudaRanks *ranks; /* NULL: alone; else with a stream of its own for sums */
  TessCudaUploads *uploads; /* NULL: none was begun yet */
};

struct _TessBuffer {
  TessDevice *device; /* outlives its buffers */
  void       *data;   /* device address; NULL when bytes is 0 */
  gsize       bytes;
  gboolean    near;   /* page-locked memory of the host's; one address for both */
  const TessProgram *fresh; /* whose last run wrote what stands here, and has copies of small results; or NULL */
};

/* Weights of a convolution in the layout and type they are multiplied in; one copy for all ops that read them. */
typedef struct {
  TessId param;
  gint64 coarse, fine, kernel;
  gsize  offset; /* in the workspace */
} TessCudaPack;

/* One of the six convolution ops: cast x, convolve, then bias, or unpack the gradient and sum the bias' one. */
typedef struct {
  TessCudaConvOp op;
  GArray  *plans;  /* TessCudnnPlan; NULL: our own kernel */
  guint    chosen; /* of plans */
  guint    most;   /* plans that the choice is made of; 0: it is made already */
  cudnnBackendDescriptor_t bound; /* addresses for the chosen plan */
  guint    pack;   /* into the program's packs; not of a weights' gradient */
  gsize    cast_bytes, packed_bytes; /* of the scratch: x as bf16, the packed gradient */
  gsize    work_bytes;               /* what remains: cuDNN's workspace, sums */
  char    *fine, *coarse, *weights, *work; /* set by bind; weights: packed */
} TessCudaConv;

typedef struct {
  const TessOp *op;
  void   *in[6], *out[4]; /* set by bind; NULL for TESS_NONE */
  gint64  n, voxels, channels; /* of the op's main tensor */
  gboolean bf16;
  gsize   scratch_bytes;           /* of the shared part of the workspace */
  gsize   keep_bytes, keep_offset; /* of the workspace, its own */
  char   *scratch, *keep;
  guint   forward; /* LOSS_BWD: the step of its LOSS */
  TessCudaConv *conv;
} TessCudaStep;

struct _TessProgram {
  TessDevice   *device; /* outlives the program; NULL: it cannot run */
  TessGraph    *graph;
  TessCudaStep *steps;
  guint    n_steps;
  GArray  *packs;      /* TessCudaPack */
  GArray  *idle_grads; /* TessId: GRAD tensors no op writes */
  GArray  *buckets;    /* TessGradientBucket; NULL: nothing to sum over ranks */
  guint    n_begun;    /* of them, in this run */
  gboolean trains;     /* it changes the parameters: weights are packed in every run */
  gsize    scratch_bytes, workspace_bytes;
  char    *arena[TESS_N_ARENAS]; /* device addresses, set by bind */
  char    *workspace;
  TessCudaArgs *args;      /* in the workspace, on the device */
  TessCudaArgs *host_args; /* page-locked */
  TessBuffer *io;
  GArray  *results; /* small outputs and where in host_results they are copied */
  char    *host_results; /* page-locked */
  gboolean bound, packed;
  guint64  packed_version;
  guint    n_eager; /* runs done op by op since the last attempt to capture */
  guint    captures_left; /* attempts; 0: op by op for good */
  cudaGraphExec_t captured;
};

/* FALSE with a GError that says what was being done and CUDA's own sentence. */
gboolean tess_cuda_check (cudaError_t status, const char *doing, GError **error);
/* The runtime's current device is per thread, and the caller's thread may change between calls. FALSE also for a device
 * that was given up (tess_cuda_ranks_break()). */
gboolean tess_cuda_enter (TessDevice *device, GError **error);
/* Device memory, after asking whether there is enough of it. */
gboolean tess_cuda_allocate (gsize bytes, char **data, GError **error);
/* FALSE with BAD_SHAPE where a copy would pass the end. */
gboolean tess_cuda_inside (const TessBuffer *buffer, gsize offset, gsize n, const char *doing, GError **error);
/* An environment variable that is "0" or "1"; else what it is without it. */
gboolean tess_cuda_option (const char *name, gboolean without);

guint       tess_cuda_n_devices   (GError **error);
gboolean    tess_cuda_device_info (guint index, TessDeviceInfo *info, GError **error);
TessDevice *tess_cuda_open        (guint index, guint n_threads, GError **error);
void        tess_cuda_close       (TessDevice *device);

TessBuffer *tess_cuda_buffer_new  (TessDevice *device, gsize bytes, GError **error);
void        tess_cuda_buffer_free (TessBuffer *buffer);
void       *tess_cuda_buffer_host (TessBuffer *buffer);
gboolean    tess_cuda_upload      (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error);
gboolean    tess_cuda_download    (TessBuffer *buffer, gsize offset, void *target, gsize n, GError **error);

gboolean    tess_cuda_upload_begin (TessBuffer *buffer, gsize offset, const void *source, gsize n, GError **error);
gboolean    tess_cuda_upload_end   (TessDevice *device, GError **error);
void        tess_cuda_uploads_free (TessDevice *device);

gboolean tess_cuda_conv_prepare (TessProgram *program, TessCudaStep *step, GError **error);
gboolean tess_cuda_conv_bind    (TessProgram *program, TessCudaStep *step, GError **error);
gboolean tess_cuda_conv_run     (TessProgram *program, const TessCudaStep *step, GError **error);
void     tess_cuda_conv_free    (TessProgram *program, TessCudaConv *conv);
gboolean tess_cuda_pack_all     (TessProgram *program, GError **error);

/* Everything but the convolutions: how much memory a step needs besides its tensors, and its launches. */
gboolean tess_cuda_step_prepare (TessProgram *program, TessCudaStep *step, GError **error);
gboolean tess_cuda_step_bind    (TessProgram *program, TessCudaStep *step, GError **error);
gboolean tess_cuda_step_run     (TessProgram *program, const TessCudaStep *step, GError **error);

/* Processes that train together. */
gboolean tess_cuda_join             (TessDevice *device, const TessCommunicator *communicator, GError **error);
void     tess_cuda_leave            (TessDevice *device);
guint    tess_cuda_n_ranks          (const TessDevice *device);
gboolean tess_cuda_ranks_bind       (TessProgram *program, GError **error);
gboolean tess_cuda_ranks_sum_f64    (TessDevice *device, double *values, gsize n, GError **error);
gboolean tess_cuda_ranks_after_step (TessProgram *program, guint i, GError **error);
void     tess_cuda_ranks_break      (TessDevice *device); /* gives the device up */
gboolean tess_cuda_ranks_broken     (const TessDevice *device);
gboolean tess_cuda_wait             (TessDevice *device, GError **error);

/* tess-cuda-results.c: small outputs at the host without asking for them. */
gboolean tess_cuda_results_bind   (TessProgram *program, TessBuffer *io, GError **error);
gboolean tess_cuda_results_queue  (TessProgram *program, GError **error);
gboolean tess_cuda_results_get    (const TessBuffer *buffer, gsize offset, void *target, gsize n);
void     tess_cuda_results_forget (TessBuffer *buffer);
void     tess_cuda_results_free   (TessProgram *program);

TessProgram *tess_cuda_prepare      (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error);
gboolean     tess_cuda_bind         (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error);
gboolean     tess_cuda_run          (TessProgram *program, const TessStepArgs *args, GError **error);
void         tess_cuda_program_free (TessProgram *program);

/* tess-cuda-data.c: what is kept on the device beside programs. */
TessBuffer *tess_cuda_buffer_new_near (TessDevice *device, gsize bytes, GError **error);
gboolean    tess_cuda_band_clear  (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error);
gboolean    tess_cuda_band_add    (TessDevice *device, const TessBand *band, const TessBandTile *tile, GError **error);
gboolean    tess_cuda_band_mean   (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error);
gboolean    tess_cuda_band_labels (TessDevice *device, const TessBand *band, const TessBandLabels *labels, GError **error);
gboolean    tess_cuda_sample      (TessDevice *device, const TessSample *sample, GError **error);

extern const TessBackendIface tess_cuda_iface;

G_END_DECLS
