#include "tess-deflate.h"
#include "tess-parallel.h"
#include "tess-stream-private.h"

#include <glib/gstdio.h>
#include <string.h>

/* The first time a gzip file is read its blocks are looked for on the way and some kept as points; the next time the
 * stretches between them are inflated by all cores. The stream inflates the first stretch itself, up to the first
 * point, and the last one. Nothing is believed: a stretch is handed out only when the one before it ended in the bit
 * and with the 32 KiB that it began from, else the stream goes on by itself from the last place that was right. The
 * checksum comes from those of the stretches, and is compared where the stream ends. */

#define WORTH_AN_INDEX ((guint64)4 << 20) /* packed bytes */
#define COARSE ((gsize)8192) /* packed bytes; where a block has begun within these, they are inflated again, */
#define FINE ((gsize)64)     /* so many at a time: most headers are longer, so that one is met in the middle */
#define SEARCH_MOST ((guint64)1 << 20) /* packed bytes; who makes blocks as large as that makes one of everything */

struct _TessStreamRecorder {
  TessStreamKey key;
  TessStreamIndex *index;
  guint64 due;                  /* contents before the next point */
  gboolean searching;           /* in small steps */
  guint64 searched;             /* packed bytes since then */
  gsize fine;                   /* so many more of them in the smallest steps */
  struct inflate_state *before; /* a coarse step */
};

struct _TessStreamAhead {
  TessStream *stream; /* NULL once it has no use for this */
  TessStreamIndex *index;
  TessStreamPieces *pieces;
  char *file;         /* of the index */
  guint first, n, at; /* pieces; at: is being handed out */
  guint8 *out;        /* where the first one belongs */
  gboolean taking;    /* the stream has reached the first one */
  guint32 crc;        /* of what comes before the piece that is handed out */
};

static guint64
consumed (const TessStream *stream)
{
  return stream->file_read - (stream->end - stream->begin);
}

/* --- making an index ---------------------------------------------------------------------------------------------- */

void
tess_stream_recorder_end (TessStream *stream, gboolean keep)
{
  TessStreamRecorder *recorder = g_steal_pointer (&stream->recorder);

  if (!recorder)
    return;
  if (keep && tess_stream_index_n (recorder->index) > 0)
    tess_stream_index_save (recorder->index, &recorder->key);
  tess_stream_key_clear (&recorder->key);
  tess_stream_index_free (recorder->index);
  g_free (recorder->before);
  g_free (recorder);
}

static gboolean
block_began (const struct inflate_state *before, const struct inflate_state *now)
{
  return before->block_state != now->block_state ||
         memcmp (before->lit_huff_code.short_code_lookup, now->lit_huff_code.short_code_lookup,
                 sizeof now->lit_huff_code.short_code_lookup) != 0;
}

/* Is a block about to begin? TRUE: one began within this step, which is undone, to be made in smaller ones. */
static gboolean
look_for_block (TessStream *stream, gsize fed, gsize got)
{
  TessStreamRecorder *recorder = stream->recorder;
  const guint8 *window = tess_inflate_window (stream->inflate);
  gboolean was_coarse = recorder->fine == 0;
  guint64 bit;
  gsize inside;

  recorder->fine -= MIN (recorder->fine, fed);
  if (window && tess_inflate_at_block (stream->inflate, consumed (stream), &bit, &inside)) {
    guint64 out = stream->position + inside;

    tess_stream_index_add (recorder->index, bit, out, window);
    recorder->due = out + TESS_STREAM_MIN_PIECE;
    recorder->searched = recorder->fine = 0;
    return FALSE;
  }
  if (was_coarse && block_began (recorder->before, stream->inflate)) {
    memcpy (stream->inflate, recorder->before, sizeof *recorder->before);
    stream->begin -= fed;
    stream->position -= got;
    recorder->fine = fed;
    return TRUE;
  }
  recorder->searched += fed;
  if (recorder->searched > SEARCH_MOST)
    recorder->due = G_MAXUINT64;
  return FALSE;
}

/* How many bytes to inflate next. */
static gsize
search_step (TessStream *stream)
{
  const struct inflate_state *state = stream->inflate;
  TessStreamRecorder *recorder = stream->recorder;
  gint32 left = state->block_state == ISAL_BLOCK_TYPE0 ? state->type0_block_len - state->read_in_length / 8 : 0;

  if (recorder->fine == 0)
    memcpy (recorder->before, state, sizeof *state);
  if (left > 0) /* a stored block says how long it is */
    return (gsize)left;
  return recorder->fine > 0 ? FINE : COARSE;
}

/* --- reading with one --------------------------------------------------------------------------------------------- */

static const TessStreamPoint *
point_of (const TessStreamAhead *ahead, guint piece)
{
  return tess_stream_index_point (ahead->index, ahead->first + piece);
}

void
tess_stream_ahead_free (TessStreamAhead *ahead)
{
  if (!ahead)
    return;
  if (ahead->stream)
    ahead->stream->ahead = NULL;
  tess_stream_pieces_free (ahead->pieces);
  tess_stream_index_free (ahead->index);
  g_free (ahead->file);
  g_free (ahead);
}

/* The stream goes on alone. @wrong: the index was no good. */
static void
leave (TessStreamAhead *ahead, gboolean wrong)
{
  if (ahead->stream)
    ahead->stream->ahead = NULL;
  ahead->stream = NULL;
  g_clear_pointer (&ahead->pieces, tess_stream_pieces_free);
  if (wrong)
    g_unlink (ahead->file);
}

/* Has the stream come to the first point just as the index says? */
static void
reach_first (TessStream *stream, gboolean stuck)
{
  TessStreamAhead *ahead = stream->ahead;
  const TessStreamPoint *point = point_of (ahead, 0);
  g_autofree guint8 *window = NULL;
  const guint8 *found;
  gboolean there = stream->position == point->out && consumed (stream) == (point->bit + 7) / 8;
  guint64 bit;
  gsize inside;

  if (!there) {
    if (stuck)
      leave (ahead, TRUE);
    return;
  }
  if (!stuck && stream->inflate->block_state == ISAL_BLOCK_CODED)
    return; /* the end of the block has not been looked at */
  window = g_malloc (TESS_STREAM_WINDOW);
  found = tess_inflate_window (stream->inflate);
  if (found && tess_inflate_at_block (stream->inflate, consumed (stream), &bit, &inside) && bit == point->bit &&
      inside == 0 && tess_stream_index_window (ahead->index, ahead->first, window) &&
      memcmp (window, found, TESS_STREAM_WINDOW) == 0) {
    ahead->taking = TRUE;
    ahead->crc = stream->inflate->crc;
  } else {
    leave (ahead, TRUE);
  }
}

void
tess_stream_hold_back (TessStream *stream, gsize *feed, guint32 *room)
{
  if (stream->ahead) {
    const TessStreamPoint *point = point_of (stream->ahead, 0);

    *feed = (gsize)MIN (*feed, (point->bit + 7) / 8 - consumed (stream));
    *room = (guint32)MIN (*room, point->out - stream->position);
  } else {
    stream->recorder->searching = stream->position >= stream->recorder->due;
    if (stream->recorder->searching)
      *feed = MIN (*feed, search_step (stream));
    else
      *room = (guint32)MIN (*room, stream->recorder->due - stream->position);
  }
}

/* @fed, @got: bytes; @stuck: both 0. TRUE: that step was undone. */
gboolean
tess_stream_stepped (TessStream *stream, gsize fed, gsize got, gboolean stuck)
{
  if (stream->ahead)
    reach_first (stream, stuck);
  else if (stream->recorder->searching)
    return look_for_block (stream, fed, got);
  return FALSE;
}

gboolean
tess_stream_is_taking (const TessStream *stream)
{
  return stream->ahead && stream->ahead->taking;
}

/* Bytes of the part, as far as they have been handed out. */
guint64
tess_stream_taken (const TessStream *stream)
{
  const TessStreamAhead *ahead = stream->ahead;
  const TessStreamPoint *from = point_of (ahead, ahead->at), *to = from + 1;
  double share = (double)(stream->position - from->out) / (double)(to->out - from->out);

  return from->bit / 8 + (guint64)(share * (double)(to->bit / 8 - from->bit / 8));
}

/* Ready to go on by itself where piece @at begins, whose window is known to be right. */
static gboolean
go_on_alone (TessStream *stream, GError **error)
{
  TessStreamAhead *ahead = stream->ahead;
  const TessStreamPoint *point = point_of (ahead, ahead->at);
  struct inflate_state *state = stream->inflate;
  g_autofree guint8 *window = g_malloc (TESS_STREAM_WINDOW);
  gboolean known = tess_stream_index_window (ahead->index, ahead->first + ahead->at, window);

  g_return_val_if_fail (known, FALSE);
  leave (ahead, ahead->at < ahead->n);
  if (!tess_stream_rewind (stream, point->bit / 8, error))
    return FALSE;
  tess_inflate_restart (state, window);
  state->crc_flag = ISAL_GZIP_NO_HDR_VER;
  state->crc = ahead->crc;
  state->total_out = (guint32)point->out; /* which gzip counts modulo 2^32, too */
  stream->position = point->out;
  if (point->bit % 8 > 0) {
    if (!tess_stream_fill (stream, error))
      return FALSE;
    if (stream->begin < stream->end)
      tess_inflate_bits (state, stream->buffer[stream->begin++], (guint)(point->bit % 8));
  }
  return TRUE;
}

/* Inflates once more, by itself, what has been handed out of a piece that failed later. */
static gboolean
repeat (TessStream *stream, gsize n, GError **error)
{
  g_autofree guint8 *scratch = g_malloc (65536);

  while (n > 0) {
    gssize got = tess_stream_inflate (stream, scratch, MIN (n, (gsize)65536), error);

    if (got <= 0)
      return FALSE;
    n -= (gsize)got;
  }
  return TRUE;
}

/* 0: the stream goes on by itself. */
gssize
tess_stream_take (TessStream *stream, guint8 *out, gsize n, GError **error)
{
  TessStreamAhead *ahead = stream->ahead;
  const TessStreamPoint *from = point_of (ahead, ahead->at), *to = from + 1;
  gsize had = (gsize)(stream->position - from->out), done = tess_stream_pieces_wait (ahead->pieces, ahead->at, had);
  const guint8 *there = ahead->out + (stream->position - point_of (ahead, 0)->out);

  if (done <= had)
    return go_on_alone (stream, error) && repeat (stream, had, error) ? 0 : -1;
  n = MIN (n, done - had);
  if (out != there)
    memmove (out, there, n);
  stream->position += n;
  if (stream->position == to->out) {
    guint32 crc = tess_stream_pieces_crc (ahead->pieces, ahead->at);

    ahead->crc = tess_crc32_combine (ahead->crc, crc, to->out - from->out);
    ahead->at++;
    if (ahead->at == ahead->n && !go_on_alone (stream, error))
      return -1;
  }
  return (gssize)n;
}

/* --- beginning ---------------------------------------------------------------------------------------------------- */

/* Which points lie in the buffer, behind all that has been inflated. */
static gboolean
find_pieces (TessStreamAhead *ahead, TessStream *stream, gsize n_bytes)
{
  const struct inflate_state *state = stream->inflate;
  guint64 inflated = stream->position + (guint64)(state->tmp_out_valid - state->tmp_out_processed);
  guint64 end = stream->position + n_bytes;
  guint n = tess_stream_index_n (ahead->index), last;

  while (ahead->first < n &&
         (point_of (ahead, 0)->out <= inflated || point_of (ahead, 0)->bit / 8 <= consumed (stream)))
    ahead->first++;
  for (last = ahead->first; last + 1 < n && tess_stream_index_point (ahead->index, last + 1)->out <= end; last++)
    ;
  ahead->n = last - ahead->first;
  return ahead->first < n && ahead->n > 0;
}

static void
start_recorder (TessStream *stream, TessStreamKey *key)
{
  TessStreamRecorder *recorder = g_new0 (TessStreamRecorder, 1);

  recorder->key = *key;
  key->path = NULL;
  recorder->index = tess_stream_index_new ();
  recorder->before = g_new (struct inflate_state, 1);
  recorder->due = MAX (stream->position, TESS_STREAM_MIN_PIECE);
  stream->recorder = recorder;
}

/**
 * tess_stream_read_ahead:
 * @buffer: where the next @n bytes will be read to, in order; nothing else is done with it until they have been read or
 *   what this returns is freed
 *
 * For large gzip files. One that was read to its end before, with this function called, is inflated by several threads
 * (tess_parallel_get_threads()) straight into @buffer; reading only waits. Else an index for the next time is made on
 * the way: points some 4 MB of contents apart, about 0.3 % of them, in the user's cache folder, where 256 MB
 * are kept. Files of several members have none. Results and failures are those without.
 *
 * Returns: (nullable): NULL when the stream reads by itself. To be freed before @buffer is.
 */
TessStreamAhead *
tess_stream_read_ahead (TessStream *stream, void *buffer, gsize n)
{
  g_autoptr (TessStreamAhead) ahead = NULL;
  TessStreamKey key;

  if (stream->packing != TESS_PACKING_GZIP || stream->fd < 0 || stream->file_size < WORTH_AN_INDEX ||
      stream->finished || stream->several || stream->ahead || stream->recorder ||
      !tess_stream_key_init (&key, stream->path, stream->fd, stream->offset, stream->file_size))
    return NULL;
  ahead = g_new0 (TessStreamAhead, 1);
  ahead->index = tess_stream_index_load (&key);
  if (!ahead->index)
    start_recorder (stream, &key);
  else
    ahead->file = tess_stream_key_file (&key);
  tess_stream_key_clear (&key);
  if (!ahead->index || tess_parallel_get_threads () < 2 || !find_pieces (ahead, stream, n))
    return NULL;
  ahead->stream = stream;
  ahead->out = (guint8 *)buffer + (point_of (ahead, 0)->out - stream->position);
  ahead->pieces = tess_stream_pieces_new (stream->fd, stream->offset, ahead->index, ahead->first, ahead->n, ahead->out,
                                          tess_parallel_get_threads ());
  stream->ahead = ahead;
  return g_steal_pointer (&ahead);
}
