#include "tess-live-view.h"

#include "tess-train-check.h"

#include <stdatomic.h>

#define CANDIDATES 8u                /* places looked at to find one that shows much */
#define VIEW_EPOCH (G_MAXUINT32 - 1) /* in the keys: no epoch of training or validation */

/* ---- slot ---- */

void
tess_snapshot_slot_init (TessSnapshotSlot *slot)
{
  atomic_init (&slot->fresh, NULL);
  tess_mutex_init (&slot->readers);
  slot->seen = NULL;
}

void
tess_snapshot_slot_clear (TessSnapshotSlot *slot)
{
  g_clear_pointer (&slot->seen, tess_snapshot_unref);
  tess_snapshot_unref (atomic_exchange (&slot->fresh, NULL));
  tess_mutex_clear (&slot->readers);
}

void
tess_snapshot_slot_publish (TessSnapshotSlot *slot, TessSnapshot *snapshot)
{
  /* What nobody has taken meanwhile comes back to us. */
  tess_snapshot_unref (atomic_exchange_explicit (&slot->fresh, snapshot, memory_order_acq_rel));
}

TessSnapshot *
tess_snapshot_slot_newest (TessSnapshotSlot *slot)
{
  TessSnapshot *fresh, *newest;

  tess_mutex_lock (&slot->readers);
  fresh = atomic_exchange_explicit (&slot->fresh, NULL, memory_order_acq_rel);
  if (fresh) {
    tess_snapshot_unref (slot->seen);
    slot->seen = fresh;
  }
  newest = slot->seen ? tess_snapshot_ref (slot->seen) : NULL;
  tess_mutex_unlock (&slot->readers);
  return newest;
}

/* ---- view ---- */

struct _TessLiveView {
  TessSession *session;
  int program;
  char *case_id;
  guint n_channels, n_classes; /* of the logits */
  gboolean sigmoid, activated;
  gint64 dhw[3];
  float *image; /* {1, D, H, W, C} */
  gsize image_bytes;
  guint16 *shown; /* {C, D, H, W} float16 */
  guint8 *truth;
  float *logits; /* of the largest head */
  double cost;
};

void
tess_live_view_free (TessLiveView *view)
{
  if (!view)
    return;
  g_free (view->case_id);
  g_free (view->image);
  g_free (view->shown);
  g_free (view->truth);
  g_free (view->logits);
  g_free (view);
}

/* More classes first, then more foreground. */
static guint64
score (const guint8 *label, gsize n)
{
  guint64 foreground = 0, classes = 0;
  gboolean there[256] = {FALSE};

  for (gsize i = 0; i < n; i++)
    if (label[i] > 0) {
      foreground++;
      classes += !there[label[i]];
      there[label[i]] = TRUE;
    }
  return (classes << 48) + foreground;
}

static gboolean
draw (TessLiveView *view, const TessPlan *plan, const TessCase *c, guint32 sample, GError **error)
{
  TessSampleKey key = {
      .random = TRUE, .foreground = TRUE, .seed = (guint64)plan->training.seed, .epoch = VIEW_EPOCH, .sample = sample};
  TessPatchOut out = {
      .region = {{0, 0, 0}, {plan->patch[0], plan->patch[1], plan->patch[2]}},
      .image = view->image,
      .label = view->truth,
  };

  return tess_sampler_draw (plan, c, &key, &out, error);
}

/* Sigmoids: labels become what is painted of them, the last region that holds each, as in the prediction. */
static void
paint_truth (TessLiveView *view, const TessPlan *plan, gsize n)
{
  guint8 painted[256] = {0};

  if (!view->sigmoid)
    return;
  for (guint v = 0; v < plan->n_labels; v++)
    for (guint i = 0; i < view->n_classes; i++)
      if (tess_plan_output_holds (plan, i, v))
        painted[v] = (guint8)(i + 1);
  for (gsize i = 0; i < n; i++)
    view->truth[i] = painted[view->truth[i]];
}

/* What is shown: the part of the patch that the finest head has logits for, in its middle. */
static void
keep_middle (TessLiveView *view, const TessPlan *plan)
{
  const gint64 full[3] = {plan->patch[2], plan->patch[1], plan->patch[0]};
  gsize n = (gsize)(view->dhw[0] * view->dhw[1] * view->dhw[2]), i = 0;

  for (gint64 z = 0; z < view->dhw[0]; z++)
    for (gint64 y = 0; y < view->dhw[1]; y++)
      for (gint64 x = 0; x < view->dhw[2]; x++, i++) {
        gint64 at = ((z + (full[0] - view->dhw[0]) / 2) * full[1] + y + (full[1] - view->dhw[1]) / 2) * full[2] + x +
                    (full[2] - view->dhw[2]) / 2;

        view->truth[i] = view->truth[at]; /* never before i */
        for (guint c = 0; c < view->n_channels; c++)
          view->shown[c * n + i] = tess_float_to_f16 (view->image[(gsize)at * view->n_channels + c]);
      }
}

/**
 * tess_live_view_new:
 * @c: a validation case
 *
 * The patch is the one of a few random places, each centred on foreground, that shows most classes and most
 * foreground: the same one in every run with this seed.
 *
 * Returns: (transfer full): the view, or %NULL.
 */
TessLiveView *
tess_live_view_new (TessSession *session, int program, const TessPlan *plan, const TessCase *c, GError **error)
{
  g_autoptr (TessLiveView) view = g_new0 (TessLiveView, 1);
  const TessNetwork *network = tess_session_network (session, program);
  gsize n = (gsize)(plan->patch[0] * plan->patch[1] * plan->patch[2]);
  guint64 best_score = 0;
  guint32 best = 0;

  view->session = session;
  view->program = program;
  view->case_id = g_strdup (c->id);
  view->n_channels = plan->n_channels;
  view->n_classes = tess_plan_n_outputs (plan);
  view->sigmoid = tess_plan_is_sigmoid (plan);
  memcpy (view->dhw, tess_graph_tensor (network->graph, network->logits[0])->dim + 1, sizeof view->dhw);
  view->image_bytes = n * view->n_channels * sizeof (float);
  view->image = g_try_malloc (view->image_bytes);
  view->shown = g_try_new (guint16, n * view->n_channels);
  view->truth = g_try_malloc (n);
  view->logits = g_try_new (float, n * view->n_classes);
  if (!view->image || !view->shown || !view->truth || !view->logits) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("no memory for the validation patch; use a smaller patch"));
    return NULL;
  }
  for (guint32 i = 0; i < CANDIDATES; i++) {
    guint64 s;

    if (!draw (view, plan, c, i, error))
      return NULL;
    s = score (view->truth, n);
    if (s > best_score) {
      best_score = s;
      best = i;
    }
  }
  if (!draw (view, plan, c, best, error))
    return NULL;
  paint_truth (view, plan, n);
  keep_middle (view, plan);
  return g_steal_pointer (&view);
}

TessSnapshot *
tess_live_view_take (TessLiveView *view, gint64 epoch, gint64 iteration, GError **error)
{
  const TessNetwork *network = tess_session_network (view->session, view->program);
  gint64 start = g_get_monotonic_time (), head_dhw[TESS_MAX_HEADS][3];
  guint n_heads = MIN (network->n_heads, TESS_MAX_HEADS);
  g_autoptr (TessSnapshot) snapshot = NULL;
  gsize n = (gsize)(view->dhw[0] * view->dhw[1] * view->dhw[2]);
  TessStepArgs args = {0};

  for (guint h = 0; h < n_heads; h++)
    memcpy (head_dhw[h], tess_graph_tensor (network->graph, network->logits[h])->dim + 1, sizeof head_dhw[h]);
  snapshot = tess_snapshot_new (view->case_id, view->n_channels, view->n_classes + (view->sigmoid ? 1 : 0), n_heads,
                                view->dhw, (const gint64 (*)[3])head_dhw, error);
  if (!snapshot ||
      !tess_session_write (view->session, view->program, network->image, view->image, view->image_bytes, error) ||
      !tess_session_run (view->session, view->program, &args, error))
    return NULL;
  snapshot->epoch = epoch;
  snapshot->iteration = iteration;
  snapshot->sigmoid = view->sigmoid;
  memcpy (snapshot->image, view->shown, n * view->n_channels * sizeof (guint16));
  memcpy (snapshot->truth, view->truth, n);
  for (guint h = 0; h < n_heads; h++) {
    const TessTensor *t = tess_graph_tensor (network->graph, network->logits[h]);

    if (!tess_session_read (view->session, view->program, network->logits[h], view->logits, t->bytes, error))
      return NULL;
    if (h == 0)
      view->activated = tess_logits_look_activated (view->logits, n, view->n_classes, view->sigmoid);
    tess_snapshot_set_head (snapshot, h, view->logits);
  }
  view->cost = (double)(g_get_monotonic_time () - start) / 1e6;
  return g_steal_pointer (&snapshot);
}

gboolean
tess_live_view_activated (const TessLiveView *view)
{
  return view->activated;
}

double
tess_live_view_cost (const TessLiveView *view)
{
  return view->cost;
}
