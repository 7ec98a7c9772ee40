#pragma once

#include "tess-format-registry.h"
#include "tess-json.h"
#include "tess-plan.h"

G_BEGIN_DECLS

/* A folder in nnU-Net's raw layout: dataset.json, imagesTr, labelsTr (imagesTs is not read). Names with or without
 * the _0000 channel suffix; one 4-D image stands for all its channels. Without dataset.json the channels are found
 * by name and the labels by looking at every label file. Ref-counted, immutable. */
typedef struct {
  char  *id;
  char **image_paths; /* NULL-terminated; one a channel, or a single multi-channel file */
  char  *label_path;
} TessCaseFiles;

typedef struct {
  gatomicrefcount ref_count;
  char   *directory, *name;
  guint   n_channels;
  char  **channel_names;   /* NULL-terminated */
  guint   n_labels;        /* with background */
  char  **label_names;     /* index = value */
  guint   n_regions;       /* 0: the labels themselves are to be learnt */
  TessPlanRegion *regions;
  gint64  ignore_label;    /* n_labels, or 0 = there is none */
  GPtrArray *cases;        /* TessCaseFiles, sorted by id */
  gboolean has_json;
} TessDataset;

TessDataset *tess_dataset_open  (const char *directory, TessProgress *progress, GError **error);
guint        tess_dataset_n_values (const TessDataset *dataset); /* values in its label maps: labels, and the ignore label */
TessDataset *tess_dataset_ref   (TessDataset *dataset);
void         tess_dataset_unref (TessDataset *dataset);
const TessCaseFiles *tess_dataset_case (const TessDataset *dataset, guint i);
/* "sha256:..." over name, channels, labels, case ids and the sizes of the image files: tells one dataset from another,
 * also where folder and cases have the same names. Label maps may be corrected: they do not count. */
char        *tess_dataset_identity (const TessDataset *dataset);
JsonNode    *tess_dataset_to_json  (const TessDataset *dataset); /* nnU-Net's dataset.json keys, plus "identity" and "cases" */

/* The channels of one scan: each image path loaded, 4-D split, all checked to be on one grid. images: array of
 * n_channels new references. */
gboolean tess_load_images (char *const *paths, guint n_channels, TessProgress *progress, TessVolume **images, GError **error);
TessVolume *tess_load_label (const char *path, const TessVolume *image, guint n_labels, GError **error); /* same grid (1e-3 mm * ...), values 0..n_labels-1 */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessDataset, tess_dataset_unref)

G_END_DECLS
