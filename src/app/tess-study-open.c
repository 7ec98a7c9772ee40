#include "tess-study-private.h"
#include "tess-format-registry.h"
#include "tess-presets.h"

#include <glib/gi18n-lib.h>

typedef struct {
  char *path;
  gboolean as_label;
  guint64 generation;
  TessJob *job;
  TessProgress *progress;
  TessLayer *layer;
  TessSurvey *survey;
} Opening;

static void
opening_free (gpointer data)
{
  Opening *o = data;

  g_free (o->path);
  g_clear_object (&o->job);
  tess_progress_unref (o->progress);
  tess_layer_free (o->layer);
  tess_survey_free (o->survey);
  g_free (o);
}

static void
open_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Opening *o = task_data;
  g_autoptr (TessVolume) volume = NULL;
  g_autofree char *name = tess_volume_stem (o->path);
  GError *error = NULL;

  volume = tess_volume_load (o->path, o->progress, &error);
  if (volume) {
    if (o->as_label)
      tess_volume_set_intent (volume, TESS_INTENT_LABEL);
    o->layer = tess_layer_new (volume, name);
    o->survey = tess_survey_new (o->layer, o->progress, &error);
    if (!o->survey && !g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED)) {
      g_autofree char *file = g_path_get_basename (o->path);

      g_prefix_error (&error, "%s: ", file);
    }
  }
  if (!o->survey)
    g_task_return_error (task, error);
  else
    g_task_return_boolean (task, TRUE);
}

/* The scan takes the place of everything. A CT starts with soft tissue. */
static void
take_scan (TessStudy *self, Opening *o)
{
  TessLayer *layer = g_steal_pointer (&o->layer);

  tess_study_drop_layers (self);
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&o->survey));
  g_free (self->path);
  self->path = g_strdup (o->path);
  self->grid_shown = FALSE;
  if (layer->lut == TESS_LUT_LABELS) {
    TessSurvey *survey = g_hash_table_lookup (self->surveys, layer);

    tess_layer_set_labels (layer, survey->labels);
    layer->opacity = 1.0; /* nothing lies under it */
  } else if (tess_study_is_hounsfield (self, layer)) {
    tess_preset_window (TRUE, 0, layer->lower, layer->upper, &layer->lower, &layer->upper);
  }
  tess_study_take_layer (self, layer, 0);
}

static gboolean
take_labels (TessStudy *self, Opening *o, GError **error)
{
  TessLayer *layer = o->layer;

  if (!tess_study_get_has_image (self)) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("labels lie over a scan; open the scan first"));
    return FALSE;
  }
  if (self->scene->layers->len >= TESS_MAX_LAYERS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("there are %d layers already; remove one first"),
                 TESS_MAX_LAYERS);
    return FALSE;
  }
  tess_layer_set_labels (layer, o->survey->labels);
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&o->survey));
  o->layer = NULL;
  tess_study_take_layer (self, layer, self->scene->layers->len);
  return TRUE;
}

static void
return_void (GTask *task)
{
  g_task_return_new_error (task, TESS_ERROR, TESS_ERROR_CANCELLED, "%s", _ ("something else was opened meanwhile"));
}

/* Hands @outer its result, in the study by now. */
static void
conclude (TessStudy *self, GTask *outer)
{
  Opening *o = g_task_get_task_data (outer);
  GError *error = NULL;

  if (o->generation != self->generation || tess_progress_is_cancelled (o->progress)) {
    return_void (outer);
    return;
  }
  if (!o->as_label)
    take_scan (self, o);
  else if (!take_labels (self, o, &error)) {
    g_task_return_error (outer, error);
    return;
  }
  g_task_return_boolean (outer, TRUE);
}

static void
flush_waiting (TessStudy *self)
{
  g_autoptr (GPtrArray) waiting = g_steal_pointer (&self->waiting);

  self->waiting = g_ptr_array_new_with_free_func (g_object_unref);
  for (guint i = 0; i < waiting->len; i++)
    conclude (self, g_ptr_array_index (waiting, i));
}

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessStudy *self = TESS_STUDY (source);
  g_autoptr (GTask) outer = user_data;
  Opening *o = g_task_get_task_data (outer);
  gboolean is_scan = self->opening && self->opening == o->progress;
  GError *error = NULL;

  if (o->job)
    tess_job_finish (o->job);
  if (is_scan)
    g_clear_pointer (&self->opening, tess_progress_unref);
  if (o->as_label && self->opening && o->generation == self->generation &&
      !g_task_had_error (G_TASK (result))) { /* its scan is still being read */
    g_ptr_array_add (self->waiting, g_steal_pointer (&outer));
    return;
  }
  if (o->generation != self->generation) {
    return_void (outer);
  } else if (!g_task_propagate_boolean (G_TASK (result), &error)) {
    g_task_return_error (outer, error);
  } else {
    conclude (self, outer);
  }
  if (is_scan)
    flush_waiting (self);
}

void
tess_study_open_async (TessStudy *self, const char *path, gboolean as_label, TessJob *job, GAsyncReadyCallback callback,
                       gpointer user_data)
{
  GTask *outer = g_task_new (self, NULL, callback, user_data);
  g_autoptr (GTask) inner = NULL;
  Opening *o = g_new0 (Opening, 1);

  g_task_set_source_tag (outer, tess_study_open_async);
  g_task_set_task_data (outer, o, opening_free);
  o->path = g_strdup (path);
  o->as_label = as_label;
  o->job = job ? g_object_ref (job) : NULL;
  o->progress = job ? tess_progress_ref (tess_job_get_progress (job)) : tess_progress_new ();
  if (!as_label) {
    self->generation++;
    if (self->opening)
      tess_progress_cancel (self->opening);
    g_clear_pointer (&self->opening, tess_progress_unref);
    self->opening = tess_progress_ref (o->progress);
    flush_waiting (self);
  }
  o->generation = self->generation;
  inner = g_task_new (self, NULL, opened_cb, outer);
  g_task_set_task_data (inner, o, NULL); /* the outer task's, which lives longer */
  g_task_run_in_thread (inner, open_thread);
}

gboolean
tess_study_open_finish (TessStudy *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
