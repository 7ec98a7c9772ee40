#include "tess-network-private.h"

#include <inttypes.h>

/* PlainConvUNet of nnU-Net (dynamic_network_architectures). Encoder stage s: convolutions with the stage's kernel, the
 * first with its stride. Decoder stage u works at the resolution of encoder stage n_stages - 2 - u. */

typedef struct {
  TessId weight, bias, gamma, beta; /* gamma, beta: TESS_NONE without a norm */
} Layer;

typedef struct {
  const TessNetworkSpec *spec;
  TessGraph *graph;
  GArray *encoder[TESS_NETWORK_MAX_STAGES]; /* Layer */
  GArray *decoder[TESS_NETWORK_MAX_STAGES];
  Layer up[TESS_NETWORK_MAX_STAGES];
  Layer head[TESS_NETWORK_MAX_STAGES];
  GError **error;
} Build;

static gboolean
check_axis (const TessNetworkSpec *spec, guint s, guint a, GError **error)
{
  gint64 kernel = spec->kernel[s][a], stride = spec->stride[s][a];

  if (kernel < 1 || kernel > 31 || kernel % 2 == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("network stage %u has a kernel of %" PRId64 "; kernels must be odd, 1 to 31"), s, kernel);
    return FALSE;
  }
  if (stride < 1 || stride > 8 || (s == 0 && stride != 1)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("network stage %u has a stride of %" PRId64 "; strides must be 1 to 8, and 1 in the first stage"),
                 s, stride);
    return FALSE;
  }
  return TRUE;
}

static gboolean
check_spec (const TessNetworkSpec *spec, GError **error)
{
  if (spec->n_stages < 2 || spec->n_stages > TESS_NETWORK_MAX_STAGES) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("a U-Net needs 2 to %d stages, the plan has %u"),
                 TESS_NETWORK_MAX_STAGES, spec->n_stages);
    return FALSE;
  }
  if (spec->n_channels < 1 || spec->n_channels > 1024 || spec->n_classes < 2 || spec->n_classes > 256) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("a network takes 1 to 1024 channels and gives 2 to 256 classes, the plan has %u and %u"),
                 spec->n_channels, spec->n_classes);
    return FALSE;
  }
  for (guint s = 0; s < spec->n_stages; s++) {
    if (spec->features[s] < 1 || spec->features[s] > 8192 || spec->convs_encoder[s] < 1 ||
        spec->convs_encoder[s] > 64 ||
        (s + 1 < spec->n_stages && (spec->convs_decoder[s] < 1 || spec->convs_decoder[s] > 64))) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                   _ ("network stage %u needs 1 to 8192 features and 1 to 64 convolutions"), s);
      return FALSE;
    }
    for (guint a = 0; a < 3; a++)
      if (!check_axis (spec, s, a, error))
        return FALSE;
  }
  return TRUE;
}

/**
 * tess_network_divisor:
 * @dhw: (out): D, H, W
 */
void
tess_network_divisor (const TessNetworkSpec *spec, gint64 dhw[3])
{
  for (guint a = 0; a < 3; a++) {
    dhw[a] = 1;
    for (guint s = 0; s < spec->n_stages && tess_network_class (spec->kind) == NULL; s++)
      dhw[a] *= spec->stride[s][a];
  }
}

/**
 * tess_network_smallest:
 * @dhw: (out): the smallest patch that fits, D, H, W
 */
void
tess_network_smallest (const TessNetworkSpec *spec, gint64 dhw[3])
{
  if (tess_network_class (spec->kind) != NULL)
    tess_network_class (spec->kind)->smallest (spec, dhw);
  else
    tess_network_divisor (spec, dhw);
}

static gboolean
check_program (const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error)
{
  gint64 divisor[3];
  gboolean fits = program->batch >= 1;
  gint64 near[3];

  tess_network_divisor (spec, divisor);
  for (guint a = 0; a < 3; a++) {
    fits = fits && program->dhw[a] >= 1 && program->dhw[a] % divisor[a] == 0;
    near[a] = MAX (program->dhw[a], 1) > G_MAXINT32
                  ? divisor[a]
                  : (MAX (program->dhw[a], 1) + divisor[a] - 1) / divisor[a] * divisor[a];
  }
  if (fits)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
               _ ("a batch of %" PRId64 " patches of %" PRId64 " x %" PRId64 " x %" PRId64
                  " (z, y, x) does not fit the network, whose axes must be multiples of "
                  "%" PRId64 ", %" PRId64 " and %" PRId64 "; %" PRId64 " x %" PRId64 " x %" PRId64 " would fit"),
               program->batch, program->dhw[0], program->dhw[1], program->dhw[2], divisor[0], divisor[1], divisor[2],
               near[0], near[1], near[2]);
  return FALSE;
}

/* Convolution (fan-in = in * kernel) or transposed convolution, for which torch's fan-in is out * kernel: it takes
 * axis 1 of the weights whatever they are. */
static Layer
declare_conv (Build *b, const char *prefix, gboolean transposed, gint64 in, gint64 out, const gint64 kernel[3])
{
  Layer layer = {TESS_NONE, TESS_NONE, TESS_NONE, TESS_NONE};
  gint64 dim[5] = {transposed ? in : out, transposed ? out : in, kernel[0], kernel[1], kernel[2]};
  g_autofree char *weight = g_strconcat (prefix, ".weight", NULL), *bias = g_strconcat (prefix, ".bias", NULL);

  layer.weight = tess_graph_param (b->graph, weight, 5, dim, (double)(dim[1] * kernel[0] * kernel[1] * kernel[2]));
  layer.bias = tess_graph_param (b->graph, bias, 1, &out, 0);
  return layer;
}

/* The encoder's stages are PyTorch Sequentials of one block, hence the ".0" inside; the decoder's are the blocks. */
static GArray *
declare_stage (Build *b, const char *stages, guint stage, const char *inside, gint64 n_convs, gint64 in, gint64 out,
               const gint64 kernel[3])
{
  GArray *layers = g_array_new (FALSE, FALSE, sizeof (Layer));

  for (gint64 i = 0; i < n_convs; i++) {
    g_autofree char *prefix = g_strdup_printf ("%s.%u%s.convs.%d", stages, stage, inside, (int)i);
    g_autofree char *conv = g_strconcat (prefix, ".conv", NULL);
    g_autofree char *gamma = g_strconcat (prefix, ".norm.weight", NULL);
    g_autofree char *beta = g_strconcat (prefix, ".norm.bias", NULL);
    Layer layer = declare_conv (b, conv, FALSE, i == 0 ? in : out, out, kernel);

    layer.gamma = tess_graph_param (b->graph, gamma, 1, &out, -1);
    layer.beta = tess_graph_param (b->graph, beta, 1, &out, 0);
    g_array_append_val (layers, layer);
  }
  return layers;
}

/* All parameters, in the order of the state dict, in every kind of program: their arena is shared. */
static void
declare_params (Build *b)
{
  const TessNetworkSpec *spec = b->spec;
  guint n_up = spec->n_stages - 1;
  const gint64 one[3] = {1, 1, 1};

  for (guint s = 0; s < spec->n_stages; s++)
    b->encoder[s] =
        declare_stage (b, "encoder.stages", s, ".0", spec->convs_encoder[s],
                       s == 0 ? (gint64)spec->n_channels : spec->features[s - 1], spec->features[s], spec->kernel[s]);
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;

    b->decoder[u] = declare_stage (b, "decoder.stages", u, "", spec->convs_decoder[u], 2 * spec->features[s],
                                   spec->features[s], spec->kernel[s]);
  }
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;
    g_autofree char *prefix = g_strdup_printf ("decoder.transpconvs.%u", u);

    b->up[u] = declare_conv (b, prefix, TRUE, spec->features[s + 1], spec->features[s], spec->stride[s + 1]);
  }
  for (guint u = 0; u < n_up; u++) {
    g_autofree char *prefix = g_strdup_printf ("decoder.seg_layers.%u", u);

    b->head[u] = declare_conv (b, prefix, FALSE, spec->features[n_up - 1 - u], spec->n_classes, one);
  }
}

static TessConvAttr
conv_attr (const gint64 kernel[3], const gint64 stride[3], gboolean pad)
{
  TessConvAttr attr = {0};

  for (guint a = 0; a < 3; a++) {
    attr.kernel[a] = (int)kernel[a];
    attr.stride[a] = stride != NULL ? (int)stride[a] : 1;
    attr.pad[a] = pad ? (int)(kernel[a] - 1) / 2 : 0;
  }
  return attr;
}

/* Convolution - instance norm - leaky ReLU, n times. The convolution's bias is left out of the arithmetic: the norm
 * takes the mean away again. */
static TessId
build_stage (Build *b, TessId x, const GArray *layers, const gint64 kernel[3], const gint64 *stride)
{
  TessNormAttr norm = {.eps = (float)b->spec->norm_eps, .slope = (float)b->spec->leaky_slope};

  for (guint i = 0; i < layers->len && x != TESS_NONE; i++) {
    const Layer *layer = &g_array_index (layers, Layer, i);
    TessConvAttr attr = conv_attr (kernel, i == 0 ? stride : NULL, TRUE);

    x = tess_graph_conv (b->graph, x, layer->weight, TESS_NONE, &attr, b->graph->act_dtype, b->error);
    if (x != TESS_NONE)
      x = tess_graph_norm_act (b->graph, x, layer->gamma, layer->beta, &norm, b->error);
  }
  return x;
}

/* Logits and, with labels, the loss of one decoder level. h: 0 = finest. */
static gboolean
build_head (Build *b, TessNetwork *network, const TessProgramSpec *program, TessId x, guint u, guint h)
{
  TessConvAttr one = {{1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
  TessLossAttr loss = {
      .head = h, .n_classes = b->spec->n_classes, .smooth = program->dice_smooth, .batch_dice = program->batch_dice};
  TessId labels = network->labels, logits;
  gint64 dhw[3];

  logits = tess_graph_conv (b->graph, x, b->head[u].weight, b->head[u].bias, &one, TESS_DTYPE_F32, b->error);
  network->logits[h] = logits;
  if (logits == TESS_NONE)
    return FALSE;
  tess_graph_mark_output (b->graph, logits);
  if (program->kind == TESS_PROGRAM_INFER)
    return TRUE;
  memcpy (dhw, tess_graph_tensor (b->graph, logits)->dim + 1, sizeof dhw);
  if (memcmp (dhw, program->dhw, sizeof dhw) != 0)
    labels = tess_graph_label_resize (b->graph, labels, dhw, b->error);
  if (labels == TESS_NONE)
    return FALSE;
  network->metrics[h] = tess_graph_dice_ce (b->graph, logits, labels, &loss, b->error);
  if (network->metrics[h] == TESS_NONE)
    return FALSE;
  tess_graph_mark_output (b->graph, network->metrics[h]);
  return TRUE;
}

static gboolean
build_forward (Build *b, TessNetwork *network, const TessProgramSpec *program)
{
  const TessNetworkSpec *spec = b->spec;
  guint n_up = spec->n_stages - 1;
  TessId skip[TESS_NETWORK_MAX_STAGES], x = network->image;

  for (guint s = 0; s < spec->n_stages; s++) {
    x = skip[s] = build_stage (b, x, b->encoder[s], spec->kernel[s], spec->stride[s]);
    if (x == TESS_NONE)
      return FALSE;
  }
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;
    TessConvAttr up = conv_attr (spec->stride[s + 1], spec->stride[s + 1], FALSE);

    x = tess_graph_conv_transpose (b->graph, x, b->up[u].weight, b->up[u].bias, &up, b->error);
    if (x != TESS_NONE)
      x = tess_graph_concat (b->graph, x, skip[s], b->error);
    if (x != TESS_NONE)
      x = build_stage (b, x, b->decoder[u], spec->kernel[s], NULL);
    if (x == TESS_NONE)
      return FALSE;
    if ((program->deep_supervision || s == 0) && !build_head (b, network, program, x, u, s))
      return FALSE;
  }
  network->n_heads = program->deep_supervision ? n_up : 1;
  return TRUE;
}

static gboolean
build_ends (Build *b, TessNetwork *network, const TessProgramSpec *program)
{
  gint64 dim[5] = {program->batch, program->dhw[0], program->dhw[1], program->dhw[2], b->spec->n_channels};

  network->labels = TESS_NONE;
  network->grad_norm = TESS_NONE;
  for (guint h = 0; h < TESS_NETWORK_MAX_STAGES; h++)
    network->logits[h] = network->metrics[h] = TESS_NONE;

  network->image = tess_graph_add_tensor (b->graph, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  if (network->image == TESS_NONE) {
    g_set_error (b->error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("the batch is too large to count; choose a smaller patch or batch"));
    return FALSE;
  }
  if (program->kind != TESS_PROGRAM_INFER) {
    dim[4] = 1;
    network->labels = tess_graph_add_tensor (b->graph, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, dim);
  }
  return TRUE;
}

static gboolean
build_training (Build *b, TessNetwork *network)
{
  if (!tess_graph_append_backward (b->graph, b->error) || !tess_graph_append_optimiser (b->graph, b->error))
    return FALSE;
  network->grad_norm = tess_graph_find (b->graph, "grad-norm");
  tess_graph_mark_output (b->graph, network->grad_norm);
  return TRUE;
}

/**
 * tess_network_build:
 *
 * Builds and places one program of a plain U-Net. Parameters come first in every program and in the same order, so
 * that programs share the PARAM, GRAD and MOMENTUM arenas. Deep supervision: head h sits at encoder level h and has
 * head_weight[h]; its labels are the full ones, resized nearest-exact.
 *
 * Returns: (transfer full): free with tess_network_free(); NULL with BAD_SHAPE saying which patch would fit, or with
 * NO_MEMORY.
 */
TessNetwork *
tess_network_build (const TessNetworkSpec *spec, const TessProgramSpec *program, GError **error)
{
  g_autoptr (TessNetwork) network = NULL;
  Build b = {.spec = spec, .error = error};
  const TessNetworkClass *k = tess_network_class (spec->kind);
  gboolean ok;

  if (k != NULL)
    return tess_network_build_class (k, spec, program, error);
  if (!check_spec (spec, error) || !check_program (spec, program, error))
    return NULL;

  network = g_new0 (TessNetwork, 1);
  network->graph = b.graph = tess_graph_new (program->act_dtype);
  declare_params (&b);
  ok = build_ends (&b, network, program) && build_forward (&b, network, program) &&
       (program->kind != TESS_PROGRAM_TRAIN || build_training (&b, network)) &&
       tess_graph_place (network->graph, error);
  for (guint s = 0; s < TESS_NETWORK_MAX_STAGES; s++) {
    g_clear_pointer (&b.encoder[s], g_array_unref);
    g_clear_pointer (&b.decoder[s], g_array_unref);
  }
  return ok ? g_steal_pointer (&network) : NULL;
}

void
tess_network_free (TessNetwork *network)
{
  if (network == NULL)
    return;
  tess_graph_unref (network->graph);
  g_free (network);
}

/* Of a network whose parameters are declared as its ops are: those of its smallest program. */
static gint64
count_class (const TessNetworkClass *k, const TessNetworkSpec *spec)
{
  TessProgramSpec program = {.kind = TESS_PROGRAM_INFER, .batch = 1, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (TessNetwork) network = NULL;
  gint64 n = 0;

  if (!k->check (spec, NULL))
    return -1;
  k->smallest (spec, program.dhw);
  network = tess_network_build_class (k, spec, &program, NULL);
  for (TessId id = 0; network != NULL && id < network->graph->tensors->len; id++)
    if (tess_graph_tensor (network->graph, id)->role == TESS_ROLE_PARAM)
      n += tess_tensor_n_elements (tess_graph_tensor (network->graph, id));
  return network != NULL ? n : -1;
}

/**
 * tess_network_n_parameters:
 *
 * Returns: how many numbers the network learns (biases before norms included), or -1 when the spec makes no sense.
 */
gint64
tess_network_n_parameters (const TessNetworkSpec *spec)
{
  g_autoptr (TessGraph) graph = NULL;
  Build b = {.spec = spec};
  gint64 n = 0;

  if (tess_network_class (spec->kind) != NULL)
    return count_class (tess_network_class (spec->kind), spec);
  if (!check_spec (spec, NULL))
    return -1;
  b.graph = graph = tess_graph_new (TESS_DTYPE_F32);
  declare_params (&b);
  for (TessId id = 0; id < graph->tensors->len; id++)
    n += tess_tensor_n_elements (tess_graph_tensor (graph, id));
  for (guint s = 0; s < TESS_NETWORK_MAX_STAGES; s++) {
    g_clear_pointer (&b.encoder[s], g_array_unref);
    g_clear_pointer (&b.decoder[s], g_array_unref);
  }
  return n;
}
