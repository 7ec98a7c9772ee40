#include "tess-segment.h"
#include "tess-segment-private.h"

#include "tess-format-registry.h"
#include "tess-replace.h"
#include "tess-results-window.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* --- labels on the scan's grid ------------------------------------------------------------------------------------ */

/* The value of the nearest voxel; 0 outside. */
static TessVolume *
resample_labels (TessVolume *labels, const TessGrid *target, TessProgress *progress, GError **error)
{
  TessGrid from = tess_volume_grid (labels);
  TessDType dtype = tess_volume_dtype (labels) == TESS_DTYPE_U8 ? TESS_DTYPE_U8 : TESS_DTYPE_I32;
  g_autoptr (TessVolume) out = tess_volume_new (dtype, target->dim, 1, &target->affine, error);
  TessAffine map;
  guint8 *small;
  gint32 *large;

  if (!out)
    return NULL;
  if (!tess_grid_mapping (target, &from, &map)) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                         _ ("the labels' grid cannot be inverted; save them with the program that made them"));
    return NULL;
  }
  small = tess_volume_data_mut (out);
  large = tess_volume_data_mut (out);
  for (gint64 z = 0, i = 0; z < target->dim[2]; z++) {
    if (!tess_progress_check (progress, error))
      return NULL;
    for (gint64 y = 0; y < target->dim[1]; y++)
      for (gint64 x = 0; x < target->dim[0]; x++, i++) {
        double p[3] = {(double)x, (double)y, (double)z}, q[3], value = 0.0;
        gboolean inside = TRUE;

        tess_affine_apply (&map, p, q);
        for (int a = 0; a < 3; a++) {
          q[a] = floor (q[a] + 0.5);
          inside = inside && q[a] >= 0.0 && q[a] < (double)from.dim[a];
        }
        if (inside)
          value = tess_volume_value (labels, (gint64)q[0], (gint64)q[1], (gint64)q[2], 0);
        if (!(fabs (value) < 2147483648.0))
          value = 0.0;
        if (dtype == TESS_DTYPE_U8)
          small[i] = (guint8)CLAMP (value, 0.0, 255.0);
        else
          large[i] = (gint32)value;
      }
  }
  tess_volume_set_intent (out, TESS_INTENT_LABEL);
  if (tess_volume_peek_labels (labels))
    tess_volume_set_labels (out, tess_volume_peek_labels (labels));
  return g_steal_pointer (&out);
}

/* --- the worker --------------------------------------------------------------------------------------------------- */

typedef struct {
  TessVolume *labels;
  TessGrid grid; /* the scan's */
  char *path;
  guint64 serial;
  TessJob *job;
  TessProgress *progress;
  TessSegmentSaved done;
  gpointer data;
} Saving;

static void
saving_free (gpointer data)
{
  Saving *s = data;

  tess_volume_unref (s->labels);
  g_free (s->path);
  g_object_unref (s->job);
  tess_progress_unref (s->progress);
  g_free (s);
}

static void
save_thread (GTask *task, gpointer source, gpointer task_data, GCancellable *cancellable)
{
  Saving *s = task_data;
  TessGrid own = tess_volume_grid (s->labels);
  g_autoptr (TessVolume) volume = NULL;
  GError *error = NULL;

  if (tess_volume_n_channels (s->labels) == 1 && tess_grid_equal (&own, &s->grid, 1e-3))
    volume = tess_volume_ref (s->labels);
  else
    volume = resample_labels (s->labels, &s->grid, s->progress, &error);
  if (volume && tess_volume_save (volume, s->path, s->progress, &error))
    g_task_return_boolean (task, TRUE);
  else
    g_task_return_error (task, error);
}

static void
forget_unsaved (TessSegment *self, guint64 serial)
{
  for (guint i = self->unsaved->len; i > 0; i--)
    if (g_array_index (self->unsaved, guint64, i - 1) == serial)
      g_array_remove_index (self->unsaved, i - 1);
}

static void
saved_cb (GObject *source, GAsyncResult *result, gpointer user_data)
{
  TessWindow *window = TESS_WINDOW (source);
  Saving *s = g_task_get_task_data (G_TASK (result));
  g_autofree char *name = g_path_get_basename (s->path), *text = g_strdup_printf (_ ("Saved %s"), name);
  g_autoptr (GError) error = NULL;
  gboolean ok = g_task_propagate_boolean (G_TASK (result), &error);

  tess_job_finish (s->job);
  if (!tess_window_get_study (window)) {
    ok = FALSE; /* the window was closed meanwhile */
  } else if (ok) {
    forget_unsaved (tess_segment_of (window), s->serial);
    tess_window_clear_error (window);
    tess_window_toast (window, text);
  } else if (!g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED)) {
    tess_window_show_error (window, error->message, _ ("Save Elsewhere…"), "win.save-labels");
  }
  if (s->done)
    s->done (window, ok, s->data);
}

/* Is a label layer, and not a comparison's difference: that is none of the user's labels. */
static gboolean
is_labels (TessWindow *window, const TessLayer *layer)
{
  return layer && layer->lut == TESS_LUT_LABELS && !tess_results_is_difference (tess_results_of (window), layer);
}

/* What is to be saved: the newest labels made here that are in no file yet, or the layer that is selected, or the
 * uppermost labels. */
static TessLayer *
find_labels (TessWindow *window)
{
  TessSegment *self = tess_segment_of (window);
  GPtrArray *layers = tess_study_get_scene (self->study)->layers;
  TessLayer *active = tess_study_get_active (self->study);

  for (guint i = self->unsaved->len; i > 0; i--) {
    TessLayer *layer = tess_segment_find_layer (self->study, g_array_index (self->unsaved, guint64, i - 1));

    if (layer)
      return layer;
  }
  if (is_labels (window, active))
    return active;
  for (guint i = layers->len; i > 0; i--)
    if (is_labels (window, layers->pdata[i - 1]))
      return layers->pdata[i - 1];
  return NULL;
}

/* A name without an ending that can be written gets the one everybody reads. */
static const char *
missing_ending (const char *path)
{
  const TessFormat *format = tess_format_for_path (path, NULL);

  return format && format->save ? "" : ".nii.gz";
}

void
tess_segment_save_labels_to (TessWindow *window, const char *path, TessSegmentSaved done, gpointer data)
{
  TessStudy *study = tess_window_get_study (window);
  TessLayer *layer = find_labels (window), *scan = tess_scene_main (tess_study_get_scene (study));
  g_autoptr (GTask) task = NULL;
  g_autofree char *name = NULL, *title = NULL;
  Saving *s;

  if (!layer || !scan) {
    tess_window_show_error (window, _ ("There are no labels to save; segment the scan or open labels first"), NULL,
                            NULL);
    if (done)
      done (window, FALSE, data);
    return;
  }
  task = g_task_new (window, NULL, saved_cb, NULL);
  s = g_new0 (Saving, 1);
  s->labels = tess_volume_ref (layer->volume);
  s->grid = tess_volume_grid (scan->volume);
  s->path = g_strconcat (path, missing_ending (path), NULL);
  s->serial = layer->voxels_serial;
  name = g_path_get_basename (s->path);
  title = g_strdup_printf (_ ("Saving %s"), name);
  s->job = tess_job_new (title);
  s->progress = tess_progress_ref (tess_job_get_progress (s->job));
  s->done = done;
  s->data = data;
  g_task_set_task_data (task, s, saving_free);
  tess_window_add_job (window, s->job);
  g_task_run_in_thread (task, save_thread);
}

/* --- asking for a file -------------------------------------------------------------------------------------------- */

typedef struct {
  TessWindow *window;
  TessSegmentSaved done;
  gpointer data;
} Choice;

static void
choice_end (Choice *choice)
{
  g_object_unref (choice->window);
  g_free (choice);
}

static void
go_on_cb (TessWindow *window, const char *path, gboolean yes, gpointer data)
{
  Choice *choice = data;

  if (yes)
    tess_segment_save_labels_to (window, path, choice->done, choice->data);
  else if (choice->done)
    choice->done (window, FALSE, choice->data);
  choice_end (choice);
}

static void
chosen_cb (GtkNativeDialog *dialog, int response, Choice *choice)
{
  g_autoptr (GFile) file =
      response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog)) : NULL;
  g_autofree char *path = file ? g_file_get_path (file) : NULL;
  TessStudy *study = tess_window_get_study (choice->window);

  if (path && study) {
    tess_replace_ask (choice->window, path, missing_ending (path), tess_study_get_path (study), go_on_cb, choice);
  } else {
    if (file && study)
      tess_window_show_error (choice->window,
                              _ ("This place has no path on this computer; save the labels here first."),
                              _ ("Save Elsewhere…"), "win.save-labels");
    if (choice->done)
      choice->done (choice->window, FALSE, choice->data);
    choice_end (choice);
  }
  g_object_unref (dialog);
}

static char *
default_name (TessStudy *study)
{
  const char *title = tess_study_get_title (study);
  g_autofree char *stem = g_strdup (title && *title ? title : "scan");

  /* "case_0000" is the first channel of "case", whose labels are the case's */
  if (g_str_has_suffix (stem, "_0000"))
    stem[strlen (stem) - 5] = '\0';
  return g_strconcat (stem, "_labels.nii.gz", NULL);
}

static void
ask_for_file (TessWindow *window, TessSegmentSaved done, gpointer data)
{
  TessStudy *study = tess_window_get_study (window);
  TessLayer *layer = find_labels (window);
  g_autofree char *title = layer ? g_strdup_printf (_ ("Save “%s”"), layer->name) : g_strdup (_ ("Save Labels"));
  GtkFileChooserNative *dialog =
      gtk_file_chooser_native_new (title, GTK_WINDOW (window), GTK_FILE_CHOOSER_ACTION_SAVE, _ ("_Save"), NULL);
  g_autoptr (GtkFileFilter) filter = gtk_file_filter_new ();
  g_autofree char *name = default_name (study);
  Choice *choice = g_new (Choice, 1);

  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  gtk_file_filter_set_name (filter, _ ("NIfTI (.nii.gz, .nii)"));
  gtk_file_filter_add_suffix (filter, "nii.gz");
  gtk_file_filter_add_suffix (filter, "nii");
  gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), filter);
  if (tess_study_get_path (study)) {
    g_autofree char *folder = g_path_get_dirname (tess_study_get_path (study));
    g_autoptr (GFile) file = g_file_new_for_path (folder);

    gtk_file_chooser_set_current_folder (GTK_FILE_CHOOSER (dialog), file, NULL);
  }
  gtk_file_chooser_set_current_name (GTK_FILE_CHOOSER (dialog), name);
  *choice = (Choice){g_object_ref (window), done, data};
  g_signal_connect (dialog, "response", G_CALLBACK (chosen_cb), choice);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

void
tess_segment_save_labels (TessWindow *window)
{
  if (find_labels (window))
    ask_for_file (window, NULL, NULL);
  else
    tess_window_show_error (window, _ ("There are no labels to save; segment the scan or open labels first"), NULL,
                            NULL);
}

/* --- before they are lost ----------------------------------------------------------------------------------------- */

gboolean
tess_segment_has_unsaved (TessWindow *window)
{
  TessSegment *self = tess_segment_of (window);

  for (guint i = self->unsaved->len; i > 0; i--) {
    if (tess_segment_find_layer (self->study, g_array_index (self->unsaved, guint64, i - 1)))
      return TRUE;
    g_array_remove_index (self->unsaved, i - 1);
  }
  return FALSE;
}

typedef struct {
  TessWindow *window;
  TessSegmentGoOn go_on;
  gpointer data;
  GDestroyNotify destroy;
} Asking;

static void
asking_end (Asking *asking, gboolean go_on)
{
  if (go_on)
    asking->go_on (asking->window, asking->data);
  if (asking->destroy)
    asking->destroy (asking->data);
  g_object_unref (asking->window);
  g_free (asking);
}

/* One layer after the other, until none is unsaved. */
static void
asked_to_save_cb (TessWindow *window, gboolean ok, gpointer data)
{
  if (ok && tess_segment_has_unsaved (window))
    ask_for_file (window, asked_to_save_cb, data);
  else
    asking_end (data, ok);
}

static void
response_cb (AdwMessageDialog *dialog, const char *response, Asking *asking)
{
  TessSegment *self;

  if (!tess_window_get_study (asking->window)) { /* closed by something else meanwhile */
    asking_end (asking, FALSE);
    return;
  }
  self = tess_segment_of (asking->window);
  if (strcmp (response, "save") == 0) {
    ask_for_file (asking->window, asked_to_save_cb, asking);
    return;
  }
  if (strcmp (response, "discard") == 0)
    g_array_set_size (self->unsaved, 0);
  asking_end (asking, strcmp (response, "discard") == 0);
}

void
tess_segment_ask_unsaved (TessWindow *window, TessSegmentGoOn go_on, gpointer data, GDestroyNotify destroy)
{
  const char *title = tess_study_get_title (tess_window_get_study (window));
  g_autofree char *heading = g_strdup_printf (_ ("Save the labels of %s?"), title ? title : "");
  Asking *asking = g_new (Asking, 1);
  GtkWidget *dialog;

  *asking = (Asking){g_object_ref (window), go_on, data, destroy};
  if (!tess_segment_has_unsaved (window)) {
    asking_end (asking, TRUE);
    return;
  }
  dialog = adw_message_dialog_new (GTK_WINDOW (window), heading,
                                   _ ("They were made here and are in no file yet. Without saving they are lost."));
  adw_message_dialog_add_responses (ADW_MESSAGE_DIALOG (dialog), "cancel", _ ("_Cancel"), "discard", _ ("_Discard"),
                                    "save", _ ("_Save…"), NULL);
  adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), "discard", ADW_RESPONSE_DESTRUCTIVE);
  adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), "save", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), "save");
  adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
  g_signal_connect (dialog, "response", G_CALLBACK (response_cb), asking);
  gtk_window_present (GTK_WINDOW (dialog));
}
