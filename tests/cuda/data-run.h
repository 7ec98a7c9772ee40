#pragma once

#include "tess-device-case.h"
#include "tess-logit-band.h"

G_BEGIN_DECLS

/* What a backend keeps beside programs: a band of logits, and patches out of scans in its memory; the same numbers
 * every time. */

/* Tiles of noise through a band of the case, into labels on its scan. near: the device had no room. */
guint       band_run_n    (void);
const char *band_run_name (guint i);
TessVolume *band_run      (const TessBackendIface *backend, guint i, gboolean *near, GError **error);

/* The sums and weights of a band after three tiles, of which some slices are means already. */
GBytes     *band_sums     (const TessBackendIface *backend, GError **error);

/* Batches of patches of a case, drawn by the device and by tess_sampler_draw(). */
typedef struct {
  gsize  n_voxels, n_labels_differ, n_mixed; /* n_mixed: voxels of a label other than the first one's */
  double largest;                            /* difference of images */
  gboolean same_bits;                        /* images and labels */
} SampleRun;

guint       sample_run_n    (void);
const char *sample_run_name (guint i);
gboolean    sample_run      (const TessBackendIface *backend, guint i, SampleRun *out, GError **error);

G_END_DECLS
