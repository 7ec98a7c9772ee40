#include "tess-chart-private.h"

#include <adwaita.h>
#include <glib/gi18n-lib.h>
#include <math.h>

G_DEFINE_FINAL_TYPE (TessChart, tess_chart, GTK_TYPE_WIDGET)

static void
series_free (gpointer data)
{
  TessSeries *series = data;

  g_free (series->name);
  g_free (series->y);
  g_free (series);
}

static void
mark_clear (gpointer data)
{
  g_free (((TessChartMark *)data)->sentence);
}

static void
drop_node (TessChart *self)
{
  g_clear_pointer (&self->node, gsk_render_node_unref);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
tess_chart_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                    int *minimum_baseline, int *natural_baseline)
{
  *minimum = orientation == GTK_ORIENTATION_HORIZONTAL ? 200 : 60;
  *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 320 : 84;
}

static void
tess_chart_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  TessChart *self = TESS_CHART (widget);
  int width = gtk_widget_get_width (widget), height = gtk_widget_get_height (widget);
  graphene_rect_t bounds = GRAPHENE_RECT_INIT (0, 0, width, height);

  if (self->node && (self->node_width != width || self->node_height != height))
    g_clear_pointer (&self->node, gsk_render_node_unref);
  if (!self->node) {
    cairo_t *cr;

    self->node = gsk_cairo_node_new (&bounds);
    self->node_width = width;
    self->node_height = height;
    cr = gsk_cairo_node_get_draw_context (self->node);
    tess_chart_draw (self, cr, width, height);
    cairo_destroy (cr);
  }
  gtk_snapshot_append_node (snapshot, self->node);
  if (isfinite (self->cursor) && self->n > 0) {
    cairo_t *cr = gtk_snapshot_append_cairo (snapshot, &bounds);

    tess_chart_draw_cursor (self, cr, width, height);
    cairo_destroy (cr);
  }
  if (self->hover >= 0 && self->hover < (int)self->n) {
    cairo_t *cr = gtk_snapshot_append_cairo (snapshot, &bounds);

    tess_chart_draw_hover (self, cr, width, height);
    cairo_destroy (cr);
  }
}

/* ---- what is under the pointer or the arrow keys ---- */

static void
describe (TessChart *self)
{
  g_autoptr (GString) words = g_string_new (NULL);
  int at = self->hover >= 0 && self->hover < (int)self->n ? self->hover : (int)self->n - 1;

  if (at < 0)
    g_string_append (words, self->message ? self->message : "");
  else
    g_string_append_printf (words, _ ("Epoch %.0f:"), self->x[at]);
  for (guint s = 0; at >= 0 && s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);
    g_autofree char *value = tess_chart_number (series->y[at]);

    g_string_append_printf (words, "%s %s %s", s ? "," : "", series->name, value);
  }
  if (isfinite (self->best) && self->best_text)
    g_string_append_printf (words, ". %s", self->best_text);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_DESCRIPTION, words->str, -1);
}

static void
set_hover (TessChart *self, int hover)
{
  if (self->hover == hover)
    return;
  self->hover = hover;
  describe (self);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

static void
motion_cb (TessChart *self, double x, double y)
{
  int nearest = -1;
  double best = INFINITY;
  TessChartFrame f;

  tess_chart_frame (self, gtk_widget_get_width (GTK_WIDGET (self)), gtk_widget_get_height (GTK_WIDGET (self)), &f);
  for (guint i = 0; x >= f.left - 8.0 && x <= f.right + 8.0 && i < self->n; i++) {
    double distance = fabs (tess_chart_place_x (&f, self->x[i]) - x);

    if (distance < best) {
      best = distance;
      nearest = (int)i;
    }
  }
  if (nearest >= 0 && self->series->len > 4 && self->hover_y != y) /* which lines are told of may change */
    gtk_widget_queue_draw (GTK_WIDGET (self));
  self->hover_y = y;
  set_hover (self, nearest);
  gtk_widget_set_tooltip_text (GTK_WIDGET (self), NULL);
  for (guint m = 0; m < self->marks->len; m++) {
    const TessChartMark *mark = &g_array_index (self->marks, TessChartMark, m);

    if (y > f.bottom - 4.0 && fabs (tess_chart_place_x (&f, mark->x) - x) < 7.0)
      gtk_widget_set_tooltip_text (GTK_WIDGET (self), mark->sentence);
  }
}

static void
leave_cb (TessChart *self)
{
  set_hover (self, -1);
}

static gboolean
move_cb (GtkWidget *widget, GVariant *args, gpointer data)
{
  TessChart *self = TESS_CHART (widget);
  int step = g_variant_get_int32 (args), from = self->hover >= 0 ? self->hover : step < 0 ? (int)self->n : -1;

  if (self->n > 0)
    set_hover (self, CLAMP (from + step, 0, (int)self->n - 1));
  return TRUE;
}

/* ---- menu ---- */

static void
pop_up (TessChart *self, double x, double y)
{
  if (!self->menu) {
    g_autoptr (GMenu) model = g_menu_new ();

    g_menu_append (model, _ ("Copy _Data as CSV"), "chart.copy-csv");
    g_menu_append (model, _ ("Copy _Picture"), "chart.copy-picture");
    self->menu = gtk_popover_menu_new_from_model (G_MENU_MODEL (model));
    gtk_widget_set_parent (self->menu, GTK_WIDGET (self));
    gtk_popover_set_has_arrow (GTK_POPOVER (self->menu), FALSE);
    gtk_widget_set_halign (self->menu, GTK_ALIGN_START);
  }
  gtk_popover_set_pointing_to (GTK_POPOVER (self->menu), &(GdkRectangle){(int)x, (int)y, 1, 1});
  gtk_popover_popup (GTK_POPOVER (self->menu));
}

static void
pressed_cb (TessChart *self, int n_press, double x, double y)
{
  pop_up (self, x, y);
}

static gboolean
menu_cb (GtkWidget *widget, GVariant *args, gpointer data)
{
  pop_up (TESS_CHART (widget), gtk_widget_get_width (widget) / 2.0, gtk_widget_get_height (widget) / 2.0);
  return TRUE;
}

static void
copy_csv (GtkWidget *widget, const char *name, GVariant *parameter)
{
  g_autofree char *csv = tess_chart_to_csv (TESS_CHART (widget));

  gdk_clipboard_set_text (gtk_widget_get_clipboard (widget), csv);
}

/* Twice as large as on the screen, on the window's ground. */
static void
copy_picture (GtkWidget *widget, const char *name, GVariant *parameter)
{
  TessChart *self = TESS_CHART (widget);
  int width = gtk_widget_get_width (widget), height = gtk_widget_get_height (widget);
  gboolean dark = adw_style_manager_get_dark (adw_style_manager_get_default ());
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_ARGB32, 2 * width, 2 * height);
  g_autoptr (GdkTexture) texture = NULL;
  g_autoptr (GBytes) bytes = NULL;
  cairo_t *cr = cairo_create (surface);
  double ground = dark ? 0.14 : 1.0;

  cairo_set_source_rgb (cr, ground, ground, ground);
  cairo_paint (cr);
  cairo_scale (cr, 2.0, 2.0);
  tess_chart_draw (self, cr, width, height);
  cairo_destroy (cr);
  cairo_surface_flush (surface);
  bytes = g_bytes_new (cairo_image_surface_get_data (surface),
                       (gsize)cairo_image_surface_get_stride (surface) * (gsize)(2 * height));
  texture = gdk_memory_texture_new (2 * width, 2 * height, GDK_MEMORY_B8G8R8A8_PREMULTIPLIED, bytes,
                                    (gsize)cairo_image_surface_get_stride (surface));
  gdk_clipboard_set_texture (gtk_widget_get_clipboard (widget), texture);
  cairo_surface_destroy (surface);
}

/* ---- contents ---- */

void
tess_chart_begin (TessChart *self, guint n, const double *x)
{
  self->n = n;
  g_free (self->x);
  self->x = g_memdup2 (x, n * sizeof (double));
  g_ptr_array_set_size (self->series, 0);
  g_array_set_size (self->marks, 0);
  self->best = self->lower = self->upper = NAN;
  if (self->hover >= (int)n)
    self->hover = -1;
}

void
tess_chart_add_series (TessChart *self, const char *name, const guint8 rgb[3], const double *y)
{
  TessSeries *series = g_new0 (TessSeries, 1);

  series->name = g_strdup (name);
  series->order = self->series->len;
  memcpy (series->rgb, rgb, 3);
  series->y = g_memdup2 (y, self->n * sizeof (double));
  g_ptr_array_add (self->series, series);
}

void
tess_chart_set_range (TessChart *self, double lower, double upper)
{
  self->lower = lower;
  self->upper = upper;
}

void
tess_chart_set_best (TessChart *self, double x, const char *words)
{
  g_autofree char *old = self->best_text;

  self->best = x;
  self->best_text = g_strdup (words);
}

void
tess_chart_set_message (TessChart *self, const char *message)
{
  if (g_strcmp0 (self->message, message) == 0)
    return;
  g_free (self->message);
  self->message = g_strdup (message);
  drop_node (self);
}

void
tess_chart_set_cursor (TessChart *self, double x)
{
  if (self->cursor == x || (isnan (self->cursor) && isnan (x)))
    return;
  self->cursor = x;
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

void
tess_chart_add_mark (TessChart *self, double x, const char *sentence)
{
  TessChartMark mark = {x, g_strdup (sentence)};

  g_array_append_val (self->marks, mark);
}

void
tess_chart_end (TessChart *self)
{
  describe (self);
  drop_node (self);
}

static void
append_field (GString *csv, const char *field)
{
  g_auto (GStrv) parts = g_strsplit (field, "\"", -1);
  g_autofree char *quoted = g_strjoinv ("\"\"", parts);

  g_string_append_printf (csv, strpbrk (field, ",\"\n") ? ",\"%s\"" : ",%s", quoted);
}

char *
tess_chart_to_csv (TessChart *self)
{
  GString *csv = g_string_new ("epoch");

  for (guint s = 0; s < self->series->len; s++) {
    const char *name = ((TessSeries *)g_ptr_array_index (self->series, s))->name;
    /* A line alone bears the chart's name; its own is its unit. */
    g_autofree char *alone = *name ? g_strdup_printf ("%s (%s)", self->title, name) : g_strdup (self->title);

    append_field (csv, self->series->len > 1 ? name : alone);
  }
  for (guint i = 0; i < self->n; i++) {
    g_string_append_printf (csv, "\n%.0f", self->x[i]);
    for (guint s = 0; s < self->series->len; s++) {
      double y = ((TessSeries *)g_ptr_array_index (self->series, s))->y[i];
      char number[G_ASCII_DTOSTR_BUF_SIZE] = "";

      if (isfinite (y))
        g_ascii_formatd (number, sizeof number, "%.9g", y);
      g_string_append_printf (csv, ",%s", number);
    }
  }
  g_string_append_c (csv, '\n');
  return g_string_free (csv, FALSE);
}

/* ---- widget ---- */

static void
tess_chart_size_allocate (GtkWidget *widget, int width, int height, int baseline)
{
  TessChart *self = TESS_CHART (widget);

  if (self->menu)
    gtk_popover_present (GTK_POPOVER (self->menu));
}

static void
tess_chart_css_changed (GtkWidget *widget, GtkCssStyleChange *change)
{
  GTK_WIDGET_CLASS (tess_chart_parent_class)->css_changed (widget, change);
  drop_node (TESS_CHART (widget));
}

static void
tess_chart_dispose (GObject *object)
{
  TessChart *self = TESS_CHART (object);

  g_clear_pointer (&self->menu, gtk_widget_unparent);
  g_clear_pointer (&self->node, gsk_render_node_unref);
  G_OBJECT_CLASS (tess_chart_parent_class)->dispose (object);
}

static void
tess_chart_finalize (GObject *object)
{
  TessChart *self = TESS_CHART (object);

  g_free (self->title);
  g_free (self->message);
  g_free (self->best_text);
  g_free (self->x);
  g_ptr_array_unref (self->series);
  g_array_unref (self->marks);
  G_OBJECT_CLASS (tess_chart_parent_class)->finalize (object);
}

static void
tess_chart_class_init (TessChartClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);
  const guint left[] = {GDK_KEY_Left, GDK_KEY_KP_Left}, right[] = {GDK_KEY_Right, GDK_KEY_KP_Right};

  G_OBJECT_CLASS (klass)->dispose = tess_chart_dispose;
  G_OBJECT_CLASS (klass)->finalize = tess_chart_finalize;
  widget_class->measure = tess_chart_measure;
  widget_class->snapshot = tess_chart_snapshot;
  widget_class->size_allocate = tess_chart_size_allocate;
  widget_class->css_changed = tess_chart_css_changed;
  gtk_widget_class_set_css_name (widget_class, "chart");
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
  gtk_widget_class_install_action (widget_class, "chart.copy-csv", NULL, copy_csv);
  gtk_widget_class_install_action (widget_class, "chart.copy-picture", NULL, copy_picture);
  for (guint i = 0; i < 2; i++) {
    gtk_widget_class_add_binding (widget_class, left[i], 0, move_cb, "i", -1);
    gtk_widget_class_add_binding (widget_class, right[i], 0, move_cb, "i", 1);
  }
  gtk_widget_class_add_binding (widget_class, GDK_KEY_Menu, 0, menu_cb, NULL);
  gtk_widget_class_add_binding (widget_class, GDK_KEY_F10, GDK_SHIFT_MASK, menu_cb, NULL);
}

static void
tess_chart_init (TessChart *self)
{
  GtkEventController *motion = gtk_event_controller_motion_new ();
  GtkGesture *click = gtk_gesture_click_new ();

  self->hover = -1;
  self->best = self->lower = self->upper = self->cursor = NAN;
  self->series = g_ptr_array_new_with_free_func (series_free);
  self->marks = g_array_new (FALSE, FALSE, sizeof (TessChartMark));
  g_array_set_clear_func (self->marks, mark_clear);
  gtk_widget_set_focusable (GTK_WIDGET (self), TRUE);
  gtk_widget_set_overflow (GTK_WIDGET (self), GTK_OVERFLOW_HIDDEN);
  g_signal_connect_swapped (motion, "motion", G_CALLBACK (motion_cb), self);
  g_signal_connect_swapped (motion, "leave", G_CALLBACK (leave_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), motion);
  gtk_gesture_single_set_button (GTK_GESTURE_SINGLE (click), GDK_BUTTON_SECONDARY);
  g_signal_connect_swapped (click, "pressed", G_CALLBACK (pressed_cb), self);
  gtk_widget_add_controller (GTK_WIDGET (self), GTK_EVENT_CONTROLLER (click));
}

GtkWidget *
tess_chart_new (const char *title)
{
  TessChart *self = g_object_new (TESS_TYPE_CHART, NULL);

  self->title = g_strdup (title);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, title, -1);
  describe (self);
  return GTK_WIDGET (self);
}
