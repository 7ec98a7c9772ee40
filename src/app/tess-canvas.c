#include "tess-canvas-private.h"

#include <glib/gi18n-lib.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROP_STUDY = 1, PROP_STATUS, PROP_GL_ERROR, PROP_HANDS, PROP_SWAP_WINDOW_DRAG, N_PROPS };

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
      .findings = TRUE,
      .scale = gtk_widget_get_scale_factor (GTK_WIDGET (self)),
      .texts = self->texts,
  };
  overlay->grid = tess_study_get_grid (self->study, overlay->patch, NULL) &&
                  tess_study_peek_grid (self->study, overlay->n_starts, overlay->starts, &n, &coverage);
}

/* The GL area keeps its picture until queue_render; several calls before the next frame draw once. */
void
tess_canvas_redraw (TessCanvas *self)
{
  self->picture_old = TRUE;
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

static guint64
hash_grid (const TessOverlay *overlay)
{
  guint64 hash = 1469598103934665603u;

  for (int a = 0; a < 3; a++) {
    hash = (hash ^ (guint64)overlay->patch[a]) * 1099511628211u;
    for (guint i = 0; i < overlay->n_starts[a]; i++)
      hash = (hash ^ (guint64)overlay->starts[a][i]) * 1099511628211u;
  }
  return hash;
}

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
  memcpy (key->basis, scene->basis, sizeof key->basis);
  key->layer = layer ? layer->volume : NULL;
  key->neurological = scene->neurological;
  key->nose_right = scene->sagittal_nose_right;
  key->text = overlay->text;
  key->crosshair = overlay->crosshair;
  key->scale = (int)overlay->scale;
  key->findings = overlay->findings ? scene->findings : NULL;
  if (overlay->crosshair || overlay->grid || key->findings) {
    memcpy (key->pane.pan, pane->pan, sizeof pane->pan);
    memcpy (key->cursor, scene->cursor, sizeof key->cursor);
  }
  if (overlay->grid)
    key->grid = hash_grid (overlay);
  if (overlay->text && layer) {
    key->slice = tess_pane_slice (scene, pane->plane, &key->n_slices);
    key->lower = layer->lower;
    key->upper = layer->upper;
  }
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
snapshot_part (TessCanvas *self, GtkSnapshot *snapshot, const TessPane *pane, const TessOverlay *overlay,
               TessOverlayPart part)
{
  GskRenderNode **node = &self->nodes[pane->plane][part];
  TessOverlayKey *kept = &self->keys[pane->plane][part], key;

  fill_key (self, pane, overlay, &key);
  if (!*node || memcmp (&key, kept, sizeof key) != 0) {
    g_clear_pointer (node, gsk_render_node_unref);
    *node = draw_overlay (self, pane, overlay);
    *kept = key;
  }
  gtk_snapshot_append_node (snapshot, *node);
}

static void
snapshot_overlays (TessCanvas *self, GtkSnapshot *snapshot)
{
  float scale = (float)gtk_widget_get_scale_factor (GTK_WIDGET (self));
  TessPane panes[TESS_N_PLANES];
  guint n = tess_canvas_panes (self, panes);
  TessOverlay lines, texts;

  tess_canvas_overlay (self, &lines);
  texts = lines;
  lines.text = texts.crosshair = texts.grid = texts.findings = FALSE;
  gtk_snapshot_save (snapshot);
  gtk_snapshot_scale (snapshot, 1.0f / scale, 1.0f / scale);
  for (guint i = 0; i < n; i++) {
    if (panes[i].width <= 0 || panes[i].height <= 0)
      continue;
    if (lines.crosshair || lines.grid || (lines.findings && tess_study_get_scene (self->study)->findings))
      snapshot_part (self, snapshot, &panes[i], &lines, TESS_PART_LINES);
    if (texts.text)
      snapshot_part (self, snapshot, &panes[i], &texts, TESS_PART_TEXTS);
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
    tess_canvas_snapshot_picture (self, snapshot);
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
    if (p->width > 0 && p->height > 0 && (self->mode == TESS_DRAG_NONE || (int)p->plane != self->plane)) {
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
  tess_canvas_retry_gl (self);
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
  case PROP_HANDS:
    g_value_set_string (value, tess_hands_name (self->hands));
    break;
  case PROP_SWAP_WINDOW_DRAG:
    g_value_set_boolean (value, self->swap_window_drag);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_canvas_set_property (GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
  TessCanvas *self = TESS_CANVAS (object);

  switch (id) {
  case PROP_STUDY:
    tess_canvas_set_study (self, g_value_get_object (value));
    break;
  case PROP_HANDS:
    if (self->hands == tess_hands_from_name (g_value_get_string (value)))
      break;
    self->hands = tess_hands_from_name (g_value_get_string (value));
    g_object_notify_by_pspec (object, pspec);
    break;
  case PROP_SWAP_WINDOW_DRAG:
    if (self->swap_window_drag == g_value_get_boolean (value))
      break;
    self->swap_window_drag = g_value_get_boolean (value);
    g_object_notify_by_pspec (object, pspec);
    break;
  default:
    G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, pspec);
  }
}

static void
tess_canvas_dispose (GObject *object)
{
  TessCanvas *self = TESS_CANVAS (object);

  g_clear_handle_id (&self->describe_timer, g_source_remove);
  tess_canvas_clear_gl (self);
  g_clear_object (&self->study_signals);
  g_clear_object (&self->study);
  for (int i = 0; i < TESS_N_PLANES; i++)
    for (int part = 0; part < TESS_N_PARTS; part++)
      g_clear_pointer (&self->nodes[i][part], gsk_render_node_unref);
  g_clear_pointer (&self->texts, g_hash_table_unref);
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
  g_free (self->draw_error);
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
  properties[PROP_HANDS] = g_param_spec_string ("hands", NULL, NULL, "radiology", G_PARAM_READWRITE | flags);
  properties[PROP_SWAP_WINDOW_DRAG] =
      g_param_spec_boolean ("swap-window-drag", NULL, NULL, FALSE, G_PARAM_READWRITE | flags);
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

  self->texts = tess_overlay_texts_new ();
  tess_canvas_init_gl (self);
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
