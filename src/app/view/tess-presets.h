#pragma once

#include "tess-study.h"

G_BEGIN_DECLS

#define TESS_N_PRESETS 9

/* Windows by name: a CT's in HU where the values look like one, else shares of the robust range. */
const char *tess_preset_name   (gboolean hounsfield, guint i); /* translated; i from 0 to TESS_N_PRESETS - 1 */
void        tess_preset_window (gboolean hounsfield, guint i, double auto_lower, double auto_upper, double *lower, double *upper);
int         tess_preset_find   (TessStudy *study, TessLayer *layer); /* the one in use, or -1 */
void        tess_preset_apply  (TessStudy *study, TessLayer *layer, guint i);

G_END_DECLS
