#include "tess-case-private.h"

#include "tess-dataset-private.h"
#include "tess-progress.h"

#include <string.h>

TessCase *
tess_case_ref (TessCase *c)
{
  g_atomic_int_inc (&c->ref_count);
  return c;
}

void
tess_case_unref (TessCase *c)
{
  if (!g_atomic_int_dec_and_test (&c->ref_count))
    return;
  for (guint i = 0; i < c->n_channels; i++)
    g_clear_pointer (&c->images[i], tess_volume_unref);
  g_clear_pointer (&c->label, tess_volume_unref);
  for (guint l = 0; c->class_voxels && l < c->n_labels; l++)
    g_free (c->class_voxels[l]);
  g_free (c->class_voxels);
  g_free (c->class_count);
  g_free (c->id);
  g_free (c);
}

static TessCase *
case_alloc (const char *id, guint n_channels, guint n_labels)
{
  TessCase *c = g_new0 (TessCase, 1);

  g_atomic_ref_count_init (&c->ref_count);
  c->id = g_strdup (id);
  c->n_channels = n_channels;
  c->n_labels = n_labels;
  return c;
}

/* Voxels of each class up to `limit` of them, evenly spaced over all: of n voxels in memory order the k-th kept one is
 * number floor (k * n / kept). */
static void
index_classes (TessCase *c)
{
  const guint8 *labels = tess_volume_data (c->label);
  gsize n = (gsize)tess_volume_n_voxels (c->label);
  guint64 total[256] = {0}, rank[256] = {0}, next[256] = {0};
  guint32 filled[256] = {0};

  for (gsize i = 0; i < n; i++)
    total[labels[i]]++;
  c->class_count = g_new0 (guint32, c->n_labels);
  c->class_voxels = g_new0 (guint64 *, c->n_labels);
  for (guint l = 1; l < c->n_labels; l++) {
    c->class_count[l] = (guint32)MIN (total[l], TESS_CASE_MAX_CLASS_VOXELS);
    c->class_voxels[l] = c->class_count[l] ? g_new (guint64, c->class_count[l]) : NULL;
  }
  for (gsize i = 0; i < n; i++) {
    guint l = labels[i];

    if (l == 0 || l >= c->n_labels || rank[l]++ != next[l] || filled[l] == c->class_count[l])
      continue;
    c->class_voxels[l][filled[l]++] = i;
    next[l] = filled[l] * total[l] / c->class_count[l];
  }
}

static gboolean
compute_constants (TessCase *c, TessProgress *progress, GError **error)
{
  for (guint i = 0; i < c->n_channels; i++)
    if (!tess_volume_statistics (c->images[i], 0, progress, &c->statistics[i], error))
      return FALSE;
  if (c->label)
    index_classes (c);
  return TRUE;
}

static void
count_bytes (TessCase *c)
{
  c->bytes = sizeof *c;
  for (guint i = 0; i < c->n_channels; i++)
    c->bytes += (gsize)tess_volume_n_voxels (c->images[i]) * tess_dtype_size (tess_volume_dtype (c->images[i]));
  if (c->label)
    c->bytes += (gsize)tess_volume_n_voxels (c->label);
  for (guint l = 0; c->class_count && l < c->n_labels; l++)
    c->bytes += c->class_count[l] * sizeof (guint64);
}

/* Decodes case `index` of the dataset: images, label map (as uint8), statistics of each channel, class index. That the
 * constants cannot be kept (a full or read-only disk) is no failure: they are computed again next time. Errors:
 * whatever loading says; MISMATCH when channels and label map do not fit together. */
TessCase *
tess_case_load (const TessDataset *dataset, guint index, const char *constants_dir, TessProgress *progress,
                GError **error)
{
  const TessCaseFiles *files = tess_dataset_case (dataset, index);
  g_autoptr (TessCase) c = case_alloc (files->id, dataset->n_channels, dataset->n_labels);
  g_autofree char *key = NULL;

  if (!tess_load_images (files->image_paths, dataset->n_channels, progress, c->images, error))
    return NULL;
  if (files->label_path) {
    TessGrid image = tess_volume_grid (c->images[0]), label;

    c->label = tess_load_label (files->label_path, NULL, tess_dataset_n_values (dataset), error);
    if (!c->label)
      return NULL;
    label = tess_volume_grid (c->label);
    if (!tess_same_grid_check (&image, files->image_paths[0], &label, files->label_path, error))
      return NULL;
  }
  if (constants_dir)
    key = tess_case_constants_key (c, files);
  if (!key || !tess_case_constants_read (c, constants_dir, key)) {
    if (!compute_constants (c, progress, error))
      return NULL;
    if (key)
      tess_case_constants_write (c, constants_dir, key, NULL);
  }
  count_bytes (c);
  return g_steal_pointer (&c);
}

/* A case from volumes in memory. images: n_channels one-channel volumes on one grid; label: NULL, or a map on that grid
 * with values below n_labels. References are taken. Errors: MISMATCH. */
TessCase *
tess_case_new (const char *id, TessVolume *const *images, guint n_channels, TessVolume *label, guint n_labels,
               GError **error)
{
  g_autoptr (TessCase) c = case_alloc (id, 0, n_labels);
  TessGrid grid = tess_volume_grid (images[0]);

  g_return_val_if_fail (n_channels >= 1 && n_channels <= TESS_MAX_CHANNELS, NULL);
  for (guint i = 0; i < n_channels; i++) {
    TessGrid other = tess_volume_grid (images[i]);
    g_autofree char *name = g_strdup_printf (_ ("%s, channel %u"), id, i);

    if (tess_volume_n_channels (images[i]) != 1) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("%s: is a volume of several channels; give one volume a channel"), name);
      return NULL;
    }
    if (!tess_same_grid_check (&grid, id, &other, name, error))
      return NULL;
    c->images[c->n_channels++] = tess_volume_ref (images[i]);
  }
  if (label) {
    TessGrid other = tess_volume_grid (label);
    g_autofree char *name = g_strdup_printf (_ ("%s, label map"), id);

    if (!tess_same_grid_check (&grid, id, &other, name, error) ||
        !tess_label_values_check (label, name, n_labels, error) || !(c->label = tess_label_as_u8 (label, error)))
      return NULL;
  }
  if (!compute_constants (c, NULL, error))
    return NULL;
  count_bytes (c);
  return g_steal_pointer (&c);
}
