#include "infer-fixture.h"

#include "../remove-tree.h"
#include "tess-cpu-backend.h"
#include "tess-philox.h"
#include "tess-planner.h"

#include <glib/gstdio.h>
#include <math.h>

char *
fixture_folder (void)
{
  GError *error = NULL;
  char *folder = g_dir_make_tmp ("tessera-infer-XXXXXX", &error);

  g_assert_no_error (error);
  return folder;
}

void
fixture_remove (char *folder)
{
  remove_tree (folder);
  g_free (folder);
}

TessPlan *
fixture_plan (guint n_channels, guint n_classes, const double spacing[3], const gint64 patch[3])
{
  TessPlan *plan = tess_plan_new ();
  GError *error = NULL;

  for (guint c = 0; c < n_channels; c++) {
    g_autofree char *name = g_strdup_printf ("channel %u", c);

    tess_plan_add_channel (plan, name, TESS_NORM_ZSCORE);
  }
  for (guint l = 0; l < n_classes; l++) {
    g_autofree char *name = l ? g_strdup_printf ("organ %u", l) : g_strdup ("background");

    tess_plan_add_label (plan, name, l);
  }
  plan->network.n_stages = 2;
  for (guint s = 0; s < TESS_MAX_STAGES; s++) {
    plan->network.features[s] = s == 0 ? 4 : s == 1 ? 8 : 0;
    plan->network.convs_encoder[s] = s < 2 ? 1 : 0;
    plan->network.convs_decoder[s] = s < 1 ? 1 : 0;
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[s][a] = s < 2 ? (patch[a] > 1 ? 3 : 1) : 0;
      plan->network.stride[s][a] = s == 0 ? 1 : s == 1 ? (patch[a] > 1 ? 2 : 1) : 0;
    }
  }
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = spacing[a];
    plan->patch[a] = patch[a];
  }
  tess_plan_validate (plan, "fixture", &error);
  g_assert_no_error (error);
  return plan;
}

void
fixture_save_model (const char *path, const TessPlan *plan, guint64 seed, const char *state_json)
{
  g_autoptr (TessSession) session = NULL;
  TessNetworkSpec network;
  TessProgramSpec program;
  GError *error = NULL;

  tess_plan_network_spec (plan, &network);
  tess_plan_program_spec (plan, state_json ? TESS_PROGRAM_TRAIN : TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE,
                          &program);
  session = tess_session_new (tess_cpu_backend (), 0, 2, &network, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), >=, 0);
  g_assert_no_error (error);
  tess_session_bind (session, 0, &error);
  g_assert_no_error (error);
  tess_session_init_params (session, seed, &error);
  g_assert_no_error (error);
  tess_model_save (path, plan, session, "{\"program\":\"test\"}", state_json, &error);
  g_assert_no_error (error);
}

TessVolume *
fixture_scan (const gint64 dim[3], gint64 n_channels, const TessAffine *affine, guint32 seed)
{
  GError *error = NULL;
  TessVolume *volume = tess_volume_new (TESS_DTYPE_I16, dim, n_channels, affine, &error);
  gint16 *v;
  guint32 i = 0;

  g_assert_no_error (error);
  v = tess_volume_data_mut (volume);
  for (gint64 c = 0; c < n_channels; c++)
    for (gint64 z = 0; z < dim[2]; z++)
      for (gint64 y = 0; y < dim[1]; y++)
        for (gint64 x = 0; x < dim[0]; x++, i++) {
          double wave = sin (0.3 * (double)x + (double)c) + cos (0.23 * (double)y) + sin (0.4 * (double)z);

          v[i] = (gint16)(200.0 * wave + 150.0 * tess_philox_unit (tess_philox (seed, 0, (guint32)c, 0, i).v[0]));
        }
  tess_volume_set_scaling (volume, 0.5, -100.0);
  tess_volume_set_watermark (volume, tess_volume_n_slices (volume));
  return volume;
}

TessAffine
fixture_affine (const double spacing[3], const double angle[3], const double offset[3])
{
  TessAffine result = tess_affine_scale (spacing[0], spacing[1], spacing[2]);

  for (int a = 2; a >= 0; a--) {
    int i = (a + 1) % 3, j = (a + 2) % 3;
    TessAffine turn = tess_affine_identity ();

    turn.m[i][i] = turn.m[j][j] = cos (angle[a]);
    turn.m[i][j] = -sin (angle[a]);
    turn.m[j][i] = sin (angle[a]);
    result = tess_affine_compose (&turn, &result);
  }
  for (int a = 0; a < 3; a++)
    result.m[a][3] = offset[a];
  return result;
}

TessSession *
fixture_session (TessModel *model)
{
  TessNetworkSpec network;
  TessProgramSpec program;
  TessSession *session;
  g_autoptr (GError) error = NULL;

  tess_plan_network_spec (model->plan, &network);
  tess_plan_program_spec (model->plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE, &program);
  session = tess_session_new (tess_cpu_backend (), 0, 1, &network, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_true (tess_model_copy_params (model, session, FALSE, &error));
  g_assert_no_error (error);
  return session;
}

/* {N,C,D,H,W} of the reference to {N,D,H,W,C}. */
static float *
channels_last (TessSafetensors *file, const char *name, gsize *n)
{
  const TessSafetensor *t = tess_safetensors_find (file, name);
  gsize channels = (gsize)t->dim[1], voxels = (gsize)(t->dim[2] * t->dim[3] * t->dim[4]);
  float *out = g_new (float, channels *voxels);

  for (gsize c = 0; c < channels; c++)
    for (gsize v = 0; v < voxels; v++)
      memcpy (out + v * channels + c, (const char *)t->data + sizeof (float) * (c * voxels + v), sizeof (float));
  *n = channels * voxels;
  return out;
}

void
fixture_compare_logits (TessModel *model, const char *reference, const char *image_name, const char *name)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", reference, NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);
  g_autoptr (TessSession) session = fixture_session (model);
  const TessNetwork *network = tess_session_network (session, 0);
  gsize n_image, n_logits;
  g_autofree float *image = channels_last (file, image_name, &n_image), *wanted = channels_last (file, name, &n_logits);
  g_autofree float *logits = g_new (float, n_logits);
  double worst = 0, largest = 0;
  TessStepArgs args = {0};

  g_assert_true (tess_session_write (session, 0, network->image, image, n_image * sizeof (float), &error));
  g_assert_true (tess_session_run (session, 0, &args, &error));
  g_assert_true (tess_session_read (session, 0, network->logits[0], logits, n_logits * sizeof (float), &error));
  g_assert_no_error (error);
  for (gsize i = 0; i < n_logits; i++) {
    worst = MAX (worst, fabs ((double)logits[i] - (double)wanted[i]));
    largest = MAX (largest, fabs ((double)wanted[i]));
  }
  g_test_message ("%s: largest difference %.3g of %.3g", name, worst, largest);
  g_assert_cmpfloat (largest, >, 0.1);
  g_assert_cmpfloat (worst / largest, <, 1e-4);
}
