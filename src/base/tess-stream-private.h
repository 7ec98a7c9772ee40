#pragma once

#include "tess-stream-fetcher.h"
#include "tess-stream-index.h"
#include "tess-stream-pieces.h"
#include "tess-stream.h"

G_BEGIN_DECLS

typedef struct _TessStreamRecorder TessStreamRecorder;

struct _TessStream {
  char *path;
  int fd;
  guint64 offset;               /* in the file, of the part that is read */
  guint64 file_size, file_read; /* of the part; file_read: fetched, what is still in the buffer included */
  guint8 *buffer;               /* the fetcher's, once there is one */
  gsize begin, end;             /* unread part of buffer */
  TessStreamFetcher *fetcher;
  TessPacking packing; /* never AUTO once open */
  gboolean at_end;
  gboolean several;  /* gzip: more than one member */
  gboolean finished; /* packed: the last member is complete and its checksum right */
  struct inflate_state *inflate;
  guint64 position;             /* packed: bytes of contents given so far */
  TessStreamRecorder *recorder; /* makes an index on the way */
  TessStreamAhead *ahead;       /* others inflate, too */
  TessStreamFetch fetch;        /* NULL: the bytes come from fd */
  gpointer source;
  GDestroyNotify source_free;
  gboolean expecting;
  guint64 expected, produced; /* contents: how many bytes there are to be, and were so far */
  guint32 expected_crc, crc;
};

gboolean tess_stream_fill   (TessStream *stream, GError **error); /* the empty buffer; at the end at_end is set */
gboolean tess_stream_rewind (TessStream *stream, guint64 byte, GError **error); /* to that byte of the part */
gssize   tess_stream_inflate (TessStream *stream, guint8 *out, gsize n, GError **error); /* as tess_stream_read () */

/* What tess_stream_inflate () asks for; the stream has a recorder or an ahead. */
void     tess_stream_hold_back (TessStream *stream, gsize *feed, guint32 *room); /* inflate no more than this at once */
gboolean tess_stream_stepped   (TessStream *stream, gsize fed, gsize got, gboolean stuck); /* after each step */
gssize   tess_stream_take      (TessStream *stream, guint8 *out, gsize n, GError **error); /* of what others inflated */
gboolean tess_stream_is_taking (const TessStream *stream);
guint64  tess_stream_taken     (const TessStream *stream); /* bytes of the part */
void     tess_stream_recorder_end (TessStream *stream, gboolean keep); /* keep: the contents are complete and right */

G_END_DECLS
