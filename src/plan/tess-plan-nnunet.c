#include "tess-plan-nnunet.h"
#include "tess-plan-private.h"

#include <string.h>

/* nnU-Net v2's plans (documentation/explanation_plans_files.md, nnunetv2/utilities/plans_handling). Its axes are z, y,
 * x of the voxels as they are stored, turned by transpose_forward; ours are x, y, z. */

#define MAX_PARENTS 8

typedef struct {
  TessPlan *plan;
  JsonObject *plans, *configuration, *dataset;
  const char *name, *origin;
  guint axes[3];
  guint n_axes; /* 3, or 2 where it sees single slices across its axis 0 */
  GError **error;
} Import;

/* What this program does not do; `key` and `value` as they stand in the file. */
static gboolean
refuse (Import *m, const char *key, const char *value)
{
  g_set_error (m->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
               _ ("%s: nnU-Net's configuration %s asks for \"%s\": %s, which this program does not have; use nnU-Net "
                  "itself for this model"),
               m->origin, m->name, key, value);
  return FALSE;
}

static gboolean
wrong (Import *m, const char *key)
{
  g_set_error (m->error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"%s\" of nnU-Net's plans is missing or not as nnU-Net writes it; give its own, unchanged file"),
               m->origin, key);
  return FALSE;
}

/* The member as nnU-Net would print it, for a message. */
static char *
member_text (JsonObject *o, const char *key)
{
  g_autofree char *text = tess_json_to_text (json_object_get_member (o, key), FALSE);

  if (g_utf8_strlen (text, -1) > 40) {
    g_autofree char *start = g_utf8_substring (text, 0, 40);

    return g_strconcat (start, "...", NULL);
  }
  return g_steal_pointer (&text);
}

static gboolean
absent (JsonObject *o, const char *key)
{
  return !json_object_has_member (o, key) || json_object_get_null_member (o, key);
}

/* Absent, or one of these names ("a|b"), a class also with its module before it; else refused. */
static gboolean
expect_text (Import *m, JsonObject *o, const char *key, const char *names)
{
  g_auto (GStrv) known = g_strsplit (names, "|", -1);
  const char *text = NULL;

  if (!tess_json_string_opt (o, m->origin, key, &text, m->error))
    return FALSE;
  if (!text)
    return TRUE;
  for (guint i = 0; known[i]; i++) {
    const char *dot = strrchr (text, '.');

    if (strcmp (dot ? dot + 1 : text, known[i]) == 0)
      return TRUE;
  }
  return refuse (m, key, text);
}

static gboolean
expect_bool (Import *m, JsonObject *o, const char *key, gboolean wanted)
{
  gboolean value = wanted;

  return tess_json_bool_opt (o, m->origin, key, &value, m->error) &&
         (value == wanted || refuse (m, key, value ? "true" : "false"));
}

/* A configuration with what it inherits. */
static JsonObject *
resolve (JsonObject *all, const char *name, const char *origin, guint depth, GError **error)
{
  g_autoptr (JsonObject) own = NULL;
  JsonObject *child = NULL;
  const char *parent = NULL;
  g_autoptr (GList) names = NULL;

  if (!json_object_has_member (all, name)) {
    g_autoptr (GList) known = json_object_get_members (all);
    g_autoptr (GString) list = g_string_new (NULL);

    for (GList *l = known; l; l = l->next)
      g_string_append_printf (list, "%s%s", l == known ? "" : ", ", (const char *)l->data);
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: nnU-Net's plans have no configuration %s; there are: %s"), origin, name, list->str);
    return NULL;
  }
  if (!tess_json_object (all, origin, name, &child, error) ||
      !tess_json_string_opt (child, origin, "inherits_from", &parent, error))
    return NULL;
  if (parent && depth == MAX_PARENTS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: nnU-Net's configuration %s inherits from too many others, or from itself; give nnU-Net's own, "
                    "unchanged file"),
                 origin, name);
    return NULL;
  }
  own = parent ? resolve (all, parent, origin, depth + 1, error) : json_object_new ();
  if (!own)
    return NULL;
  names = json_object_get_members (child);
  for (GList *l = names; l; l = l->next)
    json_object_set_member (own, l->data, json_object_dup_member (child, l->data));
  return g_steal_pointer (&own);
}

static gboolean
read_axes (Import *m)
{
  gint64 axes[3] = {0, 1, 2};
  gboolean seen[3] = {FALSE, FALSE, FALSE};

  if (!absent (m->plans, "transpose_forward") &&
      !tess_json_ints (m->plans, m->origin, "transpose_forward", 0, 2, axes, 3, m->error))
    return FALSE;
  for (guint i = 0; i < 3; i++) {
    m->axes[i] = (guint)axes[i];
    seen[axes[i]] = TRUE;
  }
  return (seen[0] && seen[1] && seen[2]) || wrong (m, "transpose_forward");
}

/* Their axis i is our axis (x, y, z). */
static guint
our_axis (const Import *m, guint i)
{
  return 2 - m->axes[i];
}

/* Across its slices a 2D configuration has no spacing; the scans' median is what most of them have. */
static gboolean
read_slices (Import *m, double spacing[3])
{
  TessPlan *plan = m->plan;
  double median[3];

  if (!tess_json_doubles (m->plans, m->origin, "original_median_spacing_after_transp", median, 3, m->error))
    return FALSE;
  spacing[0] = median[0];
  plan->network.slice_axis = 1 + our_axis (m, 0);
  plan->augmentation.mirror_probability[our_axis (m, 0)] = 0.0;
  tess_plan_add_reason (plan, _ ("nnU-Net leaves the slices of a scan as they lie; here they are sampled %g mm apart"),
                        median[0]);
  return TRUE;
}

/* nnU-Net turns a patch of slices within them, little where it is long, and thins it out only there; a flat patch as
 * well. */
static void
set_flat_augmentation (Import *m, const gint64 voxels[3])
{
  gint64 larger = MAX (voxels[1], voxels[2]), smaller = MIN (voxels[1], voxels[2]);
  double degrees = m->n_axes == 2 && 2 * larger > 3 * smaller ? 15.0 : 180.0;

  if (m->n_axes != 2 && larger <= 3 * voxels[0])
    return;
  m->plan->augmentation.low_resolution_lower[our_axis (m, 0)] = 1.0;
  for (guint i = 0; i < 3; i++)
    m->plan->augmentation.rotation_degrees[our_axis (m, i)] = i == 0 ? degrees : 0.0;
}

static gboolean
read_grid (Import *m)
{
  JsonArray *patch = NULL;
  gint64 voxels[3] = {1};
  double spacing[3];
  guint first;

  if (!tess_json_array (m->configuration, m->origin, "patch_size", &patch, m->error))
    return FALSE;
  m->n_axes = json_array_get_length (patch) == 2 ? 2 : 3;
  first = 3 - m->n_axes;
  if (!tess_json_ints (m->configuration, m->origin, "patch_size", 1, TESS_PLAN_MAX_PATCH, voxels + first, m->n_axes,
                       m->error) ||
      !tess_json_doubles (m->configuration, m->origin, "spacing", spacing + first, m->n_axes, m->error) ||
      (m->n_axes == 2 && !read_slices (m, spacing)))
    return FALSE;
  for (guint i = 0; i < 3; i++) {
    m->plan->patch[our_axis (m, i)] = voxels[i];
    m->plan->spacing[our_axis (m, i)] = spacing[i];
  }
  set_flat_augmentation (m, voxels);
  return TRUE;
}

/* Numbers of the dataset's foreground, of channel c. */
static gboolean
read_intensities (Import *m, guint c, TessPlanChannel *channel)
{
  const char *key = !absent (m->plans, "foreground_intensity_properties_per_channel")
                        ? "foreground_intensity_properties_per_channel"
                        : "foreground_intensity_properties_by_modality"; /* until 2.2 */
  g_autofree char *number = g_strdup_printf ("%u", c);
  JsonObject *all = NULL, *o = NULL;

  if (channel->norm != TESS_NORM_CT)
    return TRUE;
  return tess_json_object (m->plans, m->origin, key, &all, m->error) &&
         tess_json_object (all, m->origin, number, &o, m->error) &&
         tess_json_double (o, m->origin, "percentile_00_5", &channel->lower, m->error) &&
         tess_json_double (o, m->origin, "percentile_99_5", &channel->upper, m->error) &&
         tess_json_double (o, m->origin, "mean", &channel->mean, m->error) &&
         tess_json_double (o, m->origin, "std", &channel->std, m->error);
}

static const char *
text_element (JsonArray *array, guint i)
{
  JsonNode *node = i < json_array_get_length (array) ? json_array_get_element (array, i) : NULL;

  return node && JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING
             ? json_node_get_string (node)
             : NULL;
}

static gboolean
read_channel (Import *m, JsonObject *names, JsonArray *schemes, guint c)
{
  static const struct {
    const char *name;
    TessNormScheme norm;
  } known[] = {{"ZScoreNormalization", TESS_NORM_ZSCORE},
               {"CTNormalization", TESS_NORM_CT},
               {"NoNormalization", TESS_NORM_NONE}};
  const char *scheme = text_element (schemes, c), *name = NULL;
  g_autofree char *number = g_strdup_printf ("%u", c);

  if (!scheme)
    return wrong (m, "normalization_schemes");
  if (!tess_json_string (names, m->origin, number, &name, m->error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (known); i++)
    if (strcmp (scheme, known[i].name) == 0) {
      tess_plan_add_channel (m->plan, name, known[i].norm);
      return read_intensities (m, c, &m->plan->channels[c]);
    }
  return refuse (m, "normalization_schemes", scheme);
}

static gboolean
read_channels (Import *m)
{
  const char *key =
      absent (m->dataset, "channel_names") && !absent (m->dataset, "modality") ? "modality" : "channel_names";
  JsonObject *names = NULL;
  JsonArray *schemes = NULL, *masks = NULL;
  guint n;

  if (!tess_json_object (m->dataset, m->origin, key, &names, m->error) ||
      !tess_json_array (m->configuration, m->origin, "normalization_schemes", &schemes, m->error) ||
      !tess_json_array_opt (m->configuration, m->origin, "use_mask_for_norm", &masks, m->error))
    return FALSE;
  n = json_array_get_length (schemes);
  if (n != json_object_get_size (names) || n == 0)
    return wrong (m, key);
  if (n > TESS_MAX_CHANNELS) {
    g_set_error (m->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has %u channels; at most %d can be used"),
                 m->origin, n, TESS_MAX_CHANNELS);
    return FALSE;
  }
  for (guint c = 0; c < n; c++)
    if (!read_channel (m, names, schemes, c))
      return FALSE;
  for (guint c = 0; masks && c < json_array_get_length (masks); c++) {
    JsonNode *node = json_array_get_element (masks, c);

    if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_BOOLEAN)
      return wrong (m, "use_mask_for_norm");
    if (json_node_get_boolean (node))
      return refuse (m, "use_mask_for_norm", "true");
  }
  return TRUE;
}

static gboolean
read_regions (Import *m)
{
  g_auto (GStrv) names = NULL;
  guint n_labels;

  if (!tess_regions_from_json (m->dataset, m->origin, &m->plan->regions, &m->plan->n_regions, &n_labels, m->error))
    return FALSE;
  names = tess_region_label_names (m->plan->regions, m->plan->n_regions, n_labels);
  for (guint i = 0; i < n_labels; i++)
    tess_plan_add_label (m->plan, names[i], i);
  m->plan->training.loss = TESS_PLAN_LOSS_DICE_BCE;
  return TRUE;
}

/* The class of every label name; the one called "ignore" has none. */
static gboolean
read_labels (Import *m)
{
  const char *by_value[TESS_MAX_LABELS] = {NULL};
  g_autoptr (GList) names = NULL;
  JsonObject *labels = NULL;
  guint n = 0;

  if (!tess_json_object (m->dataset, m->origin, "labels", &labels, m->error))
    return FALSE;
  if (tess_regions_in_json (labels))
    return read_regions (m) &&
           tess_ignore_from_json (labels, m->origin, m->plan->n_labels, &m->plan->ignore_label, m->error);
  names = json_object_get_members (labels);
  for (GList *l = names; l; l = l->next) {
    g_autofree char *text = member_text (labels, l->data);
    gint64 value = 0;

    if (JSON_NODE_HOLDS_ARRAY (json_object_get_member (labels, l->data)))
      return refuse (m, "labels", text); /* a list of one: not what nnU-Net writes */
    if (!tess_json_int (labels, m->origin, l->data, 0, TESS_MAX_LABELS, &value, m->error))
      return FALSE;
    if (strcmp (l->data, "ignore") == 0)
      continue;
    if (value >= TESS_MAX_LABELS || by_value[value])
      return wrong (m, "labels");
    by_value[value] = l->data;
    n++;
  }
  for (guint i = 0; i < n; i++) {
    if (!by_value[i])
      return wrong (m, "labels");
    tess_plan_add_label (m->plan, by_value[i], i);
  }
  return tess_ignore_from_json (labels, m->origin, n, &m->plan->ignore_label, m->error);
}

static gboolean
int_of_node (JsonNode *node, gint64 *value)
{
  if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_INT64)
    return FALSE;
  *value = json_node_get_int (node);
  return *value >= 0 && *value <= TESS_PLAN_MAX_FEATURES;
}

/* n numbers, or one for all. */
static gboolean
read_counts (Import *m, JsonObject *o, const char *key, guint n, gint64 *out)
{
  JsonNode *node = json_object_get_member (o, key);
  gboolean array = node && JSON_NODE_HOLDS_ARRAY (node);

  if (!node || (array && json_array_get_length (json_node_get_array (node)) != n))
    return wrong (m, key);
  for (guint s = 0; s < n; s++)
    if (!int_of_node (array ? json_array_get_element (json_node_get_array (node), s) : node, &out[s]))
      return wrong (m, key);
  return TRUE;
}

/* n triples, or pairs of slices, in their axes' order. */
static gboolean
read_triples (Import *m, JsonObject *o, const char *key, guint n, gint64 (*out)[3])
{
  JsonArray *array = NULL;

  if (!tess_json_array (o, m->origin, key, &array, m->error))
    return FALSE;
  if (json_array_get_length (array) != n)
    return wrong (m, key);
  for (guint s = 0; s < n; s++) {
    JsonNode *node = json_array_get_element (array, s);

    if (!JSON_NODE_HOLDS_ARRAY (node) || json_array_get_length (json_node_get_array (node)) != m->n_axes)
      return wrong (m, key);
    out[s][our_axis (m, 0)] = 1; /* of slices */
    for (guint i = 0; i < m->n_axes; i++)
      if (!int_of_node (json_array_get_element (json_node_get_array (node), i),
                        &out[s][our_axis (m, 3 - m->n_axes + i)]))
        return wrong (m, key);
  }
  return TRUE;
}

static gboolean
read_stages (Import *m, JsonObject *o, const char *kernels, const char *strides, const char *convs)
{
  JsonArray *array = NULL;
  guint n;

  if (!tess_json_array (o, m->origin, kernels, &array, m->error))
    return FALSE;
  n = json_array_get_length (array);
  if (n < 2 || n > TESS_MAX_STAGES) {
    g_set_error (m->error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: its network has %u stages; 2 to %d can be used"),
                 m->origin, n, TESS_MAX_STAGES);
    return FALSE;
  }
  m->plan->network.n_stages = n;
  memset (m->plan->network.convs_decoder, 0, sizeof m->plan->network.convs_decoder);
  for (guint s = 0; s < TESS_MAX_STAGES; s++)
    m->plan->network.features[s] = m->plan->network.convs_encoder[s] = 0;
  return read_triples (m, o, kernels, n, m->plan->network.kernel) &&
         read_triples (m, o, strides, n, m->plan->network.stride) &&
         read_counts (m, o, convs, n, m->plan->network.convs_encoder) &&
         read_counts (m, o, "n_conv_per_stage_decoder", n - 1, m->plan->network.convs_decoder);
}

static gboolean
read_class (Import *m, JsonObject *o, const char *key)
{
  const char *name = NULL;

  if (!expect_text (m, o, key, "PlainConvUNet|ResidualEncoderUNet") ||
      !tess_json_string (o, m->origin, key, &name, m->error))
    return FALSE;
  m->plan->network.architecture =
      g_str_has_suffix (name, "ResidualEncoderUNet") ? TESS_PLAN_RESIDUAL_UNET : TESS_PLAN_PLAIN_UNET;
  return TRUE;
}

/* Until 2.2 plans held these few numbers, and the rest was as it is by default. */
static gboolean
read_old_network (Import *m)
{
  gint64 base = 32, most = 320;

  if (absent (m->configuration, "UNet_class_name"))
    return wrong (m, "architecture");
  if (!read_class (m, m->configuration, "UNet_class_name") ||
      !tess_json_int (m->configuration, m->origin, "UNet_base_num_features", 1, TESS_PLAN_MAX_FEATURES, &base,
                      m->error) ||
      !tess_json_int (m->configuration, m->origin, "unet_max_num_features", 1, TESS_PLAN_MAX_FEATURES, &most,
                      m->error) ||
      !read_stages (m, m->configuration, "conv_kernel_sizes", "pool_op_kernel_sizes", "n_conv_per_stage_encoder"))
    return FALSE;
  for (guint s = 0; s < m->plan->network.n_stages; s++)
    m->plan->network.features[s] = MIN (base << s, most);
  return TRUE;
}

static gboolean
residual (const Import *m)
{
  return m->plan->network.architecture == TESS_PLAN_RESIDUAL_UNET;
}

static gboolean
read_stem (Import *m, JsonObject *o)
{
  return !residual (m) || tess_json_int_opt (o, m->origin, "stem_channels", 1, TESS_PLAN_MAX_FEATURES,
                                             &m->plan->network.stem_features, m->error);
}

/* Arguments of the network's class that change what it computes. */
static gboolean
check_arguments (Import *m, JsonObject *o)
{
  JsonObject *norm = NULL, *nonlin = NULL;

  if (!expect_text (m, o, "conv_op", m->n_axes == 2 ? "Conv2d" : "Conv3d") ||
      !expect_text (m, o, "norm_op", m->n_axes == 2 ? "InstanceNorm2d" : "InstanceNorm3d") ||
      !expect_text (m, o, "block", "BasicBlockD") || !expect_text (m, o, "nonlin", "LeakyReLU") ||
      !expect_text (m, o, "dropout_op", "None") || !expect_bool (m, o, "conv_bias", TRUE) ||
      !expect_bool (m, o, "nonlin_first", FALSE))
    return FALSE;
  if (absent (o, "norm_op") || absent (o, "nonlin") || absent (o, "conv_op"))
    return wrong (m, absent (o, "norm_op") ? "norm_op" : absent (o, "nonlin") ? "nonlin" : "conv_op");
  if (!tess_json_object_opt (o, m->origin, "norm_op_kwargs", &norm, m->error) ||
      !tess_json_object_opt (o, m->origin, "nonlin_kwargs", &nonlin, m->error))
    return FALSE;
  if (!norm || absent (norm, "affine")) /* PyTorch's own default is a norm without parameters */
    return wrong (m, "norm_op_kwargs");
  return expect_bool (m, norm, "affine", TRUE) && expect_bool (m, norm, "track_running_stats", FALSE) &&
         tess_json_double_opt (norm, m->origin, "eps", &m->plan->network.norm_eps, m->error) &&
         (!nonlin ||
          tess_json_double_opt (nonlin, m->origin, "negative_slope", &m->plan->network.leaky_slope, m->error));
}

static gboolean
read_network (Import *m)
{
  JsonObject *architecture = NULL, *o = NULL;

  if (absent (m->configuration, "architecture"))
    return read_old_network (m);
  return tess_json_object (m->configuration, m->origin, "architecture", &architecture, m->error) &&
         (!absent (architecture, "network_class_name") || wrong (m, "network_class_name")) &&
         read_class (m, architecture, "network_class_name") &&
         tess_json_object (architecture, m->origin, "arch_kwargs", &o, m->error) && check_arguments (m, o) &&
         read_stem (m, o) &&
         read_stages (m, o, "kernel_sizes", "strides", residual (m) ? "n_blocks_per_stage" : "n_conv_per_stage") &&
         read_counts (m, o, "features_per_stage", m->plan->network.n_stages, m->plan->network.features);
}

/* What makes nnU-Net see scans in another way than this program does. */
static gboolean
check_preparation (Import *m)
{
  return expect_text (m, m->configuration, "previous_stage", "None") &&
         expect_text (m, m->configuration, "preprocessor_name", "DefaultPreprocessor") &&
         expect_text (m, m->configuration, "resampling_fn_data",
                      "resample_data_or_seg_to_shape|resample_torch_fornnunet|resample_torch_simple") &&
         expect_text (m, m->plans, "image_reader_writer", "SimpleITKIO|NibabelIO|Tiff3DIO") &&
         expect_text (m, m->plans, "label_manager", "LabelManager");
}

static gboolean
note_differences (Import *m)
{
  JsonObject *o = NULL;
  const char *function = NULL;
  gint64 order = 3;
  gboolean zscore = FALSE;

  if (!tess_json_string_opt (m->configuration, m->origin, "resampling_fn_data", &function, m->error) ||
      !tess_json_object_opt (m->configuration, m->origin, "resampling_fn_data_kwargs", &o, m->error) ||
      (o && !tess_json_int_opt (o, m->origin, "order", 0, 5, &order, m->error)))
    return FALSE;
  if ((!function || !g_str_has_prefix (function, "resample_torch")) && order > 1)
    tess_plan_add_reason (
        m->plan, _ ("nnU-Net resamples scans to this spacing with cubic splines; here they are sampled linearly"));
  for (guint c = 0; c < m->plan->n_channels; c++)
    zscore = zscore || m->plan->channels[c].norm == TESS_NORM_ZSCORE;
  if (zscore)
    tess_plan_add_reason (m->plan,
                          _ ("nnU-Net takes mean and deviation of a scan without its empty (zero) border; here "
                             "they are of the whole scan"));
  return TRUE;
}

static gboolean
read_training (Import *m)
{
  const char *name = NULL;

  if (!tess_json_int_opt (m->configuration, m->origin, "batch_size", 1, 4096, &m->plan->training.batch_size,
                          m->error) ||
      !tess_json_bool_opt (m->configuration, m->origin, "batch_dice", &m->plan->training.batch_dice, m->error) ||
      !tess_json_string_opt (m->plans, m->origin, "dataset_name", &name, m->error))
    return FALSE;
  g_free (m->plan->dataset_name);
  m->plan->dataset_name = g_strdup (name ? name : "");
  return TRUE;
}

/**
 * tess_plan_from_nnunet:
 * @plans: what plans.json (or a checkpoint's init_args) holds
 * @configuration: its name; what it inherits is resolved
 * @dataset: what dataset.json holds
 * @origin: for messages
 * @axes: (out): see the header
 *
 * Both forms of plans are read: with "architecture" (since 2.3.1) and without. Taken over: channels with their
 * normalisation and the dataset's intensities, labels (an "ignore" label has no class), spacing, patch, network, batch.
 * A 2D configuration becomes a network of single slices across nnU-Net's axis 0.
 *
 * Returns: (transfer full): a validated plan, or NULL: UNSUPPORTED (cascades, other networks,
 * normalisations within a mask, readers that turn scans ...: named), FORMAT (damaged), or what validation says.
 */
TessPlan *
tess_plan_from_nnunet (JsonObject *plans, const char *configuration, JsonObject *dataset, const char *origin,
                       guint axes[3], GError **error)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  g_autoptr (JsonObject) resolved = NULL;
  JsonObject *all = NULL;
  Import m = {.plan = plan, .plans = plans, .dataset = dataset, .name = configuration, .origin = origin};

  m.error = error;
  if (!tess_json_object (plans, origin, "configurations", &all, error))
    return NULL;
  resolved = m.configuration = resolve (all, configuration, origin, 0, error);
  if (!resolved || !read_axes (&m) || !read_grid (&m) || !check_preparation (&m) || !read_network (&m) ||
      !read_channels (&m) || !read_labels (&m) || !read_training (&m) || !note_differences (&m) ||
      !tess_plan_validate (plan, origin, error))
    return NULL;
  memcpy (axes, m.axes, sizeof m.axes);
  return g_steal_pointer (&plan);
}
