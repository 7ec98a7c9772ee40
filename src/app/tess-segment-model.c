/* Which model segments, and whether it can segment what is open. */
#include "tess-segment.h"
#include "tess-segment-private.h"

#include "tess-format-registry.h"
#include "tess-model.h"

#include <glib/gi18n-lib.h>
#include <string.h>

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

/* --- the scan's channels ------------------------------------------------------------------------------------------ */

/* nnU-Net keeps a channel a file: CASE_0000.ENDING, CASE_0001.ENDING and so on. */
static char **
channel_files (const char *scan, guint n, char **missing)
{
  g_autofree char *stem = scan ? tess_volume_stem (scan) : NULL;
  g_autofree char *folder = NULL, *file = NULL;
  g_autoptr (GStrvBuilder) files = g_strv_builder_new ();
  const char *ending;

  if (!stem || !g_str_has_suffix (stem, "_0000"))
    return NULL;
  folder = g_path_get_dirname (scan);
  file = g_path_get_basename (scan);
  ending = file + MIN (strlen (stem), strlen (file));
  stem[strlen (stem) - 4] = '\0';
  for (guint i = 1; i < n; i++) {
    g_autofree char *name = g_strdup_printf ("%s%04u%s", stem, i, ending),
                    *path = g_build_filename (folder, name, NULL);

    if (!g_file_test (path, G_FILE_TEST_IS_REGULAR)) {
      *missing = g_steal_pointer (&name);
      return NULL;
    }
    g_strv_builder_add (files, path);
  }
  return g_strv_builder_end (files);
}

static void
say_channels (const TessPlan *plan, const char *model, gint64 n, const char *missing, GError **error)
{
  g_autofree char *channels = join_channels (plan);

  if (missing)
    g_set_error (
        error, TESS_ERROR, TESS_ERROR_MISMATCH,
        _ ("%s: the model needs %u channels (%s), but %s is not beside the scan; put it there or choose another "
           "model"),
        model, plan->n_channels, channels, missing);
  else if (plan->n_channels == 1)
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: the model needs one channel (%s), but the scan has %d; open one of them as a file of its own "
                    "or choose another model"),
                 model, channels, (int)n);
  else
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 g_dngettext (GETTEXT_PACKAGE,
                              "%s: the model needs %u channels (%s), but the scan has %d; open a scan with all of them "
                              "or choose another model",
                              "%s: the model needs %u channels (%s), but the scan has %d; open a scan with just these "
                              "or choose another model",
                              (gulong)n),
                 model, plan->n_channels, channels, (int)n);
}

static gboolean
check_scan (const TessPlan *plan, const char *model_path, TessStudy *study, char ***more, GError **error)
{
  TessLayer *layer = study ? tess_scene_main (tess_study_get_scene (study)) : NULL;
  g_autofree char *model = g_filename_display_basename (model_path), *missing = NULL;
  g_auto (GStrv) files = NULL;
  gint64 n;

  if (!layer)
    return TRUE;
  if (layer->lut == TESS_LUT_LABELS) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH, _ ("%s: is a label map, not a scan; open the scan itself"),
                 layer->name);
    return FALSE;
  }
  n = tess_volume_n_channels (layer->volume);
  if (n == 1 && plan->n_channels > 1)
    files = channel_files (tess_study_get_path (study), plan->n_channels, &missing);
  if (n != plan->n_channels && !files) {
    say_channels (plan, model, n, missing, error);
    return FALSE;
  }
  if (more)
    *more = g_steal_pointer (&files);
  return TRUE;
}

/* --- public ------------------------------------------------------------------------------------------------------- */

/**
 * tess_segment_check_model:
 * @study: (nullable): whose scan is to be segmented
 *
 * Reads the model's header, not its weights. Returns: (transfer full): what the model is in one line, or NULL with the
 * sentence why it cannot segment the open scan.
 */
char *
tess_segment_check_model (const char *model_path, TessStudy *study, GError **error)
{
  g_autoptr (TessPlan) plan = tess_model_load_plan (model_path, error);
  g_autofree char *channels = NULL, *labels = NULL;

  if (!plan || !check_scan (plan, model_path, study, NULL, error))
    return NULL;
  channels = join_channels (plan);
  labels = join_labels (plan);
  return g_strdup_printf (_ ("%s · from %s · finds %s"), plan->dataset_name ? plan->dataset_name : _ ("model"),
                          channels, labels);
}

gboolean
tess_segment_model_fits (const char *model_path, TessStudy *study, GError **error)
{
  return tess_segment_look (model_path, study, NULL, NULL, error);
}

/**
 * tess_segment_look:
 * @name: (out) (optional): what the model is called: its dataset, or else its file
 * @more: (out) (optional): files of the channels after the first, when those lie beside the scan; NULL when the open
 *   volume has them all
 */
gboolean
tess_segment_look (const char *model_path, TessStudy *study, char **name, char ***more, GError **error)
{
  g_autoptr (TessPlan) plan = tess_model_load_plan (model_path, error);

  if (!plan || !check_scan (plan, model_path, study, more, error))
    return FALSE;
  if (name)
    *name = plan->dataset_name && *plan->dataset_name ? g_strdup (plan->dataset_name)
                                                      : g_filename_display_basename (model_path);
  return TRUE;
}

/* Whether it is the window's model now; else the bar says why not. */
static gboolean
take_model (TessWindow *window, const char *path, char **text)
{
  g_autoptr (GError) error = NULL;

  *text = tess_segment_check_model (path, NULL, &error);
  if (*text) {
    tess_window_clear_error (window);
    tess_window_set_model (window, path);
  } else {
    tess_window_show_error (window, error->message, _ ("Choose Model…"), "win.open-model");
  }
  return *text != NULL;
}

/**
 * tess_segment_use_model:
 *
 * Segment uses @path from now on, if it is a model; the window says what it finds, or why it cannot be used, or why not
 * on the scan that is open.
 *
 * Returns: whether it is the window's model now.
 */
gboolean
tess_segment_use_model (TessWindow *window, const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *text = NULL, *said = NULL;

  if (!take_model (window, path, &text))
    return FALSE;
  said = g_strdup_printf (tess_scene_main (tess_study_get_scene (tess_window_get_study (window)))
                              ? _ ("Segment now uses %s")
                              : _ ("Segment now uses %s; open a scan to segment it"),
                          text);
  if (tess_segment_model_fits (path, tess_window_get_study (window), &error))
    tess_window_toast (window, said);
  else
    tess_window_show_error (window, error->message, _ ("Choose Model…"), "win.open-model");
  return TRUE;
}

/* --- the first time ----------------------------------------------------------------------------------------------- */

static void
chosen_cb (GtkNativeDialog *dialog, int response, TessWindow *window)
{
  g_autoptr (GFile) file =
      response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog)) : NULL;
  g_autofree char *path = file ? g_file_get_path (file) : NULL, *text = NULL;

  if (path && tess_window_get_study (window) && take_model (window, path, &text))
    tess_segment_start (window);
  g_object_unref (window);
  g_object_unref (dialog);
}

static void
choose_and_segment (TessWindow *window, gboolean folder)
{
  static const char *const endings[] = {"safetensors", "pth", "pt", "model", NULL};
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (
      folder ? _ ("Choose a Model Folder") : _ ("Choose a Model"), GTK_WINDOW (window),
      folder ? GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER : GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Segment"), NULL);
  g_autoptr (GtkFileFilter) filter = gtk_file_filter_new ();

  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  gtk_file_filter_set_name (filter, _ ("Models"));
  for (guint i = 0; endings[i]; i++)
    gtk_file_filter_add_suffix (filter, endings[i]);
  if (!folder)
    gtk_file_chooser_add_filter (GTK_FILE_CHOOSER (dialog), filter);
  g_signal_connect (dialog, "response", G_CALLBACK (chosen_cb), g_object_ref (window));
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (dialog));
}

static void
response_cb (AdwMessageDialog *dialog, const char *response, TessWindow *window)
{
  if (!tess_window_get_study (window))
    return;
  if (strcmp (response, "train") == 0)
    tess_window_set_mode (window, "train");
  else if (strcmp (response, "choose") == 0 || strcmp (response, "folder") == 0)
    choose_and_segment (window, strcmp (response, "folder") == 0);
}

/* Segment without a model: where one comes from, and both ways to it. */
void
tess_segment_ask_model (TessWindow *window)
{
  GtkWidget *dialog = adw_message_dialog_new (
      GTK_WINDOW (window), _ ("Choose a model first"),
      _ ("A model is what training makes: the file best.safetensors in a run folder, or what nnU-Net left: a "
         "checkpoint "
         "(.pth, .model) or the folder with its folds. Choose one you have, or train one on scans with reference "
         "labels."));
  AdwMessageDialog *d = ADW_MESSAGE_DIALOG (dialog);

  adw_message_dialog_add_responses (d, "cancel", _ ("_Cancel"), "train", _ ("_Train a Model"), "folder",
                                    _ ("Choose Model _Folder…"), "choose", _ ("Choose _Model…"), NULL);
  adw_message_dialog_set_response_appearance (d, "choose", ADW_RESPONSE_SUGGESTED);
  adw_message_dialog_set_default_response (d, "choose");
  adw_message_dialog_set_close_response (d, "cancel");
  g_signal_connect_object (dialog, "response", G_CALLBACK (response_cb), window, 0);
  gtk_window_present (GTK_WINDOW (dialog));
}
