#include "tess-dicom.h"
#include "tess-dicom-private.h"

#include <string.h>

static GPtrArray *
make_entries (GPtrArray *all)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify)tess_volume_entry_free);

  for (guint i = 0; i < all->len; i++) {
    TessDicomSeries *series = g_ptr_array_index (all, i);
    TessVolumeEntry *entry = g_new0 (TessVolumeEntry, 1);

    entry->id = g_strdup (series->id);
    entry->description = g_strdup (series->description);
    entry->dtype = series->dtype;
    memcpy (entry->dim, series->dim, sizeof entry->dim);
    entry->n_channels = series->n_channels;
    if (series->frames->len > 0 && !series->is_structure_set)
      entry->preview =
          g_strdup (((TessDicomFrame *)g_ptr_array_index (series->frames, series->frames->len / 2))->file->path);
    g_ptr_array_add (entries, entry);
  }
  return entries;
}

/**
 * dicom_scan:
 *
 * The series under a path; ids are SeriesInstanceUIDs, with /1, /2, ... where one holds several volumes.
 */
static GPtrArray *
dicom_scan (const char *path, TessProgress *progress, GError **error)
{
  g_autoptr (TessDicomStudy) study = tess_dicom_study_new (path, progress, error);
  g_autoptr (GPtrArray) all = study ? tess_dicom_series_find (study) : NULL;

  return all ? make_entries (all) : NULL;
}

static GPtrArray *
dicom_entries (const char *path, GError **error)
{
  return dicom_scan (path, NULL, error);
}

/* Where nobody says which: the only scan, when all else are labels (segmentations, contours); NULL when there is none
 * or several. */
static TessDicomSeries *
only_scan (GPtrArray *all)
{
  TessDicomSeries *scan = NULL;

  for (guint i = 0; i < all->len; i++) {
    TessDicomSeries *series = g_ptr_array_index (all, i);

    if (series->is_segmentation || series->is_structure_set)
      continue;
    if (scan)
      return NULL;
    scan = series;
  }
  return scan;
}

static void
tell_of_labels (TessDicomSeries *scan, GPtrArray *all, const char *path)
{
  g_autofree char *name = g_filename_display_name (path);

  for (guint i = 0; i < all->len; i++) {
    TessDicomSeries *series = g_ptr_array_index (all, i);

    if (series != scan)
      g_ptr_array_add (scan->warnings, g_strdup_printf (_ ("Labels lie beside the scan (%s); give them as %s::%s."),
                                                        series->description, name, series->id));
  }
}

/* The series that `entry` names, or the only one. */
static TessDicomSeries *
choose_series (GPtrArray *all, const char *path, const char *entry, GError **error)
{
  TessDicomSeries *scan = entry || all->len < 2 ? NULL : only_scan (all);
  g_autoptr (GPtrArray) entries = NULL;
  TessVolumeEntry *chosen;

  if (scan) {
    tell_of_labels (scan, all, path);
    return scan;
  }
  entries = make_entries (all);
  chosen = tess_volume_entry_find (entries, path, entry, error);
  for (guint i = 0; chosen && i < all->len; i++)
    if (strcmp (((TessDicomSeries *)g_ptr_array_index (all, i))->id, chosen->id) == 0)
      return g_ptr_array_index (all, i);
  return NULL;
}

/**
 * dicom_load:
 *
 * One series as a volume. Voxels keep their type; slope and intercept become the volume's scaling; pictures of one
 * place (time, echo) and colours become channels; the affine keeps a tilt. Patients' names and numbers are not read.
 */
static TessVolume *
dicom_load (const char *path, const char *entry, TessProgress *progress, TessVolumeLive live, gpointer user_data,
            GError **error)
{
  const TessDicomListener listener = {progress, live, user_data};
  g_autoptr (TessDicomStudy) study = tess_dicom_study_new (path, progress, error);
  g_autoptr (GPtrArray) all = study ? tess_dicom_series_find (study) : NULL;
  TessDicomSeries *series = all ? choose_series (all, path, entry, error) : NULL;
  TessVolume *volume;

  if (!series)
    return NULL;
  if (series->refusal) {
    g_autofree char *name = g_filename_display_name (path);

    g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT, "%s: %s", name, series->refusal);
    return NULL;
  }
  volume = series->is_structure_set  ? tess_dicom_structures_load (series, &listener, error)
           : series->is_segmentation ? tess_dicom_segmentation (series, &listener, error)
                                     : tess_dicom_series_load (series, &listener, error);
  if (volume)
    tess_progress_set (progress, 1.0);
  return volume;
}

const TessFormat tess_format_dicom = {
    .id = "dicom",
    .name = "DICOM",
    .endings = ".dcm .dicom .ima",
    .entries = dicom_entries,
    .scan = dicom_scan,
    .load = dicom_load,
    .claims = tess_dicom_claims,
};
