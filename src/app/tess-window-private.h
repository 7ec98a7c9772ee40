#pragma once

#include "tess-contents-page.h"
#include "tess-job-strip.h"
#include "tess-notes-bar.h"
#include "tess-welcome.h"
#include "tess-window.h"

G_BEGIN_DECLS

/* How a path is to be opened. */
typedef enum {
  TESS_HOW_SCAN,
  TESS_HOW_LABELS,
  TESS_HOW_GUESSED_LABELS, /* its name says labels: a toast offers to have it as the scan */
  TESS_HOW_ASK,            /* the voxels decide whether the user is asked */
} TessOpenHow;

/* What the files of the window share. */
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
  GtkStack *pages;                 /* "welcome", "contents", "pictures" (View and Results with a scan), "train" */
  GtkStack *sidebars, *inspectors; /* one page a picture mode */
  GtkStack *centre;                /* "empty", "canvas" */
  AdwFlap *sidebar_flap, *inspector_flap;
  GtkLabel *status;
  TessWelcome *welcome;
  TessContentsPage *contents_page;
  TessNotesBar *notes;
  GMenu *recent_menu, *model_menu;

  GtkWidget *canvas, *train_page;
  GtkWidget *palette; /* NULL until it is wanted */
  char *mode;

  char *message_action;
  char *model; /* path, NULL when none is chosen */
  char *scans; /* folder to choose a scan from while none is open; NULL when there is none to propose */
  gboolean show_sidebar, show_inspector; /* what the user wants where there is room */
  gboolean applying_flaps;
  gboolean leaving;        /* everything has been asked */
  gboolean ending;         /* told to go: nothing can be asked */
  gboolean in_background;  /* closed while its training goes on */
  guint waiting_timer;     /* waits for a training to end */
  GtkWindow *close_dialog; /* weak */

  TessJob *looking;          /* through what is to be opened; its owner is the task. NULL when nothing is looked through */
  TessContents *contents;    /* to choose from; NULL when there is nothing to choose */
  gboolean contents_over;    /* as labels over the open scan */
  char *contents_label;      /* labels to open over what is chosen; may be NULL */
  GPtrArray *waiting_labels; /* paths: their scan is looked for or chosen */
  TessHeadStart *head_start; /* until the window opens what it reads, or something else */
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
void tess_window_open_file (TessWindow *self, const char *path, const char *label, TessOpenHow how);
void tess_window_start_opening (TessWindow *self, const char *location, const char *name, TessOpenAs as,
                                gboolean guessed);
void tess_window_contents_chosen (TessWindow *self, GPtrArray *items, gboolean over);
void tess_window_close_contents (TessWindow *self);
void tess_window_open_labels (TessWindow *self, const char *path);
void tess_window_open_model (TessWindow *self, const char *path);
void tess_window_open_dataset (TessWindow *self, const char *folder);

/* tess-window-drop.c */
void tess_window_init_drop (TessWindow *self);
void tess_window_ask_what_it_is (TessWindow *self, const char *path); /* then opens it so */

G_END_DECLS
