#pragma once

#include "tess-plan.h"
#include "tess-session.h"

G_BEGIN_DECLS

/* Where a plan is to be trained. */
typedef struct {
  const TessBackendIface *backend;
  guint     device, n_threads; /* n_threads: 0 = all cores */
  TessDType act_dtype;
} TessTrainMachine;

enum { TESS_TRAIN_PROGRAM_TRAIN, TESS_TRAIN_PROGRAM_EVALUATE, TESS_TRAIN_PROGRAM_INFER, TESS_TRAIN_N_PROGRAMS };

/* The programs of a training in this order, from index 0. recompute: stages. */
gboolean tess_plan_add_programs    (TessSession *session, const TessPlan *plan, TessDType act_dtype, guint recompute, GError **error);
/* What a training of the plan takes: parameters, gradients, optimiser, activations with what the ops work in, and the
 * batches drawn ahead. Exact; found by preparing the programs, which takes nothing of that size. n_stages (or NULL): how
 * many could be made again. 0 with the reason when it cannot be. */
guint64  tess_plan_memory          (const TessPlan *plan, const TessTrainMachine *machine, guint recompute, guint *n_stages, GError **error);
/* What is there for it: of the device; 0 = not known. */
guint64  tess_plan_memory_there    (const TessTrainMachine *machine);
/* Of the batches drawn ahead, and how many they are. */
guint64  tess_plan_batches_bytes   (const TessPlan *plan, guint *n);

G_END_DECLS
