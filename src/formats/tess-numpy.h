#pragma once

#include "tess-format-registry.h"

G_BEGIN_DECLS

extern const TessFormat tess_format_npy, tess_format_npz;

/* nnU-Net's and ingradient's datasets are pairs NAME.npz + NAME.pkl: what of a folder has no partner, one sentence each. */
GPtrArray *tess_numpy_unpaired (const char *folder, GError **error);

G_END_DECLS
