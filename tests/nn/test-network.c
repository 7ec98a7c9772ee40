#include <math.h>

#include "parity.h"
#include "tess-network-table.h"
#include "tess-safetensors.h"

static void
plain_unet (TessNetworkSpec *spec)
{
  *spec = (TessNetworkSpec){
      .n_stages = 6,
      .n_channels = 1,
      .n_classes = 3,
      .features = {32, 64, 128, 256, 320, 320},
      .convs_encoder = {2, 2, 2, 2, 2, 2},
      .convs_decoder = {2, 2, 2, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5,
  };
  for (guint s = 0; s < 6; s++)
    for (guint a = 0; a < 3; a++) {
      spec->kernel[s][a] = 3;
      spec->stride[s][a] = s == 0 ? 1 : 2;
    }
}

/* The network of tests/reference/unet_trajectory.py. */
static void
small_unet (TessNetworkSpec *spec)
{
  *spec = (TessNetworkSpec){
      .n_stages = 4,
      .n_channels = 2,
      .n_classes = 3,
      .features = {4, 6, 8, 8},
      .kernel = {{1, 3, 3}, {3, 3, 3}, {3, 3, 3}, {3, 3, 3}},
      .stride = {{1, 1, 1}, {1, 2, 2}, {2, 2, 2}, {1, 1, 2}},
      .convs_encoder = {2, 2, 1, 2},
      .convs_decoder = {1, 2, 2},
      .leaky_slope = 0.01,
      .norm_eps = 1e-5,
  };
}

static guint
count_params (const TessGraph *graph)
{
  guint n = 0;

  for (TessId id = 0; id < graph->tensors->len; id++)
    n += tess_graph_tensor (graph, id)->role == TESS_ROLE_PARAM ? 1 : 0;
  return n;
}

/* PlainConvUNet with these numbers, counted in PyTorch: 31 196 399 in 108 tensors. */
static void
test_count (void)
{
  TessNetworkSpec spec;
  TessProgramSpec program = {.kind = TESS_PROGRAM_TRAIN, .batch = 1, .dhw = {32, 32, 32}, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = NULL;

  plain_unet (&spec);
  g_assert_cmpint (tess_network_n_parameters (&spec), ==, 31196399);
  network = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (count_params (network->graph), ==, 108);
  spec.n_stages = 1;
  g_assert_cmpint (tess_network_n_parameters (&spec), ==, -1);
}

static void
refuse (const TessNetworkSpec *spec, const TessProgramSpec *program, const char *words)
{
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = tess_network_build (spec, program, &error);

  g_assert_null (network);
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);
  if (strstr (error->message, words) == NULL)
    g_error ("\"%s\" does not say \"%s\"", error->message, words);
}

/* nnU-Net's residual presets: 102 350 575 in 264 tensors; and 2D networks, as dynamic_network_architectures counts. */
static void
test_count_others (void)
{
  static const struct {
    TessNetworkArchitecture architecture;
    guint slice_axis, n_stages, n_tensors;
    gint64 n_parameters;
  } cases[] = {
      {TESS_NETWORK_RESIDUAL_UNET, 0, 6, 264, 102350575},
      {TESS_NETWORK_PLAIN_UNET, 1, 8, 148, 46326581}, /* slices across D, H, W */
      {TESS_NETWORK_RESIDUAL_UNET, 2, 8, 376, 140019061},
      {TESS_NETWORK_PLAIN_UNET, 3, 8, 148, 46326581},
  };

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++) {
    TessProgramSpec program = {
        .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {128, 128, 128}, .act_dtype = TESS_DTYPE_F32};
    guint flat = cases[i].slice_axis;
    TessNetworkSpec spec;
    g_autoptr (GError) error = NULL;
    g_autoptr (TessNetwork) network = NULL;

    plain_unet (&spec);
    spec.n_stages = cases[i].n_stages;
    spec.slice_axis = flat;
    for (guint s = 0; s < spec.n_stages; s++) {
      spec.features[s] = MIN (32 << s, flat ? 512 : 320);
      spec.convs_encoder[s] = spec.convs_decoder[s] = 2;
      for (guint a = 0; a < 3; a++) {
        spec.kernel[s][a] = a + 1 == flat ? 1 : 3;
        spec.stride[s][a] = a + 1 == flat || s == 0 ? 1 : 2;
      }
    }
    if (flat)
      program.dhw[flat - 1] = 1;
    spec.architecture = cases[i].architecture;
    if (spec.architecture == TESS_NETWORK_RESIDUAL_UNET)
      for (guint s = 0; s < spec.n_stages; s++) {
        const gint64 blocks[] = {1, 3, 4, 6, 6, 6, 6, 6};

        spec.convs_encoder[s] = blocks[s];
        spec.convs_decoder[s] = 1;
      }
    g_assert_cmpint (tess_network_n_parameters (&spec), ==, cases[i].n_parameters);
    network = tess_network_build (&spec, &program, &error);
    g_assert_no_error (error);
    g_assert_cmpuint (count_params (network->graph), ==, cases[i].n_tensors);
    for (TessId id = 0; id < network->graph->tensors->len; id++) {
      const TessTensor *t = tess_graph_tensor (network->graph, id);

      if (t->role == TESS_ROLE_PARAM && t->n_dims > 1)
        g_assert_cmpuint (t->n_dims, ==, flat ? 4 : 5);
    }
    if (!flat)
      continue;
    program.dhw[flat - 1] = 2;
    refuse (&spec, &program, "would fit");
    program.dhw[flat - 1] = 1;
    spec.stride[2][flat - 1] = 2;
    refuse (&spec, &program, "across the slices");
  }
}

/* The work nnU-Net's networks are known for: 477 and 717.5 GMAC of a 128^3 patch (the finest head alone). */
static void
test_table (void)
{
  static const double gmac[2] = {477, 717.5};
  static const guint n_rows[2] = {22 /* convolutions */ + 5 + 1, 1 + 26 * 3 + 4 + 5 + 5 + 5 + 1};

  for (guint i = 0; i < 2; i++) {
    const gint64 blocks[] = {1, 3, 4, 6, 6, 6};
    TessProgramSpec program = {
        .kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {128, 128, 128}, .act_dtype = TESS_DTYPE_F32};
    g_autoptr (GPtrArray) rows = NULL;
    g_autoptr (GError) error = NULL;
    TessNetworkSpec spec;
    gint64 n_parameters = 0;
    double macs = 0;

    plain_unet (&spec);
    for (guint s = 0; i == 1 && s < 6; s++) {
      spec.architecture = TESS_NETWORK_RESIDUAL_UNET;
      spec.convs_encoder[s] = blocks[s];
      spec.convs_decoder[s] = 1;
    }
    rows = tess_network_table (&spec, &program, &error);
    g_assert_no_error (error);
    for (guint k = 0; k < rows->len; k++)
      macs += ((TessNetworkRow *)rows->pdata[k])->flops / 2e9;
    g_test_message ("%u rows, %.2f GMAC", rows->len, macs);
    g_assert_cmpfloat (fabs (macs - gmac[i]), <, 0.5);
    g_assert_cmpuint (rows->len, ==, n_rows[i]);
    g_clear_pointer (&rows, g_ptr_array_unref);
    program.deep_supervision = TRUE; /* every head: every parameter has its row */
    rows = tess_network_table (&spec, &program, &error);
    g_assert_no_error (error);
    for (guint k = 0; k < rows->len; k++)
      n_parameters += ((TessNetworkRow *)rows->pdata[k])->n_parameters;
    g_assert_cmpint (n_parameters, ==, i ? 102350575 : 31196399);
  }
}

/* Receptive fields measured by PyTorch (nets.py) of every stage and of the finest head. */
static void
test_fields (void)
{
  guint n = 0;

  for (guint i = 0; i < parity_n (); i++) {
    TessProgramSpec program = {.kind = TESS_PROGRAM_INFER, .batch = 1, .act_dtype = TESS_DTYPE_F32};
    g_autofree char *name = g_strdup_printf ("nets_%s.safetensors", parity_name (i));
    g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", name, NULL);
    g_autoptr (GError) error = NULL;
    g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);
    g_autoptr (GPtrArray) rows = NULL;
    TessNetworkSpec spec;

    g_assert_no_error (error);
    parity_spec (i, &spec, program.dhw);
    rows = tess_network_table (&spec, &program, &error);
    g_assert_no_error (error);
    for (guint k = 0; k < tess_safetensors_n (file); k++) {
      const TessSafetensor *t = tess_safetensors_nth (file, k);
      const TessNetworkRow *last = NULL;

      if (!g_str_has_prefix (t->name, "field."))
        continue;
      for (guint r = 0; r < rows->len; r++)
        if (g_str_has_prefix (((TessNetworkRow *)rows->pdata[r])->name, t->name + strlen ("field.")))
          last = rows->pdata[r];
      g_assert_nonnull (last);
      g_assert_cmpmem (last->field, sizeof last->field, t->data, t->bytes);
      n++;
    }
  }
  g_assert_cmpuint (n, ==, 24);
}

/* Names, shapes and order of torch's named_parameters (), as the fixture holds them. */
static void
test_names (void)
{
  TessNetworkSpec spec;
  TessProgramSpec program = {.kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {8, 12, 16}, .act_dtype = TESS_DTYPE_F32};
  g_autofree char *path = g_test_build_filename (G_TEST_DIST, "reference", "unet_trajectory.safetensors", NULL);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessSafetensors) file = tess_safetensors_open (path, &error);
  g_autoptr (TessNetwork) network = NULL;
  TessId id = 0;
  guint n = 0;

  g_assert_no_error (error);
  small_unet (&spec);
  network = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < tess_safetensors_n (file); i++) {
    const TessSafetensor *torch = tess_safetensors_nth (file, i);
    const TessTensor *ours;

    if (!g_str_has_prefix (torch->name, "init."))
      continue;
    while (tess_graph_tensor (network->graph, id)->role != TESS_ROLE_PARAM)
      id++;
    ours = tess_graph_tensor (network->graph, id++);
    g_assert_cmpstr (ours->name, ==, torch->name + strlen ("init."));
    g_assert_cmpuint (ours->n_dims, ==, torch->n_dims);
    for (guint a = 0; a < ours->n_dims; a++)
      g_assert_cmpint (ours->dim[a], ==, torch->dim[a]);
    n++;
  }
  g_assert_cmpuint (n, ==, count_params (network->graph));
  g_assert_cmpuint (n, >, 50);
}

/* Ends of the three kinds of program, and that all have the same parameter arena. */
static void
test_programs (void)
{
  TessNetworkSpec spec;
  TessProgramSpec program = {.batch = 2, .dhw = {8, 12, 16}, .act_dtype = TESS_DTYPE_BF16, .dice_smooth = 1e-5f};
  gsize params = 0;

  small_unet (&spec);
  for (guint kind = TESS_PROGRAM_INFER; kind <= TESS_PROGRAM_TRAIN; kind++)
    for (int deep = 0; deep < 2; deep++) {
      g_autoptr (GError) error = NULL;
      g_autoptr (TessNetwork) network = NULL;
      const TessTensor *t;

      program.kind = kind;
      program.deep_supervision = deep;
      network = tess_network_build (&spec, &program, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (network->n_heads, ==, deep ? 3 : 1);
      for (guint h = 0; h < network->n_heads; h++) {
        t = tess_graph_tensor (network->graph, network->logits[h]);
        g_assert_cmpint (t->dtype, ==, TESS_DTYPE_F32);
        g_assert_cmpint (t->role, ==, TESS_ROLE_OUTPUT);
        g_assert_cmpint (t->dim[0], ==, 2);
        g_assert_cmpint (t->dim[1], ==, h < 2 ? 8 : 4);
        g_assert_cmpint (t->dim[2], ==, h == 0 ? 12 : h == 1 ? 6 : 3);
        g_assert_cmpint (t->dim[3], ==, 16 >> h);
        g_assert_cmpint (t->dim[4], ==, 3);
        g_assert_true ((network->metrics[h] == TESS_NONE) == (kind == TESS_PROGRAM_INFER));
      }
      g_assert_true ((network->labels == TESS_NONE) == (kind == TESS_PROGRAM_INFER));
      g_assert_true ((network->grad_norm != TESS_NONE) == (kind == TESS_PROGRAM_TRAIN));
      g_assert_true ((network->graph->arena_bytes[TESS_ARENA_GRAD] > 0) == (kind == TESS_PROGRAM_TRAIN));
      if (params == 0)
        params = network->graph->arena_bytes[TESS_ARENA_PARAM];
      g_assert_cmpuint (network->graph->arena_bytes[TESS_ARENA_PARAM], ==, params);
      if (kind == TESS_PROGRAM_TRAIN) {
        g_assert_cmpuint (network->graph->arena_bytes[TESS_ARENA_GRAD], ==, params);
        g_assert_cmpuint (network->graph->arena_bytes[TESS_ARENA_MOMENTUM], ==, params);
        for (TessId id = 0; id < network->graph->tensors->len; id++) {
          t = tess_graph_tensor (network->graph, id);
          if (t->role == TESS_ROLE_PARAM)
            g_assert_cmpuint (tess_graph_tensor (network->graph, t->grad)->offset, ==, t->offset);
        }
      }
    }
}

static void
test_refused (void)
{
  TessNetworkSpec good, spec;
  const TessProgramSpec fits = {
      .kind = TESS_PROGRAM_TRAIN, .batch = 1, .dhw = {64, 64, 64}, .act_dtype = TESS_DTYPE_F32};
  TessProgramSpec program = fits;

  plain_unet (&good);
  program.dhw[1] = 70;
  refuse (&good, &program, "64 x 96 x 64 would fit");
  program.dhw[1] = 0;
  refuse (&good, &program, "64 x 32 x 64 would fit");
  program.dhw[1] = -5;
  refuse (&good, &program, "would fit");
  program.dhw[1] = G_MAXINT64;
  refuse (&good, &program, "would fit");
  program = fits;
  program.batch = 0;
  refuse (&good, &program, "batch of 0");
  program.batch = G_MAXINT64 / 4;
  refuse (&good, &program, "too large");

  spec = good;
  spec.n_stages = 1;
  refuse (&spec, &fits, "2 to 8 stages");
  spec.n_stages = 9;
  refuse (&spec, &fits, "2 to 8 stages");
  spec = good;
  spec.n_classes = 0;
  refuse (&spec, &fits, "classes");
  spec = good;
  spec.kernel[2][0] = 2;
  refuse (&spec, &fits, "odd");
  spec = good;
  spec.stride[0][0] = 2;
  refuse (&spec, &fits, "stride");
  spec = good;
  spec.features[3] = 0;
  refuse (&spec, &fits, "features");
  spec = good;
  spec.convs_decoder[4] = 0;
  refuse (&spec, &fits, "convolutions");
  spec = good;
  spec.stem_features = -1;
  refuse (&spec, &fits, "stem");
}

/* Ops refuse shapes that do not fit, naming themselves. */
static void
test_ops_refused (void)
{
  const gint64 image[5] = {1, 4, 4, 4, 2}, weight[5] = {3, 2, 3, 3, 3}, three = 3, labels[5] = {1, 4, 4, 4, 1};
  const TessConvAttr same = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}}, wrong = {{1, 3, 3}, {1, 1, 1}, {0, 1, 1}};
  const TessConvAttr large = {{1, 5, 1}, {1, 1, 1}, {0, 0, 0}};
  const TessLossAttr loss = {.n_classes = 2};
  const TessNormAttr norm = {.eps = 1e-5f, .slope = 0.01f};
  g_autoptr (TessGraph) g = tess_graph_new (TESS_DTYPE_F32);
  TessId x = tess_graph_add_tensor (g, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, image);
  TessId l = tess_graph_add_tensor (g, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, labels);
  TessId w = tess_graph_param (g, "w", 5, weight, 1), b = tess_graph_param (g, "b", 1, &three, 0), y;
  TessId slices = tess_graph_param (g, "slices", 4, weight, 1);
  GError *error = NULL;

#define REFUSED(call, op)                                                                                              \
  g_assert_cmpuint (call, ==, TESS_NONE);                                                                              \
  g_assert_error (error, TESS_ERROR, TESS_ERROR_BAD_SHAPE);                                                            \
  g_assert_nonnull (strstr (error->message, op));                                                                      \
  g_clear_error (&error)

  REFUSED (tess_graph_conv (g, x, w, b, &wrong, TESS_DTYPE_F32, &error), "conv");
  REFUSED (tess_graph_conv_transpose (g, x, w, b, &same, &error), "conv-transpose");
  REFUSED (tess_graph_conv (g, x, w, w, &same, TESS_DTYPE_F32, &error), "bias");
  REFUSED (tess_graph_conv (g, w, w, b, &same, TESS_DTYPE_F32, &error), "conv");
  y = tess_graph_conv (g, x, w, b, &same, TESS_DTYPE_F32, &error);
  g_assert_no_error (error);
  REFUSED (tess_graph_add (g, x, y, &error), "add");
  REFUSED (tess_graph_concat (g, x, l, &error), "concat");
  REFUSED (tess_graph_add_act (g, x, y, 0.1f, &error), "add-act");
  REFUSED (tess_graph_avg_pool (g, x, &same, &error), "avg-pool"); /* padded */
  REFUSED (tess_graph_avg_pool (g, x, &large, &error), "avg-pool");
  REFUSED (tess_graph_avg_pool (g, l, &large, &error), "avg-pool");
  REFUSED (tess_graph_conv (g, x, slices, b, &same, TESS_DTYPE_F32, &error), "conv");
  REFUSED (tess_graph_norm_act (g, x, b, b, &norm, &error), "norm-act");
  REFUSED (tess_graph_leaky_relu (g, l, 0.1f, &error), "leaky-relu");
  REFUSED (tess_graph_label_resize (g, x, image + 1, &error), "label-resize");
  REFUSED (tess_graph_loss (g, y, l, &loss, &error), "(loss)");
  REFUSED (tess_graph_loss (g, x, x, &loss, &error), "(loss)");
#undef REFUSED
  {
    const gint64 none[2] = {3, 0}, many[3] = {1 << 30, 1 << 30, 1 << 30};

    g_assert_cmpuint (tess_graph_add_tensor (g, "t", TESS_ROLE_ACT, TESS_DTYPE_F32, 2, none), ==, TESS_NONE);
    g_assert_cmpuint (tess_graph_add_tensor (g, "t", TESS_ROLE_ACT, TESS_DTYPE_F32, 3, many), ==, TESS_NONE);
  }
}

/* A weight used by two ops cannot be trained, and says so. */
static void
test_shared_weight (void)
{
  const gint64 image[5] = {1, 4, 4, 4, 2}, weight[5] = {2, 2, 3, 3, 3}, labels[5] = {1, 4, 4, 4, 1};
  const TessConvAttr same = {{3, 3, 3}, {1, 1, 1}, {1, 1, 1}};
  const TessLossAttr loss = {.n_classes = 2};
  g_autoptr (TessGraph) g = tess_graph_new (TESS_DTYPE_F32);
  g_autoptr (GError) error = NULL;
  TessId x = tess_graph_add_tensor (g, "image", TESS_ROLE_INPUT, TESS_DTYPE_F32, 5, image);
  TessId l = tess_graph_add_tensor (g, "labels", TESS_ROLE_LABEL, TESS_DTYPE_U8, 5, labels);
  TessId w = tess_graph_param (g, "w", 5, weight, 1);

  g_assert_false (tess_graph_append_optimiser (g, TESS_OPTIMISER_SGD, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
  g_clear_error (&error);
  x = tess_graph_conv (g, x, w, TESS_NONE, &same, TESS_DTYPE_F32, &error);
  x = tess_graph_conv (g, x, w, TESS_NONE, &same, TESS_DTYPE_F32, &error);
  g_assert_cmpuint (tess_graph_loss (g, x, l, &loss, &error), !=, TESS_NONE);
  g_assert_false (tess_graph_append_backward (g, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_UNSUPPORTED);
}

/* Standard normal after scaling: moments, and the shares within one and two standard deviations. */
static void
check_normal (const float *v, gsize n, double deviation)
{
  double mean = 0, variance = 0, one = 0, two = 0, root = sqrt ((double)n);

  for (gsize i = 0; i < n; i++) {
    double z = (double)v[i] / deviation;

    mean += z / (double)n;
    variance += z * z / (double)n;
    one += fabs (z) < 1 ? 1.0 / (double)n : 0;
    two += fabs (z) < 2 ? 1.0 / (double)n : 0;
  }
  /* Five standard errors. */
  g_assert_cmpfloat (fabs (mean), <, 5 / root);
  g_assert_cmpfloat (fabs (variance - 1), <, 5 * sqrt (2.0) / root);
  g_assert_cmpfloat (fabs (one - 0.682689), <, 5 * sqrt (0.682689 * 0.317311) / root);
  g_assert_cmpfloat (fabs (two - 0.954500), <, 5 * sqrt (0.954500 * 0.045500) / root);
}

/* A residual block starts as the way past its convolutions. */
static void
test_init_residual (void)
{
  TessNetworkSpec spec;
  TessProgramSpec program = {.kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {32, 32, 32}, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) network = NULL;
  g_autofree guint8 *params = NULL;
  guint n_zero = 0, n_one = 0;

  plain_unet (&spec);
  spec.architecture = TESS_NETWORK_RESIDUAL_UNET;
  for (guint i = 0; i < spec.n_stages; i++)
    spec.features[i] /= 16;
  network = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  params = g_malloc0 (network->graph->arena_bytes[TESS_ARENA_PARAM]);
  tess_graph_init_params (network->graph, 17, 0.01, params);
  for (TessId id = 0; id < network->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (network->graph, id);
    gboolean last = t->role == TESS_ROLE_PARAM && g_str_has_suffix (t->name, ".conv2.norm.weight");

    if (t->role != TESS_ROLE_PARAM || !g_str_has_suffix (t->name, ".norm.weight"))
      continue;
    g_assert_cmpfloat ((double)*(const float *)(gpointer)(params + t->offset), ==, last ? 0 : 1);
    n_zero += last ? 1 : 0;
    n_one += last ? 0 : 1;
  }
  g_assert_cmpuint (n_zero, ==, 12);             /* two blocks a stage */
  g_assert_cmpuint (n_one, ==, 1 + 12 + 4 + 10); /* stem, conv1, skips that change channels, decoder */
}

static void
test_init (void)
{
  TessNetworkSpec spec;
  TessProgramSpec program = {.kind = TESS_PROGRAM_INFER, .batch = 1, .dhw = {32, 32, 32}, .act_dtype = TESS_DTYPE_F32};
  g_autoptr (GError) error = NULL;
  g_autoptr (TessNetwork) a = NULL, b = NULL;
  g_autofree guint8 *one = NULL, *again = NULL, *other = NULL;
  gsize bytes;

  plain_unet (&spec);
  for (guint i = 0; i < spec.n_stages; i++) /* a sixteenth of the parameters is enough */
    spec.features[i] /= 4;
  a = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  program.kind = TESS_PROGRAM_TRAIN;
  program.batch = 3;
  program.act_dtype = TESS_DTYPE_BF16;
  b = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  bytes = a->graph->arena_bytes[TESS_ARENA_PARAM];
  one = g_malloc0 (bytes);
  again = g_malloc0 (bytes);
  other = g_malloc0 (bytes);
  tess_graph_init_params (a->graph, 17, 0.01, one);
  tess_graph_init_params (b->graph, 17, 0.01, again);
  tess_graph_init_params (a->graph, 18, 0.01, other);
  g_assert_cmpint (memcmp (one, again, bytes), ==, 0);
  g_assert_cmpint (memcmp (one, other, bytes), !=, 0);

  for (TessId id = 0; id < a->graph->tensors->len; id++) {
    const TessTensor *t = tess_graph_tensor (a->graph, id);
    const float *v = (const float *)(gpointer)(one + t->offset);
    gsize n = (gsize)tess_tensor_n_elements (t);

    if (t->role != TESS_ROLE_PARAM)
      continue;
    if (t->n_dims == 5) {
      /* torch: fan-in is axis 1 times the kernel, also for the transposed convolution. */
      check_normal (v, n, sqrt (2 / (1 + 1e-4) / (double)(t->dim[1] * t->dim[2] * t->dim[3] * t->dim[4])));
      continue;
    }
    for (gsize i = 0; i < n; i++)
      g_assert_cmpfloat ((double)v[i], ==, g_str_has_suffix (t->name, "norm.weight") ? 1 : 0);
  }
}

int
main (int argc, char *argv[])
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/nn/network/count", test_count);
  g_test_add_func ("/nn/network/count-others", test_count_others);
  g_test_add_func ("/nn/network/table", test_table);
  g_test_add_func ("/nn/network/fields", test_fields);
  g_test_add_func ("/nn/network/names", test_names);
  g_test_add_func ("/nn/network/programs", test_programs);
  g_test_add_func ("/nn/network/refused", test_refused);
  g_test_add_func ("/nn/network/ops-refused", test_ops_refused);
  g_test_add_func ("/nn/network/shared-weight", test_shared_weight);
  g_test_add_func ("/nn/network/init", test_init);
  g_test_add_func ("/nn/network/init-residual", test_init_residual);
  return g_test_run ();
}
