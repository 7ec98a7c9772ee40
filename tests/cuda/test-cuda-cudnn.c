#include "../remove-tree.h"
#include "cards.h"
#include "host-cuda.h"
#include "op-run.h"
#include "tess-cpu-backend.h"
#include "tess-cuda-private.h"
#include "train-run.h"

#include <glib/gstdio.h>

/* The way through cuDNN without a GPU: real plans for a described card, bound to real addresses; only their execution
 * is played, by our own kernels, on the addresses and in the types that the plan was given. Shows that what the plugin
 * packs for cuDNN, gives it and takes from it fits together. Skips where cuDNN is not installed. */

/* A bias added to a result already rounded to bfloat16 (as PyTorch does it, too) rounds twice, and here and there moves
 * a value across zero before a ReLU. What is wired wrongly is off by 1 and more. */
#define BF16_TOLERANCE 5e-2

static TessCudnn played; /* cuDNN but for the execution */
static TessProgram *programs[4];
static guint n_executed, n_asked; /* asked: heuristics */
static gboolean keeps;            /* devices keep what was chosen */
static const Card *card = &cards[1];

/* The operation a plan was made for: they were described in the order of the steps. */
static guint
operation_of (cudnnBackendDescriptor_t plan)
{
  guint n = 0;

  for (guint i = 0; i < G_N_ELEMENTS (programs) && programs[i] != NULL; i++)
    for (guint k = 0; k < programs[i]->n_steps; k++) {
      const TessCudaConv *conv = programs[i]->steps[k].conv;

      if (conv == NULL || tess_cuda_conv_is_own (&conv->op.shape))
        continue;
      g_assert_nonnull (conv->plans);
      if (g_array_index (conv->plans, TessCudnnPlan, conv->chosen).plan == plan)
        return n;
      n++;
    }
  g_assert_not_reached ();
}

/* What cuDNN was told, by descriptor; it does not tell it again. One struct for all kinds. */
typedef struct {
  gint64 uid[3], dim[5], stride[5], n_axes, pad[3], step[3], dilation[3]; /* uid: of a tensor the first */
  cudnnDataType_t type;
  void *address[3];
  cudnnBackendDescriptor_t part[4]; /* of an operation: convolution, x, w, y */
} Told;

/* An operation, copied when it was described: its descriptors do not live long. */
typedef struct {
  TessCudnnPass pass;
  Told conv, tensor[3]; /* x, w, y */
} Operation;

static GHashTable *told; /* descriptor -> Told */
static GArray *operations;
static const TessCudnn *real;

static Told *
told_of (cudnnBackendDescriptor_t d)
{
  Told *t = g_hash_table_lookup (told, d);

  if (t == NULL)
    g_hash_table_insert (told, d, t = g_new0 (Told, 1));
  return t;
}

static void
note_operation (const Told *t, TessCudnnPass pass)
{
  Operation op = {.pass = pass, .conv = *told_of (t->part[0])};

  for (guint i = 0; i < 3; i++)
    op.tensor[i] = *told_of (t->part[1 + i]);
  g_array_append_val (operations, op);
}

/* The attributes of the three operations stand in the same order: alpha, beta, convolution, then tensors. */
static void
note_part (Told *t, cudnnBackendAttributeName_t name, const void *values)
{
  static const cudnnBackendAttributeName_t parts[3][5] = {
      {CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
      {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
      {CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
       CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
  };

  for (guint pass = 0; pass < 3; pass++)
    for (guint i = 0; i < 5; i++) {
      if (name != parts[pass][i])
        continue;
      if (i < 4)
        memcpy (&t->part[i], values, sizeof t->part[i]);
      else
        note_operation (t, (TessCudnnPass)pass);
    }
}

static cudnnStatus_t
set_attribute (cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, gint64 n,
               const void *values)
{
  Told *t = told_of (d);
  const struct {
    cudnnBackendAttributeName_t name;
    void *to;
    gsize size;
  } known[] = {
      {CUDNN_ATTR_TENSOR_UNIQUE_ID, t->uid, 8},
      {CUDNN_ATTR_TENSOR_DIMENSIONS, t->dim, 8},
      {CUDNN_ATTR_TENSOR_STRIDES, t->stride, 8},
      {CUDNN_ATTR_TENSOR_DATA_TYPE, &t->type, sizeof t->type},
      {CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &t->n_axes, 8},
      {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, t->pad, 8},
      {CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, t->step, 8},
      {CUDNN_ATTR_CONVOLUTION_DILATIONS, t->dilation, 8},
      {CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, t->uid, 8},
      {CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, t->address, sizeof (void *)},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (known); i++)
    if (known[i].name == name)
      memcpy (known[i].to, values, (gsize)n * known[i].size);
  note_part (t, name, values);
  return real->BackendSetAttribute (d, name, type, n, values);
}

static cudnnStatus_t
create_descriptor (cudnnBackendDescriptorType_t type, cudnnBackendDescriptor_t *d)
{
  n_asked += type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
  return real->BackendCreateDescriptor (type, d);
}

/* An address may come again for another descriptor. */
static cudnnStatus_t
destroy_descriptor (cudnnBackendDescriptor_t d)
{
  g_hash_table_remove (told, d);
  return real->BackendDestroyDescriptor (d);
}

static void *
address_of (cudnnBackendDescriptor_t d, gint64 uid)
{
  const Told *pack = told_of (d);

  for (guint i = 0; i < 3; i++)
    if (pack->uid[i] == uid)
      return pack->address[i];
  g_assert_not_reached ();
}

static double
load (const Told *t, const void *data, gint64 i)
{
  if (t->type == CUDNN_DATA_BFLOAT16)
    return (double)tess_bf16_to_float (((const guint16 *)data)[i]);
  g_assert_cmpint (t->type, ==, CUDNN_DATA_FLOAT);
  return (double)((const float *)data)[i];
}

static void
store (const Told *t, void *data, gint64 i, double value)
{
  if (t->type == CUDNN_DATA_BFLOAT16)
    ((guint16 *)data)[i] = tess_float_to_bf16 ((float)value);
  else
    ((float *)data)[i] = (float)value;
}

/* Elements from a tensor's first to the end of its last. */
static gint64
extent (const Told *t, gint64 n_axes)
{
  gint64 last = 0;

  for (gint64 a = 0; a < 2 + n_axes; a++)
    last += (t->dim[a] - 1) * t->stride[a];
  return last + 1;
}

/* Every pairing of a voxel of y with a weight, x where there is one: cuDNN's convolution by its definition, in double.
 * The third of x, w, y is the sum of the products of the other two. */
static void
convolve (const Operation *op, void *const data[3], guint target)
{
  const Told *x = &op->tensor[0], *w = &op->tensor[1], *y = &op->tensor[2], *c = &op->conv, *out = &op->tensor[target];
  gint64 n_axes = c->n_axes, kernel = 1, voxels = 1, at[3];
  g_autofree double *sums = g_new0 (double, extent (out, n_axes));

  for (gint64 a = 0; a < n_axes; a++) {
    kernel *= w->dim[2 + a];
    voxels *= y->dim[2 + a];
  }
  for (gint64 i = 0; i < y->dim[0] * voxels * kernel; i++) {
    gint64 e = i % kernel, v = i / kernel % voxels, n = i / kernel / voxels;
    gboolean inside = TRUE;

    at[0] = n * x->stride[0];
    at[1] = 0;
    at[2] = n * y->stride[0];
    for (gint64 a = n_axes; a-- > 0; e /= w->dim[2 + a], v /= y->dim[2 + a]) {
      gint64 r = e % w->dim[2 + a], q = v % y->dim[2 + a], p = q * c->step[a] - c->pad[a] + r * c->dilation[a];

      inside = inside && p >= 0 && p < x->dim[2 + a];
      at[0] += p * x->stride[2 + a];
      at[1] += r * w->stride[2 + a];
      at[2] += q * y->stride[2 + a];
    }
    for (gint64 k = 0; inside && k < y->dim[1]; k++)
      for (gint64 f = 0; f < x->dim[1]; f++) {
        const gint64 j[3] = {at[0] + f * x->stride[1], at[1] + k * w->stride[0] + f * w->stride[1],
                             at[2] + k * y->stride[1]};
        guint a = target == 0 ? 1 : 0, b = target == 2 ? 1 : 2;

        sums[j[target]] += load (&op->tensor[a], data[a], j[a]) * load (&op->tensor[b], data[b], j[b]);
      }
  }
  for (gint64 i = 0; i < extent (out, n_axes); i++)
    store (out, data[target], i, sums[i]);
}

static cudnnStatus_t
execute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
  static const guint targets[] = {[TESS_CUDNN_FORWARD] = 2, [TESS_CUDNN_DATA] = 0, [TESS_CUDNN_WEIGHTS] = 1};
  const Operation *op = &g_array_index (operations, Operation, operation_of (plan));
  void *data[3];

  for (guint i = 0; i < 3; i++) {
    data[i] = address_of (pack, op->tensor[i].uid[0]);
    g_assert_cmpuint ((guintptr)data[i] % 16, ==, 0); /* as it was told */
  }
  convolve (op, data, targets[op->pass]);
  n_executed++;
  return CUDNN_STATUS_SUCCESS;
}

/* A device of the host's runtime that takes itself for another with cuDNN. */
static TessDevice *
open_played (guint index, guint n_threads, GError **error)
{
  TessDevice *device = tess_cuda_open (index, n_threads, error);
  g_autofree char *json = card_json (card);

  g_assert_nonnull (device);
  device->card = tess_cudnn_device_from_json (&played, json, error);
  g_assert_nonnull (device->card);
  device->cudnn = &played;
  if (keeps)
    device->cache = tess_cudnn_cache_new (&played, "played");
  return device;
}

static cudnnStatus_t
destroy (cudnnHandle_t handle)
{
  return CUDNN_STATUS_SUCCESS;
}

static TessProgram *
prepare_played (TessDevice *device, TessGraph *graph, TessRequirements *requirements, GError **error)
{
  TessProgram *program = tess_cuda_prepare (device, graph, requirements, error);
  guint i = 0;

  while (programs[i] != NULL)
    i++;
  g_assert_cmpuint (i, <, G_N_ELEMENTS (programs));
  programs[i] = program;
  return program;
}

static void
free_played (TessProgram *program)
{
  memset (programs, 0, sizeof programs); /* a test frees all it has */
  tess_cuda_program_free (program);
}

/* FALSE with the test skipped. */
static gboolean
play (TessBackendIface *iface)
{
  g_autoptr (GError) error = NULL;
  const TessCudnn *cudnn;

  g_unsetenv ("TESSERA_CUDNN");
  if (g_getenv ("TESSERA_TEST_CUDNN") != NULL)
    g_setenv ("TESSERA_CUDNN", g_getenv ("TESSERA_TEST_CUDNN"), TRUE);
  cudnn = tess_cudnn_load (&error);
  g_setenv ("TESSERA_CUDNN", "none", TRUE);
  if (cudnn == NULL) {
    g_test_skip (error->message);
    return FALSE;
  }
  real = cudnn;
  g_clear_pointer (&told, g_hash_table_unref);
  g_clear_pointer (&operations, g_array_unref);
  told = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  operations = g_array_new (FALSE, FALSE, sizeof (Operation));
  played = *cudnn;
  played.BackendCreateDescriptor = create_descriptor;
  played.BackendSetAttribute = set_attribute;
  played.BackendDestroyDescriptor = destroy_descriptor;
  played.BackendExecute = execute;
  played.Destroy = destroy;
  *iface = tess_cuda_iface;
  iface->open = open_played;
  iface->prepare = prepare_played;
  iface->program_free = free_played;
  n_executed = n_asked = 0;
  return TRUE;
}

static void
test_f32 (gconstpointer data)
{
  TessBackendIface iface;

  if (!play (&iface))
    return;
  op_run_case (&iface, GPOINTER_TO_UINT (data), TESS_DTYPE_F32, 1e-10);
  g_assert_cmpuint (n_executed, >, 3);
  g_assert_cmpuint (host_cuda.taken, ==, 0);
}

static void
test_bf16 (gconstpointer data)
{
  TessBackendIface iface;

  if (!play (&iface))
    return;
  op_run_case (&iface, GPOINTER_TO_UINT (data), TESS_DTYPE_BF16, BF16_TOLERANCE);
  g_assert_cmpuint (n_executed, >, 2); /* not the logits */
}

/* Whole networks, those that test-cuda-gpu.c trains on a card: every convolution but the logits' has a plan
 * (operation_of() looks), and two steps are the processor's. */
static void
test_train (gconstpointer data)
{
  guint net = GPOINTER_TO_UINT (data);
  g_autoptr (GError) error = NULL;
  TessBackendIface iface;
  TrainRun ours, theirs;

  g_setenv ("TESSERA_CUDA_TUNE", "0", TRUE);
  for (guint i = 0; i < 4 && play (&iface); i++) {
    TessDType dtype = i % 2 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32;

    card = i < 2 ? &cards[1] : &cards[4];
    train_run (&iface, net, dtype, 2, &ours, &error);
    g_assert_no_error (error);
    train_run (tess_cpu_backend (), net, TESS_DTYPE_F32, 2, &theirs, &error);
    g_assert_no_error (error);
    g_test_message ("%s %s: relative error of the loss %.3g", card->name, i % 2 ? "bf16" : "f32",
                    train_run_loss_error (&ours, &theirs));
    g_assert_cmpfloat (train_run_loss_error (&ours, &theirs), <, i % 2 ? BF16_TOLERANCE : 1e-4);
    train_run_clear (&ours);
    train_run_clear (&theirs);
  }
  card = &cards[1];
  g_unsetenv ("TESSERA_CUDA_TUNE");
}

/* A second start takes the plans of the first: nothing is asked, nothing timed, and the results are as right. */
static void
test_kept (gconstpointer data)
{
  TessDType dtype = (TessDType)GPOINTER_TO_INT (data);
  guint net = 0, n_timed;
  TessBackendIface iface;

  if (!play (&iface))
    return;
  while (!g_str_has_prefix (op_table_name (net), "unet"))
    net++;
  keeps = TRUE;
  op_run_case (&iface, net, dtype, dtype == TESS_DTYPE_F32 ? 1e-10 : BF16_TOLERANCE);
  g_assert_cmpuint (n_asked, >, 3);
  n_timed = n_executed;
  g_assert_true (play (&iface));
  op_run_case (&iface, net, dtype, dtype == TESS_DTYPE_F32 ? 1e-10 : BF16_TOLERANCE);
  g_assert_cmpuint (n_asked, ==, 0);
  g_assert_cmpuint (n_executed, >, 3);
  if (dtype == TESS_DTYPE_F32)
    g_assert_cmpuint (n_executed, ==, n_timed);
  else
    g_assert_cmpuint (n_executed, <, n_timed);
  keeps = FALSE;
}

/* Slices across every axis, and planes in a stack, each pass against our own kernel. */
static void
test_slices (void)
{
  static const TessCudnnConv shapes[] = {
      {.n = 2, .fine = {1, 7, 6}, .coarse = {1, 4, 6}, .kernel = {1, 3, 3}, .stride = {1, 2, 1}, .pad = {0, 1, 1}},
      {.n = 2, .fine = {7, 1, 6}, .coarse = {4, 1, 6}, .kernel = {3, 1, 3}, .stride = {2, 1, 1}, .pad = {1, 0, 1}},
      {.n = 2,
       .fine = {7, 9, 1},
       .coarse = {4, 5, 1},
       .kernel = {3, 3, 1},
       .stride = {2, 1, 1},
       .pad = {1, 0, 0},
       .gap = {0, 1, 0}},
      {.n = 2, .fine = {3, 7, 6}, .coarse = {3, 4, 6}, .kernel = {1, 3, 3}, .stride = {1, 2, 1}, .pad = {0, 1, 1}},
      {.n = 1, .fine = {7, 5, 6}, .coarse = {3, 5, 3}, .kernel = {3, 1, 2}, .stride = {2, 1, 2}, .pad = {0, 0, 0}},
  };
  static const guint targets[] = {[TESS_CUDNN_FORWARD] = 2, [TESS_CUDNN_DATA] = 0, [TESS_CUDNN_WEIGHTS] = 1};
  g_autoptr (GError) error = NULL;
  g_autofree char *json = card_json (card);
  TessBackendIface iface;
  cudnnBackendDescriptor_t device;

  if (!play (&iface))
    return;
  device = tess_cudnn_device_from_json (&played, json, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 3 * G_N_ELEMENTS (shapes); i++) {
    TessCudnnConv s = shapes[i / 3];
    float x[2 * 189 * 8], w[8 * 9 * 8], y[2 * 189 * 8], ours[2 * 189 * 8], scratch[1 << 15];
    void *data[3] = {x, w, y};
    TessCudaDirect d = {.n = s.n, .fine_channels = 8, .coarse_channels = 8, .out = ours, .scratch = scratch};
    guint target;
    gint64 n;

    s.pass = (TessCudnnPass)(i % 3);
    s.fine_channels = s.coarse_channels = 8;
    s.fine_type = s.coarse_type = s.weight_type = TESS_DTYPE_F32;
    GArray *plans = tess_cudnn_plans (&played, device, &s, TESS_CUDA_WORKSPACE, 1, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (plans->len, ==, 1);
    tess_cudnn_plan_clear (&played, &g_array_index (plans, TessCudnnPlan, 0));
    g_array_unref (plans);
    for (guint k = 0; k < G_N_ELEMENTS (x); k++) {
      x[k] = (float)(k * 7919 % 101) - 50;
      y[k] = (float)(k * 104729 % 103) - 50;
    }
    for (guint k = 0; k < G_N_ELEMENTS (w); k++)
      w[k] = (float)(k * 1299709 % 97) - 48;
    for (guint a = 0; a < 3; a++) {
      d.fine[a] = s.fine[a];
      d.coarse[a] = s.coarse[a];
      d.kernel[a] = s.kernel[a];
      d.stride[a] = s.stride[a];
      d.pad[a] = s.pad[a];
      d.gap[a] = s.gap[a];
    }
    target = targets[s.pass];
    d.a = target == 0 ? y : x;
    d.b = target == 1 ? y : w;
    g_assert_cmpuint (tess_cuda_direct_scratch (&d), <=, sizeof scratch);
    if (target == 2)
      tess_cuda_direct_forward (&d, NULL);
    else if (target == 0)
      tess_cuda_direct_data (&d, NULL);
    else
      tess_cuda_direct_weights (&d, NULL);
    convolve (&g_array_index (operations, Operation, i), data, target);
    n = target == 1
            ? 64 * (gint64)s.kernel[0] * s.kernel[1] * s.kernel[2]
            : 8 * s.n * (target == 0 ? s.fine[0] * s.fine[1] * s.fine[2] : s.coarse[0] * s.coarse[1] * s.coarse[2]);
    for (gint64 k = 0; k < n; k++)
      g_assert_cmpfloat (ours[k], ==, ((const float *)data[target])[k]); /* whole numbers: exact */
  }
  played.BackendDestroyDescriptor (device);
}

int
main (int argc, char **argv)
{
  static const char *const some[] = {"conv", "unet", "resunet", "pool", "acts", "mul"};
  g_autofree char *folder = g_dir_make_tmp ("tessera-cache-XXXXXX", NULL);

  g_assert_nonnull (folder);
  g_setenv ("XDG_CACHE_HOME", folder, TRUE);
  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; i < op_table_n (); i++) {
    g_autofree char *f32 = g_strdup_printf ("/cuda/cudnn/f32/%s", op_table_name (i));
    g_autofree char *bf16 = g_strdup_printf ("/cuda/cudnn/bf16/%s", op_table_name (i));
    gboolean wanted = FALSE;

    for (guint k = 0; k < G_N_ELEMENTS (some); k++)
      wanted |= g_str_has_prefix (op_table_name (i), some[k]);
    if (!wanted) /* the same convolutions again */
      continue;
    g_test_add_data_func (f32, GUINT_TO_POINTER (i), test_f32);
    g_test_add_data_func (bf16, GUINT_TO_POINTER (i), test_bf16);
  }
  for (guint i = 0; i < train_run_n (); i++) {
    g_autofree char *path = g_strdup_printf ("/cuda/cudnn/train/%s", train_run_name (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_train);
  }
  g_test_add_func ("/cuda/cudnn/slices", test_slices);
  g_test_add_data_func ("/cuda/cudnn/kept/f32", GINT_TO_POINTER (TESS_DTYPE_F32), test_kept);
  g_test_add_data_func ("/cuda/cudnn/kept/bf16", GINT_TO_POINTER (TESS_DTYPE_BF16), test_kept);
  int status = g_test_run ();
  remove_tree (folder);
  g_clear_pointer (&told, g_hash_table_unref);
  g_clear_pointer (&operations, g_array_unref);
  return status;
}
