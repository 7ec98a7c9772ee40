#include "tess-overlay.h"
#include "tess-pane.h"

#include <math.h>

static const TessAffine brain = {{{-2, 0, 0, 90}, {0, 2, 0, -126}, {0, 0, 2, -72}}}; /* stored right to left */

static TessScene *
make_scene (const TessAffine *affine, gint64 nx, gint64 ny, gint64 nz)
{
  const gint64 dim[3] = {nx, ny, nz};
  g_autoptr (TessVolume) volume = tess_volume_new (TESS_DTYPE_U8, dim, 1, affine, NULL);
  TessScene *scene = tess_scene_new ();

  tess_scene_add (scene, volume, "scan");
  return scene;
}

static void
assert_letters (TessScene *scene, TessPlane plane, const char *left, const char *right, const char *top,
                const char *bottom)
{
  const char *letters[4];

  tess_pane_letters (scene, plane, letters);
  g_assert_cmpstr (letters[0], ==, left);
  g_assert_cmpstr (letters[1], ==, right);
  g_assert_cmpstr (letters[2], ==, top);
  g_assert_cmpstr (letters[3], ==, bottom);
}

static void
test_letters (void)
{
  g_autoptr (TessScene) scene = make_scene (&brain, 91, 109, 91);

  assert_letters (scene, TESS_PLANE_AXIAL, "R", "L", "A", "P");
  assert_letters (scene, TESS_PLANE_CORONAL, "R", "L", "S", "I");
  assert_letters (scene, TESS_PLANE_SAGITTAL, "A", "P", "S", "I");
  scene->neurological = TRUE;
  assert_letters (scene, TESS_PLANE_AXIAL, "L", "R", "A", "P");
  assert_letters (scene, TESS_PLANE_CORONAL, "L", "R", "S", "I");
  assert_letters (scene, TESS_PLANE_SAGITTAL, "A", "P", "S", "I");
  scene->sagittal_nose_right = TRUE;
  assert_letters (scene, TESS_PLANE_SAGITTAL, "P", "A", "S", "I");
}

/* What is at the letter's edge lies in the letter's direction: the patient's left hand, nose and crown. */
static void
test_left_is_left (void)
{
  g_autoptr (TessScene) scene = make_scene (&brain, 91, 109, 91);
  const double left[3] = {-60, 0, 0}, nose[3] = {0, 80, 0}, crown[3] = {0, 0, 90};
  TessPane panes[TESS_N_PLANES];

  g_assert_cmpuint (tess_pane_layout (900, 600, -1, panes), ==, 3);
  for (int i = 0; i < 3; i++) {
    double x, y, middle_x = panes[i].x + panes[i].width / 2.0, middle_y = panes[i].y + panes[i].height / 2.0;

    tess_pane_fit (&panes[i], scene);
    if (panes[i].plane != TESS_PLANE_SAGITTAL) {
      tess_pane_from_world (&panes[i], scene, left, &x, &y);
      g_assert_cmpfloat (x, >, middle_x + 50.0);
    } else {
      tess_pane_from_world (&panes[i], scene, nose, &x, &y);
      g_assert_cmpfloat (x, <, middle_x - 50.0);
    }
    tess_pane_from_world (&panes[i], scene, panes[i].plane == TESS_PLANE_AXIAL ? nose : crown, &x, &y);
    g_assert_cmpfloat (y, <, middle_y - 50.0);
  }
}

static void
test_layout (void)
{
  TessPane panes[TESS_N_PLANES];
  gsize covered = 0;

  g_assert_cmpuint (tess_pane_layout (1281, 801, -1, panes), ==, 3);
  for (int i = 0; i < 3; i++) {
    g_assert_cmpint (panes[i].plane, ==, i);
    g_assert_cmpint (panes[i].x, >=, 0);
    g_assert_cmpint (panes[i].y, >=, 0);
    g_assert_cmpint (panes[i].x + panes[i].width, <=, 1281);
    g_assert_cmpint (panes[i].y + panes[i].height, <=, 801);
    covered += (gsize)(panes[i].width * panes[i].height);
    for (int k = 0; k < i; k++) /* two pixels apart at least */
      g_assert_true (panes[k].x + panes[k].width + 2 <= panes[i].x || panes[k].y + panes[k].height + 2 <= panes[i].y);
  }
  g_assert_cmpuint (covered, ==, 1281 * 801 - 2 * 801 - 2 * (1281 - 639 - 2)); /* all but the gaps */
  g_assert_cmpuint (tess_pane_layout (640, 480, TESS_PLANE_CORONAL, panes), ==, 1);
  g_assert_cmpint (panes[0].plane, ==, TESS_PLANE_CORONAL);
  g_assert_cmpint (panes[0].width, ==, 640);
  g_assert_cmpint (panes[0].height, ==, 480);
}

/* The outer corners of the scan lie in the pane, and it could not be much larger. */
static void
test_fit (void)
{
  const TessAffine tilted = {{{0.9, 0.1, 0, 5}, {-0.1, 1.2, 0.9, -9}, {0.05, -0.3, 3.1, 20}}};
  g_autoptr (TessScene) scene = make_scene (&tilted, 60, 80, 25);
  TessPane panes[TESS_N_PLANES];

  tess_pane_layout (700, 500, -1, panes);
  for (int i = 0; i < 3; i++) {
    double least[2] = {1e9, 1e9}, most[2] = {-1e9, -1e9};

    tess_pane_fit (&panes[i], scene);
    for (int corner = 0; corner < 8; corner++) {
      double p[3] = {corner & 1 ? 59.5 : -0.5, corner & 2 ? 79.5 : -0.5, corner & 4 ? 24.5 : -0.5}, world[3], at[2];

      tess_affine_apply (&tilted, p, world);
      tess_pane_from_world (&panes[i], scene, world, &at[0], &at[1]);
      for (int a = 0; a < 2; a++) {
        least[a] = fmin (least[a], at[a]);
        most[a] = fmax (most[a], at[a]);
      }
    }
    g_assert_cmpfloat (least[0], >=, panes[i].x);
    g_assert_cmpfloat (least[1], >=, panes[i].y);
    g_assert_cmpfloat (most[0], <=, panes[i].x + panes[i].width);
    g_assert_cmpfloat (most[1], <=, panes[i].y + panes[i].height);
    g_assert_cmpfloat (fmax ((most[0] - least[0]) / panes[i].width, (most[1] - least[1]) / panes[i].height), >, 0.95);
  }
}

static void
test_there_and_back (void)
{
  g_autoptr (TessScene) scene = make_scene (&brain, 91, 109, 91);
  TessPane pane = {TESS_PLANE_SAGITTAL, 37, 11, 400, 300, 3.7, {12.0, -5.5}};
  double world[3], x, y, right[3], down[3], normal[3];
  TessPaneMap map;

  scene->cursor[0] = 13.0;
  tess_pane_to_world (&pane, scene, 137.25, 211.5, world);
  tess_pane_from_world (&pane, scene, world, &x, &y);
  g_assert_cmpfloat_with_epsilon (x, 137.25, 1e-9);
  g_assert_cmpfloat_with_epsilon (y, 211.5, 1e-9);
  g_assert_cmpfloat_with_epsilon (world[0], 13.0, 1e-9); /* in the cursor's slice */
  tess_pane_map (&pane, scene, &map);                    /* pixel (0,0) has its centre half a pixel in */
  tess_pane_to_world (&pane, scene, 37.5, 11.5, world);
  for (int a = 0; a < 3; a++)
    g_assert_cmpfloat_with_epsilon (map.origin[a], world[a], 1e-9);
  tess_pane_axes (scene, TESS_PLANE_SAGITTAL, right, down, normal);
  g_assert_cmpfloat_with_epsilon (normal[0], 1.0, 1e-12);
  tess_pane_to_world (&pane, scene, 137.25 + 37.0, 211.5, world); /* ten millimetres: 37 pixels at 3.7 a mm */
  tess_pane_from_world (&pane, scene, world, &x, &y);
  g_assert_cmpfloat_with_epsilon (x, 174.25, 1e-9);
}

static void
test_scroll (void)
{
  g_autoptr (TessScene) scene = make_scene (&brain, 91, 109, 91);
  gint64 n;

  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_AXIAL, &n), ==, 46);
  g_assert_cmpint (n, ==, 91);
  g_assert_cmpfloat (tess_pane_step (scene, TESS_PLANE_AXIAL), ==, 2.0);
  tess_pane_scroll (scene, TESS_PLANE_AXIAL, 3);
  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_AXIAL, &n), ==, 49);
  g_assert_cmpfloat_with_epsilon (scene->cursor[2], 24.0, 1e-9); /* towards superior */
  tess_pane_scroll (scene, TESS_PLANE_SAGITTAL, 1);              /* towards right, although the file runs to the left */
  g_assert_cmpfloat_with_epsilon (scene->cursor[0], 2.0, 1e-9);
  tess_pane_scroll (scene, TESS_PLANE_CORONAL, -1);
  g_assert_cmpfloat_with_epsilon (scene->cursor[1], -20.0, 1e-9);
  tess_pane_scroll (scene, TESS_PLANE_CORONAL, 100000); /* stays in the scan */
  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_CORONAL, &n), ==, 109);
  tess_pane_scroll (scene, TESS_PLANE_CORONAL, -100000);
  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_CORONAL, &n), ==, 1);
  scene->cursor[2] += 0.7; /* between two slices: the next notch lands on a slice's centre */
  tess_pane_scroll (scene, TESS_PLANE_AXIAL, 1);
  g_assert_cmpfloat_with_epsilon (scene->cursor[2], 26.0, 1e-9);
}

static void
test_empty_scene (void)
{
  g_autoptr (TessScene) scene = tess_scene_new ();
  TessPane pane = {.plane = TESS_PLANE_AXIAL, .width = 100, .height = 100};
  gint64 n = 5;

  tess_pane_fit (&pane, scene);
  g_assert_cmpfloat (pane.zoom, >, 0.0);
  g_assert_cmpint (tess_pane_slice (scene, TESS_PLANE_AXIAL, &n), ==, 0);
  g_assert_cmpint (n, ==, 0);
  tess_pane_scroll (scene, TESS_PLANE_AXIAL, 1);
  g_assert_cmpfloat (tess_pane_step (scene, TESS_PLANE_AXIAL), ==, 1.0);
}

static void
test_position (void)
{
  g_autofree char *one = tess_format_position ((double[]){3.04, 12.0, 8.5});
  g_autofree char *two = tess_format_position ((double[]){-3.0, -12.0, -8.5});

  g_assert_cmpstr (one, ==, "R 3.0  A 12.0  S 8.5 mm");
  g_assert_cmpstr (two, ==, "L 3.0  P 12.0  I 8.5 mm");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/render/pane/letters", test_letters);
  g_test_add_func ("/render/pane/left-is-left", test_left_is_left);
  g_test_add_func ("/render/pane/layout", test_layout);
  g_test_add_func ("/render/pane/fit", test_fit);
  g_test_add_func ("/render/pane/there-and-back", test_there_and_back);
  g_test_add_func ("/render/pane/scroll", test_scroll);
  g_test_add_func ("/render/pane/empty-scene", test_empty_scene);
  g_test_add_func ("/render/pane/position", test_position);
  return g_test_run ();
}
