#pragma once

#include "tess-findings.h"
#include "tess-volume.h"

G_BEGIN_DECLS

/* Findings as LUNA16 tables them: seriesuid,coordX,coordY,coordZ,diameter_mm; world coordinates in LPS mm. */
TessFindings *tess_findings_csv_load (const char *path, GError **error);
gboolean      tess_findings_csv_save (TessFindings *findings, const char *path, GError **error);
/* Those of one scan: whose seriesuid is the volume's series or the stem of its file's name; location may be PATH::ENTRY.
 * When there are none, and the table is about one scan only or does not say which, all of them. */
TessFindings *tess_findings_of_scan  (TessFindings *findings, TessVolume *volume, const char *location);

G_END_DECLS
