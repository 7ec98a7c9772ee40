#include "tess-sampler-private.h"

#include "tess-parallel.h"

#include <string.h>

/* One interpolation out of native voxels. The part of the scan that the region needs is fetched and normalised once
 * into `voxels`, with a border of zeros (background) where it reaches beyond the scan: at least one voxel before and
 * two behind, so that every cell of eight neighbours lies inside and the inner loop checks nothing. Coordinates are
 * those of the whole scan, never of the box, so that a part of a patch has the same bits as the whole. */
typedef struct {
  const TessCase *c;
  const TessAffine *map;
  TessPatchOut *out;
  guint n_channels;
  TessNormaliser normaliser[TESS_MAX_CHANNELS];
  gint64 dim[3];
  gint64 lo[3], n[3]; /* the box fetched, in native voxels; reaches from -1 to dim + 1 at most */
  gint64 n_box;
  gboolean whole; /* voxels fall onto voxels: nothing to interpolate */
  float *voxels;  /* n_channels boxes, x fastest */
  guint8 *labels; /* one box */
} Job;

static void
fetch_image_row (const Job *job, guint channel, gint64 y, gint64 z, gint64 x0, gint64 x1, float *row)
{
  const TessNormaliser *normaliser = &job->normaliser[channel];
  float *inside = row + (x0 - job->lo[0]);
  gint64 n = x1 - x0;

  memset (row, 0, (gsize)(x0 - job->lo[0]) * sizeof *row);
  memset (inside + n, 0, (gsize)(job->lo[0] + job->n[0] - x1) * sizeof *row);
  tess_volume_row_f32 (job->c->images[channel], x0, y, z, 0, n, inside);
  for (gint64 x = 0; x < n; x++) /* + 0 turns -0 into 0, as interpolation does, so that copies have the same bits */
    inside[x] = tess_normaliser_apply (normaliser, inside[x]) + 0.0f;
}

static void
fetch_label_row (const Job *job, gint64 y, gint64 z, gint64 x0, gint64 x1, guint8 *row)
{
  const guint8 *data = tess_volume_data (job->c->label);

  memset (row, 0, (gsize)job->n[0]);
  memcpy (row + (x0 - job->lo[0]), data + (z * job->dim[1] + y) * job->dim[0] + x0, (gsize)(x1 - x0));
}

/* Rows of the box: those of channel 0, 1, ..., then those of the label map. */
static void
fetch_rows (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;
  gsize n_rows = (gsize)(job->n[1] * job->n[2]);
  gint64 x0 = MAX (job->lo[0], 0), x1 = MIN (job->lo[0] + job->n[0], job->dim[0]);

  for (gsize r = begin; r < end; r++) {
    gsize plane = r / n_rows, row = r % n_rows;
    gint64 y = job->lo[1] + (gint64)row % job->n[1], z = job->lo[2] + (gint64)row / job->n[1];
    gboolean inside = x0 < x1 && y >= 0 && y < job->dim[1] && z >= 0 && z < job->dim[2];
    gsize at = row * (gsize)job->n[0];

    if (job->voxels && plane < job->n_channels) {
      float *to = job->voxels + plane * (gsize)job->n_box + at;

      if (inside)
        fetch_image_row (job, (guint)plane, y, z, x0, x1, to);
      else
        memset (to, 0, (gsize)job->n[0] * sizeof *to);
    } else if (inside)
      fetch_label_row (job, y, z, x0, x1, job->labels + at);
    else
      memset (job->labels + at, 0, (gsize)job->n[0]);
  }
}

/* Where the cells of one output row lie: cell[x] = offset of the low corner in the box, fx fy fz = place inside it. */
typedef struct {
  gint32 *cell;
  float *fx, *fy, *fz;
} Row;

static void
locate_row (const Job *job, gint64 y, gint64 z, const Row *row)
{
  const TessBox *region = &job->out->region;
  gint64 n = region->hi[0] - region->lo[0];
  float *const fraction[3] = {row->fx, row->fy, row->fz};
  gint32 stride = 1;

  memset (row->cell, 0, (gsize)n * sizeof *row->cell);
  for (int a = 0; a < 3; a++) {
    const double *m = job->map->m[a];
    double base = m[1] * (double)y + m[2] * (double)z + m[3], step = m[0];
    double top = (double)job->dim[a];
    gint32 lo = (gint32)job->lo[a], x_lo = (gint32)region->lo[0];
    gint32 *restrict cell = row->cell;
    float *restrict f = fraction[a];

    for (gint32 x = 0; x < (gint32)n; x++) {
      double p = step * (double)(x_lo + x) + base;
      gint32 i;

      /* Beyond -1 and dim everything is outside, as at -1 and dim themselves. */
      p = p < -1.0 ? -1.0 : p;
      p = p > top ? top : p;
      i = (gint32)(p + 1.0) - 1;
      f[x] = (float)(p - (double)i);
      cell[x] += (i - lo) * stride;
    }
    stride *= (gint32)job->n[a];
  }
}

static void
interpolate_row (const Job *job, guint channel, const Row *row, gint64 n, float *out)
{
  const float *v = job->voxels + channel * (gsize)job->n_box;
  gsize sy = (gsize)job->n[0], sz = (gsize)(job->n[0] * job->n[1]), n_channels = job->n_channels;

  for (gint64 x = 0; x < n; x++) {
    const float *p = v + row->cell[x];
    float fx = row->fx[x], fy = row->fy[x], fz = row->fz[x];
    float a = p[0] + fx * (p[1] - p[0]), b = p[sy] + fx * (p[sy + 1] - p[sy]);
    float c = p[sz] + fx * (p[sz + 1] - p[sz]), d = p[sz + sy] + fx * (p[sz + sy + 1] - p[sz + sy]);
    float e = a + fy * (b - a), g = c + fy * (d - c);

    out[(gsize)x * n_channels + channel] = e + fz * (g - e);
  }
}

/* The label whose indicator, interpolated linearly, is largest; the lower one of equals. */
static guint8
vote (const guint8 *p, gsize sy, gsize sz, float fx, float fy, float fz)
{
  const guint8 label[8] = {p[0], p[1], p[sy], p[sy + 1], p[sz], p[sz + 1], p[sz + sy], p[sz + sy + 1]};
  double wx[2] = {1.0 - (double)fx, (double)fx}, wy[2] = {1.0 - (double)fy, (double)fy};
  double wz[2] = {1.0 - (double)fz, (double)fz};
  double largest = -1.0;
  guint8 winner = 0;

  for (int k = 0; k < 8; k++) {
    double sum = 0.0;

    for (int j = 0; j < 8; j++)
      if (label[j] == label[k])
        sum += wx[j & 1] * wy[j >> 1 & 1] * wz[j >> 2];
    if (sum > largest || (sum == largest && label[k] < winner)) {
      largest = sum;
      winner = label[k];
    }
  }
  return winner;
}

static void
vote_row (const Job *job, const Row *row, gint64 n, guint8 *out)
{
  gsize sy = (gsize)job->n[0], sz = (gsize)(job->n[0] * job->n[1]);

  for (gint64 x = 0; x < n; x++) {
    const guint8 *p = job->labels + row->cell[x];
    guint16 pair[4], same = (guint16)(p[0] * 0x0101u);

    memcpy (&pair[0], p, 2);
    memcpy (&pair[1], p + sy, 2);
    memcpy (&pair[2], p + sz, 2);
    memcpy (&pair[3], p + sz + sy, 2);
    if (((pair[0] ^ same) | (pair[1] ^ same) | (pair[2] ^ same) | (pair[3] ^ same)) == 0)
      out[x] = p[0];
    else
      out[x] = vote (p, sy, sz, row->fx[x], row->fy[x], row->fz[x]);
  }
}

/* Rows of the region, y fastest. */
static void
sample_rows (gsize begin, gsize end, gpointer user_data)
{
  Job *job = user_data;
  const TessBox *region = &job->out->region;
  gint64 n = region->hi[0] - region->lo[0], height = region->hi[1] - region->lo[1];
  g_autofree gint32 *cell = g_new (gint32, n);
  g_autofree float *fractions = g_new (float, 3 * n);
  const Row row = {cell, fractions, fractions + n, fractions + 2 * n};

  for (gsize r = begin; r < end; r++) {
    gsize at = r * (gsize)n;

    locate_row (job, region->lo[1] + (gint64)r % height, region->lo[2] + (gint64)r / height, &row);
    if (job->voxels && job->whole)
      for (guint channel = 0; channel < job->n_channels; channel++)
        for (gint64 x = 0; x < n; x++)
          job->out->image[(at + (gsize)x) * job->n_channels + channel] =
              job->voxels[channel * (gsize)job->n_box + (gsize)cell[x]];
    else if (job->voxels)
      for (guint channel = 0; channel < job->n_channels; channel++)
        interpolate_row (job, channel, &row, n, job->out->image + at * job->n_channels);
    if (job->labels && job->whole)
      for (gint64 x = 0; x < n; x++)
        job->out->label[at + (gsize)x] = job->labels[cell[x]];
    else if (job->labels)
      vote_row (job, &row, n, job->out->label + at);
  }
}

/* The native voxels any cell of the region can touch, with one voxel to spare against rounding. FALSE: too many. */
static gboolean
choose_box (Job *job)
{
  const TessBox *region = &job->out->region;

  for (int a = 0; a < 3; a++) {
    const double *m = job->map->m[a];
    double lowest = m[3], highest = m[3], top = (double)job->dim[a];

    for (int j = 0; j < 3; j++) {
      double p = m[j] * (double)region->lo[j], q = m[j] * (double)(region->hi[j] - 1);

      lowest += MIN (p, q);
      highest += MAX (p, q);
    }
    job->lo[a] = MAX ((gint64)floor (CLAMP (lowest, -1.0, top)) - 1, -1);
    job->n[a] = MIN ((gint64)floor (CLAMP (highest, -1.0, top)) + 2, job->dim[a] + 1) + 1 - job->lo[a];
  }
  return !__builtin_mul_overflow (job->n[0], job->n[1], &job->n_box) &&
         !__builtin_mul_overflow (job->n_box, job->n[2], &job->n_box) && job->n_box < G_MAXINT32 &&
         job->dim[0] < G_MAXINT32 - 2 && job->dim[1] < G_MAXINT32 - 2 && job->dim[2] < G_MAXINT32 - 2;
}

static gboolean
is_whole (const TessAffine *map)
{
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 4; j++)
      if (map->m[i][j] != rint (map->m[i][j]))
        return FALSE;
  return TRUE;
}

/* Voxels beyond the scan count as 0 and as background in the interpolation, as nnU-Net's zero padding. Normalisation
 * goes first, voxel by voxel; the method is trilinear interpolation, for labels of each label's indicator with argmax.
 */
gboolean
tess_sampler_voxels (const TessPlan *plan, const TessCase *c, const TessAffine *mapping, gboolean copy,
                     TessPatchOut *out, GError **error)
{
  Job job = {.c = c, .map = mapping, .out = out, .n_channels = c->n_channels, .whole = copy && is_whole (mapping)};
  g_autofree float *voxels = NULL;
  g_autofree guint8 *labels = NULL;
  const TessBox *region = &out->region;
  gint64 width = region->hi[0] - region->lo[0];
  gsize n_planes = (out->image ? c->n_channels : 0) + (out->label ? 1 : 0), n_rows;
  gboolean fits;

  memcpy (job.dim, tess_volume_dim (c->images[0]), sizeof job.dim);
  for (guint i = 0; i < c->n_channels; i++)
    tess_normaliser_init (&job.normaliser[i], &plan->channels[i], &c->statistics[i]);
  fits = choose_box (&job);
  if (fits && out->image)
    fits = (job.voxels = voxels = g_try_new (float, (gsize)job.n_box * c->n_channels)) != NULL;
  if (fits && out->label)
    fits = (job.labels = labels = g_try_new (guint8, (gsize)job.n_box)) != NULL;
  if (!fits) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("%s: a patch of it does not fit into memory; take a smaller patch or finer spacing"), c->id);
    return FALSE;
  }
  n_rows = (gsize)(job.n[1] * job.n[2]);
  tess_parallel_for (n_planes * n_rows, (gsize)MAX (32768 / job.n[0], 1), fetch_rows, &job);
  n_rows = (gsize)((region->hi[1] - region->lo[1]) * (region->hi[2] - region->lo[2]));
  tess_parallel_for (n_rows, (gsize)MAX (8192 / width, 1), sample_rows, &job);
  return TRUE;
}
