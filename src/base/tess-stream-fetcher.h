#pragma once

/* Private to base: the bytes of a file read on another thread, a little ahead of who inflates them. */

#include <glib.h>

G_BEGIN_DECLS

typedef struct _TessStreamFetcher TessStreamFetcher;

TessStreamFetcher *tess_stream_fetcher_new  (int fd, gsize piece_size); /* reads on from where fd stands; fd stays the caller's */
/* The next bytes, the fetcher's own until the next call: their number, 0 at the end of the file, -1 with errno set. */
gssize             tess_stream_fetcher_next (TessStreamFetcher *fetcher, guint8 **bytes);
void               tess_stream_fetcher_free (TessStreamFetcher *fetcher);

G_END_DECLS
