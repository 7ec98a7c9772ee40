#include "tess-plan.h"

#include <glib/gstdio.h>
#include <math.h>
#include <string.h>

static TessPlan *
full_plan (void)
{
  TessPlan *plan = tess_plan_new ();

  g_free (plan->dataset_name);
  plan->dataset_name = g_strdup ("Dataset \"04\" \xc3\xa9");
  tess_plan_add_channel (plan, "CT", TESS_NORM_CT);
  plan->channels[0].lower = -1023.3333333333334;
  plan->channels[0].upper = 1e300;
  plan->channels[0].mean = -0.1;
  plan->channels[0].std = 5e-324;
  tess_plan_add_channel (plan, "T2", TESS_NORM_ZSCORE);
  tess_plan_add_channel (plan, "map", TESS_NORM_NONE);
  tess_plan_add_label (plan, "background", 0);
  tess_plan_add_label (plan, "liver", 1);
  tess_plan_add_label (plan, "tumour", 2);
  for (guint a = 0; a < 3; a++) {
    plan->spacing[a] = 0.1 + 1.0 / (3.0 + a);
    plan->patch[a] = 16 * (1 + a);
    plan->augmentation.rotation_degrees[a] = 30.0 / 7.0 + a;
    plan->augmentation.mirror_probability[a] = 1.0 / (3.0 + a);
  }
  plan->network.n_stages = 4;
  memset (plan->network.convs_decoder, 0, sizeof plan->network.convs_decoder);
  for (guint s = 0; s < TESS_MAX_STAGES; s++) {
    gboolean used = s < 4;

    plan->network.features[s] = used ? 10 + 3 * s : 0;
    plan->network.convs_encoder[s] = used ? 1 + s : 0;
    if (s < 3)
      plan->network.convs_decoder[s] = 3 - s;
    for (guint a = 0; a < 3; a++) {
      plan->network.kernel[s][a] = used ? ((s + a) % 2 ? 3 : 1) : 0;
      plan->network.stride[s][a] = !used ? 0 : s == 0 ? 1 : (s + a) % 2 ? 2 : 1;
    }
  }
  plan->network.leaky_slope = 0.1 / 3.0;
  plan->network.norm_eps = 1e-3 / 7.0;
  plan->network.deep_supervision = FALSE;
  plan->training.seed = G_MAXINT64;
  plan->training.batch_size = 3;
  plan->training.epochs = 77;
  plan->training.iterations_per_epoch = 11;
  plan->training.validation_iterations = 5;
  plan->training.learning_rate = 0.1 / 3.0;
  plan->training.momentum = 2.0 / 3.0;
  plan->training.weight_decay = 1e-5 / 3.0;
  plan->training.poly_exponent = 1.0;
  plan->training.clip_norm = 12.000000000000002;
  plan->training.oversample_foreground = 1.0 / 3.0;
  plan->training.batch_dice = TRUE;
  plan->training.dice_smooth = 1e-5;
  plan->training.dice_background = TRUE;
  plan->training.loss = TESS_PLAN_LOSS_TVERSKY;
  plan->training.tversky_alpha = 0.1 / 3.0;
  plan->training.tversky_beta = 0.9;
  plan->training.focal_gamma = 1.5;
  plan->training.optimiser = TESS_PLAN_OPTIMISER_ADAMW;
  plan->training.beta1 = 0.8;
  plan->training.beta2 = 0.95;
  plan->training.epsilon = 1e-7;
  plan->training.cache_bytes = G_GINT64_CONSTANT (123456789012);
  plan->training.pool_cases = 8;
  plan->training.pool_patches = 24;
  plan->augmentation.rotation_probability = 0.2;
  plan->augmentation.scale_probability = 1e-17;
  plan->augmentation.scale_lower = 0.7;
  plan->augmentation.scale_upper = 1.4;
  plan->inference.step = 0.30000000000000004;
  plan->inference.gaussian = FALSE;
  tess_plan_add_reason (plan, "patch %d: because", 16);
  tess_plan_add_reason (plan, "100 %% \n of \"it\"");
  return plan;
}

/* Everything but pointers and the reference count, bit for bit. */
static void
assert_equal (const TessPlan *a, const TessPlan *b)
{
  g_assert_cmpstr (a->dataset_name, ==, b->dataset_name);
  g_assert_cmpuint (a->n_channels, ==, b->n_channels);
  for (guint i = 0; i < a->n_channels; i++) {
    const TessPlanChannel *c = &a->channels[i], *d = &b->channels[i];

    g_assert_cmpstr (c->name, ==, d->name);
    g_assert_cmpint (c->norm, ==, d->norm);
    g_assert_cmpmem (&c->lower, 4 * sizeof (double), &d->lower, 4 * sizeof (double));
  }
  g_assert_cmpuint (a->n_labels, ==, b->n_labels);
  for (guint i = 0; i < a->n_labels; i++) {
    g_assert_cmpstr (a->labels[i].name, ==, b->labels[i].name);
    g_assert_cmpint (a->labels[i].value, ==, b->labels[i].value);
  }
  g_assert_cmpmem (a->spacing, sizeof a->spacing, b->spacing, sizeof b->spacing);
  g_assert_cmpmem (a->patch, sizeof a->patch, b->patch, sizeof b->patch);
  g_assert_cmpmem (&a->network, sizeof a->network, &b->network, sizeof b->network);
  g_assert_cmpmem (&a->training, sizeof a->training, &b->training, sizeof b->training);
  g_assert_cmpmem (&a->augmentation, sizeof a->augmentation, &b->augmentation, sizeof b->augmentation);
  g_assert_cmpmem (&a->inference, sizeof a->inference, &b->inference, sizeof b->inference);
  g_assert_cmpuint (a->reasons->len, ==, b->reasons->len);
  for (guint i = 0; i < a->reasons->len; i++)
    g_assert_cmpstr (g_ptr_array_index (a->reasons, i), ==, g_ptr_array_index (b->reasons, i));
}

static void
test_round_trip (void)
{
  g_autoptr (TessPlan) plan = full_plan (), copy = tess_plan_dup (plan);
  g_autoptr (JsonNode) node = tess_plan_to_json (plan);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPlan) back = tess_plan_from_json (node, "memory", &error);
  g_autofree char *text = tess_plan_to_text (plan), *dir = NULL, *path = NULL;
  g_autoptr (TessPlan) parsed = NULL, loaded = NULL;

  g_assert_no_error (error);
  assert_equal (plan, copy);
  assert_equal (plan, back);
  g_assert_null (strchr (text, '\n'));
  parsed = tess_plan_from_text (text, NULL, &error);
  g_assert_no_error (error);
  assert_equal (plan, parsed);

  dir = g_dir_make_tmp ("tessera-plan-XXXXXX", &error);
  g_assert_no_error (error);
  path = g_build_filename (dir, "plan.json", NULL);
  g_assert_true (tess_plan_save (plan, path, &error));
  g_assert_no_error (error);
  loaded = tess_plan_load (path, &error);
  g_assert_no_error (error);
  assert_equal (plan, loaded);
  g_unlink (path);
  g_rmdir (dir);
}

/* A residual network of single slices. */
static void
test_residual (void)
{
  g_autoptr (TessPlan) plan = full_plan (), back = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  plan->network.architecture = TESS_PLAN_RESIDUAL_UNET;
  plan->network.stem_features = 7;
  plan->network.slice_axis = 2;
  g_assert_false (tess_plan_validate (plan, "slices", &error));
  g_assert_nonnull (strstr (error->message, "along y must be 1"));
  g_clear_error (&error);
  for (guint s = 0; s < plan->network.n_stages; s++)
    plan->network.kernel[s][1] = plan->network.stride[s][1] = 1;
  g_assert_false (tess_plan_validate (plan, "slices", &error));
  g_assert_nonnull (strstr (error->message, "\"patch\" is 32 along y"));
  g_clear_error (&error);
  plan->patch[1] = 1;
  text = tess_plan_to_text (plan);
  g_assert_nonnull (strstr (text, "\"slice_axis\":\"y\",\"stem_features\":7"));
  g_assert_nonnull (strstr (text, "\"blocks\":4"));
  back = tess_plan_from_text (text, NULL, &error);
  g_assert_no_error (error);
  assert_equal (plan, back);
  plan->network.slice_axis = 4;
  g_assert_false (tess_plan_validate (plan, "slices", NULL));
}

static void
test_defaults (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();

  /* nnU-Net v2: nnUNetTrainer.py, default_experiment_planner.py */
  g_assert_cmpfloat (plan->training.learning_rate, ==, 0.01);
  g_assert_cmpfloat (plan->training.momentum, ==, 0.99);
  g_assert_cmpfloat (plan->training.weight_decay, ==, 3e-5);
  g_assert_cmpfloat (plan->training.poly_exponent, ==, 0.9);
  g_assert_cmpfloat (plan->training.clip_norm, ==, 12.0);
  g_assert_cmpfloat (plan->training.oversample_foreground, ==, 0.33);
  g_assert_cmpint (plan->training.iterations_per_epoch, ==, 250);
  g_assert_cmpint (plan->training.validation_iterations, ==, 50);
  g_assert_cmpint (plan->training.epochs, ==, 1000);
  g_assert_cmpint (plan->training.seed, ==, 12345);
  g_assert_cmpfloat (plan->augmentation.scale_lower, ==, 0.7);
  g_assert_cmpfloat (plan->augmentation.scale_upper, ==, 1.4);
  /* get_training_transforms() */
  g_assert_cmpfloat (plan->augmentation.noise_probability, ==, 0.1);
  g_assert_cmpfloat (plan->augmentation.noise_upper, ==, 0.1);
  g_assert_cmpfloat (plan->augmentation.blur_probability, ==, 0.2);
  g_assert_cmpfloat (plan->augmentation.brightness_probability, ==, 0.15);
  g_assert_cmpfloat (plan->augmentation.contrast_probability, ==, 0.15);
  g_assert_cmpfloat (plan->augmentation.low_resolution_probability, ==, 0.25);
  g_assert_cmpfloat (plan->augmentation.gamma_inverted_probability, ==, 0.1);
  g_assert_cmpfloat (plan->augmentation.gamma_probability, ==, 0.3);
  g_assert_cmpfloat (plan->inference.step, ==, 0.5);
  g_assert_true (plan->inference.gaussian);
  g_assert_false (tess_plan_validate (plan, "empty", NULL)); /* no channels yet */
  tess_plan_add_channel (plan, "MRI", TESS_NORM_ZSCORE);
  tess_plan_add_label (plan, "background", 0);
  tess_plan_add_label (plan, "organ", 1);
  g_assert_true (tess_plan_validate (plan, NULL, NULL));
}

static void
test_heads (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  double w[TESS_MAX_STAGES];

  g_assert_cmpuint (tess_plan_n_heads (plan), ==, 5);
  tess_plan_head_weights (plan, w);
  for (guint i = 0; i < 5; i++) { /* 8, 4, 2, 1, 0 fifteenths */
    static const double expected[5] = {8.0 / 15.0, 4.0 / 15.0, 2.0 / 15.0, 1.0 / 15.0, 0.0};

    g_assert_cmpfloat_with_epsilon (w[i], expected[i], 1e-15);
  }
  plan->network.n_stages = 2;
  g_assert_cmpuint (tess_plan_n_heads (plan), ==, 1);
  tess_plan_head_weights (plan, w);
  g_assert_cmpfloat (w[0], ==, 1.0);
  plan->network.n_stages = 6;
  plan->network.deep_supervision = FALSE;
  g_assert_cmpuint (tess_plan_n_heads (plan), ==, 1);
}

/* from -> to in the text of a good plan; what the message must then contain. */
static const struct {
  const char *from, *to, *says;
} faults[] = {
    {"\"format\":\"tessera-plan\"", "\"format\":\"other\"", "not a plan"},
    {"\"version\":1", "\"version\":2", "newer version"},
    {"\"axis_order\":\"x,y,z\"", "\"axis_order\":\"z,y,x\"", "axis_order"},
    {"\"patch\":[16,32,48]", "\"patch\":[16,32]", "patch"},
    {"\"patch\":[16,32,48]", "\"patch\":[16,0,48]", "patch"},
    {"\"patch\":[16,32,48]", "\"patch\":[16,32,4097]", "patch"},
    {"\"patch\":[16,32,48]", "\"patch\":[16.5,32,48]", "patch"},
    {"\"patch\":[16,32,48]", "\"patch\":[15,32,48]", "multiple"},
    {"\"patch\":[16,32,48]", "\"patch\":\"16\"", "patch"},
    {"\"patch\":", "\"stitch\":", "patch"},
    {"\"learning_rate\":", "\"learning_rate\":\"fast\",\"x\":", "learning_rate"},
    {"\"learning_rate\":", "\"learning_rate\":-1,\"x\":", "learning_rate"},
    {"\"learning_rate\":", "\"learning_rate\":1e999,\"x\":", "learning_rate"},
    {"\"batch_size\":3", "\"batch_size\":4097", "batch_size"},
    {"\"batch_size\":3", "\"batch_size\":0", "batch_size"},
    {"\"rotation_probability\":", "\"rotation_probability\":1.5,\"x\":", "rotation_probability"},
    {"\"scale_lower\":", "\"scale_lower\":1.5,\"x\":", "scale_lower"},
    {"\"gamma_upper\":", "\"gamma_upper\":0.5,\"x\":", "gamma_lower"},
    {"\"blur_upper\":", "\"blur_upper\":4,\"x\":", "blur_upper"},
    {"\"low_resolution_lower\":", "\"low_resolution_lower\":[0.5,0,1],\"x\":", "low_resolution_lower"},
    {"\"value\":2", "\"value\":3", "labels[2]"},
    {"\"value\":0", "\"value\":1", "labels[0]"},
    {"\"name\":\"background\"", "\"name\":\"back\\u001bground\"", "control characters"},
    {"\"features\":13", "\"features\":0", "stages[1]"},
    {"\"features\":13", "\"features\":5000", "stages[1]"},
    {"\"kernel\":[1,3,1]", "\"kernel\":[2,3,1]", "stages[0]"},
    {"\"stride\":[1,1,1]", "\"stride\":[2,1,1]", "stages[0]"},
    {"\"convs_decoder\":[3,2,1]", "\"convs_decoder\":[3,2]", "convs_decoder"},
    {"\"normalisation\":\"ct\"", "\"normalisation\":\"hounsfield\"", "channels[0]"},
    {"\"std\":", "\"std\":-1,\"x\":", "channels[0]"},
    {"\"mean\":", "\"meen\":", "mean"},
    {"\"architecture\":\"plain-unet\"", "\"architecture\":\"vit\"", "vit"},
    {"\"architecture\":\"plain-unet\"", "\"architecture\":\"residual-unet\"", "blocks"},
    {"\"architecture\":\"plain-unet\"", "\"slice_axis\":\"q\"", "slice_axis"},
    {"\"architecture\":\"plain-unet\"", "\"stem_features\":-1", "stem_features"},
    {"\"deep_supervision\":false", "\"deep_supervision\":3", "deep_supervision"},
    {"\"training\":{", "\"training\":[],\"x\":{", "training"},
    {"\"channels\":[{", "\"channels\":[7,{", "channels[0]"},
};

static char *
replaced (const char *text, const char *from, const char *to)
{
  const char *at = strstr (text, from);

  g_assert_nonnull (at);
  return g_strdup_printf ("%.*s%s%s", (int)(at - text), text, to, at + strlen (from));
}

static void
test_faults (void)
{
  g_autoptr (TessPlan) plan = full_plan ();
  g_autofree char *text = tess_plan_to_text (plan);

  for (guint i = 0; i < G_N_ELEMENTS (faults); i++) {
    g_autofree char *bad = replaced (text, faults[i].from, faults[i].to);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessPlan) got = tess_plan_from_text (bad, "bad.json", &error);

    g_test_message ("%s: %s", faults[i].to, error ? error->message : "accepted");
    g_assert_null (got);
    g_assert_true (error->domain == TESS_ERROR);
    g_assert_true (g_str_has_prefix (error->message, "bad.json"));
    g_assert_nonnull (strstr (error->message, faults[i].says));
  }
}

static void
add_region (TessPlan *plan, const char *name, gint64 label, const char *holds)
{
  TessPlanRegion *region = tess_plan_add_region (plan, name, label);

  for (; *holds; holds++)
    region->holds[*holds - '0'] = 1;
}

/* Regions come back as they were, and decide what the network gives. */
static void
test_regions (void)
{
  g_autoptr (TessPlan) plan = full_plan (), back = NULL;
  g_autoptr (GPtrArray) hidden = NULL, none = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;

  g_assert_false (tess_plan_is_sigmoid (plan));
  g_assert_cmpuint (tess_plan_n_outputs (plan), ==, 3);
  plan->training.loss = TESS_PLAN_LOSS_DICE;
  g_assert_cmpuint (tess_plan_n_outputs (plan), ==, 2); /* a sigmoid a foreground label */
  g_assert_true (tess_plan_output_holds (plan, 1, 2) && !tess_plan_output_holds (plan, 1, 1));
  g_assert_cmpuint (tess_plan_output_label (plan, 1), ==, 2);
  g_assert_cmpuint (tess_plan_n_scores (plan), ==, 3);

  add_region (plan, "organ", 1, "12");
  add_region (plan, "lesion", 2, "2");
  plan->ignore_label = 3;
  text = tess_plan_to_text (plan);
  back = tess_plan_from_text (text, NULL, &error);
  g_assert_no_error (error);
  assert_equal (plan, back);
  g_assert_cmpint (back->ignore_label, ==, 3);
  g_assert_cmpuint (back->n_regions, ==, 2);
  for (guint r = 0; r < 2; r++) {
    g_assert_cmpstr (back->regions[r].name, ==, plan->regions[r].name);
    g_assert_cmpint (back->regions[r].label, ==, plan->regions[r].label);
    g_assert_cmpmem (back->regions[r].holds, 256, plan->regions[r].holds, 256);
  }
  none = tess_plan_hidden_labels (plan);
  g_assert_cmpuint (none->len, ==, 0);
  plan->regions[1].label = 1; /* 2 cannot come out */
  add_region (plan, "all", 1, "012");
  hidden = tess_plan_hidden_labels (plan); /* two covered regions and a label */
  g_assert_cmpuint (hidden->len, ==, 3);

  plan->training.loss = TESS_PLAN_LOSS_DICE_CE;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "softmax"));
  g_clear_error (&error);
  plan->training.loss = TESS_PLAN_LOSS_FOCAL;
  g_assert_true (tess_plan_validate (plan, NULL, &error));
  plan->regions[0].label = 7;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "regions[0].label"));
  g_clear_error (&error);
  plan->regions[0].label = 1;
  plan->ignore_label = 2;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "ignore_label"));
}

/* Cut anywhere, a plan is refused, never a crash. */
static void
test_truncated (void)
{
  g_autoptr (TessPlan) plan = full_plan ();
  g_autofree char *text = tess_plan_to_text (plan);

  for (gsize n = strlen (text) - 1; n > 0; n -= MIN (n, 7)) {
    g_autoptr (GError) error = NULL;

    text[n] = '\0';
    g_assert_null (tess_plan_from_text (text, "cut.json", &error));
    g_assert_nonnull (error);
  }
}

static void
test_forward_compatible (void)
{
  g_autoptr (TessPlan) plan = full_plan ();
  g_autofree char *text = tess_plan_to_text (plan);
  g_autofree char *more = replaced (text, "\"training\":{", "\"future\":{\"a\":[1,{}]},\"training\":{\"warmup\":true,");
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPlan) back = tess_plan_from_text (more, NULL, &error), brief = NULL;

  g_assert_no_error (error);
  assert_equal (plan, back);
  /* What a plan cannot be without, and nothing else: the rest are defaults. */
  brief = tess_plan_from_text ("{\"format\":\"tessera-plan\",\"version\":1,\"channels\":[{\"name\":\"MRI\"}],"
                               "\"labels\":[{\"name\":\"background\",\"value\":0},{\"name\":\"organ\",\"value\":1}],"
                               "\"spacing_mm\":[1,1,2],\"patch\":[8,8,8],\"network\":{\"stages\":["
                               "{\"features\":8,\"kernel\":[3,3,3],\"stride\":[1,1,1],\"convs\":2},"
                               "{\"features\":16,\"kernel\":[3,3,3],\"stride\":[2,2,2],\"convs\":2}],"
                               "\"convs_decoder\":[2]}}",
                               NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpfloat (brief->training.learning_rate, ==, 0.01);
  g_assert_cmpfloat (brief->spacing[2], ==, 2.0);
  g_assert_true (brief->network.deep_supervision);
}

/* A network of dilated convolutions is written and read again, and its numbers are checked. */
static void
test_meshnet (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new (), again = NULL;
  g_autofree char *text = NULL;
  g_autoptr (GError) error = NULL;
  g_autoptr (GString) edited = NULL;
  const gint64 dilation[3] = {1, 16, 2};

  tess_plan_add_channel (plan, "T1", TESS_NORM_MINMAX);
  tess_plan_add_label (plan, "background", 0);
  tess_plan_add_label (plan, "brain", 1);
  plan->network.n_layers = 3;
  plan->network.architecture = TESS_PLAN_MESHNET;
  plan->network.features[0] = 7;
  plan->network.deep_supervision = FALSE;
  memcpy (plan->network.dilation, dilation, sizeof dilation);
  text = tess_plan_to_text (plan);
  again = tess_plan_from_text (text, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (again->network.n_layers, ==, 3);
  g_assert_cmpint (again->network.features[0], ==, 7);
  g_assert_true (memcmp (again->network.dilation, dilation, sizeof dilation) == 0);
  g_assert_cmpint (again->channels[0].norm, ==, TESS_NORM_MINMAX);
  g_assert_cmpuint (tess_plan_n_heads (again), ==, 1);

  edited = g_string_new (text);
  g_assert_cmpuint (g_string_replace (edited, "[1,16,2]", "[1,65,2]", 0), ==, 1);
  g_assert_null (tess_plan_from_text (edited->str, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "dilation"));
  g_clear_error (&error);
  plan->network.deep_supervision = TRUE;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "meshnet"));
}

static TessPlan *
network_plan (TessPlanArchitecture architecture, guint n_stages)
{
  TessPlan *plan = tess_plan_new ();

  tess_plan_add_channel (plan, "T1", TESS_NORM_ZSCORE);
  tess_plan_add_label (plan, "background", 0);
  tess_plan_add_label (plan, "brain", 1);
  plan->network.architecture = architecture;
  plan->network.n_stages = n_stages;
  plan->network.deep_supervision = FALSE;
  return plan;
}

static TessPlan *
again (const TessPlan *plan)
{
  g_autofree char *text = tess_plan_to_text (plan);
  g_autoptr (GError) error = NULL;
  TessPlan *read = tess_plan_from_text (text, NULL, &error);

  g_assert_no_error (error);
  return read;
}

static void
refuse_patch (TessPlan *plan, gint64 patch)
{
  g_autoptr (GError) error = NULL;

  plan->patch[1] = patch;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_assert_nonnull (strstr (error->message, "patch"));
}

/* The networks beside nnU-Net's are written and read again, and say which patches they take. */
static void
test_networks (void)
{
  g_autoptr (TessPlan) unet = network_plan (TESS_PLAN_INGRADIENT, 4), unet2 = NULL;
  g_autoptr (TessPlan) se = network_plan (TESS_PLAN_SE_RESIDUAL, 5), se2 = NULL;
  g_autoptr (TessPlan) cased = network_plan (TESS_PLAN_CASED, 4), cased2 = NULL;
  g_autoptr (GError) error = NULL;

  unet->network.deep_supervision = TRUE;
  unet->network.features[3] = 77;
  unet->network.dropout = 0.5;
  unet2 = again (unet);
  g_assert_cmpint (unet2->network.architecture, ==, TESS_PLAN_INGRADIENT);
  g_assert_cmpuint (unet2->network.n_stages, ==, 4);
  g_assert_cmpint (unet2->network.features[3], ==, 77);
  g_assert_cmpfloat (unet2->network.dropout, ==, 0.5);
  unet2->network.dropout = 1;
  g_assert_false (tess_plan_validate (unet2, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_FORMAT);
  g_clear_error (&error);
  g_assert_cmpuint (tess_plan_n_heads (unet2), ==, 3);
  refuse_patch (unet, 132);

  se->network.features[0] = 9;
  se->network.se_ratio = 3;
  se->network.attention_gate = TRUE;
  se->network.leaky_slope = 0.3;
  se->network.noise = 0.125;
  se2 = again (se);
  g_assert_cmpuint (se2->network.n_stages, ==, 5);
  g_assert_cmpint (se2->network.features[0], ==, 9);
  g_assert_cmpint (se2->network.se_ratio, ==, 3);
  g_assert_true (se2->network.attention_gate);
  g_assert_cmpfloat (se2->network.leaky_slope, ==, 0.3);
  g_assert_cmpfloat (se2->network.noise, ==, 0.125);
  se2->network.noise = -1;
  g_assert_false (tess_plan_validate (se2, NULL, &error));
  g_clear_error (&error);
  g_assert_cmpuint (tess_plan_n_heads (se2), ==, 1);
  refuse_patch (se, 15);
  se->patch[1] = 16;
  se->network.features[0] = 65;
  g_assert_false (tess_plan_validate (se, NULL, &error));

  cased->patch[0] = cased->patch[1] = cased->patch[2] = 76;
  cased2 = again (cased);
  g_assert_cmpint (cased2->network.architecture, ==, TESS_PLAN_CASED);
  refuse_patch (cased, 60);
  refuse_patch (cased, 70);
}

/* Kernels of the decoder's own, as nnU-Net v1 has them. */
static void
test_kernels (void)
{
  g_autoptr (TessPlan) plan = network_plan (TESS_PLAN_PLAIN_UNET, 6), read = NULL;
  g_autoptr (GError) error = NULL;

  for (guint u = 0; u < 5; u++)
    for (guint a = 0; a < 3; a++)
      plan->network.kernel_decoder[u][a] = u == 4 && a == 2 ? 5 : 3;
  read = again (plan);
  g_assert_cmpmem (read->network.kernel_decoder, sizeof read->network.kernel_decoder, plan->network.kernel_decoder,
                   sizeof plan->network.kernel_decoder);
  plan->network.kernel_decoder[2][1] = 4;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "even"));
  g_clear_error (&error);
  plan->network.kernel_decoder[2][1] = 9;
  g_assert_false (tess_plan_validate (plan, NULL, &error));
  g_assert_nonnull (strstr (error->message, "kernels_decoder"));
}

static void
test_augmentation (void)
{
  static const char *const names[] = {"full", "spatial", "none"};
  TessPlanAugmentation augmentation;

  for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
    g_autoptr (TessPlan) plan = tess_plan_new ();

    g_assert_true (tess_plan_augmentation_from_name (names[i], &augmentation));
    g_assert_cmpint ((int)augmentation, ==, (int)i);
    tess_plan_restrict_augmentation (plan, augmentation);
    g_assert_true ((plan->augmentation.rotation_probability > 0.0) == (i < 2));
    g_assert_true ((plan->augmentation.scale_probability > 0.0) == (i < 2));
    g_assert_true ((plan->augmentation.mirror_probability[1] > 0.0) == (i < 2));
    g_assert_true ((plan->augmentation.noise_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.blur_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.brightness_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.contrast_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.low_resolution_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.gamma_inverted_probability > 0.0) == (i < 1));
    g_assert_true ((plan->augmentation.gamma_probability > 0.0) == (i < 1));
    g_assert_cmpuint (plan->reasons->len, ==, i > 0);
  }
  g_assert_false (tess_plan_augmentation_from_name ("some", &augmentation));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plan/round-trip", test_round_trip);
  g_test_add_func ("/plan/augmentation", test_augmentation);
  g_test_add_func ("/plan/residual", test_residual);
  g_test_add_func ("/plan/defaults", test_defaults);
  g_test_add_func ("/plan/heads", test_heads);
  g_test_add_func ("/plan/faults", test_faults);
  g_test_add_func ("/plan/regions", test_regions);
  g_test_add_func ("/plan/truncated", test_truncated);
  g_test_add_func ("/plan/forward-compatible", test_forward_compatible);
  g_test_add_func ("/plan/meshnet", test_meshnet);
  g_test_add_func ("/plan/networks", test_networks);
  g_test_add_func ("/plan/kernels", test_kernels);
  return g_test_run ();
}
