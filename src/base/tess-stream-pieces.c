#include "tess-stream-pieces.h"
#include "tess-thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Inflating from the middle of a stream as zlib's example zran and rapidgzip (Knespel, Brunst: Rapidgzip, HPDC 2023)
 * do: with the 32 KiB before a block, it inflates without what came earlier. */

#define IN_SIZE ((gsize)256 << 10)
#define STEP ((gsize)1 << 20) /* contents between two looks at `stop` */

typedef struct {
  gsize done; /* bytes that are final */
  gboolean finished;
  guint32 crc;
} Piece;

struct _TessStreamPieces {
  int fd;
  guint64 offset;
  const TessStreamIndex *index;
  guint first, n;
  guint8 *out;
  atomic_bool stop;
  TessMutex mutex; /* guards the three below */
  TessCond changed;
  Piece *pieces;
  guint next; /* nobody has begun */
  TessThread **threads;
  guint n_threads;
};

/* What one thread works with. */
typedef struct {
  TessStreamPieces *pieces;
  struct inflate_state *state;
  guint8 *in, *window;
  guint64 byte, end; /* of the part: to be read next, and where the piece ends */
  guint8 *out;
  gsize done, room;
} Work;

void
tess_inflate_restart (struct inflate_state *state, const guint8 *window)
{
  union {
    const guint8 *in;
    guint8 *next;
  } cast = {.in = window}; /* ISA-L only reads it */

  isal_inflate_init (state);
  isal_inflate_set_dict (state, cast.next, TESS_STREAM_WINDOW);
}

void
tess_inflate_bits (struct inflate_state *state, guint8 byte, guint n_before)
{
  state->read_in = (guint64)byte >> n_before;
  state->read_in_length = 8 - (gint32)n_before;
}

gboolean
tess_inflate_at_block (const struct inflate_state *state, guint64 next_byte, guint64 *bit, gsize *n_inside)
{
  if (state->block_state != ISAL_BLOCK_NEW_HDR && state->block_state != ISAL_BLOCK_HDR)
    return FALSE;
  *bit = 8 * (next_byte - (guint64)state->tmp_in_size) - (guint64)state->read_in_length;
  *n_inside = (gsize)(state->tmp_out_valid - state->tmp_out_processed);
  return TRUE;
}

const guint8 *
tess_inflate_window (const struct inflate_state *state)
{
  return state->tmp_out_valid >= (gint32)TESS_STREAM_WINDOW
             ? state->tmp_out_buffer + state->tmp_out_valid - TESS_STREAM_WINDOW
             : NULL;
}

/* --- the threads -------------------------------------------------------------------------------------------------- */

static void
publish (TessStreamPieces *pieces, guint i, gsize done, gboolean finished, guint32 crc)
{
  tess_mutex_lock (&pieces->mutex);
  pieces->pieces[i] = (Piece){done, finished, crc};
  tess_cond_broadcast (&pieces->changed);
  tess_mutex_unlock (&pieces->mutex);
}

/* More of the file, and of its first byte only what belongs to the piece. */
static gboolean
refill (Work *work, guint n_before)
{
  gssize got;

  do
    got = pread (work->pieces->fd, work->in, (gsize)MIN (IN_SIZE, work->end - work->byte),
                 (off_t)(work->pieces->offset + work->byte));
  while (got < 0 && errno == EINTR);
  if (got <= 0)
    return FALSE;
  work->byte += (guint64)got;
  work->state->next_in = work->in;
  work->state->avail_in = (guint32)got;
  if (n_before > 0) {
    tess_inflate_bits (work->state, work->in[0], n_before);
    work->state->next_in++;
    work->state->avail_in--;
  }
  return TRUE;
}

/* Inflates all that the bytes of the piece give, or as much as there is room for. */
static gboolean
inflate_all (Work *work, guint i)
{
  struct inflate_state *state = work->state;

  while (!atomic_load_explicit (&work->pieces->stop, memory_order_relaxed)) {
    guint32 room = (guint32)MIN (work->room - work->done, STEP), had;

    if (state->avail_in == 0 && work->byte < work->end && !refill (work, 0))
      return FALSE;
    had = state->avail_in;
    state->next_out = work->out + work->done;
    state->avail_out = room;
    if (isal_inflate (state) < 0)
      return FALSE;
    work->done += room - state->avail_out;
    if (had == state->avail_in && room == state->avail_out)
      return work->byte == work->end && had == 0;
    publish (work->pieces, i, MIN (work->done, work->room - TESS_STREAM_WINDOW), FALSE, 0);
  }
  return FALSE;
}

static void
inflate_piece (Work *work, guint i)
{
  TessStreamPieces *pieces = work->pieces;
  guint first = pieces->first + i;
  const TessStreamPoint *base = tess_stream_index_point (pieces->index, pieces->first);
  const TessStreamPoint *from = tess_stream_index_point (pieces->index, first), *to = from + 1;
  struct inflate_state *state = work->state;
  gboolean good = tess_stream_index_window (pieces->index, first, work->window);
  guint64 bit;
  gsize inside;

  work->byte = from->bit / 8;
  work->end = (to->bit + 7) / 8;
  work->out = pieces->out + (from->out - base->out);
  work->done = 0;
  work->room = (gsize)(to->out - from->out);
  tess_inflate_restart (state, work->window);
  state->crc_flag = ISAL_GZIP_NO_HDR;
  state->avail_in = 0;
  good = good && refill (work, from->bit % 8) && inflate_all (work, i) && work->done == work->room &&
         tess_inflate_at_block (state, work->byte, &bit, &inside) && bit == to->bit && inside == 0 &&
         tess_stream_index_window (pieces->index, first + 1, work->window) &&
         memcmp (work->out + work->room - TESS_STREAM_WINDOW, work->window, TESS_STREAM_WINDOW) == 0;
  publish (pieces, i, good ? work->done : MIN (work->done, work->room - TESS_STREAM_WINDOW), TRUE, state->crc);
}

static void
run_pieces (gpointer data)
{
  TessStreamPieces *pieces = data;
  g_autofree struct inflate_state *state = g_new (struct inflate_state, 1);
  g_autofree guint8 *in = g_malloc (IN_SIZE), *window = g_malloc0 (TESS_STREAM_WINDOW);
  Work work = {.pieces = pieces, .state = state, .in = in, .window = window};

  while (!atomic_load_explicit (&pieces->stop, memory_order_relaxed)) {
    guint i;

    tess_mutex_lock (&pieces->mutex);
    i = pieces->next++;
    tess_mutex_unlock (&pieces->mutex);
    if (i >= pieces->n)
      return;
    inflate_piece (&work, i);
  }
}

TessStreamPieces *
tess_stream_pieces_new (int fd, guint64 offset, const TessStreamIndex *index, guint first, guint n, guint8 *out,
                        guint n_threads)
{
  TessStreamPieces *pieces = g_new0 (TessStreamPieces, 1);

  pieces->fd = fd;
  pieces->offset = offset;
  pieces->index = index;
  pieces->first = first;
  pieces->n = n;
  pieces->out = out;
  atomic_init (&pieces->stop, FALSE);
  tess_mutex_init (&pieces->mutex);
  tess_cond_init (&pieces->changed);
  pieces->pieces = g_new0 (Piece, n);
  pieces->n_threads = MIN (n_threads, n);
  pieces->threads = g_new0 (TessThread *, pieces->n_threads);
  for (guint i = 0; i < pieces->n_threads; i++)
    pieces->threads[i] = tess_thread_new ("inflate", 0, run_pieces, pieces);
  return pieces;
}

gsize
tess_stream_pieces_wait (TessStreamPieces *pieces, guint i, gsize had)
{
  gsize done;

  tess_mutex_lock (&pieces->mutex);
  while (pieces->pieces[i].done <= had && !pieces->pieces[i].finished)
    tess_cond_wait (&pieces->changed, &pieces->mutex);
  done = pieces->pieces[i].done;
  tess_mutex_unlock (&pieces->mutex);
  return done;
}

guint32
tess_stream_pieces_crc (TessStreamPieces *pieces, guint i)
{
  guint32 crc;

  tess_mutex_lock (&pieces->mutex);
  crc = pieces->pieces[i].crc;
  tess_mutex_unlock (&pieces->mutex);
  return crc;
}

void
tess_stream_pieces_free (TessStreamPieces *pieces)
{
  if (!pieces)
    return;
  atomic_store_explicit (&pieces->stop, TRUE, memory_order_relaxed);
  for (guint i = 0; i < pieces->n_threads; i++)
    tess_thread_join (pieces->threads[i]);
  tess_cond_clear (&pieces->changed);
  tess_mutex_clear (&pieces->mutex);
  g_free (pieces->pieces);
  g_free (pieces->threads);
  g_free (pieces);
}
