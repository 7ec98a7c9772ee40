#include "tess-stream-fetcher.h"
#include "tess-thread.h"

#include <errno.h>
#include <unistd.h>

#define N_PIECES 4 /* one in use, the others on their way */

typedef struct {
  guint8 *bytes;
  gssize n;
  int error;
} Piece;

struct _TessStreamFetcher {
  int fd;
  gsize piece_size;
  Piece pieces[N_PIECES], *current;
  TessQueue *empty, *full;
  TessThread *thread;
};

static void
fetch_all (gpointer data)
{
  TessStreamFetcher *fetcher = data;
  Piece *piece;
  gboolean more = TRUE;

  while (more && (piece = tess_queue_pop (fetcher->empty))) {
    do
      piece->n = read (fetcher->fd, piece->bytes, fetcher->piece_size);
    while (piece->n < 0 && errno == EINTR);
    piece->error = errno;
    more = piece->n > 0;
    more = tess_queue_push (fetcher->full, piece) && more;
  }
}

TessStreamFetcher *
tess_stream_fetcher_new (int fd, gsize piece_size)
{
  TessStreamFetcher *fetcher = g_new0 (TessStreamFetcher, 1);

  fetcher->fd = fd;
  fetcher->piece_size = piece_size;
  fetcher->empty = tess_queue_new (N_PIECES);
  fetcher->full = tess_queue_new (N_PIECES);
  for (guint i = 0; i < N_PIECES; i++) {
    fetcher->pieces[i].bytes = g_malloc (piece_size);
    tess_queue_push (fetcher->empty, &fetcher->pieces[i]);
  }
  fetcher->thread = tess_thread_new ("fetch", 0, fetch_all, fetcher);
  return fetcher;
}

gssize
tess_stream_fetcher_next (TessStreamFetcher *fetcher, guint8 **bytes)
{
  if (!fetcher->current || fetcher->current->n > 0) { /* nothing comes after the end or a failure */
    if (fetcher->current)
      tess_queue_push (fetcher->empty, fetcher->current);
    fetcher->current = tess_queue_pop (fetcher->full);
  }
  *bytes = fetcher->current->bytes;
  errno = fetcher->current->error;
  return fetcher->current->n;
}

void
tess_stream_fetcher_free (TessStreamFetcher *fetcher)
{
  if (!fetcher)
    return;
  tess_queue_close (fetcher->empty);
  tess_queue_close (fetcher->full);
  while (tess_queue_try_pop (fetcher->empty)) /* a closed queue still gives what it holds: no more is to be read */
    ;
  tess_thread_join (fetcher->thread);
  tess_queue_free (fetcher->empty);
  tess_queue_free (fetcher->full);
  for (guint i = 0; i < N_PIECES; i++)
    g_free (fetcher->pieces[i].bytes);
  g_free (fetcher);
}
