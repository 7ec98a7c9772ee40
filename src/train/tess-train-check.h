#pragma once

#include "tess-trainer-private.h"

G_BEGIN_DECLS

gboolean tess_logits_look_activated  (const float *logits, gsize n, guint channels, gboolean sigmoid);
void     tess_training_check_plan    (TessTraining *t); /* before the first iteration */
void     tess_training_check_classes (TessTraining *t); /* after every epoch */
void     tess_training_check_heads   (TessTraining *t); /* after a snapshot */

G_END_DECLS
