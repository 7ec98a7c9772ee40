#pragma once

#include "tess-chart.h"

G_BEGIN_DECLS

typedef struct {
  char *name;
  guint8 rgb[3];
  double *y; /* [n] */
  guint order;
} TessSeries;

typedef struct {
  double x;
  char *sentence;
} TessChartMark;

struct _TessChart {
  GtkWidget parent_instance;

  char *title, *message;
  guint n;
  double *x;
  GPtrArray *series; /* TessSeries */
  GArray *marks;     /* TessChartMark */
  double lower, upper, best, cursor;
  char *best_text;

  GskRenderNode *node; /* all but what is under the pointer */
  int node_width, node_height;
  int hover;      /* index into x, -1 none */
  double hover_y; /* of the pointer, pixels */
  GtkWidget *menu;
};

/* Where the curves are, in widget coordinates, and what they span. */
typedef struct {
  double left, right, top, bottom;
  double x0, x1, y0, y1;
} TessChartFrame;

void tess_chart_frame (TessChart *self, int width, int height, TessChartFrame *frame);
double tess_chart_place_x (const TessChartFrame *f, double x);
double tess_chart_place_y (const TessChartFrame *f, double y);
void tess_chart_draw (TessChart *self, cairo_t *cr, int width, int height);
void tess_chart_draw_cursor (TessChart *self, cairo_t *cr, int width, int height);
void tess_chart_draw_hover (TessChart *self, cairo_t *cr, int width, int height);
char *tess_chart_number (double value);

G_END_DECLS
