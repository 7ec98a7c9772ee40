/* The predictor against a whole computation: all tiles, full accumulators in double. */
#include "infer-fixture.h"

#include "tess-cpu-backend.h"
#include "tess-format-registry.h"
#include "tess-logit-band.h"
#include "tess-planner.h"

#include <math.h>

static const double unit[3] = {1.0, 1.0, 1.0};
static const double no_angle[3] = {0.0, 0.0, 0.0};

typedef struct {
  char *folder, *path;
  TessPlan *plan;
  TessModel *model;
  TessPredictor *predictor;
  guint mirror; /* axes */
} Setup;

static void
setup_init (Setup *s, TessPlan *plan, const TessBackendIface *backend)
{
  GError *error = NULL;

  s->mirror = 0;
  s->folder = fixture_folder ();
  s->path = g_build_filename (s->folder, "m.safetensors", NULL);
  s->plan = plan;
  fixture_save_model (s->path, plan, 7, NULL);
  s->model = tess_model_load (s->path, &error);
  g_assert_no_error (error);
  s->predictor = tess_predictor_new (s->model, backend, 0, 2, TESS_DTYPE_F32, &error);
  g_assert_no_error (error);
}

static void
setup_clear (Setup *s)
{
  tess_predictor_free (s->predictor);
  tess_model_free (s->model);
  tess_plan_unref (s->plan);
  g_free (s->path);
  fixture_remove (s->folder);
}

static TessVolume *
predict (Setup *s, TessVolume *const *images, guint n)
{
  GError *error = NULL;
  TessVolume *out = tess_predictor_run (s->predictor, images, n, NULL, &error);

  g_assert_no_error (error);
  return out;
}

/* Where voxel i of an array of that size stands when it is flipped along axes. */
static gsize
flipped (gsize i, const gint64 size[3], guint axes)
{
  gint64 p[3] = {(gint64)i % size[0], (gint64)i / size[0] % size[1], (gint64)i / size[0] / size[1]};

  for (int a = 0; a < 3; a++)
    if (axes >> a & 1)
      p[a] = size[a] - 1 - p[a];
  return (gsize)((p[2] * size[1] + p[1]) * size[0] + p[0]);
}

/* Mean logits over the whole target grid, in double. */
static double *
naive_logits (Setup *s, TessCase *c, const TessGrid *target)
{
  g_autoptr (TessSession) session = NULL;
  g_autoptr (TessPatchGrid) tiles = NULL;
  g_autofree float *weights = NULL;
  const gint64 *size = s->plan->patch;
  gsize n_patch = (gsize)(size[0] * size[1] * size[2]), k = s->plan->n_labels;
  gsize n = (gsize)(target->dim[0] * target->dim[1] * target->dim[2]);
  double *sum = g_new0 (double, n *k);
  g_autofree double *weight = g_new0 (double, n);
  g_autofree float *image = g_new (float, n_patch * s->plan->n_channels);
  g_autofree float *logits = g_new (float, n_patch *k), *turned = g_new (float, n_patch * s->plan->n_channels);
  gint64 tile[3]; /* the middle of a patch, which has logits */
  TessNetworkSpec network;
  TessProgramSpec program;
  GError *error = NULL;

  tess_plan_network_spec (s->plan, &network);
  tess_plan_program_spec (s->plan, TESS_PROGRAM_INFER, 1, TESS_DTYPE_F32, FALSE, &program);
  session = tess_session_new (tess_cpu_backend (), 0, 2, &network, &error);
  g_assert_no_error (error);
  g_assert_cmpint (tess_session_add_program (session, &program, &error), ==, 0);
  g_assert_true (tess_session_bind (session, 0, &error));
  g_assert_true (tess_model_copy_params (s->model, session, FALSE, &error));
  for (guint a = 0; a < 3; a++) {
    const TessNetwork *net = tess_session_network (session, 0);

    tile[a] = tess_graph_tensor (net->graph, net->logits[0])->dim[3 - a];
  }
  weights = s->plan->inference.gaussian ? tess_patch_weights_gaussian (tile) : NULL;
  tiles = tess_patch_grid_new_spread (target->dim, tile, s->plan->inference.step, &error);
  g_assert_no_error (error);

  for (guint64 i = 0; i < 8 * tess_patch_grid_n (tiles); i++) {
    TessBox box = tess_patch_grid_box (tiles, i / 8);
    guint axes = (guint)(i % 8), n_channels = s->plan->n_channels;
    TessSampleKey key = {.origin = {box.lo[0] - (size[0] - tile[0]) / 2, box.lo[1] - (size[1] - tile[1]) / 2,
                                    box.lo[2] - (size[2] - tile[2]) / 2}};
    TessPatchOut out = {.region = {{0, 0, 0}, {size[0], size[1], size[2]}}, .image = image};
    TessStepArgs args = {0};
    const TessNetwork *net = tess_session_network (session, 0);
    gsize j = 0;

    if (axes & ~s->mirror)
      continue;
    g_assert_true (tess_sampler_draw (s->plan, c, &key, &out, &error));
    for (gsize v = 0; v < n_patch; v++)
      memcpy (turned + n_channels * v, image + n_channels * flipped (v, size, axes), n_channels * sizeof (float));
    g_assert_true (tess_session_write (session, 0, net->image, turned, n_patch * s->plan->n_channels * 4, &error));
    g_assert_true (tess_session_run (session, 0, &args, &error));
    g_assert_true (
        tess_session_read (session, 0, net->logits[0], logits, (gsize)(tile[0] * tile[1] * tile[2]) * k * 4, &error));
    for (gint64 z = box.lo[2]; z < box.hi[2]; z++)
      for (gint64 y = box.lo[1]; y < box.hi[1]; y++)
        for (gint64 x = box.lo[0]; x < box.hi[0]; x++, j++) {
          gsize at = (gsize)((z * target->dim[1] + y) * target->dim[0] + x);
          double w = weights ? weights[j] : 1.0;

          if (x < 0 || y < 0 || z < 0 || x >= target->dim[0] || y >= target->dim[1] || z >= target->dim[2])
            continue;
          weight[at] += w;
          for (gsize l = 0; l < k; l++)
            sum[at * k + l] += w * logits[flipped (j, tile, axes) * k + l];
        }
  }
  for (gsize i = 0; i < n; i++) {
    g_assert_cmpfloat (weight[i], >, 0.0); /* tiles cover the scan */
    for (gsize l = 0; l < k; l++)
      sum[i * k + l] /= weight[i];
  }
  return sum;
}

/* The labels that follow from whole mean logits, by way of the world: native index -> mm -> target index. Voxels whose
 * two best logits are nearer than float32 can tell are not compared, and are few. */
static void
compare_with_naive (Setup *s, TessVolume *const *images, guint n_images, TessVolume *got)
{
  g_autoptr (TessCase) c = tess_case_new ("t", images, n_images, NULL, s->plan->n_labels, NULL);
  TessGrid target = tess_sampler_target_grid (s->plan, c);
  g_autofree double *mean = naive_logits (s, c, &target);
  gsize k = s->plan->n_labels, unclear = 0, seen[256] = {0}, n_seen = 0;
  const gint64 *dim = tess_volume_dim (images[0]);
  const guint8 *label = tess_volume_data (got);
  TessAffine to_target;

  g_assert_true (tess_affine_invert (&target.affine, &to_target));
  for (gint64 z = 0; z < dim[2]; z++)
    for (gint64 y = 0; y < dim[1]; y++)
      for (gint64 x = 0; x < dim[0]; x++, label++) {
        const double p[3] = {(double)x, (double)y, (double)z};
        double world[3], t[3], value[256] = {0}, best = -INFINITY, second = -INFINITY;
        guint best_label = 0;

        tess_affine_apply (tess_volume_affine (images[0]), p, world);
        tess_affine_apply (&to_target, world, t);
        for (int a = 0; a < 3; a++)
          t[a] = CLAMP (t[a], 0.0, (double)(target.dim[a] - 1));
        for (int corner = 0; corner < 8; corner++) {
          double w = 1.0;
          gint64 q[3];

          for (int a = 0; a < 3; a++) {
            double f = t[a] - floor (t[a]);

            q[a] = MIN ((gint64)floor (t[a]) + (corner >> a & 1), target.dim[a] - 1);
            w *= corner >> a & 1 ? f : 1.0 - f;
          }
          for (gsize l = 0; l < k; l++)
            value[l] += w * mean[(gsize)((q[2] * target.dim[1] + q[1]) * target.dim[0] + q[0]) * k + l];
        }
        for (gsize l = 0; l < k; l++)
          if (value[l] > best) {
            second = best;
            best = value[l];
            best_label = (guint)l;
          } else {
            second = MAX (second, value[l]);
          }
        if (best - second < 1e-5) {
          unclear++;
          continue;
        }
        seen[best_label]++;
        if (*label != best_label)
          g_error ("voxel %d %d %d: label %u, the whole computation says %u (by %g)", (int)x, (int)y, (int)z, *label,
                   best_label, best - second);
      }
  g_assert_cmpuint (unclear, <, (gsize)(dim[0] * dim[1] * dim[2]) / 200 + 2);
  for (int l = 0; l < 256; l++)
    n_seen += seen[l] > 0;
  g_assert_cmpuint (n_seen, >=, 2); /* otherwise nothing was compared */
}

static void
check_geometry (TessVolume *scan, TessVolume *out)
{
  g_assert_cmpint (tess_volume_dtype (out), ==, TESS_DTYPE_U8);
  g_assert_cmpint (tess_volume_n_channels (out), ==, 1);
  g_assert_cmpint (tess_volume_intent (out), ==, TESS_INTENT_LABEL);
  g_assert_cmpmem (tess_volume_dim (out), 3 * sizeof (gint64), tess_volume_dim (scan), 3 * sizeof (gint64));
  g_assert_cmpmem (tess_volume_affine (out), sizeof (TessAffine), tess_volume_affine (scan), sizeof (TessAffine));
  g_assert_cmpint (tess_volume_watermark (out), ==, tess_volume_n_slices (out));
}

static void
check_scan (const double spacing[3], const gint64 patch[3], gboolean gaussian, double step, const gint64 dim[3],
            const double native[3], const double angle[3])
{
  const double offset[3] = {-31.25, 12.0, 903.5};
  TessAffine affine = fixture_affine (native, angle, offset);
  TessPlan *plan = fixture_plan (1, 3, spacing, patch);
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 5);
  g_autoptr (TessVolume) out = NULL;
  Setup s;

  plan->inference.gaussian = gaussian;
  plan->inference.step = step;
  setup_init (&s, plan, tess_cpu_backend ());
  out = predict (&s, &scan, 1);
  check_geometry (scan, out);
  compare_with_naive (&s, &scan, 1, out);
  setup_clear (&s);
}

static void
test_native (void)
{
  check_scan (unit, (gint64[]){16, 12, 8}, TRUE, 0.5, (gint64[]){29, 23, 31}, unit, no_angle);
}

static void
test_uniform (void)
{
  check_scan (unit, (gint64[]){16, 12, 8}, FALSE, 1.0, (gint64[]){29, 23, 19}, unit, no_angle);
}

static void
test_finer_scan (void)
{
  check_scan ((double[]){1.5, 1.25, 2.0}, (gint64[]){12, 12, 8}, TRUE, 0.5, (gint64[]){30, 33, 41}, unit,
              (double[]){0.2, -0.4, 0.1});
}

static void
test_coarser_scan (void)
{
  check_scan (unit, (gint64[]){16, 16, 8}, TRUE, 0.5, (gint64[]){17, 19, 7}, (double[]){1.3, -1.7, 3.9},
              (double[]){1.2, 0.3, -2.0});
}

static void
test_one_axis_resampled (void)
{
  check_scan ((double[]){1, 1, 2}, (gint64[]){16, 16, 8}, TRUE, 0.5, (gint64[]){20, 18, 33}, unit, no_angle);
}

/* CASED's network has logits for the middle of a patch alone: every voxel of the scan gets one, those at its rim from
 * patches that reach beyond it. */
static void
test_valid (void)
{
  const gint64 patch[3] = {68, 68, 68}, dim[3] = {12, 8, 7};
  TessPlan *plan = fixture_plan (1, 3, unit, patch);
  TessAffine affine = fixture_affine (unit, no_angle, no_angle);
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 3), got = NULL;
  Setup s;

  plan->network.architecture = TESS_PLAN_CASED;
  plan->network.deep_supervision = FALSE;
  setup_init (&s, plan, tess_cpu_backend ());
  got = predict (&s, &scan, 1);
  compare_with_naive (&s, &scan, 1, got);
  setup_clear (&s);
}

static void
test_smaller_than_patch (void)
{
  check_scan (unit, (gint64[]){16, 16, 16}, TRUE, 0.5, (gint64[]){9, 21, 5}, unit, no_angle);
  check_scan ((double[]){2, 2, 2}, (gint64[]){16, 16, 16}, TRUE, 0.5, (gint64[]){13, 11, 6}, unit, no_angle);
}

static void
test_one_slice (void)
{
  check_scan (unit, (gint64[]){16, 16, 8}, TRUE, 0.5, (gint64[]){25, 19, 1}, unit, no_angle);
  check_scan (unit, (gint64[]){16, 16, 1}, TRUE, 0.5, (gint64[]){25, 19, 3}, unit, no_angle);
  check_scan ((double[]){1, 1, 1.9}, (gint64[]){16, 16, 8}, TRUE, 0.5, (gint64[]){25, 19, 1}, unit, no_angle);
}

static void
test_labels (void)
{
  const gint64 patch[3] = {8, 8, 8}, dim[3] = {10, 9, 8};
  TessAffine affine = tess_affine_scale (1, 1, 1);
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 5);
  g_autoptr (TessVolume) out = NULL;
  g_autoptr (GBytes) header = g_bytes_new ("header", 6);
  GBytes *kept;
  TessLabelTable *table;
  Setup s;

  tess_volume_set_source_header (scan, "nifti", header);
  setup_init (&s, fixture_plan (1, 3, unit, patch), tess_cpu_backend ());
  out = predict (&s, &scan, 1);
  table = tess_volume_peek_labels (out);
  g_assert_nonnull (table);
  g_assert_cmpuint (tess_label_table_n (table), ==, 3);
  g_assert_cmpstr (tess_label_table_find (table, 2)->name, ==, "organ 2");
  g_assert_cmpint (tess_label_table_find (table, 1)->rgba[3], ==, 255);
  g_assert_cmpint (memcmp (tess_label_table_find (table, 1)->rgba, tess_label_table_find (table, 2)->rgba, 4), !=, 0);
  kept = tess_volume_peek_source_header (out, "nifti");
  g_assert_true (kept && g_bytes_equal (kept, header));
  setup_clear (&s);
}

/* An identity tile at the scan's own spacing is the scan's normalised voxels, bit for bit, and 0 outside. */
static void
test_identity_tile (void)
{
  const gint64 patch[3] = {16, 12, 8}, dim[3] = {11, 29, 23};
  TessAffine affine = fixture_affine ((double[]){1, 1, 1}, (double[]){0.3, 0.1, 2.0}, (double[]){1, 2, 3});
  g_autoptr (TessPlan) plan = fixture_plan (1, 2, unit, patch);
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 9);
  g_autoptr (TessCase) c = tess_case_new ("t", &scan, 1, NULL, 2, NULL);
  float image[16 * 12 * 8];
  TessSampleKey key = {.origin = {-2, 18, 15}};
  TessPatchOut out = {.region = {{0, 0, 0}, {16, 12, 8}}, .image = image};
  TessNormaliser n;
  GError *error = NULL;
  int i = 0;

  g_assert_true (tess_sampler_draw (plan, c, &key, &out, &error));
  tess_normaliser_init (&n, &plan->channels[0], &c->statistics[0]);
  for (gint64 z = 15; z < 23; z++)
    for (gint64 y = 18; y < 30; y++)
      for (gint64 x = -2; x < 14; x++, i++) {
        float expected = 0.0f, v;

        if (x >= 0 && x < dim[0] && y < dim[1] && z < dim[2]) {
          tess_volume_row_f32 (scan, x, y, z, 0, 1, &v);
          expected = tess_normaliser_apply (&n, v);
        }
        g_assert_cmpfloat (image[i], ==, expected);
      }
}

static void
test_channels (void)
{
  const gint64 patch[3] = {16, 16, 8}, dim[3] = {18, 20, 11};
  TessAffine affine = tess_affine_scale (1, 1, 1);
  g_autoptr (TessVolume) both = fixture_scan (dim, 2, &affine, 3);
  g_autoptr (TessVolume) a = tess_volume_new_channel (both, 0);
  g_autoptr (TessVolume) b = tess_volume_new_channel (both, 1);
  TessVolume *apart[2] = {a, b}, *swapped[2] = {b, a};
  g_autoptr (TessVolume) one = NULL;
  g_autoptr (TessVolume) two = NULL;
  g_autoptr (TessVolume) other = NULL;
  g_autoptr (GError) error = NULL;
  Setup s;

  setup_init (&s, fixture_plan (2, 4, unit, patch), tess_cpu_backend ());
  one = predict (&s, &both, 1);
  two = predict (&s, apart, 2);
  other = predict (&s, swapped, 2);
  compare_with_naive (&s, apart, 2, two);
  g_assert_cmpmem (tess_volume_data (one), tess_volume_n_bytes (one), tess_volume_data (two),
                   tess_volume_n_bytes (two));
  g_assert_cmpint (memcmp (tess_volume_data (other), tess_volume_data (two), tess_volume_n_bytes (two)), !=, 0);

  g_assert_null (tess_predictor_run (s.predictor, apart, 1, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  g_assert_nonnull (strstr (error->message, "channel 0, channel 1"));
  g_clear_error (&error);

  affine.m[0][3] = 4.0;
  swapped[1] = fixture_scan (dim, 1, &affine, 3);
  g_assert_null (tess_predictor_run (s.predictor, swapped, 2, NULL, &error));
  g_assert_error (error, TESS_ERROR, TESS_ERROR_MISMATCH);
  tess_volume_unref (swapped[1]);
  setup_clear (&s);
}

static void
cancel_cb (TessProgress *progress, double fraction, gpointer user_data)
{
  int *n = user_data;

  if (++*n == 2)
    tess_progress_cancel (progress);
}

static void
test_cancel (void)
{
  const gint64 patch[3] = {16, 16, 8}, dim[3] = {33, 33, 20};
  TessAffine affine = tess_affine_scale (1, 1, 1);
  TessBackendIface ahead = *tess_cpu_backend ();
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 3);

  ahead.id = "cpu, drawn ahead";
  for (int i = 0; i < 2; i++) {
    g_autoptr (TessProgress) progress = tess_progress_new ();
    g_autoptr (GError) error = NULL;
    g_autoptr (TessVolume) out = NULL;
    int calls = 0;
    Setup s;

    setup_init (&s, fixture_plan (1, 3, unit, patch), i ? &ahead : tess_cpu_backend ());
    tess_progress_set_notify (progress, cancel_cb, &calls);
    g_assert_null (tess_predictor_run (s.predictor, &scan, 1, progress, &error));
    g_assert_error (error, TESS_ERROR, TESS_ERROR_CANCELLED);
    g_assert_cmpint (calls, ==, 2); /* not one tile more */
    out = predict (&s, &scan, 1);   /* and it works again */
    compare_with_naive (&s, &scan, 1, out);
    setup_clear (&s);
  }
}

/* Drawing the next tile on a thread of its own changes nothing. */
static void
test_ahead (void)
{
  const gint64 patch[3] = {16, 12, 8}, dim[3] = {31, 29, 27};
  TessAffine affine = tess_affine_scale (0.8, 0.9, 1.3);
  TessBackendIface ahead = *tess_cpu_backend ();
  g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 3);
  g_autoptr (TessVolume) a = NULL;
  g_autoptr (TessVolume) b = NULL;
  Setup s, t;

  ahead.id = "cpu, drawn ahead";
  setup_init (&s, fixture_plan (1, 3, unit, patch), tess_cpu_backend ());
  setup_init (&t, fixture_plan (1, 3, unit, patch), &ahead);
  a = predict (&s, &scan, 1);
  b = predict (&t, &scan, 1);
  g_assert_cmpmem (tess_volume_data (a), tess_volume_n_bytes (a), tess_volume_data (b), tess_volume_n_bytes (b));
  setup_clear (&s);
  setup_clear (&t);
}

/* Every tile mirrored, too, along the axes that training mirrored: the same mean with the arrays flipped, drawn here
 * and ahead, on the scan's grid and between; an axis without mirroring, or of one voxel, stays as it is. */
static void
test_mirror (void)
{
  const gint64 patch[3] = {16, 12, 8}, slice[3] = {16, 16, 1}, dim[3] = {27, 25, 13};
  const double finer[3] = {0.8, 0.9, 0.7};
  TessBackendIface ahead = *tess_cpu_backend ();

  ahead.id = "cpu, drawn ahead";
  for (int i = 0; i < 4; i++) {
    TessPlan *plan = fixture_plan (1, 3, unit, i == 3 ? slice : patch);
    TessAffine affine = fixture_affine (i % 2 ? finer : unit, no_angle, (const double[3]){1, 2, 3});
    g_autoptr (TessVolume) scan = fixture_scan (dim, 1, &affine, 3);
    g_autoptr (TessVolume) plain = NULL;
    g_autoptr (TessVolume) out = NULL;
    Setup s;

    if (i == 2)
      plan->augmentation.mirror_probability[0] = 0.0;
    setup_init (&s, plan, i == 1 ? &ahead : tess_cpu_backend ());
    plain = predict (&s, &scan, 1);
    s.mirror = tess_predictor_set_mirror (s.predictor, 7);
    g_assert_cmpuint (s.mirror, ==, i == 2 ? 6 : i == 3 ? 3 : 7);
    out = predict (&s, &scan, 1);
    compare_with_naive (&s, &scan, 1, out);
    g_assert_cmpint (memcmp (tess_volume_data (out), tess_volume_data (plain), tess_volume_n_bytes (out)), !=, 0);
    g_assert_cmpuint (tess_predictor_set_mirror (s.predictor, 0), ==, 0);
    g_clear_pointer (&out, tess_volume_unref);
    out = predict (&s, &scan, 1);
    g_assert_cmpmem (tess_volume_data (out), tess_volume_n_bytes (out), tess_volume_data (plain),
                     tess_volume_n_bytes (plain));
    setup_clear (&s);
  }
}

/* Values that are no numbers are background noise to the sampler, not to the result. */
static void
test_not_finite (void)
{
  const gint64 patch[3] = {8, 8, 8}, dim[3] = {12, 9, 8};
  TessAffine affine = tess_affine_scale (1, 1, 1);
  g_autoptr (TessVolume) scan = tess_volume_new (TESS_DTYPE_F32, dim, 1, &affine, NULL);
  g_autoptr (TessVolume) out = NULL;
  float *v = tess_volume_data_mut (scan);
  Setup s;

  for (int i = 0; i < 12 * 9 * 8; i++)
    v[i] = (float)(i * 7919 % 1000);
  v[100] = NAN;
  v[200] = INFINITY;
  tess_volume_set_watermark (scan, tess_volume_n_slices (scan));
  setup_init (&s, fixture_plan (1, 3, unit, patch), tess_cpu_backend ());
  out = predict (&s, &scan, 1);
  compare_with_naive (&s, &scan, 1, out);
  setup_clear (&s);
}

/* A band on the CPU backend's device, and a tile's logits in its memory. */
typedef struct {
  const TessBackendIface *backend;
  TessDevice *device;
  TessBuffer *logits;
  TessLogitBand *band;
} Banded;

static void
banded_init (Banded *b, const TessGrid *grid, TessVolume *out, const gint64 tile[3])
{
  GError *error = NULL;

  b->backend = tess_cpu_backend ();
  b->device = b->backend->open (0, 2, &error);
  g_assert_no_error (error);
  b->logits = b->backend->buffer_new (b->device, (gsize)(tile[0] * tile[1] * tile[2] * 3) * sizeof (float), &error);
  g_assert_no_error (error);
  b->band = tess_logit_band_new (b->backend, b->device, grid, out, 3, tile, NULL, G_MAXUINT64, &error);
  g_assert_no_error (error);
}

static void
banded_row (Banded *b, const TessBox *box, gint64 finished)
{
  GError *error = NULL;

  g_assert_true (tess_logit_band_open (b->band, box->hi[2], &error));
  g_assert_true (tess_logit_band_add (b->band, box, b->logits, 0, 0, &error));
  g_assert_true (tess_logit_band_finish (b->band, finished, &error));
}

static void
banded_clear (Banded *b)
{
  tess_logit_band_free (b->band);
  b->backend->buffer_free (b->logits);
  b->backend->close (b->device);
}

/* Memory follows the tile, not the scan; a tie goes to the lower class; what sticks out of the grid is dropped. */
static void
test_band (void)
{
  TessGrid grid = {.dim = {6, 5, 1000}, .affine = tess_affine_identity ()};
  g_autoptr (TessVolume) out = tess_volume_new (TESS_DTYPE_U8, grid.dim, 1, &grid.affine, NULL);
  const guint8 *label = tess_volume_data (out);
  float *logits;
  Banded b;

  banded_init (&b, &grid, out, (const gint64[3]){8, 8, 4});
  logits = b.backend->buffer_host (b.logits);
  g_assert_cmpuint (tess_logit_band_bytes (b.band), ==, 6 * 5 * 5 * 4 * sizeof (float));
  for (gint64 z = 0; z < 1000; z += 2) {
    TessBox box = {{-1, -2, MIN (z, 996)}, {7, 6, MIN (z, 996) + 4}};

    for (int i = 0; i < 8 * 8 * 4; i++) {
      gint64 slice = box.lo[2] + i / 64;

      logits[i * 3] = -1.0f;
      logits[i * 3 + 1] = slice % 3 == 0 ? 2.0f : 0.5f; /* tie but for every third slice */
      logits[i * 3 + 2] = slice % 3 == 1 ? 0.5f : slice % 3 == 2 ? 0.75f : 1.0f;
    }
    banded_row (&b, &box, z + 2 < 1000 ? MIN (z + 2, 996) : 1000);
  }
  banded_clear (&b);
  for (gint64 i = 0; i < 6 * 5 * 1000; i++)
    g_assert_cmpint (label[i], ==, i / 30 % 3 == 2 ? 2 : 1);
}

/* Regions: each above 0 paints its label, later ones over earlier ones; direct and resampled onto a finer scan. */
static void
test_band_regions (void)
{
  static const guint8 labels[3] = {1, 3, 2};
  static const struct {
    float logits[3];
    guint8 label;
  } cases[4] = {
      {{-1.0f, -2.0f, -0.5f}, 0}, {{5.0f, 0.1f, -1.0f}, 3}, {{5.0f, 9.0f, 0.25f}, 2}, {{0.5f, 0.0f, 0.0f}, 1}};
  TessGrid grid = {.dim = {4, 1, 1}, .affine = tess_affine_identity ()};
  TessBox box = {{0, 0, 0}, {4, 1, 1}};
  for (int finer = 0; finer < 2; finer++) {
    gint64 dim[3] = {finer ? 8 : 4, 1, 1};
    TessAffine affine = grid.affine;
    g_autoptr (TessVolume) out = NULL;
    Banded b;

    affine.m[0][0] = finer ? 0.5 : 1.0;
    affine.m[0][3] = finer ? -0.25 : 0.0;
    out = tess_volume_new (TESS_DTYPE_U8, dim, 1, &affine, NULL);
    banded_init (&b, &grid, out, grid.dim);
    for (int i = 0; i < 4; i++)
      memcpy ((float *)b.backend->buffer_host (b.logits) + 3 * i, cases[i].logits, sizeof cases[i].logits);
    tess_logit_band_set_regions (b.band, labels);
    banded_row (&b, &box, 1);
    banded_clear (&b);
    /* A finer voxel lies a quarter voxel from a centre; near enough here for the same label but where logits cross. */
    for (int i = 0; i < 4; i++)
      g_assert_cmpuint (((const guint8 *)tess_volume_data (out))[finer ? 2 * i + (i > 0) : i], ==, cases[i].label);
  }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/infer/predictor/identity-tile", test_identity_tile);
  g_test_add_func ("/infer/predictor/band", test_band);
  g_test_add_func ("/infer/predictor/band-regions", test_band_regions);
  g_test_add_func ("/infer/predictor/native", test_native);
  g_test_add_func ("/infer/predictor/uniform", test_uniform);
  g_test_add_func ("/infer/predictor/finer-scan", test_finer_scan);
  g_test_add_func ("/infer/predictor/coarser-scan", test_coarser_scan);
  g_test_add_func ("/infer/predictor/one-axis-resampled", test_one_axis_resampled);
  g_test_add_func ("/infer/predictor/smaller-than-patch", test_smaller_than_patch);
  g_test_add_func ("/infer/predictor/one-slice", test_one_slice);
  g_test_add_func ("/infer/predictor/labels", test_labels);
  g_test_add_func ("/infer/predictor/channels", test_channels);
  g_test_add_func ("/infer/predictor/cancel", test_cancel);
  g_test_add_func ("/infer/predictor/ahead", test_ahead);
  g_test_add_func ("/infer/predictor/mirror", test_mirror);
  g_test_add_func ("/infer/predictor/valid", test_valid);
  g_test_add_func ("/infer/predictor/not-finite", test_not_finite);
  return g_test_run ();
}
