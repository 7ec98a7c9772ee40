/* DICOM series made here, slice by slice, with known places and values. */
#include "dicom-fixture.h"
#include "tess-format-registry.h"

#include <math.h>
#include <string.h>

static const double axial[6] = {1, 0, 0, 0, 1, 0};
static const double sagittal[6] = {0, 1, 0, 0, 0, -1};

#define N 4 /* pixels a side */

static void
fill (guint16 pixels[N * N], guint16 first)
{
  for (guint16 i = 0; i < N * N; i++)
    pixels[i] = (guint16)(first + i);
}

static void
write_slice (const char *folder, int number, const double *orientation, double x, double y, double z, DicomSlice extra)
{
  g_autofree char *name = g_strdup_printf ("%03d.dcm", (number * 37) % 101); /* names in another order than slices */
  const double position[3] = {x, y, z};
  guint16 pixels[N * N];
  DicomSlice slice = extra;

  fill (pixels, (guint16)(100 * number));
  slice.columns = slice.rows = N;
  slice.instance = number;
  slice.position = position;
  slice.orientation = orientation;
  if (slice.spacing[0] <= 0)
    slice.spacing[0] = slice.spacing[1] = 0.5;
  if (!slice.pixels)
    slice.pixels = pixels;
  dicom_write (folder, name, &slice);
}

static TessVolume *
load (const char *folder)
{
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (folder, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

static gboolean
warned (TessVolume *volume, const char *words)
{
  for (const char *const *w = tess_volume_warnings (volume); *w; w++)
    if (strstr (*w, words))
      return TRUE;
  return FALSE;
}

static void
at (TessVolume *volume, double i, double j, double k, double x, double y, double z)
{
  const double p[3] = {i, j, k}, expected[3] = {x, y, z};
  double world[3];

  tess_affine_apply (tess_volume_affine (volume), p, world);
  for (int c = 0; c < 3; c++)
    g_assert_cmpfloat_with_epsilon (world[c], expected[c], 1e-4);
}

static void
test_order (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int k = 0; k < 5; k++)
    write_slice (folder, k + 1, axial, 10, 20, 30 - 2.5 * k, (DicomSlice){.thickness = 5, .spacing = {0.5, 0.25}});
  volume = load (folder);
  g_assert_cmpint (tess_volume_dim (volume)[2], ==, 5);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, 1);
  at (volume, 0, 0, 4, -10, -20, 30); /* the first number lies highest */
  at (volume, 2, 1, 0, -10.5, -20.5, 20);
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 4, 0), ==, 100);
  g_assert_cmpfloat (tess_volume_value (volume, 3, 2, 0, 0), ==, 511);
  g_assert_true (warned (volume, "5 mm thick and 2.5 mm apart"));
  g_assert_cmpstr (tess_volume_peek_series_uid (volume), ==, "1.2.3.4.5"); /* by which tables of findings name it */
  dicom_remove (folder);
}

/* Sheared: positions move along y as they rise. */
static void
test_tilt (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int k = 0; k < 4; k++)
    write_slice (folder, k + 1, axial, 0, 1.0 * k, 3.0 * k, (DicomSlice){0});
  volume = load (folder);
  at (volume, 0, 0, 3, 0, -3, 9);
  at (volume, 2, 2, 1, -1, -2, 3);
  g_assert_true (warned (volume, "tilt of 18.4 degrees"));
  dicom_remove (folder);
}

static void
test_gaps (void)
{
  static const double missing[] = {0, 2, 4, 8, 10}, uneven[] = {0, 1, 2, 3.4, 4.4}, twice[] = {0, 2, 2, 4, 6};
  static const struct {
    const double *z;
    int n;
    const char *words;
    double step;
  } cases[] = {{missing, 5, "1 slice is missing", 2},
               {uneven, 5, "varies (1 to 1.4 mm)", 1},
               {twice, 4, "1 slice is a duplicate", 2}};

  for (gsize c = 0; c < G_N_ELEMENTS (cases); c++) {
    g_autofree char *folder = dicom_temp_dir ();
    g_autoptr (TessVolume) volume = NULL;

    for (int k = 0; k < 5; k++)
      write_slice (folder, k + 1, axial, 0, 0, cases[c].z[k], (DicomSlice){0});
    volume = load (folder);
    g_assert_cmpint (tess_volume_dim (volume)[2], ==, cases[c].n);
    g_assert_cmpfloat_with_epsilon (tess_volume_affine (volume)->m[2][2], cases[c].step, 1e-6);
    g_assert_true (warned (volume, cases[c].words));
    dicom_remove (folder);
  }
}

/* Positions rounded to 0.01 mm: the last slice stays where it is. */
static void
test_rounded (void)
{
  static const double z[] = {0, 0.70, 1.41, 2.11, 2.81, 3.52};
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int k = 0; k < 6; k++)
    write_slice (folder, k + 1, axial, 0, 0, z[k], (DicomSlice){0});
  volume = load (folder);
  at (volume, 0, 0, 5, 0, 0, 3.52);
  g_assert_cmpstr (tess_volume_warnings (volume)[0], ==, NULL);
  dicom_remove (folder);
}

static void
test_time (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int t = 0; t < 3; t++)
    for (int k = 0; k < 4; k++)
      write_slice (folder, 1 + t * 4 + k, axial, 0, 0, 2.0 * k, (DicomSlice){.temporal = 3 - t});
  volume = load (folder);
  g_assert_cmpint (tess_volume_dim (volume)[2], ==, 4);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, 3);
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 1, 0), ==, 1000); /* temporal position 1 was written last */
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 1, 2), ==, 200);
  dicom_remove (folder);
}

/* A localiser in the series: two volumes; each can be named. */
static void
test_mixed (void)
{
  g_autofree char *folder = dicom_temp_dir (), *second = g_strconcat (folder, "::1.2.3.4.5/2", NULL);
  g_autoptr (GPtrArray) entries = NULL;
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GError) error = NULL;

  for (int k = 0; k < 3; k++)
    write_slice (folder, k + 1, k == 0 ? sagittal : axial, 0, 0, 2.0 * k, (DicomSlice){.description = "Head"});
  entries = tess_volume_entries (folder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (entries->len, ==, 2);
  g_assert_cmpstr (((TessVolumeEntry *)g_ptr_array_index (entries, 0))->description, ==, "MR, Head");
  g_assert_null (tess_volume_load (folder, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  volume = load (second);
  g_assert_true (warned (volume, "2 groups of slices"));
  g_assert_cmpint (tess_volume_dim (volume)[2] + ((TessVolumeEntry *)g_ptr_array_index (entries, 0))->dim[2], ==, 3);
  dicom_remove (folder);
}

static void
test_values (void)
{
  static const guint16 bits[N * N] = {0xf001, 0x0fff, 0x0800, 0x07ff}; /* 12 bits stored, others are rubbish */
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  write_slice (folder, 1, axial, 0, 0, 0,
               (DicomSlice){.stored = 12, .is_signed = 1, .pixels = bits, .slope = 2, .intercept = -1});
  volume = load (folder);
  g_assert_cmpint (tess_volume_dtype (volume), ==, TESS_DTYPE_I16);
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 0, 0), ==, 1);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 0, 0, 0), ==, -3);
  g_assert_cmpfloat (tess_volume_value (volume, 2, 0, 0, 0), ==, -4097);
  g_assert_cmpfloat (tess_volume_value (volume, 3, 0, 0, 0), ==, 4093);
  dicom_remove (folder);
}

/* The same of files that the helper unpacks, with voxels of one, two and four bytes; the first two are 5 and -3. */
static void
test_unused_bits (void)
{
  static const struct {
    int allocated, stored;
    guint16 pixels[2 * N * N];
  } cases[] = {{8, 4, {0x3d25}}, {16, 12, {0x7005, 0x3ffd}}, {32, 28, {0x0005, 0x4000, 0xfffd, 0x1fff}}};

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    for (int deflated = 0; deflated < 2; deflated++) {
      g_autofree char *folder = dicom_temp_dir ();
      g_autoptr (TessVolume) volume = NULL;

      write_slice (folder, 1, axial, 0, 0, 0,
                   (DicomSlice){.allocated = cases[i].allocated,
                                .stored = cases[i].stored,
                                .is_signed = 1,
                                .pixels = cases[i].pixels,
                                .deflated = deflated});
      volume = load (folder);
      g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 0, 0), ==, 5);
      g_assert_cmpfloat (tess_volume_value (volume, 1, 0, 0, 0), ==, -3);
      g_assert_cmpfloat (tess_volume_value (volume, 2, 0, 0, 0), ==, 0);
      dicom_remove (folder);
    }
}

static void
test_scaling (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int k = 0; k < 3; k++)
    write_slice (folder, k + 1, axial, 0, 0, k, (DicomSlice){.modality = "PT", .slope = 0.5 * (k + 1), .intercept = k});
  volume = load (folder);
  g_assert_cmpint (tess_volume_dtype (volume), ==, TESS_DTYPE_F32);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 0, 2, 0), ==, 1.5 * 301 + 2);
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 0, 0), ==, 50);
  g_assert_true (warned (volume, "differs from slice to slice"));
  dicom_remove (folder);
}

static void
test_inverted (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  write_slice (folder, 1, axial, 0, 0, 0, (DicomSlice){.modality = "DX", .photometric = "MONOCHROME1", .stored = 12});
  volume = load (folder);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 0, 0, 0), ==, 4095 - 101);
  g_assert_true (warned (volume, "MONOCHROME1"));
  dicom_remove (folder);
}

/* 3 slices in a mosaic of 2 x 2 tiles; the position is the big picture's corner. */
static void
test_mosaic (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessVolume) volume = NULL;

  for (int t = 0; t < 2; t++)
    write_slice (
        folder, t + 1, axial, -10, -20, 30,
        (DicomSlice){.image_type = "ORIGINAL\\PRIMARY\\M\\MOSAIC", .mosaic = 3, .between = 4, .spacing = {2, 2}});
  volume = load (folder);
  g_assert_cmpint (tess_volume_dim (volume)[0], ==, 2);
  g_assert_cmpint (tess_volume_dim (volume)[2], ==, 3);
  g_assert_cmpint (tess_volume_n_channels (volume), ==, 2);
  /* (4 - 2) / 2 pixels of 2 mm towards the middle */
  at (volume, 0, 0, 0, 10 - 2, 20 - 2, 30);
  at (volume, 1, 1, 2, 10 - 4, 20 - 4, 38);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 1, 0, 0), ==, 105);
  g_assert_cmpfloat (tess_volume_value (volume, 0, 0, 1, 0), ==, 102);
  g_assert_cmpfloat (tess_volume_value (volume, 1, 0, 2, 1), ==, 209);
  dicom_remove (folder);
}

static void
test_charset (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (GPtrArray) entries = NULL;

  write_slice (folder, 1, axial, 0, 0, 0,
               (DicomSlice){.charset = "\\ISO 2022 IR 149", .description = "\x1b$)C\xb3\xfa MRI"});
  entries = tess_volume_entries (folder, NULL);
  g_assert_cmpstr (((TessVolumeEntry *)g_ptr_array_index (entries, 0))->description, ==, "MR, 뇌 MRI");
  dicom_remove (folder);
}

/* A file without ending, a damaged one among good ones, nothing at all, and the patient's name nowhere. */
static void
test_folders (void)
{
  g_autofree char *folder = dicom_temp_dir (), *bad = g_build_filename (folder, "a", "bad.dcm", NULL), *plain = NULL;
  g_autofree char *inner = g_build_filename (folder, "a", NULL), *text = NULL;
  g_autoptr (TessVolume) volume = NULL, one = NULL;
  g_autoptr (GError) error = NULL;
  guint16 pixels[N * N];

  for (int k = 0; k < 3; k++)
    write_slice (inner, k + 1, axial, 0, 0, k, (DicomSlice){0});
  fill (pixels, 7);
  g_assert_true (g_file_set_contents (bad, "no DICOM", -1, NULL));
  volume = load (folder);
  g_assert_cmpint (tess_volume_dim (volume)[2], ==, 3);
  g_assert_true (warned (volume, "1 of 4 files could not be read"));
  text = g_strjoinv (" ", (char **)tess_volume_warnings (volume));
  g_assert_null (strstr (text, "Secret"));

  dicom_write (folder, "IM0001", &(DicomSlice){.columns = N, .rows = N, .pixels = pixels, .orientation = axial});
  plain = g_build_filename (folder, "IM0001", NULL);
  one = load (plain);
  g_assert_cmpfloat (tess_volume_value (one, 1, 0, 0, 0), ==, 8);
  g_assert_cmpstr (tess_format_for_path (plain, NULL)->id, ==, "dicom");
  g_assert_null (tess_volume_load (bad, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  dicom_remove (folder);
}

/* Cut anywhere, a file gives an error of one sentence or (in what is after the voxels) the volume. */
static void
test_cut (void)
{
  g_autofree char *folder = dicom_temp_dir (), *path = g_build_filename (folder, "cut.dcm", NULL);
  guint16 pixels[N * N];
  g_autoptr (GBytes) bytes = NULL;
  gsize n;

  fill (pixels, 1);
  bytes = dicom_bytes (&(DicomSlice){.columns = N, .rows = N, .pixels = pixels, .orientation = axial});
  n = g_bytes_get_size (bytes);
  for (gsize k = 0; k < n; k += k + 48 < n ? 23 : 1) {
    g_autoptr (GError) error = NULL;

    g_assert_true (g_file_set_contents (path, g_bytes_get_data (bytes, NULL), (gssize)k, NULL));
    g_assert_null (tess_volume_load (path, NULL, &error));
    g_assert_nonnull (error);
    g_assert_true (g_str_has_prefix (error->message, path));
    g_assert_null (strchr (error->message, '\n'));
  }
  dicom_remove (folder);
}

static gint64 last_seen;

static void
on_live (TessVolume *volume, gpointer user_data)
{
  g_assert_cmpint (tess_volume_watermark (volume), >=, last_seen);
  last_seen = tess_volume_watermark (volume);
}

static void
test_live (void)
{
  g_autofree char *folder = dicom_temp_dir ();
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (TessVolume) volume = NULL;
  g_autoptr (GError) error = NULL;

  for (int k = 0; k < 5; k++)
    write_slice (folder, k + 1, axial, 0, 0, k, (DicomSlice){0});
  last_seen = 0;
  volume = tess_volume_load_live (folder, progress, on_live, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (last_seen, ==, 5);
  g_assert_cmpfloat (tess_progress_get (progress), ==, 1);
  tess_progress_cancel (progress);
  g_assert_null (tess_volume_load (folder, progress, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
  dicom_remove (folder);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  g_test_add_func ("/dicom/order", test_order);
  g_test_add_func ("/dicom/tilt", test_tilt);
  g_test_add_func ("/dicom/gaps", test_gaps);
  g_test_add_func ("/dicom/rounded", test_rounded);
  g_test_add_func ("/dicom/time", test_time);
  g_test_add_func ("/dicom/mixed", test_mixed);
  g_test_add_func ("/dicom/values", test_values);
  g_test_add_func ("/dicom/unused-bits", test_unused_bits);
  g_test_add_func ("/dicom/scaling", test_scaling);
  g_test_add_func ("/dicom/inverted", test_inverted);
  g_test_add_func ("/dicom/mosaic", test_mosaic);
  g_test_add_func ("/dicom/charset", test_charset);
  g_test_add_func ("/dicom/folders", test_folders);
  g_test_add_func ("/dicom/cut", test_cut);
  g_test_add_func ("/dicom/live", test_live);
  return g_test_run ();
}
