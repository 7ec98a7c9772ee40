#pragma once

#include "tess-stream.h"

G_BEGIN_DECLS

/* A file written under a temporary name beside its target, then fsync'd and renamed: a reader sees the old
 * contents or the new, never half of one. Freeing without commit removes the temporary. */
typedef struct _TessAtomicFile TessAtomicFile;

TessAtomicFile *tess_atomic_file_new    (const char *path, gboolean gzip, GError **error);
gboolean        tess_atomic_file_write  (TessAtomicFile *file, const void *data, gsize n, GError **error);
gboolean        tess_atomic_file_commit (TessAtomicFile *file, GError **error);
void            tess_atomic_file_free   (TessAtomicFile *file);
/* In a file that is not gzip as a whole: what is written between these two is one packed stream. */
gboolean        tess_atomic_file_pack   (TessAtomicFile *file, TessPacking packing, GError **error);
gboolean        tess_atomic_file_unpack (TessAtomicFile *file, guint64 *n_packed, GError **error);
guint64         tess_atomic_file_tell   (TessAtomicFile *file); /* bytes of the file so far; not within a packed stream */
/* Puts other bytes where some were written: a size that is known only afterwards. Not within a packed stream. */
gboolean        tess_atomic_file_patch  (TessAtomicFile *file, guint64 offset, const void *data, gsize n, GError **error);
void            tess_atomic_file_start_sum (TessAtomicFile *file); /* count and sum what is written, unpacked */
guint32         tess_atomic_file_stop_sum  (TessAtomicFile *file, guint64 *n_bytes); /* its CRC-32 */

gboolean tess_file_set_contents (const char *path, const void *data, gsize n, GError **error); /* the three above in one */
gboolean tess_file_append_line  (const char *path, const char *line, GError **error); /* whole line in one write, fsync'd */
gboolean tess_make_directory    (const char *path, GError **error);                   /* with its parents */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessAtomicFile, tess_atomic_file_free)

G_END_DECLS
