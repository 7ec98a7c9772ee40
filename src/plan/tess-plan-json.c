#include "tess-plan-private.h"

#include <inttypes.h>
#include <string.h>

#define FORMAT_NAME "tessera-plan"
#define FORMAT_VERSION 1

static gboolean
has (JsonObject *o, const char *name)
{
  return json_object_has_member (o, name) && !json_object_get_null_member (o, name);
}

/* ---- writing ---- */

JsonArray *
tess_plan_ints_array (const gint64 *values, guint n)
{
  JsonArray *array = json_array_sized_new (n);

  for (guint i = 0; i < n; i++)
    json_array_add_int_element (array, values[i]);
  return array;
}

static JsonArray *
doubles_array (const double *values, guint n)
{
  JsonArray *array = json_array_sized_new (n);

  for (guint i = 0; i < n; i++)
    json_array_add_double_element (array, values[i]);
  return array;
}

static void
write_field (const TessPlan *plan, const TessPlanField *field, JsonObject *o)
{
  const void *at = (const char *)plan + field->offset;

  switch (field->kind) {
  case TESS_PLAN_FIELD_INT:
    if (field->n == 1)
      json_object_set_int_member (o, field->name, *(const gint64 *)at);
    else
      json_object_set_array_member (o, field->name, tess_plan_ints_array (at, field->n));
    break;
  case TESS_PLAN_FIELD_DOUBLE:
    if (field->n == 1)
      json_object_set_double_member (o, field->name, *(const double *)at);
    else
      json_object_set_array_member (o, field->name, doubles_array (at, field->n));
    break;
  case TESS_PLAN_FIELD_BOOL:
    json_object_set_boolean_member (o, field->name, *(const gboolean *)at);
    break;
  case TESS_PLAN_FIELD_CHOICE:
    json_object_set_string_member (o, field->name, field->names[*(const int *)at]);
    break;
  }
}

void
tess_plan_write_group (const TessPlan *plan, const char *group, JsonObject *o)
{
  for (guint i = 0; i < tess_plan_n_fields; i++)
    if (strcmp (tess_plan_fields[i].group, group) == 0)
      write_field (plan, &tess_plan_fields[i], o);
}

static JsonArray *
write_channels (const TessPlan *plan)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < plan->n_channels; i++) {
    const TessPlanChannel *c = &plan->channels[i];
    JsonObject *o = json_object_new ();

    json_object_set_string_member (o, "name", c->name);
    json_object_set_string_member (o, "normalisation", tess_norm_scheme_name (c->norm));
    json_object_set_double_member (o, "lower", c->lower);
    json_object_set_double_member (o, "upper", c->upper);
    json_object_set_double_member (o, "mean", c->mean);
    json_object_set_double_member (o, "std", c->std);
    json_array_add_object_element (array, o);
  }
  return array;
}

static JsonArray *
write_labels (const TessPlan *plan)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < plan->n_labels; i++) {
    JsonObject *o = json_object_new ();

    json_object_set_string_member (o, "name", plan->labels[i].name);
    json_object_set_int_member (o, "value", plan->labels[i].value);
    json_array_add_object_element (array, o);
  }
  return array;
}

static JsonArray *
write_regions (const TessPlan *plan)
{
  JsonArray *array = json_array_new ();

  for (guint i = 0; i < plan->n_regions; i++) {
    const TessPlanRegion *region = &plan->regions[i];
    JsonObject *o = json_object_new ();
    JsonArray *labels = json_array_new ();

    for (guint v = 0; v < 256; v++)
      if (region->holds[v])
        json_array_add_int_element (labels, v);
    json_object_set_string_member (o, "name", region->name);
    json_object_set_array_member (o, "labels", labels);
    json_object_set_int_member (o, "label", region->label);
    json_array_add_object_element (array, o);
  }
  return array;
}

/* A new node. Keys are stable; arrays over axes are (x, y, z), and "axis_order" says so to whoever reads the file. */
JsonNode *
tess_plan_to_json (const TessPlan *plan)
{
  static const char *const groups[] = {"training", "augmentation", "inference"};
  JsonObject *root = json_object_new ();
  JsonArray *reasons = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);

  json_object_set_string_member (root, "format", FORMAT_NAME);
  json_object_set_int_member (root, "version", FORMAT_VERSION);
  json_object_set_string_member (root, "axis_order", "x,y,z");
  json_object_set_string_member (root, "dataset", plan->dataset_name);
  json_object_set_array_member (root, "channels", write_channels (plan));
  json_object_set_array_member (root, "labels", write_labels (plan));
  if (plan->n_regions > 0)
    json_object_set_array_member (root, "regions", write_regions (plan));
  tess_plan_write_group (plan, "", root);
  json_object_set_object_member (root, "network", tess_plan_write_network (plan));
  for (guint g = 0; g < G_N_ELEMENTS (groups); g++) {
    JsonObject *o = json_object_new ();

    tess_plan_write_group (plan, groups[g], o);
    json_object_set_object_member (root, groups[g], o);
  }
  for (guint i = 0; i < plan->reasons->len; i++)
    json_array_add_string_element (reasons, g_ptr_array_index (plan->reasons, i));
  json_object_set_array_member (root, "reasons", reasons);
  json_node_take_object (node, root);
  return node;
}

/* ---- reading ---- */

static gboolean
read_choice (const TessPlanField *field, JsonObject *o, const char *origin, int *to, GError **error)
{
  g_autofree char *known = NULL;
  const char *text;

  if (!tess_json_string (o, origin, field->name, &text, error))
    return FALSE;
  for (int i = 0; field->names[i]; i++)
    if (strcmp (text, field->names[i]) == 0) {
      *to = i;
      return TRUE;
    }
  known = g_strjoinv (", ", (char **)field->names);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"%s\" is \"%s\"; use one of %s"), origin, field->name,
               text, known);
  return FALSE;
}

static gboolean
read_field (TessPlan *plan, const TessPlanField *field, JsonObject *o, const char *origin, GError **error)
{
  void *at = (char *)plan + field->offset;

  if (!field->required && !has (o, field->name))
    return TRUE;
  switch (field->kind) {
  case TESS_PLAN_FIELD_INT:
    if (field->n == 1)
      return tess_json_int (o, origin, field->name, field->ilo, field->ihi, at, error);
    return tess_json_ints (o, origin, field->name, field->ilo, field->ihi, at, field->n, error);
  case TESS_PLAN_FIELD_DOUBLE: /* the range is checked by tess_plan_validate */
    if (field->n == 1)
      return tess_json_double (o, origin, field->name, at, error);
    return tess_json_doubles (o, origin, field->name, at, field->n, error);
  case TESS_PLAN_FIELD_BOOL:
    return tess_json_bool (o, origin, field->name, at, error);
  case TESS_PLAN_FIELD_CHOICE:
    return read_choice (field, o, origin, at, error);
  }
  return FALSE;
}

gboolean
tess_plan_read_group (TessPlan *plan, const char *group, JsonObject *o, const char *origin, GError **error)
{
  for (guint i = 0; i < tess_plan_n_fields; i++)
    if (strcmp (tess_plan_fields[i].group, group) == 0 && !read_field (plan, &tess_plan_fields[i], o, origin, error))
      return FALSE;
  return TRUE;
}

/* Element i of a list that must hold objects; NULL with an error otherwise. */
JsonObject *
tess_plan_element (JsonArray *array, guint i, const char *origin, const char *name, GError **error)
{
  JsonNode *node = json_array_get_element (array, i);

  if (JSON_NODE_HOLDS_OBJECT (node))
    return json_node_get_object (node);
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"%s[%u]\" is not an object; write {...} there"), origin,
               name, i);
  return NULL;
}

gboolean
tess_plan_read_array (JsonObject *o, const char *origin, const char *name, guint lo, guint hi, JsonArray **array,
                      GError **error)
{
  guint n;

  if (!tess_json_array (o, origin, name, array, error))
    return FALSE;
  n = json_array_get_length (*array);
  if (n >= lo && n <= hi)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"%s\" has %u entries; give %u to %u"), origin, name, n,
               lo, hi);
  return FALSE;
}

static gboolean
read_channels (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  JsonArray *array;

  if (!tess_plan_read_array (root, origin, "channels", 1, TESS_MAX_CHANNELS, &array, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++) {
    g_autofree char *where = g_strdup_printf ("%s: channels[%u]", origin, i);
    JsonObject *o = tess_plan_element (array, i, origin, "channels", error);
    const char *name, *norm = "zscore";
    TessPlanChannel *c;
    TessNormScheme scheme;
    struct {
      const char *key;
      double *to;
    } numbers[4];

    if (!o || !tess_json_string (o, where, "name", &name, error) ||
        (has (o, "normalisation") && !tess_json_string (o, where, "normalisation", &norm, error)))
      return FALSE;
    if (!tess_norm_scheme_from_name (norm, &scheme)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"normalisation\" is \"%s\"; use zscore, ct, minmax or none"), where, norm);
      return FALSE;
    }
    tess_plan_add_channel (plan, name, scheme);
    c = &plan->channels[i];
    numbers[0].key = "lower", numbers[0].to = &c->lower;
    numbers[1].key = "upper", numbers[1].to = &c->upper;
    numbers[2].key = "mean", numbers[2].to = &c->mean;
    numbers[3].key = "std", numbers[3].to = &c->std;
    for (guint k = 0; k < 4; k++)
      if ((scheme == TESS_NORM_CT || has (o, numbers[k].key)) &&
          !tess_json_double (o, where, numbers[k].key, numbers[k].to, error))
        return FALSE;
  }
  return TRUE;
}

static gboolean
read_labels (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  JsonArray *array;

  if (!tess_plan_read_array (root, origin, "labels", 2, TESS_MAX_LABELS, &array, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++) {
    g_autofree char *where = g_strdup_printf ("%s: labels[%u]", origin, i);
    JsonObject *o = tess_plan_element (array, i, origin, "labels", error);
    const char *name;
    gint64 value;

    if (!o || !tess_json_string (o, where, "name", &name, error) ||
        !tess_json_int (o, where, "value", 0, TESS_MAX_LABELS - 1, &value, error))
      return FALSE;
    tess_plan_add_label (plan, name, value);
  }
  return TRUE;
}

static gboolean
read_regions (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  JsonArray *array;

  if (!has (root, "regions"))
    return TRUE;
  if (!tess_plan_read_array (root, origin, "regions", 1, TESS_PLAN_MAX_REGIONS, &array, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++) {
    g_autofree char *where = g_strdup_printf ("%s: regions[%u]", origin, i);
    JsonObject *o = tess_plan_element (array, i, origin, "regions", error);
    gint64 label, values[TESS_MAX_LABELS];
    JsonArray *labels;
    TessPlanRegion *region;
    const char *name;

    if (!o || !tess_json_string (o, where, "name", &name, error) ||
        !tess_json_int (o, where, "label", 1, TESS_MAX_LABELS - 1, &label, error) ||
        !tess_plan_read_array (o, where, "labels", 1, TESS_MAX_LABELS, &labels, error) ||
        !tess_json_ints (o, where, "labels", 0, plan->n_labels - 1, values, json_array_get_length (labels), error))
      return FALSE;
    region = tess_plan_add_region (plan, name, label);
    for (guint v = 0; v < json_array_get_length (labels); v++)
      region->holds[values[v]] = 1;
  }
  return TRUE;
}

static gboolean
read_head (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  const char *format, *axes = "x,y,z", *name = "";
  gint64 version;

  if (!tess_json_string (root, origin, "format", &format, error))
    return FALSE;
  if (strcmp (format, FORMAT_NAME) != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: this is not a plan (\"format\" is \"%s\")"), origin,
                 format);
    return FALSE;
  }
  if (!tess_json_int (root, origin, "version", 1, G_MAXINT64, &version, error))
    return FALSE;
  if (version > FORMAT_VERSION) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        _ ("%s: the plan has format version %" PRId64 ", this program knows up to %d; use a newer version of it"),
        origin, version, FORMAT_VERSION);
    return FALSE;
  }
  if (has (root, "axis_order") && !tess_json_string (root, origin, "axis_order", &axes, error))
    return FALSE;
  if (strcmp (axes, "x,y,z") != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: \"axis_order\" is \"%s\"; only x,y,z is known"),
                 origin, axes);
    return FALSE;
  }
  if (has (root, "dataset") && !tess_json_string (root, origin, "dataset", &name, error))
    return FALSE;
  g_free (plan->dataset_name);
  plan->dataset_name = g_strdup (name);
  return TRUE;
}

static gboolean
read_reasons (TessPlan *plan, JsonObject *root, const char *origin, GError **error)
{
  JsonArray *array;

  if (!has (root, "reasons"))
    return TRUE;
  if (!tess_plan_read_array (root, origin, "reasons", 0, TESS_PLAN_MAX_REASONS, &array, error))
    return FALSE;
  for (guint i = 0; i < json_array_get_length (array); i++) {
    JsonNode *node = json_array_get_element (array, i);

    if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: \"reasons[%u]\" is not a text"), origin, i);
      return FALSE;
    }
    g_ptr_array_add (plan->reasons, json_node_dup_string (node));
  }
  return TRUE;
}

/* The plan that root describes; origin names the file in errors (NULL = "plan"). Members this version does not know
 * are passed over, members that are absent keep nnU-Net's defaults except those a plan cannot be without: format,
 * version, channels, labels, spacing_mm, patch and the network's stages. The result has passed tess_plan_validate.
 * Returns a new reference; errors: FORMAT, UNSUPPORTED. */
TessPlan *
tess_plan_from_json (JsonNode *root, const char *origin, GError **error)
{
  static const char *const groups[] = {"training", "augmentation", "inference"};
  g_autoptr (TessPlan) plan = tess_plan_new ();
  JsonObject *o;

  if (!origin)
    origin = "plan";
  if (!tess_json_root (root, origin, &o, error) || !read_head (plan, o, origin, error) ||
      !read_channels (plan, o, origin, error) || !read_labels (plan, o, origin, error) ||
      !read_regions (plan, o, origin, error) || !tess_plan_read_group (plan, "", o, origin, error) ||
      !tess_plan_read_network (plan, o, origin, error))
    return NULL;
  for (guint g = 0; g < G_N_ELEMENTS (groups); g++) {
    g_autofree char *where = g_strdup_printf ("%s: %s", origin, groups[g]);
    JsonObject *group;

    if (!has (o, groups[g]))
      continue;
    if (!tess_json_object (o, origin, groups[g], &group, error) ||
        !tess_plan_read_group (plan, groups[g], group, where, error))
      return NULL;
  }
  if (!read_reasons (plan, o, origin, error) || !tess_plan_validate (plan, origin, error))
    return NULL;
  return g_steal_pointer (&plan);
}

TessPlan *
tess_plan_load (const char *path, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_load (path, error);

  return root ? tess_plan_from_json (root, path, error) : NULL;
}

/* Validated, then written under a temporary name and renamed. */
gboolean
tess_plan_save (const TessPlan *plan, const char *path, GError **error)
{
  g_autoptr (JsonNode) root = NULL;

  if (!tess_plan_validate (plan, path, error))
    return FALSE;
  root = tess_plan_to_json (plan);
  return tess_json_save (path, root, error);
}

char *
tess_plan_to_text (const TessPlan *plan)
{
  g_autoptr (JsonNode) root = tess_plan_to_json (plan);

  return tess_json_to_text (root, FALSE);
}

TessPlan *
tess_plan_from_text (const char *text, const char *origin, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_parse (text, -1, origin ? origin : "plan", error);

  return root ? tess_plan_from_json (root, origin, error) : NULL;
}
