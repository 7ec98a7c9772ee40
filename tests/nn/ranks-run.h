#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

#define RANKS_STEPS 20 /* at most */

/* Training steps of a small network on a batch of 4: whole, or one rank's share of it. What is in the batch, the
 * parameters and what is random are the same every time. */
typedef struct {
  guint   n_steps;
  double  loss[RANKS_STEPS], norm[RANKS_STEPS], metrics[3 + 3 * 3];
  GArray *params; /* float */
} RanksRun;

guint       ranks_run_n     (void);
const char *ranks_run_name  (guint which);
/* c: NULL: alone with the whole. FALSE where the backend fails. */
gboolean    ranks_run       (const TessBackendIface *iface, guint device, const TessCommunicator *c, guint which, guint n_steps,
                             RanksRun *out, GError **error);
void        ranks_run_clear (RanksRun *run);

/* Largest relative difference of losses and norms; of the parameters, by the largest of all. */
double      ranks_run_error     (const RanksRun *a, const RanksRun *b);
gboolean    ranks_run_same_bits (const RanksRun *a, const RanksRun *b);

G_END_DECLS
