#include "tess-logit-band.h"

#include "tess-format.h"

#include <inttypes.h>
#include <math.h>

#define STAGED_BYTES ((gint64)16 << 20) /* labels that leave the device at a time; at least a slice */

struct _TessLogitBand {
  const TessBackendIface *backend;
  TessDevice *device;
  TessVolume *output;
  gint64 tile[3];
  TessBand band;         /* on the target grid */
  TessBuffer *weights;   /* of a tile; NULL = 1 */
  TessBandLabels labels; /* on the scan's grid */
  gint64 n_staged;       /* slices labels.labels has room for */
  gint64 *slice_hi;      /* of every slice of the scan: the highest of the target it lies between */
  gint64 opened;         /* slices below have a slot or had one */
  gint64 finished;       /* slices below hold means */
  gint64 written;        /* slices of the scan below are written */
  gboolean near;
};

/* Linear interpolation between voxel centres, as order 1 of scipy or scikit-image with the edge voxel repeated. */
static TessBandPosition *
positions_new (double scale, double offset, gint64 n, gint64 n_target)
{
  TessBandPosition *p = g_new (TessBandPosition, (gsize)n);

  for (gint64 i = 0; i < n; i++) {
    double t = CLAMP (scale * (double)i + offset, 0.0, (double)(n_target - 1));
    gint64 lo = MIN ((gint64)floor (t), n_target - 1);

    p[i].f = (float)(t - (double)lo);
    p[i].lo = (gint32)lo;
    p[i].hi = (gint32)(p[i].f > 0.0f ? MIN (lo + 1, n_target - 1) : lo);
  }
  return p;
}

/* m: scan index -> target index. direct: nothing is interpolated. */
static gboolean
set_positions (TessLogitBand *band, const TessAffine *m, gboolean direct, GError **error)
{
  for (int a = 0; a < 3; a++) {
    gint64 n = band->labels.dim[a];
    g_autofree TessBandPosition *p = positions_new (m->m[a][a], m->m[a][3], n, band->band.dim[a]);

    if (a == 2) {
      band->slice_hi = g_new (gint64, (gsize)n);
      for (gint64 z = 0; z < n; z++)
        band->slice_hi[z] = p[z].hi;
    }
    if (direct)
      continue;
    band->labels.position[a] = tess_backend_upload_new (band->backend, band->device, p, (gsize)n * sizeof *p, error);
    if (!band->labels.position[a])
      return FALSE;
  }
  return TRUE;
}

/* Both grids have the same index axes, so only scale and offset remain of the mapping. */
static gboolean
compare_grids (TessLogitBand *band, const TessGrid *target, GError **error)
{
  TessGrid scan = tess_volume_grid (band->output);
  gboolean direct = TRUE;
  TessAffine m;
  gboolean ok = tess_grid_mapping (&scan, target, &m);

  for (int a = 0; a < 3 && ok; a++) {
    for (int b = 0; b < 3; b++)
      if (b != a && !(fabs (m.m[a][b]) * (double)scan.dim[b] < 1e-4))
        ok = FALSE;
    if (!(m.m[a][a] > 0.0) || target->dim[a] > G_MAXINT32)
      ok = FALSE;
    if (scan.dim[a] != target->dim[a] || fabs (m.m[a][a] - 1.0) * (double)scan.dim[a] > 1e-6 || fabs (m.m[a][3]) > 1e-6)
      direct = FALSE;
  }
  if (!ok) {
    g_set_error_literal (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                         _ ("the scan's grid and the grid of the tiles do not run along the same axes"));
    return FALSE;
  }
  return set_positions (band, &m, direct, error);
}

/* Both buffers in one kind of memory, that of n voxels. FALSE without an error: there is too little of it. */
static gboolean
take_sums (TessLogitBand *band, gsize n, gboolean near, GError **error)
{
  TessBuffer *(*take) (TessDevice *, gsize, GError **) =
      near ? band->backend->buffer_new_near : band->backend->buffer_new;
  g_autoptr (GError) local = NULL;

  band->near = near;
  band->band.sum = take (band->device, n * (gsize)band->band.channels * sizeof (float), &local);
  if (band->band.sum)
    band->band.weight = take (band->device, n * sizeof (float), &local);
  if (band->band.weight)
    return TRUE;
  g_clear_pointer (&band->band.sum, band->backend->buffer_free);
  if (!g_error_matches (local, TESS_ERROR, TESS_ERROR_NO_MEMORY))
    g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
take_memory (TessLogitBand *band, guint64 room, GError **error)
{
  const TessBand *b = &band->band;
  gsize n, voxel = (gsize)(b->channels + 1) * sizeof (float);
  GError *local = NULL;

  if (g_size_checked_mul (&n, (gsize)b->n_slots, (gsize)b->dim[1]) && g_size_checked_mul (&n, n, (gsize)b->dim[0]) &&
      n < G_MAXSIZE / voxel) {
    if ((n * voxel <= room && take_sums (band, n, FALSE, &local)) || (!local && take_sums (band, n, TRUE, &local)))
      return TRUE;
  }
  if (local)
    g_propagate_error (error, local);
  else {
    g_autofree char *bytes = tess_format_bytes ((guint64)b->n_slots * (guint64)b->dim[1] * (guint64)b->dim[0] *
                                                (guint64)(b->channels + 1) * sizeof (float));

    g_set_error (
        error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
        _ ("segmenting needs %s of memory for %" PRId64 " slices of %u classes; close other programs or crop the scan"),
        bytes, b->n_slots, (guint)b->channels);
  }
  return FALSE;
}

TessLogitBand *
tess_logit_band_new (const TessBackendIface *backend, TessDevice *device, const TessGrid *target, TessVolume *output,
                     guint n_classes, const gint64 tile[3], const float *weights, guint64 room, GError **error)
{
  g_autoptr (TessLogitBand) band = g_new0 (TessLogitBand, 1);
  gint64 plane;

  g_return_val_if_fail (n_classes > 0 && n_classes <= G_N_ELEMENTS (band->labels.paint), NULL);

  band->backend = backend;
  band->device = device;
  band->output = tess_volume_ref (output);
  band->band.channels = n_classes;
  for (int a = 0; a < 3; a++) {
    band->tile[a] = tile[a];
    band->band.dim[a] = target->dim[a];
    band->labels.dim[a] = tess_volume_dim (output)[a];
  }
  /* One slice more than a tile has: a slice of the scan may lie between the last finished and the first unfinished. */
  band->band.n_slots = MIN (tile[2] + 1, band->band.dim[2]);
  plane = band->labels.dim[0] * band->labels.dim[1];
  band->n_staged = CLAMP (STAGED_BYTES / plane, 1, band->labels.dim[2]);
  if (!compare_grids (band, target, error))
    return NULL;
  band->labels.labels = backend->buffer_new (device, (gsize)(plane * band->n_staged), error);
  if (!band->labels.labels)
    return NULL;
  if (weights) {
    band->weights = tess_backend_upload_new (backend, device, weights,
                                             (gsize)(tile[0] * tile[1] * tile[2]) * sizeof (float), error);
    if (!band->weights)
      return NULL;
  }
  return take_memory (band, room, error) ? g_steal_pointer (&band) : NULL; /* last: it takes what room there is */
}

void
tess_logit_band_free (TessLogitBand *band)
{
  if (!band)
    return;
  for (int a = 0; a < 3; a++)
    g_clear_pointer (&band->labels.position[a], band->backend->buffer_free);
  g_clear_pointer (&band->labels.labels, band->backend->buffer_free);
  g_clear_pointer (&band->weights, band->backend->buffer_free);
  g_clear_pointer (&band->band.sum, band->backend->buffer_free);
  g_clear_pointer (&band->band.weight, band->backend->buffer_free);
  g_free (band->slice_hi);
  g_clear_pointer (&band->output, tess_volume_unref);
  g_free (band);
}

void
tess_logit_band_set_regions (TessLogitBand *band, const guint8 *labels)
{
  band->labels.paints = TRUE;
  memcpy (band->labels.paint, labels, (gsize)band->band.channels);
}

gsize
tess_logit_band_bytes (const TessLogitBand *band)
{
  const TessBand *b = &band->band;

  return (gsize)(b->n_slots * b->dim[1] * b->dim[0]) * (gsize)(b->channels + 1) * sizeof (float);
}

gboolean
tess_logit_band_is_near (const TessLogitBand *band)
{
  return band->near;
}

gboolean
tess_logit_band_open (TessLogitBand *band, gint64 z_end, GError **error)
{
  gint64 z0 = band->opened;

  band->opened = MAX (z0, MIN (z_end, band->band.dim[2]));
  return band->opened == z0 || band->backend->band_clear (band->device, &band->band, z0, band->opened, error);
}

gboolean
tess_logit_band_add (TessLogitBand *band, const TessBox *box, TessBuffer *logits, gsize offset, guint mirrored,
                     GError **error)
{
  TessBandTile tile = {.logits = logits, .offset = offset, .weights = band->weights, .mirrored = mirrored};
  TessBox target = {{0, 0, 0}, {band->band.dim[0], band->band.dim[1], band->band.dim[2]}}, inside;

  for (int a = 0; a < 3; a++) {
    g_return_val_if_fail (box->hi[a] - box->lo[a] == band->tile[a], FALSE);
    tile.lo[a] = box->lo[a];
    tile.hi[a] = box->hi[a];
  }
  if (!tess_box_intersect (box, &target, &inside))
    return TRUE;
  g_return_val_if_fail (inside.lo[2] >= band->finished && inside.hi[2] <= band->opened, FALSE);
  return band->backend->band_add (band->device, &band->band, &tile, error);
}

/* Labels of the scan's slices below end, a few at a time. */
static gboolean
write_labels (TessLogitBand *band, gint64 end, GError **error)
{
  gsize plane = (gsize)(band->labels.dim[0] * band->labels.dim[1]);
  guint8 *out = tess_volume_data_mut (band->output);

  while (band->written < end) {
    gint64 z0 = band->written, z1 = MIN (z0 + band->n_staged, end);

    band->labels.z0 = z0;
    band->labels.z1 = z1;
    if (!band->backend->band_labels (band->device, &band->band, &band->labels, error) ||
        !band->backend->download (band->labels.labels, 0, out + (gsize)z0 * plane, (gsize)(z1 - z0) * plane, error))
      return FALSE;
    band->written = z1;
  }
  return TRUE;
}

gboolean
tess_logit_band_finish (TessLogitBand *band, gint64 z, GError **error)
{
  gint64 end = band->written, from = band->finished;

  band->finished = MAX (MIN (z, band->opened), from);
  if (band->finished > from && !band->backend->band_mean (band->device, &band->band, from, band->finished, error))
    return FALSE;
  while (end < band->labels.dim[2] && band->slice_hi[end] < band->finished)
    end++;
  return write_labels (band, end, error);
}
