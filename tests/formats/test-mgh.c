/* MGH and MGZ: against nibabel (tests/reference/mgh.py), what is written, damaged headers. */
#include "nifti-fixture.h"
#include "tess-voxels.h"
#include "volume-check.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static void
put (const char *path, const void *data, gsize n)
{
  g_autoptr (GError) error = NULL;

  g_unlink (path);
  g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, &error);
  g_assert_no_error (error);
}

static TessVolume *
load (const char *path)
{
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_load (path, NULL, &error);

  g_assert_no_error (error);
  return volume;
}

static void
save (TessVolume *volume, const char *path)
{
  g_autoptr (GError) error = NULL;

  tess_volume_save (volume, path, NULL, &error);
  g_assert_no_error (error);
}

/* Contents, unpacked by GLib. */
static GBytes *
unpacked (const char *path)
{
  g_autoptr (GFile) file = g_file_new_for_path (path);
  g_autoptr (GFileInputStream) raw = g_file_read (file, NULL, NULL);
  g_autoptr (GZlibDecompressor) gunzip = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autoptr (GInputStream) in = g_converter_input_stream_new (G_INPUT_STREAM (raw), G_CONVERTER (gunzip));
  g_autoptr (GOutputStream) out = g_memory_output_stream_new_resizable ();
  g_autoptr (GError) error = NULL;

  g_output_stream_splice (out, in, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (out));
}

static void
test_real_files (void)
{
  g_autoptr (JsonNode) node = check_reference ("mgh.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "files");
  const char *root = check_shared_data ();
  g_autofree char *out = in_folder ("same.mgz");

  g_assert_cmpuint (json_array_get_length (list), ==, 2);
  for (guint i = 0; root && i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *file = json_object_get_string_member (o, "file");
    g_autofree char *path = g_build_filename (root, file, NULL);
    g_autoptr (TessVolume) volume = load (path);
    g_autoptr (GBytes) before = unpacked (path), after = NULL;

    check_volume (volume, o, file);
    g_assert_null (tess_volume_warnings (volume)[0]);
    save (volume, out); /* header, voxels and what follows them: every byte */
    after = unpacked (out);
    g_assert_true (g_bytes_equal (before, after));
  }
}

static void
test_types (void)
{
  g_autoptr (JsonNode) node = check_reference ("mgh.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "types");
  g_autofree char *path = in_folder ("t.mgh"), *out = in_folder ("u.mgh"), *nii = in_folder ("t.nii.gz"),
                  *mgz = in_folder ("t.mgz"), *mha = in_folder ("t.mha");

  g_assert_cmpuint (json_array_get_length (list), ==, 10);
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    gsize n, m;
    g_autofree guchar *bytes = g_base64_decode (json_object_get_string_member (o, "content"), &n);
    g_autoptr (TessVolume) volume = NULL, through = NULL, again = NULL, third = NULL;
    g_autofree char *name = g_strdup_printf ("types %u", i), *written = NULL;

    put (path, bytes, n);
    volume = load (path);
    check_volume (volume, o, name);
    save (volume, out);
    g_assert_true (g_file_get_contents (out, &written, &m, NULL));
    g_assert_cmpmem (bytes, n, written, m);
    save (volume, nii);
    through = load (nii);
    check_same (volume, through, 1e-4, "to NIfTI");
    save (through, mgz);
    again = load (mgz);
    check_same (volume, again, 1e-4, "back");
    save (again, mha);
    third = load (mha);
    check_same (volume, third, 1e-4, "to MetaImage");
  }
}

static void
test_corpus (void)
{
  g_autoptr (JsonNode) node = check_reference ("mgh.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "corpus");
  g_autofree char *path = in_folder ("c.mgh"), *nii = in_folder ("c.nii"), *back = in_folder ("c.mgz");
  static const double planted[3] = {3, 1, 1};

  g_assert_cmpuint (json_array_get_length (list), ==, 192);
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    g_autofree char *name = g_strdup_printf ("corpus %u", i);
    guint8 bytes[284 + 24] = {0};
    gsize n;
    g_autofree guchar *start = g_base64_decode (json_object_get_string_member (o, "header"), &n);
    g_autoptr (TessVolume) volume = NULL, through = NULL, again = NULL;
    double here[3], there[3];
    char codes[4];

    memcpy (bytes, start, n);
    for (guint8 k = 0; k < 24; k++)
      bytes[284 + k] = k;
    put (path, bytes, sizeof bytes);
    volume = load (path);
    check_affine (tess_volume_affine (volume), o, 1e-5, name);
    tess_affine_orientation (tess_volume_affine (volume), codes);
    if (!g_str_equal (json_object_get_string_member (o, "tilt"), "tie")) /* float32 has decided these by its last bit */
      g_assert_cmpstr (codes, ==, json_object_get_string_member (o, "orientation"));
    save (volume, nii);
    through = load (nii);
    save (through, back);
    again = load (back);
    check_same (volume, again, 1e-4, name);
    tess_affine_apply (tess_volume_affine (volume), planted, here);
    tess_affine_apply (tess_volume_affine (again), planted, there);
    for (int r = 0; r < 3; r++)
      g_assert_cmpfloat_with_epsilon (here[r], there[r], 1e-4);
    g_assert_cmpfloat (tess_volume_value (again, 3, 1, 1, 0), ==, 19);
  }
}

/* A small file, 3 x 2 x 2 voxels of one byte; `type` and `flag` as given. */
static GByteArray *
small_file (guint8 type, guint8 flag)
{
  GByteArray *bytes = g_byte_array_new ();

  g_byte_array_set_size (bytes, 284 + 12 * 4);
  memset (bytes->data, 0, bytes->len);
  bytes->data[3] = 1;
  bytes->data[7] = 3;
  bytes->data[11] = bytes->data[15] = 2;
  bytes->data[19] = 1;
  bytes->data[23] = type;
  bytes->data[29] = flag;
  for (guint8 i = 0; i < 12; i++)
    bytes->data[284 + i] = i;
  return bytes;
}

/* Without the flag what stands there is not geometry: FreeSurfer's setDirectionCosine (MRI_CORONAL), centre 0. */
static void
test_no_geometry (void)
{
  static const TessAffine wanted = {{{-1, 0, 0, 1.5}, {0, 0, 1, -1}, {0, -1, 0, 1}}};
  g_autoptr (GByteArray) bytes = small_file (0, 0);
  g_autofree char *path = in_folder ("no.mgh");
  g_autoptr (TessVolume) volume = NULL;

  bytes->data[30] = 0x7f;
  put (path, bytes->data, 284 + 12);
  volume = load (path);
  g_assert_true (tess_affine_equal (tess_volume_affine (volume), &wanted, 0));
  g_assert_nonnull (strstr (tess_volume_warnings (volume)[0], "coronal"));
}

static void
refuse (GByteArray *bytes, TessError code)
{
  g_autofree char *path = in_folder ("bad.mgh"), *packed = in_folder ("bad.mgz");
  g_autoptr (GByteArray) gzip = nifti_fixture_gzip (bytes);

  put (path, bytes->data, bytes->len);
  check_refused (path, code);
  put (packed, gzip->data, gzip->len);
  check_refused (packed, code);
}

static void
test_damage (void)
{
  static const struct {
    gsize at;
    guint8 value;
    TessError code;
  } cases[] = {
      {3, 2, TESS_ERROR_FORMAT},       {3, 0, TESS_ERROR_FORMAT},       {7, 0, TESS_ERROR_FORMAT},
      {8, 0x80, TESS_ERROR_FORMAT},    {8, 0x7f, TESS_ERROR_FORMAT},    {19, 0, TESS_ERROR_FORMAT},
      {16, 0xff, TESS_ERROR_FORMAT},   {16, 0x7f, TESS_ERROR_FORMAT},   {23, 2, TESS_ERROR_UNSUPPORTED},
      {23, 5, TESS_ERROR_UNSUPPORTED}, {23, 6, TESS_ERROR_UNSUPPORTED}, {23, 7, TESS_ERROR_UNSUPPORTED},
      {23, 8, TESS_ERROR_FORMAT},      {23, 9, TESS_ERROR_FORMAT},      {23, 200, TESS_ERROR_FORMAT},
      {20, 0x80, TESS_ERROR_FORMAT},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GByteArray) bytes = small_file (0, 0);

    bytes->data[cases[i].at] = cases[i].value;
    refuse (bytes, cases[i].code);
  }
  {
    g_autoptr (GByteArray) bytes = small_file (0, 1); /* directions that are all zero */

    refuse (bytes, TESS_ERROR_FORMAT);
    g_byte_array_set_size (bytes, 284 + 11);
    bytes->data[29] = 0;
    refuse (bytes, TESS_ERROR_FORMAT);
    g_byte_array_set_size (bytes, 100);
    refuse (bytes, TESS_ERROR_FORMAT);
    g_byte_array_set_size (bytes, 0);
    refuse (bytes, TESS_ERROR_FORMAT);
  }
}

/* Into the types MGH has: whole numbers exactly or not at all, real ones as float32, values instead of a scale. */
static void
test_conversions (void)
{
  static const struct {
    TessDType dtype;
    guint64 bits; /* of one voxel */
    double slope;
    const char *wanted; /* NULL: refused */
  } cases[] = {
      {TESS_DTYPE_U8, 200, 1, "uint8"},
      {TESS_DTYPE_I8, 0x80, 1, "int16"},
      {TESS_DTYPE_U16, 32767, 1, "int16"},
      {TESS_DTYPE_U16, 65535, 1, "int32"},
      {TESS_DTYPE_U32, 0x7fffffff, 1, "int32"},
      {TESS_DTYPE_U32, 0x80000000, 1, NULL},
      {TESS_DTYPE_I64, 5, 1, "int32"},
      {TESS_DTYPE_I64, (guint64)1 << 40, 1, NULL},
      {TESS_DTYPE_U64, G_MAXUINT64, 1, NULL},
      {TESS_DTYPE_F64, 0x3fb999999999999a, 1, "float32"},
      {TESS_DTYPE_F64, 0x7e37e43c8800759c, 1, NULL},      /* 1e300 */
      {TESS_DTYPE_F64, 0x7ff0000000000000, 1, "float32"}, /* infinite as it is */
      {TESS_DTYPE_F16, 0x3c00, 1, "float32"},
      {TESS_DTYPE_U8, 3, 0.5, "float32"},
      {TESS_DTYPE_U8, 3, -2, "int16"},
      {TESS_DTYPE_I32, 3, 0.25, "float32"},
  };
  static const gint64 dim[3] = {3, 1, 1};
  TessAffine affine = tess_affine_identity ();
  g_autofree char *path = in_folder ("v.mgz");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TessVolume) volume = tess_volume_new (cases[i].dtype, dim, 1, &affine, NULL), again = NULL;
    g_autoptr (GError) error = NULL;
    gsize size = tess_dtype_size (cases[i].dtype);

    memcpy ((guint8 *)tess_volume_data_mut (volume) + size, &cases[i].bits, size);
    tess_volume_set_scaling (volume, cases[i].slope, 0);
    g_unlink (path);
    g_assert_cmpint (tess_volume_save (volume, path, NULL, &error), ==, cases[i].wanted != NULL);
    if (!cases[i].wanted) {
      g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
      g_assert_nonnull (strstr (error->message, "; choose another ending"));
      g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
      continue;
    }
    again = load (path);
    g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (again)), ==, cases[i].wanted);
    g_assert_cmpfloat ((float)tess_volume_value (volume, 1, 0, 0, 0), ==, (float)tess_volume_value (again, 1, 0, 0, 0));
    g_assert_true (tess_voxels_hold_as (volume, tess_volume_dtype (again)));
    g_assert_cmpint (tess_voxels_hold_as (volume, TESS_DTYPE_I64), ==,
                     tess_volume_value (volume, 1, 0, 0, 0) == rint (tess_volume_value (volume, 1, 0, 0, 0)) &&
                         isfinite (tess_volume_value (volume, 1, 0, 0, 0)));
  }
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/mgh/real-files", test_real_files);
  g_test_add_func ("/formats/mgh/types", test_types);
  g_test_add_func ("/formats/mgh/corpus", test_corpus);
  g_test_add_func ("/formats/mgh/no-geometry", test_no_geometry);
  g_test_add_func ("/formats/mgh/damage", test_damage);
  g_test_add_func ("/formats/mgh/conversions", test_conversions);
  result = g_test_run ();
  remove_tree (folder);
  return result;
}
