#include "tess-window-private.h"

#include "tess-file-kind.h"
#include "tess-format-registry.h"
#include "tess-palette.h"
#include "tess-preferences.h"
#include "tess-segment.h"
#include "tess-settings.h"
#include "tess-shortcuts.h"
#include "tess-train-page.h"

#include <glib/gi18n-lib.h>
#include <string.h>

/* --- asking for a file ------------------------------------------------------------------------------------------ */

typedef void (*ChosenFunc) (TessWindow *self, const char *path);

typedef struct {
  TessWindow *window; /* not owned: the dialog is transient for it and goes with it */
  ChosenFunc chosen;
} Asking;

static void
chooser_response_cb (GtkNativeDialog *dialog, int response, Asking *asking)
{
  if (response == GTK_RESPONSE_ACCEPT) {
    g_autoptr (GFile) file = gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog));
    g_autofree char *path = file ? g_file_get_path (file) : NULL;

    if (path)
      asking->chosen (asking->window, path);
    else
      tess_window_show_error (asking->window, _ ("This place has no path on this computer; copy the file here first."),
                              NULL, NULL);
  }
  gtk_native_dialog_destroy (dialog);
  g_object_unref (dialog);
}

static void
asking_free (gpointer data, GClosure *closure)
{
  g_free (data);
}

static void
add_filter (GtkFileChooser *chooser, const char *name, const char *endings)
{
  g_autoptr (GtkFileFilter) filter = gtk_file_filter_new ();
  g_auto (GStrv) each = g_strsplit (endings, " ", -1);

  gtk_file_filter_set_name (filter, name);
  for (guint i = 0; each[i]; i++)
    if (strcmp (each[i], "*") == 0)
      gtk_file_filter_add_pattern (filter, "*");
    else
      gtk_file_filter_add_suffix (filter, each[i] + 1); /* without the dot, whatever the case */
  gtk_file_chooser_add_filter (chooser, filter);
}

static char *
scan_endings (void)
{
  g_autoptr (GString) endings = g_string_new (NULL);

  for (guint i = 0; i < tess_formats_n (); i++)
    g_string_append_printf (endings, "%s%s", i ? " " : "", tess_formats_nth (i)->endings);
  return g_string_free (g_steal_pointer (&endings), FALSE);
}

static GtkFileChooser *
ask (TessWindow *self, const char *title, GtkFileChooserAction action, const char *accept, ChosenFunc chosen)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (title, GTK_WINDOW (self), action, accept, _ ("_Cancel"));
  g_autofree char *folder = tess_study_get_path (self->study) ? g_path_get_dirname (tess_study_get_path (self->study))
                                                              : g_strdup (self->scans);
  Asking *asking = g_new0 (Asking, 1);

  asking->window = self;
  asking->chosen = chosen;
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  if (folder) {
    g_autoptr (GFile) file = g_file_new_for_path (folder);

    gtk_file_chooser_set_current_folder (GTK_FILE_CHOOSER (dialog), file, NULL);
  }
  g_signal_connect_data (dialog, "response", G_CALLBACK (chooser_response_cb), asking, asking_free, 0);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
  return GTK_FILE_CHOOSER (dialog);
}

/* @tables: a table of findings over the open scan will do, too */
static void
ask_for_scan (TessWindow *self, const char *title, gboolean tables, ChosenFunc chosen)
{
  GtkFileChooser *chooser = ask (self, title, GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Open"), chosen);
  g_autofree char *endings = scan_endings ();

  add_filter (chooser, _ ("Medical volumes"), endings);
  if (tables)
    add_filter (chooser, _ ("Tables of findings"), ".csv .csv.gz");
  add_filter (chooser, _ ("All files"), "*");
}

/* --- the commands ----------------------------------------------------------------------------------------------- */

static void
open_chosen (TessWindow *self, const char *path)
{
  tess_window_open (self, path, NULL);
}

static void
open_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask_for_scan (TESS_WINDOW (widget), _ ("Open a Scan"), TRUE, open_chosen);
}

static void
open_folder_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask (TESS_WINDOW (widget), _ ("Open a Folder of Scans"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Open"),
       open_chosen);
}

static void
open_labels_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask_for_scan (TESS_WINDOW (widget), _ ("Open Labels"), FALSE, tess_window_open_labels);
}

static void
open_dataset_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask (TESS_WINDOW (widget), _ ("Open a Dataset Folder"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Open"),
       tess_window_open_dataset);
}

static void
open_run_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask (TESS_WINDOW (widget), _ ("Open a Run Folder"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Open"),
       tess_window_open_run);
}

static void
open_model_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  GtkFileChooser *chooser = ask (TESS_WINDOW (widget), _ ("Choose a Model"), GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Open"),
                                 tess_window_open_model);

  add_filter (chooser, _ ("Models"), ".safetensors .pth .pt .model");
}

static void
open_model_folder_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  ask (TESS_WINDOW (widget), _ ("Choose a Model Folder"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Open"),
       tess_window_open_model);
}

static void
open_path_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  tess_window_open (TESS_WINDOW (widget), g_variant_get_string (parameter, NULL), NULL);
}

static void
save_labels_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  tess_segment_save_labels (TESS_WINDOW (widget));
}

typedef struct {
  TessWindow *window;
  char *name;
} Picture;

static void
picture_saved_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Picture *picture = data;
  TessWindow *self = picture->window;
  g_autofree char *text = g_strdup_printf (_ ("Saved %s"), picture->name);
  g_autoptr (GError) error = NULL;
  gboolean ok = tess_canvas_save_picture_finish (TESS_CANVAS (source), result, &error);

  if (self->study && ok) /* the window is still there */
    tess_window_toast (self, text);
  else if (self->study)
    tess_window_show_error (self, error->message, _ ("Save Elsewhere…"), "win.save-picture");
  g_object_unref (self);
  g_free (picture->name);
  g_free (picture);
}

static void
picture_chosen (TessWindow *self, const char *path)
{
  g_autofree char *whole = g_str_has_suffix (path, ".png") ? g_strdup (path) : g_strconcat (path, ".png", NULL);
  Picture *picture = g_new0 (Picture, 1);

  picture->window = g_object_ref (self);
  picture->name = g_filename_display_basename (whole);
  tess_canvas_save_picture_async (TESS_CANVAS (self->canvas), whole, picture_saved_cb, picture);
}

static void
save_picture_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  TessWindow *self = TESS_WINDOW (widget);
  GtkFileChooser *chooser =
      ask (self, _ ("Save the Picture"), GTK_FILE_CHOOSER_ACTION_SAVE, _ ("_Save"), picture_chosen);
  g_autofree char *stem = tess_volume_stem (tess_study_get_path (self->study));
  g_autofree char *name = g_strconcat (stem, ".png", NULL);

  gtk_file_chooser_set_current_name (chooser, name);
  add_filter (chooser, _ ("PNG pictures"), ".png");
}

static void
segment_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  tess_segment_start (TESS_WINDOW (widget));
}

static void
preferences_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  GtkWidget *window = tess_preferences_new ();

  gtk_window_set_transient_for (GTK_WINDOW (window), GTK_WINDOW (widget));
  gtk_window_present (GTK_WINDOW (window));
}

/* Under the header, where the job strip begins: a place with a layout manager, as a popover's parent has to have. */
static void
palette_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  TessWindow *self = TESS_WINDOW (widget);

  if (!self->palette)
    self->palette = tess_palette_new (GTK_WIDGET (self->jobs), tess_canvas_get_actions (TESS_CANVAS (self->canvas)));
  tess_palette_open (TESS_PALETTE (self->palette));
}

static void
help_overlay_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  g_autoptr (GtkWidget) window = tess_shortcuts_window_new (tess_settings_get_hands (tess_settings_get ()));

  if (!window)
    return;
  gtk_window_set_transient_for (GTK_WINDOW (window), GTK_WINDOW (widget));
  gtk_window_present (GTK_WINDOW (window));
}

static void
about_cb (GtkWidget *widget, const char *action, GVariant *parameter)
{
  adw_show_about_window (GTK_WINDOW (widget), "application-name", "Tessera", "application-icon", "org.tessera.Tessera",
                         "version", TESS_VERSION, "developer-name", _ ("The Tessera authors"), "license-type",
                         GTK_LICENSE_APACHE_2_0, "comments",
                         _ ("Looks at medical volumes, trains 3D segmentation networks on them, and segments the next "
                            "scan with one click.\n\nFor research: Tessera is not a medical device."),
                         /* TRANSLATORS: your name and address */
                         "translator-credits", _ ("translator-credits"), NULL);
}

void
tess_window_install_actions (TessWindowClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  gtk_widget_class_install_action (widget_class, "win.open", NULL, open_cb);
  gtk_widget_class_install_action (widget_class, "win.open-folder", NULL, open_folder_cb);
  gtk_widget_class_install_action (widget_class, "win.open-labels", NULL, open_labels_cb);
  gtk_widget_class_install_action (widget_class, "win.open-dataset", NULL, open_dataset_cb);
  gtk_widget_class_install_action (widget_class, "win.open-run", NULL, open_run_cb);
  gtk_widget_class_install_action (widget_class, "win.open-model", NULL, open_model_cb);
  gtk_widget_class_install_action (widget_class, "win.open-model-folder", NULL, open_model_folder_cb);
  gtk_widget_class_install_action (widget_class, "win.open-path", "s", open_path_cb);
  gtk_widget_class_install_action (widget_class, "win.save-labels", NULL, save_labels_cb);
  gtk_widget_class_install_action (widget_class, "win.save-picture", NULL, save_picture_cb);
  gtk_widget_class_install_action (widget_class, "win.segment", NULL, segment_cb);
  gtk_widget_class_install_action (widget_class, "win.preferences", NULL, preferences_cb);
  gtk_widget_class_install_action (widget_class, "win.palette", NULL, palette_cb);
  gtk_widget_class_install_action (widget_class, "win.show-help-overlay", NULL, help_overlay_cb);
  gtk_widget_class_install_action (widget_class, "win.about", NULL, about_cb);
  gtk_widget_class_install_property_action (widget_class, "win.mode", "mode");
  gtk_widget_class_install_property_action (widget_class, "win.model", "model");
  gtk_widget_class_install_property_action (widget_class, "win.show-sidebar", "show-sidebar");
  gtk_widget_class_install_property_action (widget_class, "win.show-inspector", "show-inspector");
}

/* --- what can be done now --------------------------------------------------------------------------------------- */

/* A name that says which: models of runs are all called "best", scans of many people "t1". */
static char *
menu_name (const char *path)
{
  g_autofree char *name = g_filename_display_basename (path), *folder = g_path_get_dirname (path);
  g_autofree char *folder_name = g_filename_display_basename (folder);

  if (g_str_has_suffix (name, ".safetensors"))
    name[strlen (name) - strlen (".safetensors")] = '\0';
  return g_strdup_printf ("%s / %s", folder_name, name);
}

static void
append_path (GMenu *menu, const char *label, const char *action, const char *path)
{
  g_auto (GStrv) parts = g_strsplit (label, "_", -1);
  g_autofree char *plain = g_strjoinv ("__", parts); /* a single one would mark a mnemonic */
  g_autoptr (GMenuItem) item = g_menu_item_new (plain, NULL);

  g_menu_item_set_action_and_target (item, action, "s", path);
  g_menu_append_item (menu, item);
}

static gboolean
is_model (const char *path)
{
  g_autofree char *folder = NULL;

  return tess_file_kind_probe (path, &folder) == TESS_FILE_MODEL;
}

static void
fill_menus (TessWindow *self)
{
  g_auto (GStrv) paths = tess_recent_paths (32);
  guint n_recent = 0, n_models = 0;

  g_menu_remove_all (self->recent_menu);
  g_menu_remove_all (self->model_menu);
  if (self->model) {
    g_autofree char *name = menu_name (self->model);

    append_path (self->model_menu, name, "win.model", self->model);
  }
  for (guint i = 0; paths[i]; i++) {
    g_autofree char *name = menu_name (paths[i]);

    if (!g_utf8_validate (paths[i], -1, NULL))
      continue;
    if (is_model (paths[i])) {
      if (g_strcmp0 (paths[i], self->model) != 0 && n_models++ < 8)
        append_path (self->model_menu, name, "win.model", paths[i]);
    } else if (n_recent++ < 8) {
      append_path (self->recent_menu, name, "win.open-path", paths[i]);
    }
  }
}

static void
update_segment_button (TessWindow *self, gboolean open)
{
  g_autofree char *name = self->model ? menu_name (self->model) : NULL, *tip = NULL;

  if (!open)
    tip = g_strdup (_ ("Open a scan to segment it"));
  else if (!name)
    tip = g_strdup (_ ("Segment this scan: asks for a model first"));
  else
    tip = g_strdup_printf (_ ("Segment this scan with %s"), name);
  gtk_widget_set_tooltip_text (self->segment_button, tip);
}

void
tess_window_update_actions (TessWindow *self)
{
  GtkWidget *widget = GTK_WIDGET (self);
  gboolean open = tess_study_get_has_image (self->study), pictures = strcmp (self->mode, "train") != 0;
  gboolean flaps = pictures && (open || strcmp (self->mode, "results") == 0);

  gtk_widget_action_set_enabled (widget, "win.open-labels", open);
  gtk_widget_action_set_enabled (widget, "win.save-labels", open && tess_study_top_labels (self->study) != NULL);
  gtk_widget_action_set_enabled (widget, "win.save-picture", open && pictures);
  gtk_widget_action_set_enabled (widget, "win.segment", open);
  gtk_widget_action_set_enabled (widget, "win.show-sidebar", flaps);
  gtk_widget_action_set_enabled (widget, "win.show-inspector", flaps);
  update_segment_button (self, open);
}

static void
recent_changed_cb (TessWindow *self)
{
  fill_menus (self);
}

void
tess_window_init_actions (TessWindow *self)
{
  g_signal_connect_object (gtk_recent_manager_get_default (), "changed", G_CALLBACK (recent_changed_cb), self,
                           G_CONNECT_SWAPPED);
  g_signal_connect_object (self, "notify::model", G_CALLBACK (recent_changed_cb), self, G_CONNECT_SWAPPED);
  fill_menus (self);
}
