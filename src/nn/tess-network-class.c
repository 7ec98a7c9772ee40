#include "tess-network-private.h"

#include <inttypes.h>

/* Networks beside the U-Nets of tess-network.c: what they share. */

const TessNetworkClass *
tess_network_class (TessNetworkArchitecture architecture)
{
  switch (architecture) {
  case TESS_NETWORK_MESHNET:
    return &tess_network_meshnet;
  case TESS_NETWORK_INGRADIENT:
    return &tess_network_ingradient;
  case TESS_NETWORK_SE_RESIDUAL:
    return &tess_network_se_residual;
  case TESS_NETWORK_CASED:
    return &tess_network_cased;
  default:
    return NULL;
  }
}

gboolean
tess_network_check_ends (const TessNetworkSpec *spec, GError **error)
{
  if (!(spec->dropout >= 0 && spec->dropout < 1) || !(spec->noise >= 0 && spec->noise <= TESS_NETWORK_MAX_NOISE)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("a network needs a dropout of at least 0 and below 1, and a noise of 0 to %d"),
                 TESS_NETWORK_MAX_NOISE);
    return FALSE;
  }
  if (spec->n_channels >= 1 && spec->n_channels <= 1024 && spec->n_classes >= 1 && spec->n_classes <= 256)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
               _ ("a network takes 1 to 1024 channels and gives 1 to 256 classes, the plan has %u and %u"),
               spec->n_channels, spec->n_classes);
  return FALSE;
}

gint64
tess_build_channels (TessClassBuild *b, TessId x)
{
  return tess_graph_tensor (b->graph, x)->dim[4];
}

TessConvAttr
tess_build_cube (int kernel, int stride, int pad, int dilation)
{
  return (TessConvAttr){.kernel = {kernel, kernel, kernel},
                        .stride = {stride, stride, stride},
                        .pad = {pad, pad, pad},
                        .gap = {dilation - 1, dilation - 1, dilation - 1}};
}

/* weight: {out, in, ...}, or {in, out, ...} of a transposed convolution, for which torch's fan-in is out * kernel. */
static void
declare_conv (TessClassBuild *b, const char *name, gint64 first, gint64 second, gint64 out, const TessConvAttr *attr,
              gboolean bias, TessId *w, TessId *v)
{
  gint64 dim[5] = {first, second, attr->kernel[0], attr->kernel[1], attr->kernel[2]};
  g_autofree char *weight = g_strconcat (name, ".weight", NULL), *vector = g_strconcat (name, ".bias", NULL);

  *w = tess_graph_param (b->graph, weight, 5, dim, (double)(second * dim[2] * dim[3] * dim[4]));
  *v = bias ? tess_graph_param (b->graph, vector, 1, &out, 0) : TESS_NONE;
}

TessId
tess_build_conv (TessClassBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias)
{
  TessId w, v;

  if (x == TESS_NONE)
    return TESS_NONE;
  declare_conv (b, name, out, tess_build_channels (b, x), out, &attr, bias, &w, &v);
  return tess_graph_conv (b->graph, x, w, v, &attr, b->graph->act_dtype, b->error);
}

void
tess_build_idle_bias (TessClassBuild *b, const char *name, gint64 out)
{
  g_autofree char *bias = g_strconcat (name, ".bias", NULL);

  tess_graph_param (b->graph, bias, 1, &out, 0);
}

TessId
tess_build_up (TessClassBuild *b, TessId x, const char *name, gint64 out, TessConvAttr attr, gboolean bias)
{
  TessId w, v;

  if (x == TESS_NONE)
    return TESS_NONE;
  declare_conv (b, name, tess_build_channels (b, x), out, out, &attr, bias, &w, &v);
  return tess_graph_conv_transpose (b->graph, x, w, v, &attr, b->error);
}

TessId
tess_build_norm (TessClassBuild *b, TessId x, const char *name, double slope, gboolean eps_on_std)
{
  TessNormAttr attr = {.eps = (float)b->spec->norm_eps, .slope = (float)slope, .eps_on_std = eps_on_std};
  g_autofree char *weight = g_strconcat (name, ".weight", NULL), *bias = g_strconcat (name, ".bias", NULL);
  TessId gamma, beta;
  gint64 c;

  if (x == TESS_NONE)
    return TESS_NONE;
  c = tess_build_channels (b, x);
  gamma = tess_graph_param (b->graph, weight, 1, &c, -1);
  beta = tess_graph_param (b->graph, bias, 1, &c, 0);
  return tess_graph_norm_act (b->graph, x, gamma, beta, &attr, b->error);
}

TessId
tess_build_dropout (TessClassBuild *b, TessId x)
{
  if (x == TESS_NONE || b->program->kind != TESS_PROGRAM_TRAIN || b->spec->dropout == 0)
    return x;
  return tess_graph_dropout (b->graph, x, (float)b->spec->dropout, b->error);
}

TessId
tess_build_noise (TessClassBuild *b, TessId x)
{
  if (x == TESS_NONE || b->program->kind != TESS_PROGRAM_TRAIN || b->spec->noise == 0)
    return x;
  return tess_graph_noise (b->graph, x, (float)b->spec->noise, b->error);
}

TessId
tess_build_concat (TessClassBuild *b, TessId x, TessId y)
{
  return x != TESS_NONE && y != TESS_NONE ? tess_graph_concat (b->graph, x, y, b->error) : TESS_NONE;
}

TessId
tess_build_crop (TessClassBuild *b, TessId x, TessId like, gboolean middle)
{
  gint64 start[3], dhw[3];

  if (x == TESS_NONE || like == TESS_NONE)
    return TESS_NONE;
  for (guint a = 0; a < 3; a++) {
    dhw[a] = tess_graph_tensor (b->graph, like)->dim[1 + a];
    start[a] = middle ? (tess_graph_tensor (b->graph, x)->dim[1 + a] - dhw[a]) / 2 : 0;
  }
  return tess_graph_window (b->graph, x, start, dhw, b->error);
}

TessId
tess_build_act (TessClassBuild *b, TessId x, double slope)
{
  return x != TESS_NONE ? tess_graph_leaky_relu (b->graph, x, (float)slope, b->error) : TESS_NONE;
}

/* The loss of head h's logits against the labels on their voxels. */
static gboolean
build_loss (TessClassBuild *b, TessId logits, guint h)
{
  const TessProgramSpec *program = b->program;
  TessLossAttr loss = tess_network_loss (b->spec, program, h);
  TessId labels = b->network->labels;
  gint64 dhw[3];

  memcpy (dhw, tess_graph_tensor (b->graph, logits)->dim + 1, sizeof dhw);
  if (memcmp (dhw, program->dhw, sizeof dhw) != 0)
    labels = b->valid ? tess_build_crop (b, labels, logits, TRUE)
                      : tess_graph_label_resize (b->graph, labels, dhw, b->error);
  if (labels == TESS_NONE)
    return FALSE;
  b->network->metrics[h] = tess_graph_loss (b->graph, logits, labels, &loss, b->error);
  if (b->network->metrics[h] == TESS_NONE)
    return FALSE;
  tess_graph_mark_output (b->graph, b->network->metrics[h]);
  return TRUE;
}

static gboolean
finish_head (TessClassBuild *b, TessId logits, guint h)
{
  b->network->logits[h] = logits;
  b->network->n_heads = MAX (b->network->n_heads, h + 1);
  if (logits == TESS_NONE)
    return FALSE;
  tess_graph_mark_output (b->graph, logits);
  return b->program->kind == TESS_PROGRAM_INFER || build_loss (b, logits, h);
}

gboolean
tess_build_head (TessClassBuild *b, TessId x, const char *name, guint h)
{
  TessConvAttr one = tess_build_cube (1, 1, 0, 1);
  TessId w, v;

  if (x == TESS_NONE)
    return FALSE;
  declare_conv (b, name, b->spec->n_classes, tess_build_channels (b, x), b->spec->n_classes, &one, TRUE, &w, &v);
  return finish_head (b, tess_graph_conv (b->graph, x, w, v, &one, TESS_DTYPE_F32, b->error), h);
}

gboolean
tess_build_large_head (TessClassBuild *b, TessId x, const char *name, TessConvAttr attr, guint h, gboolean compute)
{
  TessId w, v, logits;

  if (x == TESS_NONE)
    return FALSE;
  declare_conv (b, name, b->spec->n_classes, tess_build_channels (b, x), b->spec->n_classes, &attr, TRUE, &w, &v);
  if (!compute)
    return TRUE;
  logits = tess_graph_conv (b->graph, x, w, v, &attr, TESS_DTYPE_F32, b->error);
  if (logits != TESS_NONE && h > 0)
    logits = tess_graph_resize (b->graph, logits, b->program->dhw, TRUE, b->error);
  return finish_head (b, logits, h);
}

static gboolean
check_patch (const TessNetworkClass *k, const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error)
{
  gint64 smallest[3];

  if (program->batch >= 1 && program->dhw[0] >= 1 && program->dhw[1] >= 1 && program->dhw[2] >= 1 &&
      k->fits (spec, program->dhw))
    return TRUE;
  k->smallest (spec, smallest);
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
               _ ("a batch of %" PRId64 " patches of %" PRId64 " x %" PRId64 " x %" PRId64
                  " (z, y, x) does not fit the network; its smallest patch is %" PRId64 " x %" PRId64 " x %" PRId64),
               program->batch, program->dhw[0], program->dhw[1], program->dhw[2], smallest[0], smallest[1],
               smallest[2]);
  return FALSE;
}

/* What tess_network_build() does for the networks of this file. */
TessNetwork *
tess_network_build_class (const TessNetworkClass *k, const TessNetworkSpec *spec, const TessProgramSpec *program,
                          GError **error)
{
  g_autoptr (TessNetwork) network = NULL;
  TessClassBuild b = {.spec = spec, .program = program, .error = error};

  if (!k->check (spec, error) || !check_patch (k, spec, program, error))
    return NULL;
  b.network = network = g_new0 (TessNetwork, 1);
  b.graph = network->graph = tess_graph_new (program->act_dtype);
  if (!tess_network_build_ends (network, spec, program, error) || !k->forward (&b) ||
      (program->kind == TESS_PROGRAM_TRAIN && !tess_network_build_training (network, program, error)))
    return NULL;
  return tess_graph_place (b.graph, error) ? g_steal_pointer (&network) : NULL;
}
