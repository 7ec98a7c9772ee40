#include <stdio.h>
#include <stdlib.h>

#include "../random-number.h"
#include "tess-cpu-backend.h"
#include "tess-network.h"

/* One training step, and one inference, of a small U-Net (features 16, 32, 64, 128; patch 40 x 56 x 40; batch 2) on
 * the CPU backend: median seconds as JSON lines for run.py. With --profile, where the time goes instead. */

static const TessNetworkSpec spec = {
    .n_stages = 4,
    .n_channels = 1,
    .n_classes = 3,
    .features = {16, 32, 64, 128},
    .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
    .stride = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}},
    .convs_encoder = {2, 2, 2, 2},
    .convs_decoder = {2, 2, 2},
    .leaky_slope = 0.01,
    .norm_eps = 1e-5,
};

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static void
fail (GError *error)
{
  fprintf (stderr, "bench-cpu: %s\n", error->message);
  exit (1);
}

static TessProgram *
build (TessDevice *device, TessProgramKind kind, TessDType dtype)
{
  const TessBackendIface *cpu = tess_cpu_backend ();
  TessProgramSpec p = {.kind = kind,
                       .batch = 2,
                       .dhw = {40, 56, 40},
                       .act_dtype = dtype,
                       .deep_supervision = kind == TESS_PROGRAM_TRAIN,
                       .dice_smooth = 1e-5f,
                       .batch_dice = TRUE};
  GError *error = NULL;
  TessNetwork *network = tess_network_build (&spec, &p, &error);
  TessRequirements needs;
  TessProgram *program;
  TessBuffer *arenas[TESS_N_ARENAS] = {NULL};

  if (network == NULL)
    fail (error);
  program = cpu->prepare (device, network->graph, &needs, &error);
  if (program == NULL)
    fail (error);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    if (needs.arena[a] > 0 && (arenas[a] = cpu->buffer_new (device, needs.arena[a], &error)) == NULL)
      fail (error);
  if (!cpu->bind (program, arenas, &error))
    fail (error);
  tess_graph_init_params (network->graph, 1, 0.01, cpu->buffer_host (arenas[TESS_ARENA_PARAM]));
  {
    const TessTensor *image = tess_graph_tensor (network->graph, network->image);
    guint8 *io = cpu->buffer_host (arenas[TESS_ARENA_IO]);
    float *x = (float *)(gpointer)(io + image->offset);
    guint32 state = 1;

    for (gint64 i = 0; i < tess_tensor_n_elements (image); i++) {
      x[i] = random_number (&state);
      if (network->labels != TESS_NONE)
        io[tess_graph_tensor (network->graph, network->labels)->offset + (gsize)i] = (guint8)(state >> 20) % 3;
    }
  }
  return program; /* its memory lives as long as this program: it is measured once and the process ends */
}

static void
measure (TessDevice *device, TessProgramKind kind, TessDType dtype, guint n, gboolean profile)
{
  const char *precision = dtype == TESS_DTYPE_BF16 ? "bf16" : "f32";
  const char *what = kind == TESS_PROGRAM_TRAIN ? "train step" : "inference";
  TessProgram *program = build (device, kind, dtype);
  g_autofree double *seconds = g_new (double, n);
  double parts[TESS_N_OPS];
  TessStepArgs args = {
      .learning_rate = 0.001, .momentum = 0.99, .weight_decay = 3e-5, .clip_norm = 12, .head_weight = {1, 0.5, 0.25}};
  GError *error = NULL;

  for (guint i = 0; i < n + 2; i++) {
    gint64 before = g_get_monotonic_time ();

    args.param_version++;
    if (i == 2)
      tess_cpu_program_profile (program, parts);
    if (!tess_cpu_backend ()->run (program, &args, &error))
      fail (error);
    if (i >= 2)
      seconds[i - 2] = (double)(g_get_monotonic_time () - before) * 1e-6;
  }
  qsort (seconds, n, sizeof *seconds, by_value);
  tess_cpu_program_profile (program, parts);
  if (!profile) {
    printf ("{\"bench\": \"cpu\", \"case\": \"U-Net 16-128, 2x40x56x40, %s, %s\", \"unit\": \"s\", \"ours\": %.5f}\n",
            what, precision, seconds[n / 2]);
    return;
  }
  printf ("%s, %s: median %.2f ms, least %.2f ms\n", what, precision, seconds[n / 2] * 1e3, seconds[0] * 1e3);
  for (guint k = 0; k < TESS_N_OPS; k++)
    if (parts[k] > 0)
      printf ("  %-28s %8.3f ms\n", tess_op_name (k), parts[k] * 1e3 / n);
}

int
main (int argc, char *argv[])
{
  gboolean profile = argc > 1 && g_str_equal (argv[1], "--profile");
  const TessBackendIface *cpu = tess_cpu_backend ();
  GError *error = NULL;
  TessDeviceInfo info;
  TessDevice *device = cpu->open (0, 0, &error);

  if (device == NULL || !cpu->device_info (0, &info, &error))
    fail (error);
  measure (device, TESS_PROGRAM_TRAIN, TESS_DTYPE_F32, 15, profile);
  measure (device, TESS_PROGRAM_INFER, TESS_DTYPE_F32, 15, profile);
  if (info.bf16) {
    measure (device, TESS_PROGRAM_TRAIN, TESS_DTYPE_BF16, 15, profile);
    measure (device, TESS_PROGRAM_INFER, TESS_DTYPE_BF16, 15, profile);
  }
  return 0;
}
