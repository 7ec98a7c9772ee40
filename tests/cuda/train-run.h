#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

#define TRAIN_STEPS 20 /* at most */

/* Steps of a small network of every architecture, with a rate that changes every step, and then the logits of an
 * inference program that shares the parameters. Image, labels and parameters are the same every time. */
typedef struct {
  guint   n_steps;
  double  loss[TRAIN_STEPS];
  GArray *params, *logits; /* float */
} TrainRun;

guint       train_run_n     (void); /* the first is the smallest */
const char *train_run_name  (guint net);
/* FALSE where the backend fails. */
gboolean    train_run       (const TessBackendIface *iface, guint net, TessDType dtype, guint n_steps, TrainRun *out, GError **error);
void        train_run_clear (TrainRun *run);

/* Largest |a - b| / max (|b|, 0.1) over the steps, as a loss may pass through 0; NMSE of the logits. */
double      train_run_loss_error   (const TrainRun *a, const TrainRun *b);
double      train_run_logits_error (const TrainRun *a, const TrainRun *b);
gboolean    train_run_same_bits    (const TrainRun *a, const TrainRun *b);

G_END_DECLS
