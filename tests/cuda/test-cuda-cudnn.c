#include "cards.h"
#include "host-cuda.h"
#include "op-run.h"
#include "tess-cuda-private.h"

/* The way through cuDNN without a GPU: real plans for a described card, bound to real addresses; only their execution
 * is played, by our own kernels, on the addresses and in the types that the plan was given. Shows that what the plugin
 * packs for cuDNN, gives it and takes from it fits together. Skips where cuDNN is not installed. */

/* A bias added to a result already rounded to bfloat16 (as PyTorch does it, too) rounds twice, and here and there moves a
 * value across zero before a ReLU. What is wired wrongly is off by 1 and more. */
#define BF16_TOLERANCE 5e-2

static TessCudnn played; /* cuDNN but for the execution */
static TessProgram *programs[4];
static guint n_executed;

/* The convolution a plan was made for. */
static const TessCudaConv *
conv_of (cudnnBackendDescriptor_t plan)
{
  for (guint i = 0; i < G_N_ELEMENTS (programs) && programs[i] != NULL; i++)
    for (guint k = 0; k < programs[i]->n_steps; k++) {
      const TessCudaConv *conv = programs[i]->steps[k].conv;

      if (conv != NULL && conv->plans != NULL && g_array_index (conv->plans, TessCudnnPlan, conv->chosen).plan == plan)
        return conv;
    }
  g_assert_not_reached ();
}

/* What a pack of addresses was given; cuDNN does not tell it again. */
typedef struct {
  gint64 uids[3];
  void *addresses[3];
} Pack;

static GHashTable *packs; /* descriptor -> Pack */
static const TessCudnn *real;

static cudnnStatus_t
set_attribute (cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, gint64 n,
               const void *values)
{
  if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS || name == CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    Pack *pack = g_hash_table_lookup (packs, d);

    if (pack == NULL)
      g_hash_table_insert (packs, d, pack = g_new0 (Pack, 1));
    g_assert_cmpint (n, ==, 3);
    if (name == CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)
      memcpy (pack->uids, values, sizeof pack->uids);
    else
      memcpy (pack->addresses, values, sizeof pack->addresses);
  }
  return real->BackendSetAttribute (d, name, type, n, values);
}

static void *
address_of (cudnnBackendDescriptor_t d, gint64 uid)
{
  const Pack *pack = g_hash_table_lookup (packs, d);

  for (guint i = 0; i < 3; i++)
    if (pack->uids[i] == uid)
      return pack->addresses[i];
  g_assert_not_reached ();
}

static cudnnStatus_t
execute (cudnnHandle_t handle, cudnnBackendDescriptor_t plan, cudnnBackendDescriptor_t pack)
{
  const TessCudnnConv *s = &conv_of (plan)->op.shape;
  void *x = address_of (pack, 'x'), *w = address_of (pack, 'w'), *y = address_of (pack, 'y');
  gint64 n_weights = s->coarse_channels * s->fine_channels * s->kernel[0] * s->kernel[1] * s->kernel[2];
  g_autofree float *sums = g_new (float, n_weights);
  TessCudaDirect d = {.bf16 = s->weight_type == TESS_DTYPE_BF16,
                      .n = s->n,
                      .fine_channels = s->fine_channels,
                      .coarse_channels = s->coarse_channels,
                      .a = s->pass == TESS_CUDNN_DATA ? y : x,
                      .b = s->pass == TESS_CUDNN_WEIGHTS ? y : w,
                      .out = s->pass == TESS_CUDNN_FORWARD ? y
                             : s->pass == TESS_CUDNN_DATA  ? x
                                                           : sums};

  for (guint a = 0; a < 3; a++) {
    d.fine[a] = s->fine[a];
    d.coarse[a] = s->coarse[a];
    d.kernel[a] = s->kernel[a];
    d.stride[a] = s->stride[a];
    d.pad[a] = s->pad[a];
    d.gap[a] = s->gap[a];
  }
  g_autofree char *scratch = g_malloc (tess_cuda_direct_scratch (&d));
  d.scratch = scratch;
  if (s->pass == TESS_CUDNN_FORWARD)
    tess_cuda_direct_forward (&d, NULL);
  else if (s->pass == TESS_CUDNN_DATA)
    tess_cuda_direct_data (&d, NULL);
  else
    tess_cuda_direct_weights (&d, NULL);
  if (s->pass == TESS_CUDNN_WEIGHTS && d.bf16)
    tess_cuda_cast (n_weights, sums, w, NULL);
  else if (s->pass == TESS_CUDNN_WEIGHTS)
    memcpy (w, sums, (gsize)n_weights * sizeof *sums);
  n_executed++;
  return CUDNN_STATUS_SUCCESS;
}

/* A device of the host's runtime that takes itself for an A100 with cuDNN. */
static TessDevice *
open_played (guint index, guint n_threads, GError **error)
{
  TessDevice *device = tess_cuda_open (index, n_threads, error);
  g_autofree char *json = card_json (&cards[1]);

  g_assert_nonnull (device);
  device->card = tess_cudnn_device_from_json (&played, json, error);
  g_assert_nonnull (device->card);
  device->cudnn = &played;
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
  g_clear_pointer (&packs, g_hash_table_unref);
  packs = g_hash_table_new_full (NULL, NULL, NULL, g_free);
  played = *cudnn;
  played.BackendSetAttribute = set_attribute;
  played.BackendExecute = execute;
  played.Destroy = destroy;
  *iface = tess_cuda_iface;
  iface->open = open_played;
  iface->prepare = prepare_played;
  iface->program_free = free_played;
  n_executed = 0;
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

int
main (int argc, char **argv)
{
  static const char *const some[] = {"conv", "unet", "resunet", "pool", "acts", "mul"};

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
  int status = g_test_run ();
  g_clear_pointer (&packs, g_hash_table_unref);
  return status;
}
