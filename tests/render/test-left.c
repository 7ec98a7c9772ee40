/* Left is left with real files: one brain stored in many orders looks the same. */
#include "picture.h"
#include "tess-format-registry.h"

#include <math.h>
#include <string.h>

#define WIDTH 400
#define HEIGHT 300

static char *
shared_file (const char *path)
{
  const char *folder = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *file = folder ? g_build_filename (folder, path, NULL) : NULL;

  if (file && g_file_test (file, G_FILE_TEST_EXISTS))
    return g_steal_pointer (&file);
  g_test_skip ("the shared test files are not here (TESSERA_SHARED_DATA)");
  return NULL;
}

/* All three planes; the window is the same for all files, because it is not what is asked here. */
static guint8 *
draw_file (const char *path, gboolean volumes, gboolean nearest)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessVolume) volume = tess_volume_load (path, NULL, &error);
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessPane panes[TESS_N_PLANES];
  TessLayer *layer;
  guint n = tess_pane_layout (WIDTH, HEIGHT, -1, panes);

  g_assert_no_error (error);
  layer = tess_scene_add (scene, volume, "brain");
  layer->linear = !nearest;
  layer->lower = 20.0;
  layer->upper = 200.0;
  for (guint i = 0; i < n; i++) {
    const char *letters[4];

    tess_pane_fit (&panes[i], scene);
    tess_pane_letters (scene, panes[i].plane, letters);
    g_assert_cmpstr (letters[0], ==, panes[i].plane == TESS_PLANE_SAGITTAL ? "A" : "R");
    g_assert_cmpstr (letters[2], ==, panes[i].plane == TESS_PLANE_AXIAL ? "A" : "S");
  }
  return picture_draw (scene, panes, n, WIDTH, HEIGHT, volumes);
}

/* Whether a pixel lies beside one that is black: at the edge of what is drawn. */
static gboolean
at_edge (const guint8 *rgba, int i, int j)
{
  for (int dy = -1; dy <= 1; dy++)
    for (int dx = -1; dx <= 1; dx++) {
      int x = CLAMP (i + dx, 0, WIDTH - 1), y = CLAMP (j + dy, 0, HEIGHT - 1);
      const guint8 *p = rgba + 4 * (y * WIDTH + x);

      if (p[0] + p[1] + p[2] == 0)
        return TRUE;
    }
  return FALSE;
}

/* Pixels that differ by more than a step; each of them at the edge of what is drawn. */
static guint
count_different (const guint8 *a, const guint8 *b)
{
  guint n = 0;

  for (int j = 0; j < HEIGHT; j++)
    for (int i = 0; i < WIDTH; i++) {
      int at = 4 * (j * WIDTH + i), error = 0;

      for (int c = 0; c < 3; c++)
        error = MAX (error, ABS (a[at + c] - b[at + c]));
      if (error <= 1)
        continue;
      n++;
      g_assert_true (at_edge (a, i, j) || at_edge (b, i, j));
    }
  return n;
}

static gboolean
has_picture (const guint8 *rgba)
{
  guint n = 0;

  for (int i = 0; i < WIDTH * HEIGHT; i++)
    n += rgba[4 * i] > 60;
  return n > WIDTH * HEIGHT / 10;
}

static void
test_two_brains (gconstpointer data)
{
  g_autofree char *lr = shared_file ("nifti/dtype/avg152T1_LR_nifti.nii");
  g_autofree char *rl = lr ? shared_file ("nifti/dtype/avg152T1_RL_nifti.nii.gz") : NULL;
  g_autofree guint8 *a = rl ? draw_file (lr, data != NULL, FALSE) : NULL;
  g_autofree guint8 *b = a ? draw_file (rl, data != NULL, FALSE) : NULL;

  if (!b)
    return;
  g_assert_true (has_picture (a));
  if (data) /* a graphics card counts in single precision, from the other end */
    g_assert_cmpuint (count_different (a, b), ==, 0);
  else
    g_assert_cmpmem (a, WIDTH * HEIGHT * 4, b, WIDTH * HEIGHT * 4);
}

/* Interpolated, and as nearest voxels: at every midway point the same choice. The affines of the files
 * differ by up to 3e-6 mm. */
static void
test_orientations (gconstpointer data)
{
  g_autofree char *folder = shared_file ("nifti/orient48");
  g_autoptr (GDir) dir = folder ? g_dir_open (folder, 0, NULL) : NULL;
  g_autofree guint8 *linear = NULL, *nearest_voxels = NULL;
  guint8 **first[2] = {&linear, &nearest_voxels};
  const char *name;
  guint n = 0;

  if (!dir)
    return;
  while ((name = g_dir_read_name (dir))) {
    g_autofree char *path = g_build_filename (folder, name, NULL);

    for (int nearest = 0; nearest < 2; nearest++) {
      g_autofree guint8 *rgba = draw_file (path, data != NULL, nearest);
      guint different;

      if (!rgba)
        return;
      if (!*first[nearest]) {
        *first[nearest] = g_steal_pointer (&rgba);
        g_assert_true (has_picture (*first[nearest]));
        continue;
      }
      different = count_different (*first[nearest], rgba);
      if (different)
        g_test_message ("%s: %u pixels differ", name, different);
      g_assert_cmpuint (different, ==, 0);
    }
    n++;
  }
  g_assert_cmpuint (n, >, 10);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/render/left/two-brains/planes", NULL, test_two_brains);
  g_test_add_data_func ("/render/left/two-brains/volumes", "v", test_two_brains);
  g_test_add_data_func ("/render/left/orientations/planes", NULL, test_orientations);
  g_test_add_data_func ("/render/left/orientations/volumes", "v", test_orientations);
  return g_test_run ();
}
