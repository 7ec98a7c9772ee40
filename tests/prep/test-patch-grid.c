#include "tess-patch-grid.h"

#include "tess-philox.h"

#include <math.h>

static gint64
pick (guint32 i, guint32 what, gint64 n)
{
  TessPhilox4 r = tess_philox (7, 0, i, what, 0);

  return 1 + tess_philox_below (r.v[0], (guint32)n);
}

/* Every voxel of every shape is inside a box; counted voxel by voxel beside the room's own count. */
static void
check_covered (const TessPatchGrid *grid)
{
  gint64 n = grid->dim[0] * grid->dim[1] * grid->dim[2], covered = 0;
  g_autofree guint8 *seen = g_malloc0 (n);

  for (guint64 i = 0; i < tess_patch_grid_n (grid); i++) {
    TessBox box = tess_patch_grid_box (grid, i);

    for (guint a = 0; a < 3; a++) {
      g_assert_cmpint (box.hi[a] - box.lo[a], ==, grid->size[a]);
      if (grid->dim[a] >= grid->size[a]) {
        g_assert_cmpint (box.lo[a], >=, 0);
        g_assert_cmpint (box.hi[a], <=, grid->dim[a]);
      } else {
        gint64 before = -box.lo[a], after = box.hi[a] - grid->dim[a];

        g_assert_cmpint (before, >=, 0);
        g_assert_true (after == before || after == before + 1);
      }
    }
    for (gint64 z = MAX (box.lo[2], 0); z < MIN (box.hi[2], grid->dim[2]); z++)
      for (gint64 y = MAX (box.lo[1], 0); y < MIN (box.hi[1], grid->dim[1]); y++)
        for (gint64 x = MAX (box.lo[0], 0); x < MIN (box.hi[0], grid->dim[0]); x++)
          seen[x + grid->dim[0] * (y + grid->dim[1] * z)] = 1;
  }
  for (gint64 i = 0; i < n; i++)
    covered += seen[i];
  g_assert_cmpint (covered, ==, n);
  g_assert_cmpfloat (tess_patch_grid_coverage (grid), ==, 1.0);
}

static void
test_coverage (void)
{
  for (guint32 i = 0; i < 400; i++) {
    gint64 dim[3], size[3], stride[3];
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPatchGrid) grid = NULL, spread = NULL;

    for (guint a = 0; a < 3; a++) {
      dim[a] = pick (i, a, 23);
      size[a] = pick (i, 3 + a, 30);
      stride[a] = pick (i, 6 + a, size[a]);
    }
    grid = tess_patch_grid_new (dim, size, stride, &error);
    g_assert_no_error (error);
    if (tess_patch_grid_n (grid) < 3000)
      check_covered (grid);
    spread = tess_patch_grid_new_spread (dim, size, 0.1 * (double)pick (i, 9, 10), &error);
    g_assert_no_error (error);
    if (tess_patch_grid_n (spread) < 3000)
      check_covered (spread);
  }
}

/* A hole is a hole: the count is made from the starts, not assumed. */
static void
test_coverage_counts (void)
{
  const gint64 dim[3] = {10, 3, 3}, size[3] = {4, 3, 3}, stride[3] = {3, 3, 3};
  g_autoptr (TessPatchGrid) grid = tess_patch_grid_new (dim, size, stride, NULL);

  g_assert_cmpuint (grid->n[0], ==, 3); /* 0, 3, 6 */
  grid->start[0][1] = 0;
  g_assert_cmpfloat_with_epsilon (tess_patch_grid_coverage (grid), 0.8, 1e-15);
}

static void
assert_starts (const TessPatchGrid *grid, guint axis, const gint64 *expected, guint n)
{
  g_assert_cmpuint (grid->n[axis], ==, n);
  for (guint i = 0; i < n; i++)
    g_assert_cmpint (grid->start[axis][i], ==, expected[i]);
}

static void
test_starts (void)
{
  const gint64 dim[3] = {10, 7, 4}, size[3] = {4, 4, 9}, stride[3] = {4, 3, 2};
  const gint64 x[] = {0, 4, 6}, y[] = {0, 3}, z[] = {-2};
  g_autoptr (TessPatchGrid) grid = tess_patch_grid_new (dim, size, stride, NULL);
  TessBox box;

  assert_starts (grid, 0, x, 3);
  assert_starts (grid, 1, y, 2);
  assert_starts (grid, 2, z, 1);
  g_assert_cmpuint (tess_patch_grid_n (grid), ==, 6);
  box = tess_patch_grid_box (grid, 4); /* x fastest */
  g_assert_cmpint (box.lo[0], ==, 4);
  g_assert_cmpint (box.lo[1], ==, 3);
  g_assert_cmpint (box.hi[2], ==, 7);
}

/* Values of nnU-Net's compute_steps_for_sliding_window (the last three also ask for NumPy's half-to-even rounding). */
static void
test_spread (void)
{
  static const struct {
    gint64 dim, size;
    double step;
    guint n;
    gint64 starts[8];
  } rows[] = {
      {128, 128, 0.5, 1, {0}},    {300, 128, 0.5, 4, {0, 57, 115, 172}},
      {35, 40, 0.5, 1, {-2}},     {110, 64, 0.5, 3, {0, 23, 46}},
      {13, 8, 0.5, 3, {0, 2, 5}}, {15, 8, 0.5, 3, {0, 4, 7}},
      {9, 8, 0.25, 2, {0, 1}},
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const gint64 dim[3] = {rows[i].dim, 1, 1}, size[3] = {rows[i].size, 1, 1};
    g_autoptr (TessPatchGrid) grid = tess_patch_grid_new_spread (dim, size, rows[i].step, NULL);

    assert_starts (grid, 0, rows[i].starts, rows[i].n);
  }
}

static void
test_refused (void)
{
  const gint64 one[3] = {1, 1, 1};
  static const struct {
    gint64 dim, size, stride;
    int code;
  } rows[] = {
      {10, 4, 5, TESS_ERROR_USAGE},
      {10, 4, 0, TESS_ERROR_USAGE},
      {10, 4, -1, TESS_ERROR_USAGE},
      {10, 0, 1, TESS_ERROR_USAGE},
      {0, 4, 4, TESS_ERROR_BAD_SHAPE},
      {-3, 4, 4, TESS_ERROR_BAD_SHAPE},
      {G_MAXINT64, 4, 4, TESS_ERROR_BAD_SHAPE},
  };

  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    const gint64 dim[3] = {8, 8, rows[i].dim}, size[3] = {4, 4, rows[i].size}, stride[3] = {4, 4, rows[i].stride};
    g_autoptr (GError) error = NULL;

    g_assert_null (tess_patch_grid_new (dim, size, stride, &error));
    g_assert_error (error, TESS_ERROR, rows[i].code);
  }
  g_assert_null (tess_patch_grid_new_spread (one, one, 0.0, NULL));
  g_assert_null (tess_patch_grid_new_spread (one, one, (double)NAN, NULL));
  g_assert_null (tess_patch_grid_new_spread (one, one, 1.5, NULL));
}

static void
test_gaussian (void)
{
  const gint64 size[3] = {5, 4, 1};
  g_autofree float *w = tess_patch_weights_gaussian (size);
  const gint64 large[3] = {160, 160, 160};
  g_autofree float *l = tess_patch_weights_gaussian (large);

  /* x: exp (-d^2 / (2 (5/8)^2)), d = 2, 1, 0; y: d = 1.5, 0.5 with sigma 1/2, over its largest value. */
  g_assert_cmpfloat (w[2 + 5], ==, 1.0f);
  g_assert_cmpfloat_with_epsilon (w[0 + 5], 0.00597602f, 1e-7f);
  g_assert_cmpfloat_with_epsilon (w[1 + 5], 0.27803730f, 1e-7f);
  g_assert_cmpfloat_with_epsilon (w[2], 0.01831564f, 1e-7f); /* exp (-4.5) / exp (-0.5) */
  g_assert_cmpfloat (w[2 + 5], ==, w[2 + 10]);
  for (gsize i = 0; i < 160 * 160 * 160; i++)
    g_assert_true (l[i] > 0.0f && l[i] <= 1.0f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/patch-grid/coverage", test_coverage);
  g_test_add_func ("/patch-grid/coverage-counts", test_coverage_counts);
  g_test_add_func ("/patch-grid/starts", test_starts);
  g_test_add_func ("/patch-grid/spread", test_spread);
  g_test_add_func ("/patch-grid/refused", test_refused);
  g_test_add_func ("/patch-grid/gaussian", test_gaussian);
  return g_test_run ();
}
