/* The graphics driver has no room for a volume: its planes are drawn instead, and nobody sees a difference. */
#include "picture.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define WIDTH 160
#define HEIGHT 120
#define SIDE 400 /* voxels: 64 MB */

static TessVolume *
make_volume (int side)
{
  const gint64 dim[3] = {side, side, side};
  TessAffine affine = tess_affine_identity ();
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, &error);
  guint8 *data;

  g_assert_no_error (error);
  data = tess_volume_data_mut (volume);
  for (int z = 0; z < side; z++)
    for (int y = 0; y < side; y++)
      for (int x = 0; x < side; x++)
        data[x + side * (y + side * z)] = (guint8)(x + 2 * y + 3 * z);
  return volume;
}

static TessScene *
make_scene (int side)
{
  g_autoptr (TessVolume) volume = make_volume (side);
  TessScene *scene = tess_scene_new ();
  TessLayer *layer = tess_scene_add (scene, volume, "large");

  layer->lower = 0.0;
  layer->upper = 255.0;
  layer->linear = FALSE; /* the same byte for byte */
  return scene;
}

/* This process may take that many bytes more. */
static void
limit_memory (gsize more)
{
  g_autofree char *text = NULL;
  struct rlimit limit;

  g_assert_true (g_file_get_contents ("/proc/self/statm", &text, NULL, NULL));
  limit.rlim_cur = limit.rlim_max = g_ascii_strtoull (text, NULL, 10) * (rlim_t)sysconf (_SC_PAGESIZE) + more;
  g_assert_cmpint (setrlimit (RLIMIT_AS, &limit), ==, 0);
}

static void
draw (TessOffscreen *offscreen, TessScene *scene, guint8 *rgba)
{
  TessPane panes[TESS_N_PLANES];
  g_autoptr (GError) error = NULL;
  guint n = tess_pane_layout (WIDTH, HEIGHT, -1, panes);

  for (guint i = 0; i < n; i++)
    tess_pane_fit (&panes[i], scene);
  tess_offscreen_draw (offscreen, scene, panes, n, rgba, &error);
  g_assert_no_error (error);
}

static void
test_no_room_child (void)
{
  g_autofree guint8 *planes = g_malloc (WIDTH * HEIGHT * 4), *volumes = g_malloc (WIDTH * HEIGHT * 4);
  g_autoptr (TessScene) small = make_scene (16), large = make_scene (SIDE);
  g_autoptr (GError) error = NULL;
  TessOffscreen *by_planes, *by_volumes;

  g_unsetenv ("TESSERA_GL_VOLUMES");
  by_planes = tess_offscreen_new (WIDTH, HEIGHT, &error);
  g_assert_no_error (error);
  draw (by_planes, large, planes);
  tess_offscreen_free (by_planes);
  g_setenv ("TESSERA_GL_VOLUMES", "1", TRUE);
  by_volumes = tess_offscreen_new (WIDTH, HEIGHT, &error);
  g_assert_no_error (error);
  draw (by_volumes, small, volumes);
  draw (by_volumes, small, volumes);
  limit_memory ((gsize)SIDE * SIDE * SIDE / 2);
  draw (by_volumes, large, volumes);
  g_assert_cmpmem (planes, WIDTH * HEIGHT * 4, volumes, WIDTH * HEIGHT * 4);
  tess_offscreen_free (by_volumes);
}

static void
test_no_room (void)
{
  g_autoptr (GError) error = NULL;
  TessOffscreen *offscreen;

  if (g_test_subprocess ()) {
    test_no_room_child ();
    return;
  }
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
  g_test_skip ("sanitizers need address space of their own");
  return;
#endif
  offscreen = tess_offscreen_new (WIDTH, HEIGHT, &error);
  if (!offscreen) {
    g_test_skip (error->message);
    return;
  }
  tess_offscreen_free (offscreen);
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_test_trap_assert_passed ();
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/render/room/volume", test_no_room);
  return g_test_run ();
}
