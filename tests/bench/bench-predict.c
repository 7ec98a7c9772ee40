#include "bench-backend.h"
#include "tess-predictor.h"
#include "tess-planner.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* Segmenting one large scan, 512 x 512 x 600 int16 with 25 classes, by nnU-Net's network in tiles of 128^3 (step 0.5):
 * time from the scan in memory to its labels, and the host's memory at its peak less what the scan itself takes. The
 * weights are random: the work is the same. $BENCH_SCAN and $BENCH_PATCH: smaller edges, $TESSERA_BENCH_BACKEND: cpu,
 * to try it without a GPU. */

#define N_CLASSES 25
#define N_STAGES 6

static void
check (gboolean ok, GError *error)
{
  if (ok)
    return;
  fprintf (stderr, "bench-predict: %s\n", error->message);
  exit (1);
}

static TessPlan *
make_plan (gint64 edge)
{
  static const gint64 features[N_STAGES] = {32, 64, 128, 256, 320, 320};
  TessPlan *plan = tess_plan_new ();
  guint n_stages = 1;
  GError *error = NULL;

  tess_plan_add_channel (plan, "CT", TESS_NORM_ZSCORE);
  for (guint l = 0; l < N_CLASSES; l++) {
    g_autofree char *name = l > 0 ? g_strdup_printf ("organ %u", l) : g_strdup ("background");

    tess_plan_add_label (plan, name, l);
  }
  while (n_stages < N_STAGES && (edge >> n_stages) >= 4)
    n_stages++;
  plan->network.n_stages = n_stages;
  for (guint s = 0; s < TESS_MAX_STAGES; s++) {
    plan->network.features[s] = s < n_stages ? features[s] : 0;
    plan->network.convs_encoder[s] = s < n_stages ? 2 : 0;
    plan->network.convs_decoder[s] = s + 1 < n_stages ? 2 : 0;
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[s][a] = s < n_stages ? 3 : 0;
      plan->network.stride[s][a] = s < n_stages ? (s == 0 ? 1 : 2) : 0;
    }
  }
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = 0.8;
    plan->patch[a] = edge;
  }
  check (tess_plan_validate (plan, "bench-predict", &error), error);
  return plan;
}

static TessModel *
make_model (const TessPlan *plan)
{
  GError *error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-bench-XXXXXX", &error);
  g_autofree char *path = folder != NULL ? g_build_filename (folder, "model.safetensors", NULL) : NULL;
  g_autoptr (TessSession) session = NULL;
  TessNetworkSpec network;
  TessProgramSpec program;
  TessModel *model;

  check (folder != NULL, error);
  tess_plan_network_spec (plan, &network);
  tess_plan_program_spec (plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE, &program);
  tess_network_smallest (&network, program.dhw);
  session = tess_session_new (tess_backend_find ("cpu", &error), 0, 1, &network, &error);
  check (session != NULL, error);
  check (tess_session_add_program (session, &program, &error) >= 0 && tess_session_bind (session, 0, &error) &&
             tess_session_init_params (session, 1, &error) &&
             tess_model_save (path, plan, session, "{\"program\":\"bench-predict\"}", NULL, &error),
         error);
  model = tess_model_load (path, &error);
  check (model != NULL, error);
  g_remove (path);
  g_rmdir (folder);
  return model;
}

static TessVolume *
make_scan (const gint64 dim[3])
{
  TessAffine affine = tess_affine_scale (0.8, 0.8, 0.8);
  GError *error = NULL;
  TessVolume *scan = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, &error);
  gint64 n = dim[0] * dim[1] * dim[2];
  guint32 state = 1;
  gint16 *v;

  check (scan != NULL, error);
  v = tess_volume_data_mut (scan);
  for (gint64 i = 0; i < n; i++) {
    state = state * 1664525u + 1013904223u;
    v[i] = (gint16)((i % dim[0]) + (gint64)(state >> 24) - 500);
  }
  tess_volume_set_watermark (scan, tess_volume_n_slices (scan));
  return scan;
}

static void
print (const char *what, const TessDeviceInfo *info, const char *unit, double value)
{
  printf ("{\"bench\": \"predict\", \"case\": \"%s\", \"unit\": \"%s\", \"ours\": %.6g, \"device\": \"%s\"}\n", what,
          unit, value, info->name);
  fflush (stdout);
}

int
main (void)
{
  TessDeviceInfo info;
  const TessBackendIface *backend = bench_backend ("cuda", &info);
  gint64 edge = bench_number ("BENCH_SCAN", 0);
  const gint64 dim[3] = {edge > 0 ? edge : 512, edge > 0 ? edge : 512, edge > 0 ? edge : 600};
  g_autoptr (TessPlan) plan = make_plan (bench_number ("BENCH_PATCH", 128));
  g_autoptr (TessModel) model = make_model (plan);
  g_autoptr (TessVolume) scan = make_scan (dim), labels = NULL;
  g_autoptr (TessPredictor) predictor = NULL;
  g_autofree char *name = NULL;
  GError *error = NULL;
  gint64 start, before;

  bench_forget_peak ();
  before = bench_resident ("VmRSS:");
  start = g_get_monotonic_time ();
  predictor = tess_predictor_new (model, backend, 0, 0, info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32, &error);
  check (predictor != NULL, error);
  labels = tess_predictor_run (predictor, &scan, 1, NULL, &error);
  check (labels != NULL, error);
  name = g_strdup_printf ("%" PRId64 "x%" PRId64 "x%" PRId64 ", %u classes, tiles of %" PRId64 "^3", dim[0], dim[1],
                          dim[2], N_CLASSES, plan->patch[0]);
  print (name, &info, "s", (double)(g_get_monotonic_time () - start) * 1e-6);
  g_free (name);
  name = g_strdup_printf ("%" PRId64 "x%" PRId64 "x%" PRId64 ", host memory beside the scan", dim[0], dim[1], dim[2]);
  print (name, &info, "bytes", (double)(bench_resident ("VmHWM:") - before));
  return 0;
}
