#pragma once

/* Private to base: places in a gzip stream where inflating can begin, kept in the user's cache folder. What is loaded is
 * a hint: who uses it compares every place with what was inflated up to there. */

#include "tess-error.h"

G_BEGIN_DECLS

#define TESS_STREAM_WINDOW ((gsize)32768)                  /* what deflate looks back at most */
#define TESS_STREAM_MIN_PIECE ((guint64)4 << 20)           /* contents between two points, at least */
#define TESS_STREAM_INDEX_BUDGET ((guint64)256 << 20)      /* bytes of the folder */

typedef struct {
  guint64 bit;    /* where a block begins, in bits from the start of the part */
  guint64 out;    /* bytes of contents before it */
  guint64 window; /* where its packed window is in the blob, and how long */
  gsize n_window;
} TessStreamPoint;

/* Whose points they are. */
typedef struct {
  char *path; /* canonical */
  guint64 offset, n_bytes;
  gint64 mtime; /* ns */
  guint8 sample[32];
} TessStreamKey;

typedef struct _TessStreamIndex TessStreamIndex;

gboolean tess_stream_key_init  (TessStreamKey *key, const char *path, int fd, guint64 offset, guint64 n_bytes);
void     tess_stream_key_clear (TessStreamKey *key);
char    *tess_stream_key_file  (const TessStreamKey *key); /* of the index */

TessStreamIndex *tess_stream_index_new    (void);
void             tess_stream_index_free   (TessStreamIndex *index);
void             tess_stream_index_add    (TessStreamIndex *index, guint64 bit, guint64 out, const guint8 *window);
guint            tess_stream_index_n      (const TessStreamIndex *index);
const TessStreamPoint *tess_stream_index_point (const TessStreamIndex *index, guint i);
gboolean         tess_stream_index_window (const TessStreamIndex *index, guint i, guint8 *window); /* FALSE: damaged */
gboolean         tess_stream_index_save   (const TessStreamIndex *index, const TessStreamKey *key);
TessStreamIndex *tess_stream_index_load   (const TessStreamKey *key); /* NULL: none that fits */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessStreamIndex, tess_stream_index_free)

G_END_DECLS
