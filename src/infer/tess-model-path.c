/* Where a model is: a file, or a folder in which a training left one. */

#include "tess-model-private.h"

#include <string.h>

#define MAX_FOLDS 20

gboolean
tess_model_is_file_name (const char *path)
{
  static const char *const endings[] = {".safetensors", ".pth", ".pt", ".model"};
  g_autofree char *lower = g_ascii_strdown (path, -1);

  for (guint i = 0; i < G_N_ELEMENTS (endings); i++)
    if (g_str_has_suffix (lower, endings[i]))
      return TRUE;
  return FALSE;
}

static char *
file_in (const char *folder, const char *below)
{
  /* nnU-Net v2's, a run folder's, nnU-Net v1's; the last epoch's before the best, as nnU-Net predicts */
  static const char *const names[] = {"checkpoint_final.pth", "checkpoint_best.pth", "best.safetensors",
                                      "model_final_checkpoint.model", "model_best.model"};

  g_autofree char *whole = g_build_filename (folder, below, NULL);

  if (!g_file_test (whole, G_FILE_TEST_IS_DIR))
    return NULL;
  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autofree char *path = g_build_filename (whole, names[i], NULL);

    if (g_file_test (path, G_FILE_TEST_IS_REGULAR))
      return g_steal_pointer (&path);
  }
  return NULL;
}

/**
 * tess_model_in_folder:
 * @n_folds: (out) (optional): in how many folders of folds there is one
 *
 * The model of a run folder, of a fold's folder of nnU-Net, or of the folder above those
 * (TRAINER__PLANS__CONFIGURATION), where it is that trained on all cases, or else the first fold's. Looks at names
 * only.
 *
 * Returns: (transfer full): the file, or NULL.
 */
char *
tess_model_in_folder (const char *folder, guint *n_folds)
{
  g_autofree char *first = file_in (folder, "");
  guint n = 0;

  for (guint i = 0; i <= MAX_FOLDS; i++) {
    /* version 2 writes fold_all, version 1 all */
    g_autofree char *name = i == 0 ? g_strdup ("fold_all") : g_strdup_printf ("fold_%u", i - 1);
    g_autofree char *path = file_in (folder, name);

    if (!path && i == 0)
      path = file_in (folder, "all");
    if (path)
      n++;
    if (!first)
      first = g_steal_pointer (&path);
  }
  if (n_folds)
    *n_folds = n;
  return g_steal_pointer (&first);
}

/* A file that is called one or a folder that holds one. */
gboolean
tess_model_is_named (const char *path)
{
  g_autofree char *inside = NULL;

  if (!g_file_test (path, G_FILE_TEST_IS_DIR))
    return tess_model_is_file_name (path);
  inside = tess_model_in_folder (path, NULL);
  return inside != NULL;
}

/* Sets model->path: the file itself, or the one in a folder. */
gboolean
tess_model_locate (TessModel *model, const char *path, guint *n_folds, GError **error)
{
  *n_folds = 0;
  model->path = g_file_test (path, G_FILE_TEST_IS_DIR) ? tess_model_in_folder (path, n_folds) : g_strdup (path);
  if (model->path)
    return TRUE;
  g_set_error (
      error, TESS_ERROR, TESS_ERROR_FORMAT,
      _ ("%s: this folder holds no model; give a run folder with best.safetensors in it, or nnU-Net's folder of "
         "a training, with fold_0/checkpoint_final.pth in it"),
      path);
  return FALSE;
}
