/* What networks are made of: convolution - instance norm - leaky ReLU, and residual blocks. */

#include "tess-network-private.h"

static const gint64 one[3] = {1, 1, 1};

/* Convolution (fan-in = in * kernel) or transposed convolution, for which torch's fan-in is out * kernel: it takes
 * axis 1 of the weights whatever they are. A network of slices leaves the axis across them out of its weights. */
TessLayer
tess_layer_declare_conv (TessNetworkBuild *b, const char *prefix, gboolean transposed, gboolean bias, gint64 in,
                         gint64 out, const gint64 kernel[3])
{
  TessLayer layer = {TESS_NONE, TESS_NONE, TESS_NONE, TESS_NONE};
  gint64 dim[5] = {transposed ? in : out, transposed ? out : in};
  double fan = (double)(dim[1] * kernel[0] * kernel[1] * kernel[2]);
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL), *vector = g_strconcat (prefix, ".bias", NULL);
  guint n_dims = 2;

  for (guint a = 0; a < 3; a++)
    if (b->spec->slice_axis != a + 1)
      dim[n_dims++] = kernel[a];
  layer.weight = tess_graph_param (b->graph, weight, n_dims, dim, fan);
  if (bias)
    layer.bias = tess_graph_param (b->graph, vector, 1, &out, 0);
  return layer;
}

static TessLayer
declare_with_norm (TessNetworkBuild *b, const char *prefix, gboolean bias, gint64 in, gint64 out,
                   const gint64 kernel[3], double gamma_init)
{
  g_autofree char *conv = g_strconcat (prefix, ".conv", NULL);
  g_autofree char *gamma = g_strconcat (prefix, ".norm.weight", NULL), *beta = g_strconcat (prefix, ".norm.bias", NULL);
  TessLayer layer = tess_layer_declare_conv (b, conv, FALSE, bias, in, out, kernel);

  layer.gamma = tess_graph_param (b->graph, gamma, 1, &out, gamma_init);
  layer.beta = tess_graph_param (b->graph, beta, 1, &out, 0);
  return layer;
}

/* PyTorch's ConvDropoutNormReLU. */
TessLayer
tess_layer_declare (TessNetworkBuild *b, const char *prefix, gboolean bias, gint64 in, gint64 out,
                    const gint64 kernel[3])
{
  return declare_with_norm (b, prefix, bias, in, out, kernel, -1);
}

TessConvAttr
tess_layer_conv_attr (const gint64 kernel[3], const gint64 *stride, gboolean pad)
{
  TessConvAttr attr = {0};

  for (guint a = 0; a < 3; a++) {
    attr.kernel[a] = (int)kernel[a];
    attr.stride[a] = stride != NULL ? (int)stride[a] : 1;
    attr.pad[a] = pad ? (int)(kernel[a] - 1) / 2 : 0;
  }
  return attr;
}

/* The convolution's bias is left out of the arithmetic: the norm takes the mean away again. */
TessId
tess_layer_build (TessNetworkBuild *b, TessId x, const TessLayer *layer, const gint64 kernel[3], const gint64 *stride,
                  double slope)
{
  TessNormAttr norm = {.eps = (float)b->spec->norm_eps, .slope = (float)slope};
  TessConvAttr attr = tess_layer_conv_attr (kernel, stride, TRUE);

  if (x != TESS_NONE)
    x = tess_graph_conv (b->graph, x, layer->weight, TESS_NONE, &attr, b->graph->act_dtype, b->error);
  if (x != TESS_NONE)
    x = tess_graph_norm_act (b->graph, x, layer->gamma, layer->beta, &norm, b->error);
  return x;
}

/* ---- residual blocks ---- */

static gboolean
is_strided (const gint64 *stride)
{
  return stride[0] != 1 || stride[1] != 1 || stride[2] != 1;
}

/* The way past the convolutions is a PyTorch Sequential of what it needs: a pool, then a convolution. As nnU-Net
 * starts it, a block is that way alone: the scale of its last norm is zero. */
GArray *
tess_residual_declare_stage (TessNetworkBuild *b, guint stage, gint64 in)
{
  const TessNetworkSpec *spec = b->spec;
  gint64 out = spec->features[stage];
  GArray *blocks = g_array_new (FALSE, FALSE, sizeof (TessResidualBlock));

  for (gint64 i = 0; i < spec->convs_encoder[stage]; i++) {
    g_autofree char *at = g_strdup_printf ("encoder.stages.%u.blocks.%d", stage, (int)i);
    g_autofree char *first = g_strconcat (at, ".conv1", NULL), *second = g_strconcat (at, ".conv2", NULL);
    TessResidualBlock block = {.skip = {TESS_NONE, TESS_NONE, TESS_NONE, TESS_NONE}};

    block.conv1 = tess_layer_declare (b, first, TRUE, i == 0 ? in : out, out, spec->kernel[stage]);
    block.conv2 = declare_with_norm (b, second, TRUE, out, out, spec->kernel[stage], 0);
    if (i == 0 && in != out) {
      g_autofree char *skip = g_strdup_printf ("%s.skip.%d", at, is_strided (spec->stride[stage]) ? 1 : 0);

      block.skip = tess_layer_declare (b, skip, FALSE, in, out, one);
    }
    g_array_append_val (blocks, block);
  }
  return blocks;
}

/* The network's table calls what has no weights by its name in PyTorch. */
static void
name_result (TessNetworkBuild *b, TessId id, guint stage, guint block, const char *name)
{
  TessTensor *t;

  if (id == TESS_NONE)
    return;
  t = tess_graph_tensor (b->graph, id);
  g_free (t->name);
  t->name = g_strdup_printf ("encoder.stages.%u.blocks.%u.%s", stage, block, name);
}

/* ResNet-D's way past (He et al., "Bag of Tricks for Image Classification", 2019): mean over the windows the stride
 * skips, then 1x1x1 convolution and norm, each only where needed. */
static TessId
build_skip (TessNetworkBuild *b, TessId x, const TessResidualBlock *block, guint stage, guint i)
{
  const gint64 *stride = b->spec->stride[stage];

  if (i == 0 && is_strided (stride)) {
    TessConvAttr attr = tess_layer_conv_attr (stride, stride, FALSE);

    x = tess_graph_avg_pool (b->graph, x, &attr, b->error);
    name_result (b, x, stage, i, "skip.0");
  }
  return block->skip.weight == TESS_NONE ? x : tess_layer_build (b, x, &block->skip, one, NULL, 1.0);
}

TessId
tess_residual_build_stage (TessNetworkBuild *b, TessId x, guint stage)
{
  const TessNetworkSpec *spec = b->spec;

  for (guint i = 0; i < b->encoder[stage]->len && x != TESS_NONE; i++) {
    const TessResidualBlock *block = &g_array_index (b->encoder[stage], TessResidualBlock, i);
    TessId past = build_skip (b, x, block, stage, i);

    x = tess_layer_build (b, x, &block->conv1, spec->kernel[stage], i == 0 ? spec->stride[stage] : NULL,
                          spec->leaky_slope);
    x = tess_layer_build (b, x, &block->conv2, spec->kernel[stage], NULL, 1.0);
    if (x == TESS_NONE || past == TESS_NONE)
      return TESS_NONE;
    x = tess_graph_add_act (b->graph, x, past, (float)spec->leaky_slope, b->error);
    name_result (b, x, stage, i, "nonlin2");
  }
  return x;
}
