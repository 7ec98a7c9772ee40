#pragma once

#include "tess-dataset.h"

G_BEGIN_DECLS

/* tess-dataset-scan.c: fills dataset->cases from imagesTr and labelsTr. file_ending NULL = any readable ending.
 * n_channels_found: files a scan, 1 also for a single multi-channel file. */
gboolean tess_dataset_scan (TessDataset *dataset, const char *file_ending, guint *n_files_a_scan, GError **error);

/* tess-dataset-load.c: every value is a whole number in [0, n_labels). path names the map in the error. */
gboolean tess_label_values_check (const TessVolume *label, const char *path, guint n_labels, GError **error);
/* a and b describe one scan: same dimensions and corners. The names go into the error. */
gboolean tess_same_grid_check (const TessGrid *a, const char *path_a, const TessGrid *b, const char *path_b,
                               GError **error);
/* The map as uint8 without scaling: itself with another reference, or a copy. Values have been checked. */
TessVolume *tess_label_as_u8 (TessVolume *label, GError **error);

G_END_DECLS
