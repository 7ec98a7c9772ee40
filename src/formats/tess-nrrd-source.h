#pragma once

/* Private to the formats: the numbers of an NRRD file, however they are encoded. */

#include "tess-nrrd-header.h"

G_BEGIN_DECLS

typedef struct _TessNrrdSource TessNrrdSource;

TessNrrdSource *tess_nrrd_source_new  (TessStream *stream, TessNrrdEncoding encoding, TessDType dtype);
void            tess_nrrd_source_free (TessNrrdSource *source);
/* Bytes of numbers, for text in native order; short only at the end, -1 on failure. */
gssize          tess_nrrd_source_read (TessNrrdSource *source, guint8 *out, gsize n, GError **error);
TessStream     *tess_nrrd_source_peek_stream (TessNrrdSource *source);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessNrrdSource, tess_nrrd_source_free)

G_END_DECLS
