#include "tess-findings.h"

#include <stdatomic.h>
#include <string.h>

struct _TessFindings {
  atomic_int refs;
  char **columns;
  guint n_columns;
  GStringChunk *strings; /* every text once: scans and classes are few, findings many */
  GArray *all;           /* TessFinding */
};

static void
clear_finding (gpointer data)
{
  g_free (((TessFinding *)data)->texts); /* what it points to is in `strings` */
}

TessFindings *
tess_findings_new (const char *const *columns)
{
  static const char *const none[] = {NULL};
  TessFindings *findings = g_new0 (TessFindings, 1);

  atomic_init (&findings->refs, 1);
  findings->columns = g_strdupv ((char **)(columns ? columns : none));
  findings->n_columns = g_strv_length (findings->columns);
  findings->strings = g_string_chunk_new (4096);
  findings->all = g_array_new (FALSE, FALSE, sizeof (TessFinding));
  g_array_set_clear_func (findings->all, clear_finding);
  return findings;
}

TessFindings *
tess_findings_ref (TessFindings *findings)
{
  atomic_fetch_add_explicit (&findings->refs, 1, memory_order_relaxed);
  return findings;
}

void
tess_findings_unref (TessFindings *findings)
{
  if (!findings || atomic_fetch_sub_explicit (&findings->refs, 1, memory_order_acq_rel) != 1)
    return;
  g_array_unref (findings->all);
  g_string_chunk_free (findings->strings);
  g_strfreev (findings->columns);
  g_free (findings);
}

/* @scan and @texts are copied. */
void
tess_findings_add (TessFindings *findings, const char *scan, const double world[3], double diameter,
                   const char *const *texts)
{
  TessFinding finding = {.diameter = diameter};

  memcpy (finding.world, world, sizeof finding.world);
  finding.scan = g_string_chunk_insert_const (findings->strings, scan);
  finding.texts = g_new0 (const char *, findings->n_columns + 1);
  for (guint i = 0; i < findings->n_columns; i++)
    finding.texts[i] = g_string_chunk_insert_const (findings->strings, texts[i]);
  g_array_append_val (findings->all, finding);
}

guint
tess_findings_n (TessFindings *findings)
{
  return findings->all->len;
}

const TessFinding *
tess_findings_peek (TessFindings *findings, guint index)
{
  g_return_val_if_fail (index < findings->all->len, NULL);
  return &g_array_index (findings->all, TessFinding, index);
}

const char *const *
tess_findings_columns (TessFindings *findings)
{
  return (const char *const *)findings->columns;
}

/* Text that is equal is at the same address, but for texts of another list. */
static gboolean
all_of_one_scan (TessFindings *findings)
{
  for (guint i = 1; i < findings->all->len; i++)
    if (tess_findings_peek (findings, i)->scan != tess_findings_peek (findings, 0)->scan)
      return FALSE;
  return TRUE;
}

TessFindings *
tess_findings_select (TessFindings *findings, const char *const *names)
{
  TessFindings *some = tess_findings_new (tess_findings_columns (findings));

  for (guint i = 0; i < findings->all->len; i++) {
    const TessFinding *f = tess_findings_peek (findings, i);

    if (*f->scan && g_strv_contains (names, f->scan))
      tess_findings_add (some, f->scan, f->world, f->diameter, f->texts);
  }
  if (some->all->len > 0 || !all_of_one_scan (findings))
    return some;
  tess_findings_unref (some);
  return tess_findings_ref (findings);
}

/* A grid of n voxels holds [-0.5, n - 0.5): of two grids side by side, one has the finding. */
gboolean
tess_findings_place (TessFindings *findings, const TessGrid *grid, double *indices, gboolean *inside)
{
  TessAffine inverse;

  if (!tess_affine_invert (&grid->affine, &inverse))
    return FALSE;
  for (guint i = 0; i < findings->all->len; i++) {
    double *p = indices + 3 * (gsize)i;

    tess_affine_apply (&inverse, tess_findings_peek (findings, i)->world, p);
    inside[i] = TRUE;
    for (int k = 0; k < 3; k++)
      inside[i] = inside[i] && p[k] >= -0.5 && p[k] < (double)grid->dim[k] - 0.5;
  }
  return TRUE;
}
