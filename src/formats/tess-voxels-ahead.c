#include "tess-voxels-ahead.h"
#include "tess-parallel.h"
#include "tess-thread.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#define SMALLEST ((gsize)32 << 20) /* below it the thread costs more than it saves */
#define STEP ((gsize)4 << 20)
#define AHEAD                                                                                                          \
  ((gsize)16 << 20) /* near enough that the cleared memory is still in the last cache when it is written; and          \
                     * a header that promises more than comes makes us take no more than this */

struct _TessVoxelsAhead {
  TessVolume *volume;
  TessThread *thread;
  TessMutex mutex; /* guards the two below */
  TessCond changed;
  gsize written;
  gboolean stop;
};

/* Pages between the two offsets, not those at its ends that others may use. FALSE: the kernel cannot (before 5.14). */
static gboolean
populate (guint8 *data, gsize begin, gsize end)
{
  guintptr page = (guintptr)sysconf (_SC_PAGESIZE);
  guintptr first = ((guintptr)(data + begin) + page - 1) / page * page, last = (guintptr)(data + end) / page * page;
  int result;

  if (first >= last)
    return TRUE;
  do
    result = madvise ((void *)first, last - first, MADV_POPULATE_WRITE); /* contents stay; races with no writer */
  while (result != 0 && errno == EINTR);
  return result == 0;
}

static void
run_ahead (gpointer data)
{
  TessVoxelsAhead *ahead = data;
  gsize n = tess_volume_n_bytes (ahead->volume), present = 0;
  guint8 *voxels = tess_volume_data_mut (ahead->volume);
  gboolean going = TRUE;

  while (going && present < n) {
    tess_mutex_lock (&ahead->mutex);
    while (!ahead->stop && present >= ahead->written + AHEAD)
      tess_cond_wait (&ahead->changed, &ahead->mutex);
    going = !ahead->stop;
    present = MAX (present, ahead->written); /* overtaken */
    tess_mutex_unlock (&ahead->mutex);
    if (going && present < n) {
      gsize end = MIN (n, present + STEP);

      going = populate (voxels, present, end);
      present = end;
    }
  }
}

TessVoxelsAhead *
tess_voxels_ahead_new (TessVolume *volume)
{
  TessVoxelsAhead *ahead;

  if (tess_volume_n_bytes (volume) < SMALLEST || tess_parallel_n_cores () < 2)
    return NULL;
  ahead = g_new0 (TessVoxelsAhead, 1);
  ahead->volume = volume;
  tess_mutex_init (&ahead->mutex);
  tess_cond_init (&ahead->changed);
  ahead->thread = tess_thread_new ("ahead", 0, run_ahead, ahead);
  return ahead;
}

void
tess_voxels_ahead_reached (TessVoxelsAhead *ahead, gsize n_bytes)
{
  if (!ahead)
    return;
  tess_mutex_lock (&ahead->mutex);
  ahead->written = n_bytes;
  tess_cond_signal (&ahead->changed);
  tess_mutex_unlock (&ahead->mutex);
}

void
tess_voxels_ahead_free (TessVoxelsAhead *ahead)
{
  if (!ahead)
    return;
  tess_mutex_lock (&ahead->mutex);
  ahead->stop = TRUE;
  tess_cond_signal (&ahead->changed);
  tess_mutex_unlock (&ahead->mutex);
  tess_thread_join (ahead->thread);
  tess_cond_clear (&ahead->changed);
  tess_mutex_clear (&ahead->mutex);
  g_free (ahead);
}
