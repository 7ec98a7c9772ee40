#include "tess-results-csv.h"

#include "tess-comparison.h"
#include "tess-format.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* RFC 4180: quotes where a field needs them, doubled inside. */
static void
append_text (GString *csv, const char *text)
{
  if (!strpbrk (text, ",\"\r\n")) {
    g_string_append (csv, text);
    return;
  }
  g_string_append_c (csv, '"');
  for (const char *p = text; *p; p++) {
    if (*p == '"')
      g_string_append_c (csv, '"');
    g_string_append_c (csv, *p);
  }
  g_string_append_c (csv, '"');
}

static void
append_number (GString *csv, double value)
{
  g_string_append_c (csv, ',');
  if (isfinite (value)) {
    g_autofree char *text = tess_format_number (value, 8);

    g_string_append (csv, text);
  }
}

GString *
tess_results_csv_new (void)
{
  return g_string_new ("case,label,name,dice,iou,hd95_mm,volume_reference_mm3,volume_prediction_mm3,"
                       "volume_difference_percent,tp,fp,fn\r\n");
}

void
tess_results_csv_add (GString *csv, const char *case_name, const char *label_name, const TessLabelMetrics *m)
{
  append_text (csv, case_name);
  g_string_append_printf (csv, ",%" PRId64 ",", m->label);
  append_text (csv, label_name);
  append_number (csv, m->dice);
  append_number (csv, m->iou);
  append_number (csv, m->hd95);
  append_number (csv, m->volume_reference);
  append_number (csv, m->volume_prediction);
  append_number (csv, tess_volume_difference (m->volume_reference, m->volume_prediction));
  g_string_append_printf (csv, ",%" PRId64 ",%" PRId64 ",%" PRId64 "\r\n", m->tp, m->fp, m->fn);
}
