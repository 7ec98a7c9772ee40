#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Progress and cancel of one long job; atomically ref-counted, any thread. Every function accepts NULL. */
typedef struct _TessProgress TessProgress;

typedef void (*TessProgressFunc) (TessProgress *progress, double fraction, gpointer user_data);

TessProgress *tess_progress_new          (void);
TessProgress *tess_progress_ref          (TessProgress *progress);
void          tess_progress_unref        (TessProgress *progress);
void          tess_progress_set_notify   (TessProgress *progress, TessProgressFunc func, gpointer user_data);
void          tess_progress_set          (TessProgress *progress, double fraction); /* [0,1] */
double        tess_progress_get          (TessProgress *progress);
void          tess_progress_cancel       (TessProgress *progress);
gboolean      tess_progress_is_cancelled (TessProgress *progress);
gboolean      tess_progress_check        (TessProgress *progress, GError **error); /* FALSE + CANCELLED */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessProgress, tess_progress_unref)

G_END_DECLS
