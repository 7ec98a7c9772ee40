#pragma once

#include "tess-cpu-backend.h"
#include "tess-cpu-kernels.h"
#include "tess-dnnl.h"

G_BEGIN_DECLS

struct _TessDevice {
  const TessDnnl       *dnnl;
  const TessCpuKernels *kernels;
  guint                 n_threads;
  dnnl_engine_t         engine;
  dnnl_stream_t         stream;
};

struct _TessBuffer {
  guint8  *data;
  gsize    bytes;
  gboolean mapped; /* from mmap, else from aligned_alloc */
};

/* The number of OpenMP threads is a property of the calling thread: oneDNN reads it when a primitive is made and when
 * it runs. Both happen between these two. */
int  tess_cpu_threads_enter (const TessDevice *device);
void tess_cpu_threads_leave (int before);

gboolean tess_cpu_buffer_alloc (TessBuffer *buffer, gsize bytes, GError **error); /* zeroed, 256-byte aligned */
void     tess_cpu_buffer_clear (TessBuffer *buffer);

/* tess-cpu-band.c */
gboolean tess_cpu_band_clear  (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error);
gboolean tess_cpu_band_add    (TessDevice *device, const TessBand *band, const TessBandTile *tile, GError **error);
gboolean tess_cpu_band_mean   (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error);
gboolean tess_cpu_band_labels (TessDevice *device, const TessBand *band, const TessBandLabels *labels, GError **error);

/* One of the six convolution ops: a oneDNN primitive and the reorder that packs its weights, or unpacks their
 * gradient. Offsets are into the program's workspace. */
typedef struct {
  dnnl_primitive_t main, reorder; /* reorder NULL where the packed form is the plain one */
  dnnl_memory_t x, w, y, w_plain, scratchpad, b;
  dnnl_exec_arg_t  main_args[5], reorder_args[2];
  int      n_main_args;
  gsize    packed_bytes, scratch_bytes;
  gsize    cast_bytes; /* x as bf16, where the tensor is float32 */
  gsize    wide_bytes; /* y as float32 until the bias is added, where the tensor is bf16 */
  gboolean adds_bias;      /* afterwards, by a kernel of ours */
  gboolean swapped;        /* computed as a forward convolution from y to x */
  gboolean is_ours; /* BWD_WEIGHTS where oneDNN has no good code: `ours`, and no primitive */
  TessCpuConvWeights ours;
  gboolean transposed; /* `ours` has x and y in each other's place */
  gboolean keeps_weights;  /* packed, for several runs; else in the scratch, for one run of the op */
  gboolean writes_weights; /* BWD_WEIGHTS: main, then reorder; else reorder when weights change, then main */
} TessCpuConv;

gboolean tess_cpu_conv_init  (TessCpuConv *conv, TessDevice *device, const TessGraph *graph, const TessOp *op, GError **error);
void     tess_cpu_conv_clear (TessCpuConv *conv, TessDevice *device);
/* x, w_plain, b, y: tensors (x: the source, or the gradient that takes its place); NULL where absent. */
gboolean tess_cpu_conv_bind  (TessCpuConv *conv, TessDevice *device, void *x, void *w_plain, void *b, void *y, void *packed,
                              void *scratch, GError **error);

typedef struct {
  const TessOp *op;
  void   *in[6], *out[4]; /* set by bind; NULL for TESS_NONE */
  gsize   n, voxels, channels; /* of the op's main tensor */
  gboolean bf16;
  gsize   scratch_bytes, scratch_offset; /* among the activations, while it runs */
  gsize   keep_bytes, keep_offset;       /* of the workspace, from run to run */
  guint8 *scratch, *keep;
  guint   forward;   /* DICE_CE_BWD: the step of its DICE_CE */
  TessCpuConv *conv; /* convolutions */
} TessCpuStep;

struct _TessProgram {
  TessDevice  *device;
  TessGraph   *graph;
  TessCpuStep *steps;
  guint        n_steps;
  guint8      *arena[TESS_N_ARENAS];
  TessBuffer   workspace;
  gsize        workspace_bytes;
  GArray      *idle_grads; /* TessId: GRAD tensors no op writes */
  GArray      *buckets;    /* TessGradientBucket; NULL until it runs with other ranks */
  guint        n_begun;    /* of them, in this run */
  gboolean     predicts; /* has no loss */
  gboolean     bound, packed;
  guint64      packed_version;
  double       seconds[TESS_N_OPS];
};

#define TESS_CPU_ALIGN(bytes) (((bytes) + 255) & ~(gsize)255)

/* Steps with conv. */
gboolean     tess_cpu_conv_step_prepare (TessProgram *program, TessCpuStep *step, GError **error);
gboolean     tess_cpu_conv_step_bind    (TessProgram *program, TessCpuStep *step, GError **error);
gboolean     tess_cpu_conv_step_run     (TessProgram *program, const TessCpuStep *step, GError **error);
/* After step i: begins the sums over the ranks of the gradients that are whole. The norm waits. */
gboolean     tess_cpu_begin_sums      (TessProgram *program, guint i, const TessCommunicator *communicator, GError **error);
/* Makes the plain sums of loss_forward those of all ranks. */
gboolean     tess_cpu_reduce_loss     (const TessCpuLoss *a, const TessCommunicator *communicator, GError **error);
/* The ops from TESS_OP_ACT on; FALSE: not one of them. */
gboolean     tess_cpu_extra_prepare   (TessProgram *program, TessCpuStep *step);
void         tess_cpu_extra_run       (TessProgram *program, const TessCpuStep *step, const TessStepArgs *args);
TessProgram *tess_cpu_program_prepare (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error);
gboolean     tess_cpu_program_bind    (TessProgram *program, TessBuffer *const arenas[TESS_N_ARENAS], GError **error);
gboolean     tess_cpu_program_run     (TessProgram *program, const TessStepArgs *args, GError **error);
void         tess_cpu_program_free    (TessProgram *program);

G_END_DECLS
