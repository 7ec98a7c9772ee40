#include "tess-hands.h"

#include <glib/gi18n-lib.h>
#include <string.h>

static const char *const names[TESS_N_HANDS] = {"radiology", "research", "slicer"};

typedef struct {
  const char *gesture;
  guint button;
  GdkModifierType modifier;
  TessDrag does[TESS_N_HANDS]; /* Radiology, Research, Slicer */
} Drag;

static const Drag drags[] = {
    {N_ ("Left drag"), GDK_BUTTON_PRIMARY, 0, {TESS_DRAG_WINDOW, TESS_DRAG_CROSSHAIR, TESS_DRAG_WINDOW}},
    {N_ ("Shift + left drag"),
     GDK_BUTTON_PRIMARY,
     GDK_SHIFT_MASK,
     {TESS_DRAG_CROSSHAIR, TESS_DRAG_WINDOW, TESS_DRAG_PAN}},
    {N_ ("Ctrl + left drag"), GDK_BUTTON_PRIMARY, GDK_CONTROL_MASK, {TESS_DRAG_BOX, TESS_DRAG_BOX, TESS_DRAG_BOX}},
    {N_ ("Middle drag, or left drag with Space held"),
     GDK_BUTTON_MIDDLE,
     0,
     {TESS_DRAG_PAN, TESS_DRAG_PAN, TESS_DRAG_PAN}},
    {N_ ("Right drag"), GDK_BUTTON_SECONDARY, 0, {TESS_DRAG_ZOOM, TESS_DRAG_ZOOM, TESS_DRAG_ZOOM}},
};

static const char *const what_drags_do[] = {
    [TESS_DRAG_NONE] = NULL,
    [TESS_DRAG_WINDOW] = N_ ("Window (to the side) and level (up and down)"),
    [TESS_DRAG_CROSSHAIR] = N_ ("Move the crosshair"),
    [TESS_DRAG_PAN] = N_ ("Pan"),
    [TESS_DRAG_ZOOM] = N_ ("Zoom"),
    [TESS_DRAG_BOX] = N_ ("Window from the values in a box"),
};

/* The same in every profile. */
static const struct {
  const char *gesture, *what;
} others[] = {
    {N_ ("Click"), N_ ("Put the crosshair there")},
    {N_ ("Double click"), N_ ("Fill the canvas with a pane, and back")},
    {N_ ("Wheel"), N_ ("One slice a notch")},
    {N_ ("Shift + wheel"), N_ ("Five slices a notch")},
    {N_ ("Ctrl + wheel"), N_ ("Zoom at the pointer")},
    {N_ ("Alt + wheel"), N_ ("Another channel or time")},
};

const char *
tess_hands_name (TessHands hands)
{
  g_return_val_if_fail (hands < TESS_N_HANDS, names[0]);
  return names[hands];
}

TessHands
tess_hands_from_name (const char *name)
{
  for (guint i = 0; i < TESS_N_HANDS; i++)
    if (g_strcmp0 (names[i], name) == 0)
      return (TessHands)i;
  return TESS_HANDS_RADIOLOGY;
}

/* @button: GDK_BUTTON_*. Ctrl goes before Shift; other modifiers do not count. */
TessDrag
tess_hands_drag (TessHands hands, guint button, GdkModifierType state)
{
  GdkModifierType modifier = 0;

  g_return_val_if_fail (hands < TESS_N_HANDS, TESS_DRAG_NONE);
  if (button == GDK_BUTTON_PRIMARY)
    modifier = state & GDK_CONTROL_MASK ? GDK_CONTROL_MASK : state & GDK_SHIFT_MASK;
  for (guint i = 0; i < G_N_ELEMENTS (drags); i++)
    if (drags[i].button == button && drags[i].modifier == modifier)
      return drags[i].does[hands];
  return TESS_DRAG_NONE;
}

gboolean
tess_hands_nth (TessHands hands, guint i, const char **gesture, const char **what)
{
  g_return_val_if_fail (hands < TESS_N_HANDS, FALSE);
  if (i < G_N_ELEMENTS (drags)) {
    *gesture = _ (drags[i].gesture);
    *what = _ (what_drags_do[drags[i].does[hands]]);
    return TRUE;
  }
  i -= G_N_ELEMENTS (drags);
  if (i >= G_N_ELEMENTS (others))
    return FALSE;
  *gesture = _ (others[i].gesture);
  *what = _ (others[i].what);
  return TRUE;
}
