#pragma once

#include "tess-error.h"

G_BEGIN_DECLS

/* zlib streams (RFC 1950) that lie in memory as a whole; of less than 4 GB. */
gsize    tess_zlib_bound  (gsize n); /* the most bytes that n become */
gsize    tess_zlib_pack   (const guint8 *in, gsize n, guint8 *out, gsize n_out); /* bytes of out; 0 when it is too small */
gboolean tess_zlib_unpack (const guint8 *in, gsize n, guint8 *out, gsize n_out); /* to n_out bytes, no more and no fewer */
guint32  tess_crc32_combine (guint32 first, guint32 second, guint64 n_second); /* of two stretches: of both together */

G_END_DECLS
