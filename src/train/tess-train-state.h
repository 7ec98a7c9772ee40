#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* Where a training is: what a checkpoint holds besides parameters and momentum. */
typedef struct {
  gint64 epoch;       /* whole epochs done */
  gint64 iteration;   /* done in the next one; all of them: only its validation is left */
  gint64 total;       /* iterations over the whole run */
  double loss_sum;    /* over the iterations of the epoch */
  double ema;         /* nnU-Net's running mean foreground Dice: 0.9 old + 0.1 new; NaN before the first */
  double best;        /* largest ema so far; NaN before the first */
  gint64 best_epoch;  /* from 1; 0 none */
  double elapsed;     /* seconds of training so far, pauses not counted */
  double epoch_seconds, epoch_steps, epoch_waiting; /* of this epoch: all, in training steps, of these waiting for data */
  double last_rate;   /* learning rate of the last iteration */
  gint64 n_epochs;    /* what the run was asked for; 0 when a time budget rules */
  double minutes;
  guint  n_threads;   /* what it ran on: bit-identity needs the same */
  char   precision[8], backend[16];
} TessTrainCheckpoint;

void     tess_train_checkpoint_init      (TessTrainCheckpoint *c);
char    *tess_train_checkpoint_to_text   (const TessTrainCheckpoint *c);
gboolean tess_train_checkpoint_from_text (TessTrainCheckpoint *c, const char *text, const char *origin, GError **error);

G_END_DECLS
