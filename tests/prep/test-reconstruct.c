#include "tess-reconstruct.h"
#include "tess-json.h"
#include "tess-philox.h"

#include <math.h>
#include <string.h>

static const TessDType dtypes[] = {
    TESS_DTYPE_U8,  TESS_DTYPE_I8,  TESS_DTYPE_U16, TESS_DTYPE_I16, TESS_DTYPE_U32, TESS_DTYPE_I32,
    TESS_DTYPE_U64, TESS_DTYPE_I64, TESS_DTYPE_F32, TESS_DTYPE_F64, TESS_DTYPE_F16, TESS_DTYPE_BF16,
};

static gint64
pick (guint32 i, guint32 what, gint64 n)
{
  TessPhilox4 r = tess_philox (11, 0, i, what, 0);

  return 1 + tess_philox_below (r.v[0], (guint32)n);
}

static TessVolume *
volume_new (TessDType dtype, const gint64 dim[3])
{
  TessAffine affine = tess_affine_identity ();
  g_autoptr (GError) error = NULL;
  TessVolume *volume = tess_volume_new (dtype, dim, 1, &affine, &error);

  g_assert_no_error (error);
  return volume;
}

/* Any bits at all: every NaN payload, infinity, denormal, extreme integer and negative zero turns up. */
static TessVolume *
noise_volume (TessDType dtype, const gint64 dim[3], guint32 seed)
{
  TessVolume *volume = volume_new (dtype, dim);
  guint8 *data = tess_volume_data_mut (volume);
  gsize item = tess_dtype_size (dtype), n = tess_volume_n_bytes (volume);

  for (gsize i = 0; i < n; i++)
    data[i] = (guint8)tess_philox (seed, 1, 0, 0, (guint32)i).v[0];
  for (gsize i = 0; i < n; i += item)
    switch (tess_philox (seed, 2, 0, 0, (guint32)i).v[0] % 8) {
    case 0:
      memset (data + i, 0xff, item); /* a NaN, or the largest integer */
      break;
    case 1:
      memset (data + i, 0, item);
      data[i + item - 1] = 0x80; /* negative zero, or the smallest integer */
      break;
    case 2: { /* infinity */
      guint64 bits = item == 8 ? G_GUINT64_CONSTANT (0x7ff0000000000000) : item == 4 ? 0x7f800000u : 0x7c00u;

      memcpy (data + i, &bits, item);
      break;
    }
    default:
      break;
    }
  return volume;
}

/* Cuts and puts back every patch, in order or backwards. */
static void
reconstruct (const TessVolume *volume, const TessPatchGrid *grid, const float *weights, gboolean vote,
             gboolean backwards, void *target)
{
  gsize item = tess_dtype_size (tess_volume_dtype (volume));
  g_autofree void *patch = g_malloc_n (grid->size[0] * grid->size[1] * grid->size[2], item);
  guint64 n = tess_patch_grid_n (grid);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessReconstruction) r = tess_reconstruction_new (tess_volume_dtype (volume), grid, weights, vote, &error);

  g_assert_no_error (error);
  for (guint64 k = 0; k < n; k++) {
    guint64 i = backwards ? n - 1 - k : k;
    TessBox box = tess_patch_grid_box (grid, i);

    tess_patch_cut (volume, 0, &box, patch);
    tess_reconstruction_add (r, i, patch);
  }
  g_assert_true (tess_reconstruction_finish (r, target, &error));
}

static void
test_identical (void)
{
  for (guint32 i = 0; i < 240; i++) {
    TessDType dtype = dtypes[i % G_N_ELEMENTS (dtypes)];
    gint64 dim[3], size[3], stride[3];
    g_autoptr (TessPatchGrid) grid = NULL;
    g_autoptr (TessVolume) volume = NULL;
    g_autofree float *weights = NULL;
    g_autofree guint8 *back = NULL;

    for (guint a = 0; a < 3; a++) {
      dim[a] = pick (i, a, 23);
      size[a] = pick (i, 3 + a, 30);
      stride[a] = MAX (pick (i, 6 + a, size[a]), size[a] / 4);
    }
    grid = tess_patch_grid_new (dim, size, stride, NULL);
    volume = noise_volume (dtype, dim, i);
    weights = (i / 12) % 2 ? tess_patch_weights_gaussian (size) : NULL;
    back = g_malloc (tess_volume_n_bytes (volume));
    for (guint way = 0; way < 4; way++) {
      memset (back, 0x55, tess_volume_n_bytes (volume));
      reconstruct (volume, grid, weights, way & 1, way & 2, back);
      g_assert_cmpmem (back, tess_volume_n_bytes (volume), tess_volume_data (volume), tess_volume_n_bytes (volume));
    }
  }
}

/* Outside the volume: the nearest voxel. */
static void
test_cut (void)
{
  const gint64 dim[3] = {2, 3, 1};
  g_autoptr (TessVolume) volume = volume_new (TESS_DTYPE_I16, dim);
  gint16 *data = tess_volume_data_mut (volume), patch[4 * 5 * 2];
  const TessBox box = {{-1, -1, -1}, {3, 4, 1}}, far = {{5, 5, 5}, {6, 6, 6}};
  static const gint16 plane[20] = {0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 4, 4, 5, 5};

  for (gint16 i = 0; i < 6; i++)
    data[i] = i;
  tess_patch_cut (volume, 0, &box, patch);
  g_assert_cmpmem (patch, 40, plane, 40);
  g_assert_cmpmem (patch + 20, 40, plane, 40);
  tess_patch_cut (volume, 0, &far, patch);
  g_assert_cmpint (patch[0], ==, 5);
}

/* Two patches of one voxel's neighbourhood that disagree: mean of first and second of every dtype. */
static void
test_mean_values (void)
{
  const gint64 dim[3] = {3, 1, 1}, size[3] = {2, 1, 1}, stride[3] = {1, 1, 1};
  g_autoptr (TessPatchGrid) grid = tess_patch_grid_new (dim, size, stride, NULL);
  static const float weights[2] = {1.0f, 3.0f}; /* the middle voxel: 3 x from patch 0, 1 x from patch 1 */
  static const guint64 u0[2] = {0, G_MAXUINT64}, u1[2] = {G_MAXUINT64 - 4, 7};
  static const gint64 i0[2] = {0, G_MININT64}, i1[2] = {G_MAXINT64, 7};
  static const double d0[2] = {0.0, 1e308}, d1[2] = {-1e308, 7.0}, inf[2] = {0.0, INFINITY};
  static const guint8 b0[2] = {0, 10}, b1[2] = {13, 7};
  guint64 u[3];
  gint64 s[3];
  double d[3];
  guint8 b[3];
  TessReconstruction *r;

#define PAIR(dtype, w, p0, p1, out)                                                                                    \
  r = tess_reconstruction_new (dtype, grid, w, FALSE, NULL);                                                           \
  tess_reconstruction_add (r, 0, p0);                                                                                  \
  tess_reconstruction_add (r, 1, p1);                                                                                  \
  g_assert_true (tess_reconstruction_finish (r, out, NULL));                                                           \
  tess_reconstruction_free (r)

  PAIR (TESS_DTYPE_U64, weights, u0, u1, u);
  g_assert_cmpuint (u[1], ==, G_MAXUINT64 - 1); /* exact beyond 2^53 */
  g_assert_cmpuint (u[2], ==, 7);
  PAIR (TESS_DTYPE_I64, NULL, i0, i1, s);
  g_assert_cmpint (ABS (s[1]), <=, 1);
  PAIR (TESS_DTYPE_F64, NULL, d0, d1, d);
  g_assert_cmpfloat (d[1], ==, 0.0);
  PAIR (TESS_DTYPE_F64, NULL, inf, d1, d);
  g_assert_cmpfloat (d[1], ==, INFINITY);
  PAIR (TESS_DTYPE_F64, NULL, d0, inf, d);
  g_assert_cmpfloat (d[1], ==, 0.5e308);
  PAIR (TESS_DTYPE_U8, weights, b0, b1, b);
  g_assert_cmpuint (b[1], ==, 11); /* (3 * 10 + 13) / 4 = 10.75 */
}

static void
test_vote_ties (void)
{
  const gint64 dim[3] = {3, 1, 1}, size[3] = {2, 1, 1}, stride[3] = {1, 1, 1};
  g_autoptr (TessPatchGrid) grid = tess_patch_grid_new (dim, size, stride, NULL);
  static const gint32 a[2] = {9, 5}, low[2] = {-4, 8};
  static const float fa[2] = {9, -0.5f}, fl[2] = {-1.5f, 8};
  gint32 out[3];
  float fout[3];
  TessReconstruction *r = tess_reconstruction_new (TESS_DTYPE_I32, grid, NULL, TRUE, NULL);

  tess_reconstruction_add (r, 0, a);
  tess_reconstruction_add (r, 1, low);
  g_assert_true (tess_reconstruction_finish (r, out, NULL));
  g_assert_cmpint (out[0], ==, 9);
  g_assert_cmpint (out[1], ==, -4);
  g_assert_cmpint (out[2], ==, 8);
  tess_reconstruction_free (r);
  r = tess_reconstruction_new (TESS_DTYPE_F32, grid, NULL, TRUE, NULL);
  tess_reconstruction_add (r, 0, fa);
  tess_reconstruction_add (r, 1, fl);
  g_assert_true (tess_reconstruction_finish (r, fout, NULL));
  g_assert_cmpfloat (fout[1], ==, -1.5f);
  tess_reconstruction_free (r);
}

/* NumPy's weighted mean and vote of patches that all disagree (tests/reference/patches.py). */
static void
check_reference_case (JsonObject *o, const char *origin)
{
  gint64 dim[3], size[3], stride[3], n_patches;
  gboolean gaussian;
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPatchGrid) grid = NULL;
  g_autoptr (TessReconstruction) mean = NULL, vote = NULL;
  g_autoptr (TessVolume) image = NULL, labels = NULL;
  g_autofree float *weights = NULL;
  g_autofree double *expected = NULL, *got = NULL, *patch = NULL;
  g_autofree gint64 *label = NULL, *winner = NULL, *label_patch = NULL;
  gint64 n, m;

  g_assert_true (tess_json_ints (o, origin, "dim", 1, 100, dim, 3, NULL));
  g_assert_true (tess_json_ints (o, origin, "size", 1, 100, size, 3, NULL));
  g_assert_true (tess_json_ints (o, origin, "stride", 1, 100, stride, 3, NULL));
  g_assert_true (tess_json_int (o, origin, "patches", 1, G_MAXINT, &n_patches, NULL));
  g_assert_true (tess_json_bool (o, origin, "gaussian", &gaussian, NULL));
  n = dim[0] * dim[1] * dim[2];
  m = size[0] * size[1] * size[2];
  expected = g_new (double, n);
  got = g_new (double, n);
  label = g_new (gint64, n);
  winner = g_new (gint64, n);
  patch = g_new (double, m);
  label_patch = g_new (gint64, m);
  image = volume_new (TESS_DTYPE_F64, dim);
  labels = volume_new (TESS_DTYPE_I64, dim);
  g_assert_true (tess_json_doubles (o, origin, "image", tess_volume_data_mut (image), (guint)n, &error));
  g_assert_true (tess_json_doubles (o, origin, "mean", expected, (guint)n, &error));
  g_assert_true (tess_json_ints (o, origin, "labels", 0, 99, tess_volume_data_mut (labels), (guint)n, &error));
  g_assert_true (tess_json_ints (o, origin, "vote", 0, G_MAXINT, label, (guint)n, &error));

  grid = tess_patch_grid_new (dim, size, stride, &error);
  g_assert_cmpuint (tess_patch_grid_n (grid), ==, (guint64)n_patches);
  weights = gaussian ? tess_patch_weights_gaussian (size) : NULL;
  mean = tess_reconstruction_new (TESS_DTYPE_F64, grid, weights, FALSE, &error);
  vote = tess_reconstruction_new (TESS_DTYPE_I64, grid, weights, TRUE, &error);
  for (gint64 i = 0; i < n_patches; i++) {
    TessBox box = tess_patch_grid_box (grid, (guint64)i);

    tess_patch_cut (image, 0, &box, patch);
    tess_patch_cut (labels, 0, &box, label_patch);
    for (gint64 k = 0; k < m; k++) {
      patch[k] += (double)i;
      label_patch[k] += i;
    }
    tess_reconstruction_add (mean, (guint64)i, patch);
    tess_reconstruction_add (vote, (guint64)i, label_patch);
  }
  g_assert_true (tess_reconstruction_finish (mean, got, &error));
  g_assert_true (tess_reconstruction_finish (vote, winner, &error));
  for (gint64 i = 0; i < n; i++) {
    g_assert_cmpfloat_with_epsilon (got[i], expected[i], 1e-6 * MAX (fabs (expected[i]), 1.0));
    g_assert_cmpint (winner[i], ==, label[i]);
  }
}

static void
test_reference (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "patches.json", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (JsonNode) root = tess_json_load (path, &error);
  JsonObject *o;
  JsonArray *cases;

  g_assert_no_error (error);
  g_assert_true (tess_json_root (root, path, &o, &error));
  g_assert_true (tess_json_array (o, path, "cases", &cases, &error));
  g_assert_cmpuint (json_array_get_length (cases), ==, 16);
  for (guint i = 0; i < json_array_get_length (cases); i++)
    check_reference_case (json_array_get_object_element (cases, i), path);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/reconstruct/identical", test_identical);
  g_test_add_func ("/reconstruct/cut", test_cut);
  g_test_add_func ("/reconstruct/mean-values", test_mean_values);
  g_test_add_func ("/reconstruct/vote-ties", test_vote_ties);
  g_test_add_func ("/reconstruct/reference", test_reference);
  return g_test_run ();
}
