#include "tess-evaluate.h"

#include "tess-format-registry.h"
#include "tess-statistics.h"

#include <math.h>
#include <string.h>

#define N_VALUES 8

/* One case: two files that belong together. */
typedef struct {
  char *name, *reference, *prediction;
} Pair;

static void
pair_free (gpointer data)
{
  Pair *pair = data;

  g_free (pair->name);
  g_free (pair->reference);
  g_free (pair->prediction);
  g_free (pair);
}

static int
compare_pairs (gconstpointer a, gconstpointer b)
{
  return strcmp ((*(Pair *const *)a)->name, (*(Pair *const *)b)->name);
}

static int
compare_strings (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *)a, *(char *const *)b);
}

/* Readable volumes of a folder: stem -> path. */
static GHashTable *
list_folder (const char *path, GError **error)
{
  g_autoptr (GHashTable) files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  GError *local = NULL;
  g_autoptr (GDir) dir = g_dir_open (path, 0, &local);
  const char *name;

  if (!dir) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: the folder cannot be read: %s"), path, local->message);
    g_error_free (local);
    return NULL;
  }
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *full = g_build_filename (path, name, NULL);
    g_autofree char *stem = NULL;
    const char *twin;

    if (name[0] == '.' || !tess_format_for_path (name, NULL) || tess_volume_is_companion (full) ||
        !g_file_test (full, G_FILE_TEST_IS_REGULAR))
      continue;
    stem = tess_volume_stem (name);
    twin = g_hash_table_lookup (files, stem);
    if (twin) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: has the same name as %s but for the ending; move one of them away"), full, twin);
      return NULL;
    }
    g_hash_table_insert (files, g_steal_pointer (&stem), g_steal_pointer (&full));
  }
  return g_steal_pointer (&files);
}

static gboolean
pair_folders (const char *reference, const char *prediction, GPtrArray *pairs, GPtrArray *lone_reference,
              GPtrArray *lone_prediction, GError **error)
{
  g_autoptr (GHashTable) r = list_folder (reference, error);
  g_autoptr (GHashTable) p = r ? list_folder (prediction, error) : NULL;
  GHashTableIter iter;
  gpointer stem, path;

  if (!p)
    return FALSE;
  g_hash_table_iter_init (&iter, r);
  while (g_hash_table_iter_next (&iter, &stem, &path)) {
    const char *other = g_hash_table_lookup (p, stem);
    Pair *pair;

    if (!other) {
      g_ptr_array_add (lone_reference, g_path_get_basename (path));
      continue;
    }
    pair = g_new (Pair, 1);
    *pair = (Pair){g_strdup (stem), g_strdup (path), g_strdup (other)};
    g_ptr_array_add (pairs, pair);
  }
  g_hash_table_iter_init (&iter, p);
  while (g_hash_table_iter_next (&iter, &stem, &path))
    if (!g_hash_table_contains (r, stem))
      g_ptr_array_add (lone_prediction, g_path_get_basename (path));
  g_ptr_array_sort (pairs, compare_pairs);
  g_ptr_array_sort (lone_reference, compare_strings);
  g_ptr_array_sort (lone_prediction, compare_strings);
  if (pairs->len == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: none of its %u volumes has the name of one of the %u in %s; give the files of a case the same "
                    "name in both folders"),
                 prediction, lone_prediction->len, lone_reference->len, reference);
    return FALSE;
  }
  return TRUE;
}

static gboolean
find_pairs (const char *reference, const char *prediction, GPtrArray *pairs, GPtrArray *lone_reference,
            GPtrArray *lone_prediction, GError **error)
{
  const char *paths[2] = {reference, prediction};
  gboolean folder[2];
  Pair *pair;

  for (int i = 0; i < 2; i++) {
    if (!g_file_test (paths[i], G_FILE_TEST_EXISTS)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_IO, _ ("%s: there is no such file or folder; check the name"),
                   paths[i]);
      return FALSE;
    }
    folder[i] = g_file_test (paths[i], G_FILE_TEST_IS_DIR);
  }
  if (folder[0] != folder[1]) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("%s: is a %s, but %s is a %s; give two files or two folders"),
                 reference, folder[0] ? _ ("folder") : _ ("file"), prediction, folder[1] ? _ ("folder") : _ ("file"));
    return FALSE;
  }
  if (folder[0])
    return pair_folders (reference, prediction, pairs, lone_reference, lone_prediction, error);
  pair = g_new (Pair, 1);
  *pair = (Pair){tess_volume_stem (reference), g_strdup (reference), g_strdup (prediction)};
  g_ptr_array_add (pairs, pair);
  return TRUE;
}

/* The label map at `path`, its values added to the set. */
static TessVolume *
load_labels (const char *path, GHashTable *values, TessProgress *progress, GError **error)
{
  g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, error);
  g_autoptr (GArray) found = NULL;
  g_autoptr (GArray) counts = NULL;

  if (!volume || !tess_progress_check (progress, error))
    return NULL;
  if (!tess_volume_label_counts (volume, &found, &counts, error)) {
    if (!strstr ((*error)->message, path))
      g_prefix_error (error, "%s: ", path);
    return NULL;
  }
  for (guint i = 0; i < found->len; i++) {
    gint64 value = g_array_index (found, gint64, i);

    if (value != 0)
      g_hash_table_add (values, g_memdup2 (&value, sizeof value));
  }
  return g_steal_pointer (&volume);
}

static int
compare_ints (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return (x > y) - (x < y);
}

static GArray *
sorted_values (GHashTable *set)
{
  GArray *sorted = g_array_new (FALSE, FALSE, sizeof (gint64));
  GHashTableIter iter;
  gpointer key;

  g_hash_table_iter_init (&iter, set);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_array_append_vals (sorted, key, 1);
  g_array_sort (sorted, compare_ints);
  return sorted;
}

/* The map as uint8: 1 where a voxel belongs to the region (NULL: the label itself), 0 where the reference says to
 * ignore. Values a plan cannot have count as background. */
static TessVolume *
masked (const TessVolume *volume, const TessVolume *reference, const TessPlan *plan, const TessPlanRegion *region,
        GError **error)
{
  const gint64 *dim = tess_volume_dim (volume);
  TessVolume *out = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (volume), error);
  g_autofree gint32 *row = g_new (gint32, dim[0]), *truth = g_new (gint32, dim[0]);
  guint8 *to = out ? tess_volume_data_mut (out) : NULL;

  for (gint64 r = 0; out && r < dim[1] * dim[2]; r++) {
    tess_volume_row_i32 (volume, 0, r % dim[1], r / dim[1], 0, dim[0], row);
    tess_volume_row_i32 (reference, 0, r % dim[1], r / dim[1], 0, dim[0], truth);
    for (gint64 x = 0; x < dim[0]; x++) {
      guint8 label = row[x] > 0 && row[x] < (gint32)plan->n_labels ? (guint8)row[x] : 0;

      if (plan->ignore_label > 0 && truth[x] == (gint32)plan->ignore_label)
        label = 0;
      *to++ = region ? region->holds[label] : label;
    }
  }
  if (out)
    tess_volume_set_watermark (out, tess_volume_n_slices (out));
  return out;
}

static gboolean
measure_masked (const Pair *pair, const TessPlan *plan, TessVolume *r, TessVolume *p, guint i, GArray *result,
                GError **error)
{
  const TessPlanRegion *region = plan->n_regions > 0 ? &plan->regions[i - 1] : NULL;
  g_autoptr (TessVolume) a = masked (r, r, plan, region, error);
  g_autoptr (TessVolume) b = a ? masked (p, r, plan, region, error) : NULL;
  TessLabelMetrics m;

  if (!b)
    return FALSE;
  if (!tess_metrics_compute (a, b, region ? 1 : (gint64)i, TRUE, &m, error)) {
    g_prefix_error (error, "%s: ", pair->prediction);
    return FALSE;
  }
  m.label = (gint64)i;
  if (m.tp + m.fp + m.fn > 0)
    g_array_append_val (result, m);
  return TRUE;
}

/* What the plan scores: its regions (numbered from 1) or labels, without what it ignores. */
static GArray *
evaluate_planned (const Pair *pair, const TessPlan *plan, TessVolume *r, TessVolume *p, GHashTable *all_values,
                  TessProgress *progress, GError **error)
{
  g_autoptr (GArray) result = g_array_new (FALSE, FALSE, sizeof (TessLabelMetrics));
  guint n = plan->n_regions > 0 ? plan->n_regions + 1 : plan->n_labels;

  for (gint64 i = 1; i < (gint64)n; i++) {
    if (!tess_progress_check (progress, error) || !measure_masked (pair, plan, r, p, (guint)i, result, error))
      return NULL;
    g_hash_table_add (all_values, g_memdup2 (&i, sizeof i));
  }
  return g_steal_pointer (&result);
}

/* TessLabelMetrics of every label that is in either map. */
static GArray *
evaluate_pair (const Pair *pair, const TessPlan *plan, GHashTable *all_values, TessProgress *progress, GError **error)
{
  g_autoptr (GHashTable) values = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr (TessVolume) r = load_labels (pair->reference, values, progress, error);
  g_autoptr (TessVolume) p = r ? load_labels (pair->prediction, values, progress, error) : NULL;
  g_autoptr (GArray) sorted = NULL;
  g_autoptr (GArray) result = g_array_new (FALSE, FALSE, sizeof (TessLabelMetrics));
  TessLabelMetrics m;

  if (!p)
    return NULL;
  /* Also checks the grids when there is no label at all. */
  if (!tess_metrics_compute (r, p, 0, FALSE, &m, error)) {
    g_prefix_error (error, "%s: ", pair->prediction);
    return NULL;
  }
  if (plan)
    return evaluate_planned (pair, plan, r, p, all_values, progress, error);
  sorted = sorted_values (values);
  for (guint i = 0; i < sorted->len; i++) {
    gint64 value = g_array_index (sorted, gint64, i);

    if (!tess_progress_check (progress, error))
      return NULL;
    if (!tess_metrics_compute (r, p, value, TRUE, &m, error)) {
      g_prefix_error (error, "%s: ", pair->prediction);
      return NULL;
    }
    g_array_append_val (result, m);
    g_hash_table_add (all_values, g_memdup2 (&value, sizeof value));
  }
  return g_steal_pointer (&result);
}

static const TessLabelMetrics *
find_label (GArray *metrics, gint64 label)
{
  for (guint i = 0; i < metrics->len; i++)
    if (g_array_index (metrics, TessLabelMetrics, i).label == label)
      return &g_array_index (metrics, TessLabelMetrics, i);
  return NULL;
}

/* Names of a row's values in JSON, in the order of row_values. */
static const char *const value_names[N_VALUES] = {
    "dice", "iou", "hd95_mm", "volume_reference_mm3", "volume_prediction_mm3", "tp", "fp", "fn"};

/* m NULL: the label is in neither map. */
static void
row_values (const TessLabelMetrics *m, double values[N_VALUES])
{
  const double absent[N_VALUES] = {NAN, NAN, NAN, 0, 0, 0, 0, 0};

  memcpy (values, absent, sizeof absent);
  if (m) {
    const double present[N_VALUES] = {
        m->dice,       m->iou,        m->hd95,      m->volume_reference, m->volume_prediction,
        (double)m->tp, (double)m->fp, (double)m->fn};

    memcpy (values, present, sizeof present);
  }
}

/* whole: counts of voxels are written as integers. */
static JsonObject *
row_json (const double values[N_VALUES], gboolean whole)
{
  JsonObject *o = json_object_new ();

  for (int i = 0; i < N_VALUES; i++)
    if (isnan (values[i]))
      json_object_set_null_member (o, value_names[i]);
    else if (whole && i >= 5)
      json_object_set_int_member (o, value_names[i], (gint64)values[i]);
    else
      json_object_set_double_member (o, value_names[i], values[i]);
  return o;
}

/* Mean of each value over the rows where it is defined; NaN where it never is. Rows that are excluded (no Dice) do
 * not count at all. */
typedef struct {
  double sum[N_VALUES];
  guint n[N_VALUES];
} Mean;

static void
mean_add (Mean *mean, const double values[N_VALUES])
{
  if (isnan (values[0]))
    return;
  for (int i = 0; i < N_VALUES; i++)
    if (!isnan (values[i])) {
      mean->sum[i] += values[i];
      mean->n[i]++;
    }
}

static void
mean_get (const Mean *mean, double values[N_VALUES])
{
  for (int i = 0; i < N_VALUES; i++)
    values[i] = mean->n[i] ? mean->sum[i] / mean->n[i] : NAN;
}

static JsonArray *
strings_json (GPtrArray *strings)
{
  JsonArray *a = json_array_new ();

  for (guint i = 0; i < strings->len; i++)
    json_array_add_string_element (a, strings->pdata[i]);
  return a;
}

/* A region has a name, a label its value. */
static char *
row_key (const TessPlan *plan, gint64 label)
{
  if (plan && plan->n_regions > 0)
    return g_strdup (plan->regions[label - 1].name);
  return g_strdup_printf ("%" G_GINT64_FORMAT, label);
}

static JsonObject *
cases_json (GPtrArray *pairs, GPtrArray *metrics, GArray *labels, const TessPlan *plan)
{
  JsonObject *root = json_object_new ();
  JsonObject *mean_object = json_object_new (), *excluded = json_object_new (), *foreground_object;
  JsonArray *cases = json_array_new ();
  Mean foreground = {0};
  double values[N_VALUES];

  for (guint c = 0; c < pairs->len; c++) {
    const Pair *pair = pairs->pdata[c];
    JsonObject *one = json_object_new (), *rows = json_object_new ();

    for (guint l = 0; l < labels->len; l++) {
      g_autofree char *key = row_key (plan, g_array_index (labels, gint64, l));

      row_values (find_label (metrics->pdata[c], g_array_index (labels, gint64, l)), values);
      json_object_set_object_member (rows, key, row_json (values, TRUE));
    }
    json_object_set_string_member (one, "case", pair->name);
    json_object_set_string_member (one, "reference", pair->reference);
    json_object_set_string_member (one, "prediction", pair->prediction);
    json_object_set_object_member (one, "labels", rows);
    json_array_add_object_element (cases, one);
  }
  for (guint l = 0; l < labels->len; l++) {
    g_autofree char *key = row_key (plan, g_array_index (labels, gint64, l));
    Mean mean = {0};

    for (guint c = 0; c < pairs->len; c++) {
      row_values (find_label (metrics->pdata[c], g_array_index (labels, gint64, l)), values);
      mean_add (&mean, values);
    }
    mean_get (&mean, values);
    mean_add (&foreground, values);
    json_object_set_object_member (mean_object, key, row_json (values, FALSE));
    json_object_set_int_member (excluded, key, pairs->len - mean.n[0]);
  }
  mean_get (&foreground, values);
  foreground_object = row_json (values, FALSE);
  json_object_set_array_member (root, "cases", cases);
  json_object_set_object_member (root, "mean", mean_object);
  json_object_set_object_member (root, "excluded", excluded);
  json_object_set_object_member (root, "foreground_mean", foreground_object);
  return root;
}

static void
array_unref (gpointer array)
{
  g_array_unref (array);
}

/**
 * tess_evaluate_for_plan:
 * @reference: a label map, or a folder of them
 * @prediction: the same kind
 * @plan: (nullable): of what was trained: its regions are judged instead of the labels, and voxels the reference
 *   marks to be ignored count nowhere
 * @progress: (nullable): advances with every case
 *
 * Compares segmentations with their references, every label but 0 (tess_metrics_compute() says how). Files of two
 * folders belong together when their names agree but for the ending; what has no partner is listed under "unpaired"
 * {"reference": [...], "prediction": [...]}. A label that occurs in some case but in neither map of another is null
 * there, left out of the means and counted in "excluded". "mean" averages a label over cases, each value over those
 * where it is defined (a distance needs the label in both maps); "foreground_mean" averages the labels' means.
 *
 * Returns: (transfer full): the result, or NULL: the file's own error, MISMATCH (grids, nothing pairs, values that are
 * no labels), USAGE (a file and a folder), CANCELLED.
 */
JsonNode *
tess_evaluate_for_plan (const char *reference, const char *prediction, const TessPlan *plan, TessProgress *progress,
                        GError **error)
{
  g_autoptr (GPtrArray) pairs = g_ptr_array_new_with_free_func (pair_free);
  g_autoptr (GPtrArray) lone_reference = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) lone_prediction = g_ptr_array_new_with_free_func (g_free);
  g_autoptr (GPtrArray) metrics = g_ptr_array_new_with_free_func (array_unref);
  g_autoptr (GHashTable) values = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autoptr (GArray) labels = NULL;
  GError *local = NULL;
  JsonObject *root, *unpaired;
  JsonNode *node;

  if (!find_pairs (reference, prediction, pairs, lone_reference, lone_prediction, error))
    return NULL;
  for (guint i = 0; i < pairs->len; i++) {
    GArray *one = evaluate_pair (pairs->pdata[i], plan, values, progress, &local);

    if (!one) {
      g_propagate_error (error, local);
      return NULL;
    }
    g_ptr_array_add (metrics, one);
    tess_progress_set (progress, (double)(i + 1) / pairs->len);
  }
  labels = sorted_values (values);
  root = cases_json (pairs, metrics, labels, plan);
  unpaired = json_object_new ();
  json_object_set_array_member (unpaired, "reference", strings_json (lone_reference));
  json_object_set_array_member (unpaired, "prediction", strings_json (lone_prediction));
  json_object_set_object_member (root, "unpaired", unpaired);
  node = json_node_new (JSON_NODE_OBJECT);
  json_node_take_object (node, root);
  return node;
}

/* The labels as they are. */
JsonNode *
tess_evaluate (const char *reference, const char *prediction, TessProgress *progress, GError **error)
{
  return tess_evaluate_for_plan (reference, prediction, NULL, progress, error);
}
