#include "tess-plan-private.h"

#include <inttypes.h>
#include <string.h>

/* Regions (nnU-Net's region-based training): what is learnt are sets of labels that may overlap, one sigmoid each; a
 * label map is painted from them in order, each with its own label over the earlier ones. */

void
tess_plan_regions_free (TessPlanRegion *regions, guint n)
{
  for (guint r = 0; r < n; r++)
    g_free (regions[r].name);
  g_free (regions);
}

TessPlanRegion *
tess_plan_regions_dup (const TessPlanRegion *regions, guint n)
{
  TessPlanRegion *copy = g_new0 (TessPlanRegion, n); /* NULL for none */

  for (guint r = 0; r < n; r++) {
    copy[r] = regions[r];
    copy[r].name = g_strdup (regions[r].name);
  }
  return copy;
}

/* Appends one that holds nothing yet; at most TESS_PLAN_MAX_REGIONS. */
TessPlanRegion *
tess_plan_add_region (TessPlan *plan, const char *name, gint64 label)
{
  g_return_val_if_fail (plan->n_regions < TESS_PLAN_MAX_REGIONS, NULL);
  plan->regions = g_renew (TessPlanRegion, plan->regions, plan->n_regions + 1);
  plan->regions[plan->n_regions] = (TessPlanRegion){.name = g_strdup (name), .label = label};
  return &plan->regions[plan->n_regions++];
}

/* ---- what the network gives ---- */

gboolean
tess_plan_is_sigmoid (const TessPlan *plan)
{
  return plan->n_regions > 0 || plan->training.loss == TESS_PLAN_LOSS_DICE_BCE ||
         plan->training.loss == TESS_PLAN_LOSS_DICE;
}

guint
tess_plan_n_outputs (const TessPlan *plan)
{
  if (plan->n_regions > 0)
    return plan->n_regions;
  return tess_plan_is_sigmoid (plan) ? plan->n_labels - 1 : plan->n_labels;
}

gboolean
tess_plan_output_holds (const TessPlan *plan, guint output, guint label)
{
  if (plan->n_regions > 0)
    return plan->regions[output].holds[label] != 0;
  return label == (tess_plan_is_sigmoid (plan) ? output + 1 : output);
}

guint8
tess_plan_output_label (const TessPlan *plan, guint output)
{
  if (plan->n_regions > 0)
    return (guint8)plan->regions[output].label;
  return (guint8)(tess_plan_is_sigmoid (plan) ? output + 1 : output);
}

guint
tess_plan_n_scores (const TessPlan *plan)
{
  return tess_plan_n_outputs (plan) + (tess_plan_is_sigmoid (plan) ? 1 : 0);
}

const char *
tess_plan_score_name (const TessPlan *plan, guint score)
{
  if (plan->n_regions > 0 && score > 0)
    return plan->regions[score - 1].name;
  return plan->labels[score].name;
}

/* ---- nnU-Net's dataset.json ---- */

static gboolean
bad (GError **error, const char *origin, const char *key, const char *what)
{
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: label \"%s\": %s"), origin, key, what);
  return FALSE;
}

/* The values of one entry: 3 or [1, 2, 3]. */
static gboolean
read_values (JsonNode *node, const char *origin, const char *key, guint8 *holds, guint *highest, GError **error)
{
  JsonArray *list = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  guint n = list ? json_array_get_length (list) : 1;

  for (guint i = 0; i < n; i++) {
    JsonNode *value = list ? json_array_get_element (list, i) : node;
    gint64 v = JSON_NODE_HOLDS_VALUE (value) && json_node_get_value_type (value) == G_TYPE_INT64
                   ? json_node_get_int (value)
                   : -1;

    if (v < 0 || v >= TESS_MAX_LABELS - 1)
      return bad (error, origin, key, _ ("a region is a list of whole numbers from 0 to 253"));
    holds[v] = 1;
    *highest = MAX (*highest, (guint)v);
  }
  return n > 0 || bad (error, origin, key, _ ("holds no value; list at least one"));
}

static gboolean
is_background (const guint8 *holds)
{
  for (guint v = 1; v < 256; v++)
    if (holds[v])
      return FALSE;
  return TRUE;
}

/* regions_class_order: the label each region is painted with. */
static gboolean
read_order (JsonObject *root, const char *origin, TessPlanRegion *regions, guint n, guint n_labels, GError **error)
{
  g_autofree gint64 *order = g_new0 (gint64, n);
  JsonArray *list;

  if (!tess_json_array (root, origin, "regions_class_order", &list, error))
    return FALSE;
  if (json_array_get_length (list) != n) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"regions_class_order\" has %u entries for %u regions; give the label of every region"),
                 origin, json_array_get_length (list), n);
    return FALSE;
  }
  if (!tess_json_ints (root, origin, "regions_class_order", 1, n_labels - 1, order, n, error))
    return FALSE;
  for (guint r = 0; r < n; r++)
    regions[r].label = order[r];
  return TRUE;
}

/* Every label from 1 on is in a region. */
static gboolean
check_gaps (const char *origin, const TessPlanRegion *regions, guint n, guint n_labels, GError **error)
{
  for (guint v = 1; v < n_labels; v++) {
    gboolean there = FALSE;

    for (guint r = 0; r < n; r++)
      there |= regions[r].holds[v];
    if (!there) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: no label has the value %u; label values must be 0 (background), 1, 2, ... without a gap"),
                   origin, v);
      return FALSE;
    }
  }
  return TRUE;
}

gboolean
tess_regions_in_json (JsonObject *labels)
{
  g_autoptr (GList) names = json_object_get_members (labels);

  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (labels, l->data);

    if (JSON_NODE_HOLDS_ARRAY (node) && json_array_get_length (json_node_get_array (node)) > 1)
      return TRUE;
  }
  return FALSE;
}

/**
 * tess_regions_from_json:
 * @root: of a dataset.json whose "labels" has a list of several values (tess_regions_in_json())
 * @origin: for messages
 * @regions: (out): in the order of declaration, which is that of the network's channels; background and "ignore" are
 * none
 * @n_labels: (out): highest value of a region + 1
 *
 * Returns: FALSE with FORMAT or UNSUPPORTED (too many).
 */
gboolean
tess_regions_from_json (JsonObject *root, const char *origin, TessPlanRegion **regions, guint *n, guint *n_labels,
                        GError **error)
{
  JsonObject *labels;
  g_autoptr (GList) names = NULL;
  TessPlanRegion *found = g_new0 (TessPlanRegion, TESS_PLAN_MAX_REGIONS);
  guint count = 0, highest = 0;

  if (!tess_json_object (root, origin, "labels", &labels, error))
    goto failed;
  names = json_object_get_members (labels);
  for (GList *l = names; l; l = l->next) {
    guint8 holds[256] = {0};

    if (g_ascii_strcasecmp (l->data, "ignore") == 0)
      continue;
    if (!read_values (json_object_get_member (labels, l->data), origin, l->data, holds, &highest, error))
      goto failed;
    if (is_background (holds))
      continue;
    if (count == TESS_PLAN_MAX_REGIONS) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: has more than %d regions; leave some out"),
                   origin, TESS_PLAN_MAX_REGIONS);
      goto failed;
    }
    found[count].name = g_strdup (l->data);
    memcpy (found[count++].holds, holds, sizeof holds);
  }
  *n_labels = highest + 1;
  if (!read_order (root, origin, found, count, *n_labels, error) ||
      !check_gaps (origin, found, count, *n_labels, error))
    goto failed;
  *regions = found;
  *n = count;
  return TRUE;

failed:
  tess_plan_regions_free (found, count);
  return FALSE;
}

/**
 * tess_ignore_from_json:
 * @labels: "labels" of a dataset.json
 * @n_labels: classes; nnU-Net asks that the ignore label is the value behind them
 * @ignore: (out): 0 when there is none
 */
gboolean
tess_ignore_from_json (JsonObject *labels, const char *origin, guint n_labels, gint64 *ignore, GError **error)
{
  g_autoptr (GList) names = json_object_get_members (labels);

  *ignore = 0;
  for (GList *l = names; l; l = l->next) {
    JsonNode *node = json_object_get_member (labels, l->data);

    if (g_ascii_strcasecmp (l->data, "ignore") != 0)
      continue;
    *ignore =
        JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64 ? json_node_get_int (node) : 0;
    if (*ignore == (gint64)n_labels && n_labels < TESS_MAX_LABELS)
      continue;
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: the \"ignore\" label must be one number, the highest of all: write \"ignore\": %u"), origin,
                 n_labels);
    return FALSE;
  }
  return TRUE;
}

/* A name for every label of a map painted from regions: that of the region it is painted for, else of the first that
 * holds it. NULL-terminated. */
char **
tess_region_label_names (const TessPlanRegion *regions, guint n, guint n_labels)
{
  char **names = g_new0 (char *, n_labels + 1);

  names[0] = g_strdup ("background");
  for (guint v = 1; v < n_labels; v++) {
    for (guint r = n; r-- > 0 && !names[v];)
      if (regions[r].label == (gint64)v)
        names[v] = g_strdup (regions[r].name);
    if (!names[v])
      names[v] = g_strdup_printf ("label_%u", v);
  }
  return names;
}

/* ---- validation, and what cannot be learnt ---- */

gboolean
tess_plan_validate_regions (const TessPlan *plan, const char *origin, GError **error)
{
  if (plan->ignore_label != 0 && (plan->ignore_label != (gint64)plan->n_labels || plan->n_labels >= TESS_MAX_LABELS)) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_FORMAT,
        _ ("%s: \"ignore_label\" is %" PRId64 "; the value behind the last label, %u, or 0 (none) belongs there"),
        origin, plan->ignore_label, plan->n_labels);
    return FALSE;
  }
  if (plan->n_regions > 0 && plan->training.loss == TESS_PLAN_LOSS_DICE_CE) {
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_FORMAT,
        _ ("%s: regions overlap, which a softmax cannot learn; set \"training.loss\" to \"dice-bce\", \"dice\", "
           "\"tversky\" or \"focal\""),
        origin);
    return FALSE;
  }
  if (tess_plan_n_outputs (plan) > TESS_PLAN_MAX_REGIONS && tess_plan_is_sigmoid (plan)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                 _ ("%s: this loss takes at most %d labels or regions; set \"training.loss\" to \"dice-ce\""), origin,
                 TESS_PLAN_MAX_REGIONS);
    return FALSE;
  }
  for (guint r = 0; r < plan->n_regions; r++)
    if (plan->regions[r].label < 1 || plan->regions[r].label >= (gint64)plan->n_labels) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"regions[%u].label\" is %" PRId64 "; one of the labels from 1 to %u belongs there"), origin,
                   r, plan->regions[r].label, plan->n_labels - 1);
      return FALSE;
    }
  return TRUE;
}

static gboolean
is_inside (const TessPlanRegion *a, const TessPlanRegion *b)
{
  for (guint v = 0; v < 256; v++)
    if (a->holds[v] && !b->holds[v])
      return FALSE;
  return TRUE;
}

/**
 * tess_plan_hidden_labels:
 *
 * One sentence for everything that can never come out of a perfect network because of how regions are painted: a
 * region that a later one covers, and a label no region is painted with.
 *
 * Returns: (transfer full): sentences
 */
GPtrArray *
tess_plan_hidden_labels (const TessPlan *plan)
{
  GPtrArray *notes = g_ptr_array_new_with_free_func (g_free);

  for (guint r = 0; r < plan->n_regions; r++)
    for (guint s = r + 1; s < plan->n_regions; s++)
      if (is_inside (&plan->regions[r], &plan->regions[s])) {
        g_ptr_array_add (notes, g_strdup_printf (_ ("region %s can never be seen in a result: %s holds it and is "
                                                    "painted over it; list the larger region first"),
                                                 plan->regions[r].name, plan->regions[s].name));
        break;
      }
  for (guint v = 1; v < plan->n_labels && plan->n_regions > 0; v++) {
    gboolean painted = FALSE;

    for (guint r = 0; r < plan->n_regions; r++)
      painted |= plan->regions[r].label == (gint64)v;
    if (!painted)
      g_ptr_array_add (notes,
                       g_strdup_printf (_ ("label %u can never come out: no region is painted with it; name it in "
                                           "\"regions_class_order\""),
                                        v));
  }
  return notes;
}
