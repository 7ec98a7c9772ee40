#pragma once

#include "tess-graph.h"

G_BEGIN_DECLS

#define TESS_NETWORK_MAX_STAGES 8

#define TESS_NETWORK_MAX_LAYERS 32
#define TESS_NETWORK_MAX_DILATION 64
#define TESS_NETWORK_MAX_NOISE 10

typedef enum {
  TESS_NETWORK_PLAIN_UNET,    /* nnU-Net's PlainConvUNet */
  TESS_NETWORK_RESIDUAL_UNET, /* nnU-Net's ResidualEncoderUNet, of BasicBlockD */
  TESS_NETWORK_MESHNET,       /* dilated convolutions: n_layers, dilation, features[0] */
  TESS_NETWORK_INGRADIENT,    /* U-Net with heads made large: n_stages, features, single_head */
  TESS_NETWORK_SE_RESIDUAL,   /* squeeze and excitation: n_stages = depth + 1, features[0], se_ratio, attention_gate */
  TESS_NETWORK_CASED,         /* valid convolutions: no options; logits lie on the middle of the patch */
} TessNetworkArchitecture;

/* Axis arrays are D, H, W; what an architecture does not name it does not read (the U-Nets: up to norm_eps). */
typedef struct {
  TessNetworkArchitecture architecture;
  guint  slice_axis; /* 0: 3D. 1, 2, 3: 2D, slices across D, H, W: no kernel or stride there, weights as Conv2d's */
  guint  n_stages;
  guint  n_channels, n_classes;
  gint64 features[TESS_NETWORK_MAX_STAGES];
  gint64 kernel[TESS_NETWORK_MAX_STAGES][3];
  gint64 stride[TESS_NETWORK_MAX_STAGES][3];
  gint64 convs_encoder[TESS_NETWORK_MAX_STAGES]; /* residual: blocks, of two convolutions each */
  gint64 convs_decoder[TESS_NETWORK_MAX_STAGES]; /* n_stages-1, lowest resolution first */
  gint64 kernel_decoder[TESS_NETWORK_MAX_STAGES][3]; /* the same order; zeros: the encoder's at that resolution */
  gint64 stem_features; /* residual: of the convolution before the first stage; 0: features[0] */
  double leaky_slope, norm_eps;
  guint  n_layers; /* MeshNet */
  gint64 dilation[TESS_NETWORK_MAX_LAYERS];
  gboolean single_head; /* ingradient: its plain U-Net */
  gint64 se_ratio;      /* SE residual; 0: without */
  gboolean attention_gate;
  double dropout; /* TRAIN: probability that a channel is left out; ingradient before its norms, MeshNet behind its ReLUs */
  double noise;   /* TRAIN: standard deviation of what is added to the image; SE residual */
} TessNetworkSpec;

typedef enum {
  TESS_PROGRAM_INFER,    /* image -> logits */
  TESS_PROGRAM_EVALUATE, /* + labels -> metrics, no gradients */
  TESS_PROGRAM_TRAIN,    /* + backward and optimiser */
} TessProgramKind;

typedef struct {
  TessProgramKind kind;
  gint64    batch;
  gint64    dhw[3];      /* patch */
  TessDType act_dtype;
  gboolean  deep_supervision; /* FALSE: only the finest head is computed (all heads keep their parameters) */
  float     dice_smooth;
  gboolean  batch_dice;
  /* The rest of TessLossAttr, whose meaning zeros have. */
  TessLossKind loss;
  gboolean  dice_background, has_regions;
  guint     ignore;
  float     alpha, beta, gamma;
  guint64   regions[256]; /* with has_regions */
  TessOptimiser optimiser;
  gboolean  keep_all;  /* TRAIN: every result of the forward pass is kept, even what costs nothing to make again */
  guint     recompute; /* TRAIN: so many stages are made again in the backward pass, those that spare most first */
} TessProgramSpec;

/* A built and placed graph with its named ends. logits[0] is the finest head; image f32 {N,D,H,W,Cin}. */
typedef struct {
  TessGraph *graph;
  guint  n_heads;
  TessId image, labels; /* labels TESS_NONE for INFER */
  TessId logits[TESS_NETWORK_MAX_STAGES];  /* f32 OUTPUT {N,d,h,w,classes} */
  TessId metrics[TESS_NETWORK_MAX_STAGES]; /* f64 OUTPUT, TESS_NONE for INFER */
  TessId grad_norm; /* f64 OUTPUT {1}, TRAIN only */
} TessNetwork;

/* Parameters carry the names the state dict of nnU-Net's class has (encoder.stages.S.0.convs.I.conv.weight,
 * encoder.stages.S.blocks.B.conv1.conv.weight, decoder.transpconvs.U.weight, decoder.seg_layers.U.weight, ...), aliases
 * left out, in its order. */
TessNetwork *tess_network_build (const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error);
void         tess_network_free  (TessNetwork *network);
gint64       tess_network_n_parameters (const TessNetworkSpec *spec);
/* The multiple every patch axis must have: product of strides, D, H, W. Kinds other than the U-Nets: 1. */
void         tess_network_divisor (const TessNetworkSpec *spec, gint64 dhw[3]);
void         tess_network_smallest (const TessNetworkSpec *spec, gint64 dhw[3]); /* patch */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessNetwork, tess_network_free)

G_END_DECLS
