#pragma once

/* Private to the NumPy formats. */

#include "tess-npy-header.h"
#include "tess-numpy.h"
#include "tess-pickle.h"
#include "tess-voxels.h"

G_BEGIN_DECLS

#define TESS_NUMPY_MAX_AXES 5
#define TESS_NUMPY_CHANNEL_AXIS_UNKNOWN (-2)
#define TESS_NUMPY_CHANNEL_AXIS_FIRST 0 /* of four or more */

/* Which axis of an array is which of a volume. Array axes in their order, those of length 1 in front of four dropped. */
typedef struct {
  guint n_axes;
  gint64 count[TESS_NUMPY_MAX_AXES], stride[TESS_NUMPY_MAX_AXES]; /* in voxels of the volume */
  gint64 dim[3], n_channels;
  gboolean channels_last;
  gboolean guessed; /* which axis counts channels was not said by anything */
} TessNumpyLayout;

/* What a file or its partner says about where voxels are. */
typedef struct {
  gboolean known;       /* affine is */
  gboolean only_spacing; /* of it, spacing alone was given */
  TessAffine affine;    /* of the volume's index */
} TessNumpyGeometry;

/* The .pkl beside an .npz: nnU-Net's properties of a case, or ingradient's. */
typedef struct _TessNumpyProperties TessNumpyProperties;

gboolean tess_numpy_layout (const TessNpyHeader *header, gint64 channel_axis, const char *origin, TessNumpyLayout *layout,
                            GError **error);
/* What must be said about the way it was read; a list of new strings. */
void tess_numpy_warn (const TessNpyHeader *header, const TessNumpyLayout *layout, const TessNumpyGeometry *geometry,
                      GPtrArray *warnings);
/* affine: row-major 4 x 4 over the array's three axes of space in their order, as nibabel's for its arrays. */
gboolean tess_numpy_geometry_from_affine (const double affine[16], TessNumpyGeometry *geometry);
gboolean tess_numpy_geometry_from_spacing (const double spacing[3], TessNumpyGeometry *geometry); /* array order, mm */

/* nnU-Net 1 keeps the labels of a case as the last channel of its image. */
typedef enum {
  TESS_NUMPY_WHOLE,
  TESS_NUMPY_BUT_LAST_CHANNEL,
  TESS_NUMPY_LAST_CHANNEL,
} TessNumpyPart;

/* An array that is to become a volume. */
typedef struct {
  const TessNpyHeader *header;
  TessStream *stream; /* stands on its first number */
  const char *origin; /* for messages: the file, or file::array */
  const char *name;   /* of the array; a file's stem */
  gboolean more;      /* other things follow in the stream */
  gint64 channel_axis;
  TessNumpyPart part;
  TessNumpyGeometry geometry; /* as far as the file itself has it */
  TessNumpyProperties *properties; /* NULL for none */
  GPtrArray *warnings;
} TessNumpySource;

/* Which channels a part has; FALSE when the array cannot be parted so. */
gboolean tess_numpy_layout_part (TessNumpyLayout *layout, const TessNpyHeader *header, TessNumpyPart part,
                                 gint64 *first_channel);
TessVolume *tess_numpy_load_array (TessNumpySource *source, const TessVoxelListener *listener, GError **error);
gboolean tess_numpy_read_doubles (const TessNpyHeader *header, TessStream *stream, double *values, guint n, GError **error);
gboolean tess_numpy_is_label_name (const char *name);

/* The partner of an array file: NULL without error when there is none. */
TessNumpyProperties *tess_numpy_properties_find (const char *path, gsize stem_length, GPtrArray *warnings);
void tess_numpy_properties_free (TessNumpyProperties *properties);
gboolean tess_numpy_properties_last_is_labels (const TessNumpyProperties *properties); /* nnU-Net v1's data */
/* Whether an array lies as the scan it came from does, before anything was cut or resampled. */
gboolean tess_numpy_properties_geometry (TessNumpyProperties *properties, const gint64 dim[3], gboolean original,
                                         TessNumpyGeometry *geometry, GPtrArray *warnings);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessNumpyProperties, tess_numpy_properties_free)

gboolean tess_npy_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);
gboolean tess_npz_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

G_END_DECLS
