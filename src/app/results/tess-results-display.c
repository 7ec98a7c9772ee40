#include "tess-results-private.h"

#include <glib/gi18n-lib.h>

/* --- the difference of one label ---------------------------------------------------------------------------------- */

typedef struct {
  TessVolume *reference, *prediction;
  gint64 label;
  guint64 generation;
  TessVolume *difference; /* result */
} Work;

static void
work_free (gpointer data)
{
  Work *w = data;

  tess_volume_unref (w->reference);
  tess_volume_unref (w->prediction);
  g_clear_pointer (&w->difference, tess_volume_unref);
  g_free (w);
}

static void
difference_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Work *w = task_data;
  GError *error = NULL;

  w->difference = tess_difference_new (w->reference, w->prediction, w->label, NULL, &error);
  if (w->difference)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
difference_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessResults *self = TESS_RESULTS (source);
  Work *w = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  if (w->generation != self->difference_generation)
    return;
  self->requested = 0;
  if (!ok) {
    g_signal_emit (self, tess_results_signals[TESS_RESULTS_FAILED_SIGNAL], 0, error->message, TESS_REMEDY_NONE);
    return;
  }
  g_clear_pointer (&self->one, tess_volume_unref);
  self->one = g_steal_pointer (&w->difference);
  self->one_label = w->label;
  tess_results_arrange (self);
}

static void
request_difference (TessResults *self)
{
  g_autoptr (GTask) task = NULL;
  Work *w;

  if (self->requested == self->label)
    return;
  self->requested = self->label;
  task = g_task_new (self, NULL, difference_cb, NULL);
  w = g_new0 (Work, 1);
  w->reference = tess_volume_ref (tess_results_get_reference (self)->volume);
  w->prediction = tess_volume_ref (tess_results_get_prediction (self)->volume);
  w->label = self->label;
  w->generation = ++self->difference_generation;
  g_task_set_task_data (task, w, work_free);
  g_task_run_in_thread (task, difference_thread);
}

/* --- what is seen ------------------------------------------------------------------------------------------------- */

void
tess_results_remove_difference (TessResults *self)
{
  TessLayer *layer = tess_results_find (self, self->difference);

  self->difference = 0;
  g_clear_pointer (&self->shown_difference, tess_volume_unref);
  if (!layer)
    return;
  self->arranging = TRUE;
  tess_study_remove_layer (self->study, layer);
  self->arranging = FALSE;
}

/* The difference lies below the two it is made of, so that the uppermost labels stay what they were. */
static void
add_difference (TessResults *self, TessVolume *volume)
{
  GPtrArray *layers = tess_study_get_scene (self->study)->layers;
  TessLayer *layer;
  guint position = 0;

  if (self->shown_difference == volume && tess_results_find (self, self->difference))
    return;
  tess_results_remove_difference (self);
  if (layers->len >= TESS_MAX_LAYERS)
    return;
  layer = tess_layer_new (volume, _ ("Difference"));
  layer->opacity = 0.7;
  self->difference = layer->voxels_serial;
  self->shown_difference = tess_volume_ref (volume);
  while (position < layers->len && ((TessLayer *)layers->pdata[position])->lut != TESS_LUT_LABELS)
    position++;
  if (position == 0 && layers->len > 0)
    position = layers->len; /* the bottom layer is the labels themselves: it stays the study's */
  self->arranging = TRUE;
  tess_study_insert_layer (self->study, layer, position);
  self->arranging = FALSE;
}

void
tess_results_restore (TessResults *self)
{
  GPtrArray *layers = tess_study_get_scene (self->study)->layers;

  for (guint i = 0; i < layers->len; i++) {
    TessLayer *layer = layers->pdata[i];
    gpointer was;

    if (g_hash_table_lookup_extended (self->seen, &layer->voxels_serial, NULL, &was))
      layer->visible = GPOINTER_TO_INT (was);
  }
  g_hash_table_remove_all (self->seen);
  tess_results_remove_difference (self);
  tess_study_emit_changed (self->study);
}

/* Shows one of the label layers and hides the others; how they were is kept for when Results is left. */
void
tess_results_arrange (TessResults *self)
{
  GPtrArray *layers = tess_study_get_scene (self->study)->layers;
  gboolean both = self->prediction && self->reference;
  guint64 wanted = self->display == TESS_SHOW_REFERENCE ? self->reference : self->prediction;

  if (!self->visible || (!both && g_hash_table_size (self->seen) == 0))
    return;
  if (!both) {
    tess_results_restore (self);
    return;
  }
  if (self->display == TESS_SHOW_DIFFERENCE && self->state == TESS_RESULTS_DONE) {
    TessVolume *difference = self->label == 0 ? self->all : self->one_label == self->label ? self->one : NULL;

    if (difference)
      add_difference (self, difference);
    else
      request_difference (self); /* what is shown stays until it is there */
    if (self->difference)
      wanted = self->difference;
  } else {
    tess_results_remove_difference (self);
  }
  for (guint i = 0; i < layers->len; i++) {
    TessLayer *layer = layers->pdata[i];

    if (layer->lut != TESS_LUT_LABELS)
      continue;
    if (layer->voxels_serial != self->difference && !g_hash_table_contains (self->seen, &layer->voxels_serial))
      g_hash_table_insert (self->seen, g_memdup2 (&layer->voxels_serial, sizeof layer->voxels_serial),
                           GINT_TO_POINTER (layer->visible));
    layer->visible = layer->voxels_serial == wanted;
  }
  tess_study_emit_changed (self->study);
}

TessResultsDisplay
tess_results_get_display (TessResults *self)
{
  return self->display;
}

void
tess_results_set_display (TessResults *self, TessResultsDisplay display)
{
  if (self->display == display)
    return;
  self->display = display;
  tess_results_update (self);
}

gboolean
tess_results_get_visible (TessResults *self)
{
  return self->visible;
}

void
tess_results_set_visible (TessResults *self, gboolean visible)
{
  if (self->visible == visible)
    return;
  if (!visible)
    tess_results_restore (self);
  self->visible = visible;
  tess_results_update (self);
}

/* --- the label ---------------------------------------------------------------------------------------------------- */

gint64
tess_results_get_label (TessResults *self)
{
  return self->label;
}

static void
look_at (TessResults *self, gint64 value)
{
  TessLayer *layers[2] = {tess_results_get_reference (self), tess_results_get_prediction (self)};

  for (int i = 0; i < 2; i++) {
    const TessLabelFact *fact = layers[i] ? tess_study_find_label (self->study, layers[i], value) : NULL;

    if (fact) {
      tess_study_set_cursor (self->study, fact->centre);
      return;
    }
  }
}

void
tess_results_set_label (TessResults *self, gint64 value)
{
  if (self->label == value)
    return;
  self->label = value;
  if (value)
    look_at (self, value);
  tess_results_update (self);
}
