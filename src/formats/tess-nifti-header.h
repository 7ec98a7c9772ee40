#pragma once

/* Private to the NIfTI reader and writer. */

#include "tess-stream.h"
#include "tess-volume.h"
#include <nifti/nifti2_io.h>

G_BEGIN_DECLS

#define TESS_NIFTI1_SIZE 348
#define TESS_NIFTI2_SIZE 540
#define TESS_NIFTI_INTENT_LABEL 1002

/* A header of either version in native byte order: NIfTI-2's fields hold everything NIfTI-1's can. */
typedef struct {
  nifti_2_header h;
  gint version;           /* 1 or 2, as it was in the file */
  gboolean single;        /* magic says header and voxels are in one file */
  gboolean swapped;       /* the file has the other byte order */
  gboolean analyze;       /* an Analyze 7.5 file's, made into a NIfTI pair's */
  GByteArray *extensions; /* sizes and codes in native byte order, contents as they are; NULL when none */
  char *text;             /* what stands between header and voxels of an atlas without extensions; NULL when nothing */
} TessNiftiHeader;

typedef struct {
  TessDType dtype;      /* of the volume */
  gsize stored_size;    /* bytes of one number in the file; 16: float128 */
  gint64 n_interleaved; /* numbers of a voxel, side by side there and channels here; nearly always 1 */
} TessNiftiType;

gboolean tess_nifti_header_read (TessNiftiHeader *header, TessStream *stream, GPtrArray *warnings,
                                 TessProgress *progress, GError **error);
gboolean tess_nifti_header_from_bytes (TessNiftiHeader *header, GBytes *bytes);
GBytes *tess_nifti_header_to_bytes (const TessNiftiHeader *header);
void tess_nifti_header_clear (TessNiftiHeader *header);
/* The 348 bytes of an Analyze 7.5 header, header->swapped being set; path and warnings may not be NULL. */
void tess_nifti_read_analyze (TessNiftiHeader *header, const guint8 *raw, const char *path, GPtrArray *warnings);

/* The first bytes of a file (348 or 540 of them and the extension flag and extensions), ready to be written. */
GByteArray *tess_nifti_header_serialise (const TessNiftiHeader *header);

/* What the fields mean. `path` is for messages; warnings may be NULL. */
gboolean tess_nifti_header_dims (const TessNiftiHeader *header, const char *path, gint64 dim[3], gint64 *n_channels,
                                 GError **error);
gboolean tess_nifti_header_type (const TessNiftiHeader *header, const char *path, TessNiftiType *type, GError **error);
void tess_nifti_header_explain_channels (const TessNiftiHeader *header, GPtrArray *warnings);
gboolean tess_nifti_header_affine (const TessNiftiHeader *header, TessAffine *affine, GPtrArray *warnings);
void tess_nifti_header_set_affine (TessNiftiHeader *header, const TessAffine *affine);
void tess_nifti_header_scaling (const TessNiftiHeader *header, double *slope, double *intercept, GPtrArray *warnings);
gboolean tess_nifti_is_plain (int datatype);
int tess_nifti_datatype (TessDType dtype); /* of one number a voxel, of a type NIfTI has; 0 otherwise */

/* Names and colours of labels, as they stand in extensions and between header and voxels. */
TessLabelTable *tess_nifti_labels_find (const TessNiftiHeader *header); /* NULL when none */
void tess_nifti_labels_put (TessNiftiHeader *header, TessLabelTable *labels);

/* "a/b.img.gz" -> "a/b.hdr" or whatever the other half is called there; a path of neither kind gives NULL. */
gboolean tess_nifti_is_pair (const char *path);
char *tess_nifti_pair_half (const char *path, gboolean image);

gboolean tess_nifti_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

G_END_DECLS
