#include "conv-floor.h"

#include <omp.h>

#include "tess-dnnl.h"
#include "tess-parallel.h"

/* Every convolution of a training graph as the bare oneDNN primitive: activations ndhwc, as in the backend, weights in
 * the form the primitive likes best, no bias, and no reorder counted. A step with these layouts cannot be faster on
 * this library. The primitives are described here anew, not taken from the backend, so that a poor choice there shows.
 */

#define N_FORMS 2 /* as the pass it is; a backward-data of one voxel also as a forward convolution */

const BenchCase bench_cases[N_BENCH_CASES] = {
    {"U-Net 32-256, 2x40x56x40",
     2,
     {40, 56, 40},
     {.n_stages = 4,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256},
      .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}},
      .convs_encoder = {2, 2, 2, 2},
      .convs_decoder = {2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5}},
    {"U-Net 32-320 of 6 stages, 1x96x96x96",
     1,
     {96, 96, 96},
     {.n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .kernel = {{3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}, {2, 2, 2}},
      .convs_encoder = {2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5}},
};

TessProgramSpec
bench_train_program (const BenchCase *c, TessDType act_dtype)
{
  return (TessProgramSpec){.kind = TESS_PROGRAM_TRAIN,
                           .batch = c->batch,
                           .dhw = {c->dhw[0], c->dhw[1], c->dhw[2]},
                           .act_dtype = act_dtype,
                           .deep_supervision = TRUE,
                           .dice_smooth = 1e-5f,
                           .batch_dice = TRUE};
}

guint
bench_n_runs (double first_seconds)
{
  return first_seconds > 30 ? 2 : first_seconds > 5 ? 3 : 10;
}

typedef struct {
  dnnl_primitive_t primitive;
  dnnl_memory_t memory[4];
  dnnl_exec_arg_t args[4];
  char implementation[64];
} Form;

typedef enum { X, W, Y, SCRATCH, N_MEMORIES } Memory;

typedef struct _FloorBench {
  const TessDnnl *dnnl;
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  TessDType act_dtype;
  GArray *forms;           /* Form, N_FORMS a layer; primitive NULL where there is none */
  gsize bytes[N_MEMORIES]; /* the most any form needs */
  guint32 *data[N_MEMORIES];
} FloorBench;

const char *
floor_pass_name (FloorPass pass)
{
  static const char *const names[] = {"forward", "backward data", "backward weights"};

  return names[pass];
}

static gboolean
layer_of (const TessGraph *graph, const TessOp *op, FloorLayer *layer)
{
  const TessTensor *x, *y;

  memset (layer, 0, sizeof *layer);
  switch (op->kind) {
  case TESS_OP_CONV:
  case TESS_OP_CONV_TRANSPOSE:
    layer->pass = FLOOR_FORWARD;
    x = tess_graph_tensor (graph, op->in[0]);
    y = tess_graph_tensor (graph, op->out[0]);
    break;
  case TESS_OP_CONV_BWD_DATA:
  case TESS_OP_CONV_TRANSPOSE_BWD_DATA:
    layer->pass = FLOOR_DATA;
    x = tess_graph_tensor (graph, op->out[0]);
    y = tess_graph_tensor (graph, op->in[0]);
    break;
  case TESS_OP_CONV_BWD_WEIGHTS:
  case TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS:
    layer->pass = FLOOR_WEIGHTS;
    x = tess_graph_tensor (graph, op->in[0]);
    y = tess_graph_tensor (graph, op->in[1]);
    break;
  default:
    return FALSE;
  }
  layer->kind = op->kind;
  layer->attr = op->attr.conv;
  memcpy (layer->x, x->dim, sizeof layer->x);
  memcpy (layer->y, y->dim, sizeof layer->y);
  layer->x_dtype = graph->act_dtype; /* the image is cast before */
  layer->y_dtype = y->dtype;
  layer->n_ops = 1;
  return TRUE;
}

static gboolean
same_layer (const FloorLayer *a, const FloorLayer *b)
{
  return a->kind == b->kind && memcmp (&a->attr, &b->attr, sizeof a->attr) == 0 &&
         memcmp (a->x, b->x, sizeof a->x) == 0 && memcmp (a->y, b->y, sizeof a->y) == 0 && a->y_dtype == b->y_dtype;
}

static void
collect_layers (GArray *layers, const TessGraph *graph)
{
  for (guint i = 0; i < graph->ops->len; i++) {
    FloorLayer layer;
    guint k = 0;

    if (!layer_of (graph, tess_graph_op (graph, i), &layer))
      continue;
    while (k < layers->len && !same_layer (&g_array_index (layers, FloorLayer, k), &layer))
      k++;
    if (k < layers->len)
      g_array_index (layers, FloorLayer, k).n_ops++;
    else
      g_array_append_val (layers, layer);
  }
}

static dnnl_data_type_t
type_of (TessDType dtype)
{
  return dtype == TESS_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32;
}

static gboolean
is_transposed (const FloorLayer *layer)
{
  return layer->kind == TESS_OP_CONV_TRANSPOSE || layer->kind == TESS_OP_CONV_TRANSPOSE_BWD_DATA ||
         layer->kind == TESS_OP_CONV_TRANSPOSE_BWD_WEIGHTS;
}

static gboolean
is_pointwise (const TessConvAttr *a)
{
  for (int i = 0; i < 3; i++)
    if (a->kernel[i] != 1 || a->stride[i] != 1 || a->pad[i] != 0)
      return FALSE;
  return TRUE;
}

static dnnl_status_t
describe (const FloorBench *b, const FloorLayer *layer, FloorPass pass, dnnl_memory_desc_t md[3],
          dnnl_convolution_desc_t *desc)
{
  const TessDnnl *d = b->dnnl;
  const TessConvAttr *a = &layer->attr;
  const dnnl_dims_t stride = {a->stride[0], a->stride[1], a->stride[2]}, gap = {a->gap[0], a->gap[1], a->gap[2]},
                    pad = {a->pad[0], a->pad[1], a->pad[2]};
  gboolean transposed = is_transposed (layer);
  dnnl_alg_kind_t algorithm = transposed ? dnnl_deconvolution_direct : dnnl_convolution_direct;

  /* dnnl_deconvolution_desc_t is the same struct. */
  if (pass == FLOOR_FORWARD)
    return (transposed ? d->dilated_deconvolution_forward_desc_init : d->dilated_convolution_forward_desc_init) (
        desc, dnnl_forward_training, algorithm, &md[X], &md[W], NULL, &md[Y], stride, gap, pad, pad);
  if (pass == FLOOR_DATA)
    return (transposed ? d->dilated_deconvolution_backward_data_desc_init
                       : d->dilated_convolution_backward_data_desc_init) (desc, algorithm, &md[X], &md[W], &md[Y],
                                                                          stride, gap, pad, pad);
  return (transposed ? d->dilated_deconvolution_backward_weights_desc_init
                     : d->dilated_convolution_backward_weights_desc_init) (desc, algorithm, &md[X], &md[W], NULL,
                                                                           &md[Y], stride, gap, pad, pad);
}

static dnnl_status_t
describe_memories (const FloorBench *b, const FloorLayer *layer, FloorPass pass, gboolean swapped,
                   dnnl_memory_desc_t md[3])
{
  const gint64 *x = swapped ? layer->y : layer->x, *y = swapped ? layer->x : layer->y;
  TessDType x_dtype = swapped ? layer->y_dtype : layer->x_dtype, y_dtype = swapped ? layer->x_dtype : layer->y_dtype;
  const int *k = layer->attr.kernel;
  const dnnl_dims_t x_dims = {x[0], x[4], x[1], x[2], x[3]}, y_dims = {y[0], y[4], y[1], y[2], y[3]},
                    w_dims = {y[4], x[4], k[0], k[1], k[2]};
  dnnl_data_type_t w_type = pass == FLOOR_WEIGHTS ? dnnl_f32 : type_of (b->act_dtype);
  dnnl_status_t status = b->dnnl->memory_desc_init_by_tag (&md[X], 5, x_dims, type_of (x_dtype), dnnl_ndhwc);

  if (status == dnnl_success)
    status = b->dnnl->memory_desc_init_by_tag (&md[Y], 5, y_dims, type_of (y_dtype), dnnl_ndhwc);
  if (status == dnnl_success)
    status = b->dnnl->memory_desc_init_by_tag (&md[W], 5, w_dims, w_type, dnnl_format_tag_any);
  return status;
}

/* The forward pass a backward one must be told of; its types are all the activations'. */
static dnnl_status_t
make_hint (const FloorBench *b, const FloorLayer *layer, const dnnl_memory_desc_t md[3], dnnl_primitive_desc_t *hint)
{
  dnnl_memory_desc_t same[3] = {md[X], md[W], md[Y]};
  dnnl_convolution_desc_t desc;
  dnnl_status_t status;

  same[W].data_type = same[Y].data_type = md[X].data_type;
  status = describe (b, layer, FLOOR_FORWARD, same, &desc);
  return status == dnnl_success ? b->dnnl->primitive_desc_create (hint, &desc, NULL, b->engine, NULL) : status;
}

static dnnl_status_t
fill_form (FloorBench *b, Form *form, FloorPass pass, dnnl_primitive_desc_t pd, const dnnl_memory_desc_t md[3])
{
  const TessDnnl *d = b->dnnl;
  const dnnl_memory_desc_t *mds[N_MEMORIES] = {
      [X] = &md[X],
      [W] = d->primitive_desc_query_md (pd, pass == FLOOR_WEIGHTS ? dnnl_query_diff_weights_md : dnnl_query_weights_md,
                                        0),
      [Y] = &md[Y],
      [SCRATCH] = d->primitive_desc_query_md (pd, dnnl_query_scratchpad_md, 0),
  };
  const int args[N_MEMORIES] = {
      [X] = pass == FLOOR_DATA ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC,
      [W] = pass == FLOOR_WEIGHTS ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS,
      [Y] = pass == FLOOR_FORWARD ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST,
      [SCRATCH] = DNNL_ARG_SCRATCHPAD,
  };
  const char *name = NULL;
  dnnl_status_t status = d->primitive_create (&form->primitive, pd);

  for (int i = 0; i < N_MEMORIES && status == dnnl_success; i++) {
    status = d->memory_create (&form->memory[i], mds[i], b->engine, DNNL_MEMORY_NONE);
    form->args[i] = (dnnl_exec_arg_t){args[i], form->memory[i]};
    b->bytes[i] = MAX (b->bytes[i], d->memory_desc_get_size (mds[i]));
  }
  d->primitive_desc_query (pd, dnnl_query_impl_info_str, 0, &name);
  g_strlcpy (form->implementation, name != NULL ? name : "?", sizeof form->implementation);
  return status;
}

static gboolean
make_form (FloorBench *b, const FloorLayer *layer, gboolean swapped, Form *form, GError **error)
{
  const TessDnnl *d = b->dnnl;
  FloorPass pass = swapped ? FLOOR_FORWARD : layer->pass;
  dnnl_memory_desc_t md[3];
  dnnl_convolution_desc_t desc;
  dnnl_primitive_desc_t hint = NULL, pd = NULL;
  dnnl_primitive_attr_t attr = NULL;
  dnnl_status_t status = describe_memories (b, layer, pass, swapped, md);

  if (status == dnnl_success && pass != FLOOR_FORWARD)
    status = make_hint (b, layer, md, &hint);
  if (status == dnnl_success)
    status = describe (b, layer, pass, md, &desc);
  if (status == dnnl_success)
    status = d->primitive_attr_create (&attr);
  if (status == dnnl_success)
    status = d->primitive_attr_set_scratchpad_mode (attr, dnnl_scratchpad_mode_user);
  if (status == dnnl_success)
    status = d->primitive_desc_create (&pd, &desc, attr, b->engine, hint);
  if (status == dnnl_success)
    status = fill_form (b, form, pass, pd, md);
  if (pd != NULL)
    d->primitive_desc_destroy (pd);
  if (hint != NULL)
    d->primitive_desc_destroy (hint);
  if (attr != NULL)
    d->primitive_attr_destroy (attr);
  return tess_dnnl_check (status, tess_op_name (layer->kind), error);
}

static gboolean
make_forms (FloorBench *b, const GArray *layers, GError **error)
{
  g_array_set_size (b->forms, layers->len * N_FORMS); /* zeroed */
  for (guint i = 0; i < layers->len; i++) {
    const FloorLayer *layer = &g_array_index (layers, FloorLayer, i);
    Form *forms = &g_array_index (b->forms, Form, i * N_FORMS);

    if (!make_form (b, layer, FALSE, &forms[0], error) ||
        (layer->pass == FLOOR_DATA && !is_transposed (layer) && is_pointwise (&layer->attr) &&
         !make_form (b, layer, TRUE, &forms[1], error)))
      return FALSE;
  }
  return TRUE;
}

/* One memory of each kind for all, filled with numbers whose size is near 1 as float32 and as two of bfloat16. */
static gboolean
bind_forms (FloorBench *b, GError **error)
{
  guint32 state = 1;

  for (int i = 0; i < N_MEMORIES; i++) {
    gsize bytes = (b->bytes[i] + 4095) / 4096 * 4096;

    b->data[i] = aligned_alloc (4096, MAX (bytes, 4096));
    if (b->data[i] == NULL) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, "no memory for %" G_GSIZE_FORMAT " bytes", bytes);
      return FALSE;
    }
    for (gsize k = 0; k < bytes / 4; k++) {
      state = state * 1664525u + 1013904223u;
      b->data[i][k] = 0x3f003f00u | ((state ^ state >> 16) & 0x807f807fu);
    }
  }
  for (guint f = 0; f < b->forms->len; f++) {
    const Form *form = &g_array_index (b->forms, Form, f);

    for (int i = 0; i < N_MEMORIES && form->primitive != NULL; i++)
      if (!tess_dnnl_check (b->dnnl->memory_set_data_handle (form->memory[i], b->data[i]), "bind memory", error))
        return FALSE;
  }
  return TRUE;
}

static gboolean
time_form (const FloorBench *b, const Form *form, double *seconds, GError **error)
{
  gint64 before = g_get_monotonic_time ();
  dnnl_status_t status = b->dnnl->primitive_execute (form->primitive, b->stream, N_MEMORIES, form->args);

  if (status == dnnl_success)
    status = b->dnnl->stream_wait (b->stream);
  *seconds = (double)(g_get_monotonic_time () - before) * 1e-6;
  return tess_dnnl_check (status, "run a convolution", error);
}

static void
sum_up (ConvFloor *floor)
{
  memset (floor->seconds, 0, sizeof floor->seconds);
  floor->total = 0;
  for (guint i = 0; i < floor->layers->len; i++) {
    const FloorLayer *layer = &g_array_index (floor->layers, FloorLayer, i);

    floor->seconds[layer->pass] += layer->n_ops * layer->seconds;
    floor->total += layer->n_ops * layer->seconds;
  }
}

static void
bench_free (FloorBench *b)
{
  for (guint f = 0; f < b->forms->len; f++) {
    Form *form = &g_array_index (b->forms, Form, f);

    if (form->primitive != NULL)
      b->dnnl->primitive_destroy (form->primitive);
    for (int i = 0; i < N_MEMORIES; i++)
      if (form->memory[i] != NULL)
        b->dnnl->memory_destroy (form->memory[i]);
  }
  for (int i = 0; i < N_MEMORIES; i++)
    free (b->data[i]);
  if (b->stream != NULL)
    b->dnnl->stream_destroy (b->stream);
  if (b->engine != NULL)
    b->dnnl->engine_destroy (b->engine);
  g_array_unref (b->forms);
  g_free (b);
}

/**
 * conv_floor_open:
 * @floor: filled; clear it, also after a failure
 * @c: whose training graph is walked
 *
 * Makes the primitives, for all cores as the backend does by default. Returns: FALSE with UNSUPPORTED, NO_MEMORY or
 * BAD_SHAPE.
 */
gboolean
conv_floor_open (ConvFloor *floor, const BenchCase *c, TessDType act_dtype, GError **error)
{
  TessProgramSpec program = bench_train_program (c, act_dtype);
  g_autoptr (TessNetwork) network = tess_network_build (&c->network, &program, error);
  const TessDnnl *dnnl = tess_dnnl_load (network != NULL ? error : NULL);
  FloorBench *b;

  memset (floor, 0, sizeof *floor);
  if (network == NULL || dnnl == NULL)
    return FALSE;
  floor->layers = g_array_new (FALSE, TRUE, sizeof (FloorLayer));
  floor->bench = b = g_new0 (FloorBench, 1);
  b->dnnl = dnnl;
  b->act_dtype = act_dtype;
  b->forms = g_array_new (FALSE, TRUE, sizeof (Form));
  collect_layers (floor->layers, network->graph);
  omp_set_num_threads ((int)tess_parallel_n_cores ());
  return tess_dnnl_check (dnnl->engine_create (&b->engine, dnnl_cpu, 0), "open the processor", error) &&
         tess_dnnl_check (dnnl->stream_create (&b->stream, b->engine, dnnl_stream_default_flags), "open the processor",
                          error) &&
         make_forms (b, floor->layers, error) && bind_forms (b, error);
}

/* Times every kind of convolution once more; the best of all runs, and of each layer's faster form, counts. */
gboolean
conv_floor_run (ConvFloor *floor, GError **error)
{
  for (guint f = 0; f < floor->bench->forms->len; f++) {
    const Form *form = &g_array_index (floor->bench->forms, Form, f);
    FloorLayer *layer = &g_array_index (floor->layers, FloorLayer, f / N_FORMS);
    double seconds;

    if (form->primitive == NULL)
      continue;
    if (!time_form (floor->bench, form, &seconds, error))
      return FALSE;
    if (layer->seconds <= 0 || seconds < layer->seconds) {
      layer->seconds = seconds;
      g_strlcpy (layer->implementation, form->implementation, sizeof layer->implementation);
    }
  }
  floor->n_runs++;
  sum_up (floor);
  return TRUE;
}

void
conv_floor_clear (ConvFloor *floor)
{
  g_clear_pointer (&floor->bench, bench_free);
  g_clear_pointer (&floor->layers, g_array_unref);
}
