#pragma once

#include "tess-case.h"

G_BEGIN_DECLS

#define TESS_CASE_MAX_CLASS_VOXELS 10000u

/* tess-case-constants.c: what is computed once per case, kept as DIR/ID.constants. */

/* "sha256:..." over the grids, types and label count of the case and the size and time of change of its files. */
char *tess_case_constants_key (const TessCase *c, const TessCaseFiles *files);
/* Fills statistics and class index. FALSE, leaving the case as it was, when there is no file or it does not fit. */
gboolean tess_case_constants_read (TessCase *c, const char *directory, const char *key);
gboolean tess_case_constants_write (const TessCase *c, const char *directory, const char *key, GError **error);

G_END_DECLS
