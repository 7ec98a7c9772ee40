#pragma once

/* Private to the MetaImage reader and writer. */

#include "tess-volume.h"

G_BEGIN_DECLS

#define TESS_METAIMAGE_MAX_DIMS 10

typedef struct {
  char *key, *value;
} TessMetaImageField;

/* The text at the start of a MetaImage file and what it says. */
typedef struct {
  GPtrArray *fields; /* TessMetaImageField, as they come; of a name given twice the last counts */
  gsize length;      /* bytes of the text: LOCAL voxels follow */
  gint n_dims;
  gint64 dim[TESS_METAIMAGE_MAX_DIMS];
  gint64 n_interleaved; /* numbers side by side in each voxel */
  TessDType dtype;
  gboolean swapped, compressed;
  gint64 compressed_size; /* 0: not said */
  gint64 header_size;     /* bytes before the voxels of the data file; -1: the voxels are at its end; 0: not said */
  const char *data_file;  /* as it is written there */
} TessMetaImageHeader;

gboolean tess_metaimage_header_parse (TessMetaImageHeader *header, const char *path, const guint8 *data, gsize n,
                                      GError **error);
void tess_metaimage_header_clear (TessMetaImageHeader *header);
const char *tess_metaimage_header_get (const TessMetaImageHeader *header, const char *key); /* NULL: not there */
gboolean tess_metaimage_header_affine (const TessMetaImageHeader *header, const char *path, TessAffine *affine,
                                       GPtrArray *warnings, GError **error);
/* As voxels of a volume: what is beyond z counts as channels. FALSE when there are more than can be counted. */
gboolean tess_metaimage_header_shape (const TessMetaImageHeader *header, gint64 dim[3], gint64 *n_channels);
gboolean tess_metaimage_key_is_private (const char *key); /* who the patient is */
const char *tess_metaimage_type (TessDType dtype);        /* "MET_SHORT"; NULL for half floats */

gboolean tess_metaimage_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

G_END_DECLS
