/* NIfTI files made here: every type, order, version and packaging; what is written is read back; registry. */
#include "nifti-fixture.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static const struct {
  int datatype, bits;
  TessDType dtype;
  double lo, hi;
} types[] = {
    {2, 8, TESS_DTYPE_U8, 0, 255},
    {256, 8, TESS_DTYPE_I8, -128, 127},
    {512, 16, TESS_DTYPE_U16, 0, 65535},
    {4, 16, TESS_DTYPE_I16, -32768, 32767},
    {768, 32, TESS_DTYPE_U32, 0, 4294967295.0},
    {8, 32, TESS_DTYPE_I32, -2147483648.0, 2147483647},
    {1280, 64, TESS_DTYPE_U64, 0, 0x1p63 + 0x1p20},
    {1024, 64, TESS_DTYPE_I64, -0x1p62, 0x1p61},
    {16, 32, TESS_DTYPE_F32, -1.5e30, 2.5e-3},
    {64, 64, TESS_DTYPE_F64, -1e300, 1.0 / 3.0},
    {1536, 128, TESS_DTYPE_F64, -1e300, 1.0 / 3.0},
};

#define NX 5
#define NY 4
#define NZ 3
#define NC 2
#define N (NX * NY * NZ * NC)

static void
make_values (guint type, double values[N])
{
  for (int i = 0; i < N; i++)
    values[i] = types[type].datatype == 16                               ? (float)(i * 0.37 - 9)
                : types[type].bits == 64 || types[type].datatype == 1536 ? i * 1000003.0
                                                                         : i;
  if (types[type].lo < 0)
    for (int i = 1; i < N; i += 3)
      values[i] = -values[i];
  values[0] = types[type].datatype == 16 ? (float)types[type].lo : types[type].lo;
  values[N - 1] = types[type].datatype == 16 ? (float)types[type].hi : types[type].hi;
}

static void
assert_volume (TessVolume *volume, guint type, const double *values, double slope, double intercept)
{
  const gint64 *dim = tess_volume_dim (volume);
  TessAffine expected = {{{2, 0, 0, -10}, {0, 3, 0, -20}, {0, 0, 4, -30}}};
  int i = 0;

  g_assert_true (dim[0] == NX && dim[1] == NY && dim[2] == NZ && tess_volume_n_channels (volume) == NC);
  g_assert_cmpint (tess_volume_dtype (volume), ==, types[type].dtype);
  g_assert_true (tess_affine_equal (tess_volume_affine (volume), &expected, 0));
  g_assert_cmpfloat (tess_volume_slope (volume), ==, slope);
  g_assert_cmpfloat (tess_volume_intercept (volume), ==, intercept);
  for (int c = 0; c < NC; c++)
    for (int z = 0; z < NZ; z++)
      for (int y = 0; y < NY; y++)
        for (int x = 0; x < NX; x++, i++)
          g_assert_cmpfloat (tess_volume_value (volume, x, y, z, c), ==, slope * values[i] + intercept);
}

static void
assert_same_volume (TessVolume *a, TessVolume *b)
{
  TessGrid ga = tess_volume_grid (a), gb = tess_volume_grid (b);

  g_assert_cmpint (tess_volume_dtype (a), ==, tess_volume_dtype (b));
  g_assert_cmpint (tess_volume_n_channels (a), ==, tess_volume_n_channels (b));
  g_assert_cmpint (tess_volume_intent (a), ==, tess_volume_intent (b));
  g_assert_cmpfloat (tess_volume_slope (a), ==, tess_volume_slope (b));
  g_assert_cmpfloat (tess_volume_intercept (a), ==, tess_volume_intercept (b));
  g_assert_true (tess_grid_equal (&ga, &gb, 1e-4));
  g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), tess_volume_data (b), tess_volume_n_bytes (b));
}

static void
round_trip (TessVolume *volume, const char *name)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) again = NULL;

  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  g_assert_no_error (error);
  again = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  assert_same_volume (volume, again);
}

static void
put_pair (NiftiFixture *f, const double *values, const char *header_path, const char *image_path, gboolean gzip)
{
  g_autoptr (GByteArray) header = nifti_fixture_header (f), image = g_byte_array_new ();

  nifti_fixture_append (f, image, values, N);
  nifti_fixture_put (header_path, header, gzip);
  nifti_fixture_put (image_path, image, gzip);
}

static void
test_all_types (void)
{
  static const char *const written[] = {"w.nii", "w.nii.gz", "w.hdr", "w.img.gz"};
  int count = 0;

  for (guint type = 0; type < G_N_ELEMENTS (types); type++)
    for (int version = 1; version <= 2; version++)
      for (int big = 0; big < 2; big++)
        for (int package = 0; package < 4; package++) {
          gboolean gzip = package & 1, pair = package & 2;
          double values[N], slope = package == 1 ? 0.5 : 1.0, intercept = package == 1 ? -1024 : 0;
          NiftiFixture f = nifti_fixture (types[type].datatype, types[type].bits, NX, NY, NZ);
          g_autofree char *path = in_folder (pair ? (gzip ? "p.hdr.gz" : "p.hdr") : gzip ? "s.nii.gz" : "s.nii");
          g_autofree char *image = in_folder (gzip ? "p.img.gz" : "p.img");
          g_autoptr (GError) error = NULL;
          g_autoptr (TessVolume) volume = NULL, other = NULL;

          make_values (type, values);
          f.version = version;
          f.big_endian = big;
          f.pair = pair;
          f.dim[0] = 4;
          f.dim[4] = NC;
          f.slope = slope;
          f.intercept = intercept;
          if (pair) {
            put_pair (&f, values, path, image, gzip);
            other = tess_volume_load (image, NULL, &error); /* either half may be named */
            g_assert_no_error (error);
            assert_volume (other, type, values, slope, intercept);
          } else {
            g_autoptr (GByteArray) bytes = nifti_fixture_header (&f);

            nifti_fixture_append (&f, bytes, values, N);
            nifti_fixture_put (path, bytes, gzip);
          }
          volume = tess_volume_load (path, NULL, &error);
          g_assert_no_error (error);
          assert_volume (volume, type, values, slope, intercept);
          if (big)
            round_trip (volume, written[package]);
          g_remove (path);
          g_remove (image);
          count++;
        }
  g_assert_cmpint (count, ==, 11 * 2 * 2 * 4);
}

static TessVolume *
load_fixture (const NiftiFixture *f, gsize n)
{
  g_autofree char *path = in_folder ("fixture.nii");
  g_autoptr (GByteArray) bytes = nifti_fixture_header (f);
  g_autofree double *values = g_new0 (double, n);
  g_autoptr (GError) error = NULL;
  TessVolume *volume;

  nifti_fixture_append (f, bytes, values, n);
  nifti_fixture_put (path, bytes, FALSE);
  volume = tess_volume_load (path, NULL, &error);
  g_assert_no_error (error);
  return volume;
}

static void
test_scaling (void)
{
  static const struct {
    double slope, intercept, expected_slope, expected_intercept;
  } cases[] = {
      {0, 5, 1, 0}, {NAN, 5, 1, 0}, {INFINITY, 5, 1, 0}, {2, 5, 2, 5}, {-1, 0, -1, 0}, {2, NAN, 2, 0},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    NiftiFixture f = nifti_fixture (2, 8, 2, 2, 2);
    g_autoptr (TessVolume) volume = NULL;

    f.slope = cases[i].slope;
    f.intercept = cases[i].intercept;
    volume = load_fixture (&f, 8);
    g_assert_cmpfloat (tess_volume_slope (volume), ==, cases[i].expected_slope);
    g_assert_cmpfloat (tess_volume_intercept (volume), ==, cases[i].expected_intercept);
  }
}

static void
test_shapes (void)
{
  static const struct {
    gint64 dim[8];
    gint64 expected[3], channels;
  } cases[] = {
      {{1, 7, 0, 0, 0, 0, 0, 0}, {7, 1, 1}, 1}, {{2, 3, 4, 0, 0, 0, 0, 0}, {3, 4, 1}, 1},
      {{4, 2, 3, 4, 1, 0, 0, 0}, {2, 3, 4}, 1}, {{5, 1, 2, 3, 1, 3, 9, 9}, {1, 2, 3}, 3},
      {{7, 1, 2, 1, 2, 3, 1, 1}, {1, 2, 1}, 6},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    NiftiFixture f = nifti_fixture (4, 16, 1, 1, 1);
    g_autoptr (TessVolume) volume = NULL;

    memcpy (f.dim, cases[i].dim, sizeof f.dim);
    volume = load_fixture (&f, 24);
    g_assert_cmpmem (tess_volume_dim (volume), 24, cases[i].expected, 24);
    g_assert_cmpint (tess_volume_n_channels (volume), ==, cases[i].channels);
    round_trip (volume, "shape.nii.gz");
  }
}

static gboolean
has_warning (TessVolume *volume, const char *part)
{
  for (const char *const *w = tess_volume_warnings (volume); *w; w++)
    if (strstr (*w, part))
      return TRUE;
  return FALSE;
}

static void
test_warnings (void)
{
  NiftiFixture f = nifti_fixture (2, 8, 2, 2, 2), plain = f, metres = f, differ = f, singular = f, tilted = f;
  g_autoptr (TessVolume) volume = load_fixture (&f, 8);

  g_assert_null (tess_volume_warnings (volume)[0]);
  plain.sform_code = 0;
  metres.units = 1;
  differ.qform_code = 1; /* all quaternion and offset fields are 0: another place */
  singular.srow[5] = 0;
  tilted.srow[6] = 1;
#define EXPECT(fixture, part)                                                                                          \
  {                                                                                                                    \
    g_autoptr (TessVolume) v = load_fixture (&fixture, 8);                                                             \
    g_assert_true (has_warning (v, part));                                                                             \
  }
  EXPECT (plain, "left and right")
  EXPECT (metres, "metres")
  EXPECT (differ, "differ by up to")
  EXPECT (singular, "span space")
  EXPECT (tilted, "right angles")
}

static guint8 *
contents (const char *path, gsize *n)
{
  char *data;

  g_assert_true (g_file_get_contents (path, &data, n, NULL));
  return (guint8 *)data;
}

/* A file written from a NIfTI file keeps description, units, codes, quaternion, intent and extensions. */
static void
test_keeps_header (void)
{
  static const char text[] = "<labels/> and more";
  g_autoptr (GBytes) extension = g_bytes_new_static (text, sizeof text);
  g_autofree char *path = in_folder ("keep.nii"), *out = in_folder ("kept.nii");
  g_autoptr (GError) error = NULL;

  for (int version = 1; version <= 2; version++)
    for (int big = 0; big < 2; big++) {
      NiftiFixture f = nifti_fixture (4, 16, 3, 4, 5);
      g_autoptr (GByteArray) bytes = NULL, native = NULL;
      g_autoptr (TessVolume) volume = NULL;
      g_autofree guint8 *got = NULL;
      double values[60];
      gsize n;

      for (int i = 0; i < 60; i++)
        values[i] = i - 30;
      f.version = version;
      f.description = "a description";
      f.qform_code = 2;
      f.sform_code = 4;
      f.quatern[1] = 0.6; /* another place than the sform */
      f.intent = 5;
      f.units = 10;
      f.pixdim[0] = -1;
      f.extension = extension;
      f.big_endian = big;
      bytes = nifti_fixture_header (&f);
      nifti_fixture_append (&f, bytes, values, 60);
      nifti_fixture_put (path, bytes, FALSE);
      volume = tess_volume_load (path, NULL, &error);
      g_assert_no_error (error);
      g_assert_true (tess_volume_save (volume, out, NULL, &error));
      got = contents (out, &n);

      /* The same file in this machine's order; NIfTI-1's "regular" at byte 38 is ours. */
      f.big_endian = FALSE;
      native = nifti_fixture_header (&f);
      nifti_fixture_append (&f, native, values, 60);
      if (version == 1)
        native->data[38] = 'r';
      g_assert_cmpmem (got, n, native->data, native->len);
    }
}

static void
test_derived (void)
{
  const gint64 dim[3] = {6, 5, 4}, other_dim[3] = {3, 3, 3};
  NiftiFixture f = nifti_fixture (4, 16, 6, 5, 4);
  TessAffine turn = {{{0, -2, 0, 1}, {1.5, 0, 0, 2}, {0, 0, 3, 3}}}, shear = turn;
  g_autoptr (TessVolume) scan = NULL, label = NULL, moved = NULL, fresh = NULL, sheared = NULL, half = NULL,
                         again = NULL;
  g_autofree char *path = in_folder ("derived.nii");
  g_autofree guint8 *raw = NULL;
  g_autoptr (GError) error = NULL;
  gint16 code;
  gsize n;

  f.sform_code = 4;
  f.qform_code = 3;
  f.description = "scan";
  scan = load_fixture (&f, 120);

  /* A segmentation on the scan's grid, carrying its header. */
  label = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (scan), NULL);
  tess_volume_set_intent (label, TESS_INTENT_LABEL);
  tess_volume_set_source_header (label, "nifti", tess_volume_peek_source_header (scan, "nifti"));
  round_trip (label, "label.nii.gz");
  g_assert_true (tess_volume_save (label, path, NULL, &error));
  raw = contents (path, &n);
  memcpy (&code, raw + 68, 2);
  g_assert_cmpint (code, ==, 1002);
  memcpy (&code, raw + 254, 2);
  g_assert_cmpint (code, ==, 4);
  g_assert_cmpstr ((const char *)raw + 148, ==, "scan");

  /* Another grid: the codes stay, the matrices are new. */
  moved = tess_volume_new (TESS_DTYPE_F32, other_dim, 4, &turn, NULL);
  tess_volume_set_source_header (moved, "nifti", tess_volume_peek_source_header (scan, "nifti"));
  round_trip (moved, "moved.nii");
  fresh = tess_volume_new (TESS_DTYPE_I64, other_dim, 1, &turn, NULL);
  tess_volume_set_scaling (fresh, 0.25, -7);
  round_trip (fresh, "fresh.hdr");
  shear.m[0][2] = 0.7;
  sheared = tess_volume_new (TESS_DTYPE_U16, other_dim, 1, &shear, NULL);
  round_trip (sheared, "sheared.nii");
  half = tess_volume_new (TESS_DTYPE_F16, other_dim, 1, &turn, NULL);
  ((guint16 *)tess_volume_data_mut (half))[26] = 0x3e00;
  g_assert_true (tess_volume_save (half, path, NULL, &error));
  again = tess_volume_load (path, NULL, &error);
  g_assert_true (tess_volume_dtype (again) == TESS_DTYPE_F32 && tess_volume_value (again, 2, 2, 2, 0) == 1.5);
}

/* With the sform taken away the qform we wrote says the same. */
static void
test_written_qform (void)
{
  for (int i = 0; i < 40; i++) {
    const gint64 dim[3] = {7, 6, 5};
    double a = i * 0.7, b = i * 1.3, c = i * 2.1, s[3] = {0.5 + i % 3, 1.2, 3.0};
    TessAffine x = {{{1, 0, 0, 9}, {0, cos (a), -sin (a), -8}, {0, sin (a), cos (a), 7}}};
    TessAffine y = {{{cos (b), 0, sin (b), 0}, {0, 1, 0, 0}, {-sin (b), 0, cos (b), 0}}};
    TessAffine z = {{{cos (c), -sin (c), 0, 0}, {sin (c), cos (c), 0, 0}, {0, 0, i % 2 ? -1 : 1, 0}}};
    TessAffine size = tess_affine_scale (s[0], s[1], s[2]), affine = tess_affine_compose (&x, &y);
    g_autofree char *path = in_folder ("q.nii");
    g_autofree guint8 *raw = NULL;
    g_autoptr (TessVolume) volume = NULL, again = NULL;
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_autoptr (GError) error = NULL;
    gsize n;

    affine = tess_affine_compose (&affine, &z);
    affine = tess_affine_compose (&affine, &size);
    volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
    g_assert_true (tess_volume_save (volume, path, NULL, &error));
    raw = contents (path, &n);
    g_byte_array_append (bytes, raw, (guint)n);
    memset (bytes->data + 254, 0, 2);
    nifti_fixture_put (path, bytes, FALSE);
    again = tess_volume_load (path, NULL, &error);
    g_assert_no_error (error);
    g_assert_true (tess_affine_equal (tess_volume_affine (again), &affine, 2e-5));
  }
}

static void
test_long_axis (void)
{
  const gint64 dim[3] = {40000, 1, 2};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autofree char *path = in_folder ("long.nii.gz");

  round_trip (volume, "long.nii.gz");
}

static void
test_registry (void)
{
  static const struct {
    const char *path, *stem, *main_file; /* main_file NULL: path itself */
  } names[] = {
      {"a/b.nii.gz", "b"},
      {"b.nii", "b"},
      {"c.d.hdr", "c.d"},
      {"x/c.img", "c", "x/c.hdr"},
      {"x/y.IMG.GZ", "y", "x/y.HDR.GZ"},
      {"z.NII.gz", "z"},
      {"plain", "plain"},
      {"case_0000.nii.gz", "case_0000"},
      {"a.txt", "a.txt"},
  };
  g_autoptr (GError) error = NULL;
  g_autofree char *missing = in_folder ("missing.xyz");

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *stem = tess_volume_stem (names[i].path), *main_file = tess_volume_main_file (names[i].path);

    g_assert_cmpstr (stem, ==, names[i].stem);
    g_assert_cmpstr (main_file, ==, names[i].main_file ? names[i].main_file : names[i].path);
    g_assert_true (tess_volume_is_companion (names[i].path) == (names[i].main_file != NULL));
  }
  g_assert_cmpuint (tess_formats_n (), >=, 1);
  g_assert_nonnull (tess_format_for_path ("A.NII", NULL));
  g_assert_null (tess_format_for_path (".nii", NULL)); /* only an ending */
  g_assert_null (tess_format_for_path ("scan.xyz", &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_assert_nonnull (strstr (error->message, ".nii.gz"));
  g_clear_error (&error);
  g_assert_null (tess_volume_load (missing, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO); /* missing is said before unknown */
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/nifti/all-types", test_all_types);
  g_test_add_func ("/formats/nifti/scaling", test_scaling);
  g_test_add_func ("/formats/nifti/shapes", test_shapes);
  g_test_add_func ("/formats/nifti/warnings", test_warnings);
  g_test_add_func ("/formats/nifti/keeps-header", test_keeps_header);
  g_test_add_func ("/formats/nifti/derived", test_derived);
  g_test_add_func ("/formats/nifti/written-qform", test_written_qform);
  g_test_add_func ("/formats/nifti/long-axis", test_long_axis);
  g_test_add_func ("/formats/registry", test_registry);
  result = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return result;
}
