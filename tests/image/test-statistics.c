/* Statistics of many blocks: the bits of adding up every block in its order, whatever runs side by side, and whether
 * counted at the end or while the volume is on its way. What the numbers are is compared with NumPy in test-core. */
#include "tess-statistics.h"
#include "tess-parallel.h"

#include <math.h>
#include <string.h>

#define NX 130
#define NY 127
#define NZ 19
#define CHANNELS 2 /* 38.3 blocks of 16384 */
#define BLOCK 16384

static TessVolume *
make_volume (TessDType dtype, double slope, double intercept)
{
  const gint64 dim[3] = {NX, NY, NZ};
  TessAffine affine = tess_affine_identity ();
  TessVolume *volume = tess_volume_new (dtype, dim, CHANNELS, &affine, NULL);
  gsize size = tess_dtype_size (dtype), n = tess_volume_n_bytes (volume) / size;
  guint8 *data = tess_volume_data_mut (volume);
  guint32 random = 7;

  for (gsize i = 0; i < n; i++) {
    random = random * 1664525u + 1013904223u;
    if (dtype == TESS_DTYPE_F32) {
      float value = (float)(random >> 8) * 0x1p-20f - 3.0f;

      memcpy (data + 4 * i, &value, 4);
    } else if (dtype == TESS_DTYPE_F64) {
      double value = (double)random * 0x1p-25 - 3.0;

      memcpy (data + 8 * i, &value, 8);
    } else {
      for (gsize k = 0; k < size; k++)
        data[i * size + k] = (guint8)(random >> (8 + 8 * (k % 3)));
    }
  }
  tess_volume_set_scaling (volume, slope, intercept);
  return volume;
}

/* One value after the other. */
static TessStatistics
plain (const TessVolume *volume)
{
  TessStatistics s = {.min = INFINITY, .max = -INFINITY};
  gsize total = (gsize)(tess_volume_n_voxels (volume) * tess_volume_n_channels (volume));
  double mean = 0.0, m2 = 0.0;

  for (gsize first = 0; first < total; first += BLOCK) {
    gsize n = MIN (BLOCK, total - first);
    double sum = 0.0, block_mean, block_m2 = 0.0, k = 0.0, before = (double)s.n_finite;

    for (gsize i = 0; i < n; i++) {
      double v;

      tess_volume_values_f64 (volume, first + i, 1, &v);
      if (!isfinite (v)) {
        s.n_not_finite++;
        continue;
      }
      k += 1.0;
      sum += v;
      s.min = fmin (s.min, v);
      s.max = fmax (s.max, v);
    }
    if (k == 0.0)
      continue;
    block_mean = sum / k;
    for (gsize i = 0; i < n; i++) {
      double v;

      tess_volume_values_f64 (volume, first + i, 1, &v);
      if (isfinite (v))
        block_m2 += (v - block_mean) * (v - block_mean);
    }
    m2 += block_m2 + (block_mean - mean) * (block_mean - mean) * (before * k / (before + k));
    mean += (block_mean - mean) * (k / (before + k));
    s.n_finite += (gint64)k;
  }
  s.mean = mean;
  s.std = sqrt (m2 / (double)s.n_finite);
  return s;
}

static void
assert_same (const TessStatistics *a, const TessStatistics *b)
{
  g_assert_cmpint (a->n_finite, ==, b->n_finite);
  g_assert_cmpint (a->n_not_finite, ==, b->n_not_finite);
  g_assert_true (a->min == b->min && a->max == b->max);
  g_assert_true (a->mean == b->mean && a->std == b->std);
}

static void
test_bits (void)
{
  static const struct {
    TessDType dtype;
    double slope, intercept;
  } cases[] = {
      {TESS_DTYPE_I16, 1.0, 0.0},    {TESS_DTYPE_I16, 1.0, -1024.0}, {TESS_DTYPE_U8, 0.1, 3.0},
      {TESS_DTYPE_U16, 1.0, 0.25},   {TESS_DTYPE_I8, -2.0, 0.0},     {TESS_DTYPE_I64, 1.0, 0.0},
      {TESS_DTYPE_U32, 1e-3, 1e6},   {TESS_DTYPE_F32, 1.0, 0.0},     {TESS_DTYPE_F64, 1.0, 0.0},
      {TESS_DTYPE_F64, 3.7, -100.0},
  };

  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (TessVolume) volume = make_volume (cases[i].dtype, cases[i].slope, cases[i].intercept);
    TessStatistics expected = plain (volume), s;

    for (guint threads = 1; threads <= 3; threads++) {
      tess_parallel_set_threads (threads);
      g_assert_true (tess_volume_statistics (volume, -1, NULL, &s, NULL));
      assert_same (&s, &expected);
    }
  }
  tess_parallel_set_threads (0);
}

/* Values that are no numbers, among blocks without any. */
static void
test_holes (void)
{
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_F32, 1.0, 0.0);
  float *data = tess_volume_data_mut (volume);
  TessStatistics expected, s;

  data[3] = NAN;
  data[9 * BLOCK + 5] = INFINITY;
  data[9 * BLOCK + 6] = -INFINITY;
  for (gsize i = 20 * BLOCK; i < 21 * BLOCK; i++)
    data[i] = NAN;
  expected = plain (volume);
  g_assert_cmpint (expected.n_not_finite, ==, 3 + BLOCK);
  g_assert_true (tess_volume_statistics (volume, -1, NULL, &s, NULL));
  assert_same (&s, &expected);
}

static void
test_follow (void)
{
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_I16, 1.0, -5.0);
  gint64 n = tess_volume_n_slices (volume);
  TessStatistics expected = plain (volume), s;

  for (gint64 step = 1; step <= n; step += 6) {
    g_autoptr (TessStatisticsRun) run = NULL;

    tess_volume_set_watermark (volume, step);
    run = tess_statistics_follow (volume);
    for (gint64 at = step; at <= n; at += step) {
      tess_volume_set_watermark (volume, at);
      tess_statistics_run_advance (run);
    }
    g_assert_true (tess_statistics_run_finish (run, volume, NULL, &s, NULL));
    assert_same (&s, &expected);
  }
}

/* Another volume than was followed is loaded in the end: it is counted itself. Nor does it matter when a run is given
 * up. */
static void
test_follow_changed (void)
{
  g_autoptr (TessVolume) volume = make_volume (TESS_DTYPE_U8, 1.0, 0.0), other = make_volume (TESS_DTYPE_F32, 1.0, 0.0);
  g_autoptr (TessStatisticsRun) replaced = tess_statistics_follow (volume), cancelled = tess_statistics_follow (volume),
                                left = tess_statistics_follow (volume);
  g_autoptr (TessProgress) progress = tess_progress_new ();
  g_autoptr (GError) error = NULL;
  TessStatistics expected = plain (other), s;

  g_assert_true (tess_statistics_run_finish (replaced, other, NULL, &s, NULL));
  assert_same (&s, &expected);
  tess_progress_cancel (progress);
  g_assert_false (tess_statistics_run_finish (cancelled, volume, progress, &s, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/image/statistics/bits", test_bits);
  g_test_add_func ("/image/statistics/holes", test_holes);
  g_test_add_func ("/image/statistics/follow", test_follow);
  g_test_add_func ("/image/statistics/follow-changed", test_follow_changed);
  return g_test_run ();
}
