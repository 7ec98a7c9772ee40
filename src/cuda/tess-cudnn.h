#pragma once

#include <cudnn_graph.h>
#include <stdbool.h>

#include "tess-dtype.h"
#include "tess-error.h"

G_BEGIN_DECLS

/* cuDNN 9 through a table of function pointers: the plugin links none of it, so that it loads where cuDNN is missing and
 * can say so. Convolutions go through the graph API (backend descriptors), in C. */
#define TESS_CUDNN_FUNCTIONS(X) \
  X (GetVersion) \
  X (GetErrorString) \
  X (GetLastErrorString) \
  X (Create) \
  X (Destroy) \
  X (SetStream) \
  X (BackendCreateDescriptor) \
  X (BackendDestroyDescriptor) \
  X (BackendSetAttribute) \
  X (BackendGetAttribute) \
  X (BackendFinalize) \
  X (BackendExecute)

typedef struct {
#define TESS_CUDNN_MEMBER(name) __typeof__ (cudnn##name) *name;
  TESS_CUDNN_FUNCTIONS (TESS_CUDNN_MEMBER)
#undef TESS_CUDNN_MEMBER
} TessCudnn;

const TessCudnn *tess_cudnn_load (GError **error);

/* What a plan is made for: a GPU of this machine, or one described by cuDNN's JSON, with no GPU at all. */
cudnnBackendDescriptor_t tess_cudnn_device_new       (const TessCudnn *cudnn, int index, GError **error);
cudnnBackendDescriptor_t tess_cudnn_device_from_json (const TessCudnn *cudnn, const char *json, GError **error);

typedef enum { TESS_CUDNN_FORWARD, TESS_CUDNN_DATA, TESS_CUDNN_WEIGHTS } TessCudnnPass;

/* One pass of a convolution from a fine grid to a coarse one; a transposed convolution is the same read backwards. All
 * three tensors lie densely: fine and coarse NDHWC, weights {coarse channels, kD, kH, kW, fine channels}. */
typedef struct {
  TessCudnnPass pass; /* FORWARD writes coarse, DATA fine, WEIGHTS the weights */
  gint64    n, fine[3], coarse[3], fine_channels, coarse_channels; /* D, H, W */
  int       kernel[3], stride[3], pad[3], gap[3];
  TessDType fine_type, coarse_type, weight_type; /* F32 or BF16; sums are float32 */
  gboolean  exact; /* float32 stays float32: no TF32 */
} TessCudnnConv;

typedef struct {
  cudnnBackendDescriptor_t plan, config; /* the plan was made from config and may still read it */
  gsize  workspace; /* bytes */
  gint64 engine;
  gboolean tensor_core, compiled; /* compiled: by the driver, when the plan is made */
} TessCudnnPlan;

/* All that it takes to make a plan again, with the same cuDNN for the same card. */
#define TESS_CUDNN_MAX_KNOBS 32
typedef struct {
  gint64 engine;
  guint  n_knobs;
  gint64 knob[TESS_CUDNN_MAX_KNOBS], value[TESS_CUDNN_MAX_KNOBS]; /* cudnnBackendKnobType_t */
} TessCudnnChoice;

void    tess_cudnn_plan_clear (const TessCudnn *cudnn, TessCudnnPlan *plan);
/* Up to `most` plans whose workspace fits, those first that cuDNN expects to be fastest; empty where it has none. */
GArray *tess_cudnn_plans      (const TessCudnn *cudnn, cudnnBackendDescriptor_t device, const TessCudnnConv *conv,
                               gsize workspace_limit, guint most, GError **error);

gboolean tess_cudnn_plan_choice (const TessCudnn *cudnn, const TessCudnnPlan *plan, TessCudnnChoice *choice);
/* That one plan in an array as above, or NULL where it cannot be made. */
GArray *tess_cudnn_plan_chosen (const TessCudnn *cudnn, cudnnBackendDescriptor_t device, const TessCudnnConv *conv,
                                gsize workspace_limit, const TessCudnnChoice *choice);

/* Addresses tied to a plan, to be executed many times. */
cudnnBackendDescriptor_t tess_cudnn_pack_new (const TessCudnn *cudnn, void *fine, void *weights, void *coarse,
                                              void *workspace, GError **error);
gboolean tess_cudnn_run (const TessCudnn *cudnn, cudnnHandle_t handle, const TessCudnnPlan *plan,
                         cudnnBackendDescriptor_t pack, GError **error);

gboolean tess_cudnn_check (const TessCudnn *cudnn, cudnnStatus_t status, const char *doing, GError **error);

G_END_DECLS
