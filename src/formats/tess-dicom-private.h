#pragma once

/* Private to the DICOM format: what files say, series made of it, their voxels. Lengths in mm, directions as DICOM has them
 * (LPS+: x to the patient's left, y posterior, z superior). */

#include "tess-codec-client.h"
#include "tess-format-registry.h"
#include "tess-json.h"

G_BEGIN_DECLS

#define TESS_DICOM_N_KEYS 8

/* A region of a structure set: closed contours, as many points as `lengths` (guint32) says, from point `first` on. */
typedef struct {
  gint64 value; /* of its label */
  char *name;
  guint8 rgba[4]; /* alpha 0: none given */
  GArray *lengths;
  gsize first;
} TessDicomRegion;

/* Of a radiotherapy structure set. */
typedef struct {
  char *label;
  GPtrArray *regions;                      /* TessDicomRegion */
  GPtrArray *series, *frames_of_reference; /* uids of what it was drawn on */
  gsize n_points;
  guint n_other, n_bad; /* contours that are not closed, or no numbers */
  gboolean renumbered;  /* labels' values are not the regions' numbers */
} TessDicomStructures;

/* What pictures of a file have in common; or contours. */
typedef struct {
  char *path, *series, *modality, *description, *class_uid, *photometric, *image_type, *frame_of_reference;
  guint64 size, offset, length; /* of the file; of its voxels where they stand uncompressed */
  gboolean plain;
  gint64 rows, columns, n_frames, samples, planar, allocated, stored, high, is_signed;
  gint64 mosaic_n; /* slices packed into one picture; 0: none */
  gint64 fraction_most;
  double series_number;
  TessDType dtype; /* of a number in memory */
  gboolean fractional;
  JsonArray *segments; /* of a segmentation */
  TessDicomStructures *structures;
} TessDicomFile;

/* A picture: a slice. */
typedef struct {
  const TessDicomFile *file;
  gint64 index; /* of the frame in the file, or of the tile in a mosaic */
  gboolean has_position, has_orientation, has_spacing, guessed_step;
  double position[3], orientation[6]; /* of the first voxel; along a row, along a column */
  double spacing[2];                  /* between rows, between columns */
  double thickness, between;          /* 0: not said */
  double slope, intercept;
  double key[TESS_DICOM_N_KEYS]; /* order among pictures of one place */
  gint64 segment;
  double along;       /* of its position on the slices' normal */
  gint64 z, channel0; /* where it goes; z -1: nowhere */
} TessDicomFrame;

/* What has been found under a path. */
typedef struct _TessDicomStudy TessDicomStudy;
struct _TessDicomStudy {
  char *path;
  GPtrArray *files;  /* TessDicomFile */
  GPtrArray *frames; /* TessDicomFrame */
  guint n_candidates, n_failed, n_without_pictures;
  GError *first_failure, *without_pictures;
  TessDicomStudy *around;   /* what lies near a structure set that came without its scan; NULL */
  GPtrArray *around_series; /* of it */
};

/* Pictures that make up one volume. */
typedef struct _TessDicomSeries TessDicomSeries;
struct _TessDicomSeries {
  char *id, *description;
  GPtrArray *frames; /* TessDicomFrame, not owned; sorted as they go into the volume */
  gint64 dim[3], n_channels;
  TessDType dtype;
  TessAffine affine;
  gboolean scaled; /* pictures differ in slope or intercept: float32 */
  gboolean inverted, is_segmentation, is_structure_set;
  char *refusal;       /* why it is no volume; NULL */
  GPtrArray *warnings; /* sentences */
  const TessDicomSeries *scan; /* of contours: whose grid they go to; NULL: their own */
  double *points;              /* of contours, x y z each, once they have been read */
};

TessDicomStudy *tess_dicom_study_new  (const char *path, TessProgress *progress, GError **error);
void            tess_dicom_study_free (TessDicomStudy *study);

/* Of TessDicomSeries. */
GPtrArray *tess_dicom_series_find   (TessDicomStudy *study);
void       tess_dicom_series_place  (TessDicomSeries *series); /* order, channels, affine, warnings */
/* Adds a file and its pictures; FALSE when what it says is impossible. */
gboolean   tess_dicom_parse         (const char *path, JsonObject *answer, GPtrArray *files, GPtrArray *frames);
void       tess_dicom_file_free     (TessDicomFile *file);
void       tess_dicom_series_free   (TessDicomSeries *series);

typedef struct {
  TessProgress *progress;
  TessVolumeLive live;
  gpointer user_data;
} TessDicomListener;

/* Something that is in some slices of a grid. */
typedef struct {
  gint64 number, layer; /* the label's value; the channel */
  guint n_planes;
  gpointer data;
} TessDicomSegment;

/* Sets the bits of a slice's voxels (x fastest, the lowest bit of a word first) that belong to the segment in the i-th of
 * its planes, clears all others, and returns the slice. */
typedef gint64 (*TessDicomMask) (const TessDicomSegment *segment, guint i, guint64 *mask, gpointer user_data);

gsize       tess_dicom_mask_words    (const TessDicomSeries *series);
gboolean    tess_dicom_layers_fit    (const TessDicomSeries *series, const char *path, TessDType dtype, gint64 n_channels,
                                      GError **error);
TessVolume *tess_dicom_layers_volume (TessDicomSeries *series, const char *path, TessDType dtype, gint64 n_channels,
                                      GError **error);
TessVolume *tess_dicom_layers_paint  (TessDicomSeries *series, GArray *segments, TessDicomMask mask, gpointer user_data,
                                      const char *path, TessProgress *progress, GError **error);

typedef enum { TESS_DICOM_NO_MATCH, TESS_DICOM_SAME_FRAME, TESS_DICOM_SAME_SERIES } TessDicomMatch;

gboolean       tess_dicom_structures_read  (TessDicomFile *file, JsonObject *answer, const char *charset);
void           tess_dicom_structures_free  (TessDicomStructures *structures);
TessDicomMatch tess_dicom_structures_match (const TessDicomStructures *structures, const TessDicomFile *file);
void           tess_dicom_structures_place (TessDicomSeries *series, GPtrArray *all, GPtrArray *around);
TessVolume    *tess_dicom_structures_load  (TessDicomSeries *series, const TessDicomListener *listener, GError **error);
double        *tess_dicom_contour_points   (const TessDicomFile *file, TessProgress *progress, GError **error);

gsize       tess_dicom_file_bytes   (const TessDicomFile *file); /* of all its voxels, unpacked */
TessVolume *tess_dicom_series_load  (TessDicomSeries *series, const TessDicomListener *listener, GError **error);
TessVolume *tess_dicom_segmentation (TessDicomSeries *series, const TessDicomListener *listener, GError **error);
void        tess_dicom_place_frame  (TessDicomSeries *series, const TessDicomFrame *frame, const guint8 *pixels,
                                     guint8 *scratch, TessVolume *volume);
guint8     *tess_dicom_frame_target (TessDicomSeries *series, const TessDicomFrame *frame, TessVolume *volume);
void        tess_dicom_finish_frame (TessDicomSeries *series, const TessDicomFrame *frame, TessVolume *volume);
gsize       tess_dicom_frames_bytes (const TessDicomFile *file, gint64 n);
gboolean    tess_dicom_file_check   (const TessDicomFile *file, GError **error); /* whole, as far as can be seen */
int         tess_dicom_file_open    (const TessDicomFile *file, GError **error);
gboolean    tess_dicom_pixels_read  (const TessDicomFile *file, int fd, guint64 at, void *out, gsize n, GError **error);
gboolean    tess_dicom_fits         (const char *path, guint64 n, GError **error); /* n bytes into memory */
TessCodec  *tess_dicom_codec_new    (guint64 n); /* for files of n bytes */
/* What the helper unpacks of a file, n bytes; to be freed with g_free(). */
guint8     *tess_dicom_file_unpack  (const TessDicomFile *file, gsize n, TessProgress *progress, GError **error);
/* Unpacks one file into memory of its own (tess_dicom_file_bytes()); to be freed with g_free(). */
guint8     *tess_dicom_file_pixels  (const TessDicomFile *file, TessProgress *progress, GError **error);

/* Of paths; a DICOMDIR alone is its own candidate. most: files to look at in a folder; 0: all. */
GPtrArray *tess_dicom_candidates (const char *path, guint most, GError **error);
gboolean   tess_dicom_claims     (const char *path);
char      *tess_dicom_recode     (const char *latin, const char *charset);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessDicomStudy, tess_dicom_study_free)

G_END_DECLS
