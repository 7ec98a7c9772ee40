#pragma once

#include "tess-geometry.h"

G_BEGIN_DECLS

/* Places in scans that somebody marked: nodules, candidates. Ref-counted, immutable after it is shared. */
typedef struct {
  const char  *scan;     /* which scan it is in: a series' UID or a file's stem; "" when not said */
  double       world[3]; /* mm, RAS+ */
  double       diameter; /* mm; NaN when not known */
  const char **texts;    /* one a column of the list; NULL-terminated */
} TessFinding;

typedef struct _TessFindings TessFindings;

/* columns: names of what else is said of each, such as "class" and "probability"; NULL-terminated, may be NULL. */
TessFindings       *tess_findings_new     (const char *const *columns);
TessFindings       *tess_findings_ref     (TessFindings *findings);
void                tess_findings_unref   (TessFindings *findings);
void                tess_findings_add     (TessFindings *findings, const char *scan, const double world[3], double diameter,
                                           const char *const *texts); /* as many as there are columns */
guint               tess_findings_n       (TessFindings *findings);
const TessFinding  *tess_findings_peek    (TessFindings *findings, guint index);
const char *const  *tess_findings_columns (TessFindings *findings); /* never NULL */
/* Those whose scan is one of the NULL-terminated names. When none is, and all say the same scan or none, all of them. */
TessFindings       *tess_findings_select  (TessFindings *findings, const char *const *names);
/* Where each is on a grid: index coordinates, three a finding (x, y, z), and whether that is within it. FALSE when the
 * grid's affine is singular. */
gboolean            tess_findings_place   (TessFindings *findings, const TessGrid *grid, double *indices, gboolean *inside);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (TessFindings, tess_findings_unref)

G_END_DECLS
