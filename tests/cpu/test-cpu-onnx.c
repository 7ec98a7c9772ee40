#include "hashed.h"
#include "op-run.h"
#include "parity.h"
#include "ref.h"
#include "specs.h"
#include "tess-cpu-backend.h"
#include "tess-json.h"
#include "tess-onnx.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

/* Networks written as ONNX files and run by onnxruntime (tests/reference/onnx_logits.py). The script kept every file's
 * SHA-256 and some of its logits; here the same files are made again and the CPU backend's logits compared. So a change
 * of the writer is noticed, and onnxruntime must be asked again.
 *
 * With TESSERA_ONNX_DIR the files are left in that folder, for the script. */

/* Of about unit gain; scales are powers of two, so that every machine gets the same bits. */
static void
fill_param (const TessTensor *t, float *values)
{
  gint64 n = tess_tensor_n_elements (t);
  double scale = 0.125, shift = 0;

  if (t->n_dims > 1) {
    gint64 fan = n / t->dim[0];

    for (scale = 1; scale * scale * (double)fan > 3; scale /= 2)
      ;
  } else if (strstr (t->name, "norm") && g_str_has_suffix (t->name, ".weight")) {
    shift = 1;
  }
  for (gint64 i = 0; i < n; i++)
    values[i] = (float)(hashed_uniform (t->name, (guint32)i) * scale + shift);
}

/* ---- the networks ---- */

static TessNetwork *
build (const TessNetworkSpec *spec, const gint64 dhw[3])
{
  TessProgramSpec program = {
      .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {dhw[0], dhw[1], dhw[2]}, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (GError) error = NULL;
  TessNetwork *network = tess_network_build (spec, &program, &error);

  g_assert_no_error (error);
  return network;
}

static TessId
parameter (TessGraph *g, const char *name, guint n_dims, gint64 a, gint64 b, int k)
{
  const gint64 dim[5] = {a, b, k, k, k};

  return tess_graph_param (g, name, n_dims, dim, 0);
}

/* Every op and option that none of the networks has, on odd sizes. */
static TessNetwork *
build_ops (void)
{
  const gint64 image[5] = {1, 6, 7, 9, 2}, start[3] = {-2, 1, 0}, cut[3] = {9, 5, 4}, large[3] = {13, 8, 9};
  const gint64 larger[3] = {13, 9, 17};
  const TessConvAttr wide = {{3, 3, 3}, {1, 2, 1}, {2, 2, 1}, {1, 0, 0}}, up = {{4, 4, 4}, {2, 2, 2}, {1, 1, 1}, {0}};
  const TessConvAttr one = {{1, 1, 1}, {1, 1, 1}, {0}, {0}}, mean = {{2, 1, 3}, {2, 1, 2}, {0}, {0}};
  const TessNormAttr norm = {.eps = 0.1f, .slope = 0.0f, .eps_on_std = TRUE}, bare = {.eps = 1e-3f, .slope = 1.0f};
  const int pairs[3] = {1, 2, 2};
  TessNetwork *network = g_new0 (TessNetwork, 1);
  TessGraph *g = network->graph = tess_graph_new (TESS_DTYPE_F32);
  TessId x, y, z;
  g_autoptr (GError) error = NULL;
  GError **e = &error;

  network->labels = TESS_NONE;
  network->image = x = tess_graph_add_tensor (g, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, image);
  x = tess_graph_conv (g, x, parameter (g, "wide.weight", 5, 4, 2, 3), parameter (g, "wide.bias", 1, 4, 0, 0), &wide,
                       TESS_DTYPE_F32, e);
  x = tess_graph_act (g, x, TESS_ACT_PRELU, 0, parameter (g, "prelu.weight", 1, 4, 0, 0), e);
  x = tess_graph_conv_transpose (g, x, parameter (g, "up.weight", 5, 4, 3, 4), TESS_NONE, &up, e);
  x = tess_graph_act (g, x, TESS_ACT_GELU, 0, TESS_NONE, e);
  x = tess_graph_norm_act (g, x, parameter (g, "norm1.weight", 1, 3, 0, 0), parameter (g, "norm1.bias", 1, 3, 0, 0),
                           &norm, e);
  x = tess_graph_max_pool (g, x, pairs, e);
  x = tess_graph_act (g, x, TESS_ACT_ELU, 0, TESS_NONE, e);
  x = tess_graph_avg_pool (g, x, &mean, e);
  x = tess_graph_window (g, x, start, cut, e);
  x = tess_graph_resize (g, x, large, TRUE, e);
  x = tess_graph_resize (g, x, larger, FALSE, e);
  y = tess_graph_conv (g, x, parameter (g, "gate.weight", 5, 1, 3, 1), TESS_NONE, &one, TESS_DTYPE_F32, e);
  y = tess_graph_mul (g, x, tess_graph_act (g, y, TESS_ACT_SIGMOID, 0, TESS_NONE, e), e);
  z = tess_graph_mul (g, y, tess_graph_global_pool (g, x, e), e);
  z = tess_graph_norm_act (g, z, parameter (g, "norm2.weight", 1, 3, 0, 0), parameter (g, "norm2.bias", 1, 3, 0, 0),
                           &bare, e);
  z = tess_graph_leaky_relu (g, tess_graph_add (g, z, x, e), 0.2f, e);
  z = tess_graph_concat (g, z, tess_graph_add_act (g, y, x, 0.1f, e), e);
  z = tess_graph_conv (g, z, parameter (g, "head.weight", 5, 2, 6, 1), parameter (g, "head.bias", 1, 2, 0, 0), &one,
                       TESS_DTYPE_F32, e);
  g_assert_no_error (error);
  network->logits[0] = z;
  network->n_heads = 1;
  tess_graph_mark_output (g, z);
  g_assert_true (tess_graph_place (g, e));
  return network;
}

typedef struct {
  const char *name;
  TessNetworkSpec spec;
  gint64 dhw[3];
} Case;

/* Besides those of parity.c; "ops" has no spec. */
static const Case cases[] = {
    {"meshnet",
     {.architecture = TESS_NETWORK_MESHNET,
      .n_channels = 1,
      .n_classes = 3,
      .features = {5},
      .n_layers = 5,
      .dilation = {1, 2, 4, 2, 1}},
     {14, 12, 10}},
    {"ingradient",
     {SPEC_INGRADIENT, .n_stages = 3, .n_channels = 2, .n_classes = 3, .features = {4, 6, 8}},
     {8, 12, 16}},
    {"se_residual",
     {SPEC_SE_RESIDUAL, .n_stages = 4, .n_channels = 2, .n_classes = 3, .features = {8}, .se_ratio = 4,
      .attention_gate = TRUE},
     {13, 17, 14}},
    {"cased", {.architecture = TESS_NETWORK_CASED, .n_channels = 1, .n_classes = 2}, {68, 68, 76}},
    {"ops", {0}, {6, 7, 9}},
};

static guint
n_cases (void)
{
  return parity_n () + G_N_ELEMENTS (cases);
}

static const char *
case_name (guint i)
{
  return i < parity_n () ? parity_name (i) : cases[i - parity_n ()].name;
}

static TessNetwork *
case_network (guint i, guint *slice_axis)
{
  TessNetworkSpec spec;
  gint64 dhw[3];

  *slice_axis = 0;
  if (strcmp (case_name (i), "ops") == 0)
    return build_ops ();
  if (i < parity_n ()) {
    parity_spec (i, &spec, dhw);
    *slice_axis = spec.slice_axis;
    return build (&spec, dhw);
  }
  return build (&cases[i - parity_n ()].spec, cases[i - parity_n ()].dhw);
}

/* ---- the file and the logits ---- */

static const void *
get_param (const TessTensor *t, gpointer arena)
{
  return (guint8 *)arena + t->offset;
}

static guint8 **
filled_arenas (const TessNetwork *network)
{
  guint8 **arenas = ref_arenas_new (network->graph);
  const TessTensor *image = tess_graph_tensor (network->graph, network->image);

  for (TessId id = 0; id < network->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (network->graph, id);

    if (t->role == TESS_ROLE_PARAM)
      fill_param (t, (float *)(gpointer)(arenas[TESS_ARENA_PARAM] + t->offset));
  }
  for (gint64 i = 0; i < tess_tensor_n_elements (image); i++)
    ((float *)(gpointer)(arenas[TESS_ARENA_IO] + image->offset))[i] = (float)hashed_uniform ("image", (guint32)i);
  return arenas;
}

static char *
write_file (guint i, const TessNetwork *network, guint slice_axis, guint8 **arenas, const char *folder)
{
  const gint64 *dim = tess_graph_tensor (network->graph, network->image)->dim;
  g_autofree char *base = g_strconcat (case_name (i), ".onnx", NULL);
  g_autofree char *patch = g_strdup_printf ("%d,%d,%d,%d", (int)dim[1], (int)dim[2], (int)dim[3], (int)slice_axis);
  char *path = g_build_filename (folder, base, NULL);
  g_autoptr (GError) error = NULL;

  tess_onnx_save (network, slice_axis, get_param, arenas[TESS_ARENA_PARAM],
                  (const char *const[]){"patch", patch, "name", case_name (i), NULL}, path, &error);
  g_assert_no_error (error);
  return path;
}

static JsonNode *
read_expected (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "onnx_logits.json", NULL);
  g_autoptr (GError) error = NULL;
  JsonNode *root = tess_json_load (path, &error);

  g_assert_no_error (error);
  return root;
}

static void
check_file (const char *path, JsonObject *wanted)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *bytes = NULL, *sum = NULL;
  gsize n;

  g_assert_true (g_file_get_contents (path, &bytes, &n, &error));
  g_assert_no_error (error);
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guint8 *)bytes, n);
  if (strcmp (sum, json_object_get_string_member (wanted, "sha256")) != 0)
    g_error ("%s: these are no longer the bytes onnxruntime was given; run tests/reference/onnx_logits.py again", path);
}

static void
test_case (gconstpointer data)
{
  guint i = GPOINTER_TO_UINT (data), slice_axis;
  g_autoptr (TessNetwork) network = case_network (i, &slice_axis);
  g_autoptr (JsonNode) root = read_expected ();
  JsonObject *wanted = json_object_get_object_member (json_node_get_object (root), case_name (i));
  JsonArray *samples = json_object_get_array_member (wanted, "samples");
  guint8 **arenas = filled_arenas (network);
  const TessTensor *t = tess_graph_tensor (network->graph, network->logits[0]);
  double largest = json_object_get_double_member (wanted, "largest"), worst = 0;
  g_autofree char *folder = g_dir_make_tmp ("tessera-onnx-XXXXXX", NULL);
  g_autofree char *path = write_file (i, network, slice_axis, arenas, folder);
  gsize n = (gsize)tess_tensor_n_elements (t);
  TessStepArgs args = {0};
  const float *logits;

  check_file (path, wanted);
  g_remove (path);
  g_rmdir (folder);
  op_run_graph (tess_cpu_backend (), network->graph, 2, arenas, &args);
  logits = (const float *)(gpointer)(arenas[TESS_ARENA_IO] + t->offset);
  g_assert_cmpint (json_object_get_int_member (wanted, "n"), ==, n);
  g_assert_cmpuint (json_array_get_length (samples), >=, MIN (n, 64));
  g_assert_cmpfloat (largest, >, 0.1);
  for (guint k = 0; k < json_array_get_length (samples); k++)
    worst =
        MAX (worst, fabs ((double)logits[k * (gsize)7919 % n] - json_array_get_double_element (samples, k)) / largest);
  g_test_message ("%s: largest difference %.2g", case_name (i), worst);
  g_assert_cmpfloat (worst, <, 1e-4);
  ref_arenas_free (arenas);
}

/* What training has besides, and what is larger than protocol buffers can be; neither leaves a file. */
static void
test_refused (void)
{
  TessNetworkSpec spec = {.architecture = TESS_NETWORK_MESHNET,
                          .n_channels = 1024,
                          .n_classes = 2,
                          .features = {8192},
                          .n_layers = 2,
                          .dilation = {1, 1}};
  const gint64 small[3] = {1, 1, 1}, image[5] = {1, 4, 4, 4, 1};
  g_autofree char *folder = g_dir_make_tmp ("tessera-onnx-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (folder, "large.onnx", NULL);
  g_autoptr (TessNetwork) large = build (&spec, small), other = g_new0 (TessNetwork, 1);
  g_autoptr (GError) error = NULL;

  g_assert_false (tess_onnx_save (large, 0, get_param, NULL, (const char *const[]){NULL}, path, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "2 GB"));
  g_clear_error (&error);
  other->graph = tess_graph_new (TESS_DTYPE_F32);
  other->labels = TESS_NONE;
  other->image = tess_graph_add_tensor (other->graph, "image", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, image);
  other->logits[0] = tess_graph_label_resize (other->graph, other->image, small, &error);
  g_assert_false (tess_onnx_save (other, 0, get_param, NULL, (const char *const[]){NULL}, path, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, "label-resize"));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_cmpint (g_rmdir (folder), ==, 0);
}

int
main (int argc, char *argv[])
{
  const char *folder = g_getenv ("TESSERA_ONNX_DIR");

  g_test_init (&argc, &argv, NULL);
  for (guint i = 0; folder && i < n_cases (); i++) {
    guint slice_axis;
    g_autoptr (TessNetwork) network = case_network (i, &slice_axis);
    guint8 **arenas = filled_arenas (network);

    g_free (write_file (i, network, slice_axis, arenas, folder));
    ref_arenas_free (arenas);
  }
  if (folder)
    return 0;
  for (guint i = 0; i < n_cases (); i++) {
    g_autofree char *path = g_strdup_printf ("/cpu/onnx/%s", case_name (i));

    g_test_add_data_func (path, GUINT_TO_POINTER (i), test_case);
  }
  g_test_add_func ("/cpu/onnx/refused", test_refused);
  return g_test_run ();
}
