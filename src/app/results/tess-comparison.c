#include "tess-comparison.h"

#include "tess-parallel.h"
#include "tess-statistics.h"

#include <glib/gi18n-lib.h>
#include <math.h>

void
tess_comparison_free (TessComparison *comparison)
{
  if (!comparison)
    return;
  g_clear_pointer (&comparison->rows, g_array_unref);
  g_free (comparison);
}

double
tess_volume_difference (double reference, double prediction)
{
  return reference > 0.0 ? 100.0 * (prediction - reference) / reference : NAN;
}

/* Adds a volume's values above 0 to the sorted array. */
static gboolean
add_values (const TessVolume *volume, GArray *labels, GError **error)
{
  g_autoptr (GArray) values = NULL;
  g_autoptr (GArray) counts = NULL;
  guint at = 0;

  if (!tess_volume_label_counts (volume, &values, &counts, error))
    return FALSE;
  for (guint i = 0; i < values->len; i++) {
    gint64 value = g_array_index (values, gint64, i);

    if (value <= 0)
      continue;
    while (at < labels->len && g_array_index (labels, gint64, at) < value)
      at++;
    if (at == labels->len || g_array_index (labels, gint64, at) != value)
      g_array_insert_val (labels, at, value);
  }
  return TRUE;
}

/* A mean over what is defined. */
typedef struct {
  double sum;
  guint n;
} Mean;

static void
mean_add (Mean *mean, double value)
{
  if (isnan (value))
    return;
  mean->sum += value;
  mean->n++;
}

static double
mean_get (const Mean *mean)
{
  return mean->n ? mean->sum / mean->n : NAN;
}

/**
 * tess_comparison_new:
 * @reference: label map, one channel
 * @prediction: label map on the same grid
 * @progress: (nullable): advances with every label
 *
 * Dice, IoU, HD95 (mm) and volumes (mm^3) of every label above 0 that occurs in either map (tess_metrics_compute() says
 * how), and their means over the labels, each over those where it is defined.
 *
 * Returns: (transfer full): NULL with MISMATCH (grids, channels, values that are no labels), NO_MEMORY or CANCELLED.
 */
TessComparison *
tess_comparison_new (const TessVolume *reference, const TessVolume *prediction, TessProgress *progress, GError **error)
{
  g_autoptr (TessComparison) comparison = g_new0 (TessComparison, 1);
  g_autoptr (GArray) labels = g_array_new (FALSE, FALSE, sizeof (gint64));
  Mean dice = {0}, iou = {0}, hd95 = {0};
  TessLabelMetrics m;

  comparison->rows = g_array_new (FALSE, FALSE, sizeof (TessLabelMetrics));
  /* Grids first: it is the more telling sentence, and it comes at once. */
  if (!tess_metrics_compute (reference, prediction, 1, FALSE, &m, error) || !add_values (reference, labels, error) ||
      !add_values (prediction, labels, error))
    return NULL;
  for (guint i = 0; i < labels->len; i++) {
    if (!tess_progress_check (progress, error) ||
        !tess_metrics_compute (reference, prediction, g_array_index (labels, gint64, i), TRUE, &m, error))
      return NULL;
    g_array_append_val (comparison->rows, m);
    mean_add (&dice, m.dice);
    mean_add (&iou, m.iou);
    mean_add (&hd95, m.hd95);
    comparison->volume_reference += m.volume_reference;
    comparison->volume_prediction += m.volume_prediction;
    tess_progress_set (progress, (double)(i + 1) / labels->len);
  }
  comparison->dice = mean_get (&dice);
  comparison->iou = mean_get (&iou);
  comparison->hd95 = mean_get (&hd95);
  return g_steal_pointer (&comparison);
}

const char *
tess_difference_name (TessDifference kind)
{
  static const char *const names[TESS_N_DIFFERENCES] = {
      N_ ("background"), N_ ("agree"), N_ ("only in prediction"), N_ ("only in reference"), N_ ("another label"),
  };

  return _ (names[kind]);
}

/* Agreement stays quiet; the two ways to be wrong lie apart for every kind of colour vision (orange, violet). */
const guint8 *
tess_difference_colour (TessDifference kind)
{
  static const guint8 colours[TESS_N_DIFFERENCES][4] = {
      {0, 0, 0, 0}, {132, 158, 134, 255}, {230, 126, 34, 255}, {155, 89, 214, 255}, {240, 228, 66, 255},
  };

  return colours[kind];
}

typedef struct {
  const TessVolume *reference, *prediction;
  gint64 label;
  const gint64 *dim;
  guint8 *out;
} Difference;

static void
difference_rows (gsize begin, gsize end, gpointer user_data)
{
  const Difference *d = user_data;
  gint64 n = d->dim[0];
  g_autofree gint32 *r = g_new (gint32, (gsize)n);
  g_autofree gint32 *p = g_new (gint32, (gsize)n);

  for (gsize row = begin; row < end; row++) {
    gint64 y = (gint64)row % d->dim[1], z = (gint64)row / d->dim[1];
    guint8 *out = d->out + (gint64)row * n;

    tess_volume_row_i32 (d->reference, 0, y, z, 0, n, r);
    tess_volume_row_i32 (d->prediction, 0, y, z, 0, n, p);
    for (gint64 x = 0; x < n; x++) {
      gboolean in_r = d->label ? r[x] == d->label : r[x] > 0, in_p = d->label ? p[x] == d->label : p[x] > 0;

      if (in_r && in_p)
        out[x] = d->label || r[x] == p[x] ? TESS_DIFFERENCE_AGREE : TESS_DIFFERENCE_OTHER;
      else
        out[x] = in_p ? TESS_DIFFERENCE_PREDICTION : in_r ? TESS_DIFFERENCE_REFERENCE : TESS_DIFFERENCE_NONE;
    }
  }
}

/**
 * tess_difference_new:
 * @label: the label to compare, or 0 for all of them at once
 *
 * Where two label maps agree and where they do not, as a label volume of TessDifference values {x,y,z}.
 *
 * Returns: (transfer full): NULL with MISMATCH (grids, channels), NO_MEMORY or CANCELLED.
 */
TessVolume *
tess_difference_new (const TessVolume *reference, const TessVolume *prediction, gint64 label, TessProgress *progress,
                     GError **error)
{
  g_autoptr (TessVolume) out = NULL;
  g_autoptr (TessLabelTable) table = tess_label_table_new ();
  const gint64 *dim = tess_volume_dim (reference);
  TessLabelMetrics same_grid;
  Difference d = {.reference = reference, .prediction = prediction, .label = label, .dim = dim};

  if (!tess_metrics_compute (reference, prediction, MAX (label, 1), FALSE, &same_grid, error) ||
      !tess_progress_check (progress, error))
    return NULL;
  out = tess_volume_new (TESS_DTYPE_U8, dim, 1, tess_volume_affine (reference), error);
  if (!out)
    return NULL;
  d.out = tess_volume_data_mut (out);
  tess_parallel_for ((gsize)(dim[1] * dim[2]), 64, difference_rows, &d);
  for (guint kind = TESS_DIFFERENCE_AGREE; kind < TESS_N_DIFFERENCES; kind++)
    tess_label_table_add (table, kind, tess_difference_name (kind), tess_difference_colour (kind));
  tess_volume_set_intent (out, TESS_INTENT_LABEL);
  tess_volume_set_labels (out, table);
  return g_steal_pointer (&out);
}
