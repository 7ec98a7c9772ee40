#pragma once

#include "tess-run-model.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* One run: its progress line, heads, scrub line and curves. Actions: run.pause, run.continue, run.stop, run.resume,
 * run.use-model, run.live, run.close, run.plane. Signals: "resume", "use-model" (path), "close", "note" (sentence). */
#define TESS_TYPE_RUN_VIEW (tess_run_view_get_type ())
G_DECLARE_FINAL_TYPE (TessRunView, tess_run_view, TESS, RUN_VIEW, GtkWidget)

GtkWidget *tess_run_view_new (void);
void tess_run_view_set_model (TessRunView *self, TessRunModel *model);
TessRunModel *tess_run_view_get_model (TessRunView *self);

G_END_DECLS
