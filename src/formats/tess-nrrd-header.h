#pragma once

/* Private to the formats: the text in front of the voxels of an NRRD file. */

#include "tess-stream.h"
#include "tess-volume.h"

G_BEGIN_DECLS

#define TESS_NRRD_MAX_AXES 16

typedef enum {
  TESS_NRRD_RAW,
  TESS_NRRD_TEXT,
  TESS_NRRD_HEX,
  TESS_NRRD_GZIP,
  TESS_NRRD_BZIP2,
} TessNrrdEncoding;

typedef enum {
  TESS_NRRD_FIELD,
  TESS_NRRD_PAIR,
} TessNrrdLineKind;

/* "name: value" or "name:=value"; a pair's value as it is written, with its escapes. */
typedef struct {
  TessNrrdLineKind kind;
  char *name, *value;
} TessNrrdLine;

typedef struct {
  gint64 size;
  char *kind;           /* in lower case; NULL when none is given */
  gboolean has_vector;  /* among the space directions */
  double vector[3];     /* in the file's space */
  double spacing, min, max; /* NaN when not given */
  gboolean node;        /* samples on the ends of [min, max], else in the middle of cells */
  int spatial;          /* which of x, y, z it is; -1: it counts channels */
} TessNrrdAxis;

typedef struct {
  int version;
  GPtrArray *lines;   /* TessNrrdLine, in order; fields by their first spelling ("data file", not "datafile") */
  guint64 length;     /* bytes up to what follows the empty line */
  TessDType dtype;
  guint n_axes;
  TessNrrdAxis axis[TESS_NRRD_MAX_AXES];
  guint n_spatial;    /* 1 to 3 */
  gint64 dim[3], n_channels;
  TessNrrdEncoding encoding;
  gboolean big_endian, has_endian;
  gboolean has_byte_skip;
  gint64 byte_skip;   /* -1: the voxels are the last bytes */
  guint64 line_skip;
  char *data_file;    /* as it is written; NULL: the voxels follow */
  double to_ras[3];   /* +1 or -1: the file's space to RAS+ */
  gboolean anatomical, named_space; /* the space's name tells left from right; there is a name */
  gboolean has_origin;
  double origin[3];
} TessNrrdHeader;

void     tess_nrrd_header_clear      (TessNrrdHeader *header);
gboolean tess_nrrd_header_read       (TessNrrdHeader *header, const char *path, GError **error);
gboolean tess_nrrd_header_parse      (TessNrrdHeader *header, const char *text, gsize n, const char *path, GError **error);
const char *tess_nrrd_header_field   (const TessNrrdHeader *header, const char *name); /* NULL when absent */
GBytes  *tess_nrrd_header_to_bytes   (const TessNrrdHeader *header); /* its lines as text that parses */
void     tess_nrrd_line_free         (TessNrrdLine *line);
gboolean tess_nrrd_parse_fields      (TessNrrdHeader *header, const char *path, GError **error); /* of its lines */
/* "FILE: ..."; FALSE. */
gboolean tess_nrrd_fail (GError **error, const char *path, TessError code, const char *format, ...) G_GNUC_PRINTF (4, 5);

/* Which axes are x, y and z, which count channels, and where the volume is. */
void     tess_nrrd_assign_axes (TessNrrdHeader *header);
gboolean tess_nrrd_affine      (const TessNrrdHeader *header, TessAffine *affine, GPtrArray *warnings);
gboolean tess_nrrd_layout      (const TessNrrdHeader *header, gint64 *n_leading); /* FALSE: channels between x, y and z */

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (TessNrrdHeader, tess_nrrd_header_clear)

/* Slicer's segments: names and colours of labels in pairs SegmentN_.... */
typedef struct {
  guint number;        /* the N of its keys */
  char *name;
  guint8 rgba[4];
  gboolean has_colour;
  gint64 value;
  gint64 layer;
} TessNrrdSegment;

GPtrArray      *tess_nrrd_segments      (const TessNrrdHeader *header); /* empty when it is no segmentation */
guint           tess_nrrd_n_layers      (const TessNrrdHeader *header, GPtrArray *segments);
TessLabelTable *tess_nrrd_segment_table (GPtrArray *segments, gint64 layer);
gboolean        tess_nrrd_key_segment   (const char *key, guint *number, const char **rest); /* "Segment12_Name" */
void            tess_nrrd_keep_layer    (TessNrrdHeader *header, GPtrArray *segments, gint64 layer);
/* Appends the pairs that describe a table; what the file it came from said of the same labels is kept. */
void            tess_nrrd_write_segments (GString *text, TessLabelTable *table, const TessNrrdHeader *source,
                                          const gint64 dim[3]);

gboolean tess_nrrd_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

G_END_DECLS
