/* Draws compared with those of NumPy and SciPy (tests/reference/sampler.py). */
#include "sampler-fixture.h"

#include "tess-json.h"

static void
read_doubles (JsonObject *o, const char *name, double *values, guint n)
{
  GError *error = NULL;

  tess_json_doubles (o, "sampler.json", name, values, n, &error);
  g_assert_no_error (error);
}

static void
read_ints (JsonObject *o, const char *name, gint64 *values, guint n)
{
  GError *error = NULL;

  tess_json_ints (o, "sampler.json", name, G_MININT32, G_MAXINT64, values, n, &error);
  g_assert_no_error (error);
}

static void
check_reference (JsonObject *o)
{
  double native[3], spacing[3], scale[2], matrix[12];
  gint64 dim[3], patch[3], n_voxels;
  g_autofree double *image = NULL;
  g_autofree gint64 *label = NULL;
  guint n_skipped = 0;
  g_autoptr (TessPlan) plan = NULL;
  g_autoptr (TessCase) c = NULL;
  TessSampleKey key = {.random = json_object_get_boolean_member (o, "random"),
                       .foreground = json_object_get_boolean_member (o, "foreground"),
                       .augment = json_object_get_boolean_member (o, "augment"),
                       .seed = (guint64)json_object_get_int_member (o, "seed"),
                       .epoch = (guint32)json_object_get_int_member (o, "epoch"),
                       .sample = (guint32)json_object_get_int_member (o, "sample")};
  TessAffine mapping;
  GError *error = NULL;
  Patch p;

  g_test_message ("%s", json_object_get_string_member (o, "name"));
  read_ints (o, "dim", dim, 3);
  read_ints (o, "patch", patch, 3);
  read_doubles (o, "native_spacing", native, 3);
  read_doubles (o, "spacing", spacing, 3);
  read_doubles (o, "matrix", matrix, 12);
  if (json_object_has_member (o, "origin"))
    read_ints (o, "origin", key.origin, 3);
  n_voxels = patch[0] * patch[1] * patch[2];
  image = g_new (double, 2 * n_voxels);
  label = g_new (gint64, n_voxels);
  read_doubles (o, "image", image, (guint)(2 * n_voxels));
  read_ints (o, "label", label, (guint)n_voxels);

  plan = make_plan (spacing, patch, 2);
  c = make_case (dim, native, 2);
  read_doubles (o, "degrees", plan->augmentation.rotation_degrees, 3);
  read_doubles (o, "mirror", plan->augmentation.mirror_probability, 3);
  read_doubles (o, "scale", scale, 2);
  plan->augmentation.scale_lower = scale[0];
  plan->augmentation.scale_upper = scale[1];
  plan->augmentation.rotation_probability = json_object_get_double_member (o, "rotation_probability");
  plan->augmentation.scale_probability = json_object_get_double_member (o, "scale_probability");

  tess_sampler_mapping (plan, c, &key, &mapping, &error);
  g_assert_no_error (error);
  for (int i = 0; i < 12; i++)
    g_assert_cmpfloat_with_epsilon (mapping.m[i / 4][i % 4], matrix[i], 1e-10);
  patch_draw (&p, plan, c, &key, NULL);
  for (gint64 i = 0; i < n_voxels; i++) {
    for (int ch = 0; ch < 2; ch++)
      g_assert_cmpfloat_with_epsilon (p.out.image[2 * i + ch], image[ch * n_voxels + i], 1e-5);
    if (label[i] != 255)
      g_assert_cmpint (p.out.label[i], ==, label[i]);
    else
      n_skipped++;
  }
  g_assert_cmpuint (n_skipped, <, (guint)n_voxels / 50);
  patch_clear (&p);
}

static void
test_reference (void)
{
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "sampler.json", NULL);
  GError *error = NULL;
  g_autoptr (JsonNode) root = tess_json_load (path, &error);
  JsonArray *cases;

  g_assert_no_error (error);
  cases = json_node_get_array (root);
  for (guint i = 0; i < json_array_get_length (cases); i++)
    check_reference (json_array_get_object_element (cases, i));
  g_assert_cmpuint (json_array_get_length (cases), ==, 10);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/augment/sampler/reference", test_reference);
  return g_test_run ();
}
