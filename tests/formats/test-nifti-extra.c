/* Colours, complex numbers, label names inside the file, Analyze, two positions, and headers carried over: files that
 * nibabel made and what it reads from them (tests/reference/nifti_extra.py). */
#include "nifti-fixture.h"
#include "tess-format-registry.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

static char *folder;
static JsonNode *reference;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static JsonArray *
list (const char *name)
{
  g_autoptr (GError) error = NULL;

  if (!reference)
    reference = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "nifti_extra.json", NULL), &error);
  g_assert_no_error (error);
  return json_object_get_array_member (json_node_get_object (reference), name);
}

static void
put_base64 (const char *name, const char *text)
{
  g_autofree char *path = in_folder (name);
  g_autofree guchar *data = NULL;
  gsize n;

  data = g_base64_decode (text, &n);
  g_assert_true (g_file_set_contents (path, (const char *)data, (gssize)n, NULL));
}

static TessVolume *
load (const char *name)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

static void
save (TessVolume *volume, const char *name)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
}

static guint8 *
contents (const char *name, gsize *n)
{
  g_autofree char *path = in_folder (name);
  char *data;

  g_assert_true (g_file_get_contents (path, &data, n, NULL));
  return (guint8 *)data;
}

static const char *
find_warning (TessVolume *volume, const char *part)
{
  for (const char *const *w = tess_volume_warnings (volume); *w; w++)
    if (strstr (*w, part))
      return *w;
  return NULL;
}

/* Writes the files of a case and returns the one to open. */
static const char *
put_files (JsonObject *o)
{
  JsonObject *files = json_object_get_object_member (o, "files");
  JsonObjectIter iter;
  const char *name;
  JsonNode *node;

  json_object_iter_init (&iter, files);
  while (json_object_iter_next (&iter, &name, &node))
    put_base64 (name, json_node_get_string (node));
  return json_object_get_string_member (o, "open");
}

static void
compare (JsonObject *o, TessVolume *volume)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *rows = json_object_get_array_member (o, "affine");
  JsonArray *values = json_object_get_array_member (o, "values");
  const char *name = json_object_get_string_member (o, "name");
  guint n = json_array_get_length (values);
  g_autofree double *got = g_new (double, n);

  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpint (tess_volume_n_voxels (volume) * tess_volume_n_channels (volume), ==, n);
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, json_object_get_string_member (o, "dtype"));
  for (guint r = 0; r < 3; r++)
    for (guint k = 0; k < 4; k++)
      g_assert_cmpfloat_with_epsilon (tess_volume_affine (volume)->m[r][k],
                                      json_array_get_double_element (json_array_get_array_element (rows, r), k), 1e-5);
  tess_volume_values_f64 (volume, 0, n, got);
  for (guint i = 0; i < n; i++) {
    double expected = json_array_get_double_element (values, i);

    if (!(fabs (got[i] - expected) <= 1e-6 * MAX (fabs (expected), 1e-3)))
      g_error ("%s: value %u is %.9g, nibabel says %.9g", name, i, got[i], expected);
  }
}

static void
compare_labels (JsonArray *expected, TessVolume *volume)
{
  TessLabelTable *table = tess_volume_peek_labels (volume);
  guint n = json_array_get_length (expected);

  if (n == 0) {
    g_assert_null (table);
    return;
  }
  g_assert_cmpint (tess_volume_intent (volume), ==, TESS_INTENT_LABEL);
  g_assert_nonnull (table);
  g_assert_cmpuint (tess_label_table_n (table), ==, n);
  for (guint i = 0; i < n; i++) {
    JsonArray *row = json_array_get_array_element (expected, i);
    const TessLabel *label = tess_label_table_peek (table, i);

    g_assert_cmpint (label->value, ==, json_array_get_int_element (row, 0));
    g_assert_cmpstr (label->name, ==, json_array_get_string_element (row, 1));
    for (guint c = 2; c < json_array_get_length (row); c++)
      g_assert_cmpint (label->rgba[c - 2], ==, json_array_get_int_element (row, c));
  }
}

static gint16
int16_at (const guint8 *data, gsize at)
{
  gint16 v;

  memcpy (&v, data + at, 2);
  return GINT16_FROM_LE (v);
}

/* What is read equals nibabel; what is written of it reads the same and has the same type of voxels. */
static void
test_files (void)
{
  JsonArray *files = list ("files");
  guint n_read = 0, n_refused = 0;

  for (guint i = 0; i < json_array_get_length (files); i++) {
    JsonObject *o = json_array_get_object_element (files, i);
    const char *open = put_files (o), *name = json_object_get_string_member (o, "name");
    g_autoptr (TessVolume) volume = NULL, again = NULL;

    if (json_object_has_member (o, "fails")) {
      g_autofree char *path = in_folder (open);
      g_autoptr (GError) error = NULL;

      g_assert_null (tess_volume_load (path, NULL, &error));
      g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
      g_assert_true (g_str_has_prefix (error->message, path));
      g_assert_nonnull (strstr (error->message, json_object_get_string_member (o, "fails")));
      n_refused++;
      continue;
    }
    volume = load (open);
    g_test_message ("%s", name);
    compare (o, volume);
    if (json_object_has_member (o, "warning"))
      g_assert_nonnull (find_warning (volume, json_object_get_string_member (o, "warning")));
    if (json_object_has_member (o, "quiet"))
      g_assert_null (tess_volume_warnings (volume)[0]);
    if (json_object_has_member (o, "labels"))
      compare_labels (json_object_get_array_member (o, "labels"), volume);
    save (volume, "again.nii");
    again = load ("again.nii");
    compare (o, again);
    if (json_object_has_member (o, "labels"))
      compare_labels (json_object_get_array_member (o, "labels"), again);
    if (json_object_has_member (o, "datatype")) {
      g_autofree guint8 *raw = NULL;
      gsize n;

      raw = contents ("again.nii", &n);
      g_assert_cmpint (int16_at (raw, raw[0] == 348 % 256 ? 70 : 12), ==, json_object_get_int_member (o, "datatype"));
    }
    n_read++;
  }
  g_assert_cmpuint (n_read, >, 35);
  g_assert_cmpuint (n_refused, ==, 2);
}

/* Volumes of colours and complex numbers that were not changed are the same file again, but for Analyze's "regular". */
static void
test_unchanged (void)
{
  static const char *const names[] = {
      "rgb<",   "rgba",       "rgb-4d",          "complex64<", "complex128<", "vector", "complex64-scaled",
      "rgba-2", "rgb-vector", "time-and-vector", "seven-axes"};
  JsonArray *files = list ("files");

  for (guint k = 0; k < G_N_ELEMENTS (names); k++)
    for (guint i = 0; i < json_array_get_length (files); i++) {
      JsonObject *o = json_array_get_object_element (files, i);
      const char *open;
      g_autoptr (TessVolume) volume = NULL;
      g_autofree guint8 *before = NULL, *after = NULL;
      gsize n_before, n_after;

      if (!g_str_equal (json_object_get_string_member (o, "name"), names[k]))
        continue;
      open = put_files (o);
      volume = load (open);
      save (volume, "same.nii");
      before = contents (open, &n_before);
      after = contents ("same.nii", &n_after);
      if (before[0] == 348 % 256) {
        before[38] = after[38];
        memcpy (before + 112, after + 112, 8); /* "no scaling": nibabel writes NaN, we write 1 and 0 */
      } else {
        memcpy (before + 176, after + 176, 16);
      }
      g_assert_cmpmem (before, n_before, after, n_after);
    }
}

static JsonObject *
find_case (const char *name)
{
  JsonArray *files = list ("files");

  for (guint i = 0; i < json_array_get_length (files); i++) {
    JsonObject *o = json_array_get_object_element (files, i);

    if (g_str_equal (json_object_get_string_member (o, "name"), name))
      return o;
  }
  g_error ("no case %s", name);
}

/* Colours that are no longer those of the file: channels, an axis of their own. */
static void
test_changed_colours (void)
{
  const gint64 dim[3] = {3, 4, 2};
  g_autoptr (TessVolume) rgb = load (put_files (find_case ("rgb<"))), one = tess_volume_new_channel (rgb, 1);
  g_autoptr (TessVolume) real = tess_volume_new (TESS_DTYPE_F32, dim, 3, tess_volume_affine (rgb), NULL);
  g_autoptr (TessVolume) scaled = tess_volume_new (TESS_DTYPE_U8, dim, 3, tess_volume_affine (rgb), NULL);
  TessVolume *const volumes[] = {one, real, scaled};

  tess_volume_set_scaling (scaled, 0.5, 1);
  for (guint i = 0; i < G_N_ELEMENTS (volumes); i++) {
    g_autoptr (TessVolume) again = NULL;
    g_autofree guint8 *raw = NULL;
    gsize n;

    tess_volume_set_source_header (volumes[i], "nifti", tess_volume_peek_source_header (rgb, "nifti"));
    save (volumes[i], "changed.nii");
    raw = contents ("changed.nii", &n);
    g_assert_cmpint (int16_at (raw, 70), ==, i == 1 ? 16 : 2);
    g_assert_cmpint (int16_at (raw, 40), ==, i == 0 ? 3 : 4);
    g_assert_cmpint (int16_at (raw, 48), ==, i == 0 ? 1 : 3);
    again = load ("changed.nii");
    g_assert_cmpmem (tess_volume_data (again), tess_volume_n_bytes (again), tess_volume_data (volumes[i]),
                     tess_volume_n_bytes (volumes[i]));
  }
}

/* A vector field that lost its components is none, on another grid its fifth axis stays. */
static void
test_vector_intent (void)
{
  g_autoptr (TessVolume) vector = load (put_files (find_case ("vector"))), one = tess_volume_new_channel (vector, 0);
  const gint64 dim[3] = {2, 2, 2};
  g_autoptr (TessVolume) moved = tess_volume_new (TESS_DTYPE_I16, dim, 3, tess_volume_affine (vector), NULL);
  g_autofree guint8 *raw = NULL, *other = NULL;
  gsize n;

  save (one, "one.nii");
  raw = contents ("one.nii", &n);
  g_assert_cmpint (int16_at (raw, 68), ==, 0);
  g_assert_cmpint (int16_at (raw, 40), ==, 3);
  tess_volume_set_source_header (moved, "nifti", tess_volume_peek_source_header (vector, "nifti"));
  save (moved, "moved.nii");
  other = contents ("moved.nii", &n);
  g_assert_cmpint (int16_at (other, 68), ==, 1007);
  g_assert_cmpint (int16_at (other, 40), ==, 5);
  g_assert_cmpint (int16_at (other, 42), ==, 2);
  g_assert_cmpint (int16_at (other, 50), ==, 3);
}

/* The sentence names the largest distance of a corner. */
static void
test_two_positions (void)
{
  static const char *const names[] = {"shifted", "turned"};

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    JsonObject *o = find_case (names[i]);
    g_autoptr (TessVolume) volume = load (put_files (o));
    const char *warning = find_warning (volume, "differ by up to ");

    g_assert_nonnull (warning);
    g_assert_cmpfloat_with_epsilon (g_ascii_strtod (strstr (warning, "up to ") + 6, NULL),
                                    json_object_get_double_member (o, "offset"), 0.01);
    g_assert_nonnull (strstr (warning, "the sform is used"));
  }
}

/* A label map on a scan's grid with the scan's header, as a prediction is: every byte as nibabel writes it. */
static void
test_result_header (void)
{
  const gint64 dim[3] = {4, 3, 2};
  JsonArray *results = list ("results");

  for (guint i = 0; i < json_array_get_length (results); i++) {
    JsonObject *o = json_array_get_object_element (results, i);
    g_autoptr (TessVolume) scan = NULL, label = NULL;
    g_autofree guint8 *expected = NULL, *got = NULL;
    gsize n_expected, n_got;

    put_base64 ("scan.nii", json_object_get_string_member (o, "scan"));
    put_base64 ("expected.nii", json_object_get_string_member (o, "label"));
    scan = load ("scan.nii");
    label = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (scan), NULL);
    memset (tess_volume_data_mut (label), 1, tess_volume_n_bytes (label));
    tess_volume_set_intent (label, TESS_INTENT_LABEL);
    tess_volume_set_source_header (label, "nifti", tess_volume_peek_source_header (scan, "nifti"));
    save (label, "label.nii");
    expected = contents ("expected.nii", &n_expected);
    got = contents ("label.nii", &n_got);
    if (i == 0)
      expected[38] = got[38];
    g_assert_cmpmem (got, n_got, expected, n_expected);
  }
}

/* Names and colours of any kind come back; other extensions stay, an older table does not. */
static void
test_labels_written (void)
{
  g_autoptr (TessVolume) volume = load (put_files (find_case ("caret<0"))), again = NULL;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  TessLabelTable *got;
  g_autofree guint8 *raw = NULL;
  gsize n, n_tables = 0, n_comments = 0;

  tess_label_table_add (table, -3, "below", (guint8[]){1, 2, 3, 4});
  tess_label_table_add (table, 0, "background", NULL);
  tess_label_table_add (table, 1, "a ]]> b & <c> \"d\"", (guint8[]){9, 99, 199, 255});
  tess_label_table_add (table, 2, "간 (liver)", (guint8[]){0, 0, 0, 0});
  tess_label_table_add (table, 70000, "", (guint8[]){10, 20, 30, 40});
  for (int level = 0; level < 256; level++)
    tess_label_table_add (table, 1000 + level, "level", (guint8[]){(guint8)level, 1, 2, 255});
  tess_volume_set_labels (volume, table);
  save (volume, "names.nii");
  again = load ("names.nii");
  got = tess_volume_peek_labels (again);
  g_assert_cmpint (tess_volume_intent (again), ==, TESS_INTENT_LABEL);
  g_assert_cmpuint (tess_label_table_n (got), ==, tess_label_table_n (table));
  for (guint i = 0; i < tess_label_table_n (table); i++) {
    const TessLabel *a = tess_label_table_peek (table, i), *b = tess_label_table_peek (got, i);

    g_assert_cmpint (a->value, ==, b->value);
    g_assert_cmpstr (a->name, ==, b->name);
    g_assert_cmpmem (a->rgba, 4, b->rgba, 4);
  }
  raw = contents ("names.nii", &n);
  for (gsize at = 352; at + 8 <= n - tess_volume_n_bytes (again);) {
    gint32 size, code;

    memcpy (&size, raw + at, 4);
    memcpy (&code, raw + at + 4, 4);
    g_assert_true (size % 16 == 0 && size >= 16);
    n_tables += code == 30 || code == 0;
    n_comments += code == 6;
    at += (gsize)size;
  }
  g_assert_cmpuint (n_tables, ==, 1);
  g_assert_cmpuint (n_comments, ==, 1);
}

static void
test_pair_is_analyze_only (void)
{
  g_autofree char *path = in_folder ("alone.nii");
  g_autofree guint8 *raw = NULL;
  g_autoptr (GError) error = NULL;
  gsize n;

  put_files (find_case ("analyze<"));
  raw = contents ("x.hdr", &n);
  g_assert_true (g_file_set_contents (path, (const char *)raw, (gssize)n, NULL));
  g_assert_null (tess_volume_load (path, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "Analyze"));
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/nifti-extra/files", test_files);
  g_test_add_func ("/formats/nifti-extra/unchanged", test_unchanged);
  g_test_add_func ("/formats/nifti-extra/changed-colours", test_changed_colours);
  g_test_add_func ("/formats/nifti-extra/vector-intent", test_vector_intent);
  g_test_add_func ("/formats/nifti-extra/two-positions", test_two_positions);
  g_test_add_func ("/formats/nifti-extra/result-header", test_result_header);
  g_test_add_func ("/formats/nifti-extra/labels-written", test_labels_written);
  g_test_add_func ("/formats/nifti-extra/analyze-alone", test_pair_is_analyze_only);
  status = g_test_run ();
  g_clear_pointer (&reference, json_node_unref);
  remove_tree (folder);
  g_free (folder);
  return status;
}
