#pragma once

#include "tess-window.h"

G_BEGIN_DECLS

/* The findings of the open scan, in View's side bar: where each is and how large; a click goes there. Hidden when there
 * are none. */
GtkWidget *tess_findings_list_new (TessWindow *window);

G_END_DECLS
