#pragma once

/* Private to the formats: voxels between a stream of bytes and a volume. */

#include "tess-atomic-file.h"
#include "tess-format-registry.h"
#include "tess-stream.h"

G_BEGIN_DECLS

/* Who wants to know how far it is. */
typedef struct {
  TessProgress *progress;
  TessVolumeLive live; /* NULL for none */
  gpointer user_data;
} TessVoxelListener;

/* How the voxels stand in the file. */
typedef struct {
  gsize stored_size;  /* bytes of one number there */
  gboolean swapped;   /* in the other byte order */
  gboolean more;      /* the caller reads what follows the voxels; else it is read past to compare checksums */
  /* n numbers in native byte order to the volume's type; NULL when they are of that type */
  void (*convert) (const guint8 *in, gsize n, guint8 *out);
} TessVoxelCoding;

gboolean tess_voxels_fit   (TessStream *stream, guint64 offset, const gint64 dim[3], gint64 n_channels, gsize stored_size,
                            GError **error);
gboolean tess_voxels_read  (TessVolume *volume, TessStream *stream, const TessVoxelCoding *coding,
                            const TessVoxelListener *listener, GError **error);
gboolean tess_voxels_write (TessVolume *volume, TessAtomicFile *file, TessProgress *progress, GError **error);
void     tess_voxels_swap  (guint8 *data, gsize n_bytes, gsize size); /* the bytes of every number of `size` bytes */

/* n numbers of 1, 2, 4 or 8 bytes, each so many numbers after the last. */
void     tess_voxels_copy  (const guint8 *in, gsize in_step, guint8 *out, gsize out_step, gsize n, gsize size);

/* For formats that are not planar or hold real values only. Interleaved: the file's fastest axis counts the
 * n_interleaved numbers of a voxel; number i of a voxel at outer position o is channel o + n_channels / n_interleaved * i. */
gboolean  tess_voxels_read_interleaved (TessVolume *volume, TessStream *stream, const TessVoxelCoding *coding,
                                        gint64 n_interleaved, const TessVoxelListener *listener, GError **error);
/* Real values, in a type that holds them (tess_voxels_plain_dtype ()) and either byte order. */
gboolean  tess_voxels_write_as         (TessVolume *volume, TessAtomicFile *file, TessDType dtype, gboolean swapped,
                                        gint64 n_interleaved, TessProgress *progress, GError **error);
gboolean  tess_voxels_write_interleaved (TessVolume *volume, TessAtomicFile *file, gint64 n_interleaved,
                                         TessProgress *progress, GError **error);
TessDType tess_voxels_plain_dtype      (TessVolume *volume);
gboolean  tess_voxels_hold_as          (TessVolume *volume, TessDType dtype); /* exact; to float: but for rounding */

G_END_DECLS
