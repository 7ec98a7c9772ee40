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

extern const TessNetworkClass tess_network_meshnet;

gint64       tess_build_channels (TessNetworkBuild *b, TessId x);
TessConvAttr tess_build_cube (int kernel, int stride, int pad, int dilation);
/* NAME.weight and, with a bias, NAME.bias; the convolution's result is the graph's act_dtype. */
TessId       tess_build_conv  (TessNetworkBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias);
TessId       tess_build_act   (TessNetworkBuild *b, TessId x, double slope);
/* Logits NAME of head h (0: the finest) by a convolution of one voxel, and with labels their loss. */
gboolean     tess_build_head  (TessNetworkBuild *b, TessId x, const char *name, guint h);

G_END_DECLS
