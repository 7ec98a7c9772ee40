#pragma once

#include "tess-progress.h"

G_BEGIN_DECLS

typedef enum {
  TESS_PACKING_AUTO, /* gzip or none, by the first two bytes */
  TESS_PACKING_NONE,
  TESS_PACKING_GZIP,
  TESS_PACKING_ZLIB,
  TESS_PACKING_DEFLATE,
} TessPacking;

/* Reads the bytes of a file, or of a part of it, in order, inflating on the way (gzip: any number of members;
 * checksums verified). */
typedef struct _TessStream TessStream;

TessStream *tess_stream_open       (const char *path, GError **error);
TessStream *tess_stream_open_part  (const char *path, guint64 offset, guint64 n_bytes, TessPacking packing, GError **error);
/* Bytes from elsewhere: up to n into out; fewer only at the end, -1 on failure. */
typedef gssize (*TessStreamFetch) (gpointer source, guint8 *out, gsize n, GError **error);
TessStream *tess_stream_new_source (const char *path, TessStreamFetch bytes, gpointer source, GDestroyNotify source_free,
                                    guint64 n_bytes, TessPacking packing, GError **error);
void        tess_stream_expect     (TessStream *stream, guint64 n_bytes, guint32 crc32); /* of the contents; checked on the way */
void        tess_stream_free       (TessStream *stream);
gboolean    tess_stream_is_packed  (TessStream *stream);
gssize      tess_stream_read       (TessStream *stream, void *buffer, gsize n, GError **error); /* short only at the end */
gboolean    tess_stream_read_exact (TessStream *stream, void *buffer, gsize n, GError **error);
gboolean    tess_stream_skip       (TessStream *stream, guint64 n, TessProgress *progress, GError **error);
guint64     tess_stream_file_size  (TessStream *stream);  /* bytes on disk, of the part */
guint64     tess_stream_file_read  (TessStream *stream);  /* bytes on disk consumed so far */
guint64     tess_stream_max_size   (TessStream *stream);  /* upper bound of what it can hold: 1032 x what is packed */
const char *tess_stream_peek_path  (TessStream *stream);

/* Several threads inflate into the buffer that the next n bytes are going to be read to, in order. NULL: the stream reads
 * by itself. Freed before the buffer is. */
typedef struct _TessStreamAhead TessStreamAhead;

TessStreamAhead *tess_stream_read_ahead (TessStream *stream, void *buffer, gsize n);
void             tess_stream_ahead_free (TessStreamAhead *ahead);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessStream, tess_stream_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessStreamAhead, tess_stream_ahead_free)

G_END_DECLS
