#pragma once

#include "tess-results.h"
#include "tess-window.h"

G_BEGIN_DECLS

/* The results of a window; made when first asked for, with the actions win.results-*. (transfer none) */
TessResults *tess_results_of (TessWindow *window);

/* Numbers as a table shows them: a dash where there is none. New strings. */
char *tess_results_format_share   (double value);   /* "0.831" */
char *tess_results_format_mm      (double value);   /* "2.24" */
char *tess_results_format_ml      (double mm3);     /* "1.62 mL" */
char *tess_results_format_percent (double percent); /* "-5.0 %", with a true minus and always a sign */

G_END_DECLS
