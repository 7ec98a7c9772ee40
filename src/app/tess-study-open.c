#include "tess-study-private.h"
#include "tess-file-kind.h"
#include "tess-findings-csv.h"
#include "tess-format-registry.h"
#include "tess-label-file.h"
#include "tess-presets.h"

#include <glib/gi18n-lib.h>
#include <stdatomic.h>
#include <string.h>

/* A scan that takes longer than this to read is shown while it comes in, and not more often than that: drawing takes
 * from the same cores. */
#define LIVE_AFTER 40000  /* us */
#define LIVE_EVERY 150000 /* us */

typedef struct {
  GTask *outer;                 /* whose data this is */
  char *location, *path, *name; /* path: the file of the location; name: of the layer */
  TessOpenAs as;
  TessFindings *findings; /* of a table */
  guint64 generation;
  TessJob *job;
  TessProgress *progress;
  TessLayer *layer;
  TessSurvey *survey;

  /* While a scan comes in: the reader makes `coming`, the main loop takes it. */
  gint64 started, told; /* told: when the main loop was last told that there is more */
  TessLayer *coming;
  atomic_bool is_coming, is_pending; /* there is a layer to take; the main loop has been told */
  const TessLayer *live;             /* the study's by now; compared before it is followed */
  double lower, upper, cursor[3];    /* as set by us: where they differ, the user has changed them */
} Opening;

static void
opening_free (gpointer data)
{
  Opening *o = data;

  g_free (o->location);
  g_free (o->path);
  g_free (o->name);
  g_clear_object (&o->job);
  tess_progress_unref (o->progress);
  tess_layer_free (o->layer);
  tess_layer_free (o->coming);
  tess_survey_free (o->survey);
  tess_findings_unref (o->findings);
  g_free (o);
}

/* --- a scan that is looked at while it is being read -------------------------------------------------------------- */

/* What was open before, until it is certain that the scan read now can take its place. */
struct _TessStudyBefore {
  GPtrArray *layers;
  TessLayer *active;
  TessFindings *findings;
  char *path, *findings_name;
  guint64 serial;
  double cursor[3], basis[3][3];
  gint64 patch[3], stride[3];
  gboolean grid_shown;
};

static void
before_free (TessStudyBefore *before)
{
  g_ptr_array_unref (before->layers);
  tess_findings_unref (before->findings);
  g_free (before->path);
  g_free (before->findings_name);
  g_free (before);
}

static void
put_aside (TessStudy *self)
{
  TessStudyBefore *before = g_new0 (TessStudyBefore, 1);
  TessScene *scene = self->scene;

  before->layers = g_ptr_array_new ();
  while (scene->layers->len > 0)
    g_ptr_array_insert (before->layers, 0, g_ptr_array_steal_index (scene->layers, scene->layers->len - 1));
  before->active = self->active;
  before->path = g_steal_pointer (&self->path);
  before->findings = g_steal_pointer (&scene->findings);
  before->findings_name = g_steal_pointer (&self->findings_name);
  before->serial = self->serial;
  before->grid_shown = self->grid_shown;
  memcpy (before->cursor, scene->cursor, sizeof scene->cursor);
  memcpy (before->basis, scene->basis, sizeof scene->basis);
  memcpy (before->patch, self->patch, sizeof self->patch);
  memcpy (before->stride, self->stride, sizeof self->stride);
  self->before = before;
  self->active = NULL;
  self->grid_shown = FALSE;
  self->serial = ++self->last_serial;
}

/* Ends what was put aside. */
void
tess_study_forget_before (TessStudy *self)
{
  TessStudyBefore *before = g_steal_pointer (&self->before);

  if (!before)
    return;
  for (guint i = 0; i < before->layers->len; i++)
    tess_study_discard_layer (self, g_ptr_array_index (before->layers, i));
  before_free (before);
}

/* The scan that was being shown while it came in will never be whole: what was open before is back. */
static void
take_back (TessStudy *self)
{
  TessStudyBefore *before = g_steal_pointer (&self->before);
  gint64 patch[3], stride[3];

  if (!before)
    return;
  while (self->scene->layers->len > 0)
    tess_study_discard_layer (self, g_ptr_array_steal_index (self->scene->layers, self->scene->layers->len - 1));
  g_free (self->path);
  self->path = g_steal_pointer (&before->path);
  self->active = NULL;
  self->serial = before->serial;
  memcpy (patch, before->patch, sizeof patch);
  memcpy (stride, before->stride, sizeof stride);
  for (guint i = 0; i < before->layers->len; i++)
    tess_study_take_layer (self, g_ptr_array_index (before->layers, i), i);
  if (before->layers->len > 0) {
    tess_study_set_active (self, before->active);
    memcpy (self->scene->basis, before->basis, sizeof before->basis);
    tess_study_set_grid (self, before->grid_shown, patch, stride);
    tess_study_set_cursor (self, before->cursor);
    tess_study_set_findings (self, before->findings, before->findings_name);
  } else {
    tess_study_show_nothing (self);
  }
  before_free (before);
}

static gboolean
is_shown (TessStudy *self, const TessLayer *layer)
{
  return layer && g_ptr_array_find (self->scene->layers, layer, NULL);
}

/* A CT starts with soft tissue. */
static void
first_window (TessStudy *self, TessLayer *layer)
{
  if (tess_study_is_hounsfield (self, layer))
    tess_preset_window (TRUE, 0, layer->lower, layer->upper, &layer->lower, &layer->upper);
}

/* To the middle of the scan or, until that has been read, the slice read last; unless the user has gone elsewhere. */
static void
follow_reading (TessStudy *self, Opening *o, const TessLayer *layer)
{
  TessAffine inverse;
  double p[3], world[3];

  if (memcmp (self->scene->cursor, o->cursor, sizeof o->cursor) != 0 ||
      !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return;
  tess_scene_reset (self->scene);
  tess_affine_apply (&inverse, self->scene->cursor, p);
  p[2] = MIN (p[2], (double)(tess_layer_readable (layer) - 1));
  tess_affine_apply (tess_volume_affine (layer->volume), p, world);
  tess_study_set_cursor (self, world);
  memcpy (o->cursor, self->scene->cursor, sizeof o->cursor);
}

/* More has been read: main loop. */
static gboolean
live_cb (gpointer data)
{
  GTask *outer = data;
  TessStudy *self = g_task_get_source_object (outer);
  Opening *o = g_task_get_task_data (outer);

  atomic_store (&o->is_pending, FALSE);
  if (o->generation != self->generation || self->opening != o->progress || tess_progress_is_cancelled (o->progress))
    return G_SOURCE_REMOVE;
  if (atomic_load (&o->is_coming) && o->coming) {
    TessLayer *layer = g_steal_pointer (&o->coming);

    put_aside (self);
    self->path = g_strdup (o->path);
    g_hash_table_insert (self->surveys, layer, tess_survey_new_quick (layer));
    first_window (self, layer);
    o->live = layer;
    o->lower = layer->lower;
    o->upper = layer->upper;
    tess_study_take_layer (self, layer, 0);
    memcpy (o->cursor, self->scene->cursor, sizeof o->cursor);
  }
  if (is_shown (self, o->live)) {
    follow_reading (self, o, o->live);
    tess_study_emit_changed (self);
  }
  return G_SOURCE_REMOVE;
}

/* More has been read: reading thread. */
static void
read_cb (TessVolume *volume, gpointer data)
{
  Opening *o = data;
  gint64 now = g_get_monotonic_time ();

  if (o->as != TESS_OPEN_SCAN || tess_volume_intent (volume) == TESS_INTENT_LABEL || now - o->started < LIVE_AFTER ||
      now - o->told < LIVE_EVERY)
    return;
  o->told = now;
  if (!atomic_load (&o->is_coming)) {
    o->coming = tess_layer_new (volume, o->name);
    atomic_store (&o->is_coming, TRUE);
  }
  if (!atomic_exchange (&o->is_pending, TRUE))
    g_idle_add_full (G_PRIORITY_DEFAULT, live_cb, g_object_ref (o->outer), g_object_unref);
}

/* It is whole now. FALSE when it is not on the canvas. */
static gboolean
complete_live (TessStudy *self, Opening *o)
{
  TessLayer *layer = is_shown (self, o->live) ? (TessLayer *)o->live : NULL;
  gboolean untouched;

  if (!layer)
    return FALSE;
  untouched = layer->lower == o->lower && layer->upper == o->upper;
  tess_study_forget_before (self);
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&o->survey));
  if (untouched) {
    layer->lower = o->layer->lower;
    layer->upper = o->layer->upper;
    first_window (self, layer);
  }
  follow_reading (self, o, layer);
  tess_study_emit_completed (self);
  return TRUE;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void
table_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Opening *o = task_data;
  GError *error = NULL;

  o->findings = tess_findings_csv_load (o->path, &error);
  if (o->findings)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
open_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Opening *o = task_data;
  g_autoptr (TessVolume) volume = NULL;
  GError *error = NULL;

  volume = tess_volume_load_live (o->location, o->progress, read_cb, o, &error);
  if (volume) {
    if (o->as == TESS_OPEN_LABELS || (o->as == TESS_OPEN_OVER && tess_volume_looks_like_labels (volume)))
      tess_volume_set_intent (volume, TESS_INTENT_LABEL);
    tess_label_file_attach (volume, o->location);
    o->layer = tess_layer_new (volume, o->name);
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

/* The scan takes the place of everything. */
static void
take_scan (TessStudy *self, Opening *o)
{
  TessLayer *layer;

  if (complete_live (self, o))
    return;
  layer = g_steal_pointer (&o->layer);
  tess_study_drop_layers (self);
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&o->survey));
  g_free (self->path);
  self->path = g_strdup (o->path);
  self->grid_shown = FALSE;
  if (layer->lut == TESS_LUT_LABELS) {
    TessSurvey *survey = g_hash_table_lookup (self->surveys, layer);

    tess_layer_set_labels (layer, survey->labels);
    layer->opacity = 1.0; /* nothing lies under it */
  } else {
    first_window (self, layer);
  }
  tess_study_take_layer (self, layer, 0);
}

static gboolean
take_over (TessStudy *self, Opening *o, GError **error)
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
  if (layer->lut == TESS_LUT_LABELS)
    tess_layer_set_labels (layer, o->survey->labels);
  else
    layer->opacity = 0.5; /* what lies under it is seen too */
  g_hash_table_insert (self->surveys, layer, g_steal_pointer (&o->survey));
  o->layer = NULL;
  tess_study_take_layer (self, layer, self->scene->layers->len);
  return TRUE;
}

static gboolean
take_findings (TessStudy *self, Opening *o, GError **error)
{
  g_autofree char *name = g_filename_display_basename (o->path);
  g_autoptr (TessFindings) own = NULL;

  if (!tess_study_get_has_image (self)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE,
                 _ ("%s: findings are shown over a scan, and none is open; open the scan first"), name);
    return FALSE;
  }
  own = tess_findings_of_scan (o->findings, tess_scene_main (self->scene)->volume, self->path);
  if (tess_findings_n (own) == 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: none of its %u findings is of this scan; its column seriesuid must hold the scan's file name "
                    "without ending, or its DICOM series"),
                 name, tess_findings_n (o->findings));
    return FALSE;
  }
  tess_study_set_findings (self, own, name);
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
  if (o->as == TESS_OPEN_SCAN)
    take_scan (self, o);
  else if (!(o->as == TESS_OPEN_FINDINGS ? take_findings (self, o, &error) : take_over (self, o, &error))) {
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
  if (is_scan) {
    g_clear_pointer (&self->opening, tess_progress_unref);
    if (g_task_had_error (G_TASK (result)) || tess_progress_is_cancelled (o->progress))
      take_back (self);
  }
  if (o->as != TESS_OPEN_SCAN && self->opening && o->generation == self->generation &&
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
tess_study_open_async (TessStudy *self, const char *location, const char *name, TessOpenAs as, TessJob *job,
                       GAsyncReadyCallback callback, gpointer user_data)
{
  GTask *outer = g_task_new (self, NULL, callback, user_data);
  g_autoptr (GTask) inner = NULL;
  Opening *o = g_new0 (Opening, 1);

  g_task_set_source_tag (outer, tess_study_open_async);
  g_task_set_task_data (outer, o, opening_free);
  o->outer = outer;
  o->started = g_get_monotonic_time ();
  o->location = g_strdup (location);
  o->path = tess_volume_location_file (location);
  o->name = name && *name ? g_strdup (name) : tess_volume_stem (o->path);
  o->as = as;
  o->job = job ? g_object_ref (job) : NULL;
  o->progress = job ? tess_progress_ref (tess_job_get_progress (job)) : tess_progress_new ();
  if (as == TESS_OPEN_SCAN) {
    self->generation++;
    take_back (self);
    if (self->opening)
      tess_progress_cancel (self->opening);
    g_clear_pointer (&self->opening, tess_progress_unref);
    self->opening = tess_progress_ref (o->progress);
    flush_waiting (self);
  }
  o->generation = self->generation;
  inner = g_task_new (self, NULL, opened_cb, outer);
  g_task_set_task_data (inner, o, NULL); /* the outer task's, which lives longer */
  g_task_run_in_thread (inner, as == TESS_OPEN_FINDINGS ? table_thread : open_thread);
}

gboolean
tess_study_open_finish (TessStudy *self, GAsyncResult *result, GError **error)
{
  return g_task_propagate_boolean (G_TASK (result), error);
}
