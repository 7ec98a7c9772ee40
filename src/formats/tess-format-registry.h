#pragma once

#include "tess-volume.h"

G_BEGIN_DECLS

/* On the loading thread, now and then: more of the volume is readable (its watermark has risen). */
typedef void (*TessVolumeLive) (TessVolume *volume, gpointer user_data);

/* One volume of a file that holds several: an array of an archive, a layer. */
typedef struct {
  char *id;          /* names it in a location */
  char *description; /* for people, beside its id; may be NULL */
  char *preview;     /* location of a part from its middle that is quick to load; NULL: the volume itself */
  TessDType dtype;
  gint64 dim[3], n_channels;
} TessVolumeEntry;

/* One per file format. Files are recognised by their endings; folders, and files without one, by who claims them. */
typedef struct {
  const char *id;      /* "nifti" */
  const char *name;    /* for people: "NIfTI" */
  const char *endings; /* in any case, first the usual one: ".nii .nii.gz" */
  /* What the file holds, of TessVolumeEntry; NULL where it is always one volume. */
  GPtrArray *(*entries) (const char *path, GError **error);
  /* The same, where looking takes long; NULL: entries is quick. */
  GPtrArray *(*scan)    (const char *path, TessProgress *progress, GError **error);
  /* entry: an id of these; NULL for the only one, and always for formats without entries. */
  TessVolume *(*load)  (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                        GError **error);
  gboolean (*save)     (TessVolume *volume, const char *path, TessProgress *progress, GError **error); /* NULL: read only */
  char *(*main_file)   (const char *path); /* which file stands for a volume of two: path itself or another; NULL: path */
  gboolean (*claims)   (const char *path); /* of an existing folder, or file without a known ending; NULL: none of them */
} TessFormat;

/* Length of path without the format's ending; 0 when it has none of them or nothing before it. */
gsize tess_format_stem_length (const TessFormat *format, const char *path);

const TessFormat *tess_format_for_path (const char *location, GError **error); /* UNSUPPORTED names what is readable */
guint             tess_formats_n       (void);
const TessFormat *tess_formats_nth     (guint i);

/* Load and save by the name's ending. Where a path is to be read, PATH::ENTRY reads one volume of several. Errors read
 * "FILE: what is wrong; what to do". A label volume is loaded by tess_volume_load too; the caller sets its intent. */
TessVolume *tess_volume_load (const char *path, TessProgress *progress, GError **error);
/* The same; what has been read can be looked at meanwhile. When it fails in the end, nothing of it is to be used. */
TessVolume *tess_volume_load_live (const char *path, TessProgress *progress, TessVolumeLive live, gpointer user_data,
                                   GError **error);
gboolean    tess_volume_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);
/* What a file holds when it may hold several volumes (TessVolumeEntry); an empty array for formats that hold one. */
GPtrArray  *tess_volume_entries (const char *path, GError **error);
GPtrArray  *tess_volume_scan    (const char *path, TessProgress *progress, GError **error); /* the same; can be cancelled */
char       *tess_volume_location_file (const char *location); /* of PATH::ENTRY the path, else the location itself */
char       *tess_volume_stem (const char *path); /* of any path: known endings removed */
/* A volume may be two files: the one that stands for both (the .hdr of an .img), else path itself. Who lists a folder
 * passes over the other. */
char       *tess_volume_main_file    (const char *path);
gboolean    tess_volume_is_companion (const char *path); /* path is not its own main file */

void             tess_volume_entry_free (TessVolumeEntry *entry);
/* Which entry a location means: `entry`, or the only one. Fails with a sentence that names them all. */
TessVolumeEntry *tess_volume_entry_find (GPtrArray *entries, const char *path, const char *entry, GError **error);

G_END_DECLS
