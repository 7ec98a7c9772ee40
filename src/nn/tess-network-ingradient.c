#include "tess-network-private.h"

/* The ingradient library's U-Nets (UNet3DDeepsupervision and its plain one): stages of two convolutions 3x3x3, each
 * with a bias, instance norm and leaky ReLU, the first of a stage with stride 2; transposed convolutions 2x2x2 with
 * the same behind them; heads 3x3x3 at every scale of the way up whose logits are made as large as the patch. In
 * training channels are dropped before every norm, there half of them. */

static gboolean
check (const TessNetworkSpec *spec, GError **error)
{
  gboolean good = spec->n_stages >= 2 && spec->n_stages <= TESS_NETWORK_MAX_STAGES;

  for (guint s = 0; good && s < spec->n_stages; s++)
    good = spec->features[s] >= 1 && spec->features[s] <= 8192;
  if (!good) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE, _ ("this U-Net needs 2 to %d stages of 1 to 8192 features"),
                 TESS_NETWORK_MAX_STAGES);
    return FALSE;
  }
  return tess_network_check_ends (spec, error);
}

static void
smallest (const TessNetworkSpec *spec, gint64 dhw[3])
{
  dhw[0] = dhw[1] = dhw[2] = G_GINT64_CONSTANT (1) << (spec->n_stages - 1);
}

static gboolean
fits (const TessNetworkSpec *spec, const gint64 dhw[3])
{
  gint64 unit[3];

  smallest (spec, unit);
  return dhw[0] % unit[0] == 0 && dhw[1] % unit[1] == 0 && dhw[2] % unit[2] == 0;
}

/* PREFIX.conv and PREFIX.norm. */
static TessId
block (TessClassBuild *b, TessId x, const char *prefix, gint64 out, int stride)
{
  g_autofree char *conv = g_strconcat (prefix, ".conv", NULL), *norm = g_strconcat (prefix, ".norm", NULL);

  x = tess_build_conv (b, x, conv, out, tess_build_cube (3, stride, 1, 1), FALSE);
  tess_build_idle_bias (b, conv, out);
  x = tess_build_dropout (b, x);
  return tess_build_norm (b, x, norm, b->spec->leaky_slope, FALSE);
}

static TessId
stage (TessClassBuild *b, TessId x, const char *side, guint s, gint64 out, int stride)
{
  for (guint i = 0; i < 2; i++) {
    g_autofree char *prefix = g_strdup_printf ("%s.%u.%u", side, s, i);

    x = block (b, x, prefix, out, i == 0 ? stride : 1);
  }
  return x;
}

static gboolean
forward (TessClassBuild *b)
{
  const TessNetworkSpec *spec = b->spec;
  TessId skip[TESS_NETWORK_MAX_STAGES], x = b->network->image;

  for (guint s = 0; s < spec->n_stages; s++) {
    tess_graph_begin_stage (b->graph);
    x = skip[s] = stage (b, x, "down", s, spec->features[s], s == 0 ? 1 : 2);
  }
  for (guint s = spec->n_stages - 1; s-- > 0;) {
    g_autofree char *conv = g_strdup_printf ("up.%u.conv", s), *norm = g_strdup_printf ("up.%u.norm", s);
    g_autofree char *head = g_strdup_printf ("head.%u", s);

    tess_graph_begin_stage (b->graph);
    x = tess_build_up (b, x, conv, spec->features[s], tess_build_cube (2, 2, 0, 1), FALSE);
    tess_build_idle_bias (b, conv, spec->features[s]);
    x = tess_build_dropout (b, x);
    x = tess_build_norm (b, x, norm, spec->leaky_slope, FALSE);
    x = stage (b, tess_build_concat (b, skip[s], x), "merge", s, spec->features[s], 1);
    if (spec->single_head && s > 0)
      continue;
    if (!tess_build_large_head (b, x, head, tess_build_cube (3, 1, 1, 1), s, s == 0 || b->program->deep_supervision))
      return FALSE;
  }
  return TRUE;
}

const TessNetworkClass tess_network_ingradient = {
    .check = check, .smallest = smallest, .fits = fits, .forward = forward};
