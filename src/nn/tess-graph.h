#pragma once

#include "tess-dtype.h"
#include "tess-error.h"

G_BEGIN_DECLS

/* A network, its loss, its backward pass and its optimiser as one flat list of ops over tensors.
 *
 * Axis order in nn and the backends: activations are NDHWC, dim = {N, D, H, W, C}, C fastest (D,H,W = z,y,x).
 * Parameters are float32 in PyTorch's layout: convolution {out, in, kD, kH, kW}, transposed convolution
 * {in, out, kD, kH, kW}, vectors {C}. In a network of single slices (2D) the axis across them is left out of the
 * weights, as Conv2d has it: {out, in, kH, kW}; the kernel's extent is in attr.conv for all. Each backend packs its own
 * copy of the weights. */

#define TESS_MAX_DIMS 5
#define TESS_NONE G_MAXUINT

typedef guint TessId; /* index into graph->tensors */

typedef enum {
  TESS_ROLE_INPUT,  /* image batch; written by the caller before a run */
  TESS_ROLE_LABEL,  /* uint8 class per voxel {N,D,H,W,1}; written by the caller */
  TESS_ROLE_ACT,    /* lives only inside a run; memory shared by lifetime */
  TESS_ROLE_OUTPUT, /* read by the caller after a run; memory never shared */
  TESS_ROLE_PARAM,
  TESS_ROLE_GRAD,   /* of a parameter; same order and offsets as PARAM */
  TESS_ROLE_MOMENTUM,
} TessRole;

/* Memory is asked for and bound an arena at a time. PARAM, GRAD and MOMENTUM depend only on the network, so that
 * programs of different batch size share them; ACT may be shared by programs that never run at the same time. */
typedef enum {
  TESS_ARENA_PARAM,
  TESS_ARENA_GRAD,
  TESS_ARENA_MOMENTUM,
  TESS_ARENA_ACT,
  TESS_ARENA_IO, /* inputs, labels, outputs */
  TESS_N_ARENAS
} TessArena;

typedef struct {
  char     *name; /* parameters: PyTorch's name, e.g. "encoder.stages.0.0.convs.0.conv.weight" */
  TessRole  role;
  TessDType dtype;
  guint     n_dims;
  gint64    dim[TESS_MAX_DIMS];
  gsize     bytes;
  TessArena arena;  /* set by tess_graph_place */
  gsize     offset; /* bytes, multiple of 256; set by tess_graph_place */
  guint     first, last; /* op indices between which the contents must survive; set by tess_graph_place */
  TessId    grad;   /* gradient of this tensor, TESS_NONE until backward asks for one */
  double    init_fan; /* parameters: > 0 Kaiming normal with this fan-in, 0 zeros, -1 ones */
} TessTensor;

typedef enum {
  /* forward: in -> out */
  TESS_OP_CONV,           /* x, w, [b] -> y                     attr.conv */
  TESS_OP_CONV_TRANSPOSE, /* x, w, [b] -> y                     attr.conv */
  TESS_OP_NORM_ACT,       /* x, gamma, beta -> y, stats         attr.norm; stats f32 {N, C, 2}: mean, 1/sqrt(var+eps), or 1/(std+eps) */
  TESS_OP_LEAKY_RELU,     /* x -> y                             attr.norm.slope */
  TESS_OP_ADD,            /* a, b -> y */
  TESS_OP_CONCAT,         /* a, b -> y                          channels: a then b */
  TESS_OP_LABEL_RESIZE,   /* labels -> labels                   nearest-exact: source index = floor ((i + 0.5) * in / out) */
  TESS_OP_LOSS,        /* logits f32, labels -> metrics      attr.loss, whose kind says which loss; metrics f64 {3 + 3 * classes}; a label beyond the classes is background */
  /* backward */
  TESS_OP_CONV_BWD_DATA,             /* dy, w -> dx */
  TESS_OP_CONV_BWD_WEIGHTS,          /* x, dy -> dw, [db] */
  TESS_OP_CONV_TRANSPOSE_BWD_DATA,   /* dy, w -> dx */
  TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS,/* x, dy -> dw, [db] */
  TESS_OP_NORM_ACT_BWD,   /* x, gamma, beta, stats, dy -> dx, dgamma, dbeta */
  TESS_OP_LEAKY_RELU_BWD, /* x, dy -> dx */
  TESS_OP_CONCAT_BWD,     /* dy -> da, db */
  TESS_OP_LOSS_BWD,    /* logits, labels, metrics -> dlogits attr.loss */
  /* optimiser */
  TESS_OP_GRAD_NORM,      /* -> norm f64 {1}: 2-norm over the whole GRAD arena */
  TESS_OP_SGD,            /* norm ->: clip, then SGD with Nesterov momentum over the PARAM, GRAD, MOMENTUM arenas */
  /* residual networks */
  TESS_OP_ADD_ACT,        /* a, b -> y                          leaky ReLU of the sum, attr.norm.slope; its gradient is LEAKY_RELU_BWD's, of y */
  TESS_OP_AVG_POOL,       /* x -> y                             attr.conv without padding: mean over each window */
  TESS_OP_AVG_POOL_BWD,   /* dy -> dx                           attr.conv */
  TESS_OP_ADAM,           /* norm ->: clip, then Adam or AdamW; MOMENTUM holds all first, then all second moments   attr.optimiser */
  /* of networks beside nnU-Net's */
  TESS_OP_ACT,             /* x, [alpha] -> y                     attr.act */
  TESS_OP_ACT_BWD,         /* x, [alpha], dy -> dx, [dalpha]      attr.act */
  TESS_OP_MUL,             /* a, b -> y                           b may have one value a channel or voxel */
  TESS_OP_MUL_BWD,         /* a, b, dy -> da, db */
  TESS_OP_MAX_POOL,        /* x -> y                              attr.conv: kernel = stride */
  TESS_OP_MAX_POOL_BWD,    /* x, dy -> dx                         the first of equal voxels takes it */
  TESS_OP_GLOBAL_POOL,     /* x -> y {N, 1, 1, 1, C}: mean */
  TESS_OP_GLOBAL_POOL_BWD, /* dy -> dx */
  TESS_OP_RESIZE,          /* x -> y                              attr.resize */
  TESS_OP_RESIZE_BWD,      /* dy -> dx                            attr.resize */
  TESS_OP_WINDOW,          /* x -> y                              attr.window; its gradient is a WINDOW, too */
  TESS_OP_NORM_APPLY,      /* x, gamma, beta, stats -> y          attr.norm: NORM_ACT's y once more, from its stats */
  TESS_OP_DROPOUT,         /* x -> y                              attr.chance: channels to 0; its gradient is a DROPOUT, too */
  TESS_OP_NOISE,           /* x -> y                              attr.chance: plus normal noise */
  TESS_N_OPS
} TessOpKind;

typedef struct {
  int kernel[3], stride[3], pad[3]; /* D, H, W; symmetric padding */
  int gap[3]; /* voxels left out between two of the kernel's; 0: none. PyTorch's dilation is gap + 1 */
} TessConvAttr;

typedef struct {
  float eps;
  float slope; /* leaky ReLU below zero; 1 = no activation */
  gboolean eps_on_std; /* (x - mean) / (std + eps), as Keras contrib's; else / sqrt (variance + eps) */
} TessNormAttr;

typedef enum {
  TESS_LOSS_DICE_CE, /* cross-entropy + soft Dice: nnU-Net's DC_and_CE_loss; with regions its DC_and_BCE_loss */
  TESS_LOSS_DICE,    /* soft Dice alone */
  TESS_LOSS_TVERSKY, /* alpha and beta weigh false positives and false negatives; 0.5, 0.5 is Dice */
  TESS_LOSS_FOCAL,   /* cross-entropy times (1 - p of what is true)^gamma */
} TessLossKind;

#define TESS_MAX_REGIONS 64

/* Zeros are nnU-Net's choice: softmax, Dice + cross-entropy, Dice without the background. */
typedef enum { TESS_ACT_LEAKY_RELU, TESS_ACT_PRELU, TESS_ACT_GELU, TESS_ACT_SIGMOID, TESS_ACT_ELU } TessActKind;

typedef struct {
  TessActKind kind; /* of TESS_OP_ACT: not LEAKY_RELU, which is an op of its own */
} TessActAttr;

typedef struct {
  gboolean linear; /* trilinear, else nearest */
} TessResizeAttr;

typedef struct {
  gint64 start[3]; /* D, H, W */
} TessWindowAttr;

typedef struct {
  float   amount; /* DROPOUT: the probability; NOISE: the standard deviation */
  guint32 stream; /* which of the graph's random ops this is, below 256 */
} TessChanceAttr;

typedef struct {
  guint    head;       /* index into TessStepArgs.head_weight */
  guint    n_classes;  /* channels of the logits */
  float    smooth;     /* nnU-Net: 1e-5 */
  gboolean batch_dice; /* sums over the batch before the ratio */
  TessLossKind kind;
  gboolean background; /* softmax: class 0 counts in the overlap, too */
  guint    ignore;     /* voxels of this label count nowhere and get no gradient; 0 = no such label */
  float    alpha, beta; /* TESS_LOSS_TVERSKY */
  float    gamma;       /* TESS_LOSS_FOCAL */
  /* NULL: softmax, channel = label. Else one sigmoid a channel: bit c of regions[label] (256 of them) says that voxels
   * of the label belong to channel c. The graph keeps a copy. */
  const guint64 *regions;
} TessLossAttr;

/* metrics of TESS_OP_LOSS, float64: [0] the loss, unweighted, = [1] + [2]; [1] cross-entropy or focal term (mean over
 * voxels); [2] overlap term (-mean soft Dice or Tversky index); then per class c the hard counts against the labels, of
 * argmax or, with regions, of logits above 0, at 3 + 3c: tp, fp, fn. */
#define TESS_METRICS_SIZE(n_classes) (3 + 3 * (n_classes))

typedef enum {
  TESS_OPTIMISER_SGD, /* Nesterov momentum */
  TESS_OPTIMISER_ADAM,
  TESS_OPTIMISER_ADAMW,
} TessOptimiser;

typedef struct {
  gboolean decoupled; /* weight decay apart from the gradient (AdamW) */
} TessOptimiserAttr;

typedef struct {
  TessOpKind kind;
  guint  n_in, n_out;
  TessId in[6], out[4]; /* TESS_NONE for an optional one left out */
  union {
    TessConvAttr conv;
    TessNormAttr norm;
    TessLossAttr loss;
    TessOptimiserAttr optimiser;
    TessActAttr act;
    TessResizeAttr resize;
    TessWindowAttr window;
    TessChanceAttr chance;
  } attr;
} TessOp;

typedef struct {
  gatomicrefcount ref_count;
  GArray   *tensors; /* TessTensor */
  GArray   *ops;     /* TessOp */
  TessDType act_dtype; /* F32 or BF16: activations and their gradients. Logits, stats, metrics, parameters are not affected */
  guint     n_forward; /* ops [0, n_forward) are the forward pass and the loss */
  gsize     arena_bytes[TESS_N_ARENAS]; /* set by tess_graph_place */
  gboolean  placed;
  GPtrArray *tables; /* what attributes point to */
  GArray   *stages; /* guint: the first op of every stage */
} TessGraph;

TessGraph *tess_graph_new   (TessDType act_dtype);
TessGraph *tess_graph_ref   (TessGraph *graph);
void       tess_graph_unref (TessGraph *graph);

static inline TessTensor *
tess_graph_tensor (const TessGraph *graph, TessId id)
{
  return &g_array_index (graph->tensors, TessTensor, id);
}
static inline TessOp *
tess_graph_op (const TessGraph *graph, guint i)
{
  return &g_array_index (graph->ops, TessOp, i);
}

const char *tess_op_name          (TessOpKind kind);
gboolean    tess_graph_find_loss  (const TessGraph *graph, const TessOp *backward, guint *index, GError **error); /* the LOSS a LOSS_BWD belongs to */
GArray     *tess_graph_idle_grads (const TessGraph *graph); /* TessId: GRAD tensors no op writes; they are to be zero */
gboolean    tess_op_is_conv       (TessOpKind kind); /* one of the six convolutions, forward or backward */
const TessTensor *tess_op_extent  (const TessGraph *graph, const TessOp *op); /* what the op's loop runs over */
int         tess_op_in_place      (TessOpKind kind); /* k: out[0] may be in[k], element for element; -1: never */
TessId      tess_graph_find       (const TessGraph *graph, const char *name); /* TESS_NONE when absent */
gint64      tess_tensor_n_elements (const TessTensor *tensor);

/* Element types of a BF16 graph: the image is F32; x of a convolution is F32 or act_dtype; everything between and
 * every gradient of an activation is act_dtype; logits are F32 (out_dtype); a tensor's gradient has its shape.
 * Backward ops leave out (TESS_NONE) the gradient of what needs none. Some ops work in place where what they read ends
 * with them (tess_op_in_place); no other op's inputs and outputs overlap.
 *
 * Building. Every op infers and checks its shapes: a misfit returns TESS_NONE and sets BAD_SHAPE naming the op. */
TessId tess_graph_add_tensor  (TessGraph *graph, const char *name, TessRole role, TessDType dtype, guint n_dims, const gint64 *dim);
TessId tess_graph_param       (TessGraph *graph, const char *name, guint n_dims, const gint64 *dim, double init_fan);
TessId tess_graph_conv        (TessGraph *graph, TessId x, TessId w, TessId b, const TessConvAttr *attr, TessDType out_dtype, GError **error);
TessId tess_graph_conv_transpose (TessGraph *graph, TessId x, TessId w, TessId b, const TessConvAttr *attr, GError **error);
TessId tess_graph_norm_act    (TessGraph *graph, TessId x, TessId gamma, TessId beta, const TessNormAttr *attr, GError **error);
TessId tess_graph_leaky_relu  (TessGraph *graph, TessId x, float slope, GError **error);
TessId tess_graph_add         (TessGraph *graph, TessId a, TessId b, GError **error);
TessId tess_graph_concat      (TessGraph *graph, TessId a, TessId b, GError **error);
TessId tess_graph_add_act     (TessGraph *graph, TessId a, TessId b, float slope, GError **error); /* slope >= 0 */
TessId tess_graph_avg_pool    (TessGraph *graph, TessId x, const TessConvAttr *attr, GError **error);
TessId tess_graph_label_resize (TessGraph *graph, TessId labels, const gint64 dhw[3], GError **error);
TessId tess_graph_loss     (TessGraph *graph, TessId logits, TessId labels, const TessLossAttr *attr, GError **error); /* -> metrics */
TessId tess_graph_act         (TessGraph *graph, TessId x, TessActKind kind, float slope, TessId alpha, GError **error);
TessId tess_graph_mul         (TessGraph *graph, TessId a, TessId b, GError **error);
TessId tess_graph_max_pool    (TessGraph *graph, TessId x, const int kernel[3], GError **error);
TessId tess_graph_global_pool (TessGraph *graph, TessId x, GError **error);
TessId tess_graph_resize      (TessGraph *graph, TessId x, const gint64 dhw[3], gboolean linear, GError **error);
TessId tess_graph_window      (TessGraph *graph, TessId x, const gint64 start[3], const gint64 dhw[3], GError **error);
TessId tess_graph_dropout     (TessGraph *graph, TessId x, float rate, GError **error);
TessId tess_graph_noise       (TessGraph *graph, TessId x, float deviation, GError **error);
void   tess_graph_mark_output (TessGraph *graph, TessId id); /* the caller reads it after a run */
void   tess_graph_begin_stage (TessGraph *graph); /* ops from here on are another stage, which can be made again as a whole */
guint  tess_graph_n_stages    (const TessGraph *graph); /* that spare memory when they are made again */

/* Appends the gradient ops of every loss op to every parameter. A parameter no loss reaches gets a zero gradient
 * (its GRAD bytes are zeroed once when bound). A tensor with several consumers gets ADDs. */
gboolean tess_graph_append_backward  (TessGraph *graph, GError **error);
gboolean tess_graph_append_backward_sparing (TessGraph *graph, guint n_stages, GError **error); /* keeps less of the forward pass */
gboolean tess_graph_append_optimiser (TessGraph *graph, TessOptimiser optimiser, GError **error); /* GRAD_NORM, SGD or ADAM */

/* Gives every tensor its arena and offset (256-byte aligned): PARAM, GRAD and MOMENTUM contiguous in order of
 * declaration; ACT by lifetime, largest first, first gap that fits; IO one after the other. */
gboolean tess_graph_place (TessGraph *graph, GError **error);
/* For backends, in prepare: also what each op works in, as part of ACT. */
gboolean tess_graph_place_scratch (TessGraph *graph, const gsize *bytes, gsize *offset, GError **error);

/* The planner behind it: offsets (multiples of 256) such that no two blocks whose [first, last] meet overlap; zero-sized
 * blocks get 0. Returns the bytes needed, G_MAXSIZE when they cannot be counted. */
gsize    tess_memory_pack (guint n, const gsize *bytes, const guint *first, const guint *last, gsize *offset);

/* Fills the parameters (host memory of arena_bytes[PARAM]) by Philox from seed: Kaiming normal (a = slope) / 0 / 1. */
void     tess_graph_init_params (const TessGraph *graph, guint64 seed, double slope, void *param_arena);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessGraph, tess_graph_unref)

G_END_DECLS
