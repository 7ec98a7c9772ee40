#include "tess-case-cache.h"

#include "fixture.h"

#include "tess-thread.h"

#include <math.h>
#include <string.h>
#include <utime.h>

#define N_CASES 6u

static const char json_text[] =
    "{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": 2}}";

/* N_CASES scans of 9 x 8 x 5 int16 voxels and labels: each about 1.5 kB decoded. */
static TessDataset *
make_dataset (const char *root)
{
  GError *error = NULL;
  TessDataset *dataset;

  write_text (root, "dataset.json", json_text);
  for (guint i = 0; i < N_CASES; i++) {
    g_autofree char *image = g_strdup_printf ("imagesTr/c%u_0000.nii.gz", i);
    g_autofree char *label = g_strdup_printf ("labelsTr/c%u.nii.gz", i);
    Fill fill = IMAGE_FILL;

    fill.base += (int)i;
    write_volume (root, image, fill);
    write_volume (root, label, LABEL_FILL);
  }
  dataset = tess_dataset_open (root, NULL, &error);
  g_assert_no_error (error);
  return dataset;
}

static void
assert_same_constants (const TessCase *a, const TessCase *b)
{
  g_assert_cmpmem (&a->statistics[0], sizeof a->statistics[0], &b->statistics[0], sizeof b->statistics[0]);
  for (guint l = 0; l < 3; l++)
    g_assert_cmpmem (a->class_voxels[l], a->class_count[l] * sizeof (guint64), b->class_voxels[l],
                     b->class_count[l] * sizeof (guint64));
}

static void
test_load (void)
{
  g_autofree char *root = make_root ();
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCase) c = NULL;
  GError *error = NULL;
  double sum = 0.0, squares = 0.0;
  const double n = 360.0;

  c = tess_case_load (dataset, 1, NULL, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (c->id, ==, "c1");
  g_assert_cmpuint (c->n_labels, ==, 3);
  for (int i = 0; i < 360; i++) {
    double v = -49.0 + i * 7 % 301;

    sum += v;
    squares += v * v;
  }
  g_assert_cmpfloat_with_epsilon (c->statistics[0].mean, sum / n, 1e-9);
  g_assert_cmpfloat_with_epsilon (c->statistics[0].std, sqrt (squares / n - sum * sum / n / n), 1e-9);
  g_assert_cmpuint (c->class_count[0], ==, 0);
  for (guint l = 1; l < 3; l++) {
    g_assert_cmpuint (c->class_count[l], ==, 120);
    for (guint i = 0; i < 120; i++)
      g_assert_cmpuint (c->class_voxels[l][i], ==, 3 * i + l);
  }
  g_assert_cmpuint (c->bytes, >=, 360 * 3 + 240 * 8);
  remove_root (root);
}

/* More voxels than are kept: evenly spaced, first one included. */
static void
test_even (void)
{
  const gint64 dim[3] = {50, 40, 30};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) image = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) label = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, NULL);
  g_autoptr (TessCase) c = NULL;
  gint16 *l = tess_volume_data_mut (label);
  GError *error = NULL;

  for (int i = 0; i < 60000; i++)
    l[i] = i >= 7 && i < 7 + 25000 ? 1 : i >= 50000 ? 2 : 0;
  c = tess_case_new ("even", &image, 1, label, 3, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_dtype (c->label), ==, TESS_DTYPE_U8);
  g_assert_cmpuint (c->class_count[1], ==, 10000);
  g_assert_cmpuint (c->class_count[2], ==, 10000);
  for (guint64 k = 0; k < 10000; k++) {
    g_assert_cmpuint (c->class_voxels[1][k], ==, 7 + k * 25000 / 10000);
    g_assert_cmpuint (c->class_voxels[2][k], ==, 50000 + k);
  }
  g_clear_pointer (&c, tess_case_unref);
  l[31] = 3;
  g_assert_null (tess_case_new ("even", &image, 1, label, 3, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "(31, 0, 0) holds 3"));
  g_clear_error (&error);
}

static void
patch_file (const char *path, gsize at, int add)
{
  g_autofree char *bytes = NULL;
  gsize n;

  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  bytes[at % n] = (char)(bytes[at % n] + add);
  g_assert_true (g_file_set_contents (path, bytes, (gssize)n, NULL));
}

/* Whether loading wrote the file anew (then it differs from the mark). */
static void
load_and_compare (const TessDataset *dataset, const char *dir, const TessCase *expected)
{
  GError *error = NULL;
  g_autoptr (TessCase) c = tess_case_load (dataset, 0, dir, NULL, &error);

  g_assert_no_error (error);
  assert_same_constants (c, expected);
}

static void
test_constants (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *dir = g_build_filename (root, "run", "cases", NULL);
  g_autofree char *path = g_build_filename (dir, "c0.constants", NULL);
  g_autofree char *image_path = g_build_filename (root, "imagesTr/c0_0000.nii.gz", NULL);
  g_autofree char *good = NULL, *again = NULL;
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCase) first = tess_case_load (dataset, 0, NULL, NULL, NULL), other = NULL;
  gsize n, n_again;
  GError *error = NULL;
  struct utimbuf old = {1000000000, 1000000000};
  Fill fill = IMAGE_FILL;

  load_and_compare (dataset, dir, first);
  g_assert_true (g_file_get_contents (path, &good, &n, NULL));
  g_assert_cmpuint (n, >, 240 * 8);
  /* Read back: an old time of change stays. */
  g_assert_cmpint (utime (path, &old), ==, 0);
  load_and_compare (dataset, dir, first);
  {
    GStatBuf info;

    g_assert_cmpint (g_stat (path, &info), ==, 0);
    g_assert_cmpint (info.st_mtime, ==, old.modtime);
  }
  /* Damaged anywhere, cut or grown: computed again and mended. */
  for (gsize at = 0; at < n; at += 97) {
    patch_file (path, at, 1);
    load_and_compare (dataset, dir, first);
    g_assert_true (g_file_get_contents (path, &again, &n_again, NULL));
    g_assert_cmpmem (again, n_again, good, n);
    g_clear_pointer (&again, g_free);
  }
  for (gsize cut = 0; cut < n; cut += 501) {
    g_assert_true (g_file_set_contents (path, good, (gssize)cut, NULL));
    load_and_compare (dataset, dir, first);
  }
  /* Another scan under the same name is not described by the file. */
  fill.base = 100;
  write_volume (root, "imagesTr/c0_0000.nii.gz", fill);
  g_assert_cmpint (utime (image_path, &old), ==, 0);
  other = tess_case_load (dataset, 0, dir, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (other->statistics[0].min, ==, 100.0);
  remove_root (root);
}

/* A file with a right checksum whose voxels are not of the class, as a program that knows the form could make. */
static void
test_forged (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *dir = g_build_filename (root, "cases", NULL);
  g_autofree char *path = g_build_filename (dir, "c0.constants", NULL);
  g_autofree char *bytes = NULL;
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCase) first = tess_case_load (dataset, 0, dir, NULL, NULL);
  const guint64 bad[] = {0, 2, 359, 360, G_MAXUINT64, 4};
  gsize n, first_voxel = 8 + 71 + 48 + 3 * 4;

  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
    g_autoptr (GChecksum) sha = g_checksum_new (G_CHECKSUM_SHA256);
    gsize n_sum = 32;

    memcpy (bytes + first_voxel, &bad[i], 8);
    g_checksum_update (sha, (const guchar *)bytes, (gssize)n - 32);
    g_checksum_get_digest (sha, (guint8 *)bytes + n - 32, &n_sum);
    g_assert_true (g_file_set_contents (path, bytes, (gssize)n, NULL));
    load_and_compare (dataset, dir, first);
  }
  remove_root (root);
}

static void
test_cache (void)
{
  g_autofree char *root = make_root ();
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCase) probe = tess_case_load (dataset, 0, NULL, NULL, NULL), held = NULL;
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 3 * probe->bytes + 10);
  GError *error = NULL;

  for (guint i = 0; i < 3; i++)
    tess_case_unref (tess_case_cache_get (cache, i, &error));
  g_assert_cmpuint (tess_case_cache_loads (cache), ==, 3);
  g_assert_cmpuint (tess_case_cache_bytes (cache), ==, 3 * probe->bytes);
  held = tess_case_cache_get (cache, 0, &error); /* now the newest, and in use */
  tess_case_unref (tess_case_cache_get (cache, 2, &error));
  g_assert_cmpuint (tess_case_cache_loads (cache), ==, 3);
  tess_case_unref (tess_case_cache_get (cache, 3, &error));
  g_assert_true (tess_case_cache_peek (cache, 0));
  g_assert_false (tess_case_cache_peek (cache, 1)); /* the least recently used */
  g_assert_true (tess_case_cache_peek (cache, 2));
  g_assert_true (tess_case_cache_peek (cache, 3));
  tess_case_unref (tess_case_cache_get (cache, 4, &error));
  tess_case_unref (tess_case_cache_get (cache, 5, &error));
  g_assert_true (tess_case_cache_peek (cache, 0)); /* older than 4 and 5, but held */
  g_assert_cmpuint (tess_case_cache_bytes (cache), ==, 3 * probe->bytes);
  g_assert_cmpuint (tess_case_cache_peak (cache), ==, 3 * probe->bytes); /* room is made before decoding */
  g_assert_cmpuint (tess_case_cache_loads (cache), ==, 6);
  g_assert_no_error (error);
  remove_root (root);
}

/* Everything held is above any budget: it stays all the same, and goes with the first get afterwards. */
static void
test_cache_small (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *image_path = g_build_filename (root, "imagesTr/c5_0000.nii.gz", NULL);
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCaseCache) cache = tess_case_cache_new (dataset, NULL, 0);
  TessCase *held[4];
  GError *error = NULL;

  for (guint i = 0; i < 4; i++)
    held[i] = tess_case_cache_get (cache, i, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < 4; i++) {
    g_assert_true (tess_case_cache_peek (cache, i));
    g_assert_cmpfloat (tess_volume_value (held[i]->images[0], 0, 0, 0, 0), ==, -50.0 + i);
    tess_case_unref (held[i]);
  }
  tess_case_unref (tess_case_cache_get (cache, 4, &error));
  for (guint i = 0; i < 4; i++)
    g_assert_false (tess_case_cache_peek (cache, i));

  g_assert_cmpint (g_unlink (image_path), ==, 0);
  g_assert_null (tess_case_cache_get (cache, 5, &error));
  g_assert_nonnull (error);
  g_clear_error (&error);
  write_volume (root, "imagesTr/c5_0000.nii.gz", IMAGE_FILL);
  held[0] = tess_case_cache_get (cache, 5, &error); /* a failure is not remembered */
  g_assert_no_error (error);
  tess_case_unref (held[0]);
  remove_root (root);
}

typedef struct {
  TessCaseCache *cache;
  guint number;
  gboolean same;
} Worker;

static void
worker_run (gpointer data)
{
  Worker *w = data;

  for (guint k = 0; k < 120; k++) {
    guint i = w->same ? k % N_CASES : (k * 5 + w->number * 7 + k / 11) % N_CASES;
    GError *error = NULL;
    g_autoptr (TessCase) c = tess_case_cache_get (w->cache, i, &error);

    g_assert_no_error (error);
    g_assert_cmpfloat (tess_volume_value (c->images[0], 0, 0, 0, 0), ==, -50.0 + i);
    g_assert_cmpuint (c->class_voxels[2][119], ==, 359);
  }
}

static void
run_workers (TessCaseCache *cache, gboolean same)
{
  Worker workers[8];
  TessThread *threads[8];

  for (guint i = 0; i < 8; i++) {
    workers[i] = (Worker){cache, i, same};
    threads[i] = tess_thread_new ("worker", 0, worker_run, &workers[i]);
  }
  for (guint i = 0; i < 8; i++)
    tess_thread_join (threads[i]);
}

static void
test_threads (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *dir = g_build_filename (root, "cases", NULL);
  g_autoptr (TessDataset) dataset = make_dataset (root);
  g_autoptr (TessCase) probe = tess_case_load (dataset, 0, NULL, NULL, NULL);
  g_autoptr (TessCaseCache) large = tess_case_cache_new (dataset, dir, G_MAXUINT64);
  g_autoptr (TessCaseCache) tight = tess_case_cache_new (dataset, dir, 2 * probe->bytes);

  run_workers (large, TRUE);
  g_assert_cmpuint (tess_case_cache_loads (large), ==, N_CASES); /* each decoded once */
  g_assert_cmpuint (tess_case_cache_bytes (large), ==, N_CASES * probe->bytes);
  run_workers (tight, FALSE);
  g_assert_cmpuint (tess_case_cache_loads (tight), >=, N_CASES);
  tess_case_unref (tess_case_cache_get (tight, 0, NULL));
  g_assert_cmpuint (tess_case_cache_bytes (tight), <=, 2 * probe->bytes);
  remove_root (root);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/case/load", test_load);
  g_test_add_func ("/data/case/even", test_even);
  g_test_add_func ("/data/case/constants", test_constants);
  g_test_add_func ("/data/case/forged", test_forged);
  g_test_add_func ("/data/cache/budget", test_cache);
  g_test_add_func ("/data/cache/small", test_cache_small);
  g_test_add_func ("/data/cache/threads", test_threads);
  return g_test_run ();
}
