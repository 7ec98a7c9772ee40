#pragma once

#include "../remove-tree.h"

/* NIfTI files made byte by byte, without the reader's or the writer's code or libnifti's structures. */

#include <glib.h>

typedef struct {
  int version; /* 1 or 2 */
  gboolean big_endian, pair;
  int datatype, bits;
  gint64 dim[8];
  double pixdim[8], slope, intercept, quatern[3], qoffset[3], srow[12];
  int qform_code, sform_code, intent, units;
  const char *description;
  GBytes *extension; /* the contents of one extension, code 6; NULL = none */
} NiftiFixture;

NiftiFixture nifti_fixture (int datatype, int bits, gint64 nx, gint64 ny,
                            gint64 nz);                         /* NIfTI-1, little endian, sform scale 2,3,4 */
GByteArray *nifti_fixture_header (const NiftiFixture *fixture); /* up to the first voxel */
/* n numbers as voxels of the fixture's type and byte order. */
void nifti_fixture_append (const NiftiFixture *fixture, GByteArray *bytes, const double *values, gsize n);
void nifti_fixture_put (const char *path, GByteArray *bytes, gboolean gzip);
GByteArray *nifti_fixture_gzip (GByteArray *bytes); /* by zlib */
char *nifti_fixture_folder (void);
