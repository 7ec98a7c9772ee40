/* A volume is handed out while it is being read: what lies below its watermark is final. */
#include "tess-format-registry.h"
#include "tess-parallel.h"
#include "tess-thread.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

static TessVolume *
make_volume (gint64 n_channels, const char *path)
{
  static const gint64 dim[3] = {NX, NY, NZ};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (TESS_DTYPE_U16, dim, n_channels, &affine, &error);
  guint16 *data = tess_volume_data_mut (volume);
  guint32 random = 3;

  for (gsize i = 0; i < (gsize)(NX * NY * NZ * n_channels); i++) {
    random = random * 1664525u + 1013904223u;
    data[i] = (guint16)(random >> 20);
  }
  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  return volume;
}

static void
test_live (gconstpointer ending)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-live-XXXXXX", NULL),
                  *path = g_strconcat (folder, "/scan", ending, NULL);
  g_autoptr (TessVolume) volume = make_volume (CHANNELS, path), loaded = NULL;
  Watch watch = {.wanted = volume};

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

typedef struct {
  TessProgress *progress;
  gint64 seen; /* slices when it was cancelled */
  guint n_after;
} Cancel;

static void
cancel_thread (gpointer data)
{
  tess_progress_cancel (data);
}

/* Another thread cancels as soon as there is something to see. */
static void
cancel_cb (TessVolume *volume, gpointer data)
{
  Cancel *cancel = data;

  if (cancel->seen) {
    cancel->n_after++;
    return;
  }
  cancel->seen = tess_volume_watermark (volume);
  tess_thread_join (tess_thread_new ("cancel", 0, cancel_thread, cancel->progress));
}

/* Not one piece more is read, whatever the format. */
static void
test_cancel (gconstpointer ending)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-live-XXXXXX", NULL),
                  *path = g_strconcat (folder, "/scan", ending, NULL);
  g_autoptr (TessVolume) volume = make_volume (1, path);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Cancel cancel = {.progress = progress};

  g_assert_null (tess_volume_load_live (path, progress, cancel_cb, &cancel, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_assert_cmpint (cancel.seen, >, 0);
  g_assert_cmpint (cancel.seen, <, NZ);
  g_assert_cmpuint (cancel.n_after, ==, 0);
  g_unlink (path);
  g_rmdir (folder);
}

/* Indices of gzip files in the cache folder. */
static guint
n_indices (void)
{
  g_autofree char *folder = g_build_filename (g_get_user_cache_dir (), "tessera", "gzip", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  guint n = 0;

  while (dir && g_dir_read_name (dir))
    n++;
  return n;
}

static void
clear_cache (void)
{
  g_autofree char *folder = g_build_filename (g_get_user_cache_dir (), "tessera", "gzip", NULL);
  g_autoptr (GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir && (name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    g_unlink (path);
  }
}

/* Changes a byte and leaves the file's time as it was. */
static void
damage_quietly (const char *path, goffset at)
{
  int fd = open (path, O_RDWR);
  struct stat info;
  guint8 byte;

  g_assert_cmpint (fstat (fd, &info), ==, 0);
  g_assert_cmpint (pread (fd, &byte, 1, at), ==, 1);
  byte ^= 0xff;
  g_assert_cmpint (pwrite (fd, &byte, 1, at), ==, 1);
  g_assert_cmpint (futimens (fd, (struct timespec[2]){info.st_atim, info.st_mtim}), ==, 0);
  close (fd);
}

/* The second time a large gzip file is read by several threads: the same slices in the same order, bytes swapped or
 * not; cancelled as soon as there is something to see; and what is damaged is told in the same words. */
static void
test_second (gconstpointer ending)
{
  g_autoptr (GError) error = NULL, again = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-live-XXXXXX", NULL),
                  *path = g_strconcat (folder, "/scan", ending, NULL), *bytes = NULL;
  g_autoptr (TessVolume) volume = make_volume (CHANNELS, path), loaded = NULL;
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Cancel cancel = {.progress = progress};
  gsize length;

  clear_cache ();
  for (int turn = 0; turn < 3; turn++) {
    Watch watch = {.wanted = volume};

    loaded = tess_volume_load_live (path, NULL, live_cb, &watch, &error);
    g_assert_no_error (error);
    g_assert_cmpint (watch.last, ==, NZ * CHANNELS);
    g_assert_cmpuint (n_indices (), ==, 1);
    tess_volume_unref (watch.seen);
    g_clear_pointer (&loaded, tess_volume_unref);
  }
  g_assert_null (tess_volume_load_live (path, progress, cancel_cb, &cancel, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpuint (cancel.n_after, ==, 0);

  g_assert_true (g_file_get_contents (path, &bytes, &length, NULL));
  bytes[length - 6] ^= 1; /* checksum */
  g_assert_true (g_file_set_contents (path, bytes, (gssize)length, NULL));
  g_assert_null (tess_volume_load (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  bytes[length - 6] ^= 1;
  g_assert_true (g_file_set_contents (path, bytes, (gssize)length, NULL));
  g_assert_nonnull (loaded = tess_volume_load (path, NULL, NULL)); /* makes an index of the file as it is now */
  g_assert_cmpuint (n_indices (), ==, 1);
  damage_quietly (path, (goffset)length / 5 * 3);
  damage_quietly (path, (goffset)length / 5 * 3 + 1);
  g_assert_null (tess_volume_load (path, NULL, &again));
  g_assert_error (again, TESS_ERROR, TESS_ERROR_FORMAT);
  clear_cache ();
  g_clear_error (&error);
  g_assert_null (tess_volume_load (path, NULL, &error));
  g_assert_cmpstr (error->message, ==, again->message);
  g_assert_cmpuint (n_indices (), ==, 0);
  g_unlink (path);
  g_rmdir (folder);
}

/* Large enough for the thread that runs ahead; the file ends in the middle or is cancelled there. */
static void
test_ahead (void)
{
  static const gint64 dim[3] = {512, 512, 300};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (GError) error = NULL;
  g_autofree char *folder = g_dir_make_tmp ("tessera-live-XXXXXX", NULL),
                  *path = g_strconcat (folder, "/scan.nii", NULL);
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, &error), loaded = NULL;
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Cancel cancel = {.progress = progress};
  guint8 *data = tess_volume_data_mut (volume);

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    data[i] = (guint8)(i * 2654435761u >> 24);
  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  loaded = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (memcmp (tess_volume_data (loaded), data, tess_volume_n_bytes (volume)) == 0);
  g_assert_null (tess_volume_load_live (path, progress, cancel_cb, &cancel, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&error);
  g_assert_cmpint (truncate (path, 40 << 20), ==, 0);
  g_assert_null (tess_volume_load (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_unlink (path);
  g_rmdir (folder);
}

int
main (int argc, char **argv)
{
  g_autofree char *cache = g_dir_make_tmp ("tessera-cache-XXXXXX", NULL);
  g_autofree char *ours = g_build_filename (cache, "tessera", NULL), *gzip = g_build_filename (ours, "gzip", NULL);
  int result;

  g_setenv ("XDG_CACHE_HOME", cache, TRUE);
  g_test_init (&argc, &argv, NULL);
  tess_parallel_set_threads (2);
  g_test_add_data_func ("/formats/live/second/nii.gz", ".nii.gz", test_second);
  g_test_add_data_func ("/formats/live/second/mgz", ".mgz", test_second);
  g_test_add_data_func ("/formats/live/second/nrrd", ".nrrd", test_second);
  g_test_add_data_func ("/formats/live/plain", ".nii", test_live);
  g_test_add_data_func ("/formats/live/gzip", ".nii.gz", test_live);
  g_test_add_data_func ("/formats/live/cancel/nii", ".nii", test_cancel);
  g_test_add_data_func ("/formats/live/cancel/nii.gz", ".nii.gz", test_cancel);
  g_test_add_data_func ("/formats/live/cancel/mha", ".mha", test_cancel);
  g_test_add_data_func ("/formats/live/cancel/nrrd", ".nrrd", test_cancel);
  g_test_add_data_func ("/formats/live/cancel/mgz", ".mgz", test_cancel);
  g_test_add_data_func ("/formats/live/cancel/npz", ".npz", test_cancel);
  g_test_add_func ("/formats/live/ahead", test_ahead);
  result = g_test_run ();
  clear_cache ();
  g_rmdir (gzip);
  g_rmdir (ours);
  g_rmdir (cache);
  return result;
}
