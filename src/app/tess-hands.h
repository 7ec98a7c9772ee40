#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* What the mouse does on the pictures, in three profiles: the one table that canvas and shortcuts window are made
 * from. */
typedef enum {
  TESS_HANDS_RADIOLOGY,
  TESS_HANDS_RESEARCH,
  TESS_HANDS_SLICER,
  TESS_N_HANDS,
} TessHands;

/* What a drag does. */
typedef enum {
  TESS_DRAG_NONE,
  TESS_DRAG_WINDOW,
  TESS_DRAG_CROSSHAIR,
  TESS_DRAG_PAN,
  TESS_DRAG_ZOOM,
  TESS_DRAG_BOX, /* the window is set from the values in it */
} TessDrag;

/* The profile as settings name it: "radiology", "research", "slicer". */
const char *tess_hands_name (TessHands hands);
TessHands   tess_hands_from_name (const char *name); /* Radiology when there is no such name */

TessDrag    tess_hands_drag (TessHands hands, guint button, GdkModifierType state);

/* For people: line @i of the table in profile @hands, FALSE behind the last; both translated and static. */
gboolean    tess_hands_nth (TessHands hands, guint i, const char **gesture, const char **what);

G_END_DECLS
