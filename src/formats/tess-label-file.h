#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* Names and colours of labels in files of their own: ITK-SNAP's label descriptions (.label), FreeSurfer's colour tables
 * (.txt, .lut), Slicer's (.ctbl) and the "labels" of nnU-Net's dataset.json, versions 1 and 2. */
TessLabelTable *tess_label_file_load (const char *path, GError **error);
/* The ending decides; of a .json and an ITK-SNAP file that is there already, what else it says is kept. */
gboolean        tess_label_file_save (TessLabelTable *labels, const char *path, GError **error);

/* The table that belongs to a label volume: a file of its name beside it, one of a usual name there, or a dataset.json
 * there or in a folder above. NULL when there is none. */
TessLabelTable *tess_label_file_find (const char *volume_path);
/* Gives a label volume that has no table the one found; path may be a location PATH::ENTRY. A table of its name that cannot
 * be used becomes a warning of the volume. */
void            tess_label_file_attach (TessVolume *volume, const char *volume_path);

G_END_DECLS
