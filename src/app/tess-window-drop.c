/* Files dropped on the window. */
#include "tess-window-private.h"

#include "tess-file-kind.h"
#include "tess-format-registry.h"

#include <glib/gi18n-lib.h>
#include <string.h>

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
  if (!d->window->study)
    return;
  if (strcmp (response, "labels") == 0)
    tess_window_start_opening (d->window, d->path, NULL, TESS_OPEN_LABELS, FALSE);
  else if (strcmp (response, "scan") == 0)
    tess_window_open_file (d->window, d->path, NULL, TESS_HOW_SCAN);
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

  if (!d->window->study) {
    dropped_free (d);
  } else if (labels) {
    ask_what_it_is (d);
  } else {
    tess_window_open_file (d->window, d->path, NULL, TESS_HOW_SCAN);
    dropped_free (d);
  }
}

/* A file over an open scan may be its labels: the voxels say so when the name does not. */
void
tess_window_ask_what_it_is (TessWindow *self, const char *path)
{
  g_autoptr (GTask) task = NULL;
  Dropped *d = g_new0 (Dropped, 1);

  d->window = g_object_ref (self);
  d->path = g_strdup (path);
  task = g_task_new (NULL, NULL, looked_cb, d);
  g_task_set_source_tag (task, tess_window_ask_what_it_is);
  g_task_set_task_data (task, g_strdup (path), g_free);
  g_task_run_in_thread (task, look_thread);
}

static void
drop_path (TessWindow *self, const char *path, gboolean over_scan)
{
  g_autofree char *folder = NULL;
  TessFileKind kind = tess_file_kind_probe (path, &folder);

  if (!over_scan || (kind != TESS_FILE_SCAN && kind != TESS_FILE_FOLDER))
    tess_window_open (self, path, NULL);
  else
    tess_window_open_file (self, path, NULL,
                           kind == TESS_FILE_SCAN && tess_file_name_says_labels (path) ? TESS_HOW_GUESSED_LABELS
                                                                                       : TESS_HOW_ASK);
}

/* Of a scan that is a file a slice, many files at once are the folder they are in. */
static gboolean
is_slices (const char *path)
{
  const TessFormat *format = tess_format_for_path (path, NULL);

  return format && strcmp (format->id, "dicom") == 0;
}

/* Several at once: one scan, what is called labels and a table of findings over it, and folders and models each in their
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
  if (scan && more && is_slices (scan)) {
    g_autofree char *folder = g_path_get_dirname (scan);

    tess_window_open (self, folder, NULL);
    return;
  }
  if (scan)
    tess_window_open_file (self, scan, labels->len ? g_ptr_array_index (labels, 0) : NULL, TESS_HOW_SCAN);
  for (guint i = scan ? 1 : 0; i < labels->len; i++)
    tess_window_open_labels (self, g_ptr_array_index (labels, i));
  if (table)
    tess_window_open (self, table, NULL);
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
