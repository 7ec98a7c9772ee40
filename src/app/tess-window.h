#pragma once

#include "tess-canvas.h"
#include "tess-head-start.h"
#include "tess-job.h"
#include <adwaita.h>

G_BEGIN_DECLS

/* The frame: header (Open, modes, Segment, menu), foldable side bars, canvas or mode page, status line, progress strip,
 * message bar. Modes put their pages into it; they reach the shared things through the functions below. */
#define TESS_TYPE_WINDOW (tess_window_get_type ())
G_DECLARE_FINAL_TYPE (TessWindow, tess_window, TESS, WINDOW, AdwApplicationWindow)

TessWindow *tess_window_new       (AdwApplication *application, TessHeadStart *head_start);
TessStudy  *tess_window_get_study (TessWindow *self);
TessCanvas *tess_window_get_canvas (TessWindow *self);
/* Opens what is named: a scan (optionally with labels), a data set folder, a run folder, a model file, a table
 * of findings over the open scan. */
void        tess_window_open      (TessWindow *self, const char *path, const char *label);
void        tess_window_open_run  (TessWindow *self, const char *run_dir);
void        tess_window_set_model (TessWindow *self, const char *path);
const char *tess_window_get_model (TessWindow *self); /* NULL when none is chosen */
/* While no scan is open, one is chosen from this folder; nothing is proposed when it is not there. */
void        tess_window_propose_scans (TessWindow *self, const char *folder);
/* Shows the job in the strip under the header until it is finished. */
void        tess_window_add_job   (TessWindow *self, TessJob *job);
/* One sentence in the bar above the canvas; button NULL or a label whose click activates action (e.g. "win.open"). */
void        tess_window_show_error (TessWindow *self, const char *sentence, const char *button, const char *action);
void        tess_window_clear_error (TessWindow *self);
void        tess_window_toast     (TessWindow *self, const char *text); /* events */
void        tess_window_toast_undo (TessWindow *self, const char *text, GCallback undo, gpointer user_data, GDestroyNotify destroy);
void        tess_window_set_mode  (TessWindow *self, const char *mode); /* "view", "train", "results" */

G_END_DECLS
