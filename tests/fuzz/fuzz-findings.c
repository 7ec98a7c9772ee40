/* Any bytes, read as a table of findings and, when they are one, written, read again and compared. */
#include "tess-findings-csv.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static gboolean
same (const TessFinding *a, const TessFinding *b)
{
  gboolean diameters = isnan (a->diameter) ? isnan (b->diameter) : a->diameter == b->diameter;

  return diameters && strcmp (a->scan, b->scan) == 0 && a->world[0] == b->world[0] && a->world[1] == b->world[1] &&
         a->world[2] == b->world[2] && g_strv_equal ((const char *const *)a->texts, (const char *const *)b->texts);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static char folder[] = "/tmp/tess-fuzz-XXXXXX";
  static gboolean made;
  g_autofree char *path = NULL;
  g_autoptr (TessFindings) findings = NULL, again = NULL, some = NULL;
  const TessGrid grid = {{4, 5, 6}, {{{0, -2, 1, 7}, {1.5, 0, 0, 8}, {0, 0.25, 3, 9}}}};
  g_autofree double *indices = NULL;
  g_autofree gboolean *inside = NULL;
  guint n;

  if (!made && !mkdtemp (folder))
    abort ();
  made = TRUE;
  path = g_build_filename (folder, "a.csv", NULL);
  unlink (path); /* else what was longer before would stay */
  if (!g_file_set_contents_full (path, (const char *)data, (gssize)size, G_FILE_SET_CONTENTS_NONE, 0600, NULL))
    abort ();
  findings = tess_findings_csv_load (path, NULL);
  if (!findings)
    return 0;
  n = tess_findings_n (findings);
  indices = g_new (double, 3 * (gsize)n);
  inside = g_new (gboolean, n);
  if (!tess_findings_place (findings, &grid, indices, inside))
    abort ();
  some = tess_findings_select (findings, (const char *[]){n ? tess_findings_peek (findings, 0)->scan : "", NULL});
  if (tess_findings_n (some) > n || (n && *tess_findings_peek (findings, 0)->scan && tess_findings_n (some) == 0))
    abort ();
  if (!tess_findings_csv_save (findings, path, NULL) || !(again = tess_findings_csv_load (path, NULL)) ||
      tess_findings_n (again) != n)
    abort ();
  for (guint i = 0; i < n; i++)
    if (!same (tess_findings_peek (findings, i), tess_findings_peek (again, i)))
      abort ();
  return 0;
}
