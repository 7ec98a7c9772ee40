#include "tess-results-private.h"

#include <glib/gi18n-lib.h>
#include <inttypes.h>
#include <string.h>

guint tess_results_signals[TESS_RESULTS_N_SIGNALS];

G_DEFINE_FINAL_TYPE (TessResults, tess_results, G_TYPE_OBJECT)

static void
emit_changed (TessResults *self)
{
  g_signal_emit (self, tess_results_signals[TESS_RESULTS_CHANGED], 0);
}

static void
stop (TessProgress **progress)
{
  if (*progress)
    tess_progress_cancel (*progress);
  g_clear_pointer (progress, tess_progress_unref);
}

TessJob *
tess_results_start_job (TessResults *self, const char *name)
{
  TessJob *job = tess_job_new (name);

  g_signal_emit (self, tess_results_signals[TESS_RESULTS_JOB], 0, job);
  return job;
}

/* --- layers ------------------------------------------------------------------------------------------------------- */

TessLayer *
tess_results_find (TessResults *self, guint64 serial)
{
  GPtrArray *layers = tess_study_get_scene (self->study)->layers;

  for (guint i = 0; serial && i < layers->len; i++) {
    TessLayer *layer = g_ptr_array_index (layers, i);

    if (layer->voxels_serial == serial)
      return layer;
  }
  return NULL;
}

GPtrArray *
tess_results_list_layers (TessResults *self)
{
  GPtrArray *layers = tess_study_get_scene (self->study)->layers, *list = g_ptr_array_new ();

  for (guint i = layers->len; i > 0; i--) {
    TessLayer *layer = g_ptr_array_index (layers, i - 1);

    if (layer->lut == TESS_LUT_LABELS && !tess_results_is_difference (self, layer))
      g_ptr_array_add (list, layer);
  }
  return list;
}

TessLayer *
tess_results_get_prediction (TessResults *self)
{
  return tess_results_find (self, self->prediction);
}

TessLayer *
tess_results_get_reference (TessResults *self)
{
  return tess_results_find (self, self->reference);
}

gboolean
tess_results_is_difference (TessResults *self, const TessLayer *layer)
{
  return layer && layer->voxels_serial == self->difference;
}

/* The uppermost label layer came last and is taken for the prediction, the next for the reference, until somebody says
 * otherwise. What is left of an earlier choice stays. */
static void
guess (TessResults *self)
{
  g_autoptr (GPtrArray) list = tess_results_list_layers (self);

  if (!tess_results_get_prediction (self))
    self->prediction = 0;
  if (!tess_results_get_reference (self))
    self->reference = 0;
  if (!self->prediction && !self->reference)
    self->chosen = FALSE;
  if (!self->chosen) {
    self->prediction = list->len > 0 ? ((TessLayer *)list->pdata[0])->voxels_serial : 0;
    self->reference = list->len > 1 ? ((TessLayer *)list->pdata[1])->voxels_serial : 0;
    return;
  }
  for (guint i = 0; i < list->len; i++) {
    guint64 serial = ((TessLayer *)list->pdata[i])->voxels_serial;

    if (!self->prediction && serial != self->reference)
      self->prediction = serial;
    else if (!self->reference && serial != self->prediction)
      self->reference = serial;
  }
}

/* --- comparing ---------------------------------------------------------------------------------------------------- */

typedef struct {
  TessVolume *reference, *prediction;
  TessProgress *progress;
  guint64 generation;
  TessJob *job;               /* main thread only */
  TessComparison *comparison; /* results */
  TessVolume *difference;
} Work;

static void
work_free (gpointer data)
{
  Work *w = data;

  tess_volume_unref (w->reference);
  tess_volume_unref (w->prediction);
  tess_progress_unref (w->progress);
  g_clear_object (&w->job);
  tess_comparison_free (w->comparison);
  g_clear_pointer (&w->difference, tess_volume_unref);
  g_free (w);
}

static Work *
work_new (TessResults *self, TessJob *job)
{
  Work *w = g_new0 (Work, 1);

  w->reference = tess_volume_ref (tess_results_get_reference (self)->volume);
  w->prediction = tess_volume_ref (tess_results_get_prediction (self)->volume);
  w->progress = tess_progress_ref (tess_job_get_progress (job));
  w->job = job;
  return w;
}

static void
compare_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Work *w = task_data;
  GError *error = NULL;

  w->comparison = tess_comparison_new (w->reference, w->prediction, w->progress, &error);
  if (w->comparison)
    w->difference = tess_difference_new (w->reference, w->prediction, 0, w->progress, &error);
  if (w->difference)
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

/* The engine's sentences follow a file's name elsewhere; here they stand alone. */
static char *
capitalise (const char *sentence)
{
  char first[7] = "";

  if (!*sentence)
    return g_strdup (sentence);
  first[g_unichar_to_utf8 (g_unichar_toupper (g_utf8_get_char (sentence)), first)] = '\0';
  return g_strconcat (first, g_utf8_next_char (sentence), NULL);
}

static void
compared_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessResults *self = TESS_RESULTS (source);
  Work *w = g_task_get_task_data (G_TASK (result));
  g_autoptr (GError) error = NULL;
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  tess_job_finish (w->job);
  if (w->generation != self->generation)
    return;
  g_clear_pointer (&self->progress, tess_progress_unref);
  if (ok) {
    self->state = TESS_RESULTS_DONE;
    self->comparison = g_steal_pointer (&w->comparison);
    self->all = g_steal_pointer (&w->difference);
  } else if (g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED)) {
    self->state = TESS_RESULTS_CANCELLED;
  } else {
    self->state = TESS_RESULTS_FAILED;
    self->sentence = capitalise (error->message);
    self->hopeless = g_error_matches (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  }
  tess_results_update (self);
}

static void
forget (TessResults *self)
{
  self->generation++;
  self->difference_generation++;
  stop (&self->progress);
  g_clear_pointer (&self->comparison, tess_comparison_free);
  g_clear_pointer (&self->all, tess_volume_unref);
  g_clear_pointer (&self->one, tess_volume_unref);
  g_clear_pointer (&self->sentence, g_free);
  self->one_label = self->requested = 0;
  self->compared[0] = self->compared[1] = 0;
  self->label = 0;
  tess_results_remove_difference (self);
}

static void
start (TessResults *self)
{
  TessLayer *prediction = tess_results_get_prediction (self), *reference = tess_results_get_reference (self);
  g_autofree char *name = g_strdup_printf (_ ("Comparing %s with %s"), prediction->name, reference->name);
  g_autoptr (GTask) task = g_task_new (self, NULL, compared_cb, NULL);
  Work *w;

  forget (self);
  self->compared[0] = self->prediction;
  self->compared[1] = self->reference;
  self->state = TESS_RESULTS_WORKING;
  w = work_new (self, tess_results_start_job (self, name));
  w->generation = self->generation;
  self->progress = tess_progress_ref (w->progress);
  g_task_set_task_data (task, w, work_free);
  g_task_run_in_thread (task, compare_thread);
}

/* Whatever has changed: the choice is valid, the comparison belongs to it, and the right layer is seen. */
void
tess_results_update (TessResults *self)
{
  guess (self);
  if (!self->prediction || !self->reference) {
    if (self->compared[0])
      forget (self);
    self->state = self->prediction || self->reference ? TESS_RESULTS_ONE_LAYER : TESS_RESULTS_NO_LABELS;
  } else if (self->compared[0] != self->prediction || self->compared[1] != self->reference) {
    if (self->visible)
      start (self);
    else if (self->compared[0])
      forget (self);
  }
  tess_results_arrange (self);
  emit_changed (self);
}

void
tess_results_compare (TessResults *self)
{
  forget (self);
  tess_results_update (self);
}

void
tess_results_choose (TessResults *self, TessLayer *prediction, TessLayer *reference)
{
  self->chosen = TRUE;
  self->prediction = prediction ? prediction->voxels_serial : 0;
  self->reference = reference ? reference->voxels_serial : 0;
  tess_results_update (self);
}

void
tess_results_set_prediction (TessResults *self, TessLayer *layer)
{
  TessLayer *other = tess_results_get_reference (self);

  self->chosen = TRUE;
  if (layer->voxels_serial != self->prediction)
    tess_results_choose (self, layer, other == layer ? tess_results_get_prediction (self) : other);
}

void
tess_results_set_reference (TessResults *self, TessLayer *layer)
{
  TessLayer *other = tess_results_get_prediction (self);

  self->chosen = TRUE;
  if (layer->voxels_serial != self->reference)
    tess_results_choose (self, other == layer ? tess_results_get_reference (self) : other, layer);
}

TessResultsState
tess_results_get_state (TessResults *self)
{
  return self->state;
}

const char *
tess_results_get_sentence (TessResults *self)
{
  return self->sentence;
}

gboolean
tess_results_can_retry (TessResults *self)
{
  return self->state == TESS_RESULTS_CANCELLED || (self->state == TESS_RESULTS_FAILED && !self->hopeless);
}

const TessComparison *
tess_results_peek_comparison (TessResults *self)
{
  return self->comparison;
}

guint64
tess_results_get_generation (TessResults *self)
{
  return self->generation;
}

/* A file without a label table gets "label 3"; the model that segmented knows a better name. */
static gboolean
is_made_up (const TessLabel *label)
{
  g_autofree char *plain = g_strdup_printf (_ ("label %" PRId64), label->value);

  return strcmp (label->name, plain) == 0;
}

const char *
tess_results_label_name (TessResults *self, gint64 value, guint8 rgba[4])
{
  TessLayer *layers[2] = {tess_results_get_reference (self), tess_results_get_prediction (self)};
  const TessLabel *best = NULL;

  for (int i = 0; i < 2; i++) {
    const TessLabel *label = layers[i] ? tess_label_table_find (layers[i]->labels, value) : NULL;

    if (label && (!best || is_made_up (best)))
      best = label;
  }
  memset (rgba, 128, 4);
  if (best)
    memcpy (rgba, best->rgba, 4);
  return best ? best->name : NULL;
}

/* --- class -------------------------------------------------------------------------------------------------------- */

static void
layers_changed_cb (TessResults *self)
{
  if (!self->arranging)
    tess_results_update (self);
}

/* Cancels all work; what still comes in is dropped. */
void
tess_results_stop (TessResults *self)
{
  self->generation++;
  self->difference_generation++;
  self->evaluation_generation++;
  self->opening_generation++;
  stop (&self->progress);
  stop (&self->evaluating);
  stop (&self->opening);
}

static void
tess_results_dispose (GObject *object)
{
  TessResults *self = TESS_RESULTS (object);

  tess_results_stop (self);
  g_clear_object (&self->open_case);
  g_clear_object (&self->coming_case);
  g_clear_object (&self->study);
  G_OBJECT_CLASS (tess_results_parent_class)->dispose (object);
}

static void
tess_results_finalize (GObject *object)
{
  TessResults *self = TESS_RESULTS (object);

  g_hash_table_unref (self->seen);
  g_free (self->sentence);
  tess_comparison_free (self->comparison);
  tess_evaluation_free (self->evaluation);
  g_clear_pointer (&self->all, tess_volume_unref);
  g_clear_pointer (&self->one, tess_volume_unref);
  g_clear_pointer (&self->shown_difference, tess_volume_unref);
  G_OBJECT_CLASS (tess_results_parent_class)->finalize (object);
}

static void
tess_results_class_init (TessResultsClass *klass)
{
  static const struct {
    const char *name;
    guint n;
    GType arguments[2];
  } list[TESS_RESULTS_N_SIGNALS] = {
      {"changed", 0, {0}},           {"evaluated", 0, {0}},
      {"job", 1, {G_TYPE_OBJECT}},   {"failed", 2, {G_TYPE_STRING, G_TYPE_INT}},
      {"saved", 1, {G_TYPE_STRING}},
  };

  G_OBJECT_CLASS (klass)->dispose = tess_results_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_results_finalize;
  for (guint i = 0; i < TESS_RESULTS_N_SIGNALS; i++)
    tess_results_signals[i] = g_signal_new (list[i].name, TESS_TYPE_RESULTS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                            G_TYPE_NONE, list[i].n, list[i].arguments[0], list[i].arguments[1]);
}

static void
tess_results_init (TessResults *self)
{
  self->seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
}

TessResults *
tess_results_new (TessStudy *study)
{
  TessResults *self = g_object_new (TESS_TYPE_RESULTS, NULL);

  self->study = g_object_ref (study);
  g_signal_connect_object (study, "layers-changed", G_CALLBACK (layers_changed_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (study, "surveyed", G_CALLBACK (emit_changed), self, G_CONNECT_SWAPPED);
  tess_results_update (self);
  return self;
}
