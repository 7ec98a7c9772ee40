#include "tess-segment.h"
#include "tess-segment-private.h"

#include "tess-auto-plan.h"
#include "tess-format-registry.h"
#include "tess-format.h"
#include "tess-predictor.h"
#include "tess-results-window.h"
#include "tess-statistics.h"
#include "tess-thread.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* What one run needs and gives; the thread owns it between start and done. */
struct _TessSegmentRun {
  TessSegment *owner; /* NULL once the window is gone; main thread only */
  guint64 generation;
  char *model_path, *model_name, *scan_name;
  TessVolume *image;
  char **more; /* files of its other channels; NULL when it has them all */
  TessProgress *progress;
  TessJob *job; /* main thread only */
  TessThread *thread;
  TessThread *before; /* of a cancelled one that still was busy with a tile: ended first */

  TessVolume *labels; /* results */
  GError *error;
  double seconds;
  char *summary;
};

static void
run_free (TessSegmentRun *run)
{
  g_clear_pointer (&run->image, tess_volume_unref);
  g_strfreev (run->more);
  g_clear_pointer (&run->labels, tess_volume_unref);
  g_clear_pointer (&run->progress, tess_progress_unref);
  g_clear_object (&run->job);
  g_clear_error (&run->error);
  g_free (run->model_path);
  g_free (run->model_name);
  g_free (run->scan_name);
  g_free (run->summary);
  g_free (run);
}

/* --- the window's state ------------------------------------------------------------------------------------------- */

/* The thread uses libraries that the end of the process takes down: it ends first, after the tile in work. Its idle
 * frees the run. */
static void
end_run (TessSegmentRun *run)
{
  if (!run)
    return;
  run->owner = NULL;
  tess_progress_cancel (run->progress);
  tess_thread_join (g_steal_pointer (&run->thread));
}

static void
segment_free (gpointer data)
{
  TessSegment *self = data;

  end_run (self->run);
  end_run (self->ending);
  g_signal_handlers_disconnect_by_data (self->study, self);
  g_clear_object (&self->study);
  g_array_unref (self->unsaved);
  g_array_unref (self->made);
  g_free (self);
}

static guint64
scan_serial (TessStudy *study)
{
  TessLayer *layer = tess_scene_main (tess_study_get_scene (study));

  return layer ? layer->voxels_serial : 0;
}

/* Another scan: what is still being computed belongs to the one before. */
static void
layers_changed_cb (TessSegment *self)
{
  guint64 serial = scan_serial (self->study);

  if (serial == self->scan)
    return;
  self->scan = serial;
  self->generation++;
  if (self->run)
    tess_progress_cancel (self->run->progress);
}

static void
window_destroy_cb (GtkWidget *window)
{
  g_object_set_data (G_OBJECT (window), "tess-segment", NULL);
}

TessSegment *
tess_segment_of (TessWindow *window)
{
  TessSegment *self = g_object_get_data (G_OBJECT (window), "tess-segment");

  if (self)
    return self;
  self = g_new0 (TessSegment, 1);
  self->window = window;
  self->study = g_object_ref (tess_window_get_study (window));
  self->scan = scan_serial (self->study);
  self->unsaved = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->made = g_array_new (FALSE, FALSE, sizeof (guint64));
  g_object_set_data_full (G_OBJECT (window), "tess-segment", self, segment_free);
  g_signal_connect_data (self->study, "layers-changed", G_CALLBACK (layers_changed_cb), self, NULL, G_CONNECT_SWAPPED);
  g_signal_connect (window, "destroy", G_CALLBACK (window_destroy_cb), NULL);
  return self;
}

/* --- the thread --------------------------------------------------------------------------------------------------- */

/* "organ 1.6 mL, vessel 0.4 mL and 3 more": the labels in the plan's order, four of them at most. */
static char *
summarise (const TessVolume *volume, double *seconds, GError **error)
{
  g_autoptr (GArray) values = NULL;
  g_autoptr (GArray) counts = NULL;
  g_autoptr (GString) text = g_string_new (NULL);
  double voxel = fabs (tess_affine_determinant (tess_volume_affine (volume)));
  guint n = 0, more = 0;

  if (!tess_volume_label_counts (volume, &values, &counts, error))
    return NULL;
  for (guint i = 0; i < values->len; i++) {
    gint64 value = g_array_index (values, gint64, i);
    const TessLabel *label = value > 0 ? tess_label_table_find (tess_volume_peek_labels (volume), value) : NULL;

    if (!label)
      continue;
    if (n == 4) {
      more++;
    } else {
      g_autofree char *ml = tess_results_format_ml (voxel * (double)g_array_index (counts, gint64, i));

      g_string_append_printf (text, "%s%s %s", n++ ? ", " : "", label->name, ml);
    }
  }
  if (more)
    g_string_append_printf (text, g_dngettext (GETTEXT_PACKAGE, " and %u more", " and %u more", more), more);
  if (n == 0)
    return g_strdup_printf (_ ("Segmented in %.1f s: none of the model's labels was found"), *seconds);
  return g_strdup_printf (_ ("Segmented in %.1f s: %s"), *seconds, text->str);
}

/* The open volume and, when its channels are files of their own, the others. */
static GPtrArray *
load_channels (TessSegmentRun *run, GError **error)
{
  g_autoptr (GPtrArray) images = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_unref);

  g_ptr_array_add (images, tess_volume_ref (run->image));
  for (guint i = 0; run->more && run->more[i]; i++) {
    TessVolume *volume = tess_volume_load (run->more[i], NULL, error);

    if (!volume || !tess_progress_check (run->progress, error)) {
      g_clear_pointer (&volume, tess_volume_unref);
      return NULL;
    }
    g_ptr_array_add (images, volume);
  }
  return g_steal_pointer (&images);
}

/* Memory that is promised and then not there ends the whole program: what the sums of the logits take is compared with
 * what the machine has before it is asked for. */
static gboolean
check_memory (const TessPlan *plan, const TessVolume *scan, GError **error)
{
  guint64 available = tess_available_memory ("");
  double spacing[3], voxels = 1.0, needed;

  tess_affine_spacing (tess_volume_affine (scan), spacing);
  for (int a = 0; a < 3; a++) {
    double n = (double)tess_volume_dim (scan)[a] * (plan->spacing[a] > 0.0 ? spacing[a] / plan->spacing[a] : 1.0);

    voxels *= a == 2 ? MIN (n, (double)plan->patch[2] + 1.0) : n;
  }
  needed = voxels * (plan->n_labels + 1.0) * sizeof (float) + (double)tess_volume_n_voxels (scan);
  if (available && needed > (double)available) {
    g_autofree char *bytes = tess_format_bytes ((guint64)needed), *free_bytes = tess_format_bytes (available);

    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("segmenting needs %s of memory, but only %s is free; close other programs or crop the scan"), bytes,
                 free_bytes);
    return FALSE;
  }
  return TRUE;
}

static gboolean
compute (TessSegmentRun *run, GError **error)
{
  g_autoptr (TessModel) model = tess_model_load (run->model_path, error);
  g_autoptr (TessPredictor) predictor = NULL;
  g_autoptr (GPtrArray) images = NULL;
  gint64 start = g_get_monotonic_time ();
  const TessBackendIface *backend;
  TessDeviceInfo info;

  if (!model || !tess_progress_check (run->progress, error))
    return FALSE;
  images = load_channels (run, error);
  if (!images)
    return FALSE;
  backend = tess_backend_choose ("auto", NULL, error);
  if (!backend || !backend->device_info (0, &info, error))
    return FALSE;
  if (!check_memory (model->plan, run->image, error))
    goto failed;
  predictor = tess_predictor_new (model, backend, 0, 0, info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32, error);
  if (!predictor || !tess_progress_check (run->progress, error))
    goto failed;
  run->labels = tess_predictor_run (predictor, (TessVolume *const *)images->pdata, images->len, run->progress, error);
  if (!run->labels)
    goto failed;
  run->seconds = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  run->summary = summarise (run->labels, &run->seconds, error);
  return run->summary != NULL;

failed: /* the engine's sentences do not say which scan */
  if (error && *error)
    g_prefix_error (error, "%s: ", run->scan_name);
  return FALSE;
}

static void run_done (gpointer data);

static void
run_thread (gpointer data)
{
  TessSegmentRun *run = data;

  if (run->before)
    tess_thread_join (g_steal_pointer (&run->before));
  if (tess_progress_check (run->progress, &run->error))
    compute (run, &run->error);
  g_idle_add_once (run_done, run);
}

/* --- on the main thread again ------------------------------------------------------------------------------------- */

typedef struct {
  TessStudy *study;
  guint64 serial;
  GArray *hidden; /* guint64: serials of what was seen before */
} Undo;

static void
undo_free (gpointer data)
{
  Undo *undo = data;

  g_object_unref (undo->study);
  g_array_unref (undo->hidden);
  g_free (undo);
}

static void
undo_cb (gpointer data)
{
  Undo *undo = data;
  TessLayer *layer = tess_segment_find_layer (undo->study, undo->serial);

  if (!layer)
    return;
  for (guint i = 0; i < undo->hidden->len; i++) {
    TessLayer *before = tess_segment_find_layer (undo->study, g_array_index (undo->hidden, guint64, i));

    if (before)
      before->visible = TRUE;
  }
  tess_study_remove_layer (undo->study, layer);
}

TessLayer *
tess_segment_find_layer (TessStudy *study, guint64 serial)
{
  GPtrArray *layers = tess_study_get_scene (study)->layers;

  for (guint i = 0; i < layers->len; i++)
    if (((TessLayer *)layers->pdata[i])->voxels_serial == serial)
      return layers->pdata[i];
  return NULL;
}

static gboolean
has_layer_named (TessStudy *study, const char *name)
{
  GPtrArray *layers = tess_study_get_scene (study)->layers;

  for (guint i = 0; i < layers->len; i++)
    if (strcmp (((TessLayer *)layers->pdata[i])->name, name) == 0)
      return TRUE;
  return FALSE;
}

/* "Labels by torso", and of a second time "Labels by torso 2". */
static char *
layer_name (TessStudy *study, const char *model)
{
  char *name = g_strdup_printf (_ ("Labels by %s"), model);

  for (guint n = 2; has_layer_named (study, name); n++) {
    g_free (name);
    name = g_strdup_printf (_ ("Labels by %s %u"), model, n);
  }
  return name;
}

/* What an earlier segmentation found would shine through the new labels. Results shows one at a time anyhow. */
static GArray *
hide_earlier (TessSegment *self)
{
  GArray *hidden = g_array_new (FALSE, FALSE, sizeof (guint64));

  for (guint i = 0; i < self->made->len && !tess_results_get_visible (tess_results_of (self->window)); i++) {
    TessLayer *layer = tess_segment_find_layer (self->study, g_array_index (self->made, guint64, i));

    if (!layer || !layer->visible)
      continue;
    layer->visible = FALSE;
    g_array_append_val (hidden, layer->voxels_serial);
  }
  return hidden;
}

static char *
no_room (void)
{
  return g_strdup_printf (_ ("There are %d layers already, and the labels found would be one more; remove one first"),
                          TESS_MAX_LAYERS);
}

static void
take_labels (TessSegment *self, TessSegmentRun *run)
{
  g_autofree char *name = layer_name (self->study, run->model_name);
  g_autoptr (GArray) hidden = hide_earlier (self);
  TessLayer *layer = tess_study_add_layer (self->study, run->labels, name);
  Undo *undo;

  if (!layer) { /* layers came in meanwhile */
    g_autofree char *sentence = no_room ();

    tess_window_show_error (self->window, sentence, _ ("Segment Again"), "win.segment");
    return;
  }
  g_array_append_val (self->unsaved, layer->voxels_serial);
  g_array_append_val (self->made, layer->voxels_serial);
  tess_results_set_prediction (tess_results_of (self->window), layer);
  undo = g_new (Undo, 1);
  *undo = (Undo){g_object_ref (self->study), layer->voxels_serial, g_steal_pointer (&hidden)};
  tess_window_toast_undo (self->window, run->summary, G_CALLBACK (undo_cb), undo, undo_free);
}

/* A model that cannot be used stays so; what was short of memory or lost its device may work the next time. */
static void
say_failure (TessWindow *window, const GError *error)
{
  gboolean model = g_error_matches (error, TESS_ERROR, TESS_ERROR_FORMAT) ||
                   g_error_matches (error, TESS_ERROR, TESS_ERROR_IO) ||
                   g_error_matches (error, TESS_ERROR, TESS_ERROR_MISMATCH) ||
                   g_error_matches (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);

  tess_window_show_error (window, error->message, model ? _ ("Choose Model…") : _ ("Try Again"),
                          model ? "win.open-model" : "win.segment");
}

/* Cancel takes effect at once; the thread comes back when its tile is done, and nobody waits for it. */
static void
looked_cb (TessSegmentRun *run)
{
  TessSegment *self = run->owner;

  if (!self || self->run != run || !tess_progress_is_cancelled (run->progress))
    return;
  self->run = NULL;
  self->ending = run;
  if (run->generation == self->generation)
    tess_window_toast (self->window, _ ("Segmenting was cancelled"));
  tess_job_finish (run->job);
}

static void
run_done (gpointer data)
{
  TessSegmentRun *run = data;
  TessSegment *self = run->owner;

  looked_cb (run);
  g_signal_handlers_disconnect_by_data (run->job, run);
  tess_job_finish (run->job);
  if (self) {
    gboolean let_go = self->ending == run;

    *(let_go ? &self->ending : &self->run) = NULL;
    tess_thread_join (run->thread);
    if (let_go || run->generation != self->generation)
      ; /* cancelled, or for a scan that is gone */
    else if (!run->error)
      take_labels (self, run);
    else
      say_failure (self->window, run->error);
  }
  run_free (run);
}

gboolean
tess_segment_is_running (TessWindow *window)
{
  return tess_segment_of (window)->run != NULL;
}

/* Labels that come while nobody can see the scan would be missed. */
static void
show_pictures (TessWindow *window)
{
  g_autofree char *mode = NULL;

  g_object_get (window, "mode", &mode, NULL);
  if (g_strcmp0 (mode, "train") == 0)
    tess_window_set_mode (window, "view");
}

/* Says what is in the way, if anything is. */
static gboolean
can_start (TessSegment *self, char **name, char ***more)
{
  TessWindow *window = self->window;
  const char *model = tess_window_get_model (window);
  g_autoptr (GError) error = NULL;

  if (self->run) {
    tess_window_toast (window, _ ("The scan is being segmented already"));
    return FALSE;
  }
  if (!tess_scene_main (tess_study_get_scene (self->study))) {
    tess_window_show_error (window, _ ("There is no scan to segment; open one first"), _ ("Open a Scan…"), "win.open");
    return FALSE;
  }
  if (!model) {
    tess_segment_ask_model (window);
    return FALSE;
  }
  if (!tess_segment_look (model, self->study, name, more, &error)) {
    tess_window_show_error (window, error->message, _ ("Choose Model…"), "win.open-model");
    return FALSE;
  }
  if (tess_study_is_reading (self->study)) {
    tess_window_toast (window, _ ("The scan is still being read; try again in a moment"));
    return FALSE;
  }
  if (tess_study_get_scene (self->study)->layers->len >= TESS_MAX_LAYERS) {
    g_autofree char *sentence = no_room ();

    tess_window_show_error (window, sentence, NULL, NULL);
    return FALSE;
  }
  return TRUE;
}

void
tess_segment_start (TessWindow *window)
{
  TessSegment *self = tess_segment_of (window);
  TessLayer *layer = tess_scene_main (tess_study_get_scene (self->study));
  g_autofree char *title = NULL, *name = NULL;
  g_auto (GStrv) more = NULL;
  TessSegmentRun *run;

  if (self->run)
    looked_cb (self->run); /* cancelled a moment ago */
  if (!can_start (self, &name, &more))
    return;
  tess_window_clear_error (window);
  show_pictures (window);
  run = g_new0 (TessSegmentRun, 1);
  run->owner = self;
  run->generation = self->generation;
  run->model_path = g_strdup (tess_window_get_model (window));
  run->model_name = g_steal_pointer (&name);
  run->more = g_steal_pointer (&more);
  run->scan_name = g_strdup (layer->name);
  run->image = tess_volume_ref (layer->volume);
  title = g_strdup_printf (_ ("Segmenting %s with %s"), run->scan_name, run->model_name);
  run->job = tess_job_new (title);
  run->progress = tess_progress_ref (tess_job_get_progress (run->job));
  g_signal_connect_swapped (run->job, "notify::fraction", G_CALLBACK (looked_cb), run);
  if (self->ending) {
    run->before = g_steal_pointer (&self->ending->thread);
    self->ending->owner = NULL;
    self->ending = NULL;
  }
  self->run = run;
  tess_window_add_job (window, run->job);
  run->thread = tess_thread_new ("segment", 10, run_thread, run);
}
