#pragma once

#include "tess-metrics.h"

G_BEGIN_DECLS

/* Comma-separated tables (RFC 4180) of label metrics: one header, a line a case and label. What is undefined is empty.
 */
GString *tess_results_csv_new (void);
void tess_results_csv_add (GString *csv, const char *case_name, const char *label_name, const TessLabelMetrics *m);

G_END_DECLS
