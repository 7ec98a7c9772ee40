#include "tess-dataset-private.h"

#include "tess-plan.h"
#include "tess-statistics.h"

#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>

static void
case_files_free (gpointer data)
{
  TessCaseFiles *files = data;

  g_free (files->id);
  g_strfreev (files->image_paths);
  g_free (files->label_path);
  g_free (files);
}

TessDataset *
tess_dataset_ref (TessDataset *dataset)
{
  g_atomic_int_inc (&dataset->ref_count);
  return dataset;
}

void
tess_dataset_unref (TessDataset *dataset)
{
  if (!g_atomic_int_dec_and_test (&dataset->ref_count))
    return;
  g_free (dataset->directory);
  g_free (dataset->name);
  g_strfreev (dataset->channel_names);
  g_strfreev (dataset->label_names);
  tess_plan_regions_free (dataset->regions, dataset->n_regions);
  g_ptr_array_unref (dataset->cases);
  g_free (dataset);
}

guint
tess_dataset_n_values (const TessDataset *dataset)
{
  return dataset->n_labels + (dataset->ignore_label > 0 ? 1 : 0);
}

/* The scan at position i of the sorted ids; lent. */
const TessCaseFiles *
tess_dataset_case (const TessDataset *dataset, guint i)
{
  g_return_val_if_fail (i < dataset->cases->len, NULL);
  return g_ptr_array_index (dataset->cases, i);
}

/* names[0..n-1] with every place filled; the entry at `index` is taken from `name`. FALSE when taken or out of range.
 */
static gboolean
fill_name (char **names, guint n, gint64 index, const char *name)
{
  if (index < 0 || index >= (gint64)n || names[index])
    return FALSE;
  names[index] = g_strdup (name);
  return TRUE;
}

static gboolean
parse_channels (TessDataset *dataset, JsonObject *root, const char *path, GError **error)
{
  gboolean legacy = json_object_has_member (root, "modality") && !json_object_has_member (root, "channel_names");
  const char *key = legacy ? "modality" : "channel_names";
  JsonObject *channels;
  JsonObjectIter iter;
  const char *number;
  JsonNode *node;

  if (!tess_json_object (root, path, key, &channels, error))
    return FALSE;
  dataset->n_channels = json_object_get_size (channels);
  if (dataset->n_channels == 0 || dataset->n_channels > TESS_MAX_CHANNELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED, _ ("%s: \"%s\" names %u channels; give 1 to %d"), path, key,
                 dataset->n_channels, TESS_MAX_CHANNELS);
    return FALSE;
  }
  dataset->channel_names = g_new0 (char *, dataset->n_channels + 1);
  json_object_iter_init (&iter, channels);
  while (json_object_iter_next (&iter, &number, &node)) {
    gint64 index = -1;

    if (!JSON_NODE_HOLDS_VALUE (node) || json_node_get_value_type (node) != G_TYPE_STRING ||
        !g_ascii_string_to_signed (number, 10, 0, G_MAXINT32, &index, NULL) ||
        !fill_name (dataset->channel_names, dataset->n_channels, index, json_node_get_string (node))) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: \"%s\" has the entry \"%s\"; number the channels \"0\", \"1\", ... and name each once"),
                   path, key, number);
      /* Half-filled names must not look complete to g_strfreev. */
      for (guint i = 0; i < dataset->n_channels; i++)
        if (!dataset->channel_names[i])
          dataset->channel_names[i] = g_strdup ("");
      return FALSE;
    }
  }
  return TRUE;
}

/* One entry of "labels": {"NAME": 3}, also {"NAME": "3"}, {"NAME": [3]} and the Decathlon's {"3": "NAME"}. */
static gboolean
parse_label (const char *path, const char *key, JsonNode *node, gint64 *value, const char **name, GError **error)
{
  JsonArray *list = JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;

  *name = key;
  if (list && json_array_get_length (list) == 1)
    node = json_array_get_element (list, 0);
  if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_INT64) {
    *value = json_node_get_int (node);
    return TRUE;
  }
  if (JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING) {
    if (g_ascii_string_to_signed (key, 10, 0, G_MAXINT32, value, NULL)) {
      *name = json_node_get_string (node);
      return TRUE;
    }
    if (g_ascii_string_to_signed (json_node_get_string (node), 10, 0, G_MAXINT32, value, NULL))
      return TRUE;
  }
  g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, _ ("%s: label \"%s\" has no whole number; write \"%s\": 1"), path,
               key, key);
  return FALSE;
}

/* Regions: sets of labels that are learnt as one each (nnU-Net's region-based training). */
static gboolean
parse_regions (TessDataset *dataset, JsonObject *root, JsonObject *labels, const char *path, GError **error)
{
  if (!tess_regions_from_json (root, path, &dataset->regions, &dataset->n_regions, &dataset->n_labels, error))
    return FALSE;
  dataset->label_names = tess_region_label_names (dataset->regions, dataset->n_regions, dataset->n_labels);
  return tess_ignore_from_json (labels, path, dataset->n_labels, &dataset->ignore_label, error);
}

static gboolean
parse_labels (TessDataset *dataset, JsonObject *root, const char *path, GError **error)
{
  g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free); /* by value; NULL = not named */
  JsonObject *labels;
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  if (!tess_json_object (root, path, "labels", &labels, error))
    return FALSE;
  if (tess_regions_in_json (labels))
    return parse_regions (dataset, root, labels, path, error);
  json_object_iter_init (&iter, labels);
  while (json_object_iter_next (&iter, &key, &node)) {
    gint64 value = 0;
    const char *name;

    if (g_ascii_strcasecmp (key, "ignore") == 0) /* below */
      continue;
    if (!parse_label (path, key, node, &value, &name, error))
      return FALSE;
    if (value < 0 || value >= TESS_MAX_LABELS) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                   _ ("%s: label \"%s\" has the value %" PRId64 "; use values from 0 to %d"), path, name, value,
                   TESS_MAX_LABELS - 1);
      return FALSE;
    }
    if (names->len <= value)
      g_ptr_array_set_size (names, (int)value + 1);
    if (names->pdata[value]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: labels \"%s\" and \"%s\" have the same value; give each its own"), path,
                   (char *)names->pdata[value], name);
      return FALSE;
    }
    names->pdata[value] = g_strdup (name);
  }
  for (guint i = 0; i < names->len; i++)
    if (!names->pdata[i]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: no label has the value %u; label values must be 0 (background), 1, 2, ... without a gap"),
                   path, i);
      return FALSE;
    }
  if (names->len < 2) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: names no label besides the background; name at least one structure"), path);
    return FALSE;
  }
  dataset->n_labels = names->len;
  g_ptr_array_add (names, NULL);
  dataset->label_names = (char **)g_ptr_array_steal (names, NULL);
  return tess_ignore_from_json (labels, path, dataset->n_labels, &dataset->ignore_label, error);
}

/* The values of every label map, for a dataset that does not name them. */
static gboolean
discover_labels (TessDataset *dataset, TessProgress *progress, GError **error)
{
  const char *seen_in[TESS_MAX_LABELS] = {NULL};

  for (guint i = 0; i < dataset->cases->len; i++) {
    const char *path = tess_dataset_case (dataset, i)->label_path;
    g_autoptr (TessVolume) label = NULL;
    g_autoptr (GArray) values = NULL, counts = NULL;

    if (!tess_progress_check (progress, error) || !(label = tess_volume_load (path, NULL, error)))
      return FALSE;
    if (!tess_label_values_check (label, path, TESS_MAX_LABELS, error) ||
        !tess_volume_label_counts (label, &values, &counts, error))
      return FALSE;
    for (guint v = 0; v < values->len; v++) {
      gint64 value = g_array_index (values, gint64, v);

      dataset->n_labels = MAX (dataset->n_labels, (guint)value + 1);
      if (!seen_in[value])
        seen_in[value] = path;
    }
    tess_progress_set (progress, (i + 1.0) / dataset->cases->len);
  }
  for (guint value = 1; value < dataset->n_labels; value++)
    if (!seen_in[value]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: holds the value %u, but no label map holds %u; renumber the labels 0, 1, 2, ... without a "
                      "gap or write a dataset.json"),
                   seen_in[dataset->n_labels - 1], dataset->n_labels - 1, value);
      return FALSE;
    }
  if (dataset->n_labels < 2) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: all label maps are background only; mark the structures to be learnt with 1, 2, ..."),
                 dataset->directory);
    return FALSE;
  }
  dataset->label_names = g_new0 (char *, dataset->n_labels + 1);
  for (guint value = 0; value < dataset->n_labels; value++)
    dataset->label_names[value] = value ? g_strdup_printf ("label_%u", value) : g_strdup ("background");
  return TRUE;
}

static gboolean
discover_channels (TessDataset *dataset, guint n_files, GError **error)
{
  const TessCaseFiles *first = tess_dataset_case (dataset, 0);

  dataset->n_channels = n_files;
  if (n_files == 1) {
    g_autoptr (TessVolume) image = tess_volume_load (first->image_paths[0], NULL, error);

    if (!image)
      return FALSE;
    if (tess_volume_n_channels (image) > TESS_MAX_CHANNELS) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
                   _ ("%s: has %" PRId64 " channels, more than %d; leave some out"), first->image_paths[0],
                   tess_volume_n_channels (image), TESS_MAX_CHANNELS);
      return FALSE;
    }
    dataset->n_channels = (guint)tess_volume_n_channels (image);
  }
  dataset->channel_names = g_new0 (char *, dataset->n_channels + 1);
  for (guint i = 0; i < dataset->n_channels; i++)
    dataset->channel_names[i] = g_strdup_printf ("channel_%u", i);
  return TRUE;
}

/* Opens a folder in nnU-Net's raw layout and checks that scans and label maps pair up; voxels are read only where
 * dataset.json is absent (labels of every map, channels of the first scan). numTraining is not compared: the folder is
 * what counts. Errors: IO (no such folder, nothing in it), FORMAT (dataset.json), UNSUPPORTED (too many
 * channels, labels or regions), MISMATCH (a file without its partner, labels with a gap). */
TessDataset *
tess_dataset_open (const char *directory, TessProgress *progress, GError **error)
{
  g_autoptr (TessDataset) dataset = g_new0 (TessDataset, 1);
  g_autofree char *json_path = NULL;
  g_autoptr (JsonNode) root = NULL;
  const char *ending = NULL;
  guint n_files = 0;

  g_atomic_ref_count_init (&dataset->ref_count);
  dataset->directory = g_canonicalize_filename (directory, NULL);
  dataset->name = g_path_get_basename (dataset->directory);
  dataset->cases = g_ptr_array_new_with_free_func (case_files_free);
  if (!g_file_test (dataset->directory, G_FILE_TEST_IS_DIR)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO,
                 g_file_test (dataset->directory, G_FILE_TEST_EXISTS)
                     ? _ ("%s: is not a folder; give the folder that holds imagesTr and labelsTr")
                     : _ ("%s: there is no such folder; give the folder that holds imagesTr and labelsTr"),
                 directory);
    return NULL;
  }
  json_path = g_build_filename (dataset->directory, "dataset.json", NULL);
  if (g_file_test (json_path, G_FILE_TEST_EXISTS)) {
    JsonObject *object;

    dataset->has_json = TRUE;
    if (!(root = tess_json_load (json_path, error)) || !tess_json_root (root, json_path, &object, error) ||
        !parse_channels (dataset, object, json_path, error) || !parse_labels (dataset, object, json_path, error))
      return NULL;
    if (json_object_has_member (object, "file_ending") &&
        !tess_json_string (object, json_path, "file_ending", &ending, error))
      return NULL;
  }
  if (!tess_dataset_scan (dataset, ending, &n_files, error))
    return NULL;
  if (!dataset->has_json &&
      (!discover_channels (dataset, n_files, error) || !discover_labels (dataset, progress, error)))
    return NULL;
  return g_steal_pointer (&dataset);
}

static void
identity_add (GChecksum *sum, const char *text)
{
  g_checksum_update (sum, (const guchar *)text, (gssize)strlen (text) + 1); /* the 0 keeps "ab","c" from "a","bc" */
}

char *
tess_dataset_identity (const TessDataset *dataset)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);

  identity_add (sum, dataset->name);
  for (guint i = 0; i < dataset->n_channels; i++)
    identity_add (sum, dataset->channel_names[i]);
  identity_add (sum, "");
  for (guint i = 0; i < dataset->n_labels; i++)
    identity_add (sum, dataset->label_names[i]);
  for (guint i = 0; i < dataset->n_regions; i++)
    identity_add (sum, dataset->regions[i].name);
  if (dataset->ignore_label > 0)
    identity_add (sum, "ignore");
  identity_add (sum, "");
  for (guint i = 0; i < dataset->cases->len; i++) {
    const TessCaseFiles *files = tess_dataset_case (dataset, i);

    identity_add (sum, files->id);
    for (char **path = files->image_paths; *path; path++) {
      GStatBuf info;
      gint64 size = g_stat (*path, &info) == 0 ? (gint64)info.st_size : -1;
      g_autofree char *text = g_strdup_printf ("%" PRId64, size);

      identity_add (sum, text);
    }
  }
  return g_strconcat ("sha256:", g_checksum_get_string (sum), NULL);
}

/* Everything behind the scan's name in its file name, without a channel suffix: ".nii.gz". */
static char *
file_ending (const TessDataset *dataset)
{
  const char *path = tess_dataset_case (dataset, 0)->label_path;
  g_autofree char *base = g_path_get_basename (path);
  g_autofree char *stem = tess_volume_stem (path);

  return g_strdup (g_str_has_prefix (base, stem) ? base + strlen (stem) : "");
}

/* The regions into labels; returns their order. */
static JsonArray *
regions_to_json (const TessDataset *dataset, JsonObject *labels)
{
  JsonArray *order = json_array_new ();

  for (guint i = 0; i < dataset->n_regions; i++) {
    JsonArray *values = json_array_new ();

    for (guint v = 0; v < 256; v++)
      if (dataset->regions[i].holds[v])
        json_array_add_int_element (values, v);
    json_object_set_array_member (labels, dataset->regions[i].name, values);
    json_array_add_int_element (order, dataset->regions[i].label);
  }
  return order;
}

JsonNode *
tess_dataset_to_json (const TessDataset *dataset)
{
  JsonObject *root = json_object_new (), *channels = json_object_new (), *labels = json_object_new ();
  JsonArray *cases = json_array_new ();
  JsonNode *node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *identity = tess_dataset_identity (dataset);
  g_autofree char *ending = file_ending (dataset);

  for (guint i = 0; i < dataset->n_channels; i++) {
    g_autofree char *key = g_strdup_printf ("%u", i);

    json_object_set_string_member (channels, key, dataset->channel_names[i]);
  }
  for (guint i = 0; i < dataset->n_labels && (i == 0 || dataset->n_regions == 0); i++)
    json_object_set_int_member (labels, dataset->label_names[i], i);
  if (dataset->n_regions > 0)
    json_object_set_array_member (root, "regions_class_order", regions_to_json (dataset, labels));
  if (dataset->ignore_label > 0)
    json_object_set_int_member (labels, "ignore", dataset->ignore_label);
  for (guint i = 0; i < dataset->cases->len; i++)
    json_array_add_string_element (cases, tess_dataset_case (dataset, i)->id);
  json_object_set_string_member (root, "name", dataset->name);
  json_object_set_object_member (root, "channel_names", channels);
  json_object_set_object_member (root, "labels", labels);
  json_object_set_int_member (root, "numTraining", dataset->cases->len);
  json_object_set_string_member (root, "file_ending", ending);
  json_object_set_string_member (root, "identity", identity);
  json_object_set_array_member (root, "cases", cases);
  json_node_take_object (node, root);
  return node;
}
