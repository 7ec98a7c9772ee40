#include "tess-sampler-private.h"

#include "tess-philox.h"
#include "tess-recipe.h"

#include <inttypes.h>
#include <string.h>

/* A spacing this near the scan's own (relative) counts as equal, so that patches are then exact copies. */
#define SPACING_TOLERANCE 1e-6

static TessPhilox4
draw (const TessSampleKey *key, TessDrawPurpose purpose)
{
  return tess_philox (key->seed, key->epoch, key->sample, (uint32_t)purpose, 0);
}

/* Target voxel in native voxels along each axis; exactly 1 where the spacings agree. TRUE when all do. */
static gboolean
spacing_ratio (const TessPlan *plan, const TessCase *c, double native[3], double ratio[3])
{
  gboolean same = TRUE;

  tess_affine_spacing (tess_volume_affine (c->images[0]), native);
  for (int a = 0; a < 3; a++) {
    ratio[a] = plan->spacing[a] / native[a];
    if (fabs (ratio[a] - 1.0) <= SPACING_TOLERANCE)
      ratio[a] = 1.0;
    else
      same = FALSE;
  }
  return same;
}

/* The grid of the case's field of view at the plan's spacing; the case's own grid where that is its spacing. */
TessGrid
tess_sampler_target_grid (const TessPlan *plan, const TessCase *c)
{
  TessGrid grid = tess_volume_grid (c->images[0]);
  double native[3], ratio[3], spacing[3];

  if (spacing_ratio (plan, c, native, ratio))
    return grid;
  for (int a = 0; a < 3; a++)
    spacing[a] = ratio[a] == 1.0 ? native[a] : plan->spacing[a];
  return tess_grid_respace (&grid, spacing);
}

/* A voxel of a random foreground class, classes equally likely, as an index of the target grid. FALSE: there is none.
 */
static gboolean
foreground_voxel (const TessCase *c, const TessSampleKey *key, const double ratio[3], const TessGrid *target,
                  gint64 voxel[3])
{
  const gint64 *dim = tess_volume_dim (c->images[0]);
  TessPhilox4 r = draw (key, TESS_DRAW_FOREGROUND);
  guint n_present = 0, wanted;
  guint64 index = 0;
  gint64 native[3];

  for (guint l = 1; c->class_count && l < c->n_labels; l++)
    n_present += c->class_count[l] > 0;
  if (n_present == 0)
    return FALSE;
  wanted = tess_philox_below (r.v[0], n_present);
  for (guint l = 1; l < c->n_labels; l++)
    if (c->class_count[l] > 0 && wanted-- == 0) {
      index = c->class_voxels[l][tess_philox_below (r.v[1], c->class_count[l])];
      break;
    }
  native[0] = (gint64)index % dim[0];
  native[1] = (gint64)index / dim[0] % dim[1];
  native[2] = (gint64)index / dim[0] / dim[1];
  for (int a = 0; a < 3; a++) {
    double t = ((double)native[a] + 0.5) / ratio[a] - 0.5;

    voxel[a] = CLAMP ((gint64)floor (t + 0.5), 0, target->dim[a] - 1);
  }
  return TRUE;
}

/* Lowest voxel of the patch in the target grid. As nnU-Net's loader for its final patch: any place where the patch lies
 * inside the scan is equally likely; an axis on which the scan is shorter is padded evenly, (size - dim) / 2 before. A
 * foreground patch has its voxel at size / 2, moved only so far that the patch stays inside the scan; nnU-Net moves it
 * only at the low end and pads at the high end, which shows less of the scan and treats the two ends differently. */
static void
place (const TessPlan *plan, const TessCase *c, const TessSampleKey *key, const double ratio[3], gint64 origin[3])
{
  TessGrid target = tess_sampler_target_grid (plan, c);
  TessPhilox4 r = draw (key, TESS_DRAW_PLACE);
  gint64 voxel[3];
  gboolean centred = key->foreground && foreground_voxel (c, key, ratio, &target, voxel);

  for (int a = 0; a < 3; a++) {
    gint64 size = plan->patch[a], room = target.dim[a] - size;

    if (room <= 0)
      origin[a] = -(-room / 2);
    else if (centred)
      origin[a] = CLAMP (voxel[a] - size / 2, 0, room);
    else
      origin[a] = tess_philox_below (r.v[a], (uint32_t)MIN (room, G_MAXUINT32 - 1) + 1);
  }
}

static void
multiply (const double a[3][3], const double b[3][3], double out[3][3])
{
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++)
      out[i][j] = a[i][0] * b[0][j] + a[i][1] * b[1][j] + a[i][2] * b[2][j];
}

/* Rz Ry Rx, each about an axis of the patch. */
static void
rotation_matrix (const double radians[3], double out[3][3])
{
  double sx = sin (radians[0]), cx = cos (radians[0]), sy = sin (radians[1]), cy = cos (radians[1]);
  double sz = sin (radians[2]), cz = cos (radians[2]);
  const double rx[3][3] = {{1, 0, 0}, {0, cx, -sx}, {0, sx, cx}};
  const double ry[3][3] = {{cy, 0, sy}, {0, 1, 0}, {-sy, 0, cy}};
  const double rz[3][3] = {{cz, -sz, 0}, {sz, cz, 0}, {0, 0, 1}};
  double ryx[3][3];

  multiply (ry, rx, ryx);
  multiply (rz, ryx, out);
}

/* Linear part, about the patch's centre, of what augmentation does: flip, then scale and rotate. The rotation turns
 * millimetres along the target axes, so that it is rigid whatever the voxels' proportions. */
static void
augmentation_matrix (const TessPlan *plan, const TessSampleKey *key, const double spacing[3], double m[3][3])
{
  TessPhilox4 r = draw (key, TESS_DRAW_ROTATION), s = draw (key, TESS_DRAW_SCALE), f = draw (key, TESS_DRAW_MIRROR);

  if (tess_philox_unit (r.v[0]) < plan->augmentation.rotation_probability) {
    double radians[3], rotation[3][3];

    for (int a = 0; a < 3; a++) {
      double limit = plan->augmentation.rotation_degrees[a] * (G_PI / 180.0);

      radians[a] = tess_philox_range (r.v[a + 1], -limit, limit);
    }
    rotation_matrix (radians, rotation);
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++)
        m[i][j] = rotation[i][j] * spacing[j] / spacing[i];
  }
  if (tess_philox_unit (s.v[0]) < plan->augmentation.scale_probability) {
    double scale = tess_philox_range (s.v[1], plan->augmentation.scale_lower, plan->augmentation.scale_upper);

    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++)
        m[i][j] *= scale;
  }
  for (int j = 0; j < 3; j++)
    if (tess_philox_unit (f.v[j]) < plan->augmentation.mirror_probability[j])
      for (int i = 0; i < 3; i++)
        m[i][j] = -m[i][j];
}

/* Patch voxel (x,y,z) -> native voxel index of the case: place and augmentation of `key` about the patch's centre
 * (size - 1) / 2, then target voxel t -> native (t + 0.5) ratio - 0.5. At the case's own spacing an un-augmented patch
 * is moved by whole voxels exactly, and a mirrored one is an exact index flip. Errors: MISMATCH when plan and case do
 * not fit each other. */
gboolean
tess_sampler_mapping (const TessPlan *plan, const TessCase *c, const TessSampleKey *key, TessAffine *mapping,
                      GError **error)
{
  double native[3], ratio[3], spacing[3], m[3][3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  TessAffine to_target, to_native, half, back;
  gint64 origin[3] = {key->origin[0], key->origin[1], key->origin[2]};

  spacing_ratio (plan, c, native, ratio);
  for (int a = 0; a < 3; a++)
    spacing[a] = native[a] * ratio[a];
  if (key->random)
    place (plan, c, key, ratio, origin);
  if (key->augment)
    augmentation_matrix (plan, key, spacing, m);
  for (int j = 0; j < 3; j++)
    if (key->mirrored >> j & 1)
      for (int i = 0; i < 3; i++)
        m[i][j] = -m[i][j];
  for (int i = 0; i < 3; i++) {
    double turned = 0.0, centre_i = (double)(plan->patch[i] - 1) / 2.0;

    for (int j = 0; j < 3; j++) {
      to_target.m[i][j] = m[i][j];
      turned += m[i][j] * ((double)(plan->patch[j] - 1) / 2.0);
    }
    to_target.m[i][3] = ((double)origin[i] + centre_i) - turned;
  }
  half = tess_affine_translate (0.5, 0.5, 0.5);
  back = tess_affine_translate (-0.5, -0.5, -0.5);
  to_native = tess_affine_scale (ratio[0], ratio[1], ratio[2]);
  to_native = tess_affine_compose (&to_native, &half);
  to_native = tess_affine_compose (&back, &to_native);
  *mapping = tess_affine_compose (&to_native, &to_target);
  if (tess_affine_is_valid (mapping))
    return TRUE;
  g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
               _ ("%s: its voxels cannot be brought to the plan's spacing of %g x %g x %g mm; check both"), c->id,
               plan->spacing[0], plan->spacing[1], plan->spacing[2]);
  return FALSE;
}

gboolean
tess_sampler_check (const TessPlan *plan, const TessCase *c, gboolean wants_label, GError **error)
{
  if (plan->n_channels != c->n_channels) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has %u channels where the plan has %u; give the channels the plan names"), c->id,
                 c->n_channels, plan->n_channels);
    return FALSE;
  }
  if (wants_label && !c->label) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                 _ ("%s: has no label map, but its labels are asked for; use a labelled case"), c->id);
    return FALSE;
  }
  return TRUE;
}

/* The values of the whole patch, of which `out` wants a part. */
static gboolean
draw_part (const TessPlan *plan, const TessCase *c, const TessAffine *mapping, const TessIntensity *intensity,
           TessPatchOut *out, GError **error)
{
  const TessBox *region = &out->region;
  const gint64 *patch = plan->patch;
  gsize row = (gsize)(region->hi[0] - region->lo[0]) * c->n_channels;
  g_autofree float *image = g_try_new (float, (gsize)(patch[0] * patch[1] * patch[2]) * c->n_channels);
  TessPatchOut whole = {.region = {{0, 0, 0}, {patch[0], patch[1], patch[2]}}, .image = image};
  TessPatchOut label = {.region = *region, .label = out->label};
  float *to = out->image;

  if (!image) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY,
                 _ ("%s: a patch of it does not fit into memory; take a smaller patch"), c->id);
    return FALSE;
  }
  if (!tess_sampler_voxels (plan, c, mapping, TRUE, &whole, error) ||
      !tess_intensity_apply (intensity, image, patch, c->n_channels, error) ||
      (label.label && !tess_sampler_voxels (plan, c, mapping, TRUE, &label, error)))
    return FALSE;
  for (gint64 z = region->lo[2]; z < region->hi[2]; z++)
    for (gint64 y = region->lo[1]; y < region->hi[1]; y++, to += row)
      memcpy (to, image + ((z * patch[1] + y) * patch[0] + region->lo[0]) * c->n_channels, row * sizeof *to);
  return TRUE;
}

/* Computes out->region of the patch that `key` names; nothing outside it is written, and its voxels are those the whole
 * patch has there, to the bit, on any number of threads. out->image may be NULL when only the label is wanted. Errors:
 * MISMATCH (channels, no label map), BAD_SHAPE (region not inside the patch), NO_MEMORY. */
gboolean
tess_sampler_draw (const TessPlan *plan, const TessCase *c, const TessSampleKey *key, TessPatchOut *out, GError **error)
{
  TessIntensity intensity;
  TessAffine mapping;
  gboolean whole = TRUE;

  if (!tess_sampler_check (plan, c, out->label != NULL, error))
    return FALSE;
  for (int a = 0; a < 3; a++) {
    if (out->region.lo[a] < 0 || out->region.hi[a] > plan->patch[a] || out->region.lo[a] >= out->region.hi[a]) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE,
                   _ ("%s: voxels %" PRId64 " to %" PRId64 " along %c are not inside a patch of "
                      "%" PRId64),
                   c->id, out->region.lo[a], out->region.hi[a], "xyz"[a], plan -> patch[a]);
      return FALSE;
    }
    whole = whole && out->region.hi[a] - out->region.lo[a] == plan->patch[a];
  }
  if (!tess_sampler_mapping (plan, c, key, &mapping, error))
    return FALSE;
  tess_recipe_intensity (plan, key, &intensity);
  if (intensity.any && out->image && !whole)
    return draw_part (plan, c, &mapping, &intensity, out, error);
  return tess_sampler_voxels (plan, c, &mapping, TRUE, out, error) &&
         (!out->image || tess_intensity_apply (&intensity, out->image, plan->patch, c->n_channels, error));
}
