#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* What the planner needs to know of a dataset, fed case by case. */
typedef struct _TessFingerprint TessFingerprint;

TessFingerprint *tess_fingerprint_new  (guint n_channels);
void             tess_fingerprint_free (TessFingerprint *f);
/* images: n_channels one-channel volumes on one grid; label on the same grid. Spacing, shape, bytes and the
 * intensities under the foreground (label > 0; up to 100000 a case and channel, evenly spaced) are kept. */
gboolean tess_fingerprint_add (TessFingerprint *f, TessVolume *const *images, const TessVolume *label, GError **error);
guint    tess_fingerprint_n_cases        (const TessFingerprint *f);
void     tess_fingerprint_median_spacing (const TessFingerprint *f, double spacing[3]);
/* nnU-Net's target: the median, but where one axis is far coarser than the others (over 3 x their spacing, under 1/3 of
 * their voxels) the 10th percentile of that axis, not below the others. */
void     tess_fingerprint_target_spacing (const TessFingerprint *f, double spacing[3]);
void     tess_fingerprint_median_shape   (const TessFingerprint *f, const double spacing[3], double shape[3]); /* at that spacing */
void     tess_fingerprint_max_shape      (const TessFingerprint *f, const double spacing[3], double shape[3]);
guint64  tess_fingerprint_bytes          (const TessFingerprint *f); /* all cases decoded, images and labels */
guint64  tess_fingerprint_largest_case   (const TessFingerprint *f); /* bytes */
/* The same with the index of foreground voxels a decoded case keeps (8 bytes for at most 10000 voxels a class). */
guint64  tess_fingerprint_cached_bytes (const TessFingerprint *f, guint n_labels, guint64 *largest_case);
/* Foreground intensities of a channel: mean, population std, percentiles 0.5 and 99.5. FALSE when there are none. */
gboolean tess_fingerprint_intensity (TessFingerprint *f, guint channel, double *mean, double *std, double *p005, double *p995);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessFingerprint, tess_fingerprint_free)

G_END_DECLS
