#include "tess-chart-private.h"

#include "tess-format.h"

#include <adwaita.h>
#include <glib/gi18n-lib.h>
#include <math.h>

#define END_WIDTH 142.0 /* of the names at the line ends */
#define AXIS_WIDTH 30.0 /* of the numbers at the left, at least */
#define TITLE_HEIGHT 20.0
#define FOOT_HEIGHT 16.0
#define MARK_HEIGHT 8.0 /* between the curves and the epochs, where there are marks */
#define LABEL_HEIGHT 14.0
#define MAX_TICKS 16u
#define SMALL 0.8 /* of the widget's font */

char *
tess_chart_number (double value)
{
  return isfinite (value) ? tess_format_number (value, 3) : g_strdup ("-");
}

/* Steps of 1, 2 or 5 times a power of ten, about `count` of them. */
static double
nice_step (double span, double count)
{
  double rough = span / count, power = pow (10.0, floor (log10 (rough))), m = rough / power;

  return power * (m < 1.5 ? 1.0 : m < 3.5 ? 2.0 : m < 7.5 ? 5.0 : 10.0);
}

/* Values with a line across; at least two where there is any room, so that a distance can be read. */
static guint
y_ticks (const TessChartFrame *f, double ticks[MAX_TICKS])
{
  double step = nice_step (f->y1 - f->y0, CLAMP ((f->bottom - f->top) / 26.0, 1.2, 6.0));
  guint n = 0;

  while (floor (f->y1 / step + 1e-9) - ceil (f->y0 / step - 1e-9) < 0.5) /* fewer than two */
    step = nice_step (step, 2.0);
  for (double y = ceil (f->y0 / step - 1e-9) * step; y <= f->y1 + 1e-9 * step && n < MAX_TICKS; y += step)
    ticks[n++] = fabs (y) < 1e-9 * step ? 0.0 : y;
  if (n > 2 && step / (f->y1 - f->y0) * (f->bottom - f->top) < LABEL_HEIGHT) { /* numbers would touch */
    ticks[1] = ticks[n - 1];
    n = 2;
  }
  return n;
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

typedef enum { AT_LEFT, AT_MIDDLE, AT_RIGHT } Anchor;

static PangoLayout *
layout_of (TessChart *self, const char *words, gboolean title)
{
  PangoLayout *layout = gtk_widget_create_pango_layout (GTK_WIDGET (self), words);
  g_autoptr (PangoFontDescription) font =
      pango_font_description_copy (pango_context_get_font_description (pango_layout_get_context (layout)));

  pango_font_description_set_size (font, (int)((title ? 0.92 : SMALL) * pango_font_description_get_size (font)));
  if (title)
    pango_font_description_set_weight (font, PANGO_WEIGHT_SEMIBOLD);
  pango_layout_set_font_description (layout, font);
  return layout;
}

static double
text_width (TessChart *self, const char *words)
{
  g_autoptr (PangoLayout) layout = layout_of (self, words, FALSE);
  int width;

  pango_layout_get_pixel_size (layout, &width, NULL);
  return width;
}

/* Text with its middle at y; small unless it is a title. Never wider than max_width (0: as it is). */
static void
text (TessChart *self, cairo_t *cr, const char *words, double x, double y, Anchor anchor, gboolean title,
      double max_width)
{
  g_autoptr (PangoLayout) layout = layout_of (self, words, title);
  int width, height;

  if (max_width > 0.0) {
    pango_layout_set_width (layout, (int)(max_width * PANGO_SCALE));
    pango_layout_set_ellipsize (layout, PANGO_ELLIPSIZE_END);
  }
  pango_layout_get_pixel_size (layout, &width, &height);
  cairo_move_to (cr, anchor == AT_LEFT ? x : anchor == AT_RIGHT ? x - width : x - width / 2.0, y - height / 2.0);
  pango_cairo_show_layout (cr, layout);
}

static double
axis_width (TessChart *self, const TessChartFrame *f)
{
  double ticks[MAX_TICKS], width = AXIS_WIDTH;
  guint n = y_ticks (f, ticks);

  for (guint i = 0; i < n; i++) {
    g_autofree char *label = tess_chart_number (ticks[i]);

    width = MAX (width, text_width (self, label) + 9.0);
  }
  return width;
}

void
tess_chart_frame (TessChart *self, int width, int height, TessChartFrame *f)
{
  double lower, upper, margin;

  find_range (self, &lower, &upper);
  margin = 0.06 * (upper - lower);
  *f = (TessChartFrame){
      .left = AXIS_WIDTH,
      .top = TITLE_HEIGHT + 6.0,
      .bottom = MAX (height - FOOT_HEIGHT - (self->marks->len ? MARK_HEIGHT : 0.0), TITLE_HEIGHT + 14.0),
      .x0 = self->n ? self->x[0] : 0.0,
      .x1 = self->n ? self->x[self->n - 1] : 1.0,
      .y0 = isnan (self->lower) ? lower - margin : self->lower,
      .y1 = isnan (self->upper) ? upper + margin : self->upper,
  };
  f->left = axis_width (self, f);
  f->right = MAX (width - END_WIDTH, f->left + 20.0);
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

static void
draw_grid (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  double ticks[MAX_TICKS];
  guint n = y_ticks (f, ticks);

  cairo_set_line_width (cr, 1.0);
  for (guint i = 0; i < n; i++) {
    double at = floor (tess_chart_place_y (f, ticks[i])) + 0.5;
    g_autofree char *label = tess_chart_number (ticks[i]);

    cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.12);
    cairo_move_to (cr, f->left, at);
    cairo_line_to (cr, f->right, at);
    cairo_stroke (cr);
    cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.7);
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
      cairo_arc (cr, x, y, 1.6, 0.0, 2.0 * G_PI);
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

static int
compare_values (const void *a, const void *b)
{
  double x = ((const End *)a)->value, y = ((const End *)b)->value;

  return (x > y) - (x < y);
}

/* With more lines than there is room for names: the first series (the mean) and the lowest ones, which need looking
 * after. The others have theirs under the pointer. */
static guint
choose_ends (End *ends, guint n, const TessChartFrame *f)
{
  guint room = MAX ((guint)((f->bottom - f->top) / LABEL_HEIGHT) + 1, 2);

  if (n <= room)
    return n;
  qsort (ends + 1, n - 1, sizeof *ends, compare_values);
  return room;
}

static void
draw_ends (TessChart *self, cairo_t *cr, const TessChartFrame *f, gboolean dark)
{
  g_autofree End *ends = g_new (End, self->series->len + 1);
  guint n = 0;

  for (guint s = 0; s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);
    guint i = last_value (self, series);

    if (i > 0)
      ends[n++] = (End){series, tess_chart_place_y (f, series->y[i - 1]), series->y[i - 1]};
  }
  n = choose_ends (ends, n, f);
  qsort (ends, n, sizeof *ends, compare_ends);
  spread (ends, n, f->top, f->bottom);
  for (guint i = 0; i < n; i++) {
    g_autofree char *value = tess_chart_number (ends[i].value);
    g_autofree char *label = g_strdup_printf ("%s %s", value, ends[i].series->name);

    set_colour (cr, ends[i].series->rgb, dark, 1.0);
    text (self, cr, label, f->right + 6.0, ends[i].y, AT_LEFT, FALSE, END_WIDTH - 8.0);
  }
}

/* "epoch 1", multiples of a step so large that all of them find room between, the last one. */
static void
draw_epochs (TessChart *self, cairo_t *cr, const TessChartFrame *f, double y)
{
  g_autofree char *first = g_strdup_printf (_ ("epoch %.0f"), f->x0),
                  *last = g_strdup_printf ("%.0f", self->x[self->n - 1]);
  double from = f->left + text_width (self, first) + 8.0, to = f->right - text_width (self, last) - 8.0;
  double width = text_width (self, last), step;

  text (self, cr, first, f->left, y, AT_LEFT, FALSE, 0.0);
  if (self->n < 2)
    return;
  text (self, cr, last, f->right, y, AT_RIGHT, FALSE, 0.0);
  step = MAX (nice_step (f->x1 - f->x0, MAX ((f->right - f->left) / MAX (2.5 * width, 40.0), 1.0)), 1.0);
  for (double x = ceil (f->x0 / step) * step; x < f->x1; x += step) {
    g_autofree char *label = g_strdup_printf ("%.0f", x);
    double at = tess_chart_place_x (f, x), half = text_width (self, label) / 2.0;

    if (at - half >= from && at + half <= to)
      text (self, cr, label, at, y, AT_MIDDLE, FALSE, 0.0);
  }
}

static void
draw_foot (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.7);
  draw_epochs (self, cr, f, f->bottom + FOOT_HEIGHT / 2.0 + 1.0 + (self->marks->len ? MARK_HEIGHT : 0.0));
  for (guint m = 0; m < self->marks->len; m++) {
    double x = tess_chart_place_x (f, g_array_index (self->marks, TessChartMark, m).x);

    cairo_set_source_rgb (cr, 0.9, 0.55, 0.1);
    cairo_move_to (cr, x, f->bottom + 1.0);
    cairo_line_to (cr, x - 4.5, f->bottom + MARK_HEIGHT);
    cairo_line_to (cr, x + 4.5, f->bottom + MARK_HEIGHT);
    cairo_fill (cr);
  }
}

/* A dashed upright; its word stands above the names at the line ends, where nothing else is. */
static void
draw_best (TessChart *self, cairo_t *cr, const TessChartFrame *f, const GdkRGBA *fg)
{
  const double dashes[] = {2.0, 3.0};
  double x = floor (tess_chart_place_x (f, self->best)) + 0.5;

  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.5);
  cairo_set_line_width (cr, 1.0);
  cairo_set_dash (cr, dashes, 2, 0.0);
  cairo_move_to (cr, x, f->top);
  cairo_line_to (cr, x, f->bottom);
  cairo_stroke (cr);
  cairo_set_dash (cr, NULL, 0, 0.0);
  cairo_set_source_rgba (cr, fg->red, fg->green, fg->blue, 0.75);
  text (self, cr, self->best_text, f->right + 6.0, TITLE_HEIGHT / 2.0, AT_LEFT, FALSE, END_WIDTH - 8.0);
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
  text (self, cr, self->title, 0.0, TITLE_HEIGHT / 2.0, AT_LEFT, TRUE, MAX (f.right - 4.0, 40.0));
  if (self->n == 0) {
    cairo_set_source_rgba (cr, fg.red, fg.green, fg.blue, 0.55);
    text (self, cr, self->message ? self->message : "", width / 2.0, height / 2.0, AT_MIDDLE, FALSE, width - 8.0);
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

/* The epoch whose heads are shown: an upright the whole chart high. */
void
tess_chart_draw_cursor (TessChart *self, cairo_t *cr, int width, int height)
{
  GdkRGBA accent = {0.38f, 0.63f, 0.92f, 1.0f};
  TessChartFrame f;
  double x;

  tess_chart_frame (self, width, height, &f);
  if (!(self->cursor >= f.x0 && self->cursor <= f.x1))
    return;
  x = floor (tess_chart_place_x (&f, self->cursor)) + 0.5;
  gdk_cairo_set_source_rgba (cr, &accent);
  cairo_set_line_width (cr, 2.0);
  cairo_move_to (cr, x, f.top - 2.0);
  cairo_line_to (cr, x, f.bottom);
  cairo_stroke (cr);
}

typedef struct {
  char *words;
  const TessSeries *series;
  double distance; /* of its line from the pointer */
} Line;

static int
compare_distance (gconstpointer a, gconstpointer b)
{
  double x = ((const Line *)a)->distance, y = ((const Line *)b)->distance;

  return (x > y) - (x < y);
}

static int
compare_order (gconstpointer a, gconstpointer b)
{
  const TessSeries *x = ((const Line *)a)->series, *y = ((const Line *)b)->series;

  return (x->order > y->order) - (x->order < y->order);
}

static void
line_clear (gpointer data)
{
  g_free (((Line *)data)->words);
}

/* The values at the epoch under the pointer. Where they do not all fit, those of the lines nearest to it. */
static GArray *
hover_lines (TessChart *self, const TessChartFrame *f, guint room)
{
  GArray *lines = g_array_new (FALSE, FALSE, sizeof (Line));

  g_array_set_clear_func (lines, line_clear);
  for (guint s = 0; s < self->series->len; s++) {
    const TessSeries *series = g_ptr_array_index (self->series, s);
    double y = series->y[self->hover];
    g_autofree char *value = tess_chart_number (y);
    Line line = {NULL, series, fabs (tess_chart_place_y (f, y) - self->hover_y)};

    if (!isfinite (y))
      continue;
    line.words = g_strdup_printf ("%s %s", value, series->name);
    g_array_append_val (lines, line);
  }
  if (lines->len > room) {
    g_array_sort (lines, compare_distance);
    g_array_set_size (lines, room);
    g_array_sort (lines, compare_order);
  }
  return lines;
}

static void
draw_card (TessChart *self, cairo_t *cr, const TessChartFrame *f, int height, double x, gboolean dark)
{
  double ink = dark ? 1.0 : 0.0, ground = dark ? 0.1 : 1.0, card, card_height, left, y;
  g_autofree char *head = g_strdup_printf (_ ("epoch %.0f"), self->x[self->hover]);
  g_autoptr (GArray) lines = hover_lines (self, f, MAX ((guint)((height - 10.0) / LABEL_HEIGHT), 2) - 1);

  card = text_width (self, head);
  for (guint i = 0; i < lines->len; i++)
    card = MAX (card, text_width (self, g_array_index (lines, Line, i).words));
  card = MIN (card + 13.0, 220.0);
  card_height = 8.0 + (lines->len + 1) * LABEL_HEIGHT;
  left = x < (f->left + f->right) / 2.0 ? x + 10.0 : x - 10.0 - card;
  y = CLAMP (f->top - 6.0, 0.0, MAX (height - card_height - 1.0, 0.0));
  cairo_rectangle (cr, floor (left) + 0.5, floor (y) + 0.5, card, card_height);
  cairo_set_source_rgba (cr, ground, ground, ground, 0.92);
  cairo_fill_preserve (cr);
  cairo_set_source_rgba (cr, ink, ink, ink, 0.2);
  cairo_stroke (cr);
  cairo_set_source_rgba (cr, ink, ink, ink, 0.8);
  text (self, cr, head, left + 6.0, y + 10.0, AT_LEFT, FALSE, card - 12.0);
  for (guint i = 0; i < lines->len; i++) {
    const Line *line = &g_array_index (lines, Line, i);

    set_colour (cr, line->series->rgb, dark, 1.0);
    text (self, cr, line->words, left + 6.0, y + 10.0 + (i + 1) * LABEL_HEIGHT, AT_LEFT, FALSE, card - 12.0);
  }
}

/* Dots on the lines, and a card with the values on the side with more room. */
void
tess_chart_draw_hover (TessChart *self, cairo_t *cr, int width, int height)
{
  gboolean dark = adw_style_manager_get_dark (adw_style_manager_get_default ());
  double x, ink = dark ? 1.0 : 0.0;
  TessChartFrame f;

  tess_chart_frame (self, width, height, &f);
  x = tess_chart_place_x (&f, self->x[self->hover]);
  cairo_set_source_rgba (cr, ink, ink, ink, 0.35);
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
  }
  draw_card (self, cr, &f, height, x, dark);
}
