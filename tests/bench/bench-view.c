#include <math.h>
#include <stdio.h>
#include <glib/gstdio.h>
#include <stdlib.h>

#include "tess-format-registry.h"
#include "tess-renderer.h"

/* The renderer without a window: three panes at 1280 x 800 of a head (181 x 217 x 181, 1 mm, i16) under labels, drawn
 * into a framebuffer and read back. Then how long reading a large CT takes.
 * bench_view_peer.py measures the window itself, beside mrview. JSON lines for run.py.
 *
 * bench-view --make FOLDER writes the scans that the peer script opens: head.nii, ct.nii.gz. */

#define WIDTH 1280
#define HEIGHT 800
#define FRAMES 60

static void
fail (GError *error)
{
  fprintf (stderr, "bench-view: %s\n", error->message);
  exit (1);
}

static void
print (const char *name, const char *unit, double value)
{
  printf ("{\"bench\": \"view\", \"case\": \"%s\", \"unit\": \"%s\", \"ours\": %.5g, \"peer\": null, "
          "\"peer_value\": null, \"ratio\": null}\n",
          name, unit, value);
  fflush (stdout);
}

static double
now (void)
{
  return (double)g_get_monotonic_time () / 1e6;
}

/* A head's (or a trunk's) size and smoothness: a shell with texture and noise. A trunk goes on where the scan ends. */
static TessVolume *
make_scan (gint64 nx, gint64 ny, gint64 nz, double mm, gboolean trunk)
{
  const gint64 dim[3] = {nx, ny, nz};
  TessAffine affine = tess_affine_scale (mm, mm, mm);
  GError *error = NULL;
  TessVolume *volume = tess_volume_new (TESS_DTYPE_I16, dim, 1, &affine, &error);
  gint16 *data;
  guint32 random = 1;

  if (!volume)
    fail (error);
  data = tess_volume_data_mut (volume);
  for (gint64 z = 0; z < nz; z++)
    for (gint64 y = 0; y < ny; y++)
      for (gint64 x = 0; x < nx; x++) {
        double a = 2.2 * (double)x / (double)nx - 1.1, b = 2.2 * (double)y / (double)ny - 1.1,
               c = 2.2 * (double)z / (double)nz - 1.1, r = a * a + b * b + (trunk ? 0.0 : c * c);

        random = random * 1664525u + 1013904223u;
        data[x + nx * (y + ny * z)] = (gint16)((r > 1.0   ? 20.0
                                                : r > 0.8 ? 900.0
                                                          : 400.0 + 200.0 * sin (9.0 * a) * cos (11.0 * b + 5.0 * c)) +
                                               (double)(random >> 27));
      }
  return volume;
}

static TessVolume *
make_labels (gint64 nx, gint64 ny, gint64 nz)
{
  const gint64 dim[3] = {nx, ny, nz};
  TessAffine affine = tess_affine_identity ();
  GError *error = NULL;
  TessVolume *volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, &error);
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  guint8 *data;

  if (!volume)
    fail (error);
  data = tess_volume_data_mut (volume);
  for (gint64 z = 0; z < nz; z++)
    for (gint64 y = 0; y < ny; y++)
      for (gint64 x = 0; x < nx; x++)
        data[x + nx * (y + ny * z)] =
            (guint8)MAX (0.0, 3.0 + 4.0 * sin ((double)x / 17.0) * sin ((double)y / 23.0) * sin ((double)z / 19.0));
  for (gint64 value = 1; value < 8; value++)
    tess_label_table_add (table, value, "label", NULL);
  tess_volume_set_labels (volume, table);
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  return volume;
}

typedef enum { DRAG_WINDOW, SCROLL, SCROLL_ALL } What;

static double
frames_a_second (TessOffscreen *offscreen, TessScene *scene, TessPane *panes, What what, guint8 *rgba)
{
  TessLayer *layer = tess_scene_main (scene);
  GError *error = NULL;
  double start = 0.0;

  for (int frame = -5; frame < FRAMES; frame++) {
    if (frame == 0)
      start = now ();
    if (what == DRAG_WINDOW) {
      layer->lower += 1.0;
      layer->upper += 2.0;
    } else {
      for (int plane = 0; plane < (what == SCROLL ? 1 : TESS_N_PLANES); plane++)
        tess_pane_scroll (scene, (TessPlane)plane, (frame + 5) % 30 < 15 ? 1 : -1);
    }
    if (!tess_offscreen_draw (offscreen, scene, panes, TESS_N_PLANES, rgba, &error))
      fail (error);
  }
  return FRAMES / (now () - start);
}

static void
bench_drawing (void)
{
  static const char *const names[] = {"offscreen-window-drag", "offscreen-scroll-one-plane",
                                      "offscreen-scroll-all-planes"};
  g_autoptr (TessVolume) head = make_scan (181, 217, 181, 1.0, FALSE);
  g_autoptr (TessVolume) labels = make_labels (181, 217, 181);
  g_autoptr (TessScene) scene = tess_scene_new ();
  g_autofree guint8 *rgba = g_malloc (WIDTH * HEIGHT * 4);
  TessPane panes[TESS_N_PLANES];
  GError *error = NULL;
  TessOffscreen *offscreen = tess_offscreen_new (WIDTH, HEIGHT, &error);

  if (!offscreen)
    fail (error);
  tess_scene_add (scene, head, "head");
  tess_pane_layout (WIDTH, HEIGHT, -1, panes);
  for (int i = 0; i < TESS_N_PLANES; i++)
    tess_pane_fit (&panes[i], scene);
  for (int with_labels = 0; with_labels < 2; with_labels++) {
    if (with_labels)
      tess_scene_add (scene, labels, "labels");
    for (What what = DRAG_WINDOW; what <= SCROLL_ALL; what++) {
      g_autofree char *name = g_strconcat (names[what], with_labels ? "-with-labels" : "", NULL);

      print (name, "frames/s", frames_a_second (offscreen, scene, panes, what, rgba));
    }
  }
  tess_offscreen_free (offscreen);
}

static void
save (TessVolume *volume, const char *path)
{
  GError *error = NULL;

  if (!tess_volume_save (volume, path, NULL, &error))
    fail (error);
}

static void
make_files (const char *folder)
{
  g_autofree char *head_path = g_build_filename (folder, "head.nii", NULL);
  g_autofree char *ct_path = g_build_filename (folder, "ct.nii.gz", NULL);
  g_autoptr (TessVolume) head = make_scan (181, 217, 181, 1.0, FALSE);
  g_autoptr (TessVolume) ct = make_scan (512, 512, 600, 0.8, TRUE);

  save (head, head_path);
  save (ct, ct_path);
}

static void
bench_reading (const char *folder)
{
  g_autofree char *path = g_build_filename (folder, "ct.nii.gz", NULL),
                  *head = g_build_filename (folder, "head.nii", NULL);
  GError *error = NULL;
  double start;

  make_files (folder);
  for (int i = 0; i < 2; i++) { /* the first brings the file into the page cache */
    g_autoptr (TessVolume) volume = NULL;

    start = now ();
    volume = tess_volume_load (path, NULL, &error);
    if (!volume)
      fail (error);
    if (i)
      print ("read-512x512x600-nii-gz", "s", now () - start);
  }
  g_unlink (path);
  g_unlink (head);
}

int
main (int argc, char **argv)
{
  GError *error = NULL;
  g_autofree char *folder = NULL;

  if (argc == 3 && g_str_equal (argv[1], "--make")) {
    make_files (argv[2]);
    return 0;
  }
  folder = g_dir_make_tmp ("bench-view-XXXXXX", &error);
  if (!folder)
    fail (error);
  bench_drawing ();
  bench_reading (folder);
  g_rmdir (folder);
  return 0;
}
