/* What a folder or a file of several volumes holds, and how it is opened: a scan, and others over it. */
#include "results-fixture.h"
#include "tess-contents.h"
#include "tess-format-registry.h"
#include "tess-study.h"

#include <glib/gstdio.h>
#include <string.h>

typedef struct {
  char *folder, *layers; /* layers: a file with two of them */
} Files;

static const char *const names[] = {"scan10.nii.gz", "scan2.nii.gz",    "scan2_seg.nii.gz",
                                    "notes.txt",     "layers.seg.nrrd", "scan2_seg.ctbl"};

static char *
in (const Files *f, const char *name)
{
  return g_build_filename (f->folder, name, NULL);
}

static void
files_init (Files *f)
{
  static const gint64 dim[3] = {6, 5, 4};
  static const char header[] = "NRRD0004\ntype: uint8\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 3 2 2\n"
                               "kinds: list domain domain domain\nspace directions: none (1,0,0) (0,1,0) (0,0,1)\n"
                               "space origin: (0,0,0)\nencoding: raw\n"
                               "Segment0_ID:=a\nSegment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
                               "Segment1_ID:=b\nSegment1_Name:=vessel\nSegment1_LabelValue:=1\nSegment1_Layer:=1\n\n";
  TessAffine affine = tess_affine_scale (1.0, 1.0, 2.0);
  g_autoptr (GByteArray) nrrd = g_byte_array_new ();
  g_autofree char *text = NULL;

  f->folder = g_dir_make_tmp ("tessera-contents-XXXXXX", NULL);
  g_assert_nonnull (f->folder);
  for (guint i = 0; i < 3; i++) {
    g_autoptr (TessVolume) volume = tess_volume_new (i < 2 ? TESS_DTYPE_F32 : TESS_DTYPE_U8, dim, 1, &affine, NULL);
    g_autofree char *path = in (f, names[i]);

    for (int k = 0; k < 120; k++)
      if (i < 2)
        ((float *)tess_volume_data_mut (volume))[k] = (float)k * 0.5f;
      else
        ((guint8 *)tess_volume_data_mut (volume))[k] = k > 100 ? 2 : 0;
    g_assert_true (tess_volume_save (volume, path, NULL, NULL));
  }
  text = in (f, "notes.txt");
  g_assert_true (g_file_set_contents (text, "nothing to look at", -1, NULL));
  f->layers = in (f, "layers.seg.nrrd");
  g_byte_array_append (nrrd, (const guint8 *)header, sizeof header - 1);
  for (guint8 k = 0; k < 24; k++)
    g_byte_array_append (nrrd, (const guint8[]){k % 2 && k > 12}, 1); /* the second layer's last voxels */
  g_assert_true (g_file_set_contents (f->layers, (const char *)nrrd->data, (gssize)nrrd->len, NULL));
}

static void
files_clear (Files *f)
{
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = in (f, names[i]);

    g_unlink (path);
  }
  g_assert_cmpint (g_rmdir (f->folder), ==, 0);
  g_free (f->folder);
  g_free (f->layers);
}

typedef struct {
  gboolean done;
  TessContents *contents;
  GError *error;
} Looked;

static void
looked_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Looked *looked = data;

  looked->contents = tess_contents_look_finish (result, &looked->error);
  looked->done = TRUE;
}

static gboolean
is_done (gpointer data)
{
  return *(gboolean *)data;
}

static Looked
look (const char *path, TessProgress *progress)
{
  Looked looked = {FALSE, NULL, NULL};

  tess_contents_look_async (path, progress, looked_cb, &looked);
  fixture_wait (is_done, &looked.done);
  g_assert_true ((looked.contents != NULL) == (looked.error == NULL));
  return looked;
}

static gboolean
all_pictures (gpointer data)
{
  TessContents *contents = data;

  for (guint i = 0; i < tess_contents_n (contents); i++)
    if (!tess_contents_nth (contents, i)->picture)
      return FALSE;
  return TRUE;
}

/* Names in the order a person counts, no files that are no volumes; pictures of all of them come. */
static void
test_folder (const Files *f)
{
  static const char *const expected[] = {"layers.seg.nrrd", "scan2.nii.gz", "scan2_seg.nii.gz", "scan10.nii.gz"};
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Looked looked = look (f->folder, progress);

  g_assert_no_error (looked.error);
  g_assert_cmpuint (tess_contents_n (looked.contents), ==, 4);
  for (guint i = 0; i < 4; i++)
    g_assert_cmpstr (tess_contents_nth (looked.contents, i)->name, ==, expected[i]);
  g_assert_cmpstr (tess_contents_nth (looked.contents, 1)->kind, ==, "NIfTI");
  g_assert_true (tess_contents_nth (looked.contents, 2)->labels);
  g_assert_false (tess_contents_nth (looked.contents, 3)->labels);
  /* A file with two layers cannot be drawn by its name alone: it keeps its symbol. */
  g_free (tess_contents_nth (looked.contents, 0)->preview);
  tess_contents_nth (looked.contents, 0)->preview =
      g_strconcat (tess_contents_nth (looked.contents, 0)->location, "::layer1", NULL);
  tess_contents_start_pictures (looked.contents);
  fixture_wait (all_pictures, looked.contents);
  g_assert_cmpint (gdk_texture_get_width (tess_contents_nth (looked.contents, 1)->picture), >, 16);
  g_object_unref (looked.contents);
}

static void
test_order (const Files *f)
{
  static const guint chosen[] = {2, 1, 3};
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Looked looked = look (f->folder, progress);
  g_autoptr (GPtrArray) order = tess_contents_order (looked.contents, chosen, 3);

  g_assert_cmpuint (order->len, ==, 3);
  g_assert_cmpstr (((TessContentsItem *)g_ptr_array_index (order, 0))->name, ==, "scan2.nii.gz");
  g_assert_cmpstr (((TessContentsItem *)g_ptr_array_index (order, 1))->name, ==, "scan10.nii.gz");
  g_assert_cmpstr (((TessContentsItem *)g_ptr_array_index (order, 2))->name, ==, "scan2_seg.nii.gz");
  g_object_unref (looked.contents);
}

static void
test_layers (const Files *f)
{
  g_autofree char *first = g_strconcat (f->layers, "::layer0", NULL), *file = tess_volume_location_file (first);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  Looked looked;

  g_assert_true (tess_contents_needed (f->layers));
  g_assert_false (tess_contents_needed (names[0]));
  looked = look (f->layers, progress);
  g_assert_no_error (looked.error);
  g_assert_cmpuint (tess_contents_n (looked.contents), ==, 2);
  g_assert_cmpstr (tess_contents_nth (looked.contents, 0)->location, ==, first);
  g_assert_cmpstr (tess_contents_nth (looked.contents, 0)->kind, ==, "liver");
  g_assert_cmpstr (tess_contents_nth (looked.contents, 1)->kind, ==, "vessel");
  g_assert_cmpstr (tess_contents_nth (looked.contents, 0)->detail, ==, "3 x 2 x 2 · uint8");
  g_assert_cmpstr (file, ==, f->layers);
  g_object_unref (looked.contents);
}

static void
test_refusals (const Files *f)
{
  g_autofree char *bare = in (f, "bare"), *text = in (f, "notes.txt");
  g_autoptr (TessProgress) progress = tess_progress_new (), cancelled = tess_progress_new ();
  Looked looked;

  g_assert_cmpint (g_mkdir (bare, 0700), ==, 0);
  looked = look (bare, progress);
  g_assert_error (looked.error, TESS_ERROR, TESS_ERROR_USAGE);
  g_assert_nonnull (strstr (looked.error->message, "bare: "));
  g_clear_error (&looked.error);
  g_rmdir (bare);
  looked = look (text, progress);
  g_assert_error (looked.error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&looked.error);
  tess_progress_cancel (cancelled);
  looked = look (f->folder, cancelled);
  g_assert_error (looked.error, TESS_ERROR, TESS_ERROR_CANCELLED);
  g_clear_error (&looked.error);
}

/* --- opening one of several, and others over it ------------------------------------------------------------------- */

typedef struct {
  gboolean done;
  GError *error;
} Opened;

static void
opened_cb (GObject *source, GAsyncResult *result, gpointer data)
{
  Opened *opened = data;

  tess_study_open_finish (TESS_STUDY (source), result, &opened->error);
  opened->done = TRUE;
}

static void
open_as (TessStudy *study, const char *location, const char *name, TessOpenAs as)
{
  Opened opened = {FALSE, NULL};

  tess_study_open_async (study, location, name, as, NULL, opened_cb, &opened);
  fixture_wait (is_done, &opened.done);
  g_assert_no_error (opened.error);
}

static void
test_over (const Files *f)
{
  g_autofree char *scan = in (f, "scan2.nii.gz"), *other = in (f, "scan10.nii.gz");
  g_autofree char *labels = in (f, "scan2_seg.nii.gz"), *layer = g_strconcat (f->layers, "::layer1", NULL);
  g_autoptr (TessStudy) study = tess_study_new ();
  GPtrArray *layers = tess_study_get_scene (study)->layers;

  open_as (study, scan, NULL, TESS_OPEN_SCAN);
  open_as (study, other, "Later", TESS_OPEN_OVER);
  open_as (study, labels, NULL, TESS_OPEN_OVER);
  open_as (study, layer, NULL, TESS_OPEN_OVER);
  g_assert_cmpuint (layers->len, ==, 4);
  g_assert_cmpstr (((TessLayer *)g_ptr_array_index (layers, 0))->name, ==, "scan2");
  g_assert_cmpstr (((TessLayer *)g_ptr_array_index (layers, 1))->name, ==, "Later");
  g_assert_cmpint (((TessLayer *)g_ptr_array_index (layers, 1))->lut, ==, TESS_LUT_GREY);
  g_assert_cmpfloat (((TessLayer *)g_ptr_array_index (layers, 1))->opacity, ==, 0.5);
  g_assert_cmpint (((TessLayer *)g_ptr_array_index (layers, 2))->lut, ==, TESS_LUT_LABELS);
  g_assert_cmpint (((TessLayer *)g_ptr_array_index (layers, 3))->lut, ==, TESS_LUT_LABELS);
  g_assert_cmpstr (tess_study_get_path (study), ==, scan);

  open_as (study, layer, "vessel", TESS_OPEN_SCAN);
  g_assert_cmpstr (tess_study_get_title (study), ==, "vessel");
  g_assert_cmpstr (tess_study_get_path (study), ==, f->layers); /* a file, which others can use */
}

/* A table of the labels' name that cannot be used is noted, with the layer's name where there are several. */
static void
test_notes (const Files *f)
{
  g_autofree char *scan = in (f, "scan2.nii.gz"), *labels = in (f, "scan2_seg.nii.gz");
  g_autofree char *table = in (f, "scan2_seg.ctbl");
  g_autoptr (TessStudy) study = tess_study_new ();
  g_auto (GStrv) before = NULL, after = NULL;

  open_as (study, scan, NULL, TESS_OPEN_SCAN);
  before = tess_study_dup_notes (study);
  g_assert_cmpuint (g_strv_length (before), ==, 0);
  g_assert_true (g_file_set_contents (table, "two red\n", -1, NULL));
  open_as (study, labels, NULL, TESS_OPEN_LABELS);
  after = tess_study_dup_notes (study);
  g_assert_cmpuint (g_strv_length (after), ==, 1);
  g_assert_true (g_str_has_prefix (after[0], "scan2_seg: "));
  g_assert_nonnull (strstr (after[0], "scan2_seg.ctbl"));
}

int
main (int argc, char **argv)
{
  static const struct {
    const char *path;
    void (*func) (const Files *f);
  } tests[] = {
      {"/app/contents/folder", test_folder}, {"/app/contents/order", test_order},
      {"/app/contents/layers", test_layers}, {"/app/contents/refusals", test_refusals},
      {"/app/contents/over", test_over},     {"/app/contents/notes", test_notes},
  };
  Files files;
  int result;

  g_test_init (&argc, &argv, NULL);
  files_init (&files);
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add_data_func (tests[i].path, &files, (GTestDataFunc)(void (*) (void))tests[i].func);
  result = g_test_run ();
  files_clear (&files);
  return result;
}
