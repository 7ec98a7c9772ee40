#include "trajectory.h"

#include <math.h>

#include "ref-backend.h"
#include "session-read.h"
#include "specs.h"
#include "tess-safetensors.h"

/* The numbers of tests/reference/unet_trajectory.py. */
static const TessNetworkSpec spec = {
    .n_stages = 4,
    .n_channels = 2,
    .n_classes = 3,
    .features = {4, 6, 8, 8},
    .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}},
    .convs_encoder = {2, 2, 1, 2},
    .convs_decoder = {1, 2, 2},
    SPEC_UNET,
};

typedef struct {
  TessSafetensors *file;
  TessSession *session;
  int program;
  GError **error;
} Run;

/* A tensor of the fixture; a missing or misshapen one is a failure of the fixture itself. */
static gconstpointer
fixture (Run *r, const char *name, gsize bytes)
{
  const TessSafetensor *t = tess_safetensors_find (r->file, name);

  if (t == NULL || t->bytes != bytes)
    g_error ("%s: no tensor %s of %" G_GSIZE_FORMAT " bytes", tess_safetensors_path (r->file), name, bytes);
  return t->data;
}

static gboolean
set_initial (Run *r)
{
  g_autoptr (GPtrArray) data = session_params_new (r->session);

  for (guint i = 0; i < data->len; i++) {
    const TessTensor *t = tess_session_param (r->session, i);
    g_autofree char *name = g_strconcat ("init.", t->name, NULL);

    memcpy (data->pdata[i], fixture (r, name, t->bytes), t->bytes);
  }
  return tess_session_set_params (r->session, TESS_STATE_PARAM, (const float *const *)data->pdata, r->error);
}

static gboolean
set_batch (Run *r, const TessNetwork *network)
{
  gsize image = tess_graph_tensor (network->graph, network->image)->bytes;
  gsize labels = tess_graph_tensor (network->graph, network->labels)->bytes;

  return tess_session_write (r->session, r->program, network->image, fixture (r, "image", image), image, r->error) &&
         tess_session_write (r->session, r->program, network->labels, fixture (r, "labels", labels), labels, r->error);
}

/* sum (a - b)^2 / sum (b - base)^2 over floats at any alignment; base NULL is zero. */
static void
accumulate_nmse (const float *a, gconstpointer b, gconstpointer base, gsize n, double *difference, double *scale)
{
  for (gsize i = 0; i < n; i++) {
    float y, z = 0;

    memcpy (&y, (const guint8 *)b + 4 * i, 4);
    if (base != NULL)
      memcpy (&z, (const guint8 *)base + 4 * i, 4);
    *difference += ((double)a[i] - (double)y) * ((double)a[i] - (double)y);
    *scale += ((double)y - (double)z) * ((double)y - (double)z);
  }
}

static gboolean
compare_logits (Run *r, const TessNetwork *network, Trajectory *out)
{
  gsize bytes = tess_graph_tensor (network->graph, network->logits[0])->bytes;
  g_autofree float *logits = g_malloc (bytes);
  double difference = 0, scale = 0;

  if (!tess_session_read (r->session, r->program, network->logits[0], logits, bytes, r->error))
    return FALSE;
  accumulate_nmse (logits, fixture (r, "logits", bytes), NULL, bytes / 4, &difference, &scale);
  out->logits_nmse = difference / scale;
  return TRUE;
}

static gboolean
compare_params (Run *r, Trajectory *out)
{
  g_autoptr (GPtrArray) data = session_params (r->session, TESS_STATE_PARAM, r->error);
  double difference = 0, scale = 0;

  if (data == NULL)
    return FALSE;
  for (guint i = 0; i < data->len; i++) {
    const TessTensor *t = tess_session_param (r->session, i);
    g_autofree char *init = g_strconcat ("init.", t->name, NULL), *final = g_strconcat ("final.", t->name, NULL);

    accumulate_nmse (data->pdata[i], fixture (r, final, t->bytes), fixture (r, init, t->bytes), t->bytes / 4,
                     &difference, &scale);
  }
  out->param_nmse = difference / scale;
  return TRUE;
}

static gboolean
step (Run *r, const TessNetwork *network, guint k, Trajectory *out)
{
  TessStepArgs args = {.learning_rate = 0.01,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 1.0,
                       .head_weight = {2.0 / 3.0, 1.0 / 3.0, 0.0}};

  if (!tess_session_run (r->session, r->program, &args, r->error) ||
      !session_loss (r->session, r->program, &args, &out->loss[k], r->error) ||
      !tess_session_read (r->session, r->program, network->grad_norm, &out->norm[k], sizeof out->norm[k], r->error))
    return FALSE;
  out->loss_error = MAX (out->loss_error, fabs (out->loss[k] / out->torch_loss[k] - 1));
  out->norm_error = MAX (out->norm_error, fabs (out->norm[k] / out->torch_norm[k] - 1));
  return k > 0 || compare_logits (r, network, out);
}

gboolean
trajectory_run (const TessBackendIface *backend, guint device_index, guint n_threads, TessDType act_dtype,
                Trajectory *out, GError **error)
{
  const TessProgramSpec training = {
      .kind = TESS_PROGRAM_TRAIN,
      .batch = 2,
      .dhw = {8, 12, 16},
      .act_dtype = act_dtype,
      .deep_supervision = TRUE,
      .dice_smooth = 1e-5f,
      .batch_dice = FALSE,
  };
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "unet_trajectory.safetensors", NULL);
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, error);
  g_autoptr (TessSession) session = NULL;
  Run r = {.file = file, .error = error};
  const TessNetwork *network;

  *out = (Trajectory){0};
  if (file == NULL)
    return FALSE;
  out->n_steps = (guint)(tess_safetensors_find (file, "losses")->bytes / sizeof (double));
  g_assert_cmpuint (out->n_steps, <=, TRAJECTORY_MAX_STEPS);
  memcpy (out->torch_loss, fixture (&r, "losses", out->n_steps * sizeof (double)), out->n_steps * sizeof (double));
  memcpy (out->torch_norm, fixture (&r, "norms", out->n_steps * sizeof (double)), out->n_steps * sizeof (double));

  r.session = session =
      tess_session_new (backend != NULL ? backend : ref_backend (), device_index, n_threads, &spec, error);
  if (session == NULL || (r.program = tess_session_add_program (session, &training, error)) < 0 ||
      !tess_session_bind (session, 0, error))
    return FALSE;
  network = tess_session_network (session, r.program);
  if (!set_initial (&r) || !set_batch (&r, network))
    return FALSE;
  for (guint k = 0; k < out->n_steps; k++)
    if (!step (&r, network, k, out))
      return FALSE;
  return compare_params (&r, out);
}
