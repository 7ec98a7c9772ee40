/* A volume is handed out while it is being read: what lies below its watermark is final. */
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <string.h>

#define NX 160
#define NY 150
#define NZ 100
#define CHANNELS 3 /* 14 MB: several pieces */

typedef struct {
  const TessVolume *wanted;
  TessVolume *seen;
  gint64 last;
  guint n;
} Watch;

static void
live_cb (TessVolume *volume, gpointer data)
{
  Watch *watch = data;
  gint64 now = tess_volume_watermark (volume);
  gsize slice = (gsize)NX * NY * tess_dtype_size (tess_volume_dtype (volume));

  g_assert_cmpint (now, >, watch->last);
  g_assert_cmpmem (
      (const char *)tess_volume_data (volume) + (gsize)watch->last * slice, (gsize)(now - watch->last) * slice,
      (const char *)tess_volume_data (watch->wanted) + (gsize)watch->last * slice, (gsize)(now - watch->last) * slice);
  watch->last = now;
  watch->n++;
  if (!watch->seen)
    watch->seen = tess_volume_ref (volume);
  g_assert_true (watch->seen == volume);
}

static void
test_live (gconstpointer ending)
{
  static const gint64 dim[3] = {NX, NY, NZ};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U16, dim, CHANNELS, &affine, &error), loaded = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-live-XXXXXX", NULL),
                  *path = g_strconcat (folder, "/scan", ending, NULL);
  Watch watch = {.wanted = volume};
  guint16 *data = tess_volume_data_mut (volume);
  guint32 random = 3;

  for (gsize i = 0; i < (gsize)NX * NY * NZ * CHANNELS; i++) {
    random = random * 1664525u + 1013904223u;
    data[i] = (guint16)(random >> 20);
  }
  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  loaded = tess_volume_load_live (path, NULL, live_cb, &watch, &error);
  g_assert_no_error (error);
  g_assert_true (loaded == watch.seen);
  g_assert_cmpint (watch.last, ==, NZ * CHANNELS);
  g_assert_cmpuint (watch.n, >, 2);
  tess_volume_unref (watch.seen);

  g_clear_pointer (&loaded, tess_volume_unref);
  loaded = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_watermark (loaded), ==, NZ * CHANNELS);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/formats/live/plain", ".nii", test_live);
  g_test_add_data_func ("/formats/live/gzip", ".nii.gz", test_live);
  return g_test_run ();
}
