#pragma once

#include "tess-case.h"
#include "tess-sampler.h"
#include "tess-snapshot.h"
#include "tess-thread.h"

G_BEGIN_DECLS

/* The newest snapshot, handed from the trainer to whoever looks: publishing is one atomic exchange of an owned
 * pointer and never waits for a reader. */
typedef struct {
  TessSnapshot *_Atomic fresh; /* published and not yet seen by a reader */
  TessMutex readers;           /* among readers */
  TessSnapshot *seen;
} TessSnapshotSlot;

void          tess_snapshot_slot_init    (TessSnapshotSlot *slot);
void          tess_snapshot_slot_clear   (TessSnapshotSlot *slot);
void          tess_snapshot_slot_publish (TessSnapshotSlot *slot, TessSnapshot *snapshot); /* takes it; one thread */
TessSnapshot *tess_snapshot_slot_newest  (TessSnapshotSlot *slot); /* new reference or NULL; any thread */

/* One fixed validation patch and the batch-1 program that looks at it. The trainer's thread only. */
typedef struct _TessLiveView TessLiveView;

/* session: bound, borrowed; program: INFER, batch 1. c: read, not kept. */
TessLiveView *tess_live_view_new  (TessSession *session, int program, const TessPlan *plan, const TessCase *c, GError **error);
void          tess_live_view_free (TessLiveView *view);
TessSnapshot *tess_live_view_take (TessLiveView *view, gint64 epoch, gint64 iteration, GError **error);
gboolean      tess_live_view_activated (const TessLiveView *view); /* the last one's logits look activated (tess-train-check.h) */
double        tess_live_view_cost (const TessLiveView *view); /* seconds the last one took */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessLiveView, tess_live_view_free)

G_END_DECLS
