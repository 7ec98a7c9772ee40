#pragma once

#include "tess-json.h"
#include "tess-progress.h"

G_BEGIN_DECLS

/* The program's end of `tessera-codec`, the helper process in which libraries read files that may be damaged or hostile.
 * The helper gets each file opened for reading and can reach nothing else; it is started when first asked and again after
 * it has died. Its death, a hang or too much memory is one sentence about the file that was being read. One thread uses a
 * TessCodec; several threads take several. */
typedef struct _TessCodec TessCodec;

typedef struct {
  double seconds; /* for one file, besides what its size needs */
  guint64 memory; /* bytes the helper may take, besides the shared memory */
} TessCodecLimits;

/* Asked in order, answered in order. */
typedef struct {
  const char *path;
  guint64 at, n; /* decoding: where in the shared memory, bytes; HDF5: tess-codec-wire.h */
  int fd;        /* where it is open already and path only names it; else 0 */
} TessCodecJob;

/* On the calling thread, for every job: what the helper says; problem: why it is no use (answer may be NULL then, or the
 * helper's {"error": ...}). FALSE ends it. */
typedef gboolean (*TessCodecAnswer) (guint i, JsonObject *answer, const GError *problem, gpointer user_data);

TessCodec *tess_codec_new    (const TessCodecLimits *limits); /* NULL: 20 s, 2 GB or half of the machine's memory */
void       tess_codec_free   (TessCodec *codec);
/* Shared memory of at least n bytes, for decoding; what was there is gone. Stays valid until the next call or the end. */
guint8    *tess_codec_memory (TessCodec *codec, gsize n, GError **error);
/* FALSE for what concerns no single file: cancelled, no helper, or the callback ended it (no error set). */
gboolean   tess_codec_scan   (TessCodec *codec, const TessCodecJob *jobs, guint n, TessCodecAnswer func, gpointer user_data,
                              TessProgress *progress, GError **error);
gboolean   tess_codec_decode (TessCodec *codec, const TessCodecJob *jobs, guint n, TessCodecAnswer func, gpointer user_data,
                              TessProgress *progress, GError **error);

/* One request about one file; NULL with an error. */
JsonObject *tess_codec_ask (TessCodec *codec, const char *what, const TessCodecJob *job, TessProgress *progress,
                            GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessCodec, tess_codec_free)

G_END_DECLS
