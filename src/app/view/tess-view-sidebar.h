#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* Layers and, of the chosen label layer, the table of labels: the left side bar of View. */
GtkWidget *tess_view_sidebar_new (TessWindow *window);

G_END_DECLS
