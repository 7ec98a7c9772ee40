#include "tess-statistics.h"
#include "tess-parallel.h"
#include "tess-thread.h"

#include <math.h>
#include <stdatomic.h>

#define BLOCK ((gsize)16384) /* fixed: results do not depend on the number of threads */
#define LANES ((gsize)4)     /* blocks summed side by side: in one alone every addition waits for the one before */
#define STRETCH ((gsize)512) /* values of every lane at a time: they stay in the nearest cache */
#define MAX_LABELS 65536

/* Of one block: count, mean and sum of squared deviations of the finite values. */
typedef struct {
  double min, max, mean, m2;
  gint64 n, n_not_finite;
} Part;

typedef struct {
  const TessVolume *volume;
  TessProgress *progress;
  gsize first, n, n_blocks;
  gsize begin; /* block that statistics_range () counts from */
  Part *parts;
  atomic_size_t done;
} Job;

static Part
summarise (const double *values, gsize n)
{
  Part part = {.min = INFINITY, .max = -INFINITY};
  double sum = 0.0;

  for (gsize i = 0; i < n; i++) {
    double v = values[i];

    if (!isfinite (v))
      continue;
    part.n++;
    part.min = MIN (part.min, v);
    part.max = MAX (part.max, v);
    sum += v;
  }
  part.n_not_finite = (gint64)n - part.n;
  if (part.n == 0)
    return part;
  part.mean = sum / (double)part.n;
  if (!isfinite (part.mean)) { /* the sum left a double's range */
    part.mean = 0.0;
    for (gsize i = 0; i < n; i++)
      if (isfinite (values[i]))
        part.mean += values[i] / (double)part.n;
  }
  for (gsize i = 0; i < n; i++)
    if (isfinite (values[i]))
      part.m2 += (values[i] - part.mean) * (values[i] - part.mean);
  return part;
}

typedef double Lanes[LANES][STRETCH];

static void
fetch_lanes (const TessVolume *volume, gsize first, Lanes values)
{
  for (gsize k = 0; k < LANES; k++)
    tess_volume_values_f64 (volume, first + k * BLOCK, STRETCH, values[k]);
}

/* LANES whole blocks, every one added up in its own order as summarise () does: the same bits. FALSE when some value is
 * not finite or a sum left a double's range: then this is not the way. */
static gboolean
summarise_lanes (const TessVolume *volume, gsize first, Part parts[LANES])
{
  double sum[LANES] = {0.0}, m2[LANES] = {0.0}, mean[LANES], min[LANES], max[LANES];
  Lanes values;

  for (gsize k = 0; k < LANES; k++) {
    min[k] = INFINITY;
    max[k] = -INFINITY;
  }
  for (gsize at = 0; at < BLOCK; at += STRETCH) {
    fetch_lanes (volume, first + at, values);
    for (gsize i = 0; i < STRETCH; i++)
      for (gsize k = 0; k < LANES; k++) {
        double v = values[k][i];

        min[k] = MIN (min[k], v);
        max[k] = MAX (max[k], v);
        sum[k] += v;
      }
  }
  for (gsize k = 0; k < LANES; k++) {
    if (!isfinite (sum[k]))
      return FALSE;
    mean[k] = sum[k] / (double)BLOCK;
  }
  for (gsize at = 0; at < BLOCK; at += STRETCH) {
    fetch_lanes (volume, first + at, values);
    for (gsize i = 0; i < STRETCH; i++)
      for (gsize k = 0; k < LANES; k++)
        m2[k] += (values[k][i] - mean[k]) * (values[k][i] - mean[k]);
  }
  for (gsize k = 0; k < LANES; k++)
    parts[k] = (Part){.min = min[k], .max = max[k], .mean = mean[k], .m2 = m2[k], .n = (gint64)BLOCK};
  return TRUE;
}

static void
statistics_range (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;
  g_autofree double *values = g_new (double, BLOCK);

  begin += job->begin;
  end += job->begin;
  for (gsize b = begin, k; b < end && !tess_progress_is_cancelled (job->progress); b += k) {
    gsize first = job->first + b * BLOCK, done;

    k = MIN (LANES, end - b);
    if (k < LANES || (b + k) * BLOCK > job->n || !summarise_lanes (job->volume, first, job->parts + b))
      for (gsize i = b; i < b + k; i++) {
        gsize n = MIN (BLOCK, job->n - i * BLOCK);

        tess_volume_values_f64 (job->volume, job->first + i * BLOCK, n, values);
        job->parts[i] = summarise (values, n);
      }
    done = atomic_fetch_add_explicit (&job->done, k, memory_order_relaxed) + k;
    if (begin == job->begin && b % 64 < k) /* one thread reports */
      tess_progress_set (job->progress, (double)done / (double)job->n_blocks);
  }
}

/* Takes room for the parts of all blocks. */
static void
job_start (Job *job, const TessVolume *volume, gint64 channel, TessProgress *progress)
{
  gsize n_voxels = (gsize)tess_volume_n_voxels (volume);

  job->volume = volume;
  job->progress = progress;
  job->first = channel < 0 ? 0 : (gsize)channel * n_voxels;
  job->n = channel < 0 ? n_voxels * (gsize)tess_volume_n_channels (volume) : n_voxels;
  job->n_blocks = (job->n + BLOCK - 1) / BLOCK;
  job->parts = g_new (Part, job->n_blocks);
  atomic_init (&job->done, 0);
}

/* The blocks from @begin on, on all cores; then all of them merged. */
static gboolean
job_finish (Job *job, gsize begin, TessStatistics *out, GError **error)
{
  double mean = 0.0, m2 = 0.0;

  job->begin = begin;
  tess_parallel_for (job->n_blocks - begin, 4, statistics_range, job);
  if (!tess_progress_check (job->progress, error))
    return FALSE;

  *out = (TessStatistics){.min = INFINITY, .max = -INFINITY};
  for (gsize b = 0; b < job->n_blocks; b++) {
    const Part *part = &job->parts[b];
    double n = (double)out->n_finite, k = (double)part->n;

    out->n_not_finite += part->n_not_finite;
    if (part->n == 0)
      continue;
    out->min = MIN (out->min, part->min);
    out->max = MAX (out->max, part->max);
    m2 += part->m2 + (part->mean - mean) * (part->mean - mean) * (n * k / (n + k));
    mean += (part->mean - mean) * (k / (n + k));
    out->n_finite += part->n;
  }
  if (out->n_finite == 0) {
    out->min = out->max = out->mean = out->std = NAN;
    return TRUE;
  }
  out->mean = mean;
  out->std = sqrt (m2 / (double)out->n_finite);
  return TRUE;
}

/**
 * tess_volume_statistics:
 * @channel: one channel, or -1 for all together
 *
 * Of the finite real values, in double precision: every block's mean and sum of squared deviations, merged in block
 * order with the formula of Chan, Golub and LeVeque (1979). Without any finite value all four are NaN.
 */
gboolean
tess_volume_statistics (const TessVolume *volume, gint64 channel, TessProgress *progress, TessStatistics *out,
                        GError **error)
{
  Job job = {0};
  gboolean done;

  g_return_val_if_fail (channel >= -1 && channel < tess_volume_n_channels (volume), FALSE);
  job_start (&job, volume, channel, progress);
  done = job_finish (&job, 0, out, error);
  g_free (job.parts);
  return done;
}

#define AT_ONCE (4 * LANES) /* blocks between two looks at what is wanted */

struct _TessStatisticsRun {
  TessVolume *volume;
  Job job;
  gsize counted; /* blocks; the thread's until it has ended */
  TessThread *thread;
  TessMutex mutex; /* guards the two below */
  TessCond changed;
  gsize readable; /* whole blocks below the watermark */
  gboolean stop;
};

static void
follow (gpointer data)
{
  TessStatisticsRun *run = data;
  gboolean stop;

  do {
    gsize end;

    tess_mutex_lock (&run->mutex);
    while (!run->stop && run->readable - run->counted < AT_ONCE)
      tess_cond_wait (&run->changed, &run->mutex);
    end = run->counted + AT_ONCE;
    stop = run->stop;
    tess_mutex_unlock (&run->mutex);
    if (!stop) {
      statistics_range (run->counted, end, &run->job);
      run->counted = end;
    }
  } while (!stop);
}

/**
 * tess_statistics_follow:
 * @volume: geometry and scaling known, voxels still on their way
 *
 * Begins tess_volume_statistics() of all channels on a thread of its own, behind the volume's watermark.
 */
TessStatisticsRun *
tess_statistics_follow (TessVolume *volume)
{
  TessStatisticsRun *run = g_new0 (TessStatisticsRun, 1);

  run->volume = tess_volume_ref (volume);
  job_start (&run->job, volume, -1, NULL);
  tess_mutex_init (&run->mutex);
  tess_cond_init (&run->changed);
  tess_statistics_run_advance (run);
  run->thread = tess_thread_new ("statistics", 0, follow, run);
  return run;
}

/* There are more slices below the watermark. */
void
tess_statistics_run_advance (TessStatisticsRun *run)
{
  const gint64 *dim = tess_volume_dim (run->volume);
  gsize n_voxels = (gsize)(tess_volume_watermark (run->volume) * dim[0] * dim[1]);

  tess_mutex_lock (&run->mutex);
  run->readable = n_voxels / BLOCK;
  tess_cond_signal (&run->changed);
  tess_mutex_unlock (&run->mutex);
}

static void
end_thread (TessStatisticsRun *run)
{
  tess_mutex_lock (&run->mutex);
  run->stop = TRUE;
  tess_cond_signal (&run->changed);
  tess_mutex_unlock (&run->mutex);
  tess_thread_join (g_steal_pointer (&run->thread));
}

/**
 * tess_statistics_run_finish:
 * @volume: as it was loaded in the end
 *
 * What tess_volume_statistics() of all its channels gives, bit for bit; only what was not counted on the way is counted
 * now. Once a run.
 */
gboolean
tess_statistics_run_finish (TessStatisticsRun *run, const TessVolume *volume, TessProgress *progress,
                            TessStatistics *out, GError **error)
{
  end_thread (run);
  if (volume != run->volume)
    return tess_volume_statistics (volume, -1, progress, out, error);
  run->job.progress = progress;
  return job_finish (&run->job, run->counted, out, error);
}

void
tess_statistics_run_free (TessStatisticsRun *run)
{
  if (!run)
    return;
  if (run->thread)
    end_thread (run);
  tess_cond_clear (&run->changed);
  tess_mutex_clear (&run->mutex);
  g_free (run->job.parts);
  tess_volume_unref (run->volume);
  g_free (run);
}

static int
compare_int64 (gconstpointer a, gconstpointer b)
{
  gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

  return (x > y) - (x < y);
}

/* Adds one block of labels to the table; FALSE with *bad set when a value is no label. */
static gboolean
count_block (GHashTable *table, const double *values, gsize n, double *bad)
{
  for (gsize i = 0; i < n;) {
    double value = values[i];
    gsize run = 1;
    gint64 key, *count;

    while (i + run < n && values[i + run] == value) /* labels come in runs */
      run++;
    if (!(fabs (value) <= 0x1p53) || value != floor (value)) {
      *bad = value;
      return FALSE;
    }
    key = (gint64)value;
    count = g_hash_table_lookup (table, &key);
    if (!count) {
      gint64 *pair = g_new (gint64, 2); /* the key, and the count behind it */

      pair[0] = key;
      pair[1] = 0;
      g_hash_table_insert (table, pair, pair + 1);
      count = pair + 1;
    }
    *count += (gint64)run;
    i += run;
  }
  return TRUE;
}

gboolean
tess_volume_label_counts (const TessVolume *volume, GArray **values, GArray **counts, GError **error)
{
  g_autoptr (GHashTable) table = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
  g_autofree double *buffer = g_new (double, BLOCK);
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  GHashTableIter iter;
  gpointer key;
  double bad = 0.0;

  for (gsize first = 0; first < n; first += BLOCK) {
    gsize piece = MIN (BLOCK, n - first);

    tess_volume_values_f64 (volume, first, piece, buffer);
    if (!count_block (table, buffer, piece, &bad)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("the value %g is not a whole number, so this is not a label map; give one"), bad);
      return FALSE;
    }
    if (g_hash_table_size (table) > MAX_LABELS) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("more than %d different values, so this is not a label map; give one"), MAX_LABELS);
      return FALSE;
    }
  }
  *values = g_array_new (FALSE, FALSE, sizeof (gint64));
  *counts = g_array_new (FALSE, FALSE, sizeof (gint64));
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    g_array_append_vals (*values, key, 1);
  g_array_sort (*values, compare_int64);
  for (guint i = 0; i < (*values)->len; i++)
    g_array_append_vals (*counts, g_hash_table_lookup (table, &g_array_index (*values, gint64, i)), 1);
  return TRUE;
}

/* Hoare's quickselect: afterwards values[k] is what sorting would put there, nothing before it is larger and nothing
 * behind it smaller. */
static void
select_nth (float *values, gsize n, gsize k)
{
  gsize lo = 0, hi = n - 1;
  guint32 random = 0x9e3779b9u;

  while (lo < hi) {
    gsize i = lo, j = hi;
    float pivot;

    random = random * 1664525u + 1013904223u; /* a fixed sequence; no input meets its worst case by accident */
    pivot = values[lo + (gsize)(((guint64)random * (guint64)(hi - lo + 1)) >> 32)];
    for (;;) {
      while (values[i] < pivot)
        i++;
      while (values[j] > pivot)
        j--;
      if (i <= j) {
        float t = values[i];

        values[i] = values[j];
        values[j] = t;
        i++;
        if (j == 0)
          break;
        j--;
      }
      if (i > j)
        break;
    }
    if (k <= j && j >= lo && j < hi)
      hi = j;
    else if (k >= i)
      lo = i;
    else
      return;
  }
}

/**
 * tess_percentile:
 *
 * NumPy's percentile with its default "linear" method, leaving NaN out. NaN when nothing is left.
 */
double
tess_percentile (float *values, gsize n, double q)
{
  gsize valid = 0, k;
  double position, fraction, low, high;

  for (gsize i = 0; i < n; i++)
    if (!isnan (values[i]))
      values[valid++] = values[i];
  if (valid == 0 || isnan (q))
    return NAN;
  position = CLAMP (q, 0.0, 100.0) / 100.0 * (double)(valid - 1);
  k = MIN ((gsize)position, valid - 1);
  fraction = position - (double)k;
  select_nth (values, valid, k);
  low = values[k];
  if (fraction <= 0.0 || k + 1 >= valid)
    return low;
  high = INFINITY;
  for (gsize i = k + 1; i < valid; i++)
    high = MIN (high, (double)values[i]);
  return low + (high - low) * fraction;
}
