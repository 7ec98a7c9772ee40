#pragma once

/* Private to the MGH reader and writer. */

#include "tess-volume.h"

G_BEGIN_DECLS

#define TESS_MGH_SIZE 284 /* bytes before the voxels */

typedef struct {
  gint64 dim[3], n_frames;
  gint32 type;
  gboolean good_ras; /* spacing, directions and centre are set */
  float spacing[3];
  float direction[3][3]; /* [axis] is a unit vector, world RAS */
  float centre[3];       /* world position of voxel dim/2, mm */
} TessMghHeader;

void tess_mgh_header_parse (TessMghHeader *header, const guint8 bytes[TESS_MGH_SIZE]);
/* Puts what the header says into bytes, leaving the rest of them (degrees of freedom, unused space) alone. */
void tess_mgh_header_put (const TessMghHeader *header, guint8 bytes[TESS_MGH_SIZE]);
TessAffine tess_mgh_header_affine (const TessMghHeader *header);
void tess_mgh_header_set_affine (TessMghHeader *header, const TessAffine *affine);
gint32 tess_mgh_type (TessDType dtype); /* -1: MGH has no such type */
gboolean tess_mgh_dtype (gint32 type, TessDType *dtype);

gboolean tess_mgh_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

G_END_DECLS
