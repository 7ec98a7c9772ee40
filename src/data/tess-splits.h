#pragma once

#include "tess-dataset.h"

G_BEGIN_DECLS

/* Indices into dataset->cases, ascending. */
typedef struct {
  guint  n_train, n_val;
  guint *train, *val;
} TessSplit;

/* nnU-Net's rule: scikit-learn KFold (5, shuffle, random_state 12345) on the sorted ids; splits_final.json in the
 * dataset's folder, when there, is used instead. fold -1 = all cases both train and validate. Fewer than 5 cases:
 * as many folds as cases (at least 2). */
gboolean tess_split_fold     (const TessDataset *dataset, int fold, TessSplit *split, GError **error);
gboolean tess_split_fraction (const TessDataset *dataset, double fraction, guint64 seed, TessSplit *split, GError **error);
void     tess_split_clear    (TessSplit *split);

G_END_DECLS
