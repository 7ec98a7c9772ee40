/* A model as an ONNX file: the network, and as its metadata what has to be done before and after it. */

#include "tess-model-private.h"

#include "tess-onnx.h"
#include "tess-planner.h"

#include <string.h>

static const void *
get_param (const TessTensor *param, gpointer model)
{
  return tess_model_find (model, param->name)->data;
}

/* Numbers over x, y, z as text in the file's order, z, y, x, without the axis that slices lack. */
static char *
axes_text (const TessPlan *plan, const double xyz[3])
{
  GString *text = g_string_new (NULL);

  for (guint a = 3; a-- > 0;)
    if (plan->network.slice_axis != a + 1) {
      char number[G_ASCII_DTOSTR_BUF_SIZE];

      g_string_append_printf (text, "%s%s", text->len ? "," : "", g_ascii_dtostr (number, sizeof number, xyz[a]));
    }
  return g_string_free (text, FALSE);
}

static char *
axis_names (const TessPlan *plan)
{
  GString *text = g_string_new ("N,C");

  for (guint a = 3; a-- > 0;)
    if (plan->network.slice_axis != a + 1)
      g_string_append_printf (text, ",%c", "xyz"[a]);
  return g_string_free (text, FALSE);
}

/* {"0": "background", ...}: of every channel of the logits. */
static char *
classes_text (const TessPlan *plan)
{
  g_autoptr (JsonNode) root = json_node_new (JSON_NODE_OBJECT);
  JsonObject *classes = json_object_new ();
  guint first = tess_plan_is_sigmoid (plan) ? 1 : 0; /* score 0 stands for the mean, and label 0 for the background */

  for (guint i = 0; i < tess_plan_n_outputs (plan); i++) {
    g_autofree char *number = g_strdup_printf ("%u", i);

    json_object_set_string_member (classes, number, tess_plan_score_name (plan, i + first));
  }
  json_node_take_object (root, classes);
  return tess_json_to_text (root, FALSE);
}

/* What the plan says of its channels. */
static char *
normalisation_text (const TessPlan *plan)
{
  g_autoptr (JsonNode) root = tess_plan_to_json (plan);

  return tess_json_to_text (json_object_get_member (json_node_get_object (root), "channels"), FALSE);
}

/**
 * tess_model_export_onnx:
 *
 * Beside the network the file's metadata holds "axes", "patch" and "spacing_mm" (both in the order of the axes),
 * "classes" (of the logits' channels), "activation" (softmax or sigmoid, which the file leaves to the reader),
 * "normalisation" and "tessera.plan", texts and JSON.
 *
 * Returns: FALSE with UNSUPPORTED or IO, see tess_onnx_save().
 */
gboolean
tess_model_export_onnx (TessModel *model, const TessNetwork *network, const char *path, GError **error)
{
  const TessPlan *plan = model->plan;
  const double patch[3] = {(double)plan->patch[0], (double)plan->patch[1], (double)plan->patch[2]};
  g_autofree char *axes = axis_names (plan), *size = axes_text (plan, patch);
  g_autofree char *spacing = axes_text (plan, plan->spacing), *classes = classes_text (plan);
  g_autofree char *normalisation = normalisation_text (plan), *text = tess_plan_to_text (plan);
  const char *const properties[] = {"axes",
                                    axes,
                                    "patch",
                                    size,
                                    "spacing_mm",
                                    spacing,
                                    "classes",
                                    classes,
                                    "activation",
                                    tess_plan_is_sigmoid (plan) ? "sigmoid" : "softmax",
                                    "normalisation",
                                    normalisation,
                                    TESS_MODEL_KEY_PLAN,
                                    text,
                                    NULL};
  TessNetworkSpec spec;

  tess_plan_network_spec (plan, &spec);
  return tess_onnx_save (network, spec.slice_axis, get_param, model, properties, path, error);
}
