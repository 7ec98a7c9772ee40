#include "oracle.h"

#include <math.h>

/* Half of this many voxels round a midpoint belong to the voxel further right, anterior or superior (tess-scene.h). */
#define TIE 1e-3

static double
dot (const double a[3], const double b[3])
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static void
cross (const double a[3], const double b[3], double out[3])
{
  for (int k = 0; k < 3; k++)
    out[k] = a[(k + 1) % 3] * b[(k + 2) % 3] - a[(k + 2) % 3] * b[(k + 1) % 3];
}

static void
column (const OracleLayer *layer, int k, double out[3])
{
  for (int a = 0; a < 3; a++)
    out[a] = layer->m[a][k];
}

/* World -> voxel by Cramer's rule. */
static void
to_voxel (const OracleLayer *layer, const double world[3], double voxel[3])
{
  double c[3][3], d[3], normal[3];

  for (int k = 0; k < 3; k++) {
    column (layer, k, c[k]);
    d[k] = world[k] - layer->m[k][3];
  }
  for (int k = 0; k < 3; k++) {
    cross (c[(k + 1) % 3], c[(k + 2) % 3], normal);
    voxel[k] = dot (d, normal) / dot (c[k], normal);
  }
}

/* To which anatomical axis an index axis belongs, each once: the largest direction cosine chooses first. */
static void
anatomy (const OracleLayer *layer, int axis[3], double sign[3])
{
  double cosine[3][3];
  gboolean taken_index[3] = {FALSE}, taken_axis[3] = {FALSE};

  for (int k = 0; k < 3; k++) {
    double c[3];

    column (layer, k, c);
    for (int a = 0; a < 3; a++)
      cosine[k][a] = c[a] / sqrt (dot (c, c));
  }
  for (int round = 0; round < 3; round++) {
    int best_k = -1, best_a = -1;

    for (int k = 0; k < 3; k++)
      for (int a = 0; a < 3; a++)
        if (!taken_index[k] && !taken_axis[a] && (best_k < 0 || fabs (cosine[k][a]) > fabs (cosine[best_k][best_a]))) {
          best_k = k;
          best_a = a;
        }
    taken_index[best_k] = taken_axis[best_a] = TRUE;
    axis[best_k] = best_a;
    sign[best_k] = cosine[best_k][best_a] > 0.0 ? 1.0 : -1.0;
  }
}

static const OracleLayer *
main_layer (const OracleScene *scene)
{
  for (int i = 0; i < scene->n_layers; i++)
    if (scene->layers[i].lut != ORACLE_LABELS)
      return &scene->layers[i];
  return &scene->layers[0];
}

/* Unit vectors towards right, anterior and superior of the view: the main layer's first two index axes made orthonormal
 * and their normal. */
static void
view_axes (const OracleScene *scene, double ras[3][3])
{
  const OracleLayer *layer = main_layer (scene);
  double e[3][3], third[3], length, sign[3];
  int axis[3];

  column (layer, 0, e[0]);
  length = sqrt (dot (e[0], e[0]));
  for (int a = 0; a < 3; a++)
    e[0][a] /= length;
  column (layer, 1, e[1]);
  length = dot (e[0], e[1]);
  for (int a = 0; a < 3; a++)
    e[1][a] -= length * e[0][a];
  length = sqrt (dot (e[1], e[1]));
  for (int a = 0; a < 3; a++)
    e[1][a] /= length;
  cross (e[0], e[1], e[2]);
  column (layer, 2, third);
  if (dot (third, e[2]) < 0.0)
    for (int a = 0; a < 3; a++)
      e[2][a] = -e[2][a];
  anatomy (layer, axis, sign);
  for (int k = 0; k < 3; k++)
    for (int a = 0; a < 3; a++)
      ras[axis[k]][a] = sign[k] * e[k][a];
}

/* Centre of pixel (i,j) in the world. Axial from the feet, coronal from the front, sagittal with the nose to the left.
 */
static void
pixel_world (const OracleScene *scene, const OraclePane *pane, double i, double j, double world[3])
{
  const OracleLayer *layer = main_layer (scene);
  double ras[3][3], middle[3], depth = 0.0, across, down;
  const double *normal;

  view_axes (scene, ras);
  normal = ras[pane->plane == 0 ? 2 : pane->plane == 1 ? 0 : 1];
  across = ((i - (pane->width - 1) / 2.0) / pane->zoom + pane->pan[0]);
  down = ((j - (pane->height - 1) / 2.0) / pane->zoom + pane->pan[1]);
  for (int a = 0; a < 3; a++) {
    middle[a] = layer->m[a][3];
    for (int k = 0; k < 3; k++)
      middle[a] += layer->m[a][k] * (layer->dim[k] - 1) / 2.0;
    depth += (scene->cursor[a] - middle[a]) * normal[a];
  }
  for (int a = 0; a < 3; a++) {
    double right = pane->plane == 1 ? (scene->nose_right ? ras[1][a] : -ras[1][a])
                                    : (scene->neurological ? ras[0][a] : -ras[0][a]);
    double lower = pane->plane == 0 ? -ras[1][a] : -ras[2][a];

    world[a] = middle[a] + depth * normal[a] + across * right + down * lower;
  }
}

static double
stored (const OracleLayer *layer, const int at[3])
{
  return layer->stored[at[0] + layer->dim[0] * (at[1] + (gsize)layer->dim[1] * at[2])];
}

/* Where a voxel is nearest; midway points count as they do between voxels. */
static gboolean
inside (const OracleLayer *layer, const double p[3], double *margin)
{
  gboolean yes = TRUE;
  int axis[3];
  double sign[3];

  anatomy (layer, axis, sign);
  for (int a = 0; a < 3; a++) {
    double q = p[a] + 0.5 + sign[a] * TIE;

    *margin = fmin (*margin, fmin (fabs (q), fabs (q - layer->dim[a])));
    yes = yes && q >= 0.0 && q < layer->dim[a];
  }
  return yes;
}

static double
nearest (const OracleLayer *layer, const double p[3], double *margin)
{
  int axis[3], at[3];
  double sign[3];

  anatomy (layer, axis, sign);
  for (int a = 0; a < 3; a++) {
    double q = p[a] + 0.5 + sign[a] * TIE;

    *margin = fmin (*margin, fabs (q - round (q)));
    at[a] = CLAMP ((int)floor (q), 0, layer->dim[a] - 1);
  }
  return layer->slope * stored (layer, at) + layer->intercept;
}

/* Weighted sum of the eight voxels around p; coordinates beyond the outermost centres take the outermost voxel. */
static double
trilinear (const OracleLayer *layer, const double p[3])
{
  double sum = 0.0;

  for (int corner = 0; corner < 8; corner++) {
    double weight = 1.0;
    int at[3];

    for (int a = 0; a < 3; a++) {
      double low = floor (p[a]), share = p[a] - low;
      gboolean up = corner >> a & 1;

      weight *= up ? share : 1.0 - share;
      at[a] = CLAMP ((int)low + (up ? 1 : 0), 0, layer->dim[a] - 1);
    }
    sum += weight > 0.0 ? weight * stored (layer, at) : 0.0 * stored (layer, at);
  }
  return layer->slope * sum + layer->intercept;
}

/* Black to white; black, red, yellow, white in equal thirds. */
static void
lut_colour (OracleLut lut, double t, double rgb[3])
{
  for (int c = 0; c < 3; c++)
    rgb[c] = lut == ORACLE_HOT ? CLAMP (3.0 * t - c, 0.0, 1.0) : t;
}

/* The label at pixel (i,j), -1 outside of the volume. The pane ends where it ends: what lies beyond is not looked at.
 */
static int
label_at (const OracleScene *scene, const OracleLayer *layer, const OraclePane *pane, int i, int j, double *margin)
{
  double world[3], p[3];

  pixel_world (scene, pane, CLAMP (i, 0, pane->width - 1), CLAMP (j, 0, pane->height - 1), world);
  to_voxel (layer, world, p);
  if (!inside (layer, p, margin))
    return -1;
  return (int)lround (nearest (layer, p, margin));
}

/* Fill: the label's colour, as opaque as layer and colour say. Outline: the pixels of a label that touch another one.
 */
static double
label_colour (const OracleScene *scene, const OracleLayer *layer, const OraclePane *pane, int i, int j, double rgb[3],
              double *margin)
{
  int label = label_at (scene, layer, pane, i, j, margin), index = -1;
  double alpha;

  for (int k = 0; k < layer->n_labels; k++)
    if (layer->labels[k] == label && !layer->hidden[k])
      index = k;
  if (!layer->no_outline)
    for (int k = 0; k < 4; k++)
      label_at (scene, layer, pane, i + (k == 0) - (k == 1), j + (k == 2) - (k == 3), margin);
  if (index < 0)
    return 0.0;
  for (int c = 0; c < 3; c++)
    rgb[c] = layer->colours[index][c] / 255.0;
  alpha = layer->colours[index][3] / 255.0;
  if (!layer->no_outline)
    for (int k = 0; k < 4; k++)
      if (label_at (scene, layer, pane, i + (k == 0) - (k == 1), j + (k == 2) - (k == 3), margin) != label)
        return alpha;
  return layer->no_fill ? 0.0 : alpha * layer->opacity;
}

double
oracle_pixel (const OracleScene *scene, const OraclePane *pane, int i, int j, double colour[3])
{
  double margin = 1.0, world[3];

  colour[0] = colour[1] = colour[2] = 0.0;
  pixel_world (scene, pane, i, j, world);
  for (int n = 0; n < scene->n_layers; n++) {
    const OracleLayer *layer = &scene->layers[n];
    double rgb[3] = {0.0, 0.0, 0.0}, alpha = 0.0, p[3];

    if (layer->hidden_layer)
      continue;
    to_voxel (layer, world, p);
    if (layer->lut == ORACLE_LABELS) {
      alpha = label_colour (scene, layer, pane, i, j, rgb, &margin);
    } else if (inside (layer, p, &margin)) {
      double value = layer->nearest ? nearest (layer, p, &margin) : trilinear (layer, p);

      if (!isnan (value)) {
        lut_colour (layer->lut, CLAMP ((value - layer->lower) / (layer->upper - layer->lower), 0.0, 1.0), rgb);
        alpha = layer->opacity;
      }
    }
    for (int c = 0; c < 3; c++)
      colour[c] = (1.0 - alpha) * colour[c] + alpha * rgb[c];
  }
  for (int c = 0; c < 3; c++)
    colour[c] *= 255.0;
  return margin;
}
