#pragma once

#include "tess-dtype.h"
#include "tess-geometry.h"
#include "tess-label-table.h"
#include "tess-progress.h"

G_BEGIN_DECLS

typedef enum {
  TESS_INTENT_IMAGE,
  TESS_INTENT_LABEL,
} TessIntent;

/* A scan or label map: voxels in the type they were stored in, (x, y, z, channel) with x fastest, native byte order.
 * real value = slope * stored + intercept. Atomically ref-counted. May be published while it is being loaded:
 * slices below the watermark (counted over z, then channel) are immutable, the rest unreadable; a new volume's is at
 * the end. */
typedef struct _TessVolume TessVolume;

TessVolume *tess_volume_new   (TessDType dtype, const gint64 dim[3], gint64 n_channels, const TessAffine *affine, GError **error);
TessVolume *tess_volume_ref   (TessVolume *volume);
void        tess_volume_unref (TessVolume *volume);
/* A one-channel volume that shares the voxels of one channel of `volume`. */
TessVolume *tess_volume_new_channel (TessVolume *volume, gint64 channel);

TessDType         tess_volume_dtype      (const TessVolume *volume);
const gint64     *tess_volume_dim        (const TessVolume *volume); /* [3] */
gint64            tess_volume_n_voxels   (const TessVolume *volume); /* of one channel */
gint64            tess_volume_n_channels (const TessVolume *volume);
gsize             tess_volume_n_bytes    (const TessVolume *volume);
const TessAffine *tess_volume_affine     (const TessVolume *volume);
TessGrid          tess_volume_grid       (const TessVolume *volume);
double            tess_volume_slope      (const TessVolume *volume);
double            tess_volume_intercept  (const TessVolume *volume);
void              tess_volume_set_scaling (TessVolume *volume, double slope, double intercept);
TessIntent        tess_volume_intent     (const TessVolume *volume);
void              tess_volume_set_intent (TessVolume *volume, TessIntent intent);
TessLabelTable   *tess_volume_peek_labels (const TessVolume *volume); /* NULL when none */
void              tess_volume_set_labels (TessVolume *volume, TessLabelTable *labels);

/* Opaque bytes of the source's header (format id and contents), so that a writer of the same format keeps them. */
void              tess_volume_set_source_header  (TessVolume *volume, const char *format, GBytes *header);
GBytes           *tess_volume_peek_source_header (const TessVolume *volume, const char *format); /* NULL when of another format */
/* DICOM's SeriesInstanceUID, by which tables of findings name a scan. */
void              tess_volume_set_series_uid  (TessVolume *volume, const char *uid);
const char       *tess_volume_peek_series_uid (const TessVolume *volume); /* NULL when the file does not say */
/* Things a user should know about this file; one sentence each. */
void              tess_volume_add_warning (TessVolume *volume, const char *sentence);
const char *const *tess_volume_warnings   (const TessVolume *volume); /* NULL-terminated, never NULL */

const void *tess_volume_data        (const TessVolume *volume);
void       *tess_volume_data_mut    (TessVolume *volume); /* only before it is shared */
gint64      tess_volume_watermark   (const TessVolume *volume); /* acquire */
void        tess_volume_set_watermark (TessVolume *volume, gint64 n_slices); /* release */
gint64      tess_volume_n_slices    (const TessVolume *volume); /* dim[2] * n_channels */

double tess_volume_value (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel); /* real value */
/* Real values of n voxels that follow (x,y,z) along x, as float. */
void   tess_volume_row_f32 (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel, gint64 n, float *out);
/* The same for labels: real values rounded to the nearest integer, NaN as 0. */
void   tess_volume_row_i32 (const TessVolume *volume, gint64 x, gint64 y, gint64 z, gint64 channel, gint64 n, gint32 *out);
/* Real values of n voxels that follow in memory from linear index `first` (x, y, z, channel; x fastest). */
void   tess_volume_values_f64 (const TessVolume *volume, gsize first, gsize n, double *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessVolume, tess_volume_unref)

G_END_DECLS
