#include "train-run.h"

#include "session-read.h"
#include "specs.h"
#include "tess-philox.h"

#include <math.h>
#include <string.h>

#define CUBE(k)                                                                                                        \
  {                                                                                                                    \
    k, k, k                                                                                                            \
  }

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 batch, dhw[3];
  TessOptimiser optimiser;
} Net;

static const Net nets[] = {
    {"tiny",
     {.n_stages = 2,
      .n_channels = 1,
      .n_classes = 2,
      .features = {2, 3},
      .kernel = {{1, 3, 3}, CUBE (3)},
      .stride = {CUBE (1), {1, 2, 2}},
      .convs_encoder = {1, 1},
      .convs_decoder = {1},
      SPEC_UNET},
     1,
     {2, 8, 8},
     TESS_OPTIMISER_SGD},
    {"plain-3d",
     {.n_stages = 3,
      .n_channels = 2,
      .n_classes = 3,
      .features = {4, 6, 8},
      .kernel = {{1, 3, 3}, CUBE (3), CUBE (3)},
      .stride = {CUBE (1), {1, 2, 2}, CUBE (2)},
      .convs_encoder = {2, 1, 2},
      .convs_decoder = {1, 2},
      SPEC_UNET},
     2,
     {4, 12, 16},
     TESS_OPTIMISER_SGD},
    {"residual-3d",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .n_stages = 3,
      .n_channels = 1,
      .n_classes = 2,
      .features = {4, 6, 8},
      .kernel = {CUBE (3), CUBE (3), CUBE (3)},
      .stride = {CUBE (1), CUBE (2), CUBE (2)},
      .convs_encoder = {1, 2, 1},
      .convs_decoder = {1, 1},
      SPEC_UNET},
     2,
     {8, 8, 12},
     TESS_OPTIMISER_ADAMW},
    {"plain-2d",
     {.slice_axis = 1,
      .n_stages = 3,
      .n_channels = 1,
      .n_classes = 3,
      .features = {4, 8, 12},
      .kernel = {{1, 3, 3}, {1, 3, 3}, {1, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {1, 2, 2}},
      .convs_encoder = {2, 2, 1},
      .convs_decoder = {2, 1},
      SPEC_UNET},
     3,
     {1, 16, 24},
     TESS_OPTIMISER_ADAM},
    {"meshnet",
     {.architecture = TESS_NETWORK_MESHNET,
      .n_channels = 1,
      .n_classes = 3,
      .features = {5},
      .n_layers = 4,
      .dilation = {1, 2, 4, 1}},
     1,
     {9, 10, 11},
     TESS_OPTIMISER_SGD},
    {"ingradient",
     {SPEC_INGRADIENT, .n_stages = 3, .n_channels = 2, .n_classes = 3, .features = {4, 6, 8}, .dropout = 0.25},
     2,
     {8, 8, 12},
     TESS_OPTIMISER_SGD},
    {"se-residual",
     {SPEC_SE_RESIDUAL, .n_stages = 3, .n_channels = 1, .n_classes = 2, .features = {4}, .se_ratio = 2,
      .attention_gate = TRUE, .noise = 0.1},
     1,
     {9, 13, 10},
     TESS_OPTIMISER_SGD},
};

guint
train_run_n (void)
{
  return G_N_ELEMENTS (nets);
}

const char *
train_run_name (guint net)
{
  return nets[net].name;
}

/* Noise, brighter where the label is higher: something to learn. */
static gboolean
write_batch (TessSession *session, int program, GError **error)
{
  const TessNetwork *network = tess_session_network (session, program);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);
  gint64 n = tess_tensor_n_elements (image), channels = image->dim[4];
  g_autofree float *values = g_malloc (image->bytes);
  g_autofree guint8 *labels = g_malloc ((gsize)(n / channels));

  for (gint64 i = 0; i < n; i++) {
    gint64 voxel = i / channels, x = voxel % image->dim[3], y = voxel / image->dim[3] % image->dim[2];

    labels[voxel] = (guint8)((x / 4 + y / 4) % 2);
    values[i] =
        (float)tess_philox_range (tess_philox (3, 0, 0, 0, (guint32)i).v[0], -0.5, 0.5) + 0.7f * (float)labels[voxel];
  }
  return tess_session_write (session, program, network->image, values, image->bytes, error) &&
         (network->labels == TESS_NONE ||
          tess_session_write (session, program, network->labels, labels, (gsize)(n / channels), error));
}

static gboolean
step (TessSession *session, guint k, double *loss, GError **error)
{
  TessStepArgs args = {.learning_rate = 0.01 * (1 - 0.04 * k),
                       .momentum = 0.9,
                       .weight_decay = 3e-5,
                       .clip_norm = 1 + 0.1 * k,
                       .head_weight = {0.6, 0.25, 0.15},
                       .beta1 = 0.9,
                       .beta2 = 0.999,
                       .epsilon = 1e-8,
                       .step = k + 1,
                       .seed = 11};

  return tess_session_run (session, 0, &args, error) && session_loss (session, 0, &args, loss, error);
}

static gboolean
infer (TessSession *session, int program, GArray *logits, GError **error)
{
  const TessNetwork *network = tess_session_network (session, program);
  const TessTensor *t = tess_graph_tensor (network->graph, network->logits[0]);
  TessStepArgs args = {0};

  g_array_set_size (logits, (guint)tess_tensor_n_elements (t));
  return write_batch (session, program, error) && tess_session_run (session, program, &args, error) &&
         tess_session_read (session, program, network->logits[0], logits->data, t->bytes, error);
}

gboolean
train_run (const TessBackendIface *iface, guint net, TessDType dtype, guint n_steps, TrainRun *out, GError **error)
{
  const Net *n = &nets[net];
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .batch = n->batch,
                             .dhw = {n->dhw[0], n->dhw[1], n->dhw[2]},
                             .act_dtype = dtype,
                             .deep_supervision = TRUE,
                             .dice_smooth = 1e-5f,
                             .optimiser = n->optimiser};
  g_autoptr (TessSession) session = NULL;

  g_assert_cmpuint (n_steps, <=, TRAIN_STEPS);
  *out = (TrainRun){.n_steps = n_steps,
                    .params = g_array_new (FALSE, FALSE, sizeof (float)),
                    .logits = g_array_new (FALSE, TRUE, sizeof (float))};
  session = tess_session_new (iface, 0, 1, &n->spec, error);
  if (session == NULL || tess_session_add_program (session, &program, error) < 0)
    return FALSE;
  program.kind = TESS_PROGRAM_INFER;
  program.batch = 1;
  if (tess_session_add_program (session, &program, error) < 0 || !tess_session_bind (session, 0, error) ||
      !tess_session_init_params (session, 5, error) || !write_batch (session, 0, error))
    return FALSE;
  for (guint k = 0; k < n_steps; k++)
    if (!step (session, k, &out->loss[k], error))
      return FALSE;
  /* Twice: the second time the packed weights are at hand. */
  return session_append_params (session, out->params, error) && infer (session, 1, out->logits, error) &&
         infer (session, 1, out->logits, error);
}

void
train_run_clear (TrainRun *run)
{
  g_clear_pointer (&run->params, g_array_unref);
  g_clear_pointer (&run->logits, g_array_unref);
}

double
train_run_loss_error (const TrainRun *a, const TrainRun *b)
{
  double most = 0;

  for (guint k = 0; k < a->n_steps; k++)
    most = isnan (a->loss[k]) ? HUGE_VAL : MAX (most, fabs (a->loss[k] - b->loss[k]) / MAX (fabs (b->loss[k]), 0.1));
  return most;
}

double
train_run_logits_error (const TrainRun *a, const TrainRun *b)
{
  double difference = 0, scale = 0;

  g_assert_cmpuint (a->logits->len, ==, b->logits->len);
  for (guint i = 0; i < b->logits->len; i++) {
    double x = (double)g_array_index (a->logits, float, i), y = (double)g_array_index (b->logits, float, i);

    difference += (x - y) * (x - y);
    scale += y * y;
  }
  return isnan (difference) ? HUGE_VAL : difference / scale;
}

gboolean
train_run_same_bits (const TrainRun *a, const TrainRun *b)
{
  return memcmp (a->loss, b->loss, sizeof a->loss) == 0 && a->params->len == b->params->len &&
         a->logits->len == b->logits->len &&
         memcmp (a->params->data, b->params->data, a->params->len * sizeof (float)) == 0 &&
         memcmp (a->logits->data, b->logits->data, a->logits->len * sizeof (float)) == 0;
}
