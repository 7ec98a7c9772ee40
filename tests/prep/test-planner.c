#include "tess-network-table.h"
#include "tess-planner-private.h"

#include <string.h>

static void
add_cases (TessFingerprint *f, guint n, gint64 x, gint64 y, gint64 z, double sx, double sy, double sz)
{
  const gint64 dim[3] = {x, y, z};
  TessAffine affine = tess_affine_scale (sx, sy, sz);
  TessVolume *image = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);

  g_assert_nonnull (image);
  for (guint i = 0; i < n; i++)
    g_assert_true (tess_fingerprint_add (f, &image, NULL, NULL));
  tess_volume_unref (image);
}

static TessPlan *
draft (guint n_labels)
{
  TessPlan *plan = tess_plan_new ();

  tess_plan_add_channel (plan, "MRI", TESS_NORM_ZSCORE);
  for (guint i = 0; i < n_labels; i++)
    tess_plan_add_label (plan, "organ", i);
  return plan;
}

static const TessPlannerLimits cpu = {.memory_bytes = (guint64)8 << 30, .cache_bytes = (guint64)4 << 30};

static TessPlan *
decide (gint64 x, gint64 y, gint64 z, double sx, double sy, double sz, const TessPlannerLimits *limits)
{
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  TessPlan *plan = draft (3);
  g_autoptr (GError) error = NULL;

  add_cases (f, 3, x, y, z, sx, sy, sz);
  g_assert_true (tess_planner_decide (plan, f, limits, &error));
  g_assert_no_error (error);
  for (guint i = 0; i < plan->reasons->len; i++)
    g_test_message ("%s", (char *)g_ptr_array_index (plan->reasons, i));
  return plan;
}

/* Plans that nnU-Net v2 itself made and their authors published (axes there z, y, x): BraTS 2021 (katieliuu/cs231n),
 * FLARE23 (Ziyan-Huang/FLARE23), BTCV (aitechlabcn/neUNet), NexToU (PengchengShi1220/NexToU). k and s: bit 4 = z, 2 =
 * y, 1 = x of kernel 3 and stride 2, stage by stage. */
static const struct {
  double spacing[3];
  gint64 patch[3];
  guint n_stages;
  guint8 k[8], s[8];
} published[] = {
    {{1, 1, 1}, {128, 128, 128}, 6, {7, 7, 7, 7, 7, 7}, {0, 7, 7, 7, 7, 7}},
    {{3.166925203469041, 1.6189567438291603, 1.6189567438291603},
     {80, 160, 160},
     6,
     {7, 7, 7, 7, 7, 7},
     {0, 7, 7, 7, 7, 3}},
    {{3.0, 0.7578124403953552, 0.7578124403953552}, {48, 192, 192}, 6, {3, 7, 7, 7, 7, 7}, {0, 3, 7, 7, 7, 3}},
    {{3.0, 1.5404766626380535, 1.5404766626380535}, {96, 160, 160}, 6, {7, 7, 7, 7, 7, 7}, {0, 7, 7, 7, 7, 3}},
    {{1.0521025239649437, 0.5361892727924824, 0.5361892727924824},
     {64, 224, 160},
     6,
     {7, 7, 7, 7, 7, 7},
     {0, 7, 7, 7, 7, 3}},
    {{0.5999993681907654, 0.296875, 0.296875}, {64, 192, 160}, 6, {3, 7, 7, 7, 7, 7}, {0, 3, 7, 7, 7, 7}},
};

static void
test_published (void)
{
  for (guint i = 0; i < G_N_ELEMENTS (published); i++) {
    g_autoptr (TessPlan) plan = tess_plan_new ();
    gint64 wanted[3];

    for (guint a = 0; a < 3; a++) {
      plan->spacing[a] = published[i].spacing[2 - a];
      wanted[a] = published[i].patch[2 - a];
    }
    g_assert_true (tess_planner_topology (plan, wanted, FALSE));
    g_assert_cmpuint (plan->network.n_stages, ==, published[i].n_stages);
    for (guint a = 0; a < 3; a++) {
      g_assert_cmpint (plan->patch[a], ==, wanted[a]);
      for (guint s = 0; s < plan->network.n_stages; s++) {
        g_assert_cmpint (plan->network.kernel[s][a], ==, published[i].k[s] >> a & 1 ? 3 : 1);
        g_assert_cmpint (plan->network.stride[s][a], ==, published[i].s[s] >> a & 1 ? 2 : 1);
      }
    }
  }
}

/* The Prostate of its benchmark, 20 x 320 x 256 at 3.6 x 0.625 x 0.625 mm (z, y, x): 2, 6 and 6 poolings. */
static void
test_prostate (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  const gint64 wanted[3] = {256, 320, 20}, divisor[3] = {64, 64, 4};

  plan->spacing[0] = plan->spacing[1] = 0.625;
  plan->spacing[2] = 3.6;
  g_assert_true (tess_planner_topology (plan, wanted, FALSE));
  g_assert_cmpuint (plan->network.n_stages, ==, 7);
  g_assert_cmpint (plan->network.kernel[0][2], ==, 1);
  g_assert_cmpint (plan->network.stride[1][2], ==, 1);
  for (guint a = 0; a < 3; a++) {
    gint64 product = 1;

    for (guint s = 0; s < 7; s++)
      product *= plan->network.stride[s][a];
    g_assert_cmpint (product, ==, divisor[a]);
  }
}

/* One axis alone is halved from 12 voxels on; below, the rule gives no network and all axes are halved once. */
static void
test_single_axis (void)
{
  g_autoptr (TessPlan) plan = tess_plan_new ();
  const gint64 alone[3] = {12, 4, 4}, small[3] = {11, 4, 4};

  g_assert_true (tess_planner_topology (plan, alone, FALSE));
  g_assert_cmpint (plan->network.stride[1][0], ==, 2);
  g_assert_cmpint (plan->network.stride[1][1], ==, 1);
  g_assert_cmpint (plan->patch[1], ==, 4);
  g_assert_true (tess_planner_topology (plan, small, FALSE));
  g_assert_cmpint (plan->network.stride[1][1], ==, 2);
  g_assert_cmpint (plan->patch[0], ==, 12);
  g_assert_cmpint (plan->patch[1], ==, 8);
}

static void
test_hippocampus (void)
{
  g_autoptr (TessPlan) plan = decide (35, 50, 36, 1, 1, 1, &cpu);
  TessPlannerLimits gpu = cpu;
  g_autoptr (TessPlan) fast = NULL;

  g_assert_cmpint (plan->patch[0], ==, 40);
  g_assert_cmpint (plan->patch[1], ==, 56);
  g_assert_cmpint (plan->patch[2], ==, 40);
  g_assert_cmpuint (plan->network.n_stages, ==, 4);
  g_assert_cmpint (plan->network.features[0], ==, 16);
  g_assert_cmpint (plan->network.features[3], ==, 128);
  g_assert_cmpint (plan->training.batch_size, ==, 2);
  g_assert_cmpint (plan->training.iterations_per_epoch, ==, 50);
  g_assert_cmpint (plan->training.validation_iterations, ==, 5);
  g_assert_cmpint (plan->training.epochs, ==, 100);
  g_assert_cmpint (plan->training.pool_cases, ==, 0);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[0], ==, 30.0);

  gpu.accelerator = TRUE;
  gpu.bf16 = TRUE;
  gpu.epochs = 7;
  fast = decide (35, 50, 36, 1, 1, 1, &gpu);
  g_assert_cmpint (fast->network.features[0], ==, 32);
  g_assert_cmpint (fast->training.iterations_per_epoch, ==, 250);
  g_assert_cmpint (fast->training.validation_iterations, ==, 50);
  g_assert_cmpint (fast->training.epochs, ==, 7);
}

/* 0.5 x 0.5 x 7.5 mm: no kernel across slices and no pooling of them until the plane is as coarse. */
static void
test_anisotropic (void)
{
  g_autoptr (TessPlan) plan = decide (320, 320, 11, 0.5, 0.5, 7.5, &cpu);
  double bytes, flops;

  g_assert_true (tess_planner_measure (plan, TESS_DTYPE_F32, &bytes, &flops, NULL));
  g_assert_cmpfloat (flops, <=, 300e9); /* a step a processor can afford; the whole scan would take more */
  g_assert_cmpfloat (plan->spacing[2], ==, 7.5);
  g_assert_cmpint (plan->network.kernel[0][0], ==, 3);
  g_assert_cmpint (plan->network.kernel[0][2], ==, 1);
  g_assert_cmpint (plan->network.kernel[2][2], ==, 1); /* 2 mm beside 7.5 mm */
  g_assert_cmpint (plan->network.stride[1][2], ==, 1);
  g_assert_cmpint (plan->network.stride[1][0], ==, 2);
  g_assert_cmpint (plan->patch[2], <=, 12);
  g_assert_cmpint (plan->patch[0], >=, 64);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[0], ==, 0.0);
  g_assert_cmpfloat (plan->augmentation.rotation_degrees[2], ==, 30.0);
}

static void
test_flat (void)
{
  for (guint axis = 0; axis < 3; axis++) {
    gint64 dim[3] = {512, 512, 512};
    g_autoptr (TessPlan) plan = NULL;

    dim[axis] = 1;
    plan = decide (dim[0], dim[1], dim[2], 1, 1, 1, &cpu);
    g_assert_cmpint (plan->patch[axis], ==, 1);
    g_assert_cmpint (plan->patch[(axis + 1) % 3], >=, 128);
    for (guint s = 0; s < plan->network.n_stages; s++) {
      g_assert_cmpint (plan->network.kernel[s][axis], ==, 1);
      g_assert_cmpint (plan->network.stride[s][axis], ==, 1);
      g_assert_cmpint (plan->network.kernel[s][(axis + 1) % 3], ==, 3);
    }
    g_assert_cmpfloat (plan->augmentation.mirror_probability[axis], ==, 0.0);
  }
}

/* Whatever the shape and spacing: a plan that validates, whose patch is at most the padding the network needs. */
static void
test_any_shape (void)
{
  static const gint64 dims[] = {1, 2, 5, 9, 13, 40, 300};
  static const double spacings[] = {0.3, 1.0, 7.5};

  for (guint i = 0; i < 7 * 7 * 7; i += 4) {
    gint64 x = dims[i % 7], y = dims[i / 7 % 7], z = dims[i / 49];
    g_autoptr (TessPlan) plan = decide (x, y, z, spacings[i % 3], spacings[i / 3 % 3], spacings[i / 9 % 3], &cpu);
    gint64 dim[3] = {x, y, z};

    g_assert_true (tess_plan_validate (plan, NULL, NULL));
    for (guint a = 0; a < 3; a++) {
      gint64 divisor = 1;

      for (guint s = 0; s < plan->network.n_stages; s++)
        divisor *= plan->network.stride[s][a];
      g_assert_cmpint (plan->patch[a], <, MAX (dim[a], 8) + divisor);
    }
  }
}

/* Down to where nothing fits, every plan's program takes no more than it may. */
static void
test_memory (void)
{
  static const guint64 limits[] = {16000, 8000, 2000, 1000, 500, 200, 100, 50, 20, 10, 4};
  gint64 last = G_MAXINT64;

  for (guint i = 0; i < G_N_ELEMENTS (limits); i++) {
    TessPlannerLimits l = {.memory_bytes = limits[i] * 1000000, .cache_bytes = (guint64)16 << 30, .accelerator = TRUE};
    g_autoptr (TessPlan) plan = decide (512, 512, 148, 0.758, 0.758, 3.0, &l);
    g_autofree char *text = tess_plan_to_text (plan);
    gint64 size =
        plan->patch[0] * plan->patch[1] * plan->patch[2] * plan->network.features[0] * plan->training.batch_size;
    double bytes, flops;
    g_autoptr (GError) error = NULL;

    g_assert_true (tess_planner_measure (plan, TESS_DTYPE_F32, &bytes, &flops, &error));
    g_assert_cmpfloat (bytes, <=, (double)l.memory_bytes);
    g_assert_cmpfloat (flops, <=, 24e12);
    g_assert_cmpint (size, <=, last);
    last = size;
  }
}

static void
test_no_memory (void)
{
  TessPlannerLimits l = {.memory_bytes = 100000, .cache_bytes = (guint64)1 << 30};
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1), empty = tess_fingerprint_new (1);
  g_autoptr (TessPlan) plan = draft (2);
  g_autoptr (GError) error = NULL;

  add_cases (f, 1, 64, 64, 64, 1, 1, 1);
  g_assert_false (tess_planner_decide (plan, f, &l, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_test_message ("%s", error->message);
  g_assert_nonnull (strstr (error->message, "8 x 8 x 8"));
  g_clear_error (&error);
  g_assert_false (tess_planner_decide (plan, empty, &l, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
}

static void
test_extremes (void)
{
  TessPlannerLimits l = {.memory_bytes = (guint64)300 << 20, .cache_bytes = (guint64)1 << 30};
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (16);
  g_autoptr (TessPlan) plan = tess_plan_new ();
  TessAffine affine = tess_affine_identity ();
  const gint64 dim[3] = {96, 96, 96};
  TessVolume *images[16];
  g_autoptr (GError) error = NULL;

  for (guint c = 0; c < 16; c++) {
    images[c] = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
    tess_plan_add_channel (plan, "CT", TESS_NORM_CT);
  }
  for (guint i = 0; i < 255; i++)
    tess_plan_add_label (plan, "organ", i);
  g_assert_true (tess_fingerprint_add (f, images, NULL, NULL));
  g_assert_true (tess_planner_decide (plan, f, &l, &error));
  g_assert_no_error (error);
  g_assert_cmpint (plan->channels[0].norm, ==, TESS_NORM_ZSCORE); /* no foreground to learn a window from */
  for (guint c = 0; c < 16; c++)
    tess_volume_unref (images[c]);
}

static void
test_asked_for (void)
{
  TessPlannerLimits l = cpu;
  g_autoptr (TessPlan) plan = NULL, residual = NULL, odd = draft (2);
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  g_autoptr (GError) error = NULL;

  l.patch[0] = 48, l.patch[1] = 60, l.patch[2] = 21;
  l.batch = 5;
  plan = decide (100, 100, 100, 1, 1, 1, &l);
  g_assert_cmpint (plan->patch[0], ==, 48);
  g_assert_cmpint (plan->patch[1], ==, 60);
  g_assert_cmpint (plan->patch[2], ==, 21);
  g_assert_cmpint (plan->training.batch_size, ==, 5);
  g_assert_cmpint (plan->network.architecture, ==, TESS_PLAN_PLAIN_UNET);

  l.architecture = TESS_PLAN_RESIDUAL_UNET;
  residual = decide (100, 100, 100, 1, 1, 1, &l);
  g_assert_cmpint (residual->network.architecture, ==, TESS_PLAN_RESIDUAL_UNET);
  g_assert_cmpuint (residual->network.n_stages, ==, plan->network.n_stages);
  g_assert_cmpint (residual->network.convs_encoder[0], ==, 1);
  g_assert_cmpint (residual->network.convs_encoder[2], ==, 4);
  g_assert_cmpint (residual->network.convs_decoder[1], ==, 1);

  add_cases (f, 1, 50, 50, 50, 1, 1, 1);
  l.patch[0] = 15, l.patch[1] = 7, l.patch[2] = 1;
  g_assert_false (tess_planner_decide (odd, f, &l, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_USAGE);
}

static void
test_cache (void)
{
  const guint64 one = 64 * 64 * 64 + 2 * 80000; /* the scan and its foreground index */
  static const struct {
    double cases; /* that fit into the budget */
    gint64 pool;
  } rows[] = {{10.01, 0}, {9.5, 6}, {5.5, 2}, {2.1, 2}, {1.5, 1}};
  g_autoptr (TessFingerprint) f = tess_fingerprint_new (1);
  g_autoptr (GError) error = NULL;
  g_autoptr (TessPlan) last = draft (3);
  TessPlannerLimits l = cpu;

  add_cases (f, 10, 64, 64, 64, 1, 1, 1);
  for (guint i = 0; i < G_N_ELEMENTS (rows); i++) {
    g_autoptr (TessPlan) plan = draft (3);

    l.cache_bytes = (guint64)(rows[i].cases * (double)one);
    g_assert_true (tess_planner_decide (plan, f, &l, &error));
    g_assert_cmpint (plan->training.cache_bytes, ==, (gint64)l.cache_bytes);
    g_assert_cmpint (plan->training.pool_cases, ==, rows[i].pool);
    g_assert_cmpint (plan->training.pool_patches, >=, 16);
    g_assert_cmpint (plan->training.pool_patches, <=, 64);
  }
  l.cache_bytes = one / 2;
  g_assert_false (tess_planner_decide (last, f, &l, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_NO_MEMORY);
  g_test_message ("%s", error->message);
}

/* A convolution over x, y, z: 2 * voxels * weights; with the three passes of training of every layer but the first,
 * whose input needs no gradient. */
static void
test_flops (void)
{
  g_autoptr (TessPlan) plan = decide (32, 32, 32, 1, 1, 1, &cpu);
  double bytes, train, infer;
  g_autoptr (TessNetwork) network = NULL;
  TessNetworkSpec spec;
  TessProgramSpec program;
  g_autoptr (GError) error = NULL;

  g_assert_true (tess_planner_measure (plan, TESS_DTYPE_F32, &bytes, &train, &error));
  tess_plan_network_spec (plan, &spec);
  tess_plan_program_spec (plan, TESS_PROGRAM_INFER, plan->training.batch_size, TESS_DTYPE_F32, TRUE, &program);
  network = tess_network_build (&spec, &program, &error);
  g_assert_no_error (error);
  infer = tess_graph_flops (network->graph);
  g_assert_cmpfloat (tess_graph_op_flops (network->graph, 0), ==, 2.0 * 2 * 32768 * 16 * 27);
  /* The coarsest head is not in the loss, so some passes are missing. */
  g_assert_cmpfloat (train, >, 2.9 * infer);
  g_assert_cmpfloat (train, <=, 3.0 * infer);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/planner/published", test_published);
  g_test_add_func ("/planner/prostate", test_prostate);
  g_test_add_func ("/planner/single-axis", test_single_axis);
  g_test_add_func ("/planner/hippocampus", test_hippocampus);
  g_test_add_func ("/planner/anisotropic", test_anisotropic);
  g_test_add_func ("/planner/flat", test_flat);
  g_test_add_func ("/planner/any-shape", test_any_shape);
  g_test_add_func ("/planner/memory", test_memory);
  g_test_add_func ("/planner/no-memory", test_no_memory);
  g_test_add_func ("/planner/extremes", test_extremes);
  g_test_add_func ("/planner/asked-for", test_asked_for);
  g_test_add_func ("/planner/cache", test_cache);
  g_test_add_func ("/planner/flops", test_flops);
  return g_test_run ();
}
