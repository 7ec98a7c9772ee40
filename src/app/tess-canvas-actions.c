#include "tess-canvas-private.h"
#include "tess-presets.h"

#include <glib/gi18n-lib.h>
#include <math.h>

/* The commands of the canvas, "view.NAME". Toggles have a boolean state, which follows the study.
 *
 *   auto-window          0         preset (i)  1-9        grid, labels, outline, crosshair, texts   G L O X T
 *   reset                R         fill (s: "axial", "sagittal", "coronal" or "")  Escape
 *   move (s: "left", "right", "up", "down")  arrows       slice (i)  Page Up, Page Down
 *   first, last          Home, End zoom (d: factor)  + -  channel (i: steps)
 *   neurological, nose-right, linear (toggles)            lut (s: "grey", "hot")
 */

static TessScene *
scene_of (TessCanvas *self)
{
  return self->study ? tess_study_get_scene (self->study) : NULL;
}

static TessLayer *
active_image (TessCanvas *self)
{
  TessLayer *layer = self->study ? tess_study_get_active (self->study) : NULL;

  if (layer && layer->lut == TESS_LUT_LABELS)
    layer = tess_scene_main (scene_of (self));
  return layer && layer->lut != TESS_LUT_LABELS ? layer : NULL;
}

static gboolean
toggled (GSimpleAction *action)
{
  g_autoptr (GVariant) state = g_action_get_state (G_ACTION (action));
  gboolean on = !g_variant_get_boolean (state);

  g_simple_action_set_state (action, g_variant_new_boolean (on));
  return on;
}

static void
auto_window_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  TessLayer *layer = active_image (self);
  double lower, upper;

  if (!layer)
    return;
  tess_study_get_auto_window (self->study, layer, &lower, &upper);
  tess_study_set_window (self->study, layer, lower, upper);
}

static void
preset_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  if (self->study)
    tess_preset_apply (self->study, active_image (self), (guint)(g_variant_get_int32 (parameter) - 1));
}

static void
grid_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  gint64 patch[3], stride[3];
  gboolean shown;

  if (!self->study || !tess_study_get_has_image (self->study))
    return;
  shown = tess_study_get_grid (self->study, patch, stride);
  tess_study_set_grid (self->study, !shown, patch, stride);
}

/* Shows all label layers, or hides them when one is seen. */
static void
labels_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  GPtrArray *layers = scene_of (self) ? scene_of (self)->layers : NULL;
  gboolean any = FALSE;

  for (int pass = 0; layers && pass < 2; pass++)
    for (guint i = 0; i < layers->len; i++) {
      TessLayer *layer = g_ptr_array_index (layers, i);

      if (layer->lut != TESS_LUT_LABELS)
        continue;
      if (pass == 0)
        any = any || layer->visible;
      else
        layer->visible = !any;
    }
  if (self->study)
    tess_study_emit_changed (self->study);
}

static void
outline_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  gboolean on;

  if (!self->study)
    return;
  on = toggled (action);
  for (guint i = 0; i < scene_of (self)->layers->len; i++)
    ((TessLayer *)g_ptr_array_index (scene_of (self)->layers, i))->outline = on;
  tess_study_emit_changed (self->study);
}

static void
crosshair_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  self->show_crosshair = toggled (action);
  tess_canvas_redraw_overlay (self);
}

static void
texts_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  self->show_text = toggled (action);
  tess_canvas_redraw_overlay (self);
}

static void
neurological_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  if (!self->study)
    return;
  scene_of (self)->neurological = toggled (action);
  tess_study_emit_changed (self->study);
}

static void
nose_right_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  if (!self->study)
    return;
  scene_of (self)->sagittal_nose_right = toggled (action);
  tess_study_emit_changed (self->study);
}

static void
linear_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  TessLayer *layer = active_image (self);

  if (!layer)
    return;
  layer->linear = toggled (action);
  tess_study_emit_changed (self->study);
}

static void
lut_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  TessLayer *layer = active_image (self);

  if (!layer)
    return;
  layer->lut = g_strcmp0 (g_variant_get_string (parameter, NULL), "hot") == 0 ? TESS_LUT_HOT : TESS_LUT_GREY;
  tess_study_emit_changed (self->study);
}

/* The whole view: zoom and pan, and the crosshair in the middle. */
static void
reset_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  tess_canvas_reset_view (self);
  if (self->study)
    tess_study_reset_cursor (self->study);
}

static void
fill_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  static const char *const names[] = {"axial", "sagittal", "coronal"};
  const char *name = g_variant_get_string (parameter, NULL);
  int plane = -1;

  for (int i = 0; i < TESS_N_PLANES; i++)
    if (g_str_equal (name, names[i]))
      plane = i;
  tess_canvas_set_fill (data, plane);
}

static void
escape_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  if (!tess_canvas_cancel_drag (data))
    tess_canvas_set_fill (data, -1);
}

/* A voxel along the screen: the plane whose normal runs that way scrolls. */
static void
move_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  static const int along[TESS_N_PLANES][2] = {
      [TESS_PLANE_AXIAL] = {TESS_PLANE_SAGITTAL, TESS_PLANE_CORONAL}, /* across, down */
      [TESS_PLANE_SAGITTAL] = {TESS_PLANE_CORONAL, TESS_PLANE_AXIAL},
      [TESS_PLANE_CORONAL] = {TESS_PLANE_SAGITTAL, TESS_PLANE_AXIAL},
  };
  TessCanvas *self = data;
  const char *way = g_variant_get_string (parameter, NULL);
  gboolean vertical = g_str_equal (way, "up") || g_str_equal (way, "down");
  double right[3], down[3], normal[3], other_right[3], other_down[3], dot = 0.0, sign;
  int plane = along[self->plane][vertical ? 1 : 0];

  if (!self->study)
    return;
  sign = g_str_equal (way, "right") || g_str_equal (way, "down") ? 1.0 : -1.0;
  tess_pane_axes (scene_of (self), (TessPlane)self->plane, right, down, normal);
  tess_pane_axes (scene_of (self), (TessPlane)plane, other_right, other_down, normal);
  for (int a = 0; a < 3; a++)
    dot += (vertical ? down : right)[a] * normal[a];
  tess_study_scroll (self->study, plane, dot * sign > 0.0 ? 1 : -1);
}

static void
slice_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;

  if (self->study)
    tess_study_scroll (self->study, self->plane, g_variant_get_int32 (parameter));
}

/* To slice 1 or the last: which end that is depends on how the scan is stored. */
static void
to_end (TessCanvas *self, gboolean last)
{
  gint64 n;

  if (!self->study || tess_pane_slice (scene_of (self), (TessPlane)self->plane, &n) == 0 || n < 2)
    return;
  tess_study_scroll (self->study, self->plane, n);
  if ((tess_pane_slice (scene_of (self), (TessPlane)self->plane, &n) == n) != last)
    tess_study_scroll (self->study, self->plane, -n);
}

static void
first_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  to_end (data, FALSE);
}

static void
last_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  to_end (data, TRUE);
}

static void
zoom_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  double scale = gtk_widget_get_scale_factor (GTK_WIDGET (self)), x, y;
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);

  for (guint i = 0; scene_of (self) && i < n; i++)
    if ((int)panes[i].plane == self->plane || n == 1) {
      tess_pane_from_world (&panes[i], scene_of (self), scene_of (self)->cursor, &x, &y);
      tess_canvas_zoom_at (self, &panes[i], g_variant_get_double (parameter), x / scale, y / scale);
    }
}

static void
channel_cb (GSimpleAction *action, GVariant *parameter, gpointer data)
{
  TessCanvas *self = data;
  TessLayer *layer = active_image (self);

  if (layer)
    tess_study_set_channel (self->study, layer, layer->channel + g_variant_get_int32 (parameter));
}

static const GActionEntry entries[] = {
    {"auto-window", auto_window_cb},
    {"preset", preset_cb, "i"},
    {"grid", grid_cb, NULL, "false"},
    {"labels", labels_cb, NULL, "true"},
    {"outline", outline_cb, NULL, "true"},
    {"crosshair", crosshair_cb, NULL, "true"},
    {"texts", texts_cb, NULL, "true"},
    {"neurological", neurological_cb, NULL, "false"},
    {"nose-right", nose_right_cb, NULL, "false"},
    {"linear", linear_cb, NULL, "true"},
    {"lut", lut_cb, "s", "'grey'"},
    {"reset", reset_cb},
    {"fill", fill_cb, "s", "''"},
    {"escape", escape_cb},
    {"move", move_cb, "s"},
    {"slice", slice_cb, "i"},
    {"first", first_cb},
    {"last", last_cb},
    {"zoom", zoom_cb, "d"},
    {"channel", channel_cb, "i"},
};

static void
set_state (TessCanvas *self, const char *name, GVariant *state)
{
  GAction *action = g_action_map_lookup_action (G_ACTION_MAP (self->actions), name);
  g_autoptr (GVariant) now = g_action_get_state (action), wanted = g_variant_ref_sink (state);

  if (!g_variant_equal (now, wanted))
    g_simple_action_set_state (G_SIMPLE_ACTION (action), wanted);
}

/* States and what can be done now, from the study. */
void
tess_canvas_sync_actions (TessCanvas *self)
{
  static const char *const planes[] = {"axial", "sagittal", "coronal"};
  TessScene *scene = scene_of (self);
  gboolean image = self->study && tess_study_get_has_image (self->study), labels = FALSE, seen = FALSE, outline = FALSE;
  TessLayer *active = active_image (self);

  for (guint i = 0; scene && i < scene->layers->len; i++) {
    const TessLayer *layer = g_ptr_array_index (scene->layers, i);

    if (layer->lut != TESS_LUT_LABELS)
      continue;
    labels = TRUE;
    seen = seen || layer->visible;
    outline = outline || layer->outline;
  }
  for (guint i = 0; i < G_N_ELEMENTS (entries); i++) {
    const char *name = entries[i].name;
    gboolean able = image;

    if (g_str_equal (name, "labels") || g_str_equal (name, "outline"))
      able = labels;
    else if (g_str_equal (name, "auto-window") || g_str_equal (name, "preset") || g_str_equal (name, "linear") ||
             g_str_equal (name, "lut"))
      able = active != NULL;
    else if (g_str_equal (name, "channel"))
      able = active && tess_volume_n_channels (active->volume) > 1;
    g_simple_action_set_enabled (G_SIMPLE_ACTION (g_action_map_lookup_action (G_ACTION_MAP (self->actions), name)),
                                 able);
  }
  set_state (self, "labels", g_variant_new_boolean (seen));
  if (labels)
    set_state (self, "outline", g_variant_new_boolean (outline));
  set_state (self, "grid", g_variant_new_boolean (self->study && tess_study_get_grid (self->study, NULL, NULL)));
  set_state (self, "fill", g_variant_new_string (self->fill >= 0 ? planes[self->fill] : ""));
  if (scene) {
    set_state (self, "neurological", g_variant_new_boolean (scene->neurological));
    set_state (self, "nose-right", g_variant_new_boolean (scene->sagittal_nose_right));
  }
  if (active) {
    set_state (self, "linear", g_variant_new_boolean (active->linear));
    set_state (self, "lut", g_variant_new_string (active->lut == TESS_LUT_HOT ? "hot" : "grey"));
  }
}

void
tess_canvas_init_actions (TessCanvas *self)
{
  self->actions = g_simple_action_group_new ();
  g_action_map_add_action_entries (G_ACTION_MAP (self->actions), entries, G_N_ELEMENTS (entries), self);
  gtk_widget_insert_action_group (GTK_WIDGET (self), "view", G_ACTION_GROUP (self->actions));
  tess_canvas_sync_actions (self);
}

GActionGroup *
tess_canvas_get_actions (TessCanvas *self)
{
  return G_ACTION_GROUP (self->actions);
}

/* Bindings are looked up by key and layout, so that G works on a keyboard that writes Hangul. */
void
tess_canvas_bind_keys (GtkWidgetClass *klass)
{
  static const struct {
    guint key;
    const char *action;
  } plain[] = {
      {GDK_KEY_0, "view.auto-window"}, {GDK_KEY_KP_0, "view.auto-window"}, {GDK_KEY_g, "view.grid"},
      {GDK_KEY_l, "view.labels"},      {GDK_KEY_o, "view.outline"},        {GDK_KEY_x, "view.crosshair"},
      {GDK_KEY_t, "view.texts"},       {GDK_KEY_r, "view.reset"},          {GDK_KEY_Escape, "view.escape"},
      {GDK_KEY_Home, "view.first"},    {GDK_KEY_End, "view.last"},
  };
  static const struct {
    guint key;
    const char *way;
  } moves[] = {{GDK_KEY_Left, "left"}, {GDK_KEY_Right, "right"}, {GDK_KEY_Up, "up"}, {GDK_KEY_Down, "down"}};

  for (guint i = 0; i < G_N_ELEMENTS (plain); i++)
    gtk_widget_class_add_binding_action (klass, plain[i].key, 0, plain[i].action, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (moves); i++)
    gtk_widget_class_add_binding_action (klass, moves[i].key, 0, "view.move", "s", moves[i].way);
  for (guint i = 1; i <= TESS_N_PRESETS; i++) {
    gtk_widget_class_add_binding_action (klass, GDK_KEY_0 + i, 0, "view.preset", "i", (gint32)i);
    gtk_widget_class_add_binding_action (klass, GDK_KEY_KP_0 + i, 0, "view.preset", "i", (gint32)i);
  }
  gtk_widget_class_add_binding_action (klass, GDK_KEY_Page_Up, 0, "view.slice", "i", (gint32)1);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_Page_Down, 0, "view.slice", "i", (gint32)-1);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_plus, 0, "view.zoom", "d", 1.25);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_equal, 0, "view.zoom", "d", 1.25);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_KP_Add, 0, "view.zoom", "d", 1.25);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_minus, 0, "view.zoom", "d", 0.8);
  gtk_widget_class_add_binding_action (klass, GDK_KEY_KP_Subtract, 0, "view.zoom", "d", 0.8);
}
