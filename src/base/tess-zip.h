#pragma once

#include "tess-atomic-file.h"

G_BEGIN_DECLS

/* A zip archive (zip64 too) that is read: its members by index, in the directory's order. One thread at a time. */
typedef struct _TessZip TessZip;

TessZip    *tess_zip_open       (const char *path, GError **error);
TessZip    *tess_zip_ref        (TessZip *zip);
void        tess_zip_unref      (TessZip *zip);
guint       tess_zip_n          (TessZip *zip);
const char *tess_zip_peek_name  (TessZip *zip, guint member); /* valid UTF-8 */
guint64     tess_zip_size       (TessZip *zip, guint member); /* unpacked, as the directory has it */
gboolean    tess_zip_find       (TessZip *zip, const char *name, guint *member); /* the last one of that name */
/* A member's contents; the stream keeps the archive open. Length and checksum are compared on the way. */
TessStream *tess_zip_open_member (TessZip *zip, guint member, GError **error);
GBytes     *tess_zip_load_member (TessZip *zip, guint member, gsize most, GError **error); /* larger than most: refused */

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessZip, tess_zip_unref)

/* A zip archive that is written member after member. Freeing without commit leaves nothing behind. */
typedef struct _TessZipWriter TessZipWriter;

TessZipWriter *tess_zip_writer_new    (const char *path, GError **error);
/* Contents of a new member are written to the file it returns (lent), until end. */
TessAtomicFile *tess_zip_writer_begin (TessZipWriter *writer, const char *name, gboolean deflate, GError **error);
gboolean       tess_zip_writer_end    (TessZipWriter *writer, GError **error);
gboolean       tess_zip_writer_commit (TessZipWriter *writer, GError **error);
void           tess_zip_writer_free   (TessZipWriter *writer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessZipWriter, tess_zip_writer_free)

G_END_DECLS
