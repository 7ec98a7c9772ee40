#include "tess-backend.h"
#include "tess-cpu-backend.h"
#include "op-table.h"

#include <glib/gstdio.h>
#include <gmodule.h>
#include <math.h>
#include <string.h>

/* The CUDA plugin as the program meets it: through the registry. What needs a GPU skips itself where there is none
 * and says so; that there is none must be a sentence, never a crash. */

static const char *
plugin_path (void)
{
  const char *path = g_getenv ("TESSERA_TEST_CUDA_PLUGIN");

  if (path && *path)
    return path;
  g_test_skip ("built without the CUDA plugin (no nvcc, or -Dcuda=disabled)");
  return NULL;
}

static const TessBackendIface *
find_cuda (void)
{
  g_autoptr (GError) error = NULL;
  const TessBackendIface *cuda;

  if (!plugin_path ())
    return NULL;
  cuda = tess_backend_find ("cuda", &error);
  g_assert_no_error (error);
  g_assert_nonnull (cuda);
  return cuda;
}

/* An open device, or NULL with the test skipped for the reason the backend gives. */
static TessDevice *
open_device (const TessBackendIface *cuda)
{
  g_autoptr (GError) error = NULL;
  TessDevice *device;

  if (cuda->n_devices (&error) == 0) {
    g_test_skip (error->message);
    return NULL;
  }
  device = cuda->open (0, 0, &error);
  g_assert_no_error (error);
  g_assert_nonnull (device);
  return device;
}

static void
test_loads (void)
{
  const TessBackendIface *cuda = find_cuda ();

  if (!cuda)
    return;
  g_assert_cmpuint (cuda->abi, ==, TESS_BACKEND_ABI);
  g_assert_cmpstr (cuda->id, ==, "cuda");
  g_assert_cmpuint (cuda->flags & TESS_BACKEND_TRAINS, ==, 0);
  g_assert_true (tess_backend_find ("cuda", NULL) == cuda);
}

/* The plugin itself refuses a host of another ABI; and exports nothing but the query. */
static void
test_other_host (void)
{
  gpointer query = NULL, inner = NULL;
  GModule *module;

  if (!plugin_path ())
    return;
  module = g_module_open (plugin_path (), G_MODULE_BIND_LOCAL);
  g_assert_nonnull (module);
  g_assert_true (g_module_symbol (module, TESS_BACKEND_QUERY_SYMBOL, &query));
  g_assert_null (((TessBackendQuery)query) (TESS_BACKEND_ABI + 1));
  g_assert_null (((TessBackendQuery)query) (0));
  g_assert_nonnull (((TessBackendQuery)query) (TESS_BACKEND_ABI));
  g_assert_false (g_module_symbol (module, "tess_cuda_open", &inner));
  g_assert_false (g_module_symbol (module, "cudaMalloc", &inner));
  /* Left open: it holds CUDA's state for the whole process. */
}

/* The registry refuses a plugin of another ABI. In a process of its own, as the registry remembers what it loaded. */
static void
test_other_plugin (void)
{
  if (g_test_subprocess ()) {
    g_autoptr (GError) error = NULL;

    g_assert_null (tess_backend_find ("cuda", &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_printerr ("refused: %s\n", error->message);
    return;
  }
  g_autofree char *kept = g_strdup (g_getenv ("TESSERA_BACKEND_DIR"));
  g_setenv ("TESSERA_BACKEND_DIR", g_getenv ("TESSERA_TEST_WRONG_ABI_DIR"), TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  if (kept)
    g_setenv ("TESSERA_BACKEND_DIR", kept, TRUE);
  else
    g_unsetenv ("TESSERA_BACKEND_DIR");
  g_test_trap_assert_passed ();
  g_test_trap_assert_stderr ("*refused: *");
}

/* No plugin where it is looked for: a sentence, and the processor goes on. */
static void
test_no_plugin (void)
{
  if (g_test_subprocess ()) {
    g_autoptr (GError) error = NULL;
    g_autofree char *why = NULL;
    const TessBackendIface *chosen;

    g_assert_null (tess_backend_find ("cuda", &error));
    g_assert_nonnull (error);
    g_assert_null (strchr (error->message, '\n'));
    g_clear_error (&error);
    chosen = tess_backend_choose ("auto", &why, &error);
    g_assert_no_error (error);
    g_assert_cmpstr (chosen->id, ==, "cpu");
    g_assert_true (why && *why);
    return;
  }
  g_autoptr (GError) error = NULL;
  g_autofree char *empty = g_dir_make_tmp ("tessera-no-plugin-XXXXXX", &error);
  g_assert_no_error (error);
  g_autofree char *kept = g_strdup (g_getenv ("TESSERA_BACKEND_DIR"));
  g_setenv ("TESSERA_BACKEND_DIR", empty, TRUE);
  g_test_trap_subprocess (NULL, 0, 0);
  if (kept)
    g_setenv ("TESSERA_BACKEND_DIR", kept, TRUE);
  else
    g_unsetenv ("TESSERA_BACKEND_DIR");
  g_rmdir (empty);
  g_test_trap_assert_passed ();
}

/* Either devices that say what they are, or none and one line saying why, the same for everything that needs one. */
static void
test_devices (void)
{
  const TessBackendIface *cuda = find_cuda ();
  g_autoptr (GError) error = NULL;
  TessDeviceInfo info;
  guint n;

  if (!cuda)
    return;
  n = cuda->n_devices (&error);
  if (n == 0) {
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_assert_nonnull (strstr (error->message, "--backend cpu"));
    g_assert_null (strchr (error->message, '\n'));
    g_clear_error (&error);
    g_assert_false (cuda->device_info (0, &info, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    g_clear_error (&error);
    g_assert_null (cuda->open (0, 0, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
    cuda->close (NULL);
    cuda->buffer_free (NULL);
    return;
  }
  g_assert_no_error (error);
  for (guint i = 0; i < n; i++) {
    g_assert_true (cuda->device_info (i, &info, &error));
    g_assert_no_error (error);
    g_assert_true (info.name[0] != '\0' && g_str_has_prefix (info.detail, "sm_"));
    g_assert_true (info.memory_total > 0 && info.memory_free <= info.memory_total);
  }
  g_assert_false (cuda->device_info (n, &info, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

static void
test_auto (void)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *why = NULL;
  const TessBackendIface *chosen = tess_backend_choose ("auto", &why, &error);

  /* With a GPU too: the plugin has not run on one yet, so auto must not take it. */
  g_assert_no_error (error);
  g_assert_cmpstr (chosen->id, ==, "cpu");
  g_assert_true (why && *why);
}

static TessGraph *
leaky_graph (gint64 width, float slope, TessId *x, TessId *y)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessGraph) graph = tess_graph_new (TESS_DTYPE_F32);
  const gint64 dim[5] = {2, 3, 5, width, 3};

  *x = tess_graph_add_tensor (graph, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  TessId middle = tess_graph_leaky_relu (graph, *x, slope, &error);
  g_assert_no_error (error);
  *y = tess_graph_leaky_relu (graph, middle, slope, &error);
  g_assert_no_error (error);
  tess_graph_mark_output (graph, *y);
  tess_graph_place (graph, &error);
  g_assert_no_error (error);
  return g_steal_pointer (&graph);
}

/* What prepare needs is known, and what it cannot compute is refused by name, before any device is there. */
static void
test_prepare (void)
{
  const TessBackendIface *cuda = find_cuda ();
  g_autoptr (GError) error = NULL;
  TessRequirements requirements;
  TessProgram *program;
  TessId x, y;

  if (!cuda)
    return;
  g_autoptr (TessGraph) graph = leaky_graph (7, 0.01f, &x, &y);
  program = cuda->prepare (NULL, graph, &requirements, &error);
  g_assert_no_error (error);
  g_assert_nonnull (program);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    g_assert_cmpuint (requirements.arena[a], ==, graph->arena_bytes[a]);
  cuda->program_free (program);

  g_autoptr (TessGraph) other = tess_graph_new (TESS_DTYPE_F32);
  const gint64 dim[5] = {1, 2, 2, 2, 1};
  TessId a = tess_graph_add_tensor (other, "a", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  TessId b = tess_graph_add_tensor (other, "b", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, dim);
  tess_graph_mark_output (other, tess_graph_add (other, a, b, &error));
  g_assert_no_error (error);
  g_assert_null (cuda->prepare (NULL, other, &requirements, &error)); /* not placed */
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_true (tess_graph_place (other, &error));
  tess_graph_op (other, 0)->kind = TESS_N_OPS; /* of a later time */
  g_assert_null (cuda->prepare (NULL, other, &requirements, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, tess_op_name (TESS_N_OPS)));
}

/* Every case of the shared table is taken, and what it needs is known without a device. */
static void
test_prepare_all (void)
{
  const TessBackendIface *cuda = find_cuda ();

  for (guint i = 0; cuda != NULL && i < op_table_n (); i++)
    for (guint bf16 = 0; bf16 < 2; bf16++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TessGraph) graph = op_table_build (i, bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32, &error);
      TessRequirements requirements;
      TessProgram *program = cuda->prepare (NULL, graph, &requirements, &error);

      g_assert_no_error (error);
      g_assert_cmpuint (requirements.workspace, >, 0);
      cuda->program_free (program);
    }
}

static void
test_copies (void)
{
  const TessBackendIface *cuda = find_cuda ();
  g_autoptr (GError) error = NULL;
  TessDevice *device = cuda ? open_device (cuda) : NULL;
  guint8 up[1000], down[1000];

  if (!device)
    return;
  TessBuffer *buffer = cuda->buffer_new (device, sizeof up, &error);
  g_assert_no_error (error);
  g_assert_null (cuda->buffer_host (buffer));
  memset (down, 1, sizeof down);
  g_assert_true (cuda->download (buffer, 0, down, sizeof down, &error));
  for (guint i = 0; i < sizeof down; i++)
    g_assert_cmpuint (down[i], ==, 0);
  for (guint i = 0; i < sizeof up; i++)
    up[i] = (guint8)(i * 37 + i / 251);
  g_assert_true (cuda->upload (buffer, 0, up, sizeof up, &error));
  g_assert_true (cuda->upload (buffer, 501, up, 17, &error));
  g_assert_true (cuda->download (buffer, 0, down, sizeof down, &error));
  g_assert_cmpmem (down, 501, up, 501);
  g_assert_cmpmem (down + 501, 17, up, 17);
  g_assert_cmpmem (down + 518, sizeof down - 518, up + 518, sizeof up - 518);

  g_assert_false (cuda->upload (buffer, 990, up, 11, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_false (cuda->download (buffer, G_MAXSIZE, down, 2, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  g_clear_error (&error);
  g_assert_null (cuda->buffer_new (device, (gsize)1 << 50, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  cuda->buffer_free (buffer);
  cuda->close (device);
}

static void
run_on (const TessBackendIface *cuda, TessDevice *device, gint64 width, float slope)
{
  g_autoptr (GError) error = NULL;
  TessBuffer *buffers[TESS_N_ARENAS] = {NULL};
  TessRequirements requirements;
  TessStepArgs args = {.param_version = 1};
  TessId x, y;
  g_autoptr (TessGraph) graph = leaky_graph (width, slope, &x, &y);
  const TessTensor *tx = tess_graph_tensor (graph, x), *ty = tess_graph_tensor (graph, y);
  guint8 **arenas = ref_arenas_new (graph);
  gsize n = (gsize)tess_tensor_n_elements (tx);

  for (gsize i = 0; i < n; i++)
    ref_set (tx, arenas, i, (double)(float)sin (0.7 * (double)i) * 3.0);
  TessProgram *program = cuda->prepare (device, graph, &requirements, &error);
  g_assert_no_error (error);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    if (requirements.arena[a]) {
      buffers[a] = cuda->buffer_new (device, requirements.arena[a], &error);
      g_assert_no_error (error);
    }
  g_assert_true (cuda->bind (program, buffers, &error));
  g_assert_true (cuda->upload (buffers[tx->arena], tx->offset, arenas[tx->arena] + tx->offset, tx->bytes, &error));
  g_assert_true (cuda->run (program, &args, &error));
  g_assert_no_error (error);
  g_autofree float *out = g_malloc (ty->bytes);
  g_assert_true (cuda->download (buffers[ty->arena], ty->offset, out, ty->bytes, &error));

  g_assert_true (ref_run (graph, arenas, &args, &error));
  for (gsize i = 0; i < n; i++)
    g_assert_cmpfloat_with_epsilon ((double)out[i], ref_get (ty, arenas, i), 1e-6);
  cuda->program_free (program);
  for (guint a = 0; a < TESS_N_ARENAS; a++)
    cuda->buffer_free (buffers[a]);
  ref_arenas_free (arenas);
}

/* Against the reference; widths with and without a ragged end of the vector loads. */
static void
test_leaky_relu (void)
{
  const TessBackendIface *cuda = find_cuda ();
  TessDevice *device = cuda ? open_device (cuda) : NULL;

  if (!device)
    return;
  run_on (cuda, device, 7, 0.01f);
  run_on (cuda, device, 8, 0.25f);
  run_on (cuda, device, 1, 0.0f);
  cuda->close (device);
}

/* The shared libraries a file needs, by the dynamic loader's own word. */
static char *
needed_libraries (const char *path)
{
  g_autoptr (GError) error = NULL;
  const char *argv[] = {"ldd", path, NULL};
  char *out = NULL;
  int status = 0;

  g_spawn_sync (NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, NULL, &status, &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_check_wait_status (status, &error));
  g_assert_nonnull (strstr (out, "libc.so"));
  return out;
}

/* The program links no CUDA library, and the plugin needs none to be loaded. */
static void
test_links (void)
{
  static const char *const libraries[] = {"libcuda", "libcudnn", "libcublas", "libnccl", "libnvrtc"};
  const char *files[] = {g_getenv ("TESSERA_TEST_CLI"), g_getenv ("TESSERA_TEST_CUDA_PLUGIN")};

  for (guint f = 0; f < G_N_ELEMENTS (files); f++) {
    if (!files[f] || !*files[f])
      continue;
    g_autofree char *needed = needed_libraries (files[f]);
    for (guint i = 0; i < G_N_ELEMENTS (libraries); i++)
      g_assert_null (strstr (needed, libraries[i]));
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  tess_backend_register (tess_cpu_backend ());
  g_test_add_func ("/cuda/loads", test_loads);
  g_test_add_func ("/cuda/other-host-refused", test_other_host);
  g_test_add_func ("/cuda/other-plugin-refused", test_other_plugin);
  g_test_add_func ("/cuda/no-plugin", test_no_plugin);
  g_test_add_func ("/cuda/devices", test_devices);
  g_test_add_func ("/cuda/auto", test_auto);
  g_test_add_func ("/cuda/prepare", test_prepare);
  g_test_add_func ("/cuda/prepare-all", test_prepare_all);
  g_test_add_func ("/cuda/copies", test_copies);
  g_test_add_func ("/cuda/leaky-relu", test_leaky_relu);
  g_test_add_func ("/cuda/links", test_links);
  return g_test_run ();
}
