#pragma once

#include "../remove-tree.h"
#include "tess-atomic-file.h"
#include "tess-format-registry.h"

#include <glib/gstdio.h>

/* Folders and small volumes for the tests of this room. */

static inline void
write_text (const char *root, const char *name, const char *text)
{
  g_autofree char *path = g_build_filename (root, name, NULL);
  g_autofree char *dir = g_path_get_dirname (path);

  g_assert_true (tess_make_directory (dir, NULL));
  g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

/* name is below root; voxel i of channel c holds base + (i * step + c) % modulus. */
typedef struct {
  gint64 dim[3];
  gint64 n_channels;
  TessDType dtype;
  double shift_x; /* mm */
  int base, step, modulus;
} Fill;

static inline void
write_volume (const char *root, const char *name, Fill fill)
{
  g_autofree char *path = g_build_filename (root, name, NULL);
  g_autofree char *dir = g_path_get_dirname (path);
  TessAffine affine = {{{0.8, 0, 0, -20 + fill.shift_x}, {0, 0.8, 0, 7}, {0, 0, 2, 3}}};
  g_autoptr (TessVolume) volume = NULL;
  GError *error = NULL;
  gint64 n;

  g_assert_true (tess_make_directory (dir, NULL));
  volume = tess_volume_new (fill.dtype, fill.dim, MAX (fill.n_channels, 1), &affine, &error);
  g_assert_no_error (error);
  n = tess_volume_n_voxels (volume);
  for (gint64 c = 0; c < tess_volume_n_channels (volume); c++)
    for (gint64 i = 0; i < n; i++) {
      int v = fill.base + (int)((i * fill.step + c) % MAX (fill.modulus, 1));

      if (fill.dtype == TESS_DTYPE_U8)
        ((guint8 *)tess_volume_data_mut (volume))[c * n + i] = (guint8)v;
      else if (fill.dtype == TESS_DTYPE_I16)
        ((gint16 *)tess_volume_data_mut (volume))[c * n + i] = (gint16)v;
      else
        ((float *)tess_volume_data_mut (volume))[c * n + i] = (float)v;
    }
  g_assert_true (tess_volume_save (volume, path, NULL, &error));
  g_assert_no_error (error);
}

#define IMAGE_FILL ((Fill){.dim = {9, 8, 5}, .dtype = TESS_DTYPE_I16, .base = -50, .step = 7, .modulus = 301})
#define LABEL_FILL ((Fill){.dim = {9, 8, 5}, .dtype = TESS_DTYPE_U8, .step = 1, .modulus = 3})

static inline char *
make_root (void)
{
  g_autofree char *tmp = g_dir_make_tmp ("tessera-data-XXXXXX", NULL);
  char *root = g_build_filename (tmp, "Dataset007_Test", NULL);

  g_assert_true (tess_make_directory (root, NULL));
  return root;
}

static inline void
remove_root (const char *root)
{
  g_autofree char *tmp = g_path_get_dirname (root);

  remove_tree (tmp);
}
