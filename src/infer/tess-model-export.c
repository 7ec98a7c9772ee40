/* A model's parameters for other programs, and other programs' as a model of this one. */

#include "tess-model-private.h"

#include "tess-torch-file.h"

#include <string.h>

const TessSafetensor *
tess_model_find (TessModel *model, const char *name)
{
  return model->file ? tess_safetensors_find (model->file, name) : g_hash_table_lookup (model->tensors, name);
}

/* A convolution's block ends with its norm: it has all of its tensors (the bias of a block past others is none) once
 * more, in order. */
static void
add_block_again (TessModel *model, TessTorchWriter *writer, const char *prefix, const char *last)
{
  static const char *const names[][2] = {
      {"conv.weight", "0.weight"}, {"conv.bias", "0.bias"}, {"norm.weight", "1.weight"}, {"norm.bias", "1.bias"}};
  gsize n = strlen (last) - strlen ("norm.bias");

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *own = g_strdup_printf ("%.*s%s", (int)n, last, names[i][0]);
    g_autofree char *of = g_strconcat (prefix, own, NULL);
    g_autofree char *name = g_strdup_printf ("%s%.*sall_modules.%s", prefix, (int)n, last, names[i][1]);

    if (tess_model_find (model, own))
      tess_torch_writer_alias (writer, name, of);
  }
}

/* The decoder of nnU-Net's U-Nets holds the encoder, and so do its names. */
static void
add_encoder_again (TessModel *model, TessTorchWriter *writer, GPtrArray *names)
{
  for (guint i = 0; i < names->len && g_str_has_prefix (names->pdata[i], "encoder."); i++) {
    g_autofree char *name = g_strconcat ("decoder.", names->pdata[i], NULL);

    tess_torch_writer_alias (writer, name, names->pdata[i]);
    if (g_str_has_suffix (name, ".norm.bias"))
      add_block_again (model, writer, "decoder.", names->pdata[i]);
  }
}

static gboolean
export_torch (TessModel *model, GPtrArray *names, const char *path, GError **error)
{
  g_autoptr (TessTorchWriter) writer = tess_torch_writer_new ();
  gboolean encoder = TRUE;

  for (guint i = 0; i < names->len; i++) {
    const char *name = names->pdata[i];
    const TessSafetensor *t = tess_model_find (model, name);

    if (encoder && !g_str_has_prefix (name, "encoder.")) {
      add_encoder_again (model, writer, names);
      encoder = FALSE;
    }
    tess_torch_writer_add (writer, name, t->n_dims, t->dim, t->data);
    if (g_str_has_suffix (name, ".norm.bias"))
      add_block_again (model, writer, "", name);
  }
  return tess_torch_writer_save (writer, path, error);
}

static gboolean
export_safetensors (TessModel *model, GPtrArray *names, const char *path, GError **error)
{
  g_autoptr (TessSafetensorsWriter) writer = tess_safetensors_writer_new ();
  g_autofree char *plan = tess_plan_to_text (model->plan);

  tess_safetensors_writer_metadata (writer, "format", "pt");
  tess_safetensors_writer_metadata (writer, TESS_MODEL_KEY_PLAN, plan);
  for (guint i = 0; i < names->len; i++) {
    const TessSafetensor *t = tess_model_find (model, names->pdata[i]);

    tess_safetensors_writer_add (writer, names->pdata[i], t->dtype, t->n_dims, t->dim, t->data);
  }
  return tess_safetensors_writer_save (writer, path, error);
}

/**
 * tess_model_export:
 * @path: .safetensors, .pth, .pt or .onnx; not the model's own file
 *
 * As .safetensors: a model of this program, plan and parameters. As .pth: what `torch.load (FILE, weights_only=True)`
 * gives to `load_state_dict` of dynamic_network_architectures' PlainConvUNet or ResidualEncoderUNet, with all its names
 * in its order; names of one tensor share one storage. The plan is not in it. As .onnx: see tess_model_export_onnx().
 *
 * Returns: FALSE with IO or UNSUPPORTED (another ending).
 */
gboolean
tess_model_export (TessModel *model, const char *path, GError **error)
{
  g_autoptr (TessNetwork) network = NULL;
  g_autoptr (GPtrArray) names = g_ptr_array_new ();
  g_autofree char *lower = g_ascii_strdown (path, -1);
  gboolean onnx = g_str_has_suffix (lower, ".onnx"), own = g_str_has_suffix (lower, ".safetensors");

  if (!onnx && !own && !g_str_has_suffix (lower, ".pth") && !g_str_has_suffix (lower, ".pt")) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: a model is written as .safetensors, as .pth for PyTorch or as .onnx; choose one of these "
                    "endings"),
                 path);
    return FALSE;
  }
  network = tess_model_build_network (model, error);
  if (!network)
    return FALSE;
  if (onnx)
    return tess_model_export_onnx (model, network, path, error);
  for (guint i = 0; i < network->graph->tensors->len; i++) {
    const TessTensor *t = tess_graph_tensor (network->graph, i);

    if (t->role == TESS_ROLE_PARAM)
      g_ptr_array_add (names, (gpointer)t->name);
  }
  return own ? export_safetensors (model, names, path, error) : export_torch (model, names, path, error);
}
