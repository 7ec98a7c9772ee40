/* Models of nnU-Net v1 (branch nnunetv1, 1.7): NAME.model holds the weights of its Generic_UNet, NAME.model.pkl beside
 * it the plans. The plans are put into version 2's words and read as those are; the weights keep their places under
 * other names. What differs: the decoder has the kernels of the resolution below, and neither transposed convolutions
 * nor heads have a bias. */

#include "tess-model-private.h"

#include "tess-numpy.h"
#include "tess-plan-nnunet.h"

#include <stdio.h>
#include <string.h>

#define MAX_PICKLE ((gsize)64 << 20)
#define CONFIGURATION "stage"
#define MAX_FEATURES_3D 320
#define MAX_FEATURES_2D 480

gboolean
tess_model_is_nnunet1 (TessTorchFile *file)
{
  return tess_torch_file_n (file) > 0 && g_str_has_prefix (tess_torch_file_nth (file, 0)->name, "conv_blocks_");
}

/* ---- names of weights ---- */

/* conv.weight -> conv.weight, norm.weight -> instnorm.weight */
static char *
block_name (const char *stages, guint stage, guint part, guint block, const char *last)
{
  const char *inst = g_str_has_prefix (last, "norm.") ? "inst" : "";

  return part == G_MAXUINT ? g_strdup_printf ("%s.%u.blocks.%u.%s%s", stages, stage, block, inst, last)
                           : g_strdup_printf ("%s.%u.%u.blocks.%u.%s%s", stages, stage, part, block, inst, last);
}

/* Where a stage ends with a block of its own: {blocks but the last, the last}. */
static char *
parted_name (const char *stages, guint stage, guint block, gint64 n_blocks, const char *last)
{
  gboolean end = block + 1 == n_blocks;

  return block_name (stages, stage, end ? 1 : 0, end ? 0 : block, last);
}

char *
tess_model_nnunet1_name (const TessPlan *plan, const char *name)
{
  guint stage, block;
  int at = 0;

  if (sscanf (name, "encoder.stages.%u.0.convs.%u.%n", &stage, &block, &at) == 2 && at > 0)
    return stage + 1 < plan->network.n_stages
               ? block_name ("conv_blocks_context", stage, G_MAXUINT, block, name + at)
               : parted_name ("conv_blocks_context", stage, block, plan->network.convs_encoder[stage], name + at);
  if (sscanf (name, "decoder.stages.%u.convs.%u.%n", &stage, &block, &at) == 2 && at > 0)
    return parted_name ("conv_blocks_localization", stage, block, plan->network.convs_decoder[stage], name + at);
  if (g_str_has_prefix (name, "decoder.transpconvs."))
    return g_strconcat ("tu.", name + strlen ("decoder.transpconvs."), NULL);
  if (g_str_has_prefix (name, "decoder.seg_layers."))
    return g_strconcat ("seg_outputs.", name + strlen ("decoder.seg_layers."), NULL);
  return g_strdup (name);
}

gboolean
tess_model_nnunet1_lacks (TessTorchFile *file, const char *name)
{
  return tess_model_is_nnunet1 (file) && g_str_has_suffix (name, ".bias") &&
         (g_str_has_prefix (name, "decoder.transpconvs.") || g_str_has_prefix (name, "decoder.seg_layers."));
}

/* ---- plans ---- */

typedef struct {
  const char *origin;              /* the .pkl */
  JsonObject *plans, *stage;       /* version 1's */
  JsonArray *init;                 /* arguments of its trainer */
  JsonObject *out, *configuration; /* version 2's */
  guint n_axes, shift; /* of init: the trainer for several GPUs has one more in front of what is read here */
  GError **error;
} Import;

static gboolean
wrong (Import *m, const char *key)
{
  g_set_error (m->error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"%s\" of nnU-Net's plans is missing or not as nnU-Net writes it; give its own, unchanged file"),
               m->origin, key);
  return FALSE;
}

/* Trainers whose network computes something else with weights of the same names and shapes, or whose result is
 * something else. Those with other weights are found by these. */
static gboolean
check_trainer (Import *m, JsonObject *root)
{
  static const char *const others[] = {"Cascade", "Regions", "ReLU", "GeLU", "Mish", "_GN", "_FRN", "Resenc"};
  const char *name;

  if (!tess_json_string (root, m->origin, "name", &name, m->error))
    return FALSE;
  m->shift = strstr (name, "DDP") ? 1 : 0;
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    if (strstr (name, others[i])) {
      g_set_error (
          m->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
          _ ("%s: nnU-Net v1 trained this model with %s, whose network this program does not have; use nnU-Net "
             "itself for this model"),
          m->origin, name);
      return FALSE;
    }
  return TRUE;
}

/* The trainer's sixth argument says which; it may be left out where there is but one. */
static gboolean
find_stage (Import *m)
{
  JsonObject *all = NULL;
  g_autoptr (GList) names = NULL;
  g_autofree char *number = NULL;
  guint at = 5 + m->shift;
  JsonNode *node = json_array_get_length (m->init) > at ? json_array_get_element (m->init, at) : NULL;

  if (!tess_json_object (m->plans, m->origin, "plans_per_stage", &all, m->error))
    return FALSE;
  names = json_object_get_members (all);
  if (node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64)
    number = g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
  else if (g_list_length (names) == 1)
    number = g_strdup (names->data);
  if (!number || !json_object_has_member (all, number))
    return wrong (m, "plans_per_stage");
  return tess_json_object (all, m->origin, number, &m->stage, m->error);
}

static gboolean
copy (Import *m, JsonObject *from, const char *key, JsonObject *to, const char *as)
{
  if (!json_object_has_member (from, key) || json_object_get_null_member (from, key))
    return wrong (m, key);
  json_object_set_member (to, as, json_object_dup_member (from, key));
  return TRUE;
}

static gboolean
read_grid (Import *m)
{
  JsonArray *patch = NULL, *within = json_array_new ();
  double spacing[3];

  json_object_set_array_member (m->configuration, "spacing", within);
  if (!tess_json_array (m->stage, m->origin, "patch_size", &patch, m->error) ||
      !tess_json_doubles (m->stage, m->origin, "current_spacing", spacing, 3, m->error))
    return FALSE;
  m->n_axes = json_array_get_length (patch) == 2 ? 2 : 3;
  for (guint i = 3 - m->n_axes; i < 3; i++)
    json_array_add_double_element (within, spacing[i]);
  json_object_set_member (m->out, "original_median_spacing_after_transp",
                          json_object_dup_member (m->stage, "current_spacing"));
  if (json_object_has_member (m->plans, "transpose_forward"))
    json_object_set_member (m->out, "transpose_forward", json_object_dup_member (m->plans, "transpose_forward"));
  return copy (m, m->stage, "patch_size", m->configuration, "patch_size") &&
         copy (m, m->stage, "batch_size", m->configuration, "batch_size");
}

/* Stages are halved by their own strides in version 2, by those before them in version 1. */
static gboolean
read_network (Import *m)
{
  JsonArray *pools = NULL, *strides = json_array_new (), *ones = json_array_new ();
  gint64 convs = 2;

  json_object_set_array_member (m->configuration, "pool_op_kernel_sizes", strides);
  json_array_add_array_element (strides, ones);
  for (guint i = 0; i < m->n_axes; i++)
    json_array_add_int_element (ones, 1);
  if (!tess_json_array (m->stage, m->origin, "pool_op_kernel_sizes", &pools, m->error) ||
      !tess_json_int_opt (m->plans, m->origin, "conv_per_stage", 2, 16, &convs, m->error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (pools); i++)
    json_array_add_element (strides, json_array_dup_element (pools, i));
  json_object_set_string_member (m->configuration, "UNet_class_name", "PlainConvUNet");
  json_object_set_int_member (m->configuration, "unet_max_num_features",
                              m->n_axes == 2 ? MAX_FEATURES_2D : MAX_FEATURES_3D);
  json_object_set_int_member (m->configuration, "n_conv_per_stage_encoder", convs);
  json_object_set_int_member (m->configuration, "n_conv_per_stage_decoder", convs);
  return copy (m, m->plans, "base_num_features", m->configuration, "UNet_base_num_features") &&
         copy (m, m->stage, "conv_kernel_sizes", m->configuration, "conv_kernel_sizes");
}

static const char *
scheme_name (const char *v1)
{
  static const char *const known[][2] = {{"CT", "CTNormalization"}, {"noNorm", "NoNormalization"}};

  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (strcmp (v1, known[i][0]) == 0)
      return known[i][1];
  return strcmp (v1, "CT2") == 0 ? v1 : "ZScoreNormalization"; /* "nonCT", "MR" and whatever else, as version 1 does */
}

/* "0" -> what there is of channel 0, and so on, as a list. */
static gboolean
read_channels (Import *m)
{
  JsonObject *schemes = NULL, *masks = NULL;
  JsonArray *names = json_array_new (), *within = json_array_new ();

  json_object_set_array_member (m->configuration, "normalization_schemes", names);
  json_object_set_array_member (m->configuration, "use_mask_for_norm", within);
  if (!tess_json_object (m->plans, m->origin, "normalization_schemes", &schemes, m->error) ||
      !tess_json_object_opt (m->plans, m->origin, "use_mask_for_norm", &masks, m->error))
    return FALSE;
  for (guint c = 0; c < json_object_get_size (schemes); c++) {
    g_autofree char *number = g_strdup_printf ("%u", c);
    gboolean mask = FALSE;
    const char *scheme;

    if (!tess_json_string (schemes, m->origin, number, &scheme, m->error) ||
        (masks && !tess_json_bool_opt (masks, m->origin, number, &mask, m->error)))
      return FALSE;
    json_array_add_string_element (names, scheme_name (scheme));
    json_array_add_boolean_element (within, mask);
  }
  return TRUE;
}

/* The same numbers, of which version 2 calls the deviation std. */
static gboolean
read_intensities (Import *m)
{
  JsonObject *properties = NULL, *all = NULL, *out = json_object_new ();
  g_autoptr (GList) names = NULL;

  json_object_set_object_member (m->out, "foreground_intensity_properties_per_channel", out);
  if (!tess_json_object (m->plans, m->origin, "dataset_properties", &properties, m->error) ||
      !tess_json_object_opt (properties, m->origin, "intensityproperties", &all, m->error))
    return FALSE;
  names = all ? json_object_get_members (all) : NULL;
  for (GList *l = names; l; l = l->next) {
    JsonObject *from = NULL, *to = json_object_new ();

    json_object_set_object_member (out, l->data, to);
    if (!tess_json_object (all, m->origin, l->data, &from, m->error) || !copy (m, from, "mean", to, "mean") ||
        !copy (m, from, "sd", to, "std") || !copy (m, from, "percentile_00_5", to, "percentile_00_5") ||
        !copy (m, from, "percentile_99_5", to, "percentile_99_5"))
      return FALSE;
  }
  return TRUE;
}

/* What version 2 has in dataset.json. Classes have no names in version 1's plans. */
static JsonObject *
read_dataset (Import *m)
{
  g_autoptr (JsonObject) dataset = json_object_new ();
  JsonObject *labels = json_object_new ();
  JsonArray *classes = NULL;

  json_object_set_object_member (dataset, "labels", labels);
  json_object_set_int_member (labels, "background", 0);
  if (!tess_json_array (m->plans, m->origin, "all_classes", &classes, m->error) ||
      !copy (m, m->plans, "modalities", dataset, "channel_names"))
    return NULL;
  for (guint i = 0; i < json_array_get_length (classes); i++) {
    g_autofree char *name = g_strdup_printf ("class %u", i + 1);

    json_object_set_member (labels, name, json_array_dup_element (classes, i));
  }
  return g_steal_pointer (&dataset);
}

static void
read_dataset_name (Import *m)
{
  const char *folder = NULL;

  if (tess_json_string_opt (m->plans, m->origin, "preprocessed_data_folder", &folder, NULL) && folder && *folder) {
    g_autofree char *name = g_path_get_basename (folder);

    json_object_set_string_member (m->out, "dataset_name", name);
  }
}

/* Every decoder stage has the kernels of the resolution below it. */
static void
set_kernels (TessPlan *plan)
{
  guint n = plan->network.n_stages;
  gboolean same = TRUE;

  for (guint s = 1; s < n; s++)
    same = same && memcmp (plan->network.kernel[s], plan->network.kernel[0], sizeof plan->network.kernel[0]) == 0;
  for (guint u = 0; !same && u + 1 < n; u++)
    memcpy (plan->network.kernel_decoder[u], plan->network.kernel[n - 1 - u], sizeof plan->network.kernel[0]);
}

static TessPlan *
convert (Import *m, JsonObject *root, guint axes[3])
{
  g_autoptr (JsonObject) dataset = NULL;
  JsonObject *all = json_object_new ();
  TessPlan *plan;

  json_object_set_object_member (m->out, "configurations", all);
  json_object_set_object_member (all, CONFIGURATION, m->configuration);
  if (!check_trainer (m, root) || !tess_json_object (root, m->origin, "plans", &m->plans, m->error) ||
      !tess_json_array (root, m->origin, "init", &m->init, m->error) || !find_stage (m) || !read_grid (m) ||
      !read_network (m) || !read_channels (m) || !read_intensities (m))
    return NULL;
  if (json_array_get_length (m->init) > 4 + m->shift)
    json_object_set_member (m->configuration, "batch_dice", json_array_dup_element (m->init, 4 + m->shift));
  read_dataset_name (m);
  dataset = read_dataset (m);
  plan = dataset ? tess_plan_from_nnunet (m->out, CONFIGURATION, dataset, m->origin, axes, m->error) : NULL;
  if (!plan)
    return NULL;
  set_kernels (plan);
  if (strstr (json_object_get_string_member (root, "name"), "noMirroring"))
    memset (plan->augmentation.mirror_probability, 0, sizeof plan->augmentation.mirror_probability);
  else
    tess_plan_add_reason (plan, _ ("nnU-Net predicts the mean over mirrored copies of a scan; here predict --mirror "
                                   "does, and else each is seen once"));
  return plan;
}

/**
 * tess_model_read_nnunet1_plan:
 * @axes: (out): see tess_plan_from_nnunet()
 *
 * Returns: (transfer full): NULL with IO (FILE.pkl is not there), FORMAT (damaged, or not nnU-Net's) or UNSUPPORTED
 * (a trainer with another network, or a pickle that wants more than data: it is named).
 */
TessPlan *
tess_model_read_nnunet1_plan (TessTorchFile *file, guint axes[3], GError **error)
{
  g_autofree char *path = g_strconcat (tess_torch_file_path (file), ".pkl", NULL);
  const TessPickleRules rules = {.globals = tess_numpy_globals};
  g_autoptr (TessPickle) pickle = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autoptr (JsonObject) out = json_object_new ();
  Import m = {.origin = path, .out = out, .configuration = json_object_new ()};
  TessPlan *plan;

  m.error = error;
  if (!g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
    json_object_unref (m.configuration);
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 _ ("%s: was trained by nnU-Net v1, whose plans are in a file of their own; put %s beside it"),
                 tess_torch_file_path (file), path);
    return NULL;
  }
  pickle = tess_pickle_load (path, MAX_PICKLE, &rules, error);
  node = pickle ? tess_model_json_of_pickle (tess_pickle_root (pickle)) : NULL;
  if (node && JSON_NODE_HOLDS_OBJECT (node)) {
    plan = convert (&m, json_node_get_object (node), axes);
    return plan;
  }
  json_object_unref (m.configuration);
  if (pickle)
    wrong (&m, "plans");
  return NULL;
}
