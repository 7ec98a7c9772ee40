#pragma once

#include "tess-json.h"
#include "tess-metrics.h"
#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct {
  gint64 value;
  char *name;     /* the data set's, or "label 3" */
  guint8 rgba[4];
  double dice;    /* mean over the cases that have it; NaN when none has */
  guint n_absent; /* cases with the label in neither map */
} TessEvaluationLabel;

/* One case of a folder evaluation; an item of a list. Immutable. */
#define TESS_TYPE_EVALUATION_CASE (tess_evaluation_case_get_type ())
G_DECLARE_FINAL_TYPE (TessEvaluationCase, tess_evaluation_case, TESS, EVALUATION_CASE, GObject)

const char *tess_evaluation_case_get_name       (TessEvaluationCase *self);
const char *tess_evaluation_case_get_reference  (TessEvaluationCase *self); /* path */
const char *tess_evaluation_case_get_prediction (TessEvaluationCase *self); /* path */
const char *tess_evaluation_case_get_image      (TessEvaluationCase *self); /* path, NULL when none lies beside */
double      tess_evaluation_case_get_dice       (TessEvaluationCase *self); /* mean over labels, NaN when undefined */
double      tess_evaluation_case_get_hd95       (TessEvaluationCase *self); /* of the worst label, mm, NaN when undefined */
double      tess_evaluation_case_get_difference (TessEvaluationCase *self); /* of all labels' volume, percent */
/* One a label of the evaluation, in its order. */
const TessLabelMetrics *tess_evaluation_case_peek (TessEvaluationCase *self, guint *n);

/* A folder of predictions against a folder of references. Ref-counted like its list; immutable. */
typedef struct {
  char *reference, *prediction; /* folders */
  GArray *labels;               /* TessEvaluationLabel, ascending */
  GListStore *cases;            /* TessEvaluationCase, worst mean Dice first */
  double dice;                  /* mean of the labels' means */
  guint n_lone_reference, n_lone_prediction; /* files without a partner */
} TessEvaluation;

/* tess_evaluate() and all that is needed to show it; any thread. */
TessEvaluation *tess_evaluation_new (const char *reference, const char *prediction, TessProgress *progress, GError **error);
/* From tess_evaluate()'s result. */
TessEvaluation *tess_evaluation_from_json (JsonNode *root, const char *reference, const char *prediction, GError **error);
void tess_evaluation_free (TessEvaluation *evaluation);
/* A line a case and label; what is undefined is empty. */
char *tess_evaluation_to_csv (const TessEvaluation *evaluation);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessEvaluation, tess_evaluation_free)

G_END_DECLS
