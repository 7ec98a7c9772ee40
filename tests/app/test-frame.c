/* Of the frame what needs no display: the table of the mouse, the table of commands, what a path is taken for. */
#include "tess-file-kind.h"
#include "tess-settings.h"
#include "tess-shortcuts.h"

#include <glib/gstdio.h>

/* --- the mouse, as its specification says ------------------------------------------------------------------------ */

static void
test_hands (void)
{
  static const struct {
    guint button;
    GdkModifierType state;
    TessDrag radiology, research, slicer;
  } expected[] = {
      {GDK_BUTTON_PRIMARY, 0, TESS_DRAG_WINDOW, TESS_DRAG_CROSSHAIR, TESS_DRAG_WINDOW},
      {GDK_BUTTON_PRIMARY, GDK_SHIFT_MASK, TESS_DRAG_CROSSHAIR, TESS_DRAG_WINDOW, TESS_DRAG_PAN},
      {GDK_BUTTON_PRIMARY, GDK_CONTROL_MASK, TESS_DRAG_BOX, TESS_DRAG_BOX, TESS_DRAG_BOX},
      {GDK_BUTTON_PRIMARY, GDK_CONTROL_MASK | GDK_LOCK_MASK, TESS_DRAG_BOX, TESS_DRAG_BOX, TESS_DRAG_BOX},
      {GDK_BUTTON_MIDDLE, 0, TESS_DRAG_PAN, TESS_DRAG_PAN, TESS_DRAG_PAN},
      {GDK_BUTTON_MIDDLE, GDK_SHIFT_MASK, TESS_DRAG_PAN, TESS_DRAG_PAN, TESS_DRAG_PAN},
      {GDK_BUTTON_SECONDARY, 0, TESS_DRAG_ZOOM, TESS_DRAG_ZOOM, TESS_DRAG_ZOOM},
      {8, 0, TESS_DRAG_NONE, TESS_DRAG_NONE, TESS_DRAG_NONE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    guint button = expected[i].button;
    GdkModifierType state = expected[i].state;

    g_assert_cmpint (tess_hands_drag (TESS_HANDS_RADIOLOGY, button, state), ==, expected[i].radiology);
    g_assert_cmpint (tess_hands_drag (TESS_HANDS_RESEARCH, button, state), ==, expected[i].research);
    g_assert_cmpint (tess_hands_drag (TESS_HANDS_SLICER, button, state), ==, expected[i].slicer);
  }
}

static void
test_hands_words (void)
{
  const char *gesture, *what;
  guint n[TESS_N_HANDS] = {0};

  for (guint h = 0; h < TESS_N_HANDS; h++) {
    g_assert_cmpint (tess_hands_from_name (tess_hands_name ((TessHands)h)), ==, h);
    for (; tess_hands_nth ((TessHands)h, n[h], &gesture, &what); n[h]++) {
      g_assert_nonnull (gesture);
      g_assert_nonnull (what);
    }
    g_assert_cmpuint (n[h], ==, n[0]);
  }
  g_assert_cmpuint (n[0], ==, 11); /* the lines of the table */
  g_assert_cmpint (tess_hands_from_name ("no such profile"), ==, TESS_HANDS_RADIOLOGY);
  g_assert_cmpint (tess_hands_from_name (NULL), ==, TESS_HANDS_RADIOLOGY);
}

/* --- settings ----------------------------------------------------------------------------------------------------- */

static void
test_settings (void)
{
  TessSettings *settings = tess_settings_get ();
  g_autofree char *style = NULL;

  tess_settings_set_last_model (settings, "/somewhere/run/best.safetensors");
  tess_settings_set_last_model (settings, tess_settings_get_last_model (settings)); /* given its own string */
  g_assert_cmpstr (tess_settings_get_last_model (settings), ==, "/somewhere/run/best.safetensors");
  tess_settings_set_last_model (settings, NULL);
  g_assert_null (tess_settings_get_last_model (settings));

  g_assert_cmpint (tess_settings_get_hands (settings), ==, TESS_HANDS_RADIOLOGY);
  g_object_set (settings, "hands", "slicer", NULL);
  g_assert_cmpint (tess_settings_get_hands (settings), ==, TESS_HANDS_SLICER);
  g_object_set (settings, "hands", "radiology", NULL);
  g_object_get (settings, "style", &style, NULL);
  g_assert_cmpstr (style, ==, "dark");
}

/* --- commands ----------------------------------------------------------------------------------------------------- */

static void
test_commands (void)
{
  g_autoptr (GHashTable) keys = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  const char *title, *action;
  g_autofree char *tooltip = NULL;
  char *key;
  guint n = 0;

  for (; tess_shortcuts_nth (n, &title, &action, &key); n++) {
    g_autofree char *name = NULL;
    g_autoptr (GVariant) target = NULL;

    g_assert_true (g_action_parse_detailed_name (action, &name, &target, NULL));
    g_assert_cmpuint (strlen (title), >, 0);
    g_assert_nonnull (key);
    if (!g_hash_table_add (keys, key))
      g_error ("two commands have the key %s", key);
  }
  g_assert_cmpuint (n, >, 20);
  tooltip = tess_shortcuts_tooltip ("Segment", "win.segment");
  g_assert_true (g_str_has_prefix (tooltip, "Segment (") && strstr (tooltip, "Return"));
}

/* --- paths -------------------------------------------------------------------------------------------------------- */

static void
touch (const char *folder, const char *name)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  g_assert_true (g_file_set_contents (path, "", 0, NULL));
}

static void
test_kinds (void)
{
  g_autofree char *root = g_dir_make_tmp ("tessera-kinds-XXXXXX", NULL);
  static const struct {
    const char *path;
    TessFileKind kind;
    const char *folder;
  } expected[] = {
      {"set", TESS_FILE_DATASET, "set"},
      {"set/imagesTr", TESS_FILE_DATASET, "set"},
      {"set/labelsTr", TESS_FILE_DATASET, "set"},
      {"set/dataset.json", TESS_FILE_DATASET, "set"},
      {"run", TESS_FILE_RUN, "run"},
      {"run/plan.json", TESS_FILE_RUN, "run"},
      {"run/snapshots", TESS_FILE_RUN, "run"},
      {"run/best.safetensors", TESS_FILE_MODEL, NULL},
      {"set/imagesTr/a.nii.gz", TESS_FILE_SCAN, NULL},
      {"run/log.csv", TESS_FILE_RUN, "run"},
      {"other/Nodules.CSV", TESS_FILE_FINDINGS, NULL},
      {"other/nodules.csv.gz", TESS_FILE_FINDINGS, NULL},
      {"other", TESS_FILE_FOLDER, NULL},
      {"trained", TESS_FILE_MODEL, NULL},
      {"trained/fold_1/checkpoint_final.pth", TESS_FILE_MODEL, NULL},
      {"nowhere", TESS_FILE_MISSING, NULL},
  };
  static const char *const folders[] = {"set",           "set/imagesTr", "set/labelsTr", "run",
                                        "run/snapshots", "other",        "trained",      "trained/fold_1"};
  static const char *const files[] = {
      "set/dataset.json",     "set/imagesTr/a.nii.gz", "run/plan.json",        "run/log.csv",
      "run/best.safetensors", "other/Nodules.CSV",     "other/nodules.csv.gz", "trained/fold_1/checkpoint_final.pth"};

  for (guint i = 0; i < G_N_ELEMENTS (folders); i++) {
    g_autofree char *path = g_build_filename (root, folders[i], NULL);

    g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
  }
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    touch (root, files[i]);
  for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
    g_autofree char *path = g_build_filename (root, expected[i].path, NULL), *folder = NULL;
    g_autofree char *wanted = expected[i].folder ? g_build_filename (root, expected[i].folder, NULL) : NULL;

    g_assert_cmpint (tess_file_kind_probe (path, &folder), ==, expected[i].kind);
    g_assert_cmpstr (folder, ==, wanted);
  }
  for (guint i = G_N_ELEMENTS (files); i-- > 0;) {
    g_autofree char *path = g_build_filename (root, files[i], NULL);

    g_unlink (path);
  }
  for (guint i = G_N_ELEMENTS (folders); i-- > 0;) {
    g_autofree char *path = g_build_filename (root, folders[i], NULL);

    g_rmdir (path);
  }
  g_assert_cmpint (g_rmdir (root), ==, 0);
}

static void
test_label_names (void)
{
  static const char *const labels[] = {
      "/a/labelsTr/hippocampus_001.nii.gz", "/a/b_seg.nii.gz", "/a/T1-Label.nii", "/a/aparc+aseg.nii.gz",
      "/a/t2s_gmseg_manual.nii.gz",         "/a/brainmask.nii"};
  static const char *const scans[] = {"/a/imagesTr/hippocampus_001_0000.nii.gz", "/a/segovia.nii", "/a/t1.nii.gz"};

  for (guint i = 0; i < G_N_ELEMENTS (labels); i++)
    g_assert_true (tess_file_name_says_labels (labels[i]));
  for (guint i = 0; i < G_N_ELEMENTS (scans); i++)
    g_assert_false (tess_file_name_says_labels (scans[i]));
}

int
main (int argc, char **argv)
{
  /* The user's own settings are not for tests. */
  g_setenv ("GSETTINGS_BACKEND", "memory", TRUE);
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/app/frame/hands", test_hands);
  g_test_add_func ("/app/frame/hands-words", test_hands_words);
  g_test_add_func ("/app/frame/settings", test_settings);
  g_test_add_func ("/app/frame/commands", test_commands);
  g_test_add_func ("/app/frame/kinds", test_kinds);
  g_test_add_func ("/app/frame/label-names", test_label_names);
  return g_test_run ();
}
