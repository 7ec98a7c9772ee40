#pragma once

/* Private to the three files of the model. */

#include "tess-results.h"

G_BEGIN_DECLS

/* Layers are known by the serial of their voxels: a layer may be freed and another made at its address. 0: none. */
struct _TessResults {
  GObject parent_instance;

  TessStudy *study;
  gboolean visible;
  gboolean arranging; /* the layers change because of us */
  GHashTable *seen;   /* serial -> was it visible before we showed and hid layers */
  guint64 prediction, reference, difference;
  gboolean chosen; /* by the user or a job: not to be guessed again */

  guint64 generation;     /* of the comparison: grows with every start */
  TessProgress *progress; /* of the one that runs */
  TessResultsState state;
  char *sentence;
  gboolean hopeless; /* what failed would fail again */
  TessComparison *comparison;
  guint64 compared[2];   /* what the comparison, or its failure, is about */
  TessVolume *all, *one; /* difference of all labels, and of one_label */
  gint64 one_label, requested;

  TessResultsDisplay display;
  gint64 label;
  TessVolume *shown_difference;
  guint64 difference_generation;

  TessEvaluation *evaluation;
  TessEvaluationCase *open_case, *coming_case;
  guint64 case_serial; /* of the case's reference layer */
  guint64 evaluation_generation, opening_generation;
  TessProgress *evaluating, *opening;
};

typedef enum {
  TESS_RESULTS_CHANGED,
  TESS_RESULTS_EVALUATED,
  TESS_RESULTS_JOB,
  TESS_RESULTS_FAILED_SIGNAL,
  TESS_RESULTS_SAVED,
  TESS_RESULTS_N_SIGNALS
} TessResultsSignal;

extern guint tess_results_signals[TESS_RESULTS_N_SIGNALS];

/* tess-results.c: makes choice, comparison and what is seen fit each other. */
void tess_results_update (TessResults *self);
/* tess-results-display.c */
void tess_results_arrange (TessResults *self);
void tess_results_restore (TessResults *self);
void tess_results_remove_difference (TessResults *self);
TessLayer *tess_results_find (TessResults *self, guint64 serial);
/* A job that the window shows; (transfer full). */
TessJob *tess_results_start_job (TessResults *self, const char *name);
void tess_results_choose (TessResults *self, TessLayer *prediction, TessLayer *reference);

G_END_DECLS
