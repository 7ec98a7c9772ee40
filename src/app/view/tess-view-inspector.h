#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* Window, labels, patch grid and view settings of what is on the canvas: the right side bar of View. */
GtkWidget *tess_view_inspector_new (TessWindow *window);

G_END_DECLS
