#pragma once

#include "tess-plan.h"
#include "tess-session.h"

G_BEGIN_DECLS

/* What every deep-supervision head says about one fixed validation patch. Plain memory, ref-counted, immutable once
 * published. Axis order of all arrays: z, y, x (x fastest). */
typedef struct {
  gint64  dhw[3];
  guint8 *probabilities; /* {classes, D, H, W}: round (255 p) */
} TessSnapshotHead;

typedef struct {
  gatomicrefcount ref_count;
  gint64    epoch, iteration; /* epoch: the one it was taken in, from 1 (0 = before training); iterations over the whole run */
  char     *case_id;
  guint     n_channels, n_classes, n_heads;
  gint64    dhw[3];
  guint16  *image; /* {C, D, H, W} float16 */
  guint8   *truth; /* {D, H, W} */
  TessSnapshotHead heads[TESS_MAX_HEADS]; /* finest first */
  /* Classes are regions, each with a probability of its own; [0] is what is left for the background. What is shown as
   * label is painted: in order every class of at least 128, later ones over earlier ones; so is truth. */
  gboolean  sigmoid;
} TessSnapshot;

/* All arrays taken, unset. head_dhw: [n_heads][3]. NULL with BAD_SHAPE or NO_MEMORY. */
TessSnapshot *tess_snapshot_new   (const char *case_id, guint n_channels, guint n_classes, guint n_heads, const gint64 dhw[3],
                                   const gint64 head_dhw[][3], GError **error);
TessSnapshot *tess_snapshot_ref   (TessSnapshot *snapshot);
void          tess_snapshot_unref (TessSnapshot *snapshot);
/* Softmax of logits {d, h, w, classes} into a head; sigmoid: of {d, h, w, classes - 1}. */
void          tess_snapshot_set_head (TessSnapshot *snapshot, guint head, const float *logits);
gboolean      tess_snapshot_save  (const TessSnapshot *snapshot, const char *path, GError **error); /* safetensors, atomic */
TessSnapshot *tess_snapshot_load  (const char *path, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessSnapshot, tess_snapshot_unref)

G_END_DECLS
