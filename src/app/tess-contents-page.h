#pragma once

#include "tess-contents.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Where the canvas is otherwise: what a study, folder or file holds, to choose from. Signals:
 *   "chosen" (GPtrArray of TessContentsItem in the order they are opened, gboolean over the open scan)
 *   "cancelled" */
#define TESS_TYPE_CONTENTS_PAGE (tess_contents_page_get_type ())
G_DECLARE_FINAL_TYPE (TessContentsPage, tess_contents_page, TESS, CONTENTS_PAGE, GtkWidget)

/* contents: NULL to let go of what it shows. over: as labels over the open scan, all of them. can_add: a scan is open */
void tess_contents_page_show  (TessContentsPage *self, TessContents *contents, gboolean over, gboolean can_add);
void tess_contents_page_focus (TessContentsPage *self);

G_END_DECLS
