#include "tess-evaluation.h"

#include "tess-comparison.h"
#include "tess-evaluate.h"
#include "tess-format-registry.h"
#include "tess-results-csv.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

struct _TessEvaluationCase {
  GObject parent_instance;

  char *name, *reference, *prediction, *image;
  double dice, hd95, difference;
  GArray *metrics; /* TessLabelMetrics */
};

G_DEFINE_FINAL_TYPE (TessEvaluationCase, tess_evaluation_case, G_TYPE_OBJECT)

static void
tess_evaluation_case_finalize (GObject *object)
{
  TessEvaluationCase *self = TESS_EVALUATION_CASE (object);

  g_free (self->name);
  g_free (self->reference);
  g_free (self->prediction);
  g_free (self->image);
  g_array_unref (self->metrics);
  G_OBJECT_CLASS (tess_evaluation_case_parent_class)->finalize (object);
}

static void
tess_evaluation_case_class_init (TessEvaluationCaseClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = tess_evaluation_case_finalize;
}

static void
tess_evaluation_case_init (TessEvaluationCase *self)
{
  self->metrics = g_array_new (FALSE, TRUE, sizeof (TessLabelMetrics));
}

const char *
tess_evaluation_case_get_name (TessEvaluationCase *self)
{
  return self->name;
}

const char *
tess_evaluation_case_get_reference (TessEvaluationCase *self)
{
  return self->reference;
}

const char *
tess_evaluation_case_get_prediction (TessEvaluationCase *self)
{
  return self->prediction;
}

const char *
tess_evaluation_case_get_image (TessEvaluationCase *self)
{
  return self->image;
}

double
tess_evaluation_case_get_dice (TessEvaluationCase *self)
{
  return self->dice;
}

double
tess_evaluation_case_get_hd95 (TessEvaluationCase *self)
{
  return self->hd95;
}

double
tess_evaluation_case_get_difference (TessEvaluationCase *self)
{
  return self->difference;
}

const TessLabelMetrics *
tess_evaluation_case_peek (TessEvaluationCase *self, guint *n)
{
  if (n)
    *n = self->metrics->len;
  return (const TessLabelMetrics *)(void *)self->metrics->data;
}

/* --- names and pictures that lie beside the reference folder ------------------------------------------------------ */

/* nnU-Net's dataset.json beside the folder: {"name": value} or, older, {"value": "name"}. Value -> name. */
static GHashTable *
label_names (const char *reference)
{
  GHashTable *names = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, g_free);
  g_autofree char *whole = g_canonicalize_filename (reference, NULL), *parent = g_path_get_dirname (whole);
  g_autofree char *path = g_build_filename (parent, "dataset.json", NULL);
  JsonNode *root = g_file_test (path, G_FILE_TEST_IS_REGULAR) ? tess_json_load (path, NULL) : NULL;
  JsonObject *object = NULL, *labels = NULL;
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  if (root && tess_json_root (root, path, &object, NULL) && tess_json_object (object, path, "labels", &labels, NULL)) {
    json_object_iter_init (&iter, labels);
    while (json_object_iter_next (&iter, &key, &node)) {
      gint64 value;

      if (!JSON_NODE_HOLDS_VALUE (node))
        continue;
      if (json_node_get_value_type (node) == G_TYPE_INT64) {
        value = json_node_get_int (node);
        g_hash_table_insert (names, g_memdup2 (&value, sizeof value), g_strdup (key));
      } else if (json_node_get_value_type (node) == G_TYPE_STRING &&
                 g_ascii_string_to_signed (key, 10, 0, G_MAXINT32, &value, NULL)) {
        g_hash_table_insert (names, g_memdup2 (&value, sizeof value), g_strdup (json_node_get_string (node)));
      }
    }
  }
  g_clear_pointer (&root, json_node_unref);
  return names;
}

/* The scan that a label file of labelsTr or labelsTs belongs to: imagesTr/CASE_0000.ENDING, or CASE.ENDING. */
static char *
find_image (const char *label)
{
  static const char *const folders[][2] = {{"labelsTr", "imagesTr"}, {"labelsTs", "imagesTs"}};
  static const char *const suffixes[] = {"_0000", ""};
  g_autofree char *whole = g_canonicalize_filename (label, NULL), *folder = g_path_get_dirname (whole);
  g_autofree char *folder_name = g_path_get_basename (folder), *parent = g_path_get_dirname (folder);
  g_autofree char *file = g_path_get_basename (whole), *stem = tess_volume_stem (whole);
  const char *ending = file + MIN (strlen (stem), strlen (file));

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++)
    for (guint j = 0; j < G_N_ELEMENTS (suffixes) && strcmp (folder_name, folders[i][0]) == 0; j++) {
      g_autofree char *name = g_strconcat (stem, suffixes[j], ending, NULL);
      g_autofree char *path = g_build_filename (parent, folders[i][1], name, NULL);

      if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
        return g_steal_pointer (&path);
    }
  return NULL;
}

/* --- from tess_evaluate()'s JSON ---------------------------------------------------------------------------------- */

static double
number (JsonObject *o, const char *name)
{
  JsonNode *node = json_object_get_member (o, name);

  return node && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_double (node) : NAN;
}

static gint64
count (JsonObject *o, const char *name)
{
  double n = number (o, name);

  return isfinite (n) ? (gint64)n : 0;
}

static gint
compare_labels (gconstpointer a, gconstpointer b)
{
  gint64 x = ((const TessEvaluationLabel *)a)->value, y = ((const TessEvaluationLabel *)b)->value;

  return (x > y) - (x < y);
}

static void
label_clear (gpointer data)
{
  g_free (((TessEvaluationLabel *)data)->name);
}

static gboolean
read_labels (TessEvaluation *self, JsonObject *root, const char *origin, GError **error)
{
  g_autoptr (GHashTable) names = label_names (self->reference);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  JsonObject *mean, *excluded = NULL;
  JsonObjectIter iter;
  const char *key;
  JsonNode *node;

  if (!tess_json_object (root, origin, "mean", &mean, error) ||
      !tess_json_object (root, origin, "excluded", &excluded, error))
    return FALSE;
  json_object_iter_init (&iter, mean);
  while (json_object_iter_next (&iter, &key, &node)) {
    TessEvaluationLabel label = {0};
    const char *name;

    if (!JSON_NODE_HOLDS_OBJECT (node) || !g_ascii_string_to_signed (key, 10, 1, G_MAXINT32, &label.value, NULL))
      continue;
    name = g_hash_table_lookup (names, &label.value);
    label.name = name ? g_strdup (name) : g_strdup_printf (_ ("label %" PRId64), label.value);
    label.dice = number (json_node_get_object (node), "dice");
    label.n_absent = (guint)count (excluded, key);
    g_array_append_val (self->labels, label);
  }
  g_array_sort (self->labels, compare_labels);
  /* Colours in the order of values, as the layers have them. */
  for (guint i = 0; i < self->labels->len; i++) {
    TessEvaluationLabel *label = &g_array_index (self->labels, TessEvaluationLabel, i);

    tess_label_table_add (table, label->value, label->name, NULL);
    memcpy (label->rgba, tess_label_table_find (table, label->value)->rgba, 4);
  }
  return TRUE;
}

static TessEvaluationCase *
read_case (const TessEvaluation *self, JsonObject *o, const char *origin, GError **error)
{
  g_autoptr (TessEvaluationCase) c = g_object_new (TESS_TYPE_EVALUATION_CASE, NULL);
  const char *name, *reference, *prediction;
  double sum = 0.0, volume_reference = 0.0, volume_prediction = 0.0;
  JsonObject *labels;
  guint n = 0;

  if (!tess_json_string (o, origin, "case", &name, error) ||
      !tess_json_string (o, origin, "reference", &reference, error) ||
      !tess_json_string (o, origin, "prediction", &prediction, error) ||
      !tess_json_object (o, origin, "labels", &labels, error))
    return NULL;
  c->name = g_strdup (name);
  c->reference = g_strdup (reference);
  c->prediction = g_strdup (prediction);
  c->image = find_image (reference);
  c->hd95 = NAN;
  for (guint i = 0; i < self->labels->len; i++) {
    gint64 value = g_array_index (self->labels, TessEvaluationLabel, i).value;
    g_autofree char *key = g_strdup_printf ("%" PRId64, value);
    JsonObject *row = NULL;
    TessLabelMetrics m = {.label = value, .dice = NAN, .iou = NAN, .hd95 = NAN};

    if (!tess_json_object_opt (labels, origin, key, &row, error))
      return NULL;
    if (row) {
      m.tp = count (row, "tp");
      m.fp = count (row, "fp");
      m.fn = count (row, "fn");
      m.dice = number (row, "dice");
      m.iou = number (row, "iou");
      m.hd95 = number (row, "hd95_mm");
      m.volume_reference = number (row, "volume_reference_mm3");
      m.volume_prediction = number (row, "volume_prediction_mm3");
    }
    g_array_append_val (c->metrics, m);
    if (isfinite (m.dice)) {
      sum += m.dice;
      n++;
      volume_reference += m.volume_reference;
      volume_prediction += m.volume_prediction;
    }
    c->hd95 = fmax (c->hd95, m.hd95); /* of a number and NaN, the number */
  }
  c->dice = n ? sum / n : NAN;
  c->difference = tess_volume_difference (volume_reference, volume_prediction);
  return g_steal_pointer (&c);
}

/* Worst first; a case that says nothing (no label in either map) last; else by name, so that the order is one. */
static gint
compare_cases (gconstpointer a, gconstpointer b, gpointer data)
{
  TessEvaluationCase *x = (TessEvaluationCase *)a, *y = (TessEvaluationCase *)b;

  if (isnan (x->dice) != isnan (y->dice))
    return isnan (x->dice) ? 1 : -1;
  if (!isnan (x->dice) && x->dice != y->dice)
    return x->dice < y->dice ? -1 : 1;
  return strcmp (x->name, y->name);
}

TessEvaluation *
tess_evaluation_from_json (JsonNode *root, const char *reference, const char *prediction, GError **error)
{
  g_autoptr (TessEvaluation) self = g_new0 (TessEvaluation, 1);
  JsonObject *object, *mean, *unpaired = NULL;
  JsonArray *cases, *lone = NULL;

  self->reference = g_strdup (reference);
  self->prediction = g_strdup (prediction);
  self->labels = g_array_new (FALSE, TRUE, sizeof (TessEvaluationLabel));
  g_array_set_clear_func (self->labels, label_clear);
  self->cases = g_list_store_new (TESS_TYPE_EVALUATION_CASE);
  if (!tess_json_root (root, reference, &object, error) || !read_labels (self, object, reference, error) ||
      !tess_json_object (object, reference, "foreground_mean", &mean, error) ||
      !tess_json_array (object, reference, "cases", &cases, error) ||
      !tess_json_object_opt (object, reference, "unpaired", &unpaired, error))
    return NULL;
  self->dice = number (mean, "dice");
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonNode *node = json_array_get_element (cases, i);
    g_autoptr (TessEvaluationCase) c = NULL;

    if (!JSON_NODE_HOLDS_OBJECT (node))
      continue;
    c = read_case (self, json_node_get_object (node), reference, error);
    if (!c)
      return NULL;
    g_list_store_append (self->cases, c);
  }
  g_list_store_sort (self->cases, compare_cases, NULL);
  if (unpaired && tess_json_array_opt (unpaired, reference, "reference", &lone, NULL) && lone)
    self->n_lone_reference = json_array_get_length (lone);
  lone = NULL;
  if (unpaired && tess_json_array_opt (unpaired, reference, "prediction", &lone, NULL) && lone)
    self->n_lone_prediction = json_array_get_length (lone);
  return g_steal_pointer (&self);
}

/**
 * tess_evaluation_new:
 * @reference: folder of label maps, in nnU-Net's layout best (its data set then gives names and scans)
 * @prediction: folder of label maps with the same file names
 *
 * Evaluates as tess_evaluate() does, and finds label names (dataset.json beside) and scans (imagesTr beside labelsTr).
 *
 * Returns: (transfer full): NULL with that function's errors.
 */
TessEvaluation *
tess_evaluation_new (const char *reference, const char *prediction, TessProgress *progress, GError **error)
{
  JsonNode *root = tess_evaluate (reference, prediction, progress, error);
  TessEvaluation *self = root ? tess_evaluation_from_json (root, reference, prediction, error) : NULL;

  g_clear_pointer (&root, json_node_unref);
  return self;
}

void
tess_evaluation_free (TessEvaluation *self)
{
  if (!self)
    return;
  g_free (self->reference);
  g_free (self->prediction);
  g_clear_pointer (&self->labels, g_array_unref);
  g_clear_object (&self->cases);
  g_free (self);
}

/* --- CSV ---------------------------------------------------------------------------------------------------------- */

char *
tess_evaluation_to_csv (const TessEvaluation *self)
{
  GString *csv = tess_results_csv_new ();
  guint n_cases = g_list_model_get_n_items (G_LIST_MODEL (self->cases));

  for (guint i = 0; i < n_cases; i++) {
    g_autoptr (TessEvaluationCase) c = g_list_model_get_item (G_LIST_MODEL (self->cases), i);

    for (guint l = 0; l < self->labels->len; l++)
      tess_results_csv_add (csv, c->name, g_array_index (self->labels, TessEvaluationLabel, l).name,
                            &g_array_index (c->metrics, TessLabelMetrics, l));
  }
  return g_string_free (csv, FALSE);
}
