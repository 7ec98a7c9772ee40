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

G_END_DECLS
