#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* Names and colours of labels in files of their own: ITK-SNAP's label descriptions (.label), FreeSurfer's colour tables
 * (.txt, .lut), Slicer's (.ctbl), the "labels" of nnU-Net's dataset.json, versions 1 and 2, and the colour maps of
 * MRIcroGL and NiiVue (.json). A region of several labels is a region of the table, not a label. */
TessLabelTable *tess_label_file_load (const char *path, GError **error);
/* The ending decides; a .json or .txt that is there already keeps its kind, and what else a .json and an ITK-SNAP file
 * say is kept. */
gboolean        tess_label_file_save (TessLabelTable *labels, const char *path, GError **error);

/* The table that belongs to a label volume: a file of its name beside it, or one of a usual name or a dataset.json there
 * or in a folder above. NULL when there is none. */
TessLabelTable *tess_label_file_find (const char *volume_path);
/* Gives a label volume that has no table the one found; path may be a location PATH::ENTRY. A table of its name that cannot
 * be used becomes a warning of the volume. */
void            tess_label_file_attach (TessVolume *volume, const char *volume_path);

G_END_DECLS
