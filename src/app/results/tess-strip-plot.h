#pragma once

#include "tess-evaluation.h"
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Dice of every case as a dot, a line a label; a tick at the mean, a ring around the open case. */
#define TESS_TYPE_STRIP_PLOT (tess_strip_plot_get_type ())
G_DECLARE_FINAL_TYPE (TessStripPlot, tess_strip_plot, TESS, STRIP_PLOT, GtkWidget)

/* evaluation: borrowed until the next call; NULL for none. */
void tess_strip_plot_set (TessStripPlot *self, const TessEvaluation *evaluation, TessEvaluationCase *open);

/* The same numbers of one case as bars side by side, each as full as its Dice; a hollow one where it is undefined. */
#define TESS_TYPE_DICE_BARS (tess_dice_bars_get_type ())
G_DECLARE_FINAL_TYPE (TessDiceBars, tess_dice_bars, TESS, DICE_BARS, GtkWidget)

void tess_dice_bars_set (TessDiceBars *self, const TessEvaluation *evaluation, TessEvaluationCase *c);

G_END_DECLS
