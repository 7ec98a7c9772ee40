#pragma once

#include "tess-dataset.h"
#include "tess-plan.h"
#include "tess-statistics.h"

G_BEGIN_DECLS

/* One decoded scan: native voxels and the constants computed once. Atomically ref-counted, immutable. */
typedef struct {
  gatomicrefcount ref_count;
  char       *id;
  guint       n_channels;
  TessVolume *images[TESS_MAX_CHANNELS]; /* one channel each, one grid */
  TessStatistics statistics[TESS_MAX_CHANNELS];
  TessVolume *label; /* NULL for a scan to be segmented */
  /* Voxels of every foreground class: linear index x + dim[0]*(y + dim[1]*z), ascending, at most 10000 a class,
   * evenly spaced over all of them. */
  guint    n_labels;
  guint32 *class_count;  /* [n_labels], [0] = 0 */
  guint64 **class_voxels; /* [n_labels] */
  gsize    bytes; /* memory held */
} TessCase;

/* constants_dir: where statistics and foreground index are kept between runs (NULL = nowhere); a kept file that does
 * not fit the case is ignored and written anew. */
TessCase *tess_case_load  (const TessDataset *dataset, guint index, const char *constants_dir, TessProgress *progress, GError **error);
/* For prediction: references are taken. */
TessCase *tess_case_new   (const char *id, TessVolume *const *images, guint n_channels, TessVolume *label, guint n_labels, GError **error);
TessCase *tess_case_ref   (TessCase *c);
void      tess_case_unref (TessCase *c);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessCase, tess_case_unref)

G_END_DECLS
