#include "tess-results-window.h"

#include "tess-format-registry.h"
#include "tess-format.h"
#include "tess-replace.h"
#include "tess-results-page.h"
#include "tess-segment.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <string.h>

/* --- numbers ------------------------------------------------------------------------------------------------------ */

#define DASH "–"

char *
tess_results_format_share (double value)
{
  return isfinite (value) ? g_strdup_printf ("%.3f", value) : g_strdup (DASH);
}

char *
tess_results_format_mm (double value)
{
  return isfinite (value) ? g_strdup_printf (value < 100.0 ? "%.2f" : "%.0f", value) : g_strdup (DASH);
}

/* Three digits, so that the two volumes of a line can be compared at a glance. */
char *
tess_results_format_ml (double mm3)
{
  double ml = mm3 / 1000.0;
  int decimals = ml > 0.0 && isfinite (ml) ? CLAMP (2 - (int)floor (log10 (ml)), 0, 4) : 0;
  char number[G_ASCII_DTOSTR_BUF_SIZE];
  g_autofree char *format = g_strdup_printf ("%%.%df", decimals);

  if (!isfinite (ml))
    return g_strdup (DASH);
  g_ascii_formatd (number, sizeof number, format, ml);
  return g_strdup_printf (_ ("%s mL"), number);
}

char *
tess_results_format_percent (double percent)
{
  if (!isfinite (percent))
    return g_strdup (DASH);
  if (fabs (percent) < 0.05)
    return g_strdup ("0.0 %");
  return g_strdup_printf ("%s%.*f %%", percent < 0.0 ? "−" : "+", fabs (percent) < 99.95 ? 1 : 0, fabs (percent));
}

/* --- files and folders -------------------------------------------------------------------------------------------- */

/* A chooser and what it is for; the window is kept while it is open. */
typedef struct {
  TessWindow *window;
  void (*take) (TessWindow *window, const char *path, const char *before);
  char *before;
} Choice;

static void
chosen_cb (GtkNativeDialog *dialog, int response, Choice *choice)
{
  g_autoptr (GFile) file =
      response == GTK_RESPONSE_ACCEPT ? gtk_file_chooser_get_file (GTK_FILE_CHOOSER (dialog)) : NULL;
  g_autofree char *path = file ? g_file_get_path (file) : NULL;

  if (path && tess_window_get_study (choice->window))
    choice->take (choice->window, path, choice->before);
  g_object_unref (choice->window);
  g_free (choice->before);
  g_free (choice);
  g_object_unref (dialog);
}

static GtkFileChooser *
ask (TessWindow *window, const char *title, GtkFileChooserAction action, const char *accept, const char *near,
     void (*take) (TessWindow *, const char *, const char *), const char *before)
{
  GtkFileChooserNative *dialog = gtk_file_chooser_native_new (title, GTK_WINDOW (window), action, accept, NULL);
  Choice *choice = g_new (Choice, 1);

  *choice = (Choice){g_object_ref (window), take, g_strdup (before)};
  gtk_native_dialog_set_modal (GTK_NATIVE_DIALOG (dialog), TRUE);
  if (near) {
    g_autofree char *folder = g_path_get_dirname (near);
    g_autoptr (GFile) file = g_file_new_for_path (folder);

    gtk_file_chooser_set_current_folder (GTK_FILE_CHOOSER (dialog), file, NULL);
  }
  g_signal_connect (dialog, "response", G_CALLBACK (chosen_cb), choice);
  return GTK_FILE_CHOOSER (dialog);
}

static void
take_reference (TessWindow *window, const char *path, const char *before)
{
  tess_results_open_reference (tess_results_of (window), path);
}

static void
add_filters (GtkFileChooser *chooser)
{
  g_autoptr (GtkFileFilter) volumes = gtk_file_filter_new (), all = gtk_file_filter_new ();

  gtk_file_filter_set_name (volumes, _ ("Medical volumes"));
  for (guint i = 0; i < tess_formats_n (); i++) {
    g_auto (GStrv) endings = g_strsplit (tess_formats_nth (i)->endings, " ", -1);

    for (guint j = 0; endings[j]; j++)
      gtk_file_filter_add_suffix (volumes, endings[j] + 1); /* without the dot */
  }
  gtk_file_filter_set_name (all, _ ("All files"));
  gtk_file_filter_add_pattern (all, "*");
  gtk_file_chooser_add_filter (chooser, volumes);
  gtk_file_chooser_add_filter (chooser, all);
}

static void
open_reference_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessWindow *window = data;
  GtkFileChooser *chooser = ask (window, _ ("Open Reference Labels"), GTK_FILE_CHOOSER_ACTION_OPEN, _ ("_Open"),
                                 tess_study_get_path (tess_window_get_study (window)), take_reference, NULL);

  add_filters (chooser);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (chooser));
}

static void
take_prediction_folder (TessWindow *window, const char *path, const char *before)
{
  tess_window_clear_error (window);
  tess_window_set_mode (window, "results");
  tess_results_evaluate (tess_results_of (window), before, path);
}

static void
take_reference_folder (TessWindow *window, const char *path, const char *before)
{
  GtkFileChooser *chooser =
      ask (window, _ ("Now the Folder With the Predictions"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Evaluate"),
           path, take_prediction_folder, path);

  gtk_native_dialog_show (GTK_NATIVE_DIALOG (chooser));
}

static void
evaluate_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessWindow *window = data;
  GtkFileChooser *chooser =
      ask (window, _ ("First the Folder With the Reference Labels"), GTK_FILE_CHOOSER_ACTION_SELECT_FOLDER, _ ("_Next"),
           tess_study_get_path (tess_window_get_study (window)), take_reference_folder, NULL);

  gtk_native_dialog_show (GTK_NATIVE_DIALOG (chooser));
}

static void
evaluate_folders_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  const char *reference, *prediction;

  g_variant_get (parameter, "(&s&s)", &reference, &prediction);
  take_prediction_folder (data, prediction, reference);
}

static const char *
csv_ending (const char *path)
{
  g_autofree char *lower = g_ascii_strdown (path, -1);

  return g_str_has_suffix (lower, ".csv") ? "" : ".csv";
}

static void
write_all (TessWindow *window, const char *path, gboolean yes, gpointer data)
{
  if (yes)
    tess_results_export_csv (tess_results_of (window), path);
}

static void
write_comparison (TessWindow *window, const char *path, gboolean yes, gpointer data)
{
  if (yes)
    tess_results_export_comparison (tess_results_of (window), path);
}

static void
take_csv (TessWindow *window, const char *path, const char *before)
{
  tess_replace_ask (window, path, csv_ending (path), NULL, write_all, NULL);
}

static void
take_comparison_csv (TessWindow *window, const char *path, const char *before)
{
  tess_replace_ask (window, path, csv_ending (path), NULL, write_comparison, NULL);
}

static void
ask_for_csv (TessWindow *window, const char *near, const char *stem,
             void (*take) (TessWindow *, const char *, const char *))
{
  g_autofree char *name = g_strconcat (stem, "_evaluation.csv", NULL);
  GtkFileChooser *chooser =
      ask (window, _ ("Export as CSV"), GTK_FILE_CHOOSER_ACTION_SAVE, _ ("_Export"), near, take, NULL);
  g_autoptr (GtkFileFilter) filter = gtk_file_filter_new ();

  gtk_file_filter_set_name (filter, _ ("Tables (.csv)"));
  gtk_file_filter_add_suffix (filter, "csv");
  gtk_file_chooser_add_filter (chooser, filter);
  gtk_file_chooser_set_current_name (chooser, name);
  gtk_native_dialog_show (GTK_NATIVE_DIALOG (chooser));
}

static void
export_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  const TessEvaluation *evaluation = tess_results_peek_evaluation (tess_results_of (data));
  g_autofree char *folder = evaluation ? g_path_get_basename (evaluation->prediction) : NULL;

  if (folder)
    ask_for_csv (data, evaluation->prediction, folder, take_csv);
}

static void
export_comparison_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessStudy *study = tess_window_get_study (data);
  const char *title = tess_study_get_title (study);

  if (tess_results_peek_comparison (tess_results_of (data)))
    ask_for_csv (data, tess_study_get_path (study), title ? title : "scan", take_comparison_csv);
}

static void
open_found_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  const char *scan = tess_study_get_path (tess_window_get_study (data));
  g_autofree char *path = scan ? tess_results_find_reference (scan) : NULL;

  if (path)
    tess_results_open_reference (tess_results_of (data), path);
}

/* --- actions and signals ------------------------------------------------------------------------------------------ */

static const char *const display_names[] = {"prediction", "reference", "difference"};

static void
display_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessResults *results = tess_results_of (data);

  for (guint i = 0; i < G_N_ELEMENTS (display_names); i++)
    if (strcmp (display_names[i], g_variant_get_string (parameter, NULL)) == 0)
      tess_results_set_display (results, (TessResultsDisplay)i);
}

static void
compare_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  tess_results_compare (tess_results_of (data));
}

static void
enable (TessWindow *window, const char *name, gboolean enabled)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (window), name);

  g_simple_action_set_enabled (G_SIMPLE_ACTION (action), enabled);
}

static void
changed_cb (TessWindow *window, TessResults *results)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (window), "results-display");
  TessStudy *study = tess_window_get_study (window);

  if (!study || gtk_widget_in_destruction (GTK_WIDGET (window)))
    return;
  g_simple_action_set_state (G_SIMPLE_ACTION (action),
                             g_variant_new_string (display_names[tess_results_get_display (results)]));
  enable (window, "results-display",
          tess_results_get_visible (results) && tess_results_get_prediction (results) &&
              tess_results_get_reference (results));
  enable (window, "results-open-reference", tess_study_get_has_image (study));
  enable (window, "results-open-found", tess_study_get_path (study) != NULL);
  enable (window, "results-export-comparison", tess_results_peek_comparison (results) != NULL);
  enable (window, "results-export-csv", tess_results_peek_evaluation (results) != NULL);
}

static void
job_cb (TessWindow *window, TessJob *job)
{
  tess_window_add_job (window, job);
}

static void
failed_cb (TessWindow *window, const char *sentence, TessResultsRemedy remedy)
{
  static const struct {
    const char *button, *action;
  } remedies[] = {
      [TESS_REMEDY_NONE] = {NULL, NULL},
      [TESS_REMEDY_FOLDERS] = {N_ ("Choose Folders…"), "win.results-evaluate"},
      [TESS_REMEDY_REFERENCE] = {N_ ("Open Another…"), "win.results-open-reference"},
      [TESS_REMEDY_EXPORT_ALL] = {N_ ("Save Elsewhere…"), "win.results-export-csv"},
      [TESS_REMEDY_EXPORT_ONE] = {N_ ("Save Elsewhere…"), "win.results-export-comparison"},
  };

  if (tess_window_get_study (window))
    tess_window_show_error (window, sentence, remedies[remedy].button ? _ (remedies[remedy].button) : NULL,
                            remedies[remedy].action);
}

static void
saved_cb (TessWindow *window, const char *path)
{
  g_autofree char *name = g_path_get_basename (path), *text = g_strdup_printf (_ ("Saved %s"), name);

  if (tess_window_get_study (window))
    tess_window_toast (window, text);
}

TessResults *
tess_results_of (TessWindow *window)
{
  static const GActionEntry entries[] = {
      {.name = "results-display", .activate = display_cb, .parameter_type = "s", .state = "'prediction'"},
      {.name = "results-open-reference", .activate = open_reference_cb},
      {.name = "results-compare", .activate = compare_cb},
      {.name = "results-evaluate", .activate = evaluate_cb},
      {.name = "results-evaluate-folders", .activate = evaluate_folders_cb, .parameter_type = "(ss)"},
      {.name = "results-export-csv", .activate = export_cb},
      {.name = "results-export-comparison", .activate = export_comparison_cb},
      {.name = "results-open-found", .activate = open_found_cb},
  };
  TessResults *results = g_object_get_data (G_OBJECT (window), "tess-results");

  if (results)
    return results;
  results = tess_results_new (tess_window_get_study (window));
  g_object_set_data_full (G_OBJECT (window), "tess-results", results, g_object_unref);
  g_action_map_add_action_entries (G_ACTION_MAP (window), entries, G_N_ELEMENTS (entries), window);
  g_signal_connect_object (results, "changed", G_CALLBACK (changed_cb), window, G_CONNECT_SWAPPED);
  g_signal_connect_object (results, "evaluated", G_CALLBACK (changed_cb), window, G_CONNECT_SWAPPED);
  g_signal_connect_object (results, "job", G_CALLBACK (job_cb), window, G_CONNECT_SWAPPED);
  g_signal_connect_object (results, "failed", G_CALLBACK (failed_cb), window, G_CONNECT_SWAPPED);
  g_signal_connect_object (results, "saved", G_CALLBACK (saved_cb), window, G_CONNECT_SWAPPED);
  g_signal_connect_object (window, "destroy", G_CALLBACK (tess_results_stop), results, G_CONNECT_SWAPPED);
  changed_cb (window, results);
  return results;
}

void
tess_results_set_shown (TessWindow *window, gboolean shown)
{
  tess_results_set_visible (tess_results_of (window), shown);
}
