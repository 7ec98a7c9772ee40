#include "tess-label-file-private.h"
#include "tess-json.h"

#include <inttypes.h>
#include <string.h>

/* Label tables in JSON: nnU-Net's dataset.json, whose "labels" is an object, and the colour maps of MRIcroGL and
 * NiiVue, whose "labels" is a list of names beside the lists R, G, B and perhaps A (opacity) and I (values). */

#define MAX_MEMBERS 20000 /* of dataset.json's labels, and values of its regions */
#define MAX_LABELS 200000

static const guint8 clear_colour[4] = {0};

/* Label value `text` in decimal; -1 when it is none. */
static gint64
value_of_text (const char *text)
{
  char *end;
  gint64 value = g_ascii_isdigit (*text) ? g_ascii_strtoll (text, &end, 10) : -1;

  return value >= 0 && value <= G_MAXINT32 && !*end ? value : -1;
}

static gint64
value_of_node (JsonNode *node)
{
  gint64 value;

  if (!JSON_NODE_HOLDS_VALUE (node))
    return -1;
  if (json_node_get_value_type (node) == G_TYPE_STRING) /* some tools put numbers into quotes */
    return value_of_text (json_node_get_string (node));
  if (json_node_get_value_type (node) != G_TYPE_INT64)
    return -1;
  value = json_node_get_int (node);
  return value >= 0 && value <= G_MAXINT32 ? value : -1;
}

static gboolean
holds_text (JsonNode *node)
{
  return JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING;
}

/* Version 1 has {"1": "liver"}, version 2 {"liver": 1}: each tells by its first member. */
static gboolean
is_version_1 (JsonObject *labels)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, labels);
  return json_object_iter_next_ordered (&iter, &key, &node) && value_of_text (key) >= 0 && holds_text (node) &&
         value_of_node (node) < 0;
}

static gboolean
add_version_1 (TessLabelTable *table, JsonObject *labels)
{
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  json_object_iter_init_ordered (&iter, labels);
  while (json_object_iter_next_ordered (&iter, &key, &node)) {
    gint64 value = value_of_text (key);

    if (value < 0 || !holds_text (node))
      return FALSE;
    tess_label_table_add (table, value, json_node_get_string (node), NULL);
  }
  return TRUE;
}

/* The one value of a member; -1 when it has several or none. */
static gint64
single_value (JsonNode *node)
{
  JsonArray *values;

  if (!JSON_NODE_HOLDS_ARRAY (node))
    return value_of_node (node);
  values = json_node_get_array (node);
  return json_array_get_length (values) == 1 ? value_of_node (json_array_get_element (values, 0)) : -1;
}

/* Several values are a region. A label that only occurs in regions has no name. */
static gboolean
add_version_2 (TessLabelTable *table, JsonObject *labels)
{
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;
  guint total = 0;

  json_object_iter_init_ordered (&iter, labels);
  while (json_object_iter_next_ordered (&iter, &name, &node)) {
    gint64 single = single_value (node);
    JsonArray *list = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
    guint n = list ? json_array_get_length (list) : 0;
    g_autofree gint64 *values = NULL;

    if (single >= 0) {
      tess_label_table_add (table, single, name, NULL);
      continue;
    }
    if (n < 2 || n > MAX_MEMBERS - total)
      return FALSE;
    total += n;
    values = g_new (gint64, n);
    for (guint i = 0; i < n; i++) {
      values[i] = value_of_node (json_array_get_element (list, i));
      if (values[i] < 0)
        return FALSE;
    }
    tess_label_table_add_region (table, name, values, n);
  }
  return TRUE;
}

/* Number i of a list of numbers from 0 to `most`; -1 where there is none. */
static gint64
list_number (JsonArray *list, guint i, gint64 most)
{
  JsonNode *node = i < json_array_get_length (list) ? json_array_get_element (list, i) : NULL;
  double value;

  if (!node || !JSON_NODE_HOLDS_VALUE (node) ||
      (json_node_get_value_type (node) != G_TYPE_INT64 && json_node_get_value_type (node) != G_TYPE_DOUBLE))
    return -1;
  value = json_node_get_double (node);
  return value >= 0.0 && value <= (double)most && (double)(gint64)value == value ? (gint64)value : -1;
}

typedef struct {
  gint64 value;
  guint index;
} Row;

static gint
compare_rows (gconstpointer a, gconstpointer b)
{
  const Row *x = a, *y = b;

  return x->value != y->value ? (x->value > y->value) - (x->value < y->value)
                              : (x->index > y->index) - (x->index < y->index);
}

/* @lists: R, G, B, A, I; NULL what is not there. */
static gboolean
add_row (TessLabelTable *table, const Row *row, JsonArray *names, JsonArray *lists[5])
{
  JsonNode *name = json_array_get_element (names, row->index);
  guint8 rgba[4] = {0, 0, 0, 255};

  if (!holds_text (name))
    return FALSE;
  for (int c = 0; c < 4; c++)
    if (lists[c]) {
      gint64 level = list_number (lists[c], row->index, 255);

      if (level < 0)
        return FALSE;
      rgba[c] = (guint8)level;
    }
  tess_label_table_add (table, row->value, json_node_get_string (name),
                        row->value == 0 ? clear_colour /* background is not painted */
                        : lists[0]      ? rgba
                                        : NULL);
  return TRUE;
}

static gboolean
add_colour_map (TessLabelTable *table, JsonObject *object, const char *file, GError **error)
{
  static const char *const members[5] = {"R", "G", "B", "A", "I"};
  JsonArray *names = json_object_get_array_member (object, "labels"), *lists[5] = {NULL};
  guint n = json_array_get_length (names);
  g_autoptr (GArray) rows = g_array_new (FALSE, FALSE, sizeof (Row));

  for (int c = 0; c < 5; c++)
    if (!tess_json_array_opt (object, file, members[c], &lists[c], error))
      return FALSE;
  if (n > MAX_LABELS || !lists[0] != !lists[1] || !lists[0] != !lists[2])
    goto bad;
  for (guint i = 0; i < n; i++) {
    Row row = {lists[4] ? list_number (lists[4], i, G_MAXINT32) : i, i};

    if (row.value < 0)
      goto bad;
    g_array_append_val (rows, row);
  }
  g_array_sort (rows, compare_rows); /* a table takes ascending values fast */
  for (guint i = 0; i < n; i++)
    if (!add_row (table, &g_array_index (rows, Row, i), names, lists))
      goto bad;
  if (n > 0)
    return TRUE;
bad:
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
               _ ("%s: \"labels\" and the colours R, G and B do not go together, a name and a colour for each label; "
                  "correct them"),
               file);
  return FALSE;
}

static gboolean
is_colour_map (JsonObject *object)
{
  JsonNode *labels = json_object_get_member (object, "labels");

  return labels && JSON_NODE_HOLDS_ARRAY (labels);
}

TessLabelTable *
tess_label_json_load (const char *path, GError **error)
{
  g_autoptr (JsonNode) root = tess_json_load (path, error);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  g_autofree char *name = g_filename_display_name (path);
  JsonObject *object, *labels;

  if (!root || !tess_json_root (root, name, &object, error))
    return NULL;
  if (is_colour_map (object))
    return add_colour_map (table, object, name, error) ? g_steal_pointer (&table) : NULL;
  if (!tess_json_object (object, name, "labels", &labels, error))
    return NULL;
  if (json_object_get_size (labels) == 0 || json_object_get_size (labels) > MAX_MEMBERS ||
      !(is_version_1 (labels) ? add_version_1 (table, labels) : add_version_2 (table, labels))) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: \"labels\" is neither {\"name\": number} nor {\"number\": \"name\"}; correct it"), name);
    return NULL;
  }
  return g_steal_pointer (&table);
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* Another label of this name has been written already: a member's name is unique. */
static char *
unique_name (JsonObject *object, const TessLabel *label)
{
  return *label->name && !json_object_has_member (object, label->name)
             ? g_strdup (label->name)
             : g_strdup_printf ("%s%slabel %" PRId64, label->name, *label->name ? " " : "", label->value);
}

static void
put_label (JsonObject *fresh, const TessLabel *label, GHashTable *done)
{
  g_autofree char *key = NULL;

  if (!g_hash_table_add (done, (gpointer)label))
    return;
  key = unique_name (fresh, label);
  json_object_set_int_member (fresh, key, label->value);
}

static void
put_region (JsonObject *fresh, const TessLabelRegion *region, GHashTable *done)
{
  g_autofree char *key = NULL;
  JsonArray *values;

  if (!g_hash_table_add (done, (gpointer)region))
    return;
  values = json_array_new ();
  key = g_strdup (region->name);
  while (json_object_has_member (fresh, key)) {
    char *longer = g_strconcat (key, " region", NULL);

    g_free (key);
    key = longer;
  }
  for (guint i = 0; i < region->n_values; i++)
    json_array_add_int_element (values, region->values[i]);
  json_object_set_array_member (fresh, key, values);
}

/* Members stay in the order of the file, which regions_class_order counts. FALSE when some came or went. */
static gboolean
put_version_2 (JsonObject *fresh, TessLabelTable *labels, JsonObject *old)
{
  g_autoptr (GHashTable) done = g_hash_table_new (NULL, NULL);
  gboolean all = old != NULL;
  guint n_labels = tess_label_table_n (labels), n_regions = tess_label_table_n_regions (labels);
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  if (old) {
    json_object_iter_init_ordered (&iter, old);
    while (json_object_iter_next_ordered (&iter, &name, &node)) {
      gint64 value = single_value (node);
      const TessLabel *label = value >= 0 ? tess_label_table_find (labels, value) : NULL;
      const TessLabelRegion *region = value < 0 ? tess_label_table_find_region (labels, name) : NULL;

      if (label)
        put_label (fresh, label, done);
      else if (region)
        put_region (fresh, region, done);
      else
        all = FALSE;
    }
    all &= g_hash_table_size (done) == n_labels + n_regions;
  }
  for (guint i = 0; i < n_labels; i++)
    put_label (fresh, tess_label_table_peek (labels, i), done);
  for (guint i = 0; i < n_regions; i++)
    put_region (fresh, tess_label_table_peek_region (labels, i), done);
  return all;
}

static void
put_colour_map (JsonObject *object, TessLabelTable *labels)
{
  static const char *const members[4] = {"R", "G", "B", "A"};
  JsonArray *lists[4], *values = json_array_new (), *names = json_array_new ();

  for (int c = 0; c < 4; c++)
    lists[c] = json_array_new ();
  for (guint i = 0; i < tess_label_table_n (labels); i++) {
    const TessLabel *label = tess_label_table_peek (labels, i);

    if (label->value < 0)
      continue;
    for (int c = 0; c < 4; c++)
      json_array_add_int_element (lists[c], label->rgba[c]);
    json_array_add_int_element (values, label->value);
    json_array_add_string_element (names, label->name);
  }
  for (int c = 0; c < 4; c++)
    json_object_set_array_member (object, members[c], lists[c]);
  json_object_set_array_member (object, "I", values);
  json_object_set_array_member (object, "labels", names);
}

static void
put_dataset (JsonObject *object, TessLabelTable *labels, JsonObject *old)
{
  JsonObject *fresh = json_object_new ();
  gboolean keep_order = FALSE;

  if (old && is_version_1 (old))
    for (guint i = 0; i < tess_label_table_n (labels); i++) {
      const TessLabel *label = tess_label_table_peek (labels, i);
      g_autofree char *value = g_strdup_printf ("%" PRId64, label->value);

      json_object_set_string_member (fresh, value, label->name);
    }
  else
    keep_order = put_version_2 (fresh, labels, old) && tess_label_table_n_regions (labels) > 0;
  json_object_set_object_member (object, "labels", fresh);
  if (!keep_order)
    json_object_remove_member (object, "regions_class_order"); /* it says which value nnU-Net writes for which member */
}

/* What else is in a file that is there stays, and its kind; a new one is a dataset.json of version 2. */
gboolean
tess_label_json_save (TessLabelTable *labels, const char *path, GError **error)
{
  g_autoptr (JsonNode) root = NULL;
  g_autofree char *name = g_filename_display_name (path);
  JsonObject *object, *old = NULL;

  if (g_file_test (path, G_FILE_TEST_EXISTS)) {
    root = tess_json_load (path, error);
    if (!root || !tess_json_root (root, name, &object, error))
      return FALSE;
    if (is_colour_map (object)) {
      put_colour_map (object, labels);
      return tess_json_save (path, root, error);
    }
    if (!tess_json_object_opt (object, name, "labels", &old, error))
      return FALSE;
  } else {
    root = json_node_new (JSON_NODE_OBJECT);
    object = json_object_new ();
    json_node_take_object (root, object);
  }
  put_dataset (object, labels, old);
  return tess_json_save (path, root, error);
}
