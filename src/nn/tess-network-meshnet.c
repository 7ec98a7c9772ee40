#include "tess-network-private.h"

#include <inttypes.h>

#define LAYERS_A_STAGE 3

/* MeshNet (Yu and Koltun 2016, as Fedorov et al., "End-to-end learning of brain tissue segmentation", 2017, have it):
 * convolutions 3x3x3 at full resolution whose dilation grows and shrinks, each followed by a ReLU, and one of a single
 * voxel for the classes. features[0] channels everywhere. The batch norm that it is trained with elsewhere is part of
 * the weights here: at prediction it is one factor and one shift a channel. */

static gboolean
check (const TessNetworkSpec *spec, GError **error)
{
  gboolean good = spec->n_layers >= 1 && spec->n_layers <= TESS_NETWORK_MAX_LAYERS && spec->n_channels >= 1 &&
                  spec->n_channels <= 1024 && spec->n_classes >= 2 && spec->n_classes <= 256 &&
                  spec->features[0] >= 1 && spec->features[0] <= 8192;

  for (guint i = 0; good && i < spec->n_layers; i++)
    good = spec->dilation[i] >= 1 && spec->dilation[i] <= TESS_NETWORK_MAX_DILATION;
  if (!good)
    g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                 _ ("a MeshNet needs 1 to %d layers with dilations of 1 to %d, 1 to 8192 features, 1 to 1024 channels "
                    "and 2 to 256 classes"),
                 TESS_NETWORK_MAX_LAYERS, TESS_NETWORK_MAX_DILATION);
  return good;
}

static void
smallest (const TessNetworkSpec *spec, gint64 dhw[3])
{
  dhw[0] = dhw[1] = dhw[2] = 1;
}

static gboolean
fits (const TessNetworkSpec *spec, const gint64 dhw[3])
{
  return TRUE;
}

static gboolean
forward (TessClassBuild *b)
{
  g_autofree char *head = g_strdup_printf ("model.%u", b->spec->n_layers);
  TessId x = b->network->image;

  for (guint i = 0; i < b->spec->n_layers; i++) {
    g_autofree char *name = g_strdup_printf ("model.%u.0", i);
    int dilation = (int)b->spec->dilation[i];

    if (i % LAYERS_A_STAGE == 0)
      tess_graph_begin_stage (b->graph);
    x = tess_build_conv (b, x, name, b->spec->features[0], tess_build_cube (3, 1, dilation, dilation), TRUE);
    x = tess_build_dropout (b, tess_build_act (b, x, b->spec->leaky_slope));
  }
  return tess_build_head (b, x, head, 0);
}

const TessNetworkClass tess_network_meshnet = {.check = check, .smallest = smallest, .fits = fits, .forward = forward};
