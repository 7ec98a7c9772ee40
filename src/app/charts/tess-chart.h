#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Curves over epochs: one light grid, names and last values at the ends of the lines, the best epoch marked. Values
 * under the pointer, or under the arrow keys; the menu copies the data as CSV or the picture. Actions: chart.copy-csv,
 * chart.copy-picture. */
#define TESS_TYPE_CHART (tess_chart_get_type ())
G_DECLARE_FINAL_TYPE (TessChart, tess_chart, TESS, CHART, GtkWidget)

GtkWidget *tess_chart_new (const char *title);
/* New contents: begin, then what there is, then end. x: n ascending epochs; NaN leaves a gap. All is copied. */
void tess_chart_begin (TessChart *self, guint n, const double *x);
void tess_chart_add_series (TessChart *self, const char *name, const guint8 rgb[3], const double *y);
void tess_chart_set_range (TessChart *self, double lower, double upper); /* NaN: from the data */
void tess_chart_set_best (TessChart *self, double x, const char *text);  /* NaN: none */
void tess_chart_add_mark (TessChart *self, double x, const char *sentence);
void tess_chart_end (TessChart *self);
void tess_chart_set_message (TessChart *self, const char *message); /* shown while there are no epochs */
void tess_chart_set_cursor (TessChart *self, double x); /* an epoch marked in all charts; NaN: none. Survives begin */
char *tess_chart_to_csv (TessChart *self);

G_END_DECLS
