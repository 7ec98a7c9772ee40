#include "tess-mgh-header.h"

#include <string.h>

/* FreeSurfer's MGH header, always big-endian: version, three sizes, frames, type and degrees of freedom (int32), a
 * flag (int16), then 15 float32: voxel sizes, the direction of each axis, the world position of the middle. */

#define VERSION 1
#define AT_FLAG 28
#define AT_FLOATS 30

static const struct {
  gint32 type;
  TessDType dtype;
} types[] = {
    {0, TESS_DTYPE_U8}, {1, TESS_DTYPE_I32}, {3, TESS_DTYPE_F32}, {4, TESS_DTYPE_I16}, {10, TESS_DTYPE_U16},
};

gint32
tess_mgh_type (TessDType dtype)
{
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].dtype == dtype)
      return types[i].type;
  return -1;
}

gboolean
tess_mgh_dtype (gint32 type, TessDType *dtype)
{
  for (guint i = 0; i < G_N_ELEMENTS (types); i++)
    if (types[i].type == type) {
      *dtype = types[i].dtype;
      return TRUE;
    }
  return FALSE;
}

static gint32
get_int (const guint8 *bytes)
{
  guint32 u;

  memcpy (&u, bytes, 4);
  return (gint32)GUINT32_FROM_BE (u);
}

static void
put_int (guint8 *bytes, gint32 value)
{
  guint32 u = GUINT32_TO_BE ((guint32)value);

  memcpy (bytes, &u, 4);
}

static float
get_float (const guint8 *bytes)
{
  gint32 i = get_int (bytes);
  float f;

  memcpy (&f, &i, 4);
  return f;
}

static void
put_float (guint8 *bytes, float value)
{
  gint32 i;

  memcpy (&i, &value, 4);
  put_int (bytes, i);
}

/* Without the flag FreeSurfer assumes coronal slices of 1 mm around the origin, x to the left, y down, z forwards.
 * (nibabel takes the transposed directions.) */
static void
set_default_geometry (TessMghHeader *header)
{
  static const float directions[3][3] = {{-1, 0, 0}, {0, 0, -1}, {0, 1, 0}};

  for (int k = 0; k < 3; k++) {
    header->spacing[k] = 1;
    header->centre[k] = 0;
  }
  memcpy (header->direction, directions, sizeof directions);
}

/* Whether it is an MGH file at all (version, sizes, type) is for the caller to see. */
void
tess_mgh_header_parse (TessMghHeader *header, const guint8 bytes[TESS_MGH_SIZE])
{
  const guint8 *f = bytes + AT_FLOATS;

  for (gsize k = 0; k < 3; k++)
    header->dim[k] = get_int (bytes + 4 + 4 * k);
  header->n_frames = get_int (bytes + 16);
  header->type = get_int (bytes) == VERSION ? get_int (bytes + 20) : -1;
  header->good_ras = bytes[AT_FLAG] || bytes[AT_FLAG + 1];
  set_default_geometry (header);
  if (!header->good_ras)
    return;
  for (gsize k = 0; k < 3; k++) {
    header->spacing[k] = get_float (f + 4 * k);
    for (gsize r = 0; r < 3; r++)
      header->direction[k][r] = get_float (f + 12 + 12 * k + 4 * r);
    header->centre[k] = get_float (f + 48 + 4 * k);
  }
}

void
tess_mgh_header_put (const TessMghHeader *header, guint8 bytes[TESS_MGH_SIZE])
{
  guint8 *f = bytes + AT_FLOATS;

  put_int (bytes, VERSION);
  for (gsize k = 0; k < 3; k++)
    put_int (bytes + 4 + 4 * k, (gint32)header->dim[k]);
  put_int (bytes + 16, (gint32)header->n_frames);
  put_int (bytes + 20, header->type);
  bytes[AT_FLAG] = 0;
  bytes[AT_FLAG + 1] = header->good_ras ? 1 : 0;
  for (gsize k = 0; k < 3; k++) {
    put_float (f + 4 * k, header->spacing[k]);
    for (gsize r = 0; r < 3; r++)
      put_float (f + 12 + 12 * k + 4 * r, header->direction[k][r]);
    put_float (f + 48 + 4 * k, header->centre[k]);
  }
}

/**
 * tess_mgh_header_affine:
 *
 * Voxel -> world: direction times voxel size, and such an offset that voxel dim/2 (not (dim-1)/2) is the centre.
 */
TessAffine
tess_mgh_header_affine (const TessMghHeader *header)
{
  TessAffine a;

  for (int r = 0; r < 3; r++) {
    a.m[r][3] = header->centre[r];
    for (int k = 0; k < 3; k++) {
      a.m[r][k] = (double)header->direction[k][r] * (double)header->spacing[k];
      a.m[r][3] -= a.m[r][k] * (double)header->dim[k] / 2;
    }
  }
  return a;
}

void
tess_mgh_header_set_affine (TessMghHeader *header, const TessAffine *affine)
{
  double spacing[3];

  tess_affine_spacing (affine, spacing);
  header->good_ras = TRUE;
  for (int r = 0; r < 3; r++) {
    double centre = affine->m[r][3];

    header->spacing[r] = (float)spacing[r];
    for (int k = 0; k < 3; k++) {
      header->direction[k][r] = (float)(affine->m[r][k] / spacing[k]);
      centre += affine->m[r][k] * (double)header->dim[k] / 2;
    }
    header->centre[r] = (float)centre;
  }
}
