#include "tess-recipe.h"

#include "tess-error.h"
#include "tess-parallel.h"

#include <inttypes.h>
#include <string.h>

/* Voxels a thread is worth waking for. */
#define GRAIN 16384

/* One channel by itself, and room for a copy of it. */
typedef struct {
  const TessIntensity *intensity;
  const TessIntensityChannel *channel;
  int index;
  gint64 size[3], n; /* voxels */
  float *values, *other;
  /* of what runs now */
  int axis;
  float factor, sign;
  TessIntensityStats before, now;
  TessIntensitySums *lanes;
} Job;

/* For each four voxels. */
static void
add_noise (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;

  for (gsize four = begin; four < end; four++) {
    gsize at = 4 * four, n = MIN (4, (gsize)job->n - at);
    float normals[4];

    tess_intensity_noise (&job->intensity->noise_key, job->index, (int64_t)four, normals);
    for (gsize i = 0; i < n; i++)
      job->values[at + i] = tess_step_f (normals[i], job->channel->noise, job->values[at + i]);
  }
}

static void
multiply (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const float factor = job->factor;
  float *restrict values = job->values;

  for (gsize i = begin; i < end; i++)
    values[i] *= factor;
}

/* ---- blur ---- */

static void
blur_row_x (const Job *job, const float *row, float *out)
{
  gint64 n = job->size[0];
  int r = job->channel->blur_radius[0];
  const float *tap = job->channel->blur[0];

  for (gint64 x = 0; x < n; x++)
    if (x >= r && x < n - r) {
      out[x] = tap[r] * row[x - r];
      for (int t = 1 - r; t <= r; t++)
        out[x] = tess_step_f (tap[ABS (t)], row[x + t], out[x]);
    } else {
      out[x] = tap[r] * row[tess_mirrored_index (x - r, n)];
      for (int t = 1 - r; t <= r; t++)
        out[x] = tess_step_f (tap[ABS (t)], row[tess_mirrored_index (x + t, n)], out[x]);
    }
}

/* out = sum of the rows along y or z */
static void
blur_row_across (const Job *job, gint64 y, gint64 z, float *restrict out)
{
  gint64 n = job->size[0], at[3] = {0, y, z};
  int a = job->axis, r = job->channel->blur_radius[a];

  for (int t = -r; t <= r; t++) {
    gint64 from[3] = {0, at[1], at[2]};
    float tap = job->channel->blur[a][ABS (t)];
    const float *restrict row;

    from[a] = tess_mirrored_index (at[a] + t, job->size[a]);
    row = job->values + (from[2] * job->size[1] + from[1]) * n;
    if (t == -r)
      for (gint64 x = 0; x < n; x++)
        out[x] = tap * row[x];
    else
      for (gint64 x = 0; x < n; x++)
        out[x] = tess_step_f (tap, row[x], out[x]);
  }
}

/* Rows of `other` out of `values`. */
static void
blur_rows (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;

  for (gsize r = begin; r < end; r++) {
    float *out = job->other + r * (gsize)job->size[0];

    if (job->axis == 0)
      blur_row_x (job, job->values + r * (gsize)job->size[0], out);
    else
      blur_row_across (job, (gint64)r % job->size[1], (gint64)r / job->size[1], out);
  }
}

/* ---- low resolution ---- */

/* The same. */
static void
coarsen_rows (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;
  const gint64 *size = job->size, *coarse = job->channel->coarse;
  g_autofree TessCoarseCell *cells = g_new (TessCoarseCell, size[0]);

  for (gint64 x = 0; x < size[0]; x++)
    cells[x] = tess_coarse_cell (x, size[0], coarse[0]);
  for (gsize r = begin; r < end; r++) {
    TessCoarseCell y = tess_coarse_cell ((gint64)r % size[1], size[1], coarse[1]);
    TessCoarseCell z = tess_coarse_cell ((gint64)r / size[1], size[2], coarse[2]);
    const float *row[4];
    float *out = job->other + r * (gsize)size[0];

    for (int k = 0; k < 4; k++)
      row[k] = job->values + ((k & 2 ? z.hi : z.lo) * size[1] + (k & 1 ? y.hi : y.lo)) * size[0];
    for (gint64 x = 0; x < size[0]; x++) {
      float v[4];

      for (int k = 0; k < 4; k++)
        v[k] = tess_between_f (row[k][cells[x].lo], row[k][cells[x].hi], cells[x].f);
      out[x] = tess_between_f (tess_between_f (v[0], v[1], y.f), tess_between_f (v[2], v[3], y.f), z.f);
    }
  }
}

static void
through_rows (Job *job, TessParallelFunc rows)
{
  float *values = job->values;

  tess_parallel_for ((gsize)(job->size[1] * job->size[2]), (gsize)MAX (GRAIN / job->size[0], 1), rows, job);
  job->values = job->other;
  job->other = values;
}

/* ---- statistics ---- */

static void
sum_lanes (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;
  gsize n = (gsize)job->n;

  for (gsize l = begin; l < end; l++)
    job->lanes[l] = tess_intensity_sums_none ();
  for (gsize row = 0; row < n; row += TESS_INTENSITY_LANES)
    for (gsize l = begin, until = MIN (end, n - row); l < until; l++) {
      float v = job->values[row + l];
      TessIntensitySums one = {(double)v, (double)v * (double)v, v, v};

      tess_intensity_sums_join (&job->lanes[l], &one);
    }
}

static TessIntensityStats
statistics (Job *job)
{
  TessIntensitySums all = tess_intensity_sums_none ();

  tess_parallel_for (TESS_INTENSITY_LANES, (gsize)MAX (GRAIN * TESS_INTENSITY_LANES / job->n, 64), sum_lanes, job);
  for (gsize fold = 0; fold < TESS_INTENSITY_FOLDS; fold++) {
    TessIntensitySums some = tess_intensity_sums_none ();

    for (gsize l = fold; l < TESS_INTENSITY_LANES; l += TESS_INTENSITY_FOLDS)
      tess_intensity_sums_join (&some, &job->lanes[l]);
    tess_intensity_sums_join (&all, &some);
  }
  return tess_intensity_stats (&all, job->n);
}

static void
change_contrast (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessIntensityStats before = job->before;
  const float factor = job->factor;
  float *restrict values = job->values;

  for (gsize i = begin; i < end; i++)
    values[i] = tess_intensity_contrast (values[i], factor, &before);
}

static void
bend (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessIntensityStats before = job->before;
  const float exponent = job->factor, sign = job->sign;
  float *restrict values = job->values;

  for (gsize i = begin; i < end; i++)
    values[i] = tess_intensity_gamma (values[i], exponent, sign, &before);
}

static void
restore (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  const TessIntensityStats before = job->before, now = job->now;
  const float sign = job->sign;
  float *restrict values = job->values;

  for (gsize i = begin; i < end; i++)
    values[i] = tess_intensity_restore (values[i], sign, &before, &now);
}

static void
gamma_curve (Job *job, float exponent, float sign)
{
  job->factor = exponent;
  job->sign = sign;
  job->before = statistics (job);
  tess_parallel_for ((gsize)job->n, GRAIN, bend, job);
  job->now = statistics (job);
  tess_parallel_for ((gsize)job->n, GRAIN, restore, job);
}

/* ---- all of it ---- */

static gboolean
blurs (const TessIntensityChannel *c)
{
  return c->blur_radius[0] > 0 || c->blur_radius[1] > 0 || c->blur_radius[2] > 0;
}

static gboolean
takes_statistics (const TessIntensityChannel *c)
{
  return c->contrast != 1.0f || c->gamma_inverted > 0.0f || c->gamma > 0.0f;
}

static void
run (Job *job)
{
  const TessIntensityChannel *c = job->channel;

  if (c->noise > 0.0f)
    tess_parallel_for ((gsize)(job->n + 3) / 4, GRAIN / 4, add_noise, job);
  for (job->axis = 0; job->axis < 3; job->axis++)
    if (c->blur_radius[job->axis] > 0)
      through_rows (job, blur_rows);
  if (c->brightness != 1.0f) {
    job->factor = c->brightness;
    tess_parallel_for ((gsize)job->n, GRAIN, multiply, job);
  }
  if (c->contrast != 1.0f) {
    job->factor = c->contrast;
    job->before = statistics (job);
    tess_parallel_for ((gsize)job->n, GRAIN, change_contrast, job);
  }
  if (c->coarse[0] > 0)
    through_rows (job, coarsen_rows);
  if (c->gamma_inverted > 0.0f)
    gamma_curve (job, c->gamma_inverted, -1.0f);
  if (c->gamma > 0.0f)
    gamma_curve (job, c->gamma, 1.0f);
}

/**
 * tess_intensity_apply:
 *
 * The same bits on any number of threads, and on a device (TessBackendIface's sample).
 */
gboolean
tess_intensity_apply (const TessIntensity *intensity, float *image, const gint64 size[3], guint n_channels,
                      GError **error)
{
  gint64 n = size[0] * size[1] * size[2];
  g_autofree TessIntensitySums *lanes = NULL;
  g_autofree float *room = NULL;
  gboolean copies = n_channels > 1, statistic = FALSE;

  if (!intensity->any)
    return TRUE;
  for (guint c = 0; c < n_channels; c++) {
    copies |= blurs (&intensity->channel[c]) || intensity->channel[c].coarse[0] > 0;
    statistic |= takes_statistics (&intensity->channel[c]);
  }
  if ((copies && !(room = g_try_new (float, 2 * (gsize)n))) ||
      (statistic && !(lanes = g_try_new (TessIntensitySums, TESS_INTENSITY_LANES)))) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("augmenting a patch of %" PRId64 " voxels takes more memory than there is; take a smaller patch"),
                 n);
    return FALSE;
  }
  for (guint c = 0; c < n_channels; c++) {
    Job job = {.intensity = intensity, .channel = &intensity->channel[c], .index = (int)c, .n = n, .lanes = lanes};

    memcpy (job.size, size, sizeof job.size);
    job.values = n_channels == 1 ? image : room;
    job.other = n_channels == 1 ? room : room + n;
    for (gint64 i = 0; n_channels > 1 && i < n; i++)
      job.values[i] = image[i * n_channels + c];
    run (&job);
    for (gint64 i = 0; job.values != image && i < n; i++)
      image[i * n_channels + c] = job.values[i];
  }
  return TRUE;
}
