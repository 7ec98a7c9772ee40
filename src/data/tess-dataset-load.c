#include "tess-dataset-private.h"

#include "tess-parallel.h"
#include "tess-plan.h"
#include "tess-thread.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Corners may differ by what rounding in a file's header explains: a header holds single-precision numbers, and
 * qform and sform of one scan differ in the last digits. */
static double
grid_tolerance_mm (const TessGrid *grid)
{
  double spacing[3], smallest, extent = 0.0;

  tess_affine_spacing (&grid->affine, spacing);
  smallest = MIN (spacing[0], MIN (spacing[1], spacing[2]));
  for (int a = 0; a < 3; a++)
    extent = MAX (extent, spacing[a] * (double)grid->dim[a]);
  return MAX (1e-3, MAX (0.01 * smallest, 1e-5 * extent));
}

gboolean
tess_same_grid_check (const TessGrid *a, const char *path_a, const TessGrid *b, const char *path_b, GError **error)
{
  double offset, tolerance = grid_tolerance_mm (a);

  if (memcmp (a->dim, b->dim, sizeof a->dim) != 0) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has %" PRId64 " x %" PRId64 " x %" PRId64 " voxels, but %s has "
                    "%" PRId64 " x %" PRId64 " x %" PRId64 "; bring both onto one grid"),
                 path_b, b->dim[0], b->dim[1], b->dim[2], path_a, a->dim[0], a->dim[1], a->dim[2]);
    return FALSE;
  }
  offset = tess_grid_corner_offset (a, b);
  if (!(offset <= tolerance)) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: its grid lies up to %.3g mm away from that of %s (%.3g mm are allowed); bring both onto one "
                    "grid"),
                 path_b, offset, path_a, tolerance);
    return FALSE;
  }
  return TRUE;
}

/* Loads the channels of one scan. paths: NULL-terminated files, together exactly n_channels channels (a 4-D file counts
 * as all of its own). images: room for n_channels; on success each holds a new reference to a one-channel volume, all
 * on one grid; on failure nothing is left in it. */
gboolean
tess_load_images (char *const *paths, guint n_channels, TessProgress *progress, TessVolume **images, GError **error)
{
  guint n_files = 0, n = 0;
  TessGrid first;

  while (paths[n_files])
    n_files++;
  for (guint i = 0; i < n_files; i++) {
    g_autoptr (TessVolume) volume = NULL;
    TessGrid grid;
    guint n_here;

    if (!tess_progress_check (progress, error) || !(volume = tess_volume_load (paths[i], NULL, error)))
      goto failed;
    n_here = (guint)MIN (tess_volume_n_channels (volume), TESS_MAX_CHANNELS + 1);
    if (n + n_here > n_channels || (i + 1 == n_files && n + n_here < n_channels)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   n_files == 1
                       ? _ ("%s: has %u channels where %u are needed; give one file a channel, or one with all")
                       : _ ("%s: brings the scan to %u channels where %u are needed; give one file a channel"),
                   paths[i], n + n_here, n_channels);
      goto failed;
    }
    grid = tess_volume_grid (volume);
    if (n == 0)
      first = grid;
    else if (!tess_same_grid_check (&first, paths[0], &grid, paths[i], error))
      goto failed;
    for (guint c = 0; c < n_here; c++)
      images[n++] = n_here == 1 ? tess_volume_ref (volume) : tess_volume_new_channel (volume, c);
    tess_progress_set (progress, (i + 1.0) / n_files);
  }
  if (n == n_channels)
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_USAGE, _ ("no scan was given; name its %u channels"), n_channels);

failed:
  while (n > 0)
    g_clear_pointer (&images[--n], tess_volume_unref);
  return FALSE;
}

typedef struct {
  const TessVolume *label;
  guint n_labels;
  TessMutex mutex;
  gint64 bad; /* lowest linear index of a voxel that is no label, or G_MAXINT64 */
} ValueCheck;

static void
check_rows (gsize begin, gsize end, gpointer user_data)
{
  ValueCheck *check = user_data;
  const gint64 *dim = tess_volume_dim (check->label);
  g_autofree float *row = g_new (float, dim[0]);
  float limit = (float)check->n_labels;

  for (gsize r = begin; r < end; r++) {
    tess_volume_row_f32 (check->label, 0, (gint64)r % dim[1], (gint64)r / dim[1], 0, dim[0], row);
    for (gint64 x = 0; x < dim[0]; x++) {
      if (row[x] >= 0.0f && row[x] < limit && row[x] == floorf (row[x]))
        continue;
      tess_mutex_lock (&check->mutex);
      check->bad = MIN (check->bad, (gint64)r * dim[0] + x);
      tess_mutex_unlock (&check->mutex);
      return;
    }
  }
}

gboolean
tess_label_values_check (const TessVolume *label, const char *path, guint n_labels, GError **error)
{
  const gint64 *dim = tess_volume_dim (label);
  ValueCheck check = {.label = label, .n_labels = n_labels, .bad = G_MAXINT64};
  gint64 x, y, z;

  if (tess_volume_n_channels (label) != 1) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has %" PRId64 " channels, but a label map has one; write one value a voxel"), path,
                 tess_volume_n_channels (label));
    return FALSE;
  }
  tess_mutex_init (&check.mutex);
  tess_parallel_for ((gsize)(dim[1] * dim[2]), 1024, check_rows, &check);
  tess_mutex_clear (&check.mutex);
  if (check.bad == G_MAXINT64)
    return TRUE;
  x = check.bad % dim[0];
  y = check.bad / dim[0] % dim[1];
  z = check.bad / dim[0] / dim[1];
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: voxel (%" PRId64 ", %" PRId64 ", %" PRId64 ") holds %.10g; labels "
                  "must be whole numbers from 0 to %u"),
               path, x, y, z, tess_volume_value (label, x, y, z, 0), n_labels - 1);
  return FALSE;
}

typedef struct {
  const TessVolume *from;
  guint8 *to;
} Narrow;

static void
narrow_rows (gsize begin, gsize end, gpointer user_data)
{
  Narrow *narrow = user_data;
  const gint64 *dim = tess_volume_dim (narrow->from);
  g_autofree gint32 *row = g_new (gint32, dim[0]);

  for (gsize r = begin; r < end; r++) {
    tess_volume_row_i32 (narrow->from, 0, (gint64)r % dim[1], (gint64)r / dim[1], 0, dim[0], row);
    for (gint64 x = 0; x < dim[0]; x++)
      narrow->to[r * (gsize)dim[0] + (gsize)x] = (guint8)row[x];
  }
}

TessVolume *
tess_label_as_u8 (TessVolume *label, GError **error)
{
  const gint64 *dim = tess_volume_dim (label);
  g_autoptr (TessVolume) narrow = NULL;
  Narrow job;

  if (tess_volume_dtype (label) == TESS_DTYPE_U8 && tess_volume_slope (label) == 1.0 &&
      tess_volume_intercept (label) == 0.0)
    return tess_volume_ref (label);
  narrow = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (label), error);
  if (!narrow)
    return NULL;
  job = (Narrow){.from = label, .to = tess_volume_data_mut (narrow)};
  tess_parallel_for ((gsize)(dim[1] * dim[2]), 1024, narrow_rows, &job);
  tess_volume_set_intent (narrow, TESS_INTENT_LABEL);
  if (tess_volume_peek_labels (label))
    tess_volume_set_labels (narrow, tess_volume_peek_labels (label));
  tess_volume_set_watermark (narrow, tess_volume_n_slices (narrow));
  return g_steal_pointer (&narrow);
}

/* Loads a label map that belongs to `image` (NULL: to no image) as uint8. Errors: whatever loading says, and MISMATCH
 * with the voxel and its value, or with the distance of the two grids. */
TessVolume *
tess_load_label (const char *path, const TessVolume *image, guint n_labels, GError **error)
{
  g_autoptr (TessVolume) label = tess_volume_load (path, NULL, error);

  g_return_val_if_fail (n_labels >= 1 && n_labels <= TESS_MAX_LABELS, NULL);
  if (!label)
    return NULL;
  tess_volume_set_intent (label, TESS_INTENT_LABEL);
  if (image) {
    TessGrid of_image = tess_volume_grid (image), of_label = tess_volume_grid (label);

    if (!tess_same_grid_check (&of_image, _ ("its scan"), &of_label, path, error))
      return NULL;
  }
  if (!tess_label_values_check (label, path, n_labels, error))
    return NULL;
  return tess_label_as_u8 (label, error);
}
