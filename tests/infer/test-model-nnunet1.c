/* Models of nnU-Net v1 against its own network (tests/reference/nnunet_v1.py). */
#include "infer-fixture.h"

#include <glib/gstdio.h>
#include <string.h>

static char *
reference (const char *name)
{
  return g_test_build_filename (G_TEST_DIST, "reference", name, NULL);
}

static TessModel *
load (const char *path)
{
  g_autoptr (GError) error = NULL;
  TessModel *model = tess_model_load (path, &error);

  g_assert_no_error (error);
  return model;
}

static void
test_logits (gconstpointer name)
{
  g_autofree char *base = g_strdup_printf ("nnunet_v1_%s.model", (const char *)name), *path = reference (base);
  g_autofree char *image = g_strconcat ("image_", name, NULL);
  g_autoptr (TessModel) model = load (path);

  fixture_compare_logits (model, "nnunet_v1.safetensors", image, name);
}

/* As a model of this program's own it is the same, kernels of the decoder included. */
static void
test_own (void)
{
  g_autofree char *path = reference ("nnunet_v1_3d.model"), *own = NULL;
  g_autoptr (TessModel) model = load (path), again = NULL;
  g_autoptr (GError) error = NULL;
  char *folder = fixture_folder ();

  own = g_build_filename (folder, "own.safetensors", NULL);
  g_assert_true (tess_model_export (model, own, &error));
  g_assert_no_error (error);
  again = load (own);
  fixture_compare_logits (again, "nnunet_v1.safetensors", "image_3d", "3d");
  fixture_remove (folder);
}

static void
test_plan (void)
{
  const gint64 patch[3] = {24, 16, 4}, flat[3] = {1, 24, 16}, up[2][3] = {{3, 3, 3}, {3, 3, 3}};
  const double spacing[3] = {1.25, 0.75, 2.5};
  g_autofree char *path = reference ("nnunet_v1_3d.model"), *slices = reference ("nnunet_v1_2d.model");
  g_autoptr (TessModel) model = load (path), two = load (slices);
  const TessPlan *plan = model->plan;

  g_assert_cmpstr (plan->dataset_name, ==, "Task777_Made");
  g_assert_cmpmem (plan->patch, sizeof patch, patch, sizeof patch);
  g_assert_cmpmem (plan->spacing, sizeof spacing, spacing, sizeof spacing);
  g_assert_cmpuint (plan->n_channels, ==, 2);
  g_assert_cmpstr (plan->channels[1].name, ==, "MR");
  g_assert_cmpint (plan->channels[0].norm, ==, TESS_NORM_CT);
  g_assert_cmpfloat (plan->channels[0].mean, ==, 41.5);
  g_assert_cmpfloat (plan->channels[0].std, ==, 77.125);
  g_assert_cmpfloat (plan->channels[0].lower, ==, -60.25);
  g_assert_cmpfloat (plan->channels[0].upper, ==, 310.5);
  g_assert_cmpint (plan->channels[1].norm, ==, TESS_NORM_ZSCORE);
  g_assert_cmpuint (plan->n_labels, ==, 3);
  g_assert_cmpstr (plan->labels[2].name, ==, "class 2");
  g_assert_cmpint (plan->training.batch_size, ==, 3);
  g_assert_true (plan->training.batch_dice);
  g_assert_cmpint (plan->network.features[2], ==, 12);
  g_assert_cmpint (plan->network.kernel[0][2], ==, 1);
  g_assert_cmpmem (plan->network.kernel_decoder, sizeof up, up, sizeof up);
  g_assert_cmpfloat (plan->augmentation.mirror_probability[2], ==, 0.5);
  g_assert_cmpuint (plan->reasons->len, ==, 3); /* splines, border, mirroring */

  g_assert_cmpuint (two->plan->network.slice_axis, ==, 1);
  g_assert_cmpmem (two->plan->patch, sizeof flat, flat, sizeof flat);
  g_assert_cmpint (two->plan->network.convs_encoder[0], ==, 3);
  g_assert_cmpfloat (two->plan->augmentation.mirror_probability[0], ==, 0.0);
}

/* The trainer for several GPUs takes its arguments in other places. */
static void
test_several_gpus (void)
{
  g_autofree char *source = reference ("nnunet_v1_3d.model"), *plans = reference ("nnunet_v1_ddp.model.pkl");
  g_autofree char *weights = NULL, *pickle = NULL, *path = NULL, *beside = NULL;
  g_autoptr (TessModel) model = NULL;
  char *folder = fixture_folder ();
  gsize n_weights, n;

  path = g_build_filename (folder, "model_final_checkpoint.model", NULL);
  beside = g_strconcat (path, ".pkl", NULL);
  g_assert_true (g_file_get_contents (source, &weights, &n_weights, NULL));
  g_assert_true (g_file_set_contents (path, weights, (gssize)n_weights, NULL));
  g_assert_true (g_file_get_contents (plans, &pickle, &n, NULL));
  g_assert_true (g_file_set_contents (beside, pickle, (gssize)n, NULL));
  model = load (folder);
  g_assert_cmpint (model->plan->patch[0], ==, 24);
  g_assert_true (model->plan->training.batch_dice);
  fixture_compare_logits (model, "nnunet_v1.safetensors", "image_3d", "3d");
  fixture_remove (folder);
}

/* The 3D model in a folder, one text of its pickle turned into another of the same length. */
static char *
changed (const char *folder, const char *from, const char *to)
{
  g_autofree char *source = reference ("nnunet_v1_3d.model"), *plans = g_strconcat (source, ".pkl", NULL);
  char *path = g_build_filename (folder, "changed.model", NULL);
  g_autofree char *beside = g_strconcat (path, ".pkl", NULL), *data = NULL, *weights = NULL, *at;
  g_autoptr (GError) error = NULL;
  gsize n, n_weights;

  g_assert_cmpuint (strlen (from), ==, strlen (to));
  g_assert_true (g_file_get_contents (source, &weights, &n_weights, &error));
  g_assert_true (g_file_set_contents (path, weights, (gssize)n_weights, &error));
  g_assert_true (g_file_get_contents (plans, &data, &n, &error));
  at = memmem (data, n, from, strlen (from));
  g_assert_nonnull (at);
  memcpy (at, to, strlen (to));
  at = NULL;
  g_assert_true (g_file_set_contents (beside, data, (gssize)n, &error));
  g_assert_no_error (error);
  return path;
}

static void
test_refused (void)
{
  static const struct {
    const char *from, *to;
    TessError code;
    const char *word;
  } cases[] = {
      {"plans_per_stage", "plans_per_stagx", TESS_ERROR_FORMAT, "plans_per_stage"},
      {"conv_kernel_sizes", "conv_kernel_sizex", TESS_ERROR_FORMAT, "conv_kernel_sizes"},
      {"current_spacing", "current_spacinx", TESS_ERROR_FORMAT, "current_spacing"},
      {"\x0amodalities", "\x0amodalitiex", TESS_ERROR_FORMAT, "modalities"},
      {"base_num_features\x94K\x03", "base_num_features\x94K\x04", TESS_ERROR_MISMATCH, "of another shape"},
      {"conv_per_stage\x94K\x02", "conv_per_stage\x94K\x03", TESS_ERROR_MISMATCH, "missing"},
      {"numpy.core.multiarray", "numpy.core.multiarrax", TESS_ERROR_UNSUPPORTED, "numpy.core.multiarrax"},
  };
  char *folder = fixture_folder ();

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = changed (folder, cases[i].from, cases[i].to);
    g_autoptr (GError) error = NULL;

    g_assert_null (tess_model_load (path, &error));
    g_assert_error (error, TESS_ERROR, (int)cases[i].code);
    g_assert_true (g_str_has_prefix (error->message, path));
    if (!strstr (error->message, cases[i].word))
      g_error ("\"%s\" does not say \"%s\"", error->message, cases[i].word);
  }
  fixture_remove (folder);
}

static void
refuse_pickle (const char *pickle, gsize n, TessError code, const char *word)
{
  g_autofree char *source = reference ("nnunet_v1_3d.model"), *weights = NULL, *path = NULL, *plans = NULL;
  char *folder = fixture_folder ();
  g_autoptr (GError) error = NULL;
  gsize n_weights;

  path = g_build_filename (folder, "other.model", NULL);
  plans = g_strconcat (path, ".pkl", NULL);
  g_assert_true (g_file_get_contents (source, &weights, &n_weights, &error));
  g_assert_true (g_file_set_contents (path, weights, (gssize)n_weights, &error));
  g_assert_true (g_file_set_contents (plans, pickle, (gssize)n, &error));
  g_assert_null (tess_model_load (path, &error));
  g_assert_error (error, TESS_ERROR, (int)code);
  if (!strstr (error->message, word))
    g_error ("\"%s\" does not say \"%s\"", error->message, word);
  fixture_remove (folder);
}

/* Nothing a pickle asks for is done; it is named. Trainers with other networks, and pickles cut anywhere, are said. */
static void
test_pickles (void)
{
  static const char call[] = "cos\nsystem\n(Vtrue\ntR.", list[] = "(lp0\n.";
  static const char relu[] = "(dVname\nVnnUNetTrainerV2_ReLU\ns.", none[] = "(dVname\nVnnUNetTrainerV2\ns.";
  g_autofree char *source = reference ("nnunet_v1_3d.model.pkl"), *data = NULL;
  gsize n;

  refuse_pickle (call, strlen (call), TESS_ERROR_UNSUPPORTED, "os.system");
  refuse_pickle (list, strlen (list), TESS_ERROR_FORMAT, "plans");
  refuse_pickle (relu, strlen (relu), TESS_ERROR_UNSUPPORTED, "nnUNetTrainerV2_ReLU");
  refuse_pickle (none, strlen (none), TESS_ERROR_FORMAT, "plans");
  g_assert_true (g_file_get_contents (source, &data, &n, NULL));
  for (gsize cut = 0; cut < n; cut += n / 23)
    refuse_pickle (data, cut, TESS_ERROR_FORMAT, "");
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/infer/model-nnunet1/3d", "3d", test_logits);
  g_test_add_data_func ("/infer/model-nnunet1/2d", "2d", test_logits);
  g_test_add_func ("/infer/model-nnunet1/own", test_own);
  g_test_add_func ("/infer/model-nnunet1/plan", test_plan);
  g_test_add_func ("/infer/model-nnunet1/several-gpus", test_several_gpus);
  g_test_add_func ("/infer/model-nnunet1/refused", test_refused);
  g_test_add_func ("/infer/model-nnunet1/pickles", test_pickles);
  return g_test_run ();
}
