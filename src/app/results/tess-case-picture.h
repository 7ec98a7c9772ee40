#pragma once

#include "tess-evaluation.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A small picture of a case of a folder evaluation: the axial slice on which prediction and reference differ most, with
 * the difference over the scan. Read and drawn on a worker when the widget comes on screen, one case at a time. */
#define TESS_TYPE_CASE_PICTURE (tess_case_picture_get_type ())
G_DECLARE_FINAL_TYPE (TessCasePicture, tess_case_picture, TESS, CASE_PICTURE, GtkWidget)

void tess_case_picture_set (TessCasePicture *self, TessEvaluationCase *c); /* NULL: empty */

/* The drawing alone, any thread: size x size pixels, premultiplied native-endian ARGB; NULL when a file of the case
 * cannot be read. */
guint8 *tess_case_picture_draw (TessEvaluationCase *c, int size, GError **error);

G_END_DECLS
