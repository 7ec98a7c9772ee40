#include "tess-plan-memory.h"

#include <string.h>

#include "tess-available-memory.h"
#include "tess-planner.h"

#define MIN_DEPTH 2u
#define MAX_DEPTH 8u
#define DEPTH_BYTES (G_GUINT64_CONSTANT (512) << 20) /* of batches drawn ahead, unless even MIN_DEPTH takes more */

gboolean
tess_plan_add_programs (TessSession *session, const TessPlan *plan, TessDType act_dtype, guint recompute,
                        GError **error)
{
  static const TessProgramKind kinds[TESS_TRAIN_N_PROGRAMS] = {TESS_PROGRAM_TRAIN, TESS_PROGRAM_EVALUATE,
                                                               TESS_PROGRAM_INFER};

  for (guint i = 0; i < TESS_TRAIN_N_PROGRAMS; i++) {
    TessProgramSpec spec;

    tess_plan_program_spec (plan, kinds[i], i == TESS_TRAIN_PROGRAM_INFER ? 1 : plan->training.batch_size, act_dtype,
                            TRUE, &spec);
    spec.recompute = recompute;
    if (tess_session_add_program (session, &spec, error) < 0)
      return FALSE;
  }
  return TRUE;
}

static gboolean
on_processor (const TessTrainMachine *machine)
{
  return strcmp (machine->backend->id, "cpu") == 0;
}

guint64
tess_plan_memory_there (const TessTrainMachine *machine)
{
  TessDeviceInfo info = {0};
  guint64 available = on_processor (machine) ? tess_available_memory ("") : 0;

  if (available == 0 && machine->backend->device_info (machine->device, &info, NULL))
    available = info.memory_free;
  return available;
}

/* plan: valid. */
guint64
tess_plan_batches_bytes (const TessPlan *plan, guint *n)
{
  guint64 voxels = (guint64)plan->patch[0] * (guint64)plan->patch[1] * (guint64)plan->patch[2];
  guint64 batch = voxels * (guint64)plan->training.batch_size * (sizeof (float) * plan->n_channels + 1);

  *n = (guint)CLAMP (DEPTH_BYTES / MAX (batch, 1), MIN_DEPTH, MAX_DEPTH);
  return *n * batch;
}

guint64
tess_plan_memory (const TessPlan *plan, const TessTrainMachine *machine, guint recompute, guint *n_stages,
                  GError **error)
{
  g_autoptr (TessSession) session = NULL;
  TessNetworkSpec spec;
  guint n;

  tess_plan_network_spec (plan, &spec);
  session = tess_session_new (machine->backend, machine->device, machine->n_threads, &spec, error);
  if (!session || !tess_plan_add_programs (session, plan, machine->act_dtype, recompute, error))
    return 0;
  if (n_stages)
    *n_stages = tess_graph_n_stages (tess_session_network (session, TESS_TRAIN_PROGRAM_TRAIN)->graph);
  /* Elsewhere than on the processor the batches drawn ahead do not lie in the device's memory. */
  return tess_session_bytes (session) + (on_processor (machine) ? tess_plan_batches_bytes (plan, &n) : 0);
}
