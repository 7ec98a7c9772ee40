#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* One entry per file format. `matches` looks at the name only. */
typedef struct {
  const char *id;          /* "nifti" */
  const char *name;        /* for people: "NIfTI" */
  const char *endings;     /* for people: ".nii .nii.gz" */
  gboolean (*matches)  (const char *path);
  TessVolume *(*load)  (const char *path, TessProgress *progress, GError **error);
  gboolean (*save)     (TessVolume *volume, const char *path, TessProgress *progress, GError **error); /* NULL: read only */
  char *(*stem)        (const char *path); /* file name without folder and format endings */
} TessFormat;

const TessFormat *tess_format_for_path (const char *path, GError **error); /* UNSUPPORTED names what is readable */
guint             tess_formats_n       (void);
const TessFormat *tess_formats_nth     (guint i);

/* Load and save by the name's ending. Errors read "FILE: what is wrong; what to do". A label volume is loaded by
 * tess_volume_load too; the caller sets its intent. */
TessVolume *tess_volume_load (const char *path, TessProgress *progress, GError **error);
gboolean    tess_volume_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);
char       *tess_volume_stem (const char *path); /* of any path: known endings removed */

G_END_DECLS
