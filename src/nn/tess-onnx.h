#pragma once

#include "tess-network.h"

G_BEGIN_DECLS

/* The float32 values of a parameter in its order, lent while tess_onnx_save() runs; it may lie on any byte. */
typedef const void *(*TessOnnxParam) (const TessTensor *param, gpointer user_data);

/* properties: key, value, key, value, ..., NULL; kept as the model's metadata. Atomic. */
gboolean tess_onnx_save (const TessNetwork *network, guint slice_axis, TessOnnxParam param, gpointer user_data,
                         const char *const *properties, const char *path, GError **error);

G_END_DECLS
