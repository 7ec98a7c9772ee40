/* Contours to labels on a scan's grid. */
#include "tess-dicom-private.h"

#include <math.h>
#include <string.h>

/* All points of a file, x y z each; to be freed with g_free(). Their number is known from the scan of the file. */
double *
tess_dicom_contour_points (const TessDicomFile *file, TessProgress *progress, GError **error)
{
  gsize n = file->structures->n_points * 3; /* bounded when the file was read */
  g_autofree double *points = NULL;

  if (!tess_dicom_fits (file->path, n * sizeof (double), error))
    return NULL;
  points = (double *)(void *)tess_dicom_file_unpack (file, n * sizeof (double), progress, error);
  for (gsize i = 0; points && i < n; i++)
    if (!(fabs (points[i]) < 1e6)) { /* a kilometre */
      g_autofree char *name = g_filename_display_name (file->path);

      g_set_error (error, TESS_ERROR, TESS_ERROR_FORMAT,
                   _ ("%s: its contours lie nowhere near a body; copy the file again from its source"), name);
      return NULL;
    }
  return g_steal_pointer (&points);
}

/* Where a slice lies: in DICOM's space (LPS, mm). */
typedef struct {
  double position[3], row[3], column[3]; /* the first voxel's centre; per voxel, divided by its length squared */
  double along;                          /* of the position on the normal */
} Slice;

typedef struct {
  gsize first;   /* point */
  guint32 n;     /* points */
  gint64 z;      /* slice */
  double along;  /* its plane */
  double offset; /* from the slice's plane */
} Contour;

typedef struct {
  TessDicomSeries *series;
  const double *points;
  GArray *slices;
  double normal[3], gap; /* gap: of neighbouring slices */
  guint n_skew, n_beyond;
} Drawing;

/* A region that is somewhere: contours by slice, `starts` the first of each slice and one more. */
typedef struct {
  GArray *contours, *starts;
} Drawn;

static double
dot (const double a[3], const double b[3])
{
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static int
by_double (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static void
add_slice (Drawing *d, const double position[3], const double row[3], const double column[3])
{
  Slice slice;

  memcpy (slice.position, position, sizeof slice.position);
  for (int k = 0; k < 3; k++) {
    slice.row[k] = row[k] / dot (row, row);
    slice.column[k] = column[k] / dot (column, column);
  }
  slice.along = dot (position, d->normal);
  g_array_append_val (d->slices, slice);
}

/* The scan's own slices, so that a missing one or a tilt moves no contour; or those of the labels' own grid. */
static void
find_slices (Drawing *d)
{
  const TessDicomSeries *scan = d->series->scan;
  const TessAffine *a = &d->series->affine;
  g_autofree double *gaps = NULL;

  if (scan) {
    const double *o = ((TessDicomFrame *)g_ptr_array_index (scan->frames, 0))->orientation;
    const double normal[3] = {o[1] * o[5] - o[2] * o[4], o[2] * o[3] - o[0] * o[5], o[0] * o[4] - o[1] * o[3]};
    const double length = sqrt (dot (normal, normal));

    for (int k = 0; k < 3; k++)
      d->normal[k] = normal[k] / length;
    for (gint64 z = 0; z < scan->dim[2]; z++) { /* the first channel's come first, in order */
      const TessDicomFrame *frame = g_ptr_array_index (scan->frames, (guint)z);
      double row[3], column[3];

      for (int k = 0; k < 3; k++) {
        row[k] = frame->orientation[k] * frame->spacing[1];
        column[k] = frame->orientation[3 + k] * frame->spacing[0];
      }
      add_slice (d, frame->position, row, column);
    }
  } else {
    d->normal[2] = 1;
    for (gint64 z = 0; z < d->series->dim[2]; z++) /* RAS to LPS */
      add_slice (d, (double[3]){-a->m[0][3], -a->m[1][3], a->m[2][3] + (double)z * a->m[2][2]},
                 (double[3]){-a->m[0][0], 0, 0}, (double[3]){0, -a->m[1][1], 0});
  }
  gaps = g_new (double, d->slices->len);
  for (guint i = 1; i < d->slices->len; i++)
    gaps[i - 1] = g_array_index (d->slices, Slice, i).along - g_array_index (d->slices, Slice, i - 1).along;
  qsort (gaps, d->slices->len - 1, sizeof *gaps, by_double);
  d->gap = d->slices->len > 1      ? gaps[(d->slices->len - 1) / 2]
           : fabs (a->m[2][2]) > 0 ? sqrt (a->m[0][2] * a->m[0][2] + a->m[1][2] * a->m[1][2] + a->m[2][2] * a->m[2][2])
                                   : 1;
}

static gint64
nearest_slice (const Drawing *d, double along)
{
  guint lo = 0, hi = d->slices->len - 1;

  while (hi - lo > 1) {
    guint mid = lo + (hi - lo) / 2;

    *(g_array_index (d->slices, Slice, mid).along <= along ? &lo : &hi) = mid;
  }
  return fabs (g_array_index (d->slices, Slice, hi).along - along) <
                 fabs (g_array_index (d->slices, Slice, lo).along - along)
             ? hi
             : lo;
}

/* FALSE: it lies in no slice. */
static gboolean
place_contour (Drawing *d, Contour *contour)
{
  const double *p = d->points + 3 * contour->first;
  double lo = INFINITY, hi = -INFINITY;

  for (guint32 i = 0; i < contour->n; i++, p += 3) {
    double along = dot (p, d->normal);

    lo = MIN (lo, along);
    hi = MAX (hi, along);
  }
  if (hi - lo > MAX (d->gap / 2, 0.05)) {
    d->n_skew++;
    return FALSE;
  }
  contour->along = (lo + hi) / 2;
  contour->z = nearest_slice (d, contour->along);
  contour->offset = fabs (g_array_index (d->slices, Slice, contour->z).along - contour->along);
  if (contour->offset > d->gap / 2 + 0.01) {
    d->n_beyond++;
    return FALSE;
  }
  return TRUE;
}

static int
by_slice (gconstpointer a, gconstpointer b)
{
  const Contour *c = a, *d = b;

  if (c->z != d->z)
    return c->z < d->z ? -1 : 1;
  if (c->offset != d->offset)
    return c->offset < d->offset ? -1 : 1;
  return c->first < d->first ? -1 : c->first > d->first;
}

/* Where planes are closer than slices, a slice takes the nearest plane. */
static Drawn *
draw_region (Drawing *d, const TessDicomRegion *region)
{
  Drawn *drawn = g_new0 (Drawn, 1);
  g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (Contour));
  const Contour *nearest = NULL;
  gsize first = region->first;

  drawn->contours = g_array_new (FALSE, FALSE, sizeof (Contour));
  drawn->starts = g_array_new (FALSE, FALSE, sizeof (guint));
  for (guint c = 0; c < region->lengths->len; c++) {
    Contour contour = {.first = first, .n = g_array_index (region->lengths, guint32, c)};

    if (place_contour (d, &contour))
      g_array_append_val (all, contour);
    first += contour.n;
  }
  g_array_sort (all, by_slice);
  for (guint i = 0; i < all->len; i++) {
    const Contour *contour = &g_array_index (all, Contour, i);

    if (!nearest || contour->z != nearest->z) {
      nearest = contour;
      g_array_append_val (drawn->starts, drawn->contours->len);
    }
    if (fabs (contour->along - nearest->along) <= MAX (0.05 * d->gap, 0.01))
      g_array_append_val (drawn->contours, *contour);
  }
  g_array_append_val (drawn->starts, drawn->contours->len);
  return drawn;
}

static void
drawn_free (Drawn *drawn)
{
  g_array_unref (drawn->contours);
  g_array_unref (drawn->starts);
  g_free (drawn);
}

/* A region's contours cross row y between voxels x - 1 and x: everything from x on changes sides. */
static void
cross (const TessDicomSeries *series, guint64 *mask, gint64 y, double at)
{
  double x = ceil (at);
  gsize bit;

  if (!(x < (double)series->dim[0]))
    return;
  bit = (gsize)y * (gsize)series->dim[0] + (gsize)MAX (x, 0);
  mask[bit / 64] ^= (guint64)1 << (bit % 64);
}

/* From (x0, y0) to (x1, y1), in voxels. Rows with y0 <= y < y1 are crossed; an edge gone back over crosses at the very
 * same places, so that the way to a hole and back (a keyhole) leaves nothing. */
static void
cross_edge (const TessDicomSeries *series, guint64 *mask, const double a[2], const double b[2])
{
  const double *lower = a[1] <= b[1] ? a : b, *upper = a[1] <= b[1] ? b : a;
  double first = MAX (ceil (lower[1]), 0), end = MIN (ceil (upper[1]), (double)series->dim[1]);

  for (gint64 y = (gint64)first; (double)y < end; y++)
    cross (series, mask, y, lower[0] + ((double)y - lower[1]) / (upper[1] - lower[1]) * (upper[0] - lower[0]));
}

static void
to_voxel (const Slice *slice, const double p[3], double out[2])
{
  const double v[3] = {p[0] - slice->position[0], p[1] - slice->position[1], p[2] - slice->position[2]};

  out[0] = dot (v, slice->row);
  out[1] = dot (v, slice->column);
}

/* Of TessDicomMask. A voxel belongs to the region when its centre lies inside an odd number of its contours on this
 * slice; of centres exactly on a line those on the left and upper sides count as inside, so that regions that touch
 * share no voxel and leave none out. */
static gint64
contour_mask (const TessDicomSegment *segment, guint i, guint64 *mask, gpointer user_data)
{
  const Drawing *d = user_data;
  const Drawn *drawn = segment->data;
  guint begin = g_array_index (drawn->starts, guint, i), end = g_array_index (drawn->starts, guint, i + 1);
  gint64 z = g_array_index (drawn->contours, Contour, begin).z;
  const Slice *slice = &g_array_index (d->slices, Slice, z);
  gsize width = (gsize)d->series->dim[0], height = (gsize)d->series->dim[1];

  memset (mask, 0, tess_dicom_mask_words (d->series) * sizeof *mask);
  for (guint c = begin; c < end; c++) {
    const Contour *contour = &g_array_index (drawn->contours, Contour, c);
    const double *p = d->points + 3 * contour->first;
    double from[2], to[2];

    to_voxel (slice, p + 3 * (contour->n - 1), from);
    for (guint32 k = 0; k < contour->n; k++) {
      to_voxel (slice, p + 3 * k, to);
      cross_edge (d->series, mask, from, to);
      memcpy (from, to, sizeof from);
    }
  }
  for (gsize y = 0; y < height; y++) {
    guint64 inside = 0;

    for (gsize bit = y * width; bit < (y + 1) * width; bit++) {
      inside ^= mask[bit / 64] >> (bit % 64) & 1;
      mask[bit / 64] = (mask[bit / 64] & ~((guint64)1 << (bit % 64))) | inside << (bit % 64);
    }
  }
  return z;
}

static TessLabelTable *
read_labels (const TessDicomStructures *structures)
{
  TessLabelTable *table = tess_label_table_new ();

  for (guint i = 0; i < structures->regions->len; i++) {
    const TessDicomRegion *region = g_ptr_array_index (structures->regions, i);

    tess_label_table_add (table, region->value, *region->name ? region->name : _ ("unnamed"),
                          region->rgba[3] ? region->rgba : NULL);
  }
  return table;
}

static void
add_warnings (TessVolume *volume, const Drawing *d, const TessDicomStructures *structures)
{
  const guint n[] = {structures->n_other, structures->n_bad, d->n_skew, d->n_beyond};
  char *sentences[] = {
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u point or open line encloses nothing and is left out.",
                                    "%u points and open lines enclose nothing and are left out.", n[0]),
                       n[0]),
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u contour is damaged and left out.",
                                    "%u contours are damaged and left out.", n[1]),
                       n[1]),
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u contour does not lie in the plane of a slice and is left out.",
                                    "%u contours do not lie in the planes of slices and are left out.", n[2]),
                       n[2]),
      g_strdup_printf (g_dngettext (GETTEXT_PACKAGE, "%u contour lies beyond the scan's slices and is left out.",
                                    "%u contours lie beyond the scan's slices and are left out.", n[3]),
                       n[3]),
  };

  for (guint i = 0; i < d->series->warnings->len; i++)
    tess_volume_add_warning (volume, g_ptr_array_index (d->series->warnings, i));
  if (structures->renumbered)
    tess_volume_add_warning (volume, _ ("Regions are numbered anew, from 1: their own numbers are no label values."));
  for (guint i = 0; i < G_N_ELEMENTS (n); i++) {
    if (n[i] > 0)
      tess_volume_add_warning (volume, sentences[i]);
    g_free (sentences[i]);
  }
}

/**
 * tess_dicom_structures_load:
 *
 * A label volume on the grid of the scan the contours were drawn on. Values are the regions' numbers, names and colours
 * the regions' own; regions that overlap go to further channels (tess_dicom_layers_paint()).
 *
 * A voxel belongs to a region when its centre lies inside an odd number of the region's closed contours on its slice
 * (even-odd rule): a contour inside another is a hole, and a keyhole's two coinciding lines cancel. A centre exactly on
 * a line belongs to what lies right of it, or below it.
 */
TessVolume *
tess_dicom_structures_load (TessDicomSeries *series, const TessDicomListener *listener, GError **error)
{
  const TessDicomFile *file = ((TessDicomFrame *)g_ptr_array_index (series->frames, 0))->file;
  const TessDicomStructures *structures = file->structures;
  g_autoptr (GArray) segments = g_array_new (FALSE, TRUE, sizeof (TessDicomSegment));
  g_autoptr (TessLabelTable) table = read_labels (structures);
  g_autoptr (TessVolume) volume = NULL;
  Drawing d = {.series = series};

  if (!series->points)
    series->points = tess_dicom_contour_points (file, listener->progress, error);
  if (!series->points || !tess_dicom_layers_fit (series, file->path, TESS_DTYPE_U8, 1, error))
    return NULL;
  d.points = series->points;
  d.slices = g_array_new (FALSE, FALSE, sizeof (Slice));
  find_slices (&d);
  for (guint r = 0; r < structures->regions->len; r++) {
    const TessDicomRegion *region = g_ptr_array_index (structures->regions, r);
    Drawn *drawn = draw_region (&d, region);

    g_array_append_val (
        segments, ((TessDicomSegment){.number = region->value, .n_planes = drawn->starts->len - 1, .data = drawn}));
  }
  volume = tess_dicom_layers_paint (series, segments, contour_mask, &d, file->path, listener->progress, error);
  for (guint s = 0; s < segments->len; s++)
    drawn_free (g_array_index (segments, TessDicomSegment, s).data);
  g_array_unref (d.slices);
  if (!volume)
    return NULL;
  tess_volume_set_intent (volume, TESS_INTENT_LABEL);
  tess_volume_set_labels (volume, table);
  add_warnings (volume, &d, structures);
  return g_steal_pointer (&volume);
}
