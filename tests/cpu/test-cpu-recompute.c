#include "../random-number.h"
#include "specs.h"
#include "tess-cpu-backend.h"
#include "tess-session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* What is not kept of the forward pass but made again: the same bits, in fewer bytes, and the bytes that were planned.
 */

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 batch, dhw[3];
} Case;

#define UNET                                                                                                           \
  .n_channels = 2, .n_classes = 3, .features = {8, 12, 16, 16},                                                        \
  .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}}, .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}},      \
  .convs_encoder = {2, 2, 1, 2}, .convs_decoder = {1, 2, 2}, SPEC_UNET

static const Case cases[] = {
    {"plain", {.n_stages = 4, UNET}, 2, {8, 24, 32}},
    {"residual", {.architecture = TESS_NETWORK_RESIDUAL_UNET, .n_stages = 4, UNET}, 1, {8, 24, 32}},
    {"ingradient",
     {SPEC_INGRADIENT, .n_stages = 3, .n_channels = 1, .n_classes = 2, .features = {4, 6, 8}, .dropout = 0.3},
     1,
     {8, 16, 12}},
    {"se-residual",
     {SPEC_SE_RESIDUAL, .n_stages = 4, .n_channels = 2, .n_classes = 3, .features = {8}, .se_ratio = 4,
      .attention_gate = TRUE, .noise = 0.2},
     1,
     {13, 17, 14}},
    {"meshnet",
     {.architecture = TESS_NETWORK_MESHNET,
      .n_channels = 1,
      .n_classes = 3,
      .features = {8},
      .n_layers = 8,
      .dilation = {1, 2, 4, 8, 8, 4, 2, 1}},
     1,
     {20, 16, 24}},
};

static TessProgramSpec
training (const Case *c, TessDType dtype)
{
  return (TessProgramSpec){.kind = TESS_PROGRAM_TRAIN,
                           .batch = c->batch,
                           .dhw = {c->dhw[0], c->dhw[1], c->dhw[2]},
                           .act_dtype = dtype,
                           .deep_supervision = TRUE,
                           .dice_smooth = 1e-5f,
                           .batch_dice = TRUE};
}

/* ------------------------------------------------------------------------ what the session takes from the backend */

static guint64 taken, kept; /* buffers; workspace, which a program takes by itself */

static TessBuffer *
counting_buffer (TessDevice *device, gsize bytes, GError **error)
{
  taken += bytes;
  return tess_cpu_backend ()->buffer_new (device, bytes, error);
}

static TessProgram *
counting_prepare (TessDevice *device, TessGraph *graph, TessRequirements *needs, GError **error)
{
  TessProgram *program = tess_cpu_backend ()->prepare (device, graph, needs, error);

  kept += needs->workspace;
  return program;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static _Atomic gboolean watching;
static _Atomic guint n_large; /* allocations since, beyond the few kB that oneDNN takes for a single primitive */

#ifndef SANITIZED
#define LARGE 65536

extern void *__libc_malloc (size_t n);
extern void *__libc_calloc (size_t n, size_t size);
extern void *__libc_realloc (void *p, size_t n);
extern void *__libc_memalign (size_t alignment, size_t n);

static void
watch (size_t n)
{
  if (watching && n >= LARGE)
    n_large++;
}

/* In place of the C library's, for oneDNN and OpenMP, too. */
__attribute__ ((visibility ("default"))) void *
malloc (size_t n)
{
  watch (n);
  return __libc_malloc (n);
}

__attribute__ ((visibility ("default"))) void *
calloc (size_t n, size_t size)
{
  watch (n * size);
  return __libc_calloc (n, size);
}

__attribute__ ((visibility ("default"))) void *
realloc (void *p, size_t n)
{
  watch (n);
  return __libc_realloc (p, n);
}

__attribute__ ((visibility ("default"))) void *
aligned_alloc (size_t alignment, size_t n)
{
  watch (n);
  return __libc_memalign (alignment, n);
}

__attribute__ ((visibility ("default"))) int
posix_memalign (void **p, size_t alignment, size_t n)
{
  watch (n);
  *p = __libc_memalign (alignment, n);
  return *p == NULL ? ENOMEM : 0;
}
#endif

/* ------------------------------------------------------------------------------------------------ three steps */

static void
write_batch (TessSession *session)
{
  g_autoptr (GError) error = NULL;
  const TessNetwork *network = tess_session_network (session, 0);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);
  gsize n = (gsize)tess_tensor_n_elements (image), n_labels = n / (gsize)image->dim[4];
  g_autofree float *x = g_new (float, n);
  g_autofree guint8 *labels = g_new (guint8, n_labels);
  guint32 state = 1;

  for (gsize i = 0; i < n; i++) {
    x[i] = random_number (&state);
    labels[i % n_labels] = (guint8)((state >> 20) % 2);
  }
  tess_session_write (session, 0, network->image, x, n * sizeof *x, &error);
  g_assert_no_error (error);
  tess_session_write (session, 0, network->labels, labels, n_labels, &error);
  g_assert_no_error (error);
}

static void
append (GByteArray *all, TessSession *session, TessId id)
{
  g_autoptr (GError) error = NULL;
  gsize bytes = tess_graph_tensor (tess_session_network (session, 0)->graph, id)->bytes;
  g_autofree guint8 *data = g_malloc (bytes);

  tess_session_read (session, 0, id, data, bytes, &error);
  g_assert_no_error (error);
  g_byte_array_append (all, data, (guint)bytes);
}

/* Gradients of the last step and the parameters after it, byte for byte. arena: bytes of the activations. */
static GByteArray *
three_steps (const Case *c, const TessProgramSpec *program, guint n_threads, gsize *arena)
{
  TessBackendIface counting = *tess_cpu_backend ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSession) session = NULL;
  GByteArray *all = g_byte_array_new ();
  TessStepArgs args = {.learning_rate = 0.01,
                       .momentum = 0.99,
                       .weight_decay = 3e-5,
                       .clip_norm = 12,
                       .head_weight = {1, 0.5, 0.25},
                       .seed = 5};
  const TessGraph *graph;

  counting.buffer_new = counting_buffer;
  counting.prepare = counting_prepare;
  taken = kept = 0;
  session = tess_session_new (&counting, 0, n_threads, &c->spec, &error);
  g_assert_no_error (error);
  tess_session_add_program (session, program, &error);
  g_assert_no_error (error);
  tess_session_bind (session, 0, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_session_bytes (session), ==, taken + kept);
  tess_session_init_params (session, 5, &error);
  write_batch (session);
  for (guint i = 0; i < 3; i++) {
    watching = i > 0;
    tess_session_run (session, 0, &args, &error);
    g_assert_no_error (error);
  }
  watching = FALSE;
  g_assert_cmpuint (n_large, ==, 0); /* a step takes nothing */
  graph = tess_session_network (session, 0)->graph;
  *arena = graph->arena_bytes[TESS_ARENA_ACT];
  for (TessId id = 0; id < graph->tensors->len; id++)
    if (tess_graph_tensor (graph, id)->role == TESS_ROLE_PARAM || tess_graph_tensor (graph, id)->role == TESS_ROLE_GRAD)
      append (all, session, id);
  return all;
}

static guint
n_stages (const Case *c, const TessProgramSpec *program)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = tess_network_build (&c->spec, program, &error);

  g_assert_no_error (error);
  return tess_graph_n_stages (network->graph);
}

static void
check_case (const Case *c, guint n_threads, TessDType dtype)
{
  TessProgramSpec program = training (c, dtype);
  g_autoptr (GByteArray) expected = NULL;
  guint n = n_stages (c, &program);
  gsize before, all, none = 0;

  g_assert_cmpuint (n, >=, 2);
  program.keep_all = TRUE;
  expected = three_steps (c, &program, n_threads, &all);
  program.keep_all = FALSE;
  before = all;
  for (guint k = 0; k <= n + 1; k++) {
    g_autoptr (GByteArray) got = NULL;
    gsize arena;

    program.recompute = k;
    got = three_steps (c, &program, n_threads, &arena);
    g_test_message ("%s: %u of %u stages made again, %" G_GSIZE_FORMAT " bytes, all kept %" G_GSIZE_FORMAT, c->name, k,
                    n, arena, all);
    g_assert_cmpmem (got->data, got->len, expected->data, expected->len);
    g_assert_cmpuint (arena, <=, before); /* never more for one stage more */
    before = arena;
    none = k == 0 ? arena : none;
    if (k == 0)
      g_assert_cmpuint (arena, <, all);
  }
  g_assert_cmpuint (before, <, none);
}

static void
test_case (gconstpointer data)
{
  check_case (data, 1, TESS_DTYPE_F32);
  check_case (data, 2, TESS_DTYPE_F32);
}

/* That the watch sees what it is there for. */
static void
test_watch (void)
{
#ifdef SANITIZED
  g_test_skip ("the sanitizer's own allocator is in use");
#else
  gpointer p;

  watching = TRUE;
  p = g_malloc (100000);
  watching = FALSE;
  g_free (p);
  g_assert_cmpuint (n_large, ==, 1);
  n_large = 0;
#endif
}

/* Rounded at the same places, too. */
static void
test_bf16 (void)
{
  TessDeviceInfo info;

  tess_cpu_backend ()->device_info (0, &info, NULL);
  if (!info.bf16) {
    g_test_skip ("this processor does not compute in bfloat16");
    return;
  }
  check_case (&cases[0], 2, TESS_DTYPE_BF16);
  check_case (&cases[1], 2, TESS_DTYPE_BF16);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_strconcat ("/cpu/recompute/", cases[i].name, NULL);

    g_test_add_data_func (path, &cases[i], test_case);
  }
  g_test_add_func ("/cpu/recompute/watch", test_watch);
  g_test_add_func ("/cpu/recompute/bf16", test_bf16);
  return g_test_run ();
}
