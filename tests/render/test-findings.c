/* Findings over the slices: circles where the planes cut their spheres. */
#include "tess-overlay.h"

#include <math.h>
#include <string.h>

#define SIZE 200

static TessScene *
make_scene (double diameter)
{
  const gint64 dim[3] = {40, 40, 20};
  const TessAffine affine = {{{0.8, 0.6, 0, -12}, {-0.6, 0.8, 0, 5}, {0, 0, 2, 7}}}; /* turned about the long axis */
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
  g_autoptr (TessFindings) findings = tess_findings_new (NULL);
  TessScene *scene = tess_scene_new ();
  double world[3];

  tess_scene_add (scene, volume, "a");
  tess_scene_reset (scene);
  tess_affine_apply (&affine, (double[]){20, 20, 10}, world);
  tess_findings_add (findings, "", world, diameter, (const char *[]){NULL});
  tess_scene_set_findings (scene, findings);
  memcpy (scene->cursor, world, sizeof world);
  return scene;
}

/* Radius of the circle that is drawn in a pane, in mm: over the pixels that are coloured; 0 when none is. */
static double
drawn_radius (const TessScene *scene, TessPlane plane, double *zoom)
{
  TessOverlay overlay = {.findings = TRUE, .scale = 1.0};
  TessPane pane = {.plane = plane, .width = SIZE, .height = SIZE};
  cairo_surface_t *surface = cairo_image_surface_create (CAIRO_FORMAT_ARGB32, SIZE, SIZE);
  cairo_t *cr = cairo_create (surface);
  double x, y, sum = 0;
  int n = 0, sides[4] = {0};

  tess_pane_fit (&pane, scene);
  tess_overlay_draw (&overlay, cr, scene, &pane, 1);
  cairo_surface_flush (surface);
  tess_pane_from_world (&pane, scene, tess_findings_peek (scene->findings, 0)->world, &x, &y);
  for (int j = 0; j < SIZE; j++)
    for (int i = 0; i < SIZE; i++) {
      const guint8 *p = cairo_image_surface_get_data (surface) + j * cairo_image_surface_get_stride (surface) + 4 * i;

      if (p[0] < 200) /* blue: of the line, not of its dark halo */
        continue;
      sum += hypot (i + 0.5 - x, j + 0.5 - y);
      sides[(i > x) + 2 * (j > y)]++;
      n++;
    }
  for (int i = 0; i < 4 && n > 0; i++)
    g_assert_cmpint (sides[i], >, n / 8); /* all round it */
  cairo_destroy (cr);
  cairo_surface_destroy (surface);
  *zoom = pane.zoom;
  return n > 0 ? sum / n / pane.zoom : 0.0;
}

static void
test_circle (void)
{
  g_autoptr (TessScene) scene = make_scene (20);
  double zoom;

  for (int plane = 0; plane < TESS_N_PLANES; plane++)
    g_assert_cmpfloat_with_epsilon (drawn_radius (scene, (TessPlane)plane, &zoom), 10, 0.3);
  scene->cursor[2] += 6; /* 3 : 4 : 5 */
  g_assert_cmpfloat_with_epsilon (drawn_radius (scene, TESS_PLANE_AXIAL, &zoom), 8, 0.3);
  scene->cursor[2] += 5;
  g_assert_cmpfloat (drawn_radius (scene, TESS_PLANE_AXIAL, &zoom), ==, 0);
  g_assert_cmpfloat_with_epsilon (drawn_radius (scene, TESS_PLANE_CORONAL, &zoom), 10, 0.3);
  tess_scene_set_findings (scene, NULL);
  g_assert_null (scene->findings);
}

/* Of a size that is not known, or smaller than the slices are apart: seen in the slice next to it, never too small. */
static void
test_small (void)
{
  static const double diameters[] = {NAN, 0.1};

  for (guint i = 0; i < G_N_ELEMENTS (diameters); i++) {
    g_autoptr (TessScene) scene = make_scene (diameters[i]);
    double zoom, radius;

    scene->cursor[2] += 0.9;
    radius = drawn_radius (scene, TESS_PLANE_AXIAL, &zoom);
    g_assert_cmpfloat_with_epsilon (radius * zoom, 4, 0.6);
    scene->cursor[2] += 0.2;
    g_assert_cmpfloat (drawn_radius (scene, TESS_PLANE_AXIAL, &zoom), ==, 0);
  }
}

/* Numbers without end are no reason to hang or to draw nonsense. */
static void
test_far (void)
{
  g_autoptr (TessScene) scene = make_scene (20);
  g_autoptr (TessFindings) far = tess_findings_new (NULL);
  double zoom;

  tess_findings_add (far, "", tess_findings_peek (scene->findings, 0)->world, 20, (const char *[]){NULL});
  tess_findings_add (far, "", (double[]){1e300, -1e300, 1e300}, 1e308, (const char *[]){NULL});
  tess_findings_add (far, "", (double[]){1e9, 0, scene->cursor[2]}, 3, (const char *[]){NULL});
  tess_scene_set_findings (scene, far);
  g_assert_cmpfloat_with_epsilon (drawn_radius (scene, TESS_PLANE_AXIAL, &zoom), 10, 0.3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/render/findings/circle", test_circle);
  g_test_add_func ("/render/findings/small", test_small);
  g_test_add_func ("/render/findings/far", test_far);
  return g_test_run ();
}
