#include "tess-window-private.h"

#include "tess-segment.h"
#include "tess-train-page.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static void
destroy_cb (gpointer data)
{
  gtk_window_destroy (data);
  g_object_unref (data);
}

/* Nothing is asked any more. Not at once: the dialog whose answer brought us here looks at its parent once more. */
static void
leave (TessWindow *self, gpointer unused)
{
  if (!self->leaving)
    g_idle_add_once (destroy_cb, g_object_ref (self));
  self->leaving = TRUE;
}

static void
notify_trained (TessWindow *self)
{
  GApplication *application = G_APPLICATION (gtk_window_get_application (GTK_WINDOW (self)));
  g_autoptr (GNotification) notification = g_notification_new (_ ("Training has ended"));

  g_notification_set_body (notification, _ ("The model and its curves are in the run folder."));
  g_application_send_notification (application, "training", notification);
}

/* Waits for a training whose window was closed: the process must not end before the checkpoint is whole. */
static gboolean
wait_cb (gpointer data)
{
  TessWindow *self = data;

  /* It went on in the background and the window is wanted again. */
  if (self->in_background && gtk_widget_get_visible (GTK_WIDGET (self))) {
    self->in_background = FALSE;
    self->waiting_timer = 0;
    return G_SOURCE_REMOVE;
  }
  if (tess_train_page_is_running (self->train_page))
    return G_SOURCE_CONTINUE;
  self->waiting_timer = 0;
  if (self->in_background)
    notify_trained (self);
  if (tess_segment_has_unsaved (self) && !self->ending)
    gtk_window_present (GTK_WINDOW (self));
  if (self->ending)
    leave (self, NULL);
  else
    tess_segment_ask_unsaved (self, leave, NULL, NULL);
  return G_SOURCE_REMOVE;
}

/* @in_background: the training ends by itself; else it has been told to stop. */
static void
wait_for_training (TessWindow *self, gboolean in_background)
{
  self->in_background = in_background;
  if (!self->waiting_timer)
    self->waiting_timer = g_timeout_add (200, wait_cb, self);
}

static void
close_response_cb (TessWindow *self, const char *response)
{
  if (strcmp (response, "stop") == 0) {
    tess_train_page_stop (self->train_page);
    tess_window_toast (self, _ ("Stopping with a checkpoint"));
    wait_for_training (self, FALSE);
  } else if (strcmp (response, "background") == 0) {
    /* The window goes, the process and its training stay; `tessera` brings the window back. */
    gtk_widget_set_visible (GTK_WIDGET (self), FALSE);
    wait_for_training (self, TRUE);
  }
}

static void
ask_about_training (TessWindow *self)
{
  GApplication *application = G_APPLICATION (gtk_window_get_application (GTK_WINDOW (self)));
  gboolean reachable = g_application_get_dbus_connection (application) != NULL;
  AdwMessageDialog *dialog;

  if (self->close_dialog) {
    gtk_window_present (self->close_dialog);
    return;
  }
  dialog = ADW_MESSAGE_DIALOG (adw_message_dialog_new (GTK_WINDOW (self), _ ("Training is going on"), NULL));
  adw_message_dialog_add_responses (dialog, "cancel", _ ("_Cancel"), "stop", _ ("_Stop With a Checkpoint"), NULL);
  if (reachable) {
    adw_message_dialog_set_body (dialog,
                                 _ ("It can go on without the window; starting Tessera again brings the window back. "
                                    "Or it stops now with a checkpoint, from which it can be resumed."));
    adw_message_dialog_add_response (dialog, "background", _ ("_Keep Training"));
    adw_message_dialog_set_response_appearance (dialog, "background", ADW_RESPONSE_SUGGESTED);
    adw_message_dialog_set_default_response (dialog, "background");
  } else {
    /* Nothing could bring the window back. */
    adw_message_dialog_set_body (dialog, _ ("It stops with a checkpoint, from which it can be resumed."));
    adw_message_dialog_set_default_response (dialog, "cancel");
  }
  adw_message_dialog_set_close_response (dialog, "cancel");
  g_set_weak_pointer (&self->close_dialog, GTK_WINDOW (dialog));
  g_signal_connect_object (dialog, "response", G_CALLBACK (close_response_cb), self, G_CONNECT_SWAPPED);
  gtk_window_present (GTK_WINDOW (dialog));
}

/* FALSE: something may be lost; the user is asked, and it closes itself when nothing stands in the way any more. */
gboolean
tess_window_may_close (TessWindow *self)
{
  g_return_val_if_fail (TESS_IS_WINDOW (self), TRUE);
  if (self->leaving)
    return TRUE;
  gtk_window_present (GTK_WINDOW (self)); /* it may be hidden while training goes on */
  if (tess_train_page_is_running (self->train_page))
    ask_about_training (self);
  else
    tess_segment_ask_unsaved (self, leave, NULL, NULL);
  return FALSE;
}

/* The session ends or the process is told to: nobody can be asked. A training stops with a checkpoint first. */
void
tess_window_end (TessWindow *self)
{
  g_return_if_fail (TESS_IS_WINDOW (self));
  self->ending = TRUE;
  if (tess_train_page_is_running (self->train_page)) {
    tess_train_page_stop (self->train_page);
    wait_for_training (self, FALSE);
  } else {
    leave (self, NULL);
  }
}
