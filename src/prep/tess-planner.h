#pragma once

#include "tess-fingerprint.h"
#include "tess-network.h"
#include "tess-plan-memory.h"

G_BEGIN_DECLS

typedef struct {
  guint64  memory_bytes;  /* that the training program may take */
  guint64  cache_bytes;   /* for decoded cases */
  /* Where: then bytes are exact. NULL: estimated. */
  const TessBackendIface *backend;
  guint    device, n_threads;
  gboolean accelerator;   /* base width 32 and 250 iterations an epoch; else 16 and 50 */
  gboolean bf16;
  /* What the user has already decided; 0 = to be decided here. */
  gint64   patch[3], batch, epochs;
  TessPlanArchitecture architecture;
  TessPlanAugmentation augmentation;
} TessPlannerLimits;

/* `draft` holds channels and labels; the rest is decided: spacing, patch, topology, batch, iterations, cache. Every
 * number gets a sentence in plan->reasons. The simple rule: median spacing, median shape as the patch limit,
 * nnU-Net's pooling rule, then the patch shrinks until the training program's exact bytes fit. */
gboolean tess_planner_decide (TessPlan *draft, TessFingerprint *fingerprint, const TessPlannerLimits *limits, GError **error);

/* plan (x,y,z) -> nn (D,H,W). */
void tess_plan_network_spec (const TessPlan *plan, TessNetworkSpec *spec);
void tess_plan_program_spec (const TessPlan *plan, TessProgramKind kind, gint64 batch, TessDType act_dtype,
                             gboolean all_heads, TessProgramSpec *spec);

G_END_DECLS
