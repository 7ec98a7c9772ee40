#include "tess-network-private.h"

/* The network of CASED (Jesson et al., "CASED: Curriculum Adaptive Sampling for Extreme Data Imbalance", 2017), as its
 * public re-implementation has it: convolutions without padding, so that no voxel of the result has seen beyond the
 * patch. A patch of 8 k + 60 voxels gives 8 k in its middle: 68 gives 8, 132 gives 72. */

#define MARGIN 60

static gboolean
check (const TessNetworkSpec *spec, GError **error)
{
  return tess_network_check_ends (spec, error);
}

static void
smallest (const TessNetworkSpec *spec, gint64 dhw[3])
{
  dhw[0] = dhw[1] = dhw[2] = MARGIN + 8;
}

static gboolean
fits (const TessNetworkSpec *spec, const gint64 dhw[3])
{
  for (guint a = 0; a < 3; a++)
    if (dhw[a] < MARGIN + 8 || (dhw[a] - MARGIN) % 8 != 0)
      return FALSE;
  return TRUE;
}

static TessId
layer (TessClassBuild *b, TessId x, guint n, gint64 out, int kernel)
{
  g_autofree char *name = g_strdup_printf ("conv%u", n);

  return tess_build_act (b, tess_build_conv (b, x, name, out, tess_build_cube (kernel, 1, 0, 1), TRUE), 0.0);
}

/* Twice the channels, the same ones again, at half of the voxels. */
static TessId
pool (TessClassBuild *b, TessId x)
{
  static const int two[3] = {2, 2, 2};

  x = x != TESS_NONE ? tess_graph_max_pool (b->graph, x, two, b->error) : TESS_NONE;
  return tess_build_concat (b, x, x);
}

/* Up by a kernel of 4 whose rim is cut, beside the middle of what the way down had there. */
static TessId
up (TessClassBuild *b, TessId x, TessId skip, guint n, gint64 out)
{
  g_autofree char *name = g_strdup_printf ("deconv%u", n);

  x = tess_build_up (b, x, name, out, tess_build_cube (4, 2, 1, 1), FALSE);
  return tess_build_concat (b, tess_build_crop (b, skip, x, TRUE), x);
}

static gboolean
forward (TessClassBuild *b)
{
  TessId skip[3], x = b->network->image;

  b->valid = TRUE;
  for (guint s = 0; s < 3; s++) {
    tess_graph_begin_stage (b->graph);
    x = layer (b, x, 2 * s + 1, G_GINT64_CONSTANT (32) << s, 3);
    skip[s] = layer (b, x, 2 * s + 2, G_GINT64_CONSTANT (32) << s, 3);
    x = pool (b, skip[s]);
  }
  tess_graph_begin_stage (b->graph);
  x = layer (b, x, 7, 256, 3);
  x = layer (b, x, 8, 128, 3);
  for (guint u = 0; u < 3; u++) {
    gint64 width = 128 >> u;

    tess_graph_begin_stage (b->graph);
    x = up (b, x, skip[2 - u], u + 1, width);
    x = layer (b, x, 9 + 2 * u, width, 1);
    x = layer (b, x, 10 + 2 * u, MAX (width / 2, 32), 1);
  }
  return tess_build_head (b, x, "head", 0);
}

const TessNetworkClass tess_network_cased = {.check = check, .smallest = smallest, .fits = fits, .forward = forward};
