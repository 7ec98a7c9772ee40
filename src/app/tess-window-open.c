#include "tess-window-private.h"

#include "tess-file-kind.h"
#include "tess-format-registry.h"
#include "tess-segment.h"
#include "tess-thumbnail.h"
#include "tess-train-page.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* --- scans and labels ------------------------------------------------------------------------------------------- */

typedef struct {
  TessWindow *window;
  TessJob *job;
  char *path;
  gboolean as_label, is_table;
  gboolean offer_scan; /* we guessed that it is labels: say so, and how to have it otherwise */
} Opening;

static void
opening_free (Opening *o)
{
  g_object_unref (o->window);
  g_object_unref (o->job);
  g_free (o->path);
  g_free (o);
}

/* A window that was closed meanwhile has no study any more. */
static gboolean
is_closed (TessWindow *self)
{
  return self->study == NULL;
}

static void
offer_scan (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_basename (path);
  g_autofree char *text = g_strdup_printf (_ ("%s was opened as labels"), name);
  g_autofree char *escaped = g_markup_escape_text (text, -1);
  AdwToast *toast = adw_toast_new (escaped);

  adw_toast_set_button_label (toast, _ ("Open as _Scan"));
  adw_toast_set_detailed_action_name (toast, "win.open-path");
  adw_toast_set_action_target (toast, "s", path);
  adw_toast_set_timeout (toast, 8);
  adw_toast_overlay_add_toast (self->toasts, toast);
}

static void
opened (TessWindow *self, Opening *o)
{
  TessLayer *layer;

  tess_window_clear_error (self);
  if (o->is_table)
    return; /* the side bar lists them */
  if (o->as_label) {
    if (o->offer_scan)
      offer_scan (self, o->path);
    return;
  }
  tess_recent_add (o->path);
  layer = tess_scene_main (tess_study_get_scene (self->study));
  if (layer)
    tess_thumbnail_keep (o->path, layer->volume);
  gtk_widget_grab_focus (self->canvas);
}

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Opening *o = data;
  TessWindow *self = o->window;
  g_autoptr (GError) error = NULL;
  gboolean ok = tess_study_open_finish (TESS_STUDY (source), result, &error);

  tess_job_finish (o->job);
  self->n_opening--;
  if (!is_closed (self)) {
    if (ok) {
      opened (self, o);
    } else if (!g_error_matches (error, TESS_ERROR, TESS_ERROR_CANCELLED) &&
               !g_error_matches (error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
      self->open_failed = TRUE;
      tess_window_show_error (self, error->message, _ ("Open Another…"),
                              o->as_label && !o->is_table ? "win.open-labels" : "win.open");
    }
    tess_window_update (self);
    tess_window_check_started (self);
  }
  opening_free (o);
}

static Opening *
new_opening (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_basename (path);
  g_autofree char *what = g_strdup_printf (_ ("Opening %s"), name);
  Opening *o = g_new0 (Opening, 1);

  o->window = g_object_ref (self);
  o->job = tess_job_new (what);
  o->path = g_strdup (path);
  self->n_opening++;
  if (strcmp (self->mode, "train") == 0)
    tess_window_set_mode (self, "view");
  tess_window_add_job (self, o->job);
  return o;
}

static void
start_opening (TessWindow *self, const char *path, gboolean as_label, gboolean offer)
{
  Opening *o = new_opening (self, path);

  o->as_label = as_label;
  o->offer_scan = offer;
  tess_study_open_async (self->study, path, as_label, o->job, opened_cb, o);
}

/* Over the scan that is open or being opened. */
static void
open_findings (TessWindow *self, const char *path)
{
  Opening *o = new_opening (self, path);

  o->as_label = o->is_table = TRUE;
  tess_study_open_findings_async (self->study, path, o->job, opened_cb, o);
}

void
tess_window_open_labels (TessWindow *self, const char *path)
{
  g_autofree char *name = NULL, *text = NULL;

  if (tess_study_get_has_image (self->study) || self->n_opening > 0) {
    start_opening (self, path, TRUE, FALSE);
    return;
  }
  name = g_filename_display_basename (path);
  text = g_strdup_printf (_ ("%s: labels are shown over a scan, and none is open; open the scan first"), name);
  self->open_failed = TRUE;
  tess_window_show_error (self, text, _ ("Open a Scan…"), "win.open");
}

typedef struct {
  char *path, *label;
} Wish;

static void
wish_free (gpointer data)
{
  Wish *wish = data;

  g_free (wish->path);
  g_free (wish->label);
  g_free (wish);
}

static void
open_wished (TessWindow *self, gpointer data)
{
  const Wish *wish = data;

  if (is_closed (self))
    return;
  start_opening (self, wish->path, FALSE, FALSE);
  if (wish->label)
    tess_window_open_labels (self, wish->label);
}

/* In the place of the scan that is open; asks first when labels made over that one are not saved. */
void
tess_window_open_scan (TessWindow *self, const char *path, const char *label)
{
  Wish *wish = g_new0 (Wish, 1);

  wish->path = g_strdup (path);
  wish->label = g_strdup (label);
  tess_segment_ask_unsaved (self, open_wished, wish, wish_free);
}

/* --- folders and models ----------------------------------------------------------------------------------------- */

void
tess_window_open_dataset (TessWindow *self, const char *path)
{
  g_autofree char *folder = NULL;
  TessFileKind kind = tess_file_kind_probe (path, &folder);

  tess_window_clear_error (self);
  tess_window_set_mode (self, "train");
  tess_train_page_open_dataset (self->train_page, kind == TESS_FILE_DATASET ? folder : path);
  if (kind == TESS_FILE_DATASET)
    tess_recent_add (folder);
}

void
tess_window_open_run (TessWindow *self, const char *path)
{
  g_autofree char *folder = NULL;
  TessFileKind kind;

  g_return_if_fail (TESS_IS_WINDOW (self));
  kind = tess_file_kind_probe (path, &folder);
  tess_window_clear_error (self);
  tess_window_set_mode (self, "train");
  tess_train_page_open_run (self->train_page, kind == TESS_FILE_RUN ? folder : path);
  if (kind == TESS_FILE_RUN)
    tess_recent_add (folder);
}

/* Segment uses it from now on. */
void
tess_window_open_model (TessWindow *self, const char *path)
{
  if (!tess_segment_use_model (self, path))
    self->open_failed = TRUE;
}

static void
say_wrong_folder (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autofree char *text =
      g_strdup_printf (_ ("%s: this folder is neither a dataset (with imagesTr and labelsTr in it) nor a run (with "
                          "plan.json and log.csv); choose another"),
                       name);

  self->open_failed = TRUE;
  tess_window_show_error (self, text, _ ("Open a Dataset Folder…"), "win.open-dataset");
}

static void
say_missing (TessWindow *self, const char *path)
{
  g_autofree char *name = g_filename_display_name (path);
  g_autofree char *text = g_strdup_printf (_ ("%s: there is no such file or folder; check its name and place"), name);

  self->open_failed = TRUE;
  tess_window_show_error (self, text, _ ("Open Another…"), "win.open");
}

/* @label: labels to show over @path when that is a scan, or NULL. What cannot be opened is said in the bar. */
void
tess_window_open (TessWindow *self, const char *path, const char *label)
{
  g_autofree char *folder = NULL;

  g_return_if_fail (TESS_IS_WINDOW (self) && path);
  switch (tess_file_kind_probe (path, &folder)) {
  case TESS_FILE_MISSING:
    say_missing (self, path);
    break;
  case TESS_FILE_SCAN:
    tess_window_open_scan (self, path, label);
    break;
  case TESS_FILE_DATASET:
    tess_window_open_dataset (self, folder);
    break;
  case TESS_FILE_RUN:
    tess_window_open_run (self, folder);
    break;
  case TESS_FILE_MODEL:
    tess_window_open_model (self, path);
    break;
  case TESS_FILE_FINDINGS:
    open_findings (self, path);
    break;
  case TESS_FILE_FOLDER:
  default:
    say_wrong_folder (self, path);
    break;
  }
}

/* --- dropped files ---------------------------------------------------------------------------------------------- */

typedef struct {
  TessWindow *window;
  char *path;
} Dropped;

static void
dropped_free (Dropped *d)
{
  g_object_unref (d->window);
  g_free (d->path);
  g_free (d);
}

static void
dropped_closure_free (gpointer data, GClosure *closure)
{
  dropped_free (data);
}

static void
ask_response_cb (AdwMessageDialog *dialog, const char *response, Dropped *d)
{
  if (is_closed (d->window))
    return;
  if (strcmp (response, "labels") == 0)
    start_opening (d->window, d->path, TRUE, FALSE);
  else if (strcmp (response, "scan") == 0)
    tess_window_open_scan (d->window, d->path, NULL);
}

static void
ask_what_it_is (Dropped *d)
{
  g_autofree char *name = g_filename_display_basename (d->path);
  g_autofree char *heading = g_strdup_printf (_ ("Is %s a scan or labels?"), name);
  GtkWidget *dialog = adw_message_dialog_new (GTK_WINDOW (d->window), heading, NULL);

  adw_message_dialog_set_body (ADW_MESSAGE_DIALOG (dialog),
                               _ ("It holds a few whole numbers, as labels do. Labels are shown over the scan that is "
                                  "open; a scan takes its place."));
  adw_message_dialog_add_responses (ADW_MESSAGE_DIALOG (dialog), "cancel", _ ("_Cancel"), "scan", _ ("Open as _Scan"),
                                    "labels", _ ("Open as _Labels"), NULL);
  adw_message_dialog_set_response_appearance (ADW_MESSAGE_DIALOG (dialog), "labels", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (ADW_MESSAGE_DIALOG (dialog), "labels");
  adw_message_dialog_set_close_response (ADW_MESSAGE_DIALOG (dialog), "cancel");
  g_signal_connect_data (dialog, "response", G_CALLBACK (ask_response_cb), d, dropped_closure_free, 0);
  gtk_window_present (GTK_WINDOW (dialog));
}

static void
look_thread (GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
  g_autoptr (TessVolume) volume = tess_volume_load (data, NULL, NULL);

  /* What cannot be read is opened as a scan: that says why. */
  g_task_return_boolean (task, volume && tess_volume_looks_like_labels (volume));
}

static void
looked_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Dropped *d = data;
  gboolean labels = g_task_propagate_boolean (G_TASK (result), NULL);

  if (is_closed (d->window)) {
    dropped_free (d);
  } else if (labels) {
    ask_what_it_is (d);
  } else {
    tess_window_open_scan (d->window, d->path, NULL);
    dropped_free (d);
  }
}

/* A file over an open scan may be its labels: the name says so, or the voxels look so. */
static void
drop_over_scan (TessWindow *self, const char *path)
{
  g_autoptr (GTask) task = NULL;
  Dropped *d;

  if (tess_file_name_says_labels (path)) {
    start_opening (self, path, TRUE, TRUE);
    return;
  }
  d = g_new0 (Dropped, 1);
  d->window = g_object_ref (self);
  d->path = g_strdup (path);
  task = g_task_new (NULL, NULL, looked_cb, d);
  g_task_set_source_tag (task, drop_over_scan);
  g_task_set_task_data (task, g_strdup (path), g_free);
  g_task_run_in_thread (task, look_thread);
}

static void
drop_path (TessWindow *self, const char *path, gboolean over_scan)
{
  g_autofree char *folder = NULL;

  if (over_scan && tess_file_kind_probe (path, &folder) == TESS_FILE_SCAN)
    drop_over_scan (self, path);
  else
    tess_window_open (self, path, NULL);
}

/* Several at once: one scan, what is called labels over it, a table of findings, and folders and models each in their
 * place. */
static void
drop_several (TessWindow *self, GSList *paths)
{
  g_autoptr (GPtrArray) labels = g_ptr_array_new ();
  const char *scan = NULL, *table = NULL;
  gboolean more = FALSE;

  for (GSList *l = paths; l; l = l->next) {
    g_autofree char *folder = NULL;
    TessFileKind kind = tess_file_kind_probe (l->data, &folder);

    if (kind == TESS_FILE_FINDINGS)
      table = l->data;
    else if (kind != TESS_FILE_SCAN)
      tess_window_open (self, l->data, NULL);
    else if (tess_file_name_says_labels (l->data))
      g_ptr_array_add (labels, l->data);
    else if (!scan)
      scan = l->data;
    else
      more = TRUE;
  }
  if (scan)
    tess_window_open_scan (self, scan, labels->len ? g_ptr_array_index (labels, 0) : NULL);
  for (guint i = scan ? 1 : 0; i < labels->len; i++)
    tess_window_open_labels (self, g_ptr_array_index (labels, i));
  if (table)
    open_findings (self, table);
  if (more) {
    g_autofree char *name = g_filename_display_basename (scan);
    g_autofree char *text = g_strdup_printf (_ ("One scan is open at a time: %s"), name);

    tess_window_toast (self, text);
  }
}

static gboolean
drop_cb (GtkDropTarget *target, const GValue *value, double x, double y, TessWindow *self)
{
  gboolean over_scan = tess_study_get_has_image (self->study);
  GSList *files = g_value_get_boxed (value), *paths = NULL;

  gtk_widget_remove_css_class (GTK_WIDGET (self->toasts), "drop-here");
  for (GSList *l = files; l; l = l->next) {
    char *path = g_file_get_path (l->data);

    if (path)
      paths = g_slist_append (paths, path);
    else
      tess_window_show_error (self, _ ("This place has no path on this computer; copy the file here first."), NULL,
                              NULL);
  }
  if (paths && !paths->next)
    drop_path (self, paths->data, over_scan);
  else
    drop_several (self, paths);
  g_slist_free_full (paths, g_free);
  return files != NULL;
}

static GdkDragAction
enter_cb (GtkDropTarget *target, double x, double y, TessWindow *self)
{
  gtk_widget_add_css_class (GTK_WIDGET (self->toasts), "drop-here");
  return GDK_ACTION_COPY;
}

static void
leave_cb (GtkDropTarget *target, TessWindow *self)
{
  gtk_widget_remove_css_class (GTK_WIDGET (self->toasts), "drop-here");
}

void
tess_window_init_drop (TessWindow *self)
{
  GtkDropTarget *target = gtk_drop_target_new (GDK_TYPE_FILE_LIST, GDK_ACTION_COPY);

  g_signal_connect (target, "drop", G_CALLBACK (drop_cb), self);
  g_signal_connect (target, "enter", G_CALLBACK (enter_cb), self);
  g_signal_connect (target, "leave", G_CALLBACK (leave_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (target));
}
