#include "tess-nrrd-header.h"

#include <math.h>
#include <string.h>

/* Kinds of an axis along which one moves through space; "time" counts channels here. */
static gboolean
is_domain (const TessNrrdAxis *axis)
{
  return !axis->kind || strcmp (axis->kind, "domain") == 0 || strcmp (axis->kind, "space") == 0;
}

/**
 * tess_nrrd_assign_axes:
 *
 * An axis with a space direction is spatial; where no axis has one, those of kind domain, space or none, except for
 * one without a spacing among axes that have one. The first three are x, y and z in the file's order, all others count
 * channels. A file without a spatial axis has its first axes taken for some.
 */
void
tess_nrrd_assign_axes (TessNrrdHeader *header)
{
  gboolean spatial[TESS_NRRD_MAX_AXES], any_vector = FALSE, any_spacing = FALSE, any = FALSE;

  for (guint i = 0; i < header->n_axes; i++) {
    any_vector |= header->axis[i].has_vector;
    any_spacing |= !isnan (header->axis[i].spacing);
  }
  for (guint i = 0; i < header->n_axes; i++) {
    const TessNrrdAxis *axis = &header->axis[i];

    spatial[i] = any_vector ? axis->has_vector : is_domain (axis) && (!any_spacing || !isnan (axis->spacing));
    any |= spatial[i];
  }
  header->n_spatial = 0;
  header->n_channels = 1;
  header->dim[0] = header->dim[1] = header->dim[2] = 1;
  for (guint i = 0; i < header->n_axes; i++) {
    TessNrrdAxis *axis = &header->axis[i];

    if ((spatial[i] || !any) && header->n_spatial < 3) {
      axis->spatial = (int)header->n_spatial;
      header->dim[header->n_spatial++] = axis->size;
    } else {
      axis->spatial = -1;
      header->n_channels *= axis->size; /* no overflow: checked when the sizes were read */
    }
  }
}

/**
 * tess_nrrd_layout:
 * @n_leading: numbers side by side: of the channel axes before x
 *
 * Whether x, y and z follow one another in the file.
 */
gboolean
tess_nrrd_layout (const TessNrrdHeader *header, gint64 *n_leading)
{
  guint first = 0, last = 0;

  *n_leading = 1;
  for (guint i = 0; i < header->n_axes; i++)
    if (header->axis[i].spatial == 0)
      first = i;
    else if (header->axis[i].spatial == (int)header->n_spatial - 1)
      last = i;
  if (header->n_spatial == 1)
    last = first;
  for (guint i = 0; i < first; i++)
    *n_leading *= header->axis[i].size;
  for (guint i = first; i <= last; i++)
    if (header->axis[i].spatial < 0 && header->axis[i].size > 1)
      return FALSE;
  return TRUE;
}

static void
cross (const double a[3], const double b[3], double out[3])
{
  for (int i = 0; i < 3; i++)
    out[i] = a[(i + 1) % 3] * b[(i + 2) % 3] - a[(i + 2) % 3] * b[(i + 1) % 3];
}

/* Makes columns for the axes the file has not: of one millimetre, at right angles to the others. */
static void
complete_columns (double column[3][3], guint n)
{
  if (n == 1) { /* the world axis it has least of, made perpendicular */
    const double *a = column[0];
    double square = a[0] * a[0] + a[1] * a[1] + a[2] * a[2], along, norm;
    int least =
        fabs (a[1]) <= fabs (a[0]) ? (fabs (a[1]) <= fabs (a[2]) ? 1 : 2) : (fabs (a[0]) <= fabs (a[2]) ? 0 : 2);

    along = a[least] / square;
    for (int i = 0; i < 3; i++)
      column[1][i] = (i == least ? 1.0 : 0.0) - along * a[i];
    norm = sqrt (column[1][0] * column[1][0] + column[1][1] * column[1][1] + column[1][2] * column[1][2]);
    for (int i = 0; i < 3; i++)
      column[1][i] /= norm;
  }
  if (n <= 2) {
    double norm;

    cross (column[0], column[1], column[2]);
    norm = sqrt (column[2][0] * column[2][0] + column[2][1] * column[2][1] + column[2][2] * column[2][2]);
    for (int i = 0; i < 3; i++)
      column[2][i] /= norm;
  }
}

static void
warn_about_space (const TessNrrdHeader *header, GPtrArray *warnings)
{
  const char *units = tess_nrrd_header_field (header, "space units");

  if (header->named_space && !header->anatomical)
    g_ptr_array_add (warnings, g_strdup_printf (_ ("The space of the file is called \"%s\", which does not tell left "
                                                   "from right; it is read as left-posterior-superior."),
                                                tess_nrrd_header_field (header, "space")));
  if (units && !strstr (units, "mm") &&
      (strstr (units, "\"m\"") || strstr (units, "\"cm\"") || strstr (units, "\"um\"")))
    g_ptr_array_add (warnings,
                     g_strdup_printf (_ ("The header gives lengths in %s; they are read as millimetres."), units));
}

/* Distance of neighbours along an axis without a direction; ITK takes 1 where nothing is said. */
static double
axis_spacing (const TessNrrdAxis *axis)
{
  double extent = axis->max - axis->min;

  if (!isnan (axis->spacing))
    return axis->spacing;
  if (isfinite (extent) && extent != 0.0 && !(axis->node && axis->size == 1))
    return extent / (double)(axis->size - (axis->node ? 1 : 0));
  return 1.0;
}

/**
 * tess_nrrd_affine:
 * @affine: (out): voxel -> world mm RAS+
 * @warnings: (element-type char*) (nullable): sentences are added
 *
 * From the space directions and the origin. Without directions, as ITK's NrrdImageIO: axes along those of the space,
 * spacings, and the origin from "axis mins" where all axes have one. FALSE when the axes do not span space.
 */
gboolean
tess_nrrd_affine (const TessNrrdHeader *header, TessAffine *affine, GPtrArray *warnings)
{
  double column[3][3] = {{0}}, origin[3] = {0};
  gboolean any_vector = FALSE, all_mins = TRUE;

  for (guint i = 0; i < header->n_axes; i++) {
    const TessNrrdAxis *axis = &header->axis[i];

    if (axis->spatial < 0)
      continue;
    if (axis->has_vector) {
      memcpy (column[axis->spatial], axis->vector, sizeof axis->vector);
      any_vector = TRUE;
    } else {
      column[axis->spatial][axis->spatial] = axis_spacing (axis);
    }
    if (isnan (axis->min))
      all_mins = FALSE;
    else
      origin[axis->spatial] = axis->min + (axis->node ? 0.0 : 0.5 * axis_spacing (axis));
  }
  if (header->has_origin)
    memcpy (origin, header->origin, sizeof origin);
  else if (any_vector || !all_mins)
    memset (origin, 0, sizeof origin);
  if (any_vector)
    complete_columns (column, header->n_spatial);
  else
    for (guint k = header->n_spatial; k < 3; k++)
      column[k][k] = 1.0;
  for (int r = 0; r < 3; r++) {
    for (int k = 0; k < 3; k++)
      affine->m[r][k] = header->to_ras[r] * column[k][r];
    affine->m[r][3] = header->to_ras[r] * origin[r];
  }
  for (int r = 0; r < 3; r++)
    for (int k = 0; k < 4; k++)
      affine->m[r][k] += 0.0; /* no -0 */
  if (warnings)
    warn_about_space (header, warnings);
  return tess_affine_is_valid (affine);
}
