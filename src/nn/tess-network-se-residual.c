#include "tess-network-private.h"

/* The network of the AMC team (second place of the Medical Segmentation Decathlon, 2018): a U-Net of residual blocks
 * with squeeze and excitation (Hu et al. 2018) and, if asked for, attention gates on its skips (Oktay et al. 2018). Any
 * patch of at least 2^depth voxels an axis fits: what is pooled away is padded on the way up and cut again. In training
 * there is noise on the image. The threshold behind its sigmoid is left out: the logits come as they are. */

static guint
depth_of (const TessNetworkSpec *spec)
{
  return spec->n_stages - 1;
}

static gboolean
check (const TessNetworkSpec *spec, GError **error)
{
  if (spec->n_stages < 2 || spec->n_stages > TESS_NETWORK_MAX_STAGES || spec->features[0] < 1 ||
      spec->features[0] > 64 || spec->se_ratio < 0 || spec->se_ratio > 1024) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("this network needs 2 to %d stages, 1 to 64 features and a squeeze ratio of 0 to 1024"),
                 TESS_NETWORK_MAX_STAGES);
    return FALSE;
  }
  return tess_network_check_ends (spec, error);
}

static void
smallest (const TessNetworkSpec *spec, gint64 dhw[3])
{
  dhw[0] = dhw[1] = dhw[2] = G_GINT64_CONSTANT (1) << depth_of (spec);
}

static gboolean
fits (const TessNetworkSpec *spec, const gint64 dhw[3])
{
  gint64 unit[3];

  smallest (spec, unit);
  return dhw[0] >= unit[0] && dhw[1] >= unit[1] && dhw[2] >= unit[2];
}

static char *
join (const char *prefix, const char *name)
{
  return g_strconcat (prefix, ".", name, NULL);
}

/* PREFIX.NAME_conv, PREFIX.NAME_norm. slope 1: no activation. */
static TessId
conv_norm (TessClassBuild *b, TessId x, const char *prefix, guint i, gint64 out, double slope)
{
  g_autofree char *conv = g_strdup_printf ("%s.conv%u", prefix, i), *norm = g_strdup_printf ("%s.norm%u", prefix, i);

  x = tess_build_conv (b, x, conv, out, tess_build_cube (3, 1, 1, 1), FALSE);
  return tess_build_norm (b, x, norm, slope, TRUE);
}

/* Every channel times a factor in 0 ... 1 learned from the means of all. */
static TessId
squeeze (TessClassBuild *b, TessId x, const char *prefix)
{
  g_autofree char *first = join (prefix, "squeeze"), *second = join (prefix, "excite");
  TessConvAttr one = tess_build_cube (1, 1, 0, 1);
  TessId s;
  gint64 c;

  if (x == TESS_NONE || b->spec->se_ratio == 0)
    return x;
  c = tess_build_channels (b, x);
  s = tess_graph_global_pool (b->graph, x, b->error);
  s = tess_build_act (b, tess_build_conv (b, s, first, MAX (c / b->spec->se_ratio, 1), one, TRUE), 0.0);
  s = tess_build_conv (b, s, second, c, one, TRUE);
  if (s != TESS_NONE)
    s = tess_graph_act (b->graph, s, TESS_ACT_SIGMOID, 0, TESS_NONE, b->error);
  return s != TESS_NONE ? tess_graph_mul (b->graph, x, s, b->error) : TESS_NONE;
}

/* Two convolutions, squeeze and excitation, and a convolution's way round them. */
static TessId
block (TessClassBuild *b, TessId x, const char *prefix, gint64 out)
{
  TessId y = conv_norm (b, x, prefix, 1, out, b->spec->leaky_slope), z;

  y = squeeze (b, conv_norm (b, y, prefix, 2, out, 1.0), prefix);
  z = conv_norm (b, x, prefix, 3, out, 1.0);
  if (y == TESS_NONE || z == TESS_NONE)
    return TESS_NONE;
  return tess_build_act (b, tess_graph_add (b->graph, y, z, b->error), b->spec->leaky_slope);
}

/* The skip times a factor a voxel, learned from it and from the coarser map. */
static TessId
gate (TessClassBuild *b, TessId low, TessId skip, const char *prefix)
{
  g_autofree char *theta = join (prefix, "gate_skip"), *phi = join (prefix, "gate_low"), *psi = join (prefix, "gate");
  TessConvAttr one = tess_build_cube (1, 1, 0, 1);
  TessId x, y;
  gint64 c;

  if (low == TESS_NONE || skip == TESS_NONE || !b->spec->attention_gate)
    return skip;
  c = tess_build_channels (b, skip);
  x = tess_build_conv (b, skip, theta, c, tess_build_cube (2, 2, 0, 1), TRUE);
  y = tess_build_conv (b, low, phi, c, one, TRUE);
  if (x == TESS_NONE || y == TESS_NONE)
    return TESS_NONE;
  x = tess_build_conv (b, tess_graph_add (b->graph, x, y, b->error), psi, 1, one, TRUE);
  if (x != TESS_NONE)
    x = tess_graph_act (b->graph, x, TESS_ACT_SIGMOID, 0, TESS_NONE, b->error);
  if (x != TESS_NONE) /* of an odd skip the last voxel takes its neighbour's factor */
    x = tess_graph_resize (b->graph, x, tess_graph_tensor (b->graph, skip)->dim + 1, FALSE, b->error);
  return x != TESS_NONE ? tess_graph_mul (b->graph, skip, x, b->error) : TESS_NONE;
}

/* Up from a map padded by one voxel at its ends, which is enough for an odd skip; the norm sees the padding, too. */
static TessId
up (TessClassBuild *b, TessId x, TessId skip, const char *prefix, gint64 out)
{
  g_autofree char *conv = join (prefix, "up"), *norm = join (prefix, "up_norm");
  const gint64 zero[3] = {0, 0, 0};
  gint64 dhw[3];

  if (x == TESS_NONE)
    return TESS_NONE;
  for (guint a = 0; a < 3; a++)
    dhw[a] = tess_graph_tensor (b->graph, x)->dim[1 + a] + 1;
  x = tess_graph_window (b->graph, x, zero, dhw, b->error);
  x = tess_build_up (b, x, conv, out, tess_build_cube (2, 2, 0, 1), FALSE);
  x = tess_build_norm (b, x, norm, b->spec->leaky_slope, TRUE);
  return tess_build_concat (b, skip, tess_build_crop (b, x, skip, FALSE));
}

static gboolean
forward (TessClassBuild *b)
{
  static const int two[3] = {2, 2, 2};
  guint depth = depth_of (b->spec);
  gint64 base = b->spec->features[0];
  TessId skip[TESS_NETWORK_MAX_STAGES], x;

  tess_graph_begin_stage (b->graph);
  x = skip[0] = conv_norm (b, tess_build_noise (b, b->network->image), "stem", 1, base, b->spec->leaky_slope);
  for (guint s = 1; s <= depth && x != TESS_NONE; s++) {
    g_autofree char *prefix = g_strdup_printf ("down.%u", s);

    tess_graph_begin_stage (b->graph);
    x = tess_graph_max_pool (b->graph, x, two, b->error);
    x = skip[s] = block (b, x, prefix, base << s);
  }
  for (guint s = depth; s-- > 0 && x != TESS_NONE;) {
    g_autofree char *prefix = g_strdup_printf ("up.%u", s);
    TessId gated;

    tess_graph_begin_stage (b->graph);
    gated = s > 0 ? gate (b, x, skip[s], prefix) : skip[0];
    x = gated != TESS_NONE ? up (b, x, gated, prefix, base << s) : TESS_NONE;
    x = s > 0 ? block (b, x, prefix, base << s) : conv_norm (b, x, prefix, 1, base, b->spec->leaky_slope);
  }
  return tess_build_head (b, x, "head", 0);
}

const TessNetworkClass tess_network_se_residual = {
    .check = check, .smallest = smallest, .fits = fits, .forward = forward};
