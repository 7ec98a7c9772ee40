#include "tess-segment.h"
#include "tess-segment-private.h"

#include "tess-format.h"
#include "tess-predictor.h"
#include "tess-results-window.h"
#include "tess-statistics.h"
#include "tess-thread.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* Of the model's metadata; see tess-model.c. */
#define KEY_PLAN "tessera.plan"

/* What one run needs and gives; the thread owns it between start and done. */
struct _TessSegmentRun {
  TessSegment *owner; /* NULL once the window is gone; main thread only */
  guint64 generation;
  char *model_path, *model_name, *scan_name;
  TessVolume *image;
  TessProgress *progress;
  TessJob *job; /* main thread only */
  TessThread *thread;

  TessVolume *labels; /* results */
  GError *error;
  double seconds;
  char *summary;
};

static void
run_free (TessSegmentRun *run)
{
  g_clear_pointer (&run->image, tess_volume_unref);
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

static void
segment_free (gpointer data)
{
  TessSegment *self = data;

  if (self->run) {
    TessSegmentRun *run = self->run;

    /* The thread uses libraries that the end of the process takes down: it ends first, after the tile in work. Its
     * idle frees it. */
    run->owner = NULL;
    tess_progress_cancel (run->progress);
    tess_thread_join (g_steal_pointer (&run->thread));
  }
  g_signal_handlers_disconnect_by_data (self->study, self);
  g_clear_object (&self->study);
  g_array_unref (self->unsaved);
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
  g_object_set_data_full (G_OBJECT (window), "tess-segment", self, segment_free);
  g_signal_connect_data (self->study, "layers-changed", G_CALLBACK (layers_changed_cb), self, NULL, G_CONNECT_SWAPPED);
  g_signal_connect (window, "destroy", G_CALLBACK (window_destroy_cb), NULL);
  return self;
}

/* --- does the model fit ------------------------------------------------------------------------------------------- */

static TessPlan *
load_plan (const char *path, GError **error)
{
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, error);
  g_autofree char *name = g_path_get_basename (path);
  const char *text;

  if (!file)
    return NULL;
  text = tess_safetensors_metadata (file, KEY_PLAN);
  if (!text) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                 _ ("%s: holds no plan, so it is not a model of Tessera; choose the best.safetensors of a run folder"),
                 name);
    return NULL;
  }
  return tess_plan_from_text (text, name, error);
}

static char *
join_channels (const TessPlan *plan)
{
  GString *text = g_string_new (NULL);

  for (guint i = 0; i < plan->n_channels; i++)
    g_string_append_printf (text, "%s%s", i ? ", " : "", plan->channels[i].name);
  return g_string_free (text, FALSE);
}

/* Without the background; the first six. */
static char *
join_labels (const TessPlan *plan)
{
  GString *text = g_string_new (NULL);
  guint n = 0;

  for (guint i = 0; i < plan->n_labels; i++) {
    if (plan->labels[i].value == 0)
      continue;
    if (n == 6) {
      g_string_append (text, "…");
      break;
    }
    g_string_append_printf (text, "%s%s", n++ ? ", " : "", plan->labels[i].name);
  }
  return g_string_free (text, FALSE);
}

static gboolean
check_scan (const TessPlan *plan, const char *model_path, TessStudy *study, GError **error)
{
  TessLayer *layer = study ? tess_scene_main (tess_study_get_scene (study)) : NULL;
  g_autofree char *model = g_path_get_basename (model_path), *channels = join_channels (plan);
  gint64 n;

  if (!layer)
    return TRUE;
  if (layer->lut == TESS_LUT_LABELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("%s: is a label map, not a scan; open the scan itself"),
                 layer->name);
    return FALSE;
  }
  n = tess_volume_n_channels (layer->volume);
  if (n == plan->n_channels)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               g_dngettext (GETTEXT_PACKAGE,
                            "%s: the model was trained on %u channel (%s), but the scan has %d; open a scan of that "
                            "kind or choose another model",
                            "%s: the model was trained on %u channels (%s), but the scan has %d; open a scan with all "
                            "of them in one file or choose another model",
                            plan->n_channels),
               model, plan->n_channels, channels, (int)n);
  return FALSE;
}

char *
tess_segment_check_model (const char *model_path, TessStudy *study, GError **error)
{
  g_autoptr (TessPlan) plan = load_plan (model_path, error);
  g_autofree char *channels = NULL, *labels = NULL;

  if (!plan || !check_scan (plan, model_path, study, error))
    return NULL;
  channels = join_channels (plan);
  labels = join_labels (plan);
  return g_strdup_printf (_ ("%s · from %s · finds %s"), plan->dataset_name ? plan->dataset_name : _ ("model"),
                          channels, labels);
}

gboolean
tess_segment_model_fits (const char *model_path, TessStudy *study, GError **error)
{
  g_autofree char *description = tess_segment_check_model (model_path, study, error);

  return description != NULL;
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

static gboolean
compute (TessSegmentRun *run, GError **error)
{
  g_autoptr (TessModel) model = tess_model_load (run->model_path, error);
  g_autoptr (TessPredictor) predictor = NULL;
  gint64 start = g_get_monotonic_time ();
  const TessBackendIface *backend;
  TessDeviceInfo info;

  if (!model || !tess_progress_check (run->progress, error))
    return FALSE;
  backend = tess_backend_choose ("auto", NULL, error);
  if (!backend || !backend->device_info (0, &info, error))
    return FALSE;
  predictor = tess_predictor_new (model, backend, 0, 0, info.bf16 ? TESS_DTYPE_BF16 : TESS_DTYPE_F32, error);
  if (!predictor)
    return FALSE;
  run->labels = tess_predictor_run (predictor, &run->image, 1, run->progress, error);
  if (!run->labels)
    return FALSE;
  run->seconds = (double)(g_get_monotonic_time () - start) / G_USEC_PER_SEC;
  run->summary = summarise (run->labels, &run->seconds, error);
  return run->summary != NULL;
}

static void run_done (gpointer data);

static void
run_thread (gpointer data)
{
  TessSegmentRun *run = data;

  compute (run, &run->error);
  g_idle_add_once (run_done, run);
}

/* --- on the main thread again ------------------------------------------------------------------------------------- */

typedef struct {
  TessStudy *study;
  guint64 serial;
} Undo;

static void
undo_free (gpointer data)
{
  Undo *undo = data;

  g_object_unref (undo->study);
  g_free (undo);
}

static void
undo_cb (gpointer data)
{
  Undo *undo = data;
  TessLayer *layer = tess_segment_find_layer (undo->study, undo->serial);

  if (layer)
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

static void
take_labels (TessSegment *self, TessSegmentRun *run)
{
  g_autofree char *name = layer_name (self->study, run->model_name);
  TessLayer *layer = tess_study_add_layer (self->study, run->labels, name);
  Undo *undo;

  if (!layer) {
    g_autofree char *sentence = g_strdup_printf (
        _ ("The labels found have no room: there are %d layers; remove one and segment again"), TESS_MAX_LAYERS);

    tess_window_show_error (self->window, sentence, _ ("Segment Again"), "win.segment");
    return;
  }
  g_array_append_val (self->unsaved, layer->voxels_serial);
  tess_results_set_prediction (tess_results_of (self->window), layer);
  undo = g_new (Undo, 1);
  *undo = (Undo){g_object_ref (self->study), layer->voxels_serial};
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

static void
run_done (gpointer data)
{
  TessSegmentRun *run = data;
  TessSegment *self = run->owner;

  tess_job_finish (run->job);
  if (self) {
    self->run = NULL;
    tess_thread_join (run->thread);
    if (run->generation != self->generation)
      ; /* for a scan that is gone */
    else if (!run->error)
      take_labels (self, run);
    else if (g_error_matches (run->error, TESS_ERROR, TESS_ERROR_CANCELLED))
      tess_window_toast (self->window, _ ("Segmenting was cancelled"));
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

static char *
model_name (const char *path)
{
  g_autoptr (TessPlan) plan = load_plan (path, NULL);

  return plan && plan->dataset_name && *plan->dataset_name ? g_strdup (plan->dataset_name) : g_path_get_basename (path);
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

void
tess_segment_start (TessWindow *window)
{
  TessSegment *self = tess_segment_of (window);
  const char *model = tess_window_get_model (window);
  TessLayer *layer = tess_scene_main (tess_study_get_scene (self->study));
  g_autofree char *title = NULL;
  g_autoptr (GError) error = NULL;
  TessSegmentRun *run;

  if (self->run && !tess_progress_is_cancelled (self->run->progress)) {
    tess_window_toast (window, _ ("The scan is being segmented already"));
    return;
  }
  if (!layer) {
    tess_window_show_error (window, _ ("There is no scan to segment; open one first"), _ ("Open a Scan…"), "win.open");
    return;
  }
  if (!model) {
    tess_window_show_error (window, _ ("No model is chosen; choose the best.safetensors of a run folder"),
                            _ ("Choose Model…"), "win.open-model");
    return;
  }
  if (!tess_segment_model_fits (model, self->study, &error)) {
    tess_window_show_error (window, error->message, _ ("Choose Model…"), "win.open-model");
    return;
  }
  if (self->run) { /* cancelled, and still busy with its last tile */
    tess_window_toast (window, _ ("The segmentation before is still stopping; try again in a moment"));
    return;
  }
  tess_window_clear_error (window);
  show_pictures (window);
  run = g_new0 (TessSegmentRun, 1);
  run->owner = self;
  run->generation = self->generation;
  run->model_path = g_strdup (model);
  run->model_name = model_name (model);
  run->scan_name = g_strdup (layer->name);
  run->image = tess_volume_ref (layer->volume);
  title = g_strdup_printf (_ ("Segmenting %s with %s"), run->scan_name, run->model_name);
  run->job = tess_job_new (title);
  run->progress = tess_progress_ref (tess_job_get_progress (run->job));
  self->run = run;
  tess_window_add_job (window, run->job);
  run->thread = tess_thread_new ("segment", 10, run_thread, run);
}
