#include "tess-cli.h"
#include "tess-format.h"
#include "tess-format-registry.h"
#include "tess-label-file.h"
#include "tess-model.h"
#include "tess-nrrd.h"
#include "tess-planner.h"
#include "tess-resample.h"

#include <inttypes.h>
#include <stdio.h>

static JsonNode *
summary_json (const char *in, const char *out, TessVolume *volume)
{
  const gint64 *dim = tess_volume_dim (volume);
  g_autofree char *in_name = g_filename_display_name (in), *out_name = g_filename_display_name (out);
  JsonObject *object = json_object_new ();
  JsonArray *dims = json_array_new ();
  JsonNode *root = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (object, "input", in_name);
  json_object_set_string_member (object, "output", out_name);
  json_object_set_string_member (object, "format", tess_format_for_path (out, NULL)->id);
  for (int k = 0; k < 3; k++)
    json_array_add_int_element (dims, dim[k]);
  json_object_set_array_member (object, "dims", dims);
  json_object_set_int_member (object, "channels", tess_volume_n_channels (volume));
  json_object_set_string_member (object, "dtype", tess_dtype_name (tess_volume_dtype (volume)));
  json_node_take_object (root, object);
  return root;
}

/* A trained model for PyTorch or as ONNX, or nnU-Net's checkpoint as a model of this program. */
static int
convert_model (TessCli *cli, const char *in, const char *dilation, const char *out)
{
  const char *const inputs[] = {in, NULL};
  g_autofree char *in_name = g_filename_display_name (in), *out_name = g_filename_display_name (out);
  g_autoptr (TessModel) model = NULL;
  TessNetworkSpec spec;
  GError *error = NULL;
  gint64 n;

  if (!tess_cli_check_output (out, inputs, &error))
    return tess_cli_fail (error);
  model = tess_cli_load_model (in, dilation, &error);
  if (!model || !tess_model_export (model, out, &error))
    return tess_cli_fail (error);
  if (!model->file) /* another program's: how results may differ from its own */
    tess_cli_note_lines (cli, model->plan->reasons);
  tess_plan_network_spec (model->plan, &spec);
  n = tess_network_n_parameters (&spec);
  if (cli->json) {
    JsonObject *object = json_object_new ();
    JsonNode *root = json_node_new (JSON_NODE_OBJECT);

    json_object_set_string_member (object, "input", in_name);
    json_object_set_string_member (object, "output", out_name);
    json_object_set_int_member (object, "parameters", n);
    json_node_take_object (root, object);
    tess_cli_print_json (root);
  } else {
    printf (_ ("%s: a network of %" PRId64 " parameters\n"), out_name, n);
  }
  return 0;
}

/* Puts the volume on axes at right angles; FALSE with an error that names the file. */
static gboolean
make_upright (TessCli *cli, const char *path, TessVolume **volume, GError **error)
{
  g_autofree char *name = g_filename_display_name (path);
  TessProgress *progress = tess_cli_progress (cli, _ ("Making upright"));
  TessVolume *upright = tess_volume_upright (*volume, progress, error);

  tess_cli_progress_end (progress);
  if (!upright) {
    if (error && (*error)->code != TESS_ERROR_CANCELLED)
      g_prefix_error (error, "%s: ", name);
    return FALSE;
  }
  if (upright == *volume)
    tess_cli_note (cli, _ ("%s: its axes are at right angles already; nothing was resampled"), name);
  tess_volume_unref (*volume);
  *volume = upright;
  return TRUE;
}

int
tess_cmd_convert (TessCli *cli, int argc, char **argv)
{
  g_autoptr (TessVolume) volume = NULL;
  const char *const none[] = {NULL}; /* a scan may be written over by itself: nothing of it is lost */
  g_autofree char *dilation = NULL;
  const TessFormat *format;
  TessProgress *progress;
  GError *error = NULL;
  gboolean done, upright = FALSE, labels = FALSE;
  const GOptionEntry options[] = {{"upright", 0, 0, G_OPTION_ARG_NONE, &upright,
                                   N_ ("resample a sheared scan (gantry tilt) to axes at right angles"), NULL},
                                  {"labels", 0, 0, G_OPTION_ARG_NONE, &labels,
                                   N_ ("IN holds labels: values are not mixed when it is resampled"), NULL},
                                  {"dilation", 0, 0, G_OPTION_ARG_STRING, &dilation,
                                   N_ ("of a MeshNet from PyTorch, whose file does not hold them: one number a layer"),
                                   "1,2,4,..."},
                                  {NULL}};
  int code;

  if (!tess_cli_parse (
          cli, &argc, &argv, options, "IN OUT",
          _ ("Writes the volume IN as OUT; the ending of OUT chooses the format. Values and geometry are kept. A model "
             "is written as .safetensors, as .pth for PyTorch, or as .onnx."),
          2, 2, &code))
    return code;
  if (tess_model_is_named (argv[1]))
    return convert_model (cli, argv[1], dilation, argv[2]);
  format = tess_format_for_path (argv[2], &error); /* known before a long read */
  if (!format || !tess_cli_check_output (argv[2], none, &error))
    return tess_cli_fail (error);
  progress = tess_cli_progress (cli, _ ("Reading"));
  volume = tess_volume_load (argv[1], progress, &error);
  tess_cli_progress_end (progress);
  if (!volume)
    return tess_cli_fail (error);
  if (labels || tess_nrrd_is_segmentation (argv[2]))
    tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_label_file_attach (volume, argv[1]); /* their names go with the labels */
  if (upright && !make_upright (cli, argv[1], &volume, &error))
    return tess_cli_fail (error);
  progress = tess_cli_progress (cli, _ ("Writing"));
  done = tess_volume_save (volume, argv[2], progress, &error);
  tess_cli_progress_end (progress);
  if (!done)
    return tess_cli_fail (error);
  if (cli->json) {
    tess_cli_print_json (summary_json (argv[1], argv[2], volume));
  } else {
    g_autofree char *dims = tess_format_dims (tess_volume_dim (volume), 3);
    g_autofree char *name = g_filename_display_name (argv[2]);

    printf (_ ("%s: %s voxels, %s, written as %s\n"), name, dims, tess_dtype_name (tess_volume_dtype (volume)),
            format->name);
  }
  return 0;
}
