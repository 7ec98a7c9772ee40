#pragma once

#include "tess-job.h"
#include "tess-study.h"

G_BEGIN_DECLS

/* The scan named on the command line, read while GTK starts: that takes half a second of one core. Its study becomes
 * the window's, and when the window opens that scan, the reading goes on as if it had begun then. Main thread only. */
typedef struct _TessHeadStart TessHeadStart;

TessHeadStart *tess_head_start_new  (const char *path); /* absolute; NULL when it is not one scan */
void           tess_head_start_free (TessHeadStart *self); /* cancels what nobody took over */
TessStudy     *tess_head_start_get_study (TessHeadStart *self); /* (transfer none) */
/* (transfer full): the job of reading @location as a scan, whose result goes to @callback; NULL when there is none. */
TessJob       *tess_head_start_take (TessHeadStart *self, const char *location, GAsyncReadyCallback callback, gpointer data);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessHeadStart, tess_head_start_free)

G_END_DECLS
