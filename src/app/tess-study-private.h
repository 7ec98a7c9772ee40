#pragma once

/* Private to the study's own files. */

#include "tess-patch-grid.h"
#include "tess-study.h"

G_BEGIN_DECLS

/* What a worker finds out about a volume. */
typedef struct {
  GArray *facts;          /* TessLabelFact, ascending; NULL for images and while unknown */
  TessLabelTable *labels; /* names and colours for all of them; NULL for images */
  double lower, upper;    /* robust window of the first channel */
  gboolean hounsfield;
} TessSurvey;

TessSurvey *tess_survey_new (const TessLayer *layer, TessProgress *progress, GError **error); /* any thread */
void tess_survey_free (TessSurvey *survey);
/* What can be said at once; the rest unknown. */
TessSurvey *tess_survey_new_quick (const TessLayer *layer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSurvey, tess_survey_free)

typedef struct _TessStudyBefore TessStudyBefore;

struct _TessStudy {
  GObject parent_instance;
  TessScene *scene;
  GHashTable *surveys; /* TessLayer -> TessSurvey; also of layers taken out to be put back */
  TessLayer *active;
  char *path, *title, *subtitle, *findings_name;
  guint64 serial, last_serial; /* another one whenever all layers went at once */
  TessStudyBefore *before;     /* put aside while a scan is shown that is not whole yet */
  guint64 generation;    /* of the open scan: grows with every open and close */
  TessProgress *opening; /* of the scan being read; NULL when none is */
  GPtrArray *waiting;    /* GTask: labels read before their scan was */
  gboolean grid_shown;
  gint64 patch[3], stride[3];
  TessPatchGrid *grid;
};

/* Puts a layer in (taken; there must be room) and tells everybody. Its survey is in the table already. */
void tess_study_take_layer  (TessStudy *self, TessLayer *layer, guint position);
void tess_study_drop_layers (TessStudy *self); /* tells nobody */
void tess_study_show_nothing (TessStudy *self);
void tess_study_forget_before (TessStudy *self);
void tess_study_emit_completed (TessStudy *self); /* the scan shown while it was read is whole */

G_END_DECLS
