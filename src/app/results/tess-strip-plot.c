#include "tess-strip-plot.h"

#include <glib/gi18n-lib.h>
#include <math.h>

#define LINE_HEIGHT 34.0 /* name above its dots */
#define AXIS_HEIGHT 18.0
#define MARGIN 6.0

struct _TessStripPlot {
  GtkWidget parent_instance;

  const TessEvaluation *evaluation;
  TessEvaluationCase *open;
};

G_DEFINE_FINAL_TYPE (TessStripPlot, tess_strip_plot, GTK_TYPE_WIDGET)

static double
dice_x (double dice, double width)
{
  return MARGIN + dice * (width - 2.0 * MARGIN);
}

static double
dots_y (guint line)
{
  return line * LINE_HEIGHT + 24.0;
}

static void
draw_text (TessStripPlot *self, cairo_t *cr, const char *text, double x, double y, double align, double alpha)
{
  g_autoptr (PangoLayout) layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), text);
  PangoAttrList *attributes = pango_attr_list_new ();
  GdkRGBA c;
  int width, height;

  pango_attr_list_insert (attributes, pango_attr_scale_new (PANGO_SCALE_SMALL));
  pango_layout_set_attributes (layout, attributes);
  pango_attr_list_unref (attributes);
  pango_layout_get_pixel_size (layout, &width, &height);
  gtk_style_context_get_color (gtk_widget_get_style_context (GTK_WIDGET (self)), &c);
  cairo_set_source_rgba (cr, c.red, c.green, c.blue, alpha);
  cairo_move_to (cr, x - align * width, y);
  pango_cairo_show_layout (cr, layout);
  cairo_new_path (cr); /* text leaves a point behind that an arc would start from */
}

static void
draw_axis (TessStripPlot *self, cairo_t *cr, double width, double bottom)
{
  static const char *const marks[] = {"0", "0.5", "1"};
  GdkRGBA c;

  gtk_style_context_get_color (gtk_widget_get_style_context (GTK_WIDGET (self)), &c);
  for (guint i = 0; i < G_N_ELEMENTS (marks); i++) {
    double x = floor (dice_x (i / 2.0, width)) + 0.5;

    cairo_set_source_rgba (cr, c.red, c.green, c.blue, 0.15);
    cairo_set_line_width (cr, 1.0);
    cairo_move_to (cr, x, 0.0);
    cairo_line_to (cr, x, bottom);
    cairo_stroke (cr);
    draw_text (self, cr, marks[i], x, bottom + 1.0, i / 2.0, 0.55);
  }
}

static void
draw_line (TessStripPlot *self, cairo_t *cr, guint line, double width)
{
  const TessEvaluationLabel *label = &g_array_index (self->evaluation->labels, TessEvaluationLabel, line);
  GListModel *cases = G_LIST_MODEL (self->evaluation->cases);
  double y = dots_y (line), r = label->rgba[0] / 255.0, g = label->rgba[1] / 255.0, b = label->rgba[2] / 255.0;
  GdkRGBA c;

  gtk_style_context_get_color (gtk_widget_get_style_context (GTK_WIDGET (self)), &c);
  draw_text (self, cr, label->name, MARGIN, line * LINE_HEIGHT, 0.0, 0.9);
  for (guint i = 0; i < g_list_model_get_n_items (cases); i++) {
    g_autoptr (TessEvaluationCase) item = g_list_model_get_item (cases, i);
    double dice = tess_evaluation_case_peek (item, NULL)[line].dice;

    if (isnan (dice))
      continue;
    cairo_arc (cr, dice_x (dice, width), y, 3.5, 0.0, 2.0 * G_PI);
    cairo_set_source_rgba (cr, r, g, b, 0.6);
    cairo_fill_preserve (cr);
    cairo_set_source_rgba (cr, c.red, c.green, c.blue, 0.35); /* so that a pale dot stands out from a pale ground */
    cairo_set_line_width (cr, 0.75);
    cairo_stroke (cr);
  }
  gdk_cairo_set_source_rgba (cr, &c);
  if (isfinite (label->dice)) {
    cairo_set_line_width (cr, 2.0);
    cairo_move_to (cr, dice_x (label->dice, width), y - 7.0);
    cairo_line_to (cr, dice_x (label->dice, width), y + 7.0);
    cairo_stroke (cr);
  }
  if (self->open && isfinite (tess_evaluation_case_peek (self->open, NULL)[line].dice)) {
    cairo_set_line_width (cr, 1.5);
    cairo_arc (cr, dice_x (tess_evaluation_case_peek (self->open, NULL)[line].dice, width), y, 5.5, 0.0, 2.0 * G_PI);
    cairo_stroke (cr);
  }
}

static void
tess_strip_plot_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  TessStripPlot *self = TESS_STRIP_PLOT (widget);
  int width = gtk_widget_get_width (widget), height = gtk_widget_get_height (widget);
  cairo_t *cr;

  if (!self->evaluation)
    return;
  cr = gtk_snapshot_append_cairo (snapshot, &GRAPHENE_RECT_INIT (0.0f, 0.0f, (float)width, (float)height));
  draw_axis (self, cr, width, self->evaluation->labels->len * LINE_HEIGHT + 2.0);
  for (guint i = 0; i < self->evaluation->labels->len; i++)
    draw_line (self, cr, i, width);
  cairo_destroy (cr);
}

static void
tess_strip_plot_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                         int *minimum_baseline, int *natural_baseline)
{
  TessStripPlot *self = TESS_STRIP_PLOT (widget);
  guint n = self->evaluation ? self->evaluation->labels->len : 0;

  *minimum = *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 120 : (int)(n * LINE_HEIGHT + AXIS_HEIGHT + 4.0);
  *minimum_baseline = *natural_baseline = -1;
}

/* The case nearest to the pointer says its name. */
static gboolean
tess_strip_plot_query_tooltip (GtkWidget *widget, int x, int y, gboolean keyboard, GtkTooltip *tooltip)
{
  TessStripPlot *self = TESS_STRIP_PLOT (widget);
  guint line = (guint)(MAX (y, 0) / LINE_HEIGHT);
  double width = gtk_widget_get_width (widget), nearest = 6.0;
  g_autofree char *text = NULL;

  if (keyboard || !self->evaluation || line >= self->evaluation->labels->len || fabs (y - dots_y (line)) > 9.0)
    return FALSE;
  for (guint i = 0; i < g_list_model_get_n_items (G_LIST_MODEL (self->evaluation->cases)); i++) {
    g_autoptr (TessEvaluationCase) item = g_list_model_get_item (G_LIST_MODEL (self->evaluation->cases), i);
    double dice = tess_evaluation_case_peek (item, NULL)[line].dice, distance = fabs (dice_x (dice, width) - x);

    if (distance < nearest) { /* never for NaN */
      nearest = distance;
      g_free (text);
      text = g_strdup_printf (_ ("%s: Dice %.3f"), tess_evaluation_case_get_name (item), dice);
    }
  }
  gtk_tooltip_set_text (tooltip, text);
  return text != NULL;
}

static void
tess_strip_plot_dispose (GObject *object)
{
  TESS_STRIP_PLOT (object)->evaluation = NULL;
  g_clear_object (&TESS_STRIP_PLOT (object)->open);
  G_OBJECT_CLASS (tess_strip_plot_parent_class)->dispose (object);
}

static void
tess_strip_plot_class_init (TessStripPlotClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->dispose = tess_strip_plot_dispose;
  widget_class->snapshot = tess_strip_plot_snapshot;
  widget_class->measure = tess_strip_plot_measure;
  widget_class->query_tooltip = tess_strip_plot_query_tooltip;
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
}

static void
tess_strip_plot_init (TessStripPlot *self)
{
  gtk_widget_set_has_tooltip (GTK_WIDGET (self), TRUE);
}

static char *
describe (const TessEvaluation *evaluation)
{
  g_autoptr (GString) text = g_string_new (_ ("Dice of all cases"));

  for (guint i = 0; i < evaluation->labels->len; i++) {
    const TessEvaluationLabel *label = &g_array_index (evaluation->labels, TessEvaluationLabel, i);

    if (isfinite (label->dice))
      g_string_append_printf (text, _ ("; %s on average %.3f"), label->name, label->dice);
  }
  return g_strdup (text->str);
}

void
tess_strip_plot_set (TessStripPlot *self, const TessEvaluation *evaluation, TessEvaluationCase *open)
{
  g_autofree char *text = evaluation ? describe (evaluation) : NULL;

  self->evaluation = evaluation;
  if (text)
    gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, text, -1);
  g_set_object (&self->open, open);
  gtk_widget_queue_resize (GTK_WIDGET (self));
  gtk_widget_queue_draw (GTK_WIDGET (self));
}

/* --- bars --------------------------------------------------------------------------------------------------------- */

typedef struct {
  double dice;
  GdkRGBA colour;
} Bar;

struct _TessDiceBars {
  GtkWidget parent_instance;

  GArray *bars;
};

G_DEFINE_FINAL_TYPE (TessDiceBars, tess_dice_bars, GTK_TYPE_WIDGET)

static void
tess_dice_bars_snapshot (GtkWidget *widget, GtkSnapshot *snapshot)
{
  TessDiceBars *self = TESS_DICE_BARS (widget);
  guint n = self->bars->len;
  float width = (float)gtk_widget_get_width (widget), height = (float)gtk_widget_get_height (widget);
  float gap = n > 24 ? 1.0f : 4.0f, each = n ? (width - gap * (float)(n - 1)) / (float)n : 0.0f;
  GdkRGBA track;

  gtk_style_context_get_color (gtk_widget_get_style_context (widget), &track);
  track.alpha *= 0.15f;
  for (guint i = 0; i < n && each > 0.0f; i++) {
    const Bar *bar = &g_array_index (self->bars, Bar, i);
    float x = (each + gap) * (float)i;

    if (isnan (bar->dice)) {
      float line = height / 2.0f - 0.5f;

      gtk_snapshot_append_color (snapshot, &track, &GRAPHENE_RECT_INIT (x, line, each, 1.0f));
      continue;
    }
    gtk_snapshot_append_color (snapshot, &track, &GRAPHENE_RECT_INIT (x, 0.0f, each, height));
    gtk_snapshot_append_color (snapshot, &bar->colour, &GRAPHENE_RECT_INIT (x, 0.0f, each * (float)bar->dice, height));
  }
}

static void
tess_dice_bars_measure (GtkWidget *widget, GtkOrientation orientation, int for_size, int *minimum, int *natural,
                        int *minimum_baseline, int *natural_baseline)
{
  *minimum = *natural = orientation == GTK_ORIENTATION_HORIZONTAL ? 40 : 5;
  *minimum_baseline = *natural_baseline = -1;
}

static void
tess_dice_bars_finalize (GObject *object)
{
  g_array_unref (TESS_DICE_BARS (object)->bars);
  G_OBJECT_CLASS (tess_dice_bars_parent_class)->finalize (object);
}

static void
tess_dice_bars_class_init (TessDiceBarsClass *klass)
{
  GtkWidgetClass *widget_class = GTK_WIDGET_CLASS (klass);

  G_OBJECT_CLASS (klass)->finalize = tess_dice_bars_finalize;
  widget_class->snapshot = tess_dice_bars_snapshot;
  widget_class->measure = tess_dice_bars_measure;
  gtk_widget_class_set_accessible_role (widget_class, GTK_ACCESSIBLE_ROLE_IMG);
}

static void
tess_dice_bars_init (TessDiceBars *self)
{
  self->bars = g_array_new (FALSE, TRUE, sizeof (Bar));
}

void
tess_dice_bars_set (TessDiceBars *self, const TessEvaluation *evaluation, TessEvaluationCase *c)
{
  g_autoptr (GString) text = g_string_new (NULL);
  guint n;
  const TessLabelMetrics *metrics = tess_evaluation_case_peek (c, &n);

  g_array_set_size (self->bars, 0);
  for (guint i = 0; i < MIN (n, evaluation->labels->len); i++) {
    const TessEvaluationLabel *label = &g_array_index (evaluation->labels, TessEvaluationLabel, i);
    Bar bar = {metrics[i].dice, {label->rgba[0] / 255.0f, label->rgba[1] / 255.0f, label->rgba[2] / 255.0f, 1.0f}};

    g_array_append_val (self->bars, bar);
    if (isnan (bar.dice))
      g_string_append_printf (text, _ ("%s%s: in neither"), i ? "\n" : "", label->name);
    else
      g_string_append_printf (text, _ ("%s%s: Dice %.3f"), i ? "\n" : "", label->name, bar.dice);
  }
  gtk_widget_set_tooltip_text (GTK_WIDGET (self), text->str);
  gtk_accessible_update_property (GTK_ACCESSIBLE (self), GTK_ACCESSIBLE_PROPERTY_LABEL, text->str, -1);
  gtk_widget_queue_draw (GTK_WIDGET (self));
}
