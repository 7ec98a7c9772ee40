#include "ranks-run.h"

#include <math.h>
#include <string.h>

#include "../random-number.h"
#include "session-read.h"
#include "specs.h"

#define N_BATCH 4
#define VOXELS (12 * 16 * 8)

static const TessNetworkSpec network_spec = {
    .n_stages = 2,
    .n_channels = 1,
    .n_classes = 3,
    .features = {4, 6},
    .kernel = {{3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}},
    .convs_encoder = {1, 1},
    .convs_decoder = {1},
    SPEC_UNET,
};

/* What is dropped and added belongs to a sample of the batch, whichever rank has it. (Behind a norm a dropped channel
 * would be at the ReLU's kink, where the last bit of a sum decides.) */
static const TessNetworkSpec dropout_spec = {.architecture = TESS_NETWORK_MESHNET,
                                             .n_channels = 1,
                                             .n_classes = 3,
                                             .features = {6},
                                             .leaky_slope = 0.01,
                                             .n_layers = 3,
                                             .dilation = {1, 2, 1},
                                             .dropout = 0.2};

static const TessNetworkSpec noise_spec = {SPEC_SE_RESIDUAL, .n_stages = 2, .n_channels = 1, .n_classes = 3,
                                           .features = {4},  .se_ratio = 2, .noise = 0.1};

typedef struct {
  const char *name;
  TessLossKind loss;
  gboolean batch_dice, regions;
  guint ignore;
  TessOptimiser optimiser;
  const TessNetworkSpec *spec; /* NULL: the U-Net */
} Case;

static const Case cases[] = {
    {"dice-ce", TESS_LOSS_DICE_CE, FALSE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"dice-ce-of-batch", TESS_LOSS_DICE_CE, TRUE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"ignore", TESS_LOSS_DICE_CE, FALSE, FALSE, 3, TESS_OPTIMISER_SGD},
    {"ignore-of-batch", TESS_LOSS_DICE_CE, TRUE, FALSE, 3, TESS_OPTIMISER_ADAM},
    {"regions", TESS_LOSS_DICE_CE, FALSE, TRUE, 0, TESS_OPTIMISER_SGD},
    {"regions-ignore-of-batch", TESS_LOSS_DICE_CE, TRUE, TRUE, 3, TESS_OPTIMISER_SGD},
    {"dice-of-batch", TESS_LOSS_DICE, TRUE, FALSE, 0, TESS_OPTIMISER_ADAMW},
    {"tversky-of-batch", TESS_LOSS_TVERSKY, TRUE, FALSE, 0, TESS_OPTIMISER_SGD},
    {"focal", TESS_LOSS_FOCAL, FALSE, FALSE, 3, TESS_OPTIMISER_SGD},
    {"dropout", TESS_LOSS_DICE_CE, TRUE, FALSE, 0, TESS_OPTIMISER_SGD, &dropout_spec},
    {"noise", TESS_LOSS_DICE_CE, FALSE, FALSE, 0, TESS_OPTIMISER_SGD, &noise_spec},
};

guint
ranks_run_n (void)
{
  return G_N_ELEMENTS (cases);
}

const char *
ranks_run_name (guint which)
{
  return cases[which].name;
}

/* The samples differ in how much they hold of what, so that a mean of means is not the mean. */
static gboolean
write_samples (TessSession *session, guint first, guint n, GError **error)
{
  const TessNetwork *network = tess_session_network (session, 0);
  g_autofree float *image = g_new (float, (gsize)n *VOXELS);
  g_autofree guint8 *labels = g_new (guint8, (gsize)n * VOXELS);

  for (guint s = 0; s < n; s++) {
    guint32 state = 77 + first + s;

    for (gsize i = 0; i < VOXELS; i++) {
      float draw = random_number (&state);
      guint label = i % (7 + 11 * (first + s)) == 0 ? 1 : i % 5 == 0 ? 2 : 0;

      if (draw > 0.8f - 0.3f * (float)(first + s))
        label = 3; /* ignored, or background */
      labels[s * VOXELS + i] = (guint8)label;
      image[s * VOXELS + i] = 0.5f * random_number (&state) + 0.7f * (float)(label % 3);
    }
  }
  return tess_session_write (session, 0, network->image, image, (gsize)n * VOXELS * sizeof *image, error) &&
         tess_session_write (session, 0, network->labels, labels, (gsize)n * VOXELS, error);
}

static gboolean
step (TessSession *session, guint k, RanksRun *out, GError **error)
{
  const TessNetwork *network = tess_session_network (session, 0);
  TessStepArgs args = {.learning_rate = 0.01,
                       .momentum = 0.9,
                       .weight_decay = 3e-5,
                       .clip_norm = 1, /* below the first norms */
                       .head_weight = {0.75},
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .epsilon = 1e-3,
                       .step = k + 1,
                       .seed = 9};

  if (!tess_session_run (session, 0, &args, error) ||
      !tess_session_read (session, 0, network->metrics[0], out->metrics, sizeof out->metrics, error) ||
      !tess_session_read (session, 0, network->grad_norm, &out->norm[k], sizeof (double), error))
    return FALSE;
  out->loss[k] = out->metrics[0];
  return TRUE;
}

gboolean
ranks_run (const TessBackendIface *iface, guint device, const TessCommunicator *c, guint which, guint n_steps,
           RanksRun *out, GError **error)
{
  const Case *one = &cases[which];
  guint share = N_BATCH / tess_communicator_size (c);
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .batch = share,
                             .dhw = {12, 16, 8},
                             .act_dtype = TESS_DTYPE_F32,
                             .dice_smooth = 1e-5f,
                             .batch_dice = one->batch_dice,
                             .loss = one->loss,
                             .has_regions = one->regions,
                             .ignore = one->ignore,
                             .alpha = 0.3f,
                             .beta = 0.7f,
                             .gamma = 2,
                             .regions = {0, 1, 3, 4},
                             .optimiser = one->optimiser};
  g_autoptr (TessSession) session = NULL;

  g_assert_cmpuint (n_steps, <=, RANKS_STEPS);
  *out = (RanksRun){.n_steps = n_steps, .params = g_array_new (FALSE, FALSE, sizeof (float))};
  session = tess_session_new (iface, device, 1, one->spec != NULL ? one->spec : &network_spec, error);
  if (session == NULL || tess_session_add_program (session, &program, error) < 0 ||
      !tess_session_set_communicator (session, c, error) || !tess_session_bind (session, 0, error) ||
      !tess_session_init_params (session, 3, error) ||
      !write_samples (session, c != NULL ? c->rank * share : 0, share, error))
    return FALSE;
  for (guint k = 0; k < n_steps; k++)
    if (!step (session, k, out, error))
      return FALSE;
  return session_append_params (session, out->params, error);
}

void
ranks_run_clear (RanksRun *run)
{
  g_clear_pointer (&run->params, g_array_unref);
}

double
ranks_run_error (const RanksRun *a, const RanksRun *b)
{
  double worst = 0, difference = 0, scale = 0;

  g_assert_cmpuint (a->params->len, ==, b->params->len);
  for (guint k = 0; k < b->n_steps; k++) {
    if (!isfinite (a->loss[k]) || !isfinite (a->norm[k]))
      return HUGE_VAL;
    worst = MAX (worst, fabs (a->loss[k] - b->loss[k]) / fabs (b->loss[k]));
    worst = MAX (worst, fabs (a->norm[k] - b->norm[k]) / fabs (b->norm[k]));
  }
  for (guint i = 0; i < b->params->len; i++) {
    double x = (double)g_array_index (a->params, float, i), y = (double)g_array_index (b->params, float, i);

    if (!isfinite (x))
      return HUGE_VAL;
    difference = MAX (difference, fabs (x - y));
    scale = MAX (scale, fabs (y));
  }
  return MAX (worst, difference / scale);
}

gboolean
ranks_run_same_bits (const RanksRun *a, const RanksRun *b)
{
  return memcmp (a->loss, b->loss, sizeof a->loss) == 0 && memcmp (a->norm, b->norm, sizeof a->norm) == 0 &&
         memcmp (a->metrics, b->metrics, sizeof a->metrics) == 0 && a->params->len == b->params->len &&
         memcmp (a->params->data, b->params->data, a->params->len * sizeof (float)) == 0;
}
