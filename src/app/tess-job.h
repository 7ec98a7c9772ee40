#pragma once

#include "tess-progress.h"
#include <gio/gio.h>

G_BEGIN_DECLS

/* A long task as the window shows it: a name, a share done, Cancel. Made and used on the main thread; the worker sees
 * only the TessProgress. Properties: name, fraction (notified at most once a frame), finished. */
#define TESS_TYPE_JOB (tess_job_get_type ())
G_DECLARE_FINAL_TYPE (TessJob, tess_job, TESS, JOB, GObject)

TessJob      *tess_job_new          (const char *name);
const char   *tess_job_get_name     (TessJob *self);
TessProgress *tess_job_get_progress (TessJob *self); /* (transfer none) for the worker; take a reference */
TessJob      *tess_job_new_opening  (const char *file); /* "Opening @file" */
double        tess_job_get_fraction (TessJob *self);
double        tess_job_get_remaining (TessJob *self); /* seconds, NaN while unknown */
void          tess_job_cancel       (TessJob *self);
void          tess_job_finish       (TessJob *self); /* on the main thread, when its result is in */
gboolean      tess_job_is_finished  (TessJob *self);

G_END_DECLS
