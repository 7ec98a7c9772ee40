#pragma once

#include "tess-job.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* The thin strip under the header: the running jobs with name, share, time left and Cancel. Not there while nothing
 * runs, and not for what is done in a blink. */
#define TESS_TYPE_JOB_STRIP (tess_job_strip_get_type ())
G_DECLARE_FINAL_TYPE (TessJobStrip, tess_job_strip, TESS, JOB_STRIP, GtkWidget)

void  tess_job_strip_add    (TessJobStrip *self, TessJob *job);
guint tess_job_strip_n_jobs (TessJobStrip *self);

G_END_DECLS
