#pragma once

/* Private to base: the stretches between the points of an index, inflated by several threads to where they are wanted. */

#include "tess-stream-index.h"

#include <isa-l/igzip_lib.h>

G_BEGIN_DECLS

typedef struct _TessStreamPieces TessStreamPieces;

/* Piece i lies between the points first + i and first + i + 1; out is where the contents at point `first` belong.
 * fd and index stay the caller's. */
TessStreamPieces *tess_stream_pieces_new  (int fd, guint64 offset, const TessStreamIndex *index, guint first, guint n,
                                           guint8 *out, guint n_threads);
/* Waits until there are more than `had` bytes of piece i: how many there are, no more than `had` when it has failed. The
 * last 32 KiB come only when the piece ended where the next begins, and in the bytes that the index keeps for it. */
gsize             tess_stream_pieces_wait (TessStreamPieces *pieces, guint i, gsize had);
guint32           tess_stream_pieces_crc  (TessStreamPieces *pieces, guint i); /* of a whole piece */
void              tess_stream_pieces_free (TessStreamPieces *pieces);          /* stops the threads */

/* Ready to inflate from a block that begins on the first byte fed. */
void     tess_inflate_restart  (struct inflate_state *state, const guint8 *window);
/* That block begins at a bit of this byte. */
void     tess_inflate_bits     (struct inflate_state *state, guint8 byte, guint n_before);
/* Whether it waits for the header of a block and has handed out everything before it, all but n_inside bytes. Then
 * *bit is where that begins: next_byte counts the bytes it was fed. */
gboolean tess_inflate_at_block (const struct inflate_state *state, guint64 next_byte, guint64 *bit, gsize *n_inside);
const guint8 *tess_inflate_window (const struct inflate_state *state); /* the last 32 KiB; NULL when there were fewer */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessStreamPieces, tess_stream_pieces_free)

G_END_DECLS
