#pragma once

#include "tess-backend.h"

G_BEGIN_DECLS

#define TRAJECTORY_MAX_STEPS 32

/* Ten SGD steps of a small U-Net with deep supervision, written down from PyTorch by
 * tests/reference/unet_trajectory.py, and the same steps done here. */
typedef struct {
  guint  n_steps;
  double torch_loss[TRAJECTORY_MAX_STEPS], loss[TRAJECTORY_MAX_STEPS]; /* weighted sum over the heads */
  double torch_norm[TRAJECTORY_MAX_STEPS], norm[TRAJECTORY_MAX_STEPS]; /* of the gradient, before clipping */
  double loss_error;  /* largest |ours - torch| / |torch| over the steps */
  double norm_error;
  double logits_nmse; /* finest head, first step */
  double param_nmse;  /* all parameters after the last step, of their change since the start */
} Trajectory;

/* backend: NULL for the reference in tests/nn/ref.c. Expect loss_error below 1e-4 in F32. */
gboolean trajectory_run (const TessBackendIface *backend, guint device_index, guint n_threads, TessDType act_dtype,
                         Trajectory *out, GError **error);

G_END_DECLS
