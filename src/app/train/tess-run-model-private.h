#pragma once

#include "tess-run-model.h"
#include "tess-run-poll.h"

#include <stdatomic.h>

G_BEGIN_DECLS

/* The trainer's end of a string: it pulls from its own thread, at most one ring is on its way. Outlives the model. */
typedef struct {
  gatomicrefcount refs;
  _Atomic int pending;
  TessRunModel *model; /* main thread only; NULL once the model goes */
} Bell;

struct _TessRunModel {
  GObject parent_instance;

  char *run_dir, *dataset_dir;
  gboolean ours;
  TessTrainer *trainer; /* NULL when watching, and when it has ended: it holds the folder's lock */
  Bell *bell;
  gboolean started, stopping, ended, ending;
  gboolean failed, end_due; /* it has ended, and a last look is on its way before that is told */
  GError *end_error;
  TessRunPhase announced; /* of a watched run: time alone changes it, too */

  TessRunPoll *poll;
  gboolean looking, look_again, looked;
  guint timer;
  gint64 last_change;       /* monotonic: when progress.json was last seen to change */
  gboolean locked, written; /* somebody holds the lock; it changed while we watched */
  gint64 age;

  TessTrainStatus status;
  TessPlan *plan;
  char codes[4];
  gboolean axes_known;
  GPtrArray *label_names;
  GArray *rows, *kept;
  TessSnapshot *newest;
  gboolean has_checkpoint, has_best;
  char *trouble;
};

G_END_DECLS
