#pragma once

#include "tess-network.h"

G_BEGIN_DECLS

/* What builds a network that is not one of tess-network.c's U-Nets. Its parameters are declared as its ops are, so that
 * every program of one spec must build the same layers in the same order. Every builder hands TESS_NONE on. */
typedef struct {
  const TessNetworkSpec *spec;
  const TessProgramSpec *program;
  TessGraph   *graph;
  TessNetwork *network;
  GError     **error;
  gboolean     valid; /* logits lie on the middle of the patch */
} TessNetworkBuild;

typedef struct {
  gboolean (*check)    (const TessNetworkSpec *spec, GError **error);
  void     (*smallest) (const TessNetworkSpec *spec, gint64 dhw[3]);
  gboolean (*fits)     (const TessNetworkSpec *spec, const gint64 dhw[3]); /* batch and positive axes are checked */
  gboolean (*forward)  (TessNetworkBuild *b);
} TessNetworkClass;

const TessNetworkClass *tess_network_class (TessNetworkKind kind); /* NULL: one of tess-network.c's U-Nets */
TessNetwork *tess_network_build_class (const TessNetworkClass *k, const TessNetworkSpec *spec,
                                       const TessProgramSpec *program, GError **error);

extern const TessNetworkClass tess_network_meshnet, tess_network_ingradient, tess_network_se_residual,
    tess_network_cased;

/* 1 to 1024 channels, 1 (a loss: 2) to 256 classes. */
gboolean     tess_network_check_ends (const TessNetworkSpec *spec, GError **error);

gint64       tess_build_channels (TessNetworkBuild *b, TessId x);
TessConvAttr tess_build_cube (int kernel, int stride, int pad, int dilation);
/* NAME.weight and, with a bias, NAME.bias; the convolution's result is the graph's act_dtype. */
TessId       tess_build_conv  (TessNetworkBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias);
/* NAME.bias of a convolution before a norm: a parameter that does nothing, because the norm takes the mean away. */
void         tess_build_idle_bias (TessNetworkBuild *b, const char *name, gint64 out);
TessId       tess_build_act   (TessNetworkBuild *b, TessId x, double slope);
TessId       tess_build_up    (TessNetworkBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias);
/* NAME.weight and NAME.bias: instance norm with the spec's eps, then leaky ReLU; slope 1: none. */
TessId       tess_build_norm  (TessNetworkBuild *b, TessId x, const char *name, double slope, gboolean eps_on_std);
TessId       tess_build_concat (TessNetworkBuild *b, TessId x, TessId y);
/* x cut to the voxels of like: its beginning, or its middle. */
TessId       tess_build_crop  (TessNetworkBuild *b, TessId x, TessId like, gboolean middle);
/* Head h whose logits are made as large as the patch; declared only, unless compute. */
gboolean     tess_build_large_head (TessNetworkBuild *b, TessId x, const char *name, TessConvAttr attr, guint h, gboolean compute);
/* Logits NAME of head h (0: the finest) by a convolution of one voxel, and with labels their loss. */
gboolean     tess_build_head  (TessNetworkBuild *b, TessId x, const char *name, guint h);

G_END_DECLS
