/* Tables of findings: as Python's csv module writes them, LUNA16's own, damaged ones; where SimpleITK finds the places.
 */
#include "tess-findings-csv.h"
#include "tess-json.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

static JsonObject *
reference (JsonNode **root)
{
  g_autoptr (GError) error = NULL;

  *root = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "findings.json", NULL), &error);
  g_assert_no_error (error);
  return json_node_get_object (*root);
}

static char *
put (const char *name, const void *bytes, gssize n)
{
  char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, bytes, n, NULL));
  return path;
}

static TessFindings *
load (const char *path)
{
  g_autoptr (GError) error = NULL;
  TessFindings *findings = tess_findings_csv_load (path, &error);

  g_assert_no_error (error);
  return findings;
}

static TessFindings *
load_text (const char *text)
{
  g_autofree char *path = put ("t.csv", text, -1);

  return load (path);
}

/* One line that starts with the path, names the line and has advice. */
static void
refuse (const char *bytes, gssize n, const char *says)
{
  g_autofree char *path = put ("bad.csv", bytes, n);
  g_autoptr (GError) error = NULL;

  g_assert_null (tess_findings_csv_load (path, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_true (g_str_has_prefix (error->message, path));
  if (!strstr (error->message, says))
    g_error ("\"%s\" does not say \"%s\"", error->message, says);
  g_assert_nonnull (strchr (error->message, ';'));
  g_assert_null (strchr (error->message, '\n'));
}

static void
same_text (const TessFinding *finding, TessFindings *findings, const char *column, const char *expected)
{
  const char *const *columns = tess_findings_columns (findings);
  guint i = 0;

  while (columns[i] && strcmp (columns[i], column) != 0)
    i++;
  g_assert_nonnull (columns[i]);
  g_assert_cmpstr (finding->texts[i], ==, expected);
}

static void
same_contents (TessFindings *findings, JsonArray *contents)
{
  g_assert_cmpuint (tess_findings_n (findings), ==, json_array_get_length (contents));
  for (guint i = 0; i < tess_findings_n (findings); i++) {
    JsonObject *row = json_array_get_object_element (contents, i);
    JsonArray *lps = json_object_get_array_member (row, "lps");
    const TessFinding *f = tess_findings_peek (findings, i);

    g_assert_cmpstr (f->scan, ==, json_object_get_string_member (row, "scan"));
    g_assert_cmpfloat (f->world[0], ==, -json_array_get_double_element (lps, 0));
    g_assert_cmpfloat (f->world[1], ==, -json_array_get_double_element (lps, 1));
    g_assert_cmpfloat (f->world[2], ==, json_array_get_double_element (lps, 2));
    if (json_object_get_null_member (row, "diameter"))
      g_assert_true (isnan (f->diameter));
    else
      g_assert_cmpfloat (f->diameter, ==, json_object_get_double_member (row, "diameter"));
    same_text (f, findings, "class", json_object_get_string_member (row, "class"));
    same_text (f, findings, "probability", json_object_get_string_member (row, "probability"));
  }
}

/* Commas, semicolons with decimal commas, tabs; CRLF, LF, CR; quotation marks, byte order mark, any order of columns.
 * And what we write reads back as the same. */
static void
test_tables (void)
{
  g_autoptr (JsonNode) root = NULL;
  JsonObject *all = reference (&root);
  JsonArray *tables = json_object_get_array_member (all, "tables"),
            *contents = json_object_get_array_member (all, "contents");

  g_assert_cmpuint (json_array_get_length (tables), ==, 10);
  for (guint i = 0; i < json_array_get_length (tables); i++) {
    gsize n;
    g_autofree guchar *bytes = g_base64_decode (json_array_get_string_element (tables, i), &n);
    g_autofree char *path = put ("table.csv", bytes, (gssize)n), *copy = g_build_filename (folder, "copy.csv", NULL);
    g_autoptr (TessFindings) findings = NULL, again = NULL;
    g_autoptr (GError) error = NULL;

    g_test_message ("table %u", i);
    findings = load (path);
    same_contents (findings, contents);
    g_assert_true (tess_findings_csv_save (findings, copy, &error));
    g_assert_no_error (error);
    again = load (copy);
    same_contents (again, contents);
  }
}

static void
test_written (void)
{
  static const char *const columns[] = {"class", NULL};
  g_autoptr (TessFindings) findings = tess_findings_new (columns);
  g_autofree char *path = g_build_filename (folder, "w.csv", NULL), *text = NULL;
  g_autoptr (GError) error = NULL;

  tess_findings_add (findings, "1.2", (double[]){128.6994211, 0, -298.3875064}, 5.651470635, (const char *[]){"a,b"});
  tess_findings_add (findings, "", (double[]){-1, 2, 3}, NAN, (const char *[]){""});
  g_assert_true (tess_findings_csv_save (findings, path, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_cmpstr (text, ==,
                   "seriesuid,coordX,coordY,coordZ,diameter_mm,class\n"
                   "1.2,-128.6994211,0,-298.3875064,5.651470635,\"a,b\"\n"
                   ",1,-2,3,-1,\n");
  g_free (path);
  path = g_build_filename (folder, "no", "folder.csv", NULL);
  g_assert_false (tess_findings_csv_save (findings, path, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

static void
test_blank (void)
{
  g_autoptr (TessFindings) some =
      load_text ("\n\r\n;;;\nCOORDX ; coordY;coordZ;;\r\n;;;;\r\n 1,5 ;2;3;;;;\n\n  \n4;5;6;;");
  g_autoptr (TessFindings) none = load_text ("coordX,coordY,coordZ\n");
  g_autoptr (TessFindings) pandas = load_text (",coordX,coordY,coordZ,diameter\n0,1,2,3,-1\n1,1,2,3,\n");
  g_autoptr (TessFindings) latin = load_text ("coordX,coordY,coordZ,class\n1,2,3,gro\xdf\n");

  g_assert_cmpuint (tess_findings_n (some), ==, 2);
  g_assert_cmpfloat (tess_findings_peek (some, 0)->world[0], ==, -1.5);
  g_assert_cmpfloat (tess_findings_peek (some, 1)->world[1], ==, -5);
  g_assert_cmpstr (tess_findings_peek (some, 1)->scan, ==, "");
  g_assert_true (isnan (tess_findings_peek (some, 1)->diameter));
  g_assert_cmpuint (tess_findings_n (none), ==, 0);
  g_assert_cmpuint (tess_findings_n (pandas), ==, 2);
  g_assert_null (tess_findings_columns (pandas)[0]);
  g_assert_true (isnan (tess_findings_peek (pandas, 0)->diameter) && isnan (tess_findings_peek (pandas, 1)->diameter));
  g_assert_true (g_utf8_validate (tess_findings_peek (latin, 0)->texts[0], -1, NULL));
}

static void
test_damaged (void)
{
#define HEAD "seriesuid,coordX,coordY,coordZ,diameter_mm\n"
  static const char nul[] = HEAD "a,1,2,3,4\nb,1,\0,3,4\n", utf16[] = "\xff\xfes\0e\0r\0";
  g_autofree char *missing = g_build_filename (folder, "none.csv", NULL), *wide = NULL, *columns = NULL, *quoted = NULL;
  g_autoptr (GError) error = NULL;

  refuse ("", 0, "line 1 names no column coordX");
  refuse ("\n\n", -1, "names no column coordX");
  refuse ("a,1,2,3,4\n", -1, "line 1 names no column coordX");
  refuse ("seriesuid,coordX,coordZ\n", -1, "names no column coordY");
  refuse ("coordX,coordY,coordZ,COORDX\n", -1, "two columns coordX");
  refuse (HEAD "a,1,2,3,4\n\na,1,two,3,4\n", -1, "line 4: \"two\" in column coordY");
  refuse (HEAD "a,1,2,,4\n", -1, "line 2: \"\" in column coordZ");
  refuse (HEAD "a,nan,2,3,4\n", -1, "line 2: \"nan\"");
  refuse (HEAD "a,0x10,2,3,4\n", -1, "line 2: \"0x10\"");
  refuse (HEAD "a,1e999,2,3,4\n", -1, "line 2: \"1e999\"");
  refuse (HEAD "a,1e,2,3,4\n", -1, "line 2: \"1e\"");
  refuse (HEAD "a,\"1,5\",2,3,4\n", -1, "line 2: \"1,5\"");
  refuse ("coordX;coordY;coordZ\n1.234,5;2;3\n", -1, "line 2: \"1.234,5\"");
  refuse (HEAD "a,1,2,3,big\n", -1, "line 2: \"big\" in column diameter_mm");
  refuse (HEAD "a,1,2,3\n", -1, "line 2 has 4 fields");
  refuse (HEAD "a,1,2,3,4,5\n", -1, "line 2 has 6 fields");
  refuse (HEAD "\"a,1,2,3,4\n\n\n", -1, "line 2: a text in quotation marks does not end");
  refuse (HEAD "\"a\nb\",1,2,3,4\n\"a\"b,1,2,3,4\n", -1, "line 4: text follows");
  refuse (nul, sizeof nul - 1, "line 3 is no text in UTF-8");
  refuse (utf16, sizeof utf16 - 1, "line 1 is no text in UTF-8");
  wide = g_strnfill (100000, 'x');
  refuse (wide, -1, "line 1 is too long");
  columns = g_strconcat (HEAD "a,1,2,3,", wide, NULL);
  refuse (columns, -1, "line 2 is too long");
  quoted = g_strconcat (HEAD "a,1,2,3,\"", wide, "\"", NULL);
  refuse (quoted, -1, "line 2 is too long");
  memset (wide, ',', 100000);
  refuse (wide, -1, "line 1 is too long");
  g_assert_null (tess_findings_csv_load (missing, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

/* The columns of LUNA16's table as our library reads it, against Python's. */
static void
test_luna (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *path = root ? g_build_filename (root, "luna", "annotations.csv", NULL) : NULL;
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA256);
  g_autoptr (TessFindings) findings = NULL, some = NULL;
  g_autoptr (JsonNode) node = NULL;
  JsonObject *expected = json_object_get_object_member (reference (&node), "luna");
  const char *most = json_object_get_string_member (expected, "most");
  JsonArray *places = json_object_get_array_member (expected, "most_lps");

  if (!path || !g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_test_skip ("the real file luna/annotations.csv is not here (TESSERA_SHARED_DATA)");
    return;
  }
  findings = load (path);
  g_assert_cmpint (tess_findings_n (findings), ==, json_object_get_int_member (expected, "findings"));
  for (guint i = 0; i < tess_findings_n (findings); i++) {
    const TessFinding *f = tess_findings_peek (findings, i);
    double numbers[4] = {0 - f->world[0], 0 - f->world[1], f->world[2], f->diameter};

    g_checksum_update (sum, (const guchar *)f->scan, -1);
    g_checksum_update (sum, (const guchar *)numbers, sizeof numbers);
  }
  g_assert_cmpstr (g_checksum_get_string (sum), ==, json_object_get_string_member (expected, "sha256"));
  some = tess_findings_select (findings, (const char *[]){"no such scan", most, NULL});
  g_assert_cmpint (tess_findings_n (some), ==, json_object_get_int_member (expected, "most_n"));
  for (guint i = 0; i < tess_findings_n (some); i++)
    g_assert_cmpfloat (tess_findings_peek (some, i)->world[2], ==,
                       json_array_get_double_element (json_array_get_array_element (places, i), 2));
}

static void
test_places (void)
{
  g_autoptr (JsonNode) root = NULL;
  JsonArray *grids = json_object_get_array_member (reference (&root), "grids");
  guint n_inside = 0, n_outside = 0;

  for (guint i = 0; i < json_array_get_length (grids); i++) {
    JsonObject *o = json_array_get_object_element (grids, i);
    JsonArray *points = json_object_get_array_member (o, "points"), *rows = json_object_get_array_member (o, "affine");
    guint n = json_array_get_length (points);
    g_autofree double *indices = g_new (double, 3 * n);
    g_autofree gboolean *inside = g_new (gboolean, n);
    g_autoptr (TessFindings) findings = tess_findings_new (NULL);
    TessGrid grid;

    g_test_message ("%s", json_object_get_string_member (o, "name"));
    for (guint k = 0; k < 3; k++) {
      grid.dim[k] = json_array_get_int_element (json_object_get_array_member (o, "dims"), k);
      for (guint c = 0; c < 4; c++)
        grid.affine.m[k][c] = json_array_get_double_element (json_array_get_array_element (rows, k), c);
    }
    for (guint p = 0; p < n; p++) {
      JsonArray *lps = json_object_get_array_member (json_array_get_object_element (points, p), "lps");

      tess_findings_add (findings, "",
                         (double[]){-json_array_get_double_element (lps, 0), -json_array_get_double_element (lps, 1),
                                    json_array_get_double_element (lps, 2)},
                         NAN, (const char *[]){NULL});
    }
    g_assert_true (tess_findings_place (findings, &grid, indices, inside));
    for (guint p = 0; p < n; p++) {
      JsonObject *point = json_array_get_object_element (points, p);
      JsonArray *index = json_object_get_array_member (point, "index");

      for (guint k = 0; k < 3; k++)
        g_assert_cmpfloat_with_epsilon (indices[3 * p + k], json_array_get_double_element (index, k), 1e-9);
      g_assert_cmpint (inside[p], ==, json_object_get_boolean_member (point, "inside"));
      n_inside += inside[p] ? 1 : 0;
      n_outside += inside[p] ? 0 : 1;
    }
    memset (&grid.affine, 0, sizeof grid.affine);
    g_assert_false (tess_findings_place (findings, &grid, indices, inside));
  }
  g_assert_true (n_inside > 50 && n_outside > 50);
}

static guint
n_of (const char *text, const char *location, const char *uid)
{
  const gint64 dim[3] = {2, 2, 2};
  const TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL), one = NULL;
  g_autoptr (TessFindings) findings = load_text (text), some = NULL;

  tess_volume_set_series_uid (volume, uid);
  one = tess_volume_new_channel (volume, 0);
  g_assert_cmpstr (tess_volume_peek_series_uid (one), ==, uid);
  some = tess_findings_of_scan (findings, one, location);
  return tess_findings_n (some);
}

static void
test_of_scan (void)
{
  static const char two[] = HEAD "1.2,1,2,3,4\n1.3,1,2,3,4\n1.2,5,6,7,8\n", one[] = HEAD "1.2,1,2,3,4\n1.2,1,2,3,4\n";
  static const char none[] = "coordX,coordY,coordZ\n1,2,3\n4,5,6\n", half[] = HEAD "1.2,1,2,3,4\n,1,2,3,4\n";

  g_assert_cmpuint (n_of (two, "/a/1.2.mhd", NULL), ==, 2);
  g_assert_cmpuint (n_of (two, "/a/1.3.nii.gz", NULL), ==, 1);
  g_assert_cmpuint (n_of (two, "/a/1.mhd", NULL), ==, 0);
  g_assert_cmpuint (n_of (two, "/a/scan", "1.2"), ==, 2);
  g_assert_cmpuint (n_of (two, "/a/1.2.npz::image", NULL), ==, 2);
  g_assert_cmpuint (n_of (two, "/a/1.2.npz", "1.3"), ==, 3); /* either name */
  g_assert_cmpuint (n_of (one, "/a/x.mhd", "9"), ==, 2);
  g_assert_cmpuint (n_of (none, "/a/x.mhd", NULL), ==, 2);
  g_assert_cmpuint (n_of (half, "/a/x.mhd", NULL), ==, 0);
  g_assert_cmpuint (n_of (HEAD, "/a/x.mhd", NULL), ==, 0);
}

int
main (int argc, char **argv)
{
  static const char *const left[] = {"t.csv", "bad.csv", "table.csv", "copy.csv", "w.csv"};
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-findings-XXXXXX", NULL);
  g_test_add_func ("/formats/findings/tables", test_tables);
  g_test_add_func ("/formats/findings/written", test_written);
  g_test_add_func ("/formats/findings/blank", test_blank);
  g_test_add_func ("/formats/findings/damaged", test_damaged);
  g_test_add_func ("/formats/findings/luna", test_luna);
  g_test_add_func ("/formats/findings/places", test_places);
  g_test_add_func ("/formats/findings/of-scan", test_of_scan);
  result = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (left); i++) {
    g_autofree char *path = g_build_filename (folder, left[i], NULL);

    g_remove (path);
  }
  g_rmdir (folder);
  g_free (folder);
  return result;
}
