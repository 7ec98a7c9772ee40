#include "tess-cpu-private.h"

#include "tess-parallel.h"

/* The band of sums in host memory. Rows are independent, so results do not depend on how threads share them. */

typedef struct {
  const TessBand *band;
  float *sum, *weight;
  const TessBandTile *tile;
  gint64 lo[3], hi[3]; /* the part of the tile that lies in the grid */
  const float *logits, *weights;
  gint64 z0; /* of the row job */
  const TessBandLabels *labels;
  const TessBandPosition *position[3];
  guint8 *out;
} Job;

/* First voxel of a row of the grid, counted in voxels of the ring. */
static inline gsize
row_start (const TessBand *band, gint64 y, gint64 z)
{
  return (gsize)((z % band->n_slots * band->dim[1] + y) * band->dim[0]);
}

static void
run_rows (const TessDevice *device, gint64 n_rows, TessParallelFunc func, Job *job)
{
  guint before = tess_parallel_get_threads ();

  tess_parallel_set_threads (device->n_threads);
  tess_parallel_for ((gsize)n_rows, 16, func, job);
  tess_parallel_set_threads (before);
}

gboolean
tess_cpu_band_clear (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error)
{
  gsize plane = (gsize)(band->dim[0] * band->dim[1]);

  for (gint64 z = z0; z < z1; z++) {
    gsize at = row_start (band, 0, z);

    memset (band->sum->data + at * (gsize)band->channels * sizeof (float), 0,
            plane * (gsize)band->channels * sizeof (float));
    memset (band->weight->data + at * sizeof (float), 0, plane * sizeof (float));
  }
  return TRUE;
}

/* First voxel of the row of logits for row y, z of the tile. */
static inline gsize
source_row (const TessBandTile *tile, const gint64 size[3], gint64 y, gint64 z)
{
  y = tile->mirrored & 2 ? size[1] - 1 - y : y;
  z = tile->mirrored & 4 ? size[2] - 1 - z : z;
  return (gsize)((z * size[1] + y) * size[0]);
}

static void
add_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessBandTile *tile = job->tile;
  gint64 ny = job->hi[1] - job->lo[1], nx = job->hi[0] - job->lo[0];
  gint64 size[3] = {tile->hi[0] - tile->lo[0], tile->hi[1] - tile->lo[1], tile->hi[2] - tile->lo[2]};
  gsize channels = (gsize)job->band->channels;

  for (gsize row = begin; row < end; row++) {
    gint64 y = job->lo[1] + (gint64)row % ny, z = job->lo[2] + (gint64)row / ny;
    gint64 x0 = job->lo[0] - tile->lo[0], y0 = y - tile->lo[1], z0 = z - tile->lo[2];
    gsize from = (gsize)((z0 * size[1] + y0) * size[0] + x0);
    gsize to = row_start (job->band, y, z) + (gsize)job->lo[0];
    const float *row_logits = job->logits + source_row (tile, size, y0, z0) * channels;

    for (gsize x = 0; x < (gsize)nx; x++) {
      float w = job->weights ? job->weights[from + x] : 1.0f;
      gint64 at = x0 + (gint64)x;
      const float *logit = row_logits + (gsize)(tile->mirrored & 1 ? size[0] - 1 - at : at) * channels;
      float *sum = job->sum + (to + x) * channels;

      for (gsize c = 0; c < channels; c++)
        sum[c] += w * logit[c];
      job->weight[to + x] += w;
    }
  }
}

static Job
job_new (const TessBand *band)
{
  return (Job){.band = band, .sum = (gpointer)band->sum->data, .weight = (gpointer)band->weight->data};
}

gboolean
tess_cpu_band_add (TessDevice *device, const TessBand *band, const TessBandTile *tile, GError **error)
{
  Job job = job_new (band);

  job.tile = tile;
  job.logits = (gconstpointer)(tile->logits->data + tile->offset);
  job.weights = tile->weights ? (gconstpointer)tile->weights->data : NULL;
  for (int a = 0; a < 3; a++) {
    job.lo[a] = MAX (tile->lo[a], 0);
    job.hi[a] = MIN (tile->hi[a], band->dim[a]);
    if (job.lo[a] >= job.hi[a])
      return TRUE;
  }
  run_rows (device, (job.hi[1] - job.lo[1]) * (job.hi[2] - job.lo[2]), add_rows, &job);
  return TRUE;
}

static void
mean_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessBand *band = job->band;
  gsize channels = (gsize)band->channels;

  for (gsize row = begin; row < end; row++) {
    gsize at = row_start (band, (gint64)row % band->dim[1], job->z0 + (gint64)row / band->dim[1]);

    for (gsize x = at; x < at + (gsize)band->dim[0]; x++) {
      float scale = job->weight[x] > 0.0f ? 1.0f / job->weight[x] : 0.0f;

      for (gsize c = 0; c < channels; c++)
        job->sum[x * channels + c] *= scale;
    }
  }
}

gboolean
tess_cpu_band_mean (TessDevice *device, const TessBand *band, gint64 z0, gint64 z1, GError **error)
{
  Job job = job_new (band);

  job.z0 = z0;
  run_rows (device, MAX (z1 - z0, 0) * band->dim[1], mean_rows, &job);
  return TRUE;
}

/* The lowest channel of the largest logit, or what the channels paint. */
static inline guint8
label_of (const TessBandLabels *labels, gsize n, const float *logits)
{
  gsize best = 0;
  guint8 label = 0;

  if (labels->paints) {
    for (gsize c = 0; c < n; c++)
      label = logits[c] > 0.0f ? labels->paint[c] : label;
    return label;
  }
  for (gsize c = 1; c < n; c++)
    if (logits[c] > logits[best])
      best = c;
  return (guint8)best;
}

static void
direct_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessBandLabels *labels = job->labels;
  gsize channels = (gsize)job->band->channels;

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % labels->dim[1], z = labels->z0 + (gint64)row / labels->dim[1];
    const float *mean = job->sum + row_start (job->band, y, z) * channels;
    guint8 *line = job->out + row * (gsize)labels->dim[0];

    for (gint64 x = 0; x < labels->dim[0]; x++)
      line[x] = label_of (labels, channels, mean + (gsize)x * channels);
  }
}

/* Trilinear: first the four rows around become one, then along it. */
static void
resampled_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessBandLabels *labels = job->labels;
  const TessBand *band = job->band;
  gsize channels = (gsize)band->channels, n = (gsize)band->dim[0] * channels;
  g_autofree float *mixed = g_new (float, n);
  g_autofree float *logits = g_new (float, channels);

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % labels->dim[1], z = labels->z0 + (gint64)row / labels->dim[1];
    const TessBandPosition *py = &job->position[1][y], *pz = &job->position[2][z];
    const float *a = job->sum + row_start (band, py->lo, pz->lo) * channels;
    const float *b = job->sum + row_start (band, py->hi, pz->lo) * channels;
    const float *c = job->sum + row_start (band, py->lo, pz->hi) * channels;
    const float *d = job->sum + row_start (band, py->hi, pz->hi) * channels;
    guint8 *line = job->out + row * (gsize)labels->dim[0];

    for (gsize i = 0; i < n; i++) {
      float low = a[i] + py->f * (b[i] - a[i]), high = c[i] + py->f * (d[i] - c[i]);

      mixed[i] = low + pz->f * (high - low);
    }
    for (gint64 x = 0; x < labels->dim[0]; x++) {
      const TessBandPosition *px = &job->position[0][x];
      const float *low = mixed + (gsize)px->lo * channels, *high = mixed + (gsize)px->hi * channels;

      for (gsize k = 0; k < channels; k++)
        logits[k] = low[k] + px->f * (high[k] - low[k]);
      line[x] = label_of (labels, channels, logits);
    }
  }
}

gboolean
tess_cpu_band_labels (TessDevice *device, const TessBand *band, const TessBandLabels *labels, GError **error)
{
  gboolean direct = labels->position[0] == NULL;
  Job job = job_new (band);

  job.labels = labels;
  job.out = labels->labels->data;
  for (int a = 0; a < 3 && !direct; a++)
    job.position[a] = (gconstpointer)labels->position[a]->data;
  run_rows (device, MAX (labels->z1 - labels->z0, 0) * labels->dim[1], direct ? direct_rows : resampled_rows, &job);
  return TRUE;
}
