#pragma once

#include <oneapi/dnnl/dnnl.h>

#include "tess-error.h"

G_BEGIN_DECLS

/* oneDNN 2.x through a table of function pointers: the 40 MB library is opened when a device is first opened, so that
 * a command which never computes does not pay for it. */
#define TESS_DNNL_FUNCTIONS(X) \
  X (version) \
  X (engine_create) \
  X (engine_destroy) \
  X (stream_create) \
  X (stream_wait) \
  X (stream_destroy) \
  X (memory_desc_init_by_tag) \
  X (memory_desc_init_by_strides) \
  X (memory_desc_equal) \
  X (memory_desc_get_size) \
  X (memory_create) \
  X (memory_set_data_handle) \
  X (memory_destroy) \
  X (primitive_attr_create) \
  X (primitive_attr_set_scratchpad_mode) \
  X (primitive_attr_destroy) \
  X (primitive_desc_create) \
  X (primitive_desc_query) \
  X (primitive_desc_query_md) \
  X (primitive_desc_destroy) \
  X (primitive_create) \
  X (primitive_execute) \
  X (primitive_destroy) \
  X (reorder_primitive_desc_create) \
  X (dilated_convolution_forward_desc_init) \
  X (dilated_convolution_backward_data_desc_init) \
  X (dilated_convolution_backward_weights_desc_init) \
  X (dilated_deconvolution_forward_desc_init) \
  X (dilated_deconvolution_backward_data_desc_init) \
  X (dilated_deconvolution_backward_weights_desc_init)

typedef struct {
#define TESS_DNNL_MEMBER(name) __typeof__ (dnnl_##name) *name;
  TESS_DNNL_FUNCTIONS (TESS_DNNL_MEMBER)
#undef TESS_DNNL_MEMBER
} TessDnnl;

const TessDnnl *tess_dnnl_load (GError **error);
/* TRUE for success; else a GError "oneDNN could not DOING: reason". */
gboolean tess_dnnl_check (dnnl_status_t status, const char *doing, GError **error);

G_END_DECLS
