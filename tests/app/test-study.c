/* A scan is looked at while it is being read; one that fails in the end leaves what was open before. */
#include "results-fixture.h"
#include "tess-format-registry.h"
#include "tess-pane.h"
#include "tess-study.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

#define NX 192
#define NY 200
#define NZ 420 /* 32 MB: takes long enough to read that it is seen before it is whole */

typedef struct {
  char *folder, *small, *large, *cut;
} Files;

static void
files_init (Files *f)
{
  static const gint64 dim[3] = {NX, NY, NZ};
  TessAffine affine = tess_affine_scale (0.9, 0.9, 1.2);
  g_autoptr (TessVolume) small = fixture_scan (), large = NULL;
  g_autoptr (GError) error = NULL;
  g_autofree char *bytes = NULL;
  guint32 random = 7;
  gint16 *data;
  gsize n;

  f->folder = g_dir_make_tmp ("tessera-study-XXXXXX", &error);
  g_assert_no_error (error);
  f->small = g_build_filename (f->folder, "small.nii.gz", NULL);
  f->large = g_build_filename (f->folder, "large.nii.gz", NULL);
  f->cut = g_build_filename (f->folder, "cut.nii.gz", NULL);
  tess_volume_save (small, f->small, NULL, &error);
  g_assert_no_error (error);
  large = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, &error);
  g_assert_no_error (error);
  data = tess_volume_data_mut (large);
  for (gsize i = 0; i < (gsize)NX * NY * NZ; i++) {
    random = random * 1664525u + 1013904223u;
    data[i] = (gint16)(i / (NX * NY) + (random >> 26));
  }
  tess_volume_save (large, f->large, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_get_contents (f->large, &bytes, &n, NULL));
  g_assert_true (g_file_set_contents (f->cut, bytes, (gssize)(n - n / 10), NULL));
}

static void
files_clear (Files *f)
{
  g_unlink (f->small);
  g_unlink (f->large);
  g_unlink (f->cut);
  g_rmdir (f->folder);
  g_free (f->small);
  g_free (f->large);
  g_free (f->cut);
  g_free (f->folder);
}

/* What came of one opening, and what was seen of it on the way. */
typedef struct {
  TessStudy *study;
  gboolean done, ok;
  GError *error;
  gint64 readable; /* slices at the last look; never fewer */
  guint n_seen;    /* looks while it was not whole */
  TessProgress *cancel_when_seen;
} Watch;

static void
changed_cb (Watch *watch)
{
  TessLayer *layer = tess_scene_main (tess_study_get_scene (watch->study));

  if (!tess_study_is_reading (watch->study) || !layer)
    return;
  g_assert_cmpstr (tess_study_get_path (watch->study), !=, NULL);
  g_assert_cmpint (tess_layer_readable (layer), >=, watch->readable);
  watch->readable = tess_layer_readable (layer);
  g_assert_cmpint (watch->readable, >=, 1);
  g_assert_true (isfinite (layer->lower) && layer->upper > layer->lower);
  watch->n_seen++;
  if (watch->cancel_when_seen)
    tess_progress_cancel (watch->cancel_when_seen);
}

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Watch *watch = data;

  watch->ok = tess_study_open_finish (TESS_STUDY (source), result, &watch->error);
  watch->done = TRUE;
}

static gboolean
is_done (gpointer data)
{
  return ((Watch *)data)->done;
}

static void
watch_start (Watch *watch, TessStudy *study, const char *path, TessJob *job)
{
  *watch = (Watch){.study = study};
  g_signal_connect_swapped (study, "changed", G_CALLBACK (changed_cb), watch);
  tess_study_open_async (study, path, NULL, TESS_OPEN_SCAN, job, opened_cb, watch);
}

static void
watch_end (Watch *watch)
{
  fixture_wait (is_done, watch);
  g_signal_handlers_disconnect_by_data (watch->study, watch);
  g_test_message ("seen %u times before it was whole, last with %d slices", watch->n_seen, (int)watch->readable);
  g_assert_false (tess_study_is_reading (watch->study));
}

static void
open_small (TessStudy *study, const Files *f)
{
  static const gint64 patch[3] = {4, 5, 6}, stride[3] = {2, 3, 4};
  g_autoptr (TessFindings) findings = tess_findings_new (NULL);
  Watch watch;

  watch_start (&watch, study, f->small, NULL);
  watch_end (&watch);
  g_assert_no_error (watch.error);
  tess_study_set_grid (study, TRUE, patch, stride);
  tess_findings_add (findings, "small", (double[]){1, 2, 3}, 4, (const char *[]){NULL});
  tess_study_set_findings (study, findings, "small.csv");
  tess_study_scroll (study, TESS_PLANE_AXIAL, 2);
}

/* As open_small() left it. */
static void
check_small (TessStudy *study, const Files *f, const double cursor[3], guint64 serial)
{
  TessScene *scene = tess_study_get_scene (study);
  gint64 patch[3], stride[3];

  g_assert_cmpstr (tess_study_get_path (study), ==, f->small);
  g_assert_cmpstr (tess_study_get_title (study), ==, "small");
  g_assert_cmpuint (scene->layers->len, ==, 1);
  g_assert_cmpmem (scene->cursor, sizeof scene->cursor, cursor, 3 * sizeof (double));
  g_assert_true (tess_study_get_grid (study, patch, stride));
  g_assert_cmpint (patch[1], ==, 5);
  g_assert_cmpint (stride[2], ==, 4);
  g_assert_cmpuint (tess_study_get_serial (study), ==, serial);
  g_assert_nonnull (scene->findings);
  g_assert_cmpuint (tess_findings_n (scene->findings), ==, 1);
  g_assert_cmpstr (tess_study_get_findings_name (study), ==, "small.csv");
}

static void
test_whole (const Files *f)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (TessLayer) wanted = NULL;
  g_autoptr (GError) error = NULL;
  TessLayer *layer;
  TessScene *scene = tess_study_get_scene (study);
  gint64 n;
  Watch watch;

  watch_start (&watch, study, f->large, NULL);
  watch_end (&watch);
  g_assert_no_error (watch.error);
  g_assert_true (watch.ok);
  g_assert_cmpuint (scene->layers->len, ==, 1);
  layer = tess_scene_main (scene);
  g_assert_cmpint (tess_layer_readable (layer), ==, NZ);
  volume = tess_volume_load (f->large, NULL, &error);
  g_assert_no_error (error);
  wanted = tess_layer_new (volume, "wanted");
  g_assert_cmpfloat (layer->lower, ==, wanted->lower);
  g_assert_cmpfloat (layer->upper, ==, wanted->upper);
  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_AXIAL, &n), ==, NZ / 2 + 1);
  g_assert_cmpint (n, ==, NZ);
  g_assert_cmpmem (tess_volume_data (layer->volume), tess_volume_n_bytes (volume), tess_volume_data (volume),
                   tess_volume_n_bytes (volume));
}

static void
test_cut (const Files *f)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  double cursor[3];
  guint64 serial;
  Watch watch;

  watch_start (&watch, study, f->cut, NULL); /* over nothing */
  watch_end (&watch);
  g_assert_error (watch.error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_clear_error (&watch.error);
  g_assert_false (tess_study_get_has_image (study));
  g_assert_null (tess_study_get_title (study));

  open_small (study, f);
  memcpy (cursor, tess_study_get_scene (study)->cursor, sizeof cursor);
  serial = tess_study_get_serial (study);
  watch_start (&watch, study, f->cut, NULL);
  watch_end (&watch);
  g_assert_error (watch.error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_clear_error (&watch.error);
  check_small (study, f, cursor, serial);
}

static void
test_cancelled (const Files *f)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (TessJob) job = tess_job_new ("reading");
  double cursor[3];
  guint64 serial;
  Watch watch;

  open_small (study, f);
  memcpy (cursor, tess_study_get_scene (study)->cursor, sizeof cursor);
  serial = tess_study_get_serial (study);
  watch_start (&watch, study, f->large, job);
  watch.cancel_when_seen = tess_job_get_progress (job);
  watch_end (&watch);
  if (watch.ok) {
    g_test_skip ("it was read before it could be cancelled");
    return;
  }
  g_assert_error (watch.error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&watch.error);
  check_small (study, f, cursor, serial);
}

static gboolean
is_seen (gpointer data)
{
  return ((Watch *)data)->n_seen > 0 || ((Watch *)data)->done;
}

/* Another scan is opened while the first comes in. */
static void
test_overtaken (const Files *f)
{
  g_autoptr (TessStudy) study = tess_study_new ();
  Watch first, second;

  watch_start (&first, study, f->large, NULL);
  fixture_wait (is_seen, &first);
  g_signal_handlers_disconnect_by_data (study, &first);
  watch_start (&second, study, f->small, NULL);
  watch_end (&second);
  fixture_wait (is_done, &first);
  g_assert_true (second.ok);
  g_assert_true (first.ok || g_error_matches (first.error, TESS_ERROR, TESS_ERROR_CANCELLED));
  g_clear_error (&first.error);
  g_assert_cmpstr (tess_study_get_path (study), ==, f->small);
  g_assert_cmpuint (tess_study_get_scene (study)->layers->len, ==, 1);
}

/* Labels whose file has no names get those that lie beside it. */
static void
test_label_names (const Files *f)
{
  static const gint64 dim[3] = {4, 3, 2};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autofree char *path = g_build_filename (f->folder, "organs.nii.gz", NULL);
  g_autofree char *table = g_build_filename (f->folder, "organs.ctbl", NULL);
  g_autoptr (TessStudy) study = tess_study_new ();
  g_autoptr (GError) error = NULL;
  const TessLabel *label;
  Watch watch = {.study = study};

  ((guint8 *)tess_volume_data_mut (volume))[5] = 2;
  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (g_file_set_contents (table, "2 left_lung 10 20 30 255\n", -1, NULL));
  open_small (study, f);
  tess_study_open_async (study, path, NULL, TESS_OPEN_LABELS, NULL, opened_cb, &watch);
  fixture_wait (is_done, &watch);
  g_assert_no_error (watch.error);
  label = tess_label_table_find (((TessLayer *)g_ptr_array_index (tess_study_get_scene (study)->layers, 1))->labels, 2);
  g_assert_nonnull (label);
  g_assert_cmpstr (label->name, ==, "left lung");
  g_assert_cmpmem (label->rgba, 4, ((guint8[]){10, 20, 30, 255}), 4);
  g_unlink (path);
  g_unlink (table);
}

int
main (int argc, char **argv)
{
  Files files;
  int result;

  g_test_init (&argc, &argv, NULL);
  files_init (&files);
  g_test_add_data_func ("/app/study/whole", &files, (GTestDataFunc)(void (*) (void))test_whole);
  g_test_add_data_func ("/app/study/cut", &files, (GTestDataFunc)(void (*) (void))test_cut);
  g_test_add_data_func ("/app/study/cancelled", &files, (GTestDataFunc)(void (*) (void))test_cancelled);
  g_test_add_data_func ("/app/study/overtaken", &files, (GTestDataFunc)(void (*) (void))test_overtaken);
  g_test_add_data_func ("/app/study/label-names", &files, (GTestDataFunc)(void (*) (void))test_label_names);
  result = g_test_run ();
  files_clear (&files);
  return result;
}
