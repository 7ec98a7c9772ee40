#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Lays out a widget's children from left to right in columns of the same width, where the widget is wide enough for
 * columns that can be read; where it is not, from top to bottom in one. Columns do not grow beyond a comfortable line;
 * what is left over is margin on both sides. */
#define TESS_TYPE_COLUMNS (tess_columns_get_type ())
G_DECLARE_FINAL_TYPE (TessColumns, tess_columns, TESS, COLUMNS, GtkLayoutManager)

G_END_DECLS
