#pragma once

#include "tess-job-strip.h"
#include "tess-welcome.h"
#include "tess-window.h"

G_BEGIN_DECLS

/* What the three files of the window share. */
struct _TessWindow {
  AdwApplicationWindow parent_instance;

  TessStudy *study;

  /* from the template */
  AdwToastOverlay *toasts;
  GtkWidget *open_button, *segment_button, *menu_button;
  GtkWidget *view_button, *train_button, *results_button;
  GtkLabel *title, *subtitle;
  TessJobStrip *jobs;
  GtkRevealer *message_revealer;
  GtkInfoBar *message_bar;
  GtkLabel *message_label;
  GtkButton *message_button;
  GtkStack *pages;                 /* "welcome", "pictures" (View and Results with a scan), "train" */
  GtkStack *sidebars, *inspectors; /* one page a picture mode */
  GtkStack *centre;                /* "empty", "canvas" */
  AdwFlap *sidebar_flap, *inspector_flap;
  GtkLabel *status;
  TessWelcome *welcome;
  GMenu *recent_menu, *model_menu;

  GtkWidget *canvas, *train_page;
  GtkWidget *palette; /* NULL until it is wanted */
  char *mode;

  char *message_action;
  char *model; /* path, NULL when none is chosen */
  gboolean show_sidebar, show_inspector; /* what the user wants where there is room */
  gboolean applying_flaps;
  gboolean leaving;        /* everything has been asked */
  gboolean ending;         /* told to go: nothing can be asked */
  gboolean in_background;  /* closed while its training goes on */
  guint waiting_timer;     /* waits for a training to end */
  GtkWindow *close_dialog; /* weak */

  guint open_generation;   /* tells the newest opening from earlier ones */
  guint n_opening;
  gboolean open_failed;
  void (*started) (TessWindow *self, gboolean ok, gpointer data);
  gpointer started_data;
};

typedef void (*TessWindowStarted) (TessWindow *self, gboolean ok, gpointer data);

/* tess-window.c */
void tess_window_update (TessWindow *self); /* titles, sensitivity, side bars follow the study */
/* Calls once when everything that is being opened is open (or has failed) and a frame with it has been painted. */
void tess_window_when_started (TessWindow *self, TessWindowStarted func, gpointer data);
void tess_window_check_started (TessWindow *self);

/* tess-window-close.c */
gboolean tess_window_may_close (TessWindow *self);
void     tess_window_end (TessWindow *self); /* without asking; a training stops with a checkpoint first */

/* tess-window-actions.c */
void tess_window_install_actions (TessWindowClass *klass);
void tess_window_init_actions (TessWindow *self);
void tess_window_update_actions (TessWindow *self);

/* tess-window-open.c */
void tess_window_open_scan (TessWindow *self, const char *path, const char *label);
void tess_window_open_labels (TessWindow *self, const char *path);
void tess_window_open_model (TessWindow *self, const char *path);
void tess_window_open_dataset (TessWindow *self, const char *folder);
void tess_window_init_drop (TessWindow *self);

G_END_DECLS
