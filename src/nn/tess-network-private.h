#pragma once

#include "tess-network.h"

G_BEGIN_DECLS

/* Parameters of a convolution and of the norm behind it; TESS_NONE where it has none. */
typedef struct {
  TessId weight, bias, gamma, beta;
} TessLayer;

/* BasicBlockD: two convolutions beside a way past them. */
typedef struct {
  TessLayer conv1, conv2, skip; /* skip: where the number of channels changes */
} TessResidualBlock;

typedef struct {
  const TessNetworkSpec *spec;
  TessGraph *graph;
  TessLayer stem;                            /* residual networks */
  GArray *encoder[TESS_NETWORK_MAX_STAGES];  /* TessLayer; TessResidualBlock in residual networks */
  GArray *decoder[TESS_NETWORK_MAX_STAGES];  /* TessLayer */
  TessLayer up[TESS_NETWORK_MAX_STAGES];
  TessLayer head[TESS_NETWORK_MAX_STAGES];
  GError **error;
} TessNetworkBuild;

/* Declaring: parameters alone. prefix: without the point before "weight". */
TessLayer tess_layer_declare_conv (TessNetworkBuild *b, const char *prefix, gboolean transposed, gboolean bias, gint64 in,
                                   gint64 out, const gint64 kernel[3]);
TessLayer tess_layer_declare      (TessNetworkBuild *b, const char *prefix, gboolean bias, gint64 in, gint64 out,
                                   const gint64 kernel[3]); /* with its norm */
GArray   *tess_residual_declare_stage (TessNetworkBuild *b, guint stage, gint64 in);

/* Building: ops. stride NULL: 1. slope 1: no activation. TESS_NONE in, TESS_NONE out. */
TessConvAttr tess_layer_conv_attr (const gint64 kernel[3], const gint64 *stride, gboolean pad);
TessId       tess_layer_build     (TessNetworkBuild *b, TessId x, const TessLayer *layer, const gint64 kernel[3],
                                   const gint64 *stride, double slope);
TessId       tess_residual_build_stage (TessNetworkBuild *b, TessId x, guint stage);

/* The ends of a network whose graph is empty: image, labels; no head yet. And, at its end, gradients and optimiser. */
gboolean tess_network_build_ends     (TessNetwork *network, const TessNetworkSpec *spec, const TessProgramSpec *program,
                                      GError **error);
gboolean tess_network_build_training (TessNetwork *network, const TessProgramSpec *program, GError **error);

/* What head h learns from. */
TessLossAttr tess_network_loss (const TessNetworkSpec *spec, const TessProgramSpec *program, guint h);

/* What builds a network that is not one of tess-network.c's U-Nets. Its parameters are declared as its ops are, so that
 * every program of one spec must build the same layers in the same order. Every builder hands TESS_NONE on. */
typedef struct {
  const TessNetworkSpec *spec;
  const TessProgramSpec *program;
  TessGraph   *graph;
  TessNetwork *network;
  GError     **error;
  gboolean     valid; /* logits lie on the middle of the patch */
} TessClassBuild;

typedef struct {
  gboolean (*check)    (const TessNetworkSpec *spec, GError **error);
  void     (*smallest) (const TessNetworkSpec *spec, gint64 dhw[3]);
  gboolean (*fits)     (const TessNetworkSpec *spec, const gint64 dhw[3]); /* batch and positive axes are checked */
  gboolean (*forward)  (TessClassBuild *b);
} TessNetworkClass;

const TessNetworkClass *tess_network_class (TessNetworkArchitecture architecture); /* NULL: one of tess-network.c's U-Nets */
TessNetwork *tess_network_build_class (const TessNetworkClass *k, const TessNetworkSpec *spec,
                                       const TessProgramSpec *program, GError **error);

extern const TessNetworkClass tess_network_meshnet, tess_network_ingradient, tess_network_se_residual,
    tess_network_cased;

/* 1 to 1024 channels, 1 (a loss: 2) to 256 classes. */
gboolean     tess_network_check_ends (const TessNetworkSpec *spec, GError **error);

gint64       tess_build_channels (TessClassBuild *b, TessId x);
TessConvAttr tess_build_cube (int kernel, int stride, int pad, int dilation);
/* NAME.weight and, with a bias, NAME.bias; the convolution's result is the graph's act_dtype. */
TessId       tess_build_conv  (TessClassBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias);
/* NAME.bias of a convolution before a norm: a parameter that does nothing, because the norm takes the mean away. */
void         tess_build_idle_bias (TessClassBuild *b, const char *name, gint64 out);
TessId       tess_build_act   (TessClassBuild *b, TessId x, double slope);
TessId       tess_build_up    (TessClassBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias);
/* NAME.weight and NAME.bias: instance norm with the spec's eps, then leaky ReLU; slope 1: none. */
TessId       tess_build_norm  (TessClassBuild *b, TessId x, const char *name, double slope, gboolean eps_on_std);
TessId       tess_build_concat (TessClassBuild *b, TessId x, TessId y);
/* The spec's dropout and noise in a program that trains, else x. */
TessId       tess_build_dropout (TessClassBuild *b, TessId x);
TessId       tess_build_noise   (TessClassBuild *b, TessId x);
/* x cut to the voxels of like: its beginning, or its middle. */
TessId       tess_build_crop  (TessClassBuild *b, TessId x, TessId like, gboolean middle);
/* Head h whose logits are made as large as the patch; declared only, unless compute. */
gboolean     tess_build_large_head (TessClassBuild *b, TessId x, const char *name, TessConvAttr attr, guint h, gboolean compute);
/* Logits NAME of head h (0: the finest) by a convolution of one voxel, and with labels their loss. */
gboolean     tess_build_head  (TessClassBuild *b, TessId x, const char *name, guint h);

G_END_DECLS
