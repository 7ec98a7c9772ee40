#include "tess-plan-private.h"

#include <inttypes.h>
#include <string.h>

/* What networks there are, and for each what a plan says of it: one row of the table at the end. */

#define SE_MAX_FEATURES 64
#define SE_MAX_RATIO 1024
#define MAX_NOISE 10
#define VALID_MARGIN 60 /* of CASED: voxels of the patch that have no logits, an axis */

static const char *const axis_names[3] = {"x", "y", "z"};

/* ---- U-Nets of nnU-Net's ---- */

static const char *
counts_name (const TessPlan *plan)
{
  return plan->network.architecture == TESS_PLAN_RESIDUAL_UNET ? "blocks" : "convs";
}

static gboolean
has_own_kernels (const TessPlan *plan)
{
  for (guint u = 0; u + 1 < plan->network.n_stages; u++)
    if (plan->network.kernel_decoder[u][0] > 0)
      return TRUE;
  return FALSE;
}

static void
write_kernels (const TessPlan *plan, JsonObject *network)
{
  JsonArray *kernels = json_array_new ();

  for (guint u = 0; u + 1 < plan->network.n_stages; u++)
    json_array_add_array_element (kernels, tess_plan_ints_array (plan->network.kernel_decoder[u], 3));
  json_object_set_array_member (network, "kernels_decoder", kernels);
}

static void
write_unet (const TessPlan *plan, JsonObject *network)
{
  JsonArray *stages = json_array_new ();
  guint n = plan->network.n_stages;

  if (plan->network.slice_axis > 0)
    json_object_set_string_member (network, "slice_axis", axis_names[plan->network.slice_axis - 1]);
  if (plan->network.architecture == TESS_PLAN_RESIDUAL_UNET && plan->network.stem_features > 0)
    json_object_set_int_member (network, "stem_features", plan->network.stem_features);
  for (guint s = 0; s < n; s++) {
    JsonObject *o = json_object_new ();

    json_object_set_int_member (o, "features", plan->network.features[s]);
    json_object_set_array_member (o, "kernel", tess_plan_ints_array (plan->network.kernel[s], 3));
    json_object_set_array_member (o, "stride", tess_plan_ints_array (plan->network.stride[s], 3));
    json_object_set_int_member (o, counts_name (plan), plan->network.convs_encoder[s]);
    json_array_add_object_element (stages, o);
  }
  json_object_set_array_member (network, "stages", stages);
  json_object_set_array_member (network, "convs_decoder",
                                tess_plan_ints_array (plan->network.convs_decoder, n > 0 ? n - 1 : 0));
  if (has_own_kernels (plan))
    write_kernels (plan, network);
}

static gboolean
read_slice_axis (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  const char *axis = NULL;

  if (!tess_json_string_opt (network, where, "slice_axis", &axis, error))
    return FALSE;
  for (guint i = 0; axis && i < 3; i++)
    if (strcmp (axis, axis_names[i]) == 0)
      plan->network.slice_axis = i + 1;
  if (!axis || plan->network.slice_axis > 0)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"slice_axis\" is \"%s\"; use x, y or z, or leave it out for a 3D network"), where, axis);
  return FALSE;
}

static gboolean
read_kernels (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  guint n = plan->network.n_stages - 1;
  JsonArray *kernels = NULL;

  if (!tess_json_array_opt (network, where, "kernels_decoder", &kernels, error))
    return FALSE;
  if (!kernels)
    return TRUE;
  if (!tess_plan_read_array (network, where, "kernels_decoder", n, n, &kernels, error))
    return FALSE;
  for (guint u = 0; u < n; u++) {
    g_autoptr (JsonObject) one = json_object_new (); /* an array inside an array has no name of its own */

    json_object_set_member (one, "kernels_decoder", json_array_dup_element (kernels, u));
    if (!tess_json_ints (one, where, "kernels_decoder", 1, TESS_PLAN_MAX_KERNEL, plan->network.kernel_decoder[u], 3,
                         error))
      return FALSE;
  }
  return TRUE;
}

static gboolean
read_unet (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  JsonArray *stages;
  guint n;

  if (!read_slice_axis (plan, network, where, error) ||
      !tess_json_int_opt (network, where, "stem_features", 0, TESS_PLAN_MAX_FEATURES, &plan->network.stem_features,
                          error) ||
      !tess_plan_read_array (network, where, "stages", 2, TESS_MAX_STAGES, &stages, error))
    return FALSE;
  plan->network.n_stages = n = json_array_get_length (stages);
  for (guint s = 0; s < n; s++) {
    g_autofree char *at = g_strdup_printf ("%s.stages[%u]", where, s);
    JsonObject *o = tess_plan_element (stages, s, where, "stages", error);

    if (!o || !tess_json_int (o, at, "features", 1, TESS_PLAN_MAX_FEATURES, &plan->network.features[s], error) ||
        !tess_json_ints (o, at, "kernel", 1, TESS_PLAN_MAX_KERNEL, plan->network.kernel[s], 3, error) ||
        !tess_json_ints (o, at, "stride", 1, TESS_PLAN_MAX_STRIDE, plan->network.stride[s], 3, error) ||
        !tess_json_int (o, at, counts_name (plan), 1, TESS_PLAN_MAX_CONVS, &plan->network.convs_encoder[s], error))
      return FALSE;
  }
  return tess_json_ints (network, where, "convs_decoder", 1, TESS_PLAN_MAX_CONVS, plan->network.convs_decoder, n - 1,
                         error) &&
         read_kernels (plan, network, where, error);
}

static gboolean
in_range (gint64 value, gint64 lo, gint64 hi, const char *what, guint stage, const char *origin, GError **error)
{
  if (value >= lo && value <= hi)
    return TRUE;
  g_set_error (
      error, TESS_ERROR, TESS_ERROR_FORMAT,
      _ ("%s: \"network.stages[%u]\": %s is %" PRId64 "; a whole number from %" PRId64 " to %" PRId64 " belongs there"),
      origin, stage, what, value, lo, hi);
  return FALSE;
}

static gboolean
validate_axis (const TessPlan *plan, guint s, guint a, const char *origin, GError **error)
{
  const gint64 *up = plan->network.kernel_decoder[s];
  gint64 k = plan->network.kernel[s][a], own = up[0] > 0 ? up[a] : 1;

  if (!in_range (k, 1, TESS_PLAN_MAX_KERNEL, "kernel", s, origin, error) ||
      !in_range (own, 1, TESS_PLAN_MAX_KERNEL, "kernels_decoder", s, origin, error) ||
      !in_range (plan->network.stride[s][a], 1, s == 0 ? 1 : TESS_PLAN_MAX_STRIDE, "stride", s, origin, error))
    return FALSE;
  if (plan->network.slice_axis == a + 1 && (k != 1 || own != 1 || plan->network.stride[s][a] != 1)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"network.stages[%u]\": kernel and stride along %c must be 1, because the network sees single "
                    "slices across it"),
                 origin, s, "xyz"[a]);
    return FALSE;
  }
  if (k % 2 == 0 || own % 2 == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"network.stages[%u]\": kernel %" PRId64 " is even; use 1, 3, 5 or 7"), origin, s,
                 k % 2 == 0 ? k : own);
    return FALSE;
  }
  return TRUE;
}

static gboolean
validate_stage (const TessPlan *plan, guint s, const char *origin, GError **error)
{
  if (!in_range (plan->network.features[s], 1, TESS_PLAN_MAX_FEATURES, "features", s, origin, error) ||
      !in_range (plan->network.convs_encoder[s], 1, TESS_PLAN_MAX_CONVS, counts_name (plan), s, origin, error))
    return FALSE;
  if (s + 1 < plan->network.n_stages &&
      !in_range (plan->network.convs_decoder[s], 1, TESS_PLAN_MAX_CONVS, "convs_decoder", s, origin, error))
    return FALSE;
  for (guint a = 0; a < 3; a++)
    if (!validate_axis (plan, s, a, origin, error))
      return FALSE;
  return TRUE;
}

static gboolean
validate_stages (const TessPlan *plan, const char *origin, GError **error)
{
  if (plan->network.n_stages >= 2 && plan->network.n_stages <= TESS_MAX_STAGES)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"network.stages\" has %u entries; give 2 to %d"), origin,
               plan->network.n_stages, TESS_MAX_STAGES);
  return FALSE;
}

/* Every axis of the patch a multiple of its divisor. */
static gboolean
validate_patch (const TessPlan *plan, const gint64 divisor[3], const char *origin, GError **error)
{
  for (guint a = 0; a < 3; a++)
    if (plan->patch[a] % divisor[a] != 0) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"patch\" is %" PRId64 " along %c, but the network halves it down to a multiple of "
                      "%" PRId64 "; use %" PRId64),
                   origin, plan->patch[a], "xyz"[a], divisor[a],
                   (plan->patch[a] + divisor[a] - 1) / divisor[a] * divisor[a]);
      return FALSE;
    }
  return TRUE;
}

static gboolean
validate_unet (const TessPlan *plan, const char *origin, GError **error)
{
  gint64 divisor[3] = {1, 1, 1};

  if (!validate_stages (plan, origin, error))
    return FALSE;
  for (guint s = 0; s < plan->network.n_stages; s++) {
    if (!validate_stage (plan, s, origin, error))
      return FALSE;
    for (guint a = 0; a < 3; a++)
      divisor[a] *= plan->network.stride[s][a]; /* at most 8^7: no overflow */
  }
  if (plan->network.slice_axis > 3 || plan->network.stem_features < 0 ||
      plan->network.stem_features > TESS_PLAN_MAX_FEATURES) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"network\" has an architecture, an axis of slices or a stem that cannot be; plan the dataset "
                    "again"),
                 origin);
    return FALSE;
  }
  if (plan->network.slice_axis > 0 && plan->patch[plan->network.slice_axis - 1] != 1) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"patch\" is %" PRId64 " along %c, but the network sees single slices across it; use 1"),
                 origin, plan->patch[plan->network.slice_axis - 1], "xyz"[plan->network.slice_axis - 1]);
    return FALSE;
  }
  return validate_patch (plan, divisor, origin, error);
}

/* ---- what is random in training ---- */

static gboolean
validate_chance (const TessPlan *plan, const char *origin, GError **error)
{
  if (plan->network.dropout >= 0 && plan->network.dropout < 1 && plan->network.noise >= 0 &&
      plan->network.noise <= MAX_NOISE)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"network\": \"dropout\" is a probability, at least 0 and below 1, and \"noise\" a standard "
                  "deviation from 0 to %d"),
               origin, MAX_NOISE);
  return FALSE;
}

/* ---- MeshNet ---- */

static void
write_meshnet (const TessPlan *plan, JsonObject *network)
{
  json_object_set_int_member (network, "features", plan->network.features[0]);
  json_object_set_array_member (network, "dilation",
                                tess_plan_ints_array (plan->network.dilation, plan->network.n_layers));
  json_object_set_double_member (network, "dropout", plan->network.dropout);
}

static gboolean
read_meshnet (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  JsonArray *dilation;

  plan->network.n_stages = 1;
  plan->network.deep_supervision = FALSE;
  if (!tess_plan_read_array (network, where, "dilation", 1, TESS_MAX_DILATIONS, &dilation, error))
    return FALSE;
  plan->network.n_layers = json_array_get_length (dilation);
  return tess_json_ints (network, where, "dilation", 1, TESS_PLAN_MAX_DILATION, plan->network.dilation,
                         plan->network.n_layers, error) &&
         tess_json_int (network, where, "features", 1, TESS_PLAN_MAX_FEATURES, &plan->network.features[0], error) &&
         tess_json_double_opt (network, where, "dropout", &plan->network.dropout, error);
}

static gboolean
validate_meshnet (const TessPlan *plan, const char *origin, GError **error)
{
  gboolean good = plan->network.n_layers >= 1 && plan->network.n_layers <= TESS_MAX_DILATIONS &&
                  plan->network.features[0] >= 1 && plan->network.features[0] <= TESS_PLAN_MAX_FEATURES &&
                  !plan->network.deep_supervision;

  for (guint i = 0; good && i < plan->network.n_layers; i++)
    good = plan->network.dilation[i] >= 1 && plan->network.dilation[i] <= TESS_PLAN_MAX_DILATION;
  if (!good)
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"network\": a meshnet has 1 to %d dilations from 1 to %d, 1 to %d features and no deep "
                    "supervision"),
                 origin, TESS_MAX_DILATIONS, TESS_PLAN_MAX_DILATION, TESS_PLAN_MAX_FEATURES);
  return good && validate_chance (plan, origin, error);
}

/* ---- ingradient's U-Net: its plain one when there is no deep supervision ---- */

static void
write_ingradient (const TessPlan *plan, JsonObject *network)
{
  json_object_set_array_member (network, "features",
                                tess_plan_ints_array (plan->network.features, plan->network.n_stages));
  json_object_set_double_member (network, "dropout", plan->network.dropout);
}

static gboolean
read_ingradient (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  JsonArray *features;

  if (!tess_plan_read_array (network, where, "features", 2, TESS_MAX_STAGES, &features, error))
    return FALSE;
  plan->network.n_stages = json_array_get_length (features);
  return tess_json_ints (network, where, "features", 1, TESS_PLAN_MAX_FEATURES, plan->network.features,
                         plan->network.n_stages, error) &&
         tess_json_double_opt (network, where, "dropout", &plan->network.dropout, error);
}

static gboolean
validate_ingradient (const TessPlan *plan, const char *origin, GError **error)
{
  gint64 unit;

  if (!validate_stages (plan, origin, error) || !validate_chance (plan, origin, error))
    return FALSE;
  for (guint s = 0; s < plan->network.n_stages; s++)
    if (!in_range (plan->network.features[s], 1, TESS_PLAN_MAX_FEATURES, "features", s, origin, error))
      return FALSE;
  unit = G_GINT64_CONSTANT (1) << (plan->network.n_stages - 1);
  return validate_patch (plan, (const gint64[3]){unit, unit, unit}, origin, error);
}

/* ---- the residual network with squeeze and excitation ---- */

static void
write_se (const TessPlan *plan, JsonObject *network)
{
  json_object_set_int_member (network, "features", plan->network.features[0]);
  json_object_set_int_member (network, "depth", (gint64)plan->network.n_stages - 1);
  json_object_set_int_member (network, "se_ratio", plan->network.se_ratio);
  json_object_set_boolean_member (network, "attention_gate", plan->network.attention_gate);
  json_object_set_double_member (network, "noise", plan->network.noise);
}

static gboolean
read_se (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  gint64 depth;

  plan->network.deep_supervision = FALSE;
  plan->network.se_ratio = 16;
  if (!tess_json_int (network, where, "features", 1, SE_MAX_FEATURES, &plan->network.features[0], error) ||
      !tess_json_int (network, where, "depth", 1, TESS_MAX_STAGES - 1, &depth, error) ||
      !tess_json_int_opt (network, where, "se_ratio", 0, SE_MAX_RATIO, &plan->network.se_ratio, error) ||
      !tess_json_bool_opt (network, where, "attention_gate", &plan->network.attention_gate, error) ||
      !tess_json_double_opt (network, where, "noise", &plan->network.noise, error))
    return FALSE;
  plan->network.n_stages = (guint)depth + 1;
  return TRUE;
}

static gboolean
validate_se (const TessPlan *plan, const char *origin, GError **error)
{
  gint64 least;

  if (!validate_stages (plan, origin, error) || !validate_chance (plan, origin, error))
    return FALSE;
  least = G_GINT64_CONSTANT (1) << (plan->network.n_stages - 1);
  if (plan->network.features[0] >= 1 && plan->network.features[0] <= SE_MAX_FEATURES && plan->network.se_ratio >= 0 &&
      plan->network.se_ratio <= SE_MAX_RATIO && !plan->network.deep_supervision && plan->patch[0] >= least &&
      plan->patch[1] >= least && plan->patch[2] >= least)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"network\": an se-residual has 1 to %d features, a squeeze ratio of 0 to %d, no deep "
                  "supervision and, at this depth, a patch of at least %" PRId64 " voxels an axis"),
               origin, SE_MAX_FEATURES, SE_MAX_RATIO, least);
  return FALSE;
}

/* ---- CASED's network ---- */

static void
write_cased (const TessPlan *plan, JsonObject *network)
{
}

static gboolean
read_cased (TessPlan *plan, JsonObject *network, const char *where, GError **error)
{
  plan->network.n_stages = 4;
  plan->network.deep_supervision = FALSE;
  return TRUE;
}

static gboolean
validate_cased (const TessPlan *plan, const char *origin, GError **error)
{
  gboolean good = !plan->network.deep_supervision;

  for (guint a = 0; good && a < 3; a++)
    good = plan->patch[a] >= VALID_MARGIN + 8 && (plan->patch[a] - VALID_MARGIN) % 8 == 0;
  if (!good)
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"network\": a cased has no deep supervision and a patch of 68, 76, 84 ... voxels an axis, of "
                    "which all but %d get a result"),
                 origin, VALID_MARGIN);
  return good;
}

/* ---- the table ---- */

static const struct {
  const char *name;
  void (*write) (const TessPlan *plan, JsonObject *network);
  gboolean (*read) (TessPlan *plan, JsonObject *network, const char *where, GError **error);
  gboolean (*validate) (const TessPlan *plan, const char *origin, GError **error);
} architectures[TESS_PLAN_N_ARCHITECTURES] = {
    [TESS_PLAN_PLAIN_UNET] = {"plain-unet", write_unet, read_unet, validate_unet},
    [TESS_PLAN_RESIDUAL_UNET] = {"residual-unet", write_unet, read_unet, validate_unet},
    [TESS_PLAN_MESHNET] = {"meshnet", write_meshnet, read_meshnet, validate_meshnet},
    [TESS_PLAN_INGRADIENT] = {"ingradient-unet", write_ingradient, read_ingradient, validate_ingradient},
    [TESS_PLAN_SE_RESIDUAL] = {"se-residual", write_se, read_se, validate_se},
    [TESS_PLAN_CASED] = {"cased", write_cased, read_cased, validate_cased},
};

/* NULL: there is none of that number. */
const char *
tess_plan_architecture_name (TessPlanArchitecture architecture)
{
  return (guint)architecture < TESS_PLAN_N_ARCHITECTURES ? architectures[architecture].name : NULL;
}

gboolean
tess_plan_architecture_from_name (const char *name, TessPlanArchitecture *architecture)
{
  for (guint i = 0; i < TESS_PLAN_N_ARCHITECTURES; i++)
    if (strcmp (name, architectures[i].name) == 0) {
      *architecture = (TessPlanArchitecture)i;
      return TRUE;
    }
  return FALSE;
}

char *
tess_plan_architecture_names (void)
{
  GString *names = g_string_new (NULL);

  for (guint i = 0; i < TESS_PLAN_N_ARCHITECTURES; i++)
    g_string_append_printf (names, "%s%s", i ? ", " : "", architectures[i].name);
  return g_string_free (names, FALSE);
}

/* A new object. */
JsonObject *
tess_plan_write_network (const TessPlan *plan)
{
  JsonObject *network = json_object_new ();

  json_object_set_string_member (network, "architecture", architectures[plan->network.architecture].name);
  architectures[plan->network.architecture].write (plan, network);
  tess_plan_write_group (plan, "network", network);
  return network;
}

/* Forgets what the defaults or another architecture had. */
static void
clear_stages (TessPlan *plan)
{
  plan->network.slice_axis = 0;
  plan->network.stem_features = 0;
  memset (plan->network.features, 0, sizeof plan->network.features);
  memset (plan->network.kernel, 0, sizeof plan->network.kernel);
  memset (plan->network.stride, 0, sizeof plan->network.stride);
  memset (plan->network.convs_encoder, 0, sizeof plan->network.convs_encoder);
  memset (plan->network.convs_decoder, 0, sizeof plan->network.convs_decoder);
  memset (plan->network.kernel_decoder, 0, sizeof plan->network.kernel_decoder);
}

gboolean
tess_plan_read_network (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  g_autofree char *where = g_strdup_printf ("%s: network", origin);
  const char *name = "plain-unet";
  JsonObject *network;

  if (!tess_json_object (root, origin, "network", &network, error) ||
      !tess_json_string_opt (network, where, "architecture", &name, error))
    return FALSE;
  if (!tess_plan_architecture_from_name (name, &plan->network.architecture)) {
    g_autofree char *known = tess_plan_architecture_names ();

    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: \"architecture\" is \"%s\"; this version knows %s"),
                 where, name, known);
    return FALSE;
  }
  clear_stages (plan);
  return architectures[plan->network.architecture].read (plan, network, where, error) &&
         tess_plan_read_group (plan, "network", network, where, error);
}

gboolean
tess_plan_validate_network (const TessPlan *plan, const char *origin, GError **error)
{
  if ((guint)plan->network.architecture < TESS_PLAN_N_ARCHITECTURES)
    return architectures[plan->network.architecture].validate (plan, origin, error);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"network\" has an architecture, an axis of slices or a stem that cannot be; plan the dataset "
                  "again"),
               origin);
  return FALSE;
}
