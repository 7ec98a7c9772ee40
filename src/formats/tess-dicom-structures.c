/* Structure sets of radiotherapy: what the helper says of their regions, and the scan they were drawn on. Source: DICOM
 * PS3.3 C.8.8.5, C.8.8.6. */
#include "tess-dicom-private.h"

#include <math.h>
#include <string.h>

#define MAX_REGIONS 65535
#define MAX_POINTS 100000000 /* 2.4 GB */

static void
region_free (gpointer data)
{
  TessDicomRegion *region = data;

  g_free (region->name);
  g_array_unref (region->lengths);
  g_free (region);
}

void
tess_dicom_structures_free (TessDicomStructures *structures)
{
  if (!structures)
    return;
  g_ptr_array_unref (structures->regions);
  g_ptr_array_unref (structures->series);
  g_ptr_array_unref (structures->frames_of_reference);
  g_free (structures->label);
  g_free (structures);
}

static JsonObject *
object_at (JsonArray *array, guint i)
{
  JsonNode *node = json_array_get_element (array, i);

  return JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static JsonArray *
array_of (JsonObject *o, const char *name)
{
  JsonArray *array = NULL;

  return tess_json_array_opt (o, "", name, &array, NULL) ? array : NULL;
}

static guint
count_of (JsonObject *o, const char *name)
{
  gint64 n = 0;

  return tess_json_int_opt (o, "", name, 0, G_MAXINT32, &n, NULL) ? (guint)n : 0;
}

static gboolean
read_region (TessDicomStructures *structures, JsonObject *o, const char *charset)
{
  TessDicomRegion *region = g_new0 (TessDicomRegion, 1);
  JsonArray *closed = array_of (o, "closed");
  const char *name = "";
  gint64 colour[3];

  region->lengths = g_array_new (FALSE, FALSE, sizeof (guint32));
  region->first = structures->n_points;
  g_ptr_array_add (structures->regions, region);
  tess_json_string_opt (o, "", "name", &name, NULL);
  region->name = tess_dicom_recode (name, charset);
  g_strdelimit (region->name, "\r\n\t", ' ');
  tess_json_int_opt (o, "", "number", G_MININT32, G_MAXINT32, &region->value, NULL);
  if (json_object_has_member (o, "colour") && tess_json_ints (o, "", "colour", 0, 255, colour, 3, NULL)) {
    for (int k = 0; k < 3; k++)
      region->rgba[k] = (guint8)colour[k];
    region->rgba[3] = 255;
  }
  structures->n_other += count_of (o, "other");
  structures->n_bad += count_of (o, "bad");
  for (guint i = 0; closed && i < json_array_get_length (closed); i++) {
    gint64 n = json_array_get_int_element (closed, i);
    guint32 length = (guint32)n;

    if (n < 1 || n > MAX_POINTS || structures->n_points > MAX_POINTS)
      return FALSE;
    g_array_append_val (region->lengths, length);
    structures->n_points += (gsize)n;
  }
  return TRUE;
}

/* Label values are the regions' numbers where these can be values, else 1, 2, ... for all of them. */
static void
number_regions (TessDicomStructures *structures)
{
  g_autoptr (GHashTable) seen = g_hash_table_new (NULL, NULL);

  for (guint i = 0; i < structures->regions->len; i++) {
    const TessDicomRegion *region = g_ptr_array_index (structures->regions, i);

    if (region->value < 1 || region->value > MAX_REGIONS ||
        !g_hash_table_add (seen, GINT_TO_POINTER ((int)region->value)))
      structures->renumbered = TRUE;
  }
  for (guint i = 0; i < structures->regions->len && structures->renumbered; i++)
    ((TessDicomRegion *)g_ptr_array_index (structures->regions, i))->value = i + 1;
}

static void
read_references (TessDicomStructures *structures, JsonObject *o)
{
  JsonArray *references = array_of (o, "references");

  for (guint i = 0; references && i < json_array_get_length (references); i++) {
    JsonObject *reference = object_at (references, i);
    JsonArray *series = reference ? array_of (reference, "series") : NULL;
    const char *uid = "";

    if (reference && tess_json_string_opt (reference, "", "frame-of-reference", &uid, NULL) && *uid)
      g_ptr_array_add (structures->frames_of_reference, g_strdup (uid));
    for (guint k = 0; series && k < json_array_get_length (series); k++) {
      JsonNode *node = json_array_get_element (series, k);
      gboolean text = JSON_NODE_HOLDS_VALUE (node) && json_node_get_value_type (node) == G_TYPE_STRING;

      if (text && *json_node_get_string (node))
        g_ptr_array_add (structures->series, g_strdup (json_node_get_string (node)));
    }
  }
}

/* Of a file whose texts and size are known. FALSE: what it says is impossible. */
gboolean
tess_dicom_structures_read (TessDicomFile *file, JsonObject *answer, const char *charset)
{
  TessDicomStructures *structures = g_new0 (TessDicomStructures, 1);
  const char *label = "", *syntax = "";
  JsonArray *regions;
  JsonObject *o;

  structures->regions = g_ptr_array_new_with_free_func (region_free);
  structures->series = g_ptr_array_new_with_free_func (g_free);
  structures->frames_of_reference = g_ptr_array_new_with_free_func (g_free);
  file->structures = structures;
  file->rows = file->columns = file->n_frames = file->samples = 1;
  file->allocated = file->stored = 8;
  file->high = 7;
  file->dtype = TESS_DTYPE_U8;
  if (!tess_json_object (answer, "", "structures", &o, NULL))
    return FALSE;
  tess_json_string_opt (o, "", "label", &label, NULL);
  tess_json_string_opt (answer, "", "syntax", &syntax, NULL);
  structures->label = tess_dicom_recode (label, charset);
  g_strdelimit (structures->label, "\r\n\t", ' ');
  read_references (structures, o);
  regions = array_of (o, "regions");
  for (guint i = 0; regions && i < json_array_get_length (regions); i++) {
    JsonObject *region = object_at (regions, i);

    if (i >= MAX_REGIONS || !region || !read_region (structures, region, charset))
      return FALSE;
  }
  number_regions (structures);
  /* A point is three numbers and what parts them: five bytes at least, fewer only where the whole file is packed. */
  return structures->n_points <= file->size / 5 * (strcmp (syntax, "1.2.840.10008.1.2.1.99") == 0 ? 1032 : 1);
}

/* How a file's pictures belong to the contours. */
TessDicomMatch
tess_dicom_structures_match (const TessDicomStructures *structures, const TessDicomFile *file)
{
  if (file->structures || file->segments)
    return TESS_DICOM_NO_MATCH;
  for (guint i = 0; i < structures->series->len; i++)
    if (strcmp (g_ptr_array_index (structures->series, i), file->series) == 0)
      return TESS_DICOM_SAME_SERIES;
  for (guint i = 0; i < structures->frames_of_reference->len && strcmp (file->modality, "RTDOSE") != 0; i++)
    if (strcmp (g_ptr_array_index (structures->frames_of_reference, i), file->frame_of_reference) == 0)
      return TESS_DICOM_SAME_FRAME;
  return TESS_DICOM_NO_MATCH;
}

/* The best of these series; of equals, the one with most slices. */
static void
look_for_scan (const TessDicomStructures *structures, GPtrArray *all, const TessDicomSeries **scan,
               TessDicomMatch *match)
{
  for (guint i = 0; all && i < all->len; i++) {
    const TessDicomSeries *series = g_ptr_array_index (all, i);
    const TessDicomFrame *first = g_ptr_array_index (series->frames, 0);
    TessDicomMatch m = tess_dicom_structures_match (structures, first->file);

    if (m == TESS_DICOM_NO_MATCH || series->refusal || !first->has_position || !first->has_orientation)
      continue;
    if (m > *match || (m == *match && series->dim[2] > (*scan)->dim[2])) {
      *scan = series;
      *match = m;
    }
  }
}

static int
by_double (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

/* Without the scan: planes as the contours have them, the smallest distance of two as their step; pixels as large as
 * the usual step from point to point, 0.5 to 2 mm. */
static void
make_own_grid (TessDicomSeries *series, const TessDicomStructures *structures)
{
  const double *p = series->points;
  double lo[3], hi[3], step = 0, side, sizes[3];
  g_autofree double *z = g_new (double, structures->n_points), *steps = g_new (double, structures->n_points);
  gsize n_steps = 0;

  memcpy (lo, p, sizeof lo);
  memcpy (hi, p, sizeof hi);
  for (gsize i = 0; i < structures->n_points; i++, p += 3) {
    for (int k = 0; k < 3; k++) {
      lo[k] = MIN (lo[k], p[k]);
      hi[k] = MAX (hi[k], p[k]);
    }
    z[i] = p[2];
    if (i > 0 && p[2] == p[-1] && (p[0] != p[-3] || p[1] != p[-2]))
      steps[n_steps++] = hypot (p[0] - p[-3], p[1] - p[-2]);
  }
  qsort (z, structures->n_points, sizeof *z, by_double);
  qsort (steps, n_steps, sizeof *steps, by_double);
  for (gsize i = 1; i < structures->n_points; i++)
    if (z[i] - z[i - 1] > 0.01 && (step == 0 || z[i] - z[i - 1] < step))
      step = z[i] - z[i - 1];
  step = step > 0 ? step : 1;
  side = CLAMP (n_steps ? steps[n_steps / 2] : 1, 0.5, 2);
  for (int k = 0; k < 3; k++) {
    sizes[k] = ceil ((hi[k] - lo[k]) / (k < 2 ? side : step) - 1e-6) + (k < 2 ? 3 : 1); /* a voxel around */
    if (!(sizes[k] <= 4096)) {
      series->refusal = g_strdup (_ ("its contours spread too wide for a grid of their own; put the scan they were "
                                     "drawn on beside the file"));
      return;
    }
    series->dim[k] = (gint64)sizes[k];
  }
  series->affine = (TessAffine){{{-side, 0, 0, -(lo[0] - side)}, {0, -side, 0, -(lo[1] - side)}, {0, 0, step, lo[2]}}};
  g_ptr_array_add (series->warnings,
                   g_strdup_printf (_ ("The scan that these contours were drawn on (series %s) is not beside them; the "
                                       "labels are on a grid of their own, %g x %g x %g mm."),
                                    structures->series->len ? (const char *)g_ptr_array_index (structures->series, 0)
                                                            : _ ("unknown"),
                                    round (side * 1e4) / 1e4, round (side * 1e4) / 1e4, round (step * 1e4) / 1e4));
}

/* Contours in other planes than axial ones have no grid of their own. */
static gboolean
are_axial (const TessDicomStructures *structures, const double *p)
{
  for (guint r = 0; r < structures->regions->len; r++) {
    const TessDicomRegion *region = g_ptr_array_index (structures->regions, r);

    for (guint c = 0; c < region->lengths->len; c++) {
      const double z = p[2];

      for (guint32 i = 0; i < g_array_index (region->lengths, guint32, c); i++, p += 3)
        if (fabs (p[2] - z) > 0.05)
          return FALSE;
    }
  }
  return TRUE;
}

/**
 * tess_dicom_structures_place:
 * @all, @around: series to look for the scan in; around may be NULL
 *
 * The grid the labels go to: that of the scan the contours were drawn on, or another of its frame of reference; else
 * one of their own.
 */
void
tess_dicom_structures_place (TessDicomSeries *series, GPtrArray *all, GPtrArray *around)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  const TessDicomStructures *structures = file->structures;
  TessDicomMatch match = TESS_DICOM_NO_MATCH;
  g_autoptr (GError) error = NULL;

  series->n_channels = 1;
  for (int k = 0; k < 3; k++)
    series->dim[k] = 1;
  series->affine = tess_affine_identity ();
  if (structures->n_points == 0) {
    series->refusal = g_strdup (_ ("it holds no closed contour and so no labels; give the scan itself"));
    return;
  }
  look_for_scan (structures, all, &series->scan, &match);
  look_for_scan (structures, around, &series->scan, &match);
  if (series->scan) {
    memcpy (series->dim, series->scan->dim, sizeof series->dim);
    series->affine = series->scan->affine;
    if (match == TESS_DICOM_SAME_FRAME)
      g_ptr_array_add (series->warnings,
                       g_strdup_printf (_ ("The scan that these contours were drawn on is not beside them; the labels "
                                           "are on the grid of another of the same frame of reference (%s)."),
                                        series->scan->description));
    return;
  }
  series->points = tess_dicom_contour_points (file, NULL, &error);
  if (!series->points) /* its sentence begins with the file's name, as that of a refusal will */
    series->refusal = g_strdup (_ ("its contours cannot be read; copy the file again from its source"));
  else if (!are_axial (structures, series->points))
    series->refusal =
        g_strdup (_ ("its contours do not lie in axial planes; put the scan they were drawn on beside the "
                     "file"));
  else
    make_own_grid (series, structures);
}
