/* Pictures to series: those that lie in parallel planes on one grid belong together. */
#include "tess-dicom-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define SAME_DIRECTION 0.01 /* of direction cosines: less than a degree */

void
tess_dicom_series_free (TessDicomSeries *series)
{
  if (!series)
    return;
  g_free (series->id);
  g_free (series->description);
  g_free (series->refusal);
  g_free (series->points);
  g_ptr_array_unref (series->frames);
  g_ptr_array_unref (series->warnings);
  g_free (series);
}

static gboolean
belongs (const TessDicomFrame *a, const TessDicomFrame *b)
{
  const TessDicomFile *f = a->file, *g = b->file;

  if (f->rows != g->rows || f->columns != g->columns || f->samples != g->samples || f->dtype != g->dtype ||
      f->allocated != g->allocated || MAX (f->mosaic_n, 1) != MAX (g->mosaic_n, 1) ||
      strcmp (f->class_uid, g->class_uid) != 0 ||
      (strcmp (f->photometric, "MONOCHROME1") == 0) != (strcmp (g->photometric, "MONOCHROME1") == 0) ||
      ((f->segments || f->structures) && f != g))
    return FALSE;
  if (a->has_orientation != b->has_orientation || a->has_position != b->has_position ||
      a->has_spacing != b->has_spacing)
    return FALSE;
  for (int k = 0; k < 6 && a->has_orientation; k++)
    if (fabs (a->orientation[k] - b->orientation[k]) > SAME_DIRECTION)
      return FALSE;
  for (int k = 0; k < 2 && a->has_spacing; k++)
    if (fabs (a->spacing[k] - b->spacing[k]) > 1e-3 * a->spacing[k])
      return FALSE;
  return TRUE;
}

static TessDicomSeries *
series_new (void)
{
  TessDicomSeries *series = g_new0 (TessDicomSeries, 1);

  series->frames = g_ptr_array_new ();
  series->warnings = g_ptr_array_new_with_free_func (g_free);
  return series;
}

/* Of one SeriesInstanceUID, split where pictures do not fit together. */
static void
split (GPtrArray *frames, GPtrArray *all, guint number)
{
  g_autoptr (GPtrArray) parts = g_ptr_array_new ();

  for (guint i = 0; i < frames->len; i++) {
    TessDicomFrame *frame = g_ptr_array_index (frames, i);
    TessDicomSeries *part = NULL;

    for (guint k = parts->len; k-- > 0 && !part;) {
      TessDicomSeries *candidate = g_ptr_array_index (parts, k);

      if (belongs (g_ptr_array_index (candidate->frames, 0), frame))
        part = candidate;
    }
    if (!part) {
      part = series_new ();
      g_ptr_array_add (parts, part);
    }
    g_ptr_array_add (part->frames, frame);
  }
  for (guint k = 0; k < parts->len; k++) {
    TessDicomSeries *part = g_ptr_array_index (parts, k);
    const char *uid = ((TessDicomFrame *)g_ptr_array_index (part->frames, 0))->file->series;
    g_autofree char *unnamed = g_strdup_printf ("series-%u", number);

    part->id =
        parts->len == 1 ? g_strdup (*uid ? uid : unnamed) : g_strdup_printf ("%s/%u", *uid ? uid : unnamed, k + 1);
    if (parts->len > 1)
      g_ptr_array_add (
          part->warnings,
          g_strdup_printf (_ ("The series holds %u groups of slices that do not fit together (direction or size); "
                              "this is one of them."),
                           parts->len));
    g_ptr_array_add (all, part);
  }
}

static void
describe (TessDicomSeries *series)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  const char *what = *file->description || !file->structures ? file->description : file->structures->label;
  GString *text = g_string_new (NULL);

  g_string_append_printf (text, "%s%s", *file->modality ? file->modality : _ ("unknown modality"), *what ? ", " : "");
  g_string_append (text, what);
  series->description = g_string_free (text, FALSE);
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  const TessDicomSeries *s = *(const TessDicomSeries *const *)a, *t = *(const TessDicomSeries *const *)b;
  double m = ((TessDicomFrame *)g_ptr_array_index (s->frames, 0))->file->series_number;
  double n = ((TessDicomFrame *)g_ptr_array_index (t->frames, 0))->file->series_number;

  return m != n ? (m > n) - (m < n) : strcmp (s->id, t->id);
}

/**
 * tess_dicom_series_find:
 *
 * All volumes of a study, in the order of their numbers; each placed (tess_dicom_series_place()).
 */
GPtrArray *
tess_dicom_series_find (TessDicomStudy *study)
{
  GPtrArray *all = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_dicom_series_free);
  g_autoptr (GHashTable) by_uid = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr (GPtrArray) groups = g_ptr_array_new_with_free_func ((GDestroyNotify)g_ptr_array_unref);

  for (guint i = 0; i < study->frames->len; i++) {
    TessDicomFrame *frame = g_ptr_array_index (study->frames, i);
    GPtrArray *group = g_hash_table_lookup (by_uid, frame->file->series);

    if (!group) {
      group = g_ptr_array_new ();
      g_ptr_array_add (groups, group);
      g_hash_table_insert (by_uid, frame->file->series, group);
    }
    g_ptr_array_add (group, frame);
  }
  for (guint i = 0; i < groups->len; i++)
    split (g_ptr_array_index (groups, i), all, i + 1);
  for (guint i = 0; i < all->len; i++) {
    TessDicomSeries *series = g_ptr_array_index (all, i);

    describe (series);
    series->is_structure_set = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file->structures != NULL;
    if (!series->is_structure_set)
      tess_dicom_series_place (series);
    if (study->n_failed > 0) {
      g_autofree char *text = g_strdup_printf (
          g_dngettext (GETTEXT_PACKAGE, "%u of %u files could not be read and is left out (%s).",
                       "%u of %u files could not be read and are left out (the first: %s).", study->n_failed),
          study->n_failed, study->n_candidates, study->first_failure ? study->first_failure->message : "");

      g_ptr_array_add (series->warnings, g_steal_pointer (&text));
    }
  }
  if (study->around)
    study->around_series = tess_dicom_series_find (study->around);
  for (guint i = 0; i < all->len; i++)
    if (((TessDicomSeries *)g_ptr_array_index (all, i))->is_structure_set)
      tess_dicom_structures_place (g_ptr_array_index (all, i), all, study->around_series);
  g_ptr_array_sort (all, by_number);
  return all;
}
