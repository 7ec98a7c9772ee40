/* Label tables in files of their own, as ITK-SNAP, FreeSurfer, Slicer and nnU-Net write them; where they are found. */
#include "../remove-tree.h"
#include "tess-format-registry.h"
#include "tess-label-file.h"

#include <glib/gstdio.h>
#include <string.h>

static char *folder;

static char *
in_folder (const char *name)
{
  return g_build_filename (folder, name, NULL);
}

static void
put (const char *name, const char *text)
{
  g_autofree char *path = in_folder (name), *parent = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (parent, 0700), ==, 0);
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static TessLabelTable *
load (const char *name, const char *text)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;
  TessLabelTable *table;

  put (name, text);
  table = tess_label_file_load (path, &error);
  g_assert_no_error (error);
  return table;
}

static void
refuse (const char *name, const char *text)
{
  g_autofree char *path = in_folder (name);
  g_autoptr (GError) error = NULL;

  put (name, text);
  g_assert_null (tess_label_file_load (path, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_assert_null (strchr (error->message, '\n'));
}

static void
is_label (TessLabelTable *table, gint64 value, const char *name, int r, int g, int b, int a)
{
  const TessLabel *label = tess_label_table_find (table, value);

  g_assert_nonnull (label);
  g_assert_cmpstr (label->name, ==, name);
  if (r >= 0)
    g_assert_true (label->rgba[0] == r && label->rgba[1] == g && label->rgba[2] == b && label->rgba[3] == a);
}

static void
is_region (TessLabelTable *table, const char *name, const gint64 *values, guint n)
{
  const TessLabelRegion *region = tess_label_table_find_region (table, name);

  g_assert_nonnull (region);
  g_assert_cmpmem (region->values, region->n_values * sizeof (gint64), values, n * sizeof (gint64));
}

/* As ITK-SNAP 4 writes it. */
static const char itksnap[] = "################################################\n"
                              "# ITK-SnAP Label Description File\n"
                              "# File format: \n"
                              "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL\n"
                              "# Fields: \n"
                              "#    IDX:   Zero-based index \n"
                              "################################################\n"
                              "    0     0    0    0        0  0  0    \"Clear Label\"\n"
                              "    1   255    0    0        1  1  1    \"Left \"big\" kidney, upper\"\n"
                              "    7     0  255   10      0.5  0  1    \"Label 7\"\r\n";

static void
test_itksnap (void)
{
  g_autoptr (TessLabelTable) table = load ("a.label", itksnap), renamed = tess_label_table_new ();
  g_autofree char *path = in_folder ("a.label"), *text = NULL;

  g_assert_cmpuint (tess_label_table_n (table), ==, 3);
  is_label (table, 0, "Clear Label", 0, 0, 0, 0);
  is_label (table, 1, "Left \"big\" kidney, upper", 255, 0, 0, 255);
  is_label (table, 7, "Label 7", 0, 255, 10, 128);
  refuse ("b.label", "1 255 0 0 1 1 1 \"a\"\n2 255 0 0 1 1 1 b\n");
  refuse ("b.label", "1 256 0 0 1 1 1 \"a\"\n");
  refuse ("b.label", "-1 255 0 0 1 1 1 \"a\"\n");
  refuse ("b.label", "99999999999 255 0 0 1 1 1 \"a\"\n");
  refuse ("b.label", "# nothing\n");

  /* Written over the file, what else it said of a label stays. */
  tess_label_table_add (renamed, 7, "seven", (guint8[]){1, 2, 3, 255});
  tess_label_table_add (renamed, 8, "eight", (guint8[]){4, 5, 6, 255});
  g_assert_true (tess_label_file_save (renamed, path, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "    7     1    2    3        1  0  1    \"seven\"\n"));
  g_assert_nonnull (strstr (text, "    8     4    5    6        1  1  1    \"eight\"\n"));
  g_assert_nonnull (strstr (text, "\"Clear Label\""));
  {
    g_autofree char *other = in_folder ("snap.txt"), *kept = NULL;

    put ("snap.txt", itksnap);
    g_assert_true (tess_label_file_save (renamed, other, NULL));
    g_assert_true (g_file_get_contents (other, &kept, NULL, NULL));
    g_assert_cmpstr (kept, ==, text);
  }
}

static void
test_colour_tables (void)
{
  g_autoptr (TessLabelTable) freesurfer =
      load ("FreeSurferColorLUT.txt", "#$Id: FreeSurferColorLUT.txt $\n\n"
                                      "#No.   Label Name:                            R   G   B   A\n\n"
                                      "0       Unknown                                 0   0   0   0\n"
                                      "2       Left-Cerebral-White-Matter              245 245 245 0\n"
                                      "17      Left-Hippocampus                        220 216 20  0\n"
                                      "12175\twm_rh_S_temporal\t21 180 180 64\r\n");
  g_autoptr (TessLabelTable) slicer =
      load ("t.ctbl", "# Color table file /home/x/t.ctbl\n# 3 values\n"
                      "0 background 0 0 0 0\n1 left_lung 174 102 241 255\n2 T2_lesion 9 8 7 128\n");
  g_autoptr (TessLabelTable) opaque = load ("u.txt", "0 none 0 0 0 0\n1 a b 10 20 30 255\n2 Layer 2 40 50 60 255\n");
  g_autoptr (TessLabelTable) three = load ("v.txt", "1 without 10 20 30\n");

  is_label (freesurfer, 0, "Unknown", 0, 0, 0, 0);
  is_label (freesurfer, 2, "Left-Cerebral-White-Matter", 245, 245, 245, 255);
  is_label (freesurfer, 12175, "wm_rh_S_temporal", 21, 180, 180, 191);
  g_assert_cmpuint (tess_label_table_n (freesurfer), ==, 4);
  is_label (slicer, 1, "left lung", 174, 102, 241, 255);
  is_label (slicer, 2, "T2 lesion", 9, 8, 7, 128);
  is_label (opaque, 1, "a b", 10, 20, 30, 255);
  is_label (opaque, 2, "Layer 2", 40, 50, 60, 255);
  is_label (three, 1, "without", 10, 20, 30, 255);
  refuse ("w.txt", "just words\n");
  refuse ("w.txt", "1 a 10 20 300 0\n");
  refuse ("w.txt", "1.5 a 10 20 30 0\n");
  refuse ("w.txt", "");
}

static void
test_nnunet (void)
{
  g_autoptr (TessLabelTable) one =
      load ("a.json", "{\"labels\": {\"0\": \"background\", \"2\": \"liver\", \"10\": \"5\"}}");
  g_autoptr (TessLabelTable) two = load ("b.json", "{\"labels\": {\"background\": 0, \"liver\": 1, \"ignore\": 2}}");
  g_autoptr (TessLabelTable) regions =
      load ("c.json", "{\"labels\": {\"background\": 0, \"whole tumor\": [1, 2, 3], \"tumor core\": [2, 3], "
                      "\"enhancing tumor\": 3}, \"regions_class_order\": [1, 2, 3]}");
  g_autoptr (TessLabelTable) unordered = load (
      "d.json", "{\"labels\": {\"background\": [0], \"whole\": [1, 2, 3], \"core\": [2, 3], \"enhancing\": [3]}}");

  is_label (one, 0, "background", 0, 0, 0, 0);
  is_label (one, 2, "liver", -1, 0, 0, 0);
  is_label (one, 10, "5", -1, 0, 0, 0);
  is_label (two, 1, "liver", -1, 0, 0, 0);
  is_label (two, 2, "ignore", -1, 0, 0, 0);
  for (int i = 0; i < 2; i++) {
    TessLabelTable *t = i ? unordered : regions;

    g_assert_cmpuint (tess_label_table_n (t), ==, 2); /* a region is no label */
    is_label (t, 0, "background", 0, 0, 0, 0);
    is_label (t, 3, i ? "enhancing" : "enhancing tumor", -1, 0, 0, 0);
    g_assert_cmpuint (tess_label_table_n_regions (t), ==, 2);
    is_region (t, i ? "whole" : "whole tumor", (gint64[]){1, 2, 3}, 3);
    is_region (t, i ? "core" : "tumor core", (gint64[]){2, 3}, 2);
  }
  refuse ("e.json", "{\"labels\": {\"a\": \"b\"}}");
  refuse ("e.json", "{\"labels\": {\"a\": 1.5}}");
  refuse ("e.json", "{\"labels\": {\"a\": [1, -2]}}");
  refuse ("e.json", "{\"labels\": {\"1\": \"a\", \"2\": 3}}");
  refuse ("e.json", "{\"labels\": {\"a\": []}}");
  refuse ("e.json", "{\"labels\": {\"a\": [1, [2]]}}");
  refuse ("e.json", "{\"labels\": {}}");
  refuse ("e.json", "{\"labels\": 3}");
  refuse ("e.json", "[1]");
  refuse ("e.json", "{\"labels\": {\"a\"");
}

/* Real ones, of nnU-Net models, atlases and Brainchop. The numbers are those of Python's json. */
static void
test_real_datasets (void)
{
  static const struct {
    const char *file;
    guint n;
    gint64 value;
    const char *name;
    int rgba[4];
  } maps[] = {
      {"nifti/atlas/CIT168.json", 33, 5, "L Nucleus Accumbens", {252, 107, 38, 255}},
      {"nifti/atlas/Julich.json", 208, 200, "Area 6v2 (PreCG)", {149, 94, 94, 64}},
      {"models/model20chan3cls/colormap.json", 3, 2, "Grey Matter", {205, 62, 78, 255}},
      {"models/model5_gw_ae/colormap.json", 2, 1, "brain", {255, 0, 0, 255}},
  };
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *path = g_build_filename (root ? root : "", "nnunet", "flare23", "dataset.json", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessLabelTable) table = NULL;

  if (!root || !g_file_test (root, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of real test files (TESSERA_SHARED_DATA) is not here");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (maps); i++) {
    g_autofree char *map = g_build_filename (root, maps[i].file, NULL);
    g_autoptr (TessLabelTable) t = tess_label_file_load (map, &error);

    g_assert_no_error (error);
    g_assert_cmpuint (tess_label_table_n (t), ==, maps[i].n);
    is_label (t, maps[i].value, maps[i].name, maps[i].rgba[0], maps[i].rgba[1], maps[i].rgba[2], maps[i].rgba[3]);
  }
  table = tess_label_file_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_label_table_n (table), ==, 15);
  is_label (table, 14, "Tumor", -1, 0, 0, 0);
  is_label (table, 6, "Inferior vena cava", -1, 0, 0, 0);
}

/* Of regions that were read the order that nnU-Net counts by stays, unless a member comes or goes. */
static void
test_regions_kept (void)
{
  static const char text[] = "{\"name\": \"x\", \"labels\": {\"background\": 0, \"whole\": [1, 2, 3], "
                             "\"enhancing\": 3, \"core\": [2, 3]}, \"regions_class_order\": [1, 3, 2]}";
  g_autoptr (TessLabelTable) table = load ("regions-kept.json", text), again = NULL;
  g_autofree char *path = in_folder ("regions-kept.json"), *same = NULL, *changed = NULL;
  g_autoptr (GError) error = NULL;
  const char *whole, *enhancing, *core;

  tess_label_table_add (table, 3, "active", NULL);
  g_assert_true (tess_label_file_save (table, path, &error));
  g_assert_true (g_file_get_contents (path, &same, NULL, NULL));
  whole = strstr (same, "\"whole\"");
  enhancing = strstr (same, "\"active\"");
  core = strstr (same, "\"core\"");
  g_assert_true (whole && enhancing && core && whole < enhancing && enhancing < core);
  g_assert_nonnull (strstr (same, "regions_class_order"));
  again = tess_label_file_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_label_table_n (again), ==, 2);
  is_label (again, 3, "active", -1, 0, 0, 0);
  is_region (again, "whole", (gint64[]){1, 2, 3}, 3);
  is_region (again, "core", (gint64[]){2, 3}, 2);

  tess_label_table_add (again, 2, "core", NULL); /* the name of a region */
  g_assert_true (tess_label_file_save (again, path, &error));
  g_assert_true (g_file_get_contents (path, &changed, NULL, NULL));
  g_assert_null (strstr (changed, "regions_class_order"));
  g_assert_nonnull (strstr (changed, "\"name\""));
  g_clear_pointer (&again, tess_label_table_unref);
  again = tess_label_file_load (path, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (tess_label_table_n (again), ==, 3);
  g_assert_cmpuint (tess_label_table_n_regions (again), ==, 2);
}

/* MRIcroGL's and NiiVue's lists. */
static void
test_colour_maps (void)
{
  g_autoptr (TessLabelTable) plain =
      load ("m.json", "{\"R\": [9, 255, 205], \"G\": [0, 254, 62], \"B\": [0, 253, 78], "
                      "\"labels\": [\"background\", \"White Matter\", \"Grey Matter\"]}");
  g_autoptr (TessLabelTable) full =
      load ("n.json", "{\"R\": [1, 4, 7], \"G\": [2, 5, 8], \"B\": [3, 6, 9], \"A\": [0, 128, 64], "
                      "\"I\": [0, 300, 17], \"labels\": [\"\", \"far\", \"near\"], \"min\": 3}");
  g_autoptr (TessLabelTable) names = load ("o.json", "{\"labels\": [\"none\", \"one\"]}");
  g_autoptr (TessLabelTable) again = NULL;
  g_autofree char *path = in_folder ("n.json"), *text = NULL;

  g_assert_cmpuint (tess_label_table_n (plain), ==, 3);
  is_label (plain, 0, "background", 0, 0, 0, 0);
  is_label (plain, 1, "White Matter", 255, 254, 253, 255);
  is_label (plain, 2, "Grey Matter", 205, 62, 78, 255);
  is_label (full, 300, "far", 4, 5, 6, 128);
  is_label (full, 17, "near", 7, 8, 9, 64);
  is_label (names, 1, "one", -1, 0, 0, 0);

  /* Written over such a file, it stays one. */
  tess_label_table_add (full, 18, "new", (guint8[]){10, 20, 30, 255});
  g_assert_true (tess_label_file_save (full, path, NULL));
  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  g_assert_nonnull (strstr (text, "\"min\": 3"));
  again = tess_label_file_load (path, NULL);
  g_assert_nonnull (again);
  g_assert_cmpuint (tess_label_table_n (again), ==, 4);
  is_label (again, 18, "new", 10, 20, 30, 255);
  is_label (again, 300, "far", 4, 5, 6, 128);

  refuse ("p.json", "{\"R\": [1], \"G\": [1], \"labels\": [\"a\"]}");
  refuse ("p.json", "{\"R\": [1], \"G\": [1], \"B\": [1], \"labels\": [\"a\", \"b\"]}");
  refuse ("p.json", "{\"R\": [256], \"G\": [1], \"B\": [1], \"labels\": [\"a\"]}");
  refuse ("p.json", "{\"R\": [1], \"G\": [1], \"B\": [1], \"I\": [-1], \"labels\": [\"a\"]}");
  refuse ("p.json", "{\"R\": [1], \"G\": [1], \"B\": [1], \"labels\": [7]}");
  refuse ("p.json", "{\"R\": [0, 255], \"G\": [0, 255], \"B\": [0, 255], \"I\": [0, 255]}"); /* colours only */
  refuse ("p.json", "{\"labels\": []}");
}

static void
test_round_trip (void)
{
  static const char *const names[] = {"r.label", "r.txt", "r.lut", "r.ctbl", "r.json"};
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  g_autofree char *bad = in_folder ("r.csv");
  g_autoptr (GError) error = NULL;

  tess_label_table_add (table, 0, "background", NULL);
  tess_label_table_add (table, 1, "left lung", (guint8[]){10, 20, 30, 255});
  tess_label_table_add (table, 2, "간 (liver)", (guint8[]){200, 100, 0, 100});
  tess_label_table_add (table, 300, "left lung", (guint8[]){1, 0, 255, 255});
  tess_label_table_add (table, 301, "", (guint8[]){1, 2, 3, 255});
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = in_folder (names[i]);
    g_autoptr (TessLabelTable) again = NULL;

    g_assert_true (tess_label_file_save (table, path, &error));
    again = tess_label_file_load (path, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (tess_label_table_n (again), ==, 5);
    if (i == 4) {
      is_label (again, 1, "left lung", -1, 0, 0, 0);
      is_label (again, 300, "left lung label 300", -1, 0, 0, 0);
      is_label (again, 301, "label 301", -1, 0, 0, 0);
    } else {
      is_label (again, 1, i == 1 || i == 2 ? "left_lung" : "left lung", 10, 20, 30, 255);
      is_label (again, 2, i == 1 || i == 2 ? "간_(liver)" : "간 (liver)", 200, 100, 0, 100);
      is_label (again, 300, i == 1 || i == 2 ? "left_lung" : "left lung", 1, 0, 255, 255);
    }
    is_label (again, 0, "background", 0, 0, 0, 0);
  }
  g_assert_false (tess_label_file_save (table, bad, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

/* Of a dataset.json that is there only the labels change, and its version stays. */
static void
test_json_kept (void)
{
  g_autoptr (TessLabelTable) table = tess_label_table_new ();

  tess_label_table_add (table, 0, "background", NULL);
  tess_label_table_add (table, 4, "spleen", NULL);
  for (int version = 1; version <= 2; version++) {
    g_autofree char *path = in_folder ("dataset-kept.json"), *text = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessLabelTable) again = NULL;

    put ("dataset-kept.json", version == 1 ? "{\"name\": \"x\", \"labels\": {\"0\": \"a\"}, \"numTraining\": 41}"
                                           : "{\"name\": \"x\", \"labels\": {\"a\": 0}, \"numTraining\": 41}");
    g_assert_true (tess_label_file_save (table, path, &error));
    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    g_assert_nonnull (strstr (text, "41"));
    g_assert_nonnull (strstr (text, version == 1 ? "\"spleen\"" : "\"spleen\": 4"));
    g_assert_nonnull (strstr (text, version == 1 ? "\"4\": " : "\"background\": 0"));
    again = tess_label_file_load (path, &error);
    g_assert_no_error (error);
    is_label (again, 4, "spleen", -1, 0, 0, 0);
    g_assert_cmpuint (tess_label_table_n (again), ==, 2);
  }
}

static void
found (const char *volume, const char *name)
{
  g_autofree char *path = in_folder (volume);
  g_autoptr (TessLabelTable) table = tess_label_file_find (path);

  if (!name) {
    g_assert_null (table);
    return;
  }
  g_assert_nonnull (table);
  is_label (table, 1, name, -1, 0, 0, 0);
}

static void
test_find (void)
{
  put ("find/d1/d2/d3/d4/case.nii.gz", "");
  found ("find/d1/d2/d3/d4/case.nii.gz", NULL);
  put ("find/dataset.json", "{\"labels\": {\"background\": 0, \"too far\": 1}}");
  found ("find/d1/d2/d3/d4/case.nii.gz", NULL);
  put ("find/d1/dataset.json", "{\"labels\": {\"background\": 0, \"three up\": 1}}");
  found ("find/d1/d2/d3/d4/case.nii.gz", "three up");
  put ("find/d1/d2/d3/dataset.json", "{\"labels\": {\"background\": 0, \"one up\": 1}}");
  found ("find/d1/d2/d3/d4/case.nii.gz", "one up");
  put ("find/d1/d2/labels.txt", "1 elsewhere 1 2 3 0\n"); /* two up: only a dataset.json is looked for */
  put ("find/d1/d2/d3/colormap.json", "{\"labels\": [\"none\", \"map one up\"]}");
  found ("find/d1/d2/d3/d4/case.nii.gz", "map one up");
  put ("find/d1/d2/d3/d4/dataset.json", "{\"labels\": {\"background\": 0, \"beside\": 1}}");
  found ("find/d1/d2/d3/d4/case.nii.gz", "beside");
  put ("find/d1/d2/d3/d4/labels.txt", "1 usual 1 2 3 0\n");
  found ("find/d1/d2/d3/d4/case.nii.gz", "usual");
  put ("find/d1/d2/d3/d4/case.txt", "A note on this case: 1 2 3\n"); /* no table: passed over */
  found ("find/d1/d2/d3/d4/case.nii.gz", "usual");
  put ("find/d1/d2/d3/d4/case.json", "{\"labels\": [\"none\", \"own map\"]}");
  found ("find/d1/d2/d3/d4/case.nii.gz", "own map");
  put ("find/d1/d2/d3/d4/case.ctbl", "1 own 1 2 3 255\n");
  found ("find/d1/d2/d3/d4/case.nii.gz", "own");
  put ("find/d1/d2/d3/d4/case.label", "1 1 2 3 1 1 1 \"own description\"\n");
  found ("find/d1/d2/d3/d4/case.nii.gz", "own description");
  found ("find/d1/d2/d3/d4/case.seg.nrrd", "own description");
  found ("find/d1/d2/d3/d4/other.nii.gz", "usual");
}

static void
test_attach (void)
{
  const gint64 dim[3] = {2, 1, 1};
  const TessAffine affine = tess_affine_identity ();
  g_autofree char *path = in_folder ("attach.nrrd"), *layer = g_strconcat (path, "::layer0", NULL);
  g_autoptr (TessLabelTable) own = tess_label_table_new ();
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);

  put ("attach.label", itksnap);
  tess_label_file_attach (volume, path);
  g_assert_null (tess_volume_peek_labels (volume)); /* a scan has no labels */
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_volume_set_labels (volume, own);
  tess_label_file_attach (volume, path);
  g_assert_true (tess_volume_peek_labels (volume) == own); /* what the file itself says is kept */
  tess_volume_set_labels (volume, NULL);
  tess_label_file_attach (volume, layer);
  is_label (tess_volume_peek_labels (volume), 7, "Label 7", 0, 255, 10, 128);
}

int
main (int argc, char **argv)
{
  int status;

  g_test_init (&argc, &argv, NULL);
  folder = g_dir_make_tmp ("tess-label-file-XXXXXX", NULL);
  g_test_add_func ("/formats/label-file/itksnap", test_itksnap);
  g_test_add_func ("/formats/label-file/colour-tables", test_colour_tables);
  g_test_add_func ("/formats/label-file/nnunet", test_nnunet);
  g_test_add_func ("/formats/label-file/colour-maps", test_colour_maps);
  g_test_add_func ("/formats/label-file/regions-kept", test_regions_kept);
  g_test_add_func ("/formats/label-file/real-datasets", test_real_datasets);
  g_test_add_func ("/formats/label-file/round-trip", test_round_trip);
  g_test_add_func ("/formats/label-file/json-kept", test_json_kept);
  g_test_add_func ("/formats/label-file/find", test_find);
  g_test_add_func ("/formats/label-file/attach", test_attach);
  status = g_test_run ();
  remove_tree (folder);
  g_free (folder);
  return status;
}
