#include "parity.h"

#include <math.h>

#include "../random-number.h"
#include "ref-backend.h"
#include "session-read.h"
#include "tess-safetensors.h"

#define N_BATCH 2
#define N_CHANNELS 2
#define N_CLASSES 3
#define N_STEPS 10

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 dhw[3];
} Net;

/* The networks of tests/reference/nets.py. */
static const Net nets[] = {
    {"plain_3d",
     {.features = {4, 6, 8},
      .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
      .convs_encoder = {2, 1, 2},
      .convs_decoder = {1, 2}},
     {4, 12, 16}},
    {"residual_3d",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .features = {4, 6, 6},
      .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}},
      .convs_encoder = {1, 2, 1},
      .convs_decoder = {1, 1}},
     {4, 12, 16}},
    {"plain_2d",
     {.slice_axis = 1,
      .features = {4, 8, 12},
      .kernel = {{1, 3, 3}, {1, 3, 3}, {1, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {1, 2, 1}},
      .convs_encoder = {2, 2, 1},
      .convs_decoder = {2, 1}},
     {1, 16, 24}},
    {"residual_2d",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .slice_axis = 1,
      .features = {5, 8, 12},
      .kernel = {{1, 3, 3}, {1, 5, 3}, {1, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {1, 1, 2}},
      .convs_encoder = {2, 1, 2},
      .convs_decoder = {1, 2},
      .stem_features = 6},
     {1, 16, 24}},
};

/* Errors are max |a - b| / max |b| of a tensor, the largest over the tensors; a tensor whose values stay below a
 * millionth of the largest of its kind is measured by that millionth. */
typedef struct {
  double logits;      /* every head, before the first step */
  double gradients;   /* every parameter's, of the first step */
  double params;      /* every parameter after the last step */
  double losses;      /* relative, every step */
  char worst[3][128]; /* whose errors these are: logits, gradients, params */
  guint n_params;
} Parity;

typedef struct {
  TessSafetensors *file;
  TessSession *session;
  int program;
  Parity *out;
  GError **error;
} Run;

guint
parity_n (void)
{
  return G_N_ELEMENTS (nets);
}

const char *
parity_name (guint i)
{
  return nets[i].name;
}

void
parity_spec (guint i, TessNetworkSpec *spec, gint64 dhw[3])
{
  *spec = nets[i].spec;
  spec->n_stages = 3;
  spec->n_channels = N_CHANNELS;
  spec->n_classes = N_CLASSES;
  spec->leaky_slope = 0.01;
  spec->norm_eps = 1e-5;
  memcpy (dhw, nets[i].dhw, sizeof nets[i].dhw);
}

static guint8
label_at (const gint64 dhw[3], gint64 i)
{
  gint64 x = i % dhw[2], y = i / dhw[2] % dhw[1], z = i / (dhw[2] * dhw[1]) % dhw[0],
         n = i / (dhw[2] * dhw[1] * dhw[0]);

  return (guint8)((n + z / 2 + y / 4 + x / 5) % N_CLASSES);
}

float *
parity_image (const gint64 dhw[3])
{
  gint64 n = N_BATCH * dhw[0] * dhw[1] * dhw[2];
  float *image = g_new (float, n *N_CHANNELS);
  guint32 state = 12345u + 7919u * 1000u;

  for (gint64 i = 0; i < n * N_CHANNELS; i++)
    image[i] =
        (float)((double)random_number (&state) + (i % N_CHANNELS == 0 ? 0.5 * label_at (dhw, i / N_CHANNELS) : 0.0));
  return image;
}

static gboolean
set_initial (Run *r)
{
  g_autoptr (GPtrArray) data = session_params_new (r->session);

  for (guint i = 0; i < data->len; i++) {
    const TessTensor *t = tess_session_param (r->session, i);
    float *values = data->pdata[i];
    guint32 state = 12345u + 7919u * i;
    double fan = 1;

    for (guint a = 1; a < t->n_dims; a++)
      fan *= (double)t->dim[a];
    for (gint64 k = 0; k < tess_tensor_n_elements (t); k++) {
      double u = (double)random_number (&state);

      values[k] = (float)(g_str_has_suffix (t->name, "bias") ? 0.1 * u
                          : t->n_dims == 1                   ? 1 + 0.3 * u
                                                             : u * sqrt (6 / fan));
    }
  }
  r->out->n_params = data->len;
  return tess_session_set_params (r->session, TESS_STATE_PARAM, (const float *const *)data->pdata, r->error);
}

static gboolean
set_batch (Run *r, const TessNetwork *network, const gint64 dhw[3])
{
  g_autofree float *image = parity_image (dhw);
  gint64 n = N_BATCH * dhw[0] * dhw[1] * dhw[2];
  g_autofree guint8 *labels = g_malloc ((gsize)n);

  for (gint64 i = 0; i < n; i++)
    labels[i] = label_at (dhw, i);
  return tess_session_write (r->session, r->program, network->image, image, (gsize)n * N_CHANNELS * sizeof (float),
                             r->error) &&
         tess_session_write (r->session, r->program, network->labels, labels, (gsize)n, r->error);
}

/* A float of the fixture, at any alignment. */
static double
expected (const TessSafetensor *t, gsize i)
{
  float f;

  memcpy (&f, (const guint8 *)t->data + sizeof f * i, sizeof f);
  return (double)f;
}

static double
largest (Run *r, const char *prefix)
{
  double most = 0;

  for (guint i = 0; i < tess_safetensors_n (r->file); i++) {
    const TessSafetensor *t = tess_safetensors_nth (r->file, i);

    if (g_str_has_prefix (t->name, prefix))
      for (gsize k = 0; k < t->bytes / sizeof (float); k++)
        most = MAX (most, fabs (expected (t, k)));
  }
  return most;
}

/* A missing or misshapen tensor is a failure of the fixture itself, or of the network's names. */
static void
compare (Run *r, const char *prefix, const char *name, const float *ours, gsize bytes, double *error, char worst[128])
{
  g_autofree char *full = g_strconcat (prefix, name, NULL);
  const TessSafetensor *t = tess_safetensors_find (r->file, full);
  double difference = 0, scale = 0, floor = 1e-6 * largest (r, prefix);

  if (t == NULL || t->bytes != bytes)
    g_error ("%s: no tensor %s of %" G_GSIZE_FORMAT " bytes", tess_safetensors_path (r->file), full, bytes);
  for (gsize i = 0; i < bytes / sizeof (float); i++) {
    double miss = fabs ((double)ours[i] - expected (t, i));

    difference = isnan (miss) ? HUGE_VAL : MAX (difference, miss);
    scale = MAX (scale, fabs (expected (t, i)));
  }
  difference /= MAX (scale, floor);
  if (difference >= *error) {
    *error = difference;
    g_strlcpy (worst, full, 128);
  }
}

static gboolean
compare_tensor (Run *r, const char *prefix, const char *name, TessId id, double *error, char worst[128])
{
  const TessNetwork *network = tess_session_network (r->session, r->program);
  gsize bytes = tess_graph_tensor (network->graph, id)->bytes;
  g_autofree float *values = g_malloc (bytes);

  if (!tess_session_read (r->session, r->program, id, values, bytes, r->error))
    return FALSE;
  compare (r, prefix, name, values, bytes, error, worst);
  return TRUE;
}

static gboolean
compare_first (Run *r, const TessNetwork *network)
{
  for (guint h = 0; h < network->n_heads; h++) {
    g_autofree char *name = g_strdup_printf ("%u", h);

    if (!compare_tensor (r, "logits.", name, network->logits[h], &r->out->logits, r->out->worst[0]))
      return FALSE;
  }
  for (TessId id = 0; id < network->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (network->graph, id);

    if (t->role == TESS_ROLE_PARAM &&
        !compare_tensor (r, "grad.", t->name, t->grad, &r->out->gradients, r->out->worst[1]))
      return FALSE;
  }
  return TRUE;
}

static gboolean
compare_last (Run *r)
{
  g_autoptr (GPtrArray) data = session_params (r->session, TESS_STATE_PARAM, r->error);

  for (guint i = 0; data != NULL && i < data->len; i++) {
    const TessTensor *t = tess_session_param (r->session, i);

    compare (r, "final.", t->name, data->pdata[i], t->bytes, &r->out->params, r->out->worst[2]);
  }
  return data != NULL;
}

static gboolean
step (Run *r, const TessNetwork *network, guint k)
{
  TessStepArgs args = {.learning_rate = 0.01,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 12.0,
                       .head_weight = {2.0 / 3.0, 1.0 / 3.0}};
  const TessSafetensor *losses = tess_safetensors_find (r->file, "losses");
  double loss, wanted;

  if (!tess_session_run (r->session, r->program, &args, r->error) ||
      !session_loss (r->session, r->program, &args, &loss, r->error))
    return FALSE;
  memcpy (&wanted, (const guint8 *)losses->data + k * sizeof wanted, sizeof wanted);
  r->out->losses = MAX (r->out->losses, fabs (loss / wanted - 1));
  return k > 0 || compare_first (r, network);
}

static gboolean
run (guint i, const TessBackendIface *backend, Parity *out, GError **error)
{
  TessProgramSpec training = {.kind = TESS_PROGRAM_TRAIN,
                              .batch = N_BATCH,
                              .act_dtype = TESS_DTYPE_F32,
                              .deep_supervision = TRUE,
                              .dice_smooth = 1e-5f};
  g_autofree char *name = g_strdup_printf ("nets_%s.safetensors", nets[i].name);
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", name, NULL);
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, error);
  g_autoptr (TessSession) session = NULL;
  Run r = {.file = file, .out = out, .error = error};
  TessNetworkSpec spec;
  const TessNetwork *network;

  *out = (Parity){0};
  if (file == NULL)
    return FALSE;
  parity_spec (i, &spec, training.dhw);
  r.session = session = tess_session_new (backend != NULL ? backend : ref_backend (), 0, 1, &spec, error);
  if (session == NULL || (r.program = tess_session_add_program (session, &training, error)) < 0 ||
      !tess_session_bind (session, 0, error))
    return FALSE;
  network = tess_session_network (session, r.program);
  if (!set_initial (&r) || !set_batch (&r, network, training.dhw))
    return FALSE;
  for (guint k = 0; k < N_STEPS; k++)
    if (!step (&r, network, k))
      return FALSE;
  return compare_last (&r);
}

void
parity_check (guint i, const TessBackendIface *backend)
{
  g_autoptr (GError) error = NULL;
  Parity p;

  if (!run (i, backend, &p, &error)) { /* assertions may not be fatal */
    g_assert_no_error (error);
    return;
  }
  g_test_message ("errors: logits %.3g (%s), gradients %.3g (%s), parameters after ten steps %.3g (%s), losses %.3g",
                  p.logits, p.worst[0], p.gradients, p.worst[1], p.params, p.worst[2], p.losses);
  g_assert_cmpuint (p.n_params, >, 30);
  g_assert_cmpfloat (p.logits, <=, 1e-4);
  g_assert_cmpfloat (p.gradients, <=, 1e-3);
  g_assert_cmpfloat (p.params, <=, 1e-3);
  g_assert_cmpfloat (p.losses, <=, 1e-4);
}
