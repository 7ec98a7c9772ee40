#include "results-fixture.h"

#include "../remove-tree.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <string.h>

static const gint64 dim[3] = {12, 12, 10};

TessVolume *
fixture_labels (gint64 n1, gint64 n2)
{
  TessAffine affine = tess_affine_scale (1.0, 1.0, 2.0);
  TessVolume *volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  guint8 *voxels = tess_volume_data_mut (volume);

  for (gint64 z = 2; z < 6; z++)
    for (gint64 y = 2; y < 6; y++) {
      guint8 *row = voxels + dim[0] * (y + dim[1] * z);

      memset (row + 2, 1, (gsize)n1);
      memset (row + 7, 2, (gsize)n2);
    }
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  return volume;
}

TessVolume *
fixture_scan (void)
{
  TessAffine affine = tess_affine_scale (1.0, 1.0, 2.0);
  TessVolume *volume = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);
  gint16 *voxels = tess_volume_data_mut (volume);

  for (gint64 i = 0; i < tess_volume_n_voxels (volume); i++)
    voxels[i] = (gint16)(i % 97);
  return volume;
}

static void
save (TessVolume *volume, const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  GError *error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  tess_volume_unref (volume);
}

void
results_fixture_init (ResultsFixture *f)
{
  static const char json[] =
      "{\"name\": \"boxes\", \"channel_names\": {\"0\": \"CT\"}, \"numTraining\": 3, "
      "\"file_ending\": \".nii.gz\", \"labels\": {\"background\": 0, \"left\": 1, \"right\": 2}}";
  g_autofree char *path = NULL;

  f->folder = g_dir_make_tmp ("tessera-results-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  f->reference = g_build_filename (f->folder, "labelsTr", NULL);
  f->images = g_build_filename (f->folder, "imagesTr", NULL);
  f->prediction = g_build_filename (f->folder, "predicted", NULL);
  path = g_build_filename (f->folder, "dataset.json", NULL);
  g_assert_true (g_file_set_contents (path, json, -1, NULL));
  g_assert_cmpint (g_mkdir (f->reference, 0700) | g_mkdir (f->images, 0700) | g_mkdir (f->prediction, 0700), ==, 0);
  save (fixture_labels (4, 4), f->reference, "good.nii.gz");
  save (fixture_labels (4, 4), f->prediction, "good.nii.gz");
  save (fixture_scan (), f->images, "good_0000.nii.gz");
  save (fixture_labels (4, 4), f->reference, "half, way.nii.gz");
  save (fixture_labels (2, 4), f->prediction, "half, way.nii.gz");
  save (fixture_labels (0, 0), f->reference, "empty.nii.gz");
  save (fixture_labels (0, 0), f->prediction, "empty.nii.gz");
  save (fixture_labels (1, 1), f->reference, "lonely.nii.gz");
  save (fixture_labels (1, 1), f->prediction, "other.nii.gz");
}

void
results_fixture_clear (ResultsFixture *f)
{
  remove_tree (f->folder);
  g_free (f->folder);
  g_free (f->reference);
  g_free (f->prediction);
  g_free (f->images);
}

static gboolean
too_late_cb (gpointer data)
{
  g_error ("what the test waits for did not come");
  return G_SOURCE_REMOVE;
}

void
fixture_wait (FixtureCondition condition, gpointer data)
{
  guint timer = g_timeout_add_seconds (30, too_late_cb, NULL);

  while (!condition (data))
    g_main_context_iteration (NULL, TRUE);
  g_source_remove (timer);
}
