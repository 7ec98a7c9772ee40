/* tessera-cli info and convert, as a script meets them. */
#include "../remove-tree.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

typedef struct {
  int code;
  char *out, *err;
} Run;

static void
run_clear (Run *run)
{
  g_free (run->out);
  g_free (run->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Run, run_clear)

static Run
run (const char *first, ...)
{
  g_autoptr (GPtrArray) args = g_ptr_array_new ();
  g_autofree char *program = g_test_build_filename (G_TEST_BUILT, "..", "src", "cli", "tessera-cli", NULL);
  g_autoptr (GError) error = NULL;
  Run result = {0};
  va_list list;
  int status = 0;

  g_ptr_array_add (args, program);
  va_start (list, first);
  for (const char *arg = first; arg; arg = va_arg (list, const char *))
    g_ptr_array_add (args, (gpointer)arg);
  va_end (list);
  g_ptr_array_add (args, NULL);
  g_spawn_sync (folder, (char **)args->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &result.out, &result.err, &status,
                &error);
  g_assert_no_error (error);
  g_assert_true (g_spawn_check_wait_status (status, &error) || error->domain == G_SPAWN_EXIT_ERROR); /* no signal */
  result.code = error ? error->code : 0;
  return result;
}

/* Exit code 1, nothing on standard output, one line `tessera-cli: NAME: ...; ...` on standard error. */
static void
assert_one_line (const Run *r, const char *name)
{
  g_autofree char *start = g_strdup_printf ("tessera-cli: %s: ", name);

  g_assert_cmpint (r->code, ==, 1);
  g_assert_cmpstr (r->out, ==, "");
  if (!g_str_has_prefix (r->err, start))
    g_error ("\"%s\" does not start with \"%s\"", r->err, start);
  g_assert_nonnull (strchr (r->err, ';'));
  g_assert_true (strchr (r->err, '\n') == r->err + strlen (r->err) - 1);
}

static TessVolume *
make_volume (void)
{
  const gint64 dim[3] = {3, 4, 5};
  TessAffine affine = {{{0, -2, 0, 7}, {1.5, 0, 0, 8}, {0, 0, 3, 9}}};
  TessVolume *volume = tess_volume_new (TESS_DTYPE_I16, dim, 2, &affine, NULL);

  for (int i = 0; i < 120; i++)
    ((gint16 *)tess_volume_data_mut (volume))[i] = (gint16)(i - 20);
  tess_volume_set_scaling (volume, 0.5, 1);
  return volume;
}

static void
save (TessVolume *volume, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);
  g_autoptr (GError) error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
}

static void
test_info_json (void)
{
  static const char *const keys[] = {"format",      "dims", "channels", "dtype", "spacing", "affine",
                                     "orientation", "min",  "max",      "mean",  "std",     "warnings"};
  g_autoptr (TessVolume) volume = make_volume ();
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GList) members = NULL;
  g_auto (Run) r = {0};
  JsonObject *o;
  JsonArray *rows;
  gint64 dims[3];
  double spacing[3], value = 0;

  save (volume, "a.nii.gz");
  r = run ("info", "a.nii.gz", "--json", NULL);
  g_assert_cmpint (r.code, ==, 0);
  g_assert_cmpstr (r.err, ==, "");
  root = tess_json_parse (r.out, -1, "out", &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (root, "out", &o, NULL));
  members = json_object_get_members (o);
  g_assert_cmpuint (g_list_length (members), ==, G_N_ELEMENTS (keys));
  for (guint i = 0; i < G_N_ELEMENTS (keys); i++)
    g_assert_true (json_object_has_member (o, keys[i]));
  g_assert_cmpstr (json_object_get_string_member (o, "format"), ==, "nifti");
  g_assert_true (tess_json_ints (o, "out", "dims", 1, 9, dims, 3, NULL) && dims[0] == 3 && dims[1] == 4 &&
                 dims[2] == 5);
  g_assert_cmpint (json_object_get_int_member (o, "channels"), ==, 2);
  g_assert_cmpstr (json_object_get_string_member (o, "dtype"), ==, "int16");
  g_assert_true (tess_json_doubles (o, "out", "spacing", spacing, 3, NULL) && spacing[0] == 1.5 && spacing[1] == 2 &&
                 spacing[2] == 3);
  g_assert_cmpstr (json_object_get_string_member (o, "orientation"), ==, "ALS");
  rows = json_object_get_array_member (o, "affine");
  g_assert_cmpuint (json_array_get_length (rows), ==, 4);
  g_assert_cmpfloat (json_array_get_double_element (json_array_get_array_element (rows, 0), 1), ==, -2);
  g_assert_cmpfloat (json_array_get_double_element (json_array_get_array_element (rows, 3), 3), ==, 1);
  g_assert_true (tess_json_double (o, "out", "min", &value, NULL) && value == -9);
  g_assert_true (tess_json_double (o, "out", "max", &value, NULL) && value == 50.5);
  g_assert_true (tess_json_double (o, "out", "mean", &value, NULL) && fabs (value - 20.75) < 1e-12);
  g_assert_true (tess_json_double (o, "out", "std", &value, NULL) &&
                 fabs (value - 0.5 * sqrt ((120.0 * 120.0 - 1) / 12)) < 1e-9);
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (o, "warnings")), ==, 0);
}

static void
test_info_card (void)
{
  const gint64 dim[3] = {2, 2, 2};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = make_volume (), gaps = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
  g_auto (Run) r = {0}, n = {0}, j = {0};

  save (volume, "a.nii");
  r = run ("info", "a.nii", NULL);
  g_assert_cmpint (r.code, ==, 0);
  g_assert_nonnull (strstr (r.out, "3 x 4 x 5"));
  g_assert_nonnull (strstr (r.out, "1.5 x 2 x 3 mm"));
  g_assert_nonnull (strstr (r.out, "-9 to 50.5"));
  for (int i = 0; i < 8; i++)
    ((float *)tess_volume_data_mut (gaps))[i] = NAN;
  save (gaps, "nan.nii");
  n = run ("info", "nan.nii", NULL);
  g_assert_nonnull (strstr (n.out, "8 voxels are not numbers"));
  j = run ("info", "nan.nii", "--json", NULL);
  g_assert_nonnull (strstr (j.out, "\"mean\": null"));
}

/* A table of findings: which are the scan's, where they are in it (LPS in the table, RAS and voxels out). */
static void
test_findings (void)
{
  g_autoptr (TessVolume) volume = make_volume ();
  g_autofree char *table = g_build_filename (folder, "f.csv", NULL);
  g_autofree char *picture = g_build_filename (folder, "p.png", NULL);
  g_autoptr (JsonNode) root = NULL;
  g_autoptr (GError) error = NULL;
  g_auto (Run) r = {0}, card = {0}, other = {0}, drawn = {0};
  JsonObject *o, *first, *second;
  JsonArray *findings;
  double world[3], voxel[3], diameter = 0;

  save (volume, "scan7.nii");
  /* index (1, 2, 3) is at RAS (3, 9.5, 18) */
  g_file_set_contents (table,
                       "seriesuid,class,coordZ,coordY,coordX,diameter_mm\n"
                       "scan7,solid,18,-9.5,-3,4.5\nscan8,,0,0,0,1\nscan7,,18,-9.5,3,-1\n",
                       -1, NULL);
  r = run ("info", "scan7.nii", "--json", "--findings", "f.csv", NULL);
  g_assert_cmpint (r.code, ==, 0);
  root = tess_json_parse (r.out, -1, "out", &error);
  g_assert_no_error (error);
  g_assert_true (tess_json_root (root, "out", &o, NULL));
  findings = json_object_get_array_member (o, "findings");
  g_assert_cmpuint (json_array_get_length (findings), ==, 2);
  first = json_array_get_object_element (findings, 0);
  g_assert_cmpstr (json_object_get_string_member (first, "id"), ==, "scan7");
  g_assert_true (tess_json_doubles (first, "out", "world", world, 3, NULL) && world[0] == 3 && world[1] == 9.5 &&
                 world[2] == 18);
  g_assert_true (tess_json_doubles (first, "out", "voxel", voxel, 3, NULL) && fabs (voxel[0] - 1) < 1e-12 &&
                 fabs (voxel[1] - 2) < 1e-12 && fabs (voxel[2] - 3) < 1e-12);
  g_assert_true (tess_json_double (first, "out", "diameter", &diameter, NULL) && diameter == 4.5);
  g_assert_true (json_object_get_boolean_member (first, "inside"));
  g_assert_cmpstr (json_object_get_string_member (json_object_get_object_member (first, "texts"), "class"), ==,
                   "solid");
  second = json_array_get_object_element (findings, 1);
  g_assert_true (json_object_get_null_member (second, "diameter"));
  g_assert_false (json_object_get_boolean_member (second, "inside"));
  g_assert_cmpstr (json_array_get_string_element (json_object_get_array_member (o, "warnings"), 0), ==,
                   "1 finding lies outside the scan.");
  drawn = run ("render", "scan7.nii", "--findings", "f.csv", "--out", "p.png", "--size", "64,64", NULL);
  if (!strstr (drawn.err, "OpenGL") && !strstr (drawn.err, "EGL")) /* else it cannot draw here */
    g_assert_true (g_file_test (picture, G_FILE_TEST_EXISTS)); /* not its code: fontconfig leaks under a sanitizer */
  card = run ("info", "scan7.nii", "--findings", "f.csv", NULL);
  g_assert_nonnull (strstr (card.out, "2 of the 3 in the table"));
  g_assert_nonnull (strstr (card.out, "R 3.0  A 9.5  S 18.0 mm   voxel 1.0, 2.0, 3.0   diameter 4.5 mm\n"));
  save (volume, "scan9.nii");
  other = run ("info", "scan9.nii", "--findings", "f.csv", NULL);
  g_assert_cmpint (other.code, ==, 0);
  g_assert_nonnull (strstr (other.out, "No finding of the table is of this scan"));
}

static void
test_failures (void)
{
  g_autofree char *text = g_build_filename (folder, "text.nii", NULL),
                  *cut = g_build_filename (folder, "cut.nii.gz", NULL);
  g_autofree char *whole = g_build_filename (folder, "whole.nii.gz", NULL), *bytes = NULL;
  g_autoptr (TessVolume) volume = make_volume ();
  gsize n;

  g_file_set_contents (text, "words\n", -1, NULL);
  save (volume, "whole.nii.gz");
  g_file_get_contents (whole, &bytes, &n, NULL);
  g_file_set_contents (cut, bytes, (gssize)n / 2, NULL);
#define FAILS(name, ...)                                                                                               \
  {                                                                                                                    \
    g_auto (Run) r = run (__VA_ARGS__, NULL);                                                                          \
    assert_one_line (&r, name);                                                                                        \
  }
  FAILS ("missing.nii", "info", "missing.nii")
  FAILS ("missing.csv", "info", "whole.nii.gz", "--findings", "missing.csv")
  FAILS ("text.nii", "info", "whole.nii.gz", "--findings", "text.nii")
  FAILS ("text.nii", "render", "whole.nii.gz", "--findings", "text.nii", "--out", "never.png")
  FAILS ("text.nii", "info", "text.nii", "--json")
  FAILS ("cut.nii.gz", "info", "cut.nii.gz")
  FAILS (folder, "info", folder)
  FAILS ("cut.nii.gz", "convert", "cut.nii.gz", "never.nii")
  FAILS ("no/folder.nii", "convert", "whole.nii.gz", "no/folder.nii")
  FAILS ("out.xyz", "convert", "whole.nii.gz", "out.xyz")
  {
    g_autofree char *never = g_build_filename (folder, "never.nii", NULL);
    g_auto (Run) usage = run ("info", NULL), many = run ("convert", "a", "b", "c", NULL);

    g_assert_false (g_file_test (never, G_FILE_TEST_EXISTS));
    g_assert_cmpint (usage.code, ==, 2);
    g_assert_cmpint (many.code, ==, 2);
  }
}

static void
test_convert (void)
{
  static const char *const chain[] = {"c0.nii", "c1.nii.gz", "c2.hdr", "c3.img.gz", "c4.nii"};
  g_autoptr (TessVolume) volume = make_volume (), last = NULL;
  g_autofree char *path = g_build_filename (folder, "c4.nii", NULL);
  g_auto (Run) json = {0};
  g_autoptr (GError) error = NULL;
  TessGrid a = tess_volume_grid (volume), b;

  save (volume, chain[0]);
  for (guint i = 1; i < G_N_ELEMENTS (chain); i++) {
    g_auto (Run) r = run ("convert", chain[i - 1], chain[i], NULL);

    g_assert_cmpint (r.code, ==, 0);
    g_assert_cmpstr (r.err, ==, "");
  }
  last = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  b = tess_volume_grid (last);
  g_assert_true (tess_grid_equal (&a, &b, 0));
  g_assert_cmpfloat (tess_volume_slope (last), ==, 0.5);
  g_assert_cmpmem (tess_volume_data (last), tess_volume_n_bytes (last), tess_volume_data (volume),
                   tess_volume_n_bytes (volume));
  json = run ("convert", "c0.nii", "c9.nii", "--json", NULL);
  g_assert_nonnull (strstr (json.out, "\"output\": \"c9.nii\""));
}

/* Names of labels beside the file go into one that holds names. */
static void
test_label_names (void)
{
  const gint64 dim[3] = {3, 2, 1};
  const TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL), out = NULL;
  g_autofree char *table = g_build_filename (folder, "n0.label", NULL),
                  *path = g_build_filename (folder, "n1.seg.nrrd", NULL);
  g_autoptr (GError) error = NULL;
  g_auto (Run) r = {0};
  const TessLabel *label;

  ((guint8 *)tess_volume_data_mut (volume))[1] = 7;
  save (volume, "n0.nii.gz");
  g_assert_true (g_file_set_contents (table, "7 1 2 3 1 1 1 \"left lung\"\n", -1, NULL));
  r = run ("convert", "n0.nii.gz", "n1.seg.nrrd", NULL);
  g_assert_cmpint (r.code, ==, 0);
  out = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_intent (out), ==, TESS_INTENT_LABEL);
  label = tess_label_table_find (tess_volume_peek_labels (out), 7);
  g_assert_nonnull (label);
  g_assert_cmpstr (label->name, ==, "left lung");
  g_assert_cmpmem (label->rgba, 4, ((guint8[]){1, 2, 3, 255}), 4);
}

/* A command that needs none of the large libraries does not wait for them. */
static void
test_start (void)
{
  static const char *const late[] = {"libdnnl", "libgdcm", "libhdf5", "libgtk", "libcairo", "libpango", "libX11"};
  g_auto (Run) r = {0};

  g_setenv ("LD_TRACE_LOADED_OBJECTS", "1", TRUE); /* the loader says what it would load, and ends */
  r = run ("--version", NULL);
  g_unsetenv ("LD_TRACE_LOADED_OBJECTS");
  g_assert_nonnull (strstr (r.out, "libglib"));
  if (strstr (r.out, "libasan") || strstr (r.out, "libdnnl")) {
    g_test_skip ("built for a sanitizer, which links all of them");
    return;
  }
  for (gsize i = 0; i < G_N_ELEMENTS (late); i++)
    if (strstr (r.out, late[i]))
      g_error ("%s is loaded at start", late[i]);
}

/* The libraries that come late do come: Cairo alone, then with letters. */
static void
test_render (void)
{
  g_autoptr (TessVolume) volume = make_volume ();
  g_autofree char *path = g_build_filename (folder, "picture.png", NULL), *bare = NULL, *png = NULL;
  g_autofree char *sanitizer = g_strdup (g_getenv ("ASAN_OPTIONS"));
  g_auto (Run) r = {0}, lettered = {0};
  gsize n, n_bare = 0;

  save (volume, "r.nii");
  g_setenv ("ASAN_OPTIONS", "detect_leaks=0", TRUE); /* Fontconfig keeps what it has read to the end */
  r = run ("render", "r.nii", "--quiet", "--bare", "--size", "640,480", "--out", "picture.png", NULL);
  if (r.code == 0)
    g_assert_true (g_file_get_contents (path, &bare, &n_bare, NULL));
  lettered = run ("render", "r.nii", "--quiet", "--size", "640,480", "--out", "picture.png", NULL);
  if (sanitizer)
    g_setenv ("ASAN_OPTIONS", sanitizer, TRUE);
  else
    g_unsetenv ("ASAN_OPTIONS");
  if (r.code == 1 && strstr (r.err, "pictures cannot be drawn here")) {
    g_test_skip ("there is no OpenGL here");
    return;
  }
  g_assert_cmpstr (r.err, ==, "");
  g_assert_cmpint (r.code, ==, 0);
  g_assert_cmpuint (n_bare, >, 24);
  g_assert_cmpmem (bare, 24, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0", 24);

  g_assert_cmpstr (lettered.err, ==, "");
  g_assert_cmpint (lettered.code, ==, 0);
  g_assert_true (g_file_get_contents (path, &png, &n, NULL));
  g_assert_cmpuint (n, >, n_bare); /* than two colours alone */
}

/* A tilt of half a voxel a slice: slices of an even value stay even; labels do not mix. */
static void
test_upright (void)
{
  const gint64 dim[3] = {4, 6, 5};
  const TessAffine tilted = {{{1, 0, 0, 0}, {0, 1, 0.5, 0}, {0, 0, 2, 0}}};
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &tilted, NULL), mixed = NULL, labels = NULL;
  g_autofree char *a = g_build_filename (folder, "mixed.nrrd", NULL), *b = g_build_filename (folder, "l.nrrd", NULL);
  g_auto (Run) image = {0}, label = {0}, again = {0};

  for (int i = 0; i < 120; i++)
    ((guint8 *)tess_volume_data_mut (volume))[i] = i / 4 % 6 < 3 ? 0 : 8;
  save (volume, "tilted.nrrd");
  image = run ("convert", "--upright", "tilted.nrrd", "mixed.nrrd", NULL);
  label = run ("convert", "--upright", "--labels", "tilted.nrrd", "l.nrrd", NULL);
  again = run ("convert", "--upright", "mixed.nrrd", "again.nrrd", NULL);
  g_assert_cmpint (image.code + label.code + again.code, ==, 0);
  g_assert_nonnull (strstr (again.err, "at right angles already"));
  mixed = tess_volume_load (a, NULL, NULL);
  labels = tess_volume_load (b, NULL, NULL);
  g_assert_cmpint (tess_volume_dim (mixed)[1], ==, 8);
  g_assert_cmpfloat (tess_volume_affine (mixed)->m[1][2], ==, 0);
  g_assert_cmpfloat (tess_volume_value (mixed, 0, 3, 1, 0), ==, 4); /* between 0 and 8 */
  g_assert_cmpfloat (tess_volume_value (labels, 0, 3, 1, 0), ==, 0);
  g_assert_cmpfloat (tess_volume_value (labels, 0, 4, 1, 0), ==, 8);
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-cli-XXXXXX", NULL);
  g_test_add_func ("/cli/info/json", test_info_json);
  g_test_add_func ("/cli/info/card", test_info_card);
  g_test_add_func ("/cli/info/findings", test_findings);
  g_test_add_func ("/cli/info-convert/failures", test_failures);
  g_test_add_func ("/cli/convert", test_convert);
  g_test_add_func ("/cli/convert/label-names", test_label_names);
  g_test_add_func ("/cli/start", test_start);
  g_test_add_func ("/cli/render", test_render);
  g_test_add_func ("/cli/convert/upright", test_upright);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
