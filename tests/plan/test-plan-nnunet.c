/* nnU-Net's plans: real ones, and a small one in which one thing at a time is changed. */
#include "tess-plan-nnunet.h"

#include <string.h>

#define DATASET "{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"tumour\":2,\"organ\":1}}"

static const char *const made =
    "{'dataset_name':'Dataset777_Made','transpose_forward':[2,0,1],'image_reader_writer':'SimpleITKIO',"
    "'label_manager':'LabelManager','foreground_intensity_properties_per_channel':{'0':{'mean':41.5,'std':77.125,"
    "'percentile_00_5':-60.25,'percentile_99_5':310.5}},'configurations':{'3d_fullres':{'batch_size':3,"
    "'preprocessor_name':'DefaultPreprocessor','patch_size':[24,8,16],'spacing':[1.25,2.5,0.75],'normalization_schemes'"
    ":['CTNormalization'],'use_mask_for_norm':[false],'resampling_fn_data':'resample_data_or_seg_to_shape',"
    "'resampling_fn_data_kwargs':{'is_seg':false,'order':3},'batch_dice':true,'architecture':{'network_class_name':"
    "'dynamic_network_architectures.architectures.unet.PlainConvUNet','arch_kwargs':{'n_stages':3,"
    "'features_per_stage':[4,6,8],'conv_op':'torch.nn.modules.conv.Conv3d','kernel_sizes':[[1,3,3],[3,3,3],[3,3,3]],"
    "'strides':[[1,1,1],[1,2,4],[2,2,2]],'n_conv_per_stage':[1,2,1],'n_conv_per_stage_decoder':[2,1],'conv_bias':true,"
    "'norm_op':'torch.nn.modules.instancenorm.InstanceNorm3d','norm_op_kwargs':{'eps':0.00002,'affine':true},"
    "'dropout_op':null,'nonlin':'torch.nn.LeakyReLU','nonlin_kwargs':{'inplace':true,'negative_slope':0.02}}}},"
    "'child':{'inherits_from':'3d_fullres','batch_size':5},'loop':{'inherits_from':'loop'},"
    "'cascade':{'inherits_from':'child','previous_stage':'3d_lowres'}}}";

static TessPlan *
import (const char *plans, const char *configuration, const char *dataset, guint axes[3], GError **error)
{
  g_autoptr (GError) own = NULL;
  g_autoptr (JsonNode) root = tess_json_parse (plans, -1, "plans.json", &own);
  g_autoptr (JsonNode) labels = tess_json_parse (dataset, -1, "dataset.json", &own);

  g_assert_no_error (own);
  return tess_plan_from_nnunet (json_node_get_object (root), configuration, json_node_get_object (labels), "plans.json",
                                axes, error);
}

static char *
replaced (const char *text, const char *from, const char *to)
{
  g_auto (GStrv) parts = g_strsplit (text, from, -1);

  if (!parts[0] || !parts[1])
    g_error ("there is no %s", from);
  return g_strjoinv (to, parts);
}

/* The small plans with `from` turned into `to` ('' for ""). */
static char *
changed (const char *from, const char *to)
{
  char *text = replaced (made, from, to);

  g_strdelimit (text, "'", '"');
  return text;
}

static void
test_fields (void)
{
  g_autofree char *text = changed ("child", "child");
  g_autoptr (GError) error = NULL;
  guint axes[3];
  g_autoptr (TessPlan) plan = import (text, "child", DATASET, axes, &error);

  /* Axis 0 there is x (2 of z, y, x), axis 1 is z, axis 2 is y. */
  const gint64 patch[3] = {24, 16, 8}, kernel[3] = {1, 3, 3}, stride[3] = {1, 4, 2};
  const double spacing[3] = {1.25, 0.75, 2.5};

  g_assert_no_error (error);
  g_assert_cmpuint (axes[0], ==, 2);
  g_assert_cmpuint (axes[1], ==, 0);
  g_assert_cmpuint (axes[2], ==, 1);
  g_assert_cmpmem (plan->patch, sizeof patch, patch, sizeof patch);
  g_assert_cmpmem (plan->spacing, sizeof spacing, spacing, sizeof spacing);
  g_assert_cmpmem (plan->network.kernel[0], sizeof kernel, kernel, sizeof kernel);
  g_assert_cmpmem (plan->network.stride[1], sizeof stride, stride, sizeof stride);
  g_assert_cmpuint (plan->network.n_stages, ==, 3);
  g_assert_cmpint (plan->network.features[1], ==, 6);
  g_assert_cmpint (plan->network.convs_encoder[1], ==, 2);
  g_assert_cmpint (plan->network.convs_decoder[0], ==, 2);
  g_assert_cmpint (plan->network.convs_decoder[1], ==, 1);
  g_assert_cmpfloat (plan->network.leaky_slope, ==, 0.02);
  g_assert_cmpfloat (plan->network.norm_eps, ==, 0.00002);
  g_assert_cmpstr (plan->dataset_name, ==, "Dataset777_Made");
  g_assert_cmpuint (plan->n_channels, ==, 1);
  g_assert_cmpint (plan->channels[0].norm, ==, TESS_NORM_CT);
  g_assert_cmpfloat (plan->channels[0].lower, ==, -60.25);
  g_assert_cmpfloat (plan->channels[0].upper, ==, 310.5);
  g_assert_cmpfloat (plan->channels[0].mean, ==, 41.5);
  g_assert_cmpfloat (plan->channels[0].std, ==, 77.125);
  g_assert_cmpuint (plan->n_labels, ==, 3);
  g_assert_cmpstr (plan->labels[1].name, ==, "organ"); /* by value, not by place */
  g_assert_cmpstr (plan->labels[2].name, ==, "tumour");
  g_assert_cmpint (plan->training.batch_size, ==, 5);
  g_assert_true (plan->training.batch_dice);
  g_assert_cmpuint (plan->reasons->len, ==, 1); /* cubic splines there */
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[0], ==, 30.0);
}

/* A patch more than three times as long as it is thick is turned within its slices only. */
static void
test_flat (void)
{
  g_autofree char *text = changed ("[24,8,16]", "[8,8,32]");
  g_autoptr (GError) error = NULL;
  guint axes[3];
  g_autoptr (TessPlan) plan = import (text, "3d_fullres", DATASET, axes, &error);

  g_assert_no_error (error);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[0], ==, 180.0);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[1], ==, 0.0);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[2], ==, 0.0);
}

/* The small plans as a residual network's, with and without its own stem. */
static void
test_residual (void)
{
  for (guint stem = 0; stem < 2; stem++) {
    g_autofree char *renamed = changed ("unet.PlainConvUNet", "unet.ResidualEncoderUNet");
    g_autofree char *text = replaced (renamed, "\"n_conv_per_stage\"",
                                      stem ? "\"block\":\"dna.residual.BasicBlockD\",\"stem_channels\":7,"
                                             "\"n_blocks_per_stage\""
                                           : "\"stem_channels\":null,\"n_blocks_per_stage\"");
    g_autoptr (GError) error = NULL;
    guint axes[3];
    g_autoptr (TessPlan) plan = import (text, "3d_fullres", DATASET, axes, &error);

    g_assert_no_error (error);
    g_assert_cmpint (plan->network.architecture, ==, TESS_PLAN_RESIDUAL_UNET);
    g_assert_cmpint (plan->network.stem_features, ==, stem ? 7 : 0);
    g_assert_cmpint (plan->network.convs_encoder[1], ==, 2);
    g_assert_cmpint (plan->network.convs_decoder[0], ==, 2);
    g_assert_cmpuint (plan->network.slice_axis, ==, 0);
  }
}

/* The small plans as those of slices, which lie across x there (transpose_forward). */
static void
test_slices (void)
{
  static const char *const changes[][2] = {{"[24,8,16]", "[8,16]"},
                                           {"[1.25,2.5,0.75]", "[2.5,0.75]"},
                                           {"[[1,3,3],[3,3,3],[3,3,3]]", "[[1,3],[3,3],[3,3]]"},
                                           {"[[1,1,1],[1,2,4],[2,2,2]]", "[[1,1],[2,4],[1,2]]"},
                                           {"Conv3d", "Conv2d"},
                                           {"InstanceNorm3d", "InstanceNorm2d"},
                                           {"'dataset_name'", "'original_median_spacing_after_transp':[4.5,2.5,0.75],"
                                                              "'dataset_name'"}};
  const gint64 patch[3] = {1, 16, 8}, kernel[3] = {1, 3, 1}, stride[3] = {1, 4, 2};
  const double spacing[3] = {4.5, 0.75, 2.5};

  for (guint without = 0; without <= G_N_ELEMENTS (changes); without++) {
    g_autofree char *text = g_strdup (made);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPlan) plan = NULL;
    guint axes[3];

    for (guint i = 0; i < G_N_ELEMENTS (changes); i++) {
      char *next = i == without ? g_strdup (text) : replaced (text, changes[i][0], changes[i][1]);

      g_free (text);
      text = next;
    }
    g_strdelimit (text, "'", '"');
    plan = import (text, "3d_fullres", DATASET, axes, &error);
    if (without < G_N_ELEMENTS (changes)) { /* slices in one place and not in another */
      g_assert_null (plan);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpuint (plan->network.slice_axis, ==, 1);
    g_assert_cmpmem (plan->patch, sizeof patch, patch, sizeof patch);
    g_assert_cmpmem (plan->spacing, sizeof spacing, spacing, sizeof spacing);
    g_assert_cmpmem (plan->network.kernel[0], sizeof kernel, kernel, sizeof kernel);
    g_assert_cmpmem (plan->network.stride[1], sizeof stride, stride, sizeof stride);
    g_assert_cmpfloat (plan->augmentation.rotation_degrees[0], ==, 15.0); /* twice as long as wide */
    g_assert_cmpfloat (plan->augmentation.rotation_degrees[1], ==, 0.0);
    g_assert_cmpfloat (plan->augmentation.mirror_probability[0], ==, 0.0);
    g_assert_cmpfloat (plan->augmentation.mirror_probability[2], ==, 0.5);
    g_assert_cmpuint (plan->reasons->len, ==, 2);
  }
}

static void
test_refused (void)
{
  static const struct {
    const char *from, *to, *configuration, *words;
  } cases[] = {
      {"architectures.unet.PlainConvUNet", "architectures.unet.ResidualEncoderUNet", "3d_fullres",
       "n_blocks_per_stage"},
      {"architectures.unet.PlainConvUNet", "architectures.unet.ResidualUNet", "3d_fullres", "ResidualUNet"},
      {"'conv_bias':true", "'conv_bias':true,'block':'residual.BottleneckD'", "3d_fullres", "BottleneckD"},
      {"unet.PlainConvUNet", "unet.MyPlainConvUNet", "3d_fullres", "MyPlainConvUNet"},
      {"Conv3d", "Conv2d", "3d_fullres", "Conv2d"},
      {"'dropout_op':null", "'dropout_op':'torch.nn.Dropout3d'", "3d_fullres", "Dropout3d"},
      {"'conv_bias':true", "'conv_bias':false", "3d_fullres", "conv_bias"},
      {"InstanceNorm3d", "BatchNorm3d", "3d_fullres", "BatchNorm3d"},
      {"'affine':true", "'affine':false", "3d_fullres", "affine"},
      {",'affine':true", "", "3d_fullres", "norm_op_kwargs"},
      {"torch.nn.LeakyReLU", "torch.nn.ReLU", "3d_fullres", "torch.nn.ReLU"},
      {"'nonlin':'torch.nn.LeakyReLU'", "'nonlin':null", "3d_fullres", "nonlin"},
      {"'conv_bias':true", "'conv_bias':true,'nonlin_first':true", "3d_fullres", "nonlin_first"},
      {"CTNormalization", "RGBTo01Normalization", "3d_fullres", "RGBTo01Normalization"},
      {"[false]", "[true]", "3d_fullres", "use_mask_for_norm"},
      {"'resample_data_or_seg_to_shape'", "'no_resampling_hack'", "3d_fullres", "no_resampling_hack"},
      {"DefaultPreprocessor", "OtherPreprocessor", "3d_fullres", "OtherPreprocessor"},
      {"SimpleITKIO", "NibabelIOWithReorient", "3d_fullres", "NibabelIOWithReorient"},
      {"'LabelManager'", "'RegionManager'", "3d_fullres", "RegionManager"},
      {"child", "child", "cascade", "previous_stage"},
      {"child", "child", "loop", "inherits from too many"},
      {"child", "child", "2d", "there are: 3d_fullres, child, loop, cascade"},
      {"[24,8,16]", "[8,16]", "3d_fullres", "spacing"},
      {"[24,8,16]", "[25,8,16]", "3d_fullres", "\"patch\" is 25 along x"},
      {"[2,0,1]", "[2,0,0]", "3d_fullres", "transpose_forward"},
      {"'strides':[[1,1,1],", "'strides':[", "3d_fullres", "strides"},
      {"'strides':[[1,1,1]", "'strides':[1", "3d_fullres", "strides"},
      {"[4,6,8]", "[4,6]", "3d_fullres", "features_per_stage"},
      {"[4,6,8]", "[4,'6',8]", "3d_fullres", "features_per_stage"},
      {"'percentile_00_5'", "'other'", "3d_fullres", "percentile_00_5"},
      {"'architecture'", "'other'", "3d_fullres", "architecture"},
      {"'configurations'", "'other'", "3d_fullres", "configurations"},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *text = changed (cases[i].from, cases[i].to);
    g_autoptr (GError) error = NULL;
    guint axes[3];
    g_autoptr (TessPlan) plan = import (text, cases[i].configuration, DATASET, axes, &error);

    g_assert_null (plan);
    if (!strstr (error->message, cases[i].words) || !g_str_has_prefix (error->message, "plans.json: "))
      g_error ("\"%s\" does not say \"%s\"", error->message, cases[i].words);
  }
}

static void
test_dataset (void)
{
  static const struct {
    const char *dataset, *words; /* NULL: taken */
  } cases[] = {
      {"{\"modality\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"a\":1,\"ignore\":2}}", NULL},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"a\":1,\"ignore\":3}}", "\"ignore\": 2"},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"whole\":[1,2],\"a\":2}}",
       "\"regions_class_order\" is missing"},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"a\":2}}", "labels"},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"a\":0}}", "labels"},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"a\":\"x\"}}", "\"a\""},
      {"{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0}}", "labels"},
      {"{\"channel_names\":{\"0\":\"CT\",\"1\":\"MR\"},\"labels\":{\"background\":0,\"a\":1}}", "channel_names"},
      {"{\"channel_names\":{\"1\":\"CT\"},\"labels\":{\"background\":0,\"a\":1}}", "\"0\""},
      {"{\"labels\":{\"background\":0,\"a\":1}}", "channel_names"},
      {"{\"channel_names\":{\"0\":\"CT\"}}", "labels"},
  };
  g_autofree char *text = changed ("child", "child");

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autoptr (GError) error = NULL;
    guint axes[3];
    g_autoptr (TessPlan) plan = import (text, "3d_fullres", cases[i].dataset, axes, &error);

    if (!cases[i].words) {
      g_assert_no_error (error);
      g_assert_cmpuint (plan->n_labels, ==, 2);
      continue;
    }
    g_assert_null (plan);
    if (!strstr (error->message, cases[i].words))
      g_error ("\"%s\" does not say \"%s\"", error->message, cases[i].words);
  }
}

/* Regions: channels in the order of declaration, painted in the order of regions_class_order. */
static void
test_regions (void)
{
  g_autofree char *text = changed ("child", "child");
  g_autoptr (GError) error = NULL;
  guint axes[3];
  g_autoptr (TessPlan) plan =
      import (text, "3d_fullres",
              "{\"channel_names\":{\"0\":\"CT\"},\"labels\":{\"background\":0,\"whole\":[1,2,3],\"core\":[2,3],"
              "\"enhancing\":3,\"ignore\":4},\"regions_class_order\":[1,2,3]}",
              axes, &error);

  g_assert_no_error (error);
  g_assert_cmpuint (plan->n_labels, ==, 4);
  g_assert_cmpuint (plan->n_regions, ==, 3);
  g_assert_cmpint (plan->ignore_label, ==, 4);
  g_assert_cmpint (plan->training.loss, ==, TESS_PLAN_LOSS_DICE_BCE);
  g_assert_cmpstr (plan->regions[0].name, ==, "whole");
  g_assert_cmpstr (tess_plan_score_name (plan, 3), ==, "enhancing");
  g_assert_cmpint (plan->regions[1].label, ==, 2);
  g_assert_true (plan->regions[1].holds[2] && plan->regions[1].holds[3] && !plan->regions[1].holds[1]);
}

/* Real plans of the test data; they have no dataset.json beside them but one, so labels are made up. */
static void
test_real (void)
{
  static const struct {
    const char *file, *configuration, *words; /* NULL: taken */
    gint64 patch[3];
    double spacing[3];
    guint n_stages;
    gint64 features;
  } cases[] = {
      {"flare23/plans.json", "3d_fullres", NULL, {160, 128, 48}, {1.5, 1.5, 2.5}, 6, 32},
      {"flare23/plans.json",
       "3d_lowres",
       NULL,
       {160, 160, 80},
       {1.6189567438291603, 1.6189567438291603, 3.166925203469041},
       6,
       32},
      {"flare23/plans.json", "3d_cascade_fullres", "previous_stage", {0}, {0}, 0, 0},
      {"flare23/plans.json", "2d", NULL, {512, 448, 1}, {0.8203120231628418, 0.8203120231628418, 2.5}, 7, 32},
      {"nextou/nnUNetPlans.json", "3d_fullres", NULL, {160, 192, 64}, {0.296875, 0.296875, 0.5999993681907654}, 6, 32},
      {"nextou/nnUNetPlans.json",
       "3d_fullres_nextou",
       NULL,
       {192, 224, 64},
       {0.296875, 0.296875, 0.5999993681907654},
       6,
       33},
      {"brats21/nnUNetPlans.json", "3d_fullres", "use_mask_for_norm", {0}, {0}, 0, 0},
      {"neunet_acdc/nnUNetPlans_ACDC.json", "3d_fullres", "neUNet", {0}, {0}, 0, 0},
      {"neunet_brats/nnUNetPlans_BraTs.json", "3d_fullres", "neUNet", {0}, {0}, 0, 0},
      {"neunet_btcv/nnUNetPlans_BTCV.json",
       "3d_lowres",
       NULL,
       {160, 160, 96},
       {1.5404766626380535, 1.5404766626380535, 3.0},
       6,
       32},
      {"neunet_synapse/nnUNetPlans_Synapse.json", "3d_fullres", "neUNet", {0}, {0}, 0, 0},
      {"stenosis_2d/plans.json", "2d", "NaturalImage2DIO", {0}, {0}, 0, 0},
  };
  g_autofree char *folder = g_build_filename (g_getenv ("TESSERA_SHARED_DATA"), "nnunet", NULL);
  const char *four =
      "{\"channel_names\":{\"0\":\"a\",\"1\":\"b\",\"2\":\"c\",\"3\":\"d\"},\"labels\":{\"background\":0,"
      "\"x\":1}}";

  if (!g_file_test (folder, G_FILE_TEST_IS_DIR)) {
    g_test_skip ("the folder of test data is not here");
    return;
  }
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    g_autofree char *path = g_build_filename (folder, cases[i].file, NULL);
    g_autofree char *text = NULL;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPlan) plan = NULL;
    guint axes[3];

    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    plan = import (text, cases[i].configuration, strstr (path, "brats") ? four : DATASET, axes, &error);
    if (cases[i].words) {
      g_assert_null (plan);
      if (!strstr (error->message, cases[i].words))
        g_error ("%s: \"%s\" does not say \"%s\"", path, error->message, cases[i].words);
      continue;
    }
    g_assert_no_error (error);
    g_assert_cmpmem (plan->patch, sizeof plan->patch, cases[i].patch, sizeof cases[i].patch);
    g_assert_cmpmem (plan->spacing, sizeof plan->spacing, cases[i].spacing, sizeof cases[i].spacing);
    g_assert_cmpuint (plan->network.n_stages, ==, cases[i].n_stages);
    g_assert_cmpint (plan->network.features[0], ==, cases[i].features);
    g_assert_cmpint (plan->network.features[5], ==, cases[i].patch[2] == 1 ? 512 : cases[i].features == 33 ? 324 : 320);
    g_assert_cmpint (plan->training.batch_size, ==, cases[i].patch[2] == 1 ? 14 : 2);
  }
}

/* The one with its own dataset.json: labels in their order, intensities under their old name or new. */
static void
test_flare (void)
{
  const char *root = g_getenv ("TESSERA_SHARED_DATA");
  g_autofree char *path = g_build_filename (root, "nnunet", "flare23", "plans.json", NULL);
  g_autofree char *labels = g_build_filename (root, "nnunet", "flare23", "dataset.json", NULL);
  g_autofree char *text = NULL;
  g_autofree char *dataset = NULL;
  g_autoptr (TessPlan) plan = NULL;
  g_autoptr (GError) error = NULL;
  const gint64 first[3] = {3, 3, 1}, second[3] = {2, 2, 1};
  guint axes[3];

  if (!g_file_get_contents (path, &text, NULL, NULL) || !g_file_get_contents (labels, &dataset, NULL, NULL)) {
    g_test_skip ("the folder of test data is not here");
    return;
  }
  plan = import (text, "3d_fullres", dataset, axes, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (plan->n_labels, ==, 15);
  g_assert_cmpstr (plan->labels[14].name, ==, "Tumor");
  g_assert_cmpstr (plan->channels[0].name, ==, "CT");
  g_assert_cmpfloat (plan->channels[0].lower, ==, -969.0);
  g_assert_cmpfloat (plan->channels[0].upper, ==, 277.0);
  g_assert_cmpfloat (plan->channels[0].mean, ==, 70.34545764431464);
  g_assert_cmpfloat (plan->channels[0].std, ==, 141.39995182092852);
  g_assert_cmpmem (plan->network.kernel[0], sizeof first, first, sizeof first);
  g_assert_cmpmem (plan->network.stride[1], sizeof second, second, sizeof second);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plan-nnunet/fields", test_fields);
  g_test_add_func ("/plan-nnunet/flat", test_flat);
  g_test_add_func ("/plan-nnunet/residual", test_residual);
  g_test_add_func ("/plan-nnunet/slices", test_slices);
  g_test_add_func ("/plan-nnunet/refused", test_refused);
  g_test_add_func ("/plan-nnunet/dataset", test_dataset);
  g_test_add_func ("/plan-nnunet/regions", test_regions);
  g_test_add_func ("/plan-nnunet/real", test_real);
  g_test_add_func ("/plan-nnunet/flare", test_flare);
  return g_test_run ();
}
