#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* One click: the opened scan through the chosen model, the labels as a layer on top. One at a time a window; what is
 * wrong goes to the window's bar, what is found to a toast with Undo. Main thread. */
void     tess_segment_start      (TessWindow *window);
gboolean tess_segment_is_running (TessWindow *window);

/* "torso: channel CT, labels organ, vessel", or the sentence why this model cannot segment the open scan (study NULL or
 * nothing open: only the model is looked at). Reads the model's header, not its weights. */
char    *tess_segment_check_model (const char *model_path, TessStudy *study, GError **error);
gboolean tess_segment_model_fits  (const char *model_path, TessStudy *study, GError **error);
/* From now on, and said so in the window; FALSE when it is no model, with the sentence in the bar. */
gboolean tess_segment_use_model   (TessWindow *window, const char *path);

/* win.save-labels: asks for a file and writes labels (made here and not saved, or selected, or the uppermost) on the
 * scan's grid. */
void tess_segment_save_labels (TessWindow *window);
/* The same without asking. done: called on the main thread with whether it was written; may be NULL. */
typedef void (*TessSegmentSaved) (TessWindow *window, gboolean ok, gpointer data);
void tess_segment_save_labels_to (TessWindow *window, const char *path, TessSegmentSaved done, gpointer data);

/* Labels that were made here, are still there and were not saved. */
gboolean tess_segment_has_unsaved (TessWindow *window);
/* Before they are lost (the window closes, another scan is opened): asks Cancel, Discard or Save, and calls go_on unless
 * the user cancels or saving fails; at once when nothing is unsaved. */
typedef void (*TessSegmentGoOn) (TessWindow *window, gpointer data);
void tess_segment_ask_unsaved (TessWindow *window, TessSegmentGoOn go_on, gpointer data, GDestroyNotify destroy);

G_END_DECLS
