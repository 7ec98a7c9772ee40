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
  /* n numbers in native byte order to the volume's type; NULL when they are of that type */
  void (*convert) (const guint8 *in, gsize n, guint8 *out);
} TessVoxelCoding;

gboolean tess_voxels_fit   (TessStream *stream, guint64 offset, const gint64 dim[3], gint64 n_channels, gsize stored_size,
                            GError **error);
gboolean tess_voxels_read  (TessVolume *volume, TessStream *stream, const TessVoxelCoding *coding,
                            const TessVoxelListener *listener, GError **error);
gboolean tess_voxels_write (TessVolume *volume, TessAtomicFile *file, TessProgress *progress, GError **error);

G_END_DECLS
