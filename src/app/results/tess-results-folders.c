#include "tess-results-private.h"

#include "tess-atomic-file.h"
#include "tess-format-registry.h"
#include "tess-results-csv.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static void
emit_failed (TessResults *self, const GError *error, TessResultsRemedy remedy)
{
  if (!g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED))
    g_signal_emit (self, tess_results_signals[TESS_RESULTS_FAILED_SIGNAL], 0, error->message, remedy);
}

static void
emit_evaluated (TessResults *self)
{
  g_signal_emit (self, tess_results_signals[TESS_RESULTS_EVALUATED], 0);
}

/* --- evaluating --------------------------------------------------------------------------------------------------- */

typedef struct {
  char *reference, *prediction;
  TessProgress *progress;
  TessJob *job;
  guint64 generation;
} Evaluating;

static void
evaluating_free (gpointer data)
{
  Evaluating *e = data;

  g_free (e->reference);
  g_free (e->prediction);
  tess_progress_unref (e->progress);
  g_object_unref (e->job);
  g_free (e);
}

static void
evaluate_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Evaluating *e = task_data;
  GError *error = NULL;
  TessEvaluation *evaluation = tess_evaluation_new (e->reference, e->prediction, e->progress, &error);

  if (evaluation)
    g_task_return_pointer (task, evaluation, (GDestroyNotify)tess_evaluation_free);
  else
    g_task_return_error (task, error);
}

/* Where nothing is open there is nothing to lose, and the worst case is what one wants to see first. */
static void
open_worst (TessResults *self)
{
  g_autoptr (TessEvaluationCase) worst = g_list_model_get_item (G_LIST_MODEL (self->evaluation->cases), 0);

  if (worst && !tess_study_get_has_image (self->study))
    tess_results_open_case (self, worst);
}

static void
evaluated_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessResults *self = TESS_RESULTS (source);
  Evaluating *e = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;
  g_autoptr (TessEvaluation) evaluation = g_task_propagate_pointer (G_TASK (result), &error);

  tess_job_finish (e->job);
  if (e->generation != self->evaluation_generation)
    return;
  g_clear_pointer (&self->evaluating, tess_progress_unref);
  if (evaluation) {
    g_clear_object (&self->open_case);
    tess_evaluation_free (self->evaluation);
    self->evaluation = g_steal_pointer (&evaluation);
    emit_evaluated (self);
    open_worst (self);
  } else {
    emit_failed (self, error, TESS_REMEDY_FOLDERS);
    emit_evaluated (self);
  }
}

/* What was evaluated before stays until the new result is in; a second start takes the place of the first. */
void
tess_results_evaluate (TessResults *self, const char *reference, const char *prediction)
{
  g_autofree char *name = g_path_get_basename (prediction), *title = g_strdup_printf (_ ("Evaluating %s"), name);
  g_autoptr (GTask) task = g_task_new (self, NULL, evaluated_cb, NULL);
  Evaluating *e = g_new0 (Evaluating, 1);

  if (self->evaluating)
    tess_progress_cancel (self->evaluating);
  g_clear_pointer (&self->evaluating, tess_progress_unref);
  e->reference = g_strdup (reference);
  e->prediction = g_strdup (prediction);
  e->job = tess_results_start_job (self, title);
  e->progress = tess_progress_ref (tess_job_get_progress (e->job));
  e->generation = ++self->evaluation_generation;
  self->evaluating = tess_progress_ref (e->progress);
  g_task_set_task_data (task, e, evaluating_free);
  g_task_run_in_thread (task, evaluate_thread);
  emit_evaluated (self);
}

gboolean
tess_results_is_evaluating (TessResults *self)
{
  return self->evaluating != NULL;
}

const TessEvaluation *
tess_results_peek_evaluation (TessResults *self)
{
  return self->evaluation;
}

/* --- opening a case ----------------------------------------------------------------------------------------------- */

typedef struct {
  TessEvaluationCase *item; /* NULL: a reference for the open scan */
  char *reference;
  TessVolume *volumes[2]; /* reference, prediction */
  TessProgress *progress;
  TessJob *job;
  guint64 generation;
  guint64 scan; /* serial of what a reference is for */
} Opening;

static void
opening_free (gpointer data)
{
  Opening *o = data;

  g_clear_object (&o->item);
  g_free (o->reference);
  for (int i = 0; i < 2; i++)
    g_clear_pointer (&o->volumes[i], tess_volume_unref);
  tess_progress_unref (o->progress);
  g_object_unref (o->job);
  g_free (o);
}

static void
open_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Opening *o = task_data;
  const char *paths[2] = {o->reference, o->item ? tess_evaluation_case_get_prediction (o->item) : NULL};
  GError *error = NULL;

  for (int i = 0; i < 2 && paths[i]; i++) {
    o->volumes[i] = tess_volume_load (paths[i], o->progress, &error);
    if (!o->volumes[i]) {
      g_task_return_error (task, error);
      return;
    }
    tess_volume_set_intent (o->volumes[i], TESS_INTENT_LABEL);
  }
  g_task_return_boolean (task, TRUE);
}

/* Labels get the names the data set has for them. */
static void
name_labels (const TessEvaluation *evaluation, TessVolume *volume)
{
  g_autoptr (TessLabelTable) table = tess_label_table_new ();

  if (tess_volume_peek_labels (volume))
    return;
  for (guint i = 0; i < evaluation->labels->len; i++) {
    const TessEvaluationLabel *label = &g_array_index (evaluation->labels, TessEvaluationLabel, i);

    tess_label_table_add (table, label->value, label->name, label->rgba);
  }
  tess_volume_set_labels (volume, table);
}

/* The scan, when there is one, is open by now. */
static void
take_case (TessResults *self, Opening *o, gboolean has_scan)
{
  const char *paths[2] = {o->reference, tess_evaluation_case_get_prediction (o->item)};
  TessLayer *layers[2] = {NULL};

  if (!has_scan)
    tess_study_close (self->study);
  for (int i = 0; i < 2; i++) {
    g_autofree char *folder = g_path_get_dirname (paths[i]), *folder_name = g_path_get_basename (folder);
    g_autofree char *name = g_build_filename (folder_name, tess_evaluation_case_get_name (o->item), NULL);

    if (self->evaluation)
      name_labels (self->evaluation, o->volumes[i]);
    layers[i] = tess_study_add_layer (self->study, o->volumes[i], name);
  }
  g_set_object (&self->open_case, o->item);
  self->case_serial = layers[0] ? layers[0]->voxels_serial : 0;
  if (layers[0] && layers[1])
    tess_results_choose (self, layers[1], layers[0]);
}

static void
scan_opened_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  g_autoptr (GTask) task = user_data;
  TessResults *self = TESS_RESULTS (g_task_get_source_object (task));
  Opening *o = g_task_get_task_data (task);
  g_autoptr (GError) error = NULL;
  gboolean ok = tess_study_open_finish (TESS_STUDY (source), result, &error);

  tess_job_finish (o->job);
  if (o->generation != self->opening_generation || !self->study)
    return;
  g_clear_pointer (&self->opening, tess_progress_unref);
  g_clear_object (&self->coming_case);
  if (ok)
    take_case (self, o, TRUE);
  else
    emit_failed (self, error, TESS_REMEDY_NONE);
  emit_evaluated (self);
}

static guint64
scan_serial (TessResults *self)
{
  TessLayer *scan = tess_scene_main (tess_study_get_scene (self->study));

  return scan ? scan->voxels_serial : 0;
}

/* A reference is often called as its scan: then its folder tells them apart. */
static char *
reference_name (TessResults *self, const char *path)
{
  g_autofree char *stem = tess_volume_stem (path), *folder = g_path_get_dirname (path);
  g_autofree char *folder_name = g_path_get_basename (folder);

  if (g_strcmp0 (stem, tess_study_get_title (self->study)) != 0)
    return g_steal_pointer (&stem);
  return g_strdup_printf ("%s/%s", folder_name, stem);
}

static void
take_reference (TessResults *self, Opening *o)
{
  g_autofree char *name = reference_name (self, o->reference);
  TessLayer *prediction = tess_results_get_prediction (self), *layer;
  g_autoptr (GPtrArray) list = tess_results_list_layers (self);

  if (!prediction && list->len > 0)
    prediction = list->pdata[0];
  layer = tess_study_add_layer (self->study, o->volumes[0], name);
  if (!layer) {
    g_autofree char *sentence =
        g_strdup_printf (_ ("%s: there are %d layers already; remove one in View first"), name, TESS_MAX_LAYERS);

    g_signal_emit (self, tess_results_signals[TESS_RESULTS_FAILED_SIGNAL], 0, sentence, TESS_REMEDY_NONE);
    return;
  }
  tess_results_choose (self, prediction, layer);
}

static void
labels_loaded_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessResults *self = TESS_RESULTS (source);
  Opening *o = g_task_get_task_data (G_TASK (result));
  const char *image = o->item ? tess_evaluation_case_get_image (o->item) : NULL;
  g_autoptr (GError) error = NULL;
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  if (ok && image && o->generation == self->opening_generation) {
    tess_study_open_async (self->study, image, NULL, TESS_OPEN_SCAN, o->job, scan_opened_cb, g_object_ref (result));
    return;
  }
  tess_job_finish (o->job);
  if (o->generation != self->opening_generation)
    return;
  g_clear_pointer (&self->opening, tess_progress_unref);
  g_clear_object (&self->coming_case);
  if (!ok)
    emit_failed (self, error, o->item ? TESS_REMEDY_NONE : TESS_REMEDY_REFERENCE);
  else if (o->item)
    take_case (self, o, FALSE);
  else if (o->scan == scan_serial (self)) /* else another scan was opened meanwhile */
    take_reference (self, o);
  emit_evaluated (self);
}

static void
start_opening (TessResults *self, TessEvaluationCase *item, const char *reference)
{
  g_autofree char *stem = tess_volume_stem (reference), *title = g_strdup_printf (_ ("Opening %s"), stem);
  g_autoptr (GTask) task = g_task_new (self, NULL, labels_loaded_cb, NULL);
  Opening *o = g_new0 (Opening, 1);

  if (self->opening)
    tess_progress_cancel (self->opening);
  g_clear_pointer (&self->opening, tess_progress_unref);
  o->item = item ? g_object_ref (item) : NULL;
  g_set_object (&self->coming_case, item);
  o->reference = g_strdup (reference);
  o->job = tess_results_start_job (self, title);
  o->progress = tess_progress_ref (tess_job_get_progress (o->job));
  o->generation = ++self->opening_generation;
  o->scan = scan_serial (self);
  self->opening = tess_progress_ref (o->progress);
  g_task_set_task_data (task, o, opening_free);
  g_task_run_in_thread (task, open_thread);
}

/* NULL when the study shows something else by now. */
TessEvaluationCase *
tess_results_get_case (TessResults *self)
{
  if (self->coming_case)
    return self->coming_case;
  return tess_results_find (self, self->case_serial) ? self->open_case : NULL;
}

void
tess_results_open_case (TessResults *self, TessEvaluationCase *c)
{
  start_opening (self, c, tess_evaluation_case_get_reference (c));
}

/* Labels over the open scan, as the reference. */
void
tess_results_open_reference (TessResults *self, const char *path)
{
  start_opening (self, NULL, path);
}

/**
 * tess_results_find_reference:
 * @scan: path
 *
 * The reference labels of a scan in nnU-Net's layout: labelsTr/CASE.ENDING beside imagesTr/CASE_0000.ENDING or
 * imagesTr/CASE.ENDING, the same for Ts. Returns: (transfer full) (nullable): the path.
 */
char *
tess_results_find_reference (const char *scan)
{
  g_autofree char *whole = g_canonicalize_filename (scan, NULL), *folder = g_path_get_dirname (whole);
  g_autofree char *folder_name = g_path_get_basename (folder), *parent = g_path_get_dirname (folder);
  g_autofree char *file = g_path_get_basename (whole), *stem = tess_volume_stem (whole), *labels = NULL;
  g_autofree char *name = NULL, *path = NULL;
  const char *ending = file + MIN (strlen (stem), strlen (file));

  if (!g_str_has_prefix (folder_name, "images"))
    return NULL;
  if (g_str_has_suffix (stem, "_0000"))
    stem[strlen (stem) - 5] = '\0';
  labels = g_strconcat ("labels", folder_name + strlen ("images"), NULL);
  name = g_strconcat (stem, ending, NULL);
  path = g_build_filename (parent, labels, name, NULL);
  return g_file_test (path, G_FILE_TEST_IS_REGULAR) ? g_steal_pointer (&path) : NULL;
}

/* --- export ------------------------------------------------------------------------------------------------------- */

typedef struct {
  char *path, *text;
  TessResultsRemedy remedy;
} Export;

static void
export_free (gpointer data)
{
  Export *e = data;

  g_free (e->path);
  g_free (e->text);
  g_free (e);
}

static void
export_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Export *e = task_data;
  GError *error = NULL;

  if (tess_file_set_contents (e->path, e->text, strlen (e->text), &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
exported_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessResults *self = TESS_RESULTS (source);
  Export *e = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;

  if (g_task_propagate_boolean (G_TASK (result), &error))
    g_signal_emit (self, tess_results_signals[TESS_RESULTS_SAVED], 0, e->path);
  else
    emit_failed (self, error, e->remedy);
}

/* The open comparison as a table; NULL unless it is done. */
static char *
comparison_to_csv (TessResults *self)
{
  const char *title = tess_study_get_title (self->study);
  GString *csv;

  if (!self->comparison)
    return NULL;
  csv = tess_results_csv_new ();
  for (guint i = 0; i < self->comparison->rows->len; i++) {
    const TessLabelMetrics *m = &g_array_index (self->comparison->rows, TessLabelMetrics, i);
    guint8 rgba[4];
    const char *name = tess_results_label_name (self, m->label, rgba);

    tess_results_csv_add (csv, title ? title : "", name ? name : "", m);
  }
  return g_string_free (csv, FALSE);
}

static void
export_text (TessResults *self, const char *path, char *text, TessResultsRemedy remedy)
{
  g_autoptr (GTask) task = g_task_new (self, NULL, exported_cb, NULL);
  Export *e = g_new0 (Export, 1);

  e->path = g_strdup (path);
  e->text = text;
  e->remedy = remedy;
  g_task_set_task_data (task, e, export_free);
  g_task_run_in_thread (task, export_thread);
}

void
tess_results_export_csv (TessResults *self, const char *path)
{
  if (self->evaluation)
    export_text (self, path, tess_evaluation_to_csv (self->evaluation), TESS_REMEDY_EXPORT_ALL);
}

void
tess_results_export_comparison (TessResults *self, const char *path)
{
  char *text = comparison_to_csv (self);

  if (text)
    export_text (self, path, text, TESS_REMEDY_EXPORT_ONE);
}
