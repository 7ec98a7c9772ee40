#pragma once

#include "tess-plan.h"
#include "tess-sampler.h"

G_BEGIN_DECLS

/* Which case, which place and which random numbers every sample of a run uses: a pure function of the plan, the
 * training and validation cases and the sample's position, so that a run resumes at any iteration. Holds small caches
 * of permutations: one thread at a time. */
typedef struct _TessSchedule TessSchedule;

typedef struct {
  gboolean validation;
  gint64   epoch;  /* from 0 */
  gint64   sample; /* in the epoch's training or validation samples: iteration * batch + place in the batch */
} TessSamplePosition;

typedef struct {
  guint         case_index; /* into dataset->cases */
  TessSampleKey key;
} TessScheduledSample;

/* train, val: indices into the dataset's cases; copied. */
TessSchedule *tess_schedule_new  (const TessPlan *plan, const guint *train, guint n_train, const guint *val, guint n_val);
void          tess_schedule_free (TessSchedule *schedule);
void          tess_schedule_get  (TessSchedule *schedule, const TessSamplePosition *position, TessScheduledSample *out);
/* Decoded training cases a moment of the run needs: the rotating pool, or all of them. */
guint         tess_schedule_pool (const TessSchedule *schedule);
/* nnU-Net's rule: place i of a batch is centred on foreground iff i >= round (batch * (1 - oversample)). */
gboolean      tess_schedule_forced_foreground (const TessPlan *plan, gint64 place);

/* Shares of a running schedule. progress in [0,1]: epoch / epochs, or the used part of a time budget. */
double        tess_schedule_learning_rate (const TessPlan *plan, double progress);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSchedule, tess_schedule_free)

G_END_DECLS
