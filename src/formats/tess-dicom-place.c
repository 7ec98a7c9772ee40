/* Where slices go: their order, their distance, what repeats, and what a user should know about it. */
#include "tess-dicom-private.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* Slices of one place. */
typedef struct {
  guint first, n;
  double along;
} Place;

static void warn (TessDicomSeries *series, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
warn (TessDicomSeries *series, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  g_ptr_array_add (series->warnings, g_strdup_vprintf (format, args));
  va_end (args);
}

static TessDicomFrame *
frame_at (TessDicomSeries *series, guint i)
{
  return g_ptr_array_index (series->frames, i);
}

static int
compare_keys (const TessDicomFrame *a, const TessDicomFrame *b)
{
  for (int k = 0; k < TESS_DICOM_N_KEYS; k++)
    if (a->key[k] != b->key[k])
      return a->key[k] < b->key[k] ? -1 : 1;
  return strcmp (a->file->path, b->file->path);
}

static int
by_keys (gconstpointer a, gconstpointer b)
{
  return compare_keys (*(const TessDicomFrame *const *)a, *(const TessDicomFrame *const *)b);
}

static int
by_instance (gconstpointer a, gconstpointer b)
{
  const TessDicomFrame *f = *(const TessDicomFrame *const *)a, *g = *(const TessDicomFrame *const *)b;
  double m = f->key[TESS_DICOM_N_KEYS - 1], n = g->key[TESS_DICOM_N_KEYS - 1];

  return m != n ? (m < n ? -1 : 1) : by_keys (a, b);
}

static int
by_place (gconstpointer a, gconstpointer b)
{
  const TessDicomFrame *f = *(const TessDicomFrame *const *)a, *g = *(const TessDicomFrame *const *)b;

  return f->along != g->along ? (f->along < g->along ? -1 : 1) : by_keys (a, b);
}

static int
by_double (gconstpointer a, gconstpointer b)
{
  const double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

static void
normal_of (const TessDicomFrame *frame, double n[3])
{
  const double *o = frame->orientation;
  double length;

  n[0] = o[1] * o[5] - o[2] * o[4];
  n[1] = o[2] * o[3] - o[0] * o[5];
  n[2] = o[0] * o[4] - o[1] * o[3];
  length = sqrt (n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
  for (int k = 0; k < 3; k++)
    n[k] /= length;
}

/* Sorts along the normal; frames of one place by time, echo, number. */
static GArray *
find_places (TessDicomSeries *series)
{
  GArray *places = g_array_new (FALSE, FALSE, sizeof (Place));
  TessDicomFrame *first = frame_at (series, 0);
  double normal[3], tolerance = MIN (0.01, 0.1 * MIN (first->spacing[0], first->spacing[1]));

  normal_of (first, normal);
  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = frame_at (series, i);

    frame->along = 0;
    for (int k = 0; k < 3; k++)
      frame->along += frame->position[k] * normal[k];
  }
  g_ptr_array_sort (series->frames, by_place);
  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = frame_at (series, i);
    Place *last = places->len ? &g_array_index (places, Place, places->len - 1) : NULL;

    if (last && frame->along - last->along <= tolerance)
      last->n++;
    else
      g_array_append_val (places, ((Place){i, 1, frame->along}));
  }
  for (guint p = 0; p < places->len; p++) {
    Place *place = &g_array_index (places, Place, p);

    qsort (series->frames->pdata + place->first, place->n, sizeof (gpointer), by_keys);
  }
  return places;
}

/* Something that tells pictures of one place apart: time, echo, trigger, an index; not the mere number. */
static gboolean
differ_in_time (TessDicomSeries *series, const Place *place)
{
  const TessDicomFrame *a = frame_at (series, place->first), *b = frame_at (series, place->first + 1);

  if (a->file == b->file)
    return TRUE;
  for (int k = 0; k < TESS_DICOM_N_KEYS - 1; k++)
    if (k != 2 && a->key[k] != b->key[k]) /* 2: acquisitions of one place are takes, not a time series */
      return TRUE;
  return FALSE;
}

/* How many pictures of each place become channels. */
static guint
choose_channels (TessDicomSeries *series, GArray *places)
{
  guint least = G_MAXUINT, most = 0, n_extra = 0, n_several = 0;

  for (guint p = 0; p < places->len; p++) {
    guint n = g_array_index (places, Place, p).n;

    least = MIN (least, n);
    most = MAX (most, n);
    n_several += n > 1;
  }
  if (least > 1 && places->len == 1 && !differ_in_time (series, &g_array_index (places, Place, 0)))
    series->refusal = g_strdup_printf (_ ("its %u slices all lie at one position, so that they are no volume; choose "
                                          "another series"),
                                       most);
  if (least == most)
    return most;
  for (guint p = 0; p < places->len; p++)
    n_extra += g_array_index (places, Place, p).n - least;
  if (least == 1)
    warn (series,
          g_dngettext (GETTEXT_PACKAGE, "%u slice is a duplicate (at the position of another) and is left out.",
                       "%u slices are duplicates (at the position of another) and are left out.", n_extra),
          n_extra);
  else
    warn (series, _ ("The last of the %u time points is incomplete (%u slices) and is left out."), most, n_extra);
  return least;
}

/* Gaps between neighbouring places: their median; warns of what is not even. */
static double
judge_gaps (TessDicomSeries *series, GArray *places, gboolean *even)
{
  guint n = places->len - 1, n_missing = 0;
  g_autofree double *gaps = g_new (double, n), *sorted = g_new (double, n);
  gboolean multiples = TRUE;
  double median, tolerance;

  for (guint i = 0; i < n; i++)
    sorted[i] = gaps[i] = g_array_index (places, Place, i + 1).along - g_array_index (places, Place, i).along;
  qsort (sorted, n, sizeof *sorted, by_double);
  median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
  if (n % 2 == 0 && sorted[n / 2] > 1.5 * sorted[n / 2 - 1]) /* between two kinds of gap lies none of them */
    median = sorted[n / 2 - 1];
  tolerance = MAX (0.02 * median, 0.01);
  *even = sorted[n - 1] - sorted[0] <= tolerance;
  if (*even)
    return median;
  for (guint i = 0; i < n; i++) {
    double times = gaps[i] / median;

    multiples = multiples && fabs (times - round (times)) <= 0.05 * MAX (1, round (times)) && round (times) >= 1;
    n_missing += multiples ? (guint)MIN (round (times) - 1, 1e6) : 0;
  }
  if (multiples && n_missing > 0)
    warn (series,
          g_dngettext (GETTEXT_PACKAGE,
                       "%u slice is missing (gaps of %g to %g mm); slices behind a gap appear nearer than they are.",
                       "%u slices are missing (gaps of %g to %g mm); slices behind a gap appear nearer than they are.",
                       n_missing),
          n_missing, round (sorted[0] * 1e4) / 1e4, round (sorted[n - 1] * 1e4) / 1e4);
  else
    warn (series,
          _ ("The distance between slices varies (%g to %g mm); their median, %g mm, is used, so that positions "
             "along the slices are only approximate."),
          round (sorted[0] * 1e4) / 1e4, round (sorted[n - 1] * 1e4) / 1e4, round (median * 1e4) / 1e4);
  return median;
}

static void
compare_distances (TessDicomSeries *series, double gap)
{
  const TessDicomFrame *frame = frame_at (series, 0);
  double tolerance = MAX (0.01 * gap, 0.005);

  if (frame->between > 0 && fabs (frame->between - gap) > tolerance)
    warn (series, _ ("The header gives %g mm between slices, their positions %g mm; the positions are used."),
          frame->between, round (gap * 1e4) / 1e4);
  if (frame->thickness > 0 && fabs (frame->thickness - gap) > tolerance)
    warn (series,
          frame->thickness > gap
              ? _ ("Slices are %g mm thick and %g mm apart: they overlap; the distance is used.")
              : _ ("Slices are %g mm thick and %g mm apart: there is a gap between them; the distance is used."),
          frame->thickness, round (gap * 1e4) / 1e4);
}

/* The step from slice to slice: along the line through the first and the last position, so that a tilt stays. */
static void
find_step (TessDicomSeries *series, GArray *places, double step[3])
{
  const Place *p = &g_array_index (places, Place, 0), *q = &g_array_index (places, Place, places->len - 1);
  const TessDicomFrame *a = frame_at (series, p->first), *b = frame_at (series, q->first);
  double normal[3], gap, slant = 0;
  gboolean even;

  normal_of (a, normal);
  if (places->len < 2) {
    gap = a->between > 0 ? a->between : a->thickness > 0 ? a->thickness : 1;
    for (int k = 0; k < 3; k++)
      step[k] = gap * normal[k];
    return;
  }
  gap = judge_gaps (series, places, &even);
  if (even) /* their mean is the median without the rounding of single positions */
    gap = (q->along - p->along) / (places->len - 1);
  for (int k = 0; k < 3; k++) {
    step[k] = (b->position[k] - a->position[k]) / (q->along - p->along) * gap;
    slant += (step[k] - gap * normal[k]) * (step[k] - gap * normal[k]);
  }
  slant = atan2 (sqrt (slant), gap) * 180 / G_PI;
  if (slant > 0.1)
    warn (series,
          _ ("Slices are shifted against each other (gantry tilt of %.1f degrees); the geometry keeps the shear, and "
             "tessera-cli convert --upright removes it."),
          slant);
  if (a->guessed_step)
    warn (series, _ ("The distance between slices is not given; %g mm (their thickness, or 1) is taken."), gap);
  else
    compare_distances (series, gap);
}

static void
set_affine (TessDicomSeries *series, const double step[3])
{
  const TessDicomFrame *first = frame_at (series, 0);

  for (int r = 0; r < 3; r++) {
    double sign = r < 2 ? -1 : 1; /* LPS to RAS */

    series->affine.m[r][0] = sign * first->orientation[r] * first->spacing[1];
    series->affine.m[r][1] = sign * first->orientation[3 + r] * first->spacing[0];
    series->affine.m[r][2] = sign * step[r];
    series->affine.m[r][3] = sign * first->position[r];
  }
}

/* Keeps `n` pictures of each place, channel by channel. */
static void
assign (TessDicomSeries *series, GArray *places, guint n)
{
  g_autoptr (GPtrArray) kept = g_ptr_array_new ();

  for (guint c = 0; c < n; c++)
    for (guint p = 0; p < places->len; p++) {
      const Place *place = &g_array_index (places, Place, p);
      TessDicomFrame *frame = frame_at (series, place->first + c);

      frame->z = p;
      frame->channel0 = c * frame->file->samples;
      g_ptr_array_add (kept, frame);
    }
  g_ptr_array_unref (series->frames);
  series->frames = g_steal_pointer (&kept);
}

/* Without positions slices are stacked by their numbers. */
static void
stack (TessDicomSeries *series)
{
  TessDicomFrame *first;
  double step;

  g_ptr_array_sort (series->frames, by_instance);
  first = frame_at (series, 0);
  step = first->between > 0 ? first->between : first->thickness > 0 ? first->thickness : 1;
  for (guint i = 0; i < series->frames->len; i++) {
    TessDicomFrame *frame = frame_at (series, i);

    frame->z = i;
    frame->channel0 = 0;
  }
  if (series->frames->len > 1)
    warn (series, _ ("The pictures say nothing of their position; they are stacked by their numbers, %g mm apart."),
          step);
  else
    warn (series, _ ("The picture says nothing of its position in the body."));
  set_affine (series, (double[3]){0, 0, step});
  if (!first->has_position)
    for (int r = 0; r < 3; r++)
      series->affine.m[r][3] = 0;
}

static void
judge_values (TessDicomSeries *series)
{
  TessDicomFrame *first = frame_at (series, 0);
  const TessDicomFile *file = first->file;
  static const char *const measured[] = {"CT", "PT", "NM", "MR", "RTDOSE"}; /* values mean something */
  gboolean quantity = FALSE;

  for (guint i = 0; i < G_N_ELEMENTS (measured); i++)
    quantity = quantity || strcmp (file->modality, measured[i]) == 0;
  series->inverted = strcmp (file->photometric, "MONOCHROME1") == 0 && !quantity && tess_dtype_is_integer (file->dtype);
  if (series->inverted)
    warn (series, _ ("Stored with white as 0 (MONOCHROME1); its values are inverted."));
  for (guint i = 1; i < series->frames->len; i++) {
    const TessDicomFrame *frame = frame_at (series, i);

    if (frame->slope != first->slope || frame->intercept != first->intercept)
      series->scaled = TRUE;
  }
  if (series->scaled)
    warn (series, _ ("The scaling of values differs from slice to slice; it is applied, as float32."));
  series->dtype = series->scaled ? TESS_DTYPE_F32 : file->dtype;
}

/* Frames of a segmentation: one per slice and segment, where the segment is; slices without any are left out of it. */
static void
place_segments (TessDicomSeries *series)
{
  g_autoptr (GArray) places = find_places (series);
  TessDicomFrame *first = frame_at (series, 0), *last = frame_at (series, series->frames->len - 1);
  double extent = last->along - first->along, gap = first->between, normal[3], step[3];

  normal_of (first, normal);
  if (gap <= 0)
    for (guint p = 0; p + 1 < places->len; p++) {
      double next = g_array_index (places, Place, p + 1).along - g_array_index (places, Place, p).along;

      gap = p == 0 ? next : MIN (gap, next);
    }
  if (gap <= 0)
    gap = first->thickness > 0 ? first->thickness : 1;
  for (int k = 0; k < 3; k++) /* as the scan's slices lie, tilted or not */
    step[k] = extent > 0 ? (last->position[k] - first->position[k]) / extent * gap : gap * normal[k];
  if (extent / gap > 65535)
    series->refusal = g_strdup (_ ("its slices lie too far apart for their distance; export it again"));
  else
    series->dim[2] = (gint64)round (extent / gap) + 1;
  for (guint i = 0; i < series->frames->len; i++)
    frame_at (series, i)->z = (gint64)MIN (round ((frame_at (series, i)->along - first->along) / gap), 65535);
  series->n_channels = 1;
  set_affine (series, step);
}

/**
 * tess_dicom_series_place:
 *
 * Sorts the pictures along the normal of their planes; pictures of one place become channels. The distance is the
 * median gap of positions, never the slice thickness (but for a single slice). The order of channels is time, echo,
 * acquisition, trigger, index, number.
 */
void
tess_dicom_series_place (TessDicomSeries *series)
{
  TessDicomFrame *first = frame_at (series, 0);
  const TessDicomFile *file = first->file;
  gint64 side = file->mosaic_n > 1 ? (gint64)ceil (sqrt ((double)file->mosaic_n)) : 1;

  series->is_segmentation = file->segments != NULL && (file->allocated == 1 || file->fractional);
  if (!first->has_spacing) {
    warn (series, _ ("The size of its pixels is not given; 1 mm is taken."));
    for (guint i = 0; i < series->frames->len; i++)
      frame_at (series, i)->spacing[0] = frame_at (series, i)->spacing[1] = 1;
  }
  judge_values (series);
  series->dim[0] = file->columns / side;
  series->dim[1] = file->rows / side;
  if (file->mosaic_n > 1 && (file->columns % side || file->rows % side))
    series->refusal = g_strdup (_ ("its mosaic does not divide into slices; export it again as single slices"));
  if (!first->has_orientation) {
    for (guint i = 0; i < series->frames->len; i++)
      memcpy (frame_at (series, i)->orientation, (double[6]){1, 0, 0, 0, 1, 0}, sizeof first->orientation);
  }
  if (series->is_segmentation && first->has_position && first->has_orientation) {
    place_segments (series);
  } else if (first->has_position && first->has_orientation) {
    g_autoptr (GArray) places = find_places (series);
    guint n = choose_channels (series, places);
    double step[3];

    find_step (series, places, step);
    assign (series, places, n);
    series->dim[2] = places->len;
    series->n_channels = (gint64)n * file->samples;
    set_affine (series, step);
  } else {
    stack (series);
    series->dim[2] = series->frames->len;
    series->n_channels = file->samples;
  }
}
