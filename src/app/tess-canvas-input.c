#include "tess-canvas-private.h"
#include "tess-plane-sampler.h"
#include "tess-statistics.h"

#include <math.h>
#include <string.h>

/* Mouse and wheel. What a drag does is tess_hands_drag()'s to say; click, wheel and double click are the same in all
 * profiles. */

#define CLICK_PIXELS 3.0

static gboolean
has_image (TessCanvas *self)
{
  return self->study && tess_study_get_has_image (self->study);
}

/* The image that windows are about. */
static TessLayer *
window_layer (TessCanvas *self)
{
  TessLayer *layer = has_image (self) ? tess_study_get_active (self->study) : NULL;

  if (layer && layer->lut == TESS_LUT_LABELS)
    layer = tess_scene_main (tess_study_get_scene (self->study));
  return layer && layer->lut != TESS_LUT_LABELS ? layer : NULL;
}

/* Keeps the point at (x,y) (logical pixels) where it is. */
void
tess_canvas_zoom_at (TessCanvas *self, const TessPane *pane, double factor, double x, double y)
{
  TessPaneView *view = &self->views[pane->plane];
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  double after = CLAMP (view->factor * factor, 0.2, 64.0), zoom = pane->zoom * after / view->factor;
  double d[2] = {x * scale - pane->x - 0.5 * pane->width, y * scale - pane->y - 0.5 * pane->height};

  for (int a = 0; a < 2; a++)
    view->pan[a] += d[a] * (1.0 / pane->zoom - 1.0 / zoom);
  view->factor = after;
  tess_canvas_redraw (self);
}

static gboolean
current_pane (TessCanvas *self, TessPane *pane)
{
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);

  for (guint i = 0; i < n; i++)
    if ((int)panes[i].plane == self->plane) {
      *pane = panes[i];
      return TRUE;
    }
  return FALSE;
}

/* Drags. */

static void
drag_crosshair (TessCanvas *self, double x, double y)
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessPane pane;
  double world[3];

  if (!current_pane (self, &pane)) /* a drag stays in the pane it began in */
    return;
  x = CLAMP (x * scale, pane.x, pane.x + pane.width - 1);
  y = CLAMP (y * scale, pane.y, pane.y + pane.height - 1);
  tess_pane_to_world (&pane, tess_study_get_scene (self->study), x, y, world);
  tess_study_set_cursor (self->study, world);
}

/* A drag over 256 pixels changes the width, or moves the level, by the width it began with. */
static void
drag_window (TessCanvas *self, double dx, double dy)
{
  TessLayer *layer = window_layer (self);
  double lower, upper, width, level, rate;

  if (!layer)
    return;
  tess_study_get_auto_window (self->study, layer, &lower, &upper);
  width = self->start_window[1] - self->start_window[0];
  level = 0.5 * (self->start_window[1] + self->start_window[0]);
  rate = fmax (width, 0.02 * (upper - lower)) / 256.0;
  width = fmax (width + (self->swap_window_drag ? -dy : dx) * rate, 1e-3 * (upper - lower));
  level += (self->swap_window_drag ? dx : -dy) * rate;
  tess_study_set_window (self->study, layer, level - 0.5 * width, level + 0.5 * width);
}

static void
drag_pan (TessCanvas *self, double dx, double dy)
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessPane pane;

  if (!current_pane (self, &pane))
    return;
  self->views[self->plane].pan[0] = self->start_view.pan[0] - dx * scale / pane.zoom;
  self->views[self->plane].pan[1] = self->start_view.pan[1] - dy * scale / pane.zoom;
  tess_canvas_redraw (self);
}

static void
drag_zoom (TessCanvas *self, double dy)
{
  TessPane pane;

  self->views[self->plane] = self->start_view;
  if (current_pane (self, &pane))
    tess_canvas_zoom_at (self, &pane, exp (-dy / 150.0), self->start[0], self->start[1]);
}

/* The window that shows what lies in the box: its 0.5 and 99.5 percentile, from at most about 20000 points. */
static void
finish_box (TessCanvas *self)
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self)), w, h, step;
  TessLayer *layer = window_layer (self);
  g_autofree float *values = NULL;
  TessPaneMap map;
  TessPane pane;
  gsize n = 0;
  double x0, y0;

  if (!layer || !current_pane (self, &pane))
    return;
  x0 = fmin (self->start[0], self->pointer[0]) * scale - pane.x;
  y0 = fmin (self->start[1], self->pointer[1]) * scale - pane.y;
  w = MAX ((int)(fabs (self->start[0] - self->pointer[0]) * scale), 1);
  h = MAX ((int)(fabs (self->start[1] - self->pointer[1]) * scale), 1);
  step = MAX ((int)sqrt ((double)w * h / 20000.0), 1);
  tess_pane_map (&pane, tess_study_get_scene (self->study), &map);
  for (int a = 0; a < 3; a++) {
    map.origin[a] += x0 * map.u[a] + y0 * map.v[a];
    map.u[a] *= step;
    map.v[a] *= step;
  }
  w = MAX (w / step, 1);
  h = MAX (h / step, 1);
  values = g_new (float, (gsize)w *(gsize)h);
  tess_plane_sample_values (layer, &map, w, h, values);
  for (gsize i = 0; i < (gsize)w * (gsize)h; i++)
    if (isfinite (values[i]))
      values[n++] = values[i];
  if (n > 0) {
    double lower = tess_percentile (values, n, 0.5), upper = tess_percentile (values, n, 99.5);

    if (upper > lower)
      tess_study_set_window (self->study, layer, lower, upper);
  }
}

static void
set_cursor (TessCanvas *self)
{
  static const char *const names[] = {
      [TESS_DRAG_NONE] = NULL,      [TESS_DRAG_WINDOW] = "none",    [TESS_DRAG_CROSSHAIR] = "crosshair",
      [TESS_DRAG_PAN] = "grabbing", [TESS_DRAG_ZOOM] = "ns-resize", [TESS_DRAG_BOX] = "crosshair",
  };
  const char *name = self->mode != TESS_DRAG_NONE && self->moved ? names[self->mode] : self->space_held ? "grab" : NULL;

  gtk_widget_set_cursor_from_name (GTK_WIDGET (self), name);
}

static void
drag_begin_cb (TessCanvas *self, double x, double y)
{
  guint button = gtk_gesture_single_get_current_button (GTK_GESTURE_SINGLE (self->drag));
  GdkModifierType state = gtk_event_controller_get_current_event_state (GTK_EVENT_CONTROLLER (self->drag));
  TessLayer *layer = window_layer (self);
  TessPane pane;

  gtk_widget_grab_focus (GTK_WIDGET (self));
  self->mode = TESS_DRAG_NONE;
  self->moved = FALSE;
  if (!has_image (self) || self->gl_error || !tess_canvas_pane_at (self, x, y, &pane))
    return;
  self->plane = (int)pane.plane;
  self->start[0] = self->pointer[0] = x;
  self->start[1] = self->pointer[1] = y;
  self->start_view = self->views[pane.plane];
  if (layer) {
    self->start_window[0] = layer->lower;
    self->start_window[1] = layer->upper;
  }
  self->mode =
      self->space_held && button == GDK_BUTTON_PRIMARY ? TESS_DRAG_PAN : tess_hands_drag (self->hands, button, state);
}

static void
drag_update_cb (TessCanvas *self, double dx, double dy)
{
  if (self->mode == TESS_DRAG_NONE)
    return;
  self->pointer[0] = self->start[0] + dx;
  self->pointer[1] = self->start[1] + dy;
  if (!self->moved) {
    if (hypot (dx, dy) < CLICK_PIXELS)
      return;
    self->moved = TRUE;
    set_cursor (self);
  }
  switch (self->mode) {
  case TESS_DRAG_WINDOW:
    drag_window (self, dx, dy);
    break;
  case TESS_DRAG_CROSSHAIR:
    drag_crosshair (self, self->pointer[0], self->pointer[1]);
    break;
  case TESS_DRAG_PAN:
    drag_pan (self, dx, dy);
    break;
  case TESS_DRAG_ZOOM:
    drag_zoom (self, dy);
    break;
  default:
    break;
  }
  tess_canvas_redraw_overlay (self);
}

/* A left button that went up where it went down; of a double click the first. */
static gboolean
is_click (TessCanvas *self, TessDrag mode)
{
  guint button = gtk_gesture_single_get_current_button (GTK_GESTURE_SINGLE (self->drag));

  return mode != TESS_DRAG_NONE && button == GDK_BUTTON_PRIMARY && !self->space_held && self->n_press < 2;
}

static void
drag_end_cb (TessCanvas *self, double dx, double dy)
{
  TessDrag mode = self->mode;

  if (mode == TESS_DRAG_BOX && self->moved)
    finish_box (self);
  else if (!self->moved && is_click (self, mode))
    drag_crosshair (self, self->start[0], self->start[1]);
  self->mode = TESS_DRAG_NONE;
  self->moved = FALSE;
  set_cursor (self);
  tess_canvas_redraw_overlay (self);
}

/* Gives a drag up and puts back what it changed. Returns FALSE when there was none. */
gboolean
tess_canvas_cancel_drag (TessCanvas *self)
{
  TessLayer *layer = window_layer (self);

  if (self->mode == TESS_DRAG_NONE || !self->moved)
    return FALSE;
  if (self->mode == TESS_DRAG_WINDOW && layer)
    tess_study_set_window (self->study, layer, self->start_window[0], self->start_window[1]);
  else if (self->mode == TESS_DRAG_PAN || self->mode == TESS_DRAG_ZOOM)
    self->views[self->plane] = self->start_view;
  self->mode = TESS_DRAG_NONE;
  self->moved = FALSE;
  gtk_event_controller_reset (GTK_EVENT_CONTROLLER (self->drag));
  set_cursor (self);
  tess_canvas_redraw (self);
  return TRUE;
}

static void
pressed_cb (TessCanvas *self, int n_press, double x, double y)
{
  TessPane pane;

  self->n_press = n_press;
  if (n_press != 2 || !has_image (self) || !tess_canvas_pane_at (self, x, y, &pane))
    return;
  tess_canvas_set_fill (self, self->fill >= 0 ? -1 : (int)pane.plane);
}

/* Wheel. */

static gboolean
scroll_cb (TessCanvas *self, double dx, double dy, GtkEventController *controller)
{
  GdkModifierType state = gtk_event_controller_get_current_event_state (controller);
  double notches = dy != 0.0 ? dy : dx; /* Shift may turn the wheel sideways */
  TessPane pane;
  int steps;

  if (!has_image (self) || !tess_canvas_pane_at (self, self->pointer[0], self->pointer[1], &pane))
    return GDK_EVENT_PROPAGATE;
  self->plane = (int)pane.plane;
  if (state & GDK_CONTROL_MASK) {
    tess_canvas_zoom_at (self, &pane, exp (-0.15 * notches), self->pointer[0], self->pointer[1]);
    return GDK_EVENT_STOP;
  }
  if (self->wheel * notches < 0.0)
    self->wheel = 0.0; /* turned round */
  self->wheel += notches;
  steps = (int)self->wheel;
  self->wheel -= steps;
  if (steps == 0)
    return GDK_EVENT_STOP;
  if (state & GDK_ALT_MASK) {
    TessLayer *layer = window_layer (self);

    if (layer)
      tess_study_set_channel (self->study, layer, layer->channel + steps);
  } else {
    tess_study_scroll (self->study, self->plane, -(gint64)steps * (state & GDK_SHIFT_MASK ? 5 : 1));
  }
  return GDK_EVENT_STOP;
}

/* Pointer and the Space key. */

static void
motion_cb (TessCanvas *self, double x, double y)
{
  TessPane pane;

  self->pointer_inside = TRUE;
  self->pointer[0] = x;
  self->pointer[1] = y;
  if (self->mode == TESS_DRAG_NONE && tess_canvas_pane_at (self, x, y, &pane))
    self->plane = (int)pane.plane;
  tess_canvas_emit_pointer (self);
}

static void
leave_cb (TessCanvas *self)
{
  self->pointer_inside = FALSE;
  tess_canvas_emit_pointer (self);
}

static gboolean
key_pressed_cb (TessCanvas *self, guint keyval, guint keycode, GdkModifierType state)
{
  if (keyval != GDK_KEY_space || state & (GDK_CONTROL_MASK | GDK_ALT_MASK))
    return GDK_EVENT_PROPAGATE;
  self->space_held = TRUE;
  set_cursor (self);
  return GDK_EVENT_STOP;
}

static void
key_released_cb (TessCanvas *self, guint keyval, guint keycode, GdkModifierType state)
{
  if (keyval != GDK_KEY_space)
    return;
  self->space_held = FALSE;
  set_cursor (self);
}

static void
focus_left_cb (TessCanvas *self)
{
  self->space_held = FALSE;
  set_cursor (self);
}

static void
add_controller (TessCanvas *self, gpointer controller)
{
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (controller));
}

void
tess_canvas_init_hands (TessCanvas *self)
{
  GtkGesture *click = gtk_gesture_click_new ();
  GtkEventController *scroll = gtk_event_controller_scroll_new (GTK_EVENT_CONTROLLER_SCROLL_BOTH_AXES);
  GtkEventController *motion = gtk_event_controller_motion_new ();
  GtkEventController *key = gtk_event_controller_key_new ();
  GtkEventController *focus = gtk_event_controller_focus_new ();

  self->drag = gtk_gesture_drag_new ();
  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (self->drag), 0);
  g_signal_connect_swapped (self->drag, "drag-begin", G_CALLBACK (drag_begin_cb), self);
  g_signal_connect_swapped (self->drag, "drag-update", G_CALLBACK (drag_update_cb), self);
  g_signal_connect_swapped (self->drag, "drag-end", G_CALLBACK (drag_end_cb), self);
  add_controller (self, self->drag);
  g_signal_connect_swapped (click, "pressed", G_CALLBACK (pressed_cb), self);
  add_controller (self, click);
  g_signal_connect_swapped (scroll, "scroll", G_CALLBACK (scroll_cb), self);
  add_controller (self, scroll);
  g_signal_connect_swapped (motion, "enter", G_CALLBACK (motion_cb), self);
  g_signal_connect_swapped (motion, "motion", G_CALLBACK (motion_cb), self);
  g_signal_connect_swapped (motion, "leave", G_CALLBACK (leave_cb), self);
  add_controller (self, motion);
  g_signal_connect_swapped (key, "key-pressed", G_CALLBACK (key_pressed_cb), self);
  g_signal_connect_swapped (key, "key-released", G_CALLBACK (key_released_cb), self);
  add_controller (self, key);
  g_signal_connect_swapped (focus, "leave", G_CALLBACK (focus_left_cb), self);
  add_controller (self, focus);
}
