#include "tess-cudnn.h"

/* Convolutions as cuDNN operation graphs of one operation, and the plans that compute them.
 *
 * cuDNN names axes N, C, D, H, W and is told by strides that channels lie fastest. A convolution with nothing to do
 * along D is one of planes: D joins N, and cuDNN has better code for it. So is one whose H or W is a single voxel. */

typedef cudnnBackendDescriptor_t Descriptor;

enum { UID_FINE = 'x', UID_WEIGHTS = 'w', UID_COARSE = 'y' };

/* Descriptors under construction; the first failure ends it. */
typedef struct {
  const TessCudnn *cudnn;
  GPtrArray *owned;
  GError **error;
  gboolean failed;
} Making;

static void
note (Making *m, cudnnStatus_t status, const char *doing)
{
  if (!m->failed && !tess_cudnn_check (m->cudnn, status, doing, m->error))
    m->failed = TRUE;
}

static Descriptor
make (Making *m, cudnnBackendDescriptorType_t type)
{
  Descriptor d = NULL;

  if (m->failed)
    return NULL;
  note (m, m->cudnn->BackendCreateDescriptor (type, &d), _ ("making a descriptor"));
  if (d != NULL && m->owned != NULL)
    g_ptr_array_add (m->owned, d);
  return d;
}

static void
set (Making *m, Descriptor d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, gint64 n,
     const void *values)
{
  if (!m->failed)
    note (m, m->cudnn->BackendSetAttribute (d, name, type, n, values), _ ("describing a convolution"));
}

static void
finish (Making *m, Descriptor d, const char *doing)
{
  if (!m->failed)
    note (m, m->cudnn->BackendFinalize (d), doing);
}

static void
making_clear (Making *m)
{
  /* Last made, first destroyed: a later one may point to an earlier one. */
  for (guint i = m->owned->len; i-- > 0;)
    m->cudnn->BackendDestroyDescriptor (g_ptr_array_index (m->owned, i));
  g_ptr_array_unref (m->owned);
}

static cudnnDataType_t
type_of (TessDType dtype)
{
  return dtype == TESS_DTYPE_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

/* ------------------------------------------------------------------------------------------------ device */

static Descriptor
device_finish (Making *m, Descriptor d)
{
  finish (m, d, _ ("describing the GPU"));
  if (m->failed && d != NULL)
    m->cudnn->BackendDestroyDescriptor (d);
  return m->failed ? NULL : d;
}

cudnnBackendDescriptor_t
tess_cudnn_device_new (const TessCudnn *cudnn, int index, GError **error)
{
  Making m = {.cudnn = cudnn, .error = error};
  Descriptor d = make (&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  gint32 id = index;

  set (&m, d, CUDNN_ATTR_DEVICEPROP_DEVICE_ID, CUDNN_TYPE_INT32, 1, &id);
  return device_finish (&m, d);
}

cudnnBackendDescriptor_t
tess_cudnn_device_from_json (const TessCudnn *cudnn, const char *json, GError **error)
{
  Making m = {.cudnn = cudnn, .error = error};
  Descriptor d = make (&m, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);

  set (&m, d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, (gint64)strlen (json), json);
  return device_finish (&m, d);
}

/* ------------------------------------------------------------------------------------------------ graph */

/* The axes cuDNN sees, out of D, H, W. */
typedef struct {
  gint64 n;
  guint of[3];
  gboolean folds; /* D joins N */
} Axes;

static Axes
axes_of (const TessCudnnConv *c)
{
  if (c->kernel[0] == 1 && c->stride[0] == 1 && c->pad[0] == 0)
    return (Axes){2, {1, 2}, TRUE};
  if (c->kernel[1] == 1 && c->fine[1] == 1 && c->coarse[1] == 1)
    return (Axes){2, {0, 2}, FALSE};
  if (c->kernel[2] == 1 && c->fine[2] == 1 && c->coarse[2] == 1)
    return (Axes){2, {0, 1}, FALSE};
  return (Axes){3, {0, 1, 2}, FALSE};
}

/* A dense tensor {n, grid, channels}. */
static Descriptor
tensor (Making *m, gint64 uid, TessDType dtype, gint64 n, const gint64 grid[3], gint64 channels, const Axes *axes)
{
  Descriptor d = make (m, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  cudnnDataType_t type = type_of (dtype);
  gint64 dim[5] = {axes->folds ? n * grid[0] : n, channels}, stride[5], step = channels, alignment = 16;

  for (gint64 a = axes->n; a-- > 0;) {
    dim[2 + a] = grid[axes->of[a]];
    stride[2 + a] = step;
    step *= dim[2 + a];
  }
  stride[0] = step;
  stride[1] = 1;
  set (m, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
  set (m, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set (m, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 2 + axes->n, dim);
  set (m, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 2 + axes->n, stride);
  set (m, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
  finish (m, d, _ ("describing a tensor"));
  return d;
}

static Descriptor
convolution (Making *m, const TessCudnnConv *c, const Axes *axes)
{
  Descriptor d = make (m, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  gint64 pad[3], stride[3], dilation[3];

  for (gint64 a = 0; a < axes->n; a++) {
    pad[a] = c->pad[axes->of[a]];
    stride[a] = c->stride[axes->of[a]];
    dilation[a] = c->gap[axes->of[a]] + 1;
  }
  set (m, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &axes->n);
  set (m, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
  set (m, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
  set (m, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, axes->n, pad);
  set (m, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, axes->n, pad);
  set (m, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, axes->n, stride);
  set (m, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, axes->n, dilation);
  finish (m, d, _ ("describing a convolution"));
  return d;
}

/* Of each pass: the operation and its attributes. */
static const struct {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t conv, fine, weights, coarse, alpha, beta;
} operations[] = {
    [TESS_CUDNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [TESS_CUDNN_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [TESS_CUDNN_WEIGHTS] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                            CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static Descriptor
operation_graph (Making *m, const TessCudnnConv *c)
{
  const Axes axes = axes_of (c);
  const gint64 kernel[3] = {c->kernel[0], c->kernel[1], c->kernel[2]};
  Descriptor fine = tensor (m, UID_FINE, c->fine_type, c->n, c->fine, c->fine_channels, &axes);
  Descriptor coarse = tensor (m, UID_COARSE, c->coarse_type, c->n, c->coarse, c->coarse_channels, &axes);
  /* {coarse channels, kernel, fine channels}: laid out as n voxels of a grid of the kernel's size. */
  Descriptor weights = tensor (m, UID_WEIGHTS, c->weight_type, c->coarse_channels, kernel, c->fine_channels, &axes);
  Descriptor conv = convolution (m, c, &axes), op = make (m, operations[c->pass].type);
  Descriptor graph;
  const float one = 1, zero = 0;

  set (m, op, operations[c->pass].conv, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &conv);
  set (m, op, operations[c->pass].fine, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &fine);
  set (m, op, operations[c->pass].weights, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &weights);
  set (m, op, operations[c->pass].coarse, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &coarse);
  set (m, op, operations[c->pass].alpha, CUDNN_TYPE_FLOAT, 1, &one);
  set (m, op, operations[c->pass].beta, CUDNN_TYPE_FLOAT, 1, &zero);
  finish (m, op, _ ("describing a convolution"));
  graph = make (m, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set (m, graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &op);
  finish (m, graph, _ ("describing a convolution"));
  return graph;
}

/* ------------------------------------------------------------------------------------------------ plans */

typedef struct {
  gboolean tensor_core, compiled, refused;
  gint64 engine;
} Notes;

/* What an engine says of itself. Refused: other sums each time, or numbers cut short on the way. */
static Notes
read_notes (const TessCudnn *cudnn, Descriptor config, Making *m)
{
  Descriptor engine = make (m, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendNumericalNote_t numbers[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  cudnnBackendBehaviorNote_t behaviours[CUDNN_BEHAVIOR_NOTE_TYPE_COUNT];
  gint64 n_numbers = 0, n_behaviours = 0, n = 0;
  Notes notes = {.engine = -1};

  if (engine == NULL || cudnn->BackendGetAttribute (config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                                    1, &n, &engine) != CUDNN_STATUS_SUCCESS)
    return (Notes){.refused = TRUE};
  cudnn->BackendGetAttribute (engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &n, &notes.engine);
  if (cudnn->BackendGetAttribute (engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                  G_N_ELEMENTS (numbers), &n_numbers, numbers) != CUDNN_STATUS_SUCCESS ||
      cudnn->BackendGetAttribute (engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE,
                                  G_N_ELEMENTS (behaviours), &n_behaviours, behaviours) != CUDNN_STATUS_SUCCESS)
    return (Notes){.refused = TRUE};
  for (gint64 i = 0; i < MIN (n_numbers, (gint64)G_N_ELEMENTS (numbers)); i++) {
    notes.tensor_core |= numbers[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    notes.refused |= numbers[i] == CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS ||
                     numbers[i] == CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION ||
                     numbers[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC ||
                     numbers[i] == CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13;
  }
  for (gint64 i = 0; i < MIN (n_behaviours, (gint64)G_N_ELEMENTS (behaviours)); i++)
    notes.compiled |= behaviours[i] == CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION;
  return notes;
}

void
tess_cudnn_plan_clear (const TessCudnn *cudnn, TessCudnnPlan *plan)
{
  if (plan->plan != NULL)
    cudnn->BackendDestroyDescriptor (plan->plan);
  if (plan->config != NULL)
    cudnn->BackendDestroyDescriptor (plan->config);
  *plan = (TessCudnnPlan){0};
}

/* A configuration that this GPU cannot run is no error: the next one is asked. compiles: it may be one that is compiled
 * when its plan is made, which takes seconds. Takes config. */
static void
try_config (Making *m, Descriptor device, Descriptor config, gboolean exact, gboolean compiles, gsize limit,
            GArray *plans)
{
  const TessCudnn *cudnn = m->cudnn;
  Notes notes = read_notes (cudnn, config, m);
  TessCudnnPlan plan = {
      .config = config, .engine = notes.engine, .tensor_core = notes.tensor_core, .compiled = notes.compiled};
  gint64 n = 0, workspace = -1;

  if (!notes.refused && !(exact && notes.tensor_core) && (compiles || !notes.compiled) &&
      cudnn->BackendCreateDescriptor (CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &plan.plan) == CUDNN_STATUS_SUCCESS &&
      cudnn->BackendSetAttribute (plan.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                  &config) == CUDNN_STATUS_SUCCESS &&
      cudnn->BackendSetAttribute (plan.plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                  &device) == CUDNN_STATUS_SUCCESS &&
      cudnn->BackendFinalize (plan.plan) == CUDNN_STATUS_SUCCESS &&
      cudnn->BackendGetAttribute (plan.plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &n,
                                  &workspace) == CUDNN_STATUS_SUCCESS &&
      workspace >= 0 && (guint64)workspace <= limit) {
    plan.workspace = (gsize)workspace;
    g_array_append_val (plans, plan);
  } else {
    tess_cudnn_plan_clear (cudnn, &plan);
  }
}

static void
ask (Making *m, Descriptor device, Descriptor graph, cudnnBackendHeurMode_t mode, const TessCudnnConv *conv,
     gboolean compiles, gsize limit, guint most, GArray *plans)
{
  const TessCudnn *cudnn = m->cudnn;
  Descriptor heuristics = make (m, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  gint64 n = 0, n_given = 0;

  set (m, heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
  set (m, heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  set (m, heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
  /* A kind of heuristics may have nothing for a graph, and says so by failing. */
  if (m->failed || cudnn->BackendFinalize (heuristics) != CUDNN_STATUS_SUCCESS ||
      cudnn->BackendGetAttribute (heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &n,
                                  NULL) != CUDNN_STATUS_SUCCESS)
    return;
  n = CLAMP (n, 0, 256);
  g_autofree Descriptor *configs = g_new0 (Descriptor, n + 1);
  for (gint64 i = 0; i < n; i++)
    if (cudnn->BackendCreateDescriptor (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &configs[i]) != CUDNN_STATUS_SUCCESS)
      n = i;
  if (n > 0 && cudnn->BackendGetAttribute (heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, n,
                                           &n_given, configs) != CUDNN_STATUS_SUCCESS)
    n_given = 0;
  for (gint64 i = 0; i < n; i++) {
    if (i < n_given && plans->len < most)
      try_config (m, device, configs[i], conv->exact, compiles, limit, plans);
    else
      cudnn->BackendDestroyDescriptor (configs[i]);
  }
}

/**
 * tess_cudnn_plans:
 * @device: of tess_cudnn_device_new(), or of tess_cudnn_device_from_json(): then the plans cannot be run
 * @workspace_limit: bytes
 *
 * Left out are engines whose sums differ from run to run or that cut float32 short in other ways than conv->exact
 * allows; and, as long as there are others, those that are compiled for the plan: 3 to 6 seconds each on two cores, and
 * a network has some sixty shapes.
 *
 * Returns: (transfer full): array of TessCudnnPlan, empty where cuDNN has no such plan; NULL with UNSUPPORTED where it
 * does not take the convolution at all.
 */
GArray *
tess_cudnn_plans (const TessCudnn *cudnn, cudnnBackendDescriptor_t device, const TessCudnnConv *conv,
                  gsize workspace_limit, guint most, GError **error)
{
  static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
  GArray *plans = g_array_new (FALSE, TRUE, sizeof (TessCudnnPlan));
  Making m = {.cudnn = cudnn, .owned = g_ptr_array_new (), .error = error};
  Descriptor graph = operation_graph (&m, conv);

  for (gsize i = 0; i < G_N_ELEMENTS (modes) && !m.failed && plans->len < most; i++)
    ask (&m, device, graph, modes[i], conv, FALSE, workspace_limit, most, plans);
  for (gsize i = 0; i < G_N_ELEMENTS (modes) && !m.failed && plans->len == 0; i++)
    ask (&m, device, graph, modes[i], conv, TRUE, workspace_limit, 1, plans);
  making_clear (&m);
  if (!m.failed)
    return plans;
  for (guint i = 0; i < plans->len; i++)
    tess_cudnn_plan_clear (cudnn, &g_array_index (plans, TessCudnnPlan, i));
  g_array_unref (plans);
  return NULL;
}

/* ------------------------------------------------------------------------------------------------ choices */

/**
 * tess_cudnn_plan_choice:
 * @choice: (out): what @plan was made of
 *
 * Returns: FALSE where cuDNN does not tell, or it is more than a choice holds
 */
gboolean
tess_cudnn_plan_choice (const TessCudnn *cudnn, const TessCudnnPlan *plan, TessCudnnChoice *choice)
{
  Making m = {.cudnn = cudnn, .owned = g_ptr_array_new ()};
  Descriptor knobs[TESS_CUDNN_MAX_KNOBS];
  gint64 n = 0;
  gboolean ok;

  *choice = (TessCudnnChoice){.engine = plan->engine};
  for (gint64 i = 0; i < TESS_CUDNN_MAX_KNOBS; i++)
    knobs[i] = make (&m, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
  /* Asked how many there are it says none. */
  ok = !m.failed && plan->engine >= 0 &&
       cudnn->BackendGetAttribute (plan->config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                   TESS_CUDNN_MAX_KNOBS, &n, knobs) == CUDNN_STATUS_SUCCESS &&
       n >= 0 && n < TESS_CUDNN_MAX_KNOBS;
  for (gint64 i = 0; ok && i < n; i++) {
    cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
    gint64 one = 0;

    ok = cudnn->BackendGetAttribute (knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &one,
                                     &type) == CUDNN_STATUS_SUCCESS &&
         cudnn->BackendGetAttribute (knobs[i], CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &one,
                                     &choice->value[i]) == CUDNN_STATUS_SUCCESS;
    choice->knob[i] = (gint64)type;
    choice->n_knobs = (guint)i + 1;
  }
  making_clear (&m);
  return ok;
}

static Descriptor
knob_choice (Making *m, gint64 knob, gint64 value)
{
  Descriptor d = make (m, CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR);
  cudnnBackendKnobType_t type = (cudnnBackendKnobType_t)knob;

  set (m, d, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &type);
  set (m, d, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &value);
  finish (m, d, _ ("describing a convolution"));
  return d;
}

/**
 * tess_cudnn_plan_chosen:
 * @choice: from anywhere: what it names is refused by the same rules as what cuDNN proposes
 *
 * Returns: (transfer full) (nullable): as tess_cudnn_plans(), with one plan; NULL where there is none such
 */
GArray *
tess_cudnn_plan_chosen (const TessCudnn *cudnn, cudnnBackendDescriptor_t device, const TessCudnnConv *conv,
                        gsize workspace_limit, const TessCudnnChoice *choice)
{
  GArray *plans = g_array_new (FALSE, TRUE, sizeof (TessCudnnPlan));
  Making m = {.cudnn = cudnn, .owned = g_ptr_array_new ()};
  Descriptor graph = operation_graph (&m, conv), engine = make (&m, CUDNN_BACKEND_ENGINE_DESCRIPTOR), config = NULL;
  Descriptor knobs[TESS_CUDNN_MAX_KNOBS];

  set (&m, engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &graph);
  set (&m, engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &choice->engine);
  set (&m, engine, CUDNN_ATTR_ENGINE_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &device);
  finish (&m, engine, _ ("describing a convolution"));
  for (guint i = 0; i < choice->n_knobs; i++)
    knobs[i] = knob_choice (&m, choice->knob[i], choice->value[i]);
  if (!m.failed)
    note (&m, cudnn->BackendCreateDescriptor (CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config), _ ("making a descriptor"));
  set (&m, config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &engine);
  if (choice->n_knobs > 0)
    set (&m, config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, choice->n_knobs, knobs);
  finish (&m, config, _ ("describing a convolution"));
  if (!m.failed)
    try_config (&m, device, config, conv->exact, TRUE, workspace_limit, plans);
  else if (config != NULL)
    cudnn->BackendDestroyDescriptor (config);
  making_clear (&m);
  if (plans->len == 0)
    g_clear_pointer (&plans, g_array_unref);
  return plans;
}

/* ------------------------------------------------------------------------------------------------ running */

cudnnBackendDescriptor_t
tess_cudnn_pack_new (const TessCudnn *cudnn, void *fine, void *weights, void *coarse, void *workspace, GError **error)
{
  Making m = {.cudnn = cudnn, .error = error};
  Descriptor d = make (&m, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  gint64 uids[3] = {UID_FINE, UID_WEIGHTS, UID_COARSE};
  void *addresses[3] = {fine, weights, coarse};

  set (&m, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 3, uids);
  set (&m, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 3, addresses);
  set (&m, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finish (&m, d, _ ("binding a convolution"));
  if (m.failed && d != NULL)
    cudnn->BackendDestroyDescriptor (d);
  return m.failed ? NULL : d;
}

/* Queued on the handle's stream. */
gboolean
tess_cudnn_run (const TessCudnn *cudnn, cudnnHandle_t handle, const TessCudnnPlan *plan, cudnnBackendDescriptor_t pack,
                GError **error)
{
  return tess_cudnn_check (cudnn, cudnn->BackendExecute (handle, plan->plan, pack), _ ("running a convolution"), error);
}
