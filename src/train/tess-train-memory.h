#pragma once

#include "tess-plan-memory.h"

G_BEGIN_DECLS

/* Whether stages of the forward pass are made again in the backward pass instead of kept: more work, less memory, the
 * same numbers. */
typedef enum {
  TESS_RECOMPUTE_AUTO, /* as many as it takes to fit */
  TESS_RECOMPUTE_ON,   /* all that spare memory */
  TESS_RECOMPUTE_OFF,
} TessRecompute;

gboolean tess_recompute_from_name (const char *name, TessRecompute *recompute); /* "auto", "on", "off" */

/* How many stages to make again so that it fits into limit (0: whatever it takes); bytes: what it then takes. FALSE with
 * NO_MEMORY: one sentence that says what is needed and which patch, which batch or which recompute would fit. */
gboolean tess_train_memory_choose (const TessTrainMachine *machine, const TessPlan *plan, TessRecompute wish, guint64 limit,
                                   guint *recompute, guint64 *bytes, GError **error);

G_END_DECLS
