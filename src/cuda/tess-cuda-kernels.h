#pragma once

/* Launchers of our own kernels, callable from C. Plain C types only: nvcc and the C compiler read the same file and
 * neither needs the other's headers. Each returns the error of its launch; the work is queued on `stream`.
 *
 * All tensors are NDHWC on the device; float32, or bfloat16 where bf16 is not 0. Grids are D, H, W. Sums are taken in an
 * order that the shapes give, so that results are the same bits every time. */

#include <cuda_runtime_api.h>
#include <stddef.h>
#include <stdint.h>

#include "tess-intensity.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What may change from one run of a program to the next, read by kernels from device memory: a captured graph has
 * nothing of it inside. */
typedef struct {
  double rate, momentum, weight_decay, clip_norm;
  double beta1, beta2, epsilon, correct1, correct2; /* correct: 1 - beta^step */
  double head_weight[8];
  int64_t  rank; /* which of the processes that share a batch this is */
  uint64_t seed; /* of random ops, and */
  int64_t  step; /* which step of the run this is */
} TessCudaArgs;

/* ---- element by element */
cudaError_t tess_cuda_cast           (int64_t n, const float *x, void *y, cudaStream_t stream); /* to bf16 */
cudaError_t tess_cuda_leaky          (int bf16, int64_t n, const void *x, float slope, void *y, cudaStream_t stream);
cudaError_t tess_cuda_leaky_backward (int bf16, int64_t n, const void *x, const void *dy, float slope, void *dx, cudaStream_t stream);
/* leaky ReLU of the sum; slope 1: the sum */
cudaError_t tess_cuda_add            (int bf16, int64_t n, const void *a, const void *b, float slope, void *y, cudaStream_t stream);
/* y {rows, ca + cb} <-> a, b; a or b NULL: nobody wants it */
cudaError_t tess_cuda_concat         (int bf16, int64_t rows, int64_t ca, int64_t cb, const void *a, const void *b, void *y, cudaStream_t stream);
cudaError_t tess_cuda_split          (int bf16, int64_t rows, int64_t ca, int64_t cb, const void *y, void *a, void *b, cudaStream_t stream);

typedef struct {
  int          bf16, kind; /* TessActKind */
  int64_t      rows, channels;
  const void  *x, *dy;
  const float *alpha; /* NULL but for PReLU */
  void        *y, *dx; /* forward, backward (or NULL) */
  float       *dalpha; /* backward, or NULL */
  void        *scratch; /* tess_cuda_sums_scratch (1, rows, channels, 1) */
} TessCudaAct;

cudaError_t tess_cuda_act          (const TessCudaAct *a, cudaStream_t stream);
cudaError_t tess_cuda_act_backward (const TessCudaAct *a, cudaStream_t stream);

typedef struct {
  int         bf16;
  int64_t     n, voxels, channels, b_voxels, b_channels; /* b: 1 or all of each */
  const void *a, *b, *dy;
  void       *y, *da, *db; /* da, db may be NULL */
  void       *scratch; /* tess_cuda_sums_scratch (n, voxels, channels, 1) */
} TessCudaMul;

cudaError_t tess_cuda_mul          (const TessCudaMul *a, cudaStream_t stream);
cudaError_t tess_cuda_mul_backward (const TessCudaMul *a, cudaStream_t stream);

typedef struct {
  int      bf16, noise; /* noise: added; else dropout */
  int64_t  n, voxels, channels;
  float    amount;
  uint32_t stream;
  const TessCudaArgs *args; /* on the device */
  const void *x;
  void       *y;
} TessCudaChance;

cudaError_t tess_cuda_chance (const TessCudaChance *a, cudaStream_t stream);

/* ---- grids */
typedef struct {
  int     bf16, linear;
  int64_t n, channels, fine[3], coarse[3]; /* fine: what is pooled, or what a resize makes; coarse: the other */
  int     kernel[3], stride[3];
} TessCudaGrid;

cudaError_t tess_cuda_avg_pool             (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream);
cudaError_t tess_cuda_avg_pool_backward    (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream);
cudaError_t tess_cuda_max_pool             (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream);
cudaError_t tess_cuda_max_pool_backward    (const TessCudaGrid *g, const void *x, const void *dy, void *dx, cudaStream_t stream);
cudaError_t tess_cuda_global_pool          (const TessCudaGrid *g, const void *x, void *y, void *scratch, cudaStream_t stream);
cudaError_t tess_cuda_global_pool_backward (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream);
cudaError_t tess_cuda_resize               (const TessCudaGrid *g, const void *x, void *y, cudaStream_t stream);
cudaError_t tess_cuda_resize_backward      (const TessCudaGrid *g, const void *dy, void *dx, cudaStream_t stream);
/* size: bytes of an element, 1, 2 or 4 */
cudaError_t tess_cuda_window       (int size, int64_t n, int64_t channels, const int64_t from[3], const int64_t to[3], const int64_t start[3], const void *x, void *y, cudaStream_t stream);
cudaError_t tess_cuda_label_resize (int64_t n, const int64_t from[3], const int64_t to[3], const uint8_t *x, uint8_t *y, cudaStream_t stream);

/* ---- instance norm and leaky ReLU */
typedef struct {
  int          bf16, eps_on_std;
  int64_t      n, voxels, channels;
  const void  *x, *dy;
  void        *y, *dx; /* dx may be NULL */
  const float *gamma, *beta;
  float       *stats, *dgamma, *dbeta; /* {N, C, 2}; {C}; {C} */
  float        eps, slope;
  void        *scratch; /* tess_cuda_norm_scratch () */
} TessCudaNorm;

cudaError_t tess_cuda_norm          (const TessCudaNorm *a, cudaStream_t stream);
cudaError_t tess_cuda_norm_apply    (const TessCudaNorm *a, cudaStream_t stream); /* y from the stats that are there */
cudaError_t tess_cuda_norm_backward (const TessCudaNorm *a, cudaStream_t stream);

/* ---- losses */
typedef struct {
  int64_t n, voxels;
  int     n_classes, first, batch_dice, bf16_out; /* first: class of the overlap */
  int     voxels_count, overlap_counts;           /* which terms there are */
  int     ignore;                                 /* label; 256: none */
  int     head;
  int     n_ranks; /* that share the batch, each with n samples */
  double  smooth, alpha, beta, gamma;
  const uint64_t     *regions; /* [256] on the device; NULL: softmax */
  const TessCudaArgs *args;    /* on the device; backward */
  const float        *logits;
  const uint8_t      *labels;
  double *metrics, *sums; /* sums: tess_cuda_loss_sums () doubles, written forward, read backward; then */
  double *shared;         /* tess_cuda_loss_shared () doubles: what is added up over the ranks before the finish */
  void   *dlogits, *scratch; /* tess_cuda_loss_scratch () */
} TessCudaLoss;

cudaError_t tess_cuda_loss          (const TessCudaLoss *a, cudaStream_t stream);
cudaError_t tess_cuda_loss_finish   (const TessCudaLoss *a, cudaStream_t stream); /* metrics */
cudaError_t tess_cuda_loss_backward (const TessCudaLoss *a, cudaStream_t stream);

/* ---- optimisers: over whole arenas of n floats; norm: float64 {1} */
typedef struct {
  int64_t             n;
  int                 decoupled;
  float              *param, *momentum, *variance; /* variance: Adam */
  const float        *grad;
  const double       *norm;
  const TessCudaArgs *args; /* on the device */
} TessCudaOptimiser;

cudaError_t tess_cuda_grad_norm (int64_t n, const float *grad, double *norm, void *scratch, cudaStream_t stream);
cudaError_t tess_cuda_sgd       (const TessCudaOptimiser *a, cudaStream_t stream);
cudaError_t tess_cuda_adam      (const TessCudaOptimiser *a, cudaStream_t stream);

/* ---- around and instead of cuDNN's convolutions. Packed weights: {coarse channels, kernel, fine channels}; PyTorch's:
 * {coarse channels, fine channels, kernel}. */
typedef struct {
  int     bf16; /* what is multiplied; sums are float32 */
  int     wide; /* the result is float32 all the same */
  int64_t n, fine[3], coarse[3], fine_channels, coarse_channels;
  int     kernel[3], stride[3], pad[3], gap[3];
  const void *a, *b; /* forward: fine, packed weights; data: coarse, packed weights; weights: fine, coarse */
  const float *bias; /* forward, data: added to the result; or NULL */
  void   *out;       /* coarse; fine; packed float32 weights */
  void   *scratch;   /* weights: tess_cuda_direct_scratch () */
} TessCudaDirect;

cudaError_t tess_cuda_direct_forward (const TessCudaDirect *c, cudaStream_t stream);
cudaError_t tess_cuda_direct_data    (const TessCudaDirect *c, cudaStream_t stream);
cudaError_t tess_cuda_direct_weights (const TessCudaDirect *c, cudaStream_t stream);
cudaError_t tess_cuda_pack   (int bf16, int64_t coarse, int64_t fine, int64_t kernel, const float *plain, void *packed, cudaStream_t stream);
cudaError_t tess_cuda_unpack (int bf16, int64_t coarse, int64_t fine, int64_t kernel, const void *packed, float *plain, cudaStream_t stream);
cudaError_t tess_cuda_add_bias    (int bf16, int64_t rows, int64_t channels, const float *bias, void *y, cudaStream_t stream);
cudaError_t tess_cuda_column_sums (int bf16, int64_t rows, int64_t channels, const void *x, float *sums, void *scratch, cudaStream_t stream);

/* ---- bands of sums (tess-device-data.h); grids are x, y, z here */
typedef struct {
  int64_t dim[3], n_slots, channels;
  float  *sum, *weight;
} TessCudaBand;

typedef struct {
  int64_t lo[3], n[3];         /* the part of the tile that lies in the grid */
  int64_t origin[3], size[3];  /* the whole tile */
  const float *logits, *weights; /* weights NULL: 1 */
  int     mirrored; /* bits: axes along which the logits run backward */
} TessCudaBandTile;

typedef struct {
  int32_t lo, hi;
  float   f;
} TessCudaPosition;

typedef struct {
  int64_t dim[3], z0, n; /* n: slices */
  const TessCudaPosition *position[3]; /* NULL: as they are */
  int      paints;
  uint8_t  paint[256];
  uint8_t *labels;
} TessCudaBandLabels;

cudaError_t tess_cuda_band_sum    (const TessCudaBand *b, const TessCudaBandTile *t, cudaStream_t stream);
cudaError_t tess_cuda_band_divide (const TessCudaBand *b, int64_t z0, int64_t z1, cudaStream_t stream);
cudaError_t tess_cuda_band_label  (const TessCudaBand *b, const TessCudaBandLabels *l, cudaStream_t stream);

/* ---- patches out of native voxels; grids are x, y, z here, too */
typedef enum { /* in the order of TessDType */
  TESS_CUDA_U8, TESS_CUDA_I8, TESS_CUDA_U16, TESS_CUDA_I16, TESS_CUDA_U32, TESS_CUDA_I32, TESS_CUDA_U64, TESS_CUDA_I64,
  TESS_CUDA_F32, TESS_CUDA_F64, TESS_CUDA_F16, TESS_CUDA_BF16,
} TessCudaVoxel;

typedef struct {
  const void *voxels;
  int    kind; /* TessCudaVoxel */
  double slope, intercept;
  float  lower, upper, shift, scale;
} TessCudaSampleChannel;

typedef struct {
  int64_t dim[3], size[3]; /* of the scan, of the patch */
  double  map[3][4];
  int     n_channels;
  TessCudaSampleChannel channel[16];
  const uint8_t *labels;
  float   *image;
  uint8_t *label; /* NULL: not wanted */
} TessCudaSample;

cudaError_t tess_cuda_sample_patch (const TessCudaSample *s, cudaStream_t stream);

/* image {z, y, x, channels}; scratch: tess_intensity_scratch () bytes, aligned to 8 */
cudaError_t tess_cuda_intensity (const TessIntensity *a, const int64_t size[3], int n_channels, float *image, void *scratch, cudaStream_t stream);

/* ---- bytes of scratch */
size_t tess_cuda_sums_scratch   (int64_t groups, int64_t rows, int64_t columns, int values);
size_t tess_cuda_norm_scratch   (int64_t n, int64_t voxels, int64_t channels);
size_t tess_cuda_loss_scratch   (int64_t n, int64_t voxels, int n_classes);
size_t tess_cuda_loss_sums      (int64_t n, int n_classes); /* doubles */
size_t tess_cuda_loss_shared    (int n_classes);            /* doubles */
size_t tess_cuda_grad_norm_scratch (int64_t n);
size_t tess_cuda_direct_scratch (const TessCudaDirect *c);

#ifdef __cplusplus
}
#endif
