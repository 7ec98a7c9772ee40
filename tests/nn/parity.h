#pragma once

#include "tess-backend.h"
#include "tess-network.h"

G_BEGIN_DECLS

/* Small networks of nnU-Net's against PyTorch (tests/reference/nets.py): one batch, ten SGD steps. */
guint       parity_n    (void);
const char *parity_name (guint i); /* "residual_3d" */
void        parity_spec (guint i, TessNetworkSpec *spec, gint64 dhw[3]);
/* The image both sides see, {N, D, H, W, C} of two samples and two channels. */
float      *parity_image (const gint64 dhw[3]);

/* What a backend that computes in float32 must reach; NULL: the reference in tests/nn/ref.c. */
void        parity_check (guint i, const TessBackendIface *backend);

G_END_DECLS
