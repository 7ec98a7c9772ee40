#pragma once

/* Private to HDF5. The helper says what a file holds and where its bytes are; the program reads and unpacks them. */

#include "tess-codec-client.h"
#include "tess-numpy-private.h"

G_BEGIN_DECLS

#define TESS_HDF5_MOST_FILTERS 8
#define TESS_HDF5_MOST_VALUES 16

typedef enum {
  TESS_HDF5_DEFLATE = 1,
  TESS_HDF5_SHUFFLE = 2,
  TESS_HDF5_FLETCHER32 = 3,
  TESS_HDF5_LZF = 32000,
} TessHdf5FilterId;

typedef struct {
  gint64 id;    /* TessHdf5FilterId, or another */
  gsize size;   /* of what is shuffled, bytes */
  char name[64];
} TessHdf5Filter;

typedef enum {
  TESS_HDF5_CONTIGUOUS,
  TESS_HDF5_COMPACT,
  TESS_HDF5_CHUNKED,
  TESS_HDF5_EXTERNAL, /* voxels in other files */
  TESS_HDF5_VIRTUAL,  /* voxels of other datasets */
  TESS_HDF5_UNKNOWN,
} TessHdf5Layout;

typedef struct {
  char *name;           /* full: "/group/name" */
  gboolean is_link;     /* into another file: the rest is unknown */
  gboolean is_damaged;  /* so is it here */
  TessNpyHeader header; /* type and shape */
  guint64 object;       /* the helper's number for it */
  TessHdf5Layout layout;
  gint64 chunk[TESS_NPY_MAX_AXES];
  guint n_filters; /* in the order of packing */
  TessHdf5Filter filters[TESS_HDF5_MOST_FILTERS];
  gboolean too_many_filters;
  guint8 fill[8]; /* as it would stand in the file */
  JsonObject *attributes; /* name -> list of numbers, or text */
  guint n_values;         /* of a dataset that is small */
  double values[TESS_HDF5_MOST_VALUES];
} TessHdf5Dataset;

typedef struct {
  char *path;
  int fd;
  guint64 size;
  TessCodec *codec;
  GPtrArray *datasets;    /* of TessHdf5Dataset, by name */
  JsonObject *attributes; /* of the root */
  gboolean more;          /* datasets than are listed */
} TessHdf5File;

TessHdf5File *tess_hdf5_file_open (const char *path, TessProgress *progress, GError **error);
void          tess_hdf5_file_free (TessHdf5File *file);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessHdf5File, tess_hdf5_file_free)

gboolean tess_hdf5_parse (TessHdf5File *file, JsonObject *answer, GError **error);
void     tess_hdf5_dataset_free (TessHdf5Dataset *dataset);
char    *tess_hdf5_text (const char *latin); /* of the helper's texts, UTF-8 again */

/* What attributes, neighbours and the root say. */
void     tess_hdf5_geometry (TessHdf5File *file, TessHdf5Dataset *dataset, TessNumpyGeometry *geometry);
gint64   tess_hdf5_channel_axis (TessHdf5File *file, TessHdf5Dataset *dataset);
gboolean tess_hdf5_says_of_others (TessHdf5Dataset *dataset); /* a spacing, an affine: no image */
void     tess_hdf5_apply (TessHdf5Dataset *dataset, TessVolume *volume); /* scaling, labels */
char    *tess_hdf5_labels_text (TessLabelTable *labels);

/* Packing, a chunk at a time. Sizes in bytes; scratch and out hold `n_out` + TESS_HDF5_SLACK. */
#define TESS_HDF5_SLACK (4 * TESS_HDF5_MOST_FILTERS)
gboolean tess_hdf5_can_unpack (const TessHdf5Dataset *dataset); /* all filters are known, one at most compresses */
gboolean tess_hdf5_unpack (const TessHdf5Dataset *dataset, guint32 mask, const guint8 *in, gsize n_in, guint8 *scratch,
                           guint8 *out, gsize n_out);
void     tess_hdf5_shuffle (const guint8 *in, gsize n, gsize size, guint8 *out);

gboolean tess_hdf5_read (TessHdf5File *file, TessHdf5Dataset *dataset, const TessNumpyLayout *layout, TessVolume *volume,
                         const TessVoxelListener *listener, GError **error);
gboolean tess_hdf5_check_size (TessHdf5File *file, TessHdf5Dataset *dataset, const TessNumpyLayout *layout, GError **error);
gboolean tess_hdf5_save (TessVolume *volume, const char *path, TessProgress *progress, GError **error);

/* A grid of chunks over an array, and one of them cut off at the array's end. */
typedef struct {
  guint n_axes;
  gint64 shape[TESS_NPY_MAX_AXES], chunk[TESS_NPY_MAX_AXES], along[TESS_NPY_MAX_AXES];
  guint64 n; /* chunks */
} TessHdf5Grid;

typedef struct {
  gint64 start[TESS_NPY_MAX_AXES], count[TESS_NPY_MAX_AXES];
} TessHdf5Block;

gboolean tess_hdf5_grid_init (TessHdf5Grid *grid, guint n_axes, const gint64 *shape, const gint64 *chunk); /* FALSE: overflow */
void     tess_hdf5_grid_block (const TessHdf5Grid *grid, guint64 i, TessHdf5Block *block);

G_END_DECLS
