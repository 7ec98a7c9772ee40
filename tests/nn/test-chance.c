#include "tess-chance.h"

#include <glib.h>

/* What random ops draw has the distribution it should have, and every address its own numbers. */

#define SEED G_GUINT64_CONSTANT (0xfedcba9876543210)

static void
test_factor (void)
{
  static const float rates[] = {0.0f, 0.1f, 0.5f, 0.9f};
  enum { N = 100000 };

  for (guint k = 0; k < G_N_ELEMENTS (rates); k++) {
    double p = (double)rates[k], zeros = 0, sum = 0;

    for (gint64 c = 0; c < N; c++) {
      float f = tess_chance_factor (SEED, 7, 1, 2, c, rates[k]);

      zeros += f == 0.0f;
      sum += (double)f;
      if (f != 0.0f)
        g_assert_cmpfloat_with_epsilon (f, 1 / (1 - p), 1e-6);
    }
    g_assert_cmpfloat_with_epsilon (zeros / N, p, 5 * sqrt (p * (1 - p) / N) + 1e-9);
    g_assert_cmpfloat_with_epsilon (sum / N, 1, 5 * sqrt (p / (1 - p) / N) + 1e-6);
  }
}

static void
test_normals (void)
{
  enum { N = 200000 };
  double moments[5] = {0}, product = 0;
  guint beyond = 0; /* two standard deviations: 4.55 % */

  for (gint64 pair = 0; pair < N / 2; pair++) {
    float two[2];

    tess_chance_normals (SEED, 3, 0, 1, pair, two);
    for (guint k = 0; k < 2; k++) {
      double power = 1;

      for (guint m = 1; m < 5; m++)
        moments[m] += (power *= (double)two[k]) / N;
      beyond += fabsf (two[k]) > 2;
    }
    product += (double)two[0] * (double)two[1] / (N / 2);
  }
  g_assert_cmpfloat_with_epsilon (moments[1], 0, 0.012);
  g_assert_cmpfloat_with_epsilon (moments[2], 1, 0.016);
  g_assert_cmpfloat_with_epsilon (moments[3], 0, 0.045);
  g_assert_cmpfloat_with_epsilon (moments[4], 3, 0.12);
  g_assert_cmpfloat_with_epsilon (product, 0, 0.017);
  g_assert_cmpfloat_with_epsilon ((double)beyond / N, 0.0455, 0.0024);
}

/* Another seed, step, sample, op or element: other numbers; the same address: the same. */
static void
test_addresses (void)
{
  float all[8][2], again[2];

  tess_chance_normals (1, 1, 0, 0, 0, all[0]);
  tess_chance_normals (2, 1, 0, 0, 0, all[1]);
  tess_chance_normals (1, 2, 0, 0, 0, all[2]);
  tess_chance_normals (1, 1, 1, 0, 0, all[3]);
  tess_chance_normals (1, 1, 0, 1, 0, all[4]);
  tess_chance_normals (1, 1, 0, 0, 1, all[5]);
  tess_chance_normals (1, 1, 0, 0, G_GINT64_CONSTANT (1) << 32, all[6]);
  tess_chance_normals (1, 1, 0, 255, G_GINT64_CONSTANT (1) << 32, all[7]);
  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    for (guint j = 0; j < i; j++)
      g_assert_true (all[i][0] != all[j][0] && all[i][1] != all[j][1]);
  tess_chance_normals (1, 1, 0, 0, 0, again);
  g_assert_cmpmem (again, sizeof again, all[0], sizeof all[0]);
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/chance/factor", test_factor);
  g_test_add_func ("/nn/chance/normals", test_normals);
  g_test_add_func ("/nn/chance/addresses", test_addresses);
  return g_test_run ();
}
