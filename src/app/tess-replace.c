#include "tess-replace.h"

#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>

typedef struct {
  TessWindow *window;
  char *path;
  TessReplaceFunc go_on;
  gpointer data;
} Asking;

static void
end (Asking *asking, gboolean yes)
{
  asking->go_on (asking->window, asking->path, yes, asking->data);
  g_object_unref (asking->window);
  g_free (asking->path);
  g_free (asking);
}

static void
response_cb (AdwMessageDialog *dialog, const char *response, Asking *asking)
{
  end (asking, strcmp (response, "replace") == 0 && tess_window_get_study (asking->window));
}

static void
ask (Asking *asking)
{
  g_autofree char *name = g_filename_display_basename (asking->path);
  g_autofree char *heading = g_strdup_printf (_ ("Replace %s?"), name);
  GtkWidget *dialog =
      adw_message_dialog_new (GTK_WINDOW (asking->window), heading, _ ("A file of this name is there already."));
  AdwMessageDialog *d = ADW_MESSAGE_DIALOG (dialog);

  adw_message_dialog_add_responses (d, "cancel", _ ("_Cancel"), "replace", _ ("_Replace"), NULL);
  adw_message_dialog_set_response_appearance (d, "replace", ADW_RESPONSE_DESTRUCTIVE);
  adw_message_dialog_set_default_response (d, "cancel");
  adw_message_dialog_set_close_response (d, "cancel");
  g_signal_connect (dialog, "response", G_CALLBACK (response_cb), asking);
  gtk_window_present (GTK_WINDOW (dialog));
}

static gboolean
is_same_file (const char *a, const char *b)
{
  GStatBuf of_a, of_b;

  return g_stat (a, &of_a) == 0 && g_stat (b, &of_b) == 0 && of_a.st_dev == of_b.st_dev && of_a.st_ino == of_b.st_ino;
}

void
tess_replace_ask (TessWindow *window, const char *chosen, const char *ending, const char *keep, TessReplaceFunc go_on,
                  gpointer data)
{
  Asking *asking = g_new (Asking, 1);

  *asking = (Asking){g_object_ref (window), g_strconcat (chosen, ending, NULL), go_on, data};
  if (keep && is_same_file (asking->path, keep)) {
    g_autofree char *name = g_filename_display_basename (asking->path);
    g_autofree char *sentence =
        g_strdup_printf (_ ("%s: is the scan itself and would be lost; choose another name"), name);

    tess_window_show_error (window, sentence, NULL, NULL);
    end (asking, FALSE);
  } else if (*ending && g_file_test (asking->path, G_FILE_TEST_EXISTS)) {
    ask (asking);
  } else {
    end (asking, TRUE);
  }
}
