#include "tess-study-private.h"

#include <inttypes.h>
#include <math.h>

#define MAX_LABELS 65536

/* One label while the volume is walked through. */
typedef struct {
  gint64 value, n;
  double sum[3];  /* of voxel indices */
  double nearest; /* squared distance (mm^2) of `at` from the centroid */
  double at[3];   /* voxel index */
} Tally;

void
tess_survey_free (TessSurvey *survey)
{
  if (!survey)
    return;
  g_clear_pointer (&survey->facts, g_array_unref);
  g_clear_pointer (&survey->labels, tess_label_table_unref);
  g_free (survey);
}

/* A CT's 0.5th percentile is air and its 99.5th tissue or bone; nothing else in common use looks so. */
static gboolean
looks_hounsfield (double lower, double upper)
{
  return lower <= -300.0 && lower >= -4096.0 && upper >= 0.0 && upper <= 4096.0;
}

TessSurvey *
tess_survey_new_quick (const TessLayer *layer)
{
  TessSurvey *survey = g_new0 (TessSurvey, 1);

  survey->lower = layer->lower;
  survey->upper = layer->upper;
  survey->hounsfield = layer->lut != TESS_LUT_LABELS && looks_hounsfield (layer->lower, layer->upper);
  return survey;
}

static Tally *
find_tally (GHashTable *table, gint64 value)
{
  Tally *tally = g_hash_table_lookup (table, &value);

  if (!tally) {
    tally = g_new0 (Tally, 1);
    tally->value = value;
    tally->nearest = INFINITY;
    g_hash_table_insert (table, &tally->value, tally);
  }
  return tally;
}

typedef gboolean (*RunFunc) (GHashTable *table, gint64 value, const gint64 start[3], gint64 n, gconstpointer data);

static gboolean
count_run (GHashTable *table, gint64 value, const gint64 start[3], gint64 n, gconstpointer data)
{
  Tally *tally = find_tally (table, value);

  tally->n += n;
  tally->sum[0] += (double)n * ((double)start[0] + 0.5 * (double)(n - 1));
  tally->sum[1] += (double)n * (double)start[1];
  tally->sum[2] += (double)n * (double)start[2];
  return g_hash_table_size (table) <= MAX_LABELS;
}

/* Of the run's voxels the one nearest to the centroid; distances along the index axes scaled by the spacing. */
static gboolean
centre_run (GHashTable *table, gint64 value, const gint64 start[3], gint64 n, gconstpointer data)
{
  const double *spacing = data;
  Tally *tally = find_tally (table, value);
  double p[3], distance = 0.0;

  for (int a = 0; a < 3; a++) {
    double centroid = tally->sum[a] / (double)tally->n;

    p[a] = (double)start[a];
    if (a == 0)
      p[0] = CLAMP (floor (centroid + 0.5), p[0], p[0] + (double)(n - 1));
    distance += (p[a] - centroid) * (p[a] - centroid) * spacing[a] * spacing[a];
  }
  if (distance < tally->nearest) {
    tally->nearest = distance;
    for (int a = 0; a < 3; a++)
      tally->at[a] = p[a];
  }
  return TRUE;
}

/* Calls @func for every run of equal labels above 0 along x. NaN counts as 0. */
static gboolean
walk (const TessLayer *layer, GHashTable *table, RunFunc func, gconstpointer data, TessProgress *progress,
      GError **error)
{
  const gint64 *dim = tess_volume_dim (layer->volume);
  g_autofree double *row = g_new (double, dim[0]);
  gsize first = (gsize)(layer->channel * tess_volume_n_voxels (layer->volume));
  gint64 at[3];

  for (at[2] = 0; at[2] < dim[2]; at[2]++) {
    if (!tess_progress_check (progress, error))
      return FALSE;
    for (at[1] = 0; at[1] < dim[1]; at[1]++, first += (gsize)dim[0]) {
      tess_volume_values_f64 (layer->volume, first, (gsize)dim[0], row);
      for (gint64 x = 0, n; x < dim[0]; x += n) {
        double value = row[x];

        for (n = 1; x + n < dim[0] && row[x + n] == value;)
          n++;
        if (value == 0.0 || isnan (value))
          continue;
        if (!(fabs (value) <= 0x1p31) || value != floor (value)) {
          g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                       _ ("the value %g is not a whole number, so these are no labels; open it as a scan instead"),
                       value);
          return FALSE;
        }
        at[0] = x;
        if (value > 0.0 && !func (table, (gint64)value, at, n, data)) {
          g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                       _ ("it holds more than %d different values, so these are no labels; open it as a scan instead"),
                       MAX_LABELS);
          return FALSE;
        }
      }
    }
  }
  return TRUE;
}

static gint
compare_facts (gconstpointer a, gconstpointer b)
{
  gint64 x = ((const TessLabelFact *)a)->value, y = ((const TessLabelFact *)b)->value;

  return (x > y) - (x < y);
}

static gboolean
survey_labels (TessSurvey *survey, const TessLayer *layer, TessProgress *progress, GError **error)
{
  g_autoptr (GHashTable) table = g_hash_table_new_full (g_int64_hash, g_int64_equal, NULL, g_free);
  const TessAffine *affine = tess_volume_affine (layer->volume);
  double spacing[3], voxel = fabs (tess_affine_determinant (affine));
  GHashTableIter iter;
  gpointer value;

  tess_affine_spacing (affine, spacing);
  if (!walk (layer, table, count_run, NULL, progress, error) ||
      !walk (layer, table, centre_run, spacing, progress, error))
    return FALSE;
  survey->facts = g_array_new (FALSE, TRUE, sizeof (TessLabelFact));
  g_hash_table_iter_init (&iter, table);
  while (g_hash_table_iter_next (&iter, NULL, &value)) {
    const Tally *tally = value;
    TessLabelFact fact = {.value = tally->value, .n_voxels = tally->n, .volume = (double)tally->n * voxel};

    tess_affine_apply (affine, tally->at, fact.centre);
    g_array_append_val (survey->facts, fact);
  }
  g_array_sort (survey->facts, compare_facts);
  return TRUE;
}

/* A new table: what the file says, and a name and colour for every other value that occurs. */
static TessLabelTable *
complete_table (TessLabelTable *given, GArray *facts)
{
  TessLabelTable *table = tess_label_table_new ();

  for (guint i = 0; i < tess_label_table_n (given); i++) {
    const TessLabel *label = tess_label_table_peek (given, i);

    tess_label_table_add (table, label->value, label->name, label->rgba);
  }
  for (guint i = 0; i < facts->len; i++) {
    gint64 value = g_array_index (facts, TessLabelFact, i).value;

    if (!tess_label_table_find (table, value)) {
      g_autofree char *name = g_strdup_printf (_ ("label %" PRId64), value);

      tess_label_table_add (table, value, name, NULL);
    }
  }
  return table;
}

/**
 * tess_survey_new:
 *
 * Looks through a layer's volume: for labels the count, volume (mm^3) and a voxel in the middle of every value above 0,
 * and a table that names and colours all of them; for images the robust window. MISMATCH when a label layer holds
 * something that is no label.
 */
TessSurvey *
tess_survey_new (const TessLayer *layer, TessProgress *progress, GError **error)
{
  g_autoptr (TessSurvey) survey = tess_survey_new_quick (layer);

  if (layer->lut == TESS_LUT_LABELS) {
    if (!survey_labels (survey, layer, progress, error))
      return NULL;
    survey->labels = complete_table (layer->labels, survey->facts);
  }
  return g_steal_pointer (&survey);
}
