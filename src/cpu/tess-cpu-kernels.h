#pragma once

#include "tess-graph.h"

G_BEGIN_DECLS

/* The backend's own loops. The same sources are compiled once for every instruction set the processor may have and
 * chosen at run time (tess_cpu_kernels_usable()). All tensors are NDHWC; float32, or bfloat16 where bf16 is TRUE.
 *
 * Results do not depend on the number of threads: work is cut into blocks of a size given by the shapes alone, each
 * block writes its own partial sums, and one thread adds them in block order in double. */

typedef struct {
  guint    n_threads;
  gboolean bf16;
  gsize    n, voxels, channels; /* samples, D*H*W, C */
  const void  *x, *dy;
  void        *y, *dx; /* dx may be NULL */
  const float *gamma, *beta;
  float       *stats, *dgamma, *dbeta; /* {N,C,2}; {C}; {C} */
  float        eps, slope;
  gboolean     eps_on_std, known; /* known: forward with the stats as they are */
  void        *scratch; /* tess_cpu_norm_scratch () bytes */
} TessCpuNorm;

typedef struct {
  guint        n_threads;
  gsize        n, voxels;
  guint        n_classes;
  gboolean     batch_dice, bf16_out;
  float        smooth;
  gboolean     voxels_count, overlap_counts; /* which terms the loss has */
  guint        first;       /* class of the overlap: 1 without the background */
  guint        ignore;      /* label; 256 = none */
  double       alpha, beta, gamma;
  const guint64 *regions;   /* [256]; NULL = softmax */
  double       weight;
  guint        n_ranks;     /* that share the batch, each with n samples; 0 = 1 */
  const float *logits;
  const guint8 *labels;
  double      *metrics, *sums; /* sums: tess_cpu_loss_sums () doubles, written forward, read backward */
  void        *dlogits, *scratch; /* tess_cpu_loss_scratch () bytes */
} TessCpuLoss;

typedef struct {
  guint  n_threads;
  gsize  n;
  float *param, *momentum;
  const float *grad;
  double rate, momentum_factor, weight_decay, clip; /* clip: factor on the gradient */
} TessCpuSgd;

/* One of the ops from TESS_OP_ACT on. What an op does not have is NULL or 0. */
typedef struct {
  guint        n_threads;
  TessOpKind   kind;
  TessActKind  act;
  gboolean     bf16, linear;
  gsize        n, voxels, channels; /* of the larger tensor; voxels of one sample */
  gsize        element;             /* WINDOW: bytes of one */
  gsize        b_voxels, b_channels; /* MUL's factor */
  gint64       from[3], to[3];      /* D, H, W of x (or dx) and of y (or dy) */
  gint64       start[3];
  const int   *kernel;
  float        amount; /* of DROPOUT and NOISE, with what their numbers are drawn from: tess-chance.h */
  guint64      seed;
  gint64       turn, first; /* first: which sample of the whole batch this rank's first is */
  guint32      stream;
  const void  *x, *b, *dy; /* b: the factor, or PReLU's slopes */
  void        *y, *dx, *db;
  void        *scratch; /* tess_cpu_extra_scratch () bytes */
} TessCpuExtra;

typedef struct {
  guint       n_threads;
  gboolean    bf16;
  gsize       n, channels;
  gint64      fine[3], coarse[3]; /* D, H, W of what is pooled and of the result */
  const int  *kernel, *stride;
  const void *source; /* forward: fine; backward: coarse */
  void       *target;
} TessCpuAvgPool;

typedef struct {
  guint  n_threads;
  gsize  n;
  float *param, *mean, *variance;
  const float *grad;
  double rate, beta1, beta2, epsilon, weight_decay, clip;
  gboolean decoupled;
  gint64 step; /* from 1 */
} TessCpuAdam;

typedef struct {
  guint        n_threads;
  gsize        n, x_channels, y_channels;
  gint64       from[3], to[3]; /* D, H, W of x and of y */
  const int   *kernel, *stride, *pad;
  const float *x, *dy;
  float       *dw; /* {y_channels, x_channels, kernel} */
  void        *scratch; /* tess_cpu_conv_weights_scratch () bytes */
} TessCpuConvWeights;

typedef struct {
  void   (*norm_forward)  (const TessCpuNorm *a);
  void   (*norm_backward) (const TessCpuNorm *a);
  void   (*leaky)         (guint n_threads, gboolean bf16, gsize n, const void *x, float slope, void *y);
  void   (*leaky_backward) (guint n_threads, gboolean bf16, gsize n, const void *x, const void *dy, float slope, void *dx);
  void   (*add)           (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, void *y);
  void   (*to_bf16)       (guint n_threads, gsize n, const float *x, void *y);
  /* y {rows, a + b bytes} <-> a, b; backward with a or b NULL where nobody wants it */
  void   (*concat)        (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *a, const void *b, void *y);
  void   (*split)         (guint n_threads, gsize rows, gsize a_bytes, gsize b_bytes, const void *y, void *a, void *b);
  /* x may be y itself where y is float32 */
  void   (*add_bias)      (guint n_threads, gboolean bf16, gsize rows, gsize channels, const float *bias, const float *x, void *y);
  void   (*column_sums)   (guint n_threads, gboolean bf16, gsize rows, gsize channels, const void *x, float *sums,
                           void *scratch); /* tess_cpu_columns_scratch () bytes */
  void   (*label_resize)  (guint n_threads, gsize n, const gint64 from[3], const gint64 to[3], const guint8 *x, guint8 *y);
  /* metrics and sums as plain sums over the samples, made into the loss by loss_finish. */
  void   (*loss_forward)  (const TessCpuLoss *a);
  void   (*loss_finish)   (const TessCpuLoss *a);
  void   (*loss_backward) (const TessCpuLoss *a);
  double (*sum_squares)   (guint n_threads, gsize n, const float *x, double *scratch); /* tess_cpu_squares_scratch () */
  void   (*sgd)           (const TessCpuSgd *a);
  void   (*add_leaky)     (guint n_threads, gboolean bf16, gsize n, const void *a, const void *b, float slope, void *y);
  void   (*avg_pool)      (const TessCpuAvgPool *a);
  void   (*avg_pool_backward) (const TessCpuAvgPool *a);
  void   (*adam)          (const TessCpuAdam *a);
  void   (*extra)         (const TessCpuExtra *a);
  void   (*conv_weights)  (const TessCpuConvWeights *a);
} TessCpuKernels;

#define TESS_CPU_MAX_ISAS 3
guint tess_cpu_kernels_usable (const TessCpuKernels **tables);

/* Bytes of scratch; the same for every instruction set. */
gsize tess_cpu_norm_scratch    (gsize n, gsize voxels, gsize channels);
gsize tess_cpu_columns_scratch (gsize rows, gsize channels);
gsize tess_cpu_loss_scratch    (guint n_threads, gsize n, gsize voxels, guint n_classes);
gsize tess_cpu_loss_sums       (gsize n, guint n_classes); /* doubles */
gsize tess_cpu_squares_scratch (gsize n);
gsize tess_cpu_extra_scratch   (gsize n, gsize voxels, gsize channels);
gsize tess_cpu_conv_weights_scratch (const TessCpuConvWeights *a);

/* How a {rows, channels} matrix is walked with vectors of up to 16 lanes when channels is not a multiple of 16: a
 * period of lcm (channels, 16) elements repeats, so lane i of it always holds channel i mod channels. */
typedef struct {
  gsize period;     /* elements: lcm (channels, 16) */
  gsize fold;       /* rows in a period */
  gsize n_periods;  /* whole periods; the tail rows are done one by one */
  gsize tail;       /* rows left, < fold */
  gsize per_block;  /* periods in a block */
  gsize n_blocks;
} TessCpuWalk;

static inline TessCpuWalk
tess_cpu_walk (gsize rows, gsize channels)
{
  TessCpuWalk w;
  gsize fold = 16;

  while (fold > 1 && channels * (fold / 2) % 16 == 0)
    fold /= 2;
  w.fold = fold;
  w.period = channels * fold;
  w.n_periods = rows / fold;
  w.tail = rows % fold;
  w.per_block = 4096 / w.period > 0 ? 4096 / w.period : 1; /* 16 kB of floats: half of a first-level cache */
  w.n_blocks = (w.n_periods + w.per_block - 1) / w.per_block;
  return w;
}

/* How planes of x lie packed: rows as wide as the kernel ever reaches, padding and all, and as many planes at a time as
 * go through a second-level cache. In floats where nothing else is said. */
typedef struct {
  gsize width;   /* voxels of a row */
  gsize plane, planes; /* size and number of the planes of a group */
  gsize columns; /* kernel width x channels: what a voxel of dy meets in a row */
  gsize n_sums;  /* {kernel depth x height, columns, y_channels} */
} TessCpuConvWeightsPlan;

static inline TessCpuConvWeightsPlan
tess_cpu_conv_weights_plan (const TessCpuConvWeights *a)
{
  TessCpuConvWeightsPlan p;
  gsize all = a->n * (gsize) a->from[0], fit;

  p.width = (gsize) ((a->to[2] - 1) * a->stride[2] + a->kernel[2]);
  p.plane = (gsize) a->from[1] * p.width * a->x_channels;
  fit = ((gsize) 64 << 10) / p.plane; /* 256 kB */
  p.planes = fit < 1 ? 1 : fit < all ? fit : all;
  p.columns = (gsize) a->kernel[2] * a->x_channels;
  p.n_sums = (gsize) a->kernel[0] * (gsize) a->kernel[1] * p.columns * a->y_channels;
  return p;
}

#define TESS_CPU_EXTRA_BLOCK 4096 /* voxels whose share of a sum is taken in one go */
#define TESS_CPU_LOSS_BLOCK 4096 /* voxels whose sums are taken in one go */

G_END_DECLS
