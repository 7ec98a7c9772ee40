#include "tess-chart-private.h"

#include "tess-format.h"

#include <adwaita.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#define END_WIDTH 142.0 /* of the names at the line ends */
#define AXIS_WIDTH 44.0
#define TITLE_HEIGHT 20.0
#define FOOT_HEIGHT 16.0
#define MARK_HEIGHT 8.0 /* between the curves and the epochs, where there are marks */
#define LABEL_HEIGHT 13.0
#define MAX_ENDS 64

char *
tess_chart_number (double value)
{
  return isfinite (value) ? tess_format_number (value, 3) : g_strdup ("-");
}

/* Steps of 1, 2 or 5 times a power of ten, as many as there is room for. */
static double
nice_step (double span, double room)
{
  double rough = span / CLAMP (room / 26.0, 1.2, 6.0), power = pow (10.0, floor (log10 (rough))), m = rough / power;

  return power * (m < 1.5 ? 1.0 : m < 3.5 ? 2.0 : m < 7.5 ? 5.0 : 10.0);
}

static void
find_range (TessChart *self, double *lower, double *upper)
{
  *lower = INFINITY;
  *upper = -INFINITY;
  for (guint s = 0; s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);

    for (guint i = 0; i < self->n; i++)
      if (isfinite (series->y[i])) {
        *lower = MIN (*lower, series->y[i]);
        *upper = MAX (*upper, series->y[i]);
      }
  }
  if (!(*lower <= *upper)) {
    *lower = 0.0;
    *upper = 1.0;
  }
  if (*upper - *lower < 1e-12 + 1e-6 * fabs (*upper)) {
    double half = *upper != 0.0 ? 0.1 * fabs (*upper) : 0.5;

    *lower -= half;
    *upper += half;
  }
}

void
tess_chart_frame (TessChart *self, int width, int height, TessChartFrame *f)
{
  double lower, upper, margin;

  find_range (self, &lower, &upper);
  margin = 0.06 * (upper - lower);
  *f = (TessChartFrame){
      .left = AXIS_WIDTH,
      .right = MAX (width - END_WIDTH, AXIS_WIDTH + 20.0),
      .top = TITLE_HEIGHT + 4.0,
      .bottom = MAX (height - FOOT_HEIGHT - (self->marks->len ? MARK_HEIGHT : 0.0), TITLE_HEIGHT + 14.0),
      .x0 = self->n ? self->x[0] : 0.0,
      .x1 = self->n ? self->x[self->n - 1] : 1.0,
      .y0 = isnan (self->lower) ? lower - margin : self->lower,
      .y1 = isnan (self->upper) ? upper + margin : self->upper,
  };
  if (f->x1 <= f->x0)
    f->x1 = f->x0 + 1.0;
}

double
tess_chart_place_x (const TessChartFrame *f, double x)
{
  return f->left + (x - f->x0) / (f->x1 - f->x0) * (f->right - f->left);
}

double
tess_chart_place_y (const TessChartFrame *f, double y)
{
  return f->bottom - (CLAMP (y, f->y0, f->y1) - f->y0) / (f->y1 - f->y0) * (f->bottom - f->top);
}

/* Colours of classes are made for black; on white they are darkened until they can be read. */
static void
set_colour (cairo_t *cr, const guint8 rgb[3], gboolean dark, double alpha)
{
  double r = rgb[0] / 255.0, g = rgb[1] / 255.0, b = rgb[2] / 255.0;
  double light = 0.2126 * r + 0.7152 * g + 0.0722 * b, scale = 1.0;

  if (!dark && light > 0.45)
    scale = 0.45 / light;
  if (dark && light < 0.35) {
    double lift = 0.35 - light;

    r += lift;
    g += lift;
    b += lift;
  }
  cairo_set_source_rgba (cr, MIN (r * scale, 1.0), MIN (g * scale, 1.0), MIN (b * scale, 1.0), alpha);
}

typedef enum { AT_LEFT, AT_MIDDLE, AT_RIGHT } Anchor;

/* Text with its middle at y; small unless it is a title. Never wider than max_width (0: as it is). */
static void
text (TessChart *self, cairo_t *cr, const char *words, double x, double y, Anchor anchor, gboolean title,
      double max_width)
{
  g_autoptr (PangoLayout) layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), words);
  g_autoptr (PangoFontDescription) font =
      pango_font_description_copy (pango_context_get_font_description (pango_layout_get_context (layout)));
  int width, height;

  pango_font_description_set_size (font, (int)((title ? 0.92 : 0.8) * pango_font_description_get_size (font)));
  if (title)
    pango_font_description_set_weight (font, PANGO_WEIGHT_SEMIBOLD);
  pango_layout_set_font_description (layout, font);
  if (max_width > 0.0) {
    pango_layout_set_width (layout, (int)(max_width * PANGO_SCALE));
    pango_layout_set_ellipsize (layout, PANGO_ELLIPSIZE_END);
  }
  pango_layout_get_pixel_size (layout, &width, &height);
  cairo_move_to (cr, anchor == AT_LEFT ? x : anchor == AT_RIGHT ? x - width : x - width / 2.0, y - height / 2.0);
  pango_cairo_show_layout (cr, layout);
}

static void
draw_grid (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  double step = nice_step (f->y1 - f->y0, f->bottom - f->top);

  cairo_set_line_width (cr, 1.0);
  for (double y = ceil (f->y0 / step) * step; y <= f->y1 + 1e-9 * step; y += step) {
    double at = floor (tess_chart_place_y (f, y)) + 0.5;
    g_autofree char *label = tess_chart_number (fabs (y) < 1e-9 * step ? 0.0 : y);

    cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.12);
    cairo_move_to (cr, f->left, at);
    cairo_line_to (cr, f->right, at);
    cairo_stroke (cr);
    cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.6);
    text (self, cr, label, f->left - 5.0, at, AT_RIGHT, FALSE, 0.0);
  }
}

static void
draw_line (const TessChart *self, cairo_t *cr, const TessChartFrame *f, const TessSeries *series)
{
  gboolean pen = FALSE;

  cairo_set_line_width (cr, 1.6);
  cairo_set_line_join (cr, CAIRO_LINE_JOIN_ROUND);
  for (guint i = 0; i < self->n; i++) {
    double x = tess_chart_place_x (f, self->x[i]), y = tess_chart_place_y (f, series->y[i]);
    gboolean here = isfinite (series->y[i]);
    gboolean alone = here && !pen && (i + 1 == self->n || !isfinite (series->y[i + 1]));

    if (alone) {
      cairo_new_sub_path (cr);
      cairo_arc (cr, x, y, 0.8, 0.0, 2.0 * G_PI);
    } else if (here && pen) {
      cairo_line_to (cr, x, y);
    } else if (here) {
      cairo_move_to (cr, x, y);
    }
    pen = here;
  }
  cairo_stroke (cr);
}

static guint
last_value (const TessChart *self, const TessSeries *series)
{
  guint i = self->n;

  while (i > 0 && !isfinite (series->y[i - 1]))
    i--;
  return i; /* one past it; 0: none */
}

typedef struct {
  const TessSeries *series;
  double y, value;
} End;

static int
compare_ends (const void *a, const void *b)
{
  double x = ((const End *)a)->y, y = ((const End *)b)->y;

  return (x > y) - (x < y);
}

/* Names stay in the order of their lines and are pushed apart; what does not fit below goes up again. */
static void
spread (End *ends, guint n, double top, double bottom)
{
  for (guint i = 0; i < n; i++)
    ends[i].y = MAX (ends[i].y, i ? ends[i - 1].y + LABEL_HEIGHT : top);
  for (guint i = n; i-- > 0;)
    ends[i].y = MIN (ends[i].y, i + 1 < n ? ends[i + 1].y - LABEL_HEIGHT : bottom);
}

static void
draw_ends (TessChart *self, cairo_t *cr, const TessChartFrame *f, gboolean dark)
{
  End ends[MAX_ENDS];
  guint n = 0;

  for (guint s = 0; s < self->series->len && n < MAX_ENDS; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);
    guint i = last_value (self, series);

    if (i > 0)
      ends[n++] = (End){series, tess_chart_place_y (f, series->y[i - 1]), series->y[i - 1]};
  }
  qsort (ends, n, sizeof *ends, compare_ends);
  spread (ends, n, f->top, f->bottom);
  for (guint i = 0; i < n; i++) {
    g_autofree char *value = tess_chart_number (ends[i].value);
    g_autofree char *label = g_strdup_printf ("%s %s", value, ends[i].series->name);

    set_colour (cr, ends[i].series->rgb, dark, 1.0);
    text (self, cr, label, f->right + 6.0, ends[i].y, AT_LEFT, FALSE, END_WIDTH - 8.0);
  }
}

static void
draw_foot (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  g_autofree char *first = g_strdup_printf (_ ("epoch %.0f"), f->x0),
                  *last = g_strdup_printf ("%.0f", self->x[self->n - 1]);
  double y = f->bottom + FOOT_HEIGHT / 2.0 + 1.0 + (self->marks->len ? MARK_HEIGHT : 0.0);

  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.6);
  text (self, cr, first, f->left, y, AT_LEFT, FALSE, 0.0);
  if (self->n > 1)
    text (self, cr, last, f->right, y, AT_RIGHT, FALSE, 0.0);
  for (guint m = 0; m < self->marks->len; m++) {
    double x = tess_chart_place_x (f, g_array_index (self->marks, TessChartMark, m).x);

    cairo_set_source_rgb (cr, 0.9, 0.55, 0.1);
    cairo_move_to (cr, x, f->bottom + 1.0);
    cairo_line_to (cr, x - 4.5, f->bottom + MARK_HEIGHT);
    cairo_line_to (cr, x + 4.5, f->bottom + MARK_HEIGHT);
    cairo_fill (cr);
  }
}

/* A dashed upright with a word at its top, on the side with more room. */
static void
draw_best (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  const double dashes[] = {2.0, 3.0};
  double x = floor (tess_chart_place_x (f, self->best)) + 0.5;
  gboolean right = x < (f->left + f->right) / 2.0;

  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.5);
  cairo_set_line_width (cr, 1.0);
  cairo_set_dash (cr, dashes, 2, 0.0);
  cairo_move_to (cr, x, f->top);
  cairo_line_to (cr, x, f->bottom);
  cairo_stroke (cr);
  cairo_set_dash (cr, NULL, 0, 0.0);
  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.75);
  text (self, cr, self->best_text, right ? x + 4.0 : x - 4.0, f->top + 7.0, right ? AT_LEFT : AT_RIGHT, FALSE, 0.0);
}

void
tess_chart_draw (TessChart *self, cairo_t *cr, int width, int height)
{
  gboolean dark = adw_style_manager_get_dark (adw_style_manager_get_default ());
  TessChartFrame f;
  GdkRGBA fg;

  gtk_style_context_get_color (gtk_widget_get_style_context (GTK_WIDGET (self)), &fg);
  tess_chart_frame (self, width, height, &f);
  gdk_cairo_set_source_rgba (cr, &fg);
  text (self, cr, self->title, 4.0, TITLE_HEIGHT / 2.0, AT_LEFT, TRUE, width - 8.0);
  if (self->n == 0) {
    cairo_set_source_rgba (cr, fg.red, fg.green, fg.blue, 0.55);
    text (self, cr, _ ("after the first epoch"), width / 2.0, height / 2.0, AT_MIDDLE, FALSE, width - 8.0);
    return;
  }
  draw_grid (self, cr, &f, &fg);
  if (isfinite (self->best) && self->best >= f.x0 && self->best <= f.x1)
    draw_best (self, cr, &f, &fg);
  for (guint s = self->series->len; s-- > 0;) { /* the first series on top */
    const TessSeries *series = g_ptr_array_index (self->series, s);

    set_colour (cr, series->rgb, dark, 1.0);
    draw_line (self, cr, &f, series);
  }
  draw_ends (self, cr, &f, dark);
  draw_foot (self, cr, &f, &fg);
}

/* Dots on the lines, and a card with the values on the side with more room; a mark's sentence at its epoch. */
void
tess_chart_draw_hover (TessChart *self, cairo_t *cr, int width, int height)
{
  gboolean dark = adw_style_manager_get_dark (adw_style_manager_get_default ());
  double x, card = 126.0, card_height, left, y;
  g_autofree char *head = NULL;
  TessChartFrame f;
  guint lines = 0;

  tess_chart_frame (self, width, height, &f);
  x = tess_chart_place_x (&f, self->x[self->hover]);
  cairo_set_source_rgba (cr, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, 0.35);
  cairo_set_line_width (cr, 1.0);
  cairo_move_to (cr, floor (x) + 0.5, f.top);
  cairo_line_to (cr, floor (x) + 0.5, f.bottom);
  cairo_stroke (cr);
  for (guint s = 0; s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);

    if (!isfinite (series->y[self->hover]))
      continue;
    set_colour (cr, series->rgb, dark, 1.0);
    cairo_arc (cr, x, tess_chart_place_y (&f, series->y[self->hover]), 3.0, 0.0, 2.0 * G_PI);
    cairo_fill (cr);
    lines++;
  }
  card_height = 8.0 + (lines + 1) * LABEL_HEIGHT;
  left = x < (f.left + f.right) / 2.0 ? x + 10.0 : x - 10.0 - card;
  y = MAX (f.top - 6.0, 0.0);
  cairo_rectangle (cr, floor (left) + 0.5, floor (y) + 0.5, card, card_height);
  cairo_set_source_rgba (cr, dark ? 0.1 : 1.0, dark ? 0.1 : 1.0, dark ? 0.1 : 1.0, 0.92);
  cairo_fill_preserve (cr);
  cairo_set_source_rgba (cr, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, 0.15);
  cairo_stroke (cr);
  cairo_set_source_rgba (cr, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, dark ? 1.0 : 0.0, 0.8);
  head = g_strdup_printf (_ ("epoch %.0f"), self->x[self->hover]);
  text (self, cr, head, left + 6.0, y + 10.0, AT_LEFT, FALSE, card - 12.0);
  for (guint s = 0, row = 0; s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);
    g_autofree char *value = tess_chart_number (series->y[self->hover]);
    g_autofree char *label = g_strdup_printf ("%s %s", value, series->name);

    if (!isfinite (series->y[self->hover]))
      continue;
    set_colour (cr, series->rgb, dark, 1.0);
    text (self, cr, label, left + 6.0, y + 10.0 + (++row) * LABEL_HEIGHT, AT_LEFT, FALSE, card - 12.0);
  }
}
