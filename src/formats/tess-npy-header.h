#pragma once

/* Private to the NumPy formats: what stands before the numbers of an array. */

#include "tess-dtype.h"
#include "tess-stream.h"

G_BEGIN_DECLS

#define TESS_NPY_MAX_AXES 32 /* as NumPy's */

typedef struct {
  gboolean numeric;  /* a type we have; else the rest but `descr` says nothing */
  char descr[32];    /* as it stands there, for messages */
  TessDType dtype;
  gboolean swapped;  /* stored in the other byte order */
  gboolean fortran;  /* first axis fastest */
  guint n_axes;
  gint64 shape[TESS_NPY_MAX_AXES];
  guint64 size; /* bytes of the header in the file */
} TessNpyHeader;

/* origin: the file, or file::array, for messages. The stream stands on the first number afterwards. */
gboolean tess_npy_header_read (TessNpyHeader *header, TessStream *stream, const char *origin, GError **error);
GByteArray *tess_npy_header_serialise (TessDType dtype, const gint64 *shape, guint n_axes); /* native order, C order */
gboolean tess_npy_header_is (const TessNpyHeader *header, guint n_axes, gint64 length); /* each axis of that length */

G_END_DECLS
