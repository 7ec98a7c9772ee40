/* The scan of the command line is read before there is a window; whoever opens it then gets that reading. */
#include "results-fixture.h"
#include "tess-format-registry.h"
#include "tess-head-start.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
  char *folder, *scan, *text;
  TessHeadStart *start;
  guint n_results;
  gboolean ok;
  GError *error;
} Fixture;

static void
set_up (Fixture *f, gconstpointer data)
{
  g_autoptr (TessVolume) volume = fixture_scan ();

  f->folder = g_dir_make_tmp ("tessera-head-start-XXXXXX", &f->error);
  g_assert_no_error (f->error);
  f->scan = g_build_filename (f->folder, "scan.nii.gz", NULL);
  f->text = g_build_filename (f->folder, "broken.nii.gz", NULL);
  tess_volume_save (volume, f->scan, NULL, &f->error);
  g_assert_no_error (f->error);
  g_assert_true (g_file_set_contents (f->text, "not a scan", -1, NULL));
}

static void
tear_down (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->start, tess_head_start_free);
  g_clear_error (&f->error);
  g_unlink (f->scan);
  g_unlink (f->text);
  g_rmdir (f->folder);
  g_free (f->scan);
  g_free (f->text);
  g_free (f->folder);
}

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Fixture *f = data;

  f->n_results++;
  f->ok = tess_study_open_finish (TESS_STUDY (source), result, &f->error);
}

static void
wait_for_result (Fixture *f)
{
  while (f->n_results == 0)
    g_main_context_iteration (NULL, TRUE);
  while (g_main_context_iteration (NULL, FALSE)) /* not a second one */
    ;
  g_assert_cmpuint (f->n_results, ==, 1);
}

static void
test_taken_while_reading (Fixture *f, gconstpointer data)
{
  g_autoptr (TessJob) job = NULL, again = NULL;

  f->start = tess_head_start_new (f->scan);
  g_assert_nonnull (f->start);
  job = tess_head_start_take (f->start, f->scan, opened_cb, f);
  g_assert_nonnull (job);
  again = tess_head_start_take (f->start, f->scan, opened_cb, f);
  g_assert_null (again);
  wait_for_result (f);
  g_assert_no_error (f->error);
  g_assert_true (f->ok && tess_study_get_has_image (tess_head_start_get_study (f->start)));
}

/* The result is in before somebody asks: it is told from the main loop all the same. */
static void
test_taken_late (Fixture *f, gconstpointer data)
{
  g_autoptr (TessJob) job = NULL;

  f->start = tess_head_start_new (f->scan);
  while (!tess_study_get_has_image (tess_head_start_get_study (f->start)))
    g_main_context_iteration (NULL, TRUE);
  while (g_main_context_iteration (NULL, FALSE))
    ;
  job = tess_head_start_take (f->start, f->scan, opened_cb, f);
  g_assert_nonnull (job);
  g_assert_cmpuint (f->n_results, ==, 0);
  wait_for_result (f);
  g_assert_no_error (f->error);
  g_assert_true (f->ok);
}

/* The window lets go of it as soon as it has the job. */
static void
test_outlives_its_owner (Fixture *f, gconstpointer data)
{
  g_autoptr (TessStudy) study = NULL;
  g_autoptr (TessJob) job = NULL;

  f->start = tess_head_start_new (f->scan);
  study = g_object_ref (tess_head_start_get_study (f->start));
  job = tess_head_start_take (f->start, f->scan, opened_cb, f);
  g_clear_pointer (&f->start, tess_head_start_free);
  wait_for_result (f);
  g_assert_true (f->ok && tess_study_get_has_image (study));
}

static gboolean
is_gone (GWeakRef *study)
{
  g_autoptr (GObject) object = g_weak_ref_get (study);

  return object == NULL;
}

static void
test_taken_by_nobody (Fixture *f, gconstpointer data)
{
  GWeakRef study;
  TessJob *job;

  f->start = tess_head_start_new (f->scan);
  g_weak_ref_init (&study, tess_head_start_get_study (f->start));
  job = tess_head_start_take (f->start, f->text, opened_cb, f); /* another file is nobody's */
  g_assert_null (job);
  g_clear_pointer (&f->start, tess_head_start_free);
  while (!is_gone (&study)) /* the reading thread may be the last to let go, and wakes nobody then */
    if (!g_main_context_iteration (NULL, FALSE))
      g_usleep (1000);
  g_weak_ref_clear (&study);
  g_assert_cmpuint (f->n_results, ==, 0);
}

static void
test_error (Fixture *f, gconstpointer data)
{
  g_autoptr (TessJob) job = NULL;

  f->start = tess_head_start_new (f->text);
  g_assert_nonnull (f->start);
  job = tess_head_start_take (f->start, f->text, opened_cb, f);
  wait_for_result (f);
  g_assert_false (f->ok);
  g_assert_error (f->error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (f->error->message, "broken.nii.gz: "));
}

static void
test_not_one_scan (Fixture *f, gconstpointer data)
{
  g_autofree char *missing = g_build_filename (f->folder, "missing.nii", NULL);

  g_assert_null (tess_head_start_new (f->folder)); /* what is in it has to be chosen from */
  g_assert_null (tess_head_start_new (missing));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(path, test) g_test_add (path, Fixture, NULL, set_up, test, tear_down)
  ADD ("/head-start/taken-while-reading", test_taken_while_reading);
  ADD ("/head-start/taken-late", test_taken_late);
  ADD ("/head-start/outlives-its-owner", test_outlives_its_owner);
  ADD ("/head-start/taken-by-nobody", test_taken_by_nobody);
  ADD ("/head-start/error", test_error);
  ADD ("/head-start/not-one-scan", test_not_one_scan);
  return g_test_run ();
}
