#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* Results: the canvas of View with two of our widgets beside it. All share one model (TessResults) of the window. */

/* Right inspector: which layer is the prediction, which the reference, and the numbers of every label. */
#define TESS_TYPE_RESULTS_PAGE (tess_results_page_get_type ())
G_DECLARE_FINAL_TYPE (TessResultsPage, tess_results_page, TESS, RESULTS_PAGE, GtkWidget)

GtkWidget *tess_results_page_new (TessWindow *window);

/* Left: the cases of a folder evaluation, worst first. */
#define TESS_TYPE_RESULTS_SIDEBAR (tess_results_sidebar_get_type ())
G_DECLARE_FINAL_TYPE (TessResultsSidebar, tess_results_sidebar, TESS, RESULTS_SIDEBAR, GtkWidget)

GtkWidget *tess_results_sidebar_new (TessWindow *window);

/* The window says when Results is entered and left: which layers are seen, and the difference layer, are of Results
 * alone. Saying the same twice does nothing. */
void tess_results_set_shown (TessWindow *window, gboolean shown);

G_END_DECLS
