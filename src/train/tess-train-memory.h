#pragma once

#include "tess-backend.h"
#include "tess-plan.h"
#include "tess-session.h"

G_BEGIN_DECLS

/* Whether stages of the forward pass are made again in the backward pass instead of kept: more work, less memory, the
 * same numbers. */
typedef enum {
  TESS_RECOMPUTE_AUTO, /* as many as it takes to fit */
  TESS_RECOMPUTE_ON,   /* all that spare memory */
  TESS_RECOMPUTE_OFF,
} TessRecompute;

gboolean tess_recompute_from_name (const char *name, TessRecompute *recompute); /* "auto", "on", "off" */

/* Where a plan is to be trained. */
typedef struct {
  const TessBackendIface *backend;
  guint     device, n_threads; /* n_threads: 0 = all cores */
  TessDType act_dtype;
} TessTrainMachine;

enum { TESS_TRAIN_PROGRAM_TRAIN, TESS_TRAIN_PROGRAM_EVALUATE, TESS_TRAIN_PROGRAM_INFER, TESS_TRAIN_N_PROGRAMS };

/* What a training of the plan takes: parameters, gradients, optimiser, activations with what the ops work in, and the
 * batches drawn ahead. Exact; found by preparing the programs, which takes nothing of that size. recompute: stages.
 * n_stages (or NULL): how many would be of use. 0 with the reason when it cannot be. */
guint64  tess_train_memory_bytes  (const TessTrainMachine *machine, const TessPlan *plan, guint recompute, guint *n_stages, GError **error);
/* What is there for it: of the device; 0 = not known. */
guint64  tess_train_memory_there  (const TessTrainMachine *machine);
/* How many stages to make again so that it fits into limit (0: whatever it takes); bytes: what it then takes. FALSE with
 * NO_MEMORY: one sentence that says what is needed and which patch, which batch or which recompute would fit. */
gboolean tess_train_memory_choose (const TessTrainMachine *machine, const TessPlan *plan, TessRecompute wish, guint64 limit,
                                   guint *recompute, guint64 *bytes, GError **error);
/* The programs of a training in this order, from index 0. */
gboolean tess_train_memory_add_programs (TessSession *session, const TessPlan *plan, TessDType act_dtype, guint recompute, GError **error);

G_END_DECLS
