#include "tess-network-private.h"

#include <inttypes.h>

/* PlainConvUNet and ResidualEncoderUNet of nnU-Net (dynamic_network_architectures). Encoder stage s: convolutions, or
 * residual blocks, with the stage's kernel, the first with its stride. Decoder stage u works at the resolution of
 * encoder stage n_stages - 2 - u. */

static gboolean
check_kernel (gint64 kernel, guint s, GError **error)
{
  if (kernel >= 1 && kernel <= 31 && kernel % 2 == 1)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
               _ ("network stage %u has a kernel of %" PRId64 "; kernels must be odd, 1 to 31"), s, kernel);
  return FALSE;
}

/* Of decoder stage u. */
static const gint64 *
decoder_kernel (const TessNetworkSpec *spec, guint u)
{
  return spec->kernel_decoder[u][0] != 0 ? spec->kernel_decoder[u] : spec->kernel[spec->n_stages - 2 - u];
}

static gboolean
check_axis (const TessNetworkSpec *spec, guint s, guint a, GError **error)
{
  gint64 kernel = spec->kernel[s][a], stride = spec->stride[s][a];
  gint64 other = s + 1 < spec->n_stages ? decoder_kernel (spec, spec->n_stages - 2 - s)[a] : kernel;

  if (!check_kernel (kernel, s, error) || !check_kernel (other, s, error))
    return FALSE;
  if (stride < 1 || stride > 8 || (s == 0 && stride != 1)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("network stage %u has a stride of %" PRId64 "; strides must be 1 to 8, and 1 in the first stage"),
                 s, stride);
    return FALSE;
  }
  if (spec->slice_axis == a + 1 && (kernel != 1 || other != 1 || stride != 1)) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
        _ ("network stage %u has a kernel or a stride across the slices it sees one by one; both must be 1 there"), s);
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
  if (!tess_network_check_ends (spec, error))
    return FALSE;
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
  if (spec->architecture > TESS_NETWORK_RESIDUAL_UNET || spec->stem_features < 0 || spec->stem_features > 8192) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("a network is a plain or a residual U-Net whose stem has at most 8192 features"));
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
    for (guint s = 0; s < spec->n_stages && tess_network_class (spec->architecture) == NULL; s++)
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
  if (tess_network_class (spec->architecture) != NULL)
    tess_network_class (spec->architecture)->smallest (spec, dhw);
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
    fits = fits && program->dhw[a] >= 1 && program->dhw[a] % divisor[a] == 0 &&
           (spec->slice_axis != a + 1 || program->dhw[a] == 1);
    near[a] = MAX (program->dhw[a], 1) > G_MAXINT32
                  ? divisor[a]
                  : (MAX (program->dhw[a], 1) + divisor[a] - 1) / divisor[a] * divisor[a];
    if (spec->slice_axis == a + 1)
      near[a] = 1;
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

/* The plain encoder's stages are PyTorch Sequentials of one block, hence the ".0" inside; the decoder's are the blocks.
 */
static GArray *
declare_stage (TessNetworkBuild *b, const char *stages, guint stage, const char *inside, gint64 n_convs, gint64 in,
               gint64 out, const gint64 kernel[3])
{
  GArray *layers = g_array_new (FALSE, FALSE, sizeof (TessLayer));

  for (gint64 i = 0; i < n_convs; i++) {
    g_autofree char *prefix = g_strdup_printf ("%s.%u%s.convs.%d", stages, stage, inside, (int)i);
    TessLayer layer = tess_layer_declare (b, prefix, TRUE, i == 0 ? in : out, out, kernel);

    g_array_append_val (layers, layer);
  }
  return layers;
}

static void
declare_encoder (TessNetworkBuild *b)
{
  const TessNetworkSpec *spec = b->spec;
  gboolean residual = spec->architecture == TESS_NETWORK_RESIDUAL_UNET;
  gint64 in = spec->n_channels;

  if (residual) {
    gint64 out = spec->stem_features > 0 ? spec->stem_features : spec->features[0];

    b->stem = tess_layer_declare (b, "encoder.stem.convs.0", TRUE, in, out, spec->kernel[0]);
    in = out;
  }
  for (guint s = 0; s < spec->n_stages; s++) {
    b->encoder[s] = residual ? tess_residual_declare_stage (b, s, in)
                             : declare_stage (b, "encoder.stages", s, ".0", spec->convs_encoder[s], in,
                                              spec->features[s], spec->kernel[s]);
    in = spec->features[s];
  }
}

/* All parameters, in the order of the state dict, in every kind of program: their arena is shared. */
static void
declare_params (TessNetworkBuild *b)
{
  const TessNetworkSpec *spec = b->spec;
  guint n_up = spec->n_stages - 1;
  const gint64 one[3] = {1, 1, 1};

  declare_encoder (b);
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;

    b->decoder[u] = declare_stage (b, "decoder.stages", u, "", spec->convs_decoder[u], 2 * spec->features[s],
                                   spec->features[s], decoder_kernel (spec, u));
  }
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;
    g_autofree char *prefix = g_strdup_printf ("decoder.transpconvs.%u", u);

    b->up[u] =
        tess_layer_declare_conv (b, prefix, TRUE, TRUE, spec->features[s + 1], spec->features[s], spec->stride[s + 1]);
  }
  for (guint u = 0; u < n_up; u++) {
    g_autofree char *prefix = g_strdup_printf ("decoder.seg_layers.%u", u);

    b->head[u] = tess_layer_declare_conv (b, prefix, FALSE, TRUE, spec->features[n_up - 1 - u], spec->n_classes, one);
  }
}

/* Convolution - instance norm - leaky ReLU, n times. */
static TessId
build_stage (TessNetworkBuild *b, TessId x, const GArray *layers, const gint64 kernel[3], const gint64 *stride)
{
  for (guint i = 0; i < layers->len; i++)
    x = tess_layer_build (b, x, &g_array_index (layers, TessLayer, i), kernel, i == 0 ? stride : NULL,
                          b->spec->leaky_slope);
  return x;
}

TessLossAttr
tess_network_loss (const TessNetworkSpec *spec, const TessProgramSpec *program, guint h)
{
  return (TessLossAttr){.head = h,
                        .n_classes = spec->n_classes,
                        .smooth = program->dice_smooth,
                        .batch_dice = program->batch_dice,
                        .kind = program->loss,
                        .background = program->dice_background,
                        .ignore = program->ignore,
                        .alpha = program->alpha,
                        .beta = program->beta,
                        .gamma = program->gamma,
                        .regions = program->has_regions ? program->regions : NULL};
}

/* Logits and, with labels, the loss of one decoder level. h: 0 = finest. */
static gboolean
build_head (TessNetworkBuild *b, TessNetwork *network, const TessProgramSpec *program, TessId x, guint u, guint h)
{
  TessConvAttr one = {{1, 1, 1}, {1, 1, 1}, {0, 0, 0}};
  TessLossAttr loss = tess_network_loss (b->spec, program, h);
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
  network->metrics[h] = tess_graph_loss (b->graph, logits, labels, &loss, b->error);
  if (network->metrics[h] == TESS_NONE)
    return FALSE;
  tess_graph_mark_output (b->graph, network->metrics[h]);
  return TRUE;
}

static gboolean
build_forward (TessNetworkBuild *b, TessNetwork *network, const TessProgramSpec *program)
{
  const TessNetworkSpec *spec = b->spec;
  gboolean residual = spec->architecture == TESS_NETWORK_RESIDUAL_UNET;
  guint n_up = spec->n_stages - 1;
  TessId skip[TESS_NETWORK_MAX_STAGES], x = network->image;

  tess_graph_begin_stage (b->graph);
  if (residual)
    x = tess_layer_build (b, x, &b->stem, spec->kernel[0], NULL, spec->leaky_slope);
  for (guint s = 0; s < spec->n_stages; s++) {
    if (s > 0)
      tess_graph_begin_stage (b->graph);
    x = skip[s] = residual ? tess_residual_build_stage (b, x, s)
                           : build_stage (b, x, b->encoder[s], spec->kernel[s], spec->stride[s]);
    if (x == TESS_NONE)
      return FALSE;
  }
  for (guint u = 0; u < n_up; u++) {
    guint s = n_up - 1 - u;
    TessConvAttr up = tess_layer_conv_attr (spec->stride[s + 1], spec->stride[s + 1], FALSE);

    tess_graph_begin_stage (b->graph);
    x = tess_graph_conv_transpose (b->graph, x, b->up[u].weight, b->up[u].bias, &up, b->error);
    if (x != TESS_NONE)
      x = tess_graph_concat (b->graph, x, skip[s], b->error);
    if (x != TESS_NONE)
      x = build_stage (b, x, b->decoder[u], decoder_kernel (spec, u), NULL);
    if (x == TESS_NONE)
      return FALSE;
    if ((program->deep_supervision || s == 0) && !build_head (b, network, program, x, u, s))
      return FALSE;
  }
  network->n_heads = program->deep_supervision ? n_up : 1;
  return TRUE;
}

gboolean
tess_network_build_ends (TessNetwork *network, const TessNetworkSpec *spec, const TessProgramSpec *program,
                         GError **error)
{
  gint64 dim[5] = {program->batch, program->dhw[0], program->dhw[1], program->dhw[2], spec->n_channels};

  network->labels = TESS_NONE;
  network->grad_norm = TESS_NONE;
  for (guint h = 0; h < TESS_NETWORK_MAX_STAGES; h++)
    network->logits[h] = network->metrics[h] = TESS_NONE;

  network->image = tess_graph_add_tensor (network->graph, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  if (network->image == TESS_NONE) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("the batch is too large to count; choose a smaller patch or batch"));
    return FALSE;
  }
  if (program->kind != TESS_PROGRAM_INFER) {
    dim[4] = 1;
    network->labels = tess_graph_add_tensor (network->graph, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, dim);
  }
  return TRUE;
}

gboolean
tess_network_build_training (TessNetwork *network, const TessProgramSpec *program, GError **error)
{
  if (!(program->keep_all ? tess_graph_append_backward (network->graph, error)
                          : tess_graph_append_backward_sparing (network->graph, program->recompute, error)) ||
      !tess_graph_append_optimiser (network->graph, program->optimiser, error))
    return FALSE;
  network->grad_norm = tess_graph_find (network->graph, "grad-norm");
  tess_graph_mark_output (network->graph, network->grad_norm);
  return TRUE;
}

static void
clear (TessNetworkBuild *b)
{
  for (guint s = 0; s < TESS_NETWORK_MAX_STAGES; s++) {
    g_clear_pointer (&b->encoder[s], g_array_unref);
    g_clear_pointer (&b->decoder[s], g_array_unref);
  }
}

/**
 * tess_network_build:
 *
 * Builds and places one program of a U-Net. Parameters come first in every program and in the same order, so
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
  TessNetworkBuild b = {.spec = spec, .error = error};
  const TessNetworkClass *k = tess_network_class (spec->architecture);
  gboolean ok;

  if (k != NULL)
    return tess_network_build_class (k, spec, program, error);
  if (!check_spec (spec, error) || !check_program (spec, program, error))
    return NULL;

  network = g_new0 (TessNetwork, 1);
  network->graph = b.graph = tess_graph_new (program->act_dtype);
  declare_params (&b);
  ok = tess_network_build_ends (network, spec, program, error) && build_forward (&b, network, program) &&
       (program->kind != TESS_PROGRAM_TRAIN || tess_network_build_training (network, program, error)) &&
       tess_graph_place (network->graph, error);
  clear (&b);
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
  TessNetworkBuild b = {.spec = spec};
  gint64 n = 0;

  if (tess_network_class (spec->architecture) != NULL)
    return count_class (tess_network_class (spec->architecture), spec);
  if (!check_spec (spec, NULL))
    return -1;
  b.graph = graph = tess_graph_new (TESS_DTYPE_F32);
  declare_params (&b);
  for (TessId id = 0; id < graph->tensors->len; id++)
    n += tess_tensor_n_elements (tess_graph_tensor (graph, id));
  clear (&b);
  return n;
}
