#include "tess-progress.h"
#include "tess-thread.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct _TessProgress {
  atomic_int refs;
  atomic_bool cancelled;
  _Atomic guint64 fraction; /* the bits of a double: lock-free on every machine we run on */
  TessMutex mutex;          /* guards the two below */
  TessProgressFunc func;
  gpointer user_data;
};

TessProgress *
tess_progress_new (void)
{
  TessProgress *progress = g_new0 (TessProgress, 1);

  atomic_init (&progress->refs, 1);
  atomic_init (&progress->cancelled, FALSE);
  atomic_init (&progress->fraction, 0); /* 0.0 */
  tess_mutex_init (&progress->mutex);
  return progress;
}

TessProgress *
tess_progress_ref (TessProgress *progress)
{
  if (progress)
    atomic_fetch_add_explicit (&progress->refs, 1, memory_order_relaxed);
  return progress;
}

void
tess_progress_unref (TessProgress *progress)
{
  if (!progress || atomic_fetch_sub_explicit (&progress->refs, 1, memory_order_acq_rel) != 1)
    return;
  tess_mutex_clear (&progress->mutex);
  g_free (progress);
}

/* @func is called on the thread that sets the fraction, without a lock held; NULL removes it. A call already under
 * way on another thread may still end after this returns. */
void
tess_progress_set_notify (TessProgress *progress, TessProgressFunc func, gpointer user_data)
{
  if (!progress)
    return;
  tess_mutex_lock (&progress->mutex);
  progress->func = func;
  progress->user_data = user_data;
  tess_mutex_unlock (&progress->mutex);
}

void
tess_progress_set (TessProgress *progress, double fraction)
{
  TessProgressFunc func;
  gpointer user_data;
  guint64 bits;

  if (!progress)
    return;
  fraction = isnan (fraction) ? 0.0 : CLAMP (fraction, 0.0, 1.0);
  memcpy (&bits, &fraction, sizeof bits);
  atomic_store_explicit (&progress->fraction, bits, memory_order_relaxed);
  tess_mutex_lock (&progress->mutex);
  func = progress->func;
  user_data = progress->user_data;
  tess_mutex_unlock (&progress->mutex);
  if (func)
    func (progress, fraction, user_data);
}

double
tess_progress_get (TessProgress *progress)
{
  double fraction = 0.0;
  guint64 bits;

  if (!progress)
    return 0.0;
  bits = atomic_load_explicit (&progress->fraction, memory_order_relaxed);
  memcpy (&fraction, &bits, sizeof bits);
  return fraction;
}

/* One atomic store: may be called from a signal handler. */
void
tess_progress_cancel (TessProgress *progress)
{
  if (progress)
    atomic_store_explicit (&progress->cancelled, TRUE, memory_order_relaxed);
}

gboolean
tess_progress_is_cancelled (TessProgress *progress)
{
  return progress && atomic_load_explicit (&progress->cancelled, memory_order_relaxed);
}

gboolean
tess_progress_check (TessProgress *progress, GError **error)
{
  if (!tess_progress_is_cancelled (progress))
    return TRUE;
  g_set_error_literal (error, TESS_ERROR, TESS_ERROR_CANCELLED, _ ("cancelled"));
  return FALSE;
}
