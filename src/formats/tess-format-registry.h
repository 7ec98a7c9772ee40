#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* On the loading thread, now and then: more of the volume is readable (its watermark has risen). */
typedef void (*TessVolumeLive) (TessVolume *volume, gpointer user_data);

/* One entry per file format. `matches` looks at the name only. */
typedef struct {
  const char *id;          /* "nifti" */
  const char *name;        /* for people: "NIfTI" */
  const char *endings;     /* for people: ".nii .nii.gz" */
  gboolean (*matches)  (const char *path);
  TessVolume *(*load)  (const char *path, TessProgress *progress, TessVolumeLive live, gpointer user_data, GError **error);
  gboolean (*save)     (TessVolume *volume, const char *path, TessProgress *progress, GError **error); /* NULL: read only */
  char *(*stem)        (const char *path); /* file name without folder and format endings */
  char *(*main_file)   (const char *path); /* which file stands for a volume of two: path itself or another; NULL: path */
} TessFormat;

const TessFormat *tess_format_for_path (const char *path, GError **error); /* UNSUPPORTED names what is readable */
guint             tess_formats_n       (void);
const TessFormat *tess_formats_nth     (guint i);

/* Load and save by the name's ending. Errors read "FILE: what is wrong; what to do". A label volume is loaded by
 * tess_volume_load too; the caller sets its intent. */
TessVolume *tess_volume_load (const char *path, TessProgress *progress, GError **error);
/* The same; what has been read can be looked at meanwhile. When it fails in the end, nothing of it is to be used. */
TessVolume *tess_volume_load_live (const char *path, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                                   GError **error);
gboolean    tess_volume_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);
char       *tess_volume_stem (const char *path); /* of any path: known endings removed */
/* A volume may be two files: the one that stands for both (the .hdr of an .img), else path itself. Who lists a folder
 * passes over the other. */
char       *tess_volume_main_file    (const char *path);
gboolean    tess_volume_is_companion (const char *path); /* path is not its own main file */

G_END_DECLS
