#include "tess-canvas-private.h"

#include <adwaita.h>
#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROP_STUDY = 1, PROP_STATUS, PROP_GL_ERROR, N_PROPS };

static GParamSpec *properties[N_PROPS];
static guint pointer_moved;

G_DEFINE_FINAL_TYPE (TessCanvas, tess_canvas, GTK_TYPE_WIDGET)

guint
tess_canvas_panes (TessCanvas *self, TessPane panes[TESS_N_PLANES])
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessScene *scene = self->study ? tess_study_get_scene (self->study) : NULL;
  guint n = tess_pane_layout (gtk_widget_get_width (GTK_WIDGET (self)) * scale,
                              gtk_widget_get_height (GTK_WIDGET (self)) * scale, self->fill, panes);

  for (guint i = 0; scene && i < n; i++) {
    const TessPaneView *view = &self->views[panes[i].plane];

    tess_pane_fit (&panes[i], scene);
    panes[i].zoom *= view->factor;
    panes[i].pan[0] = view->pan[0];
    panes[i].pan[1] = view->pan[1];
  }
  return n;
}

gboolean
tess_canvas_pane_at (TessCanvas *self, double x, double y, TessPane *pane)
{
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));

  for (guint i = 0; i < n; i++) {
    const TessPane *p = &panes[i];

    if (x * scale >= p->x && x * scale < p->x + p->width && y * scale >= p->y && y * scale < p->y + p->height) {
      *pane = *p;
      return TRUE;
    }
  }
  return FALSE;
}

gboolean
tess_canvas_world_at (TessCanvas *self, double x, double y, double world[3])
{
  int scale = gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessPane pane;

  if (!self->study || !tess_study_get_has_image (self->study) || !tess_canvas_pane_at (self, x, y, &pane))
    return FALSE;
  tess_pane_to_world (&pane, tess_study_get_scene (self->study), x * scale, y * scale, world);
  return TRUE;
}

/* The overlay of all panes; the starts of the patch grid are the study's. */
void
tess_canvas_overlay (TessCanvas *self, TessOverlay *overlay)
{
  guint64 n;
  double coverage;

  *overlay = (TessOverlay){
      .text = self->show_text,
      .crosshair = self->show_crosshair,
      .scale = gtk_widget_get_scale_factor (GTK_WIDGET (self)),
  };
  overlay->grid = tess_study_get_grid (self->study, overlay->patch, NULL) &&
                  tess_study_peek_grid (self->study, overlay->n_starts, overlay->starts, &n, &coverage);
}

/* The GL area keeps its picture until queue_render; several calls before the next frame draw once. */
void
tess_canvas_redraw (TessCanvas *self)
{
  if (self->renderer)
    gtk_gl_area_queue_render (GTK_GL_AREA (self->area));
  tess_canvas_redraw_overlay (self);
}

void
tess_canvas_redraw_overlay (TessCanvas *self)
{
  gtk_widget_queue_draw (GTK_WIDGET (self));
  tess_canvas_queue_status (self);
}

static void
set_gl_error (TessCanvas *self, const char *sentence)
{
  if (g_strcmp0 (self->gl_error, sentence) == 0)
    return;
  g_free (self->gl_error);
  self->gl_error = g_strdup (sentence);
  adw_status_page_set_description (ADW_STATUS_PAGE (self->message), sentence);
  gtk_widget_set_visible (self->message, sentence != NULL);
  gtk_widget_set_child_visible (self->area, sentence == NULL);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_GL_ERROR]);
  gtk_widget_queue_allocate (GTK_WIDGET (self));
}

/* GL --------------------------------------------------------------------------------------------------------------- */

static void
area_realize_cb (TessCanvas *self)
{
  g_autoptr (GError) error = NULL;
  const GError *gtk_error;

  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  gtk_error = gtk_gl_area_get_error (GTK_GL_AREA (self->area));
  if (gtk_error) {
    g_autofree char *sentence = g_strdup_printf (
        _ ("OpenGL 3.3 does not work here (%s); update the graphics driver or Mesa"), gtk_error->message);

    set_gl_error (self, sentence);
    return;
  }
  self->renderer = tess_renderer_new (&error);
  set_gl_error (self, error ? error->message : NULL);
}

static void
area_unrealize_cb (TessCanvas *self)
{
  if (!self->renderer)
    return;
  gtk_gl_area_make_current (GTK_GL_AREA (self->area));
  if (!gtk_gl_area_get_error (GTK_GL_AREA (self->area)))
    tess_renderer_free (self->renderer);
  self->renderer = NULL;
}

static gboolean
area_render_cb (TessCanvas *self)
{
  int scale = gtk_widget_get_scale_factor (self->area);
  TessPane panes[TESS_N_PLANES];
  g_autoptr (GError) error = NULL;
  guint n = tess_canvas_panes (self, panes);

  if (self->renderer && self->study &&
      !tess_renderer_draw (self->renderer, tess_study_get_scene (self->study), panes, n,
                           gtk_widget_get_width (self->area) * scale, gtk_widget_get_height (self->area) * scale,
                           &error))
    set_gl_error (self, error->message);
  return TRUE;
}

/* For benches: TESSERA_FRAME_LOG=FILE takes a line a painted frame, the monotonic time in microseconds. */
static void
after_paint_cb (TessCanvas *self)
{
  if (!self->painted)
    return;
  self->painted = FALSE;
  fprintf (self->frame_log, "%" G_GINT64_FORMAT "\n", g_get_monotonic_time ());
  fflush (self->frame_log);
}

static void
tess_canvas_realize (GtkWidget *widget)
{
  TessCanvas *self = TESS_CANVAS (widget);
  const char *path = g_getenv ("TESSERA_FRAME_LOG");

  GTK_WIDGET_CLASS (tess_canvas_parent_class)->realize (widget);
  if (path && (self->frame_log = fopen (path, "a")))
    self->after_paint = g_signal_connect_swapped (gtk_widget_get_frame_clock (widget), "after-paint",
                                                  G_CALLBACK (after_paint_cb), self);
}

static void
tess_canvas_unrealize (GtkWidget *widget)
{
  TessCanvas *self = TESS_CANVAS (widget);

  if (self->frame_log) {
    g_clear_signal_handler (&self->after_paint, gtk_widget_get_frame_clock (widget));
    fclose (self->frame_log);
    self->frame_log = NULL;
  }
  GTK_WIDGET_CLASS (tess_canvas_parent_class)->unrealize (widget);
}

/* Overlays --------------------------------------------------------------------------------------------------------- */

static void
fill_key (TessCanvas *self, const TessPane *pane, const TessOverlay *overlay, TessOverlayKey *key)
{
  TessScene *scene = tess_study_get_scene (self->study);
  TessLayer *layer = tess_scene_main (scene);

  memset (key, 0, sizeof *key);
  key->pane.plane = pane->plane;
  key->pane.x = pane->x;
  key->pane.y = pane->y;
  key->pane.width = pane->width;
  key->pane.height = pane->height;
  key->pane.zoom = pane->zoom;
  memcpy (key->pane.pan, pane->pan, sizeof pane->pan);
  memcpy (key->cursor, scene->cursor, sizeof key->cursor);
  memcpy (key->basis, scene->basis, sizeof key->basis);
  if (layer) {
    key->layer = layer->volume;
    key->lower = layer->lower;
    key->upper = layer->upper;
  }
  if (overlay->grid) {
    key->grid = 1469598103934665603u;
    for (int a = 0; a < 3; a++) {
      key->grid = (key->grid ^ (guint64)overlay->patch[a]) * 1099511628211u;
      for (guint i = 0; i < overlay->n_starts[a]; i++)
        key->grid = (key->grid ^ (guint64)overlay->starts[a][i]) * 1099511628211u;
    }
  }
  key->neurological = scene->neurological;
  key->nose_right = scene->sagittal_nose_right;
  key->text = overlay->text;
  key->crosshair = overlay->crosshair;
  key->scale = (int)overlay->scale;
}

static GskRenderNode *
draw_overlay (TessCanvas *self, const TessPane *pane, const TessOverlay *overlay)
{
  graphene_rect_t bounds = GRAPHENE_RECT_INIT ((float)pane->x, (float)pane->y, (float)pane->width, (float)pane->height);
  GskRenderNode *node = gsk_cairo_node_new (&bounds);
  cairo_t *cr = gsk_cairo_node_get_draw_context (node);

  tess_overlay_draw (overlay, cr, tess_study_get_scene (self->study), pane, 1);
  cairo_destroy (cr);
  return node;
}

static void
snapshot_overlays (TessCanvas *self, GtkSnapshot *snapshot)
{
  float scale = (float)gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);
  TessOverlay overlay;

  tess_canvas_overlay (self, &overlay);
  gtk_snapshot_save (snapshot);
  gtk_snapshot_scale (snapshot, 1.0f / scale, 1.0f / scale);
  for (guint i = 0; i < n; i++) {
    TessPlane plane = panes[i].plane;
    TessOverlayKey key;

    if (panes[i].width <= 0 || panes[i].height <= 0)
      continue;
    fill_key (self, &panes[i], &overlay, &key);
    if (!self->nodes[plane] || memcmp (&key, &self->keys[plane], sizeof key) != 0) {
      g_clear_pointer (&self->nodes[plane], gsk_render_node_unref);
      self->nodes[plane] = draw_overlay (self, &panes[i], &overlay);
      self->keys[plane] = key;
    }
    gtk_snapshot_append_node (snapshot, self->nodes[plane]);
  }
  gtk_snapshot_restore (snapshot);
}

/* Numbers at the pointer while the window is dragged; the box while one is drawn. */
static void
snapshot_hands (TessCanvas *self, GtkSnapshot *snapshot)
{
  static const GdkRGBA line = {0.38f, 0.69f, 0.94f, 1.0f}, dark = {0.0f, 0.0f, 0.0f, 0.75f}, white = {1, 1, 1, 1};
  TessLayer *layer = tess_study_get_active (self->study);

  if (!self->moved || !layer)
    return;
  if (self->mode == TESS_DRAG_BOX) {
    float x = (float)fmin (self->start[0], self->pointer[0]), y = (float)fmin (self->start[1], self->pointer[1]);
    GskRoundedRect box;

    gsk_rounded_rect_init_from_rect (&box,
                                     &GRAPHENE_RECT_INIT (x, y, (float)fabs (self->start[0] - self->pointer[0]),
                                                          (float)fabs (self->start[1] - self->pointer[1])),
                                     0);
    gtk_snapshot_append_border (snapshot, &box, (float[4]){1, 1, 1, 1}, (GdkRGBA[4]){line, line, line, line});
  } else if (self->mode == TESS_DRAG_WINDOW) {
    g_autofree char *text =
        g_strdup_printf ("W %.4g  L %.4g", layer->upper - layer->lower, 0.5 * (layer->upper + layer->lower));
    g_autoptr (PangoLayout) layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), text);
    int width, height;
    float x, y;

    pango_layout_get_pixel_size (layout, &width, &height);
    x = (float)CLAMP (self->pointer[0] + 18.0, 2.0, gtk_widget_get_width (GTK_WIDGET (self)) - width - 10.0);
    y = (float)CLAMP (self->pointer[1] + 12.0, 2.0, gtk_widget_get_height (GTK_WIDGET (self)) - height - 6.0);
    gtk_snapshot_append_color (snapshot, &dark, &GRAPHENE_RECT_INIT (x, y, (float)width + 8.0f, (float)height + 4.0f));
    gtk_snapshot_save (snapshot);
    gtk_snapshot_translate (snapshot, &GRAPHENE_POINT_INIT (x + 4.0f, y + 2.0f));
    gtk_snapshot_append_layout (snapshot, layout, &white);
    gtk_snapshot_restore (snapshot);
  }
}

static void
tess_canvas_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  static const GdkRGBA black = {0.0f, 0.0f, 0.0f, 1.0f};
  TessCanvas *self = TESS_CANVAS (widget);
  float width = (float)gtk_widget_get_width (widget), height = (float)gtk_widget_get_height (widget);

  gtk_snapshot_append_color (snapshot, &black, &GRAPHENE_RECT_INIT (0, 0, width, height));
  gtk_snapshot_push_clip (snapshot, &GRAPHENE_RECT_INIT (0, 0, width, height));
  if (self->gl_error) {
    gtk_widget_snapshot_child (widget, self->message, snapshot);
  } else {
    gtk_widget_snapshot_child (widget, self->area, snapshot);
    if (self->study && tess_study_get_has_image (self->study)) {
      snapshot_overlays (self, snapshot);
      snapshot_hands (self, snapshot);
    }
  }
  gtk_snapshot_pop (snapshot);
  self->painted = TRUE;
}

static void
tess_canvas_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                     int *minimum_baseline, int *natural_baseline)
{
  *minimum = 240;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 720 : 560;
}

static void
tess_canvas_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  TessCanvas *self = TESS_CANVAS (widget);
  int minimum;

  gtk_widget_measure (self->message, GTK_ORIENTATION_VERTICAL, width, &minimum, NULL, NULL, NULL);
  gtk_widget_size_allocate (self->area, &(GtkAllocation){0, 0, width, height}, -1);
  gtk_widget_size_allocate (self->message, &(GtkAllocation){0, 0, width, MAX (height, minimum)}, -1);
  tess_canvas_redraw (self);
}

/* Status ----------------------------------------------------------------------------------------------------------- */

static void
append_layer (TessCanvas *self, GString *text, TessLayer *layer, const double world[3])
{
  double value = tess_layer_value_at (layer, world);

  if (isnan (value))
    return;
  if (layer->lut != TESS_LUT_LABELS) {
    g_string_append_printf (text, "   %s %.5g", layer->name, value);
  } else if (value != 0.0) {
    const TessLabel *label = tess_label_table_find (layer->labels, (gint64)value);

    if (!label || g_hash_table_contains (layer->hidden, GINT_TO_POINTER ((gint32)label->value)))
      g_string_append_printf (text, _ ("   label %g"), value);
    else
      g_string_append_printf (text, _ ("   label %g %s"), value, label->name);
  }
}

/**
 * tess_canvas_describe:
 *
 * The line for the status bar: voxel, position, value and label under the pointer, or under the crosshair when the
 * pointer is elsewhere; then window and zoom (device pixels a voxel).
 */
char *
tess_canvas_describe (TessCanvas *self)
{
  GString *text = g_string_new (NULL);
  TessScene *scene = self->study ? tess_study_get_scene (self->study) : NULL;
  TessLayer *layer = scene ? tess_scene_main (scene) : NULL, *active;
  TessPane panes[TESS_N_PLANES];
  double world[3], p[3], half[3], spacing[3];
  g_autofree char *position = NULL;
  gboolean inside = TRUE;
  TessAffine inverse;
  guint n;

  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return g_string_free (text, FALSE);
  if (!self->pointer_inside || !tess_canvas_world_at (self, self->pointer[0], self->pointer[1], world))
    memcpy (world, scene->cursor, sizeof world);
  tess_affine_apply (&inverse, world, p);
  tess_layer_rounding (layer, half);
  for (int a = 0; a < 3; a++) {
    p[a] = floor (p[a] + half[a]);
    inside = inside && p[a] >= 0.0 && p[a] < (double)tess_volume_dim (layer->volume)[a];
  }
  position = tess_format_position (world);
  if (inside) /* elsewhere there is no voxel, only a place */
    g_string_append_printf (text, "%.0f, %.0f, %.0f   ", p[0], p[1], p[2]);
  g_string_append (text, position);
  for (guint i = 0; i < scene->layers->len; i++) {
    TessLayer *l = g_ptr_array_index (scene->layers, i);

    if (l->visible)
      append_layer (self, text, l, world);
  }
  active = tess_study_get_active (self->study);
  active = active && active->lut != TESS_LUT_LABELS ? active : layer;
  if (active->lut != TESS_LUT_LABELS)
    g_string_append_printf (text, "      W %.4g L %.4g", active->upper - active->lower,
                            0.5 * (active->upper + active->lower));
  tess_affine_spacing (tess_volume_affine (layer->volume), spacing);
  n = tess_canvas_panes (self, panes);
  for (guint i = 0; i < n; i++)
    if ((int)panes[i].plane == self->plane || n == 1)
      g_string_append_printf (text, _ ("   zoom %.1fx"),
                              panes[i].zoom * fmin (spacing[0], fmin (spacing[1], spacing[2])));
  return g_string_free (text, FALSE);
}

static gboolean
describe_cb (gpointer data)
{
  TessCanvas *self = data;

  self->describe_timer = 0;
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION,
                                  self->status ? self->status : "", -1);
  return G_SOURCE_REMOVE;
}

static gboolean
status_cb (GtkWidget *widget, GdkFrameClock *clock, gpointer data)
{
  TessCanvas *self = TESS_CANVAS (widget);
  g_autofree char *status = tess_canvas_describe (self);

  self->status_tick = 0;
  tess_canvas_sync_actions (self);
  if (g_strcmp0 (status, self->status) != 0) {
    g_free (self->status);
    self->status = g_steal_pointer (&status);
    g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STATUS]);
    if (!self->describe_timer) /* screen readers need no sixty a second */
      self->describe_timer = g_timeout_add (100, describe_cb, self);
  }
  return G_SOURCE_REMOVE;
}

/* Once a frame, whatever happens in between. */
void
tess_canvas_queue_status (TessCanvas *self)
{
  if (!self->status_tick)
    self->status_tick = gtk_widget_add_tick_callback (GTK_WIDGET (self), status_cb, NULL, NULL);
}

/* The study -------------------------------------------------------------------------------------------------------- */

/* When the point moved within a plane and left what its pane shows, the pane follows; scrolling moves it only along
 * the normal and leaves the view alone. */
static void
follow_cursor (TessCanvas *self)
{
  TessScene *scene = tess_study_get_scene (self->study);
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);

  for (guint i = 0; i < n && tess_scene_main (scene); i++) {
    const TessPane *p = &panes[i];
    TessPaneView *view = &self->views[p->plane];
    double right[3], down[3], normal[3], at[2] = {0, 0}, x, y;

    tess_pane_axes (scene, p->plane, right, down, normal);
    for (int a = 0; a < 3; a++) {
      at[0] += scene->cursor[a] * right[a];
      at[1] += scene->cursor[a] * down[a];
    }
    if (fabs (at[0] - self->seen[p->plane][0]) < 1e-6 && fabs (at[1] - self->seen[p->plane][1]) < 1e-6)
      continue;
    memcpy (self->seen[p->plane], at, sizeof at);
    tess_pane_from_world (p, scene, scene->cursor, &x, &y);
    if (self->mode == TESS_DRAG_NONE || (int)p->plane != self->plane) {
      if (x < p->x || x >= p->x + p->width)
        view->pan[0] += (x - p->x - 0.5 * p->width) / p->zoom;
      if (y < p->y || y >= p->y + p->height)
        view->pan[1] += (y - p->y - 0.5 * p->height) / p->zoom;
    }
  }
}

static void
layers_changed_cb (TessCanvas *self)
{
  tess_canvas_sync_actions (self);
}

void
tess_canvas_reset_view (TessCanvas *self)
{
  for (int i = 0; i < TESS_N_PLANES; i++)
    self->views[i] = (TessPaneView){.factor = 1.0};
  tess_canvas_redraw (self);
}

static void
title_cb (TessCanvas *self)
{
  tess_canvas_reset_view (self); /* another scan */
}

void
tess_canvas_set_fill (TessCanvas *self, int plane)
{
  plane = plane < TESS_N_PLANES ? plane : -1;
  if (plane == self->fill)
    return;
  self->fill = plane;
  if (plane >= 0)
    self->plane = plane;
  tess_canvas_sync_actions (self);
  tess_canvas_redraw (self);
}

void
tess_canvas_set_study (TessCanvas *self, TessStudy *study)
{
  if (!g_set_object (&self->study, study))
    return;
  g_signal_group_set_target (self->study_signals, study);
  tess_canvas_reset_view (self);
  tess_canvas_sync_actions (self);
  g_object_notify_by_pspec (G_OBJECT (self), properties[PROP_STUDY]);
}

TessStudy *
tess_canvas_get_study (TessCanvas *self)
{
  return self->study;
}

const char *
tess_canvas_get_status (TessCanvas *self)
{
  return self->status;
}

const char *
tess_canvas_get_gl_error (TessCanvas *self)
{
  return self->gl_error;
}

/* Class ------------------------------------------------------------------------------------------------------------ */

static void
tess_canvas_get_property (GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
  TessCanvas *self = TESS_CANVAS (object);

  switch (id) {
  case PROP_STUDY:
    g_value_set_object (value, self->study);
    break;
  case PROP_STATUS:
    g_value_set_string (value, self->status);
    break;
  case PROP_GL_ERROR:
    g_value_set_string (value, self->gl_error);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_canvas_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  if (id == PROP_STUDY)
    tess_canvas_set_study (TESS_CANVAS (object), g_value_get_object (value));
  else
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
}

static void
tess_canvas_dispose (GObject *object)
{
  TessCanvas *self = TESS_CANVAS (object);

  g_clear_handle_id (&self->describe_timer, g_source_remove);
  g_clear_object (&self->study_signals);
  g_clear_object (&self->study);
  for (int i = 0; i < TESS_N_PLANES; i++)
    g_clear_pointer (&self->nodes[i], gsk_render_node_unref);
  g_clear_pointer (&self->area, gtk_widget_unparent);
  g_clear_pointer (&self->message, gtk_widget_unparent);
  g_clear_object (&self->actions);
  G_OBJECT_CLASS (tess_canvas_parent_class)->dispose (object);
}

static void
tess_canvas_finalize (GObject *object)
{
  TessCanvas *self = TESS_CANVAS (object);

  g_free (self->gl_error);
  g_free (self->status);
  G_OBJECT_CLASS (tess_canvas_parent_class)->finalize (object);
}

static void
tess_canvas_class_init (TessCanvasClass *klass)
{
  GObjectClass *object_class = G_OBJECT_CLASS (klass);
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  GParamFlags flags = G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

  object_class->get_property = tess_canvas_get_property;
  object_class->set_property = tess_canvas_set_property;
  object_class->dispose = tess_canvas_dispose;
  object_class->finalize = tess_canvas_finalize;
  widget_class->realize = tess_canvas_realize;
  widget_class->unrealize = tess_canvas_unrealize;
  widget_class->snapshot = tess_canvas_snapshot;
  widget_class->measure = tess_canvas_measure;
  widget_class->size_allocate = tess_canvas_size_allocate;
  properties[PROP_STUDY] = g_param_spec_object ("study", NULL, NULL, TESS_TYPE_STUDY, G_PARAM_READWRITE | flags);
  properties[PROP_STATUS] = g_param_spec_string ("status", NULL, NULL, NULL, G_PARAM_READABLE | flags);
  properties[PROP_GL_ERROR] = g_param_spec_string ("gl-error", NULL, NULL, NULL, G_PARAM_READABLE | flags);
  g_object_class_install_properties (object_class, N_PROPS, properties);
  pointer_moved = g_signal_new ("pointer-moved", TESS_TYPE_CANVAS, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL, G_TYPE_NONE,
                                4, G_TYPE_DOUBLE, G_TYPE_DOUBLE, G_TYPE_DOUBLE, G_TYPE_BOOLEAN);
  gtk_widget_class_set_css_name (widget_class, "canvas");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
  tess_canvas_bind_keys (widget_class);
}

static void
tess_canvas_init (TessCanvas *self)
{
  self->fill = -1;
  self->show_crosshair = self->show_text = TRUE;
  for (int i = 0; i < TESS_N_PLANES; i++)
    self->views[i].factor = 1.0;
  gtk_widget_set_focusable (GTK_WIDGET (self), TRUE);
  gtk_widget_set_hexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_vexpand (GTK_WIDGET (self), TRUE);
  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, _ ("Canvas"), -1);

  self->area = gtk_gl_area_new ();
  gtk_gl_area_set_required_version (GTK_GL_AREA (self->area), 3, 3);
  gtk_gl_area_set_use_es (GTK_GL_AREA (self->area), FALSE);
  gtk_gl_area_set_auto_render (GTK_GL_AREA (self->area), FALSE);
  gtk_widget_set_can_target (self->area, FALSE);
  g_signal_connect_object (self->area, "realize", G_CALLBACK (area_realize_cb), self,
                           G_CONNECT_SWAPPED | G_CONNECT_AFTER);
  g_signal_connect_object (self->area, "unrealize", G_CALLBACK (area_unrealize_cb), self, G_CONNECT_SWAPPED);
  g_signal_connect_object (self->area, "render", G_CALLBACK (area_render_cb), self, G_CONNECT_SWAPPED);
  gtk_widget_set_parent (self->area, GTK_WIDGET (self));

  self->message = adw_status_page_new ();
  adw_status_page_set_icon_name (ADW_STATUS_PAGE (self->message), "video-display-symbolic");
  adw_status_page_set_title (ADW_STATUS_PAGE (self->message), _ ("No picture"));
  gtk_widget_add_css_class (self->message, "on-canvas");
  gtk_widget_set_visible (self->message, FALSE);
  gtk_widget_set_parent (self->message, GTK_WIDGET (self));

  self->study_signals = g_signal_group_new (TESS_TYPE_STUDY);
  g_signal_group_connect_swapped (self->study_signals, "cursor-changed", G_CALLBACK (follow_cursor), self);
  g_signal_group_connect_swapped (self->study_signals, "changed", G_CALLBACK (tess_canvas_redraw), self);
  g_signal_group_connect_swapped (self->study_signals, "layers-changed", G_CALLBACK (layers_changed_cb), self);
  g_signal_group_connect_swapped (self->study_signals, "notify::title", G_CALLBACK (title_cb), self);
  tess_canvas_init_actions (self);
  tess_canvas_init_hands (self);
}

GtkWidget *
tess_canvas_new (void)
{
  return g_object_new (TESS_TYPE_CANVAS, NULL);
}

/* Tells who listens where the pointer is; by the hands. */
void
tess_canvas_emit_pointer (TessCanvas *self)
{
  double world[3] = {0, 0, 0};
  gboolean inside = self->pointer_inside && tess_canvas_world_at (self, self->pointer[0], self->pointer[1], world);

  g_signal_emit (self, pointer_moved, 0, world[0], world[1], world[2], inside);
  tess_canvas_queue_status (self);
}
