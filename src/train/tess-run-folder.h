#pragma once

#include "tess-dataset.h"
#include "tess-plan.h"
#include "tess-splits.h"

G_BEGIN_DECLS

/* The files of one training run. DESIGN's contract:
 *   plan.json dataset.json cases/ log.csv progress.json snapshots/eEEEE.safetensors best.safetensors latest.safetensors
 * and `lock`, held while a training writes. Everything is under a temporary name until it is whole; log.csv grows by
 * whole lines. Epochs in files are counted from 1. */
typedef struct _TessRunFolder TessRunFolder;

/* One line of log.csv. Undefined values are NaN here and empty there. */
typedef struct {
  gint64  epoch;     /* from 1 */
  gint64  iteration; /* over the whole run */
  double  train_loss, val_loss;
  guint   n_labels;
  double *dice; /* [n_labels]; [0] = mean of the foreground */
  double  learning_rate, seconds, loader_share;
} TessEpochRecord;

void             tess_epoch_record_clear (TessEpochRecord *record);

TessRunFolder   *tess_run_folder_new     (const char *path); /* touches nothing */
void             tess_run_folder_free    (TessRunFolder *run); /* unlocks */
const char      *tess_run_folder_path    (const TessRunFolder *run);
char            *tess_run_folder_file    (const TessRunFolder *run, const char *name);
gboolean         tess_run_folder_has_run (const TessRunFolder *run); /* there are trained weights in it */
/* A new run would write over a dataset.json that no training wrote (a dataset's own, another program's): MISMATCH. */
gboolean         tess_run_folder_check_free (const TessRunFolder *run, GError **error);
/* Nothing is written: could files be made there? IO. */
gboolean         tess_run_folder_check_writable (const TessRunFolder *run, GError **error);
/* Makes the folder and keeps other trainings out of it; IO, or MISMATCH when one is at work. */
gboolean         tess_run_folder_lock    (TessRunFolder *run, GError **error);

/* What a run was started with. */
typedef struct {
  char    *identity, *directory;
  int      fold; /* -1 = all */
  double   val_fraction;
  double   minutes; /* its time budget; 0: it counts epochs */
  TessSplit split;
} TessRunDataset;

void     tess_run_dataset_clear       (TessRunDataset *d);
gboolean tess_run_folder_save_dataset (TessRunFolder *run, const TessDataset *dataset, const TessRunDataset *d, GError **error);
/* dataset: its cases turn the ids of the split into indices; MISMATCH when the run is of another dataset. */
gboolean tess_run_folder_load_dataset (TessRunFolder *run, const TessDataset *dataset, TessRunDataset *d, GError **error);

/* Makes log, snapshots and folders agree with a checkpoint after `epochs` whole epochs: later lines and snapshots go,
 * as do leftovers of a killed training. history: the lines that stay (TessEpochRecord). */
gboolean tess_run_folder_cut_back     (TessRunFolder *run, const TessPlan *plan, gint64 epochs, GArray **history, GError **error);
gboolean tess_run_folder_append       (TessRunFolder *run, const TessEpochRecord *record, GError **error);
gboolean tess_run_folder_save_progress (TessRunFolder *run, JsonNode *node, GError **error); /* progress.json; takes the node */

char    *tess_run_folder_snapshot     (TessRunFolder *run, gint64 epoch); /* its path */
char    *tess_run_folder_newest_snapshot (TessRunFolder *run);            /* relative to the run; NULL when none */
/* Keeps 50 snapshots; beyond, drops some until all together take max_bytes. First and newest stay. */
void     tess_run_folder_thin_snapshots (TessRunFolder *run, guint keep, guint64 max_bytes);
/* The rule: which of n files (ascending epochs, their bytes) go; gone[] is filled. */
void     tess_thin_snapshots          (guint n, const gint64 *epochs, const guint64 *bytes, guint keep, guint64 max_bytes, gboolean *gone);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessRunFolder, tess_run_folder_free)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TessRunDataset, tess_run_dataset_clear)

G_END_DECLS
