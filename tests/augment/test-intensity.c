#include "sampler-fixture.h"

#include "tess-json.h"
#include "tess-parallel.h"
#include "tess-recipe.h"

#include <math.h>

/* ---- our own logarithm, power and turns beside the C library's, in double ---- */

static void
test_functions (void)
{
  double worst_log = 0, worst_exp = 0, worst_power = 0, worst_turn = 0;

  for (guint i = 1; i <= 200000; i++) {
    float x = (float)i / 200000.0f, e = (x - 0.5f) * 250.0f, c, s;

    for (float y = x; y > 1e-35f; y *= 1e-15f)
      worst_log = MAX (worst_log, fabs ((double)tess_log2_f (y) - log2 ((double)y)) / MAX (-log2 ((double)y), 1.0));
    worst_exp = MAX (worst_exp, fabs ((double)tess_exp2_f (e) / exp2 ((double)e) - 1.0));
    for (float g = 0.25f; g < 3.0f; g += 0.25f)
      worst_power = MAX (worst_power, fabs ((double)tess_power_f (x, g) - pow ((double)x, (double)g)));
    tess_turn_f (x - 1.0f / 200000.0f, &c, &s);
    worst_turn = MAX (worst_turn, fabs ((double)c - cos (2 * G_PI * (double)(x - 1.0f / 200000.0f))));
    worst_turn = MAX (worst_turn, fabs ((double)s - sin (2 * G_PI * (double)(x - 1.0f / 200000.0f))));
  }
  g_test_message ("log2 %.1e, exp2 %.1e, power %.1e, turn %.1e", worst_log, worst_exp, worst_power, worst_turn);
  g_assert_cmpfloat (worst_log, <, 3e-7);
  g_assert_cmpfloat (worst_exp, <, 3e-7);
  g_assert_cmpfloat (worst_power, <, 4e-7);
  g_assert_cmpfloat (worst_turn, <, 3e-7);
  g_assert_cmpfloat (worst_power, >, 0.0);
  g_assert_cmpfloat (tess_power_f (1.0f, 0.7f), ==, 1.0f);
  g_assert_cmpfloat (tess_power_f (0.0f, 1.0f), ==, 0x1p-126f);
  g_assert_cmpfloat (tess_power_f (1e-40f, 1.5f), ==, 0x1p-126f);
  g_assert_cmpfloat (tess_power_f (1e-30f, 1.5f), ==, 0x1p-126f);
}

/* ---- batchgeneratorsv2's results (tests/reference/intensity.py) ---- */

static void
read_channel (JsonObject *o, const gint64 size[3], TessIntensityChannel *c)
{
  double values[3] = {1.0, 1.0, 1.0};
  guint n_axes = size[2] == 1 ? 2 : 3;
  GError *error = NULL;

  *c = (TessIntensityChannel){.brightness = 1.0f, .contrast = 1.0f};
  if (json_object_has_member (o, "blur")) {
    tess_json_doubles (o, "intensity.json", "blur", values, n_axes, &error);
    tess_intensity_blur (c, size, values);
  }
  if (json_object_has_member (o, "scale")) {
    values[2] = 1.0;
    tess_json_doubles (o, "intensity.json", "scale", values, n_axes, &error);
    tess_intensity_thin (c, size, values);
  }
  g_assert_no_error (error);
  if (json_object_has_member (o, "brightness"))
    c->brightness = (float)json_object_get_double_member (o, "brightness");
  if (json_object_has_member (o, "contrast"))
    c->contrast = (float)json_object_get_double_member (o, "contrast");
  if (json_object_has_member (o, "gamma_inverted"))
    c->gamma_inverted = (float)json_object_get_double_member (o, "gamma_inverted");
  if (json_object_has_member (o, "gamma"))
    c->gamma = (float)json_object_get_double_member (o, "gamma");
}

static float
patch_value (JsonObject *o, gint64 x, gint64 y, gint64 z)
{
  if (json_object_has_member (o, "constant"))
    return (float)json_object_get_double_member (o, "constant");
  return (float)((7 * x + 13 * y + 29 * z + 3 * x * y + 5 * z * z) % 41) / 8.0f - 2.0f;
}

/* Alone, and as the second of three channels of which the third is left as it is and the first made brighter. */
static void
check_reference (JsonObject *o)
{
  TessIntensity alone = {.any = 1}, among = {.any = 1};
  gint64 size[3], n, i = 0;
  g_autofree float *image = NULL, *three = NULL;
  g_autofree double *expected = NULL;
  double worst = 0;
  GError *error = NULL;

  tess_json_ints (o, "intensity.json", "size", 1, 100, size, 3, &error);
  n = size[0] * size[1] * size[2];
  expected = g_new (double, n);
  tess_json_doubles (o, "intensity.json", "image", expected, (guint)n, &error);
  read_channel (o, size, &alone.channel[0]);
  among.channel[0] = (TessIntensityChannel){.brightness = 1.5f, .contrast = 1.0f};
  among.channel[1] = alone.channel[0];
  among.channel[2] = (TessIntensityChannel){.brightness = 1.0f, .contrast = 1.0f};
  image = g_new (float, n);
  three = g_new (float, 3 * n);
  for (gint64 z = 0; z < size[2]; z++)
    for (gint64 y = 0; y < size[1]; y++)
      for (gint64 x = 0; x < size[0]; x++, i++)
        image[i] = three[3 * i] = three[3 * i + 1] = three[3 * i + 2] = patch_value (o, x, y, z);
  g_assert_true (tess_intensity_apply (&alone, image, size, 1, &error));
  g_assert_true (tess_intensity_apply (&among, three, size, 3, &error));
  for (i = 0; i < n; i++) {
    float before = patch_value (o, i % size[0], i / size[0] % size[1], i / size[0] / size[1]);

    worst = MAX (worst, fabs ((double)image[i] - expected[i]));
    g_assert_cmpfloat (three[3 * i + 1], ==, image[i]);
    g_assert_cmpfloat (three[3 * i], ==, 1.5f * before);
    g_assert_cmpfloat (three[3 * i + 2], ==, before);
  }
  g_test_message ("%s: %.1e", json_object_get_string_member (o, "name"), worst);
  g_assert_cmpfloat (worst, <, 4e-6);
}

static void
test_reference (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "intensity.json", NULL);
  GError *error = NULL;
  g_autoptr (JsonNode) root = tess_json_load (path, &error);
  JsonArray *cases;

  g_assert_no_error (error);
  cases = json_object_get_array_member (json_node_get_object (root), "cases");
  for (guint i = 0; i < json_array_get_length (cases); i++)
    check_reference (json_array_get_object_element (cases, i));
  g_assert_cmpuint (json_array_get_length (cases), ==, 15);
}

/* ---- noise ---- */

static void
add_noise (float *image, const gint64 size[3], guint n_channels, guint64 seed, guint32 epoch, guint32 sample)
{
  TessIntensity a = {.any = 1, .noise_key = {seed, epoch, sample, TESS_DRAW_NOISE}};
  GError *error = NULL;

  for (guint c = 0; c < n_channels; c++)
    a.channel[c] = (TessIntensityChannel){.noise = 1.0f, .brightness = 1.0f, .contrast = 1.0f};
  memset (image, 0, (gsize)(size[0] * size[1] * size[2]) * n_channels * sizeof *image);
  tess_intensity_apply (&a, image, size, n_channels, &error);
  g_assert_no_error (error);
}

static int
ascending (gconstpointer a, gconstpointer b)
{
  float x = *(const float *)a, y = *(const float *)b;

  return (x > y) - (x < y);
}

/* Largest distance from the normal distribution (Kolmogorov, Smirnov); sorts. */
static double
distance_from_normal (float *values, gsize n)
{
  double worst = 0;

  qsort (values, n, sizeof *values, ascending);
  for (gsize i = 0; i < n; i++)
    worst = MAX (worst, fabs (0.5 * erfc (-(double)values[i] * G_SQRT2 / 2.0) - ((double)i + 0.5) / (double)n));
  return worst;
}

static void
test_noise (void)
{
  static const gint64 size[3] = {63, 64, 65};
  const gsize n = 63 * 64 * 65;
  g_autofree float *a = g_new (float, 2 * n), *b = g_new (float, n), *channel = g_new (float, n);
  double products = 0;

  add_noise (a, size, 2, 5, 1, 2);
  add_noise (b, size, 1, 5, 1, 2);
  for (gsize i = 0; i < n; i++) {
    channel[i] = a[2 * i + 1];
    g_assert_cmpfloat (a[2 * i], ==, b[i]); /* the first channel, alone or not */
    products += (double)a[2 * i] * (double)channel[i];
  }
  g_assert_cmpfloat (fabs (products), <, 5.0 * sqrt ((double)n)); /* of independent normals: sqrt (n) */
  for (gsize lag = 1; lag < 5; lag++) {
    products = 0;
    for (gsize i = lag; i < n; i++)
      products += (double)b[i] * (double)b[i - lag];
    g_assert_cmpfloat (fabs (products), <, 5.0 * sqrt ((double)n));
  }
  g_assert_cmpfloat (distance_from_normal (channel, n), <, 2.0 / sqrt ((double)n)); /* above 1.95: once in 1000 */
  g_assert_cmpfloat (distance_from_normal (b, n), <, 2.0 / sqrt ((double)n));
  for (guint other = 0; other < 3; other++) {
    add_noise (a, size, 1, 5, 1, 2);
    add_noise (b, size, 1, other == 0 ? 6 : 5, other == 1 ? 2 : 1, other == 2 ? 3 : 2);
    products = 0;
    for (gsize i = 0; i < n; i++)
      products += (double)a[i] * (double)b[i];
    g_assert_cmpfloat (fabs (products), <, 5.0 * sqrt ((double)n));
  }
}

/* ---- how often, and between what ---- */

#define N_SAMPLES 20000u

static void
check_share (const char *what, guint count, guint n, double probability)
{
  double expected = n * probability, spread = sqrt (n * probability * (1.0 - probability));

  g_test_message ("%s: %u of %u, expected %.0f", what, count, n, expected);
  g_assert_cmpfloat (fabs (count - expected), <=, 5.0 * spread);
}

static void
check_factor (float value, double lower, double upper, guint *n, guint *n_below)
{
  g_assert_cmpfloat (value, >=, lower);
  g_assert_cmpfloat (value, <=, upper);
  *n += 1;
  *n_below += value < 1.0f;
}

static void
test_recipe (void)
{
  static const gint64 patch[3] = {40, 30, 20};
  g_autoptr (TessPlan) plan = tess_plan_new ();
  guint n_noise = 0, n_blur[2] = {0}, n_both = 0, n_bright = 0, n_contrast = 0, n_low = 0, n_inverted = 0, n_gamma = 0;
  guint n_dark = 0, n_dull = 0, n_flat = 0, n_flat_inverted = 0;

  tess_plan_add_channel (plan, "a", TESS_NORM_ZSCORE);
  tess_plan_add_channel (plan, "b", TESS_NORM_ZSCORE);
  memcpy (plan->patch, patch, sizeof patch);
  plan->augmentation.low_resolution_lower[2] = 1.0;
  for (guint32 s = 0; s < N_SAMPLES; s++) {
    TessSampleKey key = {.augment = TRUE, .seed = 3, .epoch = s / 1000, .sample = s % 1000};
    TessIntensity a, b;
    const TessIntensityChannel *c = a.channel;
    gboolean blurs[2];

    tess_recipe_intensity (plan, &key, &a);
    tess_recipe_intensity (plan, &key, &b);
    g_assert_cmpmem (&a, sizeof a, &b, sizeof b);
    if (!a.any)
      continue;
    n_noise += c[0].noise > 0.0f;
    g_assert_cmpfloat (c[0].noise, <, 0.1f);
    g_assert_cmpfloat (c[0].noise, ==, c[1].noise);
    for (guint i = 0; i < 2; i++) {
      blurs[i] = c[i].blur_radius[0] > 0;
      n_blur[i] += blurs[i];
      for (int axis = 0; axis < 3; axis++)
        g_assert_cmpint (c[i].blur_radius[axis], <=, blurs[i] ? 3 : 0);
    }
    n_both += blurs[0] && blurs[1];
    if (c[0].brightness != 1.0f)
      check_factor (c[0].brightness, 0.75, 1.25, &n_bright, &n_dark);
    if (c[0].contrast != 1.0f)
      check_factor (c[0].contrast, 0.75, 1.25, &n_contrast, &n_dull);
    if (c[0].coarse[0] > 0) {
      n_low++;
      g_assert_cmpint (c[0].coarse[0], >=, 20);
      g_assert_cmpint (c[0].coarse[0], <=, 40);
      g_assert_cmpint (ABS (c[0].coarse[0] * 3 - c[0].coarse[1] * 4), <=, 3); /* one scale for all axes */
      g_assert_cmpint (c[0].coarse[2], ==, 20);
    }
    if (c[0].gamma_inverted > 0.0f)
      check_factor (c[0].gamma_inverted, 0.7, 1.5, &n_inverted, &n_flat_inverted);
    if (c[0].gamma > 0.0f)
      check_factor (c[0].gamma, 0.7, 1.5, &n_gamma, &n_flat);
    if (c[0].gamma > 0.0f)
      g_assert_cmpfloat (c[0].gamma, !=, c[1].gamma);
  }
  check_share ("noise", n_noise, N_SAMPLES, 0.1);
  check_share ("blur of a", n_blur[0], N_SAMPLES, 0.1);
  check_share ("blur of b", n_blur[1], N_SAMPLES, 0.1);
  check_share ("blur of both", n_both, N_SAMPLES, 0.05);
  check_share ("brightness", n_bright, N_SAMPLES, 0.15);
  check_share ("contrast", n_contrast, N_SAMPLES, 0.15);
  check_share ("low resolution", n_low, N_SAMPLES, 0.125);
  check_share ("gamma inverted", n_inverted, N_SAMPLES, 0.1);
  check_share ("gamma", n_gamma, N_SAMPLES, 0.3);
  check_share ("darker", n_dark, n_bright, 0.5);
  check_share ("duller", n_dull, n_contrast, 0.5);
  check_share ("gamma below 1", n_flat, n_gamma, 0.5);
  check_share ("gamma inverted below 1", n_flat_inverted, n_inverted, 0.5);
}

static void
test_recipe_none (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  TessIntensity a;

  tess_plan_add_channel (plan, "a", TESS_NORM_ZSCORE);
  for (guint32 s = 0; s < 200; s++) {
    tess_recipe_intensity (plan, &(TessSampleKey){.random = TRUE, .sample = s}, &a);
    g_assert_false (a.any);
  }
  tess_plan_restrict_augmentation (plan, TESS_PLAN_AUGMENTATION_SPATIAL);
  for (guint32 s = 0; s < 200; s++) {
    tess_recipe_intensity (plan, &(TessSampleKey){.augment = TRUE, .sample = s}, &a);
    g_assert_false (a.any);
  }
}

/* ---- in a drawn patch ---- */

static void
set_all (TessPlan *plan)
{
  plan->augmentation.noise_probability = plan->augmentation.blur_probability = 0.7;
  plan->augmentation.brightness_probability = plan->augmentation.contrast_probability = 0.7;
  plan->augmentation.low_resolution_probability = 0.7;
  plan->augmentation.gamma_inverted_probability = plan->augmentation.gamma_probability = 0.7;
  plan->augmentation.rotation_probability = 0.5;
}

/* A part has the bits of the whole, on any number of threads; labels are those of the patch without. */
static void
test_draw (void)
{
  static const gint64 dim[3] = {43, 39, 34}, size[3] = {40, 33, 25};
  static const double spacing[3] = {1, 1, 1};
  static const TessBox parts[] = {
      {{0, 0, 12}, {40, 33, 13}}, {{20, 0, 0}, {21, 33, 25}}, {{3, 5, 7}, {19, 6, 25}}, {{0, 0, 0}, {40, 33, 25}}};
  g_autoptr (TessPlan) plan = make_plan (spacing, size, 2), plain = make_plan (spacing, size, 2);
  g_autoptr (TessCase) c = make_case (dim, spacing, 2);
  guint n_changed = 0;

  set_all (plan);
  plain->augmentation.rotation_probability = 0.5;
  for (guint32 s = 0; s < 12; s++) {
    TessSampleKey key = {.random = TRUE, .augment = TRUE, .seed = 8, .sample = s};
    Patch whole, alone, without;

    tess_parallel_set_threads (1);
    patch_draw (&alone, plan, c, &key, NULL);
    tess_parallel_set_threads (4);
    patch_draw (&whole, plan, c, &key, NULL);
    patch_draw (&without, plain, c, &key, NULL);
    g_assert_cmpmem (whole.out.image, whole.n * 2 * sizeof (float), alone.out.image, alone.n * 2 * sizeof (float));
    g_assert_cmpmem (whole.out.label, whole.n, without.out.label, without.n);
    n_changed += memcmp (whole.out.image, without.out.image, whole.n * 2 * sizeof (float)) != 0;
    for (guint i = 0; i < G_N_ELEMENTS (parts); i++) {
      const TessBox *box = &parts[i];
      gsize at = 0;
      Patch part;

      patch_draw (&part, plan, c, &key, box);
      for (gint64 z = box->lo[2]; z < box->hi[2]; z++)
        for (gint64 y = box->lo[1]; y < box->hi[1]; y++)
          for (gint64 x = box->lo[0]; x < box->hi[0]; x++, at++) {
            gsize in = (gsize)((z * size[1] + y) * size[0] + x);

            g_assert_cmpmem (&part.out.image[2 * at], 8, &whole.out.image[2 * in], 8);
            g_assert_cmpuint (part.out.label[at], ==, whole.out.label[in]);
          }
      patch_clear (&part);
    }
    patch_clear (&alone);
    patch_clear (&whole);
    patch_clear (&without);
  }
  tess_parallel_set_threads (0);
  g_assert_cmpuint (n_changed, >=, 11);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augment/intensity/functions", test_functions);
  g_test_add_func ("/augment/intensity/reference", test_reference);
  g_test_add_func ("/augment/intensity/noise", test_noise);
  g_test_add_func ("/augment/intensity/recipe", test_recipe);
  g_test_add_func ("/augment/intensity/recipe/none", test_recipe_none);
  g_test_add_func ("/augment/intensity/draw", test_draw);
  return g_test_run ();
}
