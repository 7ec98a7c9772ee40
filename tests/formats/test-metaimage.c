/* MetaImage: against SimpleITK (tests/reference/metaimage.py), what is written, and the way there and back. */
#include "nifti-fixture.h"
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

  g_unlink (path); /* what is written into a longer file leaves its tail */
  g_file_set_contents_full (path, data, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, &error);
  g_assert_no_error (error);
}

static void
put_text (const char *path, const char *text)
{
  put (path, text, strlen (text));
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

static void
test_real_files (void)
{
  static const char *const warned[] = {"mask_fixed.mhd", "img_rgb8_peppers.mhd", NULL};
  g_autoptr (JsonNode) node = check_reference ("metaimage.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "files");
  const char *root = check_shared_data ();
  guint n_refused = 0;

  for (guint i = 0; root && i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *file = json_object_get_string_member (o, "file");
    g_autofree char *path = g_build_filename (root, file, NULL), *base = g_path_get_basename (file);
    g_autoptr (TessVolume) volume = NULL;

    if (json_object_has_member (o, "fails")) {
      g_autoptr (GError) error = NULL;

      volume = tess_volume_load (path, NULL, &error);
      g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED); /* lists of files */
      g_assert_nonnull (strstr (error->message, "list of image files"));
      n_refused++;
      continue;
    }
    volume = load (path);
    check_volume (volume, o, file);
    g_assert_cmpint (tess_volume_warnings (volume)[0] != NULL, ==, g_strv_contains (warned, base));
  }
  if (root) {
    g_assert_cmpuint (json_array_get_length (list), ==, 23);
    g_assert_cmpuint (n_refused, ==, 2);
  }
}

static void
put_base64 (const char *path, const char *text)
{
  gsize n;
  g_autofree guchar *bytes = g_base64_decode (text, &n);

  put (path, bytes, n);
}

static void
test_headers (void)
{
  g_autoptr (JsonNode) node = check_reference ("metaimage.json");
  JsonArray *list = json_object_get_array_member (json_node_get_object (node), "headers");
  g_autofree char *voxels = in_folder ("voxels.raw");

  g_assert_cmpuint (json_array_get_length (list), >, 50);
  for (guint i = 0; i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    const char *name = json_object_get_string_member (o, "name");
    g_autofree char *path = g_strdup_printf ("%s/in.%s", folder, json_object_get_string_member (o, "ending"));

    g_test_message ("%s", name);
    put_base64 (path, json_object_get_string_member (o, "content"));
    if (json_object_has_member (o, "beside"))
      put_base64 (voxels, json_object_get_string_member (o, "beside"));
    if (json_object_has_member (o, "fails")) {
      check_refused (path, TESS_ERROR_FORMAT);
    } else {
      g_autoptr (TessVolume) volume = load (path);
      gboolean odd =
          g_str_equal (name, "long") || g_str_equal (name, "scale") || g_str_equal (name, "header size from the start");

      if (g_str_equal (name, "two channels") || g_str_equal (name, "array")) {
        const guint8 *bytes = tess_volume_data (volume); /* side by side in the file, apart here */

        g_assert_cmpuint (bytes[tess_dtype_size (tess_volume_dtype (volume))], ==, 2);
      }
      check_volume (volume, o, name);
      g_assert_cmpint (tess_volume_warnings (volume)[0] != NULL, ==, odd);
    }
  }
}

/* What SimpleITK fails on or gets wrong, and what is read here: by what the header says. */
static void
test_beyond_itk (void)
{
  static const char start[] = "NDims = 3\nDimSize = 3 2 2\nElementType = MET_UCHAR\n";
  static const guint8 zlib[] = {0x78, 0x9c, 0x63, 0x60, 0x64, 0x62, 0x66, 0x61, 0x65, 0x63,
                                0xe7, 0xe0, 0xe4, 0xe2, 0x06, 0x00, 0x01, 0x2a, 0x00, 0x43}; /* 0 to 11 */
  static const struct {
    const char *more;
    gsize before;
  } cases[] = {
      {"CompressedData = True\n", 0},                         /* the size left out */
      {"CompressedData = True\nCompressedDataSize = 3\n", 0}, /* wrong */
      {"CompressedData = True\nHeaderSize = 9\n", 9},         /* from the start of the data file */
      {"CompressedData = True\nHeaderSize = -1\nCompressedDataSize = 20\n", 7},
      {"compresseddata = true\nELEMENTSPACING = 1 1 1\n", 0}, /* capitals */
  };
  g_autofree char *path = in_folder ("beyond.mhd"), *data = in_folder ("beyond.zraw"), *local = in_folder ("l.mha");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = g_strconcat (start, cases[i].more, "ElementDataFile = beyond.zraw\n", NULL);
    g_autoptr (GByteArray) bytes = g_byte_array_new ();
    g_autoptr (TessVolume) volume = NULL;

    g_byte_array_append (bytes, (const guint8 *)"xxxxxxxxx", (guint)cases[i].before);
    g_byte_array_append (bytes, zlib, sizeof zlib);
    put (data, bytes->data, bytes->len);
    put_text (path, text);
    volume = load (path);
    for (guint8 k = 0; k < 12; k++)
      g_assert_cmpuint (((const guint8 *)tess_volume_data (volume))[k], ==, k);
  }
  {
    g_autofree char *text =
        g_strconcat (start, "ElementSpacing = 1 0 nan\nElementDataFile = LOCAL\n0123456789ab", NULL);
    g_autoptr (TessVolume) volume = NULL;
    double spacing[3];

    put_text (local, text);
    volume = load (local);
    tess_affine_spacing (tess_volume_affine (volume), spacing);
    g_assert_cmpfloat (spacing[1] * spacing[2], ==, 1);
    g_assert_nonnull (strstr (tess_volume_warnings (volume)[0], "1 mm"));
  }
}

static TessVolume *
make_volume (TessDType dtype, gint64 n_channels, guint seed)
{
  static const gint64 dim[3] = {7, 5, 3};
  TessAffine affine = {{{-1.5, 0.25, 0, 10}, {0.125, 2, 0, -20}, {0, 0.5, 3, 30.0625}}};
  TessVolume *volume = tess_volume_new (dtype, dim, n_channels, &affine, NULL);
  guint8 *data = tess_volume_data_mut (volume);
  g_autoptr (GRand) rand = g_rand_new_with_seed (seed);

  for (gsize i = 0; i < tess_volume_n_bytes (volume); i++)
    data[i] = (guint8)g_rand_int_range (rand, 0, 120); /* no exponent of infinities and NaN */
  return volume;
}

static void
test_types (void)
{
  static const char *const names[] = {"t.mha", "t.mhd"};

  for (int dtype = 0; dtype < TESS_N_DTYPES; dtype++)
    for (gint64 n_channels = 1; n_channels < 4; n_channels += 2)
      for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
        g_autofree char *path = in_folder (names[i]);
        g_autoptr (TessVolume) volume = make_volume ((TessDType)dtype, n_channels, (guint)dtype), again = NULL;
        gboolean half = dtype == TESS_DTYPE_F16 || dtype == TESS_DTYPE_BF16;

        save (volume, path);
        again = load (path);
        check_same (volume, again, 1e-12, tess_dtype_name ((TessDType)dtype));
        g_assert_cmpint (tess_volume_dtype (again), ==, half ? TESS_DTYPE_F32 : (TessDType)dtype);
      }
}

/* Text of the header, up to the voxels. */
static char *
header_of (const char *path)
{
  g_autoptr (GError) error = NULL;
  g_autofree char *content = NULL;
  gsize n;
  char *end;

  g_file_get_contents (path, &content, &n, &error);
  g_assert_no_error (error);
  end = memmem (content, n, "ElementDataFile", 15);
  g_assert_nonnull (end);
  return g_strndup (content, (gsize)((char *)memchr (end, '\n', n - (gsize)(end - content)) - content) + 1);
}

static void
test_written (void)
{
  static const gint64 dim[3] = {4, 3, 2};
  TessAffine affine = {{{0, 0, 2.5, 10.1}, {-0.5, 0, 0, -20}, {0, 1, 0, 30}}};
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_I16, dim, 2, &affine, NULL);
  g_autofree char *mha = in_folder ("w.mha"), *mhd = in_folder ("w.mhd"), *zraw = in_folder ("w.zraw"), *one = NULL,
                  *two = NULL, *wanted = NULL;
  GStatBuf info;

  save (volume, mha);
  one = header_of (mha);
  save (volume, mhd);
  two = header_of (mhd);
  g_assert_cmpint (g_stat (zraw, &info), ==, 0);
  wanted = g_strdup_printf ("ObjectType = Image\n"
                            "NDims = 4\n"
                            "BinaryData = True\n"
                            "BinaryDataByteOrderMSB = False\n"
                            "CompressedData = True\n"
                            "CompressedDataSize = %d\n"
                            "TransformMatrix = 0 1 0 0 0 0 1 0 -1 0 0 0 0 0 0 1\n"
                            "Offset = -10.1 20 30 0\n"
                            "CenterOfRotation = 0 0 0 0\n"
                            "AnatomicalOrientation = AIL\n"
                            "ElementSpacing = 0.5 1 2.5 1\n"
                            "DimSize = 4 3 2 2\n"
                            "ElementType = MET_SHORT\n"
                            "ElementDataFile = w.zraw\n",
                            (int)info.st_size);
  g_assert_cmpstr (two, ==, wanted);
  g_assert_nonnull (strstr (one, "\nElementDataFile = LOCAL\n"));
  g_assert_cmpint (g_stat (mha, &info), ==, 0);
  g_assert_cmpint (strtol (strstr (one, "DataSize =") + 10, NULL, 10), ==, info.st_size - (goffset)strlen (one));
}

/* A header is kept, letter for letter where it is still true; who the patient is never. */
static void
test_kept (void)
{
  static const char text[] = "ObjectType = Image\nNDims = 2\nBinaryData = True\nModality = MET_MOD_CT\n"
                             "Rotation = 1.0 0 0 1.00\nPosition = 0.10 -2e1\nElementSize = 3 4\n"
                             "0010|0010 = Somebody^Known\nPatientID = 12345\n0008|0060 = CT\nComment = a = b : c\n"
                             "DimSize = 2 3\nElementNumberOfChannels = 2\nElementType = MET_UCHAR\n"
                             "ElementDataFile = LOCAL\n0123456789ab";
  g_autofree char *in = in_folder ("k.mha"), *out = in_folder ("k2.mha"), *kept = NULL, *label_header = NULL;
  g_autoptr (TessVolume) volume = NULL, again = NULL, label = NULL, moved = NULL;
  TessAffine affine;

  put_text (in, text);
  volume = load (in);
  save (volume, out);
  kept = header_of (out);
  g_assert_cmpstr (kept, ==,
                   "ObjectType = Image\nNDims = 2\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
                   "CompressedData = False\nModality = MET_MOD_CT\nRotation = 1.0 0 0 1.00\nPosition = 0.10 -2e1\n"
                   "ElementSize = 3 4\n0008|0060 = CT\nComment = a = b : c\nDimSize = 2 3\n"
                   "ElementNumberOfChannels = 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n");
  again = load (out);
  check_same (volume, again, 0, "kept");

  /* labels of one channel with the scan's header, as segmenting makes them */
  label = tess_volume_new (TESS_DTYPE_U8, tess_volume_dim (volume), 1, tess_volume_affine (volume), NULL);
  tess_volume_set_intent (label, TESS_INTENT_LABEL);
  tess_volume_set_source_header (label, "metaimage", tess_volume_peek_source_header (volume, "metaimage"));
  save (label, out);
  label_header = header_of (out);
  g_assert_nonnull (strstr (label_header, "\nRotation = 1.0 0 0 1.00\nPosition = 0.10 -2e1\nElementSize = 3 4\n"));
  g_assert_null (strstr (label_header, "ElementNumberOfChannels"));
  g_assert_nonnull (strstr (label_header, "CompressedData = True"));

  /* elsewhere in space */
  affine = *tess_volume_affine (volume);
  affine.m[0][3] += 1;
  moved = tess_volume_new (TESS_DTYPE_U8, tess_volume_dim (volume), 2, &affine, NULL);
  tess_volume_set_source_header (moved, "metaimage", tess_volume_peek_source_header (volume, "metaimage"));
  save (moved, out);
  g_clear_pointer (&again, tess_volume_unref);
  again = load (out);
  check_same (moved, again, 1e-12, "moved");
}

/* MetaImage has no scaling: what is written are the values themselves. */
static void
test_scaling (void)
{
  static const struct {
    TessDType dtype;
    double slope, intercept;
    TessDType wanted;
  } cases[] = {
      {TESS_DTYPE_U8, 1, -1024, TESS_DTYPE_I16}, {TESS_DTYPE_I16, 2, 0, TESS_DTYPE_U16},
      {TESS_DTYPE_U8, 1000, -1, TESS_DTYPE_I32}, {TESS_DTYPE_U8, 0.5, 0, TESS_DTYPE_F32},
      {TESS_DTYPE_I32, 0.1, 0, TESS_DTYPE_F64},  {TESS_DTYPE_F64, 2, 0, TESS_DTYPE_F64},
      {TESS_DTYPE_U8, 1e300, 0, TESS_DTYPE_F64}, {TESS_DTYPE_U8, 1, 0, TESS_DTYPE_U8},
      {TESS_DTYPE_F16, 1, 0, TESS_DTYPE_F32},
  };
  g_autofree char *path = in_folder ("s.mha");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TessVolume) volume = make_volume (cases[i].dtype, 2, 7), again = NULL;

    tess_volume_set_scaling (volume, cases[i].slope, cases[i].intercept);
    save (volume, path);
    again = load (path);
    check_same (volume, again, 1e-12, "scaled");
    g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (again)), ==, tess_dtype_name (cases[i].wanted));
  }
}

static void
test_real_round_trips (void)
{
  static const char *const names[] = {"nifti/dtype/5D_small.nii",    "nifti/dtype/example_nifti2.nii.gz",
                                      "nifti/affine/shear.nii.gz",   "nifti/4d/no_ties.nii.gz",
                                      "nifti/dtype/low_res.nii.gz",  "metaimage/ramps/img_rgb8_peppers.mhd",
                                      "metaimage/silv/test_001.mha", "metaimage/fixed.mhd"};
  static const char *const ways[] = {"r.mha", "r.mhd", "r.nii"};
  const char *root = check_shared_data ();

  for (guint i = 0; root && i < G_N_ELEMENTS (names); i++)
    for (guint k = 0; k < G_N_ELEMENTS (ways); k++) {
      g_autofree char *path = g_build_filename (root, names[i], NULL), *out = in_folder (ways[k]);
      g_autoptr (TessVolume) volume = load (path), again = NULL;
      gboolean rounded = i == 0 || i == 2; /* slopes like 0.00276: the values are rounded to float32 */

      save (volume, out);
      again = load (out);
      if (!rounded || k == 2)
        check_same (volume, again, 1e-4, names[i]);
      for (gint64 c = 0; c < tess_volume_n_channels (volume); c++)
        g_assert_cmpfloat ((float)tess_volume_value (volume, 0, 1, 0, c), ==,
                           (float)tess_volume_value (again, 0, 1, 0, c));
    }
}

/* A stray .raw beside is not ours to overwrite; our own is. */
static void
test_two_files (void)
{
  g_autofree char *mhd = in_folder ("d.mhd"), *zraw = in_folder ("d.zraw"), *bad = in_folder ("d%d.mhd"), *text = NULL;
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_I16, 1, 1), again = NULL;
  g_autoptr (GError) error = NULL;

  put_text (zraw, "somebody's");
  g_assert_false (tess_volume_save (volume, mhd, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
  g_assert_nonnull (strstr (error->message, "d.zraw"));
  g_assert_true (g_file_get_contents (zraw, &text, NULL, NULL));
  g_assert_cmpstr (text, ==, "somebody's");
  g_assert_false (g_file_test (mhd, G_FILE_TEST_EXISTS));
  g_unlink (zraw);
  save (volume, mhd);
  save (volume, mhd);
  again = load (mhd);
  check_same (volume, again, 0, "twice");
  g_clear_error (&error);
  g_assert_false (tess_volume_save (volume, bad, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

static void
live_cb (TessVolume *volume, gpointer data)
{
  gint64 *last = data, now = tess_volume_watermark (volume);
  const guint16 *voxels = tess_volume_data (volume);
  gsize slice = (gsize)(tess_volume_dim (volume)[0] * tess_volume_dim (volume)[1]);

  g_assert_cmpint (now, >, *last);
  for (gsize i = (gsize)*last * slice; i < (gsize)now * slice; i += 17)
    g_assert_cmpuint (voxels[i], ==, (guint16)(i * 31));
  *last = now;
}

/* Numbers side by side in the file: slices of the first channel are seen as they come, the others at the end. */
static void
test_live (void)
{
  static const gint64 dim[3] = {200, 150, 100};
  static const char start[] = "NDims = 3\nDimSize = 1 1 1\nElementNumberOfChannels = 3\nElementType = MET_USHORT\n"
                              "ElementDataFile = LOCAL\nabcdef";
  g_autofree char *path = in_folder ("live.mha"), *small = in_folder ("small.mha");
  g_autoptr (TessVolume) one = NULL, volume = NULL, again = NULL;
  gint64 last = 0;
  guint16 *data;
  TessAffine affine = tess_affine_identity ();

  put_text (small, start);
  one = load (small);
  volume = tess_volume_new (TESS_DTYPE_U16, dim, 3, &affine, NULL);
  data = tess_volume_data_mut (volume);
  for (gsize i = 0; i < 9000000; i++)
    data[i] = (guint16)(i * 31);
  {
    g_autofree char *text =
        g_strdup_printf ("NDims = 3\nDimSize = 200 150 100\nTransformMatrix = -1 0 0 0 -1 0 0 0 1\n"
                         "ElementNumberOfChannels = 3\nElementType = MET_USHORT\nElementDataFile = x\n");
    g_autoptr (GBytes) header = g_bytes_new (text, strlen (text));

    tess_volume_set_source_header (volume, "metaimage", header);
  }
  save (volume, path);
  again = tess_volume_load_live (path, NULL, live_cb, &last, NULL);
  g_assert_nonnull (again);
  g_assert_cmpint (last, ==, 300);
  check_same (volume, again, 0, "live");
}

int
main (int argc, char **argv)
{
  int result;

  g_test_init (&argc, &argv, NULL);
  folder = nifti_fixture_folder ();
  g_test_add_func ("/formats/metaimage/real-files", test_real_files);
  g_test_add_func ("/formats/metaimage/headers", test_headers);
  g_test_add_func ("/formats/metaimage/beyond-itk", test_beyond_itk);
  g_test_add_func ("/formats/metaimage/types", test_types);
  g_test_add_func ("/formats/metaimage/written", test_written);
  g_test_add_func ("/formats/metaimage/kept", test_kept);
  g_test_add_func ("/formats/metaimage/scaling", test_scaling);
  g_test_add_func ("/formats/metaimage/real-round-trips", test_real_round_trips);
  g_test_add_func ("/formats/metaimage/two-files", test_two_files);
  g_test_add_func ("/formats/metaimage/live", test_live);
  result = g_test_run ();
  remove_tree (folder);
  return result;
}
