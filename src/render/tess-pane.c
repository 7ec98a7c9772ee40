#include "tess-pane.h"

#include <math.h>
#include <string.h>

static double
dot (const double a[3], const double b[3])
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/**
 * tess_pane_axes:
 *
 * Unit vectors (world) of a plane's screen: to the right, down, and its normal (towards left-to-right, posterior-to-
 * anterior or inferior-to-superior). Radiological: the patient's left is on the right of the screen.
 */
void
tess_pane_axes (const TessScene *scene, TessPlane plane, double right[3], double down[3], double normal[3])
{
  double side = scene->neurological ? 1.0 : -1.0, nose = scene->sagittal_nose_right ? 1.0 : -1.0;

  for (int a = 0; a < 3; a++) {
    double r = scene->basis[0][a], f = scene->basis[1][a], s = scene->basis[2][a];

    switch (plane) {
    case TESS_PLANE_AXIAL:
      right[a] = side * r, down[a] = -f, normal[a] = s;
      break;
    case TESS_PLANE_SAGITTAL:
      right[a] = nose * f, down[a] = -s, normal[a] = r;
      break;
    default:
      right[a] = side * r, down[a] = -s, normal[a] = f;
      break;
    }
  }
}

static void
layer_centre (const TessLayer *layer, double centre[3])
{
  double middle[3];

  for (int k = 0; k < 3; k++)
    middle[k] = (double)(tess_volume_dim (layer->volume)[k] - 1) / 2.0;
  tess_affine_apply (tess_volume_affine (layer->volume), middle, centre);
}

/* Chooses the zoom at which the whole main layer is seen with a narrow margin, and centres it. */
void
tess_pane_fit (TessPane *pane, const TessScene *scene)
{
  TessLayer *layer = tess_scene_main (scene);
  double right[3], down[3], normal[3], half[2] = {1.0, 1.0};

  pane->pan[0] = pane->pan[1] = 0.0;
  pane->zoom = 1.0;
  if (!layer)
    return;
  tess_pane_axes (scene, pane->plane, right, down, normal);
  half[0] = half[1] = 0.0;
  for (int k = 0; k < 3; k++) {
    const TessAffine *affine = tess_volume_affine (layer->volume);
    double column[3] = {affine->m[0][k], affine->m[1][k], affine->m[2][k]};
    double n = (double)tess_volume_dim (layer->volume)[k];

    half[0] += 0.5 * n * fabs (dot (column, right));
    half[1] += 0.5 * n * fabs (dot (column, down));
  }
  pane->zoom = 0.96 * MIN (pane->width / (2.0 * half[0]), pane->height / (2.0 * half[1]));
}

void
tess_pane_map (const TessPane *pane, const TessScene *scene, TessPaneMap *map)
{
  TessLayer *layer = tess_scene_main (scene);
  double right[3], down[3], centre[3] = {0.0, 0.0, 0.0}, offset;

  tess_pane_axes (scene, pane->plane, right, down, map->normal);
  if (layer)
    layer_centre (layer, centre);
  offset = dot (scene->cursor, map->normal) - dot (centre, map->normal);
  for (int a = 0; a < 3; a++) {
    double c = centre[a] + offset * map->normal[a] + pane->pan[0] * right[a] + pane->pan[1] * down[a];

    map->u[a] = right[a] / pane->zoom;
    map->v[a] = down[a] / pane->zoom;
    map->origin[a] = c - ((double)pane->width - 1.0) / 2.0 * map->u[a] - ((double)pane->height - 1.0) / 2.0 * map->v[a];
  }
}

void
tess_pane_to_world (const TessPane *pane, const TessScene *scene, double px, double py, double world[3])
{
  TessPaneMap map;

  tess_pane_map (pane, scene, &map);
  px -= pane->x + 0.5;
  py -= pane->y + 0.5;
  for (int a = 0; a < 3; a++)
    world[a] = map.origin[a] + px * map.u[a] + py * map.v[a];
}

/* The canvas point under which a world point lies once it is projected onto the pane's plane. */
void
tess_pane_from_world (const TessPane *pane, const TessScene *scene, const double world[3], double *px, double *py)
{
  TessPaneMap map;
  double d[3], scale = pane->zoom * pane->zoom; /* u and v have the length 1/zoom */

  tess_pane_map (pane, scene, &map);
  for (int a = 0; a < 3; a++)
    d[a] = world[a] - map.origin[a];
  *px = dot (d, map.u) * scale + pane->x + 0.5;
  *py = dot (d, map.v) * scale + pane->y + 0.5;
}

/* Index axis of the main layer that runs along the plane's normal; *sign: whether the index grows with it. */
static int
normal_axis (const TessScene *scene, TessPlane plane, double *sign)
{
  const TessAffine *affine = tess_volume_affine (tess_scene_main (scene)->volume);
  static const char positive[] = "SRA", negative[] = "ILP"; /* axial, sagittal, coronal */
  char codes[4];

  tess_affine_orientation (affine, codes);
  for (int k = 0; k < 3; k++)
    if (codes[k] == positive[plane] || codes[k] == negative[plane]) {
      *sign = codes[k] == positive[plane] ? 1.0 : -1.0;
      return k;
    }
  *sign = 1.0;
  return 2;
}

double
tess_pane_step (const TessScene *scene, TessPlane plane)
{
  double right[3], down[3], normal[3], sign, column[3];
  const TessAffine *affine;
  int k;

  if (!tess_scene_main (scene))
    return 1.0;
  k = normal_axis (scene, plane, &sign);
  affine = tess_volume_affine (tess_scene_main (scene)->volume);
  tess_pane_axes (scene, plane, right, down, normal);
  for (int a = 0; a < 3; a++)
    column[a] = affine->m[a][k];
  return fabs (dot (column, normal));
}

gint64
tess_pane_slice (const TessScene *scene, TessPlane plane, gint64 *n)
{
  TessLayer *layer = tess_scene_main (scene);
  TessAffine inverse;
  double sign, p[3];
  int k;

  *n = 0;
  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return 0;
  k = normal_axis (scene, plane, &sign);
  *n = tess_volume_dim (layer->volume)[k];
  tess_affine_apply (&inverse, scene->cursor, p);
  return CLAMP ((gint64)floor (p[k] + 0.5), 0, *n - 1) + 1;
}

/* Positive steps go towards superior, right or anterior. The cursor lands on slice centres. */
void
tess_pane_scroll (TessScene *scene, TessPlane plane, gint64 steps)
{
  TessLayer *layer = tess_scene_main (scene);
  TessAffine inverse;
  double sign, p[3];
  int k;

  if (!layer || !tess_affine_invert (tess_volume_affine (layer->volume), &inverse))
    return;
  k = normal_axis (scene, plane, &sign);
  tess_affine_apply (&inverse, scene->cursor, p);
  p[k] = CLAMP (floor (p[k] + 0.5) + sign * (double)steps, 0.0, (double)(tess_volume_dim (layer->volume)[k] - 1));
  tess_affine_apply (tess_volume_affine (layer->volume), p, scene->cursor);
}

static const char *
direction_letter (const double d[3])
{
  static const char *const letters[3][2] = {{"L", "R"}, {"P", "A"}, {"I", "S"}};
  int best = 0;

  for (int a = 1; a < 3; a++)
    if (fabs (d[a]) > fabs (d[best]))
      best = a;
  return letters[best][d[best] > 0.0];
}

void
tess_pane_letters (const TessScene *scene, TessPlane plane, const char *letters[4])
{
  double right[3], down[3], normal[3];

  tess_pane_axes (scene, plane, right, down, normal);
  letters[1] = direction_letter (right);
  letters[3] = direction_letter (down);
  for (int a = 0; a < 3; a++) {
    right[a] = -right[a];
    down[a] = -down[a];
  }
  letters[0] = direction_letter (right);
  letters[2] = direction_letter (down);
}

#define GAP 2

guint
tess_pane_layout (int width, int height, int fill, TessPane panes[TESS_N_PLANES])
{
  int half = (width - GAP) / 2, upper = (height - GAP) / 2;

  memset (panes, 0, sizeof (TessPane) * TESS_N_PLANES);
  for (int i = 0; i < TESS_N_PLANES; i++) {
    panes[i].plane = (TessPlane)i;
    panes[i].zoom = 1.0;
  }
  if (fill >= 0) {
    panes[0].plane = (TessPlane)fill;
    panes[0].width = width;
    panes[0].height = height;
    return 1;
  }
  panes[0].width = half;
  panes[0].height = height;
  for (int i = 1; i < 3; i++) {
    panes[i].x = half + GAP;
    panes[i].width = width - half - GAP;
    panes[i].y = i == 1 ? 0 : upper + GAP;
    panes[i].height = i == 1 ? upper : height - upper - GAP;
  }
  return 3;
}
