#pragma once

#include "tess-comparison.h"
#include "tess-evaluation.h"
#include "tess-job.h"
#include "tess-study.h"

G_BEGIN_DECLS

/* The model of the mode Results: which layers are prediction and reference, their comparison, which of them is seen,
 * and the folder evaluation. Main thread only; its workers hold volumes, never layers. Signals:
 *   "changed"    choice, comparison, display or names
 *   "evaluated"  the folder evaluation came, went or failed, or its chosen case changed
 *   "job"        (TessJob) something long starts: to be shown until it is finished
 *   "failed"     (string, TessResultsRemedy) a sentence for the user that has no place in the page, and what may help
 *   "saved"      (string) the path of an export */
#define TESS_TYPE_RESULTS (tess_results_get_type ())
G_DECLARE_FINAL_TYPE (TessResults, tess_results, TESS, RESULTS, GObject)

typedef enum {
  TESS_RESULTS_NO_LABELS, /* no label layer */
  TESS_RESULTS_ONE_LAYER, /* no reference to compare with */
  TESS_RESULTS_WORKING,
  TESS_RESULTS_FAILED,    /* tess_results_get_sentence() says why */
  TESS_RESULTS_CANCELLED,
  TESS_RESULTS_DONE,
} TessResultsState;

typedef enum {
  TESS_REMEDY_NONE,
  TESS_REMEDY_FOLDERS,    /* evaluate others */
  TESS_REMEDY_REFERENCE,  /* open another */
  TESS_REMEDY_EXPORT_ALL, /* write somewhere else */
  TESS_REMEDY_EXPORT_ONE,
} TessResultsRemedy;

typedef enum {
  TESS_SHOW_PREDICTION,
  TESS_SHOW_REFERENCE,
  TESS_SHOW_DIFFERENCE,
} TessResultsDisplay;

TessResults *tess_results_new (TessStudy *study);

/* The window goes: work is cancelled and what still comes in dropped. */
void tess_results_stop (TessResults *self);

/* Layers are ours to show and hide only while shown. */
void     tess_results_set_visible (TessResults *self, gboolean visible);
gboolean tess_results_get_visible (TessResults *self);

/* Label layers one may choose from, uppermost first (without the difference). */
GPtrArray *tess_results_list_layers    (TessResults *self); /* (transfer container) */
TessLayer *tess_results_get_prediction (TessResults *self); /* NULL when none */
TessLayer *tess_results_get_reference  (TessResults *self);
void       tess_results_set_prediction (TessResults *self, TessLayer *layer); /* the other one, if that was it, moves */
void       tess_results_set_reference  (TessResults *self, TessLayer *layer);
gboolean   tess_results_is_difference  (TessResults *self, const TessLayer *layer);

TessResultsState      tess_results_get_state       (TessResults *self);
const char           *tess_results_get_sentence    (TessResults *self);
gboolean              tess_results_can_retry       (TessResults *self); /* may the same comparison go better */
const TessComparison *tess_results_peek_comparison (TessResults *self); /* NULL unless done */
guint64               tess_results_get_generation  (TessResults *self); /* another one for every comparison */
/* Name and colour of a label, from whichever layer knows one. */
const char *tess_results_label_name (TessResults *self, gint64 value, guint8 rgba[4]);
void        tess_results_compare    (TessResults *self); /* once more, after a failure or cancel */

TessResultsDisplay tess_results_get_display (TessResults *self);
void               tess_results_set_display (TessResults *self, TessResultsDisplay display);
/* The label the difference is about; 0 for all. Moves the cursor to it. */
gint64             tess_results_get_label   (TessResults *self);
void               tess_results_set_label   (TessResults *self, gint64 value);

/* Folders. */
void                  tess_results_evaluate        (TessResults *self, const char *reference, const char *prediction);
gboolean              tess_results_is_evaluating   (TessResults *self);
const TessEvaluation *tess_results_peek_evaluation (TessResults *self);
/* The case that is open or being opened; opening one replaces the study. */
TessEvaluationCase   *tess_results_get_case  (TessResults *self);
void                  tess_results_open_case (TessResults *self, TessEvaluationCase *c);
void                  tess_results_open_reference (TessResults *self, const char *path);
char                 *tess_results_find_reference (const char *scan); /* where a dataset has it; NULL when nowhere */
/* Write the evaluation, or the comparison of what is open, atomically; "saved" or "failed" is emitted. */
void                  tess_results_export_csv        (TessResults *self, const char *path);
void                  tess_results_export_comparison (TessResults *self, const char *path);

G_END_DECLS
