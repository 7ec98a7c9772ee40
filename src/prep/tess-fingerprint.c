#include "tess-fingerprint.h"
#include "tess-statistics.h"

#include <math.h>
#include <stdlib.h>

#define VALUES_PER_CASE 100000u
#define INDEXED_PER_CLASS 10000u    /* as a decoded case's index of foreground voxels, see tess-case.h */
#define VALUES_PER_CHANNEL 8000000u /* 32 MB; more than enough for percentiles 0.5 and 99.5 */

typedef struct {
  double spacing[3]; /* mm */
  gint64 dim[3];
  guint64 bytes;
  guint64 foreground; /* voxels; without a label all that may be */
} Case;

struct _TessFingerprint {
  guint n_channels;
  GArray *cases;   /* Case */
  GArray **values; /* [n_channels] float: foreground intensities */
  guint thinning;  /* of how many foreground voxels one is kept, over all cases */
};

/* n_channels: of every case to come. */
TessFingerprint *
tess_fingerprint_new (guint n_channels)
{
  TessFingerprint *f = g_new0 (TessFingerprint, 1);

  f->n_channels = n_channels;
  f->cases = g_array_new (FALSE, FALSE, sizeof (Case));
  f->values = g_new0 (GArray *, n_channels);
  for (guint c = 0; c < n_channels; c++)
    f->values[c] = g_array_new (FALSE, FALSE, sizeof (float));
  f->thinning = 1;
  return f;
}

void
tess_fingerprint_free (TessFingerprint *f)
{
  if (!f)
    return;
  g_array_unref (f->cases);
  for (guint c = 0; c < f->n_channels; c++)
    g_array_unref (f->values[c]);
  g_free (f->values);
  g_free (f);
}

static gint64
count_foreground (const TessVolume *label, gint32 *row)
{
  const gint64 *dim = tess_volume_dim (label);
  gint64 n = 0;

  for (gint64 z = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++) {
      tess_volume_row_i32 (label, 0, y, z, 0, dim[0], row);
      for (gint64 x = 0; x < dim[0]; x++)
        n += row[x] > 0;
    }
  return n;
}

/* Appends `keep` of the image's `n` foreground values, evenly spaced in scan order; what is not finite is left out. */
static void
collect (const TessVolume *image, const TessVolume *label, gint64 n, gint64 keep, gint32 *labels, float *row,
         GArray *values)
{
  const gint64 *dim = tess_volume_dim (label);
  gint64 rest = 0;

  for (gint64 z = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++) {
      gboolean loaded = FALSE;

      tess_volume_row_i32 (label, 0, y, z, 0, dim[0], labels);
      for (gint64 x = 0; x < dim[0]; x++) {
        if (labels[x] <= 0)
          continue;
        rest += keep;
        if (rest < n)
          continue;
        rest -= n;
        if (!loaded)
          tess_volume_row_f32 (image, 0, y, z, 0, dim[0], row);
        loaded = TRUE;
        if (isfinite (row[x]))
          g_array_append_val (values, row[x]);
      }
    }
}

/* Keeps every second value of every channel, so that memory stays bounded and every case its share. */
static void
thin (TessFingerprint *f)
{
  for (guint c = 0; c < f->n_channels; c++) {
    float *v = (float *)(void *)f->values[c]->data;
    guint n = f->values[c]->len / 2;

    for (guint i = 0; i < n; i++)
      v[i] = v[2 * i];
    g_array_set_size (f->values[c], n);
  }
  f->thinning *= 2;
}

/* label may be NULL (shape and spacing only). Errors: MISMATCH when the volumes are not on one grid's voxels. */
gboolean
tess_fingerprint_add (TessFingerprint *f, TessVolume *const *images, const TessVolume *label, GError **error)
{
  const gint64 *dim = tess_volume_dim (images[0]);
  Case entry = {.dim = {dim[0], dim[1], dim[2]}, .bytes = label ? tess_volume_n_bytes (label) : 0};
  g_autofree gint32 *labels = g_try_new (gint32, dim[0]);
  g_autofree float *row = g_try_new (float, dim[0]);
  gint64 n, keep;

  if (!labels || !row) {
    g_set_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY, _ ("there is no memory for a row of the scan"));
    return FALSE;
  }
  for (guint c = 0; c < f->n_channels; c++) {
    entry.bytes += tess_volume_n_bytes (images[c]);
    if (memcmp (tess_volume_dim (images[c]), dim, sizeof entry.dim) != 0 ||
        (label && memcmp (tess_volume_dim (label), dim, sizeof entry.dim) != 0)) {
      g_set_error (error, TESS_ERROR, TESS_ERROR_MISMATCH,
                   _ ("the channels and the label of a case differ in size; they must be on one grid"));
      return FALSE;
    }
  }
  tess_affine_spacing (tess_volume_affine (images[0]), entry.spacing);
  n = label ? count_foreground (label, labels) : dim[0] * dim[1] * dim[2];
  entry.foreground = (guint64)n;
  g_array_append_val (f->cases, entry);
  if (!label)
    return TRUE;
  keep = MIN (n / f->thinning, VALUES_PER_CASE);
  for (guint c = 0; c < f->n_channels && keep > 0; c++)
    collect (images[c], label, n, keep, labels, row, f->values[c]);
  if (f->n_channels > 0 && f->values[0]->len > VALUES_PER_CHANNEL)
    thin (f);
  return TRUE;
}

guint
tess_fingerprint_n_cases (const TessFingerprint *f)
{
  return f->cases->len;
}

static const Case *
case_at (const TessFingerprint *f, guint i)
{
  return &g_array_index (f->cases, Case, i);
}

static int
compare_doubles (const void *a, const void *b)
{
  double x = *(const double *)a, y = *(const double *)b;

  return (x > y) - (x < y);
}

/* Percentile q in [0,100] by linear interpolation between the order statistics (NumPy's default). */
static double
percentile (double *values, guint n, double q)
{
  double at = q / 100.0 * (double)(n - 1);
  guint i = (guint)at;

  qsort (values, n, sizeof *values, compare_doubles);
  return i + 1 < n ? values[i] + (at - (double)i) * (values[i + 1] - values[i]) : values[n - 1];
}

static double
spacing_percentile (const TessFingerprint *f, guint axis, double q)
{
  g_autofree double *values = g_new (double, f->cases->len);

  for (guint i = 0; i < f->cases->len; i++)
    values[i] = case_at (f, i)->spacing[axis];
  return percentile (values, f->cases->len, q);
}

/* mm along the index axes; needs at least one case, as everything below. */
void
tess_fingerprint_median_spacing (const TessFingerprint *f, double spacing[3])
{
  g_return_if_fail (f->cases->len > 0);
  for (guint a = 0; a < 3; a++)
    spacing[a] = spacing_percentile (f, a, 50.0);
}

void
tess_fingerprint_target_spacing (const TessFingerprint *f, double spacing[3])
{
  g_autofree double *values = g_new (double, MAX (f->cases->len, 1));
  double size[3], others = 0.0, fewest = INFINITY;
  guint worst = 0;

  g_return_if_fail (f->cases->len > 0);
  tess_fingerprint_median_spacing (f, spacing);
  for (guint a = 0; a < 3; a++) {
    for (guint i = 0; i < f->cases->len; i++)
      values[i] = (double)case_at (f, i)->dim[a];
    size[a] = percentile (values, f->cases->len, 50.0);
    if (spacing[a] > spacing[worst])
      worst = a;
  }
  for (guint a = 0; a < 3; a++)
    if (a != worst) {
      others = MAX (others, spacing[a]);
      fewest = MIN (fewest, size[a]);
    }
  if (spacing[worst] > 3.0 * others && size[worst] * 3.0 < fewest)
    spacing[worst] = MAX (spacing_percentile (f, worst, 10.0), others + 1e-5);
}

static double
respaced (const Case *c, guint axis, double spacing)
{
  return MAX (rint ((double)c->dim[axis] * c->spacing[axis] / spacing), 1.0);
}

void
tess_fingerprint_median_shape (const TessFingerprint *f, const double spacing[3], double shape[3])
{
  g_autofree double *values = g_new (double, MAX (f->cases->len, 1));

  g_return_if_fail (f->cases->len > 0);
  for (guint a = 0; a < 3; a++) {
    for (guint i = 0; i < f->cases->len; i++)
      values[i] = respaced (case_at (f, i), a, spacing[a]);
    shape[a] = percentile (values, f->cases->len, 50.0);
  }
}

void
tess_fingerprint_max_shape (const TessFingerprint *f, const double spacing[3], double shape[3])
{
  for (guint a = 0; a < 3; a++) {
    shape[a] = 0.0;
    for (guint i = 0; i < f->cases->len; i++)
      shape[a] = MAX (shape[a], respaced (case_at (f, i), a, spacing[a]));
  }
}

guint64
tess_fingerprint_bytes (const TessFingerprint *f)
{
  guint64 sum = 0;

  for (guint i = 0; i < f->cases->len; i++)
    sum += case_at (f, i)->bytes;
  return sum;
}

guint64
tess_fingerprint_largest_case (const TessFingerprint *f)
{
  guint64 largest = 0;

  for (guint i = 0; i < f->cases->len; i++)
    largest = MAX (largest, case_at (f, i)->bytes);
  return largest;
}

guint64
tess_fingerprint_cached_bytes (const TessFingerprint *f, guint n_labels, guint64 *largest_case)
{
  guint64 sum = 0;

  *largest_case = 0;
  for (guint i = 0; i < f->cases->len; i++) {
    const Case *c = case_at (f, i);
    guint64 bytes = c->bytes + 8 * MIN (c->foreground, (guint64)INDEXED_PER_CLASS * MAX (n_labels, 1));

    sum += bytes;
    *largest_case = MAX (*largest_case, bytes);
  }
  return sum;
}

/* Real values (HU for CT). The order of the kept values changes. */
gboolean
tess_fingerprint_intensity (TessFingerprint *f, guint channel, double *mean, double *std, double *p005, double *p995)
{
  GArray *values = channel < f->n_channels ? f->values[channel] : NULL;
  float *v;
  double sum = 0.0, squares = 0.0;

  if (!values || values->len == 0)
    return FALSE;
  v = (float *)(void *)values->data;
  for (guint i = 0; i < values->len; i++)
    sum += v[i];
  *mean = sum / values->len;
  for (guint i = 0; i < values->len; i++)
    squares += ((double)v[i] - *mean) * ((double)v[i] - *mean);
  *std = sqrt (squares / values->len);
  *p005 = tess_percentile (v, values->len, 0.5);
  *p995 = tess_percentile (v, values->len, 99.5);
  return TRUE;
}
