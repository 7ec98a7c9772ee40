#include "bench-backend.h"
#include "tess-session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* The training step (forward, the loss of every head, backward, clipping, SGD) of nnU-Net's two 3D networks on a GPU:
 * batch 2, patch 128^3, bfloat16 where the card has it; beside PyTorch's on the same card (bench_gpu_step_peer.py). The
 * batch lies on the card for both. Best of N_RUNS after N_WARM, of which two are op by op and one is captured.
 * $BENCH_PATCH: another edge; $TESSERA_BENCH_BACKEND: cpu, to try it without a GPU. */

#define N_WARM 5
#define N_RUNS 20
#define CUBE(k)                                                                                                        \
  {                                                                                                                    \
    k, k, k                                                                                                            \
  }

static const struct {
  const char *name;
  TessNetworkSpec spec;
} cases[] = {
    {"PlainConvUNet",
     {.n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .kernel = {CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3)},
      .stride = {CUBE (1), CUBE (2), CUBE (2), CUBE (2), CUBE (2), CUBE (2)},
      .convs_encoder = {2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5}},
    {"ResEnc L",
     {.architecture = TESS_NETWORK_RESIDUAL_UNET,
      .n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .kernel = {CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3), CUBE (3)},
      .stride = {CUBE (1), CUBE (2), CUBE (2), CUBE (2), CUBE (2), CUBE (2)},
      .convs_encoder = {1, 3, 4, 6, 6, 6},
      .convs_decoder = {1, 1, 1, 1, 1},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5}},
};

typedef struct {
  double plan, bind, step; /* seconds */
  guint64 bytes;
} Result;

static double
since (gint64 start)
{
  return (double)(g_get_monotonic_time () - start) * 1e-6;
}

static gboolean
measure (const TessBackendIface *backend, const TessNetworkSpec *spec, gint64 edge, TessDType dtype, Result *r,
         GError **error)
{
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN,
                             .batch = 2,
                             .dhw = {edge, edge, edge},
                             .act_dtype = dtype,
                             .deep_supervision = TRUE,
                             .dice_smooth = 1e-5f,
                             .batch_dice = TRUE};
  TessStepArgs args = {.learning_rate = 0.001,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 12,
                       .head_weight = {1, 0.5, 0.25, 0.125, 0.0625}};
  g_autoptr (TessSession) session = tess_session_new (backend, 0, 0, spec, error);
  gboolean small = edge <= 64;
  gint64 start = g_get_monotonic_time ();

  if (session == NULL || tess_session_add_program (session, &program, error) < 0)
    return FALSE;
  r->plan = since (start);
  r->bytes = tess_session_bytes (session);
  start = g_get_monotonic_time ();
  if (!tess_session_bind (session, 0, error) || !tess_session_init_params (session, 1, error) ||
      !bench_write_batch (session, error))
    return FALSE;
  r->bind = since (start);
  r->step = G_MAXDOUBLE;
  for (guint i = 0; i < (small ? 2 : N_WARM + N_RUNS); i++) {
    args.step = i + 1;
    start = g_get_monotonic_time ();
    if (!tess_session_run (session, 0, &args, error))
      return FALSE;
    if (small || i >= N_WARM)
      r->step = MIN (r->step, since (start));
  }
  return TRUE;
}

int
main (void)
{
  TessDeviceInfo info;
  const TessBackendIface *backend = bench_backend ("cuda", &info);
  gint64 edge = bench_number ("BENCH_PATCH", 128);
  TessDType dtype = info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;
  gboolean ok = TRUE;

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    Result r;

    if (!measure (backend, &cases[i].spec, edge, dtype, &r, &error)) {
      fprintf (stderr, "bench-gpu-step: %s: %s\n", cases[i].name, error->message);
      ok = FALSE;
      continue;
    }
    printf ("{\"bench\": \"gpu-step\", \"case\": \"%s, 2x%" PRId64 "^3\", \"unit\": \"s\", \"ours\": %.5f, "
            "\"precision\": \"%s\", \"device\": \"%s\", \"seconds_planning\": %.3f, \"seconds_binding\": %.3f, "
            "\"bytes\": %" PRIu64 "}\n",
            cases[i].name, edge, r.step, tess_dtype_name (dtype), info.name, r.plan, r.bind, r.bytes);
    fflush (stdout);
  }
  return ok ? 0 : 1;
}
