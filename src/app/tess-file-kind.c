#include "tess-file-kind.h"

#include "tess-format-registry.h"
#include "tess-model.h"
#include "tess-statistics.h"

#include <string.h>

static gboolean
has (const char *folder, const char *name, GFileTest test)
{
  g_autofree char *path = g_build_filename (folder, name, NULL);

  return g_file_test (path, test);
}

static gboolean
is_dataset (const char *folder)
{
  return has (folder, "imagesTr", G_FILE_TEST_IS_DIR);
}

static gboolean
is_run (const char *folder)
{
  return has (folder, "plan.json", G_FILE_TEST_IS_REGULAR) &&
         (has (folder, "log.csv", G_FILE_TEST_IS_REGULAR) || has (folder, "progress.json", G_FILE_TEST_IS_REGULAR) ||
          has (folder, "latest.safetensors", G_FILE_TEST_IS_REGULAR));
}

static TessFileKind
probe_folder (const char *path, char **folder)
{
  static const char *const inside[] = {"imagesTr", "labelsTr", "imagesTs", "labelsTs", "snapshots", "cases"};
  g_autofree char *whole = g_canonicalize_filename (path, NULL);
  g_autofree char *name = g_path_get_basename (whole), *parent = g_path_get_dirname (whole);

  if (is_run (whole)) {
    *folder = g_steal_pointer (&whole);
    return TESS_FILE_RUN;
  }
  if (is_dataset (whole)) {
    *folder = g_steal_pointer (&whole);
    return TESS_FILE_DATASET;
  }
  for (guint i = 0; i < G_N_ELEMENTS (inside); i++)
    if (strcmp (name, inside[i]) == 0) {
      if (i < 4 ? is_dataset (parent) : is_run (parent)) {
        *folder = g_steal_pointer (&parent);
        return i < 4 ? TESS_FILE_DATASET : TESS_FILE_RUN;
      }
    }
  return tess_model_is_named (whole) ? TESS_FILE_MODEL : TESS_FILE_FOLDER;
}

static gboolean
is_table (const char *name)
{
  g_autofree char *lower = g_ascii_strdown (name, -1);

  return g_str_has_suffix (lower, ".csv") || g_str_has_suffix (lower, ".csv.gz");
}

/* A file that stands for the folder it is in. */
static TessFileKind
probe_part (const char *path, char **folder)
{
  g_autofree char *whole = g_canonicalize_filename (path, NULL);
  g_autofree char *name = g_path_get_basename (whole), *parent = g_path_get_dirname (whole);
  gboolean of_run = strcmp (name, "plan.json") == 0 || strcmp (name, "log.csv") == 0 ||
                    strcmp (name, "progress.json") == 0 || strcmp (name, "dataset.json") == 0;

  if (of_run && is_run (parent)) {
    *folder = g_steal_pointer (&parent);
    return TESS_FILE_RUN;
  }
  if (strcmp (name, "dataset.json") == 0 && is_dataset (parent)) {
    *folder = g_steal_pointer (&parent);
    return TESS_FILE_DATASET;
  }
  return is_table (name) ? TESS_FILE_FINDINGS : TESS_FILE_SCAN;
}

TessFileKind
tess_file_kind_probe (const char *path, char **folder)
{
  *folder = NULL;
  if (!g_file_test (path, G_FILE_TEST_EXISTS)) {
    g_autofree char *file = tess_volume_location_file (path); /* of PATH::ENTRY */

    return strcmp (file, path) != 0 && g_file_test (file, G_FILE_TEST_EXISTS) ? TESS_FILE_SCAN : TESS_FILE_MISSING;
  }
  if (g_file_test (path, G_FILE_TEST_IS_DIR))
    return probe_folder (path, folder);
  if (tess_model_is_file_name (path))
    return TESS_FILE_MODEL;
  return probe_part (path, folder);
}

gboolean
tess_file_name_says_labels (const char *path)
{
  static const char *const words[] = {"label",        "labels", "seg",   "mask",   "aseg",
                                      "segmentation", "parc",   "aparc", "wmparc", "dseg",
                                      "parcellation", "atlas",  "gt",    "truth",  "roi"};
  g_autofree char *stem = tess_volume_stem (path), *folder = g_path_get_dirname (path);
  g_autofree char *folder_name = g_path_get_basename (folder), *lower = g_ascii_strdown (stem, -1);
  g_auto (GStrv) parts = g_strsplit_set (lower, "_-.+ ", -1);

  if (strcmp (folder_name, "labelsTr") == 0 || strcmp (folder_name, "labelsTs") == 0)
    return TRUE;
  for (guint i = 0; parts[i]; i++) {
    for (guint j = 0; j < G_N_ELEMENTS (words); j++)
      if (strcmp (parts[i], words[j]) == 0)
        return TRUE;
    if (g_str_has_suffix (parts[i], "seg") || g_str_has_suffix (parts[i], "mask")) /* gmseg, brainmask */
      return TRUE;
  }
  return FALSE;
}

gboolean
tess_volume_looks_like_labels (const TessVolume *volume)
{
  g_autoptr (GArray) values = NULL;
  g_autoptr (GArray) counts = NULL;

  if (tess_volume_intent (volume) == TESS_INTENT_LABEL)
    return TRUE;
  if (!tess_dtype_is_integer (tess_volume_dtype (volume)) || tess_volume_n_channels (volume) != 1 ||
      !tess_volume_label_counts (volume, &values, &counts, NULL))
    return FALSE;
  /* An 8-bit scan has up to 256 values as well; labels have fewer, and background is what there is most of. */
  if (values->len == 0 || values->len > 64 || g_array_index (values, gint64, 0) != 0)
    return FALSE;
  for (guint i = 1; i < counts->len; i++)
    if (g_array_index (counts, gint64, i) > g_array_index (counts, gint64, 0))
      return FALSE;
  return TRUE;
}
