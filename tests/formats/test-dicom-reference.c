/* Real DICOM files against pydicom, its decoders and dcmqi (tests/reference/dicom.py); planted defects as the data's
 * notes describe them. */
#include "tess-format-registry.h"
#include "tess-json.h"

#include <math.h>
#include <string.h>

static const char *
data_folder (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *dicom = root ? g_build_filename (root, "dicom", NULL) : NULL;

  if (dicom && g_file_test (dicom, G_FILE_TEST_IS_DIR))
    return root;
  g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
  return NULL;
}

static JsonObject *
load_reference (JsonNode **keep)
{
  g_autoptr (GError) error = NULL;

  *keep = tess_json_load (g_test_get_filename (G_TEST_DIST, "reference", "dicom.json", NULL), &error);
  g_assert_no_error (error);
  return json_node_get_object (*keep);
}

/* SHA-1 of the stored values as little-endian int32, or float32. */
static char *
checksum (TessVolume *volume)
{
  g_autoptr (GChecksum) sum = g_checksum_new (G_CHECKSUM_SHA1);
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  const void *data = tess_volume_data (volume);
  g_autofree gint32 *values = g_new (gint32, n);

  if (!tess_dtype_is_integer (tess_volume_dtype (volume))) {
    g_checksum_update (sum, data, (gssize)tess_volume_n_bytes (volume));
    return g_strdup (g_checksum_get_string (sum));
  }
  for (gsize i = 0; i < n; i++)
    switch (tess_volume_dtype (volume)) {
    case TESS_DTYPE_U8:
      values[i] = ((const guint8 *)data)[i];
      break;
    case TESS_DTYPE_U16:
      values[i] = ((const guint16 *)data)[i];
      break;
    case TESS_DTYPE_I16:
      values[i] = ((const gint16 *)data)[i];
      break;
    default:
      g_assert_not_reached ();
    }
  g_checksum_update (sum, (const guchar *)values, (gssize)(n * 4));
  return g_strdup (g_checksum_get_string (sum));
}

static double
mean_stored (TessVolume *volume)
{
  gsize n = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  g_autofree double *values = g_new (double, n);
  double sum = 0;

  tess_volume_values_f64 (volume, 0, n, values);
  for (gsize i = 0; i < n; i++)
    sum += (values[i] - tess_volume_intercept (volume)) / tess_volume_slope (volume);
  return sum / (double)n;
}

static void
compare (JsonObject *o, TessVolume *volume, const char *path)
{
  JsonArray *dims = json_object_get_array_member (o, "dims"), *affine = json_object_get_array_member (o, "affine");
  JsonArray *words = json_object_get_array_member (o, "warnings");
  const char *dtype = json_object_get_string_member (o, "dtype"), *sha1 = json_object_get_string_member (o, "sha1");
  g_autofree char *sum = checksum (volume);
  g_autofree char *warnings = g_strjoinv ("\n", (char **)tess_volume_warnings (volume));

  for (guint k = 0; k < 3; k++)
    g_assert_cmpint (tess_volume_dim (volume)[k], ==, json_array_get_int_element (dims, k));
  g_assert_cmpint (tess_volume_n_channels (volume), ==, json_object_get_int_member (o, "channels"));
  g_assert_cmpstr (tess_dtype_name (tess_volume_dtype (volume)), ==, strcmp (dtype, ">i2") ? dtype : "int16");
  g_assert_cmpfloat_with_epsilon (tess_volume_slope (volume), json_object_get_double_member (o, "slope"), 1e-12);
  g_assert_cmpfloat_with_epsilon (tess_volume_intercept (volume), json_object_get_double_member (o, "intercept"),
                                  1e-12);
  for (guint k = 0; k < 12; k++)
    g_assert_cmpfloat_with_epsilon (tess_volume_affine (volume)->m[k / 4][k % 4],
                                    json_array_get_double_element (affine, k), 1e-5);
  if (*sha1 && strcmp (sum, sha1) != 0)
    g_error ("%s: the voxels are not those pydicom reads", path);
  if (!*sha1 && fabs (mean_stored (volume) - json_object_get_double_member (o, "mean")) >
                    json_object_get_double_member (o, "tolerance"))
    g_error ("%s: the mean is %.3f", path, mean_stored (volume));
  for (guint i = 0; i < json_array_get_length (words); i++)
    if (!strstr (warnings, json_array_get_string_element (words, i)))
      g_error ("%s: no warning says \"%s\" but: %s", path, json_array_get_string_element (words, i), warnings);
}

static void
test_real_files (void)
{
  const char *root = data_folder ();
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *cases = json_object_get_array_member (load_reference (&keep), "cases");

  if (!root)
    return;
  for (guint i = 0; i < json_array_get_length (cases); i++) {
    JsonObject *o = json_array_get_object_element (cases, i);
    g_autofree char *path = g_build_filename (root, json_object_get_string_member (o, "path"), NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);

    if (error)
      g_error ("%s", error->message);
    g_test_message ("%s", path);
    compare (o, volume, path);
  }
  g_assert_cmpuint (json_array_get_length (cases), >, 40);
}

/* What is no volume, each with the words that say why. */
static void
test_refusals (void)
{
  static const struct {
    const char *path, *words;
    TessError code;
  } cases[] = {
      {"dicom/ct_all_same_position", "all lie at one position", TESS_ERROR_FORMAT},
      {"dicom/pydicom/MR_truncated.dcm", "ends too early", TESS_ERROR_FORMAT},
      {"dicom/pydicom/HTJ2KLossless_08_RGB.dcm", "1.2.840.10008.1.2.4.201", TESS_ERROR_UNSUPPORTED},
      {"dicom/pydicom/UN_sequence.dcm", "holds no picture", TESS_ERROR_UNSUPPORTED},
      {"dicom/pydicom/no_meta.dcm", "not a DICOM file", TESS_ERROR_FORMAT},
      {"dicom/transfer_syntax_ct/no-pixel-data.dcm", "holds no picture", TESS_ERROR_UNSUPPORTED},
      {"dicom/dicomdir", "::", TESS_ERROR_FORMAT},
      {"dicom/dicomdir::1.2.3", "there is no 1.2.3", TESS_ERROR_FORMAT},
      {"hippocampus", "this is a folder", TESS_ERROR_IO},
  };
  const char *root = data_folder ();

  for (gsize i = 0; root && i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_build_filename (root, cases[i].path, NULL);
    g_autoptr (GError) error = NULL;

    g_assert_null (tess_volume_load (path, NULL, &error));
    g_assert_error (error, TESS_ERROR, (int)cases[i].code);
    g_assert_null (strchr (error->message, '\n'));
    if (!strstr (error->message, cases[i].words) || !g_str_has_prefix (error->message, root))
      g_error ("%s: said \"%s\"", path, error->message);
  }
}

/* A tree of folders with three patients: the series are pydicom's, by folder and by DICOMDIR; no word of patients. */
static void
test_study (void)
{
  static const char *const places[] = {"dicom/dicomdir", "dicom/dicomdir/DICOMDIR"};
  const char *root = data_folder ();
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *series =
      json_object_get_array_member (json_object_get_object_member (load_reference (&keep), "study"), "series");

  for (gsize p = 0; root && p < G_N_ELEMENTS (places); p++) {
    g_autofree char *path = g_build_filename (root, places[p], NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (GPtrArray) entries = tess_volume_entries (path, &error);
    g_autoptr (GHashTable) found = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

    g_assert_no_error (error);
    for (guint i = 0; i < entries->len; i++) {
      TessVolumeEntry *entry = g_ptr_array_index (entries, i);
      char **parts = g_strsplit (entry->id, "/", 2);

      g_hash_table_add (found, g_strdup (parts[0]));
      g_strfreev (parts);
      g_assert_cmpint (entry->dim[0], ==, 16);
      g_assert_nonnull (entry->description);
      g_assert_null (strstr (entry->description, "Doe"));
      g_assert_null (strstr (entry->description, "77654033"));
    }
    g_assert_cmpuint (g_hash_table_size (found), ==, json_array_get_length (series));
    for (guint i = 0; i < json_array_get_length (series); i++)
      g_assert_true (g_hash_table_contains (found, json_array_get_string_element (series, i)));
  }
}

/* Voxels of each segment, over all channels, and names. */
static void
test_segmentations (void)
{
  const char *root = data_folder ();
  g_autoptr (JsonNode) keep = NULL;
  JsonArray *list = json_object_get_array_member (load_reference (&keep), "segmentations");

  for (guint i = 0; root && i < json_array_get_length (list); i++) {
    JsonObject *o = json_array_get_object_element (list, i);
    JsonObject *counts = json_object_get_object_member (o, "counts"),
               *names = json_object_get_object_member (o, "names");
    g_autofree char *path = g_build_filename (root, json_object_get_string_member (o, "path"), NULL), *sum = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);
    gint64 found[256] = {0}, n;

    g_assert_no_error (error);
    g_assert_cmpint (tess_volume_intent (volume), ==, TESS_INTENT_LABEL);
    g_assert_cmpint (tess_volume_dtype (volume), ==, TESS_DTYPE_U8);
    n = tess_volume_n_voxels (volume) * tess_volume_n_channels (volume);
    for (gint64 k = 0; k < n; k++)
      found[((const guint8 *)tess_volume_data (volume))[k]]++;
    for (int k = 1; k < 256; k++) {
      g_autofree char *number = g_strdup_printf ("%d", k);
      const TessLabel *label = tess_label_table_find (tess_volume_peek_labels (volume), k);

      g_assert_cmpint (found[k], ==, json_object_get_int_member_with_default (counts, number, 0));
      g_assert_cmpstr (label ? label->name : NULL, ==,
                       json_object_get_string_member_with_default (names, number, NULL));
    }
    sum = checksum (volume);
    if (json_object_has_member (o, "voxels"))
      g_assert_true (strcmp (sum, json_object_get_string_member (o, "voxels")) == 0 ||
                     strcmp (sum, json_object_get_string_member (o, "flipped")) == 0);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  if (!g_file_test (g_getenv ("TESSERA_CODEC") ? g_getenv ("TESSERA_CODEC") : "", G_FILE_TEST_IS_EXECUTABLE)) {
    g_print ("1..0 # SKIP built without GDCM\n");
    return 0;
  }
  g_test_add_func ("/dicom/real-files", test_real_files);
  g_test_add_func ("/dicom/refusals", test_refusals);
  g_test_add_func ("/dicom/study", test_study);
  g_test_add_func ("/dicom/segmentations", test_segmentations);
  return g_test_run ();
}
