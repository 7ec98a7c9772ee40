#pragma once

#include "tess-format-registry.h"
#include "tess-pickle.h"

G_BEGIN_DECLS

extern const TessFormat tess_format_npy, tess_format_npz;

/* nnU-Net's and ingradient's datasets are pairs NAME.npz + NAME.pkl: what of a folder has no partner, one sentence each. */
GPtrArray *tess_numpy_unpaired (const char *folder, GError **error);

/* Numbers in a pickle: lists and tuples of them (nested ones one after the other), NumPy's scalars and arrays. */
extern const char *const tess_numpy_globals[];
gboolean tess_numpy_value_doubles (const TessPickleValue *value, double *out, guint n); /* exactly n */
gboolean tess_numpy_value_read    (const TessPickleValue *value, double *out, guint most, guint *n);

G_END_DECLS
