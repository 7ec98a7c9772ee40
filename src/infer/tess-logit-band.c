#include "tess-logit-band.h"

#include "tess-format.h"
#include "tess-parallel.h"

#include <inttypes.h>
#include <math.h>

/* Where a voxel of the scan lies between two voxels of the target grid along one axis. */
typedef struct {
  gint64 lo, hi;
  float f; /* weight of hi */
} Position;

struct _TessLogitBand {
  TessVolume *output;
  gint64 dim[3];     /* of the target grid */
  gint64 out_dim[3]; /* of the scan */
  gsize classes;
  gint64 n_slots;        /* slices held; slice z lives in slot z % n_slots */
  float *sum;            /* [slot][y][x][class]; after finish the mean */
  float *weight;         /* [slot][y][x] */
  gboolean direct;       /* target grid and scan's grid coincide */
  Position *position[3]; /* of every index of the scan, along its axis */
  gint64 opened;         /* slices below have a slot or had one */
  gint64 finished;       /* slices below hold means */
  gint64 written;        /* slices of the scan below are written */
  guint8 *region_labels; /* NULL: argmax */
};

/* Linear interpolation between voxel centres, as order 1 of scipy or scikit-image with the edge voxel repeated. */
static Position *
positions_new (double scale, double offset, gint64 n, gint64 n_target)
{
  Position *p = g_new (Position, (gsize)n);

  for (gint64 i = 0; i < n; i++) {
    double t = CLAMP (scale * (double)i + offset, 0.0, (double)(n_target - 1));
    gint64 lo = (gint64)floor (t);

    p[i].lo = MIN (lo, n_target - 1);
    p[i].f = (float)(t - (double)p[i].lo);
    p[i].hi = p[i].f > 0.0f ? MIN (p[i].lo + 1, n_target - 1) : p[i].lo;
  }
  return p;
}

/* Scan index -> target index. Both grids have the same index axes, so only scale and offset remain. */
static gboolean
set_positions (TessLogitBand *band, const TessGrid *target, GError **error)
{
  TessGrid scan = tess_volume_grid (band->output);
  TessAffine m;
  gboolean ok = tess_grid_mapping (&scan, target, &m);

  band->direct = TRUE;
  for (int a = 0; a < 3 && ok; a++) {
    for (int b = 0; b < 3; b++)
      if (b != a && !(fabs (m.m[a][b]) * (double)scan.dim[b] < 1e-4))
        ok = FALSE;
    if (!(m.m[a][a] > 0.0))
      ok = FALSE;
    if (scan.dim[a] != target->dim[a] || fabs (m.m[a][a] - 1.0) * (double)scan.dim[a] > 1e-6 || fabs (m.m[a][3]) > 1e-6)
      band->direct = FALSE;
  }
  if (!ok) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                         _ ("the scan's grid and the grid of the tiles do not run along the same axes"));
    return FALSE;
  }
  for (int a = 0; a < 3; a++)
    band->position[a] = positions_new (m.m[a][a], m.m[a][3], scan.dim[a], target->dim[a]);
  return TRUE;
}

TessLogitBand *
tess_logit_band_new (const TessGrid *target, TessVolume *output, guint n_classes, gint64 depth, GError **error)
{
  g_autoptr (TessLogitBand) band = g_new0 (TessLogitBand, 1);
  gsize n;

  band->output = tess_volume_ref (output);
  band->classes = n_classes;
  for (int a = 0; a < 3; a++) {
    band->dim[a] = target->dim[a];
    band->out_dim[a] = tess_volume_dim (output)[a];
  }
  if (!set_positions (band, target, error))
    return NULL;
  /* One slice more than a tile has: a slice of the scan may lie between the last finished and the first unfinished. */
  band->n_slots = MIN (depth + 1, band->dim[2]);
  if (g_size_checked_mul (&n, (gsize)band->n_slots, (gsize)band->dim[1]) &&
      g_size_checked_mul (&n, n, (gsize)band->dim[0]) && n < G_MAXSIZE / sizeof (float) / (n_classes + 1)) {
    band->sum = g_try_malloc_n (n * n_classes, sizeof (float));
    band->weight = g_try_malloc_n (n, sizeof (float));
  }
  if (!band->sum || !band->weight) {
    g_autofree char *bytes = tess_format_bytes ((guint64)band->n_slots * (guint64)band->dim[1] * (guint64)band->dim[0] *
                                                (n_classes + 1) * sizeof (float));

    g_set_error (
        error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
        _ ("segmenting needs %s of memory for %" PRId64 " slices of %u classes; close other programs or crop the scan"),
        bytes, band->n_slots, n_classes);
    return NULL;
  }
  return g_steal_pointer (&band);
}

void
tess_logit_band_free (TessLogitBand *band)
{
  if (!band)
    return;
  for (int a = 0; a < 3; a++)
    g_free (band->position[a]);
  g_free (band->region_labels);
  g_free (band->sum);
  g_free (band->weight);
  g_clear_pointer (&band->output, tess_volume_unref);
  g_free (band);
}

void
tess_logit_band_set_regions (TessLogitBand *band, const guint8 *labels)
{
  g_free (band->region_labels);
  band->region_labels = g_memdup2 (labels, band->classes);
}

gsize
tess_logit_band_bytes (const TessLogitBand *band)
{
  return (gsize)(band->n_slots * band->dim[1] * band->dim[0]) * (band->classes + 1) * sizeof (float);
}

/* First voxel of a row of the target grid, counted in voxels of the ring. */
static inline gsize
row_start (const TessLogitBand *band, gint64 y, gint64 z)
{
  return (gsize)((z % band->n_slots * band->dim[1] + y) * band->dim[0]);
}

void
tess_logit_band_open (TessLogitBand *band, gint64 z_end)
{
  gsize plane = (gsize)(band->dim[0] * band->dim[1]);

  z_end = MIN (z_end, band->dim[2]);
  for (; band->opened < z_end; band->opened++) {
    gsize at = row_start (band, 0, band->opened);

    memset (band->sum + at * band->classes, 0, plane * band->classes * sizeof (float));
    memset (band->weight + at, 0, plane * sizeof (float));
  }
}

typedef struct {
  TessLogitBand *band;
  const TessBox *box;
  TessBox inside;
  const float *logits, *weights;
  gint64 z0; /* of the row job */
} Job;

/* Rows of the tile are independent, so the sums do not depend on how they are shared between threads. */
static void
add_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  TessLogitBand *band = job->band;
  const TessBox *box = job->box, *in = &job->inside;
  gint64 ny = in->hi[1] - in->lo[1], nx = in->hi[0] - in->lo[0];
  gint64 size[2] = {box->hi[0] - box->lo[0], box->hi[1] - box->lo[1]};
  gsize classes = band->classes;

  for (gsize row = begin; row < end; row++) {
    gint64 y = in->lo[1] + (gint64)row % ny, z = in->lo[2] + (gint64)row / ny;
    gsize from = (gsize)(((z - box->lo[2]) * size[1] + y - box->lo[1]) * size[0] + in->lo[0] - box->lo[0]);
    gsize to = row_start (band, y, z) + (gsize)in->lo[0];

    for (gsize x = 0; x < (gsize)nx; x++) {
      float w = job->weights ? job->weights[from + x] : 1.0f;
      const float *logit = job->logits + (from + x) * classes;
      float *sum = band->sum + (to + x) * classes;

      for (gsize c = 0; c < classes; c++)
        sum[c] += w * logit[c];
      band->weight[to + x] += w;
    }
  }
}

void
tess_logit_band_add (TessLogitBand *band, const TessBox *box, const float *logits, const float *weights)
{
  TessBox target = {{0, 0, 0}, {band->dim[0], band->dim[1], band->dim[2]}};
  Job job = {.band = band, .box = box, .logits = logits, .weights = weights};

  if (!tess_box_intersect (box, &target, &job.inside))
    return;
  g_return_if_fail (job.inside.lo[2] >= band->finished && job.inside.hi[2] <= band->opened);
  tess_parallel_for ((gsize)((job.inside.hi[1] - job.inside.lo[1]) * (job.inside.hi[2] - job.inside.lo[2])), 16,
                     add_rows, &job);
}

static void
mean_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  TessLogitBand *band = job->band;

  for (gsize row = begin; row < end; row++) {
    gsize at = row_start (band, (gint64)row % band->dim[1], job->z0 + (gint64)row / band->dim[1]);

    for (gsize x = at; x < at + (gsize)band->dim[0]; x++) {
      float scale = band->weight[x] > 0.0f ? 1.0f / band->weight[x] : 0.0f;

      for (gsize c = 0; c < band->classes; c++)
        band->sum[x * band->classes + c] *= scale;
    }
  }
}

/* The lowest class of the largest logit, or what the regions paint. */
static inline guint8
label_of (const TessLogitBand *band, const float *logits)
{
  gsize best = 0, n = band->classes;
  guint8 label = 0;

  if (band->region_labels) {
    for (gsize c = 0; c < n; c++)
      label = logits[c] > 0.0f ? band->region_labels[c] : label;
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
  TessLogitBand *band = job->band;
  guint8 *out = tess_volume_data_mut (band->output);

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % band->out_dim[1], z = job->z0 + (gint64)row / band->out_dim[1];
    const float *mean = band->sum + row_start (band, y, z) * band->classes;
    guint8 *line = out + (z * band->out_dim[1] + y) * band->out_dim[0];

    for (gint64 x = 0; x < band->out_dim[0]; x++)
      line[x] = label_of (band, mean + (gsize)x * band->classes);
  }
}

/* Trilinear: first the four target rows around become one, then along it. */
static void
resampled_rows (gsize begin, gsize end, gpointer user_data)
{
  const Job *job = user_data;
  TessLogitBand *band = job->band;
  guint8 *out = tess_volume_data_mut (band->output);
  gsize classes = band->classes, n = (gsize)band->dim[0] * classes;
  g_autofree float *mixed = g_new (float, n);
  g_autofree float *logits = g_new (float, classes);

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % band->out_dim[1], z = job->z0 + (gint64)row / band->out_dim[1];
    const Position *py = &band->position[1][y], *pz = &band->position[2][z];
    const float *a = band->sum + row_start (band, py->lo, pz->lo) * classes;
    const float *b = band->sum + row_start (band, py->hi, pz->lo) * classes;
    const float *c = band->sum + row_start (band, py->lo, pz->hi) * classes;
    const float *d = band->sum + row_start (band, py->hi, pz->hi) * classes;
    guint8 *line = out + (z * band->out_dim[1] + y) * band->out_dim[0];

    for (gsize i = 0; i < n; i++) {
      float low = a[i] + py->f * (b[i] - a[i]), high = c[i] + py->f * (d[i] - c[i]);

      mixed[i] = low + pz->f * (high - low);
    }
    for (gint64 x = 0; x < band->out_dim[0]; x++) {
      const Position *px = &band->position[0][x];
      const float *low = mixed + (gsize)px->lo * classes, *high = mixed + (gsize)px->hi * classes;

      for (gsize k = 0; k < classes; k++)
        logits[k] = low[k] + px->f * (high[k] - low[k]);
      line[x] = label_of (band, logits);
    }
  }
}

void
tess_logit_band_finish (TessLogitBand *band, gint64 z)
{
  Job job = {.band = band, .z0 = band->finished};
  gint64 end = band->written;

  z = MIN (z, band->opened);
  if (z > band->finished)
    tess_parallel_for ((gsize)((z - band->finished) * band->dim[1]), 16, mean_rows, &job);
  band->finished = MAX (z, band->finished);

  while (end < band->out_dim[2] && band->position[2][end].hi < band->finished)
    end++;
  job.z0 = band->written;
  if (end > band->written)
    tess_parallel_for ((gsize)((end - band->written) * band->out_dim[1]), 16,
                       band->direct ? direct_rows : resampled_rows, &job);
  band->written = end;
}
