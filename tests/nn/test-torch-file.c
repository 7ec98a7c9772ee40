/* PyTorch's files against torch.load (tests/reference/torch_file.py), what is damaged or hostile, and our own. */
#include "tess-torch-file.h"

#include "tess-json.h"
#include "tess-zip.h"

#include <glib/gstdio.h>
#include <string.h>

static char *folder;

static char *
reference (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "reference", name, NULL);
}

static void
compare_tensor (TessTorchFile *file, guint i, JsonObject *o)
{
  const TessTorchTensor *t = tess_torch_file_nth (file, i);
  const char *dtype = json_object_get_string_member (o, "dtype");
  JsonArray *shape = json_object_get_array_member (o, "shape");
  g_autofree float *data = g_new (float, t->n + 1);
  g_autofree char *sum = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_cmpstr (t->name, ==, json_object_get_string_member (o, "name"));
  g_assert_true (tess_torch_file_find (file, t->name) == t);
  g_assert_cmpstr (tess_dtype_name (t->dtype), ==, strcmp (dtype, "bool") == 0 ? "uint8" : dtype);
  g_assert_cmpuint (t->n_dims, ==, json_array_get_length (shape));
  for (guint a = 0; a < t->n_dims; a++)
    g_assert_cmpint (t->dim[a], ==, json_array_get_int_element (shape, a));
  g_assert_true (tess_torch_file_read_f32 (file, t, data, t->n, &error));
  g_assert_no_error (error);
  sum = g_compute_checksum_for_data (G_CHECKSUM_SHA256, (const guchar *)data, t->n * sizeof (float));
  if (strcmp (sum, json_object_get_string_member (o, "sha256")) != 0)
    g_error ("%s: the numbers of \"%s\" are not torch's", tess_torch_file_path (file), t->name);
}

static void
test_reference (gconstpointer which)
{
  gboolean real = strcmp (which, "models") == 0;
  g_autofree char *json = reference ("torch_file.json");
  g_autofree char *models = g_build_filename (g_getenv ("TESSERA_SHARED_DATA"), "models", NULL);
  g_autoptr (JsonNode) root = tess_json_load (json, NULL);
  JsonArray *files = json_node_get_array (root);
  guint n_files = 0;

  if (real && !g_file_test (models, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of test data is not here");
    return;
  }
  for (guint i = 0; i < json_array_get_length (files); i++) {
    JsonObject *o = json_array_get_object_element (files, i);
    JsonArray *tensors = json_object_get_array_member (o, "tensors");
    const char *name = json_object_get_string_member (o, "file");
    g_autofree char *path = real ? g_build_filename (models, name, NULL) : reference (name);
    g_autoptr (TessTorchFile) file = NULL;
    g_autoptr (GError) error = NULL;

    if (strcmp (json_object_get_string_member (o, "folder"), which) != 0)
      continue;
    n_files++;
    file = tess_torch_file_open (path, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (tess_torch_file_n (file), ==, json_array_get_length (tensors));
    for (guint k = 0; k < tess_torch_file_n (file); k++)
      compare_tensor (file, k, json_array_get_object_element (tensors, k));
    g_assert_null (tess_torch_file_find (file, "nothing"));
  }
  g_assert_cmpuint (n_files, ==, real ? 2 : 5);
}

/* What a checkpoint of nnU-Net holds besides. */
static void
test_values (void)
{
  g_autofree char *path = reference ("torch_checkpoint.pth");
  g_autoptr (GError) error = NULL;
  g_autoptr (TessTorchFile) file = tess_torch_file_open (path, &error);
  const TessPickleValue *args, *axes;
  gint64 value;

  g_assert_no_error (error);
  args = tess_torch_file_value (file, "init_args");
  axes = tess_torch_file_value (file, "inference_allowed_mirroring_axes");
  g_assert_true (tess_pickle_is_text (tess_torch_file_value (file, "trainer_name"), "nnUNetTrainer"));
  g_assert_true (tess_pickle_is_text (tess_pickle_lookup (args, "configuration"), "3d_fullres"));
  g_assert_true (
      tess_pickle_is_text (tess_pickle_lookup (tess_pickle_lookup (args, "plans"), "dataset_name"), "Dataset777_Made"));
  g_assert_cmpuint (tess_pickle_n (axes), ==, 3);
  g_assert_true (tess_pickle_int (tess_pickle_nth (axes, 2), &value));
  g_assert_cmpint (value, ==, 2);
  g_assert_true (tess_pickle_int (tess_torch_file_value (file, "current_epoch"), &value));
  g_assert_cmpint (value, ==, 2);
  g_assert_null (tess_torch_file_value (file, "nothing"));
}

static void
refused (const char *path, TessError code, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessTorchFile) file = tess_torch_file_open (path, &error);

  g_assert_null (file);
  if (!g_error_matches (error, TESS_ERROR, (int)code) || !strstr (error->message, words) ||
      !g_str_has_prefix (error->message, path))
    g_error ("\"%s\" is not the error %d with \"%s\"", error->message, (int)code, words);
}

static char *
put (const char *name, const void *bytes, gsize n)
{
  char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents_full (path, bytes, (gssize)n, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
  return path;
}

static void
test_other_files (void)
{
  g_autofree char *legacy = reference ("torch_legacy.pth"), *missing = g_build_filename (folder, "missing.pth", NULL);
  g_autofree char *text = put ("text.pth", "PKnothing of this is a zip archive", 34), *none = put ("none.pth", "", 0);
  g_autofree char *json = reference ("torch_file.json");
  char tar[512] = "pickle";
  g_autofree char *old = NULL;

  memcpy (tar + 257, "ustar", 5);
  old = put ("old.pth", tar, sizeof tar);
  refused (legacy, TESS_ERROR_UNSUPPORTED, "before version 1.6");
  refused (old, TESS_ERROR_UNSUPPORTED, "before version 1.6");
  refused (missing, TESS_ERROR_IO, "");
  refused (text, TESS_ERROR_FORMAT, "");
  refused (none, TESS_ERROR_FORMAT, "no file of PyTorch");
  refused (json, TESS_ERROR_FORMAT, "no file of PyTorch");
  refused (folder, TESS_ERROR_IO, "");
}

/* An archive of data.pkl and one storage of 12 floats, 0 to 11; `member` besides. */
static char *
make (const char *pickle, gsize n, const char *member, const char *contents)
{
  char *path = g_build_filename (folder, "made.pth", NULL);
  g_autoptr (TessZipWriter) zip = tess_zip_writer_new (path, NULL);
  float storage[12];

  for (guint i = 0; i < 12; i++)
    storage[i] = (float)i;
  g_assert_true (tess_atomic_file_write (tess_zip_writer_begin (zip, "a/data.pkl", FALSE, NULL), pickle, n, NULL));
  g_assert_true (tess_zip_writer_end (zip, NULL));
  g_assert_true (tess_atomic_file_write (tess_zip_writer_begin (zip, "a/data/0", FALSE, NULL), storage, 48, NULL));
  g_assert_true (tess_zip_writer_end (zip, NULL));
  if (member) {
    TessAtomicFile *file = tess_zip_writer_begin (zip, member, FALSE, NULL);

    g_assert_true (tess_atomic_file_write (file, contents, strlen (contents), NULL));
    g_assert_true (tess_zip_writer_end (zip, NULL));
  }
  g_assert_true (tess_zip_writer_commit (zip, NULL));
  return path;
}

/* One tensor in the text protocol of pickles: storage type, key and elements, offset, sizes and strides ("I3\n"...). */
static char *
make_tensor (const char *type, const char *key, const char *n, const char *offset, const char *size, const char *stride)
{
  g_autofree char *pickle =
      g_strdup_printf ("(Vw\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\n%s\nV%s\nVcpu\nI%s\ntQ"
                       "I%s\n(%st(%stI00\nccollections\nOrderedDict\n(tRtRd.",
                       type, key, n, offset, size, stride);

  return make (pickle, strlen (pickle), NULL, NULL);
}

static void
test_extent (void)
{
  static const struct {
    const char *type, *key, *n, *offset, *size, *stride;
    gboolean fits;
  } cases[] = {
      {"ctorch\nFloatStorage", "0", "12", "0", "I3\nI4\n", "I4\nI1\n", TRUE},
      {"ctorch\nFloatStorage", "0", "12", "11", "", "", TRUE},
      {"ctorch\nFloatStorage", "0", "12", "12", "", "", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "-1", "", "", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "1", "I3\nI4\n", "I4\nI1\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I3\nI4\n", "I5\nI1\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I3\n", "I-1\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I-3\n", "I1\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I3\nI4\n", "I4\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I13\n", "I0\n", FALSE}, /* repeats an element */
      {"ctorch\nFloatStorage", "0", "12", "0", "I4611686018427387904\nI4611686018427387904\n", "I0\nI0\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I2\n", "I9223372036854775807\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "9223372036854775807", "I2\n", "I9223372036854775807\n", FALSE},
      {"ctorch\nFloatStorage", "0", "13", "0", "I1\n", "I1\n", FALSE},                  /* more than its bytes */
      {"ctorch\nFloatStorage", "0", "4611686018427387904", "0", "I1\n", "I1\n", FALSE}, /* times 4 overflows */
      {"ctorch\nDoubleStorage", "0", "6", "0", "I6\n", "I1\n", TRUE},
      {"ctorch\nDoubleStorage", "0", "7", "0", "I7\n", "I1\n", FALSE},
      {"ctorch\nFloatStorage", "1", "12", "0", "I1\n", "I1\n", FALSE}, /* no such member */
      {"ctorch\nfloat32", "0", "12", "0", "I1\n", "I1\n", FALSE},      /* no storage */
      {"ctorch\nFloatStorage", "0", "-1", "0", "I0\n", "I1\n", FALSE},
      {"ctorch\nFloatStorage", "0", "12", "0", "I0\nI9223372036854775807\n", "I1\nI1\n", TRUE}, /* empty */
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path =
        make_tensor (cases[i].type, cases[i].key, cases[i].n, cases[i].offset, cases[i].size, cases[i].stride);

    if (cases[i].fits) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TessTorchFile) file = tess_torch_file_open (path, &error);
      const TessTorchTensor *t;
      float out[12];

      g_assert_no_error (error);
      t = tess_torch_file_find (file, "w");
      g_assert_true (tess_torch_file_read_f32 (file, t, out, t->n, &error));
    } else {
      refused (path, TESS_ERROR_FORMAT, "");
    }
  }
}

static void
test_hostile (void)
{
  static const struct {
    const char *pickle;
    TessError code;
    const char *words;
  } cases[] = {
      {"cos\nsystem\n(Vecho\ntR.", TESS_ERROR_UNSUPPORTED, "os.system"},
      {"(Vmodel\nc__main__\nNet\n)\x81"
       "d.",
       TESS_ERROR_UNSUPPORTED, "__main__.Net"},
      {"ctorch._utils\n_rebuild_tensor_v3\n(tR.", TESS_ERROR_UNSUPPORTED, "torch._utils._rebuild_tensor_v3"},
      {"(d.", TESS_ERROR_FORMAT, "no tensors by name"},
      {"(Vw\nI3\nd.", TESS_ERROR_FORMAT, "no tensors by name"},
      {"ctorch._utils\n_rebuild_tensor_v2\n(tR.", TESS_ERROR_FORMAT, "no tensors by name"},
      {"(Vw\nctorch._utils\n_rebuild_tensor_v2\n(tRd.", TESS_ERROR_FORMAT, "\"w\""},
      {"(I1\nctorch._utils\n_rebuild_tensor_v2\n(tRd.", TESS_ERROR_FORMAT, "no name"},
      {"(Vw\nctorch._utils\n_rebuild_parameter\n(tRd.", TESS_ERROR_FORMAT, "no tensors by name"},
      {"(Velsewhere\nI1\ntQ.", TESS_ERROR_FORMAT, "no tensor's storage"},
      {"(d", TESS_ERROR_FORMAT, "incomplete"},
      {"", TESS_ERROR_FORMAT, "incomplete"},
  };
  g_autofree char *twice = NULL;
  g_autofree char *script = NULL;
  g_autofree char *order = NULL;
  const char *one =
      "ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI12\ntQI0\n(t(tI00\n"
      "NtR";
  g_autofree char *pickle = g_strdup_printf ("(Va\n%sVa\n%sd.", one, one);
  g_autofree char *fine = g_strdup_printf ("(Va\n%sd.", one);

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = make (cases[i].pickle, strlen (cases[i].pickle), NULL, NULL);

    refused (path, cases[i].code, cases[i].words);
  }
  twice = make (pickle, strlen (pickle), NULL, NULL);
  refused (twice, TESS_ERROR_FORMAT, "two tensors named \"a\"");
  script = make (fine, strlen (fine), "a/constants.pkl", "x");
  refused (script, TESS_ERROR_UNSUPPORTED, "TorchScript");
  order = make (fine, strlen (fine), "a/byteorder", "middle");
  refused (order, TESS_ERROR_FORMAT, "byteorder");
}

/* Every seventh byte of a small file changed, and the file cut: refused or read, never more. */
static void
test_damage (void)
{
  g_autofree char *path = reference ("torch_kinds.pth");
  g_autofree char *bytes = NULL;
  guint n_refused = 0, n_bad = 0;
  gsize n;

  g_assert_true (g_file_get_contents (path, &bytes, &n, NULL));
  for (gsize i = 0; i < 2 * n; i += i < n ? 7 : 61) {
    g_autofree char *copy = g_memdup2 (bytes, n);
    g_autofree char *damaged = NULL;
    g_autoptr (TessTorchFile) file = NULL;
    g_autoptr (GError) error = NULL;

    if (i < n)
      copy[i] = (char)~copy[i];
    damaged = put ("damaged.pth", copy, i < n ? n : i - n);
    file = tess_torch_file_open (damaged, &error);
    g_assert_true ((file == NULL) == (error != NULL));
    n_refused += file == NULL;
    for (guint k = 0; file && k < tess_torch_file_n (file); k++) {
      const TessTorchTensor *t = tess_torch_file_nth (file, k);
      g_autofree float *data = g_new (float, t->n + 1);

      g_clear_error (&error);
      n_bad += !tess_torch_file_read_f32 (file, t, data, t->n, &error);
      g_assert_true (error == NULL || error->domain == TESS_ERROR);
    }
  }
  g_test_message ("%u files refused, %u tensors", n_refused, n_bad);
  g_assert_cmpuint (n_refused, >, 100);
  g_assert_cmpuint (n_bad, >, 5); /* the storages' checksums */
}

static void
test_round_trip (void)
{
  g_autofree char *path = g_build_filename (folder, "out.pth", NULL);
  g_autoptr (TessTorchWriter) writer = tess_torch_writer_new ();
  g_autoptr (TessTorchFile) file = NULL;
  g_autoptr (GError) error = NULL;
  const float data[6] = {1, -2, 3.5f, 1e30f, -0.0f, 7}, scalar = 9;
  const gint64 dim[2] = {2, 3}, none[2] = {0, 4};
  const TessTorchTensor *t;
  float out[6];

  tess_torch_writer_add (writer, "encoder.b.conv.weight", 2, dim, data);
  tess_torch_writer_alias (writer, "encoder.b.all_modules.0.weight", "encoder.b.conv.weight");
  tess_torch_writer_add (writer, "간", 0, NULL, &scalar);
  tess_torch_writer_alias (writer, "decoder.encoder.b.all_modules.0.weight", "encoder.b.conv.weight");
  tess_torch_writer_alias (writer, "other", "encoder.b.conv.weight");
  tess_torch_writer_add (writer, "empty", 2, none, NULL);
  g_assert_true (tess_torch_writer_save (writer, path, &error));
  g_assert_no_error (error);

  file = tess_torch_file_open (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_torch_file_n (file), ==, 4); /* without second names */
  t = tess_torch_file_find (file, "other");
  g_assert_cmpuint (t->member, ==, tess_torch_file_find (file, "encoder.b.conv.weight")->member);
  g_assert_cmpuint (t->n_dims, ==, 2);
  g_assert_cmpint (t->dim[0], ==, 2);
  g_assert_cmpint (t->stride[0], ==, 3);
  g_assert_true (tess_torch_file_read (file, t, out, 6, &error));
  g_assert_cmpmem (out, sizeof out, data, sizeof data);
  t = tess_torch_file_find (file, "간");
  g_assert_cmpuint (t->n_dims, ==, 0);
  g_assert_true (tess_torch_file_read_f32 (file, t, out, 1, &error));
  g_assert_true (out[0] == scalar);
  t = tess_torch_file_find (file, "empty");
  g_assert_cmpuint (t->n, ==, 0);
  g_assert_true (tess_torch_file_read_f32 (file, t, out, 0, &error));
  g_assert_false (tess_torch_writer_save (writer, "/nonexistent/out.pth", &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_IO);
}

int
main (int argc, char **argv)
{
  static const char *const files[] = {"missing.pth", "text.pth", "none.pth",   "old.pth",
                                      "made.pth",    "out.pth",  "damaged.pth"};
  int code;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-torch-XXXXXX", NULL);
  g_test_add_data_func ("/torch-file/reference", "reference", test_reference);
  g_test_add_data_func ("/torch-file/real", "models", test_reference);
  g_test_add_func ("/torch-file/values", test_values);
  g_test_add_func ("/torch-file/other-files", test_other_files);
  g_test_add_func ("/torch-file/extent", test_extent);
  g_test_add_func ("/torch-file/hostile", test_hostile);
  g_test_add_func ("/torch-file/damage", test_damage);
  g_test_add_func ("/torch-file/round-trip", test_round_trip);
  code = g_test_run ();
  for (guint i = 0; i < G_N_ELEMENTS (files); i++) {
    g_autofree char *path = g_build_filename (folder, files[i], NULL);

    g_remove (path);
  }
  g_rmdir (folder);
  g_free (folder);
  return code;
}
