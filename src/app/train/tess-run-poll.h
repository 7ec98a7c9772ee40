#pragma once

#include "tess-run-folder.h"
#include "tess-trainer.h"

G_BEGIN_DECLS

/* Looks at a run folder that anybody may be writing to, here or on another machine. One look at a time; any thread. */
typedef struct _TessRunPoll TessRunPoll;

typedef enum {
  TESS_RUN_LOOK_ALL = 0,
  TESS_RUN_LOOK_KEPT_ONLY = 1 << 0, /* status, log and newest snapshot come from elsewhere */
  TESS_RUN_LOOK_LOCK = 1 << 1,      /* also ask whether somebody holds the lock */
} TessRunLook;

/* What one look found. NULL: as at the look before, but for trouble. */
typedef struct {
  gboolean has_status; /* progress.json is there and readable */
  gboolean changed;    /* ... and another than at the look before */
  gint64 age;          /* seconds since progress.json was written, by the clocks of here and there; -1 unknown */
  TessTrainStatus status;
  TessPlan *plan;
  GArray *rows; /* TessEpochRecord */
  GArray *kept; /* gint64, ascending epochs; never NULL */
  TessSnapshot *newest;
  char *dataset_dir; /* as the run's dataset.json names it; may not exist here */
  char codes[4];     /* anatomical direction of the patch's index axes, "" while unknown; see tess_affine_orientation */
  gboolean has_checkpoint, has_best;
  gboolean locked; /* with TESS_RUN_LOOK_LOCK */
  char *trouble;   /* the first file that is there and cannot be read: a sentence; NULL when all can */
} TessRunNews;

TessRunPoll *tess_run_poll_new (const char *run_dir);
void tess_run_poll_free (TessRunPoll *poll);
/* case_id: of the snapshot that is shown, whose axes are asked for; NULL: of the newest one found. */
TessRunNews *tess_run_poll_look (TessRunPoll *poll, TessRunLook what, const char *case_id);
void tess_run_news_free (TessRunNews *news);

/* Is this a run folder at all? MISMATCH or IO with a sentence. */
gboolean tess_run_poll_check (const char *run_dir, GError **error);
/* Lines of log.csv in whichever order its header gives; a last line without its end is left for the next look. */
GArray *tess_run_log_parse (const char *text, guint n_labels);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessRunPoll, tess_run_poll_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessRunNews, tess_run_news_free)

G_END_DECLS
