#pragma once

#include "tess-backend.h"
#include "tess-network.h"

G_BEGIN_DECLS

/* Small networks of nnU-Net's against PyTorch (tests/reference/nets.py): one batch, ten SGD steps. Errors are
 * max |a - b| / max |b| of a tensor, the largest over the tensors; a tensor whose values stay below a millionth of the
 * largest of its kind is measured by that millionth. */
typedef struct {
  double logits;    /* every head, before the first step */
  double gradients; /* every parameter's, of the first step */
  double params;    /* every parameter after the last step */
  double losses;    /* relative, every step */
  char   worst[3][128]; /* whose errors these are: logits, gradients, params */
  guint  n_params;
} Parity;

guint       parity_n    (void);
const char *parity_name (guint i); /* "residual_3d" */
void        parity_spec (guint i, TessNetworkSpec *spec, gint64 dhw[3]);
/* Float i of the formula that nets.py has too; state starts at 12345 + 7919 ordinal. */
double      parity_number (guint32 *state);
/* The image both sides see, {N, D, H, W, C} of two samples and two channels. */
float      *parity_image (const gint64 dhw[3]);

/* backend: NULL for the reference in tests/nn/ref.c. */
gboolean    parity_run  (guint i, const TessBackendIface *backend, Parity *out, GError **error);

G_END_DECLS
