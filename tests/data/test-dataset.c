#include "tess-dataset.h"

#include "fixture.h"

#include <string.h>

static const char json_two[] = "{\"channel_names\": {\"0\": \"T1\", \"1\": \"T2\"}, \"labels\": {\"background\": 0, "
                               "\"edema\": 1, \"core\": 2}, \"numTraining\": 99, \"file_ending\": \".nii.gz\"}";
static const char json_one[] = "{\"modality\": {\"0\": \"CT\"}, \"labels\": {\"0\": \"background\", \"2\": \"b\", "
                               "\"1\": \"a\"}}";

static TessDataset *
open_ok (const char *root)
{
  GError *error = NULL;
  TessDataset *dataset = tess_dataset_open (root, NULL, &error);

  g_assert_no_error (error);
  g_assert_nonnull (dataset);
  return dataset;
}

/* The error names `file` and says `says`, in one line. */
static void
open_fails (const char *root, int code, const char *file, const char *says)
{
  GError *error = NULL;

  g_assert_null (tess_dataset_open (root, NULL, &error));
  g_assert_error (error, TESS_ERROR, code);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, file));
  g_assert_nonnull (strstr (error->message, says));
  g_assert_null (strchr (error->message, '\n'));
  g_assert_true (g_utf8_validate (error->message, -1, NULL));
  g_error_free (error);
}

static void
write_pair (const char *root, const char *id, guint n_channels)
{
  g_autofree char *label = g_strdup_printf ("labelsTr/%s.nii.gz", id);

  write_volume (root, label, LABEL_FILL);
  for (guint c = 0; c < n_channels; c++) {
    g_autofree char *image = g_strdup_printf ("imagesTr/%s_%04u.nii.gz", id, c);

    write_volume (root, image, IMAGE_FILL);
  }
}

static void
remove_file (const char *root, const char *name)
{
  g_autofree char *path = g_build_filename (root, name, NULL);

  g_assert_cmpint (g_unlink (path), ==, 0);
}

static void
test_nnunet (void)
{
  g_autofree char *root = make_root ();
  g_autoptr (TessDataset) dataset = NULL;
  g_autoptr (JsonNode) node = NULL;
  g_autofree char *identity = NULL;
  TessVolume *images[2];
  const TessCaseFiles *files;
  JsonObject *o;
  GError *error = NULL;

  write_text (root, "dataset.json", json_two);
  write_pair (root, "b_10", 2);
  write_pair (root, "b_9", 2);
  write_pair (root, "B_2", 2);
  write_text (root, "imagesTr/._b_9_0000.nii.gz", "left by macOS");
  write_text (root, "labelsTr/.DS_Store", "x");
  write_text (root, "imagesTr/notes.txt", "x");
  dataset = open_ok (root);
  g_assert_cmpstr (dataset->name, ==, "Dataset007_Test");
  g_assert_true (dataset->has_json);
  g_assert_cmpuint (dataset->n_channels, ==, 2);
  g_assert_cmpstr (dataset->channel_names[1], ==, "T2");
  g_assert_null (dataset->channel_names[2]);
  g_assert_cmpuint (dataset->n_labels, ==, 3);
  g_assert_cmpstr (dataset->label_names[2], ==, "core");
  g_assert_cmpuint (dataset->cases->len, ==, 3);
  g_assert_cmpstr (tess_dataset_case (dataset, 0)->id, ==, "B_2");
  g_assert_cmpstr (tess_dataset_case (dataset, 1)->id, ==, "b_10");
  g_assert_cmpstr (tess_dataset_case (dataset, 2)->id, ==, "b_9");
  files = tess_dataset_case (dataset, 1);
  g_assert_cmpuint (g_strv_length (files->image_paths), ==, 2);
  g_assert_true (g_str_has_suffix (files->image_paths[1], "imagesTr/b_10_0001.nii.gz"));
  g_assert_true (g_str_has_suffix (files->label_path, "labelsTr/b_10.nii.gz"));
  g_assert_true (tess_load_images (files->image_paths, 2, NULL, images, &error));
  g_assert_cmpfloat (tess_volume_value (images[1], 1, 0, 0, 0), ==, -43.0);
  tess_volume_unref (images[0]);
  tess_volume_unref (images[1]);

  node = tess_dataset_to_json (dataset);
  o = json_node_get_object (node);
  identity = tess_dataset_identity (dataset);
  g_assert_true (g_str_has_prefix (identity, "sha256:"));
  g_assert_cmpstr (json_object_get_string_member (o, "identity"), ==, identity);
  g_assert_cmpint (json_object_get_int_member (o, "numTraining"), ==, 3);
  g_assert_cmpint (json_object_get_int_member (json_object_get_object_member (o, "labels"), "edema"), ==, 1);
  g_assert_cmpstr (json_object_get_string_member (json_object_get_object_member (o, "channel_names"), "0"), ==, "T1");
  g_assert_cmpstr (json_object_get_string_member (o, "file_ending"), ==, ".nii.gz");
  g_assert_cmpuint (json_array_get_length (json_object_get_array_member (o, "cases")), ==, 3);
  remove_root (root);
}

/* What tells datasets apart: any name, and the ids. */
static void
test_identity (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *first = NULL, *again = NULL, *renamed = NULL, *replaced = NULL, *fewer = NULL;
  g_autoptr (TessDataset) a = NULL, b = NULL, c = NULL, d = NULL;

  write_text (root, "dataset.json", json_one);
  write_pair (root, "p1", 1);
  write_pair (root, "p2", 1);
  a = open_ok (root);
  b = open_ok (root);
  g_assert_cmpstr (a->channel_names[0], ==, "CT");
  g_assert_cmpstr (a->label_names[1], ==, "a");
  g_assert_cmpstr (a->label_names[2], ==, "b");
  write_text (root, "dataset.json",
              "{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": [1], \"c\": \"2\"}}");
  c = open_ok (root);
  g_assert_cmpstr (c->label_names[2], ==, "c");
  first = tess_dataset_identity (a);
  again = tess_dataset_identity (b);
  renamed = tess_dataset_identity (c);
  write_text (root, "imagesTr/p1_0000.nii.gz", "another scan");
  replaced = tess_dataset_identity (a);
  g_assert_cmpstr (first, !=, replaced);
  remove_file (root, "imagesTr/p2_0000.nii.gz");
  remove_file (root, "labelsTr/p2.nii.gz");
  d = open_ok (root);
  fewer = tess_dataset_identity (d);
  g_assert_cmpstr (first, ==, again);
  g_assert_cmpstr (first, !=, renamed);
  g_assert_cmpstr (renamed, !=, fewer);
  remove_root (root);
}

/* Without dataset.json: names without suffix (also when they end in four digits), labels found in the maps. */
static void
test_discovery (void)
{
  g_autofree char *root = make_root ();
  g_autoptr (TessDataset) plain = NULL, four = NULL;
  Fill image = IMAGE_FILL, label = LABEL_FILL;
  TessVolume *images[3];
  GError *error = NULL;

  write_volume (root, "imagesTr/scan_0007.nii", image);
  write_volume (root, "imagesTr/scan_0012.nii.gz", image);
  write_volume (root, "labelsTr/scan_0007.nii.gz", label);
  label.modulus = 2;
  write_volume (root, "labelsTr/scan_0012.nii.gz", label);
  plain = open_ok (root);
  g_assert_false (plain->has_json);
  g_assert_cmpuint (plain->cases->len, ==, 2);
  g_assert_cmpstr (tess_dataset_case (plain, 0)->id, ==, "scan_0007");
  g_assert_cmpuint (plain->n_channels, ==, 1);
  g_assert_cmpuint (plain->n_labels, ==, 3);
  g_assert_cmpstr (plain->label_names[0], ==, "background");
  g_assert_cmpstr (plain->label_names[2], ==, "label_2");

  /* One file with three channels. */
  image.n_channels = 3;
  write_volume (root, "imagesTr/scan_0007.nii", image);
  write_volume (root, "imagesTr/scan_0012.nii.gz", image);
  four = open_ok (root);
  g_assert_cmpuint (four->n_channels, ==, 3);
  g_assert_true (tess_load_images (tess_dataset_case (four, 0)->image_paths, 3, NULL, images, &error));
  g_assert_no_error (error);
  for (int c = 0; c < 3; c++) {
    g_assert_cmpint (tess_volume_n_channels (images[c]), ==, 1);
    g_assert_cmpfloat (tess_volume_value (images[c], 0, 0, 0, 0), ==, -50.0 + c);
    tess_volume_unref (images[c]);
  }
  g_assert_false (tess_load_images (tess_dataset_case (four, 0)->image_paths, 2, NULL, images, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_clear_error (&error);
  remove_root (root);
}

static void
test_label_values (void)
{
  g_autofree char *root = make_root ();
  Fill label = LABEL_FILL;

  write_pair (root, "a", 1);
  label.base = 4;
  label.modulus = 1;
  write_volume (root, "labelsTr/a.nii.gz", label);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/a.nii.gz", "holds the value 4, but no label map holds 1");
  label.base = 0;
  write_volume (root, "labelsTr/a.nii.gz", label);
  open_fails (root, TESS_ERROR_MISMATCH, "Dataset007_Test", "background only");
  label.dtype = TESS_DTYPE_I16;
  label.base = -1;
  write_volume (root, "labelsTr/a.nii.gz", label);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/a.nii.gz", "(0, 0, 0) holds -1;");
  label.base = 300;
  write_volume (root, "labelsTr/a.nii.gz", label);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/a.nii.gz", "holds 300;");
  label = LABEL_FILL;
  label.n_channels = 2;
  write_volume (root, "labelsTr/a.nii.gz", label);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/a.nii.gz", "2 channels");
  remove_root (root);
}

static void
test_layout_errors (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *above = g_path_get_dirname (root);
  g_autofree char *images = g_build_filename (root, "imagesTr", NULL);
  g_autofree char *missing = g_build_filename (root, "nothing", NULL);
  g_autofree char *file = g_build_filename (root, "file", NULL);
  g_autofree char *labels = g_build_filename (root, "labelsTr", NULL);

  write_text (root, "file", "x");
  open_fails (missing, TESS_ERROR_IO, missing, "no such folder");
  open_fails (file, TESS_ERROR_IO, file, "not a folder");
  open_fails (root, TESS_ERROR_IO, root, "is this the folder that holds imagesTr");
  g_assert_true (tess_make_directory (images, NULL));
  open_fails (root, TESS_ERROR_IO, root, "no folder labelsTr");
  g_assert_true (tess_make_directory (labels, NULL));
  open_fails (root, TESS_ERROR_IO, images, "holds no scan");
  open_fails (images, TESS_ERROR_IO, images, "give the folder above it");
  open_fails (above, TESS_ERROR_IO, above, "Dataset007_Test");

  write_pair (root, "a", 2);
  write_pair (root, "b", 2);
  remove_file (root, "labelsTr/a.nii.gz");
  open_fails (root, TESS_ERROR_MISMATCH, "imagesTr/a_0000.nii.gz", "no label map");
  write_volume (root, "labelsTr/a.nii.gz", LABEL_FILL);
  write_volume (root, "labelsTr/c.nii.gz", LABEL_FILL);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/c.nii.gz", "no scan");
  remove_file (root, "labelsTr/c.nii.gz");
  remove_file (root, "imagesTr/a_0001.nii.gz");
  open_fails (root, TESS_ERROR_MISMATCH, "imagesTr/a_0000.nii.gz", "channel 0001");
  write_volume (root, "imagesTr/a_0002.nii.gz", IMAGE_FILL);
  open_fails (root, TESS_ERROR_MISMATCH, "imagesTr/a_0000.nii.gz", "channel 0001");
  remove_file (root, "imagesTr/a_0002.nii.gz");
  write_volume (root, "imagesTr/a_0001.nii.gz", IMAGE_FILL);
  write_volume (root, "imagesTr/a_0001.nii", IMAGE_FILL);
  open_fails (root, TESS_ERROR_MISMATCH, "imagesTr/a_0001.nii", "keep one");
  remove_file (root, "imagesTr/a_0001.nii");
  write_volume (root, "labelsTr/b.nii", LABEL_FILL);
  open_fails (root, TESS_ERROR_MISMATCH, "labelsTr/b.nii", "keep one");
  /* file_ending says which of the two. */
  write_text (root, "dataset.json", json_two);
  tess_dataset_unref (open_ok (root));
  write_text (root, "dataset.json", json_one);
  remove_file (root, "labelsTr/b.nii");
  open_fails (root, TESS_ERROR_MISMATCH, "imagesTr/a_0001.nii.gz", "names only 1");
  remove_root (root);
}

static void
test_json_errors (void)
{
  static const struct {
    const char *text, *says;
    int code;
  } cases[] = {
      {"{\"labels\": {\"background\": 0, \"a\": 1}}", "\"channel_names\" is missing", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {}, \"labels\": {\"background\": 0, \"a\": 1}}", "0 channels", TESS_ERROR_UNSUPPORTED},
      {"{\"channel_names\": {\"1\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1}}", "\"1\"", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": 5, \"1\": \"b\"}, \"labels\": {\"a\": 1}}", "\"0\"", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}}", "labels", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"whole\": [1, 2], \"core\": 2}}",
       "\"regions_class_order\" is missing", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"whole\": [1, 2], \"core\": 2}, "
       "\"regions_class_order\": [1]}",
       "1 entries for 2 regions", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"whole\": [1, 2], \"core\": 2}, "
       "\"regions_class_order\": [1, 5]}",
       "regions_class_order", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"whole\": [1, 3]}, "
       "\"regions_class_order\": [1]}",
       "value 2", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"whole\": [1, 900]}}", "from 0 to 253",
       TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1, \"ignore\": 3}}",
       "\"ignore\": 2", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1, \"ignore\": [2]}}",
       "\"ignore\": 2", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 2}}", "value 1", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1, \"b\": 1}}", "same value",
       TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 900}}", "900",
       TESS_ERROR_UNSUPPORTED},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": -1}}", "-1",
       TESS_ERROR_UNSUPPORTED},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1.5}}", "whole number",
       TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": null}}", "whole number",
       TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": [{}]}}", "whole number",
       TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0}}", "besides", TESS_ERROR_FORMAT},
      {"{\"channel_names\": {\"0\": \"CT\"}, \"labels\": {\"background\": 0, \"a\": 1}, \"file_ending\": 3}",
       "file_ending", TESS_ERROR_FORMAT},
      {"[1]", "dataset.json", TESS_ERROR_FORMAT},
      {"{\"channel_names\"", "dataset.json", TESS_ERROR_FORMAT},
  };
  g_autofree char *root = make_root ();

  write_pair (root, "a", 1);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    write_text (root, "dataset.json", cases[i].text);
    open_fails (root, cases[i].code, "dataset.json", cases[i].says);
  }
  remove_root (root);
}

static void
test_grids (void)
{
  g_autofree char *root = make_root ();
  g_autofree char *label_path = g_build_filename (root, "labelsTr/a.nii.gz", NULL);
  g_autoptr (TessDataset) dataset = NULL;
  g_autoptr (TessVolume) label = NULL;
  Fill image = IMAGE_FILL, map = LABEL_FILL;
  TessVolume *images[2] = {NULL, NULL};
  char *const *paths;
  GError *error = NULL;

  write_text (root, "dataset.json", json_two);
  write_pair (root, "a", 2);
  dataset = open_ok (root);
  paths = tess_dataset_case (dataset, 0)->image_paths;

  image.shift_x = 0.004; /* half of a hundredth of a voxel: rounding */
  write_volume (root, "imagesTr/a_0001.nii.gz", image);
  g_assert_true (tess_load_images (paths, 2, NULL, images, &error));
  tess_volume_unref (images[1]);
  image.shift_x = 1.5;
  write_volume (root, "imagesTr/a_0001.nii.gz", image);
  {
    TessVolume *others[2] = {NULL, NULL};

    g_assert_false (tess_load_images (paths, 2, NULL, others, &error));
    g_assert_null (others[0]);
    g_assert_null (others[1]);
  }
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "a_0001.nii.gz"));
  g_assert_nonnull (strstr (error->message, "1.5 mm"));
  g_clear_error (&error);

  label = tess_load_label (label_path, images[0], 3, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_intent (label), ==, TESS_INTENT_LABEL);
  g_clear_pointer (&label, tess_volume_unref);
  g_assert_null (tess_load_label (label_path, images[0], 2, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "(2, 0, 0) holds 2; labels must be whole numbers from 0 to 1"));
  g_clear_error (&error);
  map.dim[2] = 6;
  write_volume (root, "labelsTr/a.nii.gz", map);
  g_assert_null (tess_load_label (label_path, images[0], 3, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "9 x 8 x 6"));
  g_clear_error (&error);
  /* Whole numbers in another type are labels, too; they come as uint8. */
  map = LABEL_FILL;
  map.dtype = TESS_DTYPE_F32;
  write_volume (root, "labelsTr/a.nii.gz", map);
  label = tess_load_label (label_path, images[0], 3, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_volume_dtype (label), ==, TESS_DTYPE_U8);
  g_assert_cmpint (((const guint8 *)tess_volume_data (label))[5], ==, 2);
  tess_volume_unref (images[0]);
  remove_root (root);
}

/* The Decathlon's hippocampus folder: no dataset.json, no channel suffix. */
static void
test_hippocampus (void)
{
  const char *shared = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *folder = g_build_filename (shared ? shared : "/nonexistent", "hippocampus", NULL);
  g_autoptr (TessDataset) dataset = NULL;

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the shared test data are not here");
    return;
  }
  dataset = open_ok (folder);
  g_assert_cmpuint (dataset->cases->len, ==, 208);
  g_assert_cmpuint (dataset->n_labels, ==, 3);
  g_assert_cmpuint (dataset->n_channels, ==, 1);
  g_assert_cmpstr (tess_dataset_case (dataset, 0)->id, ==, "hippocampus_001");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/data/dataset/nnunet", test_nnunet);
  g_test_add_func ("/data/dataset/identity", test_identity);
  g_test_add_func ("/data/dataset/discovery", test_discovery);
  g_test_add_func ("/data/dataset/label-values", test_label_values);
  g_test_add_func ("/data/dataset/layout-errors", test_layout_errors);
  g_test_add_func ("/data/dataset/json-errors", test_json_errors);
  g_test_add_func ("/data/dataset/grids", test_grids);
  g_test_add_func ("/data/dataset/hippocampus", test_hippocampus);
  return g_test_run ();
}
