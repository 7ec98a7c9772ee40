#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* What a path that somebody dropped, named or chose is to Tessera. */
typedef enum {
  TESS_FILE_MISSING,
  TESS_FILE_SCAN,    /* any file of voxels, or one that no reader knows: the reader says so then */
  TESS_FILE_DATASET, /* a folder with imagesTr in it */
  TESS_FILE_RUN,     /* a folder with plan.json and a log, progress or model */
  TESS_FILE_MODEL,   /* .safetensors, .pth, .model, or a folder of nnU-Net's with one in it */
  TESS_FILE_FINDINGS, /* .csv: a table of places in a scan */
  TESS_FILE_FOLDER,  /* a folder that is none of these: perhaps of scans */
} TessFileKind;

/* Looks at names only, opens nothing. *folder: of a data set or run, the folder itself, also when a folder or file
 * inside it was named (imagesTr, plan.json); NULL for other kinds. */
TessFileKind tess_file_kind_probe (const char *path, char **folder);
/* Does the name call it labels: "..._seg.nii.gz", "labelsTr/case.nii.gz", "aparc+aseg.mgz". */
gboolean tess_file_name_says_labels (const char *path);
/* Do the voxels look like labels: whole numbers from 0 on, at most 64 different ones, 0 the most frequent. Reads all. */
gboolean tess_volume_looks_like_labels (const TessVolume *volume);

G_END_DECLS
